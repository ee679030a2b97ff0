/* pages.c - what pages of 2 MiB give: memory is filled and read from end to end, in small pages and in large ones,
 * turn by turn; medians.
 *
 *   taskset -c 1 build/bench/pages [MIB] [ROUNDS]
 *
 * Reading adds two words of each line of 64 bytes, three times over. */
#define _DEFAULT_SOURCE 1
#include "bench.h"
#include <sys/mman.h>

#ifndef MADV_HUGEPAGE
int main(void) {
    return printf("no large pages for the asking here\n") < 0;
}
#else

enum { LARGE = 2 << 20, ROUNDS_MAX = 99, PASSES = 3 };

typedef struct figures {
    double fill_ms[ROUNDS_MAX], read_gb[ROUNDS_MAX];
} figures;

static void measure(size_t bytes, int advice, double *fill_ms, double *read_gb) {
    uint8_t *mapped =
        mmap(NULL, bytes + LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED)
        exit(1);
    uint8_t *first = mapped + (size_t)(0 - (uintptr_t)mapped) % LARGE;
    volatile uint64_t kept = 0;
    uint64_t sum = 0;
    madvise(first, bytes, advice);
    double start = seconds_of(CLOCK_MONOTONIC);
    memset(first, 1, bytes);
    double filled = seconds_of(CLOCK_MONOTONIC);
    for (int pass = 0; pass < PASSES; pass++)
        for (size_t at = 0; at < bytes; at += 64)
            sum += *(uint64_t *)(void *)(first + at) + *(uint64_t *)(void *)(first + at + 32);
    double read = seconds_of(CLOCK_MONOTONIC);
    kept = sum;
    (void)kept;
    *fill_ms = (filled - start) * 1e3;
    *read_gb = PASSES * (double)bytes / (read - filled) / 1e9;
    munmap(mapped, bytes + LARGE);
}

int main(int argc, char **argv) {
    static figures small, large;
    size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 188) << 20;
    size_t rounds = (size_t)(argc > 2 ? atoi(argv[2]) : 15);
    if (!bytes || !rounds || rounds > ROUNDS_MAX)
        return 1;
    for (size_t i = 0; i < rounds; i++) {
        measure(bytes, MADV_NOHUGEPAGE, &small.fill_ms[i], &small.read_gb[i]);
        measure(bytes, MADV_HUGEPAGE, &large.fill_ms[i], &large.read_gb[i]);
    }
    printf("small pages: filled in %.1f ms, read at %.1f GB/s\n", median(small.fill_ms, rounds),
           median(small.read_gb, rounds));
    printf("large pages: filled in %.1f ms, read at %.1f GB/s\n", median(large.fill_ms, rounds),
           median(large.read_gb, rounds));
    return 0;
}
#endif
