/* port.c - wide products; atomics, mutexes and conditions over pthreads, or nothing with VS_THREADSAFE=0.
 */
#include "base/port.h"

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
