/* term.c - the terms of the digest against docs/FORMAT.md section 7. */
#include "store/term.h"
#include "vt.h"

static bool is_same(vsi_hash128 a, vsi_hash128 b) {
    return a.lo == b.lo && a.hi == b.hi;
}

/* The bytes of a term, put together as the table of the format says. */
typedef struct bytes {
    uint8_t data[32 + VS_NAME_BYTES_MAX + VS_INDEX_BYTES_MAX + VS_KV_KEY_BYTES_MAX];
    size_t bytes;
} bytes;

static void add_number(bytes *t, uint64_t value, int bytes_of_it) {
    for (int i = 0; i < bytes_of_it; i++)
        t->data[t->bytes++] = (uint8_t)(value >> 8 * i);
}

static void add_bytes(bytes *t, const void *data, size_t n) {
    memcpy(t->data + t->bytes, data, n);
    t->bytes += n;
}

static void add_hash(bytes *t, vsi_hash128 hash) {
    add_number(t, hash.lo, 8);
    add_number(t, hash.hi, 8);
}

static vsi_hash128 hash_of(const bytes *t) {
    return vsi_hash128_of(t->data, t->bytes, 0);
}

static vsi_hash128 field_by_format(const vsi_desc *desc, uint32_t at) {
    const vsi_field *field = &desc->field[at];
    bytes t = {.bytes = 0};
    add_number(&t, 5, 4);
    add_number(&t, desc->id, 4);
    add_number(&t, at, 4);
    add_number(&t, field->dim, 4);
    add_number(&t, (uint64_t)field->type, 4);
    add_number(&t, (uint64_t)field->metric, 4);
    add_number(&t, field->is_optional, 4);
    add_number(&t, strlen(field->name), 4);
    add_bytes(&t, field->name, strlen(field->name));
    add_bytes(&t, field->index, strlen(field->index));
    return hash_of(&t);
}

static vsi_hash128 coll_by_format(const vsi_desc *desc) {
    bytes t = {.bytes = 0};
    add_number(&t, 1, 4);
    add_number(&t, desc->id, 4);
    add_number(&t, (uint64_t)desc->created_us, 8);
    vsi_hash128 sum = hash_of(&t);
    for (uint32_t i = 0; i < desc->field_count; i++) {
        vsi_hash128 term = field_by_format(desc, i);
        sum.lo += term.lo;
        sum.hi += term.hi + (sum.lo < term.lo);
    }
    return sum;
}

static vsi_hash128 record_by_format(uint32_t kind, uint32_t coll, uint64_t key, vsi_hash128 hash) {
    bytes t = {.bytes = 0};
    add_number(&t, kind, 4);
    add_number(&t, coll, 4);
    add_hash(&t, hash);
    add_number(&t, 0x100, 2); /* default namespace, a number */
    for (int i = 56; i >= 0; i -= 8)
        t.data[t.bytes++] = (uint8_t)(key >> i);
    return hash_of(&t);
}

static vsi_hash128 note_by_format(uint32_t coll, vsi_bytes key, vsi_hash128 hash) {
    bytes t = {.bytes = 0};
    add_number(&t, 4, 4);
    add_number(&t, coll, 4);
    add_hash(&t, hash);
    add_bytes(&t, key.data, key.bytes);
    return hash_of(&t);
}

static vsi_desc make_desc(const char *name, const char *index) {
    vsi_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.id = 7;
    desc.field_count = 1;
    snprintf(desc.field[0].name, sizeof desc.field[0].name, "vector");
    desc.field[0].dim = 768;
    desc.field[0].type = VS_F32;
    desc.field[0].metric = VS_COSINE;
    desc.created_us = -3;
    snprintf(desc.name, sizeof desc.name, "%s", name);
    snprintf(desc.field[0].index, sizeof desc.field[0].index, "%s", index);
    return desc;
}

static vsi_hash128 random_hash(vt_rng *rng) {
    vsi_hash128 hash = {vt_random(rng), 0};
    hash.hi = vt_random(rng);
    return hash;
}

VT_TEST(terms_of_records_and_notes_are_those_of_the_format) {
    vt_rng rng = {vt_seed()};
    uint8_t key[VS_KV_KEY_BYTES_MAX];
    for (int i = 0; i < 3000; i++) {
        uint32_t coll = i ? (uint32_t)vt_random(&rng) : UINT32_MAX;
        uint64_t number = i % 3 ? vt_random(&rng) : (uint64_t)i - 3;
        vsi_hash128 hash = random_hash(&rng);
        vsi_bytes note = {key, i % 7 ? 1 + vt_below(&rng, 40) : VS_KV_KEY_BYTES_MAX};
        for (size_t k = 0; k < note.bytes; k++)
            key[k] = (uint8_t)vt_random(&rng);
        VT_CHECK(is_same(vsi_term_of_vector(coll, VT_KEY(number), hash),
                         record_by_format(2, coll, number, hash)));
        VT_CHECK(is_same(vsi_term_of_metadata(coll, VT_KEY(number), hash),
                         record_by_format(3, coll, number, hash)));
        VT_CHECK(is_same(vsi_term_of_note(coll, note, hash), note_by_format(coll, note, hash)));
    }
}

VT_TEST(terms_of_collections_are_those_of_the_format) {
    for (size_t n = 1; n <= VS_NAME_BYTES_MAX; n++) {
        vsi_desc desc = make_desc("", "");
        memset(desc.name, 'n', n);
        memset(desc.field[0].index, 'i', VS_INDEX_BYTES_MAX + 1 - n);
        desc.id = (uint32_t)n << 24 | 1;
        desc.created_us = n % 2 ? INT64_MIN + (int64_t)n : INT64_MAX - (int64_t)n;
        VT_CHECK(is_same(vsi_term_of_coll(&desc), coll_by_format(&desc)));
    }
}

VT_TEST(each_field_of_a_collection_makes_another_term) {
    const vsi_desc desc = make_desc("ab", "c");
    vsi_desc other[8];
    for (int i = 0; i < 7; i++)
        other[i] = desc;
    other[0].id++;
    other[1].field[0].dim++;
    other[2].field[0].type = VS_U8;
    other[3].field[0].metric = VS_L2;
    other[4].created_us++;
    other[5].field[0].name[1] = 'E';
    other[6].field[0].index[0] = 'd';
    other[7] = desc; /* the same letters */
    memcpy(other[7].field[0].name, "vecto", 6);
    memcpy(other[7].field[0].index, "rc", 3);
    for (int i = 0; i < 8; i++)
        VT_CHECK(!is_same(vsi_term_of_coll(&other[i]), vsi_term_of_coll(&desc)));
}

VT_TEST(a_term_does_not_depend_on_slots_nor_on_what_lies_behind_a_name) {
    vsi_desc desc = make_desc("ab", "c"), other = desc;
    memset(other.name + 3, 'x', sizeof other.name - 3);
    memset(other.field[0].index + 2, 'x', sizeof other.field[0].index - 2);
    other.field[0].rows.shift = 9;
    other.field[0].element_bytes = 99;
    other.pool_is_filled = true;
    VT_CHECK(is_same(vsi_term_of_coll(&desc), vsi_term_of_coll(&other)));
}

VT_TEST(vector_and_metadata_of_the_same_bytes_have_different_terms) {
    const vsi_hash128 hash = {1, 2};
    VT_CHECK(
        !is_same(vsi_term_of_vector(1, VT_KEY(2), hash), vsi_term_of_metadata(1, VT_KEY(2), hash)));
}

VT_TEST(terms_of_names_and_limits_are_those_of_the_format) {
    static char text[VS_NAME_BYTES_MAX];
    memset(text, 'n', sizeof text);
    for (size_t n = 1; n <= sizeof text; n++) {
        bytes t = {.bytes = 0}, limits = {.bytes = 0};
        bool is_alias = n % 2;
        add_number(&t, 6, 4);
        add_number(&t, n * 77, 4);
        add_number(&t, is_alias, 4);
        add_bytes(&t, text, n);
        vsi_bytes name = {(const uint8_t *)text, n};
        VT_CHECK(is_same(vsi_term_of_name((uint32_t)n * 77, name, is_alias), hash_of(&t)));
        add_number(&limits, 7, 4);
        add_number(&limits, n, 4);
        add_number(&limits, n % 3, 8);
        add_number(&limits, n % 5, 8);
        vsi_hash128 none = {0, 0}, found = vsi_term_of_limits((uint32_t)n, n % 3, n % 5);
        VT_CHECK(is_same(found, n % 15 ? hash_of(&limits) : none));
    }
}
