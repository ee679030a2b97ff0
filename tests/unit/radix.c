/* radix.c - a sparse array of blocks. */
#include "store/radix.h"
#include "vt.h"

typedef struct entry {
    vsi_block block;
    uint32_t at;
} entry;

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

/* Puts an entry that knows its place. */
static bool put(fixture *f, vsi_radix *radix, uint32_t at) {
    entry *e = vsi_cow_new(&f->cow, sizeof *e);
    if (!e)
        return false;
    e->at = at;
    return vsi_radix_set(&f->cow, radix, at, e);
}

static void expect(const vsi_radix *radix, uint32_t at, bool is_there) {
    const entry *e = vsi_radix_get(radix, at);
    if ((e != NULL) != is_there)
        vt_fail(__FILE__, __LINE__, "place %u is %s", at, e ? "taken" : "empty");
    if (e)
        VT_EQ(e->at, at);
}

/* Places at every border between heights. */
static const uint32_t border[] = {0,         1,          254,        255,        256,
                                  257,       511,        512,        65279,      65535,
                                  65536,     65537,      0xfffffe,   0xffffff,   0x1000000,
                                  0x1000001, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
enum { BORDERS = sizeof border / sizeof border[0] };

VT_TEST(an_empty_array_has_nothing_anywhere) {
    const vsi_radix radix = {0};
    for (int i = 0; i < BORDERS; i++)
        VT_CHECK(!vsi_radix_get(&radix, border[i]));
}

VT_TEST(one_entry_at_any_place_is_found_there_and_nowhere_else) {
    for (int i = 0; i < BORDERS; i++) {
        fixture f;
        vsi_radix radix = {0};
        begin(&f);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        VT_CHECK(put(&f, &radix, border[i]));
        for (int k = 0; k < BORDERS; k++)
            expect(&radix, border[k], k == i);
        vsi_cow_keep(&f.cow, mark);
        end(&f);
    }
}

VT_TEST(entries_put_in_any_order_are_all_found) {
    for (int step = 1; step < BORDERS; step += 2) { /* without common divisor but 5 */
        fixture f;
        vsi_radix radix = {0};
        bool is_there[BORDERS] = {false};
        if (step % 5 == 0)
            continue;
        begin(&f);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < BORDERS; i++) {
            int at = i * step % BORDERS;
            VT_CHECK(put(&f, &radix, border[at]));
            is_there[at] = true;
            for (int k = 0; k < BORDERS; k++)
                expect(&radix, border[k], is_there[k]);
        }
        vsi_cow_keep(&f.cow, mark);
        end(&f);
    }
}

VT_TEST(the_height_is_the_least_that_holds_the_largest_place) {
    static const struct {
        uint32_t at, height;
    } least[] = {{0, 1}, {255, 1}, {256, 2}, {65535, 2}, {65536, 3}, {0xffffff, 3}, {0x1000000, 4}};
    for (size_t i = 0; i < sizeof least / sizeof least[0]; i++) {
        fixture f;
        vsi_radix radix = {0};
        begin(&f);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        VT_CHECK(put(&f, &radix, least[i].at));
        VT_EQ(radix.height, least[i].height);
        vsi_cow_keep(&f.cow, mark);
        end(&f);
    }
}

VT_TEST(a_place_that_is_set_again_holds_the_new_block) {
    fixture f;
    vsi_radix radix = {0};
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &radix, 300));
    VT_CHECK(put(&f, &radix, 301));
    entry *second = vsi_cow_new(&f.cow, sizeof *second);
    second->at = 300;
    VT_CHECK(vsi_radix_set(&f.cow, &radix, 300, second));
    VT_CHECK(vsi_radix_get(&radix, 300) == second);
    expect(&radix, 301, true);
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

VT_TEST(an_older_version_does_not_change) {
    fixture f;
    vsi_radix radix = {0};
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int i = 0; i < BORDERS; i += 2)
        VT_CHECK(put(&f, &radix, border[i]));
    vsi_cow_keep(&f.cow, mark);
    VT_CHECK(!vsi_cow_take_dead(&f.cow));
    const vsi_radix old = radix;
    void *first = vsi_radix_get(&old, border[0]);
    mark = vsi_cow_open(&f.cow);
    for (int i = 1; i < BORDERS; i += 2)
        VT_CHECK(put(&f, &radix, border[i]));
    VT_CHECK(put(&f, &radix, border[0]));
    vsi_cow_keep(&f.cow, mark);
    VT_CHECK(vsi_radix_get(&old, border[0]) == first);
    for (int i = 0; i < BORDERS; i++) {
        expect(&old, border[i], i % 2 == 0);
        expect(&radix, border[i], true);
    }
    vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
    for (int i = 0; i < BORDERS; i++)
        expect(&radix, border[i], true);
    end(&f);
}

VT_TEST(undo_brings_the_old_version_back) {
    fixture f;
    vsi_radix radix = {0};
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &radix, 7));
    vsi_cow_keep(&f.cow, mark);
    uint64_t blocks = f.allocator.live_blocks;
    for (int i = 0; i < BORDERS; i++) {
        const vsi_radix before = radix;
        mark = vsi_cow_open(&f.cow);
        VT_CHECK(put(&f, &radix, border[i]));
        vsi_cow_undo(&f.cow, mark);
        radix = before;
        VT_EQ(f.allocator.live_blocks, blocks);
        expect(&radix, 7, true);
        expect(&radix, border[i], false);
    }
    end(&f);
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    uint64_t failed = 0;
    for (int i = 0; i < BORDERS; i++)
        for (uint64_t at = 1;; at++) {
            fixture f;
            vsi_radix radix = {0};
            begin(&f);
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            VT_CHECK(put(&f, &radix, 70000));
            vsi_cow_keep(&f.cow, mark);
            const vsi_radix before = radix;
            uint64_t blocks = f.allocator.live_blocks;
            f.allocator.fail_at = f.allocator.calls + at;
            mark = vsi_cow_open(&f.cow);
            bool is_done = put(&f, &radix, border[i]);
            VT_EQ(is_done, f.allocator.failures == 0);
            vsi_cow_undo(&f.cow, mark);
            radix = before;
            VT_EQ(f.allocator.live_blocks, blocks);
            expect(&radix, 70000, true);
            expect(&radix, border[i], false);
            end(&f);
            if (is_done)
                break;
            failed++;
        }
    VT_CHECK(failed > 3 * BORDERS);
}

VT_TEST(random_places_agree_with_a_plain_array) {
    enum { PLACES = 3000 };
    fixture f;
    vsi_radix radix = {0};
    bool *is_there = calloc(PLACES, 1);
    vt_rng rng = {vt_seed()};
    begin(&f);
    for (int round = 0; round < 2000; round++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        /* Every 29th place of the first 87000, so that nodes are partly empty. */
        uint32_t i = (uint32_t)vt_below(&rng, PLACES);
        VT_CHECK(put(&f, &radix, i * 29));
        is_there[i] = true;
        vsi_cow_keep(&f.cow, mark);
        vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
    }
    for (uint32_t i = 0; i < PLACES; i++) {
        expect(&radix, i * 29, is_there[i]);
        VT_CHECK(!vsi_radix_get(&radix, i * 29 + 1));
    }
    end(&f);
    free(is_there);
}
