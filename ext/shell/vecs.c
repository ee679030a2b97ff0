/* vecs.c - files of vectors.
 *
 *   A stream gives bytes in order from a plain file or through zstd's streaming decompressor;
 * memory is bounded by its two buffers and one row. */
#define _POSIX_C_SOURCE 200809L
#include "vecs.h"
#include "shell.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#ifndef VS_OMIT_ZSTD
#include <zstd.h>
#endif
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { STREAM_BUFFER_BYTES = 1 << 17, IDENTIFY_BYTES = 1 << 20 };

struct vecs_stream {
    FILE *file;
    off_t file_bytes; /* 0: not a regular file */
    uint8_t *out;     /* decompressed bytes [out_at, out_end) wait to be read; NULL: a plain file */
    size_t out_at, out_end;
#ifndef VS_OMIT_ZSTD
    ZSTD_DStream *zstd;
    uint8_t *in;
    ZSTD_inBuffer pending;
    bool is_mid_frame;
#endif
};

/* ---- streams -------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static void stream_close(vecs_stream *s) {
    if (!s)
        return;
#ifndef VS_OMIT_ZSTD
    ZSTD_freeDStream(s->zstd);
    free(s->in);
#endif
    free(s->out);
    if (s->file)
        fclose(s->file);
    free(s);
}

static bool stream_open(vecs_stream *s, const char *path, char *why) {
    s->file = fopen(path, "rb");
    struct stat info;
    if (!s->file || fstat(fileno(s->file), &info) || S_ISDIR(info.st_mode)) {
        snprintf(why, VECS_WHY_BYTES, "%s", s->file ? "is a folder" : strerror(errno));
        return false;
    }
    s->file_bytes = S_ISREG(info.st_mode) ? info.st_size : 0;
    if (!ends_with(path, ".zst"))
        return true;
#ifdef VS_OMIT_ZSTD
    snprintf(why, VECS_WHY_BYTES, "this build cannot read .zst files (VS_OMIT_ZSTD)");
    return false;
#else
    s->zstd = ZSTD_createDStream();
    s->in = shell_alloc(STREAM_BUFFER_BYTES);
    s->out = shell_alloc(STREAM_BUFFER_BYTES);
    s->pending.src = s->in;
    if (!s->zstd)
        snprintf(why, VECS_WHY_BYTES, "out of memory");
    return s->zstd;
#endif
}

/* Decompresses more; sets *out_end at the end of the file. */
static bool stream_fill(vecs_stream *s, bool *out_end, char *why) {
#ifndef VS_OMIT_ZSTD
    ZSTD_outBuffer out = {.dst = s->out, .size = STREAM_BUFFER_BYTES};
    while (out.pos == 0) {
        if (s->pending.pos == s->pending.size) {
            s->pending.size = fread(s->in, 1, STREAM_BUFFER_BYTES, s->file);
            s->pending.pos = 0;
            if (s->pending.size == 0) {
                *out_end = true;
                if (ferror(s->file))
                    snprintf(why, VECS_WHY_BYTES, "cannot be read: %s", strerror(errno));
                else if (s->is_mid_frame)
                    snprintf(why, VECS_WHY_BYTES, "the compressed data end too early");
                else
                    return true;
                return false;
            }
        }
        size_t left = ZSTD_decompressStream(s->zstd, &out, &s->pending);
        if (ZSTD_isError(left)) {
            snprintf(why, VECS_WHY_BYTES, "zstd: %s", ZSTD_getErrorName(left));
            return false;
        }
        s->is_mid_frame = left != 0;
    }
    s->out_at = 0;
    s->out_end = out.pos;
#else
    (void)s;
    (void)out_end;
    (void)why;
#endif
    return true;
}

/* Reads until bytes are there or the stream ends; *out_bytes says which. False: cannot be read. */
static bool stream_read(vecs_stream *s, void *buf, size_t bytes, size_t *out_bytes, char *why) {
    size_t done = 0;
    bool is_end = false;
    if (!s->out) {
        *out_bytes = fread(buf, 1, bytes, s->file);
        if (*out_bytes < bytes && ferror(s->file)) {
            snprintf(why, VECS_WHY_BYTES, "cannot be read: %s", strerror(errno));
            return false;
        }
        return true;
    }
    while (done < bytes && !is_end) {
        size_t n = s->out_end - s->out_at;
        n = n < bytes - done ? n : bytes - done;
        memcpy((uint8_t *)buf + done, s->out + s->out_at, n);
        s->out_at += n;
        done += n;
        if (done < bytes && !stream_fill(s, &is_end, why))
            return false;
    }
    *out_bytes = done;
    return true;
}

/* ---- rows ----------------------------------------------------------------------------------- */

int vecs_kind_of(const char *path) {
    static const struct {
        const char *end;
        int kind;
    } kinds[] = {{".fvecs", VECS_F32},    {".fvecs.zst", VECS_F32}, {".bvecs", VECS_U8},
                 {".bvecs.zst", VECS_U8}, {".ivecs", VECS_I32},     {".ivecs.zst", VECS_I32}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (ends_with(path, kinds[i].end))
            return kinds[i].kind;
    return 0;
}

size_t vecs_element_bytes(int kind) {
    return kind == VECS_U8 ? 1 : 4;
}

static uint32_t read_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Words of the file to the machine's order; on little-endian machines a store of the same bytes. */
static void swap_words(uint8_t *bytes, size_t count) {
    for (size_t i = 0; i < count; i++, bytes += 4) {
        uint32_t word = read_u32(bytes);
        memcpy(bytes, &word, sizeof word);
    }
}

static bool ahead_is_finite(const vecs *file, uint32_t *out_at) {
    for (uint32_t i = 0; file->kind == VECS_F32 && i < file->dim; i++) {
        float value;
        memcpy(&value, file->ahead + 4 * i, sizeof value);
        *out_at = i;
        if (!isfinite(value))
            return false;
    }
    return true;
}

static bool fail_row(vecs *file, const char *reason) {
    char copy[VECS_WHY_BYTES];
    snprintf(copy, sizeof copy, "%s", reason);
    snprintf(file->why, sizeof file->why, "row %llu: %.200s", (unsigned long long)file->rows, copy);
    return false;
}

static bool check_dim(vecs *file, uint32_t dim) {
    char text[96];
    if (file->dim && dim != file->dim) {
        snprintf(text, sizeof text, "dimension is %lu, expected %lu as in row 0",
                 (unsigned long)dim, (unsigned long)file->dim);
        return fail_row(file, text);
    }
    if (dim < 1 || dim > VS_DIM_MAX) {
        snprintf(text, sizeof text, "dimension is %lu, expected 1 to %u", (unsigned long)dim,
                 VS_DIM_MAX);
        return fail_row(file, text);
    }
    return true;
}

/* Row number file->rows into file->ahead. */
static bool read_ahead(vecs *file, bool *out_end) {
    uint8_t head[4];
    size_t got = 0;
    uint32_t at = 0;
    char why[VECS_WHY_BYTES] = "";
    if (!stream_read(file->stream, head, sizeof head, &got, why))
        return fail_row(file, why);
    *out_end = got == 0;
    if (*out_end)
        return true;
    if (got < sizeof head)
        return fail_row(file, "the file ends inside the row's dimension");
    uint32_t dim = read_u32(head);
    if (!check_dim(file, dim))
        return false;
    size_t bytes = dim * vecs_element_bytes(file->kind);
    if (!file->dim) {
        file->row = shell_alloc(bytes);
        file->ahead = shell_alloc(bytes);
    }
    file->dim = dim;
    if (!stream_read(file->stream, file->ahead, bytes, &got, why))
        return fail_row(file, why);
    if (got < bytes) {
        char text[96];
        snprintf(text, sizeof text, "the file ends inside the row: %zu of %zu bytes", got, bytes);
        return fail_row(file, text);
    }
    if (file->kind != VECS_U8)
        swap_words(file->ahead, dim);
    if (!ahead_is_finite(file, &at)) {
        char text[64];
        snprintf(text, sizeof text, "element %lu is not a finite number", (unsigned long)at);
        return fail_row(file, text);
    }
    return true;
}

static void look_ahead(vecs *file) {
    bool is_end = false;
    if (!read_ahead(file, &is_end))
        file->ahead_is = VECS_AHEAD_BROKEN;
    else
        file->ahead_is = is_end ? VECS_AHEAD_END : VECS_AHEAD_ROW;
}

bool vecs_open(vecs *out_file, const char *path, int kind) {
    vecs *file = out_file;
    memset(file, 0, sizeof *file);
    file->path = path;
    file->kind = kind ? kind : vecs_kind_of(path);
    if (!file->kind) {
        snprintf(file->why, sizeof file->why,
                 "the name does not tell its format; expected .fvecs, .bvecs or .ivecs, or .zst "
                 "behind it, or --format");
        return false;
    }
    file->stream = shell_alloc(sizeof *file->stream);
    memset(file->stream, 0, sizeof *file->stream);
    if (!stream_open(file->stream, path, file->why))
        return false;
    look_ahead(file);
    return file->ahead_is != VECS_AHEAD_BROKEN;
}

void vecs_close(vecs *file) {
    stream_close(file->stream);
    free(file->row);
    free(file->ahead);
    file->stream = NULL;
    file->row = file->ahead = NULL;
}

bool vecs_next(vecs *file, bool *out_end) {
    uint8_t *row = file->ahead;
    *out_end = file->ahead_is == VECS_AHEAD_END;
    if (file->ahead_is != VECS_AHEAD_ROW)
        return *out_end;
    file->ahead = file->row;
    file->row = row;
    file->rows++;
    look_ahead(file);
    return true;
}

bool vecs_at_end(const vecs *file) {
    return file->ahead_is == VECS_AHEAD_END;
}

double vecs_part(const vecs *file) {
    off_t at = file->stream && file->stream->file_bytes ? ftello(file->stream->file) : -1;
    return at < 0 ? -1 : (double)at / (double)file->stream->file_bytes;
}

bool vecs_identify(const char *path, bool *out_is_file, uint64_t *out_bytes, uint64_t *out_hash) {
    struct stat info;
    if (stat(path, &info))
        return false;
    *out_is_file = S_ISREG(info.st_mode);
    if (!*out_is_file)
        return true;
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    uint8_t *first = shell_alloc(IDENTIFY_BYTES);
    size_t n = fread(first, 1, IDENTIFY_BYTES, f);
    bool ok = !ferror(f);
    *out_bytes = (uint64_t)info.st_size;
    *out_hash = XXH3_64bits(first, n);
    free(first);
    fclose(f);
    return ok;
}

bool vecs_load(const char *path, int kind, void **out_rows, uint64_t *out_count, uint32_t *out_dim,
               int *out_kind, char *why) {
    vecs file;
    uint8_t *rows = NULL;
    size_t used = 0, cap = 0;
    bool ok = vecs_open(&file, path, kind), is_end = false;
    size_t row_bytes = file.dim * vecs_element_bytes(file.kind);
    while (ok && (ok = vecs_next(&file, &is_end)) && !is_end) {
        if (used + row_bytes > cap) {
            cap = cap ? 2 * cap : 64 * row_bytes;
            rows = shell_realloc(rows, cap);
        }
        memcpy(rows + used, file.row, row_bytes);
        used += row_bytes;
    }
    *out_rows = rows;
    *out_count = file.rows;
    *out_dim = file.dim;
    *out_kind = file.kind;
    if (!ok) {
        snprintf(why, VECS_WHY_BYTES, "%s", file.why);
        free(rows);
        *out_rows = NULL;
    }
    vecs_close(&file);
    return ok;
}
