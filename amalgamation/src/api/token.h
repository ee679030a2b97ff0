/* token.h - tokens, by which a transaction that is tried again finds that it was committed before. */
#ifndef VSI_TOKEN_H
#define VSI_TOKEN_H

#include "api/handle.h"

/* Stages the notes that keep a transaction's token, if it has one; its commit follows at once. */
VS_NODISCARD VSI_FN vs_status vsi_token_stage(vsi_err *err, vs_txn *txn);

#endif
