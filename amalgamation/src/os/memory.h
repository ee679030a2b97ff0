/* memory.h - a file system in memory. */
#ifndef VSI_OS_MEMORY_H
#define VSI_OS_MEMORY_H

#include "base/mem.h"

VSI_FN vs_status vsi_memory_vfs_create(const vs_allocator *allocator, vs_vfs **out_vfs);
/* A new file with these bytes: copied, or borrowed as long as the file system lives; then it can only be
 * read. The name must be free. VS_ERR_NOMEM, VS_ERR_FULL. */
VSI_FN vs_status vsi_memory_vfs_put(vs_vfs *vfs, const char *name, const void *data, size_t bytes,
                                    bool borrows);
VSI_FN void vsi_memory_vfs_destroy(vs_vfs *vfs); /* accepts NULL */

#endif
