/* number.c - decimal text to binary numbers and back.
 *
 * Reading follows Lemire, "Number Parsing at a Gigabyte per Second" (2021, arXiv 2101.11408): one or two
 * products with a power of five of 128 bits. That these always decide for up to 19 digits is shown by
 * Mushtak and Lemire, "Fast Number Parsing Without Fallback" (2022, arXiv 2212.06644). The fast path with
 * divisions of doubles (Clinger 1990) is left out: it is no faster, and wrong when the host has chosen another
 * rounding mode or the processor computes with 80 bits.
 *
 * Writing follows Giulietti, "The Schubfach way to render doubles" (2020), with the same powers.
 *
 *   N1  Digits behind the 19th matter only when they decide between two neighbors; then the digits are
 *       compared with the middle of these in long integers (number_against_middle).
 *   N2  The bits of a format without sign, as an integer, are in the order of their values: the next
 *       larger number has the next larger bits, and infinity follows the largest one. */
#include "base/number.h"
#include "base/bytes.h"

enum { DIGITS_MAX = 19, POWER_MIN = -342, POWER_MAX = 324 };

/* 5^POWER_MIN to 5^POWER_MAX, scaled by powers of two to [2^127, 2^128): the upper word, the lower one. Cut
 * off where they are not exact; -27 to -1 are rounded up, as reading needs them. */
static const uint64_t number_powers[POWER_MAX - POWER_MIN + 1][2] = {
#include "base/powers.inc"
};

typedef struct number_format {
    int mantissa_bits;  /* stored; one more is implied */
    int exponent_min;   /* of two, of what is not normal; negated: the bias of the exponent */
    int exponent_limit; /* the biased one of infinity */
    int ten_min; /* 19 digits with a smaller power of ten are nearer to 0 than to anything else */
    int ten_max; /* any digit with a larger one is beyond the range */
    int tie_min,
        tie_max; /* powers of ten with which 19 digits can lie in the middle of two numbers */
} number_format;

static const number_format number_double = {52, -1023, 0x7ff, -342, 308, -4, 23};
static const number_format number_float = {23, -127, 0xff, -64, 38, -17, 10};

/* ---- scanning ------------------------------------------------------------------------------- */

static bool number_is_digit(const uint8_t *p, const uint8_t *end) {
    return p < end && (uint8_t)(*p - '0') <= 9;
}

/* How many digits 8 bytes begin with, the first one lowest: bytes whose upper half is 3, and still 3 when 6 was
 * added. What a byte that is none carries into those behind it does not matter. */
static int number_count_digits(uint64_t word) {
    const uint64_t upper = 0xf0f0f0f0f0f0f0f0u;
    uint64_t halves = (word & upper) | ((word + 0x0606060606060606u) & upper) >> 4;
    uint64_t marks = halves ^ 0x3333333333333333u;
    return marks ? vsi_trailing_zeros(marks) / 8 : 8;
}

/* Neighbors are joined to numbers of two, four and eight digits; the first digit is in the lowest byte. */
static uint64_t number_of_8_digits(uint64_t word) {
    word = (word & 0x0f0f0f0f0f0f0f0fu) * (1 + (10 << 8)) >> 8;
    word = (word & 0x00ff00ff00ff00ffu) * (1 + (100 << 16)) >> 16;
    return (word & 0x0000ffff0000ffffu) * (1 + ((uint64_t)10000 << 32)) >> 32;
}

/* Appends digits to a number, which wraps when they are too many. Returns where they end. */
static const uint8_t *number_take_digits(const uint8_t *p, const uint8_t *end, uint64_t *digits) {
    static const uint32_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    uint64_t value = *digits;
    for (int count = 8; count == 8 && end - p >= 8; p += count) {
        uint64_t word = vsi_get_u64(p);
        count = number_count_digits(word);
        if (count) /* zeros come in front of fewer than 8 */
            value = value * tens[count] + number_of_8_digits(word << (64 - 8 * count));
    }
    for (; number_is_digit(p, end); p++)
        value = value * 10 + (uint64_t)(*p - '0');
    *digits = value;
    return p;
}

/* Whether of count digits more than 19 are significant. */
static bool number_is_long(const uint8_t *p, size_t count) {
    for (; count > DIGITS_MAX && (*p == '0' || *p == '.'); p++)
        count -= *p == '0';
    return count > DIGITS_MAX;
}

/* The digits of a number that has more than 19, up to its exponent. */
static void number_take_long(const uint8_t *p, const uint8_t *end, vsi_decimal *out) {
    int taken = 0;
    out->digits = 0;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        uint8_t digit = (uint8_t)(*p - '0');
        if (*p == '.')
            continue;
        if (taken < DIGITS_MAX) {
            out->digits = out->digits * 10 + digit;
            taken += out->digits != 0;
        } else {
            out->exponent++;
            out->is_cut = out->is_cut || digit;
        }
    }
}

/* The exponent behind an 'e', added to out->exponent; no text is so long that it could undo one of 10^17. */
static const uint8_t *number_take_exponent(const uint8_t *p, const uint8_t *end, vsi_decimal *out) {
    bool is_negative = p < end && *p == '-';
    int64_t value = 0;
    p += p < end && (*p == '-' || *p == '+');
    for (; number_is_digit(p, end); p++)
        if (value < 100000000000000000)
            value = value * 10 + (*p - '0');
    out->exponent += is_negative ? -value : value;
    return p;
}

static const char *number_expected(vsi_decimal *out, const uint8_t *at, const char *expected) {
    out->bytes = (size_t)(at - out->text);
    return expected;
}

VSI_FN const char *vsi_decimal_read(const uint8_t *text, size_t n, vsi_decimal *out) {
    const uint8_t *p = text, *end = text + n;
    *out = (vsi_decimal){.text = text, .is_negative = n && *p == '-'};
    p += out->is_negative;
    const uint8_t *first = p;
    p = p < end && *p == '0' ? p + 1 : number_take_digits(p, end, &out->digits);
    if (p == first)
        return number_expected(out, p, "a value");
    size_t count = (size_t)(p - first);
    if (p < end && *p == '.') {
        const uint8_t *fraction = ++p;
        p = number_take_digits(p, end, &out->digits);
        if (p == fraction)
            return number_expected(out, p, "a digit");
        count += (size_t)(p - fraction);
        out->exponent = fraction - p;
    }
    if (number_is_long(first, count))
        number_take_long(first, p, out);
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = number_take_exponent(p + 1, end, out);
        if (!number_is_digit(p - 1, end))
            return number_expected(out, p, "a digit");
    }
    out->bytes = (size_t)(p - text);
    return NULL;
}

/* ---- to binary ------------------------------------------------------------------------------ */

/* floor(power * log2(10)), exact for the powers in use. */
static int number_log2_of_ten(int power) {
    return (power * 217706 - (power < 0 ? 65535 : 0)) / 65536;
}

/* digits * 10^power as bits of the format, rounded. digits is not 0. Inline, so that shifts by what a format has are
 * constants: a tenth of the time that a float takes. */
static inline uint64_t number_round(uint64_t digits, int64_t power, const number_format *f) {
    if (power < f->ten_min)
        return 0;
    if (power > f->ten_max)
        return (uint64_t)f->exponent_limit << f->mantissa_bits;
    const uint64_t *five = number_powers[power - POWER_MIN];
    int zeros = vsi_leading_zeros(digits);
    int spare =
        64 - f->mantissa_bits - 3; /* bits behind the mantissa, the implied bit and two to round */
    uint64_t low, high = vsi_mul_u64(digits << zeros, five[0], &low);
    if ((high << (64 - spare)) == (uint64_t)-1 << (64 - spare)) {
        /* The lower word's product could carry into the mantissa. */
        uint64_t unused, more = vsi_mul_u64(digits << zeros, five[1], &unused);
        low += more;
        high += low < more;
    }
    int upper = (int)(high >> 63);
    uint64_t mantissa = high >> (upper + spare);
    int exponent = number_log2_of_ten((int)power) + 63 + upper - zeros - f->exponent_min;
    if (exponent <= 0) {
        if (exponent <= -63)
            return 0;
        mantissa >>= 1 - exponent;
        mantissa += mantissa & 1;
        return mantissa >> 1; /* keeps N2: one that became normal has exponent 1 */
    }
    bool is_tie = low <= 1 && power >= f->tie_min && power <= f->tie_max && (mantissa & 3) == 1 &&
                  mantissa << (upper + spare) == high;
    mantissa += is_tie ? 0 : mantissa & 1;
    uint64_t bits = ((uint64_t)(exponent - 1) << f->mantissa_bits) + (mantissa >> 1);
    uint64_t infinity = (uint64_t)f->exponent_limit << f->mantissa_bits;
    return bits < infinity ? bits : infinity;
}

/* Long integers, the least significant limb first. Both sides of a comparison have at most 2,700 bits: 781
 * digits on one, 54 bits times 5^1106 on the other, and a shift that makes them about equal. */
enum { BIG_LIMBS = 88, BIG_DIGITS_MAX = 780 };

typedef struct number_big {
    uint32_t limb[BIG_LIMBS];
    int count; /* limbs in use */
} number_big;

static void big_multiply_add(number_big *a, uint32_t factor, uint32_t summand) {
    uint64_t carry = summand;
    for (int i = 0; i < a->count; i++) {
        carry += (uint64_t)a->limb[i] * factor;
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) {
        vsi_assert(a->count < BIG_LIMBS);
        a->limb[a->count++] = (uint32_t)carry;
    }
}

static void big_multiply_five(number_big *a, int64_t power) {
    for (; power >= 13; power -= 13)
        big_multiply_add(a, 1220703125, 0); /* 5^13 */
    for (; power > 0; power--)
        big_multiply_add(a, 5, 0);
}

static void big_shift(number_big *a, int64_t bits) {
    int limbs = (int)(bits / 32);
    vsi_assert(a->count + limbs < BIG_LIMBS);
    big_multiply_add(a, (uint32_t)1 << bits % 32, 0);
    memmove(a->limb + limbs, a->limb, (size_t)a->count * sizeof a->limb[0]);
    memset(a->limb, 0, (size_t)limbs * sizeof a->limb[0]);
    a->count += limbs;
}

static int big_compare(const number_big *a, const number_big *b) {
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (int i = a->count - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* The digits of a number, without its point. What follows 780 of them is 1 or nothing: the middle of two
 * doubles has at most 767. Returns the power of ten of the last one. */
static int64_t big_of_digits(number_big *a, const vsi_decimal *decimal) {
    const uint8_t *p = decimal->text + decimal->is_negative, *end = decimal->text + decimal->bytes;
    int used = 0;
    bool has_rest = false;
    for (a->count = 0; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.' || (*p == '0' && !used))
            continue;
        if (used < BIG_DIGITS_MAX) {
            big_multiply_add(a, 10, (uint32_t)(*p - '0'));
            used++;
        } else {
            has_rest = has_rest || *p != '0';
        }
    }
    if (has_rest) {
        big_multiply_add(a, 10, 1);
        used++;
    }
    return decimal->exponent + DIGITS_MAX - used;
}

/* Whether a number is below (-1), at (0) or above (1) the middle between the value of bits and the next. */
static int number_against_middle(const vsi_decimal *decimal, uint64_t bits,
                                 const number_format *f) {
    uint64_t implied = (uint64_t)1 << f->mantissa_bits;
    int exponent = (int)(bits >> f->mantissa_bits);
    uint64_t mantissa = (bits & (implied - 1)) | (exponent ? implied : 0);
    uint64_t twice = 2 * mantissa + 1; /* the middle is twice * 2^two */
    int64_t two = (exponent ? exponent : 1) + f->exponent_min - f->mantissa_bits - 1;
    number_big digits, middle = {.limb = {(uint32_t)twice, (uint32_t)(twice >> 32)}};
    int64_t ten = big_of_digits(&digits, decimal);
    middle.count = twice >> 32 ? 2 : 1;
    big_multiply_five(ten < 0 ? &middle : &digits, ten < 0 ? -ten : ten);
    int64_t shift = ten - two;
    big_shift(shift < 0 ? &middle : &digits, shift < 0 ? -shift : shift);
    return big_compare(&digits, &middle);
}

static uint64_t number_bits(const vsi_decimal *decimal, const number_format *f) {
    if (!decimal->digits)
        return 0;
    uint64_t bits = number_round(decimal->digits, decimal->exponent, f);
    if (!decimal->is_cut || bits == number_round(decimal->digits + 1, decimal->exponent, f))
        return bits;
    int side = number_against_middle(decimal, bits, f); /* keeps N1 */
    return bits + (side > 0 || (side == 0 && (bits & 1)));
}

VSI_FN double vsi_decimal_to_double(const vsi_decimal *decimal) {
    uint64_t bits = number_bits(decimal, &number_double) | (uint64_t)decimal->is_negative << 63;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

VSI_FN float vsi_decimal_to_float(const vsi_decimal *decimal) {
    uint32_t bits = (uint32_t)number_bits(decimal, &number_float) | (uint32_t)decimal->is_negative
                                                                        << 31;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- the common form ------------------------------------------------------------------------ */

/* The number that the first digits of 8 bytes make. */
static uint64_t number_of_digits(uint64_t word, int digits) {
    int half = 4 * (8 - digits); /* zeros come in front, in two steps: there is no shift by 64 */
    return number_of_8_digits(word << half << half);
}

static bool number_is_e(uint8_t c) {
    return c == 'e' || c == 'E';
}

/* An integer of digits bytes behind its sign, which a float has exactly: it is below 2^24. */
static size_t number_take_whole(uint32_t value, uint8_t behind, uint32_t sign, size_t digits,
                                float *out) {
    if (number_is_e(behind))
        return 0;
    float number = (float)value;
    *out = sign ? -number : number;
    return sign + digits;
}

VSI_FN size_t vsi_float_take(const uint8_t *text, size_t n, float *out) {
    static const uint64_t tens[] = {1,
                                    10,
                                    100,
                                    1000,
                                    10000,
                                    100000,
                                    1000000,
                                    10000000,
                                    100000000,
                                    1000000000,
                                    10000000000,
                                    100000000000,
                                    1000000000000,
                                    10000000000000,
                                    100000000000000,
                                    1000000000000000,
                                    10000000000000000};
    if (n < VSI_FLOAT_TAKE_BYTES)
        return 0;
    uint32_t sign = text[0] == '-';
    const uint8_t *p = text + sign;
    uint64_t whole = (uint64_t)p[0] - '0';
    int front = 1; /* digits before the point */
    if (whole > 9)
        return 0;
    if (p[1] != '.') {
        uint64_t word = vsi_get_u64(p);
        front = number_count_digits(word);
        if (front == 8 || (!whole && front > 1))
            return 0;
        whole = number_of_digits(word, front);
        if (p[front] != '.')
            return number_take_whole((uint32_t)whole, p[front], sign, (size_t)front, out);
    }
    /* Without branches: how many digits there are cannot be foretold. */
    const uint8_t *fraction = p + front + 1;
    uint64_t first = vsi_get_u64(fraction), second = vsi_get_u64(fraction + 8);
    int count = number_count_digits(first), more = number_count_digits(second);
    more = count == 8 ? more : 0;
    int places = count + more;
    uint64_t digits = whole * tens[places] + number_of_digits(first, count) * tens[more] +
                      number_of_digits(second, more);
    if (more == 8) { /* a float that was printed as a double */
        uint64_t third = vsi_get_u64(fraction + 16);
        more = number_count_digits(third);
        if (more > 2)
            return 0;
        digits = digits * tens[more] + number_of_digits(third, more);
        places += more;
    }
    if (!places || front + places > DIGITS_MAX || number_is_e(fraction[places]))
        return 0;
    uint64_t bits = digits ? number_round(digits, -places, &number_float) : 0;
    uint32_t word = (uint32_t)bits | sign << 31;
    memcpy(out, &word, sizeof word);
    return sign + (size_t)front + 1 + (size_t)places;
}

/* ---- to integers ---------------------------------------------------------------------------- */

static bool integer_append(uint64_t *value, uint8_t digit) {
    if (*value > (UINT64_MAX - digit) / 10)
        return false;
    *value = *value * 10 + digit;
    return true;
}

/* More than 19 significant digits, the last ones not 0: that of an integer has a power of 0 or more. */
static int integer_of_long(const vsi_decimal *decimal, uint64_t *out) {
    const uint8_t *p = decimal->text + decimal->is_negative, *end = decimal->text + decimal->bytes;
    int64_t ten = decimal->exponent + DIGITS_MAX; /* of the digit before the one at p */
    uint64_t value = 0;
    bool has_begun = false, fits = true;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        has_begun = has_begun || (*p != '0' && *p != '.');
        if (*p == '.' || !has_begun)
            continue;
        if (--ten >= 0)
            fits = fits && integer_append(&value, (uint8_t)(*p - '0'));
        else if (*p != '0')
            return VSI_INTEGER_FRACTION;
    }
    for (; fits && ten > 0; ten--)
        fits = integer_append(&value, 0);
    *out = value;
    return fits ? VSI_INTEGER : VSI_INTEGER_RANGE;
}

/* Without the sign. */
static int integer_size(const vsi_decimal *decimal, uint64_t *out) {
    if (decimal->is_cut)
        return integer_of_long(decimal, out);
    uint64_t value = decimal->digits;
    int64_t ten = decimal->exponent;
    for (; value && ten < 0; ten++, value /= 10)
        if (value % 10)
            return VSI_INTEGER_FRACTION;
    for (; value && ten > 0; ten--)
        if (!integer_append(&value, 0))
            return VSI_INTEGER_RANGE;
    *out = value;
    return VSI_INTEGER;
}

VSI_FN int vsi_decimal_to_u64(const vsi_decimal *decimal, uint64_t *out) {
    uint64_t value = 0;
    int result = integer_size(decimal, &value);
    if (result == VSI_INTEGER && decimal->is_negative && value)
        result = VSI_INTEGER_RANGE;
    if (result == VSI_INTEGER)
        *out = value;
    return result;
}

VSI_FN int vsi_decimal_to_i64(const vsi_decimal *decimal, int64_t *out) {
    uint64_t value = 0;
    int result = integer_size(decimal, &value);
    if (result == VSI_INTEGER && value > (uint64_t)INT64_MAX + decimal->is_negative)
        result = VSI_INTEGER_RANGE;
    if (result != VSI_INTEGER)
        return result;
    /* The least integer has no positive counterpart. */
    *out = !decimal->is_negative ? (int64_t)value : value ? -(int64_t)(value - 1) - 1 : 0;
    return VSI_INTEGER;
}

/* ---- to text -------------------------------------------------------------------------------- */

typedef struct number_short {
    uint64_t digits; /* at most 17 */
    int ten;
} number_short;

/* The upper 64 bits of factor * 10^power, scaled as in the table, the lowest bit set when anything that is
 * no error of the table is left behind them (Giulietti's rounding to odd). */
static uint64_t short_scale(uint64_t factor, int power) {
    const uint64_t *five = number_powers[power - POWER_MIN];
    bool is_cut = power < -27 || power > 55; /* Schubfach wants what is not exact rounded up */
    uint64_t unused, middle;
    uint64_t carried =
        vsi_mul_u64(factor, five[1] + is_cut, &unused); /* no entry ends in all ones */
    uint64_t result = vsi_mul_u64(factor, five[0], &middle);
    middle += carried;
    result += middle < carried;
    return result | (middle > 1);
}

/* floor(log10(2^two)), or with is_first floor(log10(3/4 * 2^two)); exact for |two| below 1,500. */
static int number_log10(int two, bool is_first) {
    int scaled = two * 1262611 - (is_first ? 524031 : 0); /* log10(2) and -log10(3/4), times 2^22 */
    return (scaled - (scaled < 0 ? 4194303 : 0)) / 4194304;
}

/* The shortest digits within half a step of mantissa * 2^two, the nearest when there are several. On the
 * lower side the step is half as large when is_first, a power of two. Section 9 of the paper. */
static number_short short_find(uint64_t mantissa, int two, bool is_first) {
    int ten = number_log10(two, is_first);
    int shift = two + number_log2_of_ten(-ten) + 1;
    uint64_t lower = short_scale((4 * mantissa - 2 + is_first) << shift, -ten) + (mantissa & 1);
    uint64_t value = short_scale((4 * mantissa) << shift, -ten);
    uint64_t upper = short_scale((4 * mantissa + 2) << shift, -ten) - (mantissa & 1);
    uint64_t digits = value / 4, fewer = digits / 10;
    if (digits >= 10) {
        bool has_low = lower <= 40 * fewer, has_high = 40 * fewer + 40 <= upper;
        if (has_low != has_high)
            return (number_short){fewer + has_high, ten + 1};
    }
    bool has_low = lower <= 4 * digits, has_high = 4 * digits + 4 <= upper;
    if (has_low != has_high)
        return (number_short){digits + has_high, ten};
    uint64_t middle = 4 * digits + 2;
    return (number_short){digits + (value > middle || (value == middle && (digits & 1))), ten};
}

/* Appends digits, with a point before those of the last decimals places when there are any. */
static size_t short_put(char *out, uint64_t digits, int count, int decimals) {
    size_t n = (size_t)(count + (decimals > 0));
    for (size_t at = n; at > 0; digits /= 10) {
        if (decimals-- == 0 && at < n)
            out[--at] = '.';
        out[--at] = (char)('0' + digits % 10);
    }
    return n;
}

static size_t short_put_exponent(char *out, int exponent) {
    int size = exponent < 0 ? -exponent : exponent;
    out[0] = 'e';
    out[1] = exponent < 0 ? '-' : '+';
    return 2 + short_put(out + 2, (uint64_t)size, size < 10 ? 1 : size < 100 ? 2 : 3, 0);
}

/* Numbers from 0.00001 up to 17 places are written out, all others as d.ddde+xx. */
static size_t short_print(number_short s, bool is_negative, char *out) {
    size_t n = 0;
    int count = 1;
    for (; s.digits && s.digits % 10 == 0; s.ten++)
        s.digits /= 10;
    for (uint64_t rest = s.digits; rest >= 10; rest /= 10)
        count++;
    int exponent = count - 1 + s.ten;
    if (is_negative)
        out[n++] = '-';
    if (exponent < -5 || exponent > 16) {
        n += short_put(out + n, s.digits, count, count - 1);
        return n + short_put_exponent(out + n, exponent);
    }
    if (exponent < 0) {
        memcpy(out + n, "0.0000", 6);
        n += (size_t)(1 - exponent);
        return n + short_put(out + n, s.digits, count, 0);
    }
    n += short_put(out + n, s.digits, count, s.ten < 0 ? -s.ten : 0);
    for (; s.ten > 0; s.ten--)
        out[n++] = '0';
    return n;
}

static size_t short_write(uint64_t bits, bool is_negative, const number_format *f, char *out) {
    uint64_t implied = (uint64_t)1 << f->mantissa_bits;
    int exponent = (int)(bits >> f->mantissa_bits);
    uint64_t mantissa = bits & (implied - 1);
    number_short s = {0, 0};
    if (bits)
        s = short_find(mantissa | (exponent ? implied : 0),
                       (exponent ? exponent : 1) + f->exponent_min - f->mantissa_bits,
                       !mantissa && exponent > 1);
    return short_print(s, is_negative, out);
}

VSI_FN size_t vsi_double_write(double value, char out[VSI_NUMBER_TEXT_BYTES]) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return short_write(bits & INT64_MAX, bits >> 63, &number_double, out);
}

VSI_FN size_t vsi_float_write(float value, char out[VSI_NUMBER_TEXT_BYTES]) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return short_write(bits & INT32_MAX, bits >> 31, &number_float, out);
}
