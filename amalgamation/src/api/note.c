/* note.c - key/value notes. */
#include "api/handle.h"

static vs_status note_check_call(vsi_err *err, const vs_db *db, vs_txn *txn, bool for_writing,
                                 vs_collection *collection, const void *key, size_t key_bytes) {
    vs_status st = vsi_handle_check_txn(err, db, txn, for_writing);
    if (st != VS_OK)
        return st;
    if (collection &&
        (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || collection->head.db != db))
        return vsi_fail(err, VS_ERR_MISUSE, "the collection is no open one of this database");
    if (!key)
        return vsi_fail(err, VS_ERR_MISUSE, "a note's key is NULL");
    if (key_bytes < 1 || key_bytes > VS_KV_KEY_BYTES_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "a note's key has 1 to %u bytes, this one %zu",
                        VS_KV_KEY_BYTES_MAX, key_bytes);
    return VS_OK;
}

static vs_status note_stage(vsi_err *err, vsi_write *write, const vs_collection *collection,
                            const vsi_op *op) {
    vsi_coll coll;
    vs_status st = VS_OK;
    vsi_value value = {.bytes = 0};
    if (collection)
        st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    if (st == VS_OK && !op->note_has_value) {
        st = vsi_note_find(err, &write->state, op->coll, op->note_key, &value);
        if (st == VS_ERR_NOT_FOUND)
            return VS_OK; /* nothing to delete, nothing to log */
    }
    return st == VS_OK ? vsi_statement_apply(err, write, op) : st;
}

vs_status vs_kv_put(vs_db *db, vs_txn *txn, vs_collection *collection, const void *key,
                    size_t key_bytes, const void *value, size_t value_bytes) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_kv_put");
    vsi_err err = {0};
    vsi_change change;
    vs_status st = note_check_call(&err, db, txn, true, collection, key, key_bytes);
    if (st == VS_ERR_MISUSE)
        return vsi_handle_end(&db->head, st, &err); /* txn may be no transaction */
    if (st == VS_OK && value_bytes > VS_KV_VALUE_BYTES_MAX)
        st = vsi_fail(&err, VS_ERR_LIMIT, "a note's value has at most %u bytes, this one %zu",
                      VS_KV_VALUE_BYTES_MAX, value_bytes);
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        vsi_op op = {.kind = VSI_OP_NOTE,
                     .coll = collection ? collection->id : 0,
                     .note_key = {key, key_bytes},
                     .note_value = {value, value ? value_bytes : 0},
                     .note_has_value = value};
        st = note_stage(&err, change.write, collection, &op);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_trace_end(&trace, vsi_handle_end(vsi_handle_of(db, txn), st, &err), 0);
}

vs_status vs_kv_get(vs_db *db, vs_txn *txn, vs_collection *collection, const void *key,
                    size_t key_bytes, void *value, size_t value_room, size_t *out_bytes) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, out_bytes && (value || !value_room),
                              "value or out_bytes") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_kv_get");
    vsi_err err = {0};
    vs_status st = note_check_call(&err, db, txn, false, collection, key, key_bytes);
    if (st == VS_ERR_MISUSE)
        return vsi_handle_end(&db->head, st, &err);
    if (st != VS_OK)
        return vsi_handle_end(vsi_handle_of(db, txn), st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_bytes key_run = {key, key_bytes};
    vsi_value found = {.bytes = 0};
    uint32_t coll = collection ? collection->id : 0;
    vsi_buf buf = {.mem = &db->mem};
    st = vsi_note_find(&err, view.state, coll, key_run, &found);
    if (st == VS_ERR_NOT_FOUND)
        st = vsi_fail(&err, st, "there is no such note");
    if (st == VS_OK && value_room)
        st = vsi_value_read(&err, &view.state->notes, &found, &buf);
    vsi_view_close(db, view);
    if (st == VS_OK) {
        size_t n = buf.bytes < value_room ? buf.bytes : value_room;
        if (n)
            memcpy(value, buf.data, n);
        *out_bytes = found.bytes;
    }
    vsi_buf_free(&buf);
    return vsi_trace_end(&trace, vsi_handle_end(vsi_handle_of(db, txn), st, &err), 0);
}
