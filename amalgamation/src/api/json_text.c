/* json_text.c - the public reader and writers of JSON. */
#include "base/patch.h"

/* vecstore.h promises bindings that 128 bytes do. */
_Static_assert(sizeof(vs_json) <= 128, "vs_json has outgrown what bindings reserve");

/* ---- reading -------------------------------------------------------------------------------- */

vs_status vs_json_begin(vs_json *reader, const char *text, size_t bytes, uint32_t flags) {
    if (!reader || (!text && bytes) || flags & ~(uint32_t)VS_JSON_STREAM)
        return VS_ERR_MISUSE;
    vsi_json_begin(reader, text ? text : "", bytes, flags);
    return VS_OK;
}

int vs_json_next(vs_json *reader) {
    return reader ? vsi_json_next(reader) : VS_JSON_ERROR;
}

int vs_json_skip(vs_json *reader) {
    return reader ? vsi_json_skip(reader) : VS_JSON_ERROR;
}

vs_status vs_json_token(const vs_json *reader, size_t *out_offset, size_t *out_bytes) {
    if (!reader || !out_offset || !out_bytes)
        return VS_ERR_MISUSE;
    *out_offset = reader->token_at;
    *out_bytes = reader->token_bytes;
    return VS_OK;
}

vs_status vs_json_error(const vs_json *reader, size_t *out_offset, const char **out_expected) {
    if (!reader)
        return VS_ERR_MISUSE;
    if (out_offset)
        *out_offset = reader->at;
    if (out_expected)
        *out_expected = reader->expected;
    return reader->status;
}

vs_status vs_json_string(const vs_json *reader, char *out, size_t room, size_t *out_bytes) {
    if (!reader || (!out && room) || !out_bytes ||
        (reader->token != VS_JSON_STRING && reader->token != VS_JSON_NAME))
        return VS_ERR_MISUSE;
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_json_put_decoded(&sink, (const uint8_t *)reader->text + reader->token_at + 1,
                         reader->token_bytes - 2);
    *out_bytes = sink.bytes;
    return VS_OK;
}

/* The number that a reader stands at; false: at something else. */
static bool text_decimal(const vs_json *reader, const void *out_value, vsi_decimal *out) {
    return reader && out_value && reader->token == VS_JSON_NUMBER &&
           !vsi_decimal_read((const uint8_t *)reader->text + reader->token_at, reader->token_bytes,
                             out);
}

vs_status vs_json_double(const vs_json *reader, double *out_value) {
    vsi_decimal decimal;
    if (!text_decimal(reader, out_value, &decimal))
        return VS_ERR_MISUSE;
    double value = vsi_decimal_to_double(&decimal);
    if (isinf(value))
        return VS_ERR_LIMIT;
    *out_value = value;
    return VS_OK;
}

vs_status vs_json_float(const vs_json *reader, float *out_value) {
    vsi_decimal decimal;
    if (!text_decimal(reader, out_value, &decimal))
        return VS_ERR_MISUSE;
    float value = vsi_decimal_to_float(&decimal);
    if (isinf(value))
        return VS_ERR_LIMIT;
    *out_value = value;
    return VS_OK;
}

static vs_status text_integer_status(int result) {
    return result == VSI_INTEGER            ? VS_OK
           : result == VSI_INTEGER_FRACTION ? VS_ERR_INVALID
                                            : VS_ERR_LIMIT;
}

vs_status vs_json_i64(const vs_json *reader, int64_t *out_value) {
    vsi_decimal decimal;
    if (!text_decimal(reader, out_value, &decimal))
        return VS_ERR_MISUSE;
    return text_integer_status(vsi_decimal_to_i64(&decimal, out_value));
}

vs_status vs_json_u64(const vs_json *reader, uint64_t *out_value) {
    vsi_decimal decimal;
    if (!text_decimal(reader, out_value, &decimal))
        return VS_ERR_MISUSE;
    return text_integer_status(vsi_decimal_to_u64(&decimal, out_value));
}

vs_status vs_json_floats(vs_json *reader, float *out, size_t room, size_t *out_count) {
    if (!reader || (!out && room) || !out_count || reader->token != VS_JSON_ARRAY_BEGIN)
        return VS_ERR_MISUSE;
    return vsi_json_floats(reader, out, room, out_count);
}

/* ---- writing -------------------------------------------------------------------------------- */

static vs_status text_give(const char *text, size_t n, char *out, size_t room, size_t *out_bytes) {
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_json_put(&sink, text, n);
    *out_bytes = n;
    return VS_OK;
}

vs_status vs_json_write_double(double value, char *out, size_t room, size_t *out_bytes) {
    char text[VSI_NUMBER_TEXT_BYTES];
    if ((!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    if (!isfinite(value))
        return VS_ERR_INVALID;
    return text_give(text, vsi_double_write(value, text), out, room, out_bytes);
}

vs_status vs_json_write_float(float value, char *out, size_t room, size_t *out_bytes) {
    char text[VSI_NUMBER_TEXT_BYTES];
    if ((!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    if (!isfinite(value))
        return VS_ERR_INVALID;
    return text_give(text, vsi_float_write(value, text), out, room, out_bytes);
}

vs_status vs_json_write_string(const char *text, size_t bytes, char *out, size_t room,
                               size_t *out_bytes) {
    if ((!text && bytes) || (!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    const uint8_t *from = (const uint8_t *)(text ? text : "");
    if (!vsi_utf8_is_valid(from, bytes))
        return VS_ERR_INVALID;
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_json_put_string(&sink, from, bytes);
    *out_bytes = sink.bytes;
    return VS_OK;
}

/* ---- whole texts ---------------------------------------------------------------------------- */

vs_status vs_json_compact(const char *text, size_t bytes, char *out, size_t room,
                          size_t *out_bytes) {
    vs_json reader;
    if (!text || (!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    vsi_json_begin(&reader, text, bytes, 0);
    vsi_json_skip(&reader);
    size_t value_at = reader.token_at, value_bytes = reader.token_bytes;
    if (vsi_json_next(&reader) == VS_JSON_ERROR)
        return reader.status;
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_json_put_compact(&sink, (const uint8_t *)text + value_at, value_bytes);
    *out_bytes = sink.bytes;
    return VS_OK;
}

vs_status vs_json_merge_patch(const char *target, size_t target_bytes, const char *patch,
                              size_t patch_bytes, const vs_allocator *allocator, char *out,
                              size_t room, size_t *out_bytes) {
    if (!target || !patch || (allocator && !allocator->realloc) || (!out && room) || !out_bytes)
        return VS_ERR_MISUSE;
    vsi_mem mem;
    vsi_err err = {0};
    vsi_json_out sink = {.data = (uint8_t *)out, .room = room};
    vsi_bytes from = {(const uint8_t *)target, target_bytes};
    vsi_bytes change = {(const uint8_t *)patch, patch_bytes};
    vsi_mem_init(&mem, allocator);
    vs_status st = vsi_patch_merge(&err, &mem, from, change, &sink);
    if (st == VS_OK)
        *out_bytes = sink.bytes;
    return st;
}
