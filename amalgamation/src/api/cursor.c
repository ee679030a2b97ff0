/* cursor.c - iterating over records in key order.
 *
 * A cursor of a snapshot keeps its place in the tree, which never changes. A cursor of a write
 * transaction remembers the last key and looks for the next one whenever the transaction has
 * changed something. */
#include "api/cursor.h"

struct vs_cursor {
    vsi_handle head;
    vsi_version *version; /* pinned; NULL for a cursor of a write transaction */
    vs_txn *txn;          /* the write transaction; NULL once it has ended */
    vs_cursor *next;      /* of the same write transaction */
    uint32_t coll;
    vsi_btree_cursor at;
    uint64_t changes; /* of the state when `at` was taken */
    uint64_t key;     /* under the cursor, or the first one wanted */
    uint32_t slot;
    bool is_started, is_on_record;
    vsi_buf vector, metadata;
};

VSI_FN void vsi_cursors_detach(vs_txn *txn) {
    for (vs_cursor *cursor = txn->cursors; cursor; cursor = cursor->next)
        cursor->txn = NULL;
    txn->cursors = NULL;
}

/* The state under a cursor; NULL when its transaction has ended. */
static const vsi_state *cursor_state(const vs_cursor *cursor) {
    if (cursor->version)
        return &cursor->version->state;
    return cursor->txn ? &cursor->txn->write.state : NULL;
}

static void cursor_attach(vs_cursor *cursor, vs_db *db, vs_txn *txn) {
    if (txn && txn->is_write) {
        cursor->txn = txn;
        cursor->next = txn->cursors;
        txn->cursors = cursor;
        return;
    }
    /* A pin of its own: the cursor may outlive the read transaction. */
    cursor->version = txn ? vsi_versions_pin_again(&db->engine->versions, txn->version)
                          : vsi_versions_pin(&db->engine->versions);
}

vs_status vs_scan(vs_collection *collection, vs_txn *txn, uint64_t from_key,
                  vs_cursor **out_cursor) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !out_cursor)
        return VS_ERR_MISUSE;
    vs_db *db = collection->head.db;
    vsi_err err = {0};
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st != VS_OK)
        return vsi_handle_end(&collection->head, st, &err);
    vs_cursor *cursor = vsi_alloc_zeroed(&db->mem, sizeof *cursor);
    if (!cursor)
        return vsi_handle_end(&collection->head, vsi_fail_nomem(&err, sizeof *cursor), &err);
    cursor->coll = collection->id;
    cursor->key = from_key;
    cursor->vector.mem = &db->mem;
    cursor->metadata.mem = &db->mem;
    cursor_attach(cursor, db, txn);
    vsi_handle_open(&cursor->head, VSI_TAG_CURSOR, db, &db->cursors);
    const vsi_coll *coll = NULL;
    st = vsi_view_coll(&err, (vsi_view){.state = cursor_state(cursor)}, collection, &coll);
    if (st != VS_OK) {
        vs_cursor_close(cursor);
        return vsi_handle_end(&collection->head, st, &err);
    }
    *out_cursor = cursor;
    return VS_OK;
}

/* Stands on the first record behind the last one seen, or on the first one wanted. */
static void cursor_seek(vs_cursor *cursor, const vsi_coll *coll) {
    bool is_past_end = cursor->is_started && cursor->key == UINT64_MAX;
    vsi_coll_seek(coll, cursor->key + (cursor->is_started && !is_past_end), &cursor->at);
    if (is_past_end)
        cursor->at.height = 0;
}

vs_status vs_step(vs_cursor *cursor) {
    if (vsi_handle_check(cursor, VSI_TAG_CURSOR) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    const vsi_state *state = cursor_state(cursor);
    const vsi_coll *coll = state ? vsi_state_coll(state, cursor->coll) : NULL;
    cursor->is_on_record = false;
    if (!coll) {
        vs_status st = vsi_fail(&err, VS_ERR_MISUSE, "the cursor's transaction has ended");
        return vsi_handle_end(&cursor->head, st, &err);
    }
    bool is_in_place = cursor->is_started && cursor->changes == state->changes;
    if (!is_in_place)
        cursor_seek(cursor, coll);
    else if (!vsi_btree_at_end(&cursor->at))
        vsi_btree_next(&cursor->at);
    cursor->changes = state->changes;
    if (vsi_btree_at_end(&cursor->at))
        return VS_DONE;
    vsi_coll_entry(&cursor->at, &cursor->key, &cursor->slot);
    cursor->is_started = true;
    cursor->is_on_record = true;
    return VS_ROW;
}

vs_status vs_cursor_record(vs_cursor *cursor, vs_record *out_record) {
    if (vsi_handle_check(cursor, VSI_TAG_CURSOR) != VS_OK || !out_record)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    const vsi_state *state = cursor_state(cursor);
    const vsi_coll *coll = state ? vsi_state_coll(state, cursor->coll) : NULL;
    vs_status st = VS_OK;
    if (!coll || !cursor->is_on_record)
        st = vsi_fail(&err, VS_ERR_MISUSE, "the cursor stands on no record; step it first");
    else if (cursor->changes != state->changes && !vsi_coll_find(coll, cursor->key, &cursor->slot))
        st = vsi_fail(&err, VS_ERR_NOT_FOUND, "the record under the cursor, key %llu, is deleted",
                      (unsigned long long)cursor->key);
    else
        st = vsi_record_read(&err, coll, cursor->slot, &cursor->vector, &cursor->metadata,
                             out_record);
    return vsi_handle_end(&cursor->head, st, &err);
}

void vs_cursor_close(vs_cursor *cursor) {
    if (vsi_handle_check(cursor, VSI_TAG_CURSOR) != VS_OK)
        return; /* in a forked child another thread's lock may be held for ever */
    vs_db *db = cursor->head.db;
    if (cursor->version)
        vsi_versions_unpin(&db->engine->versions, cursor->version);
    for (vs_cursor **link = cursor->txn ? &cursor->txn->cursors : NULL; link && *link;
         link = &(*link)->next)
        if (*link == cursor) {
            *link = cursor->next;
            break;
        }
    vsi_buf_free(&cursor->vector);
    vsi_buf_free(&cursor->metadata);
    vsi_handle_close(&cursor->head, &db->cursors);
    vsi_free(&db->mem, cursor, sizeof *cursor);
}
