/* bytes.h - numbers in files: little-endian, any alignment. */
#ifndef VSI_BYTES_H
#define VSI_BYTES_H

#include "base/port.h"

/* A run of bytes that lies elsewhere; borrowed. */
typedef struct vsi_bytes {
    const uint8_t *data;
    size_t bytes;
} vsi_bytes;

VSI_FN int vsi_bytes_compare(vsi_bytes a, vsi_bytes b); /* memcmp order, a prefix first */

VSI_FN uint16_t vsi_get_u16(const uint8_t *p);
VSI_FN uint32_t vsi_get_u32(const uint8_t *p);
VSI_FN uint64_t vsi_get_u64(const uint8_t *p);
VSI_FN void vsi_put_u16(uint8_t *p, uint16_t value);
VSI_FN void vsi_put_u32(uint8_t *p, uint32_t value);
VSI_FN void vsi_put_u64(uint8_t *p, uint64_t value);
VSI_FN void vsi_put_u64_be(uint8_t *p, uint64_t value); /* so that memcmp orders numbers */
VSI_FN uint64_t vsi_get_u64_be(const uint8_t *p);
VSI_FN void vsi_put_u32_be(uint8_t *p, uint32_t value);
VSI_FN uint32_t vsi_get_u32_be(const uint8_t *p);

VSI_FN bool vsi_host_is_little_endian(void);

/* Copies count elements of element_bytes (1, 2, 4 or 8) between memory and file order: a plain copy
 * on little-endian machines, bytes of each element reversed elsewhere. */
VSI_FN void vsi_copy_le(void *to, const void *from, size_t count, size_t element_bytes);

/* The same in place. */
VSI_FN void vsi_swap_le(void *elements, size_t count, size_t element_bytes);

/* The elements in file order: the input itself on little-endian machines, else written to scratch.
 */
VSI_FN const uint8_t *vsi_as_le(const void *from, size_t count, size_t element_bytes,
                                uint8_t *scratch);

/* Bytes of the character that n bytes of text begin with, 0 when it is malformed; n is not 0. */
VSI_FN size_t vsi_utf8_sequence(const uint8_t *text, size_t n);

/* Whether n bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
VSI_FN bool vsi_utf8_is_valid(const uint8_t *text, size_t n);

#endif
