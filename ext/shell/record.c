/* record.c - keys, vectors and records, between text and the library. */
#include "record.h"
#include "text.h"
#include "vecs.h"
#include <stdlib.h>
#include <string.h>

/* ---- keys ----------------------------------------------------------------------------------- */

static int key_refuse(const shell_call *call, const char *text) {
    return shell_usage(call,
                       "the key is '%s', expected a whole number from 0 to %llu, text:..., "
                       "uuid:... or bytes:..., or N/ and one of these in namespace N",
                       text, (unsigned long long)UINT64_MAX);
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Bytes as hexadecimal digits, hyphens between them allowed; false: something else, or too many. */
static bool parse_hex(const char *text, record_key *key) {
    size_t n = 0;
    for (; *text; text++) {
        int high = hex_digit(*text), low = high < 0 ? -1 : hex_digit(text[1]);
        if (*text == '-' && n)
            continue;
        if (low < 0 || n == sizeof key->data)
            return false;
        key->data[n++] = (uint8_t)(high << 4 | low);
        text++;
    }
    key->key.bytes = (uint16_t)n;
    return n > 0;
}

/* "7/" in front of a key; what follows it. */
static const char *parse_space(const char *text, record_key *key) {
    char digits[16];
    size_t n = strspn(text, "0123456789");
    uint64_t space = 0;
    if (text[n] != '/' || n >= sizeof digits)
        return text;
    memcpy(digits, text, n);
    digits[n] = 0;
    if (!text_to_u64(digits, &space) || space > UINT32_MAX)
        return text;
    key->key.space = (uint32_t)space;
    return text + n + 1;
}

int key_parse(const shell_call *call, const char *text, record_key *out_key) {
    record_key key = {.text = NULL};
    const char *rest = parse_space(text, &key);
    bool is_key = true;
    if (!strncmp(rest, "text:", 5)) {
        key.text = rest + 5;
        key.key.kind = VS_KEY_BYTES;
        is_key = *key.text && strlen(key.text) <= VS_KEY_BYTES_MAX;
        key.key.bytes = (uint16_t)strlen(key.text);
    } else if (!strncmp(rest, "bytes:", 6)) {
        key.key.kind = VS_KEY_BYTES;
        is_key = parse_hex(rest + 6, &key);
    } else if (!strncmp(rest, "uuid:", 5)) {
        key.key.kind = VS_KEY_UUID;
        is_key = parse_hex(rest + 5, &key) && key.key.bytes == 16;
    } else {
        is_key = text_to_u64(rest, &key.key.number);
    }
    if (!is_key)
        return key_refuse(call, text);
    *out_key = key;
    return SHELL_OK;
}

vs_key key_of(const record_key *key) {
    vs_key found = key->key;
    if (found.kind != VS_KEY_U64)
        found.data = key->text ? (const void *)key->text : key->data;
    return found;
}

/* Whether bytes can be shown as a text that reads back as them. */
static bool is_text_key(vs_key key) {
    const char *text = key.data;
    for (size_t i = 0; i < key.bytes;) {
        size_t n = text_utf8_bytes(text + i, key.bytes - i);
        if (!n || (unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
        i += n;
    }
    return true;
}

static size_t write_hex(char *out, vs_key key, bool is_uuid) {
    const uint8_t *data = key.data;
    size_t at = 0;
    for (size_t i = 0; i < key.bytes; i++)
        at +=
            (size_t)sprintf(out + at, "%s%02x",
                            is_uuid && (i == 4 || i == 6 || i == 8 || i == 10) ? "-" : "", data[i]);
    return at;
}

void rows_key(row_writer *r, vs_key key) {
    char out[2 * VS_KEY_BYTES_MAX + 40];
    size_t at = key.space ? (size_t)sprintf(out, "%lu/", (unsigned long)key.space) : 0;
    if (key.kind == VS_KEY_U64 && !key.space) {
        rows_u64(r, key.number);
        return;
    }
    if (key.kind == VS_KEY_U64) {
        sprintf(out + at, "%llu", (unsigned long long)key.number);
    } else if (key.kind == VS_KEY_UUID) {
        at += (size_t)sprintf(out + at, "uuid:");
        write_hex(out + at, key, true);
    } else if (is_text_key(key)) {
        sprintf(out + at, "text:%.*s", (int)key.bytes, (const char *)key.data);
    } else {
        at += (size_t)sprintf(out + at, "bytes:");
        write_hex(out + at, key, false);
    }
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
    const char *problem = text_to_floats(text, &values, &count);
    if (problem)
        return shell_fail(call, "the %s vector: %s", what, problem);
    v->rows = values;
    v->count = 1;
    *out_dim = (uint32_t)count;
    return SHELL_OK;
}

static int load_file(const shell_call *call, const char *path, record_vectors *v, uint32_t *out_dim,
                     int *out_type) {
    char why[VECS_WHY_BYTES];
    int kind = 0;
    if (!vecs_load(path, 0, &v->rows, &v->count, out_dim, &kind, why))
        return shell_fail(call, "%s: %s", path, why);
    if (kind == VECS_I32)
        return shell_fail(call, "%s: ivecs holds neighbour ids, not vectors", path);
    if (!v->count)
        return shell_fail(call, "%s: the file is empty", path);
    *out_type = kind == VECS_U8 ? VS_U8 : VS_F32;
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
