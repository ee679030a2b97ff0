/* table.c - records as JSON lines and as tables with a header. */
#include "format.h"
#include "key.h"
#include "reader.h"
#include "writer.h"
#include <string.h>

static void add_json(buffer *out, const char *text, size_t bytes) {
    size_t n = 0;
    char *place = buffer_reserve(out, 6 * bytes + 2);
    if (vs_json_write_string(text, bytes, place, 6 * bytes + 2, &n) == VS_OK)
        out->bytes += n; /* names and keys as text are UTF-8 */
}

/* A cell of a table, in quotes where it needs them. */
static void add_cell(buffer *out, char separator, const char *text, size_t bytes) {
    const char special[] = {separator, '"', '\n', '\r'};
    bool is_quoted = false;
    for (size_t i = 0; i < sizeof special; i++)
        is_quoted |= memchr(text, special[i], bytes) != NULL;
    if (!is_quoted) {
        buffer_add(out, text, bytes);
        return;
    }
    buffer_add_string(out, "\"");
    for (size_t i = 0; i < bytes; i++)
        buffer_add(out, text[i] == '"' ? "\"\"" : text + i, text[i] == '"' ? 2 : 1);
    buffer_add_string(out, "\"");
}

/* A vector as a JSON array: as floats, which have every element of every type. */
static void add_vector(writer *w, const vs_field_info *field, const void *vector) {
    enum { NUMBER_BYTES = 25 };
    float *values = w->vector;
    buffer *out = &w->line;
    if (vs_vector_convert(vector, field->type, values, VS_F32, field->dim, NULL) != VS_OK)
        return; /* none that is stored fails */
    char *begin = buffer_reserve(out, (size_t)field->dim * NUMBER_BYTES + 2), *p = begin;
    *p++ = '[';
    for (uint32_t i = 0; i < field->dim; i++) {
        size_t n = 0;
        if (i)
            *p++ = ',';
        if (vs_json_write_float(values[i], p, NUMBER_BYTES, &n) == VS_OK)
            p += n;
    }
    *p++ = ']';
    out->bytes += (size_t)(p - begin);
}

/* ---- JSON lines ----------------------------------------------------------------------------- */

static void add_object(writer *w, const vs_record *record) {
    char key[KEY_TEXT_BYTES];
    size_t bytes = key_write(record->key, key);
    buffer_add_string(&w->line, "{\"key\":");
    if (record->key.kind == VS_KEY_U64 && !record->key.space)
        buffer_add(&w->line, key, bytes);
    else
        add_json(&w->line, key, bytes);
    for (uint32_t i = 0; i < w->field_count; i++) {
        const void *vector = writer_vector(record, i);
        if (!vector)
            continue;
        buffer_add_string(&w->line, ",");
        add_json(&w->line, w->field[i].name, strlen(w->field[i].name));
        buffer_add_string(&w->line, ":");
        add_vector(w, &w->field[i], vector);
    }
    if (record->metadata) {
        buffer_add_string(&w->line, ",\"metadata\":");
        writer_metadata(&w->line, record);
    }
    buffer_add_string(&w->line, "}\n");
}

/* ---- tables --------------------------------------------------------------------------------- */

static void add_row(writer *w, char separator, const vs_record *record) {
    char key[KEY_TEXT_BYTES];
    size_t bytes = key_write(record->key, key);
    add_cell(&w->line, separator, key, bytes);
    for (uint32_t i = 0; i < w->field_count; i++) {
        const void *vector = writer_vector(record, i);
        bool is_quoted = separator == ',' && vector; /* a comma is in it, or none is needed */
        buffer_add(&w->line, &separator, 1);
        buffer_add_string(&w->line, is_quoted ? "\"" : "");
        if (vector)
            add_vector(w, &w->field[i], vector);
        buffer_add_string(&w->line, is_quoted ? "\"" : "");
    }
    buffer_add(&w->line, &separator, 1);
    if (record->metadata)
        add_cell(&w->line, separator, record->metadata, record->metadata_bytes);
    buffer_add_string(&w->line, "\n");
}

static void write_header(writer *w, char separator) {
    w->line.bytes = 0;
    buffer_add_string(&w->line, "key");
    for (uint32_t i = 0; i < w->field_count; i++) {
        buffer_add(&w->line, &separator, 1);
        add_cell(&w->line, separator, w->field[i].name, strlen(w->field[i].name));
    }
    buffer_add(&w->line, &separator, 1);
    buffer_add_string(&w->line, "metadata\n");
    sink_write(w->out, w->line.text, w->line.bytes);
}

/* ---- both ----------------------------------------------------------------------------------- */

bool table_begin(writer *w) {
    for (uint32_t i = 0; i < w->field_count; i++) {
        const char *name = w->field[i].name;
        if (strcmp(name, "key") != 0 && strcmp(name, "metadata") != 0)
            continue;
        snprintf(w->why, sizeof w->why,
                 "a field is called '%s', as the %s of a record is; a file of vectors can hold it",
                 name, name);
        return false;
    }
    if (w->format != FORMAT_JSONL)
        write_header(w, csv_separator(w->format));
    return true;
}

bool table_add(writer *w, const vs_record *record) {
    w->line.bytes = 0;
    if (w->format == FORMAT_JSONL)
        add_object(w, record);
    else
        add_row(w, csv_separator(w->format), record);
    sink_write(w->out, w->line.text, w->line.bytes);
    w->written++;
    return true;
}
