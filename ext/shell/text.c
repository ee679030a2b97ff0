/* text.c - numbers and names as text. The program sets no locale but that of characters, so the C library
 * reads and writes numbers with a point. */
#include "text.h"
#include "vecstore.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void text_double(double value, char out[TEXT_DOUBLE_BYTES]) {
    size_t bytes = 0;
    if (vs_json_write_double(value, out, TEXT_DOUBLE_BYTES - 1, &bytes) != VS_OK)
        bytes = 0; /* it is finite */
    out[bytes] = 0;
}

void text_float(float value, char out[TEXT_DOUBLE_BYTES]) {
    size_t bytes = 0;
    if (vs_json_write_float(value, out, TEXT_DOUBLE_BYTES - 1, &bytes) != VS_OK)
        bytes = 0;
    out[bytes] = 0;
}

void text_quote(const char *word, char *out, size_t out_bytes) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-./:,+@%";
    size_t n = 0;
    if (*word && !word[strspn(word, plain)] && *word != '-' && *word != ':') {
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

/* "; there are 'a', 'b' and 'c'"; false: they are too many, too long, or none. */
static bool list_names(const char *(*name)(const void *ctx, size_t at), const void *ctx, char *out,
                       size_t room) {
    enum { MOST = 8 };
    size_t used = 0;
    for (size_t i = 0; name(ctx, i); i++) {
        const char *front = !i                 ? name(ctx, 1) ? "; there are" : "; there is"
                            : name(ctx, i + 1) ? ","
                                               : " and";
        used += (size_t)snprintf(out + used, room - used, "%s '%s'", front, name(ctx, i));
        if (i == MOST || used >= room)
            return false;
    }
    return used > 0;
}

const char *text_hint(const char *word, const char *(*name)(const void *ctx, size_t at),
                      const void *ctx, const char *otherwise, char out[TEXT_HINT_BYTES]) {
    const char *best = text_nearest(word, name, ctx);
    size_t used = 0;
    out[0] = 0;
    if (best)
        used = (size_t)snprintf(out, TEXT_HINT_BYTES / 2, ", the nearest is '%s'", best);
    if (used >= TEXT_HINT_BYTES / 2) /* not cut off */
        used = 0;
    if (!list_names(name, ctx, out + used, TEXT_HINT_BYTES / 2))
        snprintf(out + used, TEXT_HINT_BYTES - used, "%s", otherwise);
    return out;
}

bool text_to_double(const char *text, double *out_value) {
    vs_json json;
    double value = 0;
    if (!strcmp(text, "inf") || !strcmp(text, "-inf")) {
        *out_value = *text == '-' ? -HUGE_VAL : HUGE_VAL;
        return true;
    }
    vs_json_begin(&json, text, strlen(text), 0);
    if (strspn(text, " \t\r\n") || vs_json_next(&json) != VS_JSON_NUMBER ||
        vs_json_double(&json, &value) != VS_OK || vs_json_next(&json) != VS_JSON_END)
        return false;
    *out_value = value;
    return !strchr(" \t\r\n", text[strlen(text) - 1]);
}

/* The elements of an array, twice: counted, then read. */
static vs_status read_floats(vs_json *json, const char *text, float *values, size_t room,
                             size_t *out_count) {
    vs_json_begin(json, text, strlen(text), 0);
    vs_json_next(json);
    vs_status st = vs_json_floats(json, values, room, out_count);
    return st == VS_OK && vs_json_next(json) != VS_JSON_END ? VS_ERR_INVALID : st;
}

bool text_to_floats(const char *text, float **out_values, size_t *out_count,
                    char why[TEXT_WHY_BYTES]) {
    vs_json json;
    const char *expected = "";
    size_t count = 0, at = 0;
    vs_status st = read_floats(&json, text, NULL, 0, &count);
    float *values = st == VS_OK ? malloc(count * sizeof *values + 1) : NULL;
    if (values && read_floats(&json, text, values, count, &count) == VS_OK) {
        *out_values = values;
        *out_count = count;
        return true;
    }
    free(values);
    vs_json_error(&json, &at, &expected);
    if (st == VS_OK)
        snprintf(why, TEXT_WHY_BYTES, "out of memory");
    else
        snprintf(why, TEXT_WHY_BYTES, "byte %zu: expected %s", at, *expected ? expected : "'['");
    return false;
}
