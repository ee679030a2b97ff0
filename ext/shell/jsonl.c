/* jsonl.c - records from JSON lines: an object a line, whose members are mapped by their names. */
#include "reader.h"
#include <string.h>

enum { KEY_SEEN = 1, METADATA_SEEN = 2, FIELD_SEEN = 4 /* and so on, a bit per field */ };

/* One line. */
typedef struct record_line {
    reader *reader;
    batch *batch;
    const char *text;
    vs_json json;
    unsigned seen;
} record_line;

static int refuse_json(record_line *l) {
    const char *expected = "";
    size_t at = 0;
    vs_json_error(&l->json, &at, &expected);
    return reader_refuse(l->reader, "byte %zu: expected %s", at, expected);
}

/* The name that the reader stands at is this one. */
static bool is_name(const record_line *l, const char *name) {
    char text[256];
    size_t bytes = 0, n = name ? strlen(name) : 0;
    return name && n < sizeof text &&
           vs_json_string(&l->json, text, sizeof text, &bytes) == VS_OK && bytes == n &&
           !memcmp(text, name, n);
}

static int see(record_line *l, unsigned what, const char *name) {
    if (l->seen & what)
        return reader_refuse(l->reader, "'%.60s' is there twice", name);
    l->seen |= what;
    return READ_ROW;
}

static int read_key(record_line *l) {
    reader *r = l->reader;
    uint64_t number = 0;
    size_t bytes = 0;
    int token = vs_json_next(&l->json);
    if (token == VS_JSON_NUMBER && vs_json_u64(&l->json, &number) == VS_OK) {
        batch_key(l->batch, vs_key_u64(number));
        return READ_ROW;
    }
    if (token == VS_JSON_ERROR)
        return refuse_json(l);
    if (token != VS_JSON_STRING)
        return reader_refuse(r, "'%.60s' is no key, expected a whole number or a string",
                             r->map->key);
    vs_status st = vs_json_string(&l->json, NULL, 0, &bytes);
    char *text = buffer_reserve(&r->scratch, bytes); /* behind the rest; it does not stay */
    if (st != VS_OK || vs_json_string(&l->json, text, bytes, &bytes) != VS_OK)
        return refuse_json(l);
    return reader_key(r, l->batch, text, bytes);
}

static int read_vector(record_line *l, size_t column) {
    int token = vs_json_next(&l->json);
    if (token == VS_JSON_ERROR)
        return refuse_json(l);
    if (token == VS_JSON_NULL)
        return READ_ROW;
    return reader_vector(l->reader, l->batch, column, &l->json);
}

static int read_metadata(record_line *l) {
    size_t at = 0, bytes = 0;
    int token = vs_json_next(&l->json);
    if (token > 0)
        token = vs_json_skip(&l->json);
    if (token < 0 || vs_json_token(&l->json, &at, &bytes) != VS_OK)
        return refuse_json(l);
    if (token != VS_JSON_NULL)
        batch_metadata(l->batch, l->text + at, bytes);
    return READ_ROW;
}

/* A member that is not mapped: kept as it is, or passed over. */
static int read_other(record_line *l) {
    buffer *rest = &l->reader->scratch;
    size_t at = 0, name_bytes = 0, bytes = 0;
    vs_json_token(&l->json, &at, &name_bytes);
    const char *name = l->text + at;
    if (vs_json_skip(&l->json) < 0)
        return refuse_json(l);
    if (!l->reader->map->has_rest) {
        reader_leave_out(l->reader, name + 1, name_bytes - 2);
        return READ_ROW;
    }
    vs_json_token(&l->json, &at, &bytes);
    buffer_add_string(rest, rest->bytes ? "," : "{");
    buffer_add(rest, name, name_bytes);
    buffer_add_string(rest, ":");
    buffer_add(rest, l->text + at, bytes);
    return READ_ROW;
}

static int read_member(record_line *l) {
    const mapping *map = l->reader->map;
    if (is_name(l, map->key)) {
        int found = see(l, KEY_SEEN, map->key);
        return found == READ_ROW ? read_key(l) : found;
    }
    for (size_t i = 0; i < map->field_count; i++)
        if (is_name(l, map->fields[i].name)) {
            int found = see(l, (unsigned)FIELD_SEEN << i, map->fields[i].name);
            return found == READ_ROW ? read_vector(l, i) : found;
        }
    if (is_name(l, map->metadata)) {
        int found = see(l, METADATA_SEEN, map->metadata);
        return found == READ_ROW ? read_metadata(l) : found;
    }
    return read_other(l);
}

/* All members; what is left for the metadata is in rest. */
static int read_object(record_line *l) {
    int token = vs_json_next(&l->json), found = READ_ROW;
    if (token != VS_JSON_OBJECT_BEGIN)
        return token < 0 ? refuse_json(l) : reader_refuse(l->reader, "expected a JSON object");
    while (found == READ_ROW && (token = vs_json_next(&l->json)) == VS_JSON_NAME)
        found = read_member(l);
    if (found != READ_ROW)
        return found;
    return token < 0 || vs_json_next(&l->json) < 0 ? refuse_json(l) : READ_ROW;
}

int jsonl_next(reader *r, batch *b) {
    record_line l = {.reader = r, .batch = b};
    size_t bytes = 0;
    int found = reader_line(r, 0, &l.text, &bytes);
    if (found != READ_ROW)
        return found;
    vs_json_begin(&l.json, l.text, bytes, 0);
    r->scratch.bytes = 0;
    found = read_object(&l);
    if (found == READ_ROW && r->scratch.bytes && r->map->has_rest) {
        buffer_add_string(&r->scratch, "}");
        batch_metadata(b, r->scratch.text, r->scratch.bytes);
    }
    if (found != READ_ROW)
        return found;
    if (r->map->key && !(l.seen & KEY_SEEN))
        return reader_refuse(r, "there is no '%.60s' for the key; see --key", r->map->key);
    return r->map->key ? READ_ROW : reader_number(r, b);
}
