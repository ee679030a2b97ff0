/* slab.h - rows of a fixed size by slot number, in slabs of 2^shift rows.
 *
 * Rows are not versioned, all versions share the array: a row is written before its slot becomes
 * live and not again while any version that has it live may be read. */
#ifndef VSI_SLAB_H
#define VSI_SLAB_H

#include "store/btree.h"

enum { VSI_SLAB_BYTES_MIN = 16384, VSI_SLAB_ALIGN = 64, VSI_SLAB_SHIFT_MAX = 17 };

#define VSI_SLOT_NONE UINT32_MAX /* no slot */

typedef struct vsi_slab_table vsi_slab_table;

/* A slab in memory is read in when it is first needed, and then stays. */
typedef struct vsi_slabs {
    vsi_mem *mem;
    uint32_t row_bytes;
    uint32_t shift;         /* rows of a slab, as a power of two */
    uint32_t element_bytes; /* of numbers that are little-endian in the file; 1: bytes */
    vsi_btree dir;          /* slab number -> extent, of slabs not in memory; by the pager's slab lock */
    vsi_atomic_ptr table;   /* vsi_slab_table: readers load it */
    vsi_slab_table *tables; /* all, newest first: readers may still hold older ones */
    vsi_buf dirty;          /* uint32_t: slabs changed since they were written; of the writer */
} vsi_slabs;

/* The number of rows of a slab, as a power of two, for rows of this size. */
VSI_FN uint32_t vsi_slab_shift(uint32_t row_bytes);

VSI_FN void vsi_slabs_init(vsi_slabs *slabs, vsi_mem *mem, uint32_t row_bytes, uint32_t shift);
VSI_FN void vsi_slabs_free(vsi_slabs *slabs); /* accepts one that is all zero */

/* The row of a slot whose slab exists, in memory or in the file. Any thread. */
VS_NODISCARD VSI_FN vs_status vsi_slab_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                           const uint8_t **out_row);
/* How many slots from slot on lie in the same slab, so row after row in memory. */
VSI_FN uint32_t vsi_slab_run(const vsi_slabs *slabs, uint32_t slot);

/* Writes the slabs that changed, and notes in dir where they are now. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_write(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir);
/* What vsi_slabs_write wrote is durable, and dir has its places. */
VSI_FN void vsi_slabs_settle(vsi_slabs *slabs, const vsi_btree *dir);

/* The row of any slot, to be changed, its slab made when needed. Holder of the writer role only. */
VS_NODISCARD VSI_FN vs_status vsi_slab_make_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                                uint8_t **out_row);

#endif
