/* rotate.c - rotation by signs, Hadamard transforms and butterflies between the halves.
 *
 * A round changes signs at random and transforms a window, the largest power of two that fits, at the front in even
 * rounds and at the end in odd ones: after two of them every coordinate went through a transform. The other two
 * rounds first replace the halves by their sums and differences, which evens out what parts of the vector outside
 * one of the windows have kept. (With butterflies in all rounds a coordinate could come through with a quarter of its
 * value: what left one window for the other half was outside the next window, four times.)
 *
 * All these are orthogonal up to factors, which are multiplied in together with the signs of the next round; so
 * no product is added to before its sign bit was changed, no compiler can fuse the two, and every
 * machine computes the same bits.
 *
 * Random signs with Hadamard transforms: Ailon and Chazelle, "The fast Johnson-Lindenstrauss transform", SIAM J. Comput.
 * 2009. Several rounds with windows where dim is no power of two: Gao et al., "Practical and asymptotically optimal
 * quantization of high-dimensional vectors", SIGMOD 2025, arXiv 2409.09913.
 *
 * What floats lose, with u = 2^-24: an addition errs by at most u times its result, so a level of butterflies by at most u
 * times the length of what it gives; the product with the factor by u, and the factor itself by u. A round has at most 1 +
 * log2(window) levels, so relative is rounds * (3 + log2(window)) * u to first order; 1 % more covers the rest, since
 * there are at most 76 of these terms. Underflow adds less than 2^-140 to an element, which the callers that need it
 * allow for by a lower limit of lengths (quant/rq.c). */
#include "quant/rotate.h"

enum { ROTATE_PLAIN = 2 }; /* rounds without butterflies between the halves */

VSI_FN void vsi_rotation_free(vsi_mem *mem, vsi_rotation *rotation) {
    vsi_free(mem, rotation->signs, (size_t)VSI_ROTATE_ROUNDS * rotation->padded / 8);
    rotation->signs = NULL;
}

/* SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). */
static uint64_t rotate_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

VSI_FN uint32_t vsi_rotation_padded(uint32_t dim) {
    return (dim + VSI_CODE_DIMS - 1) / VSI_CODE_DIMS * VSI_CODE_DIMS;
}

VSI_FN vs_status vsi_rotation_init(vsi_err *err, vsi_mem *mem, uint32_t dim, uint64_t seed,
                                   vsi_rotation *out) {
    vsi_assert(dim >= 1 && dim <= VS_DIM_MAX);
    uint32_t padded = vsi_rotation_padded(dim), window = VSI_CODE_DIMS;
    size_t bytes = (size_t)VSI_ROTATE_ROUNDS * padded / 8;
    int levels = 6;
    memset(out, 0, sizeof *out);
    uint32_t *signs = vsi_alloc(mem, bytes);
    if (!signs)
        return vsi_fail_nomem(err, bytes);
    for (; 2 * window <= padded; window *= 2)
        levels++;
    for (size_t i = 0; i < bytes / 8; i++) {
        uint64_t bits = rotate_random(&seed);
        signs[2 * i] = (uint32_t)bits;
        signs[2 * i + 1] = (uint32_t)(bits >> 32);
    }
    *out = (vsi_rotation){
        .padded = padded,
        .window = window,
        .signs = signs,
        .inside = {(float)sqrt(1.0 / window), (float)sqrt(0.5 / window)},
        .outside = {1, (float)sqrt(0.5)},
        .relative = 1.01 * VSI_ROTATE_ROUNDS * (3 + levels) * 0x1p-24,
    };
    return VS_OK;
}

/* Where the window of a round begins. */
static size_t rotate_window(const vsi_rotation *rotation, int round) {
    return round % 2 ? rotation->padded - rotation->window : 0;
}

static const uint32_t *rotate_signs(const vsi_rotation *rotation, int round) {
    return rotation->signs + (size_t)round * (rotation->padded / 32);
}

/* The factors of a round, and the signs of the next one unless they are NULL. */
static void rotate_scale(const vsi_rotation *rotation, const vsi_codes *kernels, int round,
                         float *x, const uint32_t *signs) {
    size_t window = rotation->window, beyond = rotation->padded - window;
    size_t first = rotate_window(rotation, round), other = first ? 0 : window;
    bool is_late = round >= ROTATE_PLAIN;
    kernels->scale(x + first, window, rotation->inside[is_late], signs ? signs + first / 32 : NULL);
    kernels->scale(x + other, beyond, rotation->outside[is_late],
                   signs ? signs + other / 32 : NULL);
}

/* Factors of the round before and signs of this one for coordinates from .. to of each half, and their butterfly. */
static void rotate_mix(const vsi_rotation *rotation, const vsi_codes *kernels, int round, float *x,
                       size_t from, size_t to, float x_scale, float y_scale) {
    size_t half = rotation->padded / 2;
    const float scale[2] = {x_scale, y_scale};
    const uint32_t *signs = rotate_signs(rotation, round);
    kernels->mix(x + from, x + half + from, to - from, scale, signs + from / 32,
                 signs + (half + from) / 32);
}

/* Behind a window at the front the last coordinates of the second half were outside, behind one at the end the
 * first ones of the first half: as many as lie beyond it. All borders are multiples of 32. */
static void rotate_halves(const vsi_rotation *rotation, const vsi_codes *kernels, int round,
                          float *x) {
    size_t half = rotation->padded / 2, beyond = rotation->padded - rotation->window;
    bool was_late = round > ROTATE_PLAIN;
    float in = rotation->inside[was_late], out = rotation->outside[was_late];
    if (rotate_window(rotation, round - 1) == 0) {
        rotate_mix(rotation, kernels, round, x, 0, half - beyond, in, in);
        rotate_mix(rotation, kernels, round, x, half - beyond, half, in, out);
    } else {
        rotate_mix(rotation, kernels, round, x, 0, beyond, out, in);
        rotate_mix(rotation, kernels, round, x, beyond, half, in, in);
    }
}

VSI_FN void vsi_rotate(const vsi_rotation *rotation, const vsi_codes *kernels, float *x) {
    kernels->scale(x, rotation->padded, 1, rotate_signs(rotation, 0));
    for (int round = 0; round < VSI_ROTATE_ROUNDS; round++) {
        if (round >= ROTATE_PLAIN)
            rotate_halves(rotation, kernels, round, x);
        else if (round > 0)
            rotate_scale(rotation, kernels, round - 1, x, rotate_signs(rotation, round));
        kernels->hadamard(x + rotate_window(rotation, round), rotation->window);
    }
    rotate_scale(rotation, kernels, VSI_ROTATE_ROUNDS - 1, x, NULL);
}

VSI_FN void vsi_rotate_back(const vsi_rotation *rotation, const vsi_codes *kernels, float *x) {
    size_t half = rotation->padded / 2;
    for (int round = VSI_ROTATE_ROUNDS - 1; round >= 0; round--) {
        kernels->hadamard(x + rotate_window(rotation, round), rotation->window);
        rotate_scale(rotation, kernels, round, x, NULL);
        for (size_t i = 0; round >= ROTATE_PLAIN && i < half; i++) {
            float sum = x[i] + x[half + i], difference = x[i] - x[half + i];
            x[i] = sum;
            x[half + i] = difference;
        }
        kernels->scale(x, rotation->padded, 1, rotate_signs(rotation, round));
    }
}
