/* copy.c - a collection once more, under another name.
 *
 * Statements of a few records each follow one another, so that a large copy streams into the log. */
#include "api/collection.h"
#include "store/payload.h"

enum { COPY_RECORDS = 256, COPY_PIECES = 16 };

typedef struct copy_work {
    vsi_write *write;
    const vs_collection *collection;
    uint32_t from, to; /* collection ids */
    const char *name;

    uint8_t after[VSI_KEY_BYTES_MAX]; /* the last key copied, as in the tree of keys */
    size_t after_bytes;
    bool is_at_end;
    uint64_t records; /* copied so far */
    vsi_watch watch;
    uint32_t piece; /* of the last key's payload: those before are copied */
    uint64_t payload_bytes;

    uint8_t note[VSI_NOTE_KEY_BYTES_MAX]; /* the last note copied */
    size_t note_bytes;

    vsi_buf rows, value;
} copy_work;

/* A part of the copy, in one statement. */
typedef vs_status (*copy_stage)(vsi_err *err, copy_work *copy);

static vs_status copy_statement(vsi_err *err, copy_work *copy, copy_stage stage) {
    vsi_statement statement;
    vs_status st = vsi_statement_begin(err, copy->write, &statement);
    if (st != VS_OK)
        return st;
    st = stage(err, copy);
    if (st == VS_OK)
        vsi_statement_keep(copy->write, &statement);
    else
        vsi_statement_undo(copy->write, &statement);
    return st;
}

/* ---- the collection ------------------------------------------------------------------------- */

static vs_status copy_create(vsi_err *err, copy_work *copy) {
    vsi_coll coll;
    vs_status st = vsi_collection_check_new(err, copy->write, copy->name);
    if (st == VS_OK)
        st = vsi_view_coll(err, (vsi_view){.state = &copy->write->state}, copy->collection, &coll);
    if (st == VS_OK)
        st = vsi_write_take_coll(err, copy->write, &copy->to);
    if (st != VS_OK)
        return st;
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .coll = copy->to,
                 .time_us = copy->write->time_us,
                 .name = {(const uint8_t *)copy->name, strlen(copy->name)},
                 .field_count = coll.desc->field_count};
    for (uint32_t i = 0; i < op.field_count; i++) {
        const vsi_field *field = &coll.desc->field[i];
        op.field[i] =
            (vsi_op_field){.dim = field->dim,
                           .type = (uint32_t)field->type,
                           .metric = (uint32_t)field->metric,
                           .is_optional = field->is_optional,
                           .name = {(const uint8_t *)field->name, strlen(field->name)},
                           .index = {(const uint8_t *)field->index, strlen(field->index)}};
    }
    vsi_watch_limit(&copy->watch, 0);
    vsi_watch_count(&copy->watch, "records copied", coll.count);
    vsi_op limits = {.kind = VSI_OP_LIMITS,
                     .coll = copy->to,
                     .max_records = coll.max_records,
                     .max_bytes = coll.max_bytes};
    st = vsi_statement_apply(err, copy->write, &op);
    bool has_limits = limits.max_records || limits.max_bytes;
    return st == VS_OK && has_limits ? vsi_statement_apply(err, copy->write, &limits) : st;
}

/* ---- records -------------------------------------------------------------------------------- */

/* The vectors of a record, little-endian. */
static vs_status copy_vectors(vsi_err *err, copy_work *copy, const vsi_coll *coll, uint32_t slot,
                              vsi_op *op) {
    vs_status st = VS_OK;
    size_t at = 0;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        const vsi_field *field = &coll->desc->field[i];
        const uint8_t *row = NULL;
        bool has = false;
        st = vsi_coll_has(err, coll, i, slot, &has);
        if (st == VS_OK && has)
            st = vsi_coll_row(err, coll, i, slot, &row);
        if (st != VS_OK || !has)
            continue;
        op->vector[i] = (vsi_bytes){vsi_as_le(row, field->vector_bytes / field->element_bytes,
                                              field->element_bytes, copy->rows.data + at),
                                    field->vector_bytes};
        at += field->vector_bytes;
    }
    return st;
}

static vs_status copy_record(vsi_err *err, copy_work *copy, const vsi_coll *coll, vs_key key,
                             uint32_t slot) {
    vsi_op op = {.kind = VSI_OP_PUT, .coll = copy->to, .old_slot = VSI_SLOT_NONE, .key = key};
    copy->value.bytes = 0;
    vs_status st = copy_vectors(err, copy, coll, slot, &op);
    if (st == VS_OK)
        st = vsi_coll_read_metadata(err, coll, slot, &copy->value);
    op.metadata = (vsi_bytes){copy->value.data, copy->value.bytes};
    if (st == VS_OK)
        st = vsi_write_take_slot(err, copy->write, copy->to, &op.slot);
    return st == VS_OK ? vsi_statement_apply(err, copy->write, &op) : st;
}

static vs_status copy_make_room(vsi_err *err, copy_work *copy, const vsi_desc *desc) {
    size_t bytes = vsi_desc_vector_bytes(desc);
    return vsi_buf_reserve(&copy->rows, bytes) ? VS_OK : vsi_fail_nomem(err, bytes);
}

/* The records behind the last one, up to one that has a payload. */
static vs_status copy_records(vsi_err *err, copy_work *copy) {
    vsi_btree_cursor cursor;
    vsi_coll coll;
    vsi_payload payload = {.bytes = 0};
    vsi_bytes after = {copy->after, copy->after_bytes};
    vs_status st = vsi_state_coll(err, &copy->write->state, copy->from, &coll);
    if (st == VS_OK)
        st = copy_make_room(err, copy, coll.desc);
    if (st == VS_OK)
        st = vsi_btree_seek_behind(err, &coll.keys, after, &cursor);
    for (int i = 0; st == VS_OK && i < COPY_RECORDS && !vsi_btree_at_end(&cursor) && !payload.bytes;
         i++) {
        vs_key key = {0};
        uint32_t slot = 0;
        st = vsi_coll_entry(err, &cursor, &key, &slot);
        if (st == VS_OK)
            st = copy_record(err, copy, &coll, key, slot);
        if (st == VS_OK)
            st = vsi_payload_find(err, &coll.payloads, key, &payload);
        if (st == VS_OK)
            st = vsi_watch_step(err, &copy->watch, 1);
        copy->records += st == VS_OK;
        copy->after_bytes = vsi_key_encode(copy->after, key).bytes;
        if (st == VS_OK)
            st = vsi_btree_next(err, &cursor);
    }
    copy->piece = 0;
    copy->payload_bytes = payload.bytes;
    copy->is_at_end = st == VS_OK && vsi_btree_at_end(&cursor);
    return st;
}

/* Some pieces of the last record's payload. */
static vs_status copy_pieces(vsi_err *err, copy_work *copy) {
    vsi_op op = {.kind = VSI_OP_PAYLOAD, .coll = copy->to};
    vsi_coll from, to;
    vsi_payload payload;
    vs_status st = vsi_state_coll(err, &copy->write->state, copy->from, &from);
    if (st == VS_OK)
        st = vsi_state_coll(err, &copy->write->state, copy->to, &to);
    if (st == VS_OK && !vsi_key_decode((vsi_bytes){copy->after, copy->after_bytes}, &op.key))
        st = vsi_fail(err, VS_ERR_CORRUPT, "a key in a tree of keys is malformed");
    if (st == VS_OK)
        st = vsi_coll_find(err, &to, op.key, &op.slot);
    if (st == VS_OK)
        st = vsi_payload_find(err, &from.payloads, op.key, &payload);
    for (int i = 0; st == VS_OK && i < COPY_PIECES && copy->piece < vsi_payload_pieces(&payload);
         i++) {
        vsi_value value;
        copy->value.bytes = 0;
        op.piece = copy->piece++;
        st = vsi_payload_find_piece(err, &from.payloads, op.key, &payload, op.piece, &value);
        if (st == VS_OK)
            st = vsi_value_read(err, &from.payloads, &value, &copy->value);
        op.payload = (vsi_bytes){copy->value.data, copy->value.bytes};
        if (st == VS_OK)
            st = vsi_statement_apply(err, copy->write, &op);
        if (st == VS_OK)
            st = vsi_watch_step(err, &copy->watch, 0);
    }
    if (st == VS_OK && copy->piece == vsi_payload_pieces(&payload))
        copy->payload_bytes = 0;
    return st;
}

/* ---- notes ---------------------------------------------------------------------------------- */

/* The note behind the last one; VS_ERR_NOT_FOUND: there is none. */
static vs_status copy_note(vsi_err *err, copy_work *copy) {
    vsi_value value;
    const vsi_state *state = &copy->write->state;
    copy->value.bytes = 0;
    vs_status st = vsi_note_next(err, state, copy->note, &copy->note_bytes);
    vsi_bytes key = {copy->note + 6, copy->note_bytes - 6};
    if (st == VS_OK)
        st = vsi_note_find(err, state, copy->from, key, &value);
    if (st == VS_OK)
        st = vsi_value_read(err, &state->notes, &value, &copy->value);
    vsi_op op = {.kind = VSI_OP_NOTE,
                 .coll = copy->to,
                 .note_key = key,
                 .note_value = {copy->value.data, copy->value.bytes},
                 .note_has_value = true};
    return st == VS_OK ? vsi_statement_apply(err, copy->write, &op) : st;
}

/* ---- all ------------------------------------------------------------------------------------ */

static vs_status copy_run(vsi_err *err, copy_work *copy) {
    vs_status st = copy_statement(err, copy, copy_create);
    while (st == VS_OK && !copy->is_at_end) {
        st = copy_statement(err, copy, copy_records);
        while (st == VS_OK && copy->payload_bytes)
            st = copy_statement(err, copy, copy_pieces);
    }
    if (st != VS_OK)
        return st;
    copy->note_bytes = vsi_note_encode(copy->note, copy->from, (vsi_bytes){copy->note, 0}).bytes;
    do
        st = copy_statement(err, copy, copy_note);
    while (st == VS_OK);
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

/* In the caller's transaction: a failure takes back what was staged. */
static vs_status copy_within(vsi_err *err, copy_work *copy) {
    vsi_err ignored = {0};
    uint32_t point = 0;
    vs_status st = vsi_write_savepoint(err, copy->write, &point);
    if (st != VS_OK)
        return st;
    st = copy_run(err, copy);
    if (st != VS_OK)
        (void)vsi_write_rollback_to(&ignored, copy->write, point);
    (void)vsi_write_release(&ignored, copy->write, point);
    return st;
}

static vs_status copy_alone(vsi_err *err, copy_work *copy, vs_db *db) {
    vsi_write own;
    vs_status st = vsi_begin(err, db, &own);
    if (st != VS_OK)
        return st;
    copy->write = &own;
    st = copy_run(err, copy);
    if (st == VS_OK)
        return vsi_commit(err, db, &own, VS_SYNC_DEFAULT);
    vsi_rollback(db, &own);
    return st;
}

vs_status vs_collection_copy(vs_collection *collection, vs_txn *txn, const char *name,
                             vs_collection **out_collection) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_collection_copy");
    vs_db *db = collection->head.db;
    vsi_err err = {0};
    copy_work copy = {.collection = collection,
                      .from = collection->id,
                      .watch = vsi_watch_begin(&db->watcher),
                      .name = name,
                      .rows = {.mem = &db->mem},
                      .value = {.mem = &db->mem}};
    vs_collection *handle = NULL;
    vs_status st = vsi_handle_check_txn(&err, db, txn, true);
    if (st == VS_OK && out_collection) {
        handle = vsi_collection_new(db, 0, name ? name : "");
        st = handle ? VS_OK : vsi_fail_nomem(&err, sizeof *handle);
    }
    if (st == VS_OK) {
        copy.write = txn ? &txn->write : NULL;
        st = txn ? copy_within(&err, &copy) : copy_alone(&err, &copy, db);
    }
    vsi_buf_free(&copy.rows);
    vsi_buf_free(&copy.value);
    if (st == VS_OK && handle) {
        handle->id = copy.to;
        *out_collection = handle;
    } else {
        vs_collection_close(handle);
    }
    return vsi_trace_end(&trace, vsi_handle_end(&collection->head, st, &err), copy.records);
}
