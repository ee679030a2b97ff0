/* handle.h - what the public handles are, how calls on them begin and end. */
#ifndef VSI_HANDLE_H
#define VSI_HANDLE_H

#include "api/hook.h"
#include "base/watch.h"
#include "math/kernels.h"
#include "store/checkpoint.h"
#include "store/open.h"

/* First member of every public handle. The tag tells kinds apart and closed handles from open ones.
 */
typedef struct vsi_handle {
    uint32_t tag;
    vs_db *db;
    vsi_err err;
} vsi_handle;

enum {
    VSI_TAG_DB = 0x76734442,
    VSI_TAG_TXN = 0x76735458,
    VSI_TAG_COLLECTION = 0x7673434f,
    VSI_TAG_CURSOR = 0x76734355,
    VSI_TAG_CLOSED = 0x7673216e
};

struct vs_db {
    vsi_handle head;
    vsi_mem mem;
    vsi_mutex lock;     /* guards head.err and the counts */
    vsi_engine *engine; /* NULL: the open failed */
    vs_vfs *memory;     /* owned: the files of a database in memory; NULL: it has others */
    const vsi_kernels *kernels;
    uint64_t process_id; /* that opened it */
    uint32_t txns, collections, cursors;
    vsi_hooks hooks;
    vsi_watcher watcher;
    vs_parallel_fn parallel_for; /* NULL: calls use the thread that makes them */
    void *parallel_ctx;
};

struct vs_txn {
    vsi_handle head;
    bool is_write;
    vsi_version *version; /* read: the pinned snapshot */
    vsi_write write;      /* write */
    uint8_t token[VS_TOKEN_BYTES_MAX];
    size_t token_bytes; /* 0: it has none */
    vs_cursor *cursors; /* of a write transaction; they end with it */
};

/* A record that was read; the caller may pass it back in. */
typedef struct vsi_record_bufs {
    vsi_buf vector, metadata; /* all vectors; metadata ends with a NUL */
    vsi_buf key;              /* what the key points to */
    vs_vector list[VS_FIELDS_MAX];
    size_t list_count;
} vsi_record_bufs;

struct vs_collection {
    vsi_handle head;
    uint32_t id;
    char name[VS_NAME_BYTES_MAX + 1];
    vsi_record_bufs record; /* the last one read */
    vsi_buf slots;          /* uint32_t: of the records of a batch being read */
    vsi_buf many;           /* vsi_record_bufs: the last batch read */
    vsi_buf keys;           /* what the keys of the last hits point to */
    vsi_buf scratch;        /* vectors being put, or the query being searched, converted */
    vsi_buf json;           /* metadata being put */
};

/* The state that a call reads: the transaction's, or the last commit's, pinned for the call. */
typedef struct vsi_view {
    const vsi_state *state;
    vsi_version *pinned; /* NULL: nothing to unpin */
    vsi_stay stay;       /* what the call reads stays until its end */
} vsi_view;

/* The write transaction that a call changes: the caller's, or one of its own that the call commits.
 */
typedef struct vsi_change {
    vs_db *db;
    vsi_write *write;
    vsi_write own;
    bool is_own;
    vsi_statement statement;
} vsi_change;

/* VS_OK when handle is an open one of this kind, the process is the one that opened it, and this thread is in no
 * hook of the database; else VS_ERR_MISUSE, worded where there is a handle to keep the message. */
VSI_FN vs_status vsi_handle_check(void *handle, uint32_t tag);

/* As vsi_handle_check, and that a call has all arguments that it needs; those: what the others are. */
VSI_FN vs_status vsi_handle_check_call(void *handle, uint32_t tag, bool has_all, const char *those);

/* Checks a call's transaction: NULL, or an open one of this database, for writing if asked. */
VSI_FN vs_status vsi_handle_check_txn(vsi_err *err, const vs_db *db, const vs_txn *txn,
                                      bool for_writing);

/* Ends a call: on failure the message goes into the handle. Returns st. */
VSI_FN vs_status vsi_handle_end(vsi_handle *handle, vs_status st, const vsi_err *err);

/* The handle that keeps the message of a call on db and txn. */
VSI_FN vsi_handle *vsi_handle_of(vs_db *db, vs_txn *txn);

/* Begins a handle whose struct is zeroed, and ends one. */
VSI_FN void vsi_handle_open(vsi_handle *handle, uint32_t tag, vs_db *db, uint32_t *count);
VSI_FN void vsi_handle_close(vsi_handle *handle, uint32_t *count);

VSI_FN vsi_view vsi_view_open(vs_db *db, const vs_txn *txn);
VSI_FN void vsi_view_close(vs_db *db, vsi_view view);
/* The collection in a view; VS_ERR_NOT_FOUND when it is not there. */
VSI_FN vs_status vsi_view_coll(vsi_err *err, vsi_view view, const vs_collection *collection,
                               vsi_coll *out_coll);

/* A call that reads one collection: in which state, and the collection there. */
typedef struct vsi_reading {
    vs_db *db; /* NULL: the call was refused before anything was opened */
    vs_collection *collection;
    vsi_view view;
    vsi_coll coll;
} vsi_reading;

/* Of a handle that was checked. Whatever it returns, vsi_reading_close follows, with what came of the call,
 * and returns that. */
VSI_FN vs_status vsi_reading_open(vsi_err *err, vs_collection *collection, const vs_txn *txn,
                                  vsi_reading *out);
VSI_FN vs_status vsi_reading_close(vsi_reading *reading, vs_status st, const vsi_err *err);

/* A call that the trace hook is told of. */
typedef struct vsi_trace {
    vs_db *db; /* NULL: it is not */
    const char *call, *collection;
    int64_t since_us;
} vsi_trace;

/* Begins one. handle is any of the call's handles, not checked yet; call, its name, a constant. */
VSI_FN vsi_trace vsi_trace_begin(void *handle, const char *call);
/* Ends it and tells. rows as vs_trace has them; of a failed call they do not count. Returns st. */
VSI_FN vs_status vsi_trace_end(const vsi_trace *trace, vs_status st, uint64_t rows);

/* A write transaction of the interface: begun, committed with a checkpoint when it is time for one, rolled back;
 * the hooks are told. */
VSI_FN vs_status vsi_begin(vsi_err *err, vs_db *db, vsi_write *out_write);
VSI_FN vs_status vsi_commit(vsi_err *err, vs_db *db, vsi_write *write, int sync);
VSI_FN void vsi_rollback(vs_db *db, vsi_write *write);

VSI_FN vs_status vsi_change_begin(vsi_err *err, vs_db *db, vs_txn *txn, vsi_change *out_change);
/* Keeps what the call staged if st is VS_OK, else undoes it. Returns st or the failure to keep it.
 */
VSI_FN vs_status vsi_change_end(vsi_err *err, vsi_change *change, vs_status st);

/* What a call does to a collection in a transaction. */
typedef vs_status vsi_collection_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                                       void *ctx);
/* A whole call that changes one collection, in the caller's transaction or one of its own. */
VSI_FN vs_status vsi_collection_change(vs_collection *collection, vs_txn *txn,
                                       vsi_collection_stage *stage, void *ctx);

/* Structs of the interface begin with their size, which tells the version that the caller was
 * compiled for. In: what the caller's version lacks keeps the defaults in out; what this version
 * does not know must be zero. Out: as much is written as the caller's version has. VS_ERR_MISUSE,
 * VS_ERR_UNSUPPORTED; what is the struct's name. */
VSI_FN vs_status vsi_struct_read(vsi_err *err, const char *what, const void *callers, void *out,
                                 size_t ours);
VSI_FN vs_status vsi_struct_check(vsi_err *err, const char *what, const void *callers);
VSI_FN void vsi_struct_write(const void *ours, size_t bytes, void *callers);

#endif
