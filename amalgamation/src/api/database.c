/* database.c - opening, closing, messages and versions. */
#include "api/database.h"
#include "math/dispatch.h"
#include "os/memory.h"
#include "os/pages.h"
#include "os/posix.h"

/* ---- messages ------------------------------------------------------------------------------- */

static bool handle_is_open(const vsi_handle *head) {
    return head && (head->tag == VSI_TAG_DB || head->tag == VSI_TAG_TXN ||
                    head->tag == VSI_TAG_COLLECTION || head->tag == VSI_TAG_CURSOR);
}

const char *vs_errmsg(const void *handle) {
    const vsi_handle *head = handle;
    return handle_is_open(head) ? head->err.text : "";
}

vs_status vs_extended_errcode(const void *handle) {
    const vsi_handle *head = handle;
    if (!head)
        return VS_OK;
    return handle_is_open(head) ? head->err.code : VS_ERR_MISUSE;
}

const char *vs_status_name(vs_status status) {
    return vsi_status_name(status);
}

const char *vs_version(void) {
    return VS_VERSION;
}

int vs_version_number(void) {
    return VS_VERSION_NUMBER;
}

const char *vs_cpu_features(void) {
    return vsi_kernels_names();
}

/* ---- opening -------------------------------------------------------------------------------- */

/* The caller's options over the defaults, as many as the caller's version knows. */
static vs_status open_read_options(vsi_err *err, const char *call, const vs_open_options *given,
                                   vs_open_options *out) {
    const vs_open_options defaults = VS_OPEN_OPTIONS_INIT;
    *out = defaults;
    vs_status st = given ? vsi_struct_read(err, "vs_open_options", given, out, sizeof *out) : VS_OK;
    if (st != VS_OK)
        return st;
    if (out->flags & ~(uint32_t)(VS_OPEN_READONLY | VS_OPEN_CREATE | VS_OPEN_MMAP))
        return vsi_fail(err, VS_ERR_MISUSE, "%s: unknown flags %#lx", call,
                        (unsigned long)out->flags);
    if (out->sync < VS_SYNC_DEFAULT || out->sync > VS_SYNC_OFF)
        return vsi_fail(err, VS_ERR_MISUSE, "%s: sync is %d, expected VS_SYNC_...", call,
                        out->sync);
    if (out->compression < VS_COMPRESSION_DEFAULT || out->compression > VS_COMPRESSION_ZSTD)
        return vsi_fail(err, VS_ERR_MISUSE, "%s: compression is %d, expected VS_COMPRESSION_...",
                        call, out->compression);
    if (out->trailer_bytes && out->trailer_bytes != VSI_TRAILER_BYTES)
        return vsi_fail(err, VS_ERR_MISUSE, "%s: trailer_bytes is %lu, expected 0 or %d", call,
                        (unsigned long)out->trailer_bytes, VSI_TRAILER_BYTES);
    if (out->compression == VS_COMPRESSION_ZSTD && !vsi_codec_has_zstd())
        return vsi_fail(err, VS_ERR_UNSUPPORTED, "%s: this build leaves zstd out (VS_OMIT_ZSTD)",
                        call);
    if (out->parallel_for && !VS_THREADSAFE)
        return vsi_fail(err, VS_ERR_UNSUPPORTED,
                        "%s: parallel_for, and this build is for one thread (VS_THREADSAFE=0)",
                        call);
    if (out->allocator && !out->allocator->realloc)
        return vsi_fail(err, VS_ERR_MISUSE, "%s: the allocator has no realloc", call);
    return VS_OK;
}

/* ":memory:" as the last part of a longer path is a mistake, and would become a file of that name. */
static vs_status open_check_path(vsi_err *err, const char *path) {
    if (!path)
        return vsi_fail(err, VS_ERR_MISUSE, "vs_open: path is NULL");
    if (!*path)
        return vsi_fail(err, VS_ERR_INVALID, "vs_open: path is empty");
    const char *slash = strrchr(path, '/');
    if (slash && !strcmp(slash + 1, VSI_MEMORY_PATH))
        return vsi_fail(err, VS_ERR_INVALID,
                        "vs_open: no file is named %s; a database in memory has that as its path, "
                        "without a folder",
                        VSI_MEMORY_PATH);
    return VS_OK;
}

static vs_status open_files(vsi_err *err, const char *path, vs_open_options *options) {
    vs_status st = open_check_path(err, path);
    if (st != VS_OK)
        return st;
    if (!options->vfs)
        options->vfs = vsi_posix_vfs();
    if (!options->vfs || options->vfs->size < sizeof(vs_vfs))
        return vsi_fail(err, VS_ERR_UNSUPPORTED,
                        "vs_open: no file system, or one of an older form");
    return VS_OK;
}

/* The file system of a database in memory, with its file, or without one: then it is created. */
static vs_status open_memory(vsi_err *err, const vsi_source *source, vs_open_options *options,
                             vs_db *db) {
    bool is_readonly = options->flags & VS_OPEN_READONLY;
    if (options->vfs)
        return vsi_fail(err, VS_ERR_MISUSE,
                        "%s: a database in memory has a file system of its own; vfs must be NULL",
                        source->call);
    if (source->holds && !source->data)
        return vsi_fail(err, VS_ERR_MISUSE, "%s: data is NULL", source->call);
    if (is_readonly && !source->holds)
        return vsi_fail(err, VS_ERR_MISUSE,
                        "%s: a database in memory begins empty: there is nothing to read only",
                        source->call);
    vs_status st = vsi_memory_vfs_create(&db->mem.hook, &db->memory);
    if (st == VS_OK && source->holds)
        st = vsi_memory_vfs_put(db->memory, VSI_MEMORY_PATH, source->data, source->bytes,
                                is_readonly);
    if (st != VS_OK)
        return vsi_fail(err, VS_ERR_NOMEM, "%s: out of memory", source->call);
    options->vfs = db->memory;
    options->flags &= ~(uint32_t)VS_OPEN_CREATE;
    if (!source->holds)
        options->flags |= VS_OPEN_CREATE;
    return VS_OK;
}

static vs_status open_database(vsi_err *err, const vsi_source *source,
                               const vs_open_options *options, vs_db *db) {
    db->watcher.vfs = options->vfs;
    db->watcher.progress = options->progress;
    db->watcher.progress_ctx = options->progress_ctx;
    db->parallel_for = options->parallel_for;
    db->parallel_ctx = options->parallel_ctx;
    db->kernels = vsi_kernels_choose(options->cpu);
    if (!db->kernels)
        return vsi_fail(err, VS_ERR_UNSUPPORTED, "%s: cpu '%s', this machine has: %s", source->call,
                        options->cpu, vsi_kernels_names());
    vsi_engine_config config = {
        .mem = &db->mem,
        .vfs = options->vfs,
        .path = source->is_memory ? VSI_MEMORY_PATH : source->path,
        .is_readonly = options->flags & VS_OPEN_READONLY,
        .may_create = options->flags & VS_OPEN_CREATE,
        .maps_slabs = options->flags & VS_OPEN_MMAP,
        .sync = options->sync ? options->sync : VS_SYNC_FULL,
        .busy_timeout_ms = options->busy_timeout_ms ? options->busy_timeout_ms : VSI_BUSY_MS,
        .memory_limit = options->memory_limit ? options->memory_limit : VSI_MEMORY_BYTES,
        .busy_fn = options->busy,
        .busy_ctx = options->busy_ctx,
        .stores_plain = options->compression == VS_COMPRESSION_NONE,
        .trailer_bytes = options->trailer_bytes,
        .log_fn = options->log,
        .log_ctx = options->log_ctx,
        .watcher = &db->watcher,
        .pages = options->allocator ? NULL : vsi_system_pages(),
        .codes = vsi_codes_choose(options->cpu),
    };
    db->process_id = options->vfs->process_id(options->vfs->ctx);
    return vsi_engine_open(err, &config, &db->engine);
}

/* Files, then the database in them. */
static vs_status open_source(vsi_err *err, const vsi_source *source, vs_open_options *options,
                             vs_db *db) {
    vs_status st = source->is_memory ? open_memory(err, source, options, db)
                                     : open_files(err, source->path, options);
    return st == VS_OK ? open_database(err, source, options, db) : st;
}

VSI_FN vs_status vsi_database_open(const vsi_source *source, const vs_open_options *options,
                                   vs_db **out_db) {
    *out_db = NULL;
    vs_open_options all;
    vsi_err err = {0};
    vs_status st = open_read_options(&err, source->call, options, &all);
    vsi_mem mem;
    vsi_mem_init(&mem, all.allocator && all.allocator->realloc ? all.allocator : NULL);
    vs_db *db = vsi_alloc_zeroed(&mem, sizeof *db);
    if (!db)
        return VS_ERR_NOMEM;
    vsi_mem_init(&db->mem, &mem.hook);
    bool has_lock = vsi_mutex_init(&db->lock);
    if (!has_lock || !vsi_hooks_init(&db->hooks)) {
        if (has_lock)
            vsi_mutex_destroy(&db->lock);
        vsi_free(&mem, db, sizeof *db);
        return VS_ERR_NOMEM;
    }
    db->head.tag = VSI_TAG_DB;
    db->head.db = db;
    if (st == VS_OK)
        st = open_source(&err, source, &all, db);
    *out_db = db;
    return vsi_handle_end(&db->head, st, &err);
}

vs_status vs_open(const char *path, const vs_open_options *options, vs_db **out_db) {
    if (!out_db)
        return VS_ERR_MISUSE;
    vsi_source source = {
        .call = "vs_open", .path = path, .is_memory = path && !strcmp(path, VSI_MEMORY_PATH)};
    return vsi_database_open(&source, options, out_db);
}

/* ---- closing -------------------------------------------------------------------------------- */

static vs_status close_check(vsi_err *err, vs_db *db) {
    vsi_mutex_lock(&db->lock);
    uint32_t txns = db->txns, collections = db->collections, cursors = db->cursors;
    vsi_mutex_unlock(&db->lock);
    if (vsi_role_is_waited_for(db->engine))
        return vsi_fail(err, VS_ERR_BUSY, "vs_close: a call on it waits for a write transaction");
    if (!txns && !collections && !cursors)
        return VS_OK;
    return vsi_fail(err, VS_ERR_BUSY,
                    "vs_close: still open: %lu transactions, %lu collections, %lu cursors",
                    (unsigned long)txns, (unsigned long)collections, (unsigned long)cursors);
}

/* A close that cannot make a checkpoint keeps the log. */
static void close_checkpoint(vsi_engine *engine) {
    vsi_err err = {0};
    if (engine->config.is_readonly || engine->has_failed)
        return;
    if (vsi_checkpoint(&err, engine, true) != VS_OK)
        vsi_engine_message(engine, VS_LOG_WARNING, "%s keeps its log: %s", engine->path, err.text);
}

vs_status vs_close(vs_db *db) {
    if (!db)
        return VS_OK;
    if (db->head.tag != VSI_TAG_DB)
        return vsi_handle_check(db, VSI_TAG_DB);
    vsi_err err = {0};
    vs_status st = VS_OK;
    if (db->engine) {
        const vs_vfs *vfs = db->engine->config.vfs;
        bool is_forked = vfs->process_id(vfs->ctx) != db->process_id;
        if (!is_forked && vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
            return VS_ERR_MISUSE; /* in a hook */
        st = is_forked ? VS_OK : close_check(&err, db);
        if (st != VS_OK)
            return vsi_handle_end(&db->head, st, &err);
        bool only_frees = is_forked || db->memory; /* nobody will see the file */
        if (!only_frees)
            close_checkpoint(db->engine);
        st = vsi_engine_close(&err, db->engine, only_frees);
    }
    vsi_memory_vfs_destroy(db->memory);
    db->head.tag = VSI_TAG_CLOSED;
    vsi_hooks_destroy(&db->hooks);
    vsi_mutex_destroy(&db->lock);
    vsi_mem mem;
    vsi_mem_init(&mem, &db->mem.hook);
    vsi_free(&mem, db, sizeof *db);
    return st;
}
