/* key.c - keys of records: their bytes, their order, what is no key. */
#include "store/key.h"
#include "vt.h"

/* A valid key, often like others; text is where its bytes go. */
static vs_key random_key(vt_rng *rng, uint8_t text[VS_KEY_BYTES_MAX]) {
    vs_key key = {.kind = (uint16_t)vt_below(rng, 3)};
    key.space = vt_below(rng, 2) ? 0 : (uint32_t)vt_random(rng) >> vt_below(rng, 32);
    if (key.kind == VS_KEY_U64) {
        key.number = vt_random(rng) >> vt_below(rng, 64);
        return key;
    }
    key.data = text;
    key.bytes = key.kind == VS_KEY_UUID ? 16 : (uint16_t)(1 + vt_below(rng, 5));
    if (key.kind == VS_KEY_BYTES && vt_below(rng, 20) == 0)
        key.bytes = VS_KEY_BYTES_MAX;
    for (size_t i = 0; i < key.bytes; i++)
        text[i] = (uint8_t)(vt_below(rng, 3) * 127);
    return key;
}

/* The order as the header words it. */
static int order_of(vs_key a, vs_key b) {
    if (a.space != b.space)
        return a.space < b.space ? -1 : 1;
    if (a.kind != b.kind)
        return a.kind < b.kind ? -1 : 1;
    if (a.number != b.number)
        return a.number < b.number ? -1 : 1;
    const uint8_t *x = a.data, *y = b.data;
    for (size_t i = 0; i < a.bytes && i < b.bytes; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static int sign(int order) {
    return (order > 0) - (order < 0);
}

VT_TEST(bytes_of_keys_are_in_the_order_of_keys_and_lead_back) {
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 100000; i++) {
        uint8_t a_text[VS_KEY_BYTES_MAX], b_text[VS_KEY_BYTES_MAX];
        uint8_t a_bytes[VSI_KEY_BYTES_MAX], b_bytes[VSI_KEY_BYTES_MAX];
        vs_key a = random_key(&rng, a_text), b = random_key(&rng, b_text), back;
        vsi_bytes x = vsi_key_encode(a_bytes, a), y = vsi_key_encode(b_bytes, b);
        VT_EQ(sign(vsi_bytes_compare(x, y)), order_of(a, b));
        VT_EQ(sign(vsi_key_compare(a, b)), order_of(a, b));
        memset(&back, 0x5a, sizeof back);
        VT_CHECK(vsi_key_decode(x, &back));
        VT_EQ(order_of(back, a), 0);
        VT_CHECK(!back.data || back.data == x.data + x.bytes - back.bytes);
    }
}

VT_TEST(bytes_of_keys_are_those_of_the_format) {
    uint8_t out[VSI_KEY_BYTES_MAX];
    vsi_bytes found = vsi_key_encode(out, VT_KEY(0x0102030405060708));
    VT_CHECK(found.bytes == 10 && !memcmp(found.data, "\0\1\1\2\3\4\5\6\7\10", 10));
    found = vsi_key_encode(out, (vs_key){0, "ab", 2, VS_KEY_BYTES, 0x0a0b0c0d});
    VT_CHECK(found.bytes == 8 && !memcmp(found.data, "\1\12\13\14\15\2ab", 8));
    found = vsi_key_encode(out, (vs_key){0, "0123456789abcdef", 16, VS_KEY_UUID, 0});
    VT_CHECK(found.bytes == 18 && !memcmp(found.data,
                                          "\0\3"
                                          "0123456789abcdef",
                                          18));
    found = vsi_key_encode_space(out, 0);
    VT_CHECK(found.bytes == 1 && out[0] == 0);
    found = vsi_key_encode_space(out, 1);
    VT_CHECK(found.bytes == 5 && !memcmp(out, "\1\0\0\0\1", 5));
}

/* Reads from a block of exactly that size, so that a sanitizer sees a read too far. */
static bool is_key(const char *data, size_t bytes) {
    vs_key key;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, data, bytes);
    bool found = vsi_key_decode((vsi_bytes){copy, bytes}, &key);
    free(copy);
    return found;
}

VT_TEST(bytes_that_are_no_key_are_told) {
    char longest[VSI_KEY_BYTES_MAX + 1] = {1, 0, 0, 0, 9, 2};
    VT_CHECK(is_key("\0\1"
                    "12345678",
                    10));
    VT_CHECK(is_key("\0\2x", 3) && is_key("\1\0\0\0\1\2x", 7));
    VT_CHECK(is_key("\0\3"
                    "0123456789abcdef",
                    18));
    VT_CHECK(is_key(longest, VSI_KEY_BYTES_MAX));
    VT_CHECK(!is_key(longest, VSI_KEY_BYTES_MAX + 1));
    for (size_t n = 0; n < 30; n++) {
        VT_EQ(is_key("\0\1"
                     "1234567890123456789012345678",
                     n),
              n == 10);
        VT_EQ(is_key("\0\2"
                     "1234567890123456789012345678",
                     n),
              n >= 3);
        VT_EQ(is_key("\0\3"
                     "1234567890123456789012345678",
                     n),
              n == 18);
        VT_EQ(is_key("\1\0\0\0\7\2"
                     "123456789012345678901234",
                     n),
              n >= 7);
        VT_CHECK(!is_key("\0\0"
                         "1234567890123456789012345678",
                         n)); /* no type */
        VT_CHECK(!is_key("\0\4"
                         "1234567890123456789012345678",
                         n));
        VT_CHECK(!is_key("\2\2"
                         "1234567890123456789012345678",
                         n)); /* no namespace */
        VT_CHECK(!is_key("\1\0\0\0\0\2"
                         "123456789012345678901234",
                         n)); /* not this one */
    }
}

static void refuse(vs_key key, vs_status expected, const char *message) {
    vsi_err err = {0};
    VT_EQ(vsi_key_check(&err, key), expected);
    VT_CONTAINS(err.text, message);
}

VT_TEST(keys_of_callers_are_checked) {
    vsi_err err = {0};
    VT_EQ(vsi_key_check(&err, (vs_key){.number = UINT64_MAX, .space = UINT32_MAX}), VS_OK);
    VT_EQ(vsi_key_check(&err, (vs_key){0, "x", 1, VS_KEY_BYTES, 0}), VS_OK);
    VT_EQ(vsi_key_check(&err, (vs_key){0, "x", VS_KEY_BYTES_MAX, VS_KEY_BYTES, 0}), VS_OK);
    VT_EQ(vsi_key_check(&err, (vs_key){0, "x", 16, VS_KEY_UUID, 0}), VS_OK);
    refuse((vs_key){0, "x", 1, 3, 0}, VS_ERR_INVALID, "kind is 3");
    refuse((vs_key){0, NULL, 1, VS_KEY_BYTES, 0}, VS_ERR_INVALID, "data missing");
    refuse((vs_key){0, NULL, 16, VS_KEY_UUID, 0}, VS_ERR_INVALID, "data missing");
    refuse((vs_key){0, "", 0, VS_KEY_BYTES, 0}, VS_ERR_LIMIT, "1 to 1024 bytes, this one 0");
    refuse((vs_key){0, "", 1025, VS_KEY_BYTES, 0}, VS_ERR_LIMIT, "this one 1025");
    refuse((vs_key){0, "", 15, VS_KEY_UUID, 0}, VS_ERR_INVALID, "16 bytes, this one 15");
    refuse((vs_key){0, "", 17, VS_KEY_UUID, 0}, VS_ERR_INVALID, "this one 17");
}

VT_TEST(messages_show_keys_in_a_line) {
    char out[VSI_KEY_TEXT_BYTES], wild[VS_KEY_BYTES_MAX];
    memset(wild, 0xff, sizeof wild);
    VT_STR(vsi_key_text(out, VT_KEY(UINT64_MAX)), "18446744073709551615");
    VT_STR(vsi_key_text(out, (vs_key){.number = 5, .space = 7}), "5 of namespace 7");
    VT_STR(vsi_key_text(out, (vs_key){0, "a'b\n\\", 5, VS_KEY_BYTES, 0}), "'a\\x27b\\x0a\\x5c'");
    VT_STR(vsi_key_text(
               out, (vs_key){0, "\0\1\2\3\4\5\6\7\10\11\12\13\14\15\16\377", 16, VS_KEY_UUID, 0}),
           "00010203-0405-0607-0809-0a0b0c0d0eff");
    vsi_key_text(out, (vs_key){0, wild, sizeof wild, VS_KEY_BYTES, UINT32_MAX});
    VT_CONTAINS(out, "\\xff'... of namespace 4294967295");
    VT_CHECK(strlen(out) < sizeof out - 1);
}
