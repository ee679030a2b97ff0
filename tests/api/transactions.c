/* transactions.c - what a transaction sees, what its end keeps and drops, and what is durable. */
#include "sample.h"

enum { DIM = 4 };

/* ---- records whose vector is one number ----------------------------------------------------- */

static void put_value(vs_collection *c, vs_txn *txn, uint64_t key, int value) {
    float v[DIM] = {(float)value, 1, 2, 3};
    sample_put(c, txn, key, v, NULL);
}

/* The number, or -1 when there is no such record. */
static int value_of(vs_collection *c, vs_txn *txn, uint64_t key) {
    vs_record r = VS_RECORD_INIT;
    float v[DIM];
    vs_status st = vs_get(c, txn, vs_key_u64(key), &r);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    if (st != VS_OK)
        return -1;
    memcpy(v, r.vector, sizeof v);
    return (int)v[0];
}

static vs_collection *create(sample *s, const char *name) {
    return sample_create(s->db, NULL, name, DIM, VS_F32, VS_L2);
}

static void commit(vs_db *db, vs_txn *txn) {
    VT_OK(vs_commit(txn, VS_SYNC_DEFAULT), db);
}

static uint64_t scan_count(vs_collection *c, vs_txn *txn) {
    vs_cursor *cursor = NULL;
    uint64_t n = 0;
    VT_OK(vs_scan(c, txn, NULL, &cursor), c);
    while (vs_step(cursor) == VS_ROW)
        n++;
    vs_cursor_close(cursor);
    return n;
}

static size_t search_count(vs_collection *c, vs_txn *txn) {
    float query[DIM] = {0};
    vs_hit hits[64];
    size_t n = 0;
    VT_OK(vs_search(c, txn, query, 0, 64, NULL, hits, &n), c);
    return n;
}

static size_t list_count(vs_db *db, vs_txn *txn) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    size_t n = 0;
    while (vs_collection_at(db, txn, n, &info) == VS_OK)
        n++;
    return n;
}

static bool has_note(vs_db *db, vs_txn *txn, const char *key) {
    size_t bytes;
    vs_status st = vs_kv_get(db, txn, NULL, key, strlen(key), NULL, 0, &bytes);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    return st == VS_OK;
}

/* All ways of asking agree that there are n records. */
static void check_count(vs_collection *c, vs_txn *txn, uint64_t n) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_EQ(sample_count(c, txn), n);
    VT_EQ(scan_count(c, txn), n);
    VT_EQ(search_count(c, txn), n);
    VT_OK(vs_collection_info_get(c, txn, &info), c);
    VT_EQ(info.count, n);
}

/* ---- what is seen --------------------------------------------------------------------------- */

VT_TEST(a_read_transaction_is_the_state_of_the_last_commit_and_stays_it) {
    sample s = sample_new();
    vs_collection *c = create(&s, "c");
    put_value(c, NULL, 1, 10);
    put_value(c, NULL, 2, 20);
    vs_txn *read = sample_begin(s.db, VS_TXN_READ);
    put_value(c, NULL, 1, 11);
    put_value(c, NULL, 3, 30);
    VT_OK(vs_delete(c, NULL, vs_key_u64(2)), c);
    VT_OK(vs_kv_put(s.db, NULL, NULL, "k", 1, "v", 1), s.db);
    vs_collection *later = create(&s, "later");
    check_count(c, read, 2);
    VT_EQ(value_of(c, read, 1), 10);
    VT_EQ(value_of(c, read, 2), 20);
    VT_EQ(value_of(c, read, 3), -1);
    VT_CHECK(!has_note(s.db, read, "k"));
    VT_EQ(list_count(s.db, read), 1);
    check_count(c, NULL, 2);
    VT_EQ(value_of(c, NULL, 1), 11);
    VT_EQ(value_of(c, NULL, 2), -1);
    VT_EQ(value_of(c, NULL, 3), 30);
    VT_CHECK(has_note(s.db, NULL, "k"));
    VT_EQ(list_count(s.db, NULL), 2);
    vs_rollback(read);
    vs_collection_close(later);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_write_transaction_sees_its_changes_and_nobody_else_does) {
    sample s = sample_new();
    vs_collection *c = create(&s, "c"), *other = sample_collection(s.db, "c");
    put_value(c, NULL, 1, 10);
    put_value(c, NULL, 2, 20);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE), *read = sample_begin(s.db, VS_TXN_READ);
    put_value(c, txn, 1, 11);
    put_value(c, txn, 3, 30);
    put_value(c, txn, 4, 40);
    VT_OK(vs_delete(c, txn, vs_key_u64(2)), c);
    VT_OK(vs_kv_put(s.db, txn, NULL, "k", 1, "v", 1), txn);
    check_count(c, txn, 3);
    check_count(other, txn, 3); /* the transaction decides, not the handle */
    VT_EQ(value_of(other, txn, 1), 11);
    VT_EQ(value_of(c, txn, 2), -1);
    VT_CHECK(has_note(s.db, txn, "k"));
    check_count(c, NULL, 2);
    check_count(c, read, 2);
    VT_EQ(value_of(c, NULL, 1), 10);
    VT_EQ(value_of(c, NULL, 2), 20);
    VT_EQ(value_of(c, NULL, 4), -1);
    VT_CHECK(!has_note(s.db, NULL, "k"));
    commit(s.db, txn);
    check_count(c, NULL, 3);
    check_count(c, read, 2);
    VT_EQ(value_of(c, NULL, 1), 11);
    VT_EQ(value_of(c, read, 1), 10);
    vs_rollback(read);
    vs_collection_close(c);
    vs_collection_close(other);
    sample_end(&s);
}

VT_TEST(a_transaction_over_several_collections_and_notes_is_one) {
    sample s = sample_new();
    vs_collection *a = create(&s, "a"), *b = create(&s, "b");
    for (int keep = 0; keep < 2; keep++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        put_value(a, txn, 1, 1);
        put_value(b, txn, 1, 2);
        VT_OK(vs_kv_put(s.db, txn, NULL, "db", 2, "1", 1), txn);
        VT_OK(vs_kv_put(s.db, txn, a, "coll", 4, "1", 1), txn);
        if (keep)
            commit(s.db, txn);
        else
            vs_rollback(txn);
        VT_EQ(sample_count(a, NULL), keep);
        VT_EQ(sample_count(b, NULL), keep);
        VT_EQ(has_note(s.db, NULL, "db"), keep);
        sample killed = sample_after_kill(&s);
        vs_collection *c = sample_collection(killed.db, "b");
        VT_EQ(value_of(c, NULL, 1), keep ? 2 : -1);
        VT_EQ(has_note(killed.db, NULL, "db"), keep);
        vs_collection_close(c);
        sample_end(&killed);
    }
    vs_collection_close(a);
    vs_collection_close(b);
    sample_end(&s);
}

VT_TEST(changes_of_one_key_in_one_transaction_follow_each_other) {
    sample s = sample_new();
    vs_collection *c = create(&s, "c");
    float v[DIM] = {9};
    put_value(c, NULL, 1, 1);
    put_value(c, NULL, 2, 2);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_delete(c, txn, vs_key_u64(1)), c);
    VT_EQ(vs_delete(c, txn, vs_key_u64(1)), VS_ERR_NOT_FOUND);
    VT_OK(sample_try_put(c, txn, 1, v, NULL, VS_INSERT), c);
    VT_EQ(sample_try_put(c, txn, 1, v, NULL, VS_INSERT), VS_ERR_EXISTS);
    put_value(c, txn, 1, 5);
    put_value(c, txn, 1, 6);
    VT_OK(vs_delete(c, txn, vs_key_u64(2)), c);
    put_value(c, txn, 3, 3);
    VT_OK(vs_delete(c, txn, vs_key_u64(3)), c);
    check_count(c, txn, 1);
    commit(s.db, txn);
    for (int round = 0; round < 2; round++) {
        check_count(c, NULL, 1);
        VT_EQ(value_of(c, NULL, 1), 6);
        vs_collection_close(c);
        sample_reopen(&s);
        c = sample_collection(s.db, "c");
    }
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- rollback ------------------------------------------------------------------------------- */

VT_TEST(a_rollback_drops_everything_and_writes_nothing) {
    sample s = sample_new();
    vs_collection *c = create(&s, "c");
    for (uint64_t key = 0; key < 50; key++)
        put_value(c, NULL, key, (int)key);
    vs_stats before = sample_stats(s.db);
    for (int round = 0; round < 3; round++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        for (uint64_t key = 0; key < 60; key++)
            if (key % 3)
                put_value(c, txn, key, 1000);
            else if (key < 50)
                VT_OK(vs_delete(c, txn, vs_key_u64(key)), c);
        vs_collection *d = sample_create(s.db, txn, "d", 2, VS_U8, VS_IP);
        vs_collection_close(d);
        VT_OK(vs_kv_put(s.db, txn, c, "k", 1, "v", 1), txn);
        vs_rollback(txn);
    }
    vs_stats after = sample_stats(s.db);
    VT_CHECK(before.digest[0] == after.digest[0] && before.digest[1] == after.digest[1]);
    VT_CHECK(before.lsn == after.lsn && before.commits == after.commits);
    for (uint64_t key = 0; key < 60; key++)
        VT_EQ(value_of(c, NULL, key), key < 50 ? (int)key : -1);
    VT_EQ(list_count(s.db, NULL), 1);
    sample_check(s.db);
    vs_collection_close(c);
    sample_reopen(&s);
    after = sample_stats(s.db);
    VT_CHECK(before.digest[0] == after.digest[0] && before.digest[1] == after.digest[1]);
    sample_end(&s);
}

VT_TEST(a_failed_call_leaves_the_earlier_changes_of_its_transaction) {
    sample s = sample_new();
    vs_collection *c = create(&s, "c");
    float rows[5][DIM] = {{1}, {2}, {3}, {4}, {5}}, bad[DIM] = {0};
    const uint32_t infinity = 0x7f800000;
    uint64_t keys[5] = {21, 22, 23, 24, 10};
    vs_batch batch = VS_BATCH_INIT;
    vs_collection_options options = sample_options(0, 0, 0);
    batch.count = 5;
    batch.numbers = keys;
    batch.vectors = rows;
    memcpy(&bad[2], &infinity, sizeof infinity);
    put_value(c, NULL, 1, 1);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put_value(c, txn, 10, 100);
    put_value(c, txn, 1, 2);
    VT_EQ(sample_try_put(c, txn, 10, bad, NULL, VS_UPSERT), VS_ERR_INVALID);
    VT_EQ(sample_try_put(c, txn, 10, rows[0], "{", VS_UPSERT), VS_ERR_INVALID);
    VT_EQ(vs_put_batch(c, txn, &batch, VS_INSERT), VS_ERR_EXISTS); /* four rows went in before */
    VT_EQ(vs_delete(c, txn, vs_key_u64(99)), VS_ERR_NOT_FOUND);
    VT_EQ(vs_collection_create(s.db, txn, "d", &options, NULL), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(txn), "dim");
    VT_EQ(vs_kv_put(s.db, txn, NULL, "", 0, "v", 1), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(txn), "key");
    check_count(c, txn, 2);
    put_value(c, txn, 11, 110);
    commit(s.db, txn);
    for (int round = 0; round < 2; round++) {
        check_count(c, NULL, 3);
        VT_EQ(value_of(c, NULL, 1), 2);
        VT_EQ(value_of(c, NULL, 10), 100);
        VT_EQ(value_of(c, NULL, 11), 110);
        vs_collection_close(c);
        sample_reopen(&s);
        c = sample_collection(s.db, "c");
    }
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- collections in transactions ------------------------------------------------------------ */

VT_TEST(a_collection_created_in_a_transaction_is_seen_by_others_after_the_commit) {
    sample s = sample_new();
    vs_txn *before = sample_begin(s.db, VS_TXN_READ);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection *c = sample_create(s.db, txn, "new", DIM, VS_F32, VS_L2), *again = NULL;
    vs_collection_options options = sample_options(1, 0, 0);
    uint64_t count = 77;
    put_value(c, txn, 1, 1);
    VT_OK(vs_collection_open(s.db, txn, "new", &again), txn);
    VT_EQ(value_of(again, txn, 1), 1);
    VT_EQ(vs_collection_create(s.db, txn, "new", &options, NULL), VS_ERR_EXISTS);
    VT_CONTAINS(vs_errmsg(txn), "'new'");
    VT_EQ(list_count(s.db, txn), 1);
    VT_EQ(list_count(s.db, NULL), 0);
    vs_collection *none = NULL;
    VT_EQ(vs_collection_open(s.db, NULL, "new", &none), VS_ERR_NOT_FOUND);
    VT_CHECK(!none);
    VT_EQ(vs_count(c, NULL, &count), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(c), "'new'");
    VT_EQ(count, 77);
    commit(s.db, txn);
    VT_EQ(value_of(c, NULL, 1), 1);
    VT_EQ(value_of(again, NULL, 1), 1);
    VT_EQ(vs_count(c, before, &count), VS_ERR_NOT_FOUND);
    VT_EQ(vs_collection_open(s.db, before, "new", &none), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(before), "'new'");
    vs_rollback(before);
    vs_collection_close(c);
    vs_collection_close(again);
    sample_end(&s);
}

VT_TEST(a_handle_of_a_creation_that_was_rolled_back_never_leads_anywhere) {
    sample s = sample_new();
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection *lost = sample_create(s.db, txn, "name", DIM, VS_F32, VS_L2);
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    float v[DIM] = {1};
    uint64_t key = 1, count = 0;
    vs_batch batch = VS_BATCH_INIT;
    vs_cursor *cursor = NULL;
    vs_hit hit;
    size_t n;
    batch.count = 1;
    batch.numbers = &key;
    batch.vectors = v;
    put_value(lost, txn, 1, 1);
    vs_rollback(txn);
    for (int round = 0; round < 2; round++) {
        VT_EQ(vs_count(lost, NULL, &count), VS_ERR_NOT_FOUND);
        VT_CONTAINS(vs_errmsg(lost), "'name'");
        VT_EQ(vs_get(lost, NULL, vs_key_u64(1), NULL), VS_ERR_NOT_FOUND);
        VT_EQ(vs_put(lost, NULL,
                     &(vs_record){.size = sizeof(vs_record), .key = VT_KEY(1), .vector = v},
                     VS_UPSERT),
              VS_ERR_NOT_FOUND);
        VT_EQ(vs_put_batch(lost, NULL, &batch, VS_UPSERT), VS_ERR_NOT_FOUND);
        VT_EQ(vs_delete(lost, NULL, vs_key_u64(1)), VS_ERR_NOT_FOUND);
        VT_EQ(vs_search(lost, NULL, v, 0, 1, NULL, &hit, &n), VS_ERR_NOT_FOUND);
        VT_EQ(vs_scan(lost, NULL, NULL, &cursor), VS_ERR_NOT_FOUND);
        VT_CHECK(!cursor);
        VT_EQ(vs_collection_info_get(lost, NULL, &info), VS_ERR_NOT_FOUND);
        VT_EQ(vs_kv_put(s.db, NULL, lost, "k", 1, "v", 1), VS_ERR_NOT_FOUND);
        /* A new collection of the same name is another one. */
        if (round == 0)
            vs_collection_close(create(&s, "name"));
    }
    vs_collection *c = sample_collection(s.db, "name");
    VT_EQ(sample_count(c, NULL), 0);
    vs_collection_close(c);
    vs_collection_close(lost);
    sample_end(&s);
}

VT_TEST(a_creation_that_failed_inside_a_transaction_can_be_tried_again) {
    sample s = sample_new();
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection_options options = sample_options(DIM, VS_F32, VS_L2);
    options.index = "tree";
    VT_EQ(vs_collection_create(s.db, txn, "c", &options, NULL), VS_ERR_INVALID);
    options.index = "flat";
    VT_OK(vs_collection_create(s.db, txn, "c", &options, NULL), txn);
    commit(s.db, txn);
    vs_collection_close(sample_collection(s.db, "c"));
    sample_end(&s);
}

/* ---- wrong calls ---------------------------------------------------------------------------- */

VT_TEST(a_read_transaction_refuses_every_change) {
    sample s = sample_new();
    vs_collection *c = create(&s, "c");
    vs_collection_options options = sample_options(1, 0, 0);
    float v[DIM] = {1};
    uint64_t key = 1;
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 1;
    batch.numbers = &key;
    batch.vectors = v;
    put_value(c, NULL, 1, 1);
    vs_stats before = sample_stats(s.db);
    vs_txn *read = sample_begin(s.db, VS_TXN_READ);
    VT_EQ(sample_try_put(c, read, 1, v, NULL, VS_UPSERT), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(c), "read transaction");
    VT_EQ(vs_put_batch(c, read, &batch, VS_UPSERT), VS_ERR_MISUSE);
    VT_EQ(vs_delete(c, read, vs_key_u64(1)), VS_ERR_MISUSE);
    VT_EQ(vs_kv_put(s.db, read, NULL, "k", 1, "v", 1), VS_ERR_MISUSE);
    VT_EQ(vs_collection_create(s.db, read, "d", &options, NULL), VS_ERR_MISUSE);
    VT_EQ(value_of(c, read, 1), 1);
    VT_OK(vs_commit(read, VS_SYNC_FULL), s.db);
    vs_stats after = sample_stats(s.db);
    VT_CHECK(before.digest[0] == after.digest[0] && before.lsn == after.lsn);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(an_unknown_kind_of_transaction_is_misuse) {
    sample s = sample_new();
    vs_txn *txn = NULL;
    VT_EQ(vs_begin(s.db, 2, &txn), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(s.db), "2");
    VT_EQ(vs_begin(s.db, -1, &txn), VS_ERR_MISUSE);
    VT_CHECK(!txn);
    sample_end(&s);
}

VT_TEST(a_commit_of_an_unknown_durability_is_misuse_and_rolls_back) {
    sample s = sample_new();
    vs_collection *c = create(&s, "c");
    const int bad[] = {-1, 4, 1000};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char found[24];
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        put_value(c, txn, 1, 1);
        VT_EQ(vs_commit(txn, bad[i]), VS_ERR_MISUSE);
        snprintf(found, sizeof found, "%d", bad[i]);
        VT_CONTAINS(vs_errmsg(s.db), found); /* the handle is gone, its message is here */
        VT_EQ(sample_count(c, NULL), 0);
        txn = sample_begin(s.db, VS_TXN_READ);
        VT_EQ(vs_commit(txn, bad[i]), VS_ERR_MISUSE);
    }
    VT_EQ(sample_stats(s.db).readers, 0);
    put_value(c, NULL, 2, 2); /* nobody holds the writer role */
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- empty commits -------------------------------------------------------------------------- */

VT_TEST(an_empty_commit_is_no_commit) {
    sample s = sample_new();
    for (int sync = VS_SYNC_DEFAULT; sync <= VS_SYNC_OFF; sync++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        VT_OK(vs_commit(txn, sync), s.db);
    }
    vs_stats stats = sample_stats(s.db);
    VT_EQ(stats.commits, 0);
    VT_EQ(stats.lsn, 0);
    VT_EQ(stats.log_generation, 0); /* not even a log file */
    vs_collection *c = create(&s, "c");
    vs_stats before = sample_stats(s.db);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_EQ(vs_delete(c, txn, vs_key_u64(1)), VS_ERR_NOT_FOUND);
    VT_OK(vs_kv_put(s.db, txn, NULL, "k", 1, NULL, 0), txn); /* there is nothing to delete */
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    stats = sample_stats(s.db);
    VT_EQ(stats.commits, before.commits);
    VT_EQ(stats.lsn, before.lsn);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- durability ----------------------------------------------------------------------------- */

/* The memory file system, counting syncs, with a clock that is set by hand. */
static struct counted {
    vs_vfs *memory;
    vs_vfs vfs;
    int syncs;
    int64_t now_us;
} counted;

static vs_status counted_sync(void *ctx, void *file, char *why) {
    counted.syncs++;
    return counted.memory->sync(ctx, file, why);
}

static int64_t counted_ticks_us(void *ctx) {
    (void)ctx;
    return counted.now_us;
}

/* A database whose log is begun; that needs syncs of its own. */
static vs_db *counted_open(int sync) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    memset(&counted, 0, sizeof counted);
    VT_EQ(vs_vfs_memory_create(NULL, &counted.memory), VS_OK);
    counted.vfs = *counted.memory;
    counted.vfs.sync = counted_sync;
    counted.vfs.ticks_us = counted_ticks_us;
    counted.now_us = 1000;
    options.vfs = &counted.vfs;
    options.flags = VS_OPEN_CREATE;
    options.sync = sync;
    VT_OK(vs_open("t.vs", &options, &db), db);
    VT_OK(vs_kv_put(db, NULL, NULL, "begun", 5, "1", 1), db);
    VT_OK(vs_sync(db), db);
    counted.syncs = 0;
    return db;
}

static void counted_close(vs_db *db) {
    VT_OK(vs_close(db), db);
    vs_vfs_memory_destroy(counted.memory);
}

static void commit_note(vs_db *db, int sync, size_t bytes) {
    static char value[VS_KV_VALUE_BYTES_MAX];
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    VT_OK(vs_kv_put(db, txn, NULL, "note", 4, value, bytes), txn);
    VT_OK(vs_commit(txn, sync), db);
}

VT_TEST(a_full_commit_is_synced_before_it_returns) {
    vs_db *db = counted_open(0); /* which is also the default */
    for (int i = 1; i <= 5; i++) {
        commit_note(db, i % 2 ? VS_SYNC_FULL : VS_SYNC_DEFAULT, 10);
        VT_EQ(counted.syncs, i);
        vs_stats stats = sample_stats(db);
        VT_EQ(stats.durable_lsn, stats.lsn);
    }
    counted_close(db);
}

VT_TEST(a_normal_commit_syncs_once_a_second_has_passed) {
    vs_db *db = counted_open(VS_SYNC_NORMAL);
    for (int i = 0; i < 20; i++) {
        counted.now_us += 40000;
        commit_note(db, i % 2 ? VS_SYNC_NORMAL : VS_SYNC_DEFAULT, 10);
    }
    VT_EQ(counted.syncs, 0);
    vs_stats stats = sample_stats(db);
    VT_CHECK(stats.durable_lsn < stats.lsn);
    counted.now_us += 1000000;
    commit_note(db, VS_SYNC_NORMAL, 10);
    VT_EQ(counted.syncs, 1);
    stats = sample_stats(db);
    VT_EQ(stats.durable_lsn, stats.lsn);
    commit_note(db, VS_SYNC_NORMAL, 10);
    VT_EQ(counted.syncs, 1);
    counted_close(db);
}

VT_TEST(a_normal_commit_syncs_once_4_mib_have_gathered) {
    vs_db *db = counted_open(VS_SYNC_NORMAL);
    for (int i = 0; i < 3; i++)
        commit_note(db, VS_SYNC_NORMAL, 1000000);
    VT_EQ(counted.syncs, 0);
    for (int i = 0; i < 2; i++)
        commit_note(db, VS_SYNC_NORMAL, 1000000);
    VT_EQ(counted.syncs, 1);
    counted_close(db);
}

VT_TEST(commits_at_off_do_not_sync_and_vs_sync_does) {
    vs_db *db = counted_open(VS_SYNC_OFF);
    for (int i = 0; i < 10; i++) {
        counted.now_us += 5000000;
        commit_note(db, i % 2 ? VS_SYNC_OFF : VS_SYNC_DEFAULT, 700000);
    }
    VT_EQ(counted.syncs, 0);
    VT_OK(vs_sync(db), db);
    VT_CHECK(counted.syncs > 0);
    vs_stats stats = sample_stats(db);
    VT_EQ(stats.durable_lsn, stats.lsn);
    int syncs = counted.syncs;
    VT_OK(vs_sync(db), db); /* there is nothing left to do */
    VT_EQ(counted.syncs, syncs);
    counted_close(db);
}

/* A checkpoint comes by itself after 16 MiB of log. Beside those nothing syncs but the commit behind one,
 * which begins a new log file. */
VT_TEST(of_commits_at_off_only_those_with_a_checkpoint_and_those_behind_one_sync) {
    enum { COMMITS = 70 };
    vs_db *db = counted_open(VS_SYNC_OFF);
    uint64_t checkpoints = 0, takeovers = sample_stats(db).log_takeovers;
    int synced = 0;
    for (int i = 0; i < COMMITS; i++) {
        int syncs = counted.syncs;
        counted.now_us += 5000000;
        commit_note(db, VS_SYNC_OFF, VS_KV_VALUE_BYTES_MAX);
        vs_stats stats = sample_stats(db);
        bool has_begun = stats.log_takeovers != takeovers;
        if (stats.checkpoints != checkpoints) {
            VT_CHECK(counted.syncs > syncs);
            VT_EQ(stats.durable_lsn, stats.lsn);
            VT_EQ(stats.checkpoint_lsn, stats.lsn);
            VT_EQ(stats.log_bytes, 0);
        } else {
            VT_EQ(counted.syncs > syncs, has_begun);
            VT_CHECK(has_begun || stats.durable_lsn < stats.lsn);
            VT_CHECK(stats.log_bytes < (16 << 20));
        }
        synced += counted.syncs != syncs;
        checkpoints = stats.checkpoints;
        takeovers = stats.log_takeovers;
    }
    VT_EQ(checkpoints, COMMITS / 16); /* a commit takes a little more than 1 MiB */
    VT_CHECK(synced <= 2 * (int)checkpoints);
    counted_close(db);
}

VT_TEST(a_full_commit_makes_the_commits_before_it_durable_even_when_it_is_empty) {
    vs_db *db = counted_open(VS_SYNC_OFF);
    for (int is_empty = 0; is_empty < 2; is_empty++) {
        commit_note(db, VS_SYNC_OFF, 5);
        commit_note(db, VS_SYNC_OFF, 6);
        vs_stats stats = sample_stats(db);
        VT_CHECK(stats.durable_lsn < stats.lsn);
        if (is_empty)
            VT_OK(vs_commit(sample_begin(db, VS_TXN_WRITE), VS_SYNC_FULL), db);
        else
            commit_note(db, VS_SYNC_FULL, 7);
        stats = sample_stats(db);
        VT_EQ(stats.durable_lsn, stats.lsn);
    }
    counted_close(db);
}

VT_TEST(commits_of_any_durability_survive_a_kill) {
    for (int sync = VS_SYNC_FULL; sync <= VS_SYNC_OFF; sync++) {
        sample s = sample_new();
        vs_collection *c = create(&s, "c");
        for (int i = 1; i <= 5; i++) {
            vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
            put_value(c, txn, 1, i);
            VT_OK(vs_commit(txn, sync), s.db);
            sample killed = sample_after_kill(&s);
            vs_collection *there = sample_collection(killed.db, "c");
            VT_EQ(value_of(there, NULL, 1), i);
            put_value(there, NULL, 2, i); /* and goes on from there */
            sample_check(killed.db);
            vs_collection_close(there);
            sample_reopen(&killed);
            there = sample_collection(killed.db, "c");
            VT_EQ(value_of(there, NULL, 1), i);
            VT_EQ(value_of(there, NULL, 2), i);
            vs_collection_close(there);
            sample_end(&killed);
        }
        vs_collection_close(c);
        sample_end(&s);
    }
}

VT_TEST(an_open_transaction_is_lost_by_a_kill) {
    sample s = sample_new();
    vs_collection *c = create(&s, "c");
    put_value(c, NULL, 1, 1);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put_value(c, txn, 1, 2);
    put_value(c, txn, 2, 2);
    sample killed = sample_after_kill(&s);
    vs_collection *there = sample_collection(killed.db, "c");
    VT_EQ(value_of(there, NULL, 1), 1);
    VT_EQ(sample_count(there, NULL), 1);
    vs_collection_close(there);
    sample_end(&killed);
    vs_rollback(txn);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- large transactions --------------------------------------------------------------------- */

enum { LARGE_DIM = 1024, LARGE_ROWS = 750 }; /* about 3 MiB */

static void put_large(vs_collection *c, vs_txn *txn, uint64_t from, uint64_t to, int value) {
    static float v[LARGE_DIM];
    for (uint64_t key = from; key < to; key++) {
        v[0] = (float)value;
        v[LARGE_DIM - 1] = (float)key;
        sample_put(c, txn, key, v, key % 10 ? NULL : "{\"ten\":true}");
    }
}

/* All rows have one value; none when it is 0. */
static void check_large(vs_collection *c, vs_txn *txn, int value) {
    VT_EQ(sample_count(c, txn), value ? LARGE_ROWS : 0);
    for (uint64_t key = 0; value && key < LARGE_ROWS; key++) {
        vs_record r = VS_RECORD_INIT;
        float v[LARGE_DIM];
        VT_OK(vs_get(c, txn, vs_key_u64(key), &r), c);
        memcpy(v, r.vector, sizeof v);
        VT_EQ((int)v[0], value);
        VT_CHECK(v[LARGE_DIM - 1] == (float)key);
        VT_EQ(r.metadata_bytes, key % 10 ? 0 : 12);
    }
}

static void check_large_after_kill(const sample *s, int value) {
    sample killed = sample_after_kill(s);
    vs_collection *c = sample_collection(killed.db, "large");
    check_large(c, NULL, value);
    sample_check(killed.db);
    float v[LARGE_DIM] = {1};
    sample_put(c, NULL, LARGE_ROWS + 1, v, NULL); /* the lost pieces are not in the way */
    vs_collection_close(c);
    sample_reopen(&killed);
    c = sample_collection(killed.db, "large");
    VT_EQ(sample_count(c, NULL), (value ? LARGE_ROWS : 0) + 1);
    vs_collection_close(c);
    sample_check(killed.db);
    sample_end(&killed);
}

/* Whether the transaction's changes stand in the log before it ends. */
static void check_is_streamed(vs_db *db, uint64_t log_bytes_before) {
    VT_CHECK(sample_stats(db).log_bytes > log_bytes_before + (1 << 20));
}

VT_TEST(a_transaction_of_many_megabytes_is_kept_or_dropped_as_a_whole) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "large", LARGE_DIM, VS_F32, VS_L2);
    int kept = 0;
    for (int round = 1; round <= 4; round++) {
        uint64_t log_bytes = sample_stats(s.db).log_bytes;
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        put_large(c, txn, 0, LARGE_ROWS, round);
        check_large(c, txn, round);
        check_large(c, NULL, kept);
        check_is_streamed(s.db, log_bytes);
        check_large_after_kill(&s, kept);
        if (round % 2) {
            vs_rollback(txn);
        } else {
            VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
            kept = round;
        }
        check_large(c, NULL, kept);
        check_large_after_kill(&s, kept);
        sample_check(s.db);
    }
    vs_collection_close(c);
    sample_reopen(&s);
    c = sample_collection(s.db, "large");
    check_large(c, NULL, kept);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_failed_call_in_a_streamed_transaction_drops_only_itself) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "large", LARGE_DIM, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    float *rows = calloc((size_t)LARGE_DIM * 600, sizeof *rows);
    uint64_t keys[600];
    vs_batch batch = VS_BATCH_INIT;
    VT_CHECK(rows);
    for (uint64_t i = 0; i < 600; i++)
        keys[i] = 5000 + i;
    keys[599] = 3; /* exists */
    batch.count = 600;
    batch.numbers = keys;
    batch.vectors = rows;
    put_large(c, txn, 0, 400, 5);
    VT_EQ(vs_put_batch(c, txn, &batch, VS_INSERT), VS_ERR_EXISTS);
    put_large(c, txn, 400, LARGE_ROWS, 5);
    VT_EQ(vs_put_batch(c, txn, &batch, VS_INSERT), VS_ERR_EXISTS);
    check_large(c, txn, 5);
    commit(s.db, txn);
    check_large(c, NULL, 5);
    check_large_after_kill(&s, 5);
    free(rows);
    vs_collection_close(c);
    sample_end(&s);
}

/* More than the 32 MiB that stand in one frame of the log. */
VT_TEST(one_batch_larger_than_a_frame_of_the_log_is_one_commit) {
    enum { BIG_ROWS = 600, BIG_DIM = VS_DIM_MAX };
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "big", BIG_DIM, VS_U8, VS_L2);
    uint8_t *rows = calloc(BIG_ROWS, BIG_DIM);
    static uint64_t keys[BIG_ROWS];
    vs_batch batch = VS_BATCH_INIT;
    VT_CHECK(rows);
    for (size_t i = 0; i < BIG_ROWS; i++) {
        keys[i] = i;
        rows[i * BIG_DIM + i] = 1;
    }
    batch.count = BIG_ROWS;
    batch.numbers = keys;
    batch.vectors = rows;
    uint64_t commits = sample_stats(s.db).commits;
    VT_OK(vs_put_batch(c, NULL, &batch, VS_INSERT), c);
    VT_EQ(sample_stats(s.db).commits, commits + 1);
    free(rows);
    vs_collection_close(c);
    sample_reopen(&s);
    c = sample_collection(s.db, "big");
    VT_EQ(sample_count(c, NULL), BIG_ROWS);
    for (size_t i = 0; i < BIG_ROWS; i += 7) {
        vs_record r = VS_RECORD_INIT;
        VT_OK(vs_get(c, NULL, vs_key_u64(i), &r), c);
        VT_EQ(((const uint8_t *)r.vector)[i], 1);
        VT_EQ(((const uint8_t *)r.vector)[i + 1], 0);
    }
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- versions ------------------------------------------------------------------------------- */

VT_TEST(each_reader_keeps_the_version_it_began_with_whatever_order_they_end_in) {
    enum { READERS = 12, KEYS = 40 };
    sample s = sample_new();
    vs_collection *c = create(&s, "c");
    vs_txn *reader[READERS];
    for (int order = 0; order < 3; order++) {
        for (int i = 0; i < READERS; i++) {
            for (uint64_t key = 0; key < KEYS; key++)
                if ((key + (uint64_t)i) % 5 == 0 && value_of(c, NULL, key) >= 0)
                    VT_OK(vs_delete(c, NULL, vs_key_u64(key)), c);
                else
                    put_value(c, NULL, key, i);
            reader[i] = sample_begin(s.db, VS_TXN_READ);
            VT_EQ(sample_stats(s.db).readers, i + 1);
        }
        for (int ended = 0; ended < READERS; ended++) {
            for (int i = 0; i < READERS; i++) {
                if (!reader[i])
                    continue;
                check_count(c, reader[i], sample_count(c, reader[i]));
                for (uint64_t key = 0; key < KEYS; key++)
                    if ((key + (uint64_t)i) % 5)
                        VT_EQ(value_of(c, reader[i], key), i);
            }
            int next = order == 0 ? ended : order == 1 ? READERS - 1 - ended : ended * 5 % READERS;
            vs_rollback(reader[next]);
            reader[next] = NULL;
            put_value(c, NULL, 99, ended); /* a writer may use again what nobody reads */
            VT_OK(vs_delete(c, NULL, vs_key_u64(99)), c);
        }
    }
    VT_EQ(sample_stats(s.db).readers, 0);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

/* Rewrites all records while a reader keeps their old state; then lets a writer clean up. */
static uint64_t memory_after_cycle(sample *s, vs_collection *c) {
    enum { CYCLE_ROWS = 400 };
    vs_txn *read = sample_begin(s->db, VS_TXN_READ);
    uint64_t count = sample_count(c, read);
    for (int round = 0; round < 2; round++) {
        vs_txn *txn = sample_begin(s->db, VS_TXN_WRITE);
        static float v[256];
        for (uint64_t key = 0; key < CYCLE_ROWS; key++)
            sample_put(c, txn, key, v, "{\"some\":\"metadata\"}");
        VT_OK(vs_commit(txn, VS_SYNC_FULL), s->db);
    }
    VT_EQ(sample_count(c, read), count);
    vs_rollback(read);
    vs_rollback(sample_begin(s->db, VS_TXN_WRITE));
    return sample_stats(s->db).memory_bytes;
}

VT_TEST(memory_goes_back_to_its_level_when_readers_of_old_versions_end) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 256, VS_F32, VS_L2);
    memory_after_cycle(&s, c);
    memory_after_cycle(&s, c);
    uint64_t level = memory_after_cycle(&s, c);
    for (int i = 0; i < 10; i++)
        /* one version more would be 400 KiB */
        VT_CHECK(memory_after_cycle(&s, c) <= level + (100 << 10));
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(memory_of_rolled_back_transactions_is_used_again) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "large", LARGE_DIM, VS_F32, VS_L2);
    uint64_t level = 0;
    for (int i = 0; i < 6; i++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        put_large(c, txn, 0, 500, 1); /* 2 MiB */
        vs_rollback(txn);
        VT_OK(vs_sync(s.db), s.db); /* frames that are not synced are kept in memory */
        uint64_t memory = sample_stats(s.db).memory_bytes;
        VT_CHECK(i < 2 || memory <= level + (100 << 10));
        level = memory;
    }
    vs_collection_close(c);
    sample_end(&s);
}
