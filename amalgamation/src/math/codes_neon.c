/* codes_neon.c - kernels for codes with NEON on 64-bit ARM. What is called once for a query or a vector, and not for
 * every row, is the scalar table's unless it is a step of the rotation. */
#include "math/codes_neon.h"
#include "math/codes_scalar.h"

#ifdef VSI_NEON

/* ---- inner products ------------------------------------------------------------------------- */

VSI_INLINE int32x4_t code_add_neon(int32x4_t sum, int8x16_t a, int8x16_t b) {
    sum = vpadalq_s16(sum, vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    return vpadalq_s16(sum, vmull_high_s8(a, b));
}

#define CODE_SET(name)      name##_neon
#define CODE_ADD(sum, a, b) code_add_neon(sum, a, b)
#include "math/codes_neon.inc"
#undef CODE_SET
#undef CODE_ADD

#ifdef VSI_TARGET_DOTPROD
VSI_TARGET_BEGIN(VSI_TARGET_DOTPROD)
#define CODE_SET(name)      name##_dotprod
#define CODE_ADD(sum, a, b) vdotq_s32(sum, a, b)
#include "math/codes_neon.inc"
#undef CODE_SET
#undef CODE_ADD
VSI_TARGET_END
#endif

/* Four halves as floats. */
VSI_INLINE float32x4_t code_halves_neon(uint16x4_t halves, bool is_f16) {
    return is_f16 ? vcvt_f32_f16(vreinterpret_f16_u16(halves))
                  : vreinterpretq_f32_u32(vshll_n_u16(halves, 16));
}

VSI_INLINE int32_t code_row_halves_neon(const float *query, size_t dims, const uint8_t *code,
                                        bool is_f16) {
    float32x4_t sum[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
    for (size_t j = 0; j < dims; j += 16) {
        VSI_UNROLL
        for (size_t k = 0; k < 4; k++) {
            uint16x4_t halves = vreinterpret_u16_u8(vld1_u8(code + 2 * (j + 4 * k)));
            sum[k] =
                vfmaq_f32(sum[k], code_halves_neon(halves, is_f16), vld1q_f32(query + j + 4 * k));
        }
    }
    float32x4_t all = vaddq_f32(vaddq_f32(sum[0], sum[1]), vaddq_f32(sum[2], sum[3]));
    float whole = vaddvq_f32(all);
    return fabsf(whole) < 0x1p31f ? vcvtns_s32_f32(whole) : INT32_MIN;
}

static void dot_f16_neon(const void *query, size_t dims, const vsi_code_rows *rows, int32_t *out) {
    for (size_t i = 0; i < rows->n; i++)
        out[i] = code_row_halves_neon(query, dims, rows->first + i * rows->stride, true);
}

static void dot_bf16_neon(const void *query, size_t dims, const vsi_code_rows *rows, int32_t *out) {
    for (size_t i = 0; i < rows->n; i++)
        out[i] = code_row_halves_neon(query, dims, rows->first + i * rows->stride, false);
}

/* ---- bounds --------------------------------------------------------------------------------- */

/* The heads of four rows, a register for each of their floats. */
VSI_INLINE float32x4x4_t code_heads_neon(const uint8_t *head, size_t stride) {
    float32x4_t a = vreinterpretq_f32_u8(vld1q_u8(head));
    float32x4_t b = vreinterpretq_f32_u8(vld1q_u8(head + stride));
    float32x4_t c = vreinterpretq_f32_u8(vld1q_u8(head + 2 * stride));
    float32x4_t d = vreinterpretq_f32_u8(vld1q_u8(head + 3 * stride));
    float64x2_t ab = vreinterpretq_f64_f32(vtrn1q_f32(a, b)),
                cd = vreinterpretq_f64_f32(vtrn1q_f32(c, d));
    float64x2_t ef = vreinterpretq_f64_f32(vtrn2q_f32(a, b)),
                gh = vreinterpretq_f64_f32(vtrn2q_f32(c, d));
    return (float32x4x4_t){
        {vreinterpretq_f32_f64(vtrn1q_f64(ab, cd)), vreinterpretq_f32_f64(vtrn1q_f64(ef, gh)),
         vreinterpretq_f32_f64(vtrn2q_f64(ab, cd)), vreinterpretq_f32_f64(vtrn2q_f64(ef, gh))}};
}

VSI_INLINE void code_bounds4_neon(const vsi_code_frame *frame, const uint8_t *heads, size_t stride,
                                  const int32_t *dots, float *lower, float *upper) {
    float32x4x4_t head = code_heads_neon(heads, stride);
    float32x4_t zero = vdupq_n_f32(0), infinity = vdupq_n_f32(INFINITY),
                error = vdupq_n_f32(frame->error);
    int32x4_t grid = vmulq_n_s32(vld1q_s32(dots), frame->step);
    grid = vsubq_s32(grid, vdupq_n_s32(frame->offset));
    float32x4_t along =
        vmulq_f32(vcvtq_f32_s32(grid), vmulq_n_f32(head.val[VSI_HEAD_INVERSE], frame->unit));
    float32x4_t least = vmaxq_f32(vsubq_f32(vabsq_f32(along), error), zero);
    float32x4_t across = vfmsq_f32(vdupq_n_f32(frame->square), least, least);
    across = vsqrtq_f32(vmaxq_f32(across, zero));
    float32x4_t wide = vmulq_f32(head.val[VSI_HEAD_LENGTH], error);
    wide = vfmaq_f32(wide, head.val[VSI_HEAD_ERROR], across);
    float32x4_t middle = vaddq_f32(head.val[VSI_HEAD_BASE], vdupq_n_f32(frame->base));
    middle = vfmsq_f32(middle, vmulq_n_f32(head.val[VSI_HEAD_LENGTH], frame->factor), along);
    wide = vfmaq_n_f32(vdupq_n_f32(frame->base_error), wide, frame->factor);
    float32x4_t own = vabsq_f32(head.val[VSI_HEAD_BASE]);
    wide = vfmaq_n_f32(wide, own, frame->base_relative);
    uint32x4_t has_code = vcltq_f32(own, infinity);
    vst1q_f32(lower, vbslq_f32(has_code, vsubq_f32(middle, wide), vnegq_f32(infinity)));
    if (upper)
        vst1q_f32(upper, vbslq_f32(has_code, vaddq_f32(middle, wide), infinity));
}

static void code_bounds_neon(const vsi_code_frame *frame, const vsi_code_rows *rows,
                             const int32_t *dots, float *lower, float *upper) {
    size_t i = 0, rest = rows->n % 4;
    const uint8_t *head = rows->first + rows->head_off;
    for (; i + 4 <= rows->n; i += 4)
        code_bounds4_neon(frame, head + i * rows->stride, rows->stride, dots + i, lower + i,
                          upper ? upper + i : NULL);
    if (!rest)
        return;
    uint8_t heads[4 * VSI_CODE_HEAD_BYTES] = {0};
    int32_t last[4] = {0};
    float low[4], high[4];
    for (size_t r = 0; r < rest; r++)
        memcpy(heads + r * VSI_CODE_HEAD_BYTES, head + (i + r) * rows->stride, VSI_CODE_HEAD_BYTES);
    memcpy(last, dots + i, rest * sizeof *dots);
    code_bounds4_neon(frame, heads, VSI_CODE_HEAD_BYTES, last, low, high);
    memcpy(lower + i, low, rest * sizeof *lower);
    if (upper)
        memcpy(upper + i, high, rest * sizeof *upper);
}

/* ---- rotation ------------------------------------------------------------------------------- */

/* Signs of four floats where a bit is set. */
VSI_INLINE float32x4_t code_flip_neon(float32x4_t v, uint32_t signs) {
    static const int32_t shift[4] = {31, 30, 29, 28};
    uint32x4_t bits = vshlq_u32(vdupq_n_u32(signs), vld1q_s32(shift));
    bits = vandq_u32(bits, vdupq_n_u32(0x80000000u));
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(v), bits));
}

static void code_mix_neon(float *x, float *y, size_t n, const float scale[2],
                          const uint32_t *x_signs, const uint32_t *y_signs) {
    for (size_t i = 0; i < n; i += 4) {
        uint32_t shift = i % 32;
        float32x4_t a =
            code_flip_neon(vmulq_n_f32(vld1q_f32(x + i), scale[0]), x_signs[i / 32] >> shift);
        float32x4_t b =
            code_flip_neon(vmulq_n_f32(vld1q_f32(y + i), scale[1]), y_signs[i / 32] >> shift);
        vst1q_f32(x + i, vaddq_f32(a, b));
        vst1q_f32(y + i, vsubq_f32(a, b));
    }
}

/* Levels of distance 1 and 2. */
VSI_INLINE float32x4_t code_hadamard4_neon(float32x4_t v) {
    float32x4_t even = vtrn1q_f32(v, v), odd = vtrn2q_f32(v, v);
    v = vtrn1q_f32(vaddq_f32(even, odd), vsubq_f32(even, odd));
    float32x4_t low = vcombine_f32(vget_low_f32(v), vget_low_f32(v));
    float32x4_t high = vcombine_f32(vget_high_f32(v), vget_high_f32(v));
    return vcombine_f32(vget_low_f32(vaddq_f32(low, high)), vget_low_f32(vsubq_f32(low, high)));
}

/* The levels of distance h and 2 h. */
static void code_pass4_neon(float *x, size_t n, size_t h) {
    for (size_t i = 0; i < n; i += 4 * h)
        for (float *p = x + i; p < x + i + h; p += 4) {
            float32x4_t a = vld1q_f32(p), b = vld1q_f32(p + h);
            float32x4_t c = vld1q_f32(p + 2 * h), d = vld1q_f32(p + 3 * h);
            float32x4_t ab = vaddq_f32(a, b), cd = vaddq_f32(c, d);
            a = vsubq_f32(a, b);
            c = vsubq_f32(c, d);
            vst1q_f32(p, vaddq_f32(ab, cd));
            vst1q_f32(p + h, vaddq_f32(a, c));
            vst1q_f32(p + 2 * h, vsubq_f32(ab, cd));
            vst1q_f32(p + 3 * h, vsubq_f32(a, c));
        }
}

static void code_hadamard_neon(float *x, size_t n) {
    size_t h = 4;
    for (size_t i = 0; i < n; i += 4)
        vst1q_f32(x + i, code_hadamard4_neon(vld1q_f32(x + i)));
    for (; 4 * h <= n; h *= 4)
        code_pass4_neon(x, n, h);
    for (size_t i = 0; h < n && i < h; i += 4) {
        float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + h + i);
        vst1q_f32(x + i, vaddq_f32(a, b));
        vst1q_f32(x + h + i, vsubq_f32(a, b));
    }
}

static void code_scale_neon(float *x, size_t n, float scale, const uint32_t *signs) {
    for (size_t i = 0; i < n; i += 4) {
        float32x4_t v = vmulq_n_f32(vld1q_f32(x + i), scale);
        vst1q_f32(x + i, signs ? code_flip_neon(v, signs[i / 32] >> i % 32) : v);
    }
}

#define CODE_TABLE_NEON(title, set)                                                                \
    {                                                                                              \
        .name = title, .dot = {dot_u1_##set, dot_u2_##set, dot_u4_##set,                           \
                               dot_u8_##set, dot_f16_neon, dot_bf16_neon},                         \
        .bounds = code_bounds_neon, .estimates = vsi_code_estimates_scalar, .mix = code_mix_neon,  \
        .hadamard = code_hadamard_neon, .scale = code_scale_neon,                                  \
        .product = vsi_code_product_scalar, .residual = vsi_code_residual_scalar,                  \
        .bytes = vsi_code_bytes_scalar, .grid = vsi_code_grid_scalar,                              \
    }

VSI_FN const vsi_codes *vsi_codes_neon(void) {
    static const vsi_codes table = CODE_TABLE_NEON("neon", neon);
    return &table;
}

VSI_FN const vsi_codes *vsi_codes_neon_dotprod(void) {
#ifdef VSI_TARGET_DOTPROD
    static const vsi_codes table = CODE_TABLE_NEON("neon-dotprod", dotprod);
    return &table;
#else
    return NULL;
#endif
}

#else

VSI_FN const vsi_codes *vsi_codes_neon(void) {
    return NULL;
}

VSI_FN const vsi_codes *vsi_codes_neon_dotprod(void) {
    return NULL;
}

#endif
