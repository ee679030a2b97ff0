/* edit.h - editing the lines of a terminal, with history and completion: libedit, where it is built in. */
#ifndef SHELL_EDIT_H
#define SHELL_EDIT_H

#include "shell.h"

typedef struct editor editor;

/* NULL: this build has none, or the terminal is none for it. */
editor *editor_new(shell *sh);
/* Writes the history; NULL is allowed. */
void editor_free(editor *e);
/* A line without its line feed, valid until the next call; LINES_... */
int editor_line(editor *e, const char *prompt, const char **out_text, size_t *out_bytes);

#endif
