/* codes_dispatch.c - the code kernels that go with the distance kernels of this machine. */
#include "math/codes_dispatch.h"
#include "math/codes_avx2.h"
#include "math/codes_avx512.h"
#include "math/codes_neon.h"
#include "math/codes_scalar.h"
#include "math/dispatch.h"

/* Whether names, separated by spaces, have this one. */
static bool codes_have(const char *names, const char *name) {
    const size_t n = strlen(name);
    for (const char *at = names; at; at = strchr(at, ' '), at += at != NULL)
        if (strlen(at) >= n && !memcmp(at, name, n) && (at[n] == ' ' || !at[n]))
            return true;
    return false;
}

VSI_FN const vsi_codes *vsi_codes_choose(const char *name) {
    const vsi_kernels *kernels = vsi_kernels_choose(name);
    const vsi_codes *tables[] = {vsi_codes_avx512(), vsi_codes_avx2(), vsi_codes_neon_dotprod(),
                                 vsi_codes_neon(), vsi_codes_scalar()};
    for (size_t i = 0; kernels && i < sizeof tables / sizeof tables[0]; i++)
        if (tables[i] && codes_have(kernels->names, tables[i]->name))
            return tables[i];
    return NULL;
}
