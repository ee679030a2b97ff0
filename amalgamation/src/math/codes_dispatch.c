/* codes_dispatch.c - which code kernels this machine can run. */
#include "math/codes_dispatch.h"
#include "math/codes_avx2.h"
#include "math/codes_avx512.h"
#include "math/codes_scalar.h"
#include "math/dispatch.h"

#if defined(VSI_X86) && defined(__GNUC__)

/* Of leaf 7: F, DQ, BW and VL in ebx, VNNI in ecx; the system saves masks and all of the wide registers. */
static bool codes_has_avx512(void) {
    const unsigned need_b = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, need_c = 1u << 11;
    const uint32_t need_saved = 0xe6;
    unsigned a, b, c, d;
    uint32_t low, high;
    if (!vsi_kernels_choose("avx2") || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return false;
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0));
    return (b & need_b) == need_b && c & need_c && (low & need_saved) == need_saved;
}

#else

static bool codes_has_avx512(void) {
    return false;
}

#endif

static bool codes_has_avx2(void) {
    return vsi_kernels_choose("avx2") != NULL;
}

VSI_FN const vsi_codes *vsi_codes_choose(const char *name) {
    const vsi_codes *tables[] = {codes_has_avx512() ? vsi_codes_avx512() : NULL,
                                 codes_has_avx2() ? vsi_codes_avx2() : NULL, vsi_codes_scalar()};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (tables[i] && (!name || !strcmp(name, tables[i]->name)))
            return tables[i];
    return NULL;
}

VSI_FN const char *vsi_codes_names(void) {
    return codes_has_avx512() ? "avx512 avx2 scalar" : codes_has_avx2() ? "avx2 scalar" : "scalar";
}
