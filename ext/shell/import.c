/* import.c - vectors from a file into a collection, resumable, with bounded memory.
 *
 * Each batch of rows is one transaction, which also writes how far the import has come into a note
 * of the collection. The note's key names the source by its size and the hash of its first
 * mebibyte, and the first key. So after a crash the same command goes on with the first row that is
 * missing. A pipe can be read only once: it has no note and is imported from its start. */
#define _POSIX_C_SOURCE 200809L
#include "command.h"
#include "commands.h"
#include "interrupt.h"
#include "progress.h"
#include "store.h"
#include "text.h"
#include "vecs.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    IMPORT_BATCH_ROWS = 1000,
    IMPORT_BATCH_BYTES = 32 << 20, /* the default batch is smaller when its rows are huge */
    IMPORT_LABEL_BYTES = 16,
    IMPORT_NOTE_BYTES = 96
};

typedef struct importer {
    const shell_call *call;
    vs_db *db;
    vs_collection *collection;
    vecs source;
    FILE *labels; /* NULL: none */
    const char *labels_path;
    uint64_t start_key;
    uint64_t done;                /* rows committed, by earlier runs too */
    uint64_t resumed;             /* rows committed by earlier runs */
    char note[IMPORT_NOTE_BYTES]; /* "": none */
    size_t batch_rows;
    progress progress;

    /* the batch */
    size_t count;
    uint64_t *keys;
    uint8_t *vectors;
    char (*label_text)[IMPORT_LABEL_BYTES];
    const char **metadata;
} importer;

/* ---- preparing ------------------------------------------------------------------------------ */

/* The command that would make the collection this import needs. */
static int fail_no_collection(const importer *im, const char *reason) {
    const char *type = im->source.kind == VECS_U8 ? "u8" : "f32";
    char file[1024], name[1024];
    text_quote(im->call->shell->file, file, sizeof file);
    text_quote(im->call->arg[0], name, sizeof name);
    return shell_fail(im->call, "%s; create it with\n  vecstore %s create %s --dim %lu --type %s",
                      reason, file, name, (unsigned long)im->source.dim, type);
}

static const char *const formats[] = {"fvecs", "bvecs", NULL};

static int open_source(importer *im) {
    static const int kinds[] = {0, VECS_F32, VECS_U8};
    const char *path = im->call->arg[1];
    if (!vecs_open(&im->source, path, kinds[shell_word(im->call, "--format", formats)]))
        return shell_fail(im->call, "%s: %s", path, im->source.why);
    if (im->source.kind == VECS_I32)
        return shell_fail(im->call, "%s: ivecs holds neighbour ids, not vectors", path);
    if (!im->source.dim)
        return shell_fail(im->call, "%s: the file is empty", path);
    im->labels_path = shell_value(im->call, "--labels");
    im->labels = im->labels_path ? fopen(im->labels_path, "rb") : NULL;
    if (im->labels_path && !im->labels)
        return shell_fail(im->call, "%s: cannot be read", im->labels_path);
    return SHELL_OK;
}

static int open_collection(importer *im) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_status st = vs_collection_open(im->db, NULL, im->call->arg[0], &im->collection);
    if (st == VS_ERR_NOT_FOUND)
        return fail_no_collection(im, vs_errmsg(im->db));
    if (st != VS_OK)
        return shell_fail(im->call, "%s", vs_errmsg(im->db));
    if (vs_collection_info_get(im->collection, NULL, &info) != VS_OK)
        return shell_fail(im->call, "%s", vs_errmsg(im->collection));
    if (info.dim != im->source.dim)
        return shell_fail(im->call, "%s: dimension is %lu, collection '%s' has %lu",
                          im->source.path, (unsigned long)im->source.dim, info.name,
                          (unsigned long)info.dim);
    return SHELL_OK;
}

/* Finds out how far an earlier import of the same source came. */
static int find_position(importer *im) {
    uint64_t bytes = 0, hash = 0;
    bool is_file = false;
    char value[24] = "";
    size_t value_bytes = 0;
    if (!vecs_identify(im->source.path, &is_file, &bytes, &hash))
        return shell_fail(im->call, "%s: cannot be read", im->source.path);
    if (!is_file)
        return SHELL_OK;
    snprintf(im->note, sizeof im->note, "import %016llx %llu bytes from key %llu",
             (unsigned long long)hash, (unsigned long long)bytes,
             (unsigned long long)im->start_key);
    vs_status st = vs_kv_get(im->db, NULL, im->collection, im->note, strlen(im->note), value,
                             sizeof value - 1, &value_bytes);
    if (st == VS_ERR_NOT_FOUND)
        return SHELL_OK;
    if (st != VS_OK || value_bytes >= sizeof value || !text_to_u64(value, &im->done))
        return shell_fail(im->call, "the note '%s' about an earlier import cannot be used",
                          im->note);
    im->resumed = im->done;
    return SHELL_OK;
}

static void allocate_batch(importer *im) {
    size_t row_bytes = im->source.dim * vecs_element_bytes(im->source.kind);
    size_t rows = IMPORT_BATCH_BYTES / row_bytes;
    rows = rows < 1 ? 1 : rows > IMPORT_BATCH_ROWS ? IMPORT_BATCH_ROWS : rows;
    im->batch_rows = (size_t)shell_number(im->call, "--batch", rows);
    im->keys = shell_alloc(im->batch_rows * sizeof *im->keys);
    im->vectors = shell_alloc(im->batch_rows * row_bytes);
    im->label_text = shell_alloc(im->batch_rows * sizeof *im->label_text);
    im->metadata = shell_alloc(im->batch_rows * sizeof *im->metadata);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int read_label(importer *im, uint64_t row, size_t at) {
    im->metadata[at] = NULL;
    if (!im->labels)
        return SHELL_OK;
    int label = fgetc(im->labels);
    if (label == EOF)
        return shell_fail(im->call, "%s: row %llu: the file has no label for this row",
                          im->labels_path, (unsigned long long)row);
    snprintf(im->label_text[at], sizeof im->label_text[at], "{\"label\":%d}", label);
    im->metadata[at] = im->label_text[at];
    return SHELL_OK;
}

/* The next row of the source into place at of the batch. */
static int read_row(importer *im, size_t at, bool *out_end) {
    uint64_t row = im->source.rows;
    size_t bytes = im->source.dim * vecs_element_bytes(im->source.kind);
    if (!vecs_next(&im->source, out_end))
        return shell_fail(im->call, "%s: %s", im->source.path, im->source.why);
    if (*out_end)
        return SHELL_OK;
    if (row > UINT64_MAX - im->start_key)
        return shell_fail(im->call, "%s: row %llu: its key would be too large", im->source.path,
                          (unsigned long long)row);
    im->keys[at] = im->start_key + row;
    memcpy(im->vectors + at * bytes, im->source.row, bytes);
    return read_label(im, row, at);
}

static int skip_done_rows(importer *im) {
    bool is_end = false;
    int result = SHELL_OK;
    while (result == SHELL_OK && !is_end && im->source.rows < im->done)
        result = read_row(im, 0, &is_end);
    if (result == SHELL_OK && im->source.rows < im->done)
        return shell_fail(im->call, "%s: has %llu rows, %llu were imported before", im->source.path,
                          (unsigned long long)im->source.rows, (unsigned long long)im->done);
    return result;
}

static int fill_batch(importer *im) {
    bool is_end = false;
    int result = SHELL_OK;
    im->count = 0;
    while (result == SHELL_OK && !is_end && im->count < im->batch_rows) {
        result = read_row(im, im->count, &is_end);
        im->count += result == SHELL_OK && !is_end;
    }
    return result;
}

/* ---- committing ----------------------------------------------------------------------------- */

/* A batch was refused: put its rows one by one, to say which it was. */
static int fail_batch(importer *im, vs_txn *txn) {
    size_t bytes = im->source.dim * vecs_element_bytes(im->source.kind);
    for (size_t i = 0; i < im->count; i++) {
        vs_record record = VS_RECORD_INIT;
        record.vector_type = im->source.kind == VECS_U8 ? VS_U8 : VS_F32;
        record.key.number = im->keys[i];
        record.vector = im->vectors + i * bytes;
        record.metadata = im->labels ? im->metadata[i] : NULL;
        if (vs_put(im->collection, txn, &record, VS_INSERT) != VS_OK)
            return shell_fail(im->call, "%s: row %llu: %s", im->source.path,
                              (unsigned long long)(im->done + i), vs_errmsg(im->collection));
    }
    return shell_fail(im->call, "%s: rows %llu to %llu were refused", im->source.path,
                      (unsigned long long)im->done, (unsigned long long)(im->done + im->count - 1));
}

static vs_status stage_batch(importer *im, vs_txn *txn) {
    char value[24];
    vs_batch batch = VS_BATCH_INIT;
    batch.vector_type = im->source.kind == VECS_U8 ? VS_U8 : VS_F32;
    batch.count = im->count;
    batch.numbers = im->keys;
    batch.vectors = im->vectors;
    batch.metadata = im->labels ? im->metadata : NULL;
    vs_status st = vs_put_batch(im->collection, txn, &batch, VS_INSERT);
    if (st != VS_OK)
        fail_batch(im, txn);
    if (st != VS_OK || !*im->note)
        return st;
    snprintf(value, sizeof value, "%llu", (unsigned long long)(im->done + im->count));
    st = vs_kv_put(im->db, txn, im->collection, im->note, strlen(im->note), value, strlen(value));
    if (st != VS_OK)
        shell_fail(im->call, "%s", vs_errmsg(txn));
    return st;
}

static int commit_batch(importer *im) {
    vs_txn *txn = NULL;
    if (vs_begin(im->db, VS_TXN_WRITE, &txn) != VS_OK)
        return shell_fail(im->call, "%s", vs_errmsg(im->db));
    if (stage_batch(im, txn) != VS_OK) {
        vs_rollback(txn);
        return SHELL_FAILED;
    }
    if (vs_commit(txn, VS_SYNC_FULL) != VS_OK)
        return shell_fail(im->call, "%s", vs_errmsg(im->db));
    im->done += im->count;
    progress_show(&im->progress, im->done, im->done - im->resumed, vecs_part(&im->source), false);
    return SHELL_OK;
}

static int check_labels_end(const importer *im) {
    if (im->labels && fgetc(im->labels) != EOF)
        return shell_fail(im->call, "%s: more labels than the %llu rows of %s", im->labels_path,
                          (unsigned long long)im->source.rows, im->source.path);
    return SHELL_OK;
}

static int import_rows(importer *im) {
    bool is_end = false;
    int result = skip_done_rows(im);
    progress_start(&im->progress, im->call->shell->set.has_progress, vecs_part(&im->source));
    while (result == SHELL_OK && !is_end) {
        result = fill_batch(im);
        is_end = vecs_at_end(&im->source);
        if (result == SHELL_OK && is_end) /* before the last commit, so that nothing is half done */
            result = check_labels_end(im);
        if (result == SHELL_OK && im->count)
            result = commit_batch(im);
        if (result == SHELL_OK && !is_end && interrupt_came(im->call->shell->interrupts))
            result = shell_fail(im->call, "interrupted; the same import goes on where it stopped");
    }
    progress_show(&im->progress, im->done, im->done - im->resumed, -1, true);
    return result;
}

static int import_prepare(importer *im) {
    int result = open_source(im);
    if (result != SHELL_OK)
        return result;
    if (access(im->call->shell->file, F_OK))
        return fail_no_collection(im, "there is no such database");
    if (store_open(im->call, 0, &im->db) != SHELL_OK)
        return SHELL_FAILED;
    result = open_collection(im);
    return result == SHELL_OK ? find_position(im) : result;
}

static void import_report(const importer *im) {
    uint64_t added = im->done - im->resumed;
    if (im->resumed)
        shell_say(im->call, "%llu rows added to the %llu of an earlier import%s",
                  (unsigned long long)added, (unsigned long long)im->resumed,
                  added ? "" : "; nothing was left to do");
    else
        shell_say(im->call, "%llu rows added", (unsigned long long)added);
}

static int run_import(const shell_call *call) {
    importer im = {.call = call};
    im.start_key = shell_number(call, "--start-key", 0);
    int result = import_prepare(&im);
    if (result == SHELL_OK) {
        allocate_batch(&im);
        result = import_rows(&im);
    }
    if (result == SHELL_OK)
        import_report(&im);
    free(im.keys);
    free(im.vectors);
    free(im.label_text);
    free(im.metadata);
    vecs_close(&im.source);
    if (im.labels)
        fclose(im.labels);
    vs_collection_close(im.collection);
    return result;
}

static const option_spec import_options[] = {
    {"--format", OPTION_WORD, NULL, "what FILE is, when its name does not tell", formats, 0, 0,
     NULL},
    {"--labels", OPTION_TEXT, "FILE.u8", "a byte per row, which becomes {\"label\":N}", NULL, 0, 0,
     NULL},
    {"--batch", OPTION_NUMBER, "N", "rows of a commit (1000)", NULL, 1, 1 << 24, NULL},
    {"--start-key", OPTION_NUMBER, "N", "the key of the first row (0)", NULL, 0, UINT64_MAX, NULL},
    OPTIONS_END};

const shell_command command_import = {
    .name = "import",
    .run = run_import,
    .args = "COLLECTION FILE",
    .args_min = 2,
    .args_max = 2,
    .flags = COMMAND_COLLECTION | COMMAND_COMMITS,
    .brief = "add the vectors of a file",
    .help = "Import vectors; keys are row numbers from --start-key on. FILE may end in .zst. Every "
            "batch of\nrows is one durable commit; the same file continues where it stopped.",
    .options = import_options,
};
