/* slab.c - rows by slot number.
 *
 *   L1  A slab's address, once in the table, stays there.
 *   L2  The table grows by a copy twice as large; the old one stays until the end, for readers that
 *       loaded it. */
#include "store/slab.h"

enum { SLAB_TABLE_FIRST = 16 };

struct vsi_slab_table {
    vsi_slab_table *older;
    size_t room;
    vsi_atomic_ptr slab[]; /* the memory of a slab; NULL: none */
};

/* Small enough that little is written for one row, large enough that the last page, which is filled only
 * in part, wastes little. */
VSI_FN uint32_t vsi_slab_shift(uint32_t row_bytes) {
    uint32_t shift = 0;
    for (;; shift++) {
        uint64_t bytes = (uint64_t)row_bytes << shift, waste = (0 - bytes) % 4096;
        if (bytes >= VSI_SLAB_BYTES_MIN && waste <= bytes / 16)
            return shift;
    }
}

VSI_FN void vsi_slabs_init(vsi_slabs *slabs, vsi_mem *mem, uint32_t row_bytes, uint32_t shift) {
    memset(slabs, 0, sizeof *slabs);
    slabs->mem = mem;
    slabs->row_bytes = row_bytes;
    slabs->shift = shift;
}

static size_t table_bytes(size_t room) {
    return sizeof(vsi_slab_table) + room * sizeof(vsi_atomic_ptr);
}

static size_t slab_bytes(const vsi_slabs *slabs) {
    return ((size_t)slabs->row_bytes << slabs->shift) + VSI_SLAB_ALIGN;
}

VSI_FN void vsi_slabs_free(vsi_slabs *slabs) {
    vsi_slab_table *table = slabs->tables;
    for (size_t i = 0; table && i < table->room; i++)
        vsi_free(slabs->mem, vsi_atomic_ptr_load(&table->slab[i]), slab_bytes(slabs));
    while (table) {
        vsi_slab_table *older = table->older;
        vsi_free(slabs->mem, table, table_bytes(table->room));
        table = older;
    }
    slabs->tables = NULL;
}

/* A slab's rows begin at its first aligned byte. */
static uint8_t *slab_row_in(const vsi_slabs *slabs, void *slab, uint32_t slot) {
    size_t skip = (size_t)(0 - (uintptr_t)slab) % VSI_SLAB_ALIGN;
    size_t row = slot & ((1u << slabs->shift) - 1);
    return (uint8_t *)slab + skip + row * slabs->row_bytes;
}

VSI_FN vs_status vsi_slab_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                              const uint8_t **out_row) {
    const vsi_slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    uint32_t at = slot >> slabs->shift;
    void *slab = table && at < table->room ? vsi_atomic_ptr_load(&table->slab[at]) : NULL;
    if (!slab)
        return vsi_fail(err, VS_ERR_CORRUPT, "slot %lu has no row", (unsigned long)slot);
    *out_row = slab_row_in(slabs, slab, slot);
    return VS_OK;
}

VSI_FN uint32_t vsi_slab_run(const vsi_slabs *slabs, uint32_t slot) {
    uint32_t rows = 1u << slabs->shift;
    return rows - (slot & (rows - 1));
}

/* A table with room for slab number at. */
static vs_status slabs_reserve(vsi_err *err, vsi_slabs *slabs, uint32_t at) {
    vsi_slab_table *old = slabs->tables;
    size_t room = old ? old->room : SLAB_TABLE_FIRST;
    if (old && at < room)
        return VS_OK;
    while (at >= room)
        room *= 2;
    vsi_slab_table *table = vsi_alloc_zeroed(slabs->mem, table_bytes(room));
    if (!table)
        return vsi_fail_nomem(err, table_bytes(room));
    for (size_t i = 0; old && i < old->room; i++)
        vsi_atomic_ptr_store(&table->slab[i], vsi_atomic_ptr_load(&old->slab[i]));
    table->room = room;
    table->older = old;
    slabs->tables = table; /* keeps L2 */
    vsi_atomic_ptr_store(&slabs->table, table);
    return VS_OK;
}

VSI_FN vs_status vsi_slab_make_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                   uint8_t **out_row) {
    uint32_t at = slot >> slabs->shift;
    vs_status st = slabs_reserve(err, slabs, at);
    if (st != VS_OK)
        return st;
    vsi_atomic_ptr *place = &slabs->tables->slab[at];
    void *slab = vsi_atomic_ptr_load(place);
    if (!slab) {
        slab = vsi_alloc_zeroed(slabs->mem, slab_bytes(slabs));
        if (!slab)
            return vsi_fail_nomem(err, slab_bytes(slabs));
        vsi_atomic_ptr_store(place, slab); /* keeps L1 */
    }
    *out_row = slab_row_in(slabs, slab, slot);
    return VS_OK;
}
