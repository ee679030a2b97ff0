/* replay.h - the write-ahead log, its reading side: every verified frame in order, and where the
 * log ends. Changes nothing. */
#ifndef VSI_REPLAY_H
#define VSI_REPLAY_H

#include "base/bytes.h"
#include "base/watch.h"
#include "store/frame.h"

/* One log file of the chain. */
typedef struct vsi_replay_file {
    vsi_log_header header;
    uint64_t first_chain;
} vsi_replay_file;

/* Where a frame that may not be durable stands in the last file. */
typedef struct vsi_replay_spot {
    uint64_t lsn, chain, off;
} vsi_replay_spot;

typedef struct vsi_replay {
    vsi_mem *mem;
    const vs_vfs *vfs;
    const char *path;                /* of the database file; borrowed */
    const vsi_meta *meta;            /* borrowed */
    const vsi_checkpoint_info *from; /* borrowed: frames behind it are read */

    vsi_buf files; /* vsi_replay_file, oldest first */
    size_t at;     /* the one being read */
    vsi_file file;
    uint64_t file_bytes;
    vsi_buf window; /* bytes of the file from window_off on */
    uint64_t window_off;

    uint64_t pos, chain, next_lsn;
    bool is_done;
    bool skips_payloads; /* set after opening: frames are verified by their headers alone */

    /* Known when is_done; durable_lsn grows while reading. */
    uint64_t durable_lsn, durable_chain;
    uint64_t dropped_lsn, dropped_bytes; /* a torn tail; 0: none */
    uint64_t found_bytes;                /* of all files, when it was opened */
    uint64_t told_bytes;                 /* of these, what a watch knows to be read */
    uint64_t total_bytes; /* of the files so far, what stands behind their frames left out */
    vsi_buf spots;        /* vsi_replay_spot of frames above durable_lsn, from spot_at on */
    size_t spot_at;
} vsi_replay;

/* Finds the log files of the database that meta describes, from those on that a checkpoint needs. VS_ERR_LOG_MISSING, VS_ERR_CORRUPT. The
 * replay is freed by vsi_replay_free, also after a failure. */
VSI_FN vs_status vsi_replay_open(vsi_err *err, vsi_mem *mem, const vs_vfs *vfs, const char *path,
                                 const vsi_meta *meta, const vsi_checkpoint_info *from,
                                 vsi_replay *out_replay);
VSI_FN void vsi_replay_free(vsi_replay *replay);

/* The next CONT or COMMIT frame, its payload verified; out_payload is valid until the next call.
 * Sets is_done, and writes nothing, at the end of the log. VS_ERR_CORRUPT for damage of frames that
 * were durable; a torn tail is the end. */
VSI_FN vs_status vsi_replay_next(vsi_err *err, vsi_replay *replay, vsi_frame *out_frame,
                                 vsi_bytes *out_payload);

/* Counts the bytes that are read, and what was since the last step is one. */
VSI_FN void vsi_replay_watch(vsi_replay *replay, const char *what, vsi_watch *watch);
VS_NODISCARD VSI_FN vs_status vsi_replay_step(vsi_err *err, vsi_replay *replay, vsi_watch *watch);

/* After the end: reads frame number lsn, which must be above durable_lsn, once more. */
VSI_FN vs_status vsi_replay_reread(vsi_err *err, vsi_replay *replay, uint64_t lsn,
                                   vsi_frame *out_frame, vsi_bytes *out_payload);

#endif
