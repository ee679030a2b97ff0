/* hash.c - XXH3 against the system's xxHash, and sums of hashes. */
#include "base/hash.h"
#define XXH_INLINE_ALL
#include <xxhash.h>
#include "vt.h"

/* ---- known answers -------------------------------------------------------------------------- */

enum { SAMPLE_BYTES = 70000 };

/* Lengths around the borders at which XXH3 changes its method, and long ones. */
static const size_t long_lengths[] = {1023, 1024, 1025, 4096, 4097, 65535, 65536, 69990};

static uint8_t *make_sample(void) {
    uint8_t *data = malloc(SAMPLE_BYTES);
    vt_rng rng = {vt_seed()};
    for (size_t i = 0; i < SAMPLE_BYTES; i++)
        data[i] = (uint8_t)vt_random(&rng);
    return data;
}

static void check_hashes(const uint8_t *data, size_t bytes, uint64_t seed) {
    VT_CHECK(vsi_hash64(data, bytes, seed) == XXH3_64bits_withSeed(data, bytes, seed));
    XXH128_hash_t expected = XXH3_128bits_withSeed(data, bytes, seed);
    vsi_hash128 found = vsi_hash128_of(data, bytes, seed);
    VT_CHECK(found.lo == expected.low64);
    VT_CHECK(found.hi == expected.high64);
}

VT_TEST(the_hash_of_nothing_is_the_published_one) {
    VT_CHECK(vsi_hash64("", 0, 0) == 0x2d06800538d394c2u);
    vsi_hash128 found = vsi_hash128_of("", 0, 0);
    VT_CHECK(found.hi == 0x99aa06d3014798d8u);
    VT_CHECK(found.lo == 0x6001c324468d497fu);
}

VT_TEST(hashes_of_every_short_length_equal_those_of_xxhash) {
    uint8_t *data = make_sample();
    vt_rng rng = {vt_seed() + 1};
    for (size_t bytes = 0; bytes <= 600; bytes++) {
        check_hashes(data, bytes, 0);
        check_hashes(data + 1 + bytes % 7, bytes, vt_random(&rng));
    }
    free(data);
}

VT_TEST(hashes_of_long_data_equal_those_of_xxhash) {
    uint8_t *data = make_sample();
    for (size_t i = 0; i < sizeof long_lengths / sizeof long_lengths[0]; i++) {
        check_hashes(data, long_lengths[i], 0);
        check_hashes(data + 3, long_lengths[i], UINT64_MAX - i);
    }
    free(data);
}

VT_TEST(the_seed_changes_both_hashes) {
    VT_CHECK(vsi_hash64("vecstore", 8, 1) != vsi_hash64("vecstore", 8, 2));
    vsi_hash128 a = vsi_hash128_of("vecstore", 8, 1), b = vsi_hash128_of("vecstore", 8, 2);
    VT_CHECK(a.lo != b.lo && a.hi != b.hi);
}

/* ---- sums ----------------------------------------------------------------------------------- */

/* Long addition in pieces of 16 bits; what is beyond 128 bits is lost. */
static vsi_hash128 add_slowly(vsi_hash128 a, vsi_hash128 b) {
    uint64_t parts_a[2] = {a.lo, a.hi}, parts_b[2] = {b.lo, b.hi}, sum[2] = {0, 0}, carry = 0;
    for (int i = 0; i < 8; i++) {
        int shift = 16 * (i % 4);
        uint64_t digit = (parts_a[i / 4] >> shift & 0xffff) + (parts_b[i / 4] >> shift & 0xffff);
        digit += carry;
        carry = digit >> 16;
        sum[i / 4] |= (digit & 0xffff) << shift;
    }
    return (vsi_hash128){sum[0], sum[1]};
}

static void check_equal(vsi_hash128 found, vsi_hash128 expected) {
    VT_CHECK(found.lo == expected.lo);
    VT_CHECK(found.hi == expected.hi);
}

static const uint64_t corner[] = {0, 1, 2, UINT64_MAX, UINT64_MAX - 1, (uint64_t)1 << 63};
enum { CORNERS = sizeof corner / sizeof corner[0] };

VT_TEST(sums_carry_from_the_low_half_and_wrap_at_the_top) {
    for (unsigned i = 0; i < CORNERS * CORNERS * CORNERS * CORNERS; i++) {
        vsi_hash128 a = {corner[i % CORNERS], corner[i / CORNERS % CORNERS]};
        vsi_hash128 b = {corner[i / CORNERS / CORNERS % CORNERS],
                         corner[i / CORNERS / CORNERS / CORNERS]};
        vsi_hash128 sum = a;
        vsi_hash128_add(&sum, b);
        check_equal(sum, add_slowly(a, b));
        vsi_hash128_subtract(&sum, b);
        check_equal(sum, a);
    }
}

VT_TEST(one_more_than_all_ones_is_zero_and_one_less_than_zero_is_all_ones) {
    vsi_hash128 sum = {UINT64_MAX, UINT64_MAX};
    vsi_hash128_add(&sum, (vsi_hash128){1, 0});
    check_equal(sum, (vsi_hash128){0, 0});
    vsi_hash128_subtract(&sum, (vsi_hash128){1, 0});
    check_equal(sum, (vsi_hash128){UINT64_MAX, UINT64_MAX});
    sum = (vsi_hash128){UINT64_MAX, 6};
    vsi_hash128_add(&sum, (vsi_hash128){1, 0});
    check_equal(sum, (vsi_hash128){0, 7});
}

VT_TEST(a_sum_does_not_depend_on_the_order_of_its_terms) {
    enum { TERMS = 100 };
    vt_rng rng = {vt_seed()};
    vsi_hash128 term[TERMS], forward = {0, 0}, mixed = {0, 0};
    for (int i = 0; i < TERMS; i++)
        term[i] = (vsi_hash128){vt_random(&rng), vt_random(&rng)};
    for (int i = 0; i < TERMS; i++)
        vsi_hash128_add(&forward, term[i]);
    /* 37 and TERMS have no common divisor: every term once, some taken out and put back. */
    for (int i = 0; i < TERMS; i++) {
        vsi_hash128_add(&mixed, term[37 * i % TERMS]);
        vsi_hash128_subtract(&mixed, term[(37 * i + 1) % TERMS]);
    }
    for (int i = 0; i < TERMS; i++)
        vsi_hash128_add(&mixed, term[i]);
    check_equal(mixed, forward);
}
