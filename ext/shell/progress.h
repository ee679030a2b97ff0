/* progress.h - how far a long command is: a line on a terminal that is written again and again. */
#ifndef SHELL_PROGRESS_H
#define SHELL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    bool is_shown; /* stderr is a terminal, and it is wanted */
    double started_s, shown_s;
    double start_part; /* what was done before it started, as progress_show has it */
} progress;

/* From now on; done: the part that was done before, 0 to 1. */
void progress_start(progress *p, bool is_wanted, double part);
/* rows in so much time, part of the whole 0 to 1, or below 0 when it is not known. Nothing is shown in
 * the first two seconds; is_last: always, and the line ends. */
void progress_show(progress *p, uint64_t rows, uint64_t rows_now, double part, bool is_last);

#endif
