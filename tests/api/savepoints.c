/* savepoints.c - what going back to a savepoint restores, also of what is in the log or has left memory.
 *
 * Most tests run against a plain model of the content; each savepoint keeps a copy of it. */
#include "sample.h"

enum { KEYS = 40, NOTES = 4, COLLS = 2, DIM = 30, DEPTH_MAX = 12, BIG = 90000 };

/* ---- the model ------------------------------------------------------------------------------ */

/* Seeds of content, 0: none. */
typedef struct model {
    bool exists[COLLS];
    uint32_t record[COLLS][KEYS], note[NOTES];
} model;

typedef struct run {
    sample s;
    vs_open_options options;
    vs_collection *c[COLLS]; /* NULL: no handle */
    vs_txn *txn;             /* NULL: none */
    vt_rng rng;
    model committed, now, saved[DEPTH_MAX + 1];
    uint32_t depth;
    size_t text_max;
} run;

static void make_vector(uint32_t seed, float out[DIM]) {
    for (uint32_t i = 0; i < DIM; i++)
        out[i] = (float)(vt_mix(seed + i) % 512);
}

/* A JSON object; the length comes from the seed. */
static size_t make_text(const run *r, uint32_t seed, char *out) {
    size_t bytes = 10 + vt_mix(seed) % r->text_max;
    memcpy(out, "{\"t\":\"", 6);
    for (size_t i = 6; i < bytes - 2; i++)
        out[i] = (char)('a' + (seed + i) % 26);
    memcpy(out + bytes - 2, "\"}", 3);
    return bytes;
}

static int64_t still_us(void *ctx) {
    (void)ctx;
    return 1000000;
}

static void open_run(run *r, uint32_t flags) {
    r->options.flags = flags;
    r->options.vfs = r->s.vfs;
    VT_OK(vs_open("t.vs", &r->options, &r->s.db), r->s.db);
    for (int i = 0; i < COLLS; i++)
        r->c[i] = r->now.exists[i] ? sample_collection(r->s.db, i ? "b" : "a") : NULL;
}

static void run_with(run *r, uint64_t memory_limit, size_t text_max,
                     const vs_allocator *allocator) {
    memset(r, 0, sizeof *r);
    r->rng.state = vt_seed() + memory_limit + text_max;
    r->options = (vs_open_options)VS_OPEN_OPTIONS_INIT;
    r->options.memory_limit = memory_limit;
    r->options.sync = VS_SYNC_OFF;
    r->options.allocator = allocator;
    r->text_max = text_max;
    VT_EQ(vs_vfs_memory_create(NULL, &r->s.vfs), VS_OK);
    r->s.vfs->wall_us = still_us; /* it is part of the digest */
    open_run(r, VS_OPEN_CREATE);
}

static void run_new(run *r, uint64_t memory_limit, size_t text_max) {
    run_with(r, memory_limit, text_max, NULL);
}

static void close_handles(run *r) {
    for (int i = 0; i < COLLS; i++) {
        vs_collection_close(r->c[i]);
        r->c[i] = NULL;
    }
}

static void run_end(run *r) {
    close_handles(r);
    sample_end(&r->s);
}

/* ---- changes -------------------------------------------------------------------------------- */

static void begin(run *r) {
    r->txn = sample_begin(r->s.db, VS_TXN_WRITE);
    r->now = r->committed;
    r->depth = 0;
}

static void create(run *r, int c) {
    vs_collection_close(r->c[c]);
    r->c[c] = sample_create(r->s.db, r->txn, c ? "b" : "a", DIM, VS_F32, VS_L2);
    r->now.exists[c] = true;
}

static vs_status try_put(run *r, int c, uint64_t key, uint32_t seed) {
    static char text[BIG + 20];
    float vector[DIM];
    make_vector(seed, vector);
    make_text(r, seed, text);
    vs_status st = sample_try_put(r->c[c], r->txn, key, vector, text, VS_UPSERT);
    if (st == VS_OK)
        r->now.record[c][key] = seed;
    return st;
}

static void put(run *r, int c, uint64_t key, uint32_t seed) {
    VT_OK(try_put(r, c, key, seed), r->c[c]);
}

static void erase(run *r, int c, uint64_t key) {
    VT_EQ(vs_delete(r->c[c], r->txn, vs_key_u64(key)),
          r->now.record[c][key] ? VS_OK : VS_ERR_NOT_FOUND);
    r->now.record[c][key] = 0;
}

static void note(run *r, int i, uint32_t seed) {
    static char text[BIG + 20];
    char key = (char)('0' + i);
    size_t bytes = seed ? make_text(r, seed, text) : 0;
    VT_OK(vs_kv_put(r->s.db, r->txn, NULL, &key, 1, seed ? text : NULL, bytes), r->txn);
    r->now.note[i] = seed;
}

static uint32_t save(run *r) {
    uint32_t number = 0;
    VT_OK(vs_savepoint(r->txn, &number), r->txn);
    VT_EQ(number, ++r->depth);
    r->saved[number] = r->now;
    return number;
}

static void go_back(run *r, uint32_t number) {
    VT_OK(vs_rollback_to(r->txn, number), r->txn);
    r->depth = number;
    r->now = r->saved[number];
}

static void release(run *r, uint32_t number) {
    VT_OK(vs_release(r->txn, number), r->txn);
    r->depth = number - 1;
}

static void commit(run *r) {
    VT_OK(vs_commit(r->txn, VS_SYNC_OFF), r->s.db);
    r->txn = NULL;
    r->committed = r->now;
}

static void roll_back(run *r) {
    vs_rollback(r->txn);
    r->txn = NULL;
    r->now = r->committed;
}

/* ---- looking -------------------------------------------------------------------------------- */

static void check_record(const run *r, const vs_record *found, uint32_t seed) {
    static char text[BIG + 20];
    float vector[DIM];
    make_vector(seed, vector);
    VT_CHECK(!memcmp(found->vector, vector, sizeof vector));
    VT_EQ(found->metadata_bytes, make_text(r, seed, text));
    VT_CHECK(!memcmp(found->metadata, text, found->metadata_bytes));
}

static void check_coll(const run *r, vs_collection *c, vs_txn *txn, const uint32_t record[KEYS]) {
    uint64_t count = 0;
    vs_cursor *cursor = NULL;
    VT_OK(vs_scan(c, txn, NULL, &cursor), c);
    for (uint64_t key = 0; key < KEYS; key++) {
        vs_record found = VS_RECORD_INIT;
        vs_hit hit;
        size_t hits = 0;
        float vector[DIM];
        VT_EQ(vs_get(c, txn, vs_key_u64(key), &found), record[key] ? VS_OK : VS_ERR_NOT_FOUND);
        if (!record[key])
            continue;
        count++;
        check_record(r, &found, record[key]);
        VT_EQ(vs_step(cursor), VS_ROW);
        VT_OK(vs_cursor_record(cursor, &found), cursor);
        VT_EQ(found.key.number, key);
        check_record(r, &found, record[key]);
        make_vector(record[key], vector);
        VT_OK(vs_search(c, txn, vector, 0, 1, NULL, &hit, &hits), c);
        VT_CHECK(hits == 1 && hit.distance == 0);
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    VT_EQ(sample_count(c, txn), count);
}

static void check_content(run *r, vs_db *db, vs_txn *txn, const model *m) {
    static char text[BIG + 20], value[BIG + 20];
    for (int i = 0; i < COLLS; i++) {
        vs_collection *c = NULL;
        VT_EQ(vs_collection_open(db, txn, i ? "b" : "a", &c),
              m->exists[i] ? VS_OK : VS_ERR_NOT_FOUND);
        if (c)
            check_coll(r, c, txn, m->record[i]);
        vs_collection_close(c);
    }
    for (int i = 0; i < NOTES; i++) {
        char key = (char)('0' + i);
        size_t bytes = 0;
        vs_status st = vs_kv_get(db, txn, NULL, &key, 1, value, sizeof value, &bytes);
        VT_EQ(st, m->note[i] ? VS_OK : VS_ERR_NOT_FOUND);
        if (m->note[i])
            VT_CHECK(bytes == make_text(r, m->note[i], text) && !memcmp(value, text, bytes));
    }
}

static void check_txn(run *r) {
    check_content(r, r->s.db, r->txn, &r->now);
}

static void check_digest(vs_db *db, const uint64_t digest[2]) {
    vs_stats stats = sample_stats(db);
    VT_CHECK(stats.digest[0] == digest[0] && stats.digest[1] == digest[1]);
}

/* The files of a process that is killed now show what was committed, and so after a checkpoint and a close. */
static void check_recovery_within(run *r, uint64_t limit) {
    vs_stats stats = sample_stats(r->s.db);
    sample killed = {NULL, NULL};
    vs_open_options options = r->options;
    VT_EQ(vs_vfs_memory_create(NULL, &killed.vfs), VS_OK);
    VT_CHECK(sample_copy_file(r->s.vfs, killed.vfs, "t.vs"));
    for (int i = 1; i < 100; i++) {
        char path[32];
        snprintf(path, sizeof path, "t.vs-wal-%d", i);
        sample_copy_file(r->s.vfs, killed.vfs, path);
    }
    options.vfs = killed.vfs;
    options.memory_limit = limit;
    for (int round = 0; round < 2; round++) {
        VT_OK(vs_open("t.vs", &options, &killed.db), killed.db);
        check_digest(killed.db, stats.digest);
        check_content(r, killed.db, NULL, &r->committed);
        sample_check(killed.db);
        VT_OK(vs_checkpoint(killed.db), killed.db);
        sample_check(killed.db);
        VT_OK(vs_close(killed.db), NULL);
    }
    vs_vfs_memory_destroy(killed.vfs);
}

static void check_recovery(run *r) {
    check_recovery_within(r, VS_NO_LIMIT);
    check_recovery_within(r, 1);
}

/* ---- the rules ------------------------------------------------------------------------------ */

VT_TEST(going_back_drops_what_was_changed_since_and_the_savepoint_stays) {
    static run r;
    run_new(&r, 0, 40);
    begin(&r);
    create(&r, 0);
    put(&r, 0, 1, 11);
    put(&r, 0, 2, 12);
    note(&r, 0, 13);
    uint32_t one = save(&r);
    for (uint32_t round = 1; round < 4; round++) {
        put(&r, 0, 1, 100 + round);
        put(&r, 0, 3, 200 + round);
        erase(&r, 0, 2);
        note(&r, 0, 0);
        note(&r, 1, 300 + round);
        create(&r, 1);
        put(&r, 1, 5, 400 + round);
        check_txn(&r);
        go_back(&r, one);
        check_txn(&r);
    }
    put(&r, 0, 4, 14);
    release(&r, one);
    VT_EQ(vs_rollback_to(r.txn, one), VS_ERR_MISUSE);
    check_txn(&r);
    commit(&r);
    check_content(&r, r.s.db, NULL, &r.now);
    check_recovery(&r);
    run_end(&r);
}

VT_TEST(savepoints_nest_and_an_outer_one_ends_those_inside) {
    static run r;
    run_new(&r, 0, 40);
    begin(&r);
    create(&r, 0);
    for (uint32_t i = 1; i <= 6; i++) {
        VT_EQ(save(&r), i);
        put(&r, 0, i, i);
        put(&r, 0, 0, 50 + i);
    }
    go_back(&r, 5);
    check_txn(&r);
    VT_EQ(vs_rollback_to(r.txn, 6), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(r.txn), "savepoint 6 is not open: 1 to 5 are");
    release(&r, 4); /* and 5 */
    check_txn(&r);
    VT_EQ(vs_release(r.txn, 4), VS_ERR_MISUSE);
    VT_EQ(save(&r), 4);
    put(&r, 0, 20, 20);
    go_back(&r, 2);
    check_txn(&r);
    VT_EQ(save(&r), 3);
    put(&r, 0, 21, 21);
    commit(&r); /* ends all */
    check_content(&r, r.s.db, NULL, &r.now);
    check_recovery(&r);
    begin(&r);
    save(&r);
    put(&r, 0, 22, 22);
    save(&r);
    put(&r, 0, 23, 23);
    roll_back(&r);
    check_content(&r, r.s.db, NULL, &r.now);
    sample_check(r.s.db);
    run_end(&r);
}

VT_TEST(wrong_calls_are_told_what_is_open_and_change_nothing) {
    static run r;
    uint32_t number = 77;
    run_new(&r, 0, 40);
    VT_EQ(vs_savepoint(NULL, &number), VS_ERR_MISUSE);
    VT_EQ(vs_rollback_to(NULL, 1), VS_ERR_MISUSE);
    VT_EQ(vs_release(NULL, 1), VS_ERR_MISUSE);
    vs_txn *read = sample_begin(r.s.db, VS_TXN_READ);
    VT_EQ(vs_savepoint(read, &number), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(read), "read transaction");
    VT_EQ(vs_rollback_to(read, 1), VS_ERR_MISUSE);
    VT_EQ(vs_release(read, 1), VS_ERR_MISUSE);
    vs_rollback(read);
    begin(&r);
    VT_EQ(vs_savepoint(r.txn, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_rollback_to(r.txn, 1), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(r.txn), "savepoint 1 is not open: none is");
    VT_EQ(number, 77);
    create(&r, 0);
    save(&r);
    put(&r, 0, 1, 1);
    VT_EQ(vs_rollback_to(r.txn, 0), VS_ERR_MISUSE);
    VT_EQ(vs_rollback_to(r.txn, 2), VS_ERR_MISUSE);
    VT_EQ(vs_release(r.txn, 0), VS_ERR_MISUSE);
    VT_EQ(vs_release(r.txn, UINT32_MAX), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(r.txn), "1 to 1 are");
    check_txn(&r);
    go_back(&r, 1);
    check_txn(&r);
    roll_back(&r);
    run_end(&r);
}

VT_TEST(as_many_savepoints_as_the_limit_says_may_be_open) {
    sample s = sample_new();
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection *c = sample_create(s.db, txn, "c", 1, VS_F32, VS_L2);
    uint32_t number = 0;
    for (uint32_t i = 1; i <= VS_SAVEPOINTS_MAX; i++) {
        float v = (float)i;
        VT_OK(vs_savepoint(txn, &number), txn);
        VT_EQ(number, i);
        sample_put(c, txn, i, &v, NULL);
    }
    VT_EQ(vs_savepoint(txn, &number), VS_ERR_LIMIT);
    VT_EQ(number, VS_SAVEPOINTS_MAX);
    VT_OK(vs_rollback_to(txn, VS_SAVEPOINTS_MAX), txn);
    VT_EQ(sample_count(c, txn), VS_SAVEPOINTS_MAX - 1);
    VT_OK(vs_rollback_to(txn, 500), txn);
    VT_EQ(sample_count(c, txn), 499);
    VT_OK(vs_release(txn, 1), txn);
    VT_OK(vs_savepoint(txn, &number), txn);
    VT_EQ(number, 1);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
    VT_EQ(sample_count(c, NULL), 499);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- what else a transaction has ------------------------------------------------------------ */

VT_TEST(a_cursor_goes_on_behind_what_it_has_shown) {
    static run r;
    vs_cursor *cursor = NULL;
    vs_record record = VS_RECORD_INIT;
    run_new(&r, 0, 40);
    begin(&r);
    create(&r, 0);
    for (uint64_t key = 0; key < KEYS; key += 2)
        put(&r, 0, key, (uint32_t)key + 1);
    uint32_t one = save(&r);
    for (uint64_t key = 1; key < KEYS; key += 2)
        put(&r, 0, key, 100 + (uint32_t)key);
    erase(&r, 0, 10);
    VT_OK(vs_scan(r.c[0], r.txn, NULL, &cursor), r.c[0]);
    for (uint64_t key = 0; key < 6; key++)
        VT_EQ(vs_step(cursor), VS_ROW);
    VT_OK(vs_cursor_record(cursor, &record), cursor);
    VT_EQ(record.key.number, 5);
    go_back(&r, one);
    VT_EQ(vs_cursor_record(cursor, &record), VS_ERR_NOT_FOUND);
    for (uint64_t key = 6; key < KEYS; key += 2) {
        VT_EQ(vs_step(cursor), VS_ROW);
        VT_OK(vs_cursor_record(cursor, &record), cursor);
        VT_EQ(record.key.number, key);
        check_record(&r, &record, r.now.record[0][key]);
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    put(&r, 0, KEYS - 1, 9);
    VT_EQ(vs_step(cursor), VS_ROW);
    go_back(&r, one);
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    commit(&r);
    run_end(&r);
}

VT_TEST(a_collection_created_since_is_gone_and_its_handles_lead_nowhere) {
    static run r;
    vs_cursor *cursor = NULL;
    uint64_t count = 0;
    float v[DIM] = {0};
    run_new(&r, 0, 40);
    begin(&r);
    uint32_t one = save(&r);
    create(&r, 0);
    put(&r, 0, 1, 1);
    VT_OK(vs_scan(r.c[0], r.txn, NULL, &cursor), r.c[0]);
    go_back(&r, one);
    VT_EQ(vs_count(r.c[0], r.txn, &count), VS_ERR_NOT_FOUND);
    VT_EQ(sample_try_put(r.c[0], r.txn, 1, v, NULL, VS_UPSERT), VS_ERR_NOT_FOUND);
    VT_EQ(vs_step(cursor), VS_ERR_MISUSE);
    vs_cursor_close(cursor);
    check_txn(&r);
    vs_collection *old = r.c[0];
    r.c[0] = NULL;
    create(&r, 0); /* the name is free again, for another one */
    put(&r, 0, 2, 2);
    VT_EQ(vs_count(old, r.txn, &count), VS_ERR_NOT_FOUND);
    vs_collection_close(old);
    commit(&r);
    check_content(&r, r.s.db, NULL, &r.now);
    check_recovery(&r);
    run_end(&r);
}

VT_TEST(a_failed_call_undoes_itself_and_not_the_savepoint) {
    static run r;
    float rows[4][DIM] = {{1}, {2}, {3}, {4}};
    uint64_t keys[4] = {31, 32, 33, 1};
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 4;
    batch.numbers = keys;
    batch.vectors = rows;
    run_new(&r, 0, 40);
    begin(&r);
    create(&r, 0);
    put(&r, 0, 1, 1);
    uint32_t one = save(&r);
    put(&r, 0, 2, 2);
    VT_EQ(vs_put_batch(r.c[0], r.txn, &batch, VS_INSERT), VS_ERR_EXISTS);
    check_txn(&r);
    uint32_t two = save(&r);
    erase(&r, 0, 1);
    VT_OK(vs_put_batch(r.c[0], r.txn, &batch, VS_INSERT), r.c[0]);
    go_back(&r, two);
    VT_EQ(vs_put_batch(r.c[0], r.txn, &batch, VS_INSERT), VS_ERR_EXISTS);
    check_txn(&r);
    go_back(&r, one);
    check_txn(&r);
    commit(&r);
    check_recovery(&r);
    run_end(&r);
}

VT_TEST(slots_taken_since_are_used_again) {
    static run r;
    run_new(&r, 0, 40);
    begin(&r);
    create(&r, 0);
    for (uint64_t key = 0; key < KEYS; key++)
        put(&r, 0, key, 1 + (uint32_t)key);
    commit(&r);
    for (uint64_t key = 0; key < KEYS; key += 2) {
        begin(&r);
        erase(&r, 0, key);
        commit(&r);
    }
    VT_OK(vs_checkpoint(r.s.db), r.s.db);
    uint64_t before = sample_stats(r.s.db).file_bytes;
    begin(&r);
    uint32_t one = save(&r);
    for (uint32_t round = 0; round < 300; round++) {
        for (uint64_t key = 0; key < KEYS; key++)
            put(&r, 0, key, 1000 * round + (uint32_t)key + 7);
        go_back(&r, one);
    }
    put(&r, 0, 0, 5);
    commit(&r);
    check_content(&r, r.s.db, NULL, &r.now);
    VT_OK(vs_checkpoint(r.s.db), r.s.db);
    VT_CHECK(sample_stats(r.s.db).file_bytes <= before + 20 * 4096 + 65536);
    sample_check(r.s.db);
    check_recovery(&r);
    run_end(&r);
}

VT_TEST(what_did_not_reach_the_log_before_it_was_dropped_never_does) {
    static run r;
    uint64_t bytes[2];
    for (int uses = 0; uses < 2; uses++) {
        run_new(&r, 0, 2000);
        begin(&r);
        create(&r, 0);
        put(&r, 0, 1, 1);
        for (uint32_t i = 0; uses && i < 5; i++) {
            uint32_t number = save(&r);
            put(&r, 0, 2, 100 + i);
            note(&r, 1, 200 + i);
            go_back(&r, number);
            if (i % 2)
                release(&r, number);
        }
        put(&r, 0, 3, 3);
        commit(&r);
        bytes[uses] = sample_stats(r.s.db).log_bytes;
        check_recovery(&r);
        run_end(&r);
    }
    VT_EQ(bytes[0], bytes[1]);
}

/* ---- in the log ----------------------------------------------------------------------------- */

/* More than a transaction holds back from the log. */
static void put_much(run *r, uint32_t seed) {
    for (uint32_t i = 0; i < KEYS; i++)
        put(r, (int)(i % 2), (seed + i * 7) % KEYS, seed * 100 + i + 1);
}

static void begin_much(run *r, uint64_t memory_limit) {
    run_new(r, memory_limit, BIG);
    begin(r);
    create(r, 0);
    create(r, 1);
    put_much(r, 1);
    commit(r);
}

VT_TEST(going_back_reaches_what_is_in_the_log_already) {
    static run r;
    for (uint64_t limit = 0; limit < 2; limit++) {
        begin_much(&r, limit);
        uint64_t before = sample_stats(r.s.db).log_bytes;
        begin(&r);
        note(&r, 0, 5);
        uint32_t one = save(&r);
        put_much(&r, 2);
        VT_CHECK(sample_stats(r.s.db).log_bytes > before); /* streamed */
        go_back(&r, one);
        check_txn(&r);
        commit(&r);
        check_content(&r, r.s.db, NULL, &r.now);
        check_recovery(&r);
        begin(&r);
        one = save(&r);
        put_much(&r, 3);
        uint32_t two = save(&r);
        erase(&r, 0, 0);
        put_much(&r, 4);
        go_back(&r, two);
        put(&r, 0, 0, 77);
        release(&r, two);
        put_much(&r, 5);
        go_back(&r, one);
        put_much(&r, 6);
        check_txn(&r);
        commit(&r);
        check_recovery(&r);
        run_end(&r);
    }
}

/* A released savepoint's number comes back in the log for another one. */
VT_TEST(numbers_are_used_again_also_in_the_log) {
    static run r;
    begin_much(&r, 0);
    begin(&r);
    for (uint32_t round = 10; round < 16; round++) {
        uint32_t one = save(&r);
        put_much(&r, round);
        uint32_t two = save(&r);
        put_much(&r, round + 20);
        if (round % 2)
            release(&r, two);
        else
            go_back(&r, two);
        put_much(&r, round + 40);
        if (round % 3)
            release(&r, one);
        else
            go_back(&r, one);
        if (r.depth)
            release(&r, one);
        put(&r, 1, 3, round);
    }
    check_txn(&r);
    commit(&r);
    check_recovery(&r);
    check_recovery_within(&r, 1);
    run_end(&r);
}

VT_TEST(a_transaction_that_went_back_and_ends_without_a_commit_leaves_nothing) {
    static run r;
    for (uint64_t limit = 0; limit < 2; limit++) {
        begin_much(&r, limit);
        for (uint32_t round = 0; round < 4; round++) {
            begin(&r);
            uint32_t one = save(&r);
            put_much(&r, 30 + round);
            save(&r);
            put_much(&r, 40 + round);
            if (round % 2)
                go_back(&r, one);
            put_much(&r, 50 + round);
            roll_back(&r);
            check_content(&r, r.s.db, NULL, &r.committed);
        }
        check_recovery(&r);
        begin(&r);
        put(&r, 0, 1, 60);
        commit(&r);
        check_recovery_within(&r, 1);
        sample_check(r.s.db);
        run_end(&r);
    }
}

/* ---- random programs ------------------------------------------------------------------------ */

static void random_step(run *r) {
    uint64_t what = vt_below(&r->rng, 100);
    int c = (int)vt_below(&r->rng, COLLS);
    uint32_t seed = 1 + (uint32_t)vt_below(&r->rng, 1u << 30);
    if (what < 12 && r->depth < DEPTH_MAX)
        save(r);
    else if (what < 20 && r->depth)
        go_back(r, 1 + (uint32_t)vt_below(&r->rng, r->depth));
    else if (what < 25 && r->depth)
        release(r, 1 + (uint32_t)vt_below(&r->rng, r->depth));
    else if (!r->now.exists[c])
        create(r, c);
    else if (what < 80)
        put(r, c, vt_below(&r->rng, KEYS), seed);
    else if (what < 90)
        erase(r, c, vt_below(&r->rng, KEYS));
    else
        note(r, (int)vt_below(&r->rng, NOTES), vt_below(&r->rng, 4) ? seed : 0);
}

static void run_random(run *r, int txns, int steps) {
    for (int t = 0; t < txns; t++) {
        begin(r);
        for (int i = 0; i < steps; i++) {
            random_step(r);
            if (vt_below(&r->rng, 12) == 0)
                check_txn(r);
        }
        check_txn(r);
        if (vt_below(&r->rng, 4))
            commit(r);
        else
            roll_back(r);
        close_handles(r);
        check_content(r, r->s.db, NULL, &r->committed);
        if (vt_below(&r->rng, 3) == 0)
            VT_OK(vs_checkpoint(r->s.db), r->s.db);
        sample_check(r->s.db);
        check_recovery(r);
        for (int i = 0; i < COLLS; i++)
            r->c[i] = r->now.exists[i] ? sample_collection(r->s.db, i ? "b" : "a") : NULL;
    }
}

VT_TEST(random_programs_do_as_the_model) {
    static run r;
    run_new(&r, 0, 300);
    run_random(&r, 12, 300);
    run_end(&r);
}

VT_TEST(random_programs_that_stream_do_as_the_model) {
    static run r;
    run_new(&r, 0, BIG);
    run_random(&r, 6, 300);
    run_end(&r);
}

VT_TEST(random_programs_with_hardly_any_memory_do_as_the_model) {
    static run r;
    run_new(&r, 1, BIG);
    run_random(&r, 6, 300);
    run_end(&r);
    run_new(&r, 1, 3000);
    run_random(&r, 6, 600);
    run_end(&r);
}

/* ---- failures ------------------------------------------------------------------------------- */

static vt_allocator counter;

/* One transaction in which the allocation of this number fails; going back and releasing always succeed. */
static void run_hungry(run *r, uint64_t at) {
    begin(r);
    counter.fail_at = counter.calls + at;
    for (int i = 0; i < 60; i++) {
        uint32_t number = 0, seed = 1 + (uint32_t)vt_below(&r->rng, 1000000);
        uint64_t what = vt_below(&r->rng, 10);
        if (what < 2 && r->depth < DEPTH_MAX) {
            vs_status st = vs_savepoint(r->txn, &number);
            VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
            if (st == VS_OK)
                r->saved[++r->depth] = r->now;
            VT_EQ(number, st == VS_OK ? r->depth : 0);
        } else if (what < 3 && r->depth) {
            go_back(r, 1 + (uint32_t)vt_below(&r->rng, r->depth));
        } else if (what < 4 && r->depth) {
            release(r, 1 + (uint32_t)vt_below(&r->rng, r->depth));
        } else {
            vs_status st = try_put(r, (int)what % 2, vt_below(&r->rng, KEYS), seed);
            VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        }
    }
    uint64_t left = counter.fail_at > counter.calls ? counter.fail_at - counter.calls : 0;
    counter.fail_at = 0;
    check_txn(r);
    counter.fail_at = left ? counter.calls + left : 0;
    vs_status st = vs_commit(r->txn, VS_SYNC_OFF);
    counter.fail_at = 0;
    r->txn = NULL;
    VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
    if (st == VS_OK)
        r->committed = r->now;
    check_content(r, r->s.db, NULL, &r->committed);
}

VT_TEST(a_call_without_memory_changes_nothing_and_going_back_needs_none) {
    static run r;
    vs_allocator allocator = {&counter, vt_realloc};
    static const size_t text_max[] = {300, BIG};
    for (uint64_t kind = 0; kind < 4; kind++) {
        memset(&counter, 0, sizeof counter);
        run_with(&r, kind / 2, text_max[kind % 2], &allocator);
        begin(&r);
        create(&r, 0);
        create(&r, 1);
        commit(&r);
        uint64_t dense = getenv("VT_LONG") ? 40 : 16;
        for (uint64_t at = 1, step = 1; at < 2500; at += step, step += at / dense) {
            r.rng.state = at;
            run_hungry(&r, at);
            if (at % 5 == 0)
                sample_check(r.s.db);
        }
        VT_CHECK(counter.failures > 20);
        check_recovery_within(&r, VS_NO_LIMIT);
        run_end(&r);
        VT_EQ(counter.live_blocks, 0);
    }
}

static struct {
    const vs_vfs *below;
    int fails; /* so many writes fail */
} disk;

static vs_status disk_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    if (disk.fails) {
        disk.fails--;
        return VS_ERR_FULL;
    }
    return disk.below->write(ctx, file, buf, bytes, offset, out_bytes, why);
}

VT_TEST(streaming_that_fails_leaves_the_savepoints_as_they_were) {
    static run r;
    static vs_vfs below;
    for (uint64_t limit = 0; limit < 2; limit++) {
        begin_much(&r, limit);
        below = *r.s.vfs;
        disk.below = &below;
        r.s.vfs->write = disk_write; /* the handle uses the same struct */
        int failed = 0;
        for (uint32_t round = 0; round < 12; round++) {
            begin(&r);
            uint32_t one = save(&r);
            for (uint32_t i = 0; i < 2 * KEYS; i++) {
                disk.fails = i % (3 + round) == 0 ? 1 + (int)(round % 3) : 0;
                vs_status st = try_put(&r, (int)(i % 2), i % KEYS, 1000 * round + i + 1);
                failed += st != VS_OK;
                VT_CHECK(st == VS_OK || st == VS_ERR_FULL);
                disk.fails = 0;
                if (i == KEYS / 2)
                    save(&r);
                if (i == KEYS && round % 2)
                    go_back(&r, 2);
            }
            check_txn(&r);
            if (round % 3 == 0)
                go_back(&r, one);
            put(&r, 0, 7, 5 + round);
            check_txn(&r);
            commit(&r);
            check_content(&r, r.s.db, NULL, &r.committed);
            check_recovery_within(&r, VS_NO_LIMIT);
        }
        VT_CHECK(failed > 0);
        sample_check(r.s.db);
        run_end(&r);
    }
}
