/* region.h - large blocks of one database, cut from regions of 2 MiB, so that the system can give them
 * pages of that size: what is read from end to end is read faster there. */
#ifndef VSI_REGION_H
#define VSI_REGION_H

#include "base/mem.h"

enum { VSI_REGION_BYTES = 2 << 20, VSI_BLOCK_BYTES_MIN = 16384, VSI_BLOCK_BYTES_MAX = 288 << 10 };

/* Memory straight from the system (os/pages). Any thread. */
typedef struct vsi_pages {
    void *ctx;
    /* Zeros, aligned to bytes, a power of two; NULL: the system refuses. */
    void *(*map)(void *ctx, size_t bytes);
    void (*unmap)(void *ctx, void *first, size_t bytes);
    /* A wish: pages as large as a region, from now on, or small ones only. */
    void (*prefer)(void *ctx, void *first, size_t bytes, bool is_large);
    /* The whole pages in there leave memory; what they held is lost. */
    void (*give_back)(void *ctx, void *first, size_t bytes);
} vsi_pages;

typedef struct vsi_regions {
    vsi_mem *mem;           /* borrowed */
    const vsi_pages *pages; /* borrowed; NULL: blocks are memory like any other */
    vsi_mutex lock;         /* guards classes and all regions */
    struct region_class *classes;
    bool is_closing;
} vsi_regions;

/* From now on, until vsi_regions_free, blocks of mem lie in regions. */
VSI_FN bool vsi_regions_init(vsi_regions *regions, vsi_mem *mem, const vsi_pages *pages);
/* One thread alone is left, and frees everything: blocks only stop counting, and no lock is taken, which in
 * a child forked from the process might never become free. */
VSI_FN void vsi_regions_close(vsi_regions *regions);
VSI_FN void
vsi_regions_free(vsi_regions *regions); /* and all blocks; accepts one that is all zero */

/* For what is large and stays: as vsi_alloc and vsi_free, and the same where mem has no regions. Never
 * to be given to vsi_realloc. Any thread. kind: blocks of one kind that are made one after the other lie next to each
 * other, whatever is made between them. */
VSI_FN void *vsi_block_alloc(vsi_mem *mem, size_t bytes, uint32_t kind);
VSI_FN void vsi_block_free(vsi_mem *mem, void *block, size_t bytes);

#endif
