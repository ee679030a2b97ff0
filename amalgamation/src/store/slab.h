/* slab.h - rows of a fixed size by slot number, in slabs of 2^shift rows.
 *
 * Rows are not versioned, all versions share the array: a row is written before its slot becomes
 * live and not again while any version that has it live may be read. */
#ifndef VSI_SLAB_H
#define VSI_SLAB_H

#include "store/btree.h"

enum { VSI_SLAB_BYTES_MIN = 16384, VSI_SLAB_ALIGN = 64, VSI_SLAB_SHIFT_MAX = 17 };

#define VSI_SLOT_NONE UINT32_MAX /* no slot */

enum { VSI_SLAB_KEY_BYTES = 6 };

/* What leads to a slab in dir. */
VSI_FN vsi_bytes vsi_slab_key(uint8_t out[VSI_SLAB_KEY_BYTES], uint32_t array, uint32_t at);

/* Makes slab number at of derived rows anew: [rows of a slab x row_bytes], zeros before. */
typedef vs_status (*vsi_slab_fill)(vsi_err *err, void *ctx, uint32_t at, uint8_t *rows);

/* A slab that is not in memory is read in when it is needed; one that the file has too may leave memory
 * again. Where a slab is in the file says `moved` or, if it is not in there, dir. With the pager's windows on
 * a slab of dir is not read in: the table leads to the mapped file. */
typedef struct vsi_slabs {
    vsi_mem *mem;
    uint32_t array; /* its number in dir */
    uint32_t row_bytes;
    uint32_t shift;         /* rows of a slab, as a power of two */
    uint32_t trailer_bytes; /* behind a slab's rows in its extent */
    uint32_t element_bytes; /* of numbers that are little-endian in the file; 1: bytes */
    vsi_slab_fill
        fill; /* NULL: what the file has not is zeros, and what is damaged there is lost */
    void *fill_ctx;
    vsi_atomic_ptr table; /* slab_table: readers load it */

    /* guarded by the pager's slab lock */
    vsi_btree
        dir; /* array, slab number -> extent, as of the last checkpoint; shared by all arrays */
    vsi_buf moved; /* vsi_slab_place, ascending: written since */
    size_t hand;   /* of vsi_slabs_evict */

    /* of the holder of the writer role */
    vsi_buf dirty;     /* uint32_t: slabs changed since they were written */
    uint64_t writer;   /* the pager's, when one was last added */
    size_t kept_dirty; /* how many were there before that writer came */
    vsi_buf unused;    /* uint32_t: per slab the rows that nobody needs, and whether it is gone */
} vsi_slabs;

typedef struct vsi_slab_place {
    uint32_t at;  /* slab number */
    bool is_dead; /* the pages are given up; older versions may have them yet */
    vsi_ref ref;
} vsi_slab_place;

/* A slab that a reader holds for itself when memory has no room for it. All zero but buf.mem: none. */
typedef struct vsi_slab_aside {
    const vsi_slabs *slabs; /* NULL: none */
    uint32_t at;
    const uint8_t *rows; /* in buf or, until its owner stops staying, in a mapping of the file */
    bool is_mapped;
    vsi_buf buf;
} vsi_slab_aside;

/* The number of rows of a slab, as a power of two, for rows of this size. */
VSI_FN uint32_t vsi_slab_shift(uint32_t row_bytes, uint32_t trailer_bytes);

VSI_FN void vsi_slabs_init(vsi_slabs *slabs, vsi_mem *mem, uint32_t array, uint32_t row_bytes,
                           uint32_t trailer_bytes);
VSI_FN void vsi_slabs_free(vsi_slabs *slabs); /* accepts one that is all zero */

/* The row of a slot whose slab exists, in memory or in the file. Any thread; the row stays there as long
 * as the caller does (store/reside). */
VS_NODISCARD VSI_FN vs_status vsi_slab_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                           const uint8_t **out_row);
/* The same for who comes by once: what memory has no room for is read into aside, and stays there until
 * another slab does. */
VS_NODISCARD VSI_FN vs_status vsi_slab_row_aside(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                                 vsi_slab_aside *aside, const uint8_t **out_row);
/* The caller stopped staying since: what lies in a mapping is not valid any more. */
VSI_FN void vsi_slab_aside_renew(vsi_slab_aside *aside);
/* How many slots from slot on lie in the same slab, so row after row in memory. */
VSI_FN uint32_t vsi_slab_run(const vsi_slabs *slabs, uint32_t slot);

/* Of the slabs that changed since they were written; of the holder of the writer role. */
VSI_FN uint64_t vsi_slabs_dirty_bytes(const vsi_slabs *slabs);
/* Adds the pages that a checkpoint will take for them, and at most for dir. */
VSI_FN void vsi_slabs_need(const vsi_slabs *slabs, vsi_page_count *need);
/* Writes the slabs that changed into the file, max_bytes of them or a little more: they may leave memory,
 * nothing in the file leads to them yet. Of the holder of the writer role, as those below. On a failure
 * nothing has changed. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_write_back(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager,
                                                   uint64_t max_bytes);
/* Notes in dir where slabs are that were written since it was made. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_link(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir);
/* The pager's writer has changed nothing after all: what only it has changed need not be written. */
VSI_FN void vsi_slabs_undo(vsi_slabs *slabs, vsi_pager *pager);
/* A row of which no version that can be read has need, or one again. There may be no memory to count it;
 * then the slab only stays. */
VSI_FN void vsi_slabs_count_unused(vsi_slabs *slabs, uint32_t slot, bool is_unused);
/* What was written since the last checkpoint may not be in the file: it is read back, if it is not in
 * memory, and counts as changed again. A failure means that some of it is lost. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_distrust(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager);
/* Whether there may be slabs to drop. */
VSI_FN bool vsi_slabs_have_unused(const vsi_slabs *slabs);
/* Drops slabs of which no row is needed, but for the one that slot_end lies behind and those after it; with
 * slot_end 0 none. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_drop_unused(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir,
                                                    uint32_t slot_end);
/* The collection is gone, but in older versions that may be read: the places of what was written since the last
 * checkpoint, to which nothing will lead, go to the pager's dropped. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_bury(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager);
/* What was written leads nowhere: the collection does not exist, and nobody reads it. Its pages go to the
 * pager's dropped, what is in memory leaves it. */
VS_NODISCARD VSI_FN vs_status vsi_slabs_forget(vsi_err *err, vsi_slabs *slabs, vsi_pager *pager);
/* dir counts: it has all places. */
VSI_FN void vsi_slabs_settle(vsi_slabs *slabs, const vsi_btree *dir);

/* Any thread: looks at the next slabs, and retires those that the file has too and nobody asked for since
 * it last came by. Returns how many there are, in memory or not. */
VSI_FN size_t vsi_slabs_evict(vsi_slabs *slabs, size_t count);

/* The pages of an extent will hold something else: the slab in it that is looked at in the file itself, if
 * there is one, leaves its table. */
VSI_FN void vsi_slab_let_go(vsi_pager *pager, vsi_run run);

/* The row of a slot if its slab is in memory, NULL otherwise. */
VSI_FN const uint8_t *vsi_slab_peek(const vsi_slabs *slabs, uint32_t slot);

/* The row of any slot, to be changed, its slab made when needed. Holder of the writer role only. */
VS_NODISCARD VSI_FN vs_status vsi_slab_make_row(vsi_err *err, vsi_slabs *slabs, uint32_t slot,
                                                uint8_t **out_row);

#endif
