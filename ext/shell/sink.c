/* sink.c - a file that is written. It is synced before the rename, so that a power cut leaves the old one or the new
 * one. */
#define _POSIX_C_SOURCE 200809L
#include "sink.h"
#include "shell.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef VS_OMIT_ZSTD
#include <zstd.h>
#endif

enum { SINK_BUFFER_BYTES = 1 << 17 };

struct sink {
    FILE *file;
    char *path, *temporary; /* NULL: the standard output */
    int error;              /* errno of the first failure; 0: none */
#ifndef VS_OMIT_ZSTD
    ZSTD_CStream *zstd; /* NULL: not compressed */
    char *out;
#endif
};

static void sink_free(sink *s) {
    if (s->file && s->path)
        fclose(s->file);
#ifndef VS_OMIT_ZSTD
    ZSTD_freeCStream(s->zstd);
    free(s->out);
#endif
    free(s->path);
    free(s->temporary);
    free(s);
}

void sink_discard(sink *s) {
    if (!s)
        return;
    if (s->temporary && s->file)
        unlink(s->temporary);
    sink_free(s);
}

static bool open_zstd(sink *s, char *why) {
#ifdef VS_OMIT_ZSTD
    (void)s;
    snprintf(why, SINK_WHY_BYTES, "this build cannot write .zst files (VS_OMIT_ZSTD)");
    return false;
#else
    s->zstd = ZSTD_createCStream();
    s->out = shell_alloc(SINK_BUFFER_BYTES);
    if (!s->zstd)
        snprintf(why, SINK_WHY_BYTES, "out of memory");
    return s->zstd;
#endif
}

static bool open_file(sink *s, const char *path, char *why) {
    size_t bytes = strlen(path);
    s->path = shell_copy(path);
    s->temporary = shell_alloc(bytes + 32);
    snprintf(s->temporary, bytes + 32, "%s.part-%ld", path, (long)getpid());
    s->file = fopen(s->temporary, "wbx");
    if (!s->file) {
        snprintf(why, SINK_WHY_BYTES, "%s", strerror(errno));
        return false;
    }
    return bytes < 4 || strcmp(path + bytes - 4, ".zst") != 0 || open_zstd(s, why);
}

sink *sink_open(const char *path, FILE *standard, char why[SINK_WHY_BYTES]) {
    sink *s = shell_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    if (!strcmp(path, "-"))
        s->file = standard;
    else if (!open_file(s, path, why)) {
        sink_discard(s);
        return NULL;
    }
    return s;
}

static void write_plain(sink *s, const void *bytes, size_t count) {
    if (!s->error && fwrite(bytes, 1, count, s->file) != count)
        s->error = errno ? errno : EIO;
}

#ifndef VS_OMIT_ZSTD
/* Compresses bytes; how: ZSTD_e_continue, or ZSTD_e_end for all that is left. */
static void write_zstd(sink *s, const void *bytes, size_t count, ZSTD_EndDirective how) {
    ZSTD_inBuffer in = {.src = bytes, .size = count};
    size_t left = 0;
    do {
        ZSTD_outBuffer out = {.dst = s->out, .size = SINK_BUFFER_BYTES};
        left = ZSTD_compressStream2(s->zstd, &out, &in, how);
        if (ZSTD_isError(left)) {
            s->error = ENOMEM;
            return;
        }
        write_plain(s, s->out, out.pos);
    } while (!s->error && (in.pos < in.size || (how == ZSTD_e_end && left)));
}
#endif

void sink_write(sink *s, const void *bytes, size_t count) {
#ifndef VS_OMIT_ZSTD
    if (s->zstd) {
        write_zstd(s, bytes, count, ZSTD_e_continue);
        return;
    }
#endif
    write_plain(s, bytes, count);
}

const char *sink_error(const sink *s) {
    return s->error ? strerror(s->error) : NULL;
}

/* On some devices, such as pipes, there is nothing to sync. */
static void complete(sink *s) {
#ifndef VS_OMIT_ZSTD
    if (s->zstd)
        write_zstd(s, NULL, 0, ZSTD_e_end);
#endif
    if (!s->error && fflush(s->file))
        s->error = errno;
    if (!s->error && s->path && fsync(fileno(s->file)) && errno != EINVAL)
        s->error = errno;
    if (!s->error && s->path && rename(s->temporary, s->path))
        s->error = errno;
}

bool sink_finish(sink *s, char why[SINK_WHY_BYTES]) {
    complete(s);
    bool ok = !s->error;
    if (ok) {
        sink_free(s);
        return true;
    }
    snprintf(why, SINK_WHY_BYTES, "cannot be written: %s", strerror(s->error));
    sink_discard(s);
    return false;
}
