/* desc.h - what never changes about a collection, and what all its versions share. */
#ifndef VSI_DESC_H
#define VSI_DESC_H

#include "base/hash.h"
#include "math/element.h"
#include "store/slab.h"

/* A vector field. Rows of slots without it hold anything. */
typedef struct vsi_field {
    uint32_t dim;
    int type, metric;
    bool is_optional;
    uint32_t element_bytes; /* as vsi_type_bytes */
    uint32_t vector_bytes;
    char name[VS_FIELD_BYTES_MAX + 1];
    char index[VS_INDEX_BYTES_MAX + 1];
    vsi_slabs rows; /* vectors, elements in the machine's order */
} vsi_field;

/* What is left of a collection that was dropped. */
enum {
    VSI_REST_NONE = 0, /* it was not, or nothing is left */
    VSI_REST_READ = 1, /* slabs, which versions that can be read have */
    VSI_REST_DEAD = 2  /* slabs, which nobody needs */
};

/* Lives until the database is closed, also when the transaction that made it was rolled back. */
typedef struct vsi_desc {
    uint32_t id;
    uint32_t field_count; /* 1 .. VS_FIELDS_MAX */
    int64_t created_us;
    vsi_hash128 term; /* its share of the digest */
    char name[VS_NAME_BYTES_MAX + 1];
    vsi_field field[VS_FIELDS_MAX];
    vsi_slabs cells; /* number and vector hash */

    /* Of the holder of the writer role. */
    vsi_buf pool;        /* uint32_t: slots below slot_end that may be used */
    bool pool_is_filled; /* false: nothing changed since open; what is not live is free */
    bool is_flushed;     /* by the checkpoint being made; then its slabs are by this */
    int rest;            /* VSI_REST_... */
    vsi_btree new_dir;
} vsi_desc;

/* Its arrays one by one: the cells, then the rows of each field. */
VSI_FN uint32_t vsi_desc_arrays(const vsi_desc *desc);
VSI_FN vsi_slabs *vsi_desc_array(vsi_desc *desc, uint32_t at);

/* The set of slots that have a field's vector (store/live). */
VSI_FN uint32_t vsi_desc_set(const vsi_desc *desc, uint32_t field);

/* Of a record that has the vectors of all fields. */
VSI_FN size_t vsi_desc_vector_bytes(const vsi_desc *desc);

/* All descs of a database. */
typedef struct vsi_descs {
    vsi_mem *mem;   /* borrowed */
    vsi_mutex lock; /* guards list, not what it leads to */
    vsi_buf list;   /* vsi_desc *, by ascending id */
} vsi_descs;

VSI_FN bool vsi_descs_init(vsi_descs *descs, vsi_mem *mem);
VSI_FN void vsi_descs_free(vsi_descs *descs); /* accepts one that is all zero */

/* NULL when there is none. Any thread. */
VSI_FN vsi_desc *vsi_descs_find(vsi_descs *descs, uint32_t id);

/* The first whose id is not below id, NULL: none. Any thread; others may be added meanwhile. */
VSI_FN vsi_desc *vsi_descs_from(vsi_descs *descs, uint64_t id);

/* Adds a copy of what is given about a collection, up to its fields, with empty arrays and the directory of
 * slabs that its new_dir has. One of this id that
 * is there already was left by a transaction rolled back, and is replaced. */
VS_NODISCARD VSI_FN vs_status vsi_descs_add(vsi_err *err, vsi_descs *descs, const vsi_desc *given,
                                            vsi_desc **out_desc);

/* The same, unless there is one of this id: then that one. For what is read from a catalog. */
VS_NODISCARD VSI_FN vs_status vsi_descs_intern(vsi_err *err, vsi_descs *descs,
                                               const vsi_desc *given, vsi_desc **out_desc);

/* The largest id, 0: there is none. Recovery leaves descs of creations that were never committed. */
VSI_FN uint32_t vsi_descs_last_id(vsi_descs *descs);

/* The pager's writer has changed nothing after all (vsi_slabs_undo). Holder of the writer role only. */
VSI_FN void vsi_descs_undo(vsi_descs *descs, vsi_pager *pager);

/* Slots that may be used, the lowest first as far as they are known; VSI_SLOT_NONE: none. Adding one
 * without memory loses it until the next open. Holder of the writer role only. */
VSI_FN uint32_t vsi_desc_take_slot(vsi_desc *desc);
VSI_FN void vsi_desc_give_slot(vsi_desc *desc, uint32_t slot);

#endif
