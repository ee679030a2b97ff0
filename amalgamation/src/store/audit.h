/* audit.h - walks over a state and verifies everything that can be. */
#ifndef VSI_AUDIT_H
#define VSI_AUDIT_H

#include "base/watch.h"
#include "store/state.h"

typedef void (*vsi_report_fn)(void *ctx, const char *problem);

/* Trees, slots, counts, and the digest computed anew from the contents. Calls report with each problem;
 * an error only when the walk could not be done, or the watch ended it. watch NULL: none. */
VS_NODISCARD VSI_FN vs_status vsi_audit(vsi_err *err, const vsi_state *state, vsi_mem *mem,
                                        vsi_watch *watch, vsi_report_fn report, void *ctx);

#endif
