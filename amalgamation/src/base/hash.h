/* hash.h - checksums: XXH3 (Collet, https://xxhash.com), 64 and 128 bits. */
#ifndef VSI_HASH_H
#define VSI_HASH_H

#include "base/port.h"

typedef struct vsi_hash128 {
    uint64_t lo, hi;
} vsi_hash128;

VSI_FN uint64_t vsi_hash64(const void *data, size_t bytes, uint64_t seed);
VSI_FN vsi_hash128 vsi_hash128_of(const void *data, size_t bytes, uint64_t seed);

/* Sums modulo 2^128: the digest of a set does not depend on the order of its members. */
VSI_FN void vsi_hash128_add(vsi_hash128 *sum, vsi_hash128 value);
VSI_FN void vsi_hash128_subtract(vsi_hash128 *sum, vsi_hash128 value);

#endif
