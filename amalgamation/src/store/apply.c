/* apply.c - operations on a state.
 *
 *   A1  digest is the sum modulo 2^128 of the terms of all collections, vectors, metadata and
 *       notes (store/term). */
#include "store/apply.h"
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

static vs_status create_validate(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    vsi_coll other;
    if (op->coll <= state->last_coll)
        return apply_misfit(err, op, "its id does not ascend");
    if (op->dim < 1 || op->dim > VS_DIM_MAX || !vsi_type_bytes((int)op->type))
        return apply_misfit(err, op, "its dimension or type is unknown");
    if (!vsi_metric_fits((int)op->metric, (int)op->type))
        return apply_misfit(err, op, "its metric is unknown, or not one for its type");
    if (op->name.bytes < 1 || op->name.bytes > VS_NAME_BYTES_MAX ||
        op->index.bytes > VS_INDEX_BYTES_MAX || memchr(op->name.data, 0, op->name.bytes) ||
        (op->index.bytes && memchr(op->index.data, 0, op->index.bytes)))
        return apply_misfit(err, op, "its name or index is malformed");
    vs_status st = vsi_state_coll_named(err, state, op->name, &other);
    return apply_expect_none(err, st, op, "its name exists");
}

static vs_status apply_create(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vs_status st = create_validate(err, state, op);
    if (st != VS_OK)
        return st;
    vsi_desc given, *desc = NULL;
    memset(&given, 0, sizeof given);
    given.id = op->coll;
    given.dim = op->dim;
    given.type = (int)op->type;
    given.metric = (int)op->metric;
    given.created_us = op->time_us;
    memcpy(given.name, op->name.data, op->name.bytes);
    if (op->index.bytes)
        memcpy(given.index, op->index.data, op->index.bytes);
    given.term = vsi_term_of_coll(&given);
    given.rows.dir.cow = given.cells.dir.cow =
        state->catalog.cow->pager ? state->catalog.cow : NULL;
    st = vsi_descs_add(err, state->descs, &given, &desc);
    if (st == VS_OK)
        st = vsi_state_add_coll(err, state, desc);
    if (st == VS_OK)
        vsi_hash128_add(&state->digest, given.term); /* keeps A1, here and below */
    return st;
}

/* ---- put and delete ------------------------------------------------------------------------- */

static vs_status metadata_remove(vsi_err *err, vsi_state *state, vsi_coll *coll, uint32_t slot,
                                 vs_key key) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_bytes slot_key = vsi_slot_encode(bytes, slot);
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, &coll->metadata, slot_key, &value);
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    vsi_hash128_subtract(&state->digest, vsi_term_of_metadata(coll->desc->id, key, value.hash));
    return vsi_value_delete(err, &coll->metadata, slot_key);
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
        st = vsi_live_set(err, &coll->live, slot, false);
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
    vsi_hash128_subtract(&state->digest, vsi_term_of_vector(coll->desc->id, key, cell.vector_hash));
    coll->count--;
    return VS_OK;
}

static vs_status record_write_row(vsi_err *err, vsi_coll *coll, const vsi_op *op,
                                  vsi_hash128 hash) {
    vsi_desc *desc = coll->desc;
    uint8_t *row = NULL, *cell = NULL;
    vs_status st = vsi_slab_make_row(err, &desc->rows, op->slot, &row);
    if (st == VS_OK)
        st = vsi_slab_make_row(err, &desc->cells, op->slot, &cell);
    if (st != VS_OK)
        return st;
    vsi_copy_le(row, op->vector.data, desc->vector_bytes / desc->element_bytes,
                desc->element_bytes); /* keeps S3 */
    vsi_cell_encode(cell, op->key, hash);
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
    vsi_hash128_add(&state->digest, vsi_term_of_metadata(op->coll, op->key, hash));
    return vsi_value_put(err, &coll->metadata, vsi_slot_encode(bytes, op->slot), op->metadata,
                         hash);
}

/* Writes a record into a slot that is not live. */
static vs_status record_add(vsi_err *err, vsi_state *state, vsi_coll *coll, const vsi_op *op) {
    vsi_hash128 hash = vsi_hash128_of(op->vector.data, op->vector.bytes, 0);
    vs_status st = record_write_row(err, coll, op, hash);
    if (st == VS_OK)
        st = vsi_live_set(err, &coll->live, op->slot, true);
    if (st == VS_OK)
        st = metadata_add(err, state, coll, op);
    if (st == VS_OK)
        st = record_link(err, coll, op);
    if (st != VS_OK)
        return st;
    vsi_hash128_add(&state->digest, vsi_term_of_vector(op->coll, op->key, hash));
    coll->count++;
    if (op->key.kind == VS_KEY_U64 && op->key.number > coll->last_number)
        coll->last_number = op->key.number;
    if (op->slot == coll->slot_end)
        coll->slot_end++;
    return VS_OK;
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

static vs_status put_validate(vsi_err *err, const vsi_coll *coll, const vsi_op *op) {
    bool is_live = false;
    if (op->vector.bytes != coll->desc->vector_bytes)
        return apply_misfit(err, op, "the vector has another size");
    if (op->metadata.bytes > VS_METADATA_BYTES_MAX)
        return apply_misfit(err, op, "the metadata is too large");
    vs_status st = vsi_live_get(err, &coll->live, op->slot, &is_live);
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

/* ---- notes and digest ----------------------------------------------------------------------- */

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
    vs_status st = op->coll ? vsi_state_coll(err, state, op->coll, &coll) : VS_OK;
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
    case VSI_OP_NOTE:
        return apply_note(err, state, op);
    case VSI_OP_DIGEST:
        return apply_digest(err, state, op);
    default: /* those of savepoints are for who keeps them */
        return apply_misfit(err, op, "it changes no content");
    }
}
