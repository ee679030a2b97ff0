/* live.h - sets of slots of a collection in one version: bitmaps in a B+tree. */
#ifndef VSI_LIVE_H
#define VSI_LIVE_H

#include "store/btree.h"

enum { VSI_LIVE_CHUNK_SLOTS = 4096, VSI_LIVE_CHUNK_BYTES = VSI_LIVE_CHUNK_SLOTS / 8 };

/* The slots that hold a record; set n above 0 is of those that have the vector of field n - 1, where records
 * may be without. */
enum { VSI_LIVE_RECORDS = 0 };

VS_NODISCARD VSI_FN vs_status vsi_live_get(vsi_err *err, const vsi_btree *live, uint32_t set,
                                           uint32_t slot, bool *out_is_live);

/* On a failure undo the scope. */
VS_NODISCARD VSI_FN vs_status vsi_live_set(vsi_err *err, vsi_btree *live, uint32_t set,
                                           uint32_t slot, bool is_live);

/* Of the entry of a chunk; false: it is of none. */
VS_NODISCARD VSI_FN bool vsi_live_chunk_of(vsi_bytes key, uint32_t *out_set, uint32_t *out_chunk);

/* A walk over one set. Start it as {.live = tree, .set = set}. */
typedef struct vsi_live_scan {
    const vsi_btree *live;
    uint32_t set;
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
