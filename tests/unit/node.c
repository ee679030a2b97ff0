/* node.c - one page of entries against a plain list of them. */
#include "store/node.h"
#include "vt.h"

enum {
    ROOM = VSI_PAGE_BYTES - VSI_NODE_HEADER_BYTES,          /* of all entries of a page */
    LONGEST = VSI_NODE_ENTRY_MAX - VSI_NODE_ENTRY_OVERHEAD, /* key, value and references */
    ENTRIES_MAX = ROOM / VSI_NODE_ENTRY_OVERHEAD,           /* of nothing at all */
    LEVEL_OFF = 0,
    COUNT_OFF = 2,
    HEAP_OFF = 4,
    USED_OFF = 6,
    TRAILER_OFF = 8 /* docs/FORMAT.md */
};

/* ---- a plain list --------------------------------------------------------------------------- */

/* An entry in a block of exactly its size, so that a sanitizer sees a read too far. */
typedef struct entry {
    uint8_t *key, *value, *refs;
    vsi_node_item item;
} entry;

typedef struct list {
    entry *at[ENTRIES_MAX + 1];
    uint32_t count;
    size_t used;
} list;

static uint8_t *random_block(vt_rng *rng, size_t bytes) {
    uint8_t *data = malloc(bytes ? bytes : 1);
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)vt_random(rng);
    return data;
}

static entry *new_entry(vt_rng *rng, size_t key_bytes, size_t value_bytes, uint32_t refs) {
    entry *e = malloc(sizeof *e);
    e->key = random_block(rng, key_bytes);
    e->value = random_block(rng, value_bytes);
    e->refs = random_block(rng, (size_t)refs * VSI_REF_BYTES);
    e->item = (vsi_node_item){.key = {key_bytes ? e->key : NULL, key_bytes},
                              .value = {value_bytes ? e->value : NULL, value_bytes},
                              .refs = refs ? e->refs : NULL,
                              .ref_count = refs};
    return e;
}

static void free_entry(entry *e) {
    free(e->key);
    free(e->value);
    free(e->refs);
    free(e);
}

static void list_insert(list *l, uint32_t at, entry *e) {
    memmove(l->at + at + 1, l->at + at, (l->count - at) * sizeof(entry *));
    l->at[at] = e;
    l->count++;
    l->used += vsi_node_item_bytes(&e->item);
}

static void list_remove(list *l, uint32_t at) {
    l->used -= vsi_node_item_bytes(&l->at[at]->item);
    free_entry(l->at[at]);
    l->count--;
    memmove(l->at + at, l->at + at + 1, (l->count - at) * sizeof(entry *));
}

static int compare(vsi_bytes a, vsi_bytes b) {
    for (size_t i = 0; i < a.bytes && i < b.bytes; i++)
        if (a.data[i] != b.data[i])
            return a.data[i] < b.data[i] ? -1 : 1;
    return a.bytes == b.bytes ? 0 : a.bytes < b.bytes ? -1 : 1;
}

/* The first entry whose key is not below key, one after the other. */
static uint32_t list_find(const list *l, vsi_bytes key, bool *out_found) {
    uint32_t at = 0;
    while (at < l->count && compare(l->at[at]->item.key, key) < 0)
        at++;
    *out_found = at < l->count && compare(l->at[at]->item.key, key) == 0;
    return at;
}

/* ---- fixture -------------------------------------------------------------------------------- */

/* The page is a heap block of its own: it begins and ends where the block does. */
typedef struct fixture {
    uint8_t *page;
    list l;
    vt_rng rng;
} fixture;

static void begin(fixture *f, uint32_t level) {
    memset(f, 0, sizeof *f);
    f->page = malloc(VSI_PAGE_BYTES);
    memset(f->page, 0xa5, VSI_PAGE_BYTES);
    vsi_node_init(f->page, level, 0);
    f->rng.state = vt_seed() + level;
}

static void clear(fixture *f) {
    while (f->l.count)
        list_remove(&f->l, f->l.count - 1);
}

static void end(fixture *f) {
    clear(f);
    free(f->page);
}

static bool is_equal(vsi_bytes a, vsi_bytes b) {
    return compare(a, b) == 0;
}

static void check_item(vsi_node_item found, const vsi_node_item *expected) {
    VT_CHECK(is_equal(found.key, expected->key));
    VT_CHECK(is_equal(found.value, expected->value));
    VT_EQ(found.ref_count, expected->ref_count);
    size_t bytes = (size_t)found.ref_count * VSI_REF_BYTES;
    VT_CHECK(!bytes || !memcmp(found.refs, expected->refs, bytes));
}

/* The page holds what the list holds. */
static void check_equal(const fixture *f) {
    VT_EQ(vsi_node_count(f->page), f->l.count);
    VT_EQ(vsi_node_used(f->page), f->l.used);
    for (uint32_t i = 0; i < f->l.count; i++) {
        check_item(vsi_node_item_at(f->page, i), &f->l.at[i]->item);
        VT_CHECK(is_equal(vsi_node_key(f->page, i), f->l.at[i]->item.key));
    }
}

/* The page takes an entry exactly when its list leaves the room; whether it did. */
static bool insert(fixture *f, uint32_t at, entry *e) {
    size_t bytes = vsi_node_item_bytes(&e->item);
    bool has_room = vsi_node_has_room(f->page, bytes);
    VT_EQ(has_room, bytes <= ROOM - f->l.used);
    if (!has_room) {
        free_entry(e);
        return false;
    }
    vsi_node_insert(f->page, at, &e->item);
    list_insert(&f->l, at, e);
    return true;
}

static void remove_at(fixture *f, uint32_t at) {
    vsi_node_remove(f->page, at);
    list_remove(&f->l, at);
}

static void expect_valid(const uint8_t *page) {
    const char *problem = vsi_node_check(page, 0);
    if (problem)
        vt_fail(__FILE__, __LINE__, "%s", problem);
}

/* ---- geometry ------------------------------------------------------------------------------- */

VT_TEST(a_new_page_is_empty_and_all_of_it_is_free) {
    for (uint32_t level = 0; level <= VSI_NODE_LEVEL_MAX; level++) {
        fixture f;
        begin(&f, level);
        VT_EQ(vsi_node_level(f.page), level);
        VT_CHECK(vsi_node_has_room(f.page, ROOM));
        VT_CHECK(!vsi_node_has_room(f.page, ROOM + 1));
        check_equal(&f);
        for (size_t i = 8; i < VSI_PAGE_BYTES; i++)
            VT_EQ(f.page[i], 0); /* nothing of what lay in memory gets into a file */
        end(&f);
    }
}

VT_TEST(a_page_is_laid_out_as_in_the_file) {
    static const uint8_t header[20] = {
        3,    0,    2,    0,   0xd4, 0x0f, 44, 0,
        0,    0,    0,    0,   0,    0,    0,  0, /* level, count, heap, used */
        0xd4, 0x0f, 0xf6, 0x0f};                  /* offsets: the second came first */
    static const uint8_t second[] = {3, 0, 3, 0, 'b', 'b', 'b', 'x', 'y', 'z'};
    static const uint8_t first[] = {2, 0, 4, 0x10, 'a', 'a', 'l', 'm', 'n', 'o'};
    static const uint8_t refs[VSI_REF_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};
    fixture f;
    begin(&f, 3);
    const vsi_node_item b = {.key = {second + 4, 3}, .value = {second + 7, 3}};
    const vsi_node_item a = {
        .key = {first + 4, 2}, .value = {first + 6, 4}, .refs = refs, .ref_count = 1};
    vsi_node_insert(f.page, 0, &b);
    vsi_node_insert(f.page, 0, &a);
    VT_EQ(vsi_node_used(f.page), 12 + 36);
    uint8_t expected[20];
    memcpy(expected, header, sizeof header);
    expected[USED_OFF] = 12 + 36;
    VT_CHECK(!memcmp(f.page, expected, sizeof expected));
    VT_CHECK(!memcmp(f.page + VSI_PAGE_BYTES - 10, second, 10));
    VT_CHECK(!memcmp(f.page + VSI_PAGE_BYTES - 44, first, 10));
    VT_CHECK(!memcmp(f.page + VSI_PAGE_BYTES - 34, refs, VSI_REF_BYTES));
    for (size_t i = sizeof header; i < VSI_PAGE_BYTES - 44; i++)
        VT_EQ(f.page[i], 0);
    end(&f);
}

VT_TEST(every_number_of_references_comes_back_with_every_size_of_key_and_value) {
    static const size_t sizes[] = {0, 1, 2, 7, 24, 255, 256, 600, 973};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    for (uint32_t refs = 0; refs <= VSI_NODE_REFS_MAX; refs++)
        for (size_t i = 0; i < SIZES * SIZES; i++) {
            fixture f;
            size_t key = sizes[i / SIZES], value = sizes[i % SIZES];
            if (key + value + (size_t)refs * VSI_REF_BYTES > LONGEST)
                continue;
            begin(&f, 0);
            VT_CHECK(insert(&f, 0, new_entry(&f.rng, key, value, refs)));
            check_equal(&f);
            VT_EQ(vsi_node_used(f.page), 6 + key + value + 24 * refs);
            expect_valid(f.page);
            end(&f);
        }
}

VT_TEST(keys_and_values_as_long_as_an_entry_come_back) {
    for (size_t key = 0; key <= LONGEST; key += key < 3 || key > LONGEST - 3 ? 1 : 95) {
        fixture f;
        begin(&f, 0);
        VT_CHECK(insert(&f, 0, new_entry(&f.rng, key, LONGEST - key, 0)));
        VT_EQ(vsi_node_used(f.page), VSI_NODE_ENTRY_MAX);
        check_equal(&f);
        expect_valid(f.page);
        end(&f);
    }
}

VT_TEST(a_page_takes_as_many_of_the_smallest_entries_as_have_room) {
    fixture f;
    begin(&f, 0);
    for (uint32_t i = 0; i < ENTRIES_MAX; i++)
        VT_CHECK(insert(&f, (uint32_t)vt_below(&f.rng, i + 1), new_entry(&f.rng, 0, 0, 0)));
    VT_EQ(vsi_node_count(f.page), 680);
    VT_CHECK(!insert(&f, 0, new_entry(&f.rng, 0, 0, 0)));
    VT_CHECK(vsi_node_has_room(f.page, 0));
    check_equal(&f);
    end(&f);
}

VT_TEST(different_short_keys_fill_a_page_to_the_last_byte) {
    fixture f;
    begin(&f, 0);
    for (uint32_t i = 0; i < 510; i++) {
        entry *e = new_entry(&f.rng, 2, 0, 0);
        e->key[0] = (uint8_t)(i >> 8);
        e->key[1] = (uint8_t)i;
        VT_CHECK(insert(&f, i, e));
    }
    VT_EQ(vsi_node_used(f.page), ROOM);
    VT_CHECK(!vsi_node_has_room(f.page, 1));
    check_equal(&f);
    expect_valid(f.page);
    end(&f);
}

VT_TEST(three_of_the_largest_entries_always_have_room) {
    fixture f;
    begin(&f, 0);
    for (uint32_t i = 0; i < 3; i++)
        VT_CHECK(insert(&f, i, new_entry(&f.rng, 1, LONGEST - 1 - 15 * VSI_REF_BYTES, 15)));
    VT_CHECK(!insert(&f, 0, new_entry(&f.rng, LONGEST, 0, 0)));
    check_equal(&f);
    end(&f);
}

/* ---- holes ---------------------------------------------------------------------------------- */

VT_TEST(the_holes_of_removed_entries_are_room_for_others) {
    for (uint32_t kept = 0; kept < 3; kept++) {
        fixture f;
        begin(&f, 0);
        for (uint32_t i = 0; i < 3; i++)
            VT_CHECK(insert(&f, i, new_entry(&f.rng, 4, LONGEST - 4, 0)));
        VT_CHECK(insert(&f, 3, new_entry(&f.rng, 10, ROOM - 3 * VSI_NODE_ENTRY_MAX - 16, 0)));
        VT_EQ(vsi_node_used(f.page), ROOM);
        for (uint32_t i = 0; i < 3; i++)
            if (i != kept)
                remove_at(&f, i < kept ? 0 : 1);
        check_equal(&f);
        for (int i = 0; i < 2 * VSI_NODE_ENTRY_MAX / 40; i++) /* no one hole is enough for all */
            VT_CHECK(insert(&f, 1, new_entry(&f.rng, 4, 30, 0)));
        VT_EQ(vsi_node_used(f.page), ROOM);
        check_equal(&f);
        end(&f);
    }
}

VT_TEST(an_emptied_page_takes_a_full_page_again) {
    fixture f;
    begin(&f, 0);
    for (int round = 0; round < 20; round++) {
        while (insert(&f, (uint32_t)vt_below(&f.rng, f.l.count + 1),
                      new_entry(&f.rng, vt_below(&f.rng, 200), vt_below(&f.rng, 200),
                                (uint32_t)vt_below(&f.rng, 16))))
            check_equal(&f);
        while (f.l.count)
            remove_at(&f, (uint32_t)vt_below(&f.rng, f.l.count));
        check_equal(&f);
        VT_CHECK(vsi_node_has_room(f.page, ROOM));
    }
    end(&f);
}

static entry *random_entry(fixture *f, size_t most) {
    uint32_t refs = (uint32_t)vt_below(&f->rng, 4) ? 0 : (uint32_t)vt_below(&f->rng, 16);
    size_t left = most > (size_t)refs * VSI_REF_BYTES ? most - (size_t)refs * VSI_REF_BYTES : 0;
    size_t key = vt_below(&f->rng, left + 1);
    return new_entry(&f->rng, key, vt_below(&f->rng, left - key + 1), refs);
}

/* Inserts and removes at random places, mostly close to full. */
static void run(size_t most, int steps) {
    fixture f;
    begin(&f, 7);
    for (int i = 0; i < steps; i++) {
        bool is_removal = f.l.count && vt_below(&f.rng, 8) < (i / 200 % 2 ? 5u : 3u);
        if (is_removal)
            remove_at(&f, (uint32_t)vt_below(&f.rng, f.l.count));
        else
            insert(&f, (uint32_t)vt_below(&f.rng, f.l.count + 1), random_entry(&f, most));
        if (i % 4 == 0)
            check_equal(&f);
        VT_EQ(vsi_node_level(f.page), 7);
    }
    check_equal(&f);
    end(&f);
}

VT_TEST(random_inserts_and_removals_agree_with_a_list) {
    run(0, 4000);
    run(8, 3000);
    run(60, 3000);
    run(400, 3000);
    run(LONGEST, 3000);
}

VT_TEST(a_page_changed_in_the_middle_of_memory_leaves_its_neighbours_alone) {
    uint8_t *memory = malloc(3 * VSI_PAGE_BYTES);
    fixture f;
    begin(&f, 0);
    uint8_t *own = f.page;
    memset(memory, 0xa5, 3 * VSI_PAGE_BYTES);
    f.page = memory + VSI_PAGE_BYTES;
    vsi_node_init(f.page, 0, 0);
    for (int i = 0; i < 2000; i++) {
        if (!insert(&f, (uint32_t)vt_below(&f.rng, f.l.count + 1), random_entry(&f, 300)))
            remove_at(&f, (uint32_t)vt_below(&f.rng, f.l.count));
    }
    check_equal(&f);
    for (size_t i = 0; i < VSI_PAGE_BYTES; i++) {
        VT_EQ(memory[i], 0xa5);
        VT_EQ(memory[2 * VSI_PAGE_BYTES + i], 0xa5);
    }
    f.page = own;
    free(memory);
    end(&f);
}

/* ---- changes in place ----------------------------------------------------------------------- */

static void fill(fixture *f, size_t most) {
    while (insert(f, (uint32_t)vt_below(&f->rng, f->l.count + 1), random_entry(f, most)))
        continue;
}

static vsi_ref random_ref(vt_rng *rng) {
    return (vsi_ref){.at = vt_random(rng),
                     .birth = (uint32_t)vt_random(rng),
                     .kind = (uint8_t)vt_random(rng),
                     .codec = (uint8_t)vt_random(rng),
                     .level = (uint8_t)vt_random(rng),
                     .is_block = vt_below(rng, 2),
                     .hash = vt_random(rng)};
}

VT_TEST(setting_a_reference_changes_that_one_only) {
    fixture f;
    begin(&f, 0);
    fill(&f, 500);
    for (uint32_t i = 0; i < f.l.count; i++)
        for (uint32_t r = 0; r < f.l.at[i]->item.ref_count; r++) {
            vsi_ref ref = random_ref(&f.rng);
            vsi_node_set_ref(f.page, i, r, ref);
            vsi_ref_encode(ref, f.l.at[i]->refs + (size_t)r * VSI_REF_BYTES);
            vsi_ref found = vsi_node_ref(f.page, i, r);
            VT_CHECK(found.at == ref.at && found.hash == ref.hash && found.birth == ref.birth);
            VT_EQ(found.kind, ref.kind);
            VT_EQ(found.codec, ref.codec);
            VT_EQ(found.level, ref.level);
            VT_EQ(found.is_block, ref.is_block);
            check_equal(&f);
        }
    end(&f);
}

VT_TEST(a_value_is_changed_in_place_and_nothing_else) {
    fixture f;
    begin(&f, 0);
    fill(&f, 120);
    for (uint32_t i = 0; i < f.l.count; i++) {
        uint8_t *value = vsi_node_value(f.page, i);
        for (size_t k = 0; k < f.l.at[i]->item.value.bytes; k++)
            value[k] = f.l.at[i]->value[k] = (uint8_t)vt_random(&f.rng);
        check_equal(&f);
    }
    end(&f);
}

/* ---- order ---------------------------------------------------------------------------------- */

VT_TEST(bytes_compare_as_memcmp_does_a_prefix_first) {
    vt_rng rng = {vt_seed()};
    VT_EQ(vsi_bytes_compare((vsi_bytes){NULL, 0}, (vsi_bytes){NULL, 0}), 0);
    for (int i = 0; i < 20000; i++) {
        size_t a_bytes = vt_below(&rng, 5), b_bytes = vt_below(&rng, 5);
        uint8_t *a = random_block(&rng, a_bytes), *b = random_block(&rng, b_bytes);
        for (size_t k = 0; k < 4; k++) {
            if (k < a_bytes)
                a[k] = (uint8_t)(a[k] % 3 * 127); /* 0, 0x7f and 0xfe */
            if (k < b_bytes)
                b[k] = (uint8_t)(b[k] % 3 * 127);
        }
        vsi_bytes x = {a_bytes ? a : NULL, a_bytes}, y = {b_bytes ? b : NULL, b_bytes};
        int order = vsi_bytes_compare(x, y), back = vsi_bytes_compare(y, x);
        VT_EQ((order > 0) - (order < 0), compare(x, y));
        VT_EQ((back > 0) - (back < 0), compare(y, x));
        VT_EQ(vsi_bytes_compare(x, x), 0);
        free(a);
        free(b);
    }
}

/* What keys of a test look like: bytes of a small alphabet, so that many begin alike. */
typedef struct alphabet {
    size_t key_max;
    uint32_t letters;
} alphabet;

static const alphabet alphabets[] = {{1, 256}, {2, 16}, {6, 2}, {12, 3}, {40, 256}, {900, 1}};
enum { ALPHABETS = sizeof alphabets / sizeof alphabets[0] };

static entry *key_entry(fixture *f, const alphabet *a, uint32_t refs) {
    size_t value = refs ? 0 : vt_below(&f->rng, 20);
    entry *e = new_entry(&f->rng, vt_below(&f->rng, a->key_max + 1), value, refs);
    for (size_t i = 0; i < e->item.key.bytes; i++)
        e->key[i] = (uint8_t)(e->key[i] % a->letters + (a->letters < 256 ? 0x7e : 0));
    return e;
}

/* A page of random keys in order, at most so many. */
static void fill_in_order(fixture *f, const alphabet *a, uint32_t count_max) {
    bool is_inner = vsi_node_level(f->page) > 0;
    for (uint32_t tries = 0; tries < 2 * count_max && f->l.count < count_max; tries++) {
        bool is_found;
        entry *e = key_entry(f, a, is_inner ? 1 : tries % 8 ? 0 : tries / 8 % 16);
        uint32_t at = list_find(&f->l, e->item.key, &is_found);
        if (is_found)
            free_entry(e);
        else if (!insert(f, at, e))
            break;
    }
    check_equal(f);
    expect_valid(f->page);
}

static void check_find(const fixture *f, vsi_bytes key) {
    bool is_expected, is_found;
    uint32_t expected = list_find(&f->l, key, &is_expected);
    is_found = !is_expected;
    VT_EQ(vsi_node_find(f->page, key, &is_found), expected);
    VT_EQ(is_found, is_expected);
}

/* The last entry, but for the first, whose key is not above key; else the first. */
static void check_find_child(const fixture *f, vsi_bytes key) {
    uint32_t expected = 0;
    for (uint32_t i = 1; i < f->l.count; i++)
        if (compare(f->l.at[i]->item.key, key) <= 0)
            expected = i;
    VT_EQ(vsi_node_find_child(f->page, key), expected);
}

/* Random keys, every key that is there, and what lies close to them. */
static void check_finds(fixture *f, const alphabet *a, void (*check)(const fixture *, vsi_bytes)) {
    for (int i = 0; i < 100; i++) {
        entry *e = key_entry(f, a, 0);
        check(f, e->item.key);
        free_entry(e);
    }
    for (uint32_t i = 0; i < f->l.count; i++) {
        vsi_bytes key = f->l.at[i]->item.key;
        uint8_t *longer = malloc(key.bytes + 1);
        for (size_t k = 0; k < key.bytes; k++)
            longer[k] = key.data[k];
        longer[key.bytes] = 0;
        check(f, key);
        check(f, (vsi_bytes){longer, key.bytes + 1});
        if (key.bytes) {
            check(f, (vsi_bytes){longer, key.bytes - 1});
            longer[key.bytes - 1]++;
            check(f, (vsi_bytes){longer, key.bytes});
        }
        free(longer);
    }
    check(f, (vsi_bytes){NULL, 0});
}

static void check_finding(uint32_t level, void (*check)(const fixture *, vsi_bytes)) {
    static const uint32_t counts[] = {1, 2, 3, 4, 5, 7, 8, 9, 31, 150};
    for (int a = 0; a < ALPHABETS; a++)
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            fixture f;
            begin(&f, level);
            f.rng.state += c * 1000;
            fill_in_order(&f, &alphabets[a], counts[c]);
            check_finds(&f, &alphabets[a], check);
            end(&f);
        }
}

VT_TEST(finding_in_a_leaf_agrees_with_trying_one_after_the_other) {
    check_finding(0, check_find);
}

VT_TEST(finding_a_child_agrees_with_trying_one_after_the_other) {
    check_finding(1, check_find_child);
}

VT_TEST(an_empty_leaf_has_no_key) {
    fixture f;
    begin(&f, 0);
    check_find(&f, (vsi_bytes){NULL, 0});
    check_find(&f, (vsi_bytes){(const uint8_t *)"a", 1});
    end(&f);
}

/* D1: whatever key 0 is, it is no bound. */
VT_TEST(the_first_key_of_an_inner_node_is_never_compared) {
    fixture f;
    begin(&f, 1);
    fill_in_order(&f, &alphabets[4], 20);
    entry *highest = new_entry(&f.rng, 30, 0, 1);
    memset(highest->key, 0xff, 30);
    remove_at(&f, 0);
    VT_CHECK(insert(&f, 0, highest));
    expect_valid(f.page);
    check_finds(&f, &alphabets[4], check_find_child);
    end(&f);
}

/* ---- checking ------------------------------------------------------------------------------- */

/* A page with holes, of a leaf or an inner node. */
static void make_valid(fixture *f, uint32_t level, uint64_t seed) {
    begin(f, level);
    f->rng.state = vt_mix(vt_seed() + seed);
    const alphabet *a = &alphabets[1 + seed % (ALPHABETS - 1)];
    uint32_t count_max = seed % 2 ? 8 : 400;
    fill_in_order(f, a, count_max);
    for (uint32_t left = f->l.count / 3; left > 0; left--)
        remove_at(f, (uint32_t)vt_below(&f->rng, f->l.count));
    if (seed % 3)
        fill_in_order(f, a, count_max);
}

VT_TEST(pages_in_order_are_valid_with_and_without_holes) {
    for (uint64_t seed = 0; seed < 200; seed++) {
        fixture f;
        make_valid(&f, (uint32_t)(seed % (VSI_NODE_LEVEL_MAX + 1)), seed);
        expect_valid(f.page);
        end(&f);
    }
}

static void expect_problem(const uint8_t *page, const char *part) {
    const char *problem = vsi_node_check(page, 0);
    VT_CHECK(problem != NULL);
    VT_CONTAINS(problem, part);
}

static uint32_t field(const uint8_t *page, size_t off) {
    return vsi_get_u16(page + off);
}

static void set_field(uint8_t *page, size_t off, uint32_t value) {
    vsi_put_u16(page + off, (uint16_t)value);
}

static size_t offset_off(uint32_t at) {
    return VSI_NODE_HEADER_BYTES + 2 * (size_t)at;
}

/* A field set to a wrong value; then the page is as before. */
static void try_field(uint8_t *page, size_t off, uint32_t value, const char *part) {
    uint32_t was = field(page, off);
    VT_CHECK(value != was);
    set_field(page, off, value);
    expect_problem(page, part);
    set_field(page, off, was);
    expect_valid(page);
}

VT_TEST(a_wrong_field_of_the_header_is_found) {
    for (uint64_t seed = 1; seed < 40; seed++) {
        fixture f;
        make_valid(&f, seed % 2, seed);
        uint32_t count = f.l.count, heap = field(f.page, HEAP_OFF);
        try_field(f.page, LEVEL_OFF, VSI_NODE_LEVEL_MAX + 1, "level");
        try_field(f.page, LEVEL_OFF, 0xffff, "level");
        try_field(f.page, COUNT_OFF, 0, "empty");
        try_field(f.page, COUNT_OFF, count - 1, count > 1 ? "used" : "empty");
        try_field(f.page, COUNT_OFF, count + 1, "");
        try_field(f.page, COUNT_OFF, 0xffff, "outside");
        try_field(f.page, HEAP_OFF, 0, "outside");
        try_field(f.page, HEAP_OFF, (uint32_t)offset_off(count) - 1, "outside");
        try_field(f.page, HEAP_OFF, VSI_PAGE_BYTES + 1, "outside");
        try_field(f.page, HEAP_OFF, 0xffff, "outside");
        uint32_t lowest = VSI_PAGE_BYTES;
        for (uint32_t i = 0; i < count; i++)
            if (field(f.page, offset_off(i)) < lowest)
                lowest = field(f.page, offset_off(i));
        VT_CHECK(heap <= lowest);
        try_field(f.page, HEAP_OFF, lowest + 1, "beyond");
        for (int difference = -1; difference <= 1; difference += 2)
            try_field(f.page, USED_OFF, (uint32_t)((int)f.l.used + difference), "used");
        end(&f);
    }
}

VT_TEST(an_entry_that_reaches_beyond_its_page_is_found) {
    for (uint64_t seed = 1; seed < 40; seed++) {
        fixture f;
        make_valid(&f, seed % 2, seed);
        for (uint32_t i = 0; i < f.l.count; i++) {
            size_t off = field(f.page, offset_off(i));
            size_t left = VSI_PAGE_BYTES - off - 4;
            try_field(f.page, offset_off(i), VSI_PAGE_BYTES, "beyond");
            try_field(f.page, offset_off(i), VSI_PAGE_BYTES - 3, "beyond");
            try_field(f.page, offset_off(i), 0xffff, "beyond");
            try_field(f.page, offset_off(i), field(f.page, HEAP_OFF) - 1, "beyond");
            try_field(f.page, offset_off(i), 0, "beyond");
            try_field(f.page, off, (uint32_t)left + 1, "beyond");
            try_field(f.page, off, 0xffff, "beyond");
            uint32_t key = field(f.page, off), refs = field(f.page, off + 2) & 0xf000;
            size_t taken = key + (size_t)(refs >> 12) * VSI_REF_BYTES;
            if (left + 1 - taken < 4096)
                try_field(f.page, off + 2, refs | (uint32_t)(left + 1 - taken), "beyond");
        }
        end(&f);
    }
}

VT_TEST(an_inner_entry_without_exactly_one_child_is_found) {
    fixture f;
    make_valid(&f, 1, 2);
    for (uint32_t i = 0; i < f.l.count; i++) {
        size_t off = field(f.page, offset_off(i));
        try_field(f.page, off + 2, field(f.page, off + 2) & 0xfff, "child");
    }
    clear(&f);
    vsi_node_init(f.page, 1, 0);
    VT_CHECK(insert(&f, 0, new_entry(&f.rng, 4, 0, 2)));
    expect_problem(f.page, "child");
    set_field(f.page, LEVEL_OFF, 0);
    expect_valid(f.page);
    end(&f);
}

VT_TEST(keys_out_of_order_are_found_but_for_the_first_of_an_inner_node) {
    for (uint32_t level = 0; level < 2; level++) {
        fixture f;
        make_valid(&f, level, 3);
        for (uint32_t i = 0; i + 1 < f.l.count; i++) {
            uint32_t a = field(f.page, offset_off(i)), b = field(f.page, offset_off(i + 1));
            set_field(f.page, offset_off(i), b);
            set_field(f.page, offset_off(i + 1), a);
            if (level == 0 || i > 0)
                expect_problem(f.page, "ascend");
            set_field(f.page, offset_off(i), a);
            set_field(f.page, offset_off(i + 1), b);
            if (level == 0 || i > 0) /* the same entry twice */
                try_field(f.page, offset_off(i + 1), a, "");
            expect_valid(f.page);
        }
        end(&f);
    }
}

/* Two keys that are equal but lie at two places. */
VT_TEST(equal_keys_are_found) {
    fixture f;
    begin(&f, 0);
    for (uint32_t i = 0; i < 2; i++) {
        entry *e = new_entry(&f.rng, 5, i, 0);
        memcpy(e->key, "equal", 5);
        VT_CHECK(insert(&f, i, e));
    }
    expect_problem(f.page, "ascend");
    end(&f);
}

/* Entries may lie over each other if only their lengths say so; together they must not claim more
 * than a page, or the next insert would take the room that is left for huge. */
VT_TEST(entries_that_together_need_more_than_a_page_are_found) {
    fixture f;
    begin(&f, 0);
    enum { HEAP = 1096 };
    set_field(f.page, COUNT_OFF, 4);
    set_field(f.page, HEAP_OFF, HEAP);
    size_t used = 0;
    for (uint32_t i = 0; i < 4; i++) {
        size_t off = HEAP + 8 * (size_t)i, value = 1300;
        set_field(f.page, offset_off(i), (uint32_t)off);
        set_field(f.page, off, 1);
        set_field(f.page, off + 2, (uint32_t)value);
        f.page[off + 4] = (uint8_t)i;
        used += 6 + 1 + value;
    }
    set_field(f.page, USED_OFF, (uint32_t)used);
    VT_CHECK(used > ROOM);
    VT_CHECK(vsi_node_check(f.page, 0) != NULL);
    end(&f);
}

/* A split relies on the size of entries; a page from a file must not bring a larger one. */
VT_TEST(an_entry_larger_than_any_that_may_be_put_is_found) {
    fixture f;
    begin(&f, 0);
    entry *e = new_entry(&f.rng, 4, VSI_NODE_ENTRY_MAX + 1 - VSI_NODE_ENTRY_OVERHEAD - 4, 0);
    VT_CHECK(insert(&f, 0, e));
    VT_CHECK(vsi_node_check(f.page, 0) != NULL);
    end(&f);
}

/* ---- trailers -------------------------------------------------------------------------------- */

static void expect_zeros(const uint8_t *page, size_t bytes) {
    for (size_t i = VSI_PAGE_BYTES - bytes; i < VSI_PAGE_BYTES; i++)
        VT_EQ(page[i], 0);
}

VT_TEST(a_page_with_a_trailer_is_full_before_it) {
    fixture f;
    uint32_t count = (ROOM - VSI_TRAILER_BYTES) / 8;
    begin(&f, 0);
    vsi_node_init(f.page, 0, VSI_TRAILER_BYTES);
    VT_EQ(field(f.page, TRAILER_OFF), 40);
    VT_EQ(vsi_node_room(f.page), ROOM - 40);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t key[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        vsi_node_item item = {.key = {key, sizeof key}};
        VT_CHECK(vsi_node_has_room(f.page, vsi_node_item_bytes(&item)));
        vsi_node_insert(f.page, i, &item);
    }
    VT_EQ(vsi_node_used(f.page), ROOM - 40);
    VT_CHECK(!vsi_node_has_room(f.page, 1));
    expect_zeros(f.page, VSI_TRAILER_BYTES);
    VT_CHECK(!vsi_node_check(f.page, VSI_TRAILER_BYTES));
    VT_CONTAINS(vsi_node_check(f.page, 0), "trailer");
    end(&f);
}

VT_TEST(a_trailer_stays_whatever_is_inserted_removed_and_packed) {
    fixture f;
    begin(&f, 3);
    vsi_node_init(f.page, 3, VSI_TRAILER_BYTES);
    for (int i = 0; i < 4000; i++) {
        entry *e = new_entry(&f.rng, vt_below(&f.rng, 60), vt_below(&f.rng, 60), 1);
        uint32_t at = (uint32_t)vt_below(&f.rng, vsi_node_count(f.page) + 1);
        if (vsi_node_has_room(f.page, vsi_node_item_bytes(&e->item)))
            vsi_node_insert(f.page, at, &e->item);
        else
            vsi_node_remove(f.page, at ? at - 1 : 0);
        if (i % 100 == 0)
            vsi_node_pack(f.page);
        free_entry(e);
        expect_zeros(f.page, VSI_TRAILER_BYTES);
        VT_EQ(vsi_node_trailer(f.page), VSI_TRAILER_BYTES);
        VT_EQ(vsi_node_level(f.page), 3);
    }
    end(&f);
}

VT_TEST(an_entry_that_reaches_into_the_trailer_is_found) {
    fixture f;
    begin(&f, 0);
    vsi_node_init(f.page, 0, VSI_TRAILER_BYTES);
    vsi_node_insert(f.page, 0, &(vsi_node_item){.key = {(const uint8_t *)"k", 1}});
    VT_CHECK(!vsi_node_check(f.page, VSI_TRAILER_BYTES));
    uint32_t off = VSI_PAGE_BYTES - VSI_TRAILER_BYTES - 5;
    VT_EQ(field(f.page, HEAP_OFF), off);
    set_field(f.page, off + 2, 1); /* a value of one byte: the trailer's first */
    VT_CONTAINS(vsi_node_check(f.page, VSI_TRAILER_BYTES), "an entry reaches beyond its node");
    set_field(f.page, off + 2, 0);
    for (uint32_t heap = off + 1; heap <= off + 6; heap++) {
        set_field(f.page, HEAP_OFF, heap);
        VT_CONTAINS(vsi_node_check(f.page, VSI_TRAILER_BYTES),
                    heap == off + 6 ? "lie outside" : "reaches beyond");
    }
    set_field(f.page, HEAP_OFF, off);
    for (uint32_t bytes = 0; bytes < 65536; bytes += bytes < 100 ? 1 : 5003) {
        set_field(f.page, TRAILER_OFF, bytes);
        const char *problem = vsi_node_check(f.page, VSI_TRAILER_BYTES);
        VT_EQ(!problem, bytes == VSI_TRAILER_BYTES);
    }
    end(&f);
}

/* ---- random damage -------------------------------------------------------------------------- */

/* What vsi_node_check promises of a page that it finds nothing wrong with. */
static void check_promises(const uint8_t *page) {
    uint32_t count = vsi_node_count(page), level = vsi_node_level(page), sum = 0;
    size_t used = 0;
    VT_CHECK(count > 0);
    VT_CHECK(level <= VSI_NODE_LEVEL_MAX);
    for (uint32_t i = 0; i < count; i++) {
        vsi_node_item item = vsi_node_item_at(page, i);
        const uint8_t *to = item.refs + (size_t)item.ref_count * VSI_REF_BYTES;
        VT_CHECK(item.key.data >= page + offset_off(count));
        VT_CHECK(to <= page + VSI_PAGE_BYTES);
        for (const uint8_t *p = item.key.data; p < to; p++)
            sum += *p; /* so that it is read */
        VT_CHECK(level == 0 || item.ref_count == 1);
        if (i > (level ? 1u : 0u))
            VT_CHECK(compare(vsi_node_key(page, i - 1), item.key) < 0);
        used += vsi_node_item_bytes(&item);
    }
    VT_EQ(vsi_node_used(page), used);
    VT_CHECK(used <= ROOM);
    VT_CHECK(sum < UINT32_MAX);
}

/* A page that was found valid can be changed like any other. */
static void check_changes(uint8_t *page, vt_rng *rng) {
    while (vsi_node_count(page) > 1 && vt_below(rng, 8))
        vsi_node_remove(page, (uint32_t)vt_below(rng, vsi_node_count(page)));
    for (int i = 0; i < 40; i++) {
        entry *e = new_entry(rng, vt_below(rng, 30), vt_below(rng, 300), 1);
        if (vsi_node_has_room(page, vsi_node_item_bytes(&e->item)))
            vsi_node_insert(page, (uint32_t)vt_below(rng, vsi_node_count(page) + 1), &e->item);
        free_entry(e);
    }
}

static uint32_t nasty(vt_rng *rng, const uint8_t *page) {
    const uint32_t values[] = {0,
                               1,
                               0xffff,
                               VSI_PAGE_BYTES,
                               VSI_PAGE_BYTES - 1,
                               VSI_PAGE_BYTES - 3,
                               VSI_PAGE_BYTES - 4,
                               0x0fff,
                               0xf000,
                               0x1000,
                               field(page, HEAP_OFF),
                               field(page, HEAP_OFF) - 1,
                               field(page, HEAP_OFF) + 1,
                               (uint32_t)vt_below(rng, VSI_PAGE_BYTES),
                               (uint32_t)vt_below(rng, 65536)};
    return values[vt_below(rng, sizeof values / sizeof values[0])];
}

/* A place of two bytes: of the header, an offset, the lengths of an entry, or anywhere. */
static size_t weak_spot(vt_rng *rng, const uint8_t *page) {
    uint32_t count = vsi_node_count(page) % ENTRIES_MAX;
    uint32_t at = (uint32_t)vt_below(rng, count + 1);
    size_t off = field(page, offset_off(at)) % (VSI_PAGE_BYTES - 4);
    switch (vt_below(rng, 4)) {
    case 0:
        return 2 * vt_below(rng, 5);
    case 1:
        return offset_off(at);
    case 2:
        return off + 2 * vt_below(rng, 2);
    default:
        return vt_below(rng, VSI_PAGE_BYTES - 1);
    }
}

static void damage(vt_rng *rng, uint8_t *page) {
    for (uint64_t left = 1 + vt_below(rng, 3); left > 0; left--) {
        size_t off = weak_spot(rng, page);
        if (vt_below(rng, 2))
            set_field(page, off, nasty(rng, page));
        else
            page[off] = (uint8_t)(page[off] ^ 1 << vt_below(rng, 8));
    }
}

/* The count of used bytes as the entries say it, where they can be read. */
static void repair_used(uint8_t *page) {
    size_t used = 0, count = vsi_node_count(page);
    if (count > ENTRIES_MAX)
        return;
    for (uint32_t i = 0; i < count; i++) {
        size_t off = field(page, offset_off(i));
        if (off > VSI_PAGE_BYTES - 4)
            return;
        uint32_t lengths = field(page, off + 2);
        used += 6 + field(page, off) + (lengths & 0xfff) + (size_t)(lengths >> 12) * VSI_REF_BYTES;
    }
    set_field(page, USED_OFF, (uint32_t)used);
}

/* Damages a valid page again and again, from its start; pages that passed all the same. */
static int damage_often(uint32_t level, uint64_t seed, int rounds) {
    fixture f;
    int passed = 0;
    make_valid(&f, level, seed);
    uint8_t *copy = malloc(VSI_PAGE_BYTES); /* a block of its own: see fixture */
    for (int i = 0; i < rounds; i++) {
        memcpy(copy, f.page, VSI_PAGE_BYTES);
        damage(&f.rng, copy);
        if (i % 2)
            repair_used(copy);
        if (vsi_node_check(copy, 0))
            continue;
        passed++;
        check_promises(copy);
        check_changes(copy, &f.rng);
    }
    free(copy);
    end(&f);
    return passed;
}

VT_TEST(random_damage_is_found_or_leaves_a_page_that_can_be_read_and_changed) {
    int passed = 0;
    for (uint64_t seed = 0; seed < 120; seed++)
        passed += damage_often(seed % 2 ? 0 : 1 + (uint32_t)seed % 3, seed, 250);
    VT_CHECK(passed > 1000);
    VT_CHECK(passed < 25000);
}

/* Long runs of entries that lie over each other, with lengths that fit. */
VT_TEST(pages_of_random_offsets_are_found_or_can_be_read_and_changed) {
    vt_rng rng = {vt_seed()};
    uint8_t *page = malloc(VSI_PAGE_BYTES);
    int passed = 0;
    for (int i = 0; i < 8000; i++) {
        uint32_t count = 1 + (uint32_t)vt_below(&rng, i % 4 ? 3 : 30), letters = i % 3 ? 4 : 256;
        vsi_node_init(page, (uint32_t)vt_below(&rng, 2), 0);
        for (size_t k = 16; k < VSI_PAGE_BYTES; k++)
            page[k] = (uint8_t)(k % 2 ? 0 : vt_below(&rng, letters));
        set_field(page, COUNT_OFF, count);
        set_field(page, HEAP_OFF, 100);
        for (uint32_t at = 0; at < count; at++) {
            uint64_t off = vt_below(&rng, 3) ? 100 + 300 * at + vt_below(&rng, 300)
                                             : 100 + vt_below(&rng, VSI_PAGE_BYTES - 100);
            set_field(page, offset_off(at), (uint32_t)(off & ~(uint64_t)1) % VSI_PAGE_BYTES);
        }
        repair_used(page);
        if (vsi_node_check(page, 0))
            continue;
        passed++;
        check_promises(page);
        check_changes(page, &rng);
    }
    free(page);
    VT_CHECK(passed > 100);
}

VT_TEST(pages_of_random_bytes_are_found) {
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 300; i++) {
        uint8_t *page = random_block(&rng, VSI_PAGE_BYTES);
        if (!vsi_node_check(page, 0))
            check_promises(page);
        free(page);
    }
}
