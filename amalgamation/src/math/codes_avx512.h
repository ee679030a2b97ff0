/* codes_avx512.h - kernels for codes with AVX-512 (F, BW, DQ, VL, VNNI). */
#ifndef VSI_CODES_AVX512_H
#define VSI_CODES_AVX512_H

#include "math/codes.h"

VSI_FN const vsi_codes *vsi_codes_avx512(void); /* NULL where they cannot be compiled */

#endif
