/* del.c - deleting records, by their keys or as a range of keys.
 *
 * A range is deleted in batches of keys, in one transaction, or in a savepoint of the session's: all of it, or nothing. */
#include "command.h"
#include "commands.h"
#include "interrupt.h"
#include "range.h"
#include "record.h"
#include "store.h"
#include <stdlib.h>
#include <string.h>

enum { DEL_BATCH_KEYS = 1000 };

/* ---- keys ----------------------------------------------------------------------------------- */

static vs_status delete_batch(store_use *use, vs_txn *txn, const record_key *keys, size_t count,
                              uint64_t *out_deleted) {
    vs_key *list = shell_alloc(count * sizeof *list);
    for (size_t i = 0; i < count; i++)
        list[i] = key_of(&keys[i]);
    vs_status st = vs_delete_batch(use->collection, txn, list, count, out_deleted);
    free(list);
    return st;
}

static int delete_keys(store_use *use, const record_key *keys, size_t count) {
    uint64_t deleted = 0;
    if (count == 1)
        return vs_delete(use->collection, use->txn, key_of(&keys[0])) == VS_OK ? SHELL_OK
                                                                               : use_fail(use);
    if (delete_batch(use, use->txn, keys, count, &deleted) != VS_OK)
        return use_fail(use);
    if (deleted == count)
        return SHELL_OK;
    return shell_fail(use->call, "%llu of %zu records were there and are deleted",
                      (unsigned long long)deleted, count);
}

static int run_keys(const shell_call *call) {
    record_key *keys = NULL;
    size_t count = 0;
    store_use use;
    int result = keys_parse(call, &keys, &count);
    if (result != SHELL_OK)
        return result;
    result = use_write(&use, call, call->arg[0]);
    if (result == SHELL_OK)
        result = delete_keys(&use, keys, count);
    free(keys);
    return use_end(&use, result);
}

/* ---- ranges --------------------------------------------------------------------------------- */

/* The next keys of a cursor; fewer than DEL_BATCH_KEYS: there are no more. */
static int next_keys(const store_use *use, vs_cursor *cursor, record_key *keys, size_t *out_count) {
    vs_status st = VS_ROW;
    size_t n = 0;
    while (n < DEL_BATCH_KEYS && (st = vs_step(cursor)) == VS_ROW) {
        vs_record record = VS_RECORD_INIT;
        st = vs_cursor_record(cursor, &record);
        if (st != VS_OK)
            break;
        keys[n].key = record.key;
        keys[n].text = NULL;
        if (record.key.bytes)
            memcpy(keys[n].data, record.key.data, record.key.bytes);
        n++;
    }
    *out_count = n;
    if (st != VS_ROW && st != VS_OK && st != VS_DONE)
        return shell_fail(use->call, "%s", vs_errmsg(cursor));
    return SHELL_OK;
}

static int delete_range(store_use *use, vs_txn *txn, const vs_range *range, uint64_t *out_deleted) {
    record_key *keys = shell_alloc(DEL_BATCH_KEYS * sizeof *keys);
    vs_cursor *cursor = NULL;
    size_t count = DEL_BATCH_KEYS;
    int result = SHELL_OK;
    *out_deleted = 0;
    if (vs_scan(use->collection, txn, range, &cursor) != VS_OK)
        result = use_fail(use);
    while (result == SHELL_OK && count == DEL_BATCH_KEYS) {
        uint64_t deleted = 0;
        result = next_keys(use, cursor, keys, &count);
        if (result == SHELL_OK && count && delete_batch(use, txn, keys, count, &deleted) != VS_OK)
            result = use_fail(use);
        *out_deleted += deleted;
        if (result == SHELL_OK && interrupt_came(use->call->shell->interrupts))
            result = shell_fail(use->call, "interrupted; nothing was deleted");
    }
    vs_cursor_close(cursor);
    free(keys);
    return result;
}

/* In a transaction of its own. */
static int delete_alone(store_use *use, const vs_range *range, uint64_t *out_deleted) {
    vs_txn *txn = NULL;
    if (vs_begin(use->db, VS_TXN_WRITE, &txn) != VS_OK)
        return use_fail_db(use);
    int result = delete_range(use, txn, range, out_deleted);
    if (result != SHELL_OK)
        vs_rollback(txn);
    else if (vs_commit(txn, VS_SYNC_DEFAULT) != VS_OK)
        result = use_fail_db(use);
    return result;
}

/* In the session's. */
static int delete_inside(store_use *use, const vs_range *range, uint64_t *out_deleted) {
    uint32_t savepoint = 0;
    if (vs_savepoint(use->txn, &savepoint) != VS_OK)
        return use_fail_db(use);
    int result = delete_range(use, use->txn, range, out_deleted);
    if (result != SHELL_OK && vs_rollback_to(use->txn, savepoint) != VS_OK)
        result = use_fail_db(use);
    if (vs_release(use->txn, savepoint) != VS_OK)
        result = use_fail_db(use);
    return result;
}

static int run_range(const shell_call *call) {
    scan_range range;
    uint64_t deleted = 0;
    store_use use;
    int result = range_parse(call, &range);
    if (result != SHELL_OK)
        return result;
    result = use_write(&use, call, call->arg[0]);
    if (result == SHELL_OK)
        result = (use.txn ? delete_inside : delete_alone)(&use, &range.range, &deleted);
    if (result == SHELL_OK)
        shell_say(call, "%llu records deleted", (unsigned long long)deleted);
    return use_end(&use, result);
}

/* ---- the command ---------------------------------------------------------------------------- */

static int run_del(const shell_call *call) {
    bool has_range = range_is_given(call);
    if (has_range && call->arg_count > 1)
        return shell_usage(call, "keys and a range exclude each other: '%s'", call->arg[1]);
    if (!has_range && call->arg_count < 2)
        return shell_usage(call, "keys are needed, or a range: --range .. is all");
    return has_range ? run_range(call) : run_keys(call);
}

static const option_spec del_options[] = {OPTIONS_RANGE, OPTIONS_END};

const shell_command command_del = {
    .name = "del",
    .run = run_del,
    .args = "COLLECTION [KEY...]",
    .args_min = 1,
    .args_max = SHELL_ANY_ARGS,
    .flags = COMMAND_COLLECTION,
    .brief = "delete records",
    .help =
        "Delete the records with these keys, or all of a range, in one commit. Keys that do not "
        "exist are an\nerror; the others are deleted. When a word is no key nothing is deleted.",
    .options = del_options,
};
