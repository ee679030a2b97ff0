/* admit.c - space is reserved before it is needed, so that a full disk is met by the commit that wants more,
 * and not by the checkpoint that would make room.
 *
 *   Q1  When a commit is acknowledged the file owns what a checkpoint of everything needs: it can be made
 *       although the device is full.
 *   Q2  What is kept in reserve beyond that is for transactions that only delete, and comes back by two
 *       checkpoints: the pages that they replaced are free then. */
#include "store/admit.h"

/* The reserve is this share of the file, within its bounds. */
enum { ADMIT_SHARE = 16, ADMIT_LOG_SHARE = 64 };

/* A changed collection's entry of the catalog, and the nodes above it. */
enum { ADMIT_CATALOG_NODES = 4, ADMIT_ROUNDING_SHARE = 8 };

VSI_FN uint64_t vsi_admit_reserve(const vsi_space *space) {
    uint64_t pages = space->end / ADMIT_SHARE;
    pages = pages < VSI_RESERVE_PAGES ? VSI_RESERVE_PAGES : pages;
    return pages < VSI_RESERVE_PAGES_MAX ? pages : VSI_RESERVE_PAGES_MAX;
}

static void admit_add_slabs(vsi_engine *engine, vsi_page_count *need) {
    for (vsi_desc *desc = vsi_descs_from(&engine->descs, 0); desc;
         desc = vsi_descs_from(&engine->descs, (uint64_t)desc->id + 1)) {
        vsi_page_count before = *need;
        for (uint32_t i = 0; i < desc->array_count; i++)
            vsi_slabs_need(desc->array[i], need);
        if (need->single != before.single)
            vsi_page_count_add(need, 1, ADMIT_CATALOG_NODES);
    }
}

/* Two lists of free pages, one more checkpoint being needed to free what the first replaced. */
static void admit_add_lists(const vsi_space *space, vsi_page_count *need) {
    uint64_t runs = (space->runs.bytes + space->dead.bytes) / sizeof(vsi_run) + need->single +
                    need->middle + need->large;
    uint64_t pages = runs * sizeof(vsi_run) / VSI_PAGE_BYTES + 2;
    vsi_page_count_add(need, pages, 2);
}

/* At most the pages that a checkpoint of everything takes. */
static vsi_page_count admit_need(vsi_engine *engine) {
    vsi_page_count need = vsi_cow_pages(&engine->cow);
    admit_add_slabs(engine, &need);
    need.single += need.single / ADMIT_ROUNDING_SHARE + 2 * engine->pager.space.block_pages;
    admit_add_lists(&engine->pager.space, &need);
    return need;
}

static void admit_wants_room(vsi_engine *engine) {
    vsi_mutex_lock(&engine->log_lock);
    engine->wants_room = true;
    vsi_mutex_unlock(&engine->log_lock);
}

VSI_FN vs_status vsi_admit(vsi_err *err, vsi_engine *engine, bool only_deletes) {
    vsi_space *space = &engine->pager.space;
    vsi_err cause = {0};
    vsi_assert(space->is_known);
    vsi_page_count need = admit_need(engine);
    uint64_t pages = need.single + need.middle + need.large, reserve = vsi_admit_reserve(space);
    if (vsi_space_fits(space, need, reserve))
        return VS_OK;
    vs_status st = vsi_pager_own(&cause, &engine->pager, space->end + pages + reserve);
    if (st == VS_ERR_FULL)
        admit_wants_room(engine);
    if (st == VS_ERR_FULL && only_deletes) {
        if (vsi_space_fits(space, need, 0))
            return VS_OK;
        st = vsi_pager_own(&cause, &engine->pager, space->end + pages);
    }
    if (st == VS_ERR_FULL)
        return vsi_fail(err, st,
                        "%s: the disk is full: %llu KiB are to be written at the next checkpoint; "
                        "deleting is possible as long as the reserve of %llu KiB lasts",
                        engine->path, (unsigned long long)pages * VSI_PAGE_BYTES / 1024,
                        (unsigned long long)reserve * VSI_PAGE_BYTES / 1024);
    if (st != VS_OK)
        *err = cause;
    return st; /* keeps Q1 */
}

VSI_FN bool vsi_admit_give_back(vsi_engine *engine) {
    vsi_space *space = &engine->pager.space;
    vsi_err ignored = {0};
    uint64_t end = vsi_engine_file_end(engine);
    if (!space->is_known || space->owned == UINT64_MAX || space->owned <= end + 1)
        return false;
    uint64_t kept = end + (space->owned - end) / 2;
    space->owned = kept;
    vsi_windows_cut(&engine->pager.windows, kept * VSI_PAGE_BYTES); /* keeps D3 of store/window */
    return vsi_file_truncate(&ignored, &engine->data, kept * VSI_PAGE_BYTES) == VS_OK;
}

VSI_FN vs_status vsi_admit_frame(vsi_err *err, vsi_engine *engine, size_t bytes,
                                 bool only_deletes) {
    uint64_t reserve = engine->metas.newest.checkpoint.end * VSI_PAGE_BYTES / ADMIT_LOG_SHARE;
    reserve = reserve < VSI_RESERVE_LOG_BYTES ? VSI_RESERVE_LOG_BYTES : reserve;
    reserve = reserve < VSI_RESERVE_LOG_BYTES_MAX ? reserve : VSI_RESERVE_LOG_BYTES_MAX;
    vs_status st = vsi_log_own(err, &engine->log, bytes, reserve);
    if (engine->log.is_tight && vsi_log_bytes(&engine->log) >= 2 * reserve)
        engine->wants_room =
            true; /* before a commit has to be refused: the log itself is what can go */
    if (st != VS_ERR_FULL)
        return st;
    engine->wants_room = true;
    return only_deletes ? VS_OK : st;
}
