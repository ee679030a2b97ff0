/* edit.c - editing lines. */
#include "edit.h"
#include <stddef.h>

#ifndef SHELL_LIBEDIT

editor *editor_new(shell *sh) {
    (void)sh;
    return NULL;
}

void editor_free(editor *e) {
    (void)e;
}

int editor_line(editor *e, const char *prompt, const char **out_text, size_t *out_bytes) {
    (void)e;
    (void)prompt;
    (void)out_text;
    (void)out_bytes;
    return 0; /* there is no editor to ask */
}

#endif
