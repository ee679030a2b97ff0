/* cursor.h - cursors, as transactions and searches see them. */
#ifndef VSI_CURSOR_H
#define VSI_CURSOR_H

#include "api/record.h"
#include "query/nearest.h"

/* The transaction ends: its cursors stay as handles, but every step of them fails. */
VSI_FN void vsi_cursors_detach(vs_txn *txn);

/* A cursor over the records nearest to the query that lies prepared in the handle's scratch. */
VS_NODISCARD VSI_FN vs_status vsi_cursor_search(vsi_err *err, vs_collection *collection,
                                                vs_txn *txn, uint32_t field, uint32_t timeout_ms,
                                                vs_cursor **out_cursor);

#endif
