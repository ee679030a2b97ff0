/* codes_avx2.c - kernels for codes with AVX2 and FMA: rows are read one after the other, four at a time are added up. */
#include "math/codes_avx2.h"

#if defined(VSI_X86) && defined(__GNUC__)

VSI_TARGET_BEGIN(VSI_TARGET_AVX2)

/* ---- inner products ------------------------------------------------------------------------- */

VSI_INLINE __m256i code_load_avx2(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

/* Sixteen bytes in the lower half, zeros in the upper. */
VSI_INLINE __m256i code_load16_avx2(const void *p) {
    return _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)p));
}

/* The sums of the lanes of four registers. */
VSI_INLINE __m128i code_sums_avx2(const __m256i v[4]) {
    __m256i ab = _mm256_hadd_epi32(v[0], v[1]), cd = _mm256_hadd_epi32(v[2], v[3]);
    __m256i all = _mm256_hadd_epi32(ab, cd);
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

/* Products of unsigned levels with the query in pairs, as 16-bit numbers: at most 2 * 15 * 128. */
VSI_INLINE __m256i code_pairs_avx2(__m256i code, int shift, int bits, __m256i q) {
    __m256i low = _mm256_set1_epi8((char)((1 << bits) - 1));
    return _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(code, shift), low), q);
}

/* All levels of 32 bytes of code; the query's bytes for the next level lie width further on. At most four products
 * of 4 bits, or as many of 2, are added in 16 bits. */
VSI_INLINE __m256i code_chunk_avx2(__m256i code, const int8_t *query, size_t width, int bits,
                                   bool is_half) {
    __m256i pairs = _mm256_setzero_si256();
    const int count = 8 / bits;
    VSI_UNROLL
    for (int j = 0; j < count; j++) {
        const int8_t *p = query + width * (size_t)j;
        __m256i q = is_half ? code_load16_avx2(p) : code_load_avx2(p);
        pairs = _mm256_add_epi16(pairs, code_pairs_avx2(code, j * bits, bits, q));
    }
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

VSI_INLINE __m256i code_row_avx2(const int8_t *query, size_t dims, const uint8_t *code, int bits) {
    __m256i even = _mm256_setzero_si256(), odd = even;
    size_t per_byte = 8u / (unsigned)bits, group = 64 * per_byte;
    for (; dims >= group; dims -= group, query += group, code += 64) {
        __m256i a = code_chunk_avx2(code_load_avx2(code), query, 64, bits, false);
        __m256i b = code_chunk_avx2(code_load_avx2(code + 32), query + 32, 64, bits, false);
        even = _mm256_add_epi32(even, a);
        odd = _mm256_add_epi32(odd, b);
    }
    size_t width = dims / per_byte;
    for (size_t t = 0; t < width; t += 16) {
        __m256i a = code_chunk_avx2(code_load16_avx2(code + t), query + t, width, bits, true);
        even = _mm256_add_epi32(even, a);
    }
    return _mm256_add_epi32(even, odd);
}

/* Sixteen levels of 8 bits, of which pairs of products would not fit 16. */
VSI_INLINE __m256i code_bytes16_avx2(const int8_t *query, const uint8_t *code) {
    __m256i q = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)query));
    __m128i levels = _mm_loadu_si128((const __m128i *)(const void *)code);
    return _mm256_madd_epi16(_mm256_cvtepu8_epi16(levels), q);
}

VSI_INLINE __m256i code_row_bytes_avx2(const int8_t *query, size_t dims, const uint8_t *code) {
    __m256i even = _mm256_setzero_si256(), odd = even;
    for (size_t j = 0; j < dims; j += 32) {
        even = _mm256_add_epi32(even, code_bytes16_avx2(query + j, code + j));
        odd = _mm256_add_epi32(odd, code_bytes16_avx2(query + j + 16, code + j + 16));
    }
    return _mm256_add_epi32(even, odd);
}

/* Four bytes of code as a mask of 32 bytes: each byte goes to the eight lanes of its bits. */
VSI_INLINE __m256i code_mask_avx2(const uint8_t *code) {
    const __m256i spread =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    int32_t word;
    memcpy(&word, code, sizeof word);
    __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(word), spread);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
}

VSI_INLINE __m256i code_row_bits_avx2(const int8_t *query, size_t dims, const uint8_t *code) {
    const __m256i one = _mm256_set1_epi8(1), ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    for (size_t j = 0; j < dims; j += 32) {
        __m256i chosen = _mm256_and_si256(code_mask_avx2(code + j / 8), code_load_avx2(query + j));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(one, chosen), ones));
    }
    return sum;
}

/* Eight halves as floats. */
VSI_INLINE __m256 code_halves_avx2(const uint8_t *p, bool is_f16) {
    __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)p);
    return is_f16 ? _mm256_cvtph_ps(halves)
                  : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

VSI_INLINE __m256 code_row_halves_avx2(const float *query, size_t dims, const uint8_t *code,
                                       bool is_f16) {
    __m256 sum[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                     _mm256_setzero_ps()};
    for (size_t j = 0; j < dims; j += 32) {
        VSI_UNROLL
        for (size_t k = 0; k < 4; k++) {
            __m256 points = code_halves_avx2(code + 2 * (j + 8 * k), is_f16);
            sum[k] = _mm256_fmadd_ps(points, _mm256_loadu_ps(query + j + 8 * k), sum[k]);
        }
    }
    return _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3]));
}

/* The sums of the lanes of four registers, as whole numbers. */
VSI_INLINE __m128i code_whole_sums_avx2(const __m256 v[4]) {
    __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    return _mm_cvtps_epi32(_mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}

/* Four rows at a time; of the last ones fewer, by taking the last one more than once. */
#define CODE_DOT_AVX2(name, SUM, SUMS, ROW)                                                        \
    static void name(const void *query, size_t dims, const vsi_code_rows *rows, int32_t *out) {    \
        for (size_t i = 0; i < rows->n; i += 4) {                                                  \
            size_t here = rows->n - i < 4 ? rows->n - i : 4;                                       \
            SUM sum[4];                                                                            \
            int32_t four[4];                                                                       \
            VSI_UNROLL                                                                             \
            for (size_t r = 0; r < 4; r++) {                                                       \
                const uint8_t *code =                                                              \
                    rows->first + (i + (r < here ? r : here - 1)) * rows->stride;                  \
                sum[r] = ROW;                                                                      \
            }                                                                                      \
            _mm_storeu_si128((__m128i *)(void *)four, SUMS(sum));                                  \
            memcpy(out + i, four, here * sizeof *out);                                             \
        }                                                                                          \
    }

CODE_DOT_AVX2(dot_u1_avx2, __m256i, code_sums_avx2, code_row_bits_avx2(query, dims, code))
CODE_DOT_AVX2(dot_u2_avx2, __m256i, code_sums_avx2, code_row_avx2(query, dims, code, 2))
CODE_DOT_AVX2(dot_u4_avx2, __m256i, code_sums_avx2, code_row_avx2(query, dims, code, 4))
CODE_DOT_AVX2(dot_u8_avx2, __m256i, code_sums_avx2, code_row_bytes_avx2(query, dims, code))
CODE_DOT_AVX2(dot_f16_avx2, __m256, code_whole_sums_avx2,
              code_row_halves_avx2(query, dims, code, true))
CODE_DOT_AVX2(dot_bf16_avx2, __m256, code_whole_sums_avx2,
              code_row_halves_avx2(query, dims, code, false))

/* ---- bounds --------------------------------------------------------------------------------- */

/* The heads of 8 rows, one register for each of their floats. */
VSI_INLINE void code_heads_avx2(const uint8_t *head, size_t stride, __m256 out[4]) {
    __m256 row[4];
    VSI_UNROLL
    for (size_t r = 0; r < 4; r++) {
        const uint8_t *p = head + r * stride;
        row[r] = _mm256_castps128_ps256(_mm_loadu_ps((const float *)(const void *)p));
        row[r] = _mm256_insertf128_ps(
            row[r], _mm_loadu_ps((const float *)(const void *)(p + 4 * stride)), 1);
    }
    __m256 a = _mm256_unpacklo_ps(row[0], row[1]), b = _mm256_unpackhi_ps(row[0], row[1]);
    __m256 c = _mm256_unpacklo_ps(row[2], row[3]), d = _mm256_unpackhi_ps(row[2], row[3]);
    out[0] = _mm256_shuffle_ps(a, c, 0x44);
    out[1] = _mm256_shuffle_ps(a, c, 0xee);
    out[2] = _mm256_shuffle_ps(b, d, 0x44);
    out[3] = _mm256_shuffle_ps(b, d, 0xee);
}

VSI_INLINE __m256 code_abs_avx2(__m256 v) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v);
}

VSI_INLINE __m256 code_along_avx2(const vsi_code_frame *frame, const int32_t *dots,
                                  __m256 inverse) {
    __m256i grid = _mm256_mullo_epi32(code_load_avx2(dots), _mm256_set1_epi32(frame->step));
    grid = _mm256_sub_epi32(grid, _mm256_set1_epi32(frame->offset));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(grid),
                         _mm256_mul_ps(inverse, _mm256_set1_ps(frame->unit)));
}

VSI_INLINE void code_bounds8_avx2(const vsi_code_frame *frame, const uint8_t *heads, size_t stride,
                                  const int32_t *dots, float *lower, float *upper) {
    __m256 head[4], zero = _mm256_setzero_ps();
    code_heads_avx2(heads, stride, head);
    __m256 error = _mm256_set1_ps(frame->error), factor = _mm256_set1_ps(frame->factor);
    __m256 along = code_along_avx2(frame, dots, head[VSI_HEAD_INVERSE]);
    __m256 least = _mm256_max_ps(_mm256_sub_ps(code_abs_avx2(along), error), zero);
    __m256 across = _mm256_fnmadd_ps(least, least, _mm256_set1_ps(frame->square));
    across = _mm256_sqrt_ps(_mm256_max_ps(across, zero));
    __m256 wide =
        _mm256_fmadd_ps(head[VSI_HEAD_ERROR], across, _mm256_mul_ps(head[VSI_HEAD_LENGTH], error));
    __m256 middle = _mm256_add_ps(head[VSI_HEAD_BASE], _mm256_set1_ps(frame->base));
    middle = _mm256_fnmadd_ps(_mm256_mul_ps(head[VSI_HEAD_LENGTH], factor), along, middle);
    wide = _mm256_fmadd_ps(wide, factor, _mm256_set1_ps(frame->base_error));
    __m256 own = code_abs_avx2(head[VSI_HEAD_BASE]);
    wide = _mm256_fmadd_ps(own, _mm256_set1_ps(frame->base_relative), wide);
    __m256 infinity = _mm256_set1_ps(INFINITY), has_code = _mm256_cmp_ps(own, infinity, _CMP_LT_OQ);
    __m256 low = _mm256_sub_ps(middle, wide), high = _mm256_add_ps(middle, wide);
    _mm256_storeu_ps(lower, _mm256_blendv_ps(_mm256_sub_ps(zero, infinity), low, has_code));
    if (upper)
        _mm256_storeu_ps(upper, _mm256_blendv_ps(infinity, high, has_code));
}

VSI_INLINE void code_estimates8_avx2(const vsi_code_frame *frame, const uint8_t *heads,
                                     size_t stride, const int32_t *dots, float *out,
                                     float *out_wide) {
    __m256 head[4], zero = _mm256_setzero_ps(), infinity = _mm256_set1_ps(INFINITY);
    code_heads_avx2(heads, stride, head);
    __m256 length = head[VSI_HEAD_LENGTH], error = head[VSI_HEAD_ERROR],
           factor = _mm256_set1_ps(frame->factor);
    __m256 along = code_along_avx2(frame, dots, head[VSI_HEAD_INVERSE]);
    __m256 ratio = _mm256_div_ps(error, length);
    __m256 is_long = _mm256_cmp_ps(length, zero, _CMP_GT_OQ);
    ratio = _mm256_and_ps(ratio, is_long);
    __m256 whole = _mm256_fmadd_ps(error, ratio, length);
    __m256 middle = _mm256_add_ps(head[VSI_HEAD_BASE], _mm256_set1_ps(frame->base));
    middle = _mm256_fnmadd_ps(_mm256_mul_ps(whole, factor), along, middle);
    __m256 own = code_abs_avx2(head[VSI_HEAD_BASE]);
    __m256 has_code = _mm256_cmp_ps(own, infinity, _CMP_LT_OQ);
    _mm256_storeu_ps(out, _mm256_blendv_ps(_mm256_sub_ps(zero, infinity), middle, has_code));
    if (!out_wide)
        return;
    __m256 far = _mm256_sqrt_ps(_mm256_fmadd_ps(ratio, ratio, _mm256_set1_ps(1)));
    far = _mm256_mul_ps(far, _mm256_set1_ps(frame->spread));
    far = _mm256_blendv_ps(_mm256_set1_ps(frame->length), far, is_long);
    far = _mm256_fmadd_ps(error, far, _mm256_mul_ps(whole, _mm256_set1_ps(frame->error)));
    far = _mm256_fmadd_ps(far, factor, _mm256_set1_ps(frame->base_error));
    far = _mm256_fmadd_ps(own, _mm256_set1_ps(frame->base_relative), far);
    _mm256_storeu_ps(out_wide, _mm256_blendv_ps(infinity, far, has_code));
}

/* 8 rows at a time; the last ones from a copy of their heads. */
#define CODE_HEADS_AVX2(name, KERNEL)                                                              \
    static void name(const vsi_code_frame *frame, const vsi_code_rows *rows, const int32_t *dots,  \
                     float *first, float *second) {                                                \
        size_t i = 0, rest = rows->n % 8;                                                          \
        const uint8_t *head = rows->first + rows->head_off;                                        \
        for (; i + 8 <= rows->n; i += 8)                                                           \
            KERNEL(frame, head + i * rows->stride, rows->stride, dots + i, first + i,              \
                   second ? second + i : NULL);                                                    \
        if (!rest)                                                                                 \
            return;                                                                                \
        uint8_t heads[8 * VSI_CODE_HEAD_BYTES] = {0};                                              \
        int32_t last[8] = {0};                                                                     \
        float a[8], b[8] = {0};                                                                    \
        for (size_t r = 0; r < rest; r++)                                                          \
            memcpy(heads + r * VSI_CODE_HEAD_BYTES, head + (i + r) * rows->stride,                 \
                   VSI_CODE_HEAD_BYTES);                                                           \
        memcpy(last, dots + i, rest * sizeof *dots);                                               \
        KERNEL(frame, heads, VSI_CODE_HEAD_BYTES, last, a, second ? b : NULL);                     \
        memcpy(first + i, a, rest * sizeof *first);                                                \
        if (second)                                                                                \
            memcpy(second + i, b, rest * sizeof *second);                                          \
    }

CODE_HEADS_AVX2(code_bounds_avx2, code_bounds8_avx2)
CODE_HEADS_AVX2(code_estimates_avx2, code_estimates8_avx2)

/* ---- rotation ------------------------------------------------------------------------------- */

/* Signs of eight floats where a bit is set. */
VSI_INLINE __m256 code_flip_avx2(__m256 v, uint32_t signs) {
    const __m256i shift = _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24);
    __m256i bits = _mm256_sllv_epi32(_mm256_set1_epi32((int32_t)signs), shift);
    return _mm256_xor_ps(v, _mm256_and_ps(_mm256_castsi256_ps(bits), _mm256_set1_ps(-0.0f)));
}

static void code_mix_avx2(float *x, float *y, size_t n, const float scale[2],
                          const uint32_t *x_signs, const uint32_t *y_signs) {
    __m256 x_scale = _mm256_set1_ps(scale[0]), y_scale = _mm256_set1_ps(scale[1]);
    for (size_t i = 0; i < n; i += 8) {
        uint32_t shift = i % 32;
        __m256 a = _mm256_mul_ps(_mm256_loadu_ps(x + i), x_scale);
        __m256 b = _mm256_mul_ps(_mm256_loadu_ps(y + i), y_scale);
        a = code_flip_avx2(a, x_signs[i / 32] >> shift);
        b = code_flip_avx2(b, y_signs[i / 32] >> shift);
        _mm256_storeu_ps(x + i, _mm256_add_ps(a, b));
        _mm256_storeu_ps(y + i, _mm256_sub_ps(a, b));
    }
}

/* Levels of distance 1, 2 and 4. */
VSI_INLINE __m256 code_hadamard8_avx2(__m256 v) {
    __m256 s = _mm256_permute_ps(v, 0xb1);
    v = _mm256_blend_ps(_mm256_add_ps(v, s), _mm256_sub_ps(s, v), 0xaa);
    s = _mm256_permute_ps(v, 0x4e);
    v = _mm256_blend_ps(_mm256_add_ps(v, s), _mm256_sub_ps(s, v), 0xcc);
    s = _mm256_permute2f128_ps(v, v, 0x01);
    return _mm256_blend_ps(_mm256_add_ps(v, s), _mm256_sub_ps(s, v), 0xf0);
}

/* The level of distance h over count registers. */
VSI_INLINE void code_level_avx2(__m256 *v, int count, int h) {
    VSI_UNROLL
    for (int k = 0; k < count / 2; k++) {
        int i = k / h * 2 * h + k % h;
        __m256 a = v[i], b = v[i + h];
        v[i] = _mm256_add_ps(a, b);
        v[i + h] = _mm256_sub_ps(a, b);
    }
}

/* Those of distance 1, 2 .. count / 2; count is 2, 4 or 8. */
VSI_INLINE void code_levels_avx2(__m256 *v, int count) {
    code_level_avx2(v, count, 1);
    if (count > 2)
        code_level_avx2(v, count, 2);
    if (count > 4)
        code_level_avx2(v, count, 4);
}

/* The levels of distance h .. h * count / 2; count is a constant where this is inlined. */
VSI_INLINE void code_pass_avx2(float *x, size_t n, size_t h, int count) {
    for (size_t i = 0; i < n; i += h * (size_t)count)
        for (size_t j = i; j < i + h; j += 8) {
            __m256 v[8];
            VSI_UNROLL
            for (int k = 0; k < count; k++)
                v[k] = _mm256_loadu_ps(x + j + (size_t)k * h);
            code_levels_avx2(v, count);
            VSI_UNROLL
            for (int k = 0; k < count; k++)
                _mm256_storeu_ps(x + j + (size_t)k * h, v[k]);
        }
}

static void code_hadamard_avx2(float *x, size_t n) {
    for (size_t i = 0; i < n; i += 64) {
        __m256 v[8];
        VSI_UNROLL
        for (int k = 0; k < 8; k++)
            v[k] = code_hadamard8_avx2(_mm256_loadu_ps(x + i + 8 * k));
        code_levels_avx2(v, 8);
        VSI_UNROLL
        for (int k = 0; k < 8; k++)
            _mm256_storeu_ps(x + i + 8 * k, v[k]);
    }
    size_t h = 64;
    for (; 8 * h <= n; h *= 8)
        code_pass_avx2(x, n, h, 8);
    if (4 * h <= n)
        code_pass_avx2(x, n, h, 4);
    else if (2 * h <= n)
        code_pass_avx2(x, n, h, 2);
}

static void code_scale_avx2(float *x, size_t n, float scale, const uint32_t *signs) {
    for (size_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(scale));
        _mm256_storeu_ps(x + i, signs ? code_flip_avx2(v, signs[i / 32] >> i % 32) : v);
    }
}

/* ---- queries and grids ---------------------------------------------------------------------- */

VSI_INLINE float code_sum_avx2(__m256 v) {
    float lane[8];
    _mm256_storeu_ps(lane, v);
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

static double code_product_avx2(const float *a, const float *b, size_t n) {
    __m256d sum = _mm256_setzero_pd();
    double lane[4], rest = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256d x = _mm256_cvtps_pd(_mm_loadu_ps(a + i));
        sum = _mm256_fmadd_pd(x, _mm256_cvtps_pd(_mm_loadu_ps(b + i)), sum);
    }
    _mm256_storeu_pd(lane, sum);
    for (; i < n; i++)
        rest += (double)a[i] * (double)b[i];
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + rest;
}

static double code_residual_avx2(const float *in, const float *mean, size_t n, double factor,
                                 float *out) {
    __m256d sum = _mm256_setzero_pd(), by = _mm256_set1_pd(factor);
    double lane[4], rest = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        __m256d m = _mm256_cvtps_pd(_mm_loadu_ps(mean + i));
        __m256d difference = _mm256_fmsub_pd(_mm256_cvtps_pd(_mm_loadu_ps(in + i)), by, m);
        sum = _mm256_fmadd_pd(difference, difference, sum);
        _mm_storeu_ps(out + i, _mm256_cvtpd_ps(difference));
    }
    _mm256_storeu_pd(lane, sum);
    for (; i < n; i++) {
        double difference = (double)in[i] * factor - (double)mean[i];
        rest += difference * difference;
        out[i] = (float)difference;
    }
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + rest;
}

static float code_bytes_avx2(const float *x, size_t n, int8_t *out, int32_t *out_sum,
                             float *out_error_square) {
    __m256 most = _mm256_setzero_ps(), errors = most;
    float lane[8], top = 0;
    for (size_t i = 0; i < n; i += 8)
        most = _mm256_max_ps(most, code_abs_avx2(_mm256_loadu_ps(x + i)));
    _mm256_storeu_ps(lane, most);
    for (int j = 0; j < 8; j++)
        top = lane[j] > top ? lane[j] : top;
    float unit = top < FLT_MIN * 128 ? 0 : top / 127, inverse = unit > 0 ? 127 / top : 0;
    int32_t sum = 0;
    for (size_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256i value = _mm256_cvtps_epi32(_mm256_mul_ps(v, _mm256_set1_ps(inverse)));
        __m256 error = _mm256_fnmadd_ps(_mm256_cvtepi32_ps(value), _mm256_set1_ps(unit), v);
        errors = _mm256_fmadd_ps(error, error, errors);
        __m128i words =
            _mm_packs_epi32(_mm256_castsi256_si128(value), _mm256_extracti128_si256(value, 1));
        _mm_storel_epi64((__m128i *)(void *)(out + i), _mm_packs_epi16(words, words));
    }
    for (size_t i = 0; i < n; i++)
        sum += out[i];
    *out_sum = sum;
    *out_error_square = code_sum_avx2(errors);
    return unit;
}

static void code_grid_avx2(const float *x, size_t n, const vsi_code_grid *grid, float inverse,
                           float out[2]) {
    __m256 dot = _mm256_setzero_ps(), square = dot, zero = dot,
           top = _mm256_set1_ps((float)grid->top);
    __m256 half = _mm256_set1_ps(grid->half), by = _mm256_set1_ps(inverse);
    __m256 step = _mm256_set1_ps((float)grid->step), offset = _mm256_set1_ps((float)grid->offset);
    for (size_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256 level = _mm256_min_ps(_mm256_max_ps(_mm256_fmadd_ps(v, by, half), zero), top);
        __m256 point = _mm256_fmsub_ps(_mm256_floor_ps(level), step, offset);
        dot = _mm256_fmadd_ps(v, point, dot);
        square = _mm256_fmadd_ps(point, point, square);
    }
    out[0] = code_sum_avx2(dot);
    out[1] = code_sum_avx2(square);
}

VSI_TARGET_END

VSI_FN const vsi_codes *vsi_codes_avx2(void) {
    static const vsi_codes table = {
        .name = "avx2",
        .dot = {dot_u1_avx2, dot_u2_avx2, dot_u4_avx2, dot_u8_avx2, dot_f16_avx2, dot_bf16_avx2},
        .bounds = code_bounds_avx2,
        .estimates = code_estimates_avx2,
        .mix = code_mix_avx2,
        .hadamard = code_hadamard_avx2,
        .scale = code_scale_avx2,
        .product = code_product_avx2,
        .residual = code_residual_avx2,
        .bytes = code_bytes_avx2,
        .grid = code_grid_avx2,
    };
    return &table;
}

#else

VSI_FN const vsi_codes *vsi_codes_avx2(void) {
    return NULL;
}

#endif
