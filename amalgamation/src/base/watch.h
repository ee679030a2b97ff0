/* watch.h - what ends a long call before it is done, and tells its host how far it is. */
#ifndef VSI_WATCH_H
#define VSI_WATCH_H

#include "base/status.h"

/* What all calls on a database share. */
typedef struct vsi_watcher {
    const vs_vfs *vfs;       /* whose clock counts; borrowed */
    vs_progress_fn progress; /* NULL: nobody is told */
    void *progress_ctx;
    vsi_atomic_u64 interrupts; /* how often vs_interrupt was called */
    vsi_atomic_u64 timeout_ms; /* of calls that have none of their own; 0: none */
} vsi_watcher;

/* A call that several threads work for, each with a watch of its own. */
typedef struct vsi_watch_team {
    vsi_atomic_u64 done;      /* by all of them */
    vsi_atomic_u64 has_ended; /* not 0: none of them is to go on */
} vsi_watch_team;

/* One call. */
typedef struct vsi_watch {
    vsi_watcher *watcher; /* borrowed; NULL: nothing ends the call */
    uint64_t interrupts;  /* as many as there were when it began */
    bool is_deaf;         /* to interrupts */
    bool has_deadline;
    int64_t deadline_us, report_us; /* when the host is told next */
    vs_progress progress;
    vsi_watch_team *team; /* NULL: one thread. Borrowed */
} vsi_watch;

VSI_FN vsi_watch vsi_watch_begin(vsi_watcher *watcher);
/* The call may take so long from now on; 0: as long as the database says. */
VSI_FN void vsi_watch_limit(vsi_watch *watch, uint32_t timeout_ms);
/* What follows is counted as this, a constant. total 0: nobody knows. watch NULL: nothing. */
VSI_FN void vsi_watch_count(vsi_watch *watch, const char *what, uint64_t total);

/* So much more is done; to be called every some hundred microseconds. VS_ERR_INTERRUPTED, VS_ERR_TIMEOUT: the
 * call is to end. watch NULL: nothing. */
VS_NODISCARD VSI_FN vs_status vsi_watch_step(vsi_err *err, vsi_watch *watch, uint64_t done);

#endif
