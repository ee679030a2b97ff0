/* json.c - reads JSON token by token, without recursion and without building anything.
 *
 *   J1  `open` holds one bit per nesting level: 1 an object, 0 an array.
 *   J2  `token_at` is a token's first byte, `at` the first one behind it and, for a name, its colon. A reader
 *       that has failed stands at the fault.
 *   J3  A string that was read has whole escapes, whole surrogate pairs and well-formed UTF-8; what
 *       decodes it relies on that. */
#include "base/json.h"
#include "base/bytes.h"

/* What may come next. */
enum {
    JSON_VALUE = 0,  /* a value; before the first one: the beginning */
    JSON_FIRST = 1,  /* behind an opening bracket: a member or an element, or the closing one */
    JSON_BEHIND = 2, /* behind a value */
    JSON_ENDED = 3   /* nothing: the end, or an error */
};

static int json_fail(vs_json *r, vs_status status, const char *expected) {
    r->status = status;
    r->expected = expected;
    r->state = JSON_ENDED;
    r->token = VS_JSON_ERROR;
    r->token_at = r->at;
    r->token_bytes = 0;
    return r->token;
}

static bool json_expected(vs_json *r, const char *expected) {
    json_fail(r, VS_ERR_INVALID, expected);
    return false;
}

/* The byte that is next, 0 behind the last one: no JSON has a 0. */
static uint8_t json_peek(const vs_json *r) {
    return r->at < r->bytes ? (uint8_t)r->text[r->at] : 0;
}

static bool json_is_space(uint8_t c) {
    return c <= ' ' && (c == ' ' || c == '\n' || c == '\t' || c == '\r');
}

static void json_skip_space(vs_json *r) {
    const char *text = r->text;
    size_t at = r->at, n = r->bytes;
    if (at < n && (uint8_t)text[at] > ' ')
        return; /* most often there is none */
    while (at < n && json_is_space((uint8_t)text[at]))
        at++;
    r->at = at;
}

static bool json_take(vs_json *r, uint8_t c) {
    if (r->at >= r->bytes || (uint8_t)r->text[r->at] != c)
        return false;
    r->at++;
    return true;
}

/* ---- strings -------------------------------------------------------------------------------- */

static int json_hex(uint8_t c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Value of the four hex digits at r->at, or -1 and r->at on what is not one. */
static int json_take_hex4(vs_json *r) {
    int value = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int digit = json_hex(json_peek(r));
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static bool json_take_escape(vs_json *r) {
    uint8_t c = json_peek(r);
    if (!c || !strchr("\"\\/bfnrtu", c))
        return json_expected(r, "one of \"\\/bfnrtu behind the backslash");
    r->at++;
    if (c != 'u')
        return true;
    size_t digits = r->at;
    int unit = json_take_hex4(r);
    if (unit < 0)
        return json_expected(r, "four hexadecimal digits");
    if (unit < 0xd800 || unit > 0xdfff)
        return true;
    bool pair = unit < 0xdc00 && json_take(r, '\\') && json_take(r, 'u');
    int low = pair ? json_take_hex4(r) : -1;
    if (low >= 0xdc00 && low <= 0xdfff)
        return true;
    r->at = digits;
    return json_expected(r, "a surrogate pair, high then low,");
}

/* How many of 8 bytes of a string, the first one lowest, are characters of ASCII that stand for themselves. A
 * byte's highest bit is set in `marks` when it is another; the bytes behind that may be marked by mistake. */
static size_t json_plain_bytes(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
    uint64_t marks =
        (word | (quote - ones) | (backslash - ones) | (word - ones * 0x20)) & ones * 0x80;
    return marks ? (size_t)vsi_trailing_zeros(marks) / 8 : 8;
}

/* Where the first byte from at on is that does not stand for itself, or the end. */
static size_t json_plain_end(const uint8_t *text, size_t at, size_t n) {
    while (n - at >= 8) {
        size_t step = json_plain_bytes(vsi_get_u64(text + at));
        at += step;
        if (step < 8)
            return at;
    }
    while (at < n && text[at] >= 0x20 && text[at] < 0x80 && text[at] != '"' && text[at] != '\\')
        at++;
    return at;
}

/* The rest of a string, behind its first quote, with the last one. */
static bool json_take_string(vs_json *r) {
    const uint8_t *text = (const uint8_t *)r->text;
    for (;;) {
        r->at = json_plain_end(text, r->at, r->bytes);
        if (r->at == r->bytes)
            return json_expected(r, "the end of a string");
        uint8_t c = text[r->at];
        if (c == '"') {
            r->at++;
            return true;
        }
        if (c < 0x20)
            return json_expected(r, "no control character");
        size_t step = vsi_utf8_sequence(text + r->at, r->bytes - r->at);
        if (step == 0)
            return json_expected(r, "well-formed UTF-8");
        r->at += step;
        if (c == '\\' && !json_take_escape(r))
            return false;
    }
}

/* ---- tokens --------------------------------------------------------------------------------- */

static int json_token(vs_json *r, int token, size_t token_at, int state) {
    r->token = token;
    r->token_at = token_at;
    r->token_bytes = r->at - token_at;
    r->state = state;
    return token;
}

static bool json_in_object(const vs_json *r) {
    return r->open & 1;
}

static int json_open(vs_json *r, bool is_object) {
    size_t token_at = r->at;
    if (r->depth == VSI_JSON_DEPTH_MAX)
        return json_fail(r, VS_ERR_LIMIT, "at most 64 levels of nesting");
    r->open = r->open << 1 | is_object; /* keeps J1 */
    r->depth++;
    r->at++;
    return json_token(r, is_object ? VS_JSON_OBJECT_BEGIN : VS_JSON_ARRAY_BEGIN, token_at,
                      JSON_FIRST);
}

/* The bracket was taken. */
static int json_close(vs_json *r) {
    int token = json_in_object(r) ? VS_JSON_OBJECT_END : VS_JSON_ARRAY_END;
    r->open >>= 1;
    r->depth--;
    return json_token(r, token, r->at - 1, JSON_BEHIND);
}

static int json_name(vs_json *r) {
    size_t token_at = r->at;
    if (!json_take(r, '"'))
        return json_fail(r, VS_ERR_INVALID, "a string");
    if (!json_take_string(r))
        return VS_JSON_ERROR;
    json_token(r, VS_JSON_NAME, token_at, JSON_VALUE);
    json_skip_space(r);
    return json_take(r, ':') ? VS_JSON_NAME : json_fail(r, VS_ERR_INVALID, "':'");
}

static int json_word(vs_json *r, const char *word, size_t n, int token) {
    size_t token_at = r->at;
    if (n > r->bytes - r->at || memcmp(r->text + r->at, word, n))
        return json_fail(r, VS_ERR_INVALID, "a value");
    r->at += n;
    return json_token(r, token, token_at, JSON_BEHIND);
}

static int json_number(vs_json *r) {
    size_t token_at = r->at;
    vsi_decimal decimal;
    const char *expected =
        vsi_decimal_read((const uint8_t *)r->text + token_at, r->bytes - token_at, &decimal);
    r->at += decimal.bytes;
    if (expected)
        return json_fail(r, VS_ERR_INVALID, expected);
    return json_token(r, VS_JSON_NUMBER, token_at, JSON_BEHIND);
}

static int json_string(vs_json *r) {
    size_t token_at = r->at++;
    return json_take_string(r) ? json_token(r, VS_JSON_STRING, token_at, JSON_BEHIND)
                               : VS_JSON_ERROR;
}

static int json_value(vs_json *r) {
    json_skip_space(r);
    switch (json_peek(r)) {
    case '{':
        return json_open(r, true);
    case '[':
        return json_open(r, false);
    case '"':
        return json_string(r);
    case 't':
        return json_word(r, "true", 4, VS_JSON_TRUE);
    case 'f':
        return json_word(r, "false", 5, VS_JSON_FALSE);
    case 'n':
        return json_word(r, "null", 4, VS_JSON_NULL);
    default:
        return json_number(r);
    }
}

static int json_end(vs_json *r) {
    return json_token(r, VS_JSON_END, r->at, JSON_ENDED);
}

/* Behind a value that is in nothing else, or in front of a stream. */
static int json_between(vs_json *r) {
    bool is_closed = r->token == VS_JSON_OBJECT_END || r->token == VS_JSON_ARRAY_END;
    size_t behind = r->at;
    json_skip_space(r);
    if (r->at == r->bytes)
        return json_end(r);
    if (!(r->flags & VS_JSON_STREAM))
        return json_fail(r, VS_ERR_INVALID, "the end of the text");
    if (r->at == behind && !is_closed && behind > 0)
        return json_fail(r, VS_ERR_INVALID, "white space between two values");
    return json_value(r);
}

static int json_behind(vs_json *r) {
    if (r->depth == 0)
        return json_between(r);
    json_skip_space(r);
    if (json_take(r, ',')) {
        json_skip_space(r);
        return json_in_object(r) ? json_name(r) : json_value(r);
    }
    if (json_take(r, json_in_object(r) ? '}' : ']'))
        return json_close(r);
    return json_fail(r, VS_ERR_INVALID, json_in_object(r) ? "',' or '}'" : "',' or ']'");
}

static int json_first(vs_json *r) {
    json_skip_space(r);
    if (json_take(r, json_in_object(r) ? '}' : ']'))
        return json_close(r);
    return json_in_object(r) ? json_name(r) : json_value(r);
}

VSI_FN void vsi_json_begin(vs_json *reader, const char *text, size_t n, uint32_t flags) {
    *reader = (vs_json){.text = text,
                        .bytes = n,
                        .expected = "",
                        .flags = flags,
                        .state = flags & VS_JSON_STREAM ? JSON_BEHIND : JSON_VALUE};
}

VSI_FN int vsi_json_next(vs_json *r) {
    switch (r->state) {
    case JSON_VALUE:
        return json_value(r);
    case JSON_FIRST:
        return json_first(r);
    case JSON_BEHIND:
        return json_behind(r);
    default:
        return r->token;
    }
}

VSI_FN int vsi_json_skip(vs_json *r) {
    if (r->token == VS_JSON_END || r->token == VS_JSON_NAME)
        vsi_json_next(r);
    if (r->state != JSON_FIRST)
        return r->token;
    size_t token_at = r->token_at;
    int32_t depth = r->depth;
    while (r->token > VS_JSON_END && r->depth >= depth)
        vsi_json_next(r);
    return r->token > VS_JSON_END ? json_token(r, r->token, token_at, JSON_BEHIND) : r->token;
}

/* ---- arrays of numbers ---------------------------------------------------------------------- */

/* The number at r->at into *out. */
static bool json_take_float(vs_json *r, float *out) {
    vsi_decimal decimal;
    const char *expected =
        vsi_decimal_read((const uint8_t *)r->text + r->at, r->bytes - r->at, &decimal);
    if (expected) {
        bool has_begun = decimal.bytes > decimal.is_negative;
        r->at += has_begun ? decimal.bytes : 0;
        return json_expected(r, has_begun ? expected : "a number");
    }
    *out = vsi_decimal_to_float(&decimal);
    if (isinf(*out)) {
        json_fail(r, VS_ERR_LIMIT, "a number within the range of float");
        return false;
    }
    r->at += decimal.bytes;
    return true;
}

enum { JSON_MISSES = 4 };

/* Elements that vsi_float_take knows, behind each a comma and at most a blank, as far as they go: they are most of a
 * vector. Element number at is the first one; returns the number of the first that is left. */
static size_t json_take_floats(vs_json *r, float *out, size_t room, size_t at) {
    const uint8_t *p = (const uint8_t *)r->text + r->at;
    size_t left = r->bytes - r->at;
    for (;; at++) {
        float value;
        size_t bytes = vsi_float_take(p, left, &value);
        if (!bytes || p[bytes] != ',')
            break;
        bytes++;
        if (p[bytes] == ' ')
            bytes++;
        if (at < room)
            out[at] = value;
        p += bytes;
        left -= bytes;
    }
    r->at = r->bytes - left;
    return at;
}

VSI_FN vs_status vsi_json_floats(vs_json *r, float *out, size_t room, size_t *out_count) {
    vsi_assert(r->token == VS_JSON_ARRAY_BEGIN);
    size_t token_at = r->token_at, count = 0, taken = 0, misses = 0;
    json_skip_space(r);
    for (bool is_end = json_take(r, ']'); !is_end; count++) {
        float value;
        json_skip_space(r);
        if (misses <=
            JSON_MISSES + taken / 2) { /* no more where others are most, such as integers */
            size_t next = json_take_floats(r, out, room, count);
            misses += next == count;
            taken += next - count;
            count = next;
            json_skip_space(r);
        }
        if (!json_take_float(r, &value))
            return r->status;
        if (count < room)
            out[count] = value;
        json_skip_space(r);
        is_end = json_take(r, ']');
        if (!is_end && !json_take(r, ',')) {
            json_expected(r, "',' or ']'");
            return r->status;
        }
    }
    json_close(r);
    json_token(r, r->token, token_at, JSON_BEHIND);
    *out_count = count;
    return VS_OK;
}

/* ---- objects -------------------------------------------------------------------------------- */

static vs_status json_object_fail(vsi_err *err, const vs_json *r, const char *expected) {
    if (!vsi_utf8_is_valid((const uint8_t *)r->text, r->bytes))
        return vsi_fail(err, VS_ERR_INVALID, "metadata: not well-formed UTF-8");
    if (r->status == VS_ERR_LIMIT)
        return vsi_fail(err, VS_ERR_LIMIT, "metadata: nested deeper than %d at byte %zu",
                        VSI_JSON_DEPTH_MAX, r->at);
    return vsi_fail(err, VS_ERR_INVALID, "metadata: expected %s at byte %zu of %zu", expected,
                    r->at, r->bytes);
}

VSI_FN vs_status vsi_json_check_object(vsi_err *err, const char *text, size_t n) {
    vs_json r;
    vsi_json_begin(&r, text, n, 0);
    json_skip_space(&r);
    if (json_peek(&r) != '{')
        return json_object_fail(err, &r, "a JSON object, '{',");
    if (vsi_json_skip(&r) == VS_JSON_ERROR)
        return json_object_fail(err, &r, r.expected);
    json_skip_space(&r);
    return r.at == n ? VS_OK : json_object_fail(err, &r, "nothing after the object");
}

/* ---- writing -------------------------------------------------------------------------------- */

VSI_FN void vsi_json_put(vsi_json_out *out, const void *data, size_t n) {
    size_t room = out->bytes < out->room ? out->room - out->bytes : 0;
    if (room && n)
        memmove(out->data + out->bytes, data, n < room ? n : room); /* compacting in place */
    out->bytes += n;
}

/* One character in UTF-8. */
static void json_put_code(vsi_json_out *out, uint32_t code) {
    uint8_t text[4] = {(uint8_t)code};
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; n > 1 && i-- > 0; code >>= 6)
        text[i] = (uint8_t)(i ? 0x80 | (code & 0x3f) : lead[n] | code);
    vsi_json_put(out, text, n);
}

static uint32_t json_hex4(const uint8_t *p) {
    uint32_t code = 0;
    for (int i = 0; i < 4; i++)
        code = code << 4 | (uint32_t)json_hex(p[i]);
    return code;
}

VSI_FN size_t vsi_json_escape(const uint8_t *p, uint32_t *out_code) {
    static const char letters[] = "bfnrt", codes[] = "\b\f\n\r\t";
    const char *found = strchr(letters, p[1]);
    *out_code = found ? (uint8_t)codes[found - letters] : p[1];
    if (p[1] != 'u')
        return 2;
    *out_code = json_hex4(p + 2);
    if (*out_code < 0xd800 || *out_code > 0xdfff)
        return 6;
    *out_code = 0x10000 + ((*out_code - 0xd800) << 10) + (json_hex4(p + 8) - 0xdc00);
    return 12;
}

VSI_FN void vsi_json_put_decoded(vsi_json_out *out, const uint8_t *text, size_t n) {
    for (const uint8_t *p = text, *end = text + n; p < end;) {
        const uint8_t *escape = memchr(p, '\\', (size_t)(end - p));
        const uint8_t *stop = escape ? escape : end;
        uint32_t code;
        vsi_json_put(out, p, (size_t)(stop - p));
        if (!escape)
            return;
        p = escape + vsi_json_escape(escape, &code); /* J3 */
        json_put_code(out, code);
    }
}

static void json_put_escape(vsi_json_out *out, uint8_t c) {
    static const char letters[] = "btnfr\"\\", codes[] = "\b\t\n\f\r\"\\";
    static const char hex[] = "0123456789abcdef";
    const char *found = c ? strchr(codes, c) : NULL;
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    if (found)
        text[1] = letters[found - codes];
    vsi_json_put(out, text, found ? 2 : 6);
}

VSI_FN void vsi_json_put_string(vsi_json_out *out, const uint8_t *text, size_t n) {
    const uint8_t *done = text, *end = text + n;
    vsi_json_put(out, "\"", 1);
    for (const uint8_t *p = text; p < end; p++) {
        if (*p >= 0x20 && *p != '"' && *p != '\\')
            continue;
        vsi_json_put(out, done, (size_t)(p - done));
        json_put_escape(out, *p);
        done = p + 1;
    }
    vsi_json_put(out, done, (size_t)(end - done));
    vsi_json_put(out, "\"", 1);
}

/* Behind the string that begins at p; it was read, so it ends. */
static const uint8_t *json_string_end(const uint8_t *p) {
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p + 1;
}

VSI_FN void vsi_json_put_compact(vsi_json_out *out, const uint8_t *text, size_t n) {
    const uint8_t *done = text, *end = text + n;
    for (const uint8_t *p = text; p < end;) {
        if (*p == '"') {
            p = json_string_end(p);
            continue;
        }
        if (!json_is_space(*p++))
            continue;
        vsi_json_put(out, done, (size_t)(p - 1 - done));
        while (p < end && json_is_space(*p))
            p++;
        done = p;
    }
    vsi_json_put(out, done, (size_t)(end - done));
}
