/* interrupt.h - Ctrl-C in a session: ends what runs, not the process. */
#ifndef SHELL_INTERRUPT_H
#define SHELL_INTERRUPT_H

#include "vecstore.h"
#include <stdbool.h>

typedef struct shell_interrupts shell_interrupts;

/* From now on SIGINT is taken by a thread of its own. NULL: that cannot be had, SIGINT ends the process. */
shell_interrupts *interrupt_start(void);

/* The functions below accept NULL. */

/* The database whose searches are to be ended; NULL: none. */
void interrupt_watch(shell_interrupts *in, vs_db *db);
/* A command begins: forgets earlier interrupts. While it runs a second Ctrl-C ends the process. */
void interrupt_begin(shell_interrupts *in);
void interrupt_end(shell_interrupts *in);
/* Whether Ctrl-C was pressed since the last interrupt_begin. */
bool interrupt_came(shell_interrupts *in);
/* A file descriptor that can be read when Ctrl-C was pressed while no command ran, or -1. */
int interrupt_fd(const shell_interrupts *in);
/* Takes what makes it readable. */
void interrupt_drain(const shell_interrupts *in);

#endif
