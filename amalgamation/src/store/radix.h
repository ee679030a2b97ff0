/* radix.h - a sparse array of blocks, copied on write: the directory of slabs and bitmaps. */
#ifndef VSI_RADIX_H
#define VSI_RADIX_H

#include "store/cow.h"

/* All zero: empty. Copying the struct copies the version. */
typedef struct vsi_radix {
    void *root;
    uint32_t height; /* levels of nodes; 256^height entries fit */
} vsi_radix;

VSI_FN void *vsi_radix_get(const vsi_radix *radix, uint32_t at); /* NULL when there is none */

/* Puts block at a place. False when there is no memory: undo the scope. */
VSI_FN bool vsi_radix_set(vsi_cow *cow, vsi_radix *radix, uint32_t at, void *block);

#endif
