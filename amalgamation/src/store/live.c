/* live.c - bitmaps of slots: chunks of bits under the numbers of set and chunk, big-endian. A chunk that
 * is missing is all zero. */
#include "store/live.h"

enum { LIVE_WORD_SLOTS = 64, LIVE_KEY_BYTES = 6 };

static vsi_bytes live_key(uint8_t out[LIVE_KEY_BYTES], uint32_t set, uint32_t chunk) {
    out[0] = (uint8_t)(set >> 8);
    out[1] = (uint8_t)set;
    vsi_put_u32_be(out + 2, chunk);
    return (vsi_bytes){out, LIVE_KEY_BYTES};
}

VSI_FN bool vsi_live_chunk_of(vsi_bytes key, uint32_t *out_set, uint32_t *out_chunk) {
    if (key.bytes != LIVE_KEY_BYTES)
        return false;
    *out_set = (uint32_t)key.data[0] << 8 | key.data[1];
    *out_chunk = vsi_get_u32_be(key.data + 2);
    return true;
}

/* The bits of a chunk; NULL: all zero. */
static vs_status live_chunk(vsi_err *err, const vsi_btree *live, uint32_t set, uint32_t chunk,
                            const uint8_t **out_bits) {
    uint8_t key[LIVE_KEY_BYTES];
    vsi_node_item item;
    *out_bits = NULL;
    vs_status st = vsi_btree_get(err, live, live_key(key, set, chunk), &item);
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    if (st == VS_OK && item.value.bytes != VSI_LIVE_CHUNK_BYTES)
        return vsi_fail(err, VS_ERR_CORRUPT, "chunk %lu of a live bitmap has %zu bytes",
                        (unsigned long)chunk, item.value.bytes);
    if (st == VS_OK)
        *out_bits = item.value.data;
    return st;
}

VSI_FN vs_status vsi_live_get(vsi_err *err, const vsi_btree *live, uint32_t set, uint32_t slot,
                              bool *out_is_live) {
    const uint8_t *bits = NULL;
    vs_status st = live_chunk(err, live, set, slot / VSI_LIVE_CHUNK_SLOTS, &bits);
    uint32_t at = slot % VSI_LIVE_CHUNK_SLOTS;
    if (st == VS_OK)
        *out_is_live = bits && bits[at / 8] >> (at % 8) & 1;
    return st;
}

VSI_FN vs_status vsi_live_set(vsi_err *err, vsi_btree *live, uint32_t set, uint32_t slot,
                              bool is_live) {
    static const uint8_t zero[VSI_LIVE_CHUNK_BYTES];
    uint8_t bytes[LIVE_KEY_BYTES], *bits = NULL;
    vsi_bytes key = live_key(bytes, set, slot / VSI_LIVE_CHUNK_SLOTS);
    uint32_t at = slot % VSI_LIVE_CHUNK_SLOTS;
    vs_status st = vsi_btree_edit(err, live, key, &bits);
    if (st == VS_ERR_NOT_FOUND) {
        st = vsi_btree_put(err, live, key, (vsi_bytes){zero, sizeof zero});
        if (st == VS_OK)
            st = vsi_btree_edit(err, live, key, &bits);
    }
    if (st != VS_OK)
        return st;
    uint8_t bit = (uint8_t)(1u << (at % 8));
    bits[at / 8] = (uint8_t)(is_live ? bits[at / 8] | bit : bits[at / 8] & ~bit);
    return VS_OK;
}

/* ---- walking -------------------------------------------------------------------------------- */

static vs_status live_load(vsi_err *err, vsi_live_scan *scan, uint32_t chunk) {
    const uint8_t *bits = NULL;
    if (scan->is_loaded && scan->chunk == chunk)
        return VS_OK;
    vs_status st = live_chunk(err, scan->live, scan->set, chunk, &bits);
    if (st != VS_OK)
        return st;
    if (bits)
        memcpy(scan->bits, bits, sizeof scan->bits);
    else
        memset(scan->bits, 0, sizeof scan->bits);
    scan->chunk = chunk;
    scan->is_missing = !bits;
    scan->is_loaded = true;
    return VS_OK;
}

/* The first slot in [slot, end) whose bit, after flipping all with flip, is set. */
static vs_status live_seek(vsi_err *err, vsi_live_scan *scan, uint32_t slot, uint32_t end,
                           uint64_t flip, uint32_t *out_slot) {
    while (slot < end) {
        vs_status st = live_load(err, scan, slot / VSI_LIVE_CHUNK_SLOTS);
        if (st != VS_OK)
            return st;
        uint32_t at = slot % VSI_LIVE_CHUNK_SLOTS / LIVE_WORD_SLOTS * (LIVE_WORD_SLOTS / 8);
        uint64_t word = (vsi_get_u64(scan->bits + at) ^ flip) >> (slot % LIVE_WORD_SLOTS);
        uint32_t unit = scan->is_missing ? VSI_LIVE_CHUNK_SLOTS : LIVE_WORD_SLOTS;
        uint32_t step = word ? (uint32_t)vsi_trailing_zeros(word) : unit - slot % unit;
        if (step >= end - slot)
            break;
        slot += step;
        if (word) {
            *out_slot = slot;
            return VS_OK;
        }
    }
    *out_slot = end;
    return VS_OK;
}

VSI_FN vs_status vsi_live_next(vsi_err *err, vsi_live_scan *scan, uint32_t slot, uint32_t end,
                               uint32_t *out_slot) {
    return live_seek(err, scan, slot, end, 0, out_slot);
}

VSI_FN vs_status vsi_live_next_dead(vsi_err *err, vsi_live_scan *scan, uint32_t slot, uint32_t end,
                                    uint32_t *out_slot) {
    return live_seek(err, scan, slot, end, UINT64_MAX, out_slot);
}
