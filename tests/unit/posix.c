/* posix.c - the operating system's files, on real ones. */
#include "os/posix.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "vt.h"

static char why[VS_VFS_WHY_BYTES];

/* ---- short forms ---------------------------------------------------------------------------- */

static const vs_vfs *vfs(void) {
    return vsi_posix_vfs();
}

static vs_status try_open(const char *path, uint32_t mode, void **out_file) {
    return vfs()->open(vfs()->ctx, path, mode, out_file, why);
}

static void *open_file(const char *path, uint32_t mode) {
    void *file = NULL;
    vs_status st = try_open(path, mode, &file);
    if (st != VS_OK)
        vt_fail(__FILE__, __LINE__, "%s: status %d, %s", path, st, why);
    return file;
}

/* A new file to write. */
static void *create(const char *path) {
    return open_file(path, VS_VFS_WRITE | VS_VFS_CREATE | VS_VFS_EXCLUSIVE);
}

static void close_file(void *file) {
    vfs()->close(vfs()->ctx, file);
}

static void expect_open(const char *path, uint32_t mode, vs_status expected) {
    void *file = NULL;
    vs_status st = try_open(path, mode, &file);
    if (st == VS_OK)
        close_file(file);
    VT_EQ(st, expected);
}

static void write_at(void *file, const void *data, size_t bytes, uint64_t offset) {
    while (bytes > 0) {
        size_t moved = 0;
        VT_EQ(vfs()->write(vfs()->ctx, file, data, bytes, offset, &moved, why), VS_OK);
        VT_CHECK(moved > 0 && moved <= bytes);
        data = (const uint8_t *)data + moved;
        offset += moved;
        bytes -= moved;
    }
}

static size_t read_at(void *file, void *data, size_t bytes, uint64_t offset) {
    size_t done = 0, moved = 1;
    while (done < bytes && moved > 0) {
        VT_EQ(vfs()->read(vfs()->ctx, file, (uint8_t *)data + done, bytes - done, offset + done,
                          &moved, why),
              VS_OK);
        VT_CHECK(moved <= bytes - done);
        done += moved;
    }
    return done;
}

static uint64_t size_of(void *file) {
    uint64_t bytes = UINT64_MAX;
    VT_EQ(vfs()->file_size(vfs()->ctx, file, &bytes, why), VS_OK);
    return bytes;
}

static vs_status lock(void *file, int kind) {
    return vfs()->lock(vfs()->ctx, file, kind, why);
}

static bool exists(const char *path) {
    struct stat info;
    return !lstat(path, &info);
}

static bool is_zero(const uint8_t *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (data[i])
            return false;
    return true;
}

/* Runs body in a child process; its exit status. The child must not use checks. */
static int in_child(int (*body)(const char *path), const char *path) {
    int status = 0;
    fflush(stdout);
    fflush(stderr);
    pid_t child = fork();
    VT_CHECK(child >= 0);
    if (child == 0)
        _exit(body(path));
    VT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- paths ---------------------------------------------------------------------------------- */

static void expect_full_path(const char *path, const char *expected) {
    char out[4096];
    VT_EQ(vfs()->full_path(vfs()->ctx, path, out, sizeof out, why), VS_OK);
    VT_STR(out, expected);
}

/* The scratch folder may itself lie behind a symbolic link. */
static const char *real(const char *name) {
    static char out[4][4096];
    static int next;
    char *path = out[next++ % 4];
    char folder[4096];
    VT_CHECK(realpath(vt_scratch("."), folder));
    snprintf(path, sizeof out[0], "%.3000s/%s", folder, name);
    return path;
}

VT_TEST(a_full_path_is_absolute_and_the_file_need_not_exist) {
    char out[4096], folder[4096];
    VT_CHECK(getcwd(folder, sizeof folder));
    VT_EQ(vfs()->full_path(vfs()->ctx, "no-such-file", out, sizeof out, why), VS_OK);
    VT_CHECK(out[0] == '/');
    size_t n = strlen(folder);
    VT_CHECK(!strncmp(out, folder, n));
    VT_STR(out + n, "/no-such-file");
    expect_full_path(vt_scratch("no-such-file"), real("no-such-file"));
}

VT_TEST(a_full_path_has_no_dots_and_no_symbolic_links) {
    VT_EQ(mkdir(vt_scratch("fp"), 0777), 0);
    VT_EQ(mkdir(vt_scratch("fp/inner"), 0777), 0);
    VT_EQ(symlink("fp/inner", vt_scratch("fp-link")), 0);
    vt_write_file(vt_scratch("fp/inner/file"), "x", 1);
    VT_EQ(symlink("inner/file", vt_scratch("fp/file-link")), 0);
    VT_EQ(symlink("file-link", vt_scratch("fp/link-link")), 0);
    expect_full_path(vt_scratch("fp/inner/file"), real("fp/inner/file"));
    expect_full_path(vt_scratch("fp-link/file"), real("fp/inner/file"));
    expect_full_path(vt_scratch("fp-link/missing"), real("fp/inner/missing"));
    expect_full_path(vt_scratch("fp/link-link"), real("fp/inner/file"));
    expect_full_path(vt_scratch("fp/./inner/../inner//file"), real("fp/inner/file"));
    expect_full_path(vt_scratch("fp/inner/../missing"), real("fp/missing"));
    /* Behind a link .. is the folder above its target. */
    expect_full_path(vt_scratch("fp-link/../missing"), real("fp/missing"));
}

/* Else the log beside the file has another name at the next open. That such a link is refused is
 * right as well. */
VT_TEST(making_a_file_through_a_link_does_not_change_its_full_path) {
    char first[4096], second[4096];
    void *file = NULL;
    VT_EQ(mkdir(vt_scratch("dangling"), 0777), 0);
    VT_EQ(symlink("dangling/target", vt_scratch("dangling-link")), 0);
    const char *path = vt_scratch("dangling-link");
    if (vfs()->full_path(vfs()->ctx, path, first, sizeof first, why) != VS_OK)
        return;
    if (try_open(first, VS_VFS_WRITE | VS_VFS_CREATE, &file) != VS_OK)
        return;
    close_file(file);
    VT_EQ(vfs()->full_path(vfs()->ctx, path, second, sizeof second, why), VS_OK);
    VT_STR(second, first);
}

VT_TEST(a_path_in_a_folder_that_is_missing_is_refused) {
    char out[4096];
    vs_status st = vfs()->full_path(vfs()->ctx, vt_scratch("no/file"), out, sizeof out, why);
    VT_EQ(st, VS_ERR_NOT_FOUND);
}

VT_TEST(a_circle_of_links_is_refused) {
    char out[4096];
    VT_EQ(symlink("circle-b", vt_scratch("circle-a")), 0);
    VT_EQ(symlink("circle-a", vt_scratch("circle-b")), 0);
    VT_CHECK(vfs()->full_path(vfs()->ctx, vt_scratch("circle-a"), out, sizeof out, why) != VS_OK);
}

VT_TEST(a_full_path_that_does_not_fit_is_refused_and_nothing_is_written_behind_it) {
    char out[4096];
    const char *path = vt_scratch("fitting");
    size_t need = strlen(real("fitting")) + 1;
    memset(out, 0x5a, sizeof out);
    VT_EQ(vfs()->full_path(vfs()->ctx, path, out, need, why), VS_OK);
    VT_EQ(out[need], 0x5a);
    for (size_t room = 1; room < need; room++) {
        memset(out, 0x5a, sizeof out);
        VT_CHECK(vfs()->full_path(vfs()->ctx, path, out, room, why) != VS_OK);
        VT_EQ(out[room], 0x5a);
    }
}

VT_TEST(a_name_or_path_longer_than_the_system_allows_is_refused) {
    char path[6000], out[4096];
    memset(path, 'n', sizeof path);
    path[sizeof path - 1] = 0;
    VT_CHECK(vfs()->full_path(vfs()->ctx, path, out, sizeof out, why) != VS_OK);
    VT_CHECK(memchr(why, 0, sizeof why));
    for (size_t i = 1; i < sizeof path; i += 2)
        path[i] = i == sizeof path - 1 ? 0 : '/';
    memcpy(path, "./", 2);
    VT_CHECK(vfs()->full_path(vfs()->ctx, path, out, sizeof out, why) != VS_OK);
    expect_open(path, VS_VFS_WRITE | VS_VFS_CREATE, try_open(path, VS_VFS_READ, &(void *){NULL}));
}

VT_TEST(an_empty_path_is_refused) {
    char out[4096];
    void *file;
    VT_CHECK(vfs()->full_path(vfs()->ctx, "", out, sizeof out, why) != VS_OK);
    VT_CHECK(try_open("", VS_VFS_WRITE | VS_VFS_CREATE, &file) != VS_OK);
}

/* ---- opening -------------------------------------------------------------------------------- */

VT_TEST(a_missing_file_is_made_only_when_asked) {
    const char *path = vt_scratch("made");
    expect_open(path, VS_VFS_READ, VS_ERR_NOT_FOUND);
    expect_open(path, VS_VFS_WRITE, VS_ERR_NOT_FOUND);
    VT_CHECK(!exists(path));
    expect_open(path, VS_VFS_WRITE | VS_VFS_CREATE, VS_OK);
    VT_CHECK(exists(path));
    expect_open(path, VS_VFS_READ, VS_OK);
    expect_open(path, VS_VFS_WRITE, VS_OK);
}

VT_TEST(opening_an_existing_file_keeps_its_bytes) {
    const char *path = vt_scratch("kept");
    vt_write_file(path, "content", 7);
    void *file = open_file(path, VS_VFS_WRITE | VS_VFS_CREATE);
    VT_EQ(size_of(file), 7);
    close_file(file);
}

VT_TEST(exclusive_creation_refuses_a_file_that_is_there) {
    const char *path = vt_scratch("exclusive");
    expect_open(path, VS_VFS_WRITE | VS_VFS_CREATE | VS_VFS_EXCLUSIVE, VS_OK);
    expect_open(path, VS_VFS_WRITE | VS_VFS_CREATE | VS_VFS_EXCLUSIVE, VS_ERR_EXISTS);
    VT_EQ(symlink("nowhere", vt_scratch("exclusive-link")), 0);
    expect_open(vt_scratch("exclusive-link"), VS_VFS_WRITE | VS_VFS_CREATE | VS_VFS_EXCLUSIVE,
                VS_ERR_EXISTS);
    VT_CHECK(!exists(vt_scratch("nowhere")));
}

VT_TEST(writing_implies_reading) {
    void *file = create(vt_scratch("both"));
    char out[3];
    write_at(file, "abc", 3, 0);
    VT_EQ(read_at(file, out, 3, 0), 3);
    VT_CHECK(!memcmp(out, "abc", 3));
    close_file(file);
}

VT_TEST(a_file_opened_for_reading_cannot_be_changed) {
    const char *path = vt_scratch("read-only");
    size_t moved = 0;
    vt_write_file(path, "abc", 3);
    void *file = open_file(path, VS_VFS_READ);
    VT_CHECK(vfs()->write(vfs()->ctx, file, "xyz", 3, 0, &moved, why) != VS_OK);
    VT_CHECK(vfs()->truncate(vfs()->ctx, file, 1, why) != VS_OK);
    VT_EQ(size_of(file), 3);
    char out[3];
    VT_EQ(read_at(file, out, 3, 0), 3);
    VT_CHECK(!memcmp(out, "abc", 3));
    close_file(file);
}

VT_TEST(a_folder_is_no_regular_file) {
    VT_EQ(mkdir(vt_scratch("folder"), 0777), 0);
    expect_open(vt_scratch("folder"), VS_VFS_READ, VS_ERR_INVALID);
    expect_open(vt_scratch("folder"), VS_VFS_WRITE, VS_ERR_INVALID);
    expect_open(vt_scratch("folder"), VS_VFS_WRITE | VS_VFS_CREATE, VS_ERR_INVALID);
}

VT_TEST(a_fifo_is_no_regular_file_and_opening_it_does_not_hang) {
    VT_EQ(mkfifo(vt_scratch("fifo"), 0666), 0);
    alarm(20); /* ends the program should it hang */
    expect_open(vt_scratch("fifo"), VS_VFS_READ, VS_ERR_INVALID);
    expect_open(vt_scratch("fifo"), VS_VFS_WRITE, VS_ERR_INVALID);
    expect_open(vt_scratch("fifo"), VS_VFS_WRITE | VS_VFS_CREATE, VS_ERR_INVALID);
    alarm(0);
}

VT_TEST(a_device_is_no_regular_file) {
    expect_open("/dev/null", VS_VFS_READ, VS_ERR_INVALID);
    expect_open("/dev/null", VS_VFS_WRITE, VS_ERR_INVALID);
}

VT_TEST(a_socket_is_no_regular_file) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = vt_scratch("socket");
    if (strlen(path) >= sizeof address.sun_path)
        vt_skip("the scratch path is too long for a socket");
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    VT_EQ(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    expect_open(path, VS_VFS_READ, VS_ERR_INVALID);
    expect_open(path, VS_VFS_WRITE, VS_ERR_INVALID);
}

VT_TEST(a_file_in_a_missing_folder_cannot_be_made) {
    expect_open(vt_scratch("none/file"), VS_VFS_WRITE | VS_VFS_CREATE, VS_ERR_NOT_FOUND);
}

/* Becomes a user without rights. */
static bool drop_rights(void) {
    return getuid() != 0 || (!setgid(65534) && !setuid(65534));
}

enum { CANNOT_DROP = 120, DENIED_BUT_OPEN = 121 };

/* The status of an open by a user without rights. */
static int open_without_rights(const char *path, uint32_t mode) {
    void *file = NULL;
    if (!drop_rights())
        return CANNOT_DROP;
    vs_status st = try_open(path, mode, &file);
    return st == VS_OK && !file ? DENIED_BUT_OPEN : st;
}

static int read_without_rights(const char *path) {
    return open_without_rights(path, VS_VFS_READ);
}

static int write_without_rights(const char *path) {
    return open_without_rights(path, VS_VFS_WRITE);
}

static int create_without_rights(const char *path) {
    return open_without_rights(path, VS_VFS_WRITE | VS_VFS_CREATE);
}

static void expect_in_child(int (*body)(const char *path), const char *path, int expected) {
    int found = in_child(body, path);
    if (found == CANNOT_DROP)
        vt_skip("cannot become a user without rights");
    VT_EQ(found, expected);
}

VT_TEST(files_that_the_system_protects_are_denied) {
    const char *locked = vt_scratch("locked"), *readable = vt_scratch("readable");
    VT_EQ(chmod(vt_scratch("."), 0755), 0);
    vt_write_file(locked, "x", 1);
    vt_write_file(readable, "x", 1);
    VT_EQ(chmod(locked, 0), 0);
    VT_EQ(chmod(readable, 0444), 0);
    expect_in_child(read_without_rights, readable, VS_OK);
    expect_in_child(write_without_rights, readable, VS_ERR_DENIED);
    expect_in_child(read_without_rights, locked, VS_ERR_DENIED);
    expect_in_child(write_without_rights, locked, VS_ERR_DENIED);
}

VT_TEST(a_file_cannot_be_made_in_a_folder_that_is_protected) {
    VT_EQ(mkdir(vt_scratch("protected"), 0555), 0);
    VT_EQ(chmod(vt_scratch("."), 0755), 0);
    expect_in_child(create_without_rights, vt_scratch("protected/file"), VS_ERR_DENIED);
    VT_CHECK(!exists(vt_scratch("protected/file")));
}

/* ---- descriptors ---------------------------------------------------------------------------- */

static bool is_same_file(int fd, const char *path) {
    struct stat a, b;
    return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Opens with descriptors free that programs use for input and messages. */
static int open_on_low_descriptors(const char *path) {
    void *file = NULL;
    close(0);
    close(1);
    close(2);
    if (try_open(path, VS_VFS_WRITE | VS_VFS_CREATE, &file) != VS_OK)
        return 1;
    for (int fd = 0; fd <= 2; fd++) {
        if (is_same_file(fd, path))
            return 2;
        ssize_t printed = write(fd, "message", 7);
        (void)printed;
    }
    uint64_t bytes = 1;
    if (vfs()->file_size(vfs()->ctx, file, &bytes, why) != VS_OK)
        return 3;
    return bytes == 0 ? 0 : 4;
}

VT_TEST(a_message_to_a_closed_stderr_never_ends_up_in_a_file) {
    VT_EQ(in_child(open_on_low_descriptors, vt_scratch("low")), 0);
}

static int open_on_descriptor_zero(const char *path) {
    void *file = NULL;
    close(0);
    return try_open(path, VS_VFS_READ, &file) == VS_OK && !is_same_file(0, path) ? 0 : 1;
}

VT_TEST(a_file_is_never_descriptor_zero) {
    vt_write_file(vt_scratch("zero"), "x", 1);
    VT_EQ(in_child(open_on_descriptor_zero, vt_scratch("zero")), 0);
}

/* Descriptors of path that a program started now would inherit. */
static int count_inherited(const char *path, int *out_open) {
    int inherited = 0;
    *out_open = 0;
    for (int fd = 0; fd < 256; fd++)
        if (is_same_file(fd, path)) {
            ++*out_open;
            inherited += !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        }
    return inherited;
}

VT_TEST(programs_that_the_host_starts_do_not_inherit_files) {
    const char *path = vt_scratch("inherited");
    int open_count;
    void *file = create(path);
    VT_EQ(count_inherited(path, &open_count), 0);
    VT_CHECK(open_count > 0);
    close_file(file);
    count_inherited(path, &open_count);
    VT_EQ(open_count, 0);
}

static int count_open(const char *path) {
    int open_count;
    count_inherited(path, &open_count);
    return open_count;
}

VT_TEST(a_refused_open_leaves_no_descriptor_open) {
    const char *folder = vt_scratch("leak"), *fifo = vt_scratch("leak-fifo");
    VT_EQ(mkdir(folder, 0777), 0);
    VT_EQ(mkfifo(fifo, 0666), 0);
    expect_open(folder, VS_VFS_READ, VS_ERR_INVALID);
    expect_open(fifo, VS_VFS_READ, VS_ERR_INVALID);
    VT_EQ(count_open(folder), 0);
    VT_EQ(count_open(fifo), 0);
}

/* ---- reading and writing -------------------------------------------------------------------- */

VT_TEST(what_was_written_is_read_again) {
    enum { BYTES = 300000 };
    void *file = create(vt_scratch("content"));
    uint8_t *data = malloc(BYTES), *out = malloc(BYTES);
    vt_rng rng = {vt_seed()};
    for (size_t i = 0; i < BYTES; i++)
        data[i] = (uint8_t)vt_random(&rng);
    write_at(file, data, BYTES, 0);
    VT_EQ(size_of(file), BYTES);
    VT_EQ(read_at(file, out, BYTES, 0), BYTES);
    VT_CHECK(!memcmp(data, out, BYTES));
    write_at(file, data, 1000, 77777);
    memcpy(data + 77777, out, 1000);
    VT_EQ(read_at(file, out, BYTES, 0), BYTES);
    VT_CHECK(!memcmp(data, out, BYTES));
    close_file(file);
    free(data);
    free(out);
}

VT_TEST(a_read_ends_at_the_end_of_the_file) {
    void *file = create(vt_scratch("end"));
    uint8_t out[16];
    write_at(file, "0123456789", 10, 0);
    VT_EQ(read_at(file, out, 16, 4), 6);
    VT_CHECK(!memcmp(out, "456789", 6));
    VT_EQ(read_at(file, out, 16, 10), 0);
    VT_EQ(read_at(file, out, 16, (uint64_t)1 << 40), 0);
    close_file(file);
}

VT_TEST(a_write_beyond_the_end_leaves_zeros_in_the_gap) {
    void *file = create(vt_scratch("gap"));
    uint8_t out[5000];
    write_at(file, "a", 1, 0);
    write_at(file, "b", 1, 4999);
    VT_EQ(size_of(file), 5000);
    VT_EQ(read_at(file, out, sizeof out, 0), 5000);
    VT_EQ(out[0], 'a');
    VT_EQ(out[4999], 'b');
    VT_CHECK(is_zero(out + 1, 4998));
    close_file(file);
}

VT_TEST(offsets_beyond_4_gib_are_not_cut_off) {
    void *file = create(vt_scratch("large"));
    const uint64_t far = ((uint64_t)5 << 30) + 12345;
    uint8_t out[8];
    write_at(file, "near", 4, 12345);
    write_at(file, "far!", 4, far);
    VT_EQ(size_of(file), far + 4);
    VT_EQ(read_at(file, out, 8, far), 4);
    VT_CHECK(!memcmp(out, "far!", 4));
    VT_EQ(read_at(file, out, 4, 12345), 4);
    VT_CHECK(!memcmp(out, "near", 4));
    VT_EQ(read_at(file, out, 8, far - 8), 8);
    VT_CHECK(is_zero(out, 8));
    VT_EQ(vfs()->truncate(vfs()->ctx, file, far + 2, why), VS_OK);
    VT_EQ(size_of(file), far + 2);
    close_file(file);
}

VT_TEST(offsets_that_no_file_can_have_are_refused) {
    static const uint64_t offset[] = {(uint64_t)INT64_MAX, (uint64_t)1 << 63, UINT64_MAX - 3,
                                      UINT64_MAX};
    void *file = create(vt_scratch("impossible"));
    for (size_t i = 0; i < sizeof offset / sizeof offset[0]; i++) {
        size_t moved = 0;
        VT_CHECK(vfs()->write(vfs()->ctx, file, "12345678", 8, offset[i], &moved, why) != VS_OK);
        VT_CHECK(vfs()->truncate(vfs()->ctx, file, offset[i], why) != VS_OK);
        VT_CHECK(vfs()->allocate(vfs()->ctx, file, offset[i], why) != VS_OK);
    }
    VT_EQ(size_of(file), 0);
    close_file(file);
}

VT_TEST(truncating_cuts_off_and_extends_with_zeros) {
    void *file = create(vt_scratch("truncated"));
    uint8_t out[200];
    memset(out, 7, sizeof out);
    write_at(file, out, 100, 0);
    VT_EQ(vfs()->truncate(vfs()->ctx, file, 40, why), VS_OK);
    VT_EQ(size_of(file), 40);
    VT_EQ(vfs()->truncate(vfs()->ctx, file, 150, why), VS_OK);
    VT_EQ(size_of(file), 150);
    VT_EQ(read_at(file, out, 200, 0), 150);
    VT_EQ(out[39], 7);
    VT_CHECK(is_zero(out + 40, 110));
    VT_EQ(vfs()->truncate(vfs()->ctx, file, 0, why), VS_OK);
    VT_EQ(size_of(file), 0);
    close_file(file);
}

VT_TEST(allocating_grows_the_file_and_keeps_its_bytes) {
    void *file = create(vt_scratch("allocated"));
    uint8_t out[10000];
    write_at(file, "abc", 3, 0);
    VT_EQ(vfs()->allocate(vfs()->ctx, file, 10000, why), VS_OK);
    VT_EQ(size_of(file), 10000);
    VT_EQ(read_at(file, out, sizeof out, 0), 10000);
    VT_CHECK(!memcmp(out, "abc", 3));
    VT_CHECK(is_zero(out + 3, sizeof out - 3));
    close_file(file);
}

#ifdef __GLIBC__
/* The system's call in the place of the C library's: it fails as it is told to, after it has given some. */
static struct {
    int fails_with;
    off_t offset; /* that it was last asked from; -1: not yet */
} reserve = {0, -1};

int posix_fallocate(int fd, off_t offset,
                    off_t bytes) { /* 64 bits wide by name, as posix.c calls it */
    reserve.offset = offset;
    if (ftruncate(fd, offset + (reserve.fails_with ? bytes / 2 : bytes)))
        return errno;
    return reserve.fails_with;
}

VT_TEST(space_is_reserved_behind_the_end_only_and_what_fails_leaves_the_size) {
    static const struct {
        int os_error;
        vs_status status;
    } cases[] = {{EOPNOTSUPP, VS_ERR_UNSUPPORTED},
                 {ENOSYS, VS_ERR_UNSUPPORTED},
                 {EINVAL, VS_ERR_UNSUPPORTED},
                 {ENOSPC, VS_ERR_FULL},
                 {EFBIG, VS_ERR_FULL},
                 {EIO, VS_ERR_IO}};
    void *file = create(vt_scratch("reserved"));
    write_at(file, "abc", 3, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        reserve.fails_with = cases[i].os_error;
        VT_EQ(vfs()->allocate(vfs()->ctx, file, 10000, why), cases[i].status);
        VT_EQ(reserve.offset,
              3); /* a library that writes into each block must not touch what is there */
        VT_EQ(size_of(file), 3);
    }
    reserve.fails_with = 0;
    VT_EQ(vfs()->allocate(vfs()->ctx, file, 10000, why), VS_OK);
    VT_EQ(size_of(file), 10000);
    reserve.offset = -1;
    VT_EQ(vfs()->allocate(vfs()->ctx, file, 9000, why), VS_OK);
    VT_EQ(reserve.offset, -1);
    close_file(file);
}
#endif

VT_TEST(allocating_less_than_there_is_changes_nothing) {
    void *file = create(vt_scratch("allocated-less"));
    write_at(file, "abcdef", 6, 0);
    VT_EQ(vfs()->allocate(vfs()->ctx, file, 3, why), VS_OK);
    VT_EQ(vfs()->allocate(vfs()->ctx, file, 0, why), VS_OK);
    VT_EQ(size_of(file), 6);
    close_file(file);
}

VT_TEST(syncing_files_and_folders_succeeds) {
    const char *path = vt_scratch("synced");
    void *file = create(path);
    write_at(file, "abc", 3, 0);
    VT_EQ(vfs()->sync(vfs()->ctx, file, why), VS_OK);
    close_file(file);
    VT_EQ(vfs()->sync_dir(vfs()->ctx, path, why), VS_OK);
    VT_EQ(vfs()->sync_dir(vfs()->ctx, "a-name-in-the-current-folder", why), VS_OK);
    VT_EQ(vfs()->sync_dir(vfs()->ctx, "/a-name-in-the-root", why), VS_OK);
}

VT_TEST(syncing_a_folder_that_is_missing_fails) {
    VT_CHECK(vfs()->sync_dir(vfs()->ctx, vt_scratch("absent/file"), why) != VS_OK);
}

/* ---- maps ----------------------------------------------------------------------------------- */

enum { MAP_UNIT = 65536 };

VT_TEST(a_map_shows_the_bytes_at_its_offset) {
    void *file = create(vt_scratch("mapped"));
    uint8_t *data = malloc(3 * MAP_UNIT);
    for (size_t i = 0; i < 3 * MAP_UNIT; i++)
        data[i] = (uint8_t)(i % 251);
    write_at(file, data, 3 * MAP_UNIT, 0);
    for (size_t unit = 0; unit < 3; unit++) {
        const void *address = NULL;
        size_t bytes = 3 * MAP_UNIT - unit * MAP_UNIT - unit * 5;
        vs_status st = vfs()->map(vfs()->ctx, file, unit * MAP_UNIT, bytes, &address, why);
        if (st == VS_ERR_UNSUPPORTED)
            vt_skip("no maps here");
        VT_EQ(st, VS_OK);
        VT_CHECK(!memcmp(address, data + unit * MAP_UNIT, bytes));
        vfs()->unmap(vfs()->ctx, file, address, bytes);
    }
    close_file(file);
    free(data);
}

VT_TEST(a_map_stays_when_the_file_grows) {
    void *file = create(vt_scratch("mapped-growing"));
    uint8_t data[4096];
    const void *address = NULL;
    memset(data, 9, sizeof data);
    write_at(file, data, sizeof data, 0);
    vs_status st = vfs()->map(vfs()->ctx, file, 0, sizeof data, &address, why);
    if (st == VS_ERR_UNSUPPORTED)
        vt_skip("no maps here");
    VT_EQ(st, VS_OK);
    for (uint64_t i = 1; i < 300; i++)
        write_at(file, data, sizeof data, i * sizeof data);
    VT_CHECK(!memcmp(address, data, sizeof data));
    vfs()->unmap(vfs()->ctx, file, address, sizeof data);
    close_file(file);
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
    const char *path = vt_scratch("locks");
    vt_write_file(path, "x", 1);
    for (size_t i = 0; i < sizeof pair / sizeof pair[0]; i++) {
        void *a = open_file(path, VS_VFS_WRITE), *b = open_file(path, VS_VFS_WRITE);
        VT_EQ(lock(a, pair[i].first), VS_OK);
        VT_EQ(lock(b, pair[i].second), pair[i].expected);
        VT_EQ(lock(a, VS_VFS_UNLOCK), VS_OK);
        VT_EQ(lock(b, pair[i].second), VS_OK);
        close_file(a);
        close_file(b);
    }
}

VT_TEST(a_lock_is_raised_only_when_nobody_shares_it) {
    const char *path = vt_scratch("raised");
    vt_write_file(path, "x", 1);
    void *a = open_file(path, VS_VFS_WRITE), *b = open_file(path, VS_VFS_WRITE);
    VT_EQ(lock(a, VS_VFS_SHARED), VS_OK);
    VT_EQ(lock(b, VS_VFS_SHARED), VS_OK);
    VT_EQ(lock(a, VS_VFS_EXCLUSIVE_LOCK), VS_ERR_BUSY);
    VT_EQ(lock(b, VS_VFS_EXCLUSIVE_LOCK), VS_ERR_BUSY); /* a still has its own */
    VT_EQ(lock(b, VS_VFS_UNLOCK), VS_OK);
    VT_EQ(lock(a, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    VT_EQ(lock(b, VS_VFS_SHARED), VS_ERR_BUSY);
    VT_EQ(lock(a, VS_VFS_SHARED), VS_OK);
    VT_EQ(lock(b, VS_VFS_SHARED), VS_OK);
    close_file(a);
    close_file(b);
}

VT_TEST(locking_twice_is_no_conflict_with_oneself) {
    void *file = create(vt_scratch("again"));
    VT_EQ(lock(file, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    VT_EQ(lock(file, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    VT_EQ(lock(file, VS_VFS_UNLOCK), VS_OK);
    VT_EQ(lock(file, VS_VFS_UNLOCK), VS_OK);
    close_file(file);
}

VT_TEST(closing_a_handle_drops_its_lock_and_no_other) {
    const char *path = vt_scratch("dropped");
    vt_write_file(path, "x", 1);
    void *a = open_file(path, VS_VFS_WRITE), *b = open_file(path, VS_VFS_WRITE);
    VT_EQ(lock(a, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    close_file(b);
    b = open_file(path, VS_VFS_WRITE);
    VT_EQ(lock(b, VS_VFS_EXCLUSIVE_LOCK), VS_ERR_BUSY);
    close_file(a);
    VT_EQ(lock(b, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    close_file(b);
}

VT_TEST(a_file_opened_for_reading_can_be_locked_shared) {
    const char *path = vt_scratch("read-lock");
    vt_write_file(path, "x", 1);
    void *a = open_file(path, VS_VFS_READ), *b = open_file(path, VS_VFS_WRITE);
    VT_EQ(lock(a, VS_VFS_SHARED), VS_OK);
    VT_EQ(lock(b, VS_VFS_EXCLUSIVE_LOCK), VS_ERR_BUSY);
    close_file(a);
    VT_EQ(lock(b, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    close_file(b);
}

static int lock_exclusively(const char *path) {
    void *file = NULL;
    vs_status st = try_open(path, VS_VFS_WRITE, &file);
    return st == VS_OK ? lock(file, VS_VFS_EXCLUSIVE_LOCK) : 100;
}

static int lock_shared(const char *path) {
    void *file = NULL;
    vs_status st = try_open(path, VS_VFS_READ, &file);
    return st == VS_OK ? lock(file, VS_VFS_SHARED) : 100;
}

VT_TEST(another_process_meets_the_lock) {
    const char *path = vt_scratch("processes");
    void *file = create(path);
    VT_EQ(in_child(lock_exclusively, path), VS_OK);
    VT_EQ(lock(file, VS_VFS_SHARED), VS_OK); /* that of the dead process is gone */
    VT_EQ(in_child(lock_shared, path), VS_OK);
    VT_EQ(in_child(lock_exclusively, path), VS_ERR_BUSY);
    VT_EQ(lock(file, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    VT_EQ(in_child(lock_shared, path), VS_ERR_BUSY);
    VT_EQ(in_child(lock_exclusively, path), VS_ERR_BUSY);
    VT_EQ(lock(file, VS_VFS_UNLOCK), VS_OK);
    VT_EQ(in_child(lock_exclusively, path), VS_OK);
    close_file(file);
}

/* In a child: locks, tells so by one byte, and lives until its input ends. */
static void hold_lock(const char *path, int tell, int wait) {
    char byte = (char)lock_exclusively(path);
    if (write(tell, &byte, 1) != 1 || read(wait, &byte, 1) != 0)
        _exit(1);
    _exit(0);
}

VT_TEST(a_lock_lasts_as_long_as_its_process) {
    const char *path = vt_scratch("held");
    int told[2], held[2], status = 0;
    char byte = 99;
    void *file = create(path);
    VT_EQ(pipe(told), 0);
    VT_EQ(pipe(held), 0);
    pid_t child = fork();
    VT_CHECK(child >= 0);
    if (child == 0) {
        close(held[1]);
        hold_lock(path, told[1], held[0]);
    }
    VT_EQ(read(told[0], &byte, 1), 1);
    VT_EQ(byte, VS_OK);
    VT_EQ(lock(file, VS_VFS_SHARED), VS_ERR_BUSY);
    VT_EQ(lock(file, VS_VFS_EXCLUSIVE_LOCK), VS_ERR_BUSY);
    close(held[1]);
    VT_EQ(waitpid(child, &status, 0), child);
    VT_EQ(status, 0);
    VT_EQ(lock(file, VS_VFS_EXCLUSIVE_LOCK), VS_OK);
    close_file(file);
    close(told[0]);
    close(told[1]);
    close(held[0]);
}

/* ---- removing ------------------------------------------------------------------------------- */

VT_TEST(a_removed_file_is_gone_and_a_missing_one_is_not_found) {
    const char *path = vt_scratch("removed");
    close_file(create(path));
    VT_EQ(vfs()->remove(vfs()->ctx, path, why), VS_OK);
    VT_CHECK(!exists(path));
    VT_EQ(vfs()->remove(vfs()->ctx, path, why), VS_ERR_NOT_FOUND);
}

VT_TEST(a_file_removed_while_open_can_be_used_until_it_is_closed) {
    const char *path = vt_scratch("removed-open");
    char out[3];
    void *file = create(path);
    write_at(file, "abc", 3, 0);
    VT_EQ(vfs()->remove(vfs()->ctx, path, why), VS_OK);
    VT_EQ(read_at(file, out, 3, 0), 3);
    VT_CHECK(!memcmp(out, "abc", 3));
    void *again = create(path);
    VT_EQ(size_of(again), 0);
    write_at(file, "def", 3, 3);
    VT_EQ(size_of(again), 0);
    close_file(again);
    close_file(file);
}

/* ---- the machine ---------------------------------------------------------------------------- */

VT_TEST(device_sizes_are_powers_of_two_from_512) {
    vs_device_info info = {0, 0};
    void *file = create(vt_scratch("device"));
    VT_EQ(vfs()->device_info(vfs()->ctx, file, &info, why), VS_OK);
    VT_CHECK(info.sector_bytes >= 512);
    VT_EQ(info.sector_bytes & (info.sector_bytes - 1), 0);
    VT_CHECK(info.blast_bytes >= info.sector_bytes);
    close_file(file);
}

static int64_t wall_now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

VT_TEST(the_wall_clock_counts_microseconds_since_1970) {
    const int64_t second = 1000000;
    int64_t before = wall_now_us(), now = vfs()->wall_us(vfs()->ctx), after = wall_now_us();
    VT_CHECK(now >= before - second && now <= after + second);
}

VT_TEST(ticks_go_forward_only) {
    int64_t first = vfs()->ticks_us(vfs()->ctx), last = first;
    uint32_t reads = 0;
    while (last - first < 1000 && reads < 100000000) {
        int64_t now = vfs()->ticks_us(vfs()->ctx);
        VT_CHECK(now >= last);
        last = now;
        reads++;
    }
    VT_CHECK(last - first >= 1000);
}

VT_TEST(random_bytes_differ_from_call_to_call_and_fill_the_buffer) {
    enum { BYTES = 100000, PIECE = 100 };
    uint8_t *a = calloc(1, BYTES + 1), *b = calloc(1, BYTES);
    VT_EQ(vfs()->random(vfs()->ctx, a, BYTES, why), VS_OK);
    VT_EQ(vfs()->random(vfs()->ctx, b, BYTES, why), VS_OK);
    VT_EQ(a[BYTES], 0);
    for (size_t i = 0; i < BYTES; i += PIECE) {
        VT_CHECK(!is_zero(a + i, PIECE));
        VT_CHECK(memcmp(a + i, b + i, PIECE));
    }
    VT_EQ(vfs()->random(vfs()->ctx, a, 0, why), VS_OK);
    free(a);
    free(b);
}

static int process_id_differs(const char *parent) {
    char own[32];
    snprintf(own, sizeof own, "%" PRIu64, vfs()->process_id(vfs()->ctx));
    return strcmp(own, parent) ? 0 : 1;
}

VT_TEST(the_process_id_is_the_systems_and_changes_with_fork) {
    char own[32];
    VT_EQ(vfs()->process_id(vfs()->ctx), getpid());
    snprintf(own, sizeof own, "%" PRIu64, vfs()->process_id(vfs()->ctx));
    VT_EQ(in_child(process_id_differs, own), 0);
}

VT_TEST(the_table_says_how_large_it_is) {
    VT_EQ(vfs()->size, sizeof(vs_vfs));
    VT_CHECK(vfs() == vsi_posix_vfs());
}
