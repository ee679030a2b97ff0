/* write.h - write transactions: stage operations, commit them through the log, or drop them, all or those
 * behind a savepoint. */
#ifndef VSI_WRITE_H
#define VSI_WRITE_H

#include "store/savepoint.h"
#include "store/spill.h"
#include "store/touched.h"

/* VS_SYNC_NORMAL syncs when this much, or for this long, nothing was synced. */
enum { VSI_NORMAL_BYTES = 4 << 20, VSI_NORMAL_US = 1000000 };

/* What the log has of a transaction's savepoints. */
typedef struct vsi_logged_points {
    uint32_t count;       /* of those that are open, it knows this many, the outermost ones */
    uint32_t depth;       /* open for it; those above count have been released since */
    uint32_t rollback_to; /* it must go back to this one before it goes on; 0: it need not */
} vsi_logged_points;

/* A write transaction. It holds the writer role from begin to commit or rollback. */
typedef struct vsi_write {
    vsi_engine *engine;
    vsi_state state; /* with the changes so far; reads of the transaction see it */
    vsi_cow_mark mark;
    vsi_buf ops;       /* VSI_LOG_BUF_FRONT bytes, then operations not in the log yet */
    vsi_buf freed;     /* vsi_freed_slot: given up by this transaction */
    vsi_buf taken;     /* vsi_freed_slot: taken from the pools */
    uint64_t txn;      /* its number: that of its first frame */
    int64_t time_us;   /* when it began, on the wall clock */
    bool has_streamed; /* some of its frames are in the log */
    bool has_grown;    /* it has done more than delete */
    vsi_savepoints points;
    vsi_logged_points logged;
    vsi_touched touched; /* who wants it says so after the begin */
    uint64_t lsn;        /* once committed: of its COMMIT frame */
} vsi_write;

/* One call of the user within a transaction; what it staged is kept or undone as a whole. */
typedef struct vsi_statement {
    vsi_stay stay; /* what the call reads stays until its end */
    vsi_state state;
    vsi_cow_mark mark;
    size_t ops_bytes, freed_bytes, taken_bytes, touched_bytes;
    bool has_grown;
} vsi_statement;

/* The writer role by itself, waiting as long as the engine's configuration says, or not at all. VS_ERR_BUSY,
 * VS_ERR_MISUSE: this thread holds it, or is being asked whether it waits for it. */
VS_NODISCARD VSI_FN vs_status vsi_role_take(vsi_err *err, vsi_engine *engine, bool may_wait);
/* Whether a thread waits that is being asked. */
VSI_FN bool vsi_role_is_waited_for(vsi_engine *engine);
VSI_FN void vsi_role_give(vsi_engine *engine);

/* Takes the writer role, waiting for it if need be. VS_ERR_BUSY, VS_ERR_MISUSE (as vsi_role_take),
 * VS_ERR_READONLY, VS_ERR_NOMEM. */
VSI_FN vs_status vsi_write_begin(vsi_err *err, vsi_engine *engine, vsi_write *out_write);

VSI_FN void vsi_write_rollback(vsi_write *write);

/* Whether there is something to commit. */
VSI_FN bool vsi_write_has_changes(const vsi_write *write);

/* The LSN of the frame that this transaction will write next. */
VSI_FN uint64_t vsi_write_next_lsn(const vsi_write *write);

/* Ends the transaction and gives the role back, whatever it returns. sync is VS_SYNC_...
 * VS_ERR_INDOUBT when it is unknown whether the commit will be found after a crash. */
VSI_FN vs_status vsi_write_commit(vsi_err *err, vsi_write *write, int sync);

/* Savepoints, between statements. Numbers count from 1, the outermost. VS_ERR_LIMIT, VS_ERR_NOMEM. */
VSI_FN vs_status vsi_write_savepoint(vsi_err *err, vsi_write *write, uint32_t *out_number);
/* Drops what was changed since this one was opened, and ends those inside it; ends it and those inside it,
 * and keeps what was changed. VS_ERR_MISUSE: it is not open; nothing else can fail. */
VSI_FN vs_status vsi_write_rollback_to(vsi_err *err, vsi_write *write, uint32_t number);
VSI_FN vs_status vsi_write_release(vsi_err *err, vsi_write *write, uint32_t number);

/* First moves what earlier statements staged to the log when it has become much; when that fails
 * there is no statement, and all that was staged still is. */
VSI_FN vs_status vsi_statement_begin(vsi_err *err, vsi_write *write, vsi_statement *out_statement);
/* Stages one operation: its bytes for the log, its effect on the state. */
VSI_FN vs_status vsi_statement_apply(vsi_err *err, vsi_write *write, const vsi_op *op);
/* Ends a statement that succeeded, or one that did not. */
VSI_FN void vsi_statement_keep(vsi_write *write, vsi_statement *statement);
VSI_FN void vsi_statement_undo(vsi_write *write, vsi_statement *statement);

/* A slot for a new record, to be used in a put of the same statement. */
VSI_FN vs_status vsi_write_take_slot(vsi_err *err, vsi_write *write, uint32_t coll,
                                     uint32_t *out_slot);
/* An id for a new collection. */
VSI_FN vs_status vsi_write_take_coll(vsi_err *err, vsi_write *write, uint32_t *out_coll);

#endif
