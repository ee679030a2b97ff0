/* ref.c - references; docs/FORMAT.md has their bytes. */
#include "store/ref.h"

enum { REF_IS_BLOCK = 1 };

VSI_FN vsi_ref vsi_ref_of_block(int kind, const void *block) {
    return (vsi_ref){.at = (uint64_t)(uintptr_t)block, .kind = (uint8_t)kind, .is_block = true};
}

VSI_FN void *vsi_ref_block(vsi_ref ref) {
    vsi_assert(ref.is_block);
    return (void *)(uintptr_t)ref.at;
}

VSI_FN uint64_t vsi_ref_extent(uint64_t page, uint64_t pages) {
    vsi_assert(page <= VSI_PAGE_NO_MAX);
    vsi_assert(pages <= VSI_EXTENT_PAGES_MAX);
    return page | pages << 40;
}

VSI_FN uint64_t vsi_ref_page(vsi_ref ref) {
    vsi_assert(!ref.is_block);
    return ref.at & VSI_PAGE_NO_MAX;
}

VSI_FN uint64_t vsi_ref_pages(vsi_ref ref) {
    vsi_assert(!ref.is_block);
    return ref.at >> 40;
}

VSI_FN uint64_t vsi_pages_for(uint64_t bytes, uint32_t trailer_bytes) {
    return (bytes + trailer_bytes + VSI_PAGE_BYTES - 1) / VSI_PAGE_BYTES;
}

VSI_FN void vsi_ref_encode(vsi_ref ref, uint8_t out[VSI_REF_BYTES]) {
    vsi_put_u64(out, ref.at);
    vsi_put_u32(out + 8, ref.birth);
    out[12] = ref.kind;
    out[13] = ref.codec;
    out[14] = ref.level;
    out[15] = ref.is_block ? REF_IS_BLOCK : 0;
    vsi_put_u64(out + 16, ref.hash);
}

VSI_FN vsi_ref vsi_ref_decode(const uint8_t in[VSI_REF_BYTES]) {
    return (vsi_ref){.at = vsi_get_u64(in),
                     .birth = vsi_get_u32(in + 8),
                     .kind = in[12],
                     .codec = in[13],
                     .level = in[14],
                     .is_block = in[15] & REF_IS_BLOCK,
                     .hash = vsi_get_u64(in + 16)};
}
