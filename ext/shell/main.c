/* main.c - the vecstore command: one command of its arguments, or a session. */
#define _POSIX_C_SOURCE 200809L
#include "command.h"
#include "session.h"
#include "store.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool wants_help(char **argv) {
    for (int i = 1; argv[i] && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

/* vecstore COMMAND --help, vecstore FILE COMMAND --help, and anything else with --help. */
static int print_help(int argc, char **argv) {
    const shell_command *command = argc > 2 ? command_find(argv[2]) : NULL;
    command = command ? command : command_find(argv[1]);
    if (command)
        command_help_of(stdout, command, false);
    else
        command_help(stdout, false);
    return SHELL_OK;
}

/* vecstore help, vecstore help COMMAND: unless help is a file. */
static bool is_help_word(int argc, char **argv) {
    return (argc == 2 || argc == 3) && !strcmp(argv[1], "help") && access("help", F_OK);
}

/* Whether commands can be read from stdin: not from nothing, and not from /dev/null. */
static bool has_input(void) {
    struct stat info;
    return !fstat(STDIN_FILENO, &info) && (isatty(STDIN_FILENO) || !S_ISCHR(info.st_mode));
}

static int run(shell *sh, int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        printf("vecstore %s (%s)\n", vs_version(), vs_cpu_features());
        return SHELL_OK;
    }
    if (wants_help(argv))
        return print_help(argc, argv);
    if (argc > 1 && is_help_word(argc, argv))
        return command_run(sh, (const char *const *)argv + 1);
    if (argc < 2 || (argc == 2 && !has_input())) {
        command_help(stderr, false);
        return SHELL_USAGE;
    }
    sh->file = shell_copy(argv[1]);
    if (argc == 2)
        return session_run(sh);
    return command_run(sh, (const char *const *)argv + 2);
}

int main(int argc, char **argv) {
    shell sh = {.out = stdout, .set = {.has_headers = true, .has_progress = true}};
    int result = run(&sh, argc, argv);
    result = store_close(&sh, NULL, result);
    session_free(&sh);
    if (fflush(stdout) || ferror(stdout))
        return shell_fail(NULL, "stdout cannot be written");
    return result;
}
