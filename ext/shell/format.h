/* format.h - the formats of files of vectors and of records. */
#ifndef SHELL_FORMAT_H
#define SHELL_FORMAT_H

#include <stdbool.h>

enum {
    FORMAT_FVECS = 1, /* each row a dimension, int32, and its elements, little-endian: float, */
    FORMAT_BVECS,     /* uint8, */
    FORMAT_IVECS,     /* int32, */
    FORMAT_I8VECS,    /* int8 */
    FORMAT_FBIN,      /* rows and dimension, uint32, then the elements: float, */
    FORMAT_U8BIN,     /* uint8, */
    FORMAT_I8BIN,     /* int8 */
    FORMAT_NPY,       /* an array of NumPy */
    FORMAT_SAFETENSORS,
    FORMAT_JSONL, /* an object a line */
    FORMAT_CSV,   /* RFC 4180, with a header */
    FORMAT_TSV    /* the same with tabs */
};

/* The formats' names in this order, ends with NULL; they are the endings of file names as well. */
extern const char *const format_names[];

/* The format that a file's name says, also in front of .zst; 0: none. */
int format_of(const char *path);
/* Whether its rows have names, keys and metadata; otherwise they are vectors and nothing else. */
bool format_has_names(int format);

#endif
