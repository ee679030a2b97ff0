/* npy.c - the header of an array of NumPy, as its documentation of the format gives it: a magic number, the version, the
 * length of a text, and the text, a literal of a Python dictionary with the members descr, fortran_order and
 * shape. */
#include "element.h"
#include "layout.h"
#include "shell.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NPY_HEADER_BYTES_MAX = 1 << 16 };

static bool refuse(char *why, const char *found, const char *expected) {
    snprintf(why, STREAM_WHY_BYTES, "npy: found %.60s, expected %s", found, expected);
    return false;
}

/* Behind the colon of a member; NULL: there is no such member. */
static const char *member(const char *text, const char *name) {
    const char *at = strstr(text, name);
    at = at ? at + strlen(name) : NULL;
    if (!at || *at++ != '\'')
        return NULL;
    at += strspn(at, " ");
    if (*at++ != ':')
        return NULL;
    return at + strspn(at, " ");
}

/* The type that '<f4' and the like say. */
static bool read_descr(const char *text, layout *out, char *why) {
    static const struct {
        const char *name;
        int element;
    } types[] = {{"f4'", ELEMENT_F32}, {"f8'", ELEMENT_F64}, {"f2'", ELEMENT_F16},
                 {"u1'", ELEMENT_U8},  {"u2'", ELEMENT_U16}, {"u4'", ELEMENT_U32},
                 {"u8'", ELEMENT_U64}, {"i1'", ELEMENT_I8},  {"i2'", ELEMENT_I16},
                 {"i4'", ELEMENT_I32}, {"i8'", ELEMENT_I64}, {"b1'", ELEMENT_U8}};
    const char *at = member(text, "'descr");
    bool has_order = at && at[0] == '\'' && at[1] && strchr("<>|", at[1]);
    for (size_t i = 0; has_order && i < sizeof types / sizeof types[0]; i++)
        if (!strncmp(at + 2, types[i].name, 3))
            out->element = types[i].element;
    if (!out->element)
        return refuse(why, at ? at : "no 'descr'",
                      "an element type of f2, f4, f8, i1 to i8, u1 to u8 or b1");
    out->is_big_endian = at[1] == '>';
    if (at[1] == '|' && element_bytes(out->element) > 1)
        return refuse(why, at, "a byte order, < or >");
    return true;
}

/* A number of the shape and what follows it; false: there is none, or one beyond 64 bits. */
static bool read_number(const char **at, uint64_t *out) {
    const char *p = *at;
    uint64_t value = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = 10 * value + digit;
    }
    *at = p + strspn(p, " ");
    *out = value;
    return true;
}

/* (rows, dim), or (dim,): one row. */
static bool read_shape(const char *text, layout *out, char *why) {
    const char *shape = member(text, "'shape"), *at = shape;
    uint64_t size[2] = {0, 0};
    int count = 0;
    bool ok = at && *at++ == '(';
    for (; ok && *at != ')' && count < 2; count++) {
        at += strspn(at, " ");
        ok = read_number(&at, &size[count]) && (*at == ',' || *at == ')');
        at += ok && *at == ',';
        at += strspn(at, " ");
    }
    if (!ok || *at != ')' || !count)
        return refuse(why, shape ? shape : "no 'shape'", "(rows, dim) or (dim,)");
    return layout_shape(out, count == 2 ? size[0] : 1, size[count - 1], why);
}

static bool read_text(const char *text, layout *out, char *why) {
    const char *order = member(text, "'fortran_order");
    if (*text != '{')
        return refuse(why, text, "a header that begins with '{'");
    if (!order || strncmp(order, "False", 5))
        return refuse(why, order ? "fortran_order" : "no fortran_order",
                      "rows one after the other: numpy.ascontiguousarray makes them so");
    return read_descr(text, out, why) && read_shape(text, out, why);
}

bool layout_read_npy(stream *s, layout *out, char *why) {
    uint8_t head[8], length[4] = {0};
    if (!layout_bytes(s, head, sizeof head, why))
        return false;
    if (memcmp(head, "\x93NUMPY", 6))
        return refuse(why, "another magic number", "that of an array of NumPy");
    if (head[6] < 1 || head[6] > 3)
        return refuse(why, "another version", "1, 2 or 3");
    if (!layout_bytes(s, length, head[6] == 1 ? 2 : 4, why))
        return false;
    uint32_t bytes = layout_u32(length);
    if (bytes > NPY_HEADER_BYTES_MAX)
        return refuse(why, "a longer header", "at most 65536 bytes");
    char *text = shell_alloc(bytes + 1);
    bool ok = layout_bytes(s, text, bytes, why);
    text[ok ? bytes : 0] = 0;
    ok = ok && read_text(text, out, why);
    free(text);
    return ok;
}
