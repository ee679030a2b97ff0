/* vecstore.h - vecstore, an embedded vector database: the whole public interface.
 *
 * SPDX-License-Identifier: MIT
 *
 * vecstore keeps collections of vectors with their metadata in one database file, changes them in
 * transactions that survive power loss, and finds the nearest vectors of a query. It is a library:
 * no server, no threads of its own, no global state. Compile vecstore.c into the program,
 * and link with -lzstd -lm -lpthread (without -lzstd: -DVS_OMIT_ZSTD).
 *
 * The header reads top to bottom as a tutorial:
 *
 *   1  Results and messages          what calls return, how to say what went wrong
 *   2  Host services                 memory, files and log messages, if the host has its own
 *   3  Opening and closing           vs_open, vs_close, vs_serialize, vs_serialize_to, vs_deserialize
 *   4  Collections                   vs_collection_create, vs_collection_open, vs_collection_rename,
 *                                    vs_collection_copy, vs_collection_drop
 *   5  Records                       vs_key_u64, vs_put, vs_append, vs_get, vs_get_batch, vs_delete,
 *                                    vs_payload_write, vs_payload_read
 *   6  Transactions                  vs_begin, vs_commit, vs_rollback, vs_savepoint, vs_txn_token
 *   7  Search                        vs_search, vs_search_batch, vs_search_radius, vs_search_key
 *   8  Iterating                     vs_scan, vs_search_open, vs_step
 *   9  Key/value notes               vs_kv_put, vs_kv_get
 *  10  Looking after a database      vs_sync, vs_checkpoint, vs_maintain, vs_vacuum, vs_interrupt, vs_set_timeout,
 *                                    vs_stats_get, vs_check, vs_limit_at, vs_param_at, vs_param_set
 *  11  Hooks                         vs_set_hooks: commits, changes and calls, told to the host
 *  12  JSON                          vs_json_begin, vs_json_next, vs_json_floats, vs_json_write_string
 *
 * Words. A *database* is one file. A *collection* holds *records* of one shape. A *record* is a
 * key (a number, bytes or a UUID), a vector or several, and optional metadata (a JSON object)
 * and payload (bytes of any size). The *log* is the files NAME-wal-N beside
 * the database file NAME, which have what was committed since the last checkpoints; while they exist they
 * belong to it and must be moved and copied with it. Closing a database leaves one file.
 *
 * Memory. A pointer passed in is borrowed for the call unless the comment says otherwise. A pointer
 * handed out stays the library's; the comment says until when it is valid, and it may be passed to
 * the call that ends that. Handles are closed by their own function, which accepts NULL; a closed
 * handle must not be used again.
 *
 * Structs that begin with a size are started with their ..._INIT, also those that a call fills; so
 * programs compiled for another version work; what they set that this one lacks is refused with
 * VS_ERR_UNSUPPORTED.
 *
 * Threads. Any thread may use any handle, but one collection, transaction or cursor handle serves
 * one call at a time. A vs_db may be used by several threads at once. Give each thread its own
 * collection handle: then reads run in parallel, beside one writer. A database must not be used in
 * a child process after fork: calls there return VS_ERR_MISUSE, closing frees memory at most. */
#ifndef VECSTORE_H
#define VECSTORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VS_VERSION        "0.1.0"
#define VS_VERSION_NUMBER 1000 /* major * 1000000 + minor * 1000 + patch, here 0.1.0 */

/* Define VS_API before including this header to change how public functions are declared, for
 * example -DVS_API=static to fold the library into one file of yours. */
#ifndef VS_API
#if defined(__GNUC__) && !defined(_WIN32)
#define VS_API __attribute__((visibility("default")))
#else
#define VS_API
#endif
#endif

#if defined(__GNUC__)
#define VS_NODISCARD __attribute__((warn_unused_result))
#else
#define VS_NODISCARD
#endif

/* ---- 1  Results and messages ---------------------------------------------------------------- */

/* What a call returns: VS_OK, VS_ROW or VS_DONE, or an error. A failed call changes nothing in the
 * database and writes none of its out-parameters, unless its comment says so.
 *
 * Stored bytes are read when they are first needed, and verified then. So any call that looks at what a
 * database holds may also return VS_ERR_IO, VS_ERR_CORRUPT or VS_ERR_NOMEM; the lists of errors below
 * do not repeat that. */
typedef int vs_status;

enum {
    VS_OK = 0,
    VS_ERR_MISUSE = 1, /* the call is wrong: NULL, handle of another kind or database, after fork */
    VS_ERR_INVALID = 2,   /* the value is refused: dimension, NaN, malformed JSON, name */
    VS_ERR_NOMEM = 3,     /* the allocator returned NULL */
    VS_ERR_IO = 4,        /* the file system failed; vs_extended_errcode says in which call */
    VS_ERR_FULL = 5,      /* no space on the device or quota reached; see vs_commit */
    VS_ERR_READONLY = 6,  /* opened read-only, read-only media, or writing stopped by a failure */
    VS_ERR_DENIED = 7,    /* the operating system refuses access */
    VS_ERR_BUSY = 8,      /* another writer, process or open handle is in the way */
    VS_ERR_NOT_FOUND = 9, /* no such file, collection, key or note */
    VS_ERR_EXISTS = 10,   /* the collection, key or token exists already */
    VS_ERR_LIMIT = 11,    /* beyond a limit of this library */
    VS_ERR_CORRUPT = 12,  /* stored bytes do not verify; nothing wrong was returned */
    VS_ERR_LOG_MISSING = 13, /* a log file the database needs is not there */
    VS_ERR_NOT_DB = 14,      /* the file is not a vecstore database */
    VS_ERR_TOO_NEW = 15,     /* written by a newer version in a way this one cannot handle */
    VS_ERR_TOO_OLD = 16,     /* written by a version before 1.0 whose format is gone */
    VS_ERR_INDOUBT = 17,     /* the commit may or may not survive; the database is read-only now */
    VS_ERR_INTERRUPTED = 18, /* by the host, which may try again. From a VFS: nothing was done */
    VS_ERR_UNSUPPORTED = 19, /* not offered by this build, VFS or platform */
    VS_ERR_TIMEOUT = 20,     /* of vs_set_timeout or vs_search_options.timeout_ms */
    VS_ERR_CONFLICT = 21,    /* the record is not of the version that the call wants to change */
    VS_ERR_REFUSED = 22,     /* vs_hooks.commit refused the commit: it was rolled back */
    VS_ROW = 100,            /* vs_step: the cursor stands on a record */
    VS_DONE = 101,           /* vs_step, vs_collection_at: there is no further one */

    /* Extended codes: the primary code in the low 8 bits. */
    VS_ERR_IO_OPEN = VS_ERR_IO | 1 << 8,
    VS_ERR_IO_READ = VS_ERR_IO | 2 << 8,
    VS_ERR_IO_WRITE = VS_ERR_IO | 3 << 8,
    VS_ERR_IO_SYNC = VS_ERR_IO | 4 << 8,
    VS_ERR_IO_SIZE = VS_ERR_IO | 5 << 8,
    VS_ERR_IO_TRUNCATE = VS_ERR_IO | 6 << 8,
    VS_ERR_IO_DELETE = VS_ERR_IO | 7 << 8,
    VS_ERR_IO_SYNC_DIR = VS_ERR_IO | 8 << 8,
    VS_ERR_IO_LOCK = VS_ERR_IO | 9 << 8,
    VS_ERR_IO_ALLOCATE = VS_ERR_IO | 10 << 8
};

typedef struct vs_db vs_db;   /* an open database */
typedef struct vs_txn vs_txn; /* a transaction: a snapshot, and changes not committed yet */
typedef struct vs_collection vs_collection; /* one collection of an open database */
typedef struct vs_cursor vs_cursor;         /* a position among records */

/* vs_errmsg - what went wrong in the last failed call on a handle, in English.
 *
 *   handle   a vs_db, vs_txn, vs_collection or vs_cursor; NULL is allowed
 *
 * Names the thing, what was found and what was expected. "" when nothing failed yet.
 * Memory: valid until the next failing call on the same handle, or until it is closed. A call that
 *   ends its handle (vs_commit) or has none yet (vs_begin) leaves its message in the vs_db.
 * Errors: none.
 * Threads: as the handle; on a vs_db shared by threads the message may be another thread's. */
VS_API const char *vs_errmsg(const void *handle);

/* vs_extended_errcode - the code of the last failed call on a handle, with the extended part.
 *
 *   handle   as vs_errmsg
 *
 * Returns VS_OK when nothing failed yet, else a code whose low 8 bits are the primary code.
 * Errors: none.
 * Threads: as vs_errmsg. */
VS_API vs_status vs_extended_errcode(const void *handle);

/* vs_status_name - the name of a status, such as "VS_ERR_BUSY"; "VS_ERR_?" for an unknown one.
 *
 *   status   any value; an extended code gives the name of its primary code
 *
 * Memory: a constant.  Errors: none.  Threads: any. */
VS_API const char *vs_status_name(vs_status status);

/* vs_version - the library's version at run time, as VS_VERSION was when it was compiled.
 *
 * Memory: a constant.  Errors: none.  Threads: any. */
VS_API const char *vs_version(void);

/* vs_version_number - VS_VERSION_NUMBER of the compiled library.
 *
 * Errors: none.  Threads: any. */
VS_API int vs_version_number(void);

/* vs_cpu_features - the kernel sets that this machine can run, best first, such as "avx512 avx2 scalar".
 *
 * The first one is used unless vs_open_options.cpu names another.
 * Memory: a constant.  Errors: none.  Threads: any. */
VS_API const char *vs_cpu_features(void);

/* ---- 2  Host services ----------------------------------------------------------------------- */

/* Memory. All memory of a database comes from the allocator given at vs_open.
 *
 *   realloc(ctx, ptr, old_bytes, new_bytes): as realloc; ptr NULL with old_bytes 0 allocates,
 *   new_bytes 0 frees and returns NULL. old_bytes is what ptr was last given. Alignment as malloc.
 *
 * Threads: called from every thread that uses the database, several at once. */
typedef struct vs_allocator {
    void *ctx;
    void *(*realloc)(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes);
} vs_allocator;

/* Files. All input and output goes through a vs_vfs. vs_vfs_posix is the operating system's files,
 * vs_vfs_memory_create makes one that lives in memory; a host may bring its own.
 *
 * Every function returns VS_OK or an error and may put a short reason into why, a buffer of
 * VS_VFS_WHY_BYTES that is never NULL; the library adds the path and what it was doing. Any
 * function may return VS_ERR_INTERRUPTED: nothing was done, the library calls again (100 times). */
#define VS_VFS_WHY_BYTES 128

/* vs_vfs.open mode. */
enum {
    VS_VFS_READ = 1,
    VS_VFS_WRITE = 2,    /* implies reading */
    VS_VFS_CREATE = 4,   /* create the file when it is missing */
    VS_VFS_EXCLUSIVE = 8 /* with VS_VFS_CREATE: VS_ERR_EXISTS when the file is there */
};

enum { VS_VFS_UNLOCK = 0, VS_VFS_SHARED = 1, VS_VFS_EXCLUSIVE_LOCK = 2 }; /* vs_vfs.lock kind */

typedef struct vs_device_info {
    uint32_t sector_bytes; /* the unit that a power cut tears; 512 or more, a power of two */
    uint32_t blast_bytes;  /* bytes around a write that a power cut may damage: the library never
                              writes into such a block again once something in it is durable */
} vs_device_info;

/* Functions are called by several threads at once, also on one file: sync runs beside write. */
typedef struct vs_vfs {
    uint32_t size; /* sizeof(vs_vfs) */
    void *ctx;     /* passed to every function */

    /* Write the absolute form of path, symbolic links resolved, into out [out_bytes]. The file need
     * not exist, its folder must. */
    vs_status (*full_path)(void *ctx, const char *path, char *out, size_t out_bytes, char *why);

    /* Open a regular file. VS_ERR_NOT_FOUND, VS_ERR_EXISTS, VS_ERR_DENIED, VS_ERR_READONLY (media)
     * and VS_ERR_INVALID (not a regular file) are told apart. The file is closed by close. */
    vs_status (*open)(void *ctx, const char *path, uint32_t mode, void **out_file, char *why);
    void (*close)(void *ctx, void *file);

    /* Move up to bytes bytes at offset; out_bytes is how many. Moving fewer is not an error, the
     * library goes on with the rest; a read of 0 bytes is the end of the file. A write beyond the
     * end extends the file, the gap reads as zeros. */
    vs_status (*read)(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                      size_t *out_bytes, char *why);
    vs_status (*write)(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                       size_t *out_bytes, char *why);

    vs_status (*file_size)(void *ctx, void *file, uint64_t *out_bytes, char *why);
    vs_status (*truncate)(void *ctx, void *file, uint64_t bytes, char *why); /* also extends */
    /* Reserve space so that writes below bytes do not run out of it; the size grows to bytes.
     * VS_ERR_UNSUPPORTED makes the library do without: a full disk may then stop a checkpoint. */
    vs_status (*allocate)(void *ctx, void *file, uint64_t bytes, char *why);
    /* Make what was written to the file, and its size, survive power loss. */
    vs_status (*sync)(void *ctx, void *file, char *why);
    /* Make creations and deletions in the folder that holds path survive power loss. */
    vs_status (*sync_dir)(void *ctx, const char *path, char *why);

    /* Map [offset, offset + bytes) for reading; offset is a multiple of 64 KiB, and the file has these
     * bytes. The memory shows what read would give, also after later writes, and the file may grow and be
     * cut meanwhile; what is cut off is not looked at. Any error makes the library read instead,
     * VS_ERR_UNSUPPORTED is the one to give where there are no maps. */
    vs_status (*map)(void *ctx, void *file, uint64_t offset, size_t bytes, const void **out,
                     char *why);
    void (*unmap)(void *ctx, void *file, const void *address, size_t bytes);

    /* Take, change or drop this open file's lock, without waiting: VS_ERR_BUSY when another open of
     * the same file, in any process, holds one that conflicts. */
    vs_status (*lock)(void *ctx, void *file, int kind, char *why);

    vs_status (*remove)(void *ctx, const char *path, char *why); /* VS_ERR_NOT_FOUND if missing */
    vs_status (*device_info)(void *ctx, void *file, vs_device_info *out, char *why);

    int64_t (*wall_us)(void *ctx);  /* microseconds since 1970, UTC */
    int64_t (*ticks_us)(void *ctx); /* microseconds that only go forward */
    vs_status (*random)(void *ctx, void *buf, size_t bytes, char *why);
    uint64_t (*process_id)(void *ctx);
} vs_vfs;

/* vs_vfs_posix - the operating system's files. Locks are open file description locks on Linux,
 * flock elsewhere.
 *
 * Memory: a constant; NULL on a platform without it.  Errors: none.  Threads: any. */
VS_API const vs_vfs *vs_vfs_posix(void);

/* vs_vfs_memory_create - a file system in memory, empty.
 *
 *   allocator  where its memory comes from; NULL: malloc. Copied.
 *   out_vfs    receives the file system; destroy it with vs_vfs_memory_destroy
 *
 * Its files last until it is destroyed, so that a database can be closed and opened again.
 * Errors: VS_ERR_NOMEM, VS_ERR_MISUSE.
 * Threads: the VFS may be used by several threads. */
VS_NODISCARD VS_API vs_status vs_vfs_memory_create(const vs_allocator *allocator, vs_vfs **out_vfs);

/* vs_vfs_memory_destroy - free a memory file system and all its files.
 *
 *   vfs   from vs_vfs_memory_create; NULL is allowed
 *
 * No database may be open on it.
 * Errors: none.  Threads: no other call on it may run. */
VS_API void vs_vfs_memory_destroy(vs_vfs *vfs);

enum { VS_LOG_INFO = 1, VS_LOG_WARNING = 2, VS_LOG_ERROR = 3 };

/* Messages that no caller asked for: what recovery dropped, a damaged spare meta page, a log moved
 * to a new file after a failed sync. Called with the library's locks held: of this library it may
 * call only what takes no handle. */
typedef void (*vs_log_fn)(void *ctx, int level, const char *message);

/* ---- 3  Opening and closing ----------------------------------------------------------------- */

/* How durable a commit is when vs_commit returns. All three survive a crash of the program. */
enum {
    VS_SYNC_DEFAULT = 0, /* what vs_open_options says: VS_SYNC_FULL unless set */
    VS_SYNC_FULL = 1,    /* survives a power cut, with all commits before it */
    VS_SYNC_NORMAL = 2, /* a power cut may take the commits since the last sync; a commit syncs when
                           the last sync is a second or 4 MiB ago, vs_sync and vs_close always do */
    VS_SYNC_OFF = 3     /* as VS_SYNC_NORMAL, but only checkpoints sync */
};

/* vs_open_options.flags. */
enum {
    VS_OPEN_READONLY = 1, /* never change or create a file; several may read at once */
    VS_OPEN_CREATE = 2,   /* create the database when the file is missing or empty */
    VS_OPEN_MMAP = 4      /* look at vectors and keys in the mapped file; see below */
};

/* Asked whether a call goes on waiting for another thread's write transaction.
 *
 *   ctx         vs_open_options.busy_ctx
 *   waited_ms   how long the call has waited, 0 the first time
 *   tries       how often it was asked about this call before
 *
 * Returns non-zero to wait on, zero to give up: the call returns VS_ERR_BUSY. Between two questions the
 * library waits 1, 2, 4 ... at most 128 ms, and goes on at once when the transaction has ended.
 * It may take its time, may read, with handles of its own and the vs_db, and may end the transaction that is
 * waited for. It must not use a collection that the waiting call was given. What would wait as well
 * returns VS_ERR_MISUSE: vs_begin for writing, calls that change something with txn NULL, vs_checkpoint, and
 * vs_maintain when there is something to do; vs_close returns VS_ERR_BUSY.
 * Threads: called by the thread that waits, with none of the library's locks held; several at once when
 * several threads wait. */
typedef int (*vs_busy_fn)(void *ctx, uint32_t waited_ms, uint32_t tries);

/* How far a long call is. What is counted is a constant: "rows searched", "records put", "records deleted",
 * "records copied", "vectors read", "records checked", "pages checked", "bytes of log checked", "bytes written" (a checkpoint) or
 * "bytes of log recovered" (vs_open). */
typedef struct vs_progress {
    const char *what;
    uint64_t done;
    uint64_t total; /* as far as that is known; 0: it is not */
} vs_progress;

/* Told how far a call is, about every 10 ms while it runs: searches, vs_put_batch and its like, vs_collection_copy, vs_check,
 * vs_get_vectors, checkpoints (vs_checkpoint, vs_maintain, vs_vacuum, vs_close, those that come after a commit), recovery.
 *
 *   ctx        vs_open_options.progress_ctx
 *   progress   how far; what it points to is valid until it returns. Calls of several parts (vs_check) begin
 *              again with another what
 *
 * Returns zero to go on. Non-zero ends the call with VS_ERR_INTERRUPTED, and nothing has changed; a checkpoint that
 * was not asked for is put off, and the commit or the closing that it came with goes on without it. While a
 * checkpoint syncs and writes the meta pages it is neither told nor asked.
 * It must not use the database but by vs_interrupt.
 * Threads: called by the thread that makes the call, with none of the library's locks held but, where something
 * changes, the write transaction; several at once when several calls run. */
typedef int (*vs_progress_fn)(void *ctx, const vs_progress *progress);

/* The host's threads, for calls that can use several: vs_search_batch. The library has none of its own.
 *
 *   ctx        vs_open_options.parallel_ctx
 *   count      1 or more
 *   body       to be called with body_ctx and each i from 0 to count - 1 once, in any order, by any threads, several
 *              at once
 *
 * Returns when all calls of body have returned; that it makes all of them is required, also when it has but one
 * thread. It must not use the database. A call gives the same result with it as without; a vs_progress_fn is called
 * by these threads then, several at once.
 * Threads: several at once when several calls run. */
typedef void (*vs_parallel_fn)(void *ctx, size_t count, void (*body)(void *body_ctx, size_t i),
                               void *body_ctx);

/* vs_open_options.compression: how metadata and notes too large for a page of a tree (about 1.3 KB) are
 * stored from now on. What is stored already stays as it is, and is read in any case. */
enum {
    VS_COMPRESSION_DEFAULT = 0, /* as VS_COMPRESSION_ZSTD, where zstd is built in */
    VS_COMPRESSION_NONE = 1,    /* as they are */
    VS_COMPRESSION_ZSTD = 2     /* with zstd, each that takes fewer pages of 4 KiB then */
};

/* vs_param_set changes some of them while the database is open; vs_param_at has the bounds of all. */
typedef struct vs_open_options {
    uint32_t size;                 /* VS_OPEN_OPTIONS_INIT sets it */
    uint32_t flags;                /* VS_OPEN_... */
    const vs_vfs *vfs;             /* NULL: vs_vfs_posix(), for ":memory:" one of its own; must
                                      outlive the database */
    const vs_allocator *allocator; /* NULL: malloc, and on Linux large pages; copied */
    vs_log_fn log;                 /* NULL: no messages */
    void *log_ctx;
    const char *cpu;          /* NULL: the best of vs_cpu_features, else one of its names */
    int sync;                 /* VS_SYNC_..., the default of commits; 0: VS_SYNC_FULL */
    uint32_t busy_timeout_ms; /* how long to wait for another thread's write transaction;
                                 0: 5000. VS_NO_WAIT: do not wait. With busy it is not used */
    uint64_t memory_limit;    /* bytes; 0: 1 GiB. VS_NO_LIMIT: none */
    vs_busy_fn busy;          /* NULL: wait for busy_timeout_ms */
    void *busy_ctx;
    int compression;         /* VS_COMPRESSION_... */
    uint32_t trailer_bytes;  /* of a database that is created: bytes that stay free at the end of
                               each piece of the file, 0 or 40; with 40 an encryption that a later
                               version may bring needs no copy. What exists stays as it is */
    vs_progress_fn progress; /* NULL: nobody is told how far calls are */
    void *progress_ctx;
    vs_parallel_fn parallel_for; /* NULL: calls use the thread that makes them */
    void *parallel_ctx;
} vs_open_options;

/* The memory limit. What is read from the file stays in memory for the next time, until all memory of the
 * database, of vs_stats.memory_bytes, reaches the limit. Then what nobody has asked for of late leaves,
 * changes that are not in a checkpoint are written to the file early, and searches read what does not fit
 * as they go. It never changes an answer. Memory goes beyond it for the moment by what single calls
 * need: a batch, a record, a search's hits, the trees that vs_check reads.
 *
 * Without an allocator of the host, vectors lie in pages of 2 MiB where the system gives them for the asking
 * (Linux), but for the first 4 MiB of each size of row. A part of such pages may be unused and counts nowhere:
 * up to an eighth of what the vectors take, and 2 MiB for each size of row. */
#define VS_NO_LIMIT UINT64_MAX
#define VS_NO_WAIT  UINT32_MAX

/* VS_OPEN_MMAP. Vectors and keys that the last checkpoint has are not read into memory but looked at where
 * the system maps the file (vs_vfs.map), verified when they are first needed, and again when they come back
 * after nobody had asked for them. Their pages are the system's cache: they count neither in
 * vs_stats.memory_bytes nor against the memory limit, which then holds for everything else, among it
 * about 150 bytes for each 16 KiB looked at. What was changed since the last checkpoint is memory as
 * without it, and stays until the limit asks for room. No answer depends on it.
 *
 * It is off by default because of what a library cannot handle: when the device fails to read a mapped page,
 * or another program cuts the file, the system sends the process a signal (SIGBUS) in place of an error; and
 * damage of a page after it was verified goes unnoticed while it stays in use (vs_check reads the file). Where
 * there are no maps (VS_ERR_UNSUPPORTED of the VFS, vectors of floats on big-endian machines, no address
 * space), vectors are read. */
#define VS_OPEN_OPTIONS_INIT                                                                       \
    {                                                                                              \
        sizeof(vs_open_options), 0, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, NULL, NULL, 0, 0, NULL, \
            NULL, NULL, NULL                                                                       \
    }

/* vs_open - open a database, or create one.
 *
 *   path      the database file; while it is in use its log lies beside it. ":memory:": see below
 *   options   NULL: read-write, an existing file, all defaults
 *   out_db    receives the handle, also when the open failed: vs_errmsg(db) tells why. Close it
 *             with vs_close in any case. NULL only when there was no memory for the handle.
 *
 * The state is the one after the last commit that survived; after a power cut not older than the
 * last one acknowledged at VS_SYNC_FULL. Recovery changes no file, but a log that needs more memory than the
 * limit is partly written to pages of the database file that are free.
 * One process and one handle at a time may have a database open for writing, and nobody may read it
 * meanwhile: the second open returns VS_ERR_BUSY and names the process.
 *
 * The path ":memory:" makes a new database in memory that is empty and nobody else's: two opens are two
 * databases. VS_OPEN_CREATE need not be given. It does all that others do, savepoints, checkpoints and
 * checking among it, and is gone when it is closed; vs_serialize keeps it. It has a file system of its own,
 * as vs_vfs_memory_create makes them, so vfs must be NULL. The memory of its files comes from the allocator; it
 * counts neither in vs_stats.memory_bytes nor against the memory limit, which only bounds what is kept beside
 * them. It is up to twice vs_stats.file_bytes and the logs since the last two checkpoints. VS_OPEN_MMAP spares a
 * copy of the vectors that the last checkpoint has. A path that ends in "/:memory:" is refused: no file gets
 * that name.
 * Errors: VS_ERR_NOT_FOUND (no file, no VS_OPEN_CREATE), VS_ERR_NOT_DB, VS_ERR_CORRUPT,
 *   VS_ERR_LOG_MISSING, VS_ERR_TOO_NEW, VS_ERR_TOO_OLD, VS_ERR_BUSY, VS_ERR_READONLY (media),
 *   VS_ERR_DENIED, VS_ERR_INVALID (path, not a regular file), VS_ERR_LIMIT (a name longer than 230
 *   bytes), VS_ERR_INTERRUPTED (vs_open_options.progress), VS_ERR_IO, VS_ERR_FULL, VS_ERR_UNSUPPORTED (cpu;
 *   zstd, asked for or needed by the file, in a build with VS_OMIT_ZSTD), VS_ERR_NOMEM, VS_ERR_MISUSE (also
 *   ":memory:" with a vfs or VS_OPEN_READONLY).
 * Threads: any; opens of different files may run in parallel. */
VS_NODISCARD VS_API vs_status vs_open(const char *path, const vs_open_options *options,
                                      vs_db **out_db);

/* vs_close - close a database and free the handle.
 *
 *   db   the handle, also one of a failed vs_open; NULL is allowed
 *
 * Makes every commit durable, also those at VS_SYNC_NORMAL and VS_SYNC_OFF, makes a checkpoint and
 * deletes the log; of a database in memory nothing is left. A checkpoint that cannot be made (a full disk) only leaves the log, and a message
 * says so. When commits cannot be made durable the error is returned, nothing acknowledged at
 * VS_SYNC_FULL is lost, and the handle is gone all the same.
 * Errors: VS_ERR_BUSY while transactions, cursors or collections of it are open, or a call on it asks
 *   vs_open_options.busy: the handle then
 *   stays as it was; VS_ERR_IO, VS_ERR_FULL, VS_ERR_INDOUBT, VS_ERR_MISUSE (no vs_db). In a child
 *   process after fork: VS_OK, only memory is freed, and its other handles must not be used.
 * Threads: no other call on this database may run. */
VS_API vs_status vs_close(vs_db *db);

/* vs_serialize - a database as one block of bytes: those of its file if it were closed now.
 *
 *   db          an open database, also one in memory, or opened read-only
 *   out_data    receives the block, which is the caller's; free it with vs_free
 *   out_bytes   receives its size
 *
 * It holds what the last commit left, as a snapshot taken now would show it. Written to a file it is a database
 * that vs_open opens, with the same UUID; vs_deserialize opens it where it is. All of it was verified.
 * Nothing of the database or its files changes, also by no checkpoint. A write transaction may be open, also
 * this thread's: its changes are not in the block.
 * Memory: from the database's allocator, and counted nowhere. Beside the block the call needs as much again for
 *   a copy of the file, twice as much and the log when there is a log; the memory limit holds for what is kept
 *   beside that copy, which is in none of vs_stats.
 * Errors: VS_ERR_CORRUPT and VS_ERR_LOG_MISSING (the files are damaged), VS_ERR_TOO_NEW (read-only, by a version
 *   that may not write this database), VS_ERR_LIMIT (too large for an address), VS_ERR_IO, VS_ERR_NOMEM,
 *   VS_ERR_MISUSE.
 * Threads: any; readers and writers go on. */
VS_NODISCARD VS_API vs_status vs_serialize(vs_db *db, void **out_data, size_t *out_bytes);

/* Receives bytes, one piece behind the other.
 *
 *   data     [bytes] valid until it returns
 *   offset   of the first of them; that behind the last is the next call's
 *
 * Returns VS_OK, or an error that ends the call which asked for the bytes, and is what that returns. */
typedef vs_status (*vs_write_fn)(void *ctx, const void *data, size_t bytes, uint64_t offset);

/* vs_serialize_to - the same bytes in pieces, for who writes them to a file or sends them.
 *
 *   db      as vs_serialize
 *   write   called with each piece of at most 1 MiB, in ascending order; it may use the database
 *   ctx     passed to write
 *
 * The first piece comes when all of the database was copied and verified; those that were written before an error are
 * no database.
 * Memory: as vs_serialize, without the block.
 * Errors: what write returns; else as vs_serialize, but for VS_ERR_LIMIT.
 * Threads: any; readers and writers go on. */
VS_NODISCARD VS_API vs_status vs_serialize_to(vs_db *db, vs_write_fn write, void *ctx);

/* vs_free - free a block that the library has given away.
 *
 *   data   from vs_serialize; NULL is allowed. The database may be closed, its allocator must still work
 *
 * Errors: none.  Threads: any. */
VS_API void vs_free(void *data);

/* vs_deserialize - open a database in memory that begins with given bytes.
 *
 *   data      [bytes] a closed database: from vs_serialize, or what its file has. Copied. With
 *             VS_OPEN_READONLY they are used where they are: borrowed until vs_close, and must not change;
 *             aligned to 16 they can be mapped (VS_OPEN_MMAP), others are read
 *   options   as vs_open for ":memory:"; NULL: all defaults
 *   out_db    as vs_open: receives the handle, also when it failed
 *
 * Nothing is written anywhere: what is committed is gone with vs_close, unless vs_serialize keeps it. VS_OPEN_CREATE
 * means nothing here. The bytes are trusted as little as those of a file.
 * Errors: VS_ERR_NOT_DB (also no bytes), VS_ERR_CORRUPT, VS_ERR_LOG_MISSING (the file of a database that was not
 *   closed), VS_ERR_TOO_NEW, VS_ERR_TOO_OLD, VS_ERR_UNSUPPORTED, VS_ERR_NOMEM, VS_ERR_MISUSE (NULL, options).
 * Threads: any. */
VS_NODISCARD VS_API vs_status vs_deserialize(const void *data, size_t bytes,
                                             const vs_open_options *options, vs_db **out_db);

/* ---- 4  Collections ------------------------------------------------------------------------- */

/* Element types. Vectors are given in any of them and converted (vs_put). */
enum {
    VS_F32 = 1,
    VS_U8 = 2,
    VS_F16 = 3,  /* half precision, IEEE 754 binary16 */
    VS_BF16 = 4, /* the upper half of an f32 */
    VS_I8 = 5,
    VS_BIT = 6 /* eight to a byte, the lowest bit first; unused ones of the last byte are zero */
};

/* Metrics: smaller is nearer. */
enum {
    VS_L2 = 1,     /* squared Euclidean distance */
    VS_IP = 2,     /* minus the inner product */
    VS_COSINE = 3, /* 1 - cosine; a vector of zeros is at distance 1 from everything */
    VS_L1 = 4,     /* sum of the absolute differences */

    /* for vectors of VS_BIT, which have no others: */
    VS_HAMMING = 5, /* bits that differ */
    VS_JACCARD = 6  /* 1 - bits that both have / bits that one of them has; 0 when there are none */
};

#define VS_DIM_MAX            65535u         /* elements of a vector */
#define VS_NAME_BYTES_MAX     255u           /* bytes of a collection's name */
#define VS_FIELDS_MAX         8u             /* vector fields of a collection */
#define VS_FIELD_BYTES_MAX    63u            /* bytes of a field's name */
#define VS_INDEX_BYTES_MAX    255u           /* bytes of an index description */
#define VS_KEY_BYTES_MAX      1024u          /* bytes of a record's key */
#define VS_METADATA_BYTES_MAX 1048576u       /* bytes of one record's metadata */
#define VS_PAYLOAD_BYTES_MAX  1099511627776u /* bytes of one record's payload: 1 TiB */
#define VS_RECORDS_MAX        4294967294u    /* records of a collection */
#define VS_KV_KEY_BYTES_MAX   1024u          /* bytes of a note's key */
#define VS_KV_VALUE_BYTES_MAX 1048576u       /* bytes of a note's value */

/* vs_field.flags */
enum {
    VS_FIELD_OPTIONAL =
        1 /* records may be without this vector; a search of the field passes them over */
};

/* A vector field of a collection. How it is searched, its index:
 *
 *   "auto"              the library's choice, "flat" in this version
 *   "flat"              each search looks at all vectors
 *   "flat(codes=rq4)"   each search looks at all vectors, but reads codes of 4 bits a dimension first, which are kept beside them, and
 *                       then only the vectors that may be among the nearest. The hits are the same, bit for bit. rq8, rq2 and rq1
 *                       have as many bits, f16 and bf16 are floats of 16 bits: longer and slower than rq8, with estimates that are nearly
 *                       the distances, of use for vectors of VS_F32. For numbers under VS_L2, VS_IP and VS_COSINE. Long vectors are searched several times
 *                       faster (bench/RESULTS.md), putting one takes some microseconds more, and f32 take an eighth more of
 *                       the file. There are codes from about the 1024th vector on; damaged ones change no hit and are
 *                       made anew. */
typedef struct vs_field {
    uint32_t size;     /* VS_FIELD_INIT sets it */
    uint32_t dim;      /* 1 .. VS_DIM_MAX; required */
    int type;          /* VS_F32 ... VS_BIT; 0: VS_F32 */
    int metric;        /* VS_L2 ...; 0: VS_L2, of VS_BIT VS_HAMMING */
    const char *name;  /* 1 .. VS_FIELD_BYTES_MAX bytes of UTF-8; NULL: "vector" */
    const char *index; /* as above; NULL: "auto" */
    uint32_t flags;    /* VS_FIELD_... */
} vs_field;

#define VS_FIELD_INIT                                                                              \
    { sizeof(vs_field), 0, 0, 0, NULL, NULL, 0 }

/* What a record of a collection has: one vector, or several. */
typedef struct vs_collection_options {
    uint32_t size; /* VS_COLLECTION_OPTIONS_INIT sets it */
    uint32_t dim;  /* of the only vector, as the next three; there is no default */
    int type;
    int metric;
    const char *index;
    const vs_field
        *fields; /* [field_count] instead of these four; calls name them by their number, 0 ... */
    size_t field_count;   /* 1 .. VS_FIELDS_MAX, if there are fields */
    uint64_t max_records; /* as vs_collection_set_limits */
    uint64_t max_bytes;
} vs_collection_options;

#define VS_COLLECTION_OPTIONS_INIT                                                                 \
    { sizeof(vs_collection_options), 0, 0, 0, NULL, NULL, 0, 0, 0 }

typedef struct vs_collection_info {
    uint32_t size; /* VS_COLLECTION_INFO_INIT sets it */
    uint32_t id;   /* never used again for another collection of this database */
    char name[VS_NAME_BYTES_MAX + 1];
    char index[VS_INDEX_BYTES_MAX + 1]; /* of field 0, as given at creation, as the next three */
    uint32_t dim;
    int type;
    int metric;
    uint64_t count;                  /* records */
    int64_t created_us;              /* microseconds since 1970, UTC */
    uint32_t fields;                 /* how many vector fields it has */
    uint64_t bytes;                  /* of the keys, vectors and metadata of all records */
    uint64_t max_records, max_bytes; /* 0: no limit */
    int64_t
        changed_us; /* when the transaction began that changed its records last; created_us before */
} vs_collection_info;

#define VS_COLLECTION_INFO_INIT                                                                    \
    { sizeof(vs_collection_info), 0, {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

typedef struct vs_field_info {
    uint32_t size; /* VS_FIELD_INFO_INIT sets it */
    uint32_t dim;
    int type;
    int metric;
    uint32_t flags; /* VS_FIELD_... */
    char name[VS_FIELD_BYTES_MAX + 1];
    char index[VS_INDEX_BYTES_MAX + 1]; /* as given at creation */
} vs_field_info;

#define VS_FIELD_INFO_INIT                                                                         \
    {                                                                                              \
        sizeof(vs_field_info), 0, 0, 0, 0, {0}, {                                                  \
            0                                                                                      \
        }                                                                                          \
    }

/* vs_collection_create - create an empty collection.
 *
 *   db        an open database
 *   txn       a write transaction, or NULL: a transaction of its own
 *   name      1 .. VS_NAME_BYTES_MAX bytes of UTF-8 without ASCII control characters
 *   options   required: there is no default dimension
 *   out_collection  receives a handle, closed with vs_collection_close; NULL: none wanted
 *
 * Errors: VS_ERR_EXISTS, VS_ERR_INVALID (name, dim, type, metric, index; names of fields), VS_ERR_LIMIT,
 *   VS_ERR_READONLY, VS_ERR_BUSY, VS_ERR_IO, VS_ERR_FULL, VS_ERR_INDOUBT, VS_ERR_NOMEM,
 *   VS_ERR_MISUSE. The message is in txn, or in db when txn is NULL.
 * Threads: as the handles given. */
VS_NODISCARD VS_API vs_status vs_collection_create(vs_db *db, vs_txn *txn, const char *name,
                                                   const vs_collection_options *options,
                                                   vs_collection **out_collection);

/* vs_collection_open - a handle to an existing collection.
 *
 *   db     an open database
 *   txn    the transaction whose state is asked, or NULL: the last commit
 *   name   the collection's name
 *   out_collection  receives the handle, closed with vs_collection_close
 *
 * Errors: VS_ERR_NOT_FOUND, VS_ERR_NOMEM, VS_ERR_MISUSE. The message is in txn, or in db.
 * Threads: as the handles given. */
VS_NODISCARD VS_API vs_status vs_collection_open(vs_db *db, vs_txn *txn, const char *name,
                                                 vs_collection **out_collection);

/* vs_collection_close - close a collection handle; NULL is allowed.
 *
 *   collection   the handle; cursors opened from it stay valid
 *
 * Errors: none.  Threads: no other call on this handle may run. */
VS_API void vs_collection_close(vs_collection *collection);

/* vs_collection_info_get - what a collection is and how many records it has.
 *
 *   collection   the collection
 *   txn          the transaction whose state is asked, or NULL: the last commit
 *   out_info     [1] its size member says how much may be written
 *
 * Errors: VS_ERR_NOT_FOUND (its creation was rolled back), VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_collection_info_get(vs_collection *collection, vs_txn *txn,
                                                     vs_collection_info *out_info);

/* What a collection takes in the file, by structure; whole pages. What changed since the last checkpoint counts as
 * it will be written, but vectors count only from that checkpoint on. */
typedef struct vs_collection_stats {
    uint32_t size; /* VS_COLLECTION_STATS_INIT sets it */
    uint64_t records;
    uint64_t dead_slots; /* places of records that were deleted or replaced, for new ones to use */
    uint64_t key_bytes;  /* trees of keys */
    uint64_t metadata_bytes;
    uint64_t payload_bytes;
    uint64_t vector_bytes; /* vectors of all fields, their codes, and 32 bytes for each place */
    uint64_t bitmap_bytes; /* which places hold a record, and where vectors are */
    uint64_t total_bytes;  /* of these five */
} vs_collection_stats;

#define VS_COLLECTION_STATS_INIT                                                                   \
    { sizeof(vs_collection_stats), 0, 0, 0, 0, 0, 0, 0, 0 }

/* vs_collection_stats_get - measure a collection.
 *
 *   collection   the collection
 *   txn          the transaction whose state is asked, or NULL: the last commit
 *   out_stats    [1] filled
 *
 * Looks at every node of its trees, so it takes time with the number of records; vectors are not read.
 * Errors: VS_ERR_NOT_FOUND, VS_ERR_CORRUPT, VS_ERR_IO, VS_ERR_NOMEM, VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_collection_stats_get(vs_collection *collection, vs_txn *txn,
                                                      vs_collection_stats *out_stats);

/* vs_collection_at - the collections of a database one by one, in the order of their ids.
 *
 *   db         an open database
 *   txn        the transaction whose state is asked, or NULL: the last commit
 *   at         0, 1, 2, ...
 *   out_info   [1] its size member says how much may be written
 *
 * Returns VS_OK, or VS_DONE when there are not so many.
 * Errors: VS_ERR_MISUSE.
 * Threads: any; use a transaction for a list that cannot change meanwhile. */
VS_NODISCARD VS_API vs_status vs_collection_at(vs_db *db, vs_txn *txn, size_t at,
                                               vs_collection_info *out_info);

/* vs_collection_rename - give a collection another name.
 *
 *   collection   the collection; the handle goes on with it, and keeps the old name in messages
 *   txn          a write transaction, or NULL: a transaction of its own
 *   name         as vs_collection_create
 *
 * Snapshots keep the name that it had. Aliases lead to it as before.
 * Errors: VS_ERR_EXISTS (the name is another collection's, an alias, or its own), VS_ERR_INVALID (name),
 *   VS_ERR_NOT_FOUND (the collection), VS_ERR_READONLY, VS_ERR_BUSY, VS_ERR_IO, VS_ERR_FULL, VS_ERR_INDOUBT,
 *   VS_ERR_NOMEM, VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_collection_rename(vs_collection *collection, vs_txn *txn,
                                                   const char *name);

/* vs_collection_copy - make a second collection of the same records.
 *
 *   collection       what is copied, as the transaction has it: fields, limits, records with metadata and
 *                    payloads, notes; not aliases
 *   txn              a write transaction, or NULL: a transaction of its own
 *   name             of the new one, as vs_collection_create
 *   out_collection   [1] receives a handle to it; NULL: not wanted. After an error it is unchanged
 *
 * It takes as long as writing all of it once; what is staged goes to the log on the way, so that memory does not
 * grow with it.
 * Errors: VS_ERR_EXISTS, VS_ERR_INVALID (name), VS_ERR_NOT_FOUND (the collection), VS_ERR_LIMIT (savepoints),
 *   VS_ERR_CORRUPT; else as vs_collection_rename.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_collection_copy(vs_collection *collection, vs_txn *txn,
                                                 const char *name, vs_collection **out_collection);

/* vs_collection_drop - delete a collection with its records, notes and aliases.
 *
 *   collection   the collection; the handle remains to be closed, and every other call on it fails with
 *                VS_ERR_NOT_FOUND
 *   txn          a write transaction, or NULL: a transaction of its own
 *
 * Snapshots keep it. Its name is free at once. The space that it took in the file is free for others after two
 * checkpoints, and when no snapshot has it any more; vs_vacuum or closing makes the file smaller.
 * Errors: VS_ERR_NOT_FOUND, VS_ERR_CORRUPT, VS_ERR_READONLY, VS_ERR_BUSY, VS_ERR_IO, VS_ERR_FULL, VS_ERR_INDOUBT,
 *   VS_ERR_NOMEM, VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_collection_drop(vs_collection *collection, vs_txn *txn);

/* vs_alias_set - make a name lead to a collection, or to another one than before, at once.
 *
 *   db           an open database
 *   txn          a write transaction, or NULL: a transaction of its own
 *   name         as vs_collection_create; vs_collection_open takes it like the collection's own
 *   collection   where it leads to; NULL: the alias goes
 *
 * Handles that were opened by the alias stay with the collection that it led to.
 * Errors: VS_ERR_EXISTS (the name is a collection's own), VS_ERR_NOT_FOUND (no such alias goes; the collection),
 *   else as vs_collection_rename. Message in txn, or in db.
 * Threads: as the handles given. */
VS_NODISCARD VS_API vs_status vs_alias_set(vs_db *db, vs_txn *txn, const char *name,
                                           vs_collection *collection);

typedef struct vs_alias_info {
    uint32_t size; /* VS_ALIAS_INFO_INIT sets it */
    char name[VS_NAME_BYTES_MAX + 1];
    char collection[VS_NAME_BYTES_MAX + 1]; /* the name of the collection that it leads to */
} vs_alias_info;

#define VS_ALIAS_INFO_INIT                                                                         \
    {                                                                                              \
        sizeof(vs_alias_info), {0}, {                                                              \
            0                                                                                      \
        }                                                                                          \
    }

/* vs_alias_at - the aliases of a database one by one, in the order of their bytes.
 *
 *   db         an open database
 *   txn        the transaction whose state is asked, or NULL: the last commit
 *   at         0, 1, 2, ...
 *   out_info   [1] its size member says how much may be written
 *
 * Returns VS_OK, or VS_DONE when there are not so many.
 * Errors: VS_ERR_MISUSE.
 * Threads: any; use a transaction for a list that cannot change meanwhile. */
VS_NODISCARD VS_API vs_status vs_alias_at(vs_db *db, vs_txn *txn, size_t at,
                                          vs_alias_info *out_info);

/* vs_collection_set_limits - how large a collection may become.
 *
 *   collection    the collection
 *   txn           a write transaction, or NULL: a transaction of its own
 *   max_records   calls that would make it have more records return VS_ERR_LIMIT; 0: no limit
 *   max_bytes     likewise for the bytes of keys, vectors and metadata (vs_collection_info.bytes); 0: no limit
 *
 * What is there already stays; only what makes it larger is refused.
 * Errors: as vs_collection_rename, but for the name.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_collection_set_limits(vs_collection *collection, vs_txn *txn,
                                                       uint64_t max_records, uint64_t max_bytes);

/* vs_field_at - the vector fields of a collection one by one.
 *
 *   collection   the collection
 *   txn          the transaction whose state is asked, or NULL: the last commit
 *   at           0, 1, 2, ...: the number by which calls name the field
 *   out_info     [1] its size member says how much may be written
 *
 * Returns VS_OK, or VS_DONE when there are not so many.
 * Errors: VS_ERR_NOT_FOUND (the collection's creation was rolled back), VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_field_at(vs_collection *collection, vs_txn *txn, size_t at,
                                          vs_field_info *out_info);

/* ---- 5  Records ----------------------------------------------------------------------------- */

/* Kinds of keys. */
enum {
    VS_KEY_U64 = 0,   /* a number */
    VS_KEY_BYTES = 1, /* 1 .. VS_KEY_BYTES_MAX bytes, any; texts are given by vs_key_text */
    VS_KEY_UUID = 2   /* 16 bytes */
};

/* The key of a record: unique in its collection. A collection may have keys of all kinds, and of any number of
 * namespaces: the same number in two of them is two keys. Keys are in the order of their namespaces, there of
 * their kinds, there as numbers or as memcmp compares, a prefix before what it begins.
 *
 * All zero but number, it is a number of namespace 0: (vs_key){.number = 42}. */
typedef struct vs_key {
    uint64_t number;  /* of VS_KEY_U64; else 0 */
    const void *data; /* [bytes]; of VS_KEY_U64 NULL */
    uint16_t bytes;   /* of data */
    uint16_t kind;    /* VS_KEY_... */
    uint32_t space;   /* the namespace; 0: the default */
} vs_key;

/* vs_key_u64 - a number as a key of namespace 0.
 *
 *   number   any
 *
 * Errors: none.  Threads: any. */
VS_API vs_key vs_key_u64(uint64_t number);

/* vs_key_text - a text as a key of namespace 0: its bytes.
 *
 *   text   up to its NUL; borrowed as long as the key is used
 *
 * Errors: none; the call that gets the key refuses one that is NULL, empty or too long.  Threads: any. */
VS_API vs_key vs_key_text(const char *text);

/* vs_key_bytes - bytes as a key of namespace 0.
 *
 *   data   [bytes] borrowed as long as the key is used
 *
 * Errors: as vs_key_text.  Threads: any. */
VS_API vs_key vs_key_bytes(const void *data, size_t bytes);

/* vs_key_uuid - a UUID as a key of namespace 0.
 *
 *   uuid   [16] in the order in which it is printed; borrowed as long as the key is used
 *
 * Errors: as vs_key_text.  Threads: any. */
VS_API vs_key vs_key_uuid(const void *uuid);

/* vs_key_in - a key in another namespace.
 *
 *   space   the namespace
 *   key     the key
 *
 * Errors: none.  Threads: any. */
VS_API vs_key vs_key_in(uint32_t space, vs_key key);

/* vs_key_compare - the order of two valid keys.
 *
 *   a, b   the keys
 *
 * Returns a number below 0, 0 or one above 0: a is in front of b, they are the same, or a is behind b.
 * Errors: none.  Threads: any. */
VS_API int vs_key_compare(vs_key a, vs_key b);

/* A vector of a record. */
typedef struct vs_vector {
    const void *data; /* [dim], any alignment; of VS_BIT [(dim + 7) / 8] bytes */
    int type;         /* its element type; 0 on input: the field's */
    uint32_t field;   /* number of the field */
} vs_vector;

typedef struct vs_record {
    uint32_t size;   /* VS_RECORD_INIT sets it */
    int vector_type; /* element type of vector; 0 on input: the field's */
    vs_key key;
    const void *vector;       /* of field 0, as vs_vector.data; NULL: none */
    const char *metadata;     /* a JSON object in UTF-8, or NULL: none */
    size_t metadata_bytes;    /* 0: up to its NUL; what comes out has both the size and a NUL */
    const vs_vector *vectors; /* [vector_count] further ones: of other fields, in any order */
    size_t vector_count;
    uint64_t version;       /* out: of the content; in: not looked at */
    uint64_t if_version;    /* in: only if what is there has this version; 0: whichever it has */
    uint64_t payload_bytes; /* out: of its payload, see vs_payload_write; in: not looked at */
} vs_record;

/* A version is a hash of a record's vectors, metadata and payload, never 0: it changes when they do, and the same
 * content has the same version, in whatever database. */

#define VS_RECORD_INIT                                                                             \
    { sizeof(vs_record), 0, {0, NULL, 0, 0, 0}, NULL, NULL, 0, NULL, 0, 0, 0, 0 }

/* The vectors of many records, of one field. */
typedef struct vs_column {
    const void *data;    /* [count x stride_bytes], any alignment */
    size_t stride_bytes; /* from one vector to the next; 0: without gaps */
    const uint8_t
        *present;   /* [count] zero: the record has no vector of this field; NULL: all have */
    int type;       /* element type; 0: the field's */
    uint32_t field; /* its number */
} vs_column;

/* Many records as columns. */
typedef struct vs_batch {
    uint32_t size;                /* VS_BATCH_INIT sets it */
    int vector_type;              /* element type of vectors; 0: the field's */
    size_t count;                 /* records */
    const uint64_t *numbers;      /* [count] keys that are numbers, in namespace space; or NULL */
    const vs_key *keys;           /* [count] keys of any kind; or NULL. One of the two is given */
    uint32_t space;               /* namespace of numbers */
    const void *vectors;          /* of field 0, [count x stride_bytes], any alignment; or NULL */
    size_t stride_bytes;          /* from one vector to the next; 0: without gaps */
    const char *const *metadata;  /* [count] JSON objects, NULL entries allowed; or NULL: none */
    const size_t *metadata_bytes; /* [count], 0: up to its NUL; or NULL: all end with a NUL */
    vs_status *statuses;          /* [count] or NULL; see vs_put_batch */
    const vs_column *columns;     /* [column_count] further vectors, of any fields */
    size_t column_count;
} vs_batch;

#define VS_BATCH_INIT                                                                              \
    { sizeof(vs_batch), 0, 0, NULL, NULL, 0, NULL, 0, NULL, NULL, NULL, NULL, 0 }

/* What to do about a key that exists. */
enum {
    VS_UPSERT = 0,  /* replace the record: vector and metadata */
    VS_INSERT = 1,  /* VS_ERR_EXISTS, naming the key */
    VS_REPLACE = 2, /* as VS_UPSERT; and a key that does not exist is VS_ERR_NOT_FOUND */
    VS_IGNORE = 3   /* leave the record as it is: VS_OK */
};

/* vs_put - write one record.
 *
 *   collection   the collection
 *   txn          a write transaction, or NULL: a transaction of its own
 *   record       key, vector and metadata; copied
 *   mode         VS_UPSERT, VS_INSERT, VS_REPLACE or VS_IGNORE
 *
 * A record has a vector of each field that is not optional, and at most one of each. Vectors are converted to
 * the field's element type. To f32, f16 and bf16 numbers are rounded to the
 * nearest, ties to even; what would become infinite is refused. To u8, i8 and bit only numbers that the
 * type has: 3.5 is no u8, and 2 no bit. NaN and infinity are refused.
 * Metadata is stored without insignificant white space; numbers and strings keep their bytes.
 * With record->if_version there must be a record of that version, else nothing changes.
 * Errors: VS_ERR_EXISTS, VS_ERR_CONFLICT (if_version), VS_ERR_INVALID (key, vector, metadata), VS_ERR_LIMIT (key; metadata larger than
 *   VS_METADATA_BYTES_MAX or nested deeper than 64; records), VS_ERR_NOT_FOUND (the
 *   collection; with VS_REPLACE the key), VS_ERR_READONLY, VS_ERR_BUSY, VS_ERR_IO, VS_ERR_FULL, VS_ERR_INDOUBT,
 *   VS_ERR_NOMEM, VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_put(vs_collection *collection, vs_txn *txn,
                                     const vs_record *record, int mode);

/* vs_put_batch - write many records, all or none, or each that can be.
 *
 *   collection   the collection
 *   txn          a write transaction, or NULL: a transaction of its own, one commit for the batch
 *   batch        the records; copied. With VS_INSERT a key that occurs twice is VS_ERR_EXISTS, with
 *                VS_UPSERT the later one wins.
 *   mode         as vs_put
 *
 * Without batch->statuses one row that is refused refuses the batch. With it every row's own status is
 * written there, and the others are put all the same: VS_ERR_INVALID, VS_ERR_EXISTS, VS_ERR_NOT_FOUND and
 * VS_ERR_LIMIT are then of a row, not of the call.
 * Errors: as vs_put; the message names the row. VS_ERR_INTERRUPTED (vs_interrupt), VS_ERR_TIMEOUT (vs_set_timeout).
 *   Nothing of a failed batch stays, and statuses hold anything.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_put_batch(vs_collection *collection, vs_txn *txn,
                                           const vs_batch *batch, int mode);

/* vs_append - write a new record under a number that the database chooses.
 *
 *   collection   the collection
 *   txn          a write transaction, or NULL: a transaction of its own
 *   record       vector and metadata; copied. Of its key only the namespace counts
 *   out_number   [1] receives the number: one above the largest that a key of this collection ever was, in any
 *                namespace, but those of transactions rolled back; 1 in a new one. NULL: not wanted
 *
 * Errors: VS_ERR_LIMIT when UINT64_MAX was a key; else as vs_put.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_append(vs_collection *collection, vs_txn *txn,
                                        const vs_record *record, uint64_t *out_number);

/* vs_append_batch - write many new records under numbers that the database chooses.
 *
 *   collection    the collection
 *   txn           a write transaction, or NULL: a transaction of its own, one commit for the batch
 *   batch         the records; copied. numbers and keys are NULL
 *   out_numbers   [count] receives the numbers, ascending; 0 for a row that was refused (batch->statuses).
 *                 NULL: not wanted. After an error it holds anything
 *
 * Errors: as vs_put_batch and vs_append.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_append_batch(vs_collection *collection, vs_txn *txn,
                                              const vs_batch *batch, uint64_t *out_numbers);

/* Payloads. A record may have a payload: bytes that mean nothing to the database, such as a document or an
 * image, from none to VS_PAYLOAD_BYTES_MAX. It is written and read in runs of any length, so that it need never
 * be in memory as a whole. It belongs to the key: vs_put and vs_update leave it as it is, vs_delete takes it
 * along. It is stored in pieces of 65,536 bytes, compressed where that saves space; a run that begins and ends
 * at multiples of that writes no byte twice. vs_record.payload_bytes tells its size. */

/* vs_payload_write - write a run of a record's payload.
 *
 *   collection   the collection
 *   txn          a write transaction, or NULL: a transaction of its own
 *   key          the record's key; the record exists
 *   offset       where the run begins; at most the payload's size: there are no holes
 *   data         [bytes] copied
 *   bytes        of the run; the payload grows when it ends behind the payload's end
 *
 * A call is staged in memory as a whole: write what is large in runs of some MiB, in one transaction.
 * Errors: VS_ERR_NOT_FOUND (record), VS_ERR_INVALID (offset), VS_ERR_LIMIT (the collection's bytes, the payload's);
 *   else as vs_put.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_payload_write(vs_collection *collection, vs_txn *txn, vs_key key,
                                               uint64_t offset, const void *data, size_t bytes);

/* vs_payload_truncate - cut off the end of a record's payload.
 *
 *   collection   the collection
 *   txn          a write transaction, or NULL: a transaction of its own
 *   key          the record's key; the record exists
 *   bytes        what remains, at most its size; 0: no payload
 *
 * On a full device it works, like vs_delete, when bytes is a multiple of 65,536; else the rest of a piece is
 * written anew.
 * Errors: as vs_payload_write; VS_ERR_INVALID (bytes).
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_payload_truncate(vs_collection *collection, vs_txn *txn,
                                                  vs_key key, uint64_t bytes);

/* vs_payload_read - read a run of a record's payload.
 *
 *   collection   the collection
 *   txn          the transaction whose state is asked, or NULL: the last commit; runs of one payload that are to
 *                fit together are read in one transaction
 *   key          the record's key; the record exists
 *   offset       where the run begins; at or behind the payload's end nothing is read
 *   out          [room] receives the bytes; NULL with room 0
 *   room         how many are wanted
 *   out_bytes    [1] receives how many there were: fewer only at the payload's end
 *
 * Errors: VS_ERR_NOT_FOUND, VS_ERR_CORRUPT, VS_ERR_IO, VS_ERR_NOMEM, VS_ERR_MISUSE. Then out holds anything.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_payload_read(vs_collection *collection, vs_txn *txn, vs_key key,
                                              uint64_t offset, void *out, size_t room,
                                              size_t *out_bytes);

/* vs_get - read one record.
 *
 *   collection   the collection
 *   txn          the transaction whose state is asked, or NULL: the last commit
 *   key          the record's key
 *   out_record   [1] filled; NULL: only ask whether the record exists
 *
 * Memory: key, vector and metadata stay valid until the next call on this collection handle.
 * Errors: VS_ERR_NOT_FOUND, VS_ERR_INVALID and VS_ERR_LIMIT (key), VS_ERR_NOMEM, VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_get(vs_collection *collection, vs_txn *txn, vs_key key,
                                     vs_record *out_record);

/* vs_delete - delete one record.
 *
 *   collection   the collection
 *   txn          a write transaction, or NULL: a transaction of its own
 *   key          the record's key
 *
 * Errors: VS_ERR_NOT_FOUND when there is no such record; else as vs_put.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_delete(vs_collection *collection, vs_txn *txn, vs_key key);

/* vs_delete_batch - delete many records.
 *
 *   collection    the collection
 *   txn           a write transaction, or NULL: a transaction of its own, one commit for all
 *   keys          [count]; those that do not exist, or not any more, are passed over
 *   count         how many
 *   out_deleted   [1] receives how many records there were; NULL: not wanted
 *
 * Errors: as vs_put; VS_ERR_INTERRUPTED (vs_interrupt), VS_ERR_TIMEOUT (vs_set_timeout). Then nothing is deleted.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_delete_batch(vs_collection *collection, vs_txn *txn,
                                              const vs_key *keys, size_t count,
                                              uint64_t *out_deleted);

/* vs_set_metadata - replace the metadata of a record, and leave its vector.
 *
 *   collection       the collection
 *   txn              a write transaction, or NULL: a transaction of its own
 *   key              the record's key
 *   metadata         [metadata_bytes] a JSON object in UTF-8; copied. NULL: none any more
 *   metadata_bytes   0: up to its NUL
 *
 * Snapshots keep the metadata that they had.
 * Errors: VS_ERR_NOT_FOUND when there is no such record; else as vs_put.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_set_metadata(vs_collection *collection, vs_txn *txn, vs_key key,
                                              const char *metadata, size_t metadata_bytes);

/* vs_update what. */
enum {
    VS_UPDATE_VECTORS =
        1, /* the vectors that the record names; one that is NULL in its list goes */
    VS_UPDATE_METADATA = 2, /* all metadata; NULL: none any more */
    VS_UPDATE_PATCH = 4     /* metadata is a merge patch (RFC 7396) of what is there */
};

/* vs_update - change some of a record, and leave the rest.
 *
 *   collection   the collection
 *   txn          a write transaction, or NULL: a transaction of its own
 *   record       key, what is changed, and if_version
 *   what         VS_UPDATE_VECTORS, VS_UPDATE_METADATA or VS_UPDATE_PATCH, or the first and one of the others
 *
 * A vector in record->vectors with data NULL takes the record's vector of that field away. A patch is a JSON object:
 * its members replace those of the same name, in objects member by member, and null deletes.
 * Snapshots keep the record that they had.
 * Errors: VS_ERR_NOT_FOUND when there is no such record; VS_ERR_CONFLICT (if_version); else as vs_put.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_update(vs_collection *collection, vs_txn *txn,
                                        const vs_record *record, uint32_t what);

/* vs_get_vectors - read the vectors of many records.
 *
 *   collection     the collection
 *   txn            the transaction whose state is asked, or NULL: the last commit
 *   field          number of the field; 0: the first one
 *   keys           [count]
 *   count          how many
 *   vectors        [count x stride_bytes] receives them, in the field's element type
 *   stride_bytes   from one vector to the next; 0: without gaps
 *   statuses       [count] receives VS_OK, or VS_ERR_NOT_FOUND for a key that does not exist or has no such
 *                  vector, whose place in vectors stays as it was; NULL: such a key is an error
 *
 * Errors: VS_ERR_NOT_FOUND (the collection; a key, which the message names), VS_ERR_INVALID (field, stride),
 *   VS_ERR_INTERRUPTED (vs_interrupt), VS_ERR_TIMEOUT (vs_set_timeout), VS_ERR_MISUSE. After an error vectors hold anything.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_get_vectors(vs_collection *collection, vs_txn *txn, uint32_t field,
                                             const vs_key *keys, size_t count, void *vectors,
                                             size_t stride_bytes, vs_status *statuses);

/* vs_get_batch - read many records, all in the same state.
 *
 *   collection   the collection
 *   txn          the transaction whose state is asked, or NULL: the last commit
 *   keys         [count] may be those that earlier calls on this handle gave out; the same one may come twice
 *   count        how many
 *   records      [count] filled, each as by vs_get; all begun with VS_RECORD_INIT. NULL: only ask which exist
 *   statuses     [count] receives VS_OK, or VS_ERR_NOT_FOUND for a key that does not exist, whose record stays
 *                as it was; NULL: such a key is an error
 *
 * The records are begun all alike. What is read is as by vs_get; vs_get_vectors copies vectors alone, which is faster.
 * Memory: keys, vectors and metadata stay valid until the next call on this collection handle. The handle keeps
 *   their memory, about 1 KB for each record beside its content, for the next batch: one of no keys gives it back.
 * Errors: VS_ERR_NOT_FOUND (the collection; a key, which the message names), VS_ERR_INVALID and VS_ERR_LIMIT (key;
 *   count), VS_ERR_NOMEM, VS_ERR_MISUSE. After an error records and statuses hold anything.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_get_batch(vs_collection *collection, vs_txn *txn,
                                           const vs_key *keys, size_t count, vs_record *records,
                                           vs_status *statuses);

/* vs_exists - whether there is a record.
 *
 *   collection   the collection
 *   txn          the transaction whose state is asked, or NULL: the last commit
 *   key          the record's key
 *   out_exists   [1] receives 1, or 0 when there is no such record
 *
 * Errors: VS_ERR_NOT_FOUND (the collection), VS_ERR_INVALID and VS_ERR_LIMIT (key), VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_exists(vs_collection *collection, vs_txn *txn, vs_key key,
                                        int *out_exists);

/* vs_count - the number of records.
 *
 *   collection   the collection
 *   txn          the transaction whose state is asked, or NULL: the last commit
 *   out_count    [1]
 *
 * Errors: VS_ERR_NOT_FOUND (the collection), VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_count(vs_collection *collection, vs_txn *txn, uint64_t *out_count);

/* vs_type_name - the short name of an element type, such as "f32"; "?" for an unknown one.
 *
 *   type   VS_F32 ... VS_BIT
 *
 * Memory: a constant.  Errors: none.  Threads: any. */
VS_API const char *vs_type_name(int type);

/* vs_metric_name - the short name of a metric, such as "cosine"; "?" for an unknown one.
 *
 *   metric   VS_L2 ... VS_JACCARD
 *
 * Memory: a constant.  Errors: none.  Threads: any. */
VS_API const char *vs_metric_name(int metric);

/* vs_vector_bytes - the size of a vector: dim elements, of VS_BIT eight to a byte.
 *
 *   type   VS_F32 ... VS_BIT
 *   dim    1 .. VS_DIM_MAX
 *
 * Returns 0 for an unknown type or a larger dim.
 * Errors: none.  Threads: any. */
VS_API size_t vs_vector_bytes(int type, uint32_t dim);

/* vs_vector_convert - a vector as one of another element type, by the rules of vs_put.
 *
 *   in, in_type     the vector [vs_vector_bytes(in_type, dim)], any alignment
 *   out, out_type   [vs_vector_bytes(out_type, dim)] receives it; must not overlap in
 *   dim             1 .. VS_DIM_MAX
 *   out_at          receives the number of the first element that out_type does not have, when there is one;
 *                   NULL: not wanted
 *
 * After an error out holds anything.
 * Errors: VS_ERR_INVALID, VS_ERR_MISUSE (NULL, type, dim).
 * Threads: any. */
VS_NODISCARD VS_API vs_status vs_vector_convert(const void *in, int in_type, void *out,
                                                int out_type, uint32_t dim, uint32_t *out_at);

/* ---- 6  Transactions ------------------------------------------------------------------------ */

enum { VS_TXN_READ = 0, VS_TXN_WRITE = 1 };

#define VS_SAVEPOINTS_MAX 1000u /* open in one transaction */

/* vs_begin - begin a transaction.
 *
 *   db        an open database
 *   kind      VS_TXN_READ: a snapshot, the state of the last commit, which later commits do not
 *             change. VS_TXN_WRITE: reads see its own changes; one at a time per database.
 *   out_txn   receives the transaction; end it with vs_commit or vs_rollback
 *
 * A write transaction waits up to busy_timeout_ms for another thread's, or as long as
 * vs_open_options.busy wants. A thread that holds one
 * already gets VS_ERR_MISUSE at once, also when it calls vs_put with txn NULL.
 * Errors: VS_ERR_BUSY, VS_ERR_READONLY, VS_ERR_IO, VS_ERR_NOMEM, VS_ERR_MISUSE. Message in db.
 * Threads: any. The transaction may be used by another thread than the one that began it. */
VS_NODISCARD VS_API vs_status vs_begin(vs_db *db, int kind, vs_txn **out_txn);

/* vs_commit - end a transaction and keep its changes.
 *
 *   txn    the transaction; the handle is gone afterwards, whatever is returned
 *   sync   VS_SYNC_...: when VS_SYNC_FULL returns VS_OK the changes survive power loss. Commits of
 *          several threads share one sync of the device.
 *
 * On an error the changes are rolled back, except VS_ERR_INDOUBT: whether they survive is known
 * after the next open.
 * VS_ERR_FULL comes before it is too late: what was committed can still be checkpointed, and a transaction
 * that only deletes has space kept in reserve (256 KiB to 4 MiB of the file while it is open, 64 KiB to 1 MiB
 * of the log). What deletes free can be used again at once, unless snapshots need it; those that last, and
 * devices with blocks above 4 KiB, can use the reserve up. A refused commit makes room where it can: trying
 * again may succeed. With other room on the device writing goes on by itself.
 * Errors: VS_ERR_FULL, VS_ERR_IO, VS_ERR_INDOUBT, VS_ERR_READONLY, VS_ERR_NOMEM, VS_ERR_MISUSE.
 *   Message in db.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_commit(vs_txn *txn, int sync);

/* vs_rollback - end a transaction and drop its changes; NULL is allowed.
 *
 *   txn    the transaction; the handle is gone afterwards
 *
 * Errors: none.  Threads: one call at a time per handle. */
VS_API void vs_rollback(vs_txn *txn);

/* vs_savepoint - note a place in a write transaction that it can go back to.
 *
 *   txn             a write transaction
 *   out_savepoint   [1] receives its number: 1, or one more than that of the innermost one open
 *
 * Savepoints nest. The end of the transaction, by vs_commit or vs_rollback, ends them all.
 * Memory: what was changed before and is changed again behind it is kept twice until it ends; of that, trees
 *   that had not been written early stay in memory whatever the memory limit is.
 * Errors: VS_ERR_LIMIT (VS_SAVEPOINTS_MAX are open), VS_ERR_NOMEM, VS_ERR_MISUSE (a read transaction).
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_savepoint(vs_txn *txn, uint32_t *out_savepoint);

/* vs_rollback_to - drop what a transaction has changed since a savepoint.
 *
 *   txn         a write transaction
 *   savepoint   the number of an open one; it stays open, those opened behind it end
 *
 * The transaction then shows what it showed when the savepoint was opened. Its cursors stay and go on
 * behind the last key that they have shown; a handle of a collection that was created since, and its
 * cursors, lead nowhere any more (VS_ERR_NOT_FOUND, VS_ERR_MISUSE).
 * Errors: VS_ERR_MISUSE (a read transaction; not an open savepoint, the message says which are). Nothing
 *   else can fail.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_rollback_to(vs_txn *txn, uint32_t savepoint);

/* vs_release - end a savepoint and keep what was changed since, as part of the transaction.
 *
 *   txn         a write transaction
 *   savepoint   the number of an open one; it ends, and those opened behind it
 *
 * Errors: as vs_rollback_to.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_release(vs_txn *txn, uint32_t savepoint);

#define VS_TOKEN_BYTES_MAX 255u   /* bytes of a token */
#define VS_TOKENS_MAX      65536u /* the newest tokens, which a database keeps */

/* vs_txn_token - make a transaction one of which only one attempt is committed.
 *
 *   txn       a write transaction without a token
 *   token     [bytes], 1 .. VS_TOKEN_BYTES_MAX, any; copied. The caller's name for what the transaction does: the same
 *             at every attempt, and another one for other changes
 *   out_lsn   [1] receives the LSN of the commit that had this token, with VS_ERR_EXISTS; NULL: not wanted
 *
 * For who does not know whether an attempt was committed: after VS_ERR_INDOUBT, or when the program or the connection
 * to it ended before the answer. Called first in each attempt, it returns VS_OK when no transaction with this token
 * has been committed; vs_commit then keeps the token together with the changes, both or neither, also when nothing else
 * was changed. Else it returns VS_ERR_EXISTS and changes nothing; the caller ends the transaction: with vs_rollback, or
 * with vs_commit at VS_SYNC_FULL to have the earlier commit survive power loss if it was of a lesser kind.
 * vs_rollback_to does not take the token back. A transaction that only deletes has no space in reserve (vs_commit) when
 * it has a token. A database keeps the newest VS_TOKENS_MAX tokens, each in some 80 bytes and twice its own; one that is
 * older is not known any more.
 * Errors: VS_ERR_EXISTS, VS_ERR_LIMIT (bytes), VS_ERR_NOMEM, VS_ERR_MISUSE (NULL, a read transaction, a second token).
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_txn_token(vs_txn *txn, const void *token, size_t bytes,
                                           uint64_t *out_lsn);

/* ---- 7  Search ------------------------------------------------------------------------------ */

typedef struct vs_hit {
    vs_key key; /* what it points to is valid until the next search with the collection handle; of
                   vs_cursor_hit: until the next call on the cursor */
    double distance; /* in the field's metric; smaller is nearer */
} vs_hit;

/* What a search did. */
typedef struct vs_search_info {
    uint32_t size;   /* VS_SEARCH_INFO_INIT sets it */
    uint64_t rows;   /* vectors that were candidates, once for each query */
    uint64_t scored; /* of these whose distance was computed; the others were known to be too far */
} vs_search_info;

#define VS_SEARCH_INFO_INIT                                                                        \
    { sizeof(vs_search_info), 0, 0 }

/* What a search may be told beside its query. */
typedef struct vs_search_options {
    uint32_t size;        /* VS_SEARCH_OPTIONS_INIT sets it */
    uint32_t field;       /* number of the vector field that is searched */
    uint32_t timeout_ms;  /* VS_ERR_TIMEOUT when it takes longer; 0: as vs_set_timeout has it.
                            VS_NO_TIMEOUT: it may take as long as it does */
    vs_search_info *info; /* NULL, or filled when it succeeds; not by vs_search_open, vs_distance */
} vs_search_options;

#define VS_NO_TIMEOUT UINT32_MAX

#define VS_SEARCH_OPTIONS_INIT                                                                     \
    { sizeof(vs_search_options), 0, 0, NULL }

/* vs_search - the k nearest records of one query vector.
 *
 *   collection   the collection
 *   txn          the transaction whose state is searched, or NULL: the last commit
 *   query        [dim] elements of query_type; converted as by vs_put
 *   query_type   VS_F32 ... VS_BIT; 0: the field's type
 *   k            1 or more; may exceed the number of records. When it is not known before how many are
 *                wanted: vs_search_open
 *   options      NULL: field 0, the timeout of vs_set_timeout
 *   hits         [k] written nearest first; equal distances by ascending key
 *   out_count    [1] hits written; below k only when fewer records have such a vector
 *
 * Exact. Distance: VS_L2 gives the squared distance, VS_IP minus the inner product, VS_COSINE one
 * minus the cosine. Sums over u8, i8 and bits are computed in whole numbers, others in single precision in
 * parts of 1024 elements, the parts added in double: the error is below 5e-6 times the sum of the terms'
 * magnitudes.
 * Memory: no allocation once a handle has searched with this k or a larger one; where keys are no numbers, once the
 *   keys of its hits had as many bytes.
 * Errors: VS_ERR_INVALID (query, field), VS_ERR_NOT_FOUND (the collection), VS_ERR_INTERRUPTED (vs_interrupt),
 *   VS_ERR_TIMEOUT, VS_ERR_NOMEM, VS_ERR_MISUSE. hits may have been written to.
 * Threads: one call at a time per handle; handles of one database may search in parallel. */
VS_NODISCARD VS_API vs_status vs_search(vs_collection *collection, vs_txn *txn, const void *query,
                                        int query_type, size_t k, const vs_search_options *options,
                                        vs_hit *hits, size_t *out_count);

/* vs_search_batch - the k nearest records of each of many query vectors, all in the same state.
 *
 *   collection     the collection
 *   txn            the transaction whose state is searched, or NULL: the last commit
 *   queries        [count x stride_bytes] vectors of query_type, any alignment
 *   query_type     as vs_search
 *   stride_bytes   from one query to the next; 0: without gaps
 *   count          queries
 *   k              1 or more
 *   options        as vs_search; the timeout is that of all
 *   hits           [count x k] those of query i from hits[i * k] on, as by vs_search
 *   out_counts     [count] hits written for each
 *
 * Rows are read once for many queries; results are those of vs_search bit for bit. With vs_open_options.parallel_for the
 * host's threads share the queries.
 * Errors: as vs_search; VS_ERR_LIMIT (count times k), VS_ERR_MISUSE (parallel_for left queries out). The message names
 *   a query that is refused. After an error hits and out_counts hold anything.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_search_batch(vs_collection *collection, vs_txn *txn,
                                              const void *queries, int query_type,
                                              size_t stride_bytes, size_t count, size_t k,
                                              const vs_search_options *options, vs_hit *hits,
                                              size_t *out_counts);

/* vs_search_radius - the records not farther from a query vector than a distance.
 *
 *   collection   the collection
 *   txn          the transaction whose state is searched, or NULL: the last commit
 *   query        as vs_search
 *   query_type   as vs_search
 *   radius       the largest distance wanted, in the field's metric (VS_L2: squared); it may be negative or
 *                infinite
 *   options      as vs_search
 *   room         how many hits may be written; 0: only count
 *   hits         [room] written nearest first; equal distances by ascending key
 *   out_count    [1] hits written
 *   out_total    [1] how many records there are within the radius, written or not; NULL: not wanted
 *
 * Errors: as vs_search; VS_ERR_INVALID (radius is NaN).
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_search_radius(vs_collection *collection, vs_txn *txn,
                                               const void *query, int query_type, double radius,
                                               const vs_search_options *options, size_t room,
                                               vs_hit *hits, size_t *out_count,
                                               uint64_t *out_total);

/* vs_search_key - the k nearest records of one that is stored, itself not among them.
 *
 *   collection   the collection
 *   txn          the transaction whose state is searched, or NULL: the last commit
 *   key          the record's key
 *   k            1 or more
 *   options      as vs_search
 *   hits         [k] as vs_search
 *   out_count    [1] hits written
 *
 * Errors: VS_ERR_NOT_FOUND (the key, its vector, the collection), VS_ERR_INVALID (k), else as vs_search.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_search_key(vs_collection *collection, vs_txn *txn, vs_key key,
                                            size_t k, const vs_search_options *options,
                                            vs_hit *hits, size_t *out_count);

/* vs_distance - the distance between two stored records, in the metric of a field.
 *
 *   collection     the collection
 *   txn            the transaction whose state is asked, or NULL: the last commit
 *   key, other     their keys; the same one twice is allowed
 *   options        as vs_search; no timeout
 *   out_distance   [1]
 *
 * It is the distance that a search of one finds for the other.
 * Errors: VS_ERR_NOT_FOUND (a key, which the message names, or its vector; the collection), VS_ERR_INVALID
 *   (field), VS_ERR_NOMEM, VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_distance(vs_collection *collection, vs_txn *txn, vs_key key,
                                          vs_key other, const vs_search_options *options,
                                          double *out_distance);

/* ---- 8  Iterating --------------------------------------------------------------------------- */

/* Which keys a scan wants: those that everything given here admits. Borrowed for the call. */
typedef struct vs_range {
    uint32_t size;         /* VS_RANGE_INIT sets it */
    const uint32_t *space; /* only of this namespace */
    const vs_key *from;    /* only this one and those behind it */
    const vs_key *to;      /* only those in front of this one */
    const vs_key *prefix;  /* of VS_KEY_BYTES: only such keys of its namespace that begin so */
} vs_range;

#define VS_RANGE_INIT                                                                              \
    { sizeof(vs_range), NULL, NULL, NULL, NULL }

/* vs_scan - a cursor over the records of a collection in ascending key order.
 *
 *   collection   the collection
 *   txn          the transaction whose state is read, or NULL: a snapshot of the last commit that
 *                lasts as long as the cursor
 *   range        which records; NULL: all
 *   out_cursor   receives the cursor, before the first record; close it with vs_cursor_close
 *
 * In a write transaction the cursor sees changes made behind its position while it moves, and ends
 * with the transaction: later calls return VS_ERR_MISUSE. A cursor of a read transaction keeps the
 * snapshot and may outlive it.
 * Errors: VS_ERR_NOT_FOUND (the collection), VS_ERR_INVALID and VS_ERR_LIMIT (keys), VS_ERR_NOMEM,
 *   VS_ERR_MISUSE.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_scan(vs_collection *collection, vs_txn *txn, const vs_range *range,
                                      vs_cursor **out_cursor);

/* vs_search_open - a cursor over the records of a collection, the nearest to a query vector first.
 *
 *   collection   the collection
 *   txn          the transaction whose state is searched, or NULL: a snapshot of the last commit that
 *                lasts as long as the cursor
 *   query        as vs_search; copied
 *   query_type   as vs_search
 *   options      as vs_search; the timeout is that of each vs_step
 *   out_cursor   receives the cursor, before the first record; close it with vs_cursor_close
 *
 * It gives what vs_search gives with a k that never ends, in that order: each record that has such a vector once.
 * Transactions as with vs_scan; in a write transaction the cursor sees the changes made to what is behind its
 * position, that is farther, and a record that was moved there comes again.
 * Nothing is searched before the first vs_step. That one finds 64 hits, which the next ones take; the step
 * behind these finds four times as many, and so on up to 65,536 at once, each time by a search of the whole
 * collection. In a write transaction a step after a change searches again.
 * Memory: the hits found at once, 32 bytes each.
 * Errors: VS_ERR_INVALID (query, field), VS_ERR_NOT_FOUND (the collection), VS_ERR_NOMEM, VS_ERR_MISUSE.
 * Threads: one call at a time per handle; cursors of one database may be stepped in parallel. */
VS_NODISCARD VS_API vs_status vs_search_open(vs_collection *collection, vs_txn *txn,
                                             const void *query, int query_type,
                                             const vs_search_options *options,
                                             vs_cursor **out_cursor);

/* vs_step - move a cursor to the next record.
 *
 *   cursor   the cursor
 *
 * Returns VS_ROW on a record, VS_DONE behind the last one. After an error the cursor is on no record, and the
 * next step tries to reach the same one again.
 * Errors: VS_ERR_MISUSE (its transaction has ended); of vs_search_open's cursors also VS_ERR_INTERRUPTED,
 *   VS_ERR_TIMEOUT and VS_ERR_NOMEM.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_step(vs_cursor *cursor);

/* vs_cursor_record - the record under a cursor.
 *
 *   cursor       after VS_ROW
 *   out_record   [1] filled
 *
 * In a write transaction the record as it is now.
 * Memory: key, vector and metadata stay valid until the next call on this cursor.
 * Errors: VS_ERR_MISUSE (no record under the cursor), VS_ERR_NOT_FOUND (deleted meanwhile),
 *   VS_ERR_NOMEM.
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_cursor_record(vs_cursor *cursor, vs_record *out_record);

/* vs_cursor_hit - key and distance of the record under a cursor of vs_search_open.
 *
 *   cursor    after VS_ROW
 *   out_hit   [1] filled
 *
 * In a write transaction as the step found them.
 * Memory: the key stays valid until the next call on this cursor.
 * Errors: VS_ERR_MISUSE (no record under the cursor; it is one of vs_scan).
 * Threads: one call at a time per handle. */
VS_NODISCARD VS_API vs_status vs_cursor_hit(vs_cursor *cursor, vs_hit *out_hit);

/* vs_cursor_close - close a cursor; NULL is allowed.
 *
 *   cursor   the cursor
 *
 * Errors: none.  Threads: no other call on this handle may run. */
VS_API void vs_cursor_close(vs_cursor *cursor);

/* ---- 9  Key/value notes --------------------------------------------------------------------- */

/* vs_kv_put - write, replace or delete a note: a value under a key of bytes, beside the records and
 * in the same transactions. An importer keeps its position there, an application its version.
 *
 *   db           an open database
 *   txn          a write transaction, or NULL: a transaction of its own
 *   collection   notes of a collection are its own; NULL: notes of the database
 *   key          [key_bytes], 1 .. VS_KV_KEY_BYTES_MAX
 *   value        [value_bytes], 0 .. VS_KV_VALUE_BYTES_MAX; NULL deletes the note, and it is no
 *                error when there is none
 *
 * Errors: VS_ERR_LIMIT, VS_ERR_NOT_FOUND (the collection), VS_ERR_READONLY, VS_ERR_BUSY, VS_ERR_IO,
 *   VS_ERR_FULL, VS_ERR_INDOUBT, VS_ERR_NOMEM, VS_ERR_MISUSE. Message in txn, or in db.
 * Threads: as the handles given. */
VS_NODISCARD VS_API vs_status vs_kv_put(vs_db *db, vs_txn *txn, vs_collection *collection,
                                        const void *key, size_t key_bytes, const void *value,
                                        size_t value_bytes);

/* vs_kv_get - read a note.
 *
 *   db           an open database
 *   txn          the transaction whose state is asked, or NULL: the last commit
 *   collection   as vs_kv_put
 *   key          [key_bytes]
 *   value        [value_room] receives the value's first bytes; NULL with value_room 0: only ask
 *   out_bytes    [1] receives the value's size, also when it exceeds value_room
 *
 * Errors: VS_ERR_NOT_FOUND, VS_ERR_LIMIT (key), VS_ERR_NOMEM, VS_ERR_MISUSE. Message in txn, or
 *   in db.
 * Threads: as the handles given. */
VS_NODISCARD VS_API vs_status vs_kv_get(vs_db *db, vs_txn *txn, vs_collection *collection,
                                        const void *key, size_t key_bytes, void *value,
                                        size_t value_room, size_t *out_bytes);

/* ---- 10  Looking after a database ----------------------------------------------------------- */

/* vs_sync - make all commits so far durable, also those at VS_SYNC_NORMAL and VS_SYNC_OFF.
 *
 *   db   an open database
 *
 * A database opened read-only has nothing to sync: VS_OK.
 * Errors: VS_ERR_IO, VS_ERR_FULL, VS_ERR_INDOUBT, VS_ERR_MISUSE.
 * Threads: any. */
VS_NODISCARD VS_API vs_status vs_sync(vs_db *db);

/* vs_checkpoint - move what the log has into the database file, so that the log can go.
 *
 *   db   an open database
 *
 * Happens by itself after a commit when the log has reached an eighth of the database, but at least 16 MiB
 * and at most 1 GiB (the parameter checkpoint_log_bytes sets another size), or twice that if much is left to write; on a full disk; and when it is closed. The log of
 * the last two checkpoints is kept, so that damage of the newest one loses nothing. Readers are not disturbed; writers wait. Nothing to do: VS_OK.
 * Errors: VS_ERR_BUSY (another thread's write transaction), VS_ERR_MISUSE (this thread's),
 *   VS_ERR_READONLY, VS_ERR_IO, VS_ERR_FULL, VS_ERR_CORRUPT, VS_ERR_INDOUBT, VS_ERR_INTERRUPTED
 *   (vs_interrupt), VS_ERR_NOMEM. After an error everything is as before, or writing has stopped.
 * Threads: any. */
VS_NODISCARD VS_API vs_status vs_checkpoint(vs_db *db);

/* vs_maintain - do in small steps what commits and vs_checkpoint would otherwise do at once.
 *
 *   db               an open database
 *   budget_bytes     about how much to write in this call; 0: 1 MiB
 *   out_left_bytes   [1] receives about how much is left to write until the next checkpoint is made; 0: it is
 *                    made, or it is not time for one yet. NULL: not wanted
 *
 * From half the size of the log that makes a commit do a checkpoint on there is something to do: a host that
 * calls this in its idle time, until nothing is left, spares its commits the waiting. Without it commits
 * write ahead a little each, and one of them does the rest.
 * Errors: as vs_checkpoint. A database opened read-only has nothing to do: VS_OK.
 * Threads: any; writers wait, readers are not disturbed. */
VS_NODISCARD VS_API vs_status vs_maintain(vs_db *db, uint64_t budget_bytes,
                                          uint64_t *out_left_bytes);

/* vs_vacuum - make the database file smaller while it is open.
 *
 *   db               an open database
 *   budget_bytes     how much of the end of the file is moved at most, about; 0: all that helps
 *   out_left_bytes   [1] receives about how many bytes of holes are left that another call may remove, 0: none;
 *                    NULL: not wanted
 *
 * Moves what is at the end of the file into holes before it, and makes two checkpoints: then the end is not needed any
 * more, and is cut off. Some holes remain for the next writes. What snapshots read stays where it is, so nothing
 * may be gained as long as they are open: then 0 is left, too. Closing the database does the same by itself.
 * Each call looks at all nodes of the file. A call that fails leaves everything as it was.
 * Errors: VS_ERR_READONLY, VS_ERR_BUSY, VS_ERR_IO, VS_ERR_FULL, VS_ERR_INDOUBT, VS_ERR_CORRUPT, VS_ERR_NOMEM,
 *   VS_ERR_MISUSE.
 * Threads: any; waits for a write transaction of another thread, as vs_checkpoint. */
VS_NODISCARD VS_API vs_status vs_vacuum(vs_db *db, uint64_t budget_bytes, uint64_t *out_left_bytes);

/* vs_interrupt - end the long calls that are running on a database.
 *
 *   db   an open database
 *
 * Searches, vs_put_batch, vs_append_batch, vs_delete_batch, vs_get_vectors, vs_check, vs_checkpoint and vs_maintain
 * that have begun when it is called return VS_ERR_INTERRUPTED soon, within some hundred rows or pages, and have
 * changed nothing; one that is nearly done may return as it would have. One that waits for a write transaction
 * ends when it has that. Calls that begin later are not concerned, nor are commits and what comes after them.
 * Errors: VS_ERR_MISUSE.
 * Threads: any, also while the handle is in use by others. */
VS_API vs_status vs_interrupt(vs_db *db);

/* vs_set_timeout - how long calls may take that have no timeout of their own.
 *
 *   db           an open database
 *   timeout_ms   they return VS_ERR_TIMEOUT when they take longer, and have changed nothing; 0 or
 *                VS_NO_TIMEOUT: as long as they do
 *
 * Concerned are searches, vs_put_batch, vs_append_batch, vs_delete_batch, vs_get_vectors and vs_check that begin later;
 * waiting for a write transaction (vs_open_options.busy_timeout_ms) and committing do not count.
 * Errors: VS_ERR_MISUSE.
 * Threads: any. */
VS_API vs_status vs_set_timeout(vs_db *db, uint32_t timeout_ms);

typedef struct vs_stats {
    uint32_t size;           /* VS_STATS_INIT sets it */
    uint32_t readers;        /* snapshots held now: read transactions and cursors */
    uint64_t lsn;            /* log sequence number of the last commit that readers see */
    uint64_t durable_lsn;    /* frames up to here are known to survive power loss */
    uint64_t log_generation; /* number of the current log file, 0: none yet */
    uint64_t log_bytes;      /* bytes of log that recovery would read */
    uint64_t commits;        /* commits of this handle that changed something */
    uint64_t syncs;          /* syncs of the log; below commits when commits shared them */
    uint64_t log_takeovers;  /* log files begun by this handle: 1 for the session and after each
                               checkpoint, 1 per lost sync */
    uint64_t checkpoint;     /* number of the last checkpoint, 0: none yet */
    uint64_t checkpoint_lsn; /* of the last commit that is in it */
    uint64_t checkpoints;    /* made by this handle */
    uint64_t file_bytes;     /* of the database file that the last checkpoint may use */
    uint64_t free_bytes; /* of those, known to be free; 0 until this handle's first checkpoint */
    uint64_t recovered_txns;    /* transactions that vs_open found in the log */
    uint64_t dropped_lsn;       /* first frame that vs_open found torn and dropped; 0: none */
    uint64_t dropped_bytes;     /* bytes behind the last good frame that were dropped */
    uint64_t memory_bytes;      /* allocated now */
    uint64_t memory_limit;      /* as vs_open_options has it */
    uint64_t trailer_bytes;     /* as vs_open_options had it when the database was created */
    uint64_t oldest_reader_lsn; /* the last commit that the oldest snapshot sees; 0: no snapshot */
    uint64_t retained_bytes;   /* what only older snapshots or the checkpoint before need, as of the
                                last commit: memory and pages of the file */
    uint64_t digest[2];        /* hash of the whole logical content, the same on every platform */
    char readonly_reason[256]; /* why writing stopped; "" while it works */
} vs_stats;

#define VS_STATS_INIT                                                                              \
    {                                                                                              \
        sizeof(vs_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0, 0}, { \
            0                                                                                      \
        }                                                                                          \
    }

/* vs_stats_get - figures about an open database.
 *
 *   db          an open database
 *   out_stats   [1] its size member says how much may be written
 *
 * Errors: VS_ERR_MISUSE.
 * Threads: any. */
VS_NODISCARD VS_API vs_status vs_stats_get(vs_db *db, vs_stats *out_stats);

/* Receives one line per problem found. */
typedef void (*vs_check_fn)(void *ctx, const char *problem);

/* vs_check - look for damage.
 *
 *   db             an open database
 *   level          0: the meta pages; 1: and the chain of log frames; 2: and the checksum of everything
 *                  in the log and in the file, and that each page is used once or free; 3: and that
 *                  trees, slots, counts and the digest agree
 *   report         called for each problem; NULL: only count
 *   ctx            passed to report
 *   out_problems   [1] receives how many were found
 *
 * Reads the files again: damage that came after vs_open is found too. A torn tail that recovery
 * drops is no problem.
 * Errors: VS_ERR_INVALID (level), VS_ERR_IO, VS_ERR_INTERRUPTED (vs_interrupt), VS_ERR_TIMEOUT (vs_set_timeout),
 *   VS_ERR_NOMEM, VS_ERR_MISUSE. Problems are no error.
 * Threads: any. report may use the database. */
VS_NODISCARD VS_API vs_status vs_check(vs_db *db, int level, vs_check_fn report, void *ctx,
                                       uint64_t *out_problems);

/* What is bounded, and by how much. */
typedef struct vs_limit_info {
    uint32_t size; /* VS_LIMIT_INFO_INIT sets it */
    const char *
        name; /* of its constant in this header, such as "VS_DIM_MAX"; one of small letters has none */
    uint64_t value;
    const char *unit; /* "bytes", "elements", "records", ... */
    const char *of;   /* which thing it is a limit of: "database", "collection", "record", ... */
    const char *description; /* what is counted, in a line */
} vs_limit_info;

#define VS_LIMIT_INFO_INIT                                                                         \
    { sizeof(vs_limit_info), NULL, 0, NULL, NULL, NULL }

/* vs_limit_at - the limits of this library one by one.
 *
 *   at         0, 1, 2, ...
 *   out_info   [1] its size member says how much may be written
 *
 * They are the same for all databases; what can be set for one are its parameters (vs_param_at). docs/LIMITS.md lists
 * both. Returns VS_OK, or VS_DONE when there are not so many.
 * Memory: the texts are constants.  Errors: VS_ERR_MISUSE.  Threads: any. */
VS_NODISCARD VS_API vs_status vs_limit_at(size_t at, vs_limit_info *out_info);

/* Kinds of parameters. */
enum {
    VS_PARAM_BOOL = 1, /* 0 or 1 */
    VS_PARAM_BYTES = 2,
    VS_PARAM_MILLISECONDS = 3,
    VS_PARAM_CHOICE =
        4 /* the choices are words: the first stands for minimum, the next for minimum + 1 */
};

/* A parameter of a database: what vs_open_options has, and some that can only be set while it is open. */
typedef struct vs_param_info {
    uint32_t size;           /* VS_PARAM_INFO_INIT sets it */
    int kind;                /* VS_PARAM_... */
    const char *name;        /* that of its member in vs_open_options, if there is one */
    const char *description; /* in a line */
    const char *choices;     /* of VS_PARAM_CHOICE: words with spaces between them; else "" */
    uint64_t value;          /* now */
    uint64_t default_value;  /* when vs_open_options says nothing */
    uint64_t minimum, maximum;
    int can_change; /* whether vs_param_set takes it */
} vs_param_info;

#define VS_PARAM_INFO_INIT                                                                         \
    { sizeof(vs_param_info), 0, NULL, NULL, NULL, 0, 0, 0, 0, 0 }

/* vs_param_at - the parameters of a database one by one.
 *
 *   db         an open database; NULL: value is the default then
 *   at         0, 1, 2, ...
 *   out_info   [1] its size member says how much may be written
 *
 * Returns VS_OK, or VS_DONE when there are not so many.
 * Memory: the texts are constants.  Errors: VS_ERR_MISUSE.  Threads: any. */
VS_NODISCARD VS_API vs_status vs_param_at(vs_db *db, size_t at, vs_param_info *out_info);

/* vs_param_get - one parameter of a database.
 *
 *   db         as vs_param_at
 *   name       such as "memory_limit"
 *   out_info   as vs_param_at
 *
 * Memory: the texts are constants.
 * Errors: VS_ERR_NOT_FOUND (no such parameter), VS_ERR_MISUSE.  Threads: any. */
VS_NODISCARD VS_API vs_status vs_param_get(vs_db *db, const char *name, vs_param_info *out_info);

/* vs_param_set - change a parameter while the database is open.
 *
 *   db      an open database, also one opened read-only
 *   name    of a parameter that can change: "memory_limit", "sync", "busy_timeout_ms", "timeout_ms",
 *           "checkpoint_log_bytes", "compression"
 *   value   minimum .. maximum of its vs_param_info; 0 does not stand for the default as in vs_open_options
 *
 * It holds for what begins afterwards, until the handle is closed: nothing of it is stored. A lower memory limit takes
 * what may go out of memory before the call returns. Calls that wait for a write transaction look at the new
 * timeout when they look again.
 * Errors: VS_ERR_NOT_FOUND (no such parameter), VS_ERR_INVALID (value), VS_ERR_MISUSE (NULL; a parameter that
 *   cannot change).
 * Threads: any, beside all other calls. */
VS_NODISCARD VS_API vs_status vs_param_set(vs_db *db, const char *name, uint64_t value);

/* ---- 11  Hooks ------------------------------------------------------------------------------ */

/* vs_change.kind */
enum {
    VS_CHANGE_INSERT = 1, /* the record is new */
    VS_CHANGE_UPDATE = 2, /* it was there, and was put again or changed in part */
    VS_CHANGE_DELETE = 3
};

/* What a transaction did to a record. */
typedef struct vs_change {
    uint32_t size; /* of the struct as the library has it; members behind it are not there */
    int kind;      /* VS_CHANGE_... */
    uint32_t collection_id; /* vs_collection_info.id */
    const char *collection; /* its name when the record was changed */
    vs_key key;
    uint64_t lsn; /* of the commit */
} vs_change;

/* A call that has ended. */
typedef struct vs_trace {
    uint32_t size;          /* as vs_change.size */
    vs_status status;       /* what it returns */
    const char *call;       /* its name, such as "vs_put"; a constant */
    const char *collection; /* the name of the collection handle that it was given; NULL: none */
    uint64_t duration_ns;   /* by vs_vfs.ticks_us, so in whole microseconds */
    uint64_t rows; /* records or hits that it was to read, write or give out, if it is of records;
                      0 when it failed */
} vs_trace;

/* Functions of the host that the library calls; NULL: not wanted.
 *
 *   commit      asked before a write transaction that changes something commits; non-zero makes the commit a
 *               rollback, which returns VS_ERR_REFUSED
 *   change      told of each record that a committed transaction changed, in the order of the changes
 *   committed   told that a transaction that changed something is committed, after its changes; lsn is vs_stats.lsn
 *               once readers see it
 *   rollback    told that a transaction that changed something was rolled back, by vs_rollback, or because its commit
 *               was refused or failed
 *   trace       told of each call that has ended
 *
 * A call that changes something with txn NULL is a transaction; one that fails before its commit has changed nothing.
 * What vs_rollback_to took back is not told; when it was all that a transaction changed, the transaction may count as
 * one that changed something all the same. After VS_ERR_INDOUBT neither committed nor rollback is called.
 * change is told of records put, updated and deleted, one by one, those of a copy among them; runs of a payload are an
 * update, or part of the change of that record just before. It is not told of collections, nor of the records of one
 * that is dropped, aliases and notes.
 *
 * When. commit is called while the transaction holds up other writers. committed, change and rollback are called
 * before the call returns that ended the transaction, when it holds nothing any more: a commit at VS_SYNC_FULL is
 * durable then, and readers see it. trace is called last of all, for every function that is given a vs_db, vs_txn,
 * vs_collection or vs_cursor but those that only describe or close one, vs_stats_get, vs_interrupt, vs_set_timeout,
 * vs_set_hooks, vs_param_..., vs_cursor_record and vs_cursor_hit; of calls refused for their arguments not for all.
 *
 * A hook must not call the database that calls it: with any of its handles, calls return VS_ERR_MISUSE there, and those
 * that return nothing do nothing. vs_errmsg, vs_extended_errcode and functions that need no handle it may call, and
 * other databases.
 * Memory: what change and trace point to is valid during the call. With change set, an open transaction takes about 32
 *   bytes and the key for each record that it changes.
 * Threads: the thread that made the call; several at once when several threads make calls. Writers that commit beside
 *   each other may tell of it in another order than that of their lsn. */
typedef struct vs_hooks {
    uint32_t size; /* VS_HOOKS_INIT sets it */
    void *ctx;     /* passed to each */
    int (*commit)(void *ctx);
    void (*change)(void *ctx, const vs_change *change);
    void (*committed)(void *ctx, uint64_t lsn);
    void (*rollback)(void *ctx);
    void (*trace)(void *ctx, const vs_trace *trace);
} vs_hooks;

#define VS_HOOKS_INIT                                                                              \
    { sizeof(vs_hooks), NULL, NULL, NULL, NULL, NULL, NULL }

/* vs_set_hooks - say which functions of the host a database calls from now on.
 *
 *   db      an open database
 *   hooks   all of them, in place of those before; copied. NULL: none
 *
 * Errors: VS_ERR_BUSY (another thread's write transaction is open), VS_ERR_MISUSE (this thread's; NULL),
 *   VS_ERR_UNSUPPORTED.
 * Threads: no other call on this database may run. */
VS_NODISCARD VS_API vs_status vs_set_hooks(vs_db *db, const vs_hooks *hooks);

/* ---- 12  JSON ------------------------------------------------------------------------------- */

/* A reader and writers for what programs around the library need of JSON: records as lines of text, vectors
 * in them, metadata. Nothing here needs a database, nothing allocates (but vs_json_merge_patch), and nothing
 * depends on the locale or the rounding mode.
 *
 *   vs_json reader;
 *   int token;
 *   vs_json_begin(&reader, text, bytes, 0);
 *   while ((token = vs_json_next(&reader)) > 0)
 *       ...
 *   if (token == VS_JSON_ERROR)
 *       vs_json_error(&reader, &offset, &expected);
 *
 * A text is one value as RFC 8259 has it, strictly: UTF-8 is checked, halves of surrogate pairs are refused, also
 * commas too many, comments, and a byte order mark; arrays and objects are nested at most VS_JSON_DEPTH_MAX
 * deep. Names that come twice in an object are read twice. */

#define VS_JSON_DEPTH_MAX 64u /* arrays and objects in each other */

/* Tokens, and where a reader stands when it has none. */
enum {
    VS_JSON_ERROR = -1,       /* what follows is no JSON; vs_json_error says where and why */
    VS_JSON_END = 0,          /* behind the value, or the last of a stream */
    VS_JSON_OBJECT_BEGIN = 1, /* { */
    VS_JSON_OBJECT_END = 2,   /* } */
    VS_JSON_ARRAY_BEGIN = 3,  /* [ */
    VS_JSON_ARRAY_END = 4,    /* ] */
    VS_JSON_NAME = 5,         /* of a member, in quotes; its value comes next */
    VS_JSON_STRING = 6,       /* in quotes */
    VS_JSON_NUMBER = 7,
    VS_JSON_TRUE = 8,
    VS_JSON_FALSE = 9,
    VS_JSON_NULL = 10
};

/* vs_json_begin flags. */
enum {
    VS_JSON_STREAM = 1 /* any number of values one after the other, each behind white space unless a
                          closing bracket stands before it: JSON lines, concatenated objects */
};

/* A reader, in memory of the caller: begun by vs_json_begin, and gone when it is not used any more. Its
 * members are private. Bindings may take 128 bytes, aligned to 8: it has not more on any platform. */
typedef struct vs_json {
    const char *text; /* borrowed */
    size_t bytes;
    size_t at;
    size_t token_at;
    size_t token_bytes;
    uint64_t open;
    const char *expected;
    int32_t token;
    int32_t depth;
    int32_t state;
    int32_t status;
    uint32_t flags;
    uint32_t reserved[5];
} vs_json;

/* vs_json_begin - start reading a text.
 *
 *   reader   [1] whatever it held before
 *   text     [bytes] borrowed while the reader is used; need not end with a NUL. NULL with bytes 0: no text
 *   flags    0, or VS_JSON_STREAM
 *
 * Nothing is read yet. To go on behind a broken line of a stream begin again at the next one.
 * Memory: the reader's own 128 bytes are all that reading needs.
 * Errors: VS_ERR_MISUSE (NULL, flags).
 * Threads: any; a reader serves one call at a time. */
VS_API vs_status vs_json_begin(vs_json *reader, const char *text, size_t bytes, uint32_t flags);

/* vs_json_next - go to the next token.
 *
 *   reader   a begun one
 *
 * Returns VS_JSON_..., above 0 for a token. At the end, and after an error, it returns the same again.
 * Memory: none.
 * Errors: VS_JSON_ERROR: vs_json_error gives VS_ERR_INVALID, VS_ERR_LIMIT (nested deeper than 64) or, for a
 *   reader that is NULL, VS_ERR_MISUSE.
 * Threads: as vs_json_begin. */
VS_API int vs_json_next(vs_json *reader);

/* vs_json_skip - go to the end of a value, whatever it holds.
 *
 *   reader   a begun one
 *
 * Which value: the array or object that the token begins; at a name, or when nothing was read yet, the one that
 * comes next. At any other token it stays where it is, so after each vs_json_next it may be called to have a whole
 * value. Returns the last token of it, and vs_json_token gives all of it then; what it passes is checked as well.
 * Memory: none.  Errors: as vs_json_next.  Threads: as vs_json_begin. */
VS_API int vs_json_skip(vs_json *reader);

/* vs_json_token - where the token lies in the text.
 *
 *   reader       a begun one
 *   out_offset   [1] of its first byte
 *   out_bytes    [1] how many it has: a string with its quotes; a value that vs_json_skip or vs_json_floats went
 *                through as a whole; 0 at the end, after an error and before the first token
 *
 * Memory: none.  Errors: VS_ERR_MISUSE (NULL).
 * Threads: as vs_json_begin. */
VS_API vs_status vs_json_token(const vs_json *reader, size_t *out_offset, size_t *out_bytes);

/* vs_json_error - what ended reading.
 *
 *   reader         a begun one
 *   out_offset     [1] the byte at which something else was expected; NULL: not wanted
 *   out_expected   [1] what, such as "a digit" or "',' or ']'"; "" without an error. NULL: not wanted
 *
 * Returns VS_OK while nothing failed, else the status of the first failure.
 * Memory: out_expected is a constant.
 * Errors: VS_ERR_INVALID, VS_ERR_LIMIT (nested too deep; vs_json_floats), VS_ERR_MISUSE (NULL).
 * Threads: as vs_json_begin. */
VS_API vs_status vs_json_error(const vs_json *reader, size_t *out_offset,
                               const char **out_expected);

/* vs_json_string - the characters of a string or name.
 *
 *   reader      at VS_JSON_STRING or VS_JSON_NAME
 *   out         [room] receives the first bytes in UTF-8, escapes resolved, no NUL behind them (there may be
 *               some within); NULL with room 0: only ask
 *   out_bytes   [1] how many there are, also when that exceeds room; never more than the token has
 *
 * Memory: nothing is kept.  Errors: VS_ERR_MISUSE (NULL, another token).
 * Threads: as vs_json_begin. */
VS_NODISCARD VS_API vs_status vs_json_string(const vs_json *reader, char *out, size_t room,
                                             size_t *out_bytes);

/* vs_json_double - a number as a double.
 *
 *   reader      at VS_JSON_NUMBER
 *   out_value   [1] the nearest double; of two the one with an even mantissa. What is too small is 0
 *
 * Memory: none.  Errors: VS_ERR_LIMIT (beyond the range), VS_ERR_MISUSE (NULL, another token). Reading may go on.
 * Threads: as vs_json_begin. */
VS_NODISCARD VS_API vs_status vs_json_double(const vs_json *reader, double *out_value);

/* vs_json_float - a number as a float.
 *
 *   reader      at VS_JSON_NUMBER
 *   out_value   [1] the float nearest to the text, not to a double in between
 *
 * Memory: none.  Errors: as vs_json_double.  Threads: as vs_json_begin. */
VS_NODISCARD VS_API vs_status vs_json_float(const vs_json *reader, float *out_value);

/* vs_json_i64 - a number as an integer, never rounded.
 *
 *   reader      at VS_JSON_NUMBER
 *   out_value   [1] its value; it counts, not how it is written: 1e3 and 10.0 are integers, -0 is 0
 *
 * Memory: none.  Errors: VS_ERR_INVALID (a fraction), VS_ERR_LIMIT (beyond the range), VS_ERR_MISUSE (NULL,
 *   another token). Reading may go on.
 * Threads: as vs_json_begin. */
VS_NODISCARD VS_API vs_status vs_json_i64(const vs_json *reader, int64_t *out_value);

/* vs_json_u64 - as vs_json_i64, for integers without sign.
 *
 *   reader      at VS_JSON_NUMBER
 *   out_value   [1]
 *
 * Memory: none.  Errors: as vs_json_i64; negative ones are beyond the range.  Threads: as vs_json_begin. */
VS_NODISCARD VS_API vs_status vs_json_u64(const vs_json *reader, uint64_t *out_value);

/* vs_json_floats - the rest of an array of numbers, at once.
 *
 *   reader      at VS_JSON_ARRAY_BEGIN; afterwards at its VS_JSON_ARRAY_END
 *   out         [room] receives the first elements, each as vs_json_float has it; NULL with room 0: only count
 *   out_count   [1] how many there are, also when that exceeds room
 *
 * On an error reading has ended as if vs_json_next had failed; vs_json_error names the offset of the element and
 * what was expected there. out may have been written to then.
 * Memory: none.
 * Errors: VS_ERR_INVALID (no number, no JSON), VS_ERR_LIMIT (a number beyond the range of float), VS_ERR_MISUSE (NULL,
 *   another token).
 * Threads: as vs_json_begin. */
VS_NODISCARD VS_API vs_status vs_json_floats(vs_json *reader, float *out, size_t room,
                                             size_t *out_count);

/* vs_json_write_double - a number as text, the shortest that reads back as the same double.
 *
 *   value       finite; -0 is written -0
 *   out         [room] receives the first bytes, no NUL; 24 are always enough. NULL with room 0: only ask
 *   out_bytes   [1] how many it has, also when that exceeds room
 *
 * Memory: none.  Errors: VS_ERR_INVALID (NaN, infinity: JSON has none), VS_ERR_MISUSE (NULL).
 * Threads: any. */
VS_NODISCARD VS_API vs_status vs_json_write_double(double value, char *out, size_t room,
                                                   size_t *out_bytes);

/* vs_json_write_float - a number as text, the shortest that reads back as the same float: 0.1f is 0.1.
 *
 *   value, out, room, out_bytes   as vs_json_write_double
 *
 * Memory: none.  Errors: as vs_json_write_double.  Threads: any. */
VS_NODISCARD VS_API vs_status vs_json_write_float(float value, char *out, size_t room,
                                                  size_t *out_bytes);

/* vs_json_write_string - a string in quotes, what JSON wants escaped escaped.
 *
 *   text        [bytes] UTF-8, NULs allowed; stays UTF-8. NULL with bytes 0: the empty string
 *   out         [room] receives the first bytes, no NUL; may not overlap text. NULL with room 0: only ask
 *   out_bytes   [1] how many it has, also when that exceeds room; at most 6 * bytes + 2
 *
 * Memory: none.  Errors: VS_ERR_INVALID (not well-formed UTF-8), VS_ERR_MISUSE (NULL).
 * Threads: any. */
VS_NODISCARD VS_API vs_status vs_json_write_string(const char *text, size_t bytes, char *out,
                                                   size_t room, size_t *out_bytes);

/* vs_json_compact - a text without insignificant white space.
 *
 *   text        [bytes] one value; its strings and numbers keep their bytes
 *   out         [room] receives the first bytes, no NUL; may be text itself. NULL with room 0: only ask
 *   out_bytes   [1] how many it has, also when that exceeds room; never more than bytes
 *
 * Memory: none.
 * Errors: VS_ERR_INVALID (no JSON: vs_json_skip ends with an error that says where), VS_ERR_LIMIT (nested deeper
 *   than 64), VS_ERR_MISUSE (NULL).
 * Threads: any. */
VS_NODISCARD VS_API vs_status vs_json_compact(const char *text, size_t bytes, char *out,
                                              size_t room, size_t *out_bytes);

/* vs_json_merge_patch - what a merge patch (RFC 7396) makes of a text.
 *
 *   target        [target_bytes] one value, such as a record's metadata
 *   patch         [patch_bytes] one value: members of an object replace those of the same name, are added, or, when
 *                 they are null, delete them; objects in them are patches of objects. Anything but an object replaces
 *                 the target
 *   allocator     where memory for the call comes from; NULL: malloc
 *   out           [room] receives the first bytes, no NUL; may overlap neither text. NULL with room 0: only ask
 *   out_bytes     [1] how many it has, also when that exceeds room; never more than both texts have
 *
 * The result is without insignificant white space; members keep the target's order, new ones follow in that of the
 * patch. Names are compared as they are meant: "\u0061" is "a". Of members of one name the last one counts, the others
 * vanish, in the target and in the patch. Arrays are taken as they are.
 * Time: n log n comparisons of names, for n members.
 * Memory: at most 100 bytes for each member, freed before it returns.
 * Errors: VS_ERR_INVALID (one of the texts is no JSON), VS_ERR_LIMIT (nested deeper than 64; 4 GiB), VS_ERR_NOMEM,
 *   VS_ERR_MISUSE (NULL).
 * Threads: any. */
VS_NODISCARD VS_API vs_status vs_json_merge_patch(const char *target, size_t target_bytes,
                                                  const char *patch, size_t patch_bytes,
                                                  const vs_allocator *allocator, char *out,
                                                  size_t room, size_t *out_bytes);

#ifdef __cplusplus
}
#endif

#endif
