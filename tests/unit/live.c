/* live.c - the bitmap of live slots against a plain array. */
#include "store/live.h"
#include "vt.h"

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
    vsi_err err;
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

static vsi_btree empty_live(fixture *f) {
    return (vsi_btree){.cow = &f->cow};
}

/* Inside a scope. */
static void set_in(vsi_btree *live, uint32_t slot, bool is_live) {
    vsi_err err = {0};
    if (vsi_live_set(&err, live, VSI_LIVE_RECORDS, slot, is_live) != VS_OK)
        vt_fail(__FILE__, __LINE__, "slot %u: %s", slot, err.text);
}

static void commit(fixture *f, vsi_cow_mark mark) {
    vsi_cow_keep(&f->cow, mark);
    vsi_cow_free_dead(&f->cow, vsi_cow_take_dead(&f->cow));
}

/* One change in a transaction of its own, without older versions. */
static void set(fixture *f, vsi_btree *live, uint32_t slot, bool is_live) {
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    set_in(live, slot, is_live);
    commit(f, mark);
}

static bool get(const vsi_btree *live, uint32_t slot) {
    vsi_err err = {0};
    bool is_live = false;
    VT_EQ(vsi_live_get(&err, live, VSI_LIVE_RECORDS, slot, &is_live), VS_OK);
    return is_live;
}

static uint32_t next_in(vsi_live_scan *scan, uint32_t slot, uint32_t last, bool is_live) {
    vsi_err err = {0};
    uint32_t found = 0;
    vs_status st = is_live ? vsi_live_next(&err, scan, slot, last, &found)
                           : vsi_live_next_dead(&err, scan, slot, last, &found);
    VT_EQ(st, VS_OK);
    return found;
}

/* With a scan that has loaded nothing. */
static uint32_t next_live(const vsi_btree *live, uint32_t slot, uint32_t last) {
    vsi_live_scan scan = {.live = live};
    return next_in(&scan, slot, last, true);
}

static uint32_t next_dead(const vsi_btree *live, uint32_t slot, uint32_t last) {
    vsi_live_scan scan = {.live = live};
    return next_in(&scan, slot, last, false);
}

static void check_tree(const vsi_btree *live) {
    vsi_err err = {0};
    const char *problem = NULL;
    VT_EQ(vsi_btree_check(&err, live, &problem), VS_OK);
    if (problem)
        vt_fail(__FILE__, __LINE__, "%s", problem);
}

/* Slots at the borders of bytes, words, chunks and of chunk numbers of one to three bytes. */
static const uint32_t border[] = {
    0,          1,          7,          8,          63,         64,         65,        127,
    128,        4095,       4096,       4097,       8191,       8192,       32767,     32768,
    1048575,    1048576,    1048577,    2097152,    8388607,    268435455,  268435456, 2147483647,
    2147483648, 4294963199, 4294963200, 4294967232, 4294967293, 4294967294,
};
enum { BORDERS = sizeof border / sizeof border[0], NEAR = 3 * VSI_LIVE_CHUNK_SLOTS };

/* A little before and a little behind a slot. */
static uint32_t before_of(uint32_t slot) {
    return slot > NEAR ? slot - NEAR : 0;
}

static uint32_t behind_of(uint32_t slot) {
    return slot < UINT32_MAX - NEAR ? slot + NEAR : UINT32_MAX;
}

/* ---- single slots --------------------------------------------------------------------------- */

VT_TEST(in_an_empty_bitmap_no_slot_is_live) {
    fixture f;
    begin(&f);
    const vsi_btree live = empty_live(&f);
    for (int i = 0; i < BORDERS; i++) {
        uint32_t behind = behind_of(border[i]);
        VT_CHECK(!get(&live, border[i]));
        VT_EQ(next_live(&live, border[i], behind), behind);
        VT_EQ(next_dead(&live, border[i], behind), border[i]);
    }
    end(&f);
}

VT_TEST(one_live_slot_is_found_and_its_neighbours_are_dead) {
    for (int i = 0; i < BORDERS; i++) {
        fixture f;
        uint32_t slot = border[i], before = before_of(slot), behind = behind_of(slot);
        begin(&f);
        vsi_btree live = empty_live(&f);
        set(&f, &live, slot, true);
        VT_CHECK(get(&live, slot));
        VT_CHECK(slot == 0 || !get(&live, slot - 1));
        VT_CHECK(!get(&live, slot + 1));
        VT_EQ(next_live(&live, before, behind), slot);
        VT_EQ(next_live(&live, slot, behind), slot);
        VT_EQ(next_live(&live, slot + 1, behind), behind);
        VT_EQ(next_live(&live, before, slot), slot); /* end itself is not looked at */
        VT_EQ(next_dead(&live, slot, behind), slot + 1);
        set(&f, &live, slot, false);
        VT_CHECK(!get(&live, slot));
        VT_EQ(next_live(&live, before, behind), behind);
        VT_EQ(next_dead(&live, slot, behind), slot);
        end(&f);
    }
}

/* Chunks that are missing in between do not stop a search. */
VT_TEST(slots_far_apart_are_found_one_after_the_other) {
    fixture f;
    begin(&f);
    vsi_btree live = empty_live(&f);
    for (int i = 0; i < BORDERS; i++)
        set(&f, &live, border[i * 7 % BORDERS], true); /* 7 and 30 have no common divisor */
    vsi_live_scan scan = {.live = &live};
    for (int i = 0; i < BORDERS; i++)
        VT_CHECK(get(&live, border[i]));
    uint32_t slot = 0;
    for (int i = 0; border[i] < 4 << 20; i++, slot++) {
        slot = next_in(&scan, slot, 8 << 20, true);
        VT_EQ(slot, border[i]);
    }
    VT_EQ(next_in(&scan, slot, 4 << 20, true), 4 << 20);
    check_tree(&live);
    end(&f);
}

VT_TEST(a_search_stops_at_its_end) {
    fixture f;
    begin(&f);
    vsi_btree live = empty_live(&f);
    set(&f, &live, 100, true);
    for (uint32_t last = 0; last <= 100; last++)
        VT_EQ(next_live(&live, 0, last), last);
    VT_EQ(next_live(&live, 0, 101), 100);
    VT_EQ(next_live(&live, 50, 50), 50);
    VT_EQ(next_dead(&live, 100, 101), 101);
    VT_EQ(next_dead(&live, 100, 100), 100);
    end(&f);
}

VT_TEST(setting_what_is_set_changes_nothing) {
    fixture f;
    begin(&f);
    vsi_btree live = empty_live(&f);
    set(&f, &live, 70, false);
    VT_CHECK(!get(&live, 70));
    set(&f, &live, 70, true);
    set(&f, &live, 70, true);
    VT_CHECK(get(&live, 70));
    set(&f, &live, 70, false);
    set(&f, &live, 70, false);
    VT_CHECK(!get(&live, 70));
    VT_EQ(next_live(&live, 0, 200000), 200000);
    end(&f);
}

VT_TEST(a_run_of_live_slots_over_chunk_borders_has_no_holes) {
    fixture f;
    const uint32_t from = VSI_LIVE_CHUNK_SLOTS - 100, to = 3 * VSI_LIVE_CHUNK_SLOTS + 100;
    const uint32_t behind = 20 * VSI_LIVE_CHUNK_SLOTS;
    begin(&f);
    vsi_btree live = empty_live(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (uint32_t slot = from; slot < to; slot++)
        set_in(&live, slot, true);
    vsi_cow_keep(&f.cow, mark);
    VT_EQ(next_live(&live, 0, behind), from);
    VT_EQ(next_dead(&live, from, behind), to);
    VT_EQ(next_live(&live, to, behind), behind);
    for (uint32_t slot = from; slot < to; slot += 77) {
        VT_EQ(next_live(&live, slot, behind), slot);
        VT_EQ(next_dead(&live, slot, behind), to);
        VT_EQ(next_dead(&live, slot, to), to);
    }
    end(&f);
}

VT_TEST(a_chunk_of_another_size_is_called_damage_by_every_reader) {
    static const uint8_t key[6] = {0, 0, 0, 0, 0, 2};
    static const uint8_t bytes[VSI_LIVE_CHUNK_BYTES + 1];
    static const size_t wrong[] = {0, 1, VSI_LIVE_CHUNK_BYTES - 1, VSI_LIVE_CHUNK_BYTES + 1};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        fixture f;
        begin(&f);
        vsi_btree live = empty_live(&f);
        set(&f, &live, 5, true);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        VT_EQ(vsi_btree_put(&f.err, &live, (vsi_bytes){key, 6}, (vsi_bytes){bytes, wrong[i]}),
              VS_OK);
        commit(&f, mark);
        const uint32_t slot = 2 * VSI_LIVE_CHUNK_SLOTS;
        vsi_live_scan scan = {.live = &live};
        uint32_t found = 9;
        bool is_live = true;
        VT_EQ(vsi_live_get(&f.err, &live, VSI_LIVE_RECORDS, slot, &is_live), VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, "chunk 2");
        VT_EQ(vsi_live_next(&f.err, &scan, 6, UINT32_MAX, &found), VS_ERR_CORRUPT);
        VT_EQ(vsi_live_next_dead(&f.err, &scan, slot, UINT32_MAX, &found), VS_ERR_CORRUPT);
        VT_CHECK(is_live && found == 9); /* written only on success */
        VT_EQ(next_in(&scan, 5, slot, true), 5);
        end(&f);
    }
}

/* ---- against a plain array ------------------------------------------------------------------ */

enum { SLOTS = 24 * VSI_LIVE_CHUNK_SLOTS };

static uint32_t plain_next(const bool *plain, uint32_t slot, uint32_t last, bool is_live) {
    while (slot < last && plain[slot] != is_live)
        slot++;
    return slot;
}

static void check_all(const vsi_btree *live, const bool *plain) {
    for (uint32_t slot = 0; slot < SLOTS; slot += slot % 64 == 2 ? 59 : 1) /* around words */
        if (get(live, slot) != plain[slot])
            vt_fail(__FILE__, __LINE__, "slot %u", slot);
    uint32_t found = 0, expected = 0;
    vsi_live_scan scan = {.live = live};
    while (expected < SLOTS) { /* alternately the next live and the next dead one */
        found = next_in(&scan, found, SLOTS, true);
        expected = plain_next(plain, expected, SLOTS, true);
        VT_EQ(found, expected);
        found = next_in(&scan, found, SLOTS, false);
        expected = plain_next(plain, expected, SLOTS, false);
        VT_EQ(found, expected);
    }
    check_tree(live);
}

/* One scan may be asked in any order. */
static void check_searches(const vsi_btree *live, const bool *plain, vt_rng *rng) {
    vsi_live_scan scan = {.live = live};
    for (int i = 0; i < 50; i++) {
        uint32_t slot = (uint32_t)vt_below(rng, SLOTS);
        uint32_t last = slot + (uint32_t)vt_below(rng, SLOTS - slot + 1);
        VT_EQ(next_in(&scan, slot, last, true), plain_next(plain, slot, last, true));
        VT_EQ(next_in(&scan, slot, last, false), plain_next(plain, slot, last, false));
    }
}

/* Sets or clears a run; short ones mostly, so that bitmaps of every density occur. */
static void change(vsi_btree *live, bool *plain, vt_rng *rng) {
    uint32_t slot = (uint32_t)vt_below(rng, SLOTS);
    uint32_t n = 1 + (uint32_t)(vt_below(rng, 20000) >> vt_below(rng, 15));
    bool is_live = vt_below(rng, 2);
    for (; n > 0 && slot < SLOTS; n--, slot++) {
        set_in(live, slot, is_live);
        plain[slot] = is_live;
    }
}

VT_TEST(random_changes_and_searches_agree_with_a_plain_array) {
    fixture f;
    bool *plain = calloc(SLOTS, 1);
    vt_rng rng = {vt_seed()};
    begin(&f);
    vsi_btree live = empty_live(&f);
    for (int round = 0; round < 200; round++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        change(&live, plain, &rng);
        commit(&f, mark);
        check_searches(&live, plain, &rng);
        if (round % 40 == 0)
            check_all(&live, plain);
    }
    check_all(&live, plain);
    end(&f);
    free(plain);
}

/* The plain array of slots spread over the whole range: a sorted list of those that are live. */
enum { SPREAD = 3000 };

static uint32_t spread_slot(uint64_t i) {
    static const uint32_t bits[] = {10, 16, 24, 32};
    uint64_t slot = vt_mix(i + 77) >> (64 - bits[i % 4]);
    return i % 50 == 0 ? UINT32_MAX - 1 - (uint32_t)i : (uint32_t)(slot < UINT32_MAX ? slot : 0);
}

static int compare_slots(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

VT_TEST(random_slots_of_the_whole_range_agree_with_a_list) {
    fixture f;
    static uint32_t live_slot[SPREAD];
    size_t count = 0;
    begin(&f);
    vsi_btree live = empty_live(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (uint64_t i = 0; i < SPREAD; i++) {
        set_in(&live, spread_slot(i), true);
        live_slot[count++] = spread_slot(i);
    }
    commit(&f, mark);
    qsort(live_slot, count, sizeof live_slot[0], compare_slots);
    VT_EQ(live_slot[count - 1], UINT32_MAX - 1);
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = live_slot[i], next = i + 1 < count ? live_slot[i + 1] : UINT32_MAX;
        VT_CHECK(get(&live, slot));
        if (next == slot)
            continue;
        uint32_t last = next - slot > NEAR ? slot + NEAR : next + (next < UINT32_MAX);
        uint32_t expected = next < last ? next : last;
        VT_EQ(next_live(&live, slot, last), slot);
        VT_EQ(next_live(&live, slot + 1, last), expected);
        VT_EQ(next_dead(&live, slot, last) == slot + 1, slot + 1 == last || next > slot + 1);
    }
    check_tree(&live);
    for (size_t i = 0; i < count; i += 2) { /* and half of them go again */
        mark = vsi_cow_open(&f.cow);
        set_in(&live, live_slot[i], false);
        commit(&f, mark);
    }
    for (size_t i = 0; i < count; i++) {
        bool is_gone = i % 2 == 0 || live_slot[i - 1] == live_slot[i] ||
                       (i + 1 < count && live_slot[i + 1] == live_slot[i]);
        VT_EQ(get(&live, live_slot[i]), !is_gone);
    }
    end(&f);
}

/* ---- versions ------------------------------------------------------------------------------- */

VT_TEST(older_versions_keep_their_slots_and_undone_changes_are_gone) {
    enum { VERSIONS = 8 };
    fixture f;
    vsi_btree live[VERSIONS + 1];
    bool *plain = calloc(VERSIONS + 1, SLOTS);
    bool *lost = calloc(1, SLOTS);
    vt_rng rng = {vt_seed() + 1};
    begin(&f);
    live[0] = empty_live(&f);
    for (int v = 0; v < VERSIONS; v++) {
        bool *now = plain + (size_t)v * SLOTS, *next = now + SLOTS;
        live[v + 1] = live[v];
        memcpy(next, now, SLOTS);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < 20; i++)
            change(&live[v + 1], next, &rng);
        vsi_cow_keep(&f.cow, mark);
        vsi_cow_take_dead(&f.cow); /* freed with all others at the end */
        const vsi_btree before = live[v + 1];
        mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < 20; i++)
            change(&live[v + 1], lost, &rng);
        vsi_cow_undo(&f.cow, mark);
        live[v + 1] = before;
    }
    for (int v = 0; v <= VERSIONS; v++)
        check_all(&live[v], plain + (size_t)v * SLOTS);
    end(&f);
    free(lost);
    free(plain);
}

/* In a bitmap of one slot, and in one whose leaf is full, so that it splits. */
VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    uint64_t failed = 0;
    for (int i = 0; i < 2 * BORDERS; i++)
        for (uint64_t at = 1;; at++) {
            fixture f;
            uint32_t slot = border[i / 2];
            begin(&f);
            vsi_btree live = empty_live(&f);
            set(&f, &live, 5, true);
            for (uint32_t chunk = 1; i % 2 && chunk < 8; chunk++)
                set(&f, &live, chunk * 1000 * VSI_LIVE_CHUNK_SLOTS + 3, true);
            const vsi_btree before = live;
            uint64_t blocks = f.allocator.live_blocks;
            f.allocator.fail_at = f.allocator.calls + at;
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            vs_status st = vsi_live_set(&f.err, &live, VSI_LIVE_RECORDS, slot, true);
            bool is_done = st == VS_OK;
            VT_EQ(is_done, f.allocator.failures == 0);
            VT_CHECK(is_done || (st == VS_ERR_NOMEM && f.err.text[0]));
            vsi_cow_undo(&f.cow, mark);
            live = before;
            VT_EQ(f.allocator.live_blocks, blocks);
            VT_EQ(next_live(&live, 0, 100000), 5);
            VT_EQ(next_live(&live, 6, 100000), 100000);
            VT_CHECK(slot == 5 || !get(&live, slot));
            check_tree(&live);
            end(&f);
            if (is_done)
                break;
            failed++;
        }
    VT_CHECK(failed > 3 * BORDERS);
}
