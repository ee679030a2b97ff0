/* vfs.c - the file systems that ship with the library. */
#include "os/memory.h"
#include "os/posix.h"

const vs_vfs *vs_vfs_posix(void) {
    return vsi_posix_vfs();
}

vs_status vs_vfs_memory_create(const vs_allocator *allocator, vs_vfs **out_vfs) {
    if (!out_vfs || (allocator && !allocator->realloc))
        return VS_ERR_MISUSE;
    return vsi_memory_vfs_create(allocator, out_vfs);
}

void vs_vfs_memory_destroy(vs_vfs *vfs) {
    vsi_memory_vfs_destroy(vfs);
}
