/* info.c - what the collections of a database are: info, ls, schema, limits. */
#define _POSIX_C_SOURCE 200809L
#include "buffer.h"
#include "command.h"
#include "commands.h"
#include "field.h"
#include "store.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Calls visit for each collection, or for the one that call->arg[0] names. */
static int each_collection(const shell_call *call, void *ctx,
                           int (*visit)(void *ctx, const store_use *use,
                                        const vs_collection_info *info)) {
    const char *only = call->arg_count ? call->arg[0] : NULL;
    store_use use;
    int result = use_read(&use, call, only);
    for (size_t i = 0; result == SHELL_OK; i++) {
        vs_collection_info info = VS_COLLECTION_INFO_INIT;
        vs_status st = vs_collection_at(use.db, use.txn, i, &info);
        if (st == VS_DONE)
            break;
        if (st != VS_OK)
            result = use_fail_db(&use);
        else if (!only || info.id == use.info.id)
            result = visit(ctx, &use, &info);
    }
    return use_end(&use, result);
}

/* Calls visit for each alias of a collection. */
static int each_alias(const store_use *use, const char *collection, void *ctx,
                      void (*visit)(void *ctx, const char *alias)) {
    vs_alias_info alias = VS_ALIAS_INFO_INIT;
    vs_status st = VS_OK;
    for (size_t i = 0; (st = vs_alias_at(use->db, use->txn, i, &alias)) == VS_OK; i++)
        if (!strcmp(alias.collection, collection))
            visit(ctx, alias.name);
    return st == VS_DONE ? SHELL_OK : use_fail_db(use);
}

static void add_alias(void *ctx, const char *alias) {
    buffer *list = ctx;
    size_t n = 0, bytes = strlen(alias), room = 6 * bytes + 2;
    buffer_add_string(list, list->bytes > 1 ? "," : "");
    char *place = buffer_reserve(list, room);
    if (vs_json_write_string(alias, bytes, place, room, &n) == VS_OK) /* a name is UTF-8 */
        list->bytes += n;
}

/* The aliases of a collection as a JSON array. */
static int rows_aliases(row_writer *r, const store_use *use, const char *collection) {
    buffer list = {NULL, 0, 0};
    buffer_add_string(&list, "[");
    int result = each_alias(use, collection, &list, add_alias);
    buffer_add_string(&list, "]");
    rows_text(r, list.text, list.bytes);
    buffer_free(&list);
    return result;
}

/* ---- info ----------------------------------------------------------------------------------- */

/* Of each collection, or of each field of it. */
static const rows_column info_columns[] = {
    {"collection", ROWS_TEXT, 24, 0, 0, "name"}, {"records", ROWS_NUMBER, 12, 0, 0, "count"},
    {"dim", ROWS_NUMBER, 7, 0, 0, NULL},         {"type", ROWS_TEXT, 5, 0, 0, NULL},
    {"metric", ROWS_TEXT, 7, 0, 0, NULL},        {"index", ROWS_TEXT, 0, 0, 0, NULL}};
/* When a collection has fields of its own. */
static const rows_column field_columns[] = {{"field", ROWS_TEXT, 0, 1, 0, NULL},
                                            {"optional", ROWS_VALUE, 0, 1, 0, NULL}};
/* With --long, and in json. */
static const rows_column long_columns[] = {
    {"bytes", ROWS_NUMBER, 12, 0, 0, NULL},     {"created", ROWS_TEXT, 27, 1, 0, NULL},
    {"changed", ROWS_TEXT, 27, 0, 0, NULL},     {"max_records", ROWS_NUMBER, 11, 0, 0, NULL},
    {"max_bytes", ROWS_NUMBER, 12, 0, 0, NULL}, {"aliases", ROWS_VALUE, 0, 1, 0, NULL}};

enum {
    INFO_COLUMNS = sizeof info_columns / sizeof info_columns[0],
    FIELD_COLUMNS = sizeof field_columns / sizeof field_columns[0],
    LONG_COLUMNS = sizeof long_columns / sizeof long_columns[0]
};

typedef struct informer {
    bool has_fields, is_long;
    rows_column columns[INFO_COLUMNS + FIELD_COLUMNS + LONG_COLUMNS];
    row_writer rows;
} informer;

/* Whether a collection has fields that somebody named. */
static int find_fields(void *ctx, const store_use *use, const vs_collection_info *info) {
    informer *in = ctx;
    field_list fields;
    if (fields_load(use, info, &fields) != SHELL_OK)
        return SHELL_FAILED;
    in->has_fields |= !fields_are_plain(&fields);
    return SHELL_OK;
}

static rows_spec choose_columns(informer *in) {
    size_t n = INFO_COLUMNS;
    memcpy(in->columns, info_columns, sizeof info_columns);
    if (in->has_fields) {
        memcpy(in->columns + n, field_columns, sizeof field_columns);
        n += FIELD_COLUMNS;
    }
    memcpy(in->columns + n, long_columns, sizeof long_columns);
    n += in->is_long ? LONG_COLUMNS : 0;
    return (rows_spec){.columns = in->columns,
                       .count = n,
                       .json_open = "{\"collections\":[",
                       .json_between = ",",
                       .json_close = "]}\n"};
}

/* As 2026-11-22T02:30:00.000001Z. */
static void rows_time(row_writer *r, int64_t time_us) {
    char text[64];
    struct tm utc;
    int64_t us = time_us % 1000000;
    us += us < 0 ? 1000000 : 0;
    time_t seconds = (time_t)((time_us - us) / 1000000);
    if (!gmtime_r(&seconds, &utc)) {
        rows_null(r);
        return;
    }
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, sizeof text - n, ".%06ldZ", (long)us);
    rows_string(r, text);
}

static void rows_limit(row_writer *r, uint64_t limit) {
    if (limit)
        rows_u64(r, limit);
    else
        rows_null(r);
}

static int add_long(row_writer *r, const store_use *use, const vs_collection_info *info) {
    rows_u64(r, info->bytes);
    rows_time(r, info->created_us);
    rows_time(r, info->changed_us);
    rows_limit(r, info->max_records);
    rows_limit(r, info->max_bytes);
    return rows_aliases(r, use, info->name);
}

static int add_info(void *ctx, const store_use *use, const vs_collection_info *info) {
    informer *in = ctx;
    row_writer *r = &in->rows;
    field_list fields;
    int result = fields_load(use, info, &fields);
    for (uint32_t i = 0; result == SHELL_OK && i < fields.count; i++) {
        const vs_field_info *f = &fields.field[i];
        rows_string(r, info->name);
        rows_u64(r, info->count);
        rows_u64(r, f->dim);
        rows_string(r, vs_type_name(f->type));
        rows_string(r, vs_metric_name(f->metric));
        rows_string(r, f->index);
        if (in->has_fields) {
            rows_string(r, f->name);
            rows_string(r, f->flags & VS_FIELD_OPTIONAL ? "true" : "false");
        }
        if (in->is_long)
            result = add_long(r, use, info);
        rows_next(r);
    }
    return result;
}

static int run_info(const shell_call *call) {
    informer in = {.is_long = shell_value(call, "--long") || command_mode(call) == ROWS_JSON};
    int result = each_collection(call, &in, find_fields);
    if (result != SHELL_OK)
        return result;
    rows_spec spec = choose_columns(&in);
    command_rows(call, &spec, &in.rows);
    result = each_collection(call, &in, add_info);
    rows_end(&in.rows);
    return result;
}

static const option_spec info_options[] = {
    {"--long", OPTION_SWITCH, NULL, "also bytes, times, limits and aliases, as json has them", NULL,
     0, 0, NULL},
    OPTION_MODE,
    OPTIONS_END};

const shell_command command_info = {
    .name = "info",
    .run = run_info,
    .args = "[COLLECTION]",
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "say what the collections are",
    .help = "Say what is in the database: each collection with its records, or one of them. Bytes "
            "are those of\nkeys, vectors and metadata; times are UTC, that of the last change is "
            "when its transaction began.",
    .options = info_options,
};

/* ---- ls ------------------------------------------------------------------------------------- */

static int add_name(void *ctx, const store_use *use, const vs_collection_info *info) {
    row_writer *r = ctx;
    rows_string(r, info->name);
    int result = r->spec->count > 1 ? rows_aliases(r, use, info->name) : SHELL_OK;
    rows_next(r);
    return result;
}

static int run_ls(const shell_call *call) {
    static const rows_column columns[] = {{"collection", ROWS_TEXT, 0, 0, 0, "name"},
                                          {"aliases", ROWS_VALUE, 0, 0, 0, NULL}};
    vs_alias_info alias = VS_ALIAS_INFO_INIT;
    vs_db *db = NULL;
    row_writer r;
    if (store_open(call, VS_OPEN_READONLY, &db) != SHELL_OK)
        return SHELL_FAILED;
    bool has_aliases = vs_alias_at(db, call->shell->store.txn, 0, &alias) == VS_OK;
    rows_spec spec = {.columns = columns, .count = has_aliases ? 2 : 1, .is_bare = true};
    command_rows(call, &spec, &r);
    int result = each_collection(call, &r, add_name);
    rows_end(&r);
    return result;
}

static const option_spec ls_options[] = {OPTION_MODE, OPTIONS_END};

const shell_command command_ls = {
    .name = "ls",
    .run = run_ls,
    .args = "",
    .brief = "list the collections",
    .help = "List the names of the collections, in the order of their creation, and, when there "
            "are aliases, those of\neach.",
    .options = ls_options,
};

/* ---- schema --------------------------------------------------------------------------------- */

enum { QUOTED_BYTES = 4 * VS_NAME_BYTES_MAX + 8 };

typedef struct schema {
    FILE *out;
    char name[QUOTED_BYTES]; /* of the collection */
} schema;

static void print_alias(void *ctx, const char *alias) {
    const schema *s = ctx;
    char name[QUOTED_BYTES];
    text_quote(alias, name, sizeof name);
    fprintf(s->out, "alias set -- %s %s\n", name, s->name);
}

/* The commands that make the collection. */
static int print_schema(void *ctx, const store_use *use, const vs_collection_info *info) {
    schema *s = ctx;
    field_list fields;
    char index[4 * VS_INDEX_BYTES_MAX + 8];
    if (fields_load(use, info, &fields) != SHELL_OK)
        return SHELL_FAILED;
    fputs("create", s->out);
    text_quote(info->index, index, sizeof index);
    if (fields_are_plain(&fields))
        fprintf(s->out, " --dim %lu --type %s --metric %s --index %s", (unsigned long)info->dim,
                vs_type_name(info->type), vs_metric_name(info->metric), index);
    else
        fields_print(s->out, &fields);
    if (info->max_records)
        fprintf(s->out, " --max-records %llu", (unsigned long long)info->max_records);
    if (info->max_bytes)
        fprintf(s->out, " --max-bytes %llu", (unsigned long long)info->max_bytes);
    text_quote(info->name, s->name, sizeof s->name);
    fprintf(s->out, " -- %s\n", s->name);
    return each_alias(use, info->name, s, print_alias);
}

static int run_schema(const shell_call *call) {
    schema s = {.out = shell_out(call->shell)};
    return each_collection(call, &s, print_schema);
}

const shell_command command_schema = {
    .name = "schema",
    .run = run_schema,
    .args = "[COLLECTION]",
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "print the commands that create the collections",
    .help =
        "Print the commands that make the same collections, with limits and aliases and without "
        "records, in\nanother database: vecstore ONE schema | vecstore OTHER",
};

/* ---- limits --------------------------------------------------------------------------------- */

static void print_limits(const store_use *use) {
    static const rows_column columns[] = {{"limit", ROWS_TEXT, 12, 0, 0, NULL},
                                          {"now", ROWS_NUMBER, 20, 0, 0, NULL},
                                          {"most", ROWS_NUMBER, 20, 0, 0, NULL}};
    static const rows_spec spec = {.columns = columns, .count = 3};
    row_writer r;
    command_rows(use->call, &spec, &r);
    rows_string(&r, "records");
    rows_u64(&r, use->info.count);
    rows_limit(&r, use->info.max_records);
    rows_next(&r);
    rows_string(&r, "bytes");
    rows_u64(&r, use->info.bytes);
    rows_limit(&r, use->info.max_bytes);
    rows_next(&r);
    rows_end(&r);
}

static int run_limits(const shell_call *call) {
    bool is_change = shell_value(call, "--max-records") || shell_value(call, "--max-bytes");
    store_use use;
    int result = (is_change ? use_write : use_read)(&use, call, call->arg[0]);
    if (result == SHELL_OK && !is_change)
        print_limits(&use);
    else if (result == SHELL_OK &&
             vs_collection_set_limits(
                 use.collection, use.txn, shell_number(call, "--max-records", use.info.max_records),
                 shell_number(call, "--max-bytes", use.info.max_bytes)) != VS_OK)
        result = use_fail(&use);
    return use_end(&use, result);
}

static const option_spec limits_options[] = {OPTIONS_LIMITS, OPTION_MODE, OPTIONS_END};

const shell_command command_limits = {
    .name = "limits",
    .run = run_limits,
    .args = "COLLECTION",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "how large a collection may become",
    .help =
        "Print how large a collection is and may become, or say it: what would make it larger is "
        "refused, what is\nthere stays. A limit that is not named stays as it is.",
    .options = limits_options,
};
