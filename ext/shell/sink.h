/* sink.h - a file that is written: plain or compressed, and there under its name only when it is whole. */
#ifndef SHELL_SINK_H
#define SHELL_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { SINK_WHY_BYTES = 256 };

typedef struct sink sink;

/* Opens a file under another name, beside path; one that ends with .zst is compressed. - is standard, which
 * stays open. NULL: see why. */
sink *sink_open(const char *path, FILE *standard, char why[SINK_WHY_BYTES]);
/* A failure is kept until sink_finish tells it. */
void sink_write(sink *s, const void *bytes, size_t count);
/* Why writing has failed, so that there is no use in going on; NULL: it has not. */
const char *sink_error(const sink *s);
/* Completes the file and gives it its name. False: see why, and there is no new file. s is gone. */
bool sink_finish(sink *s, char why[SINK_WHY_BYTES]);
void sink_discard(sink *s); /* NULL is allowed */

#endif
