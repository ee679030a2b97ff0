/* pager.c - extents in a file: what is written is read back, and nothing else is. */
#include "store/pager.h"
#include "base/hash.h"
#include "os/memory.h"
#include "store/node.h"
#include "vt.h"
#include <pthread.h>

#define PATH "base.vs"

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory; /* as it is */
    vs_vfs vfs;     /* counted, with failures */
    vsi_file file;
    vsi_pager pager;
    vsi_err err;
    vt_rng rng;
} fixture;

/* ---- calls that are counted and fail -------------------------------------------------------- */

static struct {
    const vs_vfs *below;
    uint64_t reads, writes, written_bytes;
    uint64_t fail_read_at, fail_write_at; /* 0: none */
    size_t read_most;                     /* bytes of one read; 0: all */
} fault;

static vs_status fault_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    if (++fault.reads == fault.fail_read_at)
        return VS_ERR_IO;
    if (fault.read_most && bytes > fault.read_most)
        bytes = fault.read_most;
    return fault.below->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

/* A write that fails has moved half of the bytes. */
static vs_status fault_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    bool now = ++fault.writes == fault.fail_write_at;
    fault.written_bytes += bytes;
    vs_status st =
        fault.below->write(ctx, file, buf, now ? bytes / 2 : bytes, offset, out_bytes, why);
    return now ? VS_ERR_FULL : st;
}

/* ---- fixture -------------------------------------------------------------------------------- */

static void check_ok(fixture *f, vs_status st, int line) {
    if (st != VS_OK)
        vt_fail(__FILE__, line, "status %d: %s", st, f->err.text);
}

#define OK(call) check_ok(f, call, __LINE__)

static void start_pager(fixture *f) {
    VT_CHECK(vsi_pager_init(&f->pager, &f->mem, &f->file));
    f->pager.space.is_known = true;
}

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    memset(&fault, 0, sizeof fault);
    f->rng.state = vt_seed();
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    fault.below = f->memory;
    f->vfs = *f->memory;
    f->vfs.read = fault_read;
    f->vfs.write = fault_write;
    OK(vsi_file_open(&f->err, &f->mem, &f->vfs, PATH, VS_VFS_WRITE | VS_VFS_CREATE, &f->file));
    start_pager(f);
    f->pager.birth = 7;
}

static void end(fixture *f) {
    vsi_pager_free(&f->pager);
    vsi_file_close(&f->file);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
    vsi_memory_vfs_destroy(f->memory);
}

/* Another pager of the same file, as the next session has. */
static void restart(fixture *f) {
    uint64_t end_page = f->pager.space.end;
    vsi_pager_free(&f->pager);
    start_pager(f);
    vsi_pager_open_to(&f->pager, end_page);
}

static void fill(uint8_t *out, uint64_t seed, size_t bytes) {
    vt_rng rng = {seed};
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(i % 8 ? rng.state >> i % 8 * 8 : vt_random(&rng));
}

/* Writes an extent of pages made from a seed. */
static vs_status try_write(fixture *f, int kind, uint64_t seed, size_t pages, vsi_ref *out_ref) {
    size_t bytes = pages * VSI_PAGE_BYTES;
    uint8_t *data = malloc(bytes);
    fill(data, seed, bytes);
    vs_status st = vsi_pager_write(&f->err, &f->pager, kind, 0, (vsi_bytes){data, bytes}, out_ref);
    if (st == VS_OK)
        VT_CHECK(out_ref->hash == vsi_hash64(data, bytes, vsi_ref_page(*out_ref)));
    free(data);
    return st;
}

static vsi_ref write_extent(fixture *f, int kind, uint64_t seed, size_t pages) {
    vsi_ref ref;
    OK(try_write(f, kind, seed, pages, &ref));
    VT_CHECK(ref.kind == kind && !ref.is_block && !ref.codec && !ref.level && ref.birth == 7);
    VT_EQ(vsi_ref_pages(ref), pages);
    return ref;
}

static void flush(fixture *f) {
    OK(vsi_pager_flush(&f->err, &f->pager));
}

static void check_extent(fixture *f, vsi_ref ref, uint64_t seed) {
    size_t bytes = (size_t)vsi_ref_pages(ref) * VSI_PAGE_BYTES;
    uint8_t *expected = malloc(bytes);
    vsi_buf buf = {.mem = &f->mem};
    fill(expected, seed, bytes);
    VT_CHECK(vsi_buf_append(&buf, "abc", 3)); /* is appended to */
    OK(vsi_pager_read(&f->err, &f->pager, ref, ref.kind, &buf));
    VT_EQ(buf.bytes, bytes + 3);
    VT_CHECK(!memcmp(buf.data, "abc", 3) && !memcmp(buf.data + 3, expected, bytes));
    vsi_buf_free(&buf);
    free(expected);
}

/* A reading that fails leaves the buffer as it was. */
static void refuse_extent(fixture *f, vsi_ref ref, int kind, vs_status expected) {
    vsi_buf buf = {.mem = &f->mem};
    f->err.text[0] = 0;
    VT_EQ(vsi_pager_read(&f->err, &f->pager, ref, kind, &buf), expected);
    VT_EQ(buf.bytes, 0);
    vsi_buf_free(&buf);
    VT_CONTAINS(f->err.text, PATH);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

/* A leaf, or an inner node, with a number in it. */
static void make_node(uint8_t page[VSI_PAGE_BYTES], uint32_t level, uint64_t number) {
    uint8_t key[8], refs[VSI_REF_BYTES] = {0};
    vsi_put_u64_be(key, number);
    vsi_node_init(page, level, 0);
    if (level)
        vsi_ref_encode((vsi_ref){.at = vsi_ref_extent(40, 1),
                                 .kind = VSI_REF_NODE,
                                 .level = (uint8_t)(level - 1)},
                       refs);
    vsi_node_item item = {
        .key = {key, 8}, .value = {key, level ? 0 : 8}, .refs = refs, .ref_count = level ? 1 : 0};
    vsi_node_insert(page, 0, &item);
}

static vsi_ref write_page(fixture *f, const uint8_t *page, uint32_t level) {
    vsi_ref ref;
    OK(vsi_pager_write(&f->err, &f->pager, VSI_REF_NODE, level, (vsi_bytes){page, VSI_PAGE_BYTES},
                       &ref));
    return ref;
}

static vsi_ref write_node(fixture *f, uint32_t level, uint64_t number) {
    uint8_t page[VSI_PAGE_BYTES];
    make_node(page, level, number);
    return write_page(f, page, level);
}

static const uint8_t *check_node(fixture *f, vsi_ref ref, uint64_t number) {
    uint8_t expected[VSI_PAGE_BYTES];
    const uint8_t *page = NULL;
    make_node(expected, ref.level, number);
    OK(vsi_pager_node(&f->err, &f->pager, ref, &page));
    VT_CHECK(!memcmp(page, expected, VSI_PAGE_BYTES));
    return page;
}

/* Neither from the cache nor from the file; nothing is kept. */
static void refuse_node(fixture *f, vsi_ref ref, const char *reason) {
    uint8_t again[VSI_PAGE_BYTES];
    const uint8_t *page = NULL;
    size_t cached = f->pager.page_count;
    VT_EQ(vsi_pager_node(&f->err, &f->pager, ref, &page), VS_ERR_CORRUPT);
    VT_CHECK(!page);
    VT_CONTAINS(f->err.text, reason);
    VT_EQ(vsi_pager_node_again(&f->err, &f->pager, ref, again), VS_ERR_CORRUPT);
    VT_EQ(f->pager.page_count, cached);
}

/* ---- writing and reading -------------------------------------------------------------------- */

VT_TEST(extents_of_every_size_come_back_as_written) {
    enum { EXTENTS = 120 };
    static fixture f;
    static const int kinds[] = {VSI_REF_SLAB, VSI_REF_BLOB, VSI_REF_FREE};
    vsi_ref ref[EXTENTS];
    begin(&f);
    for (size_t i = 0; i < EXTENTS; i++) {
        size_t pages = i % 40 == 0 ? 300 : 1 + vt_below(&f.rng, i % 8 ? 6 : 60);
        ref[i] = write_extent(&f, kinds[i % 3], i, pages);
        if (i % 7 == 0)
            flush(&f);
    }
    flush(&f);
    for (size_t i = 0; i < EXTENTS; i++)
        check_extent(&f, ref[i], i);
    restart(&f);
    for (size_t i = EXTENTS; i-- > 0;)
        check_extent(&f, ref[i], i);
    end(&f);
}

VT_TEST(an_extent_can_be_read_once_it_is_in_the_file) {
    static fixture f;
    begin(&f);
    vsi_ref ref = write_extent(&f, VSI_REF_BLOB, 1, 3);
    VT_EQ(fault.writes, 0);
    refuse_extent(&f, ref, VSI_REF_BLOB, VS_ERR_CORRUPT);
    flush(&f);
    check_extent(&f, ref, 1);
    VT_EQ(f.pager.end, vsi_ref_page(ref) + 3);
    end(&f);
}

VT_TEST(extents_that_follow_each_other_are_written_together_up_to_a_megabyte) {
    static fixture f;
    begin(&f);
    for (size_t i = 0; i < 256; i++)
        write_extent(&f, VSI_REF_BLOB, i, 1);
    VT_EQ(fault.writes, 0);
    vsi_ref last = write_extent(&f, VSI_REF_BLOB, 256, 1); /* one too many */
    VT_EQ(fault.writes, 1);
    VT_EQ(fault.written_bytes, 1 << 20);
    flush(&f);
    VT_EQ(fault.writes, 2);
    VT_EQ(f.pager.written_bytes, (1 << 20) + VSI_PAGE_BYTES);
    check_extent(&f, last, 256);
    vsi_ref large = write_extent(&f, VSI_REF_SLAB, 5, 700);
    flush(&f);
    VT_EQ(fault.writes, 3);
    check_extent(&f, large, 5);
    flush(&f); /* has nothing to do */
    VT_EQ(fault.writes, 3);
    end(&f);
}

VT_TEST(an_extent_elsewhere_is_written_apart) {
    static fixture f;
    uint64_t page[3];
    vsi_ref ref[3];
    uint8_t data[VSI_PAGE_BYTES] = {1};
    begin(&f);
    for (size_t i = 0; i < 3; i++)
        VT_EQ(vsi_pager_take(&f.err, &f.pager, 1, &page[i]), VS_OK);
    for (size_t i = 0; i < 3; i++) { /* the third, the first, the second */
        size_t at = (i + 2) % 3;
        VT_EQ(vsi_pager_write_at(&f.err, &f.pager, VSI_REF_FREE, 0, (vsi_bytes){data, sizeof data},
                                 page[at], &ref[at]),
              VS_OK);
        VT_EQ(vsi_ref_page(ref[at]), page[at]);
    }
    flush(&f);
    VT_EQ(fault.writes, 2);
    VT_CHECK(ref[0].hash != ref[1].hash); /* the place is hashed as well */
    vsi_buf buf = {.mem = &f.mem};
    for (size_t i = 0; i < 3; i++)
        VT_EQ(vsi_pager_read(&f.err, &f.pager, ref[i], VSI_REF_FREE, &buf), VS_OK);
    vsi_buf_free(&buf);
    end(&f);
}

/* ---- damage --------------------------------------------------------------------------------- */

static void flip(fixture *f, uint64_t off, uint32_t bit) {
    uint8_t byte = 0;
    size_t got = 0;
    char why[VS_VFS_WHY_BYTES];
    void *handle = f->file.handle;
    VT_EQ(f->memory->read(f->memory->ctx, handle, &byte, 1, off, &got, why), VS_OK);
    byte ^= (uint8_t)(1u << bit);
    VT_EQ(f->memory->write(f->memory->ctx, handle, &byte, 1, off, &got, why), VS_OK);
}

VT_TEST(every_single_bit_that_flips_is_found) {
    static fixture f;
    begin(&f);
    vsi_ref slab = write_extent(&f, VSI_REF_SLAB, 3, 2), node = write_node(&f, 0, 9);
    flush(&f);
    vsi_buf buf = {.mem = &f.mem};
    for (uint32_t i = 0; i < 3 * VSI_PAGE_BYTES; i++) {
        uint64_t off = vsi_ref_page(slab) * VSI_PAGE_BYTES + i;
        uint8_t again[VSI_PAGE_BYTES];
        for (uint32_t bit = 0; bit < 8; bit++) {
            flip(&f, off, bit);
            vs_status st = i < 2 * VSI_PAGE_BYTES
                               ? vsi_pager_read(&f.err, &f.pager, slab, VSI_REF_SLAB, &buf)
                               : vsi_pager_node_again(&f.err, &f.pager, node, again);
            VT_EQ(st, VS_ERR_CORRUPT);
            VT_EQ(buf.bytes, 0);
            flip(&f, off, bit);
        }
    }
    VT_CONTAINS(f.err.text, "is damaged");
    vsi_buf_free(&buf);
    check_extent(&f, slab, 3);
    check_node(&f, node, 9);
    end(&f);
}

/* A write that went to the wrong place, or never happened. */
static void swap_pages(fixture *f, uint64_t a, uint64_t b) {
    uint8_t x[VSI_PAGE_BYTES], y[VSI_PAGE_BYTES];
    size_t got = 0;
    OK(vsi_file_read(&f->err, &f->file, x, sizeof x, a * VSI_PAGE_BYTES, &got));
    OK(vsi_file_read(&f->err, &f->file, y, sizeof y, b * VSI_PAGE_BYTES, &got));
    OK(vsi_file_write(&f->err, &f->file, x, sizeof x, b * VSI_PAGE_BYTES));
    OK(vsi_file_write(&f->err, &f->file, y, sizeof y, a * VSI_PAGE_BYTES));
}

VT_TEST(pages_in_each_other_s_place_are_found) {
    static fixture f;
    begin(&f);
    vsi_ref a = write_node(&f, 0, 5), b = write_node(&f, 0, 5); /* the same content */
    vsi_ref pair = write_extent(&f, VSI_REF_SLAB, 3, 2);
    vsi_ref c = write_node(&f, 0, 6);
    flush(&f);
    swap_pages(&f, vsi_ref_page(b), vsi_ref_page(c));
    swap_pages(&f, vsi_ref_page(pair), vsi_ref_page(pair) + 1);
    check_node(&f, a, 5);
    refuse_node(&f, b, "is damaged");
    refuse_node(&f, c, "is damaged");
    refuse_extent(&f, pair, VSI_REF_SLAB, VS_ERR_CORRUPT);
    a.at = b.at; /* where the same was written elsewhere */
    swap_pages(&f, vsi_ref_page(b), vsi_ref_page(c));
    refuse_node(&f, a, "is damaged");
    check_node(&f, b, 5);
    end(&f);
}

VT_TEST(an_extent_outside_the_file_is_refused_without_reading) {
    static fixture f;
    begin(&f);
    vsi_ref ref = write_extent(&f, VSI_REF_BLOB, 3, 5);
    flush(&f);
    uint64_t end_page = f.pager.end, blocks = f.allocator.live_blocks;
    const uint64_t bad[][2] = {{0, 1},
                               {31, 1},
                               {31, 2},
                               {32, 0},
                               {32, 6},
                               {end_page, 1},
                               {end_page - 1, 2},
                               {end_page, 0},
                               {VSI_PAGE_NO_MAX, 1},
                               {32, VSI_EXTENT_PAGES_MAX},
                               {VSI_PAGE_NO_MAX, VSI_EXTENT_PAGES_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ref.at = vsi_ref_extent(bad[i][0], bad[i][1]);
        ref.kind = VSI_REF_BLOB;
        refuse_extent(&f, ref, VSI_REF_BLOB, VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, "outside the file");
        ref.kind = VSI_REF_NODE;
        refuse_node(&f, ref, "outside the file");
    }
    VT_EQ(fault.reads, 0);
    VT_EQ(f.allocator.live_blocks, blocks);
    end(&f);
}

VT_TEST(a_reference_of_another_kind_or_codec_is_refused_without_reading) {
    static fixture f;
    begin(&f);
    const vsi_ref good = write_extent(&f, VSI_REF_BLOB, 3, 1);
    flush(&f);
    for (int kind = 0; kind < 256; kind++) {
        vsi_ref ref = good;
        ref.kind = (uint8_t)kind;
        if (kind != VSI_REF_BLOB)
            refuse_extent(&f, ref, VSI_REF_BLOB, VS_ERR_CORRUPT);
        if (kind != VSI_REF_NODE)
            refuse_node(&f, ref, "of kind");
        ref = good;
        ref.codec = (uint8_t)kind;
        if (kind > VSI_CODEC_ZSTD)
            refuse_extent(&f, ref, VSI_REF_BLOB, VS_ERR_CORRUPT);
        ref.kind = VSI_REF_NODE;
        if (kind)
            refuse_node(&f, ref, "of codec");
        ref.kind = VSI_REF_SLAB;
        if (kind)
            refuse_extent(&f, ref, VSI_REF_SLAB, VS_ERR_CORRUPT);
    }
    refuse_extent(&f, good, VSI_REF_SLAB, VS_ERR_CORRUPT);
    VT_EQ(fault.reads, 0);
    check_extent(&f, good, 3);
    end(&f);
}

VT_TEST(a_node_on_another_level_than_its_reference_says_is_refused) {
    static fixture f;
    begin(&f);
    for (uint32_t level = 0; level < 4; level++) {
        vsi_ref ref = write_node(&f, level, 5);
        flush(&f);
        for (int said = 0; said < 256; said++) {
            ref.level = (uint8_t)said;
            if ((uint32_t)said != level)
                refuse_node(&f, ref, "wrong level");
        }
        ref.level = (uint8_t)level;
        check_node(&f, ref, 5);
    }
    end(&f);
}

/* A node with one entry that has one reference. */
static vsi_ref write_node_with_ref(fixture *f, uint32_t level, vsi_ref inside, uint8_t flags) {
    uint8_t page[VSI_PAGE_BYTES], refs[VSI_REF_BYTES];
    vsi_ref_encode(inside, refs);
    refs[15] = flags;
    vsi_node_init(page, level, 0);
    vsi_node_item item = {.key = {(const uint8_t *)"k", 1}, .refs = refs, .ref_count = 1};
    vsi_node_insert(page, 0, &item);
    return write_page(f, page, level);
}

VT_TEST(a_node_that_refers_to_memory_or_to_no_child_is_refused) {
    static fixture f;
    begin(&f);
    vsi_ref child = {.at = vsi_ref_extent(40, 1), .kind = VSI_REF_NODE, .level = 2};
    const vsi_ref good = write_node_with_ref(&f, 3, child, 0);
    vsi_ref bad[8] = {write_node_with_ref(&f, 3, child, 1), write_node_with_ref(&f, 0, child, 1)};
    child.level = 3;
    bad[2] = write_node_with_ref(&f, 3, child, 0);
    child.level = 1;
    bad[3] = write_node_with_ref(&f, 3, child, 0);
    child.level = 255;
    bad[4] = write_node_with_ref(&f, 1, child, 0);
    child = (vsi_ref){.at = vsi_ref_extent(40, 1), .kind = VSI_REF_BLOB};
    bad[5] = write_node_with_ref(&f, 1, child, 0);
    bad[6] = write_node_with_ref(&f, 1, (vsi_ref){.kind = VSI_REF_NONE}, 0);
    const vsi_ref leaf = write_node_with_ref(&f, 0, child, 0);
    flush(&f);
    for (size_t i = 0; i < 7; i++)
        refuse_node(&f, bad[i], "refers to what it must not");
    const uint8_t *page = NULL;
    VT_EQ(vsi_pager_node(&f.err, &f.pager, good, &page), VS_OK);
    VT_EQ(vsi_pager_node(&f.err, &f.pager, leaf, &page), VS_OK); /* a leaf may refer to anything */
    end(&f);
}

VT_TEST(a_malformed_node_is_refused_though_its_hash_is_right) {
    static fixture f;
    begin(&f);
    uint8_t page[2 * VSI_PAGE_BYTES] = {0};
    size_t refused = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        make_node(page, 0, i);
        for (uint64_t k = 0; k <= i % 3; k++)
            page[vt_below(&f.rng, i % 2 ? 24 : VSI_PAGE_BYTES)] = (uint8_t)vt_random(&f.rng);
        vsi_ref ref = write_page(&f, page, vsi_node_level(page) & 255);
        flush(&f);
        const uint8_t *found = NULL;
        vs_status st = vsi_pager_node(&f.err, &f.pager, ref, &found);
        VT_CHECK(st == VS_ERR_CORRUPT || (st == VS_OK && !vsi_node_check(found, 0)));
        refused += st != VS_OK;
    }
    VT_CHECK(refused > 500);
    memset(page, 0, sizeof page);
    make_node(page, 0, 1);
    vsi_ref ref;
    VT_EQ(vsi_pager_write(&f.err, &f.pager, VSI_REF_NODE, 0, (vsi_bytes){page, sizeof page}, &ref),
          VS_OK);
    flush(&f);
    refuse_node(&f, ref, "a node of 2 pages");
    end(&f);
}

VT_TEST(a_truncated_file_is_damage_that_names_the_page) {
    static fixture f;
    char expected[64];
    begin(&f);
    vsi_ref ref = write_extent(&f, VSI_REF_SLAB, 3, 4), node = write_node(&f, 0, 1);
    flush(&f);
    for (uint64_t left = 4 * VSI_PAGE_BYTES; left-- > 0; left -= left % 977) {
        uint64_t page = vsi_ref_page(ref) + left / VSI_PAGE_BYTES;
        VT_EQ(vsi_file_truncate(&f.err, &f.file, vsi_ref_page(ref) * VSI_PAGE_BYTES + left), VS_OK);
        refuse_extent(&f, ref, VSI_REF_SLAB, VS_ERR_CORRUPT);
        snprintf(expected, sizeof expected, "page %u is missing", (unsigned)page);
        VT_CONTAINS(f.err.text, expected);
        refuse_node(&f, node, "is missing");
    }
    end(&f);
}

VT_TEST(reads_that_bring_only_a_part_are_completed) {
    static const size_t most[] = {1, 7, 1000, 4096, 5000};
    static fixture f;
    begin(&f);
    vsi_ref ref = write_extent(&f, VSI_REF_SLAB, 3, 3), node = write_node(&f, 1, 8);
    flush(&f);
    for (size_t i = 0; i < sizeof most / sizeof most[0]; i++) {
        fault.read_most = most[i];
        check_extent(&f, ref, 3);
        check_node(&f, node, 8);
        vsi_pager_forget(&f.pager, (vsi_run){vsi_ref_page(node), 1});
    }
    end(&f);
}

VT_TEST(a_device_that_fails_to_read_is_reported_and_asked_again) {
    static fixture f;
    uint8_t again[VSI_PAGE_BYTES];
    const uint8_t *page = NULL;
    begin(&f);
    vsi_ref ref = write_extent(&f, VSI_REF_SLAB, 3, 3), node = write_node(&f, 1, 8);
    flush(&f);
    fault.fail_read_at = fault.reads + 1;
    refuse_extent(&f, ref, VSI_REF_SLAB, VS_ERR_IO);
    fault.fail_read_at = fault.reads + 1;
    VT_EQ(vsi_pager_node(&f.err, &f.pager, node, &page), VS_ERR_IO);
    VT_CHECK(!page && f.pager.page_count == 0);
    fault.fail_read_at = fault.reads + 1;
    VT_EQ(vsi_pager_node_again(&f.err, &f.pager, node, again), VS_ERR_IO);
    check_extent(&f, ref, 3);
    check_node(&f, node, 8);
    end(&f);
}

/* ---- the cache ------------------------------------------------------------------------------ */

VT_TEST(a_node_is_read_once_until_it_is_forgotten) {
    enum { NODES = 3000 };
    static fixture f;
    static vsi_ref ref[NODES];
    static const uint8_t *page[NODES];
    begin(&f);
    for (uint64_t i = 0; i < NODES; i++)
        ref[i] = write_node(&f, (uint32_t)(i % 3), i);
    flush(&f);
    for (uint64_t i = 0; i < NODES; i++)
        page[i] = check_node(&f, ref[i], i);
    VT_EQ(fault.reads, NODES);
    for (uint64_t i = 0; i < NODES; i++)
        VT_CHECK(check_node(&f, ref[i], i) == page[i]);
    VT_EQ(fault.reads, NODES);
    VT_EQ(f.pager.page_count, NODES);
    vsi_pager_forget(&f.pager, (vsi_run){vsi_ref_page(ref[1000]), 500});
    vsi_pager_forget(&f.pager, (vsi_run){vsi_ref_page(ref[1200]), 100});           /* again */
    vsi_pager_forget(&f.pager, (vsi_run){vsi_ref_page(ref[NODES - 1]) + 1, 1000}); /* never there */
    vsi_pager_forget(&f.pager, (vsi_run){32, 0});
    VT_EQ(f.pager.page_count, NODES - 500);
    for (uint64_t i = 0; i < NODES; i++)
        if (i < 1000 || i >= 1500)
            VT_CHECK(check_node(&f, ref[i], i) == page[i]);
    VT_EQ(fault.reads, NODES);
    for (uint64_t i = 1000; i < 1500; i++)
        check_node(&f, ref[i], i);
    VT_EQ(fault.reads, NODES + 500);
    end(&f);
}

VT_TEST(a_node_read_again_comes_from_the_file_and_leaves_the_cache_alone) {
    static fixture f;
    uint8_t again[VSI_PAGE_BYTES], expected[VSI_PAGE_BYTES];
    begin(&f);
    vsi_ref ref = write_node(&f, 2, 77);
    flush(&f);
    make_node(expected, 2, 77);
    VT_EQ(vsi_pager_node_again(&f.err, &f.pager, ref, again), VS_OK);
    VT_CHECK(!memcmp(again, expected, sizeof again));
    VT_EQ(f.pager.page_count, 0);
    const uint8_t *page = check_node(&f, ref, 77);
    flip(&f, vsi_ref_page(ref) * VSI_PAGE_BYTES + 100, 3);
    VT_EQ(vsi_pager_node_again(&f.err, &f.pager, ref, again), VS_ERR_CORRUPT);
    VT_CHECK(check_node(&f, ref, 77) == page);
    end(&f);
}

VT_TEST(a_page_that_was_forgotten_may_hold_another_node) {
    static fixture f;
    begin(&f);
    vsi_ref old = write_node(&f, 0, 1);
    flush(&f);
    vsi_pager_keep(&f.pager);
    check_node(&f, old, 1);
    vsi_run run = {vsi_ref_page(old), 1};
    vsi_pager_forget(&f.pager, run);
    VT_EQ(vsi_space_expect(&f.err, &f.pager.space, 1), VS_OK);
    vsi_space_give(&f.pager.space, run);
    vsi_ref fresh = write_node(&f, 0, 2);
    VT_EQ(vsi_ref_page(fresh), run.page);
    flush(&f);
    refuse_node(&f, old, "is damaged");
    check_node(&f, fresh, 2);
    end(&f);
}

enum { SHARED_NODES = 400 };

typedef struct reader {
    fixture *f;
    vsi_ref *ref;
    uint64_t seed, failures;
    const uint8_t *page[SHARED_NODES];
} reader;

static void *read_nodes(void *ctx) {
    reader *r = ctx;
    vt_rng rng = {r->seed};
    vsi_err err = {0};
    for (size_t i = 0; i < 20 * SHARED_NODES; i++) {
        uint64_t at = i < 19 * SHARED_NODES ? vt_below(&rng, SHARED_NODES) : i % SHARED_NODES;
        uint8_t expected[VSI_PAGE_BYTES];
        const uint8_t *page = NULL;
        make_node(expected, 0, at);
        if (vsi_pager_node(&err, &r->f->pager, r->ref[at], &page) != VS_OK ||
            memcmp(page, expected, sizeof expected) || (r->page[at] && r->page[at] != page))
            r->failures++;
        r->page[at] = page;
    }
    return NULL;
}

VT_TEST(threads_that_read_nodes_at_once_get_the_same_pages) {
    static fixture f;
    static vsi_ref ref[SHARED_NODES];
    static reader r[2];
    pthread_t thread[2];
    begin(&f);
    f.pager.file = &f.file;
    f.vfs.read = f.memory->read; /* the counters are not for threads */
    for (uint64_t i = 0; i < SHARED_NODES; i++)
        ref[i] = write_node(&f, 0, i);
    flush(&f);
    vsi_mem plain; /* nor is the allocator that counts */
    vsi_mem_init(&plain, NULL);
    vsi_pager_free(&f.pager);
    VT_CHECK(vsi_pager_init(&f.pager, &plain, &f.file));
    vsi_pager_open_to(&f.pager, VSI_SPACE_FIRST_PAGE + SHARED_NODES);
    for (uint64_t i = 0; i < 2; i++) {
        memset(&r[i], 0, sizeof r[i]);
        r[i].f = &f;
        r[i].ref = ref;
        r[i].seed = f.rng.state + i;
        VT_EQ(pthread_create(&thread[i], NULL, read_nodes, &r[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        VT_EQ(pthread_join(thread[i], NULL), 0);
        VT_EQ(r[i].failures, 0);
    }
    for (size_t i = 0; i < SHARED_NODES; i++)
        VT_CHECK(r[0].page[i] == r[1].page[i]);
    VT_EQ(f.pager.page_count, SHARED_NODES);
    end(&f);
    VT_EQ(vsi_atomic_load(&plain.used_bytes), 0);
}

/* ---- leaving memory ------------------------------------------------------------------------- */

VT_TEST(nodes_that_left_the_cache_come_back_unchanged) {
    enum { NODES = 1000 };
    static fixture f;
    static vsi_ref ref[NODES];
    begin(&f);
    for (uint64_t i = 0; i < NODES; i++)
        ref[i] = write_node(&f, (uint32_t)(i % 3), i);
    flush(&f);
    for (int turn = 0; turn < 3; turn++) {
        for (uint64_t i = 0; i < NODES; i++)
            check_node(&f, ref[i], i);
        size_t buckets = vsi_pager_evict(&f.pager, 0);
        VT_EQ(f.pager.page_count, NODES);
        VT_EQ(vsi_pager_evict(&f.pager, buckets), buckets); /* takes their marks away */
        VT_EQ(f.pager.page_count, NODES);
        for (uint64_t i = 0; i < NODES; i += 5)
            check_node(&f, ref[i], i);
        uint64_t evictions = vsi_atomic_load(&f.pager.reside.evictions), reads = fault.reads;
        vsi_pager_evict(&f.pager, buckets);
        VT_EQ(f.pager.page_count, NODES / 5); /* those asked for meanwhile */
        VT_EQ(vsi_atomic_load(&f.pager.reside.evictions), evictions + NODES - NODES / 5);
        for (uint64_t i = 0; i < NODES; i += 5)
            check_node(&f, ref[i], i);
        VT_EQ(fault.reads, reads);
        vsi_reside_collect(&f.pager.reside);
        VT_EQ(vsi_atomic_load(&f.pager.reside.waiting_bytes), 0);
    }
    end(&f);
}

VT_TEST(who_stays_may_look_at_a_node_that_left_the_cache_or_was_forgotten) {
    static fixture f;
    begin(&f);
    vsi_ref evicted = write_node(&f, 0, 1), forgotten = write_node(&f, 1, 2);
    uint8_t expected[VSI_PAGE_BYTES];
    flush(&f);
    vsi_stay stay = vsi_stay_enter(&f.pager.reside);
    const uint8_t *first = check_node(&f, evicted, 1), *second = check_node(&f, forgotten, 2);
    uint64_t evictions = vsi_atomic_load(&f.pager.reside.evictions);
    vsi_pager_forget(&f.pager, (vsi_run){vsi_ref_page(forgotten), 1});
    VT_EQ(vsi_atomic_load(&f.pager.reside.evictions), evictions + 1);
    vsi_pager_evict(&f.pager, 1000);
    vsi_pager_evict(&f.pager, 1000);
    VT_EQ(f.pager.page_count, 0);
    vsi_reside_collect(&f.pager.reside);
    make_node(expected, 0, 1);
    VT_CHECK(!memcmp(first, expected, sizeof expected));
    make_node(expected, 1, 2);
    VT_CHECK(!memcmp(second, expected, sizeof expected));
    VT_CHECK(check_node(&f, evicted, 1) != first);
    vsi_stay_leave(&f.pager.reside, stay);
    vsi_reside_collect(&f.pager.reside);
    VT_EQ(vsi_atomic_load(&f.pager.reside.waiting_bytes), 0);
    end(&f);
}

VT_TEST(the_table_of_a_growing_cache_waits_for_those_who_may_look_into_it) {
    static fixture f;
    begin(&f);
    vsi_stay stay = vsi_stay_enter(&f.pager.reside);
    for (uint64_t i = 0; i < 300; i++) {
        vsi_ref ref = write_node(&f, 0, i);
        flush(&f);
        check_node(&f, ref, i);
    }
    vsi_reside_collect(&f.pager.reside);
    VT_CHECK(vsi_atomic_load(&f.pager.reside.waiting_bytes) >= (64 + 128) * sizeof(void *));
    vsi_stay_leave(&f.pager.reside, stay);
    vsi_reside_collect(&f.pager.reside);
    VT_EQ(vsi_atomic_load(&f.pager.reside.waiting_bytes), 0);
    end(&f);
}

/* ---- giving up, and failures ---------------------------------------------------------------- */

VT_TEST(what_is_given_up_leaves_its_pages_free_and_forgotten) {
    static fixture f;
    begin(&f);
    vsi_ref kept = write_node(&f, 0, 1);
    flush(&f);
    vsi_pager_keep(&f.pager);
    check_node(&f, kept, 1);
    uint64_t end_page = f.pager.space.end;
    for (size_t i = 0; i < 300; i++)
        write_extent(&f, VSI_REF_BLOB, i, 1 + i % 3);
    vsi_ref node = write_node(&f, 0, 2);
    flush(&f);
    check_node(&f, node, 2);
    write_extent(&f, VSI_REF_BLOB, 1, 1); /* not in the file yet */
    uint64_t writes = fault.writes;
    vsi_pager_undo(&f.pager);
    VT_EQ(f.pager.space.end, end_page);
    VT_EQ(f.pager.space.free_pages, 0);
    VT_EQ(f.pager.page_count, 1);
    flush(&f);
    VT_EQ(fault.writes, writes);
    vsi_pager_undo(&f.pager); /* of nothing */
    VT_EQ(f.pager.space.end, end_page);
    check_node(&f, kept, 1);
    vsi_ref again = write_extent(&f, VSI_REF_SLAB, 6, 2);
    VT_EQ(vsi_ref_page(again), end_page);
    flush(&f);
    vsi_pager_keep(&f.pager);
    vsi_pager_undo(&f.pager); /* what was kept is not given up */
    VT_EQ(f.pager.space.end, end_page + 2);
    check_extent(&f, again, 6);
    end(&f);
}

VT_TEST(a_write_that_fails_is_reported_and_can_be_repeated_or_given_up) {
    static fixture f;
    vsi_ref ref[4];
    begin(&f);
    for (size_t i = 0; i < 3; i++)
        ref[i] = write_extent(&f, VSI_REF_BLOB, i, 80);
    uint64_t end_page = f.pager.end;
    fault.fail_write_at = fault.writes + 1;
    VT_EQ(vsi_pager_flush(&f.err, &f.pager), VS_ERR_FULL);
    VT_EQ(f.pager.end, end_page);
    refuse_extent(&f, ref[1], VSI_REF_BLOB, VS_ERR_CORRUPT);
    flush(&f);
    for (size_t i = 0; i < 3; i++)
        check_extent(&f, ref[i], i);
    write_extent(&f, VSI_REF_BLOB, 8, 200);
    fault.fail_write_at = fault.writes + 1;
    VT_EQ(try_write(&f, VSI_REF_BLOB, 9, 200, &ref[3]), VS_ERR_FULL);
    vsi_pager_undo(&f.pager);
    VT_EQ(f.pager.space.end, VSI_SPACE_FIRST_PAGE);
    VT_EQ(f.pager.space.free_pages, 0);
    end(&f);
}

VT_TEST(without_memory_nothing_is_written_or_read_and_the_pager_goes_on) {
    static fixture f;
    begin(&f);
    uint64_t failures = 0, tried = 0;
    for (uint64_t i = 0; i < 200; i++) {
        vsi_ref ref;
        uint64_t seen = f.allocator.failures;
        f.allocator.fail_at = f.allocator.calls + 1 + i % 3;
        vs_status st = try_write(&f, VSI_REF_BLOB, i, 1 + i % 40, &ref);
        VT_EQ(st, f.allocator.failures == seen ? VS_OK : VS_ERR_NOMEM);
        f.allocator.fail_at = 0;
        tried += st == VS_OK;
        if (st == VS_OK) {
            flush(&f);
            check_extent(&f, ref, i);
        }
        vsi_pager_undo(&f.pager);
        VT_CHECK(f.pager.space.end == VSI_SPACE_FIRST_PAGE && f.pager.space.runs.bytes == 0);
    }
    VT_CHECK(tried > 20 && f.allocator.failures > 20);
    for (uint64_t i = 0; i < 500; i++) {
        vsi_ref ref = write_node(&f, 0, i);
        const uint8_t *page = NULL;
        flush(&f);
        failures = f.allocator.failures;
        f.allocator.fail_at = f.allocator.calls + 1 + i % 2;
        vs_status st = vsi_pager_node(&f.err, &f.pager, ref, &page);
        f.allocator.fail_at = 0;
        /* the table of the cache may stay as it is */
        VT_CHECK(st == VS_OK || (st == VS_ERR_NOMEM && f.allocator.failures > failures && !page));
        VT_CHECK(i % 2 || st == VS_ERR_NOMEM);
        check_node(&f, ref, i);
    }
    VT_EQ(f.pager.page_count, 500);
    end(&f);
}

VT_TEST(a_pager_that_is_all_zero_can_be_freed) {
    vsi_pager pager;
    memset(&pager, 0, sizeof pager);
    vsi_pager_free(&pager);
}

VT_TEST(what_is_looked_at_in_the_file_has_the_kind_and_the_size_that_is_expected) {
    fixture f;
    vsi_sight sight = {.user = NULL};
    const uint8_t *bytes = NULL;
    begin(&f);
    vsi_ref ref = write_node(&f, 0, 1);
    VT_EQ(vsi_pager_flush(&f.err, &f.pager), VS_OK);
    VT_EQ(vsi_pager_see(&f.err, &f.pager, ref, VSI_REF_NODE, 2 * VSI_PAGE_BYTES, &sight, &bytes),
          VS_ERR_CORRUPT);
    VT_EQ(vsi_pager_see(&f.err, &f.pager, ref, VSI_REF_SLAB, VSI_PAGE_BYTES, &sight, &bytes),
          VS_ERR_CORRUPT);
    VT_CHECK(!bytes);
    VT_EQ(vsi_pager_see(&f.err, &f.pager, ref, VSI_REF_NODE, VSI_PAGE_BYTES, &sight, &bytes),
          VS_OK);
    VT_CHECK(!bytes); /* without maps it is to be read */
    end(&f);
}
