/* codes_dispatch.c - the code kernels that go with the distance kernels of this machine. */
#include "math/codes_dispatch.h"
#include "math/codes_avx2.h"
#include "math/codes_avx512.h"
#include "math/codes_neon.h"
#include "math/codes_scalar.h"
#include "math/dispatch.h"

VSI_FN const vsi_codes *vsi_codes_choose(const char *name) {
    const vsi_kernels *kernels = vsi_kernels_choose(name);
    const vsi_codes *tables[] = {vsi_codes_avx512(), vsi_codes_avx2(), vsi_codes_neon_dotprod(),
                                 vsi_codes_neon(), vsi_codes_scalar()};
    for (size_t i = 0; kernels && i < sizeof tables / sizeof tables[0]; i++)
        if (tables[i] && !strcmp(tables[i]->name, kernels->name))
            return tables[i];
    return NULL;
}
