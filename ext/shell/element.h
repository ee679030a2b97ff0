/* element.h - elements of vectors as files have them. */
#ifndef SHELL_ELEMENT_H
#define SHELL_ELEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ELEMENT_F32 = 1,
    ELEMENT_F64,
    ELEMENT_F16,
    ELEMENT_BF16,
    ELEMENT_U8,
    ELEMENT_U16,
    ELEMENT_U32,
    ELEMENT_U64,
    ELEMENT_I8,
    ELEMENT_I16,
    ELEMENT_I32,
    ELEMENT_I64
};

size_t element_bytes(int element);
/* The type that vectors of such elements are read as, VS_...: their own, or f32, to which those of 64 bits are
 * rounded and integers must fit exactly. */
int element_type(int element);
/* What is wrong with an element that element_load refuses. */
const char *element_refusal(int element);

/* Elements of a file [dim x element_bytes] as a vector of element_type; they may not overlap. False: element
 * *out_at is not finite, or its type does not have it. */
bool element_load(int element, bool is_big_endian, const void *in, void *out, uint32_t dim,
                  uint32_t *out_at);

/* The reverse for a vector of a type that is its own: the bytes as files have them, little-endian, in place. */
void element_store(int element, void *vector, uint32_t dim);

#endif
