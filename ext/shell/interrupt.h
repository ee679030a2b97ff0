/* interrupt.h - Ctrl-C in a session: ends what runs, not the process. */
#ifndef SHELL_INTERRUPT_H
#define SHELL_INTERRUPT_H

#include "vecstore.h"
#include <stdbool.h>

typedef struct shell_interrupts shell_interrupts;

/* From now on SIGINT is taken by a thread of its own. NULL: that cannot be had, or
 * SIGINT is ignored; then it does what it did. */
shell_interrupts *interrupt_start(void);

/* The functions below accept NULL. */

/* The database whose searches are to be ended; NULL: none. */
void interrupt_watch(shell_interrupts *in, vs_db *db);
/* Something runs from now on, and not any more. Meanwhile Ctrl-C is noted; a second one ends the process. */
void interrupt_begin(shell_interrupts *in);
void interrupt_end(shell_interrupts *in);
/* Whether one was noted and not forgotten since. */
bool interrupt_came(shell_interrupts *in);
/* Nothing runs, and nothing came. */
void interrupt_forget(shell_interrupts *in);
/* A file descriptor that can be read when Ctrl-C was pressed while no command ran, or -1. */
int interrupt_fd(const shell_interrupts *in);
/* Takes what makes it readable. */
void interrupt_drain(const shell_interrupts *in);

#endif
