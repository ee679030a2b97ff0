/* kernels.h - the table of distance kernels, one per instruction set.
 *
 * All take a query and rows of one element type, row after row without gaps, and write out [n], and some of them
 * norm [n]. Any dim from 0, any n, alignment of the element; nothing behind the last row is read.
 *
 *   metric    out                                          norm
 *   l2        squared Euclidean distance                   untouched
 *   ip        inner product, which grows with similarity   untouched
 *   cosine    likewise                                     inner product of the row with itself
 *   l1        sum of the absolute differences              untouched
 *   hamming   bits that differ                             untouched
 *   jaccard   bits that both have                          bits that one of them has
 *
 * Integer kernels are exact. Float kernels add in blocks of 1024 elements in single precision and
 * the blocks in double; the scalar table adds in double throughout. Overflow gives an infinity or
 * NaN, underflow a sum that is too small; the caller answers by computing in double. One table gives one result for the same
 * input, be it one row or many. */
#ifndef VSI_KERNELS_H
#define VSI_KERNELS_H

#include "math/element.h"

typedef void vsi_kernel(const void *query, const void *rows, size_t dim, size_t n, double *out,
                        double *norm);

typedef struct vsi_kernels {
    const char *name;
    vsi_kernel *rows[VSI_TYPES][VSI_METRICS]; /* NULL: the scalar one serves */
} vsi_kernels;

enum { VSI_KERNEL_BLOCK = 1024 };

#endif
