/* kernels_scalar.c - the reference: plain loops, sums in double or in whole numbers. */
#include "math/kernels_scalar.h"

static double f32_value(const void *p, size_t at) {
    return (double)((const float *)p)[at];
}

static double f16_value(const void *p, size_t at) {
    return (double)vsi_float_of_f16(((const uint16_t *)p)[at]);
}

static double bf16_value(const void *p, size_t at) {
    return (double)vsi_float_of_bf16(((const uint16_t *)p)[at]);
}

static int64_t u8_value(const void *p, size_t at) {
    return ((const uint8_t *)p)[at];
}

static int64_t i8_value(const void *p, size_t at) {
    return ((const int8_t *)p)[at];
}

/* The kernels of one type: sums of TERM, which sees the elements as a and b, in number. */
#define SCALAR_SUM(name, type, bytes, number, TERM)                                                \
    static double name##_##type(const void *query, const void *row, size_t dim) {                  \
        number sum = 0;                                                                            \
        for (size_t j = 0; j < dim; j++) {                                                         \
            number a = type##_value(query, j), b = type##_value(row, j);                           \
            sum += TERM;                                                                           \
        }                                                                                          \
        return (double)sum;                                                                        \
    }                                                                                              \
    static void name##_rows_##type(const void *query, const void *rows, size_t dim, size_t n,      \
                                   double *out, double *norm) {                                    \
        const uint8_t *row = rows;                                                                 \
        (void)norm;                                                                                \
        for (size_t i = 0; i < n; i++, row += dim * (bytes))                                       \
            out[i] = name##_##type(query, row, dim);                                               \
    }

#define SCALAR_KERNELS(type, bytes, number)                                                        \
    SCALAR_SUM(l2sq, type, bytes, number, (a - b) * (a - b))                                       \
    SCALAR_SUM(dot, type, bytes, number, a *b)                                                     \
    SCALAR_SUM(l1, type, bytes, number, a < b ? b - a : a - b)                                     \
    static void dot_norm_rows_##type(const void *query, const void *rows, size_t dim, size_t n,    \
                                     double *out, double *norm) {                                  \
        const uint8_t *row = rows;                                                                 \
        for (size_t i = 0; i < n; i++, row += dim * (bytes)) {                                     \
            out[i] = dot_##type(query, row, dim);                                                  \
            norm[i] = dot_##type(row, row, dim);                                                   \
        }                                                                                          \
    }

SCALAR_KERNELS(f32, 4, double)
SCALAR_KERNELS(f16, 2, double)
SCALAR_KERNELS(bf16, 2, double)
SCALAR_KERNELS(u8, 1, int64_t)
SCALAR_KERNELS(i8, 1, int64_t)

/* ---- bits ----------------------------------------------------------------------------------- */

/* The bits of a word that are set, added up in pairs, then fours, then eights. */
static uint32_t bits_count(uint64_t word) {
    word -= word >> 1 & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (uint32_t)((word * 0x0101010101010101u) >> 56);
}

/* Up to eight bytes as a word, missing ones as zeros. */
static uint64_t bits_word(const uint8_t *p, size_t bytes) {
    uint64_t word = 0;
    memcpy(&word, p, bytes < sizeof word ? bytes : sizeof word);
    return word;
}

static void hamming_rows_bit(const void *query, const void *rows, size_t dim, size_t n, double *out,
                             double *norm) {
    size_t bytes = (dim + 7) / 8;
    const uint8_t *a = query, *b = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, b += bytes) {
        uint32_t differ = 0;
        for (size_t j = 0; j < bytes; j += 8)
            differ += bits_count(bits_word(a + j, bytes - j) ^ bits_word(b + j, bytes - j));
        out[i] = differ;
    }
}

static void jaccard_rows_bit(const void *query, const void *rows, size_t dim, size_t n, double *out,
                             double *norm) {
    size_t bytes = (dim + 7) / 8;
    const uint8_t *a = query, *b = rows;
    for (size_t i = 0; i < n; i++, b += bytes) {
        uint32_t both = 0, either = 0;
        for (size_t j = 0; j < bytes; j += 8) {
            uint64_t x = bits_word(a + j, bytes - j), y = bits_word(b + j, bytes - j);
            both += bits_count(x & y);
            either += bits_count(x | y);
        }
        out[i] = both;
        norm[i] = either;
    }
}

#define SCALAR_ROW(type)                                                                           \
    {                                                                                              \
        [VS_L2] = l2sq_rows_##type, [VS_IP] = dot_rows_##type, [VS_COSINE] = dot_norm_rows_##type, \
        [VS_L1] = l1_rows_##type                                                                   \
    }

VSI_FN const vsi_kernels *vsi_kernels_scalar(void) {
    static const vsi_kernels table = {
        .name = "scalar",
        .rows = {[VS_F32] = SCALAR_ROW(f32),
                 [VS_F16] = SCALAR_ROW(f16),
                 [VS_BF16] = SCALAR_ROW(bf16),
                 [VS_U8] = SCALAR_ROW(u8),
                 [VS_I8] = SCALAR_ROW(i8),
                 [VS_BIT] = {[VS_HAMMING] = hamming_rows_bit, [VS_JACCARD] = jaccard_rows_bit}},
    };
    return &table;
}
