/* state.c - the content of a database and the one function that changes it.
 *
 *   S1  A record is live in exactly one slot; keys maps its key there, the cell of the slot
 *       holds the key, the live bit is set. count is the number of live slots.
 *   S2  Slots below slot_end have rows and cells in memory.
 *   S3  A slot's row and cell are written only while it is not live in any version that can be
 *       read.
 *   S4  digest is the sum modulo 2^128 of the terms of all collections, vectors, metadata and
 *       notes; a term depends on logical content alone, never on slots. */
#include "store/state.h"

/* What a term of the digest stands for; part of its hash. */
enum { STATE_TERM_COLL = 1, STATE_TERM_VECTOR = 2, STATE_TERM_METADATA = 3, STATE_TERM_NOTE = 4 };

enum { STATE_KEY_BYTES = 10, STATE_NOTE_KEY_BYTES_MAX = 6 + VS_KV_KEY_BYTES_MAX };

_Static_assert((int)STATE_NOTE_KEY_BYTES_MAX <= (int)VSI_VALUE_KEY_BYTES_MAX, "note keys must fit");

typedef struct state_cell {
    uint64_t key;
    vsi_hash128 vector_hash;
    uint64_t zero;
} state_cell;

VSI_FN uint32_t vsi_type_bytes(int type) {
    return type == VS_F32 ? 4 : type == VS_U8 ? 1 : 0;
}

/* ---- digest --------------------------------------------------------------------------------- */

static vsi_hash128 term_of_record(uint32_t kind, uint32_t coll, uint64_t key, vsi_hash128 content) {
    uint8_t bytes[40];
    vsi_put_u32(bytes, kind);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u32(bytes + 8, 0);  /* namespace */
    vsi_put_u32(bytes + 12, 0); /* field id */
    vsi_put_u64(bytes + 16, key);
    vsi_put_u64(bytes + 24, content.lo);
    vsi_put_u64(bytes + 32, content.hi);
    return vsi_hash128_of(bytes, sizeof bytes, 0);
}

static vsi_hash128 term_of_note(uint32_t coll, vsi_bytes key, vsi_hash128 content) {
    uint8_t bytes[24 + VS_KV_KEY_BYTES_MAX];
    vsi_put_u32(bytes, STATE_TERM_NOTE);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u64(bytes + 8, content.lo);
    vsi_put_u64(bytes + 16, content.hi);
    memcpy(bytes + 24, key.data, key.bytes);
    return vsi_hash128_of(bytes, 24 + key.bytes, 0);
}

static vsi_hash128 term_of_coll(const vsi_coll_desc *desc) {
    uint8_t bytes[32 + VS_NAME_BYTES_MAX + VS_INDEX_BYTES_MAX];
    size_t name_bytes = strlen(desc->name), index_bytes = strlen(desc->index);
    vsi_put_u32(bytes, STATE_TERM_COLL);
    vsi_put_u32(bytes + 4, desc->id);
    vsi_put_u32(bytes + 8, desc->dim);
    vsi_put_u32(bytes + 12, (uint32_t)desc->type);
    vsi_put_u32(bytes + 16, (uint32_t)desc->metric);
    vsi_put_u64(bytes + 20, (uint64_t)desc->created_us);
    vsi_put_u32(bytes + 28, (uint32_t)name_bytes);
    memcpy(bytes + 32, desc->name, name_bytes);
    memcpy(bytes + 32 + name_bytes, desc->index, index_bytes);
    return vsi_hash128_of(bytes, 32 + name_bytes + index_bytes, 0);
}

/* ---- encoded keys --------------------------------------------------------------------------- */

/* namespace (one byte, 0: the default), type tag, then the number big-endian: memcmp gives the
 * order of keys. */
static vsi_bytes state_key(uint8_t out[STATE_KEY_BYTES], uint64_t key) {
    out[0] = 0;
    out[1] = 1;
    vsi_put_u64_be(out + 2, key);
    return (vsi_bytes){out, STATE_KEY_BYTES};
}

static vsi_bytes state_slot_key(uint8_t out[4], uint32_t slot) {
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(slot >> (24 - 8 * i));
    return (vsi_bytes){out, 4};
}

static vsi_bytes state_note_key(uint8_t out[STATE_NOTE_KEY_BYTES_MAX], uint32_t coll,
                                vsi_bytes key) {
    vsi_put_u32(out, coll);
    vsi_put_u16(out + 4, (uint16_t)key.bytes);
    memcpy(out + 6, key.data, key.bytes);
    return (vsi_bytes){out, 6 + key.bytes};
}

/* ---- looking things up ---------------------------------------------------------------------- */

VSI_FN size_t vsi_state_coll_count(const vsi_state *state) {
    return state->colls ? state->colls->count : 0;
}

VSI_FN vsi_coll *vsi_state_coll_at(const vsi_state *state, size_t at) {
    vsi_assert(at < vsi_state_coll_count(state));
    return state->colls->coll[at];
}

/* The place of the first collection whose id is not below id. */
static size_t state_coll_place(const vsi_state *state, uint32_t id) {
    size_t low = 0, high = vsi_state_coll_count(state);
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (state->colls->coll[mid]->desc->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

VSI_FN vsi_coll *vsi_state_coll(const vsi_state *state, uint32_t id) {
    size_t at = state_coll_place(state, id);
    if (at == vsi_state_coll_count(state) || state->colls->coll[at]->desc->id != id)
        return NULL;
    return state->colls->coll[at];
}

VSI_FN vsi_coll *vsi_state_coll_named(const vsi_state *state, vsi_bytes name) {
    for (size_t i = 0; i < vsi_state_coll_count(state); i++) {
        vsi_coll *coll = state->colls->coll[i];
        if (strlen(coll->desc->name) == name.bytes &&
            !memcmp(coll->desc->name, name.data, name.bytes))
            return coll;
    }
    return NULL;
}

VSI_FN vsi_coll *vsi_state_touch_coll(vsi_cow *cow, vsi_state *state, uint32_t id) {
    size_t at = state_coll_place(state, id);
    if (!vsi_state_coll(state, id))
        return NULL;
    vsi_coll_list *list = vsi_cow_touch(cow, state->colls);
    if (!list)
        return NULL;
    state->colls = list;
    vsi_coll *coll = vsi_cow_touch(cow, list->coll[at]);
    if (coll)
        list->coll[at] = coll;
    return coll;
}

VSI_FN bool vsi_coll_find(const vsi_coll *coll, uint64_t key, uint32_t *out_slot) {
    uint8_t bytes[STATE_KEY_BYTES];
    vsi_bytes value;
    if (!vsi_btree_get(&coll->keys, state_key(bytes, key), &value))
        return false;
    *out_slot = vsi_get_u32(value.data);
    return true;
}

static state_cell state_read_cell(const vsi_coll *coll, uint32_t slot) {
    state_cell cell;
    memcpy(&cell, vsi_slab_row(&coll->cells, slot), sizeof cell);
    return cell;
}

VSI_FN uint64_t vsi_coll_key(const vsi_coll *coll, uint32_t slot) {
    return state_read_cell(coll, slot).key;
}

VSI_FN bool vsi_coll_read_metadata(const vsi_coll *coll, uint32_t slot, vsi_buf *buf) {
    uint8_t bytes[4];
    vsi_value_info info;
    vsi_bytes key = state_slot_key(bytes, slot);
    return !vsi_value_find(&coll->metadata, key, &info) ||
           vsi_value_read(&coll->metadata, key, info, buf);
}

VSI_FN void vsi_coll_seek(const vsi_coll *coll, uint64_t from_key, vsi_btree_cursor *out_cursor) {
    uint8_t bytes[STATE_KEY_BYTES];
    vsi_btree_seek(&coll->keys, state_key(bytes, from_key), out_cursor);
}

VSI_FN void vsi_coll_entry(const vsi_btree_cursor *cursor, uint64_t *out_key, uint32_t *out_slot) {
    vsi_bytes key, value;
    vsi_btree_entry(cursor, &key, &value);
    *out_key = vsi_get_u64_be(key.data + 2);
    *out_slot = vsi_get_u32(value.data);
}

VSI_FN bool vsi_note_find(const vsi_state *state, uint32_t coll, vsi_bytes key,
                          vsi_value_info *out_info) {
    uint8_t bytes[STATE_NOTE_KEY_BYTES_MAX];
    return vsi_value_find(&state->notes, state_note_key(bytes, coll, key), out_info);
}

VSI_FN bool vsi_note_read(const vsi_state *state, uint32_t coll, vsi_bytes key, vsi_value_info info,
                          vsi_buf *buf) {
    uint8_t bytes[STATE_NOTE_KEY_BYTES_MAX];
    return vsi_value_read(&state->notes, state_note_key(bytes, coll, key), info, buf);
}

/* ---- applying: create ----------------------------------------------------------------------- */

static vs_status state_misfit(vsi_err *err, const vsi_op *op, const char *reason) {
    return vsi_fail(err, VS_ERR_CORRUPT, "operation of kind %d on collection %lu: %s", op->kind,
                    (unsigned long)op->coll, reason);
}

static vs_status state_nomem(vsi_err *err) {
    return vsi_fail(err, VS_ERR_NOMEM, "out of memory");
}

static vs_status create_validate(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    size_t n = vsi_state_coll_count(state);
    if (op->coll == 0 || (n && vsi_state_coll_at(state, n - 1)->desc->id >= op->coll))
        return state_misfit(err, op, "its id does not ascend");
    if (op->dim < 1 || op->dim > VS_DIM_MAX || !vsi_type_bytes((int)op->type))
        return state_misfit(err, op, "its dimension or type is unknown");
    if (op->metric < VS_L2 || op->metric > VS_COSINE)
        return state_misfit(err, op, "its metric is unknown");
    if (op->name.bytes < 1 || op->name.bytes > VS_NAME_BYTES_MAX ||
        op->index.bytes > VS_INDEX_BYTES_MAX || memchr(op->name.data, 0, op->name.bytes) ||
        (op->index.bytes && memchr(op->index.data, 0, op->index.bytes)))
        return state_misfit(err, op, "its name or index is malformed");
    if (vsi_state_coll_named(state, op->name))
        return state_misfit(err, op, "its name exists");
    return VS_OK;
}

static vsi_coll_desc *create_desc(vsi_cow *cow, const vsi_op *op) {
    vsi_coll_desc *desc = vsi_cow_new(cow, sizeof *desc);
    if (!desc)
        return NULL;
    desc->id = op->coll;
    desc->dim = op->dim;
    desc->type = (int)op->type;
    desc->metric = (int)op->metric;
    desc->element_bytes = vsi_type_bytes(desc->type);
    desc->created_us = op->time_us;
    memcpy(desc->name, op->name.data, op->name.bytes);
    if (op->index.bytes)
        memcpy(desc->index, op->index.data, op->index.bytes);
    desc->term = term_of_coll(desc);
    return desc;
}

static vs_status apply_create(vsi_err *err, vsi_cow *cow, vsi_state *state, const vsi_op *op) {
    vs_status st = create_validate(err, state, op);
    if (st != VS_OK)
        return st;
    size_t n = vsi_state_coll_count(state);
    vsi_coll_list *list = vsi_cow_new(cow, sizeof *list + (n + 1) * sizeof list->coll[0]);
    vsi_coll *coll = vsi_cow_new(cow, sizeof *coll);
    vsi_coll_desc *desc = create_desc(cow, op);
    if (!list || !coll || !desc)
        return state_nomem(err);
    coll->desc = desc;
    coll->rows = vsi_slabs_of(desc->dim * desc->element_bytes);
    coll->cells = vsi_slabs_of(sizeof(state_cell));
    if (n) {
        memcpy(list->coll, state->colls->coll, n * sizeof list->coll[0]);
        vsi_cow_drop(cow, state->colls);
    }
    list->coll[n] = coll;
    list->count = n + 1;
    state->colls = list;
    vsi_hash128_add(&state->digest, desc->term);
    return VS_OK;
}

/* ---- applying: put and delete --------------------------------------------------------------- */

/* Takes a live record out of its slot; the caller has found coll->keys to lead there. */
static vs_status record_remove(vsi_err *err, vsi_cow *cow, vsi_state *state, vsi_coll *coll,
                               uint32_t slot, vsi_buf *freed) {
    const vsi_coll_desc *desc = coll->desc;
    state_cell cell = state_read_cell(coll, slot);
    uint8_t bytes[4];
    vsi_bytes slot_key = state_slot_key(bytes, slot);
    vsi_value_info info;
    if (vsi_value_find(&coll->metadata, slot_key, &info)) {
        if (!vsi_value_delete(cow, &coll->metadata, slot_key, info))
            return state_nomem(err);
        vsi_hash128_subtract(&state->digest,
                             term_of_record(STATE_TERM_METADATA, desc->id, cell.key, info.hash));
    }
    vsi_freed_slot gone = {.coll = desc->id, .slot = slot};
    if (!vsi_live_set(cow, &coll->live, slot, false) ||
        (freed && !vsi_buf_append(freed, &gone, sizeof gone)))
        return state_nomem(err);
    vsi_hash128_subtract(&state->digest,
                         term_of_record(STATE_TERM_VECTOR, desc->id, cell.key, cell.vector_hash));
    coll->count--;
    return VS_OK;
}

/* Writes a record into a slot that is not live; the key tree is the caller's. */
static vs_status record_add(vsi_err *err, vsi_cow *cow, vsi_state *state, vsi_coll *coll,
                            const vsi_op *op) {
    const vsi_coll_desc *desc = coll->desc;
    uint8_t *row = vsi_slab_make_row(cow, &coll->rows, op->slot);
    uint8_t *cell_row = vsi_slab_make_row(cow, &coll->cells, op->slot);
    if (!row || !cell_row || !vsi_live_set(cow, &coll->live, op->slot, true))
        return state_nomem(err);
    state_cell cell = {.key = op->key,
                       .vector_hash = vsi_hash128_of(op->vector.data, op->vector.bytes, 0)};
    vsi_copy_le(row, op->vector.data, desc->dim, desc->element_bytes); /* keeps S3 */
    memcpy(cell_row, &cell, sizeof cell);
    vsi_hash128_add(&state->digest,
                    term_of_record(STATE_TERM_VECTOR, desc->id, op->key, cell.vector_hash));
    if (op->metadata.bytes) {
        uint8_t bytes[4];
        vsi_hash128 hash = vsi_hash128_of(op->metadata.data, op->metadata.bytes, 0);
        if (!vsi_value_put(cow, &coll->metadata, state_slot_key(bytes, op->slot), op->metadata,
                           hash))
            return state_nomem(err);
        vsi_hash128_add(&state->digest,
                        term_of_record(STATE_TERM_METADATA, desc->id, op->key, hash));
    }
    coll->count++;
    if (op->slot == coll->slot_end)
        coll->slot_end++;
    return VS_OK;
}

static vs_status put_validate(vsi_err *err, const vsi_coll *coll, const vsi_op *op) {
    if (!coll)
        return state_misfit(err, op, "there is no such collection");
    if (op->vector.bytes != (size_t)coll->desc->dim * coll->desc->element_bytes)
        return state_misfit(err, op, "the vector has another size");
    if (op->metadata.bytes > VS_METADATA_BYTES_MAX)
        return state_misfit(err, op, "the metadata is too large");
    if (op->slot > coll->slot_end || op->slot >= VS_RECORDS_MAX ||
        vsi_live_get(&coll->live, op->slot))
        return state_misfit(err, op, "the slot is taken or out of range");
    uint32_t found = VSI_SLOT_NONE;
    vsi_coll_find(coll, op->key, &found);
    if (found != op->old_slot)
        return state_misfit(err, op, "the record is not where the operation says");
    return VS_OK;
}

static vs_status apply_put(vsi_err *err, vsi_cow *cow, vsi_state *state, const vsi_op *op,
                           vsi_buf *freed) {
    vs_status st = put_validate(err, vsi_state_coll(state, op->coll), op);
    if (st != VS_OK)
        return st;
    vsi_coll *coll = vsi_state_touch_coll(cow, state, op->coll);
    if (!coll)
        return state_nomem(err);
    if (op->old_slot != VSI_SLOT_NONE)
        st = record_remove(err, cow, state, coll, op->old_slot, freed);
    if (st == VS_OK)
        st = record_add(err, cow, state, coll, op);
    if (st != VS_OK)
        return st;
    uint8_t key[STATE_KEY_BYTES], slot[4];
    vsi_put_u32(slot, op->slot);
    if (!vsi_btree_put(cow, &coll->keys, state_key(key, op->key), (vsi_bytes){slot, sizeof slot}))
        return state_nomem(err);
    return VS_OK;
}

static vs_status apply_delete(vsi_err *err, vsi_cow *cow, vsi_state *state, const vsi_op *op,
                              vsi_buf *freed) {
    const vsi_coll *old = vsi_state_coll(state, op->coll);
    uint32_t found = VSI_SLOT_NONE;
    if (!old)
        return state_misfit(err, op, "there is no such collection");
    if (!vsi_coll_find(old, op->key, &found) || found != op->slot)
        return state_misfit(err, op, "the record is not where the operation says");
    vsi_coll *coll = vsi_state_touch_coll(cow, state, op->coll);
    if (!coll)
        return state_nomem(err);
    vs_status st = record_remove(err, cow, state, coll, op->slot, freed);
    if (st != VS_OK)
        return st;
    uint8_t key[STATE_KEY_BYTES];
    st = vsi_btree_delete(cow, &coll->keys, state_key(key, op->key));
    return st == VS_OK ? VS_OK : state_nomem(err);
}

/* ---- applying: notes and digest ------------------------------------------------------------- */

static vs_status apply_note(vsi_err *err, vsi_cow *cow, vsi_state *state, const vsi_op *op) {
    if (op->coll && !vsi_state_coll(state, op->coll))
        return state_misfit(err, op, "there is no such collection");
    if (op->note_key.bytes < 1 || op->note_key.bytes > VS_KV_KEY_BYTES_MAX ||
        op->note_value.bytes > VS_KV_VALUE_BYTES_MAX)
        return state_misfit(err, op, "the note's key or value is too long");
    uint8_t bytes[STATE_NOTE_KEY_BYTES_MAX];
    vsi_bytes key = state_note_key(bytes, op->coll, op->note_key);
    vsi_value_info info;
    if (vsi_value_find(&state->notes, key, &info)) {
        if (!vsi_value_delete(cow, &state->notes, key, info))
            return state_nomem(err);
        vsi_hash128_subtract(&state->digest, term_of_note(op->coll, op->note_key, info.hash));
    }
    if (!op->note_has_value)
        return VS_OK;
    vsi_hash128 hash = vsi_hash128_of(op->note_value.data, op->note_value.bytes, 0);
    if (!vsi_value_put(cow, &state->notes, key, op->note_value, hash))
        return state_nomem(err);
    vsi_hash128_add(&state->digest, term_of_note(op->coll, op->note_key, hash));
    return VS_OK;
}

static vs_status apply_digest(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    if (state->digest.lo == op->digest.lo && state->digest.hi == op->digest.hi)
        return VS_OK;
    return vsi_fail(err, VS_ERR_CORRUPT,
                    "digest of the state is %016llx%016llx, the log says %016llx%016llx",
                    (unsigned long long)state->digest.hi, (unsigned long long)state->digest.lo,
                    (unsigned long long)op->digest.hi, (unsigned long long)op->digest.lo);
}

VSI_FN vs_status vsi_state_apply(vsi_err *err, vsi_cow *cow, vsi_state *state, const vsi_op *op,
                                 vsi_buf *freed) {
    state->changes++;
    switch (op->kind) {
    case VSI_OP_CREATE:
        return apply_create(err, cow, state, op);
    case VSI_OP_PUT:
        return apply_put(err, cow, state, op, freed);
    case VSI_OP_DELETE:
        return apply_delete(err, cow, state, op, freed);
    case VSI_OP_NOTE:
        return apply_note(err, cow, state, op);
    default:
        return apply_digest(err, state, op);
    }
}

/* ---- checking ------------------------------------------------------------------------------- */

typedef struct state_checker {
    vsi_mem *mem;
    vsi_report_fn report;
    void *ctx;
    vsi_hash128 digest; /* computed anew */
} state_checker;

static void check_report(state_checker *c, const char *where, const char *problem) {
    char text[512];
    snprintf(text, sizeof text, "%s: %s", where, problem);
    c->report(c->ctx, text);
}

/* Every key leads to a live slot whose cell has that key, and the vector's hash is right. */
static uint64_t check_records(state_checker *c, const vsi_coll *coll, vsi_buf *row) {
    const vsi_coll_desc *desc = coll->desc;
    uint64_t count = 0;
    vsi_btree_cursor cursor;
    for (vsi_coll_seek(coll, 0, &cursor); !vsi_btree_at_end(&cursor); vsi_btree_next(&cursor)) {
        uint64_t key = 0;
        uint32_t slot = 0;
        vsi_coll_entry(&cursor, &key, &slot);
        if (slot >= coll->slot_end || !vsi_live_get(&coll->live, slot)) {
            check_report(c, desc->name, "a key leads to a slot that is not live");
            continue;
        }
        count++;
        state_cell cell = state_read_cell(coll, slot);
        uint32_t again = VSI_SLOT_NONE; /* the bytes of the entry's key are what they should be */
        if (cell.key != key || !vsi_coll_find(coll, key, &again) || again != slot)
            check_report(c, desc->name, "a slot belongs to another key");
        vsi_copy_le(row->data, vsi_slab_row(&coll->rows, slot), desc->dim, desc->element_bytes);
        vsi_hash128 hash = vsi_hash128_of(row->data, coll->rows.row_bytes, 0);
        if (hash.lo != cell.vector_hash.lo || hash.hi != cell.vector_hash.hi)
            check_report(c, desc->name, "a vector's hash is wrong");
        vsi_hash128_add(&c->digest, term_of_record(STATE_TERM_VECTOR, desc->id, key, hash));
    }
    return count;
}

/* Live slots, those of the last chunk behind slot_end included: there must be none. */
static uint64_t check_live_count(const vsi_coll *coll) {
    uint64_t count = 0;
    uint32_t end = coll->slot_end | (VSI_LIVE_CHUNK_SLOTS - 1);
    uint32_t slot = vsi_live_next(&coll->live, 0, end);
    for (; slot < end; slot = vsi_live_next(&coll->live, slot + 1, end))
        count++;
    return count;
}

/* The values of a tree, read and hashed anew; key terms are added by the caller's function. */
static bool check_values(state_checker *c, const char *where, const vsi_btree *tree,
                         vsi_hash128 (*term)(const void *arg, vsi_bytes key, vsi_hash128 hash),
                         const void *arg) {
    vsi_buf buf = {.mem = c->mem};
    vsi_btree_cursor cursor;
    bool ok = true;
    vsi_btree_seek(tree, (vsi_bytes){(const uint8_t *)"", 0}, &cursor);
    for (; ok && !vsi_btree_at_end(&cursor); vsi_btree_next(&cursor)) {
        vsi_bytes entry_key, value, key;
        vsi_value_info info;
        vsi_btree_entry(&cursor, &entry_key, &value);
        if (!vsi_value_is_first(entry_key, &key) || !vsi_value_find(tree, key, &info))
            continue;
        buf.bytes = 0;
        ok = vsi_value_read(tree, key, info, &buf);
        vsi_hash128 hash = vsi_hash128_of(buf.data, buf.bytes, 0);
        if (ok && (hash.lo != info.hash.lo || hash.hi != info.hash.hi))
            check_report(c, where, "a value's hash is wrong");
        vsi_hash128_add(&c->digest, term(arg, key, hash));
    }
    vsi_buf_free(&buf);
    return ok;
}

static vsi_hash128 check_metadata_term(const void *arg, vsi_bytes key, vsi_hash128 hash) {
    const vsi_coll *coll = arg;
    uint32_t slot = 0;
    for (size_t i = 0; i < key.bytes; i++)
        slot = slot << 8 | key.data[i];
    if (slot >= coll->slot_end || !vsi_live_get(&coll->live, slot))
        return (vsi_hash128){1, 1}; /* metadata of a dead slot: the digest will differ */
    return term_of_record(STATE_TERM_METADATA, coll->desc->id, vsi_coll_key(coll, slot), hash);
}

static vsi_hash128 check_note_term(const void *arg, vsi_bytes key, vsi_hash128 hash) {
    (void)arg;
    uint8_t bytes[STATE_NOTE_KEY_BYTES_MAX];
    uint32_t coll = vsi_get_u32(key.data);
    vsi_bytes note_key = {key.data + 6, key.bytes - 6};
    vsi_bytes expected = state_note_key(bytes, coll, note_key);
    if (memcmp(expected.data, key.data, key.bytes))
        return (vsi_hash128){1, 1}; /* a key of no note: the digest will differ */
    return term_of_note(coll, note_key, hash);
}

static bool check_coll(state_checker *c, const vsi_coll *coll) {
    const vsi_coll_desc *desc = coll->desc;
    vsi_buf row = {.mem = c->mem};
    if (!vsi_buf_reserve(&row, coll->rows.row_bytes))
        return false;
    const char *keys = vsi_btree_check(&coll->keys), *values = vsi_btree_check(&coll->metadata);
    if (keys)
        check_report(c, desc->name, keys);
    if (values)
        check_report(c, desc->name, values);
    uint64_t found = check_records(c, coll, &row);
    vsi_buf_free(&row);
    if (found != coll->count || coll->keys.count != coll->count)
        check_report(c, desc->name, "the count of records is wrong");
    if (check_live_count(coll) != coll->count)
        check_report(c, desc->name, "live slots and records differ in number"); /* S1 */
    vsi_hash128_add(&c->digest, term_of_coll(desc));
    return check_values(c, desc->name, &coll->metadata, check_metadata_term, coll);
}

VSI_FN bool vsi_state_check(const vsi_state *state, vsi_mem *mem, vsi_report_fn report, void *ctx) {
    state_checker c = {.mem = mem, .report = report, .ctx = ctx};
    for (size_t i = 0; i < vsi_state_coll_count(state); i++)
        if (!check_coll(&c, vsi_state_coll_at(state, i)))
            return false;
    const char *notes = vsi_btree_check(&state->notes);
    if (notes)
        report(ctx, notes);
    if (!check_values(&c, "notes", &state->notes, check_note_term, NULL))
        return false;
    if (c.digest.lo != state->digest.lo || c.digest.hi != state->digest.hi)
        report(ctx, "the digest does not match the contents"); /* S4 */
    return true;
}
