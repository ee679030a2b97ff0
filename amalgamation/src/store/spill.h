/* spill.h - moves changes that are not in a checkpoint yet out of memory when the limit asks for it. */
#ifndef VSI_SPILL_H
#define VSI_SPILL_H

#include "store/engine.h"

/* Lets what the file has leave memory; if that is not enough, writes slabs and then the trees of state, the
 * newest one, to pages that nothing in the file leads to. Nodes of the pager's taken are the caller's to
 * keep or undo with the state. True: trees were written, places in them are not valid any more. A failure
 * only leaves more in memory. Holder of the writer role, who does not stay. */
VSI_FN bool vsi_spill(vsi_engine *engine, vsi_state *state);

/* More of trees changed than should stay in memory. */
VSI_FN bool vsi_spill_trees_are_large(vsi_engine *engine);

#endif
