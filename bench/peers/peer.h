/* peer.h - how a library's exact search is measured: the same for vecstore and its peers, in C and C++.
 *
 *   PROGRAM build  BASE.fvecs STORE METRIC                                makes what search opens, if there is such a thing
 *   PROGRAM search BASE.fvecs STORE METRIC QUERIES.fvecs K COUNT OUT      prints a line for each mode, and writes the
 *                                                                         rows that were found to OUT.MODE.ivecs
 *
 * METRIC is l2 or cosine. Modes: one (COUNT queries, one after the other, as many as fit into ONE_SECONDS) and, where the library has
 * calls for many queries, batch (COUNT at once, the median of some calls). Lines: MODE QUERIES QPS P50_US P99_US. */
#ifndef PEER_H
#define PEER_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ONE_SECONDS = 4, BATCH_SECONDS = 2, BATCH_CALLS_MAX = 7, WARMUP_QUERIES = 10 };

typedef struct peer_rows {
    uint32_t dim;
    size_t count;
    float *data;
} peer_rows;

/* What a library provides; state is its own. All end the program when they fail. */
typedef struct peer {
    void (*build)(const peer_rows *base, const char *store,
                  const char *metric); /* NULL: nothing to build */
    void *(*open)(const peer_rows *base, const char *store, const char *metric);
    /* ids [count x k]: the nearest rows, -1 where there are no more. */
    void (*search)(void *state, const float *queries, size_t count, size_t k, int64_t *ids);
    int has_batch;  /* search takes many queries in one call of the library's */
    int wants_base; /* open has rows; otherwise only their dimension */
    int wants_unit; /* the library has no cosine: rows and queries are normalized before */
} peer;

static void peer_fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static double peer_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* At most so many rows; 0: only the dimension. */
static peer_rows peer_read(const char *path, size_t most) {
    peer_rows rows = {0, 0, NULL};
    FILE *file = fopen(path, "rb");
    uint32_t dim = 0;
    if (!file || fread(&rows.dim, 4, 1, file) != 1 || fseek(file, 0, SEEK_END))
        peer_fail(path, "cannot be read");
    size_t row_bytes = 4 + 4 * (size_t)rows.dim, there = (size_t)ftell(file) / row_bytes;
    rows.count = there < most ? there : most;
    rows.data = (float *)malloc(rows.count * rows.dim * 4 + 1);
    rewind(file);
    for (size_t i = 0; i < rows.count; i++)
        if (fread(&dim, 4, 1, file) != 1 || dim != rows.dim ||
            fread(rows.data + i * dim, 4, dim, file) != dim)
            peer_fail(path, "rows differ in size");
    fclose(file);
    return rows;
}

/* To length one; zero vectors stay. */
static void peer_normalize(peer_rows *rows) {
    for (size_t i = 0; i < rows->count; i++) {
        float *row = rows->data + i * rows->dim;
        double sum = 0;
        for (uint32_t j = 0; j < rows->dim; j++)
            sum += (double)row[j] * (double)row[j];
        for (uint32_t j = 0; j < rows->dim && sum > 0; j++)
            row[j] = (float)((double)row[j] / sqrt(sum));
    }
}

static int peer_by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void peer_write(const char *out, const char *mode, const int64_t *ids, size_t count,
                       size_t k) {
    char path[4096];
    snprintf(path, sizeof path, "%s.%s.ivecs", out, mode);
    FILE *file = fopen(path, "wb");
    if (!file)
        peer_fail(path, "cannot be written");
    for (size_t i = 0; i < count; i++) {
        int32_t columns = (int32_t)k;
        fwrite(&columns, 4, 1, file);
        for (size_t j = 0; j < k; j++) {
            int32_t id = (int32_t)ids[i * k + j];
            fwrite(&id, 4, 1, file);
        }
    }
    if (fclose(file))
        peer_fail(path, "cannot be written");
}

/* Seconds of each call; sorted afterwards. */
static void peer_print(const char *mode, size_t queries, size_t calls, double *seconds) {
    double total = 0;
    for (size_t i = 0; i < calls; i++)
        total += seconds[i];
    qsort(seconds, calls, sizeof *seconds, peer_by_size);
    double qps = calls == queries ? (double)queries / total : (double)queries / seconds[calls / 2];
    printf("%s %zu %.2f %.1f %.1f\n", mode, queries, qps, seconds[calls / 2] * 1e6,
           seconds[calls - 1 - calls / 100] * 1e6);
}

static void peer_one(const peer *p, void *state, const peer_rows *q, size_t k, const char *out) {
    int64_t *ids = (int64_t *)malloc(q->count * k * sizeof *ids);
    double *seconds = (double *)malloc(q->count * sizeof *seconds), total = 0;
    size_t n = 0;
    for (size_t i = 0; i < WARMUP_QUERIES && i < q->count; i++)
        p->search(state, q->data + (q->count - 1 - i) * q->dim, 1, k, ids);
    for (; n < q->count && total < ONE_SECONDS; n++) {
        double start = peer_now();
        p->search(state, q->data + n * q->dim, 1, k, ids + n * k);
        seconds[n] = peer_now() - start;
        total += seconds[n];
    }
    peer_print("one", n, n, seconds);
    peer_write(out, "one", ids, n, k);
    free(seconds);
    free(ids);
}

static void peer_batch(const peer *p, void *state, const peer_rows *q, size_t k, const char *out) {
    int64_t *ids = (int64_t *)malloc(q->count * k * sizeof *ids);
    double seconds[BATCH_CALLS_MAX], total = 0;
    size_t n = 0;
    p->search(state, q->data, q->count, k, ids); /* to warm up */
    for (; n < BATCH_CALLS_MAX && (n < 2 || total < BATCH_SECONDS); n++) {
        double start = peer_now();
        p->search(state, q->data, q->count, k, ids);
        seconds[n] = peer_now() - start;
        total += seconds[n];
    }
    peer_print("batch", q->count, n, seconds);
    peer_write(out, "batch", ids, q->count, k);
    free(ids);
}

static int peer_main(const peer *p, int argc, char **argv) {
    int is_build = argc == 5 && !strcmp(argv[1], "build");
    if (!is_build && (argc != 9 || strcmp(argv[1], "search") != 0))
        peer_fail("arguments", "as peer.h says");
    if (is_build && !p->build)
        return 0;
    peer_rows base = peer_read(argv[2], is_build || p->wants_base ? SIZE_MAX : 0);
    int is_unit = p->wants_unit && !strcmp(argv[4], "cosine");
    if (is_unit)
        peer_normalize(&base);
    if (is_build) {
        p->build(&base, argv[3], argv[4]);
        return 0;
    }
    peer_rows queries = peer_read(argv[5], strtoul(argv[7], NULL, 10));
    size_t k = strtoul(argv[6], NULL, 10);
    if (is_unit)
        peer_normalize(&queries);
    void *state = p->open(&base, argv[3], argv[4]);
    peer_one(p, state, &queries, k, argv[8]);
    if (p->has_batch)
        peer_batch(p, state, &queries, k, argv[8]);
    return 0;
}

#endif
