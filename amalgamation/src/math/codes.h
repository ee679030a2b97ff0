/* codes.h - the table of kernels for quantised codes, one per instruction set: how levels are packed, inner products of a
 * query with rows of codes, the bounds that follow, and the steps of a fast rotation.
 *
 * A code is a row of dims levels, of 1, 2, 4 or 8 bits each, or of dims halves; dims is a multiple of VSI_CODE_DIMS. Behind
 * them stands a head of four floats, little-endian (quant/rq.h says what they mean).
 *
 *   kind   layout
 *   8      a byte each
 *   4, 2   groups of 64 bytes, which hold 128 or 256 dims: byte t holds dims t + 64 j, the first in its lowest bits.
 *          What is left at the end, 64 or up to 192 dims, is one group of fewer bytes, W: dims t + W j
 *   1      in order, lowest bit first
 *   f16    in order, two bytes each, little-endian; bf16 likewise
 *
 * Inner products of levels are exact on every set, and so are the steps of the rotation and the bytes of a query: they do
 * the same float operations in the same order, none of which a compiler may fuse (every product meets a change of
 * sign or of type before it is added to). Inner products of halves, sums of squares and bounds may differ in their last
 * bits. */
#ifndef VSI_CODES_H
#define VSI_CODES_H

#include "base/status.h"

enum { VSI_CODE_DIMS = 64, VSI_CODE_HEAD_BYTES = 16, VSI_CODE_DIMS_MAX = 65536 };

/* Kinds of codes: of levels the number of their bits. Files have them. */
enum { VSI_CODE_F16 = 16, VSI_CODE_BF16 = 17, VSI_CODE_KINDS = 6 };

/* Rows of codes: row i begins at first + i * stride, its head lies head_off behind that. Any alignment. */
typedef struct vsi_code_rows {
    const uint8_t *first;
    size_t stride;
    size_t head_off;
    size_t n;
} vsi_code_rows;

/* What a query gives to the distance of every row; quant/rq.c derives it. */
typedef struct vsi_code_frame {
    int32_t step, offset; /* inner product with the grid: step * levels' - offset, modulo 2^32 */
    float unit;           /* what the inner product with the grid is counted in */
    float error;          /* |query - its bytes|, of halves what sums lose, with slack */
    float square;         /* |query|^2, with slack */
    float length;         /* |query|, with slack */
    float base;           /* added to every distance */
    float base_error;     /* of all that is added */
    float base_relative;  /* error of a row's own addend, as a part of it */
    float factor;         /* of the inner product in the distance: 2 or 1 */
    float spread;         /* of the bound that holds with a probability; unused by the other */
} vsi_code_frame;

/* The four floats of a row's head. A base that is no finite number: the row has no code. */
enum { VSI_HEAD_BASE, VSI_HEAD_LENGTH, VSI_HEAD_ERROR, VSI_HEAD_INVERSE };

/* The points that a coordinate is rounded to: step * level - offset, level from 0 to top. */
typedef struct vsi_code_grid {
    int32_t step, offset, top;
    float half; /* level = x * inverse + half, cut off: the middle, plus what rounds */
} vsi_code_grid;

typedef struct vsi_codes {
    const char *name;

    /* Sum of query[j] * level j of each row, into out [rows->n]; query [dims] of int8_t. Of halves, with a query
     * of floats, the sum is a whole number less than one off, and what floats lose: they are added in 16 sums or more. INT32_MIN
     * when it has no room. For levels of 1, 2, 4 and 8 bits, f16, bf16, in this order. */
    void (*dot[VSI_CODE_KINDS])(const void *query, size_t dims, const vsi_code_rows *rows,
                                int32_t *out);

    /* Bounds of the distance of each row, from dot's products: true in any case. -infinity and infinity for a row
     * without a code; upper may be NULL. */
    void (*bounds)(const vsi_code_frame *frame, const vsi_code_rows *rows, const int32_t *dots,
                   float *lower, float *upper);

    /* Estimates, unbiased over rotations: -infinity for a row without a code. out_wide, unless it is NULL: how
     * far off, by frame->spread. */
    void (*estimates)(const vsi_code_frame *frame, const vsi_code_rows *rows, const int32_t *dots,
                      float *out, float *out_wide);

    /* x and y, n floats each, are multiplied, change signs where a bit is set, and become sum and difference:
     * (x + y, x - y). n is a multiple of 32; x_signs and y_signs hold a bit for each. */
    void (*mix)(float *x, float *y, size_t n, const float scale[2], const uint32_t *x_signs,
                const uint32_t *y_signs);
    /* The Hadamard transform of n floats, a power of two from 64 on, not normalised: levels of distance 1, 2, 4 and
     * so on. */
    void (*hadamard)(float *x, size_t n);
    /* x times scale, with the sign changed where a bit is set; signs may be NULL. n is a multiple of 32. */
    void (*scale)(float *x, size_t n, float scale, const uint32_t *signs);

    /* Inner product, in double; any n. */
    double (*product)(const float *a, const float *b, size_t n);
    /* out = in * factor - mean, each rounded once from double; gives the sum of the squares. Any n. */
    double (*residual)(const float *in, const float *mean, size_t n, double factor, float *out);
    /* The nearest bytes to x, of a unit that makes the largest 127: query = unit * out + error. Gives the unit; 0
     * for zeros, and for numbers too small to have one. n is a multiple of 64. */
    float (*bytes)(const float *x, size_t n, int8_t *out, int32_t *out_sum,
                   float *out_error_square);
    /* Inner product of x with its nearest points on a grid, and the sum of their squares, in single precision;
     * n is a multiple of 64. */
    void (*grid)(const float *x, size_t n, const vsi_code_grid *grid, float inverse, float out[2]);
} vsi_codes;

VSI_FN bool vsi_code_is_kind(uint32_t kind);
/* Whether a kind is of halves, not levels. */
VSI_FN bool vsi_code_is_half(uint32_t kind);
/* Bytes of a code, without its head. */
VSI_FN size_t vsi_code_bytes(uint32_t kind, size_t dims);
/* Which of dot's kernels is for a kind. */
VSI_FN size_t vsi_code_kernel(uint32_t kind);

/* Levels, a byte each, to a code of dims * bits / 8 bytes, and back. */
VSI_FN void vsi_codes_pack(const uint8_t *levels, size_t dims, uint32_t bits, uint8_t *out);
VSI_FN void vsi_codes_unpack(const uint8_t *code, size_t dims, uint32_t bits, uint8_t *levels);

/* The nearest halves of a kind to x times scale, of numbers that they have room for; and back. */
VSI_FN void vsi_codes_narrow(const float *x, size_t dims, float scale, uint32_t kind, uint8_t *out);
VSI_FN void vsi_codes_widen(const uint8_t *code, size_t dims, uint32_t kind, float *out);

#endif
