/* vt.c - the test harness. */
#define _XOPEN_SOURCE 700
#include "vt.h"
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VT_TESTS_MAX = 512, VT_PATH_BYTES = 1024 };

typedef struct vt_test {
    const char *name;
    vt_function *function;
} vt_test;

static vt_test vt_tests[VT_TESTS_MAX];
static int vt_count;
static jmp_buf vt_escape;
static char vt_folder[VT_PATH_BYTES];
static const char *vt_at_what;
static uint64_t vt_at_number;

enum { VT_PASSED = 0, VT_FAILED = 1, VT_SKIPPED = 2 };

void vt_register(const char *name, vt_function *function) {
    if (vt_count == VT_TESTS_MAX)
        abort();
    vt_tests[vt_count++] = (vt_test){name, function};
}

void vt_at(const char *what, uint64_t number) {
    vt_at_what = what;
    vt_at_number = number;
}

_Noreturn void vt_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (seed %" PRIu64, vt_seed());
    if (vt_at_what)
        fprintf(stderr, ", %s %" PRIu64, vt_at_what, vt_at_number);
    fprintf(stderr, ")\n");
    va_end(args);
    longjmp(vt_escape, VT_FAILED);
}

_Noreturn void vt_skip(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "skipped: ");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    longjmp(vt_escape, VT_SKIPPED);
}

/* ---- random numbers ------------------------------------------------------------------------- */

uint64_t vt_seed(void) {
    const char *text = getenv("VT_SEED");
    return text ? strtoull(text, NULL, 0) : 20261121;
}

/* splitmix64 (Vigna, public domain description at prng.di.unimi.it) */
uint64_t vt_mix(uint64_t value) {
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

uint64_t vt_random(vt_rng *rng) {
    rng->state += 0x9e3779b97f4a7c15u;
    return vt_mix(rng->state);
}

uint64_t vt_below(vt_rng *rng, uint64_t n) {
    return vt_random(rng) % n;
}

double vt_uniform(vt_rng *rng) {
    return (double)(vt_random(rng) >> 11) / 9007199254740992.0;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int vt_remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void vt_remove_scratch(void) {
    if (vt_folder[0])
        nftw(vt_folder, vt_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *vt_scratch(const char *name) {
    static char path[8][VT_PATH_BYTES + 256];
    static int next;
    if (!vt_folder[0]) {
        const char *base = getenv("VT_SCRATCH");
        snprintf(vt_folder, sizeof vt_folder, "%s/vt-XXXXXX", base ? base : "/tmp");
        if (!mkdtemp(vt_folder)) {
            perror(vt_folder);
            exit(2);
        }
        atexit(vt_remove_scratch);
    }
    char *out = path[next++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", vt_folder, name);
    return out;
}

const char *vt_data(const char *folder) {
    static char path[VT_PATH_BYTES];
    const char *base = getenv("VECSTORE_DATA");
    snprintf(path, sizeof path, "%s/%s", base ? base : "", folder);
    if (!base || !*base || access(path, R_OK))
        vt_skip("%s: no such real data (VECSTORE_DATA)", folder);
    return path;
}

void vt_write_file(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, bytes, f) != bytes || fclose(f))
        vt_fail(path, 1, "cannot be written");
}

uint8_t *vt_read_file(const char *path, size_t *out_bytes) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        vt_fail(path, 1, "cannot be read");
    size_t bytes = (size_t)ftell(f);
    uint8_t *data = malloc(bytes ? bytes : 1);
    rewind(f);
    if (!data || fread(data, 1, bytes, f) != bytes)
        vt_fail(path, 1, "cannot be read");
    fclose(f);
    *out_bytes = bytes;
    return data;
}

/* ---- an allocator that fails ---------------------------------------------------------------- */

void *vt_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    vt_allocator *a = ctx;
    if (new_bytes) {
        a->calls++;
        if (a->fail_at &&
            (a->calls == a->fail_at || (a->fails_for_ever && a->calls > a->fail_at))) {
            a->failures++;
            return NULL;
        }
    }
    a->live_bytes += new_bytes;
    a->live_bytes -= old_bytes;
    a->live_blocks += new_bytes && !ptr;
    a->live_blocks -= !new_bytes && ptr;
    if (!new_bytes) {
        free(ptr);
        return NULL;
    }
    /* A new place every time, so that stale pointers are found. */
    void *fresh = malloc(new_bytes);
    if (!fresh)
        abort();
    if (ptr) {
        memcpy(fresh, ptr, old_bytes < new_bytes ? old_bytes : new_bytes);
        free(ptr);
    }
    return fresh;
}

#ifndef VT_NO_MAIN /* programs with a command line of their own */

/* ---- running -------------------------------------------------------------------------------- */

static bool vt_is_wanted(const char *name, int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return argc < 2;
}

int main(int argc, char **argv) {
    static int result[3];
    static int at;
    bool is_verbose = getenv("VT_VERBOSE");
    const char *slash = strrchr(argv[0], '/');
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (at = 0; at < vt_count; at++) {
        if (!vt_is_wanted(vt_tests[at].name, argc, argv))
            continue;
        if (is_verbose)
            fprintf(stderr, "- %s\n", vt_tests[at].name);
        vt_at(NULL, 0);
        int outcome = setjmp(vt_escape);
        if (outcome == VT_PASSED)
            vt_tests[at].function();
        else if (outcome == VT_FAILED)
            fprintf(stderr, "FAILED %s\n", vt_tests[at].name);
        else
            fprintf(stderr, "  in %s\n", vt_tests[at].name);
        result[outcome]++;
    }
    printf("%s: %d passed, %d failed, %d skipped\n", slash ? slash + 1 : argv[0], result[VT_PASSED],
           result[VT_FAILED], result[VT_SKIPPED]);
    return result[VT_FAILED] ? 1 : 0;
}

#endif
