/* version.c - versions and the slots they gave up.
 *
 *   V1  A block or slot that version v replaced is freed only when every version before v is
 *       gone from the list. A version leaves the list when it is the oldest, unpinned and not
 *       published. V2 published moves only forward, one version at a time. */
#include "store/version.h"

VSI_FN bool vsi_versions_init(vsi_versions *versions, vsi_mem *mem, vsi_cow *cow,
                              vsi_descs *descs) {
    memset(versions, 0, sizeof *versions);
    if (!vsi_mutex_init(&versions->lock))
        return false;
    versions->mem = mem;
    versions->cow = cow;
    versions->descs = descs;
    vsi_state empty = vsi_state_empty(cow, descs);
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
    version->seq = ++versions->last_seq;
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

static void versions_give_slots(vsi_versions *versions, const vsi_buf *freed) {
    const vsi_freed_slot *slots = (const vsi_freed_slot *)(const void *)freed->data;
    for (size_t i = 0; i < freed->bytes / sizeof *slots; i++)
        vsi_desc_give_slot(vsi_descs_find(versions->descs, slots[i].coll), slots[i].slot);
}

VSI_FN void vsi_versions_reclaim(vsi_versions *versions) {
    for (vsi_version *gone = versions_pop(versions); gone; gone = versions_pop(versions)) {
        vsi_version *oldest =
            gone->newer; /* is the oldest now: nobody needs what it replaced (V1) */
        vsi_cow_free_dead(versions->cow, oldest->dead);
        oldest->dead = NULL;
        versions_give_slots(versions, &oldest->freed);
        vsi_buf_free(&oldest->freed);
        vsi_version_discard(versions, gone);
    }
}
