/* bytes.c - numbers in file order, copies of elements, UTF-8. */
#include "base/bytes.h"
#include "vt.h"

/* ---- numbers -------------------------------------------------------------------------------- */

enum { GUARD = 0x5a, ROOM = 32 };

/* Byte number at of a number in file order. */
static uint8_t byte_of(uint64_t value, size_t at) {
    return (uint8_t)(value >> 8 * at);
}

/* bytes at p + off hold value least significant first, everything around them the guard. */
static void check_placed(const uint8_t *p, size_t off, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < ROOM; i++) {
        bool is_inside = i >= off && i < off + bytes;
        VT_EQ(p[i], is_inside ? byte_of(value, i - off) : GUARD);
    }
}

VT_TEST(a_u16_is_stored_least_significant_byte_first_at_any_address) {
    for (size_t off = 0; off < 9; off++) {
        uint8_t p[ROOM];
        memset(p, GUARD, sizeof p);
        vsi_put_u16(p + off, 0xf1e2);
        check_placed(p, off, 0xf1e2, 2);
        VT_EQ(vsi_get_u16(p + off), 0xf1e2);
    }
}

VT_TEST(a_u32_is_stored_least_significant_byte_first_at_any_address) {
    for (size_t off = 0; off < 9; off++) {
        uint8_t p[ROOM];
        memset(p, GUARD, sizeof p);
        vsi_put_u32(p + off, 0xf1e2d3c4u);
        check_placed(p, off, 0xf1e2d3c4u, 4);
        VT_EQ(vsi_get_u32(p + off), 0xf1e2d3c4u);
    }
}

VT_TEST(a_u64_is_stored_least_significant_byte_first_at_any_address) {
    for (size_t off = 0; off < 9; off++) {
        uint8_t p[ROOM];
        memset(p, GUARD, sizeof p);
        vsi_put_u64(p + off, 0xf1e2d3c4b5a69788u);
        check_placed(p, off, 0xf1e2d3c4b5a69788u, 8);
        VT_CHECK(vsi_get_u64(p + off) == 0xf1e2d3c4b5a69788u);
    }
}

VT_TEST(every_bit_of_a_number_survives_put_and_get) {
    uint8_t p[8];
    for (int bit = 0; bit < 64; bit++) {
        uint64_t value = (uint64_t)1 << bit;
        vsi_put_u64(p, value);
        VT_CHECK(vsi_get_u64(p) == value);
        vsi_put_u64_be(p, value);
        VT_CHECK(vsi_get_u64_be(p) == value);
        if (bit < 32) {
            vsi_put_u32(p, (uint32_t)value);
            VT_EQ(vsi_get_u32(p), value);
        }
        if (bit < 16) {
            vsi_put_u16(p, (uint16_t)value);
            VT_EQ(vsi_get_u16(p), value);
        }
    }
}

VT_TEST(a_big_endian_u64_begins_with_the_most_significant_byte) {
    static const uint8_t expected[8] = {0xf1, 0xe2, 0xd3, 0xc4, 0xb5, 0xa6, 0x97, 0x88};
    for (size_t off = 0; off < 9; off++) {
        uint8_t p[ROOM];
        memset(p, GUARD, sizeof p);
        vsi_put_u64_be(p + off, 0xf1e2d3c4b5a69788u);
        VT_CHECK(!memcmp(p + off, expected, 8));
        VT_EQ(p[off + 8], GUARD);
        VT_CHECK(off == 0 || p[off - 1] == GUARD);
        VT_CHECK(vsi_get_u64_be(p + off) == 0xf1e2d3c4b5a69788u);
    }
}

VT_TEST(memcmp_orders_big_endian_numbers_as_numbers) {
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 20000; i++) {
        /* Few bits, so that high bytes are often equal. */
        uint64_t a = vt_random(&rng) >> vt_below(&rng, 64);
        uint64_t b = i % 3 ? a ^ (uint64_t)1 << vt_below(&rng, 64) : vt_random(&rng);
        uint8_t pa[8], pb[8];
        vsi_put_u64_be(pa, a);
        vsi_put_u64_be(pb, b);
        int order = memcmp(pa, pb, 8);
        VT_EQ((order > 0) - (order < 0), (a > b) - (a < b));
    }
}

/* ---- elements ------------------------------------------------------------------------------- */

/* Value number at of a test array, all bytes different. */
static uint64_t element(size_t at) {
    return 0x0102030405060708u + at * 0x1011121314151617u;
}

/* The array in memory order and, byte by byte, in file order. */
static void make_elements(size_t count, size_t element_bytes, uint8_t *native, uint8_t *file) {
    for (size_t i = 0; i < count; i++) {
        uint64_t value = element(i);
        uint8_t one = (uint8_t)value;
        uint16_t two = (uint16_t)value;
        uint32_t four = (uint32_t)value;
        const void *from = element_bytes == 1   ? (const void *)&one
                           : element_bytes == 2 ? (const void *)&two
                           : element_bytes == 4 ? (const void *)&four
                                                : (const void *)&value;
        memcpy(native + i * element_bytes, from, element_bytes);
        for (size_t k = 0; k < element_bytes; k++)
            file[i * element_bytes + k] = byte_of(value, k);
    }
}

enum { ELEMENTS = 21 };

static bool is_little_endian(void) {
    const uint16_t one = 1;
    uint8_t first;
    memcpy(&first, &one, 1);
    return first == 1;
}

VT_TEST(copy_le_turns_elements_of_every_size_into_file_order_and_back) {
    for (size_t element_bytes = 1; element_bytes <= 8; element_bytes *= 2) {
        uint8_t native[ELEMENTS * 8], file[ELEMENTS * 8], out[ELEMENTS * 8 + 3];
        make_elements(ELEMENTS, element_bytes, native, file);
        for (size_t off = 0; off < 2; off++) {
            memset(out, GUARD, sizeof out);
            vsi_copy_le(out + off, native, ELEMENTS, element_bytes);
            VT_CHECK(!memcmp(out + off, file, ELEMENTS * element_bytes));
            VT_EQ(out[off + ELEMENTS * element_bytes], GUARD);
            vsi_copy_le(out + off, file, ELEMENTS, element_bytes);
            VT_CHECK(!memcmp(out + off, native, ELEMENTS * element_bytes));
        }
    }
}

VT_TEST(copy_le_of_no_elements_writes_nothing) {
    uint8_t out[2] = {GUARD, GUARD};
    vsi_copy_le(out, "abcdefgh", 0, 8);
    VT_EQ(out[0], GUARD);
}

VT_TEST(as_le_gives_file_order_and_copies_only_where_it_must) {
    for (size_t element_bytes = 1; element_bytes <= 8; element_bytes *= 2) {
        uint8_t native[ELEMENTS * 8], file[ELEMENTS * 8], scratch[ELEMENTS * 8];
        make_elements(ELEMENTS, element_bytes, native, file);
        const uint8_t *out = vsi_as_le(native, ELEMENTS, element_bytes, scratch);
        VT_CHECK(!memcmp(out, file, ELEMENTS * element_bytes));
        if (is_little_endian())
            VT_CHECK(out == native);
        else
            VT_CHECK(out == scratch || (element_bytes == 1 && out == native));
    }
}

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

/* The encoding of a code point by the table of RFC 3629; bytes written. */
static size_t encode(uint32_t code, uint8_t out[4]) {
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (uint8_t)(lead[n] | code >> 6 * (n - 1));
    for (size_t i = 1; i < n; i++)
        out[i] = (uint8_t)(0x80 | (code >> 6 * (n - 1 - i) & 0x3f));
    return n;
}

static bool is_surrogate(uint32_t code) {
    return code >= 0xd800 && code < 0xe000;
}

/* Valid exactly when it is a run of encodings: decodes loosely, then encodes again. */
static bool oracle_is_valid(const uint8_t *text, size_t n) {
    while (n > 0) {
        size_t len = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
        uint32_t code = len == 1 ? text[0] : text[0] & 0xffu >> (len + 1);
        uint8_t again[4];
        if (len > n)
            return false;
        for (size_t i = 1; i < len; i++)
            code = code << 6 | (text[i] & 0x3fu);
        if (code > 0x10ffff || is_surrogate(code) || encode(code, again) != len ||
            memcmp(again, text, len))
            return false;
        text += len;
        n -= len;
    }
    return true;
}

/* From a block of exactly its size, so that a sanitizer sees a read too far. */
static bool is_valid(const void *text, size_t n) {
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, text, n);
    bool valid = vsi_utf8_is_valid(copy, n);
    free(copy);
    return valid;
}

static void check_agrees(const uint8_t *text, size_t n) {
    bool found = vsi_utf8_is_valid(text, n);
    if (found != oracle_is_valid(text, n))
        vt_fail(__FILE__, __LINE__, "%zu bytes %02x %02x %02x %02x: found %s", n, text[0],
                n > 1 ? text[1] : 0u, n > 2 ? text[2] : 0u, n > 3 ? text[3] : 0u,
                found ? "valid" : "malformed");
}

VT_TEST(the_encoding_of_every_code_point_is_valid_and_of_surrogates_is_not) {
    for (uint32_t code = 0; code <= 0x10ffff; code++) {
        uint8_t text[4] = {0};
        size_t n = encode(code, text);
        if (vsi_utf8_is_valid(text, n) == is_surrogate(code))
            vt_fail(__FILE__, __LINE__, "U+%04X is %s", (unsigned)code,
                    is_surrogate(code) ? "valid" : "malformed");
    }
}

VT_TEST(code_points_beyond_10ffff_are_malformed) {
    for (uint32_t code = 0x110000; code < 0x200000; code += 0x777) {
        uint8_t text[4];
        VT_EQ(encode(code, text), 4);
        VT_CHECK(!is_valid(text, 4));
    }
    VT_CHECK(is_valid("\xf4\x8f\xbf\xbf", 4));
    VT_CHECK(!is_valid("\xf4\x90\x80\x80", 4));
    VT_CHECK(!is_valid("\xf8\x88\x80\x80\x80", 5));
    VT_CHECK(!is_valid("\xfc\x84\x80\x80\x80\x80", 6));
}

VT_TEST(overlong_forms_are_malformed) {
    VT_CHECK(!is_valid("\xc0\x80", 2));
    VT_CHECK(!is_valid("\xc1\xbf", 2));
    VT_CHECK(!is_valid("\xe0\x80\x80", 3));
    VT_CHECK(!is_valid("\xe0\x9f\xbf", 3));
    VT_CHECK(is_valid("\xe0\xa0\x80", 3));
    VT_CHECK(!is_valid("\xf0\x80\x80\x80", 4));
    VT_CHECK(!is_valid("\xf0\x8f\xbf\xbf", 4));
    VT_CHECK(is_valid("\xf0\x90\x80\x80", 4));
}

VT_TEST(bytes_that_never_occur_and_stray_continuations_are_malformed) {
    for (int c = 0x80; c < 0x100; c++) {
        uint8_t alone = (uint8_t)c;
        VT_CHECK(!is_valid(&alone, 1));
        uint8_t before_letter[2] = {(uint8_t)c, 'a'}, behind_letter[2] = {'a', (uint8_t)c};
        VT_CHECK(!is_valid(before_letter, 2));
        VT_CHECK(!is_valid(behind_letter, 2));
    }
}

VT_TEST(a_text_is_malformed_when_its_last_character_is_cut_off) {
    static const char text[] = "a\xc3\xa9z\xe2\x82\xacy\xf0\x9f\x98\x80";
    static const bool ends[] = {true, true, false, true,  true,  false, false,
                                true, true, false, false, false, true};
    VT_EQ(sizeof ends, sizeof text);
    for (size_t n = 0; n < sizeof ends; n++)
        VT_EQ(is_valid(text, n), ends[n]);
}

VT_TEST(empty_text_and_nul_bytes_are_valid) {
    VT_CHECK(vsi_utf8_is_valid((const uint8_t *)"", 0));
    VT_CHECK(is_valid("a\0b", 3));
}

VT_TEST(all_texts_of_one_and_two_bytes_are_judged_right) {
    for (unsigned a = 0; a < 256; a++) {
        uint8_t text[4] = {(uint8_t)a, 0, 0, 0};
        check_agrees(text, 1);
        for (unsigned b = 0; b < 256; b++) {
            text[1] = (uint8_t)b;
            check_agrees(text, 2);
        }
    }
}

VT_TEST(texts_of_border_bytes_behind_every_lead_are_judged_right) {
    static const uint8_t border[] = {0x00, 0x41, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f, 0xa0,
                                     0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xed, 0xf0, 0xf4, 0xff};
    enum { BORDERS = sizeof border };
    for (unsigned lead = 0x7f; lead < 256; lead++)
        for (unsigned i = 0; i < BORDERS * BORDERS * BORDERS; i++) {
            uint8_t text[4] = {(uint8_t)lead, border[i % BORDERS], border[i / BORDERS % BORDERS],
                               border[i / BORDERS / BORDERS]};
            check_agrees(text, 3);
            check_agrees(text, 4);
        }
}

VT_TEST(one_wrong_byte_anywhere_in_a_long_text_is_found) {
    vt_rng rng = {vt_seed()};
    for (int round = 0; round < 300; round++) {
        uint8_t text[200];
        size_t n = 0;
        while (n < 190) {
            uint32_t code = (uint32_t)(vt_below(&rng, 0x110000) >> vt_below(&rng, 18));
            n += is_surrogate(code) ? 0 : encode(code, text + n);
        }
        VT_CHECK(is_valid(text, n));
        text[vt_below(&rng, n)] = (uint8_t)vt_random(&rng);
        VT_EQ(is_valid(text, n), oracle_is_valid(text, n));
        text[vt_below(&rng, n)] = 0xff;
        VT_CHECK(!is_valid(text, n));
    }
}
