/* query.h - query vectors of a collection in one snapshot; queries written as JSON. */
#ifndef SHELL_QUERY_H
#define SHELL_QUERY_H

#include "record.h"
#include "store.h"

/* One snapshot of one collection, and the vectors asked of it. */
typedef struct query_set {
    store_use use;
    vs_field_info field; /* that is searched: --field, or the first */
    vs_search_options options;
    record_vectors vectors;
} query_set;

#define OPTION_SEARCH_FIELD                                                                        \
    {                                                                                              \
        "--field", OPTION_TEXT, "NAME", "the vector field that is searched (the first)", NULL, 0,  \
            0, NULL                                                                                \
    }

/* Opens call->arg[0] and its field. SHELL_OK, or SHELL_FAILED with a message. query_close in any case. */
int query_open_field(query_set *out_set, const shell_call *call);
/* The same, and loads the vectors of a file, or of a JSON array when text begins with '['.
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
