/* steps.c - searches that go on (vs_search_open): against vs_search with a k that takes everything. */
#include "sample.h"

enum { DIM = 4, MANY = 1500, LONG = 1000 };

/* Small whole numbers: many equal distances. */
static void fill(float *out, vt_rng *rng) {
    for (int i = 0; i < DIM; i++)
        out[i] = (float)((int)vt_below(rng, 3) - 1);
}

static vs_cursor *open_search(vs_collection *c, vs_txn *txn, const float *query, uint32_t field) {
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    vs_cursor *cursor = NULL;
    options.field = field;
    VT_OK(vs_search_open(c, txn, query, VS_F32, &options, &cursor), c);
    return cursor;
}

/* What vs_search finds; the keys as long as there is no other search with the handle. */
static size_t search_all(vs_collection *c, vs_txn *txn, const float *query, uint32_t field,
                         vs_hit *out) {
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    size_t n = 0, k = (size_t)sample_count(c, txn);
    options.field = field;
    VT_OK(vs_search(c, txn, query, VS_F32, k ? k : 1, &options, out, &n), c);
    return n;
}

static void check_hit(const vs_hit *hit, const vs_hit *expected) {
    VT_CHECK(hit->distance == expected->distance);
    VT_EQ(vs_key_compare(hit->key, expected->key), 0);
}

/* The cursor's record is that of its hit. */
static void check_record(vs_cursor *cursor) {
    vs_record r = VS_RECORD_INIT;
    vs_hit hit;
    VT_OK(vs_cursor_record(cursor, &r), cursor);
    VT_OK(vs_cursor_hit(cursor, &hit), cursor);
    VT_EQ(vs_key_compare(r.key, hit.key), 0);
}

/* A cursor gives these hits and then ends, for ever. */
static void check_rest(vs_cursor *cursor, const vs_hit *hits, size_t n) {
    vs_hit hit;
    for (size_t i = 0; i < n; i++) {
        vt_at("hit", i);
        VT_EQ(vs_step(cursor), VS_ROW);
        VT_OK(vs_cursor_hit(cursor, &hit), cursor);
        check_hit(&hit, &hits[i]);
        if (i % 97 == 0)
            check_record(cursor);
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    VT_EQ(vs_cursor_hit(cursor, &hit), VS_ERR_MISUSE);
    VT_EQ(vs_step(cursor), VS_DONE);
}

static void check_all(vs_collection *c, vs_txn *txn, const float *query, uint32_t field) {
    static vs_hit hits[MANY + 1];
    vs_cursor *cursor = open_search(c, txn, query, field);
    size_t n = search_all(c, txn, query, field, hits);
    check_rest(cursor, hits, n);
    vs_cursor_close(cursor);
}

VT_TEST(a_cursor_of_a_search_gives_what_a_search_for_all_gives) {
    static const int metrics[] = {VS_L2, VS_IP, VS_COSINE, VS_L1};
    static const uint64_t counts[] = {0, 1, 63, 64, 65, 320, 321, MANY};
    for (int m = 0; m < 4; m++) {
        sample s = sample_new();
        vt_rng rng = {vt_seed() + (uint64_t)m};
        float v[DIM];
        uint64_t key = 0;
        vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, metrics[m]);
        for (int i = 0; i < 8; i++) {
            vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
            for (; key < counts[i]; key++) {
                fill(v, &rng);
                sample_put(c, txn, key * 7919 % 10007, v, NULL);
            }
            VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
            fill(v, &rng);
            check_all(c, NULL, v, 0);
        }
        vs_collection_close(c);
        sample_end(&s);
    }
}

VT_TEST(bits_are_found_one_after_the_other_too) {
    for (int metric = VS_HAMMING; metric <= VS_JACCARD; metric++) {
        sample s = sample_new();
        vt_rng rng = {vt_seed()};
        const float query[DIM] = {1, 0, 1, 1};
        vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_BIT, metric);
        for (uint64_t key = 0; key < 300; key++) {
            uint8_t bits = (uint8_t)vt_below(&rng, 16);
            sample_put(c, NULL, key, &bits, NULL);
        }
        check_all(c, NULL, query, 0);
        vs_collection_close(c);
        sample_end(&s);
    }
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* Number i of keys of all kinds, in three namespaces; text has room for the longest. */
static vs_key make_key(int i, uint8_t text[LONG]) {
    size_t bytes = i % 5 == 1 ? LONG : 16;
    memset(text, 'k', LONG);
    snprintf((char *)text + bytes - 8, 8, "%07d", (i * 7919) % 10007);
    vs_key key = i % 5 == 0   ? vs_key_u64((uint64_t)(i * 7919) % 10007)
                 : i % 5 == 3 ? vs_key_uuid(text)
                              : vs_key_bytes(text, bytes - 1);
    return vs_key_in((uint32_t)i % 3, key);
}

static void put_kinds(vs_collection *c, vs_txn *txn, int n, vt_rng *rng) {
    for (int i = 0; i < n; i++) {
        uint8_t text[LONG];
        const float v[DIM] = {(float)vt_below(rng, 2)};
        vs_record r = VS_RECORD_INIT;
        r.key = make_key(i, text);
        r.vector = v;
        VT_OK(vs_put(c, txn, &r, VS_INSERT), c);
    }
}

static const float zeros[DIM];

VT_TEST(equal_distances_are_in_the_order_of_keys_of_all_kinds_and_namespaces) {
    for (int maps = 0; maps < 2; maps++) {
        sample s = sample_new();
        vt_rng rng = {vt_seed()};
        vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2);
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        put_kinds(c, txn, MANY, &rng);
        check_all(c, txn, zeros, 0);
        VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        check_all(c, NULL, zeros, 0);
        vs_collection_close(c);
        VT_OK(vs_close(s.db), s.db);
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        options.vfs = s.vfs;
        options.flags = maps ? VS_OPEN_MMAP : VS_OPEN_READONLY;
        options.memory_limit = maps ? 0 : 1; /* nothing that was read stays */
        VT_OK(vs_open("t.vs", &options, &s.db), s.db);
        c = sample_collection(s.db, "c");
        check_all(c, NULL, zeros, 0);
        vs_collection_close(c);
        sample_end(&s);
    }
}

/* ---- states --------------------------------------------------------------------------------- */

static vs_collection *some_records(vs_db *db, uint64_t n, vt_rng *rng) {
    float v[DIM];
    vs_collection *c = sample_create(db, NULL, "c", DIM, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    for (uint64_t key = 0; key < n; key++) {
        fill(v, rng);
        sample_put(c, txn, key, v, NULL);
    }
    VT_OK(vs_commit(txn, VS_SYNC_FULL), db);
    return c;
}

VT_TEST(what_is_committed_after_it_was_opened_does_not_change_what_it_gives) {
    static vs_hit hits[MANY];
    for (int kind = 0; kind < 2; kind++) {
        sample s = sample_new();
        vt_rng rng = {vt_seed()};
        float v[DIM];
        vs_collection *c = some_records(s.db, MANY, &rng);
        vs_txn *txn = kind ? sample_begin(s.db, VS_TXN_READ) : NULL;
        size_t n = search_all(c, txn, zeros, 0, hits);
        vs_cursor *cursor = open_search(c, txn, zeros, 0), *late = open_search(c, txn, zeros, 0);
        for (int i = 0; i < 70; i++) /* in the middle of the second chunk */
            VT_EQ(vs_step(cursor), VS_ROW);
        vs_rollback(txn); /* the cursors outlive it */
        for (uint64_t key = 0; key < MANY; key++) {
            fill(v, &rng);
            if (key % 3 == 0)
                VT_OK(vs_delete(c, NULL, vs_key_u64(key)), c);
            else if (key % 3 == 1)
                sample_put(c, NULL, key, v, NULL);
        }
        for (uint64_t key = 0; key < 100; key++)
            sample_put(c, NULL, MANY + key, zeros, NULL);
        VT_OK(vs_checkpoint(s.db), s.db);
        check_all(c, NULL, zeros, 0); /* a new one sees it */
        vs_collection_close(c);
        VT_EQ(vs_close(s.db), VS_ERR_BUSY);
        check_rest(cursor, hits + 70, n - 70);
        check_rest(late, hits, n);
        vs_cursor_close(cursor);
        vs_cursor_close(late);
        sample_end(&s);
    }
}

/* Whether a hit comes behind another one. */
static bool is_behind(const vs_hit *hit, const vs_hit *other) {
    if (hit->distance != other->distance)
        return hit->distance > other->distance;
    return vs_key_compare(hit->key, other->key) > 0;
}

/* One step gives the first hit behind the last one, in the transaction as it is now. */
static bool check_step(vs_collection *c, vs_txn *txn, vs_cursor *cursor, vs_hit *io_last,
                       bool has_last) {
    static vs_hit hits[MANY];
    size_t n = search_all(c, txn, zeros, 0, hits), i = 0;
    while (i < n && has_last && !is_behind(&hits[i], io_last))
        i++;
    VT_EQ(vs_step(cursor), i < n ? VS_ROW : VS_DONE);
    if (i == n)
        return false;
    VT_OK(vs_cursor_hit(cursor, io_last), cursor);
    check_hit(io_last, &hits[i]);
    return true;
}

VT_TEST(in_a_write_transaction_it_sees_changes_behind_its_position) {
    enum { RECORDS = 300, ROUNDS = 900 };
    sample s = sample_new();
    vt_rng rng = {vt_seed()};
    float v[DIM];
    vs_hit last;
    bool has_last = false;
    vs_collection *c = some_records(s.db, RECORDS, &rng);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_cursor *cursor = open_search(c, txn, zeros, 0);
    uint32_t savepoint = 0;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t key = vt_below(&rng, RECORDS), what = vt_below(&rng, 12);
        vt_at("round", (uint64_t)i);
        fill(v, &rng);
        if (what == 0 && sample_has(c, txn, key))
            VT_OK(vs_delete(c, txn, vs_key_u64(key)), c);
        else if (what == 1)
            sample_put(c, txn, key, v, NULL);
        else if (what == 2 && savepoint)
            VT_OK(vs_rollback_to(txn, savepoint), txn);
        else if (what == 3 && i % 7 == 0)
            VT_OK(vs_savepoint(txn, &savepoint), txn);
        has_last |= check_step(c, txn, cursor, &last, has_last);
        if (has_last && i % 400 == 399) { /* from the start again */
            vs_cursor_close(cursor);
            cursor = open_search(c, txn, zeros, 0);
            has_last = false;
        }
    }
    vs_rollback(txn);
    VT_EQ(vs_step(cursor), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(cursor), "transaction has ended");
    VT_EQ(vs_cursor_hit(cursor, &last), VS_ERR_MISUSE);
    vs_cursor_close(cursor);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_hit_deleted_under_the_cursor_stays_a_hit_and_is_no_record) {
    sample s = sample_new();
    vt_rng rng = {vt_seed()};
    vs_hit hit, again;
    vs_record r = VS_RECORD_INIT;
    vs_collection *c = some_records(s.db, 5, &rng);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_cursor *cursor = open_search(c, txn, zeros, 0);
    VT_EQ(vs_step(cursor), VS_ROW);
    VT_OK(vs_cursor_hit(cursor, &hit), cursor);
    VT_OK(vs_delete(c, txn, hit.key), c);
    VT_OK(vs_cursor_hit(cursor, &again), cursor);
    check_hit(&again, &hit);
    VT_EQ(vs_cursor_record(cursor, &r), VS_ERR_NOT_FOUND);
    for (int i = 0; i < 4; i++)
        VT_EQ(vs_step(cursor), VS_ROW);
    VT_EQ(vs_step(cursor), VS_DONE);
    sample_put(c, txn, 77, (const float[]){9, 9, 9, 9}, NULL); /* farther than all: it goes on */
    VT_EQ(vs_step(cursor), VS_ROW);
    VT_OK(vs_cursor_hit(cursor, &hit), cursor);
    VT_EQ(hit.key.number, 77);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
    vs_cursor_close(cursor);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(records_without_the_vector_of_the_field_are_no_hits) {
    sample s = sample_new();
    vt_rng rng = {vt_seed()};
    vs_field fields[2] = {VS_FIELD_INIT, VS_FIELD_INIT};
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    fields[0].dim = fields[1].dim = DIM;
    fields[0].name = "a";
    fields[1].name = "b";
    fields[1].flags = VS_FIELD_OPTIONAL;
    options.fields = fields;
    options.field_count = 2;
    VT_OK(vs_collection_create(s.db, NULL, "c", &options, &c), s.db);
    for (uint64_t key = 0; key < 400; key++) {
        float v[2][DIM];
        fill(v[0], &rng);
        fill(v[1], &rng);
        vs_vector second = {v[1], 0, 1};
        vs_record r = sample_record(key, v[0], NULL);
        r.vectors = &second;
        r.vector_count = key % 3 == 0;
        VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    }
    check_all(c, NULL, zeros, 0);
    check_all(c, NULL, zeros, 1);
    vs_search_options wrong = VS_SEARCH_OPTIONS_INIT;
    vs_cursor *cursor = NULL;
    wrong.field = 2;
    VT_EQ(vs_search_open(c, NULL, zeros, VS_F32, &wrong, &cursor), VS_ERR_INVALID);
    VT_CHECK(cursor == NULL);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- calls that fail ------------------------------------------------------------------------ */

VT_TEST(what_cannot_be_searched_for_is_refused_when_it_is_opened) {
    sample s = sample_new(), other = sample_new();
    vt_rng rng = {vt_seed()};
    vs_cursor *cursor = NULL;
    vs_hit hit;
    const float infinite[DIM] = {0, 1e30f * 1e30f};
    vs_collection *c = some_records(s.db, 3, &rng);
    VT_EQ(vs_search_open(NULL, NULL, zeros, 0, NULL, &cursor), VS_ERR_MISUSE);
    VT_EQ(vs_search_open(c, NULL, NULL, 0, NULL, &cursor), VS_ERR_MISUSE);
    VT_EQ(vs_search_open(c, NULL, zeros, 0, NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_search_open(c, NULL, zeros, 99, NULL, &cursor), VS_ERR_INVALID);
    VT_EQ(vs_search_open(c, NULL, infinite, 0, NULL, &cursor), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "query");
    vs_txn *txn = sample_begin(other.db, VS_TXN_READ);
    VT_EQ(vs_search_open(c, txn, zeros, 0, NULL, &cursor), VS_ERR_MISUSE);
    vs_rollback(txn);
    VT_CHECK(cursor == NULL);
    VT_EQ(vs_cursor_hit(NULL, &hit), VS_ERR_MISUSE);
    VT_OK(vs_search_open(c, NULL, zeros, 0, NULL, &cursor), c);
    VT_EQ(vs_cursor_hit(cursor, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_cursor_hit(cursor, &hit), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(cursor), "step it first");
    vs_cursor_close(cursor);
    VT_OK(vs_scan(c, NULL, NULL, &cursor), c);
    VT_EQ(vs_step(cursor), VS_ROW);
    VT_EQ(vs_cursor_hit(cursor, &hit), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(cursor), "vs_scan");
    vs_cursor_close(cursor);
    vs_collection_close(c);
    sample_end(&s);
    sample_end(&other);
}

VT_TEST(a_collection_that_was_rolled_back_has_no_hits_any_more) {
    sample s = sample_new();
    vs_cursor *cursor = NULL;
    uint32_t savepoint = 0;
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_savepoint(txn, &savepoint), txn);
    vs_collection *c = sample_create(s.db, txn, "c", DIM, VS_F32, VS_L2);
    sample_put(c, txn, 1, zeros, NULL);
    VT_EQ(vs_search_open(c, NULL, zeros, 0, NULL, &cursor), VS_ERR_NOT_FOUND);
    VT_OK(vs_search_open(c, txn, zeros, 0, NULL, &cursor), c);
    VT_OK(vs_rollback_to(txn, savepoint), txn);
    VT_EQ(vs_step(cursor), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(cursor), "gone");
    vs_cursor_close(cursor);
    vs_rollback(txn);
    vs_collection_close(c);
    sample_end(&s);
}

/* The clock of a VFS of the test's: each look at it is a step; it may interrupt. */
static struct {
    int64_t us;
    vs_db *db;
    int left; /* looks until vs_interrupt, 0: never */
} clock_of;

static int64_t clock_look(void *ctx) {
    (void)ctx;
    if (clock_of.left && --clock_of.left == 0)
        VT_EQ(vs_interrupt(clock_of.db), VS_OK);
    return clock_of.us += 50;
}

VT_TEST(a_step_that_takes_too_long_or_is_interrupted_can_be_tried_again) {
    static vs_hit hits[MANY];
    vs_vfs *memory = NULL;
    vt_rng rng = {vt_seed()};
    VT_EQ(vs_vfs_memory_create(NULL, &memory), VS_OK);
    vs_vfs vfs = *memory;
    vfs.ticks_us = clock_look;
    vs_db *db = sample_open(&vfs, "t.vs", VS_OPEN_CREATE);
    vs_collection *c = sample_create(db, NULL, "c", DIM, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    put_kinds(c, txn, MANY, &rng);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
    size_t n = search_all(c, NULL, zeros, 0, hits);
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    vs_cursor *cursor = NULL;
    options.timeout_ms = 1000; /* more looks than there are */
    VT_OK(vs_search_open(c, NULL, zeros, VS_F32, &options, &cursor), c);
    clock_of.db = db;
    for (size_t i = 0; i < n; i++) {
        vs_hit hit;
        vs_status st = VS_ROW;
        if (i == 0 || i == 64 || i == 320) { /* where a chunk begins */
            clock_of.left = 5;
            st = vs_step(cursor);
            VT_EQ(st, VS_ERR_INTERRUPTED);
            VT_EQ(vs_cursor_hit(cursor, &hit), VS_ERR_MISUSE);
        }
        VT_EQ(vs_step(cursor), VS_ROW);
        VT_OK(vs_cursor_hit(cursor, &hit), cursor);
        check_hit(&hit, &hits[i]);
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    options.timeout_ms = 1; /* twenty looks */
    VT_OK(vs_search_open(c, NULL, zeros, VS_F32, &options, &cursor), c);
    size_t found = 0;
    while (vs_step(cursor) == VS_ROW)
        found++;
    VT_EQ(vs_extended_errcode(cursor), VS_ERR_TIMEOUT);
    VT_CHECK(found == 0 || found == 64 || found == 320);
    vs_cursor_close(cursor);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    vs_vfs_memory_destroy(memory);
}

VT_TEST(without_memory_it_fails_and_goes_on_when_there_is_some_again) {
    enum { RECORDS = 400 };
    static vs_hit hits[RECORDS];
    vt_allocator memory = {0};
    vs_allocator allocator = {&memory, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    sample s = sample_new();
    vt_rng rng = {vt_seed()};
    VT_OK(vs_close(s.db), s.db);
    options.vfs = s.vfs;
    options.allocator = &allocator;
    VT_OK(vs_open("t.vs", &options, &s.db), s.db);
    vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2), *d = NULL;
    put_kinds(c, NULL, RECORDS, &rng);
    VT_OK(vs_collection_open(s.db, NULL, "c", &d), s.db);
    size_t n = search_all(d, NULL, zeros, 0, hits);
    uint64_t failures = 0;
    for (uint64_t at = 1; at < 40; at++) {
        vs_cursor *cursor = NULL;
        vs_hit hit;
        size_t i = 0;
        memory.fail_at = memory.calls + at;
        memory.failures = 0;
        if (vs_search_open(c, NULL, zeros, VS_F32, NULL, &cursor) != VS_OK) {
            VT_EQ(vs_extended_errcode(c), VS_ERR_NOMEM);
            VT_CHECK(cursor == NULL);
            failures++;
            VT_OK(vs_search_open(c, NULL, zeros, VS_F32, NULL, &cursor), c);
        }
        for (vs_status st = vs_step(cursor); st != VS_DONE; st = vs_step(cursor)) {
            if (st == VS_ERR_NOMEM) {
                failures++;
                continue;
            }
            VT_EQ(st, VS_ROW);
            VT_OK(vs_cursor_hit(cursor, &hit), cursor);
            check_hit(&hit, &hits[i++]);
        }
        VT_EQ(i, n);
        vs_cursor_close(cursor);
    }
    VT_CHECK(failures >= 5); /* the handle, the query, chunks, a long key */
    vs_collection_close(c);
    vs_collection_close(d);
    VT_OK(vs_close(s.db), s.db);
    VT_EQ(memory.live_blocks, 0);
    vs_vfs_memory_destroy(s.vfs);
}
