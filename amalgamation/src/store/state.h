/* state.h - what a database contains, in one version, and the one function that changes it.
 *
 * vsi_state_apply serves live commits and recovery alike: the same operations on the same state
 * give the same state, digest included. */
#ifndef VSI_STATE_H
#define VSI_STATE_H

#include "store/btree.h"
#include "store/live.h"
#include "store/op.h"
#include "store/slab.h"
#include "store/value.h"

/* What never changes about a collection. */
typedef struct vsi_coll_desc {
    vsi_block block;
    uint32_t id, dim;
    int type, metric;
    uint32_t element_bytes;
    int64_t created_us;
    vsi_hash128 term; /* its share of the digest */
    char name[VS_NAME_BYTES_MAX + 1];
    char index[VS_INDEX_BYTES_MAX + 1];
} vsi_coll_desc;

/* One version of a collection. */
typedef struct vsi_coll {
    vsi_block block;
    vsi_coll_desc *desc;
    uint64_t count;
    uint32_t slot_end;  /* slots below it have been used */
    uint32_t pool_used; /* of the writer: reusable slots taken since its transaction began */
    vsi_btree keys;     /* encoded key -> slot */
    vsi_btree metadata; /* slot -> JSON, by store/value */
    vsi_live live;
    vsi_slabs rows;  /* vectors, elements in the machine's order */
    vsi_slabs cells; /* key and vector hash */
} vsi_coll;

typedef struct vsi_coll_list {
    vsi_block block;
    size_t count;
    vsi_coll *coll[]; /* by ascending id */
} vsi_coll_list;

/* One version of a database. Copying the struct copies the version. All zero: an empty one. */
typedef struct vsi_state {
    vsi_coll_list *colls; /* NULL: none */
    vsi_btree notes;
    vsi_hash128 digest;
    uint64_t changes; /* operations applied since the version it came from; cursors watch it */
} vsi_state;

/* A slot that a version gave up. */
typedef struct vsi_freed_slot {
    uint32_t coll, slot;
} vsi_freed_slot;

/* Bytes of one element of a type, 0 for an unknown type. */
VSI_FN uint32_t vsi_type_bytes(int type);

/* Applies one operation. freed, unless NULL, collects vsi_freed_slot structs. On any failure undo
 * the scope and restore the state: VS_ERR_CORRUPT when the operation does not fit the state (only
 * recovery can meet that), VS_ERR_NOMEM. */
VSI_FN vs_status vsi_state_apply(vsi_err *err, vsi_cow *cow, vsi_state *state, const vsi_op *op,
                                 vsi_buf *freed);

/* ---- looking things up ---------------------------------------------------------------------- */

VSI_FN size_t vsi_state_coll_count(const vsi_state *state);
VSI_FN vsi_coll *vsi_state_coll_at(const vsi_state *state, size_t at);
VSI_FN vsi_coll *vsi_state_coll(const vsi_state *state, uint32_t id); /* NULL: none */
VSI_FN vsi_coll *vsi_state_coll_named(const vsi_state *state, vsi_bytes name);
/* The collection made writable; NULL when there is no memory (or no such collection). */
VSI_FN vsi_coll *vsi_state_touch_coll(vsi_cow *cow, vsi_state *state, uint32_t id);

VSI_FN bool vsi_coll_find(const vsi_coll *coll, uint64_t key, uint32_t *out_slot);
VSI_FN uint64_t vsi_coll_key(const vsi_coll *coll, uint32_t slot);
/* Appends the metadata of a slot to buf, nothing when it has none; false: no memory. */
VSI_FN bool vsi_coll_read_metadata(const vsi_coll *coll, uint32_t slot, vsi_buf *buf);

/* Records in key order. */
VSI_FN void vsi_coll_seek(const vsi_coll *coll, uint64_t from_key, vsi_btree_cursor *out_cursor);
VSI_FN void vsi_coll_entry(const vsi_btree_cursor *cursor, uint64_t *out_key, uint32_t *out_slot);

VSI_FN bool vsi_note_find(const vsi_state *state, uint32_t coll, vsi_bytes key,
                          vsi_value_info *out_info);
VSI_FN bool vsi_note_read(const vsi_state *state, uint32_t coll, vsi_bytes key, vsi_value_info info,
                          vsi_buf *buf);

/* Everything a walk over the state can verify: trees, slots, counts, and the digest computed anew
 * from the contents. Calls report with each problem. False: no memory. */
typedef void (*vsi_report_fn)(void *ctx, const char *problem);
VSI_FN bool vsi_state_check(const vsi_state *state, vsi_mem *mem, vsi_report_fn report, void *ctx);

#endif
