/* safetensors.c - the header of a file of tensors: its length, uint64, and a JSON object with a member per tensor: dtype,
 * shape, and where its bytes lie behind the header. One tensor of two dimensions is read. */
#include "element.h"
#include "layout.h"
#include "shell.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES_MAX = 100 << 20, NAME_BYTES = 256 };

typedef struct tensor {
    char name[NAME_BYTES];
    char dtype[16];
    uint64_t shape[2], offset[2];
    size_t shape_count, offset_count;
} tensor;

static bool refuse(char *why, const char *found, const char *expected) {
    snprintf(why, STREAM_WHY_BYTES, "safetensors: found %.80s, expected %s", found, expected);
    return false;
}

/* A string or name, cut off when it is too long. */
static void read_string(const vs_json *json, char *out, size_t room) {
    size_t bytes = 0;
    out[0] = 0;
    if (vs_json_string(json, out, room - 1, &bytes) == VS_OK)
        out[bytes < room - 1 ? bytes : room - 1] = 0;
}

/* An array of whole numbers, of which the first two are kept. */
static bool read_numbers(vs_json *json, uint64_t out[2], size_t *out_count) {
    int token = vs_json_next(json);
    size_t count = 0;
    if (token != VS_JSON_ARRAY_BEGIN)
        return false;
    while ((token = vs_json_next(json)) == VS_JSON_NUMBER) {
        uint64_t value = 0;
        if (vs_json_u64(json, &value) != VS_OK)
            return false;
        if (count < 2)
            out[count] = value;
        count++;
    }
    *out_count = count;
    return token == VS_JSON_ARRAY_END;
}

/* The members of one tensor; the reader stands at its name. */
static bool read_tensor(vs_json *json, tensor *out) {
    int token = vs_json_next(json);
    if (token != VS_JSON_OBJECT_BEGIN)
        return false;
    while ((token = vs_json_next(json)) == VS_JSON_NAME) {
        char name[16];
        bool ok = true;
        read_string(json, name, sizeof name);
        if (!strcmp(name, "dtype") && (ok = vs_json_next(json) == VS_JSON_STRING))
            read_string(json, out->dtype, sizeof out->dtype);
        else if (!strcmp(name, "shape"))
            ok = read_numbers(json, out->shape, &out->shape_count);
        else if (!strcmp(name, "data_offsets"))
            ok = read_numbers(json, out->offset, &out->offset_count);
        else if (ok)
            ok = vs_json_skip(json) > 0;
        if (!ok)
            return false;
    }
    return token == VS_JSON_OBJECT_END;
}

/* Whether the tensor whose name the reader stands at is meant; false: no header, see *out_ok. */
static bool is_wanted(vs_json *json, const char *wanted, tensor *out, bool *out_ok) {
    *out = (tensor){.name = ""};
    read_string(json, out->name, sizeof out->name);
    if (!strcmp(out->name, "__metadata__")) {
        *out_ok = vs_json_skip(json) > 0;
        return false;
    }
    *out_ok = read_tensor(json, out);
    return *out_ok && (wanted ? !strcmp(wanted, out->name) : out->shape_count == 2);
}

/* The tensor that is wanted, or the only one of two dimensions. */
static bool find_tensor(const char *text, size_t bytes, const char *wanted, tensor *out,
                        char *why) {
    vs_json json;
    size_t found = 0;
    vs_json_begin(&json, text, bytes, 0);
    int token = vs_json_next(&json);
    while (token == VS_JSON_OBJECT_BEGIN || token == VS_JSON_NAME) {
        token = vs_json_next(&json);
        tensor t;
        bool ok = true;
        if (token != VS_JSON_NAME)
            break;
        if (is_wanted(&json, wanted, &t, &ok)) {
            *out = t;
            found++;
        }
        if (!ok)
            return refuse(why, t.name, "a tensor's dtype, shape and data_offsets");
    }
    if (token != VS_JSON_OBJECT_END || vs_json_next(&json) != VS_JSON_END)
        return refuse(why, "something else", "a header that is a JSON object");
    if (found != 1)
        return refuse(why, found ? "several tensors" : "no such tensor",
                      wanted ? "one of the name that --tensor says"
                             : "one of two dimensions, or --tensor NAME");
    return true;
}

static bool read_dtype(const tensor *t, layout *out, char *why) {
    static const struct {
        const char *name;
        int element;
    } types[] = {{"F32", ELEMENT_F32},   {"F64", ELEMENT_F64}, {"F16", ELEMENT_F16},
                 {"BF16", ELEMENT_BF16}, {"U8", ELEMENT_U8},   {"BOOL", ELEMENT_U8},
                 {"I8", ELEMENT_I8},     {"I16", ELEMENT_I16}, {"I32", ELEMENT_I32},
                 {"I64", ELEMENT_I64},   {"U16", ELEMENT_U16}, {"U32", ELEMENT_U32},
                 {"U64", ELEMENT_U64}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (!strcmp(t->dtype, types[i].name))
            out->element = types[i].element;
    return out->element || refuse(why, t->dtype, "F64, F32, F16, BF16, I8 to I64 or U8 to U64");
}

static bool check_tensor(const tensor *t, layout *out, char *why) {
    char text[96];
    if (!read_dtype(t, out, why))
        return false;
    if (t->shape_count != 2) {
        snprintf(text, sizeof text, "%zu dimensions", t->shape_count);
        return refuse(why, text, "2");
    }
    if (!layout_shape(out, t->shape[0], t->shape[1], why))
        return false;
    uint64_t bytes = out->rows * out->dim * element_bytes(out->element); /* below 2^51 */
    if (t->offset_count == 2 && t->offset[0] <= t->offset[1] &&
        t->offset[1] - t->offset[0] == bytes)
        return true;
    snprintf(text, sizeof text, "offsets %llu to %llu", (unsigned long long)t->offset[0],
             (unsigned long long)t->offset[1]);
    return refuse(why, text, "as many bytes as dtype and shape need");
}

bool layout_read_safetensors(stream *s, const char *wanted, layout *out, char *why) {
    uint8_t length[8];
    tensor t = {.name = ""};
    if (!layout_bytes(s, length, sizeof length, why))
        return false;
    uint64_t bytes = layout_u32(length) | (uint64_t)layout_u32(length + 4) << 32;
    if (bytes < 2 || bytes > HEADER_BYTES_MAX)
        return refuse(why, "a header of another length", "2 bytes to 100 MiB");
    char *text = shell_alloc((size_t)bytes);
    bool ok = layout_bytes(s, text, (size_t)bytes, why) &&
              find_tensor(text, (size_t)bytes, wanted, &t, why) && check_tensor(&t, out, why);
    free(text);
    out->has_more = true;
    return ok && layout_skip(s, t.offset[0], why);
}
