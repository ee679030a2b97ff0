/* handle.c - what all public functions share. */
#include "api/handle.h"

enum { STRUCT_BYTES_MAX = 4096 }; /* a larger size is a forgotten one */

/* NULL: no open handle. */
static const char *handle_kind(uint32_t tag) {
    return tag == VSI_TAG_DB           ? "vs_db"
           : tag == VSI_TAG_TXN        ? "vs_txn"
           : tag == VSI_TAG_COLLECTION ? "vs_collection"
           : tag == VSI_TAG_CURSOR     ? "vs_cursor"
                                       : NULL;
}

static uint64_t handle_process_id(const vs_db *db) {
    const vs_vfs *vfs = db->engine->config.vfs;
    return vfs->process_id(vfs->ctx);
}

static vs_status handle_refuse_fork(vsi_handle *head) {
    /* without the lock, which may be held for ever */
    return vsi_fail(&head->err, VS_ERR_MISUSE,
                    "process %llu opened this database; it cannot be used in process %llu after a "
                    "fork",
                    (unsigned long long)head->db->process_id,
                    (unsigned long long)handle_process_id(head->db));
}

static vs_status handle_refuse_hook(vsi_handle *head) {
    vsi_err err = {0};
    vs_status st = vsi_fail(&err, VS_ERR_MISUSE,
                            "a hook calls the database that it was called by; it must not");
    return vsi_handle_end(head, st, &err);
}

VSI_FN vs_status vsi_handle_check(void *handle, uint32_t tag) {
    vsi_handle *head = handle;
    if (!head || (head->tag != tag && !handle_kind(head->tag)))
        return VS_ERR_MISUSE;
    if (!head->db->engine) /* the open failed; its message stays */
        return VS_ERR_MISUSE;
    if (handle_process_id(head->db) != head->db->process_id)
        return handle_refuse_fork(head);
    if (vsi_hooks_is_inside(&head->db->hooks))
        return handle_refuse_hook(head);
    if (head->tag == tag)
        return VS_OK;
    vsi_err err = {0};
    vs_status st = vsi_fail(&err, VS_ERR_MISUSE, "this is a %s, the call is one of a %s",
                            handle_kind(head->tag), handle_kind(tag));
    return vsi_handle_end(head, st, &err);
}

VSI_FN vs_status vsi_handle_check_call(void *handle, uint32_t tag, bool has_all,
                                       const char *those) {
    vs_status st = vsi_handle_check(handle, tag);
    if (st != VS_OK || has_all)
        return st;
    vsi_err err = {0}; /* not before: half a KB to zero */
    st = vsi_fail(&err, VS_ERR_MISUSE, "%s is NULL, which the call does not allow", those);
    return vsi_handle_end(handle, st, &err);
}

VSI_FN vsi_handle *vsi_handle_of(vs_db *db, vs_txn *txn) {
    return txn ? &txn->head : &db->head;
}

VSI_FN vs_status vsi_handle_check_txn(vsi_err *err, const vs_db *db, const vs_txn *txn,
                                      bool for_writing) {
    if (!txn)
        return VS_OK;
    if (txn->head.tag != VSI_TAG_TXN)
        return vsi_fail(err, VS_ERR_MISUSE, "the transaction is no open transaction");
    if (txn->head.db != db)
        return vsi_fail(err, VS_ERR_MISUSE, "the transaction belongs to another database");
    if (for_writing && !txn->is_write)
        return vsi_fail(err, VS_ERR_MISUSE, "a read transaction cannot change anything");
    return VS_OK;
}

VSI_FN vs_status vsi_handle_end(vsi_handle *handle, vs_status st, const vsi_err *err) {
    if (st == VS_OK || st == VS_ROW || st == VS_DONE)
        return st;
    bool is_shared = handle->tag == VSI_TAG_DB;
    if (is_shared)
        vsi_mutex_lock(&handle->db->lock);
    handle->err = *err;
    if (is_shared)
        vsi_mutex_unlock(&handle->db->lock);
    return st;
}

static void handle_count(vs_db *db, uint32_t *count, uint32_t change) {
    vsi_mutex_lock(&db->lock);
    *count += change;
    vsi_mutex_unlock(&db->lock);
}

VSI_FN void vsi_handle_open(vsi_handle *handle, uint32_t tag, vs_db *db, uint32_t *count) {
    handle->tag = tag;
    handle->db = db;
    handle_count(db, count, 1);
}

VSI_FN void vsi_handle_close(vsi_handle *handle, uint32_t *count) {
    handle->tag = VSI_TAG_CLOSED;
    handle_count(handle->db, count, UINT32_MAX);
}

/* ---- what a call reads ---------------------------------------------------------------------- */

VSI_FN vsi_view vsi_view_open(vs_db *db, const vs_txn *txn) {
    vsi_view view = {.stay = vsi_stay_enter(&db->engine->pager.reside)};
    if (!txn)
        view.pinned = vsi_versions_pin(&db->engine->versions);
    if (view.pinned)
        view.state = &view.pinned->state;
    else
        view.state = txn->is_write ? &txn->write.state : &txn->version->state;
    return view;
}

VSI_FN void vsi_view_close(vs_db *db, vsi_view view) {
    vsi_engine *engine = db->engine;
    if (view.pinned)
        vsi_versions_unpin(&engine->versions, view.pinned);
    vsi_stay_leave(&engine->pager.reside, view.stay);
    vsi_budget_keep(&engine->pager, &engine->descs);
}

VSI_FN vs_status vsi_view_coll(vsi_err *err, vsi_view view, const vs_collection *collection,
                               vsi_coll *out_coll) {
    vs_status st = vsi_state_coll(err, view.state, collection->id, out_coll);
    if (st != VS_ERR_NOT_FOUND)
        return st;
    return vsi_fail(
        err, VS_ERR_NOT_FOUND,
        "collection '%s' does not exist here: it was dropped or created later, or its creation was "
        "rolled back",
        collection->name);
}

VSI_FN vs_status vsi_reading_open(vsi_err *err, vs_collection *collection, const vs_txn *txn,
                                  vsi_reading *out) {
    memset(out, 0, sizeof *out);
    out->collection = collection;
    vs_status st = vsi_handle_check_txn(err, collection->head.db, txn, false);
    if (st != VS_OK)
        return st;
    out->db = collection->head.db;
    out->view = vsi_view_open(out->db, txn);
    return vsi_view_coll(err, out->view, collection, &out->coll);
}

VSI_FN vs_status vsi_reading_close(vsi_reading *reading, vs_status st, const vsi_err *err) {
    if (reading->db)
        vsi_view_close(reading->db, reading->view);
    return vsi_handle_end(&reading->collection->head, st, err);
}

/* ---- what a call changes -------------------------------------------------------------------- */

VSI_FN vs_status vsi_begin(vsi_err *err, vs_db *db, vsi_write *out_write) {
    vs_status st = vsi_write_begin(err, db->engine, out_write);
    if (st == VS_OK)
        out_write->touched.is_wanted = db->hooks.set.change;
    return st;
}

VSI_FN void vsi_rollback(vs_db *db, vsi_write *write) {
    bool has_changes = vsi_write_has_changes(write);
    vsi_write_rollback(write);
    if (has_changes)
        vsi_hooks_rolled_back(&db->hooks);
}

static void commit_tell(vs_db *db, vs_status st, const vsi_touched *touched, uint64_t lsn) {
    if (st == VS_OK)
        vsi_hooks_committed(&db->hooks, touched, lsn);
    else if (st != VS_ERR_INDOUBT)
        vsi_hooks_rolled_back(&db->hooks);
}

VSI_FN vs_status vsi_commit(vsi_err *err, vs_db *db, vsi_write *write, int sync) {
    bool has_changes = vsi_write_has_changes(write);
    vs_status st = has_changes ? vsi_hooks_commit(err, &db->hooks) : VS_OK;
    if (st != VS_OK) {
        vsi_rollback(db, write);
        return st;
    }
    vsi_touched touched = write->touched; /* outlives the transaction */
    write->touched.list = (vsi_buf){.mem = &db->mem};
    st = vsi_write_commit(err, write, sync);
    if (has_changes)
        commit_tell(db, st, &touched, write->lsn);
    vsi_buf_free(&touched.list);
    if (st == VS_OK || st == VS_ERR_FULL)
        vsi_checkpoint_if_due(db->engine);
    vsi_budget_keep(&db->engine->pager, &db->engine->descs);
    return st;
}

VSI_FN vs_status vsi_change_begin(vsi_err *err, vs_db *db, vs_txn *txn, vsi_change *out_change) {
    vsi_change *change = out_change;
    vs_status st = VS_OK;
    change->db = db;
    change->is_own = !txn;
    change->write = txn ? &txn->write : &change->own;
    if (change->is_own)
        st = vsi_begin(err, db, change->write);
    if (st != VS_OK)
        return st;
    st = vsi_statement_begin(err, change->write, &change->statement);
    if (st != VS_OK && change->is_own)
        vsi_rollback(db, change->write);
    return st;
}

VSI_FN vs_status vsi_change_end(vsi_err *err, vsi_change *change, vs_status st) {
    if (st == VS_OK)
        vsi_statement_keep(change->write, &change->statement);
    else
        vsi_statement_undo(change->write, &change->statement);
    if (change->is_own && st == VS_OK)
        return vsi_commit(err, change->db, change->write, VS_SYNC_DEFAULT);
    if (change->is_own)
        vsi_rollback(change->db, change->write);
    return st;
}

VSI_FN vs_status vsi_collection_change(vs_collection *collection, vs_txn *txn,
                                       vsi_collection_stage *stage, void *ctx) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return VS_ERR_MISUSE;
    vs_db *db = collection->head.db;
    vsi_err err = {0};
    vsi_change change;
    vs_status st = vsi_handle_check_txn(&err, db, txn, true);
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        st = stage(&err, change.write, collection, ctx);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_handle_end(&collection->head, st, &err);
}

/* ---- what the trace hook is told ------------------------------------------------------------ */

static bool trace_is_wanted(const vsi_handle *head) {
    bool is_handle = head && (head->tag == VSI_TAG_DB || head->tag == VSI_TAG_TXN ||
                              head->tag == VSI_TAG_COLLECTION || head->tag == VSI_TAG_CURSOR);
    return is_handle && head->db->hooks.set.trace && head->db->engine &&
           handle_process_id(head->db) == head->db->process_id &&
           !vsi_hooks_is_inside(&head->db->hooks);
}

static int64_t trace_ticks_us(const vs_db *db) {
    const vs_vfs *vfs = db->engine->config.vfs;
    return vfs->ticks_us(vfs->ctx);
}

VSI_FN vsi_trace vsi_trace_begin(void *handle, const char *call) {
    vsi_handle *head = handle;
    vsi_trace trace = {.call = call};
    if (!trace_is_wanted(head))
        return trace;
    if (head->tag == VSI_TAG_COLLECTION)
        trace.collection = ((vs_collection *)handle)->name;
    trace.db = head->db;
    trace.since_us = trace_ticks_us(head->db);
    return trace;
}

VSI_FN vs_status vsi_trace_end(const vsi_trace *trace, vs_status st, uint64_t rows) {
    bool is_good = st == VS_OK || st == VS_ROW || st == VS_DONE;
    vs_db *db = trace->db;
    if (!db)
        return st;
    int64_t us = trace_ticks_us(db) - trace->since_us;
    vs_trace told = {.size = sizeof told,
                     .status = st,
                     .call = trace->call,
                     .collection = trace->collection,
                     .duration_ns = us > 0 ? (uint64_t)us * 1000 : 0,
                     .rows = is_good ? rows : 0};
    vsi_hooks_trace(&db->hooks, &told);
    return st;
}

/* ---- versioned structs ---------------------------------------------------------------------- */

static size_t struct_bytes(const void *callers) {
    uint32_t bytes = 0;
    memcpy(&bytes, callers, sizeof bytes);
    return bytes;
}

VSI_FN vs_status vsi_struct_check(vsi_err *err, const char *what, const void *callers) {
    size_t bytes = struct_bytes(callers);
    if (bytes >= sizeof(uint32_t) && bytes <= STRUCT_BYTES_MAX)
        return VS_OK;
    return vsi_fail(err, VS_ERR_MISUSE, "%s: size is %zu; set it to sizeof(%s)", what, bytes, what);
}

VSI_FN vs_status vsi_struct_read(vsi_err *err, const char *what, const void *callers, void *out,
                                 size_t ours) {
    vs_status st = vsi_struct_check(err, what, callers);
    if (st != VS_OK)
        return st;
    size_t theirs = struct_bytes(callers);
    for (size_t i = ours; i < theirs; i++)
        if (((const uint8_t *)callers)[i])
            return vsi_fail(err, VS_ERR_UNSUPPORTED,
                            "%s: byte %zu is set, version %s knows only the first %zu", what, i,
                            VS_VERSION, ours);
    memcpy(out, callers, theirs < ours ? theirs : ours);
    return VS_OK;
}

VSI_FN void vsi_struct_write(const void *ours, size_t bytes, void *callers) {
    size_t theirs = struct_bytes(callers);
    memcpy(callers, ours, theirs < bytes ? theirs : bytes);
}
