/* reader.c - records from a file of any format: what the formats share. */
#include "reader.h"
#include "format.h"
#include "key.h"
#include <stdarg.h>
#include <string.h>

/* ---- messages ------------------------------------------------------------------------------- */

const char *reader_unit(const reader *r) {
    return r->stream ? "line" : "row";
}

uint64_t reader_place(const reader *r) {
    return r->stream ? r->line : r->vecs.rows - 1;
}

int reader_refuse(reader *r, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(r->why, sizeof r->why, "%.900s: %s %llu: %s", r->path, reader_unit(r),
             (unsigned long long)reader_place(r), text);
    return READ_REFUSED;
}

void reader_leave_out(reader *r, const char *name, size_t bytes) {
    if (!r->left_out[0])
        snprintf(r->left_out, sizeof r->left_out, "%.*s", bytes < 63 ? (int)bytes : 63, name);
}

static bool fail_file(reader *r, const char *reason) {
    snprintf(r->why, sizeof r->why, "%.1000s: %s", r->path, reason);
    return false;
}

/* ---- records of formats with names ---------------------------------------------------------- */

static bool is_blank(const char *line, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (!strchr(" \t\r", line[i]) || !line[i])
            return false;
    return true;
}

int reader_line(reader *r, char separator, const char **out_line, size_t *out_bytes) {
    char why[STREAM_WHY_BYTES];
    size_t lines = 0;
    do {
        r->line = r->lines + 1;
        if (!stream_line(r->stream, separator, out_line, out_bytes, &lines, why)) {
            reader_refuse(r, "%s", why);
            return READ_BROKEN;
        }
        r->lines += lines;
    } while (lines && is_blank(*out_line, *out_bytes));
    if (!lines)
        return READ_END;
    if (r->line == 1 && *out_bytes >= 3 && !memcmp(*out_line, "\xef\xbb\xbf", 3)) {
        *out_line += 3; /* a byte order mark */
        *out_bytes -= 3;
    }
    return READ_ROW;
}

int reader_key(reader *r, batch *b, const char *text, size_t bytes) {
    char copy[KEY_TEXT_BYTES];
    record_key key;
    if (r->map->has_text_keys) {
        if (bytes < 1 || bytes > VS_KEY_BYTES_MAX)
            return reader_refuse(r, "the key has %zu bytes, expected 1 to %u", bytes,
                                 VS_KEY_BYTES_MAX);
        batch_key(b, vs_key_bytes(text, bytes));
        return READ_ROW;
    }
    bool fits = bytes < sizeof copy;
    memcpy(copy, text, fits ? bytes : 0);
    copy[fits ? bytes : 0] = 0;
    if (strlen(copy) != bytes || !key_read(copy, &key))
        return reader_refuse(r, "the key is '%.60s', expected %s, or --text-keys", copy,
                             KEY_EXPECTED);
    batch_key(b, key_of(&key));
    return READ_ROW;
}

int reader_number(reader *r, batch *b) {
    if (r->rows > UINT64_MAX - r->map->start_key) {
        reader_refuse(r, "its key would be too large");
        return READ_BROKEN;
    }
    batch_key(b, vs_key_u64(r->map->start_key + r->rows));
    return READ_ROW;
}

int reader_vector(reader *r, batch *b, size_t column, vs_json *json) {
    const char *name = r->map->fields[column].name, *expected = "";
    uint32_t dim = b->column[column].dim;
    size_t count = 0, at = 0;
    vs_status st = vs_json_floats(json, batch_vector(b, column), dim, &count);
    if (st == VS_ERR_MISUSE)
        return reader_refuse(r, "'%.60s' is no array of numbers", name);
    vs_json_error(json, &at, &expected);
    if (st != VS_OK)
        return reader_refuse(r, "'%.60s', byte %zu: expected %s", name, at, expected);
    if (count != dim)
        return reader_refuse(r, "'%.60s' has %zu elements, expected %lu", name, count,
                             (unsigned long)dim);
    return READ_ROW;
}

/* ---- files of vectors ----------------------------------------------------------------------- */

static int next_vector(reader *r, batch *b) {
    int found = vecs_next(&r->vecs);
    if (found == VECS_END)
        return READ_END;
    if (found == VECS_BROKEN) {
        fail_file(r, r->vecs.why);
        return READ_BROKEN;
    }
    if (reader_number(r, b) != READ_ROW)
        return READ_BROKEN;
    if (!companions_next(&r->companions, b, r->rows)) {
        snprintf(r->why, sizeof r->why, "%s", r->companions.why);
        return READ_BROKEN;
    }
    if (found == VECS_REFUSED)
        fail_file(r, r->vecs.why);
    else
        memcpy(batch_vector(b, 0), r->vecs.row, r->vecs.row_bytes);
    return found;
}

/* ---- all ------------------------------------------------------------------------------------ */

bool reader_open(reader *out, const char *path, int format, const char *tensor) {
    reader *r = out;
    char why[STREAM_WHY_BYTES];
    memset(r, 0, sizeof *r);
    r->path = path;
    r->format = format ? format : format_of(path);
    if (!r->format)
        return fail_file(r, "the name does not tell its format; say it with --format");
    if (!format_has_names(r->format))
        return vecs_open(&r->vecs, path, r->format, tensor) || fail_file(r, r->vecs.why);
    r->stream = stream_open(path, why);
    return r->stream || fail_file(r, why);
}

bool reader_map(reader *r, const mapping *map) {
    r->map = map;
    if (r->stream)
        return r->format == FORMAT_JSONL || csv_open(r);
    if (companions_open(&r->companions))
        return true;
    snprintf(r->why, sizeof r->why, "%s", r->companions.why);
    return false;
}

void reader_close(reader *r) {
    vecs_close(&r->vecs);
    companions_close(&r->companions);
    stream_close(r->stream);
    csv_close(r->csv);
    buffer_free(&r->scratch);
    r->stream = NULL;
    r->csv = NULL;
}

/* A record without a vector that it must have is refused here, for the library would refuse the batch. */
static int check_vectors(reader *r, const batch *b) {
    for (size_t i = 0; r->stream && i < r->map->field_count; i++)
        if (r->map->fields[i].is_required && !b->column[i].present[b->count])
            return reader_refuse(r, "there is no vector '%.60s'", r->map->fields[i].name);
    return READ_ROW;
}

int reader_next(reader *r, batch *b) {
    batch_begin(b);
    int found = !r->stream                  ? next_vector(r, b)
                : r->format == FORMAT_JSONL ? jsonl_next(r, b)
                                            : csv_next(r, b);
    if (found == READ_ROW)
        found = check_vectors(r, b);
    r->rows += found == READ_ROW || found == READ_REFUSED;
    if (found == READ_ROW)
        batch_end(b, reader_place(r));
    return found;
}

/* A line is not looked into, a row of vectors has to be. */
int reader_skip(reader *r) {
    const char *line = NULL;
    size_t bytes = 0;
    if (r->stream) {
        int found = reader_line(r, csv_separator(r->format), &line, &bytes);
        r->rows += found == READ_ROW;
        return found;
    }
    int found = vecs_next(&r->vecs);
    if (found == VECS_BROKEN)
        fail_file(r, r->vecs.why);
    r->rows += found == VECS_ROW || found == VECS_REFUSED;
    return found;
}

bool reader_at_end(reader *r) {
    return r->stream ? stream_at_end(r->stream) : vecs_at_end(&r->vecs);
}

double reader_part(const reader *r) {
    const stream *s = r->stream ? r->stream : r->vecs.stream;
    return s ? stream_part(s) : -1;
}
