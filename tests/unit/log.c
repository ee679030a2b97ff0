/* log.c - the log written by store/log and read back by store/replay, on a file system in memory
 * whose calls fail when told to. */
#include "os/memory.h"
#include "store/log.h"
#include "store/replay.h"
#include "vt.h"

#define PATH "base.vs"

enum { FRAMES_MAX = 3000 };

/* A frame that was appended. */
typedef struct fact {
    int kind;
    uint64_t txn, seed;
    int64_t time_us;
    size_t bytes;
} fact;

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory; /* as it is */
    vs_vfs vfs;     /* with failures */
    vsi_err err;
    vsi_file data;
    vsi_metas metas;
    vsi_log log;
    fact fact[FRAMES_MAX]; /* by LSN; 0 is not used */
    uint64_t last_lsn;
    vt_rng rng;
} fixture;

/* ---- calls that fail ------------------------------------------------------------------------ */

/* The functions of a vs_vfs get the context of the file system below, so this is not in it. */
static struct {
    const vs_vfs *below;
    uint64_t calls;       /* that may fail, since the fault was set */
    uint64_t fail_at;     /* 0: none */
    bool fails_from_then; /* and all later ones */
    bool is_hit;
    bool only_syncs, only_writes;
    uint32_t blast_bytes; /* 0: what the file system says */
    void *log_file;       /* checked: writes to it keep away from what is durable */
    uint64_t log_end, log_durable_end;
    uint64_t zero_bytes;    /* of zeros written to it */
    uint64_t touched_end;   /* so far it has been written to */
    uint64_t first_touches; /* frames that went beyond */
} fault;

static bool fails(bool is_sync, bool is_write) {
    if ((fault.only_syncs && !is_sync) || (fault.only_writes && !is_write))
        return false;
    fault.calls++;
    bool now = fault.fail_at && (fault.calls == fault.fail_at ||
                                 (fault.fails_from_then && fault.calls > fault.fail_at));
    fault.is_hit = fault.is_hit || now;
    return now;
}

static vs_status fault_open(void *ctx, const char *path, uint32_t mode, void **out_file,
                            char *why) {
    if (mode & VS_VFS_CREATE && fails(false, false))
        return VS_ERR_IO;
    return fault.below->open(ctx, path, mode, out_file, why);
}

/* Notes a write to the log file, which keeps away from what is durable. Zeros hold no frame. */
static void note_log_write(const uint8_t *buf, size_t bytes, uint64_t offset) {
    uint64_t unit = fault.blast_bytes, end = offset + bytes;
    bool is_blank = true;
    for (size_t i = 0; i < bytes && is_blank; i++)
        is_blank = buf[i] == 0;
    VT_CHECK(offset >= (fault.log_durable_end + unit - 1) / unit * unit);
    if (is_blank)
        fault.zero_bytes += bytes;
    else
        fault.first_touches += end > fault.touched_end;
    if (!is_blank && end > fault.log_end)
        fault.log_end = end;
    fault.touched_end = end > fault.touched_end ? end : fault.touched_end;
}

/* A write that fails has moved half of the bytes. */
static vs_status fault_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    if (file == fault.log_file)
        note_log_write(buf, bytes, offset);
    if (!fails(false, true))
        return fault.below->write(ctx, file, buf, bytes, offset, out_bytes, why);
    if (bytes > 1)
        VT_EQ(fault.below->write(ctx, file, buf, bytes / 2, offset, out_bytes, why), VS_OK);
    return VS_ERR_FULL;
}

static vs_status fault_truncate(void *ctx, void *file, uint64_t bytes, char *why) {
    return fails(false, false) ? VS_ERR_IO : fault.below->truncate(ctx, file, bytes, why);
}

static vs_status fault_sync(void *ctx, void *file, char *why) {
    if (fails(true, false))
        return VS_ERR_IO;
    if (file == fault.log_file)
        fault.log_durable_end = fault.log_end;
    return fault.below->sync(ctx, file, why);
}

static vs_status fault_sync_dir(void *ctx, const char *path, char *why) {
    return fails(true, false) ? VS_ERR_IO : fault.below->sync_dir(ctx, path, why);
}

static vs_status fault_device_info(void *ctx, void *file, vs_device_info *out, char *why) {
    vs_status st = fails(false, false) ? VS_ERR_IO : fault.below->device_info(ctx, file, out, why);
    if (st == VS_OK && fault.blast_bytes)
        out->blast_bytes = fault.blast_bytes;
    return st;
}

static vs_status fault_random(void *ctx, void *buf, size_t bytes, char *why) {
    return fails(false, false) ? VS_ERR_IO : fault.below->random(ctx, buf, bytes, why);
}

static void set_fault(uint64_t fail_at, bool from_then) {
    fault.calls = 0;
    fault.fail_at = fail_at;
    fault.fails_from_then = from_then;
    fault.is_hit = fault.only_syncs = fault.only_writes = false;
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

static void start_session(fixture *f) {
    f->log = (vsi_log){.mem = &f->mem,
                       .vfs = &f->vfs,
                       .path = PATH,
                       .data = &f->data,
                       .metas = &f->metas,
                       .next_lsn = 1};
}

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    memset(&fault, 0, sizeof fault);
    f->rng.state = vt_seed();
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    fault.below = f->memory;
    f->vfs = *f->memory;
    f->vfs.open = fault_open;
    f->vfs.write = fault_write;
    f->vfs.truncate = fault_truncate;
    f->vfs.sync = fault_sync;
    f->vfs.sync_dir = fault_sync_dir;
    f->vfs.device_info = fault_device_info;
    f->vfs.random = fault_random;
    OK(vsi_file_open(&f->err, &f->mem, &f->vfs, PATH, VS_VFS_WRITE | VS_VFS_CREATE, &f->data));
    OK(vsi_metas_create(&f->err, &f->data, 1, 0, &f->metas));
    start_session(f);
}

static void end(fixture *f) {
    vsi_log_free(&f->log);
    vsi_file_close(&f->data);
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

static bool has_file(fixture *f, uint64_t generation) {
    char path[VSI_PATH_BYTES_MAX];
    vsi_file file;
    OK(vsi_log_path(&f->err, PATH, generation, path));
    vs_status st = vsi_file_open(&f->err, &f->mem, f->memory, path, VS_VFS_READ, &file);
    vsi_file_close(&file);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    return st == VS_OK;
}

/* The bytes of a log file. */
static uint8_t *read_log(fixture *f, uint64_t generation, size_t *out_bytes) {
    char path[VSI_PATH_BYTES_MAX];
    vsi_file file;
    uint64_t bytes = 0;
    OK(vsi_log_path(&f->err, PATH, generation, path));
    OK(vsi_file_open(&f->err, &f->mem, f->memory, path, VS_VFS_READ, &file));
    OK(vsi_file_size(&f->err, &file, &bytes));
    uint8_t *data = malloc((size_t)bytes + 1);
    OK(vsi_file_read(&f->err, &file, data, (size_t)bytes, 0, out_bytes));
    VT_EQ(*out_bytes, bytes);
    vsi_file_close(&file);
    return data;
}

static void write_log(fixture *f, uint64_t generation, const void *data, size_t bytes,
                      uint64_t off) {
    char path[VSI_PATH_BYTES_MAX];
    vsi_file file;
    OK(vsi_log_path(&f->err, PATH, generation, path));
    OK(vsi_file_open(&f->err, &f->mem, f->memory, path, VS_VFS_WRITE | VS_VFS_CREATE, &file));
    OK(vsi_file_write(&f->err, &file, data, bytes, off));
    vsi_file_close(&file);
}

static void cut_log(fixture *f, uint64_t generation, uint64_t bytes) {
    char path[VSI_PATH_BYTES_MAX];
    vsi_file file;
    OK(vsi_log_path(&f->err, PATH, generation, path));
    OK(vsi_file_open(&f->err, &f->mem, f->memory, path, VS_VFS_WRITE, &file));
    OK(vsi_file_truncate(&f->err, &file, bytes));
    vsi_file_close(&file);
}

/* ---- writing -------------------------------------------------------------------------------- */

static void fill(uint8_t *out, uint64_t seed, size_t bytes) {
    vt_rng rng = {seed};
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(i % 8 ? rng.state >> i % 8 * 8 : vt_random(&rng));
}

static vsi_buf make_ops(fixture *f, uint64_t seed, size_t bytes) {
    vsi_buf buf = {.mem = &f->mem};
    VT_CHECK(vsi_buf_reserve(&buf, VSI_LOG_BUF_FRONT + bytes));
    memset(buf.data, 0, VSI_LOG_BUF_FRONT);
    fill(buf.data + VSI_LOG_BUF_FRONT, seed, bytes);
    buf.bytes = VSI_LOG_BUF_FRONT + bytes;
    return buf;
}

/* Appends a frame. When that fails the buffer must be as it was. */
static vs_status try_append(fixture *f, size_t bytes) {
    fact new = {.kind = vt_below(&f->rng, 2) ? VSI_FRAME_COMMIT : VSI_FRAME_CONT,
                .txn = vt_random(&f->rng),
                .seed = vt_random(&f->rng),
                .time_us = (int64_t)vt_random(&f->rng),
                .bytes = bytes};
    vsi_buf ops = make_ops(f, new.seed, bytes);
    const uint8_t *data = ops.data;
    vs_status st = vsi_log_append(&f->err, &f->log, new.kind, new.txn, new.time_us, &ops);
    if (st == VS_OK) {
        VT_CHECK(!ops.data && !ops.bytes); /* the log's now */
        f->fact[++f->last_lsn] = new;
        VT_EQ(f->log.next_lsn, f->last_lsn + 1);
        return st;
    }
    vsi_buf same = make_ops(f, new.seed, bytes);
    VT_CHECK(data && ops.data && ops.bytes == same.bytes);
    VT_CHECK(!memcmp(ops.data + VSI_LOG_BUF_FRONT, same.data + VSI_LOG_BUF_FRONT, bytes));
    vsi_buf_free(&same);
    vsi_buf_free(&ops);
    return st;
}

static void append(fixture *f, size_t bytes) {
    OK(try_append(f, bytes));
}

static void take_over(fixture *f) {
    OK(vsi_log_take_over(&f->err, &f->log));
    VT_CHECK(vsi_log_is_open(&f->log));
    VT_EQ(f->log.durable_lsn, f->last_lsn);
    VT_CHECK(!f->log.kept && f->log.kept_bytes == 0);
}

/* As the engine syncs; false when the device refused. */
static bool sync_log(fixture *f) {
    vsi_log_ticket ticket;
    if (!vsi_log_sync_begin(&f->log, &ticket))
        return true;
    if (vsi_file_sync(&f->err, &f->log.file) != VS_OK)
        return false;
    vsi_log_sync_end(&f->log, ticket);
    return true;
}

static void cut_off(fixture *f) {
    OK(vsi_log_cut_off(&f->err, &f->log));
    VT_CHECK(!f->log.tail_is_dirty);
}

static size_t some_bytes(fixture *f) {
    switch (vt_below(&f->rng, 8)) {
    case 0:
        return 0;
    case 1:
        return 64 * vt_below(&f->rng, 4);
    case 2:
        return vt_below(&f->rng, 20000);
    default:
        return vt_below(&f->rng, 300);
    }
}

/* ---- reading back --------------------------------------------------------------------------- */

static void check_frame(fixture *f, const vsi_frame *frame, vsi_bytes payload) {
    const fact *was = &f->fact[frame->lsn];
    VT_EQ(frame->kind, was->kind);
    VT_CHECK(frame->txn == was->txn && frame->time_us == was->time_us);
    VT_EQ(frame->payload_bytes, was->bytes);
    VT_EQ(payload.bytes, was->bytes);
    uint8_t *expected = malloc(was->bytes + 1);
    fill(expected, was->seed, was->bytes);
    VT_CHECK(was->bytes == 0 || !memcmp(payload.data, expected, was->bytes));
    free(expected);
}

/* Reads all frames behind a checkpoint; they must be those appended, up to last. The replay is left at
 * its end. */
static void replay_from(fixture *f, vsi_replay *r, const vsi_meta *meta,
                        const vsi_checkpoint_info *from, uint64_t last) {
    uint64_t lsn = from->lsn + 1;
    OK(vsi_replay_open(&f->err, &f->mem, f->memory, PATH, meta, from, r));
    for (;; lsn++) {
        vsi_frame frame;
        vsi_bytes payload = {NULL, 0};
        OK(vsi_replay_next(&f->err, r, &frame, &payload));
        if (r->is_done)
            break;
        VT_EQ(frame.lsn, lsn);
        VT_CHECK(lsn <= last);
        check_frame(f, &frame, payload);
    }
    VT_EQ(lsn, last + 1);
    VT_EQ(r->next_lsn, last + 1);
    VT_CHECK(r->durable_lsn <= last && r->durable_lsn >= from->lsn);
}

/* The same behind the newest checkpoint, as the file names it. */
static void replay_all(fixture *f, vsi_replay *r, vsi_metas *metas, uint64_t last) {
    bool is_new = false;
    OK(vsi_metas_read(&f->err, &f->data, metas, &is_new));
    VT_CHECK(!is_new);
    replay_from(f, r, &metas->newest, &metas->newest.checkpoint, last);
}

static void check_log(fixture *f) {
    vsi_replay r;
    vsi_metas metas;
    replay_all(f, &r, &metas, f->last_lsn);
    VT_CHECK(r.durable_lsn <= f->log.durable_lsn || !vsi_log_is_open(&f->log));
    VT_EQ(r.dropped_lsn, 0);
    VT_EQ(r.dropped_bytes, 0);
    vsi_replay_free(&r);
    if (metas.newest.previous.log_from) {
        replay_from(f, &r, &metas.newest, &metas.newest.previous, f->last_lsn);
        vsi_replay_free(&r);
    }
}

/* Names a checkpoint that has all frames, as the engine does. */
static void make_checkpoint(fixture *f) {
    VT_CHECK(sync_log(f));
    vsi_meta meta = f->metas.newest;
    meta.previous = meta.checkpoint;
    meta.checkpoint = (vsi_checkpoint_info){.number = meta.previous.number + 1,
                                            .lsn = f->log.durable_lsn,
                                            .chain = f->log.durable_chain,
                                            .log_from = meta.generation + 1};
    meta.durable_lsn = f->log.durable_lsn;
    OK(vsi_metas_write(&f->err, &f->data, &f->metas, &meta));
    vsi_log_end(&f->log);
}

/* Removes the log files that neither checkpoint needs. */
static void remove_old_files(fixture *f) {
    const vsi_meta *meta = &f->metas.newest;
    uint64_t first = meta->previous.log_from ? meta->previous.log_from : meta->checkpoint.log_from;
    for (uint64_t g = 1; g < first; g++) {
        char path[VSI_PATH_BYTES_MAX];
        vsi_err ignored = {0};
        OK(vsi_log_path(&f->err, PATH, g, path));
        vs_status st = vsi_os_remove(&ignored, f->memory, path);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    }
}

/* The program is killed and the next one recovers, as the engine does. */
static void restart(fixture *f) {
    vsi_replay r;
    vsi_log_free(&f->log);
    replay_all(f, &r, &f->metas, f->last_lsn);
    start_session(f);
    f->log.generation = f->metas.newest.generation;
    f->log.durable_lsn = r.durable_lsn;
    f->log.durable_chain = r.durable_chain;
    f->log.next_lsn = f->last_lsn + 1;
    f->log.older_bytes = r.total_bytes;
    for (uint64_t lsn = r.durable_lsn + 1; lsn <= f->last_lsn; lsn++) {
        vsi_frame frame;
        vsi_bytes payload = {NULL, 0};
        OK(vsi_replay_reread(&f->err, &r, lsn, &frame, &payload));
        VT_EQ(frame.lsn, lsn);
        check_frame(f, &frame, payload);
        OK(vsi_log_keep(&f->err, &f->log, &frame, payload.data));
    }
    vsi_replay_free(&r);
}

/* ---- appending ------------------------------------------------------------------------------ */

VT_TEST(before_its_first_frame_a_database_has_no_log_file) {
    static fixture f;
    begin(&f);
    VT_CHECK(!vsi_log_is_open(&f.log));
    VT_EQ(vsi_log_bytes(&f.log), 0);
    VT_CHECK(!has_file(&f, 1));
    check_log(&f);
    vsi_log_ticket ticket;
    VT_CHECK(!vsi_log_sync_begin(&f.log, &ticket));
    end(&f);
}

VT_TEST(a_log_that_is_all_zero_can_be_freed) {
    vsi_log log;
    memset(&log, 0, sizeof log);
    vsi_log_free(&log);
}

VT_TEST(frames_of_every_size_come_back_in_order_without_a_sync) {
    static fixture f;
    static const size_t bytes[] = {0,   1,    63,   64,   65,    127,     128,
                                   129, 4031, 4032, 4033, 65536, 3000000, 1};
    begin(&f);
    take_over(&f);
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        append(&f, bytes[i]);
        check_log(&f);
    }
    VT_EQ(f.log.durable_lsn, 0);
    size_t size = 0;
    free(read_log(&f, 1, &size));
    VT_EQ(vsi_log_bytes(&f.log), size);
    VT_EQ(size % 64, 0);
    end(&f);
}

VT_TEST(a_frame_beyond_the_limit_is_refused_and_nothing_is_written) {
    static fixture f;
    begin(&f);
    take_over(&f);
    append(&f, 10);
    vsi_buf ops = make_ops(&f, 1, 10);
    const vsi_buf before = ops;
    ops.bytes = VSI_LOG_BUF_FRONT + (size_t)VSI_FRAME_PAYLOAD_MAX + 1;
    VT_EQ(vsi_log_append(&f.err, &f.log, VSI_FRAME_COMMIT, 1, 1, &ops), VS_ERR_LIMIT);
    VT_CHECK(ops.data == before.data && !f.log.tail_is_dirty);
    ops = before;
    vsi_buf_free(&ops);
    append(&f, 10);
    check_log(&f);
    end(&f);
}

VT_TEST(without_memory_nothing_is_appended_and_the_log_goes_on) {
    static fixture f;
    begin(&f);
    take_over(&f);
    uint64_t refusals = 0;
    for (size_t i = 0; i < 40; i++) {
        size_t bytes = 100 * i;
        vsi_buf ops = make_ops(&f, i, bytes);
        for (uint64_t at = 1; at <= 3; at++) {
            uint64_t failures = f.allocator.failures;
            f.allocator.fail_at = f.allocator.calls + at;
            vs_status st = vsi_log_append(&f.err, &f.log, VSI_FRAME_COMMIT, i, 5, &ops);
            f.allocator.fail_at = 0;
            VT_EQ(st, f.allocator.failures == failures ? VS_OK : VS_ERR_NOMEM);
            if (st == VS_OK)
                break;
            VT_CHECK(!f.log.tail_is_dirty);
            refusals++;
        }
        f.fact[++f.last_lsn] = (fact){VSI_FRAME_COMMIT, i, i, 5, bytes};
        VT_EQ(f.log.next_lsn, f.last_lsn + 1);
        check_log(&f);
    }
    VT_CHECK(refusals >= 40);
    end(&f);
}

/* ---- syncing and MARKs ---------------------------------------------------------------------- */

VT_TEST(a_sync_makes_durable_what_was_appended_before_it_began) {
    static fixture f;
    vsi_log_ticket ticket;
    begin(&f);
    take_over(&f);
    VT_CHECK(!vsi_log_sync_begin(&f.log, &ticket));
    append(&f, 100);
    append(&f, 200);
    VT_CHECK(vsi_log_sync_begin(&f.log, &ticket));
    append(&f, 300); /* by another thread, while the device works */
    VT_EQ(vsi_file_sync(&f.err, &f.log.file), VS_OK);
    vsi_log_sync_end(&f.log, ticket);
    VT_EQ(f.log.durable_lsn, 2);
    VT_EQ(f.log.syncs, 1);
    VT_CHECK(f.log.kept && f.log.kept->frame.lsn == 3 && !f.log.kept->next);
    check_log(&f);
    VT_CHECK(sync_log(&f));
    VT_EQ(f.log.durable_lsn, 3);
    VT_CHECK(!f.log.kept && !f.log.kept_last && f.log.kept_bytes == 0);
    VT_CHECK(!vsi_log_sync_begin(&f.log, &ticket));
    check_log(&f);
    end(&f);
}

VT_TEST(a_mark_stands_at_the_next_block_and_tells_how_far_the_log_was_durable) {
    static const uint32_t pad[] = {512, 4096, 65536};
    for (size_t i = 0; i < sizeof pad / sizeof pad[0]; i++) {
        static fixture f;
        begin(&f);
        fault.blast_bytes = pad[i];
        take_over(&f);
        append(&f, 100);
        append(&f, 700);
        uint64_t end_of_frames = f.log.pos;
        VT_CHECK(sync_log(&f));
        size_t bytes = 0;
        uint8_t *data = read_log(&f, 1, &bytes);
        uint64_t at = (end_of_frames + pad[i] - 1) / pad[i] * pad[i];
        VT_EQ(bytes, at + VSI_FRAME_BYTES);
        vsi_frame mark;
        VT_CHECK(vsi_frame_decode(data + at, f.log.salt, &mark));
        VT_EQ(mark.kind, VSI_FRAME_MARK);
        VT_EQ(mark.lsn, 2);
        VT_EQ(mark.durable_lsn, 2);
        VT_EQ(mark.txn, 0);
        VT_EQ(mark.payload_bytes, 0);
        VT_EQ(mark.payload_hash, 0);
        for (uint64_t gap = end_of_frames; gap < at; gap++)
            VT_EQ(data[gap], 0);
        free(data);
        append(&f, 50);
        check_log(&f);
        end(&f);
    }
}

/* What the reader says is durable comes from the MARK, else from the next frame's header. */
VT_TEST(a_reader_learns_from_the_mark_or_from_the_next_frame_what_is_durable) {
    static fixture f;
    vsi_replay r;
    vsi_metas metas;
    begin(&f);
    take_over(&f);
    append(&f, 100);
    replay_all(&f, &r, &metas, 1);
    VT_EQ(r.durable_lsn, 0);
    vsi_replay_free(&r);
    VT_CHECK(sync_log(&f));
    uint64_t mark_off = f.log.pos - VSI_FRAME_BYTES;
    replay_all(&f, &r, &metas, 1);
    VT_EQ(r.durable_lsn, 1);
    vsi_replay_free(&r);
    cut_log(&f, 1, mark_off); /* a power cut took the MARK */
    replay_all(&f, &r, &metas, 1);
    VT_EQ(r.durable_lsn, 0);
    vsi_replay_free(&r);
    end(&f);
}

VT_TEST(a_mark_that_cannot_be_written_is_left_out) {
    static fixture f;
    begin(&f);
    take_over(&f);
    append(&f, 100);
    vsi_log_ticket ticket;
    VT_CHECK(vsi_log_sync_begin(&f.log, &ticket));
    VT_EQ(vsi_file_sync(&f.err, &f.log.file), VS_OK);
    set_fault(1, false);
    vsi_log_sync_end(&f.log, ticket);
    VT_CHECK(end_fault());
    VT_EQ(f.log.durable_lsn, 1);
    append(&f, 200); /* stands where the mark was to stand */
    vsi_replay r;
    vsi_metas metas;
    replay_all(&f, &r, &metas, 2);
    VT_EQ(r.durable_lsn, 1); /* the second frame says so */
    vsi_replay_free(&r);
    end(&f);
}

/* ---- damage that the reader must notice ----------------------------------------------------- */

static vs_status replay_status(fixture *f, uint64_t *out_frames) {
    vsi_replay r;
    vsi_metas metas;
    bool is_new = false;
    OK(vsi_metas_read(&f->err, &f->data, &metas, &is_new));
    vs_status st = vsi_replay_open(&f->err, &f->mem, f->memory, PATH, &metas.newest,
                                   &metas.newest.checkpoint, &r);
    *out_frames = 0;
    while (st == VS_OK && !r.is_done) {
        vsi_frame frame;
        vsi_bytes payload;
        st = vsi_replay_next(&f->err, &r, &frame, &payload);
        *out_frames += st == VS_OK && !r.is_done;
    }
    vsi_replay_free(&r);
    return st;
}

VT_TEST(a_flipped_bit_of_a_durable_frame_is_damage_and_of_a_later_one_the_end) {
    static fixture f;
    uint64_t frames = 0;
    size_t bytes = 0;
    begin(&f);
    take_over(&f);
    append(&f, 200);
    append(&f, 90);
    VT_CHECK(sync_log(&f));
    uint64_t durable_end = VSI_LOG_HEADER_BYTES + vsi_frame_stride(200) + vsi_frame_stride(90);
    append(&f, 70);
    uint8_t *data = read_log(&f, 1, &bytes);
    for (size_t at = VSI_LOG_HEADER_BYTES; at < bytes; at++) {
        bool is_payload_1 = at >= 4096 + 64 + 200 && at < 4096 + vsi_frame_stride(200);
        bool is_gap = is_payload_1 || (at >= durable_end - 38 && at < f.log.pos - 64 - 192);
        uint8_t flipped = data[at] ^ (uint8_t)(1 << at % 8);
        write_log(&f, 1, &flipped, 1, at);
        vs_status st = replay_status(&f, &frames);
        if (is_gap || at >= bytes - (128 - 70)) /* zeros behind a payload */
            VT_CHECK(st == VS_OK && frames == 3);
        else if (at < durable_end)
            VT_CHECK(st == VS_ERR_CORRUPT);
        else
            VT_CHECK(st == VS_OK && frames == 2); /* the MARK, or frame 3 */
        write_log(&f, 1, data + at, 1, at);
    }
    VT_EQ(replay_status(&f, &frames), VS_OK);
    VT_EQ(frames, 3);
    free(data);
    end(&f);
}

VT_TEST(a_missing_log_file_is_named) {
    static fixture f;
    uint64_t frames;
    begin(&f);
    take_over(&f);
    append(&f, 10);
    take_over(&f);
    append(&f, 10);
    check_log(&f);
    vsi_err err = {0};
    VT_EQ(vsi_os_remove(&err, f.memory, PATH "-wal-1"), VS_OK);
    VT_EQ(replay_status(&f, &frames), VS_ERR_LOG_MISSING);
    VT_CONTAINS(f.err.text, PATH "-wal-1");
    end(&f);
}

/* ---- behind a checkpoint -------------------------------------------------------------------- */

VT_TEST(behind_a_checkpoint_only_later_frames_are_read_and_older_files_are_not_needed) {
    static fixture f;
    begin(&f);
    for (uint64_t round = 1; round <= 4; round++) {
        take_over(&f);
        VT_EQ(f.log.generation, round);
        append(&f, 200);
        append(&f, 30);
        make_checkpoint(&f);
        VT_EQ(f.metas.newest.checkpoint.lsn, 2 * round);
        VT_EQ(vsi_log_bytes(&f.log), 0); /* nothing that recovery would read */
        VT_CHECK(!vsi_log_is_open(&f.log));
        remove_old_files(&f);
        VT_CHECK(has_file(&f, round) && !has_file(&f, round - 1));
        check_log(&f); /* from this checkpoint and from the one before */
    }
    take_over(&f);
    append(&f, 77);
    append(&f, 78);
    append(&f, 79);
    check_log(&f);
    restart(&f);
    VT_EQ(f.log.next_lsn, 12);
    take_over(&f);
    append(&f, 80);
    check_log(&f);
    end(&f);
}

VT_TEST(a_checkpoint_directly_after_another_needs_no_file_between_them) {
    static fixture f;
    vsi_replay r;
    vsi_metas metas;
    begin(&f);
    take_over(&f);
    append(&f, 200);
    make_checkpoint(&f);
    make_checkpoint(&f);
    remove_old_files(&f);
    VT_CHECK(!has_file(&f, 1));
    check_log(&f);
    replay_all(&f, &r, &metas, 1);
    VT_EQ(r.durable_lsn, 1); /* as the checkpoint says */
    VT_CHECK(r.durable_chain == metas.newest.checkpoint.chain);
    VT_EQ(r.total_bytes, 0);
    vsi_replay_free(&r);
    end(&f);
}

/* The log must begin where the checkpoint ends: a data file and a log of two states do not mix. */
VT_TEST(a_log_that_does_not_continue_the_checkpoint_is_refused) {
    for (int what = 0; what < 3; what++) {
        static fixture f;
        uint64_t frames = 0;
        begin(&f);
        take_over(&f);
        append(&f, 200);
        make_checkpoint(&f);
        take_over(&f);
        append(&f, 100);
        VT_EQ(replay_status(&f, &frames), VS_OK);
        VT_EQ(frames, 1);
        vsi_meta meta = f.metas.newest;
        if (what == 0)
            meta.checkpoint.lsn--;
        else if (what == 1)
            meta.checkpoint.lsn++;
        else
            meta.checkpoint.chain ^= 1;
        VT_EQ(vsi_metas_write(&f.err, &f.data, &f.metas, &meta), VS_OK);
        VT_EQ(replay_status(&f, &frames), VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, PATH "-wal-2");
        end(&f);
    }
}

VT_TEST(a_missing_log_file_behind_a_checkpoint_is_named_and_one_before_it_is_not_missed) {
    static fixture f;
    uint64_t frames = 0;
    begin(&f);
    for (int i = 0; i < 4; i++) {
        take_over(&f);
        append(&f, 10);
        if (i == 1)
            make_checkpoint(&f);
    }
    vsi_err err = {0};
    for (int g = 1; g <= 2; g++)
        VT_EQ(vsi_os_remove(&err, f.memory, g == 1 ? PATH "-wal-1" : PATH "-wal-2"), VS_OK);
    VT_EQ(replay_status(&f, &frames), VS_OK);
    VT_EQ(frames, 2);
    VT_EQ(vsi_os_remove(&err, f.memory, PATH "-wal-3"), VS_OK);
    VT_EQ(replay_status(&f, &frames), VS_ERR_LOG_MISSING);
    VT_CONTAINS(f.err.text, PATH "-wal-3");
    end(&f);
}

/* ---- taking over ---------------------------------------------------------------------------- */

VT_TEST(a_new_file_continues_the_old_and_holds_what_was_not_durable) {
    static fixture f;
    begin(&f);
    for (uint64_t generation = 1; generation <= 5; generation++) {
        take_over(&f);
        VT_EQ(f.log.generation, generation);
        VT_EQ(f.metas.newest.generation, generation);
        VT_EQ(f.metas.newest.durable_lsn, f.last_lsn);
        check_log(&f);
        append(&f, some_bytes(&f));
        append(&f, some_bytes(&f));
        VT_CHECK(sync_log(&f));
        append(&f, some_bytes(&f));
        append(&f, some_bytes(&f));
        check_log(&f);
    }
    VT_EQ(f.log.takeovers, 5);
    end(&f);
}

VT_TEST(what_a_failed_sync_lost_comes_back_from_the_new_file) {
    static fixture f;
    begin(&f);
    take_over(&f);
    append(&f, 300);
    VT_CHECK(sync_log(&f));
    uint64_t durable_end = f.log.pos;
    append(&f, 500);
    append(&f, 5);
    set_fault(1, false);
    fault.only_syncs = true;
    VT_CHECK(!sync_log(&f));
    VT_CHECK(end_fault());
    cut_log(&f, 1, durable_end); /* the pages are gone */
    take_over(&f);
    VT_EQ(f.log.generation, 2);
    check_log(&f);
    append(&f, 40);
    check_log(&f);
    restart(&f);
    check_log(&f);
    end(&f);
}

VT_TEST(leftovers_of_crashed_take_overs_are_replaced_and_removed) {
    static fixture f;
    begin(&f);
    for (uint64_t g = 1; g <= 4; g++)
        write_log(&f, g, "left over by a crash", 20, 0);
    take_over(&f);
    append(&f, 100);
    check_log(&f);
    for (uint64_t g = 2; g <= 4; g++)
        VT_CHECK(!has_file(&f, g));
    end(&f);
}

/* Fails the nth call of a session's first take-over, and all after it; then the device works
 * again. Recovery must find every frame at any time. */
VT_TEST(a_first_take_over_that_fails_anywhere_can_be_tried_again) {
    static fixture f;
    uint64_t at = 1, drafts = 0;
    for (bool is_hit = true; is_hit; at++) {
        begin(&f);
        take_over(&f);
        append(&f, 300);
        append(&f, 20);
        restart(&f); /* two frames that may not be durable */
        VT_EQ(f.log.durable_lsn, 0);
        set_fault(at, true);
        vs_status st = vsi_log_take_over(&f.err, &f.log);
        is_hit = end_fault();
        VT_EQ(st != VS_OK, is_hit);
        if (is_hit) {
            VT_CHECK(f.err.text[0] && !vsi_log_is_open(&f.log));
            VT_EQ(f.log.durable_lsn, 0);
            VT_CHECK(f.log.kept && f.log.kept->next);
            drafts += vsi_file_is_open(&f.log.draft.file);
            take_over(&f);
            VT_EQ(f.log.generation, 2);
            VT_CHECK(!has_file(&f, 3)); /* one attempt, one file */
        }
        check_log(&f);
        append(&f, 100);
        check_log(&f);
        restart(&f);
        end(&f);
    }
    VT_CHECK(at > 8 && drafts >= 2);
}

/* The same with a program that gives up after the failure: the next one finds every frame. */
VT_TEST(after_a_take_over_that_failed_anywhere_the_next_session_finds_every_frame) {
    static fixture f;
    bool is_hit = true;
    for (uint64_t at = 1; is_hit; at++)
        for (int from_then = 0; from_then < 2; from_then++) {
            begin(&f);
            take_over(&f);
            append(&f, 300);
            VT_CHECK(sync_log(&f));
            append(&f, 20);
            set_fault(at, from_then);
            vs_status st = vsi_log_take_over(&f.err, &f.log);
            is_hit = end_fault();
            VT_EQ(st != VS_OK, is_hit);
            restart(&f);
            take_over(&f);
            append(&f, 30);
            check_log(&f);
            end(&f);
        }
}

VT_TEST(every_allocation_of_a_take_over_may_fail) {
    static fixture f;
    begin(&f);
    take_over(&f);
    append(&f, 300);
    restart(&f);
    uint64_t refusals = 0;
    for (uint64_t at = 1;; at++) {
        uint64_t failures = f.allocator.failures;
        f.allocator.fail_at = f.allocator.calls + at;
        vs_status st = vsi_log_take_over(&f.err, &f.log);
        f.allocator.fail_at = 0;
        if (f.allocator.failures == failures) {
            VT_EQ(st, VS_OK);
            break;
        }
        VT_EQ(st, VS_ERR_NOMEM);
        refusals++;
    }
    VT_CHECK(refusals > 0);
    check_log(&f);
    append(&f, 5);
    check_log(&f);
    end(&f);
}

/* ---- appends that fail ---------------------------------------------------------------------- */

VT_TEST(a_failed_append_is_cut_off_and_never_comes_back) {
    static fixture f;
    static const size_t bytes[] = {1, 64, 5000, 200000};
    begin(&f);
    take_over(&f);
    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        append(&f, 100);
        uint64_t end_of_frames = f.log.pos;
        set_fault(1, false);
        fault.only_writes = true;
        VT_EQ(try_append(&f, bytes[i]), VS_ERR_FULL);
        VT_CHECK(end_fault() && f.log.tail_is_dirty);
        VT_EQ(f.log.next_lsn, f.last_lsn + 1);
        cut_off(&f);
        size_t size = 0;
        free(read_log(&f, 1, &size));
        VT_EQ(size, end_of_frames);
        VT_EQ(f.log.durable_lsn, f.last_lsn); /* the cut was synced */
        check_log(&f);
        append(&f, 70);
        check_log(&f);
    }
    end(&f);
}

VT_TEST(a_tail_that_cannot_be_cut_off_is_left_behind) {
    for (uint64_t at = 1; at <= 2; at++) { /* the cut, its sync */
        static fixture f;
        begin(&f);
        take_over(&f);
        append(&f, 100);
        set_fault(1, false);
        fault.only_writes = true;
        VT_EQ(try_append(&f, 5000), VS_ERR_FULL);
        set_fault(at, false);
        VT_CHECK(vsi_log_cut_off(&f.err, &f.log) != VS_OK);
        VT_CHECK(end_fault() && f.log.tail_is_dirty);
        take_over(&f);
        VT_CHECK(!f.log.tail_is_dirty);
        VT_EQ(f.log.generation, 2);
        check_log(&f);
        append(&f, 30);
        check_log(&f);
        restart(&f);
        end(&f);
    }
}

VT_TEST(cutting_off_a_clean_log_does_nothing) {
    static fixture f;
    begin(&f);
    take_over(&f);
    append(&f, 100);
    set_fault(1, true); /* not even a call */
    cut_off(&f);
    VT_CHECK(!end_fault());
    VT_EQ(f.log.durable_lsn, 0);
    end(&f);
}

/* ---- written ahead -------------------------------------------------------------------------- */

/* Frames of so many bytes, synced one by one, with that much reserved; the file is the log's first. */
static void append_synced(fixture *f, int frames, size_t bytes, uint64_t reserve) {
    for (int i = 0; i < frames; i++) {
        if (reserve)
            OK(vsi_log_own(&f->err, &f->log, bytes, reserve));
        append(f, bytes);
        VT_CHECK(sync_log(f));
    }
}

static void begin_watched(fixture *f) {
    begin(f);
    take_over(f);
    fault.blast_bytes = f->log.pad_bytes;
    fault.log_file = f->log.file.handle;
}

VT_TEST(small_synced_frames_go_where_zeros_were_written_before) {
    static fixture f;
    begin_watched(&f);
    append_synced(&f, 1000, 300, 65536);
    VT_CHECK(fault.first_touches < 40); /* a few while the file is short, then one in 64 */
    VT_CHECK(fault.zero_bytes > 0 && fault.zero_bytes <= f.log.pos + 262144);
    check_log(&f);
    fault.log_file = NULL;
    restart(&f);
    take_over(&f);
    append(&f, 10);
    check_log(&f);
    end(&f);
}

VT_TEST(large_frames_and_those_without_room_of_their_own_write_nothing_ahead) {
    static fixture f;
    begin_watched(&f);
    append_synced(&f, 20, 200000, 65536);
    f.log.is_tight = true; /* as on a device that is nearly full */
    append_synced(&f, 20, 300, 0);
    f.log.is_tight = false;
    f.log.owned = UINT64_MAX; /* as where nothing can be reserved */
    append_synced(&f, 20, 300, 0);
    VT_EQ(fault.zero_bytes, 0);
    check_log(&f);
    end(&f);
}

VT_TEST(a_short_log_writes_no_more_ahead_than_it_has) {
    static fixture f;
    begin_watched(&f);
    for (int i = 0; i < 40; i++) {
        append_synced(&f, 1, 100, 65536);
        VT_CHECK(f.log.blank_end <= 2 * f.log.pos);
    }
    VT_CHECK(fault.zero_bytes > 0);
    end(&f);
}

VT_TEST(zeros_that_cannot_be_written_are_left_out) {
    static fixture f;
    begin_watched(&f);
    for (uint64_t at = 1; at <= 2; at++) { /* at the first piece, and behind some */
        append_synced(&f, 100, 300, 65536);
        f.log.blank_end = 0;
        VT_EQ(vsi_log_own(&f.err, &f.log, 300, 200000), VS_OK);
        append(&f, 300);
        set_fault(at, false);
        fault.only_writes = true;
        VT_CHECK(sync_log(&f));
        VT_CHECK(end_fault() && !f.log.tail_is_dirty);
        check_log(&f);
    }
    append_synced(&f, 10, 300, 65536);
    check_log(&f);
    end(&f);
}

/* ---- all together --------------------------------------------------------------------------- */

/* One step of a program: the device works, refuses a sync, or refuses a write. */
static void random_step(fixture *f) {
    if (!vsi_log_is_open(&f->log))
        take_over(f);
    fault.log_file = f->log.file.handle;
    switch (vt_below(&f->rng, 26)) {
    case 0:
        fault.log_file = NULL;
        restart(f);
        break;
    case 1:
        set_fault(1, false);
        fault.only_writes = true;
        VT_EQ(try_append(f, some_bytes(f)), VS_ERR_FULL);
        end_fault();
        fault.touched_end = f->log.pos;
        fault.log_end = f->log.pos;
        if (vt_below(&f->rng, 2)) {
            cut_off(f);
        } else {
            fault.log_file = NULL;
            take_over(f);
        }
        break;
    case 2:
        set_fault(1, false);
        fault.only_syncs = true;
        if (!sync_log(f)) {
            end_fault();
            fault.log_file = NULL;
            take_over(f);
        }
        end_fault();
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        VT_CHECK(sync_log(f));
        break;
    case 7:
    case 8:
        make_checkpoint(f);
        fault.log_file = NULL;
        remove_old_files(f);
        break;
    default: {
        size_t bytes = some_bytes(f);
        if (vt_below(&f->rng, 4))
            OK(vsi_log_own(&f->err, &f->log, bytes, vt_below(&f->rng, 80000)));
        append(f, bytes);
        break;
    }
    }
}

/* Also: no write touches a block that holds something durable (FORMAT.md section 6). */
VT_TEST(random_programs_lose_no_frame_and_write_no_durable_block_again) {
    static const uint32_t pad[] = {512, 4096, 65536};
    for (size_t i = 0; i < sizeof pad / sizeof pad[0]; i++) {
        static fixture f;
        void *file = NULL;
        begin(&f);
        f.rng.state += i;
        fault.blast_bytes = pad[i];
        for (int step = 0; step < 500; step++) {
            random_step(&f);
            if (f.log.file.handle != file) { /* another file: nothing of it is known yet */
                file = f.log.file.handle;
                fault.log_end = fault.log_durable_end = fault.touched_end = 0;
            }
            if (step % 8 == 0)
                check_log(&f);
        }
        VT_CHECK(f.log.generation > 10 && f.last_lsn > 200);
        VT_CHECK(fault.zero_bytes > 0);
        check_log(&f);
        end(&f);
    }
}
