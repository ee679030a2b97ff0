/* vecs.c - files of vectors, row by row. Memory is bounded by the stream and three rows. */
#include "vecs.h"
#include "element.h"
#include "format.h"
#include "shell.h"
#include <stdlib.h>
#include <string.h>

static int fail_row(vecs *file, int as, const char *reason) {
    char copy[VECS_WHY_BYTES];
    snprintf(copy, sizeof copy, "%s", reason);
    snprintf(file->why, sizeof file->why, "row %llu: %.200s", (unsigned long long)file->rows, copy);
    return as;
}

static bool check_dim(vecs *file, uint32_t dim) {
    char text[96];
    if (file->dim && dim != file->dim) {
        snprintf(text, sizeof text, "dimension is %lu, expected %lu as in row 0",
                 (unsigned long)dim, (unsigned long)file->dim);
        fail_row(file, VECS_BROKEN, text);
        return false;
    }
    if (dim < 1 || dim > VS_DIM_MAX) {
        snprintf(text, sizeof text, "dimension is %lu, expected 1 to %u", (unsigned long)dim,
                 VS_DIM_MAX);
        fail_row(file, VECS_BROKEN, text);
        return false;
    }
    return true;
}

/* The dimension in front of the row, or whether there is a row. */
static int read_head(vecs *file, uint32_t *out_dim, char *why) {
    uint8_t head[4];
    size_t got = 0;
    bool has_dim = !file->layout.dim, is_end = file->rows == file->layout.rows;
    if (is_end && file->layout.has_more)
        return VECS_END;
    *out_dim = file->layout.dim;
    if (!has_dim && !is_end)
        return VECS_ROW;
    if (!stream_read(file->stream, head, sizeof head, &got, why))
        return fail_row(file, VECS_BROKEN, why);
    if (got && is_end)
        return fail_row(file, VECS_BROKEN, "expected the end of the file, as its header says");
    if (got == 0)
        return VECS_END;
    if (got < sizeof head)
        return fail_row(file, VECS_BROKEN, "the file ends inside the row's dimension");
    *out_dim = layout_u32(head);
    return VECS_ROW;
}

static void make_room(vecs *file, uint32_t dim) {
    if (!file->dim) {
        file->row_bytes = file->type ? vs_vector_bytes(file->type, dim) : 4 * (size_t)dim;
        file->raw = shell_alloc(dim * element_bytes(file->layout.element));
        file->row = shell_alloc(file->row_bytes);
        file->ahead = shell_alloc(file->row_bytes);
    }
    file->dim = dim;
}

/* The row's bytes as a vector; ids stay int32. */
static bool load_row(vecs *file, uint32_t *out_at) {
    const layout *l = &file->layout;
    if (file->type)
        return element_load(l->element, l->is_big_endian, file->raw, file->ahead, file->dim,
                            out_at);
    for (uint32_t i = 0; i < file->dim; i++) {
        uint32_t word = layout_u32(file->raw + 4 * (size_t)i);
        memcpy(file->ahead + 4 * (size_t)i, &word, sizeof word);
    }
    return true;
}

/* Row number file->rows into file->ahead. */
static int read_ahead(vecs *file) {
    char why[VECS_WHY_BYTES] = "", text[96];
    uint32_t dim = 0, at = 0;
    size_t got = 0;
    int found = read_head(file, &dim, why);
    if (found != VECS_ROW)
        return found;
    if (!check_dim(file, dim))
        return VECS_BROKEN;
    make_room(file, dim);
    size_t bytes = dim * element_bytes(file->layout.element);
    if (!stream_read(file->stream, file->raw, bytes, &got, why))
        return fail_row(file, VECS_BROKEN, why);
    if (got < bytes) {
        snprintf(text, sizeof text, "the file ends inside the row: %zu of %zu bytes", got, bytes);
        return fail_row(file, VECS_BROKEN, text);
    }
    if (load_row(file, &at))
        return VECS_ROW;
    snprintf(text, sizeof text, "element %lu %s", (unsigned long)at,
             element_refusal(file->layout.element));
    return fail_row(file, VECS_REFUSED, text);
}

bool vecs_open(vecs *out_file, const char *path, int format, const char *tensor) {
    vecs *file = out_file;
    memset(file, 0, sizeof *file);
    file->path = path;
    file->format = format ? format : format_of(path);
    if (!file->format || format_has_names(file->format)) {
        snprintf(file->why, sizeof file->why,
                 "the name is not that of a file of vectors; expected .fvecs, .bvecs, .i8vecs, "
                 ".fbin, .u8bin, .i8bin, .npy, .safetensors or .ivecs, or .zst behind it");
        return false;
    }
    file->stream = stream_open(path, file->why);
    if (!file->stream)
        return false;
    bool is_empty = stream_at_end(file->stream); /* such a file has no header either */
    if (!is_empty && !layout_read(file->stream, file->format, tensor, &file->layout, file->why))
        return false;
    file->type = file->format == FORMAT_IVECS ? 0 : element_type(file->layout.element);
    file->ahead_is = is_empty ? VECS_END : read_ahead(file);
    return file->ahead_is != VECS_BROKEN;
}

void vecs_close(vecs *file) {
    stream_close(file->stream);
    free(file->raw);
    free(file->row);
    free(file->ahead);
    file->stream = NULL;
    file->raw = file->row = file->ahead = NULL;
}

int vecs_next(vecs *file) {
    uint8_t *row = file->ahead;
    char why[VECS_WHY_BYTES];
    int found = file->ahead_is;
    if (found == VECS_END || found == VECS_BROKEN)
        return found;
    file->ahead = file->row;
    file->row = row;
    file->rows++;
    memcpy(why, file->why, sizeof why);
    file->ahead_is = read_ahead(file);
    if (found == VECS_REFUSED) /* it is told of this row, not of the one behind it */
        memcpy(file->why, why, sizeof why);
    return found;
}

bool vecs_at_end(const vecs *file) {
    return file->ahead_is == VECS_END;
}

bool vecs_load(const char *path, int format, void **out_rows, uint64_t *out_count,
               uint32_t *out_dim, int *out_type, char *why) {
    vecs file;
    uint8_t *rows = NULL;
    size_t used = 0, cap = 0;
    int found = vecs_open(&file, path, format, NULL) ? VECS_ROW : VECS_BROKEN;
    while (found == VECS_ROW && (found = vecs_next(&file)) == VECS_ROW) {
        if (used + file.row_bytes > cap) {
            cap = cap ? 2 * cap : 64 * file.row_bytes;
            rows = shell_realloc(rows, cap);
        }
        memcpy(rows + used, file.row, file.row_bytes);
        used += file.row_bytes;
    }
    *out_rows = rows;
    *out_count = file.rows;
    *out_dim = file.dim;
    *out_type = file.type;
    if (found != VECS_END) {
        snprintf(why, VECS_WHY_BYTES, "%s", file.why);
        free(rows);
        *out_rows = NULL;
    }
    vecs_close(&file);
    return found == VECS_END;
}
