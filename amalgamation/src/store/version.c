/* version.c - versions and the slots they gave up.
 *
 *   V1  A block or slot that version v replaced is freed only when every version before v is
 *       gone from the list. A version leaves the list when it is the oldest, unpinned and not
 *       published. V2 published moves only forward, one version at a time. */
#include "store/version.h"

VSI_FN bool vsi_versions_init(vsi_versions *versions, vsi_mem *mem, vsi_cow *cow) {
    memset(versions, 0, sizeof *versions);
    if (!vsi_mutex_init(&versions->lock))
        return false;
    versions->mem = mem;
    versions->cow = cow;
    versions->pools.mem = mem;
    vsi_state empty;
    memset(&empty, 0, sizeof empty);
    vsi_version *first = vsi_version_new(versions, &empty);
    versions->oldest = versions->published = versions->applied = first;
    if (!first) {
        vsi_mutex_destroy(&versions->lock);
        memset(versions, 0, sizeof *versions);
    }
    return first;
}

VSI_FN void vsi_versions_free(vsi_versions *versions) {
    if (!versions->mem)
        return;
    while (versions->oldest) {
        vsi_version *next = versions->oldest->newer;
        vsi_version_discard(versions, versions->oldest);
        versions->oldest = next;
    }
    vsi_pool *pools = (vsi_pool *)(void *)versions->pools.data;
    for (size_t i = 0; i < versions->pools.bytes / sizeof *pools; i++)
        vsi_buf_free(&pools[i].slots);
    vsi_buf_free(&versions->pools);
    vsi_mutex_destroy(&versions->lock);
}

/* ---- pins ----------------------------------------------------------------------------------- */

VSI_FN vsi_version *vsi_versions_pin(vsi_versions *versions) {
    vsi_mutex_lock(&versions->lock);
    vsi_version *version = versions->published;
    version->pins++;
    versions->pins++;
    vsi_mutex_unlock(&versions->lock);
    return version;
}

VSI_FN vsi_version *vsi_versions_pin_again(vsi_versions *versions, vsi_version *version) {
    vsi_mutex_lock(&versions->lock);
    vsi_assert(version->pins > 0);
    version->pins++;
    versions->pins++;
    vsi_mutex_unlock(&versions->lock);
    return version;
}

VSI_FN void vsi_versions_unpin(vsi_versions *versions, vsi_version *version) {
    vsi_mutex_lock(&versions->lock);
    vsi_assert(version->pins > 0);
    version->pins--;
    versions->pins--;
    vsi_mutex_unlock(&versions->lock);
}

VSI_FN uint32_t vsi_versions_pin_count(vsi_versions *versions) {
    vsi_mutex_lock(&versions->lock);
    uint32_t pins = versions->pins;
    vsi_mutex_unlock(&versions->lock);
    return pins;
}

/* ---- the list ------------------------------------------------------------------------------- */

VSI_FN vsi_version *vsi_version_new(vsi_versions *versions, const vsi_state *state) {
    vsi_version *version = vsi_alloc_zeroed(versions->mem, sizeof *version);
    if (!version)
        return NULL;
    version->state = *state;
    version->freed.mem = versions->mem;
    return version;
}

VSI_FN void vsi_version_discard(vsi_versions *versions, vsi_version *version) {
    vsi_buf_free(&version->freed);
    vsi_free(versions->mem, version, sizeof *version);
}

VSI_FN void vsi_versions_add(vsi_versions *versions, vsi_version *version) {
    vsi_mutex_lock(&versions->lock);
    versions->applied->newer = version;
    versions->applied = version;
    vsi_mutex_unlock(&versions->lock);
}

VSI_FN void vsi_versions_publish(vsi_versions *versions, uint64_t durable_lsn, bool only_durable) {
    vsi_mutex_lock(&versions->lock);
    vsi_version *next = versions->published->newer;
    while (next && (next->lsn <= durable_lsn || !(next->needs_sync || only_durable))) {
        versions->published = next; /* keeps V2 */
        next = next->newer;
    }
    vsi_mutex_unlock(&versions->lock);
}

VSI_FN bool vsi_versions_is_published(vsi_versions *versions, uint64_t lsn) {
    vsi_mutex_lock(&versions->lock);
    bool is_published = versions->published->lsn >= lsn;
    vsi_mutex_unlock(&versions->lock);
    return is_published;
}

VSI_FN void vsi_versions_peek(vsi_versions *versions, uint64_t *out_lsn, vsi_hash128 *out_digest) {
    vsi_mutex_lock(&versions->lock);
    *out_lsn = versions->published->lsn;
    *out_digest = versions->published->state.digest;
    vsi_mutex_unlock(&versions->lock);
}

/* The oldest version if nobody needs it any more, taken off the list. */
static vsi_version *versions_pop(vsi_versions *versions) {
    vsi_mutex_lock(&versions->lock);
    vsi_version *version = versions->oldest;
    bool is_needed = version == versions->published || version->pins > 0;
    if (!is_needed)
        versions->oldest = version->newer;
    vsi_mutex_unlock(&versions->lock);
    return is_needed ? NULL : version;
}

VSI_FN void vsi_versions_reclaim(vsi_versions *versions) {
    for (vsi_version *gone = versions_pop(versions); gone; gone = versions_pop(versions)) {
        vsi_version *oldest =
            gone->newer; /* is the oldest now: nobody needs what it replaced (V1) */
        vsi_cow_free_dead(versions->cow, oldest->dead);
        oldest->dead = NULL;
        const vsi_freed_slot *slots = (const vsi_freed_slot *)(const void *)oldest->freed.data;
        for (size_t i = 0; i < oldest->freed.bytes / sizeof *slots; i++)
            vsi_versions_give_slot(versions, slots[i]);
        vsi_buf_free(&oldest->freed);
        vsi_version_discard(versions, gone);
    }
}

/* ---- slots ---------------------------------------------------------------------------------- */

/* The place of the first pool whose collection is not below coll. */
static size_t versions_pool_place(const vsi_versions *versions, uint32_t coll) {
    const vsi_pool *pools = (const vsi_pool *)(const void *)versions->pools.data;
    size_t low = 0, high = versions->pools.bytes / sizeof *pools;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (pools[mid].coll < coll)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The pool of a collection; NULL when it has none. */
static vsi_buf *versions_pool(const vsi_versions *versions, uint32_t coll) {
    vsi_pool *pools = (vsi_pool *)(void *)versions->pools.data;
    size_t at = versions_pool_place(versions, coll);
    bool is_there = at < versions->pools.bytes / sizeof *pools && pools[at].coll == coll;
    return is_there ? &pools[at].slots : NULL;
}

static vsi_buf *versions_make_pool(vsi_versions *versions, uint32_t coll) {
    size_t at = versions_pool_place(versions, coll), unit = sizeof(vsi_pool);
    if (!vsi_buf_reserve(&versions->pools, unit))
        return NULL;
    vsi_pool *place = (vsi_pool *)(void *)versions->pools.data + at;
    memmove(place + 1, place, versions->pools.bytes - at * unit);
    versions->pools.bytes += unit;
    *place = (vsi_pool){.coll = coll, .slots = {.mem = versions->mem}};
    return &place->slots;
}

VSI_FN uint32_t vsi_versions_take_slot(const vsi_versions *versions, vsi_coll *coll) {
    const vsi_buf *pool = versions_pool(versions, coll->desc->id);
    size_t left = pool ? pool->bytes / sizeof(uint32_t) - coll->pool_used : 0;
    if (left == 0)
        return coll->slot_end;
    uint32_t slot;
    memcpy(&slot, pool->data + (left - 1) * sizeof slot, sizeof slot);
    coll->pool_used++;
    return slot;
}

VSI_FN void vsi_versions_keep_slots(vsi_versions *versions, vsi_coll *coll) {
    if (coll->pool_used == 0)
        return;
    versions_pool(versions, coll->desc->id)->bytes -= coll->pool_used * sizeof(uint32_t);
    coll->pool_used = 0;
}

VSI_FN void vsi_versions_give_slot(vsi_versions *versions, vsi_freed_slot slot) {
    vsi_buf *pool = versions_pool(versions, slot.coll);
    if (!pool)
        pool = versions_make_pool(versions, slot.coll);
    if (pool)
        vsi_buf_append(pool, &slot.slot, sizeof slot.slot);
}
