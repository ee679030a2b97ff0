/* check.h - looks for damage in an open database. */
#ifndef VSI_CHECK_H
#define VSI_CHECK_H

#include "store/audit.h"
#include "store/engine.h"

/* Calls report with each problem; levels as vs_check. An error only when the check itself could not
 * be done, or the watch ended it. watch NULL: none. */
VSI_FN vs_status vsi_engine_check(vsi_err *err, vsi_engine *engine, int level, vsi_watch *watch,
                                  vsi_report_fn report, void *ctx);

#endif
