/* lines.c - lines of any length. */
#define _POSIX_C_SOURCE 200809L
#include "lines.h"
#include "shell.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINES_READ_BYTES = 1 << 16 };

void lines_begin(lines *out_lines, int fd, int wake_fd) {
    *out_lines = (lines){.fd = fd, .wake_fd = wake_fd, .room = LINES_READ_BYTES};
    out_lines->text = shell_alloc(LINES_READ_BYTES);
}

void lines_free(lines *l) {
    free(l->text);
    l->text = NULL;
}

void lines_drop(lines *l) {
    l->at = l->end = 0;
}

/* Waits until there is something to read. */
static int wait_for(const lines *l) {
    struct pollfd fds[2] = {{l->fd, POLLIN, 0}, {l->wake_fd, POLLIN, 0}};
    while (poll(fds, l->wake_fd < 0 ? 1 : 2, -1) < 0)
        if (errno != EINTR)
            return LINES_FAILED;
    return l->wake_fd >= 0 && fds[1].revents ? LINES_INTERRUPTED : LINES_LINE;
}

/* Reads more behind end. */
static int read_more(lines *l) {
    int st = wait_for(l);
    if (st != LINES_LINE)
        return st;
    memmove(l->text, l->text + l->at, l->end - l->at);
    l->end -= l->at;
    l->at = 0;
    if (l->room - l->end < LINES_READ_BYTES) {
        l->room = 2 * l->room + LINES_READ_BYTES;
        l->text = shell_realloc(l->text, l->room);
    }
    ssize_t n = read(l->fd, l->text + l->end, LINES_READ_BYTES);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? LINES_LINE : LINES_FAILED;
    l->end += (size_t)n;
    l->is_end = n == 0;
    return LINES_LINE;
}

int lines_next(lines *l, const char **out_text, size_t *out_bytes) {
    size_t looked = 0;
    for (;;) {
        size_t left = l->end - l->at - looked;
        const char *found = left ? memchr(l->text + l->at + looked, '\n', left) : NULL;
        looked += left;
        if (found || l->is_end) {
            size_t end = found ? (size_t)(found - l->text) : l->end;
            *out_text = l->text + l->at;
            *out_bytes = end - l->at;
            bool is_line = found || end > l->at;
            l->at = found ? end + 1 : end;
            return is_line ? LINES_LINE : LINES_END;
        }
        int st = read_more(l);
        if (st != LINES_LINE)
            return st;
    }
}
