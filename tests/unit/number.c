/* number.c - decimal text to numbers and back, against the C library, long integers, and both directions
 * against each other. */
#include "base/number.h"
#include "vt.h"
#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* From a block of exactly its size, so that a sanitizer sees a read too far. */
static vsi_decimal scan(const char *text) {
    size_t n = strlen(text);
    uint8_t *copy = malloc(n ? n : 1);
    vsi_decimal decimal;
    memcpy(copy, text, n);
    const char *expected = vsi_decimal_read(copy, n, &decimal);
    if (expected || decimal.bytes != n)
        vt_fail(__FILE__, __LINE__, "%.60s: %s expected behind %zu of %zu bytes", text,
                expected ? expected : "the end", decimal.bytes, n);
    decimal.text = (const uint8_t *)text;
    free(copy);
    return decimal;
}

static double read_double(const char *text) {
    vsi_decimal decimal = scan(text);
    return vsi_decimal_to_double(&decimal);
}

static float read_float(const char *text) {
    vsi_decimal decimal = scan(text);
    return vsi_decimal_to_float(&decimal);
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Both results against the C library's. */
static void same_as_libc(const char *text) {
    uint64_t found = bits_of(read_double(text)), expected = bits_of(strtod(text, NULL));
    if (found != expected)
        vt_fail(__FILE__, __LINE__, "%.80s: double %016" PRIx64 ", expected %016" PRIx64, text,
                found, expected);
    uint32_t found_f = bits_of_float(read_float(text));
    uint32_t expected_f = bits_of_float(strtof(text, NULL));
    if (found_f != expected_f)
        vt_fail(__FILE__, __LINE__, "%.80s: float %08" PRIx32 ", expected %08" PRIx32, text,
                found_f, expected_f);
}

/* ---- long integers -------------------------------------------------------------------------- */

enum { LIMBS = 96 };

typedef struct big {
    uint32_t limb[LIMBS];
} big;

static void multiply(big *a, uint32_t factor) {
    uint64_t carry = 0;
    for (int i = 0; i < LIMBS; i++) {
        carry += (uint64_t)a->limb[i] * factor;
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    VT_CHECK(!carry);
}

static uint32_t divide(big *a, uint32_t divisor) {
    uint64_t rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        rest = rest << 32 | a->limb[i];
        a->limb[i] = (uint32_t)(rest / divisor);
        rest %= divisor;
    }
    return (uint32_t)rest;
}

static int compare(const big *a, const big *b) {
    for (int i = LIMBS - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

static bool is_zero(const big *a) {
    static const big zero;
    return compare(a, &zero) == 0;
}

static big power_of(uint32_t base, int power) {
    big a = {{1}};
    for (int i = 0; i < power; i++)
        multiply(&a, base);
    return a;
}

static big product(const big *a, const uint64_t words[2]) {
    big sum = {{0}};
    const uint32_t factor[4] = {(uint32_t)words[1], (uint32_t)(words[1] >> 32), (uint32_t)words[0],
                                (uint32_t)(words[0] >> 32)};
    for (int k = 0; k < 4; k++) {
        uint64_t carry = 0;
        for (int i = 0; i + k < LIMBS; i++) {
            carry += (uint64_t)a->limb[i] * factor[k] + sum.limb[i + k];
            sum.limb[i + k] = (uint32_t)carry;
            carry >>= 32;
        }
    }
    return sum;
}

/* mantissa * 2^two in full, as digits and a power of ten. */
static void exact_text(uint64_t mantissa, int two, char *out) {
    big a = {{(uint32_t)mantissa, (uint32_t)(mantissa >> 32)}};
    char digits[1100];
    size_t n = sizeof digits;
    for (int i = 0; i < (two < 0 ? -two : two); i++)
        multiply(&a, two < 0 ? 5 : 2);
    digits[--n] = 0;
    do {
        digits[--n] = (char)('0' + divide(&a, 10));
    } while (!is_zero(&a));
    sprintf(out, "%se%d", digits + n, two < 0 ? two : 0);
}

/* ---- the table ------------------------------------------------------------------------------ */

static const uint64_t powers[][2] = {
#include "base/powers.inc"
};

/* By multiplying: an entry is at most the exact value, and one more is above it. */
static void check_power(int power) {
    const uint64_t *entry = powers[power + 342];
    bool is_up = power >= -27 && power < 0;
    uint64_t below[2] = {entry[0] - (is_up && !entry[1]), entry[1] - is_up};
    uint64_t above[2] = {below[0] + !(below[1] + 1), below[1] + 1};
    big five = power_of(5, power < 0 ? -power : power), two = power_of(2, 127);
    VT_CHECK(entry[0] >> 63);
    VT_CHECK(entry[1] != UINT64_MAX); /* so that rounding up never carries */
    if (power < 0) {                  /* below * 5^n <= 2^b < above * 5^n */
        big low = product(&five, below), high = product(&five, above);
        while (compare(&two, &low) < 0)
            multiply(&two, 2);
        VT_CHECK(compare(&two, &high) < 0);
    } else { /* below * 2^b <= 5^n * 2^127 < above * 2^b */
        big exact = product(&five, (const uint64_t[2]){(uint64_t)1 << 63, 0}), scale = {{1}};
        big next = {{2}};
        while (compare(&next, &five) <= 0) {
            multiply(&next, 2);
            multiply(&scale, 2);
        }
        big low = product(&scale, below), high = product(&scale, above);
        VT_CHECK(compare(&low, &exact) <= 0);
        VT_CHECK(compare(&exact, &high) < 0);
    }
}

VT_TEST(every_power_of_the_table_is_right_in_its_last_bit) {
    VT_EQ(COUNT(powers), 342 + 1 + 324);
    for (int power = -342; power <= 324; power++) {
        vt_at("power", (uint64_t)(power + 342));
        check_power(power);
    }
}

VT_TEST(wide_products_and_leading_zeros_are_right) {
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 10000; i++) {
        uint64_t a = vt_random(&rng) >> vt_below(&rng, 64), b = vt_random(&rng), low = 0;
        uint64_t high = vsi_mul_u64(a, b, &low);
        const uint64_t factor[2] = {0, b};
        big wide = product(&(big){{(uint32_t)a, (uint32_t)(a >> 32)}}, factor);
        VT_CHECK(low == (wide.limb[0] | (uint64_t)wide.limb[1] << 32));
        VT_CHECK(high == (wide.limb[2] | (uint64_t)wide.limb[3] << 32));
        int zeros = 0;
        while (a && !(a >> (63 - zeros)))
            zeros++;
        VT_CHECK(!a || vsi_leading_zeros(a) == zeros);
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

VT_TEST(numbers_that_are_known_to_be_hard_are_read_as_the_c_library_does) {
    static const char *const text[] = {
        "0",
        "-0",
        "0.0",
        "-0.0e-5",
        "0e999999999999999999999",
        "1",
        "-1",
        "0.1",
        "1e0",
        "1E+2",
        "10e-1",
        "123456789012345678",
        "9007199254740991",
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.0000000000000000000000000000001",
        "9007199254740992.9999999999999999999999999999999",
        "9007199254740994",
        "9007199254740995",
        "-9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709549568",
        "18446744073709550592",
        "18446744073709550591.99999",
        "16777215",
        "16777216",
        "16777217",
        "16777217.00000000000000000001",
        "16777218",
        "16777219",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.797693134862315807e308",
        "1.7976931348623159e308",
        "1e308",
        "1e309",
        "-1e309",
        "1e400",
        "1e999999999999999999999999",
        "1e-999999999999999999999999",
        "3.4028234663852886e38",
        "3.4028235e38",
        "3.4028235677973366e38",
        "3.40282356779733661637539395458142568447e38",
        "3.40282356779733661637539395458142568448e38",
        "3.4028236e38",
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "2.2250738585072012e-308",
        "4.9e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "2.5e-324",
        "2.4e-324",
        "7."
        "4109846876186981626485318930233205854758970392148714663837852375101326090531312779794975e-"
        "324",
        "1.17549435e-38",
        "1.1754943e-38",
        "1.401298464324817e-45",
        "7.006492321624085e-46",
        "7.006492321624086e-46",
        "7e-46",
        "1e-46",
        "8.371377e-45",
        "1.00000005960464477539062499",
        "1.000000059604644775390625",
        "1.00000005960464477539062501",
        "1.00000017881393432617187499",
        "1.000000178813934326171875",
        "1.00000017881393432617187501",
        "0.500000029802322387695312500000000000000000000000000000000000001",
        "6.3125e-310",
        "1.1125369292536007e-308",
        "3.5844466002796428e298",
        "1.2345678901234567e22",
        "8.5e22",
        "9.5e22",
        "1e22",
        "1e23",
        "5e-20",
        "9007199254740993e3",
        "1090544144181609348671888949248e0",
        "0.000000000000000000000000000000000000000000000000000000000000000000000000000000000001e84",
        "100000000000000000000000000000000000000000000000000000000000000000000000000000000000e-83",
    };
    for (size_t i = 0; i < COUNT(text); i++)
        same_as_libc(text[i]);
}

VT_TEST(every_power_of_ten_is_read_as_the_c_library_does) {
    static const char *const factor[] = {"1", "9", "1.7", "9999999999999999999",
                                         "12345678901234567"};
    for (int ten = -420; ten <= 420; ten++)
        for (size_t i = 0; i < COUNT(factor); i++) {
            char text[64];
            sprintf(text, "%se%d", factor[i], ten);
            same_as_libc(text);
        }
}

/* Reads the middle of two neighbors, and what lies a little below and above it: a digit far behind. */
static void check_middle(uint64_t mantissa, int two, uint64_t low, bool is_float) {
    char text[1300], near[2600];
    exact_text(2 * mantissa + 1, two - 1, text);
    char *exponent = strchr(text, 'e');
    int ten = atoi(exponent + 1);
    *exponent = 0;
    for (int side = -1; side <= 1; side++) {
        size_t n = (size_t)sprintf(near, "%s", text);
        int moved = side ? 30 : 0;
        for (size_t last = n; side < 0; near[last] = '9') { /* one less */
            if (near[--last] == '0')
                continue;
            near[last]--;
            break;
        }
        memset(near + n, side < 0 ? '9' : '0', (size_t)moved);
        n += (size_t)moved;
        if (side > 0)
            near[n - 1] = '1';
        sprintf(near + n, "e%d", ten - moved);
        uint64_t expected = low + (side > 0 || (side == 0 && (low & 1)));
        uint64_t found = is_float ? bits_of_float(read_float(near)) : bits_of(read_double(near));
        if (found != expected)
            vt_fail(__FILE__, __LINE__, "%.60s: %" PRIx64 ", expected %" PRIx64, near, found,
                    expected);
    }
}

static void check_middle_of_bits(uint64_t bits, bool is_float) {
    int stored = is_float ? 23 : 52;
    int exponent = (int)(bits >> stored);
    uint64_t implied = (uint64_t)1 << stored;
    uint64_t mantissa = (bits & (implied - 1)) | (exponent ? implied : 0);
    int least = is_float ? -149 : -1074;
    int two = least + (exponent ? exponent - 1 : 0);
    check_middle(mantissa, two, bits, is_float);
}

VT_TEST(the_middle_of_two_neighbors_goes_to_the_even_one_and_its_surroundings_to_the_nearest) {
    static const uint64_t edge[] = {0, 1, 2, 3};
    static const uint64_t doubles[] = {0x000fffffffffffff, 0x0010000000000000, 0x3ff0000000000000,
                                       0x4340000000000000, 0x7feffffffffffffe, 0x7fefffffffffffff};
    static const uint32_t floats[] = {0x007fffff, 0x00800000, 0x3f800000,
                                      0x4b800000, 0x7f7ffffe, 0x7f7fffff};
    vt_rng rng = {vt_seed()};
    for (size_t i = 0; i < COUNT(edge); i++) {
        check_middle_of_bits(edge[i], false);
        check_middle_of_bits(edge[i], true);
    }
    for (size_t i = 0; i < COUNT(doubles); i++)
        check_middle_of_bits(doubles[i], false);
    for (size_t i = 0; i < COUNT(floats); i++)
        check_middle_of_bits(floats[i], true);
    for (int i = 0; i < 60; i++) {
        check_middle_of_bits(vt_below(&rng, 0x7ff0000000000000), false);
        check_middle_of_bits(vt_below(&rng, 0x7f800000), true);
    }
}

VT_TEST(an_exponent_makes_up_for_any_number_of_zeros) {
    enum { ZEROS = 150000 };
    char *text = malloc(ZEROS + 64);
    memset(text, '0', ZEROS);
    text[1] = '.';
    sprintf(text + ZEROS, "123e%d", ZEROS + 1);
    VT_CHECK(read_double(text) == 123);
    text[0] = '7';
    memset(text + 1, '0', ZEROS);
    sprintf(text + ZEROS, "e-%d", ZEROS);
    VT_CHECK(read_double(text) == strtod("0.7", NULL));
    free(text);
}

VT_TEST(numbers_of_800_and_100000_digits_are_read_as_the_c_library_does) {
    enum { MANY = 100000 };
    vt_rng rng = {vt_seed()};
    char *text = malloc(MANY + 64);
    for (int round = 0; round < 400; round++) {
        size_t n = round % 100 == 0 ? MANY : 700 + (size_t)vt_below(&rng, 200), at = 0;
        size_t zeros = (size_t)vt_below(&rng, 3) ? 0 : (size_t)vt_below(&rng, 400);
        size_t point = (size_t)vt_below(&rng, n - 1);
        for (size_t i = 0; i < n; i++) {
            text[at++] = (char)('0' + (i < zeros ? 0 : vt_below(&rng, 10)));
            if (i == 0)
                text[0] = (char)('1' + vt_below(&rng, 9));
            if (i == point)
                text[at++] = '.';
        }
        if (text[0] != '0' && zeros && point) {
            text[0] = '0';
            memmove(text + 2, text + 1, point); /* the point comes behind the first digit */
            text[1] = '.';
            point = 0;
        }
        sprintf(text + at, "e%d", (int)vt_below(&rng, 600) - 300 - (int)point);
        same_as_libc(text);
    }
    free(text);
}

VT_TEST(leading_and_trailing_zeros_change_nothing) {
    for (int zeros = 0; zeros < 60; zeros++) {
        char text[400];
        sprintf(text, "0.%0*d1234567890123456789e%d", zeros + 1, 0, zeros + 1);
        VT_CHECK(read_double(text) == strtod("0.1234567890123456789", NULL));
        sprintf(text, "12345678901234567%0*de-%d", zeros + 1, 0, zeros + 1);
        VT_CHECK(read_double(text) == strtod("12345678901234567", NULL));
        sprintf(text, "0.5%0*d", zeros + 1, 0);
        VT_CHECK(read_double(text) == 0.5);
    }
}

VT_TEST(random_texts_are_read_as_the_c_library_does) {
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 200000; i++) {
        char text[64];
        uint64_t digits = vt_random(&rng) >> vt_below(&rng, 64);
        int ten = (int)vt_below(&rng, i % 2 ? 40 : 700) - (i % 2 ? 30 : 360);
        if (i % 3)
            sprintf(text, "%" PRIu64 "e%d", digits, ten);
        else
            sprintf(text, "%s%" PRIu64 ".%" PRIu64, i % 2 ? "-" : "", digits % 1000,
                    vt_random(&rng) >> vt_below(&rng, 64));
        same_as_libc(text);
    }
}

/* What vsi_float_take makes of text, from a block of exactly its size. */
static size_t take(const char *text, float *out) {
    size_t n = strlen(text);
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    size_t taken = vsi_float_take(copy, n, out);
    free(copy);
    return taken;
}

VT_TEST(the_common_form_of_floats_is_read_as_every_number_is) {
    static const char *const behind[] = {",", ", ", "]", "e5,", "E-3]", "x", "", " ", ".5", "-"};
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 300000; i++) {
        char text[120];
        int whole = 1 + (int)vt_below(&rng, i % 3 ? 2 : 10), places = (int)vt_below(&rng, 23);
        bool has_point = i % 7;
        const char *rest = behind[vt_below(&rng, COUNT(behind))];
        char *p = text + sprintf(text, "%s", i % 2 ? "-" : "");
        for (int k = 0; k < whole; k++)
            *p++ = (char)('0' + (k || whole == 1 ? 0 : 1) + (int)vt_below(&rng, 9));
        if (has_point)
            *p++ = '.';
        for (int k = 0; has_point && k < places; k++)
            *p++ = (char)('0' + (i % 5 ? (int)vt_below(&rng, 10) : i % 2 * 9));
        sprintf(p, "%s%*s", rest, (int)vt_below(&rng, 40), "");
        float value = 0;
        vsi_decimal decimal;
        size_t n = strlen(text), taken = take(text, &value);
        bool is_number = !vsi_decimal_read((const uint8_t *)text, n, &decimal);
        bool is_point = has_point || *rest == '.';
        places = has_point ? places : 1; /* of rest */
        bool is_taken = is_number && whole <= 7 && *rest != 'e' && *rest != 'E' &&
                        (!is_point || (places <= 18 && whole + places <= 19)) &&
                        n >= VSI_FLOAT_TAKE_BYTES;
        if (taken != (is_taken ? decimal.bytes : 0))
            vt_fail(__FILE__, __LINE__, "'%s': %zu bytes taken", text, taken);
        if (taken && bits_of_float(value) != bits_of_float(vsi_decimal_to_float(&decimal)))
            vt_fail(__FILE__, __LINE__, "'%s' is another number", text);
    }
}

VT_TEST(no_other_form_is_taken_for_the_common_one) {
    static const char *const others[] = {".5",
                                         "-",
                                         "-.5",
                                         "+1.5",
                                         " 1.5",
                                         "1.",
                                         "01.5",
                                         "01",
                                         "-00",
                                         "",
                                         "a.5",
                                         "--1",
                                         "-1.",
                                         "1.a",
                                         "1.-5",
                                         "/.5",
                                         ":.5",
                                         "1e5",
                                         "12E-3",
                                         "12e1",
                                         "1.5e",
                                         "123.",
                                         "/",
                                         "12345678",
                                         "1234567.e",
                                         "12345678.25",
                                         "-00.5",
                                         "0.1234567890123456789",
                                         "1234567.1234567890123"};
    for (size_t i = 0; i < COUNT(others); i++) {
        char text[100];
        float value = 7;
        sprintf(text, "%s,%40s", others[i], "");
        VT_EQ(take(text, &value), 0);
        VT_CHECK(value == 7);
    }
}

VT_TEST(what_is_no_number_is_refused_where_it_stops_to_be_one) {
    static const struct {
        const char *text, *expected;
        size_t at;
    } fault[] = {
        {"", "a value", 0},     {"-", "a value", 1},      {"+1", "a value", 0},
        {".5", "a value", 0},   {"-.5", "a value", 1},    {"1.", "a digit", 2},
        {"1.e5", "a digit", 2}, {"1e", "a digit", 2},     {"1e+", "a digit", 3},
        {"1E-", "a digit", 3},  {"0.5e-x", "a digit", 5}, {"x", "a value", 0},
    };
    for (size_t i = 0; i < COUNT(fault); i++) {
        vsi_decimal decimal;
        const char *text = fault[i].text;
        const char *expected = vsi_decimal_read((const uint8_t *)text, strlen(text), &decimal);
        VT_CHECK(expected);
        VT_STR(expected, fault[i].expected);
        VT_EQ(decimal.bytes, fault[i].at);
    }
}

VT_TEST(a_number_ends_where_something_else_begins) {
    static const struct {
        const char *text;
        size_t bytes;
    } text[] = {{"01", 1}, {"1-", 1}, {"1.5.5", 3}, {"1e5e", 3}, {"12345678,", 8}, {"-0x", 2}};
    for (size_t i = 0; i < COUNT(text); i++) {
        vsi_decimal decimal;
        const uint8_t *at = (const uint8_t *)text[i].text;
        VT_CHECK(!vsi_decimal_read(at, strlen(text[i].text), &decimal));
        VT_EQ(decimal.bytes, text[i].bytes);
    }
}

/* ---- integers ------------------------------------------------------------------------------- */

VT_TEST(integers_are_read_by_value_and_never_rounded) {
    static const struct {
        const char *text;
        int u64, i64;
        uint64_t value;
    } known[] = {
        {"0", 0, 0, 0},
        {"-0", 0, 0, 0},
        {"-0.000e7", 0, 0, 0},
        {"1", 0, 0, 1},
        {"1.0", 0, 0, 1},
        {"1e3", 0, 0, 1000},
        {"0.001e3", 0, 0, 1},
        {"1200e-2", 0, 0, 12},
        {"1250e-2", 1, 1, 0},
        {"0.5", 1, 1, 0},
        {"1e-1", 1, 1, 0},
        {"1e-99999999999999999999", 1, 1, 0},
        {"1e99999999999999999999", 2, 2, 0},
        {"0e99999999999999999999", 0, 0, 0},
        {"-1", 2, 0, (uint64_t)-1},
        {"-1.5", 1, 1, 0},
        {"9007199254740993", 0, 0, 9007199254740993},
        {"9223372036854775807", 0, 0, INT64_MAX},
        {"9223372036854775808", 0, 2, (uint64_t)INT64_MAX + 1},
        {"-9223372036854775808", 2, 0, (uint64_t)INT64_MAX + 1},
        {"-9223372036854775809", 2, 2, 0},
        {"-9223372036854775808.0000", 2, 0, (uint64_t)INT64_MAX + 1},
        {"18446744073709551615", 0, 2, UINT64_MAX},
        {"18446744073709551616", 2, 2, 0},
        {"18446744073709551615.000000000000000000000", 0, 2, UINT64_MAX},
        {"18446744073709551615.000000000000000000001", 1, 1, 0},
        {"1844674407370955161500000e-5", 0, 2, UINT64_MAX},
        {"1844674407370955161500001e-5", 1, 1, 0},
        {"0.000018446744073709551615e24", 0, 2, UINT64_MAX},
        {"1.8446744073709551615e19", 0, 2, UINT64_MAX},
        {"1.8446744073709551615e20", 2, 2, 0},
        {"184467440737095516150", 2, 2, 0},
        {"99999999999999999999", 2, 2, 0},
        {"10000000000000000000000000000000000000000", 2, 2, 0},
        {"10000000000000000000", 0, 2, 10000000000000000000u},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        vsi_decimal decimal = scan(known[i].text);
        uint64_t u64 = 7;
        int64_t i64 = 7;
        vt_at(known[i].text, i);
        VT_EQ(vsi_decimal_to_u64(&decimal, &u64), known[i].u64);
        VT_CHECK(u64 == (known[i].u64 ? 7 : known[i].value));
        VT_EQ(vsi_decimal_to_i64(&decimal, &i64), known[i].i64);
        VT_CHECK((uint64_t)i64 == (known[i].i64 ? 7 : known[i].value));
    }
    vt_at(NULL, 0);
}

VT_TEST(random_integers_are_read_exactly) {
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 100000; i++) {
        char text[64];
        uint64_t value = vt_random(&rng) >> vt_below(&rng, 64), u64 = 0;
        int64_t i64 = 0;
        sprintf(text, "%" PRIu64, value);
        vsi_decimal decimal = scan(text);
        VT_EQ(vsi_decimal_to_u64(&decimal, &u64), VSI_INTEGER);
        VT_CHECK(u64 == value);
        sprintf(text, "%" PRId64, (int64_t)value);
        decimal = scan(text);
        VT_EQ(vsi_decimal_to_i64(&decimal, &i64), VSI_INTEGER);
        VT_CHECK(i64 == (int64_t)value);
    }
}

/* ---- writing -------------------------------------------------------------------------------- */

typedef char number_text[VSI_NUMBER_TEXT_BYTES + 1];

static void write_double(double value, number_text out) {
    size_t n = vsi_double_write(value, out);
    VT_CHECK(n > 0 && n <= VSI_NUMBER_TEXT_BYTES);
    out[n] = 0;
}

static void write_float(float value, number_text out) {
    size_t n = vsi_float_write(value, out);
    VT_CHECK(n > 0 && n <= VSI_NUMBER_TEXT_BYTES);
    out[n] = 0;
}

VT_TEST(numbers_are_written_in_the_shortest_form) {
    static const struct {
        double value;
        const char *text;
    } known[] = {
        {0, "0"},
        {-0.0, "-0"},
        {1, "1"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {100, "100"},
        {123456789, "123456789"},
        {1e15, "1000000000000000"},
        {1e16, "10000000000000000"},
        {12345678901234568e0, "12345678901234568"},
        {1e17, "1e+17"},
        {1.5e300, "1.5e+300"},
        {0.00001, "0.00001"},
        {-0.00001234567890123456, "-0.00001234567890123456"},
        {0.000001, "1e-6"},
        {1.25e-7, "1.25e-7"},
        {9007199254740992, "9007199254740992"},
        {5e-324, "5e-324"},
        {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {9.5e22, "9.5e+22"},
        {1e23, "1e+23"},
        {2e-44, "2e-44"},
    };
    number_text text;
    for (size_t i = 0; i < COUNT(known); i++) {
        write_double(known[i].value, text);
        VT_STR(text, known[i].text);
    }
    write_float(0.1f, text);
    VT_STR(text, "0.1");
    write_float(16777216.0f, text);
    VT_STR(text, "16777216");
    write_float(3.4028235e38f, text);
    VT_STR(text, "3.4028235e+38");
    write_float(1e-45f, text);
    VT_STR(text, "1e-45");
    write_float(-1.1754944e-38f, text);
    VT_STR(text, "-1.1754944e-38");
    write_float(33554432.0f, text);
    VT_STR(text, "33554432");
    write_float(8589934592.0f, text);
    VT_STR(text, "8589935000");
}

/* Significant digits of a text, without leading and trailing zeros. */
static int digits_of(const char *text, char *out) {
    int n = 0;
    for (; *text && *text != 'e'; text++)
        if (*text >= '0' && *text <= '9' && (n || *text != '0'))
            out[n++] = *text;
    while (n > 0 && out[n - 1] == '0')
        n--;
    out[n] = 0;
    return n;
}

/* No text with a digit less reads back, and of those with as many digits this is the nearest: where the
 * C library's rounded one reads back it is the same. */
static void check_shortest(double value, const char *text, bool is_float) {
    char digits[64], libc[64], libc_digits[64];
    int n = digits_of(text, digits);
    for (int less = 1; less >= 0 && n - less > 0; less--) {
        snprintf(libc, sizeof libc, "%.*e", n - less - 1, value);
        double back = is_float ? (double)strtof(libc, NULL) : strtod(libc, NULL);
        if (less && back == value)
            vt_fail(__FILE__, __LINE__, "%s is shorter than %s", libc, text);
        digits_of(libc, libc_digits);
        if (!less && back == value && strcmp(digits, libc_digits))
            vt_fail(__FILE__, __LINE__, "%s is nearer than %s", libc, text);
    }
}

static void check_double(double value, bool is_thorough) {
    number_text text;
    if (!isfinite(value))
        return;
    write_double(value, text);
    if (bits_of(read_double(text)) != bits_of(value) ||
        (is_thorough && bits_of(strtod(text, NULL)) != bits_of(value)))
        vt_fail(__FILE__, __LINE__, "%a is written %s", value, text);
    if (is_thorough)
        check_shortest(value, text, false);
}

static void check_float(float value, bool is_thorough) {
    number_text text;
    if (!isfinite(value))
        return;
    write_float(value, text);
    if (bits_of_float(read_float(text)) != bits_of_float(value) ||
        (is_thorough && bits_of_float(strtof(text, NULL)) != bits_of_float(value)))
        vt_fail(__FILE__, __LINE__, "%a is written %s", (double)value, text);
    if (is_thorough)
        check_shortest((double)value, text, true);
}

VT_TEST(every_power_of_two_and_its_neighbors_are_written_shortest) {
    for (uint64_t exponent = 0; exponent < 0x7ff; exponent++)
        for (uint64_t step = 0; step < 5; step++)
            if (exponent || step >= 2)
                check_double(double_of((exponent << 52) + step - 2), true);
    for (uint32_t exponent = 0; exponent < 0xff; exponent++)
        for (uint32_t step = 0; step < 5; step++)
            if (exponent || step >= 2)
                check_float(float_of((exponent << 23) + step - 2), true);
    for (int bit = 0; bit < 52; bit++)
        check_double(double_of((uint64_t)1 << bit), true);
    for (int bit = 0; bit < 23; bit++)
        check_float(float_of((uint32_t)1 << bit), true);
}

VT_TEST(every_power_of_ten_is_written_as_one) {
    for (int ten = -323; ten <= 308; ten++) {
        char text[16], digits[32];
        number_text found;
        sprintf(text, "1e%d", ten);
        write_double(strtod(text, NULL), found);
        VT_EQ(digits_of(found, digits), 1);
        VT_STR(digits, "1");
        VT_CHECK(strtod(found, NULL) == strtod(text, NULL));
    }
}

/* w * 10^ten with few digits in the very middle of two numbers: w * 5^ten has one bit too many. */
static void check_short_middle(vt_rng *rng, int ten, int bits, bool is_float) {
    uint64_t five = 1, low = (uint64_t)1 << (bits - 1), digits = 0;
    for (int i = 0; i < (ten < 0 ? -ten : ten); i++)
        five *= 5;
    if (ten < 0) { /* w / 10^-ten is odd * 2^ten */
        digits = low + vt_below(rng, low);
        digits |= 1;
        if (digits > UINT64_MAX / five)
            return;
        digits *= five;
    } else {
        digits = low / five + 1 + vt_below(rng, low / five + 1);
        digits |= 1;
        if (digits * five < low || digits * five >= 2 * low)
            return;
    }
    char text[64];
    sprintf(text, "%" PRIu64 "e%d", digits, ten);
    same_as_libc(text);
    /* The text is a border of what reads as the number, and the shortest may be such a border. */
    if (is_float)
        check_float(strtof(text, NULL), true);
    else
        check_double(strtod(text, NULL), true);
}

VT_TEST(short_texts_in_the_middle_of_two_numbers_go_to_the_even_one) {
    vt_rng rng = {vt_seed()};
    for (int ten = -26; ten <= 26; ten++)
        for (int i = 0; i < 400; i++) {
            check_short_middle(&rng, ten, 54, false);
            check_short_middle(&rng, ten, 25, true);
        }
    same_as_libc("3e10");
    same_as_libc("1e23");
}

VT_TEST(random_numbers_are_written_shortest_and_read_back) {
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 500000; i++) {
        bool is_thorough = i % 8 == 0;
        uint64_t bits = vt_random(&rng);
        check_double(double_of(bits), is_thorough);
        check_float(float_of((uint32_t)bits), is_thorough);
        /* As embeddings are. */
        check_float((float)(vt_uniform(&rng) * 2 - 1), is_thorough);
        check_double(vt_uniform(&rng) * 2 - 1, is_thorough);
    }
}

VT_TEST(floats_from_all_over_the_range_are_written_and_read_back) {
    uint32_t step = getenv("VT_LONG") ? 1 : 6131;
    for (uint64_t bits = 0; bits < 0x7f800000; bits += step)
        check_float(float_of((uint32_t)bits), bits % 64 == 0);
}

VT_TEST(whole_numbers_and_short_decimals_are_written_as_they_are) {
    for (int i = 0; i < 100000; i++) {
        char text[32];
        number_text found;
        sprintf(text, "%d", i);
        write_double(i, found);
        VT_STR(found, text);
        write_float((float)i, found);
        VT_STR(found, text);
        sprintf(text, "0.%05d", i);
        for (size_t n = strlen(text); i && text[n - 1] == '0'; n--)
            text[n - 1] = 0;
        write_double(i / 100000.0, found);
        VT_STR(found, i ? text : "0");
        write_float((float)i / 100000.0f, found);
        VT_STR(found, i ? text : "0");
    }
}
