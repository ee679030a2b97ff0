/* replay.c - log files made by hand, whose hashes are right: what store/log never writes, files that change
 * while they are read, and reads that fail. What it does write is in log.c. */
#include "store/replay.h"
#include "os/memory.h"
#include "vt.h"

#define PATH "base.vs"

enum { FILES = 3, FRAMES = 40, LOG_BYTES = 3 << 20, SALT = 77, PAD = 64 };

/* A log file in memory, and the chain behind its last frame. */
typedef struct log_image {
    uint8_t *bytes;
    size_t used;
    uint64_t generation, chain, header_hash;
} log_image;

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory, vfs;
    vsi_err err;
    vsi_meta meta;
    vsi_checkpoint_info from;
    vsi_replay replay;
    log_image log[FILES + 1]; /* by generation */
} fixture;

/* ---- reads that fail, or meet another file -------------------------------------------------- */

static struct {
    const vs_vfs *below;
    uint64_t reads, fail_at, short_at, change_at; /* the read, from 1; 0: none */
    fixture *f;
} device;

static void put_file(fixture *f, uint64_t generation);

static vs_status device_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    device.reads++;
    if (device.reads == device.fail_at)
        return VS_ERR_IO;
    if (device.reads == device.change_at) { /* by another program */
        log_image *log = &device.f->log[device.f->meta.generation];
        for (size_t at = VSI_LOG_HEADER_BYTES; at < log->used; at++)
            log->bytes[at] ^= 0x55;
        put_file(device.f, log->generation);
    }
    if (device.short_at && device.reads >= device.short_at) {
        *out_bytes = 0;
        return VS_OK;
    }
    return device.below->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

/* ---- fixture -------------------------------------------------------------------------------- */

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    memset(&device, 0, sizeof device);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    device.below = f->memory;
    device.f = f;
    f->vfs = *f->memory;
    f->vfs.read = device_read;
    f->from.log_from = 1;
}

static void end(fixture *f) {
    for (int i = 0; i <= FILES; i++)
        free(f->log[i].bytes);
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

static void put_file(fixture *f, uint64_t generation) {
    char path[VSI_PATH_BYTES_MAX];
    vsi_err err = {0};
    vsi_file file;
    const log_image *log = &f->log[generation];
    VT_EQ(vsi_log_path(&err, PATH, generation, path), VS_OK);
    VT_EQ(vsi_file_open(&err, &f->mem, f->memory, path, VS_VFS_WRITE | VS_VFS_CREATE, &file),
          VS_OK);
    VT_EQ(vsi_file_truncate(&err, &file, 0), VS_OK);
    VT_EQ(vsi_file_write(&err, &file, log->bytes, log->used, 0), VS_OK);
    vsi_file_close(&file);
}

/* The header of log file number generation, which begins with frame start_lsn. */
static log_image *make_log(fixture *f, uint64_t generation, uint64_t start_lsn,
                           uint64_t previous_chain) {
    log_image *log = &f->log[generation];
    vsi_log_header header = {.generation = generation,
                             .start_lsn = start_lsn,
                             .previous_generation = generation - 1,
                             .previous_chain = previous_chain,
                             .salt = SALT,
                             .pad_bytes = PAD};
    free(log->bytes);
    *log = (log_image){
        .bytes = calloc(1, LOG_BYTES), .used = VSI_LOG_HEADER_BYTES, .generation = generation};
    VT_CHECK(log->bytes);
    log->chain = log->header_hash = vsi_log_header_encode(&header, log->bytes);
    return log;
}

/* One more frame, with bytes of payload behind it; frame.payload_bytes says what the header says. */
static void add_frame(log_image *log, vsi_frame frame, size_t bytes) {
    uint8_t *place = log->bytes + log->used;
    VT_CHECK(log->used + VSI_FRAME_BYTES + bytes + VSI_FRAME_BYTES <= LOG_BYTES);
    for (size_t i = 0; i < bytes; i++)
        place[VSI_FRAME_BYTES + i] = (uint8_t)vt_mix(frame.lsn * 1000 + i);
    if (frame.kind != VSI_FRAME_MARK)
        frame.payload_hash = vsi_frame_payload_hash(place + VSI_FRAME_BYTES, bytes, frame.lsn);
    vsi_frame_encode(&frame, SALT, log->chain, place);
    log->chain = frame.chain;
    log->used += (size_t)vsi_frame_stride((uint32_t)bytes);
}

static vsi_frame commit_frame(uint64_t lsn, uint64_t durable_lsn, uint32_t bytes) {
    return (vsi_frame){.payload_bytes = bytes,
                       .kind = VSI_FRAME_COMMIT,
                       .lsn = lsn,
                       .txn = lsn,
                       .durable_lsn = durable_lsn};
}

static vsi_frame mark_frame(uint64_t lsn, uint64_t durable_lsn) {
    return (vsi_frame){.kind = VSI_FRAME_MARK, .lsn = lsn, .durable_lsn = durable_lsn};
}

/* Opens the log that the meta page names and reads it to its end; *out_frames were read. */
static vs_status try_replay(fixture *f, bool skips_payloads, uint64_t *out_frames) {
    *out_frames = 0;
    vs_status st = vsi_replay_open(&f->err, &f->mem, &f->vfs, PATH, &f->meta, &f->from, &f->replay);
    f->replay.skips_payloads = skips_payloads;
    while (st == VS_OK && !f->replay.is_done) {
        vsi_frame frame;
        vsi_bytes payload;
        st = vsi_replay_next(&f->err, &f->replay, &frame, &payload);
        *out_frames += st == VS_OK && !f->replay.is_done;
    }
    return st;
}

static vs_status replay_all(fixture *f, uint64_t *out_frames) {
    vs_status st = try_replay(f, false, out_frames);
    vsi_replay_free(&f->replay);
    return st;
}

static void refuse(fixture *f, const char *part, int line) {
    uint64_t frames = 0;
    vs_status st = replay_all(f, &frames);
    if (st != VS_ERR_CORRUPT || !strstr(f->err.text, part))
        vt_fail(__FILE__, line, "status %d: %s, expected '%s'", st, f->err.text, part);
}

#define REFUSE(part) refuse(&f, part, __LINE__)

/* ---- the meta page and the files ------------------------------------------------------------ */

VT_TEST(a_checkpoint_that_needs_no_log_has_nothing_durable_behind_it) {
    fixture f;
    uint64_t frames = 0;
    begin(&f);
    f.from.lsn = 3;
    f.meta.durable_lsn = 3;
    VT_EQ(replay_all(&f, &frames), VS_OK);
    f.meta.durable_lsn = 4;
    REFUSE("the checkpoint ends at frame 3");
    f.meta.durable_lsn = 3;
    f.from.log_from = 2; /* beyond the log after the newest */
    REFUSE("the checkpoint ends at frame 3");
    end(&f);
}

VT_TEST(files_whose_first_frames_do_not_ascend_are_refused) {
    fixture f;
    begin(&f);
    log_image *log = make_log(&f, 1, 5, 0);
    make_log(&f, 2, 4, log->chain);
    put_file(&f, 1);
    put_file(&f, 2);
    f.meta.generation = 2;
    REFUSE("after its successor");
    end(&f);
}

VT_TEST(a_file_that_does_not_continue_the_one_before_is_refused) {
    for (int is_wrong = 0; is_wrong < 2; is_wrong++) {
        fixture f;
        uint64_t frames = 0;
        begin(&f);
        log_image *first = make_log(&f, 1, 1, 0);
        add_frame(first, commit_frame(1, 0, 100), 100);
        log_image *second = make_log(&f, 2, 2, first->chain + (uint64_t)is_wrong);
        add_frame(second, commit_frame(2, 1, 10), 10);
        put_file(&f, 1);
        put_file(&f, 2);
        f.meta.generation = 2;
        if (is_wrong)
            REFUSE("does not continue log 1");
        else
            VT_EQ(replay_all(&f, &frames), VS_OK);
        VT_EQ(frames, is_wrong ? 0 : 2);
        end(&f);
    }
}

/* A file behind the newest one: an interrupted take-over leaves copies only. */
VT_TEST(a_stray_file_counts_as_alive_by_a_mark_or_a_frame_written_after_its_own_sync) {
    static const struct {
        bool is_mark;
        uint64_t durable_lsn;
        bool is_alive;
    } cases[] = {{false, 0, false}, {false, 1, false}, {false, 2, true}, {true, 0, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture f;
        uint64_t frames = 0;
        begin(&f);
        log_image *first = make_log(&f, 1, 1, 0);
        add_frame(first, commit_frame(1, 0, 100), 100);
        log_image *stray = make_log(&f, 2, 2, first->chain);
        add_frame(stray, commit_frame(2, 0, 10), 10);
        if (cases[i].is_mark)
            add_frame(stray, mark_frame(2, cases[i].durable_lsn), 0);
        else
            add_frame(stray, commit_frame(3, cases[i].durable_lsn, 10), 10);
        put_file(&f, 1);
        put_file(&f, 2);
        f.meta.generation = 1;
        if (cases[i].is_alive)
            REFUSE("is it older?");
        else
            VT_EQ(replay_all(&f, &frames), VS_OK);
        end(&f);
    }
}

/* ---- frames that store/log never writes ----------------------------------------------------- */

/* One good frame, then this one: it does not count, so the log ends behind the first. */
static void check_ends_before(vsi_frame frame, size_t bytes, const char *what) {
    fixture f;
    uint64_t frames = 0;
    begin(&f);
    log_image *log = make_log(&f, 1, 1, 0);
    add_frame(log, commit_frame(1, 0, 100), 100);
    add_frame(log, frame, bytes);
    put_file(&f, 1);
    f.meta.generation = 1;
    vs_status st = replay_all(&f, &frames);
    if (st != VS_OK || frames != 1)
        vt_fail(__FILE__, __LINE__, "%s: status %d, %d frames", what, st, (int)frames);
    f.meta.durable_lsn = 2; /* it should be there */
    st = replay_all(&f, &frames);
    if (st != VS_ERR_CORRUPT)
        vt_fail(__FILE__, __LINE__, "%s: status %d although frame 2 was durable", what, st);
    end(&f);
}

VT_TEST(a_frame_that_contradicts_its_place_is_the_end_of_the_log) {
    check_ends_before(commit_frame(3, 0, 10), 10, "a number is left out");
    check_ends_before(commit_frame(1, 0, 10), 10, "a number comes twice");
    vsi_frame mark = mark_frame(2, 0);
    check_ends_before(mark, 0, "a mark of a frame to come");
    mark = mark_frame(1, 0);
    mark.payload_bytes = 10;
    check_ends_before(mark, 10, "a mark with a payload");
    check_ends_before(commit_frame(2, 0, 64), 20, "a payload beyond the file");
    check_ends_before(commit_frame(2, 0, 9), 10, "a payload with another hash");
}

VT_TEST(a_frame_that_calls_itself_durable_is_damage) {
    fixture f;
    begin(&f);
    log_image *log = make_log(&f, 1, 1, 0);
    add_frame(log, commit_frame(1, 0, 100), 100);
    add_frame(log, commit_frame(2, 2, 10), 10);
    put_file(&f, 1);
    f.meta.generation = 1;
    REFUSE("frame 2 at byte");
    end(&f);
}

/* Also for who looks at headers alone. */
VT_TEST(a_payload_beyond_the_file_is_missed_without_reading_it) {
    fixture f;
    uint64_t frames = 0;
    begin(&f);
    log_image *log = make_log(&f, 1, 1, 0);
    add_frame(log, commit_frame(1, 0, 100), 100);
    add_frame(log, commit_frame(2, 0, 65), 64);
    log->used -= 64; /* it ends with the header */
    put_file(&f, 1);
    f.meta.generation = 1;
    VT_EQ(try_replay(&f, true, &frames), VS_OK);
    VT_EQ(frames, 1);
    VT_EQ(f.replay.dropped_lsn, 2);
    vsi_replay_free(&f.replay);
    end(&f);
}

/* Behind a torn frame: a later header proves that it was durable, but not one that says nonsense. */
VT_TEST(evidence_that_contradicts_itself_does_not_count) {
    for (uint64_t durable_lsn = 0; durable_lsn < 6; durable_lsn++) {
        fixture f;
        uint64_t frames = 0;
        begin(&f);
        log_image *log = make_log(&f, 1, 1, 0);
        add_frame(log, commit_frame(1, 0, 100), 100);
        add_frame(log, commit_frame(2, 0, 10), 10);
        size_t torn = log->used - 2;
        add_frame(log, commit_frame(4, durable_lsn, 10), 10);
        memset(log->bytes + torn - 126, 0, 126);
        put_file(&f, 1);
        f.meta.generation = 1;
        vs_status st = replay_all(&f, &frames);
        VT_EQ(st, durable_lsn >= 2 && durable_lsn <= 4 ? VS_ERR_CORRUPT : VS_OK);
        VT_EQ(frames, 1);
        end(&f);
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Larger than what is read at once; nothing of it known to be durable. */
static void make_long_log(fixture *f) {
    log_image *first = make_log(f, 1, 1, 0);
    add_frame(first, commit_frame(1, 0, 5000), 5000);
    log_image *log = make_log(f, 2, 2, first->chain);
    for (uint64_t lsn = 2; lsn < 2 + FRAMES; lsn++)
        add_frame(log, commit_frame(lsn, 1, 60000), 60000);
    memset(log->bytes + log->used, 0xaa, 5); /* a torn write */
    log->used += 5;
    log_image *stray = make_log(f, 3, 2 + FRAMES, log->chain);
    add_frame(stray, commit_frame(2 + FRAMES, 0, 60000), 60000);
    for (uint64_t generation = 1; generation <= 3; generation++)
        put_file(f, generation);
    f->meta.generation = 2;
}

/* All frames, then those that may not be durable once more. */
static vs_status read_twice(fixture *f) {
    uint64_t frames = 0;
    vs_status st = try_replay(f, false, &frames);
    VT_CHECK(st != VS_OK || frames == FRAMES + 1 || device.short_at || device.change_at);
    for (uint64_t lsn = f->replay.durable_lsn + 1; st == VS_OK && lsn < f->replay.next_lsn; lsn++) {
        vsi_frame frame;
        vsi_bytes payload = {0};
        st = vsi_replay_reread(&f->err, &f->replay, lsn, &frame, &payload);
        VT_CHECK(st != VS_OK || (frame.lsn == lsn && payload.bytes == 60000));
    }
    vsi_replay_free(&f->replay);
    return st;
}

VT_TEST(every_read_that_fails_is_reported) {
    fixture f;
    begin(&f);
    make_long_log(&f);
    uint64_t failed = 0;
    for (uint64_t at = 1;; at++, failed++) {
        device.reads = 0;
        device.fail_at = at;
        vs_status st = read_twice(&f);
        VT_EQ(st, device.reads >= at ? VS_ERR_IO : VS_OK);
        if (st == VS_OK)
            break;
    }
    VT_CHECK(failed > 8); /* three headers, each file, the last one twice */
    end(&f);
}

VT_TEST(every_allocation_that_fails_is_reported) {
    fixture f;
    begin(&f);
    make_long_log(&f);
    for (uint64_t at = 1;; at++) {
        uint64_t failures = f.allocator.failures;
        f.allocator.fail_at = f.allocator.calls + at;
        vs_status st = read_twice(&f);
        f.allocator.fail_at = 0;
        VT_EQ(st, f.allocator.failures > failures ? VS_ERR_NOMEM : VS_OK);
        if (st == VS_OK)
            break;
    }
    end(&f);
}

/* Somebody cuts the file off while it is read: damage of what was durable, else the end, but no frame that is
 * not there. */
VT_TEST(a_file_that_gets_shorter_while_it_is_read_shows_no_frame_that_is_gone) {
    fixture f;
    begin(&f);
    make_long_log(&f);
    for (uint64_t at = 1;; at++) {
        device.reads = 0;
        device.short_at = at;
        vs_status st = read_twice(&f);
        VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
        if (device.reads < at)
            break;
    }
    end(&f);
}

VT_TEST(a_frame_that_changed_since_it_was_read_is_damage) {
    fixture f;
    uint64_t changed = 0;
    begin(&f);
    for (uint64_t at = 1;; at++) {
        make_long_log(&f);
        device.reads = 0;
        device.change_at = at;
        vs_status st = read_twice(&f);
        VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
        changed += st == VS_ERR_CORRUPT && strstr(f.err.text, "changed while it was read");
        if (device.reads < at)
            break;
    }
    VT_CHECK(changed > 0);
    end(&f);
}
