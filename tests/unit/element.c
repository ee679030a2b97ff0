/* element.c - element types: every number of half precision, conversions between all types. */
#include "math/element.h"
#include "vt.h"

enum { DIM_MAX = 600, TYPES = 6 };

static const int types[TYPES] = {VS_F32, VS_U8, VS_F16, VS_BF16, VS_I8, VS_BIT};

/* ---- half precision, by the definition ------------------------------------------------------- */

/* A number of so many bits of exponent and of mantissa. */
static double value_of(uint32_t bits, int exponent_bits, int mantissa_bits) {
    uint32_t mantissa = bits & ((1u << mantissa_bits) - 1);
    int exponent = (int)(bits >> mantissa_bits & ((1u << exponent_bits) - 1));
    int bias = (1 << (exponent_bits - 1)) - 1;
    double sign = bits >> (exponent_bits + mantissa_bits) & 1 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
        return mantissa ? NAN : sign * INFINITY;
    if (exponent == 0)
        return sign * ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * ldexp(mantissa + (1u << mantissa_bits), exponent - bias - mantissa_bits);
}

static uint16_t half_of(bool is_bf16, float value) {
    return is_bf16 ? vsi_bf16_of_float(value) : vsi_f16_of_float(value);
}

static float float_of(bool is_bf16, uint16_t bits) {
    return is_bf16 ? vsi_float_of_bf16(bits) : vsi_float_of_f16(bits);
}

VT_TEST(every_half_is_the_float_that_it_is_defined_as_and_comes_back) {
    for (int is_bf16 = 0; is_bf16 < 2; is_bf16++)
        for (uint32_t bits = 0; bits < 65536; bits++) {
            double expected = is_bf16 ? value_of(bits, 8, 7) : value_of(bits, 5, 10);
            double found = (double)float_of(is_bf16, (uint16_t)bits);
            VT_CHECK(isnan(expected) ? isnan(found) : found == expected);
            VT_EQ(signbit(found) != 0, bits >> 15);
            if (isfinite(expected))
                VT_EQ(half_of(is_bf16, float_of(is_bf16, (uint16_t)bits)), bits);
        }
}

/* Between two neighbors there are floats: the nearer one is taken, of equally near ones the even. */
VT_TEST(a_float_becomes_the_nearest_half_and_of_two_the_even_one) {
    for (int is_bf16 = 0; is_bf16 < 2; is_bf16++) {
        uint16_t most = is_bf16 ? 0x7f7f : 0x7bff;
        for (uint32_t bits = 0; bits < most; bits++)
            for (uint32_t sign = 0; sign < 2; sign++) {
                uint16_t low = (uint16_t)(bits | sign << 15), high = (uint16_t)(low + 1);
                float a = float_of(is_bf16, low), b = float_of(is_bf16, high);
                float middle =
                    (float)(((double)a + (double)b) / 2); /* exact: a float has more bits */
                VT_EQ(half_of(is_bf16, middle), bits % 2 ? high : low);
                VT_EQ(half_of(is_bf16, nextafterf(middle, a)), low);
                VT_EQ(half_of(is_bf16, nextafterf(middle, b)), high);
                VT_EQ(half_of(is_bf16, nextafterf(a, b)), low);
                VT_EQ(half_of(is_bf16, nextafterf(b, a)), high);
            }
    }
}

VT_TEST(what_is_beyond_the_largest_half_becomes_infinite_and_what_is_tiny_zero) {
    VT_EQ(vsi_f16_of_float(65504), 0x7bff);
    VT_EQ(vsi_f16_of_float(nextafterf(65520, 0)), 0x7bff);
    VT_EQ(vsi_f16_of_float(65520), 0x7c00);
    VT_EQ(vsi_f16_of_float(-65520), 0xfc00);
    VT_EQ(vsi_f16_of_float(FLT_MAX), 0x7c00);
    VT_EQ(vsi_bf16_of_float(FLT_MAX), 0x7f80);
    VT_EQ(vsi_bf16_of_float(-FLT_MAX), 0xff80);
    VT_EQ(vsi_f16_of_float(0x1p-25f), 0);
    VT_EQ(vsi_f16_of_float(nextafterf(0x1p-25f, 1)), 1);
    VT_EQ(vsi_f16_of_float(FLT_TRUE_MIN), 0);
    VT_EQ(vsi_f16_of_float(-FLT_TRUE_MIN), 0x8000);
}

/* ---- vectors -------------------------------------------------------------------------------- */

/* Element number at of a vector, by the header of the library. */
static double element_at(const uint8_t *vector, int type, size_t at) {
    uint16_t half;
    float value;
    switch (type) {
    case VS_F32:
        memcpy(&value, vector + 4 * at, 4);
        return (double)value;
    case VS_F16:
    case VS_BF16:
        memcpy(&half, vector + 2 * at, 2);
        return type == VS_F16 ? value_of(half, 5, 10) : value_of(half, 8, 7);
    case VS_I8:
        return ((const int8_t *)vector)[at];
    case VS_BIT:
        return vector[at / 8] >> at % 8 & 1;
    default:
        return vector[at];
    }
}

static void fill(float *out, size_t dim, double low, double high, vt_rng *rng) {
    for (size_t i = 0; i < dim; i++)
        out[i] = (float)(low + (double)vt_below(rng, (uint64_t)(high - low) + 1));
}

/* A vector of a type, by way of floats; out is a block of exactly its size. */
static uint8_t *make(const float *in, int type, uint32_t dim) {
    vsi_err err = {0};
    uint8_t *out = malloc(vsi_vector_bytes(type, dim));
    memset(out, 0xa5, vsi_vector_bytes(type, dim));
    if (vsi_vector_convert(&err, in, VS_F32, out, type, dim, NULL) != VS_OK)
        vt_fail(__FILE__, __LINE__, "%s: %s", vsi_type_name(type), err.text);
    return out;
}

VT_TEST(numbers_that_both_types_have_go_from_any_type_to_any_other) {
    vt_rng rng = {vt_seed()};
    static float floats[DIM_MAX];
    for (uint32_t dim = 1; dim <= DIM_MAX; dim += dim < 40 ? 1 : 37)
        for (int from = 0; from < TYPES; from++)
            for (int to = 0; to < TYPES; to++) {
                int a = types[from], b = types[to];
                bool has_sign = a != VS_U8 && a != VS_BIT && b != VS_U8 && b != VS_BIT;
                fill(floats, dim, has_sign ? -127 : 0, a == VS_BIT || b == VS_BIT ? 1 : 127, &rng);
                uint8_t *in = make(floats, a, dim), *shifted = malloc(vsi_vector_bytes(a, dim) + 1);
                uint8_t *out = malloc(vsi_vector_bytes(b, dim));
                vsi_err err = {0};
                bool is_canonical = false;
                memcpy(shifted + 1, in, vsi_vector_bytes(a, dim));
                VT_EQ(vsi_vector_convert(&err, shifted + 1, a, out, b, dim, NULL), VS_OK);
                for (size_t i = 0; i < dim; i++)
                    VT_CHECK(element_at(out, b, i) == (double)floats[i]);
                VT_EQ(vsi_vector_check(&err, out, b, dim, &is_canonical), VS_OK);
                VT_CHECK(is_canonical);
                free(in);
                free(shifted);
                free(out);
            }
}

static const float nothing_fits[] = {NAN, INFINITY, -INFINITY};
static const float no_f16[] = {65520, -1e9f, FLT_MAX};
static const float no_bf16[] = {FLT_MAX, -FLT_MAX};
static const float no_u8[] = {-1, 256, 0.5f, 254.5f, -0.25f, 1e30f};
static const float no_i8[] = {-129, 128, 0.5f, -127.5f, 1e30f};
static const float no_bit[] = {2, -1, 0.5f};

/* Each of the values is refused at each place, which the message names. */
static void refuse(int type, const float *values, size_t n, const char *part) {
    static const uint32_t places[] = {0, 1, 7, 8, 255, 256, 257, DIM_MAX - 1};
    static float floats[DIM_MAX];
    static uint8_t out[DIM_MAX * 4];
    for (size_t v = 0; v < n; v++)
        for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
            vsi_err err = {0};
            char expected[64];
            memset(floats, 0, sizeof floats);
            floats[places[p]] = values[v];
            VT_EQ(vsi_vector_convert(&err, floats, VS_F32, out, type, DIM_MAX, NULL),
                  VS_ERR_INVALID);
            snprintf(expected, sizeof expected, "element %u is", (unsigned)places[p]);
            VT_CONTAINS(err.text, expected);
            VT_CONTAINS(err.text, part);
        }
}

VT_TEST(what_a_type_does_not_have_is_refused_with_its_place) {
    for (int i = 0; i < TYPES; i++)
        refuse(types[i], nothing_fits, 3, "not a finite number");
    refuse(VS_F16, no_f16, 3, "beyond the range of f16");
    refuse(VS_BF16, no_bf16, 2, "beyond the range of bf16");
    refuse(VS_U8, no_u8, 6, "expected a whole number from 0 to 255 for u8");
    refuse(VS_I8, no_i8, 5, "expected a whole number from -128 to 127 for i8");
    refuse(VS_BIT, no_bit, 3, "expected 0 or 1 for bit");
}

VT_TEST(vectors_that_are_no_numbers_are_found_in_every_type_that_can_hold_them) {
    static const uint16_t f16[] = {0x7c00, 0xfc00, 0x7e00, 0x7c01},
                          bf16[] = {0x7f80, 0xff80, 0x7fc0};
    vsi_err err = {0};
    bool is_canonical = false;
    for (size_t at = 0; at < DIM_MAX; at += 33) {
        float floats[DIM_MAX] = {0};
        uint16_t halves[DIM_MAX] = {0};
        for (size_t i = 0; i < 3; i++) {
            floats[at] = nothing_fits[i];
            VT_EQ(vsi_vector_check(&err, floats, VS_F32, DIM_MAX, &is_canonical), VS_ERR_INVALID);
            halves[at] = bf16[i];
            VT_EQ(vsi_vector_check(&err, halves, VS_BF16, DIM_MAX, &is_canonical), VS_ERR_INVALID);
        }
        for (size_t i = 0; i < 4; i++) {
            halves[at] = f16[i];
            VT_EQ(vsi_vector_check(&err, halves, VS_F16, DIM_MAX, &is_canonical), VS_ERR_INVALID);
        }
    }
}

VT_TEST(unused_bits_of_the_last_byte_become_zero) {
    vsi_err err = {0};
    for (uint32_t dim = 1; dim <= 40; dim++) {
        uint32_t bytes = vsi_vector_bytes(VS_BIT, dim);
        uint8_t *in = malloc(bytes), *out = malloc(bytes);
        bool is_canonical = false;
        VT_EQ(bytes, (dim + 7) / 8);
        memset(in, 0xff, bytes);
        VT_EQ(vsi_vector_check(&err, in, VS_BIT, dim, &is_canonical), VS_OK);
        VT_EQ(is_canonical, dim % 8 == 0);
        VT_EQ(vsi_vector_convert(&err, in, VS_BIT, out, VS_BIT, dim, NULL), VS_OK);
        for (uint32_t i = 0; i < bytes * 8; i++)
            VT_EQ(out[i / 8] >> i % 8 & 1, i < dim);
        VT_EQ(vsi_vector_convert(&err, in, VS_BIT, in, VS_BIT, dim, NULL),
              VS_OK); /* where it stands */
        VT_CHECK(!memcmp(in, out, bytes));
        free(in);
        free(out);
    }
}

VT_TEST(types_and_metrics_have_names_sizes_and_fit_as_the_header_says) {
    static const char *const names[] = {"?", "f32", "u8", "f16", "bf16", "i8", "bit", "?"};
    static const char *const metrics[] = {"?",  "l2",      "ip",      "cosine",
                                          "l1", "hamming", "jaccard", "?"};
    static const uint32_t bytes[] = {0, 4, 1, 2, 2, 1, 1, 0};
    for (int type = 0; type < 8; type++) {
        VT_STR(vsi_type_name(type), names[type]);
        VT_STR(vsi_metric_name(type), metrics[type]);
        VT_EQ(vsi_type_bytes(type), bytes[type]);
        VT_EQ(vsi_vector_bytes(type, 65535), type == VS_BIT ? 8192 : 65535 * bytes[type]);
        for (int metric = -1; metric < 9; metric++) {
            bool is_known =
                type >= VS_F32 && type <= VS_BIT && metric >= VS_L2 && metric <= VS_JACCARD;
            VT_EQ(vsi_metric_fits(metric, type),
                  is_known && (metric >= VS_HAMMING) == (type == VS_BIT));
        }
    }
    VT_STR(vsi_type_name(-1), "?");
    VT_EQ(vsi_vector_bytes(-1, 3), 0);
}
