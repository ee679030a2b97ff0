/* bench.h - what all programs of bench/ need: calls that must succeed, clocks, figures about the process.
 *
 * The program's first lines define what the system's headers are to offer (clock_gettime). */
#ifndef BENCH_H
#define BENCH_H

#include "vecstore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Ends the program unless a call succeeded. */
static inline void need(vs_status st, const void *handle) {
    if (st == VS_OK)
        return;
    fprintf(stderr, "%s: %s\n", vs_status_name(st), vs_errmsg(handle));
    exit(1);
}

static inline double seconds_of(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* For qsort of doubles. */
static inline int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts them. */
static inline double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, by_size);
    return values[n / 2];
}

/* A line of /proc/self/status, in KiB; 0 elsewhere. */
static inline uint64_t status_kib(const char *name) {
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
            sscanf(line + strlen(name) + 1, "%llu", &kib);
    if (file)
        fclose(file);
    return kib;
}

#endif
