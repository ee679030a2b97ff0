/* rotate.h - a random rotation of vectors of any dim, fast and the same on every machine.
 *
 * After it the coordinates of any vector look like draws from one normal distribution, whatever the vector was: so one
 * grid fits all of them, and what rounding to it costs is known beforehand. */
#ifndef VSI_ROTATE_H
#define VSI_ROTATE_H

#include "base/mem.h"
#include "math/codes.h"

enum { VSI_ROTATE_ROUNDS = 4 };

typedef struct vsi_rotation {
    uint32_t padded; /* dims of the rotated vector: a multiple of 64 */
    uint32_t window; /* the largest power of two in it */
    uint32_t *signs; /* [rounds x padded / 32] bits; owned */
    float inside[2],
        outside[2];  /* factors of the window and of the rest: in plain rounds, in the others */
    double relative; /* |computed - exact| is at most so much times the length of the vector */
} vsi_rotation;

/* Dims of a rotated vector: dim, rounded up to what codes are made of. */
VSI_FN uint32_t vsi_rotation_padded(uint32_t dim);

/* dim in 1 .. VS_DIM_MAX. VS_ERR_NOMEM leaves it empty. */
VS_NODISCARD VSI_FN vs_status vsi_rotation_init(vsi_err *err, vsi_mem *mem, uint32_t dim,
                                                uint64_t seed, vsi_rotation *out);
VSI_FN void vsi_rotation_free(vsi_mem *mem, vsi_rotation *rotation); /* accepts an empty one */

/* In place, x [padded] finite, zeros behind the vector's own dims. The same bits with every table. At most 2^100
 * long. */
VSI_FN void vsi_rotate(const vsi_rotation *rotation, const vsi_codes *kernels, float *x);
/* The other way; not bit for bit what it was, but to relative, likewise. */
VSI_FN void vsi_rotate_back(const vsi_rotation *rotation, const vsi_codes *kernels, float *x);

#endif
