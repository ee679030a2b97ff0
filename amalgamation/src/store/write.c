/* write.c - write transactions.
 *
 *   T1  The state of a transaction is its own copy; nothing it does can be seen before
 *       vsi_versions_add, and everything can be dropped.
 *   T2  The role passes on after the COMMIT frame was written and before it is synced: the next
 *       writer builds on `applied` while this one waits. One sync then serves all that wait.
 *   T3  A commit that is refused leaves no COMMIT frame that recovery could find, or the engine
 *       has failed and the answer is VS_ERR_INDOUBT.
 *   T4  The log knows the outermost savepoints, those behind which operations are in it; what is staged
 *       belongs behind all of these. So going back to one of them empties the buffer, and going back to
 *       another one cuts it. */
#include "store/write.h"
#include "store/admit.h"
#include "store/freelist.h"

/* More staged operations than this go to the log early. Smaller in some tests. */
#ifndef VSI_STREAM_BYTES
#define VSI_STREAM_BYTES (1 << 20)
#endif

enum {
    /* Frames kept for a failed sync take a share of the memory limit, if that is not too little. */
    WRITE_KEPT_SHARE = 4,
    WRITE_KEPT_BYTES_MIN = 1 << 20,
    /* Pauses between questions whether to wait on: 1 ms, then twice as long up to 128. */
    ROLE_PAUSES = 8
};

/* ---- the writer role ------------------------------------------------------------------------ */

/* How long a call has waited for the role, and how often it was asked. */
typedef struct role_wait {
    int64_t since_us;
    uint32_t tries;
} role_wait;

/* Asks whether to wait on; versions.lock is released meanwhile. The thread is known as one that is asked, so
 * that it cannot wait for itself. */
static bool role_ask(vsi_engine *engine, const role_wait *wait, int64_t waited_us) {
    vsi_asker asker = {.next = engine->askers, .thread = vsi_thread_id()};
    uint64_t waited_ms = (uint64_t)waited_us / 1000;
    engine->askers = &asker;
    vsi_mutex_unlock(&engine->versions.lock);
    int goes_on = engine->config.busy_fn(engine->config.busy_ctx,
                                         waited_ms < UINT32_MAX ? (uint32_t)waited_ms : UINT32_MAX,
                                         wait->tries);
    vsi_mutex_lock(&engine->versions.lock);
    vsi_asker **link = &engine->askers;
    while (*link != &asker)
        link = &(*link)->next;
    *link = asker.next;
    return goes_on;
}

/* How long to wait for the role until looking again, 0: give up. versions.lock is held. */
static uint32_t role_patience_ms(vsi_engine *engine, role_wait *wait) {
    const vs_vfs *vfs = engine->config.vfs;
    int64_t waited_us = vfs->ticks_us(vfs->ctx) - wait->since_us;
    waited_us = waited_us > 0 ? waited_us : 0;
    if (engine->config.busy_fn) {
        if (!role_ask(engine, wait, waited_us))
            return 0;
        wait->tries += wait->tries < UINT32_MAX;
        return 1u << (wait->tries < ROLE_PAUSES ? wait->tries - 1 : ROLE_PAUSES - 1);
    }
    uint64_t timeout_ms = vsi_atomic_load(&engine->busy_timeout_ms);
    int64_t left_us = (int64_t)timeout_ms * 1000 - waited_us;
    bool waits = timeout_ms != VS_NO_WAIT && left_us > 0;
    return waits ? (uint32_t)(left_us / 1000 + 1) : 0;
}

static vs_status role_refuse_self(vsi_err *err, const vsi_engine *engine) {
    uint64_t self = vsi_thread_id();
    if (engine->role_is_taken && engine->role_thread == self)
        return vsi_fail(err, VS_ERR_MISUSE,
                        "this thread already has a write transaction open on %s", engine->path);
    for (const vsi_asker *asker = engine->askers; asker; asker = asker->next)
        if (asker->thread == self)
            return vsi_fail(err, VS_ERR_MISUSE,
                            "this thread waits for a write transaction on %s already, and is asked "
                            "whether to wait on",
                            engine->path);
    return VS_OK;
}

VSI_FN vs_status vsi_role_take(vsi_err *err, vsi_engine *engine, bool may_wait) {
    const vs_vfs *vfs = engine->config.vfs;
    role_wait wait = {.since_us = vfs->ticks_us(vfs->ctx)};
    vsi_mutex_lock(&engine->versions.lock);
    vs_status st = role_refuse_self(err, engine);
    while (st == VS_OK && engine->role_is_taken) {
        uint32_t patience_ms = may_wait ? role_patience_ms(engine, &wait) : 0;
        if (!patience_ms)
            st = vsi_fail(err, VS_ERR_BUSY, "%s: another thread's write transaction is open",
                          engine->path);
        else if (engine->role_is_taken) /* it may have ended meanwhile */
            vsi_cond_wait_ms(&engine->role_free, &engine->versions.lock, patience_ms);
    }
    if (st == VS_OK) {
        engine->role_is_taken = true;
        engine->role_thread = vsi_thread_id();
    }
    vsi_mutex_unlock(&engine->versions.lock);
    return st;
}

VSI_FN bool vsi_role_is_waited_for(vsi_engine *engine) {
    vsi_mutex_lock(&engine->versions.lock);
    bool is_waited_for = engine->askers;
    vsi_mutex_unlock(&engine->versions.lock);
    return is_waited_for;
}

VSI_FN void vsi_role_give(vsi_engine *engine) {
    vsi_mutex_lock(&engine->versions.lock);
    engine->role_is_taken = false;
    vsi_cond_wake_all(&engine->role_free);
    vsi_mutex_unlock(&engine->versions.lock);
}

/* ---- begin and rollback --------------------------------------------------------------------- */

/* An empty buffer for operations, the log's room in front. */
static bool write_reset_ops(vsi_write *write) {
    vsi_buf_free(&write->ops);
    if (!vsi_buf_reserve(&write->ops, VSI_LOG_BUF_FRONT))
        return false;
    memset(write->ops.data, 0, VSI_LOG_BUF_FRONT);
    write->ops.bytes = VSI_LOG_BUF_FRONT;
    return true;
}

VSI_FN vs_status vsi_write_begin(vsi_err *err, vsi_engine *engine, vsi_write *out_write) {
    vs_status st = vsi_role_take(err, engine, true);
    if (st != VS_OK)
        return st;
    vsi_mutex_lock(&engine->log_lock);
    st = vsi_engine_check_writable(err, engine);
    vsi_mutex_unlock(&engine->log_lock);
    vsi_write *write = out_write;
    memset(write, 0, sizeof *write);
    write->engine = engine;
    write->time_us = engine->config.vfs->wall_us(engine->config.vfs->ctx);
    write->ops.mem = engine->mem;
    write->freed.mem = engine->mem;
    write->taken.mem = engine->mem;
    write->touched.list.mem = engine->mem;
    write->points = (vsi_savepoints){.engine = engine, .list = {.mem = engine->mem}};
    if (st == VS_OK && !write_reset_ops(write))
        st = vsi_fail_nomem(err, VSI_LOG_BUF_FRONT);
    if (st != VS_OK) {
        vsi_role_give(engine);
        return st;
    }
    vsi_versions_reclaim(&engine->versions);
    engine->pager.writer++;
    write->state = engine->versions.applied->state;
    write->mark = vsi_cow_open(&engine->cow);
    return VS_OK;
}

/* Frees what a transaction holds; its scope is closed already. */
static void write_end(vsi_write *write) {
    vsi_buf_free(&write->ops);
    vsi_buf_free(&write->freed);
    vsi_buf_free(&write->taken);
    vsi_buf_free(&write->touched.list);
    vsi_role_give(write->engine);
}

/* Slots taken since give the pools what they had: there is room for them. */
static void write_give_back(vsi_write *write, size_t from_bytes) {
    while (write->taken.bytes > from_bytes) {
        vsi_freed_slot slot;
        write->taken.bytes -= sizeof slot;
        memcpy(&slot, write->taken.data + write->taken.bytes, sizeof slot);
        vsi_desc_give_slot(vsi_descs_find(&write->engine->descs, slot.coll), slot.slot);
    }
}

VSI_FN void vsi_write_rollback(vsi_write *write) {
    vsi_savepoints_release(&write->points, 1);
    write_give_back(write, 0);
    vsi_cow_undo(&write->engine->cow, write->mark);
    vsi_pager_undo(&write->engine->pager);
    vsi_descs_undo(&write->engine->descs, &write->engine->pager);
    write_end(write);
}

/* ---- into the log; log_lock held ------------------------------------------------------------ */

/* The session's log file, begun by its first frame. */
static vs_status write_open_log(vsi_err *err, vsi_engine *engine) {
    vs_status st = vsi_engine_check_writable(err, engine);
    if (st != VS_OK || vsi_log_is_open(&engine->log))
        return st;
    return vsi_engine_take_over(err, engine);
}

/* Frames kept for a failed sync are bounded. */
static void write_make_room(vsi_engine *engine, size_t bytes) {
    uint64_t most = vsi_atomic_load(&engine->pager.reside.limit_bytes) / WRITE_KEPT_SHARE;
    most = most < WRITE_KEPT_BYTES_MIN ? WRITE_KEPT_BYTES_MIN : most;
    most = most < VSI_UNSYNCED_MAX ? most : VSI_UNSYNCED_MAX;
    while (!engine->has_failed && engine->log.kept_bytes > 0 &&
           engine->log.kept_bytes + bytes > most)
        vsi_engine_sync_round(engine);
}

/* An append failed. Its bytes must not come back: cut them off, or leave the file behind. */
static void write_survive_failed_append(vsi_engine *engine) {
    vsi_err cause = {0};
    vsi_engine_wait_sync(engine);
    if (!engine->has_failed && vsi_log_cut_off(&cause, &engine->log) != VS_OK)
        vsi_engine_take_over(&cause, engine); /* a failure is kept in the engine */
    vsi_engine_publish(engine);
}

static vs_status write_append(vsi_err *err, vsi_write *write, int kind, vsi_buf *ops) {
    vsi_engine *engine = write->engine;
    vs_status st = write_open_log(err, engine);
    if (st != VS_OK)
        return st;
    write_make_room(engine, ops->bytes);
    st = vsi_engine_check_writable(err, engine);
    if (st != VS_OK)
        return st;
    int64_t now_us = engine->config.vfs->wall_us(engine->config.vfs->ctx);
    if (!write->has_streamed)
        write->txn = engine->log.next_lsn;
    st = vsi_log_append(err, &engine->log, kind, write->txn, now_us, ops);
    if (st != VS_OK && engine->log.tail_is_dirty)
        write_survive_failed_append(engine);
    if (st != VS_OK && engine->has_failed && kind == VSI_FRAME_COMMIT) /* keeps T3 */
        st =
            vsi_fail(err, VS_ERR_INDOUBT, "the commit may or may not survive: %s", engine->failure);
    return st;
}

/* ---- streaming ------------------------------------------------------------------------------ */

/* Bytes of whole operations from the start of payload, at most limit (or one operation). */
static size_t write_cut_point(const uint8_t *payload, size_t bytes, size_t limit) {
    size_t at = 0;
    while (at < bytes) {
        size_t next = at + vsi_op_bytes(payload + at);
        if (at > 0 && next > limit)
            break;
        at = next;
    }
    return at;
}

static bool write_mark(vsi_buf *out, int kind, uint32_t number) {
    vsi_op op = {.kind = kind, .savepoint = number};
    return vsi_op_write(out, &op);
}

/* Appends what the log must learn of savepoints before the operations from at on. */
static bool write_marks(const vsi_write *write, size_t at, vsi_buf *out,
                        vsi_logged_points *logged) {
    const vsi_savepoints *points = &write->points;
    bool ok = true;
    if (logged->rollback_to) {
        ok = write_mark(out, VSI_OP_ROLLBACK_TO, logged->rollback_to);
        logged->depth = logged->rollback_to;
        logged->rollback_to = 0;
    }
    if (ok && logged->depth > logged->count)
        ok = write_mark(out, VSI_OP_RELEASE, logged->count + 1);
    while (ok && logged->count < points->count &&
           vsi_savepoints_at(points, logged->count + 1)->ops_bytes <= at)
        ok = write_mark(out, VSI_OP_SAVEPOINT, ++logged->count); /* keeps T4 */
    logged->depth = logged->count;
    return ok;
}

/* Appends operations from at on, as many as a frame may have and up to the next savepoint. */
static bool write_add_ops(const vsi_write *write, size_t at, const vsi_logged_points *logged,
                          vsi_buf *out, size_t *out_bytes) {
    size_t end = write->ops.bytes;
    if (logged->count < write->points.count)
        end = vsi_savepoints_at(&write->points, logged->count + 1)->ops_bytes;
    *out_bytes = write_cut_point(write->ops.data + at, end - at, VSI_FRAME_PAYLOAD_MAX / 2);
    return vsi_buf_append(out, write->ops.data + at, *out_bytes);
}

/* One CONT frame of the staged operations from at on, which moves behind them. */
static vs_status write_stream_piece(vsi_err *err, vsi_write *write, size_t *at) {
    vsi_buf piece = {.mem = write->engine->mem};
    vsi_logged_points logged = write->logged;
    size_t n = 0;
    bool ok = vsi_buf_reserve(&piece, VSI_LOG_BUF_FRONT);
    piece.bytes = ok ? VSI_LOG_BUF_FRONT : 0;
    ok = ok && write_marks(write, *at, &piece, &logged) &&
         write_add_ops(write, *at, &logged, &piece, &n);
    vs_status st = ok ? VS_OK : vsi_fail_nomem(err, n);
    vsi_mutex_lock(&write->engine->log_lock);
    if (st == VS_OK)
        st = write_append(err, write, VSI_FRAME_CONT, &piece);
    vsi_mutex_unlock(&write->engine->log_lock);
    vsi_buf_free(&piece);
    if (st != VS_OK)
        return st;
    write->has_streamed = true;
    write->logged = logged;
    *at += n;
    return VS_OK;
}

/* Staged operations before at are in the log. */
static void write_drop_ops(vsi_write *write, size_t at) {
    size_t done = at - VSI_LOG_BUF_FRONT;
    for (uint32_t i = write->logged.count; i < write->points.count; i++)
        vsi_savepoints_at(&write->points, i + 1)->ops_bytes -= done;
    memmove(write->ops.data + VSI_LOG_BUF_FRONT, write->ops.data + at, write->ops.bytes - at);
    write->ops.bytes -= done;
}

/* The log's share first: the data file would take the last of the space, and deleting needs a log too. */
static vs_status write_admit_frame(vsi_err *err, vsi_write *write, size_t bytes) {
    vsi_engine *engine = write->engine;
    vsi_mutex_lock(&engine->log_lock);
    vs_status st = write_open_log(err, engine);
    if (st == VS_ERR_FULL)
        engine->wants_room = true;
    if (st == VS_ERR_FULL && !write->has_grown && vsi_admit_give_back(engine))
        st = write_open_log(err, engine);
    if (st == VS_OK)
        st = vsi_admit_frame(err, engine, bytes, !write->has_grown);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

static vs_status write_admit(vsi_err *err, vsi_write *write) {
    vsi_engine *engine = write->engine;
    vsi_err ignored = {0};
    vsi_stay stay = vsi_stay_enter(&engine->pager.reside);
    bool is_known = !engine->has_no_list && vsi_freelist_load(&ignored, engine) == VS_OK;
    engine->has_no_list = !is_known; /* until a checkpoint looks again */
    vs_status st = write_admit_frame(err, write, write->ops.bytes);
    if (st == VS_OK && is_known) /* else no page can be written; the checkpoint will say so */
        st = vsi_admit(err, engine, !write->has_grown);
    vsi_stay_leave(&engine->pager.reside, stay);
    return st;
}

/* Pages that leave memory take space of the device too. */
static void write_spill(vsi_write *write) {
    vsi_engine *engine = write->engine;
    vsi_err ignored = {0};
    if (!vsi_reside_excess(&engine->pager.reside, 0) ||
        write_admit_frame(&ignored, write, write->ops.bytes) == VS_OK)
        vsi_spill(engine, &write->state);
}

/* Moves staged operations to the log, in frames no larger than one may be. What a failure leaves
 * is still staged. */
static vs_status write_stream(vsi_err *err, vsi_write *write) {
    size_t at = VSI_LOG_BUF_FRONT;
    vs_status st = write_admit(err, write);
    while (st == VS_OK && at < write->ops.bytes)
        st = write_stream_piece(err, write, &at);
    write_drop_ops(write, at);
    return st;
}

/* ---- statements ----------------------------------------------------------------------------- */

VSI_FN vs_status vsi_statement_begin(vsi_err *err, vsi_write *write, vsi_statement *out_statement) {
    vs_status st = write->ops.bytes > VSI_STREAM_BYTES ? write_stream(err, write) : VS_OK;
    if (st != VS_OK)
        return st;
    write_spill(write);
    *out_statement = (vsi_statement){.stay = vsi_stay_enter(&write->engine->pager.reside),
                                     .state = write->state,
                                     .mark = vsi_cow_open(&write->engine->cow),
                                     .ops_bytes = write->ops.bytes,
                                     .freed_bytes = write->freed.bytes,
                                     .taken_bytes = write->taken.bytes,
                                     .touched_bytes = write->touched.list.bytes,
                                     .has_grown = write->has_grown};
    return VS_OK;
}

/* Before the first change of a collection in this session every slot that is not live is free: no
 * version that could be read has it live. */
static vs_status write_fill_pool(vsi_err *err, const vsi_coll *coll) {
    vsi_desc *desc = coll->desc;
    vsi_live_scan scan = {.live = &coll->live};
    uint32_t slot = 0, end = coll->slot_end;
    vs_status st = VS_OK;
    if (coll->count == end)
        slot = end;
    vsi_buf slots = {.mem = desc->pool.mem};
    while (st == VS_OK && slot < end) {
        st = vsi_live_next_dead(err, &scan, slot, end, &slot);
        if (st == VS_OK && slot < end && !vsi_buf_append(&slots, &slot, sizeof slot))
            st = vsi_fail_nomem(err, sizeof slot);
        slot += slot < end;
    }
    if (st == VS_OK && !vsi_buf_reserve(&desc->pool, slots.bytes))
        st = vsi_fail_nomem(err, slots.bytes);
    while (st == VS_OK && slots.bytes) { /* the lowest on top */
        slots.bytes -= sizeof slot;
        memcpy(&slot, slots.data + slots.bytes, sizeof slot);
        vsi_desc_give_slot(desc, slot);
    }
    vsi_buf_free(&slots);
    if (st != VS_OK)
        return st;
    desc->pool_is_filled = true;
    return VS_OK;
}

static vs_status write_prepare_pool(vsi_err *err, vsi_write *write, uint32_t coll_id) {
    vsi_coll coll;
    vs_status st = vsi_state_coll(err, &write->state, coll_id, &coll);
    if (st != VS_OK || coll.desc->pool_is_filled)
        return st;
    return write_fill_pool(err, &coll);
}

/* Whether an operation adds something: then the reserve is not for its transaction. */
static bool statement_grows(const vsi_op *op) {
    bool only_removes = op->kind == VSI_OP_DELETE || op->kind == VSI_OP_DROP ||
                        (op->kind == VSI_OP_NOTE && !op->note_has_value) ||
                        (op->kind == VSI_OP_METADATA && !op->metadata.bytes) ||
                        (op->kind == VSI_OP_PAYLOAD && !op->payload.bytes);
    return !only_removes;
}

static vs_status statement_add(vsi_err *err, vsi_write *write, const vsi_op *op) {
    if (!vsi_op_write(&write->ops, op))
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    return vsi_apply(err, &write->state, op, &write->freed);
}

/* The first change of a collection's records in a transaction is also one of its time. */
static vs_status statement_touch(vsi_err *err, vsi_write *write, const vsi_op *op) {
    vsi_coll coll;
    if (!vsi_op_is_of_record(op->kind))
        return VS_OK;
    vs_status st = vsi_state_coll(err, &write->state, op->coll, &coll);
    if (st != VS_OK || coll.changed_us == write->time_us)
        return st;
    return statement_add(
        err, write, &(vsi_op){.kind = VSI_OP_TOUCH, .coll = op->coll, .time_us = write->time_us});
}

/* For who wants to hear of changes. */
static vs_status statement_tell(vsi_err *err, vsi_write *write, const vsi_op *op) {
    char name[VS_NAME_BYTES_MAX + 1];
    vsi_touched *touched = &write->touched;
    vs_status st = VS_OK;
    bool ok = true;
    if (op->kind == VSI_OP_RENAME)
        touched->coll = 0; /* the next change has the new name */
    if (!touched->is_wanted || !vsi_op_is_of_record(op->kind))
        return VS_OK;
    if (touched->coll != op->coll) {
        st = vsi_state_coll_name(err, &write->state, op->coll, name);
        ok = st != VS_OK || vsi_touched_name(touched, op->coll, name);
    }
    if (st == VS_OK && (!ok || !vsi_touched_add(touched, op)))
        st = vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    return st;
}

VSI_FN vs_status vsi_statement_apply(vsi_err *err, vsi_write *write, const vsi_op *op) {
    vs_status st = statement_touch(err, write, op);
    if (st == VS_OK && op->kind == VSI_OP_DELETE)
        st = write_prepare_pool(err, write, op->coll);
    write->has_grown |= statement_grows(op);
    if (st == VS_OK)
        st = statement_add(err, write, op);
    return st == VS_OK ? statement_tell(err, write, op) : st;
}

VSI_FN void vsi_statement_keep(vsi_write *write, vsi_statement *statement) {
    vsi_cow_keep(&write->engine->cow, statement->mark);
    vsi_stay_leave(&write->engine->pager.reside, statement->stay);
}

VSI_FN void vsi_statement_undo(vsi_write *write, vsi_statement *statement) {
    vsi_cow_undo(&write->engine->cow, statement->mark);
    uint64_t changes = write->state.changes;
    write->state = statement->state;
    write->state.changes = changes + 1; /* cursors must look again */
    write->ops.bytes = statement->ops_bytes;
    write->freed.bytes = statement->freed_bytes;
    vsi_touched_cut(&write->touched, statement->touched_bytes);
    write->has_grown = statement->has_grown;
    write_give_back(write, statement->taken_bytes);
    vsi_stay_leave(&write->engine->pager.reside, statement->stay);
}

VSI_FN vs_status vsi_write_take_slot(vsi_err *err, vsi_write *write, uint32_t coll_id,
                                     uint32_t *out_slot) {
    vsi_coll coll;
    vs_status st = write_prepare_pool(err, write, coll_id);
    if (st == VS_OK)
        st = vsi_state_coll(err, &write->state, coll_id, &coll);
    if (st != VS_OK)
        return st;
    if (!vsi_buf_reserve(&write->taken, sizeof(vsi_freed_slot)))
        return vsi_fail_nomem(err, sizeof(vsi_freed_slot));
    vsi_freed_slot taken = {.coll = coll_id, .slot = vsi_desc_take_slot(coll.desc)};
    if (taken.slot == VSI_SLOT_NONE)
        taken.slot = coll.slot_end;
    else
        vsi_buf_append(&write->taken, &taken, sizeof taken);
    if (taken.slot >= VS_RECORDS_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "collection %s is full: %lu records", coll.desc->name,
                        (unsigned long)VS_RECORDS_MAX);
    *out_slot = taken.slot;
    return VS_OK;
}

VSI_FN vs_status vsi_write_take_coll(vsi_err *err, vsi_write *write, uint32_t *out_coll) {
    if (write->engine->last_coll >= VSI_COLL_ID_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "all collection ids are used up");
    *out_coll = ++write->engine->last_coll;
    return VS_OK;
}

/* ---- savepoints ----------------------------------------------------------------------------- */

VSI_FN vs_status vsi_write_savepoint(vsi_err *err, vsi_write *write, uint32_t *out_number) {
    write_spill(write); /* blocks from before stay until it ends */
    vs_status st = vsi_savepoints_open(err, &write->points, &write->state);
    if (st != VS_OK)
        return st;
    vsi_savepoint *point = vsi_savepoints_at(&write->points, write->points.count);
    point->ops_bytes = write->ops.bytes;
    point->freed_bytes = write->freed.bytes;
    point->taken_bytes = write->taken.bytes;
    point->touched_bytes = write->touched.list.bytes;
    point->has_grown = write->has_grown;
    *out_number = write->points.count;
    return VS_OK;
}

static vs_status write_check_savepoint(vsi_err *err, const vsi_write *write, uint32_t number) {
    uint32_t count = write->points.count;
    if (number >= 1 && number <= count)
        return VS_OK;
    if (!count)
        return vsi_fail(err, VS_ERR_MISUSE, "savepoint %lu is not open: none is",
                        (unsigned long)number);
    return vsi_fail(err, VS_ERR_MISUSE, "savepoint %lu is not open: 1 to %lu are",
                    (unsigned long)number, (unsigned long)count);
}

VSI_FN vs_status vsi_write_rollback_to(vsi_err *err, vsi_write *write, uint32_t number) {
    vs_status st = write_check_savepoint(err, write, number);
    if (st != VS_OK)
        return st;
    vsi_savepoints_rollback_to(&write->points, number, &write->state);
    const vsi_savepoint *point = vsi_savepoints_at(&write->points, number);
    bool is_logged = number <= write->logged.count;
    write->ops.bytes = is_logged ? VSI_LOG_BUF_FRONT : point->ops_bytes; /* T4 */
    if (is_logged)
        write->logged.count = write->logged.rollback_to = number;
    write->freed.bytes = point->freed_bytes;
    vsi_touched_cut(&write->touched, point->touched_bytes);
    write->has_grown = point->has_grown;
    write_give_back(write, point->taken_bytes);
    return VS_OK;
}

/* Ends savepoints from this one on, if there are any. */
static void write_release(vsi_write *write, uint32_t number) {
    vsi_savepoints_release(&write->points, number);
    if (write->logged.count >= number)
        write->logged.count = number - 1;
}

VSI_FN vs_status vsi_write_release(vsi_err *err, vsi_write *write, uint32_t number) {
    vs_status st = write_check_savepoint(err, write, number);
    if (st == VS_OK)
        write_release(write, number);
    return st;
}

/* The log has operations that were taken back: the frame to come says so before its own. */
static vs_status write_stage_rollback(vsi_err *err, vsi_write *write) {
    uint8_t mark[32];
    size_t bytes = write->ops.bytes - VSI_LOG_BUF_FRONT;
    if (!write->logged.rollback_to)
        return VS_OK;
    if (!write_mark(&write->ops, VSI_OP_ROLLBACK_TO, write->logged.rollback_to))
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    uint8_t *ops = write->ops.data + VSI_LOG_BUF_FRONT;
    size_t n = vsi_op_bytes(ops + bytes);
    vsi_assert(n <= sizeof mark);
    memcpy(mark, ops + bytes, n);
    memmove(ops + n, ops, bytes);
    memcpy(ops, mark, n);
    return VS_OK;
}

/* ---- commit --------------------------------------------------------------------------------- */

VSI_FN bool vsi_write_has_changes(const vsi_write *write) {
    return write->has_streamed || write->ops.bytes > VSI_LOG_BUF_FRONT;
}

VSI_FN uint64_t vsi_write_next_lsn(const vsi_write *write) {
    vsi_mutex_lock(&write->engine->log_lock);
    uint64_t lsn = write->engine->log.next_lsn; /* others write no frames */
    vsi_mutex_unlock(&write->engine->log_lock);
    return lsn;
}

/* The version that this commit makes, with room for everything that may not fail later. */
static vsi_version *write_make_version(vsi_write *write, bool needs_sync) {
    vsi_engine *engine = write->engine;
    vsi_version *version = vsi_version_new(&engine->versions, &write->state);
    vsi_op digest = {.kind = VSI_OP_DIGEST, .digest = write->state.digest};
    if (version && !vsi_op_write(&write->ops, &digest)) {
        vsi_version_discard(&engine->versions, version);
        return NULL;
    }
    vsi_err ignored = {0};
    size_t dead = engine->cow.dead_extents.bytes / sizeof(vsi_dead_extent);
    if (version && vsi_space_expect(&ignored, &engine->pager.space, dead) != VS_OK) {
        vsi_version_discard(&engine->versions, version);
        return NULL;
    }
    if (version)
        version->needs_sync = needs_sync;
    return version;
}

/* Collections that were dropped may be read in older versions. */
static void write_leave_dropped(vsi_write *write) {
    const vsi_freed_slot *freed = (const vsi_freed_slot *)(const void *)write->freed.data;
    for (size_t i = 0; i < write->freed.bytes / sizeof *freed; i++)
        if (freed[i].slot == VSI_SLOT_NONE)
            vsi_descs_find(&write->engine->descs, freed[i].coll)->rest = VSI_REST_READ;
}

/* The COMMIT frame is written: the version becomes the one to build on, and the role passes on. */
static void write_hand_over(vsi_write *write, vsi_version *version, uint64_t lsn) {
    vsi_engine *engine = write->engine;
    vsi_cow_keep(&engine->cow, write->mark);
    vsi_pager_keep(&engine->pager);
    vsi_engine_bury(engine, version, engine->metas.newest.checkpoint.number);
    write_leave_dropped(write);
    version->freed = write->freed;
    version->lsn = write->lsn = lsn;
    write->freed = (vsi_buf){.mem = engine->mem};
    engine->commits++;
    vsi_versions_add(&engine->versions, version, engine->metas.newest.checkpoint.number);
    engine->memory_is_full = vsi_spill_trees_are_large(engine);
    engine->retained_bytes =
        engine->cow.dead_bytes + engine->pager.space.dead_pages * VSI_PAGE_BYTES;
    write_end(write); /* T2 */
}

static bool write_wants_sync(vsi_engine *engine, int sync) {
    if (sync != VS_SYNC_NORMAL || engine->is_syncing)
        return false;
    int64_t now_us = engine->config.vfs->ticks_us(engine->config.vfs->ctx);
    return engine->log.kept_bytes >= VSI_NORMAL_BYTES ||
           now_us - engine->last_sync_us >= VSI_NORMAL_US;
}

/* Until readers see the commit, or it is clear that they never will. */
static vs_status write_wait(vsi_err *err, vsi_engine *engine, uint64_t lsn, int sync) {
    if (write_wants_sync(engine, sync))
        vsi_engine_sync_round(engine);
    vsi_engine_publish(engine);
    while (!vsi_versions_is_published(&engine->versions, lsn)) {
        if (engine->has_failed)
            return vsi_fail(err, VS_ERR_INDOUBT, "the commit may be lost: %s", engine->failure);
        vsi_engine_sync_round(engine);
    }
    return VS_OK;
}

static vs_status write_settle(vsi_err *err, vsi_write *write) {
    vsi_reside *reside = &write->engine->pager.reside;
    vsi_stay stay = vsi_stay_enter(reside);
    vs_status st = vsi_state_settle(err, &write->state);
    vsi_stay_leave(reside, stay);
    return st;
}

VSI_FN vs_status vsi_write_commit(vsi_err *err, vsi_write *write, int sync) {
    vsi_engine *engine = write->engine;
    sync = sync == VS_SYNC_DEFAULT ? (int)vsi_atomic_load(&engine->sync) : sync;
    vs_status st = VS_OK;
    vsi_version *version = NULL;
    write_release(write, 1);
    if (write->ops.bytes > VSI_FRAME_PAYLOAD_MAX / 2)
        st = write_stream(err, write);
    if (st == VS_OK)
        st = write_stage_rollback(err, write);
    if (st == VS_OK && vsi_write_has_changes(write))
        st = write_settle(err, write);
    if (st == VS_OK && vsi_write_has_changes(write))
        st = write_admit(err, write);
    if (st == VS_OK && vsi_write_has_changes(write)) {
        version = write_make_version(write, sync == VS_SYNC_FULL);
        st = version ? VS_OK : vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    }
    if (!version) {
        vsi_write_rollback(write);
        /* Nothing of its own to commit; what it saw may be commits that were not synced. */
        return st == VS_OK && sync == VS_SYNC_FULL ? vsi_engine_sync(err, engine) : st;
    }
    vsi_mutex_lock(&engine->log_lock);
    st = write_append(err, write, VSI_FRAME_COMMIT, &write->ops);
    if (st == VS_OK) {
        uint64_t lsn = engine->log.next_lsn - 1;
        write_hand_over(write, version, lsn);
        st = write_wait(err, engine, lsn, sync);
        vsi_mutex_unlock(&engine->log_lock);
        return st;
    }
    vsi_mutex_unlock(&engine->log_lock);
    vsi_version_discard(&engine->versions, version);
    vsi_write_rollback(write);
    return st;
}
