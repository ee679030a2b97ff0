/* memory.c - a file system in memory.
 *
 *   M1  A file's memory is reserved as it is first asked for, then in steps that double; map() hands out
 *       that memory. A mapped file that outgrows it leaves it to those who have mapped it, and writes go there,
 *       too, until they unmap.
 *   M2  A removed file lives on until its last open handle is closed, as on POSIX.
 *   M3  Every function holds the one mutex; the file system may be used by several threads.
 *   M4  Bytes that are borrowed are neither written to nor freed. */
#include "os/memory.h"
#include "os/posix.h"

enum { MEMORY_ALIGNMENT = 16 }; /* of borrowed bytes that are mapped */

typedef struct memory_block {
    struct memory_block *older; /* outgrown, still mapped */
    uint8_t *data;              /* [cap] owned */
    size_t cap;
    uint32_t maps;
} memory_block;

typedef struct memory_file {
    struct memory_file *next;
    char *name; /* owned; NULL once removed */
    memory_block now;
    size_t bytes;
    uint32_t opens, shared_locks;
    bool is_locked;   /* exclusively */
    bool is_borrowed; /* now.data is the caller's */
} memory_file;

typedef struct memory_handle {
    memory_file *file;
    bool may_write;
    int lock; /* VS_VFS_... */
} memory_handle;

typedef struct memory_vfs {
    vs_vfs vfs; /* first, so that the public pointer is this one */
    vsi_mem mem;
    vsi_mutex mutex;
    memory_file *files;
} memory_vfs;

static vs_status memory_fail(vs_status st, char *why, const char *reason) {
    snprintf(why, VS_VFS_WHY_BYTES, "%s", reason);
    return st;
}

static memory_file *memory_find(memory_vfs *fs, const char *name) {
    memory_file *file = fs->files;
    while (file && (!file->name || strcmp(file->name, name)))
        file = file->next;
    return file;
}

static void memory_free_name(memory_vfs *fs, memory_file *file) {
    if (file->name)
        vsi_free(&fs->mem, file->name, strlen(file->name) + 1);
    file->name = NULL;
}

static void memory_drop_block(memory_vfs *fs, memory_block **link) {
    memory_block *block = *link;
    *link = block->older;
    vsi_free(&fs->mem, block->data, block->cap);
    vsi_free(&fs->mem, block, sizeof *block);
}

/* Frees a file that has neither name nor handle. */
static void memory_reap(memory_vfs *fs, memory_file *file) {
    if (file->name || file->opens)
        return;
    memory_file **link = &fs->files;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    while (file->now.older)
        memory_drop_block(fs, &file->now.older);
    if (!file->is_borrowed) /* keeps M4 */
        vsi_free(&fs->mem, file->now.data, file->now.cap);
    vsi_free(&fs->mem, file, sizeof *file);
}

static memory_file *memory_new_file(memory_vfs *fs, const char *name) {
    memory_file *file = vsi_alloc_zeroed(&fs->mem, sizeof *file);
    if (!file)
        return NULL;
    file->name = vsi_alloc(&fs->mem, strlen(name) + 1);
    if (!file->name) {
        vsi_free(&fs->mem, file, sizeof *file);
        return NULL;
    }
    memcpy(file->name, name, strlen(name) + 1);
    file->next = fs->files;
    fs->files = file;
    return file;
}

static vs_status memory_full_path(void *ctx, const char *path, char *out, size_t out_bytes,
                                  char *why) {
    (void)ctx;
    size_t n = strlen(path);
    if (n == 0 || n >= out_bytes)
        return memory_fail(VS_ERR_INVALID, why, n ? "name too long" : "empty name");
    memcpy(out, path, n + 1);
    return VS_OK;
}

static vs_status memory_open_locked(memory_vfs *fs, const char *path, uint32_t mode,
                                    void **out_file, char *why) {
    memory_file *file = memory_find(fs, path);
    if (file && mode & VS_VFS_EXCLUSIVE)
        return memory_fail(VS_ERR_EXISTS, why, "file exists");
    if (!file && !(mode & VS_VFS_CREATE))
        return memory_fail(VS_ERR_NOT_FOUND, why, "no such file");
    if (file && file->is_borrowed && mode & VS_VFS_WRITE)
        return memory_fail(VS_ERR_READONLY, why, "the bytes are borrowed"); /* keeps M4 */
    memory_handle *handle = vsi_alloc_zeroed(&fs->mem, sizeof *handle);
    if (handle && !file)
        file = memory_new_file(fs, path);
    if (!handle || !file) {
        vsi_free(&fs->mem, handle, sizeof *handle);
        return memory_fail(VS_ERR_NOMEM, why, "out of memory");
    }
    file->opens++;
    handle->file = file;
    handle->may_write = mode & VS_VFS_WRITE;
    *out_file = handle;
    return VS_OK;
}

static vs_status memory_open(void *ctx, const char *path, uint32_t mode, void **out_file,
                             char *why) {
    memory_vfs *fs = ctx;
    vsi_mutex_lock(&fs->mutex); /* keeps M3, here and below */
    vs_status st = memory_open_locked(fs, path, mode, out_file, why);
    vsi_mutex_unlock(&fs->mutex);
    return st;
}

static void memory_unlock(memory_handle *handle) {
    if (handle->lock == VS_VFS_SHARED)
        handle->file->shared_locks--;
    if (handle->lock == VS_VFS_EXCLUSIVE_LOCK)
        handle->file->is_locked = false;
    handle->lock = VS_VFS_UNLOCK;
}

static void memory_close(void *ctx, void *file) {
    memory_vfs *fs = ctx;
    memory_handle *handle = file;
    vsi_mutex_lock(&fs->mutex);
    memory_unlock(handle);
    handle->file->opens--;
    memory_reap(fs, handle->file); /* keeps M2 */
    vsi_free(&fs->mem, handle, sizeof *handle);
    vsi_mutex_unlock(&fs->mutex);
}

static vs_status memory_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    (void)why;
    memory_vfs *fs = ctx;
    const memory_file *f = ((memory_handle *)file)->file;
    vsi_mutex_lock(&fs->mutex);
    size_t n = offset < f->bytes ? f->bytes - (size_t)offset : 0;
    n = n < bytes ? n : bytes;
    if (n)
        memcpy(buf, f->now.data + offset, n);
    vsi_mutex_unlock(&fs->mutex);
    *out_bytes = n;
    return VS_OK;
}

/* Larger memory for a file; the one before goes, or stays with those who have mapped it. */
static bool memory_outgrow(memory_vfs *fs, memory_file *f, size_t cap) {
    memory_block *old = NULL;
    uint8_t *data = NULL;
    if (!f->now.maps) {
        data = vsi_realloc(&fs->mem, f->now.data, f->now.cap, cap);
    } else {
        old = vsi_alloc(&fs->mem, sizeof *old);
        data = old ? vsi_alloc(&fs->mem, cap) : NULL;
        if (!data)
            vsi_free(&fs->mem, old, sizeof *old);
    }
    if (!data)
        return false;
    if (f->now.maps) {
        memcpy(data, f->now.data, f->now.cap);
        *old = f->now;
        f->now = (memory_block){.older = old};
    }
    f->now.data = data;
    f->now.cap = cap;
    return true;
}

/* Bytes, or zeros for NULL, into the file's memory and what was mapped of it; keeps M1. */
static void memory_fill(memory_file *f, const void *buf, size_t bytes, size_t offset) {
    for (memory_block *block = &f->now; block; block = block->older) {
        size_t room = offset < block->cap ? block->cap - offset : 0,
               n = bytes < room ? bytes : room;
        if (n && buf)
            memcpy(block->data + offset, buf, n);
        else if (n)
            memset(block->data + offset, 0, n);
    }
}

/* Makes the file at least bytes long, zeros in the gap. */
static vs_status memory_grow(memory_vfs *fs, memory_file *f, uint64_t bytes, char *why) {
    if (bytes > SIZE_MAX / 4)
        return memory_fail(VS_ERR_FULL, why, "file too large");
    if (bytes > f->now.cap) {
        size_t cap = f->now.cap ? f->now.cap : bytes > 4096 ? (size_t)bytes : 4096;
        while (cap < bytes)
            cap *= 2;
        if (!memory_outgrow(fs, f, cap))
            return memory_fail(VS_ERR_NOMEM, why, "out of memory");
    }
    if (bytes > f->bytes) {
        memory_fill(f, NULL, (size_t)bytes - f->bytes, f->bytes);
        f->bytes = (size_t)bytes;
    }
    return VS_OK;
}

static vs_status memory_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                              size_t *out_bytes, char *why) {
    memory_vfs *fs = ctx;
    memory_handle *handle = file;
    if (!handle->may_write)
        return memory_fail(VS_ERR_DENIED, why, "opened for reading");
    if (offset > UINT64_MAX - bytes)
        return memory_fail(VS_ERR_FULL, why, "file too large");
    vsi_mutex_lock(&fs->mutex);
    vs_status st = bytes ? memory_grow(fs, handle->file, offset + bytes, why) : VS_OK;
    if (st == VS_OK && bytes)
        memory_fill(handle->file, buf, bytes, (size_t)offset);
    vsi_mutex_unlock(&fs->mutex);
    *out_bytes = bytes;
    return st;
}

static vs_status memory_file_size(void *ctx, void *file, uint64_t *out_bytes, char *why) {
    (void)why;
    memory_vfs *fs = ctx;
    vsi_mutex_lock(&fs->mutex);
    *out_bytes = ((memory_handle *)file)->file->bytes;
    vsi_mutex_unlock(&fs->mutex);
    return VS_OK;
}

static vs_status memory_truncate(void *ctx, void *file, uint64_t bytes, char *why) {
    memory_vfs *fs = ctx;
    memory_handle *handle = file;
    if (!handle->may_write)
        return memory_fail(VS_ERR_DENIED, why, "opened for reading");
    vsi_mutex_lock(&fs->mutex);
    vs_status st = VS_OK;
    if (bytes > handle->file->bytes)
        st = memory_grow(fs, handle->file, bytes, why);
    else
        handle->file->bytes = (size_t)bytes;
    vsi_mutex_unlock(&fs->mutex);
    return st;
}

static vs_status memory_allocate(void *ctx, void *file, uint64_t bytes, char *why) {
    uint64_t now = 0;
    vs_status st = memory_file_size(ctx, file, &now, why);
    return st == VS_OK && bytes > now ? memory_truncate(ctx, file, bytes, why) : st;
}

static vs_status memory_sync(void *ctx, void *file, char *why) {
    (void)ctx;
    (void)file;
    (void)why;
    return VS_OK;
}

static vs_status memory_sync_dir(void *ctx, const char *path, char *why) {
    (void)ctx;
    (void)path;
    (void)why;
    return VS_OK;
}

static vs_status memory_map(void *ctx, void *file, uint64_t offset, size_t bytes, const void **out,
                            char *why) {
    memory_vfs *fs = ctx;
    memory_file *f = ((memory_handle *)file)->file;
    vsi_mutex_lock(&fs->mutex);
    bool fits = offset <= f->bytes && bytes <= f->bytes - offset;
    bool is_aligned = !f->is_borrowed || (uintptr_t)f->now.data % MEMORY_ALIGNMENT == 0;
    if (fits && is_aligned) {
        f->now.maps++;
        *out = f->now.data + offset;
    }
    vsi_mutex_unlock(&fs->mutex);
    if (!fits)
        return memory_fail(VS_ERR_INVALID, why, "beyond the end of the file");
    return is_aligned ? VS_OK : memory_fail(VS_ERR_UNSUPPORTED, why, "the bytes are not aligned");
}

static bool memory_has(const memory_block *block, const void *address) {
    uintptr_t first = (uintptr_t)block->data, at = (uintptr_t)address;
    return at >= first && at - first < block->cap;
}

static void memory_unmap(void *ctx, void *file, const void *address, size_t bytes) {
    (void)bytes;
    memory_vfs *fs = ctx;
    memory_file *f = ((memory_handle *)file)->file;
    vsi_mutex_lock(&fs->mutex);
    memory_block **link = &f->now.older;
    while (*link && !memory_has(*link, address))
        link = &(*link)->older;
    if (!*link)
        f->now.maps--;
    else if (--(*link)->maps == 0)
        memory_drop_block(fs, link);
    vsi_mutex_unlock(&fs->mutex);
}

static vs_status memory_lock(void *ctx, void *file, int kind, char *why) {
    memory_vfs *fs = ctx;
    memory_handle *handle = file;
    memory_file *f = handle->file;
    vsi_mutex_lock(&fs->mutex);
    uint32_t others = f->shared_locks - (handle->lock == VS_VFS_SHARED);
    bool is_held = f->is_locked && handle->lock != VS_VFS_EXCLUSIVE_LOCK;
    bool conflicts = kind != VS_VFS_UNLOCK && (is_held || (kind != VS_VFS_SHARED && others));
    if (!conflicts) {
        memory_unlock(handle);
        handle->lock = kind;
        f->shared_locks += kind == VS_VFS_SHARED;
        f->is_locked = f->is_locked || kind == VS_VFS_EXCLUSIVE_LOCK;
    }
    vsi_mutex_unlock(&fs->mutex);
    return conflicts ? memory_fail(VS_ERR_BUSY, why, "locked by another handle") : VS_OK;
}

static vs_status memory_remove(void *ctx, const char *path, char *why) {
    memory_vfs *fs = ctx;
    vsi_mutex_lock(&fs->mutex);
    memory_file *file = memory_find(fs, path);
    if (file) {
        memory_free_name(fs, file);
        memory_reap(fs, file);
    }
    vsi_mutex_unlock(&fs->mutex);
    return file ? VS_OK : memory_fail(VS_ERR_NOT_FOUND, why, "no such file");
}

static vs_status memory_device_info(void *ctx, void *file, vs_device_info *out, char *why) {
    (void)ctx;
    (void)file;
    (void)why;
    *out = (vs_device_info){.sector_bytes = 4096, .blast_bytes = 4096};
    return VS_OK;
}

static const vs_vfs *memory_clock(void) {
    return vsi_posix_vfs();
}

static int64_t memory_wall_us(void *ctx) {
    (void)ctx;
    return memory_clock() ? memory_clock()->wall_us(NULL) : 0;
}

static int64_t memory_ticks_us(void *ctx) {
    (void)ctx;
    return memory_clock() ? memory_clock()->ticks_us(NULL) : 0;
}

static vs_status memory_random(void *ctx, void *buf, size_t bytes, char *why) {
    (void)ctx;
    if (!memory_clock())
        return memory_fail(VS_ERR_UNSUPPORTED, why, "no source of random numbers");
    return memory_clock()->random(NULL, buf, bytes, why);
}

static uint64_t memory_process_id(void *ctx) {
    (void)ctx;
    return memory_clock() ? memory_clock()->process_id(NULL) : 1;
}

VSI_FN vs_status vsi_memory_vfs_create(const vs_allocator *allocator, vs_vfs **out_vfs) {
    vsi_mem mem;
    vsi_mem_init(&mem, allocator);
    memory_vfs *fs = vsi_alloc_zeroed(&mem, sizeof *fs);
    if (!fs)
        return VS_ERR_NOMEM;
    vsi_mem_init(&fs->mem, allocator);
    if (!vsi_mutex_init(&fs->mutex)) {
        vsi_free(&mem, fs, sizeof *fs);
        return VS_ERR_NOMEM;
    }
    fs->vfs = (vs_vfs){
        .size = sizeof(vs_vfs),
        .ctx = fs,
        .full_path = memory_full_path,
        .open = memory_open,
        .close = memory_close,
        .read = memory_read,
        .write = memory_write,
        .file_size = memory_file_size,
        .truncate = memory_truncate,
        .allocate = memory_allocate,
        .sync = memory_sync,
        .sync_dir = memory_sync_dir,
        .map = memory_map,
        .unmap = memory_unmap,
        .lock = memory_lock,
        .remove = memory_remove,
        .device_info = memory_device_info,
        .wall_us = memory_wall_us,
        .ticks_us = memory_ticks_us,
        .random = memory_random,
        .process_id = memory_process_id,
    };
    *out_vfs = &fs->vfs;
    return VS_OK;
}

static void memory_lend(memory_file *file, const void *data, size_t bytes) {
    file->is_borrowed = true;
    file->bytes = bytes;
    file->now.cap = bytes;
    file->now.data = (uint8_t *)(uintptr_t)data; /* const again by M4 */
}

VSI_FN vs_status vsi_memory_vfs_put(vs_vfs *vfs, const char *name, const void *data, size_t bytes,
                                    bool borrows) {
    memory_vfs *fs = vfs->ctx;
    char why[VS_VFS_WHY_BYTES];
    vs_status st = VS_OK;
    vsi_mutex_lock(&fs->mutex);
    memory_file *file = memory_new_file(fs, name);
    if (!file)
        st = VS_ERR_NOMEM;
    else if (borrows)
        memory_lend(file, data, bytes);
    else
        st = memory_grow(fs, file, bytes, why);
    if (st == VS_OK && !borrows)
        memory_fill(file, data, bytes, 0);
    vsi_mutex_unlock(&fs->mutex);
    return st;
}

VSI_FN void vsi_memory_vfs_destroy(vs_vfs *vfs) {
    if (!vfs)
        return;
    memory_vfs *fs = vfs->ctx;
    while (fs->files) {
        memory_file *file = fs->files;
        memory_free_name(fs, file);
        file->opens = 0;
        memory_reap(fs, file);
    }
    vsi_mutex_destroy(&fs->mutex);
    vsi_mem mem; /* fs cannot hold the allocator that frees it */
    vsi_mem_init(&mem, &fs->mem.hook);
    vsi_free(&mem, fs, sizeof *fs);
}
