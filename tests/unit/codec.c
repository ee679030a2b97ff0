/* codec.c - values that are compressed come back; bytes that are no such value are refused, whatever they
 * are; memory is the database's. */
#include "base/codec.h"
#include "vt.h"

enum { VALUE_MAX = 1 << 20, PACKED_MAX = VALUE_MAX + 8192, GUARD = 64 };

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_packer packer;
    vsi_err err;
} fixture;

static uint8_t value[VALUE_MAX], packed[PACKED_MAX], found[VALUE_MAX + GUARD];

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    f->packer.mem = &f->mem;
}

static void end(fixture *f) {
    vsi_packer_free(&f->packer);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

static vs_status unpack(fixture *f, size_t packed_bytes, size_t bytes) {
    memset(found, 0x5a, sizeof found);
    uint64_t blocks = f->allocator.live_blocks;
    uint8_t *exact = malloc(packed_bytes ? packed_bytes : 1); /* so that a sanitizer sees its end */
    memcpy(exact, packed, packed_bytes);
    f->err = (vsi_err){0};
    vs_status st = vsi_unpack(&f->err, &f->mem, (vsi_bytes){exact, packed_bytes}, found, bytes);
    free(exact);
    for (size_t i = bytes; i < bytes + GUARD; i++)
        VT_EQ(found[i], 0x5a);
    VT_EQ(f->allocator.live_blocks, blocks);
    VT_EQ(f->err.code, st);
    VT_EQ(f->err.text[0] != 0, st != VS_OK);
    return st;
}

#ifdef VS_OMIT_ZSTD

VT_TEST(a_build_without_zstd_compresses_nothing_and_says_why_it_cannot_read) {
    fixture f;
    begin(&f);
    VT_CHECK(!vsi_codec_has_zstd());
    VT_EQ(vsi_pack(&f.packer, (vsi_bytes){value, 9000}, packed, 9000), 0);
    VT_EQ(unpack(&f, 100, 9000), VS_ERR_UNSUPPORTED);
    VT_CONTAINS(f.err.text, "zstd");
    VT_EQ(f.allocator.calls, 0);
    end(&f);
}

#else

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

/* Letters that repeat, or noise. */
static void fill(uint64_t seed, size_t bytes, bool is_noise) {
    vt_rng rng = {seed};
    for (size_t i = 0; i < bytes; i++)
        value[i] = (uint8_t)(is_noise ? vt_random(&rng) : 'a' + (vt_mix(seed + i / 7) & 15));
}

static size_t pack(fixture *f, size_t bytes, size_t room) {
    uint8_t *out = malloc(room ? room : 1);
    size_t got = vsi_pack(&f->packer, (vsi_bytes){value, bytes}, out, room);
    VT_CHECK(got <= room);
    memcpy(packed, out, got);
    free(out);
    return got;
}

static const size_t sizes[] = {1, 2, 100, 4088, 4089, 4096, 8184, 8185, 65536, 200000, VALUE_MAX};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

VT_TEST(values_of_every_size_come_back_from_one_packer) {
    fixture f;
    begin(&f);
    VT_CHECK(vsi_codec_has_zstd());
    for (size_t round = 0; round < 4 * SIZES; round++) {
        size_t bytes = sizes[round * 5 % SIZES];
        fill(round, bytes, round % 4 == 3);
        size_t got = pack(&f, bytes, PACKED_MAX);
        VT_CHECK(got > 0);
        VT_CHECK(round % 4 == 3 || bytes < 4000 || got < bytes / 2);
        VT_EQ(unpack(&f, got, bytes), VS_OK);
        VT_CHECK(!memcmp(found, value, bytes));
    }
    end(&f);
}

VT_TEST(what_does_not_fit_is_not_compressed) {
    fixture f;
    begin(&f);
    fill(1, 9000, false);
    size_t least = pack(&f, 9000, PACKED_MAX);
    for (size_t room = 0; room < least; room += room < 100 || room + 60 > least ? 1 : 57)
        VT_EQ(pack(&f, 9000, room), 0);
    VT_EQ(pack(&f, 9000, 9000), least);
    VT_EQ(unpack(&f, least, 9000), VS_OK);
    fill(1, 9000, true);
    VT_EQ(pack(&f, 9000, 8999), 0);
    end(&f);
}

VT_TEST(another_size_than_the_frame_names_is_corrupt) {
    fixture f;
    begin(&f);
    fill(3, 9000, false);
    size_t got = pack(&f, 9000, PACKED_MAX);
    for (size_t bytes = 8900; bytes < 9100; bytes++)
        VT_EQ(unpack(&f, got, bytes), bytes == 9000 ? VS_OK : VS_ERR_CORRUPT);
    VT_EQ(unpack(&f, got, 0), VS_ERR_CORRUPT);
    VT_EQ(unpack(&f, got, VALUE_MAX), VS_ERR_CORRUPT);
    end(&f);
}

VT_TEST(a_frame_that_is_cut_or_longer_is_corrupt) {
    fixture f;
    begin(&f);
    fill(4, 9000, false);
    size_t got = pack(&f, 9000, PACKED_MAX - 8192);
    for (size_t bytes = 0; bytes < got; bytes++)
        VT_EQ(unpack(&f, bytes, 9000), VS_ERR_CORRUPT);
    memset(packed + got, 0, 10);
    for (size_t more = 1; more < 10; more++)
        VT_EQ(unpack(&f, got + more, 9000), VS_ERR_CORRUPT);
    memcpy(packed + got, packed, got); /* the same once more */
    VT_EQ(unpack(&f, 2 * got, 9000), VS_ERR_CORRUPT);
    VT_EQ(unpack(&f, 2 * got, 18000), VS_ERR_CORRUPT);
    end(&f);
}

VT_TEST(every_flipped_bit_is_refused_or_gives_bytes_of_the_right_number) {
    fixture f;
    size_t refused = 0;
    begin(&f);
    fill(5, 5000, false);
    size_t got = pack(&f, 5000, PACKED_MAX);
    for (size_t bit = 0; bit < 8 * got; bit++) {
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        vs_status st = unpack(&f, got, 5000);
        VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
        VT_CHECK(bit >= 32 || st == VS_ERR_CORRUPT); /* the magic */
        refused += st != VS_OK;
        packed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    VT_CHECK(refused > 100);
    VT_EQ(unpack(&f, got, 5000), VS_OK);
    end(&f);
}

VT_TEST(random_bytes_behind_a_sound_header_do_no_harm) {
    fixture f;
    vt_rng rng = {vt_seed()};
    begin(&f);
    for (int round = 0; round < 3000; round++) {
        fill(6, 5000, false);
        size_t got = pack(&f, 5000, PACKED_MAX), from = 4 + vt_below(&rng, got - 4);
        for (size_t i = from; i < got && i < from + 1 + vt_below(&rng, 40); i++)
            packed[i] = (uint8_t)vt_random(&rng);
        vs_status st = unpack(&f, got, 5000);
        VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
    }
    end(&f);
}

/* A frame made with other settings. */
static size_t frame(size_t bytes, bool has_size, bool has_magic) {
    ZSTD_CCtx *ctx = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_contentSizeFlag, has_size);
    ZSTD_CCtx_setParameter(ctx, ZSTD_c_format, has_magic ? ZSTD_f_zstd1 : ZSTD_f_zstd1_magicless);
    size_t got = ZSTD_compress2(ctx, packed, sizeof packed, value, bytes);
    VT_CHECK(!ZSTD_isError(got));
    ZSTD_freeCCtx(ctx);
    return got;
}

VT_TEST(only_a_frame_of_the_format_that_names_its_size_is_read) {
    fixture f;
    begin(&f);
    fill(7, 9000, false);
    VT_EQ(unpack(&f, frame(9000, true, true), 9000), VS_OK);
    VT_CHECK(!memcmp(found, value, 9000));
    VT_EQ(unpack(&f, frame(9000, false, true), 9000), VS_ERR_CORRUPT);
    VT_EQ(unpack(&f, frame(9000, true, false), 9000), VS_ERR_CORRUPT);
    size_t got = frame(9000, true, true);
    for (uint32_t magic = 0xfd2fb51e; magic <= 0xfd2fb530; magic++) { /* 0.1 to 0.7 and beyond */
        vsi_put_u32(packed, magic);
        VT_EQ(unpack(&f, got, 9000), magic == 0xfd2fb528 ? VS_OK : VS_ERR_CORRUPT);
    }
    for (uint32_t magic = 0x184d2a50; magic < 0x184d2a60; magic++) { /* to be skipped */
        vsi_put_u32(packed, magic);
        vsi_put_u32(packed + 4, 100);
        VT_EQ(unpack(&f, 108, 0), VS_ERR_CORRUPT);
        VT_EQ(unpack(&f, 108, 9000), VS_ERR_CORRUPT);
    }
    end(&f);
}

VT_TEST(a_packer_without_memory_compresses_nothing_and_works_again_later) {
    fixture f;
    begin(&f);
    fill(8, 9000, false);
    size_t failures = 0, got = 0;
    for (uint64_t at = 1; !got; at++) {
        f.allocator.fail_at = f.allocator.calls + at;
        got = pack(&f, 9000, PACKED_MAX);
        failures += !got;
        f.allocator.fail_at = 0;
        if (got)
            break;
        VT_CHECK(pack(&f, 9000, PACKED_MAX) > 0);
        vsi_packer_free(&f.packer);
        VT_EQ(f.allocator.live_blocks, 0);
    }
    VT_CHECK(failures >= 2); /* the context, its tables */
    f.allocator.fail_at = f.allocator.calls + 1;
    fill(9, VALUE_MAX, false);
    VT_EQ(pack(&f, VALUE_MAX, PACKED_MAX), 0); /* larger tables */
    VT_CHECK(f.allocator.failures > failures);
    VT_CHECK(pack(&f, VALUE_MAX, PACKED_MAX) > 0);
    end(&f);
}

VT_TEST(reading_without_memory_says_so) {
    fixture f;
    begin(&f);
    fill(10, 9000, false);
    size_t got = pack(&f, 9000, PACKED_MAX), failures = 0;
    vs_status st = VS_ERR_NOMEM;
    for (uint64_t at = 1; st != VS_OK; at++) {
        f.allocator.fail_at = f.allocator.calls + at;
        st = unpack(&f, got, 9000);
        f.allocator.fail_at = 0;
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        failures += st != VS_OK;
    }
    VT_CHECK(failures >= 1);
    end(&f);
}

#endif
