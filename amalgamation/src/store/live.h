/* live.h - which slots of a collection hold a record in one version: a bitmap, copied on write. */
#ifndef VSI_LIVE_H
#define VSI_LIVE_H

#include "store/radix.h"

enum { VSI_LIVE_CHUNK_SLOTS = 32768 }; /* 4 KiB of bits */

/* All zero: no slot is live. Copying the struct copies the version. */
typedef struct vsi_live {
    vsi_radix chunks;
} vsi_live;

VSI_FN bool vsi_live_get(const vsi_live *live, uint32_t slot);

/* False when there is no memory: undo the scope. */
VSI_FN bool vsi_live_set(vsi_cow *cow, vsi_live *live, uint32_t slot, bool is_live);

/* The first live slot at or after slot and below end, or end. */
VSI_FN uint32_t vsi_live_next(const vsi_live *live, uint32_t slot, uint32_t end);
/* The first slot at or after slot and below end that is not live, or end. */
VSI_FN uint32_t vsi_live_next_dead(const vsi_live *live, uint32_t slot, uint32_t end);

#endif
