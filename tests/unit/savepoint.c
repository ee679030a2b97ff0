/* savepoint.c - what going back gives back, and savepoints in the log that recovery obeys or refuses. */
#include "store/savepoint.h"
#include "os/memory.h"
#include "store/check.h"
#include "store/checkpoint.h"
#include "store/open.h"
#include "store/write.h"
#include "vt.h"

enum { NOTES = 300, NOTE_BYTES = 900 };

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *vfs;
    vsi_engine *engine;
    vsi_write write;
    vsi_err err;
} fixture;

static void check_ok(fixture *f, vs_status st, int line) {
    if (st != VS_OK)
        vt_fail(__FILE__, line, "status %d: %s", st, f->err.text);
}

#define OK(call) check_ok(f, call, __LINE__)

static vs_status try_open(fixture *f) {
    vsi_engine_config config = {.mem = &f->mem,
                                .vfs = f->vfs,
                                .path = "t.vs",
                                .may_create = true,
                                .sync = VS_SYNC_OFF,
                                .busy_timeout_ms = 1000,
                                .memory_limit = UINT64_MAX};
    return vsi_engine_open(&f->err, &config, &f->engine);
}

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->vfs), VS_OK);
    OK(try_open(f));
}

static void end(fixture *f) {
    if (f->engine)
        OK(vsi_engine_close(&f->err, f->engine, false));
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->vfs);
}

static void kill_db(fixture *f) {
    OK(vsi_engine_close(&f->err, f->engine, true));
    f->engine = NULL;
}

static vsi_op note_op(uint8_t key[4], uint64_t at, const uint8_t *value, size_t bytes) {
    vsi_put_u32(key, (uint32_t)at);
    return (vsi_op){.kind = VSI_OP_NOTE,
                    .note_key = {key, 4},
                    .note_value = {value, bytes},
                    .note_has_value = true};
}

static void put_note(fixture *f, uint64_t at, uint64_t seed) {
    uint8_t key[4], value[NOTE_BYTES];
    vsi_statement statement;
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)vt_mix(seed + i / 16);
    vsi_op op = note_op(key, at, value, sizeof value);
    OK(vsi_statement_begin(&f->err, &f->write, &statement));
    OK(vsi_statement_apply(&f->err, &f->write, &op));
    vsi_statement_keep(&f->write, &statement);
}

static void put_all(fixture *f, uint64_t seed) {
    for (uint64_t at = 0; at < NOTES; at++)
        put_note(f, at, seed + at);
}

static void begin_txn(fixture *f) {
    OK(vsi_write_begin(&f->err, f->engine, &f->write));
}

static void commit(fixture *f) {
    OK(vsi_write_commit(&f->err, &f->write, VS_SYNC_OFF));
}

static uint32_t save(fixture *f) {
    uint32_t number = 0;
    OK(vsi_write_savepoint(&f->err, &f->write, &number));
    return number;
}

static uint64_t pages_in_use(fixture *f) {
    return f->engine->pager.space.end - f->engine->pager.space.free_pages;
}

/* Trees leave memory early from now on, or never. */
static void set_tight(fixture *f, bool is_tight) {
    f->engine->pager.reside.limit_bytes = is_tight ? 1 : UINT64_MAX;
}

static void fail_on_problem(void *ctx, const char *problem) {
    (void)ctx;
    vt_fail(__FILE__, __LINE__, "%s", problem);
}

static void check(fixture *f) {
    OK(vsi_engine_check(&f->err, f->engine, 3, NULL, fail_on_problem, NULL));
}

static void restart(fixture *f) {
    kill_db(f);
    OK(try_open(f));
    check(f);
}

/* ---- what going back gives back ------------------------------------------------------------- */

/* Changes behind a savepoint, which leave memory or not, and the way back. */
static void go_there_and_back(fixture *f, uint64_t seed) {
    uint32_t one = save(f);
    vsi_cow before = f->engine->cow;
    uint64_t pages = pages_in_use(f);
    vsi_hash128 digest = f->write.state.digest;
    uint64_t changes = f->write.state.changes;
    for (uint64_t round = 0; round < 4; round++) {
        put_all(f, seed + 10000 * round);
        save(f);
        put_all(f, seed + 10000 * round + 5000);
        VT_CHECK(f->write.state.digest.lo != digest.lo);
        OK(vsi_write_rollback_to(&f->err, &f->write, one));
        VT_CHECK(f->write.state.digest.lo == digest.lo && f->write.state.digest.hi == digest.hi);
        VT_CHECK(f->write.state.changes > changes);
        changes = f->write.state.changes;
        VT_EQ(f->engine->cow.bytes, before.bytes);
        VT_EQ(f->engine->cow.dead_bytes, before.dead_bytes);
        VT_EQ(f->engine->cow.dead_extents.bytes, before.dead_extents.bytes);
        VT_EQ(pages_in_use(f), pages);
    }
    OK(vsi_write_release(&f->err, &f->write, one));
}

static void run_there_and_back(fixture *f, bool is_tight_before, bool is_tight_behind) {
    begin(f);
    begin_txn(f);
    put_all(f, 1);
    commit(f);
    OK(vsi_checkpoint(&f->err, f->engine, false));
    begin_txn(f);
    set_tight(f, is_tight_before);
    put_all(f, 2000);
    set_tight(f, is_tight_behind);
    if (is_tight_before != is_tight_behind)
        put_note(f, 0, 77); /* what leaves memory at once does so before */
    go_there_and_back(f, 3000);
    VT_EQ(f->engine->has_spilled_trees, is_tight_before || is_tight_behind);
    put_note(f, 1, 78);
    set_tight(f, false);
    commit(f);
    check(f);
    OK(vsi_checkpoint(&f->err, f->engine, false));
    check(f);
    begin_txn(f); /* versions that nobody reads go */
    vsi_write_rollback(&f->write);
    VT_EQ(f->engine->cow.bytes, 0);
    restart(f);
    end(f);
}

VT_TEST(going_back_gives_back_blocks_and_pages_whether_they_left_memory_or_not) {
    static fixture f;
    for (int i = 0; i < 4; i++)
        run_there_and_back(&f, i & 1, i & 2);
}

VT_TEST(a_rollback_or_a_commit_with_open_savepoints_leaves_nothing_of_them) {
    static fixture f;
    for (int i = 0; i < 4; i++) {
        begin(&f);
        begin_txn(&f);
        put_all(&f, 1);
        set_tight(&f, i & 1);
        for (uint64_t depth = 0; depth < 5; depth++) {
            VT_EQ(save(&f), depth + 1);
            put_all(&f, 1000 * depth);
        }
        if (i & 2)
            commit(&f);
        else
            vsi_write_rollback(&f.write);
        set_tight(&f, false);
        check(&f);
        VT_EQ(vsi_checkpoint(&f.err, f.engine, false), VS_OK);
        begin_txn(&f);
        vsi_write_rollback(&f.write);
        VT_EQ(f.engine->cow.bytes, 0);
        check(&f);
        end(&f);
    }
}

/* ---- savepoints in the log ------------------------------------------------------------------ */

/* A transaction whose operations are those of a text: S1 R1 B1 a savepoint, release, going back; n a note that
 * is taken back; p one that stays. Nothing but p changes the state that is committed. */
static void write_log(fixture *f, const char *text) {
    uint8_t key[4], value[1] = {9};
    begin_txn(f);
    for (const char *at = text; *at; at++) {
        if (*at == 'p') {
            put_note(f, (uint64_t)(at - text), 5);
        } else if (*at == 'n') {
            vsi_op op = note_op(key, 1000 + (uint64_t)(at - text), value, 1);
            VT_CHECK(vsi_op_write(&f->write.ops, &op));
        } else {
            vsi_op op = {.kind = *at == 'S'   ? VSI_OP_SAVEPOINT
                                 : *at == 'R' ? VSI_OP_RELEASE
                                              : VSI_OP_ROLLBACK_TO,
                         .savepoint = (uint32_t)(at[1] - '0')};
            VT_CHECK(vsi_op_write(&f->write.ops, &op));
            at++;
        }
    }
    commit(f);
}

VT_TEST(recovery_does_what_the_log_says_of_savepoints) {
    static const char *const logs[] = {
        "pS1nB1p",      "S1pR1p",           "S1nB1nB1pR1p",      "pS1pS2nB2pS3nB3pR2p",
        "S1nS2nS3nB1p", "S1pS2pS3pR1S1nB1", "S1nS2nR2nB1pS2pR1", "S1S2S3R3S3nB3"};
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        static fixture f;
        begin(&f);
        write_log(&f, logs[i]);
        vsi_hash128 digest = f.engine->versions.applied->state.digest;
        restart(&f);
        vsi_hash128 after = f.engine->versions.applied->state.digest;
        VT_CHECK(digest.lo == after.lo && digest.hi == after.hi);
        VT_EQ(f.engine->recovered_txns, 1);
        end(&f);
    }
}

VT_TEST(savepoints_that_cannot_be_are_damage) {
    static const char *const logs[] = {"pS0",    "pS2",    "S1S1",     "S1S3",   "R1",
                                       "R0",     "B1",     "B0",       "S1pR2p", "S1B2",
                                       "S1R1B1", "S1R1R1", "S1S2R1B2p"};
    for (size_t i = 0; i < sizeof logs / sizeof logs[0]; i++) {
        static fixture f;
        begin(&f);
        write_log(&f, logs[i]);
        kill_db(&f);
        VT_EQ(try_open(&f), VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, "savepoint");
        VT_CONTAINS(f.err.text, "log frame 1");
        end(&f);
    }
}

VT_TEST(more_savepoints_than_may_be_open_are_damage) {
    for (uint32_t n = VS_SAVEPOINTS_MAX; n <= VS_SAVEPOINTS_MAX + 1; n++) {
        static fixture f;
        begin(&f);
        begin_txn(&f);
        for (uint32_t i = 1; i <= n; i++) {
            vsi_op op = {.kind = VSI_OP_SAVEPOINT, .savepoint = i};
            VT_CHECK(vsi_op_write(&f.write.ops, &op));
        }
        VT_EQ(vsi_write_commit(&f.err, &f.write, VS_SYNC_OFF), VS_OK);
        kill_db(&f);
        VT_EQ(try_open(&f), n > VS_SAVEPOINTS_MAX ? VS_ERR_CORRUPT : VS_OK);
        end(&f);
    }
}

/* Each allocation of a recovery fails once. */
VT_TEST(recovery_without_memory_fails_and_leaks_nothing) {
    static fixture f;
    begin(&f);
    write_log(&f, "pS1pS2nB2pR1S1nnB1p");
    kill_db(&f);
    vs_status st = VS_ERR_NOMEM;
    uint64_t at = 0;
    while (st != VS_OK) {
        f.allocator.fail_at = f.allocator.calls + ++at;
        st = try_open(&f);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        VT_CHECK(st == VS_OK || f.allocator.live_blocks == 0);
    }
    f.allocator.fail_at = 0;
    VT_CHECK(at > 20);
    check(&f);
    end(&f);
}
