/* spill.c - changes that are written before there is a checkpoint, and what becomes of them. */
#include "store/spill.h"
#include "os/memory.h"
#include "store/check.h"
#include "store/checkpoint.h"
#include "store/open.h"
#include "store/write.h"
#include "vt.h"

enum { DIM = 200, KEYS = 1200, COLL = 1, TEXT = 300 };

static struct {
    const vs_vfs *below;
    uint64_t writes, fail_from; /* 0: none */
} fault;

static vs_status fault_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    fault.writes++;
    if (fault.fail_from && fault.writes >= fault.fail_from)
        return VS_ERR_FULL;
    return fault.below->write(ctx, file, buf, bytes, offset, out_bytes, why);
}

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory, vfs;
    vsi_engine *engine;
    vsi_write write;
    uint64_t seed[KEYS]; /* of each key's record, 0: none; with the open transaction */
    vsi_err err;
} fixture;

static void check_ok(fixture *f, vs_status st, int line) {
    if (st != VS_OK)
        vt_fail(__FILE__, line, "status %d: %s", st, f->err.text);
}

#define OK(call) check_ok(f, call, __LINE__)

static vsi_reside *reside_of(fixture *f) {
    return &f->engine->pager.reside;
}

static void open_db(fixture *f) {
    vsi_engine_config config = {.mem = &f->mem,
                                .vfs = &f->vfs,
                                .path = "t.vs",
                                .may_create = true,
                                .sync = VS_SYNC_OFF,
                                .busy_timeout_ms = 1000,
                                .memory_limit = UINT64_MAX};
    OK(vsi_engine_open(&f->err, &config, &f->engine));
}

static void begin_txn(fixture *f) {
    OK(vsi_write_begin(&f->err, f->engine, &f->write));
}

static void create(fixture *f) {
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .field_count = 1,
                 .field[0].name = {(const uint8_t *)"vector", 6},
                 .field[0].dim = DIM,
                 .field[0].type = VS_U8,
                 .field[0].metric = VS_L2,
                 .name = {(const uint8_t *)"c", 1},
                 .field[0].index = {(const uint8_t *)"flat", 4}};
    vsi_statement statement;
    OK(vsi_statement_begin(&f->err, &f->write, &statement));
    OK(vsi_write_take_coll(&f->err, &f->write, &op.coll));
    VT_EQ(op.coll, COLL);
    OK(vsi_statement_apply(&f->err, &f->write, &op));
    vsi_statement_keep(&f->write, &statement);
}

static void fill(uint8_t *out, uint64_t seed, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(vt_mix(seed + i / 8) >> i % 8 * 8);
}

static void put(fixture *f, uint64_t key, uint64_t seed) {
    uint8_t vector[DIM], text[TEXT];
    vsi_coll coll;
    vsi_statement statement;
    fill(vector, seed, DIM);
    fill(text, seed + 1, TEXT);
    vsi_op op = {.kind = VSI_OP_PUT,
                 .coll = COLL,
                 .old_slot = VSI_SLOT_NONE,
                 .key.number = key,
                 .vector[0] = {vector, DIM},
                 .metadata = {text, TEXT}};
    OK(vsi_statement_begin(&f->err, &f->write, &statement));
    OK(vsi_state_coll(&f->err, &f->write.state, COLL, &coll));
    vs_status st = vsi_coll_find(&f->err, &coll, VT_KEY(key), &op.old_slot);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    OK(vsi_write_take_slot(&f->err, &f->write, COLL, &op.slot));
    OK(vsi_statement_apply(&f->err, &f->write, &op));
    vsi_statement_keep(&f->write, &statement);
    f->seed[key] = seed;
}

static void put_all(fixture *f, uint64_t round) {
    for (uint64_t key = 0; key < KEYS; key++)
        put(f, key, round * 1000000 + key * 100);
}

/* As the transaction or a version has it: all records, and all that vsi_audit verifies. */
static void check_state(fixture *f, const vsi_state *state, const uint64_t *seed) {
    vsi_coll coll;
    vsi_stay stay = vsi_stay_enter(reside_of(f));
    OK(vsi_state_coll(&f->err, state, COLL, &coll));
    for (uint64_t key = 0; key < KEYS; key++) {
        uint8_t vector[DIM], text[TEXT];
        uint32_t slot = 0;
        const uint8_t *row = NULL;
        vsi_buf metadata = {.mem = &f->mem};
        OK(vsi_coll_find(&f->err, &coll, VT_KEY(key), &slot));
        OK(vsi_coll_row(&f->err, &coll, 0, slot, &row));
        OK(vsi_coll_read_metadata(&f->err, &coll, slot, &metadata));
        fill(vector, seed[key], DIM);
        fill(text, seed[key] + 1, TEXT);
        VT_CHECK(!memcmp(row, vector, DIM) && metadata.bytes == TEXT);
        VT_CHECK(!memcmp(metadata.data, text, TEXT));
        vsi_buf_free(&metadata);
    }
    vsi_stay_leave(reside_of(f), stay);
}

static void fail_on_problem(void *ctx, const char *problem) {
    (void)ctx;
    vt_fail(__FILE__, __LINE__, "%s", problem);
}

/* An engine with a committed collection, in a checkpoint, no limit yet. */
static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    memset(&fault, 0, sizeof fault);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    fault.below = f->memory;
    f->vfs = *f->memory;
    f->vfs.write = fault_write;
    open_db(f);
    begin_txn(f);
    create(f);
    put_all(f, 1);
    OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_OFF));
    OK(vsi_checkpoint(&f->err, f->engine, false));
}

static void end(fixture *f) {
    OK(vsi_engine_check(&f->err, f->engine, 3, NULL, fail_on_problem, NULL));
    OK(vsi_engine_close(&f->err, f->engine, false));
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

static void commit(fixture *f) {
    OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_OFF));
}

static void checkpoint(fixture *f) {
    OK(vsi_checkpoint(&f->err, f->engine, false));
}

static uint64_t dirty_bytes(fixture *f) {
    vsi_desc *desc = vsi_descs_find(&f->engine->descs, COLL);
    return vsi_slabs_dirty_bytes(&desc->field[0].rows) + vsi_slabs_dirty_bytes(&desc->cells);
}

static uint64_t pages_in_use(fixture *f) {
    return f->engine->pager.space.end - f->engine->pager.space.free_pages;
}

static size_t places(fixture *f) {
    vsi_desc *desc = vsi_descs_find(&f->engine->descs, COLL);
    return (desc->field[0].rows.moved.bytes + desc->cells.moved.bytes) / sizeof(vsi_slab_place);
}

VT_TEST(with_memory_enough_nothing_is_written) {
    static fixture f;
    begin(&f);
    begin_txn(&f);
    put_all(&f, 2);
    uint64_t writes = fault.writes;
    VT_CHECK(!vsi_spill(f.engine, &f.write.state));
    reside_of(&f)->limit_bytes = vsi_atomic_load(&f.mem.used_bytes);
    VT_CHECK(!vsi_spill(f.engine, &f.write.state));
    VT_EQ(fault.writes, writes);
    VT_CHECK(dirty_bytes(&f) > 0);
    reside_of(&f)->limit_bytes = UINT64_MAX;
    vsi_write_rollback(&f.write);
    end(&f);
}

VT_TEST(slabs_and_trees_that_changed_are_written_and_the_state_stays_what_it_was) {
    static fixture f;
    static uint64_t before[KEYS];
    for (int is_kept = 0; is_kept < 2; is_kept++) {
        begin(&f);
        memcpy(before, f.seed, sizeof before);
        begin_txn(&f);
        put_all(&f, 2);
        uint64_t changes = f.write.state.changes, bytes = f.engine->cow.bytes;
        reside_of(&f)->limit_bytes = 300000;
        VT_CHECK(vsi_spill(f.engine, &f.write.state));
        VT_CHECK(f.write.state.changes != changes); /* cursors must look again */
        VT_CHECK(!f.write.state.catalog.root.is_block);
        VT_CHECK(dirty_bytes(&f) < 300000 && places(&f) > 5);
        VT_CHECK(f.engine->cow.bytes < bytes / 4);
        check_state(&f, &f.write.state, f.seed);
        check_state(&f, &f.engine->versions.applied->state, before);
        for (uint64_t key = 0; key < KEYS; key += 3) /* it goes on, and again */
            put(&f, key, 777 + key);
        vsi_spill(f.engine, &f.write.state);
        check_state(&f, &f.write.state, f.seed);
        if (is_kept) {
            commit(&f);
        } else {
            vsi_write_rollback(&f.write);
            memcpy(f.seed, before, sizeof before);
        }
        check_state(&f, &f.engine->versions.applied->state, f.seed);
        for (int i = 0; i < 3; i++) {
            begin_txn(&f);
            put(&f, 5, 99 + (uint64_t)i);
            commit(&f);
            checkpoint(&f);
        }
        check_state(&f, &f.engine->versions.applied->state, f.seed);
        end(&f);
    }
}

VT_TEST(a_rollback_gives_back_the_pages_of_trees_and_the_next_checkpoint_those_of_slabs) {
    static fixture f;
    static uint64_t before[KEYS];
    begin(&f);
    memcpy(before, f.seed, sizeof before);
    uint64_t most = 0;
    for (uint64_t turn = 0; turn < 5; turn++) {
        begin_txn(&f);
        reside_of(&f)->limit_bytes = 300000;
        put_all(&f, 10 + turn);
        VT_CHECK(places(&f) > 0);
        uint64_t peak = pages_in_use(&f);
        reside_of(&f)->limit_bytes = UINT64_MAX;
        check_state(&f, &f.write.state, f.seed); /* its nodes are in memory now */
        vsi_write_rollback(&f.write);
        VT_CHECK(pages_in_use(&f) < peak);
        VT_EQ(f.engine->pager.taken.bytes, 0);
        check_state(&f, &f.engine->versions.applied->state, before);
        memcpy(f.seed, before, sizeof before);
        begin_txn(&f);
        for (uint64_t key = turn; key < KEYS; key += 9)
            put(&f, key, before[key] = 500000 + 100 * key + turn);
        commit(&f);
        checkpoint(&f); /* writes to the pages that were given back */
        check_state(&f, &f.engine->versions.applied->state, before);
        VT_EQ(places(&f), 0);
        VT_EQ(f.engine->pager.dropped.bytes, 0);
        most = turn < 3 && pages_in_use(&f) > most ? pages_in_use(&f) : most;
        VT_CHECK(pages_in_use(&f) <= most + most / 20);
    }
    check_state(&f, &f.engine->versions.applied->state, before);
    end(&f);
}

VT_TEST(what_cannot_be_written_stays_in_memory_and_nothing_else_changes) {
    static fixture f;
    static const uint64_t first[] = {1, 2, 3, 5, 8};
    for (size_t i = 0; i < 2 * sizeof first / sizeof first[0]; i++) {
        begin(&f);
        begin_txn(&f);
        put_all(&f, 2);
        uint64_t in_use = pages_in_use(&f);
        reside_of(&f)->limit_bytes = 300000;
        if (i % 2)
            fault.fail_from = fault.writes + first[i / 2];
        else
            f.allocator.fail_at = f.allocator.calls + 3 * first[i / 2];
        f.allocator.fails_for_ever = true;
        uint64_t changes = f.write.state.changes;
        bool has_moved = vsi_spill(f.engine, &f.write.state);
        VT_CHECK(has_moved == (f.write.state.changes != changes));
        VT_CHECK(has_moved || pages_in_use(&f) <= in_use + places(&f) * 16);
        fault.fail_from = f.allocator.fail_at = 0;
        f.allocator.fails_for_ever = false;
        check_state(&f, &f.write.state, f.seed);
        vsi_spill(f.engine, &f.write.state);
        check_state(&f, &f.write.state, f.seed);
        commit(&f);
        checkpoint(&f);
        check_state(&f, &f.engine->versions.applied->state, f.seed);
        end(&f);
    }
}

/* What exceeds the limit by itself must not make each statement write what it changed. */
VT_TEST(little_is_not_written_however_small_the_limit_is) {
    static fixture f;
    begin(&f);
    begin_txn(&f);
    reside_of(&f)->limit_bytes = 1;
    uint64_t written = f.engine->pager.written_bytes;
    for (uint64_t key = 0; key < 10; key++) {
        put(&f, key, 31 + key);
        vsi_spill(f.engine, &f.write.state);
    }
    VT_EQ(f.engine->pager.written_bytes, written);
    for (uint64_t key = 0; key < KEYS; key++)
        put(&f, key, 50000 + key * 10);
    VT_CHECK(f.engine->pager.written_bytes > written);
    VT_CHECK(f.engine->pager.written_bytes - written < 8 * KEYS * (DIM + TEXT));
    check_state(&f, &f.write.state, f.seed);
    commit(&f);
    end(&f);
}

VT_TEST(without_leave_to_write_to_the_file_nothing_is_written) {
    static fixture f;
    begin(&f);
    begin_txn(&f);
    put_all(&f, 2);
    reside_of(&f)->limit_bytes = 1;
    uint64_t writes = fault.writes;
    f.engine->may_spill = false;
    VT_CHECK(!vsi_spill(f.engine, &f.write.state));
    f.engine->may_spill = true;
    f.engine->config.is_readonly = true;
    VT_CHECK(!vsi_spill(f.engine, &f.write.state));
    f.engine->config.is_readonly = false;
    VT_EQ(fault.writes, writes);
    check_state(&f, &f.write.state, f.seed);
    vsi_write_rollback(&f.write);
    end(&f);
}
