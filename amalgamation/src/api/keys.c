/* keys.c - keys, for callers. */
#include "api/handle.h"

vs_key vs_key_u64(uint64_t number) {
    return (vs_key){.number = number};
}

vs_key vs_key_bytes(const void *data, size_t bytes) {
    uint16_t stored = bytes < UINT16_MAX ? (uint16_t)bytes : UINT16_MAX;
    return (vs_key){.data = data, .bytes = stored, .kind = VS_KEY_BYTES};
}

vs_key vs_key_text(const char *text) {
    return vs_key_bytes(text, text ? strlen(text) : 0);
}

vs_key vs_key_uuid(const void *uuid) {
    return (vs_key){.data = uuid, .bytes = VSI_KEY_UUID_BYTES, .kind = VS_KEY_UUID};
}

vs_key vs_key_in(uint32_t space, vs_key key) {
    key.space = space;
    return key;
}

int vs_key_compare(vs_key a, vs_key b) {
    return vsi_key_compare(a, b);
}
