/* bytes.c - numbers in files. Compilers turn the shifts into single loads and stores. */
#include "base/bytes.h"

VSI_FN uint16_t vsi_get_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

VSI_FN uint32_t vsi_get_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

VSI_FN uint64_t vsi_get_u64(const uint8_t *p) {
    return (uint64_t)vsi_get_u32(p) | (uint64_t)vsi_get_u32(p + 4) << 32;
}

VSI_FN void vsi_put_u16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

VSI_FN void vsi_put_u32(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)(value >> 16);
    p[3] = (uint8_t)(value >> 24);
}

VSI_FN void vsi_put_u64(uint8_t *p, uint64_t value) {
    vsi_put_u32(p, (uint32_t)value);
    vsi_put_u32(p + 4, (uint32_t)(value >> 32));
}

VSI_FN void vsi_put_u64_be(uint8_t *p, uint64_t value) {
    for (int i = 7; i >= 0; i--, value >>= 8)
        p[i] = (uint8_t)value;
}

VSI_FN uint64_t vsi_get_u64_be(const uint8_t *p) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | p[i];
    return value;
}

VSI_FN bool vsi_host_is_little_endian(void) {
    const uint16_t one = 1;
    uint8_t first = 0;
    memcpy(&first, &one, 1);
    return first == 1;
}

VSI_FN void vsi_put_u32_be(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

VSI_FN uint32_t vsi_get_u32_be(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

VSI_FN void vsi_copy_le(void *to, const void *from, size_t count, size_t element_bytes) {
    if (element_bytes == 1 || vsi_host_is_little_endian()) {
        memcpy(to, from, count * element_bytes);
        return;
    }
    uint8_t *out = to;
    const uint8_t *in = from;
    for (size_t i = 0; i < count; i++, in += element_bytes, out += element_bytes)
        for (size_t j = 0; j < element_bytes; j++)
            out[j] = in[element_bytes - 1 - j];
}

VSI_FN void vsi_swap_le(void *elements, size_t count, size_t element_bytes) {
    uint8_t copy[8], *at = elements;
    if (element_bytes == 1 || vsi_host_is_little_endian())
        return;
    for (size_t i = 0; i < count; i++, at += element_bytes) {
        memcpy(copy, at, element_bytes);
        vsi_copy_le(at, copy, 1, element_bytes);
    }
}

VSI_FN const uint8_t *vsi_as_le(const void *from, size_t count, size_t element_bytes,
                                uint8_t *scratch) {
    if (element_bytes == 1 || vsi_host_is_little_endian())
        return from;
    vsi_copy_le(scratch, from, count, element_bytes);
    return scratch;
}

/* Table 3-7 of the Unicode standard. */
VSI_FN size_t vsi_utf8_sequence(const uint8_t *text, size_t n) {
    uint8_t lead = text[0];
    if (lead < 0x80)
        return 1;
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || length > n)
        return 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (text[i] < 0x80 || text[i] > 0xbf)
            return 0;
    return length;
}

VSI_FN bool vsi_utf8_is_valid(const uint8_t *text, size_t n) {
    for (size_t at = 0; at < n;) {
        size_t step = vsi_utf8_sequence(text + at, n - at);
        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

VSI_FN int vsi_bytes_compare(vsi_bytes a, vsi_bytes b) {
    size_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}
