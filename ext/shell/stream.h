/* stream.h - the bytes of a file in order, plain or decompressed. */
#ifndef SHELL_STREAM_H
#define SHELL_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STREAM_WHY_BYTES = 256 };
enum { STREAM_LINE_BYTES_MAX = 1 << 28 };

typedef struct stream stream;

/* Opens a file, one that ends with .zst decompressed; - is the standard input. NULL: see why. */
stream *stream_open(const char *path, char why[STREAM_WHY_BYTES]);
void stream_close(stream *s); /* NULL is allowed */

/* Reads until bytes are there or the file ends; *out_bytes says which. False: cannot be read. */
bool stream_read(stream *s, void *buf, size_t bytes, size_t *out_bytes, char *why);

/* The next line, without its end (LF or CR LF), valid until the next call. With a separator it is a record of a
 * table: line ends inside quotes belong to it, and a quote counts at the start of a cell. *out_lines: how
 * many lines it took; 0: the file is at its end. False: cannot be read, or it is too long. */
bool stream_line(stream *s, char separator, const char **out_line, size_t *out_bytes,
                 size_t *out_lines, char *why);

/* Whether nothing follows; reads ahead. A file that cannot be read is not at its end. */
bool stream_at_end(stream *s);
/* How much of it was read, 0 to 1; below 0: not known. */
double stream_part(const stream *s);

/* What a file is known by again: its size and the hash of its first mebibyte. False: cannot be read. Pipes
 * have none: *out_is_file is false. */
bool stream_identify(const char *path, bool *out_is_file, uint64_t *out_bytes, uint64_t *out_hash);

#endif
