/* flush.h - writes everything of a state that is only in memory into the database file. */
#ifndef VSI_FLUSH_H
#define VSI_FLUSH_H

#include "store/state.h"

/* Writes slabs that changed and the blocks that the state reaches; afterwards the state, which is the
 * caller's copy, leads to extents only. The blocks stay as they are, for those who read them. The
 * caller has an open scope, and holds the writer role. On a failure undo the scope and the pager. */
VS_NODISCARD VSI_FN vs_status vsi_flush(vsi_err *err, vsi_state *state);

/* Parts of it, to make room in memory before there is a checkpoint. The trees of the state alone: it leads
 * to extents then, but for slabs. */
VS_NODISCARD VSI_FN vs_status vsi_flush_trees(vsi_err *err, vsi_state *state);
/* About max_bytes of slabs alone. They stay where they are written, whatever becomes of a transaction. */
VS_NODISCARD VSI_FN vs_status vsi_flush_slabs_early(vsi_err *err, const vsi_state *state,
                                                    uint64_t max_bytes);

/* A sync failed: slabs written early may be lost (vsi_slabs_distrust). */
VS_NODISCARD VSI_FN vs_status vsi_flush_distrust(vsi_err *err, const vsi_state *state);

/* How many bytes of slabs are not in the file yet. */
VSI_FN uint64_t vsi_flush_slabs_left(const vsi_state *state);

/* Looks up where the state's slabs are, for vsi_flush_settle. vsi_flush does so itself. */
VS_NODISCARD VSI_FN vs_status vsi_flush_locate(vsi_err *err, const vsi_state *state);

/* What vsi_flush wrote is part of a checkpoint: slabs are not dirty any more. */
VSI_FN void vsi_flush_settle(const vsi_state *state);
/* The same for collections that a reader, whose version may be older, looked at for the first time
 * meanwhile: afterwards no array relies on extents that the state does not reach, but for those of
 * readers that stood in an older version before. */
VS_NODISCARD VSI_FN vs_status vsi_flush_catch_up(vsi_err *err, const vsi_state *state);

#endif
