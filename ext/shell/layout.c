/* layout.c - the layouts of the simple formats, and what the readers of headers share. */
#include "layout.h"
#include "element.h"
#include "format.h"
#include "vecstore.h"
#include <stdio.h>
#include <string.h>

uint32_t layout_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

bool layout_bytes(stream *s, void *buf, size_t bytes, char *why) {
    size_t got = 0;
    if (!stream_read(s, buf, bytes, &got, why))
        return false;
    if (got < bytes)
        snprintf(why, STREAM_WHY_BYTES, "the file ends inside its header: %zu of %zu bytes", got,
                 bytes);
    return got == bytes;
}

bool layout_skip(stream *s, uint64_t bytes, char *why) {
    char gone[4096];
    for (; bytes; bytes -= bytes < sizeof gone ? bytes : sizeof gone)
        if (!layout_bytes(s, gone, bytes < sizeof gone ? (size_t)bytes : sizeof gone, why))
            return false;
    return true;
}

bool layout_shape(layout *out, uint64_t rows, uint64_t dim, char *why) {
    if (dim < 1 || dim > VS_DIM_MAX) {
        snprintf(why, STREAM_WHY_BYTES, "dimension is %llu, expected 1 to %u",
                 (unsigned long long)dim, VS_DIM_MAX);
        return false;
    }
    if (rows > VS_RECORDS_MAX) {
        snprintf(why, STREAM_WHY_BYTES, "%llu rows, expected at most %u", (unsigned long long)rows,
                 VS_RECORDS_MAX);
        return false;
    }
    out->rows = rows;
    out->dim = (uint32_t)dim;
    return true;
}

static bool read_bin(stream *s, layout *out, char *why) {
    uint8_t head[8];
    return layout_bytes(s, head, sizeof head, why) &&
           layout_shape(out, layout_u32(head), layout_u32(head + 4), why);
}

bool layout_read(stream *s, int format, const char *tensor, layout *out, char *why) {
    static const int elements[] = {0,          ELEMENT_F32, ELEMENT_U8, ELEMENT_I32,
                                   ELEMENT_I8, ELEMENT_F32, ELEMENT_U8, ELEMENT_I8};
    *out = (layout){.rows = UINT64_MAX};
    if (format == FORMAT_NPY)
        return layout_read_npy(s, out, why);
    if (format == FORMAT_SAFETENSORS)
        return layout_read_safetensors(s, tensor, out, why);
    out->element = elements[format];
    return format < FORMAT_FBIN || read_bin(s, out, why);
}
