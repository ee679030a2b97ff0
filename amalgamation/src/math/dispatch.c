/* dispatch.c - which kernels this machine can run: what the processor has and the system saves. */
#include "math/dispatch.h"
#include "math/kernels_avx2.h"
#include "math/kernels_scalar.h"

#if defined(VSI_X86) && defined(__GNUC__)

enum {
    CPUID1_ECX_FMA = 1 << 12,
    CPUID1_ECX_OSXSAVE = 1 << 27,
    CPUID1_ECX_AVX = 1 << 28,
    CPUID7_EBX_AVX2 = 1 << 5,
    XCR0_SSE_AVX = 6
};

/* Register state that the operating system saves. The instruction as bytes: the intrinsic would
 * need a target of its own. */
static uint32_t dispatch_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool dispatch_has_avx2(void) {
    unsigned a, b, c, d;
    unsigned need = CPUID1_ECX_FMA | CPUID1_ECX_OSXSAVE | CPUID1_ECX_AVX;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & need) != need)
        return false;
    if ((dispatch_xcr0() & XCR0_SSE_AVX) != XCR0_SSE_AVX)
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & CPUID7_EBX_AVX2;
}

#else

static bool dispatch_has_avx2(void) {
    return false;
}

#endif

VSI_FN const vsi_kernels *vsi_kernels_choose(const char *name) {
    const vsi_kernels *tables[] = {dispatch_has_avx2() ? vsi_kernels_avx2() : NULL,
                                   vsi_kernels_scalar()};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (tables[i] && (!name || !strcmp(name, tables[i]->name)))
            return tables[i];
    return NULL;
}

VSI_FN const char *vsi_kernels_names(void) {
    return dispatch_has_avx2() && vsi_kernels_avx2() ? "avx2 scalar" : "scalar";
}

VSI_FN vsi_kernel *vsi_kernels_find(const vsi_kernels *kernels, int type, int metric) {
    vsi_kernel *kernel = kernels->rows[type][metric];
    return kernel ? kernel : vsi_kernels_scalar()->rows[type][metric];
}
