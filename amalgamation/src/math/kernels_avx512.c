/* kernels_avx512.c - kernels for AVX-512: what is left of a row behind its last whole vector is loaded under a mask. */
#include "math/kernels_avx512.h"

#if defined(VSI_X86) && defined(__GNUC__)

VSI_TARGET_BEGIN(VSI_TARGET_AVX512)

/* ---- floats --------------------------------------------------------------------------------- */

/* The sums of four vectors' lanes, in single precision, as doubles. */
VSI_INLINE void sum4_ps_avx512(__m512 a, __m512 b, __m512 c, __m512 d, double *out) {
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512 low = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)));
    __m512 high = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd)));
    __m512 lanes = _mm512_add_ps(low, high); /* each four of them: a, b, c, d */
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    __m128 sum = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    _mm256_storeu_pd(out, _mm256_cvtps_pd(sum));
}

VSI_INLINE __mmask16 mask16_avx512(size_t n) {
    return (__mmask16)((1u << n) - 1);
}

VSI_INLINE __m512 bf16_ps_avx512(__m256i bits) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

VSI_INLINE __m512 load_f16_avx512(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

VSI_INLINE __m512 load_f16_some_avx512(const uint16_t *p, size_t n) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask16_avx512(n), p));
}

VSI_INLINE __m512 load_bf16_avx512(const uint16_t *p) {
    return bf16_ps_avx512(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

VSI_INLINE __m512 load_bf16_some_avx512(const uint16_t *p, size_t n) {
    return bf16_ps_avx512(_mm256_maskz_loadu_epi16(mask16_avx512(n), p));
}

/* Elements in single precision, zeros up to a whole vector. */
#define WIDEN_AVX512(type, elem, load_some)                                                        \
    static void widen_##type##_avx512(float *to, const void *from, size_t n) {                     \
        const elem *p = from;                                                                      \
        for (size_t j = 0; j < n; j += 16)                                                         \
            _mm512_storeu_ps(to + j, load_some(p + j, n - j < 16 ? n - j : 16));                   \
    }

VSI_INLINE __m512 load_u8_ps_some_avx512(const uint8_t *p, size_t n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask16_avx512(n), p)));
}

VSI_INLINE __m512 load_i8_ps_some_avx512(const uint8_t *p, size_t n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(mask16_avx512(n), p)));
}

WIDEN_AVX512(f16, uint16_t, load_f16_some_avx512)
WIDEN_AVX512(bf16, uint16_t, load_bf16_some_avx512)
WIDEN_AVX512(u8, uint8_t, load_u8_ps_some_avx512)
WIDEN_AVX512(i8, uint8_t, load_i8_ps_some_avx512)

VSI_INLINE __m512 step_l2_ps_avx512(__m512 sum, __m512 x, __m512 y) {
    __m512 d = _mm512_sub_ps(x, y);
    return _mm512_fmadd_ps(d, d, sum);
}

VSI_INLINE __m512 step_l1_ps_avx512(__m512 sum, __m512 x, __m512 y) {
    return _mm512_add_ps(sum, _mm512_abs_ps(_mm512_sub_ps(x, y)));
}

/* Asks for the next line, too. Under l2 rows of 768 and 784 dims are read from memory a tenth faster for it, those of 100 a twentieth
 * slower; under ip 784 gain and 768 lose, cosine and other types gain nothing (bench/RESULTS.md). */
VSI_INLINE __m512 load_long_f32_avx512(const float *p) {
    VSI_PREFETCH((const void *)((uintptr_t)p + 64));
    return _mm512_loadu_ps(p);
}

#define K(name)                      name##_f32_avx512
#define ELEM                         float
#define QUERY                        float
#define UNITS(dim)                   (dim)
#define BLOCK                        VSI_KERNEL_BLOCK
#define VEC                          __m512
#define ACC                          __m512
#define ACC_ZERO                     _mm512_setzero_ps()
#define ACC_ADD(a, b)                _mm512_add_ps(a, b)
#define LANES                        16
#define QUERY_LOAD(p)                _mm512_loadu_ps(p)
#define LOAD(p)                      _mm512_loadu_ps(p)
#define IS_LONG(n, metric)           ((n) >= 256 && (metric) == VS_L2)
#define LOAD_LONG(p)                 load_long_f32_avx512(p)
#define QUERY_SOME(p, n, has_more)   _mm512_maskz_loadu_ps(mask16_avx512(n), p)
#define LOAD_SOME(p, n, has_more)    _mm512_maskz_loadu_ps(mask16_avx512(n), p)
#define STEP_L2(sum, x, y)           step_l2_ps_avx512(sum, x, y)
#define STEP_DOT(sum, x, y)          _mm512_fmadd_ps(x, y, sum)
#define STEP_L1(sum, x, y)           step_l1_ps_avx512(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_ps_avx512(a, b, c, d, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_ps_avx512(a, b, c, d, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_f16_avx512
#define ELEM                         uint16_t
#define QUERY                        float
#define UNITS(dim)                   (dim)
#define BLOCK                        VSI_KERNEL_BLOCK
#define VEC                          __m512
#define ACC                          __m512
#define ACC_ZERO                     _mm512_setzero_ps()
#define ACC_ADD(a, b)                _mm512_add_ps(a, b)
#define LANES                        16
#define QUERY_LOAD(p)                _mm512_loadu_ps(p)
#define LOAD(p)                      load_f16_avx512(p)
#define QUERY_SOME(p, n, has_more)   _mm512_maskz_loadu_ps(mask16_avx512(n), p)
#define LOAD_SOME(p, n, has_more)    load_f16_some_avx512(p, n)
#define STEP_L2(sum, x, y)           step_l2_ps_avx512(sum, x, y)
#define STEP_DOT(sum, x, y)          _mm512_fmadd_ps(x, y, sum)
#define STEP_L1(sum, x, y)           step_l1_ps_avx512(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_ps_avx512(a, b, c, d, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_ps_avx512(a, b, c, d, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_bf16_avx512
#define ELEM                         uint16_t
#define QUERY                        float
#define UNITS(dim)                   (dim)
#define BLOCK                        VSI_KERNEL_BLOCK
#define VEC                          __m512
#define ACC                          __m512
#define ACC_ZERO                     _mm512_setzero_ps()
#define ACC_ADD(a, b)                _mm512_add_ps(a, b)
#define LANES                        16
#define QUERY_LOAD(p)                _mm512_loadu_ps(p)
#define LOAD(p)                      load_bf16_avx512(p)
#define QUERY_SOME(p, n, has_more)   _mm512_maskz_loadu_ps(mask16_avx512(n), p)
#define LOAD_SOME(p, n, has_more)    load_bf16_some_avx512(p, n)
#define STEP_L2(sum, x, y)           step_l2_ps_avx512(sum, x, y)
#define STEP_DOT(sum, x, y)          _mm512_fmadd_ps(x, y, sum)
#define STEP_L1(sum, x, y)           step_l1_ps_avx512(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_ps_avx512(a, b, c, d, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_ps_avx512(a, b, c, d, out)
#include "math/kernels_type.inc"

/* ---- whole numbers -------------------------------------------------------------------------- */

/* The sums of four vectors' lanes of 32 bits, modulo 2^32. */
static inline void sum4_epi32_avx512(__m512i a, __m512i b, __m512i c, __m512i d, bool is_signed,
                                     double *out) {
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i lanes = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    _mm256_storeu_pd(out, is_signed ? _mm256_cvtepi32_pd(sum) : _mm256_cvtepu32_pd(sum));
}

VSI_INLINE __m512i load_bytes_avx512(const uint8_t *p) {
    return _mm512_loadu_si512((const void *)p);
}

VSI_INLINE __m512i load_bytes_some_avx512(const uint8_t *p, size_t n) {
    return _mm512_maskz_loadu_epi8(((__mmask64)1 << n) - 1, p);
}

/* Products are of numbers without a sign and numbers with one, so one factor is 128 less, or more, than it should be. Three sums make
 * one, modulo 2^32: sum - 128 over - 2 cross. A row has the other sign beside a query, so what is over in their products is 128 times the
 * sum of the query for all rows: sums begin with that. */
typedef struct sums_avx512 {
    __m512i sum, over, cross;
} sums_avx512;

VSI_INLINE sums_avx512 zero_sums_avx512(void) {
    const __m512i zero = _mm512_setzero_si512();
    return (sums_avx512){zero, zero, zero};
}

VSI_INLINE sums_avx512 add_sums_avx512(sums_avx512 a, sums_avx512 b) {
    return (sums_avx512){_mm512_add_epi32(a.sum, b.sum), _mm512_add_epi32(a.over, b.over),
                         _mm512_add_epi32(a.cross, b.cross)};
}

VSI_INLINE __m512i whole_sums_avx512(sums_avx512 s) {
    __m512i less = _mm512_add_epi32(_mm512_slli_epi32(s.over, 7), _mm512_slli_epi32(s.cross, 1));
    return _mm512_sub_epi32(s.sum, less);
}

VSI_INLINE void sum4_bytes_avx512(sums_avx512 a, sums_avx512 b, sums_avx512 c, sums_avx512 d,
                                  bool is_signed, double *out) {
    sum4_epi32_avx512(whole_sums_avx512(a), whole_sums_avx512(b), whole_sums_avx512(c),
                      whole_sums_avx512(d), is_signed, out);
}

VSI_INLINE __m512i other_sign_avx512(__m512i v) {
    return _mm512_xor_si512(v, _mm512_set1_epi8(-128));
}

/* The products of a query and a row, 128 times the query too little for u8, too much for i8. */
VSI_INLINE __m512i products_avx512(__m512i sum, __m512i x, __m512i y, bool is_signed) {
    return is_signed ? _mm512_dpbusd_epi32(sum, other_sign_avx512(y), x)
                     : _mm512_dpbusd_epi32(sum, x, other_sign_avx512(y));
}

VSI_INLINE sums_avx512 step_dot_avx512(sums_avx512 s, __m512i x, __m512i y, bool is_signed) {
    s.sum = products_avx512(s.sum, x, y, is_signed);
    return s;
}

VSI_INLINE sums_avx512 step_square_avx512(sums_avx512 s, __m512i y, bool is_signed) {
    const __m512i sign = _mm512_set1_epi8(is_signed ? 1 : -1);
    s.sum = products_avx512(s.sum, y, y, is_signed);
    s.over =
        is_signed ? _mm512_dpbusd_epi32(s.over, sign, y) : _mm512_dpbusd_epi32(s.over, y, sign);
    return s;
}

VSI_INLINE sums_avx512 step_l2_avx512(sums_avx512 s, __m512i x, __m512i y, bool is_signed) {
    s = step_square_avx512(s, y, is_signed);
    s.cross = products_avx512(s.cross, x, y, is_signed);
    return s;
}

/* What sums of products begin with, those of l2 with the squares of the query, too. */
VSI_INLINE sums_avx512 start_avx512(const uint8_t *query, size_t n, int metric, bool is_signed) {
    sums_avx512 s = zero_sums_avx512();
    for (size_t i = 0; i < n; i += 64) {
        __m512i x =
            n - i < 64 ? load_bytes_some_avx512(query + i, n - i) : load_bytes_avx512(query + i);
        s = step_square_avx512(s, x, is_signed);
    }
    const __m512i zero = _mm512_setzero_si512(), over = _mm512_slli_epi32(s.over, 7);
    if (metric == VS_L2)
        s.sum = _mm512_add_epi32(whole_sums_avx512(s), _mm512_add_epi32(over, over));
    else
        s.sum = _mm512_sub_epi32(zero, over);
    return (sums_avx512){s.sum, zero, zero};
}

VSI_INLINE sums_avx512 step_l1_u8_avx512(sums_avx512 s, __m512i x, __m512i y) {
    s.sum = _mm512_add_epi32(s.sum, _mm512_sad_epu8(x, y));
    return s;
}

VSI_INLINE sums_avx512 step_l1_i8_avx512(sums_avx512 s, __m512i x, __m512i y) {
    return step_l1_u8_avx512(s, other_sign_avx512(x), other_sign_avx512(y));
}

#define K(name)                      name##_u8_avx512
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (dim)
#define BLOCK                        SIZE_MAX
#define VEC                          __m512i
#define ACC                          sums_avx512
#define ACC_ZERO                     zero_sums_avx512()
#define ACC_ADD(a, b)                add_sums_avx512(a, b)
#define LANES                        64
#define QUERY_LOAD(p)                load_bytes_avx512(p)
#define LOAD(p)                      load_bytes_avx512(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_avx512(p, n)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_avx512(p, n)
#define STEP_L2(sum, x, y)           step_l2_avx512(sum, x, y, false)
#define STEP_DOT(sum, x, y)          step_dot_avx512(sum, x, y, false)
#define STEP_SQUARE(sum, y)          step_square_avx512(sum, y, false)
#define START(q, n, metric)          start_avx512(q, n, metric, false)
#define STEP_L1(sum, x, y)           step_l1_u8_avx512(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_bytes_avx512(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_bytes_avx512(a, b, c, d, false, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_i8_avx512
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (dim)
#define BLOCK                        SIZE_MAX
#define VEC                          __m512i
#define ACC                          sums_avx512
#define ACC_ZERO                     zero_sums_avx512()
#define ACC_ADD(a, b)                add_sums_avx512(a, b)
#define LANES                        64
#define QUERY_LOAD(p)                load_bytes_avx512(p)
#define LOAD(p)                      load_bytes_avx512(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_avx512(p, n)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_avx512(p, n)
#define STEP_L2(sum, x, y)           step_l2_avx512(sum, x, y, true)
#define STEP_DOT(sum, x, y)          step_dot_avx512(sum, x, y, true)
#define STEP_SQUARE(sum, y)          step_square_avx512(sum, y, true)
#define START(q, n, metric)          start_avx512(q, n, metric, true)
#define STEP_L1(sum, x, y)           step_l1_i8_avx512(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_bytes_avx512(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_bytes_avx512(a, b, c, d, true, out)
#include "math/kernels_type.inc"

/* ---- bits ----------------------------------------------------------------------------------- */

VSI_INLINE __m512i step_xor_avx512(__m512i sum, __m512i x, __m512i y) {
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(x, y)));
}

VSI_INLINE __m512i step_and_avx512(__m512i sum, __m512i x, __m512i y) {
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_and_si512(x, y)));
}

VSI_INLINE __m512i step_or_avx512(__m512i sum, __m512i x, __m512i y) {
    return _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_or_si512(x, y)));
}

#define K(name) name##_bit_avx512
#define BITS
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (((dim) + 7) / 8)
#define BLOCK                        SIZE_MAX
#define VEC                          __m512i
#define ACC                          __m512i
#define ACC_ZERO                     _mm512_setzero_si512()
#define ACC_ADD(a, b)                _mm512_add_epi32(a, b)
#define LANES                        64
#define QUERY_LOAD(p)                load_bytes_avx512(p)
#define LOAD(p)                      load_bytes_avx512(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_avx512(p, n)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_avx512(p, n)
#define STEP_XOR(sum, x, y)          step_xor_avx512(sum, x, y)
#define STEP_AND(sum, x, y)          step_and_avx512(sum, x, y)
#define STEP_OR(sum, x, y)           step_or_avx512(sum, x, y)
#define SUM4(a, b, c, d, out)        sum4_epi32_avx512(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_epi32_avx512(a, b, c, d, false, out)
#include "math/kernels_type.inc"

/* ---- many queries --------------------------------------------------------------------------- */

VSI_INLINE uint32_t tile_keep_avx512(const vsi_tile_rows *tile, size_t row, __m512 low,
                                     __m512 high) {
    const __m512 norm = _mm512_set1_ps(tile->norm[row]), term = _mm512_set1_ps(tile->term[row]);
    low = _mm512_fmadd_ps(_mm512_loadu_ps(tile->slope), norm, low);
    high = _mm512_fmadd_ps(_mm512_loadu_ps(tile->slope + 16), norm, high);
    __m512 low_level = _mm512_add_ps(_mm512_loadu_ps(tile->level), term);
    __m512 high_level = _mm512_add_ps(_mm512_loadu_ps(tile->level + 16), term);
    return (uint32_t)_mm512_cmp_ps_mask(low, low_level, _CMP_NLT_UQ) |
           (uint32_t)_mm512_cmp_ps_mask(high, high_level, _CMP_NLT_UQ) << 16;
}

#define K(name)                 name##_f32_avx512
#define ELEM                    float
#define UNIT                    1
#define TILE_ROWS               8
#define VECS                    2
#define LANES                   16
#define SUM                     __m512
#define START(tile, r)          _mm512_setzero_ps()
#define QUERIES                 __m512
#define LOAD(p)                 _mm512_loadu_ps(p)
#define ROW                     __m512
#define BROADCAST(p)            _mm512_set1_ps(*(p))
#define STEP(sum, queries, row) _mm512_fmadd_ps(queries, row, sum)
#define KEEP(tile, r, sum)      tile_keep_avx512(tile, r, (sum)[0], (sum)[1])
#include "math/kernels_tile.inc"

/* Products are of a number without sign and one with: a row of u8 and shifted queries, shifted queries and a row of i8. */
VSI_INLINE __m512i broadcast_four_bytes_avx512(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, 4);
    return _mm512_set1_epi32(four);
}

#define K(name)                 name##_u8_avx512
#define ELEM                    uint8_t
#define UNIT                    4
#define TILE_ROWS               8
#define VECS                    2
#define LANES                   16
#define SUM                     __m512i
#define START(tile, r)          _mm512_set1_epi32((int32_t)(tile)->start[r])
#define QUERIES                 __m512i
#define LOAD(p)                 load_bytes_avx512(p)
#define ROW                     __m512i
#define BROADCAST(p)            broadcast_four_bytes_avx512(p)
#define STEP(sum, queries, row) _mm512_dpbusd_epi32(sum, row, queries)
#define KEEP(tile, r, sum)                                                                         \
    tile_keep_avx512(tile, r, _mm512_cvtepu32_ps((sum)[0]), _mm512_cvtepu32_ps((sum)[1]))
#include "math/kernels_tile.inc"

#define K(name)                 name##_i8_avx512
#define ELEM                    uint8_t
#define UNIT                    4
#define TILE_ROWS               8
#define VECS                    2
#define LANES                   16
#define SUM                     __m512i
#define START(tile, r)          _mm512_set1_epi32((int32_t)(tile)->start[r])
#define QUERIES                 __m512i
#define LOAD(p)                 load_bytes_avx512(p)
#define ROW                     __m512i
#define BROADCAST(p)            broadcast_four_bytes_avx512(p)
#define STEP(sum, queries, row) _mm512_dpbusd_epi32(sum, queries, row)
#define KEEP(tile, r, sum)                                                                         \
    tile_keep_avx512(tile, r, _mm512_cvtepi32_ps((sum)[0]), _mm512_cvtepi32_ps((sum)[1]))
#include "math/kernels_tile.inc"

/* ---- rows that are beyond a limit ------------------------------------------------------------ */

#define K(name)         name##_avx512
#define VEC             __m512d
#define LANES           8
#define LOAD(p)         _mm512_loadu_pd(p)
#define BROADCAST(x)    _mm512_set1_pd(x)
#define MUL(a, b)       _mm512_mul_pd(a, b)
#define ABS(a)          _mm512_abs_pd(a)
#define MASK            __mmask8
#define BOTH(m, n)      ((__mmask8)((m) & (n)))
#define ALL(m)          ((m) == 0xff)
#define LESS(a, b)      _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ)
#define NOT_ABOVE(a, b) _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ)
#include "math/kernels_beyond.inc"

static size_t above_avx512(const float *x, size_t n, float level) {
    const __m512 all = _mm512_set1_ps(level);
    size_t i = 0;
    while (i + 16 <= n && _mm512_cmp_ps_mask(_mm512_loadu_ps(x + i), all, _CMP_GT_OQ) == 0xffff)
        i += 16;
    return i;
}

VSI_TARGET_END

VSI_FN const vsi_kernels *vsi_kernels_avx512(void) {
    static const vsi_kernels table = {
        .names = "avx512 avx2 scalar",
        .name = "avx512",
        .rows = {[VS_F32] = VSI_KERNELS_OF_NUMBERS(rows, f32_avx512),
                 [VS_F16] = VSI_KERNELS_OF_NUMBERS(rows, f16_avx512),
                 [VS_BF16] = VSI_KERNELS_OF_NUMBERS(rows, bf16_avx512),
                 [VS_U8] = VSI_KERNELS_OF_NUMBERS(rows, u8_avx512),
                 [VS_I8] = VSI_KERNELS_OF_NUMBERS(rows, i8_avx512),
                 [VS_BIT] = VSI_KERNELS_OF_BITS(rows, bit_avx512)},
        .gather = {[VS_F32] = VSI_KERNELS_OF_NUMBERS(gather, f32_avx512),
                   [VS_F16] = VSI_KERNELS_OF_NUMBERS(gather, f16_avx512),
                   [VS_BF16] = VSI_KERNELS_OF_NUMBERS(gather, bf16_avx512),
                   [VS_U8] = VSI_KERNELS_OF_NUMBERS(gather, u8_avx512),
                   [VS_I8] = VSI_KERNELS_OF_NUMBERS(gather, i8_avx512),
                   [VS_BIT] = VSI_KERNELS_OF_BITS(gather, bit_avx512)},
        .widen = {[VS_F16] = widen_f16_avx512,
                  [VS_BF16] = widen_bf16_avx512,
                  [VS_U8] = widen_u8_avx512,
                  [VS_I8] = widen_i8_avx512},
        .tile = {[VS_F32] = {tile_f32_avx512, 1, false},
                 [VS_U8] = {tile_u8_avx512, 4, true},
                 [VS_I8] = {tile_i8_avx512, 4, true}},
        .beyond = VSI_KERNELS_BEYOND(avx512),
        .above = above_avx512,
    };
    return &table;
}

#endif
