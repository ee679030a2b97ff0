/* session.c - reading commands one after the other, and running them.
 *
 * A script stops at an error when .bail is on; without, it goes on, and fails at its end. Ctrl-C ends the
 * command that runs, and every script around it; at the prompt it drops the line. */
#define _POSIX_C_SOURCE 200809L
#include "session.h"
#include "command.h"
#include "dot.h"
#include "edit.h"
#include "interrupt.h"
#include "lines.h"
#include "store.h"
#include "text.h"
#include "words.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SCRIPTS_MAX = 16 };

/* Where commands come from. */
typedef struct source {
    const char *name; /* for messages; NULL: a terminal */
    lines lines;
    editor *editor; /* NULL: none */
    unsigned long lines_read;
    bool is_inside; /* the statement that is read goes on */
} source;

/* ---- reading -------------------------------------------------------------------------------- */

static const char *prompt_of(const shell *sh, const source *s) {
    if (s->is_inside)
        return "     ...> ";
    return sh->store.txn ? "vecstore*> " : "vecstore> ";
}

static int read_line(shell *sh, source *s, const char **out_text, size_t *out_bytes) {
    if (s->editor)
        return editor_line(s->editor, prompt_of(sh, s), out_text, out_bytes);
    if (!s->name)
        fputs(prompt_of(sh, s), stderr);
    return lines_next(&s->lines, out_text, out_bytes);
}

/* The next line. Ctrl-C is about the line until it is there, from then on about what the line says. */
static int next_line(shell *sh, source *s, const char **out_text, size_t *out_bytes) {
    if (s->name)
        interrupt_end(sh->interrupts);
    else
        interrupt_forget(sh->interrupts);
    if (interrupt_came(sh->interrupts))
        return LINES_INTERRUPTED;
    int st = read_line(sh, s, out_text, out_bytes);
    interrupt_begin(sh->interrupts);
    return st;
}

/* Says that a statement cannot be split; SHELL_USAGE. */
static int fail_split(const shell *sh, int how) {
    const shell_call call = {.shell = (shell *)sh};
    if (how == WORDS_NUL)
        shell_fail(&call, "a NUL byte is in this line");
    else if (how == WORDS_OPEN_QUOTE)
        shell_fail(&call, "a quote that begins here is not closed");
    else
        shell_fail(&call, "nothing follows the backslash at the end of the line");
    return SHELL_USAGE;
}

static void echo(const shell *sh, const char *text, size_t bytes) {
    if (!sh->set.is_echoing)
        return;
    fwrite(text, 1, bytes, stderr);
    fputc('\n', stderr);
}

/* Reads lines until they are a whole statement: LINES_..., *out_result SHELL_USAGE when it is none. */
static int next_statement(shell *sh, source *s, words *out_words, int *out_result) {
    int how = WORDS_OK;
    s->is_inside = false;
    do {
        const char *text = NULL;
        size_t bytes = 0;
        int st = next_line(sh, s, &text, &bytes);
        if (st == LINES_END && s->is_inside)
            break;
        if (st != LINES_LINE)
            return st;
        s->lines_read++;
        if (!s->is_inside)
            sh->line = s->lines_read;
        echo(sh, text, bytes);
        how = words_add(out_words, text, bytes);
        s->is_inside = how == WORDS_OPEN_QUOTE || how == WORDS_OPEN_LINE;
    } while (s->is_inside);
    *out_result = how == WORDS_OK ? SHELL_OK : fail_split(sh, how);
    return LINES_LINE;
}

/* ---- running -------------------------------------------------------------------------------- */

static const char *param_at(const void *ctx, size_t at) {
    const shell *sh = ctx;
    return at < sh->param_count ? sh->param[at].name : NULL;
}

/* The text of a parameter that :NAME at p means; NULL with a message. */
static const char *param_text(const shell *sh, const char *p) {
    const shell_call call = {.shell = (shell *)sh};
    for (size_t i = 0; i < sh->param_count; i++)
        if (!strcmp(sh->param[i].name, p + 1))
            return sh->param[i].text;
    const char *near = text_nearest(p + 1, param_at, sh);
    shell_fail(&call,
               "there is no parameter '%s'%s%s%s; .param set %s TEXT makes it, quotes make a text "
               "of it",
               p, near ? ", the nearest is ':" : "", near ? near : "", near ? "'" : "", p + 1);
    return NULL;
}

/* A word with its parameter in place: ":name" and "--option=:name"; *out_made is malloc'd then. */
static const char *expand(const shell *sh, const char *word, char **out_made) {
    const char *equals = strncmp(word, "--", 2) ? NULL : strchr(word, '=');
    const char *name = equals ? equals + 1 : word;
    if (!dot_is_param(name))
        return word;
    const char *text = param_text(sh, name);
    if (!text || !equals)
        return text;
    size_t front = (size_t)(name - word), bytes = strlen(text) + 1;
    *out_made = shell_alloc(front + bytes);
    memcpy(*out_made, word, front);
    memcpy(*out_made + front, text, bytes);
    return *out_made;
}

enum { TIME_WALL, TIME_USER, TIME_SYSTEM, TIMES };

static void read_clocks(double out[TIMES]) {
    struct timespec now;
    struct rusage used;
    clock_gettime(CLOCK_MONOTONIC, &now);
    getrusage(RUSAGE_SELF, &used);
    out[TIME_WALL] = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
    out[TIME_USER] = (double)used.ru_utime.tv_sec + (double)used.ru_utime.tv_usec * 1e-6;
    out[TIME_SYSTEM] = (double)used.ru_stime.tv_sec + (double)used.ru_stime.tv_usec * 1e-6;
}

static int run_words(shell *sh, const char *const *argv) {
    double start[TIMES], end[TIMES];
    read_clocks(start);
    int result = argv[0][0] == '.' ? dot_run(sh, argv) : command_run(sh, argv);
    read_clocks(end);
    if (sh->set.has_timer && argv[0][0] != '.')
        fprintf(stderr, "time: %.3f s, user %.3f s, system %.3f s\n",
                end[TIME_WALL] - start[TIME_WALL], end[TIME_USER] - start[TIME_USER],
                end[TIME_SYSTEM] - start[TIME_SYSTEM]);
    return result;
}

static int fail_output(const shell *sh) {
    const shell_call call = {.shell = (shell *)sh};
    return shell_fail(&call, "the output cannot be written");
}

static int run_statement(shell *sh, const words *w) {
    const char **argv = shell_alloc((w->count + 1) * sizeof *argv);
    char **made = shell_alloc(w->count * sizeof *made);
    FILE *once = sh->once;
    int result = SHELL_OK;
    memset(made, 0, w->count * sizeof *made);
    for (size_t i = 0; i < w->count; i++) {
        argv[i] = words_at(w, i);
        if (w->word[i].is_plain)
            argv[i] = expand(sh, argv[i], &made[i]);
        if (!argv[i])
            result = SHELL_USAGE;
    }
    argv[w->count] = NULL;
    if (result == SHELL_OK)
        result = run_words(sh, argv);
    if (once && once == sh->once &&
        !session_close_output(&sh->once)) /* it was for this statement */
        result = fail_output(sh);
    for (size_t i = 0; i < w->count; i++)
        free(made[i]);
    free(made);
    free(argv);
    return result;
}

/* Data are seen before the next prompt; that they cannot be written ends the session. */
static int flush_output(shell *sh, int result) {
    FILE *out = shell_out(sh);
    if (!fflush(out) && !ferror(out))
        return result;
    sh->is_ending = true;
    sh->exit_code = SHELL_FAILED;
    return fail_output(sh);
}

/* Runs one statement. */
static int run_next(shell *sh, const words *w) {
    int result = w->count ? run_statement(sh, w) : SHELL_OK;
    if (interrupt_came(sh->interrupts))
        sh->is_interrupted = true;
    return flush_output(sh, result);
}

/* Ctrl-C while nothing ran: at the prompt a new line, in a script its end. */
static void take_interrupt(shell *sh, source *s) {
    interrupt_drain(sh->interrupts);
    lines_drop(&s->lines);
    sh->is_interrupted = true;
    if (!s->name)
        fputc('\n', stderr);
}

static int fail_reading(const shell *sh, const source *s) {
    const shell_call call = {.shell = (shell *)sh};
    return shell_fail(&call, "%s cannot be read: %s", s->name ? s->name : "the terminal",
                      strerror(errno));
}

/* Reads a statement and runs it; false: there is no further one. */
static bool step(shell *sh, source *s, int *out_result) {
    words w;
    words_begin(&w);
    sh->source = s->name;
    *out_result = SHELL_OK;
    int st = next_statement(sh, s, &w, out_result);
    if (st == LINES_INTERRUPTED)
        take_interrupt(sh, s);
    else if (st == LINES_FAILED)
        *out_result = fail_reading(sh, s);
    else if (st == LINES_LINE && *out_result == SHELL_OK)
        *out_result = run_next(sh, &w);
    words_free(&w);
    return st == LINES_LINE || st == LINES_INTERRUPTED;
}

/* Of a script whether it failed; the prompt has said so. */
static int run_source(shell *sh, source *s) {
    const char *name = sh->source;
    unsigned long line = sh->line;
    int worst = SHELL_OK;
    for (bool is_on = true; is_on && !sh->is_ending;) {
        int result = SHELL_OK;
        is_on = step(sh, s, &result);
        if (!s->name) {
            sh->is_interrupted = false;
            continue;
        }
        if (sh->is_interrupted && result == SHELL_OK)
            result = SHELL_FAILED;
        if (result != SHELL_OK)
            worst = sh->set.is_bailing ? result : SHELL_FAILED;
        is_on = is_on && !sh->is_interrupted && (result == SHELL_OK || !sh->set.is_bailing);
    }
    sh->source = name;
    sh->line = line;
    lines_free(&s->lines);
    return worst;
}

/* ---- sources -------------------------------------------------------------------------------- */

int session_read(shell *sh, const char *path) {
    const shell_call call = {.shell = sh};
    source s = {.name = path};
    if (sh->script_depth == SCRIPTS_MAX)
        return shell_fail(&call, "%s: more than %d scripts read each other", path, SCRIPTS_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return shell_fail(&call, "%s: %s", path, strerror(errno));
    lines_begin(&s.lines, fd, interrupt_fd(sh->interrupts));
    sh->script_depth++;
    int result = run_source(sh, &s);
    sh->script_depth--;
    close(fd);
    return result;
}

int session_run(shell *sh) {
    bool is_terminal = isatty(STDIN_FILENO);
    source s = {.name = is_terminal ? NULL : "stdin"};
    sh->is_session = true;
    sh->interrupts = interrupt_start();
    lines_begin(&s.lines, STDIN_FILENO, interrupt_fd(sh->interrupts));
    if (is_terminal) {
        fprintf(stderr, "vecstore %s, %s: help lists the commands, .help those of the shell.\n",
                vs_version(), sh->file);
        s.editor = editor_new(sh);
    }
    int result = run_source(sh, &s);
    if (is_terminal && !sh->is_ending)
        fputc('\n', stderr);
    editor_free(s.editor);
    return sh->is_ending ? sh->exit_code : result;
}

bool session_close_output(FILE **file) {
    bool has_failed = *file && (ferror(*file) || (*file != stdout && fclose(*file)));
    *file = NULL;
    return !has_failed;
}

void session_free(shell *sh) {
    if (sh->out != stdout)
        session_close_output(&sh->out);
    session_close_output(&sh->once);
    for (size_t i = 0; i < sh->param_count; i++) {
        free(sh->param[i].name);
        free(sh->param[i].text);
    }
    for (size_t i = 0; i < sh->store.savepoint_count; i++)
        free(sh->store.savepoint[i]);
    free(sh->store.savepoint);
    free(sh->param);
    free(sh->file);
}
