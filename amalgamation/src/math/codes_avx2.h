/* codes_avx2.h - kernels for codes with AVX2 and FMA. */
#ifndef VSI_CODES_AVX2_H
#define VSI_CODES_AVX2_H

#include "math/codes.h"

VSI_FN const vsi_codes *vsi_codes_avx2(void); /* NULL where they cannot be compiled */

#endif
