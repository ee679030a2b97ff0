/* clone.h - what the last commit left, as a closed database in another file system. */
#ifndef VSI_CLONE_H
#define VSI_CLONE_H

#include "store/engine.h"

/* Makes the file path in vfs, where it does not exist: the published version of the engine, with the bytes that
 * closing would leave, all of them verified. Takes no role and holds nobody up; nothing of the engine's own files
 * changes. After a failure files may be left in vfs. VS_ERR_CORRUPT, VS_ERR_TOO_NEW (a version that may
 * only read), and what opening and making a checkpoint return. */
VS_NODISCARD VSI_FN vs_status vsi_clone(vsi_err *err, vsi_engine *engine, const vs_vfs *vfs,
                                        const char *path);

#endif
