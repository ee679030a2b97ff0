/* check.c - looks for damage in an open database, on the device as well as in memory. */
#include "store/check.h"
#include "store/walk.h"

/* Whether a failure is a finding rather than a check that could not be done. */
static bool check_is_finding(vs_status st) {
    return st == VS_ERR_CORRUPT || st == VS_ERR_LOG_MISSING || st == VS_ERR_NOT_DB ||
           st == VS_ERR_TOO_NEW || st == VS_ERR_TOO_OLD;
}

/* What the device should show, as of one moment. Frames up to end_lsn are written then and stay, so
 * they can be read without holding anybody up. */
typedef struct check_moment {
    vsi_meta meta;
    uint64_t end_lsn;
    bool page_is_damaged;
    uint64_t lost_checkpoint; /* that opening had to go back from; 0: none */
} check_moment;

/* Reads the meta pages; log_lock held, for they are written under it. */
static vs_status check_metas(vsi_err *err, vsi_engine *engine, check_moment *out_moment) {
    const vsi_metas *known = &engine->metas;
    vsi_metas found;
    bool is_new = false;
    vs_status st = vsi_metas_read(err, &engine->data, &found, &is_new);
    if (st != VS_OK)
        return st;
    bool is_ours = found.newest.generation == known->newest.generation ||
                   (!known->is_pair && found.newest.generation == engine->log.draft.generation);
    if (is_new || !is_ours || memcmp(found.newest.uuid, known->newest.uuid, VSI_UUID_BYTES))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the meta pages are not those of this database",
                        engine->path);
    *out_moment = (check_moment){.meta = known->newest,
                                 .end_lsn = engine->log.next_lsn - 1,
                                 .page_is_damaged = found.is_damaged};
    if (!engine->has_failed && found.newest.checkpoint.number > known->newest.checkpoint.number)
        out_moment->lost_checkpoint = found.newest.checkpoint.number;
    return VS_OK;
}

/* The log from the older of the two checkpoints on. */
static vs_status check_log(vsi_err *err, vsi_engine *engine, const check_moment *moment,
                           bool skips_payloads, vsi_watch *watch) {
    const vsi_meta *meta = &moment->meta;
    const vsi_checkpoint_info *from = meta->previous.log_from ? &meta->previous : &meta->checkpoint;
    vsi_replay *replay = vsi_alloc_zeroed(engine->mem, sizeof *replay);
    if (!replay)
        return vsi_fail_nomem(err, sizeof *replay);
    vs_status st =
        vsi_replay_open(err, engine->mem, engine->config.vfs, engine->path, meta, from, replay);
    replay->skips_payloads = skips_payloads;
    vsi_replay_watch(replay, "bytes of log checked", watch);
    while (st == VS_OK && !replay->is_done && replay->next_lsn <= moment->end_lsn) {
        vsi_frame frame;
        vsi_bytes payload;
        st = vsi_replay_next(err, replay, &frame, &payload);
        if (st == VS_OK && !replay->is_done)
            st = vsi_replay_step(err, replay, watch);
    }
    if (st == VS_OK && replay->next_lsn <= moment->end_lsn)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s: the log ends at frame %llu, expected %llu",
                      engine->path, (unsigned long long)replay->next_lsn - 1,
                      (unsigned long long)moment->end_lsn);
    vsi_replay_free(replay);
    vsi_free(engine->mem, replay, sizeof *replay);
    return st;
}

static vs_status check_begin(vsi_err *err, vsi_engine *engine, check_moment *out_moment) {
    vsi_mutex_lock(&engine->log_lock);
    vs_status st = check_metas(err, engine, out_moment);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}

/* ---- extents -------------------------------------------------------------------------------- */

/* The extents of one checkpoint. */
typedef struct check_extents {
    vsi_buf runs;          /* vsi_run */
    uint64_t needed;       /* features that the meta page names */
    bool is_packed_silent; /* an extent is compressed although the meta page does not say so */
    vsi_watch *watch;
    vsi_report_fn report;
    void *ctx;
} check_extents;

static vs_status check_visit(void *ctx, vsi_err *err, vsi_ref ref) {
    check_extents *c = ctx;
    vsi_run run = {vsi_ref_page(ref), vsi_ref_pages(ref)};
    if (ref.codec == VSI_CODEC_ZSTD && !(c->needed & VSI_META_NEEDS_ZSTD))
        c->is_packed_silent = true;
    if (!vsi_buf_append(&c->runs, &run, sizeof run))
        return vsi_fail_nomem(err, sizeof run);
    return vsi_watch_step(err, c->watch, run.pages);
}

static void check_damaged(void *ctx, const vsi_err *err) {
    check_extents *c = ctx;
    c->report(c->ctx, err->text);
}

/* Every page behind the meta pages is used once, or free. */
static void check_cover(check_extents *c, const vsi_checkpoint_info *info) {
    vsi_run *runs = (vsi_run *)(void *)c->runs.data;
    size_t n = c->runs.bytes / sizeof *runs;
    uint64_t page = VSI_SPACE_FIRST_PAGE;
    char text[160];
    vsi_runs_sort(&c->runs);
    for (size_t i = 0; i <= n; i++) {
        uint64_t next = i < n ? runs[i].page : info->end;
        if (next == page) {
            page += i < n ? runs[i].pages : 0;
            continue;
        }
        snprintf(text, sizeof text, "checkpoint %llu: page %llu is %s",
                 (unsigned long long)info->number, (unsigned long long)(next < page ? next : page),
                 next < page ? "used twice" : "neither used nor free");
        c->report(c->ctx, text);
        return;
    }
}

static vs_status check_free_list(vsi_err *err, vsi_engine *engine, check_extents *c,
                                 const vsi_checkpoint_info *info) {
    vsi_buf list = {.mem = engine->mem};
    if (info->free_list.kind == VSI_REF_NONE)
        return VS_OK;
    vs_status st = vsi_pager_read(err, &engine->pager, info->free_list, VSI_REF_FREE, &list);
    if (st == VS_OK)
        st = vsi_space_list(err, (vsi_bytes){list.data, list.bytes}, &c->runs);
    if (st == VS_OK)
        st = check_visit(c, err, info->free_list);
    vsi_buf_free(&list);
    return st;
}

/* Everything that a checkpoint reaches, read again, and for the last one whether that and what is free make
 * up the file. */
static vs_status check_checkpoint(vsi_err *err, vsi_engine *engine, const vsi_meta *meta,
                                  bool is_last, vsi_watch *watch, vsi_report_fn report, void *ctx) {
    const vsi_checkpoint_info *info = is_last ? &meta->checkpoint : &meta->previous;
    check_extents c = {.runs = {.mem = engine->mem},
                       .needed = meta->features_needed,
                       .watch = watch,
                       .report = report,
                       .ctx = ctx};
    vsi_walk walk = {.visit = check_visit, .damaged = check_damaged, .ctx = &c, .reads_all = true};
    vsi_watch_count(watch, "pages checked", info->end);
    vs_status st = vsi_walk_run(err, &engine->pager, info->catalog, &walk);
    if (st == VS_OK && is_last)
        st = check_free_list(err, engine, &c, info);
    if (st == VS_OK && is_last)
        check_cover(&c, info);
    if (st == VS_OK && c.is_packed_silent)
        report(ctx, "there are compressed values, and the meta pages do not say so");
    vsi_buf_free(&c.runs);
    return st;
}

/* ---- all ------------------------------------------------------------------------------------ */

/* Whether a failed sync moved the log meanwhile: frames read before may have been lost there. */
static bool check_log_moved(vsi_engine *engine, const check_moment *moment) {
    vsi_mutex_lock(&engine->log_lock);
    bool has_moved = engine->metas.newest.generation != moment->meta.generation;
    vsi_mutex_unlock(&engine->log_lock);
    return has_moved;
}

/* The log behind the checkpoint. A failed sync may move it while it is read: then once more. */
static vs_status check_whole_log(vsi_err *err, vsi_engine *engine, check_moment *moment, int level,
                                 vsi_watch *watch) {
    vs_status st = check_log(err, engine, moment, level == 1, watch);
    while (check_is_finding(st) && check_log_moved(engine, moment)) {
        st = check_begin(err, engine, moment);
        if (st == VS_OK)
            st = check_log(err, engine, moment, level == 1, watch);
    }
    return st;
}

/* A finding is reported, and is no failure of the check. */
static vs_status check_report(vs_status st, const vsi_err *err, vsi_report_fn report, void *ctx) {
    if (!check_is_finding(st))
        return st;
    report(ctx, err->text);
    return VS_OK;
}

static void check_report_metas(const check_moment *moment, vsi_report_fn report, void *ctx) {
    char text[160];
    if (moment->page_is_damaged)
        report(ctx, "one of the two meta pages is damaged; the other one serves");
    if (!moment->lost_checkpoint)
        return;
    snprintf(text, sizeof text, "checkpoint %llu is damaged; checkpoint %llu and its log serve",
             (unsigned long long)moment->lost_checkpoint,
             (unsigned long long)moment->meta.checkpoint.number);
    report(ctx, text);
}

static vs_status check_files(vsi_err *err, vsi_engine *engine, int level, vsi_watch *watch,
                             vsi_report_fn report, void *ctx) {
    check_moment moment = {.end_lsn = 0};
    vs_status st = check_report(check_begin(err, engine, &moment), err, report, ctx);
    if (st == VS_OK)
        check_report_metas(&moment, report, ctx);
    if (st == VS_OK && level >= 1 && moment.meta.seq)
        st = check_report(check_whole_log(err, engine, &moment, level, watch), err, report, ctx);
    const vsi_checkpoint_info *last = &moment.meta.checkpoint, *before = &moment.meta.previous;
    if (st == VS_OK && level >= 2 && last->number)
        st = check_report(check_checkpoint(err, engine, &moment.meta, true, watch, report, ctx),
                          err, report, ctx);
    if (st == VS_OK && level >= 2 && before->log_from && before->number)
        st = check_report(check_checkpoint(err, engine, &moment.meta, false, watch, report, ctx),
                          err, report, ctx);
    return st;
}

static void check_announce(vsi_engine *engine, uint32_t change) {
    vsi_mutex_lock(&engine->log_lock);
    engine->checks += change;
    vsi_mutex_unlock(&engine->log_lock);
}

VSI_FN vs_status vsi_engine_check(vsi_err *err, vsi_engine *engine, int level, vsi_watch *watch,
                                  vsi_report_fn report, void *ctx) {
    check_announce(engine, 1);
    vs_status st = check_files(err, engine, level, watch, report, ctx);
    check_announce(engine, UINT32_MAX);
    if (st != VS_OK || level < 3)
        return st;
    vsi_version *version = vsi_versions_pin(&engine->versions);
    st = vsi_audit(err, &version->state, engine->mem, watch, report, ctx);
    vsi_versions_unpin(&engine->versions, version);
    vsi_budget_keep(&engine->pager, &engine->descs);
    return st;
}
