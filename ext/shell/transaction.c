/* transaction.c - begin, commit, rollback, and savepoints, which have names here and numbers in the library. */
#include "commands.h"
#include "store.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

/* Whether a transaction is open, with a message when it is not. */
static bool is_open(const shell_call *call) {
    if (call->shell->store.txn)
        return true;
    shell_fail(call, "no transaction is open; begin opens one");
    return false;
}

/* Forgets the names of all savepoints but the first count. */
static void keep_savepoints(shell_store *store, size_t count) {
    while (store->savepoint_count > count)
        free(store->savepoint[--store->savepoint_count]);
}

static int run_begin(const shell_call *call) {
    vs_db *db = NULL;
    if (call->shell->store.txn)
        return shell_fail(call, "a transaction is open; commit or rollback ends it");
    if (store_open(call, 0, &db) != SHELL_OK)
        return SHELL_FAILED;
    if (vs_begin(db, VS_TXN_WRITE, &call->shell->store.txn) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(db));
    return SHELL_OK;
}

const shell_command command_begin = {
    .name = "begin",
    .run = run_begin,
    .args = "",
    .flags = COMMAND_IN_SESSIONS,
    .brief = "begin a transaction",
    .help =
        "Begin a transaction: what the following commands change is seen by them, and kept by "
        "commit or\ndropped by rollback, all of it. Without it every command commits by itself.",
};

static int run_commit(const shell_call *call) {
    shell_store *store = &call->shell->store;
    if (!is_open(call))
        return SHELL_FAILED;
    vs_txn *txn = store->txn;
    store->txn = NULL;
    keep_savepoints(store, 0);
    if (vs_commit(txn, VS_SYNC_DEFAULT) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(store->db));
    return SHELL_OK;
}

const shell_command command_commit = {
    .name = "commit",
    .run = run_commit,
    .args = "",
    .flags = COMMAND_IN_SESSIONS,
    .brief = "end the transaction and keep its changes",
    .help = "End the transaction and keep its changes: when it returns they survive power loss.",
};

static int run_rollback(const shell_call *call) {
    shell_store *store = &call->shell->store;
    if (!is_open(call))
        return SHELL_FAILED;
    vs_rollback(store->txn);
    store->txn = NULL;
    keep_savepoints(store, 0);
    return SHELL_OK;
}

const shell_command command_rollback = {
    .name = "rollback",
    .run = run_rollback,
    .args = "",
    .flags = COMMAND_IN_SESSIONS,
    .brief = "end the transaction and drop its changes",
    .help = "End the transaction and drop its changes.",
};

/* ---- savepoints ----------------------------------------------------------------------------- */

static int run_savepoint(const shell_call *call) {
    shell_store *store = &call->shell->store;
    uint32_t number = 0;
    if (!is_open(call))
        return SHELL_FAILED;
    if (vs_savepoint(store->txn, &number) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(store->txn));
    keep_savepoints(store, number - 1);
    store->savepoint = shell_realloc(store->savepoint, number * sizeof *store->savepoint);
    store->savepoint[store->savepoint_count++] = shell_copy(call->arg[0]);
    return SHELL_OK;
}

static const char *savepoint_at(const void *ctx, size_t at) {
    const shell_store *store = ctx;
    return at < store->savepoint_count ? store->savepoint[at] : NULL;
}

/* The number of the innermost savepoint of a name, 0: there is none, as the message says. */
static uint32_t find_savepoint(const shell_call *call) {
    const shell_store *store = &call->shell->store;
    if (!is_open(call))
        return 0;
    for (size_t i = store->savepoint_count; i > 0; i--)
        if (!strcmp(store->savepoint[i - 1], call->arg[0]))
            return (uint32_t)i;
    char hint[TEXT_HINT_BYTES];
    const char *otherwise =
        store->savepoint_count ? "" : ", and no other; savepoint NAME makes one";
    shell_fail(call, "there is no savepoint '%s'%s", call->arg[0],
               text_hint(call->arg[0], savepoint_at, store, otherwise, hint));
    return 0;
}

static int run_rollback_to(const shell_call *call) {
    shell_store *store = &call->shell->store;
    uint32_t number = find_savepoint(call);
    if (!number)
        return SHELL_FAILED;
    if (vs_rollback_to(store->txn, number) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(store->txn));
    keep_savepoints(store, number);
    return SHELL_OK;
}

static int run_release(const shell_call *call) {
    shell_store *store = &call->shell->store;
    uint32_t number = find_savepoint(call);
    if (!number)
        return SHELL_FAILED;
    if (vs_release(store->txn, number) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(store->txn));
    keep_savepoints(store, number - 1);
    return SHELL_OK;
}

const shell_command command_savepoint = {
    .name = "savepoint",
    .run = run_savepoint,
    .args = "NAME",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_IN_SESSIONS,
    .brief = "name a place in the transaction",
    .help = "Name a place in the transaction that rollback-to goes back to. Of two with one name "
            "the later one\nis meant.",
};

const shell_command command_rollback_to = {
    .name = "rollback-to",
    .run = run_rollback_to,
    .args = "NAME",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_IN_SESSIONS,
    .brief = "drop what was changed since a savepoint",
    .help = "Drop what was changed since a savepoint, which stays open.",
};

const shell_command command_release = {
    .name = "release",
    .run = run_release,
    .args = "NAME",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_IN_SESSIONS,
    .brief = "end a savepoint and keep its changes",
    .help =
        "End a savepoint, and those behind it; what was changed since stays in the transaction.",
};
