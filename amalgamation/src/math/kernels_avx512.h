/* kernels_avx512.h - kernels for AVX-512 with VNNI and VPOPCNTDQ: Ice Lake, Zen 4 and later. */
#ifndef VSI_KERNELS_AVX512_H
#define VSI_KERNELS_AVX512_H

#include "math/kernels.h"

#if defined(VSI_X86) && defined(__GNUC__)
VSI_FN const vsi_kernels *vsi_kernels_avx512(void);
#endif

#endif
