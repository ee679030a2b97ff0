/* posix.c - the operating system's files.
 *
 *   P1  A file handle is its descriptor plus one: opening allocates nothing.
 *   P2  No descriptor is 0, 1 or 2, so that stray output of the host never hits a database.
 *   P3  EINTR is reported as VS_ERR_INTERRUPTED; os/file tries again. */
#include "os/posix.h"

#ifdef VSI_POSIX

/* Open file description locks belong to the open file, not to the process: two handles of one
 * process conflict, and closing another descriptor does not drop them. In Linux since 3.15. */
#if defined(__linux__) && !defined(F_OFD_SETLK)
#define F_OFD_SETLK 37
#endif

enum { POSIX_LINKS_MAX = 40 };

/* One byte far behind any data, for systems where locks forbid writing. */
#define POSIX_LOCK_OFF ((off_t)1 << 62)

static int posix_fd(void *file) {
    return (int)((intptr_t)file - 1); /* keeps P1 */
}

static vs_status posix_fail(int os_error, char *why) {
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    const char *text = strerror_r(os_error, why, VS_VFS_WHY_BYTES);
    if (text != why)
        snprintf(why, VS_VFS_WHY_BYTES, "%s", text);
#else
    if (strerror_r(os_error, why, VS_VFS_WHY_BYTES))
        snprintf(why, VS_VFS_WHY_BYTES, "error %d", os_error);
#endif
    switch (os_error) {
    case EINTR:
        return VS_ERR_INTERRUPTED; /* keeps P3 */
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return VS_ERR_FULL;
    case ENOENT:
    case ENOTDIR:
        return VS_ERR_NOT_FOUND;
    case EEXIST:
        return VS_ERR_EXISTS;
    case EACCES:
    case EPERM:
        return VS_ERR_DENIED;
    case EROFS:
        return VS_ERR_READONLY;
    case ENXIO: /* open of a socket */
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return VS_ERR_INVALID;
    case ENOMEM:
        return VS_ERR_NOMEM;
    default:
        return VS_ERR_IO;
    }
}

/* realpath into out, without its allocation. */
static vs_status posix_real_path(const char *path, char *out, size_t out_bytes, char *why) {
    char buf[PATH_MAX];
    if (!realpath(path, buf))
        return posix_fail(errno, why);
    if (strlen(buf) >= out_bytes)
        return posix_fail(ENAMETOOLONG, why);
    memcpy(out, buf, strlen(buf) + 1);
    return VS_OK;
}

/* The folder of path, "." when it names none. */
static vs_status posix_folder(const char *path, char *out, size_t out_bytes, char *why) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + (slash == path) : 1;
    if (n >= out_bytes)
        return posix_fail(ENAMETOOLONG, why);
    memcpy(out, slash ? path : ".", n);
    out[n] = 0;
    return VS_OK;
}

/* The real path of a file that is missing: that of its folder, then its name. */
static vs_status posix_new_path(const char *path, char *out, size_t out_bytes, char *why) {
    char folder[PATH_MAX];
    vs_status st = posix_folder(path, folder, sizeof folder, why);
    if (st == VS_OK)
        st = posix_real_path(folder, out, out_bytes, why);
    if (st != VS_OK)
        return st;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t n = strlen(out);
    if (!*name)
        return posix_fail(EISDIR, why);
    int need = snprintf(out + n, out_bytes - n, "%s%s", n == 1 ? "" : "/", name);
    return need < 0 || (size_t)need >= out_bytes - n ? posix_fail(ENAMETOOLONG, why) : VS_OK;
}

/* Where the symbolic link at path leads; *out_is_link false when it is none. */
static vs_status posix_follow(const char *path, char out[PATH_MAX], bool *out_is_link, char *why) {
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    *out_is_link = n >= 0;
    if (n < 0)
        return VS_OK;
    target[n] = 0;
    const char *slash = strrchr(path, '/');
    int folder = *target == '/' || !slash ? 0 : (int)(slash - path) + 1;
    int need = snprintf(out, PATH_MAX, "%.*s%s", folder, path, target);
    return need < 0 || need >= PATH_MAX ? posix_fail(ENAMETOOLONG, why) : VS_OK;
}

static vs_status posix_full_path(void *ctx, const char *path, char *out, size_t out_bytes,
                                 char *why) {
    (void)ctx;
    vs_status st = posix_real_path(path, out, out_bytes, why);
    if (st != VS_ERR_NOT_FOUND)
        return st;
    st = posix_new_path(path, out, out_bytes, why);
    /* A link to a missing file leads to the file that an open would create. */
    for (int links = 0; st == VS_OK && links < POSIX_LINKS_MAX; links++) {
        char next[PATH_MAX];
        bool is_link = false;
        st = posix_follow(out, next, &is_link, why);
        if (st == VS_OK && !is_link)
            return VS_OK;
        if (st == VS_OK)
            st = posix_new_path(next, out, out_bytes, why);
    }
    return st == VS_OK ? posix_fail(ELOOP, why) : st;
}

static vs_status posix_refuse_special(int fd, char *why) {
    struct stat info;
    if (fstat(fd, &info))
        return posix_fail(errno, why);
    if (S_ISREG(info.st_mode))
        return VS_OK;
    snprintf(why, VS_VFS_WHY_BYTES, "is %s, not a regular file",
             S_ISDIR(info.st_mode)    ? "a folder"
             : S_ISFIFO(info.st_mode) ? "a pipe"
             : S_ISCHR(info.st_mode)  ? "a character device"
             : S_ISBLK(info.st_mode)  ? "a block device"
             : S_ISSOCK(info.st_mode) ? "a socket"
                                      : "a special file");
    return VS_ERR_INVALID;
}

/* A log holds what its database holds: the file X-wal-N gets the rights and, from the superuser, the
 * owner of X. Without X, or the permission, it keeps those that it was made with. */
static void posix_inherit_rights(int fd, const char *path) {
    char base[PATH_MAX];
    const char *end = path, *next = strstr(path, "-wal-");
    for (; next; next = strstr(next + 1, "-wal-"))
        end = next;
    size_t n = (size_t)(end - path);
    struct stat info;
    if (n == 0 || n >= sizeof base)
        return;
    memcpy(base, path, n);
    base[n] = 0;
    if (stat(base, &info) || !S_ISREG(info.st_mode))
        return;
    if (geteuid() == 0 && fchown(fd, info.st_uid, info.st_gid))
        return;
    int ignored = fchmod(fd, info.st_mode & 0777);
    (void)ignored;
}

static vs_status posix_open(void *ctx, const char *path, uint32_t mode, void **out_file,
                            char *why) {
    (void)ctx;
    int flags = (mode & VS_VFS_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    if (mode & VS_VFS_CREATE)
        flags |= O_CREAT;
    if (mode & VS_VFS_EXCLUSIVE)
        flags |= O_EXCL | O_NOFOLLOW;
    mode_t rights = mode & VS_VFS_EXCLUSIVE ? 0600 : 0644; /* those of a log come with its owner */
    int fd = open(path, flags, rights);
    if (fd < 0)
        return posix_fail(errno, why);
    if (fd <= 2) { /* keeps P2 */
        int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        int os_error = errno;
        close(fd);
        if (moved < 0)
            return posix_fail(os_error, why);
        fd = moved;
    }
    if (mode & VS_VFS_EXCLUSIVE)
        posix_inherit_rights(fd, path);
    vs_status st = posix_refuse_special(fd, why);
    if (st != VS_OK) {
        close(fd);
        return st;
    }
    *out_file = (void *)((intptr_t)fd + 1); /* keeps P1 */
    return VS_OK;
}

static void posix_close(void *ctx, void *file) {
    (void)ctx;
    close(posix_fd(file));
}

/* One system call moves at most 1 GiB; Linux itself stops at 2 GiB. */
static size_t posix_chunk(size_t bytes) {
    return bytes < ((size_t)1 << 30) ? bytes : (size_t)1 << 30;
}

static vs_status posix_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    (void)ctx;
    if (offset > INT64_MAX)
        return posix_fail(EFBIG, why);
    ssize_t n = pread(posix_fd(file), buf, posix_chunk(bytes), (off_t)offset);
    if (n < 0)
        return posix_fail(errno, why);
    *out_bytes = (size_t)n;
    return VS_OK;
}

static vs_status posix_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    (void)ctx;
    if (offset > INT64_MAX)
        return posix_fail(EFBIG, why);
    ssize_t n = pwrite(posix_fd(file), buf, posix_chunk(bytes), (off_t)offset);
    if (n < 0)
        return posix_fail(errno, why);
    *out_bytes = (size_t)n;
    return VS_OK;
}

static vs_status posix_file_size(void *ctx, void *file, uint64_t *out_bytes, char *why) {
    (void)ctx;
    struct stat info;
    if (fstat(posix_fd(file), &info))
        return posix_fail(errno, why);
    *out_bytes = (uint64_t)info.st_size;
    return VS_OK;
}

static vs_status posix_truncate(void *ctx, void *file, uint64_t bytes, char *why) {
    (void)ctx;
    if (bytes > INT64_MAX)
        return posix_fail(EFBIG, why);
    return ftruncate(posix_fd(file), (off_t)bytes) ? posix_fail(errno, why) : VS_OK;
}

/* Only behind the end: where a file system cannot reserve, a C library may write into each block instead. */
static vs_status posix_allocate(void *ctx, void *file, uint64_t bytes, char *why) {
    struct stat info;
    if (bytes > INT64_MAX)
        return posix_fail(EFBIG, why);
    if (fstat(posix_fd(file), &info))
        return posix_fail(errno, why);
    if ((off_t)bytes <= info.st_size)
        return VS_OK;
#if defined(__APPLE__)
    return posix_truncate(ctx, file, bytes, why);
#else
    (void)ctx;
    int os_error = posix_fallocate(posix_fd(file), info.st_size, (off_t)bytes - info.st_size);
    if (!os_error)
        return VS_OK;
    if (ftruncate(posix_fd(file), info.st_size)) /* some may have been given */
        return posix_fail(errno, why);
    if (os_error == EOPNOTSUPP || os_error == ENOSYS || os_error == EINVAL)
        return VS_ERR_UNSUPPORTED;
    return posix_fail(os_error, why);
#endif
}

static vs_status posix_sync(void *ctx, void *file, char *why) {
    (void)ctx;
#if defined(__APPLE__)
    int rc = fcntl(posix_fd(file), F_FULLFSYNC); /* fsync there stops at the drive's cache */
    if (rc)
        rc = fsync(posix_fd(file));
#else
    int rc = fdatasync(posix_fd(file));
#endif
    return rc ? posix_fail(errno, why) : VS_OK;
}

static vs_status posix_sync_dir(void *ctx, const char *path, char *why) {
    (void)ctx;
    char folder[PATH_MAX];
    vs_status st = posix_folder(path, folder, sizeof folder, why);
    if (st != VS_OK)
        return st;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return posix_fail(errno, why);
    int rc = fsync(fd);
    int os_error = errno;
    close(fd);
    return rc ? posix_fail(os_error, why) : VS_OK;
}

static vs_status posix_map(void *ctx, void *file, uint64_t offset, size_t bytes, const void **out,
                           char *why) {
    (void)ctx;
    void *address = mmap(NULL, bytes, PROT_READ, MAP_SHARED, posix_fd(file), (off_t)offset);
    if (address == MAP_FAILED)
        return posix_fail(errno, why);
    *out = address;
    return VS_OK;
}

static void posix_unmap(void *ctx, void *file, const void *address, size_t bytes) {
    (void)ctx;
    (void)file;
    munmap((void *)(uintptr_t)address, bytes);
}

static vs_status posix_lock(void *ctx, void *file, int kind, char *why) {
    (void)ctx;
#if defined(F_OFD_SETLK)
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = kind == VS_VFS_UNLOCK ? F_UNLCK : kind == VS_VFS_SHARED ? F_RDLCK : F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = POSIX_LOCK_OFF;
    lock.l_len = 1;
    int rc = fcntl(posix_fd(file), F_OFD_SETLK, &lock);
#else
    int how = kind == VS_VFS_UNLOCK ? LOCK_UN : kind == VS_VFS_SHARED ? LOCK_SH : LOCK_EX;
    int rc = flock(posix_fd(file), how | LOCK_NB);
#endif
    if (!rc)
        return VS_OK;
    int os_error = errno;
    vs_status st = posix_fail(os_error, why);
    return os_error == EAGAIN || os_error == EACCES ? VS_ERR_BUSY : st;
}

static vs_status posix_remove(void *ctx, const char *path, char *why) {
    (void)ctx;
    return unlink(path) ? posix_fail(errno, why) : VS_OK;
}

static vs_status posix_device_info(void *ctx, void *file, vs_device_info *out, char *why) {
    (void)ctx;
    (void)file;
    (void)why;
    /* Drives report 512 or 4096 and some lie; 4096 is right for both. */
    *out = (vs_device_info){.sector_bytes = 4096, .blast_bytes = 4096};
    return VS_OK;
}

static int64_t posix_clock_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t posix_wall_us(void *ctx) {
    (void)ctx;
    return posix_clock_us(CLOCK_REALTIME);
}

static int64_t posix_ticks_us(void *ctx) {
    (void)ctx;
    return posix_clock_us(CLOCK_MONOTONIC);
}

static vs_status posix_random(void *ctx, void *buf, size_t bytes, char *why) {
    (void)ctx;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return posix_fail(errno, why);
    ssize_t n = read(fd, buf, bytes);
    int os_error = n < 0 ? errno : EIO;
    close(fd);
    return n == (ssize_t)bytes ? VS_OK : posix_fail(os_error, why);
}

static uint64_t posix_process_id(void *ctx) {
    (void)ctx;
    return (uint64_t)getpid();
}

VSI_FN const vs_vfs *vsi_posix_vfs(void) {
    static const vs_vfs vfs = {
        .size = sizeof(vs_vfs),
        .full_path = posix_full_path,
        .open = posix_open,
        .close = posix_close,
        .read = posix_read,
        .write = posix_write,
        .file_size = posix_file_size,
        .truncate = posix_truncate,
        .allocate = posix_allocate,
        .sync = posix_sync,
        .sync_dir = posix_sync_dir,
        .map = posix_map,
        .unmap = posix_unmap,
        .lock = posix_lock,
        .remove = posix_remove,
        .device_info = posix_device_info,
        .wall_us = posix_wall_us,
        .ticks_us = posix_ticks_us,
        .random = posix_random,
        .process_id = posix_process_id,
    };
    return &vfs;
}

#else

VSI_FN const vs_vfs *vsi_posix_vfs(void) {
    return NULL;
}

#endif
