/* vacuum.c - files made smaller while they are open; what collections take in them. */
#include <stdlib.h>
#include <string.h>

#include "sample.h"

enum { DIM = 64, RECORDS = 1500 };

static void put(vs_collection *c, vs_txn *txn, uint64_t key) {
    static char large[12000];
    float v[DIM];
    for (int i = 0; i < DIM; i++)
        v[i] = (float)(vt_mix(key + (uint64_t)i) % 100);
    snprintf(large, sizeof large, "{\"s\":\"%0*llu\"}", key % 30 ? 20 : 11000,
             (unsigned long long)key);
    sample_put(c, txn, key, v, large);
}

static void fill(vs_db *db, vs_collection *c, uint64_t first, uint64_t n) {
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    for (uint64_t key = first; key < first + n; key++)
        put(c, txn, key);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
}

static void check_filled(vs_collection *c, vs_txn *txn, uint64_t n) {
    VT_EQ(sample_count(c, txn), n);
    for (uint64_t key = 1; key <= n; key++) {
        vs_record r = VS_RECORD_INIT;
        VT_OK(vs_get(c, txn, vs_key_u64(key), &r), c);
        VT_CHECK(((const float *)r.vector)[5] == (float)(vt_mix(key + 5) % 100));
        VT_CHECK(r.metadata_bytes == (key % 30 ? 28u : 11008u));
    }
}

/* Two collections, written in turns, of which the one that begins the file is dropped. */
static vs_collection *sample_with_holes(sample *s) {
    vs_collection *a = sample_create(s->db, NULL, "a", DIM, VS_F32, VS_L2);
    vs_collection *b = sample_create(s->db, NULL, "b", DIM, VS_F32, VS_L2);
    for (uint64_t part = 0; part < 5; part++) {
        fill(s->db, a, part * RECORDS / 5 + 1, RECORDS / 5);
        VT_OK(vs_checkpoint(s->db), s->db);
        fill(s->db, b, part * RECORDS / 5 + 1, RECORDS / 5);
        VT_OK(vs_checkpoint(s->db), s->db);
    }
    VT_OK(vs_collection_drop(a, NULL), a);
    vs_collection_close(a);
    return b;
}

static uint64_t vacuum(vs_db *db, uint64_t budget) {
    uint64_t left = UINT64_MAX;
    VT_OK(vs_vacuum(db, budget, &left), db);
    return left;
}

VT_TEST(a_vacuum_makes_the_file_smaller_and_changes_nothing) {
    sample s = sample_new();
    vs_collection *b = sample_with_holes(&s);
    uint64_t before = sample_file_bytes(s.vfs);
    vs_stats was = sample_stats(s.db);
    vacuum(s.db, 0);
    vs_stats now = sample_stats(s.db);
    VT_CHECK(!memcmp(&was.digest, &now.digest, sizeof was.digest));
    check_filled(b, NULL, RECORDS);
    sample_check(s.db);
    uint64_t after = sample_file_bytes(s.vfs);
    VT_CHECK(after < before * 3 / 4);
    VT_EQ(vacuum(s.db, 0), 0);
    VT_CHECK(sample_file_bytes(s.vfs) <= after + 65536);
    sample killed = sample_after_kill(&s);
    vs_collection *again = sample_collection(killed.db, "b");
    check_filled(again, NULL, RECORDS);
    sample_check(killed.db);
    vs_collection_close(again);
    sample_end(&killed);
    vs_collection_close(b);
    sample_reopen(&s);
    VT_CHECK(after < 2 * sample_file_bytes(s.vfs)); /* closing has no reserve to leave */
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(steps_of_a_vacuum_come_to_an_end_and_survive_kills) {
    sample s = sample_new();
    vs_collection *b = sample_with_holes(&s);
    uint64_t before = sample_file_bytes(s.vfs), left = 1;
    int steps = 0;
    while (left) {
        left = vacuum(s.db, 100000);
        VT_CHECK(++steps < 200);
        if (steps % 4 == 0) {
            sample killed = sample_after_kill(&s);
            vs_collection *again = sample_collection(killed.db, "b");
            check_filled(again, NULL, RECORDS);
            sample_check(killed.db);
            vs_collection_close(again);
            sample_end(&killed);
        }
        fill(s.db, b, 1 + (uint64_t)steps % 7, 1); /* writes go on */
    }
    VT_CHECK(steps > 3);
    VT_CHECK(sample_file_bytes(s.vfs) < before * 3 / 4);
    check_filled(b, NULL, RECORDS);
    sample_check(s.db);
    vs_collection_close(b);
    sample_end(&s);
}

VT_TEST(snapshots_survive_a_vacuum) {
    sample s = sample_new();
    vs_collection *b = sample_with_holes(&s);
    vs_txn *snapshot = sample_begin(s.db, VS_TXN_READ);
    for (uint64_t key = 1; key <= 100; key++)
        VT_OK(vs_delete(b, NULL, vs_key_u64(key)), b);
    for (int i = 0; i < 4; i++) {
        vacuum(s.db, i % 2 ? 0 : 300000);
        check_filled(b, snapshot, RECORDS);
    }
    vs_rollback(snapshot);
    vacuum(s.db, 0);
    VT_EQ(sample_count(b, NULL), RECORDS - 100);
    sample_check(s.db);
    vs_collection_close(b);
    sample_end(&s);
}

VT_TEST(a_vacuum_needs_a_database_that_can_be_written) {
    sample s = sample_new();
    uint64_t left = 7;
    VT_EQ(vs_vacuum(NULL, 0, NULL), VS_ERR_MISUSE);
    VT_OK(vs_vacuum(s.db, 0, NULL), s.db); /* nothing to do */
    VT_OK(vs_close(s.db), s.db);
    s.db = sample_open(s.vfs, "t.vs", VS_OPEN_READONLY);
    VT_EQ(vs_vacuum(s.db, 0, &left), VS_ERR_READONLY);
    VT_EQ(left, 7);
    sample_end(&s);
}

static vs_collection_stats measure(vs_collection *c, vs_txn *txn) {
    vs_collection_stats stats = VS_COLLECTION_STATS_INIT;
    VT_OK(vs_collection_stats_get(c, txn, &stats), c);
    VT_EQ(stats.total_bytes, stats.key_bytes + stats.metadata_bytes + stats.payload_bytes +
                                 stats.vector_bytes + stats.bitmap_bytes);
    return stats;
}

VT_TEST(the_structures_of_a_collection_are_measured) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2);
    vs_collection_stats stats = measure(c, NULL);
    static uint8_t payload[1000000];
    VT_EQ(stats.total_bytes, 0);
    fill(s.db, c, 1, RECORDS);
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)vt_mix(i);
    VT_OK(vs_payload_write(c, NULL, vs_key_u64(1), 0, payload, sizeof payload), c);
    stats = measure(c, NULL);
    VT_EQ(stats.vector_bytes, 0); /* not in the file yet */
    VT_CHECK(stats.payload_bytes >= sizeof payload && stats.payload_bytes < 1100000);
    VT_OK(vs_checkpoint(s.db), s.db);
    stats = measure(c, NULL);
    VT_EQ(stats.records, RECORDS);
    VT_EQ(stats.dead_slots, 0);
    VT_CHECK(stats.vector_bytes >= RECORDS * (DIM * 4 + 32));
    VT_CHECK(stats.vector_bytes < RECORDS * (DIM * 4 + 32) + 100000);
    VT_CHECK(stats.key_bytes >= RECORDS * 12 && stats.key_bytes < RECORDS * 60);
    VT_CHECK(stats.metadata_bytes >= RECORDS * 40);
    VT_CHECK(stats.payload_bytes >= sizeof payload && stats.payload_bytes < 1100000);
    VT_OK(vs_delete(c, NULL, vs_key_u64(1)), c);
    stats = measure(c, NULL);
    VT_EQ(stats.records, RECORDS - 1);
    VT_EQ(stats.dead_slots, 1);
    VT_EQ(stats.payload_bytes, 0);
    VT_EQ(vs_collection_stats_get(c, NULL, NULL), VS_ERR_MISUSE);
    vs_collection_close(c);
    sample_end(&s);
}
