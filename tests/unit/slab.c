/* slab.c - rows of a fixed size by slot number. */
#include "store/slab.h"
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

static const uint32_t row_sizes[] = {1,     3,     4,     16,    21,    64,   100,
                                     512,   3072,  4096,  8191,  8192,  8193, 16383,
                                     16384, 16385, 65535, 65536, 262140};
enum { SIZES = sizeof row_sizes / sizeof row_sizes[0] };

static uint8_t *make_row(fixture *f, vsi_slabs *slabs, uint32_t slot) {
    uint8_t *row = vsi_slab_make_row(&f->cow, slabs, slot);
    VT_CHECK(row);
    return row;
}

/* Byte number at of the row of a slot. */
static uint8_t content(uint32_t slot, uint32_t at) {
    return (uint8_t)vt_mix((uint64_t)slot << 32 | at);
}

static void fill_row(uint8_t *row, uint32_t slot, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++)
        row[i] = content(slot, i);
}

static void check_row(const vsi_slabs *slabs, uint32_t slot) {
    const uint8_t *row = vsi_slab_row(slabs, slot);
    for (uint32_t i = 0; i < slabs->row_bytes; i++)
        if (row[i] != content(slot, i))
            vt_fail(__FILE__, __LINE__, "row %u, byte %u", slot, i);
}

VT_TEST(a_slab_has_the_fewest_rows_that_reach_its_least_size) {
    for (int i = 0; i < SIZES; i++) {
        const vsi_slabs slabs = vsi_slabs_of(row_sizes[i]);
        VT_EQ(slabs.row_bytes, row_sizes[i]);
        VT_CHECK((uint64_t)row_sizes[i] << slabs.shift >= VSI_SLAB_BYTES_MIN);
        VT_CHECK(slabs.shift == 0 ||
                 (uint64_t)row_sizes[i] << (slabs.shift - 1) < VSI_SLAB_BYTES_MIN);
    }
}

VT_TEST(rows_of_every_size_keep_apart) {
    for (int i = 0; i < SIZES; i++) {
        fixture f;
        vsi_slabs slabs = vsi_slabs_of(row_sizes[i]);
        /* Over the borders of three slabs, in no order. */
        uint32_t slots = (2u << slabs.shift) + 1, step = 7919 % slots;
        begin(&f);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (uint32_t k = 0, slot = 0; k < slots; k++, slot = (slot + step) % slots)
            fill_row(make_row(&f, &slabs, slot), slot, row_sizes[i]);
        vsi_cow_keep(&f.cow, mark);
        for (uint32_t slot = 0; slot < slots; slot++)
            if (slots < 300 || slot % 61 == 0 || slot + 2 >= slots)
                check_row(&slabs, slot);
        end(&f);
    }
}

VT_TEST(rows_of_a_run_lie_one_behind_the_other) {
    for (int i = 0; i < SIZES; i++) {
        fixture f;
        vsi_slabs slabs = vsi_slabs_of(row_sizes[i]);
        const uint32_t rows = 1u << slabs.shift;
        begin(&f);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        const uint8_t *first = make_row(&f, &slabs, rows);
        VT_EQ(vsi_slab_run(&slabs, rows), rows);
        VT_EQ((uintptr_t)first % VSI_SLAB_ALIGN, 0);
        for (uint32_t k = 0; k < rows; k++) {
            VT_EQ(vsi_slab_run(&slabs, rows + k), rows - k);
            VT_CHECK(vsi_slab_row(&slabs, rows + k) == first + (size_t)k * row_sizes[i]);
        }
        vsi_cow_keep(&f.cow, mark);
        end(&f);
    }
}

VT_TEST(the_last_slots_there_can_be_have_rows) {
    fixture f;
    vsi_slabs slabs = vsi_slabs_of(20);
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    fill_row(make_row(&f, &slabs, UINT32_MAX - 1), UINT32_MAX - 1, 20);
    fill_row(make_row(&f, &slabs, 0), 0, 20);
    vsi_cow_keep(&f.cow, mark);
    check_row(&slabs, UINT32_MAX - 1);
    check_row(&slabs, 0);
    VT_EQ(vsi_slab_run(&slabs, UINT32_MAX - 1), 2);
    end(&f);
}

VT_TEST(a_row_stays_where_it_is_in_every_later_scope) {
    fixture f;
    vsi_slabs slabs = vsi_slabs_of(100);
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    uint8_t *row = make_row(&f, &slabs, 9);
    fill_row(row, 9, 100);
    vsi_cow_keep(&f.cow, mark);
    const vsi_slabs old = slabs;
    mark = vsi_cow_open(&f.cow);
    VT_CHECK(make_row(&f, &slabs, 9) == row);
    fill_row(make_row(&f, &slabs, 10), 10, 100);
    fill_row(make_row(&f, &slabs, 1 << slabs.shift), 1u << slabs.shift, 100);
    vsi_cow_keep(&f.cow, mark);
    VT_CHECK(vsi_slab_row(&slabs, 9) == row);
    VT_CHECK(vsi_slab_row(&old, 9) == row);
    vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
    check_row(&slabs, 9);
    check_row(&slabs, 10);
    check_row(&slabs, 1u << slabs.shift);
    end(&f);
}

VT_TEST(undo_frees_slabs_of_the_scope_and_keeps_the_others) {
    fixture f;
    vsi_slabs slabs = vsi_slabs_of(64);
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    fill_row(make_row(&f, &slabs, 3), 3, 64);
    vsi_cow_keep(&f.cow, mark);
    const vsi_slabs before = slabs;
    uint64_t blocks = f.allocator.live_blocks;
    mark = vsi_cow_open(&f.cow);
    for (uint32_t slab = 1; slab < 600; slab++)
        make_row(&f, &slabs, slab << slabs.shift);
    vsi_cow_undo(&f.cow, mark);
    slabs = before;
    VT_EQ(f.allocator.live_blocks, blocks);
    check_row(&slabs, 3);
    end(&f);
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    uint64_t failed = 0;
    for (uint64_t at = 1;; at++) {
        fixture f;
        vsi_slabs slabs = vsi_slabs_of(64);
        begin(&f);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        fill_row(make_row(&f, &slabs, 3), 3, 64);
        vsi_cow_keep(&f.cow, mark);
        const vsi_slabs before = slabs;
        uint64_t blocks = f.allocator.live_blocks;
        f.allocator.fail_at = f.allocator.calls + at;
        mark = vsi_cow_open(&f.cow);
        bool is_done = vsi_slab_make_row(&f.cow, &slabs, UINT32_MAX - 5);
        VT_EQ(is_done, f.allocator.failures == 0);
        vsi_cow_undo(&f.cow, mark);
        slabs = before;
        VT_EQ(f.allocator.live_blocks, blocks);
        check_row(&slabs, 3);
        end(&f);
        if (is_done)
            break;
        failed++;
    }
    VT_CHECK(failed >= 3);
}
