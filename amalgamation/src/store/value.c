/* value.c - values of any size in a B+tree.
 *
 * A value is cut into chunks; chunk n is the entry under key | n as u32, big-endian. Chunk 0 begins
 * with the value's size and hash. Keys in one tree must be prefix-free (all of one length, or with
 * their length in front), so that chunks of different values never share an entry. */
#include "store/value.h"

enum { VALUE_NUMBER_BYTES = 4, VALUE_HEADER_BYTES = 20 };

typedef struct value_key {
    uint8_t data[VSI_VALUE_KEY_BYTES_MAX + VALUE_NUMBER_BYTES];
    size_t bytes;
} value_key;

static void value_key_set(value_key *out, vsi_bytes key, uint32_t number) {
    vsi_assert(key.bytes <= VSI_VALUE_KEY_BYTES_MAX);
    memcpy(out->data, key.data, key.bytes);
    for (int i = 0; i < VALUE_NUMBER_BYTES; i++)
        out->data[key.bytes + (size_t)i] = (uint8_t)(number >> (24 - 8 * i));
    out->bytes = key.bytes + VALUE_NUMBER_BYTES;
}

static vsi_bytes value_key_bytes(const value_key *key) {
    return (vsi_bytes){key->data, key->bytes};
}

/* Bytes of an entry's value, the same for every chunk of a key. */
static size_t value_chunk_bytes(vsi_bytes key) {
    return VSI_BTREE_ENTRY_MAX - VSI_BTREE_ENTRY_OVERHEAD - VALUE_NUMBER_BYTES - key.bytes;
}

static uint32_t value_chunk_count(vsi_bytes key, size_t value_bytes) {
    size_t chunk = value_chunk_bytes(key);
    return (uint32_t)((VALUE_HEADER_BYTES + value_bytes + chunk - 1) / chunk);
}

VSI_FN bool vsi_value_find(const vsi_btree *tree, vsi_bytes key, vsi_value_info *out_info) {
    value_key k;
    vsi_bytes first;
    value_key_set(&k, key, 0);
    if (!vsi_btree_get(tree, value_key_bytes(&k), &first))
        return false;
    vsi_assert(first.bytes >= VALUE_HEADER_BYTES);
    out_info->bytes = vsi_get_u32(first.data);
    out_info->hash.lo = vsi_get_u64(first.data + 4);
    out_info->hash.hi = vsi_get_u64(first.data + 12);
    return true;
}

VSI_FN bool vsi_value_read(const vsi_btree *tree, vsi_bytes key, vsi_value_info info,
                           vsi_buf *buf) {
    if (!vsi_buf_reserve(buf, info.bytes))
        return false;
    value_key k;
    vsi_btree_cursor cursor;
    value_key_set(&k, key, 0);
    vsi_btree_seek(tree, value_key_bytes(&k), &cursor);
    size_t skip = VALUE_HEADER_BYTES;
    for (size_t left = info.bytes; left > 0 && !vsi_btree_at_end(&cursor);) {
        vsi_bytes entry_key, chunk;
        vsi_btree_entry(&cursor, &entry_key, &chunk);
        size_t n = chunk.bytes - skip < left ? chunk.bytes - skip : left;
        memcpy(buf->data + buf->bytes, chunk.data + skip, n);
        buf->bytes += n;
        left -= n;
        skip = 0;
        vsi_btree_next(&cursor);
    }
    return true;
}

VSI_FN bool vsi_value_put(vsi_cow *cow, vsi_btree *tree, vsi_bytes key, vsi_bytes value,
                          vsi_hash128 hash) {
    uint8_t chunk[VSI_BTREE_ENTRY_MAX];
    size_t room = value_chunk_bytes(key), filled = VALUE_HEADER_BYTES, done = 0;
    vsi_put_u32(chunk, (uint32_t)value.bytes);
    vsi_put_u64(chunk + 4, hash.lo);
    vsi_put_u64(chunk + 12, hash.hi);
    uint32_t count = value_chunk_count(key, value.bytes);
    for (uint32_t i = 0; i < count; i++, filled = 0) {
        size_t n = value.bytes - done < room - filled ? value.bytes - done : room - filled;
        if (n)
            memcpy(chunk + filled, value.data + done, n);
        done += n;
        value_key k;
        value_key_set(&k, key, i);
        if (!vsi_btree_put(cow, tree, value_key_bytes(&k), (vsi_bytes){chunk, filled + n}))
            return false;
    }
    return true;
}

VSI_FN bool vsi_value_delete(vsi_cow *cow, vsi_btree *tree, vsi_bytes key, vsi_value_info info) {
    uint32_t count = value_chunk_count(key, info.bytes);
    for (uint32_t i = 0; i < count; i++) {
        value_key k;
        value_key_set(&k, key, i);
        vs_status st = vsi_btree_delete(cow, tree, value_key_bytes(&k));
        vsi_assert(st != VS_ERR_NOT_FOUND);
        if (st != VS_OK)
            return false;
    }
    return true;
}

VSI_FN bool vsi_value_is_first(vsi_bytes entry_key, vsi_bytes *out_key) {
    out_key->data = entry_key.data;
    out_key->bytes = entry_key.bytes - VALUE_NUMBER_BYTES;
    for (size_t i = out_key->bytes; i < entry_key.bytes; i++)
        if (entry_key.data[i])
            return false;
    return true;
}
