/* complete.c - what a word that is being typed may become. */
#define _POSIX_C_SOURCE 200809L
#include "complete.h"
#include "command.h"
#include "dot.h"
#include "names.h"
#include "store.h"
#include "text.h"
#include "words.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void add(completion *c, const char *prefix, const char *whole) {
    if (strncmp(prefix, whole, strlen(prefix)))
        return;
    c->candidate = shell_realloc(c->candidate, (c->count + 1) * sizeof *c->candidate);
    c->candidate[c->count++] = shell_copy(whole);
}

static void add_commands(completion *c, const char *prefix) {
    for (size_t i = 0; command_at(i); i++)
        add(c, prefix, command_at(i)->name);
    for (size_t i = 0; *prefix && dot_at(i); i++)
        add(c, prefix, dot_at(i));
}

static void add_options(completion *c, const char *prefix, const option_spec *options) {
    for (const option_spec *o = options; o && o->name; o++)
        add(c, prefix, o->name);
}

static void add_words(completion *c, const char *prefix, const char *const *list) {
    for (; *list; list++)
        add(c, prefix, *list);
}

/* A name in quotes where it needs them, and what stands behind it. */
static void add_name(completion *c, const char *prefix, const char *name, const char *behind) {
    size_t room = 4 * strlen(name) + 8;
    char *quoted = shell_alloc(room + strlen(behind));
    text_quote(name, quoted, room);
    strcat(quoted, behind);
    if (!*behind || strcmp(quoted, prefix) != 0)
        add(c, prefix, quoted);
    free(quoted);
}

/* Collections and aliases. */
static void add_collections(completion *c, const char *prefix, shell *sh) {
    vs_db *db = store_peek(sh);
    name_list names = {NULL, 0};
    if (db)
        names_load(db, sh->store.txn, &names);
    for (size_t i = 0; i < names.count; i++)
        add_name(c, prefix, names.name[i], "");
    names_free(&names);
}

static void add_aliases(completion *c, const char *prefix, shell *sh) {
    vs_db *db = store_peek(sh);
    vs_alias_info alias = VS_ALIAS_INFO_INIT;
    for (size_t i = 0; db && vs_alias_at(db, sh->store.txn, i, &alias) == VS_OK; i++)
        add_name(c, prefix, alias.name, "");
}

/* The vector fields of a collection, with something behind each. */
static void add_fields(completion *c, const char *prefix, shell *sh, const char *collection,
                       const char *behind) {
    vs_db *db = store_peek(sh);
    vs_txn *txn = sh->store.txn;
    vs_field_info field = VS_FIELD_INFO_INIT;
    vs_collection *handle = NULL;
    if (!db || vs_collection_open(db, txn, collection, &handle) != VS_OK)
        return;
    for (size_t i = 0; vs_field_at(handle, txn, i, &field) == VS_OK; i++)
        add_name(c, prefix, field.name, behind);
    vs_collection_close(handle);
}

static void add_savepoints(completion *c, const char *prefix, const shell *sh) {
    for (size_t i = 0; i < sh->store.savepoint_count; i++)
        add_name(c, prefix, sh->store.savepoint[i], "");
}

/* ":name", or names alone. */
static void add_params(completion *c, const char *prefix, const shell *sh, const char *front) {
    for (size_t i = 0; i < sh->param_count; i++) {
        char *name = shell_alloc(strlen(sh->param[i].name) + 2);
        sprintf(name, "%s%s", front, sh->param[i].name);
        add(c, prefix, name);
        free(name);
    }
}

/* Files that a path may become; a folder ends with a slash. front: what stands before the path. */
static void add_files(completion *c, const char *prefix, const char *front) {
    const char *path = prefix + strlen(front), *slash = strrchr(path, '/');
    size_t folder_bytes = slash ? (size_t)(slash - path) + 1 : 0;
    char *folder = shell_alloc(folder_bytes + 2);
    memcpy(folder, path, folder_bytes);
    strcpy(folder + folder_bytes, folder_bytes ? "" : ".");
    DIR *files = opendir(folder);
    for (struct dirent *file; files && (file = readdir(files));) {
        struct stat info;
        size_t bytes = strlen(front) + folder_bytes + strlen(file->d_name) + 2;
        char *name = shell_alloc(bytes);
        if (file->d_name[0] == '.' && path[folder_bytes] != '.') {
            free(name);
            continue;
        }
        snprintf(name, bytes, "%s%.*s%s", front, (int)folder_bytes, path, file->d_name);
        if (!stat(name + strlen(front), &info) && S_ISDIR(info.st_mode))
            strcat(name, "/");
        add_name(c, prefix, name, "");
        free(name);
    }
    if (files)
        closedir(files);
    free(folder);
}

/* ---- by what stands before ------------------------------------------------------------------ */

/* The candidates behind a dot command. */
static void add_dot_arguments(completion *c, const char *prefix, shell *sh, const words *before) {
    static const char *const files[] = {".read", ".output", ".once", ".open", NULL};
    static const char *const params[] = {"list", "set", "unset", NULL};
    static const char *const switches[] = {"on", "off", NULL};
    const char *name = words_at(before, 0);
    for (int i = 0; files[i]; i++)
        if (!strcmp(files[i], name) && before->count == 1)
            add_files(c, prefix, "");
    if (!strcmp(name, ".mode") && before->count == 1)
        add_words(c, prefix, rows_mode_names);
    else if (!strcmp(name, ".help") && before->count == 1)
        add_commands(c, *prefix ? prefix : ".");
    else if (!strcmp(name, ".param") && before->count == 1)
        add_words(c, prefix, params);
    else if (!strcmp(name, ".param") && before->count == 2)
        add_params(c, prefix, sh, "");
    else if (dot_is_switch(name) && before->count == 1)
        add_words(c, prefix, switches);
}

/* The candidates of an option's value. */
static void add_value(completion *c, const char *prefix, shell *sh, const words *before,
                      const option_spec *option) {
    bool has_collection = before->count > 2;
    const char *collection = has_collection ? words_at(before, 1) : "";
    if (option->kind == OPTION_WORD)
        add_words(c, prefix, option->words);
    else if (!strcmp(option->name, "--field") && has_collection)
        add_fields(c, prefix, sh, collection, "");
    else if (!strcmp(option->name, "--vector") && has_collection)
        add_fields(c, prefix, sh, collection, "=");
    else if (!strcmp(option->name, "--collection"))
        add_collections(c, prefix, sh);
    else if (*prefix == '@')
        add_files(c, prefix, "@");
    else if (option->value && !strncmp(option->value, "FILE", 4))
        add_files(c, prefix, "");
}

/* The candidates of a word that is no option and belongs to none. */
static void add_positional(completion *c, const char *prefix, shell *sh, const words *before,
                           const shell_command *command) {
    static const char *const alias_words[] = {"set", "drop", "list", NULL};
    static const char *const note_words[] = {"get", "put", "del", NULL};
    const char *name = command->name;
    size_t at = before->count;
    if (at == 1 && (command->flags & COMMAND_COLLECTION))
        add_collections(c, prefix, sh);
    else if (at == 1 && (!strcmp(name, "rollback-to") || !strcmp(name, "release")))
        add_savepoints(c, prefix, sh);
    else if (at == 1 && !strcmp(name, "alias"))
        add_words(c, prefix, alias_words);
    else if (at == 1 && !strcmp(name, "kv"))
        add_words(c, prefix, note_words);
    else if (at == 1 && !strcmp(name, "help"))
        add_commands(c, prefix);
    else if (at == 2 && !strcmp(name, "alias"))
        add_aliases(c, prefix, sh);
    else if (at == 3 && !strcmp(name, "alias"))
        add_collections(c, prefix, sh);
    else if (at == 2 && (!strcmp(name, "import") || !strcmp(name, "export")))
        add_files(c, prefix, "");
    else if (*prefix == '@')
        add_files(c, prefix, "@");
}

/* The option whose value is typed; NULL: it is none's. */
static const option_spec *option_before(const shell_command *command, const char *last) {
    const option_spec *lists[] = {command->options, command_common_options()};
    for (int i = 0; i < 2; i++)
        for (const option_spec *o = lists[i]; o && o->name; o++)
            if (!strcmp(o->name, last))
                return o->kind == OPTION_SWITCH ? NULL : o;
    return NULL;
}

/* The candidates of a word behind others. */
static void add_arguments(completion *c, const char *prefix, shell *sh, const words *before) {
    const shell_command *command = command_find(words_at(before, 0));
    if (!command) {
        add_dot_arguments(c, prefix, sh, before);
        return;
    }
    const option_spec *option = option_before(command, words_at(before, before->count - 1));
    if (*prefix == ':')
        add_params(c, prefix, sh, ":");
    else if (option)
        add_value(c, prefix, sh, before, option);
    else if (*prefix == '-') {
        add_options(c, prefix, command->options);
        add_options(c, prefix, command_common_options());
        add(c, prefix, "--help");
    } else {
        add_positional(c, prefix, sh, before, command);
    }
}

/* One candidate, behind which another word begins. */
static bool is_whole(const completion *c) {
    size_t n = strlen(c->candidate[0]);
    return c->count == 1 && !strchr("/=", c->candidate[0][n - 1]);
}

/* What all candidates have in common behind the prefix, with a blank when there is only one. */
static char *common_rest(const completion *c, size_t prefix_bytes) {
    if (!c->count)
        return shell_copy("");
    size_t n = strlen(c->candidate[0]);
    for (size_t i = 1; i < c->count; i++)
        while (strncmp(c->candidate[0], c->candidate[i], n))
            n--;
    char *rest = shell_alloc(n - prefix_bytes + 2);
    memcpy(rest, c->candidate[0] + prefix_bytes, n - prefix_bytes);
    rest[n - prefix_bytes] = is_whole(c) ? ' ' : 0;
    rest[n - prefix_bytes + 1] = 0;
    return rest;
}

void complete(shell *sh, const char *line, size_t bytes, completion *out) {
    size_t start = bytes;
    words before;
    *out = (completion){NULL, 0, NULL};
    while (start && !strchr(" \t", line[start - 1]))
        start--;
    char *prefix = shell_alloc(bytes - start + 1);
    memcpy(prefix, line + start, bytes - start);
    prefix[bytes - start] = 0;
    if (words_split(line, start, &before) == WORDS_OK) { /* else it is inside of quotes */
        if (before.count)
            add_arguments(out, prefix, sh, &before);
        else
            add_commands(out, prefix);
    }
    words_free(&before);
    out->insert = common_rest(out, strlen(prefix));
    free(prefix);
}

void completion_free(completion *c) {
    for (size_t i = 0; i < c->count; i++)
        free(c->candidate[i]);
    free(c->candidate);
    free(c->insert);
}
