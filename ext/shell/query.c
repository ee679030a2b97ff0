/* query.c - search, and what the measuring commands share with it. */
#include "query.h"
#include "text.h"
#include "vecs.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The vectors as the collection has them, so that what is asked is what search compares. */
static int convert_rows(query_set *set, int type) {
    size_t from = vs_vector_bytes(type, set->info.dim);
    size_t to = vs_vector_bytes(set->info.type, set->info.dim);
    uint8_t *rows = shell_alloc(set->count * to);
    for (uint64_t i = 0; i < set->count; i++) {
        uint32_t at = 0;
        vs_status st = vs_vector_convert((const uint8_t *)set->rows + i * from, type, rows + i * to,
                                         set->info.type, set->info.dim, &at);
        if (st != VS_OK) {
            free(rows);
            return shell_fail(set->call, "query %llu: element %lu is no number that %s has",
                              (unsigned long long)i, (unsigned long)at,
                              vs_type_name(set->info.type));
        }
    }
    free(set->rows);
    set->rows = rows;
    return SHELL_OK;
}

static int load_vectors(query_set *set, const char *text) {
    uint32_t dim = 0;
    int type = 0;
    if (*text == '[') {
        size_t count = 0;
        float *values = NULL;
        const char *problem = text_to_floats(text, &values, &count);
        if (problem)
            return shell_fail(set->call, "the query vector: %s", problem);
        set->rows = values;
        set->count = 1;
        type = VS_F32;
        dim = (uint32_t)count;
    } else {
        char why[VECS_WHY_BYTES];
        int kind = 0;
        if (!vecs_load(text, 0, &set->rows, &set->count, &dim, &kind, why))
            return shell_fail(set->call, "%s: %s", text, why);
        if (kind == VECS_I32)
            return shell_fail(set->call, "%s: ivecs holds neighbour ids, not vectors", text);
        if (!set->count)
            return shell_fail(set->call, "%s: the file is empty", text);
        type = kind == VECS_U8 ? VS_U8 : VS_F32;
    }
    if (dim != set->info.dim)
        return shell_fail(set->call, "query: dimension is %lu, collection '%s' has %lu",
                          (unsigned long)dim, set->info.name, (unsigned long)set->info.dim);
    return convert_rows(set, type);
}

int query_open(query_set *out_set, const shell_call *call, const char *text) {
    query_set *set = out_set;
    memset(set, 0, sizeof *set);
    set->call = call;
    set->info = (vs_collection_info)VS_COLLECTION_INFO_INIT;
    set->db = shell_open(call, VS_OPEN_READONLY);
    if (!set->db)
        return SHELL_FAILED;
    if (vs_begin(set->db, VS_TXN_READ, &set->txn) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(set->db));
    if (vs_collection_open(set->db, set->txn, call->arg[0], &set->collection) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(set->txn));
    if (vs_collection_info_get(set->collection, set->txn, &set->info) != VS_OK)
        return shell_fail(call, "%s", vs_errmsg(set->collection));
    return load_vectors(set, text);
}

int query_close(query_set *set, int result) {
    free(set->rows);
    vs_collection_close(set->collection);
    vs_rollback(set->txn);
    return set->db ? shell_close(set->call, set->db, result) : result;
}

const void *query_row(const query_set *set, uint64_t at) {
    size_t bytes = vs_vector_bytes(set->info.type, set->info.dim);
    return (const uint8_t *)set->rows + at * bytes;
}

/* ---- search --------------------------------------------------------------------------------- */

static int print_hit(query_set *set, const vs_hit *hit, size_t rank, bool is_json) {
    char distance[TEXT_DOUBLE_BYTES];
    vs_record record = VS_RECORD_INIT;
    if (vs_get(set->collection, set->txn, vs_key_u64(hit->key.number), &record) != VS_OK)
        return shell_fail(set->call, "%s", vs_errmsg(set->collection));
    text_double(hit->distance, distance);
    if (is_json)
        printf("%s{\"key\":%llu,\"distance\":%s,\"metadata\":%s}", rank ? "," : "",
               (unsigned long long)hit->key.number, distance,
               record.metadata ? record.metadata : "null");
    else
        printf("%5zu %20llu %20s  %s\n", rank + 1, (unsigned long long)hit->key.number, distance,
               record.metadata ? record.metadata : "");
    return SHELL_OK;
}

static int search_one(query_set *set, uint64_t at, size_t k, vs_hit *hits, bool is_json) {
    size_t count = 0;
    if (vs_search(set->collection, set->txn, query_row(set, at), 0, k, NULL, hits, &count) != VS_OK)
        return shell_fail(set->call, "%s", vs_errmsg(set->collection));
    if (is_json)
        printf("{\"query\":%llu,\"hits\":[", (unsigned long long)at);
    else
        printf("%s%5s %20s %20s  %s\n", at ? "\n" : "", "rank", "key", "distance", "metadata");
    int result = SHELL_OK;
    for (size_t i = 0; result == SHELL_OK && i < count; i++)
        result = print_hit(set, &hits[i], i, is_json);
    if (is_json)
        printf("]}\n");
    return result;
}

int shell_search(const shell_call *call) {
    static const char *const modes[] = {"table", "json", NULL};
    bool is_json = shell_word(call, "--mode", modes) == 2;
    size_t k = (size_t)shell_number(call, "-k", 10, 1, VS_RECORDS_MAX);
    const char *near = shell_value(call, "--near");
    if (!near || (near[0] != '@' && near[0] != '['))
        shell_usage(call, "--near is needed: @FILE or '[number, ...]'");
    query_set set;
    int result = query_open(&set, call, near[0] == '@' ? near + 1 : near);
    if (set.info.count < k)
        k = set.info.count ? (size_t)set.info.count : 1;
    vs_hit *hits = shell_alloc(k * sizeof *hits);
    for (uint64_t i = 0; result == SHELL_OK && i < set.count; i++)
        result = search_one(&set, i, k, hits, is_json);
    free(hits);
    return query_close(&set, result);
}
