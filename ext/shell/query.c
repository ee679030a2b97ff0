/* query.c - query vectors of a collection. */
#include "query.h"
#include <stdlib.h>

int query_open(query_set *out_set, const shell_call *call, const char *text) {
    query_set *set = out_set;
    set->vectors = (record_vectors){NULL, 0};
    int result = use_read(&set->use, call, call->arg[0]);
    if (result == SHELL_OK)
        result = vectors_load(call, text, "query", &set->use.info, &set->vectors);
    return result;
}

int query_close(query_set *set, int result) {
    free(set->vectors.rows);
    return use_end(&set->use, result);
}

const void *query_row(const query_set *set, uint64_t at) {
    return vectors_at(&set->vectors, &set->use.info, at);
}
