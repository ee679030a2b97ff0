/* codes_dispatch.h - which code kernels this machine can run. */
#ifndef VSI_CODES_DISPATCH_H
#define VSI_CODES_DISPATCH_H

#include "math/codes.h"

/* The table named name, or the best one for NULL; NULL when this machine cannot run it. */
VSI_AHEAD VSI_FN const vsi_codes *vsi_codes_choose(const char *name);
/* The names of all tables this machine can run, best first, separated by spaces. */
VSI_AHEAD VSI_FN const char *vsi_codes_names(void);

#endif
