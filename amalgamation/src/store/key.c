/* key.c - keys of records: as bytes, in order, in messages. */
#include "store/key.h"

enum { KEY_TEXT_SHOWN = 32 /* bytes of a key that a message shows */ };

VSI_FN vs_status vsi_key_check(vsi_err *err, vs_key key) {
    if (key.kind > VS_KEY_UUID)
        return vsi_fail(err, VS_ERR_INVALID, "key: kind is %u, expected VS_KEY_U64 ... VS_KEY_UUID",
                        key.kind);
    if (key.kind == VS_KEY_U64)
        return VS_OK;
    if (!key.data)
        return vsi_fail(err, VS_ERR_INVALID, "key: data missing");
    if (key.kind == VS_KEY_UUID && key.bytes != VSI_KEY_UUID_BYTES)
        return vsi_fail(err, VS_ERR_INVALID, "key: a UUID has %d bytes, this one %u",
                        VSI_KEY_UUID_BYTES, key.bytes);
    if (key.bytes < 1 || key.bytes > VS_KEY_BYTES_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "key: it has 1 to %u bytes, this one %u",
                        VS_KEY_BYTES_MAX, key.bytes);
    return VS_OK;
}

/* ---- as bytes ------------------------------------------------------------------------------- */

VSI_FN vsi_bytes vsi_key_encode_space(uint8_t out[VSI_KEY_BYTES_MAX], uint32_t space) {
    out[0] = space != 0;
    vsi_put_u32_be(out + 1, space);
    return (vsi_bytes){out, space ? 5 : 1};
}

VSI_FN vsi_bytes vsi_key_encode(uint8_t out[VSI_KEY_BYTES_MAX], vs_key key) {
    size_t at = vsi_key_encode_space(out, key.space).bytes;
    out[at++] = (uint8_t)(key.kind + 1);
    if (key.kind == VS_KEY_U64) {
        vsi_put_u64_be(out + at, key.number);
        return (vsi_bytes){out, at + 8};
    }
    vsi_assert(key.bytes <= VS_KEY_BYTES_MAX);
    memcpy(out + at, key.data, key.bytes);
    return (vsi_bytes){out, at + key.bytes};
}

VSI_FN bool vsi_key_decode(vsi_bytes bytes, vs_key *out_key) {
    vs_key key = {0};
    size_t at = 1;
    if (bytes.bytes < 3 || bytes.data[0] > 1 || (bytes.data[0] && bytes.bytes < 7))
        return false;
    if (bytes.data[0]) {
        key.space = vsi_get_u32_be(bytes.data + 1);
        at = 5;
    }
    key.kind = (uint16_t)(bytes.data[at++] - 1);
    size_t left = bytes.bytes - at;
    bool fits = key.kind == VS_KEY_U64     ? left == 8
                : key.kind == VS_KEY_BYTES ? left >= 1 && left <= VS_KEY_BYTES_MAX
                                           : key.kind == VS_KEY_UUID && left == VSI_KEY_UUID_BYTES;
    if (!fits || (bytes.data[0] && !key.space))
        return false;
    if (key.kind == VS_KEY_U64) {
        key.number = vsi_get_u64_be(bytes.data + at);
    } else {
        key.data = bytes.data + at;
        key.bytes = (uint16_t)left;
    }
    *out_key = key;
    return true;
}

VSI_FN int vsi_key_compare(vs_key a, vs_key b) {
    if (a.space != b.space)
        return a.space < b.space ? -1 : 1;
    if (a.kind != b.kind)
        return a.kind < b.kind ? -1 : 1;
    if (a.kind == VS_KEY_U64)
        return (a.number > b.number) - (a.number < b.number);
    return vsi_bytes_compare((vsi_bytes){a.data, a.bytes}, (vsi_bytes){b.data, b.bytes});
}

/* ---- in messages ---------------------------------------------------------------------------- */

static size_t key_write_bytes(char *out, size_t room, vs_key key) {
    const uint8_t *data = key.data;
    size_t n = key.bytes < KEY_TEXT_SHOWN ? key.bytes : KEY_TEXT_SHOWN, at = 0;
    out[at++] = '\'';
    for (size_t i = 0; i < n; i++) {
        bool is_plain = data[i] >= 0x20 && data[i] < 0x7f && data[i] != '\'' && data[i] != '\\';
        at += (size_t)snprintf(out + at, room - at, is_plain ? "%c" : "\\x%02x", data[i]);
    }
    return at + (size_t)snprintf(out + at, room - at, "'%s", n < key.bytes ? "..." : "");
}

static size_t key_write_uuid(char *out, size_t room, vs_key key) {
    const uint8_t *data = key.data;
    size_t at = 0;
    for (size_t i = 0; i < VSI_KEY_UUID_BYTES; i++)
        at += (size_t)snprintf(out + at, room - at, "%s%02x",
                               i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", data[i]);
    return at;
}

VSI_FN const char *vsi_key_text(char out[VSI_KEY_TEXT_BYTES], vs_key key) {
    size_t at = 0;
    if (key.kind == VS_KEY_U64)
        at = (size_t)snprintf(out, VSI_KEY_TEXT_BYTES, "%llu", (unsigned long long)key.number);
    else if (key.kind == VS_KEY_BYTES)
        at = key_write_bytes(out, VSI_KEY_TEXT_BYTES, key);
    else
        at = key_write_uuid(out, VSI_KEY_TEXT_BYTES, key);
    if (key.space)
        snprintf(out + at, VSI_KEY_TEXT_BYTES - at, " of namespace %lu", (unsigned long)key.space);
    return out;
}
