/* cow.h - blocks of memory that are copied on write: many versions of a structure share them.
 *
 * A structure (tree, bitmap, array) is made of blocks that point to each other. A writer changes
 * only blocks that it made itself since the innermost open scope; any other it copies first. So a
 * reader that holds an older root sees nothing move, and dropping a root undoes everything. */
#ifndef VSI_COW_H
#define VSI_COW_H

#include "store/pager.h"

/* First member of every block. */
typedef struct vsi_block {
    struct vsi_block *older, *newer; /* all blocks of the heap, newest first */
    struct vsi_block *next_dead;     /* the next in a list of replaced blocks */
    uint64_t owner;                  /* the scope it was made in; scopes are numbered upwards */
    size_t bytes;                    /* of the allocation, this header included */
    uint64_t pages;                  /* that it will take in the file */
} vsi_block;

/* All blocks of one database, and the scope of its one writer. */
typedef struct vsi_cow {
    vsi_mem *mem;     /* borrowed */
    vsi_pager *pager; /* borrowed; NULL: everything is in memory */
    vsi_block *newest;
    vsi_block *dead;          /* replaced in this transaction, still needed by older versions */
    vsi_buf dead_extents;     /* vsi_dead_extent, run and birth set: likewise, in the file */
    uint64_t scope;           /* blocks with owner >= scope may be changed in place */
    uint64_t last_scope;      /* numbers given out */
    size_t bytes, dead_bytes; /* of all blocks, of those that only older versions have */
    vsi_page_count pages, dead_pages; /* likewise */
} vsi_cow;

/* What a scope must restore. */
typedef struct vsi_cow_mark {
    uint64_t scope;
    vsi_block *dead;
    size_t dead_extents_bytes, dead_bytes;
    vsi_page_count dead_pages;
} vsi_cow_mark;

VSI_FN void vsi_cow_init(vsi_cow *cow, vsi_mem *mem);
/* Bytes at the end of the extents that blocks become. */
VSI_FN uint32_t vsi_cow_trailer(const vsi_cow *cow);
VSI_FN void vsi_cow_free_all(vsi_cow *cow); /* every block of every version */

/* Scopes nest; each open is ended by one keep or undo with its mark. */
VSI_FN vsi_cow_mark vsi_cow_open(vsi_cow *cow);
VSI_FN void vsi_cow_keep(vsi_cow *cow, vsi_cow_mark mark);
VSI_FN void vsi_cow_undo(vsi_cow *cow, vsi_cow_mark mark);

/* Ends a transaction whose outermost scope was kept: hands out the list of blocks that older
 * versions still need. The caller frees it when no older version is left. dead_extents stay for the
 * caller to take. */
VSI_FN vsi_block *vsi_cow_take_dead(vsi_cow *cow);
VSI_FN void vsi_cow_free_dead(vsi_cow *cow, vsi_block *dead);
/* Frees those of dead that were made after scope; the others go in front of others, which it returns. */
VSI_FN vsi_block *vsi_cow_free_born_after(vsi_cow *cow, vsi_block *dead, uint64_t scope,
                                          vsi_block *others);

/* A new block, zeroed behind its header, that will be a page in the file; NULL when there is no memory. */
VSI_FN void *vsi_cow_new(vsi_cow *cow, size_t bytes);
/* The same for one that will be an extent of so many pages. */
VSI_FN void *vsi_cow_new_extent(vsi_cow *cow, size_t bytes, uint64_t pages);
/* The block itself when it may be changed in place, else a copy that replaces it; NULL when there
 * is no memory. The caller stores the result where it found the block. */
VSI_FN void *vsi_cow_touch(vsi_cow *cow, void *block);
/* The block is no longer part of the structure. */
VSI_FN void vsi_cow_drop(vsi_cow *cow, void *block);
/* What the newest version's blocks will take in the file. */
VSI_FN vsi_page_count vsi_cow_pages(const vsi_cow *cow);
/* What a reference leads to, block or extent, is no longer part of the structure. */
VS_NODISCARD VSI_FN vs_status vsi_cow_drop_ref(vsi_err *err, vsi_cow *cow, vsi_ref ref);
/* The same for what versions share that are older than it: a slab, or a node that leads there. */
VS_NODISCARD VSI_FN vs_status vsi_cow_drop_shared(vsi_err *err, vsi_cow *cow, vsi_ref ref);

#endif
