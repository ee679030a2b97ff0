/* watch.c - interrupts, deadlines and progress of long calls. */
#include "base/watch.h"

enum { WATCH_REPORT_US = 10000 }; /* the host is told that often */

static int64_t watch_now(const vsi_watch *watch) {
    const vs_vfs *vfs = watch->watcher->vfs;
    return vfs->ticks_us(vfs->ctx);
}

VSI_FN vsi_watch vsi_watch_begin(vsi_watcher *watcher) {
    vsi_watch watch = {.watcher = watcher};
    if (!watcher)
        return watch;
    watch.interrupts = vsi_atomic_load(&watcher->interrupts);
    if (watcher->progress)
        watch.report_us = watch_now(&watch) + WATCH_REPORT_US;
    return watch;
}

VSI_FN void vsi_watch_limit(vsi_watch *watch, uint32_t timeout_ms) {
    if (!watch->watcher)
        return;
    uint64_t ms = timeout_ms ? timeout_ms : vsi_atomic_load(&watch->watcher->timeout_ms);
    watch->has_deadline = ms && ms != VS_NO_TIMEOUT;
    if (watch->has_deadline)
        watch->deadline_us = watch_now(watch) + (int64_t)ms * 1000;
}

VSI_FN void vsi_watch_count(vsi_watch *watch, const char *what, uint64_t total) {
    if (watch)
        watch->progress = (vs_progress){.what = what, .total = total};
}

static vs_status watch_report(vsi_err *err, vsi_watch *watch, int64_t now_us) {
    const vsi_watcher *watcher = watch->watcher;
    watch->report_us = now_us + WATCH_REPORT_US;
    if (watch->progress.total && watch->progress.done > watch->progress.total)
        watch->progress.total = watch->progress.done; /* it was an estimate */
    if (!watcher->progress(watcher->progress_ctx, &watch->progress))
        return VS_OK;
    return vsi_fail(err, VS_ERR_INTERRUPTED, "the call was ended by the host's progress function");
}

static bool watch_has_team_ended(vsi_watch *watch, uint64_t done) {
    vsi_atomic_add(&watch->team->done, done);
    watch->progress.done = vsi_atomic_load(&watch->team->done);
    return vsi_atomic_load(&watch->team->has_ended);
}

VSI_FN vs_status vsi_watch_step(vsi_err *err, vsi_watch *watch, uint64_t done) {
    if (!watch || !watch->watcher)
        return VS_OK;
    vsi_watcher *watcher = watch->watcher;
    watch->progress.done += done;
    if (watch->team && watch_has_team_ended(watch, done))
        return vsi_fail(err, VS_ERR_INTERRUPTED, "the call was ended");
    if (!watch->is_deaf && vsi_atomic_load(&watcher->interrupts) != watch->interrupts)
        return vsi_fail(err, VS_ERR_INTERRUPTED, "the call was interrupted");
    if (!watch->has_deadline && !watcher->progress)
        return VS_OK;
    int64_t now_us = watch_now(watch);
    if (watch->has_deadline && now_us >= watch->deadline_us)
        return vsi_fail(err, VS_ERR_TIMEOUT, "the call took longer than it may");
    if (watcher->progress && now_us >= watch->report_us)
        return watch_report(err, watch, now_us);
    return VS_OK;
}
