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

/* Rows anywhere, one by one. */
#define SCALAR_GATHER(name, type)                                                                  \
    static void name##_gather_##type##_scalar(const void *query, const void *const *rows,          \
                                              size_t dim, size_t n, double *out, double *norm) {   \
        for (size_t i = 0; i < n; i++)                                                             \
            name##_rows_##type##_scalar(query, rows[i], dim, 1, out + i, norm + i);                \
    }

/* The kernels of one type: sums of TERM, which sees the elements as a and b, in number; the query's are of type query. */
#define SCALAR_SUM(name, query, type, bytes, number, TERM)                                         \
    static double name##_##type(const void *x, const void *row, size_t dim) {                      \
        number sum = 0;                                                                            \
        for (size_t j = 0; j < dim; j++) {                                                         \
            number a = query##_value(x, j), b = type##_value(row, j);                              \
            sum += TERM;                                                                           \
        }                                                                                          \
        return (double)sum;                                                                        \
    }                                                                                              \
    static void name##_rows_##type##_scalar(const void *x, const void *rows, size_t dim, size_t n, \
                                            double *out, double *norm) {                           \
        const uint8_t *row = rows;                                                                 \
        (void)norm;                                                                                \
        for (size_t i = 0; i < n; i++, row += dim * (bytes))                                       \
            out[i] = name##_##type(x, row, dim);                                                   \
    }                                                                                              \
    SCALAR_GATHER(name, type)

#define SCALAR_KERNELS(query, type, bytes, number)                                                 \
    SCALAR_SUM(l2, query, type, bytes, number, (a - b) * (a - b))                                  \
    SCALAR_SUM(ip, query, type, bytes, number, a *b)                                               \
    SCALAR_SUM(l1, query, type, bytes, number, a < b ? b - a : a - b)                              \
    static double square_##type(const void *row, size_t dim) {                                     \
        number sum = 0;                                                                            \
        for (size_t j = 0; j < dim; j++)                                                           \
            sum += type##_value(row, j) * type##_value(row, j);                                    \
        return (double)sum;                                                                        \
    }                                                                                              \
    static void cosine_rows_##type##_scalar(const void *x, const void *rows, size_t dim, size_t n, \
                                            double *out, double *norm) {                           \
        const uint8_t *row = rows;                                                                 \
        for (size_t i = 0; i < n; i++, row += dim * (bytes)) {                                     \
            out[i] = ip_##type(x, row, dim);                                                       \
            norm[i] = square_##type(row, dim);                                                     \
        }                                                                                          \
    }                                                                                              \
    SCALAR_GATHER(cosine, type)

SCALAR_KERNELS(f32, f32, 4, double)
SCALAR_KERNELS(f32, f16, 2, double)
SCALAR_KERNELS(f32, bf16, 2, double)
SCALAR_KERNELS(u8, u8, 1, int64_t)
SCALAR_KERNELS(i8, i8, 1, int64_t)

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

static void hamming_rows_bit_scalar(const void *query, const void *rows, size_t dim, size_t n,
                                    double *out, double *norm) {
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

static void jaccard_rows_bit_scalar(const void *query, const void *rows, size_t dim, size_t n,
                                    double *out, double *norm) {
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

SCALAR_GATHER(hamming, bit)
SCALAR_GATHER(jaccard, bit)

/* ---- many queries --------------------------------------------------------------------------- */

#define SCALAR_WIDEN(type)                                                                         \
    static void widen_##type##_scalar(float *to, const void *from, size_t n) {                     \
        for (size_t j = 0; j < n; j++)                                                             \
            to[j] = (float)type##_value(from, j);                                                  \
    }

SCALAR_WIDEN(f16)
SCALAR_WIDEN(bf16)
SCALAR_WIDEN(u8)
SCALAR_WIDEN(i8)

static void tile_scalar(const vsi_tile_rows *tile, uint32_t *out_keep) {
    for (size_t i = 0; i < tile->n; i++) {
        const float *queries = tile->queries, *row = (const float *)tile->rows + i * tile->dim;
        double dot[VSI_TILE_QUERIES] = {0};
        out_keep[i] = 0;
        for (size_t j = 0; j < tile->dim; j++)
            for (size_t q = 0; q < VSI_TILE_QUERIES; q++)
                dot[q] += (double)queries[j * VSI_TILE_QUERIES + q] * (double)row[j];
        for (size_t q = 0; q < VSI_TILE_QUERIES; q++) {
            double left = dot[q] + (double)tile->slope[q] * (double)tile->norm[i];
            double right = (double)tile->level[q] + (double)tile->term[i];
            out_keep[i] |= (uint32_t) !(left < right) << q;
        }
    }
}

#define SCALAR_BEYOND(name, metric)                                                                \
    static size_t beyond_##name##_scalar(const double *sums, const double *norm, size_t n,         \
                                         double level) {                                           \
        size_t i = 0;                                                                              \
        while (i < n && vsi_is_beyond(metric, sums[i], norm[i], level))                            \
            i++;                                                                                   \
        return i;                                                                                  \
    }

SCALAR_BEYOND(l2, VS_L2)
SCALAR_BEYOND(ip, VS_IP)
SCALAR_BEYOND(cosine, VS_COSINE)
SCALAR_BEYOND(jaccard, VS_JACCARD)

static size_t above_scalar(const float *x, size_t n, float level) {
    size_t i = 0;
    while (i < n && x[i] > level)
        i++;
    return i;
}

VSI_FN const vsi_kernels *vsi_kernels_scalar(void) {
    static const vsi_kernels table = {
        .names = "scalar",
        .name = "scalar",
        .rows = {[VS_F32] = VSI_KERNELS_OF_NUMBERS(rows, f32_scalar),
                 [VS_F16] = VSI_KERNELS_OF_NUMBERS(rows, f16_scalar),
                 [VS_BF16] = VSI_KERNELS_OF_NUMBERS(rows, bf16_scalar),
                 [VS_U8] = VSI_KERNELS_OF_NUMBERS(rows, u8_scalar),
                 [VS_I8] = VSI_KERNELS_OF_NUMBERS(rows, i8_scalar),
                 [VS_BIT] = VSI_KERNELS_OF_BITS(rows, bit_scalar)},
        .gather = {[VS_F32] = VSI_KERNELS_OF_NUMBERS(gather, f32_scalar),
                   [VS_F16] = VSI_KERNELS_OF_NUMBERS(gather, f16_scalar),
                   [VS_BF16] = VSI_KERNELS_OF_NUMBERS(gather, bf16_scalar),
                   [VS_U8] = VSI_KERNELS_OF_NUMBERS(gather, u8_scalar),
                   [VS_I8] = VSI_KERNELS_OF_NUMBERS(gather, i8_scalar),
                   [VS_BIT] = VSI_KERNELS_OF_BITS(gather, bit_scalar)},
        .widen = {[VS_F16] = widen_f16_scalar,
                  [VS_BF16] = widen_bf16_scalar,
                  [VS_U8] = widen_u8_scalar,
                  [VS_I8] = widen_i8_scalar},
        .tile = {[VS_F32] = {tile_scalar, 1, false}},
        .beyond = VSI_KERNELS_BEYOND(scalar),
        .above = above_scalar,
    };
    return &table;
}
