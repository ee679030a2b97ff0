/* sieve.h - which rows may be near a query, by bounds from their codes: nothing that is near enough is left out, and what is kept
 * is for query/score to decide. */
#ifndef VSI_SIEVE_H
#define VSI_SIEVE_H

#include "math/dispatch.h"
#include "store/encode.h"

/* The queries of a scan. */
typedef struct vsi_sieve {
    const vsi_kernels *kernels;
    const vsi_field *field;
    const vsi_rq *rq;
    vsi_rq_query *query; /* [count] */
    bool *is_bounded;    /* [count] false: a query without bounds, which keeps all */
    uint8_t *work;       /* [count] of what a query needs, then a vector in single precision */
    size_t work_bytes, count;
} vsi_sieve;

/* Whether a version has codes for a field. */
VSI_FN bool vsi_sieve_fits(const vsi_coll *coll, uint32_t field);
/* Memory that a sieve takes for so many queries. */
VSI_FN size_t vsi_sieve_bytes(const vsi_field *field, size_t count);

/* memory [vsi_sieve_bytes] is aligned for anything and outlives the sieve. */
VSI_FN void vsi_sieve_begin(vsi_sieve *sieve, const vsi_kernels *kernels, const vsi_coll *coll,
                            uint32_t field, size_t count, void *memory);
/* vector [dim] of the field's type. */
VSI_FN void vsi_sieve_add(vsi_sieve *sieve, size_t query, const void *vector);

/* What the distances of n rows of codes from a query cannot be below, into out_lower [n]. codes NULL: of rows about
 * which nothing is known. */
VSI_FN void vsi_sieve_bounds(const vsi_sieve *sieve, size_t query, const uint8_t *codes, size_t n,
                             float *out_lower);
/* Those of n rows that may be at the distance limit or nearer: their numbers, which begin with first, into out_place [n]. Returns
 * how many. */
VSI_FN size_t vsi_sieve_keep(const vsi_sieve *sieve, const float *lower, size_t n, double limit,
                             uint16_t first, uint16_t *out_place);

#endif
