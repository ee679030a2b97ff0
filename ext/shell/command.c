/* command.c - the table of commands, their options, their help; how words become a call. */
#define _POSIX_C_SOURCE 200809L
#include "command.h"
#include "commands.h"
#include "dot.h"
#include "text.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order in which the help lists them. */
static const shell_command *const commands[] = {
    &command_create,    &command_import,       &command_export,   &command_get,
    &command_put,       &command_set,          &command_del,      &command_scan,
    &command_count,     &command_search,       &command_distance, &command_info,
    &command_ls,        &command_schema,       &command_rename,   &command_alias,
    &command_copy,      &command_drop,         &command_payload,  &command_limits,
    &command_kv,        &command_begin,        &command_commit,   &command_rollback,
    &command_savepoint, &command_rollback_to,  &command_release,  &command_stats,
    &command_check,     &command_checkpoint,   &command_vacuum,   &command_recall,
    &command_bench,     &command_help_command,
};

static const char *const compression_names[] = {"none", "zstd", NULL};

static const option_spec common_options[] = {
    {"--memory", OPTION_NUMBER, "MIB", "the most memory the database should use (1024)", NULL, 1,
     1 << 30, NULL},
    {"--compression", OPTION_WORD, NULL, "how large values are stored from now on",
     compression_names, 0, 0, NULL},
    {"--mmap", OPTION_SWITCH, NULL, "look at vectors in the mapped file in place of reading them",
     NULL, 0, 0, NULL},
    OPTIONS_END};

const shell_command *command_at(size_t at) {
    return at < sizeof commands / sizeof commands[0] ? commands[at] : NULL;
}

const shell_command *command_find(const char *name) {
    for (size_t i = 0; command_at(i); i++)
        if (!strcmp(commands[i]->name, name))
            return commands[i];
    return NULL;
}

const option_spec *command_common_options(void) {
    return common_options;
}

/* ---- messages ------------------------------------------------------------------------------- */

/* Where a script stands, then the command. */
static void print_message(const shell_call *call, const char *format, va_list args) {
    fflush(stdout);
    fprintf(stderr, "vecstore: ");
    if (call && call->shell && call->shell->source)
        fprintf(stderr, "%s:%lu: ", call->shell->source, call->shell->line);
    if (call && call->command)
        fprintf(stderr, "%s: ", call->command->name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

int shell_fail(const shell_call *call, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_message(call, format, args);
    va_end(args);
    return SHELL_FAILED;
}

void shell_say(const shell_call *call, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_message(call, format, args);
    va_end(args);
}

static void print_usage(FILE *out, const shell_command *command, bool is_session);

int shell_usage(const shell_call *call, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_message(call, format, args);
    va_end(args);
    if (call && call->command)
        print_usage(stderr, call->command, call->shell && call->shell->is_session);
    return SHELL_USAGE;
}

void *shell_realloc(void *ptr, size_t bytes) {
    void *grown = realloc(ptr, bytes ? bytes : 1);
    if (!grown) {
        fprintf(stderr, "vecstore: out of memory (%zu bytes)\n", bytes);
        exit(SHELL_FAILED);
    }
    return grown;
}

void *shell_alloc(size_t bytes) {
    return shell_realloc(NULL, bytes);
}

char *shell_copy(const char *text) {
    size_t bytes = strlen(text) + 1;
    return memcpy(shell_alloc(bytes), text, bytes);
}

static const char *name_at(const void *ctx, size_t at) {
    (void)ctx;
    return command_at(at) ? command_at(at)->name : NULL;
}

int command_unknown(const shell *sh, const char *word) {
    const shell_call call = {.shell = (shell *)sh};
    const char *best = text_nearest(word, name_at, NULL),
               *list = sh->is_session ? "help" : "vecstore --help";
    if (best)
        shell_fail(&call, "unknown command '%s', the nearest is '%s'; %s lists them", word, best,
                   list);
    else
        shell_fail(&call, "unknown command '%s'; %s lists them", word, list);
    return SHELL_USAGE;
}

/* ---- help ----------------------------------------------------------------------------------- */

/* What an option takes, as the usage writes it. */
static void describe_value(const option_spec *option, char *out, size_t out_bytes) {
    size_t used = 0;
    out[0] = 0;
    if (option->kind != OPTION_WORD) {
        snprintf(out, out_bytes, "%s", option->value ? option->value : "");
        return;
    }
    for (int i = 0; option->words[i] && used < out_bytes; i++)
        used +=
            (size_t)snprintf(out + used, out_bytes - used, "%s%s", i ? "|" : "", option->words[i]);
}

/* A piece of a usage line, on the next one when it does not fit. */
static void print_piece(FILE *out, const char *piece, size_t *column) {
    enum { LINE = 100, INDENT = 6 };
    size_t n = strlen(piece) + 1;
    if (*column + n > LINE) {
        fprintf(out, "\n%*s", INDENT, "");
        *column = INDENT;
    }
    fprintf(out, " %s", piece);
    *column += n;
}

static void print_usage(FILE *out, const shell_command *command, bool is_session) {
    size_t column =
        (size_t)fprintf(out, "usage:%s %s", is_session ? "" : " vecstore FILE", command->name);
    if (*command->args)
        print_piece(out, command->args, &column);
    for (const option_spec *o = command->options; o && o->name; o++) {
        char value[128], piece[192];
        describe_value(o, value, sizeof value);
        snprintf(piece, sizeof piece, "%s%s%s%s%s", o->needed ? "" : "[", o->name,
                 *value ? " " : "", value, o->needed ? "" : "]");
        print_piece(out, piece, &column);
    }
    fputc('\n', out);
}

static void print_options(FILE *out, const option_spec *options) {
    for (const option_spec *o = options; o && o->name; o++) {
        char value[128], left[192];
        describe_value(o, value, sizeof value);
        snprintf(left, sizeof left, "%s %s", o->name, value);
        if (strlen(left) < 24)
            fprintf(out, "  %-24s %s\n", left, o->help);
        else
            fprintf(out, "  %s\n  %-24s %s\n", left, "", o->help);
    }
}

void command_help_of(FILE *out, const shell_command *command, bool is_session) {
    print_usage(out, command, is_session);
    fprintf(out, "\n%s\n", command->help);
    if (command->options) {
        fputc('\n', out);
        print_options(out, command->options);
    }
}

void command_help(FILE *out, bool is_session) {
    fprintf(out, "vecstore %s, an embedded vector database\n\nusage:\n", vs_version());
    const char *front = is_session ? "" : "vecstore FILE ";
    for (size_t i = 0; command_at(i); i++)
        fprintf(out, "  %s%-12s %s\n", front, commands[i]->name, commands[i]->brief);
    if (is_session) {
        fprintf(out, "\nCOMMAND --help says more of each; .help is about the shell itself.\n");
        return;
    }
    fprintf(out,
            "  vecstore FILE              a prompt, or the commands that come from a pipe\n"
            "  vecstore COMMAND --help\n  vecstore --version\n\n"
            "FILE is the database. Data go to stdout, messages to stderr. Every command takes\n");
    print_options(out, common_options);
    fprintf(out, "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
}

void command_help_all(FILE *out) {
    command_help(out, false);
    for (size_t i = 0; command_at(i); i++) {
        fputc('\n', out);
        command_help_of(out, commands[i], false);
    }
}

/* ---- options -------------------------------------------------------------------------------- */

const char *shell_value_at(const shell_call *call, const char *name, int at) {
    for (int i = 0; i < call->option_count; i++)
        if (!strcmp(call->option[i].name, name) && !at--)
            return call->option[i].value;
    return NULL;
}

const char *shell_value(const shell_call *call, const char *name) {
    return shell_value_at(call, name, 0);
}

uint64_t shell_number(const shell_call *call, const char *name, uint64_t otherwise) {
    const char *text = shell_value(call, name);
    uint64_t value = otherwise;
    return text && text_to_u64(text, &value) ? value : otherwise;
}

double shell_real(const shell_call *call, const char *name, double otherwise) {
    const char *text = shell_value(call, name);
    double value = otherwise;
    return text && text_to_double(text, &value) ? value : otherwise;
}

int shell_word(const shell_call *call, const char *name, const char *const *words) {
    const char *text = shell_value(call, name);
    for (int i = 0; text && words[i]; i++)
        if (!strcmp(words[i], text))
            return i + 1;
    return 0;
}

static const option_spec *find_in(const option_spec *options, const char *name, size_t bytes) {
    for (const option_spec *o = options; o && o->name; o++)
        if (strlen(o->name) == bytes && !memcmp(o->name, name, bytes))
            return o;
    return NULL;
}

static const option_spec *find_option(const shell_call *call, const char *name, size_t bytes) {
    const option_spec *own = find_in(call->command->options, name, bytes);
    return own ? own : find_in(common_options, name, bytes);
}

/* The options of a command, then those of all. */
static const char *option_at(const void *ctx, size_t at) {
    const option_spec *own = ctx;
    for (; own && own->name; own++)
        if (!at--)
            return own->name;
    return at < sizeof common_options / sizeof common_options[0] ? common_options[at].name : NULL;
}

static int unknown_option(const shell_call *call, const char *text, size_t bytes) {
    char name[40];
    snprintf(name, sizeof name, "%.*s", (int)(bytes < 39 ? bytes : 39), text);
    const char *best = text_nearest(name, option_at, call->command->options);
    if (best)
        return shell_usage(call, "unknown option '%s', the nearest is %s", text, best);
    return shell_usage(call, "unknown option '%s'", text);
}

static const char *word_at(const void *ctx, size_t at) {
    return ((const char *const *)ctx)[at];
}

static int check_word(const shell_call *call, const option_spec *option, const char *value) {
    char list[160] = "";
    size_t used = 0;
    for (int i = 0; option->words[i]; i++) {
        if (!strcmp(option->words[i], value))
            return SHELL_OK;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 option->words[i]);
    }
    const char *best = text_nearest(value, word_at, option->words);
    return shell_usage(call, "%s is '%s', expected one of %s%s%s%s", option->name, value, list,
                       best ? "; the nearest is '" : "", best ? best : "", best ? "'" : "");
}

static int check_value(const shell_call *call, const option_spec *option, const char *value) {
    uint64_t number = 0;
    double real = 0;
    if (option->kind == OPTION_WORD)
        return check_word(call, option, value);
    if (option->kind == OPTION_REAL && !text_to_double(value, &real))
        return shell_usage(call, "%s is '%s', expected a number", option->name, value);
    if (option->kind == OPTION_NUMBER &&
        (!text_to_u64(value, &number) || number < option->low || number > option->high))
        return shell_usage(call, "%s is '%s', expected a whole number from %llu to %llu",
                           option->name, value, (unsigned long long)option->low,
                           (unsigned long long)option->high);
    return SHELL_OK;
}

/* "--name value", "--name=value" and "--name" at words[*at]. */
static int parse_option(shell_call *call, const char *const *words, size_t *at) {
    const char *text = words[*at], *equals = strchr(text, '=');
    size_t bytes = equals ? (size_t)(equals - text) : strlen(text);
    const option_spec *option = find_option(call, text, bytes);
    if (!option)
        return unknown_option(call, text, bytes);
    if (shell_value(call, option->name) && option->kind != OPTION_LIST)
        return shell_usage(call, "%s is given twice", option->name);
    if (call->option_count == SHELL_OPTIONS_MAX)
        return shell_usage(call, "%s: more than %d options", option->name, SHELL_OPTIONS_MAX);
    bool is_switch = option->kind == OPTION_SWITCH;
    const char *value = is_switch ? "" : equals ? equals + 1 : words[*at + 1];
    if (is_switch && equals)
        return shell_usage(call, "%s takes no value", option->name);
    if (!value)
        return shell_usage(call, "%s needs a value", option->name);
    *at += equals || is_switch ? 0 : 1;
    call->option[call->option_count++] = (shell_option){option->name, value};
    return check_value(call, option, value);
}

int command_add_option(shell_call *call, const char *name, const char *value) {
    const char *words[] = {name, value, NULL};
    size_t at = 0;
    return parse_option(call, words, &at);
}

static int parse(shell_call *call, const char *const *words) {
    bool only_args = false;
    int result = SHELL_OK;
    for (size_t i = 1; result == SHELL_OK && words[i]; i++) {
        bool is_option = words[i][0] == '-' && words[i][1] && !only_args;
        if (is_option && !strcmp(words[i], "--"))
            only_args = true;
        else if (is_option)
            result = parse_option(call, words, &i);
        else if (call->arg_count == call->command->args_max)
            result = shell_usage(call, "unexpected argument '%s'", words[i]);
        else
            call->arg[call->arg_count++] = words[i];
    }
    if (result == SHELL_OK && call->arg_count < call->command->args_min)
        result = shell_usage(call, "%d more argument(s) needed",
                             call->command->args_min - call->arg_count);
    for (const option_spec *o = call->command->options; result == SHELL_OK && o && o->name; o++)
        if (o->needed && !shell_value(call, o->name))
            result = shell_usage(call, "%s is needed: %s", o->name, o->needed);
    return result;
}

/* ---- running -------------------------------------------------------------------------------- */

static bool wants_help(const char *const *words) {
    for (size_t i = 1; words[i] && strcmp(words[i], "--"); i++)
        if (!strcmp(words[i], "--help") || !strcmp(words[i], "-h"))
            return true;
    return false;
}

/* Whether the command can run where it stands. */
static int check_place(const shell_call *call) {
    const shell *sh = call->shell;
    if ((call->command->flags & COMMAND_IN_SESSIONS) && !sh->is_session)
        return shell_usage(call, "is for the prompt and for scripts: vecstore FILE <SCRIPT");
    if (!sh->file && !(call->command->flags & COMMAND_NO_FILE))
        return shell_fail(call, "no database is open; .open FILE opens one");
    if ((call->command->flags & COMMAND_COMMITS) && sh->store.txn)
        return shell_fail(call, "commits by itself; commit or rollback the transaction first");
    return SHELL_OK;
}

int command_run(shell *sh, const char *const *words) {
    shell_call call = {.shell = sh, .command = command_find(words[0])};
    size_t count = 0;
    if (!call.command)
        return command_unknown(sh, words[0]);
    if (wants_help(words)) {
        command_help_of(shell_out(sh), call.command, sh->is_session);
        return SHELL_OK;
    }
    while (words[count])
        count++;
    call.arg = shell_alloc((count + 1) * sizeof *call.arg);
    int result = parse(&call, words);
    if (result == SHELL_OK)
        result = check_place(&call);
    if (result == SHELL_OK)
        result = call.command->run(&call);
    free(call.arg);
    return result;
}

/* ---- rows ----------------------------------------------------------------------------------- */

FILE *shell_out(const shell *sh) {
    return sh->once ? sh->once : sh->out;
}

int command_mode(const shell_call *call) {
    int mode = shell_word(call, "--mode", rows_mode_names);
    if (!mode)
        mode = call->shell->set.mode;
    if (!mode)
        mode = isatty(fileno(shell_out(call->shell))) ? ROWS_BOX : ROWS_PLAIN;
    return mode;
}

bool command_wants_vectors(const shell_call *call) {
    return shell_value(call, "--vectors") || call->shell->set.has_vectors;
}

void command_rows(const shell_call *call, const rows_spec *spec, row_writer *out_rows) {
    rows_begin(out_rows, shell_out(call->shell), command_mode(call), call->shell->set.has_headers,
               spec);
}

/* ---- help, the command ---------------------------------------------------------------------- */

static int run_help(const shell_call *call) {
    FILE *out = shell_out(call->shell);
    if (shell_value(call, "--all")) {
        command_help_all(out);
        return SHELL_OK;
    }
    if (!call->arg_count) {
        command_help(out, call->shell->is_session);
        return SHELL_OK;
    }
    if (call->arg[0][0] == '.')
        return dot_help(call->shell, call->arg[0]);
    const shell_command *topic = command_find(call->arg[0]);
    if (!topic)
        return command_unknown(call->shell, call->arg[0]);
    command_help_of(out, topic, call->shell->is_session);
    return SHELL_OK;
}

static const option_spec help_options[] = {
    {"--all", OPTION_SWITCH, NULL, "all commands with all options", NULL, 0, 0, NULL}, OPTIONS_END};

const shell_command command_help_command = {
    .name = "help",
    .run = run_help,
    .args = "[COMMAND]",
    .args_max = 1,
    .flags = COMMAND_NO_FILE,
    .brief = "list the commands, or say more of one",
    .help = "List the commands, or say how one is called. COMMAND --help does the same.",
    .options = help_options,
};
