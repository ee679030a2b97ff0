/* inspect.c - syncing, statistics and checking. */
#include "api/handle.h"
#include "store/check.h"

enum { INSPECT_STEP_BYTES = 1 << 20 };

vs_status vs_sync(vs_db *db) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_sync");
    vsi_err err = {0};
    vs_status st = vsi_engine_sync(&err, db->engine);
    return vsi_trace_end(&trace, vsi_handle_end(&db->head, st, &err), 0);
}

vs_status vs_checkpoint(vs_db *db) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_checkpoint");
    vsi_err err = {0};
    vs_status st = vsi_checkpoint(&err, db->engine, false);
    return vsi_trace_end(&trace, vsi_handle_end(&db->head, st, &err), 0);
}

vs_status vs_maintain(vs_db *db, uint64_t budget_bytes, uint64_t *out_left_bytes) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_maintain");
    vsi_err err = {0};
    uint64_t left = 0;
    vs_status st = VS_OK;
    if (!db->engine->config.is_readonly)
        st =
            vsi_maintain(&err, db->engine, budget_bytes ? budget_bytes : INSPECT_STEP_BYTES, &left);
    if (st == VS_OK && out_left_bytes)
        *out_left_bytes = left;
    return vsi_trace_end(&trace, vsi_handle_end(&db->head, st, &err), 0);
}

vs_status vs_vacuum(vs_db *db, uint64_t budget_bytes, uint64_t *out_left_bytes) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_vacuum");
    vsi_err err = {0};
    uint64_t left = 0;
    vs_status st = vsi_vacuum(&err, db->engine, budget_bytes ? budget_bytes : UINT64_MAX, &left);
    if (st == VS_OK && out_left_bytes)
        *out_left_bytes = left;
    return vsi_trace_end(&trace, vsi_handle_end(&db->head, st, &err), 0);
}

vs_status vs_stats_get(vs_db *db, vs_stats *out_stats) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, out_stats, "out_stats") != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = vsi_struct_check(&err, "vs_stats", out_stats);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    vsi_engine *engine = db->engine;
    vs_stats stats = VS_STATS_INIT;
    vsi_hash128 digest;
    stats.size = out_stats->size;
    stats.readers = (uint32_t)vsi_versions_pin_count(&engine->versions, &stats.oldest_reader_lsn);
    vsi_versions_peek(&engine->versions, &stats.lsn, &digest);
    stats.digest[0] = digest.lo;
    stats.digest[1] = digest.hi;
    stats.recovered_txns = engine->recovered_txns;
    stats.dropped_lsn = engine->dropped_lsn;
    stats.dropped_bytes = engine->dropped_bytes;
    stats.memory_bytes = vsi_atomic_load(&db->mem.used_bytes);
    vsi_mutex_lock(&engine->log_lock);
    stats.durable_lsn = engine->log.durable_lsn;
    stats.log_generation = engine->log.generation;
    stats.log_bytes = vsi_log_bytes(&engine->log);
    stats.commits = engine->commits;
    stats.syncs = engine->log.syncs;
    stats.log_takeovers = engine->log.takeovers;
    stats.checkpoint = engine->metas.newest.checkpoint.number;
    stats.checkpoint_lsn = engine->metas.newest.checkpoint.lsn;
    stats.checkpoints = engine->checkpoints;
    stats.file_bytes = engine->metas.newest.checkpoint.end * VSI_PAGE_BYTES;
    stats.trailer_bytes = engine->metas.newest.trailer_bytes;
    stats.retained_bytes = engine->retained_bytes;
    stats.memory_limit = vsi_atomic_load(&engine->pager.reside.limit_bytes);
    stats.free_bytes = engine->free_pages * VSI_PAGE_BYTES;
    memcpy(stats.readonly_reason, engine->failure, sizeof stats.readonly_reason);
    vsi_mutex_unlock(&engine->log_lock);
    vsi_struct_write(&stats, sizeof stats, out_stats);
    return VS_OK;
}

vs_status vs_interrupt(vs_db *db) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_atomic_add(&db->watcher.interrupts, 1);
    return VS_OK;
}

vs_status vs_set_timeout(vs_db *db, uint32_t timeout_ms) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_atomic_set(&db->watcher.timeout_ms, timeout_ms);
    return VS_OK;
}

typedef struct check_counter {
    vs_check_fn report;
    void *ctx;
    uint64_t count;
} check_counter;

static void check_count(void *ctx, const char *problem) {
    check_counter *counter = ctx;
    counter->count++;
    if (counter->report)
        counter->report(counter->ctx, problem);
}

vs_status vs_check(vs_db *db, int level, vs_check_fn report, void *ctx, uint64_t *out_problems) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, out_problems, "out_problems") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_check");
    vsi_err err = {0};
    check_counter counter = {.report = report, .ctx = ctx};
    vsi_watch watch = vsi_watch_begin(&db->watcher);
    vsi_watch_limit(&watch, 0);
    vs_status st =
        level >= 0 && level <= 3
            ? vsi_engine_check(&err, db->engine, level, &watch, check_count, &counter)
            : vsi_fail(&err, VS_ERR_INVALID, "check level is %d, expected 0 to 3", level);
    if (st == VS_OK)
        *out_problems = counter.count;
    return vsi_trace_end(&trace, vsi_handle_end(&db->head, st, &err), 0);
}
