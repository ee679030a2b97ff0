/* query.c - query vectors of a collection. */
#include "query.h"
#include <stdlib.h>

int query_open_field(query_set *out_set, const shell_call *call) {
    query_set *set = out_set;
    field_list fields;
    uint32_t field = 0;
    *set = (query_set){.options = VS_SEARCH_OPTIONS_INIT};
    if (use_read(&set->use, call, call->arg[0]) != SHELL_OK ||
        fields_of(call, set->use.collection, set->use.txn, &fields) != SHELL_OK ||
        fields_find(call, &fields, "--field", &field) != SHELL_OK)
        return SHELL_FAILED;
    set->field = fields.field[field];
    set->options.field = field;
    return SHELL_OK;
}

int query_open(query_set *out_set, const shell_call *call, const char *text) {
    int result = query_open_field(out_set, call);
    if (result == SHELL_OK)
        result = vectors_load(call, text, "query", &out_set->field, &out_set->vectors);
    return result;
}

int query_close(query_set *set, int result) {
    free(set->vectors.rows);
    return use_end(&set->use, result);
}

const void *query_row(const query_set *set, uint64_t at) {
    return vectors_at(&set->vectors, &set->field, at);
}
