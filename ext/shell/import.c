/* import.c - records from a file into a collection, resumable, with bounded memory.
 *
 * Each batch of rows is one transaction, which also writes how far the import has come into a note
 * of the collection. The note's key names the source by its size and the hash of its first
 * mebibyte, the first key, and what was mapped. So after a crash the same command goes on with the first
 * row that is missing. A pipe can be read only once: it has no note and is imported from its start. */
#define _POSIX_C_SOURCE 200809L
#include "ahead.h"
#include "command.h"
#include "commands.h"
#include "field.h"
#include "format.h"
#include "interrupt.h"
#include "names.h"
#include "progress.h"
#include "reader.h"
#include "store.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    IMPORT_BATCH_BYTES = 4 << 20, /* of vectors in a batch, so that a sync is worth it, */
    IMPORT_BATCH_ROWS_MIN = 1000, /* but no fewer rows, */
    IMPORT_BATCH_ROWS_MAX = 10000,
    IMPORT_BATCH_BYTES_MAX = 32 << 20, /* unless they are huge */
    IMPORT_NOTE_BYTES = 128
};

enum { ON_ERROR_STOP = 1, ON_ERROR_SKIP, ON_ERROR_LOG };
static const char *const answers[] = {"stop", "skip", "log", NULL}; /* ON_ERROR_... */

typedef struct importer {
    const shell_call *call;
    vs_db *db;
    vs_collection *collection;
    vs_collection_info info;
    field_list fields;
    uint32_t target; /* the field that --field says */
    reader source;
    mapping map;
    batch batch; /* the columns; until rows are read */
    int mode;    /* VS_UPSERT, ...; of --append not used */
    bool is_appending;
    int on_error;                 /* ON_ERROR_... */
    FILE *log;                    /* where refused rows are listed; NULL: nowhere */
    uint64_t done;                /* rows of the source that are committed, by earlier runs too */
    uint64_t resumed;             /* by earlier runs */
    uint64_t added, refused;      /* by this run */
    char note[IMPORT_NOTE_BYTES]; /* "": none */
    progress progress;
} importer;

/* ---- preparing ------------------------------------------------------------------------------ */

/* The command that would make the collection this import needs. */
static int fail_no_collection(const importer *im, const char *reason) {
    const vecs *v = &im->source.vecs;
    char file[1024], name[1024];
    text_quote(im->call->shell->file, file, sizeof file);
    text_quote(im->call->arg[0], name, sizeof name);
    if (!v->dim)
        return shell_fail(im->call, "%s; create it with\n  vecstore %s create %s --dim D", reason,
                          file, name);
    return shell_fail(im->call, "%s; create it with\n  vecstore %s create %s --dim %lu --type %s",
                      reason, file, name, (unsigned long)v->dim, vs_type_name(v->type));
}

static int open_source(importer *im) {
    const char *path = im->call->arg[1];
    int format = shell_word(im->call, "--format", format_names);
    if (!reader_open(&im->source, path, format, shell_value(im->call, "--tensor")))
        return shell_fail(im->call, "%s", im->source.why);
    if (im->source.format == FORMAT_IVECS)
        return shell_fail(im->call, "%s: ivecs holds neighbour ids, not vectors", path);
    if (!im->source.stream && !im->source.vecs.dim && vecs_at_end(&im->source.vecs))
        return shell_fail(im->call, "%s: the file is empty", path);
    return SHELL_OK;
}

static int open_collection(importer *im) {
    im->info = (vs_collection_info)VS_COLLECTION_INFO_INIT;
    vs_status st = vs_collection_open(im->db, NULL, im->call->arg[0], &im->collection);
    if (st == VS_ERR_NOT_FOUND) {
        char reason[2 * TEXT_HINT_BYTES];
        name_list names;
        names_load(im->db, NULL, &names);
        const char *near = text_nearest(im->call->arg[0], names_at, &names);
        snprintf(reason, sizeof reason, "%s%s%.255s%s", vs_errmsg(im->db),
                 near ? ", the nearest is '" : "", near ? near : "", near ? "'" : "");
        names_free(&names);
        return fail_no_collection(im, reason);
    }
    if (st != VS_OK)
        return shell_fail(im->call, "%s", vs_errmsg(im->db));
    if (vs_collection_info_get(im->collection, NULL, &im->info) != VS_OK)
        return shell_fail(im->call, "%s", vs_errmsg(im->collection));
    if (fields_of(im->call, im->collection, NULL, &im->fields) != SHELL_OK)
        return SHELL_FAILED;
    return fields_find(im->call, &im->fields, "--field", &im->target);
}

/* ---- what goes where ------------------------------------------------------------------------ */

/* A file of vectors: one column, and what it lacks from other files. */
static int map_vectors(importer *im) {
    companions *c = &im->source.companions;
    const vecs *v = &im->source.vecs;
    uint32_t dim = im->fields.field[im->target].dim;
    c->labels_path = shell_value(im->call, "--labels");
    c->keys_path = shell_value(im->call, "--keys");
    c->metadata_path = shell_value(im->call, "--metadata");
    if (shell_value(im->call, "--key") || shell_value(im->call, "--vector"))
        return shell_usage(im->call, "rows of %s have no names for --key and --vector",
                           im->source.path);
    if (c->labels_path && c->metadata_path)
        return shell_usage(im->call, "--labels and --metadata exclude each other");
    if (v->dim != dim)
        return shell_fail(im->call, "%s: dimension is %lu, collection '%s' has %lu",
                          im->source.path, (unsigned long)v->dim, im->info.name,
                          (unsigned long)dim);
    batch_add_column(&im->batch, im->target, dim, v->type);
    im->map.field_count = 1;
    return SHELL_OK;
}

/* A file of records: every field under its name, that of --field under --vector. */
static int map_records(importer *im) {
    const char *key = shell_value(im->call, "--key"), *vector = shell_value(im->call, "--vector"),
               *metadata = shell_value(im->call, "--metadata");
    mapping *map = &im->map;
    bool is_numbered = im->is_appending || (key && !strcmp(key, "row"));
    if (shell_value(im->call, "--labels") || shell_value(im->call, "--keys"))
        return shell_usage(im->call, "--labels and --keys are for files of vectors alone");
    map->key = is_numbered ? NULL : key ? key : "key";
    map->has_text_keys = shell_value(im->call, "--text-keys");
    map->has_rest = metadata && !strcmp(metadata, "rest");
    if (!map->has_rest && (!metadata || strcmp(metadata, "none") != 0))
        map->metadata = metadata ? metadata : "metadata";
    map->field_count = im->fields.count;
    for (uint32_t i = 0; i < im->fields.count; i++) {
        const vs_field_info *f = &im->fields.field[i];
        map->fields[i].dim = f->dim;
        map->fields[i].name = i == im->target && vector ? vector : f->name;
        map->fields[i].is_required = !(f->flags & VS_FIELD_OPTIONAL);
        map->fields[i].is_needed = map->fields[i].is_required || (i == im->target && vector);
        batch_add_column(&im->batch, i, f->dim, VS_F32);
    }
    return SHELL_OK;
}

static int map_source(importer *im) {
    const shell_call *call = im->call;
    im->is_appending = shell_value(call, "--append");
    im->map.start_key = shell_number(call, "--start-key", 0);
    batch_init(&im->batch, !im->is_appending);
    if (im->is_appending && (shell_value(call, "--start-key") || shell_value(call, "--keys") ||
                             shell_value(call, "--key")))
        return shell_usage(call, "--append chooses the keys, so --key, --keys and --start-key "
                                 "have no place beside it");
    int result = im->source.stream ? map_records(im) : map_vectors(im);
    if (result != SHELL_OK)
        return result;
    if (!reader_map(&im->source, &im->map))
        return shell_fail(call, "%s", im->source.why);
    return SHELL_OK;
}

static int check_modes(importer *im) {
    static const char *const modes[] = {"--upsert", "--insert", "--replace", "--ignore"};
    const char *log = shell_value(im->call, "--log");
    int given = 0;
    im->mode = VS_INSERT;
    for (int i = 0; i < 4; i++) {
        if (!shell_value(im->call, modes[i]))
            continue;
        im->mode = VS_UPSERT + i;
        given++;
    }
    if (given > 1 || (given && shell_value(im->call, "--append")))
        return shell_usage(im->call, "--upsert, --insert, --replace, --ignore and --append "
                                     "exclude each other");
    im->on_error = shell_word(im->call, "--on-error", answers);
    im->on_error = im->on_error ? im->on_error : log ? ON_ERROR_LOG : ON_ERROR_STOP;
    if (log && im->on_error != ON_ERROR_LOG)
        return shell_usage(im->call, "--log needs --on-error log");
    if (im->on_error != ON_ERROR_LOG)
        return SHELL_OK;
    im->log = log ? fopen(log, "a") : stderr;
    return im->log ? SHELL_OK : shell_fail(im->call, "%s: cannot be written", log);
}

/* ---- going on ------------------------------------------------------------------------------- */

/* A number for the options that change what an import does; 0: none of them was given. */
static uint64_t hash_options(const shell_call *call) {
    static const char *const names[] = {"--key",    "--vector", "--metadata",  "--field",
                                        "--tensor", "--append", "--text-keys", "--keys"};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = shell_value(call, names[i]);
        if (!value)
            continue;
        hash = (hash ^ (i + 1)) * 1099511628211u;
        for (; *value; value++)
            hash = (hash ^ (uint8_t)*value) * 1099511628211u;
    }
    return hash;
}

/* Finds out how far an earlier import of the same source came. */
static int find_position(importer *im) {
    uint64_t bytes = 0, hash = 0, options = hash_options(im->call);
    bool is_file = false;
    char value[24] = "";
    size_t value_bytes = 0;
    if (!stream_identify(im->source.path, &is_file, &bytes, &hash))
        return shell_fail(im->call, "%s: cannot be read", im->source.path);
    if (!is_file)
        return SHELL_OK;
    int n = snprintf(im->note, sizeof im->note, "import %016llx %llu bytes from key %llu",
                     (unsigned long long)hash, (unsigned long long)bytes,
                     (unsigned long long)im->map.start_key);
    if (options)
        snprintf(im->note + n, sizeof im->note - (size_t)n, " by %016llx",
                 (unsigned long long)options);
    if (shell_value(im->call, "--again"))
        return SHELL_OK;
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
    size_t bytes = batch_record_bytes(&im->batch), rows = IMPORT_BATCH_BYTES / bytes;
    if (rows > IMPORT_BATCH_ROWS_MAX)
        rows = IMPORT_BATCH_ROWS_MAX;
    if (rows < IMPORT_BATCH_ROWS_MIN)
        rows = IMPORT_BATCH_ROWS_MIN;
    if (rows > IMPORT_BATCH_BYTES_MAX / bytes)
        rows = IMPORT_BATCH_BYTES_MAX / bytes;
    rows = rows < 1 ? 1 : rows;
    batch_set_room(&im->batch, (size_t)shell_number(im->call, "--batch", rows));
}

/* The rows that an earlier import had; companions of vectors move on with them. */
static int skip_done_rows(importer *im) {
    int found = READ_ROW;
    while (found != READ_END && im->source.rows < im->done) {
        found = im->source.stream ? reader_skip(&im->source) : reader_next(&im->source, &im->batch);
        batch_clear(&im->batch);
        if (found == READ_BROKEN)
            return shell_fail(im->call, "%s", im->source.why);
    }
    if (im->source.rows < im->done)
        return shell_fail(im->call, "%s: has %llu rows, %llu were imported before", im->source.path,
                          (unsigned long long)im->source.rows, (unsigned long long)im->done);
    return SHELL_OK;
}

/* ---- rows that are refused ------------------------------------------------------------------ */

/* Those that could not be read. */
static void count_refused(importer *im, const ahead_load *load) {
    im->refused += load->refused;
    if (im->log && load->refusals.bytes)
        fwrite(load->refusals.text, 1, load->refusals.bytes, im->log);
}

static int refuse(importer *im, const char *why) {
    if (im->on_error == ON_ERROR_STOP)
        return shell_fail(im->call, "%s", why);
    im->refused++;
    if (im->log)
        fprintf(im->log, "%s\n", why);
    return SHELL_OK;
}

/* A row that was not put with its batch is put alone, for the words of the reason. */
static int refuse_row(importer *im, const batch *b, vs_txn *txn, size_t at) {
    vs_vector vectors[VS_FIELDS_MAX];
    char why[READER_WHY_BYTES];
    vs_record record = batch_record(b, at, vectors);
    vs_status st = im->is_appending ? vs_append(im->collection, txn, &record, NULL)
                                    : vs_put(im->collection, txn, &record, im->mode);
    if (st == VS_OK) /* what stood in its way was in the batch, and is gone */
        return SHELL_OK;
    snprintf(why, sizeof why, "%.900s: %s %llu: %.500s", im->source.path, reader_unit(&im->source),
             (unsigned long long)b->places[at], vs_errmsg(im->collection));
    return refuse(im, why);
}

/* A batch was refused: its rows one by one, to say which it was. */
static int fail_batch(importer *im, const batch *b, vs_txn *txn) {
    char why[READER_WHY_BYTES];
    int result = SHELL_OK;
    snprintf(why, sizeof why, "%s", vs_errmsg(im->collection));
    for (size_t i = 0; result == SHELL_OK && i < b->count; i++)
        result = refuse_row(im, b, txn, i);
    return result == SHELL_OK ? shell_fail(im->call, "%s: %s", im->source.path, why) : result;
}

static int refuse_rows(importer *im, const batch *b, vs_txn *txn) {
    uint64_t refused = im->refused;
    int result = SHELL_OK;
    for (size_t i = 0; result == SHELL_OK && i < b->count; i++)
        if (b->statuses[i] != VS_OK)
            result = refuse_row(im, b, txn, i);
    im->added += b->count - (im->refused - refused);
    return result;
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int fail_interrupted(const importer *im) {
    return shell_fail(im->call, "interrupted; the same import goes on where it stopped");
}

static int put_batch(importer *im, batch *b, vs_txn *txn) {
    vs_column columns[VS_FIELDS_MAX];
    vs_batch view = batch_view(b, columns);
    view.statuses = im->on_error == ON_ERROR_STOP ? NULL : b->statuses;
    vs_status st = im->is_appending ? vs_append_batch(im->collection, txn, &view, NULL)
                                    : vs_put_batch(im->collection, txn, &view, im->mode);
    if (st == VS_ERR_INTERRUPTED)
        return fail_interrupted(im);
    if (st != VS_OK && view.statuses) /* it is not a row that is wrong */
        return shell_fail(im->call, "%s: %s", im->source.path, vs_errmsg(im->collection));
    if (st != VS_OK)
        return fail_batch(im, b, txn);
    if (view.statuses)
        return refuse_rows(im, b, txn);
    im->added += b->count;
    return SHELL_OK;
}

static int write_note(importer *im, uint64_t rows, vs_txn *txn) {
    char value[24];
    if (!*im->note)
        return SHELL_OK;
    snprintf(value, sizeof value, "%llu", (unsigned long long)rows);
    if (vs_kv_put(im->db, txn, im->collection, im->note, strlen(im->note), value, strlen(value)) !=
        VS_OK)
        return shell_fail(im->call, "%s", vs_errmsg(txn));
    return SHELL_OK;
}

static int commit_batch(importer *im, ahead_load *load) {
    vs_txn *txn = NULL;
    if (vs_begin(im->db, VS_TXN_WRITE, &txn) != VS_OK)
        return shell_fail(im->call, "%s", vs_errmsg(im->db));
    int result = load->batch.count ? put_batch(im, &load->batch, txn) : SHELL_OK;
    if (result == SHELL_OK)
        result = write_note(im, load->rows, txn);
    if (result != SHELL_OK) {
        vs_rollback(txn);
        return result;
    }
    if (vs_commit(txn, VS_SYNC_FULL) != VS_OK)
        return shell_fail(im->call, "%s", vs_errmsg(im->db));
    im->done = load->rows;
    progress_show(&im->progress, im->done, im->done - im->resumed, load->part, false);
    return SHELL_OK;
}

static int import_batches(importer *im, ahead *a) {
    bool is_end = false;
    int result = SHELL_OK;
    while (result == SHELL_OK && !is_end) {
        ahead_load *load = ahead_next(a);
        count_refused(im, load);
        is_end = load->is_end;
        if (load->has_failed)
            result = shell_fail(im->call, "%s", load->why);
        if (result == SHELL_OK && load->rows > im->done)
            result = commit_batch(im, load);
        if (result == SHELL_OK && !is_end && interrupt_came(im->call->shell->interrupts))
            result = fail_interrupted(im);
    }
    return result;
}

static int import_rows(importer *im) {
    int result = skip_done_rows(im);
    progress_start(&im->progress, im->call->shell->set.has_progress, reader_part(&im->source));
    if (result == SHELL_OK) {
        ahead *a = ahead_start(&im->source, &im->batch, im->on_error == ON_ERROR_STOP);
        result = import_batches(im, a);
        ahead_stop(a);
    }
    progress_show(&im->progress, im->done, im->done - im->resumed, -1, true);
    return result;
}

static int import_prepare(importer *im) {
    int result = check_modes(im);
    if (result == SHELL_OK)
        result = open_source(im);
    if (result != SHELL_OK)
        return result;
    if (access(im->call->shell->file, F_OK))
        return fail_no_collection(im, "there is no such database");
    if (store_open(im->call, 0, &im->db) != SHELL_OK)
        return SHELL_FAILED;
    result = open_collection(im);
    if (result == SHELL_OK)
        result = map_source(im);
    return result == SHELL_OK ? find_position(im) : result;
}

static void import_report(const importer *im) {
    const char *what = im->is_appending || im->mode == VS_INSERT ? "added" : "put";
    uint64_t rows = im->done - im->resumed;
    char refused[64] = "";
    if (im->refused)
        snprintf(refused, sizeof refused, ", %llu refused", (unsigned long long)im->refused);
    if (im->resumed)
        shell_say(im->call, "%llu rows %s to the %llu of an earlier import%s%s",
                  (unsigned long long)im->added, what, (unsigned long long)im->resumed, refused,
                  rows ? "" : "; nothing was left to do");
    else
        shell_say(im->call, "%llu rows %s%s", (unsigned long long)im->added, what, refused);
    if (im->source.left_out[0] && !shell_value(im->call, "--metadata"))
        shell_say(im->call,
                  "what is neither key, vector nor metadata was left out, such as '%s'; "
                  "--metadata rest keeps it",
                  im->source.left_out);
}

static int run_import(const shell_call *call) {
    importer im = {.call = call};
    int result = import_prepare(&im);
    if (result == SHELL_OK) {
        allocate_batch(&im);
        result = import_rows(&im);
    }
    if (result == SHELL_OK)
        import_report(&im);
    batch_free(&im.batch);
    reader_close(&im.source);
    if (im.log && im.log != stderr && fclose(im.log))
        result = shell_fail(call, "%s: cannot be written", shell_value(call, "--log"));
    vs_collection_close(im.collection);
    return result;
}

static const option_spec import_options[] = {
    {"--format", OPTION_WORD, NULL, "what FILE is, when its name does not tell", format_names, 0, 0,
     NULL},
    {"--key", OPTION_TEXT, "NAME|row", "the member or column of keys (key), or row numbers", NULL,
     0, 0, NULL},
    {"--text-keys", OPTION_SWITCH, NULL, "keys that are strings are texts as they are", NULL, 0, 0,
     NULL},
    {"--vector", OPTION_TEXT, "NAME",
     "that of the vector (the field's), or columns: FIRST..LAST, numeric", NULL, 0, 0, NULL},
    {"--field", OPTION_TEXT, "NAME", "which vector field that is (the first)", NULL, 0, 0, NULL},
    {"--metadata", OPTION_TEXT, "NAME|rest|none",
     "that of the metadata (metadata), or all the rest; of vectors a FILE, an object a line", NULL,
     0, 0, NULL},
    {"--keys", OPTION_TEXT, "FILE", "keys of a file of vectors, one a line", NULL, 0, 0, NULL},
    {"--labels", OPTION_TEXT, "FILE.u8",
     "a byte per row, or a row of an ivecs, which becomes {\"label\":N}", NULL, 0, 0, NULL},
    {"--tensor", OPTION_TEXT, "NAME", "which tensor of safetensors", NULL, 0, 0, NULL},
    {"--append", OPTION_SWITCH, NULL, "the database chooses the keys", NULL, 0, 0, NULL},
    {"--start-key", OPTION_NUMBER, "N", "the key of the first row (0)", NULL, 0, UINT64_MAX, NULL},
    {"--insert", OPTION_SWITCH, NULL, "a key that exists is an error, as unless told otherwise",
     NULL, 0, 0, NULL},
    {"--upsert", OPTION_SWITCH, NULL, "a record that exists is replaced", NULL, 0, 0, NULL},
    {"--replace", OPTION_SWITCH, NULL, "... and a key that does not exist is an error", NULL, 0, 0,
     NULL},
    {"--ignore", OPTION_SWITCH, NULL, "leave a record that exists as it is", NULL, 0, 0, NULL},
    {"--on-error", OPTION_WORD, NULL, "what a row that is refused does (stop)", answers, 0, 0,
     NULL},
    {"--log", OPTION_TEXT, "FILE", "where log says which rows and why (stderr)", NULL, 0, 0, NULL},
    {"--again", OPTION_SWITCH, NULL, "from the start, whatever an earlier import did", NULL, 0, 0,
     NULL},
    {"--batch", OPTION_NUMBER, "N",
     "rows of a commit (as many as have 4 MiB of vectors, 1000 to 10000)", NULL, 1, 1 << 24, NULL},
    OPTIONS_END};

const shell_command command_import = {
    .name = "import",
    .run = run_import,
    .args = "COLLECTION FILE",
    .args_min = 2,
    .args_max = 2,
    .flags = COMMAND_COLLECTION | COMMAND_COMMITS,
    .brief = "add the records of a file",
    .help =
        "Import records from JSON lines or a table with a header, or vectors, whose keys are row "
        "numbers\nfrom --start-key on. FILE may end in .zst; - is the standard input. Every "
        "batch of rows is one\ndurable commit; the same file continues where it stopped.",
    .options = import_options,
};
