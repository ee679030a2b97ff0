/* check.c - looks for damage in an open database, on the device as well as in memory. */
#include "store/check.h"

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
    return VS_OK;
}

static vs_status check_log(vsi_err *err, vsi_engine *engine, const check_moment *moment,
                           bool skips_payloads) {
    vsi_replay *replay = vsi_alloc_zeroed(engine->mem, sizeof *replay);
    if (!replay)
        return vsi_fail_nomem(err, sizeof *replay);
    vs_status st =
        vsi_replay_open(err, engine->mem, engine->config.vfs, engine->path, &moment->meta, replay);
    replay->skips_payloads = skips_payloads;
    while (st == VS_OK && !replay->is_done && replay->next_lsn <= moment->end_lsn) {
        vsi_frame frame;
        vsi_bytes payload;
        st = vsi_replay_next(err, replay, &frame, &payload);
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

/* Whether a failed sync moved the log meanwhile: frames read before may have been lost there. */
static bool check_log_moved(vsi_engine *engine, const check_moment *moment) {
    vsi_mutex_lock(&engine->log_lock);
    bool has_moved = engine->metas.newest.generation != moment->meta.generation;
    vsi_mutex_unlock(&engine->log_lock);
    return has_moved;
}

VSI_FN vs_status vsi_engine_check(vsi_err *err, vsi_engine *engine, int level, vsi_report_fn report,
                                  void *ctx) {
    check_moment moment = {.end_lsn = 0};
    vs_status st = check_begin(err, engine, &moment);
    if (st == VS_OK && moment.page_is_damaged)
        report(ctx, "one of the two meta pages is damaged; the other one serves");
    if (st == VS_OK && level >= 1)
        st = check_log(err, engine, &moment, level == 1);
    while (check_is_finding(st) && check_log_moved(engine, &moment)) {
        st = check_begin(err, engine, &moment);
        if (st == VS_OK)
            st = check_log(err, engine, &moment, level == 1);
    }
    if (check_is_finding(st)) {
        report(ctx, err->text);
        st = VS_OK;
    }
    if (st != VS_OK || level < 3)
        return st;
    vsi_version *version = vsi_versions_pin(&engine->versions);
    st = vsi_audit(err, &version->state, engine->mem, report, ctx);
    vsi_versions_unpin(&engine->versions, version);
    return st;
}
