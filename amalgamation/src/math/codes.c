/* codes.c - where levels lie in a code. */
#include "math/codes.h"

VSI_FN size_t vsi_code_width(uint32_t bits) {
    vsi_assert(bits == 1 || bits == 2 || bits == 4 || bits == 8);
    return bits == 8 ? 3 : bits / 2;
}

/* Where the level of one dim lies: its byte, and the lowest of its bits there. */
static size_t codes_place(size_t dim, size_t dims, uint32_t bits, uint32_t *out_shift) {
    size_t per_byte = 8 / bits, group = 64 * per_byte, first = dim / group * group;
    size_t width = dims - first < group ? (dims - first) / per_byte : 64;
    if (bits == 1) {
        *out_shift = dim % 8;
        return dim / 8;
    }
    *out_shift = (uint32_t)((dim - first) / width) * bits;
    return first / per_byte + (dim - first) % width;
}

VSI_FN void vsi_codes_pack(const uint8_t *levels, size_t dims, uint32_t bits, uint8_t *out) {
    memset(out, 0, dims * bits / 8);
    for (size_t j = 0; j < dims; j++) {
        uint32_t shift;
        size_t at = codes_place(j, dims, bits, &shift);
        out[at] = (uint8_t)(out[at] | levels[j] << shift);
    }
}

VSI_FN void vsi_codes_unpack(const uint8_t *code, size_t dims, uint32_t bits, uint8_t *levels) {
    for (size_t j = 0; j < dims; j++) {
        uint32_t shift;
        size_t at = codes_place(j, dims, bits, &shift);
        levels[j] = (uint8_t)(code[at] >> shift & ((1u << bits) - 1));
    }
}
