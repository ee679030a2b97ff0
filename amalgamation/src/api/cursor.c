/* cursor.c - iterating over records in key order, or from the nearest to the farthest.
 *
 * A cursor of a snapshot keeps its place in the tree, which never changes. A cursor of a write
 * transaction remembers the last key and looks for the next one whenever the transaction has
 * changed something. What a range asks for is two strings of bytes that all its keys lie between.
 * A cursor of a search keeps the key of its last hit in the same way, and the hits that are already found. */
#include "api/cursor.h"

/* Room for keys that are numbers: steps from one to the next need no memory. */
enum { CURSOR_PLACE_BYTES = 16 };

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
    vsi_buf place;      /* the key under the cursor, by store/key, or what keys begin behind */
    vsi_buf end;        /* what they lie before; empty: nothing */
    uint32_t slot;
    bool is_started, is_on_record;
    bool is_search; /* from the nearest to the farthest; `at`, evictions and end are not used */
    vsi_nearest nearest;
    vsi_record_bufs record;
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

/* ---- ranges --------------------------------------------------------------------------------- */

static vs_status cursor_copy(vsi_err *err, vsi_buf *buf, vsi_bytes bytes) {
    size_t before = buf->bytes;
    buf->bytes = 0;
    if (vsi_buf_append(buf, bytes.data, bytes.bytes))
        return VS_OK;
    buf->bytes = before;
    return vsi_fail_nomem(err, bytes.bytes);
}

/* Nothing before these bytes is wanted, or nothing from them on. */
static vs_status range_from(vsi_err *err, vs_cursor *cursor, vsi_bytes from) {
    vsi_bytes have = {cursor->place.data, cursor->place.bytes};
    return vsi_bytes_compare(from, have) > 0 ? cursor_copy(err, &cursor->place, from) : VS_OK;
}

static vs_status range_to(vsi_err *err, vs_cursor *cursor, vsi_bytes to) {
    vsi_bytes have = {cursor->end.data, cursor->end.bytes};
    bool is_nearer = !have.bytes || vsi_bytes_compare(to, have) < 0;
    return is_nearer ? cursor_copy(err, &cursor->end, to) : VS_OK;
}

/* Only what begins with these bytes, of which the first is not the largest there is. */
static vs_status range_within(vsi_err *err, vs_cursor *cursor, uint8_t *prefix, size_t bytes) {
    vs_status st = range_from(err, cursor, (vsi_bytes){prefix, bytes});
    while (prefix[bytes - 1] == 0xff)
        bytes--;
    prefix[bytes - 1]++;
    return st == VS_OK ? range_to(err, cursor, (vsi_bytes){prefix, bytes}) : st;
}

static vs_status range_set(vsi_err *err, vs_cursor *cursor, const vs_range *range) {
    uint8_t bytes[VSI_KEY_BYTES_MAX];
    vs_status st = VS_OK;
    if (range->space)
        st = range_within(err, cursor, bytes, vsi_key_encode_space(bytes, *range->space).bytes);
    if (st == VS_OK && range->prefix && range->prefix->kind != VS_KEY_BYTES)
        st = vsi_fail(err, VS_ERR_INVALID, "range: a prefix is of keys of VS_KEY_BYTES");
    if (st == VS_OK && range->prefix)
        st = vsi_key_check(err, *range->prefix);
    if (st == VS_OK && range->prefix)
        st = range_within(err, cursor, bytes, vsi_key_encode(bytes, *range->prefix).bytes);
    if (st == VS_OK && range->from)
        st = vsi_key_check(err, *range->from);
    if (st == VS_OK && range->from)
        st = range_from(err, cursor, vsi_key_encode(bytes, *range->from));
    if (st == VS_OK && range->to)
        st = vsi_key_check(err, *range->to);
    if (st == VS_OK && range->to)
        st = range_to(err, cursor, vsi_key_encode(bytes, *range->to));
    return st;
}

static bool range_ends_before(const vs_cursor *cursor, vsi_bytes key) {
    return cursor->end.bytes &&
           vsi_bytes_compare(key, (vsi_bytes){cursor->end.data, cursor->end.bytes}) >= 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

static vs_cursor *cursor_new(vs_db *db, uint32_t coll_id) {
    vs_cursor *cursor = vsi_alloc_zeroed(&db->mem, sizeof *cursor);
    if (!cursor)
        return NULL;
    cursor->coll_id = coll_id;
    cursor->place.mem = cursor->end.mem = &db->mem;
    vsi_record_bufs_init(&cursor->record, &db->mem);
    vsi_nearest_init(&cursor->nearest, &db->mem);
    if (vsi_buf_reserve(&cursor->place, CURSOR_PLACE_BYTES))
        return cursor;
    vsi_free(&db->mem, cursor, sizeof *cursor);
    return NULL;
}

/* A cursor in the state that a call with this transaction reads. */
static vs_status cursor_open(vsi_err *err, vs_collection *collection, vs_txn *txn,
                             vs_cursor **out_cursor) {
    vs_db *db = collection->head.db;
    vs_cursor *cursor = cursor_new(db, collection->id);
    if (!cursor)
        return vsi_fail_nomem(err, sizeof *cursor);
    cursor_attach(cursor, db, txn);
    vsi_handle_open(&cursor->head, VSI_TAG_CURSOR, db, &db->cursors);
    vsi_stay stay = cursor_enter(cursor);
    vs_status st =
        vsi_view_coll(err, (vsi_view){.state = cursor_state(cursor)}, collection, &cursor->coll);
    cursor_leave(cursor, stay);
    if (st == VS_OK)
        *out_cursor = cursor;
    else
        vs_cursor_close(cursor);
    return st;
}

vs_status vs_scan(vs_collection *collection, vs_txn *txn, const vs_range *range,
                  vs_cursor **out_cursor) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, out_cursor, "out_cursor") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_scan");
    vsi_err err = {0};
    vs_range all = VS_RANGE_INIT;
    vs_cursor *cursor = NULL;
    vs_status st = vsi_handle_check_txn(&err, collection->head.db, txn, false);
    if (st == VS_OK && range)
        st = vsi_struct_read(&err, "vs_range", range, &all, sizeof all);
    if (st == VS_OK)
        st = cursor_open(&err, collection, txn, &cursor);
    if (st == VS_OK)
        st = range_set(&err, cursor, &all);
    if (st == VS_OK)
        *out_cursor = cursor;
    else
        vs_cursor_close(cursor);
    return vsi_trace_end(&trace, vsi_handle_end(&collection->head, st, &err), 0);
}

VSI_FN vs_status vsi_cursor_search(vsi_err *err, vs_collection *collection, vs_txn *txn,
                                   uint32_t field, uint32_t timeout_ms, vs_cursor **out_cursor) {
    vs_cursor *cursor = NULL;
    vs_status st = cursor_open(err, collection, txn, &cursor);
    if (st != VS_OK)
        return st;
    size_t bytes = cursor->coll.desc->field[field].vector_bytes;
    cursor->is_search = true;
    cursor->nearest.field = field;
    cursor->nearest.timeout_ms = timeout_ms;
    st = cursor_copy(err, &cursor->nearest.query, (vsi_bytes){collection->scratch.data, bytes});
    if (st == VS_OK)
        *out_cursor = cursor;
    else
        vs_cursor_close(cursor);
    return st;
}

/* ---- moving --------------------------------------------------------------------------------- */

/* The collection in the state as it is now. */
static vs_status cursor_find_coll(vsi_err *err, vs_cursor *cursor, const vsi_state *state) {
    vs_status st = vsi_state_coll(err, state, cursor->coll_id, &cursor->coll);
    if (st != VS_ERR_NOT_FOUND)
        return st;
    return vsi_fail(err, VS_ERR_MISUSE, "the cursor's collection is gone");
}

/* That, and in it the first record behind the last one seen, or the first one wanted. */
static vs_status cursor_seek(vsi_err *err, vs_cursor *cursor, const vsi_state *state) {
    vsi_bytes place = {cursor->place.data, cursor->place.bytes};
    cursor->evictions = vsi_ordered_load(&cursor->head.db->engine->pager.reside.evictions);
    vs_status st = cursor_find_coll(err, cursor, state);
    if (st == VS_OK)
        st = cursor->is_started ? vsi_btree_seek_behind(err, &cursor->coll.keys, place, &cursor->at)
                                : vsi_btree_seek(err, &cursor->coll.keys, place, &cursor->at);
    cursor->changes = state->changes;
    return st;
}

/* Notes the record that `at` stands on, if it is still one of the range. */
static vs_status cursor_arrive(vsi_err *err, vs_cursor *cursor) {
    vs_key key;
    if (vsi_btree_at_end(&cursor->at))
        return VS_DONE;
    vsi_bytes found = vsi_btree_entry(&cursor->at).key;
    if (range_ends_before(cursor, found))
        return VS_DONE;
    vs_status st = vsi_coll_entry(err, &cursor->at, &key, &cursor->slot);
    if (st == VS_OK)
        st = cursor_copy(err, &cursor->place, found);
    return st == VS_OK ? VS_ROW : st;
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
    if (st == VS_OK)
        st = cursor_arrive(err, cursor);
    if (st != VS_ROW && st != VS_DONE)
        cursor->evictions = UINT64_MAX; /* `at` stands nowhere: look again */
    return st;
}

/* The key under the cursor. */
static vs_key cursor_key(const vs_cursor *cursor) {
    vs_key key = {0};
    if (!vsi_key_decode((vsi_bytes){cursor->place.data, cursor->place.bytes}, &key))
        vsi_assert(false);
    return key;
}

/* Notes a hit, whose key may be that of a slot, as what is under the cursor. */
static vs_status nearest_arrive(vsi_err *err, vs_cursor *cursor, vs_key key) {
    uint8_t bytes[VSI_KEY_BYTES_MAX];
    vsi_cell cell = {.number = key.number, .kind = key.kind, .space = key.space};
    vs_status st = vsi_coll_key(err, &cursor->coll, (uint32_t)key.number, &cell, &key);
    if (st == VS_OK)
        st = cursor_copy(err, &cursor->place, vsi_key_encode(bytes, key));
    if (st != VS_OK)
        return st;
    vsi_nearest_take(&cursor->nearest);
    return VS_ROW;
}

/* Moves to the next hit; hits that were found before the transaction changed something are not used. */
static vs_status nearest_move(vsi_err *err, vs_cursor *cursor, const vsi_state *state,
                              vsi_stay *stay) {
    vs_db *db = cursor->head.db;
    vsi_watch watch = vsi_watch_begin(&db->watcher);
    vsi_exact_ask ask = {.kernels = db->kernels,
                         .descs = &db->engine->descs,
                         .excluded = VSI_SLOT_NONE,
                         .watch = &watch};
    vsi_watch_limit(&watch, cursor->nearest.timeout_ms);
    vs_key last = cursor->is_started ? cursor_key(cursor) : (vs_key){0};
    vs_hit hit;
    if (cursor->changes != state->changes)
        vsi_nearest_forget(&cursor->nearest);
    cursor->changes = state->changes;
    vs_status st = cursor_find_coll(err, cursor, state);
    if (st == VS_OK)
        st = vsi_nearest_next(err, &cursor->nearest, &cursor->coll, ask, stay,
                              cursor->is_started ? &last : NULL, &hit);
    return st == VS_ROW ? nearest_arrive(err, cursor, hit.key) : st;
}

vs_status vs_step(vs_cursor *cursor) {
    if (vsi_handle_check(cursor, VSI_TAG_CURSOR) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(cursor, "vs_step");
    vsi_err err = {0};
    const vsi_state *state = cursor_state(cursor);
    cursor->is_on_record = false;
    vs_status st = VS_OK;
    if (state) {
        vsi_stay stay = cursor_enter(cursor);
        st = cursor->is_search ? nearest_move(&err, cursor, state, &stay)
                               : cursor_move(&err, cursor, state);
        cursor_leave(cursor, stay);
    } else {
        st = vsi_fail(&err, VS_ERR_MISUSE, "the cursor's transaction has ended");
    }
    if (st == VS_ROW) {
        cursor->is_started = true;
        cursor->is_on_record = true;
    }
    return vsi_trace_end(&trace, vsi_handle_end(&cursor->head, st, &err), st == VS_ROW);
}

/* The slot of the record under the cursor, which a write transaction may have changed since. */
static vs_status cursor_locate(vsi_err *err, vs_cursor *cursor, const vsi_state *state,
                               vsi_coll *out_coll) {
    vs_key key = cursor_key(cursor);
    char text[VSI_KEY_TEXT_BYTES];
    vs_status st = vsi_state_coll(err, state, cursor->coll_id, out_coll);
    if (st == VS_OK && (cursor->is_search || cursor->changes != state->changes))
        st = vsi_coll_find(err, out_coll, key, &cursor->slot);
    if (st != VS_ERR_NOT_FOUND)
        return st;
    return vsi_fail(err, st, "the record under the cursor, key %s, is deleted",
                    vsi_key_text(text, key));
}

static vs_status cursor_check_record(vsi_err *err, const vs_cursor *cursor) {
    if (cursor_state(cursor) && cursor->is_on_record)
        return VS_OK;
    return vsi_fail(err, VS_ERR_MISUSE, "the cursor stands on no record; step it first");
}

vs_status vs_cursor_hit(vs_cursor *cursor, vs_hit *out_hit) {
    if (vsi_handle_check_call(cursor, VSI_TAG_CURSOR, out_hit, "out_hit") != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = cursor_check_record(&err, cursor);
    if (st == VS_OK && !cursor->is_search)
        st = vsi_fail(&err, VS_ERR_MISUSE, "the cursor is of vs_scan, which finds no hits");
    if (st == VS_OK)
        *out_hit = (vs_hit){.key = cursor_key(cursor), .distance = cursor->nearest.distance};
    return vsi_handle_end(&cursor->head, st, &err);
}

vs_status vs_cursor_record(vs_cursor *cursor, vs_record *out_record) {
    if (vsi_handle_check_call(cursor, VSI_TAG_CURSOR, out_record, "out_record") != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    const vsi_state *state = cursor_state(cursor);
    vsi_coll coll;
    vsi_stay stay = cursor_enter(cursor);
    vs_status st = cursor_check_record(&err, cursor);
    if (st == VS_OK)
        st = cursor_locate(&err, cursor, state, &coll);
    if (st == VS_OK)
        st = vsi_record_read(&err, &coll, cursor->slot, &cursor->record, out_record);
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
    vsi_buf_free(&cursor->place);
    vsi_buf_free(&cursor->end);
    vsi_nearest_free(&cursor->nearest);
    vsi_record_bufs_free(&cursor->record);
    vsi_handle_close(&cursor->head, &db->cursors);
    vsi_free(&db->mem, cursor, sizeof *cursor);
}
