/* check.c - looks for damage in an open database, on the device as well as in memory. */
#include "store/check.h"

/* Whether a failure is a finding rather than a check that could not be done. */
static bool check_is_finding(vs_status st) {
    return st == VS_ERR_CORRUPT || st == VS_ERR_LOG_MISSING || st == VS_ERR_NOT_DB ||
           st == VS_ERR_TOO_NEW || st == VS_ERR_TOO_OLD;
}

static vs_status check_metas(vsi_err *err, vsi_engine *engine, vsi_report_fn report, void *ctx) {
    vsi_metas found;
    bool is_new = false;
    vs_status st = vsi_metas_read(err, &engine->data, &found, &is_new);
    if (st != VS_OK)
        return st;
    if (is_new || memcmp(found.newest.uuid, engine->metas.newest.uuid, VSI_UUID_BYTES) ||
        found.newest.generation != engine->metas.newest.generation)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the meta pages are not those of this database",
                        engine->path);
    if (found.is_damaged)
        report(ctx, "one of the two meta pages is damaged; the other one serves");
    return VS_OK;
}

static vs_status check_log(vsi_err *err, vsi_engine *engine, bool skips_payloads) {
    vsi_replay *replay = vsi_alloc_zeroed(engine->mem, sizeof *replay);
    if (!replay)
        return vsi_fail_nomem(err, sizeof *replay);
    vs_status st = vsi_replay_open(err, engine->mem, engine->config.vfs, engine->path,
                                   &engine->metas.newest, replay);
    replay->skips_payloads = skips_payloads;
    while (st == VS_OK && !replay->is_done) {
        vsi_frame frame;
        vsi_bytes payload;
        st = vsi_replay_next(err, replay, &frame, &payload);
    }
    if (st == VS_OK && replay->next_lsn < engine->log.next_lsn)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s: the log ends at frame %llu, expected %llu",
                      engine->path, (unsigned long long)replay->next_lsn - 1,
                      (unsigned long long)engine->log.next_lsn - 1);
    vsi_replay_free(replay);
    vsi_free(engine->mem, replay, sizeof *replay);
    return st;
}

VSI_FN vs_status vsi_engine_check(vsi_err *err, vsi_engine *engine, int level, vsi_report_fn report,
                                  void *ctx) {
    vsi_mutex_lock(&engine->log_lock);
    vs_status st = check_metas(err, engine, report, ctx);
    if (st == VS_OK && level >= 1)
        st = check_log(err, engine, level == 1);
    vsi_mutex_unlock(&engine->log_lock);
    if (check_is_finding(st)) {
        report(ctx, err->text);
        st = VS_OK;
    }
    if (st != VS_OK || level < 3)
        return st;
    vsi_version *version = vsi_versions_pin(&engine->versions);
    if (!vsi_state_check(&version->state, engine->mem, report, ctx))
        st = vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    vsi_versions_unpin(&engine->versions, version);
    return st;
}
