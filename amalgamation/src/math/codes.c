/* codes.c - kinds of codes, and where levels and halves lie in them. */
#include "math/codes.h"
#include "base/bytes.h"
#include "math/element.h"

VSI_FN bool vsi_code_is_half(uint32_t kind) {
    return kind == VSI_CODE_F16 || kind == VSI_CODE_BF16;
}

VSI_FN bool vsi_code_is_kind(uint32_t kind) {
    return kind == 1 || kind == 2 || kind == 4 || kind == 8 || vsi_code_is_half(kind);
}

VSI_FN size_t vsi_code_bytes(uint32_t kind, size_t dims) {
    return vsi_code_is_half(kind) ? dims * 2 : dims / 8 * kind;
}

VSI_FN size_t vsi_code_kernel(uint32_t kind) {
    vsi_assert(vsi_code_is_kind(kind));
    if (vsi_code_is_half(kind))
        return kind == VSI_CODE_F16 ? 4 : 5;
    return kind == 8 ? 3 : kind / 2;
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

VSI_FN void vsi_codes_narrow(const float *x, size_t dims, float scale, uint32_t kind,
                             uint8_t *out) {
    for (size_t j = 0; j < dims; j++) {
        float value = x[j] * scale;
        vsi_put_u16(out + 2 * j,
                    kind == VSI_CODE_F16 ? vsi_f16_of_float(value) : vsi_bf16_of_float(value));
    }
}

VSI_FN void vsi_codes_widen(const uint8_t *code, size_t dims, uint32_t kind, float *out) {
    for (size_t j = 0; j < dims; j++) {
        uint16_t half = vsi_get_u16(code + 2 * j);
        out[j] = kind == VSI_CODE_F16 ? vsi_float_of_f16(half) : vsi_float_of_bf16(half);
    }
}
