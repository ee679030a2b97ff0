/* memory_vfs.c - the file system in memory keeps the contract of every vs_vfs. */
#include "os/memory.h"
#include <pthread.h>
#include "vt.h"

typedef struct fixture {
    vt_allocator allocator;
    vs_vfs *vfs;
    char why[VS_VFS_WHY_BYTES];
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    VT_EQ(vsi_memory_vfs_create(&(vs_allocator){&f->allocator, vt_realloc}, &f->vfs), VS_OK);
}

static void end(fixture *f) {
    vsi_memory_vfs_destroy(f->vfs);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(f->allocator.live_bytes, 0);
}

/* ---- short forms ---------------------------------------------------------------------------- */

static vs_status try_open(fixture *f, const char *path, uint32_t mode, void **out_file) {
    return f->vfs->open(f->vfs->ctx, path, mode, out_file, f->why);
}

static void *open_file(fixture *f, const char *path, uint32_t mode) {
    void *file = NULL;
    VT_EQ(try_open(f, path, mode, &file), VS_OK);
    return file;
}

static void *create(fixture *f, const char *path) {
    return open_file(f, path, VS_VFS_WRITE | VS_VFS_CREATE | VS_VFS_EXCLUSIVE);
}

static void close_file(fixture *f, void *file) {
    f->vfs->close(f->vfs->ctx, file);
}

static void expect_open(fixture *f, const char *path, uint32_t mode, vs_status expected) {
    void *file = NULL;
    vs_status st = try_open(f, path, mode, &file);
    if (st == VS_OK)
        close_file(f, file);
    VT_EQ(st, expected);
}

static vs_status try_write(fixture *f, void *file, const void *data, size_t bytes,
                           uint64_t offset) {
    while (bytes > 0) {
        size_t moved = 0;
        vs_status st = f->vfs->write(f->vfs->ctx, file, data, bytes, offset, &moved, f->why);
        if (st != VS_OK)
            return st;
        VT_CHECK(moved > 0 && moved <= bytes);
        data = (const uint8_t *)data + moved;
        offset += moved;
        bytes -= moved;
    }
    return VS_OK;
}

static void write_at(fixture *f, void *file, const void *data, size_t bytes, uint64_t offset) {
    VT_EQ(try_write(f, file, data, bytes, offset), VS_OK);
}

static size_t read_at(fixture *f, void *file, void *data, size_t bytes, uint64_t offset) {
    size_t done = 0, moved = 1;
    while (done < bytes && moved > 0) {
        VT_EQ(f->vfs->read(f->vfs->ctx, file, (uint8_t *)data + done, bytes - done, offset + done,
                           &moved, f->why),
              VS_OK);
        VT_CHECK(moved <= bytes - done);
        done += moved;
    }
    return done;
}

static uint64_t size_of(fixture *f, void *file) {
    uint64_t bytes = UINT64_MAX;
    VT_EQ(f->vfs->file_size(f->vfs->ctx, file, &bytes, f->why), VS_OK);
    return bytes;
}

static vs_status truncate_to(fixture *f, void *file, uint64_t bytes) {
    return f->vfs->truncate(f->vfs->ctx, file, bytes, f->why);
}

static vs_status lock(fixture *f, void *file, int kind) {
    return f->vfs->lock(f->vfs->ctx, file, kind, f->why);
}

static bool is_zero(const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (data[i])
            return false;
    return true;
}

static void fill(uint8_t *data, size_t bytes, uint64_t seed) {
    vt_rng rng = {seed};
    for (size_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)vt_random(&rng);
}

/* ---- creating and destroying ---------------------------------------------------------------- */

VT_TEST(destroying_null_does_nothing) {
    vsi_memory_vfs_destroy(NULL);
}

VT_TEST(a_new_file_system_is_empty_and_complete) {
    fixture f;
    begin(&f);
    VT_EQ(f.vfs->size, sizeof(vs_vfs));
    VT_CHECK(f.vfs->full_path && f.vfs->open && f.vfs->close && f.vfs->read && f.vfs->write);
    VT_CHECK(f.vfs->file_size && f.vfs->truncate && f.vfs->allocate && f.vfs->sync);
    VT_CHECK(f.vfs->sync_dir && f.vfs->map && f.vfs->unmap && f.vfs->lock && f.vfs->remove);
    VT_CHECK(f.vfs->device_info && f.vfs->wall_us && f.vfs->ticks_us && f.vfs->random);
    VT_CHECK(f.vfs->process_id);
    expect_open(&f, "a", VS_VFS_READ, VS_ERR_NOT_FOUND);
    end(&f);
}

VT_TEST(two_file_systems_share_nothing) {
    fixture a, b;
    begin(&a);
    begin(&b);
    close_file(&a, create(&a, "file"));
    expect_open(&b, "file", VS_VFS_READ, VS_ERR_NOT_FOUND);
    end(&a);
    expect_open(&b, "file", VS_VFS_WRITE | VS_VFS_CREATE, VS_OK);
    end(&b);
}

VT_TEST(the_allocator_is_copied) {
    vt_allocator allocator = {0};
    vs_allocator hook = {&allocator, vt_realloc};
    vs_vfs *vfs = NULL;
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    VT_EQ(vsi_memory_vfs_create(&hook, &vfs), VS_OK);
    memset(&hook, 0, sizeof hook);
    VT_EQ(vfs->open(vfs->ctx, "a", VS_VFS_WRITE | VS_VFS_CREATE, &file, why), VS_OK);
    vfs->close(vfs->ctx, file);
    vsi_memory_vfs_destroy(vfs);
    VT_EQ(allocator.live_blocks, 0);
}

VT_TEST(without_memory_no_file_system_is_made_and_nothing_leaks) {
    for (uint64_t at = 1;; at++) {
        vt_allocator allocator = {.fail_at = at};
        vs_vfs *vfs = NULL;
        vs_status st = vsi_memory_vfs_create(&(vs_allocator){&allocator, vt_realloc}, &vfs);
        if (st == VS_OK) {
            VT_CHECK(at > 1);
            vsi_memory_vfs_destroy(vfs);
            break;
        }
        VT_EQ(st, VS_ERR_NOMEM);
        VT_CHECK(!vfs);
        VT_EQ(allocator.live_blocks, 0);
    }
}

/* ---- opening -------------------------------------------------------------------------------- */

VT_TEST(a_missing_file_is_made_only_when_asked) {
    fixture f;
    begin(&f);
    expect_open(&f, "made", VS_VFS_READ, VS_ERR_NOT_FOUND);
    expect_open(&f, "made", VS_VFS_WRITE, VS_ERR_NOT_FOUND);
    expect_open(&f, "made", VS_VFS_WRITE | VS_VFS_CREATE, VS_OK);
    expect_open(&f, "made", VS_VFS_READ, VS_OK);
    expect_open(&f, "made", VS_VFS_WRITE, VS_OK);
    expect_open(&f, "mad", VS_VFS_READ, VS_ERR_NOT_FOUND);
    expect_open(&f, "made2", VS_VFS_READ, VS_ERR_NOT_FOUND);
    end(&f);
}

VT_TEST(exclusive_creation_refuses_a_file_that_is_there) {
    fixture f;
    begin(&f);
    uint32_t mode = VS_VFS_WRITE | VS_VFS_CREATE | VS_VFS_EXCLUSIVE;
    expect_open(&f, "x", mode, VS_OK);
    expect_open(&f, "x", mode, VS_ERR_EXISTS);
    VT_EQ(f.vfs->remove(f.vfs->ctx, "x", f.why), VS_OK);
    expect_open(&f, "x", mode, VS_OK);
    end(&f);
}

VT_TEST(files_outlive_their_handles) {
    fixture f;
    char out[5];
    begin(&f);
    void *file = create(&f, "kept");
    write_at(&f, file, "bytes", 5, 0);
    close_file(&f, file);
    file = open_file(&f, "kept", VS_VFS_WRITE | VS_VFS_CREATE);
    VT_EQ(read_at(&f, file, out, 5, 0), 5);
    VT_CHECK(!memcmp(out, "bytes", 5));
    close_file(&f, file);
    end(&f);
}

VT_TEST(two_handles_of_a_file_see_each_others_writes) {
    fixture f;
    char out[3];
    begin(&f);
    void *a = create(&f, "both"), *b = open_file(&f, "both", VS_VFS_READ);
    write_at(&f, a, "abc", 3, 0);
    VT_EQ(size_of(&f, b), 3);
    VT_EQ(read_at(&f, b, out, 3, 0), 3);
    VT_CHECK(!memcmp(out, "abc", 3));
    close_file(&f, a);
    VT_EQ(read_at(&f, b, out, 3, 0), 3);
    close_file(&f, b);
    end(&f);
}

VT_TEST(a_file_opened_for_reading_cannot_be_changed) {
    fixture f;
    begin(&f);
    void *file = create(&f, "read-only");
    write_at(&f, file, "abc", 3, 0);
    close_file(&f, file);
    file = open_file(&f, "read-only", VS_VFS_READ);
    VT_CHECK(try_write(&f, file, "xyz", 3, 0) != VS_OK);
    VT_CHECK(truncate_to(&f, file, 1) != VS_OK);
    VT_CHECK(f.vfs->allocate(f.vfs->ctx, file, 100, f.why) != VS_OK);
    VT_EQ(size_of(&f, file), 3);
    close_file(&f, file);
    end(&f);
}

VT_TEST(many_files_keep_apart) {
    enum { FILES = 200 };
    fixture f;
    begin(&f);
    for (int i = 0; i < FILES; i++) {
        char path[32];
        snprintf(path, sizeof path, "file-%d", i);
        void *file = create(&f, path);
        write_at(&f, file, path, sizeof path, (uint64_t)i);
        close_file(&f, file);
    }
    for (int i = FILES - 1; i >= 0; i--) {
        char path[32], out[32];
        snprintf(path, sizeof path, "file-%d", i);
        void *file = open_file(&f, path, VS_VFS_READ);
        VT_EQ(size_of(&f, file), i + 32);
        VT_EQ(read_at(&f, file, out, 32, (uint64_t)i), 32);
        VT_STR(out, path);
        close_file(&f, file);
    }
    end(&f);
}

VT_TEST(a_full_path_is_its_own_full_path_and_names_the_same_file) {
    static const char *const path[] = {"name", "folder/name", "/name", "/a/b/name",
                                       "name with space"};
    fixture f;
    begin(&f);
    for (size_t i = 0; i < sizeof path / sizeof path[0]; i++) {
        char once[256], twice[256];
        VT_EQ(f.vfs->full_path(f.vfs->ctx, path[i], once, sizeof once, f.why), VS_OK);
        VT_EQ(f.vfs->full_path(f.vfs->ctx, once, twice, sizeof twice, f.why), VS_OK);
        VT_STR(twice, once);
        close_file(&f, create(&f, once));
        VT_EQ(f.vfs->remove(f.vfs->ctx, twice, f.why), VS_OK);
    }
    end(&f);
}

VT_TEST(a_full_path_that_does_not_fit_is_refused_and_nothing_is_written_behind_it) {
    fixture f;
    char out[256];
    begin(&f);
    VT_EQ(f.vfs->full_path(f.vfs->ctx, "a-long-name", out, sizeof out, f.why), VS_OK);
    size_t need = strlen(out) + 1;
    for (size_t room = 1; room < need; room++) {
        memset(out, 0x5a, sizeof out);
        VT_CHECK(f.vfs->full_path(f.vfs->ctx, "a-long-name", out, room, f.why) != VS_OK);
        VT_EQ(out[room], 0x5a);
    }
    memset(out, 0x5a, sizeof out);
    VT_EQ(f.vfs->full_path(f.vfs->ctx, "a-long-name", out, need, f.why), VS_OK);
    VT_EQ(out[need], 0x5a);
    end(&f);
}

/* ---- reading and writing -------------------------------------------------------------------- */

VT_TEST(random_writes_truncations_and_reads_agree_with_a_plain_array) {
    enum { ROOM = 40000 };
    fixture f;
    uint8_t *plain = calloc(1, ROOM), *out = malloc(ROOM), piece[3000];
    uint64_t bytes = 0;
    vt_rng rng = {vt_seed()};
    begin(&f);
    void *file = create(&f, "random");
    for (int round = 0; round < 1000; round++) {
        size_t n = vt_below(&rng, sizeof piece);
        uint64_t at = vt_below(&rng, ROOM - n);
        uint64_t what = vt_below(&rng, 10);
        if (what == 0 && at > 0) {
            VT_EQ(truncate_to(&f, file, at), VS_OK);
            memset(plain + at, 0, ROOM - at);
            bytes = at;
        } else if (what == 1) {
            VT_EQ(f.vfs->allocate(f.vfs->ctx, file, at, f.why), VS_OK);
            bytes = at > bytes ? at : bytes;
        } else if (n > 0) {
            fill(piece, n, vt_random(&rng));
            write_at(&f, file, piece, n, at);
            memcpy(plain + at, piece, n);
            bytes = at + n > bytes ? at + n : bytes;
        }
        VT_EQ(size_of(&f, file), bytes);
        VT_EQ(read_at(&f, file, out, ROOM, 0), bytes);
        VT_CHECK(!memcmp(out, plain, bytes));
    }
    close_file(&f, file);
    end(&f);
    free(plain);
    free(out);
}

VT_TEST(a_read_ends_at_the_end_of_the_file) {
    fixture f;
    uint8_t out[16];
    begin(&f);
    void *file = create(&f, "end");
    VT_EQ(read_at(&f, file, out, 16, 0), 0);
    write_at(&f, file, "0123456789", 10, 0);
    VT_EQ(read_at(&f, file, out, 16, 4), 6);
    VT_CHECK(!memcmp(out, "456789", 6));
    VT_EQ(read_at(&f, file, out, 16, 10), 0);
    VT_EQ(read_at(&f, file, out, 16, (uint64_t)1 << 40), 0);
    VT_EQ(read_at(&f, file, out, 16, UINT64_MAX - 3), 0);
    close_file(&f, file);
    end(&f);
}

VT_TEST(a_write_beyond_the_end_leaves_zeros_in_the_gap) {
    fixture f;
    uint8_t out[500000];
    begin(&f);
    void *file = create(&f, "gap");
    write_at(&f, file, "a", 1, 0);
    write_at(&f, file, "b", 1, sizeof out - 1);
    VT_EQ(read_at(&f, file, out, sizeof out, 0), sizeof out);
    VT_EQ(out[0], 'a');
    VT_EQ(out[sizeof out - 1], 'b');
    VT_CHECK(is_zero(out + 1, sizeof out - 2));
    close_file(&f, file);
    end(&f);
}

VT_TEST(what_was_cut_off_is_zero_when_the_file_grows_again) {
    fixture f;
    uint8_t out[300000];
    begin(&f);
    void *file = create(&f, "cut");
    memset(out, 7, sizeof out);
    write_at(&f, file, out, sizeof out, 0);
    VT_EQ(truncate_to(&f, file, 40), VS_OK);
    VT_EQ(truncate_to(&f, file, 200000), VS_OK);
    write_at(&f, file, "x", 1, sizeof out - 1);
    VT_EQ(read_at(&f, file, out, sizeof out, 0), sizeof out);
    VT_EQ(out[39], 7);
    VT_CHECK(is_zero(out + 40, sizeof out - 41));
    close_file(&f, file);
    end(&f);
}

VT_TEST(allocating_less_than_there_is_changes_nothing) {
    fixture f;
    begin(&f);
    void *file = create(&f, "allocated");
    write_at(&f, file, "abcdef", 6, 0);
    VT_EQ(f.vfs->allocate(f.vfs->ctx, file, 3, f.why), VS_OK);
    VT_EQ(size_of(&f, file), 6);
    VT_EQ(f.vfs->allocate(f.vfs->ctx, file, 9, f.why), VS_OK);
    VT_EQ(size_of(&f, file), 9);
    close_file(&f, file);
    end(&f);
}

VT_TEST(sizes_that_no_memory_can_hold_are_refused) {
    static const uint64_t offset[] = {(uint64_t)1 << 62, (uint64_t)1 << 63, UINT64_MAX - 8,
                                      UINT64_MAX - 3, UINT64_MAX};
    fixture f;
    begin(&f);
    void *file = create(&f, "huge");
    write_at(&f, file, "abc", 3, 0);
    f.allocator.fail_at = f.allocator.calls + 1;
    f.allocator.fails_for_ever = true;
    for (size_t i = 0; i < sizeof offset / sizeof offset[0]; i++) {
        VT_CHECK(try_write(&f, file, "12345678", 8, offset[i]) != VS_OK);
        VT_CHECK(truncate_to(&f, file, offset[i]) != VS_OK);
        VT_CHECK(f.vfs->allocate(f.vfs->ctx, file, offset[i], f.why) != VS_OK);
    }
    VT_EQ(size_of(&f, file), 3);
    close_file(&f, file);
    end(&f);
}

VT_TEST(syncs_succeed) {
    fixture f;
    begin(&f);
    void *file = create(&f, "synced");
    VT_EQ(f.vfs->sync(f.vfs->ctx, file, f.why), VS_OK);
    VT_EQ(f.vfs->sync_dir(f.vfs->ctx, "synced", f.why), VS_OK);
    close_file(&f, file);
    end(&f);
}

/* ---- removing ------------------------------------------------------------------------------- */

VT_TEST(a_removed_file_is_gone_and_a_missing_one_is_not_found) {
    fixture f;
    begin(&f);
    close_file(&f, create(&f, "removed"));
    VT_EQ(f.vfs->remove(f.vfs->ctx, "removed", f.why), VS_OK);
    expect_open(&f, "removed", VS_VFS_READ, VS_ERR_NOT_FOUND);
    VT_EQ(f.vfs->remove(f.vfs->ctx, "removed", f.why), VS_ERR_NOT_FOUND);
    end(&f);
}

VT_TEST(removing_files_in_any_order_keeps_the_others) {
    enum { FILES = 30 };
    fixture f;
    bool is_there[FILES];
    vt_rng rng = {vt_seed()};
    begin(&f);
    for (int round = 0; round < 2000; round++) {
        char path[16];
        if (round < FILES)
            is_there[round] = false;
        int i = round < FILES ? round : (int)vt_below(&rng, FILES);
        snprintf(path, sizeof path, "%d", i);
        if (is_there[i])
            VT_EQ(f.vfs->remove(f.vfs->ctx, path, f.why), VS_OK);
        else
            close_file(&f, create(&f, path));
        is_there[i] = !is_there[i];
        for (int k = 0; k < FILES && k <= round; k++) {
            snprintf(path, sizeof path, "%d", k);
            expect_open(&f, path, VS_VFS_READ, is_there[k] ? VS_OK : VS_ERR_NOT_FOUND);
        }
    }
    end(&f);
}

VT_TEST(a_file_removed_while_open_can_be_used_until_it_is_closed) {
    fixture f;
    char out[6];
    begin(&f);
    void *file = create(&f, "open"), *second = open_file(&f, "open", VS_VFS_READ);
    write_at(&f, file, "abc", 3, 0);
    VT_EQ(f.vfs->remove(f.vfs->ctx, "open", f.why), VS_OK);
    VT_EQ(f.vfs->remove(f.vfs->ctx, "open", f.why), VS_ERR_NOT_FOUND);
    void *again = create(&f, "open");
    VT_EQ(size_of(&f, again), 0);
    write_at(&f, file, "def", 3, 3);
    VT_EQ(size_of(&f, again), 0);
    close_file(&f, file);
    VT_EQ(read_at(&f, second, out, 6, 0), 6);
    VT_CHECK(!memcmp(out, "abcdef", 6));
    close_file(&f, second);
    close_file(&f, again);
    end(&f);
}

VT_TEST(the_memory_of_a_removed_file_is_freed_when_its_last_handle_closes) {
    fixture f;
    static uint8_t data[100000];
    begin(&f);
    uint64_t before = f.allocator.live_bytes;
    void *file = create(&f, "freed");
    write_at(&f, file, data, sizeof data, 0);
    VT_EQ(f.vfs->remove(f.vfs->ctx, "freed", f.why), VS_OK);
    VT_CHECK(f.allocator.live_bytes >= before + sizeof data);
    close_file(&f, file);
    VT_CHECK(f.allocator.live_bytes < before + sizeof data);
    end(&f);
}

/* ---- maps ----------------------------------------------------------------------------------- */

enum { MAP_UNIT = 65536 };

/* A map, or a skip where there are none. */
static const uint8_t *map(fixture *f, void *file, uint64_t offset, size_t bytes) {
    const void *address = NULL;
    vs_status st = f->vfs->map(f->vfs->ctx, file, offset, bytes, &address, f->why);
    if (st == VS_ERR_UNSUPPORTED)
        vt_skip("no maps here");
    VT_EQ(st, VS_OK);
    return address;
}

VT_TEST(a_map_shows_the_bytes_at_its_offset) {
    fixture f;
    static uint8_t data[3 * MAP_UNIT];
    fill(data, sizeof data, vt_seed());
    begin(&f);
    void *file = create(&f, "mapped");
    write_at(&f, file, data, sizeof data, 0);
    for (size_t unit = 0; unit < 3; unit++) {
        size_t bytes = sizeof data - unit * MAP_UNIT - unit * 5;
        const uint8_t *address = map(&f, file, unit * MAP_UNIT, bytes);
        VT_CHECK(!memcmp(address, data + unit * MAP_UNIT, bytes));
        f.vfs->unmap(f.vfs->ctx, file, address, bytes);
    }
    close_file(&f, file);
    end(&f);
}

VT_TEST(a_map_stays_and_shows_what_is_written_when_the_file_grows) {
    fixture f;
    uint8_t data[5000], out[5000], other[5000];
    fill(data, sizeof data, vt_seed());
    fill(other, sizeof other, vt_seed() + 1);
    begin(&f);
    void *file = create(&f, "growing");
    write_at(&f, file, data, sizeof data, 0);
    const uint8_t *address = map(&f, file, 0, sizeof data);
    const uint8_t *second = map(&f, file, 0, 100);
    for (uint64_t i = 1; i < 100; i++) {
        write_at(&f, file, data, sizeof data, i * sizeof data);
        write_at(&f, file, i & 1 ? other : data, 50, 0);
        VT_EQ(size_of(&f, file), (i + 1) * sizeof data);
        VT_CHECK(!memcmp(address, i & 1 ? other : data, 50));
        VT_CHECK(!memcmp(address + 50, data + 50, sizeof data - 50));
        VT_CHECK(!memcmp(second, i & 1 ? other : data, 50));
        VT_EQ(read_at(&f, file, out, sizeof out, i * sizeof data), sizeof out);
        VT_CHECK(!memcmp(out, data, sizeof data));
    }
    const uint8_t *third = map(&f, file, 0, sizeof data);
    f.vfs->unmap(f.vfs->ctx, file, second, 100);
    write_at(&f, file, data, 50, 0);
    VT_CHECK(!memcmp(address, data, sizeof data) && !memcmp(third, data, sizeof data));
    f.vfs->unmap(f.vfs->ctx, file, address, sizeof data);
    write_at(&f, file, data, sizeof data, 2 << 20);
    write_at(&f, file, other, sizeof other, 0);
    VT_CHECK(!memcmp(third, other, sizeof other));
    f.vfs->unmap(f.vfs->ctx, file, third, sizeof data);
    VT_EQ(read_at(&f, file, out, sizeof out, 0), sizeof out);
    VT_CHECK(!memcmp(out, other, sizeof other));
    close_file(&f, file);
    end(&f);
}

/* A file whose map is still there is freed with all that it has outgrown. */
VT_TEST(maps_that_are_left_go_with_the_file) {
    fixture f;
    uint8_t data[5000];
    fill(data, sizeof data, vt_seed());
    begin(&f);
    void *file = create(&f, "left");
    write_at(&f, file, data, sizeof data, 0);
    VT_CHECK(!memcmp(map(&f, file, 0, 100), data, 100));
    write_at(&f, file, data, sizeof data, 100000);
    VT_CHECK(!memcmp(map(&f, file, 0, 100), data, 100));
    write_at(&f, file, data, sizeof data, 1000000);
    VT_EQ(f.vfs->remove(f.vfs->ctx, "left", f.why), VS_OK);
    close_file(&f, file);
    end(&f);
}

VT_TEST(bytes_of_a_mapped_file_can_be_written) {
    fixture f;
    begin(&f);
    void *file = create(&f, "mapped-write");
    write_at(&f, file, "abcdef", 6, 0);
    const uint8_t *address = map(&f, file, 0, 6);
    write_at(&f, file, "XY", 2, 2);
    VT_CHECK(!memcmp(address, "abXYef", 6));
    f.vfs->unmap(f.vfs->ctx, file, address, 6);
    close_file(&f, file);
    end(&f);
}

VT_TEST(a_map_stays_when_the_file_is_removed) {
    fixture f;
    uint8_t data[5000];
    fill(data, sizeof data, vt_seed());
    begin(&f);
    void *file = create(&f, "removed-map");
    write_at(&f, file, data, sizeof data, 0);
    const uint8_t *address = map(&f, file, 0, sizeof data);
    VT_EQ(f.vfs->remove(f.vfs->ctx, "removed-map", f.why), VS_OK);
    VT_CHECK(!memcmp(address, data, sizeof data));
    f.vfs->unmap(f.vfs->ctx, file, address, sizeof data);
    close_file(&f, file);
    end(&f);
}

/* ---- locks ---------------------------------------------------------------------------------- */

VT_TEST(two_handles_share_a_shared_lock_and_no_other) {
    static const struct {
        int first, second;
        vs_status expected;
    } pair[] = {
        {VS_VFS_SHARED, VS_VFS_SHARED, VS_OK},
        {VS_VFS_SHARED, VS_VFS_EXCLUSIVE_LOCK, VS_ERR_BUSY},
        {VS_VFS_EXCLUSIVE_LOCK, VS_VFS_SHARED, VS_ERR_BUSY},
        {VS_VFS_EXCLUSIVE_LOCK, VS_VFS_EXCLUSIVE_LOCK, VS_ERR_BUSY},
    };
    fixture f;
    begin(&f);
    close_file(&f, create(&f, "locks"));
    for (size_t i = 0; i < sizeof pair / sizeof pair[0]; i++) {
        void *a = open_file(&f, "locks", VS_VFS_WRITE), *b = open_file(&f, "locks", VS_VFS_WRITE);
        VT_EQ(lock(&f, a, pair[i].first), VS_OK);
        VT_EQ(lock(&f, b, pair[i].second), pair[i].expected);
        VT_EQ(lock(&f, a, VS_VFS_UNLOCK), VS_OK);
        VT_EQ(lock(&f, b, pair[i].second), VS_OK);
        close_file(&f, a);
        close_file(&f, b);
    }
    end(&f);
}

VT_TEST(a_lock_is_raised_only_when_nobody_shares_it) {
    fixture f;
    begin(&f);
    void *a = create(&f, "raised"), *b = open_file(&f, "raised", VS_VFS_WRITE);
    VT_EQ(lock(&f, a, VS_VFS_SHARED), VS_OK);
    VT_EQ(lock(&f, a, VS_VFS_SHARED), VS_OK);
    VT_EQ(lock(&f, b, VS_VFS_SHARED), VS_OK);
    VT_EQ(lock(&f, a, VS_VFS_EXCLUSIVE_LOCK), VS_ERR_BUSY);
    VT_EQ(lock(&f, b, VS_VFS_EXCLUSIVE_LOCK), VS_ERR_BUSY); /* a still has its own */
    VT_EQ(lock(&f, b, VS_VFS_UNLOCK), VS_OK);
    VT_EQ(lock(&f, b, VS_VFS_UNLOCK), VS_OK);
    VT_EQ(lock(&f, a, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    VT_EQ(lock(&f, a, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    VT_EQ(lock(&f, b, VS_VFS_SHARED), VS_ERR_BUSY);
    VT_EQ(lock(&f, a, VS_VFS_SHARED), VS_OK);
    VT_EQ(lock(&f, b, VS_VFS_SHARED), VS_OK);
    close_file(&f, a);
    close_file(&f, b);
    end(&f);
}

VT_TEST(closing_a_handle_drops_its_lock_and_no_other) {
    fixture f;
    begin(&f);
    void *a = create(&f, "dropped"), *b = open_file(&f, "dropped", VS_VFS_WRITE);
    void *c = open_file(&f, "dropped", VS_VFS_WRITE);
    VT_EQ(lock(&f, a, VS_VFS_SHARED), VS_OK);
    VT_EQ(lock(&f, b, VS_VFS_SHARED), VS_OK);
    close_file(&f, a);
    VT_EQ(lock(&f, c, VS_VFS_EXCLUSIVE_LOCK), VS_ERR_BUSY);
    close_file(&f, b);
    VT_EQ(lock(&f, c, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    a = open_file(&f, "dropped", VS_VFS_WRITE);
    VT_EQ(lock(&f, a, VS_VFS_SHARED), VS_ERR_BUSY);
    close_file(&f, c);
    VT_EQ(lock(&f, a, VS_VFS_SHARED), VS_OK);
    close_file(&f, a);
    end(&f);
}

VT_TEST(locks_belong_to_the_file_not_to_its_name) {
    fixture f;
    begin(&f);
    void *old = create(&f, "name");
    VT_EQ(lock(&f, old, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    VT_EQ(f.vfs->remove(f.vfs->ctx, "name", f.why), VS_OK);
    void *new = create(&f, "name");
    VT_EQ(lock(&f, new, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    close_file(&f, old);
    void *other = open_file(&f, "name", VS_VFS_READ);
    VT_EQ(lock(&f, other, VS_VFS_SHARED), VS_ERR_BUSY);
    close_file(&f, other);
    close_file(&f, new);
    end(&f);
}

/* ---- without memory ------------------------------------------------------------------------- */

/* Opens, writes, grows, maps and reads; the first status that is not VS_OK. */
static vs_status use(fixture *f, void **out_file) {
    static const uint8_t data[3000] = {1, 2, 3};
    vs_status st = try_open(f, "used", VS_VFS_WRITE | VS_VFS_CREATE, out_file);
    for (uint64_t i = 0; i < 10 && st == VS_OK; i++)
        st = try_write(f, *out_file, data, sizeof data, i * sizeof data);
    if (st == VS_OK)
        st = truncate_to(f, *out_file, 50000);
    if (st == VS_OK)
        st = f->vfs->allocate(f->vfs->ctx, *out_file, 150000, f->why);
    return st;
}

VT_TEST(every_allocation_that_fails_is_reported_and_the_file_stays_readable) {
    uint64_t failed = 0;
    for (uint64_t at = 1;; at++) {
        fixture f;
        void *file = NULL;
        uint8_t out[200];
        begin(&f);
        f.allocator.fail_at = f.allocator.calls + at;
        vs_status st = use(&f, &file);
        if (f.allocator.failures == 0) {
            VT_EQ(st, VS_OK);
            close_file(&f, file);
            end(&f);
            break;
        }
        failed++;
        VT_EQ(st, VS_ERR_NOMEM);
        if (file) {
            size_t n = size_of(&f, file) ? 3 : 0;
            VT_CHECK(read_at(&f, file, out, sizeof out, 0) >= n);
            VT_CHECK(n == 0 || !memcmp(out, "\1\2\3", 3));
            close_file(&f, file);
        }
        end(&f);
    }
    VT_CHECK(failed >= 3);
}

/* ---- threads -------------------------------------------------------------------------------- */

typedef struct worker {
    vs_vfs *vfs;
    int number;
    bool is_right;
} worker;

/* Makes, fills, reads and removes files of its own, and locks one of all. */
static void *work(void *ctx) {
    worker *w = ctx;
    char why[VS_VFS_WHY_BYTES], path[32];
    w->is_right = true;
    for (int round = 0; round < 200 && w->is_right; round++) {
        void *file = NULL, *shared = NULL;
        uint64_t value = (uint64_t)w->number << 32 | (uint64_t)round, back = 0;
        size_t moved = 0;
        snprintf(path, sizeof path, "%d-%d", w->number, round % 7);
        w->is_right =
            w->vfs->open(w->vfs->ctx, path, VS_VFS_WRITE | VS_VFS_CREATE, &file, why) == VS_OK &&
            w->vfs->write(w->vfs->ctx, file, &value, 8, 1000, &moved, why) == VS_OK &&
            w->vfs->read(w->vfs->ctx, file, &back, 8, 1000, &moved, why) == VS_OK &&
            back == value && w->vfs->remove(w->vfs->ctx, path, why) == VS_OK &&
            w->vfs->open(w->vfs->ctx, "all", VS_VFS_WRITE, &shared, why) == VS_OK &&
            w->vfs->lock(w->vfs->ctx, shared, VS_VFS_SHARED, why) == VS_OK;
        if (shared)
            w->vfs->close(w->vfs->ctx, shared);
        if (file)
            w->vfs->close(w->vfs->ctx, file);
    }
    return NULL;
}

VT_TEST(threads_use_the_file_system_at_once) {
    enum { THREADS = 4 };
    vs_vfs *vfs = NULL;
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    pthread_t thread[THREADS];
    worker workers[THREADS];
    VT_EQ(vsi_memory_vfs_create(NULL, &vfs), VS_OK);
    VT_EQ(vfs->open(vfs->ctx, "all", VS_VFS_WRITE | VS_VFS_CREATE, &file, why), VS_OK);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){vfs, i, false};
        VT_EQ(pthread_create(&thread[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        VT_CHECK(workers[i].is_right);
    }
    VT_EQ(vfs->lock(vfs->ctx, file, VS_VFS_EXCLUSIVE_LOCK, why), VS_OK);
    vfs->close(vfs->ctx, file);
    vsi_memory_vfs_destroy(vfs);
}

/* ---- the machine ---------------------------------------------------------------------------- */

VT_TEST(device_sizes_are_powers_of_two_from_512) {
    fixture f;
    vs_device_info info = {0, 0};
    begin(&f);
    void *file = create(&f, "device");
    VT_EQ(f.vfs->device_info(f.vfs->ctx, file, &info, f.why), VS_OK);
    VT_CHECK(info.sector_bytes >= 512);
    VT_EQ(info.sector_bytes & (info.sector_bytes - 1), 0);
    VT_CHECK(info.blast_bytes > 0);
    VT_EQ(info.blast_bytes & (info.blast_bytes - 1), 0);
    close_file(&f, file);
    end(&f);
}

VT_TEST(ticks_go_forward_only_and_random_bytes_differ) {
    fixture f;
    uint8_t a[64] = {0}, b[64] = {0};
    begin(&f);
    int64_t last = f.vfs->ticks_us(f.vfs->ctx);
    for (int i = 0; i < 1000; i++) {
        int64_t now = f.vfs->ticks_us(f.vfs->ctx);
        VT_CHECK(now >= last);
        last = now;
    }
    VT_EQ(f.vfs->random(f.vfs->ctx, a, sizeof a, f.why), VS_OK);
    VT_EQ(f.vfs->random(f.vfs->ctx, b, sizeof b, f.why), VS_OK);
    VT_CHECK(memcmp(a, b, sizeof a));
    VT_CHECK(!is_zero(a + 48, 16));
    end(&f);
}

VT_TEST(two_file_systems_give_different_random_bytes) {
    fixture f, g;
    uint8_t a[16], b[16];
    begin(&f);
    begin(&g);
    VT_EQ(f.vfs->random(f.vfs->ctx, a, sizeof a, f.why), VS_OK);
    VT_EQ(g.vfs->random(g.vfs->ctx, b, sizeof b, g.why), VS_OK);
    VT_CHECK(memcmp(a, b, sizeof a));
    end(&f);
    end(&g);
}
