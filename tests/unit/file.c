/* file.c - whole transfers, retries and messages, over a file system that does what it is told. */
#include "os/file.h"
#include "vt.h"

/* ---- a file system to order ----------------------------------------------------------------- */

enum { STUB_BYTES = 4096 };

/* One file in memory. Every call but close obeys the orders below. */
typedef struct stub {
    uint8_t data[STUB_BYTES];
    size_t bytes;

    uint32_t interrupts; /* so many calls are interrupted first */
    vs_status status;    /* then calls fail with it, unless it is VS_OK */
    const char *reason;
    size_t chunk;         /* a transfer moves at most so many bytes */
    size_t stop_at;       /* and from this offset on none */
    uint32_t interleaved; /* so many interrupts before each chunk */
    uint32_t waiting;     /* of them still to come */
    vs_device_info device;

    uint32_t calls, opens, closes;
    uint32_t mode;
    int lock_kind;
    uint64_t truncated_to;
    char path[VSI_PATH_BYTES_MAX];
} stub;

/* What a call returns before it does anything. */
static vs_status obey(stub *s, char *why) {
    s->calls++;
    if (s->interrupts > 0) {
        s->interrupts--;
        return VS_ERR_INTERRUPTED;
    }
    if (s->status != VS_OK && s->reason)
        strcpy(why, s->reason);
    return s->status;
}

static vs_status stub_full_path(void *ctx, const char *path, char *out, size_t out_bytes,
                                char *why) {
    vs_status st = obey(ctx, why);
    if (st == VS_OK)
        snprintf(out, out_bytes, "/full/%s", path);
    return st;
}

static vs_status stub_open(void *ctx, const char *path, uint32_t mode, void **out_file, char *why) {
    stub *s = ctx;
    vs_status st = obey(s, why);
    if (st != VS_OK)
        return st;
    snprintf(s->path, sizeof s->path, "%s", path);
    s->mode = mode;
    s->opens++;
    *out_file = s;
    return VS_OK;
}

static void stub_close(void *ctx, void *file) {
    stub *s = ctx;
    VT_CHECK(file == s);
    s->closes++;
}

/* How many bytes a transfer may move. */
static size_t portion(const stub *s, size_t bytes, uint64_t offset) {
    size_t chunk = s->chunk ? s->chunk : bytes;
    return offset >= s->stop_at ? 0 : bytes < chunk ? bytes : chunk;
}

/* The interrupts before each chunk. */
static vs_status obey_transfer(stub *s, char *why) {
    if (s->waiting > 0) {
        s->waiting--;
        s->calls++;
        return VS_ERR_INTERRUPTED;
    }
    s->waiting = s->interleaved;
    return obey(s, why);
}

static vs_status stub_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                           size_t *out_bytes, char *why) {
    stub *s = ctx;
    VT_CHECK(file == s);
    vs_status st = obey_transfer(s, why);
    if (st != VS_OK)
        return st;
    size_t left = offset < s->bytes ? s->bytes - (size_t)offset : 0;
    size_t n = portion(s, bytes, offset);
    *out_bytes = n < left ? n : left;
    if (*out_bytes)
        memcpy(buf, s->data + offset, *out_bytes);
    return VS_OK;
}

static vs_status stub_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    stub *s = ctx;
    VT_CHECK(file == s);
    vs_status st = obey_transfer(s, why);
    if (st != VS_OK)
        return st;
    size_t n = portion(s, bytes, offset);
    VT_CHECK(offset + n <= STUB_BYTES);
    memcpy(s->data + offset, buf, n);
    s->bytes = offset + n > s->bytes ? (size_t)offset + n : s->bytes;
    *out_bytes = n;
    return VS_OK;
}

static vs_status stub_file_size(void *ctx, void *file, uint64_t *out_bytes, char *why) {
    stub *s = ctx;
    VT_CHECK(file == s);
    vs_status st = obey(s, why);
    if (st == VS_OK)
        *out_bytes = s->bytes;
    return st;
}

static vs_status stub_truncate(void *ctx, void *file, uint64_t bytes, char *why) {
    stub *s = ctx;
    VT_CHECK(file == s);
    vs_status st = obey(s, why);
    if (st == VS_OK)
        s->truncated_to = bytes;
    return st;
}

static vs_status stub_sync(void *ctx, void *file, char *why) {
    VT_CHECK(file == ctx);
    return obey(ctx, why);
}

static vs_status stub_sync_dir(void *ctx, const char *path, char *why) {
    stub *s = ctx;
    snprintf(s->path, sizeof s->path, "%s", path);
    return obey(ctx, why);
}

static vs_status stub_lock(void *ctx, void *file, int kind, char *why) {
    stub *s = ctx;
    VT_CHECK(file == s);
    vs_status st = obey(s, why);
    if (st == VS_OK)
        s->lock_kind = kind;
    return st;
}

static vs_status stub_remove(void *ctx, const char *path, char *why) {
    stub *s = ctx;
    snprintf(s->path, sizeof s->path, "%s", path);
    return obey(ctx, why);
}

static vs_status stub_device_info(void *ctx, void *file, vs_device_info *out, char *why) {
    stub *s = ctx;
    VT_CHECK(file == s);
    vs_status st = obey(s, why);
    if (st == VS_OK)
        *out = s->device;
    return st;
}

static vs_status stub_random(void *ctx, void *buf, size_t bytes, char *why) {
    vs_status st = obey(ctx, why);
    if (st == VS_OK)
        memset(buf, 0x77, bytes);
    return st;
}

/* ---- fixture -------------------------------------------------------------------------------- */

#define PATH "some-name.vs"

typedef struct fixture {
    stub s;
    vs_vfs vfs;
    vt_allocator allocator;
    vsi_mem mem;
    vsi_file file;
    vsi_err err;
} fixture;

static void begin_closed(fixture *f) {
    memset(f, 0, sizeof *f);
    f->s.stop_at = SIZE_MAX;
    f->s.device = (vs_device_info){512, 4096};
    f->vfs = (vs_vfs){.size = sizeof f->vfs,
                      .ctx = &f->s,
                      .full_path = stub_full_path,
                      .open = stub_open,
                      .close = stub_close,
                      .read = stub_read,
                      .write = stub_write,
                      .file_size = stub_file_size,
                      .truncate = stub_truncate,
                      .sync = stub_sync,
                      .sync_dir = stub_sync_dir,
                      .lock = stub_lock,
                      .remove = stub_remove,
                      .device_info = stub_device_info,
                      .random = stub_random};
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
}

static void begin(fixture *f) {
    begin_closed(f);
    VT_EQ(vsi_file_open(&f->err, &f->mem, &f->vfs, PATH, VS_VFS_WRITE, &f->file), VS_OK);
    f->s.calls = 0;
}

static void end(fixture *f) {
    vsi_file_close(&f->file);
    VT_CHECK(!vsi_file_is_open(&f->file));
    VT_EQ(f->s.opens, f->s.closes);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

/* ---- every call ----------------------------------------------------------------------------- */

static vs_status do_open(fixture *f) {
    vsi_file file;
    vs_status st = vsi_file_open(&f->err, &f->mem, &f->vfs, PATH, VS_VFS_READ, &file);
    VT_EQ(vsi_file_is_open(&file), st == VS_OK);
    vsi_file_close(&file);
    return st;
}

static vs_status do_read(fixture *f) {
    uint8_t buf[8];
    size_t bytes;
    return vsi_file_read(&f->err, &f->file, buf, sizeof buf, 0, &bytes);
}

static vs_status do_write(fixture *f) {
    return vsi_file_write(&f->err, &f->file, "12345678", 8, 0);
}

static vs_status do_size(fixture *f) {
    uint64_t bytes;
    return vsi_file_size(&f->err, &f->file, &bytes);
}

static vs_status do_truncate(fixture *f) {
    return vsi_file_truncate(&f->err, &f->file, 3);
}

static vs_status do_sync(fixture *f) {
    return vsi_file_sync(&f->err, &f->file);
}

static vs_status do_lock(fixture *f) {
    return vsi_file_lock(&f->err, &f->file, VS_VFS_SHARED);
}

static vs_status do_device_info(fixture *f) {
    vs_device_info info;
    return vsi_file_device_info(&f->err, &f->file, &info);
}

static vs_status do_remove(fixture *f) {
    return vsi_os_remove(&f->err, &f->vfs, PATH);
}

static vs_status do_sync_dir(fixture *f) {
    return vsi_os_sync_dir(&f->err, &f->vfs, PATH);
}

static vs_status do_full_path(fixture *f) {
    char out[VSI_PATH_BYTES_MAX];
    return vsi_os_full_path(&f->err, &f->vfs, PATH, out, sizeof out);
}

static vs_status do_random(fixture *f) {
    uint8_t buf[16];
    return vsi_os_random(&f->err, &f->vfs, buf, sizeof buf);
}

static const struct {
    vs_status (*call)(fixture *f);
    vs_status extended; /* of an input or output failure */
    bool names_path;
} calls[] = {
    {do_open, VS_ERR_IO_OPEN, true},         {do_read, VS_ERR_IO_READ, true},
    {do_write, VS_ERR_IO_WRITE, true},       {do_size, VS_ERR_IO_SIZE, true},
    {do_truncate, VS_ERR_IO_TRUNCATE, true}, {do_sync, VS_ERR_IO_SYNC, true},
    {do_lock, VS_ERR_IO_LOCK, true},         {do_remove, VS_ERR_IO_DELETE, true},
    {do_sync_dir, VS_ERR_IO_SYNC_DIR, true}, {do_full_path, VS_ERR_IO_OPEN, true},
    {do_device_info, VS_ERR_IO, true},       {do_random, VS_ERR_IO, false},
};

enum { CALLS = sizeof calls / sizeof calls[0] };

VT_TEST(every_call_works_when_nothing_goes_wrong) {
    for (int i = 0; i < CALLS; i++) {
        fixture f;
        begin(&f);
        VT_EQ(calls[i].call(&f), VS_OK);
        VT_EQ(f.err.code, VS_OK);
        VT_STR(f.err.text, "");
        end(&f);
    }
}

VT_TEST(a_call_that_is_interrupted_is_made_again) {
    for (int i = 0; i < CALLS; i++)
        for (uint32_t interrupts = 1; interrupts < VSI_INTERRUPTS_MAX; interrupts += 49) {
            fixture f;
            begin(&f);
            f.s.interrupts = interrupts;
            VT_EQ(calls[i].call(&f), VS_OK);
            VT_EQ(f.s.interrupts, 0);
            end(&f);
        }
}

VT_TEST(a_call_that_is_interrupted_for_ever_fails_with_an_io_error) {
    for (int i = 0; i < CALLS; i++) {
        fixture f;
        begin(&f);
        f.s.interrupts = UINT32_MAX;
        VT_EQ(calls[i].call(&f), VS_ERR_IO);
        VT_EQ(f.err.code & 0xff, VS_ERR_IO);
        VT_EQ(f.s.calls, VSI_INTERRUPTS_MAX);
        VT_CONTAINS(f.err.text, "interrupted");
        f.s.interrupts = 0;
        end(&f);
    }
}

VT_TEST(a_failure_names_the_path_the_reason_and_the_kind_of_call) {
    for (int i = 0; i < CALLS; i++) {
        fixture f;
        begin(&f);
        f.s.status = VS_ERR_IO;
        f.s.reason = "the cable is out";
        VT_EQ(calls[i].call(&f), VS_ERR_IO);
        VT_EQ(f.err.code, calls[i].extended);
        VT_CONTAINS(f.err.text, "the cable is out");
        if (calls[i].names_path)
            VT_CONTAINS(f.err.text, PATH);
        f.s.status = VS_OK;
        end(&f);
    }
}

VT_TEST(a_failure_that_is_no_io_error_keeps_its_code) {
    static const vs_status kept[] = {VS_ERR_FULL,    VS_ERR_DENIED, VS_ERR_READONLY,
                                     VS_ERR_BUSY,    VS_ERR_EXISTS, VS_ERR_NOT_FOUND,
                                     VS_ERR_INVALID, VS_ERR_NOMEM};
    for (int i = 0; i < CALLS; i++)
        for (size_t k = 0; k < sizeof kept / sizeof kept[0]; k++) {
            fixture f;
            begin(&f);
            f.s.status = kept[k];
            VT_EQ(calls[i].call(&f), kept[k]);
            VT_EQ(f.err.code & 0xff, kept[k]);
            VT_CHECK(f.err.text[0]);
            f.s.status = VS_OK;
            end(&f);
        }
}

VT_TEST(a_failure_is_tried_once) {
    for (int i = 0; i < CALLS; i++) {
        fixture f;
        begin(&f);
        f.s.status = VS_ERR_IO;
        VT_EQ(calls[i].call(&f), VS_ERR_IO);
        VT_EQ(f.s.calls, 1);
        f.s.status = VS_OK;
        end(&f);
    }
}

VT_TEST(a_reason_as_long_as_its_buffer_makes_a_message_that_fits) {
    char reason[VS_VFS_WHY_BYTES];
    memset(reason, 'r', sizeof reason - 1);
    reason[sizeof reason - 1] = 0;
    for (int i = 0; i < CALLS; i++) {
        fixture f;
        begin(&f);
        f.s.status = VS_ERR_IO;
        f.s.reason = reason;
        VT_EQ(calls[i].call(&f), VS_ERR_IO);
        VT_CHECK(memchr(f.err.text, 0, sizeof f.err.text));
        VT_CONTAINS(f.err.text, reason);
        f.s.status = VS_OK;
        end(&f);
    }
}

/* ---- opening -------------------------------------------------------------------------------- */

VT_TEST(open_hands_the_path_and_the_mode_to_the_vfs) {
    fixture f;
    begin_closed(&f);
    uint32_t mode = VS_VFS_WRITE | VS_VFS_CREATE | VS_VFS_EXCLUSIVE;
    VT_EQ(vsi_file_open(&f.err, &f.mem, &f.vfs, PATH, mode, &f.file), VS_OK);
    VT_STR(f.s.path, PATH);
    VT_EQ(f.s.mode, mode);
    VT_CHECK(vsi_file_is_open(&f.file));
    VT_CHECK(f.file.vfs == &f.vfs);
    end(&f);
}

static bool is_zero(const void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (((const uint8_t *)data)[i])
            return false;
    return true;
}

VT_TEST(a_file_that_cannot_be_opened_is_all_zero) {
    fixture f;
    begin_closed(&f);
    memset(&f.file, 0x5a, sizeof f.file);
    f.s.status = VS_ERR_NOT_FOUND;
    VT_EQ(vsi_file_open(&f.err, &f.mem, &f.vfs, PATH, VS_VFS_READ, &f.file), VS_ERR_NOT_FOUND);
    VT_CHECK(is_zero(&f.file, sizeof f.file));
    end(&f);
}

VT_TEST(open_without_memory_leaves_nothing_open) {
    fixture f;
    begin_closed(&f);
    memset(&f.file, 0x5a, sizeof f.file);
    f.allocator.fail_at = 1;
    VT_EQ(vsi_file_open(&f.err, &f.mem, &f.vfs, PATH, VS_VFS_READ, &f.file), VS_ERR_NOMEM);
    VT_EQ(f.err.code, VS_ERR_NOMEM);
    VT_EQ(f.allocator.failures, 1);
    VT_CHECK(is_zero(&f.file, sizeof f.file));
    end(&f);
}

VT_TEST(an_open_file_remembers_its_name_by_itself) {
    fixture f;
    char path[] = PATH;
    begin_closed(&f);
    VT_EQ(vsi_file_open(&f.err, &f.mem, &f.vfs, path, VS_VFS_READ, &f.file), VS_OK);
    memset(path, 'X', sizeof path - 1);
    f.s.status = VS_ERR_IO;
    VT_EQ(do_sync(&f), VS_ERR_IO);
    VT_CONTAINS(f.err.text, PATH);
    end(&f);
}

VT_TEST(closing_a_file_that_is_not_open_does_nothing) {
    fixture f;
    begin_closed(&f);
    VT_CHECK(!vsi_file_is_open(&f.file));
    vsi_file_close(&f.file);
    vsi_file_close(&f.file);
    VT_EQ(f.s.closes, 0);
    end(&f);
}

VT_TEST(closing_twice_closes_once) {
    fixture f;
    begin(&f);
    vsi_file_close(&f.file);
    vsi_file_close(&f.file);
    VT_EQ(f.s.closes, 1);
    end(&f);
}

VT_TEST(a_message_about_a_path_longer_than_the_message_is_cut_off) {
    fixture f;
    char path[2000];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    begin_closed(&f);
    f.s.status = VS_ERR_IO;
    VT_EQ(vsi_file_open(&f.err, &f.mem, &f.vfs, path, VS_VFS_READ, &f.file), VS_ERR_IO);
    VT_EQ(f.err.code, VS_ERR_IO_OPEN);
    VT_CHECK(memchr(f.err.text, 0, sizeof f.err.text));
    end(&f);
}

/* ---- transfers ------------------------------------------------------------------------------ */

static void fill(stub *s, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        s->data[i] = (uint8_t)(i * 31 + 7);
    s->bytes = bytes;
}

VT_TEST(a_read_in_pieces_of_any_size_is_whole) {
    for (size_t chunk = 1; chunk <= 1000; chunk = chunk * 3 + 1) {
        fixture f;
        uint8_t buf[1002];
        size_t bytes = 0;
        begin(&f);
        fill(&f.s, 2000);
        f.s.chunk = chunk;
        memset(buf, 0xee, sizeof buf);
        VT_EQ(vsi_file_read(&f.err, &f.file, buf + 1, 1000, 500, &bytes), VS_OK);
        VT_EQ(bytes, 1000);
        VT_CHECK(!memcmp(buf + 1, f.s.data + 500, 1000));
        VT_EQ(buf[0], 0xee);
        VT_EQ(buf[1001], 0xee);
        end(&f);
    }
}

VT_TEST(a_read_tells_where_the_file_ends) {
    static const struct {
        uint64_t offset;
        size_t expected;
    } end_of_file[] = {{0, 64}, {937, 63}, {936, 64}, {999, 1}, {1000, 0}, {5000, 0}};
    for (size_t i = 0; i < sizeof end_of_file / sizeof end_of_file[0]; i++)
        for (size_t chunk = 0; chunk < 50; chunk += 7) {
            fixture f;
            uint8_t buf[64];
            size_t bytes = 12345;
            begin(&f);
            fill(&f.s, 1000);
            f.s.chunk = chunk;
            uint64_t offset = end_of_file[i].offset;
            VT_EQ(vsi_file_read(&f.err, &f.file, buf, sizeof buf, offset, &bytes), VS_OK);
            VT_EQ(bytes, end_of_file[i].expected);
            VT_CHECK(!bytes || !memcmp(buf, f.s.data + offset, bytes));
            end(&f);
        }
}

VT_TEST(a_write_in_pieces_of_any_size_is_whole) {
    for (size_t chunk = 1; chunk <= 1000; chunk = chunk * 3 + 1) {
        fixture f;
        uint8_t buf[1000];
        begin(&f);
        for (size_t i = 0; i < sizeof buf; i++)
            buf[i] = (uint8_t)(i * 13 + 1);
        f.s.chunk = chunk;
        VT_EQ(vsi_file_write(&f.err, &f.file, buf, sizeof buf, 777), VS_OK);
        VT_EQ(f.s.bytes, 1777);
        VT_CHECK(!memcmp(f.s.data + 777, buf, sizeof buf));
        end(&f);
    }
}

VT_TEST(interrupts_are_counted_anew_after_each_piece) {
    fixture f;
    uint8_t buf[40];
    size_t bytes = 0;
    begin(&f);
    fill(&f.s, 40);
    f.s.chunk = 4;
    f.s.interleaved = f.s.waiting = VSI_INTERRUPTS_MAX - 1;
    VT_EQ(vsi_file_read(&f.err, &f.file, buf, sizeof buf, 0, &bytes), VS_OK);
    VT_EQ(bytes, 40);
    VT_CHECK(!memcmp(buf, f.s.data, 40));
    memset(buf, 9, sizeof buf);
    VT_EQ(vsi_file_write(&f.err, &f.file, buf, sizeof buf, 0), VS_OK);
    VT_CHECK(!memcmp(buf, f.s.data, 40));
    end(&f);
}

VT_TEST(a_write_that_makes_no_progress_fails) {
    for (size_t stop_at = 0; stop_at < 8; stop_at += 7) {
        fixture f;
        begin(&f);
        f.s.stop_at = stop_at;
        f.s.chunk = 1;
        VT_EQ(do_write(&f), VS_ERR_IO);
        VT_EQ(f.err.code, VS_ERR_IO_WRITE);
        VT_CONTAINS(f.err.text, PATH);
        VT_CHECK(f.s.calls <= stop_at + VSI_INTERRUPTS_MAX);
        end(&f);
    }
}

VT_TEST(a_failure_in_the_middle_of_a_transfer_is_reported) {
    fixture f;
    uint8_t buf[8];
    size_t bytes = 12345;
    begin(&f);
    fill(&f.s, 100);
    f.s.status = VS_ERR_FULL;
    f.s.chunk = 3;
    VT_EQ(do_write(&f), VS_ERR_FULL);
    f.s.status = VS_ERR_IO;
    VT_EQ(vsi_file_read(&f.err, &f.file, buf, sizeof buf, 0, &bytes), VS_ERR_IO);
    VT_EQ(bytes, 12345); /* out-parameters are written on success only */
    end(&f);
}

VT_TEST(a_write_of_no_bytes_succeeds) {
    fixture f;
    begin(&f);
    f.s.stop_at = 0;
    VT_EQ(vsi_file_write(&f.err, &f.file, "", 0, 10), VS_OK);
    VT_EQ(f.s.bytes, 0);
    end(&f);
}

/* ---- what comes back ------------------------------------------------------------------------ */

VT_TEST(size_truncate_and_lock_pass_their_arguments) {
    fixture f;
    uint64_t bytes = 0;
    begin(&f);
    fill(&f.s, 321);
    VT_EQ(vsi_file_size(&f.err, &f.file, &bytes), VS_OK);
    VT_EQ(bytes, 321);
    VT_EQ(vsi_file_truncate(&f.err, &f.file, 0x123456789abc), VS_OK);
    VT_EQ(f.s.truncated_to, 0x123456789abc);
    VT_EQ(vsi_file_lock(&f.err, &f.file, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    VT_EQ(f.s.lock_kind, VS_VFS_EXCLUSIVE_LOCK);
    VT_EQ(vsi_file_lock(&f.err, &f.file, VS_VFS_UNLOCK), VS_OK);
    VT_EQ(f.s.lock_kind, VS_VFS_UNLOCK);
    end(&f);
}

VT_TEST(full_path_and_random_come_from_the_vfs) {
    fixture f;
    char out[64];
    uint8_t buf[17] = {0};
    begin(&f);
    VT_EQ(vsi_os_full_path(&f.err, &f.vfs, "x", out, sizeof out), VS_OK);
    VT_STR(out, "/full/x");
    VT_EQ(vsi_os_random(&f.err, &f.vfs, buf, 16), VS_OK);
    VT_EQ(buf[0], 0x77);
    VT_EQ(buf[15], 0x77);
    VT_EQ(buf[16], 0);
    end(&f);
}

static bool is_sane(uint32_t bytes) {
    return bytes >= 512 && bytes <= 65536 && (bytes & (bytes - 1)) == 0;
}

VT_TEST(device_sizes_are_powers_of_two_in_range_whatever_the_vfs_says) {
    static const uint32_t said[] = {0,     1,        2,        3,         511,   512,
                                    513,   1000,     4096,     12288,     65535, 65536,
                                    65537, 1u << 20, 1u << 31, UINT32_MAX};
    enum { SAID = sizeof said / sizeof said[0] };
    for (int i = 0; i < SAID * SAID; i++) {
        fixture f;
        vs_device_info info = {0, 0};
        begin(&f);
        f.s.device = (vs_device_info){said[i / SAID], said[i % SAID]};
        VT_EQ(vsi_file_device_info(&f.err, &f.file, &info), VS_OK);
        VT_CHECK(is_sane(info.sector_bytes));
        VT_CHECK(is_sane(info.blast_bytes));
        if (is_sane(f.s.device.sector_bytes))
            VT_EQ(info.sector_bytes, f.s.device.sector_bytes);
        if (is_sane(f.s.device.blast_bytes))
            VT_EQ(info.blast_bytes, f.s.device.blast_bytes);
        end(&f);
    }
}

VT_TEST(a_device_size_in_range_is_never_made_smaller) {
    for (uint32_t bytes = 512; bytes <= 65536; bytes += 97) {
        fixture f;
        vs_device_info info = {0, 0};
        begin(&f);
        f.s.device = (vs_device_info){bytes, bytes};
        VT_EQ(vsi_file_device_info(&f.err, &f.file, &info), VS_OK);
        VT_CHECK(info.sector_bytes >= bytes);
        VT_CHECK(info.blast_bytes >= bytes);
        end(&f);
    }
}
