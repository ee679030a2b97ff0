/* exact.h - exact search: every record of a collection against one query or many. */
#ifndef VSI_EXACT_H
#define VSI_EXACT_H

#include "base/watch.h"
#include "query/score.h"
#include "query/topk.h"
#include "store/state.h"

/* What a watch of scans counts. */
#define VSI_EXACT_STEPS "rows searched"

/* What all queries of a scan have in common. */
typedef struct vsi_exact_ask {
    const vsi_kernels *kernels;
    vsi_descs *descs; /* what may leave memory on the way */
    uint32_t field;
    uint32_t excluded;   /* the record in this slot is not wanted; VSI_SLOT_NONE */
    const vs_hit *after; /* only what comes behind this hit is wanted; NULL: everything. Borrowed */
    vsi_watch *watch;    /* rows are its steps, once for each query; borrowed */
    void *memory;        /* [memory_bytes] aligned for anything. Borrowed */
    size_t memory_bytes; /* vsi_exact_bytes, or what that was before there were codes */
} vsi_exact_ask;

/* A query, and what is nearest to it. */
typedef struct vsi_exact_query {
    const void *vector; /* [dim] elements of the field's type, aligned for it */
    vsi_topk topk;
    uint64_t scored; /* rows whose distance was computed are added to it */
    vsi_score score; /* the scan's */
} vsi_exact_query;

/* Memory that a scan of a field for so many queries uses. With codes that another thread makes meanwhile it could use more, and does
 * without. */
VSI_FN size_t vsi_exact_bytes(const vsi_coll *coll, const vsi_exact_ask *ask, size_t count);

/* Offers every record of coll that has the field's vector to the queries' topks, and sorts these; each row is read once for
 * all of them. stay is the caller's, who holds nothing else by
 * it: it is renewed on the way. VS_ERR_INTERRUPTED, VS_ERR_TIMEOUT. */
VS_NODISCARD VSI_FN vs_status vsi_exact_scan(vsi_err *err, const vsi_coll *coll,
                                             const vsi_exact_ask *ask, vsi_exact_query *queries,
                                             size_t count, vsi_stay *stay);

/* The distance of two vectors of a field, as a scan for one query would find it, with a scan's memory. */
VSI_FN double vsi_exact_distance(const vsi_exact_ask *ask, const vsi_field *field,
                                 const void *query, const void *row);

#endif
