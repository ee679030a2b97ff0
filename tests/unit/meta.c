/* meta.c - the two meta pages: FORMAT.md section 2. */
#include "store/meta.h"
#include "base/bytes.h"
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "vt.h"

enum { PAGE = VSI_META_BYTES, B = VSI_META_B_OFF, FILE_BYTES = B + PAGE, DISK = 131072 };

/* ---- a disk that can lose its power --------------------------------------------------------- */

enum { PENDING_MAX = 16 };

/* A write that no sync has followed. */
typedef struct pending {
    size_t off, bytes;
    uint8_t data[PAGE];
} pending;

/* One file. Calls that change it are counted, and one of them can fail. */
typedef struct disk {
    uint8_t now[DISK], durable[DISK];
    size_t now_bytes, durable_bytes;
    pending pending[PENDING_MAX];
    int pending_count;
    uint32_t calls, fail_at; /* from 1; 0: none fails */
    bool fails_for_ever;     /* and all after it, as when power is cut */
    bool fails_late;         /* what the call asks is done, and it fails all the same */
    bool fails_reads;
    uint64_t random;
    uint32_t blast_bytes;
    vs_vfs vfs;
} disk;

/* Whether this call fails. */
static bool is_failing(disk *d) {
    d->calls++;
    return d->fail_at && (d->calls == d->fail_at || (d->fails_for_ever && d->calls > d->fail_at));
}

static vs_status disk_open(void *ctx, const char *path, uint32_t mode, void **out_file, char *why) {
    (void)path;
    (void)mode;
    (void)why;
    *out_file = ctx;
    return VS_OK;
}

static void disk_close(void *ctx, void *file) {
    (void)ctx;
    (void)file;
}

static vs_status disk_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                           size_t *out_bytes, char *why) {
    disk *d = ctx;
    (void)file;
    (void)why;
    if (d->fails_reads)
        return VS_ERR_IO;
    size_t left = offset < d->now_bytes ? d->now_bytes - (size_t)offset : 0;
    *out_bytes = bytes < left ? bytes : left;
    memcpy(buf, d->now + (offset < DISK ? offset : 0), *out_bytes);
    return VS_OK;
}

static void extend(size_t *bytes, size_t end) {
    *bytes = end > *bytes ? end : *bytes;
}

static vs_status disk_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    disk *d = ctx;
    (void)file;
    (void)why;
    VT_CHECK(offset + bytes <= DISK && bytes <= PAGE);
    bool fails = is_failing(d);
    if (fails && !d->fails_late)
        return VS_ERR_IO;
    VT_CHECK(d->pending_count < PENDING_MAX);
    pending *p = &d->pending[d->pending_count++];
    *p = (pending){.off = (size_t)offset, .bytes = bytes};
    memcpy(p->data, buf, bytes);
    memcpy(d->now + offset, buf, bytes);
    extend(&d->now_bytes, (size_t)offset + bytes);
    *out_bytes = bytes;
    return fails ? VS_ERR_IO : VS_OK;
}

static vs_status disk_file_size(void *ctx, void *file, uint64_t *out_bytes, char *why) {
    (void)file;
    (void)why;
    *out_bytes = ((disk *)ctx)->now_bytes;
    return VS_OK;
}

/* Extends only; the new size is durable with the next sync. */
static vs_status disk_truncate(void *ctx, void *file, uint64_t bytes, char *why) {
    disk *d = ctx;
    (void)file;
    (void)why;
    VT_CHECK(bytes <= DISK);
    if (is_failing(d))
        return VS_ERR_IO;
    extend(&d->now_bytes, (size_t)bytes);
    return VS_OK;
}

static vs_status disk_sync(void *ctx, void *file, char *why) {
    disk *d = ctx;
    (void)file;
    (void)why;
    bool fails = is_failing(d);
    if (fails && !d->fails_late)
        return VS_ERR_IO;
    memcpy(d->durable, d->now, DISK);
    d->durable_bytes = d->now_bytes;
    d->pending_count = 0;
    return fails ? VS_ERR_IO : VS_OK;
}

static vs_status disk_sync_dir(void *ctx, const char *path, char *why) {
    (void)path;
    (void)why;
    return is_failing(ctx) ? VS_ERR_IO : VS_OK;
}

static vs_status disk_random(void *ctx, void *buf, size_t bytes, char *why) {
    disk *d = ctx;
    (void)why;
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)buf)[i] = (uint8_t)vt_mix(d->random++);
    return is_failing(d) ? VS_ERR_IO : VS_OK;
}

/* ---- fixture -------------------------------------------------------------------------------- */

typedef struct fixture {
    disk d;
    vsi_mem mem;
    vsi_file file;
    vsi_metas metas;
    vsi_err err;
} fixture;

static vs_status disk_device_info(void *ctx, void *file, vs_device_info *out, char *why) {
    (void)file;
    (void)why;
    *out = (vs_device_info){.sector_bytes = 512, .blast_bytes = ((disk *)ctx)->blast_bytes};
    return VS_OK;
}

static void begin_empty(fixture *f) {
    memset(f, 0, sizeof *f);
    f->d.vfs = (vs_vfs){.size = sizeof(vs_vfs),
                        .ctx = &f->d,
                        .open = disk_open,
                        .close = disk_close,
                        .read = disk_read,
                        .write = disk_write,
                        .file_size = disk_file_size,
                        .truncate = disk_truncate,
                        .allocate = disk_truncate,
                        .sync = disk_sync,
                        .sync_dir = disk_sync_dir,
                        .device_info = disk_device_info,
                        .random = disk_random};
    f->d.blast_bytes = 4096;
    vsi_mem_init(&f->mem, NULL);
    VT_EQ(vsi_file_open(&f->err, &f->mem, &f->d.vfs, "a/test.vs", VS_VFS_WRITE, &f->file), VS_OK);
}

/* A database that was just created. */
static void begin(fixture *f) {
    begin_empty(f);
    VT_EQ(vsi_metas_create(&f->err, &f->file, 123456789, 0, &f->metas), VS_OK);
    f->d.calls = 0;
}

static void end(fixture *f) {
    vsi_file_close(&f->file);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

/* What a session knows when it opens the file. */
static vs_status read_all(fixture *f, bool *out_is_new) {
    memset(&f->metas, 0, sizeof f->metas);
    *out_is_new = false;
    return vsi_metas_read(&f->err, &f->file, &f->metas, out_is_new);
}

static void read_valid(fixture *f) {
    bool is_new;
    VT_EQ(read_all(f, &is_new), VS_OK);
    VT_CHECK(!is_new);
}

static void expect_new(fixture *f) {
    bool is_new;
    VT_EQ(read_all(f, &is_new), VS_OK);
    VT_CHECK(is_new);
}

static void expect_failure(fixture *f, vs_status expected) {
    bool is_new;
    f->err = (vsi_err){0};
    VT_EQ(read_all(f, &is_new), expected);
    VT_EQ(f->err.code & 0xff, expected);
    VT_CONTAINS(f->err.text, "test.vs");
}

/* A checkpoint with a different number in each field; number 0: the empty database. */
static vsi_checkpoint_info checkpoint(uint64_t number) {
    vsi_checkpoint_info info = {.log_from = 1};
    if (number)
        info = (vsi_checkpoint_info){.number = number,
                                     .lsn = number * 100 + 1,
                                     .chain = vt_mix(number),
                                     .log_from = number * 100 + 2,
                                     .end = number * 100 + 3,
                                     .catalog_count = number * 100 + 4,
                                     .digest = {number * 100 + 5, number * 100 + 6},
                                     .catalog = {.at = vsi_ref_extent(number + 40, 1),
                                                 .birth = (uint32_t)number,
                                                 .kind = VSI_REF_NODE,
                                                 .level = 3,
                                                 .hash = vt_mix(number + 1)},
                                     .free_list = {.at = vsi_ref_extent(number + 50, 7),
                                                   .birth = (uint32_t)number,
                                                   .kind = VSI_REF_FREE,
                                                   .hash = vt_mix(number + 2)}};
    return info;
}

static bool is_same_ref(vsi_ref a, vsi_ref b) {
    return a.at == b.at && a.birth == b.birth && a.kind == b.kind && a.codec == b.codec &&
           a.level == b.level && a.is_block == b.is_block && a.hash == b.hash;
}

static void check_checkpoint(const vsi_checkpoint_info *found, uint64_t number) {
    vsi_checkpoint_info expected = checkpoint(number);
    VT_EQ(found->number, expected.number);
    VT_EQ(found->lsn, expected.lsn);
    VT_CHECK(found->chain == expected.chain);
    VT_EQ(found->log_from, expected.log_from);
    VT_EQ(found->end, expected.end);
    VT_EQ(found->catalog_count, expected.catalog_count);
    VT_EQ(found->digest.lo, expected.digest.lo);
    VT_EQ(found->digest.hi, expected.digest.hi);
    VT_CHECK(is_same_ref(found->catalog, expected.catalog));
    VT_CHECK(is_same_ref(found->free_list, expected.free_list));
}

/* What the pages say of generation g: a log, and checkpoints 2 g and 2 g - 1. */
static vsi_meta content(const fixture *f, uint64_t generation) {
    vsi_meta meta = f->metas.newest;
    meta.generation = generation;
    meta.durable_lsn = generation * 1000 + 7;
    meta.checkpoint = checkpoint(2 * generation);
    meta.previous = checkpoint(2 * generation - 1);
    return meta;
}

static vs_status write_generation(fixture *f, uint64_t generation) {
    vsi_meta meta = content(f, generation);
    return vsi_metas_write(&f->err, &f->file, &f->metas, &meta);
}

static void check_generation(const fixture *f, uint64_t generation) {
    VT_EQ(f->metas.newest.generation, generation);
    VT_EQ(f->metas.newest.durable_lsn, generation ? generation * 1000 + 7 : 0);
    VT_EQ(f->metas.newest.created_us, 123456789);
    check_checkpoint(&f->metas.newest.checkpoint, 2 * generation);
    if (generation)
        check_checkpoint(&f->metas.newest.previous, 2 * generation - 1);
    else
        VT_EQ(f->metas.newest.previous.log_from, 0); /* there is none */
}

/* ---- pages by the document ------------------------------------------------------------------ */

static void seal(uint8_t *page) {
    XXH128_hash_t hash = XXH3_128bits_withSeed(page, 4080, 0);
    vsi_put_u64(page + 4080, hash.low64);
    vsi_put_u64(page + 4088, hash.high64);
}

static void make_ref(uint8_t *out, const vsi_ref *ref) {
    vsi_put_u64(out, ref->at);
    vsi_put_u32(out + 8, ref->birth);
    out[12] = ref->kind;
    out[14] = ref->level;
    vsi_put_u64(out + 16, ref->hash);
}

static void make_checkpoint(uint8_t *out, const vsi_checkpoint_info *info) {
    vsi_put_u64(out, info->number);
    vsi_put_u64(out + 8, info->lsn);
    vsi_put_u64(out + 16, info->chain);
    vsi_put_u64(out + 24, info->log_from);
    vsi_put_u64(out + 32, info->end);
    vsi_put_u64(out + 40, info->catalog_count);
    vsi_put_u64(out + 48, info->digest.lo);
    vsi_put_u64(out + 56, info->digest.hi);
    make_ref(out + 64, &info->catalog);
    make_ref(out + 88, &info->free_list);
}

static void make_page(uint8_t *page, const vsi_meta *meta) {
    memset(page, 0, PAGE);
    memcpy(page, "vecstore\x89\r\n\x1a\n\0\0\0", 16);
    vsi_put_u16(page + 18, 4);
    vsi_put_u32(page + 20, PAGE);
    vsi_put_u64(page + 32, meta->features_ro);
    vsi_put_u64(page + 40, meta->features_needed);
    memcpy(page + 48, meta->uuid, 16);
    vsi_put_u64(page + 64, meta->seq);
    vsi_put_u64(page + 72, meta->generation);
    vsi_put_u64(page + 80, meta->durable_lsn);
    vsi_put_u64(page + 88, (uint64_t)meta->created_us);
    make_checkpoint(page + 128, &meta->checkpoint);
    make_checkpoint(page + 256, &meta->previous);
    seal(page);
}

/* The two pages of a file, each with its own number and generation. */
static void make_pages(fixture *f, uint64_t seq_a, uint64_t generation_a, uint64_t seq_b,
                       uint64_t generation_b) {
    vsi_meta a = content(f, generation_a), b = content(f, generation_b);
    a.seq = seq_a;
    b.seq = seq_b;
    make_page(f->d.now, &a);
    make_page(f->d.now + B, &b);
    f->d.now_bytes = FILE_BYTES;
}

/* ---- creating ------------------------------------------------------------------------------- */

VT_TEST(a_database_that_was_created_is_found) {
    fixture f;
    begin(&f);
    vsi_metas made = f.metas;
    read_valid(&f);
    check_generation(&f, 0);
    VT_CHECK(!memcmp(f.metas.newest.uuid, made.newest.uuid, 16));
    VT_EQ(f.metas.newest.seq, made.newest.seq);
    VT_EQ(f.metas.last_seq, made.last_seq);
    VT_CHECK(f.metas.is_pair && !f.metas.is_damaged);
    VT_CHECK(vsi_meta_may_write(&f.metas.newest));
    VT_EQ(f.d.pending_count, 0); /* durable */
    end(&f);
}

static void check_pages(const fixture *f) {
    VT_CHECK(f->d.now_bytes >= FILE_BYTES);
    for (size_t off = 0; off <= B; off += B) {
        uint8_t expected[PAGE];
        vsi_meta meta = f->metas.newest;
        meta.seq = vsi_get_u64(f->d.now + off + 64);
        make_page(expected, &meta);
        for (size_t i = 0; i < PAGE; i++)
            if (f->d.now[off + i] != expected[i])
                vt_fail(__FILE__, __LINE__, "byte %zu: %02x, not %02x", off + i, f->d.now[off + i],
                        expected[i]);
    }
    uint64_t a = vsi_get_u64(f->d.now + 64), b = vsi_get_u64(f->d.now + B + 64);
    VT_EQ(f->metas.newest.seq, a > b ? a : b);
}

VT_TEST(both_pages_of_a_new_database_are_as_the_format_says) {
    fixture f;
    begin(&f);
    check_generation(&f, 0);
    check_pages(&f);
    end(&f);
}

VT_TEST(both_pages_of_a_database_with_checkpoints_are_as_the_format_says) {
    fixture f;
    begin(&f);
    for (uint64_t g = 1; g < 4; g++) {
        VT_EQ(write_generation(&f, g), VS_OK);
        check_generation(&f, g);
        check_pages(&f);
    }
    end(&f);
}

VT_TEST(databases_have_different_uuids) {
    fixture f, g;
    begin(&f);
    begin_empty(&g);
    g.d.random = 1000;
    VT_EQ(vsi_metas_create(&g.err, &g.file, 123456789, 0, &g.metas), VS_OK);
    VT_CHECK(memcmp(f.metas.newest.uuid, g.metas.newest.uuid, 16));
    end(&f);
    end(&g);
}

VT_TEST(an_empty_file_and_one_of_zeros_are_new) {
    static const size_t sizes[] = {0, 1, 512, 4095, 4096, 5000, 65536, 65540, FILE_BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fixture f;
        begin_empty(&f);
        f.d.now_bytes = sizes[i];
        expect_new(&f);
        VT_EQ(vsi_metas_create(&f.err, &f.file, 123456789, 0, &f.metas), VS_OK);
        read_valid(&f);
        check_generation(&f, 0);
        end(&f);
    }
}

VT_TEST(a_file_that_is_no_database_is_not_taken_for_one) {
    static const size_t sizes[] = {1, 10, 16, 4096, 65536, FILE_BYTES, DISK};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int first = 0; first < 2; first++) {
            fixture f;
            begin_empty(&f);
            memset(f.d.now, 'x', sizes[i]);
            if (first && sizes[i] > 1)
                f.d.now[0] = 0; /* zero at the front is not zero throughout */
            f.d.now_bytes = sizes[i];
            expect_failure(&f, VS_ERR_NOT_DB);
            end(&f);
        }
}

/* ---- choosing ------------------------------------------------------------------------------- */

VT_TEST(the_page_with_the_larger_number_counts_wherever_it_stands) {
    static const uint64_t seqs[][2] = {
        {1, 2}, {2, 1}, {255, 256}, {256, 255}, {1, (uint64_t)1 << 63}};
    for (size_t i = 0; i < sizeof seqs / sizeof seqs[0]; i++) {
        fixture f;
        begin(&f);
        make_pages(&f, seqs[i][0], 10, seqs[i][1], 20);
        read_valid(&f);
        check_generation(&f, seqs[i][0] > seqs[i][1] ? 10 : 20);
        VT_CHECK(!f.metas.is_damaged);
        VT_CHECK(!f.metas.is_pair); /* they name different logs */
        end(&f);
    }
}

VT_TEST(pages_that_name_the_same_log_and_checkpoint_are_a_pair) {
    fixture f;
    begin(&f);
    make_pages(&f, 7, 10, 8, 10);
    read_valid(&f);
    VT_CHECK(f.metas.is_pair && !f.metas.is_damaged);
    vsi_meta meta = f.metas.newest; /* the same log, a newer checkpoint */
    meta.checkpoint = checkpoint(21);
    meta.seq = 9;
    make_page(f.d.now, &meta);
    read_valid(&f);
    VT_CHECK(!f.metas.is_pair && !f.metas.is_damaged);
    check_checkpoint(&f.metas.newest.checkpoint, 21);
    end(&f);
}

/* Only memory has blocks; a page that speaks of one must not make an address of it. */
VT_TEST(a_reference_of_a_page_never_leads_to_memory) {
    fixture f;
    begin(&f);
    make_pages(&f, 7, 10, 8, 10);
    for (size_t page = 0; page <= B; page += B) {
        memset(f.d.now + page + 128, 0xff, 112);
        memset(f.d.now + page + 256, 0xff, 112);
        seal(f.d.now + page);
    }
    read_valid(&f);
    const vsi_meta *meta = &f.metas.newest;
    VT_CHECK(!meta->checkpoint.catalog.is_block && !meta->checkpoint.free_list.is_block);
    VT_CHECK(!meta->previous.catalog.is_block && !meta->previous.free_list.is_block);
    end(&f);
}

/* Flips every bit of the page at off; the other page must be taken. */
static void check_flips(size_t off, uint64_t other_generation) {
    fixture f;
    begin(&f);
    make_pages(&f, 7, 10, 8, 20);
    for (size_t bit = 0; bit < 8 * PAGE; bit++) {
        f.d.now[off + bit / 8] ^= (uint8_t)(1 << bit % 8);
        read_valid(&f);
        check_generation(&f, other_generation);
        VT_CHECK(f.metas.is_damaged && !f.metas.is_pair);
        f.d.now[off + bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    end(&f);
}

VT_TEST(any_flipped_bit_of_a_page_leaves_the_other_in_charge) {
    check_flips(0, 20);
    check_flips(B, 10);
}

VT_TEST(a_page_of_zeros_or_rubbish_leaves_the_other_in_charge) {
    for (int fill = 0; fill < 512; fill += 0x5b)
        for (size_t off = 0; off <= B; off += B) {
            fixture f;
            begin(&f);
            make_pages(&f, 7, 10, 8, 20);
            memset(f.d.now + off, fill, PAGE);
            read_valid(&f);
            check_generation(&f, off ? 10 : 20);
            VT_CHECK(f.metas.is_damaged);
            end(&f);
        }
}

/* Page B is made before page A, so no crash leaves such a file: something cut it. */
VT_TEST(a_file_cut_off_before_the_end_of_page_b_is_damage) {
    for (size_t bytes = PAGE; bytes < FILE_BYTES; bytes += 3999) {
        fixture f;
        begin(&f);
        make_pages(&f, 7, 10, 8, 20);
        f.d.now_bytes = bytes;
        expect_failure(&f, VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, "truncated");
        end(&f);
    }
}

VT_TEST(two_damaged_pages_are_damage_and_never_a_new_or_foreign_file) {
    for (size_t a = 0; a < PAGE; a += 97)
        for (size_t b = 0; b < PAGE; b += 211) {
            fixture f;
            begin(&f);
            f.d.now[a] ^= 0x40;
            f.d.now[B + b] ^= 0x40;
            /* Without its magic a page is any page; one of the two still has it. */
            if (a >= 16 || b >= 16)
                expect_failure(&f, VS_ERR_CORRUPT);
            end(&f);
        }
}

VT_TEST(a_damaged_page_a_alone_is_damage) {
    for (size_t bytes = PAGE; bytes < FILE_BYTES; bytes += 30000) {
        fixture f;
        begin(&f);
        f.d.now[100] ^= 1;
        f.d.now_bytes = bytes;
        expect_failure(&f, VS_ERR_CORRUPT);
        end(&f);
    }
}

VT_TEST(pages_of_two_databases_are_not_mixed_without_notice) {
    fixture f;
    begin(&f);
    make_pages(&f, 7, 10, 8, 20);
    f.d.now[48] ^= 1;
    seal(f.d.now);
    read_valid(&f);
    check_generation(&f, 20);
    VT_CHECK(!f.metas.is_pair);
    end(&f);
}

/* ---- versions and features ------------------------------------------------------------------ */

/* Changes bytes of both pages, which stay valid. */
static void patch(fixture *f, size_t off, uint64_t value, size_t bytes) {
    for (size_t page = 0; page <= B; page += B) {
        for (size_t i = 0; i < bytes; i++)
            f->d.now[page + off + i] = (uint8_t)(value >> 8 * i);
        seal(f->d.now + page);
    }
}

VT_TEST(older_and_newer_formats_are_told_apart) {
    static const struct {
        uint16_t major, minor;
        vs_status expected;
    } format[] = {{0, 0, VS_ERR_TOO_OLD}, {0, 1, VS_ERR_TOO_OLD},
                  {0, 3, VS_ERR_TOO_OLD}, {0, 4, VS_OK},
                  {0, 5, VS_ERR_TOO_NEW}, {0, 65535, VS_ERR_TOO_NEW},
                  {1, 0, VS_ERR_TOO_NEW}, {1, 1, VS_ERR_TOO_NEW},
                  {1, 4, VS_ERR_TOO_NEW}, {65535, 0, VS_ERR_TOO_NEW}};
    for (size_t i = 0; i < sizeof format / sizeof format[0]; i++) {
        fixture f;
        begin(&f);
        patch(&f, 16, format[i].major, 2);
        patch(&f, 18, format[i].minor, 2);
        if (format[i].expected == VS_OK)
            read_valid(&f);
        else
            expect_failure(&f, format[i].expected);
        end(&f);
    }
}

VT_TEST(unknown_feature_bits_refuse_reading_or_writing_or_nothing) {
    for (int bit = 0; bit < 64; bit++) {
        fixture f;
        begin(&f);
        patch(&f, 24, (uint64_t)1 << bit, 8); /* compatible */
        read_valid(&f);
        VT_CHECK(vsi_meta_may_write(&f.metas.newest));
        patch(&f, 32, (uint64_t)1 << bit, 8); /* read-only */
        read_valid(&f);
        VT_CHECK(!vsi_meta_may_write(&f.metas.newest));
        patch(&f, 32, 0, 8);
        patch(&f, 40, (uint64_t)1 << bit, 8); /* needed */
        if (bit > 1)
            expect_failure(&f, VS_ERR_TOO_NEW);
        end(&f);
    }
}

VT_TEST(compressed_values_are_a_feature_that_a_build_without_zstd_refuses_by_name) {
    fixture f;
    begin(&f);
    patch(&f, 40, VSI_META_NEEDS_ZSTD, 8);
    if (vsi_codec_has_zstd()) {
        read_valid(&f);
        VT_EQ(f.metas.newest.features_needed, VSI_META_NEEDS_ZSTD);
        VT_CHECK(vsi_meta_may_write(&f.metas.newest));
    } else {
        expect_failure(&f, VS_ERR_UNSUPPORTED);
        VT_CONTAINS(f.err.text, "zstd");
    }
    patch(&f, 40, VSI_META_NEEDS_ZSTD | 4, 8);
    expect_failure(&f, VS_ERR_TOO_NEW);
    VT_CONTAINS(f.err.text, "0x4");
    end(&f);
}

VT_TEST(trailers_are_a_feature_of_a_database_from_its_creation_on) {
    fixture f;
    begin_empty(&f);
    VT_EQ(vsi_metas_create(&f.err, &f.file, 123456789, VSI_TRAILER_BYTES, &f.metas), VS_OK);
    for (int round = 0; round < 2; round++) {
        VT_EQ(f.metas.newest.trailer_bytes, 40);
        VT_EQ(f.metas.newest.features_needed, VSI_META_NEEDS_TRAILERS);
        for (size_t page = 0; page <= B; page += B) {
            VT_EQ(vsi_get_u16(f.d.now + page + 96), 40);
            VT_EQ(vsi_get_u64(f.d.now + page + 40), 2);
        }
        read_valid(&f);
        VT_EQ(write_generation(&f, 5), VS_OK); /* and stays so */
    }
    end(&f);
}

VT_TEST(trailers_of_another_size_or_without_their_feature_are_damage) {
    for (uint32_t needed = 0; needed <= VSI_META_NEEDS_TRAILERS; needed += VSI_META_NEEDS_TRAILERS)
        for (uint32_t bytes = 0; bytes < 65536; bytes += bytes < 50 ? 1 : 4093) {
            fixture f;
            begin(&f);
            patch(&f, 40, needed, 8);
            patch(&f, 96, bytes, 2);
            if (bytes == (needed ? 40 : 0)) {
                read_valid(&f);
                VT_EQ(f.metas.newest.trailer_bytes, bytes);
            } else {
                expect_failure(&f, VS_ERR_CORRUPT);
                VT_CONTAINS(f.err.text, needed ? "expected 40" : "expected 0");
            }
            end(&f);
        }
}

VT_TEST(bytes_that_the_format_calls_zero_may_hold_anything) {
    fixture f;
    begin(&f);
    VT_EQ(write_generation(&f, 5), VS_OK);
    patch(&f, 98, UINT64_MAX, 6);
    for (size_t off = 104; off < 4080; off += 8)
        if (off < 128 || (off >= 240 && off < 256) || off >= 368) /* not the checkpoints */
            patch(&f, off, UINT64_MAX, 8);
    memset(f.d.now + PAGE, 0xee, B - PAGE);
    read_valid(&f);
    check_generation(&f, 5);
    VT_CHECK(f.metas.is_pair);
    end(&f);
}

VT_TEST(a_failure_to_read_is_reported_as_such) {
    fixture f;
    begin(&f);
    f.d.fails_reads = true;
    expect_failure(&f, VS_ERR_IO);
    VT_EQ(f.err.code, VS_ERR_IO_READ);
    end(&f);
}

/* ---- writing -------------------------------------------------------------------------------- */

VT_TEST(a_change_is_found_whichever_page_is_lost) {
    for (uint64_t generation = 1; generation < 6; generation++)
        for (size_t lost = 0; lost <= B; lost += B) {
            fixture f;
            begin(&f);
            for (uint64_t g = 1; g <= generation; g++)
                VT_EQ(write_generation(&f, g), VS_OK);
            VT_EQ(f.d.pending_count, 0);
            check_generation(&f, generation);
            VT_CHECK(f.metas.is_pair);
            memset(f.d.now + lost, 0x5a, PAGE);
            read_valid(&f);
            check_generation(&f, generation);
            end(&f);
        }
}

VT_TEST(numbers_of_pages_rise_with_every_write) {
    fixture f;
    begin(&f);
    uint64_t last = f.metas.newest.seq;
    for (uint64_t g = 1; g < 10; g++) {
        VT_EQ(write_generation(&f, g), VS_OK);
        uint64_t a = vsi_get_u64(f.d.now + 64), b = vsi_get_u64(f.d.now + B + 64);
        VT_CHECK(a > last && b > last && a != b);
        VT_EQ(f.metas.newest.seq, a > b ? a : b);
        VT_EQ(f.metas.last_seq, f.metas.newest.seq);
        last = f.metas.newest.seq;
    }
    end(&f);
}

VT_TEST(a_change_keeps_what_it_does_not_name) {
    fixture f;
    begin(&f);
    vsi_meta before = f.metas.newest;
    VT_EQ(write_generation(&f, 3), VS_OK);
    read_valid(&f);
    check_generation(&f, 3);
    VT_CHECK(!memcmp(f.metas.newest.uuid, before.uuid, 16));
    VT_EQ(f.metas.newest.created_us, before.created_us);
    end(&f);
}

/* ---- power cuts ----------------------------------------------------------------------------- */

/* The disk after a power cut: of the writes that no sync has followed those in kept reached it, of
 * the one numbered torn only the first or the last half. */
static void cut_power(disk *d, uint32_t kept, int torn, bool is_first_half) {
    memcpy(d->now, d->durable, DISK);
    d->now_bytes = d->durable_bytes;
    for (int i = 0; i < d->pending_count; i++) {
        const pending *p = &d->pending[i];
        size_t from = i == torn && !is_first_half ? p->bytes / 2 : 0;
        size_t to = i == torn && is_first_half ? p->bytes / 2 : p->bytes;
        if (!(kept >> i & 1))
            continue;
        memcpy(d->now + p->off + from, p->data + from, to - from);
        extend(&d->now_bytes, p->off + p->bytes);
    }
    memcpy(d->durable, d->now, DISK);
    d->durable_bytes = d->now_bytes;
    d->pending_count = 0;
    d->calls = d->fail_at = 0;
    d->fails_for_ever = false;
}

/* What a power cut may leave must satisfy check; the disk is as before afterwards. */
static void check_power_cuts(fixture *f, void (*check)(fixture *f, const void *ctx),
                             const void *ctx) {
    static disk saved;
    saved = f->d;
    vsi_metas metas = f->metas;
    for (uint32_t kept = 0; kept < 1u << saved.pending_count; kept++)
        for (int torn = -1; torn < saved.pending_count; torn++)
            for (int half = 0; half < 2; half++) {
                f->d = saved;
                cut_power(&f->d, kept, torn, half);
                check(f, ctx);
            }
    f->d = saved;
    f->metas = metas;
}

/* Either no database at all or an empty one, and then it can be created or used. */
static void check_created(fixture *f, const void *ctx) {
    bool is_new;
    (void)ctx;
    VT_EQ(read_all(f, &is_new), VS_OK);
    if (is_new)
        VT_EQ(vsi_metas_create(&f->err, &f->file, 123456789, 0, &f->metas), VS_OK);
    VT_EQ(write_generation(f, 1), VS_OK);
    read_valid(f);
    check_generation(f, 1);
}

VT_TEST(a_power_cut_during_creation_leaves_a_new_file_or_an_empty_database) {
    for (uint32_t at = 1;; at++)
        for (int late = 0; late < 2; late++) {
            fixture f;
            begin_empty(&f);
            f.d.fail_at = at;
            f.d.fails_for_ever = true;
            f.d.fails_late = late;
            vs_status st = vsi_metas_create(&f.err, &f.file, 123456789, 0, &f.metas);
            check_power_cuts(&f, check_created, NULL);
            end(&f);
            if (st == VS_OK) {
                VT_CHECK(at > 4); /* two writes and two syncs at least */
                return;
            }
        }
}

/* The generations that may be found. */
typedef struct allowed {
    uint64_t generation[3];
} allowed;

static void check_allowed(fixture *f, const void *ctx) {
    const allowed *a = ctx;
    read_valid(f);
    uint64_t found = f->metas.newest.generation;
    VT_CHECK(found == a->generation[0] || found == a->generation[1] || found == a->generation[2]);
    check_generation(f, found);
    VT_EQ(write_generation(f, 9), VS_OK); /* and the database is as good as any */
    read_valid(f);
    check_generation(f, 9);
}

VT_TEST(a_power_cut_during_a_change_leaves_the_old_content_or_the_new) {
    for (uint32_t at = 1;; at++)
        for (int late = 0; late < 2; late++) {
            fixture f;
            begin(&f);
            VT_EQ(write_generation(&f, 1), VS_OK);
            f.d.calls = 0;
            f.d.fail_at = at;
            f.d.fails_for_ever = true;
            f.d.fails_late = late;
            vs_status st = write_generation(&f, 2);
            const allowed either = {{1, 2, 2}}, new = {{2, 2, 2}};
            check_power_cuts(&f, check_allowed, st == VS_OK ? &new : &either);
            end(&f);
            if (st == VS_OK) {
                VT_CHECK(at > 4);
                return;
            }
        }
}

/* A program is killed in a change at call number killed_at: what it wrote is in the cache. The next
 * session reads that, changes the pages again, and loses its power at call number cut_at. False
 * when neither came to pass. */
static bool kill_then_cut(uint32_t killed_at, uint32_t cut_at, bool repairs) {
    fixture f;
    bool was_killed, was_cut;
    begin(&f);
    VT_EQ(write_generation(&f, 1), VS_OK);
    f.d.calls = 0;
    f.d.fail_at = killed_at;
    f.d.fails_for_ever = f.d.fails_late = true;
    was_killed = write_generation(&f, 2) != VS_OK;
    f.d.calls = f.d.fail_at = 0;
    read_valid(&f);
    uint64_t found = f.metas.newest.generation;
    VT_CHECK(found == 2 || (was_killed && found == 1));
    f.d.fail_at = cut_at;
    vs_status st = VS_OK;
    if (repairs && !f.metas.is_pair)
        st = vsi_metas_repair(&f.err, &f.file, &f.metas);
    if (st == VS_OK)
        st = write_generation(&f, 3);
    was_cut = st != VS_OK;
    const allowed any = {{1, 2, 3}}, new = {{3, 3, 3}};
    check_power_cuts(&f, check_allowed, was_cut ? &any : &new);
    end(&f);
    return was_killed || was_cut;
}

VT_TEST(a_power_cut_in_a_session_after_a_killed_one_loses_no_page_that_counts) {
    for (int repairs = 0; repairs < 2; repairs++)
        for (uint32_t killed_at = 1; killed_at < 20; killed_at++)
            for (uint32_t cut_at = 1; cut_at < 20; cut_at++)
                if (!kill_then_cut(killed_at, cut_at, repairs))
                    VT_CHECK(killed_at > 4 && cut_at > 4);
}

/* ---- failures ------------------------------------------------------------------------------- */

VT_TEST(after_a_failed_change_the_next_one_succeeds) {
    for (int late = 0; late < 2; late++)
        for (uint32_t at = 1;; at++) {
            fixture f;
            begin(&f);
            VT_EQ(write_generation(&f, 1), VS_OK);
            uint64_t last = f.metas.last_seq;
            f.d.calls = 0;
            f.d.fail_at = at;
            f.d.fails_late = late;
            vs_status st = write_generation(&f, 2);
            if (st != VS_OK) {
                VT_EQ(st, VS_ERR_IO);
                VT_CONTAINS(f.err.text, "test.vs");
                VT_CHECK(f.metas.last_seq >= last);
                vsi_metas session = f.metas;
                read_valid(&f);
                VT_CHECK(f.metas.newest.generation == 1 || f.metas.newest.generation == 2);
                f.metas = session;
            }
            f.d.fail_at = 0;
            VT_EQ(write_generation(&f, 3), VS_OK);
            check_generation(&f, 3);
            read_valid(&f);
            check_generation(&f, 3);
            VT_CHECK(f.metas.is_pair);
            end(&f);
            if (st == VS_OK)
                break;
        }
}

VT_TEST(a_damaged_page_is_repaired_from_the_other) {
    for (size_t lost = 0; lost <= B; lost += B) {
        fixture f;
        begin(&f);
        VT_EQ(write_generation(&f, 4), VS_OK);
        memset(f.d.now + lost, 0x77, PAGE);
        read_valid(&f);
        VT_CHECK(f.metas.is_damaged && !f.metas.is_pair);
        VT_EQ(vsi_metas_repair(&f.err, &f.file, &f.metas), VS_OK);
        VT_CHECK(f.metas.is_pair && !f.metas.is_damaged);
        VT_EQ(f.d.pending_count, 0);
        read_valid(&f);
        VT_CHECK(f.metas.is_pair && !f.metas.is_damaged);
        memset(f.d.now + (B - lost), 0x77, PAGE); /* the repaired one alone will do */
        read_valid(&f);
        check_generation(&f, 4);
        end(&f);
    }
}

VT_TEST(a_change_that_was_cut_short_is_completed_by_repair) {
    for (int newer = 0; newer < 2; newer++) {
        fixture f;
        begin(&f);
        make_pages(&f, newer ? 8 : 7, newer ? 2 : 1, newer ? 7 : 8, newer ? 1 : 2);
        memcpy(f.d.durable, f.d.now, DISK);
        read_valid(&f);
        VT_CHECK(!f.metas.is_pair && !f.metas.is_damaged);
        VT_EQ(vsi_metas_repair(&f.err, &f.file, &f.metas), VS_OK);
        VT_CHECK(f.metas.is_pair);
        for (size_t lost = 0; lost <= B; lost += B) {
            uint8_t page[PAGE];
            memcpy(page, f.d.now + lost, PAGE);
            memset(f.d.now + lost, 0, PAGE);
            read_valid(&f);
            check_generation(&f, 2);
            memcpy(f.d.now + lost, page, PAGE);
        }
        end(&f);
    }
}

VT_TEST(a_repair_that_fails_loses_nothing) {
    for (uint32_t at = 1;; at++) {
        fixture f;
        begin(&f);
        VT_EQ(write_generation(&f, 4), VS_OK);
        memset(f.d.now, 0x77, PAGE);
        memcpy(f.d.durable, f.d.now, DISK);
        read_valid(&f);
        f.d.calls = 0;
        f.d.fail_at = at;
        f.d.fails_for_ever = true;
        vs_status st = vsi_metas_repair(&f.err, &f.file, &f.metas);
        const allowed same = {{4, 4, 4}};
        check_power_cuts(&f, check_allowed, &same);
        end(&f);
        if (st == VS_OK) {
            VT_CHECK(at > 2);
            break;
        }
    }
}

/* ---- the owner note ------------------------------------------------------------------------- */

VT_TEST(the_owner_is_found_where_the_format_says_and_harms_no_page) {
    fixture f;
    begin(&f);
    VT_EQ(vsi_session_read(&f.file), 0);
    vsi_session_write(&f.file, 0x0102030405060708);
    VT_EQ(vsi_session_read(&f.file), 0x0102030405060708);
    VT_CHECK(!memcmp(f.d.now + 32768, "vs-owner", 8));
    VT_EQ(vsi_get_u64(f.d.now + 32776), 0x0102030405060708);
    read_valid(&f);
    VT_CHECK(f.metas.is_pair && !f.metas.is_damaged);
    vsi_session_write(&f.file, 42);
    VT_EQ(vsi_session_read(&f.file), 42);
    end(&f);
}

/* A torn write of the note would take page A along. */
VT_TEST(a_device_of_blocks_that_reach_a_page_gets_no_owner_note) {
    fixture f;
    begin(&f);
    f.d.blast_bytes = 65536;
    vsi_session_write(&f.file, 42);
    VT_EQ(vsi_session_read(&f.file), 0);
    f.d.blast_bytes = 32768;
    vsi_session_write(&f.file, 42);
    VT_EQ(vsi_session_read(&f.file), 42);
    end(&f);
}

VT_TEST(an_owner_note_that_cannot_be_read_or_written_is_unknown_and_no_failure) {
    fixture f;
    begin(&f);
    memset(f.d.now + 32768, 'x', 32);
    VT_EQ(vsi_session_read(&f.file), 0);
    f.d.fails_reads = true;
    VT_EQ(vsi_session_read(&f.file), 0);
    f.d.fails_reads = false;
    f.d.fail_at = f.d.calls + 1;
    vsi_session_write(&f.file, 42);
    VT_EQ(vsi_session_read(&f.file), 0);
    f.d.now_bytes = 32772;
    VT_EQ(vsi_session_read(&f.file), 0);
    end(&f);
}
