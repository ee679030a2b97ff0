/* term.c - the terms of the digest: each depends on logical content alone, never on slots. */
#include "store/term.h"

enum { TERM_COLL = 1, TERM_VECTOR = 2, TERM_METADATA = 3, TERM_NOTE = 4 };

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

VSI_FN vsi_hash128 vsi_term_of_note(uint32_t coll, vsi_bytes key, vsi_hash128 value_hash) {
    uint8_t bytes[24 + VS_KV_KEY_BYTES_MAX];
    vsi_put_u32(bytes, TERM_NOTE);
    vsi_put_u32(bytes + 4, coll);
    vsi_put_u64(bytes + 8, value_hash.lo);
    vsi_put_u64(bytes + 16, value_hash.hi);
    memcpy(bytes + 24, key.data, key.bytes);
    return vsi_hash128_of(bytes, 24 + key.bytes, 0);
}

VSI_FN vsi_hash128 vsi_term_of_coll(const vsi_desc *desc) {
    uint8_t bytes[32 + VS_NAME_BYTES_MAX + VS_INDEX_BYTES_MAX];
    size_t name_bytes = strlen(desc->name), index_bytes = strlen(desc->index);
    vsi_put_u32(bytes, TERM_COLL);
    vsi_put_u32(bytes + 4, desc->id);
    vsi_put_u32(bytes + 8, desc->dim);
    vsi_put_u32(bytes + 12, (uint32_t)desc->type);
    vsi_put_u32(bytes + 16, (uint32_t)desc->metric);
    vsi_put_u64(bytes + 20, (uint64_t)desc->created_us);
    vsi_put_u32(bytes + 28, (uint32_t)name_bytes);
    memcpy(bytes + 32, desc->name, name_bytes);
    memcpy(bytes + 32 + name_bytes, desc->index, index_bytes);
    return vsi_hash128_of(bytes, 32 + name_bytes + index_bytes, 0);
}
