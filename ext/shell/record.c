/* record.c - keys, vectors and records, between text and the library. */
#include "record.h"
#include "command.h"
#include "text.h"
#include "vecs.h"
#include "writer.h"
#include <stdlib.h>
#include <string.h>

/* ---- keys ----------------------------------------------------------------------------------- */

int key_parse(const shell_call *call, const char *text, record_key *out_key) {
    if (key_read(text, out_key))
        return SHELL_OK;
    return shell_usage(call, "the key is '%s', expected %s", text, KEY_EXPECTED);
}

int keys_parse(const shell_call *call, record_key **out_keys, size_t *out_count) {
    size_t count = (size_t)call->arg_count - 1;
    record_key *keys = shell_alloc(count * sizeof *keys);
    for (size_t i = 0; i < count; i++) {
        int result = key_parse(call, call->arg[i + 1], &keys[i]);
        if (result != SHELL_OK) {
            free(keys);
            return result;
        }
    }
    *out_keys = keys;
    *out_count = count;
    return SHELL_OK;
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

/* A field called like another column is told from it. */
static const char *column_name(const vs_field_info *field, char name[RECORD_NAME_BYTES]) {
    static const char *const others[] = {"key",  "metadata", "version", "query",
                                         "rank", "distance", NULL};
    name[0] = 0;
    for (int i = 0; others[i]; i++)
        if (!strcmp(field->name, others[i]))
            strcpy(name, "vector:");
    return strcat(name, field->name);
}

/* The fields that --field says, or all. */
static int choose_fields(const shell_call *call, record_rows *how) {
    const char *name = NULL;
    bool is_chosen[VS_FIELDS_MAX] = {false};
    int given = 0;
    for (; (name = shell_value_at(call, "--field", given)); given++) {
        uint32_t field = 0;
        if (fields_named(call, &how->fields, name, &field) != SHELL_OK)
            return SHELL_FAILED;
        is_chosen[field] = true;
    }
    how->shown_count = 0;
    for (uint32_t i = 0; i < how->fields.count; i++)
        if (is_chosen[i] || !given)
            how->shown[how->shown_count++] = i;
    return SHELL_OK;
}

int record_vectors_of(const store_use *use, record_rows *out, rows_column *columns) {
    const shell_call *call = use->call;
    out->is_whole = command_wants_vectors(call);
    if (fields_of(call, use->collection, use->txn, &out->fields) != SHELL_OK ||
        choose_fields(call, out) != SHELL_OK)
        return SHELL_FAILED;
    for (uint32_t i = 0; i < out->shown_count; i++) {
        const char *name = column_name(&out->fields.field[out->shown[i]], out->name[i]);
        columns[i] =
            (rows_column){name, ROWS_VALUE, 24, 0, out->is_whole ? 0 : ROWS_IN_TABLES, NULL};
    }
    return SHELL_OK;
}

int record_rows_of(const store_use *use, record_rows *out) {
    static const rows_column key = RECORD_KEY_COLUMN(20), metadata = RECORD_METADATA_COLUMN(1),
                             version = {"version", ROWS_NUMBER, 20, 0, 0, NULL};
    size_t n = 0;
    out->has_versions = shell_value(use->call, "--versions");
    out->columns[n++] = key;
    if (out->has_versions)
        out->columns[n++] = version;
    if (record_vectors_of(use, out, out->columns + n) != SHELL_OK)
        return SHELL_FAILED;
    n += out->shown_count;
    out->columns[n++] = metadata;
    out->spec = (rows_spec){.columns = out->columns, .count = n};
    return SHELL_OK;
}

void rows_metadata(row_writer *r, const vs_record *record) {
    if (record->metadata)
        rows_text(r, record->metadata, record->metadata_bytes);
    else
        rows_null(r);
}

void rows_vectors(row_writer *r, const record_rows *how, const vs_record *record) {
    for (uint32_t i = 0; i < how->shown_count; i++) {
        const vs_field_info *field = &how->fields.field[how->shown[i]];
        const void *vector = writer_vector(record, how->shown[i]);
        if (vector)
            rows_vector(r, field->type, field->dim, vector, how->is_whole);
        else
            rows_null(r);
    }
}

void record_add(row_writer *r, const record_rows *how, const vs_record *record) {
    rows_key(r, record->key);
    if (how->has_versions)
        rows_u64(r, record->version);
    rows_vectors(r, how, record);
    rows_metadata(r, record);
    rows_next(r);
}

/* ---- vectors as arguments ------------------------------------------------------------------- */

/* The vectors as the collection has them, so that what is asked is what search compares. */
static int convert(const shell_call *call, const char *what, const vs_field_info *field, int type,
                   record_vectors *v) {
    size_t from = vs_vector_bytes(type, field->dim), to = vs_vector_bytes(field->type, field->dim);
    uint8_t *rows = shell_alloc(v->count * to);
    for (uint64_t i = 0; i < v->count; i++) {
        uint32_t at = 0;
        vs_status st = vs_vector_convert((const uint8_t *)v->rows + i * from, type, rows + i * to,
                                         field->type, field->dim, &at);
        if (st != VS_OK) {
            free(rows);
            return shell_fail(call, "%s %llu: element %lu is no number that %s has", what,
                              (unsigned long long)i, (unsigned long)at, vs_type_name(field->type));
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
        return shell_fail(call, "%s: %s", what, why);
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

static int fail_dim(const shell_call *call, const char *what, uint32_t dim,
                    const vs_field_info *field) {
    char name[VS_FIELD_BYTES_MAX + 24] = "";
    if (strcmp(field->name, "vector") != 0)
        snprintf(name, sizeof name, "field '%s' of ", field->name);
    return shell_fail(call, "%s: dimension is %lu, %scollection '%s' has %lu", what,
                      (unsigned long)dim, name, call->arg[0], (unsigned long)field->dim);
}

int vectors_load(const shell_call *call, const char *text, const char *what,
                 const vs_field_info *field, record_vectors *out_vectors) {
    record_vectors v = {NULL, 0};
    uint32_t dim = 0;
    int type = VS_F32;
    int result = *text == '[' ? load_array(call, text, what, &v, &dim)
                              : load_file(call, text, &v, &dim, &type);
    if (result == SHELL_OK && dim != field->dim)
        result = fail_dim(call, what, dim, field);
    if (result == SHELL_OK)
        result = convert(call, what, field, type, &v);
    if (result == SHELL_OK)
        *out_vectors = v;
    else
        free(v.rows);
    return result;
}

const void *vectors_at(const record_vectors *v, const vs_field_info *field, uint64_t at) {
    return (const uint8_t *)v->rows + at * vs_vector_bytes(field->type, field->dim);
}
