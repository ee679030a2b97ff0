/* clone.c - what the last commit left, as a closed database in another file system.
 *
 * The last checkpoint's pages and the log behind it are copied as they are; then the copy is opened, which
 * applies the log, and closed. So opening and closing say what a closed database is, and not a second time this.
 *
 *   O1  From the moment that is copied on, its pages are not written to and its log files stay: as for
 *       vs_check, nothing is freed meanwhile.
 *   O2  The copy's log ends with the frame that made the published version. What comes behind it, of a
 *       transaction that is open, or not durable yet, is not in the copy. */
#include "store/clone.h"
#include "store/check.h"
#include "store/checkpoint.h"
#include "store/open.h"

enum { CLONE_STEP_BYTES = 1 << 20 };

typedef struct clone_work {
    vsi_engine *engine; /* that is copied */
    vsi_mem mem;        /* of the copy */
    const vs_vfs *vfs;
    const char *path;
    vsi_buf step; /* bytes on their way */

    /* as of the moment that is copied */
    vsi_metas metas;
    uint64_t lsn;
    vsi_hash128 digest;
    uint64_t log_end; /* of the log file that commits go to, as far as it was written */
} clone_work;

/* ---- the moment ----------------------------------------------------------------------------- */

/* Commits are published and meta pages are written under log_lock: both are of one moment. */
static void clone_begin(clone_work *work) {
    vsi_engine *engine = work->engine;
    vsi_mutex_lock(&engine->log_lock);
    engine->checks++; /* keeps O1 */
    work->metas = engine->metas;
    bool is_current = engine->log.generation == engine->metas.newest.generation;
    work->log_end = is_current && vsi_log_is_open(&engine->log) ? engine->log.pos : UINT64_MAX;
    vsi_versions_peek(&engine->versions, &work->lsn, &work->digest);
    vsi_mutex_unlock(&engine->log_lock);
}

/* Whether a failed sync has moved the log since: what was read of it may have been lost there. */
static bool clone_end(clone_work *work) {
    vsi_engine *engine = work->engine;
    vsi_mutex_lock(&engine->log_lock);
    engine->checks--;
    bool has_moved = engine->metas.newest.generation != work->metas.newest.generation;
    vsi_mutex_unlock(&engine->log_lock);
    return has_moved;
}

/* ---- the files ------------------------------------------------------------------------------ */

/* Bytes [offset, end) of a file, or as many of them as it has. */
static vs_status clone_bytes(vsi_err *err, clone_work *work, const vsi_file *from,
                             const vsi_file *to, uint64_t offset, uint64_t end) {
    work->step.bytes = 0;
    if (!vsi_buf_reserve(&work->step, CLONE_STEP_BYTES))
        return vsi_fail_nomem(err, CLONE_STEP_BYTES);
    while (offset < end) {
        size_t want =
            end - offset < CLONE_STEP_BYTES ? (size_t)(end - offset) : (size_t)CLONE_STEP_BYTES;
        size_t got = 0;
        vs_status st = vsi_file_read(err, from, work->step.data, want, offset, &got);
        if (st == VS_OK && got)
            st = vsi_file_write(err, to, work->step.data, got, offset);
        if (st != VS_OK)
            return st;
        if (got < want)
            break;
        offset += got;
    }
    return VS_OK;
}

/* One log file; that there is none is found out when the copy is opened. */
static vs_status clone_log(vsi_err *err, clone_work *work, uint64_t generation) {
    char path[VSI_PATH_BYTES_MAX];
    vsi_file from, to;
    vs_status st = vsi_log_path(err, work->engine->path, generation, path);
    if (st == VS_OK)
        st = vsi_file_open(err, &work->mem, work->engine->config.vfs, path, VS_VFS_READ, &from);
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    st = vsi_log_path(err, work->path, generation, path);
    if (st == VS_OK)
        st = vsi_file_open(err, &work->mem, work->vfs, path, VS_VFS_WRITE | VS_VFS_CREATE, &to);
    if (st == VS_OK) {
        bool is_last = generation == work->metas.newest.generation;
        st = clone_bytes(err, work, &from, &to, 0, is_last ? work->log_end : UINT64_MAX);
        vsi_file_close(&to);
    }
    vsi_file_close(&from);
    return st;
}

/* Reads the copied log up to the frame that is the last one in the copy. */
static vs_status clone_find_end(vsi_err *err, clone_work *work, vsi_replay *replay) {
    const vsi_meta *meta = &work->metas.newest;
    vs_status st =
        vsi_replay_open(err, &work->mem, work->vfs, work->path, meta, &meta->checkpoint, replay);
    while (st == VS_OK && !replay->is_done && replay->next_lsn <= work->lsn) {
        vsi_frame frame;
        vsi_bytes payload;
        st = vsi_replay_next(err, replay, &frame, &payload);
    }
    return st;
}

/* Cuts the copied log behind that frame; keeps O2. */
static vs_status clone_cut_log(vsi_err *err, clone_work *work) {
    vsi_meta *meta = &work->metas.newest;
    char path[VSI_PATH_BYTES_MAX];
    vsi_file file;
    vsi_replay *replay = vsi_alloc_zeroed(&work->mem, sizeof *replay);
    if (!replay)
        return vsi_fail_nomem(err, sizeof *replay);
    meta->durable_lsn = work->lsn;
    vs_status st = clone_find_end(err, work, replay);
    if (st == VS_OK) {
        const vsi_replay_file *files = (const vsi_replay_file *)(const void *)replay->files.data;
        meta->generation = files[replay->at].header.generation;
        st = vsi_log_path(err, work->path, meta->generation, path);
    }
    if (st == VS_OK)
        st = vsi_file_open(err, &work->mem, work->vfs, path, VS_VFS_WRITE, &file);
    if (st == VS_OK) {
        st = vsi_file_truncate(err, &file, replay->pos);
        vsi_file_close(&file);
    }
    vsi_replay_free(replay);
    vsi_free(&work->mem, replay, sizeof *replay);
    return st;
}

/* The log files that the copy needs. */
static vs_status clone_logs(vsi_err *err, clone_work *work) {
    vsi_meta *meta = &work->metas.newest;
    const vsi_checkpoint_info *from = &meta->checkpoint;
    if (work->lsn <= from->lsn) {
        meta->generation = from->log_from - 1;
        meta->durable_lsn = from->lsn;
        return VS_OK;
    }
    vs_status st = VS_OK;
    for (uint64_t i = from->log_from; st == VS_OK && i <= meta->generation; i++)
        st = clone_log(err, work, i);
    return st == VS_OK ? clone_cut_log(err, work) : st;
}

/* The pages of the checkpoint, and meta pages with the sequence numbers that they have. */
static vs_status clone_data(vsi_err *err, clone_work *work, const vsi_file *to) {
    const vsi_meta *meta = &work->metas.newest;
    uint64_t first = (uint64_t)VSI_SPACE_FIRST_PAGE * VSI_PAGE_BYTES,
             end = meta->checkpoint.end * VSI_PAGE_BYTES;
    vs_status st = end ? vsi_file_truncate(err, to, end) : VS_OK; /* as large as it will be */
    if (st == VS_OK)
        st = clone_bytes(err, work, &work->engine->data, to, first, end);
    if (st != VS_OK)
        return st;
    vsi_metas metas = {.last_seq = meta->seq > 2 ? meta->seq - 2 : 0,
                       .next_slot = work->metas.next_slot,
                       .is_settled = true};
    return vsi_metas_write(err, to, &metas, meta);
}

static vs_status clone_files(vsi_err *err, clone_work *work) {
    vsi_file to;
    vs_status st = clone_logs(err, work);
    if (st == VS_OK)
        st = vsi_file_open(err, &work->mem, work->vfs, work->path, VS_VFS_WRITE | VS_VFS_CREATE,
                           &to);
    if (st != VS_OK)
        return st;
    st = clone_data(err, work, &to);
    vsi_file_close(&to);
    return st;
}

/* ---- the database in them ------------------------------------------------------------------- */

/* The first problem of a check, in the place of an error. */
static void clone_note_problem(void *ctx, const char *problem) {
    vsi_err *found = ctx;
    if (found->code == VS_OK)
        (void)vsi_fail(found, VS_ERR_CORRUPT, "%s", problem);
}

static vs_status clone_verify(vsi_err *err, const clone_work *work, vsi_engine *copy) {
    vsi_err found = {0};
    vsi_hash128 digest;
    uint64_t lsn = 0;
    vsi_versions_peek(&copy->versions, &lsn, &digest);
    if (digest.lo != work->digest.lo || digest.hi != work->digest.hi)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the copy of frame %llu has another content",
                        work->engine->path, (unsigned long long)work->lsn);
    vs_status st = vsi_engine_check(err, copy, 2, NULL, clone_note_problem, &found);
    if (st == VS_OK && found.code != VS_OK) {
        *err = found;
        st = VS_ERR_CORRUPT;
    }
    return st;
}

/* Opens the copy and closes it. */
static vs_status clone_settle(vsi_err *err, clone_work *work) {
    vsi_engine_config config = {.mem = &work->mem,
                                .vfs = work->vfs,
                                .path = work->path,
                                .sync = VS_SYNC_OFF,
                                .busy_timeout_ms = VS_NO_WAIT,
                                .memory_limit =
                                    vsi_atomic_load(&work->engine->pager.reside.limit_bytes),
                                .stores_plain = !vsi_atomic_load(&work->engine->pager.packs)};
    vsi_engine *copy = NULL;
    vsi_err second = {0};
    vs_status st = vsi_engine_open(err, &config, &copy);
    if (st != VS_OK)
        return st;
    st = vsi_checkpoint(err, copy, true);
    if (st == VS_OK)
        st = clone_verify(err, work, copy);
    vs_status closed = vsi_engine_close(&second, copy, false);
    if (st == VS_OK && closed != VS_OK) {
        *err = second;
        st = closed;
    }
    return st;
}

VSI_FN vs_status vsi_clone(vsi_err *err, vsi_engine *engine, const vs_vfs *vfs, const char *path) {
    clone_work work = {.engine = engine, .vfs = vfs, .path = path};
    bool has_moved = false;
    vs_status st = VS_OK;
    vsi_mem_init(&work.mem, &engine->mem->hook);
    work.step.mem = &work.mem;
    do {
        clone_begin(&work);
        st = clone_files(err, &work);
        has_moved = clone_end(&work);
    } while (st == VS_ERR_CORRUPT && has_moved);
    vsi_buf_free(&work.step);
    return st == VS_OK ? clone_settle(err, &work) : st;
}
