/* companion.h - files beside a file of vectors that have what it cannot hold: keys, metadata, labels; one for each row. */
#ifndef SHELL_COMPANION_H
#define SHELL_COMPANION_H

#include "batch.h"
#include "vecs.h"

enum { COMPANION_WHY_BYTES = 1400 };

typedef struct companions {
    const char *labels_path, *keys_path, *metadata_path; /* borrowed; NULL: none */
    FILE *labels;                                        /* a byte a row; or */
    vecs ids;                                            /* an ivecs, one or more numbers a row */
    stream *keys, *metadata;                             /* a line a row; metadata null: none */
    char why[COMPANION_WHY_BYTES];
} companions;

/* Opens the files whose paths are set. False: see why. companions_close also after a failure. */
bool companions_open(companions *c);
void companions_close(companions *c);

/* What belongs to row; false: there is nothing, or it is no key. */
bool companions_next(companions *c, batch *b, uint64_t row);
/* Whether nothing is left behind so many rows. */
bool companions_at_end(companions *c, uint64_t rows, const char *path);

#endif
