/* audit.c - the walk that verifies a state: clean ones, and every kind of planted damage. */
#include "store/audit.h"
#include "store/apply.h"
#include "store/payload.h"
#include "vt.h"

enum { NUMBER_KEY_BYTES = 10 }; /* of a key that is a number, in the default namespace */

enum {
    PIECE = VSI_PAYLOAD_PIECE_BYTES,
    SMALL = 4,
    LARGE = 6
}; /* numbers of records with payloads */

enum { COLLS = 2, RECORDS = 12, DELETED = 5, NOTES = 6, DIM = 6, LARGE_BYTES = 3000 };

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_pager pager; /* of no file: all is in memory */
    vsi_cow cow;
    vsi_descs descs;
    vsi_state state;
    vsi_coll *coll; /* the second one: state.work */
    vsi_err err;
} fixture;

static void begin_empty(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
    VT_CHECK(vsi_pager_init(&f->pager, &f->mem, NULL));
    f->cow.pager = &f->pager;
    VT_CHECK(vsi_descs_init(&f->descs, &f->mem, NULL));
    f->state = vsi_state_empty(&f->cow, &f->descs);
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    vsi_descs_free(&f->descs);
    vsi_pager_free(&f->pager);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

/* ---- what the audit says -------------------------------------------------------------------- */

typedef struct findings {
    int count;
    const char *wanted; /* part of a problem; NULL: any */
    bool has_wanted;
} findings;

static void take_problem(void *ctx, const char *problem) {
    findings *found = ctx;
    VT_CHECK(problem[0]);
    found->count++;
    found->has_wanted = found->has_wanted || (found->wanted && strstr(problem, found->wanted));
}

static int problems(fixture *f, const vsi_state *state) {
    findings found = {0};
    VT_EQ(vsi_audit(&f->err, state, &f->mem, NULL, take_problem, &found), VS_OK);
    return found.count;
}

static void check_clean(fixture *f) {
    VT_EQ(problems(f, &f->state), 0);
}

/* Something is found, and among it this. */
static void check_finds(fixture *f, const char *wanted) {
    findings found = {.wanted = wanted};
    VT_EQ(vsi_audit(&f->err, &f->state, &f->mem, NULL, take_problem, &found), VS_OK);
    if (!found.has_wanted)
        vt_fail(__FILE__, __LINE__, "no problem says '%s' (%d problems)", wanted, found.count);
}

/* ---- a state with one of everything --------------------------------------------------------- */

static void apply(fixture *f, const vsi_op *op) {
    if (vsi_apply(&f->err, &f->state, op, NULL) != VS_OK)
        vt_fail(__FILE__, __LINE__, "kind %d: %s", op->kind, f->err.text);
}

static uint32_t coll_id(int c) {
    return 2 + 3 * (uint32_t)c;
}

static void apply_create(fixture *f, int c) {
    char name[24];
    snprintf(name, sizeof name, "coll-%d", c);
    apply(f, &(vsi_op){.kind = VSI_OP_CREATE,
                       .field_count = 1,
                       .field[0].name = {(const uint8_t *)"vector", 6},
                       .coll = coll_id(c),
                       .field[0].dim = DIM,
                       .field[0].type = c ? VS_U8 : VS_F32,
                       .field[0].metric = VS_IP,
                       .time_us = 1234567,
                       .name = {(const uint8_t *)name, strlen(name)}});
}

/* Every second record has metadata, one of them a lot. */
static void apply_put(fixture *f, int c, uint32_t i) {
    static uint8_t metadata[LARGE_BYTES];
    uint8_t vector[DIM * 4];
    for (size_t k = 0; k < sizeof vector; k++)
        vector[k] = (uint8_t)(vt_mix(i * 100 + k) & 0x3f);
    memset(metadata, 'm' + (int)i, sizeof metadata);
    apply(f, &(vsi_op){.kind = VSI_OP_PUT,
                       .coll = coll_id(c),
                       .slot = i,
                       .old_slot = VSI_SLOT_NONE,
                       .key.number = i * 1000,
                       .vector[0] = {vector, c ? DIM : DIM * 4},
                       .metadata = {metadata, i == 3 ? LARGE_BYTES : i % 2 * 40}});
}

static void apply_note(fixture *f, uint32_t owner, uint32_t i) {
    static uint8_t key[NOTES], value[LARGE_BYTES];
    memset(key, 'k', sizeof key);
    memset(value, 'v' + (int)i, sizeof value);
    apply(f, &(vsi_op){.kind = VSI_OP_NOTE,
                       .coll = owner,
                       .note_key = {key, i + 1},
                       .note_value = {value, i == 3 ? LARGE_BYTES : i * 10},
                       .note_has_value = true});
}

static void apply_payload(fixture *f, int c, uint32_t i, uint32_t piece, size_t bytes) {
    static uint8_t run[PIECE];
    memset(run, 'p' + (int)piece, sizeof run);
    apply(f, &(vsi_op){.kind = VSI_OP_PAYLOAD,
                       .coll = coll_id(c),
                       .slot = i,
                       .key.number = i * 1000,
                       .piece = piece,
                       .payload = {run, bytes}});
}

/* Collections with 12 records each less one, half of them with metadata, two with payloads, and notes. */
static void begin(fixture *f) {
    begin_empty(f);
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    for (int c = 0; c < COLLS; c++) {
        apply_create(f, c);
        for (uint32_t i = 0; i < RECORDS; i++)
            apply_put(f, c, i);
        for (uint32_t i = 0; i < NOTES; i++)
            apply_note(f, c ? coll_id(c) : 0, i);
        apply_payload(f, c, SMALL, 0, 50);
        apply_payload(f, c, LARGE, 0, PIECE);
        apply_payload(f, c, LARGE, 1, 7);
        apply(f, &(vsi_op){.kind = VSI_OP_DELETE,
                           .coll = coll_id(c),
                           .slot = DELETED,
                           .key.number = DELETED * 1000});
    }
    VT_EQ(vsi_state_settle(&f->err, &f->state), VS_OK);
    vsi_cow_keep(&f->cow, mark);
    f->coll = &f->state.work;
    VT_EQ(f->coll->desc->id, coll_id(1));
    check_clean(f);
}

/* Damage to trees is planted in a scope that is undone. */
typedef struct planting {
    vsi_state before;
    vsi_cow_mark mark;
} planting;

static planting plant_begin(fixture *f) {
    return (planting){.before = f->state, .mark = vsi_cow_open(&f->cow)};
}

static void plant_end(fixture *f, planting p) {
    vsi_cow_undo(&f->cow, p.mark);
    f->state = p.before;
    check_clean(f);
}

/* ---- clean states --------------------------------------------------------------------------- */

VT_TEST(an_empty_state_is_clean) {
    fixture f;
    begin_empty(&f);
    check_clean(&f);
    end(&f);
}

VT_TEST(a_state_is_clean_before_and_after_it_is_settled) {
    fixture f;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (uint32_t i = RECORDS; i < 200; i++) {
        apply_put(&f, 0, i);
        apply_put(&f, 1, i);
        if (i % 20 == 0)
            check_clean(&f);
    }
    VT_EQ(vsi_state_settle(&f.err, &f.state), VS_OK);
    check_clean(&f);
    vsi_state reader = f.state;
    memset(&reader.work, 0, sizeof reader.work);
    VT_EQ(problems(&f, &reader), 0);
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

VT_TEST(a_collection_with_the_largest_id_ends_the_walk) {
    fixture f;
    begin_empty(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    apply(&f, &(vsi_op){.kind = VSI_OP_CREATE,
                        .field_count = 1,
                        .field[0].name = {(const uint8_t *)"vector", 6},
                        .coll = VSI_COLL_ID_MAX,
                        .field[0].dim = VS_DIM_MAX,
                        .field[0].type = VS_F32,
                        .field[0].metric = VS_L2,
                        .name = {(const uint8_t *)"x", 1}});
    vsi_cow_keep(&f.cow, mark);
    check_clean(&f);
    end(&f);
}

VT_TEST(an_audit_without_memory_says_so_and_leaves_nothing) {
    fixture f;
    begin(&f);
    uint64_t refusals = 0;
    for (uint64_t at = 1;; at++) {
        findings found = {0};
        uint64_t failures = f.allocator.failures, blocks = f.allocator.live_blocks;
        f.allocator.fail_at = f.allocator.calls + at;
        vs_status st = vsi_audit(&f.err, &f.state, &f.mem, NULL, take_problem, &found);
        f.allocator.fail_at = 0;
        VT_EQ(f.allocator.live_blocks, blocks);
        VT_EQ(found.count, 0);
        VT_EQ(st, f.allocator.failures == failures ? VS_OK : VS_ERR_NOMEM);
        if (st == VS_OK)
            break;
        refusals++;
    }
    VT_CHECK(refusals > 0);
    end(&f);
}

/* ---- digest and counts ---------------------------------------------------------------------- */

VT_TEST(a_wrong_digest_is_found) {
    fixture f;
    begin(&f);
    for (int bit = 0; bit < 128; bit++) {
        uint64_t *half = bit < 64 ? &f.state.digest.lo : &f.state.digest.hi;
        *half ^= (uint64_t)1 << bit % 64;
        check_finds(&f, "digest");
        VT_EQ(problems(&f, &f.state), 1);
        *half ^= (uint64_t)1 << bit % 64;
    }
    check_clean(&f);
    end(&f);
}

VT_TEST(wrong_counts_are_found) {
    fixture f;
    begin(&f);
    uint64_t *const count[] = {&f.coll->count,       &f.coll->keys.count,   &f.coll->metadata.count,
                               &f.coll->live.count,  &f.coll->slabs.count,  &f.coll->payloads.count,
                               &f.state.notes.count, &f.state.catalog.count};
    for (size_t i = 0; i < sizeof count / sizeof count[0]; i++)
        for (int by = -1; by <= 1; by += 2) {
            *count[i] += (uint64_t)(int64_t)by;
            check_finds(&f, "count");
            *count[i] -= (uint64_t)(int64_t)by;
        }
    check_clean(&f);
    end(&f);
}

/* Not only in the collection that the writer has at hand. */
VT_TEST(wrong_counts_in_the_catalog_are_found) {
    enum { COUNT_OFF = 8, TREES_OFF = 32, TREES = 6 };
    fixture f;
    begin(&f);
    uint8_t key[5] = {1, 0, 0, 0, (uint8_t)coll_id(0)}, *value = NULL;
    for (int i = 0; i <= TREES; i++) {
        planting p = plant_begin(&f);
        VT_EQ(vsi_btree_edit(&f.err, &f.state.catalog, (vsi_bytes){key, 5}, &value), VS_OK);
        value[i == TREES ? COUNT_OFF : TREES_OFF + 8 * i]++;
        check_finds(&f, "count");
        check_finds(&f, "coll-0");
        plant_end(&f, p);
    }
    end(&f);
}

VT_TEST(malformed_entries_of_the_catalog_are_found) {
    static const uint8_t zero[80];
    fixture f;
    begin(&f);
    for (uint8_t id = 0; id < 8; id++) { /* in place of a collection, or of none */
        const uint8_t key[5] = {1, 0, 0, 0, id};
        if (id == coll_id(1))
            continue; /* the writer's own copy is newer */
        planting p = plant_begin(&f);
        VT_EQ(vsi_btree_put(&f.err, &f.state.catalog, (vsi_bytes){key, 5}, (vsi_bytes){zero, 80}),
              VS_OK);
        check_finds(&f, "is malformed");
        plant_end(&f, p);
    }
    end(&f);
}

/* ---- live slots ----------------------------------------------------------------------------- */

VT_TEST(a_slot_that_is_live_without_a_record_and_the_other_way_round_are_found) {
    fixture f;
    begin(&f);
    static const uint32_t far[] = {4095, 4096, 100000, UINT32_MAX - 1, UINT32_MAX};
    for (uint32_t i = 0; i < 45; i++) {
        uint32_t slot = i < 40 ? i : far[i - 40];
        bool is_live = false;
        VT_EQ(vsi_live_get(&f.err, &f.coll->live, VSI_LIVE_RECORDS, slot, &is_live), VS_OK);
        VT_EQ(is_live, slot < RECORDS && slot != DELETED);
        planting p = plant_begin(&f);
        VT_EQ(vsi_live_set(&f.err, &f.coll->live, VSI_LIVE_RECORDS, slot, !is_live), VS_OK);
        check_finds(&f, "live slots and records differ");
        if (is_live)
            check_finds(&f, "a key leads to a slot that is not live");
        plant_end(&f, p);
    }
    f.coll->slot_end--; /* the last record's slot is beyond the end now */
    check_finds(&f, "a key leads to a slot that is not live");
    check_finds(&f, "metadata of a slot that is not live");
    f.coll->slot_end++;
    check_clean(&f);
    end(&f);
}

VT_TEST(a_record_that_is_not_live_and_a_stray_live_slot_do_not_cancel_out) {
    fixture f;
    begin(&f);
    planting p = plant_begin(&f);
    VT_EQ(vsi_live_set(&f.err, &f.coll->live, VSI_LIVE_RECORDS, 2, false), VS_OK);
    VT_EQ(vsi_live_set(&f.err, &f.coll->live, VSI_LIVE_RECORDS, DELETED, true), VS_OK);
    check_finds(&f, "a key leads to a slot that is not live");
    plant_end(&f, p);
    end(&f);
}

VT_TEST(malformed_chunks_of_the_live_bitmap_are_found) {
    static const uint8_t zero[VSI_LIVE_CHUNK_BYTES + 1];
    static const struct {
        size_t key_bytes, value_bytes;
    } bad[] = {{5, VSI_LIVE_CHUNK_BYTES},     {7, VSI_LIVE_CHUNK_BYTES},
               {0, VSI_LIVE_CHUNK_BYTES},     {6, 0},
               {6, VSI_LIVE_CHUNK_BYTES - 1}, {6, VSI_LIVE_CHUNK_BYTES + 1}};
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        static const uint8_t key[7] = {0, 0, 0, 0, 0, 7, 0};
        planting p = plant_begin(&f);
        VT_EQ(vsi_btree_put(&f.err, &f.coll->live, (vsi_bytes){key, bad[i].key_bytes},
                            (vsi_bytes){zero, bad[i].value_bytes}),
              VS_OK);
        check_finds(&f, "chunk of the live bitmap is malformed");
        plant_end(&f, p);
    }
    static const uint8_t first[6] = {0}; /* the chunk of all records */
    planting p = plant_begin(&f);
    VT_EQ(vsi_btree_put(&f.err, &f.coll->live, (vsi_bytes){first, 6}, (vsi_bytes){zero, 9}), VS_OK);
    check_finds(&f, "chunk 0");
    plant_end(&f, p);
    end(&f);
}

/* ---- rows, cells and keys ------------------------------------------------------------------- */

/* The row or cell of a slot, to be changed. */
static uint8_t *row_in(fixture *f, vsi_slabs *slabs, uint32_t slot) {
    uint8_t *row = NULL;
    VT_EQ(vsi_slab_make_row(&f->err, slabs, slot, &row), VS_OK);
    return row;
}

VT_TEST(each_flipped_bit_of_a_vector_and_its_cell_is_found) {
    fixture f;
    begin(&f);
    for (uint32_t slot = 0; slot < RECORDS; slot += 3) {
        uint8_t *row = row_in(&f, &f.coll->desc->field[0].rows, slot);
        uint8_t *cell = row_in(&f, &f.coll->desc->cells, slot);
        for (size_t bit = 0; bit < 8 * DIM; bit++) {
            row[bit / 8] ^= (uint8_t)(1 << bit % 8);
            check_finds(&f, "a vector's hash is wrong");
            row[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t bit = 0; bit < (8 + 16) * 8; bit++) { /* key, hash of the vector */
            cell[bit / 8] ^= (uint8_t)(1 << bit % 8);
            check_finds(&f, bit < 64 ? "belongs to another key" : "a vector's hash is wrong");
            cell[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
    check_clean(&f);
    end(&f);
}

static void swap_rows(fixture *f, vsi_slabs *slabs) {
    uint8_t spare[VSI_CELL_BYTES], *a = row_in(f, slabs, 1), *b = row_in(f, slabs, 2);
    VT_CHECK(slabs->row_bytes <= sizeof spare);
    memcpy(spare, a, slabs->row_bytes);
    memcpy(a, b, slabs->row_bytes);
    memcpy(b, spare, slabs->row_bytes);
}

VT_TEST(rows_and_cells_that_changed_places_are_found) {
    fixture f;
    begin(&f);
    swap_rows(&f, &f.coll->desc->field[0].rows);
    check_finds(&f, "a vector's hash is wrong");
    swap_rows(&f, &f.coll->desc->cells); /* now both did: only the keys tell */
    check_finds(&f, "belongs to another key");
    swap_rows(&f, &f.coll->desc->field[0].rows);
    check_finds(&f, "belongs to another key");
    swap_rows(&f, &f.coll->desc->cells);
    check_clean(&f);
    end(&f);
}

static void lead(fixture *f, uint64_t key, uint32_t slot) {
    uint8_t bytes[VSI_KEY_BYTES_MAX], value[4];
    vsi_put_u32(value, slot);
    VT_EQ(vsi_btree_put(&f->err, &f->coll->keys, vsi_key_encode(bytes, VT_KEY(key)),
                        (vsi_bytes){value, 4}),
          VS_OK);
}

static void check_key_leads(fixture *f, uint64_t key, uint32_t slot, const char *wanted) {
    planting p = plant_begin(f);
    lead(f, key, slot);
    check_finds(f, wanted);
    plant_end(f, p);
}

VT_TEST(a_key_that_leads_elsewhere_is_found) {
    fixture f;
    begin(&f);
    check_key_leads(&f, 2000, 3, "belongs to another key");
    check_key_leads(&f, 2000, DELETED, "not live");
    check_key_leads(&f, 2000, RECORDS, "not live");
    check_key_leads(&f, 2000, VSI_SLOT_NONE, "not live");
    check_key_leads(&f, 77, 3, "belongs to another key"); /* a key more */
    check_key_leads(&f, 77, 3, "count");
    end(&f);
}

/* A slot far away that is live and below the end, but was never written. */
VT_TEST(a_record_without_a_row_is_found) {
    fixture f;
    begin(&f);
    planting p = plant_begin(&f);
    f.coll->slot_end = 1 << 30;
    VT_EQ(vsi_live_set(&f.err, &f.coll->live, VSI_LIVE_RECORDS, 1 << 29, true), VS_OK);
    lead(&f, 2000, 1 << 29);
    check_finds(&f, "has no row");
    plant_end(&f, p);
    end(&f);
}

VT_TEST(an_entry_of_a_key_that_is_malformed_is_found) {
    static const uint8_t bytes[NUMBER_KEY_BYTES + 1] = {0, 1, 9};
    fixture f;
    begin(&f);
    for (size_t key = NUMBER_KEY_BYTES - 1; key <= NUMBER_KEY_BYTES + 1; key++)
        for (size_t value = 3; value <= 5; value++) {
            if (key == NUMBER_KEY_BYTES && value == 4)
                continue;
            planting p = plant_begin(&f);
            VT_EQ(vsi_btree_put(&f.err, &f.coll->keys, (vsi_bytes){bytes, key},
                                (vsi_bytes){bytes, value}),
                  VS_OK);
            check_finds(&f, "tree of keys is malformed");
            plant_end(&f, p);
        }
    end(&f);
}

/* ---- entries, byte by byte ------------------------------------------------------------------ */

/* How many bytes in front of a value may not be changed: the reader of a large value trusts the size
 * that stands there. */
static size_t trusted_bytes(const vsi_node_item *item) {
    return item->ref_count ? 4 : 0;
}

static void flip_part(fixture *f, vsi_bytes part, size_t from, const char *what) {
    for (size_t at = from; at<part.bytes; at += part.bytes> 64 && at > 32 ? 97 : 1) {
        uint8_t *byte = (uint8_t *)(uintptr_t)part.data + at, was = *byte;
        *byte ^= (uint8_t)(1 << at % 8);
        if (problems(f, &f->state) == 0)
            vt_fail(__FILE__, __LINE__, "byte %zu of a %s may change", at, what);
        *byte = was;
    }
}

/* Flips a bit of one byte after another of a tree's keys and values, in place. */
static void flip_entries(fixture *f, const vsi_btree *tree) {
    vsi_btree_cursor cursor;
    VT_EQ(vsi_btree_seek(&f->err, tree, (vsi_bytes){(const uint8_t *)"", 0}, &cursor), VS_OK);
    while (!vsi_btree_at_end(&cursor)) {
        vsi_node_item item = vsi_btree_entry(&cursor);
        flip_part(f, item.key, 0, "key");
        flip_part(f, item.value, trusted_bytes(&item), "value");
        VT_EQ(vsi_btree_next(&f->err, &cursor), VS_OK);
    }
    check_clean(f);
}

VT_TEST(flipped_bits_of_keys_metadata_payloads_live_bits_and_notes_are_found) {
    fixture f;
    begin(&f);
    flip_entries(&f, &f.coll->keys);
    flip_entries(&f, &f.coll->metadata);
    flip_entries(&f, &f.coll->payloads);
    flip_entries(&f, &f.coll->live);
    flip_entries(&f, &f.state.notes);
    end(&f);
}

/* Behind the header that all blocks have, a large value's block is the value. */
VT_TEST(flipped_bits_of_large_values_are_found) {
    fixture f;
    uint8_t slot[VSI_SLOT_KEY_BYTES], note[VSI_NOTE_KEY_BYTES_MAX];
    vsi_value value[3];
    vsi_payload payload;
    begin(&f);
    VT_EQ(vsi_payload_find(&f.err, &f.coll->payloads, VT_KEY(LARGE * 1000), &payload), VS_OK);
    VT_EQ(vsi_payload_find_piece(&f.err, &f.coll->payloads, VT_KEY(LARGE * 1000), &payload, 0,
                                 &value[2]),
          VS_OK);
    VT_EQ(vsi_value_find(&f.err, &f.coll->metadata, vsi_slot_encode(slot, 3), &value[0]), VS_OK);
    VT_EQ(vsi_value_find(&f.err, &f.state.notes,
                         vsi_note_encode(note, 0, (vsi_bytes){(const uint8_t *)"kkkk", 4}),
                         &value[1]),
          VS_OK);
    for (int i = 0; i < 3; i++) {
        const size_t bytes = i == 2 ? PIECE : LARGE_BYTES;
        VT_EQ(value[i].bytes, bytes);
        vsi_block *block = vsi_ref_block(vsi_ref_decode(value[i].item.refs));
        uint8_t *data = (uint8_t *)(block + 1);
        for (size_t at = 0; at < bytes; at += i == 2 ? 331 : 13) {
            data[at] ^= 4;
            check_finds(&f, "a value's hash is wrong");
            data[at] ^= 4;
        }
    }
    check_clean(&f);
    end(&f);
}

static void get_key_at(fixture *f, const vsi_btree *tree, uint64_t at, vsi_bytes *out_key,
                       uint8_t copy[VSI_NODE_ENTRY_MAX]) {
    vsi_btree_cursor cursor;
    VT_EQ(vsi_btree_seek(&f->err, tree, (vsi_bytes){(const uint8_t *)"", 0}, &cursor), VS_OK);
    for (; at > 0; at--)
        VT_EQ(vsi_btree_next(&f->err, &cursor), VS_OK);
    vsi_bytes key = vsi_btree_entry(&cursor).key;
    memcpy(copy, key.data, key.bytes);
    *out_key = (vsi_bytes){copy, key.bytes};
}

VT_TEST(an_entry_that_was_taken_out_is_found) {
    fixture f;
    begin(&f);
    vsi_btree *const tree[] = {&f.coll->keys, &f.coll->metadata, &f.coll->live, &f.coll->payloads,
                               &f.state.notes};
    for (size_t i = 0; i < sizeof tree / sizeof tree[0]; i++)
        for (uint64_t at = 0, count = tree[i]->count; at < count; at++) {
            uint8_t copy[VSI_NODE_ENTRY_MAX];
            vsi_bytes key;
            get_key_at(&f, tree[i], at, &key, copy);
            planting p = plant_begin(&f);
            VT_EQ(vsi_btree_delete(&f.err, tree[i], key), VS_OK);
            VT_CHECK(problems(&f, &f.state) > 0);
            plant_end(&f, p);
        }
    end(&f);
}

/* ---- values --------------------------------------------------------------------------------- */

static void plant_value(fixture *f, vsi_btree *tree, vsi_bytes key) {
    VT_EQ(vsi_value_put(&f->err, tree, key, (vsi_bytes){(const uint8_t *)"{}", 2},
                        vsi_hash128_of("{}", 2, 0)),
          VS_OK);
}

VT_TEST(metadata_of_a_slot_without_a_record_is_found) {
    fixture f;
    begin(&f);
    static const uint32_t slot[] = {DELETED, RECORDS, 1000, UINT32_MAX}; /* deleted, never used */
    for (size_t i = 0; i < sizeof slot / sizeof slot[0]; i++) {
        uint8_t key[VSI_SLOT_KEY_BYTES];
        planting p = plant_begin(&f);
        plant_value(&f, &f.coll->metadata, vsi_slot_encode(key, slot[i]));
        check_finds(&f, "metadata of a slot that is not live");
        plant_end(&f, p);
    }
    for (size_t n = 0; n < 8; n++) { /* keys that are no slots */
        static const uint8_t key[8] = {0};
        if (n == VSI_SLOT_KEY_BYTES)
            continue;
        planting p = plant_begin(&f);
        plant_value(&f, &f.coll->metadata, (vsi_bytes){key, n});
        check_finds(&f, "metadata of a slot that is not live");
        plant_end(&f, p);
    }
    end(&f);
}

VT_TEST(a_note_whose_key_is_malformed_is_found) {
    static const uint8_t key[][9] = {
        {0},
        {0, 0, 0, 0, 1, 0},           /* no name */
        {0, 0, 0, 0, 0, 0},           /* no name, and says so */
        {0, 0, 0, 0, 2, 0, 'a'},      /* says two bytes */
        {0, 0, 0, 0, 0, 1, 'a'},      /* says 256 */
        {0, 0, 0, 0, 1, 0, 'a', 'b'}, /* says one of two */
        {0, 0, 0, 0, 2, 0, 'a', 'b', 'c'},
    };
    static const size_t bytes[] = {1, 6, 6, 7, 7, 8, 9};
    static uint8_t long_key[VSI_NOTE_KEY_BYTES_MAX + 1];
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        planting p = plant_begin(&f);
        plant_value(&f, &f.state.notes, (vsi_bytes){key[i], bytes[i]});
        check_finds(&f, "a note's key is malformed");
        plant_end(&f, p);
    }
    vsi_put_u16(long_key + 4, VS_KV_KEY_BYTES_MAX + 1); /* one byte too long, and says so */
    planting p = plant_begin(&f);
    plant_value(&f, &f.state.notes, (vsi_bytes){long_key, sizeof long_key});
    check_finds(&f, "a note's key is malformed");
    plant_end(&f, p);
    end(&f);
}

VT_TEST(a_note_that_nobody_put_is_found_by_the_digest) {
    uint8_t key[VSI_NOTE_KEY_BYTES_MAX];
    fixture f;
    begin(&f);
    planting p = plant_begin(&f);
    plant_value(&f, &f.state.notes, vsi_note_encode(key, 0, (vsi_bytes){(const uint8_t *)"z", 1}));
    check_finds(&f, "digest");
    VT_EQ(problems(&f, &f.state), 1);
    plant_end(&f, p);
    end(&f);
}

VT_TEST(an_entry_that_holds_no_value_is_found) {
    static const uint8_t bytes[30] = {11};
    static const struct {
        size_t bytes;
        uint32_t refs;
    } bad[] = {{0, 0}, {19, 0}, {20, 0}, {30, 0}, {32, 0}, {21, 1}, {20, 2}, {19, 1}};
    uint8_t key[VSI_NOTE_KEY_BYTES_MAX], slot[VSI_SLOT_KEY_BYTES], refs[2 * VSI_REF_BYTES] = {0};
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int is_note = 0; is_note < 2; is_note++) {
            uint8_t value[32] = {0};
            memcpy(value, bytes, sizeof bytes);
            vsi_node_item item = {
                .value = {value, bad[i].bytes}, .refs = refs, .ref_count = bad[i].refs};
            item.key = is_note ? vsi_note_encode(key, 0, (vsi_bytes){(const uint8_t *)"z", 1})
                               : vsi_slot_encode(slot, 2);
            planting p = plant_begin(&f);
            VT_EQ(vsi_btree_put_item(&f.err, is_note ? &f.state.notes : &f.coll->metadata, &item),
                  VS_OK);
            check_finds(&f, "tree of values is malformed");
            plant_end(&f, p);
        }
    end(&f);
}

/* ---- payloads ------------------------------------------------------------------------------- */

/* The key of the entry of record i: number 0 is the head, 1 the first piece. */
static vsi_bytes payload_key(uint8_t out[VSI_PAYLOAD_KEY_BYTES_MAX], uint32_t i, uint32_t at) {
    vsi_bytes key = vsi_key_encode(out, VT_KEY(i * 1000));
    vsi_put_u32_be(out + key.bytes, at);
    return (vsi_bytes){out, key.bytes + 4};
}

/* An entry with the right hash of what it says. */
static void plant_payload(fixture *f, uint32_t i, uint32_t at, const void *data, size_t bytes) {
    uint8_t key[VSI_PAYLOAD_KEY_BYTES_MAX];
    VT_EQ(vsi_value_put(&f->err, &f->coll->payloads, payload_key(key, i, at),
                        (vsi_bytes){data, bytes}, vsi_hash128_of(data, bytes, 0)),
          VS_OK);
}

static void take_out(fixture *f, uint32_t i, uint32_t at) {
    uint8_t key[VSI_PAYLOAD_KEY_BYTES_MAX];
    VT_EQ(vsi_btree_delete(&f->err, &f->coll->payloads, payload_key(key, i, at)), VS_OK);
}

static void read_head(fixture *f, uint32_t i, uint8_t out[25]) {
    uint8_t key[VSI_PAYLOAD_KEY_BYTES_MAX];
    vsi_value value;
    vsi_buf buf = {.data = out, .cap = 25};
    VT_EQ(vsi_value_find(&f->err, &f->coll->payloads, payload_key(key, i, 0), &value), VS_OK);
    VT_EQ(vsi_value_read(&f->err, &f->coll->payloads, &value, &buf), VS_OK);
    VT_EQ(buf.bytes, 24);
}

VT_TEST(a_payload_whose_sum_is_wrong_is_found) {
    static uint8_t piece[PIECE];
    fixture f;
    uint8_t head[25] = {0};
    begin(&f);
    for (size_t at = 8; at < 24; at++) {
        planting p = plant_begin(&f);
        read_head(&f, LARGE, head);
        head[at] ^= 0x10;
        plant_payload(&f, LARGE, 0, head, 24);
        check_finds(&f, "coll-1: the sum of a payload's pieces is wrong");
        check_finds(&f, "the digest of its records is wrong");
        plant_end(&f, p);
    }
    for (uint32_t at = 1; at <= 2; at++) { /* the head is as it was, and so the digest */
        planting p = plant_begin(&f);
        plant_payload(&f, LARGE, at, piece, at == 1 ? PIECE : 7);
        check_finds(&f, "the sum of a payload's pieces is wrong");
        VT_EQ(problems(&f, &f.state), 1);
        plant_end(&f, p);
    }
    end(&f);
}

VT_TEST(pieces_that_changed_places_are_found) {
    static uint8_t first[PIECE], second[PIECE];
    fixture f;
    begin(&f);
    memset(first, 'p', PIECE);
    memset(second, 'q', PIECE);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    apply_payload(&f, 1, LARGE, 1, PIECE);
    VT_EQ(vsi_state_settle(&f.err, &f.state), VS_OK);
    vsi_cow_keep(&f.cow, mark);
    check_clean(&f);
    planting p = plant_begin(&f);
    plant_payload(&f, LARGE, 1, second, PIECE);
    plant_payload(&f, LARGE, 2, first, PIECE);
    check_finds(&f, "the sum of a payload's pieces is wrong");
    plant_end(&f, p);
    end(&f);
}

VT_TEST(pieces_that_are_missing_or_of_another_size_are_found) {
    static const uint8_t run[PIECE];
    static const struct {
        uint32_t i, at, bytes;
        const char *wanted;
    } bad[] = {
        {SMALL, 1, 0, "piece 0 of a payload has 0 bytes, expected 50"},
        {SMALL, 1, 49, "piece 0 of a payload has 49 bytes, expected 50"},
        {SMALL, 1, 51, "piece 0 of a payload has 51 bytes, expected 50"},
        {LARGE, 1, PIECE - 1, "piece 0 of a payload has 65535 bytes, expected 65536"},
        {LARGE, 1, 7, "piece 0 of a payload has 7 bytes, expected 65536"},
        {LARGE, 2, 8, "piece 1 of a payload has 8 bytes, expected 7"},
        {LARGE, 2, PIECE, "piece 1 of a payload has 65536 bytes, expected 7"},
    };
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        planting p = plant_begin(&f);
        plant_payload(&f, bad[i].i, bad[i].at, run, bad[i].bytes);
        check_finds(&f, bad[i].wanted);
        plant_end(&f, p);
        p = plant_begin(&f);
        take_out(&f, bad[i].i, bad[i].at);
        check_finds(&f, bad[i].at == 1 ? "piece 0 of a payload is missing"
                                       : "piece 1 of a payload is missing");
        plant_end(&f, p);
    }
    end(&f);
}

VT_TEST(pieces_of_no_payload_are_found) {
    fixture f;
    begin(&f);
    static const uint32_t at[] = {3, 4, 1 << 24, UINT32_MAX};
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) { /* behind the end */
        planting p = plant_begin(&f);
        plant_payload(&f, LARGE, at[i], "x", 1);
        check_finds(&f, "coll-1: there are pieces of no payload");
        VT_EQ(problems(&f, &f.state), 1);
        plant_end(&f, p);
    }
    planting p = plant_begin(&f); /* of a record without a payload, and of none */
    plant_payload(&f, 1, 1, "x", 1);
    check_finds(&f, "there are pieces of no payload");
    VT_EQ(problems(&f, &f.state), 1);
    plant_end(&f, p);
    p = plant_begin(&f);
    plant_payload(&f, 999, 1, "x", 1);
    check_finds(&f, "there are pieces of no payload");
    plant_end(&f, p);
    p = plant_begin(&f);
    take_out(&f, LARGE, 0);
    check_finds(&f, "there are pieces of no payload");
    check_finds(&f, "the digest of its records is wrong");
    check_finds(&f, "the bytes of all records are wrong");
    plant_end(&f, p);
    end(&f);
}

VT_TEST(a_head_that_is_malformed_is_found) {
    static const uint64_t bytes[] = {0, VS_PAYLOAD_BYTES_MAX + 1, UINT64_MAX};
    static const size_t sizes[] = {0, 1, 8, 23, 25, 2000};
    static uint8_t head[2000];
    fixture f;
    begin(&f);
    read_head(&f, SMALL, head);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        planting p = plant_begin(&f);
        plant_payload(&f, SMALL, 0, head, sizes[i]);
        check_finds(&f, "coll-1: the head of a payload is malformed");
        plant_end(&f, p);
    }
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        planting p = plant_begin(&f);
        vsi_put_u64(head, bytes[i]);
        plant_payload(&f, SMALL, 0, head, 24);
        check_finds(&f, "coll-1: the head of a payload is malformed");
        plant_end(&f, p);
    }
    planting p =
        plant_begin(&f); /* the largest that may be: ends with the first piece that is not */
    vsi_put_u64(head, VS_PAYLOAD_BYTES_MAX);
    plant_payload(&f, LARGE, 0, head, 24);
    check_finds(&f, "piece 1 of a payload has 7 bytes, expected 65536");
    plant_end(&f, p);
    end(&f);
}

VT_TEST(a_payload_without_a_record_is_found) {
    fixture f;
    begin(&f);
    static const uint32_t key[] = {DELETED, RECORDS, 1000};
    for (size_t i = 0; i < sizeof key / sizeof key[0]; i++) {
        vsi_payload payload = {.bytes = 0};
        planting p = plant_begin(&f);
        VT_EQ(vsi_payload_set(&f.err, &f.coll->payloads, VT_KEY(key[i] * 1000), 0,
                              (vsi_bytes){(const uint8_t *)"x", 1}, &payload),
              VS_OK);
        check_finds(&f, "coll-1: there is a payload without a record");
        plant_end(&f, p);
    }
    end(&f);
}

VT_TEST(a_payload_that_nobody_wrote_is_found_by_digest_and_bytes) {
    fixture f;
    begin(&f);
    vsi_payload payload = {.bytes = 0};
    planting p = plant_begin(&f);
    VT_EQ(vsi_payload_set(&f.err, &f.coll->payloads, VT_KEY(1000), 0,
                          (vsi_bytes){(const uint8_t *)"x", 1}, &payload),
          VS_OK);
    check_finds(&f, "coll-1: the digest of its records is wrong");
    check_finds(&f, "coll-1: the bytes of all records are wrong");
    VT_EQ(problems(&f, &f.state), 3); /* and the digest of all */
    plant_end(&f, p);
    end(&f);
}

VT_TEST(the_key_of_a_payload_that_is_malformed_is_found) {
    static const struct {
        uint8_t key[26];
        size_t bytes;
    } bad[] = {
        {{0}, 1},
        {{0, 1, 2}, 3},
        {{0, 0, 0, 0}, 4},                             /* no key */
        {{0, 1, 0, 0, 0, 0}, 6},                       /* a number of no bytes */
        {{0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, 13}, /* of seven */
        {{0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 15},
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 14},
        {{0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 14}, /* of an unknown type */
        {{2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 14}, /* a namespace that is none */
        {{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, 18},
        {{0, 2, 0, 0, 0, 0}, 6}, /* bytes, but none */
        {{0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 0, 0, 0}, 21}, /* no UUID */
    };
    static uint8_t long_key[2 + VS_KEY_BYTES_MAX + 1 + 4] = {0, 2};
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        planting p = plant_begin(&f);
        plant_value(&f, &f.coll->payloads, (vsi_bytes){bad[i].key, bad[i].bytes});
        check_finds(&f, "coll-1: the key of a payload is malformed");
        plant_end(&f, p);
    }
    planting p = plant_begin(&f);
    plant_value(&f, &f.coll->payloads, (vsi_bytes){long_key, sizeof long_key});
    check_finds(&f, "coll-1: the key of a payload is malformed");
    plant_end(&f, p);
    end(&f);
}

/* ---- descriptions --------------------------------------------------------------------------- */

VT_TEST(a_changed_description_is_found) {
    fixture f;
    begin(&f);
    vsi_desc *desc = f.coll->desc;
    desc->field[0].index[0] = 'x';
    check_finds(&f, "digest");
    desc->field[0].index[0] = 0;
    desc->field[0].metric++;
    check_finds(&f, "digest");
    desc->field[0].metric--;
    desc->created_us++;
    check_finds(&f, "digest");
    desc->created_us--;
    desc->id++;
    VT_CHECK(problems(&f, &f.state) > 0);
    desc->id--;
    check_clean(&f);
    end(&f);
}

VT_TEST(a_name_that_leads_elsewhere_or_is_malformed_is_found) {
    static const uint8_t name[] = {2, 'c', 'o', 'l', 'l', '-', '1'};
    fixture f;
    begin(&f);
    for (size_t bytes = 3; bytes <= 4; bytes++) {
        uint8_t id[4];
        vsi_put_u32(id, coll_id(0));
        planting p = plant_begin(&f);
        VT_EQ(vsi_btree_put(&f.err, &f.state.catalog, (vsi_bytes){name, sizeof name},
                            (vsi_bytes){id, bytes}),
              VS_OK);
        check_finds(&f, bytes == 4 ? "coll-1: its name does not lead to it"
                                   : "coll-1: catalog: a name's entry is malformed");
        plant_end(&f, p);
    }
    end(&f);
}

VT_TEST(an_id_above_the_largest_one_is_found) {
    fixture f;
    begin(&f);
    f.state.last_coll--;
    check_finds(&f, "coll-1: its id is above the largest one ever used");
    f.state.last_coll++;
    check_clean(&f);
    end(&f);
}

/* A key of another type with the same number, and a slot whose cell has that number. */
VT_TEST(a_second_entry_of_a_key_is_found) {
    fixture f;
    begin(&f);
    uint8_t key[VSI_KEY_BYTES_MAX], slot[4];
    vsi_key_encode(key, VT_KEY(0));
    key[1] = 2;
    vsi_put_u32(slot, 2);
    uint8_t *cell = row_in(&f, &f.coll->desc->cells, 2);
    uint64_t old = vsi_get_u64(cell);
    vsi_put_u64(cell, 0);
    planting p = plant_begin(&f);
    VT_EQ(vsi_btree_put(&f.err, &f.coll->keys, (vsi_bytes){key, sizeof key}, (vsi_bytes){slot, 4}),
          VS_OK);
    f.coll->count++;
    check_finds(&f, "coll-1: a slot belongs to another key");
    vsi_put_u64(cell, old);
    plant_end(&f, p);
    end(&f);
}

VT_TEST(a_chunk_of_the_live_bitmap_with_a_reference_is_found) {
    static const uint8_t key[6] = {0, 0, 0, 0, 0, 7}, zero[VSI_LIVE_CHUNK_BYTES],
                         ref[VSI_REF_BYTES];
    fixture f;
    begin(&f);
    vsi_node_item item = {
        .key = {key, 6}, .value = {zero, sizeof zero}, .refs = ref, .ref_count = 1};
    planting p = plant_begin(&f);
    VT_EQ(vsi_btree_put_item(&f.err, &f.coll->live, &item), VS_OK);
    check_finds(&f, "chunk of the live bitmap is malformed");
    plant_end(&f, p);
    end(&f);
}

VT_TEST(several_problems_are_all_reported) {
    fixture f;
    begin(&f);
    row_in(&f, &f.coll->desc->field[0].rows, 0)[0] ^= 1;
    row_in(&f, &f.coll->desc->field[0].rows, 4)[0] ^= 1;
    f.coll->count++;
    f.state.notes.count++;
    f.state.digest.lo++;
    VT_CHECK(problems(&f, &f.state) >= 5);
    check_finds(&f, "coll-1: a vector's hash is wrong");
    check_finds(&f, "coll-1: the count of records is wrong");
    check_finds(&f, "notes: ");
    check_finds(&f, "digest");
    end(&f);
}
