/* session.h - many commands: at the prompt, from a pipe, from a script. */
#ifndef SHELL_SESSION_H
#define SHELL_SESSION_H

#include "shell.h"

/* The commands of stdin. The exit code. */
int session_run(shell *sh);
/* The commands of a file, as .read. SHELL_... */
int session_read(shell *sh, const char *path);
/* What a shell owns; its database is closed already. */
void session_free(shell *sh);

/* Closes where data went, unless it is stdout or NULL, and sets it NULL. False: what was written is not there. */
bool session_close_output(FILE **file);

#endif
