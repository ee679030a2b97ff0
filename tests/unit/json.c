/* json.c - which texts are JSON objects; texts without white space; merge patches. */
#include "base/patch.h"
#include "vt.h"

/* From a block of exactly its size, so that a sanitizer sees a read too far. */
static vs_status check(vsi_err *err, const char *text, size_t n) {
    char *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    vs_status st = vsi_json_check_object(err, copy, n);
    free(copy);
    return st;
}

static bool is_object(const char *text, size_t n) {
    vsi_err err = {0};
    vs_status st = check(&err, text, n);
    VT_CHECK(st == VS_OK || st == VS_ERR_INVALID || st == VS_ERR_LIMIT);
    VT_EQ(err.code, st);
    VT_EQ(err.text[0] != 0, st != VS_OK);
    return st == VS_OK;
}

static void expect(const char *text, size_t n, bool valid) {
    if (is_object(text, n) != valid)
        vt_fail(__FILE__, __LINE__, "%s: %.*s", valid ? "refused" : "accepted", (int)n, text);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const valid[] = {
    "{}",
    "{ }",
    " \t\r\n{ \t\r\n} \t\r\n",
    "{\"a\":1}",
    "{ \"a\" : 1 , \"b\" : 2 }",
    "{\"\":\"\"}",
    "{\"a\":1,\"a\":2}",
    "{\"a\":true,\"b\":false,\"c\":null}",
    "{\"a\":[]}",
    "{\"a\":[ ]}",
    "{\"a\":[1,[2,[3]],{\"b\":[]}]}",
    "{\"a\":{\"b\":{\"c\":{}}}}",
    "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}",
    "{\"a\":\"\\u0000\\u00e9\\uFFFF\\uabCD\"}",
    "{\"\\u0061\":1}",
    "{\"a\":\"\\ud83d\\ude00\\uD800\\uDC00\\udbff\\udfff\"}",
    "{\"a\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}",
    "{\"\xc3\xa9\":0}",
    "{\"a\":\"\x7f\"}",
    "{\"a\":\"/* no comment */ // {}[]:,\"}",
    "{\"a\":\"\xef\xbb\xbf\"}",
};

static const char *const refused[] = {
    "",
    " ",
    "[]",
    "1",
    "\"a\"",
    "null",
    "true",
    "{",
    "}",
    "{{}}",
    "{}}",
    "{}{}",
    "{},",
    "{} x",
    "{}\f",
    "\v{}",
    "\xef\xbb\xbf{}",
    "\xc2\xa0{}",
    "{a:1}",
    "{'a':1}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\"=1}",
    "{\"a\" 1}",
    "{\"a\":1,}",
    "{,\"a\":1}",
    "{,}",
    "{\"a\":1,,\"b\":1}",
    "{\"a\":1 \"b\":1}",
    "{\"a\":1;\"b\":1}",
    "{\"a\":1:2}",
    "{\"a\"::2}",
    "{1:2}",
    "{null:2}",
    "{[]:2}",
    "{\"a\":[1,]}",
    "{\"a\":[,1]}",
    "{\"a\":[,]}",
    "{\"a\":[1 2]}",
    "{\"a\":[1}",
    "{\"a\":[1}]",
    "{\"a\":{]}",
    "{\"a\":[\"b\":1]}",
    "{\"a\":tru}",
    "{\"a\":True}",
    "{\"a\":truex}",
    "{\"a\":nul}",
    "{\"a\":nulll}",
    "{\"a\":undefined}",
    "{\"a\":'b'}",
    "{\"a\":\"\\a\"}",
    "{\"a\":\"\\v\"}",
    "{\"a\":\"\\0\"}",
    "{\"a\":\"\\x41\"}",
    "{\"a\":\"\\'\"}",
    "{\"a\":\"\\\n\"}",
    "{\"a\":\"\\U0041\"}",
    "{\"a\":\"\\u\"}",
    "{\"a\":\"\\u123\"}",
    "{\"a\":\"\\u12 4\"}",
    "{\"a\":\"\\u123g\"}",
    "{\"a\":\"\\u+123\"}",
    "{\"a\":\"\\u{41}\"}",
    "{\"a\":\"b}",
    "{\"a\":b\"}",
    "{\"a\":\"b\"c\"}",
    "{\"a\":/* c */1}",
    "{\"a\":1 // c\n}",
    "# c\n{}",
};

VT_TEST(objects_of_every_form_are_accepted) {
    for (size_t i = 0; i < COUNT(valid); i++)
        expect(valid[i], strlen(valid[i]), true);
}

VT_TEST(texts_that_are_no_object_are_refused) {
    for (size_t i = 0; i < COUNT(refused); i++)
        expect(refused[i], strlen(refused[i]), false);
}

VT_TEST(every_truncation_of_an_object_is_refused) {
    for (size_t i = 0; i < COUNT(valid); i++) {
        size_t n = strlen(valid[i]);
        while (strchr(" \t\r\n", valid[i][n - 1]))
            n--;
        for (size_t cut = 0; cut < n; cut++)
            expect(valid[i], cut, false);
    }
}

VT_TEST(anything_but_white_space_behind_the_object_is_refused) {
    for (int c = 0; c < 256; c++) {
        char text[3] = {'{', '}', (char)c};
        expect(text, 3, c == ' ' || c == '\t' || c == '\r' || c == '\n');
        char before[3] = {(char)c, '{', '}'};
        expect(before, 3, c == ' ' || c == '\t' || c == '\r' || c == '\n');
    }
}

/* ---- strings -------------------------------------------------------------------------------- */

/* {"k":"..."} around bytes. */
static size_t wrap_string(const char *bytes, size_t n, char *out) {
    memcpy(out, "{\"k\":\"", 6);
    memcpy(out + 6, bytes, n);
    memcpy(out + 6 + n, "\"}", 2);
    return n + 8;
}

VT_TEST(control_characters_in_strings_and_names_are_refused) {
    for (int c = 0; c < 0x20; c++) {
        char in = (char)c, text[16];
        expect(text, wrap_string(&in, 1, text), false);
        memcpy(text, "{\"k\":1}", 7);
        text[2] = in;
        expect(text, 7, false);
    }
}

VT_TEST(every_byte_of_a_long_string_is_looked_at) {
    for (size_t at = 0; at < 24; at++)
        for (int c = 0; c < 256; c++) {
            char in[24], text[40];
            memset(in, 'a' + c % 7, sizeof in);
            in[at] = (char)c;
            bool is_plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            bool is_escape = c == '\\' && at + 1 < 24 && strchr("bf", in[at + 1]);
            expect(text, wrap_string(in, sizeof in, text), is_plain || is_escape);
        }
}

VT_TEST(every_escape_but_those_of_the_standard_is_refused) {
    for (int c = 0; c < 256; c++) {
        char in[2] = {'\\', (char)c}, text[16];
        bool is_escape = c && strchr("\"\\/bfnrt", c);
        expect(text, wrap_string(in, 2, text), is_escape);
    }
}

VT_TEST(every_character_that_is_no_hex_digit_is_refused_in_an_escape) {
    for (int at = 2; at < 6; at++)
        for (int c = 0; c < 256; c++) {
            char in[6] = {'\\', 'u', '0', '0', '4', '1'}, text[16];
            in[at] = (char)c;
            bool is_hex = c && strchr("0123456789abcdefABCDEF", c);
            /* \u followed by d at the front would begin a surrogate only from d8 on; 0 follows. */
            expect(text, wrap_string(in, 6, text), is_hex);
        }
}

VT_TEST(halves_of_surrogate_pairs_are_refused) {
    static const char *const half[] = {
        "\\ud800",         "\\udbff",
        "\\udc00",         "\\udfff",
        "\\uD834x",        "\\ud834\\n",
        "\\ud834\\u",      "\\ud834\\u0041",
        "\\ud834\\ud834",  "\\ude00\\ud83d",
        "\\udc00\\udc00",  "\\ud83d\\\\ude00",
        "\\ud83d \\ude00", "\\ud83d\\ude00\\ude00",
    };
    for (size_t i = 0; i < COUNT(half); i++) {
        char text[64];
        expect(text, wrap_string(half[i], strlen(half[i]), text), false);
    }
}

VT_TEST(malformed_utf8_in_strings_and_names_is_refused) {
    static const char *const malformed[] = {
        "\x80",
        "\xff",
        "\xc3",
        "\xc0\x80",
        "\xe2\x82",
        "\xed\xa0\x80",
        "\xf4\x90\x80\x80",
        "\xc3\x28",
        "\xf0\x80\x80\x80",
        "\xc3\"",
    };
    for (size_t i = 0; i < COUNT(malformed); i++) {
        char text[32];
        expect(text, wrap_string(malformed[i], strlen(malformed[i]), text), false);
        size_t n = (size_t)snprintf(text, sizeof text, "{\"%s\":1}", malformed[i]);
        expect(text, n, false);
    }
}

VT_TEST(a_nul_byte_is_refused_wherever_it_stands) {
    static const char text[] = "{ \"a\" : [ 1 , true ] }";
    for (size_t at = 0; at < sizeof text - 1; at++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        copy[at] = 0;
        expect(copy, sizeof text - 1, false);
    }
}

/* ---- numbers -------------------------------------------------------------------------------- */

static size_t skip_digits(const char *text, size_t n, size_t i) {
    while (i < n && text[i] >= '0' && text[i] <= '9')
        i++;
    return i;
}

/* number = [ "-" ] ( "0" / digit1-9 *digit ) [ "." 1*digit ] [ e [ sign ] 1*digit ] */
static bool is_number(const char *text, size_t n) {
    size_t i = n > 0 && text[0] == '-';
    size_t end = skip_digits(text, n, i);
    if (end == i || (text[i] == '0' && end > i + 1))
        return false;
    i = end;
    if (i < n && text[i] == '.') {
        end = skip_digits(text, n, i + 1);
        if (end == i + 1)
            return false;
        i = end;
    }
    if (i < n && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        i += i < n && (text[i] == '+' || text[i] == '-');
        end = skip_digits(text, n, i);
        if (end == i)
            return false;
        i = end;
    }
    return i == n;
}

VT_TEST(every_short_text_of_number_characters_is_judged_right) {
    static const char letters[] = "019-+.eE";
    enum { LETTERS = sizeof letters - 1, LENGTH = 6 };
    uint32_t texts = 1, accepted = 0;
    for (size_t n = 1; n <= LENGTH; n++) {
        texts *= LETTERS;
        for (uint32_t i = 0; i < texts; i++) {
            char text[16] = "{\"k\":";
            uint32_t rest = i;
            for (size_t at = 0; at < n; at++, rest /= LETTERS)
                text[5 + at] = letters[rest % LETTERS];
            text[5 + n] = '}';
            bool expected = is_number(text + 5, n);
            expect(text, n + 6, expected);
            accepted += expected;
        }
    }
    VT_CHECK(accepted > 1000);
}

VT_TEST(numbers_of_any_size_are_accepted) {
    char text[1200] = "{\"k\":-";
    memset(text + 6, '7', 500);
    strcpy(text + 506, ".");
    memset(text + 507, '0', 500);
    strcpy(text + 1007, "E-0000099999999999999999999}");
    expect(text, strlen(text), true);
    expect("{\"k\":1e999}", 11, true);
}

VT_TEST(words_that_programs_print_for_numbers_are_refused) {
    static const char *const word[] = {"NaN",  "nan",   "Infinity", "-Infinity", "inf",
                                       "0x1F", "1_000", "1,5",      "1f",        "\xef\xbc\x91"};
    for (size_t i = 0; i < COUNT(word); i++) {
        char text[32];
        size_t n = (size_t)snprintf(text, sizeof text, "{\"k\":%s}", word[i]);
        expect(text, n, false);
    }
}

/* ---- depth ---------------------------------------------------------------------------------- */

/* An object that holds depth - 1 arrays or objects in each other; bytes written. */
static size_t nest(int depth, bool of_arrays, char *out) {
    size_t n = 0;
    const char *open = of_arrays ? "[" : "{\"a\":";
    n += (size_t)sprintf(out + n, "{\"a\":");
    for (int i = 1; i < depth; i++)
        n += (size_t)sprintf(out + n, "%s", open);
    n += (size_t)sprintf(out + n, "0");
    for (int i = 1; i < depth; i++)
        out[n++] = of_arrays ? ']' : '}';
    out[n++] = '}';
    return n;
}

VT_TEST(nesting_is_accepted_up_to_the_limit_and_refused_beyond_it) {
    char text[8192];
    vsi_err err = {0};
    for (int of_arrays = 0; of_arrays < 2; of_arrays++)
        for (int depth = 1; depth <= VSI_JSON_DEPTH_MAX + 40; depth++)
            VT_EQ(check(&err, text, nest(depth, of_arrays, text)),
                  depth <= VSI_JSON_DEPTH_MAX ? VS_OK : VS_ERR_LIMIT);
    VT_EQ(VSI_JSON_DEPTH_MAX, 64);
}

VT_TEST(depth_counts_what_is_open_not_what_was_opened) {
    char text[16384];
    size_t n = (size_t)sprintf(text, "{\"a\":[0");
    for (int i = 0; i < 1000; i++)
        n += (size_t)sprintf(text + n, ",[{\"b\":[]}]");
    n += (size_t)sprintf(text + n, "]}");
    expect(text, n, true);
}

VT_TEST(a_million_open_brackets_are_refused_without_overflow) {
    enum { BRACKETS = 1000000 };
    char *text = malloc(BRACKETS);
    memset(text, '[', BRACKETS);
    memcpy(text, "{\"a\":", 5);
    VT_CHECK(!is_object(text, BRACKETS));
    for (size_t i = 0; i + 5 <= BRACKETS; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    VT_CHECK(!is_object(text, BRACKETS));
    free(text);
}

VT_TEST(brackets_are_closed_by_their_own_kind_at_every_depth) {
    char text[1024];
    for (int depth = 2; depth <= VSI_JSON_DEPTH_MAX; depth++)
        for (int of_arrays = 0; of_arrays < 2; of_arrays++) {
            size_t n = nest(depth, of_arrays, text);
            for (int closer = 1; closer < depth; closer++) {
                char *at = text + n - 1 - closer, was = *at;
                *at = of_arrays ? '}' : ']';
                expect(text, n, false);
                *at = was;
            }
        }
}

/* ---- messages ------------------------------------------------------------------------------- */

/* The offset that the message of a refusal names. */
static size_t offset_of(const char *text, size_t n) {
    vsi_err err = {0};
    VT_EQ(check(&err, text, n), VS_ERR_INVALID);
    const char *at = strstr(err.text, "byte ");
    if (!at)
        vt_fail(__FILE__, __LINE__, "no offset in '%s'", err.text);
    return strtoul(at + 5, NULL, 10);
}

VT_TEST(the_message_names_the_offset_of_the_fault) {
    static const struct {
        const char *text;
        int offset;
    } fault[] = {
        {"", 0},
        {"   [", 3},
        {"{\"a\":17,}", 8},
        {"{\"abcdefghij\"}", 13},
        {"{\"a\":1}  }", 9},
        {"{\"a\":12", 7},
        {"{\"ab\":[1,2,}", 11},
        {"{\"a\":\"bc\n\"}", 8},
        {"{\"a\":1.}", 7},
    };
    for (size_t i = 0; i < COUNT(fault); i++)
        VT_EQ(offset_of(fault[i].text, strlen(fault[i].text)), fault[i].offset);
}

VT_TEST(the_offset_in_a_message_never_lies_behind_the_text) {
    for (size_t i = 0; i < COUNT(valid); i++)
        for (size_t cut = 0; cut < strlen(valid[i]); cut++) {
            vsi_err err = {0};
            if (check(&err, valid[i], cut) == VS_OK || !strstr(err.text, "byte "))
                continue;
            if (offset_of(valid[i], cut) > cut)
                vt_fail(__FILE__, __LINE__, "%.*s: %s", (int)cut, valid[i], err.text);
        }
}

VT_TEST(a_message_shows_no_bytes_of_the_text) {
    static const char text[] = "{\"secret\":\"password\",hunter2}";
    vsi_err err = {0};
    VT_EQ(check(&err, text, sizeof text - 1), VS_ERR_INVALID);
    VT_CHECK(!strstr(err.text, "hunter"));
    VT_CHECK(!strstr(err.text, "secret"));
}

/* ---- against an oracle ---------------------------------------------------------------------- */

typedef struct oracle {
    const char *text;
    size_t n, at;
} oracle;

static void oracle_skip(oracle *o) {
    while (o->at < o->n && strchr(" \t\r\n", o->text[o->at]) && o->text[o->at])
        o->at++;
}

static bool oracle_take(oracle *o, char c) {
    oracle_skip(o);
    if (o->at == o->n || o->text[o->at] != c)
        return false;
    o->at++;
    return true;
}

/* Strings without escapes, which is all that the alphabet below can make. */
static bool oracle_string(oracle *o) {
    if (!oracle_take(o, '"'))
        return false;
    while (o->at < o->n && o->text[o->at] != '"' && o->text[o->at] != '\n')
        o->at++;
    return o->at < o->n && o->text[o->at++] == '"';
}

static bool oracle_value(oracle *o);

/* Members or elements up to the closing bracket. */
static bool oracle_items(oracle *o, char close, bool has_names) {
    if (oracle_take(o, close))
        return true;
    do {
        if (has_names && !(oracle_string(o) && oracle_take(o, ':')))
            return false;
        if (!oracle_value(o))
            return false;
    } while (oracle_take(o, ','));
    return oracle_take(o, close);
}

static bool oracle_value(oracle *o) {
    if (oracle_take(o, '{'))
        return oracle_items(o, '}', true);
    if (oracle_take(o, '['))
        return oracle_items(o, ']', false);
    oracle_skip(o);
    if (o->at < o->n && o->text[o->at] == '"')
        return oracle_string(o);
    size_t end = o->at;
    while (end < o->n && strchr("0123456789+-.eE", o->text[end]) && o->text[end])
        end++;
    bool is_right = is_number(o->text + o->at, end - o->at);
    o->at = end;
    return is_right;
}

static bool oracle_is_object(const char *text, size_t n) {
    oracle o = {text, n, 0};
    if (!oracle_take(&o, '{') || !oracle_items(&o, '}', true))
        return false;
    oracle_skip(&o);
    return o.at == n;
}

VT_TEST(every_short_text_of_brackets_and_marks_is_judged_right) {
    static const char letters[] = "{}[]\":,0 ";
    enum { LETTERS = sizeof letters - 1, LENGTH = 6 };
    uint32_t texts = 1;
    for (size_t n = 1; n <= LENGTH; n++) {
        texts *= LETTERS;
        for (uint32_t i = 0; i < texts; i++) {
            char inner[16], text[32] = "{\"k\":";
            uint32_t rest = i;
            for (size_t at = 0; at < n; at++, rest /= LETTERS)
                inner[at] = letters[rest % LETTERS];
            expect(inner, n, oracle_is_object(inner, n));
            memcpy(text + 5, inner, n);
            text[5 + n] = '}';
            expect(text, n + 6, oracle_is_object(text, n + 6));
        }
    }
}

VT_TEST(texts_with_random_changes_are_judged_right) {
    static const char letters[] = "{}[]\":,0 1.-e\na";
    static const char text[] = "{\"a\": [1, 2.5e7, {\"b\": {}, \"c\": [[], \"d\"]}], \"\": -0}";
    vt_rng rng = {vt_seed()};
    int accepted = 0;
    for (int round = 0; round < 100000; round++) {
        char copy[sizeof text];
        memcpy(copy, text, sizeof text);
        for (uint64_t changes = 1 + vt_below(&rng, 3); changes > 0; changes--)
            copy[vt_below(&rng, sizeof text - 1)] = letters[vt_below(&rng, sizeof letters - 1)];
        bool expected = oracle_is_object(copy, sizeof text - 1);
        expect(copy, sizeof text - 1, expected);
        accepted += expected;
    }
    VT_CHECK(accepted > 5000 && accepted < 90000);
}

/* ---- without white space -------------------------------------------------------------------- */

static void expect_compact(const char *text, const char *expected) {
    uint8_t room[256];
    vsi_json_out out = {.data = room, .room = sizeof room};
    vs_json reader;
    vsi_json_begin(&reader, text, strlen(text), 0);
    VT_CHECK(vsi_json_skip(&reader) > 0);
    vsi_json_put_compact(&out, (const uint8_t *)text + reader.token_at, reader.token_bytes);
    VT_CHECK(out.bytes < sizeof room);
    room[out.bytes] = 0;
    VT_STR((char *)room, expected);
}

VT_TEST(compacting_drops_white_space_outside_strings_and_nothing_else) {
    expect_compact(" 1 ", "1");
    expect_compact("[ ]", "[]");
    expect_compact("{ \"a\" : [ 1 ,\t2.50e+07 ] ,\r\n\"b c\" : \" \\\" \\\\\" }",
                   "{\"a\":[1,2.50e+07],\"b c\":\" \\\" \\\\\"}");
    expect_compact("\"\\u0061 \\/\"", "\"\\u0061 \\/\"");
    expect_compact("{\"a\":[1,2],\"b\":null}", "{\"a\":[1,2],\"b\":null}");
    expect_compact("[\n  true,\n  false,\n  null\n]", "[true,false,null]");
}

VT_TEST(every_valid_object_compacted_is_as_valid_and_compact) {
    for (size_t i = 0; i < COUNT(valid); i++) {
        uint8_t once[256], twice[256];
        vsi_json_out out = {.data = once, .room = sizeof once};
        const char *text = valid[i];
        while (*text != '{')
            text++;
        size_t n = (size_t)(strrchr(text, '}') + 1 - text);
        vsi_json_put_compact(&out, (const uint8_t *)text, n);
        VT_CHECK(out.bytes <= n);
        expect((const char *)once, out.bytes, true);
        vsi_json_out again = {.data = twice, .room = sizeof twice};
        vsi_json_put_compact(&again, once, out.bytes);
        VT_EQ(again.bytes, out.bytes);
        VT_CHECK(!memcmp(once, twice, out.bytes));
    }
}

/* ---- merge patches -------------------------------------------------------------------------- */

/* From blocks of exactly their sizes, into room for exactly what both have. Returns malloc'd text. */
static char *merged(vsi_err *err, const char *target, const char *patch, vt_allocator *failing) {
    size_t n = strlen(target), m = strlen(patch);
    uint8_t *copy = malloc(n + 1), *change = malloc(m + 1);
    char *result = malloc(n + m + 1);
    vsi_mem mem;
    vsi_json_out out = {.data = (uint8_t *)result, .room = n + m};
    vsi_mem_init(&mem, failing ? &(vs_allocator){failing, vt_realloc} : NULL);
    memcpy(copy, target, n);
    memcpy(change, patch, m);
    vs_status st = vsi_patch_merge(err, &mem, (vsi_bytes){copy, n}, (vsi_bytes){change, m}, &out);
    VT_EQ(err->code, st);
    VT_EQ(err->text[0] != 0, st != VS_OK);
    VT_CHECK(vsi_atomic_load(&mem.used_bytes) == 0);
    if (st == VS_OK) {
        VT_CHECK(out.bytes <= n + m);
        result[out.bytes] = 0;
    } else {
        free(result);
        result = NULL;
    }
    free(copy);
    free(change);
    return result;
}

static void expect_merged(const char *target, const char *patch, const char *expected) {
    vsi_err err = {0};
    char *result = merged(&err, target, patch, NULL);
    if (!result || strcmp(result, expected))
        vt_fail(__FILE__, __LINE__, "%.99s patched with %.99s is %.99s, expected %.99s", target,
                patch, result ? result : err.text, expected);
    free(result);
}

VT_TEST(merge_patches_do_what_the_table_of_rfc_7396_says) {
    static const char *const row[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < COUNT(row); i++)
        expect_merged(row[i][0], row[i][1], row[i][2]);
}

VT_TEST(members_keep_their_order_and_new_ones_follow_in_that_of_the_patch) {
    expect_merged("{\"z\":1,\"m\":2,\"a\":3}", "{\"y\":4,\"a\":5,\"b\":6,\"z\":{}}",
                  "{\"z\":{},\"m\":2,\"a\":5,\"y\":4,\"b\":6}");
    expect_merged("{\"o\":{\"x\":1,\"y\":{\"q\":[{}]}},\"p\":0}",
                  "{\"o\":{\"w\":{\"n\":null,\"v\":{}},\"y\":{\"r\":2},\"x\":null}}",
                  "{\"o\":{\"y\":{\"q\":[{}],\"r\":2},\"w\":{\"v\":{}}},\"p\":0}");
}

VT_TEST(of_members_of_one_name_the_last_one_counts) {
    expect_merged("{\"a\":1,\"b\":2,\"a\":3}", "{}", "{\"b\":2,\"a\":3}");
    expect_merged("{\"a\":1}", "{\"a\":null,\"a\":4}", "{\"a\":4}");
    expect_merged("{\"a\":1}", "{\"a\":4,\"a\":null}", "{}");
    expect_merged("{}", "{\"c\":1,\"d\":2,\"c\":{\"e\":1,\"e\":2}}", "{\"d\":2,\"c\":{\"e\":2}}");
    expect_merged("{\"a\":{\"x\":1},\"a\":{\"y\":2}}", "{\"a\":{\"z\":3}}",
                  "{\"a\":{\"y\":2,\"z\":3}}");
    expect_merged("{\"\":1,\"\":{\"\":2,\"\":3}}", "{\"x\":0}", "{\"\":{\"\":3},\"x\":0}");
    expect_merged("{\"a\":[{\"b\":1,\"b\":2}]}", "{\"c\":[null,{\"d\":null}]}",
                  "{\"a\":[{\"b\":1,\"b\":2}],\"c\":[null,{\"d\":null}]}");
}

VT_TEST(names_are_compared_as_they_are_meant_and_stay_as_they_were_written) {
    expect_merged("{\"\\u0061\":1}", "{\"a\":2}", "{\"\\u0061\":2}");
    expect_merged("{\"a\":1,\"\\u0061\":2}", "{}", "{\"\\u0061\":2}");
    expect_merged("{\"a\":1}", "{\"\\u0061\":null}", "{}");
    expect_merged("{\"\\/\\n\":1}", "{\"/\\u000A\":2}", "{\"\\/\\n\":2}");
    expect_merged("{\"\xf0\x9f\x98\x80\":1,\"\xc3\xa9\":2,\"\xe2\x82\xac\":3}",
                  "{\"\\ud83d\\ude00\":4,\"\\u00E9\":5,\"\\u20ac\":6}",
                  "{\"\xf0\x9f\x98\x80\":4,\"\xc3\xa9\":5,\"\xe2\x82\xac\":6}");
    expect_merged("{\"a\":1,\"ab\":2,\"\":3}", "{\"ab\\u0000\":4,\"a\\u0062\":null}",
                  "{\"a\":1,\"\":3,\"ab\\u0000\":4}");
}

VT_TEST(white_space_goes_and_values_keep_their_bytes) {
    expect_merged(" { \"a\" : [ 1 , \" \" ] , \"b\" : 1.50 } ", "\n{ \"c\" : 1E5 }\n",
                  "{\"a\":[1,\" \"],\"b\":1.50,\"c\":1E5}");
    expect_merged("{}", " [ 1 , 2 ] ", "[1,2]");
}

VT_TEST(a_merge_that_is_refused_names_the_text_and_the_place) {
    static const struct {
        const char *target, *patch, *message;
    } fault[] = {
        {"{\"a\":}", "{}", "metadata: expected a value at byte 5 of 6"},
        {"{}", "{\"a\" 1}", "patch: expected ':' at byte 5 of 7"},
        {"", "{}", "metadata: expected a value at byte 0 of 0"},
        {"{}", "{} {}", "patch: expected the end of the text at byte 3 of 5"},
        {"{}", "{\"a\":[1,}", "patch: expected a value at byte 8 of 9"},
    };
    for (size_t i = 0; i < COUNT(fault); i++) {
        vsi_err err = {0};
        VT_CHECK(!merged(&err, fault[i].target, fault[i].patch, NULL));
        VT_EQ(err.code, VS_ERR_INVALID);
        VT_STR(err.text, fault[i].message);
    }
}

VT_TEST(merging_works_up_to_the_limit_of_depth_and_is_refused_beyond_it) {
    char target[2048], patch[2048];
    for (int depth = VSI_JSON_DEPTH_MAX - 1; depth <= VSI_JSON_DEPTH_MAX + 1; depth++) {
        vsi_err err = {0};
        target[nest(depth, false, target)] = 0;
        patch[nest(depth, false, patch)] = 0;
        *strrchr(patch, '0') = '7';
        for (int how = 0; how < 3; how++) {
            char *result = merged(&err, how == 0 ? "{}" : target, how == 1 ? "{}" : patch, NULL);
            VT_EQ(err.code, depth <= VSI_JSON_DEPTH_MAX ? VS_OK : VS_ERR_LIMIT);
            if (result)
                VT_STR(result, how == 1 ? target : patch);
            free(result);
            err = (vsi_err){0};
        }
    }
}

VT_TEST(without_memory_a_merge_is_refused_and_nothing_leaks) {
    static const char target[] =
        "{\"a\":{\"b\":1},\"c\":2,\"d\":3,\"e\":4,\"f\":5,\"g\":6,\"h\":7}";
    for (uint64_t fail_at = 1; fail_at < 100; fail_at++) {
        vt_allocator allocator = {.fail_at = fail_at};
        vsi_err err = {0};
        char *result = merged(&err, target, target, &allocator);
        VT_EQ(err.code, allocator.failures ? VS_ERR_NOMEM : VS_OK);
        VT_EQ(allocator.live_blocks, 0);
        VT_CHECK(!result || !strcmp(result, target));
        free(result);
        if (!allocator.failures)
            return;
    }
    vt_fail(__FILE__, __LINE__, "it never succeeded");
}

/* A random object over few names, up to some depth; bytes written. */
static size_t random_object(vt_rng *rng, int depth, char *out) {
    static const char *const names[] = {"a", "b", "\\u0061", "c", "", "ab", "\xc3\xa9", "\\u00e9"};
    static const char *const values[] = {"null", "1", "\"x\"", "[{\"a\":null}]", "{}"};
    size_t n = 0;
    out[n++] = '{';
    for (uint64_t i = 0, count = vt_below(rng, 5); i < count; i++) {
        n +=
            (size_t)sprintf(out + n, "%s\"%s\":", i ? "," : "", names[vt_below(rng, COUNT(names))]);
        if (depth > 0 && vt_below(rng, 2))
            n += random_object(rng, depth - 1, out + n);
        else
            n += (size_t)sprintf(out + n, "%s", values[vt_below(rng, COUNT(values))]);
    }
    out[n++] = '}';
    out[n] = 0;
    return n;
}

/* An object as the oracle sees it: spans of the text, the last one of each name. */
typedef struct span {
    const char *at;
    size_t n;
} span;

typedef struct members {
    span name[8], value[8];
    int count;
} members;

/* The end of a value of random_object: brackets are balanced, and none stands in a string. */
static const char *value_end(const char *p) {
    int open = 0;
    do {
        open += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        p++;
    } while (open || !strchr(",}", *p));
    return p;
}

static bool is_same_name(span a, span b) {
    const char *text[2] = {a.at, b.at};
    size_t n[2] = {a.n, b.n};
    for (int i = 0; i < 2; i++) {
        if (n[i] != 6)
            continue;
        text[i] = text[i][5] == '1' ? "a" : "\xc3\xa9";
        n[i] = strlen(text[i]);
    }
    return n[0] == n[1] && !memcmp(text[0], text[1], n[0]);
}

static int find_member(const members *m, span name) {
    for (int i = 0; i < m->count; i++)
        if (is_same_name(m->name[i], name))
            return i;
    return -1;
}

static void take_members(span object, members *out) {
    const char *p = object.at + 1;
    for (out->count = 0; *p != '}'; p += *p == ',') {
        span name = {p + 1, strcspn(p + 1, "\"")};
        span value = {name.at + name.n + 2, 0};
        p = value_end(value.at);
        value.n = (size_t)(p - value.at);
        int old = find_member(out, name);
        for (int i = old; i >= 0 && i + 1 < out->count; i++) {
            out->name[i] = out->name[i + 1];
            out->value[i] = out->value[i + 1];
        }
        out->count -= old >= 0;
        out->name[out->count] = name;
        out->value[out->count++] = value;
    }
}

/* The algorithm as the RFC has it, by recursion; target or patch may be without text. Bytes written. */
static size_t oracle_merge(span target, span patch, char *out) {
    members old = {.count = 0}, change = {.count = 0};
    size_t n = 1;
    out[0] = '{';
    if (target.n && *target.at == '{')
        take_members(target, &old);
    if (patch.n)
        take_members(patch, &change);
    for (int i = 0; i < old.count + change.count; i++) {
        bool is_old = i < old.count;
        span name = is_old ? old.name[i] : change.name[i - old.count];
        int with = is_old ? find_member(&change, name) : i - old.count;
        if (!is_old && find_member(&old, name) >= 0)
            continue;
        span before = is_old ? old.value[i] : (span){"", 0};
        span after = with >= 0 ? change.value[with] : (span){"", 0};
        if (after.n && *after.at == 'n')
            continue;
        span shown = after.n ? after : before;
        n += (size_t)sprintf(out + n, "%s\"%.*s\":", n > 1 ? "," : "", (int)name.n, name.at);
        if (*shown.at == '{')
            n += oracle_merge(before, after, out + n);
        else
            n += (size_t)sprintf(out + n, "%.*s", (int)shown.n, shown.at);
    }
    out[n++] = '}';
    out[n] = 0;
    return n;
}

VT_TEST(random_merges_are_those_of_the_algorithm_in_the_rfc) {
    static char target[1 << 16], patch[1 << 16], expected[1 << 17];
    vt_rng rng = {vt_seed()};
    for (int round = 0; round < 20000; round++) {
        span from = {target, random_object(&rng, 3, target)};
        span change = {patch, random_object(&rng, 3, patch)};
        oracle_merge(from, change, expected);
        expect_merged(target, patch, expected);
    }
}

VT_TEST(a_hundred_thousand_members_merge_in_time) {
    enum { MEMBERS = 100000 };
    char *target = malloc(MEMBERS * 20), *patch = malloc(MEMBERS * 20);
    size_t n = 0, m = 0;
    for (int i = 0; i < MEMBERS; i++) {
        n += (size_t)sprintf(target + n, "%c\"k%d\":%d", i ? ',' : '{', i * 7 % MEMBERS, i);
        m += (size_t)sprintf(patch + m, "%c\"k%d\":null", i ? ',' : '{', MEMBERS - 1 - i);
    }
    strcpy(target + n, "}");
    strcpy(patch + m, "}");
    expect_merged(target, patch, "{}");
    expect_merged(target, "{}", target);
    free(target);
    free(patch);
}
