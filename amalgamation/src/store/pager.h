/* pager.h - extents of the database file: reading with verification, a cache of nodes, writing. */
#ifndef VSI_PAGER_H
#define VSI_PAGER_H

#include "base/watch.h"
#include "os/file.h"
#include "store/ref.h"
#include "store/reside.h"
#include "store/space.h"
#include "store/window.h"

typedef struct vsi_pager {
    vsi_mem *mem;         /* borrowed */
    const vsi_file *file; /* borrowed */

    vsi_reside reside;  /* of what is read from the file */
    vsi_atomic_u64 end; /* pages that may be read */

    vsi_mutex lock;       /* held by who changes the cache; looking up takes no lock */
    vsi_atomic_ptr table; /* pager_table: the cache of nodes */
    size_t page_count, hand;

    vsi_mutex slab_lock;    /* for store/slab */
    vsi_windows windows;    /* likewise: extents that are looked at in the file itself */
    uint32_t trailer_bytes; /* at the end of every extent, zero; fixed before one is touched */

    /* Of the holder of the writer role. */
    vsi_space space;
    uint32_t birth;    /* the checkpoint that extents are written for */
    vsi_buf out;       /* written but not in the file yet */
    uint64_t out_page; /* where out goes */
    vsi_buf taken;     /* vsi_run: written since the last keep or undo */
    vsi_buf dropped; /* vsi_run: given up without a version that says so; the engine buries them */
    uint64_t written_bytes;
    vsi_watch *watch;     /* of the call that writes; NULL: none. Borrowed */
    uint64_t writer;      /* number of the transaction that changes something, or did last */
    vsi_atomic_u64 packs; /* not 0: large values are compressed when that saves a page */
    bool has_packed; /* a compressed one was written, if only to pages that were given up again */
} vsi_pager;

VSI_FN bool vsi_pager_init(vsi_pager *pager, vsi_mem *mem, const vsi_file *file);
VSI_FN void vsi_pager_free(vsi_pager *pager); /* accepts one that is all zero */
/* Slabs may be looked at in the file itself. Before the first is read. */
VSI_FN void vsi_pager_allow_maps(vsi_pager *pager);

/* Any thread: whether a reference may lead to an extent of this kind in the file; else VS_ERR_CORRUPT. */
VS_NODISCARD VSI_FN vs_status vsi_pager_check_ref(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                                  int kind);
/* Any thread: a node's page, checked, of a level that its reference names. It stays where it is as long
 * as the caller does (store/reside). */
VS_NODISCARD VSI_FN vs_status vsi_pager_node(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                             const uint8_t **out_page);
/* Any thread: the same from the file, whatever the cache has, into out [VSI_PAGE_BYTES]. */
VS_NODISCARD VSI_FN vs_status vsi_pager_node_again(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                                   uint8_t *out);
/* Any thread: an extent of this kind, verified, appended to buf. */
VS_NODISCARD VSI_FN vs_status vsi_pager_read(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                             vsi_buf *buf);

/* The same into out [bytes], which the extent must fill. */
VS_NODISCARD VSI_FN vs_status vsi_pager_read_to(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                                int kind, uint8_t *out, size_t bytes);

/* The same where it is in a mapping of the file, until the caller does not stay any more, or as long as
 * out_sight is in use. NULL: there is none, it must be read. */
VS_NODISCARD VSI_FN vs_status vsi_pager_see(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                            size_t bytes, vsi_sight *out_sight,
                                            const uint8_t **out_bytes);

/* Writes an extent of whole pages and makes a reference to it; level is a node's, else 0. The bytes
 * reach the file by vsi_pager_flush at the latest. */
VS_NODISCARD VSI_FN vs_status vsi_pager_write(vsi_err *err, vsi_pager *pager, int kind,
                                              uint32_t level, vsi_bytes bytes, vsi_ref *out_ref);
/* The same in two steps. */
VS_NODISCARD VSI_FN vs_status vsi_pager_take(vsi_err *err, vsi_pager *pager, uint64_t pages,
                                             uint64_t *out_page);
VS_NODISCARD VSI_FN vs_status vsi_pager_write_at(vsi_err *err, vsi_pager *pager, int kind,
                                                 uint32_t level, vsi_bytes bytes, uint64_t page,
                                                 vsi_ref *out_ref);
/* Reserves space of the device for so many pages of the file, and some more; VS_ERR_FULL. */
VS_NODISCARD VSI_FN vs_status vsi_pager_own(vsi_err *err, vsi_pager *pager, uint64_t pages);
VS_NODISCARD VSI_FN vs_status vsi_pager_flush(vsi_err *err, vsi_pager *pager);
/* What was written is part of a checkpoint, or will never be: then its pages are free again. */
VSI_FN void vsi_pager_keep(vsi_pager *pager);
VSI_FN void vsi_pager_undo(vsi_pager *pager);
/* The same for what was written since taken had taken_bytes. */
VSI_FN void vsi_pager_undo_to(vsi_pager *pager, size_t taken_bytes);

VSI_FN void vsi_pager_open_to(vsi_pager *pager, uint64_t end); /* pages below end may be read */

/* The pages of an extent will hold something else; nobody reads them any more. */
VSI_FN void vsi_pager_forget(vsi_pager *pager, vsi_run run);

/* Any thread: looks at the next buckets of the cache, and retires the nodes in them that nobody asked
 * for since it last came by. Returns how many buckets there are. */
VSI_FN size_t vsi_pager_evict(vsi_pager *pager, size_t buckets);

#endif
