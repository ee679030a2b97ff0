/* element.c - element types of vectors.
 *
 * Every element of every type is a float exactly. So a vector is converted by way of floats, some at a time,
 * and rounded once, when they are stored. */
#include "math/element.h"

enum { ELEMENT_BLOCK = 256 };

enum { F16_INFINITY = 0x7c00, BF16_INFINITY = 0x7f80, SIGN16 = 0x8000 };

typedef struct element_type {
    const char *name;
    uint32_t bytes; /* of the numbers that it is made of */
    /* n elements from number `at` on, as floats */
    void (*load)(const uint8_t *in, size_t at, size_t n, float *out);
    /* the other way; how many fitted, in front of the first that does not */
    size_t (*store)(const float *in, size_t at, size_t n, uint8_t *out);
    const char *range; /* what fits, for a message; NULL: all that is not too large */
} element_type;

/* ---- half precision ------------------------------------------------------------------------- */

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

VSI_FN float vsi_float_of_f16(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & SIGN16) << 16, rest = bits & 0x7fffu;
    if (rest < 0x400) { /* subnormal: units of 2^-24 */
        float value = (float)rest * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t exponent = rest < F16_INFINITY ? 112u << 23 : 224u << 23; /* 127 - 15, or to 255 */
    return float_of_bits(sign | ((rest << 13) + exponent));
}

VSI_FN uint16_t vsi_f16_of_float(float value) {
    uint32_t bits = bits_of_float(value), sign = bits >> 16 & SIGN16, rest = bits & 0x7fffffffu;
    uint32_t exponent = rest >> 23, half = 0;
    if (exponent >= 113) { /* normal: 13 bits go */
        half = (rest - (112u << 23) + 0xfff + (rest >> 13 & 1)) >> 13;
        half = half < F16_INFINITY ? half : F16_INFINITY;
    } else if (exponent >= 102) { /* subnormal; below it is zero */
        uint32_t shift = 126 - exponent, mantissa = (rest & 0x7fffffu) | 0x800000u;
        uint32_t left = mantissa & ((1u << shift) - 1), tie = 1u << (shift - 1);
        half = mantissa >> shift;
        half += left > tie || (left == tie && half & 1);
    }
    return (uint16_t)(sign | half);
}

VSI_FN float vsi_float_of_bf16(uint16_t bits) {
    return float_of_bits((uint32_t)bits << 16);
}

VSI_FN uint16_t vsi_bf16_of_float(float value) {
    uint32_t bits = bits_of_float(value);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* ---- loading and storing -------------------------------------------------------------------- */

static void f32_load(const uint8_t *in, size_t at, size_t n, float *out) {
    memcpy(out, in + at * sizeof *out, n * sizeof *out);
}

static size_t f32_store(const float *in, size_t at, size_t n, uint8_t *out) {
    memcpy(out + at * sizeof *in, in, n * sizeof *in);
    return n;
}

static void load16(const uint8_t *in, size_t n, float (*widen)(uint16_t), float *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, in + i * sizeof bits, sizeof bits);
        out[i] = widen(bits);
    }
}

/* Up to the first that becomes infinite. */
static size_t store16(const float *in, size_t n, uint16_t (*narrow)(float), uint16_t infinity,
                      uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t bits = narrow(in[i]);
        if ((bits & infinity) == infinity)
            return i;
        memcpy(out + i * sizeof bits, &bits, sizeof bits);
    }
    return n;
}

static void f16_load(const uint8_t *in, size_t at, size_t n, float *out) {
    load16(in + 2 * at, n, vsi_float_of_f16, out);
}

static size_t f16_store(const float *in, size_t at, size_t n, uint8_t *out) {
    return store16(in, n, vsi_f16_of_float, F16_INFINITY, out + 2 * at);
}

static void bf16_load(const uint8_t *in, size_t at, size_t n, float *out) {
    load16(in + 2 * at, n, vsi_float_of_bf16, out);
}

static size_t bf16_store(const float *in, size_t at, size_t n, uint8_t *out) {
    return store16(in, n, vsi_bf16_of_float, BF16_INFINITY, out + 2 * at);
}

static void u8_load(const uint8_t *in, size_t at, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = in[at + i];
}

static size_t u8_store(const float *in, size_t at, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        if (!(in[i] >= 0 && in[i] <= 255) || (float)(uint8_t)in[i] != in[i])
            return i;
        out[at + i] = (uint8_t)in[i];
    }
    return n;
}

static void i8_load(const uint8_t *in, size_t at, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(in[at + i] < 128 ? in[at + i] : in[at + i] - 256);
}

static size_t i8_store(const float *in, size_t at, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        if (!(in[i] >= -128 && in[i] <= 127) || (float)(int)in[i] != in[i])
            return i;
        out[at + i] = (uint8_t)(int)in[i];
    }
    return n;
}

static void bit_load(const uint8_t *in, size_t at, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(in[(at + i) / 8] >> (at + i) % 8 & 1);
}

/* A byte is begun with its first bit, so those behind the last element are zero. */
static size_t bit_store(const float *in, size_t at, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        if (in[i] != 0 && in[i] != 1)
            return i;
        uint8_t *byte = out + (at + i) / 8, bit = (uint8_t)((in[i] != 0) << (at + i) % 8);
        *byte = (at + i) % 8 ? *byte | bit : bit;
    }
    return n;
}

/* ---- types and metrics ---------------------------------------------------------------------- */

static const element_type *element_of(int type) {
    static const element_type types[VSI_TYPES] = {
        [VS_F32] = {"f32", 4, f32_load, f32_store, NULL},
        [VS_U8] = {"u8", 1, u8_load, u8_store, "a whole number from 0 to 255"},
        [VS_F16] = {"f16", 2, f16_load, f16_store, NULL},
        [VS_BF16] = {"bf16", 2, bf16_load, bf16_store, NULL},
        [VS_I8] = {"i8", 1, i8_load, i8_store, "a whole number from -128 to 127"},
        [VS_BIT] = {"bit", 1, bit_load, bit_store, "0 or 1"},
    };
    return type >= 1 && type < VSI_TYPES ? &types[type] : NULL;
}

VSI_FN const char *vsi_type_name(int type) {
    const element_type *element = element_of(type);
    return element ? element->name : "?";
}

VSI_FN const char *vsi_metric_name(int metric) {
    static const char *const names[VSI_METRICS] = {"?",  "l2",      "ip",     "cosine",
                                                   "l1", "hamming", "jaccard"};
    return names[metric >= 1 && metric < VSI_METRICS ? metric : 0];
}

VSI_FN uint32_t vsi_type_bytes(int type) {
    const element_type *element = element_of(type);
    return element ? element->bytes : 0;
}

VSI_FN uint32_t vsi_vector_bytes(int type, uint32_t dim) {
    return type == VS_BIT ? (dim + 7) / 8 : dim * vsi_type_bytes(type);
}

VSI_FN bool vsi_metric_fits(int metric, int type) {
    bool is_of_bits = metric == VS_HAMMING || metric == VS_JACCARD;
    return element_of(type) && metric >= VS_L2 && metric <= VS_JACCARD &&
           is_of_bits == (type == VS_BIT);
}

/* ---- converting ----------------------------------------------------------------------------- */

static vs_status element_refuse(vsi_err *err, size_t at, float value, const element_type *to) {
    if (!isfinite(value))
        return vsi_fail(err, VS_ERR_INVALID, "vector: element %zu is not a finite number", at);
    if (to->range)
        return vsi_fail(err, VS_ERR_INVALID, "vector: element %zu is %.9g, expected %s for %s", at,
                        (double)value, to->range, to->name);
    return vsi_fail(err, VS_ERR_INVALID, "vector: element %zu is %.9g, beyond the range of %s", at,
                    (double)value, to->name);
}

/* How many floats there are in front of the first NaN or infinity. */
static size_t floats_finite(const float *in, size_t n) {
    uint32_t bad = 0;
    size_t i = 0;
    for (size_t k = 0; k < n; k++)
        bad |= (bits_of_float(in[k]) & 0x7f800000u) == 0x7f800000u;
    if (!bad)
        return n;
    while (isfinite(in[i]))
        i++;
    return i;
}

VSI_FN vs_status vsi_vector_convert(vsi_err *err, const void *in, int in_type, uint8_t *out,
                                    int out_type, uint32_t dim, size_t *out_at) {
    const element_type *from = element_of(in_type), *to = element_of(out_type);
    float block[ELEMENT_BLOCK];
    for (size_t at = 0; at < dim; at += ELEMENT_BLOCK) {
        size_t n = dim - at < ELEMENT_BLOCK ? dim - at : ELEMENT_BLOCK;
        from->load(in, at, n, block);
        size_t finite = floats_finite(block, n), fit = to->store(block, at, finite, out);
        if (fit < n && out_at)
            *out_at = at + fit;
        if (fit < n)
            return element_refuse(err, at + fit, block[fit], to);
    }
    return VS_OK;
}

VSI_FN vs_status vsi_vector_check(vsi_err *err, const void *in, int type, uint32_t dim,
                                  bool *out_is_canonical) {
    const element_type *from = element_of(type);
    const uint8_t *bytes = in;
    float block[ELEMENT_BLOCK];
    *out_is_canonical = type != VS_BIT || dim % 8 == 0 || !(bytes[dim / 8] >> dim % 8);
    for (size_t at = 0; !from->range && at < dim; at += ELEMENT_BLOCK) {
        size_t n = dim - at < ELEMENT_BLOCK ? dim - at : ELEMENT_BLOCK;
        from->load(bytes, at, n, block);
        size_t finite = floats_finite(block, n);
        if (finite < n)
            return element_refuse(err, at + finite, block[finite], from);
    }
    return VS_OK;
}
