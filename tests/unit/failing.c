/* failing.c - an engine on a file that cannot be read, or that is not the one it opened: every read and every
 * allocation of an audit, a check and many deletions fails, and nothing but that call does. */
#include "os/memory.h"
#include "store/audit.h"
#include "store/check.h"
#include "store/checkpoint.h"
#include "store/open.h"
#include "store/write.h"
#include "vt.h"

#define PATH "t.vs"

enum { DIM = 40, KEYS = 420, COLLS = 60, NOTES = 30, LARGE_BYTES = 3000 };

static struct {
    const vs_vfs *below;
    uint64_t reads, fail_at; /* 0: none */
} device;

static vs_status device_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    if (++device.reads == device.fail_at)
        return VS_ERR_IO;
    return device.below->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory, vfs;
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
    vsi_op op = {.kind = VSI_OP_CREATE, .dim = DIM, .type = VS_F32, .metric = VS_L2};
    snprintf(name, sizeof name, "a collection with a name of some length, number %u", (unsigned)at);
    op.name = (vsi_bytes){(const uint8_t *)name, strlen(name)};
    OK(vsi_write_take_coll(&f->err, &f->write, &op.coll));
    apply(f, &op);
}

static void put(fixture *f, uint64_t key) {
    static uint8_t vector[DIM * 4], text[LARGE_BYTES];
    vsi_op op = {.kind = VSI_OP_PUT,
                 .coll = 1,
                 .old_slot = VSI_SLOT_NONE,
                 .key = key,
                 .vector = {vector, sizeof vector},
                 .metadata = {text, key % 60 == 7 ? sizeof text : 60}};
    vector[4] = (uint8_t)key;
    OK(vsi_write_take_slot(&f->err, &f->write, 1, &op.slot));
    apply(f, &op);
}

static void put_note(fixture *f, uint64_t at) {
    static const uint8_t value[LARGE_BYTES] = {7};
    vsi_op op = {.kind = VSI_OP_NOTE,
                 .note_key = {(const uint8_t *)&at, sizeof at},
                 .note_value = {value, at % 8 == 3 ? sizeof value : 200},
                 .note_has_value = true};
    apply(f, &op);
}

/* Trees of two levels, the catalog too, in a checkpoint with another one before it. */
static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    memset(&device, 0, sizeof device);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    device.below = f->memory;
    f->vfs = *f->memory;
    f->vfs.read = device_read;
    vsi_engine_config config = {.mem = &f->mem,
                                .vfs = &f->vfs,
                                .path = PATH,
                                .may_create = true,
                                .sync = VS_SYNC_FULL,
                                .busy_timeout_ms = 1000,
                                .memory_limit = UINT64_MAX};
    OK(vsi_engine_open(&f->err, &config, &f->engine));
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
        vsi_slabs_evict(&desc->rows, SIZE_MAX);
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
    return vsi_audit(&f->err, &version->state, &f->mem, count_problem, NULL);
}

static vs_status check(fixture *f) {
    return vsi_engine_check(&f->err, f->engine, 3, count_problem, NULL);
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
        vsi_op op = {.kind = VSI_OP_DELETE, .coll = 1, .key = key};
        vsi_coll coll;
        st = vsi_statement_begin(&f->err, &f->write, &statement);
        if (st != VS_OK)
            break;
        st = vsi_state_coll(&f->err, &f->write.state, 1, &coll);
        if (st == VS_OK)
            st = vsi_coll_find(&f->err, &coll, key, &op.slot);
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
    OK(vsi_engine_check(&f->err, f->engine, 1, keep_problem, text));
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
    meta.features_needed = 1;
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
        vs_status st = vsi_engine_check(&f->err, f->engine, 0, keep_problem, text);
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
