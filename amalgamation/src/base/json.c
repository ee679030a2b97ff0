/* json.c - checks that a text is one JSON object, without recursion and without building anything.
 *
 *   J1  `open` holds one bit per nesting level: 1 an object, 0 an array. */
#include "base/json.h"
#include "base/bytes.h"

typedef struct json_scan {
    vsi_err *err;
    const uint8_t *text;
    size_t n, at;
    uint64_t open;
    int depth;
} json_scan;

static vs_status json_fail(json_scan *s, const char *expected) {
    return vsi_fail(s->err, VS_ERR_INVALID, "metadata: expected %s at byte %zu of %zu", expected,
                    s->at, s->n);
}

static void json_skip_space(json_scan *s) {
    while (s->at < s->n && (s->text[s->at] == ' ' || s->text[s->at] == '\t' ||
                            s->text[s->at] == '\n' || s->text[s->at] == '\r'))
        s->at++;
}

static bool json_take(json_scan *s, uint8_t c) {
    if (s->at >= s->n || s->text[s->at] != c)
        return false;
    s->at++;
    return true;
}

static bool json_is_digit(const json_scan *s) {
    return s->at < s->n && s->text[s->at] >= '0' && s->text[s->at] <= '9';
}

static bool json_take_digits(json_scan *s) {
    if (!json_is_digit(s))
        return false;
    while (json_is_digit(s))
        s->at++;
    return true;
}

/* Value of the four hex digits at s->at, or -1 and s->at on what is not one. */
static int json_take_hex4(json_scan *s) {
    int value = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        int c = s->at < s->n ? s->text[s->at] : 0;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static vs_status json_take_escape(json_scan *s) {
    uint8_t c = s->at < s->n ? s->text[s->at] : 0;
    if (!c || !strchr("\"\\/bfnrtu", c))
        return json_fail(s, "one of \"\\/bfnrtu behind the backslash");
    s->at++;
    if (c != 'u')
        return VS_OK;
    size_t digits = s->at;
    int unit = json_take_hex4(s);
    if (unit < 0)
        return json_fail(s, "four hexadecimal digits");
    if (unit < 0xd800 || unit > 0xdfff)
        return VS_OK;
    bool pair = unit < 0xdc00 && json_take(s, '\\') && json_take(s, 'u');
    int low = pair ? json_take_hex4(s) : -1;
    if (low >= 0xdc00 && low <= 0xdfff)
        return VS_OK;
    s->at = digits;
    return json_fail(s, "a surrogate pair, high then low,");
}

static vs_status json_take_string(json_scan *s) {
    if (!json_take(s, '"'))
        return json_fail(s, "a string");
    while (s->at < s->n) {
        uint8_t c = s->text[s->at];
        if (c < 0x20)
            return json_fail(s, "no control character");
        s->at++;
        if (c == '"')
            return VS_OK;
        if (c == '\\') {
            vs_status st = json_take_escape(s);
            if (st != VS_OK)
                return st;
        }
    }
    return json_fail(s, "the end of a string");
}

static vs_status json_take_number(json_scan *s) {
    json_take(s, '-');
    if (!json_take(s, '0') && !json_take_digits(s))
        return json_fail(s, "a value");
    if (json_take(s, '.') && !json_take_digits(s))
        return json_fail(s, "a digit");
    if (json_take(s, 'e') || json_take(s, 'E')) {
        if (!json_take(s, '+'))
            json_take(s, '-');
        if (!json_take_digits(s))
            return json_fail(s, "a digit");
    }
    return VS_OK;
}

static bool json_take_word(json_scan *s, const char *word) {
    size_t n = strlen(word);
    if (n > s->n - s->at || memcmp(s->text + s->at, word, n))
        return false;
    s->at += n;
    return true;
}

static bool json_in_object(const json_scan *s) {
    return s->open & 1;
}

static vs_status json_open(json_scan *s, bool is_object) {
    if (s->depth == VSI_JSON_DEPTH_MAX)
        return vsi_fail(s->err, VS_ERR_LIMIT, "metadata: nested deeper than %d at byte %zu",
                        VSI_JSON_DEPTH_MAX, s->at);
    s->open = s->open << 1 | is_object; /* keeps J1 */
    s->depth++;
    return VS_OK;
}

static vs_status json_take_name(json_scan *s) {
    vs_status st = json_take_string(s);
    if (st != VS_OK)
        return st;
    json_skip_space(s);
    return json_take(s, ':') ? VS_OK : json_fail(s, "':'");
}

/* After a value: closes what ends here, and stands before the next value or at the end. */
static vs_status json_after_value(json_scan *s) {
    while (s->depth > 0) {
        json_skip_space(s);
        if (json_take(s, ',')) {
            json_skip_space(s);
            return json_in_object(s) ? json_take_name(s) : VS_OK;
        }
        if (!json_take(s, json_in_object(s) ? '}' : ']'))
            return json_fail(s, json_in_object(s) ? "',' or '}'" : "',' or ']'");
        s->open >>= 1;
        s->depth--;
    }
    return VS_OK;
}

/* One scalar, or the beginning of an object or array up to its first value. */
static vs_status json_value(json_scan *s) {
    json_skip_space(s);
    uint8_t c = s->at < s->n ? s->text[s->at] : 0;
    if (c == '"') {
        vs_status st = json_take_string(s);
        return st == VS_OK ? json_after_value(s) : st;
    }
    if (c == '{' || c == '[') {
        vs_status st = json_open(s, c == '{');
        if (st != VS_OK)
            return st;
        s->at++;
        json_skip_space(s);
        if (s->at < s->n && s->text[s->at] == (c == '{' ? '}' : ']'))
            return json_after_value(s);
        return c == '{' ? json_take_name(s) : VS_OK;
    }
    if (json_take_word(s, "true") || json_take_word(s, "false") || json_take_word(s, "null"))
        return json_after_value(s);
    vs_status st = json_take_number(s);
    return st == VS_OK ? json_after_value(s) : st;
}

VSI_FN vs_status vsi_json_check_object(vsi_err *err, const char *text, size_t n) {
    json_scan s = {.err = err, .text = (const uint8_t *)text, .n = n};
    if (!vsi_utf8_is_valid(s.text, n))
        return vsi_fail(err, VS_ERR_INVALID, "metadata: not well-formed UTF-8");
    json_skip_space(&s);
    if (s.at >= n || text[s.at] != '{')
        return json_fail(&s, "a JSON object, '{',");
    do {
        vs_status st = json_value(&s);
        if (st != VS_OK)
            return st;
    } while (s.depth > 0);
    json_skip_space(&s);
    return s.at == n ? VS_OK : json_fail(&s, "nothing after the object");
}
