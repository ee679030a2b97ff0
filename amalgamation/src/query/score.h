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

/* Of n rows one after the other. out and scratch [n]. */
VSI_FN void vsi_score_rows(const vsi_score *score, const uint8_t *rows, size_t n, double *out,
                           double *scratch);
/* Of n rows anywhere: the same bit for bit. */
VSI_FN void vsi_score_some(const vsi_score *score, const void *const *rows, size_t n, double *out,
                           double *scratch);

#endif
