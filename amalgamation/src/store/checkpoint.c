/* checkpoint.c - checkpoints.
 *
 *   K1  The meta pages name a checkpoint only when everything it reaches is durable.
 *   K2  Pages that this or the previous checkpoint reaches are not written to.
 *   K3  A log file goes when neither of the two needs it.
 *   K4  Meta pages that lead to a compressed value say that there may be one. */
#include "store/checkpoint.h"
#include "store/admit.h"
#include "store/flush.h"
#include "store/freelist.h"
#include "store/relocate.h"

enum { CHECKPOINT_LOG_SHARE = 8 };

/* From half that size on commits write slabs ahead, so many bytes for one of the log; at the full size, or
 * at twice that, a commit does what is left. */
enum { CHECKPOINT_PACE = 2, CHECKPOINT_LAST_STEP_BYTES = 1 << 20 };

/* A file of which this share is holes, and so many pages more, is made smaller when it is closed. */
#ifndef VSI_TAIL_PAGES
#define VSI_TAIL_PAGES 64
#endif
enum { CHECKPOINT_HOLES_SHARE = 16 };

/* ---- the log's files ------------------------------------------------------------------------ */

/* Removes the log files below first, the lowest first, so that what a crash leaves is found again. */
static void log_remove_below(vsi_engine *engine, uint64_t first) {
    const vs_vfs *vfs = engine->config.vfs;
    uint64_t lowest = first;
    char path[VSI_PATH_BYTES_MAX];
    vsi_err ignored = {0};
    for (; lowest > 1; lowest--) {
        vsi_file file;
        if (vsi_log_path(&ignored, engine->path, lowest - 1, path) != VS_OK ||
            vsi_file_open(&ignored, engine->mem, vfs, path, VS_VFS_READ, &file) != VS_OK)
            break;
        vsi_file_close(&file);
    }
    for (; lowest < first; lowest++)
        if (vsi_log_path(&ignored, engine->path, lowest, path) == VS_OK)
            vsi_os_remove(&ignored, vfs, path);
}

/* ---- a checkpoint --------------------------------------------------------------------------- */

/* A checkpoint that is being made; the writer role is held. */
typedef struct checkpoint_work {
    vsi_engine *engine;
    bool is_final;
    uint64_t relocate_from; /* pages from here on are to become free; 0: none */
    vsi_state state;
    vsi_version *version;
    vsi_meta meta;
} checkpoint_work;

/* Whether the file has everything already. */
static bool checkpoint_is_current(const vsi_engine *engine) {
    const vsi_meta *meta = &engine->metas.newest;
    return meta->checkpoint.lsn == engine->log.next_lsn - 1 &&
           meta->checkpoint.log_from > meta->generation;
}

/* Pages that were written since the last checkpoint, and replaced already. */
static vs_status checkpoint_bury_dropped(vsi_err *err, vsi_engine *engine) {
    const vsi_run *runs = (const vsi_run *)(const void *)engine->pager.dropped.data;
    size_t n = engine->pager.dropped.bytes / sizeof *runs;
    vs_status st = vsi_space_expect(err, &engine->pager.space, n);
    for (size_t i = 0; st == VS_OK && i < n; i++)
        vsi_space_bury(&engine->pager.space,
                       (vsi_dead_extent){.run = runs[i], .version = engine->versions.last_seq + 1});
    if (st == VS_OK)
        vsi_buf_free(&engine->pager.dropped);
    return st;
}

/* A sync of the file that failed may have lost what was written before it. Slabs can be written again; of
 * trees only the log has the rest: then writing stops, and recovery has it. */
static vs_status checkpoint_distrust(vsi_err *err, vsi_engine *engine) {
    uint64_t failed = vsi_atomic_load(&engine->failed_syncs);
    if (failed == engine->trusted_syncs)
        return VS_OK;
    vs_status st =
        engine->has_spilled_trees
            ? vsi_fail(err, VS_ERR_READONLY,
                       "%s: a sync failed, and changes that had left memory may be lost; "
                       "the log has them",
                       engine->path)
            : vsi_flush_distrust(err, &engine->versions.applied->state);
    if (st == VS_OK)
        engine->trusted_syncs = failed;
    if (st == VS_OK || st == VS_ERR_NOMEM)
        return st;
    vsi_mutex_lock(&engine->log_lock);
    vsi_engine_fail(engine, err);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

/* Everything into the file, durable; no meta page names it. */
static vs_status checkpoint_write(vsi_err *err, checkpoint_work *work) {
    vsi_engine *engine = work->engine;
    const vsi_checkpoint_info *old = &engine->metas.newest.checkpoint;
    vsi_checkpoint_info *info = &work->meta.checkpoint;
    work->state = engine->versions.applied->state;
    vs_status st = checkpoint_distrust(err, engine);
    if (st == VS_OK)
        st = vsi_flush(err, &work->state);
    if (st == VS_OK && work->relocate_from)
        st = vsi_relocate(err, &work->state, work->relocate_from);
    if (st == VS_OK && work->relocate_from)
        st = vsi_flush_locate(err, &work->state);
    if (st == VS_OK)
        st = checkpoint_bury_dropped(err, engine);
    uint64_t first_kept = work->is_final ? VSI_NONE_KEPT : old->number;
    if (st == VS_OK)
        st = vsi_freelist_save(err, engine, first_kept, &info->free_list, &info->end);
    if (st == VS_OK)
        st = vsi_pager_flush(err, &engine->pager);
    if (st == VS_OK)
        st = vsi_file_sync(err, &engine->data); /* keeps K1 */
    if (st != VS_OK)
        return st;
    info->number = old->number + 1;
    info->catalog = work->state.catalog.root;
    info->catalog_count = work->state.catalog.count;
    info->digest = work->state.digest;
    return VS_OK;
}

/* Room for what must not fail once the meta pages are written. */
static vs_status checkpoint_reserve(vsi_err *err, checkpoint_work *work) {
    vsi_engine *engine = work->engine;
    size_t dead = engine->cow.dead_extents.bytes / sizeof(vsi_dead_extent);
    work->version = vsi_version_new(&engine->versions, &work->state);
    if (!work->version)
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    vs_status st = vsi_space_expect(err, &engine->pager.space, dead + 1);
    if (st != VS_OK)
        vsi_version_discard(&engine->versions, work->version);
    return st;
}

/* Writes the meta pages. After a failure they are as before, or complete, or writing has stopped. */
static vs_status checkpoint_name(vsi_err *err, checkpoint_work *work) {
    vsi_engine *engine = work->engine;
    vsi_log *log = &engine->log;
    vsi_checkpoint_info *info = &work->meta.checkpoint;
    vsi_err second = {0};
    vsi_mutex_lock(&engine->log_lock);
    vsi_assert(!log->kept);
    work->meta.previous = (vsi_checkpoint_info){.log_from = 0};
    if (!work->is_final)
        work->meta.previous = engine->metas.newest.checkpoint;
    if (engine->pager.has_packed)
        work->meta.features_needed |= VSI_META_NEEDS_ZSTD; /* keeps K4 */
    work->meta.durable_lsn = info->lsn = log->durable_lsn;
    info->chain = log->durable_chain;
    info->log_from = work->meta.generation + 1;
    vs_status st = vsi_metas_write(err, &engine->data, &engine->metas, &work->meta);
    if (st != VS_OK) {
        if (vsi_metas_repair(&second, &engine->data, &engine->metas) != VS_OK)
            vsi_engine_fail(engine, &second);
        else if (engine->metas.newest.checkpoint.number == info->number)
            st = VS_OK;
    }
    if (st == VS_OK)
        vsi_log_end(log);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

static void checkpoint_forget(void *ctx, vsi_run run) {
    vsi_pager_forget(ctx, run);
    vsi_slab_let_go(ctx, run);
}

/* The checkpoint counts: the state that leads to it is the newest version. */
static void checkpoint_install(checkpoint_work *work, uint64_t old_number, vsi_ref old_free) {
    vsi_engine *engine = work->engine;
    vsi_space *space = &engine->pager.space;
    if (old_free.kind != VSI_REF_NONE)
        vsi_space_bury(space,
                       (vsi_dead_extent){.run = {vsi_ref_page(old_free), vsi_ref_pages(old_free)},
                                         .checkpoint = old_number});
    vsi_pager_keep(&engine->pager);
    engine->pager.birth = (uint32_t)(work->meta.checkpoint.number + 1);
    engine->has_spilled_trees = false;
    vsi_flush_settle(&work->state);
    vsi_engine_bury(engine, work->version, old_number);
    work->version->lsn = engine->versions.applied->lsn;
    vsi_versions_add(&engine->versions, work->version, work->meta.checkpoint.number);
    vsi_mutex_lock(&engine->log_lock);
    engine->checkpoints++;
    engine->memory_is_full = false;
    engine->retained_bytes = engine->cow.dead_bytes + space->dead_pages * VSI_PAGE_BYTES;
    engine->retry_log_bytes = 0;
    engine->ahead_log_bytes = 0;
    engine->free_pages = space->free_pages;
    vsi_engine_publish(engine);
    vsi_mutex_unlock(&engine->log_lock);
}

/* The writer role is held, and everything in the log is durable. */
static vs_status checkpoint_make(vsi_err *err, checkpoint_work *work) {
    vsi_engine *engine = work->engine;
    uint64_t old_number = engine->metas.newest.checkpoint.number;
    vsi_ref old_free = engine->metas.newest.checkpoint.free_list;
    vs_status st = vsi_freelist_load(err, engine);
    engine->has_no_list = st != VS_OK;
    if (st != VS_OK)
        return st;
    vsi_versions_reclaim(&engine->versions);
    vsi_space_give_left(&engine->pager.space);
    vsi_cow_mark mark = vsi_cow_open(&engine->cow);
    work->meta = engine->metas.newest;
    st = checkpoint_write(err, work);
    if (st == VS_OK)
        st = checkpoint_reserve(err, work);
    if (st == VS_OK) {
        st = checkpoint_name(err, work);
        if (st != VS_OK)
            vsi_version_discard(&engine->versions, work->version);
    }
    if (st != VS_OK) {
        vsi_cow_undo(&engine->cow, mark);
        if (!engine->has_failed)
            vsi_pager_undo(&engine->pager);
        return st;
    }
    vsi_cow_keep(&engine->cow, mark);
    checkpoint_install(work, old_number, old_free);
    return VS_OK;
}

/* Cuts off what no kept checkpoint has, and nothing newer uses or may soon. */
static void checkpoint_truncate(vsi_engine *engine, bool is_final) {
    vsi_space *space = &engine->pager.space;
    vsi_err ignored = {0};
    uint64_t end = vsi_engine_file_end(engine), bytes = 0;
    end += is_final ? 0 : vsi_admit_reserve(space);
    if (vsi_file_size(&ignored, &engine->data, &bytes) != VS_OK || bytes <= end * VSI_PAGE_BYTES)
        return;
    vsi_windows_cut(&engine->pager.windows, end * VSI_PAGE_BYTES); /* D3 */
    space->owned = space->owned < end ? space->owned : end;
    (void)vsi_file_truncate(&ignored, &engine->data, end * VSI_PAGE_BYTES);
}

#ifdef VSI_DEBUG
/* Nothing of what is free is looked at in the file. */
static bool checkpoint_is_clear(vsi_pager *pager) {
    const vsi_space *space = &pager->space;
    const vsi_run *runs = (const vsi_run *)(const void *)space->runs.data;
    bool is_clear = vsi_windows_are_clear(&pager->windows, space->end * VSI_PAGE_BYTES, UINT64_MAX);
    for (size_t i = 0; i < space->runs.bytes / sizeof *runs; i++)
        is_clear =
            is_clear && vsi_windows_are_clear(&pager->windows, runs[i].page * VSI_PAGE_BYTES,
                                              (runs[i].page + runs[i].pages) * VSI_PAGE_BYTES);
    return is_clear || !space->is_known;
}
#endif

/* Frees what the last checkpoint, or the last two, and those who read do not need. A failure, or a
 * check that runs, only keeps it for the next time. The caller's own stay is renewed. */
static void checkpoint_clean(vsi_engine *engine, bool is_final, vsi_stay *stay) {
    const vsi_meta *meta = &engine->metas.newest;
    bool has_previous = meta->previous.log_from;
    vsi_err ignored = {0};
    vsi_mutex_lock(&engine->log_lock);
    bool is_checked = engine->checks > 0;
    vsi_mutex_unlock(&engine->log_lock);
    vsi_versions_reclaim(&engine->versions);
    if (is_checked)
        return;
    vsi_buf readers = {.mem = engine->mem};
    bool ok = vsi_versions_list(&engine->versions, &readers); /* before catching up */
    if (ok && vsi_flush_catch_up(&ignored, &engine->versions.applied->state) == VS_OK)
        vsi_space_reap(&engine->pager.space,
                       has_previous ? meta->previous.number : meta->checkpoint.number,
                       (const vsi_space_reader *)(const void *)readers.data,
                       readers.bytes / sizeof(vsi_space_reader), checkpoint_forget, &engine->pager);
    vsi_buf_free(&readers);
    if (engine->pager.space.left) { /* the caller is one of those who may look there */
        vsi_stay_leave(&engine->pager.reside, *stay);
        vsi_space_give_left(&engine->pager.space);
        *stay = vsi_stay_enter(&engine->pager.reside);
    }
    vsi_assert(checkpoint_is_clear(&engine->pager)); /* L4 */
    if (engine->stuck_pages > engine->pager.space.dead_pages)
        engine->stuck_pages = engine->pager.space.dead_pages;
    if (is_final)
        vsi_log_remove_strays(&engine->log);
    checkpoint_truncate(engine, is_final);
    log_remove_below(engine, has_previous ? meta->previous.log_from : meta->checkpoint.log_from);
} /* keeps K3 */

/* Where the tail begins that would fit into the holes before it, if they are much of the file; 0: nowhere.
 * So much only as this session has written: then closing takes about as long as that did. */
static uint64_t checkpoint_tail(const vsi_engine *engine) {
    const vsi_space *space = &engine->pager.space;
    uint64_t used = space->end - VSI_SPACE_FIRST_PAGE - space->free_pages - space->dead_pages;
    uint64_t first = VSI_SPACE_FIRST_PAGE + used + used / CHECKPOINT_HOLES_SHARE;
    uint64_t most = engine->pager.written_bytes / VSI_PAGE_BYTES + VSI_TAIL_PAGES;
    if (!space->is_known || space->end < first + used / CHECKPOINT_HOLES_SHARE + VSI_TAIL_PAGES)
        return 0;
    return space->end - first > most ? space->end - most : first;
}

/* After the last checkpoint: all of the file that it does not reach is free, so some of it may go. */
static vs_status checkpoint_shrink(vsi_err *err, vsi_engine *engine, vsi_stay *stay) {
    checkpoint_work work = {
        .engine = engine, .is_final = true, .relocate_from = checkpoint_tail(engine)};
    if (!work.relocate_from)
        return VS_OK;
    vs_status st = checkpoint_make(err, &work);
    if (st == VS_OK)
        checkpoint_clean(engine, true, stay);
    return st;
}

/* Frames that recovery found may have to be copied to a new log file first: on a full disk what is kept in
 * reserve is given up for it. */
static vs_status checkpoint_sync(vsi_err *err, vsi_engine *engine) {
    vsi_err ignored = {0};
    vs_status st = vsi_engine_sync(err, engine);
    while (st == VS_ERR_FULL && vsi_freelist_load(&ignored, engine) == VS_OK &&
           vsi_admit_give_back(engine))
        st = vsi_engine_sync(err, engine);
    return st;
}

static vs_status checkpoint_with_role(vsi_err *err, vsi_engine *engine, bool is_final) {
    checkpoint_work work = {.engine = engine, .is_final = is_final};
    vsi_err second = {0};
    vsi_stay stay = vsi_stay_enter(&engine->pager.reside);
    vs_status st = checkpoint_sync(err, engine);
    if (st != VS_OK) {
        vsi_stay_leave(&engine->pager.reside, stay);
        return st;
    }
    bool is_needed =
        !checkpoint_is_current(engine) || (is_final && engine->metas.newest.previous.log_from);
    if (is_needed)
        st = checkpoint_make(err, &work);
    if (st == VS_OK && (is_needed || is_final))
        checkpoint_clean(engine, is_final, &stay);
    if (st == VS_OK && is_final && is_needed)
        (void)checkpoint_shrink(&second, engine, &stay); /* if it fails, the file is larger */
    vsi_stay_leave(&engine->pager.reside, stay);
    vsi_budget_keep(&engine->pager, &engine->descs);
    return st;
}

/* On a full disk: what the last checkpoint replaced is free when there is another one, and the log that was
 * kept for going back is gone. */
static vs_status checkpoint_relieve(vsi_err *err, vsi_engine *engine) {
    vsi_space *space = &engine->pager.space;
    checkpoint_work work = {.engine = engine};
    vs_status st = VS_OK;
    vsi_stay stay = vsi_stay_enter(&engine->pager.reside);
    if (space->dead_pages > engine->stuck_pages) {
        st = checkpoint_make(err, &work);
        if (st == VS_OK)
            checkpoint_clean(engine, false, &stay);
        engine->stuck_pages = space->dead_pages;
    }
    vsi_stay_leave(&engine->pager.reside, stay);
    vsi_mutex_lock(&engine->log_lock);
    engine->wants_room = false;
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

/* What follows is watched until the role is given back: about so many bytes are to be written. It may end only
 * in the pager, that is before the meta pages name anything: as if the device had refused to write. */
static void checkpoint_watch(vsi_engine *engine, vsi_watch *watch, uint64_t max_bytes) {
    uint64_t bytes = vsi_flush_slabs_left(&engine->versions.applied->state);
    bytes = bytes < max_bytes ? bytes + engine->cow.bytes - engine->cow.dead_bytes : max_bytes;
    vsi_watch_count(watch, "bytes written", bytes);
    engine->pager.watch = watch;
}

static void checkpoint_give_role(vsi_engine *engine) {
    engine->pager.watch = NULL;
    vsi_role_give(engine);
}

VSI_FN vs_status vsi_checkpoint(vsi_err *err, vsi_engine *engine, bool is_final) {
    vsi_watch watch = vsi_watch_begin(engine->config.watcher);
    vs_status st = vsi_role_take(err, engine, true);
    if (st != VS_OK)
        return st;
    vsi_mutex_lock(&engine->log_lock);
    st = vsi_engine_check_writable(err, engine);
    vsi_mutex_unlock(&engine->log_lock);
    checkpoint_watch(engine, &watch, UINT64_MAX);
    if (st == VS_OK)
        st = checkpoint_with_role(err, engine, is_final);
    checkpoint_give_role(engine);
    return st;
}

/* ---- vacuum --------------------------------------------------------------------------------- */

enum { VACUUM_HOLES_SHARE = 64, VACUUM_CHECKPOINTS = 4 };

/* Holes before the end that moving something there may fill: all but a few. */
static uint64_t vacuum_holes(const vsi_space *space) {
    uint64_t used = space->end - VSI_SPACE_FIRST_PAGE - space->free_pages;
    uint64_t kept = used / VACUUM_HOLES_SHARE + VSI_TAIL_PAGES;
    return space->free_pages > kept ? space->free_pages - kept : 0;
}

/* Where the tail begins that is to be moved; 0: nowhere. */
static uint64_t vacuum_tail(const vsi_space *space, uint64_t max_bytes) {
    uint64_t holes = vacuum_holes(space), most = max_bytes / VSI_PAGE_BYTES + 1;
    return holes ? space->end - (holes < most ? holes : most) : 0;
}

/* Checkpoints until none that is kept needs what the first has moved, and none names the end where it was. With
 * snapshots that may be never. */
static vs_status vacuum_move(vsi_err *err, vsi_engine *engine, uint64_t tail, vsi_stay *stay) {
    vs_status st = VS_OK;
    for (int i = 0; st == VS_OK && i < VACUUM_CHECKPOINTS; i++) {
        checkpoint_work work = {.engine = engine, .relocate_from = i ? 0 : tail};
        st = checkpoint_make(err, &work);
        if (st == VS_OK)
            checkpoint_clean(engine, false, stay);
        if (i > 0 && vsi_engine_file_end(engine) == engine->pager.space.end)
            break;
    }
    return st;
}

static vs_status vacuum_with_role(vsi_err *err, vsi_engine *engine, uint64_t max_bytes,
                                  vsi_stay *stay, uint64_t *out_left_bytes) {
    vsi_space *space = &engine->pager.space;
    vs_status st = checkpoint_sync(err, engine);
    if (st == VS_OK)
        st = vsi_freelist_load(err, engine);
    if (st != VS_OK)
        return st;
    if (space->dead_pages || !checkpoint_is_current(engine)) /* first what is free by itself */
        st = vacuum_move(err, engine, 0, stay);
    uint64_t end = space->end, tail = vacuum_tail(space, max_bytes);
    if (st == VS_OK && tail)
        st = vacuum_move(err, engine, tail, stay);
    *out_left_bytes = space->end < end ? vacuum_holes(space) * VSI_PAGE_BYTES : 0;
    return st;
}

VSI_FN vs_status vsi_vacuum(vsi_err *err, vsi_engine *engine, uint64_t max_bytes,
                            uint64_t *out_left_bytes) {
    vsi_watch watch = vsi_watch_begin(engine->config.watcher);
    *out_left_bytes = 0;
    vs_status st = vsi_role_take(err, engine, true);
    if (st != VS_OK)
        return st;
    vsi_mutex_lock(&engine->log_lock);
    st = vsi_engine_check_writable(err, engine);
    vsi_mutex_unlock(&engine->log_lock);
    checkpoint_watch(engine, &watch, UINT64_MAX);
    vsi_stay stay = vsi_stay_enter(&engine->pager.reside);
    if (st == VS_OK)
        st = vacuum_with_role(err, engine, max_bytes, &stay, out_left_bytes);
    vsi_stay_leave(&engine->pager.reside, stay);
    vsi_budget_keep(&engine->pager, &engine->descs);
    checkpoint_give_role(engine);
    return st;
}

/* ---- in steps ------------------------------------------------------------------------------- */

/* The size of the log that asks for a checkpoint; log_lock held. */
static uint64_t checkpoint_log_limit(vsi_engine *engine) {
    uint64_t set = vsi_atomic_load(&engine->checkpoint_log_bytes);
    if (set)
        return set;
    uint64_t share = engine->metas.newest.checkpoint.end * VSI_PAGE_BYTES / CHECKPOINT_LOG_SHARE;
    uint64_t limit = share < VSI_CHECKPOINT_LOG_BYTES ? VSI_CHECKPOINT_LOG_BYTES : share;
    return limit > VSI_CHECKPOINT_LOG_BYTES_MAX ? VSI_CHECKPOINT_LOG_BYTES_MAX : limit;
}

/* How far it is to the next checkpoint. */
typedef struct checkpoint_pressure {
    bool is_near; /* time to write slabs ahead of it */
    bool is_due;
    bool is_late; /* whatever is left to write, it must be now */
    bool wants_room;
    uint64_t log_bytes;
} checkpoint_pressure;

static checkpoint_pressure checkpoint_look(vsi_engine *engine) {
    checkpoint_pressure p = {false, false, false, false, 0};
    vsi_mutex_lock(&engine->log_lock);
    uint64_t bytes = vsi_log_bytes(&engine->log), limit = checkpoint_log_limit(engine);
    if (!engine->has_failed && bytes >= engine->retry_log_bytes) {
        p.wants_room = engine->wants_room;
        p.is_late = engine->memory_is_full || p.wants_room || bytes >= 2 * limit;
        p.is_due = p.is_late || bytes >= limit;
        p.is_near = p.is_due || bytes >= limit / 2;
    }
    p.log_bytes = bytes;
    vsi_mutex_unlock(&engine->log_lock);
    return p;
}

/* Writes slabs ahead of the checkpoint; the role is held. */
static vs_status checkpoint_write_ahead(vsi_err *err, vsi_engine *engine, uint64_t max_bytes) {
    vsi_stay stay = vsi_stay_enter(&engine->pager.reside);
    vs_status st = vsi_freelist_load(err, engine);
    vsi_space_give_left(&engine->pager.space);
    if (st == VS_OK)
        st = vsi_flush_slabs_early(err, &engine->versions.applied->state, max_bytes);
    vsi_stay_leave(&engine->pager.reside, stay);
    return st;
}

/* When the host ended one that was to make room, the next commit tries again: the log cannot grow. */
static void checkpoint_put_off(vsi_engine *engine, const vsi_err *err, bool wants_room) {
    bool is_urgent = wants_room && err->code == VS_ERR_INTERRUPTED;
    vsi_mutex_lock(&engine->log_lock);
    engine->retry_log_bytes = is_urgent ? 0 : 2 * vsi_log_bytes(&engine->log);
    vsi_mutex_unlock(&engine->log_lock);
    vsi_engine_message(engine, VS_LOG_WARNING, "no checkpoint was made: %s", err->text);
}

VSI_FN void vsi_checkpoint_if_due(vsi_engine *engine) {
    vsi_err err = {0};
    checkpoint_pressure p = checkpoint_look(engine);
    if (!p.is_near || vsi_role_take(&err, engine, false) != VS_OK)
        return;
    vsi_watch watch = vsi_watch_begin(engine->config.watcher);
    watch.is_deaf = true; /* the commit was asked for, and is done */
    checkpoint_watch(engine, &watch, UINT64_MAX);
    uint64_t ahead = engine->ahead_log_bytes < p.log_bytes ? engine->ahead_log_bytes : 0;
    vs_status st = checkpoint_write_ahead(&err, engine, CHECKPOINT_PACE * (p.log_bytes - ahead));
    engine->ahead_log_bytes = p.log_bytes;
    uint64_t left = vsi_flush_slabs_left(&engine->versions.applied->state);
    if (st == VS_OK && (p.is_late || (p.is_due && left <= CHECKPOINT_LAST_STEP_BYTES)))
        st = checkpoint_with_role(&err, engine, false);
    if (st == VS_OK && p.wants_room)
        st = checkpoint_relieve(&err, engine);
    if (st != VS_OK)
        checkpoint_put_off(engine, &err, p.wants_room);
    checkpoint_give_role(engine);
}

static vs_status maintain_with_role(vsi_err *err, vsi_engine *engine, uint64_t max_bytes,
                                    uint64_t *out_left_bytes) {
    vs_status st = checkpoint_write_ahead(err, engine, max_bytes);
    uint64_t left = vsi_flush_slabs_left(&engine->versions.applied->state);
    if (st == VS_OK && left == 0)
        st = checkpoint_with_role(err, engine, false);
    *out_left_bytes = left ? left + engine->cow.bytes - engine->cow.dead_bytes : 0;
    return st;
}

VSI_FN vs_status vsi_maintain(vsi_err *err, vsi_engine *engine, uint64_t max_bytes,
                              uint64_t *out_left_bytes) {
    vsi_watch watch = vsi_watch_begin(engine->config.watcher);
    *out_left_bytes = 0;
    if (!checkpoint_look(engine).is_near)
        return VS_OK;
    vs_status st = vsi_role_take(err, engine, true);
    if (st != VS_OK)
        return st;
    checkpoint_watch(engine, &watch, max_bytes);
    st = maintain_with_role(err, engine, max_bytes, out_left_bytes);
    checkpoint_give_role(engine);
    return st;
}
