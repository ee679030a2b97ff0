/* topk.h - the k nearest of a stream of candidates, in the caller's array. */
#ifndef VSI_TOPK_H
#define VSI_TOPK_H

#include "base/port.h"
#include "vecstore.h"

/* hits is a heap with the farthest first while candidates come. */
typedef struct vsi_topk {
    vs_hit *hits; /* [k], borrowed */
    size_t k, count;
    bool has_radius; /* none that is farther is wanted */
    double radius;
    uint64_t within; /* candidates not farther than radius, wanted or not */
    /* Orders two keys that are no numbers, of which hits know the slots: below, equal or above 0. */
    int (*order)(void *ctx, uint32_t slot, uint32_t other);
    void *ctx;
} vsi_topk;

/* Whether a candidate at this distance could still be among the k; cheap, for the inner loop. Asked once
 * for each. */
VSI_FN bool vsi_topk_may_enter(vsi_topk *topk, double distance);
/* Nothing at a larger distance can still be among them. */
VSI_FN double vsi_topk_limit(const vsi_topk *topk);
/* A key that is no number has none of its bytes: its number is that of its slot. */
VSI_FN void vsi_topk_offer(vsi_topk *topk, vs_key key, double distance);

/* Sorts hits: nearest first, equal distances by ascending key. Ends the stream. */
VSI_FN void vsi_topk_sort(vsi_topk *topk);

#endif
