/* edit.c - editing lines with libedit.
 *
 * It asks for characters through read_char, which also wakes up when Ctrl-C was pressed; the signal itself never
 * reaches this thread (interrupt.c). Prompts go to stderr: stdout is data. */
#define _POSIX_C_SOURCE 200809L
#include "edit.h"
#include "lines.h"

#ifndef SHELL_LIBEDIT

editor *editor_new(shell *sh) {
    (void)sh;
    return NULL;
}

void editor_free(editor *e) {
    (void)e;
}

int editor_line(editor *e, const char *prompt, const char **out_text, size_t *out_bytes) {
    (void)e;
    (void)prompt;
    (void)out_text;
    (void)out_bytes;
    return LINES_FAILED; /* there is none to ask */
}

#else

#include "complete.h"
#include "interrupt.h"
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

enum { HISTORY_LINES = 1000 };

struct editor {
    shell *sh;
    EditLine *line;
    History *history;
    char *history_path; /* NULL: none */
    const char *prompt;
    mbstate_t decoding;
    bool is_interrupted;
};

/* ---- characters ----------------------------------------------------------------------------- */

static editor *editor_of(EditLine *line) {
    void *data = NULL;
    el_get(line, EL_CLIENTDATA, &data);
    return data;
}

static char *prompt_of(EditLine *line) {
    return (char *)editor_of(line)->prompt;
}

/* Waits for a byte; false: the end, or Ctrl-C. */
static bool read_byte(editor *e, char *out) {
    struct pollfd fds[2] = {{STDIN_FILENO, POLLIN, 0},
                            {interrupt_fd(e->sh->interrupts), POLLIN, 0}};
    for (;;) {
        if (poll(fds, fds[1].fd < 0 ? 1 : 2, -1) < 0) {
            if (errno != EINTR)
                return false;
            continue;
        }
        e->is_interrupted = fds[1].fd >= 0 && fds[1].revents;
        if (e->is_interrupted)
            return false;
        ssize_t n = read(STDIN_FILENO, out, 1);
        if (n >= 0 || errno != EINTR)
            return n == 1;
    }
}

/* The next character: 1, or 0 at the end. */
static int read_char(EditLine *line, wchar_t *out) {
    editor *e = editor_of(line);
    char byte = 0;
    while (read_byte(e, &byte)) {
        size_t n = mbrtowc(out, &byte, 1, &e->decoding);
        if (n == (size_t)-2)
            continue; /* there is more of it */
        if (n != (size_t)-1)
            return 1;
        memset(&e->decoding, 0, sizeof e->decoding);
        *out = L'?';
        return 1;
    }
    return 0;
}

/* ---- completion ----------------------------------------------------------------------------- */

static void list_candidates(EditLine *line, const completion *c) {
    (void)line;
    fputc('\n', stderr);
    for (size_t i = 0; i < c->count; i++)
        fprintf(stderr, "%s%s", c->candidate[i], i + 1 < c->count ? "  " : "\n");
}

/* Tab: as much as all candidates have in common, or a list of them. */
static unsigned char complete_word(EditLine *line, int key) {
    (void)key;
    editor *e = editor_of(line);
    const LineInfo *info = el_line(line);
    completion c;
    unsigned char result = CC_ERROR;
    complete(e->sh, info->buffer, (size_t)(info->cursor - info->buffer), &c);
    if (*c.insert) {
        el_insertstr(line, c.insert);
        result = CC_REFRESH;
    } else if (c.count > 1) {
        list_candidates(line, &c);
        result = CC_REDISPLAY;
    }
    completion_free(&c);
    return result;
}

/* ---- history -------------------------------------------------------------------------------- */

/* Makes the folders of a path behind its first base bytes, for this user alone. */
static void make_folders(char *path, size_t base) {
    for (char *p = path + base; (p = strchr(p + 1, '/'));) {
        *p = 0;
        (void)mkdir(path, 0700); /* what is wrong with it shows when the file is written */
        *p = '/';
    }
}

/* XDG_STATE_HOME/vecstore/history, or that of ~/.local/state; NULL: neither is known. */
static char *history_path(void) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    const char *base = state && *state == '/' ? state : home, *inner = "";
    if (!base || *base != '/')
        return NULL;
    if (base == home)
        inner = "/.local/state";
    size_t room = strlen(base) + strlen(inner) + sizeof "/vecstore/history";
    char *path = shell_alloc(room);
    snprintf(path, room, "%s%s/vecstore/history", base, inner);
    make_folders(path, strlen(base) > 1 ? strlen(base) - 1 : 0);
    return path;
}

static void remember(editor *e, const char *line) {
    HistEvent event;
    if (line[strspn(line, " \t\r\n")])
        history(e->history, &event, H_ENTER, line);
}

/* ---- the editor ----------------------------------------------------------------------------- */

static void set_up(editor *e) {
    HistEvent event;
    el_set(e->line, EL_CLIENTDATA, e);
    el_set(e->line, EL_PROMPT, prompt_of);
    el_set(e->line, EL_SIGNAL, 1);
    el_set(e->line, EL_EDITOR, "emacs");
    el_set(e->line, EL_GETCFN, read_char);
    history(e->history, &event, H_SETSIZE, HISTORY_LINES);
    history(e->history, &event, H_SETUNIQUE, 1);
    el_set(e->line, EL_HIST, history, e->history);
    el_wset(e->line, EL_ADDFN, L"vecstore-complete", L"complete a word",
            complete_word); /* keeps them */
    el_set(e->line, EL_BIND, "^I", "vecstore-complete", NULL);
    el_set(e->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(e->line, NULL);
    if (e->history_path)
        history(e->history, &event, H_LOAD, e->history_path);
}

editor *editor_new(shell *sh) {
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return NULL;
    /* Characters only: numbers stay as they are. */
    if (!setlocale(LC_CTYPE, "") || MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8");
    editor *e = shell_alloc(sizeof *e);
    memset(e, 0, sizeof *e);
    e->sh = sh;
    e->prompt = "";
    e->line = el_init("vecstore", stdin, stderr, stderr);
    e->history = history_init();
    if (!e->line || !e->history) {
        editor_free(e);
        return NULL;
    }
    e->history_path = history_path();
    set_up(e);
    return e;
}

void editor_free(editor *e) {
    HistEvent event;
    if (!e)
        return;
    if (e->history && e->history_path)
        history(e->history, &event, H_SAVE, e->history_path);
    if (e->history)
        history_end(e->history);
    if (e->line)
        el_end(e->line);
    free(e->history_path);
    free(e);
}

int editor_line(editor *e, const char *prompt, const char **out_text, size_t *out_bytes) {
    int count = 0;
    e->prompt = prompt;
    e->is_interrupted = false;
    el_set(e->line, EL_PREP_TERM, 1); /* before the prompt shows: who sees it may type any key */
    const char *line = el_gets(e->line, &count);
    if (e->is_interrupted)
        return LINES_INTERRUPTED;
    if (!line || count <= 0)
        return LINES_END;
    remember(e, line);
    *out_text = line;
    *out_bytes = (size_t)count - (line[count - 1] == '\n');
    return LINES_LINE;
}

#endif
