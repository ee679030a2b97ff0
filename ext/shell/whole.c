/* whole.c - collections as a whole: copy and drop. */
#include "command.h"
#include "commands.h"
#include "store.h"

static int run_copy(const shell_call *call) {
    store_use use;
    int result = use_write(&use, call, call->arg[0]);
    if (result == SHELL_OK &&
        vs_collection_copy(use.collection, use.txn, call->arg[1], NULL) != VS_OK)
        result = use_fail(&use);
    if (result == SHELL_OK)
        shell_say(call, "%llu records copied", (unsigned long long)use.info.count);
    return use_end(&use, result);
}

const shell_command command_copy = {
    .name = "copy",
    .run = run_copy,
    .args = "COLLECTION NAME",
    .args_min = 2,
    .args_max = 2,
    .flags = COMMAND_COLLECTION,
    .brief = "make a second collection of the same records",
    .help = "Make a second collection with the fields, limits, records, payloads and notes of one. "
            "Aliases stay\nwith the first.",
};

static int run_drop(const shell_call *call) {
    store_use use;
    int result = use_write(&use, call, call->arg[0]);
    if (result == SHELL_OK && shell_value(call, "--if-empty") && use.info.count)
        result = shell_fail(call, "'%s' has %llu records", use.info.name,
                            (unsigned long long)use.info.count);
    else if (result == SHELL_OK && vs_collection_drop(use.collection, use.txn) != VS_OK)
        result = use_fail(&use);
    if (result == SHELL_OK)
        shell_say(call, "'%s' dropped, with %llu records", use.info.name,
                  (unsigned long long)use.info.count);
    return use_end(&use, result);
}

static const option_spec drop_options[] = {
    {"--if-empty", OPTION_SWITCH, NULL, "only when it has no records", NULL, 0, 0, NULL},
    OPTIONS_END};

const shell_command command_drop = {
    .name = "drop",
    .run = run_drop,
    .args = "COLLECTION",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "delete a collection with all that it has",
    .help =
        "Delete a collection with its records, notes and aliases. The file becomes smaller when "
        "it is closed, as\nafter every command, or by vacuum.",
    .options = drop_options,
};
