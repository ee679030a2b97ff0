/* element.c - elements of vectors as files have them, of either byte order, to and from the machine's. */
#include "element.h"
#include "vecstore.h"
#include <math.h>
#include <string.h>

size_t element_bytes(int element) {
    static const uint8_t bytes[] = {0, 4, 8, 2, 2, 1, 2, 4, 8, 1, 2, 4, 8}; /* ELEMENT_... */
    return bytes[element];
}

int element_type(int element) {
    switch (element) {
    case ELEMENT_F16:
        return VS_F16;
    case ELEMENT_BF16:
        return VS_BF16;
    case ELEMENT_U8:
        return VS_U8;
    case ELEMENT_I8:
        return VS_I8;
    default:
        return VS_F32;
    }
}

const char *element_refusal(int element) {
    return element < ELEMENT_U8 ? "is not a finite number that fits" : "is no integer that f32 has";
}

static uint64_t load_word(const uint8_t *p, size_t bytes, bool is_big_endian) {
    uint64_t word = 0;
    for (size_t i = 0; i < bytes; i++)
        word |= (uint64_t)p[is_big_endian ? bytes - 1 - i : i] << 8 * i;
    return word;
}

static bool store_float(double value, bool must_be_exact, void *out) {
    float single = (float)value;
    memcpy(out, &single, sizeof single);
    return isfinite(single) && (!must_be_exact || (double)single == value);
}

/* A float of 16 bits is not finite when all bits of its exponent are set. */
static bool store_half(uint64_t word, uint16_t exponent, void *out) {
    uint16_t half = (uint16_t)word;
    memcpy(out, &half, sizeof half);
    return (half & exponent) != exponent;
}

/* Integers of 64 bits must survive both steps, to double and to float. */
static bool store_u64(uint64_t word, void *out) {
    double value = (double)word;
    return value < 18446744073709551616.0 && (uint64_t)value == word &&
           store_float(value, true, out);
}

static bool store_i64(int64_t word, void *out) {
    uint64_t magnitude = word < 0 ? 0 - (uint64_t)word : (uint64_t)word;
    float value = 0;
    bool ok = store_u64(magnitude, &value);
    value = word < 0 ? -value : value;
    memcpy(out, &value, sizeof value);
    return ok;
}

static bool store_f32(uint64_t word, void *out) {
    uint32_t bits = (uint32_t)word;
    float value;
    memcpy(&value, &bits, sizeof value);
    memcpy(out, &bits, sizeof bits);
    return isfinite(value);
}

static bool store_element(int element, uint64_t word, void *out) {
    double wide;
    switch (element) {
    case ELEMENT_F32:
        return store_f32(word, out);
    case ELEMENT_F64:
        memcpy(&wide, &word, sizeof wide);
        return store_float(wide, false, out);
    case ELEMENT_F16:
        return store_half(word, 0x7c00, out);
    case ELEMENT_BF16:
        return store_half(word, 0x7f80, out);
    case ELEMENT_I16:
        return store_i64((int16_t)(uint16_t)word, out);
    case ELEMENT_I32:
        return store_i64((int32_t)(uint32_t)word, out);
    case ELEMENT_I64:
        return store_i64((int64_t)word, out);
    default: /* U16, U32, U64 */
        return store_u64(word, out);
    }
}

bool element_load(int element, bool is_big_endian, const void *in, void *out, uint32_t dim,
                  uint32_t *out_at) {
    size_t from = element_bytes(element), to = vs_vector_bytes(element_type(element), 1);
    const uint8_t *p = in;
    uint8_t *q = out;
    if (from == 1) {
        memcpy(out, in, dim);
        return true;
    }
    for (uint32_t i = 0; i < dim; i++, p += from, q += to) {
        *out_at = i;
        if (!store_element(element, load_word(p, from, is_big_endian), q))
            return false;
    }
    return true;
}

void element_store(int element, void *vector, uint32_t dim) {
    size_t bytes = element_bytes(element);
    uint8_t *p = vector;
    for (uint32_t i = 0; bytes > 1 && i < dim; i++, p += bytes) {
        uint32_t word = 0;
        uint16_t half = 0;
        memcpy(bytes == 2 ? (void *)&half : (void *)&word, p, bytes);
        word = bytes == 2 ? half : word;
        for (size_t k = 0; k < bytes; k++)
            p[k] = (uint8_t)(word >> 8 * k);
    }
}
