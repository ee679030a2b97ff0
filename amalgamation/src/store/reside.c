/* reside.c - who stays, and what waits for them.
 *
 *   E1  Who stays since epoch e keeps the epoch from going beyond e + 1: it moves on only when nobody
 *       is left of the epoch before.
 *   E2  What was retired in epoch e is freed in e + 2 at the earliest: whoever could have reached it
 *       entered in e or before, and has left (E1). */
#include "store/reside.h"

VSI_FN bool vsi_reside_init(vsi_reside *reside, vsi_mem *mem) {
    memset(reside, 0, sizeof *reside);
    reside->mem = mem;
    vsi_atomic_set(&reside->limit_bytes, UINT64_MAX);
    return vsi_mutex_init(&reside->lock);
}

static void reside_free_first(vsi_reside *reside) {
    vsi_retired *gone = reside->first;
    reside->first = gone->next;
    vsi_atomic_add(&reside->waiting_bytes, 0 - (uint64_t)gone->bytes);
    if (gone->is_block)
        vsi_block_free(reside->mem, gone, gone->bytes);
    else
        vsi_free(reside->mem, gone, gone->bytes);
}

VSI_FN void vsi_reside_free(vsi_reside *reside) {
    while (reside->first)
        reside_free_first(reside);
    vsi_mutex_destroy(&reside->lock);
}

/* ---- staying -------------------------------------------------------------------------------- */

/* Threads have stacks of their own, so where this one's is tells them apart well enough. */
static uint32_t reside_stripe(void) {
    char here = 0;
    uint64_t at = (uint64_t)(uintptr_t)&here >> 12;
    return (uint32_t)((at * 0x9e3779b97f4a7c15u) >> 60) % VSI_RESIDE_STRIPES;
}

VSI_FN vsi_stay vsi_stay_enter(vsi_reside *reside) {
    vsi_stay stay = {.stripe = reside_stripe()};
    for (;;) {
        uint64_t epoch = vsi_ordered_load(&reside->epoch);
        stay.parity = (uint32_t)(epoch & 1);
        vsi_ordered_add(&reside->stripes[stay.stripe].stays[stay.parity], 1);
        if (vsi_ordered_load(&reside->epoch) == epoch) /* else E1 may have missed this one */
            return stay;
        vsi_stay_leave(reside, stay);
    }
}

VSI_FN void vsi_stay_leave(vsi_reside *reside, vsi_stay stay) {
    vsi_ordered_add(&reside->stripes[stay.stripe].stays[stay.parity], UINT64_MAX);
}

VSI_FN bool vsi_stay_renew(vsi_reside *reside, vsi_stay *stay) {
    if (!vsi_atomic_load(&reside->waiting_bytes))
        return false;
    vsi_stay_leave(reside, *stay);
    vsi_reside_collect(reside);
    *stay = vsi_stay_enter(reside);
    return true;
}

/* ---- what waits ----------------------------------------------------------------------------- */

static void reside_wait(vsi_reside *reside, vsi_retired *retired, size_t bytes, bool is_block) {
    vsi_mutex_lock(&reside->lock);
    retired->next = NULL;
    retired->is_block = is_block;
    retired->bytes = bytes;
    retired->epoch = vsi_ordered_load(&reside->epoch);
    if (reside->first)
        reside->last->next = retired;
    else
        reside->first = retired;
    reside->last = retired;
    vsi_atomic_add(&reside->waiting_bytes, bytes);
    vsi_mutex_unlock(&reside->lock);
}

VSI_FN void vsi_retire(vsi_reside *reside, vsi_retired *retired, size_t bytes) {
    reside_wait(reside, retired, bytes, false);
}

VSI_FN void vsi_retire_block(vsi_reside *reside, vsi_retired *retired, size_t bytes) {
    reside_wait(reside, retired, bytes, true);
}

/* Goes to the next epoch unless someone is left of the last one; the lock is held. */
static bool reside_advance(vsi_reside *reside) {
    uint64_t epoch = vsi_ordered_load(&reside->epoch);
    for (int i = 0; i < VSI_RESIDE_STRIPES; i++)
        if (vsi_ordered_load(&reside->stripes[i].stays[(epoch + 1) & 1]))
            return false;
    vsi_ordered_store(&reside->epoch, epoch + 1); /* keeps E1 */
    return true;
}

VSI_FN uint64_t vsi_reside_advance(vsi_reside *reside) {
    vsi_mutex_lock(&reside->lock);
    if (reside_advance(reside))
        reside_advance(reside);
    uint64_t epoch = vsi_ordered_load(&reside->epoch);
    vsi_mutex_unlock(&reside->lock);
    return epoch;
}

VSI_FN void vsi_reside_collect(vsi_reside *reside) {
    bool has_moved = true;
    vsi_mutex_lock(&reside->lock);
    while (reside->first && has_moved) {
        while (reside->first && reside->first->epoch + 2 <= vsi_ordered_load(&reside->epoch))
            reside_free_first(reside); /* keeps E2 */
        has_moved = reside->first && reside_advance(reside);
    }
    vsi_mutex_unlock(&reside->lock);
}

VSI_FN uint64_t vsi_reside_excess(vsi_reside *reside, uint64_t extra) {
    uint64_t used = vsi_atomic_load(&reside->mem->used_bytes) + extra;
    uint64_t waiting = vsi_atomic_load(&reside->waiting_bytes);
    used = used > waiting ? used - waiting : 0;
    uint64_t limit = vsi_atomic_load(&reside->limit_bytes);
    return used > limit ? used - limit : 0;
}
