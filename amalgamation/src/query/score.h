/* score.h - the distances of rows from a query, as results have them: whoever decides which record is nearer asks here. */
#ifndef VSI_SCORE_H
#define VSI_SCORE_H

#include "math/dispatch.h"
#include "store/desc.h"

typedef struct vsi_score {
    const vsi_kernels *kernels;
    const vsi_field *field;
    const void *query; /* [dim] elements of the field's type, aligned for it */
    double query_norm; /* squared; for cosine */
} vsi_score;

VSI_FN vsi_score vsi_score_begin(const vsi_kernels *kernels, const vsi_field *field,
                                 const void *query);

/* At least what the distances may be off by, rounding included, in the units of quant/rq: as a part of the distance for l2, of the product
 * of the lengths for ip, of 1 for cosine. */
VSI_FN double vsi_score_error(const vsi_field *field);

/* Of n rows one after the other; infinity may stand for what is beyond limit. out and scratch [n]. */
VSI_FN void vsi_score_rows(const vsi_score *score, const uint8_t *rows, size_t n, double limit,
                           double *out, double *scratch);
/* Of n rows anywhere: the same bit for bit. */
VSI_FN void vsi_score_some(const vsi_score *score, const void *const *rows, size_t n, double limit,
                           double *out, double *scratch);

#endif
