/* live.c - the bitmap of live slots against a plain array. */
#include "store/live.h"
#include "vt.h"

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
} fixture;

static void begin(fixture *f) {
    memset(&f->allocator, 0, sizeof f->allocator);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

/* One change in a transaction of its own, without older versions. */
static void set(fixture *f, vsi_live *live, uint32_t slot, bool is_live) {
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    VT_CHECK(vsi_live_set(&f->cow, live, slot, is_live));
    vsi_cow_keep(&f->cow, mark);
    vsi_cow_free_dead(&f->cow, vsi_cow_take_dead(&f->cow));
}

/* Slots at the borders of words, chunks and directory nodes. */
static const uint32_t border[] = {
    0,     1,     63,    64,    65,      127,     128,     32767,      32768,      32769,
    65535, 65536, 98303, 98304, 8388607, 8388608, 8388609, 2147483648, 4294967293, 4294967294,
};
enum { BORDERS = sizeof border / sizeof border[0] };

/* ---- single slots --------------------------------------------------------------------------- */

VT_TEST(in_an_empty_bitmap_no_slot_is_live) {
    const vsi_live live = {0};
    for (int i = 0; i < BORDERS; i++) {
        VT_CHECK(!vsi_live_get(&live, border[i]));
        VT_EQ(vsi_live_next(&live, border[i], UINT32_MAX), UINT32_MAX);
        VT_EQ(vsi_live_next_dead(&live, border[i], UINT32_MAX), border[i]);
    }
}

VT_TEST(one_live_slot_is_found_and_its_neighbours_are_dead) {
    for (int i = 0; i < BORDERS; i++) {
        fixture f;
        vsi_live live = {0};
        uint32_t slot = border[i];
        begin(&f);
        set(&f, &live, slot, true);
        VT_CHECK(vsi_live_get(&live, slot));
        VT_CHECK(slot == 0 || !vsi_live_get(&live, slot - 1));
        VT_CHECK(!vsi_live_get(&live, slot + 1));
        VT_EQ(vsi_live_next(&live, 0, UINT32_MAX), slot);
        VT_EQ(vsi_live_next(&live, slot, UINT32_MAX), slot);
        VT_EQ(vsi_live_next(&live, slot + 1, UINT32_MAX), UINT32_MAX);
        VT_EQ(vsi_live_next(&live, 0, slot), slot); /* end itself is not looked at */
        VT_EQ(vsi_live_next_dead(&live, slot, UINT32_MAX), slot + 1);
        set(&f, &live, slot, false);
        VT_CHECK(!vsi_live_get(&live, slot));
        VT_EQ(vsi_live_next(&live, 0, UINT32_MAX), UINT32_MAX);
        end(&f);
    }
}

VT_TEST(a_search_stops_at_its_end) {
    fixture f;
    vsi_live live = {0};
    begin(&f);
    set(&f, &live, 100, true);
    for (uint32_t last = 0; last <= 100; last++)
        VT_EQ(vsi_live_next(&live, 0, last), last);
    VT_EQ(vsi_live_next(&live, 0, 101), 100);
    VT_EQ(vsi_live_next(&live, 50, 50), 50);
    VT_EQ(vsi_live_next_dead(&live, 100, 101), 101);
    VT_EQ(vsi_live_next_dead(&live, 100, 100), 100);
    end(&f);
}

VT_TEST(setting_what_is_set_changes_nothing) {
    fixture f;
    vsi_live live = {0};
    begin(&f);
    set(&f, &live, 70, false);
    VT_CHECK(!vsi_live_get(&live, 70));
    set(&f, &live, 70, true);
    set(&f, &live, 70, true);
    VT_CHECK(vsi_live_get(&live, 70));
    set(&f, &live, 70, false);
    set(&f, &live, 70, false);
    VT_CHECK(!vsi_live_get(&live, 70));
    VT_EQ(vsi_live_next(&live, 0, 200000), 200000);
    end(&f);
}

VT_TEST(a_run_of_live_slots_over_chunk_borders_has_no_holes) {
    fixture f;
    vsi_live live = {0};
    const uint32_t from = VSI_LIVE_CHUNK_SLOTS - 100, to = 2 * VSI_LIVE_CHUNK_SLOTS + 100;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (uint32_t slot = from; slot < to; slot++)
        VT_CHECK(vsi_live_set(&f.cow, &live, slot, true));
    vsi_cow_keep(&f.cow, mark);
    VT_EQ(vsi_live_next(&live, 0, UINT32_MAX), from);
    VT_EQ(vsi_live_next_dead(&live, from, UINT32_MAX), to);
    VT_EQ(vsi_live_next(&live, to, UINT32_MAX), UINT32_MAX);
    for (uint32_t slot = from; slot < to; slot += 777) {
        VT_EQ(vsi_live_next(&live, slot, UINT32_MAX), slot);
        VT_EQ(vsi_live_next_dead(&live, slot, UINT32_MAX), to);
    }
    end(&f);
}

/* ---- against a plain array ------------------------------------------------------------------ */

enum { SLOTS = 4 * VSI_LIVE_CHUNK_SLOTS };

static uint32_t plain_next(const bool *plain, uint32_t slot, uint32_t last, bool is_live) {
    while (slot < last && plain[slot] != is_live)
        slot++;
    return slot;
}

static void check_all(const vsi_live *live, const bool *plain) {
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        if (vsi_live_get(live, slot) != plain[slot])
            vt_fail(__FILE__, __LINE__, "slot %u", slot);
    uint32_t found = 0, expected = 0;
    while (expected < SLOTS) { /* alternately the next live and the next dead one */
        found = vsi_live_next(live, found, SLOTS);
        expected = plain_next(plain, expected, SLOTS, true);
        VT_EQ(found, expected);
        found = vsi_live_next_dead(live, found, SLOTS);
        expected = plain_next(plain, expected, SLOTS, false);
        VT_EQ(found, expected);
    }
}

static void check_searches(const vsi_live *live, const bool *plain, vt_rng *rng) {
    for (int i = 0; i < 50; i++) {
        uint32_t slot = (uint32_t)vt_below(rng, SLOTS);
        uint32_t last = slot + (uint32_t)vt_below(rng, SLOTS - slot + 1);
        VT_EQ(vsi_live_next(live, slot, last), plain_next(plain, slot, last, true));
        VT_EQ(vsi_live_next_dead(live, slot, last), plain_next(plain, slot, last, false));
    }
}

/* Sets or clears a run; short ones mostly, so that bitmaps of every density occur. */
static void change(fixture *f, vsi_live *live, bool *plain, vt_rng *rng) {
    uint32_t slot = (uint32_t)vt_below(rng, SLOTS);
    uint32_t n = 1 + (uint32_t)(vt_below(rng, 20000) >> vt_below(rng, 15));
    bool is_live = vt_below(rng, 2);
    for (; n > 0 && slot < SLOTS; n--, slot++) {
        VT_CHECK(vsi_live_set(&f->cow, live, slot, is_live));
        plain[slot] = is_live;
    }
}

VT_TEST(random_changes_and_searches_agree_with_a_plain_array) {
    fixture f;
    vsi_live live = {0};
    bool *plain = calloc(SLOTS, 1);
    vt_rng rng = {vt_seed()};
    begin(&f);
    for (int round = 0; round < 300; round++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        change(&f, &live, plain, &rng);
        vsi_cow_keep(&f.cow, mark);
        vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
        check_searches(&live, plain, &rng);
        if (round % 30 == 0)
            check_all(&live, plain);
    }
    check_all(&live, plain);
    end(&f);
    free(plain);
}

VT_TEST(older_versions_keep_their_slots_and_undone_changes_are_gone) {
    enum { VERSIONS = 8 };
    fixture f;
    vsi_live live[VERSIONS + 1] = {{{0}}};
    bool *plain = calloc(VERSIONS + 1, SLOTS);
    vt_rng rng = {vt_seed() + 1};
    begin(&f);
    for (int v = 0; v < VERSIONS; v++) {
        bool *now = plain + (size_t)v * SLOTS, *next = now + SLOTS;
        live[v + 1] = live[v];
        memcpy(next, now, SLOTS);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < 20; i++)
            change(&f, &live[v + 1], next, &rng);
        vsi_cow_keep(&f.cow, mark);
        vsi_cow_take_dead(&f.cow); /* freed with all others at the end */
        const vsi_live before = live[v + 1];
        bool *lost = malloc(SLOTS);
        mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < 20; i++)
            change(&f, &live[v + 1], lost, &rng);
        vsi_cow_undo(&f.cow, mark);
        live[v + 1] = before;
        free(lost);
    }
    for (int v = 0; v <= VERSIONS; v++)
        check_all(&live[v], plain + (size_t)v * SLOTS);
    end(&f);
    free(plain);
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    uint64_t failed = 0;
    for (int i = 0; i < BORDERS; i++)
        for (uint64_t at = 1;; at++) {
            fixture f;
            vsi_live live = {0};
            begin(&f);
            set(&f, &live, 5, true);
            const vsi_live before = live;
            uint64_t blocks = f.allocator.live_blocks;
            f.allocator.fail_at = f.allocator.calls + at;
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            bool is_done = vsi_live_set(&f.cow, &live, border[i], true);
            VT_EQ(is_done, f.allocator.failures == 0);
            vsi_cow_undo(&f.cow, mark);
            live = before;
            VT_EQ(f.allocator.live_blocks, blocks);
            VT_EQ(vsi_live_next(&live, 0, UINT32_MAX), 5);
            VT_EQ(vsi_live_next(&live, 6, UINT32_MAX), UINT32_MAX);
            end(&f);
            if (is_done)
                break;
            failed++;
        }
    VT_CHECK(failed > 2 * BORDERS);
}
