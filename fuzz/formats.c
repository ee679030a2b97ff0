/* formats.c - fuzz target: the readers of records and of vectors, and the writers.
 *
 *   byte 0   the format of the file
 *   byte 1   bit 0: keys are texts, 1: rows are numbered, 2: the rest is metadata, 3: a range of columns, 4: two fields
 *   byte 2   dimension less one, in its low two bits
 *
 * The rest is the file. Whatever it holds is read to its end, row by row; what is refused is refused with a
 * reason that names the file. The rows that are good are written in every format that can hold them and read
 * again: keys, vectors and metadata must be the same. */
#define _POSIX_C_SOURCE 200809L
#include "format.h"
#include "reader.h"
#include "target.h"
#include "vt.h"
#include "writer.h"

enum { KEPT = 64, CONTENT_MAX = 1 << 16 };

typedef struct job {
    int format;
    bool has_text_keys, is_numbered, has_rest, is_range, has_two;
    uint32_t dim;
    const char *path;
    vs_field_info field[2];
    mapping map;
    batch kept;
} job;

/* ---- the shell's memory ----------------------------------------------------------------------- */

void *shell_realloc(void *ptr, size_t bytes) {
    void *grown = realloc(ptr, bytes ? bytes : 1);
    require(grown, "memory", "a size that no such input needs");
    return grown;
}

void *shell_alloc(size_t bytes) {
    return shell_realloc(NULL, bytes);
}

char *shell_copy(const char *text) {
    return strcpy(shell_alloc(strlen(text) + 1), text);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static bool is_object(const char *text, size_t bytes) {
    vs_json json;
    vs_json_begin(&json, text, bytes, 0);
    return vs_json_next(&json) == VS_JSON_OBJECT_BEGIN && vs_json_skip(&json) > 0 &&
           vs_json_next(&json) == VS_JSON_END;
}

/* A row that the library would refuse for its metadata is not kept. */
static void drop_bad_metadata(batch *b) {
    size_t last = b->count - 1, bytes = b->metadata_bytes[last];
    if (bytes && !is_object(b->text.text + b->metadata_at[last], bytes))
        b->count = last;
}

/* Reads a file to its end; the first rows are in the batch. */
static int read_all(reader *r, batch *b) {
    int found = READ_ROW;
    uint64_t rows = 0;
    while (found == READ_ROW || found == READ_REFUSED) {
        size_t count = b->count;
        found = reader_next(r, b);
        rows += found == READ_ROW || found == READ_REFUSED;
        require(r->rows == rows, "rows", "counted wrong");
        if (found == READ_REFUSED || found == READ_BROKEN)
            require(!strncmp(r->why, r->path, strlen(r->path)), "why", r->why);
        require(b->count == count + (found == READ_ROW), "count", "a row too many");
        if (found == READ_ROW)
            drop_bad_metadata(b);
        b->count -= b->count == b->room;
    }
    return found;
}

static void skip_all(const job *j) {
    reader r;
    int found = READ_ROW;
    if (reader_open(&r, j->path, j->format, NULL) && reader_map(&r, &j->map))
        while (found == READ_ROW || found == READ_REFUSED)
            found = reader_skip(&r);
    reader_close(&r);
}

static void add_columns(const job *j, const vecs *v, batch *b) {
    batch_init(b, true);
    if (!format_has_names(j->format))
        batch_add_column(b, 0, v->dim, v->type);
    for (uint32_t i = 0; format_has_names(j->format) && i < j->map.field_count; i++)
        batch_add_column(b, i, j->dim, VS_F32);
    batch_set_room(b, KEPT);
}

/* ---- and back --------------------------------------------------------------------------------- */

static void check_same(const batch *a, size_t at, const batch *b, size_t bt, bool is_one_line) {
    require(vs_key_compare(a->keys[at], b->keys[bt]) == 0, "key", "another one");
    for (size_t i = 0; i < a->column_count; i++) {
        const batch_column *c = &a->column[i], *d = &b->column[i];
        require(c->present[at] == d->present[bt], "vector", "one of the two has it");
        require(!c->present[at] ||
                    !memcmp(c->data + at * c->row_bytes, d->data + bt * d->row_bytes, c->row_bytes),
                "vector", "another one");
    }
    require(a->metadata_bytes[at] == b->metadata_bytes[bt], "metadata", "of another length");
    for (size_t i = 0; i < a->metadata_bytes[at]; i++) {
        char x = a->metadata[at][i], y = b->metadata[bt][i];
        require(x == y || (is_one_line && y == ' ' && (x == '\n' || x == '\r')), "metadata",
                "another character");
    }
}

static void write_all(job *j, int format, const char *path) {
    char why[SINK_WHY_BYTES];
    FILE *file = fopen(path, "wb");
    require(file, "write", path);
    writer w = {.format = format, .field = j->field, .rows = j->kept.count};
    w.field_count = (uint32_t)j->kept.column_count;
    w.out = sink_open("-", file, why);
    require(writer_begin(&w), "write", w.why);
    for (size_t i = 0; i < j->kept.count; i++) {
        vs_vector vectors[VS_FIELDS_MAX];
        vs_record record = batch_record(&j->kept, i, vectors);
        require(writer_add(&w, &record), "write", w.why);
    }
    writer_end(&w);
    require(sink_finish(w.out, why) && !fclose(file), "write", why);
}

/* The kept rows in a format and back. */
static void round_trip(job *j, int format) {
    char name[32];
    vs_column columns[VS_FIELDS_MAX];
    snprintf(name, sizeof name, "again.%s", format_names[format - 1]);
    const char *path = vt_scratch(name);
    mapping map = {.key = "key", .metadata = "metadata", .field_count = j->kept.column_count};
    for (size_t i = 0; i < map.field_count; i++) {
        map.fields[i].name = j->field[i].name;
        map.fields[i].field = (uint32_t)i;
        map.fields[i].dim = j->field[i].dim;
    }
    write_all(j, format, path);
    reader r;
    batch again;
    batch_init(&again, true);
    for (size_t i = 0; i < j->kept.column_count; i++)
        batch_add_column(&again, (uint32_t)i, j->kept.column[i].dim, j->kept.column[i].type);
    batch_set_room(&again, KEPT);
    require(reader_open(&r, path, format, NULL) && reader_map(&r, &map), "read", r.why);
    require(read_all(&r, &again) == READ_END, "read again", r.why);
    require(again.count == j->kept.count, "read again", "another number of rows");
    batch_view(&again, columns);
    for (size_t i = 0; i < again.count; i++)
        check_same(&j->kept, i, &again, i, format == FORMAT_JSONL);
    batch_free(&again);
    reader_close(&r);
}

/* Names of fields and their types, as the batch has them. */
static void describe_fields(job *j) {
    for (size_t i = 0; i < j->kept.column_count; i++) {
        vs_field_info *f = &j->field[i];
        *f = (vs_field_info)VS_FIELD_INFO_INIT;
        f->dim = j->kept.column[i].dim;
        f->type = j->kept.column[i].type;
        snprintf(f->name, sizeof f->name, "%s", i ? "b" : "vector");
    }
}

static void go_back(job *j) {
    vs_column columns[VS_FIELDS_MAX];
    describe_fields(j);
    batch_view(&j->kept, columns);
    if (format_has_names(j->format)) {
        round_trip(j, FORMAT_JSONL);
        round_trip(j, FORMAT_CSV);
        round_trip(j, FORMAT_TSV);
        return;
    }
    /* Rows of vectors have the numbers of those that are kept. */
    for (size_t i = 0; i < j->kept.count; i++)
        j->kept.keys[i] = vs_key_u64(i);
    if (j->kept.count)
        round_trip(j, FORMAT_SAFETENSORS);
    if (j->kept.count && j->kept.column[0].type != VS_BF16)
        round_trip(j, FORMAT_NPY);
    if (j->kept.count && j->kept.column[0].type == VS_F32)
        round_trip(j, FORMAT_FVECS);
}

/* ---- input ------------------------------------------------------------------------------------ */

static void map_names(job *j) {
    j->map.key = j->is_numbered ? NULL : "key";
    j->map.has_text_keys = j->has_text_keys;
    j->map.metadata = j->has_rest ? NULL : "metadata";
    j->map.has_rest = j->has_rest;
    j->map.field_count = j->has_two ? 2 : 1;
    for (uint32_t i = 0; i < 2; i++) {
        j->map.fields[i].name = i ? "b" : j->is_range ? "v0..v1" : "vector";
        j->map.fields[i].field = i;
        j->map.fields[i].dim = j->dim;
    }
}

static void decode(fuzz_input *in, job *j) {
    static const int formats[] = {FORMAT_JSONL,  FORMAT_CSV,         FORMAT_TSV,
                                  FORMAT_NPY,    FORMAT_SAFETENSORS, FORMAT_FBIN,
                                  FORMAT_I8VECS, FORMAT_U8BIN,       FORMAT_FVECS};
    size_t bytes = 0;
    j->format = formats[input_u8(in) % (sizeof formats / sizeof formats[0])];
    uint32_t flags = input_u8(in);
    j->has_text_keys = flags & 1;
    j->is_numbered = flags & 2;
    j->has_rest = flags & 4;
    j->is_range = flags & 8;
    j->has_two = flags & 16;
    j->dim = 1 + (input_u8(in) & 3);
    map_names(j);
    const uint8_t *content = input_run(in, CONTENT_MAX, &bytes);
    vt_write_file(j->path, content, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char path[1200];
    fuzz_input in = {data, size};
    job j = {.path = path};
    reader r;
    if (!*path)
        snprintf(path, sizeof path, "%s", vt_scratch("in"));
    decode(&in, &j);
    bool ok = reader_open(&r, path, j.format, NULL);
    bool has_rows = ok && (r.stream || r.vecs.dim);
    ok = ok && reader_map(&r, &j.map);
    require(ok || !strncmp(r.why, path, strlen(path)), "why", r.why);
    if (ok && has_rows) {
        add_columns(&j, &r.vecs, &j.kept);
        read_all(&r, &j.kept);
        go_back(&j);
        skip_all(&j);
        batch_free(&j.kept);
    }
    reader_close(&r);
    return 0;
}
