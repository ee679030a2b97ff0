/* codes_neon.h - kernels for codes with NEON on 64-bit ARM, without and with its dot products of bytes. */
#ifndef VSI_CODES_NEON_H
#define VSI_CODES_NEON_H

#include "math/codes.h"

/* NULL where they cannot be compiled. */
VSI_FN const vsi_codes *vsi_codes_neon(void);
VSI_FN const vsi_codes *vsi_codes_neon_dotprod(void);

#endif
