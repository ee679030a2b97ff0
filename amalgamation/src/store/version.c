/* version.c - versions and the slots they gave up.
 *
 *   V1  What version v replaced is needed by the versions before it in the list, from the one that made
 *       it on. When a version leaves, what came after it and died with the next is needed by nobody.
 *   V2  published moves only forward, one version at a time.
 *   V3  A version leaves the list when it is older than published and has no pin. Who pins looks again
 *       afterwards whether the version is still published; only then the pin counts. */
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
    versions->oldest = versions->applied = first;
    vsi_ordered_ptr_store(&versions->published, first);
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

/* NULL: everything is in memory, and there is one thread. */
static vsi_reside *versions_reside(const vsi_versions *versions) {
    return versions->cow->pager ? &versions->cow->pager->reside : NULL;
}

static vsi_version *versions_published(vsi_versions *versions) {
    return vsi_ordered_ptr_load(&versions->published);
}

VSI_FN vsi_version *vsi_versions_pin(vsi_versions *versions) {
    vsi_reside *reside = versions_reside(versions);
    vsi_stay stay = {0};
    if (reside)
        stay = vsi_stay_enter(reside); /* a version may leave the list between load and add */
    vsi_version *version = versions_published(versions);
    vsi_ordered_add(&version->pins, 1);
    while (versions_published(versions) != version) { /* V3 */
        vsi_ordered_add(&version->pins, UINT64_MAX);
        version = versions_published(versions);
        vsi_ordered_add(&version->pins, 1);
    }
    if (reside)
        vsi_stay_leave(reside, stay);
    return version;
}

VSI_FN vsi_version *vsi_versions_pin_again(vsi_versions *versions, vsi_version *version) {
    (void)versions;
    vsi_assert(vsi_ordered_load(&version->pins) > 0);
    vsi_ordered_add(&version->pins, 1);
    return version;
}

VSI_FN void vsi_versions_unpin(vsi_versions *versions, vsi_version *version) {
    (void)versions;
    vsi_assert(vsi_ordered_load(&version->pins) > 0);
    vsi_ordered_add(&version->pins, UINT64_MAX);
}

VSI_FN uint64_t vsi_versions_pin_count(vsi_versions *versions, uint64_t *out_oldest_lsn) {
    uint64_t pins = 0;
    *out_oldest_lsn = 0;
    vsi_mutex_lock(&versions->lock);
    for (vsi_version *version = versions->oldest; version; version = version->newer) {
        uint64_t own = vsi_ordered_load(&version->pins);
        if (!pins && own)
            *out_oldest_lsn = version->lsn;
        pins += own;
    }
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

VSI_FN void vsi_versions_add(vsi_versions *versions, vsi_version *version, uint64_t checkpoint) {
    vsi_mutex_lock(&versions->lock);
    version->scope = versions->cow->last_scope;
    version->checkpoint = checkpoint;
    version->seq = ++versions->last_seq;
    versions->applied->newer = version;
    versions->applied = version;
    vsi_mutex_unlock(&versions->lock);
}

VSI_FN void vsi_versions_publish(vsi_versions *versions, uint64_t durable_lsn, bool only_durable) {
    vsi_mutex_lock(&versions->lock);
    vsi_version *next = versions_published(versions)->newer;
    while (next && (next->lsn <= durable_lsn || !(next->needs_sync || only_durable))) {
        vsi_ordered_ptr_store(&versions->published, next); /* keeps V2 */
        next = next->newer;
    }
    vsi_mutex_unlock(&versions->lock);
}

VSI_FN bool vsi_versions_is_published(vsi_versions *versions, uint64_t lsn) {
    vsi_mutex_lock(&versions->lock);
    bool is_published = versions_published(versions)->lsn >= lsn;
    vsi_mutex_unlock(&versions->lock);
    return is_published;
}

VSI_FN void vsi_versions_peek(vsi_versions *versions, uint64_t *out_lsn, vsi_hash128 *out_digest) {
    vsi_mutex_lock(&versions->lock);
    *out_lsn = versions_published(versions)->lsn;
    *out_digest = versions_published(versions)->state.digest;
    vsi_mutex_unlock(&versions->lock);
}

VSI_FN bool vsi_versions_list(vsi_versions *versions, vsi_buf *out) {
    bool ok = true;
    vsi_mutex_lock(&versions->lock);
    for (vsi_version *version = versions->oldest; ok && version; version = version->newer) {
        vsi_space_reader reader = {.version = version->seq,
                                   .newest_birth = version->checkpoint + 1};
        ok = vsi_buf_append(out, &reader, sizeof reader);
    }
    vsi_mutex_unlock(&versions->lock);
    return ok;
}

static void versions_give_slots(vsi_versions *versions, const vsi_buf *freed) {
    const vsi_freed_slot *slots = (const vsi_freed_slot *)(const void *)freed->data;
    for (size_t i = 0; i < freed->bytes / sizeof *slots; i++) {
        vsi_desc *desc = vsi_descs_find(versions->descs, slots[i].coll);
        if (slots[i].slot == VSI_SLOT_NONE)
            desc->rest = VSI_REST_DEAD;
        else
            vsi_desc_give_slot(desc, slots[i].slot);
    }
}

/* What the next version replaced falls to it when this one leaves the list, but for what is needed by
 * nobody then; older is the one before, NULL: none. False, and nothing has changed, without memory. */
static bool version_bequeath(vsi_versions *versions, const vsi_version *older, vsi_version *gone) {
    vsi_version *next = gone->newer;
    if (!older) {
        vsi_cow_free_dead(versions->cow, next->dead);
        next->dead = NULL;
        versions_give_slots(versions, &next->freed);
        vsi_buf_free(&next->freed);
        return true;
    }
    if (!vsi_buf_append(&gone->freed, next->freed.data, next->freed.bytes))
        return false;
    vsi_buf_free(&next->freed);
    next->freed = gone->freed;
    gone->freed = (vsi_buf){.mem = versions->mem};
    next->dead = vsi_cow_free_born_after(versions->cow, next->dead, older->scope, gone->dead);
    gone->dead = NULL;
    return true;
} /* keeps V1 */

static void version_retire(vsi_versions *versions, vsi_version *version) {
    vsi_reside *reside = versions_reside(versions);
    vsi_buf_free(&version->freed);
    if (reside)
        vsi_retire(reside, &version->retired, sizeof *version);
    else
        vsi_version_discard(versions, version);
}

VSI_FN void vsi_versions_reclaim(vsi_versions *versions) {
    vsi_version *older = NULL,
                *version = versions->oldest; /* only the caller changes the list here */
    while (version != versions_published(versions)) {
        vsi_version *next = version->newer;
        bool is_gone =
            !vsi_ordered_load(&version->pins) && version_bequeath(versions, older, version);
        if (is_gone) {
            vsi_mutex_lock(&versions->lock);
            if (older)
                older->newer = next;
            else
                versions->oldest = next;
            vsi_mutex_unlock(&versions->lock);
            version_retire(versions, version);
        } else {
            older = version;
        }
        version = next;
    }
}
