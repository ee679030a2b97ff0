/* state.c - the content of a database in one version; docs/FORMAT.md has the entries of the catalog.
 *
 *   S1  A record is live in exactly one slot; keys maps its key there, the cell of the slot
 *       holds the key, the live bit is set. count is the number of live slots.
 *   S2  Slots below slot_end have cells, and rows of the fields that are not optional.
 *   S3  A slot's row and cell are written only while it is not live in any version that can be
 *       read. */
#include "store/state.h"
#include "store/payload.h"
#include "store/term.h"
#include "store/visit.h"

enum { STATE_ENTRY_COLL = 1, STATE_ENTRY_NAME = 2, STATE_ENTRY_BASE = 3 };

/* Value of a collection's entry; then references to its trees. */
enum {
    COLL_CREATED_OFF = 0,
    COLL_COUNT_OFF = 8,
    COLL_LAST_NUMBER_OFF = 16,
    COLL_SLOT_END_OFF = 24,
    COLL_FIELDS_OFF = 28,
    COLL_CELLS_SHIFT_OFF = 30,
    COLL_CODED_OFF = 31,
    COLL_TREES_OFF = 32, /* entries of each tree, u64 */
    COLL_TREES = 6,
    COLL_BYTES_OFF = COLL_TREES_OFF + 8 * COLL_TREES,
    COLL_MAX_RECORDS_OFF = COLL_BYTES_OFF + 8,
    COLL_MAX_BYTES_OFF = COLL_MAX_RECORDS_OFF + 8,
    COLL_DIGEST_OFF = COLL_MAX_BYTES_OFF + 8,
    COLL_CHANGED_OFF = COLL_DIGEST_OFF + 16,
    COLL_BYTES = COLL_CHANGED_OFF + 8
};

/* Behind a collection's entry: one for each field, the parameters of their codes, and last its own name. */
enum { COLL_CODES_FIELD = 0x100, COLL_NAME_FIELD = 0xffff };

/* Value of a name's entry: u32 id, and of an alias u8 1. */
enum { NAME_BYTES = 4, ALIAS_BYTES = 5 };

/* Value of a vector field's entry. */
enum {
    FIELD_DIM_OFF = 0,
    FIELD_TYPE_OFF = 4,
    FIELD_METRIC_OFF = 5,
    FIELD_SHIFT_OFF = 6,
    FIELD_FLAGS_OFF = 7,
    FIELD_NAME_BYTES_OFF = 8,
    FIELD_INDEX_BYTES_OFF = 10,
    FIELD_FIXED_BYTES = 12,
    FIELD_KEY_BYTES = 7,
    FIELD_BYTES_MAX = FIELD_FIXED_BYTES + VS_FIELD_BYTES_MAX + VS_INDEX_BYTES_MAX,
    FIELD_OPTIONAL = 1 /* the one flag */
};

enum { BASE_NOTES_OFF = 0, BASE_LAST_COLL_OFF = 8, BASE_BYTES = 16 };

_Static_assert((int)VSI_NOTE_KEY_BYTES_MAX <= (int)VSI_VALUE_KEY_BYTES_MAX, "note keys must fit");

VSI_FN vsi_state vsi_state_empty(vsi_cow *cow, vsi_descs *descs) {
    return (vsi_state){
        .descs = descs, .catalog = {.cow = cow}, .notes = {.cow = cow}, .is_settled = true};
}

/* ---- entries of the catalog ------------------------------------------------------------------ */

static vsi_bytes state_id_key(uint8_t out[5], uint32_t id) {
    out[0] = STATE_ENTRY_COLL;
    vsi_put_u32_be(out + 1, id);
    return (vsi_bytes){out, 5};
}

static vsi_bytes state_name_key(uint8_t out[1 + VS_NAME_BYTES_MAX], vsi_bytes name) {
    vsi_assert(name.bytes <= VS_NAME_BYTES_MAX);
    out[0] = STATE_ENTRY_NAME;
    memcpy(out + 1, name.data, name.bytes);
    return (vsi_bytes){out, 1 + name.bytes};
}

/* Behind the entry of its collection. */
static vsi_bytes state_field_key(uint8_t out[FIELD_KEY_BYTES], uint32_t id, uint32_t field) {
    state_id_key(out, id);
    out[5] = (uint8_t)(field >> 8);
    out[6] = (uint8_t)field;
    return (vsi_bytes){out, FIELD_KEY_BYTES};
}

static vsi_btree *coll_tree(vsi_coll *coll, uint32_t at) {
    vsi_btree *trees[COLL_TREES] = {&coll->keys,  &coll->metadata,  &coll->live,
                                    &coll->slabs, &coll->long_keys, &coll->payloads};
    return trees[at];
}

static vs_status coll_write(vsi_err *err, vsi_btree *catalog, vsi_coll *coll) {
    const vsi_desc *desc = coll->desc;
    uint8_t value[COLL_BYTES] = {0}, refs[COLL_TREES * VSI_REF_BYTES], key[5];
    vsi_put_u64(value + COLL_CREATED_OFF, (uint64_t)desc->created_us);
    vsi_put_u64(value + COLL_COUNT_OFF, coll->count);
    vsi_put_u64(value + COLL_LAST_NUMBER_OFF, coll->last_number);
    vsi_put_u32(value + COLL_SLOT_END_OFF, coll->slot_end);
    vsi_put_u16(value + COLL_FIELDS_OFF, (uint16_t)desc->field_count);
    vsi_put_u64(value + COLL_BYTES_OFF, coll->bytes);
    vsi_put_u64(value + COLL_MAX_RECORDS_OFF, coll->max_records);
    vsi_put_u64(value + COLL_MAX_BYTES_OFF, coll->max_bytes);
    vsi_put_u64(value + COLL_DIGEST_OFF, coll->digest.lo);
    vsi_put_u64(value + COLL_DIGEST_OFF + 8, coll->digest.hi);
    vsi_put_u64(value + COLL_CHANGED_OFF, (uint64_t)coll->changed_us);
    value[COLL_CELLS_SHIFT_OFF] = (uint8_t)desc->cells.shift;
    value[COLL_CODED_OFF] = (uint8_t)coll->coded;
    for (uint32_t i = 0; i < COLL_TREES; i++) {
        vsi_put_u64(value + COLL_TREES_OFF + 8 * i, coll_tree(coll, i)->count);
        vsi_ref_encode(coll_tree(coll, i)->root, refs + i * VSI_REF_BYTES);
    }
    vsi_node_item item = {.key = state_id_key(key, desc->id),
                          .value = {value, sizeof value},
                          .refs = refs,
                          .ref_count = COLL_TREES};
    return vsi_btree_put_item(err, catalog, &item);
}

static vs_status field_write(vsi_err *err, vsi_btree *catalog, const vsi_desc *desc, uint32_t at) {
    const vsi_field *field = &desc->field[at];
    uint8_t value[FIELD_BYTES_MAX], key[FIELD_KEY_BYTES];
    size_t name_bytes = strlen(field->name), index_bytes = strlen(field->index);
    vsi_put_u32(value + FIELD_DIM_OFF, field->dim);
    value[FIELD_TYPE_OFF] = (uint8_t)field->type;
    value[FIELD_METRIC_OFF] = (uint8_t)field->metric;
    value[FIELD_SHIFT_OFF] = (uint8_t)field->rows.shift;
    value[FIELD_FLAGS_OFF] = field->is_optional ? FIELD_OPTIONAL : 0;
    vsi_put_u16(value + FIELD_NAME_BYTES_OFF, (uint16_t)name_bytes);
    vsi_put_u16(value + FIELD_INDEX_BYTES_OFF, (uint16_t)index_bytes);
    memcpy(value + FIELD_FIXED_BYTES, field->name, name_bytes);
    memcpy(value + FIELD_FIXED_BYTES + name_bytes, field->index, index_bytes);
    return vsi_btree_put(err, catalog, state_field_key(key, desc->id, at),
                         (vsi_bytes){value, FIELD_FIXED_BYTES + name_bytes + index_bytes});
}

/* ---- reading entries ------------------------------------------------------------------------- */

static vs_status coll_misfit(vsi_err *err, uint32_t id) {
    return vsi_fail(err, VS_ERR_CORRUPT, "catalog: the entry of collection %lu is malformed",
                    (unsigned long)id);
}

/* Whether the parts of an entry have the sizes that it says, and values that are known. */
static bool coll_item_fits(const vsi_node_item *item, uint32_t trailer_bytes) {
    const uint8_t *value = item->value.data;
    if (item->value.bytes != COLL_BYTES || item->ref_count != COLL_TREES)
        return false;
    uint32_t fields = vsi_get_u16(value + COLL_FIELDS_OFF);
    return fields >= 1 && fields <= VS_FIELDS_MAX &&
           value[COLL_CELLS_SHIFT_OFF] == vsi_slab_shift(VSI_CELL_BYTES, trailer_bytes);
}

static bool field_item_fits(const vsi_node_item *item, uint32_t trailer_bytes) {
    const uint8_t *value = item->value.data;
    if (item->value.bytes < FIELD_FIXED_BYTES || item->ref_count)
        return false;
    uint32_t dim = vsi_get_u32(value + FIELD_DIM_OFF);
    size_t name_bytes = vsi_get_u16(value + FIELD_NAME_BYTES_OFF);
    size_t index_bytes = vsi_get_u16(value + FIELD_INDEX_BYTES_OFF);
    int type = value[FIELD_TYPE_OFF];
    return dim >= 1 && dim <= VS_DIM_MAX && vsi_metric_fits(value[FIELD_METRIC_OFF], type) &&
           value[FIELD_FLAGS_OFF] <= FIELD_OPTIONAL && name_bytes >= 1 &&
           name_bytes <= VS_FIELD_BYTES_MAX && index_bytes <= VS_INDEX_BYTES_MAX &&
           item->value.bytes == FIELD_FIXED_BYTES + name_bytes + index_bytes &&
           value[FIELD_SHIFT_OFF] == vsi_slab_shift(vsi_vector_bytes(type, dim), trailer_bytes);
}

static vs_status field_read(vsi_err *err, const vsi_state *state, uint32_t id, uint32_t at,
                            vsi_field *out) {
    uint8_t key[FIELD_KEY_BYTES];
    vsi_node_item item;
    vs_status st = vsi_btree_get(err, &state->catalog, state_field_key(key, id, at), &item);
    bool is_there = st == VS_OK;
    if (st == VS_ERR_NOT_FOUND ||
        (is_there && !field_item_fits(&item, vsi_cow_trailer(state->catalog.cow))))
        return vsi_fail(err, VS_ERR_CORRUPT,
                        "catalog: the entry of field %lu of collection %lu is %s",
                        (unsigned long)at, (unsigned long)id, is_there ? "malformed" : "missing");
    if (st != VS_OK)
        return st;
    const uint8_t *value = item.value.data, *name = value + FIELD_FIXED_BYTES;
    size_t name_bytes = vsi_get_u16(value + FIELD_NAME_BYTES_OFF);
    out->dim = vsi_get_u32(value + FIELD_DIM_OFF);
    out->type = value[FIELD_TYPE_OFF];
    out->metric = value[FIELD_METRIC_OFF];
    out->is_optional = value[FIELD_FLAGS_OFF] & FIELD_OPTIONAL;
    memcpy(out->name, name, name_bytes);
    memcpy(out->index, name + name_bytes, vsi_get_u16(value + FIELD_INDEX_BYTES_OFF));
    return VS_OK;
}

/* Whether an array has the slab of the last slot, which is never dropped. There may be others behind it:
 * what was rolled back leaves its slabs. */
static vs_status coll_check_slabs(vsi_err *err, const vsi_coll *coll, uint32_t array,
                                  uint32_t row_bytes) {
    uint8_t key[VSI_SLAB_KEY_BYTES];
    vsi_node_item item;
    uint32_t shift = vsi_slab_shift(row_bytes, vsi_cow_trailer(coll->slabs.cow));
    if (!coll->slot_end)
        return VS_OK;
    return vsi_btree_get(err, &coll->slabs, vsi_slab_key(key, array, (coll->slot_end - 1) >> shift),
                         &item);
}

/* The parameters of a field's codes, NULL: they are damaged or missing. */
static vs_status codes_read(vsi_err *err, const vsi_state *state, uint32_t id, uint32_t at,
                            const vsi_field *field, vsi_rq **out_rq) {
    uint8_t key[FIELD_KEY_BYTES];
    vsi_value value = {.bytes = 0};
    vsi_buf buf = {.mem = state->descs->mem};
    vsi_rq *rq = NULL;
    vs_status st = vsi_value_find(err, &state->catalog,
                                  state_field_key(key, id, COLL_CODES_FIELD + at), &value);
    if (st == VS_OK)
        st = vsi_value_read(err, &state->catalog, &value, &buf);
    if (st == VS_OK)
        st = vsi_rq_read(err, state->descs->mem, (vsi_bytes){buf.data, buf.bytes},
                         state->descs->kernels, &rq);
    vsi_buf_free(&buf);
    bool fits = rq && rq->dim == field->dim && rq->metric == field->metric &&
                rq->kind == vsi_field_code_kind(field);
    *out_rq = fits ? rq : NULL;
    if (!fits)
        vsi_rq_free(rq);
    return st == VS_ERR_CORRUPT || st == VS_ERR_NOT_FOUND || st == VS_ERR_UNSUPPORTED ? VS_OK : st;
}

/* Those that a description of a collection has are freed, but for what desc, unless NULL, has taken over. */
static void codes_give_up(const vsi_desc *given, const vsi_desc *desc) {
    for (uint32_t i = 0; i < given->field_count; i++) {
        vsi_rq *rq = given->field[i].own_rq;
        if (!desc || vsi_atomic_ptr_load(&desc->field[i].rq) != rq)
            vsi_rq_free(rq);
    }
}

/* The collection's first use since the database was opened: all slabs are in the file. */
static vs_status coll_intern(vsi_err *err, const vsi_state *state, uint32_t id,
                             const vsi_node_item *item, vsi_coll *coll) {
    const uint8_t *value = item->value.data;
    vsi_desc given;
    memset(&given, 0, sizeof given);
    given.id = id;
    given.created_us = (int64_t)vsi_get_u64(value + COLL_CREATED_OFF);
    given.field_count = vsi_get_u16(value + COLL_FIELDS_OFF);
    given.new_dir = coll->slabs;
    if (coll->count > coll->slot_end)
        return coll_misfit(err, id);
    vs_status st = coll_check_slabs(err, coll, 0, VSI_CELL_BYTES);
    if (st == VS_OK)
        st = vsi_state_coll_name(err, state, id, given.name);
    for (uint32_t i = 0; st == VS_OK && i < given.field_count; i++) {
        vsi_field *field = &given.field[i];
        st = field_read(err, state, id, i, field);
        if (st == VS_OK && !field->is_optional)
            st = coll_check_slabs(err, coll, 1 + i, vsi_vector_bytes(field->type, field->dim));
        if (st == VS_OK && coll->coded >> i & 1)
            st = codes_read(err, state, id, i, field, &field->own_rq);
        if (!field->own_rq)
            given.lost |= coll->coded & 1u << i;
        vsi_atomic_ptr_store(&field->rq, field->own_rq);
        field->without_code = coll->count;
    }
    given.term = vsi_term_of_coll(&given);
    if (st == VS_OK)
        st = vsi_descs_intern(err, state->descs, &given, &coll->desc);
    codes_give_up(&given, st == VS_OK ? coll->desc : NULL);
    return st == VS_ERR_NOT_FOUND ? coll_misfit(err, id) : st;
}

static vs_status coll_read(vsi_err *err, const vsi_state *state, uint32_t id,
                           const vsi_node_item *item, vsi_coll *out_coll) {
    vsi_coll coll = {.desc = vsi_descs_find(state->descs, id)};
    const uint8_t *value = item->value.data;
    if (!coll_item_fits(item, vsi_cow_trailer(state->catalog.cow)))
        return coll_misfit(err, id);
    coll.count = vsi_get_u64(value + COLL_COUNT_OFF);
    coll.slot_end = vsi_get_u32(value + COLL_SLOT_END_OFF);
    coll.last_number = vsi_get_u64(value + COLL_LAST_NUMBER_OFF);
    coll.bytes = vsi_get_u64(value + COLL_BYTES_OFF);
    coll.max_records = vsi_get_u64(value + COLL_MAX_RECORDS_OFF);
    coll.max_bytes = vsi_get_u64(value + COLL_MAX_BYTES_OFF);
    coll.digest.lo = vsi_get_u64(value + COLL_DIGEST_OFF);
    coll.digest.hi = vsi_get_u64(value + COLL_DIGEST_OFF + 8);
    coll.changed_us = (int64_t)vsi_get_u64(value + COLL_CHANGED_OFF);
    coll.coded = value[COLL_CODED_OFF];
    for (uint32_t i = 0; i < COLL_TREES; i++)
        *coll_tree(&coll, i) = (vsi_btree){.cow = state->catalog.cow,
                                           .root = vsi_ref_decode(item->refs + i * VSI_REF_BYTES),
                                           .count = vsi_get_u64(value + COLL_TREES_OFF + 8 * i)};
    vs_status st = coll.desc ? VS_OK : coll_intern(err, state, id, item, &coll);
    if (st == VS_OK)
        coll.coded &= ~coll.desc->lost;
    if (st == VS_OK)
        *out_coll = coll;
    return st;
}

/* ---- collections ---------------------------------------------------------------------------- */

VSI_FN vs_status vsi_state_coll(vsi_err *err, const vsi_state *state, uint32_t id,
                                vsi_coll *out_coll) {
    uint8_t key[5];
    vsi_node_item item;
    if (state->work.desc && state->work.desc->id == id) {
        *out_coll = state->work;
        return VS_OK;
    }
    vs_status st = vsi_btree_get(err, &state->catalog, state_id_key(key, id), &item);
    return st == VS_OK ? coll_read(err, state, id, &item, out_coll) : st;
}

/* ---- names ---------------------------------------------------------------------------------- */

static vs_status name_decode(vsi_err *err, const vsi_node_item *item, uint32_t *out_id,
                             bool *out_is_alias) {
    const vsi_bytes value = item->value;
    bool is_alias = value.bytes == ALIAS_BYTES;
    if ((value.bytes != NAME_BYTES && !is_alias) || (is_alias && value.data[4] != 1))
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: a name's entry is malformed");
    *out_id = vsi_get_u32(value.data);
    *out_is_alias = is_alias;
    return VS_OK;
}

VSI_FN vs_status vsi_state_name(vsi_err *err, const vsi_state *state, vsi_bytes name,
                                uint32_t *out_id, bool *out_is_alias) {
    uint8_t key[1 + VS_NAME_BYTES_MAX];
    vsi_node_item item;
    if (name.bytes > VS_NAME_BYTES_MAX)
        return VS_ERR_NOT_FOUND;
    vs_status st = vsi_btree_get(err, &state->catalog, state_name_key(key, name), &item);
    return st == VS_OK ? name_decode(err, &item, out_id, out_is_alias) : st;
}

VSI_FN vs_status vsi_state_name_after(vsi_err *err, const vsi_state *state, vsi_bytes name,
                                      vsi_bytes *out_name, uint32_t *out_id, bool *out_is_alias) {
    uint8_t key[1 + VS_NAME_BYTES_MAX];
    vsi_btree_cursor cursor;
    vsi_bytes from = state_name_key(key, name);
    vs_status st = vsi_btree_seek_behind(err, &state->catalog, from, &cursor);
    if (st != VS_OK)
        return st;
    if (vsi_btree_at_end(&cursor))
        return VS_ERR_NOT_FOUND;
    vsi_node_item item = vsi_btree_entry(&cursor);
    if (item.key.bytes < 2 || item.key.data[0] != STATE_ENTRY_NAME)
        return VS_ERR_NOT_FOUND;
    *out_name = (vsi_bytes){item.key.data + 1, item.key.bytes - 1};
    return name_decode(err, &item, out_id, out_is_alias);
}

VSI_FN vs_status vsi_state_coll_named(vsi_err *err, const vsi_state *state, vsi_bytes name,
                                      vsi_coll *out_coll) {
    uint32_t id = 0;
    bool is_alias = false;
    vs_status st = vsi_state_name(err, state, name, &id, &is_alias);
    return st == VS_OK ? vsi_state_coll(err, state, id, out_coll) : st;
}

VSI_FN vs_status vsi_state_coll_name(vsi_err *err, const vsi_state *state, uint32_t id,
                                     char out[VS_NAME_BYTES_MAX + 1]) {
    uint8_t key[FIELD_KEY_BYTES];
    vsi_node_item item = {.value = {NULL, 0}};
    vs_status st =
        vsi_btree_get(err, &state->catalog, state_field_key(key, id, COLL_NAME_FIELD), &item);
    if (st == VS_ERR_NOT_FOUND ||
        (st == VS_OK && (item.value.bytes < 1 || item.value.bytes > VS_NAME_BYTES_MAX ||
                         memchr(item.value.data, 0, item.value.bytes))))
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: the name of collection %lu is malformed",
                        (unsigned long)id);
    if (st != VS_OK)
        return st;
    memcpy(out, item.value.data, item.value.bytes);
    out[item.value.bytes] = 0;
    return VS_OK;
}

VSI_FN vs_status vsi_state_put_name(vsi_err *err, vsi_state *state, vsi_bytes name, uint32_t id,
                                    bool is_alias) {
    uint8_t key[1 + VS_NAME_BYTES_MAX], value[ALIAS_BYTES] = {0, 0, 0, 0, 1};
    state->is_settled = false;
    vsi_put_u32(value, id);
    if (!id)
        return vsi_btree_delete(err, &state->catalog, state_name_key(key, name));
    return vsi_btree_put(err, &state->catalog, state_name_key(key, name),
                         (vsi_bytes){value, is_alias ? ALIAS_BYTES : NAME_BYTES});
}

VSI_FN vs_status vsi_state_put_own_name(vsi_err *err, vsi_state *state, uint32_t id,
                                        vsi_bytes name) {
    uint8_t key[FIELD_KEY_BYTES];
    state->is_settled = false;
    return vsi_btree_put(err, &state->catalog, state_field_key(key, id, COLL_NAME_FIELD), name);
}

static vs_status state_delete_codes(vsi_err *err, vsi_state *state, uint32_t id, uint32_t field) {
    uint8_t bytes[FIELD_KEY_BYTES];
    vsi_node_item item;
    vsi_bytes key = state_field_key(bytes, id, COLL_CODES_FIELD + field);
    vs_status st = vsi_btree_get(err, &state->catalog, key, &item);
    if (st == VS_OK)
        st = vsi_value_delete(err, &state->catalog, key);
    if (st == VS_ERR_CORRUPT) /* it is no value, and what it leads to stays */
        st = vsi_btree_delete(err, &state->catalog, key);
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

VSI_FN vs_status vsi_state_put_codes(vsi_err *err, vsi_state *state, uint32_t id, uint32_t field,
                                     const vsi_rq *rq) {
    uint8_t bytes[FIELD_KEY_BYTES];
    vsi_buf packed = {.mem = state->descs->mem};
    vsi_bytes key = state_field_key(bytes, id, COLL_CODES_FIELD + field);
    state->is_settled = false;
    if (!vsi_buf_reserve(&packed, vsi_rq_packed_bytes(rq)))
        return vsi_fail_nomem(err, vsi_rq_packed_bytes(rq));
    packed.bytes = vsi_rq_packed_bytes(rq);
    vsi_rq_write(rq, packed.data);
    vs_status st = state_delete_codes(err, state, id, field);
    if (st == VS_OK)
        st = vsi_value_put(err, &state->catalog, key, (vsi_bytes){packed.data, packed.bytes},
                           vsi_hash128_of(packed.data, packed.bytes, 0));
    vsi_buf_free(&packed);
    return st;
}

/* ---- going through collections -------------------------------------------------------------- */

VSI_FN vs_status vsi_state_coll_from(vsi_err *err, const vsi_state *state, uint32_t id,
                                     vsi_coll *out_coll) {
    uint8_t key[5];
    vsi_btree_cursor cursor;
    vs_status st = vsi_btree_seek(err, &state->catalog, state_id_key(key, id), &cursor);
    if (st != VS_OK)
        return st;
    vsi_bytes found = {0};
    if (!vsi_btree_at_end(&cursor))
        found = vsi_btree_entry(&cursor).key;
    if (!found.bytes || found.data[0] != STATE_ENTRY_COLL)
        return VS_ERR_NOT_FOUND;
    if (found.bytes != sizeof key)
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: an entry belongs to no collection");
    return vsi_state_coll(err, state, vsi_get_u32_be(found.data + 1), out_coll);
}

VSI_FN vs_status vsi_state_settle(vsi_err *err, vsi_state *state) {
    static const uint8_t key[1] = {STATE_ENTRY_BASE};
    uint8_t value[BASE_BYTES] = {0}, ref[VSI_REF_BYTES];
    if (state->is_settled)
        return VS_OK;
    vs_status st = state->work.desc ? coll_write(err, &state->catalog, &state->work) : VS_OK;
    if (st != VS_OK)
        return st;
    vsi_put_u64(value + BASE_NOTES_OFF, state->notes.count);
    vsi_put_u32(value + BASE_LAST_COLL_OFF, state->last_coll);
    vsi_ref_encode(state->notes.root, ref);
    vsi_node_item item = {
        .key = {key, sizeof key}, .value = {value, sizeof value}, .refs = ref, .ref_count = 1};
    st = vsi_btree_put_item(err, &state->catalog, &item);
    state->is_settled = st == VS_OK;
    return st;
}

VSI_FN vs_status vsi_state_load(vsi_err *err, vsi_state *state) {
    static const uint8_t key[1] = {STATE_ENTRY_BASE};
    vsi_node_item item;
    vsi_cow *cow = state->catalog.cow;
    vs_status st = vsi_btree_get(err, &state->catalog, (vsi_bytes){key, sizeof key}, &item);
    bool is_empty = st == VS_ERR_NOT_FOUND && state->catalog.root.kind == VSI_REF_NONE;
    if (st == VS_ERR_NOT_FOUND && !is_empty)
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: the entry of the database is missing");
    if (st == VS_OK && (item.value.bytes != BASE_BYTES || item.ref_count != 1))
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: the entry of the database is malformed");
    if (st != VS_OK && !is_empty)
        return st;
    state->work = (vsi_coll){.desc = NULL};
    state->is_settled = true;
    state->notes = (vsi_btree){.cow = cow};
    state->last_coll = 0;
    if (is_empty)
        return VS_OK;
    state->notes.root = vsi_ref_decode(item.refs);
    state->notes.count = vsi_get_u64(item.value.data + BASE_NOTES_OFF);
    state->last_coll = vsi_get_u32(item.value.data + BASE_LAST_COLL_OFF);
    return VS_OK;
}

VSI_FN vs_status vsi_state_work_on(vsi_err *err, vsi_state *state, uint32_t id,
                                   vsi_coll **out_coll) {
    if (!state->work.desc || state->work.desc->id != id) {
        vsi_coll coll;
        vs_status st = vsi_state_coll(err, state, id, &coll);
        if (st == VS_OK)
            st = vsi_state_settle(err, state);
        if (st != VS_OK)
            return st;
        state->work = coll;
    }
    state->is_settled = false;
    *out_coll = &state->work;
    return VS_OK;
}

VSI_FN vs_status vsi_state_add_coll(vsi_err *err, vsi_state *state, vsi_desc *desc) {
    vsi_bytes name = {(const uint8_t *)desc->name, strlen(desc->name)};
    vs_status st = vsi_state_settle(err, state);
    if (st != VS_OK)
        return st;
    state->is_settled = false;
    vsi_coll coll = {.desc = desc, .changed_us = desc->created_us};
    for (uint32_t i = 0; i < COLL_TREES; i++)
        coll_tree(&coll, i)->cow = state->catalog.cow;
    state->work = coll;
    state->last_coll = desc->id;
    st = coll_write(err, &state->catalog, &coll);
    for (uint32_t i = 0; st == VS_OK && i < desc->field_count; i++)
        st = field_write(err, &state->catalog, desc, i);
    if (st == VS_OK)
        st = vsi_state_put_own_name(err, state, desc->id, name);
    return st == VS_OK ? vsi_state_put_name(err, state, name, desc->id, false) : st;
}

/* ---- dropping ------------------------------------------------------------------------------- */

static vs_status state_drop_own(void *ctx, vsi_err *err, vsi_ref ref) {
    return vsi_cow_drop_ref(err, ctx, ref);
}

/* Older versions find slabs by the desc, which leads where the newest one has them. */
static vs_status state_drop_shared(void *ctx, vsi_err *err, vsi_ref ref) {
    return vsi_cow_drop_shared(err, ctx, ref);
}

static vs_status state_drop_trees(vsi_err *err, vsi_coll *coll) {
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < COLL_TREES; i++) {
        const vsi_btree *tree = coll_tree(coll, i);
        bool is_shared = tree == &coll->slabs;
        st = vsi_visit(err, tree, is_shared ? state_drop_shared : state_drop_own, tree->cow);
    }
    return st;
}

VSI_FN vs_status vsi_state_remove_coll(vsi_err *err, vsi_state *state, uint32_t id) {
    uint8_t key[FIELD_KEY_BYTES];
    char name[VS_NAME_BYTES_MAX + 1];
    vsi_coll *coll = NULL;
    vs_status st = vsi_state_work_on(err, state, id, &coll);
    if (st == VS_OK)
        st = vsi_state_coll_name(err, state, id, name);
    if (st == VS_OK)
        st = state_drop_trees(err, coll);
    if (st == VS_OK)
        st = vsi_btree_delete(err, &state->catalog, state_id_key(key, id));
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++)
        st = vsi_btree_delete(err, &state->catalog, state_field_key(key, id, i));
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++)
        st = state_delete_codes(err, state, id, i);
    if (st == VS_OK)
        st = vsi_btree_delete(err, &state->catalog, state_field_key(key, id, COLL_NAME_FIELD));
    if (st == VS_OK)
        st = vsi_state_put_name(err, state, (vsi_bytes){(const uint8_t *)name, strlen(name)}, 0,
                                false);
    state->work = (vsi_coll){.desc = NULL};
    return st;
}

/* ---- records -------------------------------------------------------------------------------- */

VSI_FN vsi_bytes vsi_slot_encode(uint8_t out[VSI_SLOT_KEY_BYTES], uint32_t slot) {
    vsi_put_u32_be(out, slot);
    return (vsi_bytes){out, VSI_SLOT_KEY_BYTES};
}

VSI_FN vs_status vsi_coll_find(vsi_err *err, const vsi_coll *coll, vs_key key, uint32_t *out_slot) {
    uint8_t bytes[VSI_KEY_BYTES_MAX];
    char text[VSI_KEY_TEXT_BYTES];
    vsi_node_item item;
    vs_status st = vsi_btree_get(err, &coll->keys, vsi_key_encode(bytes, key), &item);
    if (st == VS_OK && item.value.bytes != 4)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the entry of key %s is malformed",
                        coll->desc->name, vsi_key_text(text, key));
    if (st == VS_OK)
        *out_slot = vsi_get_u32(item.value.data);
    return st;
}

VSI_FN void vsi_cell_encode(uint8_t out[VSI_CELL_BYTES], vs_key key, vsi_hash128 vector_hash) {
    vsi_put_u64(out, key.kind == VS_KEY_U64 ? key.number : 0);
    vsi_put_u64(out + 8, vector_hash.lo);
    vsi_put_u64(out + 16, vector_hash.hi);
    vsi_put_u32(out + 24, key.space);
    vsi_put_u32(out + 28, key.kind + 1u);
}

/* What a slot that is not live holds may be anything. */
static void cell_decode(const uint8_t *cell, vsi_cell *out_cell) {
    out_cell->number = vsi_get_u64(cell);
    out_cell->vector_hash.lo = vsi_get_u64(cell + 8);
    out_cell->vector_hash.hi = vsi_get_u64(cell + 16);
    out_cell->space = vsi_get_u32(cell + 24);
    out_cell->kind = (uint16_t)(vsi_get_u32(cell + 28) - 1);
}

VSI_FN vs_status vsi_coll_cell(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                               vsi_cell *out_cell) {
    const uint8_t *cell = NULL;
    vs_status st = vsi_slab_row(err, &coll->desc->cells, slot, &cell);
    if (st == VS_OK)
        cell_decode(cell, out_cell);
    return st;
}

VSI_FN vs_status vsi_coll_cell_aside(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                     vsi_slab_aside *aside, vsi_cell *out_cell) {
    const uint8_t *cell = NULL;
    vs_status st = vsi_slab_row_aside(err, &coll->desc->cells, slot, aside, &cell);
    if (st == VS_OK)
        cell_decode(cell, out_cell);
    return st;
}

VSI_FN vs_status vsi_coll_key(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                              const vsi_cell *cell, vs_key *out_key) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_node_item item;
    vs_key key = {.number = cell->number, .kind = cell->kind, .space = cell->space};
    vs_status st = VS_OK;
    if (key.kind != VS_KEY_U64)
        st = vsi_btree_get(err, &coll->long_keys, vsi_slot_encode(bytes, slot), &item);
    if (st == VS_OK && key.kind != VS_KEY_U64) {
        key.data = item.value.data;
        key.bytes = (uint16_t)item.value.bytes;
    }
    if (st == VS_ERR_NOT_FOUND || (st == VS_OK && vsi_key_check(err, key) != VS_OK))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the key of slot %lu is malformed",
                        coll->desc->name, (unsigned long)slot);
    if (st == VS_OK)
        *out_key = key;
    return st;
}

VSI_FN vs_status vsi_coll_has(vsi_err *err, const vsi_coll *coll, uint32_t field, uint32_t slot,
                              bool *out_has) {
    uint32_t set = vsi_desc_set(coll->desc, field);
    *out_has = true;
    return set == VSI_LIVE_RECORDS ? VS_OK : vsi_live_get(err, &coll->live, set, slot, out_has);
}

VSI_FN vs_status vsi_coll_row(vsi_err *err, const vsi_coll *coll, uint32_t field, uint32_t slot,
                              const uint8_t **out_row) {
    return vsi_slab_row(err, &coll->desc->field[field].rows, slot, out_row);
}

VSI_FN vsi_hash128 vsi_vector_hash(uint32_t field, vsi_bytes vector) {
    return vsi_hash128_of(vector.data, vector.bytes, field);
}

VSI_FN vs_status vsi_coll_version(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                  uint64_t *out_version, uint64_t *out_payload_bytes) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES], content[48] = {0};
    vsi_payload payload = {.bytes = 0};
    vs_key key;
    vsi_value value = {.bytes = 0};
    vsi_cell cell;
    vs_status st = vsi_coll_cell(err, coll, slot, &cell);
    if (st == VS_OK)
        st = vsi_value_find(err, &coll->metadata, vsi_slot_encode(bytes, slot), &value);
    st = st == VS_ERR_NOT_FOUND ? VS_OK : st;
    if (st == VS_OK && coll->payloads.count)
        st = vsi_coll_key(err, coll, slot, &cell, &key);
    if (st == VS_OK && coll->payloads.count)
        st = vsi_payload_find(err, &coll->payloads, key, &payload);
    if (st != VS_OK)
        return st;
    vsi_put_u64(content, cell.vector_hash.lo);
    vsi_put_u64(content + 8, cell.vector_hash.hi);
    vsi_put_u64(content + 16, value.hash.lo); /* zeros: no metadata */
    vsi_put_u64(content + 24, value.hash.hi);
    vsi_put_u64(content + 32, payload.hash.lo);
    vsi_put_u64(content + 40, payload.hash.hi);
    uint64_t version = vsi_hash64(content, payload.bytes ? 48 : 32, 0);
    *out_version = version ? version : 1;
    *out_payload_bytes = payload.bytes;
    return VS_OK;
}

VSI_FN vs_status vsi_coll_read_metadata(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                        vsi_buf *buf) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, &coll->metadata, vsi_slot_encode(bytes, slot), &value);
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    return st == VS_OK ? vsi_value_read(err, &coll->metadata, &value, buf) : st;
}

VSI_FN vs_status vsi_coll_entry(vsi_err *err, const vsi_btree_cursor *cursor, vs_key *out_key,
                                uint32_t *out_slot) {
    vsi_node_item item = vsi_btree_entry(cursor);
    if (item.value.bytes != 4 || !vsi_key_decode(item.key, out_key))
        return vsi_fail(err, VS_ERR_CORRUPT, "an entry of a tree of keys is malformed");
    *out_slot = vsi_get_u32(item.value.data);
    return VS_OK;
}

/* ---- notes ---------------------------------------------------------------------------------- */

VSI_FN vsi_bytes vsi_note_encode(uint8_t out[VSI_NOTE_KEY_BYTES_MAX], uint32_t coll,
                                 vsi_bytes key) {
    vsi_put_u32(out, coll);
    vsi_put_u16(out + 4, (uint16_t)key.bytes);
    memcpy(out + 6, key.data, key.bytes);
    return (vsi_bytes){out, 6 + key.bytes};
}

VSI_FN vs_status vsi_note_find(vsi_err *err, const vsi_state *state, uint32_t coll, vsi_bytes key,
                               vsi_value *out_value) {
    uint8_t bytes[VSI_NOTE_KEY_BYTES_MAX];
    return vsi_value_find(err, &state->notes, vsi_note_encode(bytes, coll, key), out_value);
}

VSI_FN vs_status vsi_note_next(vsi_err *err, const vsi_state *state,
                               uint8_t io_key[VSI_NOTE_KEY_BYTES_MAX], size_t *io_bytes) {
    vsi_btree_cursor cursor;
    vsi_bytes key = {NULL, 0};
    vs_status st =
        vsi_btree_seek_behind(err, &state->notes, (vsi_bytes){io_key, *io_bytes}, &cursor);
    if (st != VS_OK)
        return st;
    if (!vsi_btree_at_end(&cursor))
        key = vsi_btree_entry(&cursor).key;
    if (key.bytes < 7 || key.bytes > VSI_NOTE_KEY_BYTES_MAX || memcmp(key.data, io_key, 4) != 0)
        return VS_ERR_NOT_FOUND;
    memcpy(io_key, key.data, key.bytes);
    *io_bytes = key.bytes;
    return VS_OK;
}
