/* status.h - error messages: where they are kept and how they are made. */
#ifndef VSI_STATUS_H
#define VSI_STATUS_H

#include "base/port.h"
#include "vecstore.h"

enum { VSI_ERR_TEXT_BYTES = 512 };

/* The last failure of a handle or of a call in progress. All zero: nothing failed. */
typedef struct vsi_err {
    vs_status code; /* with its extended part */
    char text[VSI_ERR_TEXT_BYTES];
} vsi_err;

/* Words a failure, replacing what err held, and returns the primary code. code may be extended.
 * The place that sees the fault calls it, once; callers pass the status on. */
VSI_FN vs_status vsi_fail(vsi_err *err, vs_status code, const char *format, ...) VSI_PRINTF(3, 4);

/* Puts words in front of a failure's message; what a caller knows and the place of the fault did
 * not. Returns the primary code. */
VSI_FN vs_status vsi_fail_in(vsi_err *err, const char *format, ...) VSI_PRINTF(2, 3);

VSI_FN vs_status vsi_fail_nomem(vsi_err *err, size_t bytes);

VSI_FN const char *vsi_status_name(vs_status status);

#endif
