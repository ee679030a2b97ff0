/* alias.c - giving collections other names: rename and alias. */
#include "command.h"
#include "commands.h"
#include "names.h"
#include "store.h"
#include "text.h"
#include <string.h>

/* ---- rename --------------------------------------------------------------------------------- */

static int run_rename(const shell_call *call) {
    store_use use;
    int result = use_write(&use, call, call->arg[0]);
    if (result == SHELL_OK && vs_collection_rename(use.collection, use.txn, call->arg[1]) != VS_OK)
        result = use_fail(&use);
    return use_end(&use, result);
}

const shell_command command_rename = {
    .name = "rename",
    .run = run_rename,
    .args = "COLLECTION NAME",
    .args_min = 2,
    .args_max = 2,
    .flags = COMMAND_COLLECTION,
    .brief = "give a collection another name",
    .help = "Give a collection another name. Its aliases lead to it as before.",
};

/* ---- alias ---------------------------------------------------------------------------------- */

static int alias_set(const shell_call *call) {
    store_use use;
    int result = use_write(&use, call, call->arg[2]);
    if (result == SHELL_OK && vs_alias_set(use.db, use.txn, call->arg[1], use.collection) != VS_OK)
        result = use_fail_db(&use);
    return use_end(&use, result);
}

static int fail_alias(const store_use *use, const char *wanted) {
    char hint[TEXT_HINT_BYTES];
    vs_alias_info alias = VS_ALIAS_INFO_INIT;
    name_list names = {NULL, 0};
    for (size_t i = 0; vs_alias_at(use->db, use->txn, i, &alias) == VS_OK; i++)
        names_add(&names, alias.name);
    const char *otherwise = names.count ? "; alias list shows those that there are"
                                        : ", and no other; alias set NAME COLLECTION makes one";
    int result = shell_fail(use->call, "there is no alias '%s'%s", wanted,
                            text_hint(wanted, names_at, &names, otherwise, hint));
    names_free(&names);
    return result;
}

static int alias_drop(const shell_call *call) {
    store_use use;
    int result = use_write(&use, call, NULL);
    if (result == SHELL_OK) {
        vs_status st = vs_alias_set(use.db, use.txn, call->arg[1], NULL);
        result = st == VS_OK              ? SHELL_OK
                 : st == VS_ERR_NOT_FOUND ? fail_alias(&use, call->arg[1])
                                          : use_fail_db(&use);
    }
    return use_end(&use, result);
}

static int list_aliases(const store_use *use, row_writer *r) {
    vs_alias_info alias = VS_ALIAS_INFO_INIT;
    vs_status st = VS_OK;
    for (size_t i = 0; (st = vs_alias_at(use->db, use->txn, i, &alias)) == VS_OK; i++) {
        rows_string(r, alias.name);
        rows_string(r, alias.collection);
        rows_next(r);
    }
    return st == VS_DONE ? SHELL_OK : use_fail_db(use);
}

static int alias_list(const shell_call *call) {
    static const rows_column columns[] = {{"alias", ROWS_TEXT, 24, 0, 0, NULL},
                                          {"collection", ROWS_TEXT, 0, 0, 0, NULL}};
    static const rows_spec spec = {.columns = columns, .count = 2, .is_bare = true};
    store_use use;
    int result = use_read(&use, call, NULL);
    if (result == SHELL_OK) {
        row_writer r;
        command_rows(call, &spec, &r);
        result = list_aliases(&use, &r);
        rows_end(&r);
    }
    return use_end(&use, result);
}

static int run_alias(const shell_call *call) {
    static const struct {
        const char *name, *args;
        int arg_count;
        int (*run)(const shell_call *call);
    } actions[] = {{"set", "NAME COLLECTION", 3, alias_set},
                   {"drop", "NAME", 2, alias_drop},
                   {"list", "no more", 1, alias_list}};
    const char *action = call->arg_count ? call->arg[0] : "list";
    for (int i = 0; i < 3; i++) {
        if (strcmp(action, actions[i].name) != 0)
            continue;
        if (call->arg_count && call->arg_count != actions[i].arg_count)
            return shell_usage(call, "alias %s takes %s", action, actions[i].args);
        return actions[i].run(call);
    }
    return shell_usage(call, "'%s' is none of set, drop and list", action);
}

static const option_spec alias_options[] = {OPTION_MODE, OPTIONS_END};

const shell_command command_alias = {
    .name = "alias",
    .run = run_alias,
    .args = "[set|drop|list] [NAME] [COLLECTION]",
    .args_max = 3,
    .brief = "other names of collections",
    .help = "Make a name lead to a collection, or to another one than before, at once; drop one; "
            "list all.\nCommands take an alias wherever they take a collection.",
    .options = alias_options,
};
