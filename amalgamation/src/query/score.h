/* score.h - the distances of rows from a query, as results have them: whoever decides which record is nearer asks here. */
#ifndef VSI_SCORE_H
#define VSI_SCORE_H

#include "math/dispatch.h"
#include "store/desc.h"

typedef struct vsi_score {
    const vsi_kernels *kernels;
    const vsi_field *field;
    const void *vector; /* [dim] the query, as rows are; borrowed */
    const void *query;  /* the same as kernels take it */
    double query_norm;  /* squared; for cosine */
} vsi_score;

/* Memory that a query takes beside its vector. */
VSI_FN size_t vsi_score_bytes(const vsi_field *field);
/* vector [dim] elements of the field's type, and memory [vsi_score_bytes], both aligned for them, outlive the score. */
VSI_FN vsi_score vsi_score_begin(const vsi_kernels *kernels, const vsi_field *field,
                                 const void *vector, void *memory);

/* At least what the distances may be off by, rounding included, in the units of quant/rq: as a part of the distance for l2, of the product
 * of the lengths for ip, of 1 for cosine. */
VSI_FN double vsi_score_error(const vsi_field *field);

/* Distances of n rows, step by step, so that a scan asks memory for the next rows before it looks at these. First their sums, of rows one
 * after the other or of rows anywhere, which are the same bit for bit. out and norm [n]. */
VSI_FN void vsi_score_sums(const vsi_score *score, const uint8_t *rows, size_t n, double *out,
                           double *norm);
VSI_FN void vsi_score_sums_of(const vsi_score *score, const void *const *rows, size_t n,
                              double *out, double *norm);
/* Then the rows that may be at the distance limit or nearer: where they were among n, at most 65536, into out_place [n], their sums to the
 * front. Returns how many; all others are farther. */
VSI_FN size_t vsi_score_near(const vsi_score *score, size_t n, double limit, double *sums,
                             double *norm, uint16_t *out_place);
/* Then what sums are as distances. NaN: vsi_score_row has to compute it; returns how many are. */
VSI_FN size_t vsi_score_finish(const vsi_score *score, size_t n, double *sums, const double *norm);
/* The distance of one row whose sums left the range of single precision, above or below: in double. */
VSI_FN double vsi_score_row(const vsi_score *score, const void *row);

/* All of it, for n rows one after the other. */
VSI_FN void vsi_score_rows(const vsi_score *score, const uint8_t *rows, size_t n, double *out,
                           double *norm);

#endif
