/* dot.c - the commands that begin with a dot. */
#include "dot.h"
#include "command.h"
#include "rows.h"
#include "session.h"
#include "store.h"
#include "text.h"
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct dot_call {
    shell *shell;
    const struct dot_command *command;
    const char *const *arg;
    size_t count;
} dot_call;

typedef struct dot_command {
    const char *name, *args;
    size_t args_max;
    int (*run)(const dot_call *call);
    const char *help;
    size_t setting; /* of a switch: where it is in shell_settings */
} dot_command;

static int dot_fail(const dot_call *call, const char *what, const char *word) {
    const shell_call where = {.shell = call->shell};
    shell_fail(&where, "%s: %s%s%s%s; usage: %s %s", call->command->name, what, *word ? " '" : "",
               word, *word ? "'" : "", call->command->name, call->command->args);
    return SHELL_USAGE;
}

/* ---- settings ------------------------------------------------------------------------------- */

static int run_switch(const dot_call *call) {
    bool *setting = (bool *)((char *)&call->shell->set + call->command->setting);
    if (!call->count) {
        fprintf(shell_out(call->shell), "%s\n", *setting ? "on" : "off");
        return SHELL_OK;
    }
    bool is_on = !strcmp(call->arg[0], "on");
    if (!is_on && strcmp(call->arg[0], "off"))
        return dot_fail(call, "neither on nor off:", call->arg[0]);
    *setting = is_on;
    return SHELL_OK;
}

static const char *mode_at(const void *ctx, size_t at) {
    (void)ctx;
    return rows_mode_names[at];
}

static int fail_mode(const dot_call *call) {
    const shell_call where = {.shell = call->shell};
    const char *near = text_nearest(call->arg[0], mode_at, NULL);
    char list[160] = "auto";
    for (int i = 0; rows_mode_names[i]; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), ", %s", rows_mode_names[i]);
    shell_fail(&where, ".mode: '%s' is no mode, expected one of %s%s%s%s", call->arg[0], list,
               near ? "; the nearest is '" : "", near ? near : "", near ? "'" : "");
    return SHELL_USAGE;
}

static int run_mode(const dot_call *call) {
    int *mode = &call->shell->set.mode;
    if (!call->count) {
        fprintf(shell_out(call->shell), "%s\n", *mode ? rows_mode_names[*mode - 1] : "auto");
        return SHELL_OK;
    }
    for (int i = 0; rows_mode_names[i]; i++) {
        if (strcmp(rows_mode_names[i], call->arg[0]))
            continue;
        *mode = i + 1;
        return SHELL_OK;
    }
    if (strcmp(call->arg[0], "auto"))
        return fail_mode(call);
    *mode = 0;
    return SHELL_OK;
}

static int run_limit(const dot_call *call) {
    uint64_t limit = 0;
    if (!call->count) {
        fprintf(shell_out(call->shell), "%llu\n", (unsigned long long)call->shell->set.limit);
        return SHELL_OK;
    }
    if (!text_to_u64(call->arg[0], &limit) || limit > VS_RECORDS_MAX)
        return dot_fail(call, "no number of rows:", call->arg[0]);
    call->shell->set.limit = limit;
    return SHELL_OK;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int fail_file(const dot_call *call) {
    const shell_call where = {.shell = call->shell};
    return shell_fail(&where, "%s: %s: %s", call->command->name, call->arg[0], strerror(errno));
}

static int dot_fail_output(const dot_call *call) {
    const shell_call where = {.shell = call->shell};
    return shell_fail(&where, "%s: what went to the file before cannot be written",
                      call->command->name);
}

static int run_output(const dot_call *call) {
    shell *sh = call->shell;
    bool is_stdout = !call->count || !strcmp(call->arg[0], "-");
    FILE *out = is_stdout ? stdout : fopen(call->arg[0], "w");
    if (!out)
        return fail_file(call);
    bool was_written = session_close_output(&sh->out);
    sh->out = out;
    return was_written ? SHELL_OK : dot_fail_output(call);
}

static int run_once(const dot_call *call) {
    if (!call->count)
        return dot_fail(call, "a file is needed", "");
    FILE *out = fopen(call->arg[0], "w");
    if (!out)
        return fail_file(call);
    bool was_written = session_close_output(&call->shell->once);
    call->shell->once = out;
    return was_written ? SHELL_OK : dot_fail_output(call);
}

static int run_read(const dot_call *call) {
    if (!call->count)
        return dot_fail(call, "a file is needed", "");
    return session_read(call->shell, call->arg[0]);
}

static int run_open(const dot_call *call) {
    shell *sh = call->shell;
    const shell_call where = {.shell = sh};
    if (!call->count)
        return dot_fail(call, "a file is needed", "");
    if (sh->store.txn)
        return shell_fail(&where, ".open: commit or rollback the transaction first");
    char *file = shell_copy(call->arg[0]);
    int result = store_close(sh, &where, SHELL_OK);
    free(sh->file);
    sh->file = file;
    return result;
}

/* ---- parameters ----------------------------------------------------------------------------- */

static bool is_param_name(const char *name) {
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return *name && strchr(first, *name) && !name[strspn(name, all)];
}

bool dot_is_param(const char *word) {
    return word[0] == ':' && is_param_name(word + 1);
}

static void param_remove(shell *sh, const char *name) {
    for (size_t i = 0; i < sh->param_count; i++) {
        if (strcmp(sh->param[i].name, name))
            continue;
        free(sh->param[i].name);
        free(sh->param[i].text);
        sh->param[i] = sh->param[--sh->param_count];
        return;
    }
}

static int param_set(const dot_call *call) {
    shell *sh = call->shell;
    if (call->count != 3)
        return dot_fail(call, "a name and a text are needed", "");
    const char *name = call->arg[1] + (call->arg[1][0] == ':');
    if (!is_param_name(name))
        return dot_fail(call, "letters, digits and _ make a name, not", name);
    param_remove(sh, name);
    sh->param = shell_realloc(sh->param, (sh->param_count + 1) * sizeof *sh->param);
    sh->param[sh->param_count++] = (shell_param){shell_copy(name), shell_copy(call->arg[2])};
    return SHELL_OK;
}

static int param_list(const dot_call *call) {
    const shell *sh = call->shell;
    for (size_t i = 0; i < sh->param_count; i++)
        fprintf(shell_out(sh), "%s %s\n", sh->param[i].name, sh->param[i].text);
    return SHELL_OK;
}

static int run_param(const dot_call *call) {
    const char *action = call->count ? call->arg[0] : "list";
    if (!strcmp(action, "list"))
        return param_list(call);
    if (!strcmp(action, "set"))
        return param_set(call);
    if (strcmp(action, "unset") || call->count != 2)
        return dot_fail(call, "not as it is called:", action);
    param_remove(call->shell, call->arg[1] + (call->arg[1][0] == ':'));
    return SHELL_OK;
}

/* ---- the table ------------------------------------------------------------------------------ */

static int run_dot_help(const dot_call *call); /* says what is in the table */

static int run_exit(const dot_call *call) {
    uint64_t code = 0;
    if (call->count && (!text_to_u64(call->arg[0], &code) || code > 255))
        return dot_fail(call, "no exit code:", call->arg[0]);
    call->shell->is_ending = true;
    call->shell->exit_code = (int)code;
    return SHELL_OK;
}

#define SWITCH(name, field, help)                                                                  \
    { name, "[on|off]", 1, run_switch, help, offsetof(shell_settings, field) }

static const dot_command dot_commands[] = {
    SWITCH(".bail", is_bailing, "end a script at its first error"),
    SWITCH(".echo", is_echoing, "print each command to stderr before it runs"),
    {".exit", "[CODE]", 1, run_exit, "end the session; a transaction is rolled back", 0},
    SWITCH(".headers", has_headers, "print the names of columns"),
    {".help", "[COMMAND]", 1, run_dot_help, "list these commands, or say more of one", 0},
    {".limit", "[N]", 1, run_limit,
     "rows of scan and search that do not say how many; 0: their own", 0},
    {".mode", "[MODE]", 1, run_mode, "how rows are printed; auto: box on a terminal, else plain",
     0},
    {".once", "FILE", 1, run_once, "the data of the next command go to a file", 0},
    {".open", "FILE", 1, run_open, "close the database and go on with another", 0},
    {".output", "[FILE]", 1, run_output, "data go to a file; without one to stdout", 0},
    {".param", "[list|set NAME TEXT|unset NAME]", 3, run_param, "texts that commands use as :NAME",
     0},
    SWITCH(".progress", has_progress, "show on a terminal how far an import is"),
    {".quit", "[CODE]", 1, run_exit, "as .exit", 0},
    {".read", "FILE", 1, run_read, "run the commands of a file", 0},
    SWITCH(".timer", has_timer, "print to stderr how long each command took"),
    SWITCH(".vectors", has_vectors, "print vectors whole"),
};

enum { DOT_COUNT = sizeof dot_commands / sizeof dot_commands[0] };

const char *dot_at(size_t at) {
    return at < DOT_COUNT ? dot_commands[at].name : NULL;
}

static void print_help(FILE *out, const dot_command *command) {
    char left[64];
    snprintf(left, sizeof left, "%s %s", command->name, command->args);
    fprintf(out, "%-40s %s\n", left, command->help);
}

static const dot_command *dot_find(const char *name) {
    for (size_t i = 0; i < DOT_COUNT; i++)
        if (!strcmp(dot_commands[i].name, name))
            return &dot_commands[i];
    return NULL;
}

static const char *name_at(const void *ctx, size_t at) {
    (void)ctx;
    return dot_at(at);
}

/* An unknown word; says the nearest one. */
static int dot_unknown(shell *sh, const char *word) {
    const shell_call call = {.shell = sh};
    const char *best = text_nearest(word, name_at, NULL);
    if (best)
        shell_fail(&call, "unknown command '%s', the nearest is '%s'; .help lists them", word,
                   best);
    else
        shell_fail(&call, "unknown command '%s'; .help lists them", word);
    return SHELL_USAGE;
}

bool dot_is_switch(const char *name) {
    const dot_command *command = dot_find(name);
    return command && command->run == run_switch;
}

int dot_help(shell *sh, const char *name) {
    const dot_command *command = name ? dot_find(name) : NULL;
    if (name && !command)
        return dot_unknown(sh, name);
    for (size_t i = 0; i < DOT_COUNT; i++)
        if (!command || command == &dot_commands[i])
            print_help(shell_out(sh), &dot_commands[i]);
    return SHELL_OK;
}

/* With the dot or without it; of another command what help says. */
static int run_dot_help(const dot_call *call) {
    char name[32];
    if (!call->count || call->arg[0][0] == '.')
        return dot_help(call->shell, call->arg[0]);
    snprintf(name, sizeof name, ".%s", call->arg[0]);
    const char *const words[] = {"help", call->arg[0], NULL};
    return dot_find(name) ? dot_help(call->shell, name) : command_run(call->shell, words);
}

int dot_run(shell *sh, const char *const *words) {
    dot_call call = {.shell = sh, .command = dot_find(words[0]), .arg = words + 1};
    while (call.arg[call.count])
        call.count++;
    if (!call.command)
        return dot_unknown(sh, words[0]);
    if (call.count > call.command->args_max)
        return dot_fail(&call, "unexpected", call.arg[call.command->args_max]);
    return call.command->run(&call);
}
