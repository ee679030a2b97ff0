/* main.c - the vecstore command: its grammar, its help, and what all commands share. */
#include "shell.h"
#include "text.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct shell_command {
    const char *name;
    int (*run)(const shell_call *call);
    int args_min, args_max;
    const char *usage; /* behind "vecstore FILE " */
    const char *help;
    const char *options[SHELL_OPTIONS_MAX]; /* all take a value, but for --mmap of all commands */
} shell_command;

static const shell_command commands[] = {
    {"create",
     shell_create,
     1,
     1,
     "create COLLECTION --dim D [--type f32|f16|bf16|u8|i8|bit]\n"
     "      [--metric l2|ip|cosine|l1|hamming|jaccard] [--index auto|flat]",
     "Create a collection, and the database file if there is none. Vectors of bits have the "
     "metrics\n"
     "hamming, the default, and jaccard; all others l2, the default, ip, cosine and l1.",
     {"--dim", "--type", "--metric", "--index"}},
    {"import",
     shell_import,
     2,
     2,
     "import COLLECTION FILE [--format fvecs|bvecs] [--labels FILE.u8] [--batch N] [--start-key N]",
     "Import vectors; keys are row numbers from --start-key (0) on. FILE may end in .zst. Every "
     "batch\n"
     "of rows is one durable commit; the same file continues where it stopped.",
     {"--format", "--labels", "--batch", "--start-key"}},
    {"search",
     shell_search,
     1,
     1,
     "search COLLECTION --near @FILE|'[...]' [-k 10] [--mode table|json]",
     "Find the nearest records of one vector, or of each vector in a file.",
     {"--near", "-k", "--mode"}},
    {"recall",
     shell_recall,
     1,
     1,
     "recall COLLECTION --queries FILE [--truth FILE.ivecs] [-k 10]",
     "Measure how many of the true nearest neighbours search returns. Without --truth they are\n"
     "computed here, by a plain loop in double precision.",
     {"--queries", "--truth", "-k"}},
    {"bench",
     shell_bench,
     1,
     1,
     "bench COLLECTION --queries FILE [--truth FILE.ivecs] [-k 10] [--sweep name=v1,v2,...]",
     "Measure search, one query at a time: CSV rows of params,recall,qps,p50_us,p99_us.",
     {"--queries", "--truth", "-k", "--sweep"}},
    {"info",
     shell_info,
     0,
     1,
     "info [COLLECTION] [--mode table|json]",
     "Say what is in the database.",
     {"--mode"}},
    {"check",
     shell_check,
     0,
     0,
     "check [--level 0..3]",
     "Look for damage, at level 3 unless told otherwise: exit 0 when clean, 1 when damaged.",
     {"--level"}},
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static const shell_command *find_command(const char *name) {
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

/* ---- messages ------------------------------------------------------------------------------- */

static void print_help(FILE *out) {
    fprintf(out, "vecstore %s, an embedded vector database\n\nusage:\n", vs_version());
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  vecstore FILE %s\n", commands[i].usage);
    fprintf(out,
            "  vecstore COMMAND --help\n  vecstore --version\n\n"
            "FILE is the database. Data go to stdout, messages to stderr.\n"
            "Every command takes --memory MIB, the most memory the database should use (1024),\n"
            "--compression none|zstd for the large values that it writes, and --mmap, to look at\n"
            "vectors in the mapped file in place of reading them.\n"
            "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
}

static void print_command_help(FILE *out, const shell_command *command) {
    fprintf(out, "usage: vecstore FILE %s\n\n%s\n", command->usage, command->help);
}

static void print_message(const shell_call *call, const char *format, va_list args) {
    fflush(stdout);
    fprintf(stderr, "vecstore: ");
    if (call && call->command)
        fprintf(stderr, "%s: ", call->command);
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

_Noreturn void shell_usage(const shell_call *call, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_message(call, format, args);
    va_end(args);
    const shell_command *command = call && call->command ? find_command(call->command) : NULL;
    if (command)
        fprintf(stderr, "usage: vecstore FILE %s\n", command->usage);
    exit(SHELL_USAGE);
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

/* ---- options -------------------------------------------------------------------------------- */

const char *shell_value(const shell_call *call, const char *name) {
    for (int i = 0; i < call->option_count; i++)
        if (!strcmp(call->option[i].name, name))
            return call->option[i].value;
    return NULL;
}

uint64_t shell_number(const shell_call *call, const char *name, uint64_t otherwise, uint64_t low,
                      uint64_t high) {
    const char *text = shell_value(call, name);
    uint64_t value = 0;
    if (!text)
        return otherwise;
    if (!text_to_u64(text, &value) || value < low || value > high)
        shell_usage(call, "%s is '%s', expected a whole number from %llu to %llu", name, text,
                    (unsigned long long)low, (unsigned long long)high);
    return value;
}

int shell_word(const shell_call *call, const char *name, const char *const *words) {
    const char *text = shell_value(call, name);
    char list[128] = "";
    if (!text)
        return 0;
    for (int i = 0; words[i]; i++) {
        if (!strcmp(words[i], text))
            return i + 1;
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
    }
    shell_usage(call, "%s is '%s', expected one of %s", name, text, list);
}

static bool takes_option(const shell_command *command, const char *name) {
    if (!strcmp(name, "--memory") || !strcmp(name, "--compression") || !strcmp(name, "--mmap"))
        return true;
    for (int i = 0; i < SHELL_OPTIONS_MAX && command->options[i]; i++)
        if (!strcmp(command->options[i], name))
            return true;
    return false;
}

/* "--name value" and "--name=value" at argv[*at]. */
static void parse_option(shell_call *call, const shell_command *command, char **argv, int *at) {
    static char names[SHELL_OPTIONS_MAX][32];
    char *text = argv[*at], *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) : strlen(text);
    char *name = names[call->option_count];
    snprintf(name, sizeof names[0], "%.*s", (int)(n < 31 ? n : 31), text);
    if (!takes_option(command, name))
        shell_usage(call, "unknown option '%s'", text);
    if (shell_value(call, name))
        shell_usage(call, "%s is given twice", name);
    bool is_switch = !strcmp(name, "--mmap");
    const char *value = is_switch ? "" : equals ? equals + 1 : argv[*at + 1];
    if (is_switch && equals)
        shell_usage(call, "%s takes no value", name);
    if (!value)
        shell_usage(call, "%s needs a value", name);
    *at += equals || is_switch ? 0 : 1;
    call->option[call->option_count++] = (shell_option){name, value};
}

static void parse(shell_call *call, const shell_command *command, char **argv) {
    bool only_args = false;
    for (int i = 3; argv[i]; i++) {
        bool is_option = argv[i][0] == '-' && argv[i][1] && !only_args;
        if (is_option && !strcmp(argv[i], "--")) {
            only_args = true;
        } else if (is_option) {
            parse_option(call, command, argv, &i);
        } else {
            if (call->arg_count == command->args_max)
                shell_usage(call, "unexpected argument '%s'", argv[i]);
            call->arg[call->arg_count++] = argv[i];
        }
    }
    if (call->arg_count < command->args_min)
        shell_usage(call, "%d more argument(s) needed", command->args_min - call->arg_count);
}

/* ---- databases ------------------------------------------------------------------------------ */

static void print_log(void *ctx, int level, const char *message) {
    (void)ctx;
    if (level >= VS_LOG_WARNING)
        fprintf(stderr, "vecstore: warning: %s\n", message);
}

vs_db *shell_open(const shell_call *call, uint32_t flags) {
    static const char *const compressions[] = {"none", "zstd", NULL}; /* as VS_COMPRESSION_... */
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = flags | (shell_value(call, "--mmap") ? VS_OPEN_MMAP : 0);
    options.log = print_log;
    options.compression = shell_word(call, "--compression", compressions);
    options.memory_limit = shell_number(call, "--memory", 0, 1, 1 << 30) << 20;
    if (vs_open(call->file, &options, &db) == VS_OK)
        return db;
    shell_fail(call, "%s", db ? vs_errmsg(db) : "out of memory");
    vs_close(db);
    return NULL;
}

int shell_close(const shell_call *call, vs_db *db, int result) {
    vs_status st = vs_close(db);
    if (st == VS_OK)
        return result;
    return shell_fail(call, "%s: closing failed: %s", call->file, vs_status_name(st));
}

/* ---- main ----------------------------------------------------------------------------------- */

static bool wants_help(char **argv) {
    for (int i = 1; argv[i] && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

static int run(shell_call *call, int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        printf("vecstore %s (%s)\n", vs_version(), vs_cpu_features());
        return SHELL_OK;
    }
    const shell_command *command = argc > 2 ? find_command(argv[2]) : NULL;
    if (wants_help(argv)) {
        const shell_command *topic = command ? command : find_command(argv[1]);
        if (topic)
            print_command_help(stdout, topic);
        else
            print_help(stdout);
        return SHELL_OK;
    }
    if (argc < 3) {
        print_help(stderr);
        return SHELL_USAGE;
    }
    call->file = argv[1];
    if (!command)
        shell_usage(call, "unknown command '%s'; vecstore --help lists them", argv[2]);
    call->command = command->name;
    parse(call, command, argv);
    return command->run(call);
}

int main(int argc, char **argv) {
    shell_call call = {0};
    int result = run(&call, argc, argv);
    if (fflush(stdout) || ferror(stdout))
        return shell_fail(&call, "stdout cannot be written");
    return result;
}
