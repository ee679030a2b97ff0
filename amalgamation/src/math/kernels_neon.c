/* kernels_neon.c - kernels for NEON on 64-bit ARM. What is left of a row of bytes behind its last whole vector is loaded with
 * the bytes before it, which are masked away. */
#include "math/kernels_neon.h"

#ifdef VSI_NEON

/* ---- floats --------------------------------------------------------------------------------- */

/* The sums of four vectors' lanes, in single precision, as doubles. */
VSI_INLINE void sum4_f32_neon(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d,
                              double *out) {
    float32x4_t sum = vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d));
    vst1q_f64(out, vcvt_f64_f32(vget_low_f32(sum)));
    vst1q_f64(out + 2, vcvt_high_f64_f32(sum));
}

VSI_INLINE float32x4_t load_f32_some_neon(const float *p, size_t n) {
    float few[4] = {0};
    for (size_t i = 0; i < n; i++)
        few[i] = p[i];
    return vld1q_f32(few);
}

VSI_INLINE uint16x4_t load_half_some_neon(const uint16_t *p, size_t n) {
    uint16_t few[4] = {0};
    for (size_t i = 0; i < n; i++)
        few[i] = p[i];
    return vld1_u16(few);
}

VSI_INLINE float32x4_t f16_f32_neon(uint16x4_t bits) {
    return vcvt_f32_f16(vreinterpret_f16_u16(bits));
}

VSI_INLINE float32x4_t bf16_f32_neon(uint16x4_t bits) {
    return vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

VSI_INLINE float32x4_t load_f16_neon(const uint16_t *p) {
    return f16_f32_neon(vld1_u16(p));
}

VSI_INLINE float32x4_t load_f16_some_neon(const uint16_t *p, size_t n) {
    return f16_f32_neon(load_half_some_neon(p, n));
}

VSI_INLINE float32x4_t load_bf16_neon(const uint16_t *p) {
    return bf16_f32_neon(vld1_u16(p));
}

VSI_INLINE float32x4_t load_bf16_some_neon(const uint16_t *p, size_t n) {
    return bf16_f32_neon(load_half_some_neon(p, n));
}

VSI_INLINE float32x4_t load_u8_f32_some_neon(const uint8_t *p, size_t n) {
    float few[4] = {0};
    for (size_t i = 0; i < n; i++)
        few[i] = p[i];
    return vld1q_f32(few);
}

VSI_INLINE float32x4_t load_i8_f32_some_neon(const int8_t *p, size_t n) {
    float few[4] = {0};
    for (size_t i = 0; i < n; i++)
        few[i] = p[i];
    return vld1q_f32(few);
}

/* Elements in single precision, zeros up to a whole vector. */
#define WIDEN_NEON(type, elem, load_some)                                                          \
    static void widen_##type##_neon(float *to, const void *from, size_t n) {                       \
        const elem *p = from;                                                                      \
        for (size_t j = 0; j < n; j += 4)                                                          \
            vst1q_f32(to + j, load_some(p + j, n - j < 4 ? n - j : 4));                            \
    }

WIDEN_NEON(f16, uint16_t, load_f16_some_neon)
WIDEN_NEON(bf16, uint16_t, load_bf16_some_neon)
WIDEN_NEON(u8, uint8_t, load_u8_f32_some_neon)
WIDEN_NEON(i8, int8_t, load_i8_f32_some_neon)

VSI_INLINE float32x4_t step_l2_f32_neon(float32x4_t sum, float32x4_t x, float32x4_t y) {
    float32x4_t d = vsubq_f32(x, y);
    return vfmaq_f32(sum, d, d);
}

#define K(name)                      name##_f32_neon
#define ELEM                         float
#define QUERY                        float
#define UNITS(dim)                   (dim)
#define BLOCK                        VSI_KERNEL_BLOCK
#define VEC                          float32x4_t
#define ACC                          float32x4_t
#define ACC_ZERO                     vdupq_n_f32(0)
#define ACC_ADD(a, b)                vaddq_f32(a, b)
#define LANES                        4
#define QUERY_LOAD(p)                vld1q_f32(p)
#define LOAD(p)                      vld1q_f32(p)
#define QUERY_SOME(p, n, has_more)   load_f32_some_neon(p, n)
#define LOAD_SOME(p, n, has_more)    load_f32_some_neon(p, n)
#define STEP_L2(sum, x, y)           step_l2_f32_neon(sum, x, y)
#define STEP_DOT(sum, x, y)          vfmaq_f32(sum, x, y)
#define STEP_L1(sum, x, y)           vaddq_f32(sum, vabdq_f32(x, y))
#define SUM4(a, b, c, d, out)        sum4_f32_neon(a, b, c, d, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_f32_neon(a, b, c, d, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_f16_neon
#define ELEM                         uint16_t
#define QUERY                        float
#define UNITS(dim)                   (dim)
#define BLOCK                        VSI_KERNEL_BLOCK
#define VEC                          float32x4_t
#define ACC                          float32x4_t
#define ACC_ZERO                     vdupq_n_f32(0)
#define ACC_ADD(a, b)                vaddq_f32(a, b)
#define LANES                        4
#define QUERY_LOAD(p)                vld1q_f32(p)
#define LOAD(p)                      load_f16_neon(p)
#define QUERY_SOME(p, n, has_more)   load_f32_some_neon(p, n)
#define LOAD_SOME(p, n, has_more)    load_f16_some_neon(p, n)
#define STEP_L2(sum, x, y)           step_l2_f32_neon(sum, x, y)
#define STEP_DOT(sum, x, y)          vfmaq_f32(sum, x, y)
#define STEP_L1(sum, x, y)           vaddq_f32(sum, vabdq_f32(x, y))
#define SUM4(a, b, c, d, out)        sum4_f32_neon(a, b, c, d, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_f32_neon(a, b, c, d, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_bf16_neon
#define ELEM                         uint16_t
#define QUERY                        float
#define UNITS(dim)                   (dim)
#define BLOCK                        VSI_KERNEL_BLOCK
#define VEC                          float32x4_t
#define ACC                          float32x4_t
#define ACC_ZERO                     vdupq_n_f32(0)
#define ACC_ADD(a, b)                vaddq_f32(a, b)
#define LANES                        4
#define QUERY_LOAD(p)                vld1q_f32(p)
#define LOAD(p)                      load_bf16_neon(p)
#define QUERY_SOME(p, n, has_more)   load_f32_some_neon(p, n)
#define LOAD_SOME(p, n, has_more)    load_bf16_some_neon(p, n)
#define STEP_L2(sum, x, y)           step_l2_f32_neon(sum, x, y)
#define STEP_DOT(sum, x, y)          vfmaq_f32(sum, x, y)
#define STEP_L1(sum, x, y)           vaddq_f32(sum, vabdq_f32(x, y))
#define SUM4(a, b, c, d, out)        sum4_f32_neon(a, b, c, d, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_f32_neon(a, b, c, d, out)
#include "math/kernels_type.inc"

/* ---- whole numbers -------------------------------------------------------------------------- */

/* The sums of four vectors' lanes of 32 bits, modulo 2^32. */
VSI_INLINE void sum4_u32_neon(uint32x4_t a, uint32x4_t b, uint32x4_t c, uint32x4_t d,
                              bool is_signed, double *out) {
    uint32_t number[4];
    vst1q_u32(number, vpaddq_u32(vpaddq_u32(a, b), vpaddq_u32(c, d)));
    for (int i = 0; i < 4; i++)
        out[i] = is_signed ? (double)(int32_t)number[i] : (double)number[i];
}

/* n of 1 to 15 bytes, behind zeros where 16 bytes lie before their end, else in front of them. */
static inline uint8x16_t load_bytes_some_neon(const uint8_t *p, size_t n, bool has_more) {
    static const uint8_t mask[32] = {0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
                                     0,   0,   0,   0,   0,   255, 255, 255, 255, 255, 255,
                                     255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    uint8_t few[16] = {0};
    if (has_more)
        return vandq_u8(vld1q_u8(p + n - 16), vld1q_u8(mask + n));
    memcpy(few, p, n);
    return vld1q_u8(few);
}

VSI_INLINE uint8x16_t difference_u8_neon(uint8x16_t x, uint8x16_t y) {
    return vabdq_u8(x, y);
}

VSI_INLINE uint8x16_t difference_i8_neon(uint8x16_t x, uint8x16_t y) {
    return vreinterpretq_u8_s8(vabdq_s8(vreinterpretq_s8_u8(x), vreinterpretq_s8_u8(y)));
}

VSI_INLINE uint32x4_t add_bytes_neon(uint32x4_t sum, uint8x16_t v) {
    return vpadalq_u16(sum, vpaddlq_u8(v));
}

/* A lane of 32 bits adds at most 65535 / 16 + 1 times 4 * 255 * 255, which is below 2^31. */
VSI_INLINE uint32x4_t step_dot_u8_neon(uint32x4_t sum, uint8x16_t x, uint8x16_t y) {
    sum = vpadalq_u16(sum, vmull_u8(vget_low_u8(x), vget_low_u8(y)));
    return vpadalq_u16(sum, vmull_high_u8(x, y));
}

VSI_INLINE uint32x4_t step_dot_i8_neon(uint32x4_t sum, uint8x16_t x, uint8x16_t y) {
    int8x16_t a = vreinterpretq_s8_u8(x), b = vreinterpretq_s8_u8(y);
    int32x4_t s = vreinterpretq_s32_u32(sum);
    s = vpadalq_s16(s, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    return vreinterpretq_u32_s32(vpadalq_s16(s, vmull_high_s8(a, b)));
}

VSI_INLINE uint32x4_t step_l2_u8_neon(uint32x4_t sum, uint8x16_t x, uint8x16_t y) {
    uint8x16_t d = difference_u8_neon(x, y);
    return step_dot_u8_neon(sum, d, d);
}

VSI_INLINE uint32x4_t step_l2_i8_neon(uint32x4_t sum, uint8x16_t x, uint8x16_t y) {
    uint8x16_t d = difference_i8_neon(x, y);
    return step_dot_u8_neon(sum, d, d);
}

#define K(name)                      name##_u8_neon
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (dim)
#define BLOCK                        SIZE_MAX
#define VEC                          uint8x16_t
#define ACC                          uint32x4_t
#define ACC_ZERO                     vdupq_n_u32(0)
#define ACC_ADD(a, b)                vaddq_u32(a, b)
#define LANES                        16
#define QUERY_LOAD(p)                vld1q_u8(p)
#define LOAD(p)                      vld1q_u8(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_neon(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_neon(p, n, has_more)
#define STEP_L2(sum, x, y)           step_l2_u8_neon(sum, x, y)
#define STEP_DOT(sum, x, y)          step_dot_u8_neon(sum, x, y)
#define STEP_L1(sum, x, y)           add_bytes_neon(sum, difference_u8_neon(x, y))
#define SUM4(a, b, c, d, out)        sum4_u32_neon(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_u32_neon(a, b, c, d, false, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_i8_neon
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (dim)
#define BLOCK                        SIZE_MAX
#define VEC                          uint8x16_t
#define ACC                          uint32x4_t
#define ACC_ZERO                     vdupq_n_u32(0)
#define ACC_ADD(a, b)                vaddq_u32(a, b)
#define LANES                        16
#define QUERY_LOAD(p)                vld1q_u8(p)
#define LOAD(p)                      vld1q_u8(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_neon(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_neon(p, n, has_more)
#define STEP_L2(sum, x, y)           step_l2_i8_neon(sum, x, y)
#define STEP_DOT(sum, x, y)          step_dot_i8_neon(sum, x, y)
#define STEP_L1(sum, x, y)           add_bytes_neon(sum, difference_i8_neon(x, y))
#define SUM4(a, b, c, d, out)        sum4_u32_neon(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_u32_neon(a, b, c, d, true, out)
#include "math/kernels_type.inc"

/* ---- bits ----------------------------------------------------------------------------------- */

#define K(name) name##_bit_neon
#define BITS
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (((dim) + 7) / 8)
#define BLOCK                        SIZE_MAX
#define VEC                          uint8x16_t
#define ACC                          uint32x4_t
#define ACC_ZERO                     vdupq_n_u32(0)
#define ACC_ADD(a, b)                vaddq_u32(a, b)
#define LANES                        16
#define QUERY_LOAD(p)                vld1q_u8(p)
#define LOAD(p)                      vld1q_u8(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_neon(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_neon(p, n, has_more)
#define STEP_XOR(sum, x, y)          add_bytes_neon(sum, vcntq_u8(veorq_u8(x, y)))
#define STEP_AND(sum, x, y)          add_bytes_neon(sum, vcntq_u8(vandq_u8(x, y)))
#define STEP_OR(sum, x, y)           add_bytes_neon(sum, vcntq_u8(vorrq_u8(x, y)))
#define SUM4(a, b, c, d, out)        sum4_u32_neon(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_u32_neon(a, b, c, d, false, out)
#include "math/kernels_type.inc"

/* ---- many queries --------------------------------------------------------------------------- */

/* A bit for each lane in which a is not below b. */
VSI_INLINE uint32_t not_below_neon(float32x4_t a, float32x4_t b) {
    static const uint32_t bit[4] = {1, 2, 4, 8};
    return vaddvq_u32(vbicq_u32(vld1q_u32(bit), vcltq_f32(a, b)));
}

VSI_INLINE uint32_t tile_keep_neon(const vsi_tile_rows *tile, size_t row,
                                   const float32x4_t dot[8]) {
    const float32x4_t norm = vdupq_n_f32(tile->norm[row]), term = vdupq_n_f32(tile->term[row]);
    uint32_t keep = 0;
    VSI_UNROLL
    for (int v = 0; v < 8; v++) {
        float32x4_t left = vfmaq_f32(dot[v], vld1q_f32(tile->slope + 4 * v), norm);
        float32x4_t right = vaddq_f32(vld1q_f32(tile->level + 4 * v), term);
        keep |= not_below_neon(left, right) << (4 * v);
    }
    return keep;
}

#define K(name)                 name##_f32_neon
#define ELEM                    float
#define UNIT                    1
#define TILE_ROWS               2
#define VECS                    8
#define LANES                   4
#define SUM                     float32x4_t
#define START(tile, r)          vdupq_n_f32(0)
#define QUERIES                 float32x4_t
#define LOAD(p)                 vld1q_f32(p)
#define ROW                     float32x4_t
#define BROADCAST(p)            vld1q_dup_f32(p)
#define STEP(sum, queries, row) vfmaq_f32(sum, queries, row)
#define KEEP(tile, r, sum)      tile_keep_neon(tile, r, sum)
#include "math/kernels_tile.inc"

/* ---- rows that are beyond a limit ------------------------------------------------------------ */

#define K(name)         name##_neon
#define VEC             float64x2_t
#define LANES           2
#define LOAD(p)         vld1q_f64(p)
#define BROADCAST(x)    vdupq_n_f64(x)
#define MUL(a, b)       vmulq_f64(a, b)
#define ABS(a)          vabsq_f64(a)
#define MASK            uint64x2_t
#define BOTH(m, n)      vandq_u64(m, n)
#define ALL(m)          (vminvq_u32(vreinterpretq_u32_u64(m)) != 0)
#define LESS(a, b)      vcltq_f64(a, b)
#define NOT_ABOVE(a, b) vcleq_f64(a, b)
#include "math/kernels_beyond.inc"

static size_t above_neon(const float *x, size_t n, float level) {
    const float32x4_t all = vdupq_n_f32(level);
    size_t i = 0;
    while (i + 4 <= n && vminvq_u32(vcgtq_f32(vld1q_f32(x + i), all)) != 0)
        i += 4;
    return i;
}

/* Last the forms of tiles for bytes, at least one, if only to say that there is none. */
#define NEON_TABLE(title, titles, integer, ...)                                                    \
    {                                                                                              \
        .name = title, .names = titles,                                                            \
        .rows = {[VS_F32] = VSI_KERNELS_OF_NUMBERS(rows, f32_neon),                                \
                 [VS_F16] = VSI_KERNELS_OF_NUMBERS(rows, f16_neon),                                \
                 [VS_BF16] = VSI_KERNELS_OF_NUMBERS(rows, bf16_neon),                              \
                 [VS_U8] = VSI_KERNELS_OF_NUMBERS(rows, u8_##integer),                             \
                 [VS_I8] = VSI_KERNELS_OF_NUMBERS(rows, i8_##integer),                             \
                 [VS_BIT] = VSI_KERNELS_OF_BITS(rows, bit_neon)},                                  \
        .gather = {[VS_F32] = VSI_KERNELS_OF_NUMBERS(gather, f32_neon),                            \
                   [VS_F16] = VSI_KERNELS_OF_NUMBERS(gather, f16_neon),                            \
                   [VS_BF16] = VSI_KERNELS_OF_NUMBERS(gather, bf16_neon),                          \
                   [VS_U8] = VSI_KERNELS_OF_NUMBERS(gather, u8_##integer),                         \
                   [VS_I8] = VSI_KERNELS_OF_NUMBERS(gather, i8_##integer),                         \
                   [VS_BIT] = VSI_KERNELS_OF_BITS(gather, bit_neon)},                              \
        .widen = {[VS_F16] = widen_f16_neon,                                                       \
                  [VS_BF16] = widen_bf16_neon,                                                     \
                  [VS_U8] = widen_u8_neon,                                                         \
                  [VS_I8] = widen_i8_neon},                                                        \
        .tile = {[VS_F32] = {tile_f32_neon, 1, false}, __VA_ARGS__},                               \
        .beyond = VSI_KERNELS_BEYOND(neon), .above = above_neon,                                   \
    }

VSI_FN const vsi_kernels *vsi_kernels_neon(void) {
    static const vsi_kernels table =
        NEON_TABLE("neon", "neon scalar", neon, [VS_U8] = {NULL, 0, false});
    return &table;
}

/* ---- dot products of bytes ------------------------------------------------------------------ */

#ifdef VSI_TARGET_DOTPROD

VSI_TARGET_BEGIN(VSI_TARGET_DOTPROD)

VSI_INLINE uint32x4_t step_dot_u8_dotprod(uint32x4_t sum, uint8x16_t x, uint8x16_t y) {
    return vdotq_u32(sum, x, y);
}

VSI_INLINE uint32x4_t step_dot_i8_dotprod(uint32x4_t sum, uint8x16_t x, uint8x16_t y) {
    return vreinterpretq_u32_s32(
        vdotq_s32(vreinterpretq_s32_u32(sum), vreinterpretq_s8_u8(x), vreinterpretq_s8_u8(y)));
}

VSI_INLINE uint32x4_t step_l2_u8_dotprod(uint32x4_t sum, uint8x16_t x, uint8x16_t y) {
    uint8x16_t d = difference_u8_neon(x, y);
    return vdotq_u32(sum, d, d);
}

VSI_INLINE uint32x4_t step_l2_i8_dotprod(uint32x4_t sum, uint8x16_t x, uint8x16_t y) {
    uint8x16_t d = difference_i8_neon(x, y);
    return vdotq_u32(sum, d, d);
}

#define K(name)                      name##_u8_dotprod
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (dim)
#define BLOCK                        SIZE_MAX
#define VEC                          uint8x16_t
#define ACC                          uint32x4_t
#define ACC_ZERO                     vdupq_n_u32(0)
#define ACC_ADD(a, b)                vaddq_u32(a, b)
#define LANES                        16
#define QUERY_LOAD(p)                vld1q_u8(p)
#define LOAD(p)                      vld1q_u8(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_neon(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_neon(p, n, has_more)
#define STEP_L2(sum, x, y)           step_l2_u8_dotprod(sum, x, y)
#define STEP_DOT(sum, x, y)          step_dot_u8_dotprod(sum, x, y)
#define STEP_L1(sum, x, y)           add_bytes_neon(sum, difference_u8_neon(x, y))
#define SUM4(a, b, c, d, out)        sum4_u32_neon(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_u32_neon(a, b, c, d, false, out)
#include "math/kernels_type.inc"

#define K(name)                      name##_i8_dotprod
#define ELEM                         uint8_t
#define QUERY                        uint8_t
#define UNITS(dim)                   (dim)
#define BLOCK                        SIZE_MAX
#define VEC                          uint8x16_t
#define ACC                          uint32x4_t
#define ACC_ZERO                     vdupq_n_u32(0)
#define ACC_ADD(a, b)                vaddq_u32(a, b)
#define LANES                        16
#define QUERY_LOAD(p)                vld1q_u8(p)
#define LOAD(p)                      vld1q_u8(p)
#define QUERY_SOME(p, n, has_more)   load_bytes_some_neon(p, n, has_more)
#define LOAD_SOME(p, n, has_more)    load_bytes_some_neon(p, n, has_more)
#define STEP_L2(sum, x, y)           step_l2_i8_dotprod(sum, x, y)
#define STEP_DOT(sum, x, y)          step_dot_i8_dotprod(sum, x, y)
#define STEP_L1(sum, x, y)           add_bytes_neon(sum, difference_i8_neon(x, y))
#define SUM4(a, b, c, d, out)        sum4_u32_neon(a, b, c, d, false, out)
#define SUM4_SIGNED(a, b, c, d, out) sum4_u32_neon(a, b, c, d, true, out)
#include "math/kernels_type.inc"

VSI_INLINE uint8x16_t broadcast_four_bytes_dotprod(const uint8_t *p) {
    uint32_t four;
    memcpy(&four, p, 4);
    return vreinterpretq_u8_u32(vdupq_n_u32(four));
}

/* By exact inner products of a row with all queries. */
VSI_INLINE uint32_t tile_keep_dotprod(const vsi_tile_rows *tile, size_t row,
                                      const uint32x4_t sum[8], bool is_signed) {
    float32x4_t dot[8];
    VSI_UNROLL
    for (int v = 0; v < 8; v++)
        dot[v] = is_signed ? vcvtq_f32_s32(vreinterpretq_s32_u32(sum[v])) : vcvtq_f32_u32(sum[v]);
    return tile_keep_neon(tile, row, dot);
}

#define K(name)                 name##_u8_dotprod
#define ELEM                    uint8_t
#define UNIT                    4
#define TILE_ROWS               2
#define VECS                    8
#define LANES                   4
#define SUM                     uint32x4_t
#define START(tile, r)          vdupq_n_u32(0)
#define QUERIES                 uint8x16_t
#define LOAD(p)                 vld1q_u8(p)
#define ROW                     uint8x16_t
#define BROADCAST(p)            broadcast_four_bytes_dotprod(p)
#define STEP(sum, queries, row) step_dot_u8_dotprod(sum, queries, row)
#define KEEP(tile, r, sum)      tile_keep_dotprod(tile, r, sum, false)
#include "math/kernels_tile.inc"

#define K(name)                 name##_i8_dotprod
#define ELEM                    uint8_t
#define UNIT                    4
#define TILE_ROWS               2
#define VECS                    8
#define LANES                   4
#define SUM                     uint32x4_t
#define START(tile, r)          vdupq_n_u32(0)
#define QUERIES                 uint8x16_t
#define LOAD(p)                 vld1q_u8(p)
#define ROW                     uint8x16_t
#define BROADCAST(p)            broadcast_four_bytes_dotprod(p)
#define STEP(sum, queries, row) step_dot_i8_dotprod(sum, queries, row)
#define KEEP(tile, r, sum)      tile_keep_dotprod(tile, r, sum, true)
#include "math/kernels_tile.inc"

VSI_TARGET_END

VSI_FN const vsi_kernels *vsi_kernels_neon_dotprod(void) {
    static const vsi_kernels table = NEON_TABLE(
        "neon-dotprod", "neon-dotprod neon scalar",
        dotprod, [VS_U8] = {tile_u8_dotprod, 4, false}, [VS_I8] = {tile_i8_dotprod, 4, false});
    return &table;
}

#else

VSI_FN const vsi_kernels *vsi_kernels_neon_dotprod(void) {
    return NULL;
}

#endif

/* ---- products of matrices of bytes ---------------------------------------------------------- */

#ifdef VSI_TARGET_I8MM

VSI_TARGET_BEGIN(VSI_TARGET_I8MM)

/* Adds the products of eight bytes of two rows with those of two queries: a row's two beside each other. */
VSI_INLINE uint32x4_t step_pair_i8mm(uint32x4_t sum, uint8x16_t rows, uint8x16_t queries,
                                     bool is_signed) {
    if (!is_signed)
        return vmmlaq_u32(sum, rows, queries);
    return vreinterpretq_u32_s32(vmmlaq_s32(vreinterpretq_s32_u32(sum), vreinterpretq_s8_u8(rows),
                                            vreinterpretq_s8_u8(queries)));
}

VSI_INLINE void tile_step_i8mm(uint32x4_t sum[16], const uint8_t *queries, const uint8_t *row,
                               const uint8_t *next, bool is_signed) {
    const uint8x16_t rows = vcombine_u8(vld1_u8(row), vld1_u8(next));
    VSI_UNROLL
    for (int v = 0; v < 16; v++)
        sum[v] = step_pair_i8mm(sum[v], rows, vld1q_u8(queries + 16 * v), is_signed);
}

/* The sums of the first or the second row in the order of queries. */
VSI_INLINE uint32_t tile_keep_i8mm(const vsi_tile_rows *tile, size_t row, const uint32x4_t sum[16],
                                   bool is_second, bool is_signed) {
    uint32x4_t own[8];
    VSI_UNROLL
    for (int v = 0; v < 8; v++) {
        uint64x2_t a = vreinterpretq_u64_u32(sum[2 * v]), b = vreinterpretq_u64_u32(sum[2 * v + 1]);
        own[v] = vreinterpretq_u32_u64(is_second ? vzip2q_u64(a, b) : vzip1q_u64(a, b));
    }
    return tile_keep_dotprod(tile, row, own, is_signed);
}

VSI_INLINE void tile_i8mm(const vsi_tile_rows *tile, uint32_t *out_keep, bool is_signed) {
    const size_t dim = tile->dim, n = tile->n;
    for (size_t i = 0; i < n; i += 2) {
        const uint8_t *queries = tile->queries, *row = (const uint8_t *)tile->rows + i * dim;
        const uint8_t *next = i + 1 < n ? row + dim : row;
        uint32x4_t sum[16];
        size_t j = 0;
        VSI_UNROLL
        for (int v = 0; v < 16; v++)
            sum[v] = vdupq_n_u32(0);
        for (; j + 8 <= dim; j += 8, queries += 8 * VSI_TILE_QUERIES)
            tile_step_i8mm(sum, queries, row + j, next + j, is_signed);
        if (j < dim) {
            uint8_t few[2][8] = {{0}};
            memcpy(few[0], row + j, dim - j);
            memcpy(few[1], next + j, dim - j);
            tile_step_i8mm(sum, queries, few[0], few[1], is_signed);
        }
        out_keep[i] = tile_keep_i8mm(tile, i, sum, false, is_signed);
        if (i + 1 < n)
            out_keep[i + 1] = tile_keep_i8mm(tile, i + 1, sum, true, is_signed);
    }
}

static void tile_u8_i8mm(const vsi_tile_rows *tile, uint32_t *out_keep) {
    tile_i8mm(tile, out_keep, false);
}

static void tile_i8_i8mm(const vsi_tile_rows *tile, uint32_t *out_keep) {
    tile_i8mm(tile, out_keep, true);
}

VSI_TARGET_END

VSI_FN const vsi_kernels *vsi_kernels_neon_i8mm(void) {
    static const vsi_kernels table =
        NEON_TABLE("neon-i8mm", "neon-i8mm neon-dotprod neon scalar",
                   dotprod, [VS_U8] = {tile_u8_i8mm, 8, false}, [VS_I8] = {tile_i8_i8mm, 8, false});
    return &table;
}

#else

VSI_FN const vsi_kernels *vsi_kernels_neon_i8mm(void) {
    return NULL;
}

#endif

#endif
