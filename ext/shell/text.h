/* text.h - numbers and names as text, the same in every locale. */
#ifndef SHELL_TEXT_H
#define SHELL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_DOUBLE_BYTES = 32 };

/* The shortest decimal form that reads back as the same number, as JSON allows it. value is finite.
 */
void text_double(double value, char out[TEXT_DOUBLE_BYTES]);

/* The same for a float: the shortest form that reads back as the same float. */
void text_float(float value, char out[TEXT_DOUBLE_BYTES]);

/* A word as a POSIX shell and a script take it, in quotes when it needs them; cut off when out is too small. */
void text_quote(const char *word, char *out, size_t out_bytes);

/* A whole number without sign, the whole string. */
bool text_to_u64(const char *text, uint64_t *out_value);

/* A number as JSON writes it, or inf or -inf; the whole string. */
bool text_to_double(const char *text, double *out_value);

/* The bytes of the UTF-8 character at text, of which there are so many and at least one; 0: it is none. */
size_t text_utf8_bytes(const char *text, size_t bytes);

/* The name that a word was probably meant to be; name(ctx, at) gives them one by one, then NULL. NULL:
 * none is near enough. */
const char *text_nearest(const char *word, const char *(*name)(const void *ctx, size_t at),
                         const void *ctx);

/* What is said behind a word that names nothing: the nearest name, then all of them when they are few, else
 * otherwise. Written to out, which is returned. */
enum { TEXT_HINT_BYTES = 400 };
const char *text_hint(const char *word, const char *(*name)(const void *ctx, size_t at),
                      const void *ctx, const char *otherwise, char out[TEXT_HINT_BYTES]);

enum { TEXT_WHY_BYTES = 96 };

/* A JSON array of numbers; *out_values is malloc'd. False: why says what is wrong with it. */
bool text_to_floats(const char *text, float **out_values, size_t *out_count,
                    char why[TEXT_WHY_BYTES]);

#endif
