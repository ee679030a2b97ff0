/* exact.h - exact search: every record of a collection against the query. */
#ifndef VSI_EXACT_H
#define VSI_EXACT_H

#include "base/watch.h"
#include "math/kernels.h"
#include "query/topk.h"
#include "store/state.h"

/* What a watch of scans counts. */
#define VSI_EXACT_STEPS "rows searched"

/* What a scan asks for. */
typedef struct vsi_exact_ask {
    vsi_descs *descs; /* what may leave memory on the way */
    uint32_t field;
    const void *query;   /* [dim] elements of the field's type, aligned for it */
    uint32_t excluded;   /* the record in this slot is not wanted; VSI_SLOT_NONE */
    const vs_hit *after; /* only what comes behind this hit is wanted; NULL: everything. Borrowed */
    vsi_watch *watch;    /* rows are its steps; borrowed */
} vsi_exact_ask;

/* Offers every record of coll that has the field's vector to topk, and sorts that. stay is the caller's, who holds nothing else by it: it is
 * renewed on the way. VS_ERR_INTERRUPTED, VS_ERR_TIMEOUT. */
VS_NODISCARD VSI_FN vs_status vsi_exact_scan(vsi_err *err, const vsi_kernels *kernels,
                                             const vsi_coll *coll, const vsi_exact_ask *ask,
                                             vsi_stay *stay, vsi_topk *topk);

/* The distance of two vectors of a field, as a scan would find it. query is aligned as above. */
VSI_FN double vsi_exact_distance(const vsi_kernels *kernels, const vsi_coll *coll, uint32_t field,
                                 const void *query, const void *row);

#endif
