/* complete.c - what a word that is being typed may become. */
#include "complete.h"
#include "command.h"
#include "dot.h"
#include "store.h"
#include "text.h"
#include "words.h"
#include <stdlib.h>
#include <string.h>

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

static void add_collections(completion *c, const char *prefix, shell *sh) {
    vs_db *db = store_peek(sh);
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    for (size_t i = 0; db && vs_collection_at(db, sh->store.txn, i, &info) == VS_OK; i++) {
        char name[4 * VS_NAME_BYTES_MAX + 8];
        text_quote(info.name, name, sizeof name);
        add(c, prefix, name);
    }
}

/* The candidates of a word behind others. */
static void add_arguments(completion *c, const char *prefix, shell *sh, const words *before) {
    const char *last = words_at(before, before->count - 1);
    const shell_command *command = command_find(words_at(before, 0));
    const option_spec *o = command ? command->options : NULL;
    while (o && o->name && strcmp(o->name, last))
        o++;
    if (!strcmp(last, ".mode"))
        add_words(c, prefix, rows_mode_names);
    else if (!strcmp(last, "help"))
        add_commands(c, prefix);
    else if (o && o->name && o->kind == OPTION_WORD)
        add_words(c, prefix, o->words);
    else if (command && *prefix == '-')
        add_options(c, prefix, command->options);
    else if (command && before->count == 1 && (command->flags & COMMAND_COLLECTION))
        add_collections(c, prefix, sh);
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
    rest[n - prefix_bytes] = c->count == 1 ? ' ' : 0;
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
