/* slab.c - rows by slot number.
 *
 *   L1  A slab's address, once in the table, stays there.
 *   L2  The table grows by a copy twice as large; the old one stays until the end, for readers that
 *       loaded it. */
#include "store/slab.h"

enum { SLAB_TABLE_FIRST = 16 };

/* At the front of a slab's memory; the rows begin at the first aligned byte behind it. */
typedef struct slab_head {
    bool is_dirty; /* of the holder of the writer role */
} slab_head;

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
    slabs->element_bytes = 1;
    slabs->dirty.mem = mem;
}

static size_t table_bytes(size_t room) {
    return sizeof(vsi_slab_table) + room * sizeof(vsi_atomic_ptr);
}

static size_t slab_bytes(const vsi_slabs *slabs) {
    return ((size_t)slabs->row_bytes << slabs->shift) + sizeof(slab_head) + VSI_SLAB_ALIGN;
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
    if (slabs->mem)
        vsi_buf_free(&slabs->dirty);
}

static uint8_t *slab_rows(void *slab) {
    uint8_t *first = (uint8_t *)slab + sizeof(slab_head);
    return first + (size_t)(0 - (uintptr_t)first) % VSI_SLAB_ALIGN;
}

static uint8_t *slab_row_in(const vsi_slabs *slabs, void *slab, uint32_t slot) {
    size_t row = slot & ((1u << slabs->shift) - 1);
    return slab_rows(slab) + row * slabs->row_bytes;
}

static void *slabs_get(const vsi_slabs *slabs, uint32_t at) {
    const vsi_slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    return table && at < table->room ? vsi_atomic_ptr_load(&table->slab[at]) : NULL;
}

/* ---- reading in ----------------------------------------------------------------------------- */

static size_t slab_extent_bytes(const vsi_slabs *slabs) {
    uint64_t rows_bytes = (uint64_t)slabs->row_bytes << slabs->shift;
    return (size_t)((rows_bytes + VSI_PAGE_BYTES - 1) / VSI_PAGE_BYTES * VSI_PAGE_BYTES);
}

/* Where a slab is in the file; VS_ERR_NOT_FOUND without a message. The slab lock is held. */
static vs_status slab_locate(vsi_err *err, const vsi_slabs *slabs, uint32_t at, vsi_ref *out_ref) {
    uint8_t key[4];
    vsi_node_item item;
    if (!slabs->dir.cow)
        return VS_ERR_NOT_FOUND;
    vsi_put_u32_be(key, at);
    vs_status st = vsi_btree_get(err, &slabs->dir, (vsi_bytes){key, sizeof key}, &item);
    if (st == VS_OK && item.ref_count != 1)
        return vsi_fail(err, VS_ERR_CORRUPT, "the entry of slab %lu is malformed",
                        (unsigned long)at);
    if (st == VS_OK)
        *out_ref = vsi_ref_decode(item.refs);
    return st;
}

static vs_status slab_read(vsi_err *err, const vsi_slabs *slabs, vsi_ref ref, void **out_slab) {
    size_t bytes = slab_extent_bytes(slabs);
    vsi_buf extent = {.mem = slabs->mem};
    vs_status st = vsi_pager_read(err, slabs->dir.cow->pager, ref, VSI_REF_SLAB, &extent);
    if (st == VS_OK && extent.bytes != bytes)
        st = vsi_fail(err, VS_ERR_CORRUPT, "a slab has %zu bytes, expected %zu", extent.bytes, bytes);
    void *slab = st == VS_OK ? vsi_alloc_zeroed(slabs->mem, slab_bytes(slabs)) : NULL;
    if (st == VS_OK && !slab)
        st = vsi_fail_nomem(err, slab_bytes(slabs));
    if (st == VS_OK) {
        size_t rows_bytes = (size_t)slabs->row_bytes << slabs->shift;
        vsi_copy_le(slab_rows(slab), extent.data, rows_bytes / slabs->element_bytes,
                    slabs->element_bytes);
        *out_slab = slab;
    }
    vsi_buf_free(&extent);
    return st;
}

/* A table with room for slab number at; the slab lock is held. */
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

static void slabs_lock(const vsi_slabs *slabs) {
    if (slabs->dir.cow)
        vsi_mutex_lock(&slabs->dir.cow->pager->slab_lock);
}

static void slabs_unlock(const vsi_slabs *slabs) {
    if (slabs->dir.cow)
        vsi_mutex_unlock(&slabs->dir.cow->pager->slab_lock);
}

/* Brings a slab into memory from the file; VS_ERR_NOT_FOUND without a message when it is not there. */
static vs_status slab_fault(vsi_err *err, vsi_slabs *slabs, uint32_t at, void **out_slab) {
    vsi_ref ref;
    vs_status st = VS_OK;
    slabs_lock(slabs);
    void *slab = slabs_get(slabs, at); /* another thread may have been faster */
    if (!slab) {
        st = slab_locate(err, slabs, at, &ref);
        if (st == VS_OK)
            st = slabs_reserve(err, slabs, at);
        if (st == VS_OK)
            st = slab_read(err, slabs, ref, &slab);
        if (st == VS_OK)
            vsi_atomic_ptr_store(&slabs->tables->slab[at], slab); /* keeps L1 */
    }
    slabs_unlock(slabs);
    *out_slab = slab;
    return st;
}

VSI_FN vs_status vsi_slab_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                              const uint8_t **out_row) {
    uint32_t at = slot >> slabs->shift;
    void *slab = slabs_get(slabs, at);
    vs_status st = slab ? VS_OK : slab_fault(err, slabs, at, &slab);
    if (st == VS_ERR_NOT_FOUND)
        return vsi_fail(err, VS_ERR_CORRUPT, "slot %lu has no row", (unsigned long)slot);
    if (st == VS_OK)
        *out_row = slab_row_in(slabs, slab, slot);
    return st;
}

VSI_FN uint32_t vsi_slab_run(const vsi_slabs *slabs, uint32_t slot) {
    uint32_t rows = 1u << slabs->shift;
    return rows - (slot & (rows - 1));
}

/* ---- changing ------------------------------------------------------------------------------- */

/* An empty slab. */
static vs_status slab_make(vsi_err *err, vsi_slabs *slabs, uint32_t at, void **out_slab) {
    slabs_lock(slabs);
    vs_status st = slabs_reserve(err, slabs, at);
    void *slab = st == VS_OK ? vsi_alloc_zeroed(slabs->mem, slab_bytes(slabs)) : NULL;
    if (st == VS_OK && !slab)
        st = vsi_fail_nomem(err, slab_bytes(slabs));
    if (st == VS_OK)
        vsi_atomic_ptr_store(&slabs->tables->slab[at], slab); /* keeps L1 */
    slabs_unlock(slabs);
    *out_slab = slab;
    return st;
}

VSI_FN vs_status vsi_slab_make_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                   uint8_t **out_row) {
    uint32_t at = slot >> slabs->shift;
    void *slab = slabs_get(slabs, at);
    vs_status st = slab ? VS_OK : slab_fault(err, slabs, at, &slab);
    if (st == VS_ERR_NOT_FOUND)
        st = slab_make(err, slabs, at, &slab);
    if (st != VS_OK)
        return st;
    slab_head *head = slab;
    if (!head->is_dirty && !vsi_buf_append(&slabs->dirty, &at, sizeof at))
        return vsi_fail_nomem(err, sizeof at);
    head->is_dirty = true;
    *out_row = slab_row_in(slabs, slab, slot);
    return VS_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

static vs_status slab_write(vsi_err *err, vsi_slabs *slabs, uint32_t at, vsi_buf *scratch,
                            vsi_btree *dir) {
    uint8_t key[4], encoded[VSI_REF_BYTES];
    vsi_node_item old, item = {.key = {key, sizeof key}, .refs = encoded, .ref_count = 1};
    vsi_ref ref;
    size_t rows_bytes = (size_t)slabs->row_bytes << slabs->shift;
    vsi_put_u32_be(key, at);
    vs_status st = vsi_btree_get(err, dir, item.key, &old);
    if (st == VS_OK && old.ref_count == 1)
        st = vsi_cow_drop_ref(err, dir->cow, vsi_ref_decode(old.refs));
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    vsi_copy_le(scratch->data, slab_rows(slabs_get(slabs, at)), rows_bytes / slabs->element_bytes,
                slabs->element_bytes);
    st = vsi_pager_write(err, dir->cow->pager, VSI_REF_SLAB, 0,
                         (vsi_bytes){scratch->data, slab_extent_bytes(slabs)}, &ref);
    if (st != VS_OK)
        return st;
    vsi_ref_encode(ref, encoded);
    return vsi_btree_put_item(err, dir, &item);
}

VSI_FN vs_status vsi_slabs_write(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir) {
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    size_t n = slabs->dirty.bytes / sizeof *dirty, bytes = slab_extent_bytes(slabs);
    vsi_buf scratch = {.mem = slabs->mem};
    if (n && !vsi_buf_reserve(&scratch, bytes))
        return vsi_fail_nomem(err, bytes);
    if (n)
        memset(scratch.data, 0, bytes);
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < n; i++)
        st = slab_write(err, slabs, dirty[i], &scratch, dir);
    vsi_buf_free(&scratch);
    return st;
}

VSI_FN void vsi_slabs_settle(vsi_slabs *slabs, const vsi_btree *dir) {
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    for (size_t i = 0; i < slabs->dirty.bytes / sizeof *dirty; i++)
        ((slab_head *)slabs_get(slabs, dirty[i]))->is_dirty = false;
    vsi_buf_free(&slabs->dirty);
    vsi_mutex_lock(&dir->cow->pager->slab_lock);
    slabs->dir = *dir;
    vsi_mutex_unlock(&dir->cow->pager->slab_lock);
}
