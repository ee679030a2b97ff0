/* words.c - splitting lines into words. Each byte is looked at once, however many lines a word has. */
#include "words.h"
#include "shell.h"
#include <stdlib.h>
#include <string.h>

void words_begin(words *out_words) {
    memset(out_words, 0, sizeof *out_words);
}

void words_free(words *w) {
    free(w->word);
    free(w->text);
    words_begin(w);
}

const char *words_at(const words *w, size_t i) {
    return w->text + w->word[i].at;
}

/* ---- words ---------------------------------------------------------------------------------- */

static void begin_word(words *w) {
    if (w->is_inside)
        return;
    if (!(w->count & (w->count + 1))) /* full at 0, 1, 3, 7, ... */
        w->word = shell_realloc(w->word, 2 * (w->count + 1) * sizeof *w->word);
    w->word[w->count++] = (word_place){w->used, true};
    w->is_inside = true;
}

static void append(words *w, char c) {
    if (w->used == w->room) {
        w->room = 2 * w->room + 256;
        w->text = shell_realloc(w->text, w->room);
    }
    w->text[w->used++] = c;
}

static void end_word(words *w) {
    if (w->is_inside)
        append(w, 0);
    w->is_inside = false;
}

/* Something of the last word is quoted. */
static void mark_quoted(words *w) {
    begin_word(w);
    w->word[w->count - 1].is_plain = false;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* What stands behind a backslash, an ordinary character; bytes: of the line from there on. Returns how many
 * bytes that were. */
static size_t take_escaped(words *w, const char *p, size_t bytes) {
    if (!bytes || (bytes == 1 && *p == '\r')) {
        w->is_joined = true;
        return bytes;
    }
    if (w->quote && *p != '"' && *p != '\\') {
        append(w, '\\');
        return 0;
    }
    mark_quoted(w);
    append(w, *p);
    return 1;
}

/* One character, which is no backslash that has a meaning. */
static void take(words *w, char c) {
    if (c == w->quote) {
        w->quote = 0;
    } else if (!w->quote && (c == '\'' || c == '"')) {
        mark_quoted(w);
        w->quote = c;
    } else if (!w->quote && is_blank(c)) {
        end_word(w);
    } else {
        begin_word(w);
        append(w, c);
    }
}

int words_add(words *w, const char *line, size_t bytes) {
    if (bytes && memchr(line, 0, bytes))
        return WORDS_NUL;
    if (w->quote && !w->is_joined)
        append(w, '\n');
    w->is_joined = false;
    for (size_t i = 0; i < bytes;) {
        char c = line[i++];
        if (c == '#' && !w->is_inside)
            break;
        if (c == '\\' && w->quote != '\'')
            i += take_escaped(w, line + i, bytes - i);
        else
            take(w, c);
    }
    if (w->quote)
        return WORDS_OPEN_QUOTE;
    if (w->is_joined)
        return WORDS_OPEN_LINE;
    end_word(w);
    return WORDS_OK;
}

int words_split(const char *text, size_t bytes, words *out_words) {
    int how = WORDS_OK;
    words_begin(out_words);
    for (size_t at = 0; at <= bytes;) {
        const char *end = bytes > at ? memchr(text + at, '\n', bytes - at) : NULL;
        size_t n = end ? (size_t)(end - text) - at : bytes - at;
        how = words_add(out_words, text + at, n);
        if (how == WORDS_NUL)
            return how;
        at += n + 1;
    }
    return how;
}
