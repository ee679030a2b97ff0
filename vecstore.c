/* vecstore.c - vecstore, an embedded vector database, in one file.
 *
 * GENERATED from amalgamation/src by `make amalgamation`; do not edit. The interface and its
 * manual are in vecstore.h.
 *
 *   cc -O2 -c vecstore.c
 *
 * SPDX-License-Identifier: MIT */
#define VSI_AMALGAMATION 1
/* ---- base/port.h ---------------------------------------------------------------------------------- */
/* port.h - what differs between compilers and systems: feature macros, system headers, attributes, wide
 * products, atomics and locks. No other module includes a system header or asks for a platform. Every other
 * header includes this one first, before any system header has fixed the feature macros. */
#ifndef VSI_PORT_H
#define VSI_PORT_H

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
/* ---- base/port.c ---------------------------------------------------------------------------------- */
/* port.c - wide products; atomics, mutexes and conditions over pthreads, or nothing with VS_THREADSAFE=0.
 */
/* uses base/port.h */

VSI_FN uint64_t vsi_mul_u64(uint64_t a, uint64_t b, uint64_t *low) {
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 port_u128;
    port_u128 product = (port_u128)a * b;
    *low = (uint64_t)product;
    return (uint64_t)(product >> 64);
#else
    uint64_t a_low = (uint32_t)a, a_high = a >> 32, b_low = (uint32_t)b, b_high = b >> 32;
    uint64_t middle = a_high * b_low + (a_low * b_low >> 32);
    uint64_t other = a_low * b_high + (uint32_t)middle;
    *low = a * b;
    return a_high * b_high + (middle >> 32) + (other >> 32);
#endif
}

VSI_FN int vsi_leading_zeros(uint64_t value) {
    vsi_assert(value);
#if defined(__GNUC__)
    return __builtin_clzll(value);
#else
    int zeros = 0;
    for (int step = 32; step > 0; step /= 2)
        if (!(value >> (64 - step))) {
            zeros += step;
            value <<= step;
        }
    return zeros;
#endif
}

VSI_FN int vsi_trailing_zeros(uint64_t value) {
#if defined(__GNUC__)
    vsi_assert(value);
    return __builtin_ctzll(value);
#else
    return 63 - vsi_leading_zeros(value & (~value + 1));
#endif
}

#if VS_THREADSAFE

VSI_FN void vsi_atomic_add(vsi_atomic_u64 *value, uint64_t amount) {
    atomic_fetch_add_explicit(value, amount, memory_order_relaxed);
}

VSI_FN uint64_t vsi_atomic_load(vsi_atomic_u64 *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

VSI_FN void vsi_atomic_set(vsi_atomic_u64 *value, uint64_t number) {
    atomic_store_explicit(value, number, memory_order_relaxed);
}

VSI_FN void *vsi_atomic_ptr_load(const vsi_atomic_ptr *place) {
    return atomic_load_explicit((vsi_atomic_ptr *)(uintptr_t)place, memory_order_acquire);
}

VSI_FN void vsi_atomic_ptr_store(vsi_atomic_ptr *place, void *ptr) {
    atomic_store_explicit(place, ptr, memory_order_release);
}

VSI_FN void vsi_ordered_add(vsi_atomic_u64 *value, uint64_t amount) {
    atomic_fetch_add(value, amount);
}

VSI_FN uint64_t vsi_ordered_load(vsi_atomic_u64 *value) {
    return atomic_load(value);
}

VSI_FN void vsi_ordered_store(vsi_atomic_u64 *value, uint64_t number) {
    atomic_store(value, number);
}

VSI_FN void *vsi_ordered_ptr_load(const vsi_atomic_ptr *place) {
    return atomic_load((vsi_atomic_ptr *)(uintptr_t)place);
}

VSI_FN void vsi_ordered_ptr_store(vsi_atomic_ptr *place, void *ptr) {
    atomic_store(place, ptr);
}

VSI_FN bool vsi_mutex_init(vsi_mutex *mutex) {
    return pthread_mutex_init(mutex, NULL) == 0;
}

VSI_FN void vsi_mutex_destroy(vsi_mutex *mutex) {
    pthread_mutex_destroy(mutex);
}

VSI_FN void vsi_mutex_lock(vsi_mutex *mutex) {
    int rc = pthread_mutex_lock(mutex);
    vsi_assert(rc == 0);
    (void)rc;
}

VSI_FN void vsi_mutex_unlock(vsi_mutex *mutex) {
    int rc = pthread_mutex_unlock(mutex);
    vsi_assert(rc == 0);
    (void)rc;
}

/* macOS cannot choose a condition's clock; there the wait follows the wall clock. */
#if defined(__APPLE__)
#define PORT_COND_CLOCK CLOCK_REALTIME
#else
#define PORT_COND_CLOCK CLOCK_MONOTONIC
#endif

VSI_FN bool vsi_cond_init(vsi_cond *cond) {
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr))
        return false;
#if !defined(__APPLE__)
    bool ok = pthread_condattr_setclock(&attr, PORT_COND_CLOCK) == 0;
#else
    bool ok = true;
#endif
    ok = ok && pthread_cond_init(cond, &attr) == 0;
    pthread_condattr_destroy(&attr);
    return ok;
}

VSI_FN void vsi_cond_destroy(vsi_cond *cond) {
    pthread_cond_destroy(cond);
}

VSI_FN void vsi_cond_wait(vsi_cond *cond, vsi_mutex *mutex) {
    pthread_cond_wait(cond, mutex);
}

VSI_FN bool vsi_cond_wait_ms(vsi_cond *cond, vsi_mutex *mutex, uint32_t timeout_ms) {
    struct timespec until;
    clock_gettime(PORT_COND_CLOCK, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    return pthread_cond_timedwait(cond, mutex, &until) == 0;
}

VSI_FN void vsi_cond_wake_all(vsi_cond *cond) {
    pthread_cond_broadcast(cond);
}

/* pthread_self gives the name of an ended thread to the next one at once; the system's numbers come
 * round again only after all others. */
VSI_FN uint64_t vsi_thread_id(void) {
    uint64_t id = 0;
#if defined(__linux__)
    id = (uint64_t)syscall(SYS_gettid);
#elif defined(__APPLE__)
    pthread_threadid_np(NULL, &id);
#else
    pthread_t self = pthread_self();
    memcpy(&id, &self, sizeof self < sizeof id ? sizeof self : sizeof id);
#endif
    return id;
}

#else

VSI_FN void vsi_atomic_add(vsi_atomic_u64 *value, uint64_t amount) {
    *value += amount;
}

VSI_FN uint64_t vsi_atomic_load(vsi_atomic_u64 *value) {
    return *value;
}

VSI_FN void vsi_atomic_set(vsi_atomic_u64 *value, uint64_t number) {
    *value = number;
}

VSI_FN void *vsi_atomic_ptr_load(const vsi_atomic_ptr *place) {
    return *place;
}

VSI_FN void vsi_atomic_ptr_store(vsi_atomic_ptr *place, void *ptr) {
    *place = ptr;
}

VSI_FN void vsi_ordered_add(vsi_atomic_u64 *value, uint64_t amount) {
    *value += amount;
}

VSI_FN uint64_t vsi_ordered_load(vsi_atomic_u64 *value) {
    return *value;
}

VSI_FN void vsi_ordered_store(vsi_atomic_u64 *value, uint64_t number) {
    *value = number;
}

VSI_FN void *vsi_ordered_ptr_load(const vsi_atomic_ptr *place) {
    return *place;
}

VSI_FN void vsi_ordered_ptr_store(vsi_atomic_ptr *place, void *ptr) {
    *place = ptr;
}

VSI_FN bool vsi_mutex_init(vsi_mutex *mutex) {
    *mutex = 0;
    return true;
}

VSI_FN void vsi_mutex_destroy(vsi_mutex *mutex) {
    (void)mutex;
}

VSI_FN void vsi_mutex_lock(vsi_mutex *mutex) {
    (void)mutex;
}

VSI_FN void vsi_mutex_unlock(vsi_mutex *mutex) {
    (void)mutex;
}

VSI_FN bool vsi_cond_init(vsi_cond *cond) {
    *cond = 0;
    return true;
}

VSI_FN void vsi_cond_destroy(vsi_cond *cond) {
    (void)cond;
}

VSI_FN void vsi_cond_wait(vsi_cond *cond, vsi_mutex *mutex) {
    (void)cond;
    (void)mutex;
}

VSI_FN bool vsi_cond_wait_ms(vsi_cond *cond, vsi_mutex *mutex, uint32_t timeout_ms) {
    (void)cond;
    (void)mutex;
    (void)timeout_ms;
    return false;
}

VSI_FN void vsi_cond_wake_all(vsi_cond *cond) {
    (void)cond;
}

VSI_FN uint64_t vsi_thread_id(void) {
    return 1;
}

#endif
/* ---- base/status.h ---------------------------------------------------------------------------------- */
/* status.h - error messages: where they are kept and how they are made. */
#ifndef VSI_STATUS_H
#define VSI_STATUS_H

/* uses base/port.h */
#include "vecstore.h"

enum { VSI_ERR_TEXT_BYTES = 512 };

/* The last failure of a handle or of a call in progress. All zero: nothing failed. */
typedef struct vsi_err {
    vs_status code; /* with its extended part */
    char text[VSI_ERR_TEXT_BYTES];
} vsi_err;

/* Words a failure, replacing what err held, and returns the primary code. code may be extended.
 * The place that sees the fault calls it, once; callers pass the status on. */
VSI_FN vs_status vsi_fail(vsi_err *err, vs_status code, const char *format, ...) VSI_PRINTF(3, 4);

/* Puts words in front of a failure's message; what a caller knows and the place of the fault did
 * not. Returns the primary code. */
VSI_FN vs_status vsi_fail_in(vsi_err *err, const char *format, ...) VSI_PRINTF(2, 3);

VSI_FN vs_status vsi_fail_nomem(vsi_err *err, size_t bytes);

VSI_FN const char *vsi_status_name(vs_status status);

#endif
/* ---- base/status.c ---------------------------------------------------------------------------------- */
/* status.c - error messages. */
/* uses base/status.h */

/* Every failure passes here, so one breakpoint catches the first. */
VSI_FN vs_status vsi_fail(vsi_err *err, vs_status code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    err->code = code;
    return code & 0xff;
}

VSI_FN vs_status vsi_fail_in(vsi_err *err, const char *format, ...) {
    char rest[VSI_ERR_TEXT_BYTES];
    memcpy(rest, err->text, sizeof rest);
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", rest);
    return err->code & 0xff;
}

VSI_FN vs_status vsi_fail_nomem(vsi_err *err, size_t bytes) {
    return vsi_fail(err, VS_ERR_NOMEM, "out of memory: %zu bytes refused by the allocator", bytes);
}

VSI_FN const char *vsi_status_name(vs_status status) {
    static const struct {
        vs_status code;
        const char *name;
    } names[] = {
        {VS_OK, "VS_OK"},
        {VS_ERR_MISUSE, "VS_ERR_MISUSE"},
        {VS_ERR_INVALID, "VS_ERR_INVALID"},
        {VS_ERR_NOMEM, "VS_ERR_NOMEM"},
        {VS_ERR_IO, "VS_ERR_IO"},
        {VS_ERR_FULL, "VS_ERR_FULL"},
        {VS_ERR_READONLY, "VS_ERR_READONLY"},
        {VS_ERR_DENIED, "VS_ERR_DENIED"},
        {VS_ERR_BUSY, "VS_ERR_BUSY"},
        {VS_ERR_NOT_FOUND, "VS_ERR_NOT_FOUND"},
        {VS_ERR_EXISTS, "VS_ERR_EXISTS"},
        {VS_ERR_LIMIT, "VS_ERR_LIMIT"},
        {VS_ERR_CORRUPT, "VS_ERR_CORRUPT"},
        {VS_ERR_LOG_MISSING, "VS_ERR_LOG_MISSING"},
        {VS_ERR_NOT_DB, "VS_ERR_NOT_DB"},
        {VS_ERR_TOO_NEW, "VS_ERR_TOO_NEW"},
        {VS_ERR_TOO_OLD, "VS_ERR_TOO_OLD"},
        {VS_ERR_INDOUBT, "VS_ERR_INDOUBT"},
        {VS_ERR_INTERRUPTED, "VS_ERR_INTERRUPTED"},
        {VS_ERR_UNSUPPORTED, "VS_ERR_UNSUPPORTED"},
        {VS_ERR_TIMEOUT, "VS_ERR_TIMEOUT"},
        {VS_ERR_CONFLICT, "VS_ERR_CONFLICT"},
        {VS_ROW, "VS_ROW"},
        {VS_DONE, "VS_DONE"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == (status & 0xff))
            return names[i].name;
    return "VS_ERR_?";
}
/* ---- base/mem.h ---------------------------------------------------------------------------------- */
/* mem.h - memory of one database: the host's allocator, and how much is in use. */
#ifndef VSI_MEM_H
#define VSI_MEM_H

/* uses base/status.h */

typedef struct vsi_mem {
    vs_allocator hook;
    vsi_atomic_u64 used_bytes;
} vsi_mem;

VSI_FN void vsi_mem_init(vsi_mem *mem, const vs_allocator *allocator); /* NULL: malloc */

/* NULL when the allocator refuses, or when bytes is 0. Contents are undefined. */
VSI_FN void *vsi_alloc(vsi_mem *mem, size_t bytes);
VSI_FN void *vsi_alloc_zeroed(vsi_mem *mem, size_t bytes);
/* On NULL the old block stays as it was. */
VSI_FN void *vsi_realloc(vsi_mem *mem, void *ptr, size_t old_bytes, size_t new_bytes);
VSI_FN void vsi_free(vsi_mem *mem, void *ptr, size_t bytes); /* accepts NULL */

/* A growable run of bytes. All zero but mem: empty. Owns its data. */
typedef struct vsi_buf {
    vsi_mem *mem;
    uint8_t *data;
    size_t bytes;
    size_t cap;
} vsi_buf;

/* Room for extra more bytes behind those in use; false when there is no memory. */
VSI_FN bool vsi_buf_reserve(vsi_buf *buf, size_t extra);
VSI_FN bool vsi_buf_append(vsi_buf *buf, const void *data, size_t bytes);
VSI_FN void vsi_buf_free(vsi_buf *buf); /* leaves it empty and usable */

#endif
/* ---- base/mem.c ---------------------------------------------------------------------------------- */
/* mem.c - memory of one database. */
/* uses base/mem.h */

static void *mem_libc_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

VSI_FN void vsi_mem_init(vsi_mem *mem, const vs_allocator *allocator) {
    memset(mem, 0, sizeof *mem);
    mem->hook.realloc = mem_libc_realloc;
    if (allocator)
        mem->hook = *allocator;
}

VSI_FN void *vsi_realloc(vsi_mem *mem, void *ptr, size_t old_bytes, size_t new_bytes) {
    vsi_assert((ptr == NULL) == (old_bytes == 0));
    vsi_assert(new_bytes > 0);
    void *grown = mem->hook.realloc(mem->hook.ctx, ptr, old_bytes, new_bytes);
    if (grown)
        vsi_atomic_add(&mem->used_bytes, (uint64_t)new_bytes - (uint64_t)old_bytes);
    return grown;
}

VSI_FN void *vsi_alloc(vsi_mem *mem, size_t bytes) {
    return bytes == 0 ? NULL : vsi_realloc(mem, NULL, 0, bytes);
}

VSI_FN void *vsi_alloc_zeroed(vsi_mem *mem, size_t bytes) {
    void *ptr = vsi_alloc(mem, bytes);
    if (ptr)
        memset(ptr, 0, bytes);
    return ptr;
}

VSI_FN void vsi_free(vsi_mem *mem, void *ptr, size_t bytes) {
    if (!ptr)
        return;
    vsi_assert(bytes > 0);
    vsi_atomic_add(&mem->used_bytes, (uint64_t)0 - (uint64_t)bytes);
    mem->hook.realloc(mem->hook.ctx, ptr, bytes, 0);
}

VSI_FN bool vsi_buf_reserve(vsi_buf *buf, size_t extra) {
    if (extra <= buf->cap - buf->bytes)
        return true;
    if (extra > SIZE_MAX / 2 - buf->bytes)
        return false;
    size_t cap = buf->cap ? buf->cap : 256;
    while (cap < buf->bytes + extra)
        cap *= 2;
    void *data = vsi_realloc(buf->mem, buf->data, buf->cap, cap);
    if (!data)
        return false;
    buf->data = data;
    buf->cap = cap;
    return true;
}

VSI_FN bool vsi_buf_append(vsi_buf *buf, const void *data, size_t bytes) {
    if (!vsi_buf_reserve(buf, bytes))
        return false;
    if (bytes)
        memcpy(buf->data + buf->bytes, data, bytes);
    buf->bytes += bytes;
    return true;
}

VSI_FN void vsi_buf_free(vsi_buf *buf) {
    vsi_free(buf->mem, buf->data, buf->cap);
    buf->data = NULL;
    buf->bytes = 0;
    buf->cap = 0;
}
/* ---- base/bytes.h ---------------------------------------------------------------------------------- */
/* bytes.h - numbers in files: little-endian, any alignment. */
#ifndef VSI_BYTES_H
#define VSI_BYTES_H

/* uses base/port.h */

/* A run of bytes that lies elsewhere; borrowed. */
typedef struct vsi_bytes {
    const uint8_t *data;
    size_t bytes;
} vsi_bytes;

VSI_FN int vsi_bytes_compare(vsi_bytes a, vsi_bytes b); /* memcmp order, a prefix first */

VSI_FN uint16_t vsi_get_u16(const uint8_t *p);
VSI_FN uint32_t vsi_get_u32(const uint8_t *p);
VSI_FN uint64_t vsi_get_u64(const uint8_t *p);
VSI_FN void vsi_put_u16(uint8_t *p, uint16_t value);
VSI_FN void vsi_put_u32(uint8_t *p, uint32_t value);
VSI_FN void vsi_put_u64(uint8_t *p, uint64_t value);
VSI_FN void vsi_put_u64_be(uint8_t *p, uint64_t value); /* so that memcmp orders numbers */
VSI_FN uint64_t vsi_get_u64_be(const uint8_t *p);
VSI_FN void vsi_put_u32_be(uint8_t *p, uint32_t value);
VSI_FN uint32_t vsi_get_u32_be(const uint8_t *p);

VSI_FN bool vsi_host_is_little_endian(void);

/* Copies count elements of element_bytes (1, 2, 4 or 8) between memory and file order: a plain copy
 * on little-endian machines, bytes of each element reversed elsewhere. */
VSI_FN void vsi_copy_le(void *to, const void *from, size_t count, size_t element_bytes);

/* The same in place. */
VSI_FN void vsi_swap_le(void *elements, size_t count, size_t element_bytes);

/* The elements in file order: the input itself on little-endian machines, else written to scratch.
 */
VSI_FN const uint8_t *vsi_as_le(const void *from, size_t count, size_t element_bytes,
                                uint8_t *scratch);

/* Bytes of the character that n bytes of text begin with, 0 when it is malformed; n is not 0. */
VSI_FN size_t vsi_utf8_sequence(const uint8_t *text, size_t n);

/* Whether n bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
VSI_FN bool vsi_utf8_is_valid(const uint8_t *text, size_t n);

#endif
/* ---- base/bytes.c ---------------------------------------------------------------------------------- */
/* bytes.c - numbers in files. Compilers turn the shifts into single loads and stores. */
/* uses base/bytes.h */

VSI_FN uint16_t vsi_get_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

VSI_FN uint32_t vsi_get_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

VSI_FN uint64_t vsi_get_u64(const uint8_t *p) {
    return (uint64_t)vsi_get_u32(p) | (uint64_t)vsi_get_u32(p + 4) << 32;
}

VSI_FN void vsi_put_u16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

VSI_FN void vsi_put_u32(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}

VSI_FN void vsi_put_u64(uint8_t *p, uint64_t value) {
    vsi_put_u32(p, (uint32_t)value);
    vsi_put_u32(p + 4, (uint32_t)(value >> 32));
}

VSI_FN void vsi_put_u64_be(uint8_t *p, uint64_t value) {
    for (int i = 7; i >= 0; i--, value >>= 8)
        p[i] = (uint8_t)value;
}

VSI_FN uint64_t vsi_get_u64_be(const uint8_t *p) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | p[i];
    return value;
}

VSI_FN bool vsi_host_is_little_endian(void) {
    const uint16_t one = 1;
    uint8_t first = 0;
    memcpy(&first, &one, 1);
    return first == 1;
}

VSI_FN void vsi_put_u32_be(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

VSI_FN uint32_t vsi_get_u32_be(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

VSI_FN void vsi_copy_le(void *to, const void *from, size_t count, size_t element_bytes) {
    if (element_bytes == 1 || vsi_host_is_little_endian()) {
        memcpy(to, from, count * element_bytes);
        return;
    }
    uint8_t *out = to;
    const uint8_t *in = from;
    for (size_t i = 0; i < count; i++, in += element_bytes, out += element_bytes)
        for (size_t j = 0; j < element_bytes; j++)
            out[j] = in[element_bytes - 1 - j];
}

VSI_FN void vsi_swap_le(void *elements, size_t count, size_t element_bytes) {
    uint8_t copy[8], *at = elements;
    if (element_bytes == 1 || vsi_host_is_little_endian())
        return;
    for (size_t i = 0; i < count; i++, at += element_bytes) {
        memcpy(copy, at, element_bytes);
        vsi_copy_le(at, copy, 1, element_bytes);
    }
}

VSI_FN const uint8_t *vsi_as_le(const void *from, size_t count, size_t element_bytes,
                                uint8_t *scratch) {
    if (element_bytes == 1 || vsi_host_is_little_endian())
        return from;
    vsi_copy_le(scratch, from, count, element_bytes);
    return scratch;
}

/* Table 3-7 of the Unicode standard. */
VSI_FN size_t vsi_utf8_sequence(const uint8_t *text, size_t n) {
    uint8_t lead = text[0];
    if (lead < 0x80)
        return 1;
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || length > n)
        return 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (text[i] < 0x80 || text[i] > 0xbf)
            return 0;
    return length;
}

VSI_FN bool vsi_utf8_is_valid(const uint8_t *text, size_t n) {
    for (size_t at = 0; at < n;) {
        size_t step = vsi_utf8_sequence(text + at, n - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

VSI_FN int vsi_bytes_compare(vsi_bytes a, vsi_bytes b) {
    size_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}
/* ---- base/hash.h ---------------------------------------------------------------------------------- */
/* hash.h - checksums: XXH3 (Collet, https://xxhash.com), 64 and 128 bits. */
#ifndef VSI_HASH_H
#define VSI_HASH_H

/* uses base/port.h */

typedef struct vsi_hash128 {
    uint64_t lo, hi;
} vsi_hash128;

VSI_FN uint64_t vsi_hash64(const void *data, size_t bytes, uint64_t seed);
VSI_FN vsi_hash128 vsi_hash128_of(const void *data, size_t bytes, uint64_t seed);

/* Sums modulo 2^128: the digest of a set does not depend on the order of its members. */
VSI_FN void vsi_hash128_add(vsi_hash128 *sum, vsi_hash128 value);
VSI_FN void vsi_hash128_subtract(vsi_hash128 *sum, vsi_hash128 value);

#endif
/* ---- base/hash.c ---------------------------------------------------------------------------------- */
/* hash.c - checksums. The one place that includes xxHash. */
/* uses base/hash.h */

#define XXH_INLINE_ALL
#include <xxhash.h>

VSI_FN uint64_t vsi_hash64(const void *data, size_t bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(data, bytes, seed);
}

VSI_FN vsi_hash128 vsi_hash128_of(const void *data, size_t bytes, uint64_t seed) {
    XXH128_hash_t h = XXH3_128bits_withSeed(data, bytes, seed);
    return (vsi_hash128){.lo = h.low64, .hi = h.high64};
}

VSI_FN void vsi_hash128_add(vsi_hash128 *sum, vsi_hash128 value) {
    sum->lo += value.lo;
    sum->hi += value.hi + (sum->lo < value.lo);
}

VSI_FN void vsi_hash128_subtract(vsi_hash128 *sum, vsi_hash128 value) {
    uint64_t borrow = sum->lo < value.lo;
    sum->lo -= value.lo;
    sum->hi -= value.hi + borrow;
}
/* ---- base/codec.h ---------------------------------------------------------------------------------- */
/* codec.h - values made smaller for the file, and back: Zstandard (Collet, RFC 8878). */
#ifndef VSI_CODEC_H
#define VSI_CODEC_H

/* uses base/bytes.h */
/* uses base/mem.h */

/* How the bytes of an extent are stored; in references (docs/FORMAT.md). */
enum {
    VSI_CODEC_NONE = 0, /* as they are */
    VSI_CODEC_ZSTD = 1  /* one frame that names the size of its content */
};

VSI_FN bool vsi_codec_has_zstd(void); /* whether this build has it */

/* Compresses one value after the other; all zero but mem: without any memory yet. */
typedef struct vsi_packer {
    vsi_mem *mem; /* borrowed */
    void *ctx;    /* owned; made for the first value */
} vsi_packer;

/* Compresses into out, and returns the bytes used; 0: zstd has not enough room in out_bytes (it may want
 * some more than it uses) or no memory, or is not in this build. Then a value is stored as it is. */
VSI_FN size_t vsi_pack(vsi_packer *packer, vsi_bytes value, uint8_t *out, size_t out_bytes);
VSI_FN void vsi_packer_free(vsi_packer *packer);

/* The reverse, of untrusted bytes: out [out_bytes] is filled exactly, or the call fails. VS_ERR_CORRUPT,
 * VS_ERR_UNSUPPORTED (no zstd in this build), both with a message; VS_ERR_NOMEM. */
VS_NODISCARD VSI_FN vs_status vsi_unpack(vsi_err *err, vsi_mem *mem, vsi_bytes packed, uint8_t *out,
                                         size_t out_bytes);

#endif
/* ---- base/codec.c ---------------------------------------------------------------------------------- */
/* codec.c - compression. The one place that includes zstd; -DVS_OMIT_ZSTD leaves it out.
 *
 *   Z1  All memory that zstd uses comes from the database's allocator.
 *   Z2  Only a frame that begins with zstd's own magic, names the wanted size and ends with the bytes given
 *       is decompressed: old formats, which a system's zstd may know, have decoders that ask malloc. */
/* uses base/codec.h */

#ifndef VS_OMIT_ZSTD

#define ZSTD_STATIC_LINKING_ONLY /* for allocators of one's own */
#include <zstd.h>

/* Measured on JSON in values of 4 to 64 KiB, bench/RESULTS.md. */
enum { CODEC_LEVEL = 1 };

/* In front of what zstd asks for: how much it was. Its size keeps the alignment. */
typedef union codec_block {
    size_t bytes;
    max_align_t align;
} codec_block;

static void *codec_alloc(void *ctx, size_t bytes) {
    if (bytes > SIZE_MAX - sizeof(codec_block))
        return NULL;
    codec_block *block = vsi_alloc(ctx, sizeof *block + bytes);
    if (!block)
        return NULL;
    block->bytes = sizeof *block + bytes;
    return block + 1;
}

static void codec_free(void *ctx, void *ptr) {
    codec_block *block = ptr ? (codec_block *)ptr - 1 : NULL;
    if (block)
        vsi_free(ctx, block, block->bytes);
}

static ZSTD_customMem codec_memory(vsi_mem *mem) {
    return (ZSTD_customMem){codec_alloc, codec_free, mem}; /* keeps Z1 */
}

VSI_FN bool vsi_codec_has_zstd(void) {
    return true;
}

VSI_FN size_t vsi_pack(vsi_packer *packer, vsi_bytes value, uint8_t *out, size_t out_bytes) {
    if (!packer->ctx) {
        packer->ctx = ZSTD_createCCtx_advanced(codec_memory(packer->mem));
        if (!packer->ctx)
            return 0;
        (void)ZSTD_CCtx_setParameter(packer->ctx, ZSTD_c_compressionLevel, CODEC_LEVEL);
    }
    size_t got = ZSTD_compress2(packer->ctx, out, out_bytes, value.data, value.bytes);
    return ZSTD_isError(got) ? 0 : got;
}

VSI_FN void vsi_packer_free(vsi_packer *packer) {
    ZSTD_freeCCtx(packer->ctx); /* accepts NULL */
    packer->ctx = NULL;
}

/* keeps Z2 */
static const char *codec_problem(vsi_bytes packed, size_t out_bytes) {
    if (packed.bytes < 4 || vsi_get_u32(packed.data) != ZSTD_MAGICNUMBER)
        return "no zstd frame";
    if (ZSTD_getFrameContentSize(packed.data, packed.bytes) != out_bytes)
        return "a zstd frame of another size";
    if (ZSTD_findFrameCompressedSize(packed.data, packed.bytes) != packed.bytes)
        return "a zstd frame that ends elsewhere";
    return NULL;
}

VSI_FN vs_status vsi_unpack(vsi_err *err, vsi_mem *mem, vsi_bytes packed, uint8_t *out,
                            size_t out_bytes) {
    const char *problem = codec_problem(packed, out_bytes);
    if (problem)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s", problem);
    ZSTD_DCtx *ctx = ZSTD_createDCtx_advanced(codec_memory(mem));
    if (!ctx)
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory: no decompressor");
    size_t got = ZSTD_decompressDCtx(ctx, out, out_bytes, packed.data, packed.bytes);
    ZSTD_freeDCtx(ctx);
    if (got == out_bytes)
        return VS_OK;
    return vsi_fail(err, VS_ERR_CORRUPT, "a zstd frame that cannot be decompressed: %s",
                    ZSTD_isError(got) ? ZSTD_getErrorName(got) : "too short");
}

#else

VSI_FN bool vsi_codec_has_zstd(void) {
    return false;
}

VSI_FN size_t vsi_pack(vsi_packer *packer, vsi_bytes value, uint8_t *out, size_t out_bytes) {
    (void)packer;
    (void)value;
    (void)out;
    (void)out_bytes;
    return 0;
}

VSI_FN void vsi_packer_free(vsi_packer *packer) {
    (void)packer;
}

VSI_FN vs_status vsi_unpack(vsi_err *err, vsi_mem *mem, vsi_bytes packed, uint8_t *out,
                            size_t out_bytes) {
    (void)mem;
    (void)packed;
    (void)out;
    (void)out_bytes;
    return vsi_fail(err, VS_ERR_UNSUPPORTED, "compressed with zstd, which this build leaves out");
}

#endif
/* ---- base/number.h ---------------------------------------------------------------------------------- */
/* number.h - numbers as decimal text and back, exact and without a locale. */
#ifndef VSI_NUMBER_H
#define VSI_NUMBER_H

/* uses base/port.h */

/* A number in the grammar of JSON, as it stands in a text. */
typedef struct vsi_decimal {
    const uint8_t *text; /* its first byte; borrowed */
    size_t bytes;        /* it has; when it is none, those before the fault */
    uint64_t digits;     /* the first 19 of its significant digits, or all when there are fewer */
    int64_t exponent;    /* its size is digits * 10^exponent ... */
    bool is_cut;         /* ... and a bit more, less than 10^exponent: further digits follow */
    bool is_negative;
} vsi_decimal;

/* Reads the number that text begins with, as far as it goes: NULL, or the words for what was expected
 * behind out->bytes bytes. */
VSI_FN const char *vsi_decimal_read(const uint8_t *text, size_t n, vsi_decimal *out);

/* The nearest number; of two equally near ones that with an even mantissa. Infinite from half a step
 * behind the largest one on. */
VSI_FN double vsi_decimal_to_double(const vsi_decimal *decimal);
VSI_FN float vsi_decimal_to_float(const vsi_decimal *decimal);

/* A number in the form in which most elements of vectors are written: up to 7 digits, or these, a point and 1 to 18
 * digits, 19 in all; no exponent. Returns its bytes, with *out as vsi_decimal_to_float has it; 0: it is of another
 * form, or fewer than VSI_FLOAT_TAKE_BYTES are there to look at. */
enum { VSI_FLOAT_TAKE_BYTES = 36 };
VSI_FN size_t vsi_float_take(const uint8_t *text, size_t n, float *out);

/* What a number is as an integer; by its value: 1e3 and 10.0 are integers. */
enum { VSI_INTEGER = 0, VSI_INTEGER_FRACTION, VSI_INTEGER_RANGE };

VSI_FN int vsi_decimal_to_u64(const vsi_decimal *decimal, uint64_t *out);
VSI_FN int vsi_decimal_to_i64(const vsi_decimal *decimal, int64_t *out);

enum { VSI_NUMBER_TEXT_BYTES = 24 }; /* of the longest text below */

/* The shortest text that reads back as the same number, of those the nearest; as JSON allows it, and
 * without a NUL. value is finite. Returns its bytes. */
VSI_FN size_t vsi_double_write(double value, char out[VSI_NUMBER_TEXT_BYTES]);
VSI_FN size_t vsi_float_write(float value, char out[VSI_NUMBER_TEXT_BYTES]);

#endif
/* ---- base/number.c ---------------------------------------------------------------------------------- */
/* number.c - decimal text to binary numbers and back.
 *
 * Reading follows Lemire, "Number Parsing at a Gigabyte per Second" (2021, arXiv 2101.11408): one or two
 * products with a power of five of 128 bits. That these always decide for up to 19 digits is shown by
 * Mushtak and Lemire, "Fast Number Parsing Without Fallback" (2022, arXiv 2212.06644). The fast path with
 * divisions of doubles (Clinger 1990) is left out: it is no faster, and wrong when the host has chosen another
 * rounding mode or the processor computes with 80 bits.
 *
 * Writing follows Giulietti, "The Schubfach way to render doubles" (2020), with the same powers.
 *
 *   N1  Digits behind the 19th matter only when they decide between two neighbors; then the digits are
 *       compared with the middle of these in long integers (number_against_middle).
 *   N2  The bits of a format without sign, as an integer, are in the order of their values: the next
 *       larger number has the next larger bits, and infinity follows the largest one. */
/* uses base/number.h */
/* uses base/bytes.h */

enum { DIGITS_MAX = 19, POWER_MIN = -342, POWER_MAX = 324 };

/* 5^POWER_MIN to 5^POWER_MAX, scaled by powers of two to [2^127, 2^128): the upper word, the lower one. Cut
 * off where they are not exact; -27 to -1 are rounded up, as reading needs them. */
static const uint64_t number_powers[POWER_MAX - POWER_MIN + 1][2] = {
/* ---- base/powers.inc ---------------------------------------------------------------------------------- */
/* powers.inc - 5^-342 to 5^324 as 128 bits; printed by amalgamation/powers.c (make powers). */
{0xeef453d6923bd65a, 0x113faa2906a13b3f}, {0x9558b4661b6565f8, 0x4ac7ca59a424c507},
{0xbaaee17fa23ebf76, 0x5d79bcf00d2df649}, {0xe95a99df8ace6f53, 0xf4d82c2c107973dc},
{0x91d8a02bb6c10594, 0x79071b9b8a4be869}, {0xb64ec836a47146f9, 0x9748e2826cdee284},
{0xe3e27a444d8d98b7, 0xfd1b1b2308169b25}, {0x8e6d8c6ab0787f72, 0xfe30f0f5e50e20f7},
{0xb208ef855c969f4f, 0xbdbd2d335e51a935}, {0xde8b2b66b3bc4723, 0xad2c788035e61382},
{0x8b16fb203055ac76, 0x4c3bcb5021afcc31}, {0xaddcb9e83c6b1793, 0xdf4abe242a1bbf3d},
{0xd953e8624b85dd78, 0xd71d6dad34a2af0d}, {0x87d4713d6f33aa6b, 0x8672648c40e5ad68},
{0xa9c98d8ccb009506, 0x680efdaf511f18c2}, {0xd43bf0effdc0ba48, 0x0212bd1b2566def2},
{0x84a57695fe98746d, 0x014bb630f7604b57}, {0xa5ced43b7e3e9188, 0x419ea3bd35385e2d},
{0xcf42894a5dce35ea, 0x52064cac828675b9}, {0x818995ce7aa0e1b2, 0x7343efebd1940993},
{0xa1ebfb4219491a1f, 0x1014ebe6c5f90bf8}, {0xca66fa129f9b60a6, 0xd41a26e077774ef6},
{0xfd00b897478238d0, 0x8920b098955522b4}, {0x9e20735e8cb16382, 0x55b46e5f5d5535b0},
{0xc5a890362fddbc62, 0xeb2189f734aa831d}, {0xf712b443bbd52b7b, 0xa5e9ec7501d523e4},
{0x9a6bb0aa55653b2d, 0x47b233c92125366e}, {0xc1069cd4eabe89f8, 0x999ec0bb696e840a},
{0xf148440a256e2c76, 0xc00670ea43ca250d}, {0x96cd2a865764dbca, 0x380406926a5e5728},
{0xbc807527ed3e12bc, 0xc605083704f5ecf2}, {0xeba09271e88d976b, 0xf7864a44c633682e},
{0x93445b8731587ea3, 0x7ab3ee6afbe0211d}, {0xb8157268fdae9e4c, 0x5960ea05bad82964},
{0xe61acf033d1a45df, 0x6fb92487298e33bd}, {0x8fd0c16206306bab, 0xa5d3b6d479f8e056},
{0xb3c4f1ba87bc8696, 0x8f48a4899877186c}, {0xe0b62e2929aba83c, 0x331acdabfe94de87},
{0x8c71dcd9ba0b4925, 0x9ff0c08b7f1d0b14}, {0xaf8e5410288e1b6f, 0x07ecf0ae5ee44dd9},
{0xdb71e91432b1a24a, 0xc9e82cd9f69d6150}, {0x892731ac9faf056e, 0xbe311c083a225cd2},
{0xab70fe17c79ac6ca, 0x6dbd630a48aaf406}, {0xd64d3d9db981787d, 0x092cbbccdad5b108},
{0x85f0468293f0eb4e, 0x25bbf56008c58ea5}, {0xa76c582338ed2621, 0xaf2af2b80af6f24e},
{0xd1476e2c07286faa, 0x1af5af660db4aee1}, {0x82cca4db847945ca, 0x50d98d9fc890ed4d},
{0xa37fce126597973c, 0xe50ff107bab528a0}, {0xcc5fc196fefd7d0c, 0x1e53ed49a96272c8},
{0xff77b1fcbebcdc4f, 0x25e8e89c13bb0f7a}, {0x9faacf3df73609b1, 0x77b191618c54e9ac},
{0xc795830d75038c1d, 0xd59df5b9ef6a2417}, {0xf97ae3d0d2446f25, 0x4b0573286b44ad1d},
{0x9becce62836ac577, 0x4ee367f9430aec32}, {0xc2e801fb244576d5, 0x229c41f793cda73f},
{0xf3a20279ed56d48a, 0x6b43527578c1110f}, {0x9845418c345644d6, 0x830a13896b78aaa9},
{0xbe5691ef416bd60c, 0x23cc986bc656d553}, {0xedec366b11c6cb8f, 0x2cbfbe86b7ec8aa8},
{0x94b3a202eb1c3f39, 0x7bf7d71432f3d6a9}, {0xb9e08a83a5e34f07, 0xdaf5ccd93fb0cc53},
{0xe858ad248f5c22c9, 0xd1b3400f8f9cff68}, {0x91376c36d99995be, 0x23100809b9c21fa1},
{0xb58547448ffffb2d, 0xabd40a0c2832a78a}, {0xe2e69915b3fff9f9, 0x16c90c8f323f516c},
{0x8dd01fad907ffc3b, 0xae3da7d97f6792e3}, {0xb1442798f49ffb4a, 0x99cd11cfdf41779c},
{0xdd95317f31c7fa1d, 0x40405643d711d583}, {0x8a7d3eef7f1cfc52, 0x482835ea666b2572},
{0xad1c8eab5ee43b66, 0xda3243650005eecf}, {0xd863b256369d4a40, 0x90bed43e40076a82},
{0x873e4f75e2224e68, 0x5a7744a6e804a291}, {0xa90de3535aaae202, 0x711515d0a205cb36},
{0xd3515c2831559a83, 0x0d5a5b44ca873e03}, {0x8412d9991ed58091, 0xe858790afe9486c2},
{0xa5178fff668ae0b6, 0x626e974dbe39a872}, {0xce5d73ff402d98e3, 0xfb0a3d212dc8128f},
{0x80fa687f881c7f8e, 0x7ce66634bc9d0b99}, {0xa139029f6a239f72, 0x1c1fffc1ebc44e80},
{0xc987434744ac874e, 0xa327ffb266b56220}, {0xfbe9141915d7a922, 0x4bf1ff9f0062baa8},
{0x9d71ac8fada6c9b5, 0x6f773fc3603db4a9}, {0xc4ce17b399107c22, 0xcb550fb4384d21d3},
{0xf6019da07f549b2b, 0x7e2a53a146606a48}, {0x99c102844f94e0fb, 0x2eda7444cbfc426d},
{0xc0314325637a1939, 0xfa911155fefb5308}, {0xf03d93eebc589f88, 0x793555ab7eba27ca},
{0x96267c7535b763b5, 0x4bc1558b2f3458de}, {0xbbb01b9283253ca2, 0x9eb1aaedfb016f16},
{0xea9c227723ee8bcb, 0x465e15a979c1cadc}, {0x92a1958a7675175f, 0x0bfacd89ec191ec9},
{0xb749faed14125d36, 0xcef980ec671f667b}, {0xe51c79a85916f484, 0x82b7e12780e7401a},
{0x8f31cc0937ae58d2, 0xd1b2ecb8b0908810}, {0xb2fe3f0b8599ef07, 0x861fa7e6dcb4aa15},
{0xdfbdcece67006ac9, 0x67a791e093e1d49a}, {0x8bd6a141006042bd, 0xe0c8bb2c5c6d24e0},
{0xaecc49914078536d, 0x58fae9f773886e18}, {0xda7f5bf590966848, 0xaf39a475506a899e},
{0x888f99797a5e012d, 0x6d8406c952429603}, {0xaab37fd7d8f58178, 0xc8e5087ba6d33b83},
{0xd5605fcdcf32e1d6, 0xfb1e4a9a90880a64}, {0x855c3be0a17fcd26, 0x5cf2eea09a55067f},
{0xa6b34ad8c9dfc06f, 0xf42faa48c0ea481e}, {0xd0601d8efc57b08b, 0xf13b94daf124da26},
{0x823c12795db6ce57, 0x76c53d08d6b70858}, {0xa2cb1717b52481ed, 0x54768c4b0c64ca6e},
{0xcb7ddcdda26da268, 0xa9942f5dcf7dfd09}, {0xfe5d54150b090b02, 0xd3f93b35435d7c4c},
{0x9efa548d26e5a6e1, 0xc47bc5014a1a6daf}, {0xc6b8e9b0709f109a, 0x359ab6419ca1091b},
{0xf867241c8cc6d4c0, 0xc30163d203c94b62}, {0x9b407691d7fc44f8, 0x79e0de63425dcf1d},
{0xc21094364dfb5636, 0x985915fc12f542e4}, {0xf294b943e17a2bc4, 0x3e6f5b7b17b2939d},
{0x979cf3ca6cec5b5a, 0xa705992ceecf9c42}, {0xbd8430bd08277231, 0x50c6ff782a838353},
{0xece53cec4a314ebd, 0xa4f8bf5635246428}, {0x940f4613ae5ed136, 0x871b7795e136be99},
{0xb913179899f68584, 0x28e2557b59846e3f}, {0xe757dd7ec07426e5, 0x331aeada2fe589cf},
{0x9096ea6f3848984f, 0x3ff0d2c85def7621}, {0xb4bca50b065abe63, 0x0fed077a756b53a9},
{0xe1ebce4dc7f16dfb, 0xd3e8495912c62894}, {0x8d3360f09cf6e4bd, 0x64712dd7abbbd95c},
{0xb080392cc4349dec, 0xbd8d794d96aacfb3}, {0xdca04777f541c567, 0xecf0d7a0fc5583a0},
{0x89e42caaf9491b60, 0xf41686c49db57244}, {0xac5d37d5b79b6239, 0x311c2875c522ced5},
{0xd77485cb25823ac7, 0x7d633293366b828b}, {0x86a8d39ef77164bc, 0xae5dff9c02033197},
{0xa8530886b54dbdeb, 0xd9f57f830283fdfc}, {0xd267caa862a12d66, 0xd072df63c324fd7b},
{0x8380dea93da4bc60, 0x4247cb9e59f71e6d}, {0xa46116538d0deb78, 0x52d9be85f074e608},
{0xcd795be870516656, 0x67902e276c921f8b}, {0x806bd9714632dff6, 0x00ba1cd8a3db53b6},
{0xa086cfcd97bf97f3, 0x80e8a40eccd228a4}, {0xc8a883c0fdaf7df0, 0x6122cd128006b2cd},
{0xfad2a4b13d1b5d6c, 0x796b805720085f81}, {0x9cc3a6eec6311a63, 0xcbe3303674053bb0},
{0xc3f490aa77bd60fc, 0xbedbfc4411068a9c}, {0xf4f1b4d515acb93b, 0xee92fb5515482d44},
{0x991711052d8bf3c5, 0x751bdd152d4d1c4a}, {0xbf5cd54678eef0b6, 0xd262d45a78a0635d},
{0xef340a98172aace4, 0x86fb897116c87c34}, {0x9580869f0e7aac0e, 0xd45d35e6ae3d4da0},
{0xbae0a846d2195712, 0x8974836059cca109}, {0xe998d258869facd7, 0x2bd1a438703fc94b},
{0x91ff83775423cc06, 0x7b6306a34627ddcf}, {0xb67f6455292cbf08, 0x1a3bc84c17b1d542},
{0xe41f3d6a7377eeca, 0x20caba5f1d9e4a93}, {0x8e938662882af53e, 0x547eb47b7282ee9c},
{0xb23867fb2a35b28d, 0xe99e619a4f23aa43}, {0xdec681f9f4c31f31, 0x6405fa00e2ec94d4},
{0x8b3c113c38f9f37e, 0xde83bc408dd3dd04}, {0xae0b158b4738705e, 0x9624ab50b148d445},
{0xd98ddaee19068c76, 0x3badd624dd9b0957}, {0x87f8a8d4cfa417c9, 0xe54ca5d70a80e5d6},
{0xa9f6d30a038d1dbc, 0x5e9fcf4ccd211f4c}, {0xd47487cc8470652b, 0x7647c3200069671f},
{0x84c8d4dfd2c63f3b, 0x29ecd9f40041e073}, {0xa5fb0a17c777cf09, 0xf468107100525890},
{0xcf79cc9db955c2cc, 0x7182148d4066eeb4}, {0x81ac1fe293d599bf, 0xc6f14cd848405530},
{0xa21727db38cb002f, 0xb8ada00e5a506a7c}, {0xca9cf1d206fdc03b, 0xa6d90811f0e4851c},
{0xfd442e4688bd304a, 0x908f4a166d1da663}, {0x9e4a9cec15763e2e, 0x9a598e4e043287fe},
{0xc5dd44271ad3cdba, 0x40eff1e1853f29fd}, {0xf7549530e188c128, 0xd12bee59e68ef47c},
{0x9a94dd3e8cf578b9, 0x82bb74f8301958ce}, {0xc13a148e3032d6e7, 0xe36a52363c1faf01},
{0xf18899b1bc3f8ca1, 0xdc44e6c3cb279ac1}, {0x96f5600f15a7b7e5, 0x29ab103a5ef8c0b9},
{0xbcb2b812db11a5de, 0x7415d448f6b6f0e7}, {0xebdf661791d60f56, 0x111b495b3464ad21},
{0x936b9fcebb25c995, 0xcab10dd900beec34}, {0xb84687c269ef3bfb, 0x3d5d514f40eea742},
{0xe65829b3046b0afa, 0x0cb4a5a3112a5112}, {0x8ff71a0fe2c2e6dc, 0x47f0e785eaba72ab},
{0xb3f4e093db73a093, 0x59ed216765690f56}, {0xe0f218b8d25088b8, 0x306869c13ec3532c},
{0x8c974f7383725573, 0x1e414218c73a13fb}, {0xafbd2350644eeacf, 0xe5d1929ef90898fa},
{0xdbac6c247d62a583, 0xdf45f746b74abf39}, {0x894bc396ce5da772, 0x6b8bba8c328eb783},
{0xab9eb47c81f5114f, 0x066ea92f3f326564}, {0xd686619ba27255a2, 0xc80a537b0efefebd},
{0x8613fd0145877585, 0xbd06742ce95f5f36}, {0xa798fc4196e952e7, 0x2c48113823b73704},
{0xd17f3b51fca3a7a0, 0xf75a15862ca504c5}, {0x82ef85133de648c4, 0x9a984d73dbe722fb},
{0xa3ab66580d5fdaf5, 0xc13e60d0d2e0ebba}, {0xcc963fee10b7d1b3, 0x318df905079926a8},
{0xffbbcfe994e5c61f, 0xfdf17746497f7052}, {0x9fd561f1fd0f9bd3, 0xfeb6ea8bedefa633},
{0xc7caba6e7c5382c8, 0xfe64a52ee96b8fc0}, {0xf9bd690a1b68637b, 0x3dfdce7aa3c673b0},
{0x9c1661a651213e2d, 0x06bea10ca65c084e}, {0xc31bfa0fe5698db8, 0x486e494fcff30a62},
{0xf3e2f893dec3f126, 0x5a89dba3c3efccfa}, {0x986ddb5c6b3a76b7, 0xf89629465a75e01c},
{0xbe89523386091465, 0xf6bbb397f1135823}, {0xee2ba6c0678b597f, 0x746aa07ded582e2c},
{0x94db483840b717ef, 0xa8c2a44eb4571cdc}, {0xba121a4650e4ddeb, 0x92f34d62616ce413},
{0xe896a0d7e51e1566, 0x77b020baf9c81d17}, {0x915e2486ef32cd60, 0x0ace1474dc1d122e},
{0xb5b5ada8aaff80b8, 0x0d819992132456ba}, {0xe3231912d5bf60e6, 0x10e1fff697ed6c69},
{0x8df5efabc5979c8f, 0xca8d3ffa1ef463c1}, {0xb1736b96b6fd83b3, 0xbd308ff8a6b17cb2},
{0xddd0467c64bce4a0, 0xac7cb3f6d05ddbde}, {0x8aa22c0dbef60ee4, 0x6bcdf07a423aa96b},
{0xad4ab7112eb3929d, 0x86c16c98d2c953c6}, {0xd89d64d57a607744, 0xe871c7bf077ba8b7},
{0x87625f056c7c4a8b, 0x11471cd764ad4972}, {0xa93af6c6c79b5d2d, 0xd598e40d3dd89bcf},
{0xd389b47879823479, 0x4aff1d108d4ec2c3}, {0x843610cb4bf160cb, 0xcedf722a585139ba},
{0xa54394fe1eedb8fe, 0xc2974eb4ee658828}, {0xce947a3da6a9273e, 0x733d226229feea32},
{0x811ccc668829b887, 0x0806357d5a3f525f}, {0xa163ff802a3426a8, 0xca07c2dcb0cf26f7},
{0xc9bcff6034c13052, 0xfc89b393dd02f0b5}, {0xfc2c3f3841f17c67, 0xbbac2078d443ace2},
{0x9d9ba7832936edc0, 0xd54b944b84aa4c0d}, {0xc5029163f384a931, 0x0a9e795e65d4df11},
{0xf64335bcf065d37d, 0x4d4617b5ff4a16d5}, {0x99ea0196163fa42e, 0x504bced1bf8e4e45},
{0xc06481fb9bcf8d39, 0xe45ec2862f71e1d6}, {0xf07da27a82c37088, 0x5d767327bb4e5a4c},
{0x964e858c91ba2655, 0x3a6a07f8d510f86f}, {0xbbe226efb628afea, 0x890489f70a55368b},
{0xeadab0aba3b2dbe5, 0x2b45ac74ccea842e}, {0x92c8ae6b464fc96f, 0x3b0b8bc90012929d},
{0xb77ada0617e3bbcb, 0x09ce6ebb40173744}, {0xe55990879ddcaabd, 0xcc420a6a101d0515},
{0x8f57fa54c2a9eab6, 0x9fa946824a12232d}, {0xb32df8e9f3546564, 0x47939822dc96abf9},
{0xdff9772470297ebd, 0x59787e2b93bc56f7}, {0x8bfbea76c619ef36, 0x57eb4edb3c55b65a},
{0xaefae51477a06b03, 0xede622920b6b23f1}, {0xdab99e59958885c4, 0xe95fab368e45eced},
{0x88b402f7fd75539b, 0x11dbcb0218ebb414}, {0xaae103b5fcd2a881, 0xd652bdc29f26a119},
{0xd59944a37c0752a2, 0x4be76d3346f0495f}, {0x857fcae62d8493a5, 0x6f70a4400c562ddb},
{0xa6dfbd9fb8e5b88e, 0xcb4ccd500f6bb952}, {0xd097ad07a71f26b2, 0x7e2000a41346a7a7},
{0x825ecc24c873782f, 0x8ed400668c0c28c8}, {0xa2f67f2dfa90563b, 0x728900802f0f32fa},
{0xcbb41ef979346bca, 0x4f2b40a03ad2ffb9}, {0xfea126b7d78186bc, 0xe2f610c84987bfa8},
{0x9f24b832e6b0f436, 0x0dd9ca7d2df4d7c9}, {0xc6ede63fa05d3143, 0x91503d1c79720dbb},
{0xf8a95fcf88747d94, 0x75a44c6397ce912a}, {0x9b69dbe1b548ce7c, 0xc986afbe3ee11aba},
{0xc24452da229b021b, 0xfbe85badce996168}, {0xf2d56790ab41c2a2, 0xfae27299423fb9c3},
{0x97c560ba6b0919a5, 0xdccd879fc967d41a}, {0xbdb6b8e905cb600f, 0x5400e987bbc1c920},
{0xed246723473e3813, 0x290123e9aab23b68}, {0x9436c0760c86e30b, 0xf9a0b6720aaf6521},
{0xb94470938fa89bce, 0xf808e40e8d5b3e69}, {0xe7958cb87392c2c2, 0xb60b1d1230b20e04},
{0x90bd77f3483bb9b9, 0xb1c6f22b5e6f48c2}, {0xb4ecd5f01a4aa828, 0x1e38aeb6360b1af3},
{0xe2280b6c20dd5232, 0x25c6da63c38de1b0}, {0x8d590723948a535f, 0x579c487e5a38ad0e},
{0xb0af48ec79ace837, 0x2d835a9df0c6d851}, {0xdcdb1b2798182244, 0xf8e431456cf88e65},
{0x8a08f0f8bf0f156b, 0x1b8e9ecb641b58ff}, {0xac8b2d36eed2dac5, 0xe272467e3d222f3f},
{0xd7adf884aa879177, 0x5b0ed81dcc6abb0f}, {0x86ccbb52ea94baea, 0x98e947129fc2b4e9},
{0xa87fea27a539e9a5, 0x3f2398d747b36224}, {0xd29fe4b18e88640e, 0x8eec7f0d19a03aad},
{0x83a3eeeef9153e89, 0x1953cf68300424ac}, {0xa48ceaaab75a8e2b, 0x5fa8c3423c052dd7},
{0xcdb02555653131b6, 0x3792f412cb06794d}, {0x808e17555f3ebf11, 0xe2bbd88bbee40bd0},
{0xa0b19d2ab70e6ed6, 0x5b6aceaeae9d0ec4}, {0xc8de047564d20a8b, 0xf245825a5a445275},
{0xfb158592be068d2e, 0xeed6e2f0f0d56712}, {0x9ced737bb6c4183d, 0x55464dd69685606b},
{0xc428d05aa4751e4c, 0xaa97e14c3c26b886}, {0xf53304714d9265df, 0xd53dd99f4b3066a8},
{0x993fe2c6d07b7fab, 0xe546a8038efe4029}, {0xbf8fdb78849a5f96, 0xde98520472bdd033},
{0xef73d256a5c0f77c, 0x963e66858f6d4440}, {0x95a8637627989aad, 0xdde7001379a44aa8},
{0xbb127c53b17ec159, 0x5560c018580d5d52}, {0xe9d71b689dde71af, 0xaab8f01e6e10b4a6},
{0x9226712162ab070d, 0xcab3961304ca70e8}, {0xb6b00d69bb55c8d1, 0x3d607b97c5fd0d22},
{0xe45c10c42a2b3b05, 0x8cb89a7db77c506a}, {0x8eb98a7a9a5b04e3, 0x77f3608e92adb242},
{0xb267ed1940f1c61c, 0x55f038b237591ed3}, {0xdf01e85f912e37a3, 0x6b6c46dec52f6688},
{0x8b61313bbabce2c6, 0x2323ac4b3b3da015}, {0xae397d8aa96c1b77, 0xabec975e0a0d081a},
{0xd9c7dced53c72255, 0x96e7bd358c904a21}, {0x881cea14545c7575, 0x7e50d64177da2e54},
{0xaa242499697392d2, 0xdde50bd1d5d0b9e9}, {0xd4ad2dbfc3d07787, 0x955e4ec64b44e864},
{0x84ec3c97da624ab4, 0xbd5af13bef0b113e}, {0xa6274bbdd0fadd61, 0xecb1ad8aeacdd58e},
{0xcfb11ead453994ba, 0x67de18eda5814af2}, {0x81ceb32c4b43fcf4, 0x80eacf948770ced7},
{0xa2425ff75e14fc31, 0xa1258379a94d028d}, {0xcad2f7f5359a3b3e, 0x096ee45813a04330},
{0xfd87b5f28300ca0d, 0x8bca9d6e188853fc}, {0x9e74d1b791e07e48, 0x775ea264cf55347e},
{0xc612062576589dda, 0x95364afe032a819e}, {0xf79687aed3eec551, 0x3a83ddbd83f52205},
{0x9abe14cd44753b52, 0xc4926a9672793543}, {0xc16d9a0095928a27, 0x75b7053c0f178294},
{0xf1c90080baf72cb1, 0x5324c68b12dd6339}, {0x971da05074da7bee, 0xd3f6fc16ebca5e04},
{0xbce5086492111aea, 0x88f4bb1ca6bcf585}, {0xec1e4a7db69561a5, 0x2b31e9e3d06c32e6},
{0x9392ee8e921d5d07, 0x3aff322e62439fd0}, {0xb877aa3236a4b449, 0x09befeb9fad487c3},
{0xe69594bec44de15b, 0x4c2ebe687989a9b4}, {0x901d7cf73ab0acd9, 0x0f9d37014bf60a11},
{0xb424dc35095cd80f, 0x538484c19ef38c95}, {0xe12e13424bb40e13, 0x2865a5f206b06fba},
{0x8cbccc096f5088cb, 0xf93f87b7442e45d4}, {0xafebff0bcb24aafe, 0xf78f69a51539d749},
{0xdbe6fecebdedd5be, 0xb573440e5a884d1c}, {0x89705f4136b4a597, 0x31680a88f8953031},
{0xabcc77118461cefc, 0xfdc20d2b36ba7c3e}, {0xd6bf94d5e57a42bc, 0x3d32907604691b4d},
{0x8637bd05af6c69b5, 0xa63f9a49c2c1b110}, {0xa7c5ac471b478423, 0x0fcf80dc33721d54},
{0xd1b71758e219652b, 0xd3c36113404ea4a9}, {0x83126e978d4fdf3b, 0x645a1cac083126ea},
{0xa3d70a3d70a3d70a, 0x3d70a3d70a3d70a4}, {0xcccccccccccccccc, 0xcccccccccccccccd},
{0x8000000000000000, 0x0000000000000000}, {0xa000000000000000, 0x0000000000000000},
{0xc800000000000000, 0x0000000000000000}, {0xfa00000000000000, 0x0000000000000000},
{0x9c40000000000000, 0x0000000000000000}, {0xc350000000000000, 0x0000000000000000},
{0xf424000000000000, 0x0000000000000000}, {0x9896800000000000, 0x0000000000000000},
{0xbebc200000000000, 0x0000000000000000}, {0xee6b280000000000, 0x0000000000000000},
{0x9502f90000000000, 0x0000000000000000}, {0xba43b74000000000, 0x0000000000000000},
{0xe8d4a51000000000, 0x0000000000000000}, {0x9184e72a00000000, 0x0000000000000000},
{0xb5e620f480000000, 0x0000000000000000}, {0xe35fa931a0000000, 0x0000000000000000},
{0x8e1bc9bf04000000, 0x0000000000000000}, {0xb1a2bc2ec5000000, 0x0000000000000000},
{0xde0b6b3a76400000, 0x0000000000000000}, {0x8ac7230489e80000, 0x0000000000000000},
{0xad78ebc5ac620000, 0x0000000000000000}, {0xd8d726b7177a8000, 0x0000000000000000},
{0x878678326eac9000, 0x0000000000000000}, {0xa968163f0a57b400, 0x0000000000000000},
{0xd3c21bcecceda100, 0x0000000000000000}, {0x84595161401484a0, 0x0000000000000000},
{0xa56fa5b99019a5c8, 0x0000000000000000}, {0xcecb8f27f4200f3a, 0x0000000000000000},
{0x813f3978f8940984, 0x4000000000000000}, {0xa18f07d736b90be5, 0x5000000000000000},
{0xc9f2c9cd04674ede, 0xa400000000000000}, {0xfc6f7c4045812296, 0x4d00000000000000},
{0x9dc5ada82b70b59d, 0xf020000000000000}, {0xc5371912364ce305, 0x6c28000000000000},
{0xf684df56c3e01bc6, 0xc732000000000000}, {0x9a130b963a6c115c, 0x3c7f400000000000},
{0xc097ce7bc90715b3, 0x4b9f100000000000}, {0xf0bdc21abb48db20, 0x1e86d40000000000},
{0x96769950b50d88f4, 0x1314448000000000}, {0xbc143fa4e250eb31, 0x17d955a000000000},
{0xeb194f8e1ae525fd, 0x5dcfab0800000000}, {0x92efd1b8d0cf37be, 0x5aa1cae500000000},
{0xb7abc627050305ad, 0xf14a3d9e40000000}, {0xe596b7b0c643c719, 0x6d9ccd05d0000000},
{0x8f7e32ce7bea5c6f, 0xe4820023a2000000}, {0xb35dbf821ae4f38b, 0xdda2802c8a800000},
{0xe0352f62a19e306e, 0xd50b2037ad200000}, {0x8c213d9da502de45, 0x4526f422cc340000},
{0xaf298d050e4395d6, 0x9670b12b7f410000}, {0xdaf3f04651d47b4c, 0x3c0cdd765f114000},
{0x88d8762bf324cd0f, 0xa5880a69fb6ac800}, {0xab0e93b6efee0053, 0x8eea0d047a457a00},
{0xd5d238a4abe98068, 0x72a4904598d6d880}, {0x85a36366eb71f041, 0x47a6da2b7f864750},
{0xa70c3c40a64e6c51, 0x999090b65f67d924}, {0xd0cf4b50cfe20765, 0xfff4b4e3f741cf6d},
{0x82818f1281ed449f, 0xbff8f10e7a8921a4}, {0xa321f2d7226895c7, 0xaff72d52192b6a0d},
{0xcbea6f8ceb02bb39, 0x9bf4f8a69f764490}, {0xfee50b7025c36a08, 0x02f236d04753d5b4},
{0x9f4f2726179a2245, 0x01d762422c946590}, {0xc722f0ef9d80aad6, 0x424d3ad2b7b97ef5},
{0xf8ebad2b84e0d58b, 0xd2e0898765a7deb2}, {0x9b934c3b330c8577, 0x63cc55f49f88eb2f},
{0xc2781f49ffcfa6d5, 0x3cbf6b71c76b25fb}, {0xf316271c7fc3908a, 0x8bef464e3945ef7a},
{0x97edd871cfda3a56, 0x97758bf0e3cbb5ac}, {0xbde94e8e43d0c8ec, 0x3d52eeed1cbea317},
{0xed63a231d4c4fb27, 0x4ca7aaa863ee4bdd}, {0x945e455f24fb1cf8, 0x8fe8caa93e74ef6a},
{0xb975d6b6ee39e436, 0xb3e2fd538e122b44}, {0xe7d34c64a9c85d44, 0x60dbbca87196b616},
{0x90e40fbeea1d3a4a, 0xbc8955e946fe31cd}, {0xb51d13aea4a488dd, 0x6babab6398bdbe41},
{0xe264589a4dcdab14, 0xc696963c7eed2dd1}, {0x8d7eb76070a08aec, 0xfc1e1de5cf543ca2},
{0xb0de65388cc8ada8, 0x3b25a55f43294bcb}, {0xdd15fe86affad912, 0x49ef0eb713f39ebe},
{0x8a2dbf142dfcc7ab, 0x6e3569326c784337}, {0xacb92ed9397bf996, 0x49c2c37f07965404},
{0xd7e77a8f87daf7fb, 0xdc33745ec97be906}, {0x86f0ac99b4e8dafd, 0x69a028bb3ded71a3},
{0xa8acd7c0222311bc, 0xc40832ea0d68ce0c}, {0xd2d80db02aabd62b, 0xf50a3fa490c30190},
{0x83c7088e1aab65db, 0x792667c6da79e0fa}, {0xa4b8cab1a1563f52, 0x577001b891185938},
{0xcde6fd5e09abcf26, 0xed4c0226b55e6f86}, {0x80b05e5ac60b6178, 0x544f8158315b05b4},
{0xa0dc75f1778e39d6, 0x696361ae3db1c721}, {0xc913936dd571c84c, 0x03bc3a19cd1e38e9},
{0xfb5878494ace3a5f, 0x04ab48a04065c723}, {0x9d174b2dcec0e47b, 0x62eb0d64283f9c76},
{0xc45d1df942711d9a, 0x3ba5d0bd324f8394}, {0xf5746577930d6500, 0xca8f44ec7ee36479},
{0x9968bf6abbe85f20, 0x7e998b13cf4e1ecb}, {0xbfc2ef456ae276e8, 0x9e3fedd8c321a67e},
{0xefb3ab16c59b14a2, 0xc5cfe94ef3ea101e}, {0x95d04aee3b80ece5, 0xbba1f1d158724a12},
{0xbb445da9ca61281f, 0x2a8a6e45ae8edc97}, {0xea1575143cf97226, 0xf52d09d71a3293bd},
{0x924d692ca61be758, 0x593c2626705f9c56}, {0xb6e0c377cfa2e12e, 0x6f8b2fb00c77836c},
{0xe498f455c38b997a, 0x0b6dfb9c0f956447}, {0x8edf98b59a373fec, 0x4724bd4189bd5eac},
{0xb2977ee300c50fe7, 0x58edec91ec2cb657}, {0xdf3d5e9bc0f653e1, 0x2f2967b66737e3ed},
{0x8b865b215899f46c, 0xbd79e0d20082ee74}, {0xae67f1e9aec07187, 0xecd8590680a3aa11},
{0xda01ee641a708de9, 0xe80e6f4820cc9495}, {0x884134fe908658b2, 0x3109058d147fdcdd},
{0xaa51823e34a7eede, 0xbd4b46f0599fd415}, {0xd4e5e2cdc1d1ea96, 0x6c9e18ac7007c91a},
{0x850fadc09923329e, 0x03e2cf6bc604ddb0}, {0xa6539930bf6bff45, 0x84db8346b786151c},
{0xcfe87f7cef46ff16, 0xe612641865679a63}, {0x81f14fae158c5f6e, 0x4fcb7e8f3f60c07e},
{0xa26da3999aef7749, 0xe3be5e330f38f09d}, {0xcb090c8001ab551c, 0x5cadf5bfd3072cc5},
{0xfdcb4fa002162a63, 0x73d9732fc7c8f7f6}, {0x9e9f11c4014dda7e, 0x2867e7fddcdd9afa},
{0xc646d63501a1511d, 0xb281e1fd541501b8}, {0xf7d88bc24209a565, 0x1f225a7ca91a4226},
{0x9ae757596946075f, 0x3375788de9b06958}, {0xc1a12d2fc3978937, 0x0052d6b1641c83ae},
{0xf209787bb47d6b84, 0xc0678c5dbd23a49a}, {0x9745eb4d50ce6332, 0xf840b7ba963646e0},
{0xbd176620a501fbff, 0xb650e5a93bc3d898}, {0xec5d3fa8ce427aff, 0xa3e51f138ab4cebe},
{0x93ba47c980e98cdf, 0xc66f336c36b10137}, {0xb8a8d9bbe123f017, 0xb80b0047445d4184},
{0xe6d3102ad96cec1d, 0xa60dc059157491e5}, {0x9043ea1ac7e41392, 0x87c89837ad68db2f},
{0xb454e4a179dd1877, 0x29babe4598c311fb}, {0xe16a1dc9d8545e94, 0xf4296dd6fef3d67a},
{0x8ce2529e2734bb1d, 0x1899e4a65f58660c}, {0xb01ae745b101e9e4, 0x5ec05dcff72e7f8f},
{0xdc21a1171d42645d, 0x76707543f4fa1f73}, {0x899504ae72497eba, 0x6a06494a791c53a8},
{0xabfa45da0edbde69, 0x0487db9d17636892}, {0xd6f8d7509292d603, 0x45a9d2845d3c42b6},
{0x865b86925b9bc5c2, 0x0b8a2392ba45a9b2}, {0xa7f26836f282b732, 0x8e6cac7768d7141e},
{0xd1ef0244af2364ff, 0x3207d795430cd926}, {0x8335616aed761f1f, 0x7f44e6bd49e807b8},
{0xa402b9c5a8d3a6e7, 0x5f16206c9c6209a6}, {0xcd036837130890a1, 0x36dba887c37a8c0f},
{0x802221226be55a64, 0xc2494954da2c9789}, {0xa02aa96b06deb0fd, 0xf2db9baa10b7bd6c},
{0xc83553c5c8965d3d, 0x6f92829494e5acc7}, {0xfa42a8b73abbf48c, 0xcb772339ba1f17f9},
{0x9c69a97284b578d7, 0xff2a760414536efb}, {0xc38413cf25e2d70d, 0xfef5138519684aba},
{0xf46518c2ef5b8cd1, 0x7eb258665fc25d69}, {0x98bf2f79d5993802, 0xef2f773ffbd97a61},
{0xbeeefb584aff8603, 0xaafb550ffacfd8fa}, {0xeeaaba2e5dbf6784, 0x95ba2a53f983cf38},
{0x952ab45cfa97a0b2, 0xdd945a747bf26183}, {0xba756174393d88df, 0x94f971119aeef9e4},
{0xe912b9d1478ceb17, 0x7a37cd5601aab85d}, {0x91abb422ccb812ee, 0xac62e055c10ab33a},
{0xb616a12b7fe617aa, 0x577b986b314d6009}, {0xe39c49765fdf9d94, 0xed5a7e85fda0b80b},
{0x8e41ade9fbebc27d, 0x14588f13be847307}, {0xb1d219647ae6b31c, 0x596eb2d8ae258fc8},
{0xde469fbd99a05fe3, 0x6fca5f8ed9aef3bb}, {0x8aec23d680043bee, 0x25de7bb9480d5854},
{0xada72ccc20054ae9, 0xaf561aa79a10ae6a}, {0xd910f7ff28069da4, 0x1b2ba1518094da04},
{0x87aa9aff79042286, 0x90fb44d2f05d0842}, {0xa99541bf57452b28, 0x353a1607ac744a53},
{0xd3fa922f2d1675f2, 0x42889b8997915ce8}, {0x847c9b5d7c2e09b7, 0x69956135febada11},
{0xa59bc234db398c25, 0x43fab9837e699095}, {0xcf02b2c21207ef2e, 0x94f967e45e03f4bb},
{0x8161afb94b44f57d, 0x1d1be0eebac278f5}, {0xa1ba1ba79e1632dc, 0x6462d92a69731732},
{0xca28a291859bbf93, 0x7d7b8f7503cfdcfe}, {0xfcb2cb35e702af78, 0x5cda735244c3d43e},
{0x9defbf01b061adab, 0x3a0888136afa64a7}, {0xc56baec21c7a1916, 0x088aaa1845b8fdd0},
{0xf6c69a72a3989f5b, 0x8aad549e57273d45}, {0x9a3c2087a63f6399, 0x36ac54e2f678864b},
{0xc0cb28a98fcf3c7f, 0x84576a1bb416a7dd}, {0xf0fdf2d3f3c30b9f, 0x656d44a2a11c51d5},
{0x969eb7c47859e743, 0x9f644ae5a4b1b325}, {0xbc4665b596706114, 0x873d5d9f0dde1fee},
{0xeb57ff22fc0c7959, 0xa90cb506d155a7ea}, {0x9316ff75dd87cbd8, 0x09a7f12442d588f2},
{0xb7dcbf5354e9bece, 0x0c11ed6d538aeb2f}, {0xe5d3ef282a242e81, 0x8f1668c8a86da5fa},
{0x8fa475791a569d10, 0xf96e017d694487bc}, {0xb38d92d760ec4455, 0x37c981dcc395a9ac},
{0xe070f78d3927556a, 0x85bbe253f47b1417}, {0x8c469ab843b89562, 0x93956d7478ccec8e},
{0xaf58416654a6babb, 0x387ac8d1970027b2}, {0xdb2e51bfe9d0696a, 0x06997b05fcc0319e},
{0x88fcf317f22241e2, 0x441fece3bdf81f03}, {0xab3c2fddeeaad25a, 0xd527e81cad7626c3},
{0xd60b3bd56a5586f1, 0x8a71e223d8d3b074}, {0x85c7056562757456, 0xf6872d5667844e49},
{0xa738c6bebb12d16c, 0xb428f8ac016561db}, {0xd106f86e69d785c7, 0xe13336d701beba52},
{0x82a45b450226b39c, 0xecc0024661173473}, {0xa34d721642b06084, 0x27f002d7f95d0190},
{0xcc20ce9bd35c78a5, 0x31ec038df7b441f4}, {0xff290242c83396ce, 0x7e67047175a15271},
{0x9f79a169bd203e41, 0x0f0062c6e984d386}, {0xc75809c42c684dd1, 0x52c07b78a3e60868},
{0xf92e0c3537826145, 0xa7709a56ccdf8a82}, {0x9bbcc7a142b17ccb, 0x88a66076400bb691},
{0xc2abf989935ddbfe, 0x6acff893d00ea435}, {0xf356f7ebf83552fe, 0x0583f6b8c4124d43},
{0x98165af37b2153de, 0xc3727a337a8b704a}, {0xbe1bf1b059e9a8d6, 0x744f18c0592e4c5c},
{0xeda2ee1c7064130c, 0x1162def06f79df73}, {0x9485d4d1c63e8be7, 0x8addcb5645ac2ba8},
{0xb9a74a0637ce2ee1, 0x6d953e2bd7173692}, {0xe8111c87c5c1ba99, 0xc8fa8db6ccdd0437},
{0x910ab1d4db9914a0, 0x1d9c9892400a22a2}, {0xb54d5e4a127f59c8, 0x2503beb6d00cab4b},
{0xe2a0b5dc971f303a, 0x2e44ae64840fd61d}, {0x8da471a9de737e24, 0x5ceaecfed289e5d2},
{0xb10d8e1456105dad, 0x7425a83e872c5f47}, {0xdd50f1996b947518, 0xd12f124e28f77719},
{0x8a5296ffe33cc92f, 0x82bd6b70d99aaa6f}, {0xace73cbfdc0bfb7b, 0x636cc64d1001550b},
{0xd8210befd30efa5a, 0x3c47f7e05401aa4e}, {0x8714a775e3e95c78, 0x65acfaec34810a71},
{0xa8d9d1535ce3b396, 0x7f1839a741a14d0d}, {0xd31045a8341ca07c, 0x1ede48111209a050},
{0x83ea2b892091e44d, 0x934aed0aab460432}, {0xa4e4b66b68b65d60, 0xf81da84d5617853f},
{0xce1de40642e3f4b9, 0x36251260ab9d668e}, {0x80d2ae83e9ce78f3, 0xc1d72b7c6b426019},
{0xa1075a24e4421730, 0xb24cf65b8612f81f}, {0xc94930ae1d529cfc, 0xdee033f26797b627},
{0xfb9b7cd9a4a7443c, 0x169840ef017da3b1}, {0x9d412e0806e88aa5, 0x8e1f289560ee864e},
{0xc491798a08a2ad4e, 0xf1a6f2bab92a27e2}, {0xf5b5d7ec8acb58a2, 0xae10af696774b1db},
{0x9991a6f3d6bf1765, 0xacca6da1e0a8ef29}, {0xbff610b0cc6edd3f, 0x17fd090a58d32af3},
{0xeff394dcff8a948e, 0xddfc4b4cef07f5b0}, {0x95f83d0a1fb69cd9, 0x4abdaf101564f98e},
{0xbb764c4ca7a4440f, 0x9d6d1ad41abe37f1}, {0xea53df5fd18d5513, 0x84c86189216dc5ed},
{0x92746b9be2f8552c, 0x32fd3cf5b4e49bb4}, {0xb7118682dbb66a77, 0x3fbc8c33221dc2a1},
{0xe4d5e82392a40515, 0x0fabaf3feaa5334a}, {0x8f05b1163ba6832d, 0x29cb4d87f2a7400e},
{0xb2c71d5bca9023f8, 0x743e20e9ef511012}, {0xdf78e4b2bd342cf6, 0x914da9246b255416},
{0x8bab8eefb6409c1a, 0x1ad089b6c2f7548e}, {0xae9672aba3d0c320, 0xa184ac2473b529b1},
{0xda3c0f568cc4f3e8, 0xc9e5d72d90a2741e}, {0x8865899617fb1871, 0x7e2fa67c7a658892},
{0xaa7eebfb9df9de8d, 0xddbb901b98feeab7}, {0xd51ea6fa85785631, 0x552a74227f3ea565},
{0x8533285c936b35de, 0xd53a88958f87275f}, {0xa67ff273b8460356, 0x8a892abaf368f137},
{0xd01fef10a657842c, 0x2d2b7569b0432d85}, {0x8213f56a67f6b29b, 0x9c3b29620e29fc73},
{0xa298f2c501f45f42, 0x8349f3ba91b47b8f}, {0xcb3f2f7642717713, 0x241c70a936219a73},
{0xfe0efb53d30dd4d7, 0xed238cd383aa0110}, {0x9ec95d1463e8a506, 0xf4363804324a40aa},
{0xc67bb4597ce2ce48, 0xb143c6053edcd0d5}, {0xf81aa16fdc1b81da, 0xdd94b7868e94050a},
{0x9b10a4e5e9913128, 0xca7cf2b4191c8326}, {0xc1d4ce1f63f57d72, 0xfd1c2f611f63a3f0},
{0xf24a01a73cf2dccf, 0xbc633b39673c8cec}, {0x976e41088617ca01, 0xd5be0503e085d813},
{0xbd49d14aa79dbc82, 0x4b2d8644d8a74e18}, {0xec9c459d51852ba2, 0xddf8e7d60ed1219e},
{0x93e1ab8252f33b45, 0xcabb90e5c942b503}, {0xb8da1662e7b00a17, 0x3d6a751f3b936243},
{0xe7109bfba19c0c9d, 0x0cc512670a783ad4}, {0x906a617d450187e2, 0x27fb2b80668b24c5},
{0xb484f9dc9641e9da, 0xb1f9f660802dedf6}, {0xe1a63853bbd26451, 0x5e7873f8a0396973},
{0x8d07e33455637eb2, 0xdb0b487b6423e1e8}, {0xb049dc016abc5e5f, 0x91ce1a9a3d2cda62},
{0xdc5c5301c56b75f7, 0x7641a140cc7810fb}, {0x89b9b3e11b6329ba, 0xa9e904c87fcb0a9d},
{0xac2820d9623bf429, 0x546345fa9fbdcd44}, {0xd732290fbacaf133, 0xa97c177947ad4095},
{0x867f59a9d4bed6c0, 0x49ed8eabcccc485d}, {0xa81f301449ee8c70, 0x5c68f256bfff5a74},
{0xd226fc195c6a2f8c, 0x73832eec6fff3111}, {0x83585d8fd9c25db7, 0xc831fd53c5ff7eab},
{0xa42e74f3d032f525, 0xba3e7ca8b77f5e55}, {0xcd3a1230c43fb26f, 0x28ce1bd2e55f35eb},
{0x80444b5e7aa7cf85, 0x7980d163cf5b81b3}, {0xa0555e361951c366, 0xd7e105bcc332621f},
{0xc86ab5c39fa63440, 0x8dd9472bf3fefaa7}, {0xfa856334878fc150, 0xb14f98f6f0feb951},
{0x9c935e00d4b9d8d2, 0x6ed1bf9a569f33d3}, {0xc3b8358109e84f07, 0x0a862f80ec4700c8},
{0xf4a642e14c6262c8, 0xcd27bb612758c0fa}, {0x98e7e9cccfbd7dbd, 0x8038d51cb897789c},
{0xbf21e44003acdd2c, 0xe0470a63e6bd56c3}, {0xeeea5d5004981478, 0x1858ccfce06cac74},
{0x95527a5202df0ccb, 0x0f37801e0c43ebc8}, {0xbaa718e68396cffd, 0xd30560258f54e6ba},
{0xe950df20247c83fd, 0x47c6b82ef32a2069}, {0x91d28b7416cdd27e, 0x4cdc331d57fa5441},
{0xb6472e511c81471d, 0xe0133fe4adf8e952}, {0xe3d8f9e563a198e5, 0x58180fddd97723a6},
{0x8e679c2f5e44ff8f, 0x570f09eaa7ea7648}, {0xb201833b35d63f73, 0x2cd2cc6551e513da},
{0xde81e40a034bcf4f, 0xf8077f7ea65e58d1}, {0x8b112e86420f6191, 0xfb04afaf27faf782},
{0xadd57a27d29339f6, 0x79c5db9af1f9b563}, {0xd94ad8b1c7380874, 0x18375281ae7822bc},
{0x87cec76f1c830548, 0x8f2293910d0b15b5}, {0xa9c2794ae3a3c69a, 0xb2eb3875504ddb22},
{0xd433179d9c8cb841, 0x5fa60692a46151eb}, {0x849feec281d7f328, 0xdbc7c41ba6bcd333},
{0xa5c7ea73224deff3, 0x12b9b522906c0800}, {0xcf39e50feae16bef, 0xd768226b34870a00},
{0x81842f29f2cce375, 0xe6a1158300d46640}, {0xa1e53af46f801c53, 0x60495ae3c1097fd0},
{0xca5e89b18b602368, 0x385bb19cb14bdfc4}, {0xfcf62c1dee382c42, 0x46729e03dd9ed7b5},
{0x9e19db92b4e31ba9, 0x6c07a2c26a8346d1},
};

typedef struct number_format {
    int mantissa_bits;  /* stored; one more is implied */
    int exponent_min;   /* of two, of what is not normal; negated: the bias of the exponent */
    int exponent_limit; /* the biased one of infinity */
    int ten_min; /* 19 digits with a smaller power of ten are nearer to 0 than to anything else */
    int ten_max; /* any digit with a larger one is beyond the range */
    int tie_min,
        tie_max; /* powers of ten with which 19 digits can lie in the middle of two numbers */
} number_format;

static const number_format number_double = {52, -1023, 0x7ff, -342, 308, -4, 23};
static const number_format number_float = {23, -127, 0xff, -64, 38, -17, 10};

/* ---- scanning ------------------------------------------------------------------------------- */

static bool number_is_digit(const uint8_t *p, const uint8_t *end) {
    return p < end && (uint8_t)(*p - '0') <= 9;
}

/* How many digits 8 bytes begin with, the first one lowest: bytes whose upper half is 3, and still 3 when 6 was
 * added. What a byte that is none carries into those behind it does not matter. */
static int number_count_digits(uint64_t word) {
    const uint64_t upper = 0xf0f0f0f0f0f0f0f0u;
    uint64_t halves = (word & upper) | ((word + 0x0606060606060606u) & upper) >> 4;
    uint64_t marks = halves ^ 0x3333333333333333u;
    return marks ? vsi_trailing_zeros(marks) / 8 : 8;
}

/* Neighbors are joined to numbers of two, four and eight digits; the first digit is in the lowest byte. */
static uint64_t number_of_8_digits(uint64_t word) {
    word = (word & 0x0f0f0f0f0f0f0f0fu) * (1 + (10 << 8)) >> 8;
    word = (word & 0x00ff00ff00ff00ffu) * (1 + (100 << 16)) >> 16;
    return (word & 0x0000ffff0000ffffu) * (1 + ((uint64_t)10000 << 32)) >> 32;
}

/* Appends digits to a number, which wraps when they are too many. Returns where they end. */
static const uint8_t *number_take_digits(const uint8_t *p, const uint8_t *end, uint64_t *digits) {
    static const uint32_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    uint64_t value = *digits;
    for (int count = 8; count == 8 && end - p >= 8; p += count) {
        uint64_t word = vsi_get_u64(p);
        count = number_count_digits(word);
        if (count) /* zeros come in front of fewer than 8 */
            value = value * tens[count] + number_of_8_digits(word << (64 - 8 * count));
    }
    for (; number_is_digit(p, end); p++)
        value = value * 10 + (uint64_t)(*p - '0');
    *digits = value;
    return p;
}

/* Whether of count digits more than 19 are significant. */
static bool number_is_long(const uint8_t *p, size_t count) {
    for (; count > DIGITS_MAX && (*p == '0' || *p == '.'); p++)
        count -= *p == '0';
    return count > DIGITS_MAX;
}

/* The digits of a number that has more than 19, up to its exponent. */
static void number_take_long(const uint8_t *p, const uint8_t *end, vsi_decimal *out) {
    int taken = 0;
    out->digits = 0;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        uint8_t digit = (uint8_t)(*p - '0');
        if (*p == '.')
            continue;
        if (taken < DIGITS_MAX) {
            out->digits = out->digits * 10 + digit;
            taken += out->digits != 0;
        } else {
            out->exponent++;
            out->is_cut = out->is_cut || digit;
        }
    }
}

/* The exponent behind an 'e', added to out->exponent; no text is so long that it could undo one of 10^17. */
static const uint8_t *number_take_exponent(const uint8_t *p, const uint8_t *end, vsi_decimal *out) {
    bool is_negative = p < end && *p == '-';
    int64_t value = 0;
    p += p < end && (*p == '-' || *p == '+');
    for (; number_is_digit(p, end); p++)
        if (value < 100000000000000000)
            value = value * 10 + (*p - '0');
    out->exponent += is_negative ? -value : value;
    return p;
}

static const char *number_expected(vsi_decimal *out, const uint8_t *at, const char *expected) {
    out->bytes = (size_t)(at - out->text);
    return expected;
}

VSI_FN const char *vsi_decimal_read(const uint8_t *text, size_t n, vsi_decimal *out) {
    const uint8_t *p = text, *end = text + n;
    *out = (vsi_decimal){.text = text, .is_negative = n && *p == '-'};
    p += out->is_negative;
    const uint8_t *first = p;
    p = p < end && *p == '0' ? p + 1 : number_take_digits(p, end, &out->digits);
    if (p == first)
        return number_expected(out, p, "a value");
    size_t count = (size_t)(p - first);
    if (p < end && *p == '.') {
        const uint8_t *fraction = ++p;
        p = number_take_digits(p, end, &out->digits);
        if (p == fraction)
            return number_expected(out, p, "a digit");
        count += (size_t)(p - fraction);
        out->exponent = fraction - p;
    }
    if (number_is_long(first, count))
        number_take_long(first, p, out);
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = number_take_exponent(p + 1, end, out);
        if (!number_is_digit(p - 1, end))
            return number_expected(out, p, "a digit");
    }
    out->bytes = (size_t)(p - text);
    return NULL;
}

/* ---- to binary ------------------------------------------------------------------------------ */

/* floor(power * log2(10)), exact for the powers in use. */
static int number_log2_of_ten(int power) {
    return (power * 217706 - (power < 0 ? 65535 : 0)) / 65536;
}

/* digits * 10^power as bits of the format, rounded. digits is not 0. Inline, so that shifts by what a format has are
 * constants: a tenth of the time that a float takes. */
static inline uint64_t number_round(uint64_t digits, int64_t power, const number_format *f) {
    if (power < f->ten_min)
        return 0;
    if (power > f->ten_max)
        return (uint64_t)f->exponent_limit << f->mantissa_bits;
    const uint64_t *five = number_powers[power - POWER_MIN];
    int zeros = vsi_leading_zeros(digits);
    int spare =
        64 - f->mantissa_bits - 3; /* bits behind the mantissa, the implied bit and two to round */
    uint64_t low, high = vsi_mul_u64(digits << zeros, five[0], &low);
    if ((high << (64 - spare)) == (uint64_t)-1 << (64 - spare)) {
        /* The lower word's product could carry into the mantissa. */
        uint64_t unused, more = vsi_mul_u64(digits << zeros, five[1], &unused);
        low += more;
        high += low < more;
    }
    int upper = (int)(high >> 63);
    uint64_t mantissa = high >> (upper + spare);
    int exponent = number_log2_of_ten((int)power) + 63 + upper - zeros - f->exponent_min;
    if (exponent <= 0) {
        if (exponent <= -63)
            return 0;
        mantissa >>= 1 - exponent;
        mantissa += mantissa & 1;
        return mantissa >> 1; /* keeps N2: one that became normal has exponent 1 */
    }
    bool is_tie = low <= 1 && power >= f->tie_min && power <= f->tie_max && (mantissa & 3) == 1 &&
                  mantissa << (upper + spare) == high;
    mantissa += is_tie ? 0 : mantissa & 1;
    uint64_t bits = ((uint64_t)(exponent - 1) << f->mantissa_bits) + (mantissa >> 1);
    uint64_t infinity = (uint64_t)f->exponent_limit << f->mantissa_bits;
    return bits < infinity ? bits : infinity;
}

/* Long integers, the least significant limb first. Both sides of a comparison have at most 2,700 bits: 781
 * digits on one, 54 bits times 5^1106 on the other, and a shift that makes them about equal. */
enum { BIG_LIMBS = 88, BIG_DIGITS_MAX = 780 };

typedef struct number_big {
    uint32_t limb[BIG_LIMBS];
    int count; /* limbs in use */
} number_big;

static void big_multiply_add(number_big *a, uint32_t factor, uint32_t summand) {
    uint64_t carry = summand;
    for (int i = 0; i < a->count; i++) {
        carry += (uint64_t)a->limb[i] * factor;
        a->limb[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry) {
        vsi_assert(a->count < BIG_LIMBS);
        a->limb[a->count++] = (uint32_t)carry;
    }
}

static void big_multiply_five(number_big *a, int64_t power) {
    for (; power >= 13; power -= 13)
        big_multiply_add(a, 1220703125, 0); /* 5^13 */
    for (; power > 0; power--)
        big_multiply_add(a, 5, 0);
}

static void big_shift(number_big *a, int64_t bits) {
    int limbs = (int)(bits / 32);
    vsi_assert(a->count + limbs < BIG_LIMBS);
    big_multiply_add(a, (uint32_t)1 << bits % 32, 0);
    memmove(a->limb + limbs, a->limb, (size_t)a->count * sizeof a->limb[0]);
    memset(a->limb, 0, (size_t)limbs * sizeof a->limb[0]);
    a->count += limbs;
}

static int big_compare(const number_big *a, const number_big *b) {
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    for (int i = a->count - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i])
            return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}

/* The digits of a number, without its point. What follows 780 of them is 1 or nothing: the middle of two
 * doubles has at most 767. Returns the power of ten of the last one. */
static int64_t big_of_digits(number_big *a, const vsi_decimal *decimal) {
    const uint8_t *p = decimal->text + decimal->is_negative, *end = decimal->text + decimal->bytes;
    int used = 0;
    bool has_rest = false;
    for (a->count = 0; p < end && *p != 'e' && *p != 'E'; p++) {
        if (*p == '.' || (*p == '0' && !used))
            continue;
        if (used < BIG_DIGITS_MAX) {
            big_multiply_add(a, 10, (uint32_t)(*p - '0'));
            used++;
        } else {
            has_rest = has_rest || *p != '0';
        }
    }
    if (has_rest) {
        big_multiply_add(a, 10, 1);
        used++;
    }
    return decimal->exponent + DIGITS_MAX - used;
}

/* Whether a number is below (-1), at (0) or above (1) the middle between the value of bits and the next. */
static int number_against_middle(const vsi_decimal *decimal, uint64_t bits,
                                 const number_format *f) {
    uint64_t implied = (uint64_t)1 << f->mantissa_bits;
    int exponent = (int)(bits >> f->mantissa_bits);
    uint64_t mantissa = (bits & (implied - 1)) | (exponent ? implied : 0);
    uint64_t twice = 2 * mantissa + 1; /* the middle is twice * 2^two */
    int64_t two = (exponent ? exponent : 1) + f->exponent_min - f->mantissa_bits - 1;
    number_big digits, middle = {.limb = {(uint32_t)twice, (uint32_t)(twice >> 32)}};
    int64_t ten = big_of_digits(&digits, decimal);
    middle.count = twice >> 32 ? 2 : 1;
    big_multiply_five(ten < 0 ? &middle : &digits, ten < 0 ? -ten : ten);
    int64_t shift = ten - two;
    big_shift(shift < 0 ? &middle : &digits, shift < 0 ? -shift : shift);
    return big_compare(&digits, &middle);
}

static uint64_t number_bits(const vsi_decimal *decimal, const number_format *f) {
    if (!decimal->digits)
        return 0;
    uint64_t bits = number_round(decimal->digits, decimal->exponent, f);
    if (!decimal->is_cut || bits == number_round(decimal->digits + 1, decimal->exponent, f))
        return bits;
    int side = number_against_middle(decimal, bits, f); /* keeps N1 */
    return bits + (side > 0 || (side == 0 && (bits & 1)));
}

VSI_FN double vsi_decimal_to_double(const vsi_decimal *decimal) {
    uint64_t bits = number_bits(decimal, &number_double) | (uint64_t)decimal->is_negative << 63;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

VSI_FN float vsi_decimal_to_float(const vsi_decimal *decimal) {
    uint32_t bits = (uint32_t)number_bits(decimal, &number_float) | (uint32_t)decimal->is_negative
                                                                        << 31;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- the common form ------------------------------------------------------------------------ */

/* The number that the first digits of 8 bytes make. */
static uint64_t number_of_digits(uint64_t word, int digits) {
    int half = 4 * (8 - digits); /* zeros come in front, in two steps: there is no shift by 64 */
    return number_of_8_digits(word << half << half);
}

static bool number_is_e(uint8_t c) {
    return c == 'e' || c == 'E';
}

/* An integer of digits bytes behind its sign, which a float has exactly: it is below 2^24. */
static size_t number_take_whole(uint32_t value, uint8_t behind, uint32_t sign, size_t digits,
                                float *out) {
    if (number_is_e(behind))
        return 0;
    float number = (float)value;
    *out = sign ? -number : number;
    return sign + digits;
}

VSI_FN size_t vsi_float_take(const uint8_t *text, size_t n, float *out) {
    static const uint64_t tens[] = {1,
                                    10,
                                    100,
                                    1000,
                                    10000,
                                    100000,
                                    1000000,
                                    10000000,
                                    100000000,
                                    1000000000,
                                    10000000000,
                                    100000000000,
                                    1000000000000,
                                    10000000000000,
                                    100000000000000,
                                    1000000000000000,
                                    10000000000000000};
    if (n < VSI_FLOAT_TAKE_BYTES)
        return 0;
    uint32_t sign = text[0] == '-';
    const uint8_t *p = text + sign;
    uint64_t whole = (uint64_t)p[0] - '0';
    int front = 1; /* digits before the point */
    if (whole > 9)
        return 0;
    if (p[1] != '.') {
        uint64_t word = vsi_get_u64(p);
        front = number_count_digits(word);
        if (front == 8 || (!whole && front > 1))
            return 0;
        whole = number_of_digits(word, front);
        if (p[front] != '.')
            return number_take_whole((uint32_t)whole, p[front], sign, (size_t)front, out);
    }
    /* Without branches: how many digits there are cannot be foretold. */
    const uint8_t *fraction = p + front + 1;
    uint64_t first = vsi_get_u64(fraction), second = vsi_get_u64(fraction + 8);
    int count = number_count_digits(first), more = number_count_digits(second);
    more = count == 8 ? more : 0;
    int places = count + more;
    uint64_t digits = whole * tens[places] + number_of_digits(first, count) * tens[more] +
                      number_of_digits(second, more);
    if (more == 8) { /* a float that was printed as a double */
        uint64_t third = vsi_get_u64(fraction + 16);
        more = number_count_digits(third);
        if (more > 2)
            return 0;
        digits = digits * tens[more] + number_of_digits(third, more);
        places += more;
    }
    if (!places || front + places > DIGITS_MAX || number_is_e(fraction[places]))
        return 0;
    uint64_t bits = digits ? number_round(digits, -places, &number_float) : 0;
    uint32_t word = (uint32_t)bits | sign << 31;
    memcpy(out, &word, sizeof word);
    return sign + (size_t)front + 1 + (size_t)places;
}

/* ---- to integers ---------------------------------------------------------------------------- */

static bool integer_append(uint64_t *value, uint8_t digit) {
    if (*value > (UINT64_MAX - digit) / 10)
        return false;
    *value = *value * 10 + digit;
    return true;
}

/* More than 19 significant digits, the last ones not 0: that of an integer has a power of 0 or more. */
static int integer_of_long(const vsi_decimal *decimal, uint64_t *out) {
    const uint8_t *p = decimal->text + decimal->is_negative, *end = decimal->text + decimal->bytes;
    int64_t ten = decimal->exponent + DIGITS_MAX; /* of the digit before the one at p */
    uint64_t value = 0;
    bool has_begun = false, fits = true;
    for (; p < end && *p != 'e' && *p != 'E'; p++) {
        has_begun = has_begun || (*p != '0' && *p != '.');
        if (*p == '.' || !has_begun)
            continue;
        if (--ten >= 0)
            fits = fits && integer_append(&value, (uint8_t)(*p - '0'));
        else if (*p != '0')
            return VSI_INTEGER_FRACTION;
    }
    for (; fits && ten > 0; ten--)
        fits = integer_append(&value, 0);
    *out = value;
    return fits ? VSI_INTEGER : VSI_INTEGER_RANGE;
}

/* Without the sign. */
static int integer_size(const vsi_decimal *decimal, uint64_t *out) {
    if (decimal->is_cut)
        return integer_of_long(decimal, out);
    uint64_t value = decimal->digits;
    int64_t ten = decimal->exponent;
    for (; value && ten < 0; ten++, value /= 10)
        if (value % 10)
            return VSI_INTEGER_FRACTION;
    for (; value && ten > 0; ten--)
        if (!integer_append(&value, 0))
            return VSI_INTEGER_RANGE;
    *out = value;
    return VSI_INTEGER;
}

VSI_FN int vsi_decimal_to_u64(const vsi_decimal *decimal, uint64_t *out) {
    uint64_t value = 0;
    int result = integer_size(decimal, &value);
    if (result == VSI_INTEGER && decimal->is_negative && value)
        result = VSI_INTEGER_RANGE;
    if (result == VSI_INTEGER)
        *out = value;
    return result;
}

VSI_FN int vsi_decimal_to_i64(const vsi_decimal *decimal, int64_t *out) {
    uint64_t value = 0;
    int result = integer_size(decimal, &value);
    if (result == VSI_INTEGER && value > (uint64_t)INT64_MAX + decimal->is_negative)
        result = VSI_INTEGER_RANGE;
    if (result != VSI_INTEGER)
        return result;
    /* The least integer has no positive counterpart. */
    *out = !decimal->is_negative ? (int64_t)value : value ? -(int64_t)(value - 1) - 1 : 0;
    return VSI_INTEGER;
}

/* ---- to text -------------------------------------------------------------------------------- */

typedef struct number_short {
    uint64_t digits; /* at most 17 */
    int ten;
} number_short;

/* The upper 64 bits of factor * 10^power, scaled as in the table, the lowest bit set when anything that is
 * no error of the table is left behind them (Giulietti's rounding to odd). */
static uint64_t short_scale(uint64_t factor, int power) {
    const uint64_t *five = number_powers[power - POWER_MIN];
    bool is_cut = power < -27 || power > 55; /* Schubfach wants what is not exact rounded up */
    uint64_t unused, middle;
    uint64_t carried =
        vsi_mul_u64(factor, five[1] + is_cut, &unused); /* no entry ends in all ones */
    uint64_t result = vsi_mul_u64(factor, five[0], &middle);
    middle += carried;
    result += middle < carried;
    return result | (middle > 1);
}

/* floor(log10(2^two)), or with is_first floor(log10(3/4 * 2^two)); exact for |two| below 1,500. */
static int number_log10(int two, bool is_first) {
    int scaled = two * 1262611 - (is_first ? 524031 : 0); /* log10(2) and -log10(3/4), times 2^22 */
    return (scaled - (scaled < 0 ? 4194303 : 0)) / 4194304;
}

/* The shortest digits within half a step of mantissa * 2^two, the nearest when there are several. On the
 * lower side the step is half as large when is_first, a power of two. Section 9 of the paper. */
static number_short short_find(uint64_t mantissa, int two, bool is_first) {
    int ten = number_log10(two, is_first);
    int shift = two + number_log2_of_ten(-ten) + 1;
    uint64_t lower = short_scale((4 * mantissa - 2 + is_first) << shift, -ten) + (mantissa & 1);
    uint64_t value = short_scale((4 * mantissa) << shift, -ten);
    uint64_t upper = short_scale((4 * mantissa + 2) << shift, -ten) - (mantissa & 1);
    uint64_t digits = value / 4, fewer = digits / 10;
    if (digits >= 10) {
        bool has_low = lower <= 40 * fewer, has_high = 40 * fewer + 40 <= upper;
        if (has_low != has_high)
            return (number_short){fewer + has_high, ten + 1};
    }
    bool has_low = lower <= 4 * digits, has_high = 4 * digits + 4 <= upper;
    if (has_low != has_high)
        return (number_short){digits + has_high, ten};
    uint64_t middle = 4 * digits + 2;
    return (number_short){digits + (value > middle || (value == middle && (digits & 1))), ten};
}

/* Appends digits, with a point before those of the last decimals places when there are any. */
static size_t short_put(char *out, uint64_t digits, int count, int decimals) {
    size_t n = (size_t)(count + (decimals > 0));
    for (size_t at = n; at > 0; digits /= 10) {
        if (decimals-- == 0 && at < n)
            out[--at] = '.';
        out[--at] = (char)('0' + digits % 10);
    }
    return n;
}

static size_t short_put_exponent(char *out, int exponent) {
    int size = exponent < 0 ? -exponent : exponent;
    out[0] = 'e';
    out[1] = exponent < 0 ? '-' : '+';
    return 2 + short_put(out + 2, (uint64_t)size, size < 10 ? 1 : size < 100 ? 2 : 3, 0);
}

/* Numbers from 0.00001 up to 17 places are written out, all others as d.ddde+xx. */
static size_t short_print(number_short s, bool is_negative, char *out) {
    size_t n = 0;
    int count = 1;
    for (; s.digits && s.digits % 10 == 0; s.ten++)
        s.digits /= 10;
    for (uint64_t rest = s.digits; rest >= 10; rest /= 10)
        count++;
    int exponent = count - 1 + s.ten;
    if (is_negative)
        out[n++] = '-';
    if (exponent < -5 || exponent > 16) {
        n += short_put(out + n, s.digits, count, count - 1);
        return n + short_put_exponent(out + n, exponent);
    }
    if (exponent < 0) {
        memcpy(out + n, "0.0000", 6);
        n += (size_t)(1 - exponent);
        return n + short_put(out + n, s.digits, count, 0);
    }
    n += short_put(out + n, s.digits, count, s.ten < 0 ? -s.ten : 0);
    for (; s.ten > 0; s.ten--)
        out[n++] = '0';
    return n;
}

static size_t short_write(uint64_t bits, bool is_negative, const number_format *f, char *out) {
    uint64_t implied = (uint64_t)1 << f->mantissa_bits;
    int exponent = (int)(bits >> f->mantissa_bits);
    uint64_t mantissa = bits & (implied - 1);
    number_short s = {0, 0};
    if (bits)
        s = short_find(mantissa | (exponent ? implied : 0),
                       (exponent ? exponent : 1) + f->exponent_min - f->mantissa_bits,
                       !mantissa && exponent > 1);
    return short_print(s, is_negative, out);
}

VSI_FN size_t vsi_double_write(double value, char out[VSI_NUMBER_TEXT_BYTES]) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return short_write(bits & INT64_MAX, bits >> 63, &number_double, out);
}

VSI_FN size_t vsi_float_write(float value, char out[VSI_NUMBER_TEXT_BYTES]) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return short_write(bits & INT32_MAX, bits >> 31, &number_float, out);
}
/* ---- base/json.h ---------------------------------------------------------------------------------- */
/* json.h - reading JSON (RFC 8259) token by token, and writing pieces of it. */
#ifndef VSI_JSON_H
#define VSI_JSON_H

/* uses base/number.h */
/* uses base/status.h */

enum { VSI_JSON_DEPTH_MAX = 64 };

/* VS_OK, or VS_ERR_INVALID with the byte offset and what was expected there. */
VSI_FN vs_status vsi_json_check_object(vsi_err *err, const char *text, size_t n);

/* The public functions of the same names, for a reader that was begun. Tokens are vs_json's. */
VSI_FN void vsi_json_begin(vs_json *reader, const char *text, size_t n, uint32_t flags);
VSI_FN int vsi_json_next(vs_json *reader);
VSI_FN int vsi_json_skip(vs_json *reader);
/* The reader stands at the beginning of an array. */
VSI_FN vs_status vsi_json_floats(vs_json *reader, float *out, size_t room, size_t *out_count);

/* Where text goes: what has no room is only counted. To append to a vsi_buf reserve what can come, and let
 * data begin behind what the buffer has. */
typedef struct vsi_json_out {
    uint8_t *data; /* [room] borrowed */
    size_t room;
    size_t bytes; /* written or counted */
} vsi_json_out;

VSI_FN void vsi_json_put(vsi_json_out *out, const void *data, size_t n);

/* What stands between the quotes of a string that was read, escapes resolved. */
VSI_FN void vsi_json_put_decoded(vsi_json_out *out, const uint8_t *text, size_t n);
/* The character that the escape at p stands for, in a string that was read; returns the escape's bytes. */
VSI_FN size_t vsi_json_escape(const uint8_t *p, uint32_t *out_code);
/* A value that was read, without insignificant white space: never more than n bytes. */
VSI_FN void vsi_json_put_compact(vsi_json_out *out, const uint8_t *text, size_t n);
/* A string in quotes from well-formed UTF-8. */
VSI_FN void vsi_json_put_string(vsi_json_out *out, const uint8_t *text, size_t n);

#endif
/* ---- base/json.c ---------------------------------------------------------------------------------- */
/* json.c - reads JSON token by token, without recursion and without building anything.
 *
 *   J1  `open` holds one bit per nesting level: 1 an object, 0 an array.
 *   J2  `token_at` is a token's first byte, `at` the first one behind it and, for a name, its colon. A reader
 *       that has failed stands at the fault.
 *   J3  A string that was read has whole escapes, whole surrogate pairs and well-formed UTF-8; what
 *       decodes it relies on that. */
/* uses base/json.h */
/* uses base/bytes.h */

/* What may come next. */
enum {
    JSON_VALUE = 0,  /* a value; before the first one: the beginning */
    JSON_FIRST = 1,  /* behind an opening bracket: a member or an element, or the closing one */
    JSON_BEHIND = 2, /* behind a value */
    JSON_ENDED = 3   /* nothing: the end, or an error */
};

static int json_fail(vs_json *r, vs_status status, const char *expected) {
    r->status = status;
    r->expected = expected;
    r->state = JSON_ENDED;
    r->token = VS_JSON_ERROR;
    r->token_at = r->at;
    r->token_bytes = 0;
    return r->token;
}

static bool json_expected(vs_json *r, const char *expected) {
    json_fail(r, VS_ERR_INVALID, expected);
    return false;
}

/* The byte that is next, 0 behind the last one: no JSON has a 0. */
static uint8_t json_peek(const vs_json *r) {
    return r->at < r->bytes ? (uint8_t)r->text[r->at] : 0;
}

static bool json_is_space(uint8_t c) {
    return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r');
}

static void json_skip_space(vs_json *r) {
    const char *text = r->text;
    size_t at = r->at, n = r->bytes;
    if (at < n && (uint8_t)text[at] > ' ')
        return; /* most often there is none */
    while (at < n && json_is_space((uint8_t)text[at]))
        at++;
    r->at = at;
}

static bool json_take(vs_json *r, uint8_t c) {
    if (r->at >= r->bytes || (uint8_t)r->text[r->at] != c)
        return false;
    r->at++;
    return true;
}

/* ---- strings -------------------------------------------------------------------------------- */

static int json_hex(uint8_t c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Value of the four hex digits at r->at, or -1 and r->at on what is not one. */
static int json_take_hex4(vs_json *r) {
    int value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int digit = json_hex(json_peek(r));
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool json_take_escape(vs_json *r) {
    uint8_t c = json_peek(r);
    if (!c || !strchr("\"\\/bfnrtu", c))
        return json_expected(r, "one of \"\\/bfnrtu behind the backslash");
    r->at++;
    if (c != 'u')
        return true;
    size_t digits = r->at;
    int unit = json_take_hex4(r);
    if (unit < 0)
        return json_expected(r, "four hexadecimal digits");
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    bool pair = unit < 0xdc00 && json_take(r, '\\') && json_take(r, 'u');
    int low = pair ? json_take_hex4(r) : -1;
    if (low >= 0xdc00 && low <= 0xdfff)
        return true;
    r->at = digits;
    return json_expected(r, "a surrogate pair, high then low,");
}

/* How many of 8 bytes of a string, the first one lowest, are characters of ASCII that stand for themselves. A
 * byte's highest bit is set in `marks` when it is another; the bytes behind that may be marked by mistake. */
static size_t json_plain_bytes(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
    uint64_t marks =
        (word | (quote - ones) | (backslash - ones) | (word - ones * 0x20)) & ones * 0x80;
    return marks ? (size_t)vsi_trailing_zeros(marks) / 8 : 8;
}

/* Where the first byte from at on is that does not stand for itself, or the end. */
static size_t json_plain_end(const uint8_t *text, size_t at, size_t n) {
    while (n - at >= 8) {
        size_t step = json_plain_bytes(vsi_get_u64(text + at));
        at += step;
        if (step < 8)
            return at;
    }
    while (at < n && text[at] >= 0x20 && text[at] < 0x80 && text[at] != '"' && text[at] != '\\')
        at++;
    return at;
}

/* The rest of a string, behind its first quote, with the last one. */
static bool json_take_string(vs_json *r) {
    const uint8_t *text = (const uint8_t *)r->text;
    for (;;) {
        r->at = json_plain_end(text, r->at, r->bytes);
        if (r->at == r->bytes)
            return json_expected(r, "the end of a string");
        uint8_t c = text[r->at];
        if (c == '"') {
            r->at++;
            return true;
        }
        if (c < 0x20)
            return json_expected(r, "no control character");
        size_t step = vsi_utf8_sequence(text + r->at, r->bytes - r->at);
        if (step == 0)
            return json_expected(r, "well-formed UTF-8");
        r->at += step;
        if (c == '\\' && !json_take_escape(r))
            return false;
    }
}

/* ---- tokens --------------------------------------------------------------------------------- */

static int json_token(vs_json *r, int token, size_t token_at, int state) {
    r->token = token;
    r->token_at = token_at;
    r->token_bytes = r->at - token_at;
    r->state = state;
    return token;
}

static bool json_in_object(const vs_json *r) {
    return r->open & 1;
}

static int json_open(vs_json *r, bool is_object) {
    size_t token_at = r->at;
    if (r->depth == VSI_JSON_DEPTH_MAX)
        return json_fail(r, VS_ERR_LIMIT, "at most 64 levels of nesting");
    r->open = r->open << 1 | is_object; /* keeps J1 */
    r->depth++;
    r->at++;
    return json_token(r, is_object ? VS_JSON_OBJECT_BEGIN : VS_JSON_ARRAY_BEGIN, token_at,
                      JSON_FIRST);
}

/* The bracket was taken. */
static int json_close(vs_json *r) {
    int token = json_in_object(r) ? VS_JSON_OBJECT_END : VS_JSON_ARRAY_END;
    r->open >>= 1;
    r->depth--;
    return json_token(r, token, r->at - 1, JSON_BEHIND);
}

static int json_name(vs_json *r) {
    size_t token_at = r->at;
    if (!json_take(r, '"'))
        return json_fail(r, VS_ERR_INVALID, "a string");
    if (!json_take_string(r))
        return VS_JSON_ERROR;
    json_token(r, VS_JSON_NAME, token_at, JSON_VALUE);
    json_skip_space(r);
    return json_take(r, ':') ? VS_JSON_NAME : json_fail(r, VS_ERR_INVALID, "':'");
}

static int json_word(vs_json *r, const char *word, size_t n, int token) {
    size_t token_at = r->at;
    if (n > r->bytes - r->at || memcmp(r->text + r->at, word, n))
        return json_fail(r, VS_ERR_INVALID, "a value");
    r->at += n;
    return json_token(r, token, token_at, JSON_BEHIND);
}

static int json_number(vs_json *r) {
    size_t token_at = r->at;
    vsi_decimal decimal;
    const char *expected =
        vsi_decimal_read((const uint8_t *)r->text + token_at, r->bytes - token_at, &decimal);
    r->at += decimal.bytes;
    if (expected)
        return json_fail(r, VS_ERR_INVALID, expected);
    return json_token(r, VS_JSON_NUMBER, token_at, JSON_BEHIND);
}

static int json_string(vs_json *r) {
    size_t token_at = r->at++;
    return json_take_string(r) ? json_token(r, VS_JSON_STRING, token_at, JSON_BEHIND)
                               : VS_JSON_ERROR;
}

static int json_value(vs_json *r) {
    json_skip_space(r);
    switch (json_peek(r)) {
    case '{':
        return json_open(r, true);
    case '[':
        return json_open(r, false);
    case '"':
        return json_string(r);
    case 't':
        return json_word(r, "true", 4, VS_JSON_TRUE);
    case 'f':
        return json_word(r, "false", 5, VS_JSON_FALSE);
    case 'n':
        return json_word(r, "null", 4, VS_JSON_NULL);
    default:
        return json_number(r);
    }
}

static int json_end(vs_json *r) {
    return json_token(r, VS_JSON_END, r->at, JSON_ENDED);
}

/* Behind a value that is in nothing else, or in front of a stream. */
static int json_between(vs_json *r) {
    bool is_closed = r->token == VS_JSON_OBJECT_END || r->token == VS_JSON_ARRAY_END;
    size_t behind = r->at;
    json_skip_space(r);
    if (r->at == r->bytes)
        return json_end(r);
    if (!(r->flags & VS_JSON_STREAM))
        return json_fail(r, VS_ERR_INVALID, "the end of the text");
    if (r->at == behind && !is_closed && behind > 0)
        return json_fail(r, VS_ERR_INVALID, "white space between two values");
    return json_value(r);
}

static int json_behind(vs_json *r) {
    if (r->depth == 0)
        return json_between(r);
    json_skip_space(r);
    if (json_take(r, ',')) {
        json_skip_space(r);
        return json_in_object(r) ? json_name(r) : json_value(r);
    }
    if (json_take(r, json_in_object(r) ? '}' : ']'))
        return json_close(r);
    return json_fail(r, VS_ERR_INVALID, json_in_object(r) ? "',' or '}'" : "',' or ']'");
}

static int json_first(vs_json *r) {
    json_skip_space(r);
    if (json_take(r, json_in_object(r) ? '}' : ']'))
        return json_close(r);
    return json_in_object(r) ? json_name(r) : json_value(r);
}

VSI_FN void vsi_json_begin(vs_json *reader, const char *text, size_t n, uint32_t flags) {
    *reader = (vs_json){.text = text,
                        .bytes = n,
                        .expected = "",
                        .flags = flags,
                        .state = flags & VS_JSON_STREAM ? JSON_BEHIND : JSON_VALUE};
}

VSI_FN int vsi_json_next(vs_json *r) {
    switch (r->state) {
    case JSON_VALUE:
        return json_value(r);
    case JSON_FIRST:
        return json_first(r);
    case JSON_BEHIND:
        return json_behind(r);
    default:
        return r->token;
    }
}

VSI_FN int vsi_json_skip(vs_json *r) {
    if (r->token == VS_JSON_END || r->token == VS_JSON_NAME)
        vsi_json_next(r);
    if (r->state != JSON_FIRST)
        return r->token;
    size_t token_at = r->token_at;
    int32_t depth = r->depth;
    while (r->token > VS_JSON_END && r->depth >= depth)
        vsi_json_next(r);
    return r->token > VS_JSON_END ? json_token(r, r->token, token_at, JSON_BEHIND) : r->token;
}

/* ---- arrays of numbers ---------------------------------------------------------------------- */

/* The number at r->at into *out. */
static bool json_take_float(vs_json *r, float *out) {
    vsi_decimal decimal;
    const char *expected =
        vsi_decimal_read((const uint8_t *)r->text + r->at, r->bytes - r->at, &decimal);
    if (expected) {
        bool has_begun = decimal.bytes > decimal.is_negative;
        r->at += has_begun ? decimal.bytes : 0;
        return json_expected(r, has_begun ? expected : "a number");
    }
    *out = vsi_decimal_to_float(&decimal);
    if (isinf(*out)) {
        json_fail(r, VS_ERR_LIMIT, "a number within the range of float");
        return false;
    }
    r->at += decimal.bytes;
    return true;
}

enum { JSON_MISSES = 4 };

/* Elements that vsi_float_take knows, behind each a comma and at most a blank, as far as they go: they are most of a
 * vector. Element number at is the first one; returns the number of the first that is left. */
static size_t json_take_floats(vs_json *r, float *out, size_t room, size_t at) {
    const uint8_t *p = (const uint8_t *)r->text + r->at;
    size_t left = r->bytes - r->at;
    for (;; at++) {
        float value;
        size_t bytes = vsi_float_take(p, left, &value);
        if (!bytes || p[bytes] != ',')
            break;
        bytes++;
        if (p[bytes] == ' ')
            bytes++;
        if (at < room)
            out[at] = value;
        p += bytes;
        left -= bytes;
    }
    r->at = r->bytes - left;
    return at;
}

VSI_FN vs_status vsi_json_floats(vs_json *r, float *out, size_t room, size_t *out_count) {
    vsi_assert(r->token == VS_JSON_ARRAY_BEGIN);
    size_t token_at = r->token_at, count = 0, taken = 0, misses = 0;
    json_skip_space(r);
    for (bool is_end = json_take(r, ']'); !is_end; count++) {
        float value;
        json_skip_space(r);
        if (misses <=
            JSON_MISSES + taken / 2) { /* no more where others are most, such as integers */
            size_t next = json_take_floats(r, out, room, count);
            misses += next == count;
            taken += next - count;
            count = next;
            json_skip_space(r);
        }
        if (!json_take_float(r, &value))
            return r->status;
        if (count < room)
            out[count] = value;
        json_skip_space(r);
        is_end = json_take(r, ']');
        if (!is_end && !json_take(r, ',')) {
            json_expected(r, "',' or ']'");
            return r->status;
        }
    }
    json_close(r);
    json_token(r, r->token, token_at, JSON_BEHIND);
    *out_count = count;
    return VS_OK;
}

/* ---- objects -------------------------------------------------------------------------------- */

static vs_status json_object_fail(vsi_err *err, const vs_json *r, const char *expected) {
    if (!vsi_utf8_is_valid((const uint8_t *)r->text, r->bytes))
        return vsi_fail(err, VS_ERR_INVALID, "metadata: not well-formed UTF-8");
    if (r->status == VS_ERR_LIMIT)
        return vsi_fail(err, VS_ERR_LIMIT, "metadata: nested deeper than %d at byte %zu",
                        VSI_JSON_DEPTH_MAX, r->at);
    return vsi_fail(err, VS_ERR_INVALID, "metadata: expected %s at byte %zu of %zu", expected,
                    r->at, r->bytes);
}

VSI_FN vs_status vsi_json_check_object(vsi_err *err, const char *text, size_t n) {
    vs_json r;
    vsi_json_begin(&r, text, n, 0);
    json_skip_space(&r);
    if (json_peek(&r) != '{')
        return json_object_fail(err, &r, "a JSON object, '{',");
    if (vsi_json_skip(&r) == VS_JSON_ERROR)
        return json_object_fail(err, &r, r.expected);
    json_skip_space(&r);
    return r.at == n ? VS_OK : json_object_fail(err, &r, "nothing after the object");
}

/* ---- writing -------------------------------------------------------------------------------- */

VSI_FN void vsi_json_put(vsi_json_out *out, const void *data, size_t n) {
    size_t room = out->bytes < out->room ? out->room - out->bytes : 0;
    if (room && n)
        memmove(out->data + out->bytes, data, n < room ? n : room); /* compacting in place */
    out->bytes += n;
}

/* One character in UTF-8. */
static void json_put_code(vsi_json_out *out, uint32_t code) {
    uint8_t text[4] = {(uint8_t)code};
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; n > 1 && i-- > 0; code >>= 6)
        text[i] = (uint8_t)(i ? 0x80 | (code & 0x3f) : lead[n] | code);
    vsi_json_put(out, text, n);
}

static uint32_t json_hex4(const uint8_t *p) {
    uint32_t code = 0;
    for (int i = 0; i < 4; i++)
        code = code << 4 | (uint32_t)json_hex(p[i]);
    return code;
}

VSI_FN size_t vsi_json_escape(const uint8_t *p, uint32_t *out_code) {
    static const char letters[] = "bfnrt", codes[] = "\b\f\n\r\t";
    const char *found = strchr(letters, p[1]);
    *out_code = found ? (uint8_t)codes[found - letters] : p[1];
    if (p[1] != 'u')
        return 2;
    *out_code = json_hex4(p + 2);
    if (*out_code < 0xd800 || *out_code > 0xdfff)
        return 6;
    *out_code = 0x10000 + ((*out_code - 0xd800) << 10) + (json_hex4(p + 8) - 0xdc00);
    return 12;
}

VSI_FN void vsi_json_put_decoded(vsi_json_out *out, const uint8_t *text, size_t n) {
    for (const uint8_t *p = text, *end = text + n; p < end;) {
        const uint8_t *escape = memchr(p, '\\', (size_t)(end - p));
        const uint8_t *stop = escape ? escape : end;
        uint32_t code;
        vsi_json_put(out, p, (size_t)(stop - p));
        if (!escape)
            return;
        p = escape + vsi_json_escape(escape, &code); /* J3 */
        json_put_code(out, code);
    }
}

static void json_put_escape(vsi_json_out *out, uint8_t c) {
    static const char letters[] = "btnfr\"\\", codes[] = "\b\t\n\f\r\"\\";
    static const char hex[] = "0123456789abcdef";
    const char *found = c ? strchr(codes, c) : NULL;
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    if (found)
        text[1] = letters[found - codes];
    vsi_json_put(out, text, found ? 2 : 6);
}

VSI_FN void vsi_json_put_string(vsi_json_out *out, const uint8_t *text, size_t n) {
    const uint8_t *done = text, *end = text + n;
    vsi_json_put(out, "\"", 1);
    for (const uint8_t *p = text; p < end; p++) {
        if (*p >= 0x20 && *p != '"' && *p != '\\')
            continue;
        vsi_json_put(out, done, (size_t)(p - done));
        json_put_escape(out, *p);
        done = p + 1;
    }
    vsi_json_put(out, done, (size_t)(end - done));
    vsi_json_put(out, "\"", 1);
}

/* Behind the string that begins at p; it was read, so it ends. */
static const uint8_t *json_string_end(const uint8_t *p) {
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p + 1;
}

VSI_FN void vsi_json_put_compact(vsi_json_out *out, const uint8_t *text, size_t n) {
    const uint8_t *done = text, *end = text + n;
    for (const uint8_t *p = text; p < end;) {
        if (*p == '"') {
            p = json_string_end(p);
            continue;
        }
        if (!json_is_space(*p++))
            continue;
        vsi_json_put(out, done, (size_t)(p - 1 - done));
        while (p < end && json_is_space(*p))
            p++;
        done = p;
    }
    vsi_json_put(out, done, (size_t)(end - done));
}
/* ---- base/patch.h ---------------------------------------------------------------------------------- */
/* patch.h - merge patches of JSON (RFC 7396). */
#ifndef VSI_PATCH_H
#define VSI_PATCH_H

/* uses base/bytes.h */
/* uses base/json.h */
/* uses base/mem.h */

/* Writes what a patch makes of a target, both any JSON value, without insignificant white space: at most as many
 * bytes as both have. Members keep the target's order, and its spelling of their names; new ones follow in the
 * patch's. Of members of one name the last one counts, the others vanish; arrays are taken as they are.
 *
 * Time: O(n log n) comparisons of names for n members, each as long as the shorter name. Memory: at most 100 bytes for each
 * member, from mem, while it works. VS_ERR_INVALID and VS_ERR_LIMIT (nested too deep; 4 GiB) name the text, the
 * offset and what was expected; VS_ERR_NOMEM. */
VSI_FN vs_status vsi_patch_merge(vsi_err *err, vsi_mem *mem, vsi_bytes target, vsi_bytes patch,
                                 vsi_json_out *out);

#endif
/* ---- base/patch.c ---------------------------------------------------------------------------------- */
/* patch.c - merge patches of JSON (RFC 7396), without recursion.
 *
 * Both texts are read once into lists of members. Sorting the lists brings members of one object and name
 * together; so doubles are found, and the members that an object of the target and one of the patch have in
 * common by walking both at once.
 *
 *   P1  Members stand in the order of the text, each in front of those of its value: [at + 1, end) is what
 *       is in it. Member 0 is the whole text and has no name. Objects in arrays are no part of the list.
 *   P2  `order` is sorted by parent, name, and place in the text; the members of one object are adjacent. */
/* uses base/patch.h */

#define PATCH_NONE UINT32_MAX

typedef struct patch_member {
    uint32_t name_at, name_bytes;   /* between the quotes */
    uint32_t value_at, value_bytes; /* of an object: its bracket */
    uint32_t parent, end;           /* members */
    uint32_t first, count;          /* of an object: its members in `order` */
    uint32_t match;                 /* target: the patch's member of this name, or PATCH_NONE */
    bool is_object, is_null;        /* its value */
    bool has_escape;                /* its name */
    bool is_done; /* another one of this name follows, or, in a patch, was matched */
} patch_member;

typedef struct patch_side {
    const char *what;
    const uint8_t *text;
    vsi_buf buf;          /* owns member */
    patch_member *member; /* [count] */
    uint32_t *order;      /* [2 * count] owned; the second half is scratch */
    uint32_t count;
} patch_side;

/* ---- reading -------------------------------------------------------------------------------- */

static vs_status patch_fail(vsi_err *err, const patch_side *side, const vs_json *r) {
    return vsi_fail(err, r->status, "%s: expected %s at byte %zu of %zu", side->what, r->expected,
                    r->at, r->bytes);
}

/* Appends the member whose value the reader has come to; NULL without memory. */
static patch_member *patch_add(patch_side *side, const vs_json *r, uint32_t parent) {
    patch_member *m = NULL;
    if (!vsi_buf_reserve(&side->buf, sizeof *m))
        return NULL;
    side->buf.bytes += sizeof *m;
    side->member = (patch_member *)(void *)side->buf.data;
    m = &side->member[side->count++];
    *m = (patch_member){.value_at = (uint32_t)r->token_at,
                        .value_bytes = (uint32_t)r->token_bytes,
                        .parent = parent,
                        .end = side->count,
                        .match = PATCH_NONE,
                        .is_object = r->token == VS_JSON_OBJECT_BEGIN,
                        .is_null = r->token == VS_JSON_NULL};
    return m;
}

/* The next member of the object `parent`, or the first value of the text, with its name. */
static vs_status patch_take(vsi_err *err, patch_side *side, vs_json *r, uint32_t parent) {
    size_t name_at = r->token_at + 1,
           name_bytes = r->token == VS_JSON_NAME ? r->token_bytes - 2 : 0;
    vsi_json_next(r);
    if (r->token == VS_JSON_ARRAY_BEGIN)
        vsi_json_skip(r);
    if (r->token == VS_JSON_ERROR)
        return patch_fail(err, side, r);
    patch_member *m = patch_add(side, r, parent);
    if (!m)
        return vsi_fail_nomem(err, side->buf.cap * 2);
    m->name_at = (uint32_t)name_at;
    m->name_bytes = (uint32_t)name_bytes;
    m->has_escape = name_bytes && memchr(side->text + name_at, '\\', name_bytes);
    return VS_OK;
}

static vs_status patch_read(vsi_err *err, patch_side *side, vsi_bytes text) {
    vs_json r;
    uint32_t open[VSI_JSON_DEPTH_MAX + 1] = {0}; /* the member of each open object */
    if (text.bytes >= UINT32_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "%s: %zu bytes, the limit is 4 GiB", side->what,
                        text.bytes);
    vsi_json_begin(&r, (const char *)text.data, text.bytes, 0);
    do {
        if (r.token == VS_JSON_OBJECT_END) {
            patch_member *object = &side->member[open[r.depth + 1]];
            object->end = side->count; /* keeps P1 */
        } else {
            vs_status st = patch_take(err, side, &r, open[r.depth]);
            if (st != VS_OK)
                return st;
            if (r.token == VS_JSON_OBJECT_BEGIN)
                open[r.depth] = side->count - 1;
        }
        vsi_json_next(&r);
    } while (r.token > VS_JSON_END);
    return r.token == VS_JSON_END ? VS_OK : patch_fail(err, side, &r);
}

/* ---- names ---------------------------------------------------------------------------------- */

/* The character at *p, an escape resolved. Code points are in the order of their UTF-8. */
static uint32_t patch_next_code(const uint8_t **p, const uint8_t *end) {
    const uint8_t *at = *p;
    uint32_t code = *at;
    size_t n = *at == '\\' ? vsi_json_escape(at, &code) : vsi_utf8_sequence(at, (size_t)(end - at));
    if (*at != '\\' && n > 1)
        code &= 0x7fu >> n;
    for (size_t i = 1; *at != '\\' && i < n; i++)
        code = code << 6 | (at[i] & 0x3fu);
    *p = at + n;
    return code;
}

static int patch_compare_codes(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes) {
    const uint8_t *a_end = a + a_bytes, *b_end = b + b_bytes;
    while (a < a_end && b < b_end) {
        uint32_t a_code = patch_next_code(&a, a_end), b_code = patch_next_code(&b, b_end);
        if (a_code != b_code)
            return a_code < b_code ? -1 : 1;
    }
    return a < a_end ? 1 : b < b_end ? -1 : 0;
}

/* Names as they are meant: "\u0061" is "a". */
static int patch_compare(const patch_side *a_side, const patch_member *a, const patch_side *b_side,
                         const patch_member *b) {
    const uint8_t *a_name = a_side->text + a->name_at, *b_name = b_side->text + b->name_at;
    if (a->has_escape || b->has_escape)
        return patch_compare_codes(a_name, a->name_bytes, b_name, b->name_bytes);
    size_t shorter = a->name_bytes < b->name_bytes ? a->name_bytes : b->name_bytes;
    int result = shorter ? memcmp(a_name, b_name, shorter) : 0;
    return result ? result : a->name_bytes < b->name_bytes ? -1 : a->name_bytes > b->name_bytes;
}

/* Whether a may stand in front of b in `order`. */
static bool patch_is_ordered(const patch_side *side, uint32_t a_at, uint32_t b_at) {
    const patch_member *a = &side->member[a_at], *b = &side->member[b_at];
    return a->parent != b->parent ? a->parent < b->parent : patch_compare(side, a, side, b) <= 0;
}

/* Merges the sorted runs [low, middle) and [middle, high) of from into to. */
static void patch_merge_runs(const patch_side *side, const uint32_t *from, uint32_t *to,
                             uint32_t low, uint32_t middle, uint32_t high) {
    uint32_t left = low, right = middle;
    for (uint32_t at = low; at < high; at++) {
        bool takes_left =
            left < middle && (right == high || patch_is_ordered(side, from[left], from[right]));
        to[at] = takes_left ? from[left++] : from[right++];
    }
}

/* Merge sort from runs of one upwards, stable; keeps P2. */
static void patch_sort(patch_side *side) {
    uint32_t n = side->count, *from = side->order, *to = side->order + n;
    for (uint64_t run = 1; run < n; run *= 2) {
        for (uint64_t low = 0; low < n; low += 2 * run) {
            uint64_t middle = low + run < n ? low + run : n;
            uint64_t high = middle + run < n ? middle + run : n;
            patch_merge_runs(side, from, to, (uint32_t)low, (uint32_t)middle, (uint32_t)high);
        }
        uint32_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != side->order)
        memcpy(side->order, from, n * sizeof *from);
}

/* Sorts, marks doubles, and tells each object where its members are. */
static vs_status patch_index(vsi_err *err, patch_side *side) {
    size_t bytes = 2 * side->count * sizeof *side->order;
    side->order = vsi_alloc(side->buf.mem, bytes);
    if (!side->order)
        return vsi_fail_nomem(err, bytes);
    for (uint32_t i = 0; i < side->count; i++)
        side->order[i] = i;
    patch_sort(side);
    for (uint32_t i = 0; i < side->count; i++) {
        uint32_t at = side->order[i];
        if (at == 0)
            continue; /* the whole text is nobody's member */
        patch_member *m = &side->member[at], *parent = &side->member[m->parent];
        parent->first = parent->count++ ? parent->first : i;
        if (i + 1 < side->count) {
            const patch_member *next = &side->member[side->order[i + 1]];
            m->is_done = next->parent == m->parent && !patch_compare(side, m, side, next);
        }
    }
    return VS_OK;
}

/* ---- merging -------------------------------------------------------------------------------- */

/* An object that is being written: what an object of the patch makes of one of the target. */
typedef struct patch_frame {
    uint32_t target, patch; /* members whose values they are, or PATCH_NONE */
    uint32_t next;          /* the member to be written next: of the target, then of the patch */
    bool in_patch;
    bool has_members; /* something was written */
} patch_frame;

typedef struct patch_merge {
    patch_side target, patch;
    patch_frame frame[VSI_JSON_DEPTH_MAX];
    int depth;
    vsi_json_out *out;
} patch_merge;

/* Matches the members of an object with those of the patch for it. */
static void patch_join(patch_merge *merge, const patch_member *target, const patch_member *patch) {
    uint32_t i = 0, j = 0;
    while (i < target->count && j < patch->count) {
        uint32_t j_at = merge->patch.order[patch->first + j];
        patch_member *a = &merge->target.member[merge->target.order[target->first + i]];
        patch_member *b = &merge->patch.member[j_at];
        int order = a->is_done   ? -1
                    : b->is_done ? 1
                                 : patch_compare(&merge->target, a, &merge->patch, b);
        if (order == 0) {
            a->match = j_at;
            b->is_done = true;
        }
        i += order <= 0;
        j += order >= 0;
    }
}

/* Begins an object. Every level of it is one of the target or of the patch, so the limit holds. */
static void patch_open(patch_merge *merge, uint32_t target, uint32_t patch) {
    vsi_assert(merge->depth < VSI_JSON_DEPTH_MAX);
    vsi_assert(target != PATCH_NONE || patch != PATCH_NONE);
    if (target != PATCH_NONE && patch != PATCH_NONE)
        patch_join(merge, &merge->target.member[target], &merge->patch.member[patch]);
    patch_frame *f = &merge->frame[merge->depth++];
    *f = (patch_frame){.target = target, .patch = patch, .in_patch = target == PATCH_NONE};
    f->next = (f->in_patch ? patch : target) + 1;
    vsi_json_put(merge->out, "{", 1);
}

/* The value of a member of the target, or PATCH_NONE, and of the one that the patch has for it, likewise.
 */
static void patch_put_value(patch_merge *merge, uint32_t target, uint32_t patch) {
    const patch_side *side = patch != PATCH_NONE ? &merge->patch : &merge->target;
    const patch_member *m = &side->member[patch != PATCH_NONE ? patch : target];
    bool keeps_target = target != PATCH_NONE && merge->target.member[target].is_object;
    if (m->is_object)
        patch_open(merge, keeps_target ? target : PATCH_NONE, patch);
    else
        vsi_json_put_compact(merge->out, side->text + m->value_at, m->value_bytes);
}

static void patch_put_name(patch_merge *merge, patch_frame *f, const patch_side *side,
                           const patch_member *m) {
    if (f->has_members)
        vsi_json_put(merge->out, ",", 1);
    f->has_members = true;
    vsi_json_put(merge->out, side->text + m->name_at - 1, m->name_bytes + (size_t)2);
    vsi_json_put(merge->out, ":", 1);
}

/* Writes the next member of an object of the target, unless the patch deletes it. */
static void patch_put_of_target(patch_merge *merge, patch_frame *f) {
    uint32_t at = f->next;
    const patch_member *m = &merge->target.member[at];
    f->next = m->end;
    if (m->is_done || (m->match != PATCH_NONE && merge->patch.member[m->match].is_null))
        return;
    patch_put_name(merge, f, &merge->target, m);
    patch_put_value(merge, at, m->match);
}

/* Writes the next member of an object of the patch, unless it deletes something or was matched. */
static void patch_put_of_patch(patch_merge *merge, patch_frame *f) {
    uint32_t at = f->next;
    const patch_member *m = &merge->patch.member[at];
    f->next = m->end;
    if (m->is_done || m->is_null)
        return;
    patch_put_name(merge, f, &merge->patch, m);
    patch_put_value(merge, PATCH_NONE, at);
}

static void patch_put(patch_merge *merge) {
    patch_put_value(merge, 0, 0);
    while (merge->depth > 0) {
        patch_frame *f = &merge->frame[merge->depth - 1];
        const patch_side *side = f->in_patch ? &merge->patch : &merge->target;
        bool is_end = f->next == side->member[f->in_patch ? f->patch : f->target].end;
        if (!is_end && f->in_patch) {
            patch_put_of_patch(merge, f);
        } else if (!is_end) {
            patch_put_of_target(merge, f);
        } else if (!f->in_patch && f->patch != PATCH_NONE) {
            f->in_patch = true;
            f->next = f->patch + 1;
        } else {
            vsi_json_put(merge->out, "}", 1);
            merge->depth--;
        }
    }
}

static void patch_free(patch_side *side) {
    vsi_free(side->buf.mem, side->order, 2 * side->count * sizeof *side->order);
    vsi_buf_free(&side->buf);
}

static vs_status patch_load(vsi_err *err, patch_side *side, vsi_bytes text) {
    vs_status st = patch_read(err, side, text);
    return st == VS_OK ? patch_index(err, side) : st;
}

VSI_FN vs_status vsi_patch_merge(vsi_err *err, vsi_mem *mem, vsi_bytes target, vsi_bytes patch,
                                 vsi_json_out *out) {
    patch_merge merge = {
        .target = {.what = "metadata", .text = target.data, .buf = {.mem = mem}},
        .patch = {.what = "patch", .text = patch.data, .buf = {.mem = mem}},
        .out = out,
    };
    vs_status st = patch_load(err, &merge.target, target);
    if (st == VS_OK)
        st = patch_load(err, &merge.patch, patch);
    if (st == VS_OK)
        patch_put(&merge);
    patch_free(&merge.target);
    patch_free(&merge.patch);
    return st;
}
/* ---- base/poison.h ---------------------------------------------------------------------------------- */
/* poison.h - from here on memory comes from base/mem alone; anything else does not compile. */
#if defined(VSI_AMALGAMATION) && defined(__GNUC__)
#pragma GCC poison malloc calloc free
#endif
/* ---- os/file.h ---------------------------------------------------------------------------------- */
/* file.h - files through a vs_vfs: whole transfers, retries, and messages that name the file. */
#ifndef VSI_FILE_H
#define VSI_FILE_H

/* uses base/mem.h */

enum {
    VSI_PATH_BYTES_MAX = 4096,
    VSI_NAME_BYTES_MAX = 230 /* 255, what file systems take, less "-wal-" and a number */
};

/* A VFS call that is interrupted this often in a row fails. */
enum { VSI_INTERRUPTS_MAX = 100 };

typedef struct vsi_file {
    const vs_vfs *vfs; /* borrowed; NULL: not open */
    vsi_mem *mem;      /* borrowed */
    void *handle;
    char *path;                   /* owned */
    vsi_atomic_u64 *failed_syncs; /* borrowed, counted up; NULL: nobody wants to know */
} vsi_file;

/* mode is VS_VFS_... The file is all zero (not open) on failure. */
VSI_FN vs_status vsi_file_open(vsi_err *err, vsi_mem *mem, const vs_vfs *vfs, const char *path,
                               uint32_t mode, vsi_file *out_file);
VSI_FN void vsi_file_close(vsi_file *file); /* accepts one that is not open */
VSI_FN bool vsi_file_is_open(const vsi_file *file);

/* Reads until bytes are there or the file ends; out_bytes tells which. */
VSI_FN vs_status vsi_file_read(vsi_err *err, const vsi_file *file, void *buf, size_t bytes,
                               uint64_t offset, size_t *out_bytes);
VSI_FN vs_status vsi_file_write(vsi_err *err, const vsi_file *file, const void *buf, size_t bytes,
                                uint64_t offset);
VSI_FN vs_status vsi_file_size(vsi_err *err, const vsi_file *file, uint64_t *out_bytes);
VSI_FN vs_status vsi_file_truncate(vsi_err *err, const vsi_file *file, uint64_t bytes);
/* Reserves space below bytes, and spare bytes more if the device has them. io_owned is what the file is known
 * to own, UINT64_MAX: nobody knows, which it becomes where the VFS cannot reserve. VS_ERR_FULL. */
VS_NODISCARD VSI_FN vs_status vsi_file_reserve(vsi_err *err, const vsi_file *file, uint64_t bytes,
                                               uint64_t spare, uint64_t *io_owned);
VSI_FN vs_status vsi_file_sync(vsi_err *err, const vsi_file *file);
VSI_FN vs_status vsi_file_lock(vsi_err *err, const vsi_file *file, int kind);
/* Maps [offset, offset + bytes), inside the file, for reading. A failure only means that it must be read:
 * there is no message. */
VS_NODISCARD VSI_FN vs_status vsi_file_map(const vsi_file *file, uint64_t offset, size_t bytes,
                                           const void **out);
VSI_FN void vsi_file_unmap(const vsi_file *file, const void *address, size_t bytes);
/* sector_bytes and blast_bytes are powers of two from 512 to 64 KiB, whatever the VFS says. */
VSI_FN vs_status vsi_file_device_info(vsi_err *err, const vsi_file *file, vs_device_info *out_info);

VSI_FN vs_status vsi_os_remove(vsi_err *err, const vs_vfs *vfs, const char *path);
VSI_FN vs_status vsi_os_sync_dir(vsi_err *err, const vs_vfs *vfs, const char *path);
VSI_FN vs_status vsi_os_full_path(vsi_err *err, const vs_vfs *vfs, const char *path, char *out,
                                  size_t out_bytes);
VSI_FN vs_status vsi_os_random(vsi_err *err, const vs_vfs *vfs, void *buf, size_t bytes);

#endif
/* ---- os/file.c ---------------------------------------------------------------------------------- */
/* file.c - files through a vs_vfs.
 *
 *   F1  A VFS function that reports VS_ERR_INTERRUPTED is called again, VSI_INTERRUPTS_MAX
 *       times.
 *   F2  A transfer that moved fewer bytes than asked goes on; one that moves none is an error. */
/* uses os/file.h */

static bool file_again(vs_status st, int *interrupts) {
    return st == VS_ERR_INTERRUPTED && ++*interrupts < VSI_INTERRUPTS_MAX; /* keeps F1 */
}

/* Words a VFS failure. An unspecific VS_ERR_IO becomes the extended code of the operation. */
static vs_status file_fail(vsi_err *err, vs_status st, vs_status io_code, const char *doing,
                           const char *path, const char *why) {
    if (st == VS_ERR_INTERRUPTED) {
        st = io_code;
        why = "interrupted without end";
    }
    return vsi_fail(err, st == VS_ERR_IO ? io_code : st, "%s %s: %s", doing, path,
                    why[0] ? why : vsi_status_name(st));
}

VSI_FN vs_status vsi_file_open(vsi_err *err, vsi_mem *mem, const vs_vfs *vfs, const char *path,
                               uint32_t mode, vsi_file *out_file) {
    memset(out_file, 0, sizeof *out_file);
    size_t path_bytes = strlen(path) + 1;
    char *copy = vsi_alloc(mem, path_bytes);
    if (!copy)
        return vsi_fail_nomem(err, path_bytes);
    memcpy(copy, path, path_bytes);
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    void *handle = NULL;
    vs_status st = VS_OK;
    do
        st = vfs->open(vfs->ctx, path, mode, &handle, why);
    while (file_again(st, &interrupts));
    if (st != VS_OK) {
        vsi_free(mem, copy, path_bytes);
        return file_fail(err, st, VS_ERR_IO_OPEN, "open", path, why);
    }
    *out_file = (vsi_file){.vfs = vfs, .mem = mem, .handle = handle, .path = copy};
    return VS_OK;
}

VSI_FN void vsi_file_close(vsi_file *file) {
    if (!file->vfs)
        return;
    file->vfs->close(file->vfs->ctx, file->handle);
    vsi_free(file->mem, file->path, strlen(file->path) + 1);
    memset(file, 0, sizeof *file);
}

VSI_FN bool vsi_file_is_open(const vsi_file *file) {
    return file->vfs != NULL;
}

VSI_FN vs_status vsi_file_read(vsi_err *err, const vsi_file *file, void *buf, size_t bytes,
                               uint64_t offset, size_t *out_bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    size_t done = 0;
    int interrupts = 0;
    while (done < bytes) {
        size_t moved = 0;
        vs_status st = file->vfs->read(file->vfs->ctx, file->handle, (uint8_t *)buf + done,
                                       bytes - done, offset + done, &moved, why);
        if (file_again(st, &interrupts))
            continue;
        if (st != VS_OK)
            return file_fail(err, st, VS_ERR_IO_READ, "read", file->path, why);
        interrupts = 0;
        if (moved == 0)
            break;
        done += moved; /* keeps F2 */
    }
    *out_bytes = done;
    return VS_OK;
}

VSI_FN vs_status vsi_file_write(vsi_err *err, const vsi_file *file, const void *buf, size_t bytes,
                                uint64_t offset) {
    char why[VS_VFS_WHY_BYTES] = "";
    size_t done = 0;
    int interrupts = 0;
    while (done < bytes) {
        size_t moved = 0;
        vs_status st = file->vfs->write(file->vfs->ctx, file->handle, (const uint8_t *)buf + done,
                                        bytes - done, offset + done, &moved, why);
        if (file_again(st, &interrupts))
            continue;
        if (st != VS_OK)
            return file_fail(err, st, VS_ERR_IO_WRITE, "write", file->path, why);
        interrupts = 0;
        if (moved == 0)
            return file_fail(err, VS_ERR_IO, VS_ERR_IO_WRITE, "write", file->path, "no progress");
        done += moved; /* keeps F2 */
    }
    return VS_OK;
}

VSI_FN vs_status vsi_file_size(vsi_err *err, const vsi_file *file, uint64_t *out_bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->file_size(file->vfs->ctx, file->handle, out_bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_SIZE, "size of", file->path, why);
}

VSI_FN vs_status vsi_file_truncate(vsi_err *err, const vsi_file *file, uint64_t bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->truncate(file->vfs->ctx, file->handle, bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_TRUNCATE, "truncate", file->path, why);
}

static vs_status file_allocate(vsi_err *err, const vsi_file *file, uint64_t bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->allocate(file->vfs->ctx, file->handle, bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK
               ? st
               : file_fail(err, st, VS_ERR_IO_ALLOCATE, "reserve space in", file->path, why);
}

VSI_FN vs_status vsi_file_reserve(vsi_err *err, const vsi_file *file, uint64_t bytes,
                                  uint64_t spare, uint64_t *io_owned) {
    uint64_t owned = bytes + spare;
    if (bytes <= *io_owned)
        return VS_OK;
    vs_status st = file_allocate(err, file, owned);
    if (st == VS_ERR_FULL) {
        owned = bytes;
        st = file_allocate(err, file, owned);
    }
    if (st == VS_ERR_UNSUPPORTED) {
        owned = UINT64_MAX;
        st = VS_OK;
    }
    if (st == VS_OK)
        *io_owned = owned;
    return st;
}

VSI_FN vs_status vsi_file_sync(vsi_err *err, const vsi_file *file) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->sync(file->vfs->ctx, file->handle, why);
    while (file_again(st, &interrupts));
    if (st != VS_OK && file->failed_syncs)
        vsi_atomic_add(file->failed_syncs, 1);
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_SYNC, "sync", file->path, why);
}

VSI_FN vs_status vsi_file_lock(vsi_err *err, const vsi_file *file, int kind) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->lock(file->vfs->ctx, file->handle, kind, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_LOCK, "lock", file->path, why);
}

VSI_FN vs_status vsi_file_map(const vsi_file *file, uint64_t offset, size_t bytes,
                              const void **out) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = file->vfs->map(file->vfs->ctx, file->handle, offset, bytes, out, why);
    while (file_again(st, &interrupts));
    return st;
}

VSI_FN void vsi_file_unmap(const vsi_file *file, const void *address, size_t bytes) {
    file->vfs->unmap(file->vfs->ctx, file->handle, address, bytes);
}

static uint32_t file_clamp_unit(uint32_t bytes) {
    uint32_t unit = 512;
    while (unit < bytes && unit < 65536)
        unit *= 2;
    return unit;
}

VSI_FN vs_status vsi_file_device_info(vsi_err *err, const vsi_file *file,
                                      vs_device_info *out_info) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_device_info info = {0};
    vs_status st = VS_OK;
    do
        st = file->vfs->device_info(file->vfs->ctx, file->handle, &info, why);
    while (file_again(st, &interrupts));
    if (st != VS_OK)
        return file_fail(err, st, VS_ERR_IO, "device of", file->path, why);
    out_info->sector_bytes = file_clamp_unit(info.sector_bytes);
    out_info->blast_bytes = file_clamp_unit(info.blast_bytes);
    return VS_OK;
}

VSI_FN vs_status vsi_os_remove(vsi_err *err, const vs_vfs *vfs, const char *path) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = vfs->remove(vfs->ctx, path, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_DELETE, "delete", path, why);
}

VSI_FN vs_status vsi_os_sync_dir(vsi_err *err, const vs_vfs *vfs, const char *path) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = vfs->sync_dir(vfs->ctx, path, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st
                       : file_fail(err, st, VS_ERR_IO_SYNC_DIR, "sync the folder of", path, why);
}

VSI_FN vs_status vsi_os_full_path(vsi_err *err, const vs_vfs *vfs, const char *path, char *out,
                                  size_t out_bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = vfs->full_path(vfs->ctx, path, out, out_bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO_OPEN, "open", path, why);
}

VSI_FN vs_status vsi_os_random(vsi_err *err, const vs_vfs *vfs, void *buf, size_t bytes) {
    char why[VS_VFS_WHY_BYTES] = "";
    int interrupts = 0;
    vs_status st = VS_OK;
    do
        st = vfs->random(vfs->ctx, buf, bytes, why);
    while (file_again(st, &interrupts));
    return st == VS_OK ? st : file_fail(err, st, VS_ERR_IO, "read", "random numbers", why);
}
/* ---- os/posix.h ---------------------------------------------------------------------------------- */
/* posix.h - the operating system's files. */
#ifndef VSI_OS_POSIX_H
#define VSI_OS_POSIX_H

/* uses base/status.h */

VSI_FN const vs_vfs *vsi_posix_vfs(void); /* NULL where there is none */

#endif
/* ---- os/posix.c ---------------------------------------------------------------------------------- */
/* posix.c - the operating system's files.
 *
 *   P1  A file handle is its descriptor plus one: opening allocates nothing.
 *   P2  No descriptor is 0, 1 or 2, so that stray output of the host never hits a database.
 *   P3  EINTR is reported as VS_ERR_INTERRUPTED; os/file tries again. */
/* uses os/posix.h */

#ifdef VSI_POSIX

/* Open file description locks belong to the open file, not to the process: two handles of one
 * process conflict, and closing another descriptor does not drop them. In Linux since 3.15. */
#if defined(__linux__) && !defined(F_OFD_SETLK)
#define F_OFD_SETLK 37
#endif

enum { POSIX_LINKS_MAX = 40 };

/* One byte far behind any data, for systems where locks forbid writing. */
#define POSIX_LOCK_OFF ((off_t)1 << 62)

static int posix_fd(void *file) {
    return (int)((intptr_t)file - 1); /* keeps P1 */
}

static vs_status posix_fail(int os_error, char *why) {
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    const char *text = strerror_r(os_error, why, VS_VFS_WHY_BYTES);
    if (text != why)
        snprintf(why, VS_VFS_WHY_BYTES, "%s", text);
#else
    if (strerror_r(os_error, why, VS_VFS_WHY_BYTES))
        snprintf(why, VS_VFS_WHY_BYTES, "error %d", os_error);
#endif
    switch (os_error) {
    case EINTR:
        return VS_ERR_INTERRUPTED; /* keeps P3 */
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return VS_ERR_FULL;
    case ENOENT:
    case ENOTDIR:
        return VS_ERR_NOT_FOUND;
    case EEXIST:
        return VS_ERR_EXISTS;
    case EACCES:
    case EPERM:
        return VS_ERR_DENIED;
    case EROFS:
        return VS_ERR_READONLY;
    case ENXIO: /* open of a socket */
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return VS_ERR_INVALID;
    case ENOMEM:
        return VS_ERR_NOMEM;
    default:
        return VS_ERR_IO;
    }
}

/* realpath into out, without its allocation. */
static vs_status posix_real_path(const char *path, char *out, size_t out_bytes, char *why) {
    char buf[PATH_MAX];
    if (!realpath(path, buf))
        return posix_fail(errno, why);
    if (strlen(buf) >= out_bytes)
        return posix_fail(ENAMETOOLONG, why);
    memcpy(out, buf, strlen(buf) + 1);
    return VS_OK;
}

/* The folder of path, "." when it names none. */
static vs_status posix_folder(const char *path, char *out, size_t out_bytes, char *why) {
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + (slash == path) : 1;
    if (n >= out_bytes)
        return posix_fail(ENAMETOOLONG, why);
    memcpy(out, slash ? path : ".", n);
    out[n] = 0;
    return VS_OK;
}

/* The real path of a file that is missing: that of its folder, then its name. */
static vs_status posix_new_path(const char *path, char *out, size_t out_bytes, char *why) {
    char folder[PATH_MAX];
    vs_status st = posix_folder(path, folder, sizeof folder, why);
    if (st == VS_OK)
        st = posix_real_path(folder, out, out_bytes, why);
    if (st != VS_OK)
        return st;
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t n = strlen(out);
    if (!*name)
        return posix_fail(EISDIR, why);
    int need = snprintf(out + n, out_bytes - n, "%s%s", n == 1 ? "" : "/", name);
    return need < 0 || (size_t)need >= out_bytes - n ? posix_fail(ENAMETOOLONG, why) : VS_OK;
}

/* Where the symbolic link at path leads; *out_is_link false when it is none. */
static vs_status posix_follow(const char *path, char out[PATH_MAX], bool *out_is_link, char *why) {
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    *out_is_link = n >= 0;
    if (n < 0)
        return VS_OK;
    target[n] = 0;
    const char *slash = strrchr(path, '/');
    int folder = *target == '/' || !slash ? 0 : (int)(slash - path) + 1;
    int need = snprintf(out, PATH_MAX, "%.*s%s", folder, path, target);
    return need < 0 || need >= PATH_MAX ? posix_fail(ENAMETOOLONG, why) : VS_OK;
}

static vs_status posix_full_path(void *ctx, const char *path, char *out, size_t out_bytes,
                                 char *why) {
    (void)ctx;
    vs_status st = posix_real_path(path, out, out_bytes, why);
    if (st != VS_ERR_NOT_FOUND)
        return st;
    st = posix_new_path(path, out, out_bytes, why);
    /* A link to a missing file leads to the file that an open would create. */
    for (int links = 0; st == VS_OK && links < POSIX_LINKS_MAX; links++) {
        char next[PATH_MAX];
        bool is_link = false;
        st = posix_follow(out, next, &is_link, why);
        if (st == VS_OK && !is_link)
            return VS_OK;
        if (st == VS_OK)
            st = posix_new_path(next, out, out_bytes, why);
    }
    return st == VS_OK ? posix_fail(ELOOP, why) : st;
}

static vs_status posix_refuse_special(int fd, char *why) {
    struct stat info;
    if (fstat(fd, &info))
        return posix_fail(errno, why);
    if (S_ISREG(info.st_mode))
        return VS_OK;
    snprintf(why, VS_VFS_WHY_BYTES, "is %s, not a regular file",
             S_ISDIR(info.st_mode)    ? "a folder"
             : S_ISFIFO(info.st_mode) ? "a pipe"
             : S_ISCHR(info.st_mode)  ? "a character device"
             : S_ISBLK(info.st_mode)  ? "a block device"
             : S_ISSOCK(info.st_mode) ? "a socket"
                                      : "a special file");
    return VS_ERR_INVALID;
}

/* A log holds what its database holds: the file X-wal-N gets the rights and, from the superuser, the
 * owner of X. Without X, or the permission, it keeps those that it was made with. */
static void posix_inherit_rights(int fd, const char *path) {
    char base[PATH_MAX];
    const char *end = path, *next = strstr(path, "-wal-");
    for (; next; next = strstr(next + 1, "-wal-"))
        end = next;
    size_t n = (size_t)(end - path);
    struct stat info;
    if (n == 0 || n >= sizeof base)
        return;
    memcpy(base, path, n);
    base[n] = 0;
    if (stat(base, &info) || !S_ISREG(info.st_mode))
        return;
    if (geteuid() == 0 && fchown(fd, info.st_uid, info.st_gid))
        return;
    int ignored = fchmod(fd, info.st_mode & 0777);
    (void)ignored;
}

static vs_status posix_open(void *ctx, const char *path, uint32_t mode, void **out_file,
                            char *why) {
    (void)ctx;
    int flags = (mode & VS_VFS_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    if (mode & VS_VFS_CREATE)
        flags |= O_CREAT;
    if (mode & VS_VFS_EXCLUSIVE)
        flags |= O_EXCL | O_NOFOLLOW;
    mode_t rights = mode & VS_VFS_EXCLUSIVE ? 0600 : 0644; /* those of a log come with its owner */
    int fd = open(path, flags, rights);
    if (fd < 0)
        return posix_fail(errno, why);
    if (fd <= 2) { /* keeps P2 */
        int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        int os_error = errno;
        close(fd);
        if (moved < 0)
            return posix_fail(os_error, why);
        fd = moved;
    }
    if (mode & VS_VFS_EXCLUSIVE)
        posix_inherit_rights(fd, path);
    vs_status st = posix_refuse_special(fd, why);
    if (st != VS_OK) {
        close(fd);
        return st;
    }
    *out_file = (void *)((intptr_t)fd + 1); /* keeps P1 */
    return VS_OK;
}

static void posix_close(void *ctx, void *file) {
    (void)ctx;
    close(posix_fd(file));
}

/* One system call moves at most 1 GiB; Linux itself stops at 2 GiB. */
static size_t posix_chunk(size_t bytes) {
    return bytes < ((size_t)1 << 30) ? bytes : (size_t)1 << 30;
}

static vs_status posix_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    (void)ctx;
    if (offset > INT64_MAX)
        return posix_fail(EFBIG, why);
    ssize_t n = pread(posix_fd(file), buf, posix_chunk(bytes), (off_t)offset);
    if (n < 0)
        return posix_fail(errno, why);
    *out_bytes = (size_t)n;
    return VS_OK;
}

static vs_status posix_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    (void)ctx;
    if (offset > INT64_MAX)
        return posix_fail(EFBIG, why);
    ssize_t n = pwrite(posix_fd(file), buf, posix_chunk(bytes), (off_t)offset);
    if (n < 0)
        return posix_fail(errno, why);
    *out_bytes = (size_t)n;
    return VS_OK;
}

static vs_status posix_file_size(void *ctx, void *file, uint64_t *out_bytes, char *why) {
    (void)ctx;
    struct stat info;
    if (fstat(posix_fd(file), &info))
        return posix_fail(errno, why);
    *out_bytes = (uint64_t)info.st_size;
    return VS_OK;
}

static vs_status posix_truncate(void *ctx, void *file, uint64_t bytes, char *why) {
    (void)ctx;
    if (bytes > INT64_MAX)
        return posix_fail(EFBIG, why);
    return ftruncate(posix_fd(file), (off_t)bytes) ? posix_fail(errno, why) : VS_OK;
}

/* Only behind the end: where a file system cannot reserve, a C library may write into each block instead. */
static vs_status posix_allocate(void *ctx, void *file, uint64_t bytes, char *why) {
    struct stat info;
    if (bytes > INT64_MAX)
        return posix_fail(EFBIG, why);
    if (fstat(posix_fd(file), &info))
        return posix_fail(errno, why);
    if ((off_t)bytes <= info.st_size)
        return VS_OK;
#if defined(__APPLE__)
    return posix_truncate(ctx, file, bytes, why);
#else
    (void)ctx;
    int os_error = posix_fallocate(posix_fd(file), info.st_size, (off_t)bytes - info.st_size);
    if (!os_error)
        return VS_OK;
    if (ftruncate(posix_fd(file), info.st_size)) /* some may have been given */
        return posix_fail(errno, why);
    if (os_error == EOPNOTSUPP || os_error == ENOSYS || os_error == EINVAL)
        return VS_ERR_UNSUPPORTED;
    return posix_fail(os_error, why);
#endif
}

static vs_status posix_sync(void *ctx, void *file, char *why) {
    (void)ctx;
#if defined(__APPLE__)
    int rc = fcntl(posix_fd(file), F_FULLFSYNC); /* fsync there stops at the drive's cache */
    if (rc)
        rc = fsync(posix_fd(file));
#else
    int rc = fdatasync(posix_fd(file));
#endif
    return rc ? posix_fail(errno, why) : VS_OK;
}

static vs_status posix_sync_dir(void *ctx, const char *path, char *why) {
    (void)ctx;
    char folder[PATH_MAX];
    vs_status st = posix_folder(path, folder, sizeof folder, why);
    if (st != VS_OK)
        return st;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return posix_fail(errno, why);
    int rc = fsync(fd);
    int os_error = errno;
    close(fd);
    return rc ? posix_fail(os_error, why) : VS_OK;
}

static vs_status posix_map(void *ctx, void *file, uint64_t offset, size_t bytes, const void **out,
                           char *why) {
    (void)ctx;
    void *address = mmap(NULL, bytes, PROT_READ, MAP_SHARED, posix_fd(file), (off_t)offset);
    if (address == MAP_FAILED)
        return posix_fail(errno, why);
    *out = address;
    return VS_OK;
}

static void posix_unmap(void *ctx, void *file, const void *address, size_t bytes) {
    (void)ctx;
    (void)file;
    munmap((void *)(uintptr_t)address, bytes);
}

static vs_status posix_lock(void *ctx, void *file, int kind, char *why) {
    (void)ctx;
#if defined(F_OFD_SETLK)
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = kind == VS_VFS_UNLOCK ? F_UNLCK : kind == VS_VFS_SHARED ? F_RDLCK : F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = POSIX_LOCK_OFF;
    lock.l_len = 1;
    int rc = fcntl(posix_fd(file), F_OFD_SETLK, &lock);
#else
    int how = kind == VS_VFS_UNLOCK ? LOCK_UN : kind == VS_VFS_SHARED ? LOCK_SH : LOCK_EX;
    int rc = flock(posix_fd(file), how | LOCK_NB);
#endif
    if (!rc)
        return VS_OK;
    int os_error = errno;
    vs_status st = posix_fail(os_error, why);
    return os_error == EAGAIN || os_error == EACCES ? VS_ERR_BUSY : st;
}

static vs_status posix_remove(void *ctx, const char *path, char *why) {
    (void)ctx;
    return unlink(path) ? posix_fail(errno, why) : VS_OK;
}

static vs_status posix_device_info(void *ctx, void *file, vs_device_info *out, char *why) {
    (void)ctx;
    (void)file;
    (void)why;
    /* Drives report 512 or 4096 and some lie; 4096 is right for both. */
    *out = (vs_device_info){.sector_bytes = 4096, .blast_bytes = 4096};
    return VS_OK;
}

static int64_t posix_clock_us(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t posix_wall_us(void *ctx) {
    (void)ctx;
    return posix_clock_us(CLOCK_REALTIME);
}

static int64_t posix_ticks_us(void *ctx) {
    (void)ctx;
    return posix_clock_us(CLOCK_MONOTONIC);
}

static vs_status posix_random(void *ctx, void *buf, size_t bytes, char *why) {
    (void)ctx;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return posix_fail(errno, why);
    ssize_t n = read(fd, buf, bytes);
    int os_error = n < 0 ? errno : EIO;
    close(fd);
    return n == (ssize_t)bytes ? VS_OK : posix_fail(os_error, why);
}

static uint64_t posix_process_id(void *ctx) {
    (void)ctx;
    return (uint64_t)getpid();
}

VSI_FN const vs_vfs *vsi_posix_vfs(void) {
    static const vs_vfs vfs = {
        .size = sizeof(vs_vfs),
        .full_path = posix_full_path,
        .open = posix_open,
        .close = posix_close,
        .read = posix_read,
        .write = posix_write,
        .file_size = posix_file_size,
        .truncate = posix_truncate,
        .allocate = posix_allocate,
        .sync = posix_sync,
        .sync_dir = posix_sync_dir,
        .map = posix_map,
        .unmap = posix_unmap,
        .lock = posix_lock,
        .remove = posix_remove,
        .device_info = posix_device_info,
        .wall_us = posix_wall_us,
        .ticks_us = posix_ticks_us,
        .random = posix_random,
        .process_id = posix_process_id,
    };
    return &vfs;
}

#else

VSI_FN const vs_vfs *vsi_posix_vfs(void) {
    return NULL;
}

#endif
/* ---- os/memory.h ---------------------------------------------------------------------------------- */
/* memory.h - a file system in memory. */
#ifndef VSI_OS_MEMORY_H
#define VSI_OS_MEMORY_H

/* uses base/mem.h */

VSI_FN vs_status vsi_memory_vfs_create(const vs_allocator *allocator, vs_vfs **out_vfs);
VSI_FN void vsi_memory_vfs_destroy(vs_vfs *vfs); /* accepts NULL */

#endif
/* ---- os/memory.c ---------------------------------------------------------------------------------- */
/* memory.c - a file system in memory.
 *
 *   M1  A file's memory is reserved in steps that double; map() hands out that memory. A mapped file that
 *       outgrows it leaves it to those who have mapped it, and writes go there, too, until they unmap.
 *   M2  A removed file lives on until its last open handle is closed, as on POSIX.
 *   M3  Every function holds the one mutex; the file system may be used by several threads. */
/* uses os/memory.h */
/* uses os/posix.h */

typedef struct memory_block {
    struct memory_block *older; /* outgrown, still mapped */
    uint8_t *data;              /* [cap] owned */
    size_t cap;
    uint32_t maps;
} memory_block;

typedef struct memory_file {
    struct memory_file *next;
    char *name; /* owned; NULL once removed */
    memory_block now;
    size_t bytes;
    uint32_t opens, shared_locks;
    bool is_locked; /* exclusively */
} memory_file;

typedef struct memory_handle {
    memory_file *file;
    bool may_write;
    int lock; /* VS_VFS_... */
} memory_handle;

typedef struct memory_vfs {
    vs_vfs vfs; /* first, so that the public pointer is this one */
    vsi_mem mem;
    vsi_mutex mutex;
    memory_file *files;
} memory_vfs;

static vs_status memory_fail(vs_status st, char *why, const char *reason) {
    snprintf(why, VS_VFS_WHY_BYTES, "%s", reason);
    return st;
}

static memory_file *memory_find(memory_vfs *fs, const char *name) {
    memory_file *file = fs->files;
    while (file && (!file->name || strcmp(file->name, name)))
        file = file->next;
    return file;
}

static void memory_free_name(memory_vfs *fs, memory_file *file) {
    if (file->name)
        vsi_free(&fs->mem, file->name, strlen(file->name) + 1);
    file->name = NULL;
}

static void memory_drop_block(memory_vfs *fs, memory_block **link) {
    memory_block *block = *link;
    *link = block->older;
    vsi_free(&fs->mem, block->data, block->cap);
    vsi_free(&fs->mem, block, sizeof *block);
}

/* Frees a file that has neither name nor handle. */
static void memory_reap(memory_vfs *fs, memory_file *file) {
    if (file->name || file->opens)
        return;
    memory_file **link = &fs->files;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    while (file->now.older)
        memory_drop_block(fs, &file->now.older);
    vsi_free(&fs->mem, file->now.data, file->now.cap);
    vsi_free(&fs->mem, file, sizeof *file);
}

static memory_file *memory_new_file(memory_vfs *fs, const char *name) {
    memory_file *file = vsi_alloc_zeroed(&fs->mem, sizeof *file);
    if (!file)
        return NULL;
    file->name = vsi_alloc(&fs->mem, strlen(name) + 1);
    if (!file->name) {
        vsi_free(&fs->mem, file, sizeof *file);
        return NULL;
    }
    memcpy(file->name, name, strlen(name) + 1);
    file->next = fs->files;
    fs->files = file;
    return file;
}

static vs_status memory_full_path(void *ctx, const char *path, char *out, size_t out_bytes,
                                  char *why) {
    (void)ctx;
    size_t n = strlen(path);
    if (n == 0 || n >= out_bytes)
        return memory_fail(VS_ERR_INVALID, why, n ? "name too long" : "empty name");
    memcpy(out, path, n + 1);
    return VS_OK;
}

static vs_status memory_open_locked(memory_vfs *fs, const char *path, uint32_t mode,
                                    void **out_file, char *why) {
    memory_file *file = memory_find(fs, path);
    if (file && mode & VS_VFS_EXCLUSIVE)
        return memory_fail(VS_ERR_EXISTS, why, "file exists");
    if (!file && !(mode & VS_VFS_CREATE))
        return memory_fail(VS_ERR_NOT_FOUND, why, "no such file");
    memory_handle *handle = vsi_alloc_zeroed(&fs->mem, sizeof *handle);
    if (handle && !file)
        file = memory_new_file(fs, path);
    if (!handle || !file) {
        vsi_free(&fs->mem, handle, sizeof *handle);
        return memory_fail(VS_ERR_NOMEM, why, "out of memory");
    }
    file->opens++;
    handle->file = file;
    handle->may_write = mode & VS_VFS_WRITE;
    *out_file = handle;
    return VS_OK;
}

static vs_status memory_open(void *ctx, const char *path, uint32_t mode, void **out_file,
                             char *why) {
    memory_vfs *fs = ctx;
    vsi_mutex_lock(&fs->mutex); /* keeps M3, here and below */
    vs_status st = memory_open_locked(fs, path, mode, out_file, why);
    vsi_mutex_unlock(&fs->mutex);
    return st;
}

static void memory_unlock(memory_handle *handle) {
    if (handle->lock == VS_VFS_SHARED)
        handle->file->shared_locks--;
    if (handle->lock == VS_VFS_EXCLUSIVE_LOCK)
        handle->file->is_locked = false;
    handle->lock = VS_VFS_UNLOCK;
}

static void memory_close(void *ctx, void *file) {
    memory_vfs *fs = ctx;
    memory_handle *handle = file;
    vsi_mutex_lock(&fs->mutex);
    memory_unlock(handle);
    handle->file->opens--;
    memory_reap(fs, handle->file); /* keeps M2 */
    vsi_free(&fs->mem, handle, sizeof *handle);
    vsi_mutex_unlock(&fs->mutex);
}

static vs_status memory_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    (void)why;
    memory_vfs *fs = ctx;
    const memory_file *f = ((memory_handle *)file)->file;
    vsi_mutex_lock(&fs->mutex);
    size_t n = offset < f->bytes ? f->bytes - (size_t)offset : 0;
    n = n < bytes ? n : bytes;
    if (n)
        memcpy(buf, f->now.data + offset, n);
    vsi_mutex_unlock(&fs->mutex);
    *out_bytes = n;
    return VS_OK;
}

/* Larger memory for a file; the one before goes, or stays with those who have mapped it. */
static bool memory_outgrow(memory_vfs *fs, memory_file *f, size_t cap) {
    memory_block *old = NULL;
    uint8_t *data = NULL;
    if (!f->now.maps) {
        data = vsi_realloc(&fs->mem, f->now.data, f->now.cap, cap);
    } else {
        old = vsi_alloc(&fs->mem, sizeof *old);
        data = old ? vsi_alloc(&fs->mem, cap) : NULL;
        if (!data)
            vsi_free(&fs->mem, old, sizeof *old);
    }
    if (!data)
        return false;
    if (f->now.maps) {
        memcpy(data, f->now.data, f->now.cap);
        *old = f->now;
        f->now = (memory_block){.older = old};
    }
    f->now.data = data;
    f->now.cap = cap;
    return true;
}

/* Bytes, or zeros for NULL, into the file's memory and what was mapped of it; keeps M1. */
static void memory_fill(memory_file *f, const void *buf, size_t bytes, size_t offset) {
    for (memory_block *block = &f->now; block; block = block->older) {
        size_t room = offset < block->cap ? block->cap - offset : 0,
               n = bytes < room ? bytes : room;
        if (n && buf)
            memcpy(block->data + offset, buf, n);
        else if (n)
            memset(block->data + offset, 0, n);
    }
}

/* Makes the file at least bytes long, zeros in the gap. */
static vs_status memory_grow(memory_vfs *fs, memory_file *f, uint64_t bytes, char *why) {
    if (bytes > SIZE_MAX / 4)
        return memory_fail(VS_ERR_FULL, why, "file too large");
    if (bytes > f->now.cap) {
        size_t cap = f->now.cap ? f->now.cap : 4096;
        while (cap < bytes)
            cap *= 2;
        if (!memory_outgrow(fs, f, cap))
            return memory_fail(VS_ERR_NOMEM, why, "out of memory");
    }
    if (bytes > f->bytes) {
        memory_fill(f, NULL, (size_t)bytes - f->bytes, f->bytes);
        f->bytes = (size_t)bytes;
    }
    return VS_OK;
}

static vs_status memory_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                              size_t *out_bytes, char *why) {
    memory_vfs *fs = ctx;
    memory_handle *handle = file;
    if (!handle->may_write)
        return memory_fail(VS_ERR_DENIED, why, "opened for reading");
    if (offset > UINT64_MAX - bytes)
        return memory_fail(VS_ERR_FULL, why, "file too large");
    vsi_mutex_lock(&fs->mutex);
    vs_status st = bytes ? memory_grow(fs, handle->file, offset + bytes, why) : VS_OK;
    if (st == VS_OK && bytes)
        memory_fill(handle->file, buf, bytes, (size_t)offset);
    vsi_mutex_unlock(&fs->mutex);
    *out_bytes = bytes;
    return st;
}

static vs_status memory_file_size(void *ctx, void *file, uint64_t *out_bytes, char *why) {
    (void)why;
    memory_vfs *fs = ctx;
    vsi_mutex_lock(&fs->mutex);
    *out_bytes = ((memory_handle *)file)->file->bytes;
    vsi_mutex_unlock(&fs->mutex);
    return VS_OK;
}

static vs_status memory_truncate(void *ctx, void *file, uint64_t bytes, char *why) {
    memory_vfs *fs = ctx;
    memory_handle *handle = file;
    if (!handle->may_write)
        return memory_fail(VS_ERR_DENIED, why, "opened for reading");
    vsi_mutex_lock(&fs->mutex);
    vs_status st = VS_OK;
    if (bytes > handle->file->bytes)
        st = memory_grow(fs, handle->file, bytes, why);
    else
        handle->file->bytes = (size_t)bytes;
    vsi_mutex_unlock(&fs->mutex);
    return st;
}

static vs_status memory_allocate(void *ctx, void *file, uint64_t bytes, char *why) {
    uint64_t now = 0;
    vs_status st = memory_file_size(ctx, file, &now, why);
    return st == VS_OK && bytes > now ? memory_truncate(ctx, file, bytes, why) : st;
}

static vs_status memory_sync(void *ctx, void *file, char *why) {
    (void)ctx;
    (void)file;
    (void)why;
    return VS_OK;
}

static vs_status memory_sync_dir(void *ctx, const char *path, char *why) {
    (void)ctx;
    (void)path;
    (void)why;
    return VS_OK;
}

static vs_status memory_map(void *ctx, void *file, uint64_t offset, size_t bytes, const void **out,
                            char *why) {
    memory_vfs *fs = ctx;
    memory_file *f = ((memory_handle *)file)->file;
    vsi_mutex_lock(&fs->mutex);
    bool fits = offset <= f->bytes && bytes <= f->bytes - offset;
    if (fits) {
        f->now.maps++;
        *out = f->now.data + offset;
    }
    vsi_mutex_unlock(&fs->mutex);
    return fits ? VS_OK : memory_fail(VS_ERR_INVALID, why, "beyond the end of the file");
}

static bool memory_has(const memory_block *block, const void *address) {
    uintptr_t first = (uintptr_t)block->data, at = (uintptr_t)address;
    return at >= first && at - first < block->cap;
}

static void memory_unmap(void *ctx, void *file, const void *address, size_t bytes) {
    (void)bytes;
    memory_vfs *fs = ctx;
    memory_file *f = ((memory_handle *)file)->file;
    vsi_mutex_lock(&fs->mutex);
    memory_block **link = &f->now.older;
    while (*link && !memory_has(*link, address))
        link = &(*link)->older;
    if (!*link)
        f->now.maps--;
    else if (--(*link)->maps == 0)
        memory_drop_block(fs, link);
    vsi_mutex_unlock(&fs->mutex);
}

static vs_status memory_lock(void *ctx, void *file, int kind, char *why) {
    memory_vfs *fs = ctx;
    memory_handle *handle = file;
    memory_file *f = handle->file;
    vsi_mutex_lock(&fs->mutex);
    uint32_t others = f->shared_locks - (handle->lock == VS_VFS_SHARED);
    bool is_held = f->is_locked && handle->lock != VS_VFS_EXCLUSIVE_LOCK;
    bool conflicts = kind != VS_VFS_UNLOCK && (is_held || (kind != VS_VFS_SHARED && others));
    if (!conflicts) {
        memory_unlock(handle);
        handle->lock = kind;
        f->shared_locks += kind == VS_VFS_SHARED;
        f->is_locked = f->is_locked || kind == VS_VFS_EXCLUSIVE_LOCK;
    }
    vsi_mutex_unlock(&fs->mutex);
    return conflicts ? memory_fail(VS_ERR_BUSY, why, "locked by another handle") : VS_OK;
}

static vs_status memory_remove(void *ctx, const char *path, char *why) {
    memory_vfs *fs = ctx;
    vsi_mutex_lock(&fs->mutex);
    memory_file *file = memory_find(fs, path);
    if (file) {
        memory_free_name(fs, file);
        memory_reap(fs, file);
    }
    vsi_mutex_unlock(&fs->mutex);
    return file ? VS_OK : memory_fail(VS_ERR_NOT_FOUND, why, "no such file");
}

static vs_status memory_device_info(void *ctx, void *file, vs_device_info *out, char *why) {
    (void)ctx;
    (void)file;
    (void)why;
    *out = (vs_device_info){.sector_bytes = 4096, .blast_bytes = 4096};
    return VS_OK;
}

static const vs_vfs *memory_clock(void) {
    return vsi_posix_vfs();
}

static int64_t memory_wall_us(void *ctx) {
    (void)ctx;
    return memory_clock() ? memory_clock()->wall_us(NULL) : 0;
}

static int64_t memory_ticks_us(void *ctx) {
    (void)ctx;
    return memory_clock() ? memory_clock()->ticks_us(NULL) : 0;
}

static vs_status memory_random(void *ctx, void *buf, size_t bytes, char *why) {
    (void)ctx;
    if (!memory_clock())
        return memory_fail(VS_ERR_UNSUPPORTED, why, "no source of random numbers");
    return memory_clock()->random(NULL, buf, bytes, why);
}

static uint64_t memory_process_id(void *ctx) {
    (void)ctx;
    return memory_clock() ? memory_clock()->process_id(NULL) : 1;
}

VSI_FN vs_status vsi_memory_vfs_create(const vs_allocator *allocator, vs_vfs **out_vfs) {
    vsi_mem mem;
    vsi_mem_init(&mem, allocator);
    memory_vfs *fs = vsi_alloc_zeroed(&mem, sizeof *fs);
    if (!fs)
        return VS_ERR_NOMEM;
    vsi_mem_init(&fs->mem, allocator);
    if (!vsi_mutex_init(&fs->mutex)) {
        vsi_free(&mem, fs, sizeof *fs);
        return VS_ERR_NOMEM;
    }
    fs->vfs = (vs_vfs){
        .size = sizeof(vs_vfs),
        .ctx = fs,
        .full_path = memory_full_path,
        .open = memory_open,
        .close = memory_close,
        .read = memory_read,
        .write = memory_write,
        .file_size = memory_file_size,
        .truncate = memory_truncate,
        .allocate = memory_allocate,
        .sync = memory_sync,
        .sync_dir = memory_sync_dir,
        .map = memory_map,
        .unmap = memory_unmap,
        .lock = memory_lock,
        .remove = memory_remove,
        .device_info = memory_device_info,
        .wall_us = memory_wall_us,
        .ticks_us = memory_ticks_us,
        .random = memory_random,
        .process_id = memory_process_id,
    };
    *out_vfs = &fs->vfs;
    return VS_OK;
}

VSI_FN void vsi_memory_vfs_destroy(vs_vfs *vfs) {
    if (!vfs)
        return;
    memory_vfs *fs = vfs->ctx;
    while (fs->files) {
        memory_file *file = fs->files;
        memory_free_name(fs, file);
        file->opens = 0;
        memory_reap(fs, file);
    }
    vsi_mutex_destroy(&fs->mutex);
    vsi_mem mem; /* fs cannot hold the allocator that frees it */
    vsi_mem_init(&mem, &fs->mem.hook);
    vsi_free(&mem, fs, sizeof *fs);
}
/* ---- math/element.h ---------------------------------------------------------------------------------- */
/* element.h - element types of vectors: sizes, which metrics fit, checks and conversions. */
#ifndef VSI_ELEMENT_H
#define VSI_ELEMENT_H

/* uses base/status.h */

enum { VSI_TYPES = VS_BIT + 1, VSI_METRICS = VS_JACCARD + 1 };

/* "f32" ...; "?" for an unknown type. */
VSI_FN const char *vsi_type_name(int type);
/* "l2" ...; "?" for an unknown metric. */
VSI_FN const char *vsi_metric_name(int metric);

/* Bytes of the numbers that a vector is made of: what is swapped between byte orders. Of VS_BIT those of
 * eight elements. 0 for an unknown type. */
VSI_FN uint32_t vsi_type_bytes(int type);
/* Bytes of a vector; 0 for an unknown type. At most 4 * VS_DIM_MAX. */
VSI_FN uint32_t vsi_vector_bytes(int type, uint32_t dim);
/* Hamming and Jaccard are for bits, all others for numbers. */
VSI_FN bool vsi_metric_fits(int metric, int type);

/* A vector of in_type as one of out_type, both of this machine's byte order; out [vsi_vector_bytes].
 *
 * To a type of floating point a number is rounded to the nearest, ties to even; to a whole one, or a bit,
 * it must be equal to one that the type has. VS_ERR_INVALID, naming the element, which out_at receives unless
 * it is NULL: NaN and infinity, and what does not fit. Unused bits of the last byte are zero afterwards. in may have any alignment, and be out when the
 * types are the same. */
VS_NODISCARD VSI_FN vs_status vsi_vector_convert(vsi_err *err, const void *in, int in_type,
                                                 uint8_t *out, int out_type, uint32_t dim,
                                                 size_t *out_at);

/* Whether a vector may be stored as it is: only numbers, unused bits zero. */
VS_NODISCARD VSI_FN vs_status vsi_vector_check(vsi_err *err, const void *in, int type, uint32_t dim,
                                               bool *out_is_canonical);

/* The value of half precision; NaN and infinity stay what they are. */
VSI_FN float vsi_float_of_f16(uint16_t bits);
VSI_FN float vsi_float_of_bf16(uint16_t bits);
/* To the nearest, ties to even; beyond the range infinity. Of a finite number. */
VSI_FN uint16_t vsi_f16_of_float(float value);
VSI_FN uint16_t vsi_bf16_of_float(float value);

#endif
/* ---- math/element.c ---------------------------------------------------------------------------------- */
/* element.c - element types of vectors.
 *
 * Every element of every type is a float exactly. So a vector is converted by way of floats, some at a time,
 * and rounded once, when they are stored. */
/* uses math/element.h */

enum { ELEMENT_BLOCK = 256 };

enum { F16_INFINITY = 0x7c00, BF16_INFINITY = 0x7f80, SIGN16 = 0x8000 };

typedef struct element_type {
    const char *name;
    uint32_t bytes; /* of the numbers that it is made of */
    /* n elements from number `at` on, as floats */
    void (*load)(const uint8_t *in, size_t at, size_t n, float *out);
    /* the other way; how many fitted, in front of the first that does not */
    size_t (*store)(const float *in, size_t at, size_t n, uint8_t *out);
    const char *range; /* what fits, for a message; NULL: all that is not too large */
} element_type;

/* ---- half precision ------------------------------------------------------------------------- */

static float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

VSI_FN float vsi_float_of_f16(uint16_t bits) {
    uint32_t sign = (uint32_t)(bits & SIGN16) << 16, rest = bits & 0x7fffu;
    if (rest < 0x400) { /* subnormal: units of 2^-24 */
        float value = (float)rest * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t exponent = rest < F16_INFINITY ? 112u << 23 : 224u << 23; /* 127 - 15, or to 255 */
    return float_of_bits(sign | ((rest << 13) + exponent));
}

VSI_FN uint16_t vsi_f16_of_float(float value) {
    uint32_t bits = bits_of_float(value), sign = bits >> 16 & SIGN16, rest = bits & 0x7fffffffu;
    uint32_t exponent = rest >> 23, half = 0;
    if (exponent >= 113) { /* normal: 13 bits go */
        half = (rest - (112u << 23) + 0xfff + (rest >> 13 & 1)) >> 13;
        half = half < F16_INFINITY ? half : F16_INFINITY;
    } else if (exponent >= 102) { /* subnormal; below it is zero */
        uint32_t shift = 126 - exponent, mantissa = (rest & 0x7fffffu) | 0x800000u;
        uint32_t left = mantissa & ((1u << shift) - 1), tie = 1u << (shift - 1);
        half = mantissa >> shift;
        half += left > tie || (left == tie && half & 1);
    }
    return (uint16_t)(sign | half);
}

VSI_FN float vsi_float_of_bf16(uint16_t bits) {
    return float_of_bits((uint32_t)bits << 16);
}

VSI_FN uint16_t vsi_bf16_of_float(float value) {
    uint32_t bits = bits_of_float(value);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* ---- loading and storing -------------------------------------------------------------------- */

static void f32_load(const uint8_t *in, size_t at, size_t n, float *out) {
    memcpy(out, in + at * sizeof *out, n * sizeof *out);
}

static size_t f32_store(const float *in, size_t at, size_t n, uint8_t *out) {
    memcpy(out + at * sizeof *in, in, n * sizeof *in);
    return n;
}

static void load16(const uint8_t *in, size_t n, float (*widen)(uint16_t), float *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, in + i * sizeof bits, sizeof bits);
        out[i] = widen(bits);
    }
}

/* Up to the first that becomes infinite. */
static size_t store16(const float *in, size_t n, uint16_t (*narrow)(float), uint16_t infinity,
                      uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        uint16_t bits = narrow(in[i]);
        if ((bits & infinity) == infinity)
            return i;
        memcpy(out + i * sizeof bits, &bits, sizeof bits);
    }
    return n;
}

static void f16_load(const uint8_t *in, size_t at, size_t n, float *out) {
    load16(in + 2 * at, n, vsi_float_of_f16, out);
}

static size_t f16_store(const float *in, size_t at, size_t n, uint8_t *out) {
    return store16(in, n, vsi_f16_of_float, F16_INFINITY, out + 2 * at);
}

static void bf16_load(const uint8_t *in, size_t at, size_t n, float *out) {
    load16(in + 2 * at, n, vsi_float_of_bf16, out);
}

static size_t bf16_store(const float *in, size_t at, size_t n, uint8_t *out) {
    return store16(in, n, vsi_bf16_of_float, BF16_INFINITY, out + 2 * at);
}

static void u8_load(const uint8_t *in, size_t at, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = in[at + i];
}

static size_t u8_store(const float *in, size_t at, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        if (!(in[i] >= 0 && in[i] <= 255) || (float)(uint8_t)in[i] != in[i])
            return i;
        out[at + i] = (uint8_t)in[i];
    }
    return n;
}

static void i8_load(const uint8_t *in, size_t at, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(in[at + i] < 128 ? in[at + i] : in[at + i] - 256);
}

static size_t i8_store(const float *in, size_t at, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        if (!(in[i] >= -128 && in[i] <= 127) || (float)(int)in[i] != in[i])
            return i;
        out[at + i] = (uint8_t)(int)in[i];
    }
    return n;
}

static void bit_load(const uint8_t *in, size_t at, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(in[(at + i) / 8] >> (at + i) % 8 & 1);
}

/* A byte is begun with its first bit, so those behind the last element are zero. */
static size_t bit_store(const float *in, size_t at, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) {
        if (in[i] != 0 && in[i] != 1)
            return i;
        uint8_t *byte = out + (at + i) / 8, bit = (uint8_t)((in[i] != 0) << (at + i) % 8);
        *byte = (at + i) % 8 ? *byte | bit : bit;
    }
    return n;
}

/* ---- types and metrics ---------------------------------------------------------------------- */

static const element_type *element_of(int type) {
    static const element_type types[VSI_TYPES] = {
        [VS_F32] = {"f32", 4, f32_load, f32_store, NULL},
        [VS_U8] = {"u8", 1, u8_load, u8_store, "a whole number from 0 to 255"},
        [VS_F16] = {"f16", 2, f16_load, f16_store, NULL},
        [VS_BF16] = {"bf16", 2, bf16_load, bf16_store, NULL},
        [VS_I8] = {"i8", 1, i8_load, i8_store, "a whole number from -128 to 127"},
        [VS_BIT] = {"bit", 1, bit_load, bit_store, "0 or 1"},
    };
    return type >= 1 && type < VSI_TYPES ? &types[type] : NULL;
}

VSI_FN const char *vsi_type_name(int type) {
    const element_type *element = element_of(type);
    return element ? element->name : "?";
}

VSI_FN const char *vsi_metric_name(int metric) {
    static const char *const names[VSI_METRICS] = {"?",  "l2",      "ip",     "cosine",
                                                   "l1", "hamming", "jaccard"};
    return names[metric >= 1 && metric < VSI_METRICS ? metric : 0];
}

VSI_FN uint32_t vsi_type_bytes(int type) {
    const element_type *element = element_of(type);
    return element ? element->bytes : 0;
}

VSI_FN uint32_t vsi_vector_bytes(int type, uint32_t dim) {
    return type == VS_BIT ? (dim + 7) / 8 : dim * vsi_type_bytes(type);
}

VSI_FN bool vsi_metric_fits(int metric, int type) {
    bool is_of_bits = metric == VS_HAMMING || metric == VS_JACCARD;
    return element_of(type) && metric >= VS_L2 && metric <= VS_JACCARD &&
           is_of_bits == (type == VS_BIT);
}

/* ---- converting ----------------------------------------------------------------------------- */

static vs_status element_refuse(vsi_err *err, size_t at, float value, const element_type *to) {
    if (!isfinite(value))
        return vsi_fail(err, VS_ERR_INVALID, "vector: element %zu is not a finite number", at);
    if (to->range)
        return vsi_fail(err, VS_ERR_INVALID, "vector: element %zu is %.9g, expected %s for %s", at,
                        (double)value, to->range, to->name);
    return vsi_fail(err, VS_ERR_INVALID, "vector: element %zu is %.9g, beyond the range of %s", at,
                    (double)value, to->name);
}

/* How many floats there are in front of the first NaN or infinity. */
static size_t floats_finite(const float *in, size_t n) {
    uint32_t bad = 0;
    size_t i = 0;
    for (size_t k = 0; k < n; k++)
        bad |= (bits_of_float(in[k]) & 0x7f800000u) == 0x7f800000u;
    if (!bad)
        return n;
    while (isfinite(in[i]))
        i++;
    return i;
}

VSI_FN vs_status vsi_vector_convert(vsi_err *err, const void *in, int in_type, uint8_t *out,
                                    int out_type, uint32_t dim, size_t *out_at) {
    const element_type *from = element_of(in_type), *to = element_of(out_type);
    float block[ELEMENT_BLOCK];
    for (size_t at = 0; at < dim; at += ELEMENT_BLOCK) {
        size_t n = dim - at < ELEMENT_BLOCK ? dim - at : ELEMENT_BLOCK;
        from->load(in, at, n, block);
        size_t finite = floats_finite(block, n), fit = to->store(block, at, finite, out);
        if (fit < n && out_at)
            *out_at = at + fit;
        if (fit < n)
            return element_refuse(err, at + fit, block[fit], to);
    }
    return VS_OK;
}

VSI_FN vs_status vsi_vector_check(vsi_err *err, const void *in, int type, uint32_t dim,
                                  bool *out_is_canonical) {
    const element_type *from = element_of(type);
    const uint8_t *bytes = in;
    float block[ELEMENT_BLOCK];
    *out_is_canonical = type != VS_BIT || dim % 8 == 0 || !(bytes[dim / 8] >> dim % 8);
    for (size_t at = 0; !from->range && at < dim; at += ELEMENT_BLOCK) {
        size_t n = dim - at < ELEMENT_BLOCK ? dim - at : ELEMENT_BLOCK;
        from->load(bytes, at, n, block);
        size_t finite = floats_finite(block, n);
        if (finite < n)
            return element_refuse(err, at + finite, block[finite], from);
    }
    return VS_OK;
}
/* ---- math/kernels.h ---------------------------------------------------------------------------------- */
/* kernels.h - the table of distance kernels, one per instruction set.
 *
 * All take a query and rows of one element type, row after row without gaps, and write out [n], and some of them
 * norm [n]. Any dim from 0, any n, alignment of the element; nothing behind the last row is read.
 *
 *   metric    out                                          norm
 *   l2        squared Euclidean distance                   untouched
 *   ip        inner product, which grows with similarity   untouched
 *   cosine    likewise                                     inner product of the row with itself
 *   l1        sum of the absolute differences              untouched
 *   hamming   bits that differ                             untouched
 *   jaccard   bits that both have                          bits that one of them has
 *
 * Integer kernels are exact. Float kernels add in blocks of 1024 elements in single precision and
 * the blocks in double; the scalar table adds in double throughout. Overflow gives an infinity or
 * NaN, underflow a sum that is too small; the caller answers by computing in double. One table gives one result for the same
 * input, be it one row or many. */
#ifndef VSI_KERNELS_H
#define VSI_KERNELS_H

/* uses math/element.h */

typedef void vsi_kernel(const void *query, const void *rows, size_t dim, size_t n, double *out,
                        double *norm);

typedef struct vsi_kernels {
    const char *name;
    vsi_kernel *rows[VSI_TYPES][VSI_METRICS]; /* NULL: the scalar one serves */
} vsi_kernels;

enum { VSI_KERNEL_BLOCK = 1024 };

#endif
/* ---- math/kernels_scalar.h ---------------------------------------------------------------------------------- */
/* kernels_scalar.h - the reference kernels, for every machine. */
#ifndef VSI_KERNELS_SCALAR_H
#define VSI_KERNELS_SCALAR_H

/* uses math/kernels.h */

VSI_FN const vsi_kernels *vsi_kernels_scalar(void);

#endif
/* ---- math/kernels_scalar.c ---------------------------------------------------------------------------------- */
/* kernels_scalar.c - the reference: plain loops, sums in double or in whole numbers. */
/* uses math/kernels_scalar.h */

static double f32_value(const void *p, size_t at) {
    return (double)((const float *)p)[at];
}

static double f16_value(const void *p, size_t at) {
    return (double)vsi_float_of_f16(((const uint16_t *)p)[at]);
}

static double bf16_value(const void *p, size_t at) {
    return (double)vsi_float_of_bf16(((const uint16_t *)p)[at]);
}

static int64_t u8_value(const void *p, size_t at) {
    return ((const uint8_t *)p)[at];
}

static int64_t i8_value(const void *p, size_t at) {
    return ((const int8_t *)p)[at];
}

/* The kernels of one type: sums of TERM, which sees the elements as a and b, in number. */
#define SCALAR_SUM(name, type, bytes, number, TERM)                                                \
    static double name##_##type(const void *query, const void *row, size_t dim) {                  \
        number sum = 0;                                                                            \
        for (size_t j = 0; j < dim; j++) {                                                         \
            number a = type##_value(query, j), b = type##_value(row, j);                           \
            sum += TERM;                                                                           \
        }                                                                                          \
        return (double)sum;                                                                        \
    }                                                                                              \
    static void name##_rows_##type(const void *query, const void *rows, size_t dim, size_t n,      \
                                   double *out, double *norm) {                                    \
        const uint8_t *row = rows;                                                                 \
        (void)norm;                                                                                \
        for (size_t i = 0; i < n; i++, row += dim * (bytes))                                       \
            out[i] = name##_##type(query, row, dim);                                               \
    }

#define SCALAR_KERNELS(type, bytes, number)                                                        \
    SCALAR_SUM(l2sq, type, bytes, number, (a - b) * (a - b))                                       \
    SCALAR_SUM(dot, type, bytes, number, a *b)                                                     \
    SCALAR_SUM(l1, type, bytes, number, a < b ? b - a : a - b)                                     \
    static void dot_norm_rows_##type(const void *query, const void *rows, size_t dim, size_t n,    \
                                     double *out, double *norm) {                                  \
        const uint8_t *row = rows;                                                                 \
        for (size_t i = 0; i < n; i++, row += dim * (bytes)) {                                     \
            out[i] = dot_##type(query, row, dim);                                                  \
            norm[i] = dot_##type(row, row, dim);                                                   \
        }                                                                                          \
    }

SCALAR_KERNELS(f32, 4, double)
SCALAR_KERNELS(f16, 2, double)
SCALAR_KERNELS(bf16, 2, double)
SCALAR_KERNELS(u8, 1, int64_t)
SCALAR_KERNELS(i8, 1, int64_t)

/* ---- bits ----------------------------------------------------------------------------------- */

/* The bits of a word that are set, added up in pairs, then fours, then eights. */
static uint32_t bits_count(uint64_t word) {
    word -= word >> 1 & 0x5555555555555555u;
    word = (word & 0x3333333333333333u) + (word >> 2 & 0x3333333333333333u);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (uint32_t)((word * 0x0101010101010101u) >> 56);
}

/* Up to eight bytes as a word, missing ones as zeros. */
static uint64_t bits_word(const uint8_t *p, size_t bytes) {
    uint64_t word = 0;
    memcpy(&word, p, bytes < sizeof word ? bytes : sizeof word);
    return word;
}

static void hamming_rows_bit(const void *query, const void *rows, size_t dim, size_t n, double *out,
                             double *norm) {
    size_t bytes = (dim + 7) / 8;
    const uint8_t *a = query, *b = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, b += bytes) {
        uint32_t differ = 0;
        for (size_t j = 0; j < bytes; j += 8)
            differ += bits_count(bits_word(a + j, bytes - j) ^ bits_word(b + j, bytes - j));
        out[i] = differ;
    }
}

static void jaccard_rows_bit(const void *query, const void *rows, size_t dim, size_t n, double *out,
                             double *norm) {
    size_t bytes = (dim + 7) / 8;
    const uint8_t *a = query, *b = rows;
    for (size_t i = 0; i < n; i++, b += bytes) {
        uint32_t both = 0, either = 0;
        for (size_t j = 0; j < bytes; j += 8) {
            uint64_t x = bits_word(a + j, bytes - j), y = bits_word(b + j, bytes - j);
            both += bits_count(x & y);
            either += bits_count(x | y);
        }
        out[i] = both;
        norm[i] = either;
    }
}

#define SCALAR_ROW(type)                                                                           \
    {                                                                                              \
        [VS_L2] = l2sq_rows_##type, [VS_IP] = dot_rows_##type, [VS_COSINE] = dot_norm_rows_##type, \
        [VS_L1] = l1_rows_##type                                                                   \
    }

VSI_FN const vsi_kernels *vsi_kernels_scalar(void) {
    static const vsi_kernels table = {
        .name = "scalar",
        .rows = {[VS_F32] = SCALAR_ROW(f32),
                 [VS_F16] = SCALAR_ROW(f16),
                 [VS_BF16] = SCALAR_ROW(bf16),
                 [VS_U8] = SCALAR_ROW(u8),
                 [VS_I8] = SCALAR_ROW(i8),
                 [VS_BIT] = {[VS_HAMMING] = hamming_rows_bit, [VS_JACCARD] = jaccard_rows_bit}},
    };
    return &table;
}
/* ---- math/kernels_avx2.h ---------------------------------------------------------------------------------- */
/* kernels_avx2.h - kernels for AVX2 and FMA. */
#ifndef VSI_KERNELS_AVX2_H
#define VSI_KERNELS_AVX2_H

/* uses math/kernels.h */

VSI_FN const vsi_kernels *vsi_kernels_avx2(void); /* NULL where they cannot be compiled */

#endif
/* ---- math/kernels_avx2.c ---------------------------------------------------------------------------------- */
/* kernels_avx2.c - kernels for AVX2 and FMA: four independent sums hide the latency of the adds. */
/* uses math/kernels_avx2.h */

#if defined(VSI_X86) && defined(__GNUC__)

VSI_TARGET_BEGIN("avx2,fma")

/* The sum of eight floats, in double. */
static inline double sum_ps_avx2(__m256 v) {
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
    __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    __m256d four = _mm256_add_pd(low, high);
    __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(two) + _mm_cvtsd_f64(_mm_unpackhi_pd(two, two));
}

/* The sum of eight 32-bit numbers that are not negative. */
static inline double sum_epi32_avx2(__m256i v) {
    uint32_t lane[8];
    _mm256_storeu_si256((__m256i *)(void *)lane, v);
    uint64_t sum = 0;
    for (int i = 0; i < 8; i++)
        sum += lane[i];
    return (double)sum;
}

static double l2sq_f32_block_avx2(const float *a, const float *b, size_t n) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t j = 0;
    for (; j + 32 <= n; j += 32) {
        __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + j), _mm256_loadu_ps(b + j));
        __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + j + 8), _mm256_loadu_ps(b + j + 8));
        __m256 d2 = _mm256_sub_ps(_mm256_loadu_ps(a + j + 16), _mm256_loadu_ps(b + j + 16));
        __m256 d3 = _mm256_sub_ps(_mm256_loadu_ps(a + j + 24), _mm256_loadu_ps(b + j + 24));
        s0 = _mm256_fmadd_ps(d0, d0, s0);
        s1 = _mm256_fmadd_ps(d1, d1, s1);
        s2 = _mm256_fmadd_ps(d2, d2, s2);
        s3 = _mm256_fmadd_ps(d3, d3, s3);
    }
    for (; j + 8 <= n; j += 8) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(a + j), _mm256_loadu_ps(b + j));
        s0 = _mm256_fmadd_ps(d, d, s0);
    }
    double sum = sum_ps_avx2(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
    for (; j < n; j++) {
        double d = (double)a[j] - (double)b[j];
        sum += d * d;
    }
    return sum;
}

static double dot_f32_block_avx2(const float *a, const float *b, size_t n) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t j = 0;
    for (; j + 32 <= n; j += 32) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j), _mm256_loadu_ps(b + j), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j + 8), _mm256_loadu_ps(b + j + 8), s1);
        s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j + 16), _mm256_loadu_ps(b + j + 16), s2);
        s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j + 24), _mm256_loadu_ps(b + j + 24), s3);
    }
    for (; j + 8 <= n; j += 8)
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j), _mm256_loadu_ps(b + j), s0);
    double sum = sum_ps_avx2(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
    for (; j < n; j++)
        sum += (double)a[j] * (double)b[j];
    return sum;
}

static void dot_norm_f32_block_avx2(const float *a, const float *b, size_t n, double *dot,
                                    double *norm) {
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, t0 = s0, t1 = s0;
    size_t j = 0;
    for (; j + 16 <= n; j += 16) {
        __m256 b0 = _mm256_loadu_ps(b + j), b1 = _mm256_loadu_ps(b + j + 8);
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j), b0, s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j + 8), b1, s1);
        t0 = _mm256_fmadd_ps(b0, b0, t0);
        t1 = _mm256_fmadd_ps(b1, b1, t1);
    }
    for (; j + 8 <= n; j += 8) {
        __m256 b0 = _mm256_loadu_ps(b + j);
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + j), b0, s0);
        t0 = _mm256_fmadd_ps(b0, b0, t0);
    }
    double dot_sum = sum_ps_avx2(_mm256_add_ps(s0, s1));
    double norm_sum = sum_ps_avx2(_mm256_add_ps(t0, t1));
    for (; j < n; j++) {
        dot_sum += (double)a[j] * (double)b[j];
        norm_sum += (double)b[j] * (double)b[j];
    }
    *dot += dot_sum;
    *norm += norm_sum;
}

static void l2sq_f32_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                               double *out, double *norm) {
    const float *q = query, *row = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, row += dim) {
        out[i] = 0;
        for (size_t j = 0; j < dim; j += VSI_KERNEL_BLOCK)
            out[i] += l2sq_f32_block_avx2(q + j, row + j,
                                          dim - j < VSI_KERNEL_BLOCK ? dim - j : VSI_KERNEL_BLOCK);
    }
}

static void dot_f32_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                              double *out, double *norm) {
    const float *q = query, *row = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, row += dim) {
        out[i] = 0;
        for (size_t j = 0; j < dim; j += VSI_KERNEL_BLOCK)
            out[i] += dot_f32_block_avx2(q + j, row + j,
                                         dim - j < VSI_KERNEL_BLOCK ? dim - j : VSI_KERNEL_BLOCK);
    }
}

static void dot_norm_f32_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                                   double *out, double *norm) {
    const float *q = query, *row = rows;
    for (size_t i = 0; i < n; i++, row += dim) {
        out[i] = norm[i] = 0;
        for (size_t j = 0; j < dim; j += VSI_KERNEL_BLOCK)
            dot_norm_f32_block_avx2(q + j, row + j,
                                    dim - j < VSI_KERNEL_BLOCK ? dim - j : VSI_KERNEL_BLOCK,
                                    out + i, norm + i);
    }
}

/* Sixteen bytes as 16-bit numbers. */
static inline __m256i load_u8_avx2(const uint8_t *p) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

/* A lane adds at most 65535 / 16 times 2 * 255 * 255, which stays below 2^31. */
static void l2sq_u8_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                              double *out, double *norm) {
    const uint8_t *q = query, *row = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, row += dim) {
        __m256i s0 = _mm256_setzero_si256(), s1 = s0;
        size_t j = 0;
        for (; j + 32 <= dim; j += 32) {
            __m256i d0 = _mm256_sub_epi16(load_u8_avx2(q + j), load_u8_avx2(row + j));
            __m256i d1 = _mm256_sub_epi16(load_u8_avx2(q + j + 16), load_u8_avx2(row + j + 16));
            s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(d0, d0));
            s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(d1, d1));
        }
        double sum = sum_epi32_avx2(s0) + sum_epi32_avx2(s1);
        for (; j < dim; j++) {
            int d = q[j] - row[j];
            sum += d * d;
        }
        out[i] = sum;
    }
}

static void dot_u8_rows_avx2(const void *query, const void *rows, size_t dim, size_t n, double *out,
                             double *norm) {
    const uint8_t *q = query, *row = rows;
    (void)norm;
    for (size_t i = 0; i < n; i++, row += dim) {
        __m256i s0 = _mm256_setzero_si256(), s1 = s0;
        size_t j = 0;
        for (; j + 32 <= dim; j += 32) {
            s0 =
                _mm256_add_epi32(s0, _mm256_madd_epi16(load_u8_avx2(q + j), load_u8_avx2(row + j)));
            s1 = _mm256_add_epi32(
                s1, _mm256_madd_epi16(load_u8_avx2(q + j + 16), load_u8_avx2(row + j + 16)));
        }
        double sum = sum_epi32_avx2(s0) + sum_epi32_avx2(s1);
        for (; j < dim; j++)
            sum += q[j] * row[j];
        out[i] = sum;
    }
}

static void dot_norm_u8_rows_avx2(const void *query, const void *rows, size_t dim, size_t n,
                                  double *out, double *norm) {
    const uint8_t *q = query, *row = rows;
    for (size_t i = 0; i < n; i++, row += dim) {
        __m256i s = _mm256_setzero_si256(), t = s;
        size_t j = 0;
        for (; j + 16 <= dim; j += 16) {
            __m256i b = load_u8_avx2(row + j);
            s = _mm256_add_epi32(s, _mm256_madd_epi16(load_u8_avx2(q + j), b));
            t = _mm256_add_epi32(t, _mm256_madd_epi16(b, b));
        }
        double dot = sum_epi32_avx2(s), own = sum_epi32_avx2(t);
        for (; j < dim; j++) {
            dot += q[j] * row[j];
            own += row[j] * row[j];
        }
        out[i] = dot;
        norm[i] = own;
    }
}

VSI_TARGET_END

VSI_FN const vsi_kernels *vsi_kernels_avx2(void) {
    static const vsi_kernels table = {
        .name = "avx2",
        .rows = {[VS_F32] = {[VS_L2] = l2sq_f32_rows_avx2,
                             [VS_IP] = dot_f32_rows_avx2,
                             [VS_COSINE] = dot_norm_f32_rows_avx2},
                 [VS_U8] = {[VS_L2] = l2sq_u8_rows_avx2,
                            [VS_IP] = dot_u8_rows_avx2,
                            [VS_COSINE] = dot_norm_u8_rows_avx2}},
    };
    return &table;
}

#else

VSI_FN const vsi_kernels *vsi_kernels_avx2(void) {
    return NULL;
}

#endif
/* ---- math/dispatch.h ---------------------------------------------------------------------------------- */
/* dispatch.h - which kernels this machine can run. */
#ifndef VSI_DISPATCH_H
#define VSI_DISPATCH_H

/* uses math/kernels.h */

/* The table named name, or the best one for NULL; NULL when this machine cannot run it. */
VSI_FN const vsi_kernels *vsi_kernels_choose(const char *name);

/* The names of all tables this machine can run, best first, separated by spaces. */
VSI_FN const char *vsi_kernels_names(void);

/* The kernel of a table, or the scalar one where it has none; the metric fits the type. */
VSI_FN vsi_kernel *vsi_kernels_find(const vsi_kernels *kernels, int type, int metric);

#endif
/* ---- math/dispatch.c ---------------------------------------------------------------------------------- */
/* dispatch.c - which kernels this machine can run: what the processor has and the system saves. */
/* uses math/dispatch.h */
/* uses math/kernels_avx2.h */
/* uses math/kernels_scalar.h */

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
/* ---- store/ref.h ---------------------------------------------------------------------------------- */
/* ref.h - references to parts of a database: extents of the file, or blocks in memory not written yet.
 *
 * In a file a reference carries the hash of what it leads to, so whoever has the root can verify
 * everything: a lost, stale or misdirected write is noticed where it is read. */
#ifndef VSI_REF_H
#define VSI_REF_H

/* uses base/codec.h */

enum {
    VSI_REF_BYTES = 24,
    VSI_PAGE_BYTES = 4096,
    VSI_EXTENT_PAGES_MAX = (1 << 24) - 1,
    VSI_TRAILER_BYTES = 40 /* at the end of every extent, of a database that has trailers */
};

#define VSI_PAGE_NO_MAX (((uint64_t)1 << 40) - 1)

/* What a reference leads to. */
enum {
    VSI_REF_NONE = 0,
    VSI_REF_NODE = 1, /* a node of a B+tree */
    VSI_REF_SLAB = 2, /* rows of a slab array */
    VSI_REF_BLOB = 3, /* a large value */
    VSI_REF_FREE = 4  /* the list of free pages */
};

typedef struct vsi_ref {
    uint64_t at; /* extent: first page in the low 40 bits, above it the number of pages; block: its
                       address */
    uint32_t birth;             /* extent: the checkpoint that wrote it */
    uint8_t kind, codec, level; /* codec: VSI_CODEC_..., of a large value; else 0 */
    bool is_block;              /* in memory; never so in a file */
    uint64_t hash;              /* extent: XXH3-64 of its bytes, seed: its first page */
} vsi_ref;

VSI_FN vsi_ref vsi_ref_of_block(int kind, const void *block);
VSI_FN void *vsi_ref_block(vsi_ref ref); /* of one that is_block */

VSI_FN uint64_t vsi_ref_extent(uint64_t page, uint64_t pages); /* the at of an extent */
VSI_FN uint64_t vsi_ref_page(vsi_ref ref);                     /* of one that is no block */
VSI_FN uint64_t vsi_ref_pages(vsi_ref ref);

/* The pages of an extent for so many bytes and a trailer. */
VSI_FN uint64_t vsi_pages_for(uint64_t bytes, uint32_t trailer_bytes);

VSI_FN void vsi_ref_encode(vsi_ref ref, uint8_t out[VSI_REF_BYTES]);
VSI_FN vsi_ref vsi_ref_decode(const uint8_t in[VSI_REF_BYTES]);

#endif
/* ---- store/ref.c ---------------------------------------------------------------------------------- */
/* ref.c - references; docs/FORMAT.md has their bytes. */
/* uses store/ref.h */

enum { REF_IS_BLOCK = 1 };

VSI_FN vsi_ref vsi_ref_of_block(int kind, const void *block) {
    return (vsi_ref){.at = (uint64_t)(uintptr_t)block, .kind = (uint8_t)kind, .is_block = true};
}

VSI_FN void *vsi_ref_block(vsi_ref ref) {
    vsi_assert(ref.is_block);
    return (void *)(uintptr_t)ref.at;
}

VSI_FN uint64_t vsi_ref_extent(uint64_t page, uint64_t pages) {
    vsi_assert(page <= VSI_PAGE_NO_MAX);
    vsi_assert(pages <= VSI_EXTENT_PAGES_MAX);
    return page | pages << 40;
}

VSI_FN uint64_t vsi_ref_page(vsi_ref ref) {
    vsi_assert(!ref.is_block);
    return ref.at & VSI_PAGE_NO_MAX;
}

VSI_FN uint64_t vsi_ref_pages(vsi_ref ref) {
    vsi_assert(!ref.is_block);
    return ref.at >> 40;
}

VSI_FN uint64_t vsi_pages_for(uint64_t bytes, uint32_t trailer_bytes) {
    return (bytes + trailer_bytes + VSI_PAGE_BYTES - 1) / VSI_PAGE_BYTES;
}

VSI_FN void vsi_ref_encode(vsi_ref ref, uint8_t out[VSI_REF_BYTES]) {
    vsi_put_u64(out, ref.at);
    vsi_put_u32(out + 8, ref.birth);
    out[12] = ref.kind;
    out[13] = ref.codec;
    out[14] = ref.level;
    out[15] = ref.is_block ? REF_IS_BLOCK : 0;
    vsi_put_u64(out + 16, ref.hash);
}

VSI_FN vsi_ref vsi_ref_decode(const uint8_t in[VSI_REF_BYTES]) {
    return (vsi_ref){.at = vsi_get_u64(in),
                     .birth = vsi_get_u32(in + 8),
                     .kind = in[12],
                     .codec = in[13],
                     .level = in[14],
                     .is_block = in[15] & REF_IS_BLOCK,
                     .hash = vsi_get_u64(in + 16)};
}
/* ---- store/key.h ---------------------------------------------------------------------------------- */
/* key.h - keys of records as bytes whose order is the keys' order; docs/FORMAT.md has them. */
#ifndef VSI_KEY_H
#define VSI_KEY_H

/* uses base/bytes.h */
/* uses base/status.h */

enum {
    VSI_KEY_BYTES_MAX = 6 + VS_KEY_BYTES_MAX,
    VSI_KEY_UUID_BYTES = 16,
    VSI_KEY_TEXT_BYTES = 160 /* of a key in a message */
};

/* A key that a caller gave: VS_ERR_INVALID, VS_ERR_LIMIT. */
VS_NODISCARD VSI_FN vs_status vsi_key_check(vsi_err *err, vs_key key);

/* The bytes by which a key is found; written to out. */
VSI_FN vsi_bytes vsi_key_encode(uint8_t out[VSI_KEY_BYTES_MAX], vs_key key);
/* What all keys of a namespace begin with. */
VSI_FN vsi_bytes vsi_key_encode_space(uint8_t out[VSI_KEY_BYTES_MAX], uint32_t space);
/* The key of such bytes, borrowed from them; false: they are of none. */
VS_NODISCARD VSI_FN bool vsi_key_decode(vsi_bytes bytes, vs_key *out_key);

/* As memcmp of their bytes would give. */
VSI_FN int vsi_key_compare(vs_key a, vs_key b);

/* For messages. */
VSI_FN const char *vsi_key_text(char out[VSI_KEY_TEXT_BYTES], vs_key key);

#endif
/* ---- store/key.c ---------------------------------------------------------------------------------- */
/* key.c - keys of records: as bytes, in order, in messages. */
/* uses store/key.h */

enum { KEY_TEXT_SHOWN = 32 /* bytes of a key that a message shows */ };

VSI_FN vs_status vsi_key_check(vsi_err *err, vs_key key) {
    if (key.kind > VS_KEY_UUID)
        return vsi_fail(err, VS_ERR_INVALID, "key: kind is %u, expected VS_KEY_U64 ... VS_KEY_UUID",
                        key.kind);
    if (key.kind == VS_KEY_U64)
        return VS_OK;
    if (!key.data)
        return vsi_fail(err, VS_ERR_INVALID, "key: data missing");
    if (key.kind == VS_KEY_UUID && key.bytes != VSI_KEY_UUID_BYTES)
        return vsi_fail(err, VS_ERR_INVALID, "key: a UUID has %d bytes, this one %u",
                        VSI_KEY_UUID_BYTES, key.bytes);
    if (key.bytes < 1 || key.bytes > VS_KEY_BYTES_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "key: it has 1 to %u bytes, this one %u",
                        VS_KEY_BYTES_MAX, key.bytes);
    return VS_OK;
}

/* ---- as bytes ------------------------------------------------------------------------------- */

VSI_FN vsi_bytes vsi_key_encode_space(uint8_t out[VSI_KEY_BYTES_MAX], uint32_t space) {
    out[0] = space != 0;
    vsi_put_u32_be(out + 1, space);
    return (vsi_bytes){out, space ? 5 : 1};
}

VSI_FN vsi_bytes vsi_key_encode(uint8_t out[VSI_KEY_BYTES_MAX], vs_key key) {
    size_t at = vsi_key_encode_space(out, key.space).bytes;
    out[at++] = (uint8_t)(key.kind + 1);
    if (key.kind == VS_KEY_U64) {
        vsi_put_u64_be(out + at, key.number);
        return (vsi_bytes){out, at + 8};
    }
    vsi_assert(key.bytes <= VS_KEY_BYTES_MAX);
    memcpy(out + at, key.data, key.bytes);
    return (vsi_bytes){out, at + key.bytes};
}

VSI_FN bool vsi_key_decode(vsi_bytes bytes, vs_key *out_key) {
    vs_key key = {0};
    size_t at = 1;
    if (bytes.bytes < 3 || bytes.data[0] > 1 || (bytes.data[0] && bytes.bytes < 7))
        return false;
    if (bytes.data[0]) {
        key.space = vsi_get_u32_be(bytes.data + 1);
        at = 5;
    }
    key.kind = (uint16_t)(bytes.data[at++] - 1);
    size_t left = bytes.bytes - at;
    bool fits = key.kind == VS_KEY_U64     ? left == 8
                : key.kind == VS_KEY_BYTES ? left >= 1 && left <= VS_KEY_BYTES_MAX
                                           : key.kind == VS_KEY_UUID && left == VSI_KEY_UUID_BYTES;
    if (!fits || (bytes.data[0] && !key.space))
        return false;
    if (key.kind == VS_KEY_U64) {
        key.number = vsi_get_u64_be(bytes.data + at);
    } else {
        key.data = bytes.data + at;
        key.bytes = (uint16_t)left;
    }
    *out_key = key;
    return true;
}

VSI_FN int vsi_key_compare(vs_key a, vs_key b) {
    if (a.space != b.space)
        return a.space < b.space ? -1 : 1;
    if (a.kind != b.kind)
        return a.kind < b.kind ? -1 : 1;
    if (a.kind == VS_KEY_U64)
        return (a.number > b.number) - (a.number < b.number);
    return vsi_bytes_compare((vsi_bytes){a.data, a.bytes}, (vsi_bytes){b.data, b.bytes});
}

/* ---- in messages ---------------------------------------------------------------------------- */

static size_t key_write_bytes(char *out, size_t room, vs_key key) {
    const uint8_t *data = key.data;
    size_t n = key.bytes < KEY_TEXT_SHOWN ? key.bytes : KEY_TEXT_SHOWN, at = 0;
    out[at++] = '\'';
    for (size_t i = 0; i < n; i++) {
        bool is_plain = data[i] >= 0x20 && data[i] < 0x7f && data[i] != '\'' && data[i] != '\\';
        at += (size_t)snprintf(out + at, room - at, is_plain ? "%c" : "\\x%02x", data[i]);
    }
    return at + (size_t)snprintf(out + at, room - at, "'%s", n < key.bytes ? "..." : "");
}

static size_t key_write_uuid(char *out, size_t room, vs_key key) {
    const uint8_t *data = key.data;
    size_t at = 0;
    for (size_t i = 0; i < VSI_KEY_UUID_BYTES; i++)
        at += (size_t)snprintf(out + at, room - at, "%s%02x",
                               i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", data[i]);
    return at;
}

VSI_FN const char *vsi_key_text(char out[VSI_KEY_TEXT_BYTES], vs_key key) {
    size_t at = 0;
    if (key.kind == VS_KEY_U64)
        at = (size_t)snprintf(out, VSI_KEY_TEXT_BYTES, "%llu", (unsigned long long)key.number);
    else if (key.kind == VS_KEY_BYTES)
        at = key_write_bytes(out, VSI_KEY_TEXT_BYTES, key);
    else
        at = key_write_uuid(out, VSI_KEY_TEXT_BYTES, key);
    if (key.space)
        snprintf(out + at, VSI_KEY_TEXT_BYTES - at, " of namespace %lu", (unsigned long)key.space);
    return out;
}
/* ---- store/node.h ---------------------------------------------------------------------------------- */
/* node.h - one node of a B+tree: a page of entries in key order, the same bytes in memory and in the
 * file. */
#ifndef VSI_NODE_H
#define VSI_NODE_H

/* uses store/ref.h */

enum {
    VSI_NODE_HEADER_BYTES = 16,
    VSI_NODE_ROOM = VSI_PAGE_BYTES - VSI_NODE_HEADER_BYTES, /* of one without a trailer */
    VSI_NODE_ENTRY_MAX = 1340,   /* a third of a node: any split leaves room for the new entry */
    VSI_NODE_ENTRY_OVERHEAD = 6, /* offset and two lengths */
    VSI_NODE_REFS_MAX = 15,
    VSI_NODE_LEVEL_MAX = 31 /* nodes of the longest keys have three children, at worst */
};

/* An entry. Of an inner node: the first key of a child, and one reference. Borrowed from the page. */
typedef struct vsi_node_item {
    vsi_bytes key, value;
    const uint8_t *refs; /* [ref_count x VSI_REF_BYTES] */
    uint32_t ref_count;
} vsi_node_item;

/* trailer_bytes at the end of the page stay free of entries. */
VSI_FN void vsi_node_init(uint8_t page[VSI_PAGE_BYTES], uint32_t level, uint32_t trailer_bytes);
VSI_FN uint32_t vsi_node_level(const uint8_t *page); /* 0: leaf */
VSI_FN uint32_t vsi_node_count(const uint8_t *page);
VSI_FN uint32_t vsi_node_trailer(const uint8_t *page); /* in bytes */
VSI_FN size_t vsi_node_room(const uint8_t *page);      /* for items, used or not */
VSI_FN size_t vsi_node_used(const uint8_t *page);      /* bytes of all items, without holes */

VSI_FN vsi_node_item vsi_node_item_at(const uint8_t *page, uint32_t at);
VSI_FN size_t vsi_node_item_bytes(const vsi_node_item *item); /* as it takes up room */
VSI_FN vsi_bytes vsi_node_key(const uint8_t *page, uint32_t at);
VSI_FN vsi_ref vsi_node_ref(const uint8_t *page, uint32_t at, uint32_t ref_at);
VSI_FN void vsi_node_set_ref(uint8_t *page, uint32_t at, uint32_t ref_at, vsi_ref ref);
VSI_FN uint8_t *vsi_node_value(uint8_t *page, uint32_t at); /* to be changed in place */

VSI_FN bool vsi_node_has_room(const uint8_t *page, size_t item_bytes);
/* Puts a copy of item in front of entry number at; there must be room. */
VSI_FN void vsi_node_insert(uint8_t *page, uint32_t at, const vsi_node_item *item);
VSI_FN void vsi_node_remove(uint8_t *page, uint32_t at);
/* Closes the holes that removed entries left, and zeroes what no entry uses. */
VSI_FN void vsi_node_pack(uint8_t *page);

/* The first entry of a leaf whose key is not below key. */
VSI_FN uint32_t vsi_node_find(const uint8_t *leaf, vsi_bytes key, bool *out_found);
/* The entry of an inner node whose child covers key. */
VSI_FN uint32_t vsi_node_find_child(const uint8_t *inner, vsi_bytes key);

/* Whether the trailer has this size, and every entry lies inside the page, before the trailer, and in
 * order; reads nothing outside whatever the page holds. NULL, or what is wrong. */
VSI_FN const char *vsi_node_check(const uint8_t *page, uint32_t trailer_bytes);

#endif
/* ---- store/node.c ---------------------------------------------------------------------------------- */
/* node.c - one node of a B+tree; docs/FORMAT.md has its bytes.
 *
 *     [ header | off 0 | off 1 | ... | off count-1 |   free   | entry | entry | ... | entry | trailer ]
 *                                                             ^ heap_at
 *     entry: key_bytes u16, value_bytes u16 with the number of references in the upper four bits, key,
 *     value, references
 *
 *   D1  Keys ascend strictly. In an inner node key 0 is never compared: child 0 has no lower bound
 *       of its own. */
/* uses store/node.h */

enum {
    NODE_LEVEL_OFF = 0,
    NODE_COUNT_OFF = 2,
    NODE_HEAP_OFF = 4, /* offset of the lowest entry */
    NODE_USED_OFF = 6, /* bytes of entries and their offsets */
    NODE_TRAILER_OFF = 8,
    NODE_OFFSET_BYTES = 2,
    NODE_LENGTHS_BYTES = 4,
    NODE_REFS_SHIFT = 12
};

_Static_assert(NODE_OFFSET_BYTES + NODE_LENGTHS_BYTES == VSI_NODE_ENTRY_OVERHEAD, "overhead");
_Static_assert(3 * VSI_NODE_ENTRY_MAX <= VSI_NODE_ROOM - VSI_TRAILER_BYTES,
               "a split must leave room");

VSI_FN void vsi_node_init(uint8_t page[VSI_PAGE_BYTES], uint32_t level, uint32_t trailer_bytes) {
    memset(page, 0, VSI_PAGE_BYTES);
    vsi_put_u16(page + NODE_LEVEL_OFF, (uint16_t)level);
    vsi_put_u16(page + NODE_HEAP_OFF, (uint16_t)(VSI_PAGE_BYTES - trailer_bytes));
    vsi_put_u16(page + NODE_TRAILER_OFF, (uint16_t)trailer_bytes);
}

VSI_FN uint32_t vsi_node_trailer(const uint8_t *page) {
    return vsi_get_u16(page + NODE_TRAILER_OFF);
}

VSI_FN size_t vsi_node_room(const uint8_t *page) {
    return VSI_NODE_ROOM - vsi_node_trailer(page);
}

VSI_FN uint32_t vsi_node_level(const uint8_t *page) {
    return vsi_get_u16(page + NODE_LEVEL_OFF);
}

VSI_FN uint32_t vsi_node_count(const uint8_t *page) {
    return vsi_get_u16(page + NODE_COUNT_OFF);
}

VSI_FN size_t vsi_node_used(const uint8_t *page) {
    return vsi_get_u16(page + NODE_USED_OFF);
}

/* ---- entries -------------------------------------------------------------------------------- */

static uint8_t *node_offset_place(uint8_t *page, uint32_t at) {
    return page + VSI_NODE_HEADER_BYTES + (size_t)at * NODE_OFFSET_BYTES;
}

static size_t node_entry_off(const uint8_t *page, uint32_t at) {
    vsi_assert(at < vsi_node_count(page));
    return vsi_get_u16(page + VSI_NODE_HEADER_BYTES + (size_t)at * NODE_OFFSET_BYTES);
}

VSI_FN vsi_node_item vsi_node_item_at(const uint8_t *page, uint32_t at) {
    const uint8_t *entry = page + node_entry_off(page, at);
    uint32_t lengths = vsi_get_u16(entry + 2);
    uint32_t ref_count = lengths >> NODE_REFS_SHIFT;
    size_t key_bytes = vsi_get_u16(entry), value_bytes = lengths & ((1u << NODE_REFS_SHIFT) - 1);
    const uint8_t *key = entry + NODE_LENGTHS_BYTES;
    return (vsi_node_item){.key = {key, key_bytes},
                           .value = {key + key_bytes, value_bytes},
                           .refs = key + key_bytes + value_bytes,
                           .ref_count = ref_count};
}

VSI_FN size_t vsi_node_item_bytes(const vsi_node_item *item) {
    return VSI_NODE_ENTRY_OVERHEAD + item->key.bytes + item->value.bytes +
           (size_t)item->ref_count * VSI_REF_BYTES;
}

VSI_FN vsi_bytes vsi_node_key(const uint8_t *page, uint32_t at) {
    const uint8_t *entry = page + node_entry_off(page, at);
    return (vsi_bytes){entry + NODE_LENGTHS_BYTES, vsi_get_u16(entry)};
}

VSI_FN vsi_ref vsi_node_ref(const uint8_t *page, uint32_t at, uint32_t ref_at) {
    vsi_node_item item = vsi_node_item_at(page, at);
    vsi_assert(ref_at < item.ref_count);
    return vsi_ref_decode(item.refs + (size_t)ref_at * VSI_REF_BYTES);
}

VSI_FN void vsi_node_set_ref(uint8_t *page, uint32_t at, uint32_t ref_at, vsi_ref ref) {
    vsi_node_item item = vsi_node_item_at(page, at);
    vsi_assert(ref_at < item.ref_count);
    vsi_ref_encode(ref, page + (item.refs - page) + (size_t)ref_at * VSI_REF_BYTES);
}

VSI_FN uint8_t *vsi_node_value(uint8_t *page, uint32_t at) {
    return page + (vsi_node_item_at(page, at).value.data - page);
}

/* ---- changing ------------------------------------------------------------------------------- */

VSI_FN bool vsi_node_has_room(const uint8_t *page, size_t item_bytes) {
    return item_bytes <= vsi_node_room(page) - vsi_node_used(page);
}

static void node_copy(uint8_t *to, const uint8_t *from, size_t bytes) {
    if (bytes)
        memcpy(to, from, bytes);
}

static void node_insert_packed(uint8_t *page, uint32_t at, const vsi_node_item *item) {
    uint32_t count = vsi_node_count(page);
    size_t bytes = vsi_node_item_bytes(item);
    size_t off = vsi_get_u16(page + NODE_HEAP_OFF) - (bytes - NODE_OFFSET_BYTES);
    uint8_t *entry = page + off, *key = entry + NODE_LENGTHS_BYTES;
    vsi_put_u16(entry, (uint16_t)item->key.bytes);
    vsi_put_u16(entry + 2, (uint16_t)(item->value.bytes | item->ref_count << NODE_REFS_SHIFT));
    node_copy(key, item->key.data, item->key.bytes);
    node_copy(key + item->key.bytes, item->value.data, item->value.bytes);
    node_copy(key + item->key.bytes + item->value.bytes, item->refs,
              (size_t)item->ref_count * VSI_REF_BYTES);
    uint8_t *place = node_offset_place(page, at);
    memmove(place + NODE_OFFSET_BYTES, place, (size_t)(count - at) * NODE_OFFSET_BYTES);
    vsi_put_u16(place, (uint16_t)off);
    vsi_put_u16(page + NODE_COUNT_OFF, (uint16_t)(count + 1));
    vsi_put_u16(page + NODE_HEAP_OFF, (uint16_t)off);
    vsi_put_u16(page + NODE_USED_OFF, (uint16_t)(vsi_node_used(page) + bytes));
}

VSI_FN void vsi_node_pack(uint8_t *page) {
    uint8_t copy[VSI_PAGE_BYTES];
    memcpy(copy, page, sizeof copy);
    vsi_node_init(page, vsi_node_level(copy), vsi_node_trailer(copy));
    for (uint32_t i = 0; i < vsi_node_count(copy); i++) {
        vsi_node_item item = vsi_node_item_at(copy, i);
        node_insert_packed(page, i, &item);
    }
}

VSI_FN void vsi_node_insert(uint8_t *page, uint32_t at, const vsi_node_item *item) {
    size_t bytes = vsi_node_item_bytes(item);
    size_t front = VSI_NODE_HEADER_BYTES + (size_t)vsi_node_count(page) * NODE_OFFSET_BYTES;
    vsi_assert(vsi_node_has_room(page, bytes));
    vsi_assert(item->value.bytes < 1u << NODE_REFS_SHIFT);
    if (bytes > vsi_get_u16(page + NODE_HEAP_OFF) - front)
        vsi_node_pack(page);
    node_insert_packed(page, at, item);
}

VSI_FN void vsi_node_remove(uint8_t *page, uint32_t at) {
    vsi_node_item item = vsi_node_item_at(page, at);
    uint32_t count = vsi_node_count(page);
    size_t bytes = vsi_node_item_bytes(&item);
    uint8_t *place = node_offset_place(page, at);
    memmove(place, place + NODE_OFFSET_BYTES, (size_t)(count - at - 1) * NODE_OFFSET_BYTES);
    vsi_put_u16(page + NODE_COUNT_OFF, (uint16_t)(count - 1));
    vsi_put_u16(page + NODE_USED_OFF, (uint16_t)(vsi_node_used(page) - bytes));
}

/* ---- finding -------------------------------------------------------------------------------- */

VSI_FN uint32_t vsi_node_find(const uint8_t *leaf, vsi_bytes key, bool *out_found) {
    uint32_t low = 0, high = vsi_node_count(leaf);
    *out_found = false;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        int order = vsi_bytes_compare(vsi_node_key(leaf, mid), key);
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
            *out_found = order == 0; /* D1: what comes now is below it */
        }
    }
    return low;
}

VSI_FN uint32_t vsi_node_find_child(const uint8_t *inner, vsi_bytes key) {
    uint32_t low = 1, high = vsi_node_count(inner); /* D1: key 0 is not compared */
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (vsi_bytes_compare(vsi_node_key(inner, mid), key) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low - 1;
}

/* ---- checking ------------------------------------------------------------------------------- */

/* Whether entry number at lies inside the page, before the trailer; then its item may be taken. */
static bool node_entry_fits(const uint8_t *page, uint32_t at) {
    size_t heap_at = vsi_get_u16(page + NODE_HEAP_OFF), off = node_entry_off(page, at);
    size_t end = VSI_PAGE_BYTES - vsi_node_trailer(page);
    if (off < heap_at || off > end - NODE_LENGTHS_BYTES)
        return false;
    vsi_node_item item = vsi_node_item_at(page, at);
    size_t bytes = vsi_node_item_bytes(&item) - NODE_OFFSET_BYTES;
    return bytes <= end - off;
}

VSI_FN const char *vsi_node_check(const uint8_t *page, uint32_t trailer_bytes) {
    uint32_t count = vsi_node_count(page), level = vsi_node_level(page);
    size_t heap_at = vsi_get_u16(page + NODE_HEAP_OFF), used = 0;
    if (level > VSI_NODE_LEVEL_MAX)
        return "a node's level is out of range";
    if (count == 0)
        return "a node is empty";
    if (vsi_node_trailer(page) != trailer_bytes)
        return "a node's trailer has another size than the database's";
    if (heap_at > VSI_PAGE_BYTES - trailer_bytes ||
        VSI_NODE_HEADER_BYTES + (size_t)count * NODE_OFFSET_BYTES > heap_at)
        return "a node's entries lie outside it";
    for (uint32_t i = 0; i < count; i++) {
        if (!node_entry_fits(page, i))
            return "an entry reaches beyond its node";
        vsi_node_item item = vsi_node_item_at(page, i);
        used += vsi_node_item_bytes(&item);
        if (vsi_node_item_bytes(&item) > VSI_NODE_ENTRY_MAX + (level ? VSI_REF_BYTES : 0u))
            return "an entry is larger than any may be";
        if (level && (item.ref_count != 1 || item.value.bytes))
            return "an inner node's entry has no child";
        bool has_order = i > (level ? 1u : 0u);
        if (has_order && vsi_bytes_compare(vsi_node_key(page, i - 1), item.key) >= 0)
            return "keys of a node do not ascend"; /* D1 */
    }
    bool is_counted = used == vsi_node_used(page) && used <= vsi_node_room(page);
    return is_counted ? NULL : "a node's count of used bytes is wrong";
}
/* ---- store/reside.h ---------------------------------------------------------------------------------- */
/* reside.h - memory that holds what the file has too: who may be looking at it, and what waits until
 * nobody can be.
 *
 * A call that follows pointers into such memory stays from enter to leave. Whoever takes something out
 * of a table first makes it unreachable and then retires it; it is freed when all who stayed at that
 * moment have left or renewed. Nobody waits for anybody. Epoch-based reclamation (Fraser, Practical
 * lock-freedom, 2004), with counters of those who stay in place of a list of threads. */
#ifndef VSI_RESIDE_H
#define VSI_RESIDE_H

/* uses base/mem.h */

enum { VSI_RESIDE_STRIPES = 16 };

/* First member of what can be retired. */
typedef struct vsi_retired {
    struct vsi_retired *next;
    uint64_t epoch; /* in which it was retired */
    size_t bytes;   /* of the allocation */
} vsi_retired;

/* Threads count themselves in different cache lines. */
typedef struct vsi_reside_stripe {
    vsi_atomic_u64 stays[2]; /* begun in an even epoch, in an odd one */
    uint8_t apart[112];
} vsi_reside_stripe;

typedef struct vsi_reside {
    vsi_mem *mem;         /* borrowed */
    uint64_t limit_bytes; /* of all memory of the database; UINT64_MAX: none */
    vsi_atomic_u64 epoch;
    vsi_reside_stripe stripes[VSI_RESIDE_STRIPES];
    vsi_mutex lock; /* guards the queue and the change of the epoch */
    vsi_retired *first, *last;
    vsi_atomic_u64 waiting_bytes; /* retired, not freed yet */
    vsi_atomic_u64 evictions;     /* changes before something that the file has leaves a table */
} vsi_reside;

/* What a call that stays must give back. */
typedef struct vsi_stay {
    uint32_t stripe, parity;
} vsi_stay;

VSI_FN bool vsi_reside_init(vsi_reside *reside, vsi_mem *mem);
VSI_FN void vsi_reside_free(vsi_reside *reside); /* and all that was retired */

/* Any thread; stays may nest. Neither waits nor allocates. */
VSI_FN vsi_stay vsi_stay_enter(vsi_reside *reside);
VSI_FN void vsi_stay_leave(vsi_reside *reside, vsi_stay stay);
/* Leaves and enters again if something waits: then true, and pointers got before are not valid any more. */
VSI_FN bool vsi_stay_renew(vsi_reside *reside, vsi_stay *stay);

/* Frees it, now or later. Nobody who enters from now on can reach it. */
VSI_FN void vsi_retire(vsi_reside *reside, vsi_retired *retired, size_t bytes);
/* Moves the epoch on by up to two, as far as those who stay let it, and returns it. What left its table in
 * epoch e can be looked at by nobody in e + 2. */
VSI_FN uint64_t vsi_reside_advance(vsi_reside *reside);
/* Frees what nobody can be looking at any more. */
VSI_FN void vsi_reside_collect(vsi_reside *reside);

/* By how many bytes memory, what waits not counted, and extra more would exceed the limit. */
VSI_FN uint64_t vsi_reside_excess(vsi_reside *reside, uint64_t extra);

#endif
/* ---- store/reside.c ---------------------------------------------------------------------------------- */
/* reside.c - who stays, and what waits for them.
 *
 *   E1  Who stays since epoch e keeps the epoch from going beyond e + 1: it moves on only when nobody
 *       is left of the epoch before.
 *   E2  What was retired in epoch e is freed in e + 2 at the earliest: whoever could have reached it
 *       entered in e or before, and has left (E1). */
/* uses store/reside.h */

VSI_FN bool vsi_reside_init(vsi_reside *reside, vsi_mem *mem) {
    memset(reside, 0, sizeof *reside);
    reside->mem = mem;
    reside->limit_bytes = UINT64_MAX;
    return vsi_mutex_init(&reside->lock);
}

static void reside_free_first(vsi_reside *reside) {
    vsi_retired *gone = reside->first;
    reside->first = gone->next;
    vsi_atomic_add(&reside->waiting_bytes, 0 - (uint64_t)gone->bytes);
    vsi_free(reside->mem, gone, gone->bytes);
}

VSI_FN void vsi_reside_free(vsi_reside *reside) {
    while (reside->first)
        reside_free_first(reside);
    vsi_mutex_destroy(&reside->lock);
}

/* ---- staying -------------------------------------------------------------------------------- */

/* Threads have stacks of their own, so where this one's is tells them apart well enough. */
static uint32_t reside_stripe(void) {
    char here = 0;
    uint64_t at = (uint64_t)(uintptr_t)&here >> 12;
    return (uint32_t)((at * 0x9e3779b97f4a7c15u) >> 60) % VSI_RESIDE_STRIPES;
}

VSI_FN vsi_stay vsi_stay_enter(vsi_reside *reside) {
    vsi_stay stay = {.stripe = reside_stripe()};
    for (;;) {
        uint64_t epoch = vsi_ordered_load(&reside->epoch);
        stay.parity = (uint32_t)(epoch & 1);
        vsi_ordered_add(&reside->stripes[stay.stripe].stays[stay.parity], 1);
        if (vsi_ordered_load(&reside->epoch) == epoch) /* else E1 may have missed this one */
            return stay;
        vsi_stay_leave(reside, stay);
    }
}

VSI_FN void vsi_stay_leave(vsi_reside *reside, vsi_stay stay) {
    vsi_ordered_add(&reside->stripes[stay.stripe].stays[stay.parity], UINT64_MAX);
}

VSI_FN bool vsi_stay_renew(vsi_reside *reside, vsi_stay *stay) {
    if (!vsi_atomic_load(&reside->waiting_bytes))
        return false;
    vsi_stay_leave(reside, *stay);
    vsi_reside_collect(reside);
    *stay = vsi_stay_enter(reside);
    return true;
}

/* ---- what waits ----------------------------------------------------------------------------- */

VSI_FN void vsi_retire(vsi_reside *reside, vsi_retired *retired, size_t bytes) {
    vsi_mutex_lock(&reside->lock);
    retired->next = NULL;
    retired->bytes = bytes;
    retired->epoch = vsi_ordered_load(&reside->epoch);
    if (reside->first)
        reside->last->next = retired;
    else
        reside->first = retired;
    reside->last = retired;
    vsi_atomic_add(&reside->waiting_bytes, bytes);
    vsi_mutex_unlock(&reside->lock);
}

/* Goes to the next epoch unless someone is left of the last one; the lock is held. */
static bool reside_advance(vsi_reside *reside) {
    uint64_t epoch = vsi_ordered_load(&reside->epoch);
    for (int i = 0; i < VSI_RESIDE_STRIPES; i++)
        if (vsi_ordered_load(&reside->stripes[i].stays[(epoch + 1) & 1]))
            return false;
    vsi_ordered_store(&reside->epoch, epoch + 1); /* keeps E1 */
    return true;
}

VSI_FN uint64_t vsi_reside_advance(vsi_reside *reside) {
    vsi_mutex_lock(&reside->lock);
    if (reside_advance(reside))
        reside_advance(reside);
    uint64_t epoch = vsi_ordered_load(&reside->epoch);
    vsi_mutex_unlock(&reside->lock);
    return epoch;
}

VSI_FN void vsi_reside_collect(vsi_reside *reside) {
    bool has_moved = true;
    vsi_mutex_lock(&reside->lock);
    while (reside->first && has_moved) {
        while (reside->first && reside->first->epoch + 2 <= vsi_ordered_load(&reside->epoch))
            reside_free_first(reside); /* keeps E2 */
        has_moved = reside->first && reside_advance(reside);
    }
    vsi_mutex_unlock(&reside->lock);
}

VSI_FN uint64_t vsi_reside_excess(vsi_reside *reside, uint64_t extra) {
    uint64_t used = vsi_atomic_load(&reside->mem->used_bytes) + extra;
    uint64_t waiting = vsi_atomic_load(&reside->waiting_bytes);
    used = used > waiting ? used - waiting : 0;
    return used > reside->limit_bytes ? used - reside->limit_bytes : 0;
}
/* ---- store/space.h ---------------------------------------------------------------------------------- */
/* space.h - which pages of the database file are free. Of the holder of the writer role.
 *
 * What is free is known from the list that the last checkpoint wrote; nothing relies on the list being
 * there, it can be made anew from what the checkpoint reaches. */
#ifndef VSI_SPACE_H
#define VSI_SPACE_H

/* uses base/bytes.h */
/* uses base/mem.h */
/* uses store/ref.h */
/* uses store/reside.h */

enum {
    VSI_SPACE_FIRST_PAGE = 32 /* behind the meta pages and the largest block around them */
};

#define VSI_NONE_KEPT UINT64_MAX

/* A free run of so many pages has room for extents of up to VSI_SPACE_MIDDLE, wherever they must begin. */
enum { VSI_SPACE_LARGE = 64, VSI_SPACE_MIDDLE = 16 };

typedef struct vsi_run {
    uint64_t page, pages;
} vsi_run;

/* Pages of extents, by what finding room for them takes: of one page, of up to VSI_SPACE_MIDDLE, of more. */
typedef struct vsi_page_count {
    uint64_t single, middle, large;
} vsi_page_count;

/* An extent that the newest version has no use for. */
typedef struct vsi_dead_extent {
    vsi_run run;
    uint64_t checkpoint; /* the newest one that may reach it */
    uint64_t version;    /* versions before this one reach it */
    uint64_t birth;      /* the checkpoint it was written for */
    uint64_t left;       /* the epoch in which it left all tables, and one more; 0: it has not */
} vsi_dead_extent;

/* A version that can be read. */
typedef struct vsi_space_reader {
    uint64_t version;
    uint64_t newest_birth; /* what it reaches was written for this checkpoint at the latest */
} vsi_space_reader;

typedef struct vsi_space {
    vsi_mem *mem;
    vsi_reside *reside;   /* of those who look at the file itself; NULL: nobody does */
    bool is_known;        /* false: not loaded yet, nothing may be allocated */
    uint64_t end;         /* pages of the file in use: behind it everything is free */
    uint64_t block_pages; /* the device damages no other block than the one written to */
    uint64_t open_page; /* behind the last one allocated, while its block may be written; 0: none */
    uint64_t taken;     /* extents taken since the last seal: they may be given back one by one */
    vsi_buf runs;       /* vsi_run, ascending, none touching another */
    vsi_buf dead;       /* vsi_dead_extent, by the time they died */
    size_t left;        /* how many of the dead have left all tables */
    uint64_t dead_pages, free_pages;
    uint64_t large_pages; /* of those free, in runs of VSI_SPACE_LARGE or more */
    uint64_t owned; /* pages that the device has given to the file; UINT64_MAX: nobody knows */
} vsi_space;

/* Counts an extent of so many pages count times. */
VSI_FN void vsi_page_count_add(vsi_page_count *sum, uint64_t pages, uint64_t count);
VSI_FN void vsi_page_count_subtract(vsi_page_count *sum, uint64_t pages);

VSI_FN void vsi_runs_sort(vsi_buf *runs); /* vsi_run, by page */

VSI_FN void vsi_space_init(vsi_space *space, vsi_mem *mem);
VSI_FN void vsi_space_free(vsi_space *space); /* accepts one that is all zero */

/* Takes pages one after the other; no block that it shares with durable pages. */
VS_NODISCARD VSI_FN vs_status vsi_space_take(vsi_err *err, vsi_space *space, uint64_t pages,
                                             uint64_t *out_page);
/* What was taken so far is durable, or given up: its last block must not be written to again. */
VSI_FN void vsi_space_seal(vsi_space *space);

/* Frees pages that were taken or that are dead, at once; there is always memory for that. */
VSI_FN void vsi_space_give(vsi_space *space, vsi_run run);

/* Whether extents of so many pages, and single ones besides, find room in what the file owns. */
VSI_FN bool vsi_space_fits(const vsi_space *space, vsi_page_count need, uint64_t singles);

/* Notes an extent that dies with a version. Room for it was made by vsi_space_expect. */
VS_NODISCARD VSI_FN vs_status vsi_space_expect(vsi_err *err, vsi_space *space, size_t extents);
VSI_FN void vsi_space_bury(vsi_space *space, vsi_dead_extent extent);

/* Frees the dead that no checkpoint from first_checkpoint on and none of the readers [count] reaches;
 * gone is told each run before, and takes it out of all tables. With space->reside set they are free, by
 * vsi_space_give_left, when those have left who may still be looking. */
typedef void (*vsi_run_fn)(void *ctx, vsi_run run);
VSI_FN void vsi_space_reap(vsi_space *space, uint64_t first_checkpoint,
                           const vsi_space_reader *readers, size_t count, vsi_run_fn gone,
                           void *ctx);
VSI_FN void vsi_space_give_left(vsi_space *space);

/* The list as it is in the file, for a checkpoint beside which those from first_kept on are kept: pages
 * that are free, and pages that will be when only that checkpoint is left, among them the runs in dying
 * that the checkpoint itself gives up. VSI_NONE_KEPT: only that checkpoint is left, all are free. */
VS_NODISCARD VSI_FN vs_status vsi_space_write(vsi_err *err, const vsi_space *space,
                                              uint64_t first_kept, const vsi_buf *dying,
                                              vsi_buf *out);
/* Takes the runs at the end of the file out of a list where all are free. Returns where it ends then. */
VSI_FN uint64_t vsi_space_trim_list(vsi_buf *list, uint64_t end);
/* Reads the list of a checkpoint. VS_ERR_CORRUPT for one that is malformed. */
VS_NODISCARD VSI_FN vs_status vsi_space_read(vsi_err *err, vsi_space *space, vsi_bytes list,
                                             uint64_t end, uint64_t checkpoint);
/* Appends all runs of a list, free or dying, to out as vsi_run. */
VS_NODISCARD VSI_FN vs_status vsi_space_list(vsi_err *err, vsi_bytes list, vsi_buf *out);

#endif
/* ---- store/space.c ---------------------------------------------------------------------------------- */
/* space.c - free pages.
 *
 *   G1  Runs ascend, do not touch, and lie between the first page and end, which none touches.
 *   G2  A page is never in runs while a kept checkpoint or a version that can be read reaches it.
 *       With space->reside also not while somebody may look at it in the file itself: first it leaves all
 *       tables, then two epochs pass (E2).
 *   G3  There is room in runs for every extent that may come back: the dead ones, and those taken
 *       since the last seal. So freeing never fails. */
/* uses store/space.h */

enum { SPACE_HEADER_BYTES = 16, SPACE_RUN_BYTES = 16 };

VSI_FN void vsi_space_init(vsi_space *space, vsi_mem *mem) {
    memset(space, 0, sizeof *space);
    space->mem = mem;
    space->block_pages = 1;
    space->owned = UINT64_MAX;
    space->end = VSI_SPACE_FIRST_PAGE;
    space->runs.mem = mem;
    space->dead.mem = mem;
}

VSI_FN void vsi_space_free(vsi_space *space) {
    if (!space->mem)
        return;
    vsi_buf_free(&space->runs);
    vsi_buf_free(&space->dead);
}

/* ---- counting ------------------------------------------------------------------------------- */

static uint64_t *page_count_of(vsi_page_count *sum, uint64_t pages) {
    if (pages <= 1)
        return &sum->single;
    return pages <= VSI_SPACE_MIDDLE ? &sum->middle : &sum->large;
}

VSI_FN void vsi_page_count_add(vsi_page_count *sum, uint64_t pages, uint64_t count) {
    *page_count_of(sum, pages) += pages * count;
}

VSI_FN void vsi_page_count_subtract(vsi_page_count *sum, uint64_t pages) {
    *page_count_of(sum, pages) -= pages;
}

/* Middle ones lose at most half of a large run to its ends; the largest are only looked for behind
 * everything. Single pages fit anywhere, unless the device wants blocks. */
VSI_FN bool vsi_space_fits(const vsi_space *space, vsi_page_count need, uint64_t singles) {
    uint64_t tail = space->owned - space->end;
    uint64_t small = space->block_pages == 1 ? space->free_pages - space->large_pages : 0;
    if (space->owned == UINT64_MAX)
        return true;
    if (space->owned < space->end || need.large > tail)
        return false;
    singles += need.single;
    singles -= small < singles ? small : singles;
    return singles + need.middle <= tail - need.large + space->large_pages / 2;
}

/* ---- runs ----------------------------------------------------------------------------------- */

static vsi_run *space_runs(const vsi_space *space) {
    return (vsi_run *)(void *)space->runs.data;
}

static size_t space_run_count(const vsi_space *space) {
    return space->runs.bytes / sizeof(vsi_run);
}

/* Room for so many more extents to come back than may already; keeps G3. */
static bool space_make_room(vsi_space *space, size_t extents) {
    size_t runs = space->dead.bytes / sizeof(vsi_dead_extent) + (size_t)space->taken + extents;
    return vsi_buf_reserve(&space->runs, runs * sizeof(vsi_run));
}

static uint64_t space_round_up(const vsi_space *space, uint64_t page) {
    return (page + space->block_pages - 1) / space->block_pages * space->block_pages;
}

/* Where pages could begin in a run that ends at limit (UINT64_MAX: the end of the file); UINT64_MAX when
 * they do not fit. Blocks are used as a whole, or further filled before they are durable. */
static uint64_t space_fit(const vsi_space *space, uint64_t page, uint64_t limit, uint64_t pages) {
    uint64_t first = page == space->open_page ? page : space_round_up(space, page);
    uint64_t last = space_round_up(space, first + pages);
    return first < limit && last <= limit ? first : UINT64_MAX;
}

/* A run gets another length; 0: it is new, or goes. */
static void space_resize(vsi_space *space, uint64_t from, uint64_t to) {
    space->free_pages += to - from;
    space->large_pages += (to >= VSI_SPACE_LARGE ? to : 0) - (from >= VSI_SPACE_LARGE ? from : 0);
}

static void space_remove_run(vsi_space *space, size_t at) {
    vsi_run *runs = space_runs(space);
    space_resize(space, runs[at].pages, 0);
    memmove(runs + at, runs + at + 1, (space_run_count(space) - at - 1) * sizeof *runs);
    space->runs.bytes -= sizeof *runs;
}

static void space_insert_run(vsi_space *space, size_t at, vsi_run run) {
    vsi_assert(space->runs.cap - space->runs.bytes >= sizeof run); /* G3 */
    vsi_run *runs = space_runs(space);
    memmove(runs + at + 1, runs + at, (space_run_count(space) - at) * sizeof *runs);
    runs[at] = run;
    space->runs.bytes += sizeof run;
    space_resize(space, 0, run.pages);
}

static void space_set_run(vsi_space *space, size_t at, vsi_run run) {
    space_resize(space, space_runs(space)[at].pages, run.pages);
    space_runs(space)[at] = run;
}

/* Cuts [page, page + pages) out of run number at. */
static void space_cut(vsi_space *space, size_t at, uint64_t page, uint64_t pages) {
    vsi_run run = space_runs(space)[at], left = {run.page, page - run.page};
    uint64_t end = page + pages;
    vsi_run right = {end, run.page + run.pages - end};
    if (left.pages)
        space_set_run(space, at, left);
    if (left.pages && right.pages)
        space_insert_run(space, at + 1, right);
    else if (right.pages)
        space_set_run(space, at, right);
    else if (!left.pages)
        space_remove_run(space, at);
}

VSI_FN vs_status vsi_space_take(vsi_err *err, vsi_space *space, uint64_t pages,
                                uint64_t *out_page) {
    uint64_t found = UINT64_MAX;
    vsi_assert(space->is_known);
    if (!space_make_room(space, 2)) /* this extent, and the rest of a run that it splits */
        return vsi_fail_nomem(err, 2 * sizeof(vsi_run));
    for (size_t i = 0; found == UINT64_MAX && i < space_run_count(space); i++) {
        vsi_run run = space_runs(space)[i];
        if (run.pages < pages)
            continue;
        found = space_fit(space, run.page, run.page + run.pages, pages);
        if (found != UINT64_MAX)
            space_cut(space, i, found, pages);
    }
    if (found == UINT64_MAX) {
        found = space_fit(space, space->end, UINT64_MAX, pages);
        if (found + pages > VSI_PAGE_NO_MAX)
            return vsi_fail(err, VS_ERR_LIMIT, "the database file is too large");
        vsi_run skipped = {space->end, found - space->end};
        space->end = found + pages;
        vsi_space_give(space, skipped);
    }
    space->open_page = found + pages;
    space->taken++;
    *out_page = found;
    return VS_OK;
}

VSI_FN void vsi_space_seal(vsi_space *space) {
    space->open_page = 0;
    space->taken = 0;
}

/* A free run at the end is no run: the file in use ends before it. */
static void space_trim(vsi_space *space) {
    size_t n = space_run_count(space);
    vsi_assert(n > 0); /* something was just given */
    vsi_run last = space_runs(space)[n - 1];
    if (last.page + last.pages != space->end)
        return;
    space->end = last.page;
    space_remove_run(space, n - 1);
}

VSI_FN void vsi_space_give(vsi_space *space, vsi_run run) {
    size_t low = 0, high = space_run_count(space);
    if (!run.pages)
        return;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (space_runs(space)[mid].page < run.page)
            low = mid + 1;
        else
            high = mid;
    }
    const vsi_run *runs = space_runs(space);
    bool joins_left = low > 0 && runs[low - 1].page + runs[low - 1].pages == run.page;
    bool joins_right = low < space_run_count(space) && run.page + run.pages == runs[low].page;
    if (joins_right)
        run.pages += runs[low].pages;
    if (joins_left)
        run = (vsi_run){runs[low - 1].page, runs[low - 1].pages + run.pages};
    if (joins_left && joins_right)
        space_remove_run(space, low);
    if (joins_left)
        space_set_run(space, low - 1, run);
    else if (joins_right)
        space_set_run(space, low, run);
    else
        space_insert_run(space, low, run);
    space_trim(space);
}

/* ---- the dead ------------------------------------------------------------------------------- */

static vsi_dead_extent *space_dead(const vsi_space *space) {
    return (vsi_dead_extent *)(void *)space->dead.data;
}

static size_t space_dead_count(const vsi_space *space) {
    return space->dead.bytes / sizeof(vsi_dead_extent);
}

VSI_FN vs_status vsi_space_expect(vsi_err *err, vsi_space *space, size_t extents) {
    size_t bytes = extents * sizeof(vsi_dead_extent);
    bool ok = vsi_buf_reserve(&space->dead, bytes) && space_make_room(space, extents);
    return ok ? VS_OK : vsi_fail_nomem(err, bytes);
}

VSI_FN void vsi_space_bury(vsi_space *space, vsi_dead_extent extent) {
    vsi_assert(space->dead.cap - space->dead.bytes >= sizeof extent);
    vsi_buf_append(&space->dead, &extent, sizeof extent);
    space->dead_pages += extent.run.pages;
}

static bool dead_is_read(const vsi_dead_extent *dead, const vsi_space_reader *readers,
                         size_t count) {
    for (size_t i = 0; i < count; i++)
        if (readers[i].version < dead->version && dead->birth <= readers[i].newest_birth)
            return true;
    return false;
}

/* Taken out of all tables by now. */
static void space_note_left(vsi_space *space, vsi_dead_extent *dead) {
    if (dead->left)
        return;
    dead->left = vsi_ordered_load(&space->reside->epoch) + 1;
    space->left++;
}

VSI_FN void vsi_space_reap(vsi_space *space, uint64_t first_checkpoint,
                           const vsi_space_reader *readers, size_t count, vsi_run_fn gone,
                           void *ctx) {
    size_t n = space_dead_count(space), kept = 0;
    vsi_dead_extent *dead = space_dead(space);
    for (size_t i = 0; space->is_known && i < n; i++) {
        if (dead[i].checkpoint >= first_checkpoint || dead_is_read(&dead[i], readers, count)) {
            dead[kept++] = dead[i];
            continue;
        }
        if (!dead[i].left)
            gone(ctx, dead[i].run);
        if (space->reside) {
            space_note_left(space, &dead[i]);
            dead[kept++] = dead[i];
            continue;
        }
        space->dead_pages -= dead[i].run.pages;
        vsi_space_give(space, dead[i].run); /* keeps G2 */
    }
    if (space->is_known)
        space->dead.bytes = kept * sizeof *dead;
}

VSI_FN void vsi_space_give_left(vsi_space *space) {
    size_t n = space_dead_count(space), kept = 0;
    vsi_dead_extent *dead = space_dead(space);
    if (!space->left)
        return;
    uint64_t epoch = vsi_reside_advance(space->reside);
    for (size_t i = 0; i < n; i++) {
        if (!dead[i].left || dead[i].left + 1 > epoch) {
            dead[kept++] = dead[i];
            continue;
        }
        space->left--;
        space->dead_pages -= dead[i].run.pages;
        vsi_space_give(space, dead[i].run); /* keeps G2 */
    }
    space->dead.bytes = kept * sizeof *dead;
}

/* ---- sorting -------------------------------------------------------------------------------- */

/* Moves run down from the root of a heap of n, the largest first. */
static void runs_sift_down(vsi_run *runs, size_t root, size_t n, vsi_run run) {
    for (size_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        if (child + 1 < n && runs[child + 1].page > runs[child].page)
            child++;
        if (runs[child].page <= run.page)
            break;
        runs[root] = runs[child];
        root = child;
    }
    runs[root] = run;
}

/* Heapsort: qsort takes memory of its own. */
static void runs_sort(vsi_run *runs, size_t n) {
    for (size_t root = n / 2; root-- > 0;)
        runs_sift_down(runs, root, n, runs[root]);
    for (; n > 1; n--) {
        vsi_run last = runs[n - 1];
        runs[n - 1] = runs[0];
        runs_sift_down(runs, 0, n - 1, last);
    }
}

VSI_FN void vsi_runs_sort(vsi_buf *buf) {
    runs_sort((vsi_run *)(void *)buf->data, buf->bytes / sizeof(vsi_run));
}

/* ---- in the file ---------------------------------------------------------------------------- */

static bool space_write_run(vsi_buf *out, vsi_run run) {
    uint8_t bytes[SPACE_RUN_BYTES];
    vsi_put_u64(bytes, run.page);
    vsi_put_u64(bytes + 8, run.pages);
    return vsi_buf_append(out, bytes, sizeof bytes);
}

/* Writes the dead that are free for this checkpoint, or those that are not. */
static bool space_write_dead(const vsi_space *space, uint64_t first_kept, bool free_ones,
                             vsi_buf *out) {
    bool ok = true;
    for (size_t i = 0; ok && i < space_dead_count(space); i++)
        if ((space_dead(space)[i].checkpoint < first_kept) == free_ones)
            ok = space_write_run(out, space_dead(space)[i].run);
    return ok;
}

VSI_FN vs_status vsi_space_write(vsi_err *err, const vsi_space *space, uint64_t first_kept,
                                 const vsi_buf *dying, vsi_buf *out) {
    uint8_t header[SPACE_HEADER_BYTES] = {0};
    size_t start = out->bytes + sizeof header;
    bool ok = vsi_buf_append(out, header, sizeof header);
    for (size_t i = 0; ok && i < space_run_count(space); i++)
        ok = space_write_run(out, space_runs(space)[i]);
    ok = ok && space_write_dead(space, first_kept, true, out);
    size_t free_end = out->bytes;
    ok = ok && space_write_dead(space, first_kept, false, out);
    const vsi_run *runs = (const vsi_run *)(const void *)dying->data;
    for (size_t i = 0; ok && i < dying->bytes / sizeof *runs; i++)
        ok = space_write_run(out, runs[i]);
    free_end = first_kept == VSI_NONE_KEPT ? out->bytes : free_end;
    if (!ok)
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    vsi_put_u64(out->data + start - SPACE_HEADER_BYTES, (free_end - start) / SPACE_RUN_BYTES);
    vsi_put_u64(out->data + start - 8, (out->bytes - free_end) / SPACE_RUN_BYTES);
    return VS_OK;
}

VSI_FN uint64_t vsi_space_trim_list(vsi_buf *list, uint64_t end) {
    uint8_t *first = list->data + SPACE_HEADER_BYTES;
    size_t n = (size_t)vsi_get_u64(list->data); /* all of them are in memory */
    vsi_assert(vsi_get_u64(list->data + 8) == 0);
    vsi_run *runs = (vsi_run *)(void *)first; /* as numbers of this machine for the time being */
    for (size_t i = 0; i < n; i++)
        runs[i] = (vsi_run){vsi_get_u64(first + i * SPACE_RUN_BYTES),
                            vsi_get_u64(first + i * SPACE_RUN_BYTES + 8)};
    runs_sort(runs, n);
    for (; n > 0 && runs[n - 1].page + runs[n - 1].pages == end; n--)
        end = runs[n - 1].page;
    for (size_t i = 0; i < n; i++) {
        vsi_run run = runs[i];
        vsi_put_u64(first + i * SPACE_RUN_BYTES, run.page);
        vsi_put_u64(first + i * SPACE_RUN_BYTES + 8, run.pages);
    }
    vsi_put_u64(list->data, n);
    list->bytes = SPACE_HEADER_BYTES + n * SPACE_RUN_BYTES;
    return end;
}

/* How many runs a list has, free ones and all. */
static vs_status list_counts(vsi_err *err, vsi_bytes list, uint64_t *out_free, uint64_t *out_all) {
    uint64_t room = list.bytes / SPACE_RUN_BYTES; /* one for the header, which is as large */
    uint64_t free_runs = list.bytes >= SPACE_HEADER_BYTES ? vsi_get_u64(list.data) : UINT64_MAX;
    uint64_t dying = list.bytes >= SPACE_HEADER_BYTES ? vsi_get_u64(list.data + 8) : UINT64_MAX;
    if (free_runs >= room || dying >= room - free_runs)
        return vsi_fail(err, VS_ERR_CORRUPT, "the list of free pages is malformed");
    *out_free = free_runs;
    *out_all = free_runs + dying;
    return VS_OK;
}

static vsi_run list_run(vsi_bytes list, uint64_t at) {
    const uint8_t *p = list.data + SPACE_HEADER_BYTES + at * SPACE_RUN_BYTES;
    return (vsi_run){vsi_get_u64(p), vsi_get_u64(p + 8)};
}

VSI_FN vs_status vsi_space_list(vsi_err *err, vsi_bytes list, vsi_buf *out) {
    uint64_t free_runs = 0, all = 0;
    vs_status st = list_counts(err, list, &free_runs, &all);
    for (uint64_t i = 0; st == VS_OK && i < all; i++) {
        vsi_run run = list_run(list, i);
        if (!vsi_buf_append(out, &run, sizeof run))
            st = vsi_fail_nomem(err, sizeof run);
    }
    return st;
}

/* Whether all runs of a list lie in the file, and none shares a page with another. */
static vs_status list_check(vsi_err *err, const vsi_space *space, vsi_bytes list, uint64_t end) {
    vsi_buf sorted = {.mem = space->mem};
    vs_status st = vsi_space_list(err, list, &sorted);
    uint64_t free_from = VSI_SPACE_FIRST_PAGE;
    vsi_runs_sort(&sorted);
    const vsi_run *runs = (const vsi_run *)(const void *)sorted.data;
    for (size_t i = 0; st == VS_OK && i < sorted.bytes / sizeof *runs; i++) {
        bool fits = runs[i].page >= free_from && runs[i].page < end && runs[i].pages >= 1 &&
                    runs[i].pages <= end - runs[i].page;
        if (!fits)
            st = vsi_fail(err, VS_ERR_CORRUPT, "the list of free pages names page %llu wrongly",
                          (unsigned long long)runs[i].page);
        free_from = runs[i].page + runs[i].pages;
    }
    vsi_buf_free(&sorted);
    return st;
}

static vs_status space_adopt(vsi_err *err, vsi_space *space, vsi_run run, bool is_free,
                             uint64_t checkpoint) {
    if (is_free && !space_make_room(space, 1))
        return vsi_fail_nomem(err, sizeof run);
    if (is_free) {
        vsi_space_give(space, run);
        return VS_OK;
    }
    vs_status st = vsi_space_expect(err, space, 1);
    if (st == VS_OK)
        vsi_space_bury(space, (vsi_dead_extent){.run = run, .checkpoint = checkpoint - 1});
    return st;
}

VSI_FN vs_status vsi_space_read(vsi_err *err, vsi_space *space, vsi_bytes list, uint64_t end,
                                uint64_t checkpoint) {
    uint64_t free_runs = 0, all = 0;
    size_t dead_bytes = space->dead.bytes;
    uint64_t dead_pages = space->dead_pages;
    vs_status st = list_check(err, space, list, end);
    if (st == VS_OK)
        st = list_counts(err, list, &free_runs, &all);
    if (st != VS_OK)
        return st;
    space->end = end;
    for (uint64_t i = 0; st == VS_OK && i < all; i++)
        st = space_adopt(err, space, list_run(list, i), i < free_runs, checkpoint);
    if (st != VS_OK) {
        space->runs.bytes = 0;
        space->free_pages = space->large_pages = 0;
        space->dead.bytes = dead_bytes;
        space->dead_pages = dead_pages;
        return st;
    }
    space->is_known = true;
    return VS_OK;
}
/* ---- store/window.h ---------------------------------------------------------------------------------- */
/* window.h - parts of the database file that are mapped for reading, and the extents in use there.
 *
 * A mapping saves reading an extent to a copy; it never has to be there. Whoever gets NULL reads. */
#ifndef VSI_WINDOW_H
#define VSI_WINDOW_H

/* uses os/file.h */
/* uses store/reside.h */

/* The file is mapped in parts of this size, a multiple of 64 KiB; an extent on the border of two is not
 * mapped. Smaller in some tests. */
#ifndef VSI_WINDOW_BYTES
#define VSI_WINDOW_BYTES (sizeof(void *) > 4 ? (uint64_t)64 << 20 : (uint64_t)4 << 20)
#endif
/* Address space for all of them, and no more of them than a process may map. */
#ifndef VSI_WINDOWS_BYTES_MAX
#define VSI_WINDOWS_BYTES_MAX (sizeof(void *) > 4 ? (uint64_t)1 << 40 : (uint64_t)256 << 20)
#endif

typedef struct vsi_window {
    struct vsi_window *older; /* of the same part of the file, replaced by this one */
    const uint8_t *first;
    uint64_t offset;
    size_t bytes;
    uint64_t users; /* extents in use */
    uint64_t seen;  /* the epoch in which somebody last came here, or left */
    bool is_cut;    /* the file ended before it */
} vsi_window;

/* An extent in use; lies in what its user keeps for it. */
typedef struct vsi_sight {
    struct vsi_sight *next; /* in its bucket */
    vsi_window *window;
    uint64_t offset; /* in the file */
    void *user;      /* borrowed */
} vsi_sight;

typedef struct vsi_windows {
    vsi_mem *mem;         /* borrowed */
    const vsi_file *file; /* borrowed */
    vsi_reside *reside;   /* borrowed */
    bool is_on;           /* false: nothing is mapped */

    vsi_mutex lock;      /* guards all below and what it leads to */
    vsi_buf panes;       /* vsi_window *: those of a part of the file, the newest first */
    vsi_sight **buckets; /* by offset */
    size_t bucket_count, sight_count;
    uint64_t bytes; /* mapped */
} vsi_windows;

VSI_FN bool vsi_windows_init(vsi_windows *windows, vsi_mem *mem, const vsi_file *file,
                             vsi_reside *reside);
VSI_FN void vsi_windows_free(vsi_windows *windows); /* unmaps all; accepts one that is all zero */

/* Where [offset, offset + bytes) of the file is in memory, for as long as the caller stays (store/reside);
 * NULL: read it instead. Sets what out_sight needs to know. Any thread. */
VSI_FN const uint8_t *vsi_windows_see(vsi_windows *windows, uint64_t offset, size_t bytes,
                                      vsi_sight *out_sight);
/* The extent is in use, and stays mapped, until its user leaves; the caller stays since it was seen. */
VSI_FN void vsi_windows_use(vsi_windows *windows, vsi_sight *sight);
/* Nobody who comes from now on looks at it. Harmless after vsi_windows_free. */
VSI_FN void vsi_windows_leave(vsi_windows *windows, vsi_sight *sight);
/* Who uses the extent that begins at offset; NULL: nobody. */
VSI_FN void *vsi_windows_user(vsi_windows *windows, uint64_t offset);

#ifdef VSI_DEBUG
/* Whether nothing that is in use begins in [offset, end). */
VSI_FN bool vsi_windows_are_clear(vsi_windows *windows, uint64_t offset, uint64_t end);
#endif

/* The file ends here now. */
VSI_FN void vsi_windows_cut(vsi_windows *windows, uint64_t end);

#endif
/* ---- store/window.c ---------------------------------------------------------------------------------- */
/* window.c - parts of the database file that are mapped for reading.
 *
 *   D1  A window never reaches behind the end that the file had when it was mapped, and nobody is shown
 *       what lies behind the end that it has now.
 *   D2  A window stays where it is until it is unmapped: when no extent in it is in use, and whoever came
 *       or left last has stopped staying (E1).
 *   D3  When the file is cut, nothing behind the new end is in use or looked at any more: its pages
 *       were free, and pages become free only when all have left who could look at them (store/space). */
/* uses store/window.h */

enum { WINDOW_BUCKETS_FIRST = 64 };

_Static_assert(VSI_WINDOW_BYTES % 65536 == 0, "windows begin where a VFS can map");

VSI_FN bool vsi_windows_init(vsi_windows *windows, vsi_mem *mem, const vsi_file *file,
                             vsi_reside *reside) {
    memset(windows, 0, sizeof *windows);
    if (!vsi_mutex_init(&windows->lock))
        return false;
    windows->mem = mem;
    windows->file = file;
    windows->reside = reside;
    windows->panes.mem = mem;
    return true;
}

static vsi_window **windows_panes(const vsi_windows *windows) {
    return (vsi_window **)(void *)windows->panes.data;
}

static size_t windows_pane_count(const vsi_windows *windows) {
    return windows->panes.bytes / sizeof(vsi_window *);
}

/* Unmaps the window that a link leads to. */
static void windows_unmap(vsi_windows *windows, vsi_window **link) {
    vsi_window *window = *link;
    *link = window->older;
    windows->bytes -= window->bytes;
    vsi_file_unmap(windows->file, window->first, window->bytes);
    vsi_free(windows->mem, window, sizeof *window);
}

VSI_FN void vsi_windows_free(vsi_windows *windows) {
    if (!windows->mem)
        return;
    for (size_t i = 0; i < windows_pane_count(windows); i++)
        while (windows_panes(windows)[i])
            windows_unmap(windows, &windows_panes(windows)[i]);
    vsi_buf_free(&windows->panes);
    vsi_free(windows->mem, windows->buckets, windows->bucket_count * sizeof *windows->buckets);
    vsi_mutex_destroy(&windows->lock);
    memset(windows, 0, sizeof *windows);
}

/* ---- mapping -------------------------------------------------------------------------------- */

/* Unmaps what nobody uses: those that were replaced or cut, or all. */
static void windows_unmap_idle(vsi_windows *windows, bool all) {
    uint64_t epoch = vsi_reside_advance(windows->reside);
    for (size_t i = 0; i < windows_pane_count(windows); i++) {
        vsi_window **first = &windows_panes(windows)[i], **link = first;
        while (*link) {
            bool is_spare = all || link != first || (*link)->is_cut;
            if (is_spare && !(*link)->users && (*link)->seen + 2 <= epoch)
                windows_unmap(windows, link); /* keeps D2 */
            else
                link = &(*link)->older;
        }
    }
}

/* Room for a window of so many bytes. */
static bool windows_make_room(vsi_windows *windows, size_t pane, size_t bytes) {
    windows_unmap_idle(windows, false);
    if (windows->bytes + bytes > VSI_WINDOWS_BYTES_MAX)
        windows_unmap_idle(windows, true);
    if (windows->bytes + bytes > VSI_WINDOWS_BYTES_MAX)
        return false;
    size_t known = windows_pane_count(windows), more = pane < known ? 0 : pane + 1 - known;
    if (!vsi_buf_reserve(&windows->panes, more * sizeof(vsi_window *)))
        return false;
    for (size_t i = 0; i < more; i++)
        windows_panes(windows)[known + i] = NULL;
    windows->panes.bytes += more * sizeof(vsi_window *);
    if (!windows->bucket_count)
        windows->buckets =
            vsi_alloc_zeroed(windows->mem, WINDOW_BUCKETS_FIRST * sizeof(vsi_sight *));
    windows->bucket_count =
        windows->buckets && !windows->bucket_count ? WINDOW_BUCKETS_FIRST : windows->bucket_count;
    return windows->buckets;
}

/* Maps a part of a file of so many bytes; NULL: it cannot be. */
static vsi_window *windows_map(vsi_windows *windows, size_t pane, uint64_t file_bytes) {
    uint64_t offset = pane * VSI_WINDOW_BYTES, rest = file_bytes - offset;
    size_t bytes = (size_t)(rest < VSI_WINDOW_BYTES ? rest : VSI_WINDOW_BYTES); /* keeps D1 */
    if (!windows_make_room(windows, pane, bytes))
        return NULL;
    const void *first = NULL;
    vsi_window *window = vsi_alloc_zeroed(windows->mem, sizeof *window);
    if (!window || vsi_file_map(windows->file, offset, bytes, &first) != VS_OK) {
        vsi_free(windows->mem, window, sizeof *window);
        return NULL;
    }
    window->first = first;
    window->offset = offset;
    window->bytes = bytes;
    window->older = windows_panes(windows)[pane];
    windows_panes(windows)[pane] = window;
    windows->bytes += bytes;
    return window;
}

/* The window that has everything up to end. */
static vsi_window *windows_find(vsi_windows *windows, size_t pane, uint64_t end) {
    vsi_window *window = pane < windows_pane_count(windows) ? windows_panes(windows)[pane] : NULL;
    return window && !window->is_cut && window->offset + window->bytes >= end ? window : NULL;
}

VSI_FN const uint8_t *vsi_windows_see(vsi_windows *windows, uint64_t offset, size_t bytes,
                                      vsi_sight *out_sight) {
    vsi_err ignored = {0};
    uint64_t file_bytes = 0, end = offset + bytes;
    if (!windows->is_on || offset / VSI_WINDOW_BYTES != (end - 1) / VSI_WINDOW_BYTES)
        return NULL;
    if (vsi_file_size(&ignored, windows->file, &file_bytes) != VS_OK || end > file_bytes)
        return NULL; /* keeps D1 */
    vsi_mutex_lock(&windows->lock);
    size_t pane = (size_t)(offset / VSI_WINDOW_BYTES);
    vsi_window *window = windows_find(windows, pane, end);
    window = window ? window : windows_map(windows, pane, file_bytes);
    if (window)
        window->seen = vsi_ordered_load(&windows->reside->epoch); /* keeps D2 */
    vsi_mutex_unlock(&windows->lock);
    out_sight->window = window;
    out_sight->offset = offset;
    return window ? window->first + (offset - window->offset) : NULL;
}

VSI_FN void vsi_windows_cut(vsi_windows *windows, uint64_t end) {
    if (!windows->is_on)
        return;
    vsi_mutex_lock(&windows->lock);
    for (size_t i = 0; i < windows_pane_count(windows); i++)
        for (vsi_window *w = windows_panes(windows)[i]; w; w = w->older)
            w->is_cut = w->is_cut || w->offset + w->bytes > end;
    vsi_mutex_unlock(&windows->lock);
}

/* ---- what is in use ------------------------------------------------------------------------- */

static vsi_sight **windows_bucket(const vsi_windows *windows, uint64_t offset) {
    uint64_t hash = (offset >> 12) * 0x9e3779b97f4a7c15u;
    return &windows->buckets[(size_t)(hash >> 32) & (windows->bucket_count - 1)];
}

/* Twice as many buckets when there are as many extents; without memory they only hold more. */
static void windows_grow(vsi_windows *windows) {
    size_t old_count = windows->bucket_count, count = old_count * 2;
    vsi_sight **old = windows->buckets;
    vsi_sight **buckets = vsi_alloc_zeroed(windows->mem, count * sizeof(vsi_sight *));
    if (!buckets)
        return;
    windows->buckets = buckets;
    windows->bucket_count = count;
    for (size_t i = 0; i < old_count; i++)
        while (old[i]) {
            vsi_sight *sight = old[i], **to = windows_bucket(windows, sight->offset);
            old[i] = sight->next;
            sight->next = *to;
            *to = sight;
        }
    vsi_free(windows->mem, old, old_count * sizeof(vsi_sight *));
}

VSI_FN void vsi_windows_use(vsi_windows *windows, vsi_sight *sight) {
    vsi_mutex_lock(&windows->lock);
    if (windows->sight_count >= windows->bucket_count)
        windows_grow(windows);
    vsi_sight **bucket = windows_bucket(windows, sight->offset);
    sight->next = *bucket;
    *bucket = sight;
    sight->window->users++;
    windows->sight_count++;
    vsi_mutex_unlock(&windows->lock);
}

/* After a fork another thread of the parent may hold the lock for ever; closing unmaps everything before. */
VSI_FN void vsi_windows_leave(vsi_windows *windows, vsi_sight *sight) {
    if (!windows->mem)
        return;
    vsi_mutex_lock(&windows->lock);
    vsi_sight **link = windows_bucket(windows, sight->offset);
    while (*link != sight)
        link = &(*link)->next;
    *link = sight->next;
    sight->window->users--;
    sight->window->seen = vsi_ordered_load(&windows->reside->epoch); /* keeps D2 */
    windows->sight_count--;
    vsi_mutex_unlock(&windows->lock);
}

VSI_FN void *vsi_windows_user(vsi_windows *windows, uint64_t offset) {
    void *user = NULL;
    if (!windows->is_on)
        return NULL;
    vsi_mutex_lock(&windows->lock);
    vsi_sight *sight = windows->bucket_count ? *windows_bucket(windows, offset) : NULL;
    for (; sight && !user; sight = sight->next)
        user = sight->offset == offset ? sight->user : NULL;
    vsi_mutex_unlock(&windows->lock);
    return user;
}

#ifdef VSI_DEBUG
VSI_FN bool vsi_windows_are_clear(vsi_windows *windows, uint64_t offset, uint64_t end) {
    bool is_clear = true;
    vsi_mutex_lock(&windows->lock);
    for (size_t i = 0; i < windows->bucket_count; i++)
        for (const vsi_sight *s = windows->buckets[i]; s; s = s->next)
            is_clear = is_clear && (s->offset < offset || s->offset >= end);
    vsi_mutex_unlock(&windows->lock);
    return is_clear;
}
#endif
/* ---- store/pager.h ---------------------------------------------------------------------------------- */
/* pager.h - extents of the database file: reading with verification, a cache of nodes, writing. */
#ifndef VSI_PAGER_H
#define VSI_PAGER_H

/* uses os/file.h */
/* uses store/ref.h */
/* uses store/reside.h */
/* uses store/space.h */
/* uses store/window.h */

typedef struct vsi_pager {
    vsi_mem *mem;         /* borrowed */
    const vsi_file *file; /* borrowed */

    vsi_reside reside;  /* of what is read from the file */
    vsi_atomic_u64 end; /* pages that may be read */

    vsi_mutex lock;       /* held by who changes the cache; looking up takes no lock */
    vsi_atomic_ptr table; /* pager_table: the cache of nodes */
    size_t page_count, hand;

    vsi_mutex slab_lock;    /* for store/slab */
    vsi_windows windows;    /* likewise: extents that are looked at in the file itself */
    uint32_t trailer_bytes; /* at the end of every extent, zero; fixed before one is touched */

    /* Of the holder of the writer role. */
    vsi_space space;
    uint32_t birth;    /* the checkpoint that extents are written for */
    vsi_buf out;       /* written but not in the file yet */
    uint64_t out_page; /* where out goes */
    vsi_buf taken;     /* vsi_run: written since the last keep or undo */
    vsi_buf dropped; /* vsi_run: given up without a version that says so; the engine buries them */
    uint64_t written_bytes;
    uint64_t writer; /* number of the transaction that changes something, or did last */
    bool packs;      /* large values are compressed when that saves a page */
    bool has_packed; /* a compressed one was written, if only to pages that were given up again */
} vsi_pager;

VSI_FN bool vsi_pager_init(vsi_pager *pager, vsi_mem *mem, const vsi_file *file);
VSI_FN void vsi_pager_free(vsi_pager *pager); /* accepts one that is all zero */
/* Slabs may be looked at in the file itself. Before the first is read. */
VSI_FN void vsi_pager_allow_maps(vsi_pager *pager);

/* Any thread: whether a reference may lead to an extent of this kind in the file; else VS_ERR_CORRUPT. */
VS_NODISCARD VSI_FN vs_status vsi_pager_check_ref(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                                  int kind);
/* Any thread: a node's page, checked, of a level that its reference names. It stays where it is as long
 * as the caller does (store/reside). */
VS_NODISCARD VSI_FN vs_status vsi_pager_node(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                             const uint8_t **out_page);
/* Any thread: the same from the file, whatever the cache has, into out [VSI_PAGE_BYTES]. */
VS_NODISCARD VSI_FN vs_status vsi_pager_node_again(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                                   uint8_t *out);
/* Any thread: an extent of this kind, verified, appended to buf. */
VS_NODISCARD VSI_FN vs_status vsi_pager_read(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                             vsi_buf *buf);

/* The same into out [bytes], which the extent must fill. */
VS_NODISCARD VSI_FN vs_status vsi_pager_read_to(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                                int kind, uint8_t *out, size_t bytes);

/* The same where it is in a mapping of the file, until the caller does not stay any more, or as long as
 * out_sight is in use. NULL: there is none, it must be read. */
VS_NODISCARD VSI_FN vs_status vsi_pager_see(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                            size_t bytes, vsi_sight *out_sight,
                                            const uint8_t **out_bytes);

/* Writes an extent of whole pages and makes a reference to it; level is a node's, else 0. The bytes
 * reach the file by vsi_pager_flush at the latest. */
VS_NODISCARD VSI_FN vs_status vsi_pager_write(vsi_err *err, vsi_pager *pager, int kind,
                                              uint32_t level, vsi_bytes bytes, vsi_ref *out_ref);
/* The same in two steps. */
VS_NODISCARD VSI_FN vs_status vsi_pager_take(vsi_err *err, vsi_pager *pager, uint64_t pages,
                                             uint64_t *out_page);
VS_NODISCARD VSI_FN vs_status vsi_pager_write_at(vsi_err *err, vsi_pager *pager, int kind,
                                                 uint32_t level, vsi_bytes bytes, uint64_t page,
                                                 vsi_ref *out_ref);
/* Reserves space of the device for so many pages of the file, and some more; VS_ERR_FULL. */
VS_NODISCARD VSI_FN vs_status vsi_pager_own(vsi_err *err, vsi_pager *pager, uint64_t pages);
VS_NODISCARD VSI_FN vs_status vsi_pager_flush(vsi_err *err, vsi_pager *pager);
/* What was written is part of a checkpoint, or will never be: then its pages are free again. */
VSI_FN void vsi_pager_keep(vsi_pager *pager);
VSI_FN void vsi_pager_undo(vsi_pager *pager);
/* The same for what was written since taken had taken_bytes. */
VSI_FN void vsi_pager_undo_to(vsi_pager *pager, size_t taken_bytes);

VSI_FN void vsi_pager_open_to(vsi_pager *pager, uint64_t end); /* pages below end may be read */

/* The pages of an extent will hold something else; nobody reads them any more. */
VSI_FN void vsi_pager_forget(vsi_pager *pager, vsi_run run);

/* Any thread: looks at the next buckets of the cache, and retires the nodes in them that nobody asked
 * for since it last came by. Returns how many buckets there are. */
VSI_FN size_t vsi_pager_evict(vsi_pager *pager, size_t buckets);

#endif
/* ---- store/pager.c ---------------------------------------------------------------------------------- */
/* pager.c - extents of the database file.
 *
 *   P1  Nothing read from the file is used before its hash was found right.
 *   P2  An extent is written once; its pages are not written again before it is dead to everybody
 *       (G2).
 *   P3  Pages that were taken belong to the file: writing them does not run out of space. */
/* uses store/pager.h */
/* uses base/hash.h */
/* uses store/node.h */

enum { PAGER_BUCKETS_FIRST = 64, PAGER_OUT_BYTES = 1 << 20 };

/* Space is reserved in steps of this share of the file, within these bounds. */
enum { PAGER_STEP_SHARE = 16, PAGER_STEP_MAX = 4096 };
#ifndef VSI_STEP_PAGES
#define VSI_STEP_PAGES 16
#endif

/* A node in the cache. */
typedef struct pager_node {
    vsi_retired retired;
    vsi_atomic_ptr next; /* pager_node: in its bucket */
    uint64_t page_no;
    vsi_atomic_u64 is_wanted; /* since the last sweep */
    uint8_t bytes[VSI_PAGE_BYTES];
} pager_node;

typedef struct pager_table {
    vsi_retired retired;
    size_t count;
    vsi_atomic_ptr buckets[]; /* pager_node */
} pager_table;

VSI_FN bool vsi_pager_init(vsi_pager *pager, vsi_mem *mem, const vsi_file *file) {
    memset(pager, 0, sizeof *pager);
    if (!vsi_mutex_init(&pager->lock))
        return false;
    if (!vsi_mutex_init(&pager->slab_lock))
        goto fail_lock;
    if (!vsi_reside_init(&pager->reside, mem))
        goto fail_slab_lock;
    if (!vsi_windows_init(&pager->windows, mem, file, &pager->reside))
        goto fail_reside;
    pager->mem = mem;
    pager->file = file;
    pager->out.mem = mem;
    pager->taken.mem = mem;
    pager->dropped.mem = mem;
    vsi_atomic_set(&pager->end, VSI_SPACE_FIRST_PAGE);
    vsi_space_init(&pager->space, mem);
    return true;

fail_reside:
    vsi_reside_free(&pager->reside);
fail_slab_lock:
    vsi_mutex_destroy(&pager->slab_lock);
fail_lock:
    vsi_mutex_destroy(&pager->lock);
    return false;
}

VSI_FN void vsi_pager_allow_maps(vsi_pager *pager) {
    pager->windows.is_on = true;
    pager->space.reside = &pager->reside;
}

static size_t pager_table_bytes(size_t count) {
    return sizeof(pager_table) + count * sizeof(vsi_atomic_ptr);
}

VSI_FN void vsi_pager_free(vsi_pager *pager) {
    if (!pager->mem)
        return;
    pager_table *table = vsi_atomic_ptr_load(&pager->table);
    for (size_t i = 0; table && i < table->count; i++) {
        pager_node *node = vsi_atomic_ptr_load(&table->buckets[i]);
        while (node) {
            pager_node *next = vsi_atomic_ptr_load(&node->next);
            vsi_free(pager->mem, node, sizeof *node);
            node = next;
        }
    }
    if (table)
        vsi_free(pager->mem, table, pager_table_bytes(table->count));
    vsi_windows_free(&pager->windows);
    vsi_reside_free(&pager->reside);
    vsi_buf_free(&pager->out);
    vsi_buf_free(&pager->taken);
    vsi_buf_free(&pager->dropped);
    vsi_space_free(&pager->space);
    vsi_mutex_destroy(&pager->slab_lock);
    vsi_mutex_destroy(&pager->lock);
}

/* ---- reading -------------------------------------------------------------------------------- */

VSI_FN vs_status vsi_pager_check_ref(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind) {
    uint64_t page = vsi_ref_page(ref), pages = vsi_ref_pages(ref);
    uint64_t end = vsi_ordered_load(&pager->end);
    int codec_max = kind == VSI_REF_BLOB ? VSI_CODEC_ZSTD : VSI_CODEC_NONE;
    if (ref.codec > codec_max)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: of codec %d, expected at most %d",
                        pager->file->path, (unsigned long long)page, ref.codec, codec_max);
    if (ref.kind != kind)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: of kind %d, expected %d",
                        pager->file->path, (unsigned long long)page, ref.kind, kind);
    if (page < VSI_SPACE_FIRST_PAGE || page >= end || pages < 1 || pages > end - page)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu and %llu more lie outside the file",
                        pager->file->path, (unsigned long long)page, (unsigned long long)pages - 1);
    return VS_OK;
}

/* Verifies the bytes of an extent. */
static vs_status pager_verify(vsi_err *err, const vsi_pager *pager, vsi_ref ref,
                              const uint8_t *data, size_t bytes) {
    uint64_t page = vsi_ref_page(ref), hash = vsi_hash64(data, bytes, page);
    if (hash == ref.hash)
        return VS_OK; /* keeps P1 */
    return vsi_fail(err, VS_ERR_CORRUPT,
                    "%s: page %llu (%zu bytes) is damaged: hash %016llx, expected %016llx",
                    pager->file->path, (unsigned long long)page, bytes, (unsigned long long)hash,
                    (unsigned long long)ref.hash);
}

/* Reads an extent and verifies it. */
static vs_status pager_fetch(vsi_err *err, const vsi_pager *pager, vsi_ref ref, uint8_t *out) {
    uint64_t page = vsi_ref_page(ref);
    size_t bytes = (size_t)vsi_ref_pages(ref) * VSI_PAGE_BYTES, got = 0;
    vs_status st = vsi_file_read(err, pager->file, out, bytes, page * VSI_PAGE_BYTES, &got);
    if (st != VS_OK)
        return st;
    if (got < bytes)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s is truncated: page %llu is missing",
                        pager->file->path, (unsigned long long)page + got / VSI_PAGE_BYTES);
    return pager_verify(err, pager, ref, out, bytes);
}

VSI_FN vs_status vsi_pager_read(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                vsi_buf *buf) {
    vs_status st = vsi_pager_check_ref(err, pager, ref, kind);
    if (st != VS_OK)
        return st;
    size_t bytes = (size_t)vsi_ref_pages(ref) * VSI_PAGE_BYTES;
    if (!vsi_buf_reserve(buf, bytes))
        return vsi_fail_nomem(err, bytes);
    st = pager_fetch(err, pager, ref, buf->data + buf->bytes);
    buf->bytes += st == VS_OK ? bytes : 0;
    return st;
}

/* Whether a reference may lead to an extent of this kind and size. */
static vs_status pager_check_size(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                  size_t bytes) {
    vs_status st = vsi_pager_check_ref(err, pager, ref, kind);
    if (st == VS_OK && vsi_ref_pages(ref) * VSI_PAGE_BYTES != bytes)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: %llu bytes, expected %zu",
                      pager->file->path, (unsigned long long)vsi_ref_page(ref),
                      (unsigned long long)vsi_ref_pages(ref) * VSI_PAGE_BYTES, bytes);
    return st;
}

VSI_FN vs_status vsi_pager_read_to(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                   uint8_t *out, size_t bytes) {
    vs_status st = pager_check_size(err, pager, ref, kind, bytes);
    return st == VS_OK ? pager_fetch(err, pager, ref, out) : st;
}

VSI_FN vs_status vsi_pager_see(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind, size_t bytes,
                               vsi_sight *out_sight, const uint8_t **out_bytes) {
    vs_status st = pager_check_size(err, pager, ref, kind, bytes);
    if (st != VS_OK)
        return st;
    const uint8_t *data =
        vsi_windows_see(&pager->windows, vsi_ref_page(ref) * VSI_PAGE_BYTES, bytes, out_sight);
    st = data ? pager_verify(err, pager, ref, data, bytes) : VS_OK;
    if (st == VS_OK)
        *out_bytes = data;
    return st;
}

/* ---- the cache of nodes --------------------------------------------------------------------- */

static vsi_atomic_ptr *pager_bucket(pager_table *table, uint64_t page_no) {
    size_t at = (size_t)((page_no * 0x9e3779b97f4a7c15u) >> 32) & (table->count - 1);
    return &table->buckets[at];
}

/* Without the lock one that is there may be missed while the table grows. */
static pager_node *pager_find(vsi_pager *pager, uint64_t page_no) {
    pager_table *table = vsi_atomic_ptr_load(&pager->table);
    pager_node *node = table ? vsi_atomic_ptr_load(pager_bucket(table, page_no)) : NULL;
    while (node && node->page_no != page_no)
        node = vsi_atomic_ptr_load(&node->next);
    if (node && !vsi_atomic_load(&node->is_wanted))
        vsi_atomic_set(&node->is_wanted, 1);
    return node;
}

static pager_node *pager_find_locked(vsi_pager *pager, uint64_t page_no) {
    vsi_mutex_lock(&pager->lock);
    pager_node *node = pager_find(pager, page_no);
    vsi_mutex_unlock(&pager->lock);
    return node;
}

static void pager_link(pager_table *table, pager_node *node) {
    vsi_atomic_ptr *bucket = pager_bucket(table, node->page_no);
    vsi_atomic_ptr_store(&node->next, vsi_atomic_ptr_load(bucket));
    vsi_atomic_ptr_store(bucket, node);
}

/* Twice as many buckets when there are as many nodes; the lock is held. Who looks something up meanwhile
 * may follow a node that moves into its new bucket, and miss what was behind it. */
static bool pager_grow(vsi_pager *pager) {
    pager_table *old = vsi_atomic_ptr_load(&pager->table);
    size_t old_count = old ? old->count : 0;
    if (pager->page_count < old_count)
        return true;
    size_t count = old ? old_count * 2 : PAGER_BUCKETS_FIRST;
    pager_table *table = vsi_alloc_zeroed(pager->mem, pager_table_bytes(count));
    if (!table)
        return old;
    table->count = count;
    for (size_t i = 0; i < old_count; i++) {
        pager_node *node = vsi_atomic_ptr_load(&old->buckets[i]);
        while (node) {
            pager_node *next = vsi_atomic_ptr_load(&node->next);
            pager_link(table, node);
            node = next;
        }
    }
    vsi_atomic_ptr_store(&pager->table, table);
    if (old)
        vsi_retire(&pager->reside, &old->retired, pager_table_bytes(old_count));
    return true;
}

/* Puts a node into the cache, unless another thread was faster; out_bytes is the one that is there. */
static vs_status pager_install(vsi_err *err, vsi_pager *pager, pager_node *node,
                               const uint8_t **out_bytes) {
    vsi_mutex_lock(&pager->lock);
    pager_node *other = pager_find(pager, node->page_no);
    bool has_room = other || pager_grow(pager);
    if (!other && has_room) {
        pager_link(vsi_atomic_ptr_load(&pager->table), node);
        pager->page_count++;
    }
    vsi_mutex_unlock(&pager->lock);
    *out_bytes = other ? other->bytes : node->bytes;
    if (other || !has_room)
        vsi_free(pager->mem, node, sizeof *node);
    return has_room ? VS_OK : vsi_fail(err, VS_ERR_NOMEM, "out of memory");
}

/* Takes the node that a link leads to out of the cache; the lock is held. */
static void pager_unlink(vsi_pager *pager, vsi_atomic_ptr *link) {
    pager_node *node = vsi_atomic_ptr_load(link);
    vsi_ordered_add(&pager->reside.evictions, 1);
    vsi_atomic_ptr_store(link, vsi_atomic_ptr_load(&node->next));
    pager->page_count--;
    vsi_retire(&pager->reside, &node->retired, sizeof *node);
}

static void pager_evict_bucket(vsi_pager *pager, vsi_atomic_ptr *link) {
    pager_node *node = vsi_atomic_ptr_load(link);
    for (; node; node = vsi_atomic_ptr_load(link)) {
        if (vsi_atomic_load(&node->is_wanted)) {
            vsi_atomic_set(&node->is_wanted, 0);
            link = &node->next;
        } else {
            pager_unlink(pager, link);
        }
    }
}

VSI_FN size_t vsi_pager_evict(vsi_pager *pager, size_t buckets) {
    vsi_mutex_lock(&pager->lock);
    pager_table *table = vsi_atomic_ptr_load(&pager->table);
    size_t count = table ? table->count : 0;
    for (size_t i = 0; i < buckets && i < count; i++)
        pager_evict_bucket(pager, &table->buckets[pager->hand++ & (count - 1)]);
    vsi_mutex_unlock(&pager->lock);
    return count;
}

/* What references in a file may be: never a block, and in an inner node a child one level below. */
static bool pager_refs_fit(const uint8_t *bytes) {
    uint32_t level = vsi_node_level(bytes);
    for (uint32_t i = 0; i < vsi_node_count(bytes); i++) {
        vsi_node_item item = vsi_node_item_at(bytes, i);
        for (uint32_t k = 0; k < item.ref_count; k++) {
            vsi_ref ref = vsi_ref_decode(item.refs + k * VSI_REF_BYTES);
            if (ref.is_block || (level && (ref.kind != VSI_REF_NODE || ref.level + 1u != level)))
                return false;
        }
    }
    return true;
}

static vs_status pager_check_node(vsi_err *err, const vsi_pager *pager, vsi_ref ref,
                                  const uint8_t *bytes) {
    const char *problem = vsi_node_check(bytes, pager->trailer_bytes);
    if (!problem && vsi_node_level(bytes) != ref.level)
        problem = "a node is on the wrong level";
    if (!problem && !pager_refs_fit(bytes))
        problem = "a node refers to what it must not";
    if (!problem)
        return VS_OK;
    return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: %s", pager->file->path,
                    (unsigned long long)vsi_ref_page(ref), problem);
}

static vs_status pager_check_node_ref(vsi_err *err, vsi_pager *pager, vsi_ref ref) {
    vs_status st = vsi_pager_check_ref(err, pager, ref, VSI_REF_NODE);
    if (st != VS_OK || vsi_ref_pages(ref) == 1)
        return st;
    return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: a node of %llu pages", pager->file->path,
                    (unsigned long long)vsi_ref_page(ref), (unsigned long long)vsi_ref_pages(ref));
}

VSI_FN vs_status vsi_pager_node_again(vsi_err *err, vsi_pager *pager, vsi_ref ref, uint8_t *out) {
    vs_status st = pager_check_node_ref(err, pager, ref);
    if (st == VS_OK)
        st = pager_fetch(err, pager, ref, out);
    return st == VS_OK ? pager_check_node(err, pager, ref, out) : st;
}

VSI_FN vs_status vsi_pager_node(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                const uint8_t **out_page) {
    vs_status st = pager_check_node_ref(err, pager, ref);
    if (st != VS_OK)
        return st;
    pager_node *node = pager_find(pager, vsi_ref_page(ref));
    if (!node)
        node = pager_find_locked(pager, vsi_ref_page(ref));
    if (node) {
        *out_page = node->bytes;
        return VS_OK;
    }
    node = vsi_alloc(pager->mem, sizeof *node);
    if (!node)
        return vsi_fail_nomem(err, sizeof *node);
    node->page_no = vsi_ref_page(ref);
    vsi_atomic_set(&node->is_wanted, 1);
    st = vsi_pager_node_again(err, pager, ref, node->bytes);
    if (st != VS_OK) {
        vsi_free(pager->mem, node, sizeof *node);
        return st;
    }
    return pager_install(err, pager, node, out_page);
}

VSI_FN void vsi_pager_forget(vsi_pager *pager, vsi_run run) {
    vsi_mutex_lock(&pager->lock);
    pager_table *table = vsi_atomic_ptr_load(&pager->table);
    for (uint64_t no = run.page; table && no < run.page + run.pages; no++) {
        vsi_atomic_ptr *link = pager_bucket(table, no);
        pager_node *node = vsi_atomic_ptr_load(link);
        while (node && node->page_no != no) {
            link = &node->next;
            node = vsi_atomic_ptr_load(link);
        }
        if (node)
            pager_unlink(pager, link);
    }
    vsi_mutex_unlock(&pager->lock);
}

/* ---- writing -------------------------------------------------------------------------------- */

VSI_FN void vsi_pager_open_to(vsi_pager *pager, uint64_t end) {
    if (end > vsi_ordered_load(&pager->end)) /* only the holder of the writer role gets here */
        vsi_ordered_store(&pager->end, end);
}

VSI_FN vs_status vsi_pager_flush(vsi_err *err, vsi_pager *pager) {
    if (!pager->out.bytes)
        return VS_OK;
    vs_status st = vsi_file_write(err, pager->file, pager->out.data, pager->out.bytes,
                                  pager->out_page * VSI_PAGE_BYTES);
    if (st != VS_OK)
        return st;
    pager->written_bytes += pager->out.bytes;
    uint64_t end = pager->out_page + pager->out.bytes / VSI_PAGE_BYTES;
    pager->out.bytes = 0;
    vsi_pager_open_to(pager, end);
    return VS_OK;
}

static vs_status pager_put(vsi_err *err, vsi_pager *pager, uint64_t page, vsi_bytes bytes) {
    bool continues = page == pager->out_page + pager->out.bytes / VSI_PAGE_BYTES &&
                     pager->out.bytes + bytes.bytes <= PAGER_OUT_BYTES;
    vs_status st = continues ? VS_OK : vsi_pager_flush(err, pager);
    if (st != VS_OK)
        return st;
    if (!pager->out.bytes)
        pager->out_page = page;
    return vsi_buf_append(&pager->out, bytes.data, bytes.bytes) ? VS_OK
                                                                : vsi_fail_nomem(err, bytes.bytes);
}

static uint64_t pager_step(const vsi_space *space) {
    uint64_t step = space->end / PAGER_STEP_SHARE;
    step = step < VSI_STEP_PAGES ? VSI_STEP_PAGES : step;
    return step < PAGER_STEP_MAX ? step : PAGER_STEP_MAX;
}

VSI_FN vs_status vsi_pager_own(vsi_err *err, vsi_pager *pager, uint64_t pages) {
    vsi_space *space = &pager->space;
    if (pages <= space->owned)
        return VS_OK;
    uint64_t bytes = space->owned * VSI_PAGE_BYTES;
    vs_status st = vsi_file_reserve(err, pager->file, pages * VSI_PAGE_BYTES,
                                    pager_step(space) * VSI_PAGE_BYTES, &bytes);
    if (st == VS_OK)
        space->owned = bytes == UINT64_MAX ? bytes : bytes / VSI_PAGE_BYTES;
    return st;
}

VSI_FN vs_status vsi_pager_take(vsi_err *err, vsi_pager *pager, uint64_t pages,
                                uint64_t *out_page) {
    vsi_run run = {.pages = pages};
    if (!vsi_buf_reserve(&pager->taken, sizeof run))
        return vsi_fail_nomem(err, sizeof run);
    vs_status st = vsi_space_take(err, &pager->space, pages, &run.page);
    if (st != VS_OK)
        return st;
    st = vsi_pager_own(err, pager, pager->space.end); /* keeps P3 */
    if (st != VS_OK) {
        vsi_space_give(&pager->space, run);
        return st;
    }
    vsi_buf_append(&pager->taken, &run, sizeof run);
    *out_page = run.page;
    return VS_OK;
}

VSI_FN vs_status vsi_pager_write_at(vsi_err *err, vsi_pager *pager, int kind, uint32_t level,
                                    vsi_bytes bytes, uint64_t page, vsi_ref *out_ref) {
    uint64_t pages = bytes.bytes / VSI_PAGE_BYTES;
    vsi_assert(pages > 0 && pages <= VSI_EXTENT_PAGES_MAX);
    vsi_assert(bytes.bytes % VSI_PAGE_BYTES == 0);
    vsi_assert(!memcmp(bytes.data + bytes.bytes - pager->trailer_bytes,
                       (const uint8_t[VSI_TRAILER_BYTES]){0}, pager->trailer_bytes));
    vs_status st = pager_put(err, pager, page, bytes);
    if (st != VS_OK)
        return st;
    *out_ref = (vsi_ref){.at = vsi_ref_extent(page, pages),
                         .birth = pager->birth,
                         .kind = (uint8_t)kind,
                         .level = (uint8_t)level,
                         .hash = vsi_hash64(bytes.data, bytes.bytes, page)};
    return VS_OK;
}

VSI_FN vs_status vsi_pager_write(vsi_err *err, vsi_pager *pager, int kind, uint32_t level,
                                 vsi_bytes bytes, vsi_ref *out_ref) {
    uint64_t page = 0;
    vs_status st = vsi_pager_take(err, pager, bytes.bytes / VSI_PAGE_BYTES, &page);
    return st == VS_OK ? vsi_pager_write_at(err, pager, kind, level, bytes, page, out_ref) : st;
}

VSI_FN void vsi_pager_keep(vsi_pager *pager) {
    vsi_space_seal(&pager->space);
    vsi_buf_free(&pager->taken);
    vsi_buf_free(&pager->out);
}

VSI_FN void vsi_pager_undo_to(vsi_pager *pager, size_t taken_bytes) {
    pager->out.bytes = 0;
    while (pager->taken.bytes > taken_bytes) {
        vsi_run run;
        pager->taken.bytes -= sizeof run;
        memcpy(&run, pager->taken.data + pager->taken.bytes, sizeof run);
        vsi_pager_forget(pager, run);
        vsi_space_give(&pager->space, run);
    }
}

VSI_FN void vsi_pager_undo(vsi_pager *pager) {
    vsi_pager_undo_to(pager, 0);
    vsi_pager_keep(pager);
}
/* ---- store/cow.h ---------------------------------------------------------------------------------- */
/* cow.h - blocks of memory that are copied on write: many versions of a structure share them.
 *
 * A structure (tree, bitmap, array) is made of blocks that point to each other. A writer changes
 * only blocks that it made itself since the innermost open scope; any other it copies first. So a
 * reader that holds an older root sees nothing move, and dropping a root undoes everything. */
#ifndef VSI_COW_H
#define VSI_COW_H

/* uses store/pager.h */

/* First member of every block. */
typedef struct vsi_block {
    struct vsi_block *older, *newer; /* all blocks of the heap, newest first */
    struct vsi_block *next_dead;     /* the next in a list of replaced blocks */
    uint64_t owner;                  /* the scope it was made in; scopes are numbered upwards */
    size_t bytes;                    /* of the allocation, this header included */
    uint64_t pages;                  /* that it will take in the file */
} vsi_block;

/* All blocks of one database, and the scope of its one writer. */
typedef struct vsi_cow {
    vsi_mem *mem;     /* borrowed */
    vsi_pager *pager; /* borrowed; NULL: everything is in memory */
    vsi_block *newest;
    vsi_block *dead;          /* replaced in this transaction, still needed by older versions */
    vsi_buf dead_extents;     /* vsi_dead_extent, run and birth set: likewise, in the file */
    uint64_t scope;           /* blocks with owner >= scope may be changed in place */
    uint64_t last_scope;      /* numbers given out */
    size_t bytes, dead_bytes; /* of all blocks, of those that only older versions have */
    vsi_page_count pages, dead_pages; /* likewise */
} vsi_cow;

/* What a scope must restore. */
typedef struct vsi_cow_mark {
    uint64_t scope;
    vsi_block *dead;
    size_t dead_extents_bytes, dead_bytes;
    vsi_page_count dead_pages;
} vsi_cow_mark;

VSI_FN void vsi_cow_init(vsi_cow *cow, vsi_mem *mem);
/* Bytes at the end of the extents that blocks become. */
VSI_FN uint32_t vsi_cow_trailer(const vsi_cow *cow);
VSI_FN void vsi_cow_free_all(vsi_cow *cow); /* every block of every version */

/* Scopes nest; each open is ended by one keep or undo with its mark. */
VSI_FN vsi_cow_mark vsi_cow_open(vsi_cow *cow);
VSI_FN void vsi_cow_keep(vsi_cow *cow, vsi_cow_mark mark);
VSI_FN void vsi_cow_undo(vsi_cow *cow, vsi_cow_mark mark);

/* Ends a transaction whose outermost scope was kept: hands out the list of blocks that older
 * versions still need. The caller frees it when no older version is left. dead_extents stay for the
 * caller to take. */
VSI_FN vsi_block *vsi_cow_take_dead(vsi_cow *cow);
VSI_FN void vsi_cow_free_dead(vsi_cow *cow, vsi_block *dead);
/* Frees those of dead that were made after scope; the others go in front of others, which it returns. */
VSI_FN vsi_block *vsi_cow_free_born_after(vsi_cow *cow, vsi_block *dead, uint64_t scope,
                                          vsi_block *others);

/* A new block, zeroed behind its header, that will be a page in the file; NULL when there is no memory. */
VSI_FN void *vsi_cow_new(vsi_cow *cow, size_t bytes);
/* The same for one that will be an extent of so many pages. */
VSI_FN void *vsi_cow_new_extent(vsi_cow *cow, size_t bytes, uint64_t pages);
/* The block itself when it may be changed in place, else a copy that replaces it; NULL when there
 * is no memory. The caller stores the result where it found the block. */
VSI_FN void *vsi_cow_touch(vsi_cow *cow, void *block);
/* The block is no longer part of the structure. */
VSI_FN void vsi_cow_drop(vsi_cow *cow, void *block);
/* What the newest version's blocks will take in the file. */
VSI_FN vsi_page_count vsi_cow_pages(const vsi_cow *cow);
/* What a reference leads to, block or extent, is no longer part of the structure. */
VS_NODISCARD VSI_FN vs_status vsi_cow_drop_ref(vsi_err *err, vsi_cow *cow, vsi_ref ref);

#endif
/* ---- store/cow.c ---------------------------------------------------------------------------------- */
/* cow.c - blocks that are copied on write.
 *
 *   C1  Owners never decrease from `newest` to the front of the list: one writer, rising scopes.
 *       So the blocks of the open scope are a prefix of the list.
 *   C2  A block on a dead list has an owner below the scope in which it died; it is freed by
 *       vsi_cow_free_dead, or by vsi_cow_keep when its own scope is still open. */
/* uses store/cow.h */

VSI_FN void vsi_cow_init(vsi_cow *cow, vsi_mem *mem) {
    memset(cow, 0, sizeof *cow);
    cow->mem = mem;
    cow->dead_extents.mem = mem;
}

/* Of the blocks that only older versions have, block is one more, or one less. */
static void cow_bury(vsi_cow *cow, const vsi_block *block) {
    cow->dead_bytes += block->bytes;
    vsi_page_count_add(&cow->dead_pages, block->pages, 1);
}

static void cow_unbury(vsi_cow *cow, const vsi_block *block) {
    cow->dead_bytes -= block->bytes;
    vsi_page_count_subtract(&cow->dead_pages, block->pages);
}

static void cow_free(vsi_cow *cow, vsi_block *block) {
    if (block->newer)
        block->newer->older = block->older;
    else
        cow->newest = block->older;
    if (block->older)
        block->older->newer = block->newer;
    cow->bytes -= block->bytes;
    vsi_page_count_subtract(&cow->pages, block->pages);
    vsi_free(cow->mem, block, block->bytes);
}

VSI_FN void vsi_cow_free_all(vsi_cow *cow) {
    while (cow->newest)
        cow_free(cow, cow->newest);
    cow->dead = NULL;
    cow->dead_bytes = 0;
    cow->dead_pages = (vsi_page_count){0};
    if (cow->mem)
        vsi_buf_free(&cow->dead_extents);
}

VSI_FN vsi_cow_mark vsi_cow_open(vsi_cow *cow) {
    vsi_cow_mark mark = {.scope = cow->scope,
                         .dead = cow->dead,
                         .dead_extents_bytes = cow->dead_extents.bytes,
                         .dead_bytes = cow->dead_bytes,
                         .dead_pages = cow->dead_pages};
    cow->scope = ++cow->last_scope;
    return mark;
}

VSI_FN void vsi_cow_keep(vsi_cow *cow, vsi_cow_mark mark) {
    /* Blocks of the enclosing scope that died in this one: nobody else ever saw them. */
    vsi_block **link = &cow->dead;
    while (*link != mark.dead) {
        vsi_block *block = *link;
        if (mark.scope && block->owner >= mark.scope) {
            *link = block->next_dead;
            cow_unbury(cow, block);
            cow_free(cow, block);
        } else {
            link = &block->next_dead;
        }
    }
    cow->scope = mark.scope;
}

VSI_FN void vsi_cow_undo(vsi_cow *cow, vsi_cow_mark mark) {
    while (cow->newest && cow->newest->owner >= cow->scope) /* C1 */
        cow_free(cow, cow->newest);
    cow->dead = mark.dead;
    cow->dead_extents.bytes = mark.dead_extents_bytes;
    cow->dead_bytes = mark.dead_bytes;
    cow->dead_pages = mark.dead_pages;
    cow->scope = mark.scope;
}

VSI_FN vsi_block *vsi_cow_take_dead(vsi_cow *cow) {
    vsi_block *dead = cow->dead;
    cow->dead = NULL;
    return dead;
}

VSI_FN void vsi_cow_free_dead(vsi_cow *cow, vsi_block *dead) {
    while (dead) {
        vsi_block *next = dead->next_dead;
        cow_unbury(cow, dead);
        cow_free(cow, dead);
        dead = next;
    }
}

VSI_FN vsi_block *vsi_cow_free_born_after(vsi_cow *cow, vsi_block *dead, uint64_t scope,
                                          vsi_block *others) {
    while (dead) {
        vsi_block *next = dead->next_dead;
        if (dead->owner > scope) {
            cow_unbury(cow, dead);
            cow_free(cow, dead);
        } else {
            dead->next_dead = others;
            others = dead;
        }
        dead = next;
    }
    return others;
}

static vsi_block *cow_alloc(vsi_cow *cow, size_t bytes, uint64_t pages) {
    vsi_assert(cow->scope > 0);
    vsi_assert(bytes >= sizeof(vsi_block));
    vsi_block *block = vsi_alloc(cow->mem, bytes);
    if (!block)
        return NULL;
    cow->bytes += bytes;
    vsi_page_count_add(&cow->pages, pages, 1);
    *block = (vsi_block){.older = cow->newest, .owner = cow->scope, .bytes = bytes, .pages = pages};
    if (cow->newest)
        cow->newest->newer = block;
    cow->newest = block;
    return block;
}

VSI_FN void *vsi_cow_new_extent(vsi_cow *cow, size_t bytes, uint64_t pages) {
    vsi_block *block = cow_alloc(cow, bytes, pages);
    if (block)
        memset(block + 1, 0, bytes - sizeof *block);
    return block;
}

VSI_FN void *vsi_cow_new(vsi_cow *cow, size_t bytes) {
    return vsi_cow_new_extent(cow, bytes, 1);
}

VSI_FN void *vsi_cow_touch(vsi_cow *cow, void *block) {
    vsi_block *old = block;
    vsi_assert(cow->scope > 0);
    if (old->owner >= cow->scope)
        return old;
    vsi_block *copy = cow_alloc(cow, old->bytes, old->pages);
    if (!copy)
        return NULL;
    memcpy(copy + 1, old + 1, old->bytes - sizeof *old);
    vsi_cow_drop(cow, old);
    return copy;
}

VSI_FN void vsi_cow_drop(vsi_cow *cow, void *block) {
    vsi_block *old = block;
    vsi_assert(cow->scope > 0);
    if (old->owner >= cow->scope) {
        cow_free(cow, old);
        return;
    }
    old->next_dead = cow->dead; /* keeps C2 */
    cow->dead = old;
    cow_bury(cow, old);
}

VSI_FN uint32_t vsi_cow_trailer(const vsi_cow *cow) {
    return cow->pager ? cow->pager->trailer_bytes : 0;
}

VSI_FN vsi_page_count vsi_cow_pages(const vsi_cow *cow) {
    return (vsi_page_count){.single = cow->pages.single - cow->dead_pages.single,
                            .middle = cow->pages.middle - cow->dead_pages.middle,
                            .large = cow->pages.large - cow->dead_pages.large};
}

VSI_FN vs_status vsi_cow_drop_ref(vsi_err *err, vsi_cow *cow, vsi_ref ref) {
    if (ref.kind == VSI_REF_NONE)
        return VS_OK;
    if (ref.is_block) {
        vsi_cow_drop(cow, vsi_ref_block(ref));
        return VS_OK;
    }
    vsi_dead_extent dead = {.run = {vsi_ref_page(ref), vsi_ref_pages(ref)}, .birth = ref.birth};
    bool ok = vsi_buf_append(&cow->dead_extents, &dead, sizeof dead);
    return ok ? VS_OK : vsi_fail_nomem(err, sizeof dead);
}
/* ---- store/btree.h ---------------------------------------------------------------------------------- */
/* btree.h - a B+tree of byte strings in memcmp order, copied on write. */
#ifndef VSI_BTREE_H
#define VSI_BTREE_H

/* uses store/cow.h */
/* uses store/node.h */

enum { VSI_BTREE_HEIGHT_MAX = VSI_NODE_LEVEL_MAX + 1 };

/* One version of a tree. Empty when the root's kind is VSI_REF_NONE. Copying the struct copies the
 * version. Every function below may fail with VS_ERR_NOMEM; after a failure of one that changes the
 * tree, undo the scope. */
typedef struct vsi_btree {
    vsi_cow *cow; /* borrowed */
    vsi_ref root;
    uint64_t count;
} vsi_btree;

/* The entry of key; VS_ERR_NOT_FOUND, without a message, when there is none. out_item is borrowed from
 * the tree, as long as this version lives and, for the writer, until its next change. */
VS_NODISCARD VSI_FN vs_status vsi_btree_get(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                            vsi_node_item *out_item);

/* Inserts or replaces. An item takes at most VSI_NODE_ENTRY_MAX bytes (vsi_node_item_bytes). What
 * references of a replaced entry led to is the caller's to drop. */
VS_NODISCARD VSI_FN vs_status vsi_btree_put_item(vsi_err *err, vsi_btree *tree,
                                                 const vsi_node_item *item);
VS_NODISCARD VSI_FN vs_status vsi_btree_put(vsi_err *err, vsi_btree *tree, vsi_bytes key,
                                            vsi_bytes value);

/* The value of key, to be changed in place before the next call; VS_ERR_NOT_FOUND: nothing changed. */
VS_NODISCARD VSI_FN vs_status vsi_btree_edit(vsi_err *err, vsi_btree *tree, vsi_bytes key,
                                             uint8_t **out_value);

/* VS_ERR_NOT_FOUND, without a message: nothing changed. */
VS_NODISCARD VSI_FN vs_status vsi_btree_delete(vsi_err *err, vsi_btree *tree, vsi_bytes key);

/* A position in one version of a tree; changing the tree makes it invalid. */
typedef struct vsi_btree_cursor {
    const vsi_btree *tree;
    const uint8_t *page[VSI_BTREE_HEIGHT_MAX]; /* by level */
    uint32_t at[VSI_BTREE_HEIGHT_MAX];
    uint32_t height; /* 0: behind the last entry */
} vsi_btree_cursor;

/* Stands on the first entry whose key is key or greater. tree must outlive the cursor. */
VS_NODISCARD VSI_FN vs_status vsi_btree_seek(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                             vsi_btree_cursor *out_cursor);
VSI_FN bool vsi_btree_at_end(const vsi_btree_cursor *cursor);
VSI_FN vsi_node_item vsi_btree_entry(const vsi_btree_cursor *cursor);
VS_NODISCARD VSI_FN vs_status vsi_btree_next(vsi_err *err, vsi_btree_cursor *cursor);

/* Walks the whole tree: geometry of nodes, order, levels, count. *out_problem is NULL, or what is
 * wrong. */
VS_NODISCARD VSI_FN vs_status vsi_btree_check(vsi_err *err, const vsi_btree *tree,
                                              const char **out_problem);

#endif
/* ---- store/btree.c ---------------------------------------------------------------------------------- */
/* btree.c - a B+tree of byte strings, copied on write.
 *
 *   B1  All leaves are on level 0.
 *   B2  Child i of an inner node holds the keys from key i up to, not including, key i + 1.
 *   B3  An inner node has at least one child, a leaf at least one entry.
 *   B4  Every change happens in pages that btree_touch returned, from the root down. */
/* uses store/btree.h */

enum { BTREE_UNDERFULL_BYTES = VSI_PAGE_BYTES / 4 };

/* A node in memory. */
typedef struct btree_block {
    vsi_block block;
    uint8_t page[VSI_PAGE_BYTES];
} btree_block;

typedef struct btree_path {
    uint8_t *page[VSI_BTREE_HEIGHT_MAX]; /* by level */
    uint32_t at[VSI_BTREE_HEIGHT_MAX]; /* the entry that was followed; of the leaf, where key is */
    uint32_t height;
    bool is_found;
} btree_path;

/* ---- pages ---------------------------------------------------------------------------------- */

static bool btree_is_empty(const vsi_btree *tree) {
    return tree->root.kind == VSI_REF_NONE;
}

static vs_status btree_nomem(vsi_err *err) {
    return vsi_fail_nomem(err, sizeof(btree_block));
}

static vs_status btree_read(vsi_err *err, const vsi_btree *tree, vsi_ref ref,
                            const uint8_t **out_page) {
    if (!ref.is_block)
        return vsi_pager_node(err, tree->cow->pager, ref, out_page);
    *out_page = ((btree_block *)vsi_ref_block(ref))->page;
    return VS_OK;
}

/* A block with the contents of an extent, which it replaces. */
static vs_status btree_load(vsi_err *err, const vsi_btree *tree, vsi_ref ref,
                            btree_block **out_block) {
    const uint8_t *page = NULL;
    vs_status st = vsi_pager_node(err, tree->cow->pager, ref, &page);
    if (st == VS_OK)
        st = vsi_cow_drop_ref(err, tree->cow, ref);
    if (st != VS_OK)
        return st;
    *out_block = vsi_cow_new(tree->cow, sizeof **out_block);
    if (!*out_block)
        return btree_nomem(err);
    memcpy((*out_block)->page, page, VSI_PAGE_BYTES);
    return VS_OK;
}

/* The page behind a reference made writable; the reference follows it. */
static vs_status btree_touch(vsi_err *err, const vsi_btree *tree, vsi_ref *ref,
                             uint8_t **out_page) {
    btree_block *block = NULL;
    if (ref->is_block) {
        block = vsi_cow_touch(tree->cow, vsi_ref_block(*ref));
        if (!block)
            return btree_nomem(err);
    } else {
        vs_status st = btree_load(err, tree, *ref, &block);
        if (st != VS_OK)
            return st;
    }
    *ref = vsi_ref_of_block(VSI_REF_NODE, block);
    *out_page = block->page;
    return VS_OK;
}

static vs_status btree_new(vsi_err *err, const vsi_btree *tree, uint32_t level, vsi_ref *out_ref,
                           uint8_t **out_page) {
    btree_block *block = vsi_cow_new(tree->cow, sizeof *block);
    if (!block)
        return btree_nomem(err);
    vsi_node_init(block->page, level, vsi_cow_trailer(tree->cow));
    *out_ref = vsi_ref_of_block(VSI_REF_NODE, block);
    *out_page = block->page;
    return VS_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Walks down to the leaf that covers key. */
static vs_status cursor_descend(vsi_err *err, vsi_btree_cursor *cursor, vsi_bytes key) {
    const uint8_t *page = NULL;
    vs_status st = btree_read(err, cursor->tree, cursor->tree->root, &page);
    if (st != VS_OK)
        return st;
    uint32_t level = vsi_node_level(page);
    cursor->height = level + 1;
    while (level > 0) {
        uint32_t at = vsi_node_find_child(page, key);
        cursor->page[level] = page;
        cursor->at[level--] = at;
        st = btree_read(err, cursor->tree, vsi_node_ref(page, at, 0), &page);
        if (st != VS_OK)
            return st;
    }
    cursor->page[0] = page;
    return VS_OK;
}

VSI_FN vs_status vsi_btree_get(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                               vsi_node_item *out_item) {
    if (btree_is_empty(tree))
        return VS_ERR_NOT_FOUND;
    vsi_btree_cursor cursor;
    cursor.tree = tree;
    vs_status st = cursor_descend(err, &cursor, key);
    if (st != VS_OK)
        return st;
    bool is_found = false;
    uint32_t at = vsi_node_find(cursor.page[0], key, &is_found);
    if (!is_found)
        return VS_ERR_NOT_FOUND;
    *out_item = vsi_node_item_at(cursor.page[0], at);
    return VS_OK;
}

/* From a position behind the last entry of a leaf to the next leaf's first, or to the end. */
static vs_status cursor_settle(vsi_err *err, vsi_btree_cursor *cursor) {
    uint32_t level = 0;
    while (cursor->at[level] >= vsi_node_count(cursor->page[level])) {
        if (++level == cursor->height) {
            cursor->height = 0;
            return VS_OK;
        }
        cursor->at[level]++;
    }
    for (; level > 0; level--) {
        vsi_ref child = vsi_node_ref(cursor->page[level], cursor->at[level], 0);
        vs_status st = btree_read(err, cursor->tree, child, &cursor->page[level - 1]);
        if (st != VS_OK)
            return st;
        cursor->at[level - 1] = 0;
    }
    return VS_OK;
}

VSI_FN vs_status vsi_btree_seek(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                vsi_btree_cursor *out_cursor) {
    memset(out_cursor, 0, sizeof *out_cursor);
    out_cursor->tree = tree;
    if (btree_is_empty(tree))
        return VS_OK;
    vs_status st = cursor_descend(err, out_cursor, key);
    if (st != VS_OK)
        return st;
    bool is_found = false;
    out_cursor->at[0] = vsi_node_find(out_cursor->page[0], key, &is_found);
    return cursor_settle(err, out_cursor);
}

VSI_FN bool vsi_btree_at_end(const vsi_btree_cursor *cursor) {
    return cursor->height == 0;
}

VSI_FN vsi_node_item vsi_btree_entry(const vsi_btree_cursor *cursor) {
    vsi_assert(cursor->height > 0);
    return vsi_node_item_at(cursor->page[0], cursor->at[0]);
}

VSI_FN vs_status vsi_btree_next(vsi_err *err, vsi_btree_cursor *cursor) {
    vsi_assert(cursor->height > 0);
    cursor->at[0]++;
    return cursor_settle(err, cursor);
}

/* ---- changing ------------------------------------------------------------------------------- */

/* Walks down to the leaf of key and makes the path writable. */
static vs_status btree_descend(vsi_err *err, vsi_btree *tree, vsi_bytes key, btree_path *out_path) {
    uint8_t *page = NULL;
    vs_status st = btree_touch(err, tree, &tree->root, &page); /* keeps B4, here and below */
    if (st != VS_OK)
        return st;
    uint32_t level = vsi_node_level(page);
    out_path->height = level + 1;
    while (level > 0) {
        uint32_t at = vsi_node_find_child(page, key);
        vsi_ref child = vsi_node_ref(page, at, 0);
        uint8_t *child_page = NULL;
        st = btree_touch(err, tree, &child, &child_page);
        if (st != VS_OK)
            return st;
        vsi_node_set_ref(page, at, 0, child);
        out_path->page[level] = page;
        out_path->at[level--] = at;
        page = child_page;
    }
    out_path->page[0] = page;
    out_path->at[0] = vsi_node_find(page, key, &out_path->is_found);
    return VS_OK;
}

/* How many of the count + 1 items, the new one at place `at` counted in, stay in the left node. At
 * the right end the left node stays full, so that ascending keys fill their pages. */
static uint32_t split_point(const uint8_t *page, uint32_t at, size_t new_bytes) {
    uint32_t count = vsi_node_count(page), kept = 0;
    if (at == count)
        return at;
    size_t half = (vsi_node_used(page) + new_bytes) / 2, sum = 0;
    while (sum < half && kept < count) {
        vsi_node_item item = vsi_node_item_at(page, kept <= at ? kept : kept - 1);
        size_t bytes = kept == at ? new_bytes : vsi_node_item_bytes(&item);
        if (sum + bytes > vsi_node_room(page)) /* separators may be longer than a third of a node */
            break;
        sum += bytes;
        kept++;
    }
    return kept;
}

/* Moves the upper items of a full node, with item inserted at place at, into a new right sibling. */
static void node_split(uint8_t *page, uint8_t *right, uint32_t at, const vsi_node_item *item) {
    uint8_t copy[VSI_PAGE_BYTES];
    memcpy(copy, page, sizeof copy);
    uint32_t kept = split_point(copy, at, vsi_node_item_bytes(item));
    vsi_node_init(page, vsi_node_level(copy), vsi_node_trailer(copy));
    for (uint32_t i = 0; i <= vsi_node_count(copy); i++) {
        uint8_t *target = i < kept ? page : right;
        vsi_node_item moved = *item;
        if (i != at)
            moved = vsi_node_item_at(copy, i < at ? i : i - 1);
        vsi_node_insert(target, vsi_node_count(target), &moved);
    }
}

/* What an inner node needs to know of a leaf's first key: as much as tells it from the key before. */
static vsi_bytes leaf_separator(const uint8_t *left, const uint8_t *right) {
    vsi_bytes before = vsi_node_key(left, vsi_node_count(left) - 1);
    vsi_bytes first = vsi_node_key(right, 0);
    size_t same = 0;
    while (same < before.bytes && before.data[same] == first.data[same])
        same++;
    return (vsi_bytes){first.data, same + 1}; /* D1: first is the greater one */
}

/* A new root above the old one. */
static vs_status btree_grow(vsi_err *err, vsi_btree *tree, btree_path *path) {
    uint8_t *page = NULL, old[VSI_REF_BYTES];
    vsi_ref root;
    if (path->height == VSI_BTREE_HEIGHT_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "a tree has %d levels", VSI_BTREE_HEIGHT_MAX);
    vs_status st = btree_new(err, tree, path->height, &root, &page);
    if (st != VS_OK)
        return st;
    vsi_ref_encode(tree->root, old);
    vsi_node_insert(page, 0, &(vsi_node_item){.refs = old, .ref_count = 1});
    tree->root = root;
    path->page[path->height] = page;
    path->at[path->height++] = 0;
    return VS_OK;
}

/* Inserts at the place that path shows; nodes that are full split. */
static vs_status btree_insert(vsi_err *err, vsi_btree *tree, btree_path *path,
                              const vsi_node_item *new_item) {
    vsi_node_item item = *new_item;
    uint8_t child[VSI_REF_BYTES];
    uint32_t at = path->at[0];
    for (uint32_t level = 0;; level++) {
        uint8_t *page = path->page[level], *right = NULL;
        if (vsi_node_has_room(page, vsi_node_item_bytes(&item))) {
            vsi_node_insert(page, at, &item);
            return VS_OK;
        }
        vsi_ref ref;
        vs_status st = btree_new(err, tree, level, &ref, &right);
        if (st == VS_OK && level + 1 == path->height)
            st = btree_grow(err, tree, path);
        if (st != VS_OK)
            return st;
        node_split(page, right, at, &item);
        vsi_ref_encode(ref, child);
        item = (vsi_node_item){.key = level ? vsi_node_key(right, 0) : leaf_separator(page, right),
                               .refs = child,
                               .ref_count = 1};
        at = path->at[level + 1] + 1;
    }
}

VSI_FN vs_status vsi_btree_put_item(vsi_err *err, vsi_btree *tree, const vsi_node_item *item) {
    vsi_assert(vsi_node_item_bytes(item) <= VSI_NODE_ENTRY_MAX);
    if (btree_is_empty(tree)) {
        uint8_t *page = NULL;
        vs_status st = btree_new(err, tree, 0, &tree->root, &page);
        if (st != VS_OK)
            return st;
    }
    btree_path path;
    vs_status st = btree_descend(err, tree, item->key, &path);
    if (st != VS_OK)
        return st;
    if (path.is_found)
        vsi_node_remove(path.page[0], path.at[0]);
    st = btree_insert(err, tree, &path, item);
    tree->count += st == VS_OK && !path.is_found;
    return st;
}

VSI_FN vs_status vsi_btree_put(vsi_err *err, vsi_btree *tree, vsi_bytes key, vsi_bytes value) {
    vsi_node_item item = {.key = key, .value = value};
    return vsi_btree_put_item(err, tree, &item);
}

VSI_FN vs_status vsi_btree_edit(vsi_err *err, vsi_btree *tree, vsi_bytes key, uint8_t **out_value) {
    vsi_node_item item;
    btree_path path;
    vs_status st = vsi_btree_get(err, tree, key, &item);
    if (st == VS_OK)
        st = btree_descend(err, tree, key, &path);
    if (st == VS_OK)
        *out_value = vsi_node_value(path.page[0], path.at[0]);
    return st;
}

/* Joins two neighbouring children of parent, `at` and the one right of it, when they fit in one. */
static vs_status btree_try_merge(vsi_err *err, vsi_btree *tree, uint8_t *parent, uint32_t at,
                                 bool *out_merged) {
    vsi_ref left_ref = vsi_node_ref(parent, at, 0), right_ref = vsi_node_ref(parent, at + 1, 0);
    const uint8_t *left = NULL, *right = NULL;
    vs_status st = btree_read(err, tree, left_ref, &left);
    if (st == VS_OK)
        st = btree_read(err, tree, right_ref, &right);
    if (st != VS_OK)
        return st;
    vsi_bytes separator = vsi_node_key(parent, at + 1);
    bool is_inner = vsi_node_level(right) > 0;
    /* The right node's key 0 takes the separator's place in an inner node (B2). */
    size_t bytes = vsi_node_used(right) + (is_inner ? separator.bytes : 0);
    *out_merged = vsi_node_has_room(left, bytes);
    if (!*out_merged)
        return VS_OK;
    uint8_t *target = NULL;
    st = btree_touch(err, tree, &left_ref, &target);
    if (st != VS_OK)
        return st;
    vsi_node_set_ref(parent, at, 0, left_ref);
    for (uint32_t i = 0; i < vsi_node_count(right); i++) {
        vsi_node_item item = vsi_node_item_at(right, i);
        if (i == 0 && is_inner)
            item.key = separator;
        vsi_node_insert(target, vsi_node_count(target), &item);
    }
    vsi_node_remove(parent, at + 1);
    return vsi_cow_drop_ref(err, tree->cow, right_ref);
}

/* A root with one child goes, and one with none. */
static vs_status btree_shrink_root(vsi_err *err, vsi_btree *tree) {
    for (;;) {
        const uint8_t *page = NULL;
        vs_status st = btree_read(err, tree, tree->root, &page);
        if (st != VS_OK)
            return st;
        uint32_t count = vsi_node_count(page);
        if (count > 1 || (count == 1 && vsi_node_level(page) == 0))
            return VS_OK;
        vsi_ref old = tree->root;
        tree->root = count ? vsi_node_ref(page, 0, 0) : (vsi_ref){.kind = VSI_REF_NONE};
        st = vsi_cow_drop_ref(err, tree->cow, old);
        if (st != VS_OK || btree_is_empty(tree))
            return st;
    }
}

/* After a removal: empty nodes leave, small ones join a neighbour. */
static vs_status btree_shrink(vsi_err *err, vsi_btree *tree, btree_path *path) {
    for (uint32_t level = 0; level + 1 < path->height; level++) {
        uint8_t *page = path->page[level], *parent = path->page[level + 1];
        uint32_t at = path->at[level + 1];
        bool is_merged = false;
        vs_status st = VS_OK;
        if (vsi_node_count(page) == 0) { /* keeps B3 */
            st = vsi_cow_drop_ref(err, tree->cow, vsi_node_ref(parent, at, 0));
            if (st != VS_OK)
                return st;
            vsi_node_remove(parent, at);
            continue;
        }
        if (vsi_node_used(page) >= BTREE_UNDERFULL_BYTES)
            break;
        if (at + 1 < vsi_node_count(parent))
            st = btree_try_merge(err, tree, parent, at, &is_merged);
        if (st == VS_OK && !is_merged && at > 0)
            st = btree_try_merge(err, tree, parent, at - 1, &is_merged);
        if (st != VS_OK)
            return st;
        if (!is_merged)
            break;
    }
    return btree_shrink_root(err, tree);
}

VSI_FN vs_status vsi_btree_delete(vsi_err *err, vsi_btree *tree, vsi_bytes key) {
    vsi_node_item item;
    btree_path path;
    vs_status st = vsi_btree_get(err, tree, key, &item);
    if (st == VS_OK)
        st = btree_descend(err, tree, key, &path);
    if (st != VS_OK)
        return st;
    vsi_node_remove(path.page[0], path.at[0]);
    tree->count--;
    return btree_shrink(err, tree, &path);
}

/* ---- checking ------------------------------------------------------------------------------- */

/* Whether a leaf reached at cursor lies within the separators above it (B2). */
static bool leaf_is_in_bounds(const vsi_btree_cursor *cursor) {
    const uint8_t *leaf = cursor->page[0];
    vsi_bytes first = vsi_node_key(leaf, 0), last = vsi_node_key(leaf, vsi_node_count(leaf) - 1);
    for (uint32_t level = 1; level < cursor->height; level++) {
        const uint8_t *page = cursor->page[level];
        uint32_t at = cursor->at[level];
        if (at > 0 && vsi_bytes_compare(first, vsi_node_key(page, at)) < 0)
            return false;
        if (at + 1 < vsi_node_count(page) &&
            vsi_bytes_compare(last, vsi_node_key(page, at + 1)) >= 0)
            return false;
    }
    return true;
}

/* One step of the walk: up from a node that is done, past a leaf, or down. */
static vs_status check_step(vsi_err *err, vsi_btree_cursor *at, uint32_t *level, uint64_t *count,
                            const char **out_problem) {
    const uint8_t *page = at->page[*level];
    if (at->at[*level] == vsi_node_count(page)) {
        if (++*level < at->height)
            at->at[*level]++;
        return VS_OK;
    }
    if (*level == 0) {
        if (!leaf_is_in_bounds(at))
            *out_problem = "keys of a leaf lie outside its separators";
        *count += vsi_node_count(page);
        at->at[0] = vsi_node_count(page);
        return VS_OK;
    }
    uint32_t below = --*level;
    vs_status st =
        btree_read(err, at->tree, vsi_node_ref(page, at->at[below + 1], 0), &at->page[below]);
    if (st != VS_OK)
        return st;
    at->at[below] = 0;
    *out_problem = vsi_node_check(at->page[below], vsi_cow_trailer(at->tree->cow));
    if (!*out_problem && vsi_node_level(at->page[below]) != below)
        *out_problem = "a node is on the wrong level"; /* B1 */
    return VS_OK;
}

VSI_FN vs_status vsi_btree_check(vsi_err *err, const vsi_btree *tree, const char **out_problem) {
    *out_problem = NULL;
    if (btree_is_empty(tree)) {
        *out_problem = tree->count ? "an empty tree counts entries" : NULL;
        return VS_OK;
    }
    vsi_btree_cursor at = {.tree = tree};
    const uint8_t *root = NULL;
    vs_status st = btree_read(err, tree, tree->root, &root);
    if (st != VS_OK)
        return st;
    *out_problem = vsi_node_check(root, vsi_cow_trailer(tree->cow));
    uint32_t level = vsi_node_level(root);
    uint64_t count = 0;
    if (*out_problem)
        return VS_OK;
    at.height = level + 1;
    at.page[level] = root;
    while (st == VS_OK && !*out_problem && level < at.height)
        st = check_step(err, &at, &level, &count, out_problem);
    if (st == VS_OK && !*out_problem && count != tree->count)
        *out_problem = "the tree's count is wrong";
    return st;
}
/* ---- store/value.h ---------------------------------------------------------------------------------- */
/* value.h - values of any size under keys of a B+tree, each kept with its hash. */
#ifndef VSI_VALUE_H
#define VSI_VALUE_H

/* uses base/hash.h */
/* uses base/mem.h */
/* uses store/btree.h */

enum {
    VSI_VALUE_KEY_BYTES_MAX = 1040,
    VSI_VALUE_BYTES_MAX = 1048576, /* of one that is compressed in the file */
    VSI_BLOB_HEADER_BYTES = 8      /* of a large value in the file */
};

/* The pages of a large value of which so many bytes are stored. */
VSI_FN size_t vsi_blob_pages(size_t stored, uint32_t trailer_bytes);

/* A value that vsi_value_find found; borrowed from the tree as its entries are. */
typedef struct vsi_value {
    uint32_t bytes;
    vsi_hash128 hash; /* of the value, as given when it was put */
    vsi_node_item item;
} vsi_value;

/* VS_ERR_NOT_FOUND, without a message, when there is no value under key. */
VS_NODISCARD VSI_FN vs_status vsi_value_find(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                             vsi_value *out_value);
/* The value in an entry of a tree of values; VS_ERR_CORRUPT for an entry that holds none. */
VS_NODISCARD VSI_FN vs_status vsi_value_of_item(vsi_err *err, vsi_node_item item,
                                                vsi_value *out_value);

/* Appends the value to buf. */
VS_NODISCARD VSI_FN vs_status vsi_value_read(vsi_err *err, const vsi_btree *tree,
                                             const vsi_value *value, vsi_buf *buf);

/* Puts a value under a key that has none. */
VS_NODISCARD VSI_FN vs_status vsi_value_put(vsi_err *err, vsi_btree *tree, vsi_bytes key,
                                            vsi_bytes value, vsi_hash128 hash);

/* Deletes the value under a key that has one. */
VS_NODISCARD VSI_FN vs_status vsi_value_delete(vsi_err *err, vsi_btree *tree, vsi_bytes key);

#endif
/* ---- store/value.c ---------------------------------------------------------------------------------- */
/* value.c - values of any size in a B+tree; docs/FORMAT.md has their bytes.
 *
 * An entry's value begins with size and hash. A small value follows; a large one is a blob of its own
 * that the entry refers to. */
/* uses store/value.h */

enum { VALUE_HEADER_BYTES = 20 };
_Static_assert(VS_METADATA_BYTES_MAX <= VSI_VALUE_BYTES_MAX, "metadata may be compressed");
_Static_assert(VS_KV_VALUE_BYTES_MAX <= VSI_VALUE_BYTES_MAX, "notes may be compressed");

VSI_FN size_t vsi_blob_pages(size_t stored, uint32_t trailer_bytes) {
    return (size_t)vsi_pages_for(VSI_BLOB_HEADER_BYTES + stored, trailer_bytes);
}

/* A large value in memory. */
typedef struct value_blob {
    vsi_block block;
    uint8_t bytes[];
} value_blob;

/* Whether a value finds room in an entry of this key. */
static bool value_is_small(vsi_bytes key, size_t value_bytes) {
    size_t taken = VSI_NODE_ENTRY_OVERHEAD + key.bytes + VALUE_HEADER_BYTES;
    vsi_assert(taken + VSI_REF_BYTES <= VSI_NODE_ENTRY_MAX);
    return value_bytes <= VSI_NODE_ENTRY_MAX - taken;
}

VSI_FN vs_status vsi_value_of_item(vsi_err *err, vsi_node_item item, vsi_value *out_value) {
    size_t bytes = item.value.bytes;
    vsi_value value = {.item = item};
    if (bytes >= VALUE_HEADER_BYTES) {
        value.bytes = vsi_get_u32(item.value.data);
        value.hash.lo = vsi_get_u64(item.value.data + 4);
        value.hash.hi = vsi_get_u64(item.value.data + 12);
    }
    size_t inlined = item.ref_count ? 0 : value.bytes;
    if (bytes < VALUE_HEADER_BYTES || bytes - VALUE_HEADER_BYTES != inlined || item.ref_count > 1)
        return vsi_fail(err, VS_ERR_CORRUPT, "an entry of a tree of values is malformed");
    *out_value = value;
    return VS_OK;
}

VSI_FN vs_status vsi_value_find(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                vsi_value *out_value) {
    vsi_node_item item;
    vs_status st = vsi_btree_get(err, tree, key, &item);
    return st == VS_OK ? vsi_value_of_item(err, item, out_value) : st;
}

/* What stands behind the header of a large value's extent, which is of a value of so many bytes. */
static vs_status value_stored(vsi_err *err, const vsi_pager *pager, vsi_ref ref, vsi_bytes extent,
                              uint32_t bytes, vsi_bytes *out_stored) {
    uint32_t stored = vsi_get_u32(extent.data + 4);
    bool is_right = vsi_get_u32(extent.data) == bytes &&
                    stored <= extent.bytes - VSI_BLOB_HEADER_BYTES - pager->trailer_bytes &&
                    (stored == bytes || ref.codec != VSI_CODEC_NONE);
    if (!is_right)
        return vsi_fail(err, VS_ERR_CORRUPT, "a value of %lu bytes has another size in the file",
                        (unsigned long)bytes);
    *out_stored = (vsi_bytes){extent.data + VSI_BLOB_HEADER_BYTES, stored};
    return VS_OK;
}

static vs_status value_fail_at(vsi_err *err, const vsi_pager *pager, vsi_ref ref) {
    return vsi_fail_in(err, "%s: page %llu", pager->file->path,
                       (unsigned long long)vsi_ref_page(ref));
}

/* A compressed value; never more memory for its extent than for the value, whatever the reference says. */
static vs_status value_read_packed(vsi_err *err, vsi_pager *pager, vsi_ref ref, uint32_t bytes,
                                   vsi_buf *buf) {
    if (bytes > VSI_VALUE_BYTES_MAX || vsi_ref_pages(ref) > bytes / VSI_PAGE_BYTES + 1)
        return vsi_fail(err, VS_ERR_CORRUPT,
                        "%s: page %llu: a compressed value of %lu bytes in %llu pages",
                        pager->file->path, (unsigned long long)vsi_ref_page(ref),
                        (unsigned long)bytes, (unsigned long long)vsi_ref_pages(ref));
    vsi_buf extent = {.mem = buf->mem};
    vsi_bytes stored = {0};
    vs_status st = vsi_pager_read(err, pager, ref, VSI_REF_BLOB, &extent);
    if (st != VS_OK)
        goto done;
    st = value_stored(err, pager, ref, (vsi_bytes){extent.data, extent.bytes}, bytes, &stored);
    if (st == VS_OK && !vsi_buf_reserve(buf, bytes))
        st = vsi_fail_nomem(err, bytes);
    if (st == VS_OK)
        st = vsi_unpack(err, buf->mem, stored, buf->data + buf->bytes, bytes);
    if (st == VS_OK)
        buf->bytes += bytes;
    if (st == VS_ERR_CORRUPT)
        st = value_fail_at(err, pager, ref);
done:
    vsi_buf_free(&extent);
    return st;
}

/* A value that is not: the extent goes where the value will stand. */
static vs_status value_read_plain(vsi_err *err, vsi_pager *pager, vsi_ref ref, uint32_t bytes,
                                  vsi_buf *buf) {
    size_t start = buf->bytes;
    vsi_bytes stored = {0};
    vs_status st = vsi_pager_read(err, pager, ref, VSI_REF_BLOB, buf);
    if (st != VS_OK)
        return st;
    vsi_bytes extent = {buf->data + start, buf->bytes - start};
    st = value_stored(err, pager, ref, extent, bytes, &stored);
    if (st == VS_OK)
        memmove(buf->data + start, stored.data, bytes);
    buf->bytes = start + (st == VS_OK ? bytes : 0);
    return st == VS_OK ? VS_OK : value_fail_at(err, pager, ref);
}

VSI_FN vs_status vsi_value_read(vsi_err *err, const vsi_btree *tree, const vsi_value *value,
                                vsi_buf *buf) {
    const uint8_t *data = value->item.value.data + VALUE_HEADER_BYTES;
    if (value->item.ref_count) {
        vsi_ref ref = vsi_ref_decode(value->item.refs);
        vsi_pager *pager = tree->cow->pager;
        if (!ref.is_block && ref.codec == VSI_CODEC_ZSTD)
            return value_read_packed(err, pager, ref, value->bytes, buf);
        if (!ref.is_block)
            return value_read_plain(err, pager, ref, value->bytes, buf);
        data = ((const value_blob *)vsi_ref_block(ref))->bytes;
    }
    return vsi_buf_append(buf, data, value->bytes) ? VS_OK : vsi_fail_nomem(err, value->bytes);
}

VSI_FN vs_status vsi_value_put(vsi_err *err, vsi_btree *tree, vsi_bytes key, vsi_bytes value,
                               vsi_hash128 hash) {
    uint8_t bytes[VSI_NODE_ENTRY_MAX], ref[VSI_REF_BYTES];
    vsi_put_u32(bytes, (uint32_t)value.bytes);
    vsi_put_u64(bytes + 4, hash.lo);
    vsi_put_u64(bytes + 12, hash.hi);
    vsi_node_item item = {.key = key, .value = {bytes, VALUE_HEADER_BYTES}};
    if (value_is_small(key, value.bytes)) {
        if (value.bytes)
            memcpy(bytes + VALUE_HEADER_BYTES, value.data, value.bytes);
        item.value.bytes += value.bytes;
    } else {
        value_blob *blob =
            vsi_cow_new_extent(tree->cow, sizeof *blob + value.bytes,
                               vsi_blob_pages(value.bytes, vsi_cow_trailer(tree->cow)));
        if (!blob)
            return vsi_fail_nomem(err, value.bytes);
        memcpy(blob->bytes, value.data, value.bytes);
        vsi_ref_encode(vsi_ref_of_block(VSI_REF_BLOB, blob), ref);
        item.refs = ref;
        item.ref_count = 1;
    }
    return vsi_btree_put_item(err, tree, &item);
}

VSI_FN vs_status vsi_value_delete(vsi_err *err, vsi_btree *tree, vsi_bytes key) {
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, tree, key, &value);
    vsi_assert(st != VS_ERR_NOT_FOUND);
    if (st != VS_OK)
        return st;
    if (value.item.ref_count)
        st = vsi_cow_drop_ref(err, tree->cow, vsi_ref_decode(value.item.refs));
    return st == VS_OK ? vsi_btree_delete(err, tree, key) : st;
}
/* ---- store/live.h ---------------------------------------------------------------------------------- */
/* live.h - sets of slots of a collection in one version: bitmaps in a B+tree. */
#ifndef VSI_LIVE_H
#define VSI_LIVE_H

/* uses store/btree.h */

enum { VSI_LIVE_CHUNK_SLOTS = 4096, VSI_LIVE_CHUNK_BYTES = VSI_LIVE_CHUNK_SLOTS / 8 };

/* The slots that hold a record; set n above 0 is of those that have the vector of field n - 1, where records
 * may be without. */
enum { VSI_LIVE_RECORDS = 0 };

VS_NODISCARD VSI_FN vs_status vsi_live_get(vsi_err *err, const vsi_btree *live, uint32_t set,
                                           uint32_t slot, bool *out_is_live);

/* On a failure undo the scope. */
VS_NODISCARD VSI_FN vs_status vsi_live_set(vsi_err *err, vsi_btree *live, uint32_t set,
                                           uint32_t slot, bool is_live);

/* Of the entry of a chunk; false: it is of none. */
VS_NODISCARD VSI_FN bool vsi_live_chunk_of(vsi_bytes key, uint32_t *out_set, uint32_t *out_chunk);

/* A walk over one set. Start it as {.live = tree, .set = set}. */
typedef struct vsi_live_scan {
    const vsi_btree *live;
    uint32_t set;
    bool is_loaded, is_missing; /* a missing chunk is all zero */
    uint32_t chunk;             /* that bits belong to */
    uint8_t bits[VSI_LIVE_CHUNK_BYTES];
} vsi_live_scan;

/* The first slot at or after slot and below end that is live, or that is not; or end. */
VS_NODISCARD VSI_FN vs_status vsi_live_next(vsi_err *err, vsi_live_scan *scan, uint32_t slot,
                                            uint32_t end, uint32_t *out_slot);
VS_NODISCARD VSI_FN vs_status vsi_live_next_dead(vsi_err *err, vsi_live_scan *scan, uint32_t slot,
                                                 uint32_t end, uint32_t *out_slot);

#endif
/* ---- store/live.c ---------------------------------------------------------------------------------- */
/* live.c - bitmaps of slots: chunks of bits under the numbers of set and chunk, big-endian. A chunk that
 * is missing is all zero. */
/* uses store/live.h */

enum { LIVE_WORD_SLOTS = 64, LIVE_KEY_BYTES = 6 };

static vsi_bytes live_key(uint8_t out[LIVE_KEY_BYTES], uint32_t set, uint32_t chunk) {
    out[0] = (uint8_t)(set >> 8);
    out[1] = (uint8_t)set;
    vsi_put_u32_be(out + 2, chunk);
    return (vsi_bytes){out, LIVE_KEY_BYTES};
}

VSI_FN bool vsi_live_chunk_of(vsi_bytes key, uint32_t *out_set, uint32_t *out_chunk) {
    if (key.bytes != LIVE_KEY_BYTES)
        return false;
    *out_set = (uint32_t)key.data[0] << 8 | key.data[1];
    *out_chunk = vsi_get_u32_be(key.data + 2);
    return true;
}

/* The bits of a chunk; NULL: all zero. */
static vs_status live_chunk(vsi_err *err, const vsi_btree *live, uint32_t set, uint32_t chunk,
                            const uint8_t **out_bits) {
    uint8_t key[LIVE_KEY_BYTES];
    vsi_node_item item;
    *out_bits = NULL;
    vs_status st = vsi_btree_get(err, live, live_key(key, set, chunk), &item);
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    if (st == VS_OK && item.value.bytes != VSI_LIVE_CHUNK_BYTES)
        return vsi_fail(err, VS_ERR_CORRUPT, "chunk %lu of a live bitmap has %zu bytes",
                        (unsigned long)chunk, item.value.bytes);
    if (st == VS_OK)
        *out_bits = item.value.data;
    return st;
}

VSI_FN vs_status vsi_live_get(vsi_err *err, const vsi_btree *live, uint32_t set, uint32_t slot,
                              bool *out_is_live) {
    const uint8_t *bits = NULL;
    vs_status st = live_chunk(err, live, set, slot / VSI_LIVE_CHUNK_SLOTS, &bits);
    uint32_t at = slot % VSI_LIVE_CHUNK_SLOTS;
    if (st == VS_OK)
        *out_is_live = bits && bits[at / 8] >> (at % 8) & 1;
    return st;
}

VSI_FN vs_status vsi_live_set(vsi_err *err, vsi_btree *live, uint32_t set, uint32_t slot,
                              bool is_live) {
    static const uint8_t zero[VSI_LIVE_CHUNK_BYTES];
    uint8_t bytes[LIVE_KEY_BYTES], *bits = NULL;
    vsi_bytes key = live_key(bytes, set, slot / VSI_LIVE_CHUNK_SLOTS);
    uint32_t at = slot % VSI_LIVE_CHUNK_SLOTS;
    vs_status st = vsi_btree_edit(err, live, key, &bits);
    if (st == VS_ERR_NOT_FOUND) {
        st = vsi_btree_put(err, live, key, (vsi_bytes){zero, sizeof zero});
        if (st == VS_OK)
            st = vsi_btree_edit(err, live, key, &bits);
    }
    if (st != VS_OK)
        return st;
    uint8_t bit = (uint8_t)(1u << (at % 8));
    bits[at / 8] = (uint8_t)(is_live ? bits[at / 8] | bit : bits[at / 8] & ~bit);
    return VS_OK;
}

/* ---- walking -------------------------------------------------------------------------------- */

static vs_status live_load(vsi_err *err, vsi_live_scan *scan, uint32_t chunk) {
    const uint8_t *bits = NULL;
    if (scan->is_loaded && scan->chunk == chunk)
        return VS_OK;
    vs_status st = live_chunk(err, scan->live, scan->set, chunk, &bits);
    if (st != VS_OK)
        return st;
    if (bits)
        memcpy(scan->bits, bits, sizeof scan->bits);
    else
        memset(scan->bits, 0, sizeof scan->bits);
    scan->chunk = chunk;
    scan->is_missing = !bits;
    scan->is_loaded = true;
    return VS_OK;
}

/* The first slot in [slot, end) whose bit, after flipping all with flip, is set. */
static vs_status live_seek(vsi_err *err, vsi_live_scan *scan, uint32_t slot, uint32_t end,
                           uint64_t flip, uint32_t *out_slot) {
    while (slot < end) {
        vs_status st = live_load(err, scan, slot / VSI_LIVE_CHUNK_SLOTS);
        if (st != VS_OK)
            return st;
        uint32_t at = slot % VSI_LIVE_CHUNK_SLOTS / LIVE_WORD_SLOTS * (LIVE_WORD_SLOTS / 8);
        uint64_t word = (vsi_get_u64(scan->bits + at) ^ flip) >> (slot % LIVE_WORD_SLOTS);
        uint32_t unit = scan->is_missing ? VSI_LIVE_CHUNK_SLOTS : LIVE_WORD_SLOTS;
        uint32_t step = word ? (uint32_t)vsi_trailing_zeros(word) : unit - slot % unit;
        if (step >= end - slot)
            break;
        slot += step;
        if (word) {
            *out_slot = slot;
            return VS_OK;
        }
    }
    *out_slot = end;
    return VS_OK;
}

VSI_FN vs_status vsi_live_next(vsi_err *err, vsi_live_scan *scan, uint32_t slot, uint32_t end,
                               uint32_t *out_slot) {
    return live_seek(err, scan, slot, end, 0, out_slot);
}

VSI_FN vs_status vsi_live_next_dead(vsi_err *err, vsi_live_scan *scan, uint32_t slot, uint32_t end,
                                    uint32_t *out_slot) {
    return live_seek(err, scan, slot, end, UINT64_MAX, out_slot);
}
/* ---- store/slab.h ---------------------------------------------------------------------------------- */
/* slab.h - rows of a fixed size by slot number, in slabs of 2^shift rows.
 *
 * Rows are not versioned, all versions share the array: a row is written before its slot becomes
 * live and not again while any version that has it live may be read. */
#ifndef VSI_SLAB_H
#define VSI_SLAB_H

/* uses store/btree.h */

enum { VSI_SLAB_BYTES_MIN = 16384, VSI_SLAB_ALIGN = 64, VSI_SLAB_SHIFT_MAX = 17 };

#define VSI_SLOT_NONE UINT32_MAX /* no slot */

enum { VSI_SLAB_KEY_BYTES = 6 };

/* What leads to a slab in dir. */
VSI_FN vsi_bytes vsi_slab_key(uint8_t out[VSI_SLAB_KEY_BYTES], uint32_t array, uint32_t at);

/* A slab that is not in memory is read in when it is needed; one that the file has too may leave memory
 * again. Where a slab is in the file says `moved` or, if it is not in there, dir. With the pager's windows on
 * a slab of dir is not read in: the table leads to the mapped file. */
typedef struct vsi_slabs {
    vsi_mem *mem;
    uint32_t array; /* its number in dir */
    uint32_t row_bytes;
    uint32_t shift;         /* rows of a slab, as a power of two */
    uint32_t trailer_bytes; /* behind a slab's rows in its extent */
    uint32_t element_bytes; /* of numbers that are little-endian in the file; 1: bytes */
    vsi_atomic_ptr table;   /* slab_table: readers load it */

    /* guarded by the pager's slab lock */
    vsi_btree
        dir; /* array, slab number -> extent, as of the last checkpoint; shared by all arrays */
    vsi_buf moved; /* vsi_slab_place, ascending: written since */
    size_t hand;   /* of vsi_slabs_evict */

    /* of the holder of the writer role */
    vsi_buf dirty;     /* uint32_t: slabs changed since they were written */
    uint64_t writer;   /* the pager's, when one was last added */
    size_t kept_dirty; /* how many were there before that writer came */
    vsi_buf unused;    /* uint32_t: per slab the rows that nobody needs, and whether it is gone */
} vsi_slabs;

typedef struct vsi_slab_place {
    uint32_t at; /* slab number */
    vsi_ref ref;
} vsi_slab_place;

/* A slab that a reader holds for itself when memory has no room for it. All zero but buf.mem: none. */
typedef struct vsi_slab_aside {
    const vsi_slabs *slabs; /* NULL: none */
    uint32_t at;
    const uint8_t *rows; /* in buf or, until its owner stops staying, in a mapping of the file */
    bool is_mapped;
    vsi_buf buf;
} vsi_slab_aside;

/* The number of rows of a slab, as a power of two, for rows of this size. */
VSI_FN uint32_t vsi_slab_shift(uint32_t row_bytes, uint32_t trailer_bytes);

VSI_FN void vsi_slabs_init(vsi_slabs *slabs, vsi_mem *mem, uint32_t array, uint32_t row_bytes,
                           uint32_t trailer_bytes);
VSI_FN void vsi_slabs_free(vsi_slabs *slabs); /* accepts one that is all zero */

/* The row of a slot whose slab exists, in memory or in the file. Any thread; the row stays there as long
 * as the caller does (store/reside). */
VS_NODISCARD VSI_FN vs_status vsi_slab_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                           const uint8_t **out_row);
/* The same for who comes by once: what memory has no room for is read into aside, and stays there until
 * another slab does. */
VS_NODISCARD VSI_FN vs_status vsi_slab_row_aside(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                                 vsi_slab_aside *aside, const uint8_t **out_row);
/* The caller stopped staying since: what lies in a mapping is not valid any more. */
VSI_FN void vsi_slab_aside_renew(vsi_slab_aside *aside);
/* How many slots from slot on lie in the same slab, so row after row in memory. */
VSI_FN uint32_t vsi_slab_run(const vsi_slabs *slabs, uint32_t slot);

/* Of the slabs that changed since they were written; of the holder of the writer role. */
VSI_FN uint64_t vsi_slabs_dirty_bytes(const vsi_slabs *slabs);
/* Adds the pages that a checkpoint will take for them, and at most for dir. */
VSI_FN void vsi_slabs_need(const vsi_slabs *slabs, vsi_page_count *need);
/* Writes the slabs that changed into the file, max_bytes of them or a little more: they may leave memory,
 * nothing in the file leads to them yet. Of the holder of the writer role, as those below. On a failure
 * nothing has changed. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_write_back(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager,
                                                   uint64_t max_bytes);
/* Notes in dir where slabs are that were written since it was made. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_link(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir);
/* The pager's writer has changed nothing after all: what only it has changed need not be written. */
VSI_FN void vsi_slabs_undo(vsi_slabs *slabs, vsi_pager *pager);
/* A row of which no version that can be read has need, or one again. There may be no memory to count it;
 * then the slab only stays. */
VSI_FN void vsi_slabs_count_unused(vsi_slabs *slabs, uint32_t slot, bool is_unused);
/* What was written since the last checkpoint may not be in the file: it is read back, if it is not in
 * memory, and counts as changed again. A failure means that some of it is lost. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_distrust(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager);
/* Whether there may be slabs to drop. */
VSI_FN bool vsi_slabs_have_unused(const vsi_slabs *slabs);
/* Drops slabs of which no row is needed, but for the one that slot_end lies behind and those after it; with
 * slot_end 0 none. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_drop_unused(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir,
                                                    uint32_t slot_end);
/* What was written leads nowhere: the collection does not exist. Its pages go to the pager's dropped. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_forget(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager);
/* dir counts: it has all places. */
VSI_FN void vsi_slabs_settle(vsi_slabs *slabs, const vsi_btree *dir);

/* Any thread: looks at the next slabs, and retires those that the file has too and nobody asked for since
 * it last came by. Returns how many there are, in memory or not. */
VSI_FN size_t vsi_slabs_evict(vsi_slabs *slabs, size_t count);

/* The pages of an extent will hold something else: the slab in it that is looked at in the file itself, if
 * there is one, leaves its table. */
VSI_FN void vsi_slab_let_go(vsi_pager *pager, vsi_run run);

/* The row of any slot, to be changed, its slab made when needed. Holder of the writer role only. */
VS_NODISCARD VSI_FN vs_status vsi_slab_make_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                                uint8_t **out_row);

#endif
/* ---- store/slab.c ---------------------------------------------------------------------------------- */
/* slab.c - rows by slot number.
 *
 *   L1  A slab's address in the table changes only from none to one, from one to none when the file has the
 *       same rows, and from one in the mapped file to the same in memory; whoever may still look at it
 *       holds it in place by staying.
 *   L2  The table grows by a copy twice as large, under the slab lock, as every change of it.
 *   L3  Whether a slab is dirty changes only under the slab lock, and only by the holder of the writer
 *       role; a dirty one is in the table.
 *   L4  A slab that the table has in the mapped file was verified when it was put there, lies where dir
 *       says or said until the checkpoint before, and is never dirty. What dir names is durable, and is
 *       not written to while a kept checkpoint has it. When its pages become free for whatever reason it
 *       leaves the table (vsi_slab_let_go), and they are free only when all have left who may have
 *       found it there before (G2). Places of `moved` are free at once when the slab is written again: so
 *       they are not looked at in the file but read. Thus nobody sees pages that hold something else. */
/* uses store/slab.h */

enum { SLAB_TABLE_FIRST = 16 };

/* Beside the count of rows that nobody needs. */
#define SLAB_IS_DROPPED 0x80000000u
#define SLAB_GOES       0x40000000u /* with the checkpoint that is being made */

/* At the front of a slab's memory; the rows begin at the first aligned byte behind it. */
typedef struct slab_head {
    vsi_retired retired;
    vsi_atomic_u64 is_wanted; /* since the last sweep */
    const uint8_t *rows;
    bool is_dirty, is_mapped;
} slab_head;

/* A slab in the mapped file. */
typedef struct slab_mapped {
    slab_head head;
    vsi_sight sight;
    vsi_slabs *slabs; /* borrowed; and its number there */
    uint32_t at;
} slab_mapped;

/* Where a slab is in the file. */
typedef struct slab_spot {
    vsi_ref ref;
    bool is_settled; /* dir says so */
} slab_spot;

typedef struct slab_table {
    vsi_retired retired;
    size_t room;
    vsi_atomic_ptr slab[]; /* the memory of a slab; NULL: none */
} slab_table;

/* Small enough that little is written for one row, large enough that the last page, which is filled only
 * in part, wastes little. */
VSI_FN uint32_t vsi_slab_shift(uint32_t row_bytes, uint32_t trailer_bytes) {
    uint32_t shift = 0;
    for (;; shift++) {
        uint64_t bytes = (uint64_t)row_bytes << shift;
        uint64_t waste = vsi_pages_for(bytes, trailer_bytes) * VSI_PAGE_BYTES - bytes;
        if (bytes >= VSI_SLAB_BYTES_MIN && waste <= bytes / 16)
            return shift;
    }
}

VSI_FN vsi_bytes vsi_slab_key(uint8_t out[VSI_SLAB_KEY_BYTES], uint32_t array, uint32_t at) {
    out[0] = (uint8_t)(array >> 8);
    out[1] = (uint8_t)array;
    vsi_put_u32_be(out + 2, at);
    return (vsi_bytes){out, VSI_SLAB_KEY_BYTES};
}

VSI_FN void vsi_slabs_init(vsi_slabs *slabs, vsi_mem *mem, uint32_t array, uint32_t row_bytes,
                           uint32_t trailer_bytes) {
    memset(slabs, 0, sizeof *slabs);
    slabs->array = array;
    slabs->mem = mem;
    slabs->row_bytes = row_bytes;
    slabs->shift = vsi_slab_shift(row_bytes, trailer_bytes);
    slabs->trailer_bytes = trailer_bytes;
    slabs->element_bytes = 1;
    slabs->dirty.mem = mem;
    slabs->moved.mem = mem;
    slabs->unused.mem = mem;
}

static size_t table_bytes(size_t room) {
    return sizeof(slab_table) + room * sizeof(vsi_atomic_ptr);
}

static size_t slabs_rows_bytes(const vsi_slabs *slabs) {
    return (size_t)slabs->row_bytes << slabs->shift;
}

static size_t slab_extent_bytes(const vsi_slabs *slabs) {
    return (size_t)vsi_pages_for(slabs_rows_bytes(slabs), slabs->trailer_bytes) * VSI_PAGE_BYTES;
}

static size_t slab_bytes(const vsi_slabs *slabs) {
    return slab_extent_bytes(slabs) + sizeof(slab_head) + VSI_SLAB_ALIGN;
}

static vsi_pager *slabs_pager(const vsi_slabs *slabs);

/* Of one that is, or was to be, in the table. */
static void slab_free(const vsi_slabs *slabs, slab_head *slab) {
    if (slab)
        vsi_free(slabs->mem, slab, slab->is_mapped ? sizeof(slab_mapped) : slab_bytes(slabs));
}

VSI_FN void vsi_slabs_free(vsi_slabs *slabs) {
    slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    for (size_t i = 0; table && i < table->room; i++) {
        slab_head *slab = vsi_atomic_ptr_load(&table->slab[i]);
        if (slab && slab->is_mapped)
            vsi_windows_leave(&slabs_pager(slabs)->windows, &((slab_mapped *)(void *)slab)->sight);
        slab_free(slabs, slab);
    }
    if (table)
        vsi_free(slabs->mem, table, table_bytes(table->room));
    vsi_atomic_ptr_store(&slabs->table, NULL);
    if (!slabs->mem)
        return;
    vsi_buf_free(&slabs->dirty);
    vsi_buf_free(&slabs->moved);
    vsi_buf_free(&slabs->unused);
}

static uint8_t *slab_aligned(uint8_t *first) {
    return first + (size_t)(0 - (uintptr_t)first) % VSI_SLAB_ALIGN;
}

static uint8_t *slab_rows(void *slab) {
    return slab_aligned((uint8_t *)slab + sizeof(slab_head));
}

/* Where the row of a slot is in its slab. */
static size_t slab_row_off(const vsi_slabs *slabs, uint32_t slot) {
    size_t row = slot & ((1u << slabs->shift) - 1);
    return row * slabs->row_bytes;
}

static void *slabs_get(const vsi_slabs *slabs, uint32_t at) {
    const slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    slab_head *slab = table && at < table->room ? vsi_atomic_ptr_load(&table->slab[at]) : NULL;
    if (slab && !vsi_atomic_load(&slab->is_wanted))
        vsi_atomic_set(&slab->is_wanted, 1);
    return slab;
}

/* NULL: everything is in memory. */
static vsi_pager *slabs_pager(const vsi_slabs *slabs) {
    return slabs->dir.cow ? slabs->dir.cow->pager : NULL;
}

static void slabs_lock(const vsi_slabs *slabs) {
    if (slabs_pager(slabs))
        vsi_mutex_lock(&slabs_pager(slabs)->slab_lock);
}

static void slabs_unlock(const vsi_slabs *slabs) {
    if (slabs_pager(slabs))
        vsi_mutex_unlock(&slabs_pager(slabs)->slab_lock);
}

/* ---- places --------------------------------------------------------------------------------- */

/* The first of the places written since the last checkpoint whose number is not below at. */
static size_t slabs_moved_at(const vsi_slabs *slabs, uint32_t at) {
    const vsi_slab_place *places = (const vsi_slab_place *)(const void *)slabs->moved.data;
    size_t low = 0, high = slabs->moved.bytes / sizeof *places;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (places[mid].at < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static vsi_slab_place *slabs_moved(const vsi_slabs *slabs, uint32_t at) {
    vsi_slab_place *places = (vsi_slab_place *)(void *)slabs->moved.data;
    size_t i = slabs_moved_at(slabs, at), n = slabs->moved.bytes / sizeof *places;
    return i < n && places[i].at == at ? places + i : NULL;
}

/* Where a slab is in the file; VS_ERR_NOT_FOUND without a message. The slab lock is held. */
static vs_status slab_locate(vsi_err *err, const vsi_slabs *slabs, uint32_t at,
                             slab_spot *out_spot) {
    uint8_t key[VSI_SLAB_KEY_BYTES];
    vsi_node_item item;
    const vsi_slab_place *moved = slabs_moved(slabs, at);
    if (moved)
        *out_spot = (slab_spot){.ref = moved->ref};
    if (moved || !slabs_pager(slabs))
        return moved ? VS_OK : VS_ERR_NOT_FOUND;
    vs_status st = vsi_btree_get(err, &slabs->dir, vsi_slab_key(key, slabs->array, at), &item);
    if (st == VS_OK && item.ref_count != 1)
        return vsi_fail(err, VS_ERR_CORRUPT, "the entry of slab %lu is malformed",
                        (unsigned long)at);
    if (st == VS_OK)
        *out_spot = (slab_spot){.ref = vsi_ref_decode(item.refs), .is_settled = true};
    return st;
}

/* ---- reading in ----------------------------------------------------------------------------- */

/* Reads a slab to out [slab_extent_bytes], rows in the machine's order. */
static vs_status slab_read(vsi_err *err, const vsi_slabs *slabs, vsi_ref ref, uint8_t *out) {
    vs_status st = vsi_pager_read_to(err, slabs_pager(slabs), ref, VSI_REF_SLAB, out,
                                     slab_extent_bytes(slabs));
    if (st == VS_OK)
        vsi_swap_le(out, slabs_rows_bytes(slabs) / slabs->element_bytes, slabs->element_bytes);
    return st;
}

/* A table with room for slab number at; the slab lock is held. */
static vs_status slabs_reserve(vsi_err *err, vsi_slabs *slabs, uint32_t at) {
    slab_table *old = vsi_atomic_ptr_load(&slabs->table);
    size_t room = old ? old->room : SLAB_TABLE_FIRST;
    if (old && at < room)
        return VS_OK;
    while (at >= room)
        room *= 2;
    slab_table *table = vsi_alloc_zeroed(slabs->mem, table_bytes(room));
    if (!table)
        return vsi_fail_nomem(err, table_bytes(room));
    for (size_t i = 0; old && i < old->room; i++)
        vsi_atomic_ptr_store(&table->slab[i], vsi_atomic_ptr_load(&old->slab[i]));
    table->room = room;
    vsi_atomic_ptr_store(&slabs->table, table);
    if (old && slabs_pager(slabs))
        vsi_retire(&slabs_pager(slabs)->reside, &old->retired, table_bytes(old->room));
    else if (old)
        vsi_free(slabs->mem, old, table_bytes(old->room));
    return VS_OK;
}

/* Takes the slab at a place of the table out; the slab lock is held. */
static void slab_take_out(const vsi_slabs *slabs, vsi_pager *pager, vsi_atomic_ptr *place,
                          void *instead) {
    slab_head *slab = vsi_atomic_ptr_load(place);
    bool is_mapped = slab->is_mapped;
    vsi_atomic_ptr_store(place, instead); /* keeps L1 */
    if (is_mapped)
        vsi_windows_leave(&pager->windows, &((slab_mapped *)(void *)slab)->sight);
    vsi_retire(&pager->reside, &slab->retired, is_mapped ? sizeof(slab_mapped) : slab_bytes(slabs));
}

/* Puts a slab into the table, where there is none or one in the mapped file; the slab lock is held. */
static vs_status slabs_put(vsi_err *err, vsi_slabs *slabs, uint32_t at, slab_head *slab) {
    vs_status st = slabs_reserve(err, slabs, at);
    if (st != VS_OK)
        return st;
    slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    vsi_atomic_ptr *place = &table->slab[at];
    if (slab->is_mapped)
        vsi_windows_use(&slabs_pager(slabs)->windows, &((slab_mapped *)(void *)slab)->sight);
    if (vsi_atomic_ptr_load(place))
        slab_take_out(slabs, slabs_pager(slabs), place, slab);
    else
        vsi_atomic_ptr_store(place, slab); /* keeps L1 */
    return VS_OK;
}

static vs_status slab_new(vsi_err *err, vsi_slabs *slabs, void **out_slab) {
    slab_head *slab = vsi_alloc_zeroed(slabs->mem, slab_bytes(slabs));
    if (!slab)
        return vsi_fail_nomem(err, slab_bytes(slabs));
    vsi_atomic_set(&slab->is_wanted, 1);
    slab->rows = slab_rows(slab);
    *out_slab = slab;
    return VS_OK;
}

/* Whether a slab can be looked at in the file itself: its numbers are this machine's, and it stays where it
 * is until the next checkpoint but one (L4). */
static bool slab_may_map(const vsi_slabs *slabs, slab_spot spot) {
    return spot.is_settled && slabs_pager(slabs)->windows.is_on &&
           (slabs->element_bytes == 1 || vsi_host_is_little_endian());
}

/* A slab in the mapped file, verified; NULL: it must be read. */
static vs_status slab_see(vsi_err *err, vsi_slabs *slabs, uint32_t at, slab_spot spot,
                          slab_head **out_slab) {
    vsi_sight sight = {.offset = 0};
    const uint8_t *rows = NULL;
    if (!slab_may_map(slabs, spot))
        return VS_OK;
    vs_status st = vsi_pager_see(err, slabs_pager(slabs), spot.ref, VSI_REF_SLAB,
                                 slab_extent_bytes(slabs), &sight, &rows);
    if (st != VS_OK || !rows)
        return st;
    slab_mapped *slab = vsi_alloc_zeroed(slabs->mem, sizeof *slab);
    if (!slab)
        return vsi_fail_nomem(err, sizeof *slab);
    slab->head.rows = rows;
    slab->head.is_mapped = true;
    slab->sight = sight;
    slab->sight.user = slab;
    slab->slabs = slabs;
    slab->at = at;
    vsi_atomic_set(&slab->head.is_wanted, 1);
    *out_slab = &slab->head;
    return VS_OK;
}

/* A slab in memory, read and verified. */
static vs_status slab_read_in(vsi_err *err, vsi_slabs *slabs, slab_spot spot,
                              slab_head **out_slab) {
    void *read = NULL;
    vs_status st = slab_new(err, slabs, &read);
    if (st == VS_OK)
        st = slab_read(err, slabs, spot.ref, slab_rows(read));
    if (st == VS_OK)
        *out_slab = read;
    else
        slab_free(slabs, read);
    return st;
}

/* The slab in the table; one in the mapped file does not count for who wants to change it. */
static slab_head *slabs_get_for(const vsi_slabs *slabs, uint32_t at, bool to_change) {
    slab_head *slab = slabs_get(slabs, at);
    return slab && to_change && slab->is_mapped ? NULL : slab;
}

/* Puts a slab that was found at a spot into the table, unless another thread was faster or the slab has moved
 * meanwhile. *out_slab is the one in the table, NULL: none. */
static vs_status slab_install(vsi_err *err, vsi_slabs *slabs, uint32_t at, slab_spot spot,
                              slab_head *read, bool to_change, void **out_slab) {
    slab_spot now = {.is_settled = false};
    slabs_lock(slabs);
    *out_slab = slabs_get_for(slabs, at, to_change);
    vs_status st = *out_slab ? VS_OK : slab_locate(err, slabs, at, &now);
    bool is_current = st == VS_OK && !*out_slab && now.ref.at == spot.ref.at &&
                      now.ref.hash == spot.ref.hash && now.is_settled == spot.is_settled;
    if (is_current)
        st = slabs_put(err, slabs, at, read);
    bool is_put = is_current && st == VS_OK;
    if (is_put)
        *out_slab = read;
    slabs_unlock(slabs);
    if (!is_put)
        slab_free(slabs, read);
    return st;
}

/* The slab in the table or else its place in the file; VS_ERR_NOT_FOUND, without a message, for neither. */
static vs_status slab_look(vsi_err *err, vsi_slabs *slabs, uint32_t at, bool to_change,
                           void **out_slab, slab_spot *out_spot) {
    slabs_lock(slabs);
    *out_slab = slabs_get_for(slabs, at, to_change);
    vs_status st = *out_slab ? VS_OK : slab_locate(err, slabs, at, out_spot);
    slabs_unlock(slabs);
    return st;
}

/* Whether a slab is no longer where it was looked for: then what was read there, and found damaged, may
 * have been something else's. */
static bool slab_has_moved(vsi_slabs *slabs, uint32_t at, bool to_change, slab_spot from) {
    vsi_err ignored = {0};
    slab_spot now = {.is_settled = false};
    void *slab = NULL;
    vs_status st = slab_look(&ignored, slabs, at, to_change, &slab, &now);
    return st == VS_OK && (slab || now.ref.at != from.ref.at || now.ref.hash != from.ref.hash);
}

/* One attempt of slab_fault; neither a slab nor a failure: try again. */
static vs_status slab_fetch(vsi_err *err, vsi_slabs *slabs, uint32_t at, bool to_change,
                            void **out_slab) {
    slab_spot spot = {.is_settled = false};
    slab_head *read = NULL;
    vs_status st = slab_look(err, slabs, at, to_change, out_slab, &spot);
    if (st != VS_OK || *out_slab)
        return st;
    if (!to_change)
        st = slab_see(err, slabs, at, spot, &read);
    if (st == VS_OK && !read)
        st = slab_read_in(err, slabs, spot, &read);
    if (st == VS_OK)
        return slab_install(err, slabs, at, spot, read, to_change, out_slab);
    return st == VS_ERR_CORRUPT && slab_has_moved(slabs, at, to_change, spot) ? VS_OK : st;
}

/* Brings a slab into the table from the file, to_change: into memory, also when the table has it in the
 * mapped file; it is read again, since the file may have been damaged under the mapping.
 * VS_ERR_NOT_FOUND without a message when it is not there. */
static vs_status slab_fault(vsi_err *err, vsi_slabs *slabs, uint32_t at, bool to_change,
                            void **out_slab) {
    vs_status st = VS_OK;
    *out_slab = NULL;
    while (st == VS_OK && !*out_slab)
        st = slab_fetch(err, slabs, at, to_change, out_slab);
    return st;
}

static vs_status slab_no_row(vsi_err *err, uint32_t slot) {
    return vsi_fail(err, VS_ERR_CORRUPT, "slot %lu has no row", (unsigned long)slot);
}

VSI_FN vs_status vsi_slab_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                              const uint8_t **out_row) {
    uint32_t at = slot >> slabs->shift;
    void *slab = slabs_get(slabs, at);
    vs_status st = slab ? VS_OK : slab_fault(err, slabs, at, false, &slab);
    if (st == VS_ERR_NOT_FOUND)
        return slab_no_row(err, slot);
    if (st == VS_OK)
        *out_row = ((slab_head *)slab)->rows + slab_row_off(slabs, slot);
    return st;
}

/* Reads a slab into aside's buffer. */
static vs_status slab_read_aside(vsi_err *err, const vsi_slabs *slabs, slab_spot spot,
                                 vsi_slab_aside *aside) {
    size_t bytes = slab_extent_bytes(slabs) + VSI_SLAB_ALIGN;
    aside->buf.bytes = 0;
    if (!vsi_buf_reserve(&aside->buf, bytes))
        return vsi_fail_nomem(err, bytes);
    uint8_t *rows = slab_aligned(aside->buf.data);
    vs_status st = slab_read(err, slabs, spot.ref, rows);
    if (st == VS_OK)
        aside->rows = rows;
    return st;
}

/* Verifies the slab at a spot, and holds it aside: in the mapped file, or read. */
static vs_status slab_hold_aside(vsi_err *err, const vsi_slabs *slabs, uint32_t at, slab_spot spot,
                                 vsi_slab_aside *aside) {
    vsi_sight ignored;
    vs_status st = VS_OK;
    aside->slabs = NULL;
    aside->rows = NULL;
    if (slab_may_map(slabs, spot))
        st = vsi_pager_see(err, slabs_pager(slabs), spot.ref, VSI_REF_SLAB,
                           slab_extent_bytes(slabs), &ignored, &aside->rows);
    aside->is_mapped = aside->rows;
    if (st == VS_OK && !aside->rows)
        st = slab_read_aside(err, slabs, spot, aside);
    if (st != VS_OK)
        return st;
    aside->slabs = slabs;
    aside->at = at;
    return VS_OK;
}

VSI_FN void vsi_slab_aside_renew(vsi_slab_aside *aside) {
    if (aside->is_mapped)
        aside->slabs = NULL;
}

/* What an entry of the table takes, for a slab at a spot. */
static size_t slab_cost(const vsi_slabs *slabs, slab_spot spot) {
    return slab_may_map(slabs, spot) ? sizeof(slab_mapped) : slab_bytes(slabs);
}

VSI_FN vs_status vsi_slab_row_aside(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                    vsi_slab_aside *aside, const uint8_t **out_row) {
    uint32_t at = slot >> slabs->shift;
    bool has_it = aside->slabs == slabs && aside->at == at;
    void *slab = has_it ? NULL : slabs_get(slabs, at);
    slab_spot spot = {.is_settled = false};
    while (!has_it && !slab) {
        if (!slabs_pager(slabs) ||
            !vsi_reside_excess(&slabs_pager(slabs)->reside, slab_bytes(slabs)))
            return vsi_slab_row(err, slabs, slot, out_row);
        vs_status st = slab_look(err, slabs, at, false, &slab, &spot);
        if (st == VS_OK && !slab) {
            if (!vsi_reside_excess(&slabs_pager(slabs)->reside, slab_cost(slabs, spot)))
                return vsi_slab_row(err, slabs, slot, out_row);
            st = slab_hold_aside(err, slabs, at, spot, aside);
            has_it = st == VS_OK;
        }
        if (st != VS_OK && !(st == VS_ERR_CORRUPT && slab_has_moved(slabs, at, false, spot)))
            return st == VS_ERR_NOT_FOUND ? slab_no_row(err, slot) : st;
    }
    *out_row = (slab ? ((slab_head *)slab)->rows : aside->rows) + slab_row_off(slabs, slot);
    return VS_OK;
}

VSI_FN uint32_t vsi_slab_run(const vsi_slabs *slabs, uint32_t slot) {
    uint32_t rows = 1u << slabs->shift;
    return rows - (slot & (rows - 1));
}

/* ---- changing ------------------------------------------------------------------------------- */

/* An empty slab, not in the file. */
static vs_status slab_make(vsi_err *err, vsi_slabs *slabs, uint32_t at) {
    void *slab = NULL;
    vs_status st = slab_new(err, slabs, &slab);
    slabs_lock(slabs);
    if (st == VS_OK)
        st = slabs_put(err, slabs, at, slab);
    slabs_unlock(slabs);
    if (st != VS_OK)
        slab_free(slabs, slab);
    return st;
}

static size_t slabs_dirty_count(const vsi_slabs *slabs) {
    return slabs->dirty.bytes / sizeof(uint32_t);
}

static void slabs_add_dirty(vsi_slabs *slabs, uint32_t at) {
    uint64_t writer = slabs_pager(slabs) ? slabs_pager(slabs)->writer : 0;
    if (slabs->writer != writer) {
        slabs->writer = writer;
        slabs->kept_dirty = slabs_dirty_count(slabs);
    }
    vsi_buf_append(&slabs->dirty, &at, sizeof at);
}

/* Rows of other transactions in these slabs are as the file has them, if it has any; those that this one
 * wrote are of slots that are not live. */
VSI_FN void vsi_slabs_undo(vsi_slabs *slabs, vsi_pager *pager) {
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    if (slabs->writer != pager->writer)
        return;
    vsi_mutex_lock(&pager->slab_lock);
    for (size_t i = slabs->kept_dirty; i < slabs_dirty_count(slabs); i++)
        ((slab_head *)slabs_get(slabs, dirty[i]))->is_dirty = false; /* L3 */
    vsi_mutex_unlock(&pager->slab_lock);
    slabs->dirty.bytes = slabs->kept_dirty * sizeof *dirty;
}

/* Marks a slab as changed; false: it is not in memory. There is room in the list. */
static bool slab_mark(vsi_slabs *slabs, uint32_t at, slab_head **out_slab) {
    slabs_lock(slabs);
    slab_head *slab = slabs_get_for(slabs, at, true);
    bool was_dirty = slab && slab->is_dirty;
    if (slab)
        slab->is_dirty = true; /* L3 */
    slabs_unlock(slabs);
    if (slab && !was_dirty)
        slabs_add_dirty(slabs, at);
    *out_slab = slab;
    return slab;
}

VSI_FN vs_status vsi_slab_make_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                   uint8_t **out_row) {
    uint32_t at = slot >> slabs->shift;
    slab_head *slab = slabs_get(slabs, at);
    if (!(slab && slab->is_dirty)) {
        if (!vsi_buf_reserve(&slabs->dirty, sizeof at))
            return vsi_fail_nomem(err, sizeof at);
        while (!slab_mark(slabs, at, &slab)) {
            void *read = NULL;
            vs_status st = slab_fault(err, slabs, at, true, &read);
            if (st == VS_ERR_NOT_FOUND)
                st = slab_make(err, slabs, at);
            if (st != VS_OK)
                return st;
        }
    }
    *out_row = slab_rows(slab) + slab_row_off(slabs, slot);
    return VS_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Slabs that are being written. */
typedef struct slab_batch {
    vsi_pager *pager;
    vsi_buf places;   /* vsi_slab_place, in the order of the list of dirty slabs */
    vsi_buf replaced; /* vsi_run: the places before, that nobody else knows */
    vsi_buf scratch;
} slab_batch;

static vs_status batch_write(vsi_err *err, vsi_slabs *slabs, slab_batch *batch, uint32_t at) {
    vsi_slab_place place = {.at = at};
    size_t bytes = slab_extent_bytes(slabs), rows_bytes = slabs_rows_bytes(slabs);
    batch->scratch.bytes = 0;
    if (!vsi_buf_reserve(&batch->scratch, bytes) || !vsi_buf_reserve(&batch->places, sizeof place))
        return vsi_fail_nomem(err, bytes);
    uint8_t *out = batch->scratch.data;
    memset(out + rows_bytes, 0, bytes - rows_bytes);
    vsi_copy_le(out, slab_rows(slabs_get(slabs, at)), rows_bytes / slabs->element_bytes,
                slabs->element_bytes);
    vs_status st =
        vsi_pager_write(err, batch->pager, VSI_REF_SLAB, 0, (vsi_bytes){out, bytes}, &place.ref);
    if (st == VS_OK)
        vsi_buf_append(&batch->places, &place, sizeof place);
    return st;
}

/* Shell sort, by number: as a rule they are in order. */
static void places_sort(vsi_slab_place *places, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            vsi_slab_place place = places[i];
            size_t to = i;
            for (; to >= gap && places[to - gap].at > place.at; to -= gap)
                places[to] = places[to - gap];
            places[to] = place;
        }
}

/* Merges the batch, sorted, into the places known; from the back, so that no scratch is needed. There is
 * room for all. The slab lock is held. */
static void slabs_merge(vsi_slabs *slabs, slab_batch *batch) {
    const vsi_slab_place *new = (const vsi_slab_place *)(const void *)batch->places.data;
    size_t news = batch->places.bytes / sizeof *new, olds = slabs->moved.bytes / sizeof *new,
           added = 0;
    for (size_t i = 0; i < news; i++) {
        vsi_slab_place *old = slabs_moved(slabs, new[i].at);
        if (old) {
            vsi_run run = {vsi_ref_page(old->ref), vsi_ref_pages(old->ref)};
            vsi_buf_append(&batch->replaced, &run, sizeof run);
            *old = new[i];
        }
        added += !old;
    }
    vsi_slab_place *places = (vsi_slab_place *)(void *)slabs->moved.data;
    size_t to = olds + added;
    slabs->moved.bytes = to * sizeof *places;
    for (size_t i = news; i > 0 && to > olds; i--) {
        while (olds > 0 && places[olds - 1].at > new[i - 1].at)
            places[--to] = places[--olds];
        if (!(olds > 0 && places[olds - 1].at == new[i - 1].at))
            places[--to] = new[i - 1];
    }
}

/* What was written counts: places are known, slabs are clean. Pages of places written before, since the last
 * checkpoint, are free at once: a reader who looks for the slab there finds that it has moved. */
static void slabs_adopt(vsi_slabs *slabs, slab_batch *batch) {
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    size_t n = batch->places.bytes / sizeof(vsi_slab_place),
           left = slabs->dirty.bytes - n * sizeof *dirty;
    vsi_mutex_lock(&batch->pager->slab_lock);
    for (size_t i = 0; i < n; i++)
        ((slab_head *)slabs_get(slabs, dirty[i]))->is_dirty = false; /* L3 */
    places_sort((vsi_slab_place *)(void *)batch->places.data, n);
    slabs_merge(slabs, batch);
    vsi_mutex_unlock(&batch->pager->slab_lock);
    if (left)
        memmove(slabs->dirty.data, slabs->dirty.data + n * sizeof *dirty, left);
    slabs->dirty.bytes = left;
    slabs->kept_dirty -= n < slabs->kept_dirty ? n : slabs->kept_dirty;
    const vsi_run *runs = (const vsi_run *)(const void *)batch->replaced.data;
    for (size_t i = 0; i < batch->replaced.bytes / sizeof *runs; i++)
        vsi_space_give(&batch->pager->space, runs[i]);
}

/* Room for n more places, and for what they replace. Readers look at the places meanwhile. */
static vs_status slabs_make_room(vsi_err *err, vsi_slabs *slabs, slab_batch *batch, size_t n) {
    vsi_mutex_lock(&batch->pager->slab_lock);
    bool ok = vsi_buf_reserve(&slabs->moved, n * sizeof(vsi_slab_place));
    vsi_mutex_unlock(&batch->pager->slab_lock);
    if (!ok || !vsi_buf_reserve(&batch->replaced, n * sizeof(vsi_run)))
        return vsi_fail_nomem(err, n * sizeof(vsi_slab_place));
    return vsi_space_expect(err, &batch->pager->space, n);
}

VSI_FN vs_status vsi_slabs_write_back(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager,
                                      uint64_t max_bytes) {
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    size_t n = slabs->dirty.bytes / sizeof *dirty, taken = pager->taken.bytes;
    uint64_t wanted = max_bytes / slab_extent_bytes(slabs) + 1;
    slab_batch batch = {.pager = pager,
                        .places = {.mem = slabs->mem},
                        .replaced = {.mem = slabs->mem},
                        .scratch = {.mem = slabs->mem}};
    n = n < wanted ? n : (size_t)wanted;
    vs_status st = vsi_pager_flush(err, pager);
    if (st == VS_OK)
        st = slabs_make_room(err, slabs, &batch, n);
    for (size_t i = 0; st == VS_OK && i < n; i++)
        st = batch_write(err, slabs, &batch, dirty[i]);
    if (st == VS_OK)
        st = vsi_pager_flush(err, pager);
    if (st == VS_OK) {
        slabs_adopt(slabs, &batch);
        pager->taken.bytes = taken; /* they stay, whatever becomes of the transaction */
    } else {
        vsi_pager_undo_to(pager, taken);
    }
    vsi_buf_free(&batch.places);
    vsi_buf_free(&batch.replaced);
    vsi_buf_free(&batch.scratch);
    return st;
}

VSI_FN vs_status vsi_slabs_distrust(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager) {
    vs_status st = VS_OK;
    while (st == VS_OK && slabs->moved.bytes) {
        const vsi_slab_place *last =
            (const vsi_slab_place *)(const void *)(slabs->moved.data + slabs->moved.bytes) - 1;
        uint8_t *row = NULL;
        vsi_run run = {vsi_ref_page(last->ref), vsi_ref_pages(last->ref)};
        if (!vsi_buf_reserve(&pager->dropped, sizeof run))
            return vsi_fail_nomem(err, sizeof run);
        st = vsi_slab_make_row(err, slabs, last->at << slabs->shift, &row);
        if (st != VS_OK)
            break;
        vsi_buf_append(&pager->dropped, &run, sizeof run);
        vsi_mutex_lock(&pager->slab_lock);
        slabs->moved.bytes -= sizeof *last;
        vsi_mutex_unlock(&pager->slab_lock);
    }
    return st;
}

VSI_FN uint64_t vsi_slabs_dirty_bytes(const vsi_slabs *slabs) {
    return slabs_dirty_count(slabs) * (uint64_t)slab_extent_bytes(slabs);
}

/* Leaves of dir hold at least some 40 entries but for a few; each entry changes one leaf. */
VSI_FN void vsi_slabs_need(const vsi_slabs *slabs, vsi_page_count *need) {
    uint64_t dirty = slabs_dirty_count(slabs);
    uint64_t places = dirty + slabs->moved.bytes / sizeof(vsi_slab_place);
    uint64_t nodes = (slabs->dir.count + places) / 40 + 8;
    if (places)
        vsi_page_count_add(need, 1, places + 3 < nodes ? places + 3 : nodes);
    vsi_page_count_add(need, slab_extent_bytes(slabs) / VSI_PAGE_BYTES, dirty);
}

static vs_status slab_link(vsi_err *err, vsi_btree *dir, uint32_t array,
                           const vsi_slab_place *place) {
    uint8_t key[VSI_SLAB_KEY_BYTES], encoded[VSI_REF_BYTES];
    vsi_node_item old,
        item = {.key = vsi_slab_key(key, array, place->at), .refs = encoded, .ref_count = 1};
    vsi_ref_encode(place->ref, encoded);
    vs_status st = vsi_btree_get(err, dir, item.key, &old);
    if (st == VS_OK && old.ref_count == 1)
        st = vsi_cow_drop_ref(err, dir->cow, vsi_ref_decode(old.refs));
    return st == VS_OK || st == VS_ERR_NOT_FOUND ? vsi_btree_put_item(err, dir, &item) : st;
}

VSI_FN vs_status vsi_slabs_link(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir) {
    const vsi_slab_place *places = (const vsi_slab_place *)(const void *)slabs->moved.data;
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < slabs->moved.bytes / sizeof *places; i++)
        st = slab_link(err, dir, slabs->array, &places[i]);
    return st;
}

/* ---- slabs without use ---------------------------------------------------------------------- */

static uint32_t *slabs_unused(const vsi_slabs *slabs) {
    return (uint32_t *)(void *)slabs->unused.data;
}

/* Room to count in slab number at. */
static bool slabs_unused_reserve(vsi_slabs *slabs, uint32_t at) {
    size_t bytes = ((size_t)at + 1) * sizeof(uint32_t), known = slabs->unused.bytes;
    if (bytes <= known)
        return true;
    if (!vsi_buf_reserve(&slabs->unused, bytes - known))
        return false;
    memset(slabs->unused.data + known, 0, bytes - known);
    slabs->unused.bytes = bytes;
    return true;
}

VSI_FN void vsi_slabs_count_unused(vsi_slabs *slabs, uint32_t slot, bool is_unused) {
    uint32_t at = slot >> slabs->shift;
    if (is_unused ? !slabs_unused_reserve(slabs, at) : at >= slabs->unused.bytes / sizeof at)
        return;
    uint32_t *count = slabs_unused(slabs) + at;
    *count &= ~(SLAB_IS_DROPPED | SLAB_GOES);
    if (is_unused)
        ++*count;
    else if (*count)
        --*count;
}

/* Out of memory with it, and the place it was written to since the last checkpoint is free again. */
static vs_status slab_forget(vsi_err *err, vsi_slabs *slabs, uint32_t at, vsi_pager *pager) {
    if (!vsi_buf_reserve(&pager->dropped, sizeof(vsi_run)))
        return vsi_fail_nomem(err, sizeof(vsi_run));
    vsi_mutex_lock(&pager->slab_lock);
    slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    slab_head *slab = table && at < table->room ? vsi_atomic_ptr_load(&table->slab[at]) : NULL;
    vsi_slab_place *place = slabs_moved(slabs, at);
    if (slab && !slab->is_dirty)
        slab_take_out(slabs, pager, &table->slab[at], NULL);
    if (place) {
        vsi_run run = {vsi_ref_page(place->ref), vsi_ref_pages(place->ref)};
        vsi_slab_place *end = (vsi_slab_place *)(void *)(slabs->moved.data + slabs->moved.bytes);
        vsi_buf_append(&pager->dropped, &run, sizeof run);
        memmove(place, place + 1, (size_t)((uint8_t *)end - (uint8_t *)(place + 1)));
        slabs->moved.bytes -= sizeof *place;
    }
    vsi_mutex_unlock(&pager->slab_lock);
    return VS_OK;
}

static vs_status slab_drop(vsi_err *err, vsi_slabs *slabs, uint32_t at, vsi_btree *dir) {
    uint8_t bytes[VSI_SLAB_KEY_BYTES];
    vsi_node_item item;
    vsi_bytes key = vsi_slab_key(bytes, slabs->array, at);
    vs_status st = slab_forget(err, slabs, at, dir->cow->pager);
    if (st == VS_OK)
        st = vsi_btree_get(err, dir, key, &item);
    if (st == VS_OK && item.ref_count == 1)
        st = vsi_cow_drop_ref(err, dir->cow, vsi_ref_decode(item.refs));
    if (st == VS_OK)
        st = vsi_btree_delete(err, dir, key);
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

VSI_FN bool vsi_slabs_have_unused(const vsi_slabs *slabs) {
    for (size_t i = 0; i < slabs->unused.bytes / sizeof(uint32_t); i++)
        if ((slabs_unused(slabs)[i] & ~SLAB_GOES) == 1u << slabs->shift)
            return true;
    return false;
}

VSI_FN vs_status vsi_slabs_drop_unused(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir,
                                       uint32_t slot_end) {
    uint32_t rows = 1u << slabs->shift, end = slot_end ? (slot_end - 1) >> slabs->shift : 0;
    size_t known = slabs->unused.bytes / sizeof(uint32_t);
    vs_status st = VS_OK;
    for (size_t at = 0; at < known; at++)
        slabs_unused(slabs)[at] &= ~SLAB_GOES; /* a checkpoint that failed may have left it */
    for (uint32_t at = 0; st == VS_OK && at < end && at < known; at++)
        if (slabs_unused(slabs)[at] == rows) {
            st = slab_drop(err, slabs, at, dir);
            slabs_unused(slabs)[at] |= SLAB_GOES;
        }
    return st;
}

VSI_FN vs_status vsi_slabs_forget(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager) {
    size_t n = slabs->moved.bytes / sizeof(vsi_slab_place);
    if (!vsi_buf_reserve(&pager->dropped, n * sizeof(vsi_run)))
        return vsi_fail_nomem(err, n * sizeof(vsi_run));
    const vsi_slab_place *places = (const vsi_slab_place *)(const void *)slabs->moved.data;
    for (size_t i = 0; i < n; i++) {
        vsi_run run = {vsi_ref_page(places[i].ref), vsi_ref_pages(places[i].ref)};
        vsi_buf_append(&pager->dropped, &run, sizeof run);
    }
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    vsi_mutex_lock(&pager->slab_lock);
    for (size_t i = 0; i < slabs->dirty.bytes / sizeof *dirty; i++)
        ((slab_head *)slabs_get(slabs, dirty[i]))->is_dirty = false;
    vsi_buf_free(&slabs->moved);
    vsi_mutex_unlock(&pager->slab_lock);
    vsi_buf_free(&slabs->dirty);
    slabs->kept_dirty = 0;
    return VS_OK;
}

VSI_FN void vsi_slabs_settle(vsi_slabs *slabs, const vsi_btree *dir) {
    vsi_assert(slabs->dir.cow == dir->cow); /* which is read without the lock */
    for (size_t i = 0; i < slabs->unused.bytes / sizeof(uint32_t); i++)
        if (slabs_unused(slabs)[i] & SLAB_GOES)
            slabs_unused(slabs)[i] ^= SLAB_GOES | SLAB_IS_DROPPED;
    vsi_mutex_lock(&dir->cow->pager->slab_lock);
    slabs->dir.root = dir->root;
    slabs->dir.count = dir->count;
    vsi_buf_free(&slabs->moved);
    vsi_mutex_unlock(&dir->cow->pager->slab_lock);
}

/* ---- leaving memory ------------------------------------------------------------------------- */

static void slab_evict(const vsi_slabs *slabs, vsi_pager *pager, vsi_atomic_ptr *place) {
    slab_head *slab = vsi_atomic_ptr_load(place);
    if (!slab || slab->is_dirty)
        return;
    if (vsi_atomic_load(&slab->is_wanted)) {
        vsi_atomic_set(&slab->is_wanted, 0);
        return;
    }
    slab_take_out(slabs, pager, place, NULL);
}

VSI_FN size_t vsi_slabs_evict(vsi_slabs *slabs, size_t count) {
    vsi_pager *pager = slabs_pager(slabs);
    if (!pager)
        return 0;
    vsi_mutex_lock(&pager->slab_lock);
    slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    size_t room = table ? table->room : 0;
    for (size_t i = 0; i < count && i < room; i++)
        slab_evict(slabs, pager, &table->slab[slabs->hand++ % room]);
    vsi_mutex_unlock(&pager->slab_lock);
    return room;
}

VSI_FN void vsi_slab_let_go(vsi_pager *pager, vsi_run run) {
    if (!pager->windows.is_on)
        return;
    vsi_mutex_lock(&pager->slab_lock);
    slab_mapped *slab = vsi_windows_user(&pager->windows, run.page * VSI_PAGE_BYTES);
    if (slab) {
        slab_table *table = vsi_atomic_ptr_load(&slab->slabs->table);
        vsi_assert(vsi_atomic_ptr_load(&table->slab[slab->at]) == slab);
        slab_take_out(slab->slabs, pager, &table->slab[slab->at], NULL); /* keeps L4 */
    }
    vsi_mutex_unlock(&pager->slab_lock);
}
/* ---- store/desc.h ---------------------------------------------------------------------------------- */
/* desc.h - what never changes about a collection, and what all its versions share. */
#ifndef VSI_DESC_H
#define VSI_DESC_H

/* uses base/hash.h */
/* uses math/element.h */
/* uses store/slab.h */

/* A vector field. Rows of slots without it hold anything. */
typedef struct vsi_field {
    uint32_t dim;
    int type, metric;
    bool is_optional;
    uint32_t element_bytes; /* as vsi_type_bytes */
    uint32_t vector_bytes;
    char name[VS_FIELD_BYTES_MAX + 1];
    char index[VS_INDEX_BYTES_MAX + 1];
    vsi_slabs rows; /* vectors, elements in the machine's order */
} vsi_field;

/* Lives until the database is closed, also when the transaction that made it was rolled back. */
typedef struct vsi_desc {
    uint32_t id;
    uint32_t field_count; /* 1 .. VS_FIELDS_MAX */
    int64_t created_us;
    vsi_hash128 term; /* its share of the digest */
    char name[VS_NAME_BYTES_MAX + 1];
    vsi_field field[VS_FIELDS_MAX];
    vsi_slabs cells; /* number and vector hash */

    /* Of the holder of the writer role. */
    vsi_buf pool;        /* uint32_t: slots below slot_end that may be used */
    bool pool_is_filled; /* false: nothing changed since open; what is not live is free */
    bool is_flushed;     /* by the checkpoint being made; then its slabs are by this */
    vsi_btree new_dir;
} vsi_desc;

/* Its arrays one by one: the cells, then the rows of each field. */
VSI_FN uint32_t vsi_desc_arrays(const vsi_desc *desc);
VSI_FN vsi_slabs *vsi_desc_array(vsi_desc *desc, uint32_t at);

/* The set of slots that have a field's vector (store/live). */
VSI_FN uint32_t vsi_desc_set(const vsi_desc *desc, uint32_t field);

/* All descs of a database. */
typedef struct vsi_descs {
    vsi_mem *mem;   /* borrowed */
    vsi_mutex lock; /* guards list, not what it leads to */
    vsi_buf list;   /* vsi_desc *, by ascending id */
} vsi_descs;

VSI_FN bool vsi_descs_init(vsi_descs *descs, vsi_mem *mem);
VSI_FN void vsi_descs_free(vsi_descs *descs); /* accepts one that is all zero */

/* NULL when there is none. Any thread. */
VSI_FN vsi_desc *vsi_descs_find(vsi_descs *descs, uint32_t id);

/* The first whose id is not below id, NULL: none. Any thread; others may be added meanwhile. */
VSI_FN vsi_desc *vsi_descs_from(vsi_descs *descs, uint64_t id);

/* Adds a copy of what is given about a collection, up to its fields, with empty arrays and the directory of
 * slabs that its new_dir has. One of this id that
 * is there already was left by a transaction rolled back, and is replaced. */
VS_NODISCARD VSI_FN vs_status vsi_descs_add(vsi_err *err, vsi_descs *descs, const vsi_desc *given,
                                            vsi_desc **out_desc);

/* The same, unless there is one of this id: then that one. For what is read from a catalog. */
VS_NODISCARD VSI_FN vs_status vsi_descs_intern(vsi_err *err, vsi_descs *descs,
                                               const vsi_desc *given, vsi_desc **out_desc);

/* The largest id, 0: there is none. Recovery leaves descs of creations that were never committed. */
VSI_FN uint32_t vsi_descs_last_id(vsi_descs *descs);

/* The pager's writer has changed nothing after all (vsi_slabs_undo). Holder of the writer role only. */
VSI_FN void vsi_descs_undo(vsi_descs *descs, vsi_pager *pager);

/* Slots that may be used, the lowest first as far as they are known; VSI_SLOT_NONE: none. Adding one
 * without memory loses it until the next open. Holder of the writer role only. */
VSI_FN uint32_t vsi_desc_take_slot(vsi_desc *desc);
VSI_FN void vsi_desc_give_slot(vsi_desc *desc, uint32_t slot);

#endif
/* ---- store/desc.c ---------------------------------------------------------------------------------- */
/* desc.c - the registry of collections. */
/* uses store/desc.h */
/* uses store/live.h */

enum { DESC_CELL_BYTES = 32 };

VSI_FN bool vsi_descs_init(vsi_descs *descs, vsi_mem *mem) {
    memset(descs, 0, sizeof *descs);
    if (!vsi_mutex_init(&descs->lock))
        return false;
    descs->mem = mem;
    descs->list.mem = mem;
    return true;
}

VSI_FN uint32_t vsi_desc_arrays(const vsi_desc *desc) {
    return 1 + desc->field_count;
}

VSI_FN vsi_slabs *vsi_desc_array(vsi_desc *desc, uint32_t at) {
    return at ? &desc->field[at - 1].rows : &desc->cells;
}

VSI_FN uint32_t vsi_desc_set(const vsi_desc *desc, uint32_t field) {
    return desc->field[field].is_optional ? 1 + field : VSI_LIVE_RECORDS;
}

static void desc_empty(vsi_desc *desc) {
    for (uint32_t i = 0; i < vsi_desc_arrays(desc); i++)
        vsi_slabs_free(vsi_desc_array(desc, i));
    vsi_buf_free(&desc->pool);
}

VSI_FN void vsi_descs_free(vsi_descs *descs) {
    if (!descs->mem)
        return;
    vsi_desc **list = (vsi_desc **)(void *)descs->list.data;
    for (size_t i = 0; i < descs->list.bytes / sizeof *list; i++) {
        desc_empty(list[i]);
        vsi_free(descs->mem, list[i], sizeof *list[i]);
    }
    vsi_buf_free(&descs->list);
    vsi_mutex_destroy(&descs->lock);
}

/* The place of the first desc whose id is not below id; the lock is held. */
static size_t descs_place(const vsi_descs *descs, uint32_t id) {
    vsi_desc *const *list = (vsi_desc *const *)(const void *)descs->list.data;
    size_t low = 0, high = descs->list.bytes / sizeof *list;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (list[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static vsi_desc *descs_at(const vsi_descs *descs, size_t at, uint32_t id) {
    vsi_desc *const *list = (vsi_desc *const *)(const void *)descs->list.data;
    bool is_there = at < descs->list.bytes / sizeof *list && list[at]->id == id;
    return is_there ? list[at] : NULL;
}

VSI_FN vsi_desc *vsi_descs_find(vsi_descs *descs, uint32_t id) {
    vsi_mutex_lock(&descs->lock);
    vsi_desc *desc = descs_at(descs, descs_place(descs, id), id);
    vsi_mutex_unlock(&descs->lock);
    return desc;
}

VSI_FN vsi_desc *vsi_descs_from(vsi_descs *descs, uint64_t id) {
    vsi_desc *desc = NULL;
    if (id > UINT32_MAX)
        return NULL;
    vsi_mutex_lock(&descs->lock);
    size_t at = descs_place(descs, (uint32_t)id);
    if (at < descs->list.bytes / sizeof desc)
        desc = ((vsi_desc **)(void *)descs->list.data)[at];
    vsi_mutex_unlock(&descs->lock);
    return desc;
}

VSI_FN uint32_t vsi_descs_last_id(vsi_descs *descs) {
    vsi_mutex_lock(&descs->lock);
    vsi_desc *const *list = (vsi_desc *const *)(const void *)descs->list.data;
    size_t n = descs->list.bytes / sizeof *list;
    uint32_t id = n ? list[n - 1]->id : 0;
    vsi_mutex_unlock(&descs->lock);
    return id;
}

VSI_FN void vsi_descs_undo(vsi_descs *descs, vsi_pager *pager) {
    for (vsi_desc *desc = vsi_descs_from(descs, 0); desc;
         desc = vsi_descs_from(descs, (uint64_t)desc->id + 1))
        for (uint32_t i = 0; i < vsi_desc_arrays(desc); i++)
            vsi_slabs_undo(vsi_desc_array(desc, i), pager);
}

static void desc_fill(vsi_desc *desc, vsi_mem *mem, const vsi_desc *given) {
    const vsi_btree *dir = &given->new_dir;
    uint32_t trailer = dir->cow ? vsi_cow_trailer(dir->cow) : 0;
    *desc = *given;
    vsi_slabs_init(&desc->cells, mem, 0, DESC_CELL_BYTES, trailer);
    for (uint32_t i = 0; i < desc->field_count; i++) {
        vsi_field *field = &desc->field[i];
        field->element_bytes = vsi_type_bytes(field->type);
        field->vector_bytes = vsi_vector_bytes(field->type, field->dim);
        vsi_slabs_init(&field->rows, mem, 1 + i, field->vector_bytes, trailer);
        field->rows.element_bytes = field->element_bytes;
    }
    for (uint32_t i = 0; i < vsi_desc_arrays(desc); i++)
        vsi_desc_array(desc, i)->dir = *dir;
    desc->pool = (vsi_buf){.mem = mem};
    desc->pool_is_filled = false;
}

/* A new member of the list, not filled yet; the lock is held. */
static vsi_desc *descs_insert(vsi_descs *descs, size_t at) {
    vsi_desc *desc =
        vsi_buf_reserve(&descs->list, sizeof desc) ? vsi_alloc(descs->mem, sizeof *desc) : NULL;
    if (!desc)
        return NULL;
    vsi_desc **place = (vsi_desc **)(void *)descs->list.data + at;
    memmove(place + 1, place, descs->list.bytes - at * sizeof *place);
    *place = desc;
    descs->list.bytes += sizeof *place;
    return desc;
}

/* Empties one that a transaction rolled back has left; pages that its slabs were written to go back. */
static vs_status desc_reset(vsi_err *err, vsi_desc *desc) {
    vsi_pager *pager = desc->cells.dir.cow ? desc->cells.dir.cow->pager : NULL;
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && pager && i < vsi_desc_arrays(desc); i++)
        st = vsi_slabs_forget(err, vsi_desc_array(desc, i), pager);
    if (st == VS_OK)
        desc_empty(desc);
    return st;
}

static vs_status descs_add(vsi_err *err, vsi_descs *descs, const vsi_desc *given, bool keeps_old,
                           vsi_desc **out_desc) {
    vsi_mutex_lock(&descs->lock);
    size_t at = descs_place(descs, given->id);
    vsi_desc *old = descs_at(descs, at, given->id);
    vsi_desc *desc = old ? old : descs_insert(descs, at);
    vs_status st = desc ? VS_OK : vsi_fail_nomem(err, sizeof *desc);
    if (old && !keeps_old)
        st = desc_reset(err, old);
    if (st == VS_OK && !(old && keeps_old))
        desc_fill(desc, descs->mem, given);
    vsi_mutex_unlock(&descs->lock);
    if (st == VS_OK)
        *out_desc = desc;
    return st;
}

VSI_FN vs_status vsi_descs_add(vsi_err *err, vsi_descs *descs, const vsi_desc *given,
                               vsi_desc **out_desc) {
    return descs_add(err, descs, given, false, out_desc);
}

VSI_FN vs_status vsi_descs_intern(vsi_err *err, vsi_descs *descs, const vsi_desc *given,
                                  vsi_desc **out_desc) {
    return descs_add(err, descs, given, true, out_desc);
}

static void desc_count_unused(vsi_desc *desc, uint32_t slot, bool is_unused) {
    for (uint32_t i = 0; i < vsi_desc_arrays(desc); i++)
        vsi_slabs_count_unused(vsi_desc_array(desc, i), slot, is_unused);
}

VSI_FN uint32_t vsi_desc_take_slot(vsi_desc *desc) {
    uint32_t slot = VSI_SLOT_NONE;
    if (desc->pool.bytes) {
        desc->pool.bytes -= sizeof slot;
        memcpy(&slot, desc->pool.data + desc->pool.bytes, sizeof slot);
        desc_count_unused(desc, slot, false);
    }
    return slot;
}

VSI_FN void vsi_desc_give_slot(vsi_desc *desc, uint32_t slot) {
    if (!vsi_buf_append(&desc->pool, &slot, sizeof slot))
        return; /* it is found again after the next open */
    desc_count_unused(desc, slot, true);
}
/* ---- store/budget.h ---------------------------------------------------------------------------------- */
/* budget.h - keeps what is read from the file within the memory limit. */
#ifndef VSI_BUDGET_H
#define VSI_BUDGET_H

/* uses store/desc.h */

/* Lets nodes and slabs that the file has too leave memory until it is somewhat below the limit, those first
 * that nobody has asked for of late. Any thread that does not stay. */
VSI_FN void vsi_budget_keep(vsi_pager *pager, vsi_descs *descs);

/* For who reads for long: when memory is above the limit, what the stay kept may leave, and true is returned: what
 * was borrowed by it is not valid any more. */
VSI_FN bool vsi_budget_breathe(vsi_pager *pager, vsi_descs *descs, vsi_stay *stay);

#endif
/* ---- store/budget.c ---------------------------------------------------------------------------------- */
/* budget.c - the memory limit: a clock (second chance) over nodes and slabs. */
/* uses store/budget.h */

enum { BUDGET_BATCH = 64, BUDGET_SLACK_SHARE = 16 };

static bool budget_is_over(vsi_reside *reside) {
    return vsi_reside_excess(reside, reside->limit_bytes / BUDGET_SLACK_SHARE);
}

static void budget_sweep_nodes(vsi_pager *pager) {
    size_t all = BUDGET_BATCH;
    for (size_t done = 0; done < all && budget_is_over(&pager->reside); done += BUDGET_BATCH)
        all = vsi_pager_evict(pager, BUDGET_BATCH);
}

static void budget_sweep_slabs(vsi_pager *pager, vsi_slabs *slabs) {
    size_t all = BUDGET_BATCH;
    for (size_t done = 0; done < all && budget_is_over(&pager->reside); done += BUDGET_BATCH)
        all = vsi_slabs_evict(slabs, BUDGET_BATCH);
}

static void budget_sweep(vsi_pager *pager, vsi_descs *descs) {
    budget_sweep_nodes(pager);
    for (vsi_desc *desc = vsi_descs_from(descs, 0); desc && budget_is_over(&pager->reside);
         desc = vsi_descs_from(descs, (uint64_t)desc->id + 1))
        for (uint32_t i = 0; i < vsi_desc_arrays(desc); i++)
            budget_sweep_slabs(pager, vsi_desc_array(desc, i));
}

VSI_FN void vsi_budget_keep(vsi_pager *pager, vsi_descs *descs) {
    vsi_reside *reside = &pager->reside;
    if (vsi_reside_excess(reside, 0)) {
        budget_sweep(pager, descs); /* takes marks away */
        budget_sweep(pager, descs);
    }
    if (vsi_atomic_load(&reside->waiting_bytes))
        vsi_reside_collect(reside);
}

VSI_FN bool vsi_budget_breathe(vsi_pager *pager, vsi_descs *descs, vsi_stay *stay) {
    vsi_reside *reside = &pager->reside;
    if (!vsi_reside_excess(reside, 0))
        return vsi_stay_renew(reside, stay);
    vsi_stay_leave(reside, *stay);
    vsi_budget_keep(pager, descs);
    *stay = vsi_stay_enter(reside);
    return true;
}
/* ---- store/term.h ---------------------------------------------------------------------------------- */
/* term.h - the terms whose sum is the digest of a database; docs/FORMAT.md has their bytes. */
#ifndef VSI_TERM_H
#define VSI_TERM_H

/* uses store/desc.h */
/* uses store/key.h */

/* What never changes of a collection: id, time of creation, fields. */
VSI_FN vsi_hash128 vsi_term_of_coll(const vsi_desc *desc);
/* A name that leads to a collection, its own or an alias. */
VSI_FN vsi_hash128 vsi_term_of_name(uint32_t coll, vsi_bytes name, bool is_alias);
/* Limits; nothing when there are none. */
VSI_FN vsi_hash128 vsi_term_of_limits(uint32_t coll, uint64_t max_records, uint64_t max_bytes);
VSI_FN vsi_hash128 vsi_term_of_vector(uint32_t coll, vs_key key, vsi_hash128 vector_hash);
VSI_FN vsi_hash128 vsi_term_of_metadata(uint32_t coll, vs_key key, vsi_hash128 metadata_hash);
VSI_FN vsi_hash128 vsi_term_of_note(uint32_t coll, vsi_bytes key, vsi_hash128 value_hash);

#endif
/* ---- store/term.c ---------------------------------------------------------------------------------- */
/* term.c - the terms of the digest: each depends on logical content alone, never on slots. */
/* uses store/term.h */

enum {
    TERM_COLL = 1,
    TERM_VECTOR = 2,
    TERM_METADATA = 3,
    TERM_NOTE = 4,
    TERM_FIELD = 5,
    TERM_NAME = 6,
    TERM_LIMITS = 7
};

static vsi_hash128 term_of_record(uint32_t kind, uint32_t coll, vs_key key, vsi_hash128 content) {
    uint8_t bytes[24 + VSI_KEY_BYTES_MAX];
    vsi_put_u32(bytes, kind);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u64(bytes + 8, content.lo);
    vsi_put_u64(bytes + 16, content.hi);
    return vsi_hash128_of(bytes, 24 + vsi_key_encode(bytes + 24, key).bytes, 0);
}

VSI_FN vsi_hash128 vsi_term_of_vector(uint32_t coll, vs_key key, vsi_hash128 vector_hash) {
    return term_of_record(TERM_VECTOR, coll, key, vector_hash);
}

VSI_FN vsi_hash128 vsi_term_of_metadata(uint32_t coll, vs_key key, vsi_hash128 metadata_hash) {
    return term_of_record(TERM_METADATA, coll, key, metadata_hash);
}

VSI_FN vsi_hash128 vsi_term_of_note(uint32_t coll, vsi_bytes key, vsi_hash128 value_hash) {
    uint8_t bytes[24 + VS_KV_KEY_BYTES_MAX];
    vsi_put_u32(bytes, TERM_NOTE);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u64(bytes + 8, value_hash.lo);
    vsi_put_u64(bytes + 16, value_hash.hi);
    memcpy(bytes + 24, key.data, key.bytes);
    return vsi_hash128_of(bytes, 24 + key.bytes, 0);
}

static vsi_hash128 term_of_field(uint32_t coll, uint32_t at, const vsi_field *field) {
    uint8_t bytes[32 + VS_FIELD_BYTES_MAX + VS_INDEX_BYTES_MAX];
    size_t name_bytes = strlen(field->name), index_bytes = strlen(field->index);
    vsi_put_u32(bytes, TERM_FIELD);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u32(bytes + 8, at);
    vsi_put_u32(bytes + 12, field->dim);
    vsi_put_u32(bytes + 16, (uint32_t)field->type);
    vsi_put_u32(bytes + 20, (uint32_t)field->metric);
    vsi_put_u32(bytes + 24, field->is_optional);
    vsi_put_u32(bytes + 28, (uint32_t)name_bytes);
    memcpy(bytes + 32, field->name, name_bytes);
    memcpy(bytes + 32 + name_bytes, field->index, index_bytes);
    return vsi_hash128_of(bytes, 32 + name_bytes + index_bytes, 0);
}

VSI_FN vsi_hash128 vsi_term_of_coll(const vsi_desc *desc) {
    uint8_t bytes[16];
    vsi_put_u32(bytes, TERM_COLL);
    vsi_put_u32(bytes + 4, desc->id);
    vsi_put_u64(bytes + 8, (uint64_t)desc->created_us);
    vsi_hash128 sum = vsi_hash128_of(bytes, sizeof bytes, 0);
    for (uint32_t i = 0; i < desc->field_count; i++)
        vsi_hash128_add(&sum, term_of_field(desc->id, i, &desc->field[i]));
    return sum;
}

VSI_FN vsi_hash128 vsi_term_of_name(uint32_t coll, vsi_bytes name, bool is_alias) {
    uint8_t bytes[12 + VS_NAME_BYTES_MAX];
    vsi_assert(name.bytes <= VS_NAME_BYTES_MAX);
    vsi_put_u32(bytes, TERM_NAME);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u32(bytes + 8, is_alias);
    memcpy(bytes + 12, name.data, name.bytes);
    return vsi_hash128_of(bytes, 12 + name.bytes, 0);
}

VSI_FN vsi_hash128 vsi_term_of_limits(uint32_t coll, uint64_t max_records, uint64_t max_bytes) {
    uint8_t bytes[24];
    if (!max_records && !max_bytes)
        return (vsi_hash128){0, 0};
    vsi_put_u32(bytes, TERM_LIMITS);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u64(bytes + 8, max_records);
    vsi_put_u64(bytes + 16, max_bytes);
    return vsi_hash128_of(bytes, sizeof bytes, 0);
}
/* ---- store/op.h ---------------------------------------------------------------------------------- */
/* op.h - the changes that the log records: one operation per logical mutation, as bytes. */
#ifndef VSI_OP_H
#define VSI_OP_H

/* uses base/bytes.h */
/* uses base/hash.h */
/* uses base/mem.h */
/* uses store/key.h */
/* uses store/slab.h */

enum {
    VSI_OP_CREATE = 1,
    VSI_OP_PUT = 2,
    VSI_OP_DELETE = 3,
    VSI_OP_NOTE = 4,
    VSI_OP_DIGEST = 5,
    VSI_OP_SAVEPOINT = 6,
    VSI_OP_RELEASE = 7,
    VSI_OP_ROLLBACK_TO = 8,
    VSI_OP_METADATA = 9,
    VSI_OP_RENAME = 10,
    VSI_OP_ALIAS = 11,
    VSI_OP_LIMITS = 12,
    VSI_OP_TOUCH = 13, /* the collection's records change in this transaction */
    VSI_OP_LAST = VSI_OP_TOUCH
};

/* A vector field of a new collection. */
typedef struct vsi_op_field {
    uint32_t dim;
    uint32_t type;   /* VS_F32 ... */
    uint32_t metric; /* VS_L2 ... */
    bool is_optional;
    vsi_bytes name;
    vsi_bytes index;
} vsi_op_field;

/* One change with everything resolved: slots chosen, time read. Members of other kinds are zero. */
typedef struct vsi_op {
    int kind;
    uint32_t coll; /* collection id; of a note 0: the database's own; of an alias 0: it goes */

    /* create; name also of rename and alias, time also of touch */
    int64_t time_us;
    vsi_bytes name;
    uint32_t field_count;
    vsi_op_field field[VS_FIELDS_MAX];

    /* put, delete, metadata */
    uint32_t slot;                   /* put: where the record goes; else where it is */
    uint32_t old_slot;               /* put: the slot it leaves, or VSI_SLOT_NONE: a new key */
    vs_key key;                      /* what it points to is borrowed */
    vsi_bytes vector[VS_FIELDS_MAX]; /* elements little-endian; bytes 0: none of this field */
    vsi_bytes metadata;              /* bytes 0: none */

    /* limits; 0: none */
    uint64_t max_records, max_bytes;

    /* note */
    vsi_bytes note_key;
    vsi_bytes note_value;
    bool note_has_value; /* false: delete */

    /* digest of the state that all operations so far must have made */
    vsi_hash128 digest;

    /* savepoint, release, rollback to */
    uint32_t savepoint;
} vsi_op;

/* Whether operations of a kind are of savepoints, and change no content. */
VSI_FN bool vsi_op_is_mark(int kind);
/* Whether they change the records of a collection. */
VSI_FN bool vsi_op_is_of_record(int kind);

/* Appends op; false when there is no memory, and buf is then as before. */
VSI_FN bool vsi_op_write(vsi_buf *buf, const vsi_op *op);

/* Bytes of the operation that vsi_op_write put at p. */
VSI_FN size_t vsi_op_bytes(const uint8_t *p);

/* Reads the operation at *pos and moves behind it. Pointers in out_op lie in the input. *out_known
 * is false for an operation of a later version that may be passed over. VS_ERR_CORRUPT for
 * malformed bytes, VS_ERR_TOO_NEW for an unknown operation that must be understood. */
VSI_FN vs_status vsi_op_read(vsi_err *err, vsi_bytes payload, size_t *pos, vsi_op *out_op,
                             bool *out_known);

#endif
/* ---- store/op.c ---------------------------------------------------------------------------------- */
/* op.c - operations as bytes; docs/FORMAT.md section 7 is the reference. */
/* uses store/op.h */

enum {
    OP_HEADER_BYTES = 8, /* kind u8, flags u8, zero u16, body bytes u32 */
    OP_MUST_UNDERSTAND = 1
};

VSI_FN bool vsi_op_is_mark(int kind) {
    return kind >= VSI_OP_SAVEPOINT && kind <= VSI_OP_ROLLBACK_TO;
}

VSI_FN bool vsi_op_is_of_record(int kind) {
    return kind == VSI_OP_PUT || kind == VSI_OP_DELETE || kind == VSI_OP_METADATA;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void op_put_u32(vsi_buf *buf, uint32_t value) {
    vsi_put_u32(buf->data + buf->bytes, value);
    buf->bytes += 4;
}

static void op_put_u64(vsi_buf *buf, uint64_t value) {
    vsi_put_u64(buf->data + buf->bytes, value);
    buf->bytes += 8;
}

/* Length, then the bytes. */
static void op_put_bytes(vsi_buf *buf, vsi_bytes bytes) {
    op_put_u32(buf, (uint32_t)bytes.bytes);
    if (bytes.bytes)
        memcpy(buf->data + buf->bytes, bytes.data, bytes.bytes);
    buf->bytes += bytes.bytes;
}

static void op_put_key(vsi_buf *buf, vs_key key) {
    bool is_number = key.kind == VS_KEY_U64;
    uint32_t bytes = is_number ? 8 : key.bytes;
    op_put_u32(buf, key.space);
    op_put_u32(buf, (key.kind + 1u) | bytes << 16); /* type u8, zero u8, bytes u16 */
    if (is_number) {
        op_put_u64(buf, key.number);
        return;
    }
    memcpy(buf->data + buf->bytes, key.data, bytes);
    buf->bytes += bytes;
}

static void op_put_create(vsi_buf *buf, const vsi_op *op) {
    op_put_u32(buf, op->coll);
    op_put_u64(buf, (uint64_t)op->time_us);
    op_put_bytes(buf, op->name);
    op_put_u32(buf, op->field_count);
    for (uint32_t i = 0; i < op->field_count; i++) {
        const vsi_op_field *field = &op->field[i];
        op_put_u32(buf, field->dim); /* then type u8, metric u8, flags u16 */
        op_put_u32(buf, field->type | field->metric << 8 | (uint32_t)field->is_optional << 16);
        op_put_bytes(buf, field->name);
        op_put_bytes(buf, field->index);
    }
}

/* How many there are, then the number and the bytes of each. */
static void op_put_vectors(vsi_buf *buf, const vsi_op *op) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++)
        count += op->vector[i].bytes != 0;
    op_put_u32(buf, count);
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++)
        if (op->vector[i].bytes) {
            op_put_u32(buf, i);
            op_put_bytes(buf, op->vector[i]);
        }
}

static void op_put_body(vsi_buf *buf, const vsi_op *op) {
    switch (op->kind) {
    case VSI_OP_CREATE:
        op_put_create(buf, op);
        break;
    case VSI_OP_PUT:
        op_put_u32(buf, op->coll);
        op_put_u32(buf, op->slot);
        op_put_u32(buf, op->old_slot);
        op_put_key(buf, op->key);
        op_put_vectors(buf, op);
        op_put_bytes(buf, op->metadata);
        break;
    case VSI_OP_DELETE:
        op_put_u32(buf, op->coll);
        op_put_u32(buf, op->slot);
        op_put_key(buf, op->key);
        break;
    case VSI_OP_METADATA:
        op_put_u32(buf, op->coll);
        op_put_u32(buf, op->slot);
        op_put_key(buf, op->key);
        op_put_bytes(buf, op->metadata);
        break;
    case VSI_OP_RENAME:
    case VSI_OP_ALIAS:
        op_put_u32(buf, op->coll);
        op_put_bytes(buf, op->name);
        break;
    case VSI_OP_LIMITS:
        op_put_u32(buf, op->coll);
        op_put_u64(buf, op->max_records);
        op_put_u64(buf, op->max_bytes);
        break;
    case VSI_OP_TOUCH:
        op_put_u32(buf, op->coll);
        op_put_u64(buf, (uint64_t)op->time_us);
        break;
    case VSI_OP_NOTE:
        op_put_u32(buf, op->coll);
        op_put_u32(buf, op->note_has_value);
        op_put_bytes(buf, op->note_key);
        op_put_bytes(buf, op->note_value);
        break;
    case VSI_OP_SAVEPOINT:
    case VSI_OP_RELEASE:
    case VSI_OP_ROLLBACK_TO:
        op_put_u32(buf, op->savepoint);
        break;
    default:
        op_put_u64(buf, op->digest.lo);
        op_put_u64(buf, op->digest.hi);
        break;
    }
}

VSI_FN bool vsi_op_write(vsi_buf *buf, const vsi_op *op) {
    /* all but the runs of bytes, header included; of fields 16 each */
    enum { FIXED_BYTES_MAX = 128 + 16 * VS_FIELDS_MAX };
    size_t runs = op->name.bytes + op->key.bytes + op->metadata.bytes + op->note_key.bytes +
                  op->note_value.bytes;
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++)
        runs += op->vector[i].bytes + op->field[i].name.bytes + op->field[i].index.bytes;
    if (!vsi_buf_reserve(buf, FIXED_BYTES_MAX + runs))
        return false;
    size_t at = buf->bytes;
    buf->bytes += OP_HEADER_BYTES;
    op_put_body(buf, op);
    vsi_assert(buf->bytes - at <= FIXED_BYTES_MAX + runs);
    vsi_put_u32(buf->data + at, (uint32_t)op->kind | OP_MUST_UNDERSTAND << 8);
    vsi_put_u32(buf->data + at + 4, (uint32_t)(buf->bytes - at - OP_HEADER_BYTES));
    return true;
}

VSI_FN size_t vsi_op_bytes(const uint8_t *p) {
    return OP_HEADER_BYTES + (size_t)vsi_get_u32(p + 4);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A body being read; once something does not fit, is_ok is false and zeros come out. */
typedef struct op_reader {
    const uint8_t *at, *end;
    bool is_ok;
} op_reader;

static const uint8_t *op_take(op_reader *r, size_t bytes) {
    if (!r->is_ok || bytes > (size_t)(r->end - r->at)) {
        r->is_ok = false;
        return NULL;
    }
    r->at += bytes;
    return r->at - bytes;
}

static uint32_t op_take_u32(op_reader *r) {
    const uint8_t *p = op_take(r, 4);
    return p ? vsi_get_u32(p) : 0;
}

static uint64_t op_take_u64(op_reader *r) {
    const uint8_t *p = op_take(r, 8);
    return p ? vsi_get_u64(p) : 0;
}

static vsi_bytes op_take_bytes(op_reader *r) {
    size_t n = op_take_u32(r);
    const uint8_t *p = op_take(r, n);
    return p ? (vsi_bytes){p, n} : (vsi_bytes){NULL, 0};
}

static vs_key op_take_key(op_reader *r) {
    vs_key key = {.space = op_take_u32(r)};
    uint32_t packed = op_take_u32(r), bytes = packed >> 16;
    key.kind = (uint16_t)((packed & 0xff) - 1);
    bool fits = key.kind == VS_KEY_U64     ? bytes == 8
                : key.kind == VS_KEY_BYTES ? bytes >= 1 && bytes <= VS_KEY_BYTES_MAX
                                           : key.kind == VS_KEY_UUID && bytes == VSI_KEY_UUID_BYTES;
    r->is_ok = r->is_ok && fits && !(packed >> 8 & 0xff);
    if (key.kind == VS_KEY_U64) {
        key.number = op_take_u64(r);
        return key;
    }
    key.data = op_take(r, bytes);
    key.bytes = (uint16_t)(key.data ? bytes : 0);
    return key;
}

static void op_take_create(op_reader *r, vsi_op *op) {
    op->coll = op_take_u32(r);
    op->time_us = (int64_t)op_take_u64(r);
    op->name = op_take_bytes(r);
    op->field_count = op_take_u32(r);
    r->is_ok = r->is_ok && op->field_count >= 1 && op->field_count <= VS_FIELDS_MAX;
    for (uint32_t i = 0; r->is_ok && i < op->field_count; i++) {
        vsi_op_field *field = &op->field[i];
        field->dim = op_take_u32(r);
        uint32_t packed = op_take_u32(r);
        field->type = packed & 0xff;
        field->metric = packed >> 8 & 0xff;
        field->is_optional = packed >> 16 == 1;
        field->name = op_take_bytes(r);
        field->index = op_take_bytes(r);
        r->is_ok = r->is_ok && packed >> 17 == 0;
    }
}

/* Their numbers ascend, and none is empty. */
static void op_take_vectors(op_reader *r, vsi_op *op) {
    uint32_t count = op_take_u32(r), least = 0;
    for (uint32_t i = 0; r->is_ok && i < count; i++) {
        uint32_t at = op_take_u32(r);
        vsi_bytes vector = op_take_bytes(r);
        r->is_ok = r->is_ok && at >= least && at < VS_FIELDS_MAX && vector.bytes;
        if (r->is_ok)
            op->vector[at] = vector;
        least = at + 1;
    }
}

static void op_take_body(op_reader *r, vsi_op *op) {
    uint32_t packed = 0;
    switch (op->kind) {
    case VSI_OP_CREATE:
        op_take_create(r, op);
        break;
    case VSI_OP_PUT:
        op->coll = op_take_u32(r);
        op->slot = op_take_u32(r);
        op->old_slot = op_take_u32(r);
        op->key = op_take_key(r);
        op_take_vectors(r, op);
        op->metadata = op_take_bytes(r);
        break;
    case VSI_OP_DELETE:
        op->coll = op_take_u32(r);
        op->slot = op_take_u32(r);
        op->key = op_take_key(r);
        break;
    case VSI_OP_METADATA:
        op->coll = op_take_u32(r);
        op->slot = op_take_u32(r);
        op->key = op_take_key(r);
        op->metadata = op_take_bytes(r);
        break;
    case VSI_OP_RENAME:
    case VSI_OP_ALIAS:
        op->coll = op_take_u32(r);
        op->name = op_take_bytes(r);
        break;
    case VSI_OP_LIMITS:
        op->coll = op_take_u32(r);
        op->max_records = op_take_u64(r);
        op->max_bytes = op_take_u64(r);
        break;
    case VSI_OP_TOUCH:
        op->coll = op_take_u32(r);
        op->time_us = (int64_t)op_take_u64(r);
        break;
    case VSI_OP_NOTE:
        op->coll = op_take_u32(r);
        packed = op_take_u32(r);
        op->note_has_value = packed == 1;
        op->note_key = op_take_bytes(r);
        op->note_value = op_take_bytes(r);
        r->is_ok = r->is_ok && packed <= 1;
        break;
    case VSI_OP_SAVEPOINT:
    case VSI_OP_RELEASE:
    case VSI_OP_ROLLBACK_TO:
        op->savepoint = op_take_u32(r);
        break;
    default:
        op->digest.lo = op_take_u64(r);
        op->digest.hi = op_take_u64(r);
        break;
    }
}

VSI_FN vs_status vsi_op_read(vsi_err *err, vsi_bytes payload, size_t *pos, vsi_op *out_op,
                             bool *out_known) {
    size_t left = payload.bytes - *pos;
    const uint8_t *p = payload.data + *pos;
    if (left < OP_HEADER_BYTES)
        return vsi_fail(err, VS_ERR_CORRUPT, "operation at byte %zu: %zu bytes left, header is %d",
                        *pos, left, OP_HEADER_BYTES);
    size_t body_bytes = vsi_get_u32(p + 4);
    if (body_bytes > left - OP_HEADER_BYTES)
        return vsi_fail(err, VS_ERR_CORRUPT, "operation at byte %zu: %zu bytes, room for %zu", *pos,
                        body_bytes, left - OP_HEADER_BYTES);
    memset(out_op, 0, sizeof *out_op);
    out_op->kind = p[0];
    *out_known = p[0] >= VSI_OP_CREATE && p[0] <= VSI_OP_LAST;
    if (!*out_known && (p[1] & OP_MUST_UNDERSTAND || vsi_get_u16(p + 2)))
        return vsi_fail(err, VS_ERR_TOO_NEW, "operation at byte %zu is of unknown kind %d", *pos,
                        p[0]);
    if (*out_known) {
        op_reader r = {p + OP_HEADER_BYTES, p + OP_HEADER_BYTES + body_bytes, true};
        op_take_body(&r, out_op);
        if (!r.is_ok || r.at != r.end || vsi_get_u16(p + 2) || p[1] != OP_MUST_UNDERSTAND)
            return vsi_fail(err, VS_ERR_CORRUPT, "operation at byte %zu of kind %d is malformed",
                            *pos, p[0]);
    }
    *pos += OP_HEADER_BYTES + body_bytes;
    return VS_OK;
}
/* ---- store/state.h ---------------------------------------------------------------------------------- */
/* state.h - what a database contains, in one version: the catalog and what it leads to. */
#ifndef VSI_STATE_H
#define VSI_STATE_H

/* uses store/desc.h */
/* uses store/key.h */
/* uses store/live.h */
/* uses store/value.h */

/* One version of a collection; copying the struct copies the version. */
typedef struct vsi_coll {
    vsi_desc *desc;
    uint64_t count;
    uint32_t slot_end;    /* slots below it have been used */
    uint64_t last_number; /* the largest number that was ever put as a key; 0 also: none */
    uint64_t bytes;       /* of keys, vectors, metadata and payloads of all records */
    uint64_t max_records, max_bytes; /* what callers may make of count and bytes; 0: no limit */
    vsi_btree keys;                  /* key, by store/key -> slot */
    vsi_btree long_keys;             /* slot -> key, of those that a cell has no room for */
    vsi_btree metadata;              /* slot -> JSON, by store/value */
    vsi_btree live;     /* which slots hold a record, and which vectors, by store/live */
    vsi_btree slabs;    /* array, slab number -> where the slab is in the file */
    vsi_btree payloads; /* key, piece -> bytes, by store/payload */
    vsi_hash128 digest; /* the sum of the terms of its records */
    int64_t changed_us; /* time of the last change of its records */
} vsi_coll;

/* One version of a database. Copying the struct copies the version. */
typedef struct vsi_state {
    vsi_descs *descs;  /* borrowed */
    vsi_btree catalog; /* all below but work is in it once the state is settled */
    vsi_btree notes;
    uint32_t last_coll; /* the largest collection id ever used */
    vsi_coll work;      /* the collection changed last, newer than its entry; desc NULL: none */
    bool is_settled;
    vsi_hash128 digest;
    uint64_t changes; /* operations applied since the version it came from; cursors watch it */
} vsi_state;

/* What is kept for each slot beside its vector. */
typedef struct vsi_cell {
    uint64_t number; /* of a key that is one */
    vsi_hash128 vector_hash;
    uint32_t space;
    uint16_t kind; /* of the key */
} vsi_cell;

VSI_FN vsi_state vsi_state_empty(vsi_cow *cow, vsi_descs *descs);

/* Takes over what its catalog says, which came from a file or has just been written to one. */
VS_NODISCARD VSI_FN vs_status vsi_state_load(vsi_err *err, vsi_state *state);

/* ---- collections ---------------------------------------------------------------------------- */

/* The collection with this id, or name; VS_ERR_NOT_FOUND without a message. */
VS_NODISCARD VSI_FN vs_status vsi_state_coll(vsi_err *err, const vsi_state *state, uint32_t id,
                                             vsi_coll *out_coll);
VS_NODISCARD VSI_FN vs_status vsi_state_coll_named(vsi_err *err, const vsi_state *state,
                                                   vsi_bytes name, vsi_coll *out_coll);

/* What a name leads to; VS_ERR_NOT_FOUND without a message. */
VS_NODISCARD VSI_FN vs_status vsi_state_name(vsi_err *err, const vsi_state *state, vsi_bytes name,
                                             uint32_t *out_id, bool *out_is_alias);
/* The name of a collection that is there. */
VS_NODISCARD VSI_FN vs_status vsi_state_coll_name(vsi_err *err, const vsi_state *state, uint32_t id,
                                                  char out[VS_NAME_BYTES_MAX + 1]);
/* The first name, of a collection or an alias, behind this one in the order of bytes, of which there may be none;
 * VS_ERR_NOT_FOUND. It is borrowed as entries of trees are. */
VS_NODISCARD VSI_FN vs_status vsi_state_name_after(vsi_err *err, const vsi_state *state,
                                                   vsi_bytes name, vsi_bytes *out_name,
                                                   uint32_t *out_id, bool *out_is_alias);

/* Collections by ascending id: the first whose id is at least id; VS_ERR_NOT_FOUND: none. */
VS_NODISCARD VSI_FN vs_status vsi_state_coll_from(vsi_err *err, const vsi_state *state, uint32_t id,
                                                  vsi_coll *out_coll);

/* The collection that is there under this id, to be changed: until the next call for another one,
 * changes to *out_coll are changes of the state. */
VS_NODISCARD VSI_FN vs_status vsi_state_work_on(vsi_err *err, vsi_state *state, uint32_t id,
                                                vsi_coll **out_coll);
/* Makes a name lead to a collection, or, with id 0, nowhere. */
VS_NODISCARD VSI_FN vs_status vsi_state_put_name(vsi_err *err, vsi_state *state, vsi_bytes name,
                                                 uint32_t id, bool is_alias);
/* Notes which name is the collection's own. */
VS_NODISCARD VSI_FN vs_status vsi_state_put_own_name(vsi_err *err, vsi_state *state, uint32_t id,
                                                     vsi_bytes name);
/* Adds an empty collection, and its name. */
VS_NODISCARD VSI_FN vs_status vsi_state_add_coll(vsi_err *err, vsi_state *state, vsi_desc *desc);

/* Brings the catalog up to date with everything else: before a version is shown. */
VS_NODISCARD VSI_FN vs_status vsi_state_settle(vsi_err *err, vsi_state *state);

/* ---- records -------------------------------------------------------------------------------- */

enum { VSI_SLOT_KEY_BYTES = 4, VSI_CELL_BYTES = 32 };

VSI_FN vsi_bytes vsi_slot_encode(uint8_t out[VSI_SLOT_KEY_BYTES], uint32_t slot);

/* VS_ERR_NOT_FOUND without a message when there is no such key. */
VS_NODISCARD VSI_FN vs_status vsi_coll_find(vsi_err *err, const vsi_coll *coll, vs_key key,
                                            uint32_t *out_slot);
VS_NODISCARD VSI_FN vs_status vsi_coll_cell(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                            vsi_cell *out_cell);
VS_NODISCARD VSI_FN vs_status vsi_coll_cell_aside(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                                  vsi_slab_aside *aside, vsi_cell *out_cell);
VSI_FN void vsi_cell_encode(uint8_t out[VSI_CELL_BYTES], vs_key key, vsi_hash128 vector_hash);
/* The key of a slot whose cell is given; what it points to is borrowed as entries of trees are. */
VS_NODISCARD VSI_FN vs_status vsi_coll_key(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                           const vsi_cell *cell, vs_key *out_key);
/* Whether the record in a live slot has a field's vector, and that. */
VS_NODISCARD VSI_FN vs_status vsi_coll_has(vsi_err *err, const vsi_coll *coll, uint32_t field,
                                           uint32_t slot, bool *out_has);
VS_NODISCARD VSI_FN vs_status vsi_coll_row(vsi_err *err, const vsi_coll *coll, uint32_t field,
                                           uint32_t slot, const uint8_t **out_row);
/* A vector's share of the hash that a cell keeps; elements little-endian. */
VSI_FN vsi_hash128 vsi_vector_hash(uint32_t field, vsi_bytes vector);
/* A hash of what the record in a live slot holds, never 0. */
VS_NODISCARD VSI_FN vs_status vsi_coll_version(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                               uint64_t *out_version);
/* Appends the metadata of a slot to buf, nothing when it has none. */
VS_NODISCARD VSI_FN vs_status vsi_coll_read_metadata(vsi_err *err, const vsi_coll *coll,
                                                     uint32_t slot, vsi_buf *buf);

/* The record at a cursor in coll->keys; the key is borrowed as entries of trees are. */
VS_NODISCARD VSI_FN vs_status vsi_coll_entry(vsi_err *err, const vsi_btree_cursor *cursor,
                                             vs_key *out_key, uint32_t *out_slot);

/* ---- notes ---------------------------------------------------------------------------------- */

enum { VSI_NOTE_KEY_BYTES_MAX = 6 + VS_KV_KEY_BYTES_MAX };

VSI_FN vsi_bytes vsi_note_encode(uint8_t out[VSI_NOTE_KEY_BYTES_MAX], uint32_t coll, vsi_bytes key);

/* VS_ERR_NOT_FOUND without a message when there is no such note. */
VS_NODISCARD VSI_FN vs_status vsi_note_find(vsi_err *err, const vsi_state *state, uint32_t coll,
                                            vsi_bytes key, vsi_value *out_value);

#endif
/* ---- store/state.c ---------------------------------------------------------------------------------- */
/* state.c - the content of a database in one version; docs/FORMAT.md has the entries of the catalog.
 *
 *   S1  A record is live in exactly one slot; keys maps its key there, the cell of the slot
 *       holds the key, the live bit is set. count is the number of live slots.
 *   S2  Slots below slot_end have cells, and rows of the fields that are not optional.
 *   S3  A slot's row and cell are written only while it is not live in any version that can be
 *       read. */
/* uses store/state.h */
/* uses store/term.h */

enum { STATE_ENTRY_COLL = 1, STATE_ENTRY_NAME = 2, STATE_ENTRY_BASE = 3 };

/* Value of a collection's entry; then references to its trees. */
enum {
    COLL_CREATED_OFF = 0,
    COLL_COUNT_OFF = 8,
    COLL_LAST_NUMBER_OFF = 16,
    COLL_SLOT_END_OFF = 24,
    COLL_FIELDS_OFF = 28,
    COLL_CELLS_SHIFT_OFF = 30, /* then zero */
    COLL_TREES_OFF = 32,       /* entries of each tree, u64 */
    COLL_TREES = 6,
    COLL_BYTES_OFF = COLL_TREES_OFF + 8 * COLL_TREES,
    COLL_MAX_RECORDS_OFF = COLL_BYTES_OFF + 8,
    COLL_MAX_BYTES_OFF = COLL_MAX_RECORDS_OFF + 8,
    COLL_DIGEST_OFF = COLL_MAX_BYTES_OFF + 8,
    COLL_CHANGED_OFF = COLL_DIGEST_OFF + 16,
    COLL_BYTES = COLL_CHANGED_OFF + 8
};

/* Behind a collection's entry: one for each field, and last its own name. */
enum { COLL_NAME_FIELD = 0xffff };

/* Value of a name's entry: u32 id, and of an alias u8 1. */
enum { NAME_BYTES = 4, ALIAS_BYTES = 5 };

/* Value of a vector field's entry. */
enum {
    FIELD_DIM_OFF = 0,
    FIELD_TYPE_OFF = 4,
    FIELD_METRIC_OFF = 5,
    FIELD_SHIFT_OFF = 6,
    FIELD_FLAGS_OFF = 7,
    FIELD_NAME_BYTES_OFF = 8,
    FIELD_INDEX_BYTES_OFF = 10,
    FIELD_FIXED_BYTES = 12,
    FIELD_KEY_BYTES = 7,
    FIELD_BYTES_MAX = FIELD_FIXED_BYTES + VS_FIELD_BYTES_MAX + VS_INDEX_BYTES_MAX,
    FIELD_OPTIONAL = 1 /* the one flag */
};

enum { BASE_NOTES_OFF = 0, BASE_LAST_COLL_OFF = 8, BASE_BYTES = 16 };

_Static_assert((int)VSI_NOTE_KEY_BYTES_MAX <= (int)VSI_VALUE_KEY_BYTES_MAX, "note keys must fit");

VSI_FN vsi_state vsi_state_empty(vsi_cow *cow, vsi_descs *descs) {
    return (vsi_state){
        .descs = descs, .catalog = {.cow = cow}, .notes = {.cow = cow}, .is_settled = true};
}

/* ---- entries of the catalog ------------------------------------------------------------------ */

static vsi_bytes state_id_key(uint8_t out[5], uint32_t id) {
    out[0] = STATE_ENTRY_COLL;
    vsi_put_u32_be(out + 1, id);
    return (vsi_bytes){out, 5};
}

static vsi_bytes state_name_key(uint8_t out[1 + VS_NAME_BYTES_MAX], vsi_bytes name) {
    vsi_assert(name.bytes <= VS_NAME_BYTES_MAX);
    out[0] = STATE_ENTRY_NAME;
    memcpy(out + 1, name.data, name.bytes);
    return (vsi_bytes){out, 1 + name.bytes};
}

/* Behind the entry of its collection. */
static vsi_bytes state_field_key(uint8_t out[FIELD_KEY_BYTES], uint32_t id, uint32_t field) {
    state_id_key(out, id);
    out[5] = (uint8_t)(field >> 8);
    out[6] = (uint8_t)field;
    return (vsi_bytes){out, FIELD_KEY_BYTES};
}

static vsi_btree *coll_tree(vsi_coll *coll, uint32_t at) {
    vsi_btree *trees[COLL_TREES] = {&coll->keys,  &coll->metadata,  &coll->live,
                                    &coll->slabs, &coll->long_keys, &coll->payloads};
    return trees[at];
}

static vs_status coll_write(vsi_err *err, vsi_btree *catalog, vsi_coll *coll) {
    const vsi_desc *desc = coll->desc;
    uint8_t value[COLL_BYTES] = {0}, refs[COLL_TREES * VSI_REF_BYTES], key[5];
    vsi_put_u64(value + COLL_CREATED_OFF, (uint64_t)desc->created_us);
    vsi_put_u64(value + COLL_COUNT_OFF, coll->count);
    vsi_put_u64(value + COLL_LAST_NUMBER_OFF, coll->last_number);
    vsi_put_u32(value + COLL_SLOT_END_OFF, coll->slot_end);
    vsi_put_u16(value + COLL_FIELDS_OFF, (uint16_t)desc->field_count);
    vsi_put_u64(value + COLL_BYTES_OFF, coll->bytes);
    vsi_put_u64(value + COLL_MAX_RECORDS_OFF, coll->max_records);
    vsi_put_u64(value + COLL_MAX_BYTES_OFF, coll->max_bytes);
    vsi_put_u64(value + COLL_DIGEST_OFF, coll->digest.lo);
    vsi_put_u64(value + COLL_DIGEST_OFF + 8, coll->digest.hi);
    vsi_put_u64(value + COLL_CHANGED_OFF, (uint64_t)coll->changed_us);
    value[COLL_CELLS_SHIFT_OFF] = (uint8_t)desc->cells.shift;
    for (uint32_t i = 0; i < COLL_TREES; i++) {
        vsi_put_u64(value + COLL_TREES_OFF + 8 * i, coll_tree(coll, i)->count);
        vsi_ref_encode(coll_tree(coll, i)->root, refs + i * VSI_REF_BYTES);
    }
    vsi_node_item item = {.key = state_id_key(key, desc->id),
                          .value = {value, sizeof value},
                          .refs = refs,
                          .ref_count = COLL_TREES};
    return vsi_btree_put_item(err, catalog, &item);
}

static vs_status field_write(vsi_err *err, vsi_btree *catalog, const vsi_desc *desc, uint32_t at) {
    const vsi_field *field = &desc->field[at];
    uint8_t value[FIELD_BYTES_MAX], key[FIELD_KEY_BYTES];
    size_t name_bytes = strlen(field->name), index_bytes = strlen(field->index);
    vsi_put_u32(value + FIELD_DIM_OFF, field->dim);
    value[FIELD_TYPE_OFF] = (uint8_t)field->type;
    value[FIELD_METRIC_OFF] = (uint8_t)field->metric;
    value[FIELD_SHIFT_OFF] = (uint8_t)field->rows.shift;
    value[FIELD_FLAGS_OFF] = field->is_optional ? FIELD_OPTIONAL : 0;
    vsi_put_u16(value + FIELD_NAME_BYTES_OFF, (uint16_t)name_bytes);
    vsi_put_u16(value + FIELD_INDEX_BYTES_OFF, (uint16_t)index_bytes);
    memcpy(value + FIELD_FIXED_BYTES, field->name, name_bytes);
    memcpy(value + FIELD_FIXED_BYTES + name_bytes, field->index, index_bytes);
    return vsi_btree_put(err, catalog, state_field_key(key, desc->id, at),
                         (vsi_bytes){value, FIELD_FIXED_BYTES + name_bytes + index_bytes});
}

/* ---- reading entries ------------------------------------------------------------------------- */

static vs_status coll_misfit(vsi_err *err, uint32_t id) {
    return vsi_fail(err, VS_ERR_CORRUPT, "catalog: the entry of collection %lu is malformed",
                    (unsigned long)id);
}

/* Whether the parts of an entry have the sizes that it says, and values that are known. */
static bool coll_item_fits(const vsi_node_item *item, uint32_t trailer_bytes) {
    const uint8_t *value = item->value.data;
    if (item->value.bytes != COLL_BYTES || item->ref_count != COLL_TREES)
        return false;
    uint32_t fields = vsi_get_u16(value + COLL_FIELDS_OFF);
    return fields >= 1 && fields <= VS_FIELDS_MAX &&
           value[COLL_CELLS_SHIFT_OFF] == vsi_slab_shift(VSI_CELL_BYTES, trailer_bytes);
}

static bool field_item_fits(const vsi_node_item *item, uint32_t trailer_bytes) {
    const uint8_t *value = item->value.data;
    if (item->value.bytes < FIELD_FIXED_BYTES || item->ref_count)
        return false;
    uint32_t dim = vsi_get_u32(value + FIELD_DIM_OFF);
    size_t name_bytes = vsi_get_u16(value + FIELD_NAME_BYTES_OFF);
    size_t index_bytes = vsi_get_u16(value + FIELD_INDEX_BYTES_OFF);
    int type = value[FIELD_TYPE_OFF];
    return dim >= 1 && dim <= VS_DIM_MAX && vsi_metric_fits(value[FIELD_METRIC_OFF], type) &&
           value[FIELD_FLAGS_OFF] <= FIELD_OPTIONAL && name_bytes >= 1 &&
           name_bytes <= VS_FIELD_BYTES_MAX && index_bytes <= VS_INDEX_BYTES_MAX &&
           item->value.bytes == FIELD_FIXED_BYTES + name_bytes + index_bytes &&
           value[FIELD_SHIFT_OFF] == vsi_slab_shift(vsi_vector_bytes(type, dim), trailer_bytes);
}

static vs_status field_read(vsi_err *err, const vsi_state *state, uint32_t id, uint32_t at,
                            vsi_field *out) {
    uint8_t key[FIELD_KEY_BYTES];
    vsi_node_item item;
    vs_status st = vsi_btree_get(err, &state->catalog, state_field_key(key, id, at), &item);
    bool is_there = st == VS_OK;
    if (st == VS_ERR_NOT_FOUND ||
        (is_there && !field_item_fits(&item, vsi_cow_trailer(state->catalog.cow))))
        return vsi_fail(err, VS_ERR_CORRUPT,
                        "catalog: the entry of field %lu of collection %lu is %s",
                        (unsigned long)at, (unsigned long)id, is_there ? "malformed" : "missing");
    if (st != VS_OK)
        return st;
    const uint8_t *value = item.value.data, *name = value + FIELD_FIXED_BYTES;
    size_t name_bytes = vsi_get_u16(value + FIELD_NAME_BYTES_OFF);
    out->dim = vsi_get_u32(value + FIELD_DIM_OFF);
    out->type = value[FIELD_TYPE_OFF];
    out->metric = value[FIELD_METRIC_OFF];
    out->is_optional = value[FIELD_FLAGS_OFF] & FIELD_OPTIONAL;
    memcpy(out->name, name, name_bytes);
    memcpy(out->index, name + name_bytes, vsi_get_u16(value + FIELD_INDEX_BYTES_OFF));
    return VS_OK;
}

/* Whether an array has the slab of the last slot, which is never dropped. There may be others behind it:
 * what was rolled back leaves its slabs. */
static vs_status coll_check_slabs(vsi_err *err, const vsi_coll *coll, uint32_t array,
                                  uint32_t row_bytes) {
    uint8_t key[VSI_SLAB_KEY_BYTES];
    vsi_node_item item;
    uint32_t shift = vsi_slab_shift(row_bytes, vsi_cow_trailer(coll->slabs.cow));
    if (!coll->slot_end)
        return VS_OK;
    return vsi_btree_get(err, &coll->slabs, vsi_slab_key(key, array, (coll->slot_end - 1) >> shift),
                         &item);
}

/* The collection's first use since the database was opened: all slabs are in the file. */
static vs_status coll_intern(vsi_err *err, const vsi_state *state, uint32_t id,
                             const vsi_node_item *item, vsi_coll *coll) {
    const uint8_t *value = item->value.data;
    vsi_desc given;
    memset(&given, 0, sizeof given);
    given.id = id;
    given.created_us = (int64_t)vsi_get_u64(value + COLL_CREATED_OFF);
    given.field_count = vsi_get_u16(value + COLL_FIELDS_OFF);
    given.new_dir = coll->slabs;
    if (coll->count > coll->slot_end)
        return coll_misfit(err, id);
    vs_status st = coll_check_slabs(err, coll, 0, VSI_CELL_BYTES);
    if (st == VS_OK)
        st = vsi_state_coll_name(err, state, id, given.name);
    for (uint32_t i = 0; st == VS_OK && i < given.field_count; i++) {
        vsi_field *field = &given.field[i];
        st = field_read(err, state, id, i, field);
        if (st == VS_OK && !field->is_optional)
            st = coll_check_slabs(err, coll, 1 + i, vsi_vector_bytes(field->type, field->dim));
    }
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? coll_misfit(err, id) : st;
    given.term = vsi_term_of_coll(&given);
    return vsi_descs_intern(err, state->descs, &given, &coll->desc);
}

static vs_status coll_read(vsi_err *err, const vsi_state *state, uint32_t id,
                           const vsi_node_item *item, vsi_coll *out_coll) {
    vsi_coll coll = {.desc = vsi_descs_find(state->descs, id)};
    const uint8_t *value = item->value.data;
    if (!coll_item_fits(item, vsi_cow_trailer(state->catalog.cow)))
        return coll_misfit(err, id);
    coll.count = vsi_get_u64(value + COLL_COUNT_OFF);
    coll.slot_end = vsi_get_u32(value + COLL_SLOT_END_OFF);
    coll.last_number = vsi_get_u64(value + COLL_LAST_NUMBER_OFF);
    coll.bytes = vsi_get_u64(value + COLL_BYTES_OFF);
    coll.max_records = vsi_get_u64(value + COLL_MAX_RECORDS_OFF);
    coll.max_bytes = vsi_get_u64(value + COLL_MAX_BYTES_OFF);
    coll.digest.lo = vsi_get_u64(value + COLL_DIGEST_OFF);
    coll.digest.hi = vsi_get_u64(value + COLL_DIGEST_OFF + 8);
    coll.changed_us = (int64_t)vsi_get_u64(value + COLL_CHANGED_OFF);
    for (uint32_t i = 0; i < COLL_TREES; i++)
        *coll_tree(&coll, i) = (vsi_btree){.cow = state->catalog.cow,
                                           .root = vsi_ref_decode(item->refs + i * VSI_REF_BYTES),
                                           .count = vsi_get_u64(value + COLL_TREES_OFF + 8 * i)};
    vs_status st = coll.desc ? VS_OK : coll_intern(err, state, id, item, &coll);
    if (st == VS_OK)
        *out_coll = coll;
    return st;
}

/* ---- collections ---------------------------------------------------------------------------- */

VSI_FN vs_status vsi_state_coll(vsi_err *err, const vsi_state *state, uint32_t id,
                                vsi_coll *out_coll) {
    uint8_t key[5];
    vsi_node_item item;
    if (state->work.desc && state->work.desc->id == id) {
        *out_coll = state->work;
        return VS_OK;
    }
    vs_status st = vsi_btree_get(err, &state->catalog, state_id_key(key, id), &item);
    return st == VS_OK ? coll_read(err, state, id, &item, out_coll) : st;
}

/* ---- names ---------------------------------------------------------------------------------- */

static vs_status name_decode(vsi_err *err, const vsi_node_item *item, uint32_t *out_id,
                             bool *out_is_alias) {
    const vsi_bytes value = item->value;
    bool is_alias = value.bytes == ALIAS_BYTES;
    if ((value.bytes != NAME_BYTES && !is_alias) || (is_alias && value.data[4] != 1))
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: a name's entry is malformed");
    *out_id = vsi_get_u32(value.data);
    *out_is_alias = is_alias;
    return VS_OK;
}

VSI_FN vs_status vsi_state_name(vsi_err *err, const vsi_state *state, vsi_bytes name,
                                uint32_t *out_id, bool *out_is_alias) {
    uint8_t key[1 + VS_NAME_BYTES_MAX];
    vsi_node_item item;
    if (name.bytes > VS_NAME_BYTES_MAX)
        return VS_ERR_NOT_FOUND;
    vs_status st = vsi_btree_get(err, &state->catalog, state_name_key(key, name), &item);
    return st == VS_OK ? name_decode(err, &item, out_id, out_is_alias) : st;
}

VSI_FN vs_status vsi_state_name_after(vsi_err *err, const vsi_state *state, vsi_bytes name,
                                      vsi_bytes *out_name, uint32_t *out_id, bool *out_is_alias) {
    uint8_t key[1 + VS_NAME_BYTES_MAX];
    vsi_btree_cursor cursor;
    vsi_bytes from = state_name_key(key, name);
    vs_status st = vsi_btree_seek(err, &state->catalog, from, &cursor);
    if (st == VS_OK && !vsi_btree_at_end(&cursor) &&
        !vsi_bytes_compare(vsi_btree_entry(&cursor).key, from))
        st = vsi_btree_next(err, &cursor);
    if (st != VS_OK)
        return st;
    if (vsi_btree_at_end(&cursor))
        return VS_ERR_NOT_FOUND;
    vsi_node_item item = vsi_btree_entry(&cursor);
    if (item.key.bytes < 2 || item.key.data[0] != STATE_ENTRY_NAME)
        return VS_ERR_NOT_FOUND;
    *out_name = (vsi_bytes){item.key.data + 1, item.key.bytes - 1};
    return name_decode(err, &item, out_id, out_is_alias);
}

VSI_FN vs_status vsi_state_coll_named(vsi_err *err, const vsi_state *state, vsi_bytes name,
                                      vsi_coll *out_coll) {
    uint32_t id = 0;
    bool is_alias = false;
    vs_status st = vsi_state_name(err, state, name, &id, &is_alias);
    return st == VS_OK ? vsi_state_coll(err, state, id, out_coll) : st;
}

VSI_FN vs_status vsi_state_coll_name(vsi_err *err, const vsi_state *state, uint32_t id,
                                     char out[VS_NAME_BYTES_MAX + 1]) {
    uint8_t key[FIELD_KEY_BYTES];
    vsi_node_item item = {.value = {NULL, 0}};
    vs_status st =
        vsi_btree_get(err, &state->catalog, state_field_key(key, id, COLL_NAME_FIELD), &item);
    if (st == VS_ERR_NOT_FOUND ||
        (st == VS_OK && (item.value.bytes < 1 || item.value.bytes > VS_NAME_BYTES_MAX ||
                         memchr(item.value.data, 0, item.value.bytes))))
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: the name of collection %lu is malformed",
                        (unsigned long)id);
    if (st != VS_OK)
        return st;
    memcpy(out, item.value.data, item.value.bytes);
    out[item.value.bytes] = 0;
    return VS_OK;
}

VSI_FN vs_status vsi_state_put_name(vsi_err *err, vsi_state *state, vsi_bytes name, uint32_t id,
                                    bool is_alias) {
    uint8_t key[1 + VS_NAME_BYTES_MAX], value[ALIAS_BYTES] = {0, 0, 0, 0, 1};
    state->is_settled = false;
    vsi_put_u32(value, id);
    if (!id)
        return vsi_btree_delete(err, &state->catalog, state_name_key(key, name));
    return vsi_btree_put(err, &state->catalog, state_name_key(key, name),
                         (vsi_bytes){value, is_alias ? ALIAS_BYTES : NAME_BYTES});
}

VSI_FN vs_status vsi_state_put_own_name(vsi_err *err, vsi_state *state, uint32_t id,
                                        vsi_bytes name) {
    uint8_t key[FIELD_KEY_BYTES];
    state->is_settled = false;
    return vsi_btree_put(err, &state->catalog, state_field_key(key, id, COLL_NAME_FIELD), name);
}

/* ---- going through collections -------------------------------------------------------------- */

VSI_FN vs_status vsi_state_coll_from(vsi_err *err, const vsi_state *state, uint32_t id,
                                     vsi_coll *out_coll) {
    uint8_t key[5];
    vsi_btree_cursor cursor;
    vs_status st = vsi_btree_seek(err, &state->catalog, state_id_key(key, id), &cursor);
    if (st != VS_OK)
        return st;
    vsi_bytes found = {0};
    if (!vsi_btree_at_end(&cursor))
        found = vsi_btree_entry(&cursor).key;
    if (!found.bytes || found.data[0] != STATE_ENTRY_COLL)
        return VS_ERR_NOT_FOUND;
    if (found.bytes != sizeof key)
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: an entry belongs to no collection");
    return vsi_state_coll(err, state, vsi_get_u32_be(found.data + 1), out_coll);
}

VSI_FN vs_status vsi_state_settle(vsi_err *err, vsi_state *state) {
    static const uint8_t key[1] = {STATE_ENTRY_BASE};
    uint8_t value[BASE_BYTES] = {0}, ref[VSI_REF_BYTES];
    if (state->is_settled)
        return VS_OK;
    vs_status st = state->work.desc ? coll_write(err, &state->catalog, &state->work) : VS_OK;
    if (st != VS_OK)
        return st;
    vsi_put_u64(value + BASE_NOTES_OFF, state->notes.count);
    vsi_put_u32(value + BASE_LAST_COLL_OFF, state->last_coll);
    vsi_ref_encode(state->notes.root, ref);
    vsi_node_item item = {
        .key = {key, sizeof key}, .value = {value, sizeof value}, .refs = ref, .ref_count = 1};
    st = vsi_btree_put_item(err, &state->catalog, &item);
    state->is_settled = st == VS_OK;
    return st;
}

VSI_FN vs_status vsi_state_load(vsi_err *err, vsi_state *state) {
    static const uint8_t key[1] = {STATE_ENTRY_BASE};
    vsi_node_item item;
    vsi_cow *cow = state->catalog.cow;
    vs_status st = vsi_btree_get(err, &state->catalog, (vsi_bytes){key, sizeof key}, &item);
    bool is_empty = st == VS_ERR_NOT_FOUND && state->catalog.root.kind == VSI_REF_NONE;
    if (st == VS_ERR_NOT_FOUND && !is_empty)
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: the entry of the database is missing");
    if (st == VS_OK && (item.value.bytes != BASE_BYTES || item.ref_count != 1))
        return vsi_fail(err, VS_ERR_CORRUPT, "catalog: the entry of the database is malformed");
    if (st != VS_OK && !is_empty)
        return st;
    state->work = (vsi_coll){.desc = NULL};
    state->is_settled = true;
    state->notes = (vsi_btree){.cow = cow};
    state->last_coll = 0;
    if (is_empty)
        return VS_OK;
    state->notes.root = vsi_ref_decode(item.refs);
    state->notes.count = vsi_get_u64(item.value.data + BASE_NOTES_OFF);
    state->last_coll = vsi_get_u32(item.value.data + BASE_LAST_COLL_OFF);
    return VS_OK;
}

VSI_FN vs_status vsi_state_work_on(vsi_err *err, vsi_state *state, uint32_t id,
                                   vsi_coll **out_coll) {
    if (!state->work.desc || state->work.desc->id != id) {
        vsi_coll coll;
        vs_status st = vsi_state_coll(err, state, id, &coll);
        if (st == VS_OK)
            st = vsi_state_settle(err, state);
        if (st != VS_OK)
            return st;
        state->work = coll;
    }
    state->is_settled = false;
    *out_coll = &state->work;
    return VS_OK;
}

VSI_FN vs_status vsi_state_add_coll(vsi_err *err, vsi_state *state, vsi_desc *desc) {
    vsi_bytes name = {(const uint8_t *)desc->name, strlen(desc->name)};
    vs_status st = vsi_state_settle(err, state);
    if (st != VS_OK)
        return st;
    state->is_settled = false;
    vsi_coll coll = {.desc = desc, .changed_us = desc->created_us};
    for (uint32_t i = 0; i < COLL_TREES; i++)
        coll_tree(&coll, i)->cow = state->catalog.cow;
    state->work = coll;
    state->last_coll = desc->id;
    st = coll_write(err, &state->catalog, &coll);
    for (uint32_t i = 0; st == VS_OK && i < desc->field_count; i++)
        st = field_write(err, &state->catalog, desc, i);
    if (st == VS_OK)
        st = vsi_state_put_own_name(err, state, desc->id, name);
    return st == VS_OK ? vsi_state_put_name(err, state, name, desc->id, false) : st;
}

/* ---- records -------------------------------------------------------------------------------- */

VSI_FN vsi_bytes vsi_slot_encode(uint8_t out[VSI_SLOT_KEY_BYTES], uint32_t slot) {
    vsi_put_u32_be(out, slot);
    return (vsi_bytes){out, VSI_SLOT_KEY_BYTES};
}

VSI_FN vs_status vsi_coll_find(vsi_err *err, const vsi_coll *coll, vs_key key, uint32_t *out_slot) {
    uint8_t bytes[VSI_KEY_BYTES_MAX];
    char text[VSI_KEY_TEXT_BYTES];
    vsi_node_item item;
    vs_status st = vsi_btree_get(err, &coll->keys, vsi_key_encode(bytes, key), &item);
    if (st == VS_OK && item.value.bytes != 4)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the entry of key %s is malformed",
                        coll->desc->name, vsi_key_text(text, key));
    if (st == VS_OK)
        *out_slot = vsi_get_u32(item.value.data);
    return st;
}

VSI_FN void vsi_cell_encode(uint8_t out[VSI_CELL_BYTES], vs_key key, vsi_hash128 vector_hash) {
    vsi_put_u64(out, key.kind == VS_KEY_U64 ? key.number : 0);
    vsi_put_u64(out + 8, vector_hash.lo);
    vsi_put_u64(out + 16, vector_hash.hi);
    vsi_put_u32(out + 24, key.space);
    vsi_put_u32(out + 28, key.kind + 1u);
}

/* What a slot that is not live holds may be anything. */
static void cell_decode(const uint8_t *cell, vsi_cell *out_cell) {
    out_cell->number = vsi_get_u64(cell);
    out_cell->vector_hash.lo = vsi_get_u64(cell + 8);
    out_cell->vector_hash.hi = vsi_get_u64(cell + 16);
    out_cell->space = vsi_get_u32(cell + 24);
    out_cell->kind = (uint16_t)(vsi_get_u32(cell + 28) - 1);
}

VSI_FN vs_status vsi_coll_cell(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                               vsi_cell *out_cell) {
    const uint8_t *cell = NULL;
    vs_status st = vsi_slab_row(err, &coll->desc->cells, slot, &cell);
    if (st == VS_OK)
        cell_decode(cell, out_cell);
    return st;
}

VSI_FN vs_status vsi_coll_cell_aside(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                     vsi_slab_aside *aside, vsi_cell *out_cell) {
    const uint8_t *cell = NULL;
    vs_status st = vsi_slab_row_aside(err, &coll->desc->cells, slot, aside, &cell);
    if (st == VS_OK)
        cell_decode(cell, out_cell);
    return st;
}

VSI_FN vs_status vsi_coll_key(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                              const vsi_cell *cell, vs_key *out_key) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_node_item item;
    vs_key key = {.number = cell->number, .kind = cell->kind, .space = cell->space};
    vs_status st = VS_OK;
    if (key.kind != VS_KEY_U64)
        st = vsi_btree_get(err, &coll->long_keys, vsi_slot_encode(bytes, slot), &item);
    if (st == VS_OK && key.kind != VS_KEY_U64) {
        key.data = item.value.data;
        key.bytes = (uint16_t)item.value.bytes;
    }
    if (st == VS_ERR_NOT_FOUND || (st == VS_OK && vsi_key_check(err, key) != VS_OK))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the key of slot %lu is malformed",
                        coll->desc->name, (unsigned long)slot);
    if (st == VS_OK)
        *out_key = key;
    return st;
}

VSI_FN vs_status vsi_coll_has(vsi_err *err, const vsi_coll *coll, uint32_t field, uint32_t slot,
                              bool *out_has) {
    uint32_t set = vsi_desc_set(coll->desc, field);
    *out_has = true;
    return set == VSI_LIVE_RECORDS ? VS_OK : vsi_live_get(err, &coll->live, set, slot, out_has);
}

VSI_FN vs_status vsi_coll_row(vsi_err *err, const vsi_coll *coll, uint32_t field, uint32_t slot,
                              const uint8_t **out_row) {
    return vsi_slab_row(err, &coll->desc->field[field].rows, slot, out_row);
}

VSI_FN vsi_hash128 vsi_vector_hash(uint32_t field, vsi_bytes vector) {
    return vsi_hash128_of(vector.data, vector.bytes, field);
}

VSI_FN vs_status vsi_coll_version(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                  uint64_t *out_version) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES], content[32] = {0};
    vsi_value value = {.bytes = 0};
    vsi_cell cell;
    vs_status st = vsi_coll_cell(err, coll, slot, &cell);
    if (st == VS_OK)
        st = vsi_value_find(err, &coll->metadata, vsi_slot_encode(bytes, slot), &value);
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    vsi_put_u64(content, cell.vector_hash.lo);
    vsi_put_u64(content + 8, cell.vector_hash.hi);
    vsi_put_u64(content + 16, value.hash.lo); /* zeros: no metadata */
    vsi_put_u64(content + 24, value.hash.hi);
    uint64_t version = vsi_hash64(content, sizeof content, 0);
    *out_version = version ? version : 1;
    return VS_OK;
}

VSI_FN vs_status vsi_coll_read_metadata(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                        vsi_buf *buf) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, &coll->metadata, vsi_slot_encode(bytes, slot), &value);
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    return st == VS_OK ? vsi_value_read(err, &coll->metadata, &value, buf) : st;
}

VSI_FN vs_status vsi_coll_entry(vsi_err *err, const vsi_btree_cursor *cursor, vs_key *out_key,
                                uint32_t *out_slot) {
    vsi_node_item item = vsi_btree_entry(cursor);
    if (item.value.bytes != 4 || !vsi_key_decode(item.key, out_key))
        return vsi_fail(err, VS_ERR_CORRUPT, "an entry of a tree of keys is malformed");
    *out_slot = vsi_get_u32(item.value.data);
    return VS_OK;
}

/* ---- notes ---------------------------------------------------------------------------------- */

VSI_FN vsi_bytes vsi_note_encode(uint8_t out[VSI_NOTE_KEY_BYTES_MAX], uint32_t coll,
                                 vsi_bytes key) {
    vsi_put_u32(out, coll);
    vsi_put_u16(out + 4, (uint16_t)key.bytes);
    memcpy(out + 6, key.data, key.bytes);
    return (vsi_bytes){out, 6 + key.bytes};
}

VSI_FN vs_status vsi_note_find(vsi_err *err, const vsi_state *state, uint32_t coll, vsi_bytes key,
                               vsi_value *out_value) {
    uint8_t bytes[VSI_NOTE_KEY_BYTES_MAX];
    return vsi_value_find(err, &state->notes, vsi_note_encode(bytes, coll, key), out_value);
}
/* ---- store/apply.h ---------------------------------------------------------------------------------- */
/* apply.h - the one function that changes what a database contains.
 *
 * vsi_apply serves live commits and recovery alike: the same operations on the same state give the
 * same state, digest included. */
#ifndef VSI_APPLY_H
#define VSI_APPLY_H

/* uses store/op.h */
/* uses store/state.h */

/* A slot that a version gave up. */
typedef struct vsi_freed_slot {
    uint32_t coll, slot;
} vsi_freed_slot;

/* Applies one operation. freed, unless NULL, collects vsi_freed_slot structs. On any failure undo
 * the scope and restore the state: VS_ERR_CORRUPT when the operation does not fit the state (only
 * recovery can meet that), VS_ERR_NOMEM. */
VS_NODISCARD VSI_FN vs_status vsi_apply(vsi_err *err, vsi_state *state, const vsi_op *op,
                                        vsi_buf *freed);

#endif
/* ---- store/apply.c ---------------------------------------------------------------------------------- */
/* apply.c - operations on a state.
 *
 *   A1  digest is the sum modulo 2^128 of the terms of all collections, vectors, metadata and
 *       notes (store/term). */
/* uses store/apply.h */
/* uses store/term.h */

static vs_status apply_misfit(vsi_err *err, const vsi_op *op, const char *reason) {
    return vsi_fail(err, VS_ERR_CORRUPT, "operation of kind %d on collection %lu: %s", op->kind,
                    (unsigned long)op->coll, reason);
}

/* What looking something up means for an operation that expects not to find it. */
static vs_status apply_expect_none(vsi_err *err, vs_status st, const vsi_op *op,
                                   const char *reason) {
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    return st == VS_OK ? apply_misfit(err, op, reason) : st;
}

static vs_status apply_work_on(vsi_err *err, vsi_state *state, const vsi_op *op,
                               vsi_coll **out_coll) {
    vs_status st = vsi_state_work_on(err, state, op->coll, out_coll);
    return st == VS_ERR_NOT_FOUND ? apply_misfit(err, op, "there is no such collection") : st;
}

/* ---- create --------------------------------------------------------------------------------- */

static bool create_text_fits(vsi_bytes text, size_t least, size_t most) {
    return text.bytes >= least && text.bytes <= most &&
           !(text.bytes && memchr(text.data, 0, text.bytes));
}

static vs_status create_validate_field(vsi_err *err, const vsi_op *op, uint32_t at) {
    const vsi_op_field *field = &op->field[at];
    if (field->dim < 1 || field->dim > VS_DIM_MAX || !vsi_type_bytes((int)field->type))
        return apply_misfit(err, op, "its dimension or type is unknown");
    if (!vsi_metric_fits((int)field->metric, (int)field->type))
        return apply_misfit(err, op, "its metric is unknown, or not one for its type");
    if (!create_text_fits(field->name, 1, VS_FIELD_BYTES_MAX) ||
        !create_text_fits(field->index, 0, VS_INDEX_BYTES_MAX))
        return apply_misfit(err, op, "the name or index of a field is malformed");
    for (uint32_t i = 0; i < at; i++)
        if (!vsi_bytes_compare(op->field[i].name, field->name))
            return apply_misfit(err, op, "two fields have one name");
    return VS_OK;
}

/* A name that leads nowhere yet. */
static vs_status name_validate_new(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    uint32_t id = 0;
    bool is_alias = false;
    if (!create_text_fits(op->name, 1, VS_NAME_BYTES_MAX))
        return apply_misfit(err, op, "its name is malformed");
    vs_status st = vsi_state_name(err, state, op->name, &id, &is_alias);
    return apply_expect_none(err, st, op, "its name exists");
}

static vs_status create_validate(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    vs_status st = VS_OK;
    if (op->coll <= state->last_coll)
        return apply_misfit(err, op, "its id does not ascend");
    if (op->field_count < 1 || op->field_count > VS_FIELDS_MAX)
        return apply_misfit(err, op, "it has no fields, or too many");
    for (uint32_t i = 0; st == VS_OK && i < op->field_count; i++)
        st = create_validate_field(err, op, i);
    return st == VS_OK ? name_validate_new(err, state, op) : st;
}

static void create_fill_field(vsi_field *field, const vsi_op_field *given) {
    field->dim = given->dim;
    field->type = (int)given->type;
    field->metric = (int)given->metric;
    field->is_optional = given->is_optional;
    memcpy(field->name, given->name.data, given->name.bytes);
    if (given->index.bytes)
        memcpy(field->index, given->index.data, given->index.bytes);
}

static vs_status apply_create(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vs_status st = create_validate(err, state, op);
    if (st != VS_OK)
        return st;
    vsi_desc given, *desc = NULL;
    memset(&given, 0, sizeof given);
    given.id = op->coll;
    given.created_us = op->time_us;
    given.field_count = op->field_count;
    memcpy(given.name, op->name.data, op->name.bytes);
    for (uint32_t i = 0; i < op->field_count; i++)
        create_fill_field(&given.field[i], &op->field[i]);
    given.term = vsi_term_of_coll(&given);
    given.new_dir.cow = state->catalog.cow->pager ? state->catalog.cow : NULL;
    st = vsi_descs_add(err, state->descs, &given, &desc);
    if (st == VS_OK)
        st = vsi_state_add_coll(err, state, desc);
    if (st != VS_OK)
        return st;
    vsi_hash128_add(&state->digest, given.term); /* keeps A1, here and below */
    vsi_hash128_add(&state->digest, vsi_term_of_name(op->coll, op->name, false));
    return VS_OK;
}

/* ---- names and limits ----------------------------------------------------------------------- */

static vs_status apply_expect_coll(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    vsi_coll coll;
    vs_status st = vsi_state_coll(err, state, op->coll, &coll);
    return st == VS_ERR_NOT_FOUND ? apply_misfit(err, op, "there is no such collection") : st;
}

/* Makes the name lead to what the operation says, in place of where it led. */
static vs_status name_move(vsi_err *err, vsi_state *state, vsi_bytes name, uint32_t from,
                           uint32_t to, bool is_alias) {
    vs_status st = vsi_state_put_name(err, state, name, to, is_alias);
    if (st != VS_OK)
        return st;
    if (from)
        vsi_hash128_subtract(&state->digest, vsi_term_of_name(from, name, is_alias));
    if (to)
        vsi_hash128_add(&state->digest, vsi_term_of_name(to, name, is_alias));
    return VS_OK;
}

static vs_status apply_rename(vsi_err *err, vsi_state *state, const vsi_op *op) {
    char old[VS_NAME_BYTES_MAX + 1];
    vs_status st = apply_expect_coll(err, state, op);
    if (st == VS_OK)
        st = name_validate_new(err, state, op);
    if (st == VS_OK)
        st = vsi_state_coll_name(err, state, op->coll, old);
    if (st == VS_OK)
        st = name_move(err, state, (vsi_bytes){(const uint8_t *)old, strlen(old)}, op->coll, 0,
                       false);
    if (st == VS_OK)
        st = name_move(err, state, op->name, 0, op->coll, false);
    return st == VS_OK ? vsi_state_put_own_name(err, state, op->coll, op->name) : st;
}

static vs_status apply_alias(vsi_err *err, vsi_state *state, const vsi_op *op) {
    uint32_t old = 0;
    bool is_alias = true;
    vs_status st = op->coll ? apply_expect_coll(err, state, op) : VS_OK;
    if (st == VS_OK && !create_text_fits(op->name, 1, VS_NAME_BYTES_MAX))
        st = apply_misfit(err, op, "its name is malformed");
    if (st != VS_OK)
        return st;
    st = vsi_state_name(err, state, op->name, &old, &is_alias);
    if (st == VS_OK && !is_alias)
        return apply_misfit(err, op, "its name is a collection's own");
    if (st == VS_ERR_NOT_FOUND && !op->coll)
        return apply_misfit(err, op, "there is no such alias");
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    return name_move(err, state, op->name, old, op->coll, true);
}

static vs_status apply_limits(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st != VS_OK)
        return st;
    vsi_hash128_subtract(&state->digest,
                         vsi_term_of_limits(op->coll, coll->max_records, coll->max_bytes));
    vsi_hash128_add(&state->digest, vsi_term_of_limits(op->coll, op->max_records, op->max_bytes));
    coll->max_records = op->max_records;
    coll->max_bytes = op->max_bytes;
    return VS_OK;
}

/* ---- put and delete ------------------------------------------------------------------------- */

/* A record's term counts in the collection's digest and in that of all. */
static void record_count_term(vsi_state *state, vsi_coll *coll, vsi_hash128 term, bool is_there) {
    vsi_hash128 *sums[] = {&state->digest, &coll->digest};
    for (size_t i = 0; i < 2; i++)
        if (is_there)
            vsi_hash128_add(sums[i], term);
        else
            vsi_hash128_subtract(sums[i], term);
}

/* What a key counts in a collection's bytes. */
static uint64_t key_bytes(vs_key key) {
    return key.kind == VS_KEY_U64 ? 8 : key.bytes;
}

static vs_status metadata_remove(vsi_err *err, vsi_state *state, vsi_coll *coll, uint32_t slot,
                                 vs_key key) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_bytes slot_key = vsi_slot_encode(bytes, slot);
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, &coll->metadata, slot_key, &value);
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    record_count_term(state, coll, vsi_term_of_metadata(coll->desc->id, key, value.hash), false);
    coll->bytes -= value.bytes;
    return vsi_value_delete(err, &coll->metadata, slot_key);
}

/* The slot holds a record, or none any more; which vectors it has is said apart. */
static vs_status record_mark(vsi_err *err, vsi_coll *coll, uint32_t slot, bool is_live) {
    vs_status st = vsi_live_set(err, &coll->live, VSI_LIVE_RECORDS, slot, is_live);
    for (uint32_t i = 0; st == VS_OK && !is_live && i < coll->desc->field_count; i++) {
        bool has = false;
        st = vsi_coll_has(err, coll, i, slot, &has);
        if (st == VS_OK && has)
            coll->bytes -= coll->desc->field[i].vector_bytes;
        if (st == VS_OK && has && coll->desc->field[i].is_optional)
            st = vsi_live_set(err, &coll->live, vsi_desc_set(coll->desc, i), slot, false);
    }
    return st;
}

/* Takes the live record of a key out of its slot. */
static vs_status record_remove(vsi_err *err, vsi_state *state, vsi_coll *coll, uint32_t slot,
                               vs_key key, vsi_buf *freed) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_cell cell;
    vs_status st = vsi_coll_cell(err, coll, slot, &cell);
    if (st == VS_OK)
        st = metadata_remove(err, state, coll, slot, key);
    if (st == VS_OK)
        st = record_mark(err, coll, slot, false);
    if (st == VS_OK && key.kind != VS_KEY_U64)
        st = vsi_btree_delete(err, &coll->long_keys, vsi_slot_encode(bytes, slot));
    if (st == VS_ERR_NOT_FOUND)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s: the key of slot %lu is missing", coll->desc->name,
                      (unsigned long)slot);
    if (st != VS_OK)
        return st;
    vsi_freed_slot gone = {.coll = coll->desc->id, .slot = slot};
    if (freed && !vsi_buf_append(freed, &gone, sizeof gone))
        return vsi_fail_nomem(err, sizeof gone);
    record_count_term(state, coll, vsi_term_of_vector(coll->desc->id, key, cell.vector_hash),
                      false);
    coll->count--;
    coll->bytes -= key_bytes(key);
    return VS_OK;
}

static vs_status record_write_row(vsi_err *err, vsi_coll *coll, uint32_t at, uint32_t slot,
                                  vsi_bytes vector) {
    vsi_field *field = &coll->desc->field[at];
    uint8_t *row = NULL;
    vs_status st = vsi_slab_make_row(err, &field->rows, slot, &row);
    if (st != VS_OK)
        return st;
    vsi_copy_le(row, vector.data, field->vector_bytes / field->element_bytes,
                field->element_bytes); /* keeps S3 */
    if (field->is_optional)
        st = vsi_live_set(err, &coll->live, vsi_desc_set(coll->desc, at), slot, true);
    return st;
}

/* The vectors of a record, and its cell. */
static vs_status record_write_rows(vsi_err *err, vsi_coll *coll, const vsi_op *op,
                                   vsi_hash128 *out_hash) {
    vsi_hash128 hash = {0, 0};
    uint8_t *cell = NULL;
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        if (!op->vector[i].bytes)
            continue;
        st = record_write_row(err, coll, i, op->slot, op->vector[i]);
        coll->bytes += op->vector[i].bytes;
        vsi_hash128_add(&hash, vsi_vector_hash(i, op->vector[i]));
    }
    if (st == VS_OK)
        st = vsi_slab_make_row(err, &coll->desc->cells, op->slot, &cell);
    if (st != VS_OK)
        return st;
    vsi_cell_encode(cell, op->key, hash);
    *out_hash = hash;
    return VS_OK;
}

/* Leads from the key to the slot and, if the cell has no room for the key, back. */
static vs_status record_link(vsi_err *err, vsi_coll *coll, const vsi_op *op) {
    uint8_t bytes[VSI_KEY_BYTES_MAX], slot_key[VSI_SLOT_KEY_BYTES], slot[4];
    vsi_put_u32(slot, op->slot);
    vs_status st = vsi_btree_put(err, &coll->keys, vsi_key_encode(bytes, op->key),
                                 (vsi_bytes){slot, sizeof slot});
    if (st == VS_OK && op->key.kind != VS_KEY_U64)
        st = vsi_btree_put(err, &coll->long_keys, vsi_slot_encode(slot_key, op->slot),
                           (vsi_bytes){op->key.data, op->key.bytes});
    return st;
}

static vs_status metadata_add(vsi_err *err, vsi_state *state, vsi_coll *coll, const vsi_op *op) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    if (!op->metadata.bytes)
        return VS_OK;
    vsi_hash128 hash = vsi_hash128_of(op->metadata.data, op->metadata.bytes, 0);
    record_count_term(state, coll, vsi_term_of_metadata(op->coll, op->key, hash), true);
    coll->bytes += op->metadata.bytes;
    return vsi_value_put(err, &coll->metadata, vsi_slot_encode(bytes, op->slot), op->metadata,
                         hash);
}

/* Writes a record into a slot that is not live. */
static vs_status record_add(vsi_err *err, vsi_state *state, vsi_coll *coll, const vsi_op *op) {
    vsi_hash128 hash = {0, 0};
    vs_status st = record_write_rows(err, coll, op, &hash);
    if (st == VS_OK)
        st = record_mark(err, coll, op->slot, true);
    if (st == VS_OK)
        st = metadata_add(err, state, coll, op);
    if (st == VS_OK)
        st = record_link(err, coll, op);
    if (st != VS_OK)
        return st;
    record_count_term(state, coll, vsi_term_of_vector(op->coll, op->key, hash), true);
    coll->count++;
    coll->bytes += key_bytes(op->key);
    if (op->key.kind == VS_KEY_U64 && op->key.number > coll->last_number)
        coll->last_number = op->key.number;
    if (op->slot == coll->slot_end)
        coll->slot_end++;
    return VS_OK;
}

/* Whether the record of an operation is where it says. */
static vs_status record_validate(vsi_err *err, const vsi_coll *coll, const vsi_op *op,
                                 uint32_t expected) {
    uint32_t found = VSI_SLOT_NONE;
    vs_status st = vsi_coll_find(err, coll, op->key, &found);
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    return found == expected ? VS_OK
                             : apply_misfit(err, op, "the record is not where the operation says");
}

static vs_status put_validate_vectors(vsi_err *err, const vsi_desc *desc, const vsi_op *op) {
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++) {
        size_t bytes = op->vector[i].bytes;
        if (i >= desc->field_count && bytes)
            return apply_misfit(err, op, "there is no such field");
        if (i < desc->field_count && !bytes && !desc->field[i].is_optional)
            return apply_misfit(err, op, "a vector is missing");
        if (bytes && bytes != desc->field[i].vector_bytes)
            return apply_misfit(err, op, "the vector has another size");
    }
    return VS_OK;
}

static vs_status put_validate(vsi_err *err, const vsi_coll *coll, const vsi_op *op) {
    bool is_live = false;
    vs_status st = put_validate_vectors(err, coll->desc, op);
    if (st != VS_OK)
        return st;
    if (op->metadata.bytes > VS_METADATA_BYTES_MAX)
        return apply_misfit(err, op, "the metadata is too large");
    st = vsi_live_get(err, &coll->live, VSI_LIVE_RECORDS, op->slot, &is_live);
    if (st != VS_OK)
        return st;
    if (op->slot > coll->slot_end || op->slot >= VS_RECORDS_MAX || is_live)
        return apply_misfit(err, op, "the slot is taken or out of range");
    return record_validate(err, coll, op, op->old_slot);
}

static vs_status apply_put(vsi_err *err, vsi_state *state, const vsi_op *op, vsi_buf *freed) {
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK)
        st = put_validate(err, coll, op);
    if (st == VS_OK && op->old_slot != VSI_SLOT_NONE)
        st = record_remove(err, state, coll, op->old_slot, op->key, freed);
    return st == VS_OK ? record_add(err, state, coll, op) : st;
}

static vs_status apply_delete(vsi_err *err, vsi_state *state, const vsi_op *op, vsi_buf *freed) {
    uint8_t key[VSI_KEY_BYTES_MAX];
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK && op->slot == VSI_SLOT_NONE)
        st = apply_misfit(err, op, "it names no slot");
    if (st == VS_OK)
        st = record_validate(err, coll, op, op->slot);
    if (st == VS_OK)
        st = record_remove(err, state, coll, op->slot, op->key, freed);
    return st == VS_OK ? vsi_btree_delete(err, &coll->keys, vsi_key_encode(key, op->key)) : st;
}

/* The record stays where it is: snapshots have metadata of their own. */
static vs_status apply_metadata(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK && op->slot == VSI_SLOT_NONE)
        st = apply_misfit(err, op, "it names no slot");
    if (st == VS_OK && op->metadata.bytes > VS_METADATA_BYTES_MAX)
        st = apply_misfit(err, op, "the metadata is too large");
    if (st == VS_OK)
        st = record_validate(err, coll, op, op->slot);
    if (st == VS_OK)
        st = metadata_remove(err, state, coll, op->slot, op->key);
    return st == VS_OK ? metadata_add(err, state, coll, op) : st;
}

static vs_status apply_touch(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vsi_coll *coll = NULL;
    vs_status st = apply_work_on(err, state, op, &coll);
    if (st == VS_OK)
        coll->changed_us = op->time_us;
    return st;
}

/* ---- notes and digest ----------------------------------------------------------------------- */

static vs_status note_remove(vsi_err *err, vsi_state *state, const vsi_op *op, vsi_bytes key) {
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, &state->notes, key, &value);
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    vsi_hash128_subtract(&state->digest, vsi_term_of_note(op->coll, op->note_key, value.hash));
    return vsi_value_delete(err, &state->notes, key);
}

static vs_status apply_note(vsi_err *err, vsi_state *state, const vsi_op *op) {
    vsi_coll coll;
    vs_status st = op->coll ? vsi_state_coll(err, state, op->coll, &coll) : VS_OK;
    if (st == VS_ERR_NOT_FOUND)
        return apply_misfit(err, op, "there is no such collection");
    if (st == VS_OK && (op->note_key.bytes < 1 || op->note_key.bytes > VS_KV_KEY_BYTES_MAX ||
                        op->note_value.bytes > VS_KV_VALUE_BYTES_MAX))
        return apply_misfit(err, op, "the note's key or value is too long");
    uint8_t bytes[VSI_NOTE_KEY_BYTES_MAX];
    vsi_bytes key = {0};
    if (st == VS_OK) {
        key = vsi_note_encode(bytes, op->coll, op->note_key);
        st = note_remove(err, state, op, key);
    }
    state->is_settled = false;
    if (st != VS_OK || !op->note_has_value)
        return st;
    vsi_hash128 hash = vsi_hash128_of(op->note_value.data, op->note_value.bytes, 0);
    vsi_hash128_add(&state->digest, vsi_term_of_note(op->coll, op->note_key, hash));
    return vsi_value_put(err, &state->notes, key, op->note_value, hash);
}

static vs_status apply_digest(vsi_err *err, const vsi_state *state, const vsi_op *op) {
    if (state->digest.lo == op->digest.lo && state->digest.hi == op->digest.hi)
        return VS_OK;
    return vsi_fail(err, VS_ERR_CORRUPT,
                    "digest of the state is %016llx%016llx, the log says %016llx%016llx",
                    (unsigned long long)state->digest.hi, (unsigned long long)state->digest.lo,
                    (unsigned long long)op->digest.hi, (unsigned long long)op->digest.lo);
}

VSI_FN vs_status vsi_apply(vsi_err *err, vsi_state *state, const vsi_op *op, vsi_buf *freed) {
    state->changes++;
    switch (op->kind) {
    case VSI_OP_CREATE:
        return apply_create(err, state, op);
    case VSI_OP_PUT:
        return apply_put(err, state, op, freed);
    case VSI_OP_DELETE:
        return apply_delete(err, state, op, freed);
    case VSI_OP_METADATA:
        return apply_metadata(err, state, op);
    case VSI_OP_RENAME:
        return apply_rename(err, state, op);
    case VSI_OP_ALIAS:
        return apply_alias(err, state, op);
    case VSI_OP_LIMITS:
        return apply_limits(err, state, op);
    case VSI_OP_TOUCH:
        return apply_touch(err, state, op);
    case VSI_OP_NOTE:
        return apply_note(err, state, op);
    case VSI_OP_DIGEST:
        return apply_digest(err, state, op);
    default: /* those of savepoints are for who keeps them */
        return apply_misfit(err, op, "it changes no content");
    }
}
/* ---- store/audit.h ---------------------------------------------------------------------------------- */
/* audit.h - walks over a state and verifies everything that can be. */
#ifndef VSI_AUDIT_H
#define VSI_AUDIT_H

/* uses store/state.h */

typedef void (*vsi_report_fn)(void *ctx, const char *problem);

/* Trees, slots, counts, and the digest computed anew from the contents. Calls report with each problem;
 * an error only when the walk could not be done. */
VS_NODISCARD VSI_FN vs_status vsi_audit(vsi_err *err, const vsi_state *state, vsi_mem *mem,
                                        vsi_report_fn report, void *ctx);

#endif
/* ---- store/audit.c ---------------------------------------------------------------------------------- */
/* audit.c - walks over a state and verifies S1, S2, A1 and the structure of every tree. */
/* uses store/audit.h */
/* uses store/budget.h */
/* uses store/term.h */

typedef struct auditor {
    vsi_err *err;
    vsi_buf buf;
    vsi_report_fn report;
    void *ctx;
    vsi_descs *descs;
    vsi_hash128 digest; /* computed anew */
    vsi_reside *reside; /* NULL: everything is in memory */
    vsi_stay stay;
    uint64_t steps;
    uint64_t bytes; /* of the collection's records */
} auditor;

enum { AUDIT_BREATH_STEPS = 64 };

static void audit_report(auditor *a, const char *where, const char *problem) {
    char text[VS_NAME_BYTES_MAX + VSI_ERR_TEXT_BYTES + 2];
    snprintf(text, sizeof text, "%s: %s", where, problem);
    a->report(a->ctx, text);
}

/* A failure that is a finding is reported, and the walk goes on. */
static vs_status audit_note(auditor *a, const char *where, vs_status st) {
    if (st != VS_ERR_CORRUPT)
        return st;
    audit_report(a, where, a->err->text);
    return VS_OK;
}

/* A tree that is not sound is not looked into any further: *is_sound becomes false. */
static vs_status audit_tree(auditor *a, const char *where, const vsi_btree *tree, bool *is_sound) {
    const char *problem = NULL;
    vs_status st = vsi_btree_check(a->err, tree, &problem);
    if (st == VS_OK && !problem)
        return VS_OK;
    *is_sound = false;
    if (problem)
        audit_report(a, where, problem);
    return audit_note(a, where, st);
}

/* To the next entry. Now and then what was read may leave memory on the way, if there is too much: then the
 * cursor looks for its place again. */
static vs_status audit_next(auditor *a, vsi_btree_cursor *cursor) {
    uint8_t bytes[VSI_NODE_ENTRY_MAX];
    vsi_bytes key = vsi_btree_entry(cursor).key;
    bool is_time = a->reside && ++a->steps % AUDIT_BREATH_STEPS == 0;
    if (is_time && vsi_reside_excess(a->reside, 0)) {
        memcpy(bytes, key.data, key.bytes);
        key.data = bytes;
        vsi_stay_leave(a->reside, a->stay);
        vsi_budget_keep(cursor->tree->cow->pager, a->descs);
        a->stay = vsi_stay_enter(a->reside);
        vs_status st = vsi_btree_seek(a->err, cursor->tree, key, cursor);
        if (st != VS_OK)
            return st;
    }
    return vsi_btree_next(a->err, cursor);
}

/* Whether the key that a slot says is its own is this one. */
static vs_status audit_key(auditor *a, const vsi_coll *coll, vs_key key, uint32_t slot,
                           const vsi_cell *cell) {
    vs_key own = {0};
    uint32_t again = VSI_SLOT_NONE; /* the bytes of the entry's key are what they should be */
    vs_status st = vsi_coll_key(a->err, coll, slot, cell, &own);
    if (st == VS_OK)
        st = vsi_coll_find(a->err, coll, key, &again);
    if (st == VS_ERR_NOT_FOUND || (st == VS_OK && (vsi_key_compare(own, key) || again != slot)))
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a slot belongs to another key");
    if (st == VS_OK && key.kind == VS_KEY_U64 && key.number > coll->last_number)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a key is above the largest number ever put");
    return st;
}

/* The hash of a record's vectors, as its cell should have it. */
static vs_status audit_vectors(auditor *a, const vsi_coll *coll, uint32_t slot,
                               vsi_hash128 *out_hash) {
    vsi_hash128 hash = {0, 0};
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        const vsi_field *field = &coll->desc->field[i];
        const uint8_t *row = NULL;
        bool has = false;
        st = vsi_coll_has(a->err, coll, i, slot, &has);
        if (st == VS_OK && has)
            st = vsi_coll_row(a->err, coll, i, slot, &row);
        if (st != VS_OK || !has)
            continue;
        vsi_copy_le(a->buf.data, row, field->vector_bytes / field->element_bytes,
                    field->element_bytes);
        vsi_hash128_add(&hash, vsi_vector_hash(i, (vsi_bytes){a->buf.data, field->vector_bytes}));
        a->bytes += field->vector_bytes;
    }
    *out_hash = hash;
    return st;
}

/* The record that a key leads to. */
static vs_status audit_record(auditor *a, const vsi_coll *coll, vs_key key, uint32_t slot) {
    bool is_live = false;
    vsi_hash128 hash = {0, 0};
    vsi_cell cell;
    vs_status st = vsi_live_get(a->err, &coll->live, VSI_LIVE_RECORDS, slot, &is_live);
    if (st == VS_OK && (slot >= coll->slot_end || !is_live))
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a key leads to a slot that is not live");
    if (st == VS_OK)
        st = vsi_coll_cell(a->err, coll, slot, &cell);
    if (st == VS_OK)
        st = audit_key(a, coll, key, slot, &cell);
    if (st == VS_OK)
        st = audit_vectors(a, coll, slot, &hash);
    if (st != VS_OK)
        return st;
    a->bytes += key.kind == VS_KEY_U64 ? 8 : key.bytes;
    vsi_hash128_add(&a->digest, vsi_term_of_vector(coll->desc->id, key, hash));
    if (hash.lo != cell.vector_hash.lo || hash.hi != cell.vector_hash.hi)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a vector's hash is wrong");
    return VS_OK;
}

/* Room for the largest vector of a collection. */
static vs_status audit_reserve(auditor *a, const vsi_desc *desc) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < desc->field_count; i++)
        bytes = desc->field[i].vector_bytes > bytes ? desc->field[i].vector_bytes : bytes;
    a->buf.bytes = 0;
    return vsi_buf_reserve(&a->buf, bytes) ? VS_OK : vsi_fail_nomem(a->err, bytes);
}

static vs_status audit_records(auditor *a, const vsi_coll *coll) {
    uint64_t count = 0, long_count = 0;
    vsi_btree_cursor cursor;
    vs_status st = audit_reserve(a, coll->desc);
    if (st == VS_OK)
        st = vsi_btree_seek(a->err, &coll->keys, (vsi_bytes){(const uint8_t *)"", 0}, &cursor);
    while (st == VS_OK && !vsi_btree_at_end(&cursor)) {
        vs_key key = {0};
        uint32_t slot = 0;
        st = vsi_coll_entry(a->err, &cursor, &key, &slot);
        if (st == VS_OK)
            st = audit_record(a, coll, key, slot);
        count++;
        long_count += key.kind != VS_KEY_U64;
        st = audit_note(a, coll->desc->name, st);
        if (st == VS_OK)
            st = audit_next(a, &cursor);
    }
    if (st == VS_OK &&
        count != coll->count) /* the tree's own count is right, audit_tree has seen to that */
        audit_report(a, coll->desc->name, "the count of records is wrong");
    if (st == VS_OK && long_count != coll->long_keys.count) /* each record has found its own */
        audit_report(a, coll->desc->name, "there are keys of slots that are not live");
    return st;
}

static uint64_t audit_count_bits(vsi_bytes bits) {
    uint64_t count = 0;
    for (size_t i = 0; i < bits.bytes; i++)
        for (uint8_t byte = bits.data[i]; byte; byte = (uint8_t)(byte & (byte - 1)))
            count++;
    return count;
}

/* The vectors that a chunk says records have, of a field that is optional: they are of live slots. */
static vs_status audit_present(auditor *a, const vsi_coll *coll, uint32_t set, uint32_t chunk,
                               vsi_bytes bits) {
    const vsi_desc *desc = coll->desc;
    if (set > desc->field_count || !desc->field[set - 1].is_optional)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a chunk of a bitmap is of no field");
    for (uint32_t i = 0; i < VSI_LIVE_CHUNK_SLOTS; i++) {
        uint64_t slot = (uint64_t)chunk * VSI_LIVE_CHUNK_SLOTS + i;
        bool is_live = false;
        if (!(bits.data[i / 8] >> i % 8 & 1))
            continue;
        vs_status st = slot < coll->slot_end ? vsi_live_get(a->err, &coll->live, VSI_LIVE_RECORDS,
                                                            (uint32_t)slot, &is_live)
                                             : VS_OK;
        if (st == VS_OK && !is_live)
            st = vsi_fail(a->err, VS_ERR_CORRUPT, "there is a vector of a slot that is not live");
        if (st != VS_OK)
            return st;
    }
    return VS_OK;
}

/* Every live slot is a record's: their numbers are equal, and audit_record finds each one live. */
static vs_status audit_live(auditor *a, const vsi_coll *coll) {
    uint64_t count = 0;
    vsi_btree_cursor cursor;
    vs_status st =
        vsi_btree_seek(a->err, &coll->live, (vsi_bytes){(const uint8_t *)"", 0}, &cursor);
    while (st == VS_OK && !vsi_btree_at_end(&cursor)) {
        vsi_node_item item = vsi_btree_entry(&cursor);
        uint32_t set = 0, chunk = 0;
        bool is_chunk = vsi_live_chunk_of(item.key, &set, &chunk) &&
                        item.value.bytes == VSI_LIVE_CHUNK_BYTES && !item.ref_count;
        if (!is_chunk)
            audit_report(a, coll->desc->name, "a chunk of the live bitmap is malformed");
        else if (set == VSI_LIVE_RECORDS)
            count += audit_count_bits(item.value);
        else
            st = audit_note(a, coll->desc->name, audit_present(a, coll, set, chunk, item.value));
        if (st == VS_OK)
            st = audit_next(a, &cursor);
    }
    if (st == VS_OK && count != coll->count)
        audit_report(a, coll->desc->name, "live slots and records differ in number"); /* S1 */
    return st;
}

/* ---- values --------------------------------------------------------------------------------- */

/* The term of a value whose key is given, which may be no key that was ever put. */
typedef vs_status (*audit_term_fn)(auditor *a, const vsi_coll *coll, vsi_bytes key,
                                   vsi_hash128 hash);

static vs_status audit_values(auditor *a, const char *where, const vsi_btree *tree,
                              audit_term_fn add_term, const vsi_coll *coll) {
    vsi_btree_cursor cursor;
    vs_status st = vsi_btree_seek(a->err, tree, (vsi_bytes){(const uint8_t *)"", 0}, &cursor);
    while (st == VS_OK && !vsi_btree_at_end(&cursor)) {
        vsi_node_item item = vsi_btree_entry(&cursor);
        vsi_value value = {.bytes = 0};
        a->buf.bytes = 0;
        st = vsi_value_of_item(a->err, item, &value);
        if (st == VS_OK)
            st = vsi_value_read(a->err, tree, &value, &a->buf);
        if (st == VS_OK) {
            vsi_hash128 hash = vsi_hash128_of(a->buf.data, a->buf.bytes, 0);
            if (hash.lo != value.hash.lo || hash.hi != value.hash.hi)
                audit_report(a, where, "a value's hash is wrong");
            st = add_term(a, coll, item.key, hash);
        }
        st = audit_note(a, where, st);
        if (st == VS_OK)
            st = audit_next(a, &cursor);
    }
    return st;
}

static vs_status audit_add_metadata(auditor *a, const vsi_coll *coll, vsi_bytes key,
                                    vsi_hash128 hash) {
    bool is_live = false;
    vsi_cell cell;
    uint32_t slot = key.bytes == VSI_SLOT_KEY_BYTES ? vsi_get_u32_be(key.data) : UINT32_MAX;
    vs_status st = vsi_live_get(a->err, &coll->live, VSI_LIVE_RECORDS, slot, &is_live);
    if (st == VS_OK && (slot >= coll->slot_end || !is_live))
        return vsi_fail(a->err, VS_ERR_CORRUPT, "there is metadata of a slot that is not live");
    if (st == VS_OK)
        st = vsi_coll_cell(a->err, coll, slot, &cell);
    vs_key own = {0};
    if (st == VS_OK)
        st = vsi_coll_key(a->err, coll, slot, &cell, &own);
    a->bytes += a->buf.bytes;
    if (st == VS_OK)
        vsi_hash128_add(&a->digest, vsi_term_of_metadata(coll->desc->id, own, hash));
    return st;
}

static vs_status audit_add_note(auditor *a, const vsi_coll *coll, vsi_bytes key, vsi_hash128 hash) {
    (void)coll;
    if (key.bytes < 7 || key.bytes > VSI_NOTE_KEY_BYTES_MAX ||
        vsi_get_u16(key.data + 4) != key.bytes - 6)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "a note's key is malformed");
    vsi_hash128_add(&a->digest, vsi_term_of_note(vsi_get_u32(key.data),
                                                 (vsi_bytes){key.data + 6, key.bytes - 6}, hash));
    return VS_OK;
}

/* ---- all ------------------------------------------------------------------------------------ */

/* The name leads back to the collection, and the last slot has a row (S2). */
static vs_status audit_desc(auditor *a, const vsi_state *state, const vsi_coll *coll) {
    const vsi_desc *desc = coll->desc;
    char name[VS_NAME_BYTES_MAX + 1] = "";
    uint32_t id = 0;
    bool is_alias = false;
    vsi_cell cell;
    vs_status st = vsi_state_coll_name(a->err, state, desc->id, name);
    if (st == VS_OK)
        st = vsi_state_name(a->err, state, (vsi_bytes){(const uint8_t *)name, strlen(name)}, &id,
                            &is_alias);
    if (st == VS_ERR_NOT_FOUND || (st == VS_OK && (id != desc->id || is_alias)))
        st = vsi_fail(a->err, VS_ERR_CORRUPT, "its name does not lead to it");
    if (st == VS_OK && desc->id > state->last_coll)
        st = vsi_fail(a->err, VS_ERR_CORRUPT, "its id is above the largest one ever used");
    st = audit_note(a, desc->name, st);
    if (st == VS_OK && coll->slot_end)
        st = vsi_coll_cell(a->err, coll, coll->slot_end - 1, &cell);
    return audit_note(a, desc->name, st);
}

static vs_status audit_coll(auditor *a, const vsi_state *state, const vsi_coll *coll) {
    const char *name = coll->desc->name;
    const vsi_btree *trees[] = {&coll->keys,  &coll->metadata,  &coll->live,
                                &coll->slabs, &coll->long_keys, &coll->payloads};
    vsi_hash128 records = a->digest; /* what its records add to it */
    bool is_sound = true;
    vs_status st = VS_OK;
    a->bytes = 0;
    for (size_t i = 0; st == VS_OK && i < sizeof trees / sizeof trees[0]; i++)
        st = audit_tree(a, name, trees[i], &is_sound);
    if (st != VS_OK || !is_sound)
        return st;
    st = audit_desc(a, state, coll);
    if (st == VS_OK)
        st = audit_note(a, name, audit_records(a, coll));
    if (st == VS_OK)
        st = audit_note(a, name, audit_live(a, coll));
    if (st == VS_OK)
        st = audit_note(a, name, audit_values(a, name, &coll->metadata, audit_add_metadata, coll));
    vsi_hash128_subtract(&records, a->digest);
    vsi_hash128_add(&records, coll->digest);
    if (st == VS_OK && (records.lo || records.hi))
        audit_report(a, name, "the digest of its records is wrong");
    vsi_hash128_add(&a->digest, vsi_term_of_coll(coll->desc));
    vsi_hash128_add(&a->digest,
                    vsi_term_of_limits(coll->desc->id, coll->max_records, coll->max_bytes));
    if (st == VS_OK && a->bytes != coll->bytes)
        audit_report(a, name, "the bytes of all records are wrong");
    return st;
}

/* The name behind this one leads to a collection; *io_name becomes it. */
static vs_status audit_name(auditor *a, const vsi_state *state, uint8_t bytes[VS_NAME_BYTES_MAX],
                            vsi_bytes *io_name, bool *out_is_alias) {
    vsi_bytes name = {NULL, 0};
    uint32_t id = 0;
    vsi_coll coll;
    vs_status st = vsi_state_name_after(a->err, state, *io_name, &name, &id, out_is_alias);
    if (st != VS_OK)
        return st;
    if (name.bytes > VS_NAME_BYTES_MAX)
        return vsi_fail(a->err, VS_ERR_CORRUPT, "catalog: a name is too long");
    vsi_hash128_add(&a->digest, vsi_term_of_name(id, name, *out_is_alias));
    memcpy(bytes, name.data, name.bytes);
    *io_name = (vsi_bytes){bytes, name.bytes};
    st = vsi_state_coll(a->err, state, id, &coll);
    return st == VS_ERR_NOT_FOUND
               ? vsi_fail(a->err, VS_ERR_CORRUPT, "catalog: a name leads to no collection")
               : st;
}

/* Every name leads to a collection, and those that are no aliases are as many as these. */
static vs_status audit_names(auditor *a, const vsi_state *state, uint64_t coll_count) {
    uint8_t bytes[VS_NAME_BYTES_MAX];
    vsi_bytes name = {bytes, 0};
    uint64_t own = 0;
    vs_status st = VS_OK;
    while (st == VS_OK) {
        bool is_alias = false;
        st = audit_name(a, state, bytes, &name, &is_alias);
        own += st == VS_OK && !is_alias;
    }
    if (st != VS_ERR_NOT_FOUND)
        return st;
    if (own != coll_count)
        audit_report(a, "catalog", "names and collections differ in number");
    return VS_OK;
}

static vs_status audit_colls(auditor *a, const vsi_state *state) {
    vsi_coll coll;
    uint64_t count = 0;
    vs_status st = vsi_state_coll_from(a->err, state, 0, &coll);
    while (st == VS_OK) {
        st = audit_coll(a, state, &coll);
        count++;
        if (st == VS_OK)
            st = coll.desc->id == UINT32_MAX
                     ? VS_ERR_NOT_FOUND
                     : vsi_state_coll_from(a->err, state, coll.desc->id + 1, &coll);
    }
    if (st == VS_ERR_NOT_FOUND)
        st = audit_names(a, state, count);
    return audit_note(a, "catalog", st);
}

VSI_FN vs_status vsi_audit(vsi_err *err, const vsi_state *state, vsi_mem *mem, vsi_report_fn report,
                           void *ctx) {
    vsi_pager *pager = state->catalog.cow->pager;
    auditor a = {.err = err,
                 .buf = {.mem = mem},
                 .report = report,
                 .ctx = ctx,
                 .descs = state->descs,
                 .reside = pager ? &pager->reside : NULL};
    if (a.reside)
        a.stay = vsi_stay_enter(a.reside);
    bool has_catalog = true, has_notes = true;
    vs_status st = audit_tree(&a, "catalog", &state->catalog, &has_catalog);
    if (st == VS_OK)
        st = audit_tree(&a, "notes", &state->notes, &has_notes);
    if (st == VS_OK && has_catalog)
        st = audit_colls(&a, state);
    if (st == VS_OK && has_notes)
        st =
            audit_note(&a, "notes", audit_values(&a, "notes", &state->notes, audit_add_note, NULL));
    if (st == VS_OK && (a.digest.lo != state->digest.lo || a.digest.hi != state->digest.hi))
        report(ctx, "the digest does not match the contents"); /* A1 */
    vsi_buf_free(&a.buf);
    if (a.reside)
        vsi_stay_leave(a.reside, a.stay);
    return st;
}
/* ---- store/meta.h ---------------------------------------------------------------------------------- */
/* meta.h - the two meta pages of a database file: what the database is and which log belongs to it.
 */
#ifndef VSI_META_H
#define VSI_META_H

/* uses base/hash.h */
/* uses os/file.h */
/* uses store/ref.h */

enum {
    VSI_META_BYTES = 4096,
    VSI_META_B_OFF = 65536,       /* meta A is at 0 */
    VSI_META_SESSION_OFF = 32768, /* in no block of either page, up to blocks of 32 KiB */
    VSI_UUID_BYTES = 16,
    VSI_FORMAT_MAJOR = 0,
    VSI_FORMAT_MINOR = 4 /* while major is 0 every change of minor is incompatible */
};

/* Bits of vsi_meta.features_needed. */
enum {
    VSI_META_NEEDS_ZSTD = 1, /* large values may be compressed; set with the first one, for good */
    VSI_META_NEEDS_TRAILERS = 2 /* trailer_bytes is not 0; set at creation or never */
};

/* A state of the database in the file. All zero but log_from 1: the empty one that every database begins
 * with. log_from 0: none. */
typedef struct vsi_checkpoint_info {
    uint64_t number;
    uint64_t lsn, chain; /* of the last frame that is in it */
    uint64_t log_from;   /* the log files from this one on have what came after */
    uint64_t end;        /* pages of the file that it may use */
    vsi_ref catalog, free_list;
    uint64_t catalog_count;
    vsi_hash128 digest;
} vsi_checkpoint_info;

typedef struct vsi_meta {
    uint8_t uuid[VSI_UUID_BYTES];
    uint64_t seq;             /* the valid page with the larger one counts */
    uint64_t generation;      /* the log file that commits go to; 0: none yet */
    uint64_t durable_lsn;     /* the log must hold every frame up to here */
    uint64_t features_any;    /* unknown bits: kept, nothing else */
    uint64_t features_ro;     /* unknown bits: only reading is safe */
    uint64_t features_needed; /* unknown bits: not even reading is */
    int64_t created_us;
    uint32_t trailer_bytes; /* at the end of every extent; 0 or VSI_TRAILER_BYTES */
    vsi_checkpoint_info checkpoint, previous;
} vsi_meta;

/* Both pages of an open database. */
typedef struct vsi_metas {
    vsi_meta newest;
    int next_slot;     /* where the next page goes: the older or the damaged one */
    uint64_t last_seq; /* the largest that was ever tried, also in a write that failed */
    bool is_pair;      /* both pages are valid and name the same log: the last change is complete */
    bool is_damaged;   /* one page is invalid */
    bool is_settled;   /* the newest page is on the device, not only in a cache */
} vsi_metas;

/* Reads both pages. *out_is_new is set for a file whose creation never finished (empty, or zero
 * where page A would be). VS_ERR_NOT_DB, VS_ERR_CORRUPT, VS_ERR_TOO_NEW, VS_ERR_TOO_OLD, VS_ERR_IO.
 */
VSI_FN vs_status vsi_metas_read(vsi_err *err, const vsi_file *file, vsi_metas *out_metas,
                                bool *out_is_new);

/* Whether a database with these features may be changed by this version. */
VSI_FN bool vsi_meta_may_write(const vsi_meta *meta);

/* Makes a new database of an empty or half-created file, durable when it returns. */
VSI_FN vs_status vsi_metas_create(vsi_err *err, const vsi_file *file, int64_t now_us,
                                  uint32_t trailer_bytes, vsi_metas *out_metas);

/* Replaces both pages one after the other, each synced. After a failure it is unknown whether the
 * next open finds the old content or the new, so nothing may rely on the new. */
VSI_FN vs_status vsi_metas_write(vsi_err *err, const vsi_file *file, vsi_metas *metas,
                                 const vsi_meta *content);

/* Completes a change that was cut short, or mends a damaged page: writes the older or damaged page anew
 * from the other one. */
VSI_FN vs_status vsi_metas_repair(vsi_err *err, const vsi_file *file, vsi_metas *metas);

/* The process that has the database open for writing: informative, never synced. */
VSI_FN void vsi_session_write(const vsi_file *file, uint64_t process_id);
VSI_FN uint64_t vsi_session_read(const vsi_file *file); /* 0: unknown */

#endif
/* ---- store/meta.c ---------------------------------------------------------------------------------- */
/* meta.c - the meta pages; docs/FORMAT.md section 2 is the reference.
 *
 *   E1  A page counts only if its checksum is right, and of two the one with the larger number.
 *   E2  A change writes both pages, one after the other, each synced: first the older (or the
 *       damaged) one. The page that stays meanwhile must be on the device; one that was read may
 *       be in a cache only, for its writer may have been killed before the sync. So the file is
 *       synced before the first change of a session.
 *   E3  Nothing relies on a change before both pages are synced; until they name the same log it
 *       is unknown which one will be found after a crash. So either page may be lost at any
 *       time, by a torn write or later by rot, and the other one says the same.
 *   E4  Creation makes page B durable before it touches page A. So a crash during creation
 *       leaves zeros in A, or a valid B; anything else in A was never ours to overwrite. */
/* uses store/meta.h */
/* uses base/bytes.h */
/* uses base/codec.h */
/* uses base/hash.h */

static const uint8_t meta_magic[16] = {'v',  'e',  'c',  's',  't',  'o',  'r', 'e',
                                       0x89, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0,   0};

enum {
    META_MAJOR_OFF = 16,
    META_MINOR_OFF = 18,
    META_PAGE_BYTES_OFF = 20,
    META_FEATURES_ANY_OFF = 24,
    META_FEATURES_RO_OFF = 32,
    META_FEATURES_NEEDED_OFF = 40,
    META_UUID_OFF = 48,
    META_SEQ_OFF = 64,
    META_GENERATION_OFF = 72,
    META_DURABLE_LSN_OFF = 80,
    META_CREATED_OFF = 88,
    META_TRAILER_OFF = 96,
    META_CHECKPOINT_OFF = 128,
    META_PREVIOUS_OFF = 256,
    META_SUM_OFF = 4080
};

enum { SESSION_BYTES = 32 };
static const uint8_t session_magic[8] = {'v', 's', '-', 'o', 'w', 'n', 'e', 'r'};

/* Features this version knows. */
static const uint64_t meta_known_ro = 0,
                      meta_known_needed = VSI_META_NEEDS_ZSTD | VSI_META_NEEDS_TRAILERS;

static uint64_t meta_slot_off(int slot) {
    return slot ? VSI_META_B_OFF : 0;
}

static void checkpoint_encode(const vsi_checkpoint_info *info, uint8_t *out) {
    vsi_put_u64(out, info->number);
    vsi_put_u64(out + 8, info->lsn);
    vsi_put_u64(out + 16, info->chain);
    vsi_put_u64(out + 24, info->log_from);
    vsi_put_u64(out + 32, info->end);
    vsi_put_u64(out + 40, info->catalog_count);
    vsi_put_u64(out + 48, info->digest.lo);
    vsi_put_u64(out + 56, info->digest.hi);
    vsi_ref_encode(info->catalog, out + 64);
    vsi_ref_encode(info->free_list, out + 88);
}

static vsi_checkpoint_info checkpoint_decode(const uint8_t *in) {
    vsi_checkpoint_info info = {.number = vsi_get_u64(in),
                                .lsn = vsi_get_u64(in + 8),
                                .chain = vsi_get_u64(in + 16),
                                .log_from = vsi_get_u64(in + 24),
                                .end = vsi_get_u64(in + 32),
                                .catalog_count = vsi_get_u64(in + 40),
                                .digest = {vsi_get_u64(in + 48), vsi_get_u64(in + 56)},
                                .catalog = vsi_ref_decode(in + 64),
                                .free_list = vsi_ref_decode(in + 88)};
    info.catalog.is_block = info.free_list.is_block = false; /* whatever the page says */
    return info;
}

static void meta_encode(const vsi_meta *meta, uint8_t page[VSI_META_BYTES]) {
    memset(page, 0, VSI_META_BYTES);
    memcpy(page, meta_magic, sizeof meta_magic);
    vsi_put_u16(page + META_MAJOR_OFF, VSI_FORMAT_MAJOR);
    vsi_put_u16(page + META_MINOR_OFF, VSI_FORMAT_MINOR);
    vsi_put_u32(page + META_PAGE_BYTES_OFF, VSI_META_BYTES);
    vsi_put_u64(page + META_FEATURES_ANY_OFF, meta->features_any);
    vsi_put_u64(page + META_FEATURES_RO_OFF, meta->features_ro);
    vsi_put_u64(page + META_FEATURES_NEEDED_OFF, meta->features_needed);
    memcpy(page + META_UUID_OFF, meta->uuid, VSI_UUID_BYTES);
    vsi_put_u64(page + META_SEQ_OFF, meta->seq);
    vsi_put_u64(page + META_GENERATION_OFF, meta->generation);
    vsi_put_u64(page + META_DURABLE_LSN_OFF, meta->durable_lsn);
    vsi_put_u64(page + META_CREATED_OFF, (uint64_t)meta->created_us);
    vsi_put_u16(page + META_TRAILER_OFF, (uint16_t)meta->trailer_bytes);
    checkpoint_encode(&meta->checkpoint, page + META_CHECKPOINT_OFF);
    checkpoint_encode(&meta->previous, page + META_PREVIOUS_OFF);
    vsi_hash128 sum = vsi_hash128_of(page, META_SUM_OFF, 0);
    vsi_put_u64(page + META_SUM_OFF, sum.lo);
    vsi_put_u64(page + META_SUM_OFF + 8, sum.hi);
}

static bool meta_sum_is_right(const uint8_t page[VSI_META_BYTES]) {
    vsi_hash128 sum = vsi_hash128_of(page, META_SUM_OFF, 0);
    return vsi_get_u64(page + META_SUM_OFF) == sum.lo &&
           vsi_get_u64(page + META_SUM_OFF + 8) == sum.hi;
}

static bool meta_has_magic(const uint8_t page[VSI_META_BYTES]) {
    return !memcmp(page, meta_magic, sizeof meta_magic);
}

static bool meta_is_valid(const uint8_t page[VSI_META_BYTES]) {
    return meta_has_magic(page) && meta_sum_is_right(page);
}

static bool meta_is_zero(const uint8_t page[VSI_META_BYTES]) {
    for (size_t i = 0; i < VSI_META_BYTES; i++)
        if (page[i])
            return false;
    return true;
}

/* Format and features of a page that has the magic. */
static vs_status meta_check_version(vsi_err *err, const vsi_file *file, const uint8_t *page) {
    uint32_t major = vsi_get_u16(page + META_MAJOR_OFF), minor = vsi_get_u16(page + META_MINOR_OFF);
    if (major == VSI_FORMAT_MAJOR && minor == VSI_FORMAT_MINOR)
        return VS_OK;
    bool is_newer = major > VSI_FORMAT_MAJOR || minor > VSI_FORMAT_MINOR;
    return vsi_fail(err, is_newer ? VS_ERR_TOO_NEW : VS_ERR_TOO_OLD,
                    "%s has format %u.%u, this version %s reads %d.%d", file->path, major, minor,
                    VS_VERSION, VSI_FORMAT_MAJOR, VSI_FORMAT_MINOR);
}

static vs_status meta_check_features(vsi_err *err, const vsi_file *file, uint64_t needed) {
    if (needed & ~meta_known_needed)
        return vsi_fail(err, VS_ERR_TOO_NEW, "%s needs features %#llx that version %s lacks",
                        file->path, (unsigned long long)(needed & ~meta_known_needed), VS_VERSION);
    if ((needed & VSI_META_NEEDS_ZSTD) && !vsi_codec_has_zstd())
        return vsi_fail(err, VS_ERR_UNSUPPORTED,
                        "%s has values compressed with zstd, which this build leaves out "
                        "(VS_OMIT_ZSTD)",
                        file->path);
    return VS_OK;
}

static vs_status meta_check_trailer(vsi_err *err, const vsi_file *file, const vsi_meta *meta) {
    bool has_trailers = meta->features_needed & VSI_META_NEEDS_TRAILERS;
    uint32_t expected = has_trailers ? VSI_TRAILER_BYTES : 0;
    if (meta->trailer_bytes == expected)
        return VS_OK;
    return vsi_fail(err, VS_ERR_CORRUPT, "%s: a meta page has trailers of %lu bytes, expected %lu",
                    file->path, (unsigned long)meta->trailer_bytes, (unsigned long)expected);
}

/* Number 0 is the empty database: nobody looks for what it reaches, which then counts as free. */
static bool checkpoint_is_sound(const vsi_checkpoint_info *info) {
    return info->number || info->catalog.kind == VSI_REF_NONE;
}

static vs_status meta_decode(vsi_err *err, const vsi_file *file, const uint8_t *page,
                             vsi_meta *out_meta) {
    vs_status st = meta_check_version(err, file, page);
    if (st != VS_OK)
        return st;
    memcpy(out_meta->uuid, page + META_UUID_OFF, VSI_UUID_BYTES);
    out_meta->seq = vsi_get_u64(page + META_SEQ_OFF);
    out_meta->generation = vsi_get_u64(page + META_GENERATION_OFF);
    out_meta->durable_lsn = vsi_get_u64(page + META_DURABLE_LSN_OFF);
    out_meta->created_us = (int64_t)vsi_get_u64(page + META_CREATED_OFF);
    out_meta->checkpoint = checkpoint_decode(page + META_CHECKPOINT_OFF);
    out_meta->previous = checkpoint_decode(page + META_PREVIOUS_OFF);
    out_meta->features_any = vsi_get_u64(page + META_FEATURES_ANY_OFF);
    out_meta->features_ro = vsi_get_u64(page + META_FEATURES_RO_OFF);
    out_meta->features_needed = vsi_get_u64(page + META_FEATURES_NEEDED_OFF);
    out_meta->trailer_bytes = vsi_get_u16(page + META_TRAILER_OFF);
    st = meta_check_features(err, file, out_meta->features_needed);
    if (st == VS_OK)
        st = meta_check_trailer(err, file, out_meta);
    if (st != VS_OK)
        return st;
    if (!checkpoint_is_sound(&out_meta->checkpoint) || !checkpoint_is_sound(&out_meta->previous))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: a meta page has a checkpoint without a number",
                        file->path);
    return VS_OK;
}

VSI_FN bool vsi_meta_may_write(const vsi_meta *meta) {
    return !(meta->features_ro & ~meta_known_ro);
}

/* Page B is written before page A, so no crash leaves A alone. */
static vs_status metas_refuse_short(vsi_err *err, const vsi_file *file) {
    return vsi_fail(err, VS_ERR_CORRUPT,
                    "%s is truncated: a database has %d bytes or more, with two meta pages",
                    file->path, VSI_META_B_OFF + VSI_META_BYTES);
}

/* Nothing of value is in the file: A is zero, B is no valid page, and only B's place has bytes that
 * are not zero. */
static vs_status metas_are_unfinished(vsi_err *err, const vsi_file *file, bool *out_unfinished) {
    uint8_t page[VSI_META_BYTES];
    size_t got = 0;
    *out_unfinished = false;
    for (uint64_t off = 0; off < VSI_META_B_OFF; off += VSI_META_BYTES) {
        memset(page, 0, sizeof page);
        vs_status st = vsi_file_read(err, file, page, sizeof page, off, &got);
        if (st != VS_OK || !meta_is_zero(page))
            return st;
    }
    vs_status st = vsi_file_read(err, file, page, 1, VSI_META_B_OFF + VSI_META_BYTES, &got);
    *out_unfinished = !got;
    return st;
}

/* Neither page is valid, and the file is no unfinished one: say what it is. */
static vs_status metas_refuse(vsi_err *err, const vsi_file *file, const uint8_t *a,
                              const uint8_t *b, bool is_whole) {
    if (!meta_has_magic(a) && !meta_has_magic(b))
        return vsi_fail(err, VS_ERR_NOT_DB, "%s is not a vecstore database", file->path);
    vs_status st = is_whole ? meta_check_version(err, file, meta_has_magic(a) ? a : b)
                            : metas_refuse_short(err, file);
    return st != VS_OK
               ? st
               : vsi_fail(err, VS_ERR_CORRUPT, "%s: both meta pages are damaged", file->path);
}

VSI_FN vs_status vsi_metas_read(vsi_err *err, const vsi_file *file, vsi_metas *out_metas,
                                bool *out_is_new) {
    uint8_t page[2][VSI_META_BYTES];
    size_t got = 0;
    memset(page, 0, sizeof page);
    memset(out_metas, 0, sizeof *out_metas);
    for (int slot = 0; slot < 2; slot++) {
        vs_status st =
            vsi_file_read(err, file, page[slot], VSI_META_BYTES, meta_slot_off(slot), &got);
        if (st != VS_OK)
            return st;
    }
    bool is_valid[2] = {meta_is_valid(page[0]), meta_is_valid(page[1])};
    *out_is_new = false;
    if (!is_valid[0] && !is_valid[1]) {
        vs_status st = metas_are_unfinished(err, file, out_is_new); /* E4 */
        bool is_whole = got == VSI_META_BYTES;
        return st != VS_OK || *out_is_new ? st
                                          : metas_refuse(err, file, page[0], page[1], is_whole);
    }
    if (got < VSI_META_BYTES)
        return metas_refuse_short(err, file);
    vsi_meta meta[2];
    memset(meta, 0, sizeof meta);
    for (int slot = 0; slot < 2; slot++) {
        vs_status st = is_valid[slot] ? meta_decode(err, file, page[slot], &meta[slot]) : VS_OK;
        if (st != VS_OK)
            return st;
    }
    int newest = !is_valid[0] || (is_valid[1] && meta[1].seq > meta[0].seq);
    out_metas->newest = meta[newest];
    out_metas->last_seq = meta[newest].seq;
    out_metas->is_damaged = !is_valid[0] || !is_valid[1];
    out_metas->is_pair = !out_metas->is_damaged && meta[0].generation == meta[1].generation &&
                         meta[0].checkpoint.number == meta[1].checkpoint.number;
    out_metas->next_slot = !newest;
    return VS_OK;
}

static vs_status metas_write_slot(vsi_err *err, const vsi_file *file, int slot,
                                  const vsi_meta *meta) {
    uint8_t page[VSI_META_BYTES];
    meta_encode(meta, page);
    vs_status st = vsi_file_write(err, file, page, sizeof page, meta_slot_off(slot));
    return st == VS_OK ? vsi_file_sync(err, file) : st;
}

/* Writes the slot whose turn it is; after a failure it stays the one whose turn it is. */
static vs_status metas_write_next(vsi_err *err, const vsi_file *file, vsi_metas *metas,
                                  const vsi_meta *content) {
    vsi_meta meta = *content;
    vs_status st = metas->is_settled ? VS_OK : vsi_file_sync(err, file);
    if (st != VS_OK)
        return st;
    metas->is_settled = true; /* keeps E2 */
    meta.seq = ++metas->last_seq;
    st = metas_write_slot(err, file, metas->next_slot, &meta);
    metas->is_pair = st == VS_OK && meta.generation == metas->newest.generation &&
                     meta.checkpoint.number == metas->newest.checkpoint.number;
    metas->is_damaged = st != VS_OK;
    if (st != VS_OK)
        return st;
    metas->newest = meta;
    metas->next_slot = !metas->next_slot;
    return VS_OK;
}

VSI_FN vs_status vsi_metas_write(vsi_err *err, const vsi_file *file, vsi_metas *metas,
                                 const vsi_meta *content) {
    vs_status st = metas_write_next(err, file, metas, content);
    return st == VS_OK ? metas_write_next(err, file, metas, content) : st; /* keeps E3 */
}

VSI_FN vs_status vsi_metas_repair(vsi_err *err, const vsi_file *file, vsi_metas *metas) {
    vsi_meta copy = metas->newest;
    return metas_write_next(err, file, metas, &copy);
}

VSI_FN vs_status vsi_metas_create(vsi_err *err, const vsi_file *file, int64_t now_us,
                                  uint32_t trailer_bytes, vsi_metas *out_metas) {
    vsi_meta meta = {.seq = 1,
                     .created_us = now_us,
                     .trailer_bytes = trailer_bytes,
                     .features_needed = trailer_bytes ? VSI_META_NEEDS_TRAILERS : 0,
                     .checkpoint = {.log_from = 1}};
    memset(out_metas, 0, sizeof *out_metas);
    vs_status st = vsi_os_random(err, file->vfs, meta.uuid, sizeof meta.uuid);
    if (st == VS_OK)
        st = metas_write_slot(err, file, 1, &meta); /* keeps E4 */
    if (st == VS_OK)
        st = vsi_os_sync_dir(err, file->vfs, file->path);
    meta.seq = 2;
    if (st == VS_OK)
        st = metas_write_slot(err, file, 0, &meta);
    if (st != VS_OK)
        return st;
    *out_metas = (vsi_metas){
        .newest = meta, .next_slot = 1, .last_seq = 2, .is_pair = true, .is_settled = true};
    return VS_OK;
}

/* ---- session note --------------------------------------------------------------------------- */

/* Its write is never waited for, so it must not take a page along when it is torn. */
VSI_FN void vsi_session_write(const vsi_file *file, uint64_t process_id) {
    uint8_t note[SESSION_BYTES] = {0};
    vsi_err ignored = {0};
    vs_device_info device = {0};
    memcpy(note, session_magic, sizeof session_magic);
    vsi_put_u64(note + 8, process_id);
    vs_status st = vsi_file_device_info(&ignored, file, &device);
    if (st == VS_OK && device.blast_bytes <= VSI_META_SESSION_OFF)
        st = vsi_file_write(&ignored, file, note, sizeof note, VSI_META_SESSION_OFF);
    (void)st; /* only a better message of the next opener depends on it */
}

VSI_FN uint64_t vsi_session_read(const vsi_file *file) {
    uint8_t note[SESSION_BYTES];
    vsi_err ignored = {0};
    size_t got = 0;
    vs_status st = vsi_file_read(&ignored, file, note, sizeof note, VSI_META_SESSION_OFF, &got);
    if (st != VS_OK || got < sizeof note || memcmp(note, session_magic, sizeof session_magic))
        return 0;
    return vsi_get_u64(note + 8);
}
/* ---- store/frame.h ---------------------------------------------------------------------------------- */
/* frame.h - the parts of a log file as bytes: its header and the headers of frames. */
#ifndef VSI_FRAME_H
#define VSI_FRAME_H

/* uses store/meta.h */

enum {
    VSI_LOG_HEADER_BYTES = 4096,
    VSI_FRAME_BYTES = 64, /* header of a frame, and the alignment of frames */
    VSI_FRAME_PAYLOAD_MAX = 64 << 20,
    VSI_LOG_STRAYS_MAX = 8 /* log files behind the newest that are looked at, and cleared away */
};

/* Kinds of frames. */
enum {
    VSI_FRAME_CONT = 1,   /* operations of a transaction that goes on */
    VSI_FRAME_COMMIT = 2, /* its last operations */
    VSI_FRAME_MARK = 3    /* no operations: how far the log was durable */
};

typedef struct vsi_log_header {
    uint8_t uuid[VSI_UUID_BYTES];
    uint64_t generation;
    uint64_t start_lsn;           /* number of the first frame in this file */
    uint64_t previous_generation; /* the file before; 0: none */
    uint64_t previous_chain;      /* chain behind frame start_lsn - 1 in it */
    uint64_t salt;                /* seeds this file's frame headers */
    uint32_t pad_bytes;           /* after a sync the next frame begins at a multiple of it */
    int64_t created_us;
} vsi_log_header;

/* Writes the header; returns the chain that the first frame continues. */
VSI_FN uint64_t vsi_log_header_encode(const vsi_log_header *header,
                                      uint8_t out[VSI_LOG_HEADER_BYTES]);
/* VS_ERR_CORRUPT unless it verifies and belongs to this database and generation. */
VSI_FN vs_status vsi_log_header_decode(vsi_err *err, const char *path,
                                       const uint8_t in[VSI_LOG_HEADER_BYTES],
                                       const uint8_t uuid[VSI_UUID_BYTES], uint64_t generation,
                                       vsi_log_header *out_header, uint64_t *out_chain);

typedef struct vsi_frame {
    uint32_t payload_bytes;
    int kind;
    uint64_t lsn;         /* consecutive over all files; a MARK repeats the one before it */
    uint64_t txn;         /* transaction number, the same in all its frames */
    uint64_t durable_lsn; /* frames up to here were synced when this one was written */
    int64_t time_us;
    uint64_t payload_hash;
    uint64_t chain; /* hash of this header and, through it, of all before */
} vsi_frame;

/* Computes chain and writes the header. */
/* Whether it is the header of a log file, of whatever database. */
VSI_FN bool vsi_log_header_is_valid(const uint8_t in[VSI_LOG_HEADER_BYTES]);

VSI_FN void vsi_frame_encode(vsi_frame *frame, uint64_t salt, uint64_t previous_chain,
                             uint8_t out[VSI_FRAME_BYTES]);
/* Whether these bytes are the header of a frame of the file with this salt. */
VSI_FN bool vsi_frame_decode(const uint8_t in[VSI_FRAME_BYTES], uint64_t salt,
                             vsi_frame *out_frame);
VSI_FN bool vsi_frame_continues(const uint8_t in[VSI_FRAME_BYTES], uint64_t previous_chain);

VSI_FN uint64_t vsi_frame_payload_hash(const uint8_t *payload, size_t bytes, uint64_t lsn);
/* Header and payload, rounded up to where the next frame may begin. */
VSI_FN uint64_t vsi_frame_stride(uint32_t payload_bytes);

/* PATH-wal-N into out. */
VSI_FN vs_status vsi_log_path(vsi_err *err, const char *path, uint64_t generation,
                              char out[VSI_PATH_BYTES_MAX]);

VSI_FN uint64_t vsi_round_up(uint64_t value, uint64_t unit); /* unit is a power of two */

#endif
/* ---- store/frame.c ---------------------------------------------------------------------------------- */
/* frame.c - headers of log files and frames; docs/FORMAT.md sections 3 and 4 are the reference.
 *
 *   R1  A frame header verifies only with the salt of its file, so frames of other files and of
 *       earlier uses of the same disk blocks never do.
 *   R2  chain = hash of the header seeded with the chain before. The header holds the payload's
 *       hash, so the last frame's chain vouches for everything since the file's header. */
/* uses store/frame.h */
/* uses base/bytes.h */
/* uses base/hash.h */

static const uint8_t log_magic[16] = {'v',  'e',  'c',  's',  't',  'o',  'r', 'e',
                                      0x89, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 'l', 'g'};

enum {
    LOG_MAJOR_OFF = 16,
    LOG_MINOR_OFF = 18,
    LOG_HEADER_BYTES_OFF = 20,
    LOG_UUID_OFF = 24,
    LOG_GENERATION_OFF = 40,
    LOG_START_LSN_OFF = 48,
    LOG_PREVIOUS_OFF = 56,
    LOG_PREVIOUS_CHAIN_OFF = 64,
    LOG_SALT_OFF = 72,
    LOG_CREATED_OFF = 80,
    LOG_PAD_OFF = 88,
    LOG_SUM_OFF = 4088
};

enum {
    FRAME_PAYLOAD_BYTES_OFF = 0,
    FRAME_KIND_OFF = 4,
    FRAME_LSN_OFF = 8,
    FRAME_TXN_OFF = 16,
    FRAME_DURABLE_OFF = 24,
    FRAME_TIME_OFF = 32,
    FRAME_PAYLOAD_HASH_OFF = 40,
    FRAME_CHAIN_OFF = 48,
    FRAME_SUM_OFF = 56
};

VSI_FN uint64_t vsi_log_header_encode(const vsi_log_header *header,
                                      uint8_t out[VSI_LOG_HEADER_BYTES]) {
    memset(out, 0, VSI_LOG_HEADER_BYTES);
    memcpy(out, log_magic, sizeof log_magic);
    vsi_put_u16(out + LOG_MAJOR_OFF, VSI_FORMAT_MAJOR);
    vsi_put_u16(out + LOG_MINOR_OFF, VSI_FORMAT_MINOR);
    vsi_put_u32(out + LOG_HEADER_BYTES_OFF, VSI_LOG_HEADER_BYTES);
    memcpy(out + LOG_UUID_OFF, header->uuid, VSI_UUID_BYTES);
    vsi_put_u64(out + LOG_GENERATION_OFF, header->generation);
    vsi_put_u64(out + LOG_START_LSN_OFF, header->start_lsn);
    vsi_put_u64(out + LOG_PREVIOUS_OFF, header->previous_generation);
    vsi_put_u64(out + LOG_PREVIOUS_CHAIN_OFF, header->previous_chain);
    vsi_put_u64(out + LOG_SALT_OFF, header->salt);
    vsi_put_u64(out + LOG_CREATED_OFF, (uint64_t)header->created_us);
    vsi_put_u32(out + LOG_PAD_OFF, header->pad_bytes);
    uint64_t sum = vsi_hash64(out, LOG_SUM_OFF, 0);
    vsi_put_u64(out + LOG_SUM_OFF, sum);
    return sum;
}

VSI_FN bool vsi_log_header_is_valid(const uint8_t in[VSI_LOG_HEADER_BYTES]) {
    return !memcmp(in, log_magic, sizeof log_magic) &&
           vsi_get_u64(in + LOG_SUM_OFF) == vsi_hash64(in, LOG_SUM_OFF, 0);
}

VSI_FN vs_status vsi_log_header_decode(vsi_err *err, const char *path,
                                       const uint8_t in[VSI_LOG_HEADER_BYTES],
                                       const uint8_t uuid[VSI_UUID_BYTES], uint64_t generation,
                                       vsi_log_header *out_header, uint64_t *out_chain) {
    uint64_t sum = vsi_hash64(in, LOG_SUM_OFF, 0);
    if (!vsi_log_header_is_valid(in))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the header of this log file is damaged", path);
    if (vsi_get_u16(in + LOG_MAJOR_OFF) != VSI_FORMAT_MAJOR ||
        vsi_get_u16(in + LOG_MINOR_OFF) != VSI_FORMAT_MINOR)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: format %u.%u, its database has %d.%d", path,
                        vsi_get_u16(in + LOG_MAJOR_OFF), vsi_get_u16(in + LOG_MINOR_OFF),
                        VSI_FORMAT_MAJOR, VSI_FORMAT_MINOR);
    if (memcmp(in + LOG_UUID_OFF, uuid, VSI_UUID_BYTES))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: belongs to another database", path);
    memcpy(out_header->uuid, uuid, VSI_UUID_BYTES);
    out_header->generation = vsi_get_u64(in + LOG_GENERATION_OFF);
    out_header->start_lsn = vsi_get_u64(in + LOG_START_LSN_OFF);
    out_header->previous_generation = vsi_get_u64(in + LOG_PREVIOUS_OFF);
    out_header->previous_chain = vsi_get_u64(in + LOG_PREVIOUS_CHAIN_OFF);
    out_header->salt = vsi_get_u64(in + LOG_SALT_OFF);
    out_header->created_us = (int64_t)vsi_get_u64(in + LOG_CREATED_OFF);
    out_header->pad_bytes = vsi_get_u32(in + LOG_PAD_OFF);
    if (out_header->generation != generation)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: is log %llu, expected %llu", path,
                        (unsigned long long)out_header->generation, (unsigned long long)generation);
    uint32_t pad = out_header->pad_bytes;
    if (out_header->start_lsn == 0 || out_header->previous_generation >= generation ||
        pad < VSI_FRAME_BYTES || pad > 65536 || (pad & (pad - 1)))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the header of this log file makes no sense",
                        path);
    *out_chain = sum;
    return VS_OK;
}

VSI_FN void vsi_frame_encode(vsi_frame *frame, uint64_t salt, uint64_t previous_chain,
                             uint8_t out[VSI_FRAME_BYTES]) {
    vsi_put_u32(out + FRAME_PAYLOAD_BYTES_OFF, frame->payload_bytes);
    vsi_put_u32(out + FRAME_KIND_OFF, (uint32_t)frame->kind);
    vsi_put_u64(out + FRAME_LSN_OFF, frame->lsn);
    vsi_put_u64(out + FRAME_TXN_OFF, frame->txn);
    vsi_put_u64(out + FRAME_DURABLE_OFF, frame->durable_lsn);
    vsi_put_u64(out + FRAME_TIME_OFF, (uint64_t)frame->time_us);
    vsi_put_u64(out + FRAME_PAYLOAD_HASH_OFF, frame->payload_hash);
    frame->chain = vsi_hash64(out, FRAME_CHAIN_OFF, previous_chain); /* keeps R2 */
    vsi_put_u64(out + FRAME_CHAIN_OFF, frame->chain);
    vsi_put_u64(out + FRAME_SUM_OFF, vsi_hash64(out, FRAME_SUM_OFF, salt)); /* keeps R1 */
}

VSI_FN bool vsi_frame_decode(const uint8_t in[VSI_FRAME_BYTES], uint64_t salt,
                             vsi_frame *out_frame) {
    if (vsi_get_u64(in + FRAME_SUM_OFF) != vsi_hash64(in, FRAME_SUM_OFF, salt))
        return false;
    uint32_t kind = vsi_get_u32(in + FRAME_KIND_OFF);
    *out_frame = (vsi_frame){.payload_bytes = vsi_get_u32(in + FRAME_PAYLOAD_BYTES_OFF),
                             .kind = (int)kind,
                             .lsn = vsi_get_u64(in + FRAME_LSN_OFF),
                             .txn = vsi_get_u64(in + FRAME_TXN_OFF),
                             .durable_lsn = vsi_get_u64(in + FRAME_DURABLE_OFF),
                             .time_us = (int64_t)vsi_get_u64(in + FRAME_TIME_OFF),
                             .payload_hash = vsi_get_u64(in + FRAME_PAYLOAD_HASH_OFF),
                             .chain = vsi_get_u64(in + FRAME_CHAIN_OFF)};
    return kind >= VSI_FRAME_CONT && kind <= VSI_FRAME_MARK &&
           out_frame->payload_bytes <= VSI_FRAME_PAYLOAD_MAX;
}

VSI_FN bool vsi_frame_continues(const uint8_t in[VSI_FRAME_BYTES], uint64_t previous_chain) {
    return vsi_get_u64(in + FRAME_CHAIN_OFF) == vsi_hash64(in, FRAME_CHAIN_OFF, previous_chain);
}

VSI_FN uint64_t vsi_frame_payload_hash(const uint8_t *payload, size_t bytes, uint64_t lsn) {
    return vsi_hash64(payload, bytes, lsn);
}

VSI_FN uint64_t vsi_round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) & ~(unit - 1);
}

VSI_FN uint64_t vsi_frame_stride(uint32_t payload_bytes) {
    return VSI_FRAME_BYTES + vsi_round_up(payload_bytes, VSI_FRAME_BYTES);
}

VSI_FN vs_status vsi_log_path(vsi_err *err, const char *path, uint64_t generation,
                              char out[VSI_PATH_BYTES_MAX]) {
    int n = snprintf(out, VSI_PATH_BYTES_MAX, "%s-wal-%llu", path, (unsigned long long)generation);
    if (n < 0 || n >= VSI_PATH_BYTES_MAX)
        return vsi_fail(err, VS_ERR_INVALID, "%s: the path is too long", path);
    return VS_OK;
}
/* ---- store/log.h ---------------------------------------------------------------------------------- */
/* log.h - the write-ahead log, its writing side: append, sync, and begin a new file.
 *
 * Not synchronised: the engine holds its log lock around every call; only the sync of the device
 * itself runs without it, between vsi_log_sync_begin and vsi_log_sync_end. */
#ifndef VSI_LOG_H
#define VSI_LOG_H

/* uses store/frame.h */

/* Frames kept for a failed sync; more forces a sync. Smaller in some tests. */
#ifndef VSI_UNSYNCED_MAX
#define VSI_UNSYNCED_MAX (64 << 20)
#endif

enum {
    VSI_LOG_BUF_FRONT = VSI_FRAME_BYTES /* room for the header in front of a buffer's operations */
};

/* A frame that is not known to be durable, kept to be written again elsewhere. */
typedef struct vsi_kept_frame {
    struct vsi_kept_frame *next;
    vsi_frame frame;
    vsi_buf buf; /* header, payload, zeros up to the stride */
} vsi_kept_frame;

/* A log file that is complete and durable, or being made, and that no meta page names yet. */
typedef struct vsi_log_draft {
    vsi_file file; /* not open: there is none */
    uint64_t generation, salt, chain, pos;
    uint32_t pad_bytes;
} vsi_log_draft;

typedef struct vsi_log {
    vsi_mem *mem;
    const vs_vfs *vfs;
    const char *path;     /* of the database file; borrowed */
    const vsi_file *data; /* the database file; borrowed */
    vsi_metas *metas;     /* borrowed */

    vsi_file file; /* the current log; not open before the session's first commit asks for room */
    uint64_t generation; /* of the last log file that counts, 0: none */
    vsi_log_draft draft; /* left by a take-over that could not write the meta page */
    uint64_t salt, chain;
    uint64_t pos;       /* where the next frame goes */
    uint64_t owned;     /* bytes that the device has given to the file; UINT64_MAX: nobody knows */
    bool is_tight;      /* the device has not given as much as was asked for */
    uint32_t pad_bytes; /* blast radius of the device */
    bool tail_is_dirty; /* a failed append may have left bytes behind pos */

    uint64_t next_lsn;
    uint64_t durable_lsn, durable_chain; /* the last frame known to be durable */
    vsi_kept_frame *kept, *kept_last;
    size_t kept_bytes;
    uint64_t older_bytes; /* in log files before the current one */
    uint64_t takeovers, syncs;
} vsi_log;

/* What a sync will have made durable. */
typedef struct vsi_log_ticket {
    uint64_t lsn;
} vsi_log_ticket;

VSI_FN void vsi_log_free(vsi_log *log); /* accepts one that is all zero */

/* Whether this session has a log file to append to. */
VSI_FN bool vsi_log_is_open(const vsi_log *log);

/* Begins a new log file that continues after durable_lsn and holds all kept frames, makes it
 * durable, and then the one that the meta pages name. It is the one way to start a session, to
 * survive a failed sync and to leave a damaged tail behind. On success all frames are durable. On
 * failure the log is as before, except that after a crash the new file may be found to count: a log
 * that was open then must not be appended to any more. */
VSI_FN vs_status vsi_log_take_over(vsi_err *err, vsi_log *log);
/* The meta pages were repaired: a take-over that failed only in the second one has succeeded after all. What
 * comes next must know, or it would count from the file before. */
VSI_FN void vsi_log_complete(vsi_log *log);

/* Appends one frame. ops has VSI_LOG_BUF_FRONT unused bytes in front and its memory passes to the
 * log on success; on failure it is as before and tail_is_dirty may be set: call vsi_log_cut_off. */
VSI_FN vs_status vsi_log_append(vsi_err *err, vsi_log *log, int kind, uint64_t txn, int64_t time_us,
                                vsi_buf *ops);

/* Reserves space of the device for a frame of so many bytes and for as many more as are kept in reserve.
 * VS_ERR_FULL; the log is as before then. */
VS_NODISCARD VSI_FN vs_status vsi_log_own(vsi_err *err, vsi_log *log, size_t bytes,
                                          uint64_t reserve);

/* Removes what a failed append left, durably; makes every frame durable. On failure the file must
 * not be appended to: take over. */
VSI_FN vs_status vsi_log_cut_off(vsi_err *err, vsi_log *log);

/* Nothing to do when it returns false. Frames appended after it are not covered. */
VSI_FN bool vsi_log_sync_begin(vsi_log *log, vsi_log_ticket *out_ticket);
/* After the sync of log->file succeeded. */
VSI_FN void vsi_log_sync_end(vsi_log *log, vsi_log_ticket ticket);

/* Adds a frame read back from the previous log file, as if this session had written it. */
VSI_FN vs_status vsi_log_keep(vsi_err *err, vsi_log *log, const vsi_frame *frame,
                              const uint8_t *payload);

/* Everything in the log is in a checkpoint: the next frame begins another file. Nothing may be kept. */
VSI_FN void vsi_log_end(vsi_log *log);

/* Removes drafts that crashes of earlier sessions left behind; more than one only after several crashes in
 * a row, each while a session began. Opening has looked at them. */
VSI_FN void vsi_log_remove_strays(const vsi_log *log);

VSI_FN uint64_t vsi_log_bytes(const vsi_log *log);

#endif
/* ---- store/log.c ---------------------------------------------------------------------------------- */
/* log.c - the write-ahead log, its writing side.
 *
 *   W1  A log file is only appended to, by the session that created it. What an earlier session
 *       left is never written to again.
 *   W2  After a sync the next frame begins in a block (pad_bytes) that holds nothing durable.
 *   W3  Every frame above durable_lsn is kept in memory until a sync covers it. So a failed
 *       sync, after which the system may have dropped the pages, loses nothing: the frames go to
 *       a new file.
 *   W4  A new file counts only once it and its folder are synced and then the meta pages naming
 *       it.
 *   W5  Bytes of a frame whose append failed are cut off durably, or the file is left behind: a
 *       failed commit never comes back. */
/* uses store/log.h */
/* uses base/bytes.h */

VSI_FN bool vsi_log_is_open(const vsi_log *log) {
    return vsi_file_is_open(&log->file);
}

static void log_free_kept(vsi_log *log, vsi_kept_frame *kept) {
    vsi_buf_free(&kept->buf);
    vsi_free(log->mem, kept, sizeof *kept);
}

VSI_FN void vsi_log_free(vsi_log *log) {
    while (log->kept) {
        vsi_kept_frame *next = log->kept->next;
        log_free_kept(log, log->kept);
        log->kept = next;
    }
    vsi_file_close(&log->file);
    vsi_file_close(&log->draft.file);
}

static void log_keep(vsi_log *log, vsi_kept_frame *kept) {
    if (log->kept_last)
        log->kept_last->next = kept;
    else
        log->kept = kept;
    log->kept_last = kept;
    log->kept_bytes += kept->buf.bytes;
}

/* Drops the kept frames up to lsn, which are durable now. */
static void log_release(vsi_log *log, uint64_t lsn) {
    while (log->kept && log->kept->frame.lsn <= lsn) {
        vsi_kept_frame *kept = log->kept;
        log->durable_lsn = kept->frame.lsn;
        log->durable_chain = kept->frame.chain;
        log->kept_bytes -= kept->buf.bytes;
        log->kept = kept->next;
        log_free_kept(log, kept);
    }
    if (!log->kept)
        log->kept_last = NULL;
}

VSI_FN uint64_t vsi_log_bytes(const vsi_log *log) {
    return log->older_bytes + log->pos;
}

VSI_FN void vsi_log_end(vsi_log *log) {
    vsi_assert(!log->kept);
    vsi_file_close(&log->file);
    vsi_assert(log->generation == log->metas->newest.generation);
    log->pos = 0;
    log->older_bytes = 0;
    log->tail_is_dirty = false;
}

/* ---- a new file ----------------------------------------------------------------------------- */

static vs_status draft_create(vsi_err *err, vsi_log *log, const char *path, vsi_log_draft *draft) {
    vs_status st = vsi_os_remove(err, log->vfs, path); /* left by a crash before it counted */
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    st = vsi_file_open(err, log->mem, log->vfs, path,
                       VS_VFS_WRITE | VS_VFS_CREATE | VS_VFS_EXCLUSIVE, &draft->file);
    if (st != VS_OK)
        return st;
    vs_device_info device = {0};
    st = vsi_file_device_info(err, &draft->file, &device);
    draft->pad_bytes = device.blast_bytes;
    uint8_t salt[8] = {0};
    if (st == VS_OK)
        st = vsi_os_random(err, log->vfs, salt, sizeof salt);
    draft->salt = vsi_get_u64(salt);
    return st;
}

static vs_status draft_write_header(vsi_err *err, const vsi_log *log, vsi_log_draft *draft) {
    uint8_t header[VSI_LOG_HEADER_BYTES];
    vsi_log_header fields = {.generation = draft->generation,
                             .start_lsn = log->durable_lsn + 1,
                             .previous_generation = log->generation,
                             .previous_chain = log->durable_chain,
                             .salt = draft->salt,
                             .pad_bytes = draft->pad_bytes,
                             .created_us = log->vfs->wall_us(log->vfs->ctx)};
    memcpy(fields.uuid, log->metas->newest.uuid, sizeof fields.uuid);
    draft->chain = vsi_log_header_encode(&fields, header);
    draft->pos = sizeof header;
    return vsi_file_write(err, &draft->file, header, sizeof header, 0);
}

/* Writes a kept frame again under the draft's salt and chain. Number, transaction and payload stay.
 * The frame keeps its old header until the draft counts. */
static vs_status draft_write_frame(vsi_err *err, vsi_log_draft *draft, const vsi_kept_frame *kept) {
    uint8_t header[VSI_FRAME_BYTES];
    vsi_frame frame = kept->frame;
    vsi_frame_encode(&frame, draft->salt, draft->chain, header);
    vs_status st = vsi_file_write(err, &draft->file, header, sizeof header, draft->pos);
    if (st == VS_OK && kept->buf.bytes > sizeof header)
        st = vsi_file_write(err, &draft->file, kept->buf.data + sizeof header,
                            kept->buf.bytes - sizeof header, draft->pos + sizeof header);
    draft->chain = frame.chain;
    draft->pos += kept->buf.bytes;
    return st;
}

/* Everything of the draft, durable, in log->draft; or nothing of it. */
static vs_status draft_make(vsi_err *err, vsi_log *log) {
    vsi_log_draft *draft = &log->draft;
    char path[VSI_PATH_BYTES_MAX];
    draft->generation = log->generation + 1;
    vs_status st = vsi_log_path(err, log->path, draft->generation, path);
    if (st == VS_OK)
        st = draft_create(err, log, path, draft);
    if (st == VS_OK)
        st = draft_write_header(err, log, draft);
    for (const vsi_kept_frame *kept = log->kept; st == VS_OK && kept; kept = kept->next)
        st = draft_write_frame(err, draft, kept);
    if (st == VS_OK)
        st = vsi_file_sync(err, &draft->file);
    if (st == VS_OK)
        st = vsi_os_sync_dir(err, log->vfs, path);
    if (st != VS_OK && vsi_file_is_open(&draft->file)) {
        vsi_err ignored = {0};
        vsi_file_close(&draft->file);
        vsi_os_remove(&ignored, log->vfs, path); /* else the next attempt does */
    }
    return st;
}

/* The draft is durable and named by the meta pages: it is the log now. */
static void draft_install(vsi_log *log) {
    vsi_log_draft draft = log->draft;
    memset(&log->draft, 0, sizeof log->draft);
    log->older_bytes += vsi_log_is_open(log) ? log->pos : 0;
    vsi_file_close(&log->file);
    log->file = draft.file;
    log->generation = draft.generation;
    log->salt = draft.salt;
    log->chain = draft.chain;
    log->pad_bytes = draft.pad_bytes;
    log->pos = vsi_round_up(draft.pos, draft.pad_bytes); /* keeps W2 */
    log->owned = 0;
    log->tail_is_dirty = false;
    log_release(log, UINT64_MAX);
    log->durable_lsn = log->next_lsn - 1;
    log->durable_chain = draft.chain;
    log->takeovers++;
}

VSI_FN void vsi_log_remove_strays(const vsi_log *log) {
    for (uint64_t i = 1; i <= VSI_LOG_STRAYS_MAX; i++) {
        char path[VSI_PATH_BYTES_MAX];
        vsi_err ignored = {0};
        if (vsi_log_path(&ignored, log->path, log->generation + i, path) == VS_OK)
            vsi_os_remove(&ignored, log->vfs, path);
    }
}

VSI_FN vs_status vsi_log_take_over(vsi_err *err, vsi_log *log) {
    /* A draft left by an earlier attempt still has all frames: none can have come meanwhile, for
     * only a log that is not open tries again. */
    vs_status st = vsi_file_is_open(&log->draft.file) ? VS_OK : draft_make(err, log);
    if (st != VS_OK)
        return st;
    vsi_meta meta = log->metas->newest;
    meta.generation = log->draft.generation;
    meta.durable_lsn = log->next_lsn - 1;
    st = vsi_metas_write(err, log->data, log->metas, &meta); /* keeps W4 */
    if (st != VS_OK)
        return st;
    draft_install(log);
    vsi_log_remove_strays(log);
    return VS_OK;
}

VSI_FN void vsi_log_complete(vsi_log *log) {
    bool is_named = vsi_file_is_open(&log->draft.file) && log->metas->is_pair &&
                    log->metas->newest.generation == log->draft.generation;
    if (!is_named)
        return;
    draft_install(log);
    vsi_log_remove_strays(log);
}

/* ---- appending ------------------------------------------------------------------------------ */

/* Encodes the header in front of the payload and pads the buffer to the stride. */
static bool log_seal(vsi_log *log, vsi_frame *frame, vsi_buf *buf) {
    size_t stride = (size_t)vsi_frame_stride(frame->payload_bytes);
    size_t pad = stride - buf->bytes;
    if (!vsi_buf_reserve(buf, pad))
        return false;
    memset(buf->data + buf->bytes, 0, pad);
    frame->payload_hash =
        vsi_frame_payload_hash(buf->data + VSI_LOG_BUF_FRONT, frame->payload_bytes, frame->lsn);
    vsi_frame_encode(frame, log->salt, log->chain, buf->data);
    return true;
}

VSI_FN vs_status vsi_log_own(vsi_err *err, vsi_log *log, size_t bytes, uint64_t reserve) {
    uint64_t end =
        vsi_round_up(log->pos, log->pad_bytes) + vsi_frame_stride((uint32_t)bytes) + reserve;
    if (end <= log->owned)
        return VS_OK;
    vs_status st =
        vsi_file_reserve(err, &log->file, end, reserve, &log->owned); /* not at each frame */
    log->is_tight = st == VS_ERR_FULL || log->owned == end;
    return st;
}

VSI_FN vs_status vsi_log_append(vsi_err *err, vsi_log *log, int kind, uint64_t txn, int64_t time_us,
                                vsi_buf *ops) {
    vsi_assert(vsi_log_is_open(log) && !log->tail_is_dirty);
    vsi_assert(ops->bytes >= VSI_LOG_BUF_FRONT);
    size_t payload_bytes = ops->bytes - VSI_LOG_BUF_FRONT;
    if (payload_bytes > VSI_FRAME_PAYLOAD_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "a log frame of %zu bytes, the limit is %d",
                        payload_bytes, VSI_FRAME_PAYLOAD_MAX);
    vsi_kept_frame *kept = vsi_alloc_zeroed(log->mem, sizeof *kept);
    if (!kept)
        return vsi_fail_nomem(err, sizeof *kept);
    kept->frame = (vsi_frame){.payload_bytes = (uint32_t)payload_bytes,
                              .kind = kind,
                              .lsn = log->next_lsn,
                              .txn = txn,
                              .durable_lsn = log->durable_lsn,
                              .time_us = time_us};
    if (!log_seal(log, &kept->frame, ops)) {
        vsi_free(log->mem, kept, sizeof *kept);
        return vsi_fail_nomem(err, VSI_FRAME_BYTES);
    }
    size_t stride = (size_t)vsi_frame_stride(kept->frame.payload_bytes);
    vs_status st = vsi_file_write(err, &log->file, ops->data, stride, log->pos);
    if (st != VS_OK) {
        log->tail_is_dirty = true;
        vsi_free(log->mem, kept, sizeof *kept);
        return st;
    }
    kept->buf = *ops;
    kept->buf.bytes = stride;
    *ops = (vsi_buf){.mem = ops->mem};
    log->pos += stride;
    log->chain = kept->frame.chain;
    log->next_lsn++;
    log_keep(log, kept);
    return VS_OK;
}

VSI_FN vs_status vsi_log_cut_off(vsi_err *err, vsi_log *log) {
    if (!log->tail_is_dirty)
        return VS_OK;
    uint64_t bytes = 0;
    vs_status st = vsi_file_size(err, &log->file, &bytes);
    if (st == VS_OK && bytes > log->pos) /* making it longer may fail where there is no space */
        st = vsi_file_truncate(err, &log->file, log->pos);
    if (st == VS_OK)
        st = vsi_file_sync(err, &log->file);
    if (st != VS_OK)
        return st;
    log->tail_is_dirty = false; /* keeps W5 */
    log->owned = 0;
    log_release(log, UINT64_MAX);
    log->pos = vsi_round_up(log->pos, log->pad_bytes);
    return VS_OK;
}

VSI_FN vs_status vsi_log_keep(vsi_err *err, vsi_log *log, const vsi_frame *frame,
                              const uint8_t *payload) {
    size_t stride = (size_t)vsi_frame_stride(frame->payload_bytes);
    vsi_kept_frame *kept = vsi_alloc_zeroed(log->mem, sizeof *kept);
    if (!kept)
        return vsi_fail_nomem(err, sizeof *kept);
    kept->frame = *frame;
    kept->buf.mem = log->mem;
    if (!vsi_buf_reserve(&kept->buf, stride)) {
        vsi_free(log->mem, kept, sizeof *kept);
        return vsi_fail_nomem(err, stride);
    }
    memset(kept->buf.data, 0, stride);
    if (frame->payload_bytes)
        memcpy(kept->buf.data + VSI_FRAME_BYTES, payload, frame->payload_bytes);
    kept->buf.bytes = stride;
    log_keep(log, kept);
    return VS_OK;
}

/* ---- syncing -------------------------------------------------------------------------------- */

VSI_FN bool vsi_log_sync_begin(vsi_log *log, vsi_log_ticket *out_ticket) {
    if (!log->kept)
        return false;
    out_ticket->lsn = log->next_lsn - 1;
    log->pos = vsi_round_up(log->pos, log->pad_bytes); /* keeps W2 */
    return true;
}

/* Tells later readers how far the log was durable. Not synced and not needed: a mark that is lost
 * only makes damage of the last frames look like a torn write. */
static void log_write_mark(vsi_log *log) {
    uint8_t header[VSI_FRAME_BYTES];
    vsi_err ignored = {0};
    vsi_frame mark = {.kind = VSI_FRAME_MARK,
                      .lsn = log->next_lsn - 1,
                      .durable_lsn = log->durable_lsn,
                      .time_us = log->vfs->wall_us(log->vfs->ctx)};
    vsi_frame_encode(&mark, log->salt, log->chain, header);
    if (log->tail_is_dirty ||
        vsi_file_write(&ignored, &log->file, header, sizeof header, log->pos) != VS_OK)
        return;
    log->pos += sizeof header;
    log->chain = mark.chain;
}

VSI_FN void vsi_log_sync_end(vsi_log *log, vsi_log_ticket ticket) {
    log_release(log, ticket.lsn);
    log->syncs++;
    log_write_mark(log);
}
/* ---- store/replay.h ---------------------------------------------------------------------------------- */
/* replay.h - the write-ahead log, its reading side: every verified frame in order, and where the
 * log ends. Changes nothing. */
#ifndef VSI_REPLAY_H
#define VSI_REPLAY_H

/* uses base/bytes.h */
/* uses store/frame.h */

/* One log file of the chain. */
typedef struct vsi_replay_file {
    vsi_log_header header;
    uint64_t first_chain;
} vsi_replay_file;

/* Where a frame that may not be durable stands in the last file. */
typedef struct vsi_replay_spot {
    uint64_t lsn, chain, off;
} vsi_replay_spot;

typedef struct vsi_replay {
    vsi_mem *mem;
    const vs_vfs *vfs;
    const char *path;                /* of the database file; borrowed */
    const vsi_meta *meta;            /* borrowed */
    const vsi_checkpoint_info *from; /* borrowed: frames behind it are read */

    vsi_buf files; /* vsi_replay_file, oldest first */
    size_t at;     /* the one being read */
    vsi_file file;
    uint64_t file_bytes;
    vsi_buf window; /* bytes of the file from window_off on */
    uint64_t window_off;

    uint64_t pos, chain, next_lsn;
    bool is_done;
    bool skips_payloads; /* set after opening: frames are verified by their headers alone */

    /* Known when is_done; durable_lsn grows while reading. */
    uint64_t durable_lsn, durable_chain;
    uint64_t dropped_lsn, dropped_bytes; /* a torn tail; 0: none */
    uint64_t total_bytes; /* of the files so far, what stands behind their frames left out */
    vsi_buf spots;        /* vsi_replay_spot of frames above durable_lsn, from spot_at on */
    size_t spot_at;
} vsi_replay;

/* Finds the log files of the database that meta describes, from those on that a checkpoint needs. VS_ERR_LOG_MISSING, VS_ERR_CORRUPT. The
 * replay is freed by vsi_replay_free, also after a failure. */
VSI_FN vs_status vsi_replay_open(vsi_err *err, vsi_mem *mem, const vs_vfs *vfs, const char *path,
                                 const vsi_meta *meta, const vsi_checkpoint_info *from,
                                 vsi_replay *out_replay);
VSI_FN void vsi_replay_free(vsi_replay *replay);

/* The next CONT or COMMIT frame, its payload verified; out_payload is valid until the next call.
 * Sets is_done, and writes nothing, at the end of the log. VS_ERR_CORRUPT for damage of frames that
 * were durable; a torn tail is the end. */
VSI_FN vs_status vsi_replay_next(vsi_err *err, vsi_replay *replay, vsi_frame *out_frame,
                                 vsi_bytes *out_payload);

/* After the end: reads frame number lsn, which must be above durable_lsn, once more. */
VSI_FN vs_status vsi_replay_reread(vsi_err *err, vsi_replay *replay, uint64_t lsn,
                                   vsi_frame *out_frame, vsi_bytes *out_payload);

#endif
/* ---- store/replay.c ---------------------------------------------------------------------------------- */
/* replay.c - the write-ahead log, its reading side; docs/FORMAT.md section 6 is the reference.
 *
 *   Y1  A frame counts only if its header verifies with the file's salt, has the expected
 *       number, continues the chain, and its payload has the hash that the header says.
 *   Y2  The log files from the first to the one the meta page names form a chain: each names the
 *       one before and the chain value it ended with. In all but the last, frames up to the next
 *       file's start are required; what follows them was abandoned.
 *   Y3  In the last file the first frame that does not count is the end, unless it is known to
 *       have been durable: by the meta page, or by a later header of this file that says so. */
/* uses store/replay.h */
/* uses base/bytes.h */
/* uses base/hash.h */

enum { REPLAY_WINDOW_BYTES = 1 << 20 };

static vsi_replay_file *replay_file_at(const vsi_replay *r, size_t at) {
    return (vsi_replay_file *)(void *)r->files.data + at;
}

static size_t replay_file_count(const vsi_replay *r) {
    return r->files.bytes / sizeof(vsi_replay_file);
}

VSI_FN void vsi_replay_free(vsi_replay *r) {
    if (!r->mem)
        return;
    vsi_file_close(&r->file);
    vsi_buf_free(&r->files);
    vsi_buf_free(&r->window);
    vsi_buf_free(&r->spots);
}

/* Bytes [off, off + bytes) of the file; NULL in out when it is shorter. */
static vs_status replay_fetch(vsi_err *err, vsi_replay *r, uint64_t off, size_t bytes,
                              const uint8_t **out) {
    *out = NULL;
    if (off > r->file_bytes || bytes > r->file_bytes - off)
        return VS_OK;
    bool is_inside = off >= r->window_off && off - r->window_off <= r->window.bytes &&
                     bytes <= r->window.bytes - (off - r->window_off);
    if (!is_inside) {
        size_t want = bytes > REPLAY_WINDOW_BYTES ? bytes : REPLAY_WINDOW_BYTES, got = 0;
        r->window.bytes = 0;
        r->window_off = off;
        if (!vsi_buf_reserve(&r->window, want))
            return vsi_fail_nomem(err, want);
        vs_status st = vsi_file_read(err, &r->file, r->window.data, want, off, &got);
        if (st != VS_OK)
            return st;
        r->window.bytes = got;
        if (got < bytes) /* shrank meanwhile */
            return VS_OK;
    }
    *out = r->window.data + (off - r->window_off);
    return VS_OK;
}

/* ---- the chain of files --------------------------------------------------------------------- */

static vs_status replay_open_file(vsi_err *err, vsi_replay *r, uint64_t generation,
                                  vsi_replay_file *out_file) {
    char path[VSI_PATH_BYTES_MAX];
    uint8_t header[VSI_LOG_HEADER_BYTES];
    size_t got = 0;
    vsi_file_close(&r->file);
    r->window.bytes = 0;
    vs_status st = vsi_log_path(err, r->path, generation, path);
    if (st == VS_OK)
        st = vsi_file_open(err, r->mem, r->vfs, path, VS_VFS_READ, &r->file);
    if (st == VS_ERR_NOT_FOUND)
        return vsi_fail(err, VS_ERR_LOG_MISSING, "%s is missing; %s needs it", path, r->path);
    if (st == VS_OK)
        st = vsi_file_read(err, &r->file, header, sizeof header, 0, &got);
    if (st != VS_OK)
        return st;
    if (got < sizeof header)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: %zu bytes long, its header has %zu", path, got,
                        sizeof header);
    st = vsi_log_header_decode(err, path, header, r->meta->uuid, generation, &out_file->header,
                               &out_file->first_chain);
    return st == VS_OK ? vsi_file_size(err, &r->file, &r->file_bytes) : st;
}

/* Collects the headers backwards from the newest file, then turns them round. */
static vs_status replay_collect_files(vsi_err *err, vsi_replay *r) {
    uint64_t below = 0;
    for (uint64_t g = r->meta->generation; g && g >= r->from->log_from;) {
        vsi_replay_file file;
        vs_status st = replay_open_file(err, r, g, &file);
        if (st != VS_OK)
            return st;
        if (below && file.header.start_lsn > below)
            return vsi_fail(err, VS_ERR_CORRUPT, "%s begins at frame %llu, after its successor",
                            r->file.path, (unsigned long long)file.header.start_lsn);
        below = file.header.start_lsn;
        g = file.header.previous_generation; /* smaller than before, so this ends */
        if (!vsi_buf_append(&r->files, &file, sizeof file))
            return vsi_fail_nomem(err, sizeof file);
    }
    size_t n = replay_file_count(r);
    for (size_t i = 0; i < n / 2; i++) {
        vsi_replay_file *a = replay_file_at(r, i), *b = replay_file_at(r, n - 1 - i), c = *a;
        *a = *b;
        *b = c;
    }
    const vsi_log_header *first = n ? &replay_file_at(r, 0)->header : NULL;
    if (first && (first->start_lsn != r->from->lsn + 1 || first->previous_chain != r->from->chain))
        return vsi_fail(err, VS_ERR_CORRUPT,
                        "%s-wal-%llu begins at frame %llu, expected is what follows frame %llu",
                        r->path, (unsigned long long)first->generation,
                        (unsigned long long)first->start_lsn, (unsigned long long)r->from->lsn);
    return VS_OK;
}

/* Whether the open file has frames that say that it once counted: a MARK, or one written after a sync
 * of this file. A take-over that never ended leaves only copies of older frames. */
static vs_status replay_search_life(vsi_err *err, vsi_replay *r, const vsi_log_header *header,
                                    bool *out_is_alive) {
    *out_is_alive = false;
    for (uint64_t off = VSI_LOG_HEADER_BYTES; off + VSI_FRAME_BYTES <= r->file_bytes;
         off += VSI_FRAME_BYTES) {
        const uint8_t *bytes = NULL;
        vsi_frame frame;
        vs_status st = replay_fetch(err, r, off, VSI_FRAME_BYTES, &bytes);
        if (st != VS_OK || !bytes)
            return st;
        if (vsi_frame_decode(bytes, header->salt, &frame) &&
            (frame.kind == VSI_FRAME_MARK || frame.durable_lsn >= header->start_lsn))
            *out_is_alive = true;
    }
    return VS_OK;
}

/* A file behind the newest one that the meta pages name may be what an interrupted take-over left;
 * it has no header yet, or nothing but copies. Anything else belongs to a newer state of the
 * database, or to another one: the data file is not the one that was here. */
static vs_status replay_check_successor(vsi_err *err, vsi_replay *r, uint64_t generation) {
    char path[VSI_PATH_BYTES_MAX];
    uint8_t header[VSI_LOG_HEADER_BYTES];
    size_t got = 0;
    bool is_alive = false;
    vsi_replay_file file;
    vs_status st = vsi_log_path(err, r->path, generation, path);
    vsi_file_close(&r->file);
    r->window.bytes = 0;
    if (st == VS_OK)
        st = vsi_file_open(err, r->mem, r->vfs, path, VS_VFS_READ, &r->file);
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    if (st == VS_OK)
        st = vsi_file_read(err, &r->file, header, sizeof header, 0, &got);
    if (st != VS_OK || got < sizeof header || !vsi_log_header_is_valid(header))
        return st;
    st = vsi_log_header_decode(err, path, header, r->meta->uuid, generation, &file.header,
                               &file.first_chain);
    if (st == VS_OK)
        st = vsi_file_size(err, &r->file, &r->file_bytes);
    if (st == VS_OK)
        st = replay_search_life(err, r, &file.header, &is_alive);
    if (st == VS_OK && is_alive)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s: has commits that %s does not know: is it older?",
                      path, r->path);
    return st;
}

/* Stands at the first frame of file number at. */
static vs_status replay_enter(vsi_err *err, vsi_replay *r, size_t at) {
    vsi_replay_file *file = replay_file_at(r, at);
    r->at = at;
    r->pos = VSI_LOG_HEADER_BYTES;
    r->chain = file->first_chain;
    r->next_lsn = file->header.start_lsn;
    vsi_replay_file again;
    return replay_open_file(err, r, file->header.generation, &again);
}

/* Logs begin where a checkpoint ends; when it needs none, nothing was durable behind it. Without this a
 * wrong page would hide commits that come later. */
static vs_status replay_check_metas(vsi_err *err, const vsi_replay *r) {
    bool needs_none = r->from->log_from > r->meta->generation;
    if (r->from->log_from <= r->meta->generation + 1 &&
        !(needs_none && r->meta->durable_lsn > r->from->lsn))
        return VS_OK;
    return vsi_fail(
        err, VS_ERR_CORRUPT,
        "%s: the checkpoint ends at frame %llu and log %llu, the meta page says %llu and "
        "%llu",
        r->path, (unsigned long long)r->from->lsn, (unsigned long long)r->from->log_from,
        (unsigned long long)r->meta->durable_lsn, (unsigned long long)r->meta->generation);
}

VSI_FN vs_status vsi_replay_open(vsi_err *err, vsi_mem *mem, const vs_vfs *vfs, const char *path,
                                 const vsi_meta *meta, const vsi_checkpoint_info *from,
                                 vsi_replay *out_replay) {
    vsi_replay *r = out_replay;
    *r = (vsi_replay){.mem = mem,
                      .vfs = vfs,
                      .path = path,
                      .meta = meta,
                      .from = from,
                      .next_lsn = from->lsn + 1,
                      .durable_lsn = from->lsn,
                      .durable_chain = from->chain};
    r->files.mem = r->window.mem = r->spots.mem = mem;
    vs_status st = replay_check_metas(err, r);
    if (st == VS_OK)
        st = replay_collect_files(err, r);
    for (uint64_t i = 1; st == VS_OK && i <= VSI_LOG_STRAYS_MAX; i++)
        st = replay_check_successor(err, r, r->meta->generation + i);
    if (st != VS_OK)
        return st;
    if (replay_file_count(r) == 0) {
        r->is_done = true;
        return VS_OK;
    }
    r->durable_chain = replay_file_at(r, 0)->first_chain;
    return replay_enter(err, r, 0);
}

/* ---- reading one file ----------------------------------------------------------------------- */

/* Whether the frame at off is the next one (Y1, all but the payload). */
static vs_status replay_probe(vsi_err *err, vsi_replay *r, uint64_t off, vsi_frame *out_frame,
                              bool *out_is_next) {
    const uint8_t *bytes = NULL;
    vs_status st = replay_fetch(err, r, off, VSI_FRAME_BYTES, &bytes);
    *out_is_next = false;
    if (st != VS_OK || !bytes ||
        !vsi_frame_decode(bytes, replay_file_at(r, r->at)->header.salt, out_frame) ||
        !vsi_frame_continues(bytes, r->chain))
        return st;
    bool is_mark = out_frame->kind == VSI_FRAME_MARK;
    *out_is_next = out_frame->lsn + is_mark == r->next_lsn &&
                   out_frame->durable_lsn < r->next_lsn &&
                   (!is_mark || out_frame->payload_bytes == 0);
    return st;
}

/* The next frame stands where the last one ended or, after a sync, at the next padded block. */
static vs_status replay_find(vsi_err *err, vsi_replay *r, vsi_frame *out_frame, bool *out_found) {
    uint64_t padded = vsi_round_up(r->pos, replay_file_at(r, r->at)->header.pad_bytes);
    vs_status st = replay_probe(err, r, r->pos, out_frame, out_found);
    if (st != VS_OK || *out_found || padded == r->pos)
        return st;
    st = replay_probe(err, r, padded, out_frame, out_found);
    if (*out_found)
        r->pos = padded;
    return st;
}

static vs_status replay_payload(vsi_err *err, vsi_replay *r, const vsi_frame *frame, uint64_t off,
                                const uint8_t **out) {
    off += VSI_FRAME_BYTES;
    if (r->skips_payloads) {
        bool is_inside = off <= r->file_bytes && frame->payload_bytes <= r->file_bytes - off;
        *out = is_inside ? r->window.data : NULL;
        return VS_OK;
    }
    vs_status st = replay_fetch(err, r, off, frame->payload_bytes, out);
    if (st != VS_OK || !*out)
        return st;
    if (vsi_frame_payload_hash(*out, frame->payload_bytes, frame->lsn) != frame->payload_hash)
        *out = NULL;
    return VS_OK;
}

/* ---- how far the log was durable ------------------------------------------------------------ */

static vs_status replay_note_spot(vsi_err *err, vsi_replay *r, const vsi_frame *frame) {
    vsi_replay_spot spot = {.lsn = frame->lsn, .chain = frame->chain, .off = r->pos};
    if (r->spot_at > 1024 && r->spot_at * 2 > r->spots.bytes / sizeof spot) {
        size_t used = r->spot_at * sizeof spot;
        memmove(r->spots.data, r->spots.data + used, r->spots.bytes - used);
        r->spots.bytes -= used;
        r->spot_at = 0;
    }
    return vsi_buf_append(&r->spots, &spot, sizeof spot) ? VS_OK : vsi_fail_nomem(err, sizeof spot);
}

static vsi_replay_spot *replay_first_spot(const vsi_replay *r) {
    vsi_replay_spot *spots = (vsi_replay_spot *)(void *)r->spots.data;
    return r->spot_at < r->spots.bytes / sizeof *spots ? spots + r->spot_at : NULL;
}

/* Frames up to lsn, all of them seen, were durable. */
static void replay_advance_durable(vsi_replay *r, uint64_t lsn) {
    for (vsi_replay_spot *spot = replay_first_spot(r); spot && spot->lsn <= lsn;
         spot = replay_first_spot(r)) {
        r->durable_lsn = spot->lsn;
        r->durable_chain = spot->chain;
        r->spot_at++;
    }
}

/* Whether a header at or behind pos says that frame next_lsn was durable (Y3). Also finds where the
 * last byte that is not zero lies. */
static vs_status replay_search_evidence(vsi_err *err, vsi_replay *r, bool *out_was_durable) {
    uint64_t salt = replay_file_at(r, r->at)->header.salt, end = r->pos;
    static const uint8_t zero[VSI_FRAME_BYTES];
    *out_was_durable = r->meta->durable_lsn >= r->next_lsn;
    for (uint64_t off = r->pos; off < r->file_bytes; off += VSI_FRAME_BYTES) {
        size_t left =
            (size_t)(r->file_bytes - off < VSI_FRAME_BYTES ? r->file_bytes - off : VSI_FRAME_BYTES);
        const uint8_t *bytes = NULL;
        vs_status st = replay_fetch(err, r, off, left, &bytes);
        if (st != VS_OK || !bytes)
            return st;
        if (!memcmp(bytes, zero, left))
            continue;
        end = off + left;
        vsi_frame frame;
        if (left == VSI_FRAME_BYTES && vsi_frame_decode(bytes, salt, &frame) &&
            frame.durable_lsn <= frame.lsn && frame.durable_lsn >= r->next_lsn)
            *out_was_durable = true;
    }
    r->dropped_bytes = end - r->pos;
    r->dropped_lsn = r->dropped_bytes ? r->next_lsn : 0;
    return VS_OK;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static bool replay_is_last_file(const vsi_replay *r) {
    return r->at + 1 == replay_file_count(r);
}

static vs_status replay_fail_damaged(vsi_err *err, const vsi_replay *r) {
    return vsi_fail(err, VS_ERR_CORRUPT,
                    "%s: frame %llu at byte %llu is damaged or missing, and it was durable",
                    r->file.path, (unsigned long long)r->next_lsn, (unsigned long long)r->pos);
}

/* No further frame counts. In the last file that is the end or damage, elsewhere damage (Y2). */
static vs_status replay_stop(vsi_err *err, vsi_replay *r) {
    bool was_durable = true;
    vs_status st = VS_OK;
    if (replay_is_last_file(r))
        st = replay_search_evidence(err, r, &was_durable);
    if (st != VS_OK)
        return st;
    if (was_durable)
        return replay_fail_damaged(err, r);
    replay_advance_durable(r, r->meta->durable_lsn);
    r->total_bytes += r->pos;
    r->is_done = true;
    return VS_OK;
}

/* The frames that the next file builds on have been read: check the seam and go there. */
static vs_status replay_switch(vsi_err *err, vsi_replay *r) {
    const vsi_replay_file *next = replay_file_at(r, r->at + 1);
    replay_advance_durable(r, UINT64_MAX);
    r->total_bytes += r->pos;
    if (next->header.previous_chain != r->durable_chain)
        return vsi_fail(err, VS_ERR_CORRUPT,
                        "%s-wal-%llu does not continue log %llu: chain %016llx, expected %016llx",
                        r->path, (unsigned long long)next->header.generation,
                        (unsigned long long)next->header.previous_generation,
                        (unsigned long long)next->header.previous_chain,
                        (unsigned long long)r->durable_chain);
    vs_status st = replay_enter(err, r, r->at + 1);
    r->durable_chain = r->chain;
    return st;
}

VSI_FN vs_status vsi_replay_next(vsi_err *err, vsi_replay *r, vsi_frame *out_frame,
                                 vsi_bytes *out_payload) {
    while (!r->is_done) {
        if (!replay_is_last_file(r) &&
            r->next_lsn == replay_file_at(r, r->at + 1)->header.start_lsn) {
            vs_status st = replay_switch(err, r);
            if (st != VS_OK)
                return st;
            continue;
        }
        vsi_frame frame;
        bool found = false;
        const uint8_t *payload = NULL;
        vs_status st = replay_find(err, r, &frame, &found);
        if (st == VS_OK && found && frame.kind != VSI_FRAME_MARK)
            st = replay_payload(err, r, &frame, r->pos, &payload);
        if (st != VS_OK)
            return st;
        if (!found || (frame.kind != VSI_FRAME_MARK && !payload))
            return replay_stop(err, r);
        r->chain = frame.chain;
        if (frame.kind != VSI_FRAME_MARK) {
            st = replay_note_spot(err, r, &frame);
            if (st != VS_OK)
                return st;
        }
        replay_advance_durable(r, frame.durable_lsn);
        r->pos += vsi_frame_stride(frame.payload_bytes);
        if (frame.kind == VSI_FRAME_MARK)
            continue;
        r->next_lsn++;
        *out_frame = frame;
        *out_payload = (vsi_bytes){payload, frame.payload_bytes};
        return VS_OK;
    }
    return VS_OK;
}

VSI_FN vs_status vsi_replay_reread(vsi_err *err, vsi_replay *r, uint64_t lsn, vsi_frame *out_frame,
                                   vsi_bytes *out_payload) {
    const vsi_replay_spot *spot = replay_first_spot(r) + (lsn - r->durable_lsn - 1);
    const uint8_t *bytes = NULL, *payload = NULL;
    vsi_assert(spot->lsn == lsn);
    vs_status st = replay_fetch(err, r, spot->off, VSI_FRAME_BYTES, &bytes);
    if (st != VS_OK)
        return st;
    bool is_same = bytes &&
                   vsi_frame_decode(bytes, replay_file_at(r, r->at)->header.salt, out_frame) &&
                   out_frame->chain == spot->chain;
    if (is_same)
        st = replay_payload(err, r, out_frame, spot->off, &payload);
    if (st != VS_OK)
        return st;
    if (!payload)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: frame %llu changed while it was read",
                        r->file.path, (unsigned long long)lsn);
    *out_payload = (vsi_bytes){payload, out_frame->payload_bytes};
    return VS_OK;
}
/* ---- store/version.h ---------------------------------------------------------------------------------- */
/* version.h - the versions of a database that someone may still read, and the slots they gave up.
 */
#ifndef VSI_VERSION_H
#define VSI_VERSION_H

/* uses store/apply.h */

/* One committed version. Immutable but for pins and the list. */
typedef struct vsi_version {
    vsi_retired retired;
    struct vsi_version *newer;
    vsi_state state;
    uint64_t lsn;        /* of the commit that made it */
    uint64_t seq;        /* versions are numbered upwards from 0 */
    uint64_t scope;      /* blocks made in later scopes are not part of it */
    uint64_t checkpoint; /* the last one before it */
    vsi_atomic_u64 pins;
    bool needs_sync; /* readers may see it only once its commit is durable */
    /* blocks that only older versions need: all those in the list, or the next older */
    vsi_block *dead;
    vsi_buf freed; /* vsi_freed_slot: slots that only older versions have live */
} vsi_version;

/* oldest ... published ... applied, linked by newer. Readers take published, the writer builds on
 * applied. */
typedef struct vsi_versions {
    vsi_mem *mem;     /* borrowed */
    vsi_cow *cow;     /* borrowed; used by the holder of the writer role only */
    vsi_descs *descs; /* borrowed; their pools are of the holder of the writer role */
    vsi_mutex lock;   /* guards the list; held for a few instructions */
    vsi_version *oldest, *applied;
    vsi_atomic_ptr published; /* vsi_version: changed under the lock, read by anybody */
    uint64_t last_seq;
} vsi_versions;

VSI_FN bool vsi_versions_init(vsi_versions *versions, vsi_mem *mem, vsi_cow *cow, vsi_descs *descs);
VSI_FN void vsi_versions_free(vsi_versions *versions); /* all versions, pinned or not */

/* The version that readers see now; it stays until it is unpinned. Takes no lock, as the next two. */
VSI_FN vsi_version *vsi_versions_pin(vsi_versions *versions);
/* Another pin of a version that the caller has pinned. */
VSI_FN vsi_version *vsi_versions_pin_again(vsi_versions *versions, vsi_version *version);
VSI_FN void vsi_versions_unpin(vsi_versions *versions, vsi_version *version);
/* How many pins there are, and the oldest version that has one (its lsn; 0: none). */
VSI_FN uint64_t vsi_versions_pin_count(vsi_versions *versions, uint64_t *out_oldest_lsn);

/* A version not in the list yet; NULL: no memory. */
VSI_FN vsi_version *vsi_version_new(vsi_versions *versions, const vsi_state *state);
VSI_FN void vsi_version_discard(vsi_versions *versions, vsi_version *version); /* not in the list */

/* Makes a new version the one to build on; the list owns it. Holder of the writer role only. */
VSI_FN void vsi_versions_add(vsi_versions *versions, vsi_version *version, uint64_t checkpoint);
/* Those that can be read, or may be later, as vsi_space_reader, appended. */
VSI_FN bool vsi_versions_list(vsi_versions *versions, vsi_buf *out);

/* Shows readers, in order, the versions that may be seen when frames up to durable_lsn are durable;
 * only_durable: also of those that would not wait for a sync only the durable ones. */
VSI_FN void vsi_versions_publish(vsi_versions *versions, uint64_t durable_lsn, bool only_durable);
VSI_FN bool vsi_versions_is_published(vsi_versions *versions, uint64_t lsn);
/* Copies a little of the published version for statistics. */
VSI_FN void vsi_versions_peek(vsi_versions *versions, uint64_t *out_lsn, vsi_hash128 *out_digest);

/* Frees what versions that nobody reads kept alive, slots into the pools of their collections. Holder of
 * the writer role only. */
VSI_FN void vsi_versions_reclaim(vsi_versions *versions);

#endif
/* ---- store/version.c ---------------------------------------------------------------------------------- */
/* version.c - versions and the slots they gave up.
 *
 *   V1  What version v replaced is needed by the versions before it in the list, from the one that made
 *       it on. When a version leaves, what came after it and died with the next is needed by nobody.
 *   V2  published moves only forward, one version at a time.
 *   V3  A version leaves the list when it is older than published and has no pin. Who pins looks again
 *       afterwards whether the version is still published; only then the pin counts. */
/* uses store/version.h */

VSI_FN bool vsi_versions_init(vsi_versions *versions, vsi_mem *mem, vsi_cow *cow,
                              vsi_descs *descs) {
    memset(versions, 0, sizeof *versions);
    if (!vsi_mutex_init(&versions->lock))
        return false;
    versions->mem = mem;
    versions->cow = cow;
    versions->descs = descs;
    vsi_state empty = vsi_state_empty(cow, descs);
    vsi_version *first = vsi_version_new(versions, &empty);
    versions->oldest = versions->applied = first;
    vsi_ordered_ptr_store(&versions->published, first);
    if (!first) {
        vsi_mutex_destroy(&versions->lock);
        memset(versions, 0, sizeof *versions);
    }
    return first;
}

VSI_FN void vsi_versions_free(vsi_versions *versions) {
    if (!versions->mem)
        return;
    while (versions->oldest) {
        vsi_version *next = versions->oldest->newer;
        vsi_version_discard(versions, versions->oldest);
        versions->oldest = next;
    }
    vsi_mutex_destroy(&versions->lock);
}

/* ---- pins ----------------------------------------------------------------------------------- */

/* NULL: everything is in memory, and there is one thread. */
static vsi_reside *versions_reside(const vsi_versions *versions) {
    return versions->cow->pager ? &versions->cow->pager->reside : NULL;
}

static vsi_version *versions_published(vsi_versions *versions) {
    return vsi_ordered_ptr_load(&versions->published);
}

VSI_FN vsi_version *vsi_versions_pin(vsi_versions *versions) {
    vsi_reside *reside = versions_reside(versions);
    vsi_stay stay = {0};
    if (reside)
        stay = vsi_stay_enter(reside); /* a version may leave the list between load and add */
    vsi_version *version = versions_published(versions);
    vsi_ordered_add(&version->pins, 1);
    while (versions_published(versions) != version) { /* V3 */
        vsi_ordered_add(&version->pins, UINT64_MAX);
        version = versions_published(versions);
        vsi_ordered_add(&version->pins, 1);
    }
    if (reside)
        vsi_stay_leave(reside, stay);
    return version;
}

VSI_FN vsi_version *vsi_versions_pin_again(vsi_versions *versions, vsi_version *version) {
    (void)versions;
    vsi_assert(vsi_ordered_load(&version->pins) > 0);
    vsi_ordered_add(&version->pins, 1);
    return version;
}

VSI_FN void vsi_versions_unpin(vsi_versions *versions, vsi_version *version) {
    (void)versions;
    vsi_assert(vsi_ordered_load(&version->pins) > 0);
    vsi_ordered_add(&version->pins, UINT64_MAX);
}

VSI_FN uint64_t vsi_versions_pin_count(vsi_versions *versions, uint64_t *out_oldest_lsn) {
    uint64_t pins = 0;
    *out_oldest_lsn = 0;
    vsi_mutex_lock(&versions->lock);
    for (vsi_version *version = versions->oldest; version; version = version->newer) {
        uint64_t own = vsi_ordered_load(&version->pins);
        if (!pins && own)
            *out_oldest_lsn = version->lsn;
        pins += own;
    }
    vsi_mutex_unlock(&versions->lock);
    return pins;
}

/* ---- the list ------------------------------------------------------------------------------- */

VSI_FN vsi_version *vsi_version_new(vsi_versions *versions, const vsi_state *state) {
    vsi_version *version = vsi_alloc_zeroed(versions->mem, sizeof *version);
    if (!version)
        return NULL;
    version->state = *state;
    version->freed.mem = versions->mem;
    return version;
}

VSI_FN void vsi_version_discard(vsi_versions *versions, vsi_version *version) {
    vsi_buf_free(&version->freed);
    vsi_free(versions->mem, version, sizeof *version);
}

VSI_FN void vsi_versions_add(vsi_versions *versions, vsi_version *version, uint64_t checkpoint) {
    vsi_mutex_lock(&versions->lock);
    version->scope = versions->cow->last_scope;
    version->checkpoint = checkpoint;
    version->seq = ++versions->last_seq;
    versions->applied->newer = version;
    versions->applied = version;
    vsi_mutex_unlock(&versions->lock);
}

VSI_FN void vsi_versions_publish(vsi_versions *versions, uint64_t durable_lsn, bool only_durable) {
    vsi_mutex_lock(&versions->lock);
    vsi_version *next = versions_published(versions)->newer;
    while (next && (next->lsn <= durable_lsn || !(next->needs_sync || only_durable))) {
        vsi_ordered_ptr_store(&versions->published, next); /* keeps V2 */
        next = next->newer;
    }
    vsi_mutex_unlock(&versions->lock);
}

VSI_FN bool vsi_versions_is_published(vsi_versions *versions, uint64_t lsn) {
    vsi_mutex_lock(&versions->lock);
    bool is_published = versions_published(versions)->lsn >= lsn;
    vsi_mutex_unlock(&versions->lock);
    return is_published;
}

VSI_FN void vsi_versions_peek(vsi_versions *versions, uint64_t *out_lsn, vsi_hash128 *out_digest) {
    vsi_mutex_lock(&versions->lock);
    *out_lsn = versions_published(versions)->lsn;
    *out_digest = versions_published(versions)->state.digest;
    vsi_mutex_unlock(&versions->lock);
}

VSI_FN bool vsi_versions_list(vsi_versions *versions, vsi_buf *out) {
    bool ok = true;
    vsi_mutex_lock(&versions->lock);
    for (vsi_version *version = versions->oldest; ok && version; version = version->newer) {
        vsi_space_reader reader = {.version = version->seq,
                                   .newest_birth = version->checkpoint + 1};
        ok = vsi_buf_append(out, &reader, sizeof reader);
    }
    vsi_mutex_unlock(&versions->lock);
    return ok;
}

static void versions_give_slots(vsi_versions *versions, const vsi_buf *freed) {
    const vsi_freed_slot *slots = (const vsi_freed_slot *)(const void *)freed->data;
    for (size_t i = 0; i < freed->bytes / sizeof *slots; i++)
        vsi_desc_give_slot(vsi_descs_find(versions->descs, slots[i].coll), slots[i].slot);
}

/* What the next version replaced falls to it when this one leaves the list, but for what is needed by
 * nobody then; older is the one before, NULL: none. False, and nothing has changed, without memory. */
static bool version_bequeath(vsi_versions *versions, const vsi_version *older, vsi_version *gone) {
    vsi_version *next = gone->newer;
    if (!older) {
        vsi_cow_free_dead(versions->cow, next->dead);
        next->dead = NULL;
        versions_give_slots(versions, &next->freed);
        vsi_buf_free(&next->freed);
        return true;
    }
    if (!vsi_buf_append(&gone->freed, next->freed.data, next->freed.bytes))
        return false;
    vsi_buf_free(&next->freed);
    next->freed = gone->freed;
    gone->freed = (vsi_buf){.mem = versions->mem};
    next->dead = vsi_cow_free_born_after(versions->cow, next->dead, older->scope, gone->dead);
    gone->dead = NULL;
    return true;
} /* keeps V1 */

static void version_retire(vsi_versions *versions, vsi_version *version) {
    vsi_reside *reside = versions_reside(versions);
    vsi_buf_free(&version->freed);
    if (reside)
        vsi_retire(reside, &version->retired, sizeof *version);
    else
        vsi_version_discard(versions, version);
}

VSI_FN void vsi_versions_reclaim(vsi_versions *versions) {
    vsi_version *older = NULL,
                *version = versions->oldest; /* only the caller changes the list here */
    while (version != versions_published(versions)) {
        vsi_version *next = version->newer;
        bool is_gone =
            !vsi_ordered_load(&version->pins) && version_bequeath(versions, older, version);
        if (is_gone) {
            vsi_mutex_lock(&versions->lock);
            if (older)
                older->newer = next;
            else
                versions->oldest = next;
            vsi_mutex_unlock(&versions->lock);
            version_retire(versions, version);
        } else {
            older = version;
        }
        version = next;
    }
}
/* ---- store/engine.h ---------------------------------------------------------------------------------- */
/* engine.h - an open database: its files, log and versions; syncing, failing, closing.
 *
 * Two locks. log_lock guards the log, the meta pages and the failure state; versions.lock guards
 * the list of versions and the writer role, and is only ever held for a few instructions.
 * versions.lock may be taken while log_lock is held, not the other way round. */
#ifndef VSI_ENGINE_H
#define VSI_ENGINE_H

/* uses store/budget.h */
/* uses store/log.h */
/* uses store/replay.h */
/* uses store/version.h */

enum { VSI_REASON_BYTES = 256 };

typedef struct vsi_engine_config {
    vsi_mem *mem;      /* borrowed */
    const vs_vfs *vfs; /* borrowed */
    const char *path;  /* as the caller gave it */
    bool is_readonly, may_create, maps_slabs;
    int sync;                 /* VS_SYNC_..., what VS_SYNC_DEFAULT means */
    uint32_t busy_timeout_ms; /* VS_NO_WAIT: do not wait */
    vs_busy_fn busy_fn;       /* NULL: busy_timeout_ms says how long to wait */
    void *busy_ctx;
    uint64_t memory_limit;  /* bytes; UINT64_MAX: none */
    bool stores_plain;      /* large values are not compressed */
    uint32_t trailer_bytes; /* of a database that is created */
    vs_log_fn log_fn;       /* NULL: no messages */
    void *log_ctx;
} vsi_engine_config;

/* A thread that asks config.busy_fn whether to wait on; lives on its stack. */
typedef struct vsi_asker {
    struct vsi_asker *next;
    uint64_t thread;
} vsi_asker;

typedef struct vsi_engine {
    vsi_engine_config config;
    vsi_mem *mem;
    char path[VSI_PATH_BYTES_MAX]; /* absolute */
    vsi_file data;
    vsi_metas metas;
    vsi_pager pager;
    vsi_cow cow; /* of the holder of the writer role */
    vsi_descs descs;
    vsi_versions versions;

    /* guarded by versions.lock */
    vsi_cond role_free;
    bool role_is_taken;
    uint64_t role_thread;
    vsi_asker *askers;

    vsi_atomic_u64 failed_syncs; /* of data; pages written before such a one may be lost */

    /* of the holder of the writer role */
    uint32_t last_coll;       /* collection ids given out, also in transactions rolled back */
    uint64_t ahead_log_bytes; /* the log when slabs were last written ahead of a checkpoint */
    bool has_no_list;   /* of free pages, damaged beyond making it anew, when a commit last asked */
    bool has_gone_back; /* the meta pages still name the checkpoint after ours, a damaged one */
    /* failed_syncs when everything written early was last known to be there */
    uint64_t trusted_syncs;
    bool has_spilled_trees; /* since the last checkpoint */
    uint64_t stuck_pages;   /* dead ones that checkpoints on a full disk did not free */
    bool may_spill;         /* pages that no checkpoint reaches may be written to */

    /* guarded by log_lock */
    vsi_mutex log_lock;
    vsi_cond log_moved; /* a sync ended: frames are durable, or the log failed */
    vsi_log log;
    bool is_syncing; /* a thread syncs the log file without holding log_lock */
    bool has_failed; /* writing has stopped for good; failure says why */
    char failure[VSI_REASON_BYTES];
    int64_t last_sync_us;
    uint64_t commits, checkpoints;
    uint64_t free_pages;      /* as of the last checkpoint */
    uint32_t checks;          /* running now: what they read is not freed */
    bool memory_is_full;      /* much of the trees changed since the last checkpoint */
    bool wants_room;          /* the device refused to give more; checkpoints may free something */
    uint64_t retained_bytes;  /* what only versions older than the last one need */
    uint64_t retry_log_bytes; /* a checkpoint failed: not before the log has these; 0: none did */

    /* what recovery found */
    uint64_t recovered_txns, dropped_lsn, dropped_bytes;
} vsi_engine;

/* The pages that the meta pages name or the newest version may use end here: a shorter file is a damaged
 * one. Holder of the writer role. */
VSI_FN uint64_t vsi_engine_file_end(const vsi_engine *engine);

/* Locks and the empty first version; NULL: no memory. */
VSI_FN vsi_engine *vsi_engine_new(const vsi_engine_config *config);
VSI_FN void vsi_engine_free(vsi_engine *engine);

/* Makes everything durable, records that the log is complete, and frees the engine whatever
 * happens. is_forked: only frees. No transaction may be open. */
VSI_FN vs_status vsi_engine_close(vsi_err *err, vsi_engine *engine, bool is_forked);

/* Completes a change of the meta pages that an earlier session, or an earlier attempt, could not. */
VSI_FN vs_status vsi_engine_settle_metas(vsi_err *err, vsi_engine *engine);

/* Makes all commits so far durable. */
VSI_FN vs_status vsi_engine_sync(vsi_err *err, vsi_engine *engine);

/* ---- for store/write and store/check, log_lock held ----------------------------------------- */

VSI_FN void vsi_engine_message(const vsi_engine *engine, int level, const char *format, ...)
    VSI_PRINTF(3, 4);

/* VS_ERR_READONLY with the reason when writing has stopped. */
VSI_FN vs_status vsi_engine_check_writable(vsi_err *err, const vsi_engine *engine);

/* Stops writing for good; cause says why. */
VSI_FN void vsi_engine_fail(vsi_engine *engine, const vsi_err *cause);

/* What the writer's last scope replaced belongs to a version that is about to be added; checkpoint is the
 * newest one that may reach it. There must be room in the pager's space for its extents. */
VSI_FN void vsi_engine_bury(vsi_engine *engine, vsi_version *version, uint64_t checkpoint);

/* Begins a new log file; log_lock held and nobody syncing. A failure to leave a log file that was
 * open stops writing for good. */
VSI_FN vs_status vsi_engine_take_over(vsi_err *err, vsi_engine *engine);

/* Syncs the log, or waits for the thread that is doing so; log_lock is released meanwhile. Returns
 * after one round: the caller looks again at what it waits for. A sync that fails is survived by
 * taking over; if that fails too, the engine has_failed. */
VSI_FN void vsi_engine_sync_round(vsi_engine *engine);

/* Waits until no thread is syncing. */
VSI_FN void vsi_engine_wait_sync(vsi_engine *engine);

/* Shows readers what may be seen and wakes those who wait for it. */
VSI_FN void vsi_engine_publish(vsi_engine *engine);

#endif
/* ---- store/engine.c ---------------------------------------------------------------------------------- */
/* engine.c - an open database: what it consists of, syncing, failing, closing.
 *
 *   N3  Once has_failed is set it stays, no frame is appended any more, and readers keep what
 *       was published. */
/* uses store/engine.h */

/* ---- messages ------------------------------------------------------------------------------- */

VSI_FN void vsi_engine_message(const vsi_engine *engine, int level, const char *format, ...) {
    if (!engine->config.log_fn)
        return;
    char text[VSI_ERR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    engine->config.log_fn(engine->config.log_ctx, level, text);
}

VSI_FN vs_status vsi_engine_check_writable(vsi_err *err, const vsi_engine *engine) {
    if (engine->config.is_readonly)
        return vsi_fail(err, VS_ERR_READONLY, "%s was opened read-only", engine->path);
    if (engine->has_failed)
        return vsi_fail(err, VS_ERR_READONLY, "%s: writing has stopped: %s", engine->path,
                        engine->failure);
    return VS_OK;
}

VSI_FN uint64_t vsi_engine_file_end(const vsi_engine *engine) {
    const vsi_meta *meta = &engine->metas.newest;
    uint64_t end = engine->pager.space.end;
    end = meta->checkpoint.end > end ? meta->checkpoint.end : end;
    return meta->previous.end > end ? meta->previous.end : end;
}

VSI_FN vs_status vsi_engine_settle_metas(vsi_err *err, vsi_engine *engine) {
    if (engine->metas.is_pair)
        return VS_OK;
    vs_status st = vsi_metas_repair(err, &engine->data, &engine->metas);
    if (st == VS_OK)
        vsi_log_complete(&engine->log);
    return st;
}

/* ---- the struct and what it owns ------------------------------------------------------------ */

VSI_FN void vsi_engine_free(vsi_engine *engine) {
    vsi_mem *mem = engine->mem;
    vsi_windows_free(
        &engine->pager.windows); /* first: then slabs go without its lock, see vsi_windows_leave */
    vsi_log_free(&engine->log);
    vsi_versions_free(&engine->versions);
    vsi_cow_free_all(&engine->cow);
    vsi_descs_free(&engine->descs);
    vsi_pager_free(&engine->pager);
    vsi_file_close(&engine->data);
    vsi_cond_destroy(&engine->log_moved);
    vsi_mutex_destroy(&engine->log_lock);
    vsi_cond_destroy(&engine->role_free);
    vsi_free(mem, engine, sizeof *engine);
}

static bool engine_init(vsi_engine *engine) {
    vsi_cow_init(&engine->cow, engine->mem);
    engine->cow.pager = &engine->pager;
    if (!vsi_cond_init(&engine->role_free))
        return false;
    if (!vsi_mutex_init(&engine->log_lock))
        goto fail_role;
    if (!vsi_cond_init(&engine->log_moved))
        goto fail_lock;
    if (!vsi_pager_init(&engine->pager, engine->mem, &engine->data))
        goto fail_moved;
    if (!vsi_descs_init(&engine->descs, engine->mem))
        goto fail_pager;
    if (!vsi_versions_init(&engine->versions, engine->mem, &engine->cow, &engine->descs))
        goto fail_descs;
    return true;

fail_descs:
    vsi_descs_free(&engine->descs);
fail_pager:
    vsi_pager_free(&engine->pager);
fail_moved:
    vsi_cond_destroy(&engine->log_moved);
fail_lock:
    vsi_mutex_destroy(&engine->log_lock);
fail_role:
    vsi_cond_destroy(&engine->role_free);
    return false;
}

VSI_FN vsi_engine *vsi_engine_new(const vsi_engine_config *config) {
    vsi_engine *engine = vsi_alloc_zeroed(config->mem, sizeof *engine);
    if (!engine)
        return NULL;
    engine->config = *config;
    engine->mem = config->mem;
    if (!engine_init(engine)) {
        vsi_free(config->mem, engine, sizeof *engine);
        return NULL;
    }
    engine->pager.packs = vsi_codec_has_zstd() && !config->stores_plain;
    if (config->memory_limit)
        engine->pager.reside.limit_bytes = config->memory_limit;
    if (config->maps_slabs)
        vsi_pager_allow_maps(&engine->pager);
    return engine;
}

/* Both meta pages learn how far the log goes, so that a log cut short later is noticed. */
static vs_status close_record_end(vsi_err *err, vsi_engine *engine) {
    vsi_meta meta = engine->metas.newest;
    meta.durable_lsn = engine->log.durable_lsn;
    return vsi_metas_write(err, &engine->data, &engine->metas, &meta);
}

VSI_FN vs_status vsi_engine_close(vsi_err *err, vsi_engine *engine, bool is_forked) {
    vs_status st = VS_OK;
    vsi_err ignored = {0};
    if (!is_forked && !engine->config.is_readonly) {
        st = vsi_engine_sync(err, engine);
        bool is_known = engine->log.durable_lsn == engine->metas.newest.durable_lsn;
        if (st == VS_OK && !engine->has_failed && !is_known)
            st = close_record_end(err, engine);
        vsi_session_write(&engine->data, 0);
    }
    if (!is_forked) /* a child forked from this process would keep the lock alive */
        vsi_file_lock(&ignored, &engine->data, VS_VFS_UNLOCK);
    vsi_engine_free(engine);
    return st;
}

/* ---- syncing; log_lock held ----------------------------------------------------------------- */

VSI_FN void vsi_engine_publish(vsi_engine *engine) {
    vsi_versions_publish(&engine->versions, engine->log.durable_lsn, engine->has_failed);
    vsi_cond_wake_all(&engine->log_moved);
}

VSI_FN void vsi_engine_fail(vsi_engine *engine, const vsi_err *cause) {
    engine->has_failed = true; /* keeps N3 */
    snprintf(engine->failure, sizeof engine->failure, "%.*s", VSI_REASON_BYTES - 1, cause->text);
    vsi_engine_message(engine, VS_LOG_ERROR, "%s: writing has stopped: %s", engine->path,
                       engine->failure);
}

VSI_FN void vsi_engine_bury(vsi_engine *engine, vsi_version *version, uint64_t checkpoint) {
    const vsi_dead_extent *dead =
        (const vsi_dead_extent *)(const void *)engine->cow.dead_extents.data;
    for (size_t i = 0; i < engine->cow.dead_extents.bytes / sizeof *dead; i++)
        vsi_space_bury(&engine->pager.space,
                       (vsi_dead_extent){.run = dead[i].run,
                                         .checkpoint = checkpoint,
                                         .version = engine->versions.last_seq + 1,
                                         .birth = dead[i].birth});
    vsi_buf_free(&engine->cow.dead_extents);
    version->dead = vsi_cow_take_dead(&engine->cow);
}

VSI_FN vs_status vsi_engine_take_over(vsi_err *err, vsi_engine *engine) {
    bool was_open = vsi_log_is_open(&engine->log);
    vsi_assert(!engine->is_syncing);
    vs_status st = vsi_log_take_over(err, &engine->log);
    if (st != VS_OK && was_open)
        vsi_engine_fail(engine, err);
    if (st == VS_OK)
        engine->last_sync_us = engine->config.vfs->ticks_us(engine->config.vfs->ctx);
    return st;
}

VSI_FN void vsi_engine_wait_sync(vsi_engine *engine) {
    while (engine->is_syncing)
        vsi_cond_wait(&engine->log_moved, &engine->log_lock);
}

/* The device refused a sync: write what it did not take into a new file. */
static void engine_survive_failed_sync(vsi_engine *engine, const vsi_err *cause) {
    vsi_err err = {0};
    vsi_engine_message(engine, VS_LOG_WARNING, "%s; writing the frames again to a new file",
                       cause->text);
    vsi_engine_take_over(&err, engine); /* a failure is kept in the engine */
}

VSI_FN void vsi_engine_sync_round(vsi_engine *engine) {
    vsi_log_ticket ticket;
    if (engine->is_syncing) {
        vsi_cond_wait(&engine->log_moved, &engine->log_lock);
        return;
    }
    if (!vsi_log_sync_begin(&engine->log, &ticket)) {
        vsi_engine_publish(engine);
        return;
    }
    vsi_err err = {0};
    engine->is_syncing = true;
    vsi_mutex_unlock(&engine->log_lock);
    vs_status st = vsi_file_sync(&err, &engine->log.file);
    vsi_mutex_lock(&engine->log_lock);
    engine->is_syncing = false;
    if (st == VS_OK) {
        vsi_log_sync_end(&engine->log, ticket);
        engine->last_sync_us = engine->config.vfs->ticks_us(engine->config.vfs->ctx);
    } else {
        engine_survive_failed_sync(engine, &err);
    }
    vsi_engine_publish(engine);
}

VSI_FN vs_status vsi_engine_sync(vsi_err *err, vsi_engine *engine) {
    vs_status st = VS_OK;
    if (engine->config.is_readonly)
        return VS_OK;
    vsi_mutex_lock(&engine->log_lock);
    uint64_t wanted = engine->log.next_lsn - 1;
    if (!engine->has_failed)
        st = vsi_engine_settle_metas(err, engine);
    while (st == VS_OK && !engine->has_failed && engine->log.durable_lsn < wanted) {
        if (vsi_log_is_open(&engine->log))
            vsi_engine_sync_round(engine);
        else
            st = vsi_engine_take_over(err, engine); /* frames that recovery found */
    }
    if (engine->has_failed && engine->log.durable_lsn < wanted)
        st = vsi_fail(err, VS_ERR_INDOUBT, "%s: commits may be lost: %s", engine->path,
                      engine->failure);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}
/* ---- store/walk.h ---------------------------------------------------------------------------------- */
/* walk.h - visits every extent that a checkpoint reaches, as the file has it now. */
#ifndef VSI_WALK_H
#define VSI_WALK_H

/* uses store/pager.h */

/* Called with each extent before it is read. A failure ends the walk, but VS_ERR_CORRUPT from reading an
 * extent is passed to damaged, and the walk goes on without what lies behind it. */
typedef struct vsi_walk {
    vs_status (*visit)(void *ctx, vsi_err *err, vsi_ref ref);
    void (*damaged)(void *ctx, const vsi_err *err); /* NULL: damage ends the walk as well */
    void *ctx;
    bool reads_all; /* slabs and large values are read and verified too, not only nodes */
} vsi_walk;

VS_NODISCARD VSI_FN vs_status vsi_walk_run(vsi_err *err, vsi_pager *pager, vsi_ref root,
                                           const vsi_walk *walk);

#endif
/* ---- store/walk.c ---------------------------------------------------------------------------------- */
/* walk.c - visits every extent that a checkpoint reaches: depth first, with a stack of its own. */
/* uses store/walk.h */
/* uses store/node.h */

/* Levels of the catalog and of a collection's tree, and the blob or slab behind it. */
enum { WALK_DEPTH_MAX = 2 * (VSI_NODE_LEVEL_MAX + 1) };

typedef struct walk_step {
    uint32_t at, ref_at;
    uint8_t page[VSI_PAGE_BYTES];
} walk_step;

typedef struct walker {
    vsi_pager *pager;
    const vsi_walk *walk;
    uint64_t visits,
        visits_max; /* one for each page of the file: without, shared nodes take for ever */
    vsi_buf stack;  /* walk_step */
    vsi_buf scratch;
} walker;

static walk_step *walker_top(const walker *w) {
    return (walk_step *)(void *)(w->stack.data + w->stack.bytes) - 1;
}

static vs_status walker_enter(vsi_err *err, walker *w, vsi_ref ref) {
    if (w->stack.bytes == WALK_DEPTH_MAX * sizeof(walk_step))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: trees are nested too deeply",
                        w->pager->file->path, (unsigned long long)vsi_ref_page(ref));
    if (!vsi_buf_reserve(&w->stack, sizeof(walk_step)))
        return vsi_fail_nomem(err, sizeof(walk_step));
    w->stack.bytes += sizeof(walk_step);
    walk_step *top = walker_top(w);
    top->at = top->ref_at = 0;
    vs_status st = vsi_pager_node_again(err, w->pager, ref, top->page);
    if (st != VS_OK)
        w->stack.bytes -= sizeof *top;
    return st;
}

static vs_status walker_look(vsi_err *err, walker *w, vsi_ref ref) {
    bool is_known = ref.kind >= VSI_REF_NODE && ref.kind <= VSI_REF_BLOB;
    if (w->visits++ == w->visits_max)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu and others are used more than once",
                        w->pager->file->path, (unsigned long long)vsi_ref_page(ref));
    vs_status st = vsi_pager_check_ref(err, w->pager, ref, is_known ? ref.kind : VSI_REF_BLOB);
    if (st == VS_OK)
        st = w->walk->visit(w->walk->ctx, err, ref);
    if (st != VS_OK)
        return st;
    w->scratch.bytes = 0;
    if (ref.kind == VSI_REF_NODE)
        return walker_enter(err, w, ref);
    return w->walk->reads_all ? vsi_pager_read(err, w->pager, ref, ref.kind, &w->scratch) : VS_OK;
}

static vs_status walker_visit(vsi_err *err, walker *w, vsi_ref ref) {
    vs_status st = ref.kind == VSI_REF_NONE ? VS_OK : walker_look(err, w, ref);
    if (st != VS_ERR_CORRUPT || !w->walk->damaged)
        return st;
    w->walk->damaged(w->walk->ctx, err);
    return VS_OK;
}

/* The next reference of the node on top; false: it has no further one. */
static bool walker_next(walker *w, vsi_ref *out_ref) {
    walk_step *top = walker_top(w);
    for (; top->at < vsi_node_count(top->page); top->at++, top->ref_at = 0) {
        vsi_node_item item = vsi_node_item_at(top->page, top->at);
        if (top->ref_at < item.ref_count) {
            *out_ref = vsi_ref_decode(item.refs + (size_t)top->ref_at++ * VSI_REF_BYTES);
            return true;
        }
    }
    return false;
}

VSI_FN vs_status vsi_walk_run(vsi_err *err, vsi_pager *pager, vsi_ref root, const vsi_walk *walk) {
    walker w = {
        .pager = pager, .walk = walk, .stack = {.mem = pager->mem}, .scratch = {.mem = pager->mem}};
    uint64_t file_bytes = 0;
    vs_status st = vsi_file_size(err, pager->file, &file_bytes);
    w.visits_max = file_bytes / VSI_PAGE_BYTES;
    if (st == VS_OK)
        st = walker_visit(err, &w, root);
    while (st == VS_OK && w.stack.bytes && w.visits <= w.visits_max) {
        vsi_ref ref;
        if (walker_next(&w, &ref))
            st = walker_visit(err, &w, ref);
        else
            w.stack.bytes -= sizeof(walk_step);
    }
    vsi_buf_free(&w.stack);
    vsi_buf_free(&w.scratch);
    return st;
}
/* ---- store/flush.h ---------------------------------------------------------------------------------- */
/* flush.h - writes everything of a state that is only in memory into the database file. */
#ifndef VSI_FLUSH_H
#define VSI_FLUSH_H

/* uses store/state.h */

/* Writes slabs that changed and the blocks that the state reaches; afterwards the state, which is the
 * caller's copy, leads to extents only. The blocks stay as they are, for those who read them. The
 * caller has an open scope, and holds the writer role. On a failure undo the scope and the pager. */
VS_NODISCARD VSI_FN vs_status vsi_flush(vsi_err *err, vsi_state *state);

/* Parts of it, to make room in memory before there is a checkpoint. The trees of the state alone: it leads
 * to extents then, but for slabs. */
VS_NODISCARD VSI_FN vs_status vsi_flush_trees(vsi_err *err, vsi_state *state);
/* About max_bytes of slabs alone. They stay where they are written, whatever becomes of a transaction. */
VS_NODISCARD VSI_FN vs_status vsi_flush_slabs_early(vsi_err *err, const vsi_state *state,
                                                    uint64_t max_bytes);

/* A sync failed: slabs written early may be lost (vsi_slabs_distrust). */
VS_NODISCARD VSI_FN vs_status vsi_flush_distrust(vsi_err *err, const vsi_state *state);

/* How many bytes of slabs are not in the file yet. */
VSI_FN uint64_t vsi_flush_slabs_left(const vsi_state *state);

/* Looks up where the state's slabs are, for vsi_flush_settle. vsi_flush does so itself. */
VS_NODISCARD VSI_FN vs_status vsi_flush_locate(vsi_err *err, const vsi_state *state);

/* What vsi_flush wrote is part of a checkpoint: slabs are not dirty any more. */
VSI_FN void vsi_flush_settle(const vsi_state *state);
/* The same for collections that a reader, whose version may be older, looked at for the first time
 * meanwhile: afterwards no array relies on extents that the state does not reach, but for those of
 * readers that stood in an older version before. */
VS_NODISCARD VSI_FN vs_status vsi_flush_catch_up(vsi_err *err, const vsi_state *state);

#endif
/* ---- store/flush.c ---------------------------------------------------------------------------------- */
/* flush.c - from memory into the file.
 *
 *   U1  A node is written after everything it leads to: its bytes hold their places and hashes.
 *   U2  Blocks are only read; a reader may stand in any of them. */
/* uses store/flush.h */

/* Levels of the catalog and of a collection's tree. */
enum { FLUSH_DEPTH_MAX = 2 * (VSI_NODE_LEVEL_MAX + 1) };

/* A node on the way down: its page as it will be in the file. */
typedef struct flush_step {
    uint32_t at, ref_at;
    uint8_t page[VSI_PAGE_BYTES];
} flush_step;

typedef struct flusher {
    vsi_cow *cow;
    vsi_pager *pager;
    vsi_buf stack; /* flush_step */
    vsi_buf blob;
    vsi_packer packer;
} flusher;

static flush_step *flusher_top(const flusher *f) {
    return (flush_step *)(void *)(f->stack.data + f->stack.bytes) - 1;
}

static vs_status flusher_push(vsi_err *err, flusher *f, vsi_ref ref) {
    const vsi_block *block = vsi_ref_block(ref);
    vsi_assert(block->bytes == sizeof *block + VSI_PAGE_BYTES);
    vsi_assert(f->stack.bytes < FLUSH_DEPTH_MAX * sizeof(flush_step));
    if (!vsi_buf_reserve(&f->stack, sizeof(flush_step)))
        return vsi_fail_nomem(err, sizeof(flush_step));
    f->stack.bytes += sizeof(flush_step);
    flush_step *step = flusher_top(f);
    step->at = step->ref_at = 0;
    memcpy(step->page, block + 1, VSI_PAGE_BYTES); /* U2 */
    return vsi_cow_drop_ref(err, f->cow, ref); /* only versions before this one have the block */
}

/* Compresses a value to out, which has room for it as it is; 0: that would not save a page. */
static size_t flusher_pack(flusher *f, vsi_bytes value, uint8_t *out) {
    uint32_t trailer = f->pager->trailer_bytes;
    size_t pages = vsi_blob_pages(value.bytes, trailer);
    vsi_assert(value.bytes <= VSI_VALUE_BYTES_MAX);
    if (!f->pager->packs || pages == 1)
        return 0;
    size_t room = pages * VSI_PAGE_BYTES - VSI_BLOB_HEADER_BYTES - trailer;
    size_t packed = vsi_pack(&f->packer, value, out, room);
    return vsi_blob_pages(packed, trailer) < pages ? packed : 0;
}

/* A large value: its size, the bytes stored, those, zeros up to whole pages. */
static vs_status flusher_write_blob(vsi_err *err, flusher *f, vsi_ref *ref) {
    const vsi_block *block = vsi_ref_block(*ref);
    vsi_bytes value = {(const uint8_t *)(block + 1), block->bytes - sizeof *block};
    size_t bytes = vsi_blob_pages(value.bytes, f->pager->trailer_bytes) * VSI_PAGE_BYTES;
    f->blob.bytes = 0;
    if (!vsi_buf_reserve(&f->blob, bytes))
        return vsi_fail_nomem(err, bytes);
    uint8_t *out = f->blob.data, *stored = out + VSI_BLOB_HEADER_BYTES;
    size_t packed = flusher_pack(f, value, stored), stored_bytes = packed ? packed : value.bytes;
    if (!packed)
        memcpy(stored, value.data, value.bytes);
    bytes = vsi_blob_pages(stored_bytes, f->pager->trailer_bytes) * VSI_PAGE_BYTES;
    memset(stored + stored_bytes, 0, bytes - VSI_BLOB_HEADER_BYTES - stored_bytes);
    vsi_put_u32(out, (uint32_t)value.bytes);
    vsi_put_u32(out + 4, (uint32_t)stored_bytes);
    vs_status st = vsi_cow_drop_ref(err, f->cow, *ref);
    if (st == VS_OK)
        st = vsi_pager_write(err, f->pager, VSI_REF_BLOB, 0, (vsi_bytes){out, bytes}, ref);
    if (st == VS_OK && packed) {
        ref->codec = VSI_CODEC_ZSTD;
        f->pager->has_packed = true;
    }
    return st;
}

/* The next reference of the node on top that leads to a block; false: there is none. */
static bool flusher_next(flusher *f, vsi_ref *out_ref) {
    flush_step *top = flusher_top(f);
    for (; top->at < vsi_node_count(top->page); top->at++, top->ref_at = 0) {
        uint32_t refs = vsi_node_item_at(top->page, top->at).ref_count;
        for (; top->ref_at < refs; top->ref_at++) {
            *out_ref = vsi_node_ref(top->page, top->at, top->ref_at);
            if (out_ref->is_block)
                return true;
        }
    }
    return false;
}

/* Everything below the node on top is written: write it, and tell the node above where it is. */
static vs_status flusher_pop(vsi_err *err, flusher *f, vsi_ref *root) {
    flush_step *top = flusher_top(f);
    vsi_ref ref;
    vsi_node_pack(top->page); /* addresses of memory stay out of the file */
    vs_status st = vsi_pager_write(err, f->pager, VSI_REF_NODE, vsi_node_level(top->page),
                                   (vsi_bytes){top->page, VSI_PAGE_BYTES}, &ref); /* keeps U1 */
    if (st != VS_OK)
        return st;
    f->stack.bytes -= sizeof *top;
    if (f->stack.bytes)
        vsi_node_set_ref(top[-1].page, top[-1].at, top[-1].ref_at, ref);
    else
        *root = ref;
    return VS_OK;
}

static vs_status flusher_run(vsi_err *err, flusher *f, vsi_ref *root) {
    vs_status st = root->is_block ? flusher_push(err, f, *root) : VS_OK;
    while (st == VS_OK && f->stack.bytes) {
        vsi_ref ref;
        if (!flusher_next(f, &ref)) {
            st = flusher_pop(err, f, root);
        } else if (ref.kind == VSI_REF_NODE) {
            st = flusher_push(err, f, ref);
        } else {
            st = flusher_write_blob(err, f, &ref);
            flush_step *top = flusher_top(f);
            if (st == VS_OK)
                vsi_node_set_ref(top->page, top->at, top->ref_at, ref);
        }
    }
    return st;
}

/* ---- slabs ---------------------------------------------------------------------------------- */

static vsi_desc *flush_first(const vsi_state *state) {
    return vsi_descs_from(state->descs, 0);
}

static vsi_desc *flush_next(const vsi_state *state, const vsi_desc *desc) {
    return vsi_descs_from(state->descs, (uint64_t)desc->id + 1);
}

static bool flush_has_slabs(const vsi_slabs *slabs) {
    return slabs->dirty.bytes || slabs->moved.bytes || vsi_slabs_have_unused(slabs);
}

/* Dropping slabs rewrites nodes of dir, which no commit has reserved pages for: on a full disk it waits for
 * a later checkpoint. */
static bool flush_has_room_to_drop(const vsi_btree *dir) {
    return vsi_space_fits(&dir->cow->pager->space, vsi_cow_pages(dir->cow), dir->count / 20 + 32);
}

static vs_status flush_array(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir, uint32_t slot_end) {
    vs_status st = vsi_slabs_write_back(err, slabs, dir->cow->pager, UINT64_MAX);
    if (st == VS_OK)
        st = vsi_slabs_drop_unused(err, slabs, dir, flush_has_room_to_drop(dir) ? slot_end : 0);
    return st == VS_OK ? vsi_slabs_link(err, slabs, dir) : st;
}

static bool flush_desc_has_slabs(vsi_desc *desc) {
    for (uint32_t i = 0; i < vsi_desc_arrays(desc); i++)
        if (flush_has_slabs(vsi_desc_array(desc, i)))
            return true;
    return false;
}

static vs_status flush_coll_slabs(vsi_err *err, vsi_state *state, vsi_desc *desc) {
    vsi_coll *coll = NULL;
    vsi_pager *pager = state->catalog.cow->pager;
    if (!flush_desc_has_slabs(desc))
        return VS_OK;
    vs_status st = vsi_state_work_on(err, state, desc->id, &coll);
    bool is_gone = st == VS_ERR_NOT_FOUND; /* its creation was rolled back */
    st = is_gone ? VS_OK : st;
    for (uint32_t i = 0; st == VS_OK && i < vsi_desc_arrays(desc); i++) {
        vsi_slabs *slabs = vsi_desc_array(desc, i);
        st = is_gone ? vsi_slabs_forget(err, slabs, pager)
                     : flush_array(err, slabs, &coll->slabs, coll->slot_end);
    }
    return st;
}

static vs_status flush_slabs(vsi_err *err, vsi_state *state) {
    vs_status st = VS_OK;
    for (vsi_desc *desc = flush_first(state); st == VS_OK && desc; desc = flush_next(state, desc))
        st = flush_coll_slabs(err, state, desc);
    return st;
}

/* Looks up in the catalog where a collection's slabs are now. */
static vs_status flush_locate(vsi_err *err, const vsi_state *state, vsi_desc *desc) {
    vsi_coll coll;
    vs_status st = vsi_state_coll(err, state, desc->id, &coll);
    desc->is_flushed = st == VS_OK;
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    desc->new_dir = coll.slabs;
    return VS_OK;
}

static void flush_settle_slabs(vsi_desc *desc) {
    for (uint32_t i = 0; i < vsi_desc_arrays(desc); i++)
        vsi_slabs_settle(vsi_desc_array(desc, i), &desc->new_dir);
}

VSI_FN void vsi_flush_settle(const vsi_state *state) {
    for (vsi_desc *desc = flush_first(state); desc; desc = flush_next(state, desc))
        if (desc->is_flushed)
            flush_settle_slabs(desc);
}

VSI_FN vs_status vsi_flush_catch_up(vsi_err *err, const vsi_state *state) {
    vs_status st = VS_OK;
    for (vsi_desc *desc = flush_first(state); st == VS_OK && desc; desc = flush_next(state, desc)) {
        if (desc->is_flushed)
            continue;
        st = flush_locate(err, state, desc);
        if (st == VS_OK && desc->is_flushed)
            flush_settle_slabs(desc);
    }
    return st;
}

VSI_FN vs_status vsi_flush_locate(vsi_err *err, const vsi_state *state) {
    vs_status st = VS_OK;
    for (vsi_desc *desc = flush_first(state); st == VS_OK && desc; desc = flush_next(state, desc))
        st = flush_locate(err, state, desc);
    return st;
}

VSI_FN vs_status vsi_flush_trees(vsi_err *err, vsi_state *state) {
    flusher f = {.cow = state->catalog.cow, .pager = state->catalog.cow->pager};
    f.stack.mem = f.blob.mem = f.packer.mem = f.pager->mem;
    vs_status st = vsi_state_settle(err, state);
    if (st == VS_OK)
        st = flusher_run(err, &f, &state->catalog.root);
    if (st == VS_OK)
        st = vsi_pager_flush(err, f.pager);
    vsi_buf_free(&f.stack);
    vsi_buf_free(&f.blob);
    vsi_packer_free(&f.packer);
    return st == VS_OK ? vsi_state_load(err, state) : st;
}

VSI_FN vs_status vsi_flush(vsi_err *err, vsi_state *state) {
    vs_status st = flush_slabs(err, state);
    if (st == VS_OK)
        st = vsi_flush_trees(err, state);
    return st == VS_OK ? vsi_flush_locate(err, state) : st;
}

VSI_FN vs_status vsi_flush_slabs_early(vsi_err *err, const vsi_state *state, uint64_t max_bytes) {
    vsi_pager *pager = state->catalog.cow->pager;
    vs_status st = VS_OK;
    uint64_t end = pager->written_bytes + max_bytes;
    end = end < max_bytes ? UINT64_MAX : end;
    for (vsi_desc *desc = flush_first(state); desc; desc = flush_next(state, desc))
        for (uint32_t i = vsi_desc_arrays(desc); st == VS_OK && i-- > 0;) { /* rows are the most */
            vsi_slabs *slabs = vsi_desc_array(desc, i);
            if (slabs->dirty.bytes && pager->written_bytes < end)
                st = vsi_slabs_write_back(err, slabs, pager, end - pager->written_bytes);
        }
    return st;
}

VSI_FN uint64_t vsi_flush_slabs_left(const vsi_state *state) {
    uint64_t bytes = 0;
    for (vsi_desc *desc = flush_first(state); desc; desc = flush_next(state, desc))
        for (uint32_t i = 0; i < vsi_desc_arrays(desc); i++)
            bytes += vsi_slabs_dirty_bytes(vsi_desc_array(desc, i));
    return bytes;
}

VSI_FN vs_status vsi_flush_distrust(vsi_err *err, const vsi_state *state) {
    vsi_pager *pager = state->catalog.cow->pager;
    vs_status st = VS_OK;
    for (vsi_desc *desc = flush_first(state); desc; desc = flush_next(state, desc))
        for (uint32_t i = 0; st == VS_OK && i < vsi_desc_arrays(desc); i++)
            st = vsi_slabs_distrust(err, vsi_desc_array(desc, i), pager);
    return st;
}
/* ---- store/relocate.h ---------------------------------------------------------------------------------- */
/* relocate.h - moves extents towards the front of the file, so that its end can be cut off. */
#ifndef VSI_RELOCATE_H
#define VSI_RELOCATE_H

/* uses store/state.h */

/* Writes what the state reaches at first_page and behind it again before that, as far as there are free
 * pages; the state, which leads to extents only and is the caller's copy, leads there then. The caller has
 * an open scope, and holds the writer role. On a failure undo the scope and the pager. */
VS_NODISCARD VSI_FN vs_status vsi_relocate(vsi_err *err, vsi_state *state, uint64_t first_page);

#endif
/* ---- store/relocate.c ---------------------------------------------------------------------------------- */
/* relocate.c - extents from the end of the file into holes before it.
 *
 *   O1  A node is written after everything it leads to, as in store/flush. */
/* uses store/relocate.h */

/* Levels of the catalog and of a collection's tree. */
enum { RELOCATE_DEPTH_MAX = 2 * (VSI_NODE_LEVEL_MAX + 1) };

/* A node on the way down. */
typedef struct relocate_step {
    vsi_ref ref;
    bool is_changed; /* something that it leads to has moved */
    uint32_t at, ref_at;
    uint8_t page[VSI_PAGE_BYTES];
} relocate_step;

typedef struct relocator {
    vsi_cow *cow;
    vsi_pager *pager;
    uint64_t first_page;
    vsi_buf stack; /* relocate_step */
    vsi_buf extent;
} relocator;

static relocate_step *relocator_top(const relocator *r) {
    return (relocate_step *)(void *)(r->stack.data + r->stack.bytes) - 1;
}

/* Writes an extent again, and *ref leads there; if there is a better place for it, or it must. */
static vs_status relocator_write(vsi_err *err, relocator *r, vsi_bytes bytes, bool must,
                                 vsi_ref *ref) {
    uint64_t page = 0, from = vsi_ref_page(*ref);
    size_t taken = r->pager->taken.bytes;
    vsi_ref old = *ref;
    vs_status st = vsi_pager_flush(err, r->pager);
    if (st == VS_OK)
        st = vsi_pager_take(err, r->pager, vsi_ref_pages(old), &page);
    if (st == VS_OK && page > from && !must) {
        vsi_pager_undo_to(r->pager, taken);
        return VS_OK;
    }
    if (st == VS_OK)
        st = vsi_pager_write_at(err, r->pager, old.kind, old.level, bytes, page, ref);
    if (st == VS_OK)
        ref->codec = old.codec;
    return st == VS_OK ? vsi_cow_drop_ref(err, r->cow, old) : st;
}

static vs_status relocator_enter(vsi_err *err, relocator *r, vsi_ref ref) {
    if (r->stack.bytes == RELOCATE_DEPTH_MAX * sizeof(relocate_step))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: trees are nested too deeply",
                        r->pager->file->path, (unsigned long long)vsi_ref_page(ref));
    if (!vsi_buf_reserve(&r->stack, sizeof(relocate_step)))
        return vsi_fail_nomem(err, sizeof(relocate_step));
    r->stack.bytes += sizeof(relocate_step);
    relocate_step *top = relocator_top(r);
    top->ref = ref;
    top->at = top->ref_at = 0;
    top->is_changed = false;
    return vsi_pager_node_again(err, r->pager, ref, top->page);
}

/* A slab or a large value. */
static vs_status relocator_copy(vsi_err *err, relocator *r, vsi_ref *ref) {
    if (vsi_ref_page(*ref) < r->first_page)
        return VS_OK;
    r->extent.bytes = 0;
    vs_status st = vsi_pager_read(err, r->pager, *ref, ref->kind, &r->extent);
    vsi_bytes bytes = {r->extent.data, r->extent.bytes};
    return st == VS_OK ? relocator_write(err, r, bytes, false, ref) : st;
}

/* The next reference of the node on top; false: there is none. */
static bool relocator_next(relocator *r, vsi_ref *out_ref) {
    relocate_step *top = relocator_top(r);
    for (; top->at < vsi_node_count(top->page); top->at++, top->ref_at = 0) {
        uint32_t refs = vsi_node_item_at(top->page, top->at).ref_count;
        for (; top->ref_at < refs; top->ref_at++) {
            *out_ref = vsi_node_ref(top->page, top->at, top->ref_at);
            if (out_ref->kind != VSI_REF_NONE)
                return true;
        }
    }
    return false;
}

/* What the reference on turn leads to is done. */
static void relocator_note(relocator *r, vsi_ref ref) {
    relocate_step *top = relocator_top(r);
    vsi_ref old = vsi_node_ref(top->page, top->at, top->ref_at);
    if (old.at != ref.at) {
        vsi_node_set_ref(top->page, top->at, top->ref_at, ref);
        top->is_changed = true;
    }
    top->ref_at++;
}

static vs_status relocator_leave(vsi_err *err, relocator *r, vsi_ref *root) {
    relocate_step *top = relocator_top(r);
    vsi_ref ref = top->ref;
    vs_status st = VS_OK;
    if (top->is_changed || vsi_ref_page(ref) >= r->first_page)
        st = relocator_write(err, r, (vsi_bytes){top->page, VSI_PAGE_BYTES}, top->is_changed,
                             &ref); /* keeps O1 */
    if (st != VS_OK)
        return st;
    r->stack.bytes -= sizeof *top;
    if (r->stack.bytes)
        relocator_note(r, ref);
    else
        *root = ref;
    return VS_OK;
}

static vs_status relocator_run(vsi_err *err, relocator *r, vsi_ref *root) {
    vs_status st = root->kind == VSI_REF_NODE ? relocator_enter(err, r, *root) : VS_OK;
    while (st == VS_OK && r->stack.bytes) {
        vsi_ref ref;
        if (!relocator_next(r, &ref)) {
            st = relocator_leave(err, r, root);
        } else if (ref.kind == VSI_REF_NODE) {
            st = relocator_enter(err, r, ref);
        } else {
            st = relocator_copy(err, r, &ref);
            if (st == VS_OK)
                relocator_note(r, ref);
        }
    }
    return st;
}

VSI_FN vs_status vsi_relocate(vsi_err *err, vsi_state *state, uint64_t first_page) {
    vsi_cow *cow = state->catalog.cow;
    relocator r = {.cow = cow, .pager = cow->pager, .first_page = first_page};
    r.stack.mem = r.extent.mem = cow->mem;
    vs_status st = relocator_run(err, &r, &state->catalog.root);
    if (st == VS_OK)
        st = vsi_pager_flush(err, r.pager);
    vsi_buf_free(&r.stack);
    vsi_buf_free(&r.extent);
    return st == VS_OK ? vsi_state_load(err, state) : st;
}
/* ---- store/freelist.h ---------------------------------------------------------------------------------- */
/* freelist.h - the list of free pages: read before the first extent is written, written anew by every
 * checkpoint. Of the holder of the writer role. */
#ifndef VSI_FREELIST_H
#define VSI_FREELIST_H

/* uses store/engine.h */

/* Makes the pager's space known; one that is damaged is made anew from what the checkpoints reach. */
VS_NODISCARD VSI_FN vs_status vsi_freelist_load(vsi_err *err, vsi_engine *engine);

/* Writes the list for a checkpoint beside which those from first_kept on are kept; its own extent is not in
 * it. out_end is where the file ends for that checkpoint, in pages. */
VS_NODISCARD VSI_FN vs_status vsi_freelist_save(vsi_err *err, vsi_engine *engine,
                                                uint64_t first_kept, vsi_ref *out_ref,
                                                uint64_t *out_end);

#endif
/* ---- store/freelist.c ---------------------------------------------------------------------------------- */
/* freelist.c - which pages of the file are free, from its list and into it. */
/* uses store/freelist.h */
/* uses store/walk.h */

static vs_status space_add_extent(void *ctx, vsi_err *err, vsi_ref ref) {
    vsi_buf *used = ctx;
    vsi_run run = {vsi_ref_page(ref), vsi_ref_pages(ref)};
    return vsi_buf_append(used, &run, sizeof run) ? VS_OK : vsi_fail_nomem(err, sizeof run);
}

static void space_skip_damage(void *ctx, const vsi_err *err) {
    (void)ctx;
    (void)err;
}

/* Everything that a checkpoint reaches, its list of free pages included, sorted. What lies behind damage
 * is left out if skips_damage: nobody will read it. */
static vs_status space_collect(vsi_err *err, vsi_engine *engine, const vsi_checkpoint_info *info,
                               bool skips_damage, vsi_buf *used) {
    vsi_walk walk = {
        .visit = space_add_extent, .damaged = skips_damage ? space_skip_damage : NULL, .ctx = used};
    vs_status st = vsi_walk_run(err, &engine->pager, info->catalog, &walk);
    if (st == VS_OK && info->free_list.kind == VSI_REF_FREE)
        st = space_add_extent(used, err, info->free_list);
    vsi_runs_sort(used);
    return st;
}

/* Everything between the extents that are used is free. */
static vs_status space_invert(vsi_err *err, vsi_space *space, const vsi_buf *used, uint64_t end) {
    const vsi_run *runs = (const vsi_run *)(const void *)used->data;
    size_t n = used->bytes / sizeof *runs;
    uint64_t page = VSI_SPACE_FIRST_PAGE;
    vs_status st = vsi_space_expect(err, space, n + 1);
    if (st != VS_OK)
        return st;
    space->end = end;
    space->is_known = true;
    for (size_t i = 0; i < n; i++) {
        if (runs[i].page > page)
            vsi_space_give(space, (vsi_run){page, runs[i].page - page});
        if (runs[i].page + runs[i].pages > page)
            page = runs[i].page + runs[i].pages;
    }
    if (end > page)
        vsi_space_give(space, (vsi_run){page, end - page});
    return VS_OK;
}

static bool space_has_run(const vsi_buf *sorted, vsi_run run) {
    const vsi_run *runs = (const vsi_run *)(const void *)sorted->data;
    size_t low = 0, n = sorted->bytes / sizeof *runs, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (runs[mid].page < run.page)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && runs[low].page == run.page;
}

/* What the checkpoint before reaches and the last one does not is dying; both together are used. */
static vs_status space_merge(vsi_err *err, vsi_engine *engine, uint64_t checkpoint, vsi_buf *used,
                             const vsi_buf *before) {
    const vsi_run *runs = (const vsi_run *)(const void *)before->data;
    size_t n = before->bytes / sizeof *runs;
    vsi_buf dying = {.mem = engine->mem};
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        if (!space_has_run(used, runs[i]))
            ok = vsi_buf_append(&dying, &runs[i], sizeof runs[i]);
    ok = ok && vsi_buf_append(used, dying.data, dying.bytes);
    vs_status st = ok ? vsi_space_expect(err, &engine->pager.space, dying.bytes / sizeof *runs)
                      : vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    const vsi_run *dead = (const vsi_run *)(const void *)dying.data;
    for (size_t i = 0; st == VS_OK && i < dying.bytes / sizeof *dead; i++)
        vsi_space_bury(&engine->pager.space,
                       (vsi_dead_extent){.run = dead[i], .checkpoint = checkpoint});
    vsi_runs_sort(used);
    vsi_buf_free(&dying);
    return st;
}

/* The list of free pages is damaged: what no kept checkpoint reaches is free. */
static vs_status space_rebuild(vsi_err *err, vsi_engine *engine, uint64_t end) {
    const vsi_meta *meta = &engine->metas.newest;
    vsi_space *space = &engine->pager.space;
    vsi_buf used = {.mem = engine->mem}, before = {.mem = engine->mem};
    size_t dead_bytes = space->dead.bytes;
    uint64_t dead_pages = space->dead_pages;
    vs_status st = space_collect(err, engine, &meta->checkpoint, false, &used);
    if (st == VS_OK && meta->previous.log_from)
        st = space_collect(err, engine, &meta->previous, true, &before);
    if (st == VS_OK)
        st = space_merge(err, engine, meta->previous.number, &used, &before);
    if (st == VS_OK)
        st = space_invert(err, space, &used, end);
    if (st != VS_OK) {
        space->dead.bytes = dead_bytes;
        space->dead_pages = dead_pages;
    }
    vsi_buf_free(&used);
    vsi_buf_free(&before);
    return st;
}

/* Before pages of a damaged checkpoint are written to it must not be named any more: were it whole again at
 * the next open, it would lead to them. */
static vs_status freelist_renounce(vsi_err *err, vsi_engine *engine) {
    vs_status st = VS_OK;
    vsi_mutex_lock(&engine->log_lock);
    if (engine->has_gone_back)
        st = vsi_metas_write(err, &engine->data, &engine->metas, &engine->metas.newest);
    if (st == VS_OK)
        engine->has_gone_back = false;
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

/* What the file and its device are like. */
static vs_status freelist_look(vsi_err *err, vsi_engine *engine) {
    vsi_space *space = &engine->pager.space;
    vs_device_info device = {0};
    uint64_t bytes = 0;
    vs_status st = vsi_file_device_info(err, &engine->data, &device);
    if (st == VS_OK)
        st = vsi_file_size(err, &engine->data, &bytes);
    if (st != VS_OK)
        return st;
    if (device.blast_bytes > VSI_PAGE_BYTES)
        space->block_pages = device.blast_bytes / VSI_PAGE_BYTES;
    space->owned = bytes / VSI_PAGE_BYTES;
    return VS_OK;
}

VSI_FN vs_status vsi_freelist_load(vsi_err *err, vsi_engine *engine) {
    vsi_space *space = &engine->pager.space;
    const vsi_checkpoint_info *now = &engine->metas.newest.checkpoint;
    if (space->is_known)
        return VS_OK;
    vs_status st = freelist_renounce(err, engine);
    if (st == VS_OK)
        st = freelist_look(err, engine);
    if (st != VS_OK)
        return st;
    uint64_t end = now->number ? now->end : VSI_SPACE_FIRST_PAGE;
    if (now->free_list.kind == VSI_REF_NONE)
        return space_rebuild(err, engine, end);
    vsi_buf list = {.mem = engine->mem};
    st = vsi_pager_read(err, &engine->pager, now->free_list, VSI_REF_FREE, &list);
    if (st == VS_OK)
        st = vsi_space_read(err, space, (vsi_bytes){list.data, list.bytes}, end, now->number);
    vsi_buf_free(&list);
    if (st != VS_ERR_CORRUPT)
        return st;
    vsi_engine_message(engine, VS_LOG_WARNING, "%s; making it anew", err->text);
    return space_rebuild(err, engine, end);
}

/* What this checkpoint gives up: extents that it replaced, and the list that it replaces. */
static vs_status space_dying(vsi_err *err, const vsi_engine *engine, vsi_buf *out) {
    vsi_ref old = engine->metas.newest.checkpoint.free_list;
    const vsi_dead_extent *dead =
        (const vsi_dead_extent *)(const void *)engine->cow.dead_extents.data;
    bool ok = true;
    for (size_t i = 0; ok && i < engine->cow.dead_extents.bytes / sizeof *dead; i++)
        ok = vsi_buf_append(out, &dead[i].run, sizeof dead[i].run);
    if (ok && old.kind != VSI_REF_NONE) {
        vsi_run run = {vsi_ref_page(old), vsi_ref_pages(old)};
        ok = vsi_buf_append(out, &run, sizeof run);
    }
    return ok ? VS_OK : vsi_fail(err, VS_ERR_NOMEM, "out of memory");
}

/* Makes the list of free pages and room for it; taking the room changes the list. */
static vs_status space_make_list(vsi_err *err, vsi_engine *engine, uint64_t first_kept,
                                 const vsi_buf *dying, vsi_buf *list, uint64_t *out_page,
                                 uint64_t *out_end) {
    vs_status st = vsi_space_write(err, &engine->pager.space, first_kept, dying, list);
    if (st != VS_OK)
        return st;
    /* Taking it may split one run, and what it skips may be another. */
    uint32_t trailer = engine->pager.trailer_bytes;
    size_t pages = (size_t)vsi_pages_for(list->bytes + 2 * sizeof(vsi_run), trailer);
    st = vsi_pager_take(err, &engine->pager, pages, out_page);
    list->bytes = 0;
    if (st == VS_OK)
        st = vsi_space_write(err, &engine->pager.space, first_kept, dying, list);
    *out_end = engine->pager.space.end;
    if (st == VS_OK && first_kept == VSI_NONE_KEPT)
        *out_end = vsi_space_trim_list(list, *out_end);
    size_t pad = pages * VSI_PAGE_BYTES - list->bytes;
    if (st == VS_OK && !vsi_buf_reserve(list, pad))
        st = vsi_fail_nomem(err, pad);
    if (st != VS_OK)
        return st;
    vsi_assert(list->bytes + trailer <= pages * VSI_PAGE_BYTES);
    memset(list->data + list->bytes, 0, pad);
    list->bytes += pad;
    return VS_OK;
}

/* Writes the list of free pages; its own extent is not in it. */
VSI_FN vs_status vsi_freelist_save(vsi_err *err, vsi_engine *engine, uint64_t first_kept,
                                   vsi_ref *out_ref, uint64_t *out_end) {
    vsi_buf list = {.mem = engine->mem}, dying = {.mem = engine->mem};
    uint64_t page = 0;
    vs_status st = space_dying(err, engine, &dying);
    if (st == VS_OK)
        st = space_make_list(err, engine, first_kept, &dying, &list, &page, out_end);
    if (st == VS_OK)
        st = vsi_pager_write_at(err, &engine->pager, VSI_REF_FREE, 0,
                                (vsi_bytes){list.data, list.bytes}, page, out_ref);
    vsi_buf_free(&list);
    vsi_buf_free(&dying);
    return st;
}
/* ---- store/admit.h ---------------------------------------------------------------------------------- */
/* admit.h - whether there is room on the device for what a commit leaves to do. */
#ifndef VSI_ADMIT_H
#define VSI_ADMIT_H

/* uses store/engine.h */

/* Sees to it that the file owns what the next checkpoint will need, with what the open transaction has
 * changed. Transactions that only delete may use up the reserve, others leave it alone. VS_ERR_FULL: the
 * device has no more; engine->wants_room then tells that checkpoints may help. The list of free pages is
 * loaded. Holder of the writer role. */
VS_NODISCARD VSI_FN vs_status vsi_admit(vsi_err *err, vsi_engine *engine, bool only_deletes);

/* The same for a frame of so many bytes in the log; log_lock is held and the log open. */
VS_NODISCARD VSI_FN vs_status vsi_admit_frame(vsi_err *err, vsi_engine *engine, size_t bytes,
                                              bool only_deletes);

/* Gives half of what the file owns behind its end back to the device, so that a log may begin. False: there
 * is nothing to give. Holder of the writer role. */
VSI_FN bool vsi_admit_give_back(vsi_engine *engine);

/* How much of the file is kept in reserve, in pages. */
VSI_FN uint64_t vsi_admit_reserve(const vsi_space *space);

#endif
/* ---- store/admit.c ---------------------------------------------------------------------------------- */
/* admit.c - space is reserved before it is needed, so that a full disk is met by the commit that wants more,
 * and not by the checkpoint that would make room.
 *
 *   Q1  When a commit is acknowledged the file owns what a checkpoint of everything needs: it can be made
 *       although the device is full.
 *   Q2  What is kept in reserve beyond that is for transactions that only delete, and comes back by two
 *       checkpoints: the pages that they replaced are free then. */
/* uses store/admit.h */

/* The reserve is this share of the file, within these bounds. Smaller in some tests. */
enum { ADMIT_SHARE = 16, ADMIT_PAGES_MAX = 1024, ADMIT_LOG_SHARE = 64, ADMIT_LOG_MAX = 1 << 20 };
#ifndef VSI_RESERVE_PAGES
#define VSI_RESERVE_PAGES 64
#endif
#ifndef VSI_RESERVE_LOG_BYTES
#define VSI_RESERVE_LOG_BYTES (64 << 10)
#endif

/* A changed collection's entry of the catalog, and the nodes above it. */
enum { ADMIT_CATALOG_NODES = 4, ADMIT_ROUNDING_SHARE = 8 };

VSI_FN uint64_t vsi_admit_reserve(const vsi_space *space) {
    uint64_t pages = space->end / ADMIT_SHARE;
    pages = pages < VSI_RESERVE_PAGES ? VSI_RESERVE_PAGES : pages;
    return pages < ADMIT_PAGES_MAX ? pages : ADMIT_PAGES_MAX;
}

static void admit_add_slabs(vsi_engine *engine, vsi_page_count *need) {
    for (vsi_desc *desc = vsi_descs_from(&engine->descs, 0); desc;
         desc = vsi_descs_from(&engine->descs, (uint64_t)desc->id + 1)) {
        vsi_page_count before = *need;
        for (uint32_t i = 0; i < vsi_desc_arrays(desc); i++)
            vsi_slabs_need(vsi_desc_array(desc, i), need);
        if (need->single != before.single)
            vsi_page_count_add(need, 1, ADMIT_CATALOG_NODES);
    }
}

/* Two lists of free pages, one more checkpoint being needed to free what the first replaced. */
static void admit_add_lists(const vsi_space *space, vsi_page_count *need) {
    uint64_t runs = (space->runs.bytes + space->dead.bytes) / sizeof(vsi_run) + need->single +
                    need->middle + need->large;
    uint64_t pages = runs * sizeof(vsi_run) / VSI_PAGE_BYTES + 2;
    vsi_page_count_add(need, pages, 2);
}

/* At most the pages that a checkpoint of everything takes. */
static vsi_page_count admit_need(vsi_engine *engine) {
    vsi_page_count need = vsi_cow_pages(&engine->cow);
    admit_add_slabs(engine, &need);
    need.single += need.single / ADMIT_ROUNDING_SHARE + 2 * engine->pager.space.block_pages;
    admit_add_lists(&engine->pager.space, &need);
    return need;
}

static void admit_wants_room(vsi_engine *engine) {
    vsi_mutex_lock(&engine->log_lock);
    engine->wants_room = true;
    vsi_mutex_unlock(&engine->log_lock);
}

VSI_FN vs_status vsi_admit(vsi_err *err, vsi_engine *engine, bool only_deletes) {
    vsi_space *space = &engine->pager.space;
    vsi_err cause = {0};
    vsi_assert(space->is_known);
    vsi_page_count need = admit_need(engine);
    uint64_t pages = need.single + need.middle + need.large, reserve = vsi_admit_reserve(space);
    if (vsi_space_fits(space, need, reserve))
        return VS_OK;
    vs_status st = vsi_pager_own(&cause, &engine->pager, space->end + pages + reserve);
    if (st == VS_ERR_FULL)
        admit_wants_room(engine);
    if (st == VS_ERR_FULL && only_deletes) {
        if (vsi_space_fits(space, need, 0))
            return VS_OK;
        st = vsi_pager_own(&cause, &engine->pager, space->end + pages);
    }
    if (st == VS_ERR_FULL)
        return vsi_fail(err, st,
                        "%s: the disk is full: %llu KiB are to be written at the next checkpoint; "
                        "deleting is possible as long as the reserve of %llu KiB lasts",
                        engine->path, (unsigned long long)pages * VSI_PAGE_BYTES / 1024,
                        (unsigned long long)reserve * VSI_PAGE_BYTES / 1024);
    if (st != VS_OK)
        *err = cause;
    return st; /* keeps Q1 */
}

VSI_FN bool vsi_admit_give_back(vsi_engine *engine) {
    vsi_space *space = &engine->pager.space;
    vsi_err ignored = {0};
    uint64_t end = vsi_engine_file_end(engine);
    if (!space->is_known || space->owned == UINT64_MAX || space->owned <= end + 1)
        return false;
    uint64_t kept = end + (space->owned - end) / 2;
    space->owned = kept;
    vsi_windows_cut(&engine->pager.windows, kept * VSI_PAGE_BYTES); /* keeps D3 of store/window */
    return vsi_file_truncate(&ignored, &engine->data, kept * VSI_PAGE_BYTES) == VS_OK;
}

VSI_FN vs_status vsi_admit_frame(vsi_err *err, vsi_engine *engine, size_t bytes,
                                 bool only_deletes) {
    uint64_t reserve = engine->metas.newest.checkpoint.end * VSI_PAGE_BYTES / ADMIT_LOG_SHARE;
    reserve = reserve < VSI_RESERVE_LOG_BYTES ? VSI_RESERVE_LOG_BYTES : reserve;
    reserve = reserve < ADMIT_LOG_MAX ? reserve : ADMIT_LOG_MAX;
    vs_status st = vsi_log_own(err, &engine->log, bytes, reserve);
    if (engine->log.is_tight && vsi_log_bytes(&engine->log) >= 2 * reserve)
        engine->wants_room =
            true; /* before a commit has to be refused: the log itself is what can go */
    if (st != VS_ERR_FULL)
        return st;
    engine->wants_room = true;
    return only_deletes ? VS_OK : st;
}
/* ---- store/spill.h ---------------------------------------------------------------------------------- */
/* spill.h - moves changes that are not in a checkpoint yet out of memory when the limit asks for it. */
#ifndef VSI_SPILL_H
#define VSI_SPILL_H

/* uses store/engine.h */

/* Lets what the file has leave memory; if that is not enough, writes slabs and then the trees of state, the
 * newest one, to pages that nothing in the file leads to. Nodes of the pager's taken are the caller's to
 * keep or undo with the state. True: trees were written, places in them are not valid any more. A failure
 * only leaves more in memory. Holder of the writer role, who does not stay. */
VSI_FN bool vsi_spill(vsi_engine *engine, vsi_state *state);

/* More of trees changed than should stay in memory. */
VSI_FN bool vsi_spill_trees_are_large(const vsi_engine *engine);

#endif
/* ---- store/spill.c ---------------------------------------------------------------------------------- */
/* spill.c - changes leave memory before there is a checkpoint. */
/* uses store/spill.h */
/* uses store/admit.h */
/* uses store/budget.h */
/* uses store/flush.h */
/* uses store/freelist.h */

/* More than this changed in memory asks for a checkpoint. Smaller in some tests. */
#ifndef VSI_DIRTY_BYTES
#define VSI_DIRTY_BYTES (64 << 20)
#endif
/* Less than a share of the limit, and less than VSI_SPILL_BYTES, is not worth writing early: what cannot
 * leave memory (frames of the log, what snapshots need) may exceed the limit by itself, and then each call
 * would write the same slabs anew, to other pages. */
enum { SPILL_TREES_SHARE = 4, SPILL_SLABS_SHARE = 16 };
#ifndef VSI_SPILL_BYTES
#define VSI_SPILL_BYTES (256 << 10)
#endif

static uint64_t spill_at_least(uint64_t bytes) {
    return bytes > VSI_SPILL_BYTES ? bytes : VSI_SPILL_BYTES;
}

VSI_FN bool vsi_spill_trees_are_large(const vsi_engine *engine) {
    uint64_t limit = spill_at_least(engine->pager.reside.limit_bytes / SPILL_TREES_SHARE);
    limit = limit < VSI_DIRTY_BYTES ? limit : VSI_DIRTY_BYTES;
    return engine->cow.bytes - engine->cow.dead_bytes >= limit;
}

/* The state's trees into the file; on a failure nothing has changed. */
static vs_status spill_trees(vsi_err *err, vsi_engine *engine, vsi_state *state) {
    vsi_state work = *state;
    size_t taken = engine->pager.taken.bytes;
    vs_status st = vsi_pager_flush(err, &engine->pager);
    if (st != VS_OK)
        return st;
    vsi_cow_mark mark = vsi_cow_open(&engine->cow);
    st = vsi_flush_trees(err, &work);
    if (st == VS_OK) {
        vsi_cow_keep(&engine->cow, mark);
        *state = work;
        state->changes++;
        engine->has_spilled_trees = true;
        return VS_OK;
    }
    vsi_cow_undo(&engine->cow, mark);
    vsi_pager_undo_to(&engine->pager, taken);
    return st;
}

static bool spill_run(vsi_err *err, vsi_engine *engine, vsi_state *state) {
    uint64_t limit = engine->pager.reside.limit_bytes;
    uint64_t excess = vsi_reside_excess(&engine->pager.reside, limit / SPILL_TREES_SHARE);
    bool has_slabs = vsi_flush_slabs_left(state) >= spill_at_least(limit / SPILL_SLABS_SHARE);
    bool has_trees = vsi_spill_trees_are_large(engine);
    if ((!has_slabs && !has_trees) || vsi_freelist_load(err, engine) != VS_OK ||
        vsi_admit(err, engine, false) != VS_OK)
        return false;
    if (has_slabs && vsi_flush_slabs_early(err, state, excess) != VS_OK)
        return false;
    return has_trees && spill_trees(err, engine, state) == VS_OK;
}

VSI_FN bool vsi_spill(vsi_engine *engine, vsi_state *state) {
    vsi_reside *reside = &engine->pager.reside;
    vsi_err ignored = {0};
    bool has_moved = false;
    vsi_budget_keep(&engine->pager, &engine->descs);
    if (!vsi_reside_excess(reside, 0) || engine->config.is_readonly || !engine->may_spill)
        return false;
    vsi_stay stay = vsi_stay_enter(reside);
    has_moved = spill_run(&ignored, engine, state);
    vsi_stay_leave(reside, stay);
    if (!engine->pager.out.bytes)
        vsi_buf_free(&engine->pager.out);
    vsi_budget_keep(&engine->pager, &engine->descs);
    return has_moved;
}
/* ---- store/savepoint.h ---------------------------------------------------------------------------------- */
/* savepoint.h - places in a transaction that it can go back to; the same for a live one and for recovery.
 *
 * Each is a scope of the copy on write inside the one before, so what it must bring back is still there. */
#ifndef VSI_SAVEPOINT_H
#define VSI_SAVEPOINT_H

/* uses store/engine.h */

typedef struct vsi_savepoint {
    vsi_state state;
    vsi_cow_mark mark;
    size_t pages_bytes;                         /* of the pager's taken */
    size_t ops_bytes, freed_bytes, taken_bytes; /* for store/write, as the next */
    bool has_grown;
} vsi_savepoint;

/* Savepoints of a transaction, the outermost first; numbers count from 1. */
typedef struct vsi_savepoints {
    vsi_engine *engine; /* borrowed */
    vsi_buf list;       /* vsi_savepoint */
    uint32_t count;
} vsi_savepoints;

VSI_FN vsi_savepoint *vsi_savepoints_at(const vsi_savepoints *points, uint32_t number);

/* Opens one inside all others. VS_ERR_LIMIT, VS_ERR_NOMEM. */
VS_NODISCARD VSI_FN vs_status vsi_savepoints_open(vsi_err *err, vsi_savepoints *points,
                                                  const vsi_state *state);
/* The state as it was when this one, which is open, was opened; it stays open, those inside end. */
VSI_FN void vsi_savepoints_rollback_to(vsi_savepoints *points, uint32_t number, vsi_state *state);
/* Ends this one, if it is open, and those inside; what was changed stays. */
VSI_FN void vsi_savepoints_release(vsi_savepoints *points, uint32_t number);

#endif
/* ---- store/savepoint.c ---------------------------------------------------------------------------------- */
/* savepoint.c - nested scopes of a transaction.
 *
 *   R1  The scopes of the savepoints are the innermost open ones, in their order. A statement's scope
 *       ends before one is opened or ended.
 *   R2  Going back and ending need no memory, so they cannot fail. */
/* uses store/savepoint.h */

VSI_FN vsi_savepoint *vsi_savepoints_at(const vsi_savepoints *points, uint32_t number) {
    vsi_assert(number >= 1);
    vsi_assert(number <= points->count);
    return (vsi_savepoint *)(void *)points->list.data + (number - 1);
}

VSI_FN vs_status vsi_savepoints_open(vsi_err *err, vsi_savepoints *points, const vsi_state *state) {
    vsi_savepoint point;
    if (points->count >= VS_SAVEPOINTS_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "%lu savepoints are open, the limit is %u",
                        (unsigned long)points->count, VS_SAVEPOINTS_MAX);
    if (!vsi_buf_reserve(&points->list, sizeof point))
        return vsi_fail_nomem(err, sizeof point);
    memset(&point, 0, sizeof point);
    point.state = *state;
    point.mark = vsi_cow_open(&points->engine->cow);
    point.pages_bytes = points->engine->pager.taken.bytes;
    vsi_buf_append(&points->list, &point, sizeof point);
    points->count++;
    return VS_OK;
}

static void savepoints_drop(vsi_savepoints *points) {
    points->count--;
    points->list.bytes -= sizeof(vsi_savepoint);
}

VSI_FN void vsi_savepoints_rollback_to(vsi_savepoints *points, uint32_t number, vsi_state *state) {
    vsi_engine *engine = points->engine;
    for (; points->count > number; savepoints_drop(points)) /* R1 */
        vsi_cow_undo(&engine->cow, vsi_savepoints_at(points, points->count)->mark);
    vsi_savepoint *point = vsi_savepoints_at(points, number);
    vsi_cow_undo(&engine->cow, point->mark);
    vsi_pager_undo_to(&engine->pager, point->pages_bytes);
    uint64_t changes = state->changes;
    *state = point->state;
    state->changes = changes + 1; /* cursors must look again */
    point->mark = vsi_cow_open(&engine->cow);
}

VSI_FN void vsi_savepoints_release(vsi_savepoints *points, uint32_t number) {
    for (; points->count >= number; savepoints_drop(points))
        vsi_cow_keep(&points->engine->cow, vsi_savepoints_at(points, points->count)->mark);
    if (!points->count)
        vsi_buf_free(&points->list);
}
/* ---- store/open.h ---------------------------------------------------------------------------------- */
/* open.h - opening a database. */
#ifndef VSI_OPEN_H
#define VSI_OPEN_H

/* uses store/engine.h */

/* Opens a database: lock, meta pages, recovery. The engine is freed by vsi_engine_close, or is NULL
 * on failure. */
VSI_FN vs_status vsi_engine_open(vsi_err *err, const vsi_engine_config *config,
                                 vsi_engine **out_engine);

#endif
/* ---- store/open.c ---------------------------------------------------------------------------------- */
/* open.c - opening a database: its file, the meta pages, recovery.
 *
 *   N1  Opening changes no file, except that creating makes one and a writer notes its process
 *       id in the space between the meta pages and repairs a torn spare page. The first commit
 *       begins a log file of this session's own. Recovery beyond the memory limit also writes to
 *       pages that no checkpoint reaches.
 *   N2  Recovery applies exactly the transactions whose COMMIT frame counts, in order, through
 *       vsi_apply, and compares the digest that each commit recorded. */
/* uses store/open.h */
/* uses store/savepoint.h */
/* uses store/spill.h */

/* ---- opening: the file ---------------------------------------------------------------------- */

/* The names of its logs must fit as well. */
static vs_status open_check_name(vsi_err *err, const char *path) {
    const char *slash = strrchr(path, '/');
    size_t bytes = strlen(slash ? slash + 1 : path);
    if (bytes <= VSI_NAME_BYTES_MAX)
        return VS_OK;
    return vsi_fail(err, VS_ERR_LIMIT, "%s: the name has %zu bytes, expected at most %d", path,
                    bytes, VSI_NAME_BYTES_MAX);
}

static vs_status open_data_file(vsi_err *err, vsi_engine *engine) {
    const vsi_engine_config *config = &engine->config;
    uint32_t mode = config->is_readonly ? VS_VFS_READ : VS_VFS_WRITE;
    if (config->may_create && !config->is_readonly)
        mode |= VS_VFS_CREATE;
    vs_status st =
        vsi_os_full_path(err, config->vfs, config->path, engine->path, sizeof engine->path);
    if (st == VS_OK)
        st = open_check_name(err, engine->path);
    if (st == VS_OK)
        st = vsi_file_open(err, engine->mem, config->vfs, engine->path, mode, &engine->data);
    if (st == VS_ERR_NOT_FOUND && !config->may_create)
        return vsi_fail(err, st, "%s does not exist (VS_OPEN_CREATE would create it)",
                        config->path);
    if ((st == VS_ERR_READONLY || st == VS_ERR_DENIED) && !config->is_readonly)
        return vsi_fail_in(err, "cannot write (VS_OPEN_READONLY may do)");
    return st;
}

static vs_status open_lock(vsi_err *err, vsi_engine *engine) {
    bool is_readonly = engine->config.is_readonly;
    vs_status st =
        vsi_file_lock(err, &engine->data, is_readonly ? VS_VFS_SHARED : VS_VFS_EXCLUSIVE_LOCK);
    if (st != VS_ERR_BUSY)
        return st;
    uint64_t holder = vsi_session_read(&engine->data);
    if (!holder)
        return vsi_fail(err, st, "%s is in use by another process or handle", engine->path);
    return vsi_fail(err, st, "%s is in use; process %llu was the last to open it for writing",
                    engine->path, (unsigned long long)holder);
}

/* A log file beside a data file that has no database means that there was one. */
static vs_status open_refuse_log(vsi_err *err, vsi_engine *engine, uint64_t generation) {
    char path[VSI_PATH_BYTES_MAX];
    vsi_file log;
    vs_status st = vsi_log_path(err, engine->path, generation, path);
    if (st == VS_OK)
        st = vsi_file_open(err, engine->mem, engine->config.vfs, path, VS_VFS_READ, &log);
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    vsi_file_close(&log);
    return vsi_fail(err, VS_ERR_CORRUPT, "%s is empty, yet its log %s exists", engine->path, path);
}

/* A file without a database in it: make one, unless a log lies beside it that says there was one.
 */
static vs_status open_new(vsi_err *err, vsi_engine *engine) {
    const vsi_engine_config *config = &engine->config;
    if (!config->may_create || config->is_readonly)
        return vsi_fail(err, VS_ERR_NOT_DB, "%s is empty, not a database", engine->path);
    vs_status st = VS_OK;
    for (uint64_t i = 1; st == VS_OK && i <= VSI_LOG_STRAYS_MAX; i++)
        st = open_refuse_log(err, engine, i);
    if (st != VS_OK)
        return st;
    return vsi_metas_create(err, &engine->data, config->vfs->wall_us(config->vfs->ctx),
                            config->trailer_bytes, &engine->metas);
}

static vs_status open_metas(vsi_err *err, vsi_engine *engine) {
    bool is_new = false;
    vs_status st = vsi_metas_read(err, &engine->data, &engine->metas, &is_new);
    if (st != VS_OK)
        return st;
    if (is_new)
        return open_new(err, engine);
    if (engine->metas.is_damaged)
        vsi_engine_message(engine, VS_LOG_WARNING,
                           "%s: one of the two meta pages is damaged; the other one serves",
                           engine->path);
    if (engine->config.is_readonly)
        return VS_OK;
    if (!vsi_meta_may_write(&engine->metas.newest))
        return vsi_fail(err, VS_ERR_TOO_NEW,
                        "%s uses features that version %s can only read (VS_OPEN_READONLY)",
                        engine->path, VS_VERSION);
    vsi_err repair = {0};
    if (vsi_engine_settle_metas(&repair, engine) != VS_OK)
        vsi_engine_message(engine, VS_LOG_WARNING, "%s", repair.text);
    return VS_OK;
}

/* ---- opening: recovery ---------------------------------------------------------------------- */

typedef struct recovery {
    vsi_engine *engine;
    vsi_replay replay;
    vsi_state state; /* committed so far */
    vsi_state work;  /* with the operations of the streamed transaction that is open */
    bool in_txn;
    uint64_t txn;
    vsi_cow_mark mark;
    size_t taken_bytes;    /* of the pager, when the transaction began */
    vsi_savepoints points; /* of the transaction */
    uint64_t commit_lsn, first_cont_lsn;
    const vsi_checkpoint_info *from;
} recovery;

/* Opens, ends or goes back to a savepoint, as the transaction did. */
static vs_status recovery_savepoint(vsi_err *err, vsi_savepoints *points, vsi_state *state,
                                    const vsi_op *op) {
    bool opens = op->kind == VSI_OP_SAVEPOINT;
    bool fits = opens ? op->savepoint == points->count + 1 && points->count < VS_SAVEPOINTS_MAX
                      : op->savepoint >= 1 && op->savepoint <= points->count;
    if (!fits)
        return vsi_fail(err, VS_ERR_CORRUPT, "operation of kind %d on savepoint %lu: %lu are open",
                        op->kind, (unsigned long)op->savepoint, (unsigned long)points->count);
    if (opens)
        return vsi_savepoints_open(err, points, state);
    if (op->kind == VSI_OP_ROLLBACK_TO)
        vsi_savepoints_rollback_to(points, op->savepoint, state);
    else
        vsi_savepoints_release(points, op->savepoint);
    return VS_OK;
}

static vs_status recovery_apply(vsi_err *err, vsi_savepoints *points, vsi_state *state,
                                vsi_bytes payload) {
    for (size_t pos = 0; pos < payload.bytes;) {
        vsi_op op;
        bool is_known = false;
        vs_status st = vsi_op_read(err, payload, &pos, &op, &is_known);
        if (st == VS_OK && is_known && vsi_op_is_mark(op.kind))
            st = recovery_savepoint(err, points, state, &op);
        else if (st == VS_OK && is_known)
            st = vsi_apply(err, state, &op, NULL);
        if (st != VS_OK)
            return st;
    }
    return VS_OK;
}

/* The streamed transaction never committed. */
static void recovery_undo(recovery *r) {
    vsi_savepoints_release(&r->points, 1);
    if (r->in_txn) {
        vsi_cow_undo(&r->engine->cow, r->mark);
        vsi_pager_undo_to(&r->engine->pager, r->taken_bytes);
        vsi_descs_undo(&r->engine->descs, &r->engine->pager);
    }
    r->in_txn = false;
}

static vs_status recovery_frame(vsi_err *err, recovery *r, const vsi_frame *frame,
                                vsi_bytes payload) {
    if (r->in_txn && frame->txn != r->txn)
        recovery_undo(r);
    if (!r->in_txn && frame->kind == VSI_FRAME_CONT) {
        r->mark = vsi_cow_open(&r->engine->cow);
        r->engine->pager.writer++;
        r->taken_bytes = r->engine->pager.taken.bytes;
        r->in_txn = true;
        r->txn = frame->txn;
        r->work = r->state;
        r->first_cont_lsn = frame->lsn;
    }
    vs_status st = recovery_apply(err, &r->points, r->in_txn ? &r->work : &r->state, payload);
    if (st != VS_OK)
        return vsi_fail_in(err, "%s: log frame %llu", r->engine->path,
                           (unsigned long long)frame->lsn);
    vsi_spill(r->engine, r->in_txn ? &r->work : &r->state);
    if (frame->kind == VSI_FRAME_CONT)
        return VS_OK;
    vsi_savepoints_release(&r->points, 1);
    if (r->in_txn) {
        vsi_cow_keep(&r->engine->cow, r->mark);
        r->state = r->work;
        r->in_txn = false;
    }
    r->commit_lsn = frame->lsn;
    r->engine->recovered_txns++;
    return VS_OK;
}

/* Gives the log the frames that may not be durable, as if this session had written them; the first
 * commit takes them along into its new file. */
static vs_status recovery_keep_tail(vsi_err *err, recovery *r, uint64_t end_lsn) {
    for (uint64_t lsn = r->replay.durable_lsn + 1; lsn <= end_lsn; lsn++) {
        vsi_frame frame;
        vsi_bytes payload = {0};
        vs_status st = vsi_replay_reread(err, &r->replay, lsn, &frame, &payload);
        if (st == VS_OK)
            st = vsi_log_keep(err, &r->engine->log, &frame, payload.data);
        if (st != VS_OK)
            return st;
    }
    return VS_OK;
}

static vs_status recovery_finish(vsi_err *err, recovery *r) {
    vsi_engine *engine = r->engine;
    const vsi_replay *replay = &r->replay;
    uint64_t end_lsn = r->commit_lsn > replay->durable_lsn ? r->commit_lsn : replay->durable_lsn;
    engine->dropped_lsn = replay->dropped_lsn;
    engine->dropped_bytes = replay->dropped_bytes;
    if (r->in_txn && end_lsn < r->first_cont_lsn)
        engine->dropped_lsn = r->first_cont_lsn;
    recovery_undo(r);
    if (engine->dropped_lsn)
        vsi_engine_message(engine, VS_LOG_INFO,
                           "%s: the log ends in a torn or unfinished write; dropped from frame "
                           "%llu on, none of it was durable",
                           engine->path, (unsigned long long)engine->dropped_lsn);
    vsi_log *log = &engine->log;
    log->generation = engine->metas.newest.generation;
    log->durable_lsn = replay->durable_lsn;
    log->durable_chain = replay->durable_chain;
    log->next_lsn = end_lsn + 1;
    log->older_bytes = replay->total_bytes;
    return engine->config.is_readonly ? VS_OK : recovery_keep_tail(err, r, end_lsn);
}

static vs_status recovery_run(vsi_err *err, recovery *r) {
    vsi_engine *engine = r->engine;
    vs_status st = vsi_replay_open(err, engine->mem, engine->config.vfs, engine->path,
                                   &engine->metas.newest, r->from, &r->replay);
    while (st == VS_OK) {
        vsi_frame frame;
        vsi_bytes payload;
        st = vsi_replay_next(err, &r->replay, &frame, &payload);
        if (st != VS_OK || r->replay.is_done)
            break;
        st = recovery_frame(err, r, &frame, payload); /* keeps N2 */
    }
    return st == VS_OK ? recovery_finish(err, r) : st;
}

/* The state that a checkpoint left in the file. */
static vs_status open_load(vsi_err *err, vsi_engine *engine, const vsi_checkpoint_info *from,
                           vsi_state *out_state) {
    uint64_t bytes = 0;
    vs_status st = vsi_file_size(err, &engine->data, &bytes);
    if (st == VS_OK && from->end > bytes / VSI_PAGE_BYTES)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s is truncated: it has %llu bytes, expected %llu",
                      engine->path, (unsigned long long)bytes,
                      (unsigned long long)from->end * VSI_PAGE_BYTES);
    if (st != VS_OK)
        return st;
    vsi_pager_open_to(&engine->pager, from->end);
    *out_state = vsi_state_empty(&engine->cow, &engine->descs);
    out_state->catalog.root = from->catalog;
    out_state->catalog.count = from->catalog_count;
    out_state->digest = from->digest;
    return vsi_state_load(err, out_state);
}

/* Frees and notes what recovery replaced: nobody reads it. */
static vs_status recovery_bury(vsi_err *err, vsi_engine *engine) {
    size_t dead = engine->cow.dead_extents.bytes / sizeof(vsi_dead_extent);
    vs_status st = vsi_space_expect(err, &engine->pager.space, dead);
    if (st == VS_OK)
        vsi_engine_bury(engine, engine->versions.applied, engine->metas.newest.checkpoint.number);
    vsi_cow_free_dead(&engine->cow, engine->versions.applied->dead);
    engine->versions.applied->dead = NULL;
    return st;
}

/* The state of a checkpoint and of the log behind it. */
static vs_status open_recover_from(vsi_err *err, vsi_engine *engine,
                                   const vsi_checkpoint_info *from) {
    recovery *r = vsi_alloc_zeroed(engine->mem, sizeof *r);
    if (!r)
        return vsi_fail_nomem(err, sizeof *r);
    r->engine = engine;
    r->from = from;
    r->points = (vsi_savepoints){.engine = engine, .list = {.mem = engine->mem}};
    r->commit_lsn = from->lsn;
    engine->pager.birth = (uint32_t)(from->number + 1);
    vsi_cow_mark mark = vsi_cow_open(&engine->cow);
    vs_status st = open_load(err, engine, from, &r->state);
    if (st == VS_OK)
        st = recovery_run(err, r);
    if (st == VS_OK)
        st = vsi_state_settle(err, &r->state);
    if (st == VS_OK) {
        vsi_cow_keep(&engine->cow, mark);
        vsi_pager_keep(&engine->pager);
    } else {
        recovery_undo(r);
        vsi_cow_undo(&engine->cow, mark);
        vsi_pager_undo(&engine->pager);
    }
    if (st == VS_OK)
        st = recovery_bury(err, engine);
    if (st == VS_OK) {
        vsi_version *version = engine->versions.applied;
        version->state = r->state;
        version->lsn = r->commit_lsn;
        version->scope = engine->cow.last_scope;
        version->checkpoint = from->number;
        engine->last_coll = version->state.last_coll;
        uint32_t last_desc = vsi_descs_last_id(&engine->descs);
        if (last_desc >
            engine->last_coll) /* readers may look at it: it must not become another one */
            engine->last_coll = last_desc;
    }
    vsi_replay_free(&r->replay);
    vsi_free(engine->mem, r, sizeof *r);
    return st;
}

/* The newest checkpoint is damaged where recovery needed it: the one before, if it and its log are still
 * there, leads to the same state. */
static vs_status open_go_back(vsi_err *err, vsi_engine *engine) {
    vsi_meta *meta = &engine->metas.newest;
    vsi_err second = {0};
    vsi_engine_message(engine, VS_LOG_WARNING,
                       "%s; going back to checkpoint %llu and the log behind it", err->text,
                       (unsigned long long)meta->previous.number);
    engine->recovered_txns = 0;
    /* What was read of the newest one is free to be written to. */
    vsi_pager_forget(&engine->pager,
                     (vsi_run){VSI_SPACE_FIRST_PAGE,
                               vsi_ordered_load(&engine->pager.end) - VSI_SPACE_FIRST_PAGE});
    engine->may_spill = false; /* the list of free pages is the other checkpoint's */
    engine->pager.dropped.bytes = 0;
    vsi_space_free(&engine->pager.space);
    vsi_space_init(&engine->pager.space, engine->mem);
    if (engine->config.maps_slabs)
        vsi_pager_allow_maps(&engine->pager);
    vsi_descs_free(&engine->descs);
    if (!vsi_descs_init(&engine->descs, engine->mem))
        return vsi_fail_nomem(err, sizeof engine->descs);
    vs_status st = open_recover_from(&second, engine, &meta->previous);
    if (st == VS_ERR_CORRUPT || st == VS_ERR_LOG_MISSING)
        return err->code & 0xff; /* the first message says more */
    if (st != VS_OK) {
        *err = second;
        return st;
    }
    meta->checkpoint = meta->previous;
    meta->previous = (vsi_checkpoint_info){.log_from = 0};
    engine->has_gone_back = true;
    return VS_OK;
}

static vs_status open_recover(vsi_err *err, vsi_engine *engine) {
    const vsi_meta *meta = &engine->metas.newest;
    engine->may_spill = true;
    vs_status st = open_recover_from(err, engine, &meta->checkpoint);
    if (st == VS_ERR_CORRUPT && meta->previous.log_from)
        st = open_go_back(err, engine);
    engine->may_spill = true;
    return st;
}

/* ---- all ------------------------------------------------------------------------------------ */

static vs_status open_steps(vsi_err *err, vsi_engine *engine) {
    vs_status st = open_data_file(err, engine);
    if (st == VS_OK)
        st = open_lock(err, engine);
    engine->data.failed_syncs = &engine->failed_syncs;
    if (st == VS_OK)
        st = open_metas(err, engine);
    if (st != VS_OK)
        return st;
    engine->pager.trailer_bytes = engine->metas.newest.trailer_bytes;
    engine->log = (vsi_log){.mem = engine->mem,
                            .vfs = engine->config.vfs,
                            .path = engine->path,
                            .data = &engine->data,
                            .metas = &engine->metas,
                            .next_lsn = 1};
    st = open_recover(err, engine);
    if (st == VS_OK && !engine->config.is_readonly)
        vsi_session_write(&engine->data, engine->config.vfs->process_id(engine->config.vfs->ctx));
    return st;
}

VSI_FN vs_status vsi_engine_open(vsi_err *err, const vsi_engine_config *config,
                                 vsi_engine **out_engine) {
    vsi_engine *engine = vsi_engine_new(config);
    *out_engine = NULL;
    if (!engine)
        return vsi_fail_nomem(err, sizeof *engine);
    vs_status st = open_steps(err, engine);
    if (st != VS_OK) {
        vsi_engine_free(engine);
        return st;
    }
    engine->last_sync_us = config->vfs->ticks_us(config->vfs->ctx);
    *out_engine = engine;
    return VS_OK;
}
/* ---- store/write.h ---------------------------------------------------------------------------------- */
/* write.h - write transactions: stage operations, commit them through the log, or drop them, all or those
 * behind a savepoint. */
#ifndef VSI_WRITE_H
#define VSI_WRITE_H

/* uses store/savepoint.h */
/* uses store/spill.h */

/* What the log has of a transaction's savepoints. */
typedef struct vsi_logged_points {
    uint32_t count;       /* of those that are open, it knows this many, the outermost ones */
    uint32_t depth;       /* open for it; those above count have been released since */
    uint32_t rollback_to; /* it must go back to this one before it goes on; 0: it need not */
} vsi_logged_points;

/* A write transaction. It holds the writer role from begin to commit or rollback. */
typedef struct vsi_write {
    vsi_engine *engine;
    vsi_state state; /* with the changes so far; reads of the transaction see it */
    vsi_cow_mark mark;
    vsi_buf ops;       /* VSI_LOG_BUF_FRONT bytes, then operations not in the log yet */
    vsi_buf freed;     /* vsi_freed_slot: given up by this transaction */
    vsi_buf taken;     /* vsi_freed_slot: taken from the pools */
    uint64_t txn;      /* its number: that of its first frame */
    int64_t time_us;   /* when it began, on the wall clock */
    bool has_streamed; /* some of its frames are in the log */
    bool has_grown;    /* it has done more than delete */
    vsi_savepoints points;
    vsi_logged_points logged;
} vsi_write;

/* One call of the user within a transaction; what it staged is kept or undone as a whole. */
typedef struct vsi_statement {
    vsi_stay stay; /* what the call reads stays until its end */
    vsi_state state;
    vsi_cow_mark mark;
    size_t ops_bytes, freed_bytes, taken_bytes;
    bool has_grown;
} vsi_statement;

/* The writer role by itself, waiting as long as the engine's configuration says, or not at all. VS_ERR_BUSY,
 * VS_ERR_MISUSE: this thread holds it, or is being asked whether it waits for it. */
VS_NODISCARD VSI_FN vs_status vsi_role_take(vsi_err *err, vsi_engine *engine, bool may_wait);
/* Whether a thread waits that is being asked. */
VSI_FN bool vsi_role_is_waited_for(vsi_engine *engine);
VSI_FN void vsi_role_give(vsi_engine *engine);

/* Takes the writer role, waiting for it if need be. VS_ERR_BUSY, VS_ERR_MISUSE (as vsi_role_take),
 * VS_ERR_READONLY, VS_ERR_NOMEM. */
VSI_FN vs_status vsi_write_begin(vsi_err *err, vsi_engine *engine, vsi_write *out_write);

VSI_FN void vsi_write_rollback(vsi_write *write);

/* Ends the transaction and gives the role back, whatever it returns. sync is VS_SYNC_...
 * VS_ERR_INDOUBT when it is unknown whether the commit will be found after a crash. */
VSI_FN vs_status vsi_write_commit(vsi_err *err, vsi_write *write, int sync);

/* Savepoints, between statements. Numbers count from 1, the outermost. VS_ERR_LIMIT, VS_ERR_NOMEM. */
VSI_FN vs_status vsi_write_savepoint(vsi_err *err, vsi_write *write, uint32_t *out_number);
/* Drops what was changed since this one was opened, and ends those inside it; ends it and those inside it,
 * and keeps what was changed. VS_ERR_MISUSE: it is not open; nothing else can fail. */
VSI_FN vs_status vsi_write_rollback_to(vsi_err *err, vsi_write *write, uint32_t number);
VSI_FN vs_status vsi_write_release(vsi_err *err, vsi_write *write, uint32_t number);

/* First moves what earlier statements staged to the log when it has become much; when that fails
 * there is no statement, and all that was staged still is. */
VSI_FN vs_status vsi_statement_begin(vsi_err *err, vsi_write *write, vsi_statement *out_statement);
/* Stages one operation: its bytes for the log, its effect on the state. */
VSI_FN vs_status vsi_statement_apply(vsi_err *err, vsi_write *write, const vsi_op *op);
/* Ends a statement that succeeded, or one that did not. */
VSI_FN void vsi_statement_keep(vsi_write *write, vsi_statement *statement);
VSI_FN void vsi_statement_undo(vsi_write *write, vsi_statement *statement);

/* A slot for a new record, to be used in a put of the same statement. */
VSI_FN vs_status vsi_write_take_slot(vsi_err *err, vsi_write *write, uint32_t coll,
                                     uint32_t *out_slot);
/* An id for a new collection. */
VSI_FN vs_status vsi_write_take_coll(vsi_err *err, vsi_write *write, uint32_t *out_coll);

#endif
/* ---- store/write.c ---------------------------------------------------------------------------------- */
/* write.c - write transactions.
 *
 *   T1  The state of a transaction is its own copy; nothing it does can be seen before
 *       vsi_versions_add, and everything can be dropped.
 *   T2  The role passes on after the COMMIT frame was written and before it is synced: the next
 *       writer builds on `applied` while this one waits. One sync then serves all that wait.
 *   T3  A commit that is refused leaves no COMMIT frame that recovery could find, or the engine
 *       has failed and the answer is VS_ERR_INDOUBT.
 *   T4  The log knows the outermost savepoints, those behind which operations are in it; what is staged
 *       belongs behind all of these. So going back to one of them empties the buffer, and going back to
 *       another one cuts it. */
/* uses store/write.h */
/* uses store/admit.h */
/* uses store/freelist.h */

/* More staged operations than this go to the log early. Smaller in some tests. */
#ifndef VSI_STREAM_BYTES
#define VSI_STREAM_BYTES (1 << 20)
#endif

enum {
    /* Frames kept for a failed sync take a share of the memory limit, if that is not too little. */
    WRITE_KEPT_SHARE = 4,
    WRITE_KEPT_BYTES_MIN = 1 << 20,
    /* VS_SYNC_NORMAL syncs when this much, or for this long, nothing was synced. */
    WRITE_NORMAL_BYTES = 4 << 20,
    WRITE_NORMAL_US = 1000000,
    /* Pauses between questions whether to wait on: 1 ms, then twice as long up to 128. */
    ROLE_PAUSES = 8
};

/* ---- the writer role ------------------------------------------------------------------------ */

/* How long a call has waited for the role, and how often it was asked. */
typedef struct role_wait {
    int64_t since_us;
    uint32_t tries;
} role_wait;

/* Asks whether to wait on; versions.lock is released meanwhile. The thread is known as one that is asked, so
 * that it cannot wait for itself. */
static bool role_ask(vsi_engine *engine, const role_wait *wait, int64_t waited_us) {
    vsi_asker asker = {.next = engine->askers, .thread = vsi_thread_id()};
    uint64_t waited_ms = (uint64_t)waited_us / 1000;
    engine->askers = &asker;
    vsi_mutex_unlock(&engine->versions.lock);
    int goes_on = engine->config.busy_fn(engine->config.busy_ctx,
                                         waited_ms < UINT32_MAX ? (uint32_t)waited_ms : UINT32_MAX,
                                         wait->tries);
    vsi_mutex_lock(&engine->versions.lock);
    vsi_asker **link = &engine->askers;
    while (*link != &asker)
        link = &(*link)->next;
    *link = asker.next;
    return goes_on;
}

/* How long to wait for the role until looking again, 0: give up. versions.lock is held. */
static uint32_t role_patience_ms(vsi_engine *engine, role_wait *wait) {
    const vs_vfs *vfs = engine->config.vfs;
    int64_t waited_us = vfs->ticks_us(vfs->ctx) - wait->since_us;
    waited_us = waited_us > 0 ? waited_us : 0;
    if (engine->config.busy_fn) {
        if (!role_ask(engine, wait, waited_us))
            return 0;
        wait->tries += wait->tries < UINT32_MAX;
        return 1u << (wait->tries < ROLE_PAUSES ? wait->tries - 1 : ROLE_PAUSES - 1);
    }
    int64_t left_us = (int64_t)engine->config.busy_timeout_ms * 1000 - waited_us;
    bool waits = engine->config.busy_timeout_ms != VS_NO_WAIT && left_us > 0;
    return waits ? (uint32_t)(left_us / 1000 + 1) : 0;
}

static vs_status role_refuse_self(vsi_err *err, const vsi_engine *engine) {
    uint64_t self = vsi_thread_id();
    if (engine->role_is_taken && engine->role_thread == self)
        return vsi_fail(err, VS_ERR_MISUSE,
                        "this thread already has a write transaction open on %s", engine->path);
    for (const vsi_asker *asker = engine->askers; asker; asker = asker->next)
        if (asker->thread == self)
            return vsi_fail(err, VS_ERR_MISUSE,
                            "this thread waits for a write transaction on %s already, and is asked "
                            "whether to wait on",
                            engine->path);
    return VS_OK;
}

VSI_FN vs_status vsi_role_take(vsi_err *err, vsi_engine *engine, bool may_wait) {
    const vs_vfs *vfs = engine->config.vfs;
    role_wait wait = {.since_us = vfs->ticks_us(vfs->ctx)};
    vsi_mutex_lock(&engine->versions.lock);
    vs_status st = role_refuse_self(err, engine);
    while (st == VS_OK && engine->role_is_taken) {
        uint32_t patience_ms = may_wait ? role_patience_ms(engine, &wait) : 0;
        if (!patience_ms)
            st = vsi_fail(err, VS_ERR_BUSY, "%s: another thread's write transaction is open",
                          engine->path);
        else if (engine->role_is_taken) /* it may have ended meanwhile */
            vsi_cond_wait_ms(&engine->role_free, &engine->versions.lock, patience_ms);
    }
    if (st == VS_OK) {
        engine->role_is_taken = true;
        engine->role_thread = vsi_thread_id();
    }
    vsi_mutex_unlock(&engine->versions.lock);
    return st;
}

VSI_FN bool vsi_role_is_waited_for(vsi_engine *engine) {
    vsi_mutex_lock(&engine->versions.lock);
    bool is_waited_for = engine->askers;
    vsi_mutex_unlock(&engine->versions.lock);
    return is_waited_for;
}

VSI_FN void vsi_role_give(vsi_engine *engine) {
    vsi_mutex_lock(&engine->versions.lock);
    engine->role_is_taken = false;
    vsi_cond_wake_all(&engine->role_free);
    vsi_mutex_unlock(&engine->versions.lock);
}

/* ---- begin and rollback --------------------------------------------------------------------- */

/* An empty buffer for operations, the log's room in front. */
static bool write_reset_ops(vsi_write *write) {
    vsi_buf_free(&write->ops);
    if (!vsi_buf_reserve(&write->ops, VSI_LOG_BUF_FRONT))
        return false;
    memset(write->ops.data, 0, VSI_LOG_BUF_FRONT);
    write->ops.bytes = VSI_LOG_BUF_FRONT;
    return true;
}

VSI_FN vs_status vsi_write_begin(vsi_err *err, vsi_engine *engine, vsi_write *out_write) {
    vs_status st = vsi_role_take(err, engine, true);
    if (st != VS_OK)
        return st;
    vsi_mutex_lock(&engine->log_lock);
    st = vsi_engine_check_writable(err, engine);
    vsi_mutex_unlock(&engine->log_lock);
    vsi_write *write = out_write;
    memset(write, 0, sizeof *write);
    write->engine = engine;
    write->time_us = engine->config.vfs->wall_us(engine->config.vfs->ctx);
    write->ops.mem = engine->mem;
    write->freed.mem = engine->mem;
    write->taken.mem = engine->mem;
    write->points = (vsi_savepoints){.engine = engine, .list = {.mem = engine->mem}};
    if (st == VS_OK && !write_reset_ops(write))
        st = vsi_fail_nomem(err, VSI_LOG_BUF_FRONT);
    if (st != VS_OK) {
        vsi_role_give(engine);
        return st;
    }
    vsi_versions_reclaim(&engine->versions);
    engine->pager.writer++;
    write->state = engine->versions.applied->state;
    write->mark = vsi_cow_open(&engine->cow);
    return VS_OK;
}

/* Frees what a transaction holds; its scope is closed already. */
static void write_end(vsi_write *write) {
    vsi_buf_free(&write->ops);
    vsi_buf_free(&write->freed);
    vsi_buf_free(&write->taken);
    vsi_role_give(write->engine);
}

/* Slots taken since give the pools what they had: there is room for them. */
static void write_give_back(vsi_write *write, size_t from_bytes) {
    while (write->taken.bytes > from_bytes) {
        vsi_freed_slot slot;
        write->taken.bytes -= sizeof slot;
        memcpy(&slot, write->taken.data + write->taken.bytes, sizeof slot);
        vsi_desc_give_slot(vsi_descs_find(&write->engine->descs, slot.coll), slot.slot);
    }
}

VSI_FN void vsi_write_rollback(vsi_write *write) {
    vsi_savepoints_release(&write->points, 1);
    write_give_back(write, 0);
    vsi_cow_undo(&write->engine->cow, write->mark);
    vsi_pager_undo(&write->engine->pager);
    vsi_descs_undo(&write->engine->descs, &write->engine->pager);
    write_end(write);
}

/* ---- into the log; log_lock held ------------------------------------------------------------ */

/* The session's log file, begun by its first frame. */
static vs_status write_open_log(vsi_err *err, vsi_engine *engine) {
    vs_status st = vsi_engine_check_writable(err, engine);
    if (st != VS_OK || vsi_log_is_open(&engine->log))
        return st;
    return vsi_engine_take_over(err, engine);
}

/* Frames kept for a failed sync are bounded. */
static void write_make_room(vsi_engine *engine, size_t bytes) {
    uint64_t most = engine->pager.reside.limit_bytes / WRITE_KEPT_SHARE;
    most = most < WRITE_KEPT_BYTES_MIN ? WRITE_KEPT_BYTES_MIN : most;
    most = most < VSI_UNSYNCED_MAX ? most : VSI_UNSYNCED_MAX;
    while (!engine->has_failed && engine->log.kept_bytes > 0 &&
           engine->log.kept_bytes + bytes > most)
        vsi_engine_sync_round(engine);
}

/* An append failed. Its bytes must not come back: cut them off, or leave the file behind. */
static void write_survive_failed_append(vsi_engine *engine) {
    vsi_err cause = {0};
    vsi_engine_wait_sync(engine);
    if (!engine->has_failed && vsi_log_cut_off(&cause, &engine->log) != VS_OK)
        vsi_engine_take_over(&cause, engine); /* a failure is kept in the engine */
    vsi_engine_publish(engine);
}

static vs_status write_append(vsi_err *err, vsi_write *write, int kind, vsi_buf *ops) {
    vsi_engine *engine = write->engine;
    vs_status st = write_open_log(err, engine);
    if (st != VS_OK)
        return st;
    write_make_room(engine, ops->bytes);
    st = vsi_engine_check_writable(err, engine);
    if (st != VS_OK)
        return st;
    int64_t now_us = engine->config.vfs->wall_us(engine->config.vfs->ctx);
    if (!write->has_streamed)
        write->txn = engine->log.next_lsn;
    st = vsi_log_append(err, &engine->log, kind, write->txn, now_us, ops);
    if (st != VS_OK && engine->log.tail_is_dirty)
        write_survive_failed_append(engine);
    if (st != VS_OK && engine->has_failed && kind == VSI_FRAME_COMMIT) /* keeps T3 */
        st =
            vsi_fail(err, VS_ERR_INDOUBT, "the commit may or may not survive: %s", engine->failure);
    return st;
}

/* ---- streaming ------------------------------------------------------------------------------ */

/* Bytes of whole operations from the start of payload, at most limit (or one operation). */
static size_t write_cut_point(const uint8_t *payload, size_t bytes, size_t limit) {
    size_t at = 0;
    while (at < bytes) {
        size_t next = at + vsi_op_bytes(payload + at);
        if (at > 0 && next > limit)
            break;
        at = next;
    }
    return at;
}

static bool write_mark(vsi_buf *out, int kind, uint32_t number) {
    vsi_op op = {.kind = kind, .savepoint = number};
    return vsi_op_write(out, &op);
}

/* Appends what the log must learn of savepoints before the operations from at on. */
static bool write_marks(const vsi_write *write, size_t at, vsi_buf *out,
                        vsi_logged_points *logged) {
    const vsi_savepoints *points = &write->points;
    bool ok = true;
    if (logged->rollback_to) {
        ok = write_mark(out, VSI_OP_ROLLBACK_TO, logged->rollback_to);
        logged->depth = logged->rollback_to;
        logged->rollback_to = 0;
    }
    if (ok && logged->depth > logged->count)
        ok = write_mark(out, VSI_OP_RELEASE, logged->count + 1);
    while (ok && logged->count < points->count &&
           vsi_savepoints_at(points, logged->count + 1)->ops_bytes <= at)
        ok = write_mark(out, VSI_OP_SAVEPOINT, ++logged->count); /* keeps T4 */
    logged->depth = logged->count;
    return ok;
}

/* Appends operations from at on, as many as a frame may have and up to the next savepoint. */
static bool write_add_ops(const vsi_write *write, size_t at, const vsi_logged_points *logged,
                          vsi_buf *out, size_t *out_bytes) {
    size_t end = write->ops.bytes;
    if (logged->count < write->points.count)
        end = vsi_savepoints_at(&write->points, logged->count + 1)->ops_bytes;
    *out_bytes = write_cut_point(write->ops.data + at, end - at, VSI_FRAME_PAYLOAD_MAX / 2);
    return vsi_buf_append(out, write->ops.data + at, *out_bytes);
}

/* One CONT frame of the staged operations from at on, which moves behind them. */
static vs_status write_stream_piece(vsi_err *err, vsi_write *write, size_t *at) {
    vsi_buf piece = {.mem = write->engine->mem};
    vsi_logged_points logged = write->logged;
    size_t n = 0;
    bool ok = vsi_buf_reserve(&piece, VSI_LOG_BUF_FRONT);
    piece.bytes = ok ? VSI_LOG_BUF_FRONT : 0;
    ok = ok && write_marks(write, *at, &piece, &logged) &&
         write_add_ops(write, *at, &logged, &piece, &n);
    vs_status st = ok ? VS_OK : vsi_fail_nomem(err, n);
    vsi_mutex_lock(&write->engine->log_lock);
    if (st == VS_OK)
        st = write_append(err, write, VSI_FRAME_CONT, &piece);
    vsi_mutex_unlock(&write->engine->log_lock);
    vsi_buf_free(&piece);
    if (st != VS_OK)
        return st;
    write->has_streamed = true;
    write->logged = logged;
    *at += n;
    return VS_OK;
}

/* Staged operations before at are in the log. */
static void write_drop_ops(vsi_write *write, size_t at) {
    size_t done = at - VSI_LOG_BUF_FRONT;
    for (uint32_t i = write->logged.count; i < write->points.count; i++)
        vsi_savepoints_at(&write->points, i + 1)->ops_bytes -= done;
    memmove(write->ops.data + VSI_LOG_BUF_FRONT, write->ops.data + at, write->ops.bytes - at);
    write->ops.bytes -= done;
}

/* The log's share first: the data file would take the last of the space, and deleting needs a log too. */
static vs_status write_admit_frame(vsi_err *err, vsi_write *write, size_t bytes) {
    vsi_engine *engine = write->engine;
    vsi_mutex_lock(&engine->log_lock);
    vs_status st = write_open_log(err, engine);
    if (st == VS_ERR_FULL)
        engine->wants_room = true;
    if (st == VS_ERR_FULL && !write->has_grown && vsi_admit_give_back(engine))
        st = write_open_log(err, engine);
    if (st == VS_OK)
        st = vsi_admit_frame(err, engine, bytes, !write->has_grown);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

static vs_status write_admit(vsi_err *err, vsi_write *write) {
    vsi_engine *engine = write->engine;
    vsi_err ignored = {0};
    vsi_stay stay = vsi_stay_enter(&engine->pager.reside);
    bool is_known = !engine->has_no_list && vsi_freelist_load(&ignored, engine) == VS_OK;
    engine->has_no_list = !is_known; /* until a checkpoint looks again */
    vs_status st = write_admit_frame(err, write, write->ops.bytes);
    if (st == VS_OK && is_known) /* else no page can be written; the checkpoint will say so */
        st = vsi_admit(err, engine, !write->has_grown);
    vsi_stay_leave(&engine->pager.reside, stay);
    return st;
}

/* Pages that leave memory take space of the device too. */
static void write_spill(vsi_write *write) {
    vsi_engine *engine = write->engine;
    vsi_err ignored = {0};
    if (!vsi_reside_excess(&engine->pager.reside, 0) ||
        write_admit_frame(&ignored, write, write->ops.bytes) == VS_OK)
        vsi_spill(engine, &write->state);
}

/* Moves staged operations to the log, in frames no larger than one may be. What a failure leaves
 * is still staged. */
static vs_status write_stream(vsi_err *err, vsi_write *write) {
    size_t at = VSI_LOG_BUF_FRONT;
    vs_status st = write_admit(err, write);
    while (st == VS_OK && at < write->ops.bytes)
        st = write_stream_piece(err, write, &at);
    write_drop_ops(write, at);
    return st;
}

/* ---- statements ----------------------------------------------------------------------------- */

VSI_FN vs_status vsi_statement_begin(vsi_err *err, vsi_write *write, vsi_statement *out_statement) {
    vs_status st = write->ops.bytes > VSI_STREAM_BYTES ? write_stream(err, write) : VS_OK;
    if (st != VS_OK)
        return st;
    write_spill(write);
    *out_statement = (vsi_statement){.stay = vsi_stay_enter(&write->engine->pager.reside),
                                     .state = write->state,
                                     .mark = vsi_cow_open(&write->engine->cow),
                                     .ops_bytes = write->ops.bytes,
                                     .freed_bytes = write->freed.bytes,
                                     .taken_bytes = write->taken.bytes,
                                     .has_grown = write->has_grown};
    return VS_OK;
}

/* Before the first change of a collection in this session every slot that is not live is free: no
 * version that could be read has it live. */
static vs_status write_fill_pool(vsi_err *err, const vsi_coll *coll) {
    vsi_desc *desc = coll->desc;
    vsi_live_scan scan = {.live = &coll->live};
    uint32_t slot = 0, end = coll->slot_end;
    vs_status st = VS_OK;
    if (coll->count == end)
        slot = end;
    vsi_buf slots = {.mem = desc->pool.mem};
    while (st == VS_OK && slot < end) {
        st = vsi_live_next_dead(err, &scan, slot, end, &slot);
        if (st == VS_OK && slot < end && !vsi_buf_append(&slots, &slot, sizeof slot))
            st = vsi_fail_nomem(err, sizeof slot);
        slot += slot < end;
    }
    if (st == VS_OK && !vsi_buf_reserve(&desc->pool, slots.bytes))
        st = vsi_fail_nomem(err, slots.bytes);
    while (st == VS_OK && slots.bytes) { /* the lowest on top */
        slots.bytes -= sizeof slot;
        memcpy(&slot, slots.data + slots.bytes, sizeof slot);
        vsi_desc_give_slot(desc, slot);
    }
    vsi_buf_free(&slots);
    if (st != VS_OK)
        return st;
    desc->pool_is_filled = true;
    return VS_OK;
}

static vs_status write_prepare_pool(vsi_err *err, vsi_write *write, uint32_t coll_id) {
    vsi_coll coll;
    vs_status st = vsi_state_coll(err, &write->state, coll_id, &coll);
    if (st != VS_OK || coll.desc->pool_is_filled)
        return st;
    return write_fill_pool(err, &coll);
}

/* Whether an operation adds something: then the reserve is not for its transaction. */
static bool statement_grows(const vsi_op *op) {
    bool only_removes = op->kind == VSI_OP_DELETE ||
                        (op->kind == VSI_OP_NOTE && !op->note_has_value) ||
                        (op->kind == VSI_OP_METADATA && !op->metadata.bytes);
    return !only_removes;
}

static vs_status statement_add(vsi_err *err, vsi_write *write, const vsi_op *op) {
    if (!vsi_op_write(&write->ops, op))
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    return vsi_apply(err, &write->state, op, &write->freed);
}

/* The first change of a collection's records in a transaction is also one of its time. */
static vs_status statement_touch(vsi_err *err, vsi_write *write, const vsi_op *op) {
    vsi_coll coll;
    if (!vsi_op_is_of_record(op->kind))
        return VS_OK;
    vs_status st = vsi_state_coll(err, &write->state, op->coll, &coll);
    if (st != VS_OK || coll.changed_us == write->time_us)
        return st;
    return statement_add(
        err, write, &(vsi_op){.kind = VSI_OP_TOUCH, .coll = op->coll, .time_us = write->time_us});
}

VSI_FN vs_status vsi_statement_apply(vsi_err *err, vsi_write *write, const vsi_op *op) {
    vs_status st = statement_touch(err, write, op);
    if (st == VS_OK && op->kind == VSI_OP_DELETE)
        st = write_prepare_pool(err, write, op->coll);
    write->has_grown |= statement_grows(op);
    return st == VS_OK ? statement_add(err, write, op) : st;
}

VSI_FN void vsi_statement_keep(vsi_write *write, vsi_statement *statement) {
    vsi_cow_keep(&write->engine->cow, statement->mark);
    vsi_stay_leave(&write->engine->pager.reside, statement->stay);
}

VSI_FN void vsi_statement_undo(vsi_write *write, vsi_statement *statement) {
    vsi_cow_undo(&write->engine->cow, statement->mark);
    uint64_t changes = write->state.changes;
    write->state = statement->state;
    write->state.changes = changes + 1; /* cursors must look again */
    write->ops.bytes = statement->ops_bytes;
    write->freed.bytes = statement->freed_bytes;
    write->has_grown = statement->has_grown;
    write_give_back(write, statement->taken_bytes);
    vsi_stay_leave(&write->engine->pager.reside, statement->stay);
}

VSI_FN vs_status vsi_write_take_slot(vsi_err *err, vsi_write *write, uint32_t coll_id,
                                     uint32_t *out_slot) {
    vsi_coll coll;
    vs_status st = write_prepare_pool(err, write, coll_id);
    if (st == VS_OK)
        st = vsi_state_coll(err, &write->state, coll_id, &coll);
    if (st != VS_OK)
        return st;
    if (!vsi_buf_reserve(&write->taken, sizeof(vsi_freed_slot)))
        return vsi_fail_nomem(err, sizeof(vsi_freed_slot));
    vsi_freed_slot taken = {.coll = coll_id, .slot = vsi_desc_take_slot(coll.desc)};
    if (taken.slot == VSI_SLOT_NONE)
        taken.slot = coll.slot_end;
    else
        vsi_buf_append(&write->taken, &taken, sizeof taken);
    if (taken.slot >= VS_RECORDS_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "collection %s is full: %lu records", coll.desc->name,
                        (unsigned long)VS_RECORDS_MAX);
    *out_slot = taken.slot;
    return VS_OK;
}

VSI_FN vs_status vsi_write_take_coll(vsi_err *err, vsi_write *write, uint32_t *out_coll) {
    if (write->engine->last_coll == UINT32_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "all collection ids are used up");
    *out_coll = ++write->engine->last_coll;
    return VS_OK;
}

/* ---- savepoints ----------------------------------------------------------------------------- */

VSI_FN vs_status vsi_write_savepoint(vsi_err *err, vsi_write *write, uint32_t *out_number) {
    write_spill(write); /* blocks from before stay until it ends */
    vs_status st = vsi_savepoints_open(err, &write->points, &write->state);
    if (st != VS_OK)
        return st;
    vsi_savepoint *point = vsi_savepoints_at(&write->points, write->points.count);
    point->ops_bytes = write->ops.bytes;
    point->freed_bytes = write->freed.bytes;
    point->taken_bytes = write->taken.bytes;
    point->has_grown = write->has_grown;
    *out_number = write->points.count;
    return VS_OK;
}

static vs_status write_check_savepoint(vsi_err *err, const vsi_write *write, uint32_t number) {
    uint32_t count = write->points.count;
    if (number >= 1 && number <= count)
        return VS_OK;
    if (!count)
        return vsi_fail(err, VS_ERR_MISUSE, "savepoint %lu is not open: none is",
                        (unsigned long)number);
    return vsi_fail(err, VS_ERR_MISUSE, "savepoint %lu is not open: 1 to %lu are",
                    (unsigned long)number, (unsigned long)count);
}

VSI_FN vs_status vsi_write_rollback_to(vsi_err *err, vsi_write *write, uint32_t number) {
    vs_status st = write_check_savepoint(err, write, number);
    if (st != VS_OK)
        return st;
    vsi_savepoints_rollback_to(&write->points, number, &write->state);
    const vsi_savepoint *point = vsi_savepoints_at(&write->points, number);
    bool is_logged = number <= write->logged.count;
    write->ops.bytes = is_logged ? VSI_LOG_BUF_FRONT : point->ops_bytes; /* T4 */
    if (is_logged)
        write->logged.count = write->logged.rollback_to = number;
    write->freed.bytes = point->freed_bytes;
    write->has_grown = point->has_grown;
    write_give_back(write, point->taken_bytes);
    return VS_OK;
}

/* Ends savepoints from this one on, if there are any. */
static void write_release(vsi_write *write, uint32_t number) {
    vsi_savepoints_release(&write->points, number);
    if (write->logged.count >= number)
        write->logged.count = number - 1;
}

VSI_FN vs_status vsi_write_release(vsi_err *err, vsi_write *write, uint32_t number) {
    vs_status st = write_check_savepoint(err, write, number);
    if (st == VS_OK)
        write_release(write, number);
    return st;
}

/* The log has operations that were taken back: the frame to come says so before its own. */
static vs_status write_stage_rollback(vsi_err *err, vsi_write *write) {
    uint8_t mark[32];
    size_t bytes = write->ops.bytes - VSI_LOG_BUF_FRONT;
    if (!write->logged.rollback_to)
        return VS_OK;
    if (!write_mark(&write->ops, VSI_OP_ROLLBACK_TO, write->logged.rollback_to))
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    uint8_t *ops = write->ops.data + VSI_LOG_BUF_FRONT;
    size_t n = vsi_op_bytes(ops + bytes);
    vsi_assert(n <= sizeof mark);
    memcpy(mark, ops + bytes, n);
    memmove(ops + n, ops, bytes);
    memcpy(ops, mark, n);
    return VS_OK;
}

/* ---- commit --------------------------------------------------------------------------------- */

static bool write_has_changes(const vsi_write *write) {
    return write->has_streamed || write->ops.bytes > VSI_LOG_BUF_FRONT;
}

/* The version that this commit makes, with room for everything that may not fail later. */
static vsi_version *write_make_version(vsi_write *write, bool needs_sync) {
    vsi_engine *engine = write->engine;
    vsi_version *version = vsi_version_new(&engine->versions, &write->state);
    vsi_op digest = {.kind = VSI_OP_DIGEST, .digest = write->state.digest};
    if (version && !vsi_op_write(&write->ops, &digest)) {
        vsi_version_discard(&engine->versions, version);
        return NULL;
    }
    vsi_err ignored = {0};
    size_t dead = engine->cow.dead_extents.bytes / sizeof(vsi_dead_extent);
    if (version && vsi_space_expect(&ignored, &engine->pager.space, dead) != VS_OK) {
        vsi_version_discard(&engine->versions, version);
        return NULL;
    }
    if (version)
        version->needs_sync = needs_sync;
    return version;
}

/* The COMMIT frame is written: the version becomes the one to build on, and the role passes on. */
static void write_hand_over(vsi_write *write, vsi_version *version, uint64_t lsn) {
    vsi_engine *engine = write->engine;
    vsi_cow_keep(&engine->cow, write->mark);
    vsi_pager_keep(&engine->pager);
    vsi_engine_bury(engine, version, engine->metas.newest.checkpoint.number);
    version->freed = write->freed;
    version->lsn = lsn;
    write->freed = (vsi_buf){.mem = engine->mem};
    engine->commits++;
    vsi_versions_add(&engine->versions, version, engine->metas.newest.checkpoint.number);
    engine->memory_is_full = vsi_spill_trees_are_large(engine);
    engine->retained_bytes =
        engine->cow.dead_bytes + engine->pager.space.dead_pages * VSI_PAGE_BYTES;
    write_end(write); /* T2 */
}

static bool write_wants_sync(vsi_engine *engine, int sync) {
    if (sync != VS_SYNC_NORMAL || engine->is_syncing)
        return false;
    int64_t now_us = engine->config.vfs->ticks_us(engine->config.vfs->ctx);
    return engine->log.kept_bytes >= WRITE_NORMAL_BYTES ||
           now_us - engine->last_sync_us >= WRITE_NORMAL_US;
}

/* Until readers see the commit, or it is clear that they never will. */
static vs_status write_wait(vsi_err *err, vsi_engine *engine, uint64_t lsn, int sync) {
    if (write_wants_sync(engine, sync))
        vsi_engine_sync_round(engine);
    vsi_engine_publish(engine);
    while (!vsi_versions_is_published(&engine->versions, lsn)) {
        if (engine->has_failed)
            return vsi_fail(err, VS_ERR_INDOUBT, "the commit may be lost: %s", engine->failure);
        vsi_engine_sync_round(engine);
    }
    return VS_OK;
}

static vs_status write_settle(vsi_err *err, vsi_write *write) {
    vsi_reside *reside = &write->engine->pager.reside;
    vsi_stay stay = vsi_stay_enter(reside);
    vs_status st = vsi_state_settle(err, &write->state);
    vsi_stay_leave(reside, stay);
    return st;
}

VSI_FN vs_status vsi_write_commit(vsi_err *err, vsi_write *write, int sync) {
    vsi_engine *engine = write->engine;
    sync = sync == VS_SYNC_DEFAULT ? engine->config.sync : sync;
    vs_status st = VS_OK;
    vsi_version *version = NULL;
    write_release(write, 1);
    if (write->ops.bytes > VSI_FRAME_PAYLOAD_MAX / 2)
        st = write_stream(err, write);
    if (st == VS_OK)
        st = write_stage_rollback(err, write);
    if (st == VS_OK && write_has_changes(write))
        st = write_settle(err, write);
    if (st == VS_OK && write_has_changes(write))
        st = write_admit(err, write);
    if (st == VS_OK && write_has_changes(write)) {
        version = write_make_version(write, sync == VS_SYNC_FULL);
        st = version ? VS_OK : vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    }
    if (!version) {
        vsi_write_rollback(write);
        /* Nothing of its own to commit; what it saw may be commits that were not synced. */
        return st == VS_OK && sync == VS_SYNC_FULL ? vsi_engine_sync(err, engine) : st;
    }
    vsi_mutex_lock(&engine->log_lock);
    st = write_append(err, write, VSI_FRAME_COMMIT, &write->ops);
    if (st == VS_OK) {
        uint64_t lsn = engine->log.next_lsn - 1;
        write_hand_over(write, version, lsn);
        st = write_wait(err, engine, lsn, sync);
        vsi_mutex_unlock(&engine->log_lock);
        return st;
    }
    vsi_mutex_unlock(&engine->log_lock);
    vsi_version_discard(&engine->versions, version);
    vsi_write_rollback(write);
    return st;
}
/* ---- store/checkpoint.h ---------------------------------------------------------------------------------- */
/* checkpoint.h - moves what the log has into the database file, so that the log can go. */
#ifndef VSI_CHECKPOINT_H
#define VSI_CHECKPOINT_H

/* uses store/write.h */

/* Makes a checkpoint of the newest version, waiting for the writer role. Afterwards the database is the
 * file and, for going back to the checkpoint before, its log. is_final: the log goes away altogether.
 * On a failure everything is as before, or writing has stopped. */
VS_NODISCARD VSI_FN vs_status vsi_checkpoint(vsi_err *err, vsi_engine *engine, bool is_final);

/* After a commit, or one that a full disk refused: writes slabs ahead of the next checkpoint, and makes it,
 * when the log or what is in memory has grown enough and nobody else is writing. A failure is only reported
 * as a message. */
VSI_FN void vsi_checkpoint_if_due(vsi_engine *engine);

/* The same at the host's pace, about max_bytes at once; waits for the writer role. out_left_bytes is about
 * how much is left to write until the checkpoint is made, 0: it is, or it is not time for one. */
VS_NODISCARD VSI_FN vs_status vsi_maintain(vsi_err *err, vsi_engine *engine, uint64_t max_bytes,
                                           uint64_t *out_left_bytes);

#endif
/* ---- store/checkpoint.c ---------------------------------------------------------------------------------- */
/* checkpoint.c - checkpoints.
 *
 *   K1  The meta pages name a checkpoint only when everything it reaches is durable.
 *   K2  Pages that this or the previous checkpoint reaches are not written to.
 *   K3  A log file goes when neither of the two needs it.
 *   K4  Meta pages that lead to a compressed value say that there may be one. */
/* uses store/checkpoint.h */
/* uses store/admit.h */
/* uses store/flush.h */
/* uses store/freelist.h */
/* uses store/relocate.h */

/* The log's size that asks for a checkpoint: an eighth of the database, within these bounds. Smaller in
 * some tests. */
#ifndef VSI_CHECKPOINT_LOG_BYTES
#define VSI_CHECKPOINT_LOG_BYTES (16 << 20)
#endif
enum { CHECKPOINT_LOG_BYTES_MAX = 1 << 30, CHECKPOINT_LOG_SHARE = 8 };

/* From half that size on commits write slabs ahead, so many bytes for one of the log; at the full size, or
 * at twice that, a commit does what is left. */
enum { CHECKPOINT_PACE = 2, CHECKPOINT_LAST_STEP_BYTES = 1 << 20 };

/* A file of which this share is holes, and so many pages more, is made smaller when it is closed. */
#ifndef VSI_TAIL_PAGES
#define VSI_TAIL_PAGES 64
#endif
enum { CHECKPOINT_HOLES_SHARE = 16 };

/* ---- the log's files ------------------------------------------------------------------------ */

/* Removes the log files below first, the lowest first, so that what a crash leaves is found again. */
static void log_remove_below(vsi_engine *engine, uint64_t first) {
    const vs_vfs *vfs = engine->config.vfs;
    uint64_t lowest = first;
    char path[VSI_PATH_BYTES_MAX];
    vsi_err ignored = {0};
    for (; lowest > 1; lowest--) {
        vsi_file file;
        if (vsi_log_path(&ignored, engine->path, lowest - 1, path) != VS_OK ||
            vsi_file_open(&ignored, engine->mem, vfs, path, VS_VFS_READ, &file) != VS_OK)
            break;
        vsi_file_close(&file);
    }
    for (; lowest < first; lowest++)
        if (vsi_log_path(&ignored, engine->path, lowest, path) == VS_OK)
            vsi_os_remove(&ignored, vfs, path);
}

/* ---- a checkpoint --------------------------------------------------------------------------- */

/* A checkpoint that is being made; the writer role is held. */
typedef struct checkpoint_work {
    vsi_engine *engine;
    bool is_final;
    uint64_t relocate_from; /* pages from here on are to become free; 0: none */
    vsi_state state;
    vsi_version *version;
    vsi_meta meta;
} checkpoint_work;

/* Whether the file has everything already. */
static bool checkpoint_is_current(const vsi_engine *engine) {
    const vsi_meta *meta = &engine->metas.newest;
    return meta->checkpoint.lsn == engine->log.next_lsn - 1 &&
           meta->checkpoint.log_from > meta->generation;
}

/* Pages that were written since the last checkpoint, and replaced already. */
static vs_status checkpoint_bury_dropped(vsi_err *err, vsi_engine *engine) {
    const vsi_run *runs = (const vsi_run *)(const void *)engine->pager.dropped.data;
    size_t n = engine->pager.dropped.bytes / sizeof *runs;
    vs_status st = vsi_space_expect(err, &engine->pager.space, n);
    for (size_t i = 0; st == VS_OK && i < n; i++)
        vsi_space_bury(&engine->pager.space,
                       (vsi_dead_extent){.run = runs[i], .version = engine->versions.last_seq + 1});
    if (st == VS_OK)
        vsi_buf_free(&engine->pager.dropped);
    return st;
}

/* A sync of the file that failed may have lost what was written before it. Slabs can be written again; of
 * trees only the log has the rest: then writing stops, and recovery has it. */
static vs_status checkpoint_distrust(vsi_err *err, vsi_engine *engine) {
    uint64_t failed = vsi_atomic_load(&engine->failed_syncs);
    if (failed == engine->trusted_syncs)
        return VS_OK;
    vs_status st =
        engine->has_spilled_trees
            ? vsi_fail(err, VS_ERR_READONLY,
                       "%s: a sync failed, and changes that had left memory may be lost; "
                       "the log has them",
                       engine->path)
            : vsi_flush_distrust(err, &engine->versions.applied->state);
    if (st == VS_OK)
        engine->trusted_syncs = failed;
    if (st == VS_OK || st == VS_ERR_NOMEM)
        return st;
    vsi_mutex_lock(&engine->log_lock);
    vsi_engine_fail(engine, err);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

/* Everything into the file, durable; no meta page names it. */
static vs_status checkpoint_write(vsi_err *err, checkpoint_work *work) {
    vsi_engine *engine = work->engine;
    const vsi_checkpoint_info *old = &engine->metas.newest.checkpoint;
    vsi_checkpoint_info *info = &work->meta.checkpoint;
    work->state = engine->versions.applied->state;
    vs_status st = checkpoint_distrust(err, engine);
    if (st == VS_OK)
        st = vsi_flush(err, &work->state);
    if (st == VS_OK && work->relocate_from)
        st = vsi_relocate(err, &work->state, work->relocate_from);
    if (st == VS_OK && work->relocate_from)
        st = vsi_flush_locate(err, &work->state);
    if (st == VS_OK)
        st = checkpoint_bury_dropped(err, engine);
    uint64_t first_kept = work->is_final ? VSI_NONE_KEPT : old->number;
    if (st == VS_OK)
        st = vsi_freelist_save(err, engine, first_kept, &info->free_list, &info->end);
    if (st == VS_OK)
        st = vsi_pager_flush(err, &engine->pager);
    if (st == VS_OK)
        st = vsi_file_sync(err, &engine->data); /* keeps K1 */
    if (st != VS_OK)
        return st;
    info->number = old->number + 1;
    info->catalog = work->state.catalog.root;
    info->catalog_count = work->state.catalog.count;
    info->digest = work->state.digest;
    return VS_OK;
}

/* Room for what must not fail once the meta pages are written. */
static vs_status checkpoint_reserve(vsi_err *err, checkpoint_work *work) {
    vsi_engine *engine = work->engine;
    size_t dead = engine->cow.dead_extents.bytes / sizeof(vsi_dead_extent);
    work->version = vsi_version_new(&engine->versions, &work->state);
    if (!work->version)
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    vs_status st = vsi_space_expect(err, &engine->pager.space, dead + 1);
    if (st != VS_OK)
        vsi_version_discard(&engine->versions, work->version);
    return st;
}

/* Writes the meta pages. After a failure they are as before, or complete, or writing has stopped. */
static vs_status checkpoint_name(vsi_err *err, checkpoint_work *work) {
    vsi_engine *engine = work->engine;
    vsi_log *log = &engine->log;
    vsi_checkpoint_info *info = &work->meta.checkpoint;
    vsi_err second = {0};
    vsi_mutex_lock(&engine->log_lock);
    vsi_assert(!log->kept);
    work->meta.previous = (vsi_checkpoint_info){.log_from = 0};
    if (!work->is_final)
        work->meta.previous = engine->metas.newest.checkpoint;
    if (engine->pager.has_packed)
        work->meta.features_needed |= VSI_META_NEEDS_ZSTD; /* keeps K4 */
    work->meta.durable_lsn = info->lsn = log->durable_lsn;
    info->chain = log->durable_chain;
    info->log_from = work->meta.generation + 1;
    vs_status st = vsi_metas_write(err, &engine->data, &engine->metas, &work->meta);
    if (st != VS_OK) {
        if (vsi_metas_repair(&second, &engine->data, &engine->metas) != VS_OK)
            vsi_engine_fail(engine, &second);
        else if (engine->metas.newest.checkpoint.number == info->number)
            st = VS_OK;
    }
    if (st == VS_OK)
        vsi_log_end(log);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

static void checkpoint_forget(void *ctx, vsi_run run) {
    vsi_pager_forget(ctx, run);
    vsi_slab_let_go(ctx, run);
}

/* The checkpoint counts: the state that leads to it is the newest version. */
static void checkpoint_install(checkpoint_work *work, uint64_t old_number, vsi_ref old_free) {
    vsi_engine *engine = work->engine;
    vsi_space *space = &engine->pager.space;
    if (old_free.kind != VSI_REF_NONE)
        vsi_space_bury(space,
                       (vsi_dead_extent){.run = {vsi_ref_page(old_free), vsi_ref_pages(old_free)},
                                         .checkpoint = old_number});
    vsi_pager_keep(&engine->pager);
    engine->pager.birth = (uint32_t)(work->meta.checkpoint.number + 1);
    engine->has_spilled_trees = false;
    vsi_flush_settle(&work->state);
    vsi_engine_bury(engine, work->version, old_number);
    work->version->lsn = engine->versions.applied->lsn;
    vsi_versions_add(&engine->versions, work->version, work->meta.checkpoint.number);
    vsi_mutex_lock(&engine->log_lock);
    engine->checkpoints++;
    engine->memory_is_full = false;
    engine->retained_bytes = engine->cow.dead_bytes + space->dead_pages * VSI_PAGE_BYTES;
    engine->retry_log_bytes = 0;
    engine->ahead_log_bytes = 0;
    engine->free_pages = space->free_pages;
    vsi_engine_publish(engine);
    vsi_mutex_unlock(&engine->log_lock);
}

/* The writer role is held, and everything in the log is durable. */
static vs_status checkpoint_make(vsi_err *err, checkpoint_work *work) {
    vsi_engine *engine = work->engine;
    uint64_t old_number = engine->metas.newest.checkpoint.number;
    vsi_ref old_free = engine->metas.newest.checkpoint.free_list;
    vs_status st = vsi_freelist_load(err, engine);
    engine->has_no_list = st != VS_OK;
    if (st != VS_OK)
        return st;
    vsi_versions_reclaim(&engine->versions);
    vsi_space_give_left(&engine->pager.space);
    vsi_cow_mark mark = vsi_cow_open(&engine->cow);
    work->meta = engine->metas.newest;
    st = checkpoint_write(err, work);
    if (st == VS_OK)
        st = checkpoint_reserve(err, work);
    if (st == VS_OK) {
        st = checkpoint_name(err, work);
        if (st != VS_OK)
            vsi_version_discard(&engine->versions, work->version);
    }
    if (st != VS_OK) {
        vsi_cow_undo(&engine->cow, mark);
        if (!engine->has_failed)
            vsi_pager_undo(&engine->pager);
        return st;
    }
    vsi_cow_keep(&engine->cow, mark);
    checkpoint_install(work, old_number, old_free);
    return VS_OK;
}

/* Cuts off what no kept checkpoint has, and nothing newer uses or may soon. */
static void checkpoint_truncate(vsi_engine *engine, bool is_final) {
    vsi_space *space = &engine->pager.space;
    vsi_err ignored = {0};
    uint64_t end = vsi_engine_file_end(engine), bytes = 0;
    end += is_final ? 0 : vsi_admit_reserve(space);
    if (vsi_file_size(&ignored, &engine->data, &bytes) != VS_OK || bytes <= end * VSI_PAGE_BYTES)
        return;
    vsi_windows_cut(&engine->pager.windows, end * VSI_PAGE_BYTES); /* D3 */
    space->owned = space->owned < end ? space->owned : end;
    (void)vsi_file_truncate(&ignored, &engine->data, end * VSI_PAGE_BYTES);
}

#ifdef VSI_DEBUG
/* Nothing of what is free is looked at in the file. */
static bool checkpoint_is_clear(vsi_pager *pager) {
    const vsi_space *space = &pager->space;
    const vsi_run *runs = (const vsi_run *)(const void *)space->runs.data;
    bool is_clear = vsi_windows_are_clear(&pager->windows, space->end * VSI_PAGE_BYTES, UINT64_MAX);
    for (size_t i = 0; i < space->runs.bytes / sizeof *runs; i++)
        is_clear =
            is_clear && vsi_windows_are_clear(&pager->windows, runs[i].page * VSI_PAGE_BYTES,
                                              (runs[i].page + runs[i].pages) * VSI_PAGE_BYTES);
    return is_clear || !space->is_known;
}
#endif

/* Frees what the last checkpoint, or the last two, and those who read do not need. A failure, or a
 * check that runs, only keeps it for the next time. The caller's own stay is renewed. */
static void checkpoint_clean(vsi_engine *engine, bool is_final, vsi_stay *stay) {
    const vsi_meta *meta = &engine->metas.newest;
    bool has_previous = meta->previous.log_from;
    vsi_err ignored = {0};
    vsi_mutex_lock(&engine->log_lock);
    bool is_checked = engine->checks > 0;
    vsi_mutex_unlock(&engine->log_lock);
    vsi_versions_reclaim(&engine->versions);
    if (is_checked)
        return;
    vsi_buf readers = {.mem = engine->mem};
    bool ok = vsi_versions_list(&engine->versions, &readers); /* before catching up */
    if (ok && vsi_flush_catch_up(&ignored, &engine->versions.applied->state) == VS_OK)
        vsi_space_reap(&engine->pager.space,
                       has_previous ? meta->previous.number : meta->checkpoint.number,
                       (const vsi_space_reader *)(const void *)readers.data,
                       readers.bytes / sizeof(vsi_space_reader), checkpoint_forget, &engine->pager);
    vsi_buf_free(&readers);
    if (engine->pager.space.left) { /* the caller is one of those who may look there */
        vsi_stay_leave(&engine->pager.reside, *stay);
        vsi_space_give_left(&engine->pager.space);
        *stay = vsi_stay_enter(&engine->pager.reside);
    }
    vsi_assert(checkpoint_is_clear(&engine->pager)); /* L4 */
    if (engine->stuck_pages > engine->pager.space.dead_pages)
        engine->stuck_pages = engine->pager.space.dead_pages;
    if (is_final)
        vsi_log_remove_strays(&engine->log);
    checkpoint_truncate(engine, is_final);
    log_remove_below(engine, has_previous ? meta->previous.log_from : meta->checkpoint.log_from);
} /* keeps K3 */

/* Where the tail begins that would fit into the holes before it, if they are much of the file; 0: nowhere.
 * So much only as this session has written: then closing takes about as long as that did. */
static uint64_t checkpoint_tail(const vsi_engine *engine) {
    const vsi_space *space = &engine->pager.space;
    uint64_t used = space->end - VSI_SPACE_FIRST_PAGE - space->free_pages - space->dead_pages;
    uint64_t first = VSI_SPACE_FIRST_PAGE + used + used / CHECKPOINT_HOLES_SHARE;
    uint64_t most = engine->pager.written_bytes / VSI_PAGE_BYTES + VSI_TAIL_PAGES;
    if (!space->is_known || space->end < first + used / CHECKPOINT_HOLES_SHARE + VSI_TAIL_PAGES)
        return 0;
    return space->end - first > most ? space->end - most : first;
}

/* After the last checkpoint: all of the file that it does not reach is free, so some of it may go. */
static vs_status checkpoint_shrink(vsi_err *err, vsi_engine *engine, vsi_stay *stay) {
    checkpoint_work work = {
        .engine = engine, .is_final = true, .relocate_from = checkpoint_tail(engine)};
    if (!work.relocate_from)
        return VS_OK;
    vs_status st = checkpoint_make(err, &work);
    if (st == VS_OK)
        checkpoint_clean(engine, true, stay);
    return st;
}

/* Frames that recovery found may have to be copied to a new log file first: on a full disk what is kept in
 * reserve is given up for it. */
static vs_status checkpoint_sync(vsi_err *err, vsi_engine *engine) {
    vsi_err ignored = {0};
    vs_status st = vsi_engine_sync(err, engine);
    while (st == VS_ERR_FULL && vsi_freelist_load(&ignored, engine) == VS_OK &&
           vsi_admit_give_back(engine))
        st = vsi_engine_sync(err, engine);
    return st;
}

static vs_status checkpoint_with_role(vsi_err *err, vsi_engine *engine, bool is_final) {
    checkpoint_work work = {.engine = engine, .is_final = is_final};
    vsi_err second = {0};
    vsi_stay stay = vsi_stay_enter(&engine->pager.reside);
    vs_status st = checkpoint_sync(err, engine);
    if (st != VS_OK) {
        vsi_stay_leave(&engine->pager.reside, stay);
        return st;
    }
    bool is_needed =
        !checkpoint_is_current(engine) || (is_final && engine->metas.newest.previous.log_from);
    if (is_needed)
        st = checkpoint_make(err, &work);
    if (st == VS_OK && (is_needed || is_final))
        checkpoint_clean(engine, is_final, &stay);
    if (st == VS_OK && is_final && is_needed)
        (void)checkpoint_shrink(&second, engine, &stay); /* if it fails, the file is larger */
    vsi_stay_leave(&engine->pager.reside, stay);
    vsi_budget_keep(&engine->pager, &engine->descs);
    return st;
}

/* On a full disk: what the last checkpoint replaced is free when there is another one, and the log that was
 * kept for going back is gone. */
static vs_status checkpoint_relieve(vsi_err *err, vsi_engine *engine) {
    vsi_space *space = &engine->pager.space;
    checkpoint_work work = {.engine = engine};
    vs_status st = VS_OK;
    vsi_stay stay = vsi_stay_enter(&engine->pager.reside);
    if (space->dead_pages > engine->stuck_pages) {
        st = checkpoint_make(err, &work);
        if (st == VS_OK)
            checkpoint_clean(engine, false, &stay);
        engine->stuck_pages = space->dead_pages;
    }
    vsi_stay_leave(&engine->pager.reside, stay);
    vsi_mutex_lock(&engine->log_lock);
    engine->wants_room = false;
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

VSI_FN vs_status vsi_checkpoint(vsi_err *err, vsi_engine *engine, bool is_final) {
    vs_status st = vsi_role_take(err, engine, true);
    if (st != VS_OK)
        return st;
    vsi_mutex_lock(&engine->log_lock);
    st = vsi_engine_check_writable(err, engine);
    vsi_mutex_unlock(&engine->log_lock);
    if (st == VS_OK)
        st = checkpoint_with_role(err, engine, is_final);
    vsi_role_give(engine);
    return st;
}

/* ---- in steps ------------------------------------------------------------------------------- */

/* The size of the log that asks for a checkpoint; log_lock held. */
static uint64_t checkpoint_log_limit(const vsi_engine *engine) {
    uint64_t share = engine->metas.newest.checkpoint.end * VSI_PAGE_BYTES / CHECKPOINT_LOG_SHARE;
    uint64_t limit = share < VSI_CHECKPOINT_LOG_BYTES ? VSI_CHECKPOINT_LOG_BYTES : share;
    return limit > CHECKPOINT_LOG_BYTES_MAX ? CHECKPOINT_LOG_BYTES_MAX : limit;
}

/* How far it is to the next checkpoint. */
typedef struct checkpoint_pressure {
    bool is_near; /* time to write slabs ahead of it */
    bool is_due;
    bool is_late; /* whatever is left to write, it must be now */
    bool wants_room;
    uint64_t log_bytes;
} checkpoint_pressure;

static checkpoint_pressure checkpoint_look(vsi_engine *engine) {
    checkpoint_pressure p = {false, false, false, false, 0};
    vsi_mutex_lock(&engine->log_lock);
    uint64_t bytes = vsi_log_bytes(&engine->log), limit = checkpoint_log_limit(engine);
    if (!engine->has_failed && bytes >= engine->retry_log_bytes) {
        p.wants_room = engine->wants_room;
        p.is_late = engine->memory_is_full || p.wants_room || bytes >= 2 * limit;
        p.is_due = p.is_late || bytes >= limit;
        p.is_near = p.is_due || bytes >= limit / 2;
    }
    p.log_bytes = bytes;
    vsi_mutex_unlock(&engine->log_lock);
    return p;
}

/* Writes slabs ahead of the checkpoint; the role is held. */
static vs_status checkpoint_write_ahead(vsi_err *err, vsi_engine *engine, uint64_t max_bytes) {
    vsi_stay stay = vsi_stay_enter(&engine->pager.reside);
    vs_status st = vsi_freelist_load(err, engine);
    vsi_space_give_left(&engine->pager.space);
    if (st == VS_OK)
        st = vsi_flush_slabs_early(err, &engine->versions.applied->state, max_bytes);
    vsi_stay_leave(&engine->pager.reside, stay);
    return st;
}

static void checkpoint_put_off(vsi_engine *engine, const vsi_err *err) {
    vsi_mutex_lock(&engine->log_lock);
    engine->retry_log_bytes = 2 * vsi_log_bytes(&engine->log);
    vsi_mutex_unlock(&engine->log_lock);
    vsi_engine_message(engine, VS_LOG_WARNING, "no checkpoint was made: %s", err->text);
}

VSI_FN void vsi_checkpoint_if_due(vsi_engine *engine) {
    vsi_err err = {0};
    checkpoint_pressure p = checkpoint_look(engine);
    if (!p.is_near || vsi_role_take(&err, engine, false) != VS_OK)
        return;
    uint64_t ahead = engine->ahead_log_bytes < p.log_bytes ? engine->ahead_log_bytes : 0;
    vs_status st = checkpoint_write_ahead(&err, engine, CHECKPOINT_PACE * (p.log_bytes - ahead));
    engine->ahead_log_bytes = p.log_bytes;
    uint64_t left = vsi_flush_slabs_left(&engine->versions.applied->state);
    if (st == VS_OK && (p.is_late || (p.is_due && left <= CHECKPOINT_LAST_STEP_BYTES)))
        st = checkpoint_with_role(&err, engine, false);
    if (st == VS_OK && p.wants_room)
        st = checkpoint_relieve(&err, engine);
    if (st != VS_OK)
        checkpoint_put_off(engine, &err);
    vsi_role_give(engine);
}

static vs_status maintain_with_role(vsi_err *err, vsi_engine *engine, uint64_t max_bytes,
                                    uint64_t *out_left_bytes) {
    vs_status st = checkpoint_write_ahead(err, engine, max_bytes);
    uint64_t left = vsi_flush_slabs_left(&engine->versions.applied->state);
    if (st == VS_OK && left == 0)
        st = checkpoint_with_role(err, engine, false);
    *out_left_bytes = left ? left + engine->cow.bytes - engine->cow.dead_bytes : 0;
    return st;
}

VSI_FN vs_status vsi_maintain(vsi_err *err, vsi_engine *engine, uint64_t max_bytes,
                              uint64_t *out_left_bytes) {
    *out_left_bytes = 0;
    if (!checkpoint_look(engine).is_near)
        return VS_OK;
    vs_status st = vsi_role_take(err, engine, true);
    if (st != VS_OK)
        return st;
    st = maintain_with_role(err, engine, max_bytes, out_left_bytes);
    vsi_role_give(engine);
    return st;
}
/* ---- store/check.h ---------------------------------------------------------------------------------- */
/* check.h - looks for damage in an open database. */
#ifndef VSI_CHECK_H
#define VSI_CHECK_H

/* uses store/audit.h */
/* uses store/engine.h */

/* Calls report with each problem; levels as vs_check. An error only when the check itself could not
 * be done. */
VSI_FN vs_status vsi_engine_check(vsi_err *err, vsi_engine *engine, int level, vsi_report_fn report,
                                  void *ctx);

#endif
/* ---- store/check.c ---------------------------------------------------------------------------------- */
/* check.c - looks for damage in an open database, on the device as well as in memory. */
/* uses store/check.h */
/* uses store/walk.h */

/* Whether a failure is a finding rather than a check that could not be done. */
static bool check_is_finding(vs_status st) {
    return st == VS_ERR_CORRUPT || st == VS_ERR_LOG_MISSING || st == VS_ERR_NOT_DB ||
           st == VS_ERR_TOO_NEW || st == VS_ERR_TOO_OLD;
}

/* What the device should show, as of one moment. Frames up to end_lsn are written then and stay, so
 * they can be read without holding anybody up. */
typedef struct check_moment {
    vsi_meta meta;
    uint64_t end_lsn;
    bool page_is_damaged;
    uint64_t lost_checkpoint; /* that opening had to go back from; 0: none */
} check_moment;

/* Reads the meta pages; log_lock held, for they are written under it. */
static vs_status check_metas(vsi_err *err, vsi_engine *engine, check_moment *out_moment) {
    const vsi_metas *known = &engine->metas;
    vsi_metas found;
    bool is_new = false;
    vs_status st = vsi_metas_read(err, &engine->data, &found, &is_new);
    if (st != VS_OK)
        return st;
    bool is_ours = found.newest.generation == known->newest.generation ||
                   (!known->is_pair && found.newest.generation == engine->log.draft.generation);
    if (is_new || !is_ours || memcmp(found.newest.uuid, known->newest.uuid, VSI_UUID_BYTES))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the meta pages are not those of this database",
                        engine->path);
    *out_moment = (check_moment){.meta = known->newest,
                                 .end_lsn = engine->log.next_lsn - 1,
                                 .page_is_damaged = found.is_damaged};
    if (!engine->has_failed && found.newest.checkpoint.number > known->newest.checkpoint.number)
        out_moment->lost_checkpoint = found.newest.checkpoint.number;
    return VS_OK;
}

/* The log from the older of the two checkpoints on. */
static vs_status check_log(vsi_err *err, vsi_engine *engine, const check_moment *moment,
                           bool skips_payloads) {
    const vsi_meta *meta = &moment->meta;
    const vsi_checkpoint_info *from = meta->previous.log_from ? &meta->previous : &meta->checkpoint;
    vsi_replay *replay = vsi_alloc_zeroed(engine->mem, sizeof *replay);
    if (!replay)
        return vsi_fail_nomem(err, sizeof *replay);
    vs_status st =
        vsi_replay_open(err, engine->mem, engine->config.vfs, engine->path, meta, from, replay);
    replay->skips_payloads = skips_payloads;
    while (st == VS_OK && !replay->is_done && replay->next_lsn <= moment->end_lsn) {
        vsi_frame frame;
        vsi_bytes payload;
        st = vsi_replay_next(err, replay, &frame, &payload);
    }
    if (st == VS_OK && replay->next_lsn <= moment->end_lsn)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s: the log ends at frame %llu, expected %llu",
                      engine->path, (unsigned long long)replay->next_lsn - 1,
                      (unsigned long long)moment->end_lsn);
    vsi_replay_free(replay);
    vsi_free(engine->mem, replay, sizeof *replay);
    return st;
}

static vs_status check_begin(vsi_err *err, vsi_engine *engine, check_moment *out_moment) {
    vsi_mutex_lock(&engine->log_lock);
    vs_status st = check_metas(err, engine, out_moment);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

/* ---- extents -------------------------------------------------------------------------------- */

/* The extents of one checkpoint. */
typedef struct check_extents {
    vsi_buf runs;          /* vsi_run */
    uint64_t needed;       /* features that the meta page names */
    bool is_packed_silent; /* an extent is compressed although the meta page does not say so */
    vsi_report_fn report;
    void *ctx;
} check_extents;

static vs_status check_visit(void *ctx, vsi_err *err, vsi_ref ref) {
    check_extents *c = ctx;
    vsi_run run = {vsi_ref_page(ref), vsi_ref_pages(ref)};
    if (ref.codec == VSI_CODEC_ZSTD && !(c->needed & VSI_META_NEEDS_ZSTD))
        c->is_packed_silent = true;
    return vsi_buf_append(&c->runs, &run, sizeof run) ? VS_OK : vsi_fail_nomem(err, sizeof run);
}

static void check_damaged(void *ctx, const vsi_err *err) {
    check_extents *c = ctx;
    c->report(c->ctx, err->text);
}

/* Every page behind the meta pages is used once, or free. */
static void check_cover(check_extents *c, const vsi_checkpoint_info *info) {
    vsi_run *runs = (vsi_run *)(void *)c->runs.data;
    size_t n = c->runs.bytes / sizeof *runs;
    uint64_t page = VSI_SPACE_FIRST_PAGE;
    char text[160];
    vsi_runs_sort(&c->runs);
    for (size_t i = 0; i <= n; i++) {
        uint64_t next = i < n ? runs[i].page : info->end;
        if (next == page) {
            page += i < n ? runs[i].pages : 0;
            continue;
        }
        snprintf(text, sizeof text, "checkpoint %llu: page %llu is %s",
                 (unsigned long long)info->number, (unsigned long long)(next < page ? next : page),
                 next < page ? "used twice" : "neither used nor free");
        c->report(c->ctx, text);
        return;
    }
}

static vs_status check_free_list(vsi_err *err, vsi_engine *engine, check_extents *c,
                                 const vsi_checkpoint_info *info) {
    vsi_buf list = {.mem = engine->mem};
    if (info->free_list.kind == VSI_REF_NONE)
        return VS_OK;
    vs_status st = vsi_pager_read(err, &engine->pager, info->free_list, VSI_REF_FREE, &list);
    if (st == VS_OK)
        st = vsi_space_list(err, (vsi_bytes){list.data, list.bytes}, &c->runs);
    if (st == VS_OK)
        st = check_visit(c, err, info->free_list);
    vsi_buf_free(&list);
    return st;
}

/* Everything that a checkpoint reaches, read again, and for the last one whether that and what is free make
 * up the file. */
static vs_status check_checkpoint(vsi_err *err, vsi_engine *engine, const vsi_meta *meta,
                                  bool is_last, vsi_report_fn report, void *ctx) {
    const vsi_checkpoint_info *info = is_last ? &meta->checkpoint : &meta->previous;
    check_extents c = {.runs = {.mem = engine->mem},
                       .needed = meta->features_needed,
                       .report = report,
                       .ctx = ctx};
    vsi_walk walk = {.visit = check_visit, .damaged = check_damaged, .ctx = &c, .reads_all = true};
    vs_status st = vsi_walk_run(err, &engine->pager, info->catalog, &walk);
    if (st == VS_OK && is_last)
        st = check_free_list(err, engine, &c, info);
    if (st == VS_OK && is_last)
        check_cover(&c, info);
    if (st == VS_OK && c.is_packed_silent)
        report(ctx, "there are compressed values, and the meta pages do not say so");
    vsi_buf_free(&c.runs);
    return st;
}

/* ---- all ------------------------------------------------------------------------------------ */

/* Whether a failed sync moved the log meanwhile: frames read before may have been lost there. */
static bool check_log_moved(vsi_engine *engine, const check_moment *moment) {
    vsi_mutex_lock(&engine->log_lock);
    bool has_moved = engine->metas.newest.generation != moment->meta.generation;
    vsi_mutex_unlock(&engine->log_lock);
    return has_moved;
}

/* The log behind the checkpoint. A failed sync may move it while it is read: then once more. */
static vs_status check_whole_log(vsi_err *err, vsi_engine *engine, check_moment *moment,
                                 int level) {
    vs_status st = check_log(err, engine, moment, level == 1);
    while (check_is_finding(st) && check_log_moved(engine, moment)) {
        st = check_begin(err, engine, moment);
        if (st == VS_OK)
            st = check_log(err, engine, moment, level == 1);
    }
    return st;
}

/* A finding is reported, and is no failure of the check. */
static vs_status check_report(vs_status st, const vsi_err *err, vsi_report_fn report, void *ctx) {
    if (!check_is_finding(st))
        return st;
    report(ctx, err->text);
    return VS_OK;
}

static void check_report_metas(const check_moment *moment, vsi_report_fn report, void *ctx) {
    char text[160];
    if (moment->page_is_damaged)
        report(ctx, "one of the two meta pages is damaged; the other one serves");
    if (!moment->lost_checkpoint)
        return;
    snprintf(text, sizeof text, "checkpoint %llu is damaged; checkpoint %llu and its log serve",
             (unsigned long long)moment->lost_checkpoint,
             (unsigned long long)moment->meta.checkpoint.number);
    report(ctx, text);
}

static vs_status check_files(vsi_err *err, vsi_engine *engine, int level, vsi_report_fn report,
                             void *ctx) {
    check_moment moment = {.end_lsn = 0};
    vs_status st = check_report(check_begin(err, engine, &moment), err, report, ctx);
    if (st == VS_OK)
        check_report_metas(&moment, report, ctx);
    if (st == VS_OK && level >= 1 && moment.meta.seq)
        st = check_report(check_whole_log(err, engine, &moment, level), err, report, ctx);
    const vsi_checkpoint_info *last = &moment.meta.checkpoint, *before = &moment.meta.previous;
    if (st == VS_OK && level >= 2 && last->number)
        st = check_report(check_checkpoint(err, engine, &moment.meta, true, report, ctx), err,
                          report, ctx);
    if (st == VS_OK && level >= 2 && before->log_from && before->number)
        st = check_report(check_checkpoint(err, engine, &moment.meta, false, report, ctx), err,
                          report, ctx);
    return st;
}

static void check_announce(vsi_engine *engine, uint32_t change) {
    vsi_mutex_lock(&engine->log_lock);
    engine->checks += change;
    vsi_mutex_unlock(&engine->log_lock);
}

VSI_FN vs_status vsi_engine_check(vsi_err *err, vsi_engine *engine, int level, vsi_report_fn report,
                                  void *ctx) {
    check_announce(engine, 1);
    vs_status st = check_files(err, engine, level, report, ctx);
    check_announce(engine, UINT32_MAX);
    if (st != VS_OK || level < 3)
        return st;
    vsi_version *version = vsi_versions_pin(&engine->versions);
    st = vsi_audit(err, &version->state, engine->mem, report, ctx);
    vsi_versions_unpin(&engine->versions, version);
    vsi_budget_keep(&engine->pager, &engine->descs);
    return st;
}
/* ---- query/topk.h ---------------------------------------------------------------------------------- */
/* topk.h - the k nearest of a stream of candidates, in the caller's array. */
#ifndef VSI_TOPK_H
#define VSI_TOPK_H

/* uses base/port.h */
#include "vecstore.h"

/* hits is a heap with the farthest first while candidates come. */
typedef struct vsi_topk {
    vs_hit *hits; /* [k], borrowed */
    size_t k, count;
    bool has_radius; /* none that is farther is wanted */
    double radius;
    uint64_t within; /* candidates not farther than radius, wanted or not */
    /* Orders two keys that are no numbers, of which hits know the slots: below, equal or above 0. */
    int (*order)(void *ctx, uint32_t slot, uint32_t other);
    void *ctx;
} vsi_topk;

/* Whether a candidate at this distance could still be among the k; cheap, for the inner loop. Asked once
 * for each. */
VSI_FN bool vsi_topk_may_enter(vsi_topk *topk, double distance);
/* A key that is no number has none of its bytes: its number is that of its slot. */
VSI_FN void vsi_topk_offer(vsi_topk *topk, vs_key key, double distance);

/* Sorts hits: nearest first, equal distances by ascending key. Ends the stream. */
VSI_FN void vsi_topk_sort(vsi_topk *topk);

#endif
/* ---- query/topk.c ---------------------------------------------------------------------------------- */
/* topk.c - the k nearest of a stream of candidates: a binary heap, then heapsort. */
/* uses query/topk.h */

/* The order of results: by distance, then by key. */
static bool topk_is_farther(const vsi_topk *topk, const vs_hit *a, const vs_hit *b) {
    if (a->distance != b->distance)
        return a->distance > b->distance;
    if (a->key.space != b->key.space)
        return a->key.space > b->key.space;
    if (a->key.kind != b->key.kind)
        return a->key.kind > b->key.kind;
    if (a->key.kind == VS_KEY_U64)
        return a->key.number > b->key.number;
    return topk->order(topk->ctx, (uint32_t)a->key.number, (uint32_t)b->key.number) > 0;
}

static void topk_sift_up(vsi_topk *topk, size_t at, vs_hit hit) {
    vs_hit *heap = topk->hits;
    while (at > 0 && topk_is_farther(topk, &hit, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = hit;
}

/* Puts hit at the root of a heap of n and moves it down. */
static void topk_sift_down(vsi_topk *topk, size_t n, vs_hit hit) {
    vs_hit *heap = topk->hits;
    size_t at = 0;
    for (size_t child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && topk_is_farther(topk, &heap[child + 1], &heap[child]))
            child++;
        if (!topk_is_farther(topk, &heap[child], &hit))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = hit;
}

VSI_FN bool vsi_topk_may_enter(vsi_topk *topk, double distance) {
    if (topk->has_radius && !(distance <= topk->radius))
        return false;
    topk->within++;
    return topk->count < topk->k || (topk->k && distance <= topk->hits[0].distance);
}

VSI_FN void vsi_topk_offer(vsi_topk *topk, vs_key key, double distance) {
    vs_hit hit = {.key = key, .distance = distance};
    if (topk->count < topk->k)
        topk_sift_up(topk, topk->count++, hit);
    else if (topk_is_farther(topk, &topk->hits[0], &hit))
        topk_sift_down(topk, topk->count, hit);
}

VSI_FN void vsi_topk_sort(vsi_topk *topk) {
    for (size_t n = topk->count; n > 1; n--) {
        vs_hit last = topk->hits[n - 1];
        topk->hits[n - 1] = topk->hits[0];
        topk_sift_down(topk, n - 1, last);
    }
}
/* ---- query/exact.h ---------------------------------------------------------------------------------- */
/* exact.h - exact search: every record of a collection against the query. */
#ifndef VSI_EXACT_H
#define VSI_EXACT_H

/* uses math/kernels.h */
/* uses query/topk.h */
/* uses store/state.h */

/* Whether the caller of a scan wants it to end. */
typedef struct vsi_halt {
    vsi_atomic_u64 *interrupts; /* counts up with each wish; borrowed */
    uint64_t seen;              /* what it was when the call began */
    const vs_vfs *vfs;          /* whose clock says when the deadline is; NULL: there is none */
    int64_t deadline_us;
} vsi_halt;

/* VS_ERR_INTERRUPTED, VS_ERR_TIMEOUT. */
VS_NODISCARD VSI_FN vs_status vsi_halt_check(vsi_err *err, const vsi_halt *halt);

/* What a scan asks for. */
typedef struct vsi_exact_ask {
    vsi_descs *descs; /* what may leave memory on the way */
    uint32_t field;
    const void *query; /* [dim] elements of the field's type, aligned for it */
    uint32_t excluded; /* the record in this slot is not wanted; VSI_SLOT_NONE */
    vsi_halt halt;
} vsi_exact_ask;

/* Offers every record of coll that has the field's vector to topk, and sorts that. stay is the caller's, who holds nothing else by it: it is
 * renewed on the way. VS_ERR_INTERRUPTED, VS_ERR_TIMEOUT. */
VS_NODISCARD VSI_FN vs_status vsi_exact_scan(vsi_err *err, const vsi_kernels *kernels,
                                             const vsi_coll *coll, const vsi_exact_ask *ask,
                                             vsi_stay *stay, vsi_topk *topk);

/* The distance of two vectors of a field, as a scan would find it. query is aligned as above. */
VSI_FN double vsi_exact_distance(const vsi_kernels *kernels, const vsi_coll *coll, uint32_t field,
                                 const void *query, const void *row);

#endif
/* ---- query/exact.c ---------------------------------------------------------------------------------- */
/* exact.c - exact search: runs of live slots, in tiles, through the kernels. */
/* uses query/exact.h */
/* uses store/budget.h */
/* uses math/dispatch.h */
/* uses math/kernels_scalar.h */

enum { EXACT_TILE_ROWS = 128, EXACT_BREATH_ORDERS = 128 };

/* Underflow in single precision takes at most 2^-126 per element from a sum. In sums below this many
 * times the dimension that could be more than the last bit. */
static const double exact_sum_trusted = 0x1p-102;

/* Below this a squared norm may have lost its value to underflow. */
static const double exact_norm_trusted = 1e-30;

typedef struct exact_scan {
    vsi_kernel *kernel; /* for the field's type and metric */
    const vsi_coll *coll;
    vsi_field *field;
    uint32_t set; /* of slots that have its vector */
    const void *query;
    size_t dim;
    double query_norm; /* squared; for cosine */
    uint32_t excluded; /* slot */
    vsi_err *err;      /* of a failure to order two keys, and that */
    vs_status order_st;
    uint64_t orders; /* how often two were */
    const vsi_exact_ask *ask;
    vsi_stay *stay;
    vsi_slab_aside rows, cells; /* of slabs that memory has no room for */
    double out[EXACT_TILE_ROWS], norm[EXACT_TILE_ROWS];
} exact_scan;

static double exact_cosine(double dot, double query_norm, double row_norm) {
    if (query_norm == 0 || row_norm == 0)
        return 1;
    double distance = 1 - dot / sqrt(query_norm * row_norm);
    return distance < 0 ? 0 : distance > 2 ? 2 : distance; /* rounding goes no further than that */
}

/* What a kernel's sums are as a distance. */
static double exact_distance(int metric, double sum, double norm, double query_norm) {
    switch (metric) {
    case VS_IP:
        return 0 - sum;
    case VS_COSINE:
        return exact_cosine(sum, query_norm, norm);
    case VS_JACCARD:
        return norm > 0 ? 1 - sum / norm : 0;
    default:
        return sum;
    }
}

/* A row of floats whose sums left the range of single precision, above or below, in double. */
static double exact_in_double(const exact_scan *scan, const float *row) {
    int metric = scan->field->metric;
    vsi_kernel *kernel = vsi_kernels_find(vsi_kernels_scalar(), VS_F32, metric);
    double sum = 0, norm = 0, query_sum = 0, query_norm = 0;
    kernel(scan->query, row, scan->dim, 1, &sum, &norm);
    if (metric == VS_COSINE)
        kernel(scan->query, scan->query, scan->dim, 1, &query_sum, &query_norm);
    return exact_distance(metric, sum, norm, query_norm);
}

static bool exact_norm_is_trusted(double norm) {
    return norm >= exact_norm_trusted && norm <= DBL_MAX;
}

/* Whether sums of floats in single precision stayed in its range. */
static bool exact_is_trusted(const exact_scan *scan, size_t at) {
    if (!isfinite(scan->out[at]))
        return false;
    if (scan->field->metric == VS_COSINE)
        return exact_norm_is_trusted(scan->norm[at]) && exact_norm_is_trusted(scan->query_norm);
    return fabs(scan->out[at]) >= exact_sum_trusted * (double)scan->dim;
}

/* The distances of n rows. */
static void exact_rows(exact_scan *scan, const uint8_t *rows, size_t n) {
    const vsi_field *field = scan->field;
    scan->kernel(scan->query, rows, scan->dim, n, scan->out, scan->norm);
    for (size_t i = 0; i < n; i++)
        scan->out[i] =
            field->type != VS_F32 || exact_is_trusted(scan, i)
                ? exact_distance(field->metric, scan->out[i], scan->norm[i], scan->query_norm)
                : exact_in_double(scan, (const float *)(const void *)rows + i * scan->dim);
}

/* The query's norm, by the kernel that computes the rows', so that equal vectors are at distance 0. */
static void exact_prepare(exact_scan *scan) {
    double sum = 0;
    if (scan->field->metric == VS_COSINE)
        scan->kernel(scan->query, scan->query, scan->dim, 1, &sum, &scan->query_norm);
}

VSI_FN vs_status vsi_halt_check(vsi_err *err, const vsi_halt *halt) {
    if (vsi_atomic_load(halt->interrupts) != halt->seen)
        return vsi_fail(err, VS_ERR_INTERRUPTED, "the search was interrupted");
    if (halt->vfs && halt->vfs->ticks_us(halt->vfs->ctx) >= halt->deadline_us)
        return vsi_fail(err, VS_ERR_TIMEOUT, "the search took longer than it may");
    return VS_OK;
}

/* Now and then: whether to go on, and what was read may leave memory if there is too much of it. */
static vs_status exact_breathe(vsi_err *err, exact_scan *scan) {
    vs_status st = vsi_halt_check(err, &scan->ask->halt);
    if (vsi_budget_breathe(scan->coll->live.cow->pager, scan->ask->descs, scan->stay)) {
        vsi_slab_aside_renew(&scan->rows);
        vsi_slab_aside_renew(&scan->cells);
    }
    return st;
}

/* Of two slots whose keys are of one namespace and kind, and no numbers. */
static int exact_order(void *ctx, uint32_t slot, uint32_t other) {
    exact_scan *scan = ctx;
    vs_key a = {0}, b = {0};
    vsi_cell cell = {.kind = VS_KEY_BYTES}; /* bytes are compared, of whatever kind */
    if (scan->order_st != VS_OK)
        return 0;
    vs_status st = ++scan->orders % EXACT_BREATH_ORDERS ? VS_OK : exact_breathe(scan->err, scan);
    if (st == VS_OK)
        st = vsi_coll_key(scan->err, scan->coll, slot, &cell, &a);
    if (st == VS_OK)
        st = vsi_coll_key(scan->err, scan->coll, other, &cell, &b);
    if (st == VS_OK)
        return vsi_key_compare(a, b);
    scan->order_st = st;
    return 0;
}

/* Takes what may enter the top k of a tile into it. */
static vs_status exact_offer(vsi_err *err, exact_scan *scan, uint32_t slot, size_t n,
                             vsi_topk *topk) {
    for (size_t i = 0; i < n; i++) {
        vsi_cell cell;
        if (slot + (uint32_t)i == scan->excluded || !vsi_topk_may_enter(topk, scan->out[i]))
            continue;
        vs_status st =
            vsi_coll_cell_aside(err, scan->coll, slot + (uint32_t)i, &scan->cells, &cell);
        if (st != VS_OK)
            return st;
        bool is_number = cell.kind == VS_KEY_U64;
        vs_key key = {.number = is_number ? cell.number : slot + (uint32_t)i,
                      .kind = cell.kind,
                      .space = cell.space};
        vsi_topk_offer(topk, key, scan->out[i]);
    }
    return scan->order_st;
}

/* n rows of consecutive live slots in one slab. */
static vs_status exact_tile(vsi_err *err, exact_scan *scan, uint32_t slot, size_t n,
                            vsi_topk *topk) {
    const uint8_t *rows = NULL;
    vs_status st = vsi_slab_row_aside(err, &scan->field->rows, slot, &scan->rows, &rows);
    if (st != VS_OK)
        return st;
    exact_rows(scan, rows, n);
    return exact_offer(err, scan, slot, n, topk);
}

/* The largest tile from slot on: in one slab, and not behind end. */
static uint32_t exact_tile_end(const exact_scan *scan, uint32_t slot, uint32_t end) {
    uint32_t n = end - slot, run = vsi_slab_run(&scan->field->rows, slot);
    n = n < run ? n : run;
    return slot + (n < EXACT_TILE_ROWS ? n : EXACT_TILE_ROWS);
}

static vs_status exact_run(vsi_err *err, exact_scan *scan, vsi_topk *topk) {
    const vsi_coll *coll = scan->coll;
    vsi_live_scan live = {.live = &coll->live, .set = scan->set};
    uint32_t slot = 0, end = coll->slot_end;
    for (;;) {
        uint32_t dead = 0;
        vs_status st = vsi_live_next(err, &live, slot, end, &slot);
        if (st == VS_OK && slot < end)
            st = vsi_live_next_dead(err, &live, slot, exact_tile_end(scan, slot, end), &dead);
        if (st == VS_OK && slot < end)
            st = exact_tile(err, scan, slot, dead - slot, topk);
        if (st == VS_OK)
            st = exact_breathe(err, scan);
        if (st != VS_OK || slot == end)
            return st;
        slot = dead;
    }
}

static void exact_begin(exact_scan *scan, const vsi_kernels *kernels, const vsi_coll *coll,
                        uint32_t field, const void *query) {
    scan->field = &coll->desc->field[field];
    scan->kernel = vsi_kernels_find(kernels, scan->field->type, scan->field->metric);
    scan->coll = coll;
    scan->set = vsi_desc_set(coll->desc, field);
    scan->query = query;
    scan->dim = scan->field->dim;
    scan->query_norm = 0;
    scan->excluded = VSI_SLOT_NONE;
    scan->err = NULL;
    scan->order_st = VS_OK;
    scan->rows = scan->cells = (vsi_slab_aside){.buf = {.mem = coll->desc->cells.mem}};
    exact_prepare(scan);
}

VSI_FN double vsi_exact_distance(const vsi_kernels *kernels, const vsi_coll *coll, uint32_t field,
                                 const void *query, const void *row) {
    exact_scan scan;
    exact_begin(&scan, kernels, coll, field, query);
    exact_rows(&scan, row, 1);
    return scan.out[0];
}

VSI_FN vs_status vsi_exact_scan(vsi_err *err, const vsi_kernels *kernels, const vsi_coll *coll,
                                const vsi_exact_ask *ask, vsi_stay *stay, vsi_topk *topk) {
    exact_scan scan;
    exact_begin(&scan, kernels, coll, ask->field, ask->query);
    scan.excluded = ask->excluded;
    scan.err = err;
    scan.orders = 0;
    scan.ask = ask;
    scan.stay = stay;
    topk->order = exact_order;
    topk->ctx = &scan;
    vs_status st = exact_run(err, &scan, topk);
    if (st == VS_OK) {
        vsi_topk_sort(topk);
        st = scan.order_st;
    }
    vsi_buf_free(&scan.rows.buf);
    vsi_buf_free(&scan.cells.buf);
    return st;
}
/* ---- api/handle.h ---------------------------------------------------------------------------------- */
/* handle.h - what the public handles are, how calls on them begin and end. */
#ifndef VSI_HANDLE_H
#define VSI_HANDLE_H

/* uses math/kernels.h */
/* uses store/checkpoint.h */
/* uses store/open.h */

/* First member of every public handle. The tag tells kinds apart and closed handles from open ones.
 */
typedef struct vsi_handle {
    uint32_t tag;
    vs_db *db;
    vsi_err err;
} vsi_handle;

enum {
    VSI_TAG_DB = 0x76734442,
    VSI_TAG_TXN = 0x76735458,
    VSI_TAG_COLLECTION = 0x7673434f,
    VSI_TAG_CURSOR = 0x76734355,
    VSI_TAG_CLOSED = 0x7673216e
};

struct vs_db {
    vsi_handle head;
    vsi_mem mem;
    vsi_mutex lock;     /* guards head.err and the counts */
    vsi_engine *engine; /* NULL: the open failed */
    const vsi_kernels *kernels;
    uint64_t process_id; /* that opened it */
    uint32_t txns, collections, cursors;
    vsi_atomic_u64 interrupts; /* how often vs_interrupt was called */
};

struct vs_txn {
    vsi_handle head;
    bool is_write;
    vsi_version *version; /* read: the pinned snapshot */
    vsi_write write;      /* write */
    vs_cursor *cursors;   /* of a write transaction; they end with it */
};

/* A record that was read; the caller may pass it back in. */
typedef struct vsi_record_bufs {
    vsi_buf vector, metadata; /* all vectors; metadata ends with a NUL */
    vsi_buf key;              /* what the key points to */
    vs_vector list[VS_FIELDS_MAX];
    size_t list_count;
} vsi_record_bufs;

struct vs_collection {
    vsi_handle head;
    uint32_t id;
    char name[VS_NAME_BYTES_MAX + 1];
    vsi_record_bufs record; /* the last one read */
    vsi_buf keys;           /* what the keys of the last hits point to */
    vsi_buf scratch;        /* vectors being put, or the query being searched, converted */
    vsi_buf json;           /* metadata being put */
};

/* The state that a call reads: the transaction's, or the last commit's, pinned for the call. */
typedef struct vsi_view {
    const vsi_state *state;
    vsi_version *pinned; /* NULL: nothing to unpin */
    vsi_stay stay;       /* what the call reads stays until its end */
} vsi_view;

/* The write transaction that a call changes: the caller's, or one of its own that the call commits.
 */
typedef struct vsi_change {
    vsi_write *write;
    vsi_write own;
    bool is_own;
    vsi_statement statement;
} vsi_change;

/* VS_OK when handle is an open one of this kind and the process is the one that opened it; else
 * VS_ERR_MISUSE, worded where there is a handle to keep the message. */
VSI_FN vs_status vsi_handle_check(void *handle, uint32_t tag);

/* Checks a call's transaction: NULL, or an open one of this database, for writing if asked. */
VSI_FN vs_status vsi_handle_check_txn(vsi_err *err, const vs_db *db, const vs_txn *txn,
                                      bool for_writing);

/* Ends a call: on failure the message goes into the handle. Returns st. */
VSI_FN vs_status vsi_handle_end(vsi_handle *handle, vs_status st, const vsi_err *err);

/* The handle that keeps the message of a call on db and txn. */
VSI_FN vsi_handle *vsi_handle_of(vs_db *db, vs_txn *txn);

/* Begins a handle whose struct is zeroed, and ends one. */
VSI_FN void vsi_handle_open(vsi_handle *handle, uint32_t tag, vs_db *db, uint32_t *count);
VSI_FN void vsi_handle_close(vsi_handle *handle, uint32_t *count);

VSI_FN vsi_view vsi_view_open(vs_db *db, const vs_txn *txn);
VSI_FN void vsi_view_close(vs_db *db, vsi_view view);
/* The collection in a view; VS_ERR_NOT_FOUND when it is not there. */
VSI_FN vs_status vsi_view_coll(vsi_err *err, vsi_view view, const vs_collection *collection,
                               vsi_coll *out_coll);

/* A call that reads one collection: in which state, and the collection there. */
typedef struct vsi_reading {
    vs_db *db; /* NULL: the call was refused before anything was opened */
    vs_collection *collection;
    vsi_view view;
    vsi_coll coll;
} vsi_reading;

/* Of a handle that was checked. Whatever it returns, vsi_reading_close follows, with what came of the call,
 * and returns that. */
VSI_FN vs_status vsi_reading_open(vsi_err *err, vs_collection *collection, const vs_txn *txn,
                                  vsi_reading *out);
VSI_FN vs_status vsi_reading_close(vsi_reading *reading, vs_status st, const vsi_err *err);

/* Commits, and makes a checkpoint when it is time for one. */
VSI_FN vs_status vsi_commit(vsi_err *err, vsi_write *write, int sync);

VSI_FN vs_status vsi_change_begin(vsi_err *err, vs_db *db, vs_txn *txn, vsi_change *out_change);
/* Keeps what the call staged if st is VS_OK, else undoes it. Returns st or the failure to keep it.
 */
VSI_FN vs_status vsi_change_end(vsi_err *err, vsi_change *change, vs_status st);

/* What a call does to a collection in a transaction. */
typedef vs_status vsi_collection_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                                       void *ctx);
/* A whole call that changes one collection, in the caller's transaction or one of its own. */
VSI_FN vs_status vsi_collection_change(vs_collection *collection, vs_txn *txn,
                                       vsi_collection_stage *stage, void *ctx);

/* Structs of the interface begin with their size, which tells the version that the caller was
 * compiled for. In: what the caller's version lacks keeps the defaults in out; what this version
 * does not know must be zero. Out: as much is written as the caller's version has. VS_ERR_MISUSE,
 * VS_ERR_UNSUPPORTED; what is the struct's name. */
VSI_FN vs_status vsi_struct_read(vsi_err *err, const char *what, const void *callers, void *out,
                                 size_t ours);
VSI_FN vs_status vsi_struct_check(vsi_err *err, const char *what, const void *callers);
VSI_FN void vsi_struct_write(const void *ours, size_t bytes, void *callers);

#endif
/* ---- api/handle.c ---------------------------------------------------------------------------------- */
/* handle.c - what all public functions share. */
/* uses api/handle.h */

enum { STRUCT_BYTES_MAX = 4096 }; /* a larger size is a forgotten one */

VSI_FN vs_status vsi_handle_check(void *handle, uint32_t tag) {
    vsi_handle *head = handle;
    if (!head || head->tag != tag)
        return VS_ERR_MISUSE;
    const vs_db *db = head->db;
    if (!db->engine) /* the open failed; its message stays */
        return VS_ERR_MISUSE;
    const vs_vfs *vfs = db->engine->config.vfs;
    uint64_t process_id = vfs->process_id(vfs->ctx);
    if (process_id == db->process_id)
        return VS_OK;
    return vsi_fail(&head->err, VS_ERR_MISUSE,
                    "process %llu opened this database; it cannot be used in process %llu after a "
                    "fork",
                    (unsigned long long)db->process_id, (unsigned long long)process_id);
}

VSI_FN vsi_handle *vsi_handle_of(vs_db *db, vs_txn *txn) {
    return txn ? &txn->head : &db->head;
}

VSI_FN vs_status vsi_handle_check_txn(vsi_err *err, const vs_db *db, const vs_txn *txn,
                                      bool for_writing) {
    if (!txn)
        return VS_OK;
    if (txn->head.tag != VSI_TAG_TXN)
        return vsi_fail(err, VS_ERR_MISUSE, "the transaction is no open transaction");
    if (txn->head.db != db)
        return vsi_fail(err, VS_ERR_MISUSE, "the transaction belongs to another database");
    if (for_writing && !txn->is_write)
        return vsi_fail(err, VS_ERR_MISUSE, "a read transaction cannot change anything");
    return VS_OK;
}

VSI_FN vs_status vsi_handle_end(vsi_handle *handle, vs_status st, const vsi_err *err) {
    if (st == VS_OK || st == VS_ROW || st == VS_DONE)
        return st;
    bool is_shared = handle->tag == VSI_TAG_DB;
    if (is_shared)
        vsi_mutex_lock(&handle->db->lock);
    handle->err = *err;
    if (is_shared)
        vsi_mutex_unlock(&handle->db->lock);
    return st;
}

static void handle_count(vs_db *db, uint32_t *count, uint32_t change) {
    vsi_mutex_lock(&db->lock);
    *count += change;
    vsi_mutex_unlock(&db->lock);
}

VSI_FN void vsi_handle_open(vsi_handle *handle, uint32_t tag, vs_db *db, uint32_t *count) {
    handle->tag = tag;
    handle->db = db;
    handle_count(db, count, 1);
}

VSI_FN void vsi_handle_close(vsi_handle *handle, uint32_t *count) {
    handle->tag = VSI_TAG_CLOSED;
    handle_count(handle->db, count, UINT32_MAX);
}

/* ---- what a call reads ---------------------------------------------------------------------- */

VSI_FN vsi_view vsi_view_open(vs_db *db, const vs_txn *txn) {
    vsi_view view = {.stay = vsi_stay_enter(&db->engine->pager.reside)};
    if (!txn)
        view.pinned = vsi_versions_pin(&db->engine->versions);
    if (view.pinned)
        view.state = &view.pinned->state;
    else
        view.state = txn->is_write ? &txn->write.state : &txn->version->state;
    return view;
}

VSI_FN void vsi_view_close(vs_db *db, vsi_view view) {
    vsi_engine *engine = db->engine;
    if (view.pinned)
        vsi_versions_unpin(&engine->versions, view.pinned);
    vsi_stay_leave(&engine->pager.reside, view.stay);
    vsi_budget_keep(&engine->pager, &engine->descs);
}

VSI_FN vs_status vsi_view_coll(vsi_err *err, vsi_view view, const vs_collection *collection,
                               vsi_coll *out_coll) {
    vs_status st = vsi_state_coll(err, view.state, collection->id, out_coll);
    if (st != VS_ERR_NOT_FOUND)
        return st;
    return vsi_fail(
        err, VS_ERR_NOT_FOUND,
        "collection '%s' does not exist here: it was created later, or its creation was "
        "rolled back",
        collection->name);
}

VSI_FN vs_status vsi_reading_open(vsi_err *err, vs_collection *collection, const vs_txn *txn,
                                  vsi_reading *out) {
    memset(out, 0, sizeof *out);
    out->collection = collection;
    vs_status st = vsi_handle_check_txn(err, collection->head.db, txn, false);
    if (st != VS_OK)
        return st;
    out->db = collection->head.db;
    out->view = vsi_view_open(out->db, txn);
    return vsi_view_coll(err, out->view, collection, &out->coll);
}

VSI_FN vs_status vsi_reading_close(vsi_reading *reading, vs_status st, const vsi_err *err) {
    if (reading->db)
        vsi_view_close(reading->db, reading->view);
    return vsi_handle_end(&reading->collection->head, st, err);
}

/* ---- what a call changes -------------------------------------------------------------------- */

VSI_FN vs_status vsi_change_begin(vsi_err *err, vs_db *db, vs_txn *txn, vsi_change *out_change) {
    vsi_change *change = out_change;
    vs_status st = VS_OK;
    change->is_own = !txn;
    change->write = txn ? &txn->write : &change->own;
    if (change->is_own)
        st = vsi_write_begin(err, db->engine, change->write);
    if (st != VS_OK)
        return st;
    st = vsi_statement_begin(err, change->write, &change->statement);
    if (st != VS_OK && change->is_own)
        vsi_write_rollback(change->write);
    return st;
}

VSI_FN vs_status vsi_commit(vsi_err *err, vsi_write *write, int sync) {
    vsi_engine *engine = write->engine;
    vs_status st = vsi_write_commit(err, write, sync);
    if (st == VS_OK || st == VS_ERR_FULL)
        vsi_checkpoint_if_due(engine);
    vsi_budget_keep(&engine->pager, &engine->descs);
    return st;
}

VSI_FN vs_status vsi_change_end(vsi_err *err, vsi_change *change, vs_status st) {
    if (st == VS_OK)
        vsi_statement_keep(change->write, &change->statement);
    else
        vsi_statement_undo(change->write, &change->statement);
    if (change->is_own && st == VS_OK)
        return vsi_commit(err, change->write, VS_SYNC_DEFAULT);
    if (change->is_own)
        vsi_write_rollback(change->write);
    return st;
}

VSI_FN vs_status vsi_collection_change(vs_collection *collection, vs_txn *txn,
                                       vsi_collection_stage *stage, void *ctx) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return VS_ERR_MISUSE;
    vs_db *db = collection->head.db;
    vsi_err err = {0};
    vsi_change change;
    vs_status st = vsi_handle_check_txn(&err, db, txn, true);
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        st = stage(&err, change.write, collection, ctx);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_handle_end(&collection->head, st, &err);
}

/* ---- versioned structs ---------------------------------------------------------------------- */

static size_t struct_bytes(const void *callers) {
    uint32_t bytes = 0;
    memcpy(&bytes, callers, sizeof bytes);
    return bytes;
}

VSI_FN vs_status vsi_struct_check(vsi_err *err, const char *what, const void *callers) {
    size_t bytes = struct_bytes(callers);
    if (bytes >= sizeof(uint32_t) && bytes <= STRUCT_BYTES_MAX)
        return VS_OK;
    return vsi_fail(err, VS_ERR_MISUSE, "%s: size is %zu; set it to sizeof(%s)", what, bytes, what);
}

VSI_FN vs_status vsi_struct_read(vsi_err *err, const char *what, const void *callers, void *out,
                                 size_t ours) {
    vs_status st = vsi_struct_check(err, what, callers);
    if (st != VS_OK)
        return st;
    size_t theirs = struct_bytes(callers);
    for (size_t i = ours; i < theirs; i++)
        if (((const uint8_t *)callers)[i])
            return vsi_fail(err, VS_ERR_UNSUPPORTED,
                            "%s: byte %zu is set, version %s knows only the first %zu", what, i,
                            VS_VERSION, ours);
    memcpy(out, callers, theirs < ours ? theirs : ours);
    return VS_OK;
}

VSI_FN void vsi_struct_write(const void *ours, size_t bytes, void *callers) {
    size_t theirs = struct_bytes(callers);
    memcpy(callers, ours, theirs < bytes ? theirs : bytes);
}
/* ---- api/keys.c ---------------------------------------------------------------------------------- */
/* keys.c - keys, for callers. */
/* uses api/handle.h */

vs_key vs_key_u64(uint64_t number) {
    return (vs_key){.number = number};
}

vs_key vs_key_bytes(const void *data, size_t bytes) {
    uint16_t stored = bytes < UINT16_MAX ? (uint16_t)bytes : UINT16_MAX;
    return (vs_key){.data = data, .bytes = stored, .kind = VS_KEY_BYTES};
}

vs_key vs_key_text(const char *text) {
    return vs_key_bytes(text, text ? strlen(text) : 0);
}

vs_key vs_key_uuid(const void *uuid) {
    return (vs_key){.data = uuid, .bytes = VSI_KEY_UUID_BYTES, .kind = VS_KEY_UUID};
}

vs_key vs_key_in(uint32_t space, vs_key key) {
    key.space = space;
    return key;
}

int vs_key_compare(vs_key a, vs_key b) {
    return vsi_key_compare(a, b);
}
/* ---- api/vfs.c ---------------------------------------------------------------------------------- */
/* vfs.c - the file systems that ship with the library. */
/* uses os/memory.h */
/* uses os/posix.h */

const vs_vfs *vs_vfs_posix(void) {
    return vsi_posix_vfs();
}

vs_status vs_vfs_memory_create(const vs_allocator *allocator, vs_vfs **out_vfs) {
    if (!out_vfs || (allocator && !allocator->realloc))
        return VS_ERR_MISUSE;
    return vsi_memory_vfs_create(allocator, out_vfs);
}

void vs_vfs_memory_destroy(vs_vfs *vfs) {
    vsi_memory_vfs_destroy(vfs);
}
/* ---- api/database.c ---------------------------------------------------------------------------------- */
/* database.c - opening, closing, messages and versions. */
/* uses api/handle.h */
/* uses math/dispatch.h */
/* uses os/posix.h */

enum { DATABASE_BUSY_MS = 5000 };

/* The memory limit unless the options name one: 1 GiB. */
#define DATABASE_MEMORY_BYTES ((uint64_t)1 << 30)

/* ---- messages ------------------------------------------------------------------------------- */

static bool handle_is_open(const vsi_handle *head) {
    return head && (head->tag == VSI_TAG_DB || head->tag == VSI_TAG_TXN ||
                    head->tag == VSI_TAG_COLLECTION || head->tag == VSI_TAG_CURSOR);
}

const char *vs_errmsg(const void *handle) {
    const vsi_handle *head = handle;
    return handle_is_open(head) ? head->err.text : "";
}

vs_status vs_extended_errcode(const void *handle) {
    const vsi_handle *head = handle;
    if (!head)
        return VS_OK;
    return handle_is_open(head) ? head->err.code : VS_ERR_MISUSE;
}

const char *vs_status_name(vs_status status) {
    return vsi_status_name(status);
}

const char *vs_version(void) {
    return VS_VERSION;
}

int vs_version_number(void) {
    return VS_VERSION_NUMBER;
}

const char *vs_cpu_features(void) {
    return vsi_kernels_names();
}

/* ---- opening -------------------------------------------------------------------------------- */

/* The caller's options over the defaults, as many as the caller's version knows. */
static vs_status open_read_options(vsi_err *err, const vs_open_options *given,
                                   vs_open_options *out) {
    const vs_open_options defaults = VS_OPEN_OPTIONS_INIT;
    *out = defaults;
    vs_status st = given ? vsi_struct_read(err, "vs_open_options", given, out, sizeof *out) : VS_OK;
    if (st != VS_OK)
        return st;
    if (out->flags & ~(uint32_t)(VS_OPEN_READONLY | VS_OPEN_CREATE | VS_OPEN_MMAP))
        return vsi_fail(err, VS_ERR_MISUSE, "vs_open: unknown flags %#lx",
                        (unsigned long)out->flags);
    if (out->sync < VS_SYNC_DEFAULT || out->sync > VS_SYNC_OFF)
        return vsi_fail(err, VS_ERR_MISUSE, "vs_open: sync is %d, expected VS_SYNC_...", out->sync);
    if (out->compression < VS_COMPRESSION_DEFAULT || out->compression > VS_COMPRESSION_ZSTD)
        return vsi_fail(err, VS_ERR_MISUSE,
                        "vs_open: compression is %d, expected VS_COMPRESSION_...",
                        out->compression);
    if (out->trailer_bytes && out->trailer_bytes != VSI_TRAILER_BYTES)
        return vsi_fail(err, VS_ERR_MISUSE, "vs_open: trailer_bytes is %lu, expected 0 or %d",
                        (unsigned long)out->trailer_bytes, VSI_TRAILER_BYTES);
    if (out->compression == VS_COMPRESSION_ZSTD && !vsi_codec_has_zstd())
        return vsi_fail(err, VS_ERR_UNSUPPORTED,
                        "vs_open: this build leaves zstd out (VS_OMIT_ZSTD)");
    if (out->allocator && !out->allocator->realloc)
        return vsi_fail(err, VS_ERR_MISUSE, "vs_open: the allocator has no realloc");
    if (!out->vfs)
        out->vfs = vsi_posix_vfs();
    if (!out->vfs || out->vfs->size < sizeof(vs_vfs))
        return vsi_fail(err, VS_ERR_UNSUPPORTED,
                        "vs_open: no file system, or one of an older form");
    return VS_OK;
}

static vs_status open_database(vsi_err *err, const char *path, const vs_open_options *options,
                               vs_db *db) {
    db->kernels = vsi_kernels_choose(options->cpu);
    if (!db->kernels)
        return vsi_fail(err, VS_ERR_UNSUPPORTED, "vs_open: cpu '%s', this machine has: %s",
                        options->cpu, vsi_kernels_names());
    if (!path)
        return vsi_fail(err, VS_ERR_MISUSE, "vs_open: path is NULL");
    if (!*path)
        return vsi_fail(err, VS_ERR_INVALID, "vs_open: path is empty");
    vsi_engine_config config = {
        .mem = &db->mem,
        .vfs = options->vfs,
        .path = path,
        .is_readonly = options->flags & VS_OPEN_READONLY,
        .may_create = options->flags & VS_OPEN_CREATE,
        .maps_slabs = options->flags & VS_OPEN_MMAP,
        .sync = options->sync ? options->sync : VS_SYNC_FULL,
        .busy_timeout_ms = options->busy_timeout_ms ? options->busy_timeout_ms : DATABASE_BUSY_MS,
        .memory_limit = options->memory_limit ? options->memory_limit : DATABASE_MEMORY_BYTES,
        .busy_fn = options->busy,
        .busy_ctx = options->busy_ctx,
        .stores_plain = options->compression == VS_COMPRESSION_NONE,
        .trailer_bytes = options->trailer_bytes,
        .log_fn = options->log,
        .log_ctx = options->log_ctx,
    };
    db->process_id = options->vfs->process_id(options->vfs->ctx);
    return vsi_engine_open(err, &config, &db->engine);
}

vs_status vs_open(const char *path, const vs_open_options *options, vs_db **out_db) {
    if (!out_db)
        return VS_ERR_MISUSE;
    *out_db = NULL;
    vs_open_options all;
    vsi_err err = {0};
    vs_status st = open_read_options(&err, options, &all);
    vsi_mem mem;
    vsi_mem_init(&mem, all.allocator && all.allocator->realloc ? all.allocator : NULL);
    vs_db *db = vsi_alloc_zeroed(&mem, sizeof *db);
    if (!db)
        return VS_ERR_NOMEM;
    vsi_mem_init(&db->mem, &mem.hook);
    if (!vsi_mutex_init(&db->lock)) {
        vsi_free(&mem, db, sizeof *db);
        return VS_ERR_NOMEM;
    }
    db->head.tag = VSI_TAG_DB;
    db->head.db = db;
    if (st == VS_OK)
        st = open_database(&err, path, &all, db);
    *out_db = db;
    return vsi_handle_end(&db->head, st, &err);
}

/* ---- closing -------------------------------------------------------------------------------- */

static vs_status close_check(vsi_err *err, vs_db *db) {
    vsi_mutex_lock(&db->lock);
    uint32_t txns = db->txns, collections = db->collections, cursors = db->cursors;
    vsi_mutex_unlock(&db->lock);
    if (vsi_role_is_waited_for(db->engine))
        return vsi_fail(err, VS_ERR_BUSY, "vs_close: a call on it waits for a write transaction");
    if (!txns && !collections && !cursors)
        return VS_OK;
    return vsi_fail(err, VS_ERR_BUSY,
                    "vs_close: still open: %lu transactions, %lu collections, %lu cursors",
                    (unsigned long)txns, (unsigned long)collections, (unsigned long)cursors);
}

/* A close that cannot make a checkpoint keeps the log. */
static void close_checkpoint(vsi_engine *engine) {
    vsi_err err = {0};
    if (engine->config.is_readonly || engine->has_failed)
        return;
    if (vsi_checkpoint(&err, engine, true) != VS_OK)
        vsi_engine_message(engine, VS_LOG_WARNING, "%s keeps its log: %s", engine->path, err.text);
}

vs_status vs_close(vs_db *db) {
    if (!db)
        return VS_OK;
    if (db->head.tag != VSI_TAG_DB)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = VS_OK;
    if (db->engine) {
        const vs_vfs *vfs = db->engine->config.vfs;
        bool is_forked = vfs->process_id(vfs->ctx) != db->process_id;
        st = is_forked ? VS_OK : close_check(&err, db);
        if (st != VS_OK)
            return vsi_handle_end(&db->head, st, &err);
        if (!is_forked)
            close_checkpoint(db->engine);
        st = vsi_engine_close(&err, db->engine, is_forked);
    }
    db->head.tag = VSI_TAG_CLOSED;
    vsi_mutex_destroy(&db->lock);
    vsi_mem mem;
    vsi_mem_init(&mem, &db->mem.hook);
    vsi_free(&mem, db, sizeof *db);
    return st;
}
/* ---- api/record.h ---------------------------------------------------------------------------------- */
/* record.h - records between the caller's structs and the store. */
#ifndef VSI_RECORD_H
#define VSI_RECORD_H

/* uses api/handle.h */

/* A caller's vector in the field's type, elements little-endian: the caller's own bytes when
 * they are that already, else scratch [vector_bytes]. VS_ERR_INVALID for values that do not
 * fit. */
VSI_FN vs_status vsi_record_vector(vsi_err *err, const vsi_field *field, const void *vector,
                                   int type, uint8_t *scratch, const uint8_t **out);
/* VS_ERR_INVALID: the collection has no such field. */
VS_NODISCARD VSI_FN vs_status vsi_record_check_field(vsi_err *err, const vsi_coll *coll,
                                                     uint32_t field);

VSI_FN void vsi_record_bufs_init(vsi_record_bufs *bufs, vsi_mem *mem);
VSI_FN void vsi_record_bufs_free(vsi_record_bufs *bufs);

/* Fills out_record from a slot; what it points to lives in the buffers. */
VSI_FN vs_status vsi_record_read(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                 vsi_record_bufs *bufs, vs_record *out_record);

/* The slot of a key that must be there; VS_ERR_NOT_FOUND with a message. */
VS_NODISCARD VSI_FN vs_status vsi_record_find(vsi_err *err, const vs_collection *collection,
                                              const vsi_coll *coll, vs_key key, uint32_t *out_slot);

/* Says that a record has no vector of a field: VS_ERR_NOT_FOUND. */
VSI_FN vs_status vsi_record_no_vector(vsi_err *err, const vsi_coll *coll, uint32_t field,
                                      vs_key key);

#endif
/* ---- api/record.c ---------------------------------------------------------------------------------- */
/* record.c - writing and reading records. */
/* uses api/record.h */
/* uses base/patch.h */

/* ---- vectors -------------------------------------------------------------------------------- */

VSI_FN vs_status vsi_record_vector(vsi_err *err, const vsi_field *field, const void *vector,
                                   int type, uint8_t *scratch, const uint8_t **out) {
    bool is_canonical = false;
    type = type ? type : field->type;
    *out = scratch;
    if (!vector)
        return vsi_fail(err, VS_ERR_INVALID, "vector: missing");
    if (!vsi_type_bytes(type))
        return vsi_fail(err, VS_ERR_INVALID, "vector: type is %d, expected VS_F32 ... VS_BIT",
                        type);
    size_t numbers = field->vector_bytes / field->element_bytes;
    if (type == field->type) {
        vs_status st = vsi_vector_check(err, vector, type, field->dim, &is_canonical);
        if (st != VS_OK || is_canonical) {
            *out = vsi_as_le(vector, numbers, field->element_bytes, scratch);
            return st;
        }
    }
    vs_status st = vsi_vector_convert(err, vector, type, scratch, field->type, field->dim, NULL);
    vsi_swap_le(scratch, numbers, field->element_bytes);
    return st;
}

VSI_FN vs_status vsi_record_check_field(vsi_err *err, const vsi_coll *coll, uint32_t field) {
    if (field < coll->desc->field_count)
        return VS_OK;
    return vsi_fail(err, VS_ERR_INVALID, "field is %lu, collection '%s' has %lu",
                    (unsigned long)field, coll->desc->name, (unsigned long)coll->desc->field_count);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* One record to put, as the caller gave it. */
typedef struct record_input {
    vs_key key;
    vs_vector vector[VS_FIELDS_MAX]; /* by field; data NULL: none */
    bool is_named[VS_FIELDS_MAX];    /* those that the caller said something about */
    vsi_bytes metadata;
    uint64_t version; /* that is expected; 0: any */
} record_input;

/* Takes what the caller says of a field's vector; data NULL: that there is none. */
static vs_status input_add(vsi_err *err, const vsi_coll *coll, vs_vector vector, record_input *in) {
    vs_status st = vsi_record_check_field(err, coll, vector.field);
    if (st != VS_OK)
        return st;
    if (in->is_named[vector.field])
        return vsi_fail(err, VS_ERR_INVALID, "two vectors of field '%s'",
                        coll->desc->field[vector.field].name);
    in->vector[vector.field] = vector;
    in->is_named[vector.field] = true;
    return VS_OK;
}

static vs_status metadata_check_size(vsi_err *err, size_t bytes) {
    if (bytes <= VS_METADATA_BYTES_MAX)
        return VS_OK;
    return vsi_fail(err, VS_ERR_LIMIT, "metadata: %zu bytes, the limit is %u", bytes,
                    VS_METADATA_BYTES_MAX);
}

/* The caller's metadata as it is stored: without white space, in the handle's buffer if there was some. */
static vs_status metadata_prepare(vsi_err *err, vs_collection *collection, vsi_bytes *io_metadata) {
    vsi_bytes given = *io_metadata;
    vsi_buf *buf = &collection->json;
    if (!given.data)
        return VS_OK;
    vs_status st = metadata_check_size(err, given.bytes);
    if (st == VS_OK)
        st = vsi_json_check_object(err, (const char *)given.data, given.bytes);
    buf->bytes = 0;
    if (st == VS_OK && !vsi_buf_reserve(buf, given.bytes))
        st = vsi_fail_nomem(err, given.bytes);
    if (st != VS_OK)
        return st;
    vsi_json_out out = {.data = buf->data, .room = given.bytes};
    vsi_json_put_compact(&out, given.data, given.bytes);
    if (out.bytes < given.bytes)
        *io_metadata = (vsi_bytes){buf->data, out.bytes};
    return VS_OK;
}

static vs_status record_missing(vsi_err *err, const vs_collection *collection, vs_key key) {
    char text[VSI_KEY_TEXT_BYTES];
    return vsi_fail(err, VS_ERR_NOT_FOUND, "there is no key %s in collection '%s'",
                    vsi_key_text(text, key), collection->name);
}

static vs_status record_exists(vsi_err *err, const vs_collection *collection, vs_key key) {
    char text[VSI_KEY_TEXT_BYTES];
    return vsi_fail(err, VS_ERR_EXISTS, "key %s exists in collection '%s'", vsi_key_text(text, key),
                    collection->name);
}

/* The vectors of a record in the types of their fields; scratch has room for all. */
static vs_status put_convert(vsi_err *err, const vsi_desc *desc, const record_input *in,
                             uint8_t *scratch, vsi_op *op) {
    for (uint32_t i = 0; i < desc->field_count; i++) {
        const vsi_field *field = &desc->field[i];
        const vs_vector *vector = &in->vector[i];
        if (!vector->data && field->is_optional)
            continue;
        vs_status st =
            vsi_record_vector(err, field, vector->data, vector->type, scratch, &op->vector[i].data);
        if (st != VS_OK)
            return desc->field_count > 1 ? vsi_fail_in(err, "field '%s'", field->name) : st;
        op->vector[i].bytes = field->vector_bytes;
        scratch += field->vector_bytes;
    }
    return VS_OK;
}

/* Whether the record in a slot is of the version that the caller expects. */
static vs_status put_check_version(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                   const record_input *in) {
    char text[VSI_KEY_TEXT_BYTES];
    uint64_t version = 0;
    if (!in->version)
        return VS_OK;
    vs_status st = vsi_coll_version(err, coll, slot, &version);
    if (st != VS_OK || version == in->version)
        return st;
    return vsi_fail(err, VS_ERR_CONFLICT, "key %s has version %016llx, expected %016llx",
                    vsi_key_text(text, in->key), (unsigned long long)version,
                    (unsigned long long)in->version);
}

/* Whether mode and version allow a record, found as st says, to be put; *out_is_needed false: it stays as it is. */
static vs_status put_decide(vsi_err *err, const vs_collection *collection, const vsi_coll *coll,
                            const record_input *in, int mode, vs_status st, uint32_t old_slot,
                            bool *out_is_needed) {
    *out_is_needed = st == VS_ERR_NOT_FOUND || mode == VS_UPSERT || mode == VS_REPLACE;
    if (st == VS_OK && mode == VS_INSERT)
        return record_exists(err, collection, in->key);
    if (st == VS_ERR_NOT_FOUND && (mode == VS_REPLACE || in->version))
        return record_missing(err, collection, in->key);
    if (st == VS_OK && *out_is_needed)
        return put_check_version(err, coll, old_slot, in);
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

/* What the record in a slot counts in its collection's bytes, but for its key; and of that, its metadata. */
static vs_status record_measure(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                uint64_t *out_bytes, uint64_t *out_metadata) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, &coll->metadata, vsi_slot_encode(bytes, slot), &value);
    st = st == VS_ERR_NOT_FOUND ? VS_OK : st;
    *out_bytes = *out_metadata = value.bytes;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        bool has = false;
        st = vsi_coll_has(err, coll, i, slot, &has);
        *out_bytes += has ? coll->desc->field[i].vector_bytes : 0;
    }
    return st;
}

/* Whether what a put or new metadata add stays within the collection's limits. */
static vs_status put_check_limits(vsi_err *err, const vsi_coll *coll, const vsi_op *op) {
    bool is_put = op->kind == VSI_OP_PUT, is_new = is_put && op->old_slot == VSI_SLOT_NONE;
    uint64_t old = 0, old_metadata = 0, new = op->metadata.bytes;
    vs_status st = VS_OK;
    if (!coll->max_records && !coll->max_bytes)
        return VS_OK;
    if (!is_new)
        st = record_measure(err, coll, is_put ? op->old_slot : op->slot, &old, &old_metadata);
    if (st != VS_OK)
        return st;
    for (uint32_t i = 0; i < coll->desc->field_count; i++)
        new += op->vector[i].bytes;
    if (is_new)
        new += op->key.kind == VS_KEY_U64 ? 8 : op->key.bytes;
    if (!is_put)
        old = old_metadata;
    if (is_new && coll->max_records && coll->count >= coll->max_records)
        return vsi_fail(err, VS_ERR_LIMIT, "collection '%s' may have %llu records",
                        coll->desc->name, (unsigned long long)coll->max_records);
    uint64_t bytes = coll->bytes - old + new;
    if (coll->max_bytes && bytes > coll->max_bytes && new > old)
        return vsi_fail(err, VS_ERR_LIMIT, "collection '%s' may have %llu bytes, not %llu",
                        coll->desc->name, (unsigned long long)coll->max_bytes,
                        (unsigned long long)bytes);
    return VS_OK;
}

/* Puts a record into a slot of its own. */
static vs_status put_apply(vsi_err *err, vsi_write *write, const vsi_coll *coll, vsi_op *op) {
    vs_status st = put_check_limits(err, coll, op);
    if (st == VS_OK && op->kind == VSI_OP_PUT)
        st = vsi_write_take_slot(err, write, op->coll, &op->slot);
    return st == VS_OK ? vsi_statement_apply(err, write, op) : st;
}

static vs_status put_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                           const vsi_coll *coll, const record_input *in, int mode) {
    vsi_op op = {.kind = VSI_OP_PUT,
                 .coll = collection->id,
                 .old_slot = VSI_SLOT_NONE,
                 .key = in->key,
                 .metadata = in->metadata};
    bool is_needed = true;
    vs_status st = vsi_key_check(err, in->key);
    if (st == VS_OK)
        st = metadata_prepare(err, collection, &op.metadata);
    if (st == VS_OK)
        st = put_convert(err, coll->desc, in, collection->scratch.data, &op);
    if (st != VS_OK)
        return st;
    st = vsi_coll_find(err, coll, in->key, &op.old_slot);
    st = put_decide(err, collection, coll, in, mode, st, op.old_slot, &is_needed);
    if (st != VS_OK || !is_needed)
        return st;
    return put_apply(err, write, coll, &op);
}

/* The collection as the transaction has it now. */
static vs_status put_coll(vsi_err *err, const vsi_write *write, const vs_collection *collection,
                          vsi_coll *out_coll) {
    return vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, out_coll);
}

/* Room for the converted vectors of one record of the collection. */
static vs_status put_prepare(vsi_err *err, const vsi_desc *desc, vs_collection *collection) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < desc->field_count; i++)
        bytes += desc->field[i].vector_bytes;
    collection->scratch.bytes = 0;
    return vsi_buf_reserve(&collection->scratch, bytes) ? VS_OK : vsi_fail_nomem(err, bytes);
}

static vs_status put_check_call(vsi_err *err, const vs_collection *collection, const vs_txn *txn,
                                int mode) {
    if (mode < VS_UPSERT || mode > VS_IGNORE)
        return vsi_fail(err, VS_ERR_MISUSE, "mode is %d, expected VS_UPSERT ... VS_IGNORE", mode);
    return vsi_handle_check_txn(err, collection->head.db, txn, true);
}

/* The caller's metadata; NULL: none; bytes 0: up to the NUL. */
static vsi_bytes metadata_of(const char *text, size_t bytes) {
    if (!text)
        return (vsi_bytes){NULL, 0};
    return (vsi_bytes){(const uint8_t *)text, bytes ? bytes : strlen(text)};
}

/* The next number as a key. */
static vs_status put_number(vsi_err *err, const vsi_coll *coll, uint64_t *out_number,
                            vs_key *io_key) {
    if (coll->last_number == UINT64_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "collection '%s' has had the largest number as a key",
                        coll->desc->name);
    *out_number = coll->last_number + 1;
    *io_key = (vs_key){.number = *out_number, .space = io_key->space};
    return VS_OK;
}

static vs_status input_of_record(vsi_err *err, const vsi_coll *coll, const vs_record *record,
                                 record_input *out) {
    vs_vector first = {record->vector, record->vector_type, 0};
    vs_status st = VS_OK;
    *out = (record_input){.key = record->key,
                          .metadata = metadata_of(record->metadata, record->metadata_bytes),
                          .version = record->if_version};
    if (record->vector_count && !record->vectors)
        return vsi_fail(err, VS_ERR_MISUSE, "record: vectors missing");
    if (first.data)
        st = input_add(err, coll, first, out);
    for (size_t i = 0; st == VS_OK && i < record->vector_count; i++)
        st = input_add(err, coll, record->vectors[i], out);
    return st;
}

/* out_number NULL: under the record's own key. */
static vs_status record_stage_put(vsi_err *err, vsi_write *write, vs_collection *collection,
                                  const vs_record *record, int mode, uint64_t *out_number) {
    record_input in;
    vsi_coll coll;
    vs_status st = put_coll(err, write, collection, &coll);
    if (st == VS_OK)
        st = put_prepare(err, coll.desc, collection);
    if (st == VS_OK)
        st = input_of_record(err, &coll, record, &in);
    if (st == VS_OK && out_number)
        st = put_number(err, &coll, out_number, &in.key);
    return st == VS_OK ? put_stage(err, write, collection, &coll, &in, mode) : st;
}

static vs_status put_record(vs_collection *collection, vs_txn *txn, const vs_record *record,
                            int mode, uint64_t *out_number) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !record)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_record all = VS_RECORD_INIT;
    vsi_change change;
    uint64_t number = 0;
    vs_status st = put_check_call(&err, collection, txn, mode);
    if (st == VS_OK)
        st = vsi_struct_read(&err, "vs_record", record, &all, sizeof all);
    if (st == VS_OK)
        st = vsi_change_begin(&err, collection->head.db, txn, &change);
    if (st == VS_OK) {
        st = record_stage_put(&err, change.write, collection, &all, mode,
                              out_number ? &number : NULL);
        st = vsi_change_end(&err, &change, st);
    }
    if (st == VS_OK && out_number)
        *out_number = number;
    return vsi_handle_end(&collection->head, st, &err);
}

vs_status vs_put(vs_collection *collection, vs_txn *txn, const vs_record *record, int mode) {
    return put_record(collection, txn, record, mode, NULL);
}

vs_status vs_append(vs_collection *collection, vs_txn *txn, const vs_record *record,
                    uint64_t *out_number) {
    uint64_t number;
    return put_record(collection, txn, record, VS_INSERT, out_number ? out_number : &number);
}

/* ---- batches -------------------------------------------------------------------------------- */

static vs_status batch_validate(vsi_err *err, const vs_batch *batch, bool is_append) {
    if (batch->count && !is_append && !batch->keys == !batch->numbers)
        return vsi_fail(err, VS_ERR_MISUSE, "batch: %s",
                        batch->keys ? "both keys and numbers" : "keys or numbers missing");
    if (is_append && (batch->keys || batch->numbers))
        return vsi_fail(err, VS_ERR_MISUSE, "batch: it has keys, vs_append_batch gives them");
    if (batch->column_count && !batch->columns)
        return vsi_fail(err, VS_ERR_MISUSE, "batch: columns missing");
    return VS_OK;
}

/* Whether a status says that something is wrong with a row, and nothing with the database. */
static bool row_is_refused(vs_status st) {
    return st == VS_ERR_INVALID || st == VS_ERR_EXISTS || st == VS_ERR_NOT_FOUND ||
           st == VS_ERR_LIMIT || st == VS_ERR_CONFLICT;
}

/* A batch whose columns are complete. */
typedef struct batch_plan {
    const vs_batch *batch;
    size_t column_count;
    vs_column column[VS_FIELDS_MAX];
} batch_plan;

static vs_status batch_add_column(vsi_err *err, const vsi_coll *coll, vs_column column,
                                  batch_plan *plan) {
    vs_status st = vsi_record_check_field(err, coll, column.field);
    if (st != VS_OK)
        return st;
    const vsi_field *field = &coll->desc->field[column.field];
    column.type = column.type ? column.type : field->type;
    size_t row_bytes = vsi_vector_bytes(column.type, field->dim);
    column.stride_bytes = column.stride_bytes ? column.stride_bytes : row_bytes;
    if (column.stride_bytes < row_bytes)
        return vsi_fail(err, VS_ERR_INVALID, "batch: stride is %zu bytes, a vector has %zu",
                        column.stride_bytes, row_bytes);
    for (size_t i = 0; i < plan->column_count; i++)
        if (plan->column[i].field == column.field)
            return vsi_fail(err, VS_ERR_INVALID, "batch: two columns of field '%s'", field->name);
    if (!column.data)
        return vsi_fail(err, VS_ERR_MISUSE, "batch: data of a column missing");
    plan->column[plan->column_count++] = column;
    return VS_OK;
}

/* Whether there is a column of each field that all records have. */
static vs_status batch_check_fields(vsi_err *err, const vsi_desc *desc, const batch_plan *plan) {
    for (uint32_t i = 0; i < desc->field_count; i++) {
        bool is_there = desc->field[i].is_optional;
        for (size_t k = 0; k < plan->column_count; k++)
            is_there = is_there || plan->column[k].field == i;
        if (!is_there)
            return vsi_fail(err, VS_ERR_MISUSE, "batch: vectors missing, of field '%s'",
                            desc->field[i].name);
    }
    return VS_OK;
}

static vs_status batch_make_plan(vsi_err *err, const vsi_coll *coll, const vs_batch *batch,
                                 batch_plan *out) {
    vs_status st = VS_OK;
    *out = (batch_plan){.batch = batch};
    vs_column first = {batch->vectors, batch->stride_bytes, NULL, batch->vector_type, 0};
    if (batch->vectors)
        st = batch_add_column(err, coll, first, out);
    for (size_t i = 0; st == VS_OK && i < batch->column_count; i++)
        st = batch_add_column(err, coll, batch->columns[i], out);
    return st == VS_OK && batch->count ? batch_check_fields(err, coll->desc, out) : st;
}

/* Row i of a batch; the key is the caller's to fill in when there are none. */
static record_input batch_row(const batch_plan *plan, size_t i) {
    const vs_batch *batch = plan->batch;
    record_input in = {.key = {.space = batch->space},
                       .metadata =
                           metadata_of(batch->metadata ? batch->metadata[i] : NULL,
                                       batch->metadata_bytes ? batch->metadata_bytes[i] : 0)};
    if (batch->keys)
        in.key = batch->keys[i];
    else if (batch->numbers)
        in.key.number = batch->numbers[i];
    for (size_t k = 0; k < plan->column_count; k++) {
        const vs_column *column = &plan->column[k];
        if (!column->present || column->present[i])
            in.vector[column->field] =
                (vs_vector){(const uint8_t *)column->data + i * column->stride_bytes, column->type,
                            column->field};
    }
    return in;
}

static vs_status batch_stage_row(vsi_err *err, vsi_write *write, vs_collection *collection,
                                 const batch_plan *plan, size_t i, int mode, uint64_t *out_number) {
    const vs_batch *batch = plan->batch;
    record_input in = batch_row(plan, i);
    vsi_coll coll;
    vs_status st = put_coll(err, write, collection, &coll);
    if (st == VS_OK && !batch->keys && !batch->numbers)
        st = put_number(err, &coll, out_number, &in.key);
    if (st == VS_OK)
        st = put_stage(err, write, collection, &coll, &in, mode);
    return st == VS_OK ? VS_OK : vsi_fail_in(err, "row %zu of %zu", i, batch->count);
}

static vs_status batch_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                             const vs_batch *batch, int mode, uint64_t *out_numbers) {
    uint64_t number = 0;
    batch_plan plan;
    vsi_coll coll;
    vs_status st = put_coll(err, write, collection, &coll);
    if (st == VS_OK)
        st = put_prepare(err, coll.desc, collection);
    if (st == VS_OK)
        st = batch_make_plan(err, &coll, batch, &plan);
    for (size_t i = 0; st == VS_OK && i < batch->count; i++) {
        st = batch_stage_row(err, write, collection, &plan, i, mode, &number);
        if (out_numbers)
            out_numbers[i] = st == VS_OK ? number : 0;
        if (batch->statuses)
            batch->statuses[i] = st;
        if (batch->statuses && row_is_refused(st))
            st = VS_OK;
    }
    return st;
}

static vs_status put_batch(vs_collection *collection, vs_txn *txn, const vs_batch *batch, int mode,
                           bool is_append, uint64_t *out_numbers) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !batch)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_batch all = VS_BATCH_INIT;
    vsi_change change;
    vs_status st = put_check_call(&err, collection, txn, mode);
    if (st == VS_OK)
        st = vsi_struct_read(&err, "vs_batch", batch, &all, sizeof all);
    if (st == VS_OK)
        st = batch_validate(&err, &all, is_append);
    if (st == VS_OK)
        st = vsi_change_begin(&err, collection->head.db, txn, &change);
    if (st == VS_OK) {
        st = batch_stage(&err, change.write, collection, &all, mode, out_numbers);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_handle_end(&collection->head, st, &err);
}

vs_status vs_put_batch(vs_collection *collection, vs_txn *txn, const vs_batch *batch, int mode) {
    return put_batch(collection, txn, batch, mode, false, NULL);
}

vs_status vs_append_batch(vs_collection *collection, vs_txn *txn, const vs_batch *batch,
                          uint64_t *out_numbers) {
    return put_batch(collection, txn, batch, VS_INSERT, true, out_numbers);
}

/* The slot of a key that must be there. */
VSI_FN vs_status vsi_record_find(vsi_err *err, const vs_collection *collection,
                                 const vsi_coll *coll, vs_key key, uint32_t *out_slot) {
    vs_status st = vsi_key_check(err, key);
    if (st == VS_OK)
        st = vsi_coll_find(err, coll, key, out_slot);
    return st == VS_ERR_NOT_FOUND ? record_missing(err, collection, key) : st;
}

/* ---- changing what exists ------------------------------------------------------------------- */

/* VS_ERR_NOT_FOUND without a message. */
static vs_status delete_find(vsi_err *err, vsi_write *write, const vs_collection *collection,
                             vs_key key) {
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    vsi_op op = {.kind = VSI_OP_DELETE, .coll = collection->id, .key = key};
    if (st == VS_OK)
        st = vsi_key_check(err, key);
    if (st == VS_OK)
        st = vsi_coll_find(err, &coll, key, &op.slot);
    return st == VS_OK ? vsi_statement_apply(err, write, &op) : st;
}

typedef struct delete_list {
    const vs_key *keys;
    size_t count;
    bool must_exist;
    uint64_t deleted;
} delete_list;

static vs_status delete_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                              void *ctx) {
    delete_list *list = ctx;
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    for (size_t i = 0; st == VS_OK && i < list->count; i++) {
        st = delete_find(err, write, collection, list->keys[i]);
        list->deleted += st == VS_OK;
        if (st == VS_ERR_NOT_FOUND)
            st = list->must_exist ? record_missing(err, collection, list->keys[i]) : VS_OK;
    }
    return st;
}

vs_status vs_delete(vs_collection *collection, vs_txn *txn, vs_key key) {
    delete_list list = {.keys = &key, .count = 1, .must_exist = true};
    return vsi_collection_change(collection, txn, delete_stage, &list);
}

vs_status vs_delete_batch(vs_collection *collection, vs_txn *txn, const vs_key *keys, size_t count,
                          uint64_t *out_deleted) {
    delete_list list = {.keys = keys, .count = count};
    if (count && !keys)
        return VS_ERR_MISUSE;
    vs_status st = vsi_collection_change(collection, txn, delete_stage, &list);
    if (st == VS_OK && out_deleted)
        *out_deleted = list.deleted;
    return st;
}

/* ---- updates -------------------------------------------------------------------------------- */

typedef struct update_call {
    const vs_record *record;
    uint32_t what;
} update_call;

/* What a patch makes of the metadata in a slot; in the handle's buffer, behind what is there now. */
static vs_status update_patch(vsi_err *err, vs_collection *collection, const vsi_coll *coll,
                              uint32_t slot, vsi_bytes *io_metadata) {
    vsi_buf *buf = &collection->json;
    vsi_bytes patch = *io_metadata;
    if (!patch.data)
        return vsi_fail(err, VS_ERR_MISUSE, "update: the patch is missing");
    vs_status st = metadata_check_size(err, patch.bytes);
    if (st == VS_OK)
        st = vsi_json_check_object(err, (const char *)patch.data, patch.bytes);
    buf->bytes = 0;
    if (st == VS_OK)
        st = vsi_coll_read_metadata(err, coll, slot, buf);
    size_t now = buf->bytes, room = now + patch.bytes + 2;
    if (st == VS_OK && !vsi_buf_reserve(buf, room))
        st = vsi_fail_nomem(err, room);
    if (st != VS_OK)
        return st;
    vsi_bytes target = now ? (vsi_bytes){buf->data, now} : (vsi_bytes){(const uint8_t *)"{}", 2};
    vsi_json_out out = {.data = buf->data + now, .room = room};
    st = vsi_patch_merge(err, buf->mem, target, patch, &out);
    if (st == VS_OK)
        st = metadata_check_size(err, out.bytes);
    *io_metadata = (vsi_bytes){buf->data + now, out.bytes};
    return st;
}

/* The metadata that the record will have. */
static vs_status update_metadata(vsi_err *err, vs_collection *collection, const vsi_coll *coll,
                                 uint32_t slot, const update_call *call, vsi_bytes *io_metadata) {
    if (call->what & VS_UPDATE_PATCH)
        return update_patch(err, collection, coll, slot, io_metadata);
    if (call->what & VS_UPDATE_METADATA)
        return metadata_prepare(err, collection, io_metadata);
    collection->json.bytes = 0;
    vs_status st = vsi_coll_read_metadata(err, coll, slot, &collection->json);
    *io_metadata = (vsi_bytes){collection->json.data, collection->json.bytes};
    return st;
}

/* The vectors that stay as they are. They lie in their slots as long as the statement does. */
static vs_status update_keep_vectors(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                     record_input *in) {
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        const uint8_t *row = NULL;
        bool has = false;
        if (in->is_named[i])
            continue;
        st = vsi_coll_has(err, coll, i, slot, &has);
        if (st == VS_OK && has)
            st = vsi_coll_row(err, coll, i, slot, &row);
        in->vector[i] = (vs_vector){row, coll->desc->field[i].type, i};
    }
    return st;
}

static vs_status update_stage_vectors(vsi_err *err, vsi_write *write, vs_collection *collection,
                                      const vsi_coll *coll, record_input *in, vsi_op *op) {
    op->kind = VSI_OP_PUT;
    op->old_slot = op->slot;
    vs_status st = update_keep_vectors(err, coll, op->old_slot, in);
    if (st == VS_OK)
        st = put_prepare(err, coll->desc, collection);
    if (st == VS_OK)
        st = put_convert(err, coll->desc, in, collection->scratch.data, op);
    return st == VS_OK ? put_apply(err, write, coll, op) : st;
}

static vs_status update_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                              void *ctx) {
    const update_call *call = ctx;
    record_input in;
    vsi_coll coll;
    vs_status st = put_coll(err, write, collection, &coll);
    if (st == VS_OK)
        st = input_of_record(err, &coll, call->record, &in);
    vsi_op op = {.kind = VSI_OP_METADATA, .coll = collection->id};
    if (st == VS_OK)
        st = vsi_record_find(err, collection, &coll, in.key, &op.slot);
    if (st == VS_OK)
        st = put_check_version(err, &coll, op.slot, &in);
    if (st != VS_OK)
        return st;
    op.key = in.key;
    op.metadata = in.metadata;
    st = update_metadata(err, collection, &coll, op.slot, call, &op.metadata);
    if (st == VS_OK && call->what & VS_UPDATE_VECTORS)
        return update_stage_vectors(err, write, collection, &coll, &in, &op);
    return st == VS_OK ? put_apply(err, write, &coll, &op) : st;
}

static vs_status update_check(vsi_err *err, uint32_t what) {
    const uint32_t known = VS_UPDATE_VECTORS | VS_UPDATE_METADATA | VS_UPDATE_PATCH;
    const uint32_t both = VS_UPDATE_METADATA | VS_UPDATE_PATCH;
    if (what && !(what & ~known) && (what & both) != both)
        return VS_OK;
    return vsi_fail(err, VS_ERR_MISUSE,
                    "what is 0x%lx, expected VS_UPDATE_VECTORS, VS_UPDATE_METADATA, "
                    "VS_UPDATE_PATCH, or the first and one of the others",
                    (unsigned long)what);
}

vs_status vs_update(vs_collection *collection, vs_txn *txn, const vs_record *record,
                    uint32_t what) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !record)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_record all = VS_RECORD_INIT;
    vs_status st = update_check(&err, what);
    if (st == VS_OK)
        st = vsi_struct_read(&err, "vs_record", record, &all, sizeof all);
    if (st != VS_OK)
        return vsi_handle_end(&collection->head, st, &err);
    return vsi_collection_change(collection, txn, update_stage, &(update_call){&all, what});
}

vs_status vs_set_metadata(vs_collection *collection, vs_txn *txn, vs_key key, const char *metadata,
                          size_t metadata_bytes) {
    vs_record record = VS_RECORD_INIT;
    record.key = key;
    record.metadata = metadata;
    record.metadata_bytes = metadata_bytes;
    return vs_update(collection, txn, &record, VS_UPDATE_METADATA);
}

/* ---- reading -------------------------------------------------------------------------------- */

enum { RECORD_ALIGN = 16 }; /* of each vector of a record that is read */

VSI_FN void vsi_record_bufs_init(vsi_record_bufs *bufs, vsi_mem *mem) {
    bufs->vector.mem = bufs->metadata.mem = bufs->key.mem = mem;
}

VSI_FN void vsi_record_bufs_free(vsi_record_bufs *bufs) {
    vsi_buf_free(&bufs->vector);
    vsi_buf_free(&bufs->metadata);
    vsi_buf_free(&bufs->key);
}

/* The key of a slot, with its bytes in the buffer. */
static vs_status record_read_key(vsi_err *err, const vsi_coll *coll, uint32_t slot, vsi_buf *buf,
                                 vs_key *out_key) {
    vsi_cell cell;
    vs_key key = {0};
    vs_status st = vsi_coll_cell(err, coll, slot, &cell);
    if (st == VS_OK)
        st = vsi_coll_key(err, coll, slot, &cell, &key);
    buf->bytes = 0;
    if (st == VS_OK && key.data && !vsi_buf_append(buf, key.data, key.bytes))
        st = vsi_fail_nomem(err, key.bytes);
    if (st != VS_OK)
        return st;
    key.data = key.data ? buf->data : NULL;
    *out_key = key;
    return VS_OK;
}

static vs_status record_read_vector(vsi_err *err, const vsi_coll *coll, uint32_t at, uint32_t slot,
                                    vsi_record_bufs *bufs) {
    const vsi_field *field = &coll->desc->field[at];
    const uint8_t *row = NULL;
    bool has = false;
    vs_status st = vsi_coll_has(err, coll, at, slot, &has);
    if (st != VS_OK || !has)
        return st;
    st = vsi_coll_row(err, coll, at, slot, &row);
    if (st != VS_OK)
        return st;
    uint8_t *to = bufs->vector.data + bufs->vector.bytes;
    memcpy(to, row, field->vector_bytes);
    bufs->vector.bytes += (field->vector_bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    bufs->list[bufs->list_count++] = (vs_vector){to, field->type, at};
    return VS_OK;
}

/* All vectors that it has. */
static vs_status record_read_vectors(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                     vsi_record_bufs *bufs) {
    size_t bytes = 0;
    vs_status st = VS_OK;
    for (uint32_t i = 0; i < coll->desc->field_count; i++)
        bytes += coll->desc->field[i].vector_bytes + RECORD_ALIGN;
    bufs->list_count = 0;
    bufs->vector.bytes = 0;
    if (!vsi_buf_reserve(&bufs->vector, bytes))
        return vsi_fail_nomem(err, bytes);
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++)
        st = record_read_vector(err, coll, i, slot, bufs);
    return st;
}

/* With a NUL behind it. */
static vs_status record_read_metadata(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                      vsi_buf *buf) {
    buf->bytes = 0;
    vs_status st = vsi_coll_read_metadata(err, coll, slot, buf);
    if (st == VS_OK && !vsi_buf_append(buf, "", 1))
        st = vsi_fail_nomem(err, 1);
    return st;
}

VSI_FN vs_status vsi_record_read(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                 vsi_record_bufs *bufs, vs_record *out_record) {
    vs_key key = {0};
    uint64_t version = 0;
    vs_status st = vsi_struct_check(err, "vs_record", out_record);
    if (st == VS_OK)
        st = record_read_key(err, coll, slot, &bufs->key, &key);
    if (st == VS_OK)
        st = record_read_vectors(err, coll, slot, bufs);
    if (st == VS_OK)
        st = record_read_metadata(err, coll, slot, &bufs->metadata);
    if (st == VS_OK)
        st = vsi_coll_version(err, coll, slot, &version);
    if (st != VS_OK)
        return st;
    size_t metadata_bytes = bufs->metadata.bytes - 1;
    size_t firsts = bufs->list_count && bufs->list[0].field == 0; /* 1 or 0 */
    vs_record record = {.size = out_record->size,
                        .vector_type = coll->desc->field[0].type,
                        .key = key,
                        .vector = firsts ? bufs->list[0].data : NULL,
                        .metadata = metadata_bytes ? (const char *)bufs->metadata.data : NULL,
                        .metadata_bytes = metadata_bytes,
                        .vectors = bufs->list + firsts,
                        .vector_count = bufs->list_count - firsts,
                        .version = version};
    vsi_struct_write(&record, sizeof record, out_record);
    return VS_OK;
}

vs_status vs_get(vs_collection *collection, vs_txn *txn, vs_key key, vs_record *out_record) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    uint32_t slot = 0;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_record_find(&err, collection, &r.coll, key, &slot);
    if (st == VS_OK && out_record)
        st = vsi_record_read(&err, &r.coll, slot, &collection->record, out_record);
    return vsi_reading_close(&r, st, &err);
}

/* A call of vs_get_vectors. */
typedef struct vectors_call {
    vsi_reading r;
    uint32_t field;
    const vs_key *keys;
    size_t count, stride;
    vsi_slab_aside aside;
} vectors_call;

/* VS_ERR_NOT_FOUND without a message when there is none. */
static vs_status vector_copy(vsi_err *err, vectors_call *call, vs_key key, uint8_t *out) {
    const vsi_coll *coll = &call->r.coll;
    uint32_t slot = 0;
    const uint8_t *row = NULL;
    bool has = false;
    vs_status st = vsi_key_check(err, key);
    if (st == VS_OK)
        st = vsi_coll_find(err, coll, key, &slot);
    if (st == VS_OK)
        st = vsi_coll_has(err, coll, call->field, slot, &has);
    if (st == VS_OK && !has)
        return VS_ERR_NOT_FOUND;
    vsi_field *field = &coll->desc->field[call->field];
    if (st == VS_OK)
        st = vsi_slab_row_aside(err, &field->rows, slot, &call->aside, &row);
    if (st == VS_OK)
        memcpy(out, row, field->vector_bytes);
    return st;
}

VSI_FN vs_status vsi_record_no_vector(vsi_err *err, const vsi_coll *coll, uint32_t field,
                                      vs_key key) {
    char text[VSI_KEY_TEXT_BYTES];
    return vsi_fail(err, VS_ERR_NOT_FOUND, "there is no vector of field '%s' under key %s",
                    coll->desc->field[field].name, vsi_key_text(text, key));
}

static vs_status vectors_missing(vsi_err *err, const vectors_call *call, vs_key key) {
    uint32_t slot = 0;
    vs_status st = vsi_coll_find(err, &call->r.coll, key, &slot);
    return st == VS_OK ? vsi_record_no_vector(err, &call->r.coll, call->field, key)
                       : record_missing(err, call->r.collection, key);
}

/* Holds no more memory for many keys than for one. */
static vs_status vectors_read(vsi_err *err, vectors_call *call, uint8_t *out, vs_status *statuses) {
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < call->count; i++) {
        st = vector_copy(err, call, call->keys[i], out + i * call->stride);
        if (statuses && (st == VS_OK || st == VS_ERR_NOT_FOUND)) {
            statuses[i] = st;
            st = VS_OK;
        } else if (st == VS_ERR_NOT_FOUND) {
            st = vectors_missing(err, call, call->keys[i]);
        }
        vsi_engine *engine = call->r.db->engine;
        if (vsi_budget_breathe(&engine->pager, &engine->descs, &call->r.view.stay))
            vsi_slab_aside_renew(&call->aside);
    }
    return st;
}

static vs_status vectors_prepare(vsi_err *err, vectors_call *call, uint32_t field, size_t stride) {
    vs_status st = vsi_record_check_field(err, &call->r.coll, field);
    if (st != VS_OK)
        return st;
    size_t bytes = call->r.coll.desc->field[field].vector_bytes;
    call->field = field;
    call->stride = stride ? stride : bytes;
    if (call->stride < bytes)
        return vsi_fail(err, VS_ERR_INVALID, "stride is %zu bytes, a vector has %zu", stride,
                        bytes);
    return VS_OK;
}

vs_status vs_get_vectors(vs_collection *collection, vs_txn *txn, uint32_t field, const vs_key *keys,
                         size_t count, void *vectors, size_t stride_bytes, vs_status *statuses) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || (count && (!keys || !vectors)))
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vectors_call call = {
        .keys = keys, .count = count, .aside = {.buf = {.mem = &collection->head.db->mem}}};
    vs_status st = vsi_reading_open(&err, collection, txn, &call.r);
    if (st == VS_OK)
        st = vectors_prepare(&err, &call, field, stride_bytes);
    if (st == VS_OK)
        st = vectors_read(&err, &call, vectors, statuses);
    vsi_buf_free(&call.aside.buf);
    return vsi_reading_close(&call.r, st, &err);
}

vs_status vs_count(vs_collection *collection, vs_txn *txn, uint64_t *out_count) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !out_count)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        *out_count = r.coll.count;
    return vsi_reading_close(&r, st, &err);
}
/* ---- api/collection.c ---------------------------------------------------------------------------------- */
/* collection.c - creating, opening and describing collections. */
/* uses api/record.h */

static vs_status text_validate(vsi_err *err, const char *what, const char *text, size_t most) {
    size_t n = strlen(text);
    if (!n)
        return vsi_fail(err, VS_ERR_INVALID, "%s: empty", what);
    if (n > most)
        return vsi_fail(err, VS_ERR_INVALID, "%s: %zu bytes, the limit is %zu", what, n, most);
    if (!vsi_utf8_is_valid((const uint8_t *)text, n))
        return vsi_fail(err, VS_ERR_INVALID, "%s: not well-formed UTF-8", what);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return vsi_fail(err, VS_ERR_INVALID, "%s: control character at byte %zu", what, i);
    return VS_OK;
}

static vs_status name_validate(vsi_err *err, const char *name) {
    if (!name || !*name)
        return vsi_fail(err, VS_ERR_INVALID, "a collection needs a name");
    return text_validate(err, "collection name", name, VS_NAME_BYTES_MAX);
}

/* ---- vector fields -------------------------------------------------------------------------- */

/* The fields of a collection to be created, with all defaults. */
typedef struct field_list {
    uint64_t max_records, max_bytes;
    uint32_t count;
    vs_field field[VS_FIELDS_MAX];
} field_list;

static vs_status field_validate_metric(vsi_err *err, const vs_field *field) {
    if (!vsi_type_bytes(field->type))
        return vsi_fail(err, VS_ERR_INVALID, "type is %d, expected VS_F32 ... VS_BIT", field->type);
    if (field->metric < VS_L2 || field->metric > VS_JACCARD)
        return vsi_fail(err, VS_ERR_INVALID, "metric is %d, expected VS_L2 ... VS_JACCARD",
                        field->metric);
    if (!vsi_metric_fits(field->metric, field->type))
        return vsi_fail(err, VS_ERR_INVALID, "metric is %s, which is not one for vectors of %s: %s",
                        vsi_metric_name(field->metric), vsi_type_name(field->type),
                        field->type == VS_BIT ? "hamming or jaccard" : "l2, ip, cosine or l1");
    return VS_OK;
}

static vs_status field_validate(vsi_err *err, const vs_field *field) {
    if (field->dim < 1 || field->dim > VS_DIM_MAX)
        return vsi_fail(err, VS_ERR_INVALID, "dim is %lu, expected 1 to %u",
                        (unsigned long)field->dim, VS_DIM_MAX);
    if (field->flags & ~(uint32_t)VS_FIELD_OPTIONAL)
        return vsi_fail(err, VS_ERR_UNSUPPORTED, "flags are 0x%lx, of which this version knows 0x1",
                        (unsigned long)field->flags);
    if (strcmp(field->index, "auto") && strcmp(field->index, "flat"))
        return vsi_fail(err, VS_ERR_INVALID, "index is '%.*s', expected 'auto' or 'flat'", 64,
                        field->index);
    vs_status st = text_validate(err, "name", field->name, VS_FIELD_BYTES_MAX);
    return st == VS_OK ? field_validate_metric(err, field) : st;
}

/* Fills in what the caller left open. */
static vs_status field_resolve(vsi_err *err, vs_field *field) {
    field->type = field->type ? field->type : VS_F32;
    if (!field->metric)
        field->metric = field->type == VS_BIT ? VS_HAMMING : VS_L2;
    field->name = field->name ? field->name : "vector";
    field->index = field->index ? field->index : "auto";
    return field_validate(err, field);
}

/* Field number i of the caller's; they are of the size that the first one says. */
static vs_status fields_take(vsi_err *err, const vs_collection_options *options, uint32_t i,
                             field_list *out) {
    const vs_field defaults = VS_FIELD_INIT;
    const uint8_t *given = (const uint8_t *)options->fields + (size_t)i * options->fields->size;
    out->field[i] = defaults;
    vs_status st = vsi_struct_read(err, "vs_field", given, &out->field[i], sizeof defaults);
    if (st == VS_OK)
        st = field_resolve(err, &out->field[i]);
    for (uint32_t k = 0; st == VS_OK && k < i; k++)
        if (!strcmp(out->field[k].name, out->field[i].name))
            st = vsi_fail(err, VS_ERR_INVALID, "field %lu has the name '%s' as well",
                          (unsigned long)k, out->field[i].name);
    return st == VS_OK ? VS_OK : vsi_fail_in(err, "field %lu", (unsigned long)i);
}

static vs_status options_read(vsi_err *err, const vs_collection_options *given, field_list *out) {
    vs_collection_options all = VS_COLLECTION_OPTIONS_INIT;
    if (!given)
        return vsi_fail(err, VS_ERR_MISUSE, "a collection needs options: there is no default dim");
    vs_status st = vsi_struct_read(err, "vs_collection_options", given, &all, sizeof all);
    if (st != VS_OK)
        return st;
    out->max_records = all.max_records;
    out->max_bytes = all.max_bytes;
    if (!all.fields && !all.field_count) {
        out->count = 1;
        out->field[0] = (vs_field){.size = sizeof(vs_field),
                                   .dim = all.dim,
                                   .type = all.type,
                                   .metric = all.metric,
                                   .index = all.index};
        return field_resolve(err, &out->field[0]);
    }
    if (!all.fields || all.dim || all.type || all.metric || all.index)
        return vsi_fail(err, VS_ERR_MISUSE,
                        "a collection has either dim, type, metric and index, "
                        "or fields with their number");
    if (all.field_count < 1 || all.field_count > VS_FIELDS_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "%zu vector fields, expected 1 to %u", all.field_count,
                        VS_FIELDS_MAX);
    out->count = (uint32_t)all.field_count;
    for (uint32_t i = 0; st == VS_OK && i < out->count; i++)
        st = fields_take(err, &all, i, out);
    return st;
}

/* ---- collections ---------------------------------------------------------------------------- */

static vs_collection *collection_new(vs_db *db, uint32_t id, const char *name) {
    vs_collection *collection = vsi_alloc_zeroed(&db->mem, sizeof *collection);
    if (!collection)
        return NULL;
    collection->id = id;
    snprintf(collection->name, sizeof collection->name, "%s", name);
    vsi_record_bufs_init(&collection->record, &db->mem);
    collection->keys.mem = &db->mem;
    collection->scratch.mem = &db->mem;
    collection->json.mem = &db->mem;
    vsi_handle_open(&collection->head, VSI_TAG_COLLECTION, db, &db->collections);
    return collection;
}

/* VS_ERR_EXISTS when a name is in use. */
static vs_status name_check_new(vsi_err *err, const vsi_write *write, const char *name) {
    uint32_t id = 0;
    bool is_alias = false;
    vsi_bytes bytes = {(const uint8_t *)name, strlen(name)};
    vs_status st = vsi_state_name(err, &write->state, bytes, &id, &is_alias);
    if (st == VS_OK)
        return vsi_fail(err, VS_ERR_EXISTS, "%s '%s' exists", is_alias ? "alias" : "collection",
                        name);
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

static vs_status limits_stage(vsi_err *err, vsi_write *write, uint32_t id, uint64_t max_records,
                              uint64_t max_bytes) {
    vsi_coll coll;
    vsi_op op = {
        .kind = VSI_OP_LIMITS, .coll = id, .max_records = max_records, .max_bytes = max_bytes};
    vs_status st = vsi_state_coll(err, &write->state, id, &coll);
    if (st == VS_OK && coll.max_records == max_records && coll.max_bytes == max_bytes)
        return VS_OK;
    return st == VS_OK ? vsi_statement_apply(err, write, &op) : st;
}

static vs_status create_stage(vsi_err *err, vsi_write *write, const char *name,
                              const field_list *fields, uint32_t *out_id) {
    vsi_bytes name_bytes = {(const uint8_t *)name, strlen(name)};
    vs_status st = name_check_new(err, write, name);
    if (st == VS_OK)
        st = vsi_write_take_coll(err, write, out_id);
    if (st != VS_OK)
        return st;
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .coll = *out_id,
                 .time_us = write->time_us,
                 .name = name_bytes,
                 .field_count = fields->count};
    for (uint32_t i = 0; i < fields->count; i++) {
        const vs_field *field = &fields->field[i];
        op.field[i] =
            (vsi_op_field){.dim = field->dim,
                           .type = (uint32_t)field->type,
                           .metric = (uint32_t)field->metric,
                           .is_optional = field->flags & VS_FIELD_OPTIONAL,
                           .name = {(const uint8_t *)field->name, strlen(field->name)},
                           .index = {(const uint8_t *)field->index, strlen(field->index)}};
    }
    st = vsi_statement_apply(err, write, &op);
    return st == VS_OK ? limits_stage(err, write, *out_id, fields->max_records, fields->max_bytes)
                       : st;
}

vs_status vs_collection_create(vs_db *db, vs_txn *txn, const char *name,
                               const vs_collection_options *options,
                               vs_collection **out_collection) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    field_list fields;
    vsi_change change;
    uint32_t id = 0;
    vs_status st = vsi_handle_check_txn(&err, db, txn, true);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    st = name_validate(&err, name);
    if (st == VS_OK)
        st = options_read(&err, options, &fields);
    vs_collection *collection = NULL;
    if (st == VS_OK && out_collection) {
        collection = collection_new(db, 0, name);
        st = collection ? VS_OK : vsi_fail_nomem(&err, sizeof *collection);
    }
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        st = create_stage(&err, change.write, name, &fields, &id);
        st = vsi_change_end(&err, &change, st);
    }
    if (st != VS_OK) {
        vs_collection_close(collection);
        return vsi_handle_end(vsi_handle_of(db, txn), st, &err);
    }
    if (collection) {
        collection->id = id;
        *out_collection = collection;
    }
    return VS_OK;
}

vs_status vs_collection_open(vs_db *db, vs_txn *txn, const char *name,
                             vs_collection **out_collection) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK || !name || !out_collection)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_coll coll;
    vsi_bytes name_bytes = {(const uint8_t *)name, strlen(name)};
    st = vsi_state_coll_named(&err, view.state, name_bytes, &coll);
    vsi_view_close(db, view);
    vs_collection *collection = st == VS_OK ? collection_new(db, coll.desc->id, name) : NULL;
    if (st == VS_ERR_NOT_FOUND)
        st = vsi_fail(&err, st, "there is no collection '%.*s'", (int)VS_NAME_BYTES_MAX, name);
    else if (st == VS_OK && !collection)
        st = vsi_fail_nomem(&err, sizeof *collection);
    else if (st == VS_OK)
        *out_collection = collection;
    return vsi_handle_end(vsi_handle_of(db, txn), st, &err);
}

void vs_collection_close(vs_collection *collection) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return; /* in a forked child another thread's lock may be held for ever */
    vs_db *db = collection->head.db;
    vsi_record_bufs_free(&collection->record);
    vsi_buf_free(&collection->keys);
    vsi_buf_free(&collection->scratch);
    vsi_buf_free(&collection->json);
    vsi_handle_close(&collection->head, &db->collections);
    vsi_free(&db->mem, collection, sizeof *collection);
}

static vs_status info_fill(vsi_err *err, const vsi_state *state, const vsi_coll *coll,
                           vs_collection_info *out_info) {
    const vsi_desc *desc = coll->desc;
    const vsi_field *first = &desc->field[0];
    vs_collection_info info = {.size = out_info->size,
                               .id = desc->id,
                               .dim = first->dim,
                               .type = first->type,
                               .metric = first->metric,
                               .count = coll->count,
                               .created_us = desc->created_us,
                               .fields = desc->field_count,
                               .bytes = coll->bytes,
                               .max_records = coll->max_records,
                               .max_bytes = coll->max_bytes,
                               .changed_us = coll->changed_us};
    vs_status st = vsi_state_coll_name(err, state, desc->id, info.name);
    if (st != VS_OK)
        return st;
    memcpy(info.index, first->index, sizeof info.index);
    vsi_struct_write(&info, sizeof info, out_info);
    return VS_OK;
}

static void field_info_fill(const vsi_field *field, vs_field_info *out_info) {
    vs_field_info info = {.size = out_info->size,
                          .dim = field->dim,
                          .type = field->type,
                          .metric = field->metric,
                          .flags = field->is_optional ? VS_FIELD_OPTIONAL : 0};
    memcpy(info.name, field->name, sizeof info.name);
    memcpy(info.index, field->index, sizeof info.index);
    vsi_struct_write(&info, sizeof info, out_info);
}

vs_status vs_field_at(vs_collection *collection, vs_txn *txn, size_t at, vs_field_info *out_info) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !out_info)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_field_info", out_info);
    if (st == VS_OK && at >= r.coll.desc->field_count)
        st = VS_DONE;
    if (st == VS_OK)
        field_info_fill(&r.coll.desc->field[at], out_info);
    return vsi_reading_close(&r, st, &err);
}

vs_status vs_collection_info_get(vs_collection *collection, vs_txn *txn,
                                 vs_collection_info *out_info) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !out_info)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_collection_info", out_info);
    if (st == VS_OK)
        st = info_fill(&err, r.view.state, &r.coll, out_info);
    return vsi_reading_close(&r, st, &err);
}

vs_status vs_collection_at(vs_db *db, vs_txn *txn, size_t at, vs_collection_info *out_info) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK || !out_info)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_collection_info", out_info);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_coll coll;
    st = vsi_state_coll_from(&err, view.state, 0, &coll);
    for (size_t i = 0; st == VS_OK && i < at; i++)
        st = coll.desc->id == UINT32_MAX
                 ? VS_ERR_NOT_FOUND
                 : vsi_state_coll_from(&err, view.state, coll.desc->id + 1, &coll);
    if (st == VS_OK)
        st = info_fill(&err, view.state, &coll, out_info);
    vsi_view_close(db, view);
    return st == VS_ERR_NOT_FOUND ? VS_DONE : vsi_handle_end(&db->head, st, &err);
}

/* ---- names and limits ----------------------------------------------------------------------- */

static vs_status rename_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                              void *ctx) {
    const char *name = ctx;
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    vsi_op op = {.kind = VSI_OP_RENAME, .coll = collection->id};
    if (st == VS_OK)
        st = name_validate(err, name);
    if (st == VS_OK)
        st = name_check_new(err, write, name);
    if (st != VS_OK)
        return st;
    op.name = (vsi_bytes){(const uint8_t *)name, strlen(name)};
    return vsi_statement_apply(err, write, &op);
}

vs_status vs_collection_rename(vs_collection *collection, vs_txn *txn, const char *name) {
    return vsi_collection_change(collection, txn, rename_stage, (void *)(uintptr_t)name);
}

static vs_status set_limits_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                                  void *ctx) {
    const uint64_t *limits = ctx;
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    return st == VS_OK ? limits_stage(err, write, collection->id, limits[0], limits[1]) : st;
}

vs_status vs_collection_set_limits(vs_collection *collection, vs_txn *txn, uint64_t max_records,
                                   uint64_t max_bytes) {
    uint64_t limits[2] = {max_records, max_bytes};
    return vsi_collection_change(collection, txn, set_limits_stage, limits);
}

/* Whether an alias may be put, or can go: the name is no collection's own. */
static vs_status alias_stage(vsi_err *err, vsi_write *write, const char *name,
                             const vs_collection *collection) {
    vsi_bytes bytes = {(const uint8_t *)name, strlen(name)};
    vsi_coll coll;
    uint32_t old = 0;
    bool is_alias = true;
    vs_status st = VS_OK;
    if (collection)
        st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    if (st != VS_OK)
        return st;
    st = vsi_state_name(err, &write->state, bytes, &old, &is_alias);
    if (st == VS_OK && !is_alias)
        return vsi_fail(err, VS_ERR_EXISTS, "'%s' is the name of a collection", name);
    if (st == VS_ERR_NOT_FOUND && !collection)
        return vsi_fail(err, st, "there is no alias '%s'", name);
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    vsi_op op = {.kind = VSI_OP_ALIAS, .coll = collection ? collection->id : 0, .name = bytes};
    return vsi_statement_apply(err, write, &op);
}

vs_status vs_alias_set(vs_db *db, vs_txn *txn, const char *name, vs_collection *collection) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_change change;
    vs_status st = vsi_handle_check_txn(&err, db, txn, true);
    if (st == VS_OK && collection &&
        (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || collection->head.db != db))
        st = vsi_fail(&err, VS_ERR_MISUSE, "the collection is no open one of this database");
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err); /* txn may be no transaction */
    st = name_validate(&err, name);
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        st = alias_stage(&err, change.write, name, collection);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_handle_end(vsi_handle_of(db, txn), st, &err);
}

/* The alias number at, and the collection that it leads to; VS_ERR_NOT_FOUND without a message. */
static vs_status alias_find(vsi_err *err, const vsi_state *state, size_t at, vsi_bytes *out_name,
                            uint32_t *out_id) {
    uint8_t bytes[VS_NAME_BYTES_MAX];
    vsi_bytes from = {bytes, 0};
    for (;;) {
        bool is_alias = false;
        vs_status st = vsi_state_name_after(err, state, from, out_name, out_id, &is_alias);
        if (st != VS_OK)
            return st;
        if (out_name->bytes > VS_NAME_BYTES_MAX)
            return vsi_fail(err, VS_ERR_CORRUPT, "catalog: a name is too long");
        if (is_alias && at-- == 0)
            return VS_OK;
        memcpy(bytes, out_name->data, out_name->bytes);
        from.bytes = out_name->bytes;
    }
}

vs_status vs_alias_at(vs_db *db, vs_txn *txn, size_t at, vs_alias_info *out_info) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK || !out_info)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_alias_info info = VS_ALIAS_INFO_INIT;
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_alias_info", out_info);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_bytes name = {NULL, 0};
    uint32_t id = 0;
    st = alias_find(&err, view.state, at, &name, &id);
    if (st == VS_OK)
        st = vsi_state_coll_name(&err, view.state, id, info.collection);
    if (st == VS_OK)
        memcpy(info.name, name.data, name.bytes);
    vsi_view_close(db, view);
    if (st == VS_ERR_NOT_FOUND)
        return VS_DONE;
    info.size = out_info->size;
    if (st == VS_OK)
        vsi_struct_write(&info, sizeof info, out_info);
    return vsi_handle_end(&db->head, st, &err);
}
/* ---- api/vector.c ---------------------------------------------------------------------------------- */
/* vector.c - element types, for hosts and bindings. */
/* uses api/handle.h */
/* uses math/element.h */

const char *vs_type_name(int type) {
    return vsi_type_name(type);
}

const char *vs_metric_name(int metric) {
    return vsi_metric_name(metric);
}

size_t vs_vector_bytes(int type, uint32_t dim) {
    return dim <= VS_DIM_MAX ? vsi_vector_bytes(type, dim) : 0;
}

vs_status vs_vector_convert(const void *in, int in_type, void *out, int out_type, uint32_t dim,
                            uint32_t *out_at) {
    vsi_err ignored = {0};
    size_t at = 0;
    if (!in || !out || !vs_vector_bytes(in_type, dim) || !vs_vector_bytes(out_type, dim))
        return VS_ERR_MISUSE;
    vs_status st = vsi_vector_convert(&ignored, in, in_type, out, out_type, dim, &at);
    if (st != VS_OK && out_at)
        *out_at = (uint32_t)at;
    return st;
}
/* ---- api/cursor.h ---------------------------------------------------------------------------------- */
/* cursor.h - cursors, as transactions see them. */
#ifndef VSI_CURSOR_H
#define VSI_CURSOR_H

/* uses api/record.h */

/* The transaction ends: its cursors stay as handles, but every step of them fails. */
VSI_FN void vsi_cursors_detach(vs_txn *txn);

#endif
/* ---- api/cursor.c ---------------------------------------------------------------------------------- */
/* cursor.c - iterating over records in key order.
 *
 * A cursor of a snapshot keeps its place in the tree, which never changes. A cursor of a write
 * transaction remembers the last key and looks for the next one whenever the transaction has
 * changed something. What a range asks for is two strings of bytes that all its keys lie between. */
/* uses api/cursor.h */

/* Room for keys that are numbers: steps from one to the next need no memory. */
enum { CURSOR_PLACE_BYTES = 16 };

struct vs_cursor {
    vsi_handle head;
    vsi_version *version; /* pinned; NULL for a cursor of a write transaction */
    vs_txn *txn;          /* the write transaction; NULL once it has ended */
    vs_cursor *next;      /* of the same write transaction */
    uint32_t coll_id;
    vsi_coll coll; /* as of changes; `at` stands in its keys */
    vsi_btree_cursor at;
    uint64_t changes;   /* of the state when coll and `at` were taken */
    uint64_t evictions; /* likewise: nodes under `at` may have left memory since */
    vsi_buf place;      /* the key under the cursor, by store/key, or what keys begin behind */
    vsi_buf end;        /* what they lie before; empty: nothing */
    uint32_t slot;
    bool is_started, is_on_record;
    vsi_record_bufs record;
};

VSI_FN void vsi_cursors_detach(vs_txn *txn) {
    for (vs_cursor *cursor = txn->cursors; cursor; cursor = cursor->next)
        cursor->txn = NULL;
    txn->cursors = NULL;
}

/* The state under a cursor; NULL when its transaction has ended. */
static const vsi_state *cursor_state(const vs_cursor *cursor) {
    if (cursor->version)
        return &cursor->version->state;
    return cursor->txn ? &cursor->txn->write.state : NULL;
}

static vsi_stay cursor_enter(const vs_cursor *cursor) {
    return vsi_stay_enter(&cursor->head.db->engine->pager.reside);
}

static void cursor_leave(const vs_cursor *cursor, vsi_stay stay) {
    vsi_engine *engine = cursor->head.db->engine;
    vsi_stay_leave(&engine->pager.reside, stay);
    vsi_budget_keep(&engine->pager, &engine->descs);
}

static void cursor_attach(vs_cursor *cursor, vs_db *db, vs_txn *txn) {
    if (txn && txn->is_write) {
        cursor->txn = txn;
        cursor->next = txn->cursors;
        txn->cursors = cursor;
        return;
    }
    /* A pin of its own: the cursor may outlive the read transaction. */
    cursor->version = txn ? vsi_versions_pin_again(&db->engine->versions, txn->version)
                          : vsi_versions_pin(&db->engine->versions);
}

/* ---- ranges --------------------------------------------------------------------------------- */

static vs_status cursor_copy(vsi_err *err, vsi_buf *buf, vsi_bytes bytes) {
    size_t before = buf->bytes;
    buf->bytes = 0;
    if (vsi_buf_append(buf, bytes.data, bytes.bytes))
        return VS_OK;
    buf->bytes = before;
    return vsi_fail_nomem(err, bytes.bytes);
}

/* Nothing before these bytes is wanted, or nothing from them on. */
static vs_status range_from(vsi_err *err, vs_cursor *cursor, vsi_bytes from) {
    vsi_bytes have = {cursor->place.data, cursor->place.bytes};
    return vsi_bytes_compare(from, have) > 0 ? cursor_copy(err, &cursor->place, from) : VS_OK;
}

static vs_status range_to(vsi_err *err, vs_cursor *cursor, vsi_bytes to) {
    vsi_bytes have = {cursor->end.data, cursor->end.bytes};
    bool is_nearer = !have.bytes || vsi_bytes_compare(to, have) < 0;
    return is_nearer ? cursor_copy(err, &cursor->end, to) : VS_OK;
}

/* Only what begins with these bytes, of which the first is not the largest there is. */
static vs_status range_within(vsi_err *err, vs_cursor *cursor, uint8_t *prefix, size_t bytes) {
    vs_status st = range_from(err, cursor, (vsi_bytes){prefix, bytes});
    while (prefix[bytes - 1] == 0xff)
        bytes--;
    prefix[bytes - 1]++;
    return st == VS_OK ? range_to(err, cursor, (vsi_bytes){prefix, bytes}) : st;
}

static vs_status range_set(vsi_err *err, vs_cursor *cursor, const vs_range *range) {
    uint8_t bytes[VSI_KEY_BYTES_MAX];
    vs_status st = VS_OK;
    if (range->space)
        st = range_within(err, cursor, bytes, vsi_key_encode_space(bytes, *range->space).bytes);
    if (st == VS_OK && range->prefix && range->prefix->kind != VS_KEY_BYTES)
        st = vsi_fail(err, VS_ERR_INVALID, "range: a prefix is of keys of VS_KEY_BYTES");
    if (st == VS_OK && range->prefix)
        st = vsi_key_check(err, *range->prefix);
    if (st == VS_OK && range->prefix)
        st = range_within(err, cursor, bytes, vsi_key_encode(bytes, *range->prefix).bytes);
    if (st == VS_OK && range->from)
        st = vsi_key_check(err, *range->from);
    if (st == VS_OK && range->from)
        st = range_from(err, cursor, vsi_key_encode(bytes, *range->from));
    if (st == VS_OK && range->to)
        st = vsi_key_check(err, *range->to);
    if (st == VS_OK && range->to)
        st = range_to(err, cursor, vsi_key_encode(bytes, *range->to));
    return st;
}

static bool range_ends_before(const vs_cursor *cursor, vsi_bytes key) {
    return cursor->end.bytes &&
           vsi_bytes_compare(key, (vsi_bytes){cursor->end.data, cursor->end.bytes}) >= 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

static vs_cursor *cursor_new(vs_db *db, uint32_t coll_id) {
    vs_cursor *cursor = vsi_alloc_zeroed(&db->mem, sizeof *cursor);
    if (!cursor)
        return NULL;
    cursor->coll_id = coll_id;
    cursor->place.mem = cursor->end.mem = &db->mem;
    vsi_record_bufs_init(&cursor->record, &db->mem);
    if (vsi_buf_reserve(&cursor->place, CURSOR_PLACE_BYTES))
        return cursor;
    vsi_free(&db->mem, cursor, sizeof *cursor);
    return NULL;
}

vs_status vs_scan(vs_collection *collection, vs_txn *txn, const vs_range *range,
                  vs_cursor **out_cursor) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !out_cursor)
        return VS_ERR_MISUSE;
    vs_db *db = collection->head.db;
    vsi_err err = {0};
    vs_range all = VS_RANGE_INIT;
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st == VS_OK && range)
        st = vsi_struct_read(&err, "vs_range", range, &all, sizeof all);
    if (st != VS_OK)
        return vsi_handle_end(&collection->head, st, &err);
    vs_cursor *cursor = cursor_new(db, collection->id);
    if (!cursor)
        return vsi_handle_end(&collection->head, vsi_fail_nomem(&err, sizeof *cursor), &err);
    cursor_attach(cursor, db, txn);
    vsi_handle_open(&cursor->head, VSI_TAG_CURSOR, db, &db->cursors);
    st = range_set(&err, cursor, &all);
    vsi_stay stay = cursor_enter(cursor);
    if (st == VS_OK)
        st = vsi_view_coll(&err, (vsi_view){.state = cursor_state(cursor)}, collection,
                           &cursor->coll);
    cursor_leave(cursor, stay);
    if (st != VS_OK) {
        vs_cursor_close(cursor);
        return vsi_handle_end(&collection->head, st, &err);
    }
    *out_cursor = cursor;
    return VS_OK;
}

/* ---- moving --------------------------------------------------------------------------------- */

/* The state as it is now: the collection in it, and the first record behind the last one seen, or the
 * first one wanted. */
static vs_status cursor_seek(vsi_err *err, vs_cursor *cursor, const vsi_state *state) {
    vsi_bytes place = {cursor->place.data, cursor->place.bytes};
    cursor->evictions = vsi_ordered_load(&cursor->head.db->engine->pager.reside.evictions);
    vs_status st = vsi_state_coll(err, state, cursor->coll_id, &cursor->coll);
    if (st == VS_ERR_NOT_FOUND)
        return vsi_fail(err, VS_ERR_MISUSE, "the cursor's collection is gone");
    if (st == VS_OK)
        st = vsi_btree_seek(err, &cursor->coll.keys, place, &cursor->at);
    if (st == VS_OK && cursor->is_started && !vsi_btree_at_end(&cursor->at) &&
        !vsi_bytes_compare(vsi_btree_entry(&cursor->at).key, place))
        st = vsi_btree_next(err, &cursor->at);
    cursor->changes = state->changes;
    return st;
}

/* Notes the record that `at` stands on, if it is still one of the range. */
static vs_status cursor_arrive(vsi_err *err, vs_cursor *cursor) {
    vs_key key;
    if (vsi_btree_at_end(&cursor->at))
        return VS_DONE;
    vsi_bytes found = vsi_btree_entry(&cursor->at).key;
    if (range_ends_before(cursor, found))
        return VS_DONE;
    vs_status st = vsi_coll_entry(err, &cursor->at, &key, &cursor->slot);
    if (st == VS_OK)
        st = cursor_copy(err, &cursor->place, found);
    return st == VS_OK ? VS_ROW : st;
}

/* Moves to the next record. */
static vs_status cursor_move(vsi_err *err, vs_cursor *cursor, const vsi_state *state) {
    uint64_t evictions = vsi_ordered_load(&cursor->head.db->engine->pager.reside.evictions);
    bool is_in_place =
        cursor->is_started && cursor->changes == state->changes && cursor->evictions == evictions;
    vs_status st = VS_OK;
    if (!is_in_place)
        st = cursor_seek(err, cursor, state);
    else if (!vsi_btree_at_end(&cursor->at))
        st = vsi_btree_next(err, &cursor->at);
    if (st == VS_OK)
        st = cursor_arrive(err, cursor);
    if (st != VS_ROW && st != VS_DONE)
        cursor->evictions = UINT64_MAX; /* `at` stands nowhere: look again */
    return st;
}

vs_status vs_step(vs_cursor *cursor) {
    if (vsi_handle_check(cursor, VSI_TAG_CURSOR) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    const vsi_state *state = cursor_state(cursor);
    cursor->is_on_record = false;
    vs_status st = VS_OK;
    if (state) {
        vsi_stay stay = cursor_enter(cursor);
        st = cursor_move(&err, cursor, state);
        cursor_leave(cursor, stay);
    } else {
        st = vsi_fail(&err, VS_ERR_MISUSE, "the cursor's transaction has ended");
    }
    if (st == VS_ROW) {
        cursor->is_started = true;
        cursor->is_on_record = true;
    }
    return vsi_handle_end(&cursor->head, st, &err);
}

/* The slot of the record under the cursor, which a write transaction may have changed since. */
static vs_status cursor_locate(vsi_err *err, vs_cursor *cursor, const vsi_state *state,
                               vsi_coll *out_coll) {
    vs_key key = {0};
    char text[VSI_KEY_TEXT_BYTES];
    vs_status st = vsi_state_coll(err, state, cursor->coll_id, out_coll);
    if (!vsi_key_decode((vsi_bytes){cursor->place.data, cursor->place.bytes}, &key))
        vsi_assert(false);
    if (st == VS_OK && cursor->changes != state->changes)
        st = vsi_coll_find(err, out_coll, key, &cursor->slot);
    if (st != VS_ERR_NOT_FOUND)
        return st;
    return vsi_fail(err, st, "the record under the cursor, key %s, is deleted",
                    vsi_key_text(text, key));
}

vs_status vs_cursor_record(vs_cursor *cursor, vs_record *out_record) {
    if (vsi_handle_check(cursor, VSI_TAG_CURSOR) != VS_OK || !out_record)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    const vsi_state *state = cursor_state(cursor);
    vsi_coll coll;
    vsi_stay stay = cursor_enter(cursor);
    vs_status st = VS_OK;
    if (!state || !cursor->is_on_record)
        st = vsi_fail(&err, VS_ERR_MISUSE, "the cursor stands on no record; step it first");
    else
        st = cursor_locate(&err, cursor, state, &coll);
    if (st == VS_OK)
        st = vsi_record_read(&err, &coll, cursor->slot, &cursor->record, out_record);
    cursor_leave(cursor, stay);
    return vsi_handle_end(&cursor->head, st, &err);
}

void vs_cursor_close(vs_cursor *cursor) {
    if (vsi_handle_check(cursor, VSI_TAG_CURSOR) != VS_OK)
        return; /* in a forked child another thread's lock may be held for ever */
    vs_db *db = cursor->head.db;
    if (cursor->version)
        vsi_versions_unpin(&db->engine->versions, cursor->version);
    for (vs_cursor **link = cursor->txn ? &cursor->txn->cursors : NULL; link && *link;
         link = &(*link)->next)
        if (*link == cursor) {
            *link = cursor->next;
            break;
        }
    vsi_buf_free(&cursor->place);
    vsi_buf_free(&cursor->end);
    vsi_record_bufs_free(&cursor->record);
    vsi_handle_close(&cursor->head, &db->cursors);
    vsi_free(&db->mem, cursor, sizeof *cursor);
}
/* ---- api/transaction.c ---------------------------------------------------------------------------------- */
/* transaction.c - transactions of the public interface. */
/* uses api/cursor.h */

vs_status vs_begin(vs_db *db, int kind, vs_txn **out_txn) {
    vs_status st = vsi_handle_check(db, VSI_TAG_DB);
    if (st != VS_OK || !out_txn)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    if (kind != VS_TXN_READ && kind != VS_TXN_WRITE) {
        st = vsi_fail(&err, VS_ERR_MISUSE, "vs_begin: kind is %d, expected VS_TXN_...", kind);
        return vsi_handle_end(&db->head, st, &err);
    }
    vs_txn *txn = vsi_alloc_zeroed(&db->mem, sizeof *txn);
    if (!txn)
        return vsi_handle_end(&db->head, vsi_fail_nomem(&err, sizeof *txn), &err);
    txn->is_write = kind == VS_TXN_WRITE;
    if (txn->is_write)
        st = vsi_write_begin(&err, db->engine, &txn->write);
    else
        txn->version = vsi_versions_pin(&db->engine->versions);
    if (st != VS_OK) {
        vsi_free(&db->mem, txn, sizeof *txn);
        return vsi_handle_end(&db->head, st, &err);
    }
    vsi_handle_open(&txn->head, VSI_TAG_TXN, db, &db->txns);
    *out_txn = txn;
    return VS_OK;
}

/* Frees the handle; a write transaction itself has ended already. */
static void txn_free(vs_txn *txn) {
    vs_db *db = txn->head.db;
    vsi_cursors_detach(txn);
    if (!txn->is_write)
        vsi_versions_unpin(&db->engine->versions, txn->version);
    vsi_handle_close(&txn->head, &db->txns);
    vsi_free(&db->mem, txn, sizeof *txn);
}

vs_status vs_commit(vs_txn *txn, int sync) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK)
        return VS_ERR_MISUSE;
    vs_db *db = txn->head.db;
    vsi_err err = {0};
    vs_status st = VS_OK;
    if (sync < VS_SYNC_DEFAULT || sync > VS_SYNC_OFF) {
        st = vsi_fail(&err, VS_ERR_MISUSE, "vs_commit: sync is %d, expected VS_SYNC_...", sync);
        if (txn->is_write)
            vsi_write_rollback(&txn->write);
    } else if (txn->is_write) {
        st = vsi_commit(&err, &txn->write, sync);
    }
    txn_free(txn);
    return vsi_handle_end(&db->head, st, &err);
}

void vs_rollback(vs_txn *txn) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK)
        return;
    if (txn->is_write)
        vsi_write_rollback(&txn->write);
    txn_free(txn);
}

/* ---- savepoints ----------------------------------------------------------------------------- */

static vs_status txn_check_writes(vsi_err *err, const vs_txn *txn) {
    if (txn->is_write)
        return VS_OK;
    return vsi_fail(err, VS_ERR_MISUSE, "a read transaction has no savepoints");
}

vs_status vs_savepoint(vs_txn *txn, uint32_t *out_savepoint) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK || !out_savepoint)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = txn_check_writes(&err, txn);
    if (st == VS_OK)
        st = vsi_write_savepoint(&err, &txn->write, out_savepoint);
    return vsi_handle_end(&txn->head, st, &err);
}

vs_status vs_rollback_to(vs_txn *txn, uint32_t savepoint) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = txn_check_writes(&err, txn);
    if (st == VS_OK)
        st = vsi_write_rollback_to(&err, &txn->write, savepoint);
    return vsi_handle_end(&txn->head, st, &err);
}

vs_status vs_release(vs_txn *txn, uint32_t savepoint) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = txn_check_writes(&err, txn);
    if (st == VS_OK)
        st = vsi_write_release(&err, &txn->write, savepoint);
    return vsi_handle_end(&txn->head, st, &err);
}
/* ---- api/note.c ---------------------------------------------------------------------------------- */
/* note.c - key/value notes. */
/* uses api/handle.h */

static vs_status note_check_call(vsi_err *err, const vs_db *db, vs_txn *txn, bool for_writing,
                                 vs_collection *collection, const void *key, size_t key_bytes) {
    vs_status st = vsi_handle_check_txn(err, db, txn, for_writing);
    if (st != VS_OK)
        return st;
    if (collection &&
        (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || collection->head.db != db))
        return vsi_fail(err, VS_ERR_MISUSE, "the collection is no open one of this database");
    if (!key)
        return vsi_fail(err, VS_ERR_MISUSE, "a note's key is NULL");
    if (key_bytes < 1 || key_bytes > VS_KV_KEY_BYTES_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "a note's key has 1 to %u bytes, this one %zu",
                        VS_KV_KEY_BYTES_MAX, key_bytes);
    return VS_OK;
}

static vs_status note_stage(vsi_err *err, vsi_write *write, const vs_collection *collection,
                            const vsi_op *op) {
    vsi_coll coll;
    vs_status st = VS_OK;
    vsi_value value = {.bytes = 0};
    if (collection)
        st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    if (st == VS_OK && !op->note_has_value) {
        st = vsi_note_find(err, &write->state, op->coll, op->note_key, &value);
        if (st == VS_ERR_NOT_FOUND)
            return VS_OK; /* nothing to delete, nothing to log */
    }
    return st == VS_OK ? vsi_statement_apply(err, write, op) : st;
}

vs_status vs_kv_put(vs_db *db, vs_txn *txn, vs_collection *collection, const void *key,
                    size_t key_bytes, const void *value, size_t value_bytes) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_change change;
    vs_status st = note_check_call(&err, db, txn, true, collection, key, key_bytes);
    if (st == VS_ERR_MISUSE)
        return vsi_handle_end(&db->head, st, &err); /* txn may be no transaction */
    if (st == VS_OK && value_bytes > VS_KV_VALUE_BYTES_MAX)
        st = vsi_fail(&err, VS_ERR_LIMIT, "a note's value has at most %u bytes, this one %zu",
                      VS_KV_VALUE_BYTES_MAX, value_bytes);
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        vsi_op op = {.kind = VSI_OP_NOTE,
                     .coll = collection ? collection->id : 0,
                     .note_key = {key, key_bytes},
                     .note_value = {value, value ? value_bytes : 0},
                     .note_has_value = value};
        st = note_stage(&err, change.write, collection, &op);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_handle_end(vsi_handle_of(db, txn), st, &err);
}

vs_status vs_kv_get(vs_db *db, vs_txn *txn, vs_collection *collection, const void *key,
                    size_t key_bytes, void *value, size_t value_room, size_t *out_bytes) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK || !out_bytes || (!value && value_room))
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = note_check_call(&err, db, txn, false, collection, key, key_bytes);
    if (st == VS_ERR_MISUSE)
        return vsi_handle_end(&db->head, st, &err);
    if (st != VS_OK)
        return vsi_handle_end(vsi_handle_of(db, txn), st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_bytes key_run = {key, key_bytes};
    vsi_value found = {.bytes = 0};
    uint32_t coll = collection ? collection->id : 0;
    vsi_buf buf = {.mem = &db->mem};
    st = vsi_note_find(&err, view.state, coll, key_run, &found);
    if (st == VS_ERR_NOT_FOUND)
        st = vsi_fail(&err, st, "there is no such note");
    if (st == VS_OK && value_room)
        st = vsi_value_read(&err, &view.state->notes, &found, &buf);
    vsi_view_close(db, view);
    if (st == VS_OK) {
        size_t n = buf.bytes < value_room ? buf.bytes : value_room;
        if (n)
            memcpy(value, buf.data, n);
        *out_bytes = found.bytes;
    }
    vsi_buf_free(&buf);
    return vsi_handle_end(vsi_handle_of(db, txn), st, &err);
}
/* ---- api/search.c ---------------------------------------------------------------------------------- */
/* search.c - search of the public interface. */
/* uses api/record.h */
/* uses query/exact.h */

enum { SEARCH_BREATH_HITS = 128 };

/* One call, and what it asks. */
typedef struct search {
    vsi_reading r;
    vsi_exact_ask ask;
    const vsi_field *field; /* that is searched */
} search;

/* Field and deadline as the caller wants them. */
static vs_status search_options(vsi_err *err, const vs_search_options *options, search *s) {
    const vs_vfs *vfs = s->r.db->engine->config.vfs;
    vs_search_options all = VS_SEARCH_OPTIONS_INIT;
    vs_status st = VS_OK;
    if (options)
        st = vsi_struct_read(err, "vs_search_options", options, &all, sizeof all);
    if (st == VS_OK)
        st = vsi_record_check_field(err, &s->r.coll, all.field);
    if (st != VS_OK)
        return st;
    s->ask.field = all.field;
    s->field = &s->r.coll.desc->field[all.field];
    if (all.timeout_ms) {
        s->ask.halt.vfs = vfs;
        s->ask.halt.deadline_us = vfs->ticks_us(vfs->ctx) + (int64_t)all.timeout_ms * 1000;
    }
    return VS_OK;
}

/* Whatever is returned, vsi_reading_close follows. */
static vs_status search_open(vsi_err *err, vs_collection *collection, vs_txn *txn,
                             const vs_search_options *options, search *out) {
    vsi_atomic_u64 *interrupts = &collection->head.db->interrupts;
    out->ask =
        (vsi_exact_ask){.descs = &collection->head.db->engine->descs,
                        .excluded = VSI_SLOT_NONE,
                        .halt = {.interrupts = interrupts, .seen = vsi_atomic_load(interrupts)}};
    collection->keys.bytes = 0;
    vs_status st = vsi_reading_open(err, collection, txn, &out->r);
    return st == VS_OK ? search_options(err, options, out) : st;
}

/* Room in the handle for a query, and for one before its bytes are in order. */
static vs_status search_reserve(vsi_err *err, search *s) {
    size_t bytes = 2 * (size_t)s->field->vector_bytes;
    s->r.collection->scratch.bytes = 0;
    return vsi_buf_reserve(&s->r.collection->scratch, bytes) ? VS_OK : vsi_fail_nomem(err, bytes);
}

/* The query in the field's type and the machine's byte order, in the handle's buffer. */
static vs_status search_prepare(vsi_err *err, search *s, const void *query, int query_type) {
    const vsi_field *field = s->field;
    const uint8_t *converted = NULL;
    vs_status st = search_reserve(err, s);
    if (st != VS_OK)
        return st;
    uint8_t *out = s->r.collection->scratch.data;
    st = vsi_record_vector(err, field, query, query_type, out + field->vector_bytes, &converted);
    if (st != VS_OK)
        return vsi_fail_in(err, "query");
    vsi_copy_le(out, converted, field->vector_bytes / field->element_bytes, field->element_bytes);
    return VS_OK;
}

/* The keys of hits that are no numbers: their bytes go into the handle's buffer, where hits_point finds
 * them when all are there. */
static vs_status hits_settle(vsi_err *err, search *s, vs_hit *hits, size_t count) {
    vsi_buf *buf = &s->r.collection->keys;
    for (size_t i = 0; i < count; i++) {
        vs_key *key = &hits[i].key, found = {0};
        if (key->kind == VS_KEY_U64)
            continue;
        if (i % SEARCH_BREATH_HITS == 0) {
            vs_status halted = vsi_halt_check(err, &s->ask.halt);
            vsi_budget_breathe(&s->r.db->engine->pager, s->ask.descs, &s->r.view.stay);
            if (halted != VS_OK)
                return halted;
        }
        vsi_cell cell = {.kind = key->kind, .space = key->space};
        vs_status st = vsi_coll_key(err, &s->r.coll, (uint32_t)key->number, &cell, &found);
        if (st != VS_OK)
            return st;
        key->number = buf->bytes;
        key->bytes = found.bytes;
        if (!vsi_buf_append(buf, found.data, found.bytes))
            return vsi_fail_nomem(err, found.bytes);
    }
    return VS_OK;
}

static void hits_point(const vs_collection *collection, vs_hit *hits, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (hits[i].key.kind != VS_KEY_U64) {
            hits[i].key.data = collection->keys.data + hits[i].key.number;
            hits[i].key.number = 0;
        }
}

/* Asks what is in the handle's buffer; hits come out sorted, their keys as hits_settle leaves them. */
static vs_status search_run(vsi_err *err, search *s, vsi_topk *topk) {
    s->ask.query = s->r.collection->scratch.data;
    vs_status st =
        vsi_exact_scan(err, s->r.db->kernels, &s->r.coll, &s->ask, &s->r.view.stay, topk);
    return st == VS_OK ? hits_settle(err, s, topk->hits, topk->count) : st;
}

/* Ends a search that found what topk has. */
static vs_status search_close(vsi_err *err, search *s, vs_status st, const vsi_topk *topk,
                              size_t *out_count) {
    if (st == VS_OK) {
        hits_point(s->r.collection, topk->hits, topk->count);
        *out_count = topk->count;
    }
    return vsi_reading_close(&s->r, st, err);
}

static vs_status search_check_k(vsi_err *err, size_t k) {
    return k ? VS_OK : vsi_fail(err, VS_ERR_INVALID, "k is 0, expected 1 or more");
}

/* The row of a key that must be there, as long as the call stays where it is. */
static vs_status search_row(vsi_err *err, search *s, vs_key key, uint32_t *out_slot,
                            const uint8_t **out_row) {
    bool has = false;
    vs_status st = vsi_record_find(err, s->r.collection, &s->r.coll, key, out_slot);
    if (st == VS_OK)
        st = vsi_coll_has(err, &s->r.coll, s->ask.field, *out_slot, &has);
    if (st == VS_OK && !has)
        return vsi_record_no_vector(err, &s->r.coll, s->ask.field, key);
    return st == VS_OK ? vsi_coll_row(err, &s->r.coll, s->ask.field, *out_slot, out_row) : st;
}

/* A stored vector as the query; its record is no hit. */
static vs_status search_prepare_key(vsi_err *err, search *s, vs_key key) {
    const uint8_t *row = NULL;
    vs_status st = search_reserve(err, s);
    if (st == VS_OK)
        st = search_row(err, s, key, &s->ask.excluded, &row);
    if (st == VS_OK)
        memcpy(s->r.collection->scratch.data, row, s->field->vector_bytes);
    return st;
}

vs_status vs_search(vs_collection *collection, vs_txn *txn, const void *query, int query_type,
                    size_t k, const vs_search_options *options, vs_hit *hits, size_t *out_count) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !query || !hits || !out_count)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    search s;
    vsi_topk topk = {.hits = hits, .k = k};
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK)
        st = search_check_k(&err, k);
    if (st == VS_OK)
        st = search_prepare(&err, &s, query, query_type);
    if (st == VS_OK)
        st = search_run(&err, &s, &topk);
    return search_close(&err, &s, st, &topk, out_count);
}

static vs_status batch_check(vsi_err *err, const search *s, int query_type, size_t count, size_t k,
                             size_t *io_stride) {
    int type = query_type ? query_type : s->field->type;
    size_t bytes = vsi_vector_bytes(type, s->field->dim);
    *io_stride = *io_stride ? *io_stride : bytes;
    if (*io_stride < bytes)
        return vsi_fail(err, VS_ERR_INVALID, "stride is %zu bytes, a query has %zu", *io_stride,
                        bytes);
    if (k && count > SIZE_MAX / sizeof(vs_hit) / k)
        return vsi_fail(err, VS_ERR_LIMIT, "%zu queries of %zu hits are more than memory has",
                        count, k);
    return search_check_k(err, k);
}

vs_status vs_search_batch(vs_collection *collection, vs_txn *txn, const void *queries,
                          int query_type, size_t stride_bytes, size_t count, size_t k,
                          const vs_search_options *options, vs_hit *hits, size_t *out_counts) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK ||
        (count && (!queries || !hits || !out_counts)))
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    search s;
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK)
        st = batch_check(&err, &s, query_type, count, k, &stride_bytes);
    for (size_t i = 0; st == VS_OK && i < count; i++) {
        vsi_topk topk = {.hits = hits + i * k, .k = k};
        st = search_prepare(&err, &s, (const uint8_t *)queries + i * stride_bytes, query_type);
        if (st == VS_OK)
            st = search_run(&err, &s, &topk);
        if (st != VS_OK)
            vsi_fail_in(&err, "row %zu of %zu", i, count);
        out_counts[i] = topk.count;
    }
    for (size_t i = 0; st == VS_OK && i < count; i++)
        hits_point(collection, hits + i * k, out_counts[i]);
    return vsi_reading_close(&s.r, st, &err);
}

vs_status vs_search_radius(vs_collection *collection, vs_txn *txn, const void *query,
                           int query_type, double radius, const vs_search_options *options,
                           size_t room, vs_hit *hits, size_t *out_count, uint64_t *out_total) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !query || (room && !hits) ||
        !out_count)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    search s;
    vsi_topk topk = {.hits = hits, .k = room, .has_radius = true, .radius = radius};
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK && isnan(radius))
        st = vsi_fail(&err, VS_ERR_INVALID, "radius is no number");
    if (st == VS_OK)
        st = search_prepare(&err, &s, query, query_type);
    if (st == VS_OK)
        st = search_run(&err, &s, &topk);
    if (st == VS_OK && out_total)
        *out_total = topk.within;
    return search_close(&err, &s, st, &topk, out_count);
}

vs_status vs_search_key(vs_collection *collection, vs_txn *txn, vs_key key, size_t k,
                        const vs_search_options *options, vs_hit *hits, size_t *out_count) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !hits || !out_count)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    search s;
    vsi_topk topk = {.hits = hits, .k = k};
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK)
        st = search_check_k(&err, k);
    if (st == VS_OK)
        st = search_prepare_key(&err, &s, key);
    if (st == VS_OK)
        st = search_run(&err, &s, &topk);
    return search_close(&err, &s, st, &topk, out_count);
}

vs_status vs_distance(vs_collection *collection, vs_txn *txn, vs_key key, vs_key other,
                      const vs_search_options *options, double *out_distance) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !out_distance)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    search s;
    const uint8_t *row = NULL;
    uint32_t slot = 0;
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK)
        st = search_prepare_key(&err, &s, key);
    if (st == VS_OK)
        st = search_row(&err, &s, other, &slot, &row);
    if (st == VS_OK)
        *out_distance = vsi_exact_distance(s.r.db->kernels, &s.r.coll, s.ask.field,
                                           collection->scratch.data, row);
    return vsi_reading_close(&s.r, st, &err);
}
/* ---- api/inspect.c ---------------------------------------------------------------------------------- */
/* inspect.c - syncing, statistics and checking. */
/* uses api/handle.h */
/* uses store/check.h */

enum { INSPECT_STEP_BYTES = 1 << 20 };

vs_status vs_sync(vs_db *db) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = vsi_engine_sync(&err, db->engine);
    return vsi_handle_end(&db->head, st, &err);
}

vs_status vs_checkpoint(vs_db *db) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = vsi_checkpoint(&err, db->engine, false);
    return vsi_handle_end(&db->head, st, &err);
}

vs_status vs_maintain(vs_db *db, uint64_t budget_bytes, uint64_t *out_left_bytes) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    uint64_t left = 0;
    vs_status st = VS_OK;
    if (!db->engine->config.is_readonly)
        st =
            vsi_maintain(&err, db->engine, budget_bytes ? budget_bytes : INSPECT_STEP_BYTES, &left);
    if (st == VS_OK && out_left_bytes)
        *out_left_bytes = left;
    return vsi_handle_end(&db->head, st, &err);
}

vs_status vs_stats_get(vs_db *db, vs_stats *out_stats) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK || !out_stats)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = vsi_struct_check(&err, "vs_stats", out_stats);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    vsi_engine *engine = db->engine;
    vs_stats stats = VS_STATS_INIT;
    vsi_hash128 digest;
    stats.size = out_stats->size;
    stats.readers = (uint32_t)vsi_versions_pin_count(&engine->versions, &stats.oldest_reader_lsn);
    vsi_versions_peek(&engine->versions, &stats.lsn, &digest);
    stats.digest[0] = digest.lo;
    stats.digest[1] = digest.hi;
    stats.recovered_txns = engine->recovered_txns;
    stats.dropped_lsn = engine->dropped_lsn;
    stats.dropped_bytes = engine->dropped_bytes;
    stats.memory_bytes = vsi_atomic_load(&db->mem.used_bytes);
    vsi_mutex_lock(&engine->log_lock);
    stats.durable_lsn = engine->log.durable_lsn;
    stats.log_generation = engine->log.generation;
    stats.log_bytes = vsi_log_bytes(&engine->log);
    stats.commits = engine->commits;
    stats.syncs = engine->log.syncs;
    stats.log_takeovers = engine->log.takeovers;
    stats.checkpoint = engine->metas.newest.checkpoint.number;
    stats.checkpoint_lsn = engine->metas.newest.checkpoint.lsn;
    stats.checkpoints = engine->checkpoints;
    stats.file_bytes = engine->metas.newest.checkpoint.end * VSI_PAGE_BYTES;
    stats.trailer_bytes = engine->metas.newest.trailer_bytes;
    stats.retained_bytes = engine->retained_bytes;
    stats.memory_limit = engine->pager.reside.limit_bytes;
    stats.free_bytes = engine->free_pages * VSI_PAGE_BYTES;
    memcpy(stats.readonly_reason, engine->failure, sizeof stats.readonly_reason);
    vsi_mutex_unlock(&engine->log_lock);
    vsi_struct_write(&stats, sizeof stats, out_stats);
    return VS_OK;
}

vs_status vs_interrupt(vs_db *db) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_atomic_add(&db->interrupts, 1);
    return VS_OK;
}

typedef struct check_counter {
    vs_check_fn report;
    void *ctx;
    uint64_t count;
} check_counter;

static void check_count(void *ctx, const char *problem) {
    check_counter *counter = ctx;
    counter->count++;
    if (counter->report)
        counter->report(counter->ctx, problem);
}

vs_status vs_check(vs_db *db, int level, vs_check_fn report, void *ctx, uint64_t *out_problems) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK || !out_problems)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    check_counter counter = {.report = report, .ctx = ctx};
    vs_status st =
        level >= 0 && level <= 3
            ? vsi_engine_check(&err, db->engine, level, check_count, &counter)
            : vsi_fail(&err, VS_ERR_INVALID, "check level is %d, expected 0 to 3", level);
    if (st == VS_OK)
        *out_problems = counter.count;
    return vsi_handle_end(&db->head, st, &err);
}
/* ---- api/json_text.c ---------------------------------------------------------------------------------- */
/* json_text.c - the public reader and writers of JSON. */
/* uses base/patch.h */

/* vecstore.h promises bindings that 128 bytes do. */
_Static_assert(sizeof(vs_json) <= 128, "vs_json has outgrown what bindings reserve");

/* ---- reading -------------------------------------------------------------------------------- */

vs_status vs_json_begin(vs_json *reader, const char *text, size_t bytes, uint32_t flags) {
    if (!reader || (!text && bytes) || flags & ~(uint32_t)VS_JSON_STREAM)
        return VS_ERR_MISUSE;
    vsi_json_begin(reader, text ? text : "", bytes, flags);
    return VS_OK;
}

int vs_json_next(vs_json *reader) {
    return reader ? vsi_json_next(reader) : VS_JSON_ERROR;
}

int vs_json_skip(vs_json *reader) {
    return reader ? vsi_json_skip(reader) : VS_JSON_ERROR;
}

vs_status vs_json_token(const vs_json *reader, size_t *out_offset, size_t *out_bytes) {
    if (!reader || !out_offset || !out_bytes)
        return VS_ERR_MISUSE;
    *out_offset = reader->token_at;
    *out_bytes = reader->token_bytes;
    return VS_OK;
}

vs_status vs_json_error(const vs_json *reader, size_t *out_offset, const char **out_expected) {
    if (!reader)
        return VS_ERR_MISUSE;
    if (out_offset)
        *out_offset = reader->at;
    if (out_expected)
        *out_expected = reader->expected;
    return reader->status;
}

vs_status vs_json_string(const vs_json *reader, char *out, size_t room, size_t *out_bytes) {
    if (!reader || (!out && room) || !out_bytes ||
        (reader->token != VS_JSON_STRING && reader->token != VS_JSON_NAME))
        return VS_ERR_MISUSE;
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_json_put_decoded(&sink, (const uint8_t *)reader->text + reader->token_at + 1,
                         reader->token_bytes - 2);
    *out_bytes = sink.bytes;
    return VS_OK;
}

/* The number that a reader stands at; false: at something else. */
static bool text_decimal(const vs_json *reader, const void *out_value, vsi_decimal *out) {
    return reader && out_value && reader->token == VS_JSON_NUMBER &&
           !vsi_decimal_read((const uint8_t *)reader->text + reader->token_at, reader->token_bytes,
                             out);
}

vs_status vs_json_double(const vs_json *reader, double *out_value) {
    vsi_decimal decimal;
    if (!text_decimal(reader, out_value, &decimal))
        return VS_ERR_MISUSE;
    double value = vsi_decimal_to_double(&decimal);
    if (isinf(value))
        return VS_ERR_LIMIT;
    *out_value = value;
    return VS_OK;
}

vs_status vs_json_float(const vs_json *reader, float *out_value) {
    vsi_decimal decimal;
    if (!text_decimal(reader, out_value, &decimal))
        return VS_ERR_MISUSE;
    float value = vsi_decimal_to_float(&decimal);
    if (isinf(value))
        return VS_ERR_LIMIT;
    *out_value = value;
    return VS_OK;
}

static vs_status text_integer_status(int result) {
    return result == VSI_INTEGER            ? VS_OK
           : result == VSI_INTEGER_FRACTION ? VS_ERR_INVALID
                                            : VS_ERR_LIMIT;
}

vs_status vs_json_i64(const vs_json *reader, int64_t *out_value) {
    vsi_decimal decimal;
    if (!text_decimal(reader, out_value, &decimal))
        return VS_ERR_MISUSE;
    return text_integer_status(vsi_decimal_to_i64(&decimal, out_value));
}

vs_status vs_json_u64(const vs_json *reader, uint64_t *out_value) {
    vsi_decimal decimal;
    if (!text_decimal(reader, out_value, &decimal))
        return VS_ERR_MISUSE;
    return text_integer_status(vsi_decimal_to_u64(&decimal, out_value));
}

vs_status vs_json_floats(vs_json *reader, float *out, size_t room, size_t *out_count) {
    if (!reader || (!out && room) || !out_count || reader->token != VS_JSON_ARRAY_BEGIN)
        return VS_ERR_MISUSE;
    return vsi_json_floats(reader, out, room, out_count);
}

/* ---- writing -------------------------------------------------------------------------------- */

static vs_status text_give(const char *text, size_t n, char *out, size_t room, size_t *out_bytes) {
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_json_put(&sink, text, n);
    *out_bytes = n;
    return VS_OK;
}

vs_status vs_json_write_double(double value, char *out, size_t room, size_t *out_bytes) {
    char text[VSI_NUMBER_TEXT_BYTES];
    if ((!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    if (!isfinite(value))
        return VS_ERR_INVALID;
    return text_give(text, vsi_double_write(value, text), out, room, out_bytes);
}

vs_status vs_json_write_float(float value, char *out, size_t room, size_t *out_bytes) {
    char text[VSI_NUMBER_TEXT_BYTES];
    if ((!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    if (!isfinite(value))
        return VS_ERR_INVALID;
    return text_give(text, vsi_float_write(value, text), out, room, out_bytes);
}

vs_status vs_json_write_string(const char *text, size_t bytes, char *out, size_t room,
                               size_t *out_bytes) {
    if ((!text && bytes) || (!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    const uint8_t *from = (const uint8_t *)(text ? text : "");
    if (!vsi_utf8_is_valid(from, bytes))
        return VS_ERR_INVALID;
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_json_put_string(&sink, from, bytes);
    *out_bytes = sink.bytes;
    return VS_OK;
}

/* ---- whole texts ---------------------------------------------------------------------------- */

vs_status vs_json_compact(const char *text, size_t bytes, char *out, size_t room,
                          size_t *out_bytes) {
    vs_json reader;
    if (!text || (!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    vsi_json_begin(&reader, text, bytes, 0);
    vsi_json_skip(&reader);
    size_t value_at = reader.token_at, value_bytes = reader.token_bytes;
    if (vsi_json_next(&reader) == VS_JSON_ERROR)
        return reader.status;
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_json_put_compact(&sink, (const uint8_t *)text + value_at, value_bytes);
    *out_bytes = sink.bytes;
    return VS_OK;
}

vs_status vs_json_merge_patch(const char *target, size_t target_bytes, const char *patch,
                              size_t patch_bytes, const vs_allocator *allocator, char *out,
                              size_t room, size_t *out_bytes) {
    if (!target || !patch || (allocator && !allocator->realloc) || (!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    vsi_mem mem;
    vsi_err err = {0};
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_bytes from = {(const uint8_t *)target, target_bytes};
    vsi_bytes change = {(const uint8_t *)patch, patch_bytes};
    vsi_mem_init(&mem, allocator);
    vs_status st = vsi_patch_merge(&err, &mem, from, change, &sink);
    if (st == VS_OK)
        *out_bytes = sink.bytes;
    return st;
}
