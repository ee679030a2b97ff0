/* words.h - a line of text as words, in the manner of a simple shell. */
#ifndef SHELL_WORDS_H
#define SHELL_WORDS_H

#include <stdbool.h>
#include <stddef.h>

/* Blanks and line feeds separate words. '...' and "..." keep what they enclose; in "..." a backslash makes
 * a following ", backslash or line feed ordinary, outside of quotes any character. A backslash at the end of
 * a line continues it. # where a word could begin starts a comment up to the end of the line. Everything
 * else, also ; and $, is an ordinary character. */
typedef struct word {
    char *text;    /* ends with NUL */
    bool is_plain; /* nothing of it was quoted */
} word;

typedef struct words {
    word *word; /* [count] */
    size_t count;
    char *text; /* the words' bytes */
} words;

enum {
    WORDS_OK,
    WORDS_OPEN_QUOTE, /* it goes on: a quote is open */
    WORDS_OPEN_LINE,  /* it goes on: a backslash stands at the end */
    WORDS_NUL         /* a NUL byte is in the line, which no word can have */
};

/* Splits [bytes] of text. On WORDS_OK words_free frees them; else nothing was made. */
int words_split(const char *text, size_t bytes, words *out_words);
void words_free(words *w);

#endif
