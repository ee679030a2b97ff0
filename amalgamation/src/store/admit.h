/* admit.h - whether there is room on the device for what a commit leaves to do. */
#ifndef VSI_ADMIT_H
#define VSI_ADMIT_H

#include "store/engine.h"

/* Bounds of what is kept in reserve, of the file and of the log. Smaller in some tests. */
#ifndef VSI_RESERVE_PAGES
#define VSI_RESERVE_PAGES 64
#endif
#ifndef VSI_RESERVE_LOG_BYTES
#define VSI_RESERVE_LOG_BYTES (64 << 10)
#endif
enum { VSI_RESERVE_PAGES_MAX = 1024, VSI_RESERVE_LOG_BYTES_MAX = 1 << 20 };

/* Sees to it that the file owns what the next checkpoint will need, with what the open transaction has
 * changed. Transactions that only delete may use up the reserve, others leave it alone. VS_ERR_FULL: the
 * device has no more; engine->wants_room then tells that checkpoints may help. The list of free pages is
 * loaded. Holder of the writer role. */
VS_NODISCARD VSI_FN vs_status vsi_admit(vsi_err *err, vsi_engine *engine, bool only_deletes);

/* The same for a frame of so many bytes in the log; log_lock is held and the log open. */
VS_NODISCARD VSI_FN vs_status vsi_admit_frame(vsi_err *err, vsi_engine *engine, size_t bytes,
                                              bool only_deletes);

/* Gives half of what the file owns behind its end back to the device, so that a log may begin. False: there
 * is nothing to give. Holder of the writer role. */
VSI_FN bool vsi_admit_give_back(vsi_engine *engine);

/* How much of the file is kept in reserve, in pages. */
VSI_FN uint64_t vsi_admit_reserve(const vsi_space *space);

#endif
