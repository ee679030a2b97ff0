/* live.h - which slots of a collection hold a record in one version: a bitmap in a B+tree. */
#ifndef VSI_LIVE_H
#define VSI_LIVE_H

#include "store/btree.h"

enum { VSI_LIVE_CHUNK_SLOTS = 4096, VSI_LIVE_CHUNK_BYTES = VSI_LIVE_CHUNK_SLOTS / 8 };

VS_NODISCARD VSI_FN vs_status vsi_live_get(vsi_err *err, const vsi_btree *live, uint32_t slot,
                                           bool *out_is_live);

/* On a failure undo the scope. */
VS_NODISCARD VSI_FN vs_status vsi_live_set(vsi_err *err, vsi_btree *live, uint32_t slot,
                                           bool is_live);

/* A walk over the slots of one version. Start it as {.live = tree}. */
typedef struct vsi_live_scan {
    const vsi_btree *live;
    bool is_loaded, is_missing; /* a missing chunk is all zero */
    uint32_t chunk;             /* that bits belong to */
    uint8_t bits[VSI_LIVE_CHUNK_BYTES];
} vsi_live_scan;

/* The first slot at or after slot and below end that is live, or that is not; or end. */
VS_NODISCARD VSI_FN vs_status vsi_live_next(vsi_err *err, vsi_live_scan *scan, uint32_t slot,
                                            uint32_t end, uint32_t *out_slot);
VS_NODISCARD VSI_FN vs_status vsi_live_next_dead(vsi_err *err, vsi_live_scan *scan, uint32_t slot,
                                                 uint32_t end, uint32_t *out_slot);

#endif
