/* kernels_scalar.h - the reference kernels, for every machine. */
#ifndef VSI_KERNELS_SCALAR_H
#define VSI_KERNELS_SCALAR_H

#include "math/kernels.h"

VSI_FN const vsi_kernels *vsi_kernels_scalar(void);

#endif
