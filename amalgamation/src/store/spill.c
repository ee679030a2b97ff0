/* spill.c - changes leave memory before there is a checkpoint. */
#include "store/spill.h"
#include "store/admit.h"
#include "store/budget.h"
#include "store/flush.h"
#include "store/freelist.h"

/* More than this changed in memory asks for a checkpoint. Smaller in some tests. */
#ifndef VSI_DIRTY_BYTES
#define VSI_DIRTY_BYTES (64 << 20)
#endif
/* Less than a share of the limit, and less than VSI_SPILL_BYTES, is not worth writing early: what cannot
 * leave memory (frames of the log, what snapshots need) may exceed the limit by itself, and then each call
 * would write the same slabs anew, to other pages. */
enum { SPILL_TREES_SHARE = 4, SPILL_SLABS_SHARE = 16 };
#ifndef VSI_SPILL_BYTES
#define VSI_SPILL_BYTES (256 << 10)
#endif

static uint64_t spill_at_least(uint64_t bytes) {
    return bytes > VSI_SPILL_BYTES ? bytes : VSI_SPILL_BYTES;
}

VSI_FN bool vsi_spill_trees_are_large(vsi_engine *engine) {
    uint64_t limit =
        spill_at_least(vsi_atomic_load(&engine->pager.reside.limit_bytes) / SPILL_TREES_SHARE);
    limit = limit < VSI_DIRTY_BYTES ? limit : VSI_DIRTY_BYTES;
    return engine->cow.bytes - engine->cow.dead_bytes >= limit;
}

/* The state's trees into the file; on a failure nothing has changed. */
static vs_status spill_trees(vsi_err *err, vsi_engine *engine, vsi_state *state) {
    vsi_state work = *state;
    size_t taken = engine->pager.taken.bytes;
    vs_status st = vsi_pager_flush(err, &engine->pager);
    if (st != VS_OK)
        return st;
    vsi_cow_mark mark = vsi_cow_open(&engine->cow);
    st = vsi_flush_trees(err, &work);
    if (st == VS_OK) {
        vsi_cow_keep(&engine->cow, mark);
        *state = work;
        state->changes++;
        engine->has_spilled_trees = true;
        return VS_OK;
    }
    vsi_cow_undo(&engine->cow, mark);
    vsi_pager_undo_to(&engine->pager, taken);
    return st;
}

static bool spill_run(vsi_err *err, vsi_engine *engine, vsi_state *state) {
    uint64_t limit = vsi_atomic_load(&engine->pager.reside.limit_bytes);
    uint64_t excess = vsi_reside_excess(&engine->pager.reside, limit / SPILL_TREES_SHARE);
    bool has_slabs = vsi_flush_slabs_left(state) >= spill_at_least(limit / SPILL_SLABS_SHARE);
    bool has_trees = vsi_spill_trees_are_large(engine);
    if ((!has_slabs && !has_trees) || vsi_freelist_load(err, engine) != VS_OK ||
        vsi_admit(err, engine, false) != VS_OK)
        return false;
    if (has_slabs && vsi_flush_slabs_early(err, state, excess) != VS_OK)
        return false;
    return has_trees && spill_trees(err, engine, state) == VS_OK;
}

VSI_FN bool vsi_spill(vsi_engine *engine, vsi_state *state) {
    vsi_reside *reside = &engine->pager.reside;
    vsi_err ignored = {0};
    bool has_moved = false;
    vsi_budget_keep(&engine->pager, &engine->descs);
    if (!vsi_reside_excess(reside, 0) || engine->config.is_readonly || !engine->may_spill)
        return false;
    vsi_stay stay = vsi_stay_enter(reside);
    has_moved = spill_run(&ignored, engine, state);
    vsi_stay_leave(reside, stay);
    if (!engine->pager.out.bytes)
        vsi_buf_free(&engine->pager.out);
    vsi_budget_keep(&engine->pager, &engine->descs);
    return has_moved;
}
