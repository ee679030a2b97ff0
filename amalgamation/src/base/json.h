/* json.h - reading JSON (RFC 8259) token by token, and writing pieces of it. */
#ifndef VSI_JSON_H
#define VSI_JSON_H

#include "base/number.h"
#include "base/status.h"

enum { VSI_JSON_DEPTH_MAX = VS_JSON_DEPTH_MAX }; /* as an int */

/* VS_OK, or VS_ERR_INVALID with the byte offset and what was expected there. */
VSI_FN vs_status vsi_json_check_object(vsi_err *err, const char *text, size_t n);

/* The public functions of the same names, for a reader that was begun. Tokens are vs_json's. */
VSI_FN void vsi_json_begin(vs_json *reader, const char *text, size_t n, uint32_t flags);
VSI_FN int vsi_json_next(vs_json *reader);
VSI_FN int vsi_json_skip(vs_json *reader);
/* The reader stands at the beginning of an array. */
VSI_FN vs_status vsi_json_floats(vs_json *reader, float *out, size_t room, size_t *out_count);

/* Where text goes: what has no room is only counted. To append to a vsi_buf reserve what can come, and let
 * data begin behind what the buffer has. */
typedef struct vsi_json_out {
    uint8_t *data; /* [room] borrowed */
    size_t room;
    size_t bytes; /* written or counted */
} vsi_json_out;

VSI_FN void vsi_json_put(vsi_json_out *out, const void *data, size_t n);

/* What stands between the quotes of a string that was read, escapes resolved. */
VSI_FN void vsi_json_put_decoded(vsi_json_out *out, const uint8_t *text, size_t n);
/* The character that the escape at p stands for, in a string that was read; returns the escape's bytes. */
VSI_FN size_t vsi_json_escape(const uint8_t *p, uint32_t *out_code);
/* A value that was read, without insignificant white space: never more than n bytes. */
VSI_FN void vsi_json_put_compact(vsi_json_out *out, const uint8_t *text, size_t n);
/* A string in quotes from well-formed UTF-8. */
VSI_FN void vsi_json_put_string(vsi_json_out *out, const uint8_t *text, size_t n);

#endif
