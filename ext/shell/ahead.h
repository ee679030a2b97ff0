/* ahead.h - batches of a source, the next one read while the one before is written. */
#ifndef SHELL_AHEAD_H
#define SHELL_AHEAD_H

#include "reader.h"

/* Some rows of the source, and what became of the others. */
typedef struct ahead_load {
    batch batch;
    uint64_t rows;   /* of the source, up to the end of this batch */
    double part;     /* of the source, as reader_part has it */
    bool is_end;     /* nothing follows it */
    bool has_failed; /* reading ended; see why */
    char why[READER_WHY_BYTES];
    uint64_t refused; /* rows that are not what they should be */
    buffer refusals;  /* why, a line each */
} ahead_load;

typedef struct ahead ahead;

/* Begins reading; nobody else uses the source until ahead_stop. first [1] was initialized, has its columns and room; it
 * becomes one of the batches. is_strict: the first row that is refused is a failure. */
ahead *ahead_start(reader *source, batch *first, bool is_strict);
/* The next batch, until the next call; none behind the end or a failure. */
ahead_load *ahead_next(ahead *a);
void ahead_stop(ahead *a); /* NULL is allowed */

#endif
