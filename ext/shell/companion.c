/* companion.c - keys, metadata and labels beside a file of vectors. */
#include "companion.h"
#include "format.h"
#include "key.h"
#include <string.h>

static bool fail(companions *c, const char *path, uint64_t row, const char *reason) {
    snprintf(c->why, sizeof c->why, "%.1000s: row %llu: %s", path, (unsigned long long)row, reason);
    return false;
}

static bool open_lines(companions *c, const char *path, stream **out) {
    char why[STREAM_WHY_BYTES];
    if (!path)
        return true;
    *out = stream_open(path, why);
    if (!*out)
        snprintf(c->why, sizeof c->why, "%.1000s: %s", path, why);
    return *out;
}

static bool open_labels(companions *c) {
    const char *path = c->labels_path;
    if (!path)
        return true;
    if (format_of(path) == FORMAT_IVECS) {
        bool ok = vecs_open(&c->ids, path, FORMAT_IVECS, NULL);
        if (!ok)
            snprintf(c->why, sizeof c->why, "%.1000s: %s", path, c->ids.why);
        return ok;
    }
    c->labels = fopen(path, "rb");
    if (!c->labels)
        snprintf(c->why, sizeof c->why, "%.1000s: cannot be read", path);
    return c->labels;
}

bool companions_open(companions *c) {
    return open_labels(c) && open_lines(c, c->keys_path, &c->keys) &&
           open_lines(c, c->metadata_path, &c->metadata);
}

void companions_close(companions *c) {
    if (c->labels)
        fclose(c->labels);
    vecs_close(&c->ids);
    stream_close(c->keys);
    stream_close(c->metadata);
    c->labels = NULL;
    c->keys = c->metadata = NULL;
}

static bool next_line(companions *c, stream *s, const char *path, uint64_t row, const char **line,
                      size_t *bytes) {
    char why[STREAM_WHY_BYTES];
    size_t lines = 0;
    if (!stream_line(s, 0, line, bytes, &lines, why))
        return fail(c, path, row, why);
    return lines || fail(c, path, row, "the file has no line for this row");
}

static bool next_key(companions *c, batch *b, uint64_t row) {
    char text[KEY_TEXT_BYTES];
    const char *line = NULL;
    size_t bytes = 0;
    record_key key;
    if (!next_line(c, c->keys, c->keys_path, row, &line, &bytes))
        return false;
    bool fits = bytes < sizeof text;
    memcpy(text, line, fits ? bytes : 0);
    text[fits ? bytes : 0] = 0;
    if (strlen(text) != bytes || !key_read(text, &key))
        return fail(c, c->keys_path, row, "the line is no key; expected " KEY_EXPECTED);
    batch_key(b, key_of(&key));
    return true;
}

static bool next_metadata(companions *c, batch *b, uint64_t row) {
    const char *line = NULL;
    size_t bytes = 0;
    if (!next_line(c, c->metadata, c->metadata_path, row, &line, &bytes))
        return false;
    if (bytes != 4 || memcmp(line, "null", 4))
        batch_metadata(b, line, bytes);
    return true;
}

static bool next_label(companions *c, batch *b, uint64_t row) {
    char text[24];
    int label = fgetc(c->labels);
    if (label == EOF)
        return fail(c, c->labels_path, row, "the file has no label for this row");
    batch_metadata(b, text, (size_t)snprintf(text, sizeof text, "{\"label\":%d}", label));
    return true;
}

/* One number is a label, several are a list of them. */
static bool next_ids(companions *c, batch *b, uint64_t row) {
    buffer text = {NULL, 0, 0};
    char number[16];
    int found = vecs_next(&c->ids);
    if (found == VECS_BROKEN)
        return fail(c, c->labels_path, row, c->ids.why);
    if (found == VECS_END)
        return fail(c, c->labels_path, row, "the file has no label for this row");
    buffer_add_string(&text, c->ids.dim == 1 ? "{\"label\":" : "{\"label\":[");
    for (uint32_t i = 0; i < c->ids.dim; i++) {
        int32_t id;
        memcpy(&id, c->ids.row + i * sizeof id, sizeof id);
        snprintf(number, sizeof number, "%s%ld", i ? "," : "", (long)id);
        buffer_add_string(&text, number);
    }
    buffer_add_string(&text, c->ids.dim == 1 ? "}" : "]}");
    batch_metadata(b, text.text, text.bytes);
    buffer_free(&text);
    return true;
}

bool companions_next(companions *c, batch *b, uint64_t row) {
    return (!c->keys || next_key(c, b, row)) && (!c->metadata || next_metadata(c, b, row)) &&
           (!c->labels || next_label(c, b, row)) && (!c->ids.stream || next_ids(c, b, row));
}

bool companions_at_end(companions *c, uint64_t rows, const char *path) {
    bool has_labels =
        (c->labels && fgetc(c->labels) != EOF) || (c->ids.stream && !vecs_at_end(&c->ids));
    const char *more = has_labels                                   ? c->labels_path
                       : c->keys && !stream_at_end(c->keys)         ? c->keys_path
                       : c->metadata && !stream_at_end(c->metadata) ? c->metadata_path
                                                                    : NULL;
    if (more)
        snprintf(c->why, sizeof c->why, "%.600s: more %s than the %llu rows of %.600s", more,
                 more == c->labels_path ? "labels" : "lines", (unsigned long long)rows, path);
    return !more;
}
