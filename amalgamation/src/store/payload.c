/* payload.c - opaque bytes of records. A tree of values has for each payload
 *
 *   P1  a head: its bytes, and the sum of the terms of its pieces;
 *   P2  its pieces, numbered from 0 without a gap, whole but for the last one, which is not empty. */
#include "store/payload.h"

enum { PAYLOAD_HEAD_BYTES = 24 };

static vsi_bytes payload_key(uint8_t out[VSI_PAYLOAD_KEY_BYTES_MAX], vs_key key, uint32_t at) {
    vsi_bytes bytes = vsi_key_encode(out, key);
    vsi_put_u32_be(out + bytes.bytes, at);
    return (vsi_bytes){out, bytes.bytes + 4};
}

VSI_FN bool vsi_payload_key_of(vsi_bytes bytes, vs_key *out_key, uint32_t *out_at) {
    if (bytes.bytes < 4)
        return false;
    *out_at = vsi_get_u32_be(bytes.data + bytes.bytes - 4);
    return vsi_key_decode((vsi_bytes){bytes.data, bytes.bytes - 4}, out_key);
}

VSI_FN uint32_t vsi_payload_pieces(const vsi_payload *payload) {
    return (uint32_t)((payload->bytes + VSI_PAYLOAD_PIECE_BYTES - 1) / VSI_PAYLOAD_PIECE_BYTES);
}

VSI_FN vsi_hash128 vsi_payload_term(uint32_t piece, vsi_hash128 hash) {
    uint8_t bytes[24] = {0};
    vsi_put_u32(bytes, piece);
    vsi_put_u64(bytes + 8, hash.lo);
    vsi_put_u64(bytes + 16, hash.hi);
    return vsi_hash128_of(bytes, sizeof bytes, 0);
}

/* ---- head ----------------------------------------------------------------------------------- */

VSI_FN vs_status vsi_payload_of_head(vsi_err *err, vsi_bytes head, vsi_payload *out) {
    if (head.bytes != PAYLOAD_HEAD_BYTES || !vsi_get_u64(head.data) ||
        vsi_get_u64(head.data) > VS_PAYLOAD_BYTES_MAX)
        return vsi_fail(err, VS_ERR_CORRUPT, "the head of a payload is malformed");
    *out = (vsi_payload){.bytes = vsi_get_u64(head.data),
                         .sum = {vsi_get_u64(head.data + 8), vsi_get_u64(head.data + 16)},
                         .hash = vsi_hash128_of(head.data, head.bytes, 0)};
    return VS_OK;
}

VSI_FN vs_status vsi_payload_find(vsi_err *err, const vsi_btree *tree, vs_key key,
                                  vsi_payload *out) {
    uint8_t bytes[VSI_PAYLOAD_KEY_BYTES_MAX], room[PAYLOAD_HEAD_BYTES];
    vsi_buf head = {.data = room, .cap = sizeof room};
    vsi_value value;
    *out = (vsi_payload){.bytes = 0};
    if (!tree->count) /* most collections */
        return VS_OK;
    vs_status st = vsi_value_find(err, tree, payload_key(bytes, key, 0), &value);
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    if (st == VS_OK && (value.bytes != PAYLOAD_HEAD_BYTES || value.item.ref_count))
        st = vsi_fail(err, VS_ERR_CORRUPT, "the head of a payload has %lu bytes, expected %d",
                      (unsigned long)value.bytes, PAYLOAD_HEAD_BYTES);
    if (st == VS_OK)
        st = vsi_value_read(err, tree, &value, &head);
    return st == VS_OK ? vsi_payload_of_head(err, (vsi_bytes){head.data, head.bytes}, out) : st;
}

/* Writes the head in place of the one that may be there, which has no blob. */
static vs_status payload_put_head(vsi_err *err, vsi_btree *tree, vs_key key,
                                  vsi_payload *io_payload) {
    uint8_t bytes[VSI_PAYLOAD_KEY_BYTES_MAX], head[PAYLOAD_HEAD_BYTES];
    vsi_put_u64(head, io_payload->bytes);
    vsi_put_u64(head + 8, io_payload->sum.lo);
    vsi_put_u64(head + 16, io_payload->sum.hi);
    io_payload->hash = vsi_hash128_of(head, sizeof head, 0);
    return vsi_value_put(err, tree, payload_key(bytes, key, 0), (vsi_bytes){head, sizeof head},
                         io_payload->hash);
}

/* ---- pieces --------------------------------------------------------------------------------- */

/* What a piece of a payload must have. */
static size_t payload_piece_bytes(const vsi_payload *payload, uint32_t piece) {
    uint64_t left = payload->bytes - (uint64_t)piece * VSI_PAYLOAD_PIECE_BYTES;
    return left < VSI_PAYLOAD_PIECE_BYTES ? (size_t)left : VSI_PAYLOAD_PIECE_BYTES;
}

VSI_FN vs_status vsi_payload_find_piece(vsi_err *err, const vsi_btree *tree, vs_key key,
                                        const vsi_payload *payload, uint32_t piece,
                                        vsi_value *out_value) {
    uint8_t bytes[VSI_PAYLOAD_KEY_BYTES_MAX];
    size_t expected = payload_piece_bytes(payload, piece);
    vs_status st = vsi_value_find(err, tree, payload_key(bytes, key, 1 + piece), out_value);
    if (st == VS_ERR_NOT_FOUND)
        return vsi_fail(err, VS_ERR_CORRUPT, "piece %lu of a payload is missing",
                        (unsigned long)piece);
    if (st == VS_OK && out_value->bytes != expected)
        st = vsi_fail(err, VS_ERR_CORRUPT, "piece %lu of a payload has %lu bytes, expected %zu",
                      (unsigned long)piece, (unsigned long)out_value->bytes, expected);
    return st;
}

static vs_status payload_remove(vsi_err *err, vsi_btree *tree, vs_key key,
                                const vsi_payload *payload, uint32_t piece, vsi_hash128 *sum) {
    uint8_t bytes[VSI_PAYLOAD_KEY_BYTES_MAX];
    vsi_value value;
    vs_status st = vsi_payload_find_piece(err, tree, key, payload, piece, &value);
    if (st != VS_OK)
        return st;
    vsi_hash128_subtract(sum, vsi_payload_term(piece, value.hash));
    return vsi_value_delete(err, tree, payload_key(bytes, key, 1 + piece));
}

static vs_status payload_add(vsi_err *err, vsi_btree *tree, vs_key key, uint32_t piece,
                             vsi_bytes content, vsi_hash128 *sum) {
    uint8_t bytes[VSI_PAYLOAD_KEY_BYTES_MAX];
    vsi_hash128 hash = vsi_hash128_of(content.data, content.bytes, 0);
    vsi_hash128_add(sum, vsi_payload_term(piece, hash));
    return vsi_value_put(err, tree, payload_key(bytes, key, 1 + piece), content, hash);
}

VSI_FN vs_status vsi_payload_set(vsi_err *err, vsi_btree *tree, vs_key key, uint32_t piece,
                                 vsi_bytes bytes, vsi_payload *io_payload) {
    uint8_t head[VSI_PAYLOAD_KEY_BYTES_MAX];
    bool is_whole = bytes.bytes == VSI_PAYLOAD_PIECE_BYTES;
    uint32_t pieces = vsi_payload_pieces(io_payload), end = is_whole ? piece + 1 : pieces;
    vsi_payload next = *io_payload;
    uint64_t new_bytes = (uint64_t)piece * VSI_PAYLOAD_PIECE_BYTES + bytes.bytes;
    if (!is_whole || new_bytes > next.bytes)
        next.bytes = new_bytes;
    vs_status st = VS_OK;
    if (!next.bytes) /* while it is where it was found: what follows moves entries */
        st = vsi_value_delete(err, tree, payload_key(head, key, 0));
    for (uint32_t i = piece; st == VS_OK && i < end && i < pieces; i++)
        st = payload_remove(err, tree, key, io_payload, i, &next.sum);
    if (st == VS_OK && bytes.bytes)
        st = payload_add(err, tree, key, piece, bytes, &next.sum); /* keeps P2 */
    if (st == VS_OK && next.bytes)
        st = payload_put_head(err, tree, key, &next); /* keeps P1 */
    if (st != VS_OK)
        return st;
    *io_payload = next.bytes ? next : (vsi_payload){.bytes = 0};
    return VS_OK;
}
