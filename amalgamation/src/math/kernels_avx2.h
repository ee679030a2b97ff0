/* kernels_avx2.h - kernels for AVX2 and FMA. */
#ifndef VSI_KERNELS_AVX2_H
#define VSI_KERNELS_AVX2_H

#include "math/kernels.h"

#if defined(VSI_X86) && defined(__GNUC__)
VSI_FN const vsi_kernels *vsi_kernels_avx2(void);
#endif

#endif
