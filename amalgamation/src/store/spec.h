/* spec.h - what the index description of a vector field asks for.
 *
 *   auto                 the library's choice, flat in this version
 *   flat                 every search looks at all vectors
 *   flat(codes=rq4)      and keeps codes beside them, of 4 bits a dim or 8, 2, 1, or of f16 or bf16, which say what
 *                        need not be looked at */
#ifndef VSI_SPEC_H
#define VSI_SPEC_H

#include "base/status.h"

typedef struct vsi_spec {
    uint32_t code_kind; /* math/codes.h; 0: no codes */
} vsi_spec;

/* VS_ERR_INVALID: not a description, or not one for vectors of this type and metric; the message says what would be one. */
VS_NODISCARD VSI_FN vs_status vsi_spec_read(vsi_err *err, const char *text, int type, int metric,
                                            vsi_spec *out);

#endif
