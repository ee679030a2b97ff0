/* freelist.c - which pages of the file are free, from its list and into it. */
#include "store/freelist.h"
#include "store/walk.h"

static vs_status space_add_extent(void *ctx, vsi_err *err, vsi_ref ref) {
    vsi_buf *used = ctx;
    vsi_run run = {vsi_ref_page(ref), vsi_ref_pages(ref)};
    return vsi_buf_append(used, &run, sizeof run) ? VS_OK : vsi_fail_nomem(err, sizeof run);
}

static void space_skip_damage(void *ctx, const vsi_err *err) {
    (void)ctx;
    (void)err;
}

/* Everything that a checkpoint reaches, its list of free pages included, sorted. What lies behind damage
 * is left out if skips_damage: nobody will read it. */
static vs_status space_collect(vsi_err *err, vsi_engine *engine, const vsi_checkpoint_info *info,
                               bool skips_damage, vsi_buf *used) {
    vsi_walk walk = {
        .visit = space_add_extent, .damaged = skips_damage ? space_skip_damage : NULL, .ctx = used};
    vs_status st = vsi_walk_run(err, &engine->pager, info->catalog, &walk);
    if (st == VS_OK && info->free_list.kind == VSI_REF_FREE)
        st = space_add_extent(used, err, info->free_list);
    vsi_runs_sort(used);
    return st;
}

/* Everything between the extents that are used is free. */
static vs_status space_invert(vsi_err *err, vsi_space *space, const vsi_buf *used, uint64_t end) {
    const vsi_run *runs = (const vsi_run *)(const void *)used->data;
    size_t n = used->bytes / sizeof *runs;
    uint64_t page = VSI_SPACE_FIRST_PAGE;
    vs_status st = vsi_space_expect(err, space, n + 1);
    if (st != VS_OK)
        return st;
    space->end = end;
    space->is_known = true;
    for (size_t i = 0; i < n; i++) {
        if (runs[i].page > page)
            vsi_space_give(space, (vsi_run){page, runs[i].page - page});
        if (runs[i].page + runs[i].pages > page)
            page = runs[i].page + runs[i].pages;
    }
    if (end > page)
        vsi_space_give(space, (vsi_run){page, end - page});
    return VS_OK;
}

static bool space_has_run(const vsi_buf *sorted, vsi_run run) {
    const vsi_run *runs = (const vsi_run *)(const void *)sorted->data;
    size_t low = 0, n = sorted->bytes / sizeof *runs, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (runs[mid].page < run.page)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && runs[low].page == run.page;
}

/* What the checkpoint before reaches and the last one does not is dying; both together are used. */
static vs_status space_merge(vsi_err *err, vsi_engine *engine, uint64_t checkpoint, vsi_buf *used,
                             const vsi_buf *before) {
    const vsi_run *runs = (const vsi_run *)(const void *)before->data;
    size_t n = before->bytes / sizeof *runs;
    vsi_buf dying = {.mem = engine->mem};
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        if (!space_has_run(used, runs[i]))
            ok = vsi_buf_append(&dying, &runs[i], sizeof runs[i]);
    ok = ok && vsi_buf_append(used, dying.data, dying.bytes);
    vs_status st = ok ? vsi_space_expect(err, &engine->pager.space, dying.bytes / sizeof *runs)
                      : vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    const vsi_run *dead = (const vsi_run *)(const void *)dying.data;
    for (size_t i = 0; st == VS_OK && i < dying.bytes / sizeof *dead; i++)
        vsi_space_bury(&engine->pager.space,
                       (vsi_dead_extent){.run = dead[i], .checkpoint = checkpoint});
    vsi_runs_sort(used);
    vsi_buf_free(&dying);
    return st;
}

/* The list of free pages is damaged: what no kept checkpoint reaches is free. */
static vs_status space_rebuild(vsi_err *err, vsi_engine *engine, uint64_t end) {
    const vsi_meta *meta = &engine->metas.newest;
    vsi_space *space = &engine->pager.space;
    vsi_buf used = {.mem = engine->mem}, before = {.mem = engine->mem};
    size_t dead_bytes = space->dead.bytes;
    uint64_t dead_pages = space->dead_pages;
    vs_status st = space_collect(err, engine, &meta->checkpoint, false, &used);
    if (st == VS_OK && meta->previous.log_from)
        st = space_collect(err, engine, &meta->previous, true, &before);
    if (st == VS_OK)
        st = space_merge(err, engine, meta->previous.number, &used, &before);
    if (st == VS_OK)
        st = space_invert(err, space, &used, end);
    if (st != VS_OK) {
        space->dead.bytes = dead_bytes;
        space->dead_pages = dead_pages;
    }
    vsi_buf_free(&used);
    vsi_buf_free(&before);
    return st;
}

/* Before pages of a damaged checkpoint are written to it must not be named any more: were it whole again at
 * the next open, it would lead to them. */
static vs_status freelist_renounce(vsi_err *err, vsi_engine *engine) {
    vs_status st = VS_OK;
    vsi_mutex_lock(&engine->log_lock);
    if (engine->has_gone_back)
        st = vsi_metas_write(err, &engine->data, &engine->metas, &engine->metas.newest);
    if (st == VS_OK)
        engine->has_gone_back = false;
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

/* What the file and its device are like. */
static vs_status freelist_look(vsi_err *err, vsi_engine *engine) {
    vsi_space *space = &engine->pager.space;
    vs_device_info device = {0};
    uint64_t bytes = 0;
    vs_status st = vsi_file_device_info(err, &engine->data, &device);
    if (st == VS_OK)
        st = vsi_file_size(err, &engine->data, &bytes);
    if (st != VS_OK)
        return st;
    if (device.blast_bytes > VSI_PAGE_BYTES)
        space->block_pages = device.blast_bytes / VSI_PAGE_BYTES;
    space->owned = bytes / VSI_PAGE_BYTES;
    return VS_OK;
}

VSI_FN vs_status vsi_freelist_load(vsi_err *err, vsi_engine *engine) {
    vsi_space *space = &engine->pager.space;
    const vsi_checkpoint_info *now = &engine->metas.newest.checkpoint;
    if (space->is_known)
        return VS_OK;
    vs_status st = freelist_renounce(err, engine);
    if (st == VS_OK)
        st = freelist_look(err, engine);
    if (st != VS_OK)
        return st;
    uint64_t end = now->number ? now->end : VSI_SPACE_FIRST_PAGE;
    if (now->free_list.kind == VSI_REF_NONE)
        return space_rebuild(err, engine, end);
    vsi_buf list = {.mem = engine->mem};
    st = vsi_pager_read(err, &engine->pager, now->free_list, VSI_REF_FREE, &list);
    if (st == VS_OK)
        st = vsi_space_read(err, space, (vsi_bytes){list.data, list.bytes}, end, now->number);
    vsi_buf_free(&list);
    if (st != VS_ERR_CORRUPT)
        return st;
    vsi_engine_message(engine, VS_LOG_WARNING, "%s; making it anew", err->text);
    return space_rebuild(err, engine, end);
}

/* What this checkpoint gives up: extents that it replaced, and the list that it replaces. */
static vs_status space_dying(vsi_err *err, const vsi_engine *engine, vsi_buf *out) {
    vsi_ref old = engine->metas.newest.checkpoint.free_list;
    const vsi_dead_extent *dead =
        (const vsi_dead_extent *)(const void *)engine->cow.dead_extents.data;
    bool ok = true;
    for (size_t i = 0; ok && i < engine->cow.dead_extents.bytes / sizeof *dead; i++)
        ok = vsi_buf_append(out, &dead[i].run, sizeof dead[i].run);
    if (ok && old.kind != VSI_REF_NONE) {
        vsi_run run = {vsi_ref_page(old), vsi_ref_pages(old)};
        ok = vsi_buf_append(out, &run, sizeof run);
    }
    return ok ? VS_OK : vsi_fail(err, VS_ERR_NOMEM, "out of memory");
}

/* Makes the list of free pages and room for it; taking the room changes the list. */
static vs_status space_make_list(vsi_err *err, vsi_engine *engine, uint64_t first_kept,
                                 const vsi_buf *dying, vsi_buf *list, uint64_t *out_page,
                                 uint64_t *out_end) {
    vs_status st = vsi_space_write(err, &engine->pager.space, first_kept, dying, list);
    if (st != VS_OK)
        return st;
    /* Taking it may split one run, and what it skips may be another. */
    uint32_t trailer = engine->pager.trailer_bytes;
    size_t pages = (size_t)vsi_pages_for(list->bytes + 2 * sizeof(vsi_run), trailer);
    st = vsi_pager_take(err, &engine->pager, pages, out_page);
    list->bytes = 0;
    if (st == VS_OK)
        st = vsi_space_write(err, &engine->pager.space, first_kept, dying, list);
    *out_end = engine->pager.space.end;
    if (st == VS_OK && first_kept == VSI_NONE_KEPT)
        *out_end = vsi_space_trim_list(list, *out_end);
    size_t pad = pages * VSI_PAGE_BYTES - list->bytes;
    if (st == VS_OK && !vsi_buf_reserve(list, pad))
        st = vsi_fail_nomem(err, pad);
    if (st != VS_OK)
        return st;
    vsi_assert(list->bytes + trailer <= pages * VSI_PAGE_BYTES);
    memset(list->data + list->bytes, 0, pad);
    list->bytes += pad;
    return VS_OK;
}

/* Writes the list of free pages; its own extent is not in it. */
VSI_FN vs_status vsi_freelist_save(vsi_err *err, vsi_engine *engine, uint64_t first_kept,
                                   vsi_ref *out_ref, uint64_t *out_end) {
    vsi_buf list = {.mem = engine->mem}, dying = {.mem = engine->mem};
    uint64_t page = 0;
    vs_status st = space_dying(err, engine, &dying);
    if (st == VS_OK)
        st = space_make_list(err, engine, first_kept, &dying, &list, &page, out_end);
    if (st == VS_OK)
        st = vsi_pager_write_at(err, &engine->pager, VSI_REF_FREE, 0,
                                (vsi_bytes){list.data, list.bytes}, page, out_ref);
    vsi_buf_free(&list);
    vsi_buf_free(&dying);
    return st;
}
