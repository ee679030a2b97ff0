/* visit.h - goes through everything that one tree is made of, in memory or in the file. */
#ifndef VSI_VISIT_H
#define VSI_VISIT_H

#include "store/btree.h"

/* Called with the root, then with what each node leads to, nodes before what is below them. What a reference leads
 * to may be given up then: nothing looks there any more. */
typedef vs_status (*vsi_visit_fn)(void *ctx, vsi_err *err, vsi_ref ref);

/* Needs one page of memory for each level. A failure of visit ends it; VS_ERR_CORRUPT for a node that is
 * damaged, or trees that are not trees. */
VS_NODISCARD VSI_FN vs_status vsi_visit(vsi_err *err, const vsi_btree *tree, vsi_visit_fn visit,
                                        void *ctx);

#endif
