/* shell.h - what the parts of the vecstore command share.
 *
 * stdout carries data, stderr messages. Exit codes: 0 done, 1 failed, 2 wrong usage. */
#ifndef SHELL_H
#define SHELL_H

#include "vecstore.h"
#include <stdbool.h>
#include <stdio.h>

enum { SHELL_OK = 0, SHELL_FAILED = 1, SHELL_USAGE = 2 };

/* ---- main.c: the command line --------------------------------------------------------------- */

enum { SHELL_ARGS_MAX = 8, SHELL_OPTIONS_MAX = 16 };

/* One option that a command takes; all options take a value. */
typedef struct shell_option {
    const char *name;  /* "--dim" */
    const char *value; /* as given, or NULL */
} shell_option;

/* A parsed command line. Strings are those of main's argv. */
typedef struct shell_call {
    const char *file; /* the database */
    const char *command;
    const char *arg[SHELL_ARGS_MAX]; /* positional arguments behind the command */
    int arg_count;
    shell_option option[SHELL_OPTIONS_MAX];
    int option_count;
} shell_call;

/* The value of an option, or NULL when it was not given. */
const char *shell_value(const shell_call *call, const char *name);
/* The same as a whole number in [low, high]; exits the process with a usage message otherwise. */
uint64_t shell_number(const shell_call *call, const char *name, uint64_t otherwise, uint64_t low,
                      uint64_t high);
/* Which of the words (NULL-terminated) the option has, 0 when it was not given; exits otherwise. */
int shell_word(const shell_call *call, const char *name, const char *const *words);

/* A message to stderr, "vecstore: COMMAND: ..."; returns SHELL_FAILED. */
int shell_fail(const shell_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, ending the process with SHELL_USAGE. */
_Noreturn void shell_usage(const shell_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Opens the database; on failure says why and returns NULL. */
vs_db *shell_open(const shell_call *call, uint32_t flags);
/* Closes it; returns result, or SHELL_FAILED with a message when closing fails. */
int shell_close(const shell_call *call, vs_db *db, int result);

void *shell_alloc(size_t bytes); /* ends the process when there is no memory */
void *shell_realloc(void *ptr, size_t bytes);

/* ---- the commands --------------------------------------------------------------------------- */

int shell_create(const shell_call *call);
int shell_import(const shell_call *call);
int shell_search(const shell_call *call);
int shell_recall(const shell_call *call);
int shell_bench(const shell_call *call);
int shell_info(const shell_call *call);
int shell_check(const shell_call *call);

#endif
