/* limit.c - databases larger than their memory limit: answers and commits are those without one, and memory
 * stays near it.
 *
 * Most tests do the same to two databases, one with a small limit and one without any. */
#include "sample.h"

/* ---- what the limit grants ------------------------------------------------------------------ */

/* All memory of a database may exceed the limit by what lasts while it is in use: 1 MiB of operations that
 * are staged before they go to the log, in a buffer that doubles, and a frame of them; what the largest
 * value or a slab needs; the parts that are always there. */
enum { MIB = 1 << 20, LIMIT = 2 * MIB, FIXED = 5 * MIB };

static uint64_t bound_of(uint64_t limit) {
    return limit == VS_NO_LIMIT ? limit : limit + limit / 10 + FIXED;
}

static uint64_t most_bytes; /* seen by look, of databases with a limit */
static bool is_blind;       /* look sees nothing: for what may take more memory */

/* After every call. */
static void look(vs_db *db) {
    vs_stats stats = sample_stats(db);
    if (is_blind || stats.memory_limit == VS_NO_LIMIT)
        return;
    most_bytes = stats.memory_bytes > most_bytes ? stats.memory_bytes : most_bytes;
    if (stats.memory_bytes > bound_of(stats.memory_limit))
        vt_fail(__FILE__, __LINE__, "%llu bytes of memory, the limit is %llu",
                (unsigned long long)stats.memory_bytes, (unsigned long long)stats.memory_limit);
}

static vs_db *open_limited(const vs_vfs *vfs, uint32_t flags, uint64_t limit) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.vfs = vfs;
    options.flags = flags;
    options.memory_limit = limit;
    options.sync = VS_SYNC_OFF;
    VT_OK(vs_open("t.vs", &options, &db), db);
    VT_CHECK(sample_stats(db).memory_limit == limit);
    look(db);
    return db;
}

/* The digest has the time of creation; here it is always the same. */
static int64_t still_us(void *ctx) {
    (void)ctx;
    return 1000000;
}

static sample new_limited(uint64_t limit) {
    sample s = {NULL, NULL};
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    s.vfs->wall_us = still_us;
    s.db = open_limited(s.vfs, VS_OPEN_CREATE, limit);
    return s;
}

static void reopen_limited(sample *s, uint64_t limit) {
    VT_OK(vs_close(s->db), s->db);
    s->db = open_limited(s->vfs, 0, limit);
}

/* All files as they are now, as a process that is killed leaves them. */
static vs_vfs *copy_files(vs_vfs *from) {
    vs_vfs *to = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &to), VS_OK);
    to->wall_us = still_us;
    VT_CHECK(sample_copy_file(from, to, "t.vs"));
    for (int i = 1; i < 200; i++) {
        char path[32];
        snprintf(path, sizeof path, "t.vs-wal-%d", i);
        sample_copy_file(from, to, path);
    }
    return to;
}

static sample kill_limited(const sample *s, uint64_t limit) {
    sample copy = {copy_files(s->vfs), NULL};
    copy.db = open_limited(copy.vfs, 0, limit);
    return copy;
}

/* ---- some of everything --------------------------------------------------------------------- */

enum { COLLS = 6, BATCH = 400, NOTES = 20, K = 9, DIM_MAX = 400 };

/* Every type and metric: together about 8 MiB of vectors, 2 MiB of metadata and 2 MiB of notes. */
static const struct shape {
    const char *name;
    uint32_t dim;
    int type, metric;
    uint64_t records;
} shapes[COLLS] = {
    {"f32 l2", 128, VS_F32, VS_L2, 4000},      {"f32 ip", 250, VS_F32, VS_IP, 2000},
    {"f32 cos", 300, VS_F32, VS_COSINE, 1600}, {"u8 l2", 200, VS_U8, VS_L2, 3000},
    {"u8 ip", 77, VS_U8, VS_IP, 4000},         {"u8 cos", 400, VS_U8, VS_COSINE, 2000}};

static const void *vector_of(const struct shape *shape, uint64_t key, uint64_t round) {
    static float floats[DIM_MAX];
    static uint8_t bytes[DIM_MAX];
    uint64_t mixed = 0;
    for (uint32_t d = 0; d < shape->dim; d++) {
        mixed = d % 8 ? mixed >> 8 : vt_mix(key * 1000003 + round * 101 + d);
        bytes[d] = (uint8_t)mixed;
        floats[d] = (float)bytes[d] / 16;
    }
    return shape->type == VS_F32 ? (const void *)floats : (const void *)bytes;
}

/* A JSON object of so many bytes, at least 8. */
static const char *text_of(size_t bytes, uint64_t seed) {
    static char text[VS_METADATA_BYTES_MAX + 1];
    memcpy(text, "{\"t\":\"", 6);
    for (size_t i = 6; i < bytes - 2; i++)
        text[i] = (char)('a' + (seed + i * 7 + i / 26) % 26);
    memcpy(text + bytes - 2, "\"}", 3);
    return text;
}

static size_t text_bytes(uint64_t key, uint64_t round) {
    uint64_t what = vt_mix(key * 31 + round);
    return what % 200 == 0 ? 5000 : what % 11 == 0 ? 1320 : 8 + what % 60;
}

static const char *metadata_of(uint64_t key, uint64_t round) {
    return key % 3 ? text_of(text_bytes(key, round), key + round) : NULL;
}

static size_t note_bytes(uint64_t key, uint64_t round) {
    return key == 7 ? VS_KV_VALUE_BYTES_MAX - (size_t)round
                    : (size_t)(vt_mix(key + round) % 130000);
}

static void put_note(vs_db *db, vs_txn *txn, vs_collection *c, uint8_t key, uint64_t round) {
    size_t bytes = note_bytes(key, round);
    const char *text = text_of(bytes < 8 ? 8 : bytes, key + round);
    VT_OK(vs_kv_put(db, txn, c, &key, 1, text, bytes), txn ? (void *)txn : (void *)db);
    look(db);
}

static void put_record(vs_db *db, vs_txn *txn, vs_collection *c, const struct shape *shape,
                       uint64_t key, uint64_t round) {
    sample_put(c, txn, key, vector_of(shape, key, round), metadata_of(key, round));
    look(db);
}

/* One change of a round: 0 puts all records, each later one replaces a quarter and deletes a few. */
static void change_record(vs_db *db, vs_txn *txn, vs_collection *c, const struct shape *shape,
                          uint64_t key, uint64_t round) {
    uint64_t what = round ? vt_mix(key + round * 7) % 32 : 0;
    if (what == 31 && sample_has(c, txn, key))
        VT_OK(vs_delete(c, txn, vs_key_u64(key)), c);
    else if (what < 8)
        put_record(db, txn, c, shape, key, round);
    look(db);
}

/* A transaction every BATCH records, or all in the one given; one record in `thinning`. */
static void change(vs_db *db, vs_txn *given, uint64_t round, uint64_t thinning) {
    for (int i = 0; i < COLLS; i++) {
        const struct shape *shape = &shapes[i];
        vs_txn *txn = given ? given : sample_begin(db, VS_TXN_WRITE);
        vs_collection *c = NULL;
        if (round == 0)
            c = sample_create(db, txn, shape->name, shape->dim, shape->type, shape->metric);
        else
            VT_OK(vs_collection_open(db, txn, shape->name, &c), db);
        for (uint64_t key = 1; key <= shape->records / thinning; key++) {
            change_record(db, txn, c, shape, key, round);
            if (!given && key % BATCH == 0) {
                VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
                look(db);
                txn = sample_begin(db, VS_TXN_WRITE);
            }
        }
        for (uint8_t key = (uint8_t)i; key < NOTES / thinning; key += COLLS)
            put_note(db, txn, key % 2 ? c : NULL, key, round);
        if (!given)
            VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
        vs_collection_close(c);
        look(db);
    }
}

/* ---- questions and answers ------------------------------------------------------------------ */

typedef struct answer {
    uint64_t scans[COLLS], gets[COLLS], hits[COLLS], notes;
} answer;

static uint64_t mix_bytes(uint64_t hash, const void *data, size_t bytes) {
    const uint8_t *p = data;
    uint64_t word = 0;
    size_t i = 0;
    for (; i + sizeof word <= bytes; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    for (; i < bytes; i++)
        hash = (hash ^ p[i]) * 0x100000001b3;
    return vt_mix(hash + bytes);
}

static uint64_t mix_record(uint64_t hash, const struct shape *shape, const vs_record *r) {
    hash = mix_bytes(hash, &r->key, sizeof r->key);
    hash = mix_bytes(hash, r->vector, shape->dim * (shape->type == VS_F32 ? 4u : 1u));
    return mix_bytes(hash, r->metadata, r->metadata_bytes);
}

static uint64_t ask_scan(vs_db *db, vs_txn *txn, vs_collection *c, const struct shape *shape) {
    vs_cursor *cursor = NULL;
    uint64_t hash = 1;
    vs_status st;
    VT_OK(vs_scan(c, txn, NULL, &cursor), c);
    while ((st = vs_step(cursor)) == VS_ROW) {
        vs_record r = VS_RECORD_INIT;
        VT_OK(vs_cursor_record(cursor, &r), cursor);
        hash = mix_record(hash, shape, &r);
        look(db);
    }
    VT_EQ(st, VS_DONE);
    vs_cursor_close(cursor);
    look(db);
    return hash;
}

static uint64_t ask_gets(vs_db *db, vs_txn *txn, vs_collection *c, const struct shape *shape) {
    uint64_t hash = sample_count(c, txn), step = 1 + shape->records / 60;
    for (uint64_t key = shape->records; key > step; key -= step) { /* against the order of a scan */
        vs_record r = VS_RECORD_INIT;
        vs_status st = vs_get(c, txn, vs_key_u64(key), &r);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
        hash = st == VS_OK ? mix_record(hash, shape, &r) : vt_mix(hash);
        look(db);
    }
    return hash;
}

static uint64_t ask_search(vs_db *db, vs_txn *txn, vs_collection *c, const struct shape *shape) {
    uint64_t hash = 2;
    for (uint64_t query = 0; query < 3; query++) {
        vs_hit hits[K];
        size_t n = 0;
        memset(hits, 0, sizeof hits);
        VT_OK(vs_search(c, txn, vector_of(shape, 5 + query, query * 50), 0, K, NULL, hits, &n), c);
        hash = mix_bytes(hash + n, hits, sizeof hits);
        look(db);
    }
    return hash;
}

static uint64_t ask_notes(vs_db *db, vs_txn *txn, vs_collection *const c[COLLS]) {
    static uint8_t value[VS_KV_VALUE_BYTES_MAX];
    uint64_t hash = 3;
    for (uint8_t key = 0; key < NOTES; key++) {
        size_t bytes = 0;
        vs_status st = vs_kv_get(db, txn, key % 2 ? c[key % COLLS] : NULL, &key, 1, value,
                                 sizeof value, &bytes);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
        hash = st == VS_OK ? mix_bytes(hash, value, bytes) : vt_mix(hash);
        look(db);
    }
    return hash;
}

static answer ask(vs_db *db, vs_txn *txn) {
    answer a;
    vs_collection *c[COLLS] = {NULL};
    for (int i = 0; i < COLLS; i++) {
        VT_OK(vs_collection_open(db, txn, shapes[i].name, &c[i]), db);
        a.hits[i] = ask_search(db, txn, c[i], &shapes[i]);
        a.gets[i] = ask_gets(db, txn, c[i], &shapes[i]);
        a.scans[i] = ask_scan(db, txn, c[i], &shapes[i]);
    }
    a.notes = ask_notes(db, txn, c);
    for (int i = 0; i < COLLS; i++)
        vs_collection_close(c[i]);
    return a;
}

static void check_same(const answer *found, const answer *expected) {
    for (int i = 0; i < COLLS; i++) {
        VT_CHECK(found->hits[i] == expected->hits[i]);
        VT_CHECK(found->gets[i] == expected->gets[i]);
        VT_CHECK(found->scans[i] == expected->scans[i]);
    }
    VT_CHECK(found->notes == expected->notes);
}

static void check_answers(vs_db *db, vs_txn *txn, const answer *expected) {
    answer found = ask(db, txn);
    check_same(&found, expected);
}

static void check_digest(vs_db *db, vs_stats expected) {
    vs_stats found = sample_stats(db);
    VT_CHECK(found.digest[0] == expected.digest[0] && found.digest[1] == expected.digest[1]);
}

/* ---- answers -------------------------------------------------------------------------------- */

static void check_limit(uint64_t limit, uint64_t thinning, uint64_t rounds) {
    sample tight = new_limited(limit), loose = new_limited(VS_NO_LIMIT);
    answer expected;
    most_bytes = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        change(tight.db, NULL, round, thinning);
        change(loose.db, NULL, round, thinning);
        expected = ask(loose.db, NULL);
        check_digest(tight.db, sample_stats(loose.db));
        check_answers(tight.db, NULL, &expected);
        VT_OK(vs_checkpoint(tight.db), tight.db);
        look(tight.db);
        check_answers(tight.db, NULL, &expected);
        sample_check(tight.db);
        look(tight.db);
    }
    uint64_t loose_bytes = sample_stats(loose.db).memory_bytes;
    reopen_limited(&tight, limit);
    check_answers(tight.db, NULL, &expected);
    printf("limit %.3f MiB: at most %.2f MiB of memory, without a limit %.2f\n",
           limit == VS_NO_LIMIT ? -1.0 : (double)limit / MIB, (double)most_bytes / MIB,
           (double)loose_bytes / MIB);
    sample_end(&tight);
    sample_end(&loose);
}

VT_TEST(with_little_memory_all_answers_are_those_of_a_database_without_a_limit) {
    check_limit(LIMIT, 1, 2);
}

VT_TEST(with_a_limit_of_one_byte_all_answers_are_the_same) {
    check_limit(1, 20, 2);
}

VT_TEST(with_a_limit_of_a_quarter_mebibyte_and_a_default_one_all_answers_are_the_same) {
    check_limit(MIB / 4, 8, 2);
    check_limit(64 * MIB, 8, 2); /* all fits */
}

VT_TEST(limits_are_as_the_options_say_and_no_limit_evicts_nothing) {
    sample s = {NULL, NULL};
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    s.db = sample_open(s.vfs, "t.vs", VS_OPEN_CREATE);
    VT_EQ(sample_stats(s.db).memory_limit, 1 << 30); /* as the header says */
    change(s.db, NULL, 0, 8);
    VT_OK(vs_close(s.db), s.db);
    s.db = open_limited(s.vfs, 0, VS_NO_LIMIT);
    VT_CHECK(sample_stats(s.db).memory_limit == VS_NO_LIMIT);
    answer first = ask(s.db, NULL);
    uint64_t bytes = sample_stats(s.db).memory_bytes;
    check_answers(s.db, NULL, &first);
    VT_EQ(sample_stats(s.db).memory_bytes, bytes); /* all is there already */
    sample_end(&s);
}

/* ---- a read-only database ------------------------------------------------------------------- */

VT_TEST(a_read_only_database_with_little_memory_answers_and_changes_no_file) {
    sample s = new_limited(VS_NO_LIMIT);
    change(s.db, NULL, 0, 2);
    answer expected = ask(s.db, NULL);
    VT_OK(vs_close(s.db), s.db);
    uint64_t bytes = sample_file_bytes(s.vfs);
    static const uint64_t limits[] = {1, MIB};
    for (int i = 0; i < 2; i++) {
        s.db = open_limited(s.vfs, VS_OPEN_READONLY, limits[i]);
        check_answers(s.db, NULL, &expected);
        sample_check(s.db);
        look(s.db);
        VT_OK(vs_close(s.db), s.db);
        VT_EQ(sample_file_bytes(s.vfs), bytes);
    }
    s.db = open_limited(s.vfs, 0, VS_NO_LIMIT);
    sample_end(&s);
}

/* Nothing may be written, so what the log changed stays in memory: only answers count. */
VT_TEST(a_read_only_database_recovers_a_log_larger_than_its_limit) {
    sample s = new_limited(VS_NO_LIMIT);
    change(s.db, NULL, 0, 8);
    answer expected = ask(s.db, NULL);
    sample killed = {copy_files(s.vfs), NULL};
    uint64_t bytes = sample_file_bytes(killed.vfs);
    is_blind = true;
    killed.db = open_limited(killed.vfs, VS_OPEN_READONLY, MIB / 4);
    VT_CHECK(sample_stats(killed.db).recovered_txns > COLLS);
    check_answers(killed.db, NULL, &expected);
    sample_check(killed.db);
    VT_EQ(sample_file_bytes(killed.vfs), bytes);
    VT_OK(vs_close(killed.db), killed.db);
    is_blind = false;
    vs_vfs_memory_destroy(killed.vfs);
    sample_end(&s);
}

/* ---- one transaction larger than the limit -------------------------------------------------- */

VT_TEST(a_transaction_larger_than_the_limit_commits_as_one_without_a_limit) {
    sample tight = new_limited(LIMIT), loose = new_limited(VS_NO_LIMIT);
    most_bytes = 0;
    for (uint64_t round = 0; round < 2; round++) {
        vs_txn *txn = sample_begin(tight.db, VS_TXN_WRITE);
        change(tight.db, txn, round, 1);
        change(loose.db, NULL, round, 1);
        answer expected = ask(loose.db, NULL);
        check_answers(tight.db, txn, &expected); /* before anybody else sees it */
        VT_OK(vs_commit(txn, VS_SYNC_FULL), tight.db);
        look(tight.db);
        check_digest(tight.db, sample_stats(loose.db));
        check_answers(tight.db, NULL, &expected);
        sample killed = kill_limited(&tight, LIMIT);
        check_digest(killed.db, sample_stats(loose.db));
        if (round == 1)
            check_answers(killed.db, NULL, &expected);
        sample_check(killed.db);
        sample_end(&killed);
        reopen_limited(&tight, LIMIT);
        if (round == 0)
            check_answers(tight.db, NULL, &expected);
        sample_check(tight.db);
    }
    printf("large transactions: at most %.2f MiB of memory, the file has %.2f\n",
           (double)most_bytes / MIB, (double)sample_file_bytes(tight.vfs) / MIB);
    sample_end(&tight);
    sample_end(&loose);
}

/* Rolled back, the transaction leaves the state, and no page that is not used again. */
VT_TEST(a_transaction_larger_than_the_limit_rolls_back_to_the_state_before_and_leaks_no_page) {
    enum { TIMES = 10, GROWS = 4 };
    sample s = new_limited(MIB / 2);
    uint64_t most = 0;
    change(s.db, NULL, 0, 4);
    VT_OK(vs_checkpoint(s.db), s.db);
    vs_stats before = sample_stats(s.db);
    answer expected = ask(s.db, NULL);
    for (int i = 0; i < TIMES; i++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        change(s.db, txn, 1, 2);
        change(s.db, txn, 2, 2);
        if (i % 2) { /* killed in the middle */
            sample killed = kill_limited(&s, MIB / 2);
            check_digest(killed.db, before);
            if (i == 1)
                check_answers(killed.db, NULL, &expected);
            sample_check(killed.db);
            sample_end(&killed);
        }
        vs_rollback(txn);
        look(s.db);
        check_digest(s.db, before);
        sample_check(s.db);
        uint64_t bytes = sample_file_bytes(s.vfs);
        most = i < GROWS && bytes > most ? bytes : most;
        VT_CHECK(bytes <= most + most / 20); /* pages of the time before are used again */
        put_note(s.db, NULL, NULL, 0, (uint64_t)i % 2);
        VT_OK(vs_checkpoint(s.db), s.db); /* it frees places of slabs that were written again */
        before = sample_stats(s.db);
        sample_check(s.db);
    }
    put_note(s.db, NULL, NULL, 0, 0); /* as it was */
    check_answers(s.db, NULL, &expected);
    reopen_limited(&s, MIB / 2);
    check_answers(s.db, NULL, &expected);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(a_collection_of_a_rolled_back_large_transaction_is_gone_and_can_be_made_again) {
    sample s = new_limited(MIB / 2), loose = new_limited(VS_NO_LIMIT);
    vs_stats empty = sample_stats(s.db);
    for (uint64_t i = 0; i < 4; i++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        change(s.db, txn, 0, 2 + i);
        vs_collection *c = NULL;
        VT_OK(vs_collection_open(s.db, txn, shapes[2].name, &c), s.db);
        vs_rollback(txn);
        vs_record r = VS_RECORD_INIT;
        VT_EQ(vs_get(c, NULL, vs_key_u64(1), &r), VS_ERR_NOT_FOUND);
        vs_collection_close(c);
        VT_EQ(vs_collection_open(s.db, NULL, shapes[2].name, &c), VS_ERR_NOT_FOUND);
        check_digest(s.db, empty);
        if (i % 2) /* a checkpoint in between gives the pages of its vectors back */
            VT_OK(vs_checkpoint(s.db), s.db);
        look(s.db);
        sample_check(s.db);
    }
    change(s.db, NULL, 0, 3);
    change(loose.db, NULL, 0, 3);
    answer expected = ask(loose.db, NULL);
    check_answers(s.db, NULL, &expected);
    for (int i = 0; i < 3; i++) {
        reopen_limited(&s, MIB / 2);
        sample_check(s.db);
        VT_OK(vs_kv_put(s.db, NULL, NULL, "i", 1, &i, sizeof i), s.db);
    }
    check_answers(s.db, NULL, &expected);
    VT_CHECK(sample_stats(s.db).file_bytes < 16 * MIB);
    sample_end(&s);
    sample_end(&loose);
}

VT_TEST(a_process_killed_anywhere_in_a_large_transaction_recovers_with_the_same_small_limit) {
    enum { PARTS = 6 };
    sample s = new_limited(MIB / 2), loose = new_limited(VS_NO_LIMIT);
    change(s.db, NULL, 0, 4);
    change(loose.db, NULL, 0, 4);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    answer before = ask(loose.db, NULL);
    vs_stats old = sample_stats(loose.db);
    for (uint64_t part = 1; part <= PARTS; part++) {
        change(s.db, txn, part, 4);
        sample killed = kill_limited(&s, MIB / 2);
        check_digest(killed.db, old);
        check_answers(killed.db, NULL, &before);
        sample_check(killed.db);
        change(killed.db, NULL, 9, 8); /* it goes on */
        reopen_limited(&killed, MIB / 2);
        sample_check(killed.db);
        sample_end(&killed);
        change(loose.db, NULL, part, 4);
    }
    VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
    sample killed = kill_limited(&s, MIB / 2);
    before = ask(loose.db, NULL);
    check_digest(killed.db, sample_stats(loose.db));
    check_answers(killed.db, NULL, &before);
    sample_check(killed.db);
    sample_end(&killed);
    sample_end(&s);
    sample_end(&loose);
}

/* ---- cursors -------------------------------------------------------------------------------- */

/* Brings other slabs and nodes into memory, so that what a cursor stands on leaves it. */
static void push_out(vs_db *db, uint64_t n) {
    const struct shape *shape = &shapes[1 + n % (COLLS - 1)];
    vs_collection *c = sample_collection(db, shape->name);
    vs_hit hits[K];
    size_t found = 0;
    VT_OK(vs_search(c, NULL, vector_of(shape, n, 3), 0, K, NULL, hits, &found), c);
    VT_EQ(found, K);
    for (uint64_t key = 1; key <= shape->records / 2; key += 97) {
        vs_record r = VS_RECORD_INIT;
        vs_status st = vs_get(c, NULL, vs_key_u64(key), &r);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    }
    vs_collection_close(c);
    look(db);
}

static void check_record(const vs_record *r, const struct shape *shape, uint64_t key,
                         uint64_t round) {
    const char *metadata = metadata_of(key, round);
    VT_EQ(r->key.number, key);
    VT_CHECK(!memcmp(r->vector, vector_of(shape, key, round),
                     shape->dim * (shape->type == VS_F32 ? 4u : 1u)));
    VT_EQ(r->metadata_bytes, metadata ? strlen(metadata) : 0);
    VT_CHECK(!metadata || !strcmp(r->metadata, metadata));
}

VT_TEST(cursors_stay_where_they_are_while_what_they_stand_on_leaves_memory) {
    enum { CURSORS = 12 };
    const struct shape *shape = &shapes[0];
    sample s = new_limited(MIB / 4);
    vs_cursor *cursor[CURSORS] = {NULL};
    uint64_t at[CURSORS], records = shape->records / 2;
    change(s.db, NULL, 0, 2);
    reopen_limited(&s, MIB / 4);
    vs_collection *c = sample_collection(s.db, shape->name);
    vs_txn *txn = sample_begin(s.db, VS_TXN_READ);
    for (uint64_t i = 0; i < CURSORS; i++) {
        at[i] = 1 + i * records / CURSORS;
        VT_OK(vs_scan(c, i % 2 ? txn : NULL, VT_FROM(at[i]), &cursor[i]), c);
    }
    vs_rollback(txn);
    for (uint64_t step = 0; step < 40; step++) {
        push_out(s.db, step);
        for (uint64_t i = 0; i < CURSORS; i++)
            for (uint64_t n = 0; n < 1 + i && at[i] <= records; n++, at[i]++) {
                vs_record r = VS_RECORD_INIT;
                VT_EQ(vs_step(cursor[i]), VS_ROW);
                if (step % 2) /* between the step and the record */
                    sample_has(c, NULL, vt_mix(step + n) % records + 1);
                VT_OK(vs_cursor_record(cursor[i], &r), cursor[i]);
                check_record(&r, shape, at[i], 0);
                look(s.db);
            }
        if (step % 16 == 5) { /* later commits and checkpoints are not theirs */
            change(s.db, NULL, step, 8);
            VT_OK(vs_checkpoint(s.db), s.db);
        }
    }
    for (uint64_t i = 0; i < CURSORS; i++)
        vs_cursor_close(cursor[i]);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(a_cursor_of_a_write_transaction_goes_on_after_its_trees_were_written_early) {
    const struct shape *shape = &shapes[3], *other = &shapes[0];
    sample s = new_limited(MIB / 4);
    vs_cursor *cursor = NULL;
    uint64_t records = shape->records / 4, seen = 0, next_key = 100000;
    change(s.db, NULL, 0, 4);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection *c = sample_collection(s.db, shape->name),
                  *d = sample_collection(s.db, other->name);
    VT_OK(vs_scan(c, txn, NULL, &cursor), c);
    while (vs_step(cursor) == VS_ROW) {
        vs_record r = VS_RECORD_INIT;
        seen++;
        put_record(s.db, txn, d, other, next_key++, 1); /* elsewhere */
        VT_OK(vs_cursor_record(cursor, &r), cursor);
        check_record(&r, shape, r.key.number, r.key.number < seen ? 9 : 0);
        VT_EQ(r.key.number, seen);
        if (seen % 3 == 0)
            put_record(s.db, txn, c, shape, seen, 2); /* under it */
        if (seen % 5 == 0 && seen > 9)
            put_record(s.db, txn, c, shape, seen - 7, 4); /* behind it */
        if (seen % 40 == 0)
            for (uint64_t i = 0; i < 40; i++)
                put_record(s.db, txn, d, other, next_key++, seen);
        if (seen % 3 == 0) {
            VT_OK(vs_cursor_record(cursor, &r), cursor);
            check_record(&r, shape, seen, 2);
        }
    }
    VT_EQ(seen, records);
    vs_cursor_close(cursor);
    VT_EQ(sample_count(d, txn), other->records / 4 + next_key - 100000);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
    VT_EQ(sample_count(d, NULL), other->records / 4 + next_key - 100000);
    for (uint64_t key = 1; key <= records; key++) {
        vs_record r = VS_RECORD_INIT;
        bool was_behind = (key + 7) % 5 == 0 && key + 7 > 9 && key + 7 <= records;
        VT_OK(vs_get(c, NULL, vs_key_u64(key), &r), c);
        check_record(&r, shape, key, was_behind ? 4 : key % 3 ? 0 : 2);
    }
    vs_collection_close(c);
    vs_collection_close(d);
    sample_check(s.db);
    sample_end(&s);
}

/* ---- snapshots ------------------------------------------------------------------------------ */

/* What versions between the snapshot and now replaced is nobody's. */
VT_TEST(many_small_commits_beside_an_idle_cursor_let_neither_memory_nor_the_file_grow) {
    enum { COMMITS = 10000, EARLY = 1000 };
    static const uint64_t limits[] = {VS_NO_LIMIT, MIB};
    for (int i = 0; i < 2; i++) {
        sample s = new_limited(limits[i]);
        vs_cursor *cursor = NULL;
        uint64_t memory = 0, file = 0, size = 0;
        vs_collection *c = sample_create(s.db, NULL, "c", 4, VS_F32, VS_L2);
        float v[4] = {0};
        sample_put(c, NULL, 1, v, NULL);
        VT_OK(vs_scan(c, NULL, NULL, &cursor), c);
        for (uint64_t n = 1; n <= COMMITS; n++) {
            char text[40];
            v[0] = (float)n;
            snprintf(text, sizeof text, "{\"n\":%d}", (int)n);
            sample_put(c, NULL, 1 + n % 7, v, text);
            if (n % 1000 == 0)
                VT_OK(vs_checkpoint(s.db), s.db);
            vs_stats stats = sample_stats(s.db);
            size = stats.memory_bytes > size ? stats.memory_bytes : size;
            if (n == EARLY) {
                memory = size;
                file = sample_file_bytes(s.vfs);
            }
            look(s.db);
        }
        /* One slot for each commit is all that waits for the cursor: its vector and its cell, and a
         * number in a list and in a buffer that doubles. */
        VT_CHECK(size <= memory + COMMITS * (16 + 32 + 2 * 16) + MIB / 2);
        VT_CHECK(sample_file_bytes(s.vfs) <= file + COMMITS * (16 + 32) * 3 + MIB);
        VT_EQ(sample_stats(s.db).readers, 1);
        vs_record r = VS_RECORD_INIT;
        VT_EQ(vs_step(cursor), VS_ROW);
        VT_OK(vs_cursor_record(cursor, &r), cursor);
        VT_CHECK(r.key.number == 1 && !memcmp(r.vector, (const float[4]){0}, sizeof v) &&
                 !r.metadata);
        VT_EQ(vs_step(cursor), VS_DONE);
        vs_cursor_close(cursor);
        vs_collection_close(c);
        sample_check(s.db);
        sample_end(&s);
    }
}

VT_TEST(snapshots_of_each_round_stay_as_they_were_with_little_memory) {
    enum { ROUNDS = 6 };
    sample s = new_limited(MIB / 2);
    vs_txn *txn[ROUNDS];
    answer expected[ROUNDS];
    for (uint64_t round = 0; round < ROUNDS; round++) {
        change(s.db, NULL, round, 10);
        txn[round] = sample_begin(s.db, VS_TXN_READ);
        expected[round] = ask(s.db, txn[round]);
        if (round % 2)
            VT_OK(vs_checkpoint(s.db), s.db);
        if (round == 3) { /* from the middle of the list of versions */
            check_answers(s.db, txn[2], &expected[2]);
            vs_rollback(txn[2]);
            txn[2] = NULL;
        }
        for (uint64_t i = 0; i <= round; i++)
            if (txn[i])
                check_answers(s.db, txn[i], &expected[i]);
    }
    for (int i = 0; i < ROUNDS; i++)
        vs_rollback(txn[i]);
    VT_OK(vs_checkpoint(s.db), s.db);
    VT_EQ(sample_stats(s.db).readers, 0);
    sample_check(s.db);
    sample_end(&s);
}

/* ---- no memory ------------------------------------------------------------------------------ */

/* A small database of its own: quick, and yet larger than its limit. */
enum { OOM_RECORDS = 260, OOM_DIM = 200, OOM_LIMIT = 150000 };

static bool is_ok(vs_status st) {
    VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
    return st == VS_OK;
}

/* Calls again what found no memory; one allocation fails, so the second attempt succeeds. */
#define OOM_OK(call, handle)                                                                       \
    do {                                                                                           \
        if (!is_ok(call))                                                                          \
            VT_OK(call, handle);                                                                   \
    } while (0)

static void oom_vector(uint64_t key, uint64_t round, float v[OOM_DIM]) {
    for (uint64_t d = 0; d < OOM_DIM; d++)
        v[d] = (float)(vt_mix(key + round * 977 + d) % 1000);
}

static void oom_put(vs_collection *c, vs_txn *txn, uint64_t key, uint64_t round) {
    float v[OOM_DIM];
    oom_vector(key, round, v);
    const char *text = key % 4 ? NULL : text_of(key % 16 ? 700 : 3000, key + round);
    OOM_OK(sample_try_put(c, txn, key, v, text, VS_UPSERT), c);
}

/* The bytes of all records, and the best hit. */
static uint64_t oom_ask(vs_collection *c, vs_txn *txn) {
    float v[OOM_DIM];
    vs_hit hits[3];
    size_t n = 0;
    uint64_t hash = 1;
    oom_vector(17, 1, v);
    memset(hits, 0, sizeof hits);
    OOM_OK(vs_search(c, txn, v, 0, 3, NULL, hits, &n), c);
    for (uint64_t key = 1; key <= OOM_RECORDS; key += 13) {
        vs_record r = VS_RECORD_INIT;
        OOM_OK(vs_get(c, txn, vs_key_u64(key), &r), c);
        hash = mix_bytes(hash, r.vector, sizeof v);
        hash = mix_bytes(hash, r.metadata, r.metadata_bytes);
    }
    return mix_bytes(hash + n, hits, sizeof hits);
}

static uint64_t oom_count(vs_collection *c, vs_txn *txn) {
    vs_cursor *cursor = NULL;
    uint64_t n = 0;
    OOM_OK(vs_scan(c, txn, NULL, &cursor), c);
    for (;;) {
        vs_record r = VS_RECORD_INIT;
        vs_status st = vs_step(cursor);
        if (st == VS_ERR_NOMEM)
            st = vs_step(cursor);
        if (st == VS_DONE)
            break;
        VT_EQ(st, VS_ROW);
        OOM_OK(vs_cursor_record(cursor, &r), cursor);
        n++;
    }
    vs_cursor_close(cursor);
    return n;
}

/* A commit that found no memory rolled back: again. */
static void oom_write(vs_db *db, vs_collection *c, uint64_t round, bool is_kept) {
    for (bool is_done = false; !is_done;) {
        vs_txn *txn = NULL;
        OOM_OK(vs_begin(db, VS_TXN_WRITE, &txn), db);
        for (uint64_t key = 1; key <= OOM_RECORDS; key++)
            oom_put(c, txn, key, round);
        OOM_OK(vs_kv_put(db, txn, NULL, "n", 1, text_of(9000, round), 9000), txn);
        VT_EQ(oom_count(c, txn), OOM_RECORDS);
        is_done = !is_kept || is_ok(vs_commit(txn, VS_SYNC_OFF));
        if (!is_kept)
            vs_rollback(txn);
    }
}

/* A session in which one allocation fails: at, counted from its beginning. Returns how many it asked for. */
static uint64_t oom_session(uint64_t at, uint64_t answers[3], vs_stats *out_stats) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    sample s = {NULL, NULL};
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    s.vfs->wall_us = still_us;
    options.vfs = s.vfs;
    options.flags = VS_OPEN_CREATE;
    options.allocator = &allocator;
    options.memory_limit = OOM_LIMIT;
    VT_OK(vs_open("t.vs", &options, &s.db), s.db);
    vs_collection *c = sample_create(s.db, NULL, "c", OOM_DIM, VS_F32, VS_L2);
    uint64_t calls = counter.calls;
    counter.fail_at = at ? calls + at : 0;
    oom_write(s.db, c, 1, true);
    answers[0] = oom_ask(c, NULL);
    OOM_OK(vs_checkpoint(s.db), s.db);
    oom_write(s.db, c, 2, false);
    answers[1] = oom_ask(c, NULL);
    oom_write(s.db, c, 3, true);
    answers[2] = oom_ask(c, NULL);
    VT_EQ(oom_count(c, NULL), OOM_RECORDS);
    OOM_OK(vs_checkpoint(s.db), s.db);
    calls = counter.calls - calls;
    VT_EQ(counter.failures, at && at <= calls ? 1 : 0);
    counter.fail_at = 0;
    *out_stats = sample_stats(s.db);
    sample_check(s.db);
    vs_collection_close(c);
    VT_OK(vs_close(s.db), s.db);
    VT_EQ(counter.live_blocks, 0);
    vs_vfs_memory_destroy(s.vfs);
    return calls;
}

VT_TEST(with_little_memory_any_allocation_may_fail_and_nothing_is_lost_or_wrong) {
    enum { SESSIONS = 60 };
    uint64_t expected[3], found[3];
    vs_stats stats, other;
    uint64_t calls = oom_session(0, expected, &stats);
    VT_CHECK(expected[0] == expected[1] && expected[1] != expected[2]);
    vt_rng rng = {vt_seed()};
    for (uint64_t i = 0; i < SESSIONS; i++) {
        oom_session(1 + i * calls / SESSIONS + vt_below(&rng, calls / SESSIONS), found, &other);
        VT_CHECK(!memcmp(found, expected, sizeof found));
        VT_CHECK(stats.digest[0] == other.digest[0] && stats.digest[1] == other.digest[1]);
    }
}

/* ---- devices that fail ---------------------------------------------------------------------- */

/* The file system in memory. Reads and writes of the database file behind the meta pages fail as asked
 * for; one test uses it at a time. */
static struct device {
    vs_vfs *memory;
    vs_vfs vfs;
    void *data; /* the open database file */
    vs_status write_status, read_status;
    uint64_t fails_one_in, failures; /* 1: all of them; 0: none */
    uint64_t read_bytes;             /* of the database file */
    vt_rng rng;
} device;

static vs_status device_open(void *ctx, const char *path, uint32_t mode, void **out, char *why) {
    vs_status st = device.memory->open(ctx, path, mode, out, why);
    if (st == VS_OK && strlen(path) >= 4 && !strcmp(path + strlen(path) - 4, "t.vs"))
        device.data = *out;
    return st;
}

static bool device_fails(const void *file, uint64_t offset, vs_status st) {
    if (st == VS_OK || !device.fails_one_in || file != device.data || offset < 131072 ||
        vt_below(&device.rng, device.fails_one_in))
        return false;
    device.failures++;
    return true;
}

static vs_status device_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                              size_t *out_bytes, char *why) {
    if (device_fails(file, offset, device.write_status))
        return device.write_status;
    return device.memory->write(ctx, file, buf, bytes, offset, out_bytes, why);
}

static vs_status device_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    if (device_fails(file, offset, device.read_status))
        return device.read_status;
    if (file == device.data)
        device.read_bytes += bytes;
    return device.memory->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

static sample new_on_device(uint64_t limit) {
    memset(&device, 0, sizeof device);
    device.rng.state = vt_seed();
    VT_EQ(vs_vfs_memory_create(NULL, &device.memory), VS_OK);
    device.vfs = *device.memory;
    device.vfs.open = device_open;
    device.vfs.read = device_read;
    device.vfs.write = device_write;
    device.vfs.wall_us = still_us;
    sample s = {&device.vfs, open_limited(&device.vfs, VS_OPEN_CREATE, limit)};
    return s;
}

static void end_on_device(sample *s) {
    device.fails_one_in = 0;
    VT_OK(vs_close(s->db), s->db);
    vs_vfs_memory_destroy(device.memory);
}

VT_TEST(on_a_full_or_failing_device_changes_stay_in_memory_and_commit) {
    static const vs_status status[] = {VS_ERR_FULL, VS_ERR_IO, VS_ERR_FULL};
    static const uint64_t one_in[] = {1, 1, 3};
    for (int i = 0; i < 3; i++) {
        sample s = new_on_device(MIB / 2), loose = new_limited(VS_NO_LIMIT);
        change(s.db, NULL, 0, 6);
        change(loose.db, NULL, 0, 6);
        device.write_status = status[i];
        is_blind = true;
        for (uint64_t round = 1; round < 5; round++) {
            device.fails_one_in = one_in[i];
            vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
            change(s.db, txn, round, 6);
            if (round == 2) {
                vs_rollback(txn);
                device.fails_one_in = 0;
                sample_check(s.db);
                continue;
            }
            change(loose.db, NULL, round, 6);
            answer expected = ask(loose.db, NULL);
            check_answers(s.db, txn, &expected);
            VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
            check_digest(s.db, sample_stats(loose.db));
            check_answers(s.db, NULL, &expected);
            sample_check(s.db);
            sample killed = {copy_files(device.memory), NULL};
            killed.db = open_limited(killed.vfs, 0, MIB / 2);
            check_digest(killed.db, sample_stats(loose.db));
            check_answers(killed.db, NULL, &expected);
            sample_check(killed.db);
            sample_end(&killed);
        }
        VT_CHECK(device.failures > 10);
        device.fails_one_in = 0;
        is_blind = false;
        VT_OK(vs_checkpoint(s.db), s.db); /* the device works again */
        look(s.db);
        sample_check(s.db);
        check_digest(s.db, sample_stats(loose.db));
        end_on_device(&s);
        sample_end(&loose);
    }
}

/* What is mapped is not read, so that it may be that nothing fails. */
#ifdef MAPPED_H
enum { REFUSED_LEAST = -1 };
#else
enum { REFUSED_LEAST = 20 };
#endif

/* Reads of the file for a batch of count queries, one of them alone before. */
static uint64_t read_by_batch(vs_collection *c, size_t count) {
    static float queries[20][128];
    vs_hit hits[20 * K], alone[K];
    size_t counts[20];
    for (size_t i = 0; i < count; i++)
        memcpy(queries[i], vector_of(&shapes[0], 70 + i, 5), sizeof queries[i]);
    VT_OK(vs_search(c, NULL, queries[count - 1], 0, K, NULL, alone, counts), c);
    uint64_t before = device.read_bytes;
    VT_OK(vs_search_batch(c, NULL, queries, 0, 0, count, K, NULL, hits, counts), c);
    VT_CHECK(!memcmp(hits + (count - 1) * K, alone, sizeof alone));
    return device.read_bytes - before;
}

/* Of metrics with and without a way for many queries at once. */
VT_TEST(a_batch_reads_what_memory_has_no_room_for_once_for_all_its_queries) {
    static const char *const indexes[] = {"flat", "flat(codes=rq4)"};
    for (int i = 0; i < 4; i++) {
        sample s = new_on_device(MIB / 4);
        vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
        vs_collection *c = NULL;
        options.dim = shapes[0].dim;
        options.metric = i % 2 ? VS_L1 : VS_L2;
        options.index = i % 2 ? NULL : indexes[i / 2];
        VT_OK(vs_collection_create(s.db, NULL, "c", &options, &c), s.db);
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        for (uint64_t key = 1; key <= 6000; key++)
            sample_put(c, txn, key, vector_of(&shapes[0], key, 0), NULL);
        VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
        VT_OK(vs_checkpoint(s.db), s.db);
        uint64_t one = read_by_batch(c, 1), some = read_by_batch(c, 6), many = read_by_batch(c, 19);
        VT_CHECK(some <= 4 * one &&
                 many <= 5 * one); /* by codes each query scores rows of its own */
        VT_CHECK(i == 2 || (some <= one + one / 4 && many <= one + one / 4));
        vs_collection_close(c);
        end_on_device(&s);
    }
}

VT_TEST(reads_that_fail_are_reported_and_never_make_a_wrong_answer) {
    const struct shape *shape = &shapes[0];
    sample s = new_on_device(MIB / 4);
    vs_hit expected[K], hits[K];
    size_t n = 0;
    uint64_t refused = 0, answered = 0;
    change(s.db, NULL, 0, 4);
    VT_OK(vs_checkpoint(s.db), s.db);
    vs_collection *c = sample_collection(s.db, shape->name);
    VT_OK(vs_search(c, NULL, vector_of(shape, 3, 3), 0, K, NULL, expected, &n), c);
    device.read_status = VS_ERR_IO;
    device.fails_one_in = 30;
    for (uint64_t i = 0; i < 400; i++) {
        vs_record r = VS_RECORD_INIT;
        uint64_t key = 1 + vt_mix(i) % (shape->records / 4);
        vs_status st = i % 4 ? vs_get(c, NULL, vs_key_u64(key), &r)
                             : vs_search(c, NULL, vector_of(shape, 3, 3), 0, K, NULL, hits, &n);
        VT_CHECK(st == VS_OK || st == VS_ERR_IO);
        refused += st != VS_OK;
        answered += st == VS_OK;
        if (st == VS_OK && i % 4)
            check_record(&r, shape, key, 0);
        else if (st == VS_OK)
            VT_CHECK(n == K && !memcmp(hits, expected, sizeof hits));
        look(s.db);
    }
    VT_CHECK((int64_t)refused > REFUSED_LEAST && answered > 100);
    device.fails_one_in = 0;
    VT_OK(vs_search(c, NULL, vector_of(shape, 3, 3), 0, K, NULL, hits, &n), c);
    VT_CHECK(n == K && !memcmp(hits, expected, sizeof hits));
    vs_collection_close(c);
    sample_check(s.db);
    end_on_device(&s);
}

VT_TEST(a_cursor_whose_step_failed_goes_on_with_the_record_it_did_not_reach) {
    const struct shape *shape = &shapes[0];
    sample s = new_on_device(MIB / 8);
    uint64_t refused = 0, records = shape->records / 4;
    change(s.db, NULL, 0, 4);
    VT_OK(vs_checkpoint(s.db), s.db);
    vs_collection *c = sample_collection(s.db, shape->name);
    for (int turn = 0; turn < 4; turn++) {
        vs_txn *txn = turn % 2 ? sample_begin(s.db, VS_TXN_WRITE) : NULL;
        vs_cursor *cursor = NULL;
        VT_OK(vs_scan(c, txn, NULL, &cursor), c);
        for (uint64_t key = 1; key <= records + 1; key++) {
            vs_record r = VS_RECORD_INIT;
            vs_status st;
            if (key % 7 == 0)
                push_out(s.db, key); /* while the device works */
            device.read_status = VS_ERR_IO;
            device.fails_one_in = 2;
            while ((st = vs_step(cursor)) == VS_ERR_IO)
                refused++;
            VT_EQ(st, key <= records ? VS_ROW : VS_DONE);
            while (key <= records && (st = vs_cursor_record(cursor, &r)) == VS_ERR_IO)
                refused++;
            device.fails_one_in = 0;
            if (key <= records)
                check_record(&r, shape, key, 0);
        }
        vs_cursor_close(cursor);
        vs_rollback(txn);
    }
    VT_CHECK(refused > 100);
    vs_collection_close(c);
    end_on_device(&s);
}

VT_TEST(statements_whose_reads_fail_change_nothing_and_can_be_repeated) {
    sample s = new_on_device(MIB / 4), loose = new_limited(VS_NO_LIMIT);
    const struct shape *shape = &shapes[0];
    uint64_t refused = 0;
    change(s.db, NULL, 0, 4);
    change(loose.db, NULL, 0, 4);
    VT_OK(vs_checkpoint(s.db), s.db);
    device.read_status = VS_ERR_IO;
    device.fails_one_in = 12;
    sample *both[] = {&s, &loose};
    for (int i = 0; i < 2; i++) {
        vs_txn *txn = sample_begin(both[i]->db, VS_TXN_WRITE);
        vs_collection *c = NULL;
        while (vs_collection_open(both[i]->db, txn, shape->name, &c) != VS_OK)
            refused++;
        for (uint64_t n = 0; n < 600; n++) {
            uint64_t key = 1 + vt_mix(n) % (shape->records / 4);
            vs_record r = sample_record(key, vector_of(shape, key, n), metadata_of(key, n));
            while (vs_put(c, txn, &r, VS_UPSERT) != VS_OK) {
                VT_CHECK(i == 0);
                refused++;
            }
        }
        vs_collection_close(c);
        device.fails_one_in = 0; /* commits settle what they read */
        VT_OK(vs_commit(txn, VS_SYNC_FULL), both[i]->db);
    }
    VT_CHECK(refused > 20);
    check_digest(s.db, sample_stats(loose.db));
    answer expected = ask(loose.db, NULL);
    check_answers(s.db, NULL, &expected);
    sample_check(s.db);
    end_on_device(&s);
    sample_end(&loose);
}
