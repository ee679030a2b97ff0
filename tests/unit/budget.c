/* budget.c - what leaves memory at the limit, what comes back, and what stays. */
#include "store/budget.h"
#include "os/memory.h"
#include "vt.h"

enum { NODES = 300, SLABS = 12, DIM = 128 };

static const vs_vfs *below;
static uint64_t reads; /* of the file */

static vs_status count_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    reads++;
    return below->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory, vfs;
    vsi_file file;
    vsi_pager pager;
    vsi_cow cow;
    vsi_descs descs;
    vsi_desc *desc[2];
    vsi_ref node[NODES];
    vsi_err err;
} fixture;

static void check_ok(fixture *f, vs_status st, int line) {
    if (st != VS_OK)
        vt_fail(__FILE__, line, "status %d: %s", st, f->err.text);
}

#define OK(call) check_ok(f, call, __LINE__)

static void make_node(uint8_t page[VSI_PAGE_BYTES], uint64_t number) {
    uint8_t key[8];
    vsi_put_u64_be(key, number);
    vsi_node_init(page, 0, 0);
    vsi_node_item item = {.key = {key, 8}, .value = {key, 8}};
    vsi_node_insert(page, 0, &item);
}

static void fill_slab(fixture *f, int coll, uint32_t at, uint64_t seed) {
    vsi_slabs *slabs = &f->desc[coll]->field[0].rows;
    uint8_t *row = NULL;
    OK(vsi_slab_make_row(&f->err, slabs, at << slabs->shift, &row));
    memset(row, (int)(vt_mix(seed * 100 + at) & 255), slabs->row_bytes);
}

/* Nodes and slabs of two collections, all in the file and in memory. */
static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    below = f->memory;
    f->vfs = *f->memory;
    f->vfs.read = count_read;
    OK(vsi_file_open(&f->err, &f->mem, &f->vfs, "t.vs", VS_VFS_WRITE | VS_VFS_CREATE, &f->file));
    VT_CHECK(vsi_pager_init(&f->pager, &f->mem, &f->file));
    f->pager.space.is_known = true;
    vsi_cow_init(&f->cow, &f->mem);
    f->cow.pager = &f->pager;
    VT_CHECK(vsi_descs_init(&f->descs, &f->mem, NULL));
    for (uint32_t i = 0; i < 2; i++) {
        static vsi_desc given;
        memset(&given, 0, sizeof given);
        given.id = i + 1;
        given.field[0].dim = DIM;
        given.field[0].type = VS_F32;
        given.field[0].element_bytes = 4;
        given.field_count = 1;
        given.new_dir.cow = &f->cow;
        OK(vsi_descs_add(&f->err, &f->descs, &given, &f->desc[i]));
        for (uint32_t at = 0; at < SLABS; at++)
            fill_slab(f, (int)i, at, i);
        OK(vsi_slabs_write_back(&f->err, &f->desc[i]->field[0].rows, &f->pager, UINT64_MAX));
    }
    for (uint64_t i = 0; i < NODES; i++) {
        uint8_t page[VSI_PAGE_BYTES];
        make_node(page, i);
        OK(vsi_pager_write(&f->err, &f->pager, VSI_REF_NODE, 0, (vsi_bytes){page, sizeof page},
                           &f->node[i]));
    }
    OK(vsi_pager_flush(&f->err, &f->pager));
    vsi_pager_keep(&f->pager);
    for (uint64_t i = 0; i < NODES; i++) {
        const uint8_t *page = NULL;
        OK(vsi_pager_node(&f->err, &f->pager, f->node[i], &page));
    }
    vsi_reside_collect(&f->pager.reside);
}

static void end(fixture *f) {
    vsi_descs_free(&f->descs);
    vsi_cow_free_all(&f->cow);
    vsi_pager_free(&f->pager);
    vsi_file_close(&f->file);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
    vsi_memory_vfs_destroy(f->memory);
}

static uint64_t used(fixture *f) {
    return vsi_atomic_load(&f->mem.used_bytes);
}

static void check_node(fixture *f, uint64_t i) {
    uint8_t expected[VSI_PAGE_BYTES];
    const uint8_t *page = NULL;
    make_node(expected, i);
    OK(vsi_pager_node(&f->err, &f->pager, f->node[i], &page));
    VT_CHECK(!memcmp(page, expected, sizeof expected));
}

static void check_slab(fixture *f, int coll, uint32_t at, uint64_t seed) {
    vsi_slabs *slabs = &f->desc[coll]->field[0].rows;
    const uint8_t *row = NULL;
    OK(vsi_slab_row(&f->err, slabs, at << slabs->shift, &row));
    for (uint32_t i = 0; i < slabs->row_bytes; i++)
        VT_CHECK(row[i] == (uint8_t)vt_mix(seed * 100 + at));
}

static void check_all(fixture *f) {
    for (uint64_t i = 0; i < NODES; i++)
        check_node(f, i);
    for (int coll = 0; coll < 2; coll++)
        for (uint32_t at = 0; at < SLABS; at++)
            check_slab(f, coll, at, (uint64_t)coll);
}

VT_TEST(below_the_limit_and_without_one_nothing_leaves) {
    static fixture f;
    begin(&f);
    uint64_t bytes = used(&f);
    for (int i = 0; i < 2; i++) {
        f.pager.reside.limit_bytes = i ? bytes : UINT64_MAX;
        for (int k = 0; k < 5; k++)
            vsi_budget_keep(&f.pager, &f.descs);
        VT_EQ(used(&f), bytes);
        VT_EQ(vsi_atomic_load(&f.pager.reside.evictions), 0);
        reads = 0;
        check_all(&f);
        VT_EQ(reads, 0);
    }
    end(&f);
}

VT_TEST(above_the_limit_memory_goes_somewhat_below_it_and_all_comes_back_unchanged) {
    static fixture f;
    begin(&f);
    uint64_t all = used(&f);
    for (uint64_t share = 1; share < 8; share++) {
        check_all(&f);
        const uint64_t limit = all - all * share / 9;
        vsi_atomic_set(&f.pager.reside.limit_bytes, limit);
        vsi_budget_keep(&f.pager, &f.descs);
        VT_CHECK(used(&f) <= limit - limit / 20);
        VT_CHECK(used(&f) + 64 * 5000 + limit / 8 >= limit); /* and not much further */
        f.pager.reside.limit_bytes = UINT64_MAX;
        reads = 0;
        check_all(&f);
        VT_CHECK(reads > 0);
    }
    f.pager.reside.limit_bytes = 1; /* all that can go */
    vsi_budget_keep(&f.pager, &f.descs);
    VT_EQ(f.pager.page_count, 0);
    VT_CHECK(used(&f) < all / 8);
    check_all(&f);
    end(&f);
}

VT_TEST(what_was_asked_for_of_late_stays_while_other_things_can_go) {
    static fixture f;
    begin(&f);
    vsi_pager_evict(&f.pager, 100000); /* takes all marks away */
    VT_EQ(f.pager.page_count, NODES);
    for (uint64_t i = 0; i < NODES; i += 4)
        check_node(&f, i);
    f.pager.reside.limit_bytes = used(&f) - NODES / 2 * VSI_PAGE_BYTES;
    f.pager.reside.limit_bytes += f.pager.reside.limit_bytes / 16;
    vsi_budget_keep(&f.pager, &f.descs);
    VT_CHECK(f.pager.page_count < NODES && f.pager.page_count >= NODES / 4);
    f.pager.reside.limit_bytes = UINT64_MAX;
    reads = 0;
    for (uint64_t i = 0; i < NODES; i += 4)
        check_node(&f, i);
    VT_EQ(reads, 0);
    check_all(&f);
    end(&f);
}

VT_TEST(slabs_that_changed_stay_however_little_memory_there_is) {
    static fixture f;
    begin(&f);
    for (uint32_t at = 0; at < SLABS; at += 2)
        fill_slab(&f, 1, at, 7);
    f.pager.reside.limit_bytes = 1;
    for (int i = 0; i < 3; i++)
        vsi_budget_keep(&f.pager, &f.descs);
    VT_CHECK(used(&f) >= SLABS / 2 * 16384);
    f.pager.reside.limit_bytes = UINT64_MAX;
    reads = 0;
    for (uint32_t at = 0; at < SLABS; at += 2)
        check_slab(&f, 1, at, 7);
    VT_EQ(reads, 0);
    for (uint32_t at = 1; at < SLABS; at += 2)
        check_slab(&f, 1, at, 1);
    VT_EQ(reads, SLABS / 2);
    end(&f);
}

/* What waits for one who stays is as good as gone: nothing else has to leave for it. */
VT_TEST(what_waits_for_one_who_stays_does_not_count) {
    static fixture f;
    begin(&f);
    vsi_stay stay = vsi_stay_enter(&f.pager.reside);
    const uint64_t all = used(&f), limit = all / 2;
    vsi_atomic_set(&f.pager.reside.limit_bytes, limit);
    for (int i = 0; i < 4; i++) {
        vsi_budget_keep(&f.pager, &f.descs);
        uint64_t waiting = vsi_atomic_load(&f.pager.reside.waiting_bytes);
        VT_EQ(used(&f), all); /* nothing could be freed */
        VT_CHECK(all - waiting <= limit && all - waiting + limit / 8 + 40000 >= limit);
    }
    vsi_stay_leave(&f.pager.reside, stay);
    vsi_budget_keep(&f.pager, &f.descs);
    VT_EQ(vsi_atomic_load(&f.pager.reside.waiting_bytes), 0);
    VT_CHECK(used(&f) <= limit);
    end(&f);
}
