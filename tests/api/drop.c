/* drop.c - collections that go: what they leave in the file, in memory and for snapshots. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sample.h"

enum { DIM = 64 };

static const float *vector_of(uint64_t key) {
    static _Thread_local float v[DIM];
    for (int i = 0; i < DIM; i++)
        v[i] = (float)(key % 1000) + (float)i;
    return v;
}

/* Records 1 .. n with metadata, some with a large one and a payload. */
static void fill(vs_collection *c, vs_txn *txn, uint64_t n) {
    static char large[20000];
    static uint8_t payload[100000];
    snprintf(large, sizeof large, "{\"text\":\"%0*d\"}", 19000, 1);
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)vt_mix(i);
    for (uint64_t key = 1; key <= n; key++) {
        sample_put(c, txn, key, vector_of(key), key % 50 ? "{\"a\":1}" : large);
        if (key % 100 == 7)
            VT_OK(vs_payload_write(c, txn, vs_key_u64(key), 0, payload, sizeof payload), c);
    }
}

static void check_filled(vs_collection *c, vs_txn *txn, uint64_t n) {
    VT_EQ(sample_count(c, txn), n);
    for (uint64_t key = 1; key <= n; key++) {
        vs_record r = VS_RECORD_INIT;
        VT_OK(vs_get(c, txn, vs_key_u64(key), &r), c);
        VT_CHECK(!memcmp(r.vector, vector_of(key), sizeof(float) * DIM));
        VT_CHECK(r.metadata);
    }
}

static vs_collection *create_filled(vs_db *db, vs_txn *txn, const char *name, uint64_t n) {
    vs_collection *c = sample_create(db, txn, name, DIM, VS_F32, VS_L2);
    fill(c, txn, n);
    return c;
}

static vs_txn *begin_filled(vs_db *db, const char *name, uint64_t n, vs_collection **out) {
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    *out = create_filled(db, txn, name, n);
    return txn;
}

static void add_filled(vs_db *db, const char *name, uint64_t n) {
    vs_collection *c = NULL;
    vs_txn *txn = begin_filled(db, name, n, &c);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
    vs_collection_close(c);
}

static vs_status open_named(vs_db *db, const char *name) {
    vs_collection *c = NULL;
    vs_status st = vs_collection_open(db, NULL, name, &c);
    vs_collection_close(c);
    return st;
}

static uint64_t file_bytes(const sample *s) {
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    uint64_t bytes = 0;
    VT_EQ(s->vfs->open(s->vfs->ctx, "t.vs", VS_VFS_READ, &file, why), VS_OK);
    VT_EQ(s->vfs->file_size(s->vfs->ctx, file, &bytes, why), VS_OK);
    s->vfs->close(s->vfs->ctx, file);
    return bytes;
}

VT_TEST(a_dropped_collection_is_gone_with_its_notes_and_aliases) {
    sample s = sample_new();
    vs_stats empty = sample_stats(s.db);
    vs_collection *c = create_filled(s.db, NULL, "c", 20), *again = NULL;
    VT_OK(vs_alias_set(s.db, NULL, "other name", c), s.db);
    VT_OK(vs_alias_set(s.db, NULL, "b", c), s.db);
    VT_OK(vs_kv_put(s.db, NULL, c, "k", 1, "v", 1), s.db);
    VT_OK(vs_kv_put(s.db, NULL, c, "k2", 2, "v", 1), s.db);
    VT_OK(vs_collection_set_limits(c, NULL, 1000, 0), c);
    VT_OK(vs_collection_drop(c, NULL), c);
    VT_EQ(vs_collection_drop(c, NULL), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(c), "'c' does not exist");
    VT_EQ(vs_get(c, NULL, vs_key_u64(1), NULL), VS_ERR_NOT_FOUND);
    VT_EQ(open_named(s.db, "c"), VS_ERR_NOT_FOUND);
    VT_EQ(open_named(s.db, "b"), VS_ERR_NOT_FOUND);
    VT_EQ(open_named(s.db, "other name"), VS_ERR_NOT_FOUND);
    vs_stats now = sample_stats(s.db);
    VT_CHECK(!memcmp(&now.digest, &empty.digest, sizeof now.digest));
    sample_check(s.db);
    again = sample_create(s.db, NULL, "c", 3, VS_U8, VS_L1); /* its name is free, its id is not */
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_OK(vs_collection_info_get(again, NULL, &info), again);
    VT_EQ(info.id, 2);
    VT_EQ(vs_get(c, NULL, vs_key_u64(1), NULL), VS_ERR_NOT_FOUND);
    vs_collection_close(again);
    vs_collection_close(c);
    sample_reopen(&s);
    VT_EQ(open_named(s.db, "c"), VS_OK);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(others_stay_whole_when_one_is_dropped_and_after_a_kill) {
    sample s = sample_new();
    add_filled(s.db, "a", 300);
    add_filled(s.db, "b", 300);
    VT_OK(vs_checkpoint(s.db), s.db);
    add_filled(s.db, "c", 300);
    vs_collection *a = sample_collection(s.db, "a"), *c = sample_collection(s.db, "c");
    VT_OK(vs_collection_drop(a, NULL), a);
    VT_OK(vs_collection_drop(c, NULL), c);
    vs_collection_close(a);
    vs_collection_close(c);
    sample killed = sample_after_kill(&s);
    for (int round = 0; round < 2; round++) {
        sample *now = round ? &killed : &s;
        vs_collection *b = sample_collection(now->db, "b");
        VT_EQ(open_named(now->db, "a"), VS_ERR_NOT_FOUND);
        VT_EQ(open_named(now->db, "c"), VS_ERR_NOT_FOUND);
        check_filled(b, NULL, 300);
        VT_OK(vs_checkpoint(now->db), now->db);
        VT_OK(vs_checkpoint(now->db), now->db);
        check_filled(b, NULL, 300);
        vs_collection_close(b);
        sample_check(now->db);
    }
    sample_end(&killed);
    sample_end(&s);
}

VT_TEST(a_drop_is_taken_back_by_rollback_and_savepoint) {
    sample s = sample_new();
    add_filled(s.db, "c", 200);
    vs_collection *c = sample_collection(s.db, "c");
    for (int how = 0; how < 4; how++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        uint32_t point = 0;
        VT_OK(vs_savepoint(txn, &point), txn);
        sample_put(c, txn, 1, vector_of(1), "{}");
        VT_OK(vs_collection_drop(c, txn), c);
        VT_EQ(vs_get(c, txn, vs_key_u64(1), NULL), VS_ERR_NOT_FOUND);
        check_filled(c, NULL, 200);
        if (how % 2)
            VT_OK(vs_rollback_to(txn, point), txn);
        if (how % 2)
            VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
        else
            vs_rollback(txn);
        check_filled(c, NULL, 200);
        VT_OK(vs_checkpoint(s.db), s.db);
        sample_put(c, NULL, 200, vector_of(200), "{\"how\":1}");
        sample_check(s.db);
    }
    vs_collection_close(c);
    sample_end(&s);
}

/* Slabs are shared by versions: those of a collection that is gone stay as long as one of them may be read. */
VT_TEST(snapshots_keep_what_is_dropped_beyond_checkpoints_and_new_writes) {
    for (int is_written = 0; is_written < 2; is_written++) {
        sample s = sample_new();
        add_filled(s.db, "c", 400);
        if (is_written)
            VT_OK(vs_checkpoint(s.db), s.db);
        vs_collection *c = sample_collection(s.db, "c");
        vs_txn *early = sample_begin(s.db, VS_TXN_READ);
        sample_put(c, NULL, 3, vector_of(3), "{\"late\":1}");
        if (is_written)
            VT_OK(vs_checkpoint(s.db), s.db);
        vs_txn *late = sample_begin(s.db, VS_TXN_READ);
        VT_OK(vs_collection_drop(c, NULL), c);
        for (int round = 0; round < 5; round++) {
            char name[16];
            snprintf(name, sizeof name, "n%d", round);
            add_filled(s.db, name, 400);
            VT_OK(vs_checkpoint(s.db), s.db);
            check_filled(c, early, 400);
            check_filled(c, late, 400);
            if (round == 2) {
                vs_rollback(late);
                late = sample_begin(s.db, VS_TXN_READ);
                VT_EQ(vs_count(c, late, &(uint64_t){0}), VS_ERR_NOT_FOUND);
                vs_rollback(late);
                late = early;
            }
        }
        vs_rollback(early);
        vs_collection_close(c);
        for (int round = 0; round < 3; round++)
            VT_OK(vs_checkpoint(s.db), s.db);
        sample_check(s.db);
        for (int round = 0; round < 5; round++) {
            char name[16];
            snprintf(name, sizeof name, "n%d", round);
            c = sample_collection(s.db, name);
            check_filled(c, NULL, 400);
            vs_collection_close(c);
        }
        sample_end(&s);
    }
}

static sample sample_with(uint64_t memory_limit, uint32_t flags) {
    sample s = {NULL, NULL};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    options.vfs = s.vfs;
    options.flags = VS_OPEN_CREATE | flags;
    options.memory_limit = memory_limit;
    VT_OK(vs_open("t.vs", &options, &s.db), s.db);
    return s;
}

/* Without memory vectors are read where the newest version has them: the snapshot is older than that. */
VT_TEST(a_snapshot_older_than_the_places_of_the_slabs_keeps_them_when_all_are_dropped) {
    for (uint32_t flags = 0; flags <= VS_OPEN_MMAP; flags += VS_OPEN_MMAP) {
        sample s = sample_with(1, flags);
        add_filled(s.db, "c", 1200);
        VT_OK(vs_checkpoint(s.db), s.db);
        vs_collection *c = sample_collection(s.db, "c");
        vs_txn *early = sample_begin(s.db, VS_TXN_READ);
        for (int round = 0; round < 2; round++) { /* each slab has another place after each */
            vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
            for (uint64_t key = 1; key <= 1200; key += 10) {
                VT_OK(vs_delete(c, txn, vs_key_u64(key)), c);
                sample_put(c, txn, 5000 + key + (uint64_t)round, vector_of(key), "{}");
                sample_put(c, txn, key, vector_of(key), "{}");
            }
            VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
            VT_OK(vs_checkpoint(s.db), s.db);
        }
        VT_OK(vs_collection_drop(c, NULL), c);
        for (int round = 0; round < 5; round++) {
            char name[16];
            snprintf(name, sizeof name, "n%d", round);
            VT_OK(vs_checkpoint(s.db), s.db);
            add_filled(s.db, name, 700);
            VT_OK(vs_checkpoint(s.db), s.db);
            check_filled(c, early, 1200);
        }
        vs_rollback(early);
        vs_collection_close(c);
        sample_check(s.db);
        sample_end(&s);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

enum { READERS = 2, ROUNDS = 6, RECORDS = 300 };

typedef struct reader {
    pthread_t thread;
    vs_db *db;
    atomic_bool *ends;
    uint64_t seen, missed, wrong;
} reader;

/* As check_filled, without ending the test from another thread. */
static bool is_filled(vs_collection *c, vs_txn *txn) {
    uint64_t count = 0;
    if (vs_count(c, txn, &count) != VS_OK || count != RECORDS)
        return false;
    for (uint64_t key = 1; key <= RECORDS; key++) {
        vs_record r = VS_RECORD_INIT;
        if (vs_get(c, txn, vs_key_u64(key), &r) != VS_OK ||
            memcmp(r.vector, vector_of(key), sizeof(float) * DIM) != 0)
            return false;
    }
    return true;
}

/* Whoever has a snapshot sees all of the collection or none of it, whatever goes on. */
static void *reader_main(void *arg) {
    reader *r = arg;
    while (!r->wrong && (!atomic_load(r->ends) || r->seen + r->missed == 0)) {
        vs_collection *c = NULL;
        vs_txn *txn = NULL;
        vs_status st = vs_begin(r->db, VS_TXN_READ, &txn);
        if (st == VS_OK)
            st = vs_collection_open(r->db, txn, "c", &c);
        r->seen += st == VS_OK;
        r->missed += st == VS_ERR_NOT_FOUND;
        r->wrong += st != VS_OK && st != VS_ERR_NOT_FOUND;
        for (int pass = 0; st == VS_OK && pass < 2; pass++)
            r->wrong += !is_filled(c, txn);
        vs_collection_close(c);
        vs_rollback(txn);
    }
    return NULL;
}

static void drop_beside_readers(uint64_t memory_limit, uint32_t flags) {
    sample s = sample_with(memory_limit, flags);
    atomic_bool ends = false;
    reader readers[READERS];
    for (int i = 0; i < READERS; i++) {
        readers[i] = (reader){.db = s.db, .ends = &ends};
        VT_EQ(pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]), 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        add_filled(s.db, "c", RECORDS);
        VT_OK(vs_checkpoint(s.db), s.db);
        vs_collection *c = sample_collection(s.db, "c");
        if (round % 2) /* slabs with rows that the file lacks */
            sample_put(c, NULL, 3, vector_of(3), "{\"late\":1}");
        if (round % 3 == 2)
            VT_OK(vs_collection_copy(c, NULL, "copy", NULL), c);
        VT_OK(vs_collection_drop(c, NULL), c);
        vs_collection_close(c);
        VT_OK(vs_checkpoint(s.db), s.db);
        if (round % 3 == 2) {
            c = sample_collection(s.db, "copy");
            check_filled(c, NULL, RECORDS);
            VT_OK(vs_collection_drop(c, NULL), c);
            vs_collection_close(c);
            VT_OK(vs_vacuum(s.db, 0, NULL), s.db);
        }
    }
    atomic_store(&ends, true);
    for (int i = 0; i < READERS; i++)
        VT_EQ(pthread_join(readers[i].thread, NULL), 0);
    for (int i = 0; i < READERS; i++)
        VT_EQ(readers[i].wrong, 0);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(readers_beside_drops_copies_and_vacuums_see_whole_collections) {
    drop_beside_readers(0, 0);
    drop_beside_readers(1, 0);
    drop_beside_readers(1, VS_OPEN_MMAP);
}

VT_TEST(a_file_does_not_grow_by_collections_that_come_and_go) {
    sample s = sample_new();
    uint64_t first = 0;
    add_filled(s.db, "kept", 100);
    for (int round = 0; round < 12; round++) {
        add_filled(s.db, "c", 1000);
        VT_OK(vs_checkpoint(s.db), s.db);
        vs_collection *c = sample_collection(s.db, "c");
        VT_OK(vs_collection_drop(c, NULL), c);
        vs_collection_close(c);
        VT_OK(vs_checkpoint(s.db), s.db);
        VT_OK(vs_checkpoint(s.db), s.db);
        first = round == 2 ? file_bytes(&s) : first;
    }
    VT_CHECK(file_bytes(&s) <= first + first / 4);
    sample_check(s.db);
    sample_reopen(&s);
    VT_CHECK(file_bytes(&s) < first / 2); /* closing cut it */
    vs_collection *c = sample_collection(s.db, "kept");
    check_filled(c, NULL, 100);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(dropping_needs_no_memory_that_the_limit_forbids) {
    sample s = {NULL, NULL};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    options.vfs = s.vfs;
    options.flags = VS_OPEN_CREATE;
    options.memory_limit = 1;
    VT_OK(vs_open("t.vs", &options, &s.db), s.db);
    add_filled(s.db, "a", 1500);
    add_filled(s.db, "b", 200);
    vs_collection *a = sample_collection(s.db, "a"), *b = sample_collection(s.db, "b");
    vs_txn *early = sample_begin(s.db, VS_TXN_READ);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    fill(a, txn, 1500);
    VT_OK(vs_collection_drop(a, txn), a);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
    VT_OK(vs_checkpoint(s.db), s.db);
    check_filled(a, early, 1500);
    vs_rollback(early);
    VT_OK(vs_checkpoint(s.db), s.db);
    VT_OK(vs_checkpoint(s.db), s.db);
    check_filled(b, NULL, 200);
    sample_check(s.db);
    vs_collection_close(a);
    vs_collection_close(b);
    sample_end(&s);
}

VT_TEST(a_collection_may_be_created_filled_and_dropped_in_one_transaction) {
    sample s = sample_new();
    vs_stats empty = sample_stats(s.db);
    for (int round = 0; round < 3; round++) {
        vs_collection *c = NULL;
        vs_txn *txn = begin_filled(s.db, "c", 500, &c);
        VT_OK(vs_collection_drop(c, txn), c);
        VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
        vs_collection_close(c);
        VT_OK(vs_checkpoint(s.db), s.db);
    }
    vs_stats now = sample_stats(s.db);
    VT_CHECK(!memcmp(&now.digest, &empty.digest, sizeof now.digest));
    sample_check(s.db);
    sample killed = sample_after_kill(&s);
    sample_check(killed.db);
    sample_end(&killed);
    sample_end(&s);
}
