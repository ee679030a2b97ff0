/* frame.c - the header of a log file and of its frames: FORMAT.md sections 3 and 4. */
#include "store/frame.h"
#include "base/bytes.h"
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "vt.h"

/* ---- the header of a log file --------------------------------------------------------------- */

static const vsi_log_header sample = {
    .uuid = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 255},
    .generation = 0x0102030405060708,
    .start_lsn = 0x1112131415161718,
    .previous_generation = 0x0002030405060707,
    .previous_chain = 0x3132333435363738,
    .salt = 0x4142434445464748,
    .pad_bytes = 4096,
    .created_us = 0x5152535455565758,
};

static void check_same(const vsi_log_header *a, const vsi_log_header *b) {
    VT_CHECK(!memcmp(a->uuid, b->uuid, sizeof a->uuid));
    VT_EQ(a->generation, b->generation);
    VT_EQ(a->start_lsn, b->start_lsn);
    VT_EQ(a->previous_generation, b->previous_generation);
    VT_EQ(a->previous_chain, b->previous_chain);
    VT_EQ(a->salt, b->salt);
    VT_EQ(a->pad_bytes, b->pad_bytes);
    VT_EQ(a->created_us, b->created_us);
}

static vs_status decode(const uint8_t *in, vsi_log_header *out, uint64_t *chain) {
    vsi_err err = {0};
    vs_status st =
        vsi_log_header_decode(&err, "NAME-wal-9", in, sample.uuid, sample.generation, out, chain);
    VT_EQ(err.code & 0xff, st);
    VT_EQ(err.text[0] != 0, st != VS_OK);
    if (st != VS_OK)
        VT_CONTAINS(err.text, "NAME-wal-9");
    return st;
}

static void expect_refused(const uint8_t *in) {
    vsi_log_header out;
    uint64_t chain;
    VT_EQ(decode(in, &out, &chain), VS_ERR_CORRUPT);
}

static void seal_header(uint8_t *page) {
    vsi_put_u64(page + 4088, XXH3_64bits_withSeed(page, 4088, 0));
}

VT_TEST(a_log_header_is_written_as_the_format_says) {
    uint8_t page[VSI_LOG_HEADER_BYTES], expected[VSI_LOG_HEADER_BYTES] = {0};
    memset(page, 0x5a, sizeof page);
    uint64_t chain = vsi_log_header_encode(&sample, page);
    memcpy(expected, "vecstore\x89\r\n\x1a\n\0lg", 16);
    vsi_put_u16(expected + 18, 4);
    vsi_put_u32(expected + 20, 4096);
    memcpy(expected + 24, sample.uuid, 16);
    vsi_put_u64(expected + 40, sample.generation);
    vsi_put_u64(expected + 48, sample.start_lsn);
    vsi_put_u64(expected + 56, sample.previous_generation);
    vsi_put_u64(expected + 64, sample.previous_chain);
    vsi_put_u64(expected + 72, sample.salt);
    vsi_put_u64(expected + 80, (uint64_t)sample.created_us);
    vsi_put_u32(expected + 88, sample.pad_bytes);
    seal_header(expected);
    for (size_t i = 0; i < sizeof page; i++)
        if (page[i] != expected[i])
            vt_fail(__FILE__, __LINE__, "byte %zu: %02x, not %02x", i, page[i], expected[i]);
    VT_CHECK(chain == vsi_get_u64(expected + 4088));
}

VT_TEST(a_log_header_comes_back_with_the_chain_of_its_first_frame) {
    uint8_t page[VSI_LOG_HEADER_BYTES];
    vsi_log_header out;
    uint64_t chain = 0;
    for (uint32_t pad = 64; pad <= 65536; pad *= 2) {
        vsi_log_header header = sample;
        header.pad_bytes = pad;
        uint64_t expected = vsi_log_header_encode(&header, page);
        VT_EQ(decode(page, &out, &chain), VS_OK);
        check_same(&out, &header);
        VT_CHECK(chain == expected);
    }
}

VT_TEST(a_log_header_with_any_bit_flipped_is_refused) {
    uint8_t page[VSI_LOG_HEADER_BYTES];
    vsi_log_header_encode(&sample, page);
    for (size_t bit = 0; bit < 8 * sizeof page; bit++) {
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect_refused(page);
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

VT_TEST(a_log_header_of_zeros_or_ones_is_refused) {
    uint8_t page[VSI_LOG_HEADER_BYTES] = {0};
    expect_refused(page);
    memset(page, 0xff, sizeof page);
    expect_refused(page);
}

VT_TEST(a_log_header_of_another_database_or_generation_is_refused) {
    uint8_t page[VSI_LOG_HEADER_BYTES];
    vsi_log_header other = sample;
    other.uuid[7] ^= 1;
    vsi_log_header_encode(&other, page);
    expect_refused(page);
    other = sample;
    other.generation++;
    vsi_log_header_encode(&other, page);
    expect_refused(page);
}

VT_TEST(a_log_header_that_verifies_but_makes_no_sense_is_refused) {
    static const struct {
        size_t off, bytes;
        uint64_t value;
    } wrong[] = {
        {88, 4, 0},
        {88, 4, 1},
        {88, 4, 32},
        {88, 4, 63},
        {88, 4, 96},
        {88, 4, 131072},
        {88, 4, UINT32_MAX},         /* pad */
        {48, 8, 0},                  /* start LSN */
        {56, 8, 0x0102030405060708}, /* previous generation: not smaller */
        {56, 8, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t page[VSI_LOG_HEADER_BYTES];
        vsi_log_header out;
        uint64_t chain;
        vsi_log_header_encode(&sample, page);
        if (wrong[i].bytes == 4)
            vsi_put_u32(page + wrong[i].off, (uint32_t)wrong[i].value);
        else
            vsi_put_u64(page + wrong[i].off, wrong[i].value);
        seal_header(page);
        if (decode(page, &out, &chain) != VS_ERR_CORRUPT)
            vt_fail(__FILE__, __LINE__, "case %zu is accepted", i);
    }
}

VT_TEST(a_log_header_of_another_format_is_refused) {
    static const uint16_t format[][2] = {{0, 0}, {0, 2}, {0, 3}, {0, 5}, {1, 4}, {7, 0}, {7, 4}};
    for (size_t i = 0; i < sizeof format / sizeof format[0]; i++) {
        uint8_t page[VSI_LOG_HEADER_BYTES];
        vsi_log_header out;
        uint64_t chain;
        vsi_log_header_encode(&sample, page);
        vsi_put_u16(page + 16, format[i][0]);
        vsi_put_u16(page + 18, format[i][1]);
        seal_header(page);
        VT_CHECK(decode(page, &out, &chain) != VS_OK);
    }
}

VT_TEST(bytes_that_the_format_calls_zero_may_hold_anything) {
    uint8_t page[VSI_LOG_HEADER_BYTES];
    vsi_log_header out;
    uint64_t chain;
    vsi_log_header_encode(&sample, page);
    memset(page + 92, 0xee, 4088 - 92);
    seal_header(page);
    VT_EQ(decode(page, &out, &chain), VS_OK);
    check_same(&out, &sample);
    VT_CHECK(chain == vsi_get_u64(page + 4088));
}

/* ---- frames --------------------------------------------------------------------------------- */

enum { SALT = 0x5a17 };

static vsi_frame make_frame(int kind) {
    vsi_frame frame = {.payload_bytes = 0x123456,
                       .kind = kind,
                       .lsn = 0x1112131415161718,
                       .txn = 0x2122232425262728,
                       .durable_lsn = 0x1112131415161700,
                       .time_us = 0x3132333435363738,
                       .payload_hash = 0x4142434445464748};
    if (kind == VSI_FRAME_MARK) {
        frame.payload_bytes = 0;
        frame.txn = 0;
        frame.payload_hash = 0;
    }
    return frame;
}

static void check_same_frame(const vsi_frame *a, const vsi_frame *b) {
    VT_EQ(a->payload_bytes, b->payload_bytes);
    VT_EQ(a->kind, b->kind);
    VT_EQ(a->lsn, b->lsn);
    VT_EQ(a->txn, b->txn);
    VT_EQ(a->durable_lsn, b->durable_lsn);
    VT_EQ(a->time_us, b->time_us);
    VT_EQ(a->payload_hash, b->payload_hash);
    VT_EQ(a->chain, b->chain);
}

static void seal_frame(uint8_t *bytes, uint64_t salt) {
    vsi_put_u64(bytes + 56, XXH3_64bits_withSeed(bytes, 56, salt));
}

static const int kinds[] = {VSI_FRAME_CONT, VSI_FRAME_COMMIT, VSI_FRAME_MARK};

VT_TEST(a_frame_is_written_as_the_format_says) {
    for (int i = 0; i < 3; i++) {
        vsi_frame frame = make_frame(kinds[i]);
        uint8_t bytes[VSI_FRAME_BYTES], expected[VSI_FRAME_BYTES] = {0};
        memset(bytes, 0x5a, sizeof bytes);
        vsi_frame_encode(&frame, SALT, 777, bytes);
        vsi_put_u32(expected, frame.payload_bytes);
        vsi_put_u32(expected + 4, (uint32_t)kinds[i]);
        vsi_put_u64(expected + 8, frame.lsn);
        vsi_put_u64(expected + 16, frame.txn);
        vsi_put_u64(expected + 24, frame.durable_lsn);
        vsi_put_u64(expected + 32, (uint64_t)frame.time_us);
        vsi_put_u64(expected + 40, frame.payload_hash);
        vsi_put_u64(expected + 48, XXH3_64bits_withSeed(expected, 48, 777));
        seal_frame(expected, SALT);
        VT_CHECK(!memcmp(bytes, expected, sizeof bytes));
        VT_CHECK(frame.chain == vsi_get_u64(expected + 48));
    }
}

VT_TEST(a_frame_comes_back) {
    for (int i = 0; i < 3; i++) {
        vsi_frame frame = make_frame(kinds[i]), out;
        uint8_t bytes[VSI_FRAME_BYTES];
        vsi_frame_encode(&frame, SALT, 777, bytes);
        memset(&out, 0x5a, sizeof out);
        VT_CHECK(vsi_frame_decode(bytes, SALT, &out));
        check_same_frame(&out, &frame);
    }
}

VT_TEST(a_frame_with_any_bit_flipped_is_no_frame) {
    for (int i = 0; i < 3; i++) {
        vsi_frame frame = make_frame(kinds[i]), out;
        uint8_t bytes[VSI_FRAME_BYTES];
        vsi_frame_encode(&frame, SALT, 777, bytes);
        for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            VT_CHECK(!vsi_frame_decode(bytes, SALT, &out));
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        VT_CHECK(vsi_frame_decode(bytes, SALT, &out));
    }
}

VT_TEST(a_frame_of_another_file_is_no_frame) {
    vsi_frame frame = make_frame(VSI_FRAME_COMMIT), out;
    uint8_t bytes[VSI_FRAME_BYTES];
    vsi_frame_encode(&frame, SALT, 777, bytes);
    for (int bit = 0; bit < 64; bit++)
        VT_CHECK(!vsi_frame_decode(bytes, SALT ^ (uint64_t)1 << bit, &out));
}

VT_TEST(zeros_are_no_frame) {
    const uint8_t bytes[VSI_FRAME_BYTES] = {0};
    vsi_frame out;
    VT_CHECK(!vsi_frame_decode(bytes, 0, &out));
    VT_CHECK(!vsi_frame_decode(bytes, SALT, &out));
}

VT_TEST(a_frame_that_verifies_but_makes_no_sense_is_no_frame) {
    static const struct {
        size_t off, bytes;
        uint64_t value;
    } wrong[] = {
        {0, 4, VSI_FRAME_PAYLOAD_MAX + 1},
        {0, 4, UINT32_MAX}, /* payload */
        {4, 4, 0},
        {4, 4, 4},
        {4, 4, 0x101},
        {4, 4, UINT32_MAX}, /* kind */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        vsi_frame frame = make_frame(VSI_FRAME_CONT), out;
        uint8_t bytes[VSI_FRAME_BYTES];
        vsi_frame_encode(&frame, SALT, 777, bytes);
        vsi_put_u32(bytes + wrong[i].off, (uint32_t)wrong[i].value);
        vsi_put_u64(bytes + 48, XXH3_64bits_withSeed(bytes, 48, 777));
        seal_frame(bytes, SALT);
        if (vsi_frame_decode(bytes, SALT, &out))
            vt_fail(__FILE__, __LINE__, "case %zu is accepted", i);
    }
}

VT_TEST(the_largest_payload_is_allowed) {
    vsi_frame frame = make_frame(VSI_FRAME_CONT), out;
    uint8_t bytes[VSI_FRAME_BYTES];
    frame.payload_bytes = VSI_FRAME_PAYLOAD_MAX;
    vsi_frame_encode(&frame, SALT, 777, bytes);
    VT_CHECK(vsi_frame_decode(bytes, SALT, &out));
    VT_EQ(out.payload_bytes, VSI_FRAME_PAYLOAD_MAX);
    VT_EQ(VSI_FRAME_PAYLOAD_MAX, 67108864);
}

VT_TEST(a_frame_continues_one_chain_only) {
    vsi_frame frame = make_frame(VSI_FRAME_COMMIT);
    uint8_t bytes[VSI_FRAME_BYTES];
    vsi_frame_encode(&frame, SALT, 777, bytes);
    VT_CHECK(vsi_frame_continues(bytes, 777));
    for (int bit = 0; bit < 64; bit++)
        VT_CHECK(!vsi_frame_continues(bytes, 777 ^ (uint64_t)1 << bit));
}

VT_TEST(a_chain_depends_on_every_frame_before_it) {
    uint64_t chain[2] = {1, 1};
    for (uint64_t lsn = 1; lsn < 20; lsn++)
        for (int i = 0; i < 2; i++) {
            vsi_frame frame = make_frame(VSI_FRAME_COMMIT);
            uint8_t bytes[VSI_FRAME_BYTES];
            frame.lsn = lsn;
            frame.time_us += i == 1 && lsn == 3; /* one frame differs a little */
            vsi_frame_encode(&frame, SALT, chain[i], bytes);
            chain[i] = frame.chain;
            if (i == 1)
                VT_EQ(chain[0] != chain[1], lsn >= 3);
        }
}

VT_TEST(the_hash_of_a_payload_is_seeded_by_its_lsn) {
    uint8_t payload[1000];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 7);
    for (size_t bytes = 0; bytes <= sizeof payload; bytes += 37) {
        VT_CHECK(vsi_frame_payload_hash(payload, bytes, 5) ==
                 XXH3_64bits_withSeed(payload, bytes, 5));
        VT_CHECK(vsi_frame_payload_hash(payload, bytes, UINT64_MAX) ==
                 XXH3_64bits_withSeed(payload, bytes, UINT64_MAX));
    }
}

/* ---- places --------------------------------------------------------------------------------- */

VT_TEST(the_next_frame_begins_at_the_next_multiple_of_64) {
    VT_EQ(vsi_frame_stride(0), 64);
    VT_EQ(vsi_frame_stride(1), 128);
    VT_EQ(vsi_frame_stride(64), 128);
    VT_EQ(vsi_frame_stride(65), 192);
    VT_EQ(vsi_frame_stride(VSI_FRAME_PAYLOAD_MAX), 67108864 + 64);
    for (uint32_t bytes = 0; bytes < 1000; bytes++) {
        uint64_t stride = vsi_frame_stride(bytes);
        VT_CHECK(stride % 64 == 0 && stride >= 64u + bytes && stride < 128u + bytes);
    }
}

VT_TEST(rounding_up_gives_the_least_multiple_that_is_not_smaller) {
    for (uint64_t unit = 1; unit <= 65536; unit *= 2)
        for (uint64_t value = 0; value < 70000; value += 61) {
            uint64_t rounded = vsi_round_up(value, unit);
            VT_CHECK(rounded >= value && rounded - value < unit && rounded % unit == 0);
        }
    VT_CHECK(vsi_round_up(((uint64_t)1 << 40) + 1, 4096) == ((uint64_t)1 << 40) + 4096);
}

VT_TEST(a_log_file_is_named_after_its_database_and_generation) {
    vsi_err err = {0};
    char out[VSI_PATH_BYTES_MAX];
    VT_EQ(vsi_log_path(&err, "/a/b.vs", 1, out), VS_OK);
    VT_STR(out, "/a/b.vs-wal-1");
    VT_EQ(vsi_log_path(&err, "x", UINT64_MAX, out), VS_OK);
    VT_STR(out, "x-wal-18446744073709551615");
}

VT_TEST(a_log_file_whose_name_does_not_fit_is_refused) {
    vsi_err err = {0};
    static char path[VSI_PATH_BYTES_MAX], out[VSI_PATH_BYTES_MAX + 8];
    for (size_t n = VSI_PATH_BYTES_MAX - 20; n < VSI_PATH_BYTES_MAX; n++) {
        memset(path, 'p', n);
        path[n] = 0;
        memset(out, 0x5a, sizeof out);
        vs_status st = vsi_log_path(&err, path, 123, out);
        VT_EQ(st == VS_OK, n + strlen("-wal-123") < VSI_PATH_BYTES_MAX);
        VT_EQ(out[VSI_PATH_BYTES_MAX], 0x5a);
        if (st == VS_OK)
            VT_EQ(strlen(out), n + 8);
    }
}
