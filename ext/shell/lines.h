/* lines.h - lines of any length from a file, a pipe or a terminal. */
#ifndef SHELL_LINES_H
#define SHELL_LINES_H

#include <stdbool.h>
#include <stddef.h>

enum { LINES_LINE, LINES_END, LINES_INTERRUPTED, LINES_FAILED };

typedef struct lines {
    int fd;      /* read from */
    int wake_fd; /* what ends the waiting, or -1 */
    char *text;  /* [at, end) is read and not given yet */
    size_t at, end, room;
    bool is_end;
} lines;

void lines_begin(lines *out_lines, int fd, int wake_fd);
void lines_free(lines *l); /* fd stays open */

/* The next line without its line feed, valid until the next call. LINES_... */
int lines_next(lines *l, const char **out_text, size_t *out_bytes);
/* Drops what was read: after an interrupt. */
void lines_drop(lines *l);

#endif
