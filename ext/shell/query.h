/* query.h - a collection opened for reading, and query vectors. */
#ifndef SHELL_QUERY_H
#define SHELL_QUERY_H

#include "shell.h"

/* One snapshot of one collection, and the vectors asked of it. */
typedef struct query_set {
    const shell_call *call;
    vs_db *db;
    vs_txn *txn;
    vs_collection *collection;
    vs_collection_info info;
    void *rows; /* [count] vectors of the collection's type; malloc'd */
    uint64_t count;
} query_set;

/* Opens call->arg[0] and loads the vectors of a file, or of a JSON array when text begins with '['.
 * SHELL_OK, or SHELL_FAILED with a message. query_close in any case. */
int query_open(query_set *out_set, const shell_call *call, const char *text);
/* Returns result, or SHELL_FAILED when closing fails. */
int query_close(query_set *set, int result);

/* Vector number at. */
const void *query_row(const query_set *set, uint64_t at);

#endif
