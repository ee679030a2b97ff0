/* cursor.h - cursors, as transactions see them. */
#ifndef VSI_CURSOR_H
#define VSI_CURSOR_H

#include "api/record.h"

/* The transaction ends: its cursors stay as handles, but every step of them fails. */
VSI_FN void vsi_cursors_detach(vs_txn *txn);

#endif
