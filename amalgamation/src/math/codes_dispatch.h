/* codes_dispatch.h - the code kernels that go with the distance kernels of this machine. */
#ifndef VSI_CODES_DISPATCH_H
#define VSI_CODES_DISPATCH_H

#include "math/codes.h"

/* The best table that a machine with a table of distance kernels of this name can run (math/dispatch.h has the names), which as a rule has
 * the same name; of the best ones for NULL. NULL when this machine cannot run it. */
VSI_FN const vsi_codes *vsi_codes_choose(const char *name);

#endif
