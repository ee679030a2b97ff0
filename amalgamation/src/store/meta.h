/* meta.h - the two meta pages of a database file: what the database is and which log belongs to it.
 */
#ifndef VSI_META_H
#define VSI_META_H

#include "base/hash.h"
#include "os/file.h"
#include "store/ref.h"

enum {
    VSI_META_BYTES = 4096,
    VSI_META_B_OFF = 65536,       /* meta A is at 0 */
    VSI_META_SESSION_OFF = 32768, /* in no block of either page, up to blocks of 32 KiB */
    VSI_UUID_BYTES = 16,
    VSI_FORMAT_MAJOR = 0,
    VSI_FORMAT_MINOR = 4 /* while major is 0 every change of minor is incompatible */
};

/* Bits of vsi_meta.features_needed. */
enum {
    VSI_META_NEEDS_ZSTD = 1, /* large values may be compressed; set with the first one, for good */
    VSI_META_NEEDS_TRAILERS = 2 /* trailer_bytes is not 0; set at creation or never */
};

/* A state of the database in the file. All zero but log_from 1: the empty one that every database begins
 * with. log_from 0: none. */
typedef struct vsi_checkpoint_info {
    uint64_t number;
    uint64_t lsn, chain; /* of the last frame that is in it */
    uint64_t log_from;   /* the log files from this one on have what came after */
    uint64_t end;        /* pages of the file that it may use */
    vsi_ref catalog, free_list;
    uint64_t catalog_count;
    vsi_hash128 digest;
} vsi_checkpoint_info;

typedef struct vsi_meta {
    uint8_t uuid[VSI_UUID_BYTES];
    uint64_t seq;             /* the valid page with the larger one counts */
    uint64_t generation;      /* the log file that commits go to; 0: none yet */
    uint64_t durable_lsn;     /* the log must hold every frame up to here */
    uint64_t features_any;    /* unknown bits: kept, nothing else */
    uint64_t features_ro;     /* unknown bits: only reading is safe */
    uint64_t features_needed; /* unknown bits: not even reading is */
    int64_t created_us;
    uint32_t trailer_bytes; /* at the end of every extent; 0 or VSI_TRAILER_BYTES */
    vsi_checkpoint_info checkpoint, previous;
} vsi_meta;

/* Both pages of an open database. */
typedef struct vsi_metas {
    vsi_meta newest;
    int next_slot;     /* where the next page goes: the older or the damaged one */
    uint64_t last_seq; /* the largest that was ever tried, also in a write that failed */
    bool is_pair;      /* both pages are valid and name the same log: the last change is complete */
    bool is_damaged;   /* one page is invalid */
    bool is_settled;   /* the newest page is on the device, not only in a cache */
} vsi_metas;

/* Reads both pages. *out_is_new is set for a file whose creation never finished (empty, or zero
 * where page A would be). VS_ERR_NOT_DB, VS_ERR_CORRUPT, VS_ERR_TOO_NEW, VS_ERR_TOO_OLD, VS_ERR_IO.
 */
VSI_FN vs_status vsi_metas_read(vsi_err *err, const vsi_file *file, vsi_metas *out_metas,
                                bool *out_is_new);

/* Whether a database with these features may be changed by this version. */
VSI_FN bool vsi_meta_may_write(const vsi_meta *meta);

/* Makes a new database of an empty or half-created file, durable when it returns. */
VSI_FN vs_status vsi_metas_create(vsi_err *err, const vsi_file *file, int64_t now_us,
                                  uint32_t trailer_bytes, vsi_metas *out_metas);

/* Replaces both pages one after the other, each synced. After a failure it is unknown whether the
 * next open finds the old content or the new, so nothing may rely on the new. */
VSI_FN vs_status vsi_metas_write(vsi_err *err, const vsi_file *file, vsi_metas *metas,
                                 const vsi_meta *content);

/* Completes a change that was cut short, or mends a damaged page: writes the older or damaged page anew
 * from the other one. */
VSI_FN vs_status vsi_metas_repair(vsi_err *err, const vsi_file *file, vsi_metas *metas);

/* The process that has the database open for writing: informative, never synced. */
VSI_FN void vsi_session_write(const vsi_file *file, uint64_t process_id);
VSI_FN uint64_t vsi_session_read(const vsi_file *file); /* 0: unknown */

#endif
