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

/* A word as a POSIX shell takes it, in quotes when it needs them; cut off when out is too small. */
void text_quote(const char *word, char *out, size_t out_bytes);

/* A whole number without sign, the whole string. */
bool text_to_u64(const char *text, uint64_t *out_value);

/* A JSON array of numbers; *out_values is malloc'd. NULL on success, else what is wrong. */
const char *text_to_floats(const char *text, float **out_values, size_t *out_count);

#endif
