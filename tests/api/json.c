/* json.c - vs_json_...: reading, writing, whole texts. */
#include "vecstore.h"
#include "vt.h"
#include <float.h>
#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Constants may have more digits than their type has where a processor computes with 80 bits. */
static const double tenth = 0.1, beyond_float = 3.5e38;
static const float tenth_f = 0.1f, above_one_f = 1.00000011920928955078125f;

/* A reader on a copy of exactly its size, so that a sanitizer sees a read too far. One at a time. */
static vs_json *begin(const char *text, uint32_t flags) {
    static vs_json reader;
    static char *copy;
    size_t n = strlen(text);
    free(copy);
    copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    memset(&reader, 0xee, sizeof reader);
    VT_EQ(vs_json_begin(&reader, copy, n, flags), VS_OK);
    return &reader;
}

/* The tokens of a text as letters: {}[] n(ame) s(tring) # t f 0(null), . for the end, ! for an error. */
static const char *tokens(const char *text, uint32_t flags) {
    static const char letter[] = "!.{}[]ns#tf0";
    static char out[512];
    vs_json *r = begin(text, flags);
    size_t n = 0;
    int token = 0;
    do {
        token = vs_json_next(r);
        VT_CHECK(token >= VS_JSON_ERROR && token <= VS_JSON_NULL);
        out[n++] = letter[token + 1];
    } while (token > 0);
    VT_EQ(vs_json_next(r), token); /* and so it stays */
    VT_EQ(vs_json_skip(r), token);
    VT_EQ(vs_json_error(r, NULL, NULL) == VS_OK, token == VS_JSON_END);
    out[n] = 0;
    return out;
}

static void check_token(const vs_json *r, size_t offset, size_t bytes) {
    size_t found_offset = 77, found_bytes = 77;
    VT_EQ(vs_json_token(r, &found_offset, &found_bytes), VS_OK);
    VT_EQ(found_offset, offset);
    VT_EQ(found_bytes, bytes);
}

static void check_error(const vs_json *r, vs_status status, size_t offset, const char *expected) {
    size_t found_offset = 77;
    const char *found = NULL;
    VT_EQ(vs_json_error(r, &found_offset, &found), status);
    VT_STR(found, expected);
    VT_EQ(found_offset, offset);
}

/* ---- tokens --------------------------------------------------------------------------------- */

VT_TEST(a_text_is_read_token_by_token) {
    VT_STR(tokens("{\"a\": [1, \"b\", true, false, null, {}], \"c\": {\"d\": -0.5e3}}", 0),
           "{n[#stf0{}]n{n#}}.");
    VT_STR(tokens("[]", 0), "[].");
    VT_STR(tokens(" {\r\n}\t", 0), "{}.");
    VT_STR(tokens("[[],[[]],{}]", 0), "[[][[]]{}].");
    VT_STR(tokens("7", 0), "#.");
    VT_STR(tokens(" \"x\" ", 0), "s.");
    VT_STR(tokens("null", 0), "0.");
    VT_STR(tokens("{\"a\":1,\"a\":2}", 0), "{n#n#}.");
}

VT_TEST(what_is_no_json_ends_in_an_error_that_says_where_and_what_was_expected) {
    static const struct {
        const char *text, *tokens, *expected;
        size_t offset;
    } fault[] = {
        {"", "!", "a value", 0},
        {"  ", "!", "a value", 2},
        {"\xef\xbb\xbf{}", "!", "a value", 0},
        {"{\"a\":1,}", "{n#!", "a string", 7},
        {"{a:1}", "{!", "a string", 1},
        {"{\"a\" 1}", "{!", "':'", 5},
        {"[1,]", "[#!", "a value", 3},
        {"[1 2]", "[#!", "',' or ']'", 3},
        {"{\"a\":1]", "{n#!", "',' or '}'", 6},
        {"[1", "[#!", "',' or ']'", 2},
        {"[1.]", "[!", "a digit", 3},
        {"[1e+]", "[!", "a digit", 4},
        {"[-]", "[!", "a value", 2},
        {"[+1]", "[!", "a value", 1},
        {"[01]", "[#!", "',' or ']'", 2},
        {"[NaN]", "[!", "a value", 1},
        {"tru", "!", "a value", 0},
        {"truex", "t!", "the end of the text", 4},
        {"1 2", "#!", "the end of the text", 2},
        {"{} {}", "{}!", "the end of the text", 3},
        {"[\"a\n\"]", "[!", "no control character", 3},
        {"\"abc", "!", "the end of a string", 4},
        {"\"abcdefghijkl\\", "!", "one of \"\\/bfnrtu behind the backslash", 14},
        {"\"\\x41\"", "!", "one of \"\\/bfnrtu behind the backslash", 2},
        {"\"\\u12g4\"", "!", "four hexadecimal digits", 5},
        {"\"\\ud800\"", "!", "a surrogate pair, high then low,", 3},
        {"\"\\udc00\\ud800\"", "!", "a surrogate pair, high then low,", 3},
        {"\"12345678\x80\"", "!", "well-formed UTF-8", 9},
        {"\"1234567\xed\xa0\x80\"", "!", "well-formed UTF-8", 8},
        {"\"\xc3\"", "!", "well-formed UTF-8", 1},
        {"/* c */ 1", "!", "a value", 0},
    };
    for (size_t i = 0; i < COUNT(fault); i++) {
        vt_at(fault[i].text, i);
        VT_STR(tokens(fault[i].text, 0), fault[i].tokens);
        vs_json *r = begin(fault[i].text, 0);
        while (vs_json_next(r) > 0) {
        }
        check_error(r, VS_ERR_INVALID, fault[i].offset, fault[i].expected);
        check_token(r, fault[i].offset, 0);
    }
    vt_at(NULL, 0);
}

VT_TEST(a_token_is_told_by_its_place_and_size) {
    vs_json *r = begin("{ \"ab\" : [12.5e1 , \"\\n\"], \"\":true }", 0);
    static const size_t place[][2] = {{0, 1},  {2, 4},  {9, 1},  {10, 6}, {19, 4},
                                      {23, 1}, {26, 2}, {29, 4}, {34, 1}, {35, 0}};
    check_token(r, 0, 0);
    for (size_t i = 0; i < COUNT(place); i++) {
        vs_json_next(r);
        check_token(r, place[i][0], place[i][1]);
    }
    check_error(r, VS_OK, 35, "");
}

VT_TEST(nesting_is_read_up_to_64_levels_and_refused_beyond_them) {
    char text[160];
    for (int depth = 1; depth <= 66; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = 0;
        vs_json *r = begin(text, 0);
        int token = vs_json_skip(r);
        VT_EQ(token, depth <= 64 ? VS_JSON_ARRAY_END : VS_JSON_ERROR);
        if (depth <= 64)
            check_token(r, 0, 2 * (size_t)depth);
        else
            check_error(r, VS_ERR_LIMIT, 64, "at most 64 levels of nesting");
    }
}

VT_TEST(a_reader_of_nothing_and_calls_without_one_are_refused) {
    vs_json reader;
    size_t n = 0, offset = 0;
    double number = 0;
    float element = 0;
    int64_t i64 = 0;
    uint64_t u64 = 0;
    VT_EQ(vs_json_begin(NULL, "1", 1, 0), VS_ERR_MISUSE);
    VT_EQ(vs_json_begin(&reader, NULL, 1, 0), VS_ERR_MISUSE);
    VT_EQ(vs_json_begin(&reader, "1", 1, 2), VS_ERR_MISUSE);
    VT_EQ(vs_json_begin(&reader, NULL, 0, 0), VS_OK);
    VT_EQ(vs_json_next(&reader), VS_JSON_ERROR);
    VT_EQ(vs_json_begin(&reader, NULL, 0, VS_JSON_STREAM), VS_OK);
    VT_EQ(vs_json_next(&reader), VS_JSON_END);
    VT_EQ(vs_json_next(NULL), VS_JSON_ERROR);
    VT_EQ(vs_json_skip(NULL), VS_JSON_ERROR);
    VT_EQ(vs_json_error(NULL, &offset, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_json_token(NULL, &offset, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_token(&reader, NULL, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_token(&reader, &offset, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_json_string(NULL, NULL, 0, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_double(NULL, &number), VS_ERR_MISUSE);
    VT_EQ(vs_json_float(NULL, &element), VS_ERR_MISUSE);
    VT_EQ(vs_json_i64(NULL, &i64), VS_ERR_MISUSE);
    VT_EQ(vs_json_u64(NULL, &u64), VS_ERR_MISUSE);
    VT_EQ(vs_json_floats(NULL, &element, 1, &n), VS_ERR_MISUSE);
    VT_CHECK(sizeof reader <= 128);
}

VT_TEST(values_are_asked_only_where_one_of_their_kind_is) {
    vs_json *r = begin("[\"1\", 1, {\"1\":1}]", 0);
    size_t n = 0;
    double number = 0;
    float element = 0;
    int64_t i64 = 0;
    uint64_t u64 = 0;
    char out[4];
    int token = VS_JSON_END;
    do {
        bool is_text = token == VS_JSON_STRING || token == VS_JSON_NAME;
        bool is_number = token == VS_JSON_NUMBER;
        VT_EQ(vs_json_string(r, out, sizeof out, &n), is_text ? VS_OK : VS_ERR_MISUSE);
        VT_EQ(vs_json_string(r, out, sizeof out, NULL), VS_ERR_MISUSE);
        VT_EQ(vs_json_string(r, NULL, 1, &n), VS_ERR_MISUSE);
        VT_EQ(vs_json_double(r, &number), is_number ? VS_OK : VS_ERR_MISUSE);
        VT_EQ(vs_json_float(r, &element), is_number ? VS_OK : VS_ERR_MISUSE);
        VT_EQ(vs_json_i64(r, &i64), is_number ? VS_OK : VS_ERR_MISUSE);
        VT_EQ(vs_json_u64(r, &u64), is_number ? VS_OK : VS_ERR_MISUSE);
        VT_EQ(vs_json_double(r, NULL), VS_ERR_MISUSE);
        VT_EQ(vs_json_float(r, NULL), VS_ERR_MISUSE);
        VT_EQ(vs_json_i64(r, NULL), VS_ERR_MISUSE);
        VT_EQ(vs_json_u64(r, NULL), VS_ERR_MISUSE);
        if (token != VS_JSON_ARRAY_BEGIN)
            VT_EQ(vs_json_floats(r, NULL, 0, &n), VS_ERR_MISUSE);
        token = vs_json_next(r);
    } while (token > 0);
    VT_EQ(token, VS_JSON_END);
}

/* ---- streams and skipping ------------------------------------------------------------------- */

VT_TEST(a_stream_has_any_number_of_values) {
    VT_STR(tokens("", VS_JSON_STREAM), ".");
    VT_STR(tokens(" \n\n ", VS_JSON_STREAM), ".");
    VT_STR(tokens("{\"a\":1}\n{\"a\":2}\n", VS_JSON_STREAM), "{n#}{n#}.");
    VT_STR(tokens("{}{}[][]", VS_JSON_STREAM), "{}{}[][].");
    VT_STR(tokens("1 2\n\"a\"\ttrue null", VS_JSON_STREAM), "##st0.");
    VT_STR(tokens("[]1 {}", VS_JSON_STREAM), "[]#{}.");
    VT_STR(tokens("1{}", VS_JSON_STREAM), "#!");
    VT_STR(tokens("\"a\"\"b\"", VS_JSON_STREAM), "s!");
    VT_STR(tokens("1-2", VS_JSON_STREAM), "#!");
    VT_STR(tokens("{},{}", VS_JSON_STREAM), "{}!");
    VT_STR(tokens("{}\n{", VS_JSON_STREAM), "{}{!");
}

VT_TEST(a_stream_is_walked_value_by_value_with_skip) {
    static const char text[] = " {\"a\":[1,{}]}\n17 \"s\"\n[[]]";
    static const size_t place[][2] = {{1, 12}, {14, 2}, {17, 3}, {21, 4}};
    vs_json *r = begin(text, VS_JSON_STREAM);
    for (size_t i = 0; i < COUNT(place); i++) {
        VT_CHECK(vs_json_next(r) > 0);
        VT_CHECK(vs_json_skip(r) > 0);
        check_token(r, place[i][0], place[i][1]);
    }
    VT_EQ(vs_json_next(r), VS_JSON_END);
    r = begin(text, VS_JSON_STREAM);
    VT_EQ(vs_json_skip(r), VS_JSON_OBJECT_END); /* nothing was read yet */
    check_token(r, 1, 12);
}

VT_TEST(skipping_goes_through_one_value_and_no_further) {
    vs_json *r = begin("{\"a\":[1,[2]],\"b\":\"x\",\"c\":3}", 0);
    VT_EQ(vs_json_next(r), VS_JSON_OBJECT_BEGIN);
    VT_EQ(vs_json_next(r), VS_JSON_NAME);
    VT_EQ(vs_json_skip(r), VS_JSON_ARRAY_END);
    check_token(r, 5, 7);
    VT_EQ(vs_json_skip(r), VS_JSON_ARRAY_END); /* a value that is over stays */
    check_token(r, 5, 7);
    VT_EQ(vs_json_next(r), VS_JSON_NAME);
    VT_EQ(vs_json_skip(r), VS_JSON_STRING);
    check_token(r, 17, 3);
    VT_EQ(vs_json_next(r), VS_JSON_NAME);
    VT_EQ(vs_json_next(r), VS_JSON_NUMBER);
    VT_EQ(vs_json_skip(r), VS_JSON_NUMBER);
    VT_EQ(vs_json_next(r), VS_JSON_OBJECT_END);
    VT_EQ(vs_json_next(r), VS_JSON_END);
    r = begin("{\"a\":[1,2}", 0);
    VT_EQ(vs_json_skip(r), VS_JSON_ERROR);
    check_error(r, VS_ERR_INVALID, 9, "',' or ']'");
}

/* ---- strings -------------------------------------------------------------------------------- */

static const char *decoded(const char *text) {
    static char out[128];
    vs_json *r = begin(text, 0);
    size_t n = 0, asked = 0;
    VT_EQ(vs_json_next(r), VS_JSON_STRING);
    VT_EQ(vs_json_string(r, NULL, 0, &asked), VS_OK);
    VT_EQ(vs_json_string(r, out, sizeof out - 1, &n), VS_OK);
    VT_EQ(n, asked);
    VT_CHECK(n + 2 <= strlen(text));
    out[n] = 0;
    return out;
}

VT_TEST(a_string_is_given_with_its_escapes_resolved) {
    VT_STR(decoded("\"\""), "");
    VT_STR(decoded("\"plain text\""), "plain text");
    VT_STR(decoded("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), "\"\\/\b\f\n\r\t");
    VT_STR(decoded("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\""),
           "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    VT_STR(decoded("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\\ud800\\udc00\\udbff\\udfff\""),
           "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    VT_STR(decoded("\"\xc3\xa9\\t\xf0\x9f\x98\x80\""), "\xc3\xa9\t\xf0\x9f\x98\x80");
    VT_STR(decoded("\"\\u005cu0041\""), "\\u0041");
}

VT_TEST(a_string_that_does_not_fit_is_cut_and_its_size_told) {
    vs_json *r = begin("\"ab\\ncd\"", 0);
    VT_EQ(vs_json_next(r), VS_JSON_STRING);
    for (size_t room = 0; room <= 8; room++) {
        char out[8] = "#######";
        size_t n = 0;
        VT_EQ(vs_json_string(r, out, room, &n), VS_OK);
        VT_EQ(n, 5);
        size_t written = room < 5 ? room : 5;
        VT_CHECK(!memcmp(out, "ab\ncd", written));
        VT_CHECK(room == 8 || out[written] == '#');
    }
}

VT_TEST(a_nul_in_a_string_is_one_of_its_characters) {
    vs_json *r = begin("{\"a\\u0000b\":1}", 0);
    char out[8];
    size_t n = 0;
    VT_EQ(vs_json_next(r), VS_JSON_OBJECT_BEGIN);
    VT_EQ(vs_json_next(r), VS_JSON_NAME);
    VT_EQ(vs_json_string(r, out, sizeof out, &n), VS_OK);
    VT_EQ(n, 3);
    VT_CHECK(!memcmp(out, "a\0b", 3));
}

VT_TEST(a_string_is_written_in_quotes_and_reads_back) {
    char text[256], out[1600], back[256];
    size_t n = 0, asked = 0, m = 0;
    for (int c = 0; c < 128; c++)
        text[c] = (char)c;
    memcpy(text + 128, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9);
    VT_EQ(vs_json_write_string(text, 137, NULL, 0, &asked), VS_OK);
    VT_EQ(vs_json_write_string(text, 137, out, sizeof out, &n), VS_OK);
    VT_EQ(n, asked);
    vs_json reader;
    VT_EQ(vs_json_begin(&reader, out, n, 0), VS_OK);
    VT_EQ(vs_json_next(&reader), VS_JSON_STRING);
    VT_EQ(vs_json_string(&reader, back, sizeof back, &m), VS_OK);
    VT_EQ(m, 137);
    VT_CHECK(!memcmp(back, text, m));
    VT_EQ(vs_json_next(&reader), VS_JSON_END);
}

VT_TEST(only_what_must_be_escaped_is) {
    static const char text[] = "a/\"\\\b\t\n\f\r\x01\x1f\x7f\xc3\xa9";
    static const char expected[] = "\"a/\\\"\\\\\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\xc3\xa9\"";
    char out[64];
    size_t n = 0;
    VT_EQ(vs_json_write_string(text, sizeof text - 1, out, sizeof out, &n), VS_OK);
    VT_EQ(n, sizeof expected - 1);
    VT_CHECK(!memcmp(out, expected, n));
    for (size_t room = 0; room < n; room++) {
        char cut[64];
        size_t m = 0;
        memset(cut, '#', sizeof cut);
        VT_EQ(vs_json_write_string(text, sizeof text - 1, cut, room, &m), VS_OK);
        VT_EQ(m, n);
        VT_CHECK(!memcmp(cut, expected, room) && cut[room] == '#');
    }
}

VT_TEST(strings_that_are_no_text_and_missing_arguments_are_refused) {
    char out[8];
    size_t n = 99;
    VT_EQ(vs_json_write_string("\x80", 1, out, sizeof out, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_string("a\xed\xa0\x80", 4, out, sizeof out, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_string(NULL, 1, out, sizeof out, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_string("a", 1, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_string("a", 1, out, sizeof out, NULL), VS_ERR_MISUSE);
    VT_EQ(n, 99);
    VT_EQ(vs_json_write_string(NULL, 0, out, sizeof out, &n), VS_OK);
    VT_EQ(n, 2);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static vs_json *at_number(const char *text) {
    vs_json *r = begin(text, 0);
    VT_EQ(vs_json_next(r), VS_JSON_NUMBER);
    return r;
}

VT_TEST(numbers_are_given_as_what_is_asked_for) {
    double number = 0;
    float element = 0;
    VT_EQ(vs_json_double(at_number("0.1"), &number), VS_OK);
    VT_CHECK(number == tenth);
    VT_EQ(vs_json_float(at_number("0.1"), &element), VS_OK);
    VT_CHECK(element == tenth_f);
    VT_EQ(vs_json_double(at_number(" -0 "), &number), VS_OK);
    VT_CHECK(number == 0 && signbit(number));
    VT_EQ(vs_json_double(at_number("1e-400"), &number), VS_OK);
    VT_CHECK(number == 0);
    /* By way of a double this would be rounded twice, and to another float. */
    VT_EQ(vs_json_float(at_number("1.00000017881393432617187499"), &element), VS_OK);
    VT_CHECK(element == above_one_f);
}

VT_TEST(numbers_beyond_a_range_are_refused_and_reading_goes_on) {
    vs_json *r = begin("[1e309, 3.5e38, 1]", 0);
    double number = 5;
    float element = 5;
    VT_EQ(vs_json_next(r), VS_JSON_ARRAY_BEGIN);
    VT_EQ(vs_json_next(r), VS_JSON_NUMBER);
    VT_EQ(vs_json_double(r, &number), VS_ERR_LIMIT);
    VT_CHECK(number == 5);
    VT_EQ(vs_json_next(r), VS_JSON_NUMBER);
    VT_EQ(vs_json_float(r, &element), VS_ERR_LIMIT);
    VT_CHECK(element == 5);
    VT_EQ(vs_json_double(r, &number), VS_OK);
    VT_CHECK(number == beyond_float);
    VT_EQ(vs_json_next(r), VS_JSON_NUMBER);
    VT_EQ(vs_json_next(r), VS_JSON_ARRAY_END);
    VT_EQ(vs_json_double(at_number("1.7976931348623157e308"), &number), VS_OK);
    VT_CHECK(number == DBL_MAX);
    VT_EQ(vs_json_float(at_number("3.4028234663852886e38"), &element), VS_OK);
    VT_CHECK(element == FLT_MAX);
}

VT_TEST(integers_are_exact_or_refused) {
    int64_t i64 = 5;
    uint64_t u64 = 5;
    VT_EQ(vs_json_i64(at_number("-9223372036854775808"), &i64), VS_OK);
    VT_CHECK(i64 == INT64_MIN);
    VT_EQ(vs_json_u64(at_number("18446744073709551615"), &u64), VS_OK);
    VT_CHECK(u64 == UINT64_MAX);
    VT_EQ(vs_json_u64(at_number("1e3"), &u64), VS_OK);
    VT_EQ(u64, 1000);
    VT_EQ(vs_json_i64(at_number("-10.0"), &i64), VS_OK);
    VT_EQ(i64, -10);
    VT_EQ(vs_json_i64(at_number("9223372036854775808"), &i64), VS_ERR_LIMIT);
    VT_EQ(vs_json_u64(at_number("18446744073709551616"), &u64), VS_ERR_LIMIT);
    VT_EQ(vs_json_u64(at_number("-1"), &u64), VS_ERR_LIMIT);
    VT_EQ(vs_json_u64(at_number("1.5"), &u64), VS_ERR_INVALID);
    VT_EQ(vs_json_i64(at_number("1e-1"), &i64), VS_ERR_INVALID);
    VT_EQ(i64, -10);
    VT_EQ(u64, 1000);
}

VT_TEST(numbers_are_written_shortest_and_read_back) {
    char out[24];
    size_t n = 0;
    VT_EQ(vs_json_write_float(0.1f, out, sizeof out, &n), VS_OK);
    VT_CHECK(n == 3 && !memcmp(out, "0.1", 3));
    VT_EQ(vs_json_write_double((double)tenth_f, out, sizeof out, &n), VS_OK);
    VT_CHECK(n == 19 && !memcmp(out, "0.10000000149011612", 19));
    VT_EQ(vs_json_write_double(-2.2250738585072014e-308, out, sizeof out, &n), VS_OK);
    VT_CHECK(n == 24 && !memcmp(out, "-2.2250738585072014e-308", 24));
    VT_EQ(vs_json_write_float(-0.0f, out, sizeof out, &n), VS_OK);
    VT_CHECK(n == 2 && !memcmp(out, "-0", 2));
    VT_EQ(vs_json_write_double(0.5, NULL, 0, &n), VS_OK);
    VT_EQ(n, 3);
    memset(out, '#', sizeof out);
    VT_EQ(vs_json_write_double(0.5, out, 2, &n), VS_OK);
    VT_CHECK(n == 3 && !memcmp(out, "0.#", 3));
}

VT_TEST(what_json_has_no_number_for_is_not_written) {
    char out[24];
    size_t n = 99;
    VT_EQ(vs_json_write_double((double)NAN, out, sizeof out, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_double((double)INFINITY, out, sizeof out, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_float(-INFINITY, out, sizeof out, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_float(NAN, out, sizeof out, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_float(1, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_double(1, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_float(1, out, 1, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_double(1, out, 1, NULL), VS_ERR_MISUSE);
    VT_EQ(n, 99);
}

/* ---- arrays of numbers ---------------------------------------------------------------------- */

VT_TEST(an_array_of_numbers_is_read_at_once_wherever_it_stands) {
    vs_json *r = begin("{\"v\": [ 1 ,-2.5e0,\n0.1 ] , \"w\":[],\"x\":[7]}", 0);
    float v[4] = {9, 9, 9, 9};
    size_t n = 0;
    vs_json_next(r);
    vs_json_next(r);
    VT_EQ(vs_json_next(r), VS_JSON_ARRAY_BEGIN);
    VT_EQ(vs_json_floats(r, v, 4, &n), VS_OK);
    VT_EQ(n, 3);
    VT_CHECK(v[0] == 1 && v[1] == -2.5f && v[2] == tenth_f && v[3] == 9);
    check_token(r, 6, 18);
    VT_EQ(vs_json_floats(r, v, 4, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_next(r), VS_JSON_NAME);
    VT_EQ(vs_json_next(r), VS_JSON_ARRAY_BEGIN);
    VT_EQ(vs_json_floats(r, NULL, 0, &n), VS_OK);
    VT_EQ(n, 0);
    VT_EQ(vs_json_next(r), VS_JSON_NAME);
    VT_EQ(vs_json_next(r), VS_JSON_ARRAY_BEGIN);
    VT_EQ(vs_json_floats(r, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_floats(r, v, 1, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_json_floats(r, v, 1, &n), VS_OK);
    VT_EQ(n, 1);
    VT_CHECK(v[0] == 7);
    VT_EQ(vs_json_next(r), VS_JSON_OBJECT_END);
    VT_EQ(vs_json_next(r), VS_JSON_END);
}

VT_TEST(elements_without_room_are_counted_and_checked) {
    float v[3] = {9, 9, 9};
    size_t n = 0;
    vs_json *r = begin("[1,2,3,4,5]", 0);
    vs_json_next(r);
    VT_EQ(vs_json_floats(r, v, 2, &n), VS_OK);
    VT_EQ(n, 5);
    VT_CHECK(v[0] == 1 && v[1] == 2 && v[2] == 9);
    VT_EQ(vs_json_next(r), VS_JSON_END);
    r = begin("[1,2,3,x]", 0);
    vs_json_next(r);
    VT_EQ(vs_json_floats(r, v, 2, &n), VS_ERR_INVALID);
    check_error(r, VS_ERR_INVALID, 7, "a number");
}

VT_TEST(the_first_bad_element_is_named_by_its_offset) {
    static const struct {
        const char *text, *expected;
        size_t offset;
        vs_status status;
    } fault[] = {
        {"[1, null]", "a number", 4, VS_ERR_INVALID},
        {"[\"1\"]", "a number", 1, VS_ERR_INVALID},
        {"[[1]]", "a number", 1, VS_ERR_INVALID},
        {"[1,]", "a number", 3, VS_ERR_INVALID},
        {"[-]", "a number", 1, VS_ERR_INVALID},
        {"[1.x]", "a digit", 3, VS_ERR_INVALID},
        {"[NaN]", "a number", 1, VS_ERR_INVALID},
        {"[1 2]", "',' or ']'", 3, VS_ERR_INVALID},
        {"[1}", "',' or ']'", 2, VS_ERR_INVALID},
        {"[1", "',' or ']'", 2, VS_ERR_INVALID},
        {"[", "a number", 1, VS_ERR_INVALID},
        {"[0, 3.5e38, 1]", "a number within the range of float", 4, VS_ERR_LIMIT},
        {"[-1e999]", "a number within the range of float", 1, VS_ERR_LIMIT},
    };
    for (size_t i = 0; i < COUNT(fault); i++) {
        float v[4];
        size_t n = 99;
        vs_json *r = begin(fault[i].text, 0);
        vt_at(fault[i].text, i);
        VT_EQ(vs_json_next(r), VS_JSON_ARRAY_BEGIN);
        VT_EQ(vs_json_floats(r, v, 4, &n), fault[i].status);
        VT_EQ(n, 99);
        check_error(r, fault[i].status, fault[i].offset, fault[i].expected);
        VT_EQ(vs_json_next(r), VS_JSON_ERROR);
    }
    vt_at(NULL, 0);
}

VT_TEST(vectors_written_and_read_at_once_are_the_same) {
    enum { DIM = 4096 };
    static float v[DIM], back[DIM];
    static char text[DIM * 26 + 2];
    vt_rng rng = {vt_seed()};
    size_t n = 0, m = 0;
    text[n++] = '[';
    for (int i = 0; i < DIM; i++) {
        v[i] = (float)((vt_uniform(&rng) - 0.5) * pow(10, (double)vt_below(&rng, 70) - 40));
        VT_EQ(vs_json_write_float(v[i], text + n, sizeof text - n, &m), VS_OK);
        n += m;
        text[n++] = i + 1 < DIM ? ',' : ']';
    }
    vs_json reader;
    VT_EQ(vs_json_begin(&reader, text, n, 0), VS_OK);
    VT_EQ(vs_json_next(&reader), VS_JSON_ARRAY_BEGIN);
    VT_EQ(vs_json_floats(&reader, back, DIM, &m), VS_OK);
    VT_EQ(m, DIM);
    VT_CHECK(!memcmp(v, back, sizeof v));
}

/* The elements of an array one by one, up to its end or a fault. */
static size_t read_one_by_one(vs_json *reader, float *out) {
    size_t n = 0;
    int token;
    while ((token = vs_json_next(reader)) == VS_JSON_NUMBER)
        VT_EQ(vs_json_float(reader, &out[n++]), VS_OK);
    return n;
}

VT_TEST(an_array_read_at_once_is_its_elements_one_by_one_in_whatever_form) {
    enum { MOST = 40 };
    static const char *const forms[] = {"0.5",        "-0.123456789",
                                        "0.47425896", "1e-3",
                                        "12.75",      "7",
                                        "-0.0",       "0.1234567890123456789",
                                        "3.4e38",     "9.999999999999999"};
    static const char *const between[] = {",", ", ", ",", ",  ", " ,", ",\n"};
    static const char *const ends[] = {"]", " ]", ",]", ", ]", "", ",", " 1]", ",x]", ".5]"};
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 20000; i++) {
        char text[MOST * 32] = "[", *copy;
        float all[MOST], single[MOST], few[MOST] = {0};
        size_t count = 1 + vt_below(&rng, MOST - 1), n = 0, m = 0, room = vt_below(&rng, MOST);
        for (size_t k = 0; k < count; k++) {
            strcat(text, k ? between[vt_below(&rng, 6)] : "");
            strcat(text, forms[vt_below(&rng, 10)]);
        }
        strcat(text, ends[vt_below(&rng, 9)]);
        size_t bytes = strlen(text), at = 0, at_single = 0;
        copy = malloc(bytes);
        memcpy(copy, text, bytes);
        vs_json reader, slow;
        const char *expected = "", *expected_single = "";
        vs_json_begin(&reader, copy, bytes, 0);
        vs_json_begin(&slow, copy, bytes, 0);
        vs_json_next(&reader);
        vs_json_next(&slow);
        vs_status st = vs_json_floats(&reader, all, MOST, &n);
        m = read_one_by_one(&slow, single);
        vs_json_error(&reader, &at, &expected);
        vs_status st_single = vs_json_error(&slow, &at_single, &expected_single);
        VT_EQ(st, st_single);
        if (at != at_single)
            vt_fail(__FILE__, __LINE__, "%s: fails at %zu, one by one at %zu", text, at, at_single);
        if (st == VS_OK) {
            VT_EQ(n, m);
            VT_CHECK(!memcmp(all, single, n * sizeof *all));
            vs_json_begin(&reader, copy, bytes, 0);
            vs_json_next(&reader);
            VT_EQ(vs_json_floats(&reader, few, room, &n), VS_OK);
            VT_EQ(n, m);
            for (size_t k = 0; k < MOST; k++)
                VT_CHECK(k < room && k < n ? few[k] == single[k] : few[k] == 0);
        }
        free(copy);
    }
}

/* ---- whole texts ---------------------------------------------------------------------------- */

VT_TEST(a_text_is_compacted_also_in_place) {
    char text[] = " { \"a b\" : [ 1 , 2.0 ] , \"c\":\" \\\" \" } ", out[64];
    static const char expected[] = "{\"a b\":[1,2.0],\"c\":\" \\\" \"}";
    size_t n = 0;
    VT_EQ(vs_json_compact(text, sizeof text - 1, NULL, 0, &n), VS_OK);
    VT_EQ(n, sizeof expected - 1);
    VT_EQ(vs_json_compact(text, sizeof text - 1, out, sizeof out, &n), VS_OK);
    VT_CHECK(n == sizeof expected - 1 && !memcmp(out, expected, n));
    memset(out, '#', sizeof out);
    VT_EQ(vs_json_compact(text, sizeof text - 1, out, 5, &n), VS_OK);
    VT_CHECK(n == sizeof expected - 1 && !memcmp(out, expected, 5) && out[5] == '#');
    VT_EQ(vs_json_compact(text, sizeof text - 1, text, sizeof text - 1, &n), VS_OK);
    VT_CHECK(n == sizeof expected - 1 && !memcmp(text, expected, n));
}

VT_TEST(what_is_no_json_is_not_compacted) {
    char out[8];
    size_t n = 99;
    VT_EQ(vs_json_compact("[1,]", 4, out, sizeof out, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_compact("1 2", 3, out, sizeof out, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_compact("", 0, out, sizeof out, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_compact(NULL, 0, out, sizeof out, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_compact("1", 1, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_compact("1", 1, out, sizeof out, NULL), VS_ERR_MISUSE);
    VT_EQ(n, 99);
}

VT_TEST(a_merge_patch_changes_adds_and_deletes_members) {
    static const char target[] = "{\"title\": \"a\", \"tags\": [1], \"by\": {\"x\": 1, \"y\": 2}}";
    static const char patch[] = "{\"title\": \"b\", \"by\": {\"y\": null}, \"n\": 5}";
    static const char expected[] = "{\"title\":\"b\",\"tags\":[1],\"by\":{\"x\":1},\"n\":5}";
    char out[128];
    size_t n = 0;
    vt_allocator counted = {.fail_at = 0};
    vs_allocator allocator = {&counted, vt_realloc};
    VT_EQ(
        vs_json_merge_patch(target, sizeof target - 1, patch, sizeof patch - 1, NULL, NULL, 0, &n),
        VS_OK);
    VT_EQ(n, sizeof expected - 1);
    memset(out, '#', sizeof out);
    VT_EQ(vs_json_merge_patch(target, sizeof target - 1, patch, sizeof patch - 1, &allocator, out,
                              sizeof out, &n),
          VS_OK);
    VT_CHECK(n == sizeof expected - 1 && !memcmp(out, expected, n) && out[n] == '#');
    VT_CHECK(counted.calls > 0);
    VT_EQ(counted.live_blocks, 0);
    VT_EQ(vs_json_merge_patch(target, sizeof target - 1, patch, sizeof patch - 1, NULL, out, 3, &n),
          VS_OK);
    VT_EQ(n, sizeof expected - 1);
}

VT_TEST(a_merge_patch_that_cannot_be_applied_writes_nothing) {
    char out[16];
    size_t n = 99;
    vt_allocator failing = {.fail_at = 1, .fails_for_ever = true};
    vs_allocator allocator = {&failing, vt_realloc}, incomplete = {NULL, NULL};
    VT_EQ(vs_json_merge_patch("{", 1, "{}", 2, NULL, out, 16, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_merge_patch("{}", 2, "x", 1, NULL, out, 16, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_merge_patch("{}", 2, "{}", 2, &allocator, out, 16, &n), VS_ERR_NOMEM);
    VT_EQ(vs_json_merge_patch("{}", 2, "{}", 2, &incomplete, out, 16, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_merge_patch(NULL, 0, "{}", 2, NULL, out, 16, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_merge_patch("{}", 2, NULL, 0, NULL, out, 16, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_merge_patch("{}", 2, "{}", 2, NULL, NULL, 16, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_merge_patch("{}", 2, "{}", 2, NULL, out, 16, NULL), VS_ERR_MISUSE);
    VT_EQ(n, 99);
}
