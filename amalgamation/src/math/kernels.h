/* kernels.h - the table of distance kernels, one per instruction set.
 *
 * All take a query and rows, row after row without gaps, and write out [n], and some of them norm [n]. The query is of
 * the rows' type, for f16 and bf16 in single precision. Any dim from 0, any n, alignment of the element; nothing
 * behind the last row is read.
 *
 *   metric    out                                          norm
 *   l2        squared Euclidean distance                   untouched
 *   ip        inner product, which grows with similarity   untouched
 *   cosine    likewise                                     inner product of the row with itself
 *   l1        sum of the absolute differences              untouched
 *   hamming   bits that differ                             untouched
 *   jaccard   bits that both have                          bits that one of them has
 *
 * Integer kernels are exact. Float kernels, those of half precision too, add in blocks of 1024 elements in single precision and
 * the blocks in double; the scalar table adds in double throughout. Overflow gives an infinity or
 * NaN, underflow a sum that is too small; the caller answers by computing in double. One table gives one result for the same
 * input, be it one row or many. */
#ifndef VSI_KERNELS_H
#define VSI_KERNELS_H

#include "math/element.h"

typedef void vsi_kernel(const void *query, const void *rows, size_t dim, size_t n, double *out,
                        double *norm);

/* The same for rows anywhere, which are fetched ahead. */
typedef void vsi_gather_kernel(const void *query, const void *const *rows, size_t dim, size_t n,
                               double *out, double *norm);

/* Some rows beside VSI_TILE_QUERIES queries. Row r is kept for query q unless
 *
 *   q * r + slope[q] * norm[r] < level[q] + term[r]
 *
 * in single precision, with the inner product of floats added element by element in fused steps, so that its error is at most
 * dim * 2^-24 of the product of the norms, to first order; that of bytes is exact before it is rounded. What is no number keeps. */
typedef struct vsi_tile_rows {
    const void *queries;        /* packed as vsi_tile_form says */
    const float *slope, *level; /* [VSI_TILE_QUERIES] */
    const void *rows;           /* [n][dim] */
    const uint32_t *start;      /* [n] of bytes: what inner products begin with, modulo 2^32 */
    const float *norm, *term;   /* [n] */
    size_t dim, n;
} vsi_tile_rows;

enum { VSI_TILE_QUERIES = 32 };

/* Bit q of out_keep[r]: row r is kept for query q. out_keep [n]. */
typedef void vsi_tile_kernel(const vsi_tile_rows *tile, uint32_t *out_keep);

/* How a set takes rows of a type beside queries of the same. Queries are packed by units of dims: [dim / unit, rounded
 * up][VSI_TILE_QUERIES][unit] elements, zeros behind the last dim. is_shifted, of bytes: 128 has been added to those of queries, modulo
 * 256, so the product of row and query is to begin with 128 times the sum of the row's elements, with a minus for i8. */
typedef struct vsi_tile_form {
    vsi_tile_kernel *kernel; /* NULL: there is none, rows are to be widened */
    uint8_t unit;            /* a power of two */
    bool is_shifted;
} vsi_tile_form;

/* n elements of another type in single precision; to has room for VSI_WIDEN_PAD more, which hold anything then. */
typedef void vsi_widen_kernel(float *to, const void *from, size_t n);

enum { VSI_WIDEN_PAD = 16 };

/* Of n rows, how many at the front are beyond a level for sure (vsi_is_beyond), by what their kernel wrote. */
typedef size_t vsi_beyond_kernel(const double *sums, const double *norm, size_t n, double level);

/* Of n numbers, how many at the front are above a level for sure. */
typedef size_t vsi_above_kernel(const float *x, size_t n, float level);

typedef struct vsi_kernels {
    const char *name;
    const char *names; /* this and all that a machine with it can run besides, best first */
    vsi_kernel *rows[VSI_TYPES][VSI_METRICS]; /* NULL: the metric does not fit the type */
    vsi_gather_kernel *gather[VSI_TYPES][VSI_METRICS];
    vsi_widen_kernel *widen[VSI_TYPES]; /* of f16, bf16, u8, i8 */
    vsi_tile_form tile[VSI_TYPES];      /* of f32; of u8 and i8 where it is quicker than that */
    vsi_beyond_kernel *beyond[VSI_METRICS];
    vsi_above_kernel *above;
} vsi_kernels;

/* Below these a squared norm, and an inner product, may have lost their values to underflow. */
#define VSI_NORM_TRUSTED 1e-30
#define VSI_DOT_TRUSTED  0x1p-86

/* Whether a row is beyond a level, by what its kernel wrote; never when that may have lost its value. A level is a sum, or an inner
 * product; for cosine the square, with its sign, of the inner product with a row of length 1; for jaccard a share. Without
 * branches: as a rule one row is like the next. */
VSI_INLINE bool vsi_is_beyond(int metric, double sum, double norm, double level) {
    const int is_tame = (norm >= VSI_NORM_TRUSTED) & (norm <= DBL_MAX) & (sum >= -DBL_MAX);
    switch (metric) {
    case VS_IP:
        return (sum < level) & (sum >= -DBL_MAX) & (fabs(sum) >= VSI_DOT_TRUSTED);
    case VS_COSINE:
        return is_tame & (sum * fabs(sum) < level * norm);
    case VS_JACCARD:
        return is_tame & (sum < level * norm);
    default:
        return (sum > level) & (sum <= DBL_MAX);
    }
}

enum {
    VSI_KERNEL_BLOCK = 1024,
    /* Four rows side by side are read from memory at half the speed of one row after the other once they are longer
     * than this, and from the caches at 1.4 times it (bench/RESULTS.md). */
    VSI_KERNEL_LONG_BYTES = 200,
    VSI_GATHER_AHEAD = 8,           /* rows */
    VSI_GATHER_AHEAD_BYTES = 8 * 64 /* of each; the processor itself fetches what follows */
};

/* Asks the cache for the front of a row. */
VSI_INLINE void vsi_prefetch_row(const void *row, size_t bytes) {
    size_t n = bytes < VSI_GATHER_AHEAD_BYTES ? bytes : VSI_GATHER_AHEAD_BYTES;
    for (size_t at = 0; at < n; at += 64)
        VSI_PREFETCH((const uint8_t *)row + at);
}

/* The rows of a set's table, for functions named as math/kernels_type.inc does. */
#define VSI_KERNELS_OF_NUMBERS(shape, suffix)                                                      \
    {                                                                                              \
        [VS_L2] = l2_##shape##_##suffix, [VS_IP] = ip_##shape##_##suffix,                          \
        [VS_COSINE] = cosine_##shape##_##suffix, [VS_L1] = l1_##shape##_##suffix                   \
    }
#define VSI_KERNELS_BEYOND(suffix)                                                                 \
    {                                                                                              \
        [VS_L2] = beyond_l2_##suffix, [VS_IP] = beyond_ip_##suffix,                                \
        [VS_COSINE] = beyond_cosine_##suffix, [VS_L1] = beyond_l2_##suffix,                        \
        [VS_HAMMING] = beyond_l2_##suffix, [VS_JACCARD] = beyond_jaccard_##suffix                  \
    }
#define VSI_KERNELS_OF_BITS(shape, suffix)                                                         \
    { [VS_HAMMING] = hamming_##shape##_##suffix, [VS_JACCARD] = jaccard_##shape##_##suffix }

#endif
