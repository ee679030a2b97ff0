/* dispatch.h - which kernels this machine can run. */
#ifndef VSI_DISPATCH_H
#define VSI_DISPATCH_H

#include "math/kernels.h"

/* The table named name, or the best one for NULL; NULL when this machine cannot run it. */
VSI_FN const vsi_kernels *vsi_kernels_choose(const char *name);

/* The names of all tables this machine can run, best first, separated by spaces. */
VSI_FN const char *vsi_kernels_names(void);

/* The kernels of a table; the metric fits the type. */
VSI_FN vsi_kernel *vsi_kernels_find(const vsi_kernels *kernels, int type, int metric);
VSI_FN vsi_gather_kernel *vsi_kernels_find_gather(const vsi_kernels *kernels, int type, int metric);

#endif
