/* test_hooks.c - what hooks are told of commits that fail, and are then found or not when the database is
 * opened again. */
#include "sim.h"
#include "vt.h"

#define DB "t.vs"

enum { DIM = 64, ROWS = 40 };

typedef struct told {
    uint64_t commits, changes, committed, rollbacks;
} told;

static int on_commit(void *ctx) {
    ((told *)ctx)->commits++;
    return 0;
}

static void on_change(void *ctx, const vs_change *change) {
    VT_CHECK(change->kind == VS_CHANGE_INSERT && change->lsn > 0);
    VT_STR(change->collection, "c");
    ((told *)ctx)->changes++;
}

static void on_committed(void *ctx, uint64_t lsn) {
    VT_CHECK(lsn > 0);
    ((told *)ctx)->committed++;
}

static void on_rollback(void *ctx) {
    ((told *)ctx)->rollbacks++;
}

static vs_db *open_on(sim *s, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = flags;
    options.vfs = sim_vfs(s);
    VT_OK(vs_open(DB, &options, &db), db);
    return db;
}

/* A transaction large enough to go to the log early (limits are small in this build), of rows [from, from + ROWS).
 * The rows that were taken are counted. */
static vs_status put_rows(vs_db *db, vs_collection *c, uint64_t from, uint64_t *out_taken) {
    float v[DIM] = {0};
    vs_txn *txn = NULL;
    vs_record r = VS_RECORD_INIT;
    *out_taken = 0;
    vs_status st = vs_begin(db, VS_TXN_WRITE, &txn);
    if (st != VS_OK)
        return st;
    for (uint64_t i = 0; i < ROWS; i++) {
        v[0] = (float)i;
        r.key = vs_key_u64(from + i);
        r.vector = v;
        *out_taken += vs_put(c, txn, &r, VS_INSERT) == VS_OK;
    }
    return vs_commit(txn, VS_SYNC_FULL);
}

/* One fault at the at-th call that it can fail, during a transaction; false: there are not so many calls. */
static bool check_fault(int kind, uint64_t at, bool for_ever) {
    sim *s = sim_new(at, NULL);
    vs_db *db = open_on(s, VS_OPEN_CREATE);
    told t = {0};
    vs_hooks hooks = VS_HOOKS_INIT;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    uint64_t taken = 0, count = 0;
    hooks.ctx = &t;
    hooks.commit = on_commit;
    hooks.change = on_change;
    hooks.committed = on_committed;
    hooks.rollback = on_rollback;
    options.dim = DIM;
    VT_OK(vs_collection_create(db, NULL, "c", &options, &c), db);
    VT_OK(vs_set_hooks(db, &hooks), db);
    sim_set_fault(s, kind, at, for_ever);
    vs_status st = put_rows(db, c, 0, &taken);
    bool is_hit = sim_fault_hits(s) > 0;
    sim_set_fault(s, SIM_FAULT_NONE, 0, false);
    VT_EQ(t.commits, taken > 0);
    VT_EQ(t.committed, st == VS_OK && taken > 0);
    VT_EQ(t.changes, st == VS_OK ? taken : 0);
    VT_EQ(t.rollbacks, taken > 0 && st != VS_OK && st != VS_ERR_INDOUBT);
    VT_OK(vs_count(c, NULL, &count), c);
    VT_EQ(count, t.changes);
    vs_collection_close(c);
    vs_status ignored = vs_close(db);
    (void)ignored;
    db = open_on(s, 0);
    VT_OK(vs_collection_open(db, NULL, "c", &c), db);
    VT_OK(vs_count(c, NULL, &count), c);
    VT_CHECK(count == t.changes || (st == VS_ERR_INDOUBT && count == taken));
    vs_collection_close(c);
    VT_EQ(vs_close(db), VS_OK);
    sim_free(s);
    return is_hit;
}

VT_TEST(hooks_are_told_what_became_of_a_transaction_whatever_fails) {
    static const int kinds[] = {SIM_FAULT_IO, SIM_FAULT_IO_AFTER, SIM_FAULT_FULL,
                                SIM_FAULT_SYNC_LOSES};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int for_ever = 0; for_ever < 2; for_ever++) {
            uint64_t at = 1;
            while (check_fault(kinds[i], at, for_ever))
                at++;
            VT_CHECK(at > 1 && at < 1000);
        }
}

VT_TEST(a_commit_in_doubt_is_neither_committed_nor_rolled_back_for_its_hooks) {
    sim *s = sim_new(3, NULL);
    vs_db *db = open_on(s, VS_OPEN_CREATE);
    told t = {0};
    vs_hooks hooks = VS_HOOKS_INIT;
    hooks.ctx = &t;
    hooks.commit = on_commit;
    hooks.committed = on_committed;
    hooks.rollback = on_rollback;
    VT_OK(vs_set_hooks(db, &hooks), db);
    VT_OK(vs_kv_put(db, NULL, NULL, "a", 1, "1", 1), db);
    VT_CHECK(t.commits == 1 && t.committed == 1 && t.rollbacks == 0);
    sim_set_fault(s, SIM_FAULT_SYNC_LOSES, 1, true);
    VT_EQ(vs_kv_put(db, NULL, NULL, "b", 1, "2", 1), VS_ERR_INDOUBT);
    VT_CHECK(t.commits == 2 && t.committed == 1 && t.rollbacks == 0);
    VT_EQ(vs_kv_put(db, NULL, NULL, "c", 1, "3", 1), VS_ERR_READONLY);
    VT_EQ(t.commits, 2);
    VT_EQ(vs_close(db), VS_ERR_INDOUBT);
    sim_free(s);
}

VT_TEST(a_full_disk_is_told_as_a_rollback) {
    sim *s = sim_new(3, NULL);
    vs_db *db = open_on(s, VS_OPEN_CREATE);
    told t = {0};
    vs_hooks hooks = VS_HOOKS_INIT;
    hooks.ctx = &t;
    hooks.commit = on_commit;
    hooks.committed = on_committed;
    hooks.rollback = on_rollback;
    VT_OK(vs_kv_put(db, NULL, NULL, "a", 1, "1", 1), db);
    VT_OK(vs_set_hooks(db, &hooks), db);
    sim_set_fault(s, SIM_FAULT_FULL, 1, true);
    VT_EQ(vs_kv_put(db, NULL, NULL, "b", 1, "2", 1), VS_ERR_FULL);
    VT_CHECK(t.commits == 1 && t.committed == 0 && t.rollbacks == 1);
    sim_set_fault(s, SIM_FAULT_NONE, 0, false);
    VT_OK(vs_kv_put(db, NULL, NULL, "c", 1, "3", 1), db);
    VT_CHECK(t.commits == 2 && t.committed == 1 && t.rollbacks == 1);
    VT_EQ(vs_close(db), VS_OK);
    sim_free(s);
}
