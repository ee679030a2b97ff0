/* port.h - what differs between compilers and systems: feature macros, system headers, attributes, wide
 * products, atomics and locks. No other module includes a system header or asks for a platform. Every other
 * header includes this one first, before any system header has fixed the feature macros. */
#ifndef VSI_PORT_H
#define VSI_PORT_H

#ifdef __cplusplus
#error "vecstore.c is C: compile it as C; a C++ program includes vecstore.h and links with it"
#endif

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#ifndef _DARWIN_C_SOURCE
#define _DARWIN_C_SOURCE 1
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <errno.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)
#define VSI_POSIX 1
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#endif

/* Locks are pthread mutexes; -DVS_THREADSAFE=0 leaves them out for hosts with one thread. */
#ifndef VS_THREADSAFE
#define VS_THREADSAFE 1
#endif
#if VS_THREADSAFE
#include <pthread.h>
#include <stdatomic.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define VSI_X86 1
#include <immintrin.h>
#if defined(__GNUC__)
#include <cpuid.h>
#endif
#endif

#if defined(__aarch64__) && defined(__ARM_NEON) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define VSI_NEON 1
#include <arm_neon.h>
#ifdef __linux__
#include <sys/auxv.h>
#endif
#endif

/* gcc 11 and 12 miscompile loops that walk two arrays of one struct downwards: the address of one
 * is computed as twice the other's minus the struct's, after which interprocedural analysis
 * believes that the struct does not change (tests/model/scan.c has the case). */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#pragma GCC optimize("no-ipa-modref")
#endif

/* In vecstore.c everything internal is static; in the build module by module it links, hidden. */
#ifdef VSI_AMALGAMATION
#define VSI_FN static
#elif defined(__GNUC__)
#define VSI_FN __attribute__((visibility("hidden")))
#else
#define VSI_FN
#endif

/* In front of a declaration: the module that will call it is not written yet. */
#if defined(__GNUC__)
#define VSI_AHEAD __attribute__((unused))
#else
#define VSI_AHEAD
#endif

/* In front of a loop of few, constant steps over arrays that are registers then. */
#if defined(__clang__)
#define VSI_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define VSI_UNROLL _Pragma("GCC unroll 16")
#else
#define VSI_UNROLL
#endif

/* For functions that are nothing by themselves: the instances of a template, its steps. */
#if defined(__GNUC__)
#define VSI_INLINE            static inline __attribute__((always_inline, unused))
#define VSI_NOINLINE          __attribute__((noinline))
#define VSI_PREFETCH(address) __builtin_prefetch(address)
#else
#define VSI_INLINE static inline
#define VSI_NOINLINE
#define VSI_PREFETCH(address) ((void)(address))
#endif

#if defined(__GNUC__)
#define VSI_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#else
#define VSI_PRINTF(format_at, args_at)
#endif

/* Functions between these markers may use the named instruction sets, without any -m flag. */
#if defined(__clang__)
#define VSI_PRAGMA(text) _Pragma(#text)
#define VSI_TARGET_BEGIN(isa)                                                                      \
    VSI_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define VSI_TARGET_END _Pragma("clang attribute pop")
#elif defined(__GNUC__)
#define VSI_PRAGMA(text)      _Pragma(#text)
#define VSI_TARGET_BEGIN(isa) _Pragma("GCC push_options") VSI_PRAGMA(GCC target(isa))
#define VSI_TARGET_END        _Pragma("GCC pop_options")
#else
#define VSI_TARGET_BEGIN(isa)
#define VSI_TARGET_END
#endif

/* What the kernels of a set need (math/dispatch). */
#define VSI_TARGET_AVX2 "avx2,fma,f16c"
#define VSI_TARGET_AVX512                                                                          \
    "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vpopcntdq"

#if defined(VSI_NEON) && defined(__clang__) && __clang_major__ >= 16
#define VSI_TARGET_DOTPROD "dotprod"
#define VSI_TARGET_I8MM    "dotprod,i8mm"
#elif defined(VSI_NEON) && defined(__GNUC__) && !defined(__clang__)
#ifdef __ARM_FEATURE_DOTPROD /* an architecture would take away what the command line has besides */
#define VSI_TARGET_DOTPROD "+dotprod"
#define VSI_TARGET_I8MM    "+dotprod+i8mm"
#else
#define VSI_TARGET_DOTPROD "arch=armv8.2-a+dotprod"
#define VSI_TARGET_I8MM    "arch=armv8.2-a+dotprod+i8mm"
#endif
#if __GNUC__ < 10
#undef VSI_TARGET_I8MM
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define VSI_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VSI_ASAN 1
#endif
#endif

/* Memory that is kept but holds nothing: AddressSanitizer reports who looks at it. */
#if defined(VSI_ASAN)
#include <sanitizer/asan_interface.h>
#define VSI_POISON(first, bytes)   ASAN_POISON_MEMORY_REGION(first, bytes)
#define VSI_UNPOISON(first, bytes) ASAN_UNPOISON_MEMORY_REGION(first, bytes)
#else
#define VSI_POISON(first, bytes)   ((void)(first), (void)(bytes))
#define VSI_UNPOISON(first, bytes) ((void)(first), (void)(bytes))
#endif

/* What the code itself guarantees; on in tests (-DVSI_DEBUG), gone in release. */
#ifdef VSI_DEBUG
#define vsi_assert(claim) ((claim) ? (void)0 : __builtin_trap())
#else
#define vsi_assert(claim) ((void)0)
#endif

/* ---- arithmetic ----------------------------------------------------------------------------- */

/* The upper word of the product; the lower one goes into *low. */
VSI_FN uint64_t vsi_mul_u64(uint64_t a, uint64_t b, uint64_t *low);
VSI_FN int vsi_leading_zeros(uint64_t value);  /* value is not 0 */
VSI_FN int vsi_trailing_zeros(uint64_t value); /* likewise */

/* ---- atomics, mutexes and conditions -------------------------------------------------------- */

#if VS_THREADSAFE
typedef atomic_uint_least64_t vsi_atomic_u64;
typedef _Atomic(void *) vsi_atomic_ptr;
typedef pthread_mutex_t vsi_mutex;
typedef pthread_cond_t vsi_cond;
#else
typedef uint64_t vsi_atomic_u64;
typedef void *vsi_atomic_ptr;
typedef int vsi_mutex;
typedef int vsi_cond;
#endif

VSI_FN void vsi_atomic_add(vsi_atomic_u64 *value,
                           uint64_t amount); /* wraps, so it also subtracts */
VSI_FN uint64_t vsi_atomic_load(vsi_atomic_u64 *value);
VSI_FN void vsi_atomic_set(vsi_atomic_u64 *value, uint64_t number);
/* What was written before a store is seen by whoever loads the pointer. */
VSI_FN void *vsi_atomic_ptr_load(const vsi_atomic_ptr *place);
VSI_FN void vsi_atomic_ptr_store(vsi_atomic_ptr *place, void *ptr);
/* The same in an order of all ordered calls that every thread agrees on (sequential consistency). */
VSI_FN void vsi_ordered_add(vsi_atomic_u64 *value, uint64_t amount);
VSI_FN uint64_t vsi_ordered_load(vsi_atomic_u64 *value);
VSI_FN void vsi_ordered_store(vsi_atomic_u64 *value, uint64_t number);
VSI_FN void *vsi_ordered_ptr_load(const vsi_atomic_ptr *place);
VSI_FN void vsi_ordered_ptr_store(vsi_atomic_ptr *place, void *ptr);

VSI_FN bool vsi_mutex_init(vsi_mutex *mutex);
VSI_FN void vsi_mutex_destroy(vsi_mutex *mutex);
VSI_FN void vsi_mutex_lock(vsi_mutex *mutex);
VSI_FN void vsi_mutex_unlock(vsi_mutex *mutex);
VSI_FN bool vsi_cond_init(vsi_cond *cond);
VSI_FN void vsi_cond_destroy(vsi_cond *cond);
VSI_FN void vsi_cond_wait(vsi_cond *cond, vsi_mutex *mutex);
/* False when timeout_ms have passed; measured from the call. */
VSI_FN bool vsi_cond_wait_ms(vsi_cond *cond, vsi_mutex *mutex, uint32_t timeout_ms);
VSI_FN void vsi_cond_wake_all(vsi_cond *cond);
VSI_FN uint64_t vsi_thread_id(void); /* the calling thread, unique among those that live */

#endif
