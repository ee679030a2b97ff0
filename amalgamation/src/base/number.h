/* number.h - numbers as decimal text and back, exact and without a locale. */
#ifndef VSI_NUMBER_H
#define VSI_NUMBER_H

#include "base/port.h"

/* A number in the grammar of JSON, as it stands in a text. */
typedef struct vsi_decimal {
    const uint8_t *text; /* its first byte; borrowed */
    size_t bytes;        /* it has; when it is none, those before the fault */
    uint64_t digits;     /* the first 19 of its significant digits, or all when there are fewer */
    int64_t exponent;    /* its size is digits * 10^exponent ... */
    bool is_cut;         /* ... and a bit more, less than 10^exponent: further digits follow */
    bool is_negative;
} vsi_decimal;

/* Reads the number that text begins with, as far as it goes: NULL, or the words for what was expected
 * behind out->bytes bytes. */
VSI_FN const char *vsi_decimal_read(const uint8_t *text, size_t n, vsi_decimal *out);

/* The nearest number; of two equally near ones that with an even mantissa. Infinite from half a step
 * behind the largest one on. */
VSI_FN double vsi_decimal_to_double(const vsi_decimal *decimal);
VSI_FN float vsi_decimal_to_float(const vsi_decimal *decimal);

/* A number in the form in which most elements of vectors are written: up to 7 digits, or these, a point and 1 to 18
 * digits, 19 in all; no exponent. Returns its bytes, with *out as vsi_decimal_to_float has it; 0: it is of another
 * form, or fewer than VSI_FLOAT_TAKE_BYTES are there to look at. */
enum { VSI_FLOAT_TAKE_BYTES = 36 };
VSI_FN size_t vsi_float_take(const uint8_t *text, size_t n, float *out);

/* What a number is as an integer; by its value: 1e3 and 10.0 are integers. */
enum { VSI_INTEGER = 0, VSI_INTEGER_FRACTION, VSI_INTEGER_RANGE };

VSI_FN int vsi_decimal_to_u64(const vsi_decimal *decimal, uint64_t *out);
VSI_FN int vsi_decimal_to_i64(const vsi_decimal *decimal, int64_t *out);

enum { VSI_NUMBER_TEXT_BYTES = 24 }; /* of the longest text below */

/* The shortest text that reads back as the same number, of those the nearest; as JSON allows it, and
 * without a NUL. value is finite. Returns its bytes. */
VSI_FN size_t vsi_double_write(double value, char out[VSI_NUMBER_TEXT_BYTES]);
VSI_FN size_t vsi_float_write(float value, char out[VSI_NUMBER_TEXT_BYTES]);

#endif
