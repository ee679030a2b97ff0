/* mem.h - memory of one database: the host's allocator, and how much is in use. */
#ifndef VSI_MEM_H
#define VSI_MEM_H

#include "base/status.h"

typedef struct vsi_mem {
    vs_allocator hook;
    vsi_atomic_u64 used_bytes;
    struct vsi_regions
        *regions; /* borrowed: where blocks are cut from (base/region); NULL: nowhere */
} vsi_mem;

VSI_FN void vsi_mem_init(vsi_mem *mem, const vs_allocator *allocator); /* NULL: malloc */

/* Up to whole cache lines, for parts of one block of memory. */
VSI_FN size_t vsi_whole_lines(size_t bytes);

/* NULL when the allocator refuses, or when bytes is 0. Contents are undefined. */
VSI_FN void *vsi_alloc(vsi_mem *mem, size_t bytes);
VSI_FN void *vsi_alloc_zeroed(vsi_mem *mem, size_t bytes);
/* On NULL the old block stays as it was. */
VSI_FN void *vsi_realloc(vsi_mem *mem, void *ptr, size_t old_bytes, size_t new_bytes);
VSI_FN void vsi_free(vsi_mem *mem, void *ptr, size_t bytes); /* accepts NULL */

/* A growable run of bytes. All zero but mem: empty. Owns its data. */
typedef struct vsi_buf {
    vsi_mem *mem;
    uint8_t *data;
    size_t bytes;
    size_t cap;
} vsi_buf;

/* Room for extra more bytes behind those in use; false when there is no memory. */
VSI_FN bool vsi_buf_reserve(vsi_buf *buf, size_t extra);
VSI_FN bool vsi_buf_append(vsi_buf *buf, const void *data, size_t bytes);
VSI_FN void vsi_buf_free(vsi_buf *buf); /* leaves it empty and usable */

#endif
