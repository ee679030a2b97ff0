/* complete.h - what a word that is being typed may become. */
#ifndef SHELL_COMPLETE_H
#define SHELL_COMPLETE_H

#include "shell.h"

typedef struct completion {
    char **candidate; /* [count] whole words; owned */
    size_t count;
    char *insert; /* what all of them have behind the cursor; "" when they differ there. Owned */
} completion;

/* The word that ends behind the first bytes of a line: commands and dot commands where one begins, behind them
 * collections, aliases and options, and what an option or a dot command takes: words, fields, savepoints,
 * parameters, files. */
void complete(shell *sh, const char *line, size_t bytes, completion *out);
void completion_free(completion *c);

#endif
