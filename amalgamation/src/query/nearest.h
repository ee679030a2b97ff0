/* nearest.h - the records nearest to a query one after the other, as many as there are. */
#ifndef VSI_NEAREST_H
#define VSI_NEAREST_H

#include "query/exact.h"

/* A search that goes on. It finds a chunk of hits at once, the next one when that is used up: those behind
 * the last hit, a larger chunk each time up to a limit. */
typedef struct vsi_nearest {
    uint32_t field, timeout_ms; /* of one call that goes on; 0: none */
    vsi_buf query;              /* [dim] elements of the field's type */
    vsi_buf chunk;              /* vs_hit, as vsi_topk_sort leaves them */
    size_t at;                  /* the next one of it */
    size_t wanted;              /* of the next chunk */
    bool is_last;               /* no other chunk follows */
    double distance;            /* of the last hit taken */
} vsi_nearest;

VSI_FN void vsi_nearest_init(vsi_nearest *nearest, vsi_mem *mem);
VSI_FN void vsi_nearest_free(vsi_nearest *nearest);

/* What was found is of another state than the one that comes next. */
VSI_FN void vsi_nearest_forget(vsi_nearest *nearest);

/* The next hit, VS_ROW, or VS_DONE. last: the key of the last hit taken; NULL: none was yet. ask tells all but
 * the field. A failure can be tried again, and what was not taken comes again. */
VS_NODISCARD VSI_FN vs_status vsi_nearest_next(vsi_err *err, vsi_nearest *nearest,
                                               const vsi_coll *coll, vsi_exact_ask ask,
                                               vsi_stay *stay, const vs_key *last, vs_hit *out_hit);
VSI_FN void vsi_nearest_take(vsi_nearest *nearest);

#endif
