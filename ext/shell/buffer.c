/* buffer.c - bytes that grow. */
#include "buffer.h"
#include "shell.h"
#include <stdlib.h>
#include <string.h>

char *buffer_reserve(buffer *b, size_t bytes) {
    if (!b->text || bytes > b->room - b->bytes) {
        b->room = 2 * (b->bytes + bytes) + 64;
        b->text = shell_realloc(b->text, b->room);
    }
    return b->text + b->bytes;
}

void buffer_add(buffer *b, const void *bytes, size_t count) {
    char *place = buffer_reserve(b, count);
    if (count)
        memcpy(place, bytes, count);
    b->bytes += count;
}

void buffer_add_string(buffer *b, const char *text) {
    buffer_add(b, text, strlen(text));
}

void buffer_free(buffer *b) {
    free(b->text);
    *b = (buffer){NULL, 0, 0};
}
