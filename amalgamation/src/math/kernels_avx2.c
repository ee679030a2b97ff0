/* kernels_avx2.c - kernels for AVX2 and FMA: four independent sums hide the latency of the adds. */
#include "math/kernels_avx2.h"

#if defined(VSI_X86) && defined(__GNUC__)

VSI_TARGET_BEGIN("avx2,fma")

/* The sum of eight floats, in double. */
static inline double sum_ps_avx2(__m256 v) {
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    __m256d four = _mm256_add_pd(low, high);
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(two) + _mm_cvtsd_f64(_mm_unpackhi_pd(two, two));
}

/* The sum of eight 32-bit numbers that are not negative. */
static inline double sum_epi32_avx2(__m256i v) {
    uint32_t lane[8];
    _mm256_storeu_si256((__m256i *)(void *)lane, v);
    uint64_t sum = 0;
    for (int i = 0; i < 8; i++)
        sum += lane[i];
    return (double)sum;
}

static double l2sq_f32_block_avx2(const float *a, const float *b, size_t n) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t j = 0;
    for (; j + 32 <= n; j += 32) {
        __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + j), _mm256_loadu_ps(b + j));
        __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + j + 8), _mm256_loadu_ps(b + j + 8));
        __m256 d2 = _mm256_sub_ps(_mm256_loadu_ps(a + j + 16), _mm256_loadu_ps(b + j + 16));
        __m256 d3 = _mm256_sub_ps(_mm256_loadu_ps(a + j + 24), _mm256_loadu_ps(b + j + 24));
        s0 = _mm256_fmadd_ps(d0, d0, s0);
        s1 = _mm256_fmadd_ps(d1, d1, s1);
        s2 = _mm256_fmadd_ps(d2, d2, s2);
        s3 = _mm256_fmadd_ps(d3, d3, s3);
    }
    for (; j + 8 <= n; j += 8) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(a + j), _mm256_loadu_ps(b + j));
        s0 = _mm256_fmadd_ps(d, d, s0);
    }
    double sum = sum_ps_avx2(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
    for (; j < n; j++) {
        double d = (double)a[j] - (double)b[j];
        sum += d * d;
    }
    return sum;
}

static double dot_f32_block_avx2(const float *a, const float *b, size_t n) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t j = 0;
    for (; j + 32 <= n; j += 32) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j), _mm256_loadu_ps(b + j), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j + 8), _mm256_loadu_ps(b + j + 8), s1);
        s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j + 16), _mm256_loadu_ps(b + j + 16), s2);
        s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j + 24), _mm256_loadu_ps(b + j + 24), s3);
    }
    for (; j + 8 <= n; j += 8)
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j), _mm256_loadu_ps(b + j), s0);
    double sum = sum_ps_avx2(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
    for (; j < n; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

static void dot_norm_f32_block_avx2(const float *a, const float *b, size_t n, double *dot,
                                    double *norm) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, t0 = s0, t1 = s0;
    size_t j = 0;
    for (; j + 16 <= n; j += 16) {
        __m256 b0 = _mm256_loadu_ps(b + j), b1 = _mm256_loadu_ps(b + j + 8);
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j), b0, s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j + 8), b1, s1);
        t0 = _mm256_fmadd_ps(b0, b0, t0);
        t1 = _mm256_fmadd_ps(b1, b1, t1);
    }
    for (; j + 8 <= n; j += 8) {
        __m256 b0 = _mm256_loadu_ps(b + j);
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j), b0, s0);
        t0 = _mm256_fmadd_ps(b0, b0, t0);
    }
    double dot_sum = sum_ps_avx2(_mm256_add_ps(s0, s1));
    double norm_sum = sum_ps_avx2(_mm256_add_ps(t0, t1));
    for (; j < n; j++) {
        dot_sum += (double)a[j] * (double)b[j];
        norm_sum += (double)b[j] * (double)b[j];
    }
    *dot += dot_sum;
    *norm += norm_sum;
}

static void l2sq_f32_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                               double *out, double *norm) {
    const float *q = query, *row = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, row += dim) {
        out[i] = 0;
        for (size_t j = 0; j < dim; j += VSI_KERNEL_BLOCK)
            out[i] += l2sq_f32_block_avx2(q + j, row + j,
                                          dim - j < VSI_KERNEL_BLOCK ? dim - j : VSI_KERNEL_BLOCK);
    }
}

static void dot_f32_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                              double *out, double *norm) {
    const float *q = query, *row = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, row += dim) {
        out[i] = 0;
        for (size_t j = 0; j < dim; j += VSI_KERNEL_BLOCK)
            out[i] += dot_f32_block_avx2(q + j, row + j,
                                         dim - j < VSI_KERNEL_BLOCK ? dim - j : VSI_KERNEL_BLOCK);
    }
}

static void dot_norm_f32_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                                   double *out, double *norm) {
    const float *q = query, *row = rows;
    for (size_t i = 0; i < n; i++, row += dim) {
        out[i] = norm[i] = 0;
        for (size_t j = 0; j < dim; j += VSI_KERNEL_BLOCK)
            dot_norm_f32_block_avx2(q + j, row + j,
                                    dim - j < VSI_KERNEL_BLOCK ? dim - j : VSI_KERNEL_BLOCK,
                                    out + i, norm + i);
    }
}

/* Sixteen bytes as 16-bit numbers. */
static inline __m256i load_u8_avx2(const uint8_t *p) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* A lane adds at most 65535 / 16 times 2 * 255 * 255, which stays below 2^31. */
static void l2sq_u8_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                              double *out, double *norm) {
    const uint8_t *q = query, *row = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, row += dim) {
        __m256i s0 = _mm256_setzero_si256(), s1 = s0;
        size_t j = 0;
        for (; j + 32 <= dim; j += 32) {
            __m256i d0 = _mm256_sub_epi16(load_u8_avx2(q + j), load_u8_avx2(row + j));
            __m256i d1 = _mm256_sub_epi16(load_u8_avx2(q + j + 16), load_u8_avx2(row + j + 16));
            s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(d0, d0));
            s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(d1, d1));
        }
        double sum = sum_epi32_avx2(s0) + sum_epi32_avx2(s1);
        for (; j < dim; j++) {
            int d = q[j] - row[j];
            sum += d * d;
        }
        out[i] = sum;
    }
}

static void dot_u8_rows_avx2(const void *query, const void *rows, size_t dim, size_t n, double *out,
                             double *norm) {
    const uint8_t *q = query, *row = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, row += dim) {
        __m256i s0 = _mm256_setzero_si256(), s1 = s0;
        size_t j = 0;
        for (; j + 32 <= dim; j += 32) {
            s0 =
                _mm256_add_epi32(s0, _mm256_madd_epi16(load_u8_avx2(q + j), load_u8_avx2(row + j)));
            s1 = _mm256_add_epi32(
                s1, _mm256_madd_epi16(load_u8_avx2(q + j + 16), load_u8_avx2(row + j + 16)));
        }
        double sum = sum_epi32_avx2(s0) + sum_epi32_avx2(s1);
        for (; j < dim; j++)
            sum += q[j] * row[j];
        out[i] = sum;
    }
}

static void dot_norm_u8_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                                  double *out, double *norm) {
    const uint8_t *q = query, *row = rows;
    for (size_t i = 0; i < n; i++, row += dim) {
        __m256i s = _mm256_setzero_si256(), t = s;
        size_t j = 0;
        for (; j + 16 <= dim; j += 16) {
            __m256i b = load_u8_avx2(row + j);
            s = _mm256_add_epi32(s, _mm256_madd_epi16(load_u8_avx2(q + j), b));
            t = _mm256_add_epi32(t, _mm256_madd_epi16(b, b));
        }
        double dot = sum_epi32_avx2(s), own = sum_epi32_avx2(t);
        for (; j < dim; j++) {
            dot += q[j] * row[j];
            own += row[j] * row[j];
        }
        out[i] = dot;
        norm[i] = own;
    }
}

VSI_TARGET_END

VSI_FN const vsi_kernels *vsi_kernels_avx2(void) {
    static const vsi_kernels table = {
        .name = "avx2",
        .rows = {[VS_F32] = {[VS_L2] = l2sq_f32_rows_avx2,
                             [VS_IP] = dot_f32_rows_avx2,
                             [VS_COSINE] = dot_norm_f32_rows_avx2},
                 [VS_U8] = {[VS_L2] = l2sq_u8_rows_avx2,
                            [VS_IP] = dot_u8_rows_avx2,
                            [VS_COSINE] = dot_norm_u8_rows_avx2}},
    };
    return &table;
}

#else

VSI_FN const vsi_kernels *vsi_kernels_avx2(void) {
    return NULL;
}

#endif
