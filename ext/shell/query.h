/* query.h - query vectors of a collection in one snapshot; queries written as JSON. */
#ifndef SHELL_QUERY_H
#define SHELL_QUERY_H

#include "record.h"
#include "store.h"

/* One snapshot of one collection, and the vectors asked of it. */
typedef struct query_set {
    store_use use;
    record_vectors vectors;
} query_set;

/* Opens call->arg[0] and loads the vectors of a file, or of a JSON array when text begins with '['.
 * SHELL_OK, or SHELL_FAILED with a message. query_close in any case. */
int query_open(query_set *out_set, const shell_call *call, const char *text);
/* Returns result. */
int query_close(query_set *set, int result);

/* Vector number at. */
const void *query_row(const query_set *set, uint64_t at);

/* A call with the members of a JSON object as further options: {"near": [1, 2], "k": 5} is
 * --near '[1, 2]' -k 5. *out_text keeps their texts; malloc'd, freed by the caller in any case. SHELL_... */
int query_from_json(shell_call *call, const char *json, char **out_text);

#endif
