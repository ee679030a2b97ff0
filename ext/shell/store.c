/* store.c - the database of a session.
 *
 * It is opened by the first command that needs it and stays open, for reading only while nothing more is
 * asked for. A command that wants more, or other options, opens it anew; in a transaction it cannot. */
#include "store.h"
#include "interrupt.h"
#include "names.h"
#include <stdlib.h>
#include <string.h>

static void print_log(void *ctx, int level, const char *message) {
    (void)ctx;
    if (level >= VS_LOG_WARNING)
        fprintf(stderr, "vecstore: warning: %s\n", message);
}

/* What a call wants: flags and its options, otherwise those that the session has. */
static shell_store wanted_of(const shell_call *call, uint32_t flags) {
    static const char *const compressions[] = {"none", "zstd", NULL}; /* as VS_COMPRESSION_... */
    const shell_store *now = &call->shell->store;
    shell_store wanted = {.flags = flags | (now->flags & VS_OPEN_MMAP)};
    if (shell_value(call, "--mmap"))
        wanted.flags |= VS_OPEN_MMAP;
    wanted.compression = shell_value(call, "--compression")
                             ? shell_word(call, "--compression", compressions)
                             : now->compression;
    wanted.memory_limit = shell_number(call, "--memory", now->memory_limit >> 20) << 20;
    return wanted;
}

static bool is_enough(const shell_store *now, const shell_store *wanted) {
    bool may_write = !(now->flags & VS_OPEN_READONLY);
    bool wants_write = !(wanted->flags & VS_OPEN_READONLY);
    return now->db && (may_write || !wants_write) && now->compression == wanted->compression &&
           now->memory_limit == wanted->memory_limit &&
           (now->flags & VS_OPEN_MMAP) == (wanted->flags & VS_OPEN_MMAP);
}

int store_close(shell *sh, const shell_call *call, int result) {
    shell_store *store = &sh->store;
    const shell_call end = {.shell = sh};
    call = call ? call : &end;
    if (store->txn) {
        result = shell_fail(call, "the transaction that was not committed is rolled back");
        vs_rollback(store->txn);
        store->txn = NULL;
    }
    interrupt_watch(sh->interrupts, NULL);
    vs_status st = vs_close(store->db);
    store->db = NULL;
    if (st == VS_OK)
        return result;
    return shell_fail(call, "%s: closing failed: %s", sh->file, vs_status_name(st));
}

/* Opens the file as wanted says; on failure *out_db is as vs_open has it. */
static vs_status open_as(shell *sh, const shell_store *wanted, vs_db **out_db) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.flags = wanted->flags;
    options.log = print_log;
    options.compression = wanted->compression;
    options.memory_limit = wanted->memory_limit;
    vs_status st = vs_open(sh->file, &options, out_db);
    if (st != VS_OK)
        return st;
    char **savepoint = sh->store.savepoint;
    sh->store = *wanted;
    sh->store.db = *out_db;
    sh->store.savepoint = savepoint;
    interrupt_watch(sh->interrupts, *out_db);
    return VS_OK;
}

int store_open(const shell_call *call, uint32_t flags, vs_db **out_db) {
    shell_store *store = &call->shell->store;
    shell_store wanted = wanted_of(call, flags);
    if (is_enough(store, &wanted)) {
        *out_db = store->db;
        return SHELL_OK;
    }
    if (store->txn)
        return shell_fail(call, "other options than those of begin; commit or rollback first");
    if (store->db && !(store->flags & VS_OPEN_READONLY)) /* what can write goes on to */
        wanted.flags &= ~(uint32_t)VS_OPEN_READONLY;
    if (store_close(call->shell, call, SHELL_OK) != SHELL_OK)
        return SHELL_FAILED;
    vs_db *db = NULL;
    vs_status st = open_as(call->shell, &wanted, &db);
    if (st == VS_OK) {
        *out_db = db;
        return SHELL_OK;
    }
    if (st == VS_ERR_NOT_FOUND && !(flags & VS_OPEN_CREATE))
        shell_fail(call, "there is no database %s; create COLLECTION --dim D makes one",
                   call->shell->file);
    else
        shell_fail(call, "%s", db ? vs_errmsg(db) : "out of memory");
    vs_close(db);
    return SHELL_FAILED;
}

vs_db *store_peek(shell *sh) {
    const shell_call call = {.shell = sh};
    shell_store wanted = wanted_of(&call, VS_OPEN_READONLY);
    vs_db *db = NULL;
    if (sh->store.db)
        return sh->store.db;
    if (sh->file && open_as(sh, &wanted, &db) == VS_OK)
        return db;
    vs_close(db);
    return NULL;
}

/* ---- what one command uses ------------------------------------------------------------------ */

int use_fail_db(const store_use *use) {
    return shell_fail(use->call, "%s", use->txn ? vs_errmsg(use->txn) : vs_errmsg(use->db));
}

int use_fail(const store_use *use) {
    return shell_fail(use->call, "%s", vs_errmsg(use->collection));
}

static int use_begin(store_use *use, const shell_call *call, uint32_t flags) {
    memset(use, 0, sizeof *use);
    use->call = call;
    use->info = (vs_collection_info)VS_COLLECTION_INFO_INIT;
    int result = store_open(call, flags, &use->db);
    use->txn = call->shell->store.txn;
    return result;
}

static int use_collection(store_use *use, const char *name) {
    if (!name)
        return SHELL_OK;
    vs_status st = vs_collection_open(use->db, use->txn, name, &use->collection);
    if (st == VS_ERR_NOT_FOUND)
        return names_fail(use->call, use->db, use->txn, name);
    if (st != VS_OK)
        return use_fail_db(use);
    if (vs_collection_info_get(use->collection, use->txn, &use->info) != VS_OK)
        return use_fail(use);
    return SHELL_OK;
}

int use_read(store_use *out_use, const shell_call *call, const char *collection) {
    store_use *use = out_use;
    if (use_begin(use, call, VS_OPEN_READONLY) != SHELL_OK)
        return SHELL_FAILED;
    if (!use->txn && vs_begin(use->db, VS_TXN_READ, &use->txn) != VS_OK)
        return use_fail_db(use);
    return use_collection(use, collection);
}

int use_write(store_use *out_use, const shell_call *call, const char *collection) {
    store_use *use = out_use;
    if (use_begin(use, call, 0) != SHELL_OK)
        return SHELL_FAILED;
    return use_collection(use, collection);
}

int use_end(store_use *use, int result) {
    vs_collection_close(use->collection);
    if (use->txn && use->txn != use->call->shell->store.txn)
        vs_rollback(use->txn);
    return result;
}
