/* file.h - files through a vs_vfs: whole transfers, retries, and messages that name the file. */
#ifndef VSI_FILE_H
#define VSI_FILE_H

#include "base/mem.h"

enum {
    VSI_PATH_BYTES_MAX = 4096,
    VSI_NAME_BYTES_MAX = 230 /* 255, what file systems take, less "-wal-" and a number */
};

/* A VFS call that is interrupted this often in a row fails. */
enum { VSI_INTERRUPTS_MAX = 100 };

typedef struct vsi_file {
    const vs_vfs *vfs; /* borrowed; NULL: not open */
    vsi_mem *mem;      /* borrowed */
    void *handle;
    char *path;                   /* owned */
    vsi_atomic_u64 *failed_syncs; /* borrowed, counted up; NULL: nobody wants to know */
} vsi_file;

/* mode is VS_VFS_... The file is all zero (not open) on failure. */
VSI_FN vs_status vsi_file_open(vsi_err *err, vsi_mem *mem, const vs_vfs *vfs, const char *path,
                               uint32_t mode, vsi_file *out_file);
VSI_FN void vsi_file_close(vsi_file *file); /* accepts one that is not open */
VSI_FN bool vsi_file_is_open(const vsi_file *file);

/* Reads until bytes are there or the file ends; out_bytes tells which. */
VSI_FN vs_status vsi_file_read(vsi_err *err, const vsi_file *file, void *buf, size_t bytes,
                               uint64_t offset, size_t *out_bytes);
VSI_FN vs_status vsi_file_write(vsi_err *err, const vsi_file *file, const void *buf, size_t bytes,
                                uint64_t offset);
VSI_FN vs_status vsi_file_size(vsi_err *err, const vsi_file *file, uint64_t *out_bytes);
VSI_FN vs_status vsi_file_truncate(vsi_err *err, const vsi_file *file, uint64_t bytes);
/* Reserves space below bytes, and spare bytes more if the device has them. io_owned is what the file is known
 * to own, UINT64_MAX: nobody knows, which it becomes where the VFS cannot reserve. VS_ERR_FULL. */
VS_NODISCARD VSI_FN vs_status vsi_file_reserve(vsi_err *err, const vsi_file *file, uint64_t bytes,
                                               uint64_t spare, uint64_t *io_owned);
VSI_FN vs_status vsi_file_sync(vsi_err *err, const vsi_file *file);
VSI_FN vs_status vsi_file_lock(vsi_err *err, const vsi_file *file, int kind);
/* Maps [offset, offset + bytes), inside the file, for reading. A failure only means that it must be read:
 * there is no message. */
VS_NODISCARD VSI_FN vs_status vsi_file_map(const vsi_file *file, uint64_t offset, size_t bytes,
                                           const void **out);
VSI_FN void vsi_file_unmap(const vsi_file *file, const void *address, size_t bytes);
/* sector_bytes and blast_bytes are powers of two from 512 to 64 KiB, whatever the VFS says. */
VSI_FN vs_status vsi_file_device_info(vsi_err *err, const vsi_file *file, vs_device_info *out_info);

VSI_FN vs_status vsi_os_remove(vsi_err *err, const vs_vfs *vfs, const char *path);
VSI_FN vs_status vsi_os_sync_dir(vsi_err *err, const vs_vfs *vfs, const char *path);
VSI_FN vs_status vsi_os_full_path(vsi_err *err, const vs_vfs *vfs, const char *path, char *out,
                                  size_t out_bytes);
VSI_FN vs_status vsi_os_random(vsi_err *err, const vs_vfs *vfs, void *buf, size_t bytes);

#endif
