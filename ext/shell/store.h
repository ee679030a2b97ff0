/* store.h - the database of a session, and what one command uses of it. */
#ifndef SHELL_STORE_H
#define SHELL_STORE_H

#include "shell.h"

/* Opens the session's database, or goes on with the handle that is there, in a way that has flags:
 * VS_OPEN_READONLY, 0 or VS_OPEN_CREATE. The handle stays the session's. On failure says why. */
int store_open(const shell_call *call, uint32_t flags, vs_db **out_db);
/* The handle that is there, or one for reading, without a message: for completion. NULL: cannot be had. */
vs_db *store_peek(shell *sh);
/* Drops an open transaction, with a message, and closes the database; call NULL: at the end. Returns
 * result, or SHELL_FAILED with a message when closing fails. */
int store_close(shell *sh, const shell_call *call, int result);

/* What one command works with. */
typedef struct store_use {
    const shell_call *call;
    vs_db *db;
    vs_txn *txn;               /* the session's, or of this command; NULL: every change by itself */
    vs_collection *collection; /* NULL: none was asked for */
    vs_collection_info info;   /* of the collection */
} store_use;

/* For reading, in one snapshot, or for changing; collection NULL: only the database. Says why it failed;
 * use_end in any case. */
int use_read(store_use *out_use, const shell_call *call, const char *collection);
int use_write(store_use *out_use, const shell_call *call, const char *collection);
/* Returns result. */
int use_end(store_use *use, int result);
/* Says the message of the collection, of the transaction or database; SHELL_FAILED. */
int use_fail(const store_use *use);
int use_fail_db(const store_use *use);

#endif
