/* term.c - the terms of the digest: each depends on logical content alone, never on slots. */
#include "store/term.h"

enum {
    TERM_COLL = 1,
    TERM_VECTOR = 2,
    TERM_METADATA = 3,
    TERM_NOTE = 4,
    TERM_FIELD = 5,
    TERM_NAME = 6,
    TERM_LIMITS = 7,
    TERM_PAYLOAD = 8
};

static vsi_hash128 term_of_record(uint32_t kind, uint32_t coll, vs_key key, vsi_hash128 content) {
    uint8_t bytes[24 + VSI_KEY_BYTES_MAX];
    vsi_put_u32(bytes, kind);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u64(bytes + 8, content.lo);
    vsi_put_u64(bytes + 16, content.hi);
    return vsi_hash128_of(bytes, 24 + vsi_key_encode(bytes + 24, key).bytes, 0);
}

VSI_FN vsi_hash128 vsi_term_of_vector(uint32_t coll, vs_key key, vsi_hash128 vector_hash) {
    return term_of_record(TERM_VECTOR, coll, key, vector_hash);
}

VSI_FN vsi_hash128 vsi_term_of_metadata(uint32_t coll, vs_key key, vsi_hash128 metadata_hash) {
    return term_of_record(TERM_METADATA, coll, key, metadata_hash);
}

VSI_FN vsi_hash128 vsi_term_of_payload(uint32_t coll, vs_key key, vsi_hash128 payload_hash) {
    return term_of_record(TERM_PAYLOAD, coll, key, payload_hash);
}

VSI_FN vsi_hash128 vsi_term_of_note(uint32_t coll, vsi_bytes key, vsi_hash128 value_hash) {
    uint8_t bytes[24 + VS_KV_KEY_BYTES_MAX];
    vsi_put_u32(bytes, TERM_NOTE);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u64(bytes + 8, value_hash.lo);
    vsi_put_u64(bytes + 16, value_hash.hi);
    memcpy(bytes + 24, key.data, key.bytes);
    return vsi_hash128_of(bytes, 24 + key.bytes, 0);
}

static vsi_hash128 term_of_field(uint32_t coll, uint32_t at, const vsi_field *field) {
    uint8_t bytes[32 + VS_FIELD_BYTES_MAX + VS_INDEX_BYTES_MAX];
    size_t name_bytes = strlen(field->name), index_bytes = strlen(field->index);
    vsi_put_u32(bytes, TERM_FIELD);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u32(bytes + 8, at);
    vsi_put_u32(bytes + 12, field->dim);
    vsi_put_u32(bytes + 16, (uint32_t)field->type);
    vsi_put_u32(bytes + 20, (uint32_t)field->metric);
    vsi_put_u32(bytes + 24, field->is_optional);
    vsi_put_u32(bytes + 28, (uint32_t)name_bytes);
    memcpy(bytes + 32, field->name, name_bytes);
    memcpy(bytes + 32 + name_bytes, field->index, index_bytes);
    return vsi_hash128_of(bytes, 32 + name_bytes + index_bytes, 0);
}

VSI_FN vsi_hash128 vsi_term_of_coll(const vsi_desc *desc) {
    uint8_t bytes[16];
    vsi_put_u32(bytes, TERM_COLL);
    vsi_put_u32(bytes + 4, desc->id);
    vsi_put_u64(bytes + 8, (uint64_t)desc->created_us);
    vsi_hash128 sum = vsi_hash128_of(bytes, sizeof bytes, 0);
    for (uint32_t i = 0; i < desc->field_count; i++)
        vsi_hash128_add(&sum, term_of_field(desc->id, i, &desc->field[i]));
    return sum;
}

VSI_FN vsi_hash128 vsi_term_of_name(uint32_t coll, vsi_bytes name, bool is_alias) {
    uint8_t bytes[12 + VS_NAME_BYTES_MAX];
    vsi_assert(name.bytes <= VS_NAME_BYTES_MAX);
    vsi_put_u32(bytes, TERM_NAME);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u32(bytes + 8, is_alias);
    memcpy(bytes + 12, name.data, name.bytes);
    return vsi_hash128_of(bytes, 12 + name.bytes, 0);
}

VSI_FN vsi_hash128 vsi_term_of_limits(uint32_t coll, uint64_t max_records, uint64_t max_bytes) {
    uint8_t bytes[24];
    if (!max_records && !max_bytes)
        return (vsi_hash128){0, 0};
    vsi_put_u32(bytes, TERM_LIMITS);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u64(bytes + 8, max_records);
    vsi_put_u64(bytes + 16, max_bytes);
    return vsi_hash128_of(bytes, sizeof bytes, 0);
}
