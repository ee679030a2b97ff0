/* region.c - blocks cut from regions of 2 MiB.
 *
 *   B1  A region has blocks of one size and kind, those of its class, behind its head. Each is used, warm (free,
 *       and may take memory) or cold (free, and its pages are not in memory, but for those it shares).
 *   B2  A region has large pages only while none of its blocks is cold: touching one would bring all of
 *       them into memory, and the system does the same by itself in time.
 *   B3  What is warm counts nowhere. Of a class it is at most an eighth of what is used and, if the class is
 *       large enough for large pages, one region more. */
#include "base/region.h"

/* From here on a class gets regions with large pages, which take memory at once. Those before, and all of a
 * small database, are filled first. */
enum { REGION_LARGE_FROM = 2 * VSI_REGION_BYTES, REGION_WARM_SHARE = 8 };

enum { REGION_HEAD_BYTES = 128, REGION_WORDS = 2 };

typedef struct region_link {
    struct region_link *next, *before;
} region_link;

typedef struct region_class {
    struct region_class *next;
    size_t block_bytes; /* with what aligns the next one */
    uint32_t kind;
    uint32_t count;        /* blocks of a region */
    uint64_t used, warm;   /* blocks of all regions */
    region_link some_warm; /* regions with warm blocks */
    region_link only_cold; /* others with cold ones */
    region_link none_free;
} region_class;

/* At the front of its memory. */
typedef struct region_head {
    region_link link; /* first: in a list of its class */
    region_class *class;
    uint32_t warm_count, cold_count;
    uint64_t warm[REGION_WORDS], cold[REGION_WORDS]; /* bit: block */
    bool is_large;
} region_head;

_Static_assert(sizeof(region_head) <= REGION_HEAD_BYTES, "the head is in front of the first block");
_Static_assert((VSI_REGION_BYTES - REGION_HEAD_BYTES) / VSI_BLOCK_BYTES_MIN <= REGION_WORDS * 64,
               "each block has a bit");

/* ---- lists and bits ------------------------------------------------------------------------- */

static void link_init(region_link *list) {
    list->next = list->before = list;
}

static void link_out(region_link *link) {
    link->before->next = link->next;
    link->next->before = link->before;
}

static void link_in(region_link *list, region_link *link) {
    link->next = list->next;
    link->before = list;
    list->next->before = link;
    list->next = link;
}

/* NULL: the list is empty. */
static region_head *link_first(region_link *list) {
    return list->next == list ? NULL : (region_head *)(void *)list->next;
}

static bool bits_have(const uint64_t bits[REGION_WORDS], uint32_t at) {
    return bits[at / 64] >> at % 64 & 1;
}

static void bits_flip(uint64_t bits[REGION_WORDS], uint32_t at) {
    bits[at / 64] ^= (uint64_t)1 << at % 64;
}

/* There is one. */
static uint32_t bits_first(const uint64_t bits[REGION_WORDS]) {
    uint32_t word = bits[0] ? 0 : 1;
    return word * 64 + (uint32_t)vsi_trailing_zeros(bits[word]);
}

/* ---- regions -------------------------------------------------------------------------------- */

static uint8_t *region_block(region_head *region, uint32_t at) {
    return (uint8_t *)region + REGION_HEAD_BYTES + at * region->class->block_bytes;
}

/* Where a block's region begins. */
static region_head *region_of(void *block) {
    return (region_head *)(void *)((uint8_t *)block - (uintptr_t)block % VSI_REGION_BYTES);
}

static uint32_t region_free_count(const region_head *region) {
    return region->warm_count + region->cold_count;
}

/* Puts a region into the list that it belongs to now. */
static void region_file(region_head *region) {
    region_class *class = region->class;
    link_in(region->warm_count   ? &class->some_warm
            : region->cold_count ? &class->only_cold
                                 : &class->none_free,
            &region->link);
}

static void region_prefer(const vsi_regions *regions, region_head *region, bool is_large) {
    if (region->is_large != is_large)
        regions->pages->prefer(regions->pages->ctx, region, VSI_REGION_BYTES, is_large);
    region->is_large = is_large;
}

/* A region without used blocks, not in a list yet. */
static region_head *region_make(const vsi_regions *regions, region_class *class) {
    const vsi_pages *pages = regions->pages;
    region_head *region = pages->map(pages->ctx, VSI_REGION_BYTES);
    if (!region)
        return NULL;
    bool is_large = class->used * class->block_bytes >= REGION_LARGE_FROM;
    pages->prefer(pages->ctx, region, VSI_REGION_BYTES, is_large);
    region->class = class;
    region->is_large = is_large;
    for (uint32_t at = 0; at < class->count; at++)
        bits_flip(is_large ? region->warm : region->cold, at); /* keeps B2 */
    *(is_large ? &region->warm_count : &region->cold_count) = class->count;
    class->warm += region->warm_count;
    VSI_POISON(region_block(region, 0), VSI_REGION_BYTES - REGION_HEAD_BYTES);
    return region;
}

/* Gives a region back, of which no block is used; it is in no list. */
static void region_drop(const vsi_regions *regions, region_head *region) {
    region->class->warm -= region->warm_count;
    VSI_UNPOISON(region, VSI_REGION_BYTES); /* whoever maps it next knows nothing of that */
    regions->pages->unmap(regions->pages->ctx, region, VSI_REGION_BYTES);
}

/* The free blocks from `from` on that follow each other leave memory; returns the first one behind them. */
static uint32_t region_give_back(const vsi_regions *regions, region_head *region, uint32_t from) {
    uint32_t to = from, count = region->class->count;
    while (to < count && (bits_have(region->warm, to) || bits_have(region->cold, to)))
        to++;
    uint8_t *end = to < count ? region_block(region, to) : (uint8_t *)region + VSI_REGION_BYTES;
    uint8_t *first = region_block(region, from);
    regions->pages->give_back(regions->pages->ctx, first, (size_t)(end - first));
    return to;
}

/* Makes all warm blocks cold. */
static void region_cool(const vsi_regions *regions, region_head *region) {
    region_prefer(regions, region, false); /* keeps B2 */
    for (uint32_t at = 0; at < region->class->count; at++)
        if (bits_have(region->warm, at) || bits_have(region->cold, at))
            at = region_give_back(regions, region, at);
    for (int i = 0; i < REGION_WORDS; i++) {
        region->cold[i] |= region->warm[i];
        region->warm[i] = 0;
    }
    region->class->warm -= region->warm_count;
    region->cold_count += region->warm_count;
    region->warm_count = 0;
}

/* ---- classes; the lock is held -------------------------------------------------------------- */

static region_class *class_find(const vsi_regions *regions, size_t bytes, uint32_t kind) {
    region_class *class = regions->classes;
    while (class && !(class->block_bytes == vsi_whole_lines(bytes) && class->kind == kind))
        class = class->next;
    return class;
}

static region_class *class_make(vsi_regions *regions, size_t bytes, uint32_t kind) {
    region_class *class = vsi_alloc_zeroed(regions->mem, sizeof *class);
    if (!class)
        return NULL;
    class->block_bytes = vsi_whole_lines(bytes);
    class->kind = kind;
    class->count = (uint32_t)((VSI_REGION_BYTES - REGION_HEAD_BYTES) / class->block_bytes);
    link_init(&class->some_warm);
    link_init(&class->only_cold);
    link_init(&class->none_free);
    class->next = regions->classes;
    regions->classes = class;
    return class;
}

/* A region with a free block, a warm one if there is any; it is in no list. NULL: the system refuses. */
static region_head *class_region(const vsi_regions *regions, region_class *class) {
    region_head *region = link_first(&class->some_warm);
    if (!region)
        region = link_first(&class->only_cold);
    if (!region)
        return region_make(regions, class);
    link_out(&region->link);
    return region;
}

/* NULL: no memory. */
static uint8_t *class_take(const vsi_regions *regions, region_class *class) {
    region_head *region = class_region(regions, class);
    if (!region)
        return NULL;
    bool is_warm = region->warm_count;
    uint32_t at = bits_first(is_warm ? region->warm : region->cold);
    bits_flip(is_warm ? region->warm : region->cold, at);
    --*(is_warm ? &region->warm_count : &region->cold_count);
    class->warm -= is_warm;
    class->used++;
    if (!region->cold_count)
        region_prefer(regions, region, true);
    region_file(region);
    return region_block(region, at);
}

/* The memory limit lets a sixteenth leave at once (store/budget), which then comes back. */
static uint64_t class_warm_max(const region_class *class) {
    bool is_large = class->used * class->block_bytes >= REGION_LARGE_FROM;
    return class->used / REGION_WARM_SHARE + (is_large ? class->count : 0);
}

/* Gives memory back. */
static void class_trim(const vsi_regions *regions, region_class *class) {
    while (class->warm > class_warm_max(class)) { /* keeps B3 */
        region_head *region = link_first(&class->some_warm);
        link_out(&region->link);
        if (region_free_count(region) == class->count) {
            region_drop(regions, region);
        } else {
            region_cool(regions, region);
            region_file(region);
        }
    }
}

/* A used block becomes a warm one. */
static void class_take_back(const vsi_regions *regions, region_head *region, uint32_t at) {
    region_class *class = region->class;
    vsi_assert(!bits_have(region->warm, at) && !bits_have(region->cold, at));
    bits_flip(region->warm, at);
    region->warm_count++;
    class->warm++;
    class->used--;
    link_out(&region->link);
    region_file(region);
    class_trim(regions, class);
}

static void class_free(const vsi_regions *regions, region_class *class) {
    region_link *lists[] = {&class->some_warm, &class->only_cold, &class->none_free};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (region_head *first; (first = link_first(lists[i])) != NULL;) {
            link_out(&first->link);
            region_drop(regions, first);
        }
    vsi_free(regions->mem, class, sizeof *class);
}

/* ---- for the others ------------------------------------------------------------------------- */

VSI_FN bool vsi_regions_init(vsi_regions *regions, vsi_mem *mem, const vsi_pages *pages) {
    memset(regions, 0, sizeof *regions);
    if (!vsi_mutex_init(&regions->lock))
        return false;
    regions->mem = mem;
    regions->pages = pages;
    mem->regions = pages ? regions : NULL;
    return true;
}

VSI_FN void vsi_regions_close(vsi_regions *regions) {
    regions->is_closing = true;
}

VSI_FN void vsi_regions_free(vsi_regions *regions) {
    if (!regions->mem)
        return;
    while (regions->classes) {
        region_class *class = regions->classes;
        regions->classes = class->next;
        class_free(regions, class);
    }
    regions->mem->regions = NULL;
    regions->mem = NULL;
    vsi_mutex_destroy(&regions->lock);
}

static bool block_is_in_region(const vsi_mem *mem, size_t bytes) {
    return mem->regions && bytes >= VSI_BLOCK_BYTES_MIN && bytes <= VSI_BLOCK_BYTES_MAX;
}

VSI_FN void *vsi_block_alloc(vsi_mem *mem, size_t bytes, uint32_t kind) {
    vsi_regions *regions = mem->regions;
    if (!block_is_in_region(mem, bytes))
        return vsi_alloc(mem, bytes);
    vsi_mutex_lock(&regions->lock);
    region_class *class = class_find(regions, bytes, kind);
    if (!class)
        class = class_make(regions, bytes, kind);
    uint8_t *block = class ? class_take(regions, class) : NULL;
    vsi_mutex_unlock(&regions->lock);
    if (!block)
        return NULL;
    vsi_atomic_add(&mem->used_bytes, bytes);
    VSI_UNPOISON(block, bytes);
    return block;
}

VSI_FN void vsi_block_free(vsi_mem *mem, void *block, size_t bytes) {
    vsi_regions *regions = mem->regions;
    if (!block || !block_is_in_region(mem, bytes)) {
        vsi_free(mem, block, bytes);
        return;
    }
    vsi_atomic_add(&mem->used_bytes, 0 - (uint64_t)bytes);
    if (regions->is_closing)
        return;
    region_head *region = region_of(block);
    size_t off = (size_t)((uint8_t *)block - region_block(region, 0));
    vsi_assert(region->class->block_bytes == vsi_whole_lines(bytes));
    vsi_assert(off % vsi_whole_lines(bytes) == 0);
    VSI_POISON(block, bytes);
    vsi_mutex_lock(&regions->lock);
    class_take_back(regions, region, (uint32_t)(off / vsi_whole_lines(bytes)));
    vsi_mutex_unlock(&regions->lock);
}
