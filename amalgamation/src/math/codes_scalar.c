/* codes_scalar.c - the reference kernels for codes: plain loops. */
#include "math/codes_scalar.h"
#include "base/bytes.h"
#include "math/element.h"

/* ---- inner products ------------------------------------------------------------------------- */

static uint32_t code_level_sum(const int8_t *query, size_t dims, const uint8_t *code,
                               uint32_t bits) {
    size_t per_byte = 8 / bits, rest = dims;
    uint32_t sum = 0, top = (1u << bits) - 1;
    while (rest) {
        size_t width = rest < 64 * per_byte ? rest / per_byte : 64;
        for (size_t j = 0; j < per_byte; j++)
            for (size_t t = 0; t < width; t++)
                sum += (uint32_t)query[j * width + t] * (code[t] >> (j * bits) & top);
        query += width * per_byte;
        code += width;
        rest -= width * per_byte;
    }
    return sum;
}

static void dot_u1_scalar(const void *query, size_t dims, const vsi_code_rows *rows, int32_t *out) {
    const int8_t *q = query;
    for (size_t i = 0; i < rows->n; i++) {
        const uint8_t *code = rows->first + i * rows->stride;
        out[i] = 0;
        for (size_t j = 0; j < dims; j++)
            out[i] += code[j / 8] >> j % 8 & 1 ? q[j] : 0;
    }
}

#define SCALAR_CODE_DOT(bits)                                                                      \
    static void dot_u##bits##_scalar(const void *query, size_t dims, const vsi_code_rows *rows,    \
                                     int32_t *out) {                                               \
        for (size_t i = 0; i < rows->n; i++)                                                       \
            out[i] = (int32_t)code_level_sum(query, dims, rows->first + i * rows->stride, bits);   \
    }

SCALAR_CODE_DOT(2)
SCALAR_CODE_DOT(4)
SCALAR_CODE_DOT(8)

/* The whole part, if an int32_t has it. */
static int32_t code_whole(double sum) {
    return fabs(sum) < 0x1p31 ? (int32_t)sum : INT32_MIN;
}

/* In double, where products of a float and a half are exact. */
#define SCALAR_CODE_DOT_HALF(type)                                                                 \
    static void dot_##type##_scalar(const void *query, size_t dims, const vsi_code_rows *rows,     \
                                    int32_t *out) {                                                \
        const float *q = query;                                                                    \
        for (size_t i = 0; i < rows->n; i++) {                                                     \
            const uint8_t *code = rows->first + i * rows->stride;                                  \
            double sum = 0;                                                                        \
            for (size_t j = 0; j < dims; j++)                                                      \
                sum += (double)q[j] * (double)vsi_float_of_##type(vsi_get_u16(code + 2 * j));      \
            out[i] = code_whole(sum);                                                              \
        }                                                                                          \
    }

SCALAR_CODE_DOT_HALF(f16)
SCALAR_CODE_DOT_HALF(bf16)

/* ---- bounds --------------------------------------------------------------------------------- */

static double code_head_float(const uint8_t *head, int which) {
    uint32_t bits = vsi_get_u32(head + 4 * which);
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

static double code_along_scalar(const vsi_code_frame *frame, const uint8_t *head, int32_t dot) {
    uint32_t grid = (uint32_t)frame->step * (uint32_t)dot - (uint32_t)frame->offset;
    return (double)(int32_t)grid * (double)frame->unit * code_head_float(head, VSI_HEAD_INVERSE);
}

/* In double, so that sqrt is the only function of libm that is needed. */
static void code_bounds_scalar(const vsi_code_frame *frame, const vsi_code_rows *rows,
                               const int32_t *dots, float *lower, float *upper) {
    for (size_t i = 0; i < rows->n; i++) {
        const uint8_t *head = rows->first + i * rows->stride + rows->head_off;
        double base = code_head_float(head, VSI_HEAD_BASE);
        double length = code_head_float(head, VSI_HEAD_LENGTH);
        double along = code_along_scalar(frame, head, dots[i]);
        double least = fabs(along) - (double)frame->error;
        double across = (double)frame->square - (least > 0 ? least * least : 0);
        double wide = length * (double)frame->error +
                      code_head_float(head, VSI_HEAD_ERROR) * (across > 0 ? sqrt(across) : 0);
        double middle = base + (double)frame->base - (double)frame->factor * length * along;
        wide = (double)frame->factor * wide + (double)frame->base_error +
               (double)frame->base_relative * fabs(base);
        bool has_code = isfinite(base);
        lower[i] = has_code ? (float)(middle - wide) : -INFINITY;
        if (upper)
            upper[i] = has_code ? (float)(middle + wide) : INFINITY;
    }
}

VSI_FN void vsi_code_estimates_scalar(const vsi_code_frame *frame, const vsi_code_rows *rows,
                                      const int32_t *dots, float *out, float *out_wide) {
    for (size_t i = 0; i < rows->n; i++) {
        const uint8_t *head = rows->first + i * rows->stride + rows->head_off;
        double base = code_head_float(head, VSI_HEAD_BASE);
        double length = code_head_float(head, VSI_HEAD_LENGTH);
        double error = code_head_float(head, VSI_HEAD_ERROR);
        double ratio = length > 0 ? error / length : 0, whole = length + error * ratio;
        double along = code_along_scalar(frame, head, dots[i]);
        bool has_code = isfinite(base);
        out[i] = has_code
                     ? (float)(base + (double)frame->base - (double)frame->factor * whole * along)
                     : -INFINITY;
        if (!out_wide)
            continue;
        double far =
            length > 0 ? sqrt(1 + ratio * ratio) * (double)frame->spread : (double)frame->length;
        far = (double)frame->factor * (error * far + whole * (double)frame->error) +
              (double)frame->base_error;
        out_wide[i] =
            has_code ? (float)(far + (double)frame->base_relative * fabs(base)) : INFINITY;
    }
}

/* ---- rotation ------------------------------------------------------------------------------- */

static float code_flip(float value, uint32_t sign) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits ^= sign << 31;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void code_mix_scalar(float *x, float *y, size_t n, const float scale[2],
                            const uint32_t *x_signs, const uint32_t *y_signs) {
    for (size_t i = 0; i < n; i++) {
        float a = code_flip(x[i] * scale[0], x_signs[i / 32] >> i % 32 & 1);
        float b = code_flip(y[i] * scale[1], y_signs[i / 32] >> i % 32 & 1);
        x[i] = a + b;
        y[i] = a - b;
    }
}

static void code_hadamard_scalar(float *x, size_t n) {
    for (size_t h = 1; h < n; h *= 2)
        for (size_t i = 0; i < n; i += 2 * h)
            for (size_t j = i; j < i + h; j++) {
                float a = x[j], b = x[j + h];
                x[j] = a + b;
                x[j + h] = a - b;
            }
}

static void code_scale_scalar(float *x, size_t n, float scale, const uint32_t *signs) {
    for (size_t i = 0; i < n; i++)
        x[i] = code_flip(x[i] * scale, signs ? signs[i / 32] >> i % 32 & 1 : 0);
}

/* ---- queries and grids ---------------------------------------------------------------------- */

VSI_FN double vsi_code_product_scalar(const float *a, const float *b, size_t n) {
    double sum[8] = {0};
    for (size_t i = 0; i < n; i++)
        sum[i % 8] += (double)a[i] * (double)b[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

VSI_FN double vsi_code_residual_scalar(const float *in, const float *mean, size_t n, double factor,
                                       float *out) {
    double sum[8] = {0};
    for (size_t i = 0; i < n; i++) {
        double difference = (double)in[i] * factor - (double)mean[i];
        sum[i % 8] += difference * difference;
        out[i] = (float)difference;
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* To the nearest whole number, ties to even. */
static int code_round(float value) {
    int whole = (int)value;
    double rest = (double)value - whole;
    bool is_odd = whole & 1;
    return whole + (rest > 0.5 || (rest == 0.5 && is_odd)) -
           (rest < -0.5 || (rest == -0.5 && is_odd));
}

VSI_FN float vsi_code_bytes_scalar(const float *x, size_t n, int8_t *out, int32_t *out_sum,
                                   float *out_error_square) {
    float most = 0, errors[8] = {0};
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        float magnitude = x[i] < 0 ? -x[i] : x[i];
        most = magnitude > most ? magnitude : most;
    }
    float unit = most < FLT_MIN * 128 ? 0 : most / 127, inverse = unit > 0 ? 127 / most : 0;
    for (size_t i = 0; i < n; i++) {
        int value = code_round(x[i] * inverse);
        float error = x[i] - (float)value * unit;
        errors[i % 8] += error * error;
        sum += value;
        out[i] = (int8_t)value;
    }
    *out_sum = sum;
    *out_error_square = ((errors[0] + errors[1]) + (errors[2] + errors[3])) +
                        ((errors[4] + errors[5]) + (errors[6] + errors[7]));
    return unit;
}

VSI_FN void vsi_code_grid_scalar(const float *x, size_t n, const vsi_code_grid *grid, float inverse,
                                 float out[2]) {
    float dot[8] = {0}, square[8] = {0}, top = (float)grid->top;
    for (size_t i = 0; i < n; i++) {
        float level = x[i] * inverse + grid->half;
        level = level < 0 ? 0 : level > top ? top : level;
        float point = (float)(grid->step * (int32_t)level - grid->offset);
        dot[i % 8] += x[i] * point;
        square[i % 8] += point * point;
    }
    out[0] = out[1] = 0;
    for (size_t j = 0; j < 8; j++) {
        out[0] += dot[j];
        out[1] += square[j];
    }
}

VSI_FN const vsi_codes *vsi_codes_scalar(void) {
    static const vsi_codes table = {
        .name = "scalar",
        .dot = {dot_u1_scalar, dot_u2_scalar, dot_u4_scalar, dot_u8_scalar, dot_f16_scalar,
                dot_bf16_scalar},
        .bounds = code_bounds_scalar,
        .estimates = vsi_code_estimates_scalar,
        .mix = code_mix_scalar,
        .hadamard = code_hadamard_scalar,
        .scale = code_scale_scalar,
        .product = vsi_code_product_scalar,
        .residual = vsi_code_residual_scalar,
        .bytes = vsi_code_bytes_scalar,
        .grid = vsi_code_grid_scalar,
    };
    return &table;
}
