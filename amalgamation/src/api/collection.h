/* collection.h - what others need to make collections. */
#ifndef VSI_COLLECTION_H
#define VSI_COLLECTION_H

#include "api/handle.h"

/* Whether a collection of this name may be created. VS_ERR_INVALID, VS_ERR_EXISTS. */
VS_NODISCARD VSI_FN vs_status vsi_collection_check_new(vsi_err *err, const vsi_write *write,
                                                       const char *name);

/* A handle; NULL: no memory. */
VSI_FN vs_collection *vsi_collection_new(vs_db *db, uint32_t id, const char *name);

#endif
