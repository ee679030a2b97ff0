/* engine.h - an open database: its files, log and versions; syncing, failing, closing.
 *
 * Two locks. log_lock guards the log, the meta pages and the failure state; versions.lock guards
 * the list of versions and the writer role, and is only ever held for a few instructions.
 * versions.lock may be taken while log_lock is held, not the other way round. */
#ifndef VSI_ENGINE_H
#define VSI_ENGINE_H

#include "base/watch.h"
#include "store/budget.h"
#include "store/log.h"
#include "store/replay.h"
#include "store/version.h"

enum { VSI_REASON_BYTES = 256 };

typedef struct vsi_engine_config {
    vsi_mem *mem;      /* borrowed */
    const vs_vfs *vfs; /* borrowed */
    const char *path;  /* as the caller gave it */
    bool is_readonly, may_create, maps_slabs;
    int sync;                 /* VS_SYNC_..., what VS_SYNC_DEFAULT means */
    uint32_t busy_timeout_ms; /* VS_NO_WAIT: do not wait; at first, as sync */
    vs_busy_fn busy_fn;       /* NULL: busy_timeout_ms says how long to wait */
    void *busy_ctx;
    uint64_t memory_limit;  /* bytes; UINT64_MAX: none */
    bool stores_plain;      /* large values are not compressed */
    uint32_t trailer_bytes; /* of a database that is created */
    vs_log_fn log_fn;       /* NULL: no messages */
    void *log_ctx;
    vsi_watcher *watcher;   /* borrowed; NULL: nobody watches long calls */
    const vsi_pages *pages; /* of slabs; NULL: they come from mem like all else */
    const vsi_codes *codes; /* kernels for codes, borrowed; NULL: the best ones */
} vsi_engine_config;

/* A thread that asks config.busy_fn whether to wait on; lives on its stack. */
typedef struct vsi_asker {
    struct vsi_asker *next;
    uint64_t thread;
} vsi_asker;

typedef struct vsi_engine {
    vsi_engine_config config;
    vsi_mem *mem;
    vsi_regions regions;           /* of mem */
    char path[VSI_PATH_BYTES_MAX]; /* absolute */
    vsi_file data;
    vsi_metas metas;
    vsi_pager pager;
    vsi_cow cow; /* of the holder of the writer role */
    vsi_descs descs;
    vsi_versions versions;

    /* what any thread may set anew while others look at it, as may the pager's limit_bytes and packs */
    vsi_atomic_u64 sync, busy_timeout_ms; /* from config */
    vsi_atomic_u64
        checkpoint_log_bytes; /* a log of this size asks for a checkpoint; 0: see store/checkpoint */

    /* guarded by versions.lock */
    vsi_cond role_free;
    bool role_is_taken;
    uint64_t role_thread;
    vsi_asker *askers;

    vsi_atomic_u64 failed_syncs; /* of data; pages written before such a one may be lost */

    /* of the holder of the writer role */
    uint32_t last_coll;       /* collection ids given out, also in transactions rolled back */
    uint64_t ahead_log_bytes; /* the log when slabs were last written ahead of a checkpoint */
    bool has_no_list;   /* of free pages, damaged beyond making it anew, when a commit last asked */
    bool has_gone_back; /* the meta pages still name the checkpoint after ours, a damaged one */
    /* failed_syncs when everything written early was last known to be there */
    uint64_t trusted_syncs;
    bool has_spilled_trees; /* since the last checkpoint */
    uint64_t stuck_pages;   /* dead ones that checkpoints on a full disk did not free */
    bool may_spill;         /* pages that no checkpoint reaches may be written to */

    /* guarded by log_lock */
    vsi_mutex log_lock;
    vsi_cond log_moved; /* a sync ended: frames are durable, or the log failed */
    vsi_log log;
    bool is_syncing; /* a thread syncs the log file without holding log_lock */
    bool has_failed; /* writing has stopped for good; failure says why */
    char failure[VSI_REASON_BYTES];
    int64_t last_sync_us;
    uint64_t commits, checkpoints;
    uint64_t free_pages;      /* as of the last checkpoint */
    uint32_t checks;          /* running now: what they read is not freed */
    bool memory_is_full;      /* much of the trees changed since the last checkpoint */
    bool wants_room;          /* the device refused to give more; checkpoints may free something */
    uint64_t retained_bytes;  /* what only versions older than the last one need */
    uint64_t retry_log_bytes; /* a checkpoint failed: not before the log has these; 0: none did */

    /* what recovery found */
    uint64_t recovered_txns, dropped_lsn, dropped_bytes;
} vsi_engine;

/* The pages that the meta pages name or the newest version may use end here: a shorter file is a damaged
 * one. Holder of the writer role. */
VSI_FN uint64_t vsi_engine_file_end(const vsi_engine *engine);

/* Locks and the empty first version; NULL: no memory. */
VSI_FN vsi_engine *vsi_engine_new(const vsi_engine_config *config);
VSI_FN void vsi_engine_free(vsi_engine *engine);

/* Makes everything durable, records that the log is complete, and frees the engine whatever
 * happens. is_forked: only frees. No transaction may be open. */
VSI_FN vs_status vsi_engine_close(vsi_err *err, vsi_engine *engine, bool is_forked);

/* Completes a change of the meta pages that an earlier session, or an earlier attempt, could not. */
VSI_FN vs_status vsi_engine_settle_metas(vsi_err *err, vsi_engine *engine);

/* Makes all commits so far durable. */
VSI_FN vs_status vsi_engine_sync(vsi_err *err, vsi_engine *engine);

/* ---- for store/write and store/check, log_lock held ----------------------------------------- */

VSI_FN void vsi_engine_message(const vsi_engine *engine, int level, const char *format, ...)
    VSI_PRINTF(3, 4);

/* VS_ERR_READONLY with the reason when writing has stopped. */
VSI_FN vs_status vsi_engine_check_writable(vsi_err *err, const vsi_engine *engine);

/* Stops writing for good; cause says why. */
VSI_FN void vsi_engine_fail(vsi_engine *engine, const vsi_err *cause);

/* What the writer's last scope replaced belongs to a version that is about to be added; checkpoint is the
 * newest one that may reach it. There must be room in the pager's space for its extents. */
VSI_FN void vsi_engine_bury(vsi_engine *engine, vsi_version *version, uint64_t checkpoint);

/* Begins a new log file; log_lock held and nobody syncing. A failure to leave a log file that was
 * open stops writing for good. */
VSI_FN vs_status vsi_engine_take_over(vsi_err *err, vsi_engine *engine);

/* Syncs the log, or waits for the thread that is doing so; log_lock is released meanwhile. Returns
 * after one round: the caller looks again at what it waits for. A sync that fails is survived by
 * taking over; if that fails too, the engine has_failed. */
VSI_FN void vsi_engine_sync_round(vsi_engine *engine);

/* Waits until no thread is syncing. */
VSI_FN void vsi_engine_wait_sync(vsi_engine *engine);

/* Shows readers what may be seen and wakes those who wait for it. */
VSI_FN void vsi_engine_publish(vsi_engine *engine);

#endif
