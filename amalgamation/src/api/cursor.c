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
    uint32_t coll_id;
    vsi_coll coll; /* as of changes; `at` stands in its keys */
    vsi_btree_cursor at;
    uint64_t changes;   /* of the state when coll and `at` were taken */
    uint64_t evictions; /* likewise: nodes under `at` may have left memory since */
    uint64_t key;       /* under the cursor, or the first one wanted */
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

static vsi_stay cursor_enter(const vs_cursor *cursor) {
    return vsi_stay_enter(&cursor->head.db->engine->pager.reside);
}

static void cursor_leave(const vs_cursor *cursor, vsi_stay stay) {
    vsi_engine *engine = cursor->head.db->engine;
    vsi_stay_leave(&engine->pager.reside, stay);
    vsi_budget_keep(&engine->pager, &engine->descs);
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
    cursor->coll_id = collection->id;
    cursor->key = from_key;
    cursor->vector.mem = &db->mem;
    cursor->metadata.mem = &db->mem;
    cursor_attach(cursor, db, txn);
    vsi_handle_open(&cursor->head, VSI_TAG_CURSOR, db, &db->cursors);
    vsi_stay stay = cursor_enter(cursor);
    st = vsi_view_coll(&err, (vsi_view){.state = cursor_state(cursor)}, collection, &cursor->coll);
    cursor_leave(cursor, stay);
    if (st != VS_OK) {
        vs_cursor_close(cursor);
        return vsi_handle_end(&collection->head, st, &err);
    }
    *out_cursor = cursor;
    return VS_OK;
}

/* The state as it is now: the collection in it, and the first record behind the last one seen, or the
 * first one wanted. */
static vs_status cursor_seek(vsi_err *err, vs_cursor *cursor, const vsi_state *state) {
    bool is_past_end = cursor->is_started && cursor->key == UINT64_MAX;
    cursor->evictions = vsi_ordered_load(&cursor->head.db->engine->pager.reside.evictions);
    vs_status st = vsi_state_coll(err, state, cursor->coll_id, &cursor->coll);
    if (st == VS_ERR_NOT_FOUND)
        return vsi_fail(err, VS_ERR_MISUSE, "the cursor's collection is gone");
    if (st == VS_OK)
        st = vsi_coll_seek(err, &cursor->coll, cursor->key + (cursor->is_started && !is_past_end),
                           &cursor->at);
    if (is_past_end)
        cursor->at.height = 0;
    cursor->changes = state->changes;
    return st;
}

/* Moves to the next record. */
static vs_status cursor_move(vsi_err *err, vs_cursor *cursor, const vsi_state *state) {
    uint64_t evictions = vsi_ordered_load(&cursor->head.db->engine->pager.reside.evictions);
    bool is_in_place =
        cursor->is_started && cursor->changes == state->changes && cursor->evictions == evictions;
    vs_status st = VS_OK;
    if (!is_in_place)
        st = cursor_seek(err, cursor, state);
    else if (!vsi_btree_at_end(&cursor->at))
        st = vsi_btree_next(err, &cursor->at);
    if (st != VS_OK) {
        cursor->evictions = UINT64_MAX; /* `at` stands nowhere: look again */
        return st;
    }
    if (vsi_btree_at_end(&cursor->at))
        return VS_DONE;
    st = vsi_coll_entry(err, &cursor->at, &cursor->key, &cursor->slot);
    return st == VS_OK ? VS_ROW : st;
}

vs_status vs_step(vs_cursor *cursor) {
    if (vsi_handle_check(cursor, VSI_TAG_CURSOR) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    const vsi_state *state = cursor_state(cursor);
    cursor->is_on_record = false;
    vs_status st = VS_OK;
    if (state) {
        vsi_stay stay = cursor_enter(cursor);
        st = cursor_move(&err, cursor, state);
        cursor_leave(cursor, stay);
    } else {
        st = vsi_fail(&err, VS_ERR_MISUSE, "the cursor's transaction has ended");
    }
    if (st == VS_ROW) {
        cursor->is_started = true;
        cursor->is_on_record = true;
    }
    return vsi_handle_end(&cursor->head, st, &err);
}

/* The slot of the record under the cursor, which a write transaction may have changed since. */
static vs_status cursor_locate(vsi_err *err, vs_cursor *cursor, const vsi_state *state,
                               vsi_coll *out_coll) {
    vs_status st = vsi_state_coll(err, state, cursor->coll_id, out_coll);
    if (st == VS_OK && cursor->changes != state->changes)
        st = vsi_coll_find(err, out_coll, cursor->key, &cursor->slot);
    if (st != VS_ERR_NOT_FOUND)
        return st;
    return vsi_fail(err, st, "the record under the cursor, key %llu, is deleted",
                    (unsigned long long)cursor->key);
}

vs_status vs_cursor_record(vs_cursor *cursor, vs_record *out_record) {
    if (vsi_handle_check(cursor, VSI_TAG_CURSOR) != VS_OK || !out_record)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    const vsi_state *state = cursor_state(cursor);
    vsi_coll coll;
    vsi_stay stay = cursor_enter(cursor);
    vs_status st = VS_OK;
    if (!state || !cursor->is_on_record)
        st = vsi_fail(&err, VS_ERR_MISUSE, "the cursor stands on no record; step it first");
    else
        st = cursor_locate(&err, cursor, state, &coll);
    if (st == VS_OK)
        st = vsi_record_read(&err, &coll, cursor->slot, &cursor->vector, &cursor->metadata,
                             out_record);
    cursor_leave(cursor, stay);
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
