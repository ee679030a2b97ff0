/* failing.c - an engine on a file that cannot be read, or that is not the one it opened: every read and every
 * allocation of an audit, a check and many deletions fails, and nothing but that call does. */
#include "os/memory.h"
#include "store/audit.h"
#include "store/check.h"
#include "store/checkpoint.h"
#include "store/flush.h"
#include "store/freelist.h"
#include "store/open.h"
#include "store/write.h"
#include "vt.h"

#define PATH "t.vs"

enum { DIM = 40, KEYS = 420, COLLS = 60, NOTES = 30, LARGE_BYTES = 3000 };

static struct {
    const vs_vfs *below;
    uint64_t reads, fail_at; /* 0: none */
    bool fails_to_write;
    vs_status open_status; /* what opening for writing returns; VS_OK: what the file system says */
    bool refuses_reading;  /* opening for reading as well */
} device;

static vs_status device_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    if (++device.reads == device.fail_at)
        return VS_ERR_IO;
    return device.below->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

static vs_status device_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                              size_t *out_bytes, char *why) {
    if (device.fails_to_write)
        return VS_ERR_IO;
    return device.below->write(ctx, file, buf, bytes, offset, out_bytes, why);
}

static vs_status device_open(void *ctx, const char *path, uint32_t mode, void **out_file,
                             char *why) {
    if (device.open_status && (mode & VS_VFS_WRITE || device.refuses_reading))
        return device.open_status;
    return device.below->open(ctx, path, mode, out_file, why);
}

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory, vfs;
    vsi_engine_config config;
    vsi_engine *engine;
    vsi_write write;
    vsi_err err;
} fixture;

static void check_ok(fixture *f, vs_status st, int line) {
    if (st != VS_OK)
        vt_fail(__FILE__, line, "status %d: %s", st, f->err.text);
}

#define OK(call) check_ok(f, call, __LINE__)

/* ---- a database ----------------------------------------------------------------------------- */

static void apply(fixture *f, const vsi_op *op) {
    vsi_statement statement;
    OK(vsi_statement_begin(&f->err, &f->write, &statement));
    OK(vsi_statement_apply(&f->err, &f->write, op));
    vsi_statement_keep(&f->write, &statement);
}

static void create(fixture *f, uint32_t at) {
    char name[64];
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .field_count = 1,
                 .field[0].name = {(const uint8_t *)"vector", 6},
                 .field[0].dim = DIM,
                 .field[0].type = VS_F32,
                 .field[0].metric = VS_L2};
    snprintf(name, sizeof name, "a collection with a name of some length, number %u", (unsigned)at);
    op.name = (vsi_bytes){(const uint8_t *)name, strlen(name)};
    OK(vsi_write_take_coll(&f->err, &f->write, &op.coll));
    apply(f, &op);
}

static void put_in(fixture *f, uint32_t coll, uint64_t key) {
    static uint8_t vector[DIM * 4], text[LARGE_BYTES];
    vsi_op op = {.kind = VSI_OP_PUT,
                 .coll = coll,
                 .old_slot = VSI_SLOT_NONE,
                 .key.number = key,
                 .vector[0] = {vector, sizeof vector},
                 .metadata = {text, key % 60 == 7 ? sizeof text : 60}};
    vector[4] = (uint8_t)key;
    OK(vsi_write_take_slot(&f->err, &f->write, coll, &op.slot));
    apply(f, &op);
}

static void put(fixture *f, uint64_t key) {
    put_in(f, 1, key);
}

static void put_note(fixture *f, uint64_t at) {
    static const uint8_t value[LARGE_BYTES] = {7};
    vsi_op op = {.kind = VSI_OP_NOTE,
                 .note_key = {(const uint8_t *)&at, sizeof at},
                 .note_value = {value, at % 8 == 3 ? sizeof value : 200},
                 .note_has_value = true};
    apply(f, &op);
}

/* An open database that is empty. */
static void begin_empty(fixture *f) {
    memset(f, 0, sizeof *f);
    memset(&device, 0, sizeof device);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    device.below = f->memory;
    f->vfs = *f->memory;
    f->vfs.read = device_read;
    f->vfs.write = device_write;
    f->vfs.open = device_open;
    f->config = (vsi_engine_config){.mem = &f->mem,
                                    .vfs = &f->vfs,
                                    .path = PATH,
                                    .may_create = true,
                                    .sync = VS_SYNC_FULL,
                                    .busy_timeout_ms = 1000,
                                    .memory_limit = UINT64_MAX};
    OK(vsi_engine_open(&f->err, &f->config, &f->engine));
}

/* Trees of two levels, the catalog too, in a checkpoint with another one before it. */
static void begin(fixture *f) {
    begin_empty(f);
    for (int part = 0; part < 2; part++) {
        OK(vsi_write_begin(&f->err, f->engine, &f->write));
        for (uint32_t i = 0; i < COLLS / 2; i++)
            create(f, i + (uint32_t)part * COLLS / 2);
        for (uint64_t key = 0; key < KEYS; key += 2)
            put(f, key + (uint64_t)part);
        for (uint64_t at = 0; at < NOTES; at++)
            put_note(f, at);
        OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_FULL));
        OK(vsi_checkpoint(&f->err, f->engine, false));
    }
}

static void end(fixture *f) {
    OK(vsi_engine_close(&f->err, f->engine, false));
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

/* Nothing that the file has is in memory any more. */
static void forget(fixture *f) {
    vsi_desc *desc = vsi_descs_find(&f->engine->descs, 1);
    for (int i = 0; i < 2; i++) {
        vsi_pager_evict(&f->engine->pager, SIZE_MAX);
        vsi_slabs_evict(&desc->field[0].rows, SIZE_MAX);
        vsi_slabs_evict(&desc->cells, SIZE_MAX);
    }
    vsi_reside_collect(&f->engine->pager.reside);
}

/* ---- every read and every allocation -------------------------------------------------------- */

typedef vs_status action(fixture *f);

static void count_problem(void *ctx, const char *problem) {
    (void)ctx;
    vt_fail(__FILE__, __LINE__, "%s", problem);
}

static vs_status audit(fixture *f) {
    const vsi_version *version = f->engine->versions.applied;
    return vsi_audit(&f->err, &version->state, &f->mem, NULL, count_problem, NULL);
}

static vs_status check(fixture *f) {
    return vsi_engine_check(&f->err, f->engine, 3, NULL, count_problem, NULL);
}

static vs_status walk_colls(fixture *f) {
    const vsi_state *state = &f->engine->versions.applied->state;
    vsi_coll coll;
    vs_status st = vsi_state_coll_from(&f->err, state, 0, &coll);
    while (st == VS_OK)
        st = vsi_state_coll_from(&f->err, state, coll.desc->id + 1, &coll);
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

/* Deletes records, most of them behind each other, so that nodes join; and rolls all back. */
static vs_status delete_most(fixture *f) {
    vs_status st = vsi_write_begin(&f->err, f->engine, &f->write);
    if (st != VS_OK)
        return st;
    for (uint64_t i = 0; st == VS_OK && i < 395; i++) {
        vsi_statement statement;
        uint64_t key = i < 300 ? i + 100 : i - 300;
        vsi_op op = {.kind = VSI_OP_DELETE, .coll = 1, .key.number = key};
        vsi_coll coll;
        st = vsi_statement_begin(&f->err, &f->write, &statement);
        if (st != VS_OK)
            break;
        st = vsi_state_coll(&f->err, &f->write.state, 1, &coll);
        if (st == VS_OK)
            st = vsi_coll_find(&f->err, &coll, VT_KEY(key), &op.slot);
        if (st == VS_OK)
            st = vsi_statement_apply(&f->err, &f->write, &op);
        if (st == VS_OK)
            vsi_statement_keep(&f->write, &statement);
        else
            vsi_statement_undo(&f->write, &statement);
    }
    vsi_write_rollback(&f->write);
    return st;
}

/* From what both checkpoints reach. */
static vs_status make_list_anew(fixture *f) {
    vsi_checkpoint_info *info = &f->engine->metas.newest.checkpoint;
    vsi_space *space = &f->engine->pager.space;
    const vsi_ref list = info->free_list;
    vsi_space_free(space);
    vsi_space_init(space, &f->mem);
    info->free_list = (vsi_ref){.kind = VSI_REF_NONE};
    vs_status st = vsi_freelist_load(&f->err, f->engine);
    VT_EQ(space->is_known, st == VS_OK);
    info->free_list = list;
    return st;
}

/* Each read in turn fails, then each allocation, sometimes only every few: the action says so, and the
 * database is what it was. */
static void fail_everywhere(action *act, uint64_t limit_bytes, uint64_t step) {
    fixture one, *f = &one;
    begin(f);
    f->engine->pager.reside.limit_bytes = limit_bytes;
    for (int of_memory = 0; of_memory < 2; of_memory++)
        for (uint64_t at = 1;; at += step) {
            uint64_t failures = f->allocator.failures;
            forget(f);
            device.reads = 0;
            device.fail_at = of_memory ? 0 : at;
            f->allocator.fail_at = of_memory ? f->allocator.calls + at : 0;
            vs_status st = act(f);
            device.fail_at = f->allocator.fail_at = 0;
            bool is_hit = of_memory ? f->allocator.failures > failures : device.reads >= at;
            bool is_told = of_memory ? st == VS_ERR_NOMEM || st == VS_OK : st == VS_ERR_IO;
            if (is_hit ? !is_told : st != VS_OK)
                vt_fail(__FILE__, __LINE__, "%s %u: status %d: %s",
                        of_memory ? "allocation" : "read", (unsigned)at, st, f->err.text);
            if (!is_hit)
                break;
        }
    OK(check(f));
    end(f);
}

VT_TEST(an_audit_reports_every_failure) {
    fail_everywhere(audit, UINT64_MAX, 1);
}

VT_TEST(an_audit_beyond_the_memory_limit_reports_every_failure) {
    fail_everywhere(audit, 1, 3);
}

VT_TEST(a_check_reports_every_failure) {
    fail_everywhere(check, UINT64_MAX, 1);
}

VT_TEST(a_walk_over_collections_reports_every_failure) {
    fail_everywhere(walk_colls, UINT64_MAX, 1);
}

VT_TEST(deletions_report_every_failure_and_can_be_rolled_back) {
    fail_everywhere(delete_most, UINT64_MAX, 1);
}

VT_TEST(making_the_list_of_free_pages_anew_reports_every_failure) {
    fail_everywhere(make_list_anew, UINT64_MAX, 1);
}

/* ---- limits --------------------------------------------------------------------------------- */

VT_TEST(ids_and_slots_that_are_used_up_are_refused) {
    fixture one, *f = &one;
    uint32_t id = 0, slot = 0;
    begin(f);
    OK(vsi_write_begin(&f->err, f->engine, &f->write));
    uint32_t last = f->engine->last_coll;
    f->engine->last_coll = UINT32_MAX;
    VT_EQ(vsi_write_take_coll(&f->err, &f->write, &id), VS_ERR_LIMIT);
    f->engine->last_coll = last;
    OK(vsi_write_take_slot(&f->err, &f->write, 1, &slot)); /* and the first use of the pool */
    vsi_coll *coll = NULL;
    OK(vsi_state_work_on(&f->err, &f->write.state, 1, &coll));
    coll->slot_end = VS_RECORDS_MAX;
    VT_EQ(vsi_write_take_slot(&f->err, &f->write, 1, &slot), VS_ERR_LIMIT);
    VT_CONTAINS(f->err.text, "is full");
    vsi_write_rollback(&f->write);
    end(f);
}

/* ---- another file --------------------------------------------------------------------------- */

static void keep_problem(void *ctx, const char *problem) {
    char *text = ctx;
    snprintf(text, VSI_ERR_TEXT_BYTES, "%s", problem);
}

static void check_finds(fixture *f, const char *part, int line) {
    char text[VSI_ERR_TEXT_BYTES] = "";
    OK(vsi_engine_check(&f->err, f->engine, 1, NULL, keep_problem, text));
    if (!strstr(text, part))
        vt_fail(__FILE__, line, "'%s', expected '%s'", text, part);
}

/* Both pages, with other content. */
static void write_metas(fixture *f, const vsi_meta *meta) {
    vsi_metas metas = f->engine->metas;
    OK(vsi_metas_write(&f->err, &f->engine->data, &metas, meta));
}

VT_TEST(meta_pages_of_another_database_or_log_are_found) {
    fixture one, *f = &one;
    begin(f);
    vsi_meta meta = f->engine->metas.newest, own = meta;
    meta.uuid[5] ^= 1;
    write_metas(f, &meta);
    check_finds(f, "are not those of this database", __LINE__);
    meta = own;
    meta.generation += 7;
    write_metas(f, &meta);
    check_finds(f, "are not those of this database", __LINE__);
    meta = own;
    meta.features_needed = 1u << 31;
    write_metas(f, &meta);
    check_finds(f, "needs features", __LINE__);
    meta = own;
    meta.previous.number = 0; /* and yet a catalog */
    write_metas(f, &meta);
    check_finds(f, "a checkpoint without a number", __LINE__);
    write_metas(f, &own);
    OK(check(f));
    end(f);
}

VT_TEST(meta_pages_that_are_overwritten_are_found_and_reads_of_them_that_fail_told) {
    static uint8_t all[VSI_META_B_OFF + VSI_META_BYTES], zero[VSI_META_B_OFF + VSI_META_BYTES];
    fixture one, *f = &one;
    size_t got = 0;
    uint64_t problems = 0, bytes = 0;
    begin(f);
    OK(vsi_file_size(&f->err, &f->engine->data, &bytes));
    OK(vsi_file_read(&f->err, &f->engine->data, all, sizeof all, 0, &got));
    VT_EQ(got, sizeof all);
    OK(vsi_file_write(&f->err, &f->engine->data, zero, sizeof zero, 0));
    check_finds(f, "is not a vecstore database", __LINE__);
    for (uint64_t at = 1;; at++) {
        char text[VSI_ERR_TEXT_BYTES];
        device.reads = 0;
        device.fail_at = at;
        vs_status st = vsi_engine_check(&f->err, f->engine, 0, NULL, keep_problem, text);
        device.fail_at = 0;
        VT_EQ(st, device.reads >= at ? VS_ERR_IO : VS_OK);
        problems++;
        if (st == VS_OK)
            break;
    }
    VT_CHECK(problems > 10); /* two pages, and what stands between them */
    OK(vsi_file_write(&f->err, &f->engine->data, all, sizeof all, 0));
    OK(check(f));
    end(f);
}

/* As if it had never been completely made: zeros up to page B, and nothing behind it. */
VT_TEST(a_file_that_became_empty_is_found) {
    static const uint8_t zero[VSI_META_B_OFF + VSI_META_BYTES];
    fixture one, *f = &one;
    begin(f);
    OK(vsi_file_truncate(&f->err, &f->engine->data, sizeof zero));
    OK(vsi_file_write(&f->err, &f->engine->data, zero, sizeof zero, 0));
    check_finds(f, "are not those of this database", __LINE__);
    OK(vsi_engine_close(&f->err, f->engine, true));
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

/* ---- opening -------------------------------------------------------------------------------- */

VT_TEST(a_file_that_may_not_be_written_to_is_refused_with_advice_or_read) {
    static const vs_status refusals[] = {VS_ERR_READONLY, VS_ERR_DENIED};
    fixture one, *f = &one;
    begin_empty(f);
    OK(vsi_engine_close(&f->err, f->engine, false));
    for (size_t i = 0; i < 2; i++) {
        device.open_status = refusals[i];
        f->config.is_readonly = false;
        VT_EQ(vsi_engine_open(&f->err, &f->config, &f->engine), refusals[i]);
        VT_CONTAINS(f->err.text, "VS_OPEN_READONLY may do");
        f->config.is_readonly = true;
        OK(vsi_engine_open(&f->err, &f->config, &f->engine));
        OK(vsi_engine_sync(&f->err, f->engine)); /* nothing to do */
        OK(vsi_engine_close(&f->err, f->engine, false));
        device.refuses_reading = true;
        VT_EQ(vsi_engine_open(&f->err, &f->config, &f->engine), refusals[i]);
        VT_CHECK(!strstr(f->err.text, "VS_OPEN_READONLY"));
        device.refuses_reading = false;
    }
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

VT_TEST(an_empty_file_is_no_database_for_who_only_reads) {
    fixture one, *f = &one;
    begin_empty(f);
    OK(vsi_file_truncate(&f->err, &f->engine->data, 0));
    OK(vsi_engine_close(&f->err, f->engine, true));
    f->config.is_readonly = true; /* and may create */
    VT_EQ(vsi_engine_open(&f->err, &f->config, &f->engine), VS_ERR_NOT_DB);
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

static void keep_warning(void *ctx, int level, const char *text) {
    if (level == VS_LOG_WARNING)
        snprintf(ctx, VSI_ERR_TEXT_BYTES, "%s", text);
}

VT_TEST(a_meta_page_that_cannot_be_repaired_at_once_is_repaired_later) {
    static const uint8_t noise[8] = {1};
    char text[VSI_ERR_TEXT_BYTES] = "";
    fixture one, *f = &one;
    begin(f);
    OK(vsi_file_write(&f->err, &f->engine->data, noise, sizeof noise, VSI_META_B_OFF + 100));
    OK(vsi_engine_close(&f->err, f->engine, true));
    f->config.log_fn = keep_warning;
    f->config.log_ctx = text;
    device.fails_to_write = true;
    OK(vsi_engine_open(&f->err, &f->config, &f->engine));
    VT_CONTAINS(text, "write");
    VT_CHECK(f->engine->metas.is_damaged);
    device.fails_to_write = false;
    OK(vsi_engine_sync(&f->err, f->engine));
    VT_CHECK(f->engine->metas.is_pair);
    OK(check(f));
    end(f);
}

/* A path with no room for the names of its logs: a database may have been moved there. */
VT_TEST(a_path_too_long_for_a_log_is_refused) {
    static char path[VSI_PATH_BYTES_MAX];
    static uint8_t bytes[4 << 20];
    for (int has_log = 0; has_log < 3; has_log++) { /* 2: no database yet */
        fixture one, *f = &one;
        vsi_file copy;
        uint64_t size = 0;
        size_t got = 0;
        begin(f);
        if (has_log == 1) {
            OK(vsi_write_begin(&f->err, f->engine, &f->write));
            put_note(f, 1);
            OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_FULL));
        } else {
            OK(vsi_checkpoint(&f->err, f->engine, true));
        }
        memset(path, 'd', sizeof path - 4);
        for (size_t at = 200; at < sizeof path - 4; at += 200)
            path[at] = '/';
        path[0] = '/';
        path[sizeof path - 4] = 0;
        OK(vsi_file_size(&f->err, &f->engine->data, &size));
        VT_CHECK(size <= sizeof bytes);
        OK(vsi_file_read(&f->err, &f->engine->data, bytes, (size_t)size, 0, &got));
        OK(vsi_file_open(&f->err, &f->mem, f->memory, path, VS_VFS_WRITE | VS_VFS_CREATE, &copy));
        OK(vsi_file_write(&f->err, &copy, bytes, has_log == 2 ? 0 : got, 0));
        vsi_file_close(&copy);
        OK(vsi_engine_close(&f->err, f->engine, false));
        f->config.path = path;
        VT_EQ(vsi_engine_open(&f->err, &f->config, &f->engine), VS_ERR_INVALID);
        VT_EQ(f->err.code, VS_ERR_INVALID);
        VT_EQ(f->allocator.live_blocks, 0);
        vsi_memory_vfs_destroy(f->memory);
    }
}

VT_TEST(a_round_of_syncing_with_nothing_to_sync_only_looks_who_waits) {
    fixture one, *f = &one;
    begin(f);
    uint64_t syncs = f->engine->log.syncs;
    vsi_mutex_lock(&f->engine->log_lock);
    vsi_engine_sync_round(f->engine);
    vsi_mutex_unlock(&f->engine->log_lock);
    VT_EQ(f->engine->log.syncs, syncs);
    end(f);
}

/* ---- logs and files that others made -------------------------------------------------------- */

/* A transaction with an operation of these bytes in front of its own; then the process is killed. */
static void commit_raw(fixture *f, const uint8_t *op, size_t bytes) {
    OK(vsi_write_begin(&f->err, f->engine, &f->write));
    VT_CHECK(vsi_buf_append(&f->write.ops, op, bytes));
    put_note(f, 77);
    OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_FULL));
    OK(vsi_engine_close(&f->err, f->engine, true));
}

VT_TEST(recovery_passes_over_operations_that_need_not_be_known_and_over_no_others) {
    static const uint8_t optional[12] = {99, 0, 0, 0, 4}, needed[12] = {99, 1, 0, 0, 4},
                         malformed[12] = {5, 1, 0, 0, 4};
    fixture one, *f = &one;
    begin_empty(f);
    commit_raw(f, optional, sizeof optional);
    OK(vsi_engine_open(&f->err, &f->config, &f->engine));
    VT_EQ(f->engine->recovered_txns, 1);
    VT_EQ(f->engine->versions.applied->state.notes.count, 1);
    OK(check(f));
    end(f);
    begin_empty(f);
    commit_raw(f, needed, sizeof needed);
    VT_EQ(vsi_engine_open(&f->err, &f->config, &f->engine), VS_ERR_TOO_NEW);
    vsi_memory_vfs_destroy(f->memory);
    begin_empty(f);
    commit_raw(f, malformed, sizeof malformed);
    VT_EQ(vsi_engine_open(&f->err, &f->config, &f->engine), VS_ERR_CORRUPT);
    VT_CONTAINS(f->err.text, "log frame 1");
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

/* More of the log than is read at once may not be durable, so some of it is read twice. */
VT_TEST(opening_reports_every_read_that_fails) {
    fixture one, *f = &one;
    uint64_t failed = 0;
    begin_empty(f);
    for (uint64_t round = 0; round < 6; round++) {
        OK(vsi_write_begin(&f->err, f->engine, &f->write));
        for (uint64_t at = 3; at < 800; at += 8)
            put_note(f, at);
        OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_OFF));
    }
    OK(vsi_engine_close(&f->err, f->engine, true));
    for (uint64_t at = 1;; at++, failed++) {
        device.reads = 0;
        device.fail_at = at;
        f->engine = NULL;
        vs_status st = vsi_engine_open(&f->err, &f->config, &f->engine);
        device.fail_at = 0;
        VT_EQ(st, device.reads >= at ? VS_ERR_IO : VS_OK);
        if (st == VS_OK)
            break;
        VT_EQ(f->allocator.live_blocks, 0);
    }
    VT_CHECK(failed > 8 && f->engine->recovered_txns == 6);
    VT_EQ(f->engine->log.next_lsn - 1 - f->engine->log.durable_lsn, 6);
    OK(check(f));
    end(f);
}

/* Then the newest one's own message says more. */
VT_TEST(going_back_to_a_checkpoint_whose_log_is_missing_is_the_first_damage) {
    static const uint8_t noise[8] = {1};
    char path[VSI_PATH_BYTES_MAX];
    fixture one, *f = &one;
    begin(f);
    const vsi_meta *meta = &f->engine->metas.newest;
    uint64_t page = vsi_ref_page(meta->checkpoint.catalog);
    OK(vsi_log_path(&f->err, PATH, meta->previous.log_from, path));
    OK(vsi_os_remove(&f->err, f->memory, path));
    OK(vsi_file_write(&f->err, &f->engine->data, noise, sizeof noise, page * VSI_PAGE_BYTES + 40));
    OK(vsi_engine_close(&f->err, f->engine, true));
    VT_EQ(vsi_engine_open(&f->err, &f->config, &f->engine), VS_ERR_CORRUPT);
    VT_CONTAINS(f->err.text, "is damaged");
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

VT_TEST(a_checkpoint_without_a_list_of_free_pages_is_found_and_the_list_made) {
    fixture one, *f = &one;
    char text[VSI_ERR_TEXT_BYTES] = "";
    begin(f);
    vsi_meta meta = f->engine->metas.newest;
    meta.checkpoint.free_list = (vsi_ref){.kind = VSI_REF_NONE};
    write_metas(f, &meta);
    OK(vsi_engine_close(&f->err, f->engine, true));
    OK(vsi_engine_open(&f->err, &f->config, &f->engine));
    OK(vsi_engine_check(&f->err, f->engine, 2, NULL, keep_problem, text));
    VT_CONTAINS(text, "neither used nor free");
    OK(vsi_write_begin(&f->err, f->engine, &f->write));
    put_note(f, 1000);
    OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_FULL));
    OK(vsi_checkpoint(&f->err, f->engine, true));
    OK(check(f));
    end(f);
}

VT_TEST(a_value_of_another_size_than_its_entry_says_is_damage) {
    fixture one, *f = &one;
    begin(f);
    const vsi_state *state = &f->engine->versions.applied->state;
    uint64_t at = 3;
    for (int more = -1; more <= 1; more++) {
        vsi_value value;
        vsi_buf buf = {.mem = &f->mem};
        vsi_stay stay = vsi_stay_enter(&f->engine->pager.reside);
        OK(vsi_note_find(&f->err, state, 0, (vsi_bytes){(const uint8_t *)&at, sizeof at}, &value));
        value.bytes = (uint32_t)((int)value.bytes + more);
        VT_EQ(vsi_value_read(&f->err, &state->notes, &value, &buf), more ? VS_ERR_CORRUPT : VS_OK);
        VT_EQ(buf.bytes, more ? 0 : LARGE_BYTES);
        vsi_stay_leave(&f->engine->pager.reside, stay);
        vsi_buf_free(&buf);
    }
    end(f);
}

/* As vs_maintain may be told. */
VT_TEST(slabs_can_be_written_early_without_a_limit) {
    fixture one, *f = &one;
    begin(f);
    OK(vsi_write_begin(&f->err, f->engine, &f->write));
    for (uint64_t key = KEYS; key < KEYS + 300; key++)
        put(f, key);
    OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_FULL));
    const vsi_state *state = &f->engine->versions.applied->state;
    VT_CHECK(f->engine->pager.written_bytes > 0 && vsi_flush_slabs_left(state) > 0);
    OK(vsi_freelist_load(&f->err, f->engine));
    OK(vsi_flush_slabs_early(&f->err, state, UINT64_MAX));
    VT_EQ(vsi_flush_slabs_left(state), 0);
    OK(check(f));
    end(f);
}

/* Slabs written early: of a collection that was rolled back, and of one whose sync failed since. */
static void make_work(fixture *f, uint64_t round) {
    vsi_engine *engine = f->engine;
    OK(vsi_freelist_load(&f->err, engine));
    OK(vsi_write_begin(&f->err, engine, &f->write));
    create(f, (uint32_t)(COLLS + round));
    for (uint64_t key = 0; key < 100; key++)
        put_in(f, f->write.state.last_coll, key);
    OK(vsi_flush_slabs_early(&f->err, &f->write.state, UINT64_MAX));
    vsi_write_rollback(&f->write);
    OK(vsi_write_begin(&f->err, engine, &f->write));
    for (uint64_t key = 0; key < 60; key++)
        put(f, KEYS + round * 60 + key);
    OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_FULL));
    OK(vsi_flush_slabs_early(&f->err, &engine->versions.applied->state, UINT64_MAX));
    vsi_atomic_add(&engine->failed_syncs, 1);
    forget(f);
}

VT_TEST(a_checkpoint_behind_a_failed_sync_reports_every_failure_and_can_be_repeated) {
    fixture one, *f = &one;
    uint64_t failed = 0;
    begin(f);
    for (uint64_t at = 1;; at++, failed++) {
        uint64_t failures = f->allocator.failures;
        make_work(f, at);
        f->allocator.fail_at = f->allocator.calls + at;
        vs_status st = vsi_checkpoint(&f->err, f->engine, false);
        f->allocator.fail_at = 0;
        bool has_failed = f->allocator.failures > failures;
        VT_CHECK(st == VS_OK || (has_failed && st == VS_ERR_NOMEM));
        VT_CHECK(!f->engine->has_failed);
        if (at % 16 == 1)
            OK(check(f));
        OK(vsi_checkpoint(&f->err, f->engine, false));
        if (!has_failed)
            break;
    }
    VT_CHECK(failed > 30);
    OK(check(f));
    end(f);
}

/* What was written early is needed again, and cannot be read: only the log has it for certain. */
VT_TEST(slabs_that_are_lost_with_a_failed_sync_stop_writing_and_recovery_has_them) {
    fixture one, *f = &one;
    begin(f);
    make_work(f, 0);
    device.reads = 0;
    device.fail_at = 1;
    VT_EQ(vsi_checkpoint(&f->err, f->engine, false), VS_ERR_IO);
    device.fail_at = 0;
    VT_CHECK(f->engine->has_failed);
    OK(vsi_engine_close(&f->err, f->engine, true));
    OK(vsi_engine_open(&f->err, &f->config, &f->engine));
    vsi_coll coll;
    OK(vsi_state_coll(&f->err, &f->engine->versions.applied->state, 1, &coll));
    VT_EQ(coll.count, KEYS + 60);
    OK(check(f));
    end(f);
}
