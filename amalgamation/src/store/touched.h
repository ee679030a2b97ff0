/* touched.h - the records that a transaction has changed, kept for a host that wants to hear of them. */
#ifndef VSI_TOUCHED_H
#define VSI_TOUCHED_H

#include "base/mem.h"
#include "store/op.h"

/* A list of changes of records, in their order. All zero but list.mem: of a host that does not want it. */
typedef struct vsi_touched {
    bool is_wanted;
    vsi_buf list;
    uint32_t coll;     /* the collection whose name comes last in the list; 0: none */
    size_t last_bytes; /* of the last change, at the end of the list; 0: something else is there */
} vsi_touched;

/* Says how the collection of the next changes is called; needed when vsi_touched.coll is another one. */
VSI_FN bool vsi_touched_name(vsi_touched *touched, uint32_t coll, const char *name);
/* What an operation of records does; false: no memory. Pieces of a payload directly behind another change of the
 * same record add nothing to it. */
VSI_FN bool vsi_touched_add(vsi_touched *touched, const vsi_op *op);
/* Only the first so many bytes of the list stay. */
VSI_FN void vsi_touched_cut(vsi_touched *touched, size_t bytes);
/* The change at *pos, which moves behind it; false: there is none. What io_change points to lies in the list; its
 * collection stays that of the change before unless the list names another one. */
VSI_FN bool vsi_touched_next(const vsi_touched *touched, size_t *pos, vs_change *io_change);

#endif
