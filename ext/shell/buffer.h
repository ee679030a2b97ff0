/* buffer.h - bytes that grow. */
#ifndef SHELL_BUFFER_H
#define SHELL_BUFFER_H

#include <stddef.h>

/* All zero: empty. */
typedef struct buffer {
    char *text; /* [bytes]; no NUL behind it */
    size_t bytes, room;
} buffer;

/* Room for so many bytes more, at the end; they do not count yet. */
char *buffer_reserve(buffer *b, size_t bytes);
void buffer_add(buffer *b, const void *bytes, size_t count);
void buffer_add_string(buffer *b, const char *text);
/* Frees the memory; the buffer is empty then. */
void buffer_free(buffer *b);

#endif
