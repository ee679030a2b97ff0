/* open.h - opening a database. */
#ifndef VSI_OPEN_H
#define VSI_OPEN_H

#include "store/engine.h"

/* Opens a database: lock, meta pages, recovery. The engine is freed by vsi_engine_close, or is NULL
 * on failure. */
VSI_FN vs_status vsi_engine_open(vsi_err *err, const vsi_engine_config *config,
                                 vsi_engine **out_engine);

#endif
