/* kernels_avx2.c - kernels for AVX2, FMA and F16C. What is left of a row behind its last whole vector is loaded with the
 * elements before it, which are masked away. */
#include "math/kernels_avx2.h"

#if defined(VSI_X86) && defined(__GNUC__)

VSI_TARGET_BEGIN(VSI_TARGET_AVX2)

/* Ones in the last n of 32 bytes begin at tail_mask_avx2 + n; in the first n at + 64 - n. */
static const uint8_t tail_mask_avx2[96] = {
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
};

VSI_INLINE __m256i load_bytes_avx2(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* Eight bytes from p + at on, zeros from p + n on. */
static inline int64_t load_word_avx2(const uint8_t *p, size_t n, size_t at) {
    int64_t word = 0;
    if (at + 8 <= n)
        memcpy(&word, p + at, 8);
    else if (at < n)
        memcpy(&word, p + at, n - at);
    return word;
}

static inline __m256i load_few_bytes_avx2(const uint8_t *p, size_t n) {
    return _mm256_set_epi64x(load_word_avx2(p, n, 24), load_word_avx2(p, n, 16),
                             load_word_avx2(p, n, 8), load_word_avx2(p, n, 0));
}

/* n of 1 to 31 bytes, behind zeros where 32 bytes lie before their end, else in front of them. */
VSI_INLINE __m256i load_bytes_some_avx2(const uint8_t *p, size_t n, bool has_more) {
    if (!has_more)
        return load_few_bytes_avx2(p, n);
    return _mm256_and_si256(load_bytes_avx2(p + n - 32), load_bytes_avx2(tail_mask_avx2 + n));
}

/* ---- floats --------------------------------------------------------------------------------- */

/* The sums of four vectors' lanes, in single precision, as doubles. */
VSI_INLINE void sum4_ps_avx2(__m256 a, __m256 b, __m256 c, __m256 d, double *out) {
    __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    __m256 low = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd)));
    __m256 high = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(ab), _mm256_castps_pd(cd)));
    __m256 lanes = _mm256_add_ps(low, high); /* each four of them: a, b, c, d */
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
    _mm256_storeu_pd(out, _mm256_cvtps_pd(sum));
}

VSI_INLINE __m256 load_f32_some_avx2(const float *p, size_t n) {
    return _mm256_maskload_ps(p, load_bytes_avx2(tail_mask_avx2 + 64 - 4 * n));
}

VSI_INLINE __m256 bf16_ps_avx2(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

VSI_INLINE __m128i load_half_avx2(const uint16_t *p) {
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* n of 1 to 7 elements: as load_bytes_some_avx2. */
VSI_INLINE __m128i load_half_some_avx2(const uint16_t *p, size_t n, bool has_more) {
    uint16_t few[8] = {0};
    if (has_more)
        return _mm_and_si128(
            load_half_avx2(p + n - 8),
            load_half_avx2((const uint16_t *)(const void *)(tail_mask_avx2 + 16 + 2 * n)));
    for (size_t i = 0; i < n; i++)
        few[i] = p[i];
    return load_half_avx2(few);
}

VSI_INLINE __m256 load_f16_avx2(const uint16_t *p) {
    return _mm256_cvtph_ps(load_half_avx2(p));
}

VSI_INLINE __m256 load_f16_some_avx2(const uint16_t *p, size_t n, bool has_more) {
    return _mm256_cvtph_ps(load_half_some_avx2(p, n, has_more));
}

VSI_INLINE __m256 load_bf16_avx2(const uint16_t *p) {
    return bf16_ps_avx2(load_half_avx2(p));
}

VSI_INLINE __m256 load_bf16_some_avx2(const uint16_t *p, size_t n, bool has_more) {
    return bf16_ps_avx2(load_half_some_avx2(p, n, has_more));
}

/* The same of a query in single precision, in the lanes that load_half_some_avx2 has them in. */
VSI_INLINE __m256 load_query_some_avx2(const float *p, size_t n, bool has_more) {
    const float *mask = (const float *)(const void *)(tail_mask_avx2 + 4 * n);
    return has_more ? _mm256_and_ps(_mm256_loadu_ps(p + n - 8), _mm256_loadu_ps(mask))
                    : load_f32_some_avx2(p, n);
}

VSI_INLINE __m256 load_u8_ps_avx2(const uint8_t *p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

VSI_INLINE __m256 load_i8_ps_avx2(const uint8_t *p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

/* Elements in single precision, zeros up to a whole vector. */
#define WIDEN_AVX2(type, elem, load)                                                               \
    static void widen_##type##_avx2(float *to, const void *from, size_t n) {                       \
        const elem *p = from;                                                                      \
        size_t j = 0;                                                                              \
        elem last[8] = {0};                                                                        \
        for (; j + 8 <= n; j += 8)                                                                 \
            _mm256_storeu_ps(to + j, load(p + j));                                                 \
        for (size_t i = j; i < n; i++)                                                             \
            last[i - j] = p[i];                                                                    \
        if (j < n)                                                                                 \
            _mm256_storeu_ps(to + j, load(last));                                                  \
    }

WIDEN_AVX2(f16, uint16_t, load_f16_avx2)
WIDEN_AVX2(bf16, uint16_t, load_bf16_avx2)
WIDEN_AVX2(u8, uint8_t, load_u8_ps_avx2)
WIDEN_AVX2(i8, uint8_t, load_i8_ps_avx2)

VSI_INLINE __m256 step_l2_ps_avx2(__m256 sum, __m256 x, __m256 y) {
    __m256 d = _mm256_sub_ps(x, y);
    return _mm256_fmadd_ps(d, d, sum);
}

VSI_INLINE __m256 step_l1_ps_avx2(__m256 sum, __m256 x, __m256 y) {
    return _mm256_add_ps(sum, _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(x, y)));
}

#define K(name)                      name##_f32_avx2
#define ELEM                         float
#define QUERY                        float
#define UNITS(dim)                   (dim)
#define BLOCK                        VSI_KERNEL_BLOCK
#define VEC                          __m256
#define ACC                          __m256
#define ACC_ZERO                     _mm256_setzero_ps()
#define ACC_ADD(a, b)                _mm256_add_ps(a, b)
#define LANES                        8
#define QUERY_LOAD(p)                _mm256_loadu_ps(p)
#define LOAD(p)                      _mm256_loadu_ps(p)
#define QUERY_SOME(p, n, has_more)   load_f32_some_avx2(p, n)
#define LOAD_SOME(p, n, has_more)    load_f32_some_avx2(p, n)
#define STEP_L2(sum, x, y)           step_l2_ps_avx2(sum, x, y)
#define STEP_DOT(sum, x, y)          _mm256_fmadd_ps(x, y, sum)
#define STEP_L1(sum, x, y)           step_l1_ps_avx2(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_ps_avx2(a, b, c, d, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_ps_avx2(a, b, c, d, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_f16_avx2
#define ELEM                         uint16_t
#define QUERY                        float
#define UNITS(dim)                   (dim)
#define BLOCK                        VSI_KERNEL_BLOCK
#define VEC                          __m256
#define ACC                          __m256
#define ACC_ZERO                     _mm256_setzero_ps()
#define ACC_ADD(a, b)                _mm256_add_ps(a, b)
#define LANES                        8
#define QUERY_LOAD(p)                _mm256_loadu_ps(p)
#define LOAD(p)                      load_f16_avx2(p)
#define QUERY_SOME(p, n, has_more)   load_query_some_avx2(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_f16_some_avx2(p, n, has_more)
#define STEP_L2(sum, x, y)           step_l2_ps_avx2(sum, x, y)
#define STEP_DOT(sum, x, y)          _mm256_fmadd_ps(x, y, sum)
#define STEP_L1(sum, x, y)           step_l1_ps_avx2(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_ps_avx2(a, b, c, d, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_ps_avx2(a, b, c, d, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_bf16_avx2
#define ELEM                         uint16_t
#define QUERY                        float
#define UNITS(dim)                   (dim)
#define BLOCK                        VSI_KERNEL_BLOCK
#define VEC                          __m256
#define ACC                          __m256
#define ACC_ZERO                     _mm256_setzero_ps()
#define ACC_ADD(a, b)                _mm256_add_ps(a, b)
#define LANES                        8
#define QUERY_LOAD(p)                _mm256_loadu_ps(p)
#define LOAD(p)                      load_bf16_avx2(p)
#define QUERY_SOME(p, n, has_more)   load_query_some_avx2(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_bf16_some_avx2(p, n, has_more)
#define STEP_L2(sum, x, y)           step_l2_ps_avx2(sum, x, y)
#define STEP_DOT(sum, x, y)          _mm256_fmadd_ps(x, y, sum)
#define STEP_L1(sum, x, y)           step_l1_ps_avx2(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_ps_avx2(a, b, c, d, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_ps_avx2(a, b, c, d, out)
#include "math/kernels_type.inc"

/* ---- whole numbers -------------------------------------------------------------------------- */

/* The sums of four vectors' lanes of 32 bits, modulo 2^32. */
static inline void sum4_epi32_avx2(__m256i a, __m256i b, __m256i c, __m256i d, bool is_signed,
                                   double *out) {
    __m256i ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    __m256i cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    __m256i lanes = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
    uint32_t number[4];
    _mm_storeu_si128((__m128i *)(void *)number, sum);
    for (int i = 0; i < 4; i++)
        out[i] = is_signed ? (double)(int32_t)number[i] : (double)number[i];
}

/* Bytes in even and in odd places as 16-bit numbers. */
VSI_INLINE __m256i even_u8_avx2(__m256i v) {
    return _mm256_and_si256(v, _mm256_set1_epi16(0xff));
}

VSI_INLINE __m256i odd_u8_avx2(__m256i v) {
    return _mm256_srli_epi16(v, 8);
}

VSI_INLINE __m256i even_i8_avx2(__m256i v) {
    return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
}

VSI_INLINE __m256i odd_i8_avx2(__m256i v) {
    return _mm256_srai_epi16(v, 8);
}

/* A lane of 32 bits adds at most 65535 / 32 + 1 times 4 * 255 * 255, which is below 2^31. */
#define INTEGER_STEPS_AVX2(type)                                                                   \
    VSI_INLINE __m256i step_dot_##type##_avx2(__m256i sum, __m256i x, __m256i y) {                 \
        __m256i even = _mm256_madd_epi16(even_##type##_avx2(x), even_##type##_avx2(y));            \
        __m256i odd = _mm256_madd_epi16(odd_##type##_avx2(x), odd_##type##_avx2(y));               \
        return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));                                 \
    }                                                                                              \
    VSI_INLINE __m256i step_l2_##type##_avx2(__m256i sum, __m256i x, __m256i y) {                  \
        __m256i even = _mm256_sub_epi16(even_##type##_avx2(x), even_##type##_avx2(y));             \
        __m256i odd = _mm256_sub_epi16(odd_##type##_avx2(x), odd_##type##_avx2(y));                \
        __m256i both =                                                                             \
            _mm256_add_epi32(_mm256_madd_epi16(even, even), _mm256_madd_epi16(odd, odd));          \
        return _mm256_add_epi32(sum, both);                                                        \
    }

INTEGER_STEPS_AVX2(u8)
INTEGER_STEPS_AVX2(i8)

VSI_INLINE __m256i step_l1_u8_avx2(__m256i sum, __m256i x, __m256i y) {
    return _mm256_add_epi32(sum, _mm256_sad_epu8(x, y));
}

VSI_INLINE __m256i step_l1_i8_avx2(__m256i sum, __m256i x, __m256i y) {
    const __m256i shift = _mm256_set1_epi8(-128);
    return step_l1_u8_avx2(sum, _mm256_xor_si256(x, shift), _mm256_xor_si256(y, shift));
}

#define K(name)                      name##_u8_avx2
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (dim)
#define BLOCK                        SIZE_MAX
#define VEC                          __m256i
#define ACC                          __m256i
#define ACC_ZERO                     _mm256_setzero_si256()
#define ACC_ADD(a, b)                _mm256_add_epi32(a, b)
#define LANES                        32
#define QUERY_LOAD(p)                load_bytes_avx2(p)
#define LOAD(p)                      load_bytes_avx2(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_avx2(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_avx2(p, n, has_more)
#define STEP_L2(sum, x, y)           step_l2_u8_avx2(sum, x, y)
#define STEP_DOT(sum, x, y)          step_dot_u8_avx2(sum, x, y)
#define STEP_L1(sum, x, y)           step_l1_u8_avx2(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_epi32_avx2(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_epi32_avx2(a, b, c, d, false, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_i8_avx2
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (dim)
#define BLOCK                        SIZE_MAX
#define VEC                          __m256i
#define ACC                          __m256i
#define ACC_ZERO                     _mm256_setzero_si256()
#define ACC_ADD(a, b)                _mm256_add_epi32(a, b)
#define LANES                        32
#define QUERY_LOAD(p)                load_bytes_avx2(p)
#define LOAD(p)                      load_bytes_avx2(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_avx2(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_avx2(p, n, has_more)
#define STEP_L2(sum, x, y)           step_l2_i8_avx2(sum, x, y)
#define STEP_DOT(sum, x, y)          step_dot_i8_avx2(sum, x, y)
#define STEP_L1(sum, x, y)           step_l1_i8_avx2(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_epi32_avx2(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_epi32_avx2(a, b, c, d, true, out)
#include "math/kernels_type.inc"

/* ---- bits ----------------------------------------------------------------------------------- */

/* Adds the bits that are set, counted by a table of four bits each. */
VSI_INLINE __m256i add_bits_avx2(__m256i sum, __m256i v) {
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1,
                                            2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    __m256i of_low = _mm256_shuffle_epi8(counts, _mm256_and_si256(v, low));
    __m256i of_high = _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), low));
    __m256i bytes = _mm256_add_epi8(of_low, of_high);
    return _mm256_add_epi32(sum, _mm256_sad_epu8(bytes, _mm256_setzero_si256()));
}

VSI_INLINE __m256i step_xor_avx2(__m256i sum, __m256i x, __m256i y) {
    return add_bits_avx2(sum, _mm256_xor_si256(x, y));
}

VSI_INLINE __m256i step_and_avx2(__m256i sum, __m256i x, __m256i y) {
    return add_bits_avx2(sum, _mm256_and_si256(x, y));
}

VSI_INLINE __m256i step_or_avx2(__m256i sum, __m256i x, __m256i y) {
    return add_bits_avx2(sum, _mm256_or_si256(x, y));
}

#define K(name) name##_bit_avx2
#define BITS
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (((dim) + 7) / 8)
#define BLOCK                        SIZE_MAX
#define VEC                          __m256i
#define ACC                          __m256i
#define ACC_ZERO                     _mm256_setzero_si256()
#define ACC_ADD(a, b)                _mm256_add_epi32(a, b)
#define LANES                        32
#define QUERY_LOAD(p)                load_bytes_avx2(p)
#define LOAD(p)                      load_bytes_avx2(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_avx2(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_avx2(p, n, has_more)
#define STEP_XOR(sum, x, y)          step_xor_avx2(sum, x, y)
#define STEP_AND(sum, x, y)          step_and_avx2(sum, x, y)
#define STEP_OR(sum, x, y)           step_or_avx2(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_epi32_avx2(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_epi32_avx2(a, b, c, d, false, out)
#include "math/kernels_type.inc"

/* ---- many queries --------------------------------------------------------------------------- */

VSI_INLINE uint32_t tile_keep_avx2(const vsi_tile_rows *tile, size_t row, const __m256 dot[4]) {
    const __m256 norm = _mm256_set1_ps(tile->norm[row]), term = _mm256_set1_ps(tile->term[row]);
    uint32_t keep = 0;
    VSI_UNROLL
    for (int v = 0; v < 4; v++) {
        __m256 left = _mm256_fmadd_ps(_mm256_loadu_ps(tile->slope + 8 * v), norm, dot[v]);
        __m256 right = _mm256_add_ps(_mm256_loadu_ps(tile->level + 8 * v), term);
        __m256 kept = _mm256_cmp_ps(left, right, _CMP_NLT_UQ);
        keep |= (uint32_t)_mm256_movemask_ps(kept) << (8 * v);
    }
    return keep;
}

#define K(name)                 name##_f32_avx2
#define ELEM                    float
#define UNIT                    1
#define TILE_ROWS               3
#define VECS                    4
#define LANES                   8
#define SUM                     __m256
#define START(tile, r)          _mm256_setzero_ps()
#define QUERIES                 __m256
#define LOAD(p)                 _mm256_loadu_ps(p)
#define ROW                     __m256
#define BROADCAST(p)            _mm256_set1_ps(*(p))
#define STEP(sum, queries, row) _mm256_fmadd_ps(queries, row, sum)
#define KEEP(tile, r, sum)      tile_keep_avx2(tile, r, sum)
#include "math/kernels_tile.inc"

/* ---- rows that are beyond a limit ------------------------------------------------------------ */

#define K(name)         name##_avx2
#define VEC             __m256d
#define LANES           4
#define LOAD(p)         _mm256_loadu_pd(p)
#define BROADCAST(x)    _mm256_set1_pd(x)
#define MUL(a, b)       _mm256_mul_pd(a, b)
#define ABS(a)          _mm256_andnot_pd(_mm256_set1_pd(-0.0), a)
#define MASK            __m256d
#define BOTH(m, n)      _mm256_and_pd(m, n)
#define ALL(m)          (_mm256_movemask_pd(m) == 0xf)
#define LESS(a, b)      _mm256_cmp_pd(a, b, _CMP_LT_OQ)
#define NOT_ABOVE(a, b) _mm256_cmp_pd(a, b, _CMP_LE_OQ)
#include "math/kernels_beyond.inc"

static size_t above_avx2(const float *x, size_t n, float level) {
    const __m256 all = _mm256_set1_ps(level);
    size_t i = 0;
    while (i + 8 <= n &&
           _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + i), all, _CMP_GT_OQ)) == 0xff)
        i += 8;
    return i;
}

VSI_TARGET_END

VSI_FN const vsi_kernels *vsi_kernels_avx2(void) {
    static const vsi_kernels table = {
        .names = "avx2 scalar",
        .name = "avx2",
        .rows = {[VS_F32] = VSI_KERNELS_OF_NUMBERS(rows, f32_avx2),
                 [VS_F16] = VSI_KERNELS_OF_NUMBERS(rows, f16_avx2),
                 [VS_BF16] = VSI_KERNELS_OF_NUMBERS(rows, bf16_avx2),
                 [VS_U8] = VSI_KERNELS_OF_NUMBERS(rows, u8_avx2),
                 [VS_I8] = VSI_KERNELS_OF_NUMBERS(rows, i8_avx2),
                 [VS_BIT] = VSI_KERNELS_OF_BITS(rows, bit_avx2)},
        .gather = {[VS_F32] = VSI_KERNELS_OF_NUMBERS(gather, f32_avx2),
                   [VS_F16] = VSI_KERNELS_OF_NUMBERS(gather, f16_avx2),
                   [VS_BF16] = VSI_KERNELS_OF_NUMBERS(gather, bf16_avx2),
                   [VS_U8] = VSI_KERNELS_OF_NUMBERS(gather, u8_avx2),
                   [VS_I8] = VSI_KERNELS_OF_NUMBERS(gather, i8_avx2),
                   [VS_BIT] = VSI_KERNELS_OF_BITS(gather, bit_avx2)},
        .widen = {[VS_F16] = widen_f16_avx2,
                  [VS_BF16] = widen_bf16_avx2,
                  [VS_U8] = widen_u8_avx2,
                  [VS_I8] = widen_i8_avx2},
        .tile = {[VS_F32] = {tile_f32_avx2, 1, false}},
        .beyond = VSI_KERNELS_BEYOND(avx2),
        .above = above_avx2,
    };
    return &table;
}

#endif
