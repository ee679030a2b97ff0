/* slab.c - rows by slot number. */
#include "store/slab.h"

VSI_FN vsi_slabs vsi_slabs_of(uint32_t row_bytes) {
    vsi_slabs slabs = {.row_bytes = row_bytes};
    while (((uint64_t)row_bytes << slabs.shift) < VSI_SLAB_BYTES_MIN)
        slabs.shift++;
    return slabs;
}

/* A slab block's rows begin at the first aligned byte behind its header. */
static uint8_t *slab_rows(void *slab) {
    uintptr_t first = (uintptr_t)slab + sizeof(vsi_block);
    return (uint8_t *)slab + (first + VSI_SLAB_ALIGN - 1) / VSI_SLAB_ALIGN * VSI_SLAB_ALIGN -
           (uintptr_t)slab;
}

static uint8_t *slab_row_in(const vsi_slabs *slabs, void *slab, uint32_t slot) {
    size_t row = slot & ((1u << slabs->shift) - 1);
    return slab_rows(slab) + row * slabs->row_bytes;
}

VSI_FN uint8_t *vsi_slab_row(const vsi_slabs *slabs, uint32_t slot) {
    void *slab = vsi_radix_get(&slabs->table, slot >> slabs->shift);
    vsi_assert(slab);
    return slab_row_in(slabs, slab, slot);
}

VSI_FN uint32_t vsi_slab_run(const vsi_slabs *slabs, uint32_t slot) {
    uint32_t rows = 1u << slabs->shift;
    return rows - (slot & (rows - 1));
}

VSI_FN uint8_t *vsi_slab_make_row(vsi_cow *cow, vsi_slabs *slabs, uint32_t slot) {
    uint32_t at = slot >> slabs->shift;
    void *slab = vsi_radix_get(&slabs->table, at);
    if (!slab) {
        size_t bytes =
            sizeof(vsi_block) + VSI_SLAB_ALIGN + ((size_t)slabs->row_bytes << slabs->shift);
        slab = vsi_cow_new(cow, bytes);
        if (!slab || !vsi_radix_set(cow, &slabs->table, at, slab))
            return NULL;
    }
    return slab_row_in(slabs, slab, slot);
}
