/* command.h - the table of commands, and how a line of words becomes a call. */
#ifndef SHELL_COMMAND_H
#define SHELL_COMMAND_H

#include "rows.h"
#include "shell.h"

/* Options of every command that prints rows. */
#define OPTION_MODE                                                                                \
    { "--mode", OPTION_WORD, NULL, "how rows are printed", rows_mode_names, 0, 0, NULL }
#define OPTION_VECTORS                                                                             \
    { "--vectors", OPTION_SWITCH, NULL, "print vectors whole", NULL, 0, 0, NULL }
/* How large a collection may become. */
#define OPTIONS_LIMITS                                                                             \
    {"--max-records", OPTION_NUMBER, "N", "more records are refused; 0: no limit", NULL, 0,        \
     UINT64_MAX,      NULL},                                                                       \
    {                                                                                              \
        "--max-bytes", OPTION_NUMBER, "N",                                                         \
            "more bytes of keys, vectors and metadata are refused; 0: no limit", NULL, 0,          \
            UINT64_MAX, NULL                                                                       \
    }
#define OPTIONS_END                                                                                \
    { NULL, 0, NULL, NULL, NULL, 0, 0, NULL }

/* The commands one by one; NULL behind the last one. */
const shell_command *command_at(size_t at);
const shell_command *command_find(const char *name);
/* The options that each command takes besides its own. */
const option_spec *command_common_options(void);

/* Parses and runs the command words[0]; words end with NULL. SHELL_... */
int command_run(shell *sh, const char *const *words);

/* Adds an option to a call, as --name value does. SHELL_... */
int command_add_option(shell_call *call, const char *name, const char *value);

/* The whole help, the help of one command, and that of all of them. */
void command_help(FILE *out, bool is_session);
void command_help_of(FILE *out, const shell_command *command, bool is_session);
void command_help_all(FILE *out);
/* An unknown word; says the nearest command. SHELL_USAGE. */
int command_unknown(const shell *sh, const char *word);

/* Whether a call wants its vectors whole. */
bool command_wants_vectors(const shell_call *call);
/* The mode of the rows that a call prints. */
int command_mode(const shell_call *call);
/* Rows of a call, in its mode. */
void command_rows(const shell_call *call, const rows_spec *spec, row_writer *out_rows);

#endif
