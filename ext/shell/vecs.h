/* vecs.h - files of vectors and nothing else: fvecs, bvecs, ivecs, i8vecs, fbin, u8bin, i8bin, npy and safetensors, plain
 * or compressed with zstd. */
#ifndef SHELL_VECS_H
#define SHELL_VECS_H

#include "layout.h"

enum { VECS_WHY_BYTES = STREAM_WHY_BYTES };

typedef struct vecs {
    const char *path;         /* borrowed */
    int format;               /* FORMAT_... */
    int type;                 /* of the rows' elements, VS_...; 0: int32 of ivecs, ids */
    uint32_t dim;             /* of the first row; 0 until it was read */
    uint64_t rows;            /* read so far, also those that were refused */
    char why[VECS_WHY_BYTES]; /* the last failure, with the row */
    layout layout;
    stream *stream;
    uint8_t *raw;   /* a row as the file has it */
    uint8_t *row;   /* [row_bytes] the last row, elements in the machine's order */
    uint8_t *ahead; /* the one behind it */
    size_t row_bytes;
    int ahead_is; /* VECS_... */
} vecs;

/* What vecs_next finds. */
enum {
    VECS_ROW,
    VECS_END,
    VECS_REFUSED, /* a row that is no vector; the next one can be read */
    VECS_BROKEN   /* nothing can be read any more */
};

/* Opens a file of a FORMAT_..., 0: by its name, and reads its first row; tensor as layout_read. False: see
 * out_file->why. vecs_close also after a failure. An empty file has no rows and dim 0. */
bool vecs_open(vecs *out_file, const char *path, int format, const char *tensor);
void vecs_close(vecs *file);

/* The next row into file->row. After VECS_REFUSED and VECS_BROKEN see why. */
int vecs_next(vecs *file);

/* Whether no row follows. */
bool vecs_at_end(const vecs *file);

/* A whole file in memory: rows [count x dim], freed by the caller. False: why [VECS_WHY_BYTES] says it. */
bool vecs_load(const char *path, int format, void **out_rows, uint64_t *out_count,
               uint32_t *out_dim, int *out_type, char *why);

#endif
