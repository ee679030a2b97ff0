/* import.c - fuzz target: what the shell reads. Files of vectors of any content, plain and compressed,
 * with labels; and numbers as text.
 *
 *   byte 0   which of the endings the file has, or a JSON array of numbers
 *   byte 1   dimension of the collection, 0: that of the file's first row; bit 7: a collection of u8
 *   byte 2   rows of a batch less one in the low four bits; bit 7: the keys begin near the last one
 *   byte 3   labels that follow, one byte each; 255: none, and no file of labels
 *
 * The rest is the file. A plain loop says how many rows of a plain file are good: so many, in whole
 * batches, must be in the collection, with these vectors, after a first import and after a second. */
#define _POSIX_C_SOURCE 200809L
#include "commands.h"
#include "interrupt.h"
#include "store.h"
#include "target.h"
#include "text.h"
#include "vecs.h"
#include "vt.h"
#include <math.h>
#include <stdarg.h>

enum { JSON = 6, SOURCES = 7, NO_LABELS = 255, CONTENT_MAX = 1 << 16 };

static const char *const names[JSON] = {"in.fvecs",     "in.bvecs",     "in.ivecs",
                                        "in.fvecs.zst", "in.bvecs.zst", "in.ivecs.zst"};

typedef struct job {
    int source;
    uint32_t dim; /* of the collection */
    int type;
    uint32_t batch;
    uint64_t start_key;
    const uint8_t *labels, *content;
    size_t label_count, bytes;
    bool has_labels;
    const char *path, *labels_path;
    fuzz_disk disk;
} job;

static char file_name[] = "/dev/null"; /* exists; the database is on the disk in memory */
static job *current;                   /* what the shell's functions below serve */

/* ---- the shell, without a command line and without messages ----------------------------------- */

const char *shell_value(const shell_call *call, const char *name) {
    for (int i = 0; i < call->option_count; i++)
        if (!strcmp(call->option[i].name, name))
            return call->option[i].value;
    return NULL;
}

uint64_t shell_number(const shell_call *call, const char *name, uint64_t otherwise) {
    const char *text = shell_value(call, name);
    uint64_t value = otherwise;
    require(!text || text_to_u64(text, &value), "number", name);
    return value;
}

int shell_word(const shell_call *call, const char *name, const char *const *words) {
    const char *text = shell_value(call, name);
    for (int i = 0; text && words[i]; i++)
        if (!strcmp(words[i], text))
            return i + 1;
    return 0;
}

const char *const rows_mode_names[] = {NULL};

int shell_fail(const shell_call *call, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    require(vsnprintf(text, sizeof text, format, args) > 0, "a failure without words",
            call->shell->file);
    va_end(args);
    return SHELL_FAILED;
}

int shell_usage(const shell_call *call, const char *format, ...) {
    require(call && *format, "usage", "without words");
    return SHELL_USAGE;
}

void shell_say(const shell_call *call, const char *format, ...) {
    require(call && *format, "message", "without words");
}

bool interrupt_came(shell_interrupts *in) {
    require(!in, "interrupts", "there are none here");
    return false;
}

int store_open(const shell_call *call, uint32_t flags, vs_db **out_db) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.vfs = &current->disk.vfs;
    options.flags = flags;
    require(vs_open(call->shell->file, &options, out_db) == VS_OK, "open", vs_errmsg(*out_db));
    call->shell->store.db = *out_db;
    return SHELL_OK;
}

int store_close(shell *sh, const shell_call *call, int result) {
    require(vs_close(sh->store.db) == VS_OK, "close", call ? "a call" : sh->file);
    sh->store.db = NULL;
    return result;
}

const char *shell_value_at(const shell_call *call, const char *name, int at) {
    return at ? NULL : shell_value(call, name);
}

int use_fail_db(const store_use *use) {
    require(use->call, "use", "there is none here");
    return SHELL_FAILED;
}

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

/* ---- what must come out ----------------------------------------------------------------------- */

static uint32_t word_at(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Element i of the row that begins at p; the row is whole. */
static float element_at(int source, const uint8_t *p, uint32_t i) {
    float value;
    if (source == 1)
        return p[4 + i];
    uint32_t bits = word_at(p + 4 + 4 * (size_t)i);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static size_t row_bytes(int source, uint32_t dim) {
    return 4 + (size_t)dim * (source == 1 ? 1 : 4);
}

/* Whether a plain file has a row that can be read at off. */
static bool row_is_good(const job *j, size_t off, uint32_t dim) {
    size_t left = j->bytes - off;
    if (left < 4 || word_at(j->content + off) != dim || dim < 1 || dim > VS_DIM_MAX ||
        left < row_bytes(j->source, dim))
        return false;
    for (uint32_t i = 0; j->source == 0 && i < dim; i++)
        if (!isfinite(element_at(0, j->content + off, i)))
            return false;
    return true;
}

static bool row_fits_u8(const job *j, size_t off, uint32_t dim) {
    for (uint32_t i = 0; i < dim; i++) {
        float value = element_at(j->source, j->content + off, i);
        if (!(value >= 0 && value <= 255) || value != floorf(value))
            return false;
    }
    return true;
}

/* Rows of a plain file that can be read; *out_whole: and nothing follows them. */
static uint64_t rows_in_file(const job *j, uint32_t dim, bool *out_whole) {
    uint64_t rows = 0;
    size_t off = 0;
    for (; off < j->bytes && row_is_good(j, off, dim); off += row_bytes(j->source, dim))
        rows++;
    *out_whole = off == j->bytes;
    return rows;
}

/* Rows that the collection must have after an import; *out_ok: it must have succeeded. */
static uint64_t rows_wanted(const job *j, bool *out_ok) {
    uint32_t dim = j->bytes < 4 ? 0 : word_at(j->content);
    bool is_whole = false;
    *out_ok = false;
    if (j->source == 2 || dim != j->dim)
        return 0;
    uint64_t file_rows = rows_in_file(j, dim, &is_whole), rows = 0;
    uint64_t key_room = UINT64_MAX - j->start_key;
    size_t size = row_bytes(j->source, dim);
    while (rows < file_rows && rows <= key_room && (!j->has_labels || rows < j->label_count) &&
           (j->type == VS_F32 || row_fits_u8(j, (size_t)rows * size, dim)))
        rows++;
    if (rows < file_rows || !is_whole)
        return rows / j->batch * j->batch;
    *out_ok = rows && (!j->has_labels || rows == j->label_count);
    return *out_ok || !rows ? rows : (rows - 1) / j->batch * j->batch;
}

/* ---- importing -------------------------------------------------------------------------------- */

static int import_once(const job *j) {
    char batch[24], key[24];
    const char *args[] = {"c", j->path};
    shell sh = {.file = file_name};
    shell_call call = {.shell = &sh, .command = &command_import, .arg = args, .arg_count = 2};
    snprintf(batch, sizeof batch, "%lu", (unsigned long)j->batch);
    snprintf(key, sizeof key, "%llu", (unsigned long long)j->start_key);
    call.option[call.option_count++] = (shell_option){"--batch", batch};
    call.option[call.option_count++] = (shell_option){"--start-key", key};
    if (j->has_labels)
        call.option[call.option_count++] = (shell_option){"--labels", j->labels_path};
    return store_close(&sh, &call, command_import.run(&call));
}

static void check_row(const job *j, const vs_record *record, uint64_t row) {
    const uint8_t *in = j->content + (size_t)row * row_bytes(j->source, j->dim);
    require(record->key.number == j->start_key + row, "scan", "a key that was not imported");
    for (uint32_t i = 0; i < j->dim; i++) {
        float value = 0;
        if (j->type == VS_U8)
            value = ((const uint8_t *)record->vector)[i];
        else
            memcpy(&value, (const uint8_t *)record->vector + 4 * (size_t)i, sizeof value);
        require(value == element_at(j->source, in, i), "scan", "another vector");
    }
    char label[24] = "";
    if (j->has_labels)
        snprintf(label, sizeof label, "{\"label\":%d}", j->labels[row]);
    require(!strcmp(record->metadata ? record->metadata : "", label), "scan", "another label");
}

/* Rows in the collection; those of a plain file are compared. */
static uint64_t count_rows(const job *j) {
    shell sh = {.file = file_name};
    const shell_call call = {.shell = &sh};
    vs_db *db = NULL;
    require(store_open(&call, VS_OPEN_READONLY, &db) == SHELL_OK, "open", file_name);
    vs_collection *coll = NULL;
    vs_cursor *cursor = NULL;
    vs_record record = VS_RECORD_INIT;
    uint64_t rows = 0, problems = 0;
    require(vs_check(db, 3, NULL, NULL, &problems) == VS_OK && !problems, "check", vs_errmsg(db));
    require(vs_collection_open(db, NULL, "c", &coll) == VS_OK, "collection", vs_errmsg(db));
    require(vs_scan(coll, NULL, NULL, &cursor) == VS_OK, "scan", vs_errmsg(coll));
    for (; vs_step(cursor) == VS_ROW; rows++) {
        require(vs_cursor_record(cursor, &record) == VS_OK, "scan", vs_errmsg(cursor));
        if (j->source < 3)
            check_row(j, &record, rows);
    }
    vs_cursor_close(cursor);
    vs_collection_close(coll);
    store_close(&sh, NULL, SHELL_OK);
    return rows;
}

/* A whole file in memory, as queries and truth are read. */
static void load(const job *j) {
    char why[VECS_WHY_BYTES] = "";
    void *rows = NULL;
    uint64_t count = 0;
    uint32_t dim = 0;
    int type = 0;
    bool ok = vecs_load(j->path, 0, &rows, &count, &dim, &type, why), is_whole = false;
    require(ok || *why, "load", "failed without a reason");
    if (j->source < 3) {
        uint32_t first = j->bytes < 4 ? 0 : word_at(j->content);
        uint64_t wanted = rows_in_file(j, first, &is_whole);
        require(ok == is_whole && (!ok || count == wanted), "load", why);
    }
    free(rows);
}

static void create_collection(job *j) {
    shell sh = {.file = file_name};
    const shell_call call = {.shell = &sh};
    vs_db *db = NULL;
    require(store_open(&call, VS_OPEN_CREATE, &db) == SHELL_OK, "open", file_name);
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = j->dim;
    options.type = j->type;
    require(vs_collection_create(db, NULL, "c", &options, NULL) == VS_OK, "create", vs_errmsg(db));
    store_close(&sh, NULL, SHELL_OK);
}

static void run_import(job *j) {
    bool wants_ok = false;
    disk_init(&j->disk);
    create_collection(j);
    vt_write_file(j->path, j->content, j->bytes);
    if (j->has_labels)
        vt_write_file(j->labels_path, j->labels, j->label_count);
    load(j);
    int result = import_once(j);
    uint64_t rows = count_rows(j);
    if (j->source < 3) {
        require(rows == rows_wanted(j, &wants_ok), "import", "another number of rows");
        require((result == SHELL_OK) == wants_ok, "import", "another outcome");
    }
    require(import_once(j) == result, "second import", "another outcome");
    require(count_rows(j) == rows, "second import", "another number of rows");
    disk_free(&j->disk);
}

/* ---- text ------------------------------------------------------------------------------------- */

static void run_text(const job *j) {
    char *text = shell_alloc(j->bytes + 1), number[TEXT_DOUBLE_BYTES], quoted[16];
    float *values = NULL;
    size_t count = 0;
    uint64_t value = 0;
    memcpy(text, j->content, j->bytes);
    text[j->bytes] = 0;
    text_quote(text, quoted, sizeof quoted);
    (void)text_to_u64(text, &value);
    char why[TEXT_WHY_BYTES] = "";
    bool ok = text_to_floats(text, &values, &count, why);
    require(ok || *why, "text", "refused without a reason");
    for (size_t i = 0; ok && i < count; i++) {
        require(isfinite(values[i]), "text", "no finite number");
        text_double((double)values[i], number);
        require(strtod(number, NULL) == (double)values[i], "text", number);
    }
    free(values);
    free(text);
}

/* ---- input ------------------------------------------------------------------------------------ */

static void decode(fuzz_input *in, job *j) {
    j->source = (int)input_u8(in) % SOURCES;
    uint32_t dim = input_u8(in), how = input_u8(in);
    j->type = dim & 0x80 ? VS_U8 : VS_F32;
    j->batch = 1 + (how & 15);
    j->start_key = how & 0x80 ? UINT64_MAX - 4 : 7;
    uint32_t labels = input_u8(in);
    j->has_labels = labels != NO_LABELS;
    j->labels = input_run(in, j->has_labels ? labels : 0, &j->label_count);
    j->content = input_run(in, CONTENT_MAX, &j->bytes);
    j->dim = dim & 0x7f;
    if (!j->dim && j->bytes >= 4)
        j->dim = word_at(j->content);
    if (j->dim < 1 || j->dim > VS_DIM_MAX)
        j->dim = 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char paths[JSON + 1][1200];
    fuzz_input in = {data, size};
    job j = {.source = 0};
    for (int i = 0; !paths[JSON][0] && i <= JSON; i++)
        snprintf(paths[i], sizeof paths[i], "%s", vt_scratch(i < JSON ? names[i] : "labels"));
    current = &j;
    decode(&in, &j);
    if (j.source == JSON) {
        run_text(&j);
    } else {
        j.path = paths[j.source];
        j.labels_path = paths[JSON];
        run_import(&j);
    }
    return 0;
}
