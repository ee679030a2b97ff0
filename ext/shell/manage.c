/* manage.c - creating collections, and looking after a database. */
#include "command.h"
#include "commands.h"
#include "field.h"
#include "store.h"
#include "text.h"
#include <string.h>

/* ---- create --------------------------------------------------------------------------------- */

static int run_create(const shell_call *call) {
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_field field[VS_FIELDS_MAX];
    char names[VS_FIELDS_MAX][VS_FIELD_BYTES_MAX + 1];
    vs_db *db = NULL;
    int result = fields_parse(call, field, names, &options);
    if (result != SHELL_OK)
        return result;
    if (!options.field_count && !shell_value(call, "--dim"))
        return shell_usage(call, "--dim is needed: the number of elements of a vector");
    options.dim = (uint32_t)shell_number(call, "--dim", 0);
    options.type = shell_word(call, "--type", field_types);
    options.metric = shell_word(call, "--metric", field_metrics);
    options.index = shell_value(call, "--index");
    if (options.field_count && (options.dim || options.type || options.metric || options.index))
        return shell_usage(call, "--field says dim, type, metric and index of each field; --dim, "
                                 "--type, --metric and --index have no place beside it");
    options.max_records = shell_number(call, "--max-records", 0);
    options.max_bytes = shell_number(call, "--max-bytes", 0);
    if (store_open(call, VS_OPEN_CREATE, &db) != SHELL_OK)
        return SHELL_FAILED;
    vs_txn *txn = call->shell->store.txn;
    if (vs_collection_create(db, txn, call->arg[0], &options, NULL) != VS_OK)
        return shell_fail(call, "%s", txn ? vs_errmsg(txn) : vs_errmsg(db));
    return SHELL_OK;
}

static const option_spec create_options[] = {
    {"--dim", OPTION_NUMBER, "D", "elements of a vector; needed, unless there are fields", NULL, 1,
     VS_DIM_MAX, NULL},
    {"--type", OPTION_WORD, NULL, "what an element is (f32)", field_types, 0, 0, NULL},
    {"--metric", OPTION_WORD, NULL, "what distance is (l2, of bits hamming)", field_metrics, 0, 0,
     NULL},
    {"--index", OPTION_WORD, NULL, "how it is searched (auto)", field_indexes, 0, 0, NULL},
    {"--field", OPTION_LIST, "NAME:DIM[:TYPE[:METRIC[:INDEX]]][:optional]",
     "a field of a record with several vectors; once for each", NULL, 0, 0, NULL},
    OPTIONS_LIMITS,
    OPTIONS_END};

const shell_command command_create = {
    .name = "create",
    .run = run_create,
    .args = "COLLECTION",
    .args_min = 1,
    .args_max = 1,
    .brief = "make a collection",
    .help = "Create a collection, and the database file if there is none. Vectors of bits have the "
            "metrics\nhamming, the default, and jaccard; all others l2, the default, ip, cosine "
            "and l1. With --field a record\nhas several vectors.",
    .options = create_options,
};

/* ---- stats ---------------------------------------------------------------------------------- */

static const option_spec stats_options[] = {OPTION_MODE, OPTIONS_END};

static const rows_column stats_columns[] = {{"name", ROWS_TEXT, 20, 0, 0, NULL},
                                            {"value", ROWS_TEXT, 0, 0, 0, NULL}};
static const rows_spec stats_spec = {.columns = stats_columns, .count = 2, .is_bare = true};

static void add_stat(row_writer *r, const char *name, uint64_t value) {
    rows_string(r, name);
    rows_u64(r, value);
    rows_next(r);
}

static void add_stats(row_writer *r, const vs_stats *s) {
    char digest[40];
    snprintf(digest, sizeof digest, "%016llx%016llx", (unsigned long long)s->digest[0],
             (unsigned long long)s->digest[1]);
    add_stat(r, "file_bytes", s->file_bytes);
    add_stat(r, "free_bytes", s->free_bytes);
    add_stat(r, "log_bytes", s->log_bytes);
    add_stat(r, "memory_bytes", s->memory_bytes);
    add_stat(r, "memory_limit", s->memory_limit);
    add_stat(r, "trailer_bytes", s->trailer_bytes);
    add_stat(r, "lsn", s->lsn);
    add_stat(r, "durable_lsn", s->durable_lsn);
    add_stat(r, "checkpoint", s->checkpoint);
    add_stat(r, "checkpoint_lsn", s->checkpoint_lsn);
    add_stat(r, "commits", s->commits);
    add_stat(r, "syncs", s->syncs);
    add_stat(r, "readers", s->readers);
    add_stat(r, "retained_bytes", s->retained_bytes);
    add_stat(r, "recovered_txns", s->recovered_txns);
    add_stat(r, "dropped_bytes", s->dropped_bytes);
    rows_string(r, "digest");
    rows_string(r, digest);
    rows_next(r);
    rows_string(r, "readonly_reason");
    rows_string(r, s->readonly_reason);
    rows_next(r);
}

static int run_collection_stats(const shell_call *call) {
    vs_collection_stats s = VS_COLLECTION_STATS_INIT;
    store_use use;
    int result = use_read(&use, call, call->arg[0]);
    if (result == SHELL_OK && vs_collection_stats_get(use.collection, use.txn, &s) != VS_OK)
        result = use_fail(&use);
    if (result == SHELL_OK) {
        row_writer r;
        command_rows(call, &stats_spec, &r);
        add_stat(&r, "records", s.records);
        add_stat(&r, "dead_slots", s.dead_slots);
        add_stat(&r, "key_bytes", s.key_bytes);
        add_stat(&r, "metadata_bytes", s.metadata_bytes);
        add_stat(&r, "payload_bytes", s.payload_bytes);
        add_stat(&r, "vector_bytes", s.vector_bytes);
        add_stat(&r, "bitmap_bytes", s.bitmap_bytes);
        add_stat(&r, "total_bytes", s.total_bytes);
        rows_end(&r);
    }
    return use_end(&use, result);
}

static int run_stats(const shell_call *call) {
    vs_stats stats = VS_STATS_INIT;
    vs_db *db = NULL;
    row_writer r;
    if (call->arg_count)
        return run_collection_stats(call);
    if (store_open(call, VS_OPEN_READONLY, &db) != SHELL_OK)
        return SHELL_FAILED;
    if (vs_stats_get(db, &stats) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(db));
    command_rows(call, &stats_spec, &r);
    add_stats(&r, &stats);
    rows_end(&r);
    return SHELL_OK;
}

const shell_command command_stats = {
    .name = "stats",
    .run = run_stats,
    .args = "[COLLECTION]",
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "figures about file, log and memory, or about a collection",
    .help = "Print figures about the file, the log and the memory, as vs_stats of vecstore.h "
            "explains them; of a\ncollection what it takes in the file, by structure, as "
            "vs_collection_stats does.",
    .options = stats_options,
};

/* ---- check and checkpoint ------------------------------------------------------------------- */

static void print_problem(void *ctx, const char *problem) {
    fprintf(ctx, "%s\n", problem);
}

static int run_check(const shell_call *call) {
    int level = (int)shell_number(call, "--level", 3);
    uint64_t problems = 0;
    vs_db *db = NULL;
    if (store_open(call, VS_OPEN_READONLY, &db) != SHELL_OK)
        return SHELL_FAILED;
    if (vs_check(db, level, print_problem, shell_out(call->shell), &problems) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(db));
    if (problems)
        return shell_fail(call, "%s is damaged: %llu problem(s) at level %d", call->shell->file,
                          (unsigned long long)problems, level);
    shell_say(call, "%s is clean at level %d", call->shell->file, level);
    return SHELL_OK;
}

static const option_spec check_options[] = {
    {"--level", OPTION_NUMBER, "0..3", "how closely to look (3)", NULL, 0, 3, NULL}, OPTIONS_END};

const shell_command command_check = {
    .name = "check",
    .run = run_check,
    .args = "",
    .brief = "look for damage",
    .help = "Look for damage, at level 3 unless told otherwise: exit 0 when clean, 1 when damaged.",
    .options = check_options,
};

static int run_checkpoint(const shell_call *call) {
    vs_db *db = NULL;
    if (store_open(call, 0, &db) != SHELL_OK)
        return SHELL_FAILED;
    if (vs_checkpoint(db) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(db));
    return SHELL_OK;
}

const shell_command command_checkpoint = {
    .name = "checkpoint",
    .run = run_checkpoint,
    .args = "",
    .flags = COMMAND_COMMITS,
    .brief = "move what the log has into the file",
    .help = "Move what the log has into the database file. It happens by itself, and whenever a "
            "database is closed.",
};

/* ---- vacuum --------------------------------------------------------------------------------- */

static int run_vacuum(const shell_call *call) {
    uint64_t budget = shell_number(call, "--budget", 0) << 20, left = 1;
    vs_stats before = VS_STATS_INIT, after = VS_STATS_INIT;
    vs_db *db = NULL;
    if (store_open(call, 0, &db) != SHELL_OK)
        return SHELL_FAILED;
    vs_status st = vs_stats_get(db, &before);
    while (st == VS_OK && left)
        st = vs_vacuum(db, budget, &left);
    if (st == VS_OK)
        st = vs_stats_get(db, &after);
    if (st != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(db));
    shell_say(call, "%s: %llu bytes, before %llu", call->shell->file,
              (unsigned long long)after.file_bytes, (unsigned long long)before.file_bytes);
    return SHELL_OK;
}

static const option_spec vacuum_options[] = {{"--budget", OPTION_NUMBER, "MIB",
                                              "how much is moved in one step (all)", NULL, 0,
                                              1 << 30, NULL},
                                             OPTIONS_END};

const shell_command command_vacuum = {
    .name = "vacuum",
    .run = run_vacuum,
    .args = "",
    .flags = COMMAND_COMMITS,
    .brief = "make the file smaller",
    .help = "Move what is at the end of the file into holes before it, and cut the file. Closing a "
            "database does\nso too, as far as its last session has written.",
    .options = vacuum_options,
};
