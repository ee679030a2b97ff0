/* space.h - which pages of the database file are free. Of the holder of the writer role.
 *
 * What is free is known from the list that the last checkpoint wrote; nothing relies on the list being
 * there, it can be made anew from what the checkpoint reaches. */
#ifndef VSI_SPACE_H
#define VSI_SPACE_H

#include "base/bytes.h"
#include "base/mem.h"
#include "store/ref.h"
#include "store/reside.h"

enum {
    VSI_SPACE_FIRST_PAGE = 32 /* behind the meta pages and the largest block around them */
};

#define VSI_NONE_KEPT UINT64_MAX

/* A free run of so many pages has room for extents of up to VSI_SPACE_MIDDLE, wherever they must begin. */
enum { VSI_SPACE_LARGE = 64, VSI_SPACE_MIDDLE = 16 };

typedef struct vsi_run {
    uint64_t page, pages;
} vsi_run;

/* Pages of extents, by what finding room for them takes: of one page, of up to VSI_SPACE_MIDDLE, of more. */
typedef struct vsi_page_count {
    uint64_t single, middle, large;
} vsi_page_count;

/* An extent that the newest version has no use for. */
typedef struct vsi_dead_extent {
    vsi_run run;
    uint64_t checkpoint; /* the newest one that may reach it */
    uint64_t version;    /* versions before this one reach it */
    uint64_t birth;      /* the checkpoint it was written for */
    uint64_t left;       /* the epoch in which it left all tables, and one more; 0: it has not */
} vsi_dead_extent;

/* A version that can be read. */
typedef struct vsi_space_reader {
    uint64_t version;
    uint64_t newest_birth; /* what it reaches was written for this checkpoint at the latest */
} vsi_space_reader;

typedef struct vsi_space {
    vsi_mem *mem;
    vsi_reside *reside;   /* of those who look at the file itself; NULL: nobody does */
    bool is_known;        /* false: not loaded yet, nothing may be allocated */
    uint64_t end;         /* pages of the file in use: behind it everything is free */
    uint64_t block_pages; /* the device damages no other block than the one written to */
    uint64_t open_page; /* behind the last one allocated, while its block may be written; 0: none */
    uint64_t taken;     /* extents taken since the last seal: they may be given back one by one */
    vsi_buf runs;       /* vsi_run, ascending, none touching another */
    vsi_buf dead;       /* vsi_dead_extent, by the time they died */
    size_t left;        /* how many of the dead have left all tables */
    uint64_t dead_pages, free_pages;
    uint64_t large_pages; /* of those free, in runs of VSI_SPACE_LARGE or more */
    uint64_t owned; /* pages that the device has given to the file; UINT64_MAX: nobody knows */
} vsi_space;

/* Counts an extent of so many pages count times. */
VSI_FN void vsi_page_count_add(vsi_page_count *sum, uint64_t pages, uint64_t count);
VSI_FN void vsi_page_count_subtract(vsi_page_count *sum, uint64_t pages);

VSI_FN void vsi_runs_sort(vsi_buf *runs); /* vsi_run, by page */

VSI_FN void vsi_space_init(vsi_space *space, vsi_mem *mem);
VSI_FN void vsi_space_free(vsi_space *space); /* accepts one that is all zero */

/* Takes pages one after the other; no block that it shares with durable pages. */
VS_NODISCARD VSI_FN vs_status vsi_space_take(vsi_err *err, vsi_space *space, uint64_t pages,
                                             uint64_t *out_page);
/* What was taken so far is durable, or given up: its last block must not be written to again. */
VSI_FN void vsi_space_seal(vsi_space *space);

/* Frees pages that were taken or that are dead, at once; there is always memory for that. */
VSI_FN void vsi_space_give(vsi_space *space, vsi_run run);

/* Whether extents of so many pages, and single ones besides, find room in what the file owns. */
VSI_FN bool vsi_space_fits(const vsi_space *space, vsi_page_count need, uint64_t singles);

/* Notes an extent that dies with a version. Room for it was made by vsi_space_expect. */
VS_NODISCARD VSI_FN vs_status vsi_space_expect(vsi_err *err, vsi_space *space, size_t extents);
VSI_FN void vsi_space_bury(vsi_space *space, vsi_dead_extent extent);

/* Frees the dead that no checkpoint from first_checkpoint on and none of the readers [count] reaches;
 * gone is told each run before, and takes it out of all tables. With space->reside set they are free, by
 * vsi_space_give_left, when those have left who may still be looking. */
typedef void (*vsi_run_fn)(void *ctx, vsi_run run);
VSI_FN void vsi_space_reap(vsi_space *space, uint64_t first_checkpoint,
                           const vsi_space_reader *readers, size_t count, vsi_run_fn gone,
                           void *ctx);
VSI_FN void vsi_space_give_left(vsi_space *space);

/* The list as it is in the file, for a checkpoint beside which those from first_kept on are kept: pages
 * that are free, and pages that will be when only that checkpoint is left, among them the runs in dying
 * that the checkpoint itself gives up. VSI_NONE_KEPT: only that checkpoint is left, all are free. */
VS_NODISCARD VSI_FN vs_status vsi_space_write(vsi_err *err, const vsi_space *space,
                                              uint64_t first_kept, const vsi_buf *dying,
                                              vsi_buf *out);
/* Takes the runs at the end of the file out of a list where all are free. Returns where it ends then. */
VSI_FN uint64_t vsi_space_trim_list(vsi_buf *list, uint64_t end);
/* Reads the list of a checkpoint. VS_ERR_CORRUPT for one that is malformed. */
VS_NODISCARD VSI_FN vs_status vsi_space_read(vsi_err *err, vsi_space *space, vsi_bytes list,
                                             uint64_t end, uint64_t checkpoint);
/* Appends all runs of a list, free or dying, to out as vsi_run. */
VS_NODISCARD VSI_FN vs_status vsi_space_list(vsi_err *err, vsi_bytes list, vsi_buf *out);

#endif
