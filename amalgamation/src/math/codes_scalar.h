/* codes_scalar.h - the reference kernels for codes, for every machine. */
#ifndef VSI_CODES_SCALAR_H
#define VSI_CODES_SCALAR_H

#include "math/codes.h"

VSI_FN const vsi_codes *vsi_codes_scalar(void);

#endif
