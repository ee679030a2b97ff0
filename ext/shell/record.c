/* record.c - keys, vectors and records, between text and the library. */
#include "record.h"
#include "text.h"
#include "vecs.h"
#include <stdlib.h>
#include <string.h>

/* ---- keys ----------------------------------------------------------------------------------- */

int key_parse(const shell_call *call, const char *text, record_key *out_key) {
    if (key_read(text, out_key))
        return SHELL_OK;
    return shell_usage(call, "the key is '%s', expected %s", text, KEY_EXPECTED);
}

void rows_key(row_writer *r, vs_key key) {
    char out[KEY_TEXT_BYTES];
    key_write(key, out);
    if (key.kind == VS_KEY_U64 && !key.space)
        rows_string(r, out);
    else
        rows_word(r, out);
}

/* ---- records as rows ------------------------------------------------------------------------ */

const rows_spec *record_spec(bool has_vectors) {
    static const rows_column some[] = {RECORD_KEY_COLUMN(20), RECORD_VECTOR_COLUMN(ROWS_IN_TABLES),
                                       RECORD_METADATA_COLUMN(1)};
    static const rows_column all[] = {RECORD_KEY_COLUMN(20), RECORD_VECTOR_COLUMN(0),
                                      RECORD_METADATA_COLUMN(1)};
    static const rows_spec spec_some = {.columns = some, .count = 3};
    static const rows_spec spec_all = {.columns = all, .count = 3};
    return has_vectors ? &spec_all : &spec_some;
}

void rows_metadata(row_writer *r, const vs_record *record) {
    if (record->metadata)
        rows_text(r, record->metadata, record->metadata_bytes);
    else
        rows_null(r);
}

void record_add(row_writer *r, const vs_collection_info *info, const vs_record *record,
                bool is_whole) {
    rows_key(r, record->key);
    rows_vector(r, info->type, info->dim, record->vector, is_whole);
    rows_metadata(r, record);
    rows_next(r);
}

/* ---- vectors as arguments ------------------------------------------------------------------- */

/* The vectors as the collection has them, so that what is asked is what search compares. */
static int convert(const shell_call *call, const char *what, const vs_collection_info *info,
                   int type, record_vectors *v) {
    size_t from = vs_vector_bytes(type, info->dim), to = vs_vector_bytes(info->type, info->dim);
    uint8_t *rows = shell_alloc(v->count * to);
    for (uint64_t i = 0; i < v->count; i++) {
        uint32_t at = 0;
        vs_status st = vs_vector_convert((const uint8_t *)v->rows + i * from, type, rows + i * to,
                                         info->type, info->dim, &at);
        if (st != VS_OK) {
            free(rows);
            return shell_fail(call, "%s %llu: element %lu is no number that %s has", what,
                              (unsigned long long)i, (unsigned long)at, vs_type_name(info->type));
        }
    }
    free(v->rows);
    v->rows = rows;
    return SHELL_OK;
}

static int load_array(const shell_call *call, const char *text, const char *what, record_vectors *v,
                      uint32_t *out_dim) {
    size_t count = 0;
    float *values = NULL;
    char why[TEXT_WHY_BYTES];
    if (!text_to_floats(text, &values, &count, why))
        return shell_fail(call, "the %s vector: %s", what, why);
    v->rows = values;
    v->count = 1;
    *out_dim = (uint32_t)count;
    return SHELL_OK;
}

static int load_file(const shell_call *call, const char *path, record_vectors *v, uint32_t *out_dim,
                     int *out_type) {
    char why[VECS_WHY_BYTES];
    if (!vecs_load(path, 0, &v->rows, &v->count, out_dim, out_type, why))
        return shell_fail(call, "%s: %s", path, why);
    if (!*out_type && v->count)
        return shell_fail(call, "%s: ivecs holds neighbour ids, not vectors", path);
    if (!v->count)
        return shell_fail(call, "%s: the file is empty", path);
    return SHELL_OK;
}

int vectors_load(const shell_call *call, const char *text, const char *what,
                 const vs_collection_info *info, record_vectors *out_vectors) {
    record_vectors v = {NULL, 0};
    uint32_t dim = 0;
    int type = VS_F32;
    int result = *text == '[' ? load_array(call, text, what, &v, &dim)
                              : load_file(call, text, &v, &dim, &type);
    if (result == SHELL_OK && dim != info->dim)
        result = shell_fail(call, "%s: dimension is %lu, collection '%s' has %lu", what,
                            (unsigned long)dim, info->name, (unsigned long)info->dim);
    if (result == SHELL_OK)
        result = convert(call, what, info, type, &v);
    if (result == SHELL_OK)
        *out_vectors = v;
    else
        free(v.rows);
    return result;
}

const void *vectors_at(const record_vectors *v, const vs_collection_info *info, uint64_t at) {
    return (const uint8_t *)v->rows + at * vs_vector_bytes(info->type, info->dim);
}
