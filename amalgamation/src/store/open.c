/* open.c - opening a database: its file, the meta pages, recovery.
 *
 *   N1  Opening changes no file, except that creating makes one and a writer notes its process
 *       id in the space between the meta pages and repairs a torn spare page. The first commit
 *       begins a log file of this session's own. Recovery beyond the memory limit also writes to
 *       pages that no checkpoint reaches.
 *   N2  Recovery applies exactly the transactions whose COMMIT frame counts, in order, through
 *       vsi_apply, and compares the digest that each commit recorded. */
#include "store/open.h"
#include "store/savepoint.h"
#include "store/spill.h"

/* ---- opening: the file ---------------------------------------------------------------------- */

/* The names of its logs must fit as well. */
static vs_status open_check_name(vsi_err *err, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t bytes = strlen(slash ? slash + 1 : path);
    if (bytes <= VSI_NAME_BYTES_MAX)
        return VS_OK;
    return vsi_fail(err, VS_ERR_LIMIT, "%s: the name has %zu bytes, expected at most %d", path,
                    bytes, VSI_NAME_BYTES_MAX);
}

static vs_status open_data_file(vsi_err *err, vsi_engine *engine) {
    const vsi_engine_config *config = &engine->config;
    uint32_t mode = config->is_readonly ? VS_VFS_READ : VS_VFS_WRITE;
    if (config->may_create && !config->is_readonly)
        mode |= VS_VFS_CREATE;
    vs_status st =
        vsi_os_full_path(err, config->vfs, config->path, engine->path, sizeof engine->path);
    if (st == VS_OK)
        st = open_check_name(err, engine->path);
    if (st == VS_OK)
        st = vsi_file_open(err, engine->mem, config->vfs, engine->path, mode, &engine->data);
    if (st == VS_ERR_NOT_FOUND && !config->may_create)
        return vsi_fail(err, st, "%s does not exist (VS_OPEN_CREATE would create it)",
                        config->path);
    if ((st == VS_ERR_READONLY || st == VS_ERR_DENIED) && !config->is_readonly)
        return vsi_fail_in(err, "cannot write (VS_OPEN_READONLY may do)");
    return st;
}

static vs_status open_lock(vsi_err *err, vsi_engine *engine) {
    bool is_readonly = engine->config.is_readonly;
    vs_status st =
        vsi_file_lock(err, &engine->data, is_readonly ? VS_VFS_SHARED : VS_VFS_EXCLUSIVE_LOCK);
    if (st != VS_ERR_BUSY)
        return st;
    uint64_t holder = vsi_session_read(&engine->data);
    if (!holder)
        return vsi_fail(err, st, "%s is in use by another process or handle", engine->path);
    return vsi_fail(err, st, "%s is in use; process %llu was the last to open it for writing",
                    engine->path, (unsigned long long)holder);
}

/* A log file beside a data file that has no database means that there was one. */
static vs_status open_refuse_log(vsi_err *err, vsi_engine *engine, uint64_t generation) {
    char path[VSI_PATH_BYTES_MAX];
    vsi_file log;
    vs_status st = vsi_log_path(err, engine->path, generation, path);
    if (st == VS_OK)
        st = vsi_file_open(err, engine->mem, engine->config.vfs, path, VS_VFS_READ, &log);
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    vsi_file_close(&log);
    return vsi_fail(err, VS_ERR_CORRUPT, "%s is empty, yet its log %s exists", engine->path, path);
}

/* A file without a database in it: make one, unless a log lies beside it that says there was one.
 */
static vs_status open_new(vsi_err *err, vsi_engine *engine) {
    const vsi_engine_config *config = &engine->config;
    if (!config->may_create || config->is_readonly)
        return vsi_fail(err, VS_ERR_NOT_DB, "%s is empty, not a database", engine->path);
    vs_status st = VS_OK;
    for (uint64_t i = 1; st == VS_OK && i <= VSI_LOG_STRAYS_MAX; i++)
        st = open_refuse_log(err, engine, i);
    if (st != VS_OK)
        return st;
    return vsi_metas_create(err, &engine->data, config->vfs->wall_us(config->vfs->ctx),
                            config->trailer_bytes, &engine->metas);
}

static vs_status open_metas(vsi_err *err, vsi_engine *engine) {
    bool is_new = false;
    vs_status st = vsi_metas_read(err, &engine->data, &engine->metas, &is_new);
    if (st != VS_OK)
        return st;
    if (is_new)
        return open_new(err, engine);
    if (engine->metas.is_damaged)
        vsi_engine_message(engine, VS_LOG_WARNING,
                           "%s: one of the two meta pages is damaged; the other one serves",
                           engine->path);
    if (engine->config.is_readonly)
        return VS_OK;
    if (!vsi_meta_may_write(&engine->metas.newest))
        return vsi_fail(err, VS_ERR_TOO_NEW,
                        "%s uses features that version %s can only read (VS_OPEN_READONLY)",
                        engine->path, VS_VERSION);
    vsi_err repair = {0};
    if (vsi_engine_settle_metas(&repair, engine) != VS_OK)
        vsi_engine_message(engine, VS_LOG_WARNING, "%s", repair.text);
    return VS_OK;
}

/* ---- opening: recovery ---------------------------------------------------------------------- */

typedef struct recovery {
    vsi_engine *engine;
    vsi_replay replay;
    vsi_state state; /* committed so far */
    vsi_state work;  /* with the operations of the streamed transaction that is open */
    bool in_txn;
    uint64_t txn;
    vsi_cow_mark mark;
    size_t taken_bytes;    /* of the pager, when the transaction began */
    vsi_savepoints points; /* of the transaction */
    uint64_t commit_lsn, first_cont_lsn;
    const vsi_checkpoint_info *from;
    vsi_watch watch;
} recovery;

/* Opens, ends or goes back to a savepoint, as the transaction did. */
static vs_status recovery_savepoint(vsi_err *err, vsi_savepoints *points, vsi_state *state,
                                    const vsi_op *op) {
    bool opens = op->kind == VSI_OP_SAVEPOINT;
    bool fits = opens ? op->savepoint == points->count + 1 && points->count < VS_SAVEPOINTS_MAX
                      : op->savepoint >= 1 && op->savepoint <= points->count;
    if (!fits)
        return vsi_fail(err, VS_ERR_CORRUPT, "operation of kind %d on savepoint %lu: %lu are open",
                        op->kind, (unsigned long)op->savepoint, (unsigned long)points->count);
    if (opens)
        return vsi_savepoints_open(err, points, state);
    if (op->kind == VSI_OP_ROLLBACK_TO)
        vsi_savepoints_rollback_to(points, op->savepoint, state);
    else
        vsi_savepoints_release(points, op->savepoint);
    return VS_OK;
}

static vs_status recovery_apply(vsi_err *err, vsi_savepoints *points, vsi_state *state,
                                vsi_bytes payload) {
    for (size_t pos = 0; pos < payload.bytes;) {
        vsi_op op;
        bool is_known = false;
        vs_status st = vsi_op_read(err, payload, &pos, &op, &is_known);
        if (st == VS_OK && is_known && vsi_op_is_mark(op.kind))
            st = recovery_savepoint(err, points, state, &op);
        else if (st == VS_OK && is_known)
            st = vsi_apply(err, state, &op, NULL);
        if (st != VS_OK)
            return st;
    }
    return VS_OK;
}

/* The streamed transaction never committed. */
static void recovery_undo(recovery *r) {
    vsi_savepoints_release(&r->points, 1);
    if (r->in_txn) {
        vsi_cow_undo(&r->engine->cow, r->mark);
        vsi_pager_undo_to(&r->engine->pager, r->taken_bytes);
        vsi_descs_undo(&r->engine->descs, &r->engine->pager);
    }
    r->in_txn = false;
}

static vs_status recovery_frame(vsi_err *err, recovery *r, const vsi_frame *frame,
                                vsi_bytes payload) {
    if (r->in_txn && frame->txn != r->txn)
        recovery_undo(r);
    if (!r->in_txn && frame->kind == VSI_FRAME_CONT) {
        r->mark = vsi_cow_open(&r->engine->cow);
        r->engine->pager.writer++;
        r->taken_bytes = r->engine->pager.taken.bytes;
        r->in_txn = true;
        r->txn = frame->txn;
        r->work = r->state;
        r->first_cont_lsn = frame->lsn;
    }
    vs_status st = recovery_apply(err, &r->points, r->in_txn ? &r->work : &r->state, payload);
    if (st != VS_OK)
        return vsi_fail_in(err, "%s: log frame %llu", r->engine->path,
                           (unsigned long long)frame->lsn);
    vsi_spill(r->engine, r->in_txn ? &r->work : &r->state);
    if (frame->kind == VSI_FRAME_CONT)
        return VS_OK;
    vsi_savepoints_release(&r->points, 1);
    if (r->in_txn) {
        vsi_cow_keep(&r->engine->cow, r->mark);
        r->state = r->work;
        r->in_txn = false;
    }
    r->commit_lsn = frame->lsn;
    r->engine->recovered_txns++;
    return VS_OK;
}

/* Gives the log the frames that may not be durable, as if this session had written them; the first
 * commit takes them along into its new file. */
static vs_status recovery_keep_tail(vsi_err *err, recovery *r, uint64_t end_lsn) {
    for (uint64_t lsn = r->replay.durable_lsn + 1; lsn <= end_lsn; lsn++) {
        vsi_frame frame;
        vsi_bytes payload = {0};
        vs_status st = vsi_replay_reread(err, &r->replay, lsn, &frame, &payload);
        if (st == VS_OK)
            st = vsi_log_keep(err, &r->engine->log, &frame, payload.data);
        if (st != VS_OK)
            return st;
    }
    return VS_OK;
}

static vs_status recovery_finish(vsi_err *err, recovery *r) {
    vsi_engine *engine = r->engine;
    const vsi_replay *replay = &r->replay;
    uint64_t end_lsn = r->commit_lsn > replay->durable_lsn ? r->commit_lsn : replay->durable_lsn;
    engine->dropped_lsn = replay->dropped_lsn;
    engine->dropped_bytes = replay->dropped_bytes;
    if (r->in_txn && end_lsn < r->first_cont_lsn)
        engine->dropped_lsn = r->first_cont_lsn;
    recovery_undo(r);
    if (engine->dropped_lsn)
        vsi_engine_message(engine, VS_LOG_INFO,
                           "%s: the log ends in a torn or unfinished write; dropped from frame "
                           "%llu on, none of it was durable",
                           engine->path, (unsigned long long)engine->dropped_lsn);
    vsi_log *log = &engine->log;
    log->generation = engine->metas.newest.generation;
    log->durable_lsn = replay->durable_lsn;
    log->durable_chain = replay->durable_chain;
    log->next_lsn = end_lsn + 1;
    log->older_bytes = replay->total_bytes;
    return engine->config.is_readonly ? VS_OK : recovery_keep_tail(err, r, end_lsn);
}

static vs_status recovery_run(vsi_err *err, recovery *r) {
    vsi_engine *engine = r->engine;
    vs_status st = vsi_replay_open(err, engine->mem, engine->config.vfs, engine->path,
                                   &engine->metas.newest, r->from, &r->replay);
    vsi_replay_watch(&r->replay, "bytes of log recovered", &r->watch);
    while (st == VS_OK) {
        vsi_frame frame;
        vsi_bytes payload;
        st = vsi_replay_next(err, &r->replay, &frame, &payload);
        if (st != VS_OK || r->replay.is_done)
            break;
        st = recovery_frame(err, r, &frame, payload); /* keeps N2 */
        if (st == VS_OK)
            st = vsi_replay_step(err, &r->replay, &r->watch);
    }
    return st == VS_OK ? recovery_finish(err, r) : st;
}

/* The state that a checkpoint left in the file. */
static vs_status open_load(vsi_err *err, vsi_engine *engine, const vsi_checkpoint_info *from,
                           vsi_state *out_state) {
    uint64_t bytes = 0;
    vs_status st = vsi_file_size(err, &engine->data, &bytes);
    if (st == VS_OK && from->end > bytes / VSI_PAGE_BYTES)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s is truncated: it has %llu bytes, expected %llu",
                      engine->path, (unsigned long long)bytes,
                      (unsigned long long)from->end * VSI_PAGE_BYTES);
    if (st != VS_OK)
        return st;
    vsi_pager_open_to(&engine->pager, from->end);
    *out_state = vsi_state_empty(&engine->cow, &engine->descs);
    out_state->catalog.root = from->catalog;
    out_state->catalog.count = from->catalog_count;
    out_state->digest = from->digest;
    return vsi_state_load(err, out_state);
}

/* Frees and notes what recovery replaced: nobody reads it. */
static vs_status recovery_bury(vsi_err *err, vsi_engine *engine) {
    size_t dead = engine->cow.dead_extents.bytes / sizeof(vsi_dead_extent);
    vs_status st = vsi_space_expect(err, &engine->pager.space, dead);
    if (st == VS_OK)
        vsi_engine_bury(engine, engine->versions.applied, engine->metas.newest.checkpoint.number);
    vsi_cow_free_dead(&engine->cow, engine->versions.applied->dead);
    engine->versions.applied->dead = NULL;
    return st;
}

/* The state of a checkpoint and of the log behind it. */
static vs_status open_recover_from(vsi_err *err, vsi_engine *engine,
                                   const vsi_checkpoint_info *from) {
    recovery *r = vsi_alloc_zeroed(engine->mem, sizeof *r);
    if (!r)
        return vsi_fail_nomem(err, sizeof *r);
    r->engine = engine;
    r->from = from;
    r->watch = vsi_watch_begin(engine->config.watcher);
    r->points = (vsi_savepoints){.engine = engine, .list = {.mem = engine->mem}};
    r->commit_lsn = from->lsn;
    engine->pager.birth = (uint32_t)(from->number + 1);
    vsi_cow_mark mark = vsi_cow_open(&engine->cow);
    vs_status st = open_load(err, engine, from, &r->state);
    if (st == VS_OK)
        st = recovery_run(err, r);
    if (st == VS_OK)
        st = vsi_state_settle(err, &r->state);
    if (st == VS_OK) {
        vsi_cow_keep(&engine->cow, mark);
        vsi_pager_keep(&engine->pager);
    } else {
        recovery_undo(r);
        vsi_cow_undo(&engine->cow, mark);
        vsi_pager_undo(&engine->pager);
    }
    if (st == VS_OK)
        st = recovery_bury(err, engine);
    if (st == VS_OK) {
        vsi_version *version = engine->versions.applied;
        version->state = r->state;
        version->lsn = r->commit_lsn;
        version->scope = engine->cow.last_scope;
        version->checkpoint = from->number;
        engine->last_coll = version->state.last_coll;
        uint32_t last_desc = vsi_descs_last_id(&engine->descs);
        if (last_desc >
            engine->last_coll) /* readers may look at it: it must not become another one */
            engine->last_coll = last_desc;
    }
    vsi_replay_free(&r->replay);
    vsi_free(engine->mem, r, sizeof *r);
    return st;
}

/* The newest checkpoint is damaged where recovery needed it: the one before, if it and its log are still
 * there, leads to the same state. */
static vs_status open_go_back(vsi_err *err, vsi_engine *engine) {
    vsi_meta *meta = &engine->metas.newest;
    vsi_err second = {0};
    vsi_engine_message(engine, VS_LOG_WARNING,
                       "%s; going back to checkpoint %llu and the log behind it", err->text,
                       (unsigned long long)meta->previous.number);
    engine->recovered_txns = 0;
    /* What was read of the newest one is free to be written to. */
    vsi_pager_forget(&engine->pager,
                     (vsi_run){VSI_SPACE_FIRST_PAGE,
                               vsi_ordered_load(&engine->pager.end) - VSI_SPACE_FIRST_PAGE});
    engine->may_spill = false; /* the list of free pages is the other checkpoint's */
    engine->pager.dropped.bytes = 0;
    vsi_space_free(&engine->pager.space);
    vsi_space_init(&engine->pager.space, engine->mem);
    if (engine->config.maps_slabs)
        vsi_pager_allow_maps(&engine->pager);
    vsi_descs_free(&engine->descs);
    if (!vsi_descs_init(&engine->descs, engine->mem, engine->config.codes))
        return vsi_fail_nomem(err, sizeof engine->descs);
    vs_status st = open_recover_from(&second, engine, &meta->previous);
    if (st == VS_ERR_CORRUPT || st == VS_ERR_LOG_MISSING)
        return err->code & 0xff; /* the first message says more */
    if (st != VS_OK) {
        *err = second;
        return st;
    }
    meta->checkpoint = meta->previous;
    meta->previous = (vsi_checkpoint_info){.log_from = 0};
    engine->has_gone_back = true;
    return VS_OK;
}

static vs_status open_recover(vsi_err *err, vsi_engine *engine) {
    const vsi_meta *meta = &engine->metas.newest;
    engine->may_spill = true;
    vs_status st = open_recover_from(err, engine, &meta->checkpoint);
    if (st == VS_ERR_CORRUPT && meta->previous.log_from)
        st = open_go_back(err, engine);
    engine->may_spill = true;
    return st;
}

/* ---- all ------------------------------------------------------------------------------------ */

static vs_status open_steps(vsi_err *err, vsi_engine *engine) {
    vs_status st = open_data_file(err, engine);
    if (st == VS_OK)
        st = open_lock(err, engine);
    engine->data.failed_syncs = &engine->failed_syncs;
    if (st == VS_OK)
        st = open_metas(err, engine);
    if (st != VS_OK)
        return st;
    engine->pager.trailer_bytes = engine->metas.newest.trailer_bytes;
    engine->log = (vsi_log){.mem = engine->mem,
                            .vfs = engine->config.vfs,
                            .path = engine->path,
                            .data = &engine->data,
                            .metas = &engine->metas,
                            .next_lsn = 1};
    st = open_recover(err, engine);
    if (st == VS_OK && !engine->config.is_readonly)
        vsi_session_write(&engine->data, engine->config.vfs->process_id(engine->config.vfs->ctx));
    return st;
}

VSI_FN vs_status vsi_engine_open(vsi_err *err, const vsi_engine_config *config,
                                 vsi_engine **out_engine) {
    vsi_engine *engine = vsi_engine_new(config);
    *out_engine = NULL;
    if (!engine)
        return vsi_fail_nomem(err, sizeof *engine);
    vs_status st = open_steps(err, engine);
    if (st != VS_OK) {
        vsi_engine_free(engine);
        return st;
    }
    engine->last_sync_us = config->vfs->ticks_us(config->vfs->ctx);
    *out_engine = engine;
    return VS_OK;
}
