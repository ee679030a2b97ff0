/* test_tokens.c - transactions with tokens, tried again after crashes and failures: each is committed once. */
#include "sim.h"
#include "vt.h"

#define DB "t.vs"

enum { TOKENS = 24, ACKNOWLEDGED = 1 };

static vs_db *open_on(sim *s) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = VS_OPEN_CREATE;
    options.vfs = sim_vfs(s);
    VT_OK(vs_open(DB, &options, &db), db);
    return db;
}

static uint64_t number_of(vs_db *db, vs_txn *txn, const void *key, size_t bytes) {
    uint64_t number = 0;
    size_t n = 0;
    vs_status st = vs_kv_get(db, txn, NULL, key, bytes, &number, sizeof number, &n);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    return number;
}

/* Adds 1 to a total, and to a note of the token; some transactions are large and go to the log early. */
static vs_status stage(vs_db *db, vs_txn *txn, uint32_t token) {
    static const char filler[3000];
    uint64_t total = number_of(db, txn, "total", 5) + 1;
    uint64_t times = number_of(db, txn, &token, sizeof token) + 1;
    vs_status st = vs_kv_put(db, txn, NULL, "total", 5, &total, sizeof total);
    for (uint32_t i = 0; st == VS_OK && token % 5 == 4 && i < 4; i++)
        st = vs_kv_put(db, txn, NULL, &i, 1, filler, sizeof filler);
    if (st == VS_OK)
        st = vs_kv_put(db, txn, NULL, &token, sizeof token, &times, sizeof times);
    return st;
}

/* VS_ERR_EXISTS: it was committed before, in *out_lsn. */
static vs_status attempt(vs_db *db, uint32_t token, int sync, uint64_t *out_lsn) {
    vs_txn *txn = NULL;
    vs_status st = vs_begin(db, VS_TXN_WRITE, &txn);
    if (st != VS_OK)
        return st;
    st = vs_txn_token(txn, &token, sizeof token, out_lsn);
    if (st == VS_OK)
        st = stage(db, txn, token);
    if (st == VS_OK)
        return vs_commit(txn, sync);
    vs_rollback(txn);
    return st;
}

/* Those below acknowledged must be known, and each is known if and only if its changes are there; then all are tried
 * again, and each has been committed once in the end. */
static void check_and_finish(vs_db *db, uint32_t acknowledged) {
    uint64_t last = 0, before = number_of(db, NULL, "total", 5), known = 0;
    for (uint32_t i = 0; i < TOKENS; i++) {
        uint64_t lsn = 0;
        uint64_t times = number_of(db, NULL, &i, sizeof i);
        vs_status st = attempt(db, i, VS_SYNC_FULL, &lsn);
        VT_CHECK(times < 2);
        VT_EQ(st, times ? VS_ERR_EXISTS : VS_OK);
        VT_CHECK(times || i >= acknowledged);
        VT_CHECK(!times || lsn > last); /* they were committed in this order */
        known += times;
        last = lsn ? lsn : last;
    }
    VT_EQ(known, before);
    VT_EQ(number_of(db, NULL, "total", 5), TOKENS);
    for (uint32_t i = 0; i < TOKENS; i++)
        VT_EQ(number_of(db, NULL, &i, sizeof i), 1);
}

static void check_problems(vs_db *db) {
    uint64_t problems = UINT64_MAX;
    VT_OK(vs_check(db, 3, NULL, NULL, &problems), db);
    VT_EQ(problems, 0);
}

static void check_crash(const sim_player *player, int damage, size_t at, uint32_t acknowledged) {
    sim_image disk = sim_player_crash(player, damage, at);
    sim *s = sim_new(at, &disk);
    vs_db *db = open_on(s);
    check_and_finish(db, acknowledged);
    check_problems(db);
    VT_EQ(vs_close(db), VS_OK);
    sim_free(s);
}

VT_TEST(whatever_a_crash_leaves_each_transaction_is_committed_once) {
    sim *s = sim_new(vt_seed(), NULL);
    vs_db *db = open_on(s);
    for (uint32_t i = 0; i < TOKENS; i++) {
        int sync = i % 3 ? VS_SYNC_FULL : VS_SYNC_NORMAL;
        VT_OK(attempt(db, i, sync, NULL), db);
        if (sync == VS_SYNC_FULL)
            sim_note(s, ACKNOWLEDGED, i + 1);
    }
    VT_EQ(vs_close(db), VS_OK);
    sim_player *player = sim_player_new(s);
    uint32_t acknowledged = 0, crashes = 0;
    for (size_t at = 0; at <= sim_op_count(s); at++) {
        int kind = 0;
        uint64_t value = 0;
        sim_player_seek(player, at);
        if (sim_player_pending(player))
            check_crash(player, (int)(at % SIM_DAMAGE_COUNT), at, acknowledged);
        if (at % 7 == 0)
            check_crash(player, SIM_KEEP_ALL, at, acknowledged);
        crashes += sim_player_pending(player) > 0;
        if (at < sim_op_count(s) && sim_op_note(s, at, &kind, &value))
            acknowledged = (uint32_t)value;
    }
    VT_EQ(acknowledged, TOKENS);
    VT_CHECK(crashes > 50);
    sim_player_free(player);
    sim_free(s);
}

/* As a program does that was told VS_ERR_INDOUBT, or something else, and opens the database anew. */
static bool check_fault(int kind, uint64_t at, bool for_ever) {
    sim *s = sim_new(at, NULL);
    vs_db *db = open_on(s);
    uint32_t acknowledged = 0;
    sim_set_fault(s, kind, at, for_ever);
    while (acknowledged < TOKENS && attempt(db, acknowledged, VS_SYNC_FULL, NULL) == VS_OK)
        acknowledged++;
    bool is_hit = sim_fault_hits(s) > 0;
    sim_set_fault(s, SIM_FAULT_NONE, 0, false);
    vs_status ignored = vs_close(db);
    (void)ignored;
    db = open_on(s);
    check_and_finish(db, acknowledged);
    VT_EQ(vs_close(db), VS_OK);
    sim_free(s);
    return is_hit;
}

VT_TEST(whatever_fails_each_transaction_is_committed_once_when_it_is_tried_again) {
    static const int kinds[] = {SIM_FAULT_IO, SIM_FAULT_IO_AFTER, SIM_FAULT_FULL,
                                SIM_FAULT_SYNC_LOSES};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        for (int for_ever = 0; for_ever < 2; for_ever++) {
            uint64_t at = 1;
            while (check_fault(kinds[i], at, for_ever))
                at++;
            VT_CHECK(at > 1 && at < 2000);
        }
}
