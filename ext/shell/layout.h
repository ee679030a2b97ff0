/* layout.h - what files of vectors have in front of their rows. */
#ifndef SHELL_LAYOUT_H
#define SHELL_LAYOUT_H

#include "stream.h"

/* How the rows of a file lie. */
typedef struct layout {
    int element;   /* ELEMENT_... */
    uint32_t dim;  /* 0: in front of each row, an int32 */
    uint64_t rows; /* UINT64_MAX: as many as follow */
    bool is_big_endian;
    bool has_more; /* other data may follow the rows */
} layout;

/* Reads what stands in front of the first row. tensor: of safetensors, NULL: the only one. False: see
 * why. layout_read_FORMAT are for layout_read alone. */
bool layout_read(stream *s, int format, const char *tensor, layout *out, char *why);
bool layout_read_npy(stream *s, layout *out, char *why);
bool layout_read_safetensors(stream *s, const char *tensor, layout *out, char *why);

/* Reads exactly so many bytes of a header, or says that the file ends. */
bool layout_bytes(stream *s, void *buf, size_t bytes, char *why);
/* Passes so many bytes over. */
bool layout_skip(stream *s, uint64_t bytes, char *why);
/* Whether a header's shape can be: sets dim and rows, or says why not. */
bool layout_shape(layout *out, uint64_t rows, uint64_t dim, char *why);
uint32_t layout_u32(const uint8_t *p); /* little-endian */

#endif
