/* window.h - parts of the database file that are mapped for reading, and the extents in use there.
 *
 * A mapping saves reading an extent to a copy; it never has to be there. Whoever gets NULL reads. */
#ifndef VSI_WINDOW_H
#define VSI_WINDOW_H

#include "os/file.h"
#include "store/reside.h"

/* The file is mapped in parts of this size, a multiple of 64 KiB; an extent on the border of two is not
 * mapped. Smaller in some tests. */
#ifndef VSI_WINDOW_BYTES
#define VSI_WINDOW_BYTES (sizeof(void *) > 4 ? (uint64_t)64 << 20 : (uint64_t)4 << 20)
#endif
/* Address space for all of them, and no more of them than a process may map. */
#ifndef VSI_WINDOWS_BYTES_MAX
#define VSI_WINDOWS_BYTES_MAX (sizeof(void *) > 4 ? (uint64_t)1 << 40 : (uint64_t)256 << 20)
#endif

typedef struct vsi_window {
    struct vsi_window *older; /* of the same part of the file, replaced by this one */
    const uint8_t *first;
    uint64_t offset;
    size_t bytes;
    uint64_t users; /* extents in use */
    uint64_t seen;  /* the epoch in which somebody last came here, or left */
    bool is_cut;    /* the file ended before it */
} vsi_window;

/* An extent in use; lies in what its user keeps for it. */
typedef struct vsi_sight {
    struct vsi_sight *next; /* in its bucket */
    vsi_window *window;
    uint64_t offset; /* in the file */
    void *user;      /* borrowed */
} vsi_sight;

typedef struct vsi_windows {
    vsi_mem *mem;         /* borrowed */
    const vsi_file *file; /* borrowed */
    vsi_reside *reside;   /* borrowed */
    bool is_on;           /* false: nothing is mapped */

    vsi_mutex lock;      /* guards all below and what it leads to */
    vsi_buf panes;       /* vsi_window *: those of a part of the file, the newest first */
    vsi_sight **buckets; /* by offset */
    size_t bucket_count, sight_count;
    uint64_t bytes; /* mapped */
} vsi_windows;

VSI_FN bool vsi_windows_init(vsi_windows *windows, vsi_mem *mem, const vsi_file *file,
                             vsi_reside *reside);
VSI_FN void vsi_windows_free(vsi_windows *windows); /* unmaps all; accepts one that is all zero */

/* Where [offset, offset + bytes) of the file is in memory, for as long as the caller stays (store/reside);
 * NULL: read it instead. Sets what out_sight needs to know. Any thread. */
VSI_FN const uint8_t *vsi_windows_see(vsi_windows *windows, uint64_t offset, size_t bytes,
                                      vsi_sight *out_sight);
/* The extent is in use, and stays mapped, until its user leaves; the caller stays since it was seen. */
VSI_FN void vsi_windows_use(vsi_windows *windows, vsi_sight *sight);
/* Nobody who comes from now on looks at it. Harmless after vsi_windows_free. */
VSI_FN void vsi_windows_leave(vsi_windows *windows, vsi_sight *sight);
/* Who uses the extent that begins at offset; NULL: nobody. */
VSI_FN void *vsi_windows_user(vsi_windows *windows, uint64_t offset);

#ifdef VSI_DEBUG
/* Whether nothing that is in use begins in [offset, end). */
VSI_FN bool vsi_windows_are_clear(vsi_windows *windows, uint64_t offset, uint64_t end);
#endif

/* The file ends here now. */
VSI_FN void vsi_windows_cut(vsi_windows *windows, uint64_t end);

#endif
