/* stream.c - the bytes of a file in order, plain or through zstd's streaming decompressor. Memory is bounded by two
 * buffers; the one of bytes that wait to be read grows to hold a line. */
#define _POSIX_C_SOURCE 200809L
#include "stream.h"
#include "shell.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef VS_OMIT_ZSTD
#include <zstd.h>
#endif
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { STREAM_BUFFER_BYTES = 1 << 17, IDENTIFY_BYTES = 1 << 20 };

struct stream {
    FILE *file;
    off_t file_bytes; /* 0: not a regular file */
    char *out;        /* bytes [out_at, out_end) of [out_room] wait to be read */
    size_t out_at, out_end, out_room;
    bool is_end; /* of the file; what waits may still be read */
#ifndef VS_OMIT_ZSTD
    ZSTD_DStream *zstd; /* NULL: a plain file */
    char *in;
    ZSTD_inBuffer pending;
    bool is_mid_frame;
#endif
};

void stream_close(stream *s) {
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

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static bool open_zstd(stream *s, char *why) {
#ifdef VS_OMIT_ZSTD
    (void)s;
    snprintf(why, STREAM_WHY_BYTES, "this build cannot read .zst files (VS_OMIT_ZSTD)");
    return false;
#else
    s->zstd = ZSTD_createDStream();
    s->in = shell_alloc(STREAM_BUFFER_BYTES);
    s->pending.src = s->in;
    if (!s->zstd)
        snprintf(why, STREAM_WHY_BYTES, "out of memory");
    return s->zstd;
#endif
}

static bool open_file(stream *s, const char *path, char *why) {
    struct stat info;
    int standard = strcmp(path, "-") ? -1 : dup(STDIN_FILENO);
    s->file = standard >= 0 ? fdopen(standard, "rb") : fopen(path, "rb");
    if (!s->file || fstat(fileno(s->file), &info) || S_ISDIR(info.st_mode)) {
        snprintf(why, STREAM_WHY_BYTES, "%s", s->file ? "is a folder" : strerror(errno));
        return false;
    }
    s->file_bytes = S_ISREG(info.st_mode) ? info.st_size : 0;
    return !ends_with(path, ".zst") || open_zstd(s, why);
}

stream *stream_open(const char *path, char why[STREAM_WHY_BYTES]) {
    stream *s = shell_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->out_room = STREAM_BUFFER_BYTES;
    s->out = shell_alloc(s->out_room);
    if (open_file(s, path, why))
        return s;
    stream_close(s);
    return NULL;
}

static bool fail_read(char *why) {
    snprintf(why, STREAM_WHY_BYTES, "cannot be read: %s", strerror(errno));
    return false;
}

#ifndef VS_OMIT_ZSTD
/* More compressed bytes; at the end of the file there are none. */
static bool refill_in(stream *s, char *why) {
    s->pending.size = fread(s->in, 1, STREAM_BUFFER_BYTES, s->file);
    s->pending.pos = 0;
    if (s->pending.size)
        return true;
    if (ferror(s->file))
        return fail_read(why);
    if (s->is_mid_frame)
        snprintf(why, STREAM_WHY_BYTES, "the compressed data end too early");
    s->is_end = !s->is_mid_frame;
    return s->is_end;
}

static bool fill_zstd(stream *s, char *why) {
    ZSTD_outBuffer out = {.dst = s->out, .size = s->out_room, .pos = s->out_end};
    while (out.pos == s->out_end && !s->is_end) {
        if (s->pending.pos == s->pending.size && !refill_in(s, why))
            return false;
        if (s->is_end)
            break;
        size_t left = ZSTD_decompressStream(s->zstd, &out, &s->pending);
        if (ZSTD_isError(left)) {
            snprintf(why, STREAM_WHY_BYTES, "zstd: %s", ZSTD_getErrorName(left));
            return false;
        }
        s->is_mid_frame = left != 0;
    }
    s->out_end = out.pos;
    return true;
}
#endif

/* More bytes behind those that wait, or is_end. */
static bool fill(stream *s, char *why) {
    if (s->out_at) {
        memmove(s->out, s->out + s->out_at, s->out_end - s->out_at);
        s->out_end -= s->out_at;
        s->out_at = 0;
    }
    if (s->out_end == s->out_room) {
        s->out_room *= 2;
        s->out = shell_realloc(s->out, s->out_room);
    }
#ifndef VS_OMIT_ZSTD
    if (s->zstd)
        return fill_zstd(s, why);
#endif
    size_t got = fread(s->out + s->out_end, 1, s->out_room - s->out_end, s->file);
    if (got == 0 && ferror(s->file))
        return fail_read(why);
    s->is_end = got == 0;
    s->out_end += got;
    return true;
}

bool stream_read(stream *s, void *buf, size_t bytes, size_t *out_bytes, char *why) {
    size_t done = 0;
    for (;;) {
        size_t n = s->out_end - s->out_at;
        n = n < bytes - done ? n : bytes - done;
        memcpy((char *)buf + done, s->out + s->out_at, n);
        s->out_at += n;
        done += n;
        if (done == bytes || s->is_end)
            break;
        if (!fill(s, why))
            return false;
    }
    *out_bytes = done;
    return true;
}

/* ---- lines ---------------------------------------------------------------------------------- */

/* Where the search for the end of a line stands. */
typedef struct line_state {
    size_t at; /* behind out_at */
    size_t line_feeds;
    bool is_quoted, is_mid_cell;
} line_state;

/* Goes on to the line feed that ends the line; false: it is not there yet. */
static bool find_end(const stream *s, char separator, line_state *l) {
    const char *text = s->out + s->out_at;
    size_t bytes = s->out_end - s->out_at;
    if (!separator) {
        const char *end = memchr(text + l->at, '\n', bytes - l->at);
        l->at = end ? (size_t)(end - text) : bytes;
        return end;
    }
    for (; l->at < bytes; l->at++) {
        char c = text[l->at];
        if (c == '\n' && !l->is_quoted)
            return true;
        l->line_feeds += c == '\n';
        if (c == '"' && (l->is_quoted || !l->is_mid_cell))
            l->is_quoted = !l->is_quoted;
        /* Behind a quote the cell may go on: "" inside of one is a quote. */
        l->is_mid_cell = !l->is_quoted && c != separator && c != '"';
    }
    return false;
}

bool stream_line(stream *s, char separator, const char **out_line, size_t *out_bytes,
                 size_t *out_lines, char *why) {
    line_state l = {0, 0, false, false};
    while (!find_end(s, separator, &l) && !s->is_end) {
        if (s->out_end - s->out_at > STREAM_LINE_BYTES_MAX) {
            snprintf(why, STREAM_WHY_BYTES, "longer than %d bytes", STREAM_LINE_BYTES_MAX);
            return false;
        }
        if (!fill(s, why))
            return false;
    }
    const char *line = s->out + s->out_at;
    bool has_feed = s->out_at + l.at < s->out_end;
    *out_line = line;
    *out_bytes = l.at - (l.at && line[l.at - 1] == '\r');
    *out_lines = has_feed || l.at ? l.line_feeds + 1 : 0;
    s->out_at += l.at + has_feed;
    return true;
}

bool stream_at_end(stream *s) {
    char why[STREAM_WHY_BYTES];
    while (s->out_at == s->out_end && !s->is_end)
        if (!fill(s, why))
            return false;
    return s->out_at == s->out_end;
}

/* Bytes of the file that were read from it and wait. */
static off_t waiting(const stream *s) {
#ifndef VS_OMIT_ZSTD
    if (s->zstd)
        return (off_t)(s->pending.size - s->pending.pos);
#endif
    return (off_t)(s->out_end - s->out_at);
}

double stream_part(const stream *s) {
    off_t at = s->file_bytes ? ftello(s->file) : -1;
    return at < 0 ? -1 : (double)(at - waiting(s)) / (double)s->file_bytes;
}

bool stream_identify(const char *path, bool *out_is_file, uint64_t *out_bytes, uint64_t *out_hash) {
    struct stat info;
    *out_is_file = false;
    if (!strcmp(path, "-"))
        return true;
    if (stat(path, &info))
        return false;
    *out_is_file = S_ISREG(info.st_mode);
    if (!*out_is_file)
        return true;
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    char *first = shell_alloc(IDENTIFY_BYTES);
    size_t n = fread(first, 1, IDENTIFY_BYTES, f);
    bool ok = !ferror(f);
    *out_bytes = (uint64_t)info.st_size;
    *out_hash = XXH3_64bits(first, n);
    free(first);
    fclose(f);
    return ok;
}
