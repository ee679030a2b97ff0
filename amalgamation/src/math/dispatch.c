/* dispatch.c - which kernels this machine can run: what the processor has and the system saves. */
#include "math/dispatch.h"
#include "math/kernels_avx2.h"
#include "math/kernels_avx512.h"
#include "math/kernels_neon.h"
#include "math/kernels_scalar.h"

enum { DISPATCH_TABLES = 4 };

#if defined(VSI_X86) && defined(__GNUC__)

enum {
    CPUID1_ECX_FMA = 1 << 12,
    CPUID1_ECX_OSXSAVE = 1 << 27,
    CPUID1_ECX_AVX = 1 << 28,
    CPUID1_ECX_F16C = 1 << 29,
    CPUID7_EBX_AVX2 = 1 << 5,
    CPUID7_EBX_AVX512F = 1 << 16,
    CPUID7_EBX_AVX512DQ = 1 << 17,
    CPUID7_EBX_AVX512BW = 1 << 30,
    CPUID7_ECX_AVX512VNNI = 1 << 11,
    CPUID7_ECX_AVX512VPOPCNTDQ = 1 << 14,
    XCR0_AVX = 0x06,
    XCR0_AVX512 = 0xe6
};

static const unsigned cpuid7_ebx_avx512vl = 1u << 31;

/* Register state that the operating system saves. The instruction as bytes: the intrinsic would
 * need a target of its own. */
static uint32_t dispatch_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool dispatch_has(unsigned bits, unsigned need) {
    return (bits & need) == need;
}

/* What VSI_TARGET_AVX2 and VSI_TARGET_AVX512 name. */
static size_t dispatch_collect(const vsi_kernels **out) {
    unsigned a, b, c, d;
    size_t n = 0;
    bool ok =
        __get_cpuid(1, &a, &b, &c, &d) &&
        dispatch_has(c, CPUID1_ECX_FMA | CPUID1_ECX_OSXSAVE | CPUID1_ECX_AVX | CPUID1_ECX_F16C);
    uint32_t saved = ok ? dispatch_xcr0() : 0;
    ok = ok && dispatch_has(saved, XCR0_AVX) && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
         dispatch_has(b, CPUID7_EBX_AVX2);
    if (ok && dispatch_has(saved, XCR0_AVX512) && dispatch_has(b, cpuid7_ebx_avx512vl) &&
        dispatch_has(b, CPUID7_EBX_AVX512F | CPUID7_EBX_AVX512DQ | CPUID7_EBX_AVX512BW) &&
        dispatch_has(c, CPUID7_ECX_AVX512VNNI | CPUID7_ECX_AVX512VPOPCNTDQ))
        out[n++] = vsi_kernels_avx512();
    if (ok)
        out[n++] = vsi_kernels_avx2();
    return n;
}

#elif defined(VSI_NEON)

static bool dispatch_has_dotprod(void) {
#if defined(__ARM_FEATURE_DOTPROD) || defined(__APPLE__)
    return true;
#elif defined(__linux__)
    enum { HWCAP_DOTPROD = 1 << 20 };
    return getauxval(AT_HWCAP) & HWCAP_DOTPROD;
#else
    return false;
#endif
}

static bool dispatch_has_i8mm(void) {
#if defined(__ARM_FEATURE_MATMUL_INT8)
    return true;
#elif defined(__linux__)
    enum { DISPATCH_HWCAP2_I8MM = 1 << 13 };
    return getauxval(AT_HWCAP2) & DISPATCH_HWCAP2_I8MM;
#else
    return false;
#endif
}

static size_t dispatch_collect(const vsi_kernels **out) {
    size_t n = 0;
    if (dispatch_has_dotprod() && dispatch_has_i8mm() && vsi_kernels_neon_i8mm())
        out[n++] = vsi_kernels_neon_i8mm();
    if (dispatch_has_dotprod() && vsi_kernels_neon_dotprod())
        out[n++] = vsi_kernels_neon_dotprod();
    out[n++] = vsi_kernels_neon();
    return n;
}

#else

static size_t dispatch_collect(const vsi_kernels **out) {
    (void)out;
    return 0;
}

#endif

/* All tables that this machine can run, best first. */
static size_t dispatch_tables(const vsi_kernels *out[DISPATCH_TABLES]) {
    size_t n = dispatch_collect(out);
    out[n++] = vsi_kernels_scalar();
    return n;
}

VSI_FN const vsi_kernels *vsi_kernels_choose(const char *name) {
    const vsi_kernels *tables[DISPATCH_TABLES];
    size_t n = dispatch_tables(tables);
    for (size_t i = 0; i < n; i++)
        if (!name || !strcmp(name, tables[i]->name))
            return tables[i];
    return NULL;
}

VSI_FN const char *vsi_kernels_names(void) {
    return vsi_kernels_choose(NULL)->names;
}

VSI_FN vsi_kernel *vsi_kernels_find(const vsi_kernels *kernels, int type, int metric) {
    return kernels->rows[type][metric];
}

VSI_FN vsi_gather_kernel *vsi_kernels_find_gather(const vsi_kernels *kernels, int type,
                                                  int metric) {
    return kernels->gather[type][metric];
}
