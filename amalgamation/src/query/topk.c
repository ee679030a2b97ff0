/* topk.c - the k nearest of a stream of candidates: a binary heap, then heapsort. */
#include "query/topk.h"

/* The order of results: by distance, then by key. */
static bool topk_is_farther(const vsi_topk *topk, const vs_hit *a, const vs_hit *b) {
    if (a->distance != b->distance)
        return a->distance > b->distance;
    if (a->key.space != b->key.space)
        return a->key.space > b->key.space;
    if (a->key.kind != b->key.kind)
        return a->key.kind > b->key.kind;
    if (a->key.kind == VS_KEY_U64)
        return a->key.number > b->key.number;
    return topk->order(topk->ctx, (uint32_t)a->key.number, (uint32_t)b->key.number) > 0;
}

static void topk_sift_up(vsi_topk *topk, size_t at, vs_hit hit) {
    vs_hit *heap = topk->hits;
    while (at > 0 && topk_is_farther(topk, &hit, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = hit;
}

/* Puts hit at the root of a heap of n and moves it down. */
static void topk_sift_down(vsi_topk *topk, size_t n, vs_hit hit) {
    vs_hit *heap = topk->hits;
    size_t at = 0;
    for (size_t child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && topk_is_farther(topk, &heap[child + 1], &heap[child]))
            child++;
        if (!topk_is_farther(topk, &heap[child], &hit))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = hit;
}

VSI_FN bool vsi_topk_may_enter(vsi_topk *topk, double distance) {
    if (topk->has_radius && !(distance <= topk->radius))
        return false;
    topk->within++;
    return topk->count < topk->k || (topk->k && distance <= topk->hits[0].distance);
}

VSI_FN double vsi_topk_limit(const vsi_topk *topk) {
    if (topk->has_radius)
        return topk->radius; /* those within are counted */
    return topk->count < topk->k ? INFINITY : topk->hits[0].distance;
}

VSI_FN void vsi_topk_offer(vsi_topk *topk, vs_key key, double distance) {
    vs_hit hit = {.key = key, .distance = distance};
    if (topk->count < topk->k)
        topk_sift_up(topk, topk->count++, hit);
    else if (topk_is_farther(topk, &topk->hits[0], &hit))
        topk_sift_down(topk, topk->count, hit);
}

VSI_FN void vsi_topk_sort(vsi_topk *topk) {
    for (size_t n = topk->count; n > 1; n--) {
        vs_hit last = topk->hits[n - 1];
        topk->hits[n - 1] = topk->hits[0];
        topk_sift_down(topk, n - 1, last);
    }
}
