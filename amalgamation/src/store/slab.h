/* slab.h - rows of a fixed size by slot number, in slabs of 2^shift rows.
 *
 * Rows are not versioned: a slot is written before it becomes live and not again while any version
 * that has it live may be read. */
#ifndef VSI_SLAB_H
#define VSI_SLAB_H

#include "store/radix.h"

enum { VSI_SLAB_BYTES_MIN = 16384, VSI_SLAB_ALIGN = 64 };

typedef struct vsi_slabs {
    vsi_radix table;
    uint32_t row_bytes;
    uint32_t shift; /* rows of a slab, as a power of two */
} vsi_slabs;

VSI_FN vsi_slabs vsi_slabs_of(uint32_t row_bytes); /* empty */

/* The row of a slot whose slab exists. */
VSI_FN uint8_t *vsi_slab_row(const vsi_slabs *slabs, uint32_t slot);
/* How many slots from slot on lie in the same slab, so row after row in memory. */
VSI_FN uint32_t vsi_slab_run(const vsi_slabs *slabs, uint32_t slot);

/* The row of any slot, its slab made when needed; NULL when there is no memory. */
VSI_FN uint8_t *vsi_slab_make_row(vsi_cow *cow, vsi_slabs *slabs, uint32_t slot);

#endif
