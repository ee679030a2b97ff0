/* vecs.h - files of vectors: fvecs, bvecs and ivecs, plain or compressed with zstd. */
#ifndef SHELL_VECS_H
#define SHELL_VECS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Every row is a dimension, int32, and so many elements, all little-endian. */
enum { VECS_F32 = 1, VECS_U8 = 2, VECS_I32 = 3 };

enum { VECS_WHY_BYTES = 256 };

typedef struct vecs_stream vecs_stream; /* the bytes, decompressed */

typedef struct vecs {
    const char *path;         /* borrowed */
    int kind;                 /* VECS_... */
    uint32_t dim;             /* of the first row; 0 until it was read */
    uint64_t rows;            /* read so far */
    char why[VECS_WHY_BYTES]; /* the last failure, with the row */
    vecs_stream *stream;
    uint8_t *row;   /* [dim x element] the last row, elements in the machine's order */
    uint8_t *ahead; /* the one behind it */
    int ahead_is;   /* VECS_AHEAD_... */
} vecs;

enum { VECS_AHEAD_ROW, VECS_AHEAD_END, VECS_AHEAD_BROKEN };

/* The kind that a file's name says (.fvecs, .bvecs, .ivecs, each also with .zst), 0: none. */
int vecs_kind_of(const char *path);
size_t vecs_element_bytes(int kind);

/* Opens a file and reads its first row; kind 0: by its name. False: see out_file->why. vecs_close
 * also after a failure. An empty file has no rows and dim 0. */
bool vecs_open(vecs *out_file, const char *path, int kind);
void vecs_close(vecs *file);

/* The next row into file->row. *out_end is set instead at the end. False: malformed, see why. */
bool vecs_next(vecs *file, bool *out_end);
/* Whether the row that vecs_next gave was the last one. */
bool vecs_at_end(const vecs *file);

/* How much of the file was read, 0 to 1; -1: that cannot be told, it is a pipe. */
double vecs_part(const vecs *file);

/* Size of the file as it is and XXH3-64 of its first mebibyte: what an importer knows it by. Sets
 * *out_is_file to false and reads nothing when it is a pipe or a device. */
bool vecs_identify(const char *path, bool *out_is_file, uint64_t *out_bytes, uint64_t *out_hash);

/* A whole file in memory, [rows x dim] elements; malloc'd. False: see why (VECS_WHY_BYTES). */
bool vecs_load(const char *path, int kind, void **out_rows, uint64_t *out_count, uint32_t *out_dim,
               int *out_kind, char *why);

#endif
