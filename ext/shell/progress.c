/* progress.c - how far a long command is. */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void progress_start(progress *p, bool is_wanted, double part) {
    *p = (progress){is_wanted && isatty(STDERR_FILENO), now_s(), 0, part};
}

/* ", 1:05 left", when it can be told. */
static void print_left(const progress *p, double seconds, double part) {
    if (part <= p->start_part)
        return;
    double left = seconds / (part - p->start_part) * (1 - part);
    if (left < 360000)
        fprintf(stderr, ", %lu:%02lu left", (unsigned long)left / 60, (unsigned long)left % 60);
}

void progress_show(progress *p, uint64_t rows, uint64_t rows_now, double part, bool is_last) {
    static const double first_s = 2, again_s = 0.2;
    double now = now_s(), seconds = now - p->started_s;
    if (!p->is_shown || (!is_last && (seconds < first_s || now - p->shown_s < again_s)))
        return;
    p->shown_s = now;
    fprintf(stderr, "\r%llu rows, %.0f rows/s", (unsigned long long)rows,
            (double)rows_now / (seconds + 1e-9));
    if (!is_last)
        print_left(p, seconds, part);
    fputs(is_last ? "               \n" : "   ", stderr);
}
