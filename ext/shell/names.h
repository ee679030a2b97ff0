/* names.h - the names that a database knows collections by. */
#ifndef SHELL_NAMES_H
#define SHELL_NAMES_H

#include "shell.h"

/* The names of collections, then aliases. */
typedef struct name_list {
    char **name; /* [count] malloc'd, as the list */
    size_t count;
} name_list;

/* As many as can be read; txn NULL: of the last commit. */
void names_load(vs_db *db, vs_txn *txn, name_list *out);
void names_add(name_list *names, const char *name); /* copied */
void names_free(name_list *names);
/* For text_hint: ctx is a name_list. */
const char *names_at(const void *ctx, size_t at);

/* Says that a collection is not there, and which it may be; SHELL_FAILED. */
int names_fail(const shell_call *call, vs_db *db, vs_txn *txn, const char *wanted);

#endif
