/* dot.h - the commands that begin with a dot: the state of the shell. */
#ifndef SHELL_DOT_H
#define SHELL_DOT_H

#include "shell.h"

/* Runs words[0]; words end with NULL. SHELL_... */
int dot_run(shell *sh, const char *const *words);
/* The names one by one; NULL behind the last one. */
const char *dot_at(size_t at);
/* Whether it is set on or off. */
bool dot_is_switch(const char *name);
/* Whether a word is ":name", a parameter's. */
bool dot_is_param(const char *word);
/* Says what one of them does; name NULL: all of them. SHELL_... */
int dot_help(shell *sh, const char *name);

#endif
