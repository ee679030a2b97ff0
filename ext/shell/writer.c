/* writer.c - records into a file of any format: what the formats share. */
#include "writer.h"
#include "format.h"
#include <stdlib.h>

const void *writer_vector(const vs_record *record, uint32_t field) {
    if (field == 0 && record->vector)
        return record->vector;
    for (size_t i = 0; i < record->vector_count; i++)
        if (record->vectors[i].field == field)
            return record->vectors[i].data;
    return NULL;
}

void writer_metadata(buffer *out, const vs_record *record) {
    size_t at = out->bytes;
    if (!record->metadata) {
        buffer_add_string(out, "null");
        return;
    }
    buffer_add(out, record->metadata, record->metadata_bytes);
    for (; at < out->bytes; at++)
        if (out->text[at] == '\n' || out->text[at] == '\r')
            out->text[at] = ' ';
}

static size_t vector_room(const writer *w) {
    uint32_t dim = 0;
    for (uint32_t i = 0; i < w->field_count; i++)
        dim = w->field[i].dim > dim ? w->field[i].dim : dim;
    return vs_vector_bytes(VS_F32, dim);
}

bool writer_begin(writer *w) {
    w->vector = shell_alloc(vector_room(w));
    return format_has_names(w->format) ? table_begin(w) : vectors_begin(w);
}

bool writer_add(writer *w, const vs_record *record) {
    return format_has_names(w->format) ? table_add(w, record) : vectors_add(w, record);
}

void writer_end(writer *w) {
    free(w->vector);
    buffer_free(&w->line);
    w->vector = NULL;
}
