/* relocate.h - moves extents towards the front of the file, so that its end can be cut off. */
#ifndef VSI_RELOCATE_H
#define VSI_RELOCATE_H

#include "store/state.h"

/* Writes what the state reaches at first_page and behind it again before that, as far as there are free
 * pages; the state, which leads to extents only and is the caller's copy, leads there then. The caller has
 * an open scope, and holds the writer role. On a failure undo the scope and the pager. */
VS_NODISCARD VSI_FN vs_status vsi_relocate(vsi_err *err, vsi_state *state, uint64_t first_page);

#endif
