/* records.c - reading records: get, scan, count. */
#include "command.h"
#include "commands.h"
#include "interrupt.h"
#include "range.h"
#include "record.h"
#include "store.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

static const option_spec record_options[] = {OPTIONS_RECORDS, OPTIONS_END};

/* ---- get ------------------------------------------------------------------------------------ */

static int get_keys(store_use *use, const record_key *keys, size_t count) {
    record_rows how;
    row_writer r;
    int result = record_rows_of(use, &how);
    if (result != SHELL_OK)
        return result;
    command_rows(use->call, &how.spec, &r);
    for (size_t i = 0; i < count; i++) {
        vs_record record = VS_RECORD_INIT;
        if (vs_get(use->collection, use->txn, key_of(&keys[i]), &record) == VS_OK)
            record_add(&r, &how, &record);
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
    int result = keys_parse(call, &keys, &count);
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

/* ---- scan and count ------------------------------------------------------------------------- */

static int scan_records(store_use *use, const vs_range *range, uint64_t limit) {
    vs_cursor *cursor = NULL;
    vs_status st = VS_DONE;
    record_rows how;
    row_writer r;
    int result = record_rows_of(use, &how);
    if (result != SHELL_OK)
        return result;
    if (vs_scan(use->collection, use->txn, range, &cursor) != VS_OK)
        return use_fail(use);
    command_rows(use->call, &how.spec, &r);
    for (uint64_t i = 0; result == SHELL_OK && i < limit && (st = vs_step(cursor)) == VS_ROW; i++) {
        vs_record record = VS_RECORD_INIT;
        st = vs_cursor_record(cursor, &record);
        if (st != VS_OK)
            break;
        record_add(&r, &how, &record);
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
    OPTIONS_RECORDS,
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
