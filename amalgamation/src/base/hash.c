/* hash.c - checksums. The one place that includes xxHash. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h> /* Debian: libxxhash-dev; the header is enough */

VSI_FN uint64_t vsi_hash64(const void *data, size_t bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(data, bytes, seed);
}

VSI_FN vsi_hash128 vsi_hash128_of(const void *data, size_t bytes, uint64_t seed) {
    XXH128_hash_t h = XXH3_128bits_withSeed(data, bytes, seed);
    return (vsi_hash128){.lo = h.low64, .hi = h.high64};
}

VSI_FN void vsi_hash128_add(vsi_hash128 *sum, vsi_hash128 value) {
    sum->lo += value.lo;
    sum->hi += value.hi + (sum->lo < value.lo);
}

VSI_FN void vsi_hash128_subtract(vsi_hash128 *sum, vsi_hash128 value) {
    uint64_t borrow = sum->lo < value.lo;
    sum->lo -= value.lo;
    sum->hi -= value.hi + borrow;
}
