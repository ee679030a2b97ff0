/* notes.c - kv: the key/value notes beside the records. */
#include "command.h"
#include "commands.h"
#include "store.h"
#include <stdlib.h>
#include <string.h>

static const char *collection_of(const shell_call *call) {
    return shell_value(call, "--collection");
}

static void print_note(const shell_call *call, const char *value, size_t bytes) {
    static const rows_column columns[] = {{"value", ROWS_TEXT, 0, 0, 0, NULL}};
    static const rows_spec spec = {.columns = columns, .count = 1, .is_bare = true};
    row_writer r;
    command_rows(call, &spec, &r);
    rows_text(&r, value, bytes);
    rows_next(&r);
    rows_end(&r);
}

static int kv_get(const shell_call *call) {
    const char *key = call->arg[1];
    store_use use;
    int result = use_read(&use, call, collection_of(call));
    if (result == SHELL_OK) {
        char *value = shell_alloc(VS_KV_VALUE_BYTES_MAX);
        size_t bytes = 0;
        if (vs_kv_get(use.db, use.txn, use.collection, key, strlen(key), value,
                      VS_KV_VALUE_BYTES_MAX, &bytes) == VS_OK)
            print_note(call, value, bytes);
        else
            result = use_fail_db(&use);
        free(value);
    }
    return use_end(&use, result);
}

/* Writes a note; value NULL: deletes it. */
static int kv_change(const shell_call *call, const char *value) {
    const char *key = call->arg[1];
    store_use use;
    int result = use_write(&use, call, collection_of(call));
    if (result == SHELL_OK && vs_kv_put(use.db, use.txn, use.collection, key, strlen(key), value,
                                        value ? strlen(value) : 0) != VS_OK)
        result = use_fail_db(&use);
    return use_end(&use, result);
}

static int run_kv(const shell_call *call) {
    const char *action = call->arg[0];
    bool is_put = !strcmp(action, "put");
    if (!is_put && strcmp(action, "get") && strcmp(action, "del"))
        return shell_usage(call, "'%s' is none of get, put and del", action);
    if (call->arg_count != (is_put ? 3 : 2))
        return shell_usage(call, "kv %s takes %s", action, is_put ? "KEY VALUE" : "KEY");
    if (!strcmp(action, "get"))
        return kv_get(call);
    return kv_change(call, is_put ? call->arg[2] : NULL);
}

static const option_spec kv_options[] = {{"--collection", OPTION_TEXT, "NAME",
                                          "the notes of a collection, not of the database", NULL, 0,
                                          0, NULL},
                                         OPTION_MODE,
                                         OPTIONS_END};

const shell_command command_kv = {
    .name = "kv",
    .run = run_kv,
    .args = "get|put|del KEY [VALUE]",
    .args_min = 2,
    .args_max = 3,
    .brief = "read, write or delete a note",
    .help = "Notes are values under keys of their own, beside the records and in the same "
            "transactions.\nDeleting one that is not there is no error.",
    .options = kv_options,
};
