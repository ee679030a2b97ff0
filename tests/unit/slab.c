/* slab.c - rows of a fixed size by slot number. */
#include "store/slab.h"
#include "os/memory.h"
#include "vt.h"

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_err err;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
}

static void end(fixture *f, vsi_slabs *slabs) {
    vsi_slabs_free(slabs);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

static const uint32_t row_sizes[] = {1,     3,     4,     16,    21,     64,    100,
                                     512,   3072,  4096,  8191,  8192,   8193,  16383,
                                     16384, 16385, 65535, 65536, 262139, 262140};
enum { SIZES = sizeof row_sizes / sizeof row_sizes[0], ROW_BYTES_MAX = 262140 };

static void init(fixture *f, vsi_slabs *slabs, uint32_t row_bytes) {
    vsi_slabs_init(slabs, &f->mem, 0, row_bytes, 0);
}

static uint8_t *make_row(fixture *f, vsi_slabs *slabs, uint32_t slot) {
    uint8_t *row = NULL;
    VT_EQ(vsi_slab_make_row(&f->err, slabs, slot, &row), VS_OK);
    VT_CHECK(row);
    return row;
}

static const uint8_t *get_row(vsi_slabs *slabs, uint32_t slot) {
    vsi_err err = {0};
    const uint8_t *row = NULL;
    VT_EQ(vsi_slab_row(&err, slabs, slot, &row), VS_OK);
    return row;
}

/* Whether a slot has no row, and that this is told as damage. */
static bool has_no_row(vsi_slabs *slabs, uint32_t slot) {
    vsi_err err = {0};
    const uint8_t *row = NULL;
    vs_status st = vsi_slab_row(&err, slabs, slot, &row);
    VT_CHECK(st == VS_OK || (st == VS_ERR_CORRUPT && err.code == VS_ERR_CORRUPT && !row));
    return st != VS_OK;
}

/* Byte number at of the row of a slot. */
static uint8_t content(uint32_t slot, uint32_t at) {
    return (uint8_t)(vt_mix((uint64_t)slot << 32 | at / 8) >> at % 8 * 8);
}

static void fill_row(uint8_t *row, uint32_t slot, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++)
        row[i] = content(slot, i);
}

static bool is_row_of(const uint8_t *row, uint32_t slot, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++)
        if (row[i] != content(slot, i))
            return false;
    return true;
}

static void check_row(vsi_slabs *slabs, uint32_t slot) {
    if (!is_row_of(get_row(slabs, slot), slot, slabs->row_bytes))
        vt_fail(__FILE__, __LINE__, "row %u", slot);
}

/* ---- geometry ------------------------------------------------------------------------------- */

static bool is_good_slab(uint64_t bytes, uint32_t trailer_bytes) {
    uint64_t pages = (bytes + trailer_bytes + 4095) / 4096;
    return bytes >= VSI_SLAB_BYTES_MIN && (pages * 4096 - bytes) * 16 <= bytes;
}

VT_TEST(a_slab_has_the_fewest_rows_that_reach_its_least_size_and_waste_little_of_the_last_page) {
    for (uint32_t trailer = 0; trailer <= VSI_TRAILER_BYTES; trailer += VSI_TRAILER_BYTES)
        for (uint32_t row_bytes = 1; row_bytes <= ROW_BYTES_MAX; row_bytes++) {
            uint32_t shift = vsi_slab_shift(row_bytes, trailer);
            VT_CHECK(shift <= VSI_SLAB_SHIFT_MAX);
            VT_CHECK(is_good_slab((uint64_t)row_bytes << shift, trailer));
            for (uint32_t less = 0; less < shift; less++)
                VT_CHECK(!is_good_slab((uint64_t)row_bytes << less, trailer));
        }
}

VT_TEST(an_array_without_rows_has_none_and_can_be_freed) {
    fixture f;
    vsi_slabs slabs;
    memset(&slabs, 0, sizeof slabs);
    vsi_slabs_free(&slabs);
    begin(&f);
    init(&f, &slabs, 100);
    VT_EQ(slabs.row_bytes, 100);
    VT_EQ(slabs.shift, vsi_slab_shift(100, 0));
    VT_EQ(f.allocator.calls, 0);
    static const uint32_t slot[] = {0, 1, 255, 256, 4096, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < sizeof slot / sizeof slot[0]; i++)
        VT_CHECK(has_no_row(&slabs, slot[i]));
    end(&f, &slabs);
}

VT_TEST(only_slots_whose_slab_was_made_have_rows) {
    fixture f;
    vsi_slabs slabs;
    begin(&f);
    init(&f, &slabs, 512);
    const uint32_t rows = 1u << slabs.shift;
    make_row(&f, &slabs, 3 * rows + 1);
    make_row(&f, &slabs, 40 * rows); /* beyond the first table */
    for (uint32_t slab = 0; slab < 200; slab++)
        for (uint32_t at = 0; at < rows; at += rows - 1)
            VT_EQ(has_no_row(&slabs, slab * rows + at), slab != 3 && slab != 40);
    VT_CHECK(has_no_row(&slabs, UINT32_MAX));
    end(&f, &slabs);
}

/* ---- rows ----------------------------------------------------------------------------------- */

VT_TEST(rows_of_every_size_keep_apart) {
    for (int i = 0; i < SIZES; i++) {
        fixture f;
        vsi_slabs slabs;
        begin(&f);
        init(&f, &slabs, row_sizes[i]);
        /* Over the borders of three slabs, in no order. */
        uint32_t slots = (2u << slabs.shift) + 1, step = 7919 % slots;
        for (uint32_t k = 0, slot = 0; k < slots; k++, slot = (slot + step) % slots)
            fill_row(make_row(&f, &slabs, slot), slot, row_sizes[i]);
        for (uint32_t slot = 0; slot < slots; slot++)
            if (slots < 300 || slot % 61 == 0 || slot + 2 >= slots)
                check_row(&slabs, slot);
        end(&f, &slabs);
    }
}

VT_TEST(a_new_row_is_all_zero) {
    for (int i = 0; i < SIZES; i++) {
        fixture f;
        vsi_slabs slabs;
        begin(&f);
        init(&f, &slabs, row_sizes[i]);
        const uint32_t last = (1u << slabs.shift) - 1;
        for (uint32_t slot = 0; slot <= last; slot += last ? last : 1) {
            const uint8_t *row = make_row(&f, &slabs, slot);
            for (uint32_t at = 0; at < row_sizes[i]; at++)
                VT_CHECK(row[at] == 0);
        }
        end(&f, &slabs);
    }
}

VT_TEST(rows_of_a_run_lie_one_behind_the_other) {
    for (int i = 0; i < SIZES; i++) {
        fixture f;
        vsi_slabs slabs;
        begin(&f);
        init(&f, &slabs, row_sizes[i]);
        const uint32_t rows = 1u << slabs.shift;
        const uint8_t *first = make_row(&f, &slabs, rows);
        VT_EQ(vsi_slab_run(&slabs, rows), rows);
        VT_EQ((uintptr_t)first % VSI_SLAB_ALIGN, 0);
        for (uint32_t k = 0; k < rows; k++) {
            VT_EQ(vsi_slab_run(&slabs, rows + k), rows - k);
            VT_CHECK(get_row(&slabs, rows + k) == first + (size_t)k * row_sizes[i]);
        }
        end(&f, &slabs);
    }
}

VT_TEST(the_last_slots_there_can_be_have_rows) {
    fixture f;
    vsi_slabs slabs;
    begin(&f);
    init(&f, &slabs, 20);
    fill_row(make_row(&f, &slabs, UINT32_MAX - 1), UINT32_MAX - 1, 20);
    fill_row(make_row(&f, &slabs, 0), 0, 20);
    check_row(&slabs, UINT32_MAX - 1);
    check_row(&slabs, 0);
    VT_EQ(vsi_slab_run(&slabs, UINT32_MAX - 1), 2);
    VT_CHECK(has_no_row(&slabs, UINT32_MAX / 2));
    end(&f, &slabs);
}

VT_TEST(a_row_stays_where_it_is_while_the_table_grows) {
    for (int i = 0; i < SIZES; i++) {
        fixture f;
        vsi_slabs slabs;
        begin(&f);
        init(&f, &slabs, row_sizes[i]);
        uint32_t slabs_made = row_sizes[i] > 20000 ? 40 : 300;
        const uint8_t *row[300];
        for (uint32_t at = 0; at < slabs_made; at++) {
            uint32_t slot = at << slabs.shift;
            uint8_t *new_row = make_row(&f, &slabs, slot);
            fill_row(new_row, slot, row_sizes[i]);
            VT_CHECK(make_row(&f, &slabs, slot) == new_row);
            row[at] = new_row;
        }
        for (uint32_t at = 0; at < slabs_made; at++) {
            VT_CHECK(get_row(&slabs, at << slabs.shift) == row[at]);
            check_row(&slabs, at << slabs.shift);
        }
        end(&f, &slabs);
    }
}

/* A reader who stays may have loaded the table just before the writer put a larger one in its place. */
VT_TEST(tables_that_readers_may_hold_stay_as_they_were) {
    fixture f;
    vsi_slabs slabs;
    vsi_pager pager;
    vsi_cow cow;
    begin(&f);
    init(&f, &slabs, 4096);
    VT_CHECK(vsi_pager_init(&pager, &f.mem, NULL));
    vsi_cow_init(&cow, &f.mem);
    cow.pager = &pager;
    slabs.dir.cow = &cow;
    vsi_stay stay = vsi_stay_enter(&pager.reside);
    const uint8_t *first = make_row(&f, &slabs, 0);
    vsi_slabs reader;
    memset(&reader, 0, sizeof reader);
    reader.row_bytes = slabs.row_bytes;
    reader.shift = slabs.shift;
    vsi_atomic_ptr_store(&reader.table, vsi_atomic_ptr_load(&slabs.table));
    for (uint32_t at = 1; at < 600; at++)
        make_row(&f, &slabs, at << slabs.shift);
    VT_CHECK(vsi_atomic_ptr_load(&reader.table) != vsi_atomic_ptr_load(&slabs.table));
    VT_CHECK(get_row(&reader, 0) == first);
    VT_CHECK(has_no_row(&reader, 599u << slabs.shift));
    VT_CHECK(!has_no_row(&slabs, 599u << slabs.shift));
    vsi_reside_collect(&pager.reside);
    VT_CHECK(vsi_atomic_load(&pager.reside.waiting_bytes) > 0);
    vsi_stay_leave(&pager.reside, stay);
    vsi_reside_collect(&pager.reside);
    VT_EQ(vsi_atomic_load(&pager.reside.waiting_bytes), 0);
    vsi_cow_free_all(&cow);
    slabs.dir.cow = NULL;
    vsi_pager_free(&pager);
    end(&f, &slabs);
}

/* ---- without memory ------------------------------------------------------------------------- */

VT_TEST(an_allocation_that_fails_leaves_all_rows_and_can_be_tried_again) {
    static const uint32_t target[] = {2, 70, 700, 900000}; /* slabs: in the table, or far beyond */
    uint64_t failed = 0;
    for (size_t i = 0; i < sizeof target / sizeof target[0]; i++)
        for (uint64_t at = 1;; at++) {
            fixture f;
            vsi_slabs slabs;
            uint8_t *row = NULL;
            begin(&f);
            init(&f, &slabs, 64);
            uint32_t slot = target[i] << slabs.shift;
            fill_row(make_row(&f, &slabs, 3), 3, 64);
            f.allocator.fail_at = f.allocator.calls + at;
            vs_status st = vsi_slab_make_row(&f.err, &slabs, slot, &row);
            f.allocator.fail_at = 0;
            VT_EQ(st == VS_OK, f.allocator.failures == 0);
            VT_CHECK(st == VS_OK || (st == VS_ERR_NOMEM && f.err.text[0] && !row));
            VT_EQ(has_no_row(&slabs, slot), st != VS_OK);
            check_row(&slabs, 3);
            fill_row(make_row(&f, &slabs, slot), slot, 64);
            check_row(&slabs, slot);
            check_row(&slabs, 3);
            end(&f, &slabs);
            if (st == VS_OK)
                break;
            failed++;
        }
    VT_CHECK(failed >= 7); /* a slab, and a table but for the first target */
}

VT_TEST(the_first_row_can_fail_in_two_places) {
    fixture f;
    vsi_slabs slabs;
    uint8_t *row = NULL;
    begin(&f);
    init(&f, &slabs, 64);
    for (uint64_t failures = 1; failures <= 2; failures++) {
        f.allocator.fail_at = f.allocator.calls + failures; /* the table, then the slab */
        VT_EQ(vsi_slab_make_row(&f.err, &slabs, 0, &row), VS_ERR_NOMEM);
        VT_EQ(f.allocator.failures, failures);
        VT_CHECK(has_no_row(&slabs, 0));
    }
    f.allocator.fail_at = 0;
    make_row(&f, &slabs, 0);
    end(&f, &slabs);
}

/* ---- in the file ---------------------------------------------------------------------------- */

static struct {
    const vs_vfs *below;
    uint64_t reads, writes, fail_write_at; /* 0: none */
    bool fails_to_read;
    void (*meanwhile)(
        void *ctx); /* what another thread does while the next read is on its way; NULL: nothing */
    void *meanwhile_ctx;
} device;

static vs_status device_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    device.reads++;
    if (device.fails_to_read)
        return VS_ERR_IO;
    if (device.meanwhile) {
        void (*meanwhile)(void *) = device.meanwhile;
        device.meanwhile = NULL; /* what it reads itself is no part of it */
        meanwhile(device.meanwhile_ctx);
    }
    return device.below->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

static vs_status device_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                              size_t *out_bytes, char *why) {
    if (++device.writes == device.fail_write_at)
        return VS_ERR_FULL;
    return device.below->write(ctx, file, buf, bytes, offset, out_bytes, why);
}

/* An array whose slabs can be written to a file and leave memory. */
typedef struct filed {
    fixture f;
    vs_vfs *memory, vfs;
    vsi_file file;
    vsi_pager pager;
    vsi_cow cow;
    vsi_slabs slabs;
} filed;

static void check_ok(filed *d, vs_status st, int line) {
    if (st != VS_OK)
        vt_fail(__FILE__, line, "status %d: %s", st, d->f.err.text);
}

#define OK(call) check_ok(d, call, __LINE__)

static void begin_filed(filed *d, uint32_t row_bytes) {
    memset(d, 0, sizeof *d);
    memset(&device, 0, sizeof device);
    begin(&d->f);
    VT_EQ(vsi_memory_vfs_create(NULL, &d->memory), VS_OK);
    device.below = d->memory;
    d->vfs = *d->memory;
    d->vfs.read = device_read;
    d->vfs.write = device_write;
    OK(vsi_file_open(&d->f.err, &d->f.mem, &d->vfs, "t.vs", VS_VFS_WRITE | VS_VFS_CREATE,
                     &d->file));
    VT_CHECK(vsi_pager_init(&d->pager, &d->f.mem, &d->file));
    d->pager.space.is_known = true;
    vsi_cow_init(&d->cow, &d->f.mem);
    d->cow.pager = &d->pager;
    init(&d->f, &d->slabs, row_bytes);
    d->slabs.dir.cow = &d->cow;
}

static void end_filed(filed *d) {
    vsi_slabs_free(&d->slabs);
    vsi_cow_free_all(&d->cow);
    vsi_pager_free(&d->pager);
    vsi_file_close(&d->file);
    VT_EQ(d->f.allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&d->f.mem.used_bytes), 0);
    vsi_memory_vfs_destroy(d->memory);
}

/* Fills the first and the last row of a slab; what is in them depends on the round. */
static void fill_slab(filed *d, uint32_t at, uint32_t round) {
    uint32_t first = at << d->slabs.shift, last = first + (1u << d->slabs.shift) - 1;
    uint8_t *row = NULL;
    OK(vsi_slab_make_row(&d->f.err, &d->slabs, first, &row));
    fill_row(row, first + round * 7919, d->slabs.row_bytes);
    OK(vsi_slab_make_row(&d->f.err, &d->slabs, last, &row));
    fill_row(row, last + round * 7919, d->slabs.row_bytes);
}

static void check_slab(filed *d, uint32_t at, uint32_t round) {
    uint32_t first = at << d->slabs.shift, last = first + (1u << d->slabs.shift) - 1;
    const uint8_t *row = NULL;
    OK(vsi_slab_row(&d->f.err, &d->slabs, first, &row));
    VT_CHECK(last == first || is_row_of(row, first + round * 7919, d->slabs.row_bytes));
    OK(vsi_slab_row(&d->f.err, &d->slabs, last, &row));
    VT_CHECK(is_row_of(row, last + round * 7919, d->slabs.row_bytes));
}

/* All that may leave memory: the first sweep takes marks away, the second what has none. */
static void evict_all(filed *d) {
    size_t n = vsi_slabs_evict(&d->slabs, 0);
    for (int i = 0; i < 2; i++)
        VT_EQ(vsi_slabs_evict(&d->slabs, n), n);
    vsi_reside_collect(&d->pager.reside);
}

static uint64_t used(filed *d) {
    return vsi_atomic_load(&d->f.mem.used_bytes);
}

static size_t count_dirty(const filed *d) {
    return d->slabs.dirty.bytes / sizeof(uint32_t);
}

/* As a checkpoint does when all is written. */
static void settle(filed *d) {
    vsi_cow_mark mark = vsi_cow_open(&d->cow);
    vsi_btree dir = d->slabs.dir;
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    OK(vsi_slabs_link(&d->f.err, &d->slabs, &dir));
    vsi_cow_keep(&d->cow, mark);
    vsi_cow_free_dead(&d->cow, vsi_cow_take_dead(&d->cow));
    vsi_slabs_settle(&d->slabs, &dir);
    VT_EQ(d->slabs.moved.bytes, 0);
    vsi_buf_free(&d->cow.dead_extents);
}

static bool is_free(const filed *d, vsi_ref ref) {
    const vsi_run *runs = (const vsi_run *)(const void *)d->pager.space.runs.data;
    uint64_t page = vsi_ref_page(ref);
    bool found = page >= d->pager.space.end;
    for (size_t i = 0; i < d->pager.space.runs.bytes / sizeof *runs; i++)
        found |= page >= runs[i].page && page < runs[i].page + runs[i].pages;
    return found;
}

static bool has_dropped(const filed *d, vsi_ref ref) {
    const vsi_run *runs = (const vsi_run *)(const void *)d->pager.dropped.data;
    for (size_t i = 0; i < d->pager.dropped.bytes / sizeof *runs; i++)
        if (runs[i].page == vsi_ref_page(ref) && runs[i].pages == vsi_ref_pages(ref))
            return true;
    return false;
}

VT_TEST(slabs_that_left_memory_come_back_unchanged) {
    enum { SLABS = 9 };
    for (int i = 0; i < SIZES; i++) {
        filed one, *d = &one;
        begin_filed(d, row_sizes[i]);
        d->slabs.element_bytes = row_sizes[i] % 4 ? 1 : 4;
        for (uint32_t at = 0; at < SLABS; at++)
            fill_slab(d, at * 3, 1);
        VT_CHECK(count_dirty(d) == SLABS && vsi_slabs_dirty_bytes(&d->slabs) >= SLABS * 16384);
        OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
        VT_CHECK(count_dirty(d) == 0 && vsi_slabs_dirty_bytes(&d->slabs) == 0);
        uint64_t full = used(d);
        evict_all(d);
        VT_CHECK(used(d) + (uint64_t)SLABS * 16384 <= full);
        uint64_t reads = device.reads;
        for (uint32_t at = 0; at < SLABS; at++)
            check_slab(d, at * 3, 1);
        VT_EQ(device.reads, reads + SLABS); /* once each */
        VT_CHECK(has_no_row(&d->slabs, 1u << d->slabs.shift));
        fill_slab(d, 0, 2); /* one that is changed again stays, and has its other rows */
        evict_all(d);
        reads = device.reads;
        check_slab(d, 0, 2);
        VT_EQ(device.reads, reads);
        check_slab(d, 3, 1);
        VT_EQ(device.reads, reads + 1);
        end_filed(d);
    }
}

/* Regions of the system, counted, which has none to give when it refuses. */
static struct {
    size_t maps;
    bool refuses;
} supply;

static void *supply_map(void *ctx, size_t bytes) {
    (void)ctx;
    void *first = supply.refuses ? NULL : aligned_alloc(bytes, bytes);
    supply.maps += first != NULL;
    return first ? memset(first, 0, bytes) : NULL;
}

static void supply_unmap(void *ctx, void *first, size_t bytes) {
    (void)ctx;
    (void)bytes;
    supply.maps--;
    free(first);
}

static void supply_prefer(void *ctx, void *first, size_t bytes, bool is_large) {
    (void)ctx;
    (void)first;
    (void)bytes;
    (void)is_large;
}

static void supply_give_back(void *ctx, void *first, size_t bytes) {
    (void)ctx;
    (void)first;
    (void)bytes;
}

static const vsi_pages supply_pages = {NULL, supply_map, supply_unmap, supply_prefer,
                                       supply_give_back};

VT_TEST(slabs_in_regions_leave_them_and_come_back_unchanged) {
    enum { SLABS = 400 };
    filed one, *d = &one;
    vsi_regions regions;
    begin_filed(d, 512);
    VT_CHECK(vsi_regions_init(&regions, &d->f.mem, &supply_pages));
    for (uint32_t at = 0; at < SLABS; at++)
        fill_slab(d, at, 1);
    VT_EQ(supply.maps, (SLABS + 126) / 127);
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    uint64_t full = used(d);
    evict_all(d);
    VT_CHECK(used(d) + (uint64_t)SLABS * 16384 <= full && !supply.maps);
    for (int round = 0; round < 2; round++) {
        for (uint32_t at = 0; at < SLABS; at++)
            check_slab(d, at, 1);
        VT_EQ(supply.maps, (SLABS + 126) / 127);
    }
    vsi_regions_close(&regions);
    vsi_slabs_free(&d->slabs);
    vsi_regions_free(&regions);
    VT_EQ(supply.maps, 0);
    end_filed(d);
}

VT_TEST(a_slab_that_the_system_has_no_pages_for_is_out_of_memory) {
    fixture f;
    vsi_slabs slabs;
    vsi_regions regions;
    uint8_t *row = NULL;
    begin(&f);
    init(&f, &slabs, 512);
    VT_CHECK(vsi_regions_init(&regions, &f.mem, &supply_pages));
    supply.refuses = true;
    for (int i = 0; i < 3; i++)
        VT_EQ(vsi_slab_make_row(&f.err, &slabs, 5, &row), VS_ERR_NOMEM);
    VT_CHECK(!row && has_no_row(&slabs, 5));
    supply.refuses = false;
    fill_row(make_row(&f, &slabs, 5), 5, 512);
    VT_CHECK(is_row_of(get_row(&slabs, 5), 5, 512));
    vsi_slabs_free(&slabs);
    vsi_regions_free(&regions);
    VT_EQ(supply.maps, 0);
    end(&f, &slabs);
}

VT_TEST(dirty_slabs_never_leave_memory) {
    enum { SLABS = 12 };
    filed one, *d = &one;
    begin_filed(d, 512);
    for (uint32_t at = 0; at < SLABS; at++)
        fill_slab(d, at, 1);
    uint64_t full = used(d);
    for (int i = 0; i < 10; i++)
        evict_all(d);
    VT_EQ(used(d), full);
    for (size_t left = SLABS; left > 0; left = count_dirty(d)) {
        OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, 3 * 16384 - 1));
        VT_EQ(count_dirty(d), left - 3);
        evict_all(d);
        VT_CHECK(used(d) >= count_dirty(d) * 16384);
        uint64_t reads = device.reads;
        for (uint32_t at = 0; at < SLABS; at++)
            check_slab(d, at, 1);
        VT_EQ(device.reads - reads, SLABS - count_dirty(d));
    }
    end_filed(d);
}

VT_TEST(a_slab_asked_for_since_the_last_sweep_stays_for_another_one) {
    enum { SLABS = 6 };
    filed one, *d = &one;
    begin_filed(d, 512);
    for (uint32_t at = 0; at < SLABS; at++)
        fill_slab(d, at, 1);
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    size_t n = vsi_slabs_evict(&d->slabs, 0);
    vsi_slabs_evict(&d->slabs, n); /* takes the marks of being made away */
    check_slab(d, 2, 1);
    check_slab(d, 4, 1);
    VT_EQ(device.reads, 0);
    vsi_slabs_evict(&d->slabs, n);
    check_slab(d, 2, 1);
    check_slab(d, 4, 1);
    VT_EQ(device.reads, 0);
    check_slab(d, 3, 1);
    VT_EQ(device.reads, 1);
    end_filed(d);
}

VT_TEST(who_stays_may_look_at_a_slab_that_left_the_table) {
    filed one, *d = &one;
    begin_filed(d, 512);
    fill_slab(d, 0, 1);
    fill_slab(d, 1, 1);
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    vsi_stay stay = vsi_stay_enter(&d->pager.reside);
    const uint8_t *row = get_row(&d->slabs, 0);
    evict_all(d);
    evict_all(d);
    VT_CHECK(vsi_atomic_load(&d->pager.reside.waiting_bytes) >= 2 * 16384);
    VT_CHECK(is_row_of(row, 7919, 512));
    const uint8_t *again = get_row(&d->slabs, 0);
    VT_CHECK(again != row && is_row_of(again, 7919, 512) && is_row_of(row, 7919, 512));
    vsi_stay_leave(&d->pager.reside, stay);
    vsi_reside_collect(&d->pager.reside);
    VT_EQ(vsi_atomic_load(&d->pager.reside.waiting_bytes), 0);
    end_filed(d);
}

VT_TEST(places_written_since_the_checkpoint_win_over_those_in_it) {
    enum { SLABS = 5 };
    filed one, *d = &one;
    begin_filed(d, 3000);
    uint32_t round[SLABS] = {0};
    for (uint32_t turn = 1; turn < 12; turn++) {
        for (uint32_t at = 0; at < SLABS; at++)
            if (turn == 1 || (turn + at) % 3 == 0)
                fill_slab(d, at, round[at] = turn);
        if (turn % 3 == 1)
            settle(d);
        else
            OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
        evict_all(d);
        for (uint32_t at = 0; at < SLABS; at++)
            check_slab(d, at, round[at]);
    }
    end_filed(d);
}

VT_TEST(writing_a_slab_twice_drops_its_first_place_and_none_of_a_checkpoint) {
    filed one, *d = &one;
    begin_filed(d, 512);
    fill_slab(d, 7, 1);
    fill_slab(d, 8, 1);
    settle(d);
    VT_EQ(d->pager.dropped.bytes, 0);
    for (uint32_t round = 2; round < 6; round++) {
        vsi_slab_place before = {.at = 0};
        if (round > 2)
            memcpy(&before, d->slabs.moved.data, sizeof before);
        fill_slab(d, 7, round);
        OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
        VT_EQ(d->slabs.moved.bytes, sizeof before); /* still one */
        VT_EQ(d->pager.dropped.bytes, 0);
        VT_CHECK(round == 2 || (before.at == 7 && is_free(d, before.ref)));
        VT_EQ(d->pager.taken.bytes, 0); /* no rollback takes it back */
    }
    vsi_pager_undo(&d->pager);
    evict_all(d);
    check_slab(d, 7, 5);
    check_slab(d, 8, 1);
    end_filed(d);
}

/* Any order of changes, some written, some not, batches that overlap in every way. */
VT_TEST(places_of_batches_in_any_order_lead_to_their_own_slabs) {
    enum { SLABS = 60, TURNS = 250 };
    filed one, *d = &one;
    static uint32_t round[SLABS];
    vt_rng rng = {vt_seed()};
    memset(round, 0, sizeof round);
    begin_filed(d, 512);
    for (uint32_t turn = 1; turn < TURNS; turn++) {
        for (uint64_t n = vt_below(&rng, 8); n > 0; n--) {
            uint32_t at = (uint32_t)vt_below(&rng, SLABS);
            fill_slab(d, at, round[at] = turn);
        }
        if (vt_below(&rng, 20) == 0)
            settle(d);
        OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, vt_below(&rng, 6) * 16384));
        const vsi_slab_place *places = (const vsi_slab_place *)(const void *)d->slabs.moved.data;
        for (size_t i = 1; i < d->slabs.moved.bytes / sizeof *places; i++)
            VT_CHECK(places[i - 1].at < places[i].at);
        if (vt_below(&rng, 3) == 0)
            evict_all(d);
        for (uint32_t at = 0; at < SLABS; at++)
            if (round[at])
                check_slab(d, at, round[at]);
    }
    end_filed(d);
}

VT_TEST(an_array_that_is_forgotten_gives_its_places_up_and_its_slabs_are_clean) {
    filed one, *d = &one;
    vsi_slab_place places[4];
    begin_filed(d, 512);
    for (uint32_t at = 0; at < 4; at++)
        fill_slab(d, at, 1);
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    VT_EQ(d->slabs.moved.bytes, sizeof places);
    memcpy(places, d->slabs.moved.data, sizeof places);
    fill_slab(d, 1, 2);
    fill_slab(d, 9, 2);
    d->f.allocator.fail_at = d->f.allocator.calls + 1;
    vs_status st = vsi_slabs_forget(&d->f.err, &d->slabs, &d->pager);
    d->f.allocator.fail_at = 0;
    if (st != VS_OK) { /* nothing has changed */
        VT_EQ(st, VS_ERR_NOMEM);
        VT_CHECK(count_dirty(d) == 2 && d->slabs.moved.bytes == sizeof places);
        OK(vsi_slabs_forget(&d->f.err, &d->slabs, &d->pager));
    }
    VT_CHECK(count_dirty(d) == 0 && d->slabs.moved.bytes == 0);
    VT_EQ(d->pager.dropped.bytes, 4 * sizeof(vsi_run));
    for (int i = 0; i < 4; i++)
        VT_CHECK(has_dropped(d, places[i].ref));
    evict_all(d);
    for (uint32_t at = 0; at < 10; at++)
        VT_CHECK(has_no_row(&d->slabs, at << d->slabs.shift));
    end_filed(d);
}

/* Of a collection that was dropped while somebody reads it: what was changed may still leave memory. */
VT_TEST(places_that_were_buried_are_given_up_once_though_the_slab_is_written_again) {
    filed one, *d = &one;
    begin_filed(d, 512);
    fill_slab(d, 2, 1);
    fill_slab(d, 3, 1);
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    vsi_slab_place first[2];
    memcpy(first, d->slabs.moved.data, sizeof first);
    fill_slab(d, 3, 2);
    OK(vsi_slabs_bury(&d->f.err, &d->slabs, &d->pager));
    OK(vsi_slabs_bury(&d->f.err, &d->slabs, &d->pager)); /* by the next checkpoint: they are */
    VT_EQ(d->pager.dropped.bytes, 2 * sizeof(vsi_run));
    VT_CHECK(has_dropped(d, first[0].ref) && has_dropped(d, first[1].ref));
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    VT_CHECK(!is_free(d, first[0].ref) && !is_free(d, first[1].ref)); /* readers may be there */
    VT_EQ(d->slabs.moved.bytes, sizeof first);
    evict_all(d);
    check_slab(d, 2, 1);
    check_slab(d, 3, 2);
    OK(vsi_slabs_forget(&d->f.err, &d->slabs, &d->pager));
    VT_EQ(d->pager.dropped.bytes, 3 * sizeof(vsi_run)); /* with the second place of slab 3 */
    VT_EQ(d->slabs.moved.bytes, 0);
    end_filed(d);
}

VT_TEST(writing_that_fails_anywhere_changes_nothing_and_can_be_repeated) {
    enum { SLABS = 90 }; /* more than one write */
    uint64_t failed = 0;
    for (uint64_t at = 1; at < 60; at++) {
        filed one, *d = &one;
        begin_filed(d, 512);
        for (uint32_t i = 0; i < SLABS; i++)
            fill_slab(d, (i * 37) % SLABS, 1);
        settle(d);
        for (uint32_t i = 0; i < SLABS; i += 2)
            fill_slab(d, (i * 37) % SLABS, 2);
        OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, 20 * 16384));
        for (uint32_t i = 0; i < SLABS; i++)
            fill_slab(d, i, 3);
        vsi_pager_keep(&d->pager);
        size_t dirty = count_dirty(d), moved = d->slabs.moved.bytes;
        uint64_t end_page = d->pager.space.end, dropped = d->pager.dropped.bytes;
        if (at % 2)
            device.fail_write_at = device.writes + 1 + at / 2;
        else
            d->f.allocator.fail_at = d->f.allocator.calls + at / 2;
        vs_status st = vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX);
        device.fail_write_at = d->f.allocator.fail_at = 0;
        VT_CHECK(st == VS_OK || st == (at % 2 ? VS_ERR_FULL : VS_ERR_NOMEM));
        if (st != VS_OK) {
            VT_CHECK(count_dirty(d) == dirty && d->slabs.moved.bytes == moved);
            VT_CHECK(d->pager.dropped.bytes == dropped);
            VT_EQ(d->pager.space.end - d->pager.space.free_pages, end_page);
            failed++;
        }
        evict_all(d);
        for (uint32_t i = 0; i < SLABS; i++)
            check_slab(d, i, 3);
        OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
        evict_all(d);
        for (uint32_t i = 0; i < SLABS; i++)
            check_slab(d, i, 3);
        end_filed(d);
    }
    VT_CHECK(failed > 6);
}

VT_TEST(what_memory_has_no_room_for_is_read_aside) {
    enum { SLABS = 20 };
    filed one, *d = &one;
    begin_filed(d, 512);
    vsi_slab_aside aside = {.buf = {.mem = &d->f.mem}};
    for (uint32_t at = 0; at < SLABS; at++)
        fill_slab(d, at, 1);
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    evict_all(d);
    for (int has_room = 0; has_room < 2; has_room++) {
        d->pager.reside.limit_bytes = has_room ? UINT64_MAX : used(d);
        aside.slabs = NULL;
        for (uint32_t slot = 0; slot < (uint32_t)SLABS << d->slabs.shift; slot++) {
            const uint8_t *row = NULL;
            uint32_t rows = 1u << d->slabs.shift, of = slot % rows;
            OK(vsi_slab_row_aside(&d->f.err, &d->slabs, slot, &aside, &row));
            if (of == 0 || of == rows - 1)
                VT_CHECK(is_row_of(row, slot + 7919, 512));
            VT_CHECK(has_room || used(d) <= d->pager.reside.limit_bytes + 2 * 16384 + 4096);
        }
        VT_EQ(device.reads, (has_room + 1) * SLABS); /* each slab once */
    }
    vsi_buf_free(&aside.buf);
    end_filed(d);
}

/* ---- in the mapped file --------------------------------------------------------------------- */

/* Slabs of a checkpoint, none of them in memory. */
static void begin_mapped(filed *d, uint32_t row_bytes, uint32_t slabs) {
    begin_filed(d, row_bytes);
    vsi_pager_allow_maps(&d->pager);
    for (uint32_t at = 0; at < slabs; at++)
        fill_slab(d, at, 1);
    settle(d);
    evict_all(d);
    device.reads = 0;
}

static const uint8_t *row_of(filed *d, uint32_t at) {
    const uint8_t *row = NULL;
    OK(vsi_slab_row(&d->f.err, &d->slabs, at << d->slabs.shift, &row));
    return row;
}

static vsi_ref place_of(filed *d, uint32_t at) {
    uint8_t key[VSI_SLAB_KEY_BYTES];
    vsi_node_item item;
    const vsi_slab_place *places = (const vsi_slab_place *)(const void *)d->slabs.moved.data;
    for (size_t i = 0; i < d->slabs.moved.bytes / sizeof *places; i++)
        if (places[i].at == at)
            return places[i].ref;
    vsi_slab_key(key, d->slabs.array, at);
    OK(vsi_btree_get(&d->f.err, &d->slabs.dir, (vsi_bytes){key, sizeof key}, &item));
    return vsi_ref_decode(item.refs);
}

/* Flips a byte of a slab in the file, or back. */
static void damage_slab(filed *d, uint32_t at) {
    uint8_t byte = 0;
    size_t n = 0;
    uint64_t offset = vsi_ref_page(place_of(d, at)) * VSI_PAGE_BYTES + 5;
    OK(vsi_file_read(&d->f.err, &d->file, &byte, 1, offset, &n));
    byte ^= 1;
    OK(vsi_file_write(&d->f.err, &d->file, &byte, 1, offset));
}

static vs_status look_at(filed *d, uint32_t at) {
    const uint8_t *row = NULL;
    return vsi_slab_row(&d->f.err, &d->slabs, at << d->slabs.shift, &row);
}

VT_TEST(a_slab_of_the_checkpoint_is_looked_at_in_the_file_and_takes_no_memory) {
    enum { SLABS = 30 }; /* in one window, also where those are small */
    filed one, *d = &one;
    for (uint32_t row_bytes = 20; row_bytes < 100000; row_bytes *= 7) {
        begin_mapped(d, row_bytes, SLABS);
        uint64_t before = used(d);
        for (int round = 0; round < 3; round++) {
            for (uint32_t at = 0; at < SLABS; at++)
                check_slab(d, at, 1);
            VT_EQ(d->pager.windows.sight_count, SLABS);
            VT_CHECK(used(d) < before + SLABS * 256 + 8192);
            evict_all(d);
            VT_EQ(d->pager.windows.sight_count, 0);
        }
        VT_EQ(device.reads, 0);
        end_filed(d);
    }
}

VT_TEST(a_slab_written_since_the_checkpoint_is_read_and_not_looked_at_in_the_file) {
    enum { SLABS = 20 };
    filed one, *d = &one;
    begin_mapped(d, 512, SLABS);
    for (uint32_t at = 0; at < SLABS; at += 2)
        fill_slab(d, at, 2);
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    evict_all(d);
    device.reads = 0;
    for (uint32_t at = 0; at < SLABS; at++)
        check_slab(d, at, at % 2 ? 1 : 2);
    VT_EQ(device.reads, SLABS / 2);
    VT_EQ(d->pager.windows.sight_count, SLABS / 2);
    settle(d);
    evict_all(d);
    for (uint32_t at = 0; at < SLABS; at++)
        check_slab(d, at, at % 2 ? 1 : 2);
    VT_EQ(device.reads, SLABS / 2); /* now all are mapped */
    end_filed(d);
}

VT_TEST(who_changes_a_slab_gets_it_in_memory_and_those_who_look_keep_theirs) {
    filed one, *d = &one;
    begin_mapped(d, 512, 3);
    vsi_stay stay = vsi_stay_enter(&d->pager.reside);
    const uint8_t *before = row_of(d, 1);
    uint32_t slot = 1u << d->slabs.shift;
    VT_EQ(d->pager.windows.sight_count, 1);
    fill_slab(d, 1, 2);
    VT_EQ(device.reads, 1);
    VT_EQ(d->pager.windows.sight_count, 0);
    VT_CHECK(row_of(d, 1) != before && is_row_of(before, slot + 7919, 512));
    settle(d);
    evict_all(d);
    VT_CHECK(row_of(d, 1) != before && is_row_of(before, slot + 7919, 512));
    VT_EQ(d->pager.windows.sight_count, 1);
    check_slab(d, 1, 2);
    vsi_stay_leave(&d->pager.reside, stay);
    end_filed(d);
}

VT_TEST(damage_before_a_slab_is_needed_is_found_and_so_is_any_before_it_is_changed) {
    filed one, *d = &one;
    uint8_t *row = NULL;
    begin_mapped(d, 512, 4);
    damage_slab(d, 1);
    VT_EQ(look_at(d, 1), VS_ERR_CORRUPT);
    VT_CONTAINS(d->f.err.text, "is damaged");
    check_slab(d, 2, 1);
    damage_slab(d, 2); /* out of reach for who only looks */
    VT_EQ(look_at(d, 2), VS_OK);
    VT_EQ(vsi_slab_make_row(&d->f.err, &d->slabs, 2u << d->slabs.shift, &row), VS_ERR_CORRUPT);
    VT_EQ(count_dirty(d), 0);
    evict_all(d);
    VT_EQ(look_at(d, 2), VS_ERR_CORRUPT); /* it came back, and was verified again */
    damage_slab(d, 1);
    damage_slab(d, 2);
    check_slab(d, 1, 1);
    check_slab(d, 2, 1);
    OK(vsi_file_truncate(&d->f.err, &d->file, vsi_ref_page(place_of(d, 3)) * VSI_PAGE_BYTES + 1));
    VT_EQ(look_at(d, 3), VS_ERR_CORRUPT);
    VT_CONTAINS(d->f.err.text, "is truncated");
    end_filed(d);
}

static void let_go(void *ctx, vsi_run run) {
    vsi_slab_let_go(ctx, run);
}

/* Frees the place of a slab, as a checkpoint does that has none of it. */
static void reap_slab(filed *d, vsi_ref place) {
    OK(vsi_space_expect(&d->f.err, &d->pager.space, 1));
    vsi_space_bury(&d->pager.space,
                   (vsi_dead_extent){.run = {vsi_ref_page(place), vsi_ref_pages(place)}});
    vsi_space_reap(&d->pager.space, 1, NULL, 0, let_go, &d->pager);
}

VT_TEST(pages_are_free_when_the_slab_has_left_the_table_and_nobody_can_look_at_it_any_more) {
    filed one, *d = &one;
    begin_mapped(d, 512, 3);
    const vsi_ref place = place_of(d, 1);
    vsi_stay stay = vsi_stay_enter(&d->pager.reside);
    const uint8_t *seen = row_of(d, 1);
    reap_slab(d, place);
    VT_EQ(d->pager.windows.sight_count, 0); /* nobody new finds it */
    for (int i = 0; i < 5; i++) {
        vsi_space_give_left(&d->pager.space);
        VT_CHECK(!is_free(d, place)); /* he may still look */
    }
    VT_CHECK(is_row_of(seen, (1u << d->slabs.shift) + 7919, 512));
    vsi_stay_leave(&d->pager.reside, stay);
    vsi_space_give_left(&d->pager.space);
    VT_CHECK(is_free(d, place));
    VT_EQ(d->pager.space.left, 0);
    VT_EQ(d->pager.space.dead_pages, 0);
    end_filed(d);
}

VT_TEST(what_memory_has_no_room_for_is_looked_at_in_the_file_and_verified_each_time) {
    enum { SLABS = 20 };
    filed one, *d = &one;
    begin_mapped(d, 512, SLABS);
    vsi_slab_aside aside = {.buf = {.mem = &d->f.mem}};
    vsi_stay stay = vsi_stay_enter(&d->pager.reside);
    row_of(d, 0); /* the window */
    evict_all(d);
    d->pager.reside.limit_bytes = 1;
    uint64_t before = used(d), calls = d->f.allocator.calls;
    const uint8_t *row = NULL;
    for (uint32_t slot = 0; slot < (uint32_t)SLABS << d->slabs.shift; slot++) {
        uint32_t rows = 1u << d->slabs.shift, of = slot % rows;
        OK(vsi_slab_row_aside(&d->f.err, &d->slabs, slot, &aside, &row));
        VT_CHECK((of != 0 && of != rows - 1) || is_row_of(row, slot + 7919, 512));
        VT_CHECK(aside.is_mapped);
    }
    VT_EQ(device.reads, 0);
    VT_EQ(used(d), before);
    VT_EQ(d->f.allocator.calls, calls);
    uint32_t last = (uint32_t)(SLABS - 1) << d->slabs.shift;
    damage_slab(d, SLABS - 1);
    VT_EQ(vsi_slab_row_aside(&d->f.err, &d->slabs, last, &aside, &row), VS_OK);
    vsi_slab_aside_renew(&aside);
    VT_EQ(vsi_slab_row_aside(&d->f.err, &d->slabs, last, &aside, &row), VS_ERR_CORRUPT);
    vsi_stay_leave(&d->pager.reside, stay);
    vsi_buf_free(&aside.buf);
    end_filed(d);
}

VT_TEST(a_mapped_slab_without_memory_for_its_entry_can_be_asked_for_again) {
    filed one, *d = &one;
    for (uint64_t fail = 1; fail < 30; fail++) {
        begin_mapped(d, 512, 3);
        d->f.allocator.fail_at = d->f.allocator.calls + fail;
        vs_status st = look_at(d, 1);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        d->f.allocator.fail_at = 0;
        check_slab(d, 1, 1);
        fill_slab(d, 1, 2);
        check_slab(d, 1, 2);
        end_filed(d);
    }
}

VT_TEST(rows_of_an_array_without_a_file_need_no_place_aside) {
    fixture f;
    vsi_slabs slabs;
    begin(&f);
    init(&f, &slabs, 512);
    fill_row(make_row(&f, &slabs, 3), 3, 512);
    vsi_slab_aside aside = {.buf = {.mem = &f.mem}};
    const uint8_t *row = NULL;
    VT_EQ(vsi_slab_row_aside(&f.err, &slabs, 3, &aside, &row), VS_OK);
    VT_CHECK(is_row_of(row, 3, 512) && !aside.slabs && !aside.buf.data);
    uint32_t far = 100u << slabs.shift;
    VT_EQ(vsi_slab_row_aside(&f.err, &slabs, far, &aside, &row), VS_ERR_CORRUPT);
    VT_EQ(vsi_slabs_evict(&slabs, 10), 0);
    check_row(&slabs, 3);
    end(&f, &slabs);
}

/* ---- what happens while a slab is read ------------------------------------------------------ */

/* Slab 1 of the array, in the file with round 1 and not in memory; what another thread does while it is
 * read, and how it is read. */
static void begin_meanwhile(filed *d, void (*meanwhile)(void *ctx)) {
    begin_filed(d, 512);
    for (uint32_t at = 0; at < 3; at++)
        fill_slab(d, at, 1);
    settle(d);
    evict_all(d);
    device.meanwhile = meanwhile;
    device.meanwhile_ctx = d;
}

/* Whether the row is that of round 2, not of round 1. */
static bool read_meanwhile(filed *d, bool is_aside, vs_status expected) {
    const uint8_t *row = NULL;
    static vsi_slab_aside aside;
    uint32_t slot = 1u << d->slabs.shift;
    aside = (vsi_slab_aside){.buf = {.mem = &d->f.mem}};
    d->pager.reside.limit_bytes = is_aside ? 1 : UINT64_MAX;
    vs_status st = is_aside ? vsi_slab_row_aside(&d->f.err, &d->slabs, slot, &aside, &row)
                            : vsi_slab_row(&d->f.err, &d->slabs, slot, &row);
    if (st != expected)
        vt_fail(__FILE__, __LINE__, "status %d: %s, expected %d", st, d->f.err.text, expected);
    bool is_old = st == VS_OK && is_row_of(row, slot + 7919, 512);
    bool is_new = st == VS_OK && is_row_of(row, slot + 2 * 7919, 512);
    VT_CHECK(st != VS_OK || is_old || is_new);
    vsi_buf_free(&aside.buf);
    return is_new;
}

/* The bytes of an extent change, as those of pages that were given up and used again. */
static void scribble(filed *d, vsi_ref ref) {
    static const uint8_t noise[64] = {1, 2, 3};
    OK(vsi_file_write(&d->f.err, &d->file, noise, sizeof noise,
                      vsi_ref_page(ref) * VSI_PAGE_BYTES));
}

/* The writer changes the slab and writes it elsewhere; its old pages hold something else. */
static void move_away(void *ctx) {
    filed *d = ctx;
    vsi_ref old = place_of(d, 1);
    fill_slab(d, 1, 2);
    OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
    evict_all(d);
    VT_CHECK(place_of(d, 1).at != old.at);
    scribble(d, old);
}

/* The same, and it is in memory. */
static void move_into_memory(void *ctx) {
    filed *d = ctx;
    vsi_ref old = place_of(d, 1);
    fill_slab(d, 1, 2);
    scribble(d, old);
}

/* The same place, another slab: it was written, given up, and written again. */
static void change_in_place(void *ctx) {
    filed *d = ctx;
    vsi_slab_place place = {.at = 1, .ref = place_of(d, 1)};
    place.ref.hash++;
    VT_CHECK(vsi_buf_append(&d->slabs.moved, &place, sizeof place));
    scribble(d, place.ref);
}

static void put_back_in_place(void *ctx) {
    filed *d = ctx;
    d->slabs.moved.bytes = 0;
    device.meanwhile = NULL;
}

/* Nobody has the slab any more, in memory or in the file. */
static void lose(void *ctx) {
    filed *d = ctx;
    d->slabs.dir.root = (vsi_ref){.kind = VSI_REF_NONE};
    d->slabs.dir.count = 0;
}

static void lose_and_scribble(void *ctx) {
    filed *d = ctx;
    scribble(d, place_of(d, 1));
    lose(ctx);
}

VT_TEST(a_slab_that_moved_while_it_was_read_is_read_again) {
    static void (*const changes[])(void *ctx) = {move_away, move_into_memory};
    for (int is_aside = 0; is_aside < 2; is_aside++)
        for (size_t i = 0; i < 2; i++) {
            filed one, *d = &one;
            begin_meanwhile(d, changes[i]);
            VT_CHECK(read_meanwhile(d, is_aside, VS_OK));
            end_filed(d);
        }
}

VT_TEST(a_slab_that_is_damaged_where_it_is_stays_damage) {
    for (int is_aside = 0; is_aside < 2; is_aside++) {
        filed one, *d = &one;
        begin_meanwhile(d, NULL);
        scribble(d, place_of(d, 1));
        read_meanwhile(d, is_aside, VS_ERR_CORRUPT);
        VT_CONTAINS(d->f.err.text, "is damaged");
        end_filed(d);
    }
}

VT_TEST(a_slab_with_another_hash_at_the_same_place_has_moved) {
    for (int is_aside = 0; is_aside < 2; is_aside++) {
        filed one, *d = &one;
        begin_meanwhile(d, change_in_place);
        read_meanwhile(d, is_aside,
                       VS_ERR_CORRUPT); /* read again, and now it is nothing but damage */
        VT_EQ(device.reads, 2);
        put_back_in_place(d);
        end_filed(d);
    }
}

VT_TEST(a_slab_that_is_gone_while_it_is_read_has_no_row) {
    static void (*const changes[])(void *ctx) = {lose, lose_and_scribble};
    for (size_t i = 0; i < 2; i++) {
        filed one, *d = &one;
        begin_meanwhile(d, changes[i]);
        read_meanwhile(d, false, VS_ERR_CORRUPT);
        end_filed(d);
        begin_meanwhile(d, changes[i]);
        read_meanwhile(
            d, true, i ? VS_ERR_CORRUPT : VS_OK); /* aside it is as it was when it was asked for */
        end_filed(d);
    }
    filed one, *d = &one;
    begin_meanwhile(d, NULL);
    lose(d);
    read_meanwhile(d, true, VS_ERR_CORRUPT);
    VT_CONTAINS(d->f.err.text, "has no row");
    end_filed(d);
}

/* ---- entries that are malformed ------------------------------------------------------------- */

/* The entry of a slab gets another number of references. */
static void plant_entry(filed *d, vsi_btree *dir, uint32_t at, uint32_t ref_count) {
    uint8_t key[VSI_SLAB_KEY_BYTES], refs[2 * VSI_REF_BYTES] = {0};
    vsi_slab_key(key, d->slabs.array, at);
    vsi_node_item item = {.key = {key, sizeof key}, .refs = refs, .ref_count = ref_count};
    OK(vsi_btree_put_item(&d->f.err, dir, &item));
}

VT_TEST(an_entry_of_a_slab_that_is_malformed_is_called_damage_and_can_be_replaced) {
    for (uint32_t refs = 0; refs <= 2; refs += 2) {
        filed one, *d = &one;
        const uint8_t *row = NULL;
        begin_filed(d, 512);
        for (uint32_t at = 0; at < 3; at++)
            fill_slab(d, at, 1);
        settle(d);
        evict_all(d);
        vsi_cow_mark mark = vsi_cow_open(&d->cow);
        plant_entry(d, &d->slabs.dir, 1, refs);
        VT_EQ(vsi_slab_row(&d->f.err, &d->slabs, 1u << d->slabs.shift, &row), VS_ERR_CORRUPT);
        VT_CONTAINS(d->f.err.text, "the entry of slab 1 is malformed");
        check_slab(d, 0, 1);
        /* Nothing is dropped with it, for nothing is known. */
        vsi_slab_place place = {.at = 1, .ref = place_of(d, 0)};
        vsi_btree dir = d->slabs.dir;
        VT_CHECK(vsi_buf_append(&d->slabs.moved, &place, sizeof place));
        size_t dead = d->cow.dead_extents.bytes;
        OK(vsi_slabs_link(&d->f.err, &d->slabs, &dir));
        VT_EQ(d->cow.dead_extents.bytes, dead);
        d->slabs.moved.bytes = 0;
        plant_entry(d, &dir, 1, refs);
        for (uint32_t slot = 0; slot < 2u << d->slabs.shift; slot++)
            vsi_slabs_count_unused(&d->slabs, slot, true);
        OK(vsi_slabs_drop_unused(&d->f.err, &d->slabs, &dir, 4u << d->slabs.shift));
        VT_EQ(dir.count, 1);
        VT_EQ(d->cow.dead_extents.bytes, dead + sizeof(vsi_dead_extent)); /* slab 0 */
        vsi_cow_keep(&d->cow, mark);
        end_filed(d);
    }
}

/* It leads to no slab, or to one of another size. */
VT_TEST(a_slab_whose_reference_fits_no_slab_is_called_damage) {
    for (int i = 0; i < 2; i++) {
        filed one, *d = &one;
        const uint8_t *row = NULL;
        uint8_t key[VSI_SLAB_KEY_BYTES], encoded[VSI_REF_BYTES];
        begin_filed(d, 512);
        fill_slab(d, 0, 1);
        settle(d);
        evict_all(d);
        vsi_ref ref = place_of(d, 0);
        if (i)
            ref.kind = VSI_REF_BLOB;
        else
            ref.at = vsi_ref_extent(vsi_ref_page(ref), vsi_ref_pages(ref) - 1);
        vsi_slab_key(key, d->slabs.array, 0);
        vsi_ref_encode(ref, encoded);
        vsi_node_item item = {.key = {key, sizeof key}, .refs = encoded, .ref_count = 1};
        vsi_cow_mark mark = vsi_cow_open(&d->cow);
        OK(vsi_btree_put_item(&d->f.err, &d->slabs.dir, &item));
        VT_EQ(vsi_slab_row(&d->f.err, &d->slabs, 0, &row), VS_ERR_CORRUPT);
        VT_CONTAINS(d->f.err.text, i ? "of kind 3" : "12288 bytes, expected 16384");
        vsi_cow_keep(&d->cow, mark);
        end_filed(d);
    }
}

/* ---- dropping and distrusting that fail ----------------------------------------------------- */

VT_TEST(dropping_slabs_that_fails_anywhere_can_be_repeated) {
    for (uint64_t at = 1;; at++) {
        filed one, *d = &one;
        begin_filed(d, 512);
        for (uint32_t i = 0; i < 4; i++)
            fill_slab(d, i, 1);
        settle(d);
        fill_slab(d, 2, 2); /* one that changed stays in memory until it is written */
        for (uint32_t slot = 0; slot < 3u << d->slabs.shift; slot++)
            vsi_slabs_count_unused(&d->slabs, slot, true);
        vsi_cow_mark mark = vsi_cow_open(&d->cow);
        vsi_btree dir = d->slabs.dir;
        uint64_t failures = d->f.allocator.failures;
        d->f.allocator.fail_at = d->f.allocator.calls + at;
        vs_status st = vsi_slabs_drop_unused(&d->f.err, &d->slabs, &dir, 4u << d->slabs.shift);
        d->f.allocator.fail_at = 0;
        bool has_failed = d->f.allocator.failures > failures;
        VT_EQ(st, has_failed ? VS_ERR_NOMEM : VS_OK);
        VT_CHECK(has_failed || dir.count == 1);
        check_slab(d, 3, 1);
        vsi_cow_undo(&d->cow, mark);
        end_filed(d);
        if (!has_failed)
            break;
    }
}

/* Without a table, as after an open: only the file has them. */
VT_TEST(slabs_that_were_never_read_can_be_dropped) {
    filed one, *d = &one;
    begin_filed(d, 512);
    fill_slab(d, 0, 1);
    fill_slab(d, 1, 1);
    settle(d);
    vsi_btree dir = d->slabs.dir;
    vsi_slabs_free(&d->slabs);
    init(&d->f, &d->slabs, 512);
    d->slabs.dir = dir;
    for (uint32_t slot = 0; slot < 1u << d->slabs.shift; slot++)
        vsi_slabs_count_unused(&d->slabs, slot, true);
    vsi_cow_mark mark = vsi_cow_open(&d->cow);
    OK(vsi_slabs_drop_unused(&d->f.err, &d->slabs, &dir, 2u << d->slabs.shift));
    VT_EQ(dir.count, 1);
    vsi_cow_undo(&d->cow, mark);
    end_filed(d);
}

VT_TEST(distrust_that_cannot_read_back_or_has_no_memory_says_so_and_keeps_the_places) {
    for (uint64_t at = 0;; at++) { /* 0: the read fails */
        filed one, *d = &one;
        begin_filed(d, 512);
        for (uint32_t i = 0; i < 3; i++)
            fill_slab(d, i, 1);
        OK(vsi_slabs_write_back(&d->f.err, &d->slabs, &d->pager, UINT64_MAX));
        evict_all(d);
        uint64_t failures = d->f.allocator.failures;
        device.fails_to_read = at == 0;
        d->f.allocator.fail_at = at ? d->f.allocator.calls + at : 0;
        vs_status st = vsi_slabs_distrust(&d->f.err, &d->slabs, &d->pager);
        d->f.allocator.fail_at = 0;
        device.fails_to_read = false;
        bool has_failed = d->f.allocator.failures > failures;
        VT_EQ(st, at == 0 ? VS_ERR_IO : has_failed ? VS_ERR_NOMEM : VS_OK);
        VT_EQ(d->slabs.moved.bytes / sizeof(vsi_slab_place) + count_dirty(d), 3);
        for (uint32_t i = 0; i < 3; i++)
            check_slab(d, i, 1);
        end_filed(d);
        if (st == VS_OK)
            break;
    }
}

/* ---- readers beside the writer -------------------------------------------------------------- */

#if VS_THREADSAFE

enum { READERS = 2, SHARED_ROWS = 6000, SHARED_BYTES = 3072 };

/* The writer tells readers, as the list of versions does, how many rows are written. */
typedef struct shared {
    vsi_slabs slabs;
    vsi_mutex lock;
    uint32_t written;
} shared;

typedef struct reader {
    pthread_t thread;
    shared *s;
    uint64_t seed, reads, wrong;
} reader;

static uint32_t shared_written(shared *s, uint32_t more) {
    vsi_mutex_lock(&s->lock);
    s->written += more;
    uint32_t written = s->written;
    vsi_mutex_unlock(&s->lock);
    return written;
}

/* The row that was written last, and any other. A failure is counted: only the main thread may end
 * a test. */
static void *reader_main(void *arg) {
    reader *r = arg;
    vt_rng rng = {r->seed};
    for (uint32_t written = 0; written < SHARED_ROWS;) {
        written = shared_written(r->s, 0);
        for (int i = 0; written && i < 2; i++) {
            vsi_err err = {0};
            const uint8_t *row = NULL;
            uint32_t slot = i ? (uint32_t)vt_below(&rng, written) : written - 1;
            vs_status st = vsi_slab_row(&err, &r->s->slabs, slot, &row);
            r->wrong += st != VS_OK || !is_row_of(row, slot, 64) ||
                        row[SHARED_BYTES - 1] != content(slot, SHARED_BYTES - 1);
            r->reads++;
        }
    }
    return NULL;
}

VT_TEST(readers_find_every_written_row_while_the_table_grows) {
    fixture f;
    shared s;
    reader r[READERS];
    begin(&f);
    memset(&s, 0, sizeof s);
    memset(r, 0, sizeof r);
    init(&f, &s.slabs, SHARED_BYTES);
    VT_CHECK(vsi_mutex_init(&s.lock));
    for (int i = 0; i < READERS; i++) {
        r[i].s = &s;
        r[i].seed = vt_seed() + (uint64_t)i;
        VT_EQ(pthread_create(&r[i].thread, NULL, reader_main, &r[i]), 0);
    }
    for (uint32_t slot = 0; slot < SHARED_ROWS; slot++) {
        uint8_t *row = NULL;
        if (vsi_slab_make_row(&f.err, &s.slabs, slot, &row) == VS_OK) {
            fill_row(row, slot, 64);
            row[SHARED_BYTES - 1] = content(slot, SHARED_BYTES - 1);
        }
        shared_written(&s, 1);
    }
    for (int i = 0; i < READERS; i++)
        VT_EQ(pthread_join(r[i].thread, NULL), 0);
    for (int i = 0; i < READERS; i++) {
        VT_EQ(r[i].wrong, 0);
        VT_CHECK(r[i].reads > 0);
    }
    vsi_mutex_destroy(&s.lock);
    end(&f, &s.slabs);
}

#endif
