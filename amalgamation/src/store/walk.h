/* walk.h - visits every extent that a checkpoint reaches, as the file has it now. */
#ifndef VSI_WALK_H
#define VSI_WALK_H

#include "store/pager.h"

/* Called with each extent before it is read. A failure ends the walk, but VS_ERR_CORRUPT from reading an
 * extent is passed to damaged, and the walk goes on without what lies behind it. */
typedef struct vsi_walk {
    vs_status (*visit)(void *ctx, vsi_err *err, vsi_ref ref);
    void (*damaged)(void *ctx, const vsi_err *err); /* NULL: damage ends the walk as well */
    void *ctx;
    bool reads_all; /* slabs and large values are read and verified too, not only nodes */
} vsi_walk;

VS_NODISCARD VSI_FN vs_status vsi_walk_run(vsi_err *err, vsi_pager *pager, vsi_ref root,
                                           const vsi_walk *walk);

#endif
