/* rq.h - RQ codes: vectors as rows of 1, 2, 4 or 8 bits a dim, or of halves, and the distances that they leave possible.
 *
 * A parameter block (dim, metric, kind, seed, mean) says how vectors become rows; rows made with one block are comparable with
 * each other and with queries prepared for it, whatever kernels did it. Distances are those of the collection: l2 squared,
 * ip as -dot, cosine as 1 - cos.
 *
 * A row is a code (math/codes.h) of padded dims, a multiple of 64, and behind it a head of four floats, little-endian:
 *
 *   base     what the row alone adds to its distances; infinite when the row has no code
 *   length   of the decoded vector
 *   error    at least the distance of the decoded vector from the original, both without the mean
 *   inverse  1 / the length of the code as a vector of the grid, for halves of what they are */
#ifndef VSI_RQ_H
#define VSI_RQ_H

#include "base/bytes.h"
#include "math/codes_dispatch.h"
#include "quant/rotate.h"

enum { VSI_RQ_VERSION = 1, VSI_RQ_PACKED_BYTES_MAX = 24 + 4 * 65535 };

typedef struct vsi_rq_spec {
    uint32_t dim;  /* 1 .. VS_DIM_MAX */
    uint32_t kind; /* of codes: math/codes.h */
    int metric;    /* VS_L2, VS_IP or VS_COSINE */
    uint64_t seed; /* of the rotation */
    const float *
        mean; /* [dim] of the vectors, after normalisation for cosine; NULL: zeros. Borrowed for the call */
} vsi_rq_spec;

/* A parameter block in memory. Read-only once made, so threads may share it. */
typedef struct vsi_rq {
    vsi_mem *mem;
    const vsi_codes *kernels;
    uint32_t dim, kind;
    int metric;
    uint64_t seed;
    float *mean; /* [dim], owned */
    double mean_square;
    vsi_rotation rotation;
    vsi_code_grid grid; /* of levels; of halves the whole numbers */
    size_t code_bytes;
} vsi_rq;

/* VS_ERR_INVALID: a kind, metric or dim that there are no codes for, a mean that is not finite or too long; VS_ERR_NOMEM. */
VS_NODISCARD VSI_FN vs_status vsi_rq_create(vsi_err *err, vsi_mem *mem, const vsi_rq_spec *spec,
                                            const vsi_codes *kernels, vsi_rq **out);
VSI_FN void vsi_rq_free(vsi_rq *rq); /* accepts NULL */

/* A block as bytes: 24 + 4 dim of them, at most VSI_RQ_PACKED_BYTES_MAX. */
VSI_FN size_t vsi_rq_packed_bytes(const vsi_rq *rq);
VSI_FN void vsi_rq_write(const vsi_rq *rq, uint8_t *out);
/* VS_ERR_CORRUPT: no such block; VS_ERR_UNSUPPORTED: of a later version; VS_ERR_NOMEM. */
VS_NODISCARD VSI_FN vs_status vsi_rq_read(vsi_err *err, vsi_mem *mem, vsi_bytes packed,
                                          const vsi_codes *kernels, vsi_rq **out);

/* ---- rows ----------------------------------------------------------------------------------- */

VSI_FN size_t vsi_rq_row_bytes(uint32_t dim, uint32_t kind);
/* Scratch for one call of encode or decode, or one query, aligned as for float. */
VSI_FN size_t vsi_rq_work_bytes(uint32_t dim);

/* The row of a vector [dim]. False: it has no code (an element is not finite, or it is longer than 2^60); the row
 * says so, its bounds are infinite, and the caller computes its distances in double. */
VSI_FN bool vsi_rq_encode(const vsi_rq *rq, const float *vector, void *work, uint8_t *row);
/* Whether a row is one that this or another machine may have made of a vector [dim]. */
VSI_FN bool vsi_rq_check(const vsi_rq *rq, const float *vector, void *work, const uint8_t *row);
/* About the vector that was encoded (for cosine: normalised), into out [dim]. False when the row has no code. */
VSI_AHEAD VSI_FN bool vsi_rq_decode(const vsi_rq *rq, const uint8_t *row, void *work, float *out);

/* ---- queries -------------------------------------------------------------------------------- */

typedef struct vsi_rq_query {
    const vsi_rq *rq;   /* borrowed as long as the query is used */
    const void *points; /* [padded] in the work memory: int8_t, for halves float */
    vsi_code_frame frame;
} vsi_rq_query;

/* A query [dim]; work, of vsi_rq_work_bytes, is used as long as the query. kernel_error: the relative error of the
 * kernels that final distances come from, so that bounds hold for what they compute; 0: for true distances. It is a part of the
 * distance for l2, of |query| |row| for ip, and of 1 for cosine. False when it is not finite or longer than 2^60: then no
 * bound exists. */
VS_NODISCARD VSI_FN bool vsi_rq_prepare(const vsi_rq *rq, const float *vector, double kernel_error,
                                        void *work, vsi_rq_query *out);
/* A row as the query: for distances between rows. False when it has no code. */
VSI_AHEAD VS_NODISCARD VSI_FN bool vsi_rq_prepare_row(const vsi_rq *rq, const uint8_t *row,
                                                      double kernel_error, void *work,
                                                      vsi_rq_query *out);

/* For n rows, row i at rows + i * stride: bounds that hold in any case. upper may be NULL. Of a row without code
 * -infinity and infinity. No memory is allocated; any alignment, best when rows begin at multiples of 64. */
VSI_FN void vsi_rq_bounds(const vsi_rq_query *query, const uint8_t *rows, size_t stride, size_t n,
                          float *lower, float *upper);
/* Estimates, unbiased over the seeds of rotations; -infinity for a row without code. */
VSI_AHEAD VSI_FN void vsi_rq_estimates(const vsi_rq_query *query, const uint8_t *rows,
                                       size_t stride, size_t n, float *out);

/* From now on vsi_rq_likely counts with deviations: a distance is outside the interval of estimate and wide, for a random
 * seed, with a probability of at most 2 exp(-deviations^2 / 2). */
VSI_AHEAD VSI_FN void vsi_rq_deviations(vsi_rq_query *query, double deviations);
/* Estimates, and how far off they may be: out_wide [n], infinite for a row without code. */
VSI_FN void vsi_rq_likely(const vsi_rq_query *query, const uint8_t *rows, size_t stride, size_t n,
                          float *out, float *out_wide);

#endif
