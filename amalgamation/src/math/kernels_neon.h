/* kernels_neon.h - kernels for NEON on 64-bit ARM, without and with its dot products of bytes, and with products of matrices of bytes. */
#ifndef VSI_KERNELS_NEON_H
#define VSI_KERNELS_NEON_H

#include "math/kernels.h"

#ifdef VSI_NEON
VSI_FN const vsi_kernels *vsi_kernels_neon(void);
/* NULL where the compiler cannot make them. */
VSI_FN const vsi_kernels *vsi_kernels_neon_dotprod(void);
VSI_FN const vsi_kernels *vsi_kernels_neon_i8mm(void);
#endif

#endif
