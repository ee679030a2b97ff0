/* ref.c - references and their bytes. */
#include "store/ref.h"
#include "vt.h"

/* References are read and written at the end of a block, at an odd address, so that a sanitizer
 * sees a step too far. */
typedef struct place {
    uint8_t *block, *bytes;
} place;

static place new_place(void) {
    uint8_t *block = malloc(VSI_REF_BYTES + 1);
    memset(block, 0xa5, VSI_REF_BYTES + 1);
    return (place){block, block + 1};
}

static bool is_same(vsi_ref a, vsi_ref b) {
    return a.at == b.at && a.birth == b.birth && a.kind == b.kind && a.codec == b.codec &&
           a.level == b.level && a.is_block == b.is_block && a.hash == b.hash;
}

static vsi_ref random_ref(vt_rng *rng) {
    return (vsi_ref){.at = vt_random(rng),
                     .birth = (uint32_t)vt_random(rng),
                     .kind = (uint8_t)vt_random(rng),
                     .codec = (uint8_t)vt_random(rng),
                     .level = (uint8_t)vt_random(rng),
                     .is_block = vt_below(rng, 2),
                     .hash = vt_random(rng)};
}

static vsi_ref through_bytes(vsi_ref ref) {
    place p = new_place();
    vsi_ref_encode(ref, p.bytes);
    VT_EQ(p.block[0], 0xa5); /* nothing in front was written */
    vsi_ref back = vsi_ref_decode(p.bytes);
    free(p.block);
    return back;
}

VT_TEST(references_come_back_from_their_bytes) {
    vt_rng rng = {vt_seed()};
    for (int i = 0; i < 20000; i++) {
        vsi_ref ref = random_ref(&rng);
        VT_CHECK(is_same(through_bytes(ref), ref));
    }
}

VT_TEST(the_largest_and_smallest_fields_come_back) {
    const vsi_ref largest = {UINT64_MAX, UINT32_MAX, 255, 255, 255, true, UINT64_MAX};
    const vsi_ref smallest = {0};
    VT_CHECK(is_same(through_bytes(largest), largest));
    VT_CHECK(is_same(through_bytes(smallest), smallest));
}

/* Were two fields to share a byte, one of the 24 x 8 bits would be lost or seen twice. */
VT_TEST(every_byte_holds_one_field_and_the_flags_one_bit) {
    place p = new_place();
    uint8_t again[VSI_REF_BYTES];
    for (int bit = 0; bit < VSI_REF_BYTES * 8; bit++) {
        if (bit / 8 == 15 && bit % 8 != 0)
            continue; /* no meaning yet */
        memset(p.bytes, 0, VSI_REF_BYTES);
        p.bytes[bit / 8] = (uint8_t)(1 << bit % 8);
        vsi_ref_encode(vsi_ref_decode(p.bytes), again);
        VT_CHECK(!memcmp(again, p.bytes, VSI_REF_BYTES));
    }
    free(p.block);
}

VT_TEST(the_bytes_are_little_endian_at_their_offsets) {
    static const uint8_t expected[VSI_REF_BYTES] = {
        0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01, /* at */
        0x0c, 0x0b, 0x0a, 0x09,                         /* birth */
        0x03, 0x21, 0x22, 0x00,                         /* kind, codec, level, flags */
        0x38, 0x37, 0x36, 0x35, 0x34, 0x33, 0x32, 0x31  /* hash */
    };
    uint8_t bytes[VSI_REF_BYTES];
    vsi_ref ref = {.at = 0x0102030405060708,
                   .birth = 0x090a0b0c,
                   .kind = VSI_REF_BLOB,
                   .codec = 0x21,
                   .level = 0x22,
                   .hash = 0x3132333435363738};
    vsi_ref_encode(ref, bytes);
    VT_CHECK(!memcmp(bytes, expected, sizeof bytes));
    ref.is_block = true;
    vsi_ref_encode(ref, bytes);
    VT_EQ(bytes[15], 1);
    bytes[15] = 0;
    VT_CHECK(!memcmp(bytes, expected, sizeof bytes));
}

VT_TEST(a_reference_to_nothing_is_all_zero) {
    static const uint8_t zero[VSI_REF_BYTES];
    uint8_t bytes[VSI_REF_BYTES];
    vsi_ref_encode((vsi_ref){.kind = VSI_REF_NONE}, bytes);
    VT_CHECK(!memcmp(bytes, zero, sizeof zero));
    VT_EQ(vsi_ref_decode(zero).kind, VSI_REF_NONE);
    VT_CHECK(!vsi_ref_decode(zero).is_block);
}

/* They are in files. */
VT_TEST(the_numbers_of_the_kinds_stay) {
    VT_EQ(VSI_REF_NONE, 0);
    VT_EQ(VSI_REF_NODE, 1);
    VT_EQ(VSI_REF_SLAB, 2);
    VT_EQ(VSI_REF_BLOB, 3);
    VT_EQ(VSI_REF_FREE, 4);
    VT_EQ(VSI_REF_BYTES, 24);
    VT_EQ(VSI_PAGE_BYTES, 4096);
}

VT_TEST(a_reference_to_a_block_leads_back_to_it_also_through_bytes) {
    for (int kind = VSI_REF_NODE; kind <= VSI_REF_FREE; kind++) {
        void *block = malloc((size_t)kind);
        vsi_ref ref = vsi_ref_of_block(kind, block);
        VT_CHECK(ref.is_block);
        VT_EQ(ref.kind, kind);
        VT_EQ(ref.birth | ref.codec | ref.level, 0);
        VT_CHECK(ref.hash == 0);
        VT_CHECK(vsi_ref_block(ref) == block);
        VT_CHECK(vsi_ref_block(through_bytes(ref)) == block);
        free(block);
    }
}
