/* codec.c - what compressing large values saves, and what it takes: text from the standard input, cut into
 * values as vecstore stores them, by levels of zstd.
 *
 *   zstd -dc meta.jsonl.zst | build/bench/codec
 *
 * Pages are what counts: an extent has whole ones. A context is made for each value that is read, and one for
 * all that are written, as the library does. */
#ifdef VS_OMIT_ZSTD
#include <stdio.h>
int main(void) {
    return printf("no zstd in this build\n") < 0;
}
#else

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { INPUT_MAX = 8 << 20, VALUE_MAX = 1 << 20, PAGE = 4096, HEADER = 8 };

static char input[INPUT_MAX], packed[2 * VALUE_MAX], value[VALUE_MAX];
static size_t in_use, most;

/* Counts; in front of each block stands its size. */
static void *count_alloc(void *ctx, size_t bytes) {
    max_align_t *block = malloc(sizeof *block + bytes);
    (void)ctx;
    if (!block)
        return NULL;
    *(size_t *)(void *)block = bytes;
    in_use += bytes;
    most = in_use > most ? in_use : most;
    return block + 1;
}

static void count_free(void *ctx, void *ptr) {
    max_align_t *block = ptr ? (max_align_t *)ptr - 1 : NULL;
    (void)ctx;
    if (block)
        in_use -= *(size_t *)(void *)block;
    free(block);
}

static const ZSTD_customMem counted = {count_alloc, count_free, NULL};

static double seconds(void) {
    return (double)clock() / CLOCKS_PER_SEC;
}

static size_t pages_of(size_t stored) {
    return (stored + HEADER + PAGE - 1) / PAGE;
}

static size_t unpack(size_t stored) {
    ZSTD_DCtx *ctx = ZSTD_createDCtx_advanced(counted);
    size_t got = ZSTD_decompressDCtx(ctx, value, sizeof value, packed, stored);
    ZSTD_freeDCtx(ctx);
    return got;
}

static void measure(size_t input_bytes, size_t value_bytes, int level) {
    size_t count = input_bytes / value_bytes, pages = 0, write_most = 0;
    double write_s = 0, read_s = 0;
    ZSTD_CCtx *ctx = ZSTD_createCCtx_advanced(counted);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_compressionLevel, level);
    most = in_use;
    for (size_t i = 0; i < count; i++) {
        double start = seconds();
        size_t stored =
            ZSTD_compress2(ctx, packed, sizeof packed, input + i * value_bytes, value_bytes);
        double middle = seconds();
        write_most = i ? write_most : most;
        if (ZSTD_isError(stored) || unpack(stored) != value_bytes)
            abort();
        read_s += seconds() - middle;
        write_s += middle - start;
        pages += pages_of(stored);
    }
    ZSTD_freeCCtx(ctx);
    printf("| %zu | %d | %.3f | %.0f us | %.0f us | %zu KiB |\n", value_bytes, level,
           (double)pages / (double)(count * pages_of(value_bytes)), write_s * 1e6 / (double)count,
           read_s * 1e6 / (double)count, write_most >> 10);
}

int main(void) {
    static const size_t sizes[] = {4608, 8192, 16384, 65536, VALUE_MAX};
    static const int levels[] = {-1, 1, 3, 6, 9};
    size_t bytes = fread(input, 1, sizeof input, stdin);
    printf("| value | level | pages of raw | write | read | memory of a writer |\n");
    printf("|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t k = 0; bytes >= sizes[i] && k < sizeof levels / sizeof levels[0]; k++)
            measure(bytes, sizes[i], levels[k]);
    return 0;
}
#endif
