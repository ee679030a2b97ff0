/* words.h - lines of text as words, in the manner of a simple shell. */
#ifndef SHELL_WORDS_H
#define SHELL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Blanks separate words. '...' and "..." keep what they enclose, also ends of lines. A backslash makes the next
 * character ordinary; in "..." only " and another backslash, in '...' nothing. At the end of a line it
 * joins the next one. # where a word could begin starts a comment up to the end of the line. Everything else,
 * also ; and $, is an ordinary character. */
typedef struct word_place {
    size_t at;     /* in words.text */
    bool is_plain; /* nothing of it was quoted */
} word_place;

typedef struct words {
    word_place *word; /* [count] */
    size_t count;
    char *text; /* the words' bytes, a NUL behind each */
    size_t used, room;
    char quote;     /* that is open, or 0 */
    bool is_inside; /* the last word goes on */
    bool is_joined; /* a backslash ended the last line */
} words;

enum {
    WORDS_OK,
    WORDS_OPEN_QUOTE, /* they go on in the next line: a quote is open */
    WORDS_OPEN_LINE,  /* they go on: a backslash ended the line */
    WORDS_NUL         /* a NUL byte is in the line, which no word can have */
};

void words_begin(words *out_words);
/* Adds a line, without its line feed. After WORDS_OK and WORDS_NUL no further one may follow. */
int words_add(words *w, const char *line, size_t bytes);
void words_free(words *w);

/* All lines of a text at once. words_free in any case. */
int words_split(const char *text, size_t bytes, words *out_words);

/* Word number i, valid until words_free. */
const char *words_at(const words *w, size_t i);

#endif
