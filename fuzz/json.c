/* json.c - fuzz target: JSON and numbers as text of any bytes.
 *
 *   byte 0   lowest two bits: one text, a stream, a merge patch, a number
 *   byte 1   of a merge patch: bytes of the target; the rest is the patch
 *
 * What is read token by token must be what a reader by recursion, below, takes for JSON; what was compacted or
 * merged must be JSON again and stay as it is; numbers must be those of strtod and strtof, and read back when they
 * are written; vs_put must accept what the reader takes for an object. */
#include "target.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ONE = 0, STREAM = 1, PATCH = 2, NUMBER = 3 };

/* ---- a reader by recursion -------------------------------------------------------------------- */

typedef struct plain {
    const uint8_t *p, *end;
} plain;

static bool plain_value(plain *in, int depth);

static void plain_space(plain *in) {
    while (in->p < in->end && (*in->p == ' ' || *in->p == '\t' || *in->p == '\n' || *in->p == '\r'))
        in->p++;
}

static bool plain_take(plain *in, int c) {
    bool is_there = in->p < in->end && *in->p == c;
    in->p += is_there;
    return is_there;
}

static int plain_hex4(plain *in) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        int c = in->p < in->end ? *in->p++ : 0;
        const char *found = strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
        if (!c || !found)
            return -1;
        value = value * 16 + (int)(found - digits);
    }
    return value;
}

static bool plain_escape(plain *in) {
    int c = in->p < in->end ? *in->p++ : 0;
    if (c != 'u')
        return c && strchr("\"\\/bfnrt", c);
    int unit = plain_hex4(in);
    if (unit < 0xd800 || unit > 0xdfff)
        return unit >= 0;
    if (unit > 0xdbff || !plain_take(in, '\\') || !plain_take(in, 'u'))
        return false;
    unit = plain_hex4(in);
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* One character beyond ASCII, by its value. */
static bool plain_utf8(plain *in, uint32_t lead) {
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    uint32_t code = lead & (0x3fu >> more);
    if (lead < 0xc0 || lead > 0xf7 || in->end - in->p < more)
        return false;
    for (int i = 0; i < more; i++, in->p++) {
        if (*in->p >> 6 != 2)
            return false;
        code = code << 6 | (*in->p & 0x3fu);
    }
    return code >= least[more] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
}

static bool plain_string(plain *in) {
    if (!plain_take(in, '"'))
        return false;
    while (in->p < in->end) {
        uint8_t c = *in->p++;
        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !plain_escape(in)) || (c >= 0x80 && !plain_utf8(in, c)))
            return false;
    }
    return false;
}

static bool plain_digits(plain *in) {
    const uint8_t *first = in->p;
    while (in->p < in->end && *in->p >= '0' && *in->p <= '9')
        in->p++;
    return in->p > first;
}

static bool plain_number(plain *in) {
    plain_take(in, '-');
    if (!plain_take(in, '0') && !plain_digits(in))
        return false;
    if (plain_take(in, '.') && !plain_digits(in))
        return false;
    if (!plain_take(in, 'e') && !plain_take(in, 'E'))
        return true;
    if (!plain_take(in, '+'))
        plain_take(in, '-');
    return plain_digits(in);
}

static bool plain_items(plain *in, int close, int depth) {
    plain_space(in);
    if (plain_take(in, close))
        return true;
    do {
        plain_space(in);
        if (close == '}') {
            if (!plain_string(in))
                return false;
            plain_space(in);
            if (!plain_take(in, ':'))
                return false;
        }
        if (!plain_value(in, depth))
            return false;
        plain_space(in);
    } while (plain_take(in, ','));
    return plain_take(in, close);
}

static bool plain_value(plain *in, int depth) {
    static const char *const words[] = {"true", "false", "null"};
    plain_space(in);
    if (plain_take(in, '{'))
        return depth < 64 && plain_items(in, '}', depth + 1);
    if (plain_take(in, '['))
        return depth < 64 && plain_items(in, ']', depth + 1);
    if (in->p < in->end && *in->p == '"')
        return plain_string(in);
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(in->end - in->p) >= n && !memcmp(in->p, words[i], n)) {
            in->p += n;
            return true;
        }
    }
    return plain_number(in);
}

static bool plain_is_json(const uint8_t *text, size_t n) {
    plain in = {text, text + n};
    if (!plain_value(&in, 0))
        return false;
    plain_space(&in);
    return in.p == in.end;
}

/* ---- numbers ---------------------------------------------------------------------------------- */

static void check_bits(const void *a, const void *b, size_t n, const char *what, const char *text) {
    require(!memcmp(a, b, n), what, text);
}

/* What was written reads back to the same bits, in room for exactly as much. */
static void check_written(double value) {
    char wide[32] = "", narrow[32] = "";
    size_t n = 0;
    float element = (float)value;
    if (vs_json_write_double(value, wide, 24, &n) == VS_OK) {
        double back = strtod(wide, NULL);
        require(n <= 24 && n == strlen(wide), "write double", wide);
        check_bits(&back, &value, sizeof back, "write double", wide);
    } else {
        require(!isfinite(value), "write double", "refused");
    }
    if (vs_json_write_float(element, narrow, 24, &n) == VS_OK) {
        float back = strtof(narrow, NULL);
        require(n <= 24 && n == strlen(narrow), "write float", narrow);
        check_bits(&back, &element, sizeof back, "write float", narrow);
    } else {
        require(!isfinite(element), "write float", "refused");
    }
}

static void check_integers(const vs_json *reader, double wide) {
    int64_t i64 = 0;
    uint64_t u64 = 0;
    vs_status i_st = vs_json_i64(reader, &i64), u_st = vs_json_u64(reader, &u64);
    if (i_st == VS_OK)
        require((double)i64 == wide, "i64", "another value");
    if (u_st == VS_OK)
        require((double)u64 == wide, "u64", "another value");
    if (i_st == VS_OK && u_st == VS_OK)
        require(i64 >= 0 && (uint64_t)i64 == u64, "integers", "differ");
    require((i_st == VS_ERR_INVALID) == (u_st == VS_ERR_INVALID), "integers", "differ");
    if (floor(wide) != wide)
        require(i_st == VS_ERR_INVALID, "i64", "a fraction");
}

/* The reader stands at a number. */
static void check_number(const vs_json *reader, const char *base) {
    size_t at = 0, n = 0;
    double wide = 0;
    float narrow = 0;
    require(vs_json_token(reader, &at, &n) == VS_OK && n > 0, "token", "without bytes");
    char *text = malloc(n + 1);
    require(text, "number", "no memory");
    memcpy(text, base + at, n);
    text[n] = 0;
    double wide_libc = strtod(text, NULL);
    float narrow_libc = strtof(text, NULL);
    if (vs_json_double(reader, &wide) == VS_OK)
        check_bits(&wide, &wide_libc, sizeof wide, "double", text);
    else
        require(isinf(wide_libc), "double", text);
    if (vs_json_float(reader, &narrow) == VS_OK)
        check_bits(&narrow, &narrow_libc, sizeof narrow, "float", text);
    else
        require(isinf(narrow_libc), "float", text);
    if (isfinite(wide_libc))
        check_integers(reader, wide_libc);
    check_written(wide_libc);
    free(text);
}

/* ---- texts ------------------------------------------------------------------------------------ */

/* A string that was decoded is written, and that decoded again. */
static void check_string(const vs_json *reader) {
    size_t n = 0, quoted = 0, again = 0;
    require(vs_json_string(reader, NULL, 0, &n) == VS_OK, "string", "not given");
    char *text = malloc(n + 1), *copy = malloc(n + 1), *written = malloc(6 * n + 2);
    require(text && copy && written, "string", "no memory");
    require(vs_json_string(reader, text, n, &n) == VS_OK, "string", "not given");
    require(vs_json_write_string(text, n, written, 6 * n + 2, &quoted) == VS_OK &&
                quoted <= 6 * n + 2,
            "string", "not written");
    vs_json back;
    require(vs_json_begin(&back, written, quoted, 0) == VS_OK, "string", "begin");
    require(vs_json_next(&back) == VS_JSON_STRING, "string", "no string again");
    require(vs_json_string(&back, copy, n, &again) == VS_OK && again == n && !memcmp(text, copy, n),
            "string", "another one");
    free(text);
    free(copy);
    free(written);
}

/* An array at once must be what its tokens are. */
static void check_floats(vs_json reader) {
    float values[64];
    size_t count = 0;
    vs_json tokens = reader;
    vs_status st = vs_json_floats(&reader, values, 64, &count);
    for (size_t i = 0;; i++) {
        float value = 0;
        int token = vs_json_next(&tokens);
        if (token == VS_JSON_ARRAY_END) {
            require(st == VS_OK && count == i, "floats", "another count");
            return;
        }
        if (token != VS_JSON_NUMBER || vs_json_float(&tokens, &value) != VS_OK) {
            require(st != VS_OK, "floats", "accepted");
            return;
        }
        if (st == VS_OK && i < 64)
            check_bits(&value, &values[i], sizeof value, "floats", "another element");
    }
}

/* Walks a text, looking at everything. Returns the last token. */
static int walk(const char *text, size_t n, uint32_t flags) {
    vs_json reader;
    int token = 0;
    size_t at = 0, bytes = 0, last = 0;
    require(vs_json_begin(&reader, text, n, flags) == VS_OK, "begin", "refused");
    while ((token = vs_json_next(&reader)) > 0) {
        require(vs_json_token(&reader, &at, &bytes) == VS_OK && at >= last && bytes > 0 &&
                    bytes <= n - at,
                "token", "out of place");
        last = at + bytes;
        if (token == VS_JSON_NUMBER)
            check_number(&reader, text);
        if (token == VS_JSON_STRING || token == VS_JSON_NAME)
            check_string(&reader);
        if (token == VS_JSON_ARRAY_BEGIN)
            check_floats(reader);
    }
    const char *expected = NULL;
    vs_status st = vs_json_error(&reader, &at, &expected);
    require((st == VS_OK) == (token == VS_JSON_END) && at <= n, "error", "does not agree");
    require((*expected != 0) == (st != VS_OK), "error", "without words");
    return token;
}

/* A compact text must stay as it is. */
static void check_compact(const char *text, size_t n, bool is_json) {
    size_t bytes = 0, again = 0;
    char *once = malloc(n + 1), *twice = malloc(n + 1);
    require(once && twice, "compact", "no memory");
    bool ok = vs_json_compact(text, n, once, n, &bytes) == VS_OK;
    require(ok == is_json, "compact", "does not agree");
    if (ok) {
        require(bytes <= n && plain_is_json((const uint8_t *)once, bytes), "compact", "no JSON");
        require(vs_json_compact(once, bytes, twice, n, &again) == VS_OK && again == bytes &&
                    !memcmp(once, twice, bytes),
                "compact", "changes again");
    }
    free(once);
    free(twice);
}

/* A database that all runs use; its one record changes. */
static vs_collection *collection_for_metadata(void) {
    static fuzz_disk disk;
    static vs_db *db;
    static vs_collection *coll;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    if (coll)
        return coll;
    disk_init(&disk);
    options.vfs = &disk.vfs;
    options.flags = VS_OPEN_CREATE;
    shape.dim = 1;
    require(vs_open("t.vs", &options, &db) == VS_OK, "open", vs_errmsg(db));
    require(vs_collection_create(db, NULL, "c", &shape, &coll) == VS_OK, "create", vs_errmsg(db));
    return coll;
}

/* Metadata are taken when they are an object that the reader reads. */
static void check_metadata(const uint8_t *data, size_t n, bool is_json) {
    static const float vector = 1;
    vs_collection *coll = collection_for_metadata();
    vs_record record = {.size = sizeof record,
                        .vector_type = VS_F32,
                        .key = {.number = 1},
                        .vector = &vector,
                        .metadata = (const char *)data,
                        .metadata_bytes = n};
    plain in = {data, data + n};
    plain_space(&in);
    bool is_object = is_json && *in.p == '{';
    vs_status st = n ? vs_put(coll, NULL, &record, VS_UPSERT) : VS_ERR_INVALID;
    require((st == VS_OK) == is_object, "metadata", vs_errmsg(coll));
    require(st == VS_OK || st == VS_ERR_INVALID || st == VS_ERR_LIMIT, "metadata", vs_errmsg(coll));
}

static void run_text(const uint8_t *data, size_t n) {
    const char *text = (const char *)data;
    bool is_json = plain_is_json(data, n);
    vs_json reader;
    require((walk(text, n, 0) == VS_JSON_END) == is_json, "text", "readers do not agree");
    require(vs_json_begin(&reader, text, n, 0) == VS_OK, "begin", "refused");
    int token = vs_json_skip(&reader);
    token = token > 0 ? vs_json_next(&reader) : token;
    require((token == VS_JSON_END) == is_json, "skip", "does not agree");
    check_compact(text, n, is_json);
    check_metadata(data, n, is_json);
}

/* Every value of a stream is one by itself. */
static void run_stream(const uint8_t *data, size_t n) {
    vs_json reader;
    size_t at = 0, bytes = 0, values = 0;
    walk((const char *)data, n, VS_JSON_STREAM);
    require(vs_json_begin(&reader, (const char *)data, n, VS_JSON_STREAM) == VS_OK, "begin",
            "refused");
    for (; vs_json_next(&reader) > 0 && vs_json_skip(&reader) > 0; values++) {
        require(vs_json_token(&reader, &at, &bytes) == VS_OK, "token", "refused");
        require(plain_is_json(data + at, bytes), "stream", "a value that is none");
    }
    if (plain_is_json(data, n))
        require(values == 1, "stream", "of one value");
}

/* What came of a patch must be JSON; to apply the patch again, or nothing, must not change it. */
static void run_patch(fuzz_input *in) {
    size_t target_bytes = 0, patch_bytes = 0, bytes = 0, again = 0;
    size_t split = input_u8(in);
    const char *target = (const char *)input_run(in, split, &target_bytes);
    const char *patch = (const char *)input_run(in, in->bytes, &patch_bytes);
    size_t room = target_bytes + patch_bytes;
    bool is_json = plain_is_json((const uint8_t *)target, target_bytes) &&
                   plain_is_json((const uint8_t *)patch, patch_bytes);
    char *once = malloc(room + 1), *twice = malloc(2 * room + 1);
    require(once && twice, "patch", "no memory");
    vs_status st = vs_json_merge_patch(target, target_bytes, patch, patch_bytes,
                                       bounded_allocator(), once, room, &bytes);
    require((st == VS_OK) == is_json, "patch", "readers do not agree");
    if (st == VS_OK) {
        require(bytes <= room && plain_is_json((const uint8_t *)once, bytes), "patch", "no JSON");
        check_compact(once, bytes, true);
        require(vs_json_merge_patch(once, bytes, patch, patch_bytes, NULL, twice, 2 * room,
                                    &again) == VS_OK &&
                    again == bytes && !memcmp(once, twice, bytes),
                "patch", "changes again");
    }
    free(once);
    free(twice);
}

/* One number, whatever surrounds it is cut off. */
static void run_number(const uint8_t *data, size_t n) {
    vs_json reader;
    double value;
    require(vs_json_begin(&reader, (const char *)data, n, VS_JSON_STREAM) == VS_OK, "begin",
            "refused");
    if (vs_json_next(&reader) == VS_JSON_NUMBER)
        check_number(&reader, (const char *)data);
    if (n >= sizeof value) {
        memcpy(&value, data + n - sizeof value, sizeof value);
        check_written(value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    uint32_t mode = input_u8(&in) & 3;
    /* From a block of exactly its size. */
    uint8_t *copy = malloc(in.bytes ? in.bytes : 1);
    require(copy, "input", "no memory");
    memcpy(copy, in.data, in.bytes);
    in.data = copy;
    if (mode == ONE)
        run_text(in.data, in.bytes);
    else if (mode == STREAM)
        run_stream(in.data, in.bytes);
    else if (mode == PATCH)
        run_patch(&in);
    else
        run_number(in.data, in.bytes);
    free(copy);
    return 0;
}
