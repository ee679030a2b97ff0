/* text.c - numbers and names as text. The program never calls setlocale, so the C library reads and
 * writes numbers with a point. */
#include "text.h"
#include "vecstore.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_double(double value, char out[TEXT_DOUBLE_BYTES]) {
    int digits = 1;
    for (; digits <= 17; digits++) {
        snprintf(out, TEXT_DOUBLE_BYTES, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
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
