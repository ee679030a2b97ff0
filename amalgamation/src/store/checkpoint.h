/* checkpoint.h - moves what the log has into the database file, so that the log can go. */
#ifndef VSI_CHECKPOINT_H
#define VSI_CHECKPOINT_H

#include "store/write.h"

/* The log's size that asks for a checkpoint, unless it is set: an eighth of the database, within these bounds.
 * Smaller in some tests. */
#ifndef VSI_CHECKPOINT_LOG_BYTES
#define VSI_CHECKPOINT_LOG_BYTES (16 << 20)
#endif
enum { VSI_CHECKPOINT_LOG_BYTES_MAX = 1 << 30 };

/* Makes a checkpoint of the newest version, waiting for the writer role. Afterwards the database is the
 * file and, for going back to the checkpoint before, its log. is_final: the log goes away altogether.
 * On a failure everything is as before, or writing has stopped. */
VS_NODISCARD VSI_FN vs_status vsi_checkpoint(vsi_err *err, vsi_engine *engine, bool is_final);

/* Moves up to about max_bytes from the end of the file into holes before it, and cuts it off. out_left_bytes: about
 * the holes that are left when that went on; 0: no more can be gained now. */
VS_NODISCARD VSI_FN vs_status vsi_vacuum(vsi_err *err, vsi_engine *engine, uint64_t max_bytes,
                                         uint64_t *out_left_bytes);

/* After a commit, or one that a full disk refused: writes slabs ahead of the next checkpoint, and makes it,
 * when the log or what is in memory has grown enough and nobody else is writing. A failure is only reported
 * as a message. */
VSI_FN void vsi_checkpoint_if_due(vsi_engine *engine);

/* The same at the host's pace, about max_bytes at once; waits for the writer role. out_left_bytes is about
 * how much is left to write until the checkpoint is made, 0: it is, or it is not time for one. */
VS_NODISCARD VSI_FN vs_status vsi_maintain(vsi_err *err, vsi_engine *engine, uint64_t max_bytes,
                                           uint64_t *out_left_bytes);

#endif
