/* savepoint.h - places in a transaction that it can go back to; the same for a live one and for recovery.
 *
 * Each is a scope of the copy on write inside the one before, so what it must bring back is still there. */
#ifndef VSI_SAVEPOINT_H
#define VSI_SAVEPOINT_H

#include "store/engine.h"

typedef struct vsi_savepoint {
    vsi_state state;
    vsi_cow_mark mark;
    size_t pages_bytes;                         /* of the pager's taken */
    size_t ops_bytes, freed_bytes, taken_bytes; /* for store/write, as the next two */
    size_t touched_bytes;
    bool has_grown;
} vsi_savepoint;

/* Savepoints of a transaction, the outermost first; numbers count from 1. */
typedef struct vsi_savepoints {
    vsi_engine *engine; /* borrowed */
    vsi_buf list;       /* vsi_savepoint */
    uint32_t count;
} vsi_savepoints;

VSI_FN vsi_savepoint *vsi_savepoints_at(const vsi_savepoints *points, uint32_t number);

/* Opens one inside all others. VS_ERR_LIMIT, VS_ERR_NOMEM. */
VS_NODISCARD VSI_FN vs_status vsi_savepoints_open(vsi_err *err, vsi_savepoints *points,
                                                  const vsi_state *state);
/* The state as it was when this one, which is open, was opened; it stays open, those inside end. */
VSI_FN void vsi_savepoints_rollback_to(vsi_savepoints *points, uint32_t number, vsi_state *state);
/* Ends this one, if it is open, and those inside; what was changed stays. */
VSI_FN void vsi_savepoints_release(vsi_savepoints *points, uint32_t number);

#endif
