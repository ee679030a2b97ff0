/* flush.c - states written to a file and read back by somebody else; what a flush leaves alone; and
 * flushes that fail. */
#include "store/flush.h"
#include "os/memory.h"
#include "store/apply.h"
#include "store/audit.h"
#include "store/walk.h"
#include "vt.h"

enum { COLLS = 4, KEYS = 120, CONTENT_MAX = 30000, DEAD_MAX = 64 };

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory; /* as it is */
    vs_vfs vfs;     /* counted, with failures */
    vsi_file file;
    vsi_pager pager;
    vsi_cow cow;
    vsi_descs descs;
    vsi_state state;
    vsi_buf freed;
    uint32_t colls;
    uint64_t seq;              /* of the last flush */
    bool is_pinned;            /* an older version is still read: nothing may be freed */
    vsi_block *dead[DEAD_MAX]; /* kept for it */
    size_t deads;
    vsi_err err;
    vt_rng rng;
} fixture;

/* ---- calls that are counted and fail -------------------------------------------------------- */

static struct {
    const vs_vfs *below;
    uint64_t writes, fail_at; /* 0: none */
    void (*on_write)(void *ctx);
    void *ctx;
} fault;

static vs_status fault_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    if (fault.on_write)
        fault.on_write(fault.ctx);
    bool now = ++fault.writes == fault.fail_at;
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

/* Everything but the file, which may be another fixture's. */
static void begin_on(fixture *f, const vsi_file *file) {
    VT_CHECK(vsi_pager_init(&f->pager, &f->mem, file));
    f->pager.space.is_known = true;
    vsi_cow_init(&f->cow, &f->mem);
    f->cow.pager = &f->pager;
    VT_CHECK(vsi_descs_init(&f->descs, &f->mem, NULL));
    f->state = vsi_state_empty(&f->cow, &f->descs);
    f->freed.mem = &f->mem;
}

static void begin(fixture *f, uint64_t block_pages) {
    memset(f, 0, sizeof *f);
    memset(&fault, 0, sizeof fault);
    f->rng.state = vt_seed() + block_pages;
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    fault.below = f->memory;
    f->vfs = *f->memory;
    f->vfs.write = fault_write;
    OK(vsi_file_open(&f->err, &f->mem, &f->vfs, "base.vs", VS_VFS_WRITE | VS_VFS_CREATE, &f->file));
    begin_on(f, &f->file);
    f->pager.packs = vsi_codec_has_zstd();
    f->pager.space.block_pages = block_pages;
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    vsi_descs_free(&f->descs);
    vsi_pager_free(&f->pager);
    vsi_buf_free(&f->freed);
    vsi_file_close(&f->file);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
    vsi_memory_vfs_destroy(f->memory);
}

/* Noise, or for every third seed letters that repeat. */
static void fill(uint8_t *out, uint64_t seed, size_t bytes) {
    vt_rng rng = {seed};
    for (size_t i = 0; i < bytes && seed % 3 == 0; i++)
        out[i] = (uint8_t)('a' + (vt_mix(seed + i / 9) & 15));
    for (size_t i = 0; i < bytes && seed % 3; i++)
        out[i] = (uint8_t)(i % 8 ? rng.state >> i % 8 * 8 : vt_random(&rng));
}

/* ---- changes -------------------------------------------------------------------------------- */

static void apply(fixture *f, const vsi_op *op) {
    if (vsi_apply(&f->err, &f->state, op, &f->freed) != VS_OK)
        vt_fail(__FILE__, __LINE__, "kind %d: %s", op->kind, f->err.text);
}

static uint32_t dim_of(uint32_t coll) {
    static const uint32_t dim[] = {1, 100, 700, 1500};
    return dim[coll % 4];
}

static int type_of(uint32_t coll) {
    return coll % 3 ? VS_F32 : VS_U8;
}

static void create(fixture *f) {
    char name[VS_NAME_BYTES_MAX + 1];
    uint32_t id = ++f->colls;
    memset(name, 'n', sizeof name);
    snprintf(name + id % 200, 16, "%u", (unsigned)id);
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .field_count = 1,
                 .field[0].name = {(const uint8_t *)"vector", 6},
                 .coll = id,
                 .field[0].dim = dim_of(id),
                 .field[0].type = (uint32_t)type_of(id),
                 .field[0].metric = VS_COSINE,
                 .time_us = -5,
                 .name = {(const uint8_t *)name, strlen(name)},
                 .field[0].index = {(const uint8_t *)"flat", 4}};
    apply(f, &op);
}

static uint32_t some_bytes(fixture *f) {
    static const uint32_t most[] = {1, 60, 60, 60, 60, 1400, 5000, CONTENT_MAX};
    return (uint32_t)vt_below(&f->rng, most[vt_below(&f->rng, 8)]);
}

static void put(fixture *f, uint32_t id, uint64_t key, uint32_t metadata_bytes) {
    static uint8_t vector[4 * VS_DIM_MAX], metadata[CONTENT_MAX];
    vsi_coll coll;
    OK(vsi_state_coll(&f->err, &f->state, id, &coll));
    fill(vector, vt_random(&f->rng), coll.desc->field[0].dim * coll.desc->field[0].element_bytes);
    fill(metadata, vt_random(&f->rng), metadata_bytes);
    vsi_op op = {.kind = VSI_OP_PUT,
                 .coll = id,
                 .slot = vsi_desc_take_slot(coll.desc),
                 .old_slot = VSI_SLOT_NONE,
                 .key.number = key,
                 .vector[0] = {vector, coll.desc->field[0].dim * coll.desc->field[0].element_bytes},
                 .metadata = {metadata, metadata_bytes}};
    vs_status st = vsi_coll_find(&f->err, &coll, VT_KEY(key), &op.old_slot);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    if (op.slot == VSI_SLOT_NONE)
        op.slot = coll.slot_end;
    apply(f, &op);
}

static void delete_record(fixture *f, uint32_t id, uint64_t key) {
    vsi_coll coll;
    vsi_op op = {.kind = VSI_OP_DELETE, .coll = id, .key.number = key};
    OK(vsi_state_coll(&f->err, &f->state, id, &coll));
    vs_status st = vsi_coll_find(&f->err, &coll, VT_KEY(key), &op.slot);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    if (st == VS_OK)
        apply(f, &op);
}

static void note(fixture *f, uint32_t id, uint64_t at, bool has_value) {
    static uint8_t value[CONTENT_MAX];
    uint8_t key[VS_KV_KEY_BYTES_MAX];
    memset(key, 'k', sizeof key);
    vsi_put_u64(key, at);
    uint32_t bytes = some_bytes(f);
    fill(value, vt_random(&f->rng), bytes);
    vsi_op op = {.kind = VSI_OP_NOTE,
                 .coll = id,
                 .note_key = {key, at % 2 ? 8 : 8 + 90 * (at % 11)},
                 .note_value = {value, has_value ? bytes : 0},
                 .note_has_value = has_value};
    apply(f, &op);
}

static void random_op(fixture *f) {
    uint64_t what = vt_below(&f->rng, 20);
    if (!f->colls || (f->colls < COLLS && vt_below(&f->rng, 30) == 0)) {
        create(f);
        return;
    }
    uint32_t id = 1 + (uint32_t)vt_below(&f->rng, f->colls);
    uint64_t key = vt_below(&f->rng, KEYS);
    if (what < 11)
        put(f, id, key, vt_below(&f->rng, 4) ? some_bytes(f) : 0);
    else if (what < 15)
        delete_record(f, id, key);
    else
        note(f, what % 2 ? id : 0, key % 40, what < 18);
}

/* What older versions had goes, unless somebody reads one. */
static void drop_dead(fixture *f) {
    const vsi_freed_slot *slots = (const vsi_freed_slot *)(const void *)f->freed.data;
    VT_CHECK(f->deads < DEAD_MAX);
    f->dead[f->deads++] = vsi_cow_take_dead(&f->cow);
    if (f->is_pinned)
        return;
    for (size_t i = 0; i < f->freed.bytes / sizeof *slots; i++)
        vsi_desc_give_slot(vsi_descs_find(&f->descs, slots[i].coll), slots[i].slot);
    f->freed.bytes = 0;
    while (f->deads)
        vsi_cow_free_dead(&f->cow, f->dead[--f->deads]);
}

static void commit(fixture *f, vsi_cow_mark mark) {
    OK(vsi_state_settle(&f->err, &f->state));
    vsi_cow_keep(&f->cow, mark);
    drop_dead(f);
}

static void change(fixture *f, size_t ops) {
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    for (size_t i = 0; i < ops; i++)
        random_op(f);
    commit(f, mark);
}

/* ---- flushing, as store/checkpoint does ----------------------------------------------------- */

static void forget_run(void *ctx, vsi_run run) {
    vsi_pager_forget(ctx, run);
}

static void bury_extents(fixture *f) {
    const vsi_dead_extent *runs = (const vsi_dead_extent *)(const void *)f->cow.dead_extents.data;
    size_t n = f->cow.dead_extents.bytes / sizeof *runs;
    f->seq++;
    OK(vsi_space_expect(&f->err, &f->pager.space, n));
    for (size_t i = 0; i < n; i++)
        vsi_space_bury(&f->pager.space,
                       (vsi_dead_extent){.run = runs[i].run, .checkpoint = 0, .version = f->seq});
    vsi_buf_free(&f->cow.dead_extents);
    const vsi_run *dropped = (const vsi_run *)(const void *)f->pager.dropped.data;
    n = f->pager.dropped.bytes / sizeof *dropped;
    OK(vsi_space_expect(&f->err, &f->pager.space, n));
    for (size_t i = 0; i < n; i++)
        vsi_space_bury(&f->pager.space,
                       (vsi_dead_extent){.run = dropped[i], .checkpoint = 0, .version = f->seq});
    vsi_buf_free(&f->pager.dropped);
}

static void reap(fixture *f) {
    vsi_space_reader reader = {f->is_pinned ? 0 : f->seq, UINT64_MAX};
    vsi_space_reap(&f->pager.space, 1, &reader, 1, forget_run, &f->pager);
}

/* A failure leaves everything as it was. */
static vs_status try_flush(fixture *f) {
    vsi_state state = f->state;
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    f->pager.birth++;
    vs_status st = vsi_flush(&f->err, &state);
    if (st != VS_OK) {
        vsi_cow_undo(&f->cow, mark);
        vsi_pager_undo(&f->pager);
        return st;
    }
    vsi_cow_keep(&f->cow, mark);
    f->state = state;
    bury_extents(f);
    vsi_pager_keep(&f->pager);
    vsi_flush_settle(&f->state);
    drop_dead(f);
    return VS_OK;
}

static void flush(fixture *f) {
    OK(try_flush(f));
    OK(vsi_flush_catch_up(&f->err, &f->state));
    reap(f);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void add(vsi_buf *out, const void *data, size_t bytes) {
    VT_CHECK(vsi_buf_append(out, data, bytes));
}

static void dump_coll(fixture *f, const vsi_coll *coll, vsi_buf *out) {
    const vsi_desc *desc = coll->desc;
    vsi_btree_cursor cursor;
    add(out, &desc->id, sizeof desc->id);
    add(out, desc->name, strlen(desc->name));
    add(out, &coll->count, sizeof coll->count);
    add(out, &coll->slot_end, sizeof coll->slot_end);
    OK(vsi_btree_seek(&f->err, &coll->keys, (vsi_bytes){(const uint8_t *)"", 0}, &cursor));
    while (!vsi_btree_at_end(&cursor)) {
        vs_key found = {0};
        uint32_t slot = 0;
        const uint8_t *row = NULL;
        vsi_cell cell = {.number = 0};
        OK(vsi_coll_entry(&f->err, &cursor, &found, &slot));
        uint64_t key = found.number;
        OK(vsi_coll_row(&f->err, coll, 0, slot, &row));
        OK(vsi_coll_cell(&f->err, coll, slot, &cell));
        VT_EQ(cell.number, key);
        add(out, &key, sizeof key);
        add(out, &slot, sizeof slot);
        add(out, row, (size_t)desc->field[0].dim * desc->field[0].element_bytes);
        OK(vsi_coll_read_metadata(&f->err, coll, slot, out));
        OK(vsi_btree_next(&f->err, &cursor));
    }
}

static void dump_notes(fixture *f, const vsi_state *state, vsi_buf *out) {
    vsi_btree_cursor cursor;
    OK(vsi_btree_seek(&f->err, &state->notes, (vsi_bytes){(const uint8_t *)"", 0}, &cursor));
    while (!vsi_btree_at_end(&cursor)) {
        vsi_value value;
        vsi_bytes key = vsi_btree_entry(&cursor).key;
        add(out, key.data, key.bytes);
        OK(vsi_value_of_item(&f->err, vsi_btree_entry(&cursor), &value));
        OK(vsi_value_read(&f->err, &state->notes, &value, out));
        OK(vsi_btree_next(&f->err, &cursor));
    }
}

/* All that a state contains, as one run of bytes. */
static vsi_buf dump(fixture *f, const vsi_state *state) {
    vsi_buf out = {.mem = &f->mem};
    vsi_coll coll;
    uint32_t id = 1;
    add(&out, &state->digest, sizeof state->digest);
    add(&out, &state->last_coll, sizeof state->last_coll);
    for (;; id = coll.desc->id + 1) {
        vs_status st = vsi_state_coll_from(&f->err, state, id, &coll);
        if (st == VS_ERR_NOT_FOUND)
            break;
        OK(st);
        dump_coll(f, &coll, &out);
    }
    dump_notes(f, state, &out);
    return out;
}

static void check_dump(fixture *f, const vsi_state *state, const vsi_buf *expected) {
    vsi_buf found = dump(f, state);
    VT_EQ(found.bytes, expected->bytes);
    VT_CHECK(!memcmp(found.data, expected->data, found.bytes));
    vsi_buf_free(&found);
}

static void fail_on_problem(void *ctx, const char *problem) {
    (void)ctx;
    vt_fail(__FILE__, __LINE__, "vsi_audit: %s", problem);
}

/* Somebody else opens the file and finds the same. */
static void check_loaded(fixture *f, const vsi_buf *expected) {
    static fixture g;
    memset(&g, 0, sizeof g);
    vsi_mem_init(&g.mem, &(vs_allocator){&g.allocator, vt_realloc});
    begin_on(&g, &f->file);
    g.pager.trailer_bytes = f->pager.trailer_bytes;
    vsi_pager_open_to(&g.pager, f->pager.space.end);
    g.state.catalog.root = f->state.catalog.root;
    g.state.catalog.count = f->state.catalog.count;
    g.state.digest = f->state.digest;
    VT_EQ(vsi_state_load(&g.err, &g.state), VS_OK);
    check_dump(&g, &g.state, expected);
    VT_EQ(vsi_audit(&g.err, &g.state, &g.mem, NULL, fail_on_problem, NULL), VS_OK);
    VT_CHECK(!g.cow.newest); /* nothing was changed */
    end(&g);
}

/* ---- pages ---------------------------------------------------------------------------------- */

static vs_status mark_used(void *ctx, vsi_err *err, vsi_ref ref) {
    uint8_t *uses = ctx;
    (void)err;
    for (uint64_t i = 0; i < vsi_ref_pages(ref); i++)
        uses[vsi_ref_page(ref) + i]++;
    return VS_OK;
}

/* Every page is used once by the state in the file, or free. */
static void check_cover(fixture *f) {
    uint64_t end_page = f->pager.space.end;
    uint8_t *uses = calloc((size_t)end_page, 1);
    vsi_walk walk = {.visit = mark_used, .ctx = uses, .reads_all = true};
    OK(vsi_walk_run(&f->err, &f->pager, f->state.catalog.root, &walk));
    const vsi_run *runs = (const vsi_run *)(const void *)f->pager.space.runs.data;
    for (size_t i = 0; i < f->pager.space.runs.bytes / sizeof *runs; i++)
        for (uint64_t k = 0; k < runs[i].pages; k++)
            uses[runs[i].page + k]++;
    for (uint64_t page = VSI_SPACE_FIRST_PAGE; page < end_page; page++)
        if (uses[page] != 1)
            vt_fail(__FILE__, __LINE__, "page %u is used %d times", (unsigned)page, uses[page]);
    VT_EQ(f->pager.space.dead_pages, 0);
    free(uses);
}

static size_t count_dirty(fixture *f) {
    size_t bytes = 0;
    for (vsi_desc *desc = vsi_descs_from(&f->descs, 0); desc;
         desc = vsi_descs_from(&f->descs, (uint64_t)desc->id + 1))
        bytes += desc->field[0].rows.dirty.bytes + desc->cells.dirty.bytes;
    return bytes / sizeof(uint32_t);
}

/* ---- what is written ------------------------------------------------------------------------ */

VT_TEST(states_of_every_kind_are_found_again_by_somebody_else) {
    static const uint64_t block_pages[] = {1, 4, 16};
    static fixture f;
    for (size_t i = 0; i < 3; i++) {
        begin(&f, block_pages[i]);
        for (size_t round = 0; round < 14; round++) {
            change(&f, round < 4 ? 1 + round : 80);
            if (round % 3 == 0)
                change(&f, 5);
            vsi_buf before = dump(&f, &f.state);
            flush(&f);
            check_dump(&f, &f.state, &before);
            check_loaded(&f, &before);
            check_cover(&f);
            VT_EQ(f.cow.bytes, 0); /* nothing is only in memory */
            VT_EQ(count_dirty(&f), 0);
            VT_EQ(vsi_audit(&f.err, &f.state, &f.mem, NULL, fail_on_problem, NULL), VS_OK);
            vsi_buf_free(&before);
        }
        end(&f);
    }
}

/* ---- compressed values ---------------------------------------------------------------------- */

/* Writes a note, and returns where its value is. */
static vsi_ref flush_note(fixture *f, const uint8_t *data, size_t bytes) {
    vsi_value value;
    vsi_bytes key = {(const uint8_t *)"n", 1};
    vsi_op op = {
        .kind = VSI_OP_NOTE, .note_key = key, .note_value = {data, bytes}, .note_has_value = true};
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    apply(f, &op);
    commit(f, mark);
    vsi_buf before = dump(f, &f->state);
    flush(f);
    check_loaded(f, &before);
    check_cover(f);
    vsi_buf_free(&before);
    OK(vsi_note_find(&f->err, &f->state, 0, key, &value));
    VT_EQ(value.item.ref_count, 1);
    return vsi_ref_decode(value.item.refs);
}

/* The pages of an extent with so many bytes stored: header, those, trailer. */
static uint64_t blob_pages(const fixture *f, size_t stored) {
    return (8 + stored + f->pager.trailer_bytes + 4095) / 4096;
}

/* The bytes stored behind an extent's header; all behind them is zero. */
static uint32_t stored_bytes(fixture *f, vsi_ref ref, size_t value_bytes) {
    vsi_buf buf = {.mem = &f->mem};
    OK(vsi_pager_read(&f->err, &f->pager, ref, VSI_REF_BLOB, &buf));
    VT_EQ(vsi_get_u32(buf.data), value_bytes);
    uint32_t stored = vsi_get_u32(buf.data + 4);
    VT_EQ(vsi_ref_pages(ref), blob_pages(f, stored));
    for (size_t i = VSI_BLOB_HEADER_BYTES + stored; i < buf.bytes; i++)
        VT_EQ(buf.data[i], 0);
    vsi_buf_free(&buf);
    return stored;
}

/* Noise, and behind it letters that repeat: the noise is what remains of it. */
static void check_note(fixture *f, size_t bytes, size_t noise) {
    static uint8_t data[CONTENT_MAX];
    uint64_t pages = blob_pages(f, bytes);
    fill(data, 1, noise);
    fill(data + noise, 3, bytes - noise);
    f->pager.has_packed = false;
    vsi_ref ref = flush_note(f, data, bytes);
    uint32_t stored = stored_bytes(f, ref, bytes);
    VT_EQ(ref.codec, f->pager.has_packed ? VSI_CODEC_ZSTD : VSI_CODEC_NONE);
    VT_CHECK(ref.codec ? vsi_ref_pages(ref) < pages : stored == bytes);
    VT_CHECK(f->pager.packs || !ref.codec);
    VT_CHECK(pages > 1 || !ref.codec);
    VT_CHECK(noise || !f->pager.packs || pages == 1 || ref.codec);
    VT_CHECK(noise < bytes || !ref.codec);
}

VT_TEST(large_values_are_compressed_where_that_saves_a_page) {
    static fixture f;
    for (int way = 0; way <= 2 * vsi_codec_has_zstd() + 1; way++) {
        int packs = way / 2;
        size_t packed = 0;
        begin(&f, 1);
        vsi_atomic_set(&f.pager.packs, (uint64_t)packs);
        f.pager.trailer_bytes = way % 2 ? VSI_TRAILER_BYTES : 0;
        for (size_t pages = 1; pages < 5; pages++)
            for (size_t end = pages * VSI_PAGE_BYTES - f.pager.trailer_bytes, bytes = end - 11;
                 bytes <= end + 1; bytes++) {
                check_note(&f, bytes, 0);
                packed += f.pager.has_packed;
                check_note(&f, bytes, bytes);
            }
        VT_EQ(packed, packs ? 9 + 13 * 3 : 0);
        for (size_t noise = 0; noise < 10000;
             noise += 77) { /* also where the last page is saved or not */
            check_note(&f, 10000, noise);
            packed += f.pager.has_packed;
        }
        VT_CHECK(!packs || packed > 100);
        end(&f);
    }
}

VT_TEST(the_largest_value_comes_back) {
    static fixture f;
    static uint8_t data[VS_KV_VALUE_BYTES_MAX];
    for (int way = 0; way < 4; way++) {
        bool is_noise = way % 2;
        begin(&f, 1);
        f.pager.trailer_bytes = way / 2 ? VSI_TRAILER_BYTES : 0;
        fill(data, is_noise ? 1 : 3, sizeof data);
        vsi_ref ref = flush_note(&f, data, sizeof data);
        VT_EQ(ref.codec, f.pager.packs && !is_noise ? VSI_CODEC_ZSTD : VSI_CODEC_NONE);
        end(&f);
    }
}

#ifndef VS_OMIT_ZSTD

/* Reads a value of so many bytes whose extent is this; the buffer holds something already. */
static vs_status read_extent_as(fixture *f, uint8_t codec, const uint8_t *extent, size_t pages,
                                uint32_t bytes, vsi_ref *out_ref) {
    uint8_t head[20] = {0}, ref[VSI_REF_BYTES];
    vsi_buf buf = {.mem = &f->mem};
    OK(vsi_pager_write(&f->err, &f->pager, VSI_REF_BLOB, 0,
                       (vsi_bytes){extent, pages * VSI_PAGE_BYTES}, out_ref));
    OK(vsi_pager_flush(&f->err, &f->pager));
    out_ref->codec = codec;
    vsi_ref_encode(*out_ref, ref);
    vsi_value value = {.bytes = bytes, .item = {.value = {head, 20}, .refs = ref, .ref_count = 1}};
    uint64_t blocks = f->allocator.live_blocks, used = f->allocator.live_bytes;
    vs_status st = vsi_value_read(&f->err, &f->state.notes, &value, &buf);
    VT_EQ(buf.bytes, st == VS_OK ? bytes : 0);
    vsi_buf_free(&buf);
    VT_EQ(f->allocator.live_blocks, blocks);
    VT_EQ(f->allocator.live_bytes, used);
    vsi_pager_undo(&f->pager);
    return st;
}

static vs_status read_extent(fixture *f, const uint8_t *extent, size_t pages, uint32_t bytes,
                             vsi_ref *out_ref) {
    return read_extent_as(f, VSI_CODEC_ZSTD, extent, pages, bytes, out_ref);
}

VT_TEST(a_value_that_is_not_compressed_is_stored_in_as_many_bytes_as_it_has) {
    static fixture f;
    static uint8_t extent[2 * VSI_PAGE_BYTES];
    vsi_ref ref;
    begin(&f, 1);
    for (uint32_t stored = 4996; stored < 5004; stored++) {
        vsi_put_u32(extent, 5000);
        vsi_put_u32(extent + 4, stored);
        VT_EQ(read_extent_as(&f, VSI_CODEC_NONE, extent, 2, 5000, &ref),
              stored == 5000 ? VS_OK : VS_ERR_CORRUPT);
    }
    end(&f);
}

static void refuse_packed(fixture *f, const uint8_t *extent, size_t pages, uint32_t bytes) {
    vsi_ref ref;
    char page[32];
    f->err = (vsi_err){0};
    VT_EQ(read_extent(f, extent, pages, bytes, &ref), VS_ERR_CORRUPT);
    VT_EQ(f->err.code, VS_ERR_CORRUPT);
    snprintf(page, sizeof page, "page %u: ", (unsigned)vsi_ref_page(ref));
    VT_CONTAINS(f->err.text, page);
}

VT_TEST(a_compressed_extent_of_other_sizes_than_its_entry_says_is_corrupt) {
    static fixture f;
    static uint8_t data[CONTENT_MAX], extent[8 * VSI_PAGE_BYTES];
    enum { BYTES = 20000 };
    begin(&f, 1);
    fill(data, 1, 6000);
    fill(data + 6000, 3, BYTES - 6000);
    vsi_ref ref = flush_note(&f, data, BYTES);
    vsi_buf buf = {.mem = &f.mem};
    VT_EQ(vsi_pager_read(&f.err, &f.pager, ref, VSI_REF_BLOB, &buf), VS_OK);
    size_t pages = (size_t)vsi_ref_pages(ref);
    memcpy(extent, buf.data, buf.bytes);
    vsi_buf_free(&buf);
    uint32_t stored = vsi_get_u32(extent + 4);
    VT_EQ(read_extent(&f, extent, pages, BYTES, &ref), VS_OK);
    static const uint32_t sizes[] = {0,
                                     1,
                                     4088,
                                     BYTES - 1,
                                     BYTES + 1,
                                     VSI_VALUE_BYTES_MAX,
                                     VSI_VALUE_BYTES_MAX + 1,
                                     1u << 31,
                                     UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        refuse_packed(&f, extent, pages, sizes[i]); /* the entry */
        vsi_put_u32(extent, sizes[i]);
        refuse_packed(&f, extent, pages, BYTES);    /* the header */
        refuse_packed(&f, extent, pages, sizes[i]); /* both, and not the frame */
        vsi_put_u32(extent, BYTES);
        vsi_put_u32(extent + 4, sizes[i]);
        refuse_packed(&f, extent, pages, BYTES);
        vsi_put_u32(extent + 4, stored);
    }
    for (uint32_t other = stored - 3; other < stored + 4; other++) {
        vsi_put_u32(extent + 4, other);
        if (other != stored)
            refuse_packed(&f, extent, pages, BYTES);
    }
    vsi_put_u32(extent + 4, stored);
    VT_EQ(read_extent(&f, extent, 5, BYTES, &ref),
          VS_OK);                        /* more pages than needed are no damage */
    refuse_packed(&f, extent, 6, BYTES); /* but not more than the value itself takes */
    end(&f);
}

#endif

/* ---- other states --------------------------------------------------------------------------- */

VT_TEST(an_empty_state_writes_nothing) {
    static fixture f;
    begin(&f, 1);
    flush(&f);
    VT_EQ(fault.writes, 0);
    VT_EQ(f.state.catalog.root.kind, VSI_REF_NONE);
    VT_EQ(f.pager.space.end, VSI_SPACE_FIRST_PAGE);
    end(&f);
}

VT_TEST(a_flush_without_changes_writes_nothing) {
    static fixture f;
    begin(&f, 1);
    change(&f, 200);
    flush(&f);
    uint64_t writes = fault.writes, end_page = f.pager.space.end;
    vsi_ref root = f.state.catalog.root;
    flush(&f);
    VT_EQ(fault.writes, writes);
    VT_EQ(f.pager.space.end, end_page);
    VT_EQ(f.state.catalog.root.at, root.at);
    check_cover(&f);
    end(&f);
}

VT_TEST(a_small_change_writes_only_slabs_and_paths) {
    static fixture f;
    begin(&f, 1);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    create(&f);
    for (uint64_t key = 0; key < 3000; key++)
        put(&f, 1, key, 30);
    commit(&f, mark);
    flush(&f);
    uint64_t all = f.pager.written_bytes;
    for (uint64_t i = 0; i < 20; i++) {
        mark = vsi_cow_open(&f.cow);
        put(&f, 1, vt_below(&f.rng, 3000), 30);
        commit(&f, mark);
        uint64_t before = f.pager.written_bytes;
        flush(&f);
        VT_CHECK(f.pager.written_bytes - before <= (uint64_t)40 * VSI_PAGE_BYTES);
        check_cover(&f);
    }
    VT_CHECK(all > (uint64_t)300 * VSI_PAGE_BYTES);
    end(&f);
}

static uint64_t count_used(const fixture *f) {
    return f->pager.space.end - VSI_SPACE_FIRST_PAGE - f->pager.space.free_pages;
}

VT_TEST(what_was_deleted_leaves_its_pages_free) {
    static fixture f;
    begin(&f, 1);
    change(&f, 400);
    flush(&f);
    uint64_t used = count_used(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (uint32_t id = 1; id <= f.colls; id++)
        for (uint64_t key = 0; key < KEYS; key++)
            delete_record(&f, id, key);
    for (uint32_t id = 0; id <= f.colls; id++)
        for (uint64_t at = 0; at < 40; at++)
            note(&f, id, at, false);
    commit(&f, mark);
    vsi_buf before = dump(&f, &f.state);
    flush(&f);
    check_loaded(&f, &before);
    check_cover(&f);
    VT_CHECK(count_used(&f) < used * 2 / 3); /* the arrays stay */
    vsi_buf_free(&before);
    end(&f);
}

VT_TEST(a_collection_whose_creation_was_rolled_back_is_not_written) {
    static fixture f;
    begin(&f, 1);
    change(&f, 50);
    vsi_buf before = dump(&f, &f.state);
    const vsi_state state = f.state;
    uint32_t colls = f.colls;
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    create(&f);
    for (uint64_t key = 0; key < 50; key++)
        put(&f, f.colls, key, 30);
    vsi_cow_undo(&f.cow, mark);
    f.state = state;
    f.freed.bytes = 0;
    VT_CHECK(count_dirty(&f) > 0);
    flush(&f);
    check_loaded(&f, &before);
    check_cover(&f);
    f.colls = colls;
    mark = vsi_cow_open(&f.cow);
    create(&f); /* the same id once more */
    put(&f, f.colls, 7, 30);
    commit(&f, mark);
    vsi_buf_free(&before);
    before = dump(&f, &f.state);
    flush(&f);
    check_loaded(&f, &before);
    check_cover(&f);
    vsi_buf_free(&before);
    end(&f);
}

/* ---- older versions ------------------------------------------------------------------------- */

/* A version that somebody reads, and what it must have. */
typedef struct reading {
    fixture *f;
    vsi_state state;
    vsi_buf expected;
    uint64_t times;
} reading;

static void read_meanwhile(void *ctx) {
    reading *r = ctx;
    check_dump(r->f, &r->state, &r->expected);
    r->times++;
}

VT_TEST(an_older_version_stays_as_it_was_during_a_flush_and_after_it) {
    static fixture f;
    for (size_t i = 0; i < 4; i++) {
        begin(&f, i % 2 ? 16 : 1);
        change(&f, 250);
        if (i / 2) /* the older version is in the file itself */
            flush(&f);
        reading r = {.f = &f, .state = f.state, .expected = dump(&f, &f.state)};
        f.is_pinned = true;
        fault.on_write = read_meanwhile;
        fault.ctx = &r;
        for (size_t round = 0; round < 4; round++) {
            change(&f, 60);
            vsi_buf before = dump(&f, &f.state);
            flush(&f);
            check_dump(&f, &f.state, &before);
            check_loaded(&f, &before);
            check_dump(&f, &r.state, &r.expected);
            vsi_buf_free(&before);
        }
        VT_CHECK(r.times >= 4);
        fault.on_write = NULL;
        f.is_pinned = false;
        vsi_buf_free(&r.expected);
        change(&f, 1);
        flush(&f);
        check_cover(&f); /* what only the older version reached is free now */
        VT_EQ(f.cow.bytes, 0);
        end(&f);
    }
}

/* ---- failures ------------------------------------------------------------------------------- */

/* Slabs that were written stay so, however the flush ends, and are not written again. The trees' pages go
 * back: those that are free or dead now, and those that slabs moved to, are all there were. */
static void check_undone(fixture *f, const vsi_buf *before) {
    VT_EQ(f->pager.taken.bytes, 0);
    VT_EQ(f->pager.out.bytes, 0);
    check_dump(f, &f->state, before);
}

static void make_unflushed(fixture *f, uint64_t block_pages) {
    begin(f, block_pages);
    change(f, 150);
    flush(f);
    change(f, 60);
    flush(f); /* leaves holes */
    change(f, 60);
}

VT_TEST(a_write_that_fails_leaves_all_as_it_was_and_the_next_flush_makes_up) {
    static fixture f;
    for (size_t i = 0; i < 3; i++) {
        make_unflushed(&f, i ? 16 : 1);
        vsi_buf before = dump(&f, &f.state);
        vs_status st = VS_ERR_FULL;
        uint64_t k = 0;
        while (st != VS_OK) {
            fault.fail_at = fault.writes + ++k;
            st = try_flush(&f);
            VT_CHECK(st == VS_OK || st == VS_ERR_FULL);
            if (st != VS_OK)
                check_undone(&f, &before);
        }
        VT_CHECK(k > 2);
        reap(&f);
        check_loaded(&f, &before);
        check_cover(&f);
        vsi_buf_free(&before);
        end(&f);
    }
}

VT_TEST(memory_that_runs_out_leaves_all_as_it_was_and_the_next_flush_makes_up) {
    static fixture f;
    for (size_t i = 0; i < 2; i++) {
        make_unflushed(&f, i ? 4 : 1);
        vsi_buf before = dump(&f, &f.state);
        uint64_t k = 0, failures = 0, absorbed = 0;
        for (bool is_hit = true; is_hit;) {
            uint64_t hits = f.allocator.failures;
            vsi_state state = f.state;
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            f.allocator.fails_for_ever = i;
            f.allocator.fail_at = f.allocator.calls + ++k;
            vs_status st = vsi_flush(&f.err, &state);
            f.allocator.fail_at = 0;
            is_hit = f.allocator.failures > hits;
            vsi_cow_undo(&f.cow, mark); /* also when it went well */
            vsi_pager_undo(&f.pager);
            check_undone(&f, &before);
            VT_CHECK(st == VS_OK || (is_hit && st == VS_ERR_NOMEM));
            failures += st != VS_OK;
            absorbed += is_hit && st == VS_OK;
        }
        VT_CHECK(failures > 10);
        VT_CHECK(i || absorbed || !vsi_codec_has_zstd()); /* a value is stored as it is then */
        flush(&f);
        check_loaded(&f, &before);
        check_cover(&f);
        vsi_buf_free(&before);
        end(&f);
    }
}
