/* slab.c - rows by slot number.
 *
 *   L1  A slab's address in the table changes only from none to one, from one to none when the file has the
 *       same rows, and from one in the mapped file to the same in memory; whoever may still look at it
 *       holds it in place by staying.
 *   L2  The table grows by a copy twice as large, under the slab lock, as every change of it.
 *   L3  Whether a slab is dirty changes only under the slab lock, and only by the holder of the writer
 *       role; a dirty one is in the table.
 *   L4  A slab that the table has in the mapped file was verified when it was put there, lies where dir
 *       says or said until the checkpoint before, and is never dirty. What dir names is durable, and is
 *       not written to while a kept checkpoint has it. When its pages become free for whatever reason it
 *       leaves the table (vsi_slab_let_go), and they are free only when all have left who may have
 *       found it there before (G2). Places of `moved` are free at once when the slab is written again: so
 *       they are not looked at in the file but read. Thus nobody sees pages that hold something else. */
#include "store/slab.h"

enum { SLAB_TABLE_FIRST = 16 };

/* Beside the count of rows that nobody needs. */
#define SLAB_IS_DROPPED 0x80000000u
#define SLAB_GOES       0x40000000u /* with the checkpoint that is being made */

/* At the front of a slab's memory; the rows begin at the first aligned byte behind it. */
typedef struct slab_head {
    vsi_retired retired;
    vsi_atomic_u64 is_wanted; /* since the last sweep */
    const uint8_t *rows;
    bool is_dirty, is_mapped;
} slab_head;

/* A slab in the mapped file. */
typedef struct slab_mapped {
    slab_head head;
    vsi_sight sight;
    vsi_slabs *slabs; /* borrowed; and its number there */
    uint32_t at;
} slab_mapped;

/* Where a slab is in the file. */
typedef struct slab_spot {
    vsi_ref ref;
    bool is_settled; /* dir says so */
} slab_spot;

typedef struct slab_table {
    vsi_retired retired;
    size_t room;
    vsi_atomic_ptr slab[]; /* the memory of a slab; NULL: none */
} slab_table;

/* Small enough that little is written for one row, large enough that the last page, which is filled only
 * in part, wastes little. */
VSI_FN uint32_t vsi_slab_shift(uint32_t row_bytes, uint32_t trailer_bytes) {
    uint32_t shift = 0;
    for (;; shift++) {
        uint64_t bytes = (uint64_t)row_bytes << shift;
        uint64_t waste = vsi_pages_for(bytes, trailer_bytes) * VSI_PAGE_BYTES - bytes;
        if (bytes >= VSI_SLAB_BYTES_MIN && waste <= bytes / 16)
            return shift;
    }
}

VSI_FN vsi_bytes vsi_slab_key(uint8_t out[VSI_SLAB_KEY_BYTES], uint32_t array, uint32_t at) {
    out[0] = (uint8_t)(array >> 8);
    out[1] = (uint8_t)array;
    vsi_put_u32_be(out + 2, at);
    return (vsi_bytes){out, VSI_SLAB_KEY_BYTES};
}

VSI_FN void vsi_slabs_init(vsi_slabs *slabs, vsi_mem *mem, uint32_t array, uint32_t row_bytes,
                           uint32_t trailer_bytes) {
    memset(slabs, 0, sizeof *slabs);
    slabs->array = array;
    slabs->mem = mem;
    slabs->row_bytes = row_bytes;
    slabs->shift = vsi_slab_shift(row_bytes, trailer_bytes);
    slabs->trailer_bytes = trailer_bytes;
    slabs->element_bytes = 1;
    slabs->dirty.mem = mem;
    slabs->moved.mem = mem;
    slabs->unused.mem = mem;
}

static size_t table_bytes(size_t room) {
    return sizeof(slab_table) + room * sizeof(vsi_atomic_ptr);
}

static size_t slabs_rows_bytes(const vsi_slabs *slabs) {
    return (size_t)slabs->row_bytes << slabs->shift;
}

static size_t slab_extent_bytes(const vsi_slabs *slabs) {
    return (size_t)vsi_pages_for(slabs_rows_bytes(slabs), slabs->trailer_bytes) * VSI_PAGE_BYTES;
}

/* What a slab takes in memory: nothing for what its extent has behind the rows. Blocks lie next to each other, and a scan of
 * rows with gaps of a page between slabs was found to take up to 1.7 times as long (bench/RESULTS.md). */
static size_t slab_bytes(const vsi_slabs *slabs) {
    return slabs_rows_bytes(slabs) + sizeof(slab_head) + VSI_SLAB_ALIGN;
}

static vsi_pager *slabs_pager(const vsi_slabs *slabs);

/* Of one that is, or was to be, in the table. */
static void slab_free(const vsi_slabs *slabs, slab_head *slab) {
    if (slab && slab->is_mapped)
        vsi_free(slabs->mem, slab, sizeof(slab_mapped));
    else
        vsi_block_free(slabs->mem, slab, slab_bytes(slabs));
}

VSI_FN void vsi_slabs_free(vsi_slabs *slabs) {
    slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    for (size_t i = 0; table && i < table->room; i++) {
        slab_head *slab = vsi_atomic_ptr_load(&table->slab[i]);
        if (slab && slab->is_mapped)
            vsi_windows_leave(&slabs_pager(slabs)->windows, &((slab_mapped *)(void *)slab)->sight);
        slab_free(slabs, slab);
    }
    if (table)
        vsi_free(slabs->mem, table, table_bytes(table->room));
    vsi_atomic_ptr_store(&slabs->table, NULL);
    if (!slabs->mem)
        return;
    vsi_buf_free(&slabs->dirty);
    vsi_buf_free(&slabs->moved);
    vsi_buf_free(&slabs->unused);
}

static uint8_t *slab_aligned(uint8_t *first) {
    return first + (size_t)(0 - (uintptr_t)first) % VSI_SLAB_ALIGN;
}

static uint8_t *slab_rows(void *slab) {
    return slab_aligned((uint8_t *)slab + sizeof(slab_head));
}

/* Where the row of a slot is in its slab. */
static size_t slab_row_off(const vsi_slabs *slabs, uint32_t slot) {
    size_t row = slot & ((1u << slabs->shift) - 1);
    return row * slabs->row_bytes;
}

static void *slabs_get(const vsi_slabs *slabs, uint32_t at) {
    const slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    slab_head *slab = table && at < table->room ? vsi_atomic_ptr_load(&table->slab[at]) : NULL;
    if (slab && !vsi_atomic_load(&slab->is_wanted))
        vsi_atomic_set(&slab->is_wanted, 1);
    return slab;
}

/* NULL: everything is in memory. */
static vsi_pager *slabs_pager(const vsi_slabs *slabs) {
    return slabs->dir.cow ? slabs->dir.cow->pager : NULL;
}

static void slabs_lock(const vsi_slabs *slabs) {
    if (slabs_pager(slabs))
        vsi_mutex_lock(&slabs_pager(slabs)->slab_lock);
}

static void slabs_unlock(const vsi_slabs *slabs) {
    if (slabs_pager(slabs))
        vsi_mutex_unlock(&slabs_pager(slabs)->slab_lock);
}

/* ---- places --------------------------------------------------------------------------------- */

/* The first of the places written since the last checkpoint whose number is not below at. */
static size_t slabs_moved_at(const vsi_slabs *slabs, uint32_t at) {
    const vsi_slab_place *places = (const vsi_slab_place *)(const void *)slabs->moved.data;
    size_t low = 0, high = slabs->moved.bytes / sizeof *places;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (places[mid].at < at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static vsi_slab_place *slabs_moved(const vsi_slabs *slabs, uint32_t at) {
    vsi_slab_place *places = (vsi_slab_place *)(void *)slabs->moved.data;
    size_t i = slabs_moved_at(slabs, at), n = slabs->moved.bytes / sizeof *places;
    return i < n && places[i].at == at ? places + i : NULL;
}

/* Where a slab is in the file; VS_ERR_NOT_FOUND without a message. The slab lock is held. */
static vs_status slab_locate(vsi_err *err, const vsi_slabs *slabs, uint32_t at,
                             slab_spot *out_spot) {
    uint8_t key[VSI_SLAB_KEY_BYTES];
    vsi_node_item item;
    const vsi_slab_place *moved = slabs_moved(slabs, at);
    if (moved)
        *out_spot = (slab_spot){.ref = moved->ref};
    if (moved || !slabs_pager(slabs))
        return moved ? VS_OK : VS_ERR_NOT_FOUND;
    vs_status st = vsi_btree_get(err, &slabs->dir, vsi_slab_key(key, slabs->array, at), &item);
    if (st == VS_OK && item.ref_count != 1)
        return vsi_fail(err, VS_ERR_CORRUPT, "the entry of slab %lu is malformed",
                        (unsigned long)at);
    if (st == VS_OK)
        *out_spot = (slab_spot){.ref = vsi_ref_decode(item.refs), .is_settled = true};
    return st;
}

/* ---- reading in ----------------------------------------------------------------------------- */

/* Reads the extent of a slab by way of memory of its own, of which its rows stay. */
static vs_status slab_read_extent(vsi_err *err, const vsi_slabs *slabs, vsi_ref ref, uint8_t *out) {
    const size_t bytes = slab_extent_bytes(slabs);
    uint8_t *extent = vsi_alloc(slabs->mem, bytes);
    if (!extent)
        return vsi_fail_nomem(err, bytes);
    vs_status st = vsi_pager_read_to(err, slabs_pager(slabs), ref, VSI_REF_SLAB, extent, bytes);
    if (st == VS_OK)
        memcpy(out, extent, slabs_rows_bytes(slabs));
    vsi_free(slabs->mem, extent, bytes);
    return st;
}

/* Reads a slab's rows to out, in the machine's order. */
static vs_status slab_read(vsi_err *err, const vsi_slabs *slabs, vsi_ref ref, uint8_t *out) {
    const bool is_full = slabs_rows_bytes(slabs) == slab_extent_bytes(slabs);
    vs_status st = is_full ? vsi_pager_read_to(err, slabs_pager(slabs), ref, VSI_REF_SLAB, out,
                                               slab_extent_bytes(slabs))
                           : slab_read_extent(err, slabs, ref, out);
    if (st == VS_OK)
        vsi_swap_le(out, slabs_rows_bytes(slabs) / slabs->element_bytes, slabs->element_bytes);
    return st;
}

/* A table with room for slab number at; the slab lock is held. */
static vs_status slabs_reserve(vsi_err *err, vsi_slabs *slabs, uint32_t at) {
    slab_table *old = vsi_atomic_ptr_load(&slabs->table);
    size_t room = old ? old->room : SLAB_TABLE_FIRST;
    if (old && at < room)
        return VS_OK;
    while (at >= room)
        room *= 2;
    slab_table *table = vsi_alloc_zeroed(slabs->mem, table_bytes(room));
    if (!table)
        return vsi_fail_nomem(err, table_bytes(room));
    for (size_t i = 0; old && i < old->room; i++)
        vsi_atomic_ptr_store(&table->slab[i], vsi_atomic_ptr_load(&old->slab[i]));
    table->room = room;
    vsi_atomic_ptr_store(&slabs->table, table);
    if (old && slabs_pager(slabs))
        vsi_retire(&slabs_pager(slabs)->reside, &old->retired, table_bytes(old->room));
    else if (old)
        vsi_free(slabs->mem, old, table_bytes(old->room));
    return VS_OK;
}

/* Takes the slab at a place of the table out; the slab lock is held. */
static void slab_take_out(const vsi_slabs *slabs, vsi_pager *pager, vsi_atomic_ptr *place,
                          void *instead) {
    slab_head *slab = vsi_atomic_ptr_load(place);
    vsi_atomic_ptr_store(place, instead); /* keeps L1 */
    if (slab->is_mapped) {
        vsi_windows_leave(&pager->windows, &((slab_mapped *)(void *)slab)->sight);
        vsi_retire(&pager->reside, &slab->retired, sizeof(slab_mapped));
    } else {
        vsi_retire_block(&pager->reside, &slab->retired, slab_bytes(slabs));
    }
}

/* Puts a slab into the table, where there is none or one in the mapped file; the slab lock is held. */
static vs_status slabs_put(vsi_err *err, vsi_slabs *slabs, uint32_t at, slab_head *slab) {
    vs_status st = slabs_reserve(err, slabs, at);
    if (st != VS_OK)
        return st;
    slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    vsi_atomic_ptr *place = &table->slab[at];
    if (slab->is_mapped)
        vsi_windows_use(&slabs_pager(slabs)->windows, &((slab_mapped *)(void *)slab)->sight);
    if (vsi_atomic_ptr_load(place))
        slab_take_out(slabs, slabs_pager(slabs), place, slab);
    else
        vsi_atomic_ptr_store(place, slab); /* keeps L1 */
    return VS_OK;
}

static vs_status slab_new(vsi_err *err, vsi_slabs *slabs, void **out_slab) {
    slab_head *slab = vsi_block_alloc(slabs->mem, slab_bytes(slabs), slabs->array);
    if (!slab)
        return vsi_fail_nomem(err, slab_bytes(slabs));
    memset(slab, 0, slab_bytes(slabs));
    vsi_atomic_set(&slab->is_wanted, 1);
    slab->rows = slab_rows(slab);
    *out_slab = slab;
    return VS_OK;
}

/* Whether a slab can be looked at in the file itself: its numbers are this machine's, and it stays where it
 * is until the next checkpoint but one (L4). */
static bool slab_may_map(const vsi_slabs *slabs, slab_spot spot) {
    return spot.is_settled && slabs_pager(slabs)->windows.is_on &&
           (slabs->element_bytes == 1 || vsi_host_is_little_endian());
}

/* A slab in the mapped file, verified; NULL: it must be read. */
static vs_status slab_see(vsi_err *err, vsi_slabs *slabs, uint32_t at, slab_spot spot,
                          slab_head **out_slab) {
    vsi_sight sight = {.offset = 0};
    const uint8_t *rows = NULL;
    if (!slab_may_map(slabs, spot))
        return VS_OK;
    vs_status st = vsi_pager_see(err, slabs_pager(slabs), spot.ref, VSI_REF_SLAB,
                                 slab_extent_bytes(slabs), &sight, &rows);
    if (st != VS_OK || !rows)
        return st;
    slab_mapped *slab = vsi_alloc_zeroed(slabs->mem, sizeof *slab);
    if (!slab)
        return vsi_fail_nomem(err, sizeof *slab);
    slab->head.rows = rows;
    slab->head.is_mapped = true;
    slab->sight = sight;
    slab->sight.user = slab;
    slab->slabs = slabs;
    slab->at = at;
    vsi_atomic_set(&slab->head.is_wanted, 1);
    *out_slab = &slab->head;
    return VS_OK;
}

/* A slab in memory, read and verified. */
static vs_status slab_read_in(vsi_err *err, vsi_slabs *slabs, slab_spot spot,
                              slab_head **out_slab) {
    void *read = NULL;
    vs_status st = slab_new(err, slabs, &read);
    if (st == VS_OK)
        st = slab_read(err, slabs, spot.ref, slab_rows(read));
    if (st == VS_OK)
        *out_slab = read;
    else
        slab_free(slabs, read);
    return st;
}

/* The slab in the table; one in the mapped file does not count for who wants to change it. */
static slab_head *slabs_get_for(const vsi_slabs *slabs, uint32_t at, bool to_change) {
    slab_head *slab = slabs_get(slabs, at);
    return slab && to_change && slab->is_mapped ? NULL : slab;
}

/* Puts a slab that was found at a spot into the table, unless another thread was faster or the slab has moved
 * meanwhile. *out_slab is the one in the table, NULL: none. */
static vs_status slab_install(vsi_err *err, vsi_slabs *slabs, uint32_t at, slab_spot spot,
                              slab_head *read, bool to_change, void **out_slab) {
    slab_spot now = {.is_settled = false};
    slabs_lock(slabs);
    *out_slab = slabs_get_for(slabs, at, to_change);
    vs_status st = *out_slab ? VS_OK : slab_locate(err, slabs, at, &now);
    bool is_current = st == VS_OK && !*out_slab && now.ref.at == spot.ref.at &&
                      now.ref.hash == spot.ref.hash && now.is_settled == spot.is_settled;
    if (is_current)
        st = slabs_put(err, slabs, at, read);
    bool is_put = is_current && st == VS_OK;
    if (is_put)
        *out_slab = read;
    slabs_unlock(slabs);
    if (!is_put)
        slab_free(slabs, read);
    return st;
}

/* The slab in the table or else its place in the file; VS_ERR_NOT_FOUND, without a message, for neither. */
static vs_status slab_look(vsi_err *err, vsi_slabs *slabs, uint32_t at, bool to_change,
                           void **out_slab, slab_spot *out_spot) {
    slabs_lock(slabs);
    *out_slab = slabs_get_for(slabs, at, to_change);
    vs_status st = *out_slab ? VS_OK : slab_locate(err, slabs, at, out_spot);
    slabs_unlock(slabs);
    return st;
}

/* Whether a slab is no longer where it was looked for: then what was read there, and found damaged, may
 * have been something else's. */
static bool slab_has_moved(vsi_slabs *slabs, uint32_t at, bool to_change, slab_spot from) {
    vsi_err ignored = {0};
    slab_spot now = {.is_settled = false};
    void *slab = NULL;
    vs_status st = slab_look(&ignored, slabs, at, to_change, &slab, &now);
    return st == VS_OK && (slab || now.ref.at != from.ref.at || now.ref.hash != from.ref.hash);
}

/* One attempt of slab_fault; neither a slab nor a failure: try again. */
static vs_status slab_fetch(vsi_err *err, vsi_slabs *slabs, uint32_t at, bool to_change,
                            void **out_slab) {
    slab_spot spot = {.is_settled = false};
    slab_head *read = NULL;
    vs_status st = slab_look(err, slabs, at, to_change, out_slab, &spot);
    if (st != VS_OK || *out_slab)
        return st;
    if (!to_change)
        st = slab_see(err, slabs, at, spot, &read);
    if (st == VS_OK && !read)
        st = slab_read_in(err, slabs, spot, &read);
    if (st == VS_OK)
        return slab_install(err, slabs, at, spot, read, to_change, out_slab);
    return st == VS_ERR_CORRUPT && slab_has_moved(slabs, at, to_change, spot) ? VS_OK : st;
}

/* Brings a slab into the table from the file, to_change: into memory, also when the table has it in the
 * mapped file; it is read again, since the file may have been damaged under the mapping.
 * VS_ERR_NOT_FOUND without a message when it is not there. */
static vs_status slab_fault(vsi_err *err, vsi_slabs *slabs, uint32_t at, bool to_change,
                            void **out_slab) {
    vs_status st = VS_OK;
    *out_slab = NULL;
    while (st == VS_OK && !*out_slab)
        st = slab_fetch(err, slabs, at, to_change, out_slab);
    return st;
}

static vs_status slab_no_row(vsi_err *err, uint32_t slot) {
    return vsi_fail(err, VS_ERR_CORRUPT, "slot %lu has no row", (unsigned long)slot);
}

VSI_FN vs_status vsi_slab_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                              const uint8_t **out_row) {
    uint32_t at = slot >> slabs->shift;
    void *slab = slabs_get(slabs, at);
    vs_status st = slab ? VS_OK : slab_fault(err, slabs, at, false, &slab);
    if (st == VS_ERR_NOT_FOUND)
        return slab_no_row(err, slot);
    if (st == VS_OK)
        *out_row = ((slab_head *)slab)->rows + slab_row_off(slabs, slot);
    return st;
}

/* Reads a slab into aside's buffer. */
static vs_status slab_read_aside(vsi_err *err, const vsi_slabs *slabs, slab_spot spot,
                                 vsi_slab_aside *aside) {
    size_t bytes = slabs_rows_bytes(slabs) + VSI_SLAB_ALIGN;
    aside->buf.bytes = 0;
    if (!vsi_buf_reserve(&aside->buf, bytes))
        return vsi_fail_nomem(err, bytes);
    uint8_t *rows = slab_aligned(aside->buf.data);
    vs_status st = slab_read(err, slabs, spot.ref, rows);
    if (st == VS_OK)
        aside->rows = rows;
    return st;
}

/* Verifies the slab at a spot, and holds it aside: in the mapped file, or read. */
static vs_status slab_hold_aside(vsi_err *err, const vsi_slabs *slabs, uint32_t at, slab_spot spot,
                                 vsi_slab_aside *aside) {
    vsi_sight ignored;
    vs_status st = VS_OK;
    aside->slabs = NULL;
    aside->rows = NULL;
    if (slab_may_map(slabs, spot))
        st = vsi_pager_see(err, slabs_pager(slabs), spot.ref, VSI_REF_SLAB,
                           slab_extent_bytes(slabs), &ignored, &aside->rows);
    aside->is_mapped = aside->rows;
    if (st == VS_OK && !aside->rows)
        st = slab_read_aside(err, slabs, spot, aside);
    if (st != VS_OK)
        return st;
    aside->slabs = slabs;
    aside->at = at;
    return VS_OK;
}

VSI_FN void vsi_slab_aside_renew(vsi_slab_aside *aside) {
    if (aside->is_mapped)
        aside->slabs = NULL;
}

/* What an entry of the table takes, for a slab at a spot. */
static size_t slab_cost(const vsi_slabs *slabs, slab_spot spot) {
    return slab_may_map(slabs, spot) ? sizeof(slab_mapped) : slab_bytes(slabs);
}

VSI_FN vs_status vsi_slab_row_aside(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                    vsi_slab_aside *aside, const uint8_t **out_row) {
    uint32_t at = slot >> slabs->shift;
    bool has_it = aside->slabs == slabs && aside->at == at;
    void *slab = has_it ? NULL : slabs_get(slabs, at);
    slab_spot spot = {.is_settled = false};
    while (!has_it && !slab) {
        if (!slabs_pager(slabs) ||
            !vsi_reside_excess(&slabs_pager(slabs)->reside, slab_bytes(slabs)))
            return vsi_slab_row(err, slabs, slot, out_row);
        vs_status st = slab_look(err, slabs, at, false, &slab, &spot);
        if (st == VS_OK && !slab) {
            if (!vsi_reside_excess(&slabs_pager(slabs)->reside, slab_cost(slabs, spot)))
                return vsi_slab_row(err, slabs, slot, out_row);
            st = slab_hold_aside(err, slabs, at, spot, aside);
            has_it = st == VS_OK;
        }
        if (st != VS_OK && !(st == VS_ERR_CORRUPT && slab_has_moved(slabs, at, false, spot)))
            return st == VS_ERR_NOT_FOUND ? slab_no_row(err, slot) : st;
    }
    *out_row = (slab ? ((slab_head *)slab)->rows : aside->rows) + slab_row_off(slabs, slot);
    return VS_OK;
}

VSI_FN const uint8_t *vsi_slab_peek(const vsi_slabs *slabs, uint32_t slot) {
    const slab_head *slab = slabs_get(slabs, slot >> slabs->shift);
    return slab ? slab->rows + slab_row_off(slabs, slot) : NULL;
}

VSI_FN uint32_t vsi_slab_run(const vsi_slabs *slabs, uint32_t slot) {
    uint32_t rows = 1u << slabs->shift;
    return rows - (slot & (rows - 1));
}

/* ---- changing ------------------------------------------------------------------------------- */

/* An empty slab, not in the file, or one that is made anew. */
static vs_status slab_make(vsi_err *err, vsi_slabs *slabs, uint32_t at) {
    void *slab = NULL;
    vs_status st = slab_new(err, slabs, &slab);
    if (st == VS_OK && slabs->fill)
        st = slabs->fill(err, slabs->fill_ctx, at, slab_rows(slab)); /* before it can be seen */
    slabs_lock(slabs);
    if (st == VS_OK)
        st = slabs_put(err, slabs, at, slab);
    slabs_unlock(slabs);
    if (st != VS_OK)
        slab_free(slabs, slab);
    return st;
}

static size_t slabs_dirty_count(const vsi_slabs *slabs) {
    return slabs->dirty.bytes / sizeof(uint32_t);
}

static void slabs_add_dirty(vsi_slabs *slabs, uint32_t at) {
    uint64_t writer = slabs_pager(slabs) ? slabs_pager(slabs)->writer : 0;
    if (slabs->writer != writer) {
        slabs->writer = writer;
        slabs->kept_dirty = slabs_dirty_count(slabs);
    }
    vsi_buf_append(&slabs->dirty, &at, sizeof at);
}

/* Rows of other transactions in these slabs are as the file has them, if it has any; those that this one
 * wrote are of slots that are not live. */
VSI_FN void vsi_slabs_undo(vsi_slabs *slabs, vsi_pager *pager) {
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    if (slabs->writer != pager->writer)
        return;
    vsi_mutex_lock(&pager->slab_lock);
    for (size_t i = slabs->kept_dirty; i < slabs_dirty_count(slabs); i++)
        ((slab_head *)slabs_get(slabs, dirty[i]))->is_dirty = false; /* L3 */
    vsi_mutex_unlock(&pager->slab_lock);
    slabs->dirty.bytes = slabs->kept_dirty * sizeof *dirty;
}

/* Marks a slab as changed; false: it is not in memory. There is room in the list. */
static bool slab_mark(vsi_slabs *slabs, uint32_t at, slab_head **out_slab) {
    slabs_lock(slabs);
    slab_head *slab = slabs_get_for(slabs, at, true);
    bool was_dirty = slab && slab->is_dirty;
    if (slab)
        slab->is_dirty = true; /* L3 */
    slabs_unlock(slabs);
    if (slab && !was_dirty)
        slabs_add_dirty(slabs, at);
    *out_slab = slab;
    return slab;
}

VSI_FN vs_status vsi_slab_make_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                   uint8_t **out_row) {
    uint32_t at = slot >> slabs->shift;
    slab_head *slab = slabs_get(slabs, at);
    if (!(slab && slab->is_dirty)) {
        if (!vsi_buf_reserve(&slabs->dirty, sizeof at))
            return vsi_fail_nomem(err, sizeof at);
        while (!slab_mark(slabs, at, &slab)) {
            void *read = NULL;
            vs_status st = slab_fault(err, slabs, at, true, &read);
            if (st == VS_ERR_NOT_FOUND || (st == VS_ERR_CORRUPT && slabs->fill))
                st = slab_make(err, slabs, at);
            if (st != VS_OK)
                return st;
        }
    }
    *out_row = slab_rows(slab) + slab_row_off(slabs, slot);
    return VS_OK;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* Slabs that are being written. */
typedef struct slab_batch {
    vsi_pager *pager;
    vsi_buf places;   /* vsi_slab_place, in the order of the list of dirty slabs */
    vsi_buf replaced; /* vsi_run: the places before, that nobody else knows */
    vsi_buf scratch;
} slab_batch;

static vs_status batch_write(vsi_err *err, vsi_slabs *slabs, slab_batch *batch, uint32_t at) {
    vsi_slab_place place = {.at = at};
    size_t bytes = slab_extent_bytes(slabs), rows_bytes = slabs_rows_bytes(slabs);
    batch->scratch.bytes = 0;
    if (!vsi_buf_reserve(&batch->scratch, bytes) || !vsi_buf_reserve(&batch->places, sizeof place))
        return vsi_fail_nomem(err, bytes);
    uint8_t *out = batch->scratch.data;
    memset(out + rows_bytes, 0, bytes - rows_bytes);
    vsi_copy_le(out, slab_rows(slabs_get(slabs, at)), rows_bytes / slabs->element_bytes,
                slabs->element_bytes);
    vs_status st =
        vsi_pager_write(err, batch->pager, VSI_REF_SLAB, 0, (vsi_bytes){out, bytes}, &place.ref);
    if (st == VS_OK)
        vsi_buf_append(&batch->places, &place, sizeof place);
    return st;
}

/* Shell sort, by number: as a rule they are in order. */
static void places_sort(vsi_slab_place *places, size_t n) {
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            vsi_slab_place place = places[i];
            size_t to = i;
            for (; to >= gap && places[to - gap].at > place.at; to -= gap)
                places[to] = places[to - gap];
            places[to] = place;
        }
}

/* Merges the batch, sorted, into the places known; from the back, so that no scratch is needed. There is
 * room for all. The slab lock is held. */
static void slabs_merge(vsi_slabs *slabs, slab_batch *batch) {
    const vsi_slab_place *new = (const vsi_slab_place *)(const void *)batch->places.data;
    size_t news = batch->places.bytes / sizeof *new, olds = slabs->moved.bytes / sizeof *new,
           added = 0;
    for (size_t i = 0; i < news; i++) {
        vsi_slab_place *old = slabs_moved(slabs, new[i].at);
        if (old && !old->is_dead) {
            vsi_run run = {vsi_ref_page(old->ref), vsi_ref_pages(old->ref)};
            vsi_buf_append(&batch->replaced, &run, sizeof run);
        }
        if (old)
            *old = new[i];
        added += !old;
    }
    vsi_slab_place *places = (vsi_slab_place *)(void *)slabs->moved.data;
    size_t to = olds + added;
    slabs->moved.bytes = to * sizeof *places;
    for (size_t i = news; i > 0 && to > olds; i--) {
        while (olds > 0 && places[olds - 1].at > new[i - 1].at)
            places[--to] = places[--olds];
        if (!(olds > 0 && places[olds - 1].at == new[i - 1].at))
            places[--to] = new[i - 1];
    }
}

/* What was written counts: places are known, slabs are clean. Pages of places written before, since the last
 * checkpoint, are free at once: a reader who looks for the slab there finds that it has moved. */
static void slabs_adopt(vsi_slabs *slabs, slab_batch *batch) {
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    size_t n = batch->places.bytes / sizeof(vsi_slab_place),
           left = slabs->dirty.bytes - n * sizeof *dirty;
    vsi_mutex_lock(&batch->pager->slab_lock);
    for (size_t i = 0; i < n; i++)
        ((slab_head *)slabs_get(slabs, dirty[i]))->is_dirty = false; /* L3 */
    places_sort((vsi_slab_place *)(void *)batch->places.data, n);
    slabs_merge(slabs, batch);
    vsi_mutex_unlock(&batch->pager->slab_lock);
    if (left)
        memmove(slabs->dirty.data, slabs->dirty.data + n * sizeof *dirty, left);
    slabs->dirty.bytes = left;
    slabs->kept_dirty -= n < slabs->kept_dirty ? n : slabs->kept_dirty;
    const vsi_run *runs = (const vsi_run *)(const void *)batch->replaced.data;
    for (size_t i = 0; i < batch->replaced.bytes / sizeof *runs; i++)
        vsi_space_give(&batch->pager->space, runs[i]);
}

/* Room for n more places, and for what they replace. Readers look at the places meanwhile. */
static vs_status slabs_make_room(vsi_err *err, vsi_slabs *slabs, slab_batch *batch, size_t n) {
    vsi_mutex_lock(&batch->pager->slab_lock);
    bool ok = vsi_buf_reserve(&slabs->moved, n * sizeof(vsi_slab_place));
    vsi_mutex_unlock(&batch->pager->slab_lock);
    if (!ok || !vsi_buf_reserve(&batch->replaced, n * sizeof(vsi_run)))
        return vsi_fail_nomem(err, n * sizeof(vsi_slab_place));
    return vsi_space_expect(err, &batch->pager->space, n);
}

VSI_FN vs_status vsi_slabs_write_back(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager,
                                      uint64_t max_bytes) {
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    size_t n = slabs->dirty.bytes / sizeof *dirty, taken = pager->taken.bytes;
    uint64_t wanted = max_bytes / slab_extent_bytes(slabs) + 1;
    slab_batch batch = {.pager = pager,
                        .places = {.mem = slabs->mem},
                        .replaced = {.mem = slabs->mem},
                        .scratch = {.mem = slabs->mem}};
    n = n < wanted ? n : (size_t)wanted;
    vs_status st = vsi_pager_flush(err, pager);
    if (st == VS_OK)
        st = slabs_make_room(err, slabs, &batch, n);
    for (size_t i = 0; st == VS_OK && i < n; i++)
        st = batch_write(err, slabs, &batch, dirty[i]);
    if (st == VS_OK)
        st = vsi_pager_flush(err, pager);
    if (st == VS_OK) {
        slabs_adopt(slabs, &batch);
        pager->taken.bytes = taken; /* they stay, whatever becomes of the transaction */
    } else {
        vsi_pager_undo_to(pager, taken);
    }
    vsi_buf_free(&batch.places);
    vsi_buf_free(&batch.replaced);
    vsi_buf_free(&batch.scratch);
    return st;
}

VSI_FN vs_status vsi_slabs_distrust(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager) {
    vs_status st = VS_OK;
    while (st == VS_OK && slabs->moved.bytes) {
        const vsi_slab_place *last =
            (const vsi_slab_place *)(const void *)(slabs->moved.data + slabs->moved.bytes) - 1;
        uint8_t *row = NULL;
        vsi_run run = {vsi_ref_page(last->ref), vsi_ref_pages(last->ref)};
        if (!vsi_buf_reserve(&pager->dropped, sizeof run))
            return vsi_fail_nomem(err, sizeof run);
        st = vsi_slab_make_row(err, slabs, last->at << slabs->shift, &row);
        if (st != VS_OK)
            break;
        if (!last->is_dead)
            vsi_buf_append(&pager->dropped, &run, sizeof run);
        vsi_mutex_lock(&pager->slab_lock);
        slabs->moved.bytes -= sizeof *last;
        vsi_mutex_unlock(&pager->slab_lock);
    }
    return st;
}

VSI_FN uint64_t vsi_slabs_dirty_bytes(const vsi_slabs *slabs) {
    return slabs_dirty_count(slabs) * (uint64_t)slab_extent_bytes(slabs);
}

/* Leaves of dir hold at least some 40 entries but for a few; each entry changes one leaf. */
VSI_FN void vsi_slabs_need(const vsi_slabs *slabs, vsi_page_count *need) {
    uint64_t dirty = slabs_dirty_count(slabs);
    uint64_t places = dirty + slabs->moved.bytes / sizeof(vsi_slab_place);
    uint64_t nodes = (slabs->dir.count + places) / 40 + 8;
    if (places)
        vsi_page_count_add(need, 1, places + 3 < nodes ? places + 3 : nodes);
    vsi_page_count_add(need, slab_extent_bytes(slabs) / VSI_PAGE_BYTES, dirty);
}

static vs_status slab_link(vsi_err *err, vsi_btree *dir, uint32_t array,
                           const vsi_slab_place *place) {
    uint8_t key[VSI_SLAB_KEY_BYTES], encoded[VSI_REF_BYTES];
    vsi_node_item old,
        item = {.key = vsi_slab_key(key, array, place->at), .refs = encoded, .ref_count = 1};
    vsi_ref_encode(place->ref, encoded);
    vs_status st = vsi_btree_get(err, dir, item.key, &old);
    if (st == VS_OK && old.ref_count == 1)
        st = vsi_cow_drop_ref(err, dir->cow, vsi_ref_decode(old.refs));
    return st == VS_OK || st == VS_ERR_NOT_FOUND ? vsi_btree_put_item(err, dir, &item) : st;
}

VSI_FN vs_status vsi_slabs_link(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir) {
    const vsi_slab_place *places = (const vsi_slab_place *)(const void *)slabs->moved.data;
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < slabs->moved.bytes / sizeof *places; i++)
        st = slab_link(err, dir, slabs->array, &places[i]);
    return st;
}

/* ---- slabs without use ---------------------------------------------------------------------- */

static uint32_t *slabs_unused(const vsi_slabs *slabs) {
    return (uint32_t *)(void *)slabs->unused.data;
}

/* Room to count in slab number at. */
static bool slabs_unused_reserve(vsi_slabs *slabs, uint32_t at) {
    size_t bytes = ((size_t)at + 1) * sizeof(uint32_t), known = slabs->unused.bytes;
    if (bytes <= known)
        return true;
    if (!vsi_buf_reserve(&slabs->unused, bytes - known))
        return false;
    memset(slabs->unused.data + known, 0, bytes - known);
    slabs->unused.bytes = bytes;
    return true;
}

VSI_FN void vsi_slabs_count_unused(vsi_slabs *slabs, uint32_t slot, bool is_unused) {
    uint32_t at = slot >> slabs->shift;
    if (is_unused ? !slabs_unused_reserve(slabs, at) : at >= slabs->unused.bytes / sizeof at)
        return;
    uint32_t *count = slabs_unused(slabs) + at;
    *count &= ~(SLAB_IS_DROPPED | SLAB_GOES);
    if (is_unused)
        ++*count;
    else if (*count)
        --*count;
}

/* Out of memory with it, and the place it was written to since the last checkpoint is free again. */
static vs_status slab_forget(vsi_err *err, vsi_slabs *slabs, uint32_t at, vsi_pager *pager) {
    if (!vsi_buf_reserve(&pager->dropped, sizeof(vsi_run)))
        return vsi_fail_nomem(err, sizeof(vsi_run));
    vsi_mutex_lock(&pager->slab_lock);
    slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    slab_head *slab = table && at < table->room ? vsi_atomic_ptr_load(&table->slab[at]) : NULL;
    vsi_slab_place *place = slabs_moved(slabs, at);
    if (slab && !slab->is_dirty)
        slab_take_out(slabs, pager, &table->slab[at], NULL);
    if (place) {
        vsi_run run = {vsi_ref_page(place->ref), vsi_ref_pages(place->ref)};
        vsi_slab_place *end = (vsi_slab_place *)(void *)(slabs->moved.data + slabs->moved.bytes);
        vsi_buf_append(&pager->dropped, &run, sizeof run);
        memmove(place, place + 1, (size_t)((uint8_t *)end - (uint8_t *)(place + 1)));
        slabs->moved.bytes -= sizeof *place;
    }
    vsi_mutex_unlock(&pager->slab_lock);
    return VS_OK;
}

static vs_status slab_drop(vsi_err *err, vsi_slabs *slabs, uint32_t at, vsi_btree *dir) {
    uint8_t bytes[VSI_SLAB_KEY_BYTES];
    vsi_node_item item;
    vsi_bytes key = vsi_slab_key(bytes, slabs->array, at);
    vs_status st = slab_forget(err, slabs, at, dir->cow->pager);
    if (st == VS_OK)
        st = vsi_btree_get(err, dir, key, &item);
    if (st == VS_OK && item.ref_count == 1)
        st = vsi_cow_drop_ref(err, dir->cow, vsi_ref_decode(item.refs));
    if (st == VS_OK)
        st = vsi_btree_delete(err, dir, key);
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

VSI_FN bool vsi_slabs_have_unused(const vsi_slabs *slabs) {
    for (size_t i = 0; i < slabs->unused.bytes / sizeof(uint32_t); i++)
        if ((slabs_unused(slabs)[i] & ~SLAB_GOES) == 1u << slabs->shift)
            return true;
    return false;
}

VSI_FN vs_status vsi_slabs_drop_unused(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir,
                                       uint32_t slot_end) {
    uint32_t rows = 1u << slabs->shift, end = slot_end ? (slot_end - 1) >> slabs->shift : 0;
    size_t known = slabs->unused.bytes / sizeof(uint32_t);
    vs_status st = VS_OK;
    for (size_t at = 0; at < known; at++)
        slabs_unused(slabs)[at] &= ~SLAB_GOES; /* a checkpoint that failed may have left it */
    for (uint32_t at = 0; st == VS_OK && at < end && at < known; at++)
        if (slabs_unused(slabs)[at] == rows) {
            st = slab_drop(err, slabs, at, dir);
            slabs_unused(slabs)[at] |= SLAB_GOES;
        }
    return st;
}

/* The slab lock is held; none is dirty. */
static void slabs_leave_memory(vsi_slabs *slabs, vsi_pager *pager) {
    slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    for (size_t i = 0; table && i < table->room; i++)
        if (vsi_atomic_ptr_load(&table->slab[i]))
            slab_take_out(slabs, pager, &table->slab[i], NULL);
    vsi_atomic_ptr_store(&slabs->table, NULL);
    if (table)
        vsi_retire(&pager->reside, &table->retired, table_bytes(table->room));
}

VSI_FN vs_status vsi_slabs_bury(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager) {
    size_t n = slabs->moved.bytes / sizeof(vsi_slab_place);
    if (!vsi_buf_reserve(&pager->dropped, n * sizeof(vsi_run)))
        return vsi_fail_nomem(err, n * sizeof(vsi_run));
    vsi_slab_place *places = (vsi_slab_place *)(void *)slabs->moved.data;
    for (size_t i = 0; i < n; i++) {
        vsi_run run = {vsi_ref_page(places[i].ref), vsi_ref_pages(places[i].ref)};
        if (!places[i].is_dead)
            vsi_buf_append(&pager->dropped, &run, sizeof run);
        places[i].is_dead = true; /* readers do not look at that */
    }
    return VS_OK;
}

VSI_FN vs_status vsi_slabs_forget(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager) {
    vs_status st = vsi_slabs_bury(err, slabs, pager);
    if (st != VS_OK)
        return st;
    const uint32_t *dirty = (const uint32_t *)(const void *)slabs->dirty.data;
    vsi_mutex_lock(&pager->slab_lock);
    for (size_t i = 0; i < slabs->dirty.bytes / sizeof *dirty; i++)
        ((slab_head *)slabs_get(slabs, dirty[i]))->is_dirty = false;
    slabs_leave_memory(slabs, pager);
    vsi_buf_free(&slabs->moved);
    vsi_mutex_unlock(&pager->slab_lock);
    vsi_buf_free(&slabs->dirty);
    vsi_buf_free(&slabs->unused);
    slabs->kept_dirty = 0;
    return VS_OK;
}

VSI_FN void vsi_slabs_settle(vsi_slabs *slabs, const vsi_btree *dir) {
    vsi_assert(slabs->dir.cow == dir->cow); /* which is read without the lock */
    for (size_t i = 0; i < slabs->unused.bytes / sizeof(uint32_t); i++)
        if (slabs_unused(slabs)[i] & SLAB_GOES)
            slabs_unused(slabs)[i] ^= SLAB_GOES | SLAB_IS_DROPPED;
    vsi_mutex_lock(&dir->cow->pager->slab_lock);
    slabs->dir.root = dir->root;
    slabs->dir.count = dir->count;
    vsi_buf_free(&slabs->moved);
    vsi_mutex_unlock(&dir->cow->pager->slab_lock);
}

/* ---- leaving memory ------------------------------------------------------------------------- */

static void slab_evict(const vsi_slabs *slabs, vsi_pager *pager, vsi_atomic_ptr *place) {
    slab_head *slab = vsi_atomic_ptr_load(place);
    if (!slab || slab->is_dirty)
        return;
    if (vsi_atomic_load(&slab->is_wanted)) {
        vsi_atomic_set(&slab->is_wanted, 0);
        return;
    }
    slab_take_out(slabs, pager, place, NULL);
}

VSI_FN size_t vsi_slabs_evict(vsi_slabs *slabs, size_t count) {
    vsi_pager *pager = slabs_pager(slabs);
    if (!pager)
        return 0;
    vsi_mutex_lock(&pager->slab_lock);
    slab_table *table = vsi_atomic_ptr_load(&slabs->table);
    size_t room = table ? table->room : 0;
    for (size_t i = 0; i < count && i < room; i++)
        slab_evict(slabs, pager, &table->slab[slabs->hand++ % room]);
    vsi_mutex_unlock(&pager->slab_lock);
    return room;
}

VSI_FN void vsi_slab_let_go(vsi_pager *pager, vsi_run run) {
    if (!pager->windows.is_on)
        return;
    vsi_mutex_lock(&pager->slab_lock);
    slab_mapped *slab = vsi_windows_user(&pager->windows, run.page * VSI_PAGE_BYTES);
    if (slab) {
        slab_table *table = vsi_atomic_ptr_load(&slab->slabs->table);
        vsi_assert(vsi_atomic_ptr_load(&table->slab[slab->at]) == slab);
        slab_take_out(slab->slabs, pager, &table->slab[slab->at], NULL); /* keeps L4 */
    }
    vsi_mutex_unlock(&pager->slab_lock);
}
