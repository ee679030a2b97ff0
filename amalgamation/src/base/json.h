/* json.h - whether a text is a JSON object (RFC 8259). */
#ifndef VSI_JSON_H
#define VSI_JSON_H

#include "base/status.h"

enum { VSI_JSON_DEPTH_MAX = 64 };

/* VS_OK, or VS_ERR_INVALID with the byte offset and what was expected there. */
VSI_FN vs_status vsi_json_check_object(vsi_err *err, const char *text, size_t n);

#endif
