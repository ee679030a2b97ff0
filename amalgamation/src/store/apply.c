/* apply.c - operations on a state.
 *
 *   A1  digest is the sum modulo 2^128 of the terms of all collections, vectors, metadata, payloads
 *       and notes (store/term). */
#include "store/apply.h"
#include "store/encode.h"
#include "store/payload.h"
#include "store/term.h"

static vs_status apply_misfit(vsi_err *err, const vsi_op *op, const char *reason) {
    return vsi_fail(err, VS_ERR_CORRUPT, "operation of kind %d on collection %lu: %s", op->kind,
                    (unsigned long)op->coll, reason);
}

/* What looking something up means for an operation that expects not to find it. */
static vs_status apply_expect_none(vsi_err *err, vs_status st, const vsi_op *op,
                                   const char *reason) {
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    return st == VS_OK ? apply_misfit(err, op, reason) : st;
}

static vs_status apply_work_on(vsi_err *err, vsi_state *state, const vsi_op *op,
                               vsi_coll **out_coll) {
    vs_status st = vsi_state_work_on(err, state, op->coll, out_coll);
    return st == VS_ERR_NOT_FOUND ? apply_misfit(err, op, "there is no such collection") : st;
}

/* ---- create --------------------------------------------------------------------------------- */

static bool create_text_fits(vsi_bytes text, size_t least, size_t most) {
    return text.bytes >= least && text.bytes <= most &&
           !(text.bytes && memchr(text.data, 0, text.bytes));
}

static vs_status create_validate_field(vsi_err *err, const vsi_op *op, uint32_t at) {
    const vsi_op_field *field = &op->field[at];
    if (field->dim < 1 || field->dim > VS_DIM_MAX || !vsi_type_bytes((int)field->type))
        return apply_misfit(err, op, "its dimension or type is unknown");
    if (!vsi_metric_fits((int)field->metric, (int)field->type))
        return apply_misfit(err, op, "its metric is unknown, or not one for its type");
    if (!create_text_fits(field->name, 1, VS_FIELD_BYTES_MAX) ||
        !create_text_fits(field->index, 0, VS_INDEX_BYTES_MAX))
        return apply_misfit(err, op, "the name or index of a field is malformed");
    for (uint32_t i = 0; i < at; i++)
        if (!vsi_bytes_compare(op->field[i].name, field->name))
            return apply_misfit(err, op, "two fields have one name");
    return VS_OK;
}

/* A name that leads nowhere yet. */
static vs_status name_validate_new(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    uint32_t id = 0;
    bool is_alias = false;
    if (!create_text_fits(op->name, 1, VS_NAME_BYTES_MAX))
        return apply_misfit(err, op, "its name is malformed");
    vs_status st = vsi_state_name(err, state, op->name, &id, &is_alias);
    return apply_expect_none(err, st, op, "its name exists");
}

static vs_status create_validate(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    vs_status st = VS_OK;
    if (op->coll <= state->last_coll)
        return apply_misfit(err, op, "its id does not ascend");
    if (op->coll > VSI_COLL_ID_MAX)
        return apply_misfit(err, op, "its id is no collection's");
    if (op->field_count < 1 || op->field_count > VS_FIELDS_MAX)
        return apply_misfit(err, op, "it has no fields, or too many");
    for (uint32_t i = 0; st == VS_OK && i < op->field_count; i++)
        st = create_validate_field(err, op, i);
    return st == VS_OK ? name_validate_new(err, state, op) : st;
}

static void create_fill_field(vsi_field *field, const vsi_op_field *given) {
    field->dim = given->dim;
    field->type = (int)given->type;
    field->metric = (int)given->metric;
    field->is_optional = given->is_optional;
    memcpy(field->name, given->name.data, given->name.bytes);
    if (given->index.bytes)
        memcpy(field->index, given->index.data, given->index.bytes);
}

static vs_status apply_create(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vs_status st = create_validate(err, state, op);
    if (st != VS_OK)
        return st;
    vsi_desc given, *desc = NULL;
    memset(&given, 0, sizeof given);
    given.id = op->coll;
    given.created_us = op->time_us;
    given.field_count = op->field_count;
    memcpy(given.name, op->name.data, op->name.bytes);
    for (uint32_t i = 0; i < op->field_count; i++)
        create_fill_field(&given.field[i], &op->field[i]);
    given.term = vsi_term_of_coll(&given);
    given.new_dir.cow = state->catalog.cow->pager ? state->catalog.cow : NULL;
    st = vsi_descs_add(err, state->descs, &given, &desc);
    if (st == VS_OK)
        st = vsi_state_add_coll(err, state, desc);
    if (st != VS_OK)
        return st;
    vsi_hash128_add(&state->digest, given.term); /* keeps A1, here and below */
    vsi_hash128_add(&state->digest, vsi_term_of_name(op->coll, op->name, false));
    return VS_OK;
}

/* ---- names and limits ----------------------------------------------------------------------- */

static vs_status apply_expect_coll(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    vsi_coll coll;
    vs_status st = vsi_state_coll(err, state, op->coll, &coll);
    return st == VS_ERR_NOT_FOUND ? apply_misfit(err, op, "there is no such collection") : st;
}

/* Makes the name lead to what the operation says, in place of where it led. */
static vs_status name_move(vsi_err *err, vsi_state *state, vsi_bytes name, uint32_t from,
                           uint32_t to, bool is_alias) {
    vs_status st = vsi_state_put_name(err, state, name, to, is_alias);
    if (st != VS_OK)
        return st;
    if (from)
        vsi_hash128_subtract(&state->digest, vsi_term_of_name(from, name, is_alias));
    if (to)
        vsi_hash128_add(&state->digest, vsi_term_of_name(to, name, is_alias));
    return VS_OK;
}

static vs_status apply_rename(vsi_err *err, vsi_state *state, const vsi_op *op) {
    char old[VS_NAME_BYTES_MAX + 1];
    vs_status st = apply_expect_coll(err, state, op);
    if (st == VS_OK)
        st = name_validate_new(err, state, op);
    if (st == VS_OK)
        st = vsi_state_coll_name(err, state, op->coll, old);
    if (st == VS_OK)
        st = name_move(err, state, (vsi_bytes){(const uint8_t *)old, strlen(old)}, op->coll, 0,
                       false);
    if (st == VS_OK)
        st = name_move(err, state, op->name, 0, op->coll, false);
    return st == VS_OK ? vsi_state_put_own_name(err, state, op->coll, op->name) : st;
}

static vs_status apply_alias(vsi_err *err, vsi_state *state, const vsi_op *op) {
    uint32_t old = 0;
    bool is_alias = true;
    vs_status st = op->coll ? apply_expect_coll(err, state, op) : VS_OK;
    if (st == VS_OK && !create_text_fits(op->name, 1, VS_NAME_BYTES_MAX))
        st = apply_misfit(err, op, "its name is malformed");
    if (st != VS_OK)
        return st;
    st = vsi_state_name(err, state, op->name, &old, &is_alias);
    if (st == VS_OK && !is_alias)
        return apply_misfit(err, op, "its name is a collection's own");
    if (st == VS_ERR_NOT_FOUND && !op->coll)
        return apply_misfit(err, op, "there is no such alias");
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    return name_move(err, state, op->name, old, op->coll, true);
}

static vs_status apply_limits(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st != VS_OK)
        return st;
    vsi_hash128_subtract(&state->digest,
                         vsi_term_of_limits(op->coll, coll->max_records, coll->max_bytes));
    vsi_hash128_add(&state->digest, vsi_term_of_limits(op->coll, op->max_records, op->max_bytes));
    coll->max_records = op->max_records;
    coll->max_bytes = op->max_bytes;
    return VS_OK;
}

/* ---- put and delete ------------------------------------------------------------------------- */

/* A record's term counts in the collection's digest and in that of all. */
static void record_count_term(vsi_state *state, vsi_coll *coll, vsi_hash128 term, bool is_there) {
    vsi_hash128 *sums[] = {&state->digest, &coll->digest};
    for (size_t i = 0; i < 2; i++)
        if (is_there)
            vsi_hash128_add(sums[i], term);
        else
            vsi_hash128_subtract(sums[i], term);
}

/* What a key counts in a collection's bytes. */
static uint64_t key_bytes(vs_key key) {
    return key.kind == VS_KEY_U64 ? 8 : key.bytes;
}

static vs_status metadata_remove(vsi_err *err, vsi_state *state, vsi_coll *coll, uint32_t slot,
                                 vs_key key) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_bytes slot_key = vsi_slot_encode(bytes, slot);
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, &coll->metadata, slot_key, &value);
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    record_count_term(state, coll, vsi_term_of_metadata(coll->desc->id, key, value.hash), false);
    coll->bytes -= value.bytes;
    return vsi_value_delete(err, &coll->metadata, slot_key);
}

/* The slot holds a record, or none any more; which vectors it has is said apart. */
static vs_status record_mark(vsi_err *err, vsi_coll *coll, uint32_t slot, bool is_live) {
    vs_status st = vsi_live_set(err, &coll->live, VSI_LIVE_RECORDS, slot, is_live);
    for (uint32_t i = 0; st == VS_OK && !is_live && i < coll->desc->field_count; i++) {
        bool has = false;
        st = vsi_coll_has(err, coll, i, slot, &has);
        if (st == VS_OK && has)
            coll->bytes -= coll->desc->field[i].vector_bytes;
        if (st == VS_OK && has && coll->desc->field[i].is_optional)
            st = vsi_live_set(err, &coll->live, vsi_desc_set(coll->desc, i), slot, false);
    }
    return st;
}

/* Takes the live record of a key out of its slot. */
static vs_status record_remove(vsi_err *err, vsi_state *state, vsi_coll *coll, uint32_t slot,
                               vs_key key, vsi_buf *freed) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_cell cell;
    vs_status st = vsi_coll_cell(err, coll, slot, &cell);
    if (st == VS_OK)
        st = metadata_remove(err, state, coll, slot, key);
    if (st == VS_OK)
        st = record_mark(err, coll, slot, false);
    if (st == VS_OK && key.kind != VS_KEY_U64)
        st = vsi_btree_delete(err, &coll->long_keys, vsi_slot_encode(bytes, slot));
    if (st == VS_ERR_NOT_FOUND)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s: the key of slot %lu is missing", coll->desc->name,
                      (unsigned long)slot);
    if (st != VS_OK)
        return st;
    vsi_freed_slot gone = {.coll = coll->desc->id, .slot = slot};
    if (freed && !vsi_buf_append(freed, &gone, sizeof gone))
        return vsi_fail_nomem(err, sizeof gone);
    record_count_term(state, coll, vsi_term_of_vector(coll->desc->id, key, cell.vector_hash),
                      false);
    coll->count--;
    coll->bytes -= key_bytes(key);
    return VS_OK;
}

static vs_status record_write_row(vsi_err *err, vsi_coll *coll, uint32_t at, uint32_t slot,
                                  vsi_bytes vector) {
    vsi_field *field = &coll->desc->field[at];
    uint8_t *row = NULL;
    vs_status st = vsi_slab_make_row(err, &field->rows, slot, &row);
    if (st != VS_OK)
        return st;
    vsi_copy_le(row, vector.data, field->vector_bytes / field->element_bytes,
                field->element_bytes); /* keeps S3 */
    st = vsi_encode_row(err, coll, at, slot);
    if (st == VS_OK && field->is_optional)
        st = vsi_live_set(err, &coll->live, vsi_desc_set(coll->desc, at), slot, true);
    return st;
}

/* The vectors of a record, and its cell. */
static vs_status record_write_rows(vsi_err *err, vsi_coll *coll, const vsi_op *op,
                                   vsi_hash128 *out_hash) {
    vsi_hash128 hash = {0, 0};
    uint8_t *cell = NULL;
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        if (!op->vector[i].bytes)
            continue;
        st = record_write_row(err, coll, i, op->slot, op->vector[i]);
        coll->bytes += op->vector[i].bytes;
        vsi_hash128_add(&hash, vsi_vector_hash(i, op->vector[i]));
    }
    if (st == VS_OK)
        st = vsi_slab_make_row(err, &coll->desc->cells, op->slot, &cell);
    if (st != VS_OK)
        return st;
    vsi_cell_encode(cell, op->key, hash);
    *out_hash = hash;
    return VS_OK;
}

/* Leads from the key to the slot and, if the cell has no room for the key, back. */
static vs_status record_link(vsi_err *err, vsi_coll *coll, const vsi_op *op) {
    uint8_t bytes[VSI_KEY_BYTES_MAX], slot_key[VSI_SLOT_KEY_BYTES], slot[4];
    vsi_put_u32(slot, op->slot);
    vs_status st = vsi_btree_put(err, &coll->keys, vsi_key_encode(bytes, op->key),
                                 (vsi_bytes){slot, sizeof slot});
    if (st == VS_OK && op->key.kind != VS_KEY_U64)
        st = vsi_btree_put(err, &coll->long_keys, vsi_slot_encode(slot_key, op->slot),
                           (vsi_bytes){op->key.data, op->key.bytes});
    return st;
}

static vs_status metadata_add(vsi_err *err, vsi_state *state, vsi_coll *coll, const vsi_op *op) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    if (!op->metadata.bytes)
        return VS_OK;
    vsi_hash128 hash = vsi_hash128_of(op->metadata.data, op->metadata.bytes, 0);
    record_count_term(state, coll, vsi_term_of_metadata(op->coll, op->key, hash), true);
    coll->bytes += op->metadata.bytes;
    return vsi_value_put(err, &coll->metadata, vsi_slot_encode(bytes, op->slot), op->metadata,
                         hash);
}

/* Writes a record into a slot that is not live. */
static vs_status record_add(vsi_err *err, vsi_state *state, vsi_coll *coll, const vsi_op *op) {
    vsi_hash128 hash = {0, 0};
    vs_status st = record_write_rows(err, coll, op, &hash);
    if (st == VS_OK)
        st = record_mark(err, coll, op->slot, true);
    if (st == VS_OK)
        st = metadata_add(err, state, coll, op);
    if (st == VS_OK)
        st = record_link(err, coll, op);
    if (st != VS_OK)
        return st;
    record_count_term(state, coll, vsi_term_of_vector(op->coll, op->key, hash), true);
    coll->count++;
    coll->bytes += key_bytes(op->key);
    if (op->key.kind == VS_KEY_U64 && op->key.number > coll->last_number)
        coll->last_number = op->key.number;
    if (op->slot == coll->slot_end)
        coll->slot_end++;
    return vsi_encode_begin(err, state);
}

/* Gives the payload of a live record a piece, or takes what is from there on away. */
static vs_status record_change_payload(vsi_err *err, vsi_state *state, vsi_coll *coll, vs_key key,
                                       uint32_t piece, vsi_bytes bytes, vsi_payload *io_payload) {
    const uint32_t id = coll->desc->id;
    if (io_payload->bytes)
        record_count_term(state, coll, vsi_term_of_payload(id, key, io_payload->hash), false);
    coll->bytes -= io_payload->bytes;
    vs_status st = vsi_payload_set(err, &coll->payloads, key, piece, bytes, io_payload);
    if (st == VS_OK && io_payload->bytes)
        record_count_term(state, coll, vsi_term_of_payload(id, key, io_payload->hash), true);
    coll->bytes += io_payload->bytes;
    return st;
}

/* Of a record that goes. */
static vs_status record_drop_payload(vsi_err *err, vsi_state *state, vsi_coll *coll, vs_key key) {
    vsi_payload payload;
    vs_status st = vsi_payload_find(err, &coll->payloads, key, &payload);
    if (st != VS_OK || !payload.bytes)
        return st;
    return record_change_payload(err, state, coll, key, 0, (vsi_bytes){NULL, 0}, &payload);
}

/* Whether the record of an operation is where it says. */
static vs_status record_validate(vsi_err *err, const vsi_coll *coll, const vsi_op *op,
                                 uint32_t expected) {
    uint32_t found = VSI_SLOT_NONE;
    vs_status st = vsi_coll_find(err, coll, op->key, &found);
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    return found == expected ? VS_OK
                             : apply_misfit(err, op, "the record is not where the operation says");
}

static vs_status put_validate_vectors(vsi_err *err, const vsi_desc *desc, const vsi_op *op) {
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++) {
        size_t bytes = op->vector[i].bytes;
        if (i >= desc->field_count && bytes)
            return apply_misfit(err, op, "there is no such field");
        if (i < desc->field_count && !bytes && !desc->field[i].is_optional)
            return apply_misfit(err, op, "a vector is missing");
        if (bytes && bytes != desc->field[i].vector_bytes)
            return apply_misfit(err, op, "the vector has another size");
    }
    return VS_OK;
}

static vs_status put_validate(vsi_err *err, const vsi_coll *coll, const vsi_op *op) {
    bool is_live = false;
    vs_status st = put_validate_vectors(err, coll->desc, op);
    if (st != VS_OK)
        return st;
    if (op->metadata.bytes > VS_METADATA_BYTES_MAX)
        return apply_misfit(err, op, "the metadata is too large");
    st = vsi_live_get(err, &coll->live, VSI_LIVE_RECORDS, op->slot, &is_live);
    if (st != VS_OK)
        return st;
    if (op->slot > coll->slot_end || op->slot >= VS_RECORDS_MAX || is_live)
        return apply_misfit(err, op, "the slot is taken or out of range");
    return record_validate(err, coll, op, op->old_slot);
}

static vs_status apply_put(vsi_err *err, vsi_state *state, const vsi_op *op, vsi_buf *freed) {
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK)
        st = put_validate(err, coll, op);
    if (st == VS_OK && op->old_slot != VSI_SLOT_NONE)
        st = record_remove(err, state, coll, op->old_slot, op->key, freed);
    return st == VS_OK ? record_add(err, state, coll, op) : st;
}

static vs_status apply_delete(vsi_err *err, vsi_state *state, const vsi_op *op, vsi_buf *freed) {
    uint8_t key[VSI_KEY_BYTES_MAX];
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK && op->slot == VSI_SLOT_NONE)
        st = apply_misfit(err, op, "it names no slot");
    if (st == VS_OK)
        st = record_validate(err, coll, op, op->slot);
    if (st == VS_OK)
        st = record_remove(err, state, coll, op->slot, op->key, freed);
    if (st == VS_OK)
        st = record_drop_payload(err, state, coll, op->key);
    return st == VS_OK ? vsi_btree_delete(err, &coll->keys, vsi_key_encode(key, op->key)) : st;
}

/* The record stays where it is: snapshots have metadata of their own. */
static vs_status apply_metadata(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK && op->slot == VSI_SLOT_NONE)
        st = apply_misfit(err, op, "it names no slot");
    if (st == VS_OK && op->metadata.bytes > VS_METADATA_BYTES_MAX)
        st = apply_misfit(err, op, "the metadata is too large");
    if (st == VS_OK)
        st = record_validate(err, coll, op, op->slot);
    if (st == VS_OK)
        st = metadata_remove(err, state, coll, op->slot, op->key);
    return st == VS_OK ? metadata_add(err, state, coll, op) : st;
}

static vs_status record_validate_payload(vsi_err *err, const vsi_op *op,
                                         const vsi_payload *payload) {
    const uint32_t pieces = vsi_payload_pieces(payload);
    if (op->payload.bytes > VSI_PAYLOAD_PIECE_BYTES || (!op->payload.bytes && op->piece >= pieces))
        return apply_misfit(err, op, "the piece has no bytes, or too many");
    if ((uint64_t)op->piece * VSI_PAYLOAD_PIECE_BYTES > payload->bytes)
        return apply_misfit(err, op, "the pieces before it are not whole");
    if ((uint64_t)op->piece * VSI_PAYLOAD_PIECE_BYTES + op->payload.bytes > VS_PAYLOAD_BYTES_MAX)
        return apply_misfit(err, op, "the payload is too large");
    return VS_OK;
}

static vs_status apply_payload(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vsi_coll *coll = NULL;
    vsi_payload payload;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK && op->slot == VSI_SLOT_NONE)
        st = apply_misfit(err, op, "it names no slot");
    if (st == VS_OK)
        st = record_validate(err, coll, op, op->slot);
    if (st == VS_OK)
        st = vsi_payload_find(err, &coll->payloads, op->key, &payload);
    if (st == VS_OK)
        st = record_validate_payload(err, op, &payload);
    return st == VS_OK
               ? record_change_payload(err, state, coll, op->key, op->piece, op->payload, &payload)
               : st;
}

static vs_status apply_touch(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK)
        coll->changed_us = op->time_us;
    return st;
}

/* ---- notes ---------------------------------------------------------------------------------- */

static vs_status note_remove(vsi_err *err, vsi_state *state, const vsi_op *op, vsi_bytes key) {
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, &state->notes, key, &value);
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    vsi_hash128_subtract(&state->digest, vsi_term_of_note(op->coll, op->note_key, value.hash));
    return vsi_value_delete(err, &state->notes, key);
}

static vs_status apply_note(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vsi_coll coll;
    bool is_of_coll =
        op->coll != 0 && op->coll != VSI_NOTES_OF_TOKENS && op->coll != VSI_NOTES_OF_TOKEN_RING;
    vs_status st = is_of_coll ? vsi_state_coll(err, state, op->coll, &coll) : VS_OK;
    if (st == VS_ERR_NOT_FOUND)
        return apply_misfit(err, op, "there is no such collection");
    if (st == VS_OK && (op->note_key.bytes < 1 || op->note_key.bytes > VS_KV_KEY_BYTES_MAX ||
                        op->note_value.bytes > VS_KV_VALUE_BYTES_MAX))
        return apply_misfit(err, op, "the note's key or value is too long");
    uint8_t bytes[VSI_NOTE_KEY_BYTES_MAX];
    vsi_bytes key = {0};
    if (st == VS_OK) {
        key = vsi_note_encode(bytes, op->coll, op->note_key);
        st = note_remove(err, state, op, key);
    }
    state->is_settled = false;
    if (st != VS_OK || !op->note_has_value)
        return st;
    vsi_hash128 hash = vsi_hash128_of(op->note_value.data, op->note_value.bytes, 0);
    vsi_hash128_add(&state->digest, vsi_term_of_note(op->coll, op->note_key, hash));
    return vsi_value_put(err, &state->notes, key, op->note_value, hash);
}

/* ---- drop ----------------------------------------------------------------------------------- */

static vs_status drop_notes(vsi_err *err, vsi_state *state, const vsi_op *op) {
    uint8_t bytes[VSI_NOTE_KEY_BYTES_MAX];
    vsi_bytes key = vsi_note_encode(bytes, op->coll, (vsi_bytes){bytes, 0});
    vs_status st = vsi_note_next(err, state, bytes, &key.bytes);
    while (st == VS_OK) {
        vsi_op note = {.coll = op->coll, .note_key = {bytes + 6, key.bytes - 6}};
        st = note_remove(err, state, &note, key);
        if (st == VS_OK)
            st = vsi_note_next(err, state, bytes, &key.bytes);
    }
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

static vs_status drop_aliases(vsi_err *err, vsi_state *state, const vsi_op *op) {
    uint8_t bytes[VS_NAME_BYTES_MAX];
    vsi_bytes after = {bytes, 0};
    vs_status st = VS_OK;
    while (st == VS_OK) {
        vsi_bytes name = {NULL, 0};
        uint32_t id = 0;
        bool is_alias = false;
        st = vsi_state_name_after(err, state, after, &name, &id, &is_alias);
        if (st == VS_OK && name.bytes > sizeof bytes)
            return apply_misfit(err, op, "a name is too long");
        if (st != VS_OK)
            break;
        memcpy(bytes, name.data, name.bytes);
        after.bytes = name.bytes;
        if (id == op->coll && is_alias)
            st = name_move(err, state, after, id, 0, true);
    }
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

static vs_status apply_drop(vsi_err *err, vsi_state *state, const vsi_op *op, vsi_buf *freed) {
    char name[VS_NAME_BYTES_MAX + 1];
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK)
        st = vsi_state_coll_name(err, state, op->coll, name);
    if (st == VS_OK)
        st = drop_notes(err, state, op);
    if (st == VS_OK)
        st = drop_aliases(err, state, op);
    if (st != VS_OK)
        return st;
    vsi_hash128 gone[] = {
        coll->digest, coll->desc->term,
        vsi_term_of_limits(op->coll, coll->max_records, coll->max_bytes),
        vsi_term_of_name(op->coll, (vsi_bytes){(const uint8_t *)name, strlen(name)}, false)};
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        vsi_hash128_subtract(&state->digest, gone[i]);
    vsi_freed_slot all = {.coll = op->coll, .slot = VSI_SLOT_NONE};
    if (freed && !vsi_buf_append(freed, &all, sizeof all))
        return vsi_fail_nomem(err, sizeof all);
    return vsi_state_remove_coll(err, state, op->coll);
}

/* ---- digest --------------------------------------------------------------------------------- */

static vs_status apply_digest(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    if (state->digest.lo == op->digest.lo && state->digest.hi == op->digest.hi)
        return VS_OK;
    return vsi_fail(err, VS_ERR_CORRUPT,
                    "digest of the state is %016llx%016llx, the log says %016llx%016llx",
                    (unsigned long long)state->digest.hi, (unsigned long long)state->digest.lo,
                    (unsigned long long)op->digest.hi, (unsigned long long)op->digest.lo);
}

VSI_FN vs_status vsi_apply(vsi_err *err, vsi_state *state, const vsi_op *op, vsi_buf *freed) {
    state->changes++;
    switch (op->kind) {
    case VSI_OP_CREATE:
        return apply_create(err, state, op);
    case VSI_OP_PUT:
        return apply_put(err, state, op, freed);
    case VSI_OP_DELETE:
        return apply_delete(err, state, op, freed);
    case VSI_OP_METADATA:
        return apply_metadata(err, state, op);
    case VSI_OP_PAYLOAD:
        return apply_payload(err, state, op);
    case VSI_OP_RENAME:
        return apply_rename(err, state, op);
    case VSI_OP_ALIAS:
        return apply_alias(err, state, op);
    case VSI_OP_LIMITS:
        return apply_limits(err, state, op);
    case VSI_OP_TOUCH:
        return apply_touch(err, state, op);
    case VSI_OP_DROP:
        return apply_drop(err, state, op, freed);
    case VSI_OP_NOTE:
        return apply_note(err, state, op);
    case VSI_OP_DIGEST:
        return apply_digest(err, state, op);
    default: /* those of savepoints are for who keeps them */
        return apply_misfit(err, op, "it changes no content");
    }
}
