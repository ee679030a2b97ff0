/* value.c - values of any size under keys of a tree. */
#include "store/value.h"
#include "vt.h"

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
    vsi_btree tree;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

static void commit(fixture *f, vsi_cow_mark mark) {
    vsi_cow_keep(&f->cow, mark);
    vsi_cow_free_dead(&f->cow, vsi_cow_take_dead(&f->cow));
    const char *problem = vsi_btree_check(&f->tree);
    if (problem)
        vt_fail(__FILE__, __LINE__, "%s", problem);
}

enum { LARGE = 100 * 1024 };

/* Bytes that tell a value from others and its chunks from each other. */
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

static void put(fixture *f, vsi_bytes key, uint64_t seed, size_t bytes) {
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    vsi_bytes value = {content(seed, bytes), bytes};
    VT_CHECK(vsi_value_put(&f->cow, &f->tree, key, value, hash_of(seed)));
    commit(f, mark);
}

static void delete (fixture *f, vsi_bytes key) {
    vsi_value_info info = {0};
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    VT_CHECK(vsi_value_find(&f->tree, key, &info));
    VT_CHECK(vsi_value_delete(&f->cow, &f->tree, key, info));
    commit(f, mark);
}

/* The value is found with its hash, and read behind what the buffer held. */
static void check_value(fixture *f, const vsi_btree *tree, vsi_bytes key, uint64_t seed,
                        size_t bytes) {
    vsi_value_info info = {0};
    vsi_buf buf = {.mem = &f->mem};
    VT_CHECK(vsi_value_find(tree, key, &info));
    VT_EQ(info.bytes, bytes);
    VT_CHECK(info.hash.lo == hash_of(seed).lo);
    VT_CHECK(info.hash.hi == hash_of(seed).hi);
    VT_CHECK(vsi_buf_append(&buf, "front", 5));
    VT_CHECK(vsi_value_read(tree, key, info, &buf));
    VT_EQ(buf.bytes, 5 + bytes);
    VT_CHECK(!memcmp(buf.data, "front", 5));
    VT_CHECK(!memcmp(buf.data + 5, content(seed, bytes), bytes));
    vsi_buf_free(&buf);
}

static bool is_there(const fixture *f, vsi_bytes key) {
    vsi_value_info info;
    return vsi_value_find(&f->tree, key, &info);
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

static void check_size(size_t key_bytes, size_t bytes) {
    fixture f;
    begin(&f);
    put(&f, key_of(key_bytes), bytes + 1, bytes);
    check_value(&f, &f.tree, key_of(key_bytes), bytes + 1, bytes);
    delete (&f, key_of(key_bytes));
    VT_CHECK(!is_there(&f, key_of(key_bytes)));
    VT_EQ(f.tree.count, 0);
    end(&f);
}

static const size_t key_sizes[] = {1, 4, 16, 500, 1030, VSI_VALUE_KEY_BYTES_MAX};
enum { KEY_SIZES = sizeof key_sizes / sizeof key_sizes[0] };

/* Every size up to several chunks: the borders between chunks are among them, wherever they are. */
VT_TEST(values_of_every_size_around_every_chunk_border_come_back) {
    for (int i = 0; i < KEY_SIZES; i++)
        for (size_t bytes = 0; bytes < 5000; bytes += bytes < 1400 || bytes % 64 < 2 ? 1 : 3)
            check_size(key_sizes[i], bytes);
}

VT_TEST(values_of_100_kb_come_back) {
    for (int i = 0; i < KEY_SIZES; i++) {
        check_size(key_sizes[i], LARGE);
        check_size(key_sizes[i], LARGE - 1);
    }
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

/* ---- neighbours ----------------------------------------------------------------------------- */

/* Keys of one tree are prefix-free, here by their length in front; else chunks of one value could
 * be taken for another. */
static size_t make_key(const void *base, size_t base_bytes, const uint8_t *tail, size_t tail_bytes,
                       uint8_t out[16]) {
    out[0] = (uint8_t)(base_bytes + tail_bytes);
    memcpy(out + 1, base, base_bytes);
    memcpy(out + 1 + base_bytes, tail, tail_bytes);
    return 1 + base_bytes + tail_bytes;
}

/* Keys that look like numbered chunks of each other: the same bytes with numbers, zeros and more
 * behind them. */
static size_t make_neighbours(uint8_t key[][16], size_t *bytes) {
    static const uint8_t tail[][6] = {{0},          {1},          {2},    {255},
                                      {0, 0, 0, 1}, {1, 0, 0, 0}, {0, 1}, {0, 0, 0, 0, 0, 1},
                                      {1, 0},       {0, 0, 1}};
    static const char *const base[] = {"a", "ab", "a\0b"};
    size_t n = 0;
    for (size_t b = 0; b < 3; b++)
        for (size_t i = 0; i < sizeof tail / sizeof tail[0]; i++)
            for (size_t tail_bytes = 0; tail_bytes <= 6; tail_bytes++, n++)
                bytes[n] = make_key(base[b], b + 1, tail[i], tail_bytes, key[n]);
    return n;
}

enum { NEIGHBOURS_MAX = 210 };

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
            delete (&f, (vsi_bytes){key[i], bytes[i]});
            VT_CHECK(!is_there(&f, (vsi_bytes){key[i], bytes[i]}));
        }
    for (size_t i = 1; i < n; i += 2)
        if (is_put[i])
            check_value(&f, &f.tree, (vsi_bytes){key[i], bytes[i]}, i, 900 * (i % 5));
    end(&f);
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
    VT_CHECK(f.tree.count > expected); /* some values have several entries */
    for (vsi_btree_seek(&f.tree, (vsi_bytes){NULL, 0}, &cursor); !vsi_btree_at_end(&cursor);
         vsi_btree_next(&cursor)) {
        vsi_bytes entry_key, value, k;
        vsi_btree_entry(&cursor, &entry_key, &value);
        if (!vsi_value_is_first(entry_key, &k))
            continue;
        size_t at = 0;
        while (at < n && (bytes[at] != k.bytes || memcmp(key[at], k.data, k.bytes)))
            at++;
        VT_CHECK(at < n);
        VT_CHECK(!is_seen[at]);
        is_seen[at] = true;
        found++;
    }
    VT_EQ(found, expected);
    end(&f);
}

/* ---- versions and failures ------------------------------------------------------------------ */

VT_TEST(an_older_version_keeps_its_values) {
    fixture f;
    begin(&f);
    put(&f, text("a"), 1, 5000);
    put(&f, text("b"), 2, 10);
    const vsi_btree old = f.tree;
    vsi_value_info info;
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_CHECK(vsi_value_find(&f.tree, text("a"), &info));
    VT_CHECK(vsi_value_delete(&f.cow, &f.tree, text("a"), info));
    VT_CHECK(
        vsi_value_put(&f.cow, &f.tree, text("a"), (vsi_bytes){content(3, 4000), 4000}, hash_of(3)));
    vsi_cow_keep(&f.cow, mark);
    check_value(&f, &f.tree, text("a"), 3, 4000);
    check_value(&f, &old, text("a"), 1, 5000);
    check_value(&f, &old, text("b"), 2, 10);
    vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
    check_value(&f, &f.tree, text("a"), 3, 4000);
    end(&f);
}

/* Puts or deletes with one allocation failing; whether it went through all the same. */
static bool change_without_memory(fixture *f, bool is_put, uint64_t at) {
    vsi_value_info info = {0};
    const vsi_btree before = f->tree;
    uint64_t blocks = f->allocator.live_blocks;
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    VT_CHECK(is_put || vsi_value_find(&f->tree, text("a"), &info));
    f->allocator.fail_at = f->allocator.calls + at;
    bool is_done = is_put ? vsi_value_put(&f->cow, &f->tree, text("n"),
                                          (vsi_bytes){content(9, 6000), 6000}, hash_of(9))
                          : vsi_value_delete(&f->cow, &f->tree, text("a"), info);
    VT_EQ(is_done, f->allocator.calls < f->allocator.fail_at);
    f->allocator.fail_at = 0;
    vsi_cow_undo(&f->cow, mark);
    f->tree = before;
    VT_EQ(f->allocator.live_blocks, blocks);
    VT_CHECK(!vsi_btree_check(&f->tree));
    check_value(f, &f->tree, text("a"), 1, 5000);
    VT_CHECK(!is_there(f, text("n")));
    return is_done;
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    for (int is_put = 0; is_put < 2; is_put++) {
        fixture f;
        uint64_t at = 1;
        begin(&f);
        put(&f, text("a"), 1, 5000);
        while (!change_without_memory(&f, is_put, at))
            at++;
        VT_CHECK(at > 2);
        end(&f);
    }
}

VT_TEST(reading_without_memory_says_so) {
    fixture f;
    vsi_value_info info;
    begin(&f);
    put(&f, text("a"), 1, 5000);
    vsi_buf buf = {.mem = &f.mem};
    VT_CHECK(vsi_value_find(&f.tree, text("a"), &info));
    f.allocator.fail_at = f.allocator.calls + 1;
    VT_CHECK(!vsi_value_read(&f.tree, text("a"), info, &buf));
    VT_EQ(f.allocator.failures, 1);
    vsi_buf_free(&buf);
    end(&f);
}

VT_TEST(random_values_agree_with_a_plain_list) {
    enum { KEYS = 40 };
    fixture f;
    size_t bytes[KEYS];
    uint64_t seed[KEYS] = {0}; /* 0: there is none */
    vt_rng rng = {vt_seed()};
    begin(&f);
    for (uint64_t round = 1; round <= 600; round++) {
        uint8_t key[KEYS + 1];
        size_t at = vt_below(&rng, KEYS);
        memset(key, 0, sizeof key); /* all alike but for their length in front */
        key[0] = (uint8_t)at;
        vsi_bytes k = {key, at + 1};
        VT_EQ(is_there(&f, k), seed[at] != 0);
        if (seed[at]) {
            check_value(&f, &f.tree, k, seed[at], bytes[at]);
            delete (&f, k);
            seed[at] = 0;
        } else {
            seed[at] = round;
            bytes[at] = vt_below(&rng, 9000) >> vt_below(&rng, 12);
            put(&f, k, seed[at], bytes[at]);
        }
    }
    end(&f);
}
