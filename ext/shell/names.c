/* names.c - the names of collections, and what is said about a name that is none. */
#include "names.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

void names_add(name_list *names, const char *name) {
    names->name = shell_realloc(names->name, (names->count + 1) * sizeof *names->name);
    names->name[names->count++] = shell_copy(name);
}

void names_load(vs_db *db, vs_txn *txn, name_list *out) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_alias_info alias = VS_ALIAS_INFO_INIT;
    *out = (name_list){NULL, 0};
    for (size_t i = 0; vs_collection_at(db, txn, i, &info) == VS_OK; i++)
        names_add(out, info.name);
    for (size_t i = 0; vs_alias_at(db, txn, i, &alias) == VS_OK; i++)
        names_add(out, alias.name);
}

void names_free(name_list *names) {
    for (size_t i = 0; i < names->count; i++)
        free(names->name[i]);
    free(names->name);
}

const char *names_at(const void *ctx, size_t at) {
    const name_list *names = ctx;
    return at < names->count ? names->name[at] : NULL;
}

int names_fail(const shell_call *call, vs_db *db, vs_txn *txn, const char *wanted) {
    char hint[TEXT_HINT_BYTES];
    name_list names;
    names_load(db, txn, &names);
    const char *otherwise = names.count ? "; ls lists those that there are"
                                        : ", and no other; create COLLECTION --dim D makes one";
    int result = shell_fail(call, "there is no collection '%s'%s", wanted,
                            text_hint(wanted, names_at, &names, otherwise, hint));
    names_free(&names);
    return result;
}
