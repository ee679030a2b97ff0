/* codes_avx512.c - kernels for codes with AVX-512 and VNNI: rows are read one after the other, four at a time are added up. */
#include "math/codes_avx512.h"

#if defined(VSI_X86) && defined(__GNUC__)

VSI_TARGET_BEGIN(VSI_TARGET_AVX512)

/* ---- inner products ------------------------------------------------------------------------- */

VSI_INLINE __m512i code_load_avx512(const void *p) {
    return _mm512_loadu_si512(p);
}

/* The sums of the lanes of four registers. */
VSI_INLINE __m128i code_sums_avx512(const __m512i v[4]) {
    __m512i ab =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    __m512i cd =
        _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

/* Products of a group, of 64 bytes or of width less. A row is read from its beginning to its end before the next one: four
 * rows side by side, which would share the loads of the query, are four streams and read memory at half the speed. */
VSI_INLINE __m512i code_group_avx512(const int8_t *query, const uint8_t *code, size_t width,
                                     int bits, __m512i sum) {
    const __m512i low = _mm512_set1_epi8((char)((1 << bits) - 1));
    const int count = 8 / bits;
    __mmask64 mask = width == 64 ? ~(__mmask64)0 : ((__mmask64)1 << width) - 1;
    __m512i levels = _mm512_maskz_loadu_epi8(mask, code);
    VSI_UNROLL
    for (int j = 0; j < count; j++) {
        __m512i q = _mm512_maskz_loadu_epi8(mask, query + width * (size_t)j);
        __m512i part = _mm512_srli_epi16(levels, (uint8_t)(j * bits));
        sum = _mm512_dpbusd_epi32(sum, bits < 8 ? _mm512_and_si512(part, low) : part, q);
    }
    return sum;
}

VSI_INLINE __m512i code_row_avx512(const int8_t *query, size_t dims, const uint8_t *code,
                                   int bits) {
    __m512i even = _mm512_setzero_si512(), odd = even;
    size_t group = 512u / (unsigned)bits;
    for (; dims >= 2 * group; dims -= 2 * group, query += 2 * group, code += 128) {
        even = code_group_avx512(query, code, 64, bits, even);
        odd = code_group_avx512(query + group, code + 64, 64, bits, odd);
    }
    if (dims >= group) {
        even = code_group_avx512(query, code, 64, bits, even);
        dims -= group;
        query += group;
        code += 64;
    }
    if (dims)
        odd = code_group_avx512(query, code, dims * (unsigned)bits / 8, bits, odd);
    return _mm512_add_epi32(even, odd);
}

/* Bits choose bytes of the query. */
VSI_INLINE __m512i code_row_bits_avx512(const int8_t *query, size_t dims, const uint8_t *code) {
    const __m512i one = _mm512_set1_epi8(1);
    __m512i sum = _mm512_setzero_si512();
    for (size_t j = 0; j < dims; j += 64) {
        uint64_t mask;
        memcpy(&mask, code + j / 8, sizeof mask);
        sum = _mm512_dpbusd_epi32(sum, one, _mm512_maskz_loadu_epi8(mask, query + j));
    }
    return sum;
}

/* Sixteen halves as floats. */
VSI_INLINE __m512 code_halves_avx512(const uint8_t *p, bool is_f16) {
    __m256i halves = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return is_f16 ? _mm512_cvtph_ps(halves)
                  : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

VSI_INLINE __m512 code_row_halves_avx512(const float *query, size_t dims, const uint8_t *code,
                                         bool is_f16) {
    __m512 sum[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                     _mm512_setzero_ps()};
    for (size_t j = 0; j < dims; j += 64) {
        VSI_UNROLL
        for (size_t k = 0; k < 4; k++) {
            __m512 points = code_halves_avx512(code + 2 * (j + 16 * k), is_f16);
            sum[k] = _mm512_fmadd_ps(points, _mm512_loadu_ps(query + j + 16 * k), sum[k]);
        }
    }
    return _mm512_add_ps(_mm512_add_ps(sum[0], sum[1]), _mm512_add_ps(sum[2], sum[3]));
}

/* The sums of the lanes of four registers, as whole numbers. */
VSI_INLINE __m128i code_whole_sums_avx512(const __m512 v[4]) {
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
    __m512 all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    return _mm_cvtps_epi32(
        _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

/* Four rows at a time; of the last ones fewer, by taking the last one more than once. */
#define CODE_DOT_AVX512(name, SUM, SUMS, ROW)                                                      \
    static void name(const void *query, size_t dims, const vsi_code_rows *rows, int32_t *out) {    \
        for (size_t i = 0; i < rows->n; i += 4) {                                                  \
            size_t here = rows->n - i < 4 ? rows->n - i : 4;                                       \
            SUM sum[4];                                                                            \
            VSI_UNROLL                                                                             \
            for (size_t r = 0; r < 4; r++) {                                                       \
                const uint8_t *code =                                                              \
                    rows->first + (i + (r < here ? r : here - 1)) * rows->stride;                  \
                sum[r] = ROW;                                                                      \
            }                                                                                      \
            _mm_mask_storeu_epi32(out + i, (__mmask8)((1u << here) - 1), SUMS(sum));               \
        }                                                                                          \
    }

CODE_DOT_AVX512(dot_u1_avx512, __m512i, code_sums_avx512, code_row_bits_avx512(query, dims, code))
CODE_DOT_AVX512(dot_u2_avx512, __m512i, code_sums_avx512, code_row_avx512(query, dims, code, 2))
CODE_DOT_AVX512(dot_u4_avx512, __m512i, code_sums_avx512, code_row_avx512(query, dims, code, 4))
CODE_DOT_AVX512(dot_u8_avx512, __m512i, code_sums_avx512, code_row_avx512(query, dims, code, 8))
CODE_DOT_AVX512(dot_f16_avx512, __m512, code_whole_sums_avx512,
                code_row_halves_avx512(query, dims, code, true))
CODE_DOT_AVX512(dot_bf16_avx512, __m512, code_whole_sums_avx512,
                code_row_halves_avx512(query, dims, code, false))

/* ---- bounds --------------------------------------------------------------------------------- */

/* The heads of 16 rows, one register for each of their floats. */
VSI_INLINE void code_heads_avx512(const uint8_t *head, size_t stride, __m512 out[4]) {
    __m512 row[4];
    VSI_UNROLL
    for (size_t r = 0; r < 4; r++) {
        const uint8_t *p = head + r * stride;
        row[r] = _mm512_castps128_ps512(_mm_loadu_ps((const float *)(const void *)p));
        row[r] = _mm512_insertf32x4(row[r],
                                    _mm_loadu_ps((const float *)(const void *)(p + 4 * stride)), 1);
        row[r] = _mm512_insertf32x4(row[r],
                                    _mm_loadu_ps((const float *)(const void *)(p + 8 * stride)), 2);
        row[r] = _mm512_insertf32x4(
            row[r], _mm_loadu_ps((const float *)(const void *)(p + 12 * stride)), 3);
    }
    __m512 a = _mm512_unpacklo_ps(row[0], row[1]), b = _mm512_unpackhi_ps(row[0], row[1]);
    __m512 c = _mm512_unpacklo_ps(row[2], row[3]), d = _mm512_unpackhi_ps(row[2], row[3]);
    out[0] = _mm512_shuffle_ps(a, c, 0x44);
    out[1] = _mm512_shuffle_ps(a, c, 0xee);
    out[2] = _mm512_shuffle_ps(b, d, 0x44);
    out[3] = _mm512_shuffle_ps(b, d, 0xee);
}

VSI_INLINE __m512 code_along_avx512(const vsi_code_frame *frame, const int32_t *dots,
                                    __m512 inverse) {
    __m512i grid = _mm512_mullo_epi32(code_load_avx512(dots), _mm512_set1_epi32(frame->step));
    grid = _mm512_sub_epi32(grid, _mm512_set1_epi32(frame->offset));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(grid),
                         _mm512_mul_ps(inverse, _mm512_set1_ps(frame->unit)));
}

VSI_INLINE void code_bounds16_avx512(const vsi_code_frame *frame, const uint8_t *heads,
                                     size_t stride, const int32_t *dots, float *lower,
                                     float *upper) {
    __m512 head[4], zero = _mm512_setzero_ps();
    code_heads_avx512(heads, stride, head);
    __m512 error = _mm512_set1_ps(frame->error), factor = _mm512_set1_ps(frame->factor);
    __m512 along = code_along_avx512(frame, dots, head[VSI_HEAD_INVERSE]);
    __m512 least = _mm512_max_ps(_mm512_sub_ps(_mm512_abs_ps(along), error), zero);
    __m512 across = _mm512_fnmadd_ps(least, least, _mm512_set1_ps(frame->square));
    across = _mm512_sqrt_ps(_mm512_max_ps(across, zero));
    __m512 wide =
        _mm512_fmadd_ps(head[VSI_HEAD_ERROR], across, _mm512_mul_ps(head[VSI_HEAD_LENGTH], error));
    __m512 middle = _mm512_add_ps(head[VSI_HEAD_BASE], _mm512_set1_ps(frame->base));
    middle = _mm512_fnmadd_ps(_mm512_mul_ps(head[VSI_HEAD_LENGTH], factor), along, middle);
    wide = _mm512_fmadd_ps(wide, factor, _mm512_set1_ps(frame->base_error));
    wide = _mm512_fmadd_ps(_mm512_abs_ps(head[VSI_HEAD_BASE]), _mm512_set1_ps(frame->base_relative),
                           wide);
    __m512 infinity = _mm512_set1_ps(INFINITY);
    __mmask16 has_code =
        _mm512_cmp_ps_mask(_mm512_abs_ps(head[VSI_HEAD_BASE]), infinity, _CMP_LT_OQ);
    _mm512_storeu_ps(lower,
                     _mm512_mask_sub_ps(_mm512_sub_ps(zero, infinity), has_code, middle, wide));
    if (upper)
        _mm512_storeu_ps(upper, _mm512_mask_add_ps(infinity, has_code, middle, wide));
}

VSI_INLINE void code_estimates16_avx512(const vsi_code_frame *frame, const uint8_t *heads,
                                        size_t stride, const int32_t *dots, float *out,
                                        float *out_wide) {
    __m512 head[4], zero = _mm512_setzero_ps(), infinity = _mm512_set1_ps(INFINITY);
    code_heads_avx512(heads, stride, head);
    __m512 length = head[VSI_HEAD_LENGTH], error = head[VSI_HEAD_ERROR],
           factor = _mm512_set1_ps(frame->factor);
    __m512 along = code_along_avx512(frame, dots, head[VSI_HEAD_INVERSE]);
    __m512 ratio = _mm512_div_ps(error, length);
    __mmask16 is_long = _mm512_cmp_ps_mask(length, zero, _CMP_GT_OQ);
    ratio = _mm512_maskz_mov_ps(is_long, ratio);
    __m512 whole = _mm512_fmadd_ps(error, ratio, length);
    __m512 middle = _mm512_add_ps(head[VSI_HEAD_BASE], _mm512_set1_ps(frame->base));
    middle = _mm512_fnmadd_ps(_mm512_mul_ps(whole, factor), along, middle);
    __m512 own = _mm512_abs_ps(head[VSI_HEAD_BASE]);
    __mmask16 has_code = _mm512_cmp_ps_mask(own, infinity, _CMP_LT_OQ);
    _mm512_storeu_ps(out, _mm512_mask_blend_ps(has_code, _mm512_sub_ps(zero, infinity), middle));
    if (!out_wide)
        return;
    __m512 far = _mm512_sqrt_ps(_mm512_fmadd_ps(ratio, ratio, _mm512_set1_ps(1)));
    far = _mm512_mul_ps(far, _mm512_set1_ps(frame->spread));
    far = _mm512_mask_blend_ps(is_long, _mm512_set1_ps(frame->length), far);
    far = _mm512_fmadd_ps(error, far, _mm512_mul_ps(whole, _mm512_set1_ps(frame->error)));
    far = _mm512_fmadd_ps(far, factor, _mm512_set1_ps(frame->base_error));
    far = _mm512_fmadd_ps(own, _mm512_set1_ps(frame->base_relative), far);
    _mm512_storeu_ps(out_wide, _mm512_mask_blend_ps(has_code, infinity, far));
}

/* 16 rows at a time; the last ones from a copy of their heads. */
#define CODE_HEADS_AVX512(name, KERNEL)                                                            \
    static void name(const vsi_code_frame *frame, const vsi_code_rows *rows, const int32_t *dots,  \
                     float *first, float *second) {                                                \
        size_t i = 0, rest = rows->n % 16;                                                         \
        const uint8_t *head = rows->first + rows->head_off;                                        \
        for (; i + 16 <= rows->n; i += 16)                                                         \
            KERNEL(frame, head + i * rows->stride, rows->stride, dots + i, first + i,              \
                   second ? second + i : NULL);                                                    \
        if (!rest)                                                                                 \
            return;                                                                                \
        uint8_t heads[16 * VSI_CODE_HEAD_BYTES] = {0};                                             \
        int32_t last[16] = {0};                                                                    \
        float a[16], b[16] = {0};                                                                  \
        for (size_t r = 0; r < rest; r++)                                                          \
            memcpy(heads + r * VSI_CODE_HEAD_BYTES, head + (i + r) * rows->stride,                 \
                   VSI_CODE_HEAD_BYTES);                                                           \
        memcpy(last, dots + i, rest * sizeof *dots);                                               \
        KERNEL(frame, heads, VSI_CODE_HEAD_BYTES, last, a, second ? b : NULL);                     \
        memcpy(first + i, a, rest * sizeof *first);                                                \
        if (second)                                                                                \
            memcpy(second + i, b, rest * sizeof *second);                                          \
    }

CODE_HEADS_AVX512(code_bounds_avx512, code_bounds16_avx512)
CODE_HEADS_AVX512(code_estimates_avx512, code_estimates16_avx512)

/* ---- rotation ------------------------------------------------------------------------------- */

VSI_INLINE __m512 code_flip_avx512(__m512 v, uint32_t signs) {
    __m512i bits = _mm512_castps_si512(v);
    __m512i sign = _mm512_set1_epi32(INT32_MIN);
    return _mm512_castsi512_ps(_mm512_mask_xor_epi32(bits, (__mmask16)signs, bits, sign));
}

static void code_mix_avx512(float *x, float *y, size_t n, const float scale[2],
                            const uint32_t *x_signs, const uint32_t *y_signs) {
    __m512 x_scale = _mm512_set1_ps(scale[0]), y_scale = _mm512_set1_ps(scale[1]);
    for (size_t i = 0; i < n; i += 16) {
        uint32_t shift = i % 32;
        __m512 a = _mm512_mul_ps(_mm512_loadu_ps(x + i), x_scale);
        __m512 b = _mm512_mul_ps(_mm512_loadu_ps(y + i), y_scale);
        a = code_flip_avx512(a, x_signs[i / 32] >> shift);
        b = code_flip_avx512(b, y_signs[i / 32] >> shift);
        _mm512_storeu_ps(x + i, _mm512_add_ps(a, b));
        _mm512_storeu_ps(y + i, _mm512_sub_ps(a, b));
    }
}

/* Levels of distance 1, 2, 4 and 8. */
VSI_INLINE __m512 code_hadamard16_avx512(__m512 v) {
    __m512 s = _mm512_permute_ps(v, 0xb1);
    v = _mm512_mask_sub_ps(_mm512_add_ps(v, s), 0xaaaa, s, v);
    s = _mm512_permute_ps(v, 0x4e);
    v = _mm512_mask_sub_ps(_mm512_add_ps(v, s), 0xcccc, s, v);
    s = _mm512_shuffle_f32x4(v, v, 0xb1);
    v = _mm512_mask_sub_ps(_mm512_add_ps(v, s), 0xf0f0, s, v);
    s = _mm512_shuffle_f32x4(v, v, 0x4e);
    return _mm512_mask_sub_ps(_mm512_add_ps(v, s), 0xff00, s, v);
}

/* The level of distance h over count registers. */
VSI_INLINE void code_level_avx512(__m512 *v, int count, int h) {
    VSI_UNROLL
    for (int k = 0; k < count / 2; k++) {
        int i = k / h * 2 * h + k % h;
        __m512 a = v[i], b = v[i + h];
        v[i] = _mm512_add_ps(a, b);
        v[i + h] = _mm512_sub_ps(a, b);
    }
}

/* Those of distance 1, 2 .. count / 2; count is 2, 4 or 8. */
VSI_INLINE void code_levels_avx512(__m512 *v, int count) {
    code_level_avx512(v, count, 1);
    if (count > 2)
        code_level_avx512(v, count, 2);
    if (count > 4)
        code_level_avx512(v, count, 4);
}

/* The levels of distance h .. h * count / 2; count is a constant where this is inlined. */
VSI_INLINE void code_pass_avx512(float *x, size_t n, size_t h, int count) {
    for (size_t i = 0; i < n; i += h * (size_t)count)
        for (size_t j = i; j < i + h; j += 16) {
            __m512 v[8];
            VSI_UNROLL
            for (int k = 0; k < count; k++)
                v[k] = _mm512_loadu_ps(x + j + (size_t)k * h);
            code_levels_avx512(v, count);
            VSI_UNROLL
            for (int k = 0; k < count; k++)
                _mm512_storeu_ps(x + j + (size_t)k * h, v[k]);
        }
}

static void code_hadamard_avx512(float *x, size_t n) {
    for (size_t i = 0; i < n; i += 64) {
        __m512 v[4];
        VSI_UNROLL
        for (int k = 0; k < 4; k++)
            v[k] = code_hadamard16_avx512(_mm512_loadu_ps(x + i + 16 * k));
        code_levels_avx512(v, 4);
        VSI_UNROLL
        for (int k = 0; k < 4; k++)
            _mm512_storeu_ps(x + i + 16 * k, v[k]);
    }
    size_t h = 64;
    for (; 8 * h <= n; h *= 8)
        code_pass_avx512(x, n, h, 8);
    if (4 * h <= n)
        code_pass_avx512(x, n, h, 4);
    else if (2 * h <= n)
        code_pass_avx512(x, n, h, 2);
}

static void code_scale_avx512(float *x, size_t n, float scale, const uint32_t *signs) {
    for (size_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(scale));
        _mm512_storeu_ps(x + i, signs ? code_flip_avx512(v, signs[i / 32] >> i % 32) : v);
    }
}

/* ---- queries and grids ---------------------------------------------------------------------- */

static double code_product_avx512(const float *a, const float *b, size_t n) {
    __m512d sum = _mm512_setzero_pd();
    for (size_t i = 0; i < n; i += 8) {
        __mmask8 mask = (__mmask8)(n - i < 8 ? (1u << (n - i)) - 1 : 0xff);
        __m512d x = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(mask, a + i));
        __m512d y = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(mask, b + i));
        sum = _mm512_fmadd_pd(x, y, sum);
    }
    return _mm512_reduce_add_pd(sum);
}

static double code_residual_avx512(const float *in, const float *mean, size_t n, double factor,
                                   float *out) {
    __m512d sum = _mm512_setzero_pd(), by = _mm512_set1_pd(factor);
    for (size_t i = 0; i < n; i += 8) {
        __mmask8 mask = (__mmask8)(n - i < 8 ? (1u << (n - i)) - 1 : 0xff);
        __m512d x = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(mask, in + i));
        __m512d m = _mm512_cvtps_pd(_mm256_maskz_loadu_ps(mask, mean + i));
        __m512d difference = _mm512_fmsub_pd(x, by, m);
        sum = _mm512_fmadd_pd(difference, difference, sum);
        _mm256_mask_storeu_ps(out + i, mask, _mm512_cvtpd_ps(difference));
    }
    return _mm512_reduce_add_pd(sum);
}

static float code_bytes_avx512(const float *x, size_t n, int8_t *out, int32_t *out_sum,
                               float *out_error_square) {
    __m512 most = _mm512_setzero_ps(), errors = most;
    for (size_t i = 0; i < n; i += 16)
        most = _mm512_max_ps(most, _mm512_abs_ps(_mm512_loadu_ps(x + i)));
    float top = _mm512_reduce_max_ps(most);
    float unit = top < FLT_MIN * 128 ? 0 : top / 127, inverse = unit > 0 ? 127 / top : 0;
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        __m512i value = _mm512_cvtps_epi32(_mm512_mul_ps(v, _mm512_set1_ps(inverse)));
        __m512 error = _mm512_fnmadd_ps(_mm512_cvtepi32_ps(value), _mm512_set1_ps(unit), v);
        errors = _mm512_fmadd_ps(error, error, errors);
        sum = _mm512_add_epi32(sum, value);
        _mm_storeu_si128((__m128i *)(void *)(out + i), _mm512_cvtepi32_epi8(value));
    }
    *out_sum = _mm512_reduce_add_epi32(sum);
    *out_error_square = _mm512_reduce_add_ps(errors);
    return unit;
}

static void code_grid_avx512(const float *x, size_t n, const vsi_code_grid *grid, float inverse,
                             float out[2]) {
    __m512 dot = _mm512_setzero_ps(), square = dot, zero = dot,
           top = _mm512_set1_ps((float)grid->top);
    __m512 half = _mm512_set1_ps(grid->half), by = _mm512_set1_ps(inverse);
    __m512 step = _mm512_set1_ps((float)grid->step), offset = _mm512_set1_ps((float)grid->offset);
    for (size_t i = 0; i < n; i += 16) {
        __m512 v = _mm512_loadu_ps(x + i);
        __m512 level = _mm512_min_ps(_mm512_max_ps(_mm512_fmadd_ps(v, by, half), zero), top);
        level = _mm512_cvtepi32_ps(_mm512_cvttps_epi32(level));
        __m512 point = _mm512_fmsub_ps(level, step, offset);
        dot = _mm512_fmadd_ps(v, point, dot);
        square = _mm512_fmadd_ps(point, point, square);
    }
    out[0] = _mm512_reduce_add_ps(dot);
    out[1] = _mm512_reduce_add_ps(square);
}

VSI_TARGET_END

VSI_FN const vsi_codes *vsi_codes_avx512(void) {
    static const vsi_codes table = {
        .name = "avx512",
        .dot = {dot_u1_avx512, dot_u2_avx512, dot_u4_avx512, dot_u8_avx512, dot_f16_avx512,
                dot_bf16_avx512},
        .bounds = code_bounds_avx512,
        .estimates = code_estimates_avx512,
        .mix = code_mix_avx512,
        .hadamard = code_hadamard_avx512,
        .scale = code_scale_avx512,
        .product = code_product_avx512,
        .residual = code_residual_avx512,
        .bytes = code_bytes_avx512,
        .grid = code_grid_avx512,
    };
    return &table;
}

#else

VSI_FN const vsi_codes *vsi_codes_avx512(void) {
    return NULL;
}

#endif
