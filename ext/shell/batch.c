/* batch.c - records that were read and wait to be written.
 *
 * Keys and metadata lie in one buffer, which grows, so that they are known by their place in it until all of the
 * batch is there. */
#include "batch.h"
#include <stdlib.h>
#include <string.h>

void batch_init(batch *out, bool has_keys) {
    memset(out, 0, sizeof *out);
    out->has_keys = has_keys;
}

void batch_add_column(batch *b, uint32_t field, uint32_t dim, int type) {
    b->column[b->column_count++] =
        (batch_column){field, dim, type, vs_vector_bytes(type, dim), NULL, NULL};
}

size_t batch_record_bytes(const batch *b) {
    size_t bytes = 0;
    for (size_t i = 0; i < b->column_count; i++)
        bytes += b->column[i].row_bytes;
    return bytes;
}

void batch_set_room(batch *b, size_t room) {
    b->room = room;
    for (size_t i = 0; i < b->column_count; i++) {
        b->column[i].data = shell_alloc(room * b->column[i].row_bytes);
        b->column[i].present = shell_alloc(room);
    }
    b->keys = shell_alloc(room * sizeof *b->keys);
    b->places = shell_alloc(room * sizeof *b->places);
    b->key_at = shell_alloc(room * sizeof *b->key_at);
    b->metadata_at = shell_alloc(room * sizeof *b->metadata_at);
    b->metadata_bytes = shell_alloc(room * sizeof *b->metadata_bytes);
    b->metadata = shell_alloc(room * sizeof *b->metadata);
    b->statuses = shell_alloc(room * sizeof *b->statuses);
}

void batch_init_like(batch *out, const batch *like) {
    batch_init(out, like->has_keys);
    for (size_t i = 0; i < like->column_count; i++)
        batch_add_column(out, like->column[i].field, like->column[i].dim, like->column[i].type);
    batch_set_room(out, like->room);
}

void batch_free(batch *b) {
    for (size_t i = 0; i < b->column_count; i++) {
        free(b->column[i].data);
        free(b->column[i].present);
    }
    free(b->keys);
    free(b->places);
    free(b->key_at);
    free(b->metadata_at);
    free(b->metadata_bytes);
    free(b->metadata);
    free(b->statuses);
    buffer_free(&b->text);
    memset(b, 0, sizeof *b);
}

void batch_clear(batch *b) {
    b->count = 0;
    b->text.bytes = 0;
}

void batch_begin(batch *b) {
    size_t at = b->count;
    for (size_t i = 0; i < b->column_count; i++)
        b->column[i].present[at] = 0;
    b->keys[at] = vs_key_u64(0);
    b->metadata_bytes[at] = 0;
}

void *batch_vector(batch *b, size_t column) {
    batch_column *c = &b->column[column];
    c->present[b->count] = 1;
    return c->data + b->count * c->row_bytes;
}

void batch_drop_vector(batch *b, size_t column) {
    b->column[column].present[b->count] = 0;
}

void batch_key(batch *b, vs_key key) {
    b->keys[b->count] = key;
    b->key_at[b->count] = b->text.bytes;
    buffer_add(&b->text, key.data, key.bytes);
}

void batch_metadata(batch *b, const char *text, size_t bytes) {
    b->metadata_at[b->count] = b->text.bytes;
    b->metadata_bytes[b->count] = bytes;
    buffer_add(&b->text, text, bytes);
}

void batch_end(batch *b, uint64_t place) {
    b->places[b->count++] = place;
}

static void set_pointers(batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        if (b->keys[i].kind != VS_KEY_U64)
            b->keys[i].data = b->text.text + b->key_at[i];
        b->metadata[i] = b->metadata_bytes[i] ? b->text.text + b->metadata_at[i] : NULL;
    }
}

vs_batch batch_view(batch *b, vs_column *columns) {
    vs_batch view = VS_BATCH_INIT;
    set_pointers(b);
    for (size_t i = 0; i < b->column_count; i++) {
        const batch_column *c = &b->column[i];
        columns[i] = (vs_column){c->data, c->row_bytes, c->present, c->type, c->field};
    }
    view.count = b->count;
    view.keys = b->has_keys ? b->keys : NULL;
    view.metadata = b->metadata;
    view.metadata_bytes = b->metadata_bytes;
    view.columns = columns;
    view.column_count = b->column_count;
    return view;
}

vs_record batch_record(const batch *b, size_t at, vs_vector *vectors) {
    vs_record record = VS_RECORD_INIT;
    record.key = b->keys[at];
    record.metadata = b->metadata[at];
    record.metadata_bytes = b->metadata_bytes[at];
    record.vectors = vectors;
    for (size_t i = 0; i < b->column_count; i++) {
        const batch_column *c = &b->column[i];
        if (c->present[at])
            vectors[record.vector_count++] =
                (vs_vector){c->data + at * c->row_bytes, c->type, c->field};
    }
    return record;
}
