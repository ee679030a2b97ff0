/* nearest.c - a search that goes on, chunk by chunk. Results are in one order, by distance and then by key, so
 * what comes behind a hit is found without any memory of what came before it. */
#include "query/nearest.h"

/* Hits of the first chunk, how much larger the next one is, and the largest: 2 MiB. */
enum { NEAREST_FIRST = 64, NEAREST_GROWTH = 4, NEAREST_MOST = 1 << 16 };

VSI_FN void vsi_nearest_init(vsi_nearest *nearest, vsi_mem *mem) {
    nearest->query.mem = nearest->chunk.mem = mem;
    vsi_nearest_forget(nearest);
}

VSI_FN void vsi_nearest_free(vsi_nearest *nearest) {
    vsi_buf_free(&nearest->query);
    vsi_buf_free(&nearest->chunk);
}

VSI_FN void vsi_nearest_forget(vsi_nearest *nearest) {
    nearest->chunk.bytes = nearest->at = 0;
    nearest->wanted = NEAREST_FIRST;
    nearest->is_last = false;
}

static size_t nearest_count(const vsi_nearest *nearest) {
    return nearest->chunk.bytes / sizeof(vs_hit);
}

/* The chunk behind the last hit in place of the one that is used up. */
static vs_status nearest_fill(vsi_err *err, vsi_nearest *nearest, const vsi_coll *coll,
                              vsi_exact_ask *ask, vsi_stay *stay, const vs_key *last) {
    size_t k = nearest->wanted < coll->count ? nearest->wanted : (size_t)coll->count;
    nearest->chunk.bytes = nearest->at = 0;
    if (!vsi_buf_reserve(&nearest->chunk, k * sizeof(vs_hit)))
        return vsi_fail_nomem(err, k * sizeof(vs_hit));
    vs_hit after = {.distance = nearest->distance};
    /* What the scan wants, behind the query. */
    size_t front = vsi_whole_lines(nearest->query.bytes) - nearest->query.bytes;
    ask->field = nearest->field;
    ask->memory_bytes = vsi_exact_bytes(coll, ask, 1);
    if (!vsi_buf_reserve(&nearest->query, front + ask->memory_bytes))
        return vsi_fail_nomem(err, front + ask->memory_bytes);
    ask->memory = nearest->query.data + nearest->query.bytes + front;
    vsi_exact_query query = {.vector = nearest->query.data,
                             .topk = {.hits = (vs_hit *)(void *)nearest->chunk.data, .k = k}};
    if (last) {
        after.key = *last;
        ask->after = &after;
    }
    vsi_watch_count(ask->watch, VSI_EXACT_STEPS, coll->count);
    vs_status st = vsi_exact_scan(err, coll, ask, &query, 1, stay);
    if (st != VS_OK)
        return st;
    nearest->chunk.bytes = query.topk.count * sizeof(vs_hit);
    nearest->is_last = query.topk.count < nearest->wanted;
    if (nearest->wanted < NEAREST_MOST)
        nearest->wanted *= NEAREST_GROWTH;
    return VS_OK;
}

VSI_FN vs_status vsi_nearest_next(vsi_err *err, vsi_nearest *nearest, const vsi_coll *coll,
                                  vsi_exact_ask ask, vsi_stay *stay, const vs_key *last,
                                  vs_hit *out_hit) {
    if (nearest->at == nearest_count(nearest) && !nearest->is_last) {
        vs_status st = nearest_fill(err, nearest, coll, &ask, stay, last);
        if (st != VS_OK)
            return st;
    }
    if (nearest->at == nearest_count(nearest))
        return VS_DONE;
    *out_hit = ((const vs_hit *)(const void *)nearest->chunk.data)[nearest->at];
    return VS_ROW;
}

VSI_FN void vsi_nearest_take(vsi_nearest *nearest) {
    nearest->distance = ((const vs_hit *)(const void *)nearest->chunk.data)[nearest->at++].distance;
}
