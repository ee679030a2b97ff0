/* memory.h - a file system in memory. */
#ifndef VSI_OS_MEMORY_H
#define VSI_OS_MEMORY_H

#include "base/mem.h"

VSI_FN vs_status vsi_memory_vfs_create(const vs_allocator *allocator, vs_vfs **out_vfs);
VSI_FN void vsi_memory_vfs_destroy(vs_vfs *vfs); /* accepts NULL */

#endif
