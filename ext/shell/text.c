/* text.c - numbers and names as text. The program sets no locale but that of characters, so the C library
 * reads and writes numbers with a point. */
#include "text.h"
#include "vecstore.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Digits are enough when they read back as the same number. */
static bool reads_back(const char *text, double value, bool is_float) {
    return is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value;
}

static void print_shortest(double value, bool is_float, char out[TEXT_DOUBLE_BYTES]) {
    int digits = 1;
    for (; digits <= 17; digits++) {
        snprintf(out, TEXT_DOUBLE_BYTES, "%.*g", digits, value);
        if (reads_back(out, value, is_float))
            break;
    }
    /* The same digits without an exponent, unless it is a large one. */
    char scientific[TEXT_DOUBLE_BYTES];
    snprintf(scientific, sizeof scientific, "%.*e", digits > 17 ? 16 : digits - 1, value);
    int exponent = atoi(strchr(scientific, 'e') + 1);
    if (value == 0 || exponent < -5 || exponent >= 15)
        return;
    int decimals = digits - 1 - exponent;
    snprintf(out, TEXT_DOUBLE_BYTES, "%.*f", decimals > 0 ? decimals : 0, value);
}

void text_double(double value, char out[TEXT_DOUBLE_BYTES]) {
    print_shortest(value, false, out);
}

void text_float(float value, char out[TEXT_DOUBLE_BYTES]) {
    print_shortest((double)value, true, out);
}

void text_quote(const char *word, char *out, size_t out_bytes) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:,+@%";
    size_t n = 0;
    if (*word && !word[strspn(word, plain)] && *word != '-') {
        snprintf(out, out_bytes, "%s", word);
        return;
    }
    for (out[n++] = '\''; *word && n + 6 < out_bytes; word++) {
        if (*word == '\'') {
            memcpy(out + n, "'\\''", 4);
            n += 4;
        } else {
            out[n++] = *word;
        }
    }
    out[n++] = '\'';
    out[n] = 0;
}

bool text_to_u64(const char *text, uint64_t *out_value) {
    char *end = NULL;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*end || errno)
        return false;
    *out_value = value;
    return true;
}

size_t text_utf8_bytes(const char *text, size_t bytes) {
    const uint8_t *p = (const uint8_t *)text;
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc2 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf5 ? 4
                             : 0;
    if (!n || n > bytes)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* No longer than needed, no surrogates, nothing above U+10FFFF. */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static size_t smallest(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* How many characters must be changed, added or removed to make one word of the other. */
static size_t edit_distance(const char *a, const char *b) {
    enum { MOST = 40 };
    size_t row[MOST + 1], n = strlen(b);
    if (n > MOST || strlen(a) > MOST)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; *a; i++, a++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            row[j] = smallest(row[j - 1] + 1, above + 1, diagonal + (*a != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

const char *text_nearest(const char *word, const char *(*name)(const void *ctx, size_t at),
                         const void *ctx) {
    size_t length = strlen(word), most = length < 3 ? 1 : length < 6 ? 2 : 3;
    const char *best = NULL;
    for (size_t i = 0; name(ctx, i); i++) {
        size_t distance = edit_distance(word, name(ctx, i));
        if (distance > most)
            continue;
        best = name(ctx, i);
        most = distance - (distance > 0); /* from here on only a nearer one */
    }
    return best;
}

static const char *skip_space(const char *p) {
    return p + strspn(p, " \t\r\n");
}

static const char *skip_digits(const char *p) {
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

/* Behind the number at p, as JSON writes numbers; NULL: there is none. */
static const char *skip_number(const char *p) {
    p += *p == '-';
    const char *digits = p;
    p = *p == '0' ? p + 1 : skip_digits(p);
    if (p == digits)
        return NULL;
    if (*p == '.') {
        digits = p + 1;
        p = skip_digits(digits);
        if (p == digits)
            return NULL;
    }
    if (*p == 'e' || *p == 'E') {
        p += p[1] == '+' || p[1] == '-' ? 2 : 1;
        digits = p;
        p = skip_digits(p);
        if (p == digits)
            return NULL;
    }
    return p;
}

bool text_to_double(const char *text, double *out_value) {
    const char *end = skip_number(text);
    bool is_infinite = !strcmp(text, "inf") || !strcmp(text, "-inf");
    if (!is_infinite && (!end || *end))
        return false;
    double value = strtod(text, NULL);
    if (!is_infinite && !isfinite(value))
        return false;
    *out_value = value;
    return true;
}

const char *text_to_floats(const char *text, float **out_values, size_t *out_count) {
    const char *p = skip_space(text);
    size_t count = 0, cap = 0;
    float *values = NULL;
    const char *problem = *p == '[' ? NULL : "expected '['";
    for (bool more = !problem; more; more = *p == ',') {
        p = skip_space(p + 1); /* behind '[' or ',' */
        const char *end = skip_number(p);
        double value = end ? strtod(p, NULL) : 0;
        if (!end || !isfinite((float)value)) {
            problem = end ? "a number is too large" : "expected a number";
            break;
        }
        if (count == cap) {
            cap = cap ? 2 * cap : 64;
            float *grown = realloc(values, cap * sizeof *values);
            if (!grown) {
                problem = "out of memory";
                break;
            }
            values = grown;
        }
        values[count++] = (float)value;
        p = skip_space(end);
    }
    if (!problem && *p != ']')
        problem = "expected ',' or ']'";
    if (!problem && *skip_space(p + 1))
        problem = "expected nothing after ']'";
    if (problem) {
        free(values);
        return problem;
    }
    *out_values = values;
    *out_count = count;
    return NULL;
}
