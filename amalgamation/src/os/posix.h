/* posix.h - the operating system's files. */
#ifndef VSI_OS_POSIX_H
#define VSI_OS_POSIX_H

#include "base/status.h"

VSI_FN const vs_vfs *vsi_posix_vfs(void); /* NULL where there is none */

#endif
