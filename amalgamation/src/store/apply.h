/* apply.h - the one function that changes what a database contains.
 *
 * vsi_apply serves live commits and recovery alike: the same operations on the same state give the
 * same state, digest included. */
#ifndef VSI_APPLY_H
#define VSI_APPLY_H

#include "store/op.h"
#include "store/state.h"

/* A slot that a version gave up; VSI_SLOT_NONE: the collection itself. */
typedef struct vsi_freed_slot {
    uint32_t coll, slot;
} vsi_freed_slot;

/* Applies one operation. freed, unless NULL, collects vsi_freed_slot structs. On any failure undo
 * the scope and restore the state: VS_ERR_CORRUPT when the operation does not fit the state (only
 * recovery can meet that), VS_ERR_NOMEM. */
VS_NODISCARD VSI_FN vs_status vsi_apply(vsi_err *err, vsi_state *state, const vsi_op *op,
                                        vsi_buf *freed);

#endif
