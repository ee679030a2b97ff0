/* desc.h - what never changes about a collection, and what all its versions share. */
#ifndef VSI_DESC_H
#define VSI_DESC_H

#include "base/hash.h"
#include "math/element.h"
#include "quant/rq.h"
#include "store/slab.h"
#include "store/spec.h"

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

    uint32_t code_kind;     /* of the codes that are kept beside rows (store/encode); 0: none are */
    vsi_slabs codes;        /* rows as quant/rq makes them */
    vsi_atomic_ptr rq;      /* vsi_rq, what they were made with; does not change once it is there */
    vsi_atomic_u64 damaged; /* 1 + number of a slab of codes that a reader could not use; 0: none */

    /* Of the holder of the writer role. */
    vsi_rq *own_rq;        /* owned; readers find it in rq when there are codes */
    vsi_buf work;          /* scratch of store/encode */
    uint32_t codes_end;    /* vectors of slots below it are encoded when a slab is made anew */
    uint64_t without_code; /* about so many vectors wait for rq */
} vsi_field;

/* Number of the array of the first field's codes, as the file has it; rows begin with 1. */
enum { VSI_DESC_CODES = 1 + VS_FIELDS_MAX };

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
    /* [array_count] cells, the rows of each field, then codes */
    vsi_slabs *array[1 + 2 * VS_FIELDS_MAX];
    uint32_t array_count;
    uint32_t lost; /* bit f: has no codes until the next opening, their parameters are unreadable */

    /* Of the holder of the writer role. */
    vsi_buf pool;        /* uint32_t: slots below slot_end that may be used */
    bool pool_is_filled; /* false: nothing changed since open; what is not live is free */
    bool is_flushed;     /* by the checkpoint being made; then its slabs are by this */
    int rest;            /* VSI_REST_... */
    vsi_btree new_dir;
} vsi_desc;

/* The kind of codes (math/codes.h) that a field's index description asks for; 0: none. */
VSI_FN uint32_t vsi_field_code_kind(const vsi_field *field);

/* The set of slots that have a field's vector (store/live). */
VSI_FN uint32_t vsi_desc_set(const vsi_desc *desc, uint32_t field);

/* Of a record that has the vectors of all fields. */
VSI_FN size_t vsi_desc_vector_bytes(const vsi_desc *desc);

/* All descs of a database. */
typedef struct vsi_descs {
    vsi_mem *mem;             /* borrowed */
    vsi_mutex lock;           /* guards list, not what it leads to */
    vsi_buf list;             /* vsi_desc *, by ascending id */
    const vsi_codes *kernels; /* for codes; borrowed */
} vsi_descs;

/* kernels: NULL for the best ones of this machine. */
VSI_FN bool vsi_descs_init(vsi_descs *descs, vsi_mem *mem, const vsi_codes *kernels);
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

/* The same, unless there is one of this id: then that one. For what is read from a catalog; the rq of its fields are
 * owned by the new one, if there is a new one. */
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
