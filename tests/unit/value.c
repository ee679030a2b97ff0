/* value.c - values of any size under keys of a tree. */
#include "store/value.h"
#include "vt.h"

enum { HEADER = 20, LARGE = 1024 * 1024 }; /* size and hash in front of a value */

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
    vsi_btree tree;
    vsi_err err;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
    f->tree.cow = &f->cow;
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

static void check_structure(fixture *f) {
    const char *problem = "not set";
    VT_EQ(vsi_btree_check(&f->err, &f->tree, &problem), VS_OK);
    if (problem)
        vt_fail(__FILE__, __LINE__, "%s", problem);
}

static void commit(fixture *f, vsi_cow_mark mark) {
    vsi_cow_keep(&f->cow, mark);
    vsi_cow_free_dead(&f->cow, vsi_cow_take_dead(&f->cow));
    check_structure(f);
}

/* Bytes that tell a value from others and its parts from each other. */
static const uint8_t *content(uint64_t seed, size_t bytes) {
    static uint8_t data[LARGE + 8];
    vt_rng rng = {seed};
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t r = vt_random(&rng);
        memcpy(data + i, &r, 8);
    }
    return data;
}

static vsi_hash128 hash_of(uint64_t seed) {
    return (vsi_hash128){vt_mix(seed), vt_mix(~seed)};
}

/* Key and value lie in blocks of exactly their sizes and are gone when the call returns: a
 * sanitizer sees a read too far, and the tree borrows nothing. */
static vs_status put_value(fixture *f, vsi_bytes key, uint64_t seed, size_t bytes) {
    uint8_t *k = malloc(key.bytes + 1), *v = malloc(bytes + 1);
    if (key.bytes)
        memcpy(k + 1, key.data, key.bytes);
    memcpy(v + 1, content(seed, bytes), bytes);
    vs_status st = vsi_value_put(&f->err, &f->tree, (vsi_bytes){k + 1, key.bytes},
                                 (vsi_bytes){bytes ? v + 1 : NULL, bytes}, hash_of(seed));
    free(k);
    free(v);
    return st;
}

static void put(fixture *f, vsi_bytes key, uint64_t seed, size_t bytes) {
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    VT_EQ(put_value(f, key, seed, bytes), VS_OK);
    commit(f, mark);
}

static void remove_value(fixture *f, vsi_bytes key) {
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    VT_EQ(vsi_value_delete(&f->err, &f->tree, key), VS_OK);
    commit(f, mark);
}

/* The value is found with its hash, and read behind what the buffer held. */
static void check_value(fixture *f, const vsi_btree *tree, vsi_bytes key, uint64_t seed,
                        size_t bytes) {
    vsi_value value = {0};
    vsi_buf buf = {.mem = &f->mem};
    VT_EQ(vsi_value_find(&f->err, tree, key, &value), VS_OK);
    VT_EQ(value.bytes, bytes);
    VT_CHECK(value.hash.lo == hash_of(seed).lo);
    VT_CHECK(value.hash.hi == hash_of(seed).hi);
    VT_CHECK(vsi_buf_append(&buf, "front", 5));
    VT_EQ(vsi_value_read(&f->err, tree, &value, &buf), VS_OK);
    VT_EQ(buf.bytes, 5 + bytes);
    VT_CHECK(!memcmp(buf.data, "front", 5));
    VT_CHECK(!memcmp(buf.data + 5, content(seed, bytes), bytes));
    vsi_buf_free(&buf);
}

/* Whether there is a value; where there is none, nothing is said or written. */
static bool is_there(fixture *f, vsi_bytes key) {
    vsi_value value = {.bytes = 77};
    vs_status st = vsi_value_find(&f->err, &f->tree, key, &value);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    VT_CHECK(st == VS_OK || value.bytes == 77);
    VT_EQ(f->err.code, VS_OK);
    VT_STR(f->err.text, "");
    return st == VS_OK;
}

/* How many references the entry of a key has: 1, to a blob, or 0. */
static uint32_t refs_of(fixture *f, vsi_bytes key) {
    vsi_value value = {0};
    VT_EQ(vsi_value_find(&f->err, &f->tree, key, &value), VS_OK);
    return value.item.ref_count;
}

static vsi_bytes key_of(size_t bytes) {
    static uint8_t key[VSI_VALUE_KEY_BYTES_MAX];
    memset(key, 'k', sizeof key);
    return (vsi_bytes){key, bytes};
}

static vsi_bytes text(const char *s) {
    return (vsi_bytes){(const uint8_t *)s, strlen(s)};
}

/* ---- sizes ---------------------------------------------------------------------------------- */

/* The largest value that has room in the entry of such a key. */
static size_t inline_most(size_t key_bytes) {
    return VSI_NODE_ENTRY_MAX - VSI_NODE_ENTRY_OVERHEAD - HEADER - key_bytes;
}

/* The value comes back, in a blob only if its entry has no room, and leaves no memory behind. */
static void check_size(size_t key_bytes, size_t bytes) {
    fixture f;
    begin(&f);
    put(&f, key_of(key_bytes), bytes + 1, bytes);
    check_value(&f, &f.tree, key_of(key_bytes), bytes + 1, bytes);
    bool is_large = bytes > inline_most(key_bytes);
    VT_EQ(refs_of(&f, key_of(key_bytes)), is_large);
    VT_EQ(f.allocator.live_blocks, is_large ? 2 : 1);
    VT_EQ(f.tree.count, 1);
    remove_value(&f, key_of(key_bytes));
    VT_CHECK(!is_there(&f, key_of(key_bytes)));
    VT_EQ(f.tree.count, 0);
    VT_EQ(f.allocator.live_blocks, 0);
    VT_EQ(f.allocator.live_bytes, 0);
    end(&f);
}

static const size_t key_sizes[] = {0, 1, 4, 16, 500, 1030, VSI_VALUE_KEY_BYTES_MAX};
enum { KEY_SIZES = sizeof key_sizes / sizeof key_sizes[0] };

VT_TEST(values_of_every_size_come_back_and_only_those_without_room_in_an_entry_are_blobs) {
    for (int i = 0; i < KEY_SIZES; i++)
        for (size_t bytes = 0; bytes < 9000; bytes += bytes < 1400 ? 1 : 37)
            check_size(key_sizes[i], bytes);
}

VT_TEST(values_around_a_page_come_back) {
    for (size_t bytes = VSI_PAGE_BYTES - 100; bytes <= VSI_PAGE_BYTES + 100; bytes++)
        check_size(16, bytes);
}

VT_TEST(values_of_1_mib_come_back) {
    for (int i = 0; i < KEY_SIZES; i += 2) {
        check_size(key_sizes[i], LARGE);
        check_size(key_sizes[i], LARGE - 1);
    }
}

VT_TEST(the_largest_inline_values_of_many_keys_fill_and_split_nodes) {
    fixture f;
    begin(&f);
    for (uint64_t i = 0; i < 60; i++) {
        uint8_t key[VSI_VALUE_KEY_BYTES_MAX] = {0};
        size_t bytes = key_sizes[1 + i % (KEY_SIZES - 1)];
        key[0] = (uint8_t)(i * 37);
        put(&f, (vsi_bytes){key, bytes}, i, inline_most(bytes) + i / 30);
    }
    for (uint64_t i = 0; i < 60; i++) {
        uint8_t key[VSI_VALUE_KEY_BYTES_MAX] = {0};
        size_t bytes = key_sizes[1 + i % (KEY_SIZES - 1)];
        key[0] = (uint8_t)(i * 37);
        check_value(&f, &f.tree, (vsi_bytes){key, bytes}, i, inline_most(bytes) + i / 30);
        VT_EQ(refs_of(&f, (vsi_bytes){key, bytes}), i / 30);
    }
    end(&f);
}

VT_TEST(reading_adds_what_is_there_and_finding_says_what_is_not) {
    fixture f;
    begin(&f);
    VT_CHECK(!is_there(&f, text("a")));
    put(&f, text("b"), 1, 0);
    put(&f, text("d"), 2, 7000);
    VT_CHECK(!is_there(&f, text("a")));
    VT_CHECK(!is_there(&f, text("c")));
    VT_CHECK(!is_there(&f, text("e")));
    VT_CHECK(!is_there(&f, text("")));
    check_value(&f, &f.tree, text("b"), 1, 0);
    check_value(&f, &f.tree, text("d"), 2, 7000);
    end(&f);
}

VT_TEST(any_hash_comes_back_with_a_value_in_the_entry_or_in_a_blob) {
    static const vsi_hash128 hashes[] = {
        {0, 0}, {UINT64_MAX, UINT64_MAX}, {1, 0}, {0, 1}, {0x0102030405060708, 0x1112131415161718}};
    for (size_t i = 0; i < 2 * sizeof hashes / sizeof hashes[0]; i++) {
        fixture f;
        vsi_value value = {0};
        vsi_hash128 hash = hashes[i / 2];
        size_t bytes = i % 2 ? 10 : 10000;
        begin(&f);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        VT_EQ(
            vsi_value_put(&f.err, &f.tree, text("a"), (vsi_bytes){content(1, bytes), bytes}, hash),
            VS_OK);
        commit(&f, mark);
        VT_EQ(vsi_value_find(&f.err, &f.tree, text("a"), &value), VS_OK);
        VT_CHECK(value.hash.lo == hash.lo && value.hash.hi == hash.hi);
        end(&f);
    }
}

/* ---- neighbours ----------------------------------------------------------------------------- */

enum { NEIGHBOURS_MAX = 210 };

/* Keys that continue each other: the same bytes with numbers, zeros and more behind them. */
static size_t make_neighbours(uint8_t key[][16], size_t *bytes) {
    static const uint8_t tail[][6] = {{0},          {1},          {2},    {255},
                                      {0, 0, 0, 1}, {1, 0, 0, 0}, {0, 1}, {0, 0, 0, 0, 0, 1},
                                      {1, 0},       {0, 0, 1}};
    static const char *const base[] = {"a", "ab", "a\0b"};
    size_t n = 0;
    for (size_t b = 0; b < 3; b++)
        for (size_t i = 0; i < sizeof tail / sizeof tail[0]; i++)
            for (size_t tail_bytes = 0; tail_bytes <= 6; tail_bytes++, n++) {
                memcpy(key[n], base[b], b + 1);
                memcpy(key[n] + b + 1, tail[i], tail_bytes);
                bytes[n] = b + 1 + tail_bytes;
            }
    return n;
}

/* The place of an equal key before place at, or at. */
static size_t first_equal(uint8_t key[][16], const size_t *bytes, size_t at) {
    for (size_t i = 0; i < at; i++)
        if (bytes[i] == bytes[at] && !memcmp(key[i], key[at], bytes[at]))
            return i;
    return at;
}

VT_TEST(values_under_keys_that_continue_each_other_keep_apart) {
    fixture f;
    uint8_t key[NEIGHBOURS_MAX][16];
    size_t bytes[NEIGHBOURS_MAX], n = make_neighbours(key, bytes);
    bool is_put[NEIGHBOURS_MAX] = {false};
    VT_CHECK(n <= NEIGHBOURS_MAX);
    begin(&f);
    for (size_t i = 0; i < n; i++) {
        vsi_bytes k = {key[i], bytes[i]};
        is_put[i] = first_equal(key, bytes, i) == i;
        VT_EQ(is_there(&f, k), !is_put[i]);
        if (is_put[i])
            put(&f, k, i, 900 * (i % 5));
    }
    for (size_t i = 0; i < n; i++)
        if (is_put[i])
            check_value(&f, &f.tree, (vsi_bytes){key[i], bytes[i]}, i, 900 * (i % 5));
    for (size_t i = 0; i < n; i += 2)
        if (is_put[i]) {
            remove_value(&f, (vsi_bytes){key[i], bytes[i]});
            VT_CHECK(!is_there(&f, (vsi_bytes){key[i], bytes[i]}));
        }
    for (size_t i = 1; i < n; i += 2)
        if (is_put[i])
            check_value(&f, &f.tree, (vsi_bytes){key[i], bytes[i]}, i, 900 * (i % 5));
    end(&f);
}

/* The place of this key. */
static size_t place_of(uint8_t key[][16], const size_t *bytes, size_t n, vsi_bytes k) {
    size_t at = 0;
    while (at < n && (bytes[at] != k.bytes || memcmp(key[at], k.data, k.bytes)))
        at++;
    VT_CHECK(at < n);
    return at;
}

VT_TEST(a_walk_meets_each_value_once_under_its_own_key) {
    fixture f;
    uint8_t key[NEIGHBOURS_MAX][16];
    size_t bytes[NEIGHBOURS_MAX], n = make_neighbours(key, bytes), expected = 0, found = 0;
    bool is_seen[NEIGHBOURS_MAX] = {false};
    vsi_btree_cursor cursor;
    begin(&f);
    for (size_t i = 0; i < n; i++)
        if (first_equal(key, bytes, i) == i) {
            put(&f, (vsi_bytes){key[i], bytes[i]}, i, 1100 * (i % 4));
            expected++;
        }
    VT_EQ(f.tree.count, expected);
    VT_EQ(vsi_btree_seek(&f.err, &f.tree, (vsi_bytes){NULL, 0}, &cursor), VS_OK);
    while (!vsi_btree_at_end(&cursor)) {
        vsi_value value = {0};
        VT_EQ(vsi_value_of_item(&f.err, vsi_btree_entry(&cursor), &value), VS_OK);
        size_t at = place_of(key, bytes, n, value.item.key);
        VT_CHECK(!is_seen[at]);
        is_seen[at] = true;
        found++;
        VT_EQ(value.bytes, 1100 * (at % 4));
        vsi_buf buf = {.mem = &f.mem};
        VT_EQ(vsi_value_read(&f.err, &f.tree, &value, &buf), VS_OK);
        VT_EQ(buf.bytes, value.bytes);
        VT_CHECK(!buf.bytes || !memcmp(buf.data, content(at, value.bytes), buf.bytes));
        vsi_buf_free(&buf);
        VT_EQ(vsi_btree_next(&f.err, &cursor), VS_OK);
    }
    VT_EQ(found, expected);
    end(&f);
}

/* ---- entries that hold no value ------------------------------------------------------------- */

/* An entry of a file: a size, so many bytes in all, and references. */
static vs_status take_item(vsi_err *err, uint32_t size, size_t bytes, uint32_t refs,
                           vsi_value *out_value) {
    uint8_t *data = malloc(bytes ? bytes : 1), *ref = malloc(VSI_NODE_REFS_MAX * VSI_REF_BYTES);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(i < 4 ? size >> 8 * i : i);
    vsi_node_item item = {.value = {data, bytes}, .refs = ref, .ref_count = refs};
    vs_status st = vsi_value_of_item(err, item, out_value);
    free(data);
    free(ref);
    return st;
}

static void expect_corrupt(uint32_t size, size_t bytes, uint32_t refs) {
    vsi_err err = {0};
    vsi_value value = {.bytes = 77};
    VT_EQ(take_item(&err, size, bytes, refs, &value), VS_ERR_CORRUPT);
    VT_EQ(err.code, VS_ERR_CORRUPT);
    VT_CHECK(err.text[0]);
    VT_EQ(value.bytes, 77); /* written on success only */
}

static void expect_sound(uint32_t size, size_t bytes, uint32_t refs) {
    vsi_err err = {0};
    vsi_value value = {0};
    VT_EQ(take_item(&err, size, bytes, refs, &value), VS_OK);
    VT_EQ(value.bytes, size);
    VT_CHECK(value.hash.lo == 0x0b0a090807060504);
    VT_CHECK(value.hash.hi == 0x131211100f0e0d0c);
}

VT_TEST(entries_that_hold_no_value_are_corrupt) {
    for (size_t bytes = 0; bytes < HEADER; bytes++)
        for (uint32_t refs = 0; refs < 3; refs++)
            expect_corrupt((uint32_t)bytes, bytes, refs);
    for (uint32_t size = 0; size < 300; size++) {
        expect_sound(size, HEADER + size, 0);
        expect_corrupt(size + 1, HEADER + size, 0);
        expect_corrupt(UINT32_MAX - size, HEADER + size, 0);
        if (size)
            expect_corrupt(size - 1, HEADER + size, 0);
    }
}

VT_TEST(an_entry_of_a_blob_has_one_reference_and_no_bytes_of_the_value) {
    expect_sound(100000, HEADER, 1);
    expect_sound(UINT32_MAX, HEADER, 1);
    expect_corrupt(100000, HEADER, 0);
    expect_corrupt(10, HEADER + 10, 1);
    for (uint32_t refs = 2; refs <= VSI_NODE_REFS_MAX; refs++) {
        expect_corrupt(100000, HEADER, refs);
        expect_corrupt(0, HEADER, refs);
    }
}

VT_TEST(an_entry_of_the_tree_that_holds_no_value_is_neither_found_nor_deleted) {
    fixture f;
    vsi_value value;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_EQ(vsi_btree_put(&f.err, &f.tree, text("a"), text("short")), VS_OK);
    commit(&f, mark);
    VT_EQ(vsi_value_find(&f.err, &f.tree, text("a"), &value), VS_ERR_CORRUPT);
    mark = vsi_cow_open(&f.cow);
    VT_EQ(vsi_value_delete(&f.err, &f.tree, text("a")), VS_ERR_CORRUPT);
    vsi_cow_undo(&f.cow, mark);
    VT_EQ(f.tree.count, 1);
    end(&f);
}

/* ---- memory --------------------------------------------------------------------------------- */

VT_TEST(a_deleted_value_gives_its_memory_back_whatever_else_is_there) {
    static const size_t sizes[] = {0, 1, 1000, 1313, 1314, 5000, LARGE};
    fixture f;
    begin(&f);
    put(&f, text("a"), 1, 5000);
    put(&f, text("z"), 2, 10);
    uint64_t blocks = f.allocator.live_blocks, bytes = f.allocator.live_bytes;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        put(&f, text("m"), 3, sizes[i]);
        remove_value(&f, text("m"));
        VT_EQ(f.allocator.live_blocks, blocks);
        VT_EQ(f.allocator.live_bytes, bytes);
    }
    check_value(&f, &f.tree, text("a"), 1, 5000);
    check_value(&f, &f.tree, text("z"), 2, 10);
    end(&f);
}

VT_TEST(a_value_put_and_deleted_in_one_transaction_leaves_nothing_even_through_inner_scopes) {
    for (int is_nested = 0; is_nested < 2; is_nested++) {
        fixture f;
        begin(&f);
        put(&f, text("a"), 1, 5000);
        uint64_t blocks = f.allocator.live_blocks, bytes = f.allocator.live_bytes;
        vsi_cow_mark outer = vsi_cow_open(&f.cow), inner = {0};
        VT_EQ(put_value(&f, text("b"), 2, 7000), VS_OK);
        if (is_nested)
            inner = vsi_cow_open(&f.cow);
        VT_EQ(vsi_value_delete(&f.err, &f.tree, text("b")), VS_OK);
        if (is_nested)
            vsi_cow_keep(&f.cow, inner);
        commit(&f, outer);
        VT_EQ(f.allocator.live_blocks, blocks);
        VT_EQ(f.allocator.live_bytes, bytes);
        check_value(&f, &f.tree, text("a"), 1, 5000);
        end(&f);
    }
}

/* ---- versions and failures ------------------------------------------------------------------ */

VT_TEST(an_older_version_keeps_its_values) {
    fixture f;
    begin(&f);
    put(&f, text("a"), 1, 5000);
    put(&f, text("b"), 2, 10);
    const vsi_btree old = f.tree;
    uint64_t blocks = f.allocator.live_blocks;
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_EQ(vsi_value_delete(&f.err, &f.tree, text("a")), VS_OK);
    VT_EQ(put_value(&f, text("a"), 3, 4000), VS_OK);
    vsi_cow_keep(&f.cow, mark);
    check_value(&f, &f.tree, text("a"), 3, 4000);
    check_value(&f, &old, text("a"), 1, 5000);
    check_value(&f, &old, text("b"), 2, 10);
    VT_CHECK(f.allocator.live_blocks > blocks);
    vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
    check_value(&f, &f.tree, text("a"), 3, 4000);
    check_value(&f, &f.tree, text("b"), 2, 10);
    VT_EQ(f.allocator.live_blocks, blocks);
    end(&f);
}

VT_TEST(undo_brings_deleted_values_back_and_takes_new_ones_away) {
    fixture f;
    begin(&f);
    put(&f, text("a"), 1, LARGE);
    put(&f, text("b"), 2, 10);
    const vsi_btree before = f.tree;
    uint64_t blocks = f.allocator.live_blocks, bytes = f.allocator.live_bytes;
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_EQ(vsi_value_delete(&f.err, &f.tree, text("a")), VS_OK);
    VT_EQ(vsi_value_delete(&f.err, &f.tree, text("b")), VS_OK);
    VT_EQ(put_value(&f, text("a"), 3, 8000), VS_OK);
    VT_EQ(put_value(&f, text("c"), 4, 9000), VS_OK);
    VT_EQ(vsi_value_delete(&f.err, &f.tree, text("c")), VS_OK);
    vsi_cow_undo(&f.cow, mark);
    f.tree = before;
    VT_EQ(f.allocator.live_blocks, blocks);
    VT_EQ(f.allocator.live_bytes, bytes);
    check_structure(&f);
    check_value(&f, &f.tree, text("a"), 1, LARGE);
    check_value(&f, &f.tree, text("b"), 2, 10);
    VT_CHECK(!is_there(&f, text("c")));
    end(&f);
}

/* Puts or deletes with one allocation failing; whether it went through all the same. */
static bool change_without_memory(fixture *f, bool is_put, size_t bytes, uint64_t at) {
    const vsi_btree before = f->tree;
    uint64_t blocks = f->allocator.live_blocks;
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    f->allocator.fail_at = f->allocator.calls + at;
    vs_status st =
        is_put ? put_value(f, text("n"), 9, bytes) : vsi_value_delete(&f->err, &f->tree, text("a"));
    bool is_done = st == VS_OK;
    VT_CHECK(is_done || st == VS_ERR_NOMEM);
    VT_EQ(is_done, f->allocator.calls < f->allocator.fail_at);
    VT_EQ(f->err.code, st);
    f->allocator.fail_at = 0;
    f->err = (vsi_err){0};
    check_value(f, &before, text("a"), 1, bytes); /* before the undo, too */
    vsi_cow_undo(&f->cow, mark);
    f->tree = before;
    VT_EQ(f->allocator.live_blocks, blocks);
    check_structure(f);
    check_value(f, &f->tree, text("a"), 1, bytes);
    VT_CHECK(!is_there(f, text("n")));
    return is_done;
}

/* The value and others that fill its leaf when it is small, so that another makes it split. */
static void fill(fixture *f, size_t bytes) {
    put(f, text("a"), 1, bytes);
    put(f, text("o"), 2, 1300);
    put(f, text("p"), 3, 1300);
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    static const size_t sizes[] = {1300, 6000};
    for (int i = 0; i < 4; i++) {
        fixture f;
        bool is_put = i % 2;
        uint64_t at = 1;
        begin(&f);
        fill(&f, sizes[i / 2]);
        while (!change_without_memory(&f, is_put, sizes[i / 2], at))
            at++;
        VT_CHECK(at > (is_put ? 2 : 1)); /* the leaf; of a put also the blob or the split */
        end(&f);
    }
}

VT_TEST(reading_without_memory_says_so_and_leaves_the_buffer_as_it_was) {
    static const size_t sizes[] = {100, 5000};
    for (int i = 0; i < 2; i++) {
        fixture f;
        vsi_value value;
        begin(&f);
        put(&f, text("a"), 1, sizes[i]);
        vsi_buf buf = {.mem = &f.mem};
        VT_CHECK(vsi_buf_append(&buf, "front", 5));
        VT_CHECK(vsi_buf_reserve(&buf, 1));
        while (buf.bytes < buf.cap)
            VT_CHECK(vsi_buf_append(&buf, "x", 1));
        size_t bytes = buf.bytes;
        VT_EQ(vsi_value_find(&f.err, &f.tree, text("a"), &value), VS_OK);
        f.allocator.fail_at = f.allocator.calls + 1;
        VT_EQ(vsi_value_read(&f.err, &f.tree, &value, &buf), VS_ERR_NOMEM);
        VT_EQ(f.err.code, VS_ERR_NOMEM);
        VT_EQ(f.allocator.failures, 1);
        VT_EQ(buf.bytes, bytes);
        VT_CHECK(!memcmp(buf.data, "front", 5));
        vsi_buf_free(&buf);
        end(&f);
    }
}

/* Every size of a value, from nothing to many pages. */
static size_t random_size(vt_rng *rng) {
    size_t most = vt_below(rng, 20) ? 9000 : 200000;
    return vt_below(rng, most) >> vt_below(rng, 12);
}

VT_TEST(random_values_agree_with_a_plain_list) {
    enum { KEYS = 40 };
    fixture f;
    size_t bytes[KEYS], count = 0;
    uint64_t seed[KEYS] = {0}; /* 0: there is none */
    vt_rng rng = {vt_seed()};
    begin(&f);
    for (uint64_t round = 1; round <= 1200; round++) {
        uint8_t key[KEYS + 1];
        size_t at = vt_below(&rng, KEYS);
        memset(key, 0, sizeof key); /* every key is the start of the next */
        vsi_bytes k = {key, at};
        VT_EQ(is_there(&f, k), seed[at] != 0);
        if (seed[at]) {
            check_value(&f, &f.tree, k, seed[at], bytes[at]);
            remove_value(&f, k);
            seed[at] = 0;
            count--;
        } else {
            seed[at] = round;
            bytes[at] = random_size(&rng);
            put(&f, k, seed[at], bytes[at]);
            count++;
        }
        VT_EQ(f.tree.count, count);
    }
    for (size_t at = 0; at < KEYS; at++) {
        uint8_t key[KEYS] = {0};
        if (seed[at])
            check_value(&f, &f.tree, (vsi_bytes){key, at}, seed[at], bytes[at]);
    }
    end(&f);
}
