/* records.c - reading and changing records: get, put, set, del, scan, count. */
#include "command.h"
#include "commands.h"
#include "interrupt.h"
#include "range.h"
#include "record.h"
#include "store.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

/* The keys among the arguments, from the second one on; malloc'd. */
static int parse_keys(const shell_call *call, record_key **out_keys, size_t *out_count) {
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

static const option_spec record_options[] = {OPTION_MODE, OPTION_VECTORS, OPTIONS_END};

/* ---- get ------------------------------------------------------------------------------------ */

static int get_keys(store_use *use, const record_key *keys, size_t count) {
    bool is_whole = command_wants_vectors(use->call);
    int result = SHELL_OK;
    row_writer r;
    command_rows(use->call, record_spec(is_whole), &r);
    for (size_t i = 0; i < count; i++) {
        vs_record record = VS_RECORD_INIT;
        if (vs_get(use->collection, use->txn, key_of(&keys[i]), &record) == VS_OK)
            record_add(&r, &use->info, &record, is_whole);
        else
            result = use_fail(use);
    }
    rows_end(&r);
    return result;
}

static int run_get(const shell_call *call) {
    record_key *keys = NULL;
    size_t count = 0;
    store_use use;
    int result = parse_keys(call, &keys, &count);
    if (result != SHELL_OK)
        return result;
    result = use_read(&use, call, call->arg[0]);
    if (result == SHELL_OK)
        result = get_keys(&use, keys, count);
    free(keys);
    return use_end(&use, result);
}

const shell_command command_get = {
    .name = "get",
    .run = run_get,
    .args = "COLLECTION KEY...",
    .args_min = 2,
    .args_max = SHELL_ANY_ARGS,
    .flags = COMMAND_COLLECTION,
    .brief = "print records",
    .help = "Print the records with these keys. A key that does not exist is an error; the others "
            "are printed.",
    .options = record_options,
};

/* ---- put ------------------------------------------------------------------------------------ */

static int check_put(const shell_call *call, int *out_mode) {
    static const char *const modes[] = {"--insert", "--replace", "--ignore"}; /* VS_INSERT ... */
    int given = 0;
    *out_mode = VS_UPSERT;
    for (int i = 0; i < 3; i++) {
        if (!shell_value(call, modes[i]))
            continue;
        *out_mode = VS_INSERT + i;
        given++;
    }
    if (given > 1)
        return shell_usage(call, "--insert, --replace and --ignore exclude each other");
    const char *vector = call->arg[2];
    if (*vector != '[' && *vector != '@')
        return shell_usage(call, "the vector is '%s', expected '[number, ...]' or @FILE", vector);
    return SHELL_OK;
}

static int load_vector(store_use *use, record_vectors *v, const void **out_vector) {
    const shell_call *call = use->call;
    const char *text = call->arg[2];
    uint64_t row = shell_number(call, "--row", 0);
    if (vectors_load(call, text + (*text == '@'), "vector", &use->info, v) != SHELL_OK)
        return SHELL_FAILED;
    if (row >= v->count)
        return shell_fail(call, "%s has %llu rows, there is no row %llu", text,
                          (unsigned long long)v->count, (unsigned long long)row);
    if (v->count > 1 && !shell_value(call, "--row"))
        return shell_fail(call, "%s has %llu rows; say which with --row N, or import them", text,
                          (unsigned long long)v->count);
    *out_vector = vectors_at(v, &use->info, row);
    return SHELL_OK;
}

static int put_record(store_use *use, const record_key *key, int mode) {
    record_vectors v = {NULL, 0};
    vs_record record = VS_RECORD_INIT;
    record.key = key_of(key);
    record.metadata = use->call->arg_count > 3 ? use->call->arg[3] : NULL;
    int result = load_vector(use, &v, &record.vector);
    if (result == SHELL_OK && vs_put(use->collection, use->txn, &record, mode) != VS_OK)
        result = use_fail(use);
    free(v.rows);
    return result;
}

static int run_put(const shell_call *call) {
    record_key key;
    int mode = VS_UPSERT;
    store_use use;
    int result = key_parse(call, call->arg[1], &key);
    if (result == SHELL_OK)
        result = check_put(call, &mode);
    if (result != SHELL_OK)
        return result;
    result = use_write(&use, call, call->arg[0]);
    if (result == SHELL_OK)
        result = put_record(&use, &key, mode);
    return use_end(&use, result);
}

static const option_spec put_options[] = {
    {"--insert", OPTION_SWITCH, NULL, "a key that exists is an error", NULL, 0, 0, NULL},
    {"--replace", OPTION_SWITCH, NULL, "a key that does not exist is an error", NULL, 0, 0, NULL},
    {"--ignore", OPTION_SWITCH, NULL, "leave a record that exists as it is", NULL, 0, 0, NULL},
    {"--row", OPTION_NUMBER, "N", "which row of @FILE, from 0 on", NULL, 0, UINT64_MAX, NULL},
    OPTIONS_END};

const shell_command command_put = {
    .name = "put",
    .run = run_put,
    .args = "COLLECTION KEY VECTOR [METADATA]",
    .args_min = 3,
    .args_max = 4,
    .flags = COMMAND_COLLECTION,
    .brief = "write a record",
    .help = "Write one record; one that exists is replaced, metadata included. VECTOR is '[number, "
            "...]' or\n@FILE of vectors, METADATA a JSON object.",
    .options = put_options,
};

/* ---- set and del ---------------------------------------------------------------------------- */

static int run_set(const shell_call *call) {
    record_key key;
    store_use use;
    bool is_none = !strcmp(call->arg[2], "null");
    int result = key_parse(call, call->arg[1], &key);
    if (result != SHELL_OK)
        return result;
    result = use_write(&use, call, call->arg[0]);
    if (result == SHELL_OK && vs_set_metadata(use.collection, use.txn, key_of(&key),
                                              is_none ? NULL : call->arg[2], 0) != VS_OK)
        result = use_fail(&use);
    return use_end(&use, result);
}

const shell_command command_set = {
    .name = "set",
    .run = run_set,
    .args = "COLLECTION KEY METADATA",
    .args_min = 3,
    .args_max = 3,
    .flags = COMMAND_COLLECTION,
    .brief = "replace the metadata of a record",
    .help = "Replace the metadata of a record, and leave its vector. METADATA is a JSON object, or "
            "null for none.",
};

static int delete_keys(store_use *use, const record_key *keys, size_t count) {
    uint64_t deleted = 0;
    vs_key *list = NULL;
    if (count == 1)
        return vs_delete(use->collection, use->txn, key_of(&keys[0])) == VS_OK ? SHELL_OK
                                                                               : use_fail(use);
    list = shell_alloc(count * sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = key_of(&keys[i]);
    vs_status st = vs_delete_batch(use->collection, use->txn, list, count, &deleted);
    free(list);
    if (st != VS_OK)
        return use_fail(use);
    if (deleted == count)
        return SHELL_OK;
    return shell_fail(use->call, "%llu of %zu records were there and are deleted",
                      (unsigned long long)deleted, count);
}

static int run_del(const shell_call *call) {
    record_key *keys = NULL;
    size_t count = 0;
    store_use use;
    int result = parse_keys(call, &keys, &count);
    if (result != SHELL_OK)
        return result;
    result = use_write(&use, call, call->arg[0]);
    if (result == SHELL_OK)
        result = delete_keys(&use, keys, count);
    free(keys);
    return use_end(&use, result);
}

const shell_command command_del = {
    .name = "del",
    .run = run_del,
    .args = "COLLECTION KEY...",
    .args_min = 2,
    .args_max = SHELL_ANY_ARGS,
    .flags = COMMAND_COLLECTION,
    .brief = "delete records",
    .help = "Delete the records with these keys, in one commit. Keys that do not exist are an "
            "error; the\nothers are deleted.",
};

/* ---- scan and count ------------------------------------------------------------------------- */

static int scan_records(store_use *use, const vs_range *range, uint64_t limit) {
    bool is_whole = command_wants_vectors(use->call);
    vs_cursor *cursor = NULL;
    vs_status st = VS_DONE;
    int result = SHELL_OK;
    row_writer r;
    if (vs_scan(use->collection, use->txn, range, &cursor) != VS_OK)
        return use_fail(use);
    command_rows(use->call, record_spec(is_whole), &r);
    for (uint64_t i = 0; result == SHELL_OK && i < limit && (st = vs_step(cursor)) == VS_ROW; i++) {
        vs_record record = VS_RECORD_INIT;
        st = vs_cursor_record(cursor, &record);
        if (st != VS_OK)
            break;
        record_add(&r, &use->info, &record, is_whole);
        if (interrupt_came(use->call->shell->interrupts))
            result = shell_fail(use->call, "interrupted");
    }
    rows_end(&r);
    if (st != VS_DONE && st != VS_OK && st != VS_ROW)
        result = shell_fail(use->call, "%s", vs_errmsg(cursor));
    vs_cursor_close(cursor);
    return result;
}

static int run_scan(const shell_call *call) {
    scan_range range;
    uint64_t set_limit = call->shell->set.limit;
    uint64_t limit = shell_number(call, "--limit", set_limit ? set_limit : UINT64_MAX);
    store_use use;
    int result = range_parse(call, &range);
    if (result != SHELL_OK)
        return result;
    result = use_read(&use, call, call->arg[0]);
    if (result == SHELL_OK)
        result = scan_records(&use, &range.range, limit);
    return use_end(&use, result);
}

static const option_spec scan_options[] = {
    OPTIONS_RANGE,
    {"--limit", OPTION_NUMBER, "N", "at most so many records", NULL, 0, UINT64_MAX, NULL},
    OPTION_MODE,
    OPTION_VECTORS,
    OPTIONS_END};

const shell_command command_scan = {
    .name = "scan",
    .run = run_scan,
    .args = "COLLECTION",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "print records in the order of their keys",
    .help = "Print the records of a collection in the order of their keys.",
    .options = scan_options,
};

static int run_count(const shell_call *call) {
    static const rows_column columns[] = {{"count", ROWS_NUMBER, 0, 0, 0, NULL}};
    static const rows_spec spec = {.columns = columns, .count = 1, .is_bare = true};
    store_use use;
    int result = use_read(&use, call, call->arg[0]);
    if (result == SHELL_OK) {
        row_writer r;
        command_rows(call, &spec, &r);
        rows_u64(&r, use.info.count);
        rows_next(&r);
        rows_end(&r);
    }
    return use_end(&use, result);
}

static const option_spec count_options[] = {OPTION_MODE, OPTIONS_END};

const shell_command command_count = {
    .name = "count",
    .run = run_count,
    .args = "COLLECTION",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "say how many records there are",
    .help = "Say how many records a collection has.",
    .options = count_options,
};
