/* btree.c - the B+tree against a sorted array. */
#include "store/btree.h"
#include "vt.h"

enum {
    ROOM = VSI_BTREE_ENTRY_MAX - VSI_BTREE_ENTRY_OVERHEAD, /* of a key and its value */
    KEY_MAX = 1050
};

/* ---- a sorted array ------------------------------------------------------------------------- */

typedef struct pair {
    struct pair *next; /* all that were ever made */
    uint32_t key_bytes, value_bytes;
    uint8_t data[]; /* the key, then the value */
} pair;

/* Copying `at` copies the version: pairs never change. */
typedef struct oracle {
    pair **at;
    size_t count, cap;
} oracle;

static vsi_bytes key_of(const pair *p) {
    return (vsi_bytes){p->data, p->key_bytes};
}

static int compare(vsi_bytes a, vsi_bytes b) {
    size_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* The place of the first pair whose key is key or greater. */
static size_t lower_bound(const oracle *o, vsi_bytes key) {
    size_t from = 0, to = o->count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (compare(key_of(o->at[middle]), key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static bool oracle_has(const oracle *o, vsi_bytes key, size_t *out_at) {
    *out_at = lower_bound(o, key);
    return *out_at < o->count && compare(key_of(o->at[*out_at]), key) == 0;
}

static void oracle_put(oracle *o, pair *p) {
    size_t at;
    if (!oracle_has(o, key_of(p), &at)) {
        if (o->count == o->cap) {
            o->cap = o->cap ? 2 * o->cap : 64;
            o->at = realloc(o->at, o->cap * sizeof(pair *));
        }
        memmove(o->at + at + 1, o->at + at, (o->count - at) * sizeof(pair *));
        o->count++;
    }
    o->at[at] = p;
}

static void oracle_delete(oracle *o, size_t at) {
    memmove(o->at + at, o->at + at + 1, (o->count - at - 1) * sizeof(pair *));
    o->count--;
}

static oracle oracle_copy(const oracle *o) {
    oracle copy = {malloc((o->count + 1) * sizeof(pair *)), o->count, o->count + 1};
    memcpy(copy.at, o->at, o->count * sizeof(pair *));
    return copy;
}

/* ---- fixture -------------------------------------------------------------------------------- */

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
    vsi_btree tree;
    oracle o;
    pair *pairs;
    vt_rng rng;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
    f->rng.state = vt_seed();
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
    while (f->pairs) {
        pair *next = f->pairs->next;
        free(f->pairs);
        f->pairs = next;
    }
    free(f->o.at);
}

static pair *new_pair(fixture *f, vsi_bytes key, size_t value_bytes) {
    VT_CHECK(key.bytes + value_bytes <= ROOM);
    pair *p = malloc(sizeof *p + key.bytes + value_bytes);
    p->next = f->pairs;
    f->pairs = p;
    p->key_bytes = (uint32_t)key.bytes;
    p->value_bytes = (uint32_t)value_bytes;
    if (key.bytes)
        memcpy(p->data, key.data, key.bytes);
    for (size_t i = 0; i < value_bytes; i++)
        p->data[key.bytes + i] = (uint8_t)vt_random(&f->rng);
    return p;
}

static vsi_bytes value_of(const pair *p) {
    return (vsi_bytes){p->data + p->key_bytes, p->value_bytes};
}

/* The tree is changed from blocks of exactly the sizes named, so that a sanitizer sees a read too
 * far. */
static bool put_bytes(fixture *f, vsi_bytes key, vsi_bytes value) {
    uint8_t *k = malloc(key.bytes + 1), *v = malloc(value.bytes + 1);
    memcpy(k + 1, key.data, key.bytes);
    memcpy(v + 1, value.data, value.bytes);
    bool is_done = vsi_btree_put(&f->cow, &f->tree, (vsi_bytes){k + 1, key.bytes},
                                 (vsi_bytes){v + 1, value.bytes});
    free(k);
    free(v);
    return is_done;
}

/* Ends a transaction without older versions. */
static void commit(fixture *f, vsi_cow_mark mark) {
    vsi_cow_keep(&f->cow, mark);
    vsi_cow_free_dead(&f->cow, vsi_cow_take_dead(&f->cow));
}

static void put(fixture *f, vsi_bytes key, size_t value_bytes) {
    pair *p = new_pair(f, key, value_bytes);
    VT_CHECK(put_bytes(f, key_of(p), value_of(p)));
    oracle_put(&f->o, p);
}

static void delete_at(fixture *f, size_t at) {
    VT_EQ(vsi_btree_delete(&f->cow, &f->tree, key_of(f->o.at[at])), VS_OK);
    oracle_delete(&f->o, at);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool is_equal(vsi_bytes a, vsi_bytes b) {
    return compare(a, b) == 0;
}

static void check_structure(const vsi_btree *tree) {
    const char *problem = vsi_btree_check(tree);
    if (problem)
        vt_fail(__FILE__, __LINE__, "%s", problem);
}

static void check_get(const vsi_btree *tree, const pair *p) {
    vsi_bytes value = {0};
    VT_CHECK(vsi_btree_get(tree, key_of(p), &value));
    VT_CHECK(is_equal(value, value_of(p)));
}

static void check_entry(const vsi_btree_cursor *cursor, const pair *p) {
    vsi_bytes key = {0}, value = {0};
    VT_CHECK(!vsi_btree_at_end(cursor));
    vsi_btree_entry(cursor, &key, &value);
    VT_CHECK(is_equal(key, key_of(p)));
    VT_CHECK(is_equal(value, value_of(p)));
}

/* Every entry in order from place at on. */
static void check_walk(const vsi_btree *tree, const oracle *o, vsi_bytes from, size_t at) {
    vsi_btree_cursor cursor;
    vsi_btree_seek(tree, from, &cursor);
    for (; at < o->count; at++) {
        check_entry(&cursor, o->at[at]);
        vsi_btree_next(&cursor);
    }
    VT_CHECK(vsi_btree_at_end(&cursor));
}

static void check_equal(const vsi_btree *tree, const oracle *o) {
    check_structure(tree);
    VT_EQ(tree->count, o->count);
    check_walk(tree, o, (vsi_bytes){NULL, 0}, 0);
    for (size_t i = 0; i < o->count; i++)
        check_get(tree, o->at[i]);
}

static uint32_t height(const vsi_btree *tree) {
    vsi_btree_cursor cursor;
    vsi_btree_seek(tree, (vsi_bytes){NULL, 0}, &cursor);
    return cursor.height;
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* What a test's keys look like. */
typedef struct shape {
    size_t key_max;
    uint64_t keys; /* so many different ones */
    size_t value_max;
} shape;

static const shape numbers = {8, 4000, 40};
static const shape words = {30, 600, 200};
static const shape giants = {KEY_MAX, 500, ROOM};
static const shape brims = {ROOM, 300, ROOM};

/* Key number n: bytes that begin alike, so that many keys are prefixes of others. */
static vsi_bytes make_key(const shape *s, uint64_t n, uint8_t out[ROOM]) {
    vt_rng rng = {n * 2654435761u + 7};
    size_t bytes = s->key_max == 8 ? 8 : vt_below(&rng, s->key_max + 1);
    if (s->key_max > 100 && vt_below(&rng, 2))
        bytes = s->key_max - vt_below(&rng, 4);
    if (s->key_max == 8) {
        for (size_t i = 0; i < 8; i++)
            out[i] = (uint8_t)(n >> 8 * (7 - i));
        return (vsi_bytes){out, bytes};
    }
    memset(out, (int)vt_below(&rng, 3), bytes);
    for (size_t i = bytes > 3 ? bytes - 3 : 0; i < bytes; i++)
        out[i] = (uint8_t)vt_below(&rng, 256);
    return (vsi_bytes){out, bytes};
}

static size_t make_value_bytes(fixture *f, const shape *s, size_t key_bytes) {
    size_t most = ROOM - key_bytes < s->value_max ? ROOM - key_bytes : s->value_max;
    return vt_below(&f->rng, 8) ? vt_below(&f->rng, most + 1) : most;
}

/* Puts or deletes a random key, and looks it up. */
static void step(fixture *f, const shape *s, uint64_t puts_of_8) {
    uint8_t buf[ROOM];
    size_t at;
    vsi_bytes value, key = make_key(s, vt_below(&f->rng, s->keys), buf);
    bool is_there = oracle_has(&f->o, key, &at);
    VT_EQ(vsi_btree_get(&f->tree, key, &value), is_there);
    if (vt_below(&f->rng, 8) < puts_of_8)
        put(f, key, make_value_bytes(f, s, key.bytes));
    else if (is_there)
        delete_at(f, at);
    else
        VT_EQ(vsi_btree_delete(&f->cow, &f->tree, key), VS_ERR_NOT_FOUND);
}

/* Rounds of mostly putting and rounds of mostly deleting; a transaction for every few steps. */
static void run(fixture *f, const shape *s, int transactions, int checked) {
    for (int i = 0; i < transactions; i++) {
        uint64_t puts_of_8 = i / (transactions / 8) % 2 ? 2 : 6;
        vsi_cow_mark mark = vsi_cow_open(&f->cow);
        for (uint64_t steps = 1 + vt_below(&f->rng, 5); steps > 0; steps--) {
            step(f, s, puts_of_8);
            VT_EQ(f->tree.count, f->o.count);
        }
        check_structure(&f->tree);
        commit(f, mark);
        if (i < checked || i % 64 == 0)
            check_equal(&f->tree, &f->o);
    }
    check_equal(&f->tree, &f->o);
}

/* ---- small trees ---------------------------------------------------------------------------- */

static vsi_bytes text(const char *s) {
    return (vsi_bytes){(const uint8_t *)s, strlen(s)};
}

VT_TEST(an_empty_tree_has_no_entry) {
    fixture f;
    vsi_bytes value = {(const uint8_t *)"x", 1};
    begin(&f);
    VT_CHECK(!vsi_btree_get(&f.tree, text("a"), &value));
    VT_CHECK(!vsi_btree_get(&f.tree, text(""), &value));
    check_equal(&f.tree, &f.o);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_EQ(vsi_btree_delete(&f.cow, &f.tree, text("a")), VS_ERR_NOT_FOUND);
    vsi_cow_keep(&f.cow, mark);
    VT_EQ(f.tree.count, 0);
    end(&f);
}

VT_TEST(empty_keys_and_empty_values_are_entries_like_any_other) {
    fixture f;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    put(&f, text(""), 5);
    put(&f, text("a"), 0);
    put(&f, (vsi_bytes){(const uint8_t *)"\0", 1}, 4);
    put(&f, (vsi_bytes){(const uint8_t *)"\0\0", 2}, 0);
    check_equal(&f.tree, &f.o);
    delete_at(&f, 0);
    check_equal(&f.tree, &f.o);
    commit(&f, mark);
    end(&f);
}

VT_TEST(keys_are_ordered_as_memcmp_orders_them_shorter_first) {
    static const char *const sorted[] = {"",   "A", "a",    "aa",   "aab",
                                         "ab", "b", "\x7f", "\x80", "\xff"};
    enum { KEYS = sizeof sorted / sizeof sorted[0] };
    fixture f;
    vsi_btree_cursor cursor;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int i = 0; i < KEYS; i++)
        put(&f, text(sorted[i * 7 % KEYS]), (size_t)i);
    vsi_btree_seek(&f.tree, text(""), &cursor);
    for (int i = 0; i < KEYS; i++) {
        vsi_bytes key, value;
        vsi_btree_entry(&cursor, &key, &value);
        VT_CHECK(is_equal(key, text(sorted[i])));
        vsi_btree_next(&cursor);
    }
    VT_CHECK(vsi_btree_at_end(&cursor));
    commit(&f, mark);
    end(&f);
}

VT_TEST(putting_a_key_again_replaces_its_value_whatever_the_sizes) {
    fixture f;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int i = 0; i < 12; i++)
        put(&f, (vsi_bytes){(const uint8_t *)"abcdefghijkl" + i, 1}, 300);
    for (int round = 0; round < 400; round++) {
        size_t at = vt_below(&f.rng, f.o.count);
        put(&f, key_of(f.o.at[at]), vt_below(&f.rng, ROOM));
        VT_EQ(f.tree.count, 12);
        check_equal(&f.tree, &f.o);
    }
    commit(&f, mark);
    end(&f);
}

VT_TEST(a_delete_of_a_key_that_is_not_there_changes_nothing) {
    fixture f;
    uint8_t buf[ROOM];
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (uint64_t i = 0; i < 400; i += 2)
        put(&f, make_key(&numbers, i, buf), 40);
    commit(&f, mark);
    const vsi_btree before = f.tree;
    uint64_t blocks = f.allocator.live_blocks;
    mark = vsi_cow_open(&f.cow);
    for (uint64_t i = 1; i < 400; i += 2)
        VT_EQ(vsi_btree_delete(&f.cow, &f.tree, make_key(&numbers, i, buf)), VS_ERR_NOT_FOUND);
    VT_EQ(f.tree.count, before.count);
    check_equal(&f.tree, &f.o);
    commit(&f, mark);
    VT_EQ(f.allocator.live_blocks, blocks);
    end(&f);
}

/* ---- random trees --------------------------------------------------------------------------- */

VT_TEST(random_changes_of_short_keys_agree_with_a_sorted_array) {
    fixture f;
    begin(&f);
    run(&f, &numbers, 6000, 100);
    end(&f);
}

VT_TEST(random_changes_of_words_agree_with_a_sorted_array) {
    fixture f;
    begin(&f);
    run(&f, &words, 3000, 400);
    end(&f);
}

VT_TEST(random_changes_of_long_keys_agree_with_a_sorted_array) {
    fixture f;
    begin(&f);
    run(&f, &giants, 2400, 300);
    end(&f);
}

VT_TEST(random_changes_of_keys_that_fill_an_entry_agree_with_a_sorted_array) {
    fixture f;
    begin(&f);
    run(&f, &brims, 1600, 300);
    end(&f);
}

VT_TEST(every_mix_of_tiny_and_largest_entries_fits) {
    for (uint64_t seed = 0; seed < 40; seed++) {
        fixture f;
        begin(&f);
        f.rng.state += seed;
        for (int i = 0; i < 60; i++) {
            uint8_t buf[ROOM];
            bool is_large = vt_below(&f.rng, 2);
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            size_t key_bytes = is_large && vt_below(&f.rng, 2) ? KEY_MAX : 1;
            for (size_t k = 0; k < key_bytes; k++)
                buf[k] = (uint8_t)vt_random(&f.rng);
            size_t most = ROOM - key_bytes;
            put(&f, (vsi_bytes){buf, key_bytes}, is_large ? most - vt_below(&f.rng, 3) : 0);
            commit(&f, mark);
            check_structure(&f.tree);
        }
        check_equal(&f.tree, &f.o);
        end(&f);
    }
}

/* ---- orders --------------------------------------------------------------------------------- */

/* Number i of n in one of three orders. */
static uint64_t in_order(int order, uint64_t i, uint64_t n) {
    /* 7 * 11 * 13 * 17 has no common divisor with the n used. */
    return order == 0 ? i : order == 1 ? n - 1 - i : i * 17017 % n;
}

static void fill_in_order(fixture *f, const shape *s, uint64_t n, int order, size_t value_bytes) {
    uint8_t buf[ROOM];
    for (uint64_t i = 0; i < n; i++) {
        vsi_cow_mark mark = vsi_cow_open(&f->cow);
        vsi_bytes key = make_key(s, in_order(order, i, n), buf);
        put(f, key, value_bytes < ROOM - key.bytes ? value_bytes : ROOM - key.bytes);
        commit(f, mark);
        if (i % 32 == 0)
            check_structure(&f->tree);
    }
    check_equal(&f->tree, &f->o);
}

static void delete_in_order(fixture *f, int order) {
    for (uint64_t left = f->o.count; left > 0; left--) {
        vsi_cow_mark mark = vsi_cow_open(&f->cow);
        size_t at = order == 0 ? 0 : order == 1 ? left - 1 : vt_below(&f->rng, left);
        delete_at(f, at);
        commit(f, mark);
        if (left % 32 == 0) {
            check_structure(&f->tree);
            check_walk(&f->tree, &f->o, (vsi_bytes){NULL, 0}, 0);
        }
    }
}

VT_TEST(trees_filled_and_emptied_in_any_order_agree_and_give_their_memory_back) {
    for (int fill = 0; fill < 3; fill++)
        for (int empty = 0; empty < 3; empty++) {
            fixture f;
            begin(&f);
            fill_in_order(&f, &numbers, 1999, fill, 60);
            VT_CHECK(height(&f.tree) >= 2);
            delete_in_order(&f, empty);
            VT_EQ(f.tree.count, 0);
            check_equal(&f.tree, &f.o);
            VT_CHECK(f.allocator.live_blocks <= 1);
            end(&f);
        }
}

VT_TEST(tall_trees_filled_and_emptied_in_any_order_agree) {
    for (int fill = 0; fill < 3; fill++)
        for (int empty = 0; empty < 3; empty++) {
            fixture f;
            begin(&f);
            fill_in_order(&f, &giants, 401, fill, 300);
            VT_CHECK(height(&f.tree) >= 4);
            delete_in_order(&f, empty);
            check_equal(&f.tree, &f.o);
            VT_CHECK(f.allocator.live_blocks <= 1);
            end(&f);
        }
}

VT_TEST(a_tree_of_many_short_entries_has_three_levels) {
    fixture f;
    begin(&f);
    const shape many = {8, 0, 0};
    fill_in_order(&f, &many, 40009, 2, 30);
    VT_CHECK(height(&f.tree) >= 3);
    end(&f);
}

/* Inner nodes hold what tells keys apart, not keys. */
VT_TEST(long_keys_that_differ_early_make_a_flat_tree) {
    enum { N = 3000 };
    fixture f;
    uint8_t key[1000] = {0};
    begin(&f);
    for (uint32_t i = 0; i < N; i++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        vsi_put_u32(key, (uint32_t)vt_mix(i));
        VT_CHECK(put_bytes(&f, (vsi_bytes){key, sizeof key}, (vsi_bytes){key, 4}));
        commit(&f, mark);
    }
    VT_CHECK(vsi_btree_check(&f.tree) == NULL);
    VT_EQ(f.tree.count, N);
    VT_CHECK(height(&f.tree) <= 3);
    for (uint32_t i = 0; i < N; i++) {
        vsi_bytes value;
        vsi_put_u32(key, (uint32_t)vt_mix(i));
        VT_CHECK(vsi_btree_get(&f.tree, (vsi_bytes){key, sizeof key}, &value));
        VT_CHECK(value.bytes == 4 && !memcmp(value.data, key, 4));
    }
    end(&f);
}

/* ---- cursors -------------------------------------------------------------------------------- */

/* Keys beside key: shorter, longer, and with another last byte. */
static vsi_bytes beside(vsi_bytes key, int which, uint8_t out[ROOM + 1]) {
    memcpy(out, key.data, key.bytes);
    if (which == 0 || key.bytes == 0) {
        out[key.bytes] = 0;
        return (vsi_bytes){out, key.bytes + 1};
    }
    if (which == 1)
        return (vsi_bytes){out, key.bytes - 1};
    out[key.bytes - 1] = (uint8_t)(out[key.bytes - 1] + (which == 2 ? 1 : -1));
    return (vsi_bytes){out, key.bytes};
}

static void check_seek(const vsi_btree *tree, const oracle *o, vsi_bytes key) {
    vsi_btree_cursor cursor;
    size_t at = lower_bound(o, key);
    vsi_btree_seek(tree, key, &cursor);
    for (int i = 0; i < 3; i++, at++) {
        VT_EQ(vsi_btree_at_end(&cursor), at >= o->count);
        if (at >= o->count)
            break;
        check_entry(&cursor, o->at[at]);
        vsi_btree_next(&cursor);
    }
}

static void check_seeks(const shape *s, uint64_t n) {
    fixture f;
    uint8_t buf[ROOM + 1];
    begin(&f);
    fill_in_order(&f, s, n, 2, 70);
    for (size_t i = 0; i < f.o.count; i++) {
        vsi_bytes key = key_of(f.o.at[i]);
        check_seek(&f.tree, &f.o, key);
        for (int which = 0; which < 4; which++)
            check_seek(&f.tree, &f.o, beside(key, which, buf));
    }
    memset(buf, 0xff, sizeof buf);
    check_seek(&f.tree, &f.o, (vsi_bytes){buf, ROOM});
    end(&f);
}

VT_TEST(a_cursor_stands_on_the_first_key_not_below_the_one_sought) {
    check_seeks(&numbers, 1999);
    check_seeks(&words, 599);
    check_seeks(&giants, 401);
}

/* From every entry to the end: the path climbs over every border of nodes on every level. gcc 11
 * and 12 once compiled the climbing wrong (base/port.h). */
VT_TEST(a_cursor_walks_over_every_border_between_nodes) {
    fixture f;
    begin(&f);
    fill_in_order(&f, &giants, 257, 2, 300);
    VT_CHECK(height(&f.tree) >= 3);
    for (size_t i = 0; i < f.o.count; i++)
        check_walk(&f.tree, &f.o, key_of(f.o.at[i]), i);
    end(&f);
}

VT_TEST(two_cursors_of_one_tree_do_not_disturb_each_other) {
    fixture f;
    vsi_btree_cursor a, b;
    begin(&f);
    fill_in_order(&f, &words, 599, 0, 70);
    vsi_btree_seek(&f.tree, key_of(f.o.at[0]), &a);
    vsi_btree_seek(&f.tree, key_of(f.o.at[100]), &b);
    for (size_t i = 0; i + 100 < f.o.count; i++) {
        check_entry(&a, f.o.at[i]);
        check_entry(&b, f.o.at[i + 100]);
        vsi_btree_next(&b);
        vsi_btree_next(&a);
    }
    VT_CHECK(vsi_btree_at_end(&b));
    VT_CHECK(!vsi_btree_at_end(&a));
    end(&f);
}

/* ---- versions ------------------------------------------------------------------------------- */

static void check_versions(const shape *s) {
    enum { VERSIONS = 12 };
    fixture f;
    vsi_btree tree[VERSIONS];
    oracle o[VERSIONS];
    vsi_block *dead[VERSIONS];
    begin(&f);
    for (int v = 0; v < VERSIONS; v++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < 60; i++)
            step(&f, s, v < VERSIONS / 2 ? 7 : 2);
        vsi_cow_keep(&f.cow, mark);
        dead[v] = vsi_cow_take_dead(&f.cow);
        tree[v] = f.tree;
        o[v] = oracle_copy(&f.o);
        for (int old = 0; old <= v; old++)
            check_equal(&tree[old], &o[old]);
    }
    for (int v = 1; v < VERSIONS; v++) { /* the oldest goes; the others stay */
        vsi_cow_free_dead(&f.cow, dead[v]);
        for (int old = v; old < VERSIONS; old++)
            check_equal(&tree[old], &o[old]);
    }
    for (int v = 0; v < VERSIONS; v++)
        free(o[v].at);
    end(&f);
}

VT_TEST(older_versions_stay_as_they_were_while_the_tree_changes) {
    check_versions(&numbers);
    check_versions(&words);
    check_versions(&giants);
}

VT_TEST(undo_brings_back_every_version_of_nested_scopes) {
    fixture f;
    begin(&f);
    run(&f, &words, 400, 0);
    for (int round = 0; round < 100; round++) {
        const vsi_btree before = f.tree;
        oracle saved = oracle_copy(&f.o);
        uint64_t blocks = f.allocator.live_blocks;
        vsi_cow_mark outer = vsi_cow_open(&f.cow);
        step(&f, &words, 4);
        const vsi_btree middle = f.tree;
        oracle saved_middle = oracle_copy(&f.o);
        vsi_cow_mark inner = vsi_cow_open(&f.cow);
        for (int i = 0; i < 30; i++)
            step(&f, &words, 4);
        check_equal(&middle, &saved_middle);
        vsi_cow_undo(&f.cow, inner);
        f.tree = middle;
        check_equal(&f.tree, &saved_middle);
        vsi_cow_undo(&f.cow, outer);
        f.tree = before;
        check_equal(&f.tree, &saved);
        VT_EQ(f.allocator.live_blocks, blocks);
        free(saved_middle.at);
        free(f.o.at);
        f.o = saved;
    }
    end(&f);
}

VT_TEST(kept_scopes_leak_nothing) {
    fixture f;
    uint8_t buf[ROOM];
    begin(&f);
    for (int round = 0; round < 60; round++) {
        vsi_cow_mark outer = vsi_cow_open(&f.cow);
        for (int i = 0; i < 5; i++) {
            vsi_cow_mark inner = vsi_cow_open(&f.cow);
            step(&f, &giants, 6);
            vsi_cow_keep(&f.cow, inner);
        }
        commit(&f, outer);
        check_equal(&f.tree, &f.o);
    }
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    while (f.o.count > 0)
        delete_at(&f, vt_below(&f.rng, f.o.count));
    put(&f, make_key(&numbers, 1, buf), 1);
    commit(&f, mark);
    VT_EQ(f.allocator.live_blocks, 1);
    end(&f);
}

/* ---- without memory ------------------------------------------------------------------------- */

/* One change of a tree, tried with each of its allocations failing; allocations that it makes. */
static uint64_t try_without_memory(fixture *f, pair *p, bool is_put) {
    for (uint64_t at = 1;; at++) {
        const vsi_btree before = f->tree;
        uint64_t blocks = f->allocator.live_blocks, failures = f->allocator.failures;
        f->allocator.fail_at = f->allocator.calls + at;
        vsi_cow_mark mark = vsi_cow_open(&f->cow);
        vs_status st = VS_OK;
        if (is_put)
            st = put_bytes(f, key_of(p), value_of(p)) ? VS_OK : VS_ERR_NOMEM;
        else
            st = vsi_btree_delete(&f->cow, &f->tree, key_of(p));
        f->allocator.fail_at = 0;
        if (f->allocator.failures == failures) {
            VT_EQ(st, VS_OK);
            commit(f, mark);
            return at - 1;
        }
        VT_EQ(st, VS_ERR_NOMEM);
        vsi_cow_undo(&f->cow, mark);
        f->tree = before;
        VT_EQ(f->allocator.live_blocks, blocks);
        check_equal(&f->tree, &f->o);
    }
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    fixture f;
    uint64_t most = 0;
    begin(&f);
    for (int i = 0; i < 500; i++) {
        uint8_t buf[ROOM];
        size_t at;
        vsi_bytes key = make_key(&giants, vt_below(&f.rng, 100), buf);
        bool is_there = oracle_has(&f.o, key, &at);
        bool is_put = !is_there || vt_below(&f.rng, i < 250 ? 4 : 2) > 0;
        pair *p = is_put ? new_pair(&f, key, make_value_bytes(&f, &giants, key.bytes)) : f.o.at[at];
        uint64_t allocations = try_without_memory(&f, p, is_put);
        most = allocations > most ? allocations : most;
        if (is_put)
            oracle_put(&f.o, p);
        else
            oracle_delete(&f.o, at);
        check_equal(&f.tree, &f.o);
    }
    VT_CHECK(most >= 4); /* there were splits on several levels */
    end(&f);
}

/* ---- the checker ---------------------------------------------------------------------------- */

VT_TEST(the_checker_finds_a_wrong_count) {
    fixture f;
    begin(&f);
    fill_in_order(&f, &words, 599, 2, 70);
    for (int difference = -1; difference <= 1; difference += 2) {
        vsi_btree wrong = f.tree;
        wrong.count += (uint64_t)(int64_t)difference;
        VT_CHECK(vsi_btree_check(&wrong));
    }
    const vsi_btree empty = {NULL, 1};
    VT_CHECK(vsi_btree_check(&empty));
    end(&f);
}

VT_TEST(the_checker_finds_a_key_out_of_order) {
    fixture f;
    begin(&f);
    fill_in_order(&f, &numbers, 1999, 2, 30);
    for (size_t i = 0; i < f.o.count; i += 97) {
        vsi_btree_cursor cursor;
        vsi_bytes key, value;
        vsi_btree_seek(&f.tree, key_of(f.o.at[i]), &cursor);
        vsi_btree_entry(&cursor, &key, &value);
        uint8_t *first = (uint8_t *)(uintptr_t)key.data, was = *first;
        *first = i < f.o.count / 2 ? 0xff : was;
        VT_EQ(vsi_btree_check(&f.tree) != NULL, *first != was);
        *first = was;
        check_structure(&f.tree);
    }
    end(&f);
}
