/* audit.c - walks over a state and verifies S1, S2, A1 and the structure of every tree. */
#include "store/audit.h"
#include "store/budget.h"
#include "store/encode.h"
#include "store/payload.h"
#include "store/term.h"

typedef struct auditor {
    vsi_err *err;
    vsi_buf buf;
    vsi_report_fn report;
    void *ctx;
    vsi_descs *descs;
    vsi_hash128 digest; /* computed anew */
    vsi_reside *reside; /* NULL: everything is in memory */
    vsi_stay stay;
    vsi_watch *watch;
    uint64_t steps;
    uint64_t records;         /* whose check the watch does not know of yet */
    uint64_t bytes;           /* of the collection's records */
    uint64_t payload_entries; /* that belong to a payload of it */
} auditor;

enum { AUDIT_BREATH_STEPS = 64 };

static void audit_report(auditor *a, const char *where, const char *problem) {
    char text[VS_NAME_BYTES_MAX + VSI_ERR_TEXT_BYTES + 2];
    snprintf(text, sizeof text, "%s: %s", where, problem);
    a->report(a->ctx, text);
}

/* A failure that is a finding is reported, and the walk goes on. */
static vs_status audit_note(auditor *a, const char *where, vs_status st) {
    if (st != VS_ERR_CORRUPT)
        return st;
    audit_report(a, where, a->err->text);
    return VS_OK;
}

/* A tree that is not sound is not looked into any further: *is_sound becomes false. */
static vs_status audit_tree(auditor *a, const char *where, const vsi_btree *tree, bool *is_sound) {
    const char *problem = NULL;
    vs_status st = vsi_btree_check(a->err, tree, &problem);
    if (st == VS_OK && !problem)
        return VS_OK;
    *is_sound = false;
    if (problem)
        audit_report(a, where, problem);
    return audit_note(a, where, st);
}

/* To the next entry. Now and then the watch is asked, and what was read may leave memory on the way, if there is too much:
 * then the cursor looks for its place again. */
static vs_status audit_next(auditor *a, vsi_btree_cursor *cursor) {
    uint8_t bytes[VSI_NODE_ENTRY_MAX];
    vsi_bytes key = vsi_btree_entry(cursor).key;
    bool is_time = ++a->steps % AUDIT_BREATH_STEPS == 0;
    if (is_time) {
        vs_status st = vsi_watch_step(a->err, a->watch, a->records);
        a->records = 0;
        if (st != VS_OK)
            return st;
    }
    if (is_time && a->reside && vsi_reside_excess(a->reside, 0)) {
        memcpy(bytes, key.data, key.bytes);
        key.data = bytes;
        vsi_stay_leave(a->reside, a->stay);
        vsi_budget_keep(cursor->tree->cow->pager, a->descs);
        a->stay = vsi_stay_enter(a->reside);
        vs_status st = vsi_btree_seek(a->err, cursor->tree, key, cursor);
        if (st != VS_OK)
            return st;
    }
    return vsi_btree_next(a->err, cursor);
}

/* Whether the key that a slot says is its own is this one. */
static vs_status audit_key(auditor *a, const vsi_coll *coll, vs_key key, uint32_t slot,
                           const vsi_cell *cell) {
    vs_key own = {0};
    uint32_t again = VSI_SLOT_NONE; /* the bytes of the entry's key are what they should be */
    vs_status st = vsi_coll_key(a->err, coll, slot, cell, &own);
    if (st == VS_OK)
        st = vsi_coll_find(a->err, coll, key, &again);
    if (st == VS_ERR_NOT_FOUND || (st == VS_OK && (vsi_key_compare(own, key) || again != slot)))
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a slot belongs to another key");
    if (st == VS_OK && key.kind == VS_KEY_U64 && key.number > coll->last_number)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a key is above the largest number ever put");
    return st;
}

/* The hash of a record's vectors, as its cell should have it. */
static vs_status audit_vectors(auditor *a, const vsi_coll *coll, uint32_t slot,
                               vsi_hash128 *out_hash) {
    vsi_hash128 hash = {0, 0};
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        const vsi_field *field = &coll->desc->field[i];
        const uint8_t *row = NULL;
        bool has = false;
        st = vsi_coll_has(a->err, coll, i, slot, &has);
        if (st == VS_OK && has)
            st = vsi_coll_row(a->err, coll, i, slot, &row);
        if (st != VS_OK || !has)
            continue;
        vsi_copy_le(a->buf.data, row, field->vector_bytes / field->element_bytes,
                    field->element_bytes);
        vsi_hash128_add(&hash, vsi_vector_hash(i, (vsi_bytes){a->buf.data, field->vector_bytes}));
        a->bytes += field->vector_bytes;
    }
    *out_hash = hash;
    return st;
}

/* The codes of a record are of its vectors. */
static vs_status audit_codes(auditor *a, const vsi_coll *coll, uint32_t slot) {
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        bool has = false;
        if (!(coll->coded >> i & 1))
            continue;
        st = vsi_coll_has(a->err, coll, i, slot, &has);
        if (st == VS_OK && has)
            st = vsi_encode_check(a->err, coll, i, slot, &a->buf);
    }
    return st;
}

/* The record that a key leads to. */
static vs_status audit_record(auditor *a, const vsi_coll *coll, vs_key key, uint32_t slot) {
    bool is_live = false;
    vsi_hash128 hash = {0, 0};
    vsi_cell cell;
    vs_status st = vsi_live_get(a->err, &coll->live, VSI_LIVE_RECORDS, slot, &is_live);
    if (st == VS_OK && (slot >= coll->slot_end || !is_live))
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a key leads to a slot that is not live");
    if (st == VS_OK)
        st = vsi_coll_cell(a->err, coll, slot, &cell);
    if (st == VS_OK)
        st = audit_key(a, coll, key, slot, &cell);
    if (st == VS_OK)
        st = audit_vectors(a, coll, slot, &hash);
    if (st != VS_OK)
        return st;
    a->bytes += key.kind == VS_KEY_U64 ? 8 : key.bytes;
    vsi_hash128_add(&a->digest, vsi_term_of_vector(coll->desc->id, key, hash));
    if (hash.lo != cell.vector_hash.lo || hash.hi != cell.vector_hash.hi)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a vector's hash is wrong");
    return audit_codes(a, coll, slot);
}

/* Room for the largest vector of a collection. */
static vs_status audit_reserve(auditor *a, const vsi_desc *desc) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < desc->field_count; i++)
        bytes = desc->field[i].vector_bytes > bytes ? desc->field[i].vector_bytes : bytes;
    a->buf.bytes = 0;
    return vsi_buf_reserve(&a->buf, bytes) ? VS_OK : vsi_fail_nomem(a->err, bytes);
}

static vs_status audit_records(auditor *a, const vsi_coll *coll) {
    uint64_t count = 0, long_count = 0;
    vsi_btree_cursor cursor;
    vs_status st = audit_reserve(a, coll->desc);
    if (st == VS_OK)
        st = vsi_btree_seek(a->err, &coll->keys, (vsi_bytes){(const uint8_t *)"", 0}, &cursor);
    while (st == VS_OK && !vsi_btree_at_end(&cursor)) {
        vs_key key = {0};
        uint32_t slot = 0;
        st = vsi_coll_entry(a->err, &cursor, &key, &slot);
        if (st == VS_OK)
            st = audit_record(a, coll, key, slot);
        count++;
        a->records++;
        long_count += key.kind != VS_KEY_U64;
        st = audit_note(a, coll->desc->name, st);
        if (st == VS_OK)
            st = audit_next(a, &cursor);
    }
    if (st == VS_OK &&
        count != coll->count) /* the tree's own count is right, audit_tree has seen to that */
        audit_report(a, coll->desc->name, "the count of records is wrong");
    if (st == VS_OK && long_count != coll->long_keys.count) /* each record has found its own */
        audit_report(a, coll->desc->name, "there are keys of slots that are not live");
    return st;
}

static uint64_t audit_count_bits(vsi_bytes bits) {
    uint64_t count = 0;
    for (size_t i = 0; i < bits.bytes; i++)
        for (uint8_t byte = bits.data[i]; byte; byte = (uint8_t)(byte & (byte - 1)))
            count++;
    return count;
}

/* The vectors that a chunk says records have, of a field that is optional: they are of live slots. */
static vs_status audit_present(auditor *a, const vsi_coll *coll, uint32_t set, uint32_t chunk,
                               vsi_bytes bits) {
    const vsi_desc *desc = coll->desc;
    if (set > desc->field_count || !desc->field[set - 1].is_optional)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a chunk of a bitmap is of no field");
    for (uint32_t i = 0; i < VSI_LIVE_CHUNK_SLOTS; i++) {
        uint64_t slot = (uint64_t)chunk * VSI_LIVE_CHUNK_SLOTS + i;
        bool is_live = false;
        if (!(bits.data[i / 8] >> i % 8 & 1))
            continue;
        vs_status st = slot < coll->slot_end ? vsi_live_get(a->err, &coll->live, VSI_LIVE_RECORDS,
                                                            (uint32_t)slot, &is_live)
                                             : VS_OK;
        if (st == VS_OK && !is_live)
            st = vsi_fail(a->err, VS_ERR_CORRUPT, "there is a vector of a slot that is not live");
        if (st != VS_OK)
            return st;
    }
    return VS_OK;
}

/* Every live slot is a record's: their numbers are equal, and audit_record finds each one live. */
static vs_status audit_live(auditor *a, const vsi_coll *coll) {
    uint64_t count = 0;
    vsi_btree_cursor cursor;
    vs_status st =
        vsi_btree_seek(a->err, &coll->live, (vsi_bytes){(const uint8_t *)"", 0}, &cursor);
    while (st == VS_OK && !vsi_btree_at_end(&cursor)) {
        vsi_node_item item = vsi_btree_entry(&cursor);
        uint32_t set = 0, chunk = 0;
        bool is_chunk = vsi_live_chunk_of(item.key, &set, &chunk) &&
                        item.value.bytes == VSI_LIVE_CHUNK_BYTES && !item.ref_count;
        if (!is_chunk)
            audit_report(a, coll->desc->name, "a chunk of the live bitmap is malformed");
        else if (set == VSI_LIVE_RECORDS)
            count += audit_count_bits(item.value);
        else
            st = audit_note(a, coll->desc->name, audit_present(a, coll, set, chunk, item.value));
        if (st == VS_OK)
            st = audit_next(a, &cursor);
    }
    if (st == VS_OK && count != coll->count)
        audit_report(a, coll->desc->name, "live slots and records differ in number"); /* S1 */
    return st;
}

/* ---- values --------------------------------------------------------------------------------- */

/* The term of a value whose key is given, which may be no key that was ever put. */
typedef vs_status (*audit_term_fn)(auditor *a, const vsi_coll *coll, vsi_bytes key,
                                   vsi_hash128 hash);

static vs_status audit_values(auditor *a, const char *where, const vsi_btree *tree,
                              audit_term_fn add_term, const vsi_coll *coll) {
    vsi_btree_cursor cursor;
    vs_status st = vsi_btree_seek(a->err, tree, (vsi_bytes){(const uint8_t *)"", 0}, &cursor);
    while (st == VS_OK && !vsi_btree_at_end(&cursor)) {
        vsi_node_item item = vsi_btree_entry(&cursor);
        vsi_value value = {.bytes = 0};
        a->buf.bytes = 0;
        st = vsi_value_of_item(a->err, item, &value);
        if (st == VS_OK)
            st = vsi_value_read(a->err, tree, &value, &a->buf);
        if (st == VS_OK) {
            vsi_hash128 hash = vsi_hash128_of(a->buf.data, a->buf.bytes, 0);
            if (hash.lo != value.hash.lo || hash.hi != value.hash.hi)
                audit_report(a, where, "a value's hash is wrong");
            st = add_term(a, coll, item.key, hash);
        }
        st = audit_note(a, where, st);
        if (st == VS_OK)
            st = audit_next(a, &cursor);
    }
    return st;
}

static vs_status audit_add_metadata(auditor *a, const vsi_coll *coll, vsi_bytes key,
                                    vsi_hash128 hash) {
    bool is_live = false;
    vsi_cell cell;
    uint32_t slot = key.bytes == VSI_SLOT_KEY_BYTES ? vsi_get_u32_be(key.data) : UINT32_MAX;
    vs_status st = vsi_live_get(a->err, &coll->live, VSI_LIVE_RECORDS, slot, &is_live);
    if (st == VS_OK && (slot >= coll->slot_end || !is_live))
        return vsi_fail(a->err, VS_ERR_CORRUPT, "there is metadata of a slot that is not live");
    if (st == VS_OK)
        st = vsi_coll_cell(a->err, coll, slot, &cell);
    vs_key own = {0};
    if (st == VS_OK)
        st = vsi_coll_key(a->err, coll, slot, &cell, &own);
    a->bytes += a->buf.bytes;
    if (st == VS_OK)
        vsi_hash128_add(&a->digest, vsi_term_of_metadata(coll->desc->id, own, hash));
    return st;
}

static vs_status audit_add_note(auditor *a, const vsi_coll *coll, vsi_bytes key, vsi_hash128 hash) {
    (void)coll;
    if (key.bytes < 7 || key.bytes > VSI_NOTE_KEY_BYTES_MAX ||
        vsi_get_u16(key.data + 4) != key.bytes - 6)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a note's key is malformed");
    vsi_hash128_add(&a->digest, vsi_term_of_note(vsi_get_u32(key.data),
                                                 (vsi_bytes){key.data + 6, key.bytes - 6}, hash));
    return VS_OK;
}

/* ---- payloads ------------------------------------------------------------------------------- */

/* The pieces that a head promises are there, and their sum is right. */
static vs_status audit_pieces(auditor *a, const vsi_coll *coll, vs_key key,
                              const vsi_payload *payload) {
    vsi_hash128 sum = payload->sum;
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < vsi_payload_pieces(payload); i++) {
        vsi_value value;
        st = vsi_payload_find_piece(a->err, &coll->payloads, key, payload, i, &value);
        if (st == VS_OK)
            vsi_hash128_subtract(&sum, vsi_payload_term(i, value.hash));
        a->payload_entries += st == VS_OK;
    }
    if (st == VS_OK && (sum.lo || sum.hi))
        st = vsi_fail(a->err, VS_ERR_CORRUPT, "the sum of a payload's pieces is wrong");
    return st;
}

/* An entry of the tree, whose value has been verified. A head counts its pieces with it. */
static vs_status audit_add_payload(auditor *a, const vsi_coll *coll, vsi_bytes key,
                                   vsi_hash128 hash) {
    vs_key record = {0};
    uint32_t at = 0, slot = 0;
    vsi_payload payload = {.bytes = 0};
    if (!vsi_payload_key_of(key, &record, &at))
        return vsi_fail(a->err, VS_ERR_CORRUPT, "the key of a payload is malformed");
    if (at > 0)
        return VS_OK;
    a->payload_entries++;
    vs_status st = vsi_payload_of_head(a->err, (vsi_bytes){a->buf.data, a->buf.bytes}, &payload);
    if (st == VS_OK)
        st = vsi_coll_find(a->err, coll, record, &slot);
    if (st == VS_ERR_NOT_FOUND)
        st = vsi_fail(a->err, VS_ERR_CORRUPT, "there is a payload without a record");
    if (st != VS_OK)
        return st;
    a->bytes += payload.bytes;
    vsi_hash128_add(&a->digest, vsi_term_of_payload(coll->desc->id, record, hash));
    return audit_pieces(a, coll, record, &payload);
}

static vs_status audit_payloads(auditor *a, const vsi_coll *coll) {
    const char *name = coll->desc->name;
    a->payload_entries = 0;
    vs_status st = audit_values(a, name, &coll->payloads, audit_add_payload, coll);
    if (st == VS_OK && a->payload_entries != coll->payloads.count)
        audit_report(a, name, "there are pieces of no payload");
    return st;
}

/* ---- all ------------------------------------------------------------------------------------ */

/* The name leads back to the collection, and the last slot has a row (S2). */
static vs_status audit_desc(auditor *a, const vsi_state *state, const vsi_coll *coll) {
    const vsi_desc *desc = coll->desc;
    char name[VS_NAME_BYTES_MAX + 1] = "";
    uint32_t id = 0;
    bool is_alias = false;
    vsi_cell cell;
    vs_status st = vsi_state_coll_name(a->err, state, desc->id, name);
    if (st == VS_OK)
        st = vsi_state_name(a->err, state, (vsi_bytes){(const uint8_t *)name, strlen(name)}, &id,
                            &is_alias);
    if (st == VS_ERR_NOT_FOUND || (st == VS_OK && (id != desc->id || is_alias)))
        st = vsi_fail(a->err, VS_ERR_CORRUPT, "its name does not lead to it");
    if (st == VS_OK && desc->id > state->last_coll)
        st = vsi_fail(a->err, VS_ERR_CORRUPT, "its id is above the largest one ever used");
    st = audit_note(a, desc->name, st);
    if (desc->lost)
        audit_report(a, desc->name, "parameters of codes cannot be read; searches do without them");
    if (st == VS_OK && coll->slot_end)
        st = vsi_coll_cell(a->err, coll, coll->slot_end - 1, &cell);
    return audit_note(a, desc->name, st);
}

static vs_status audit_coll(auditor *a, const vsi_state *state, const vsi_coll *coll) {
    const char *name = coll->desc->name;
    const vsi_btree *trees[] = {&coll->keys,  &coll->metadata,  &coll->live,
                                &coll->slabs, &coll->long_keys, &coll->payloads};
    vsi_hash128 records = a->digest; /* what its records add to it */
    bool is_sound = true;
    vs_status st = VS_OK;
    a->bytes = 0;
    for (size_t i = 0; st == VS_OK && i < sizeof trees / sizeof trees[0]; i++)
        st = audit_tree(a, name, trees[i], &is_sound);
    if (st != VS_OK || !is_sound)
        return st;
    st = audit_desc(a, state, coll);
    if (st == VS_OK)
        st = audit_note(a, name, audit_records(a, coll));
    if (st == VS_OK)
        st = audit_note(a, name, audit_live(a, coll));
    if (st == VS_OK)
        st = audit_note(a, name, audit_values(a, name, &coll->metadata, audit_add_metadata, coll));
    if (st == VS_OK)
        st = audit_note(a, name, audit_payloads(a, coll));
    vsi_hash128_subtract(&records, a->digest);
    vsi_hash128_add(&records, coll->digest);
    if (st == VS_OK && (records.lo || records.hi))
        audit_report(a, name, "the digest of its records is wrong");
    vsi_hash128_add(&a->digest, vsi_term_of_coll(coll->desc));
    vsi_hash128_add(&a->digest,
                    vsi_term_of_limits(coll->desc->id, coll->max_records, coll->max_bytes));
    if (st == VS_OK && a->bytes != coll->bytes)
        audit_report(a, name, "the bytes of all records are wrong");
    return st;
}

/* The name behind this one leads to a collection; *io_name becomes it. */
static vs_status audit_name(auditor *a, const vsi_state *state, uint8_t bytes[VS_NAME_BYTES_MAX],
                            vsi_bytes *io_name, bool *out_is_alias) {
    vsi_bytes name = {NULL, 0};
    uint32_t id = 0;
    vsi_coll coll;
    vs_status st = vsi_state_name_after(a->err, state, *io_name, &name, &id, out_is_alias);
    if (st != VS_OK)
        return st;
    if (name.bytes > VS_NAME_BYTES_MAX)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "catalog: a name is too long");
    vsi_hash128_add(&a->digest, vsi_term_of_name(id, name, *out_is_alias));
    memcpy(bytes, name.data, name.bytes);
    *io_name = (vsi_bytes){bytes, name.bytes};
    st = vsi_state_coll(a->err, state, id, &coll);
    return st == VS_ERR_NOT_FOUND
               ? vsi_fail(a->err, VS_ERR_CORRUPT, "catalog: a name leads to no collection")
               : st;
}

/* Every name leads to a collection, and those that are no aliases are as many as these. */
static vs_status audit_names(auditor *a, const vsi_state *state, uint64_t coll_count) {
    uint8_t bytes[VS_NAME_BYTES_MAX];
    vsi_bytes name = {bytes, 0};
    uint64_t own = 0;
    vs_status st = VS_OK;
    while (st == VS_OK) {
        bool is_alias = false;
        st = audit_name(a, state, bytes, &name, &is_alias);
        own += st == VS_OK && !is_alias;
    }
    if (st != VS_ERR_NOT_FOUND)
        return st;
    if (own != coll_count)
        audit_report(a, "catalog", "names and collections differ in number");
    return VS_OK;
}

static vs_status audit_colls(auditor *a, const vsi_state *state) {
    vsi_coll coll;
    uint64_t count = 0;
    vs_status st = vsi_state_coll_from(a->err, state, 0, &coll);
    while (st == VS_OK) {
        st = audit_coll(a, state, &coll);
        count++;
        if (st == VS_OK)
            st = coll.desc->id == UINT32_MAX
                     ? VS_ERR_NOT_FOUND
                     : vsi_state_coll_from(a->err, state, coll.desc->id + 1, &coll);
    }
    if (st == VS_ERR_NOT_FOUND)
        st = audit_names(a, state, count);
    return audit_note(a, "catalog", st);
}

/* Records of all collections, as far as they can be found. */
static uint64_t audit_total(vsi_err *err, const vsi_state *state) {
    vsi_coll coll;
    uint64_t total = 0, id = 0;
    while (id <= UINT32_MAX && vsi_state_coll_from(err, state, (uint32_t)id, &coll) == VS_OK) {
        total += coll.count;
        id = (uint64_t)coll.desc->id + 1;
    }
    return total;
}

VSI_FN vs_status vsi_audit(vsi_err *err, const vsi_state *state, vsi_mem *mem, vsi_watch *watch,
                           vsi_report_fn report, void *ctx) {
    vsi_pager *pager = state->catalog.cow->pager;
    auditor a = {.err = err,
                 .buf = {.mem = mem},
                 .watch = watch,
                 .report = report,
                 .ctx = ctx,
                 .descs = state->descs,
                 .reside = pager ? &pager->reside : NULL};
    if (a.reside)
        a.stay = vsi_stay_enter(a.reside);
    bool has_catalog = true, has_notes = true;
    vsi_watch_count(watch, "records checked", watch ? audit_total(err, state) : 0);
    vs_status st = audit_tree(&a, "catalog", &state->catalog, &has_catalog);
    if (st == VS_OK)
        st = audit_tree(&a, "notes", &state->notes, &has_notes);
    if (st == VS_OK && has_catalog)
        st = audit_colls(&a, state);
    if (st == VS_OK && has_notes)
        st =
            audit_note(&a, "notes", audit_values(&a, "notes", &state->notes, audit_add_note, NULL));
    if (st == VS_OK && (a.digest.lo != state->digest.lo || a.digest.hi != state->digest.hi))
        report(ctx, "the digest does not match the contents"); /* A1 */
    vsi_buf_free(&a.buf);
    if (a.reside)
        vsi_stay_leave(a.reside, a.stay);
    return st;
}
