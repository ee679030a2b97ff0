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

static vs_status handle_check_process(vsi_handle *head) {
    const vs_db *db = head->db;
    const vs_vfs *vfs = db->engine->config.vfs;
    uint64_t process_id = vfs->process_id(vfs->ctx);
    if (process_id == db->process_id)
        return VS_OK;
    return vsi_fail(&head->err, VS_ERR_MISUSE,
                    "process %llu opened this database; it cannot be used in process %llu after a "
                    "fork",
                    (unsigned long long)db->process_id, (unsigned long long)process_id);
}

VSI_FN vs_status vsi_handle_check(void *handle, uint32_t tag) {
    vsi_handle *head = handle;
    if (!head || (head->tag != tag && !handle_kind(head->tag)))
        return VS_ERR_MISUSE;
    if (!head->db->engine) /* the open failed; its message stays */
        return VS_ERR_MISUSE;
    vs_status st = handle_check_process(head);
    if (st != VS_OK || head->tag == tag)
        return st;
    vsi_err err = {0};
    st = vsi_fail(&err, VS_ERR_MISUSE, "this is a %s, the call is one of a %s",
                  handle_kind(head->tag), handle_kind(tag));
    return vsi_handle_end(head, st, &err);
}

VSI_FN vs_status vsi_handle_check_call(void *handle, uint32_t tag, bool has_all,
                                       const char *those) {
    vsi_err err = {0};
    vs_status st = vsi_handle_check(handle, tag);
    if (st != VS_OK || has_all)
        return st;
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

VSI_FN vs_status vsi_change_begin(vsi_err *err, vs_db *db, vs_txn *txn, vsi_change *out_change) {
    vsi_change *change = out_change;
    vs_status st = VS_OK;
    change->is_own = !txn;
    change->write = txn ? &txn->write : &change->own;
    if (change->is_own)
        st = vsi_write_begin(err, db->engine, change->write);
    if (st != VS_OK)
        return st;
    st = vsi_statement_begin(err, change->write, &change->statement);
    if (st != VS_OK && change->is_own)
        vsi_write_rollback(change->write);
    return st;
}

VSI_FN vs_status vsi_commit(vsi_err *err, vsi_write *write, int sync) {
    vsi_engine *engine = write->engine;
    vs_status st = vsi_write_commit(err, write, sync);
    if (st == VS_OK || st == VS_ERR_FULL)
        vsi_checkpoint_if_due(engine);
    vsi_budget_keep(&engine->pager, &engine->descs);
    return st;
}

VSI_FN vs_status vsi_change_end(vsi_err *err, vsi_change *change, vs_status st) {
    if (st == VS_OK)
        vsi_statement_keep(change->write, &change->statement);
    else
        vsi_statement_undo(change->write, &change->statement);
    if (change->is_own && st == VS_OK)
        return vsi_commit(err, change->write, VS_SYNC_DEFAULT);
    if (change->is_own)
        vsi_write_rollback(change->write);
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
