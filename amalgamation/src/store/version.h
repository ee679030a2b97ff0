/* version.h - the versions of a database that someone may still read, and the slots they gave up.
 */
#ifndef VSI_VERSION_H
#define VSI_VERSION_H

#include "store/apply.h"

/* One committed version. Immutable but for pins and the list. */
typedef struct vsi_version {
    vsi_retired retired;
    struct vsi_version *newer;
    vsi_state state;
    uint64_t lsn;        /* of the commit that made it */
    uint64_t seq;        /* versions are numbered upwards from 0 */
    uint64_t scope;      /* blocks made in later scopes are not part of it */
    uint64_t checkpoint; /* the last one before it */
    vsi_atomic_u64 pins;
    bool needs_sync; /* readers may see it only once its commit is durable */
    /* blocks that only older versions need: all those in the list, or the next older */
    vsi_block *dead;
    vsi_buf freed; /* vsi_freed_slot: slots that only older versions have live */
} vsi_version;

/* oldest ... published ... applied, linked by newer. Readers take published, the writer builds on
 * applied. */
typedef struct vsi_versions {
    vsi_mem *mem;     /* borrowed */
    vsi_cow *cow;     /* borrowed; used by the holder of the writer role only */
    vsi_descs *descs; /* borrowed; their pools are of the holder of the writer role */
    vsi_mutex lock;   /* guards the list; held for a few instructions */
    vsi_version *oldest, *applied;
    vsi_atomic_ptr published; /* vsi_version: changed under the lock, read by anybody */
    uint64_t last_seq;
} vsi_versions;

VSI_FN bool vsi_versions_init(vsi_versions *versions, vsi_mem *mem, vsi_cow *cow, vsi_descs *descs);
VSI_FN void vsi_versions_free(vsi_versions *versions); /* all versions, pinned or not */

/* The version that readers see now; it stays until it is unpinned. Takes no lock, as the next two. */
VSI_FN vsi_version *vsi_versions_pin(vsi_versions *versions);
/* Another pin of a version that the caller has pinned. */
VSI_FN vsi_version *vsi_versions_pin_again(vsi_versions *versions, vsi_version *version);
VSI_FN void vsi_versions_unpin(vsi_versions *versions, vsi_version *version);
/* How many pins there are, and the oldest version that has one (its lsn; 0: none). */
VSI_FN uint64_t vsi_versions_pin_count(vsi_versions *versions, uint64_t *out_oldest_lsn);

/* A version not in the list yet; NULL: no memory. */
VSI_FN vsi_version *vsi_version_new(vsi_versions *versions, const vsi_state *state);
VSI_FN void vsi_version_discard(vsi_versions *versions, vsi_version *version); /* not in the list */

/* Makes a new version the one to build on; the list owns it. Holder of the writer role only. */
VSI_FN void vsi_versions_add(vsi_versions *versions, vsi_version *version, uint64_t checkpoint);
/* Those that can be read, or may be later, as vsi_space_reader, appended. */
VSI_FN bool vsi_versions_list(vsi_versions *versions, vsi_buf *out);

/* Shows readers, in order, the versions that may be seen when frames up to durable_lsn are durable;
 * only_durable: also of those that would not wait for a sync only the durable ones. */
VSI_FN void vsi_versions_publish(vsi_versions *versions, uint64_t durable_lsn, bool only_durable);
VSI_FN bool vsi_versions_is_published(vsi_versions *versions, uint64_t lsn);
/* Copies a little of the published version for statistics. */
VSI_FN void vsi_versions_peek(vsi_versions *versions, uint64_t *out_lsn, vsi_hash128 *out_digest);

/* Frees what versions that nobody reads kept alive, slots into the pools of their collections. Holder of
 * the writer role only. */
VSI_FN void vsi_versions_reclaim(vsi_versions *versions);

#endif
