/* radix.c - a sparse array of blocks: nodes of 256 children, as many levels as the largest index
 * needs. */
#include "store/radix.h"

enum { RADIX_BITS = 8, RADIX_FANOUT = 1 << RADIX_BITS, RADIX_HEIGHT_MAX = 4 };

typedef struct radix_node {
    vsi_block block;
    void *child[RADIX_FANOUT];
} radix_node;

static uint32_t radix_slot(uint32_t at, uint32_t level) {
    return at >> (RADIX_BITS * level) & (RADIX_FANOUT - 1);
}

static bool radix_covers(const vsi_radix *radix, uint32_t at) {
    return (uint64_t)at >> (RADIX_BITS * radix->height) == 0;
}

VSI_FN void *vsi_radix_get(const vsi_radix *radix, uint32_t at) {
    if (radix->height == 0 || !radix_covers(radix, at))
        return NULL;
    void *p = radix->root;
    for (uint32_t level = radix->height; p && level-- > 0;)
        p = ((radix_node *)p)->child[radix_slot(at, level)];
    return p;
}

/* Levels are added at the root until index at fits. */
static bool radix_grow(vsi_cow *cow, vsi_radix *radix, uint32_t at) {
    while (radix->height == 0 || !radix_covers(radix, at)) {
        vsi_assert(radix->height < RADIX_HEIGHT_MAX);
        radix_node *root = vsi_cow_new(cow, sizeof *root);
        if (!root)
            return false;
        root->child[0] = radix->root;
        radix->root = root;
        radix->height++;
    }
    return true;
}

VSI_FN bool vsi_radix_set(vsi_cow *cow, vsi_radix *radix, uint32_t at, void *block) {
    if (!radix_grow(cow, radix, at))
        return false;
    void **link = &radix->root;
    for (uint32_t level = radix->height; level-- > 0;) {
        radix_node *node = *link ? vsi_cow_touch(cow, *link) : vsi_cow_new(cow, sizeof *node);
        if (!node)
            return false;
        *link = node;
        link = &node->child[radix_slot(at, level)];
    }
    *link = block;
    return true;
}
