/* codes_dispatch.h - the code kernels that go with the distance kernels of this machine. */
#ifndef VSI_CODES_DISPATCH_H
#define VSI_CODES_DISPATCH_H

#include "math/codes.h"

/* The table of the same name as a table of distance kernels (math/dispatch.h has the names), or the best one for
 * NULL; NULL when this machine cannot run it. */
VSI_FN const vsi_codes *vsi_codes_choose(const char *name);

#endif
