/* checkpoint.c - checkpoints of a whole engine against a model: what is in the file, what of the log is
 * still there, what happens when either is damaged or cannot be written, what readers see meanwhile. */
#include "os/memory.h"
#include "store/check.h"
#include "store/checkpoint.h"
#include "store/open.h"
#include "vt.h"

enum { COLLS = 3, KEYS = 150, NOTES = 8, CONTENT_MAX = 20000, PINS = 3 };

/* A record, whose vector and metadata come from the seed, or a note. */
typedef struct content {
    bool is_there;
    uint32_t bytes; /* of the metadata, or of the note */
    uint64_t seed;
} content;

typedef struct model {
    uint32_t colls, id[COLLS];
    content record[COLLS][KEYS], note[NOTES];
} model;

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory; /* as it is */
    vs_vfs vfs;     /* with failures */
    const char *path;
    vsi_engine *engine;
    vsi_write write;
    vsi_err err;
    model m, work; /* committed; with the transaction that is open */
    vt_rng rng;
    char message[VSI_ERR_TEXT_BYTES]; /* the last one */
} fixture;

/* ---- calls that fail ------------------------------------------------------------------------ */

static struct {
    const vs_vfs *below;
    uint64_t calls;   /* writes and syncs since the fault was set */
    uint64_t fail_at; /* 0: none */
    bool fails_from_then, is_hit;
    uint32_t blast_bytes; /* 0: what the file system says */
} fault;

static bool fails(void) {
    fault.calls++;
    bool now = fault.fail_at && (fault.calls == fault.fail_at ||
                                 (fault.fails_from_then && fault.calls > fault.fail_at));
    fault.is_hit = fault.is_hit || now;
    return now;
}

/* A write that fails has moved half of the bytes. */
static vs_status fault_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    if (!fails())
        return fault.below->write(ctx, file, buf, bytes, offset, out_bytes, why);
    if (bytes > 1)
        VT_EQ(fault.below->write(ctx, file, buf, bytes / 2, offset, out_bytes, why), VS_OK);
    return VS_ERR_FULL;
}

static vs_status fault_sync(void *ctx, void *file, char *why) {
    return fails() ? VS_ERR_IO : fault.below->sync(ctx, file, why);
}

static vs_status fault_device_info(void *ctx, void *file, vs_device_info *out, char *why) {
    vs_status st = fault.below->device_info(ctx, file, out, why);
    if (fault.blast_bytes)
        out->blast_bytes = fault.blast_bytes;
    return st;
}

static void set_fault(uint64_t fail_at, bool from_then) {
    fault.calls = 0;
    fault.fail_at = fail_at;
    fault.fails_from_then = from_then;
    fault.is_hit = false;
}

static bool end_fault(void) {
    bool is_hit = fault.is_hit;
    set_fault(0, false);
    return is_hit;
}

/* ---- fixture -------------------------------------------------------------------------------- */

static void check_ok(fixture *f, vs_status st, int line) {
    if (st != VS_OK)
        vt_fail(__FILE__, line, "status %d: %s", st, f->err.text);
}

#define OK(call) check_ok(f, call, __LINE__)

static void keep_message(void *ctx, int level, const char *text) {
    fixture *f = ctx;
    if (level != VS_LOG_INFO)
        snprintf(f->message, sizeof f->message, "%s", text);
}

static vs_status try_open(fixture *f) {
    vsi_engine_config config = {.mem = &f->mem,
                                .vfs = &f->vfs,
                                .path = f->path,
                                .may_create = true,
                                .sync = VS_SYNC_FULL,
                                .busy_timeout_ms = 1000,
                                .log_fn = keep_message,
                                .log_ctx = f};
    f->message[0] = 0;
    return vsi_engine_open(&f->err, &config, &f->engine);
}

static void open_db(fixture *f) {
    OK(try_open(f));
}

/* Without a checkpoint: the log stays. */
static void close_db(fixture *f) {
    OK(vsi_engine_close(&f->err, f->engine, false));
}

/* The process is gone; what it wrote is there. */
static void kill_db(fixture *f) {
    OK(vsi_engine_close(&f->err, f->engine, true));
}

static void restart(fixture *f) {
    kill_db(f);
    open_db(f);
}

static void begin(fixture *f, uint32_t block_bytes) {
    memset(f, 0, sizeof *f);
    memset(&fault, 0, sizeof fault);
    f->rng.state = vt_seed() + block_bytes;
    f->path = "base.vs";
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    fault.below = f->memory;
    fault.blast_bytes = block_bytes;
    f->vfs = *f->memory;
    f->vfs.write = fault_write;
    f->vfs.sync = fault_sync;
    f->vfs.device_info = fault_device_info;
    open_db(f);
}

static void end(fixture *f) {
    close_db(f);
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

static void fill(uint8_t *out, uint64_t seed, size_t bytes) {
    vt_rng rng = {seed};
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(i % 8 ? rng.state >> i % 8 * 8 : vt_random(&rng));
}

/* ---- changes -------------------------------------------------------------------------------- */

static uint32_t dim_of(uint32_t coll) {
    return 90 + 90 * (coll % COLLS);
}

static size_t vector_bytes(uint32_t coll) {
    return dim_of(coll) * vsi_type_bytes(coll % 2 ? VS_F32 : VS_U8);
}

static vs_status apply_create(fixture *f, uint32_t *out_id) {
    char name[16];
    vs_status st = vsi_write_take_coll(&f->err, &f->write, out_id);
    if (st != VS_OK)
        return st;
    snprintf(name, sizeof name, "c%u", (unsigned)*out_id);
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .field_count = 1,
                 .field[0].name = {(const uint8_t *)"vector", 6},
                 .coll = *out_id,
                 .field[0].dim = dim_of(*out_id),
                 .field[0].type = *out_id % 2 ? VS_F32 : VS_U8,
                 .field[0].metric = VS_L2,
                 .time_us = 77,
                 .name = {(const uint8_t *)name, strlen(name)}};
    return vsi_statement_apply(&f->err, &f->write, &op);
}

static vs_status find_slot(fixture *f, const vsi_state *state, uint32_t coll, uint64_t key,
                           uint32_t *out_slot) {
    vsi_coll c;
    vs_status st = vsi_state_coll(&f->err, state, coll, &c);
    return st == VS_OK ? vsi_coll_find(&f->err, &c, VT_KEY(key), out_slot) : st;
}

/* Puts a record, or deletes it. */
static vs_status apply_record(fixture *f, uint32_t coll, uint64_t key, content new) {
    static uint8_t vector[VS_DIM_MAX * 4], metadata[CONTENT_MAX];
    vsi_op op = {.kind = new.is_there ? VSI_OP_PUT : VSI_OP_DELETE,
                 .coll = coll,
                 .old_slot = VSI_SLOT_NONE,
                 .key.number = key};
    uint32_t slot = VSI_SLOT_NONE;
    vs_status st = find_slot(f, &f->write.state, coll, key, &slot);
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    if (!new.is_there) {
        op.slot = slot;
        op.old_slot = 0;
        return st == VS_OK ? vsi_statement_apply(&f->err, &f->write, &op) : VS_OK;
    }
    fill(vector, new.seed, vector_bytes(coll));
    fill(metadata, new.seed + 1, new.bytes);
    op.old_slot = slot;
    op.vector[0] = (vsi_bytes){vector, vector_bytes(coll)};
    op.metadata = (vsi_bytes){metadata, new.bytes};
    st = vsi_write_take_slot(&f->err, &f->write, coll, &op.slot);
    return st == VS_OK ? vsi_statement_apply(&f->err, &f->write, &op) : st;
}

static vs_status apply_note(fixture *f, uint64_t at, content new) {
    static uint8_t value[CONTENT_MAX];
    char key[16];
    snprintf(key, sizeof key, "note-%u", (unsigned)at);
    fill(value, new.seed, new.bytes);
    vsi_op op = {.kind = VSI_OP_NOTE,
                 .note_key = {(const uint8_t *)key, strlen(key)},
                 .note_value = {value, new.is_there ? new.bytes : 0},
                 .note_has_value = new.is_there};
    return vsi_statement_apply(&f->err, &f->write, &op);
}

static content some_content(fixture *f) {
    static const uint32_t most[] = {1, 60, 60, 60, 1000, 1400, 5000, CONTENT_MAX};
    if (vt_below(&f->rng, 5) == 0)
        return (content){false, 0, 0};
    uint32_t bytes = (uint32_t)vt_below(&f->rng, most[vt_below(&f->rng, 8)]);
    return (content){true, bytes, vt_random(&f->rng)};
}

/* One random operation, in the model when it succeeds. */
static vs_status apply_some(fixture *f) {
    content new = some_content(f);
    uint64_t at = vt_random(&f->rng);
    if (f->work.colls < COLLS && (f->work.colls == 0 || at % 50 == 0)) {
        uint32_t id = 0;
        vs_status st = apply_create(f, &id);
        if (st == VS_OK)
            f->work.id[f->work.colls++] = id;
        return st;
    }
    if (at % 10 == 0) {
        f->work.note[at / 16 % NOTES] = new;
        return apply_note(f, at / 16 % NOTES, new);
    }
    uint32_t coll = (uint32_t)(at / 16 % f->work.colls);
    f->work.record[coll][at / 64 % KEYS] = new;
    return apply_record(f, f->work.id[coll], at / 64 % KEYS, new);
}

static void begin_txn(fixture *f) {
    OK(vsi_write_begin(&f->err, f->engine, &f->write));
    f->work = f->m;
}

static void apply_ops(fixture *f, size_t ops) {
    for (size_t i = 0; i < ops; i++) {
        vsi_statement statement;
        OK(vsi_statement_begin(&f->err, &f->write, &statement));
        OK(apply_some(f));
        vsi_statement_keep(&f->write, &statement);
    }
}

static void commit(fixture *f, int sync) {
    OK(vsi_write_commit(&f->err, &f->write, sync));
    f->m = f->work;
}

static void change(fixture *f, size_t ops) {
    begin_txn(f);
    apply_ops(f, ops);
    commit(f, vt_below(&f->rng, 4) ? VS_SYNC_FULL : VS_SYNC_OFF);
}

static void roll_back(fixture *f, size_t ops) {
    begin_txn(f);
    apply_ops(f, ops);
    vsi_write_rollback(&f->write);
}

static void checkpoint(fixture *f, bool is_final) {
    OK(vsi_checkpoint(&f->err, f->engine, is_final));
}

/* ---- looking -------------------------------------------------------------------------------- */

/* That opening went back is no problem where its message said so. */
static void fail_on_problem(void *ctx, const char *problem) {
    const fixture *f = ctx;
    if (strstr(problem, "and its log serve") && strstr(f->message, "going back to checkpoint"))
        return;
    vt_fail(__FILE__, __LINE__, "%s", problem);
}

static void check(fixture *f, int level) {
    OK(vsi_engine_check(&f->err, f->engine, level, NULL, fail_on_problem, f));
}

static void check_record(fixture *f, const vsi_coll *coll, uint64_t key, content expected) {
    static uint8_t bytes[VS_DIM_MAX * 4], native[VS_DIM_MAX * 4];
    uint32_t slot = 0, dim = dim_of(coll->desc->id);
    const uint8_t *row = NULL;
    vs_status st = vsi_coll_find(&f->err, coll, VT_KEY(key), &slot);
    VT_EQ(st, expected.is_there ? VS_OK : VS_ERR_NOT_FOUND);
    if (!expected.is_there)
        return;
    OK(vsi_coll_row(&f->err, coll, 0, slot, &row));
    fill(bytes, expected.seed, vector_bytes(coll->desc->id));
    vsi_copy_le(native, bytes, dim, vector_bytes(coll->desc->id) / dim);
    VT_CHECK(!memcmp(row, native, vector_bytes(coll->desc->id)));
    vsi_buf metadata = {.mem = &f->mem};
    OK(vsi_coll_read_metadata(&f->err, coll, slot, &metadata));
    VT_EQ(metadata.bytes, expected.bytes);
    fill(bytes, expected.seed + 1, expected.bytes);
    VT_CHECK(!expected.bytes || !memcmp(metadata.data, bytes, expected.bytes));
    vsi_buf_free(&metadata);
}

static void check_note(fixture *f, const vsi_state *state, uint64_t at, content expected) {
    static uint8_t bytes[CONTENT_MAX];
    char key[16];
    vsi_value value;
    snprintf(key, sizeof key, "note-%u", (unsigned)at);
    vs_status st =
        vsi_note_find(&f->err, state, 0, (vsi_bytes){(const uint8_t *)key, strlen(key)}, &value);
    VT_EQ(st, expected.is_there ? VS_OK : VS_ERR_NOT_FOUND);
    if (!expected.is_there)
        return;
    vsi_buf found = {.mem = &f->mem};
    OK(vsi_value_read(&f->err, &state->notes, &value, &found));
    VT_EQ(found.bytes, expected.bytes);
    fill(bytes, expected.seed, expected.bytes);
    VT_CHECK(!expected.bytes || !memcmp(found.data, bytes, expected.bytes));
    vsi_buf_free(&found);
}

static void check_state(fixture *f, const vsi_state *state, const model *m) {
    for (uint32_t c = 0; c < m->colls; c++) {
        vsi_coll coll;
        OK(vsi_state_coll(&f->err, state, m->id[c], &coll));
        for (uint64_t key = 0; key < KEYS; key++)
            check_record(f, &coll, key, m->record[c][key]);
    }
    for (uint64_t at = 0; at < NOTES; at++)
        check_note(f, state, at, m->note[at]);
}

/* Readers see what was committed, and no damage is found. */
static void check_published(fixture *f) {
    vsi_version *version = vsi_versions_pin(&f->engine->versions);
    check_state(f, &version->state, &f->m);
    vsi_versions_unpin(&f->engine->versions, version);
}

static void check_all(fixture *f) {
    check_published(f);
    check(f, 3);
}

/* ---- files ---------------------------------------------------------------------------------- */

static bool has_log(fixture *f, uint64_t generation) {
    char path[VSI_PATH_BYTES_MAX];
    vsi_file file;
    OK(vsi_log_path(&f->err, f->path, generation, path));
    vs_status st = vsi_file_open(&f->err, &f->mem, f->memory, path, VS_VFS_READ, &file);
    vsi_file_close(&file);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    return st == VS_OK;
}

/* The log files that are there are those from first to last. */
static void check_logs(fixture *f, uint64_t first, uint64_t last) {
    for (uint64_t i = 1; i < last + 4; i++)
        if (has_log(f, i) != (i >= first && i <= last))
            vt_fail(__FILE__, __LINE__, "log file %u of %u to %u: is there: %d", (unsigned)i,
                    (unsigned)first, (unsigned)last, has_log(f, i));
}

static void damage(fixture *f, uint64_t page) {
    vsi_file file;
    uint8_t byte = 0;
    size_t got = 0;
    uint64_t off = page * VSI_PAGE_BYTES + vt_below(&f->rng, VSI_PAGE_BYTES);
    OK(vsi_file_open(&f->err, &f->mem, f->memory, f->path, VS_VFS_WRITE, &file));
    OK(vsi_file_read(&f->err, &file, &byte, 1, off, &got));
    VT_EQ(got, 1);
    byte ^= (uint8_t)(1u << vt_below(&f->rng, 8));
    OK(vsi_file_write(&f->err, &file, &byte, 1, off));
    vsi_file_close(&file);
}

static void copy_file(fixture *f, const char *from, const char *to) {
    vsi_file in, out;
    uint64_t bytes = 0;
    size_t got = 0;
    vsi_err ignored;
    vs_status st = vsi_file_open(&ignored, &f->mem, f->memory, from, VS_VFS_READ, &in);
    if (st != VS_OK)
        return;
    OK(vsi_file_size(&f->err, &in, &bytes));
    uint8_t *data = malloc((size_t)bytes + 1);
    OK(vsi_file_read(&f->err, &in, data, (size_t)bytes, 0, &got));
    OK(vsi_file_open(&f->err, &f->mem, f->memory, to, VS_VFS_WRITE | VS_VFS_CREATE, &out));
    OK(vsi_file_write(&f->err, &out, data, (size_t)bytes, 0));
    OK(vsi_file_truncate(&f->err, &out, bytes));
    free(data);
    vsi_file_close(&in);
    vsi_file_close(&out);
}

/* A copy of the database, which is not open, under another name; what was there before goes. */
static void copy_db(fixture *f, const char *to) {
    char from_log[VSI_PATH_BYTES_MAX], to_log[VSI_PATH_BYTES_MAX];
    vsi_err ignored;
    copy_file(f, f->path, to);
    for (uint64_t i = 1; i < 40; i++) {
        OK(vsi_log_path(&f->err, f->path, i, from_log));
        OK(vsi_log_path(&f->err, to, i, to_log));
        (void)vsi_os_remove(&ignored, f->memory, to_log);
        copy_file(f, from_log, to_log);
    }
}

/* ---- the log -------------------------------------------------------------------------------- */

VT_TEST(after_a_final_checkpoint_the_data_file_alone_is_the_database) {
    static fixture f;
    for (size_t round = 0; round < 4; round++) {
        begin(&f, round % 2 ? 65536 : 0);
        for (size_t i = 0; i < 3; i++) {
            change(&f, 40);
            if (round / 2)
                checkpoint(&f, false);
            restart(&f);
        }
        checkpoint(&f, true);
        check_all(&f);
        check_logs(&f, 1, 0);
        close_db(&f);
        check_logs(&f, 1, 0);
        copy_file(&f, f.path, "alone.vs");
        f.path = "alone.vs";
        open_db(&f);
        VT_EQ(f.engine->recovered_txns, 0);
        check_all(&f);
        change(&f, 10);
        restart(&f);
        VT_EQ(f.engine->recovered_txns, 1);
        check_all(&f);
        end(&f);
    }
}

VT_TEST(an_ordinary_checkpoint_keeps_the_log_from_the_previous_one_on_and_nothing_below) {
    static fixture f;
    begin(&f, 0);
    uint64_t first = 1; /* what the last checkpoint needs */
    for (size_t i = 0; i < 8; i++) {
        for (size_t k = 0; k <= i % 3; k++) {
            change(&f, 10);
            restart(&f); /* the next commit begins another log file */
        }
        checkpoint(&f, false);
        const vsi_meta *meta = &f.engine->metas.newest;
        VT_EQ(meta->previous.log_from, first);
        VT_EQ(meta->checkpoint.log_from, meta->generation + 1);
        check_logs(&f, first, meta->generation);
        first = meta->checkpoint.log_from;
        check_all(&f);
    }
    end(&f);
}

VT_TEST(a_checkpoint_without_changes_writes_nothing) {
    static fixture f;
    begin(&f, 0);
    change(&f, 50);
    checkpoint(&f, false);
    uint64_t number = f.engine->metas.newest.checkpoint.number;
    set_fault(0, false);
    checkpoint(&f, false);
    VT_EQ(fault.calls, 0);
    VT_EQ(f.engine->metas.newest.checkpoint.number, number);
    checkpoint(&f, true); /* gives up the one before */
    VT_EQ(f.engine->metas.newest.previous.log_from, 0);
    check_logs(&f, 1, 0);
    set_fault(0, false);
    checkpoint(&f, true);
    VT_EQ(fault.calls, 0);
    check_all(&f);
    end(&f);
}

/* Every writer may be the last one before a crash; the log is read behind the checkpoint only. */
VT_TEST(after_a_crash_only_what_came_after_the_checkpoint_is_read_from_the_log) {
    static fixture f;
    begin(&f, 0);
    change(&f, 60);
    change(&f, 60);
    checkpoint(&f, false);
    restart(&f);
    VT_EQ(f.engine->recovered_txns, 0);
    check_all(&f);
    change(&f, 5);
    change(&f, 5);
    change(&f, 5);
    restart(&f);
    VT_EQ(f.engine->recovered_txns, 3);
    check_all(&f);
    end(&f);
}

/* ---- going back ----------------------------------------------------------------------------- */

/* Two checkpoints, with commits before, between and perhaps behind them; then a crash. Returns the last
 * checkpoint. */
static vsi_checkpoint_info make_history(fixture *f, size_t variant) {
    change(f, 60);
    checkpoint(f, false);
    change(f, 40);
    if (variant & 1)
        restart(f);
    change(f, 20);
    checkpoint(f, false);
    if (variant & 2)
        change(f, 20);
    if (variant & 4) {
        restart(f);
        change(f, 20);
    }
    vsi_checkpoint_info last = f->engine->metas.newest.checkpoint;
    kill_db(f);
    return last;
}

VT_TEST(a_damaged_catalog_of_the_newest_checkpoint_costs_nothing) {
    static fixture f;
    for (size_t variant = 0; variant < 8; variant++) {
        begin(&f, variant % 2 ? 16384 : 0);
        vsi_checkpoint_info last = make_history(&f, variant);
        damage(&f, vsi_ref_page(last.catalog));
        open_db(&f);
        VT_CONTAINS(f.message, "going back to checkpoint 1");
        check_all(&f);
        restart(&f); /* nothing was written: the same again */
        VT_CONTAINS(f.message, "going back to checkpoint 1");
        check_all(&f);
        end(&f);
    }
}

VT_TEST(writing_goes_on_after_going_back_to_the_previous_checkpoint) {
    static fixture f;
    for (size_t variant = 0; variant < 16; variant++) {
        begin(&f, variant % 2 ? 16384 : 0);
        vsi_checkpoint_info last = make_history(&f, variant);
        damage(&f, vsi_ref_page(last.catalog));
        open_db(&f);
        change(&f, 20);
        check_all(&f);
        if (variant & 8) {
            restart(&f);
            VT_STR(f.message, "");
            check_all(&f);
        }
        for (size_t i = 0; i < 4; i++) {
            checkpoint(&f, false);
            check_all(&f);
            change(&f, 20);
            check_all(&f);
            restart(&f);
            VT_STR(f.message, "");
            check_all(&f);
        }
        checkpoint(&f, true);
        restart(&f);
        check_all(&f);
        end(&f);
    }
}

VT_TEST(going_back_twice_in_a_row_loses_nothing) {
    static fixture f;
    begin(&f, 0);
    for (size_t i = 0; i < 6; i++) {
        vsi_checkpoint_info last = make_history(&f, i);
        damage(&f, vsi_ref_page(last.catalog));
        open_db(&f);
        VT_CONTAINS(f.message, "going back to checkpoint");
        check_all(&f);
    }
    end(&f);
}

VT_TEST(a_file_cut_off_inside_the_newest_checkpoint_costs_nothing) {
    static fixture f;
    begin(&f, 0);
    for (size_t i = 0; i < 30; i++)
        change(&f, 8);
    checkpoint(&f, false);
    uint64_t end_before = f.engine->metas.newest.checkpoint.end;
    change(&f, 150);
    checkpoint(&f, false);
    VT_CHECK(f.engine->metas.newest.checkpoint.end > end_before);
    kill_db(&f);
    vsi_file file;
    VT_EQ(vsi_file_open(&f.err, &f.mem, f.memory, f.path, VS_VFS_WRITE, &file), VS_OK);
    VT_EQ(vsi_file_truncate(&f.err, &file, end_before * VSI_PAGE_BYTES), VS_OK);
    vsi_file_close(&file);
    open_db(&f);
    VT_CONTAINS(f.message, "going back to checkpoint");
    check_all(&f);
    change(&f, 20);
    checkpoint(&f, false);
    check_all(&f);
    restart(&f);
    check_all(&f);
    end(&f);
}

VT_TEST(damage_of_both_checkpoints_or_of_the_only_one_is_reported) {
    static fixture f;
    begin(&f, 0);
    vsi_checkpoint_info last = make_history(&f, 0);
    open_db(&f);
    vsi_checkpoint_info before = f.engine->metas.newest.previous;
    kill_db(&f);
    damage(&f, vsi_ref_page(last.catalog));
    damage(&f, vsi_ref_page(before.catalog));
    VT_EQ(try_open(&f), VS_ERR_CORRUPT);
    VT_CONTAINS(f.err.text, "is damaged");
    f.path = "other.vs";
    memset(&f.m, 0, sizeof f.m);
    open_db(&f);
    change(&f, 30);
    checkpoint(&f, true);
    last = f.engine->metas.newest.checkpoint;
    kill_db(&f);
    damage(&f, vsi_ref_page(last.catalog));
    VT_EQ(try_open(&f), VS_ERR_CORRUPT);
    VT_CHECK(!f.engine);
    f.path = "third.vs";
    open_db(&f);
    end(&f);
}

/* The last child of a node of the catalog, read from the file. */
static vsi_ref last_child(fixture *f, vsi_ref node) {
    vsi_file file;
    uint8_t page[VSI_PAGE_BYTES];
    size_t got = 0;
    OK(vsi_file_open(&f->err, &f->mem, f->memory, f->path, VS_VFS_READ, &file));
    OK(vsi_file_read(&f->err, &file, page, sizeof page, vsi_ref_page(node) * VSI_PAGE_BYTES, &got));
    vsi_file_close(&file);
    VT_CHECK(got == sizeof page && vsi_node_level(page) > 0);
    return vsi_node_ref(page, vsi_node_count(page) - 1, 0);
}

/* The root of the catalog that is given up was read, and found right, before the damage was found; what
 * is written to its page afterwards must not be taken for it. */
static void run_with_damaged_leaf(uint32_t block_bytes) {
    static fixture f;
    begin(&f, block_bytes);
    change(&f, 30);
    begin_txn(&f);
    for (size_t i = 0; i < 100; i++) {
        uint32_t id = 0;
        VT_EQ(apply_create(&f, &id), VS_OK);
    }
    commit(&f, VS_SYNC_FULL);
    checkpoint(&f, false);
    change(&f, 30);
    checkpoint(&f, false);
    vsi_checkpoint_info last = f.engine->metas.newest.checkpoint;
    VT_CHECK(last.catalog.level > 0);
    kill_db(&f);
    damage(&f, vsi_ref_page(last_child(&f, last.catalog)));
    open_db(&f);
    VT_CONTAINS(f.message, "going back to checkpoint 1");
    check_all(&f);
    for (size_t i = 0; i < 6; i++) {
        change(&f, 20);
        checkpoint(&f, false);
        check_all(&f);
    }
    restart(&f);
    check_all(&f);
    end(&f);
}

VT_TEST(nodes_of_a_checkpoint_that_is_given_up_are_forgotten) {
    for (uint32_t block_bytes = 512; block_bytes <= 4096; block_bytes *= 2)
        run_with_damaged_leaf(block_bytes);
}

/* The number of a transaction must not come back while frames that have it may be read again. */
VT_TEST(a_streamed_transaction_rolled_back_before_a_checkpoint_stays_so_after_going_back) {
    static fixture f;
    begin(&f, 0);
    change(&f, 60);
    checkpoint(&f, true);
    close_db(&f);
    open_db(&f);
    change(&f, 5);       /* so that the next checkpoint has a catalog of its own */
    roll_back(&f, 1500); /* more than a transaction holds back from the log */
    VT_CHECK(f.engine->log.next_lsn > f.engine->metas.newest.checkpoint.lsn + 1);
    checkpoint(&f, false);
    restart(&f);
    change(&f, 20);
    vsi_checkpoint_info last = f.engine->metas.newest.checkpoint;
    kill_db(&f);
    damage(&f, vsi_ref_page(last.catalog));
    open_db(&f);
    VT_CONTAINS(f.message, "going back to checkpoint");
    check_all(&f);
    end(&f);
}

static void apply_one_note(fixture *f, uint64_t at, content new) {
    vsi_statement statement;
    OK(vsi_statement_begin(&f->err, &f->write, &statement));
    OK(apply_note(f, at, new));
    vsi_statement_keep(&f->write, &statement);
    f->work.note[at] = new;
}

static void apply_one_record(fixture *f, uint64_t key, content new) {
    vsi_statement statement;
    OK(vsi_statement_begin(&f->err, &f->write, &statement));
    OK(apply_record(f, f->m.id[0], key, new));
    vsi_statement_keep(&f->write, &statement);
    f->work.record[0][key] = new;
}

/* The root of the keys of the first collection. */
static vsi_ref keys_root(fixture *f) {
    vsi_coll coll;
    vsi_stay stay = vsi_stay_enter(&f->engine->pager.reside);
    OK(vsi_state_coll(&f->err, &f->engine->versions.applied->state, f->m.id[0], &coll));
    vsi_stay_leave(&f->engine->pager.reside, stay);
    VT_CHECK(!coll.keys.root.is_block);
    return coll.keys.root;
}

VT_TEST(going_back_in_the_middle_of_a_streamed_transaction_leaves_nothing_of_it_in_memory) {
    static fixture f;
    begin(&f, 0);
    change(&f, 60);
    checkpoint(&f, false);
    change(&f, 200);
    checkpoint(&f, false);
    vsi_ref root = keys_root(&f);
    begin_txn(&f);
    apply_one_note(&f, 0, (content){true, 100, 1});
    commit(&f, VS_SYNC_FULL);
    begin_txn(&f);
    for (uint64_t i = 0; i < 120; i++) /* more than is held back from the log */
        apply_one_note(&f, i % NOTES, (content){true, CONTENT_MAX - (uint32_t)i, i + 1});
    apply_one_record(&f, 7, (content){true, 100, 4711});
    commit(&f, VS_SYNC_FULL);
    kill_db(&f);
    damage(&f, vsi_ref_page(root));
    open_db(&f);
    VT_CONTAINS(f.message, "going back to checkpoint");
    check_all(&f);
    checkpoint(&f, false);
    roll_back(&f, 0); /* versions that nobody reads go */
    VT_EQ(f.engine->cow.bytes, 0);
    check_all(&f);
    end(&f);
}

/* ---- the list of free pages ----------------------------------------------------------------- */

/* The newest checkpoint's list is damaged; has_previous: and there is one before it. */
static void run_with_damaged_list(fixture *f, size_t variant, bool has_previous) {
    begin(f, variant % 2 ? 16384 : 0);
    vsi_checkpoint_info last = make_history(f, variant);
    if (!has_previous) {
        open_db(f);
        change(f, 20);
        checkpoint(f, true);
        last = f->engine->metas.newest.checkpoint;
        close_db(f);
    }
    damage(f, vsi_ref_page(last.free_list));
    open_db(f);
    VT_STR(f->message, "");
    change(f, 20); /* looks for room */
    VT_CONTAINS(f->message, "making it anew");
    for (size_t i = 0; i < 5; i++) {
        checkpoint(f, false);
        check_all(f);
        change(f, 20);
    }
    restart(f);
    check_all(f);
    checkpoint(f, true);
    check_all(f);
    end(f);
}

/* The pages of the damaged list itself must not become free twice. */
VT_TEST(a_damaged_list_of_free_pages_is_made_anew) {
    static fixture f;
    for (size_t variant = 0; variant < 8; variant++)
        run_with_damaged_list(&f, variant, false);
}

/* What only the previous checkpoint reaches is neither free nor used by the newest. */
VT_TEST(a_damaged_list_of_free_pages_is_made_anew_also_beside_a_previous_checkpoint) {
    static fixture f;
    for (size_t variant = 0; variant < 8; variant++)
        run_with_damaged_list(&f, variant, true);
}

/* Pages of a checkpoint, by whether something that it reaches lies there. */
static uint64_t count_reached(fixture *f, const vsi_checkpoint_info *info) {
    uint64_t pages = f->engine->pager.space.end - VSI_SPACE_FIRST_PAGE;
    VT_EQ(info->end, f->engine->pager.space.end);
    return pages - f->engine->pager.space.free_pages - f->engine->pager.space.dead_pages;
}

VT_TEST(a_list_made_anew_has_all_that_is_free) {
    static fixture f;
    begin(&f, 0);
    vsi_checkpoint_info last = make_history(&f, 3);
    copy_db(&f, "copy.vs");
    uint64_t reached[2] = {0, 0};
    vt_rng rng = f.rng;
    const model m = f.m;
    for (size_t i = 0; i < 2; i++) {
        f.path = i ? "copy.vs" : "base.vs";
        f.rng = rng;
        f.m = m;
        if (i)
            damage(&f, vsi_ref_page(last.free_list));
        f.rng = rng;
        open_db(&f);
        change(&f, 30);
        checkpoint(&f, false);
        check_all(&f);
        change(&f, 30);
        checkpoint(&f, true);
        check_all(&f);
        VT_EQ(f.engine->pager.space.dead_pages, 0);
        reached[i] = count_reached(&f, &f.engine->metas.newest.checkpoint);
        if (i == 0)
            close_db(&f);
    }
    VT_EQ(reached[1], reached[0]);
    end(&f);
}

/* ---- readers -------------------------------------------------------------------------------- */

VT_TEST(readers_keep_their_state_over_many_checkpoints_and_their_pages_are_freed_after_them) {
    static fixture f;
    for (size_t variant = 0; variant < 4; variant++) {
        begin(&f, variant & 1 ? 65536 : 0);
        change(&f, 300);
        checkpoint(&f, variant & 2);
        restart(&f); /* nothing is in memory: all of it is read behind the checkpoints */
        static model old;
        old = f.m;
        vsi_version *reader = vsi_versions_pin(&f.engine->versions);
        for (size_t i = 0; i < 6; i++) {
            change(&f, 150);
            checkpoint(&f, false);
        }
        VT_CHECK(f.engine->pager.space.dead_pages > 20);
        check_state(&f, &reader->state, &old);
        check_all(&f);
        vsi_versions_unpin(&f.engine->versions, reader);
        change(&f, 1);
        checkpoint(&f, true);
        VT_EQ(f.engine->pager.space.dead_pages, 0);
        check_all(&f);
        end(&f);
    }
}

VT_TEST(churn_with_checkpoints_does_not_make_the_file_grow) {
    static fixture f;
    begin(&f, 0);
    change(&f, 300);
    uint64_t end_early = 0;
    for (size_t i = 0; i < 30; i++) {
        change(&f, 40);
        checkpoint(&f, false);
        if (i == 9)
            end_early = f.engine->metas.newest.checkpoint.end;
    }
    VT_CHECK(f.engine->metas.newest.checkpoint.end < 2 * end_early);
    check_all(&f);
    end(&f);
}

/* ---- failures ------------------------------------------------------------------------------- */

/* After a checkpoint that may have failed: nothing is lost, now and later. */
static void check_after_failure(fixture *f) {
    check_published(f);
    if (!f->engine->has_failed) { /* else a meta page may be torn, until the next open */
        check_all(f);
        change(f, 10);
        check_all(f);
        checkpoint(f, false);
        check_all(f);
        change(f, 10);
    }
    restart(f);
    check_all(f);
    checkpoint(f, false);
    check_all(f);
}

/* The k-th write or sync of a checkpoint fails. False: there are fewer. */
static bool run_with_failure(fixture *f, uint64_t k, bool is_final, bool from_then) {
    copy_db(f, "copy.vs");
    f->path = "copy.vs";
    open_db(f);
    begin_txn(f);
    apply_ops(f, 30);
    commit(f, VS_SYNC_OFF);
    set_fault(k, from_then);
    vs_status st = vsi_checkpoint(&f->err, f->engine, is_final);
    bool is_hit = end_fault();
    VT_CHECK(is_hit || st == VS_OK);
    if (!from_then)
        VT_CHECK(!f->engine->has_failed);
    check_after_failure(f);
    close_db(f);
    f->path = "base.vs";
    return is_hit;
}

VT_TEST(a_write_or_sync_that_fails_during_a_checkpoint_loses_nothing) {
    static fixture f;
    for (size_t variant = 0; variant < 4; variant++) {
        begin(&f, 0);
        make_history(&f, 2);
        const model m = f.m;
        uint64_t k = 1;
        while (run_with_failure(&f, k, variant & 1, variant & 2)) {
            f.m = m;
            k++;
        }
        VT_CHECK(k > 7);
        f.m = m;
        open_db(&f);
        end(&f);
    }
}

/* False: the checkpoint needs less memory than that. */
static bool run_without_memory(fixture *f, uint64_t k) {
    copy_db(f, "copy.vs");
    f->path = "copy.vs";
    open_db(f);
    change(f, 20);
    f->allocator.failures = 0;
    f->allocator.fail_at = f->allocator.calls + k;
    vs_status st = vsi_checkpoint(&f->err, f->engine, false);
    f->allocator.fail_at = 0;
    bool is_hit = f->allocator.failures;
    VT_CHECK(st == VS_OK || (is_hit && st == VS_ERR_NOMEM));
    VT_CHECK(!f->engine->has_failed);
    check_published(f);
    checkpoint(f, false);
    check_all(f);
    restart(f);
    check_all(f);
    close_db(f);
    f->path = "base.vs";
    return is_hit;
}

VT_TEST(memory_that_runs_out_during_a_checkpoint_loses_nothing) {
    static fixture f;
    begin(&f, 0);
    change(&f, 40);
    checkpoint(&f, false);
    change(&f, 10);
    kill_db(&f);
    const model m = f.m;
    uint64_t k = 1;
    while (run_without_memory(&f, k)) {
        f.m = m;
        k += 1 + k / 8;
    }
    VT_CHECK(k > 20);
    f.m = m;
    open_db(&f);
    end(&f);
}

/* ---- all of it ------------------------------------------------------------------------------ */

typedef struct pin {
    vsi_version *version;
    model m;
} pin;

static pin pins[PINS];

static void drop_pins(fixture *f) {
    for (size_t i = 0; i < PINS; i++) {
        if (pins[i].version)
            vsi_versions_unpin(&f->engine->versions, pins[i].version);
        pins[i].version = NULL;
    }
}

static void toggle_pin(fixture *f) {
    pin *p = &pins[vt_below(&f->rng, PINS)];
    if (p->version) {
        check_state(f, &p->version->state, &p->m);
        vsi_versions_unpin(&f->engine->versions, p->version);
        p->version = NULL;
    } else if (vsi_versions_is_published(&f->engine->versions, f->engine->versions.applied->lsn)) {
        p->version = vsi_versions_pin(&f->engine->versions);
        p->m = f->m;
    }
}

static void checkpoint_that_may_fail(fixture *f) {
    set_fault(1 + vt_below(&f->rng, 12), false);
    vs_status st = vsi_checkpoint(&f->err, f->engine, false);
    VT_CHECK(end_fault() || st == VS_OK);
}

static void random_step(fixture *f) {
    switch (vt_below(&f->rng, 16)) {
    case 0:
        drop_pins(f);
        restart(f);
        break;
    case 1:
        drop_pins(f);
        checkpoint(f, true);
        close_db(f);
        check_logs(f, 1, 0);
        open_db(f);
        break;
    case 2:
    case 3:
        toggle_pin(f);
        break;
    case 4:
        roll_back(f, 10);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
        checkpoint(f, false);
        break;
    case 9:
        checkpoint_that_may_fail(f);
        break;
    default:
        change(f, 1 + vt_below(&f->rng, 30));
    }
}

/* Emulators and sanitizers take a quarter of the steps. */
VT_TEST(whatever_happens_every_page_is_used_once_or_free_and_nothing_is_lost) {
    static const uint32_t block_bytes[] = {4096, 16384, 65536};
    const size_t steps = getenv("VT_BRIEF") ? 30 : 120;
    static fixture f;
    for (size_t i = 0; i < 3; i++) {
        begin(&f, block_bytes[i]);
        for (size_t step = 0; step < steps; step++) {
            random_step(&f);
            check(&f, 2);
            if (step % 8 == 0)
                check_all(&f);
        }
        for (size_t k = 0; k < PINS; k++)
            if (pins[k].version)
                check_state(&f, &pins[k].version->state, &pins[k].m);
        drop_pins(&f);
        check_all(&f);
        end(&f);
    }
}
