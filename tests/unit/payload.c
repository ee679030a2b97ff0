/* payload.c - the tree of payloads alone, against plain memory: what is found in it, its entries by
 * docs/FORMAT.md section 4, failures of memory, and trees that are damaged. */
#include "store/payload.h"
#include "vt.h"

enum { PIECE = 65536, KEYS = 7, PIECES = 4, HEAD_BYTES = 24 };

typedef struct model {
    struct {
        size_t bytes;
        uint8_t data[PIECES * PIECE];
    } payload[KEYS];
} model;

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
    vsi_btree tree;
    vsi_err err;
    vt_rng rng;
    model *m; /* owned, with the one that is gone back to */
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
    f->tree.cow = &f->cow;
    f->rng.state = vt_seed();
    f->m = calloc(2, sizeof *f->m);
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    VT_EQ(f->allocator.live_blocks, 0);
    free(f->m);
}

/* Some begin with others, up to what looks like the number behind them. */
static vs_key key_of(int i) {
    static uint8_t bytes[VS_KEY_BYTES_MAX] = {'a', 0, 0, 0, 1, 0, 0, 0, 0};
    static const vs_key keys[KEYS - 1] = {{.number = 0},
                                          {.number = UINT64_MAX, .space = 1},
                                          {0, "a", 1, VS_KEY_BYTES, 0},
                                          {0, "0123456789abcdef", 16, VS_KEY_UUID, 0},
                                          {0, "0123456789abcdef", 16, VS_KEY_BYTES, 7},
                                          {0, bytes, 5, VS_KEY_BYTES, 0}};
    return i < KEYS - 1 ? keys[i] : (vs_key){0, bytes, VS_KEY_BYTES_MAX, VS_KEY_BYTES, UINT32_MAX};
}

static uint32_t count_of(size_t bytes) {
    return (uint32_t)((bytes + PIECE - 1) / PIECE);
}

static void find(fixture *f, int i, vsi_payload *out) {
    VT_EQ(vsi_payload_find(&f->err, &f->tree, key_of(i), out), VS_OK);
}

/* ---- entries by the document ---------------------------------------------------------------- */

/* The key of an entry is the record's, and the number. */
static vsi_bytes entry_key(uint8_t out[VSI_PAYLOAD_KEY_BYTES_MAX], int i, uint32_t number) {
    vsi_bytes key = vsi_key_encode(out, key_of(i));
    for (int shift = 24; shift >= 0; shift -= 8)
        out[key.bytes++] = (uint8_t)(number >> shift);
    return (vsi_bytes){out, key.bytes};
}

static void check_entry(fixture *f, int i, uint32_t number, const void *expected, size_t bytes) {
    uint8_t key[VSI_PAYLOAD_KEY_BYTES_MAX];
    vsi_value value;
    vsi_buf buf = {.mem = &f->mem};
    VT_EQ(vsi_value_find(&f->err, &f->tree, entry_key(key, i, number), &value), VS_OK);
    vsi_hash128 hash = vsi_hash128_of(expected, bytes, 0);
    VT_CHECK(value.hash.lo == hash.lo && value.hash.hi == hash.hi);
    VT_EQ(vsi_value_read(&f->err, &f->tree, &value, &buf), VS_OK);
    VT_EQ(buf.bytes, bytes);
    VT_CHECK(!memcmp(buf.data, expected, bytes));
    vsi_buf_free(&buf);
}

/* All entries of one payload; how many. */
static uint64_t check_payload(fixture *f, int i) {
    const size_t bytes = f->m->payload[i].bytes;
    vsi_hash128 sum = {0, 0};
    vsi_payload found;
    uint8_t head[HEAD_BYTES];
    find(f, i, &found);
    VT_EQ(found.bytes, bytes);
    VT_EQ(vsi_payload_pieces(&found), count_of(bytes));
    for (uint32_t k = 0; k < count_of(bytes); k++) {
        const uint8_t *data = f->m->payload[i].data + (size_t)k * PIECE;
        size_t n = bytes - (size_t)k * PIECE < PIECE ? bytes - (size_t)k * PIECE : PIECE;
        uint8_t term[24] = {(uint8_t)k};
        vsi_hash128 hash = vsi_hash128_of(data, n, 0);
        vsi_put_u64(term + 8, hash.lo);
        vsi_put_u64(term + 16, hash.hi);
        vsi_hash128_add(&sum, vsi_hash128_of(term, sizeof term, 0));
        check_entry(f, i, 1 + k, data, n);
    }
    VT_CHECK(found.sum.lo == sum.lo && found.sum.hi == sum.hi);
    vsi_put_u64(head, bytes);
    vsi_put_u64(head + 8, sum.lo);
    vsi_put_u64(head + 16, sum.hi);
    vsi_hash128 hash = vsi_hash128_of(head, HEAD_BYTES, 0);
    if (bytes)
        check_entry(f, i, 0, head, HEAD_BYTES);
    VT_CHECK(bytes ? found.hash.lo == hash.lo && found.hash.hi == hash.hi
                   : !found.hash.lo && !found.hash.hi);
    return bytes ? 1 + count_of(bytes) : 0;
}

static void check_all(fixture *f) {
    const char *problem = NULL;
    uint64_t entries = 0;
    for (int i = 0; i < KEYS; i++)
        entries += check_payload(f, i);
    VT_EQ(f->tree.count, entries);
    VT_EQ(vsi_btree_check(&f->err, &f->tree, &problem), VS_OK);
    VT_CHECK(!problem);
}

/* ---- changes -------------------------------------------------------------------------------- */

typedef struct change {
    int i;
    uint32_t piece;
    size_t bytes;
    uint8_t data[PIECE];
} change;

static void random_change(fixture *f, change *out) {
    static const size_t sizes[] = {PIECE, PIECE, PIECE, PIECE - 1, 1, 100, 1200, 5000};
    out->i = (int)vt_below(&f->rng, KEYS);
    size_t now = f->m->payload[out->i].bytes, whole = now / PIECE;
    out->piece = (uint32_t)vt_below(&f->rng, whole < PIECES ? whole + 1 : PIECES);
    out->bytes = sizes[vt_below(&f->rng, sizeof sizes / sizeof sizes[0])];
    if (out->piece < count_of(now) && vt_below(&f->rng, 4) == 0)
        out->bytes = 0;
    memset(out->data, (int)vt_below(&f->rng, 3), out->bytes);
}

/* vsi_payload_set as payload.h says it, on plain memory. */
static void change_model(model *m, const change *c) {
    size_t at = (size_t)c->piece * PIECE, *bytes = &m->payload[c->i].bytes;
    memcpy(m->payload[c->i].data + at, c->data, c->bytes);
    if (c->bytes < PIECE || at + c->bytes > *bytes)
        *bytes = at + c->bytes;
}

static vs_status change_tree(fixture *f, const change *c, vsi_payload *io_payload) {
    return vsi_payload_set(&f->err, &f->tree, key_of(c->i), c->piece,
                           (vsi_bytes){c->data, c->bytes}, io_payload);
}

static void one_change(fixture *f) {
    static change c;
    vsi_payload payload, again;
    random_change(f, &c);
    find(f, c.i, &payload);
    VT_EQ(change_tree(f, &c, &payload), VS_OK);
    change_model(f->m, &c);
    find(f, c.i, &again); /* what the call says is what the tree says */
    VT_CHECK(!memcmp(&payload, &again, sizeof again));
}

static void commit(fixture *f, vsi_cow_mark mark) {
    vsi_cow_keep(&f->cow, mark);
    vsi_cow_free_dead(&f->cow, vsi_cow_take_dead(&f->cow));
}

VT_TEST(random_changes_agree_with_plain_memory_and_the_format) {
    fixture f;
    begin(&f);
    for (int round = 0; round < 400; round++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        const vsi_btree before = f.tree;
        f.m[1] = f.m[0];
        for (uint64_t n = 1 + vt_below(&f.rng, 5); n > 0; n--)
            one_change(&f);
        if (vt_below(&f.rng, 3) == 0) {
            vsi_cow_undo(&f.cow, mark);
            f.tree = before;
            f.m[0] = f.m[1];
        } else {
            commit(&f, mark);
        }
        check_all(&f);
    }
    end(&f);
}

/* Nothing of what is taken away stays: neither entries nor their blobs. */
VT_TEST(payloads_that_are_gone_leave_nothing) {
    fixture f;
    begin(&f);
    for (int round = 0; round < 20; round++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int n = 0; n < 20; n++)
            one_change(&f);
        for (int i = 0; i < KEYS; i++) {
            vsi_payload payload;
            find(&f, i, &payload);
            if (!payload.bytes)
                continue;
            VT_EQ(vsi_payload_set(&f.err, &f.tree, key_of(i), 0, (vsi_bytes){NULL, 0}, &payload),
                  VS_OK);
            VT_CHECK(!payload.bytes && !payload.sum.lo && !payload.sum.hi);
            f.m->payload[i].bytes = 0;
        }
        commit(&f, mark);
        check_all(&f);
        VT_EQ(f.tree.count, 0);
        VT_CHECK(!f.cow.newest);
    }
    end(&f);
}

/* The sum does not depend on the way. */
VT_TEST(the_same_bytes_have_the_same_head_however_they_came) {
    static uint8_t data[3 * PIECE];
    fixture f;
    vsi_payload one = {.bytes = 0}, other = {.bytes = 0};
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)vt_random(&f.rng);
    const struct {
        uint32_t piece;
        size_t bytes;
    } way[] = {{0, 9},     {0, PIECE}, {1, PIECE}, {2, PIECE}, {1, PIECE}, {0, 0},
               {0, PIECE}, {1, PIECE}, {2, 5},     {2, 0},     {2, 100}};
    for (size_t i = 0; i < sizeof way / sizeof way[0]; i++)
        VT_EQ(vsi_payload_set(&f.err, &f.tree, key_of(0), way[i].piece,
                              (vsi_bytes){data + (size_t)way[i].piece * PIECE, way[i].bytes}, &one),
              VS_OK);
    for (uint32_t piece = 0; piece < 3; piece++)
        VT_EQ(vsi_payload_set(&f.err, &f.tree, key_of(1), piece,
                              (vsi_bytes){data + (size_t)piece * PIECE, piece == 2 ? 100 : PIECE},
                              &other),
              VS_OK);
    VT_EQ(one.bytes, 2 * PIECE + 100);
    VT_CHECK(!memcmp(&one, &other, sizeof one));
    commit(&f, mark);
    end(&f);
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    static change c;
    fixture f;
    uint64_t refused = 0;
    begin(&f);
    for (int round = 0; round < 150; round++) {
        random_change(&f, &c);
        for (uint64_t at = 1;; at++) {
            vsi_payload payload;
            const vsi_btree before = f.tree;
            uint64_t failures = f.allocator.failures;
            find(&f, c.i, &payload);
            f.allocator.fail_at = f.allocator.calls + at;
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            vs_status st = change_tree(&f, &c, &payload);
            f.allocator.fail_at = 0;
            if (f.allocator.failures == failures) {
                VT_EQ(st, VS_OK);
                commit(&f, mark);
                change_model(f.m, &c);
                break;
            }
            VT_EQ(st, VS_ERR_NOMEM);
            vsi_cow_undo(&f.cow, mark);
            f.tree = before;
            if (round % 8 == 0)
                check_all(&f);
            refused++;
        }
    }
    VT_CHECK(refused > 150);
    check_all(&f);
    end(&f);
}

/* ---- keys ----------------------------------------------------------------------------------- */

VT_TEST(the_key_of_an_entry_is_taken_apart) {
    uint8_t bytes[VSI_PAYLOAD_KEY_BYTES_MAX];
    static const uint32_t numbers[] = {0, 1, 256, UINT32_MAX};
    for (int i = 0; i < KEYS; i++)
        for (size_t k = 0; k < sizeof numbers / sizeof numbers[0]; k++) {
            vs_key key;
            uint32_t at = 99;
            VT_CHECK(vsi_payload_key_of(entry_key(bytes, i, numbers[k]), &key, &at));
            VT_EQ(at, numbers[k]);
            VT_EQ(vsi_key_compare(key, key_of(i)), 0);
        }
}

VT_TEST(whatever_the_key_is_reading_it_stays_inside) {
    vt_rng rng = {vt_seed()};
    int accepted = 0;
    for (int round = 0; round < 100000; round++) {
        size_t n = vt_below(&rng, 24);
        uint8_t *bytes = malloc(n ? n : 1); /* exactly that size, for the sanitizer */
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)vt_below(&rng, 4);
        vs_key key;
        uint32_t at = 0;
        accepted += vsi_payload_key_of((vsi_bytes){bytes, n}, &key, &at);
        free(bytes);
    }
    VT_CHECK(accepted > 1000);
}

/* ---- damage --------------------------------------------------------------------------------- */

/* An entry with the right hash of what it says; more than that is the caller's. */
static void plant(fixture *f, int i, uint32_t number, const void *data, size_t bytes) {
    uint8_t key[VSI_PAYLOAD_KEY_BYTES_MAX];
    VT_EQ(vsi_value_put(&f->err, &f->tree, entry_key(key, i, number), (vsi_bytes){data, bytes},
                        vsi_hash128_of(data, bytes, 0)),
          VS_OK);
}

VT_TEST(heads_of_other_sizes_and_contents_are_refused) {
    static uint8_t data[3000] = {1};
    static const size_t sizes[] = {0, 1, 23, 25, 1340, 3000};
    static const uint64_t counts[] = {0, VS_PAYLOAD_BYTES_MAX + 1, UINT64_MAX};
    fixture f;
    vsi_payload payload;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int k = 0; k < KEYS; k += KEYS - 1) { /* the long key has its values in blobs sooner */
            plant(&f, k, 0, data, sizes[i]);
            VT_EQ(vsi_payload_find(&f.err, &f.tree, key_of(k), &payload), VS_ERR_CORRUPT);
            VT_CONTAINS(f.err.text, "expected 24");
            VT_CHECK(!payload.bytes);
            VT_EQ(vsi_payload_of_head(&f.err, (vsi_bytes){data, sizes[i]}, &payload),
                  VS_ERR_CORRUPT);
        }
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        vsi_put_u64(data, counts[i]);
        plant(&f, 0, 0, data, HEAD_BYTES);
        VT_EQ(vsi_payload_find(&f.err, &f.tree, key_of(0), &payload), VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, "malformed");
    }
    vsi_put_u64(data, VS_PAYLOAD_BYTES_MAX);
    plant(&f, 0, 0, data, HEAD_BYTES);
    VT_EQ(vsi_payload_find(&f.err, &f.tree, key_of(0), &payload), VS_OK);
    VT_EQ(vsi_payload_pieces(&payload), 1 << 24);
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

/* A head in a blob of its own, however right, is none: it would not be read without the file. */
VT_TEST(a_head_that_is_no_part_of_its_entry_is_refused) {
    fixture f;
    vsi_payload payload = {.bytes = 0};
    uint8_t key[VSI_PAYLOAD_KEY_BYTES_MAX], value[20] = {HEAD_BYTES}, ref[VSI_REF_BYTES] = {0};
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    vsi_node_item item = {
        .key = entry_key(key, 0, 0), .value = {value, sizeof value}, .refs = ref, .ref_count = 1};
    VT_EQ(vsi_btree_put_item(&f.err, &f.tree, &item), VS_OK);
    VT_EQ(vsi_payload_find(&f.err, &f.tree, key_of(0), &payload), VS_ERR_CORRUPT);
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

/* Any change of any entry: what reads and changes the payload says so, or does as if nothing were wrong. */
VT_TEST(random_damage_is_answered_and_ends_no_loop) {
    static uint8_t data[PIECE + 9];
    static change c;
    fixture f;
    uint64_t refused = 0;
    begin(&f);
    for (int round = 0; round < 800; round++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        const vsi_btree before = f.tree;
        f.m[1] = f.m[0];
        for (int n = 0; n < 6; n++)
            one_change(&f);
        random_change(&f, &c);
        for (uint64_t n = 1 + vt_below(&f.rng, 3); n > 0; n--) {
            vsi_put_u64(data, vt_random(&f.rng) >> vt_below(&f.rng, 64));
            size_t bytes = vt_below(&f.rng, 2) ? HEAD_BYTES : vt_below(&f.rng, sizeof data);
            plant(&f, c.i, (uint32_t)vt_below(&f.rng, 4), data, bytes);
        }
        vsi_payload payload;
        vs_status st = vsi_payload_find(&f.err, &f.tree, key_of(c.i), &payload);
        if (st == VS_OK && (uint64_t)c.piece * PIECE <= payload.bytes &&
            (c.bytes || c.piece < vsi_payload_pieces(&payload)))
            st = change_tree(&f, &c, &payload);
        VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
        refused += st != VS_OK;
        vsi_cow_undo(&f.cow, mark);
        f.tree = before;
        f.m[0] = f.m[1];
    }
    VT_CHECK(refused > 100 && refused < 800);
    check_all(&f);
    end(&f);
}

/* A bit of one key of the tree, in place; the same call takes it back. */
static void flip_key(fixture *f, uint64_t entry, size_t byte) {
    vsi_btree_cursor cursor;
    VT_EQ(vsi_btree_seek(&f->err, &f->tree, (vsi_bytes){(const uint8_t *)"", 0}, &cursor), VS_OK);
    for (; entry > 0; entry--)
        VT_EQ(vsi_btree_next(&f->err, &cursor), VS_OK);
    vsi_bytes key = vsi_btree_entry(&cursor).key;
    ((uint8_t *)(uintptr_t)key.data)[byte % key.bytes] ^= 0x41;
}

/* Nodes of a file are in order, but one beside the other need not be; what was found must not get lost while
 * nodes merge. */
VT_TEST(trees_whose_keys_are_out_of_order_are_answered) {
    static change c;
    fixture f;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int n = 0; n < 150; n++)
        one_change(&f);
    commit(&f, mark);
    for (int round = 0; round < 20000; round++) {
        uint64_t entry = vt_below(&f.rng, f.tree.count);
        size_t byte = vt_below(&f.rng, 12);
        const vsi_btree before = f.tree;
        vsi_payload payload;
        flip_key(&f, entry, byte);
        mark = vsi_cow_open(&f.cow);
        random_change(&f, &c);
        if (vt_below(&f.rng, 2)) /* all goes */
            c.bytes = c.piece = 0;
        vs_status st = vsi_payload_find(&f.err, &f.tree, key_of(c.i), &payload);
        if (st == VS_OK && (uint64_t)c.piece * PIECE <= payload.bytes &&
            (c.bytes || c.piece < vsi_payload_pieces(&payload)))
            st = change_tree(&f, &c, &payload);
        VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
        vsi_cow_undo(&f.cow, mark);
        f.tree = before;
        flip_key(&f, entry, byte);
    }
    check_all(&f);
    end(&f);
}
