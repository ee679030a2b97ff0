/* freelist.h - the list of free pages: read before the first extent is written, written anew by every
 * checkpoint. Of the holder of the writer role. */
#ifndef VSI_FREELIST_H
#define VSI_FREELIST_H

#include "store/engine.h"

/* Makes the pager's space known; one that is damaged is made anew from what the checkpoints reach. */
VS_NODISCARD VSI_FN vs_status vsi_freelist_load(vsi_err *err, vsi_engine *engine);

/* Writes the list for a checkpoint beside which those from first_kept on are kept; its own extent is not in
 * it. out_end is where the file ends for that checkpoint, in pages. */
VS_NODISCARD VSI_FN vs_status vsi_freelist_save(vsi_err *err, vsi_engine *engine,
                                                uint64_t first_kept, vsi_ref *out_ref,
                                                uint64_t *out_end);

#endif
