/* engine.c - an open database: what it consists of, syncing, failing, closing.
 *
 *   N3  Once has_failed is set it stays, no frame is appended any more, and readers keep what
 *       was published. */
#include "store/engine.h"

/* ---- messages ------------------------------------------------------------------------------- */

VSI_FN void vsi_engine_message(const vsi_engine *engine, int level, const char *format, ...) {
    if (!engine->config.log_fn)
        return;
    char text[VSI_ERR_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    engine->config.log_fn(engine->config.log_ctx, level, text);
}

VSI_FN vs_status vsi_engine_check_writable(vsi_err *err, const vsi_engine *engine) {
    if (engine->config.is_readonly)
        return vsi_fail(err, VS_ERR_READONLY, "%s was opened read-only", engine->path);
    if (engine->has_failed)
        return vsi_fail(err, VS_ERR_READONLY, "%s: writing has stopped: %s", engine->path,
                        engine->failure);
    return VS_OK;
}

VSI_FN uint64_t vsi_engine_file_end(const vsi_engine *engine) {
    const vsi_meta *meta = &engine->metas.newest;
    uint64_t end = engine->pager.space.end;
    end = meta->checkpoint.end > end ? meta->checkpoint.end : end;
    return meta->previous.end > end ? meta->previous.end : end;
}

VSI_FN vs_status vsi_engine_settle_metas(vsi_err *err, vsi_engine *engine) {
    if (engine->metas.is_pair)
        return VS_OK;
    vs_status st = vsi_metas_repair(err, &engine->data, &engine->metas);
    if (st == VS_OK)
        vsi_log_complete(&engine->log);
    return st;
}

/* ---- the struct and what it owns ------------------------------------------------------------ */

VSI_FN void vsi_engine_free(vsi_engine *engine) {
    vsi_mem *mem = engine->mem;
    vsi_regions_close(&engine->regions);
    vsi_windows_free(
        &engine->pager.windows); /* first: then slabs go without its lock, see vsi_windows_leave */
    vsi_log_free(&engine->log);
    vsi_versions_free(&engine->versions);
    vsi_cow_free_all(&engine->cow);
    vsi_descs_free(&engine->descs);
    vsi_pager_free(&engine->pager);
    vsi_file_close(&engine->data);
    vsi_cond_destroy(&engine->log_moved);
    vsi_mutex_destroy(&engine->log_lock);
    vsi_cond_destroy(&engine->role_free);
    vsi_regions_free(&engine->regions);
    vsi_free(mem, engine, sizeof *engine);
}

static bool engine_init(vsi_engine *engine) {
    vsi_cow_init(&engine->cow, engine->mem);
    engine->cow.pager = &engine->pager;
    if (!vsi_regions_init(&engine->regions, engine->mem, engine->config.pages))
        return false;
    if (!vsi_cond_init(&engine->role_free))
        goto fail_regions;
    if (!vsi_mutex_init(&engine->log_lock))
        goto fail_role;
    if (!vsi_cond_init(&engine->log_moved))
        goto fail_lock;
    if (!vsi_pager_init(&engine->pager, engine->mem, &engine->data))
        goto fail_moved;
    if (!vsi_descs_init(&engine->descs, engine->mem, engine->config.codes))
        goto fail_pager;
    if (!vsi_versions_init(&engine->versions, engine->mem, &engine->cow, &engine->descs))
        goto fail_descs;
    return true;

fail_descs:
    vsi_descs_free(&engine->descs);
fail_pager:
    vsi_pager_free(&engine->pager);
fail_moved:
    vsi_cond_destroy(&engine->log_moved);
fail_lock:
    vsi_mutex_destroy(&engine->log_lock);
fail_role:
    vsi_cond_destroy(&engine->role_free);
fail_regions:
    vsi_regions_free(&engine->regions);
    return false;
}

VSI_FN vsi_engine *vsi_engine_new(const vsi_engine_config *config) {
    vsi_engine *engine = vsi_alloc_zeroed(config->mem, sizeof *engine);
    if (!engine)
        return NULL;
    engine->config = *config;
    engine->mem = config->mem;
    if (!engine_init(engine)) {
        vsi_free(config->mem, engine, sizeof *engine);
        return NULL;
    }
    vsi_atomic_set(&engine->sync, (uint64_t)config->sync);
    vsi_atomic_set(&engine->busy_timeout_ms, config->busy_timeout_ms);
    vsi_atomic_set(&engine->pager.packs, vsi_codec_has_zstd() && !config->stores_plain);
    if (config->memory_limit)
        vsi_atomic_set(&engine->pager.reside.limit_bytes, config->memory_limit);
    if (config->maps_slabs)
        vsi_pager_allow_maps(&engine->pager);
    return engine;
}

/* Both meta pages learn how far the log goes, so that a log cut short later is noticed. */
static vs_status close_record_end(vsi_err *err, vsi_engine *engine) {
    vsi_meta meta = engine->metas.newest;
    meta.durable_lsn = engine->log.durable_lsn;
    return vsi_metas_write(err, &engine->data, &engine->metas, &meta);
}

VSI_FN vs_status vsi_engine_close(vsi_err *err, vsi_engine *engine, bool is_forked) {
    vs_status st = VS_OK;
    vsi_err ignored = {0};
    if (!is_forked && !engine->config.is_readonly) {
        st = vsi_engine_sync(err, engine);
        bool is_known = engine->log.durable_lsn == engine->metas.newest.durable_lsn;
        if (st == VS_OK && !engine->has_failed && !is_known)
            st = close_record_end(err, engine);
        vsi_session_write(&engine->data, 0);
    }
    if (!is_forked) /* a child forked from this process would keep the lock alive */
        vsi_file_lock(&ignored, &engine->data, VS_VFS_UNLOCK);
    vsi_engine_free(engine);
    return st;
}

/* ---- syncing; log_lock held ----------------------------------------------------------------- */

VSI_FN void vsi_engine_publish(vsi_engine *engine) {
    vsi_versions_publish(&engine->versions, engine->log.durable_lsn, engine->has_failed);
    vsi_cond_wake_all(&engine->log_moved);
}

VSI_FN void vsi_engine_fail(vsi_engine *engine, const vsi_err *cause) {
    engine->has_failed = true; /* keeps N3 */
    snprintf(engine->failure, sizeof engine->failure, "%.*s", VSI_REASON_BYTES - 1, cause->text);
    vsi_engine_message(engine, VS_LOG_ERROR, "%s: writing has stopped: %s", engine->path,
                       engine->failure);
}

VSI_FN void vsi_engine_bury(vsi_engine *engine, vsi_version *version, uint64_t checkpoint) {
    const vsi_dead_extent *dead =
        (const vsi_dead_extent *)(const void *)engine->cow.dead_extents.data;
    for (size_t i = 0; i < engine->cow.dead_extents.bytes / sizeof *dead; i++)
        vsi_space_bury(&engine->pager.space,
                       (vsi_dead_extent){.run = dead[i].run,
                                         .checkpoint = checkpoint,
                                         .version = engine->versions.last_seq + 1,
                                         .birth = dead[i].birth});
    vsi_buf_free(&engine->cow.dead_extents);
    version->dead = vsi_cow_take_dead(&engine->cow);
}

VSI_FN vs_status vsi_engine_take_over(vsi_err *err, vsi_engine *engine) {
    bool was_open = vsi_log_is_open(&engine->log);
    vsi_assert(!engine->is_syncing);
    vs_status st = vsi_log_take_over(err, &engine->log);
    if (st != VS_OK && was_open)
        vsi_engine_fail(engine, err);
    if (st == VS_OK)
        engine->last_sync_us = engine->config.vfs->ticks_us(engine->config.vfs->ctx);
    return st;
}

VSI_FN void vsi_engine_wait_sync(vsi_engine *engine) {
    while (engine->is_syncing)
        vsi_cond_wait(&engine->log_moved, &engine->log_lock);
}

/* The device refused a sync: write what it did not take into a new file. */
static void engine_survive_failed_sync(vsi_engine *engine, const vsi_err *cause) {
    vsi_err err = {0};
    vsi_engine_message(engine, VS_LOG_WARNING, "%s; writing the frames again to a new file",
                       cause->text);
    vsi_engine_take_over(&err, engine); /* a failure is kept in the engine */
}

VSI_FN void vsi_engine_sync_round(vsi_engine *engine) {
    vsi_log_ticket ticket;
    if (engine->is_syncing) {
        vsi_cond_wait(&engine->log_moved, &engine->log_lock);
        return;
    }
    if (!vsi_log_sync_begin(&engine->log, &ticket)) {
        vsi_engine_publish(engine);
        return;
    }
    vsi_err err = {0};
    engine->is_syncing = true;
    vsi_mutex_unlock(&engine->log_lock);
    vs_status st = vsi_file_sync(&err, &engine->log.file);
    vsi_mutex_lock(&engine->log_lock);
    engine->is_syncing = false;
    if (st == VS_OK) {
        vsi_log_sync_end(&engine->log, ticket);
        engine->last_sync_us = engine->config.vfs->ticks_us(engine->config.vfs->ctx);
    } else {
        engine_survive_failed_sync(engine, &err);
    }
    vsi_engine_publish(engine);
}

VSI_FN vs_status vsi_engine_sync(vsi_err *err, vsi_engine *engine) {
    vs_status st = VS_OK;
    if (engine->config.is_readonly)
        return VS_OK;
    vsi_mutex_lock(&engine->log_lock);
    uint64_t wanted = engine->log.next_lsn - 1;
    if (!engine->has_failed)
        st = vsi_engine_settle_metas(err, engine);
    while (st == VS_OK && !engine->has_failed && engine->log.durable_lsn < wanted) {
        if (vsi_log_is_open(&engine->log))
            vsi_engine_sync_round(engine);
        else
            st = vsi_engine_take_over(err, engine); /* frames that recovery found */
    }
    if (engine->has_failed && engine->log.durable_lsn < wanted)
        st = vsi_fail(err, VS_ERR_INDOUBT, "%s: commits may be lost: %s", engine->path,
                      engine->failure);
    vsi_mutex_unlock(&engine->log_lock);
    return st;
}
