/* checkpoint.c - what a close leaves, what vs_checkpoint does and leaves alone, how large the file stays,
 * and damage of the closed file. */
#include "sample.h"
#include <pthread.h>

/* ---- some of everything --------------------------------------------------------------------- */

enum { COLLS = 3, NOTES = 12, K = 7, LOGS_MAX = 400 };

/* Collections of other shapes: several slabs, half a slab, and vectors larger than a page. */
static const struct shape {
    const char *name;
    uint32_t dim;
    int type;
    uint64_t records;
} shapes[COLLS] = {{"many", 40, VS_F32, 400}, {"bytes", 7, VS_U8, 120}, {"long", 3000, VS_F32, 9}};

/* Lengths around the largest value that stays in a node, around a page, and far above. */
static const size_t lengths[] = {0, 2, 60, 1290, 1300, 1310, 1340, 4080, 4096, 9000, 120000};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

static size_t length_of(uint64_t key, uint64_t round) {
    uint64_t at = vt_mix(key * 31 + round) % (LENGTHS * 8);
    return at < LENGTHS ? lengths[at] : at < LENGTHS * 2 ? 0 : 2 + at % 50;
}

/* A JSON object of so many bytes, 0: none; below 8 bytes it is {}. */
static const char *text_of(size_t bytes, uint64_t seed) {
    static char text[200000];
    if (!bytes)
        return NULL;
    if (bytes < 8)
        return "{}";
    memcpy(text, "{\"t\":\"", 6);
    for (size_t i = 6; i < bytes - 2; i++)
        text[i] = (char)('a' + vt_mix(seed + i / 8) % 26);
    memcpy(text + bytes - 2, "\"}", 3);
    return text;
}

static const void *vector_of(const struct shape *shape, uint64_t key, uint64_t round) {
    static float floats[3000];
    static uint8_t bytes[3000];
    for (uint32_t d = 0; d < shape->dim; d++) {
        bytes[d] = (uint8_t)vt_mix(key * 1000003 + round * 101 + d);
        floats[d] = (float)bytes[d] / 16;
    }
    return shape->type == VS_F32 ? (const void *)floats : (const void *)bytes;
}

static void put_note(vs_db *db, vs_collection *c, uint8_t key, uint64_t round) {
    size_t bytes = lengths[(key + round) % LENGTHS];
    const char *text = text_of(bytes, key + round);
    VT_OK(vs_kv_put(db, NULL, c, &key, 1, text ? text : "", bytes), db);
}

/* Round 0 creates everything; each later one replaces half and deletes a few. */
static void change(vs_db *db, uint64_t round) {
    for (int i = 0; i < COLLS; i++) {
        const struct shape *shape = &shapes[i];
        vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
        vs_collection *c = NULL;
        if (round == 0)
            c = sample_create(db, txn, shape->name, shape->dim, shape->type, VS_L2);
        else
            VT_OK(vs_collection_open(db, txn, shape->name, &c), db);
        for (uint64_t key = 1; key <= shape->records; key++) {
            uint64_t what = round ? vt_mix(key + round * 7) % 16 : 0;
            if (what == 15 && sample_has(c, txn, key))
                VT_OK(vs_delete(c, txn, vs_key_u64(key)), c);
            else if (what < 8)
                sample_put(c, txn, key, vector_of(shape, key, round),
                           text_of(length_of(key, round), key + round));
        }
        VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
        for (uint8_t key = 0; key < NOTES; key++)
            if (round == 0 || vt_mix(key + round) % 2)
                put_note(db, i ? c : NULL, key, round);
        vs_collection_close(c);
    }
}

/* ---- questions and answers ------------------------------------------------------------------ */

enum { QUESTIONS_MAX = 200 };

typedef struct answers {
    int count;
    vs_status status[QUESTIONS_MAX];
    uint64_t hash[QUESTIONS_MAX]; /* of what was answered */
} answers;

static uint64_t mix_bytes(uint64_t hash, const void *data, size_t bytes) {
    const uint8_t *p = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ p[i]) * 0x100000001b3;
    return vt_mix(hash + bytes);
}

static void answer(answers *a, vs_status status, uint64_t hash) {
    VT_CHECK(a->count < QUESTIONS_MAX);
    a->status[a->count] = status;
    a->hash[a->count++] = hash;
}

static uint64_t mix_record(uint64_t hash, const struct shape *shape, const vs_record *r) {
    hash = mix_bytes(hash, &r->key, sizeof r->key);
    hash = mix_bytes(hash, r->vector, shape->dim * (shape->type == VS_F32 ? 4u : 1u));
    return mix_bytes(hash, r->metadata, r->metadata_bytes);
}

static void ask_scan(vs_collection *c, vs_txn *txn, const struct shape *shape, answers *a) {
    vs_cursor *cursor = NULL;
    uint64_t hash = 1;
    vs_status st = vs_scan(c, txn, NULL, &cursor);
    while (st == VS_OK) {
        vs_record r = VS_RECORD_INIT;
        st = vs_step(cursor);
        if (st == VS_ROW)
            st = vs_cursor_record(cursor, &r);
        if (st == VS_OK)
            hash = mix_record(hash, shape, &r);
    }
    vs_cursor_close(cursor);
    answer(a, st == VS_DONE ? VS_OK : st, hash);
}

static void ask_notes(vs_db *db, vs_txn *txn, vs_collection *c, answers *a) {
    static uint8_t value[200000];
    for (uint8_t key = 0; key < NOTES; key++) {
        size_t bytes = 0;
        vs_status st = vs_kv_get(db, txn, c, &key, 1, value, sizeof value, &bytes);
        answer(a, st, st == VS_OK ? mix_bytes(2, value, bytes) : 0);
    }
}

static void ask_coll(vs_db *db, vs_txn *txn, const struct shape *shape, answers *a) {
    vs_collection *c = NULL;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_hit hits[K];
    size_t n = 0;
    uint64_t count = 0;
    vs_status st = vs_collection_open(db, txn, shape->name, &c);
    answer(a, st, 0);
    if (st != VS_OK)
        return;
    st = vs_collection_info_get(c, txn, &info);
    answer(a, st, mix_bytes(info.count, info.name, strlen(info.name)) + info.dim);
    st = vs_count(c, txn, &count);
    answer(a, st, count);
    for (uint64_t key = 1; key <= shape->records; key += 1 + shape->records / 12) {
        vs_record r = VS_RECORD_INIT;
        st = vs_get(c, txn, vs_key_u64(key), &r);
        answer(a, st, st == VS_OK ? mix_record(3, shape, &r) : 0);
    }
    memset(hits, 0, sizeof hits);
    st = vs_search(c, txn, vector_of(shape, 5, 77), 0, K, NULL, hits, &n);
    answer(a, st, st == VS_OK ? mix_bytes(n, hits, sizeof hits) : 0);
    ask_scan(c, txn, shape, a);
    ask_notes(db, txn, c, a);
    vs_collection_close(c);
}

static void ask(vs_db *db, vs_txn *txn, answers *a) {
    a->count = 0;
    for (int i = 0; i < COLLS; i++)
        ask_coll(db, txn, &shapes[i], a);
    ask_notes(db, txn, NULL, a);
}

static bool is_same(const answers *a, const answers *b) {
    return a->count == b->count &&
           !memcmp(a->status, b->status, (size_t)a->count * sizeof a->status[0]) &&
           !memcmp(a->hash, b->hash, (size_t)a->count * sizeof a->hash[0]);
}

static void check_answers(vs_db *db, vs_txn *txn, const answers *expected) {
    static answers found;
    ask(db, txn, &found);
    for (int i = 0; i < found.count; i++)
        VT_CHECK(found.status[i] == VS_OK || found.status[i] == VS_ERR_NOT_FOUND);
    VT_CHECK(is_same(&found, expected));
}

/* ---- files ---------------------------------------------------------------------------------- */

static uint64_t file_bytes(const vs_vfs *vfs, const char *path) { /* 0: there is none */
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    uint64_t bytes = 0;
    if (vfs->open(vfs->ctx, path, VS_VFS_READ, &file, why) != VS_OK)
        return 0;
    VT_EQ(vfs->file_size(vfs->ctx, file, &bytes, why), VS_OK);
    vfs->close(vfs->ctx, file);
    return bytes;
}

static int count_logs(const vs_vfs *vfs) {
    int count = 0;
    for (int i = 1; i <= LOGS_MAX; i++) {
        char path[32];
        snprintf(path, sizeof path, "t.vs-wal-%d", i);
        count += file_bytes(vfs, path) > 0;
    }
    return count;
}

static uint8_t *read_file(const vs_vfs *vfs, const char *path, size_t *out_bytes) {
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    *out_bytes = (size_t)file_bytes(vfs, path);
    uint8_t *data = malloc(*out_bytes + 1);
    VT_CHECK(data && *out_bytes);
    VT_EQ(vfs->open(vfs->ctx, path, VS_VFS_READ, &file, why), VS_OK);
    for (size_t at = 0, n = 0; at < *out_bytes; at += n) {
        VT_EQ(vfs->read(vfs->ctx, file, data + at, *out_bytes - at, at, &n, why), VS_OK);
        VT_CHECK(n > 0);
    }
    vfs->close(vfs->ctx, file);
    return data;
}

static void write_byte(const vs_vfs *vfs, const char *path, uint64_t at, uint8_t byte) {
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    size_t n = 0;
    VT_EQ(vfs->open(vfs->ctx, path, VS_VFS_WRITE, &file, why), VS_OK);
    VT_EQ(vfs->write(vfs->ctx, file, &byte, 1, at, &n, why), VS_OK);
    vfs->close(vfs->ctx, file);
}

/* ---- what a close leaves -------------------------------------------------------------------- */

VT_TEST(a_close_leaves_one_file_however_the_session_went) {
    sample s = sample_new();
    VT_OK(vs_close(s.db), s.db); /* nothing was written */
    VT_EQ(count_logs(s.vfs), 0);
    for (uint64_t round = 0; round < 8; round++) {
        s.db = sample_open(s.vfs, "t.vs", 0);
        change(s.db, round);
        VT_CHECK(count_logs(s.vfs) > 0);
        if (round % 3 == 1) { /* several checkpoints, the last one with or without commits behind */
            VT_OK(vs_checkpoint(s.db), s.db);
            VT_OK(vs_checkpoint(s.db), s.db);
            if (round % 2)
                change(s.db, round + 100);
            VT_OK(vs_checkpoint(s.db), s.db);
        }
        if (round % 3 == 2) { /* what a killed session left */
            sample killed = sample_after_kill(&s);
            VT_CHECK(count_logs(killed.vfs) > 0);
            VT_OK(vs_close(killed.db), killed.db);
            VT_EQ(count_logs(killed.vfs), 0);
            vs_vfs_memory_destroy(killed.vfs);
        }
        VT_OK(vs_close(s.db), s.db);
        VT_EQ(count_logs(s.vfs), 0);
        s.db = sample_open(s.vfs, "t.vs", VS_OPEN_READONLY);
        sample_check(s.db);
        VT_OK(vs_close(s.db), s.db);
        VT_EQ(count_logs(s.vfs), 0);
    }
    s.db = sample_open(s.vfs, "t.vs", 0);
    sample_end(&s);
}

VT_TEST(reopening_shows_everything_also_values_larger_than_a_page) {
    static answers before;
    sample s = sample_new();
    for (uint64_t round = 0; round < 10; round++) {
        change(s.db, round);
        ask(s.db, NULL, &before);
        check_answers(s.db, NULL, &before);
        vs_stats was = sample_stats(s.db);
        sample_reopen(&s);
        check_answers(s.db, NULL, &before);
        vs_stats is = sample_stats(s.db);
        VT_CHECK(is.digest[0] == was.digest[0] && is.digest[1] == was.digest[1]);
        VT_EQ(is.lsn, was.lsn);
        VT_EQ(is.recovered_txns, 0);
        sample_check(s.db);
        if (round % 2)
            sample_reopen(&s); /* and a session that only reads */
    }
    sample_end(&s);
}

/* Collections and ids: what the catalog holds beside records. */
VT_TEST(reopening_shows_empty_collections_and_a_great_many) {
    enum { MANY = 300 };
    sample s = sample_new();
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    for (int i = 0; i < MANY; i++) {
        char name[220];
        snprintf(name, sizeof name, "%0*d", 1 + i % 200, i);
        vs_collection *c = sample_create(s.db, NULL, name, 1 + (uint32_t)i, VS_U8, VS_COSINE);
        if (i % 50 == 0) {
            static uint8_t ones[MANY + 1];
            memset(ones, 1, sizeof ones);
            sample_put(c, NULL, 7, ones, NULL);
        }
        vs_collection_close(c);
        if (i % 37 == 0)
            sample_reopen(&s);
    }
    sample_reopen(&s);
    size_t n = 0;
    uint64_t records = 0;
    while (vs_collection_at(s.db, NULL, n, &info) == VS_OK) {
        VT_EQ(atoi(info.name), info.dim - 1);
        VT_EQ(strlen(info.name) >= 1 + (info.dim - 1) % 200, 1);
        records += info.count;
        n++;
    }
    VT_EQ(n, MANY);
    VT_EQ(records, MANY / 50);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(a_killed_session_with_checkpoints_shows_every_commit) {
    static answers before;
    sample s = sample_new();
    for (uint64_t round = 0; round < 12; round++) {
        change(s.db, round);
        if (vt_mix(round) % 2)
            VT_OK(vs_checkpoint(s.db), s.db);
        ask(s.db, NULL, &before);
        sample killed = sample_after_kill(&s);
        check_answers(killed.db, NULL, &before);
        sample_check(killed.db);
        sample_reopen(&killed);
        check_answers(killed.db, NULL, &before);
        sample_end(&killed);
    }
    VT_CHECK(sample_stats(s.db).checkpoints > 3);
    sample_end(&s);
}

/* ---- vs_checkpoint -------------------------------------------------------------------------- */

VT_TEST(a_checkpoint_keeps_the_log_of_the_one_before_and_no_older_one) {
    sample s = sample_new();
    for (uint64_t round = 0; round < 6; round++) {
        change(s.db, round);
        uint64_t log_bytes = sample_stats(s.db).log_bytes;
        VT_CHECK(log_bytes > 4096);
        VT_OK(vs_checkpoint(s.db), s.db);
        vs_stats stats = sample_stats(s.db);
        VT_EQ(stats.checkpoint, round + 1);
        VT_EQ(stats.checkpoint_lsn, stats.lsn);
        VT_EQ(stats.durable_lsn, stats.lsn);
        VT_EQ(stats.log_bytes, 0);
        VT_EQ(count_logs(s.vfs), 1);
        VT_CHECK(stats.file_bytes <= file_bytes(s.vfs, "t.vs"));
        sample_check(s.db);
    }
    sample_end(&s);
}

VT_TEST(a_checkpoint_with_nothing_to_do_changes_no_file) {
    sample s = sample_new();
    VT_OK(vs_checkpoint(s.db), s.db); /* of an empty database */
    vs_stats stats = sample_stats(s.db);
    VT_CHECK(!stats.lsn && !stats.log_generation);
    change(s.db, 0);
    VT_OK(vs_checkpoint(s.db), s.db);
    for (int is_reopened = 0; is_reopened < 2; is_reopened++) {
        size_t bytes = 0, again = 0;
        uint8_t *before = read_file(s.vfs, "t.vs", &bytes);
        vs_stats was = sample_stats(s.db);
        int logs = count_logs(s.vfs);
        for (int i = 0; i < 3; i++)
            VT_OK(vs_checkpoint(s.db), s.db);
        uint8_t *after = read_file(s.vfs, "t.vs", &again);
        vs_stats is = sample_stats(s.db);
        VT_CHECK(bytes == again && !memcmp(before, after, bytes));
        VT_EQ(is.checkpoint, was.checkpoint);
        VT_EQ(is.checkpoints, was.checkpoints);
        VT_EQ(is.syncs, was.syncs);
        VT_EQ(count_logs(s.vfs), logs);
        free(before);
        free(after);
        sample_reopen(&s);
    }
    sample_end(&s);
}

/* Snapshots and cursors of several states, each opened before a checkpoint; after some of them the file is
 * all that has what they see. */
static void check_readers(bool is_reopened) {
    enum { READERS = 4 };
    static answers expected[READERS];
    sample s = sample_new();
    vs_txn *txn[READERS];
    vs_cursor *cursor[READERS];
    uint64_t seen[READERS] = {0};
    change(s.db, 0);
    if (is_reopened)
        sample_reopen(&s);
    vs_collection *c = sample_collection(s.db, "many");
    for (int i = 0; i < READERS; i++) {
        txn[i] = sample_begin(s.db, VS_TXN_READ);
        ask(s.db, txn[i], &expected[i]);
        VT_OK(vs_scan(c, txn[i], NULL, &cursor[i]), c);
        VT_EQ(vs_step(cursor[i]), VS_ROW);
        change(s.db, 2 * (uint64_t)i + 1);
        VT_OK(vs_checkpoint(s.db), s.db);
        change(s.db, 2 * (uint64_t)i + 2);
        for (int r = 0; r <= i; r++)
            check_answers(s.db, txn[r], &expected[r]);
    }
    for (int i = 0; i < 6; i++) { /* what is freed is written to */
        change(s.db, 20 + (uint64_t)i);
        VT_OK(vs_checkpoint(s.db), s.db);
    }
    VT_EQ(sample_stats(s.db).readers, 2 * READERS);
    for (int i = 0; i < READERS; i++) {
        uint64_t count = sample_count(c, txn[i]);
        check_answers(s.db, txn[i], &expected[i]);
        vs_rollback(txn[i]); /* its cursor goes on */
        for (seen[i] = 1; vs_step(cursor[i]) == VS_ROW; seen[i]++) {
            vs_record r = VS_RECORD_INIT;
            VT_OK(vs_cursor_record(cursor[i], &r), cursor[i]);
        }
        VT_EQ(seen[i], count);
        vs_cursor_close(cursor[i]);
        VT_OK(vs_checkpoint(s.db), s.db);
    }
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(snapshots_and_cursors_see_their_state_through_any_number_of_checkpoints) {
    check_readers(false);
}

VT_TEST(snapshots_of_a_reopened_database_read_from_the_file_what_checkpoints_replace) {
    check_readers(true);
}

VT_TEST(a_cursor_that_has_read_little_finds_the_rest_after_checkpoints_replaced_it) {
    static answers expected;
    sample s = sample_new();
    change(s.db, 0);
    ask(s.db, NULL, &expected);
    sample_reopen(&s); /* nothing is in memory */
    vs_txn *txn = sample_begin(s.db, VS_TXN_READ);
    for (uint64_t round = 1; round < 8; round++) {
        change(s.db, round);
        VT_OK(vs_checkpoint(s.db), s.db);
    }
    check_answers(s.db, txn, &expected);
    vs_rollback(txn);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(a_checkpoint_inside_the_own_write_transaction_is_misuse_and_harms_nothing) {
    sample s = sample_new();
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_kv_put(s.db, txn, NULL, "k", 1, "v", 1), txn);
    VT_EQ(vs_checkpoint(s.db), VS_ERR_MISUSE);
    VT_CHECK(vs_errmsg(s.db)[0] != 0);
    VT_OK(vs_kv_put(s.db, txn, NULL, "l", 1, "w", 1), txn);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
    txn = sample_begin(s.db, VS_TXN_READ); /* the own read transaction is none */
    VT_OK(vs_checkpoint(s.db), s.db);
    vs_rollback(txn);
    size_t bytes = 0;
    sample_reopen(&s);
    VT_OK(vs_kv_get(s.db, NULL, NULL, "k", 1, NULL, 0, &bytes), s.db);
    VT_OK(vs_kv_get(s.db, NULL, NULL, "l", 1, NULL, 0, &bytes), s.db);
    sample_end(&s);
}

static void *checkpoint_beside(void *arg) {
    sample *s = arg;
    return (void *)(intptr_t)vs_checkpoint(s->db);
}

VT_TEST(a_checkpoint_beside_another_threads_write_transaction_is_busy) {
    sample s = {NULL, NULL};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    pthread_t thread;
    void *result = NULL;
    size_t bytes = 0;
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    options.vfs = s.vfs;
    options.flags = VS_OPEN_CREATE;
    for (int waits = 0; waits < 2; waits++) {
        options.busy_timeout_ms = waits ? 30 : VS_NO_WAIT;
        VT_OK(vs_open("t.vs", &options, &s.db), s.db);
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        VT_OK(vs_kv_put(s.db, txn, NULL, "k", 1, "v", 1), txn);
        VT_EQ(pthread_create(&thread, NULL, checkpoint_beside, &s), 0);
        VT_EQ(pthread_join(thread, &result), 0);
        VT_EQ((intptr_t)result, VS_ERR_BUSY);
        VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        VT_OK(vs_checkpoint(s.db), s.db);
        VT_OK(vs_kv_get(s.db, NULL, NULL, "k", 1, NULL, 0, &bytes), s.db);
        VT_OK(vs_close(s.db), s.db);
    }
    vs_vfs_memory_destroy(s.vfs);
}

/* All files as they are now, on a file system of their own. */
static vs_vfs *copy_files(vs_vfs *from) {
    vs_vfs *to = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &to), VS_OK);
    VT_CHECK(sample_copy_file(from, to, "t.vs"));
    for (int i = 1; i <= LOGS_MAX; i++) {
        char path[32];
        snprintf(path, sizeof path, "t.vs-wal-%d", i);
        sample_copy_file(from, to, path);
    }
    return to;
}

VT_TEST(a_read_only_database_makes_no_checkpoint_and_its_close_changes_nothing) {
    static answers before;
    sample s = sample_new();
    change(s.db, 0);
    VT_OK(vs_checkpoint(s.db), s.db);
    change(s.db, 1);
    ask(s.db, NULL, &before);
    for (int is_closed = 0; is_closed < 2; is_closed++) {
        if (is_closed)
            VT_OK(vs_close(s.db), s.db);
        sample copy = {copy_files(s.vfs), NULL};
        size_t bytes = 0, again = 0;
        int logs = count_logs(copy.vfs);
        VT_EQ(logs, is_closed ? 0 : 2);
        uint8_t *was = read_file(copy.vfs, "t.vs", &bytes);
        copy.db = sample_open(copy.vfs, "t.vs", VS_OPEN_READONLY);
        VT_EQ(vs_checkpoint(copy.db), VS_ERR_READONLY);
        VT_CHECK(vs_errmsg(copy.db)[0] != 0);
        check_answers(copy.db, NULL, &before);
        sample_check(copy.db);
        VT_EQ(sample_stats(copy.db).checkpoints, 0);
        VT_OK(vs_close(copy.db), copy.db);
        uint8_t *is = read_file(copy.vfs, "t.vs", &again);
        VT_CHECK(bytes == again && !memcmp(was, is, bytes));
        VT_EQ(count_logs(copy.vfs), logs);
        vs_vfs_memory_destroy(copy.vfs);
        free(was);
        free(is);
    }
    vs_vfs_memory_destroy(s.vfs);
}

/* ---- a full disk ---------------------------------------------------------------------------- */

/* The file system in memory; while it is full no file grows, and nothing is written behind the meta
 * pages of the database. */
static struct full {
    vs_vfs *memory;
    vs_vfs vfs;
    bool is_full;
    int messages;
} full;

static vs_status full_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    if (full.is_full && offset >= 131072)
        return VS_ERR_FULL;
    return full.memory->write(ctx, file, buf, bytes, offset, out_bytes, why);
}

static void full_message(void *ctx, int level, const char *message) {
    (void)ctx;
    VT_CHECK(level == VS_LOG_WARNING && message[0]);
    full.messages++;
}

VT_TEST(a_checkpoint_on_a_full_disk_fails_and_everything_is_as_before) {
    static answers before;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    sample s = {NULL, NULL};
    memset(&full, 0, sizeof full);
    VT_EQ(vs_vfs_memory_create(NULL, &full.memory), VS_OK);
    full.vfs = *full.memory;
    full.vfs.write = full_write;
    options.vfs = s.vfs = &full.vfs;
    options.flags = VS_OPEN_CREATE;
    options.log = full_message;
    VT_OK(vs_open("t.vs", &options, &s.db), s.db);
    for (uint64_t round = 0; round < 5; round++) {
        change(s.db, round);
        ask(s.db, NULL, &before);
        vs_txn *txn = sample_begin(s.db, VS_TXN_READ);
        vs_stats was = sample_stats(s.db);
        full.is_full = true;
        VT_EQ(vs_checkpoint(s.db), VS_ERR_FULL);
        VT_CONTAINS(vs_errmsg(s.db), "t.vs");
        full.is_full = false;
        vs_stats is = sample_stats(s.db);
        VT_EQ(is.checkpoint, was.checkpoint);
        VT_EQ(is.checkpoints, was.checkpoints);
        VT_EQ(is.log_bytes >= was.log_bytes, 1);
        VT_STR(is.readonly_reason, "");
        check_answers(s.db, NULL, &before);
        check_answers(s.db, txn, &before);
        sample_check(s.db);
        sample killed = sample_after_kill(&s);
        check_answers(killed.db, NULL, &before);
        sample_end(&killed);
        vs_rollback(txn);
        if (round % 2)
            VT_OK(vs_checkpoint(s.db), s.db);
    }
    VT_EQ(full.messages, 0);
    change(s.db, 9);
    ask(s.db, NULL, &before);
    full.is_full = true;
    VT_OK(vs_close(s.db), NULL); /* keeps the log, and says so */
    full.is_full = false;
    VT_EQ(full.messages, 1);
    VT_CHECK(count_logs(full.memory) > 0);
    VT_OK(vs_open("t.vs", &options, &s.db), s.db);
    check_answers(s.db, NULL, &before);
    VT_OK(vs_close(s.db), s.db);
    VT_EQ(count_logs(full.memory), 0);
    vs_vfs_memory_destroy(full.memory);
}

/* ---- how large the file stays --------------------------------------------------------------- */

enum { CHURN_RECORDS = 4000, CHURN_DIM = 96, CHURN_BATCH = 500, CYCLES = 10 };

/* How a cycle ends. A checkpoint keeps the one before, and a third is written beside the two: three copies
 * when all is replaced. A close keeps one. A copy takes a quarter to a half more than what the user gave
 * (cells, keys, nodes that are not full). */
enum { BY_CHECKPOINT, BY_CLOSE, BY_BOTH };
static const uint64_t churn_limit[] = {50, 31, 50}; /* tenths of the live data */

/* Writes all records anew; returns the bytes of vectors, keys and metadata. */
static uint64_t write_all(vs_db *db, uint64_t cycle, bool deletes_first) {
    vs_collection *c = sample_collection(db, "churn");
    uint64_t bytes = 0;
    float v[CHURN_DIM];
    vs_txn *txn = NULL;
    for (uint64_t key = 0; key < CHURN_RECORDS && deletes_first; key++) {
        txn = txn ? txn : sample_begin(db, VS_TXN_WRITE);
        VT_CHECK(vs_delete(c, txn, vs_key_u64(key)) == (cycle ? VS_OK : VS_ERR_NOT_FOUND));
    }
    if (txn)
        VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
    for (uint64_t key = 0; key < CHURN_RECORDS; key++) {
        if (key % CHURN_BATCH == 0)
            txn = sample_begin(db, VS_TXN_WRITE);
        for (int d = 0; d < CHURN_DIM; d++)
            v[d] = (float)(key + cycle * 7) + (float)d;
        size_t text = vt_mix(key + cycle) % 50 == 0 ? 5000 : 80;
        sample_put(c, txn, key, v, text_of(text, key + cycle));
        bytes += sizeof v + sizeof key + text;
        if (key % CHURN_BATCH == CHURN_BATCH - 1)
            VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
    }
    vs_collection_close(c);
    return bytes;
}

static void check_churn(const char *name, int ends, bool deletes_first) {
    sample s = sample_new();
    uint64_t live = 0, largest = 0, early = 0;
    vs_collection_close(sample_create(s.db, NULL, "churn", CHURN_DIM, VS_F32, VS_L2));
    for (uint64_t cycle = 0; cycle < CYCLES; cycle++) {
        live = write_all(s.db, cycle, deletes_first);
        if (ends != BY_CLOSE)
            VT_OK(vs_checkpoint(s.db), s.db);
        if (ends != BY_CHECKPOINT)
            sample_reopen(&s);
        uint64_t bytes = file_bytes(s.vfs, "t.vs");
        VT_CHECK(bytes >= sample_stats(s.db).file_bytes);
        largest = bytes > largest ? bytes : largest;
        early = cycle < CYCLES / 2 ? largest : early;
    }
    printf("churn, %s: %.2f bytes of file for one of live data\n", name,
           (double)largest / (double)live);
    sample_check(s.db);
    VT_CHECK(largest <= early + early / 20); /* it does not go on growing */
    VT_CHECK(10 * largest <= churn_limit[ends] * live);
    vs_collection *c = sample_collection(s.db, "churn");
    VT_EQ(sample_count(c, NULL), CHURN_RECORDS);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(ten_replacement_cycles_with_a_checkpoint_each_leave_the_file_small) {
    check_churn("checkpoints", BY_CHECKPOINT, false);
}

VT_TEST(ten_replacement_cycles_with_a_close_each_leave_the_file_small) {
    check_churn("closes", BY_CLOSE, false);
}

VT_TEST(ten_replacement_cycles_with_a_checkpoint_and_a_close_each_leave_the_file_small) {
    check_churn("both", BY_BOTH, false);
}

VT_TEST(deleting_everything_ten_times_leaves_the_file_small) {
    check_churn("deletes and checkpoints", BY_CHECKPOINT, true);
    check_churn("deletes and closes", BY_CLOSE, true);
}

VT_TEST(deletes_free_pages_that_later_writes_use) {
    sample s = sample_new();
    vs_collection_close(sample_create(s.db, NULL, "churn", CHURN_DIM, VS_F32, VS_L2));
    write_all(s.db, 0, false);
    uint8_t key = 1;
    static uint8_t value[VS_KV_VALUE_BYTES_MAX];
    for (size_t i = 0; i < sizeof value; i++) /* that cannot be compressed */
        value[i] = (uint8_t)vt_mix(i);
    VT_OK(vs_kv_put(s.db, NULL, NULL, &key, 1, value, sizeof value), s.db);
    VT_OK(vs_checkpoint(s.db), s.db);
    vs_stats full_stats = sample_stats(s.db);
    VT_OK(vs_kv_put(s.db, NULL, NULL, &key, 1, NULL, 0), s.db);
    for (int i = 0; i < 3; i++) { /* two for the checkpoints that still have it */
        VT_OK(vs_kv_put(s.db, NULL, NULL, "x", 1, &i, 1), s.db);
        VT_OK(vs_checkpoint(s.db), s.db);
    }
    vs_stats stats = sample_stats(s.db);
    VT_CHECK(stats.free_bytes >= sizeof value);
    VT_CHECK(stats.file_bytes <= full_stats.file_bytes + 64 * 4096);
    VT_OK(vs_kv_put(s.db, NULL, NULL, &key, 1, value, sizeof value), s.db);
    VT_OK(vs_checkpoint(s.db), s.db);
    VT_CHECK(sample_stats(s.db).free_bytes + sizeof value <= stats.free_bytes + 64 * 4096);
    VT_CHECK(sample_stats(s.db).file_bytes <= full_stats.file_bytes + 64 * 4096);
    sample_check(s.db);
    sample_end(&s);
}

/* ---- damage of the closed file -------------------------------------------------------------- */

static bool is_damage(vs_status st) {
    return st == VS_ERR_CORRUPT || st == VS_ERR_NOT_DB || st == VS_ERR_TOO_NEW ||
           st == VS_ERR_TOO_OLD;
}

/* Each answer is the right one or the refusal to give one; returns how many were refused. */
static int count_refusals(vs_db *db, const answers *expected) {
    static answers found;
    int refused = 0;
    ask(db, NULL, &found);
    for (int i = 0, e = 0; i < found.count; i++, e++) {
        if (found.status[i] == VS_ERR_CORRUPT) {
            refused++;
            continue;
        }
        if (found.count == expected->count) { /* else a collection did not open */
            VT_EQ(found.status[i], expected->status[e]);
            VT_CHECK(found.hash[i] == expected->hash[e]);
        }
    }
    VT_CHECK(refused > 0 || is_same(&found, expected));
    return refused;
}

typedef struct damage_count {
    int refused, reported, harmless;
} damage_count;

/* One byte of the closed file is another. */
static void check_damage(vs_vfs *vfs, uint64_t at, uint8_t byte, uint8_t other,
                         const answers *expected, damage_count *count) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    uint64_t problems = 0;
    options.vfs = vfs;
    options.flags = VS_OPEN_READONLY;
    write_byte(vfs, "t.vs", at, other);
    vs_status st = vs_open("t.vs", &options, &db);
    if (st != VS_OK) {
        VT_CHECK(is_damage(st) && vs_errmsg(db)[0]);
        count->refused++;
    } else {
        VT_OK(vs_check(db, 3, NULL, NULL, &problems), db);
        int refusals = count_refusals(db, expected);
        VT_CHECK(problems > 0 || refusals == 0); /* what harms an answer is reported */
        count->reported += problems > 0;
        count->harmless += problems == 0;
    }
    VT_EQ(vs_close(db), VS_OK);
    write_byte(vfs, "t.vs", at, byte);
}

/* A session that goes on with the damage, and its checkpoint, make no wrong answer of it. */
static void check_damage_goes_on(vs_vfs *vfs, uint64_t at, uint8_t other, const answers *expected) {
    vs_vfs *copy = copy_files(vfs);
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.vfs = copy;
    write_byte(copy, "t.vs", at, other);
    for (int session = 0; session < 3; session++) {
        vs_status st = vs_open("t.vs", &options, &db);
        if (st == VS_OK) {
            count_refusals(db, expected);
            st = vs_kv_put(db, NULL, NULL, "other", 5, &session, sizeof session);
            VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
            st = vs_checkpoint(db);
            VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
            count_refusals(db, expected);
        } else {
            VT_CHECK(is_damage(st));
        }
        st = vs_close(db);
        VT_CHECK(st == VS_OK);
    }
    vs_vfs_memory_destroy(copy);
}

VT_TEST(any_changed_byte_of_a_closed_file_is_refused_or_reported_or_harms_no_answer) {
    enum { SAMPLES = 600 };
    static answers expected;
    sample s = sample_new();
    vt_rng rng = {vt_seed()};
    damage_count count = {0, 0, 0};
    size_t bytes = 0;
    for (uint64_t round = 0; round < 4; round++) {
        change(s.db, round);
        sample_reopen(&s);
    }
    ask(s.db, NULL, &expected);
    VT_OK(vs_close(s.db), s.db);
    uint8_t *data = read_file(s.vfs, "t.vs", &bytes);
    for (int i = 0; i < SAMPLES; i++) {
        uint64_t at = vt_below(&rng, bytes); /* anywhere */
        if (i % 4 == 0)
            at = vt_below(&rng, 4096) + (i % 8 ? 0 : 65536); /* in a meta page */
        if (i % 4 == 1)
            at = at / 4096 * 4096 + vt_below(&rng, 128); /* at the front of a page */
        uint8_t other = (uint8_t)(data[at] ^ (1 + vt_below(&rng, 255)));
        check_damage(s.vfs, at, data[at], other, &expected, &count);
        if (i % 8 == 7)
            check_damage_goes_on(s.vfs, at, other, &expected);
    }
    printf("damage: of %d changed bytes %d were refused, %d reported, %d harmless\n", SAMPLES,
           count.refused, count.reported, count.harmless);
    VT_CHECK(count.reported > SAMPLES / 4);
    s.db = sample_open(s.vfs, "t.vs", 0); /* all is as it was */
    check_answers(s.db, NULL, &expected);
    sample_check(s.db);
    free(data);
    sample_end(&s);
}

static void keep_problem(void *ctx, const char *problem) {
    snprintf(ctx, 200, "%s", problem);
}

/* With the log of the checkpoint before, damage of the newest catalog loses nothing, and is reported until
 * a new checkpoint takes its place. */
VT_TEST(a_damaged_catalog_of_the_newest_checkpoint_of_a_killed_session_loses_nothing) {
    static answers expected;
    static const uint8_t zero[8];
    sample s = sample_new();
    for (uint64_t round = 0; round < 3; round++) {
        change(s.db, round);
        VT_OK(vs_checkpoint(s.db), s.db);
    }
    change(s.db, 3);
    ask(s.db, NULL, &expected);
    size_t bytes = 0;
    uint8_t *data = read_file(s.vfs, "t.vs", &bytes);
    uint8_t *meta = memcmp(data + 64, data + 65536 + 64, 8) > 0 ? data : data + 65536;
    uint64_t page = 0; /* of the catalog: FORMAT.md sections 2 and 3, a number below 2^16 here */
    VT_CHECK(memcmp(meta + 128 + 64 + 2, zero, 3) == 0);
    page = (uint64_t)meta[128 + 64] | (uint64_t)meta[128 + 64 + 1] << 8;
    VT_CHECK(page >= 32 && page * 4096 < bytes);
    for (int i = 0; i < 40; i++) {
        sample killed = {copy_files(s.vfs), NULL};
        uint64_t at = page * 4096 + (i < 20 ? (uint64_t)i : (uint64_t)(i * 104));
        write_byte(killed.vfs, "t.vs", at, data[at] ^ 4);
        killed.db = sample_open(killed.vfs, "t.vs", 0);
        check_answers(killed.db, NULL, &expected);
        char problem[200] = "";
        uint64_t problems = 0;
        VT_OK(vs_check(killed.db, 0, keep_problem, problem, &problems), killed.db);
        VT_EQ(problems, 1);
        VT_CONTAINS(problem, "is damaged; checkpoint");
        sample_reopen(&killed);
        check_answers(killed.db, NULL, &expected);
        sample_check(killed.db);
        sample_end(&killed);
    }
    free(data);
    sample_end(&s);
}
