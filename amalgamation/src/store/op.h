/* op.h - the changes that the log records: one operation per logical mutation, as bytes. */
#ifndef VSI_OP_H
#define VSI_OP_H

#include "base/bytes.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/key.h"
#include "store/slab.h"

enum {
    VSI_OP_CREATE = 1,
    VSI_OP_PUT = 2,
    VSI_OP_DELETE = 3,
    VSI_OP_NOTE = 4,
    VSI_OP_DIGEST = 5,
    VSI_OP_SAVEPOINT = 6,
    VSI_OP_RELEASE = 7,
    VSI_OP_ROLLBACK_TO = 8,
    VSI_OP_METADATA = 9,
    VSI_OP_RENAME = 10,
    VSI_OP_ALIAS = 11,
    VSI_OP_LIMITS = 12,
    VSI_OP_TOUCH = 13, /* the collection's records change in this transaction */
    VSI_OP_PAYLOAD = 14,
    VSI_OP_DROP = 15,
    VSI_OP_LAST = VSI_OP_DROP
};

/* A vector field of a new collection. */
typedef struct vsi_op_field {
    uint32_t dim;
    uint32_t type;   /* VS_F32 ... */
    uint32_t metric; /* VS_L2 ... */
    bool is_optional;
    vsi_bytes name;
    vsi_bytes index;
} vsi_op_field;

/* One change with everything resolved: slots chosen, time read. Members of other kinds are zero. */
typedef struct vsi_op {
    int kind;
    uint32_t coll; /* collection id; of a note 0: the database's own; of an alias 0: it goes */

    /* create; name also of rename and alias, time also of touch */
    int64_t time_us;
    vsi_bytes name;
    uint32_t field_count;
    vsi_op_field field[VS_FIELDS_MAX];

    /* put, delete, metadata, payload */
    uint32_t slot;                   /* put: where the record goes; else where it is */
    uint32_t old_slot;               /* put: the slot it leaves, or VSI_SLOT_NONE: a new key */
    vs_key key;                      /* what it points to is borrowed */
    vsi_bytes vector[VS_FIELDS_MAX]; /* elements little-endian; bytes 0: none of this field */
    vsi_bytes metadata;              /* bytes 0: none */
    uint32_t piece;                  /* of the payload */
    vsi_bytes payload;               /* its bytes, as vsi_payload_set takes them */

    /* limits; 0: none */
    uint64_t max_records, max_bytes;

    /* note */
    vsi_bytes note_key;
    vsi_bytes note_value;
    bool note_has_value; /* false: delete */

    /* digest of the state that all operations so far must have made */
    vsi_hash128 digest;

    /* savepoint, release, rollback to */
    uint32_t savepoint;
} vsi_op;

/* Whether operations of a kind are of savepoints, and change no content. */
VSI_FN bool vsi_op_is_mark(int kind);
/* Whether they change the records of a collection. */
VSI_FN bool vsi_op_is_of_record(int kind);

/* Appends op; false when there is no memory, and buf is then as before. */
VSI_FN bool vsi_op_write(vsi_buf *buf, const vsi_op *op);

/* Bytes of the operation that vsi_op_write put at p. */
VSI_FN size_t vsi_op_bytes(const uint8_t *p);

/* Reads the operation at *pos and moves behind it. Pointers in out_op lie in the input. *out_known
 * is false for an operation of a later version that may be passed over. VS_ERR_CORRUPT for
 * malformed bytes, VS_ERR_TOO_NEW for an unknown operation that must be understood. */
VSI_FN vs_status vsi_op_read(vsi_err *err, vsi_bytes payload, size_t *pos, vsi_op *out_op,
                             bool *out_known);

#endif
