/* shell.h - what the parts of the vecstore command share: calls, the session that they belong to, messages.
 *
 * stdout carries data, stderr messages. Exit codes: 0 done, 1 failed, 2 wrong usage. */
#ifndef SHELL_H
#define SHELL_H

#include "vecstore.h"
#include <stdbool.h>
#include <stdio.h>

enum { SHELL_OK = 0, SHELL_FAILED = 1, SHELL_USAGE = 2 };

/* ---- commands ------------------------------------------------------------------------------- */

enum {
    OPTION_TEXT,
    OPTION_NUMBER,
    OPTION_REAL,
    OPTION_WORD,
    OPTION_SWITCH,
    OPTION_LIST /* a text, and the option may be given several times */
};

/* One option that a command takes. A list of them ends with one without a name. */
typedef struct option_spec {
    const char *name;  /* "--dim" */
    int kind;          /* OPTION_... */
    const char *value; /* what it takes, as the usage calls it; of words and switches NULL */
    const char *help;
    const char *const *words; /* of OPTION_WORD, ends with NULL */
    uint64_t low, high;       /* of OPTION_NUMBER */
    const char *needed;       /* why there is no default; NULL: the option may be left out */
} option_spec;

enum { SHELL_OPTIONS_MAX = 32, SHELL_ANY_ARGS = 1 << 20 };

/* One option that was given, checked against its specification. */
typedef struct shell_option {
    const char *name;
    const char *value; /* of a switch "" */
} shell_option;

typedef struct shell shell;
typedef struct shell_command shell_command;

/* A parsed command. Strings are borrowed for the time it runs. */
typedef struct shell_call {
    shell *shell;
    const shell_command *command;
    const char **arg; /* [arg_count] positional arguments */
    int arg_count;
    shell_option option[SHELL_OPTIONS_MAX];
    int option_count;
} shell_call;

enum {
    COMMAND_IN_SESSIONS = 1, /* has a meaning only at the prompt and in scripts */
    COMMAND_COMMITS = 2,     /* commits by itself, so not between begin and commit */
    COMMAND_NO_FILE = 4,     /* needs no database */
    COMMAND_COLLECTION = 8   /* its first argument is a collection that exists */
};

struct shell_command {
    const char *name;
    int (*run)(const shell_call *call); /* SHELL_... */
    const char *args;                   /* "COLLECTION KEY..." as the usage has it, or "" */
    int args_min, args_max;
    unsigned flags; /* COMMAND_... */
    const char *brief;
    const char *help; /* sentences, lines of at most 100 bytes */
    const option_spec *options;
};

/* The value of an option, or NULL when it was not given. */
const char *shell_value(const shell_call *call, const char *name);
/* Those of an option that was given several times, from 0 on; NULL: there are not so many. */
const char *shell_value_at(const shell_call *call, const char *name, int at);
/* The same as a whole number, as a number, as the place of its word (0: not given). */
uint64_t shell_number(const shell_call *call, const char *name, uint64_t otherwise);
double shell_real(const shell_call *call, const char *name, double otherwise);
int shell_word(const shell_call *call, const char *name, const char *const *words);

/* A message to stderr, "vecstore: COMMAND: ..."; returns SHELL_FAILED. */
int shell_fail(const shell_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same with the command's usage behind it; returns SHELL_USAGE. */
int shell_usage(const shell_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A message that is no failure. */
void shell_say(const shell_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void *shell_alloc(size_t bytes); /* ends the process when there is no memory */
void *shell_realloc(void *ptr, size_t bytes);
char *shell_copy(const char *text); /* malloc'd */

/* ---- the session ---------------------------------------------------------------------------- */

/* What the dot commands set. */
typedef struct shell_settings {
    int mode; /* ROWS_...; 0: by where the data go */
    bool has_headers, has_timer, has_progress, has_vectors, is_echoing, is_bailing;
    uint64_t limit; /* rows where a command does not say how many; 0: the command's default */
} shell_settings;

/* The database, kept open from one command to the next; see store.h. */
typedef struct shell_store {
    vs_db *db;      /* NULL: not open */
    uint32_t flags; /* as it was opened */
    int compression;
    uint64_t memory_limit;
    vs_txn *txn; /* between begin and commit, or NULL */
    char **savepoint;
    size_t savepoint_count; /* names of the open ones, "" without; number 1 at place 0 */
} shell_store;

/* A text that scripts use as :NAME. */
typedef struct shell_param {
    char *name, *text;
} shell_param;

struct shell_interrupts; /* interrupt.h */

struct shell {
    char *file;      /* the database; owned */
    bool is_session; /* the prompt or a script, not one command of a command line */
    shell_settings set;
    shell_store store;
    shell_param *param;
    size_t param_count;
    FILE *out, *once; /* where data go: stdout or a file; once: the next command's alone, or NULL */
    const char *source; /* the script that runs, for messages; NULL: none */
    unsigned long line;
    int script_depth;
    struct shell_interrupts *interrupts; /* NULL: Ctrl-C ends the process */
    bool is_interrupted;                 /* Ctrl-C ends the scripts that run */
    bool is_ending;                      /* .exit was said */
    int exit_code;
};

/* Where the data of the running command go. */
FILE *shell_out(const shell *sh);

#endif
