/* kernels.h - the table of distance kernels, one per instruction set.
 *
 * All take a query [dim] and rows [n x dim], row after row without gaps, and write out [n]. Any dim
 * from 0, any n, alignment of the element; nothing behind the last row is read. In names l2sq is
 * the squared Euclidean distance and dot the inner product, which grows with similarity.
 *
 * Integer kernels are exact. Float kernels add in blocks of 1024 elements in single precision and
 * the blocks in double; the scalar table adds in double throughout. Overflow gives an infinity or
 * NaN, underflow a sum that is too small; the caller answers by computing in double. One table gives one result for the same
 * input, be it one row or many. */
#ifndef VSI_KERNELS_H
#define VSI_KERNELS_H

#include "base/port.h"

typedef void vsi_kernel_f32(const float *query, const float *rows, size_t dim, size_t n,
                            double *out);
typedef void vsi_kernel_u8(const uint8_t *query, const uint8_t *rows, size_t dim, size_t n,
                           double *out);
/* Also the inner product of each row with itself. */
typedef void vsi_kernel_f32_norm(const float *query, const float *rows, size_t dim, size_t n,
                                 double *out_dot, double *out_norm);
typedef void vsi_kernel_u8_norm(const uint8_t *query, const uint8_t *rows, size_t dim, size_t n,
                                double *out_dot, double *out_norm);

typedef struct vsi_kernels {
    const char *name;
    vsi_kernel_f32 *l2sq_f32_rows;
    vsi_kernel_f32 *dot_f32_rows;
    vsi_kernel_f32_norm *dot_norm_f32_rows;
    vsi_kernel_u8 *l2sq_u8_rows;
    vsi_kernel_u8 *dot_u8_rows;
    vsi_kernel_u8_norm *dot_norm_u8_rows;
} vsi_kernels;

enum { VSI_KERNEL_BLOCK = 1024 };

#endif
