/* file.c - files through a vs_vfs.
 *
 *   F1  A VFS function that reports VS_ERR_INTERRUPTED is called again, VSI_INTERRUPTS_MAX
 *       times.
 *   F2  A transfer that moved fewer bytes than asked goes on; one that moves none is an error. */
#include "os/file.h"

static bool file_again(vs_status st, int *interrupts) {
    return st == VS_ERR_INTERRUPTED && ++*interrupts < VSI_INTERRUPTS_MAX; /* keeps F1 */
}

/* Words a VFS failure. An unspecific VS_ERR_IO becomes the extended code of the operation. */
static vs_status file_fail(vsi_err *err, vs_status st, vs_status io_code, const char *doing,
                           const char *path, const char *why) {
    if (st == VS_ERR_INTERRUPTED) {
        st = io_code;
        why = "interrupted without end";
    }
    return vsi_fail(err, st == VS_ERR_IO ? io_code : st, "%s %s: %s", doing, path,
                    why[0] ? why : vsi_status_name(st));
}

VSI_FN vs_status vsi_file_open(vsi_err *err, vsi_mem *mem, const vs_vfs *vfs, const char *path,
                               uint32_t mode, vsi_file *out_file) {
    memset(out_file, 0, sizeof *out_file);
    size_t path_bytes = strlen(path) + 1;
    char *copy = vsi_alloc(mem, path_bytes);
    if (!copy)
        return vsi_fail_nomem(err, path_bytes);
    memcpy(copy, path, path_bytes);
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    void *handle = NULL;
    vs_status st = VS_OK;
    do
        st = vfs->open(vfs->ctx, path, mode, &handle, why);
    while (file_again(st, &interrupts));
    if (st != VS_OK) {
        vsi_free(mem, copy, path_bytes);
        return file_fail(err, st, VS_ERR_IO_OPEN, "open", path, why);
    }
    *out_file = (vsi_file){.vfs = vfs, .mem = mem, .handle = handle, .path = copy};
    return VS_OK;
}

VSI_FN void vsi_file_close(vsi_file *file) {
    if (!file->vfs)
        return;
    file->vfs->close(file->vfs->ctx, file->handle);
    vsi_free(file->mem, file->path, strlen(file->path) + 1);
    memset(file, 0, sizeof *file);
}

VSI_FN bool vsi_file_is_open(const vsi_file *file) {
    return file->vfs != NULL;
}

VSI_FN vs_status vsi_file_read(vsi_err *err, const vsi_file *file, void *buf, size_t bytes,
                               uint64_t offset, size_t *out_bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    size_t done = 0;
    int interrupts = 0;
    while (done < bytes) {
        size_t moved = 0;
        vs_status st = file->vfs->read(file->vfs->ctx, file->handle, (uint8_t *)buf + done,
                                       bytes - done, offset + done, &moved, why);
        if (file_again(st, &interrupts))
            continue;
        if (st != VS_OK)
            return file_fail(err, st, VS_ERR_IO_READ, "read", file->path, why);
        interrupts = 0;
        if (moved == 0)
            break;
        done += moved; /* keeps F2 */
    }
    *out_bytes = done;
    return VS_OK;
}

VSI_FN vs_status vsi_file_write(vsi_err *err, const vsi_file *file, const void *buf, size_t bytes,
                                uint64_t offset) {
    char why[VS_VFS_WHY_BYTES] = "";
    size_t done = 0;
    int interrupts = 0;
    while (done < bytes) {
        size_t moved = 0;
        vs_status st = file->vfs->write(file->vfs->ctx, file->handle, (const uint8_t *)buf + done,
                                        bytes - done, offset + done, &moved, why);
        if (file_again(st, &interrupts))
            continue;
        if (st != VS_OK)
            return file_fail(err, st, VS_ERR_IO_WRITE, "write", file->path, why);
        interrupts = 0;
        if (moved == 0)
            return file_fail(err, VS_ERR_IO, VS_ERR_IO_WRITE, "write", file->path, "no progress");
        done += moved; /* keeps F2 */
    }
    return VS_OK;
}

VSI_FN vs_status vsi_file_size(vsi_err *err, const vsi_file *file, uint64_t *out_bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->file_size(file->vfs->ctx, file->handle, out_bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_SIZE, "size of", file->path, why);
}

VSI_FN vs_status vsi_file_truncate(vsi_err *err, const vsi_file *file, uint64_t bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->truncate(file->vfs->ctx, file->handle, bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_TRUNCATE, "truncate", file->path, why);
}

static vs_status file_allocate(vsi_err *err, const vsi_file *file, uint64_t bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->allocate(file->vfs->ctx, file->handle, bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK
               ? st
               : file_fail(err, st, VS_ERR_IO_ALLOCATE, "reserve space in", file->path, why);
}

VSI_FN vs_status vsi_file_reserve(vsi_err *err, const vsi_file *file, uint64_t bytes,
                                  uint64_t spare, uint64_t *io_owned) {
    uint64_t owned = bytes + spare;
    if (bytes <= *io_owned)
        return VS_OK;
    vs_status st = file_allocate(err, file, owned);
    if (st == VS_ERR_FULL) {
        owned = bytes;
        st = file_allocate(err, file, owned);
    }
    if (st == VS_ERR_UNSUPPORTED) {
        owned = UINT64_MAX;
        st = VS_OK;
    }
    if (st == VS_OK)
        *io_owned = owned;
    return st;
}

VSI_FN vs_status vsi_file_sync(vsi_err *err, const vsi_file *file) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->sync(file->vfs->ctx, file->handle, why);
    while (file_again(st, &interrupts));
    if (st != VS_OK && file->failed_syncs)
        vsi_atomic_add(file->failed_syncs, 1);
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_SYNC, "sync", file->path, why);
}

VSI_FN vs_status vsi_file_lock(vsi_err *err, const vsi_file *file, int kind) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->lock(file->vfs->ctx, file->handle, kind, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_LOCK, "lock", file->path, why);
}

VSI_FN vs_status vsi_file_map(const vsi_file *file, uint64_t offset, size_t bytes,
                              const void **out) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->map(file->vfs->ctx, file->handle, offset, bytes, out, why);
    while (file_again(st, &interrupts));
    return st;
}

VSI_FN void vsi_file_unmap(const vsi_file *file, const void *address, size_t bytes) {
    file->vfs->unmap(file->vfs->ctx, file->handle, address, bytes);
}

static uint32_t file_clamp_unit(uint32_t bytes) {
    uint32_t unit = 512;
    while (unit < bytes && unit < 65536)
        unit *= 2;
    return unit;
}

VSI_FN vs_status vsi_file_device_info(vsi_err *err, const vsi_file *file,
                                      vs_device_info *out_info) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_device_info info = {0};
    vs_status st = VS_OK;
    do
        st = file->vfs->device_info(file->vfs->ctx, file->handle, &info, why);
    while (file_again(st, &interrupts));
    if (st != VS_OK)
        return file_fail(err, st, VS_ERR_IO, "device of", file->path, why);
    out_info->sector_bytes = file_clamp_unit(info.sector_bytes);
    out_info->blast_bytes = file_clamp_unit(info.blast_bytes);
    return VS_OK;
}

VSI_FN vs_status vsi_os_remove(vsi_err *err, const vs_vfs *vfs, const char *path) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = vfs->remove(vfs->ctx, path, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_DELETE, "delete", path, why);
}

VSI_FN vs_status vsi_os_sync_dir(vsi_err *err, const vs_vfs *vfs, const char *path) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = vfs->sync_dir(vfs->ctx, path, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st
                       : file_fail(err, st, VS_ERR_IO_SYNC_DIR, "sync the folder of", path, why);
}

VSI_FN vs_status vsi_os_full_path(vsi_err *err, const vs_vfs *vfs, const char *path, char *out,
                                  size_t out_bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = vfs->full_path(vfs->ctx, path, out, out_bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_OPEN, "open", path, why);
}

VSI_FN vs_status vsi_os_random(vsi_err *err, const vs_vfs *vfs, void *buf, size_t bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = vfs->random(vfs->ctx, buf, bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO, "read", "random numbers", why);
}
