/* log.h - the write-ahead log, its writing side: append, sync, and begin a new file.
 *
 * Not synchronised: the engine holds its log lock around every call; only the sync of the device
 * itself runs without it, between vsi_log_sync_begin and vsi_log_sync_end. */
#ifndef VSI_LOG_H
#define VSI_LOG_H

#include "store/frame.h"

/* Frames kept for a failed sync; more forces a sync. Smaller in some tests. */
#ifndef VSI_UNSYNCED_MAX
#define VSI_UNSYNCED_MAX (64 << 20)
#endif

enum {
    VSI_LOG_BUF_FRONT = VSI_FRAME_BYTES /* room for the header in front of a buffer's operations */
};

/* A frame that is not known to be durable, kept to be written again elsewhere. */
typedef struct vsi_kept_frame {
    struct vsi_kept_frame *next;
    vsi_frame frame;
    vsi_buf buf; /* header, payload, zeros up to the stride */
} vsi_kept_frame;

/* A log file that is complete and durable, or being made, and that no meta page names yet. */
typedef struct vsi_log_draft {
    vsi_file file; /* not open: there is none */
    uint64_t generation, salt, chain, pos;
    uint32_t pad_bytes;
} vsi_log_draft;

typedef struct vsi_log {
    vsi_mem *mem;
    const vs_vfs *vfs;
    const char *path;     /* of the database file; borrowed */
    const vsi_file *data; /* the database file; borrowed */
    vsi_metas *metas;     /* borrowed */

    vsi_file file; /* the current log; not open before the session's first commit asks for room */
    uint64_t generation; /* of the last log file that counts, 0: none */
    vsi_log_draft draft; /* left by a take-over that could not write the meta page */
    uint64_t salt, chain;
    uint64_t pos;       /* where the next frame goes */
    uint64_t owned;     /* bytes that the device has given to the file; UINT64_MAX: nobody knows */
    uint64_t blank_end; /* zeros were written from pos to here; below pos: none are left */
    bool is_tight;      /* the device has not given as much as was asked for */
    uint32_t pad_bytes; /* blast radius of the device */
    bool tail_is_dirty; /* a failed append may have left bytes behind pos */

    uint64_t next_lsn;
    uint64_t durable_lsn, durable_chain; /* the last frame known to be durable */
    vsi_kept_frame *kept, *kept_last;
    size_t kept_bytes;
    uint64_t older_bytes; /* in log files before the current one */
    uint64_t takeovers, syncs;
} vsi_log;

/* What a sync will have made durable. */
typedef struct vsi_log_ticket {
    uint64_t lsn;
} vsi_log_ticket;

VSI_FN void vsi_log_free(vsi_log *log); /* accepts one that is all zero */

/* Whether this session has a log file to append to. */
VSI_FN bool vsi_log_is_open(const vsi_log *log);

/* Begins a new log file that continues after durable_lsn and holds all kept frames, makes it
 * durable, and then the one that the meta pages name. It is the one way to start a session, to
 * survive a failed sync and to leave a damaged tail behind. On success all frames are durable. On
 * failure the log is as before, except that after a crash the new file may be found to count: a log
 * that was open then must not be appended to any more. */
VSI_FN vs_status vsi_log_take_over(vsi_err *err, vsi_log *log);
/* The meta pages were repaired: a take-over that failed only in the second one has succeeded after all. What
 * comes next must know, or it would count from the file before. */
VSI_FN void vsi_log_complete(vsi_log *log);

/* Appends one frame. ops has VSI_LOG_BUF_FRONT unused bytes in front and its memory passes to the
 * log on success; on failure it is as before and tail_is_dirty may be set: call vsi_log_cut_off. */
VSI_FN vs_status vsi_log_append(vsi_err *err, vsi_log *log, int kind, uint64_t txn, int64_t time_us,
                                vsi_buf *ops);

/* Reserves space of the device for a frame of so many bytes and for as many more as are kept in reserve.
 * VS_ERR_FULL; the log is as before then. */
VS_NODISCARD VSI_FN vs_status vsi_log_own(vsi_err *err, vsi_log *log, size_t bytes,
                                          uint64_t reserve);

/* Removes what a failed append left, durably; makes every frame durable. On failure the file must
 * not be appended to: take over. */
VSI_FN vs_status vsi_log_cut_off(vsi_err *err, vsi_log *log);

/* Nothing to do when it returns false. Frames appended after it are not covered. */
VSI_FN bool vsi_log_sync_begin(vsi_log *log, vsi_log_ticket *out_ticket);
/* After the sync of log->file succeeded. */
VSI_FN void vsi_log_sync_end(vsi_log *log, vsi_log_ticket ticket);

/* Adds a frame read back from the previous log file, as if this session had written it. */
VSI_FN vs_status vsi_log_keep(vsi_err *err, vsi_log *log, const vsi_frame *frame,
                              const uint8_t *payload);

/* Everything in the log is in a checkpoint: the next frame begins another file. Nothing may be kept. */
VSI_FN void vsi_log_end(vsi_log *log);

/* Removes drafts that crashes of earlier sessions left behind; more than one only after several crashes in
 * a row, each while a session began. Opening has looked at them. */
VSI_FN void vsi_log_remove_strays(const vsi_log *log);

VSI_FN uint64_t vsi_log_bytes(const vsi_log *log);

#endif
