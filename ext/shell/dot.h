/* dot.h - the commands that begin with a dot: the state of the shell. */
#ifndef SHELL_DOT_H
#define SHELL_DOT_H

#include "shell.h"

/* Runs words[0]; words end with NULL. SHELL_... */
int dot_run(shell *sh, const char *const *words);
/* The names one by one; NULL behind the last one. */
const char *dot_at(size_t at);
/* Whether a word is ":name", a parameter's. */
bool dot_is_param(const char *word);
/* A list of them. */
void dot_help(FILE *out);

#endif
