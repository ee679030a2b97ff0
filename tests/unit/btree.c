/* btree.c - the B+tree against a sorted array. */
#include "store/btree.h"
#include "vt.h"

enum {
    ROOM = VSI_NODE_ENTRY_MAX - VSI_NODE_ENTRY_OVERHEAD, /* of a key, its value and references */
    KEY_MAX = 1050,
    KEY_LONGEST = ROOM /* store/btree.h names no other limit */
};

/* ---- a sorted array ------------------------------------------------------------------------- */

typedef struct pair {
    struct pair *next; /* all that were ever made */
    uint32_t key_bytes, value_bytes, refs;
    uint8_t data[]; /* the key, the value, then the references */
} pair;

/* Copying `at` copies the version: pairs never change. */
typedef struct oracle {
    pair **at;
    size_t count, cap;
} oracle;

static vsi_bytes key_of(const pair *p) {
    return (vsi_bytes){p->data, p->key_bytes};
}

static vsi_bytes value_of(const pair *p) {
    return (vsi_bytes){p->data + p->key_bytes, p->value_bytes};
}

static vsi_bytes refs_of(const pair *p) {
    return (vsi_bytes){p->data + p->key_bytes + p->value_bytes, (size_t)p->refs * VSI_REF_BYTES};
}

static size_t pair_bytes(const pair *p) {
    return p->key_bytes + p->value_bytes + refs_of(p).bytes;
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
    vsi_err err;
    oracle o;
    pair *pairs;
    vt_rng rng;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
    f->tree.cow = &f->cow;
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

static pair *new_pair(fixture *f, vsi_bytes key, size_t value_bytes, uint32_t refs) {
    pair *p = malloc(sizeof *p + key.bytes + value_bytes + (size_t)refs * VSI_REF_BYTES);
    p->next = f->pairs;
    f->pairs = p;
    p->key_bytes = (uint32_t)key.bytes;
    p->value_bytes = (uint32_t)value_bytes;
    p->refs = refs;
    VT_CHECK(pair_bytes(p) <= ROOM);
    if (key.bytes)
        memcpy(p->data, key.data, key.bytes);
    for (size_t i = key.bytes; i < pair_bytes(p); i++)
        p->data[i] = (uint8_t)vt_random(&f->rng);
    return p;
}

/* A block that ends where its bytes do, so that a sanitizer sees a read too far. */
static uint8_t *tight(vsi_bytes bytes, vsi_bytes *out) {
    uint8_t *block = malloc(bytes.bytes + 1);
    if (bytes.bytes)
        memcpy(block + 1, bytes.data, bytes.bytes);
    *out = (vsi_bytes){block + 1, bytes.bytes};
    return block;
}

/* The tree borrows nothing for longer than the call. */
static vs_status put_pair(fixture *f, const pair *p) {
    vsi_bytes key, value, refs;
    uint8_t *k = tight(key_of(p), &key), *v = tight(value_of(p), &value);
    uint8_t *r = tight(refs_of(p), &refs);
    const vsi_node_item item = {
        .key = key, .value = value, .refs = refs.data, .ref_count = p->refs};
    vs_status st = p->refs ? vsi_btree_put_item(&f->err, &f->tree, &item)
                           : vsi_btree_put(&f->err, &f->tree, key, value);
    free(k);
    free(v);
    free(r);
    return st;
}

/* Ends a transaction without older versions. */
static void commit(fixture *f, vsi_cow_mark mark) {
    vsi_cow_keep(&f->cow, mark);
    vsi_cow_free_dead(&f->cow, vsi_cow_take_dead(&f->cow));
}

static void put_refs(fixture *f, vsi_bytes key, size_t value_bytes, uint32_t refs) {
    pair *p = new_pair(f, key, value_bytes, refs);
    VT_EQ(put_pair(f, p), VS_OK);
    oracle_put(&f->o, p);
}

static void put(fixture *f, vsi_bytes key, size_t value_bytes) {
    put_refs(f, key, value_bytes, 0);
}

static void delete_at(fixture *f, size_t at) {
    VT_EQ(vsi_btree_delete(&f->err, &f->tree, key_of(f->o.at[at])), VS_OK);
    oracle_delete(&f->o, at);
}

/* A pair like the one at this place with another value of the same size. */
static pair *edited_pair(fixture *f, size_t at) {
    const pair *was = f->o.at[at];
    pair *p = new_pair(f, key_of(was), was->value_bytes, was->refs);
    if (p->refs)
        memcpy(p->data + p->key_bytes + p->value_bytes, refs_of(was).data, refs_of(was).bytes);
    return p;
}

static bool is_equal(vsi_bytes a, vsi_bytes b) {
    return compare(a, b) == 0;
}

/* The value that is there is handed out, and changed in place. */
static vs_status edit_to(fixture *f, const pair *was, const pair *p) {
    uint8_t *value = NULL;
    vs_status st = vsi_btree_edit(&f->err, &f->tree, key_of(p), &value);
    if (st != VS_OK)
        return st;
    VT_CHECK(is_equal((vsi_bytes){value, p->value_bytes}, value_of(was)));
    if (p->value_bytes)
        memcpy(value, value_of(p).data, p->value_bytes);
    return VS_OK;
}

static void edit_at(fixture *f, size_t at) {
    pair *p = edited_pair(f, at);
    VT_EQ(edit_to(f, f->o.at[at], p), VS_OK);
    oracle_put(&f->o, p);
}

/* No call finds, edits or deletes the key; none says more, or changes what it was given. */
static void expect_missing(fixture *f, vsi_bytes key) {
    static const uint8_t mark;
    vsi_node_item item = {.value = {&mark, 77}};
    uint8_t *value = (uint8_t *)(uintptr_t)&mark;
    vsi_ref root = f->tree.root;
    uint64_t count = f->tree.count, calls = f->allocator.calls;
    VT_EQ(vsi_btree_get(&f->err, &f->tree, key, &item), VS_ERR_NOT_FOUND);
    VT_EQ(vsi_btree_edit(&f->err, &f->tree, key, &value), VS_ERR_NOT_FOUND);
    VT_EQ(vsi_btree_delete(&f->err, &f->tree, key), VS_ERR_NOT_FOUND);
    VT_CHECK(item.value.data == &mark && item.value.bytes == 77);
    VT_CHECK(value == &mark);
    VT_CHECK(f->tree.root.at == root.at && f->tree.root.kind == root.kind);
    VT_EQ(f->tree.count, count);
    VT_EQ(f->allocator.calls, calls);
    VT_EQ(f->err.code, VS_OK);
    VT_STR(f->err.text, "");
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* NULL, or what is wrong with the tree. */
static const char *problem_of(const vsi_btree *tree) {
    vsi_err err = {0};
    const char *problem = "not set";
    VT_EQ(vsi_btree_check(&err, tree, &problem), VS_OK);
    return problem;
}

static void check_structure(const vsi_btree *tree) {
    const char *problem = problem_of(tree);
    if (problem)
        vt_fail(__FILE__, __LINE__, "%s", problem);
}

static void check_item(vsi_node_item item, const pair *p) {
    VT_CHECK(is_equal(item.key, key_of(p)));
    VT_CHECK(is_equal(item.value, value_of(p)));
    VT_EQ(item.ref_count, p->refs);
    VT_CHECK(is_equal((vsi_bytes){item.refs, (size_t)p->refs * VSI_REF_BYTES}, refs_of(p)));
}

static void check_get(const vsi_btree *tree, const pair *p) {
    vsi_err err;
    vsi_node_item item = {0};
    VT_EQ(vsi_btree_get(&err, tree, key_of(p), &item), VS_OK);
    check_item(item, p);
}

static void seek(const vsi_btree *tree, vsi_bytes key, vsi_btree_cursor *out_cursor) {
    vsi_err err;
    VT_EQ(vsi_btree_seek(&err, tree, key, out_cursor), VS_OK);
}

static void next(vsi_btree_cursor *cursor) {
    vsi_err err;
    VT_EQ(vsi_btree_next(&err, cursor), VS_OK);
}

static void check_entry(const vsi_btree_cursor *cursor, const pair *p) {
    VT_CHECK(!vsi_btree_at_end(cursor));
    check_item(vsi_btree_entry(cursor), p);
}

/* Every entry in order from place at on. */
static void check_walk(const vsi_btree *tree, const oracle *o, vsi_bytes from, size_t at) {
    vsi_btree_cursor cursor;
    seek(tree, from, &cursor);
    for (; at < o->count; at++) {
        check_entry(&cursor, o->at[at]);
        next(&cursor);
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
    seek(tree, (vsi_bytes){NULL, 0}, &cursor);
    return cursor.height;
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* What a test's entries look like. */
typedef struct shape {
    size_t key_max;
    uint64_t keys; /* so many different ones */
    size_t value_max;
    uint32_t refs_max;
} shape;

static const shape numbers = {8, 4000, 40, 0};
static const shape words = {30, 600, 200, 3};
static const shape giants = {KEY_MAX, 500, ROOM, VSI_NODE_REFS_MAX};
static const shape brims = {KEY_LONGEST, 300, ROOM, VSI_NODE_REFS_MAX};

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

/* A pair with this key, its value and references as long as the shape and an entry allow. */
static pair *make_pair(fixture *f, const shape *s, vsi_bytes key) {
    size_t room = ROOM - key.bytes;
    uint64_t refs_most = room / VSI_REF_BYTES;
    if (refs_most > s->refs_max)
        refs_most = s->refs_max;
    uint32_t refs = vt_below(&f->rng, 3) ? 0 : (uint32_t)vt_below(&f->rng, refs_most + 1);
    room -= (size_t)refs * VSI_REF_BYTES;
    size_t most = room < s->value_max ? room : s->value_max;
    return new_pair(f, key, vt_below(&f->rng, 8) ? vt_below(&f->rng, most + 1) : most, refs);
}

/* Puts, edits or deletes a random key, after looking it up. */
static void step(fixture *f, const shape *s, uint64_t puts_of_8) {
    uint8_t buf[ROOM];
    size_t at;
    vsi_bytes key = make_key(s, vt_below(&f->rng, s->keys), buf);
    bool is_there = oracle_has(&f->o, key, &at);
    if (is_there)
        check_get(&f->tree, f->o.at[at]);
    else
        expect_missing(f, key);
    if (vt_below(&f->rng, 8) < puts_of_8) {
        pair *p = make_pair(f, s, key);
        VT_EQ(put_pair(f, p), VS_OK);
        oracle_put(&f->o, p);
    } else if (is_there && vt_below(&f->rng, 4) == 0) {
        edit_at(f, at);
    } else if (is_there) {
        delete_at(f, at);
    }
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
    vsi_btree_cursor cursor;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    expect_missing(&f, text("a"));
    expect_missing(&f, text(""));
    vsi_cow_keep(&f.cow, mark);
    seek(&f.tree, text(""), &cursor);
    VT_CHECK(vsi_btree_at_end(&cursor));
    check_equal(&f.tree, &f.o);
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
    seek(&f.tree, text(""), &cursor);
    for (int i = 0; i < KEYS; i++) {
        VT_CHECK(is_equal(vsi_btree_entry(&cursor).key, text(sorted[i])));
        next(&cursor);
    }
    VT_CHECK(vsi_btree_at_end(&cursor));
    commit(&f, mark);
    end(&f);
}

VT_TEST(putting_a_key_again_replaces_its_value_and_references_whatever_the_sizes) {
    fixture f;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int i = 0; i < 12; i++)
        put(&f, (vsi_bytes){(const uint8_t *)"abcdefghijkl" + i, 1}, 300);
    for (int round = 0; round < 400; round++) {
        size_t at = vt_below(&f.rng, f.o.count);
        uint32_t refs = (uint32_t)vt_below(&f.rng, VSI_NODE_REFS_MAX + 1);
        put_refs(&f, key_of(f.o.at[at]), vt_below(&f.rng, ROOM - refs * VSI_REF_BYTES), refs);
        VT_EQ(f.tree.count, 12);
        check_equal(&f.tree, &f.o);
    }
    commit(&f, mark);
    end(&f);
}

VT_TEST(keys_that_are_not_there_are_neither_edited_nor_deleted_and_nothing_changes) {
    fixture f;
    uint8_t buf[ROOM];
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (uint64_t i = 0; i < 400; i += 2)
        put(&f, make_key(&numbers, i, buf), 40);
    commit(&f, mark);
    uint64_t blocks = f.allocator.live_blocks;
    mark = vsi_cow_open(&f.cow);
    for (uint64_t i = 1; i < 400; i += 2)
        expect_missing(&f, make_key(&numbers, i, buf));
    check_equal(&f.tree, &f.o);
    commit(&f, mark);
    VT_EQ(f.allocator.live_blocks, blocks);
    end(&f);
}

VT_TEST(an_edit_changes_one_value_and_neither_its_references_nor_its_neighbours) {
    fixture f;
    begin(&f);
    run(&f, &words, 600, 0);
    for (size_t at = 0; at < f.o.count; at++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        edit_at(&f, at);
        VT_EQ(f.tree.count, f.o.count);
        check_walk(&f.tree, &f.o, (vsi_bytes){NULL, 0}, 0);
        commit(&f, mark);
    }
    check_equal(&f.tree, &f.o);
    end(&f);
}

VT_TEST(entries_with_every_number_of_references_live_side_by_side) {
    fixture f;
    begin(&f);
    for (uint32_t round = 0; round < 20; round++)
        for (uint32_t refs = 0; refs <= VSI_NODE_REFS_MAX; refs++) {
            uint8_t key[2] = {(uint8_t)(refs * 16 + round % 5), (uint8_t)round};
            size_t most = ROOM - sizeof key - (size_t)refs * VSI_REF_BYTES;
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            put_refs(&f, (vsi_bytes){key, sizeof key}, round % 2 ? most : 0, refs);
            commit(&f, mark);
            check_structure(&f.tree);
        }
    VT_EQ(f.tree.count, 20 * (VSI_NODE_REFS_MAX + 1));
    check_equal(&f.tree, &f.o);
    end(&f);
}

/* ---- random trees --------------------------------------------------------------------------- */

VT_TEST(random_changes_of_short_keys_agree_with_a_sorted_array) {
    fixture f;
    begin(&f);
    run(&f, &numbers, 4000, 100);
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
            size_t key_bytes = is_large && vt_below(&f.rng, 2) ? KEY_LONGEST : 1;
            for (size_t k = 0; k < key_bytes; k++)
                buf[k] = (uint8_t)vt_random(&f.rng);
            uint32_t refs = is_large && key_bytes == 1 ? (uint32_t)vt_below(&f.rng, 16) : 0;
            size_t most = ROOM - key_bytes - (size_t)refs * VSI_REF_BYTES;
            size_t value_bytes = is_large && most > 3 ? most - vt_below(&f.rng, 3) : 0;
            put_refs(&f, (vsi_bytes){buf, key_bytes}, value_bytes, refs);
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
        if (i % (n / 60) == 0)
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
    const shape many = {8, 0, 0, 0};
    fill_in_order(&f, &many, 30011, 2, 30);
    VT_CHECK(height(&f.tree) >= 3);
    end(&f);
}

/* Two neighbours that fit into one page do not stay two when one of them is nearly empty. */
VT_TEST(a_tree_that_lost_most_of_its_entries_lost_most_of_its_pages) {
    fixture f;
    begin(&f);
    fill_in_order(&f, &numbers, 1999, 2, 60);
    uint64_t full = f.allocator.live_blocks;
    for (size_t at = f.o.count; at-- > 0;)
        if (at % 20) {
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            delete_at(&f, at);
            commit(&f, mark);
        }
    check_equal(&f.tree, &f.o);
    VT_CHECK(f.allocator.live_blocks < full / 5);
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
        VT_EQ(vsi_btree_put(&f.err, &f.tree, (vsi_bytes){key, sizeof key}, (vsi_bytes){key, 4}),
              VS_OK);
        commit(&f, mark);
    }
    check_structure(&f.tree);
    VT_EQ(f.tree.count, N);
    VT_CHECK(height(&f.tree) <= 3);
    for (uint32_t i = 0; i < N; i++) {
        vsi_node_item item;
        vsi_put_u32(key, (uint32_t)vt_mix(i));
        VT_EQ(vsi_btree_get(&f.err, &f.tree, (vsi_bytes){key, sizeof key}, &item), VS_OK);
        VT_CHECK(is_equal(item.value, (vsi_bytes){key, 4}));
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
    seek(tree, key, &cursor);
    for (int i = 0; i < 3; i++, at++) {
        VT_EQ(vsi_btree_at_end(&cursor), at >= o->count);
        if (at >= o->count)
            break;
        check_entry(&cursor, o->at[at]);
        next(&cursor);
    }
}

static void check_seek_behind(const vsi_btree *tree, const oracle *o, vsi_bytes key) {
    vsi_err err;
    vsi_btree_cursor cursor;
    size_t at = lower_bound(o, key);
    at += at < o->count && is_equal(key_of(o->at[at]), key);
    VT_EQ(vsi_btree_seek_behind(&err, tree, key, &cursor), VS_OK);
    VT_EQ(vsi_btree_at_end(&cursor), at >= o->count);
    if (at < o->count)
        check_entry(&cursor, o->at[at]);
}

static void check_seeks(const shape *s, uint64_t n) {
    fixture f;
    uint8_t buf[ROOM + 1];
    begin(&f);
    fill_in_order(&f, s, n, 2, 70);
    for (size_t i = 0; i < f.o.count; i++) {
        vsi_bytes key = key_of(f.o.at[i]);
        check_seek(&f.tree, &f.o, key);
        check_seek_behind(&f.tree, &f.o, key);
        for (int which = 0; which < 4; which++) {
            check_seek(&f.tree, &f.o, beside(key, which, buf));
            check_seek_behind(&f.tree, &f.o, beside(key, which, buf));
        }
    }
    memset(buf, 0xff, sizeof buf);
    check_seek(&f.tree, &f.o, (vsi_bytes){buf, ROOM});
    end(&f);
}

VT_TEST(a_cursor_stands_on_the_first_key_not_below_the_one_sought_or_behind_it) {
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
    seek(&f.tree, key_of(f.o.at[0]), &a);
    seek(&f.tree, key_of(f.o.at[100]), &b);
    for (size_t i = 0; i + 100 < f.o.count; i++) {
        check_entry(&a, f.o.at[i]);
        check_entry(&b, f.o.at[i + 100]);
        next(&b);
        next(&a);
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

/* Pages of older versions keep every byte, not only what a reader looks at. */
VT_TEST(a_transaction_writes_into_no_page_of_an_older_version) {
    enum { PAGES_MAX = 400 };
    fixture f;
    vsi_btree_cursor cursor;
    const uint8_t *page[PAGES_MAX];
    uint8_t *copy = malloc((size_t)PAGES_MAX * VSI_PAGE_BYTES);
    size_t pages = 0;
    begin(&f);
    run(&f, &giants, 400, 0);
    const vsi_btree old = f.tree;
    oracle o = oracle_copy(&f.o);
    for (seek(&old, text(""), &cursor); !vsi_btree_at_end(&cursor); next(&cursor))
        for (uint32_t level = 0; level < cursor.height && pages < PAGES_MAX; level++) {
            page[pages] = cursor.page[level];
            memcpy(copy + pages * VSI_PAGE_BYTES, page[pages], VSI_PAGE_BYTES);
            pages++;
        }
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int i = 0; i < 300; i++)
        step(&f, &giants, 3);
    vsi_cow_keep(&f.cow, mark);
    vsi_block *dead = vsi_cow_take_dead(&f.cow);
    for (size_t i = 0; i < pages; i++)
        VT_CHECK(!memcmp(page[i], copy + i * VSI_PAGE_BYTES, VSI_PAGE_BYTES));
    check_equal(&old, &o);
    vsi_cow_free_dead(&f.cow, dead);
    check_equal(&f.tree, &f.o);
    free(o.at);
    free(copy);
    end(&f);
}

/* A tree alone needs no more pages than its own; so nothing that died is kept. */
VT_TEST(memory_after_a_transaction_is_the_pages_of_the_tree) {
    fixture f;
    begin(&f);
    for (int round = 0; round < 40; round++) {
        run(&f, &giants, 16, 0);
        uint64_t blocks = f.allocator.live_blocks, pages = 0;
        const uint8_t *last[VSI_BTREE_HEIGHT_MAX] = {NULL};
        vsi_btree_cursor cursor;
        for (seek(&f.tree, text(""), &cursor); !vsi_btree_at_end(&cursor); next(&cursor))
            for (uint32_t level = 0; level < cursor.height; level++) {
                pages += cursor.page[level] != last[level];
                last[level] = cursor.page[level];
            }
        VT_EQ(blocks, pages);
    }
    end(&f);
}

/* ---- without memory ------------------------------------------------------------------------- */

typedef enum change { PUT, EDIT, DELETE } change;

static vs_status make_change(fixture *f, const pair *was, const pair *p, change what) {
    if (what == PUT)
        return put_pair(f, p);
    return what == EDIT ? edit_to(f, was, p) : vsi_btree_delete(&f->err, &f->tree, key_of(p));
}

/* One change of a tree, tried with each of its allocations failing; allocations that it makes. The
 * old version stays whole whether or not the scope is undone. */
static uint64_t try_without_memory(fixture *f, const pair *was, const pair *p, change what) {
    for (uint64_t at = 1;; at++) {
        const vsi_btree before = f->tree;
        uint64_t blocks = f->allocator.live_blocks, failures = f->allocator.failures;
        f->allocator.fail_at = f->allocator.calls + at;
        f->allocator.fails_for_ever = vt_below(&f->rng, 2);
        f->err = (vsi_err){0};
        vsi_cow_mark mark = vsi_cow_open(&f->cow);
        vs_status st = make_change(f, was, p, what);
        f->allocator.fail_at = 0;
        check_equal(&before, &f->o);
        if (f->allocator.failures == failures) {
            VT_EQ(st, VS_OK);
            commit(f, mark);
            return at - 1;
        }
        VT_EQ(st, VS_ERR_NOMEM);
        VT_EQ(f->err.code, VS_ERR_NOMEM);
        VT_CHECK(f->err.text[0]);
        vsi_cow_undo(&f->cow, mark);
        f->tree = before;
        f->err = (vsi_err){0};
        VT_EQ(f->allocator.live_blocks, blocks);
        check_equal(&f->tree, &f->o);
    }
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    fixture f;
    uint64_t most[3] = {0};
    begin(&f);
    for (int i = 0; i < 500; i++) {
        uint8_t buf[ROOM];
        size_t at;
        vsi_bytes key = make_key(&giants, vt_below(&f.rng, 100), buf);
        bool is_there = oracle_has(&f.o, key, &at);
        bool is_put = !is_there || vt_below(&f.rng, i < 250 ? 4 : 2) > 0;
        change what = is_put ? PUT : vt_below(&f.rng, 4) ? DELETE : EDIT;
        pair *was = is_there ? f.o.at[at] : NULL;
        pair *p = what == PUT    ? make_pair(&f, &giants, key)
                  : what == EDIT ? edited_pair(&f, at)
                                 : was;
        uint64_t allocations = try_without_memory(&f, was, p, what);
        most[what] = allocations > most[what] ? allocations : most[what];
        if (what == DELETE)
            oracle_delete(&f.o, at);
        else
            oracle_put(&f.o, p);
        check_equal(&f.tree, &f.o);
    }
    VT_CHECK(most[PUT] >= 6); /* there were splits on several levels */
    VT_CHECK(most[EDIT] >= 3);
    VT_CHECK(most[DELETE] >= 4); /* there was a neighbour to join */
    end(&f);
}

VT_TEST(a_failure_in_an_inner_scope_leaves_what_the_outer_one_did) {
    fixture f;
    uint64_t failed = 0;
    begin(&f);
    run(&f, &giants, 400, 0);
    for (int round = 0; round < 200; round++) {
        const vsi_btree before = f.tree;
        oracle saved = oracle_copy(&f.o);
        vsi_cow_mark outer = vsi_cow_open(&f.cow);
        for (int i = 0; i < 3; i++)
            step(&f, &giants, 5);
        const vsi_btree middle = f.tree;
        uint8_t buf[ROOM];
        pair *p = make_pair(&f, &giants, make_key(&giants, vt_below(&f.rng, 500), buf));
        uint64_t blocks = f.allocator.live_blocks;
        vsi_cow_mark inner = vsi_cow_open(&f.cow);
        f.allocator.fail_at = f.allocator.calls + 1 + vt_below(&f.rng, 4);
        vs_status st = put_pair(&f, p);
        f.allocator.fail_at = 0;
        failed += st == VS_ERR_NOMEM;
        f.err = (vsi_err){0};
        vsi_cow_undo(&f.cow, inner);
        f.tree = middle;
        VT_EQ(f.allocator.live_blocks, blocks);
        check_equal(&f.tree, &f.o);
        check_equal(&before, &saved);
        commit(&f, outer);
        check_equal(&f.tree, &f.o);
        free(saved.at);
    }
    VT_CHECK(failed > 50);
    end(&f);
}

VT_TEST(reading_asks_for_no_memory) {
    fixture f;
    begin(&f);
    run(&f, &words, 400, 0);
    f.allocator.fail_at = f.allocator.calls + 1;
    check_equal(&f.tree, &f.o);
    VT_EQ(f.allocator.failures, 0);
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
        VT_CHECK(problem_of(&wrong));
        VT_CONTAINS(problem_of(&wrong), "count");
    }
    const vsi_btree empty = {.cow = &f.cow, .count = 1};
    VT_CHECK(problem_of(&empty));
    end(&f);
}

/* The cursor's page of a level, to be damaged. */
static uint8_t *page_at(const vsi_btree_cursor *cursor, uint32_t level) {
    return (uint8_t *)(uintptr_t)cursor->page[level];
}

VT_TEST(the_checker_finds_a_key_out_of_order) {
    fixture f;
    begin(&f);
    fill_in_order(&f, &numbers, 1999, 2, 30);
    for (size_t i = 0; i < f.o.count; i += 97) {
        vsi_btree_cursor cursor;
        seek(&f.tree, key_of(f.o.at[i]), &cursor);
        uint8_t *first = (uint8_t *)(uintptr_t)vsi_btree_entry(&cursor).key.data, was = *first;
        *first = i < f.o.count / 2 ? 0xff : was;
        VT_EQ(problem_of(&f.tree) != NULL, *first != was);
        *first = was;
        check_structure(&f.tree);
    }
    end(&f);
}

/* Kinds of damage to one page of a path, and to its entry on the path. */
typedef void planter(const vsi_btree_cursor *cursor, uint32_t level);

static void plant_level(const vsi_btree_cursor *cursor, uint32_t level) {
    vsi_put_u16(page_at(cursor, level), (uint16_t)(level + 1));
}

static void plant_empty(const vsi_btree_cursor *cursor, uint32_t level) {
    vsi_put_u16(page_at(cursor, level) + 2, 0);
}

static void plant_lost_entry(const vsi_btree_cursor *cursor, uint32_t level) {
    uint8_t *page = page_at(cursor, level);
    vsi_node_remove(page, cursor->at[level]);
}

static void plant_heap(const vsi_btree_cursor *cursor, uint32_t level) {
    vsi_put_u16(page_at(cursor, level) + 4, VSI_NODE_HEADER_BYTES);
}

static void plant_used(const vsi_btree_cursor *cursor, uint32_t level) {
    uint8_t *page = page_at(cursor, level);
    vsi_put_u16(page + 6, (uint16_t)(vsi_get_u16(page + 6) ^ 1));
}

static void plant_offset(const vsi_btree_cursor *cursor, uint32_t level) {
    vsi_put_u16(page_at(cursor, level) + VSI_NODE_HEADER_BYTES + 2 * (size_t)cursor->at[level],
                VSI_PAGE_BYTES - 2);
}

static planter *const planters[] = {plant_level, plant_empty, plant_lost_entry,
                                    plant_heap,  plant_used,  plant_offset};
enum { PLANTERS = sizeof planters / sizeof planters[0] };

/* Damages the page of a level on the way to an entry, asks, and brings the page back. */
static void check_planted(fixture *f, const vsi_btree_cursor *cursor, uint32_t level,
                          planter *plant) {
    uint8_t copy[VSI_PAGE_BYTES], *page = page_at(cursor, level);
    memcpy(copy, page, sizeof copy);
    plant(cursor, level);
    if (!problem_of(&f->tree))
        vt_fail(__FILE__, __LINE__, "damage on level %u was not found", level);
    memcpy(page, copy, sizeof copy);
}

VT_TEST(the_checker_finds_damage_to_any_node_of_any_level) {
    fixture f;
    begin(&f);
    fill_in_order(&f, &giants, 257, 2, 300);
    VT_CHECK(height(&f.tree) >= 4);
    for (size_t i = 0; i < f.o.count; i += 3) {
        vsi_btree_cursor cursor;
        seek(&f.tree, key_of(f.o.at[i]), &cursor);
        for (uint32_t level = 0; level < cursor.height; level++)
            for (int p = 0; p < PLANTERS; p++)
                check_planted(&f, &cursor, level, planters[p]);
    }
    check_equal(&f.tree, &f.o);
    end(&f);
}

/* Two children change places. */
static void plant_swap(const vsi_btree_cursor *cursor, uint32_t level) {
    uint8_t *page = page_at(cursor, level);
    uint32_t at = cursor->at[level], other = at ? at - 1 : 1;
    vsi_ref a = vsi_node_ref(page, at, 0), b = vsi_node_ref(page, other, 0);
    vsi_node_set_ref(page, at, 0, b);
    vsi_node_set_ref(page, other, 0, a);
}

/* A child that is also another's child. */
static void plant_twin(const vsi_btree_cursor *cursor, uint32_t level) {
    uint8_t *page = page_at(cursor, level);
    uint32_t at = cursor->at[level], other = at ? at - 1 : 1;
    vsi_node_set_ref(page, other, 0, vsi_node_ref(page, at, 0));
}

/* A grandchild in the place of a child. */
static void plant_grandchild(const vsi_btree_cursor *cursor, uint32_t level) {
    if (level < 2)
        plant_swap(cursor, level);
    else
        vsi_node_set_ref(page_at(cursor, level), cursor->at[level], 0,
                         vsi_node_ref(cursor->page[level - 1], cursor->at[level - 1], 0));
}

/* The node itself in the place of a child: a circle. The root has no reference to copy. */
static void plant_circle(const vsi_btree_cursor *cursor, uint32_t level) {
    uint32_t above = level + 1;
    if (above == cursor->height)
        plant_swap(cursor, level);
    else
        vsi_node_set_ref(page_at(cursor, level), cursor->at[level], 0,
                         vsi_node_ref(cursor->page[above], cursor->at[above], 0));
}

static planter *const child_planters[] = {plant_swap, plant_twin, plant_grandchild, plant_circle};
enum { CHILD_PLANTERS = sizeof child_planters / sizeof child_planters[0] };

VT_TEST(the_checker_finds_children_in_wrong_places) {
    fixture f;
    begin(&f);
    fill_in_order(&f, &giants, 257, 2, 300);
    VT_CHECK(height(&f.tree) >= 4);
    for (size_t i = 0; i < f.o.count; i += 3) {
        vsi_btree_cursor cursor;
        seek(&f.tree, key_of(f.o.at[i]), &cursor);
        for (uint32_t level = 1; level < cursor.height; level++)
            for (int p = 0; p < CHILD_PLANTERS && vsi_node_count(cursor.page[level]) > 1; p++)
                check_planted(&f, &cursor, level, child_planters[p]);
    }
    check_equal(&f.tree, &f.o);
    end(&f);
}

/* Puts another key in the place of the separator in front of a child. */
static void replace_separator(uint8_t *page, uint32_t at, vsi_bytes key) {
    uint8_t ref[VSI_REF_BYTES];
    vsi_ref_encode(vsi_node_ref(page, at, 0), ref);
    const vsi_node_item item = {.key = key, .refs = ref, .ref_count = 1};
    vsi_node_remove(page, at);
    vsi_node_insert(page, at, &item);
}

/* A separator begins the first key behind it; the highest bytes put it above that key. */
static void plant_high_separator(const vsi_btree_cursor *cursor, uint32_t level) {
    uint8_t *page = page_at(cursor, level), key[ROOM];
    uint32_t at = cursor->at[level] ? cursor->at[level] : 1;
    vsi_bytes was = vsi_node_key(page, at);
    memcpy(key, was.data, was.bytes);
    memset(key + was.bytes, 0xff, 8);
    replace_separator(page, at, (vsi_bytes){key, was.bytes + 8});
}

/* Hardly above the separator before: the child between has keys that are not below it. */
static void plant_low_separator(const vsi_btree_cursor *cursor, uint32_t level) {
    uint8_t *page = page_at(cursor, level), key[ROOM];
    uint32_t at = cursor->at[level] > 1 ? cursor->at[level] : 2;
    vsi_bytes before = vsi_node_key(page, at - 1);
    memcpy(key, before.data, before.bytes);
    key[before.bytes] = 0;
    replace_separator(page, at, (vsi_bytes){key, before.bytes + 1});
}

VT_TEST(the_checker_finds_keys_outside_their_separators) {
    fixture f;
    begin(&f);
    uint8_t key[8];
    for (uint64_t i = 0; i < 3000; i++) { /* separators have few bytes and are far apart */
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        vsi_put_u64_be(key, vt_mix(i));
        put(&f, (vsi_bytes){key, 8}, 200);
        commit(&f, mark);
    }
    VT_CHECK(height(&f.tree) >= 2);
    for (size_t i = 0; i < f.o.count; i += 11) {
        vsi_btree_cursor cursor;
        seek(&f.tree, key_of(f.o.at[i]), &cursor);
        for (uint32_t level = 1; level < cursor.height; level++)
            if (vsi_node_count(cursor.page[level]) > 2) {
                check_planted(&f, &cursor, level, plant_high_separator);
                check_planted(&f, &cursor, level, plant_low_separator);
            }
    }
    check_equal(&f.tree, &f.o);
    end(&f);
}

/* ---- the longest separators ----------------------------------------------------------------- */

/* A key of just these bytes; keys of a group and a size differ in nothing but their last byte, so
 * that no shorter separator goes between two of them. */
static vsi_bytes twin_key(uint8_t group, uint8_t last, size_t bytes, uint8_t out[ROOM]) {
    memset(out, 'k', bytes);
    out[0] = group;
    out[bytes - 1] = last;
    return (vsi_bytes){out, bytes};
}

/* Entries that take all an entry may. */
static void put_twin(fixture *f, uint8_t group, uint8_t last, size_t bytes) {
    uint8_t buf[ROOM];
    put(f, twin_key(group, last, bytes, buf), ROOM - bytes);
    check_structure(&f->tree);
}

/* Three such entries fill a leaf. The root gets separators for groups 1, 2 and 4, then, in a full
 * page, the one for group 3: its halves are 30 + 1344 + 1344 bytes, which is one byte less than
 * half, and 1364 + 1356. */
VT_TEST(separators_as_long_as_the_longest_keys_find_room_when_an_inner_node_splits) {
    fixture f;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    put_twin(&f, 0, 0, 10);
    put_twin(&f, 0, 1, 10);
    put_twin(&f, 1, 0, KEY_LONGEST - 20);
    put_twin(&f, 1, 1, KEY_LONGEST - 20);
    put_twin(&f, 1, 0xff, 10);
    put_twin(&f, 2, 0, KEY_LONGEST - 20);
    put_twin(&f, 2, 1, KEY_LONGEST - 20);
    put_twin(&f, 3, 0, KEY_LONGEST);
    put_twin(&f, 4, 0, KEY_LONGEST - 8);
    put_twin(&f, 4, 1, KEY_LONGEST - 8);
    VT_EQ(height(&f.tree), 2);
    put_twin(&f, 3, 1, KEY_LONGEST);
    VT_EQ(height(&f.tree), 3);
    check_equal(&f.tree, &f.o);
    commit(&f, mark);
    end(&f);
}

/* In any order and of any size close to the longest; emulators and sanitizers make a fifth of the trees. */
VT_TEST(trees_of_the_longest_keys_agree_with_a_sorted_array) {
    const uint64_t seeds = getenv("VT_BRIEF") ? 30 : 150;
    for (uint64_t seed = 0; seed < seeds; seed++) {
        fixture f;
        uint8_t key[ROOM];
        begin(&f);
        f.rng.state += seed;
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < 60; i++) {
            size_t bytes = KEY_LONGEST - vt_below(&f.rng, 12);
            memset(key, 'k', bytes);
            vsi_put_u32_be(key + bytes - 4, (uint32_t)vt_random(&f.rng));
            put(&f, (vsi_bytes){key, bytes}, 0);
        }
        commit(&f, mark);
        check_equal(&f.tree, &f.o);
        end(&f);
    }
}
