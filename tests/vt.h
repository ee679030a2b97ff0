/* vt.h - the test harness.
 *
 *   VT_TEST(claim) { VT_CHECK(condition); }      a test; its name says what it proves
 *
 * A test program runs all its tests, or those named on its command line, prints failures and skips,
 * and ends with one line: `NAME: N passed, N failed, N skipped`. VT_SEED chooses another random
 * sequence, VT_VERBOSE=1 names each test. */
#ifndef VT_H
#define VT_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void vt_function(void);

void vt_register(const char *name, vt_function *function);
_Noreturn void vt_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Where a long random test stands, for the message of a failure; what: NULL, or lasts as the test. */
void vt_at(const char *what, uint64_t number);
_Noreturn void vt_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define VT_TEST(name)                                                                              \
    static void vt_test_##name(void);                                                              \
    __attribute__((constructor)) static void vt_register_##name(void) {                            \
        vt_register(#name, vt_test_##name);                                                        \
    }                                                                                              \
    static void vt_test_##name(void)

#define VT_CHECK(claim) ((claim) ? (void)0 : vt_fail(__FILE__, __LINE__, "not so: %s", #claim))

/* Two whole numbers, printed when they differ. */
#define VT_EQ(found, expected)                                                                     \
    do {                                                                                           \
        long long vt_found = (long long)(found), vt_expected = (long long)(expected);              \
        if (vt_found != vt_expected)                                                               \
            vt_fail(__FILE__, __LINE__, "%s is %lld, expected %lld", #found, vt_found,             \
                    vt_expected);                                                                  \
    } while (0)

#define VT_STR(found, expected)                                                                    \
    do {                                                                                           \
        const char *vt_found = (found), *vt_expected = (expected);                                 \
        if (strcmp(vt_found, vt_expected))                                                         \
            vt_fail(__FILE__, __LINE__, "%s is '%s', expected '%s'", #found, vt_found,             \
                    vt_expected);                                                                  \
    } while (0)

#define VT_CONTAINS(found, part)                                                                   \
    do {                                                                                           \
        const char *vt_found = (found), *vt_part = (part);                                         \
        if (!strstr(vt_found, vt_part))                                                            \
            vt_fail(__FILE__, __LINE__, "%s is '%s', expected it to contain '%s'", #found,         \
                    vt_found, vt_part);                                                            \
    } while (0)

/* A call that must succeed; prints the message of the handle given. */
#define VT_OK(call, handle)                                                                        \
    do {                                                                                           \
        int vt_status = (call);                                                                    \
        if (vt_status != 0)                                                                        \
            vt_fail(__FILE__, __LINE__, "%s returned %d: %s", #call, vt_status,                    \
                    vs_errmsg(handle));                                                            \
    } while (0)

/* ---- random numbers ------------------------------------------------------------------------- */

typedef struct vt_rng {
    uint64_t state;
} vt_rng;

uint64_t vt_seed(void); /* VT_SEED, or a fixed number */
uint64_t vt_random(vt_rng *rng);
uint64_t vt_below(vt_rng *rng, uint64_t n); /* 0 .. n - 1 */
double vt_uniform(vt_rng *rng);             /* [0, 1) */
uint64_t vt_mix(uint64_t value);            /* a hash of one number */

/* ---- files ---------------------------------------------------------------------------------- */

/* A path in this program's scratch folder, which is empty at the start and removed at the end. */
const char *vt_scratch(const char *name);
/* The folder of real data, or a skip with one line. */
const char *vt_data(const char *folder);
void vt_write_file(const char *path, const void *data, size_t bytes);
uint8_t *vt_read_file(const char *path, size_t *out_bytes); /* malloc */

/* ---- an allocator that fails ---------------------------------------------------------------- */

typedef struct vt_allocator {
    uint64_t calls;      /* that ask for memory */
    uint64_t fail_at;    /* the call that fails, from 1; 0: none */
    bool fails_for_ever; /* and all after it */
    uint64_t failures;
    uint64_t live_bytes, live_blocks;
} vt_allocator;

void *vt_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes);

/* A number as a key. */
#define VT_KEY(of) ((vs_key){.number = (of)})

/* A scan's range that begins with the key of a number. */
#define VT_FROM(from)                                                                              \
    &(vs_range) {                                                                                  \
        sizeof(vs_range), NULL, &(vs_key){.number = (from)}, NULL, NULL                            \
    }

#endif
