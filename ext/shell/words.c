/* words.c - splitting a line into words. */
#include "words.h"
#include "shell.h"
#include <stdlib.h>
#include <string.h>

typedef struct splitter {
    const char *text;
    size_t bytes, at;
    char *out; /* room for all of text and a NUL behind each word */
    size_t used;
    bool is_plain;
    int problem; /* WORDS_... */
} splitter;

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_comment(splitter *s) {
    while (s->at < s->bytes && s->text[s->at] != '\n')
        s->at++;
}

/* The bytes of a backslash at the end of a line; 0: there is none. */
static size_t line_end_bytes(const splitter *s) {
    const char *p = s->text + s->at;
    size_t left = s->bytes - s->at;
    if (left >= 2 && p[0] == '\\' && p[1] == '\n')
        return 2;
    return left >= 3 && p[0] == '\\' && p[1] == '\r' && p[2] == '\n' ? 3 : 0;
}

/* To the beginning of the next word; false: there is none. */
static bool skip_blanks(splitter *s) {
    while (s->at < s->bytes) {
        size_t joined = line_end_bytes(s);
        if (joined)
            s->at += joined;
        else if (is_blank(s->text[s->at]))
            s->at++;
        else if (s->text[s->at] == '#')
            skip_comment(s);
        else
            return true;
    }
    return false;
}

/* At a backslash: what it makes ordinary. */
static void take_escaped(splitter *s) {
    size_t joined = line_end_bytes(s);
    if (joined) {
        s->at += joined;
    } else if (s->at + 1 == s->bytes) {
        s->problem = WORDS_OPEN_LINE;
    } else {
        s->out[s->used++] = s->text[s->at + 1];
        s->at += 2;
        s->is_plain = false;
    }
}

/* At a quote: up to the one that closes it. */
static void take_quoted(splitter *s) {
    char quote = s->text[s->at++];
    s->is_plain = false;
    while (s->at < s->bytes && s->text[s->at] != quote) {
        char c = s->text[s->at], next = s->at + 1 < s->bytes ? s->text[s->at + 1] : 0;
        if (quote == '"' && line_end_bytes(s)) {
            s->at += line_end_bytes(s);
        } else if (quote == '"' && c == '\\' && (next == '"' || next == '\\')) {
            s->out[s->used++] = next;
            s->at += 2;
        } else {
            s->out[s->used++] = c;
            s->at++;
        }
    }
    if (s->at == s->bytes)
        s->problem = WORDS_OPEN_QUOTE;
    else
        s->at++;
}

static void take_word(splitter *s) {
    s->is_plain = true;
    while (s->problem == WORDS_OK && s->at < s->bytes && !is_blank(s->text[s->at])) {
        char c = s->text[s->at];
        if (c == '\\') {
            take_escaped(s);
        } else if (c == '\'' || c == '"') {
            take_quoted(s);
        } else {
            s->out[s->used++] = c;
            s->at++;
        }
    }
    s->out[s->used++] = 0;
}

int words_split(const char *text, size_t bytes, words *out_words) {
    words w = {NULL, 0, NULL};
    splitter s = {.text = text, .bytes = bytes};
    if (bytes && memchr(text, 0, bytes))
        return WORDS_NUL;
    s.out = w.text = shell_alloc(2 * bytes + 2); /* a word of one byte becomes two */
    while (s.problem == WORDS_OK && skip_blanks(&s)) {
        w.word = shell_realloc(w.word, (w.count + 1) * sizeof *w.word);
        w.word[w.count].text = s.out + s.used;
        take_word(&s);
        w.word[w.count++].is_plain = s.is_plain;
    }
    if (s.problem != WORDS_OK) {
        words_free(&w);
        return s.problem;
    }
    *out_words = w;
    return WORDS_OK;
}

void words_free(words *w) {
    free(w->word);
    free(w->text);
    *w = (words){NULL, 0, NULL};
}
