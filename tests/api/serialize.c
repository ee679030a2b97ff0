/* serialize.c - a database as one block of bytes, and a database opened over such bytes. */
#include "sample.h"
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { DIM = 24 };

/* ---- what the tests share ------------------------------------------------------------------- */

typedef struct block {
    uint8_t *data;
    size_t bytes;
} block;

static block serialize(vs_db *db) {
    void *data = NULL;
    block b = {NULL, 0};
    VT_OK(vs_serialize(db, &data, &b.bytes), db);
    VT_CHECK(data && b.bytes >= 69632 && b.bytes % 4096 == 0);
    VT_EQ((uintptr_t)data % 16, 0);
    b.data = data;
    return b;
}

static vs_db *deserialize(block b, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = flags;
    VT_OK(vs_deserialize(b.data, b.bytes, &options, &db), db);
    return db;
}

static void expect_same_content(vs_db *a, vs_db *b) {
    vs_stats of_a = sample_stats(a), of_b = sample_stats(b);
    VT_CHECK(of_a.digest[0] == of_b.digest[0] && of_a.digest[1] == of_b.digest[1]);
}

static void expect_same_bytes(block a, block b) {
    VT_EQ(a.bytes, b.bytes);
    for (size_t i = 0; i < a.bytes; i++)
        if (a.data[i] != b.data[i])
            vt_fail(__FILE__, __LINE__, "byte %zu is %d, expected %d", i, a.data[i], b.data[i]);
}

/* The bytes open, verify and have the content of db, and give themselves back. */
static void expect_round_trip(vs_db *db) {
    block bytes = serialize(db);
    vs_db *copy = deserialize(bytes, 0);
    expect_same_content(db, copy);
    sample_check(copy);
    block again = serialize(copy);
    expect_same_bytes(again, bytes);
    vs_free(again.data);
    VT_OK(vs_close(copy), copy);
    vs_free(bytes.data);
}

/* A file of a file system in memory. */
static block file_of(vs_vfs *vfs, const char *path) {
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    uint64_t bytes = 0;
    block b = {NULL, 0};
    VT_EQ(vfs->open(vfs->ctx, path, VS_VFS_READ, &file, why), VS_OK);
    VT_EQ(vfs->file_size(vfs->ctx, file, &bytes, why), VS_OK);
    b.data = malloc((size_t)bytes);
    VT_CHECK(b.data);
    VT_EQ(vfs->read(vfs->ctx, file, b.data, (size_t)bytes, 0, &b.bytes, why), VS_OK);
    VT_EQ(b.bytes, bytes);
    vfs->close(vfs->ctx, file);
    return b;
}

static void put_many(vs_collection *c, vs_txn *txn, uint64_t first, uint64_t count) {
    float v[DIM] = {0};
    for (uint64_t key = first; key < first + count; key++) {
        char metadata[64];
        snprintf(metadata, sizeof metadata, "{\"n\":%" PRIu64 "}", key);
        v[key % DIM] = (float)key;
        sample_put(c, txn, key, v, key % 3 ? metadata : NULL);
    }
}

/* Metadata of so many bytes, which compress well. */
static char *long_metadata(size_t bytes) {
    char *text = malloc(bytes + 1);
    VT_CHECK(text);
    memset(text, 'x', bytes);
    memcpy(text, "{\"t\":\"", 6);
    memcpy(text + bytes - 2, "\"}", 3);
    return text;
}

/* Something of everything that a database can hold. */
static void put_everything(vs_db *db) {
    static const int types[] = {VS_F32, VS_U8, VS_F16, VS_BF16, VS_I8, VS_BIT};
    uint8_t zeros[DIM * 4] = {0}, uuid[16] = {9, 8, 7};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char name[16];
        snprintf(name, sizeof name, "of %s", vs_type_name(types[i]));
        vs_collection *c = sample_create(db, NULL, name, DIM, types[i], 0);
        for (uint64_t key = 0; key < 40; key++)
            sample_put(c, NULL, key, zeros, "{}");
        vs_collection_close(c);
    }
    vs_field fields[2] = {VS_FIELD_INIT, VS_FIELD_INIT};
    fields[0].dim = DIM;
    fields[0].name = "first";
    fields[1].dim = 3;
    fields[1].name = "second";
    fields[1].flags = VS_FIELD_OPTIONAL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.fields = fields;
    options.field_count = 2;
    vs_collection *c = NULL;
    VT_OK(vs_collection_create(db, NULL, "fields", &options, &c), db);
    put_many(c, NULL, 100, 60);
    float three[3] = {1, 2, 3};
    vs_vector second = {three, VS_F32, 1};
    vs_record r = VS_RECORD_INIT;
    char *metadata = long_metadata(30000);
    r.key = vs_key_in(7, vs_key_text("a text of some length that does not fit into a cell"));
    r.vector = zeros;
    r.vectors = &second;
    r.vector_count = 1;
    r.metadata = metadata;
    VT_OK(vs_put(c, NULL, &r, VS_UPSERT), c);
    r.key = vs_key_uuid(uuid);
    VT_OK(vs_put(c, NULL, &r, VS_UPSERT), c);
    VT_OK(vs_delete(c, NULL, vs_key_u64(110)), c);
    VT_OK(vs_collection_set_limits(c, NULL, 1000, 0), c);
    VT_OK(vs_alias_set(db, NULL, "alias", c), db);
    VT_OK(vs_kv_put(db, NULL, c, "k", 1, metadata, 30000), db);
    VT_OK(vs_kv_put(db, NULL, NULL, "k", 1, "v", 1), db);
    VT_OK(vs_collection_rename(c, NULL, "renamed"), c);
    vs_collection_close(c);
    free(metadata);
}

/* ---- round trips ---------------------------------------------------------------------------- */

VT_TEST(everything_a_database_holds_is_in_its_bytes) {
    for (int variant = 0; variant < 8; variant++) {
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        vs_db *db = NULL;
        vt_at("variant", (uint64_t)variant);
        options.trailer_bytes = variant & 1 ? 40 : 0;
        options.compression = variant & 2 ? VS_COMPRESSION_NONE : VS_COMPRESSION_DEFAULT;
        options.flags = variant & 4 ? VS_OPEN_MMAP : 0;
        VT_OK(vs_open(":memory:", &options, &db), db);
        put_everything(db);
        expect_round_trip(db); /* all in the log */
        VT_OK(vs_checkpoint(db), db);
        expect_round_trip(db); /* all in the file */
        vs_collection *c = sample_collection(db, "alias");
        put_many(c, NULL, 100, 200);
        expect_round_trip(db); /* some in both */
        vs_collection_close(c);
        VT_OK(vs_close(db), db);
    }
}

VT_TEST(an_empty_database_has_bytes_too) {
    vs_db *db = NULL;
    VT_OK(vs_open(":memory:", NULL, &db), db);
    expect_round_trip(db);
    VT_OK(vs_checkpoint(db), db);
    expect_round_trip(db);
    vs_collection *c = sample_create(db, NULL, "c", DIM, VS_F32, VS_L2);
    expect_round_trip(db);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
}

VT_TEST(a_closed_database_serializes_to_its_file) {
    sample s = sample_new();
    put_everything(s.db);
    sample_reopen(&s);
    block bytes = serialize(s.db);
    VT_OK(vs_close(s.db), s.db);
    block file = file_of(s.vfs, "t.vs");
    expect_same_bytes(bytes, file);
    vs_free(bytes.data);
    free(file.data);
    s.db = sample_open(s.vfs, "t.vs", 0);
    sample_end(&s);
}

VT_TEST(the_bytes_are_those_that_closing_would_leave) {
    sample s = sample_new();
    put_everything(s.db);
    for (int i = 0; i < 3; i++) { /* two checkpoints are kept, and there are holes */
        vs_collection *c = sample_collection(s.db, "alias");
        put_many(c, NULL, 100, 400);
        vs_collection_close(c);
        VT_OK(vs_checkpoint(s.db), s.db);
    }
    block bytes = serialize(s.db);
    vs_db *copy = deserialize(bytes, VS_OPEN_READONLY);
    VT_OK(vs_close(s.db), s.db);
    block file = file_of(s.vfs, "t.vs");
    s.db = sample_open(s.vfs, "t.vs", 0);
    expect_same_content(s.db, copy);
    VT_CHECK(bytes.bytes <= file.bytes + 16 * 4096 && file.bytes <= bytes.bytes + 16 * 4096);
    VT_EQ(sample_stats(copy).log_bytes, 0);
    VT_OK(vs_close(copy), copy);
    vs_free(bytes.data);
    free(file.data);
    sample_end(&s);
}

VT_TEST(bytes_written_to_a_file_are_a_database) {
    sample s = sample_new();
    put_everything(s.db);
    block bytes = serialize(s.db);
    const char *path = vt_scratch("written.vs");
    vt_write_file(path, bytes.data, bytes.bytes);
    vs_db *db = sample_open(NULL, path, 0);
    expect_same_content(s.db, db);
    sample_check(db);
    vs_collection *c = sample_collection(db, "renamed");
    put_many(c, NULL, 5000, 100);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    db = sample_open(NULL, path, VS_OPEN_READONLY);
    sample_check(db);
    VT_OK(vs_close(db), db);
    vs_free(bytes.data);
    sample_end(&s);
}

VT_TEST(a_database_of_some_megabytes_goes_round) {
    vs_db *db = NULL;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.memory_limit = 4 << 20;
    VT_OK(vs_open(":memory:", &options, &db), db);
    vs_collection *c = sample_create(db, NULL, "c", 512, VS_F32, VS_L2);
    static float rows[1000 * 512];
    uint64_t numbers[1000];
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 1000;
    batch.numbers = numbers;
    batch.vectors = rows;
    for (int round = 0; round < 6; round++) {
        for (uint64_t i = 0; i < 1000; i++) {
            numbers[i] = (uint64_t)(round % 4) * 1000 + i;
            rows[i * 512] = (float)(round * 1000) + (float)i;
        }
        VT_OK(vs_put_batch(c, NULL, &batch, VS_UPSERT), c);
        if (round == 3)
            VT_OK(vs_checkpoint(db), db);
    }
    expect_round_trip(db);
    block bytes = serialize(db);
    VT_CHECK(bytes.bytes > 4000 * sizeof(float) * 512);
    vs_free(bytes.data);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
}

/* ---- in pieces ------------------------------------------------------------------------------ */

typedef struct pieces {
    uint8_t *data;
    size_t bytes, room, largest;
    int calls, fail_at;
    vs_db *db; /* used while it is called; NULL: not */
} pieces;

static vs_status collect(void *ctx, const void *data, size_t bytes, uint64_t offset) {
    pieces *p = ctx;
    if (++p->calls == p->fail_at)
        return VS_ERR_DENIED;
    VT_EQ(offset, p->bytes);
    VT_CHECK(bytes > 0 && bytes <= p->room - p->bytes);
    memcpy(p->data + p->bytes, data, bytes);
    p->bytes += bytes;
    p->largest = bytes > p->largest ? bytes : p->largest;
    if (p->db)
        VT_OK(vs_kv_put(p->db, NULL, NULL, "called", 6, &offset, sizeof offset), p->db);
    return VS_OK;
}

VT_TEST(the_pieces_make_the_block) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2);
    for (int large = 0; large < 2; large++) {
        block whole = serialize(s.db);
        pieces p = {.data = malloc(whole.bytes), .room = whole.bytes, .db = s.db};
        VT_CHECK(p.data);
        VT_OK(vs_serialize_to(s.db, collect, &p), s.db);
        expect_same_bytes((block){p.data, p.bytes}, whole);
        VT_CHECK(p.largest <= 1 << 20 && (p.calls > 2) == (large == 1));
        p.db = NULL;
        p.fail_at = p.calls;
        p.calls = 0;
        p.bytes = 0;
        VT_EQ(vs_serialize_to(s.db, collect, &p), VS_ERR_DENIED);
        VT_CONTAINS(vs_errmsg(s.db), "VS_ERR_DENIED");
        VT_EQ(p.calls, p.fail_at);
        free(p.data);
        vs_free(whole.data);
        char *metadata = long_metadata(900000);
        for (size_t i = 10; i + 10 < 900000; i++)
            metadata[i] = (char)('a' + vt_mix(i) % 26); /* does not compress well */
        float v[DIM] = {0};
        for (uint64_t key = 0; key < 5; key++)
            sample_put(c, NULL, key, v, metadata);
        free(metadata);
    }
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(pieces_without_memory_are_none) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    static uint8_t room[1 << 20];
    options.allocator = &allocator;
    VT_OK(vs_open(":memory:", &options, &db), db);
    vs_status st = VS_ERR_NOMEM;
    for (uint64_t at = 1; st != VS_OK; at++) {
        pieces p = {.data = room, .room = sizeof room};
        counter.fail_at = counter.calls + at;
        st = vs_serialize_to(db, collect, &p);
        counter.fail_at = 0;
        VT_CHECK(st == VS_ERR_NOMEM ? !p.calls : st == VS_OK && p.calls == 1);
    }
    VT_OK(vs_close(db), db);
    VT_EQ(counter.live_blocks, 0);
}

/* ---- what serializing looks at -------------------------------------------------------------- */

VT_TEST(serializing_changes_nothing) {
    sample s = sample_new();
    put_everything(s.db);
    VT_OK(vs_checkpoint(s.db), s.db);
    vs_collection *c = sample_collection(s.db, "renamed");
    put_many(c, NULL, 2000, 50);
    vs_stats before = sample_stats(s.db);
    block data = file_of(s.vfs, "t.vs"), log = file_of(s.vfs, "t.vs-wal-2");
    for (int i = 0; i < 3; i++)
        vs_free(serialize(s.db).data);
    vs_stats after = sample_stats(s.db);
    before.memory_bytes = after.memory_bytes; /* more may have been read */
    VT_CHECK(!memcmp(&before, &after, sizeof before));
    block data_after = file_of(s.vfs, "t.vs"), log_after = file_of(s.vfs, "t.vs-wal-2");
    expect_same_bytes(data_after, data);
    expect_same_bytes(log_after, log);
    sample_check(s.db);
    put_many(c, NULL, 2000, 80);
    vs_collection_close(c);
    sample_reopen(&s);
    sample_check(s.db);
    sample_end(&s);
    free(data.data);
    free(log.data);
    free(data_after.data);
    free(log_after.data);
}

VT_TEST(a_transaction_that_is_open_is_not_in_the_bytes) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2);
    put_many(c, NULL, 0, 10);
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        vs_txn *reader = sample_begin(s.db, VS_TXN_READ), *txn = sample_begin(s.db, VS_TXN_WRITE);
        char *metadata = long_metadata(700000);
        put_many(c, txn, 0, 20);
        for (uint64_t key = 100; key < 105; key++) { /* so much that it is in the log already */
            float v[DIM] = {1};
            sample_put(c, txn, key, v, metadata);
            expect_round_trip(s.db);
        }
        block bytes = serialize(s.db);
        vs_db *copy = deserialize(bytes, VS_OPEN_READONLY);
        vs_collection *in_copy = sample_collection(copy, "c");
        VT_EQ(sample_count(in_copy, NULL), 10);
        vs_collection_close(in_copy);
        VT_OK(vs_close(copy), copy);
        vs_free(bytes.data);
        vs_rollback(txn);
        expect_round_trip(s.db); /* its frames are behind the last commit */
        vs_rollback(reader);
        free(metadata);
        VT_OK(vs_checkpoint(s.db), s.db);
        expect_round_trip(s.db);
    }
    put_many(c, NULL, 0, 30);
    expect_round_trip(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(commits_that_are_not_synced_are_in_the_bytes) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2);
    for (int sync = VS_SYNC_NORMAL; sync <= VS_SYNC_OFF; sync++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        put_many(c, txn, (uint64_t)sync * 100, 10);
        VT_OK(vs_commit(txn, sync), s.db);
        VT_CHECK(sample_stats(s.db).durable_lsn < sample_stats(s.db).lsn);
        expect_round_trip(s.db);
    }
    vs_collection_close(c);
    sample_end(&s);
}

/* A file system that asks before it syncs. */
static struct {
    const vs_vfs *vfs;
    vs_db *db;
    int serialized;
} before_sync;

static vs_status sync_after_serializing(void *ctx, void *file, char *why) {
    if (before_sync.db) {
        vs_db *db = before_sync.db;
        before_sync.db = NULL;
        expect_round_trip(db);
        before_sync.serialized++;
    }
    return before_sync.vfs->sync(ctx, file, why);
}

VT_TEST(a_commit_that_readers_do_not_see_yet_is_not_in_the_bytes) {
    sample s = sample_new();
    vs_vfs asking = *s.vfs;
    asking.sync = sync_after_serializing;
    before_sync.vfs = s.vfs;
    before_sync.serialized = 0;
    VT_OK(vs_close(s.db), s.db);
    s.db = sample_open(&asking, "t.vs", 0);
    vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2);
    for (int i = 0; i < 6; i++) {
        put_many(c, NULL, 50, 1); /* begins the log file, whose syncs nobody may look into */
        uint64_t lsn = sample_stats(s.db).lsn;
        before_sync.db = s.db; /* in the log, and not synced */
        put_many(c, NULL, (uint64_t)i, 1);
        VT_EQ(before_sync.serialized, i + 1);
        VT_EQ(sample_stats(s.db).lsn, lsn + 1);
        expect_round_trip(s.db);
        if (i == 2)
            VT_OK(vs_checkpoint(s.db), s.db);
    }
    vs_collection_close(c);
    sample_end(&s);
}

static bool syncs_fail;

static vs_status sync_or_fail(void *ctx, void *file, char *why) {
    return syncs_fail ? VS_ERR_IO : before_sync.vfs->sync(ctx, file, why);
}

VT_TEST(a_database_that_cannot_write_any_more_serializes_what_readers_see) {
    sample s = sample_new();
    vs_vfs failing = *s.vfs;
    failing.sync = sync_or_fail;
    before_sync.vfs = s.vfs;
    VT_OK(vs_close(s.db), s.db);
    s.db = sample_open(&failing, "t.vs", 0);
    vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2);
    put_many(c, NULL, 0, 10);
    syncs_fail = true;
    float v[DIM] = {0};
    VT_EQ(sample_try_put(c, NULL, 77, v, NULL, VS_UPSERT), VS_ERR_INDOUBT);
    VT_EQ(sample_try_put(c, NULL, 78, v, NULL, VS_UPSERT), VS_ERR_READONLY);
    VT_EQ(sample_count(c, NULL), 10);
    expect_round_trip(s.db);
    vs_collection_close(c);
    VT_EQ(vs_close(s.db), VS_ERR_INDOUBT);
    syncs_fail = false;
    vs_vfs_memory_destroy(s.vfs);
}

/* Whatever a killed process leaves, in both ways to open it. */
VT_TEST(a_database_with_a_log_serializes_read_only_too) {
    sample s = sample_new();
    put_everything(s.db);
    for (int round = 0; round < 3; round++) {
        sample killed = sample_after_kill(&s);
        expect_same_content(s.db, killed.db);
        expect_round_trip(killed.db);
        VT_OK(vs_close(killed.db), killed.db);
        vs_vfs_memory_destroy(killed.vfs);
        killed = (sample){NULL, NULL};
        VT_EQ(vs_vfs_memory_create(NULL, &killed.vfs), VS_OK);
        VT_CHECK(sample_copy_file(s.vfs, killed.vfs, "t.vs"));
        for (int i = 1; i < 9; i++) {
            char path[32];
            snprintf(path, sizeof path, "t.vs-wal-%d", i);
            sample_copy_file(s.vfs, killed.vfs, path);
        }
        killed.db = sample_open(killed.vfs, "t.vs", VS_OPEN_READONLY);
        block before = file_of(killed.vfs, "t.vs");
        expect_same_content(s.db, killed.db);
        expect_round_trip(killed.db);
        block after = file_of(killed.vfs, "t.vs");
        expect_same_bytes(after, before);
        free(before.data);
        free(after.data);
        sample_end(&killed);
        VT_OK(vs_checkpoint(s.db), s.db);
        vs_collection *c = sample_collection(s.db, "renamed");
        put_many(c, NULL, 3000 + (uint64_t)round * 10, 10);
        vs_collection_close(c);
    }
    sample_end(&s);
}

/* ---- beside others -------------------------------------------------------------------------- */

typedef struct contest {
    vs_db *db;
    atomic_int is_over;
    atomic_int failures;
} contest;

/* Commit i puts key i and the note that says so. */
static void *contest_write(void *ctx) {
    contest *x = ctx;
    vs_collection *c = NULL;
    float v[DIM] = {0};
    bool ok = vs_collection_open(x->db, NULL, "c", &c) == VS_OK;
    for (uint64_t i = 1; ok && (i < 400 || !atomic_load(&x->is_over)) && i < 20000; i++) {
        vs_txn *txn = NULL;
        v[0] = (float)i;
        ok = vs_begin(x->db, VS_TXN_WRITE, &txn) == VS_OK &&
             sample_try_put(c, txn, i, v, NULL, VS_UPSERT) == VS_OK &&
             vs_kv_put(x->db, txn, NULL, "n", 1, &i, sizeof i) == VS_OK &&
             vs_commit(txn, i % 3 ? VS_SYNC_NORMAL : VS_SYNC_FULL) == VS_OK;
        if (ok && i % 50 == 0)
            ok = vs_checkpoint(x->db) == VS_OK;
    }
    atomic_fetch_add(&x->failures, !ok);
    vs_collection_close(c);
    return NULL;
}

static void *contest_read(void *ctx) {
    contest *x = ctx;
    vs_collection *c = NULL;
    float v[DIM] = {0};
    bool ok = vs_collection_open(x->db, NULL, "c", &c) == VS_OK;
    while (ok && !atomic_load(&x->is_over)) {
        vs_hit hits[3];
        size_t n = 0;
        ok = vs_search(c, NULL, v, VS_F32, 3, NULL, hits, &n) == VS_OK;
    }
    atomic_fetch_add(&x->failures, !ok);
    vs_collection_close(c);
    return NULL;
}

/* What the bytes hold is the state after one commit, none older than the last one that was seen before. */
static uint64_t expect_one_state(vs_db *db, uint64_t at_least) {
    block bytes = serialize(db);
    vs_db *copy = deserialize(bytes, VS_OPEN_READONLY);
    uint64_t n = 0, problems = 0;
    size_t got = 0;
    vs_status st = vs_kv_get(copy, NULL, NULL, "n", 1, &n, sizeof n, &got);
    VT_CHECK(st == VS_OK || (st == VS_ERR_NOT_FOUND && at_least == 0));
    VT_CHECK(n >= at_least);
    vs_collection *c = sample_collection(copy, "c");
    VT_EQ(sample_count(c, NULL), n);
    VT_CHECK(n == 0 || sample_has(c, NULL, n));
    VT_OK(vs_check(copy, 3, NULL, NULL, &problems), copy);
    VT_EQ(problems, 0);
    vs_collection_close(c);
    VT_OK(vs_close(copy), copy);
    vs_free(bytes.data);
    return n;
}

VT_TEST(bytes_are_of_one_commit_while_others_read_and_write) {
    sample s = sample_new();
    contest x = {.db = s.db};
    pthread_t threads[3];
    vs_collection_close(sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2));
    VT_EQ(pthread_create(&threads[0], NULL, contest_write, &x), 0);
    VT_EQ(pthread_create(&threads[1], NULL, contest_read, &x), 0);
    VT_EQ(pthread_create(&threads[2], NULL, contest_read, &x), 0);
    uint64_t n = 0;
    for (int i = 0; i < 40; i++) {
        uint64_t seen = 0;
        size_t got = 0;
        vs_status st = vs_kv_get(s.db, NULL, NULL, "n", 1, &seen, sizeof seen, &got);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
        n = expect_one_state(s.db, seen > n ? seen : n);
    }
    atomic_store(&x.is_over, 1);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    VT_EQ(x.failures, 0);
    expect_one_state(s.db, n);
    sample_check(s.db);
    sample_end(&s);
}

/* ---- failures ------------------------------------------------------------------------------- */

VT_TEST(serializing_without_memory_says_so_and_changes_nothing) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.allocator = &allocator;
    VT_OK(vs_open(":memory:", &options, &db), db);
    put_everything(db);
    VT_OK(vs_checkpoint(db), db);
    vs_collection *c = sample_collection(db, "renamed");
    put_many(c, NULL, 0, 20);
    vs_collection_close(c);
    block whole = serialize(db);
    vs_status st = VS_ERR_NOMEM;
    uint64_t at = 1;
    for (; st != VS_OK; at++) {
        void *data = &counter;
        size_t bytes = 77;
        uint64_t live = counter.live_bytes;
        counter.fail_at = counter.calls + at;
        st = vs_serialize(db, &data, &bytes);
        counter.fail_at = 0;
        if (st == VS_OK) {
            vs_free(data);
        } else {
            VT_EQ(st, VS_ERR_NOMEM);
            VT_CHECK(data == &counter && bytes == 77);
            VT_CONTAINS(vs_errmsg(db), "memory");
        }
        VT_EQ(counter.live_bytes, live);
    }
    VT_CHECK(at > 50);
    block again = serialize(db);
    expect_same_content(db, db);
    VT_EQ(again.bytes, whole.bytes);
    vs_free(again.data);
    vs_free(whole.data);
    sample_check(db);
    VT_OK(vs_close(db), db);
    VT_EQ(counter.live_blocks, 0);
}

VT_TEST(deserializing_without_memory_says_so_and_leaks_nothing) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    sample s = sample_new();
    put_everything(s.db);
    block bytes = serialize(s.db);
    for (uint32_t flags = 0; flags <= VS_OPEN_READONLY; flags++) {
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        options.allocator = &allocator;
        options.flags = flags;
        vs_status st = VS_ERR_NOMEM;
        for (uint64_t at = 1; st != VS_OK; at++) {
            vs_db *db = NULL;
            counter.fail_at = counter.calls + at;
            st = vs_deserialize(bytes.data, bytes.bytes, &options, &db);
            counter.fail_at = 0;
            VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
            VT_CHECK(db || at == 1);
            if (st == VS_OK)
                expect_same_content(s.db, db);
            VT_EQ(vs_close(db), VS_OK);
            VT_EQ(counter.live_blocks, 0);
        }
    }
    vs_free(bytes.data);
    sample_end(&s);
}

VT_TEST(a_damaged_database_gives_no_bytes) {
    sample s = sample_new();
    put_everything(s.db);
    VT_OK(vs_close(s.db), s.db);
    block file = file_of(s.vfs, "t.vs");
    char why[VS_VFS_WHY_BYTES];
    int refused = 0;
    for (size_t at = 32 * 4096 + 100; at < file.bytes; at += 4096) {
        void *handle = NULL, *data = NULL;
        size_t n = 0, bytes = 0;
        uint8_t wrong = (uint8_t)~file.data[at];
        VT_EQ(s.vfs->open(s.vfs->ctx, "t.vs", VS_VFS_WRITE, &handle, why), VS_OK);
        VT_EQ(s.vfs->write(s.vfs->ctx, handle, &wrong, 1, at, &n, why), VS_OK);
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        vs_db *db = NULL;
        options.vfs = s.vfs;
        options.flags = VS_OPEN_READONLY;
        vs_status st = vs_open("t.vs", &options, &db);
        uint64_t problems = 1;
        if (st == VS_OK) {
            VT_OK(vs_check(db, 2, NULL, NULL, &problems), db);
            st = vs_serialize(db, &data, &bytes);
            VT_EQ(st, problems ? VS_ERR_CORRUPT : VS_OK);
            VT_CHECK(!problems == !!data);
            vs_free(data);
        }
        refused += st == VS_ERR_CORRUPT;
        VT_EQ(vs_close(db), VS_OK);
        VT_EQ(s.vfs->write(s.vfs->ctx, handle, &file.data[at], 1, at, &n, why), VS_OK);
        s.vfs->close(s.vfs->ctx, handle);
    }
    VT_CHECK(refused > 10);
    free(file.data);
    s.db = sample_open(s.vfs, "t.vs", 0);
    sample_end(&s);
}

static void expect_refusal(const void *data, size_t bytes, const vs_open_options *options,
                           vs_status status, const char *message) {
    vs_db *db = NULL;
    VT_EQ(vs_deserialize(data, bytes, options, &db), status);
    VT_CONTAINS(vs_errmsg(db), message);
    VT_EQ(vs_close(db), VS_OK);
}

VT_TEST(bytes_that_are_no_database_are_refused_as_by_opening) {
    static uint8_t zeros[200000];
    vs_open_options create = VS_OPEN_OPTIONS_INIT;
    create.flags = VS_OPEN_CREATE;
    expect_refusal(zeros, 0, NULL, VS_ERR_NOT_DB, "empty");
    expect_refusal(zeros, 0, &create, VS_ERR_NOT_DB, "empty");
    expect_refusal(zeros, 1, NULL, VS_ERR_NOT_DB, ":memory:");
    expect_refusal("hello, this is a text", 21, NULL, VS_ERR_NOT_DB, "");
    sample s = sample_new();
    put_everything(s.db);
    block open_file = file_of(s.vfs, "t.vs"); /* without its log */
    expect_refusal(open_file.data, open_file.bytes, NULL, VS_ERR_LOG_MISSING, "wal-1");
    free(open_file.data);
    sample_end(&s);
}

VT_TEST(damaged_bytes_never_give_another_content) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2);
    put_many(c, NULL, 0, 100);
    vs_collection_close(c);
    block bytes = serialize(s.db);
    vs_open_options readonly = VS_OPEN_OPTIONS_INIT;
    readonly.flags = VS_OPEN_READONLY;
    for (size_t cut = 0; cut < bytes.bytes; cut += 4096 - cut / 4096) {
        vs_db *db = NULL;
        vs_status st = vs_deserialize(bytes.data, cut, &readonly, &db);
        VT_CHECK(st == VS_ERR_CORRUPT || st == VS_ERR_NOT_DB);
        VT_EQ(vs_close(db), VS_OK);
    }
    for (size_t at = 0; at < bytes.bytes; at += at % 4096 < 512 ? 1 : 211) {
        vs_db *db = NULL;
        uint64_t problems = 0;
        bytes.data[at] ^= 0x20;
        vs_status st = vs_deserialize(bytes.data, bytes.bytes, &readonly, &db);
        if (st == VS_OK)
            VT_OK(vs_check(db, 2, NULL, NULL, &problems), db);
        else
            VT_CHECK(st == VS_ERR_CORRUPT || st == VS_ERR_NOT_DB || st == VS_ERR_TOO_NEW ||
                     st == VS_ERR_TOO_OLD);
        if (st == VS_OK && problems == 0)
            expect_same_content(s.db, db);
        VT_EQ(vs_close(db), VS_OK);
        bytes.data[at] ^= 0x20;
    }
    vs_free(bytes.data);
    sample_end(&s);
}

/* ---- whose bytes they are ------------------------------------------------------------------- */

VT_TEST(a_database_over_bytes_that_were_copied_needs_them_no_more) {
    sample s = sample_new();
    put_everything(s.db);
    block bytes = serialize(s.db);
    vs_db *copy = deserialize(bytes, VS_OPEN_CREATE); /* the flag means nothing */
    memset(bytes.data, 0, bytes.bytes);
    vs_free(bytes.data);
    expect_same_content(s.db, copy);
    sample_check(copy);
    vs_collection *c = sample_collection(copy, "renamed");
    put_many(c, NULL, 9000, 500);
    VT_OK(vs_checkpoint(copy), copy);
    put_many(c, NULL, 9000, 600);
    sample_check(copy);
    expect_round_trip(copy);
    vs_collection_close(c);
    VT_OK(vs_close(copy), copy);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(reading_only_uses_the_bytes_where_they_are) {
    sample s = sample_new();
    put_everything(s.db);
    block bytes = serialize(s.db);
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    for (size_t shift = 0; shift < 17; shift++) { /* also where nothing is aligned */
        uint8_t *room = malloc(bytes.bytes + 32), *place = room + shift;
        VT_CHECK(room);
        memcpy(place, bytes.data, bytes.bytes);
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        options.flags = VS_OPEN_READONLY | (shift % 2 ? 0 : VS_OPEN_MMAP);
        options.allocator = &allocator;
        vs_db *db = NULL;
        VT_OK(vs_deserialize(place, bytes.bytes, &options, &db), db);
        VT_CHECK(counter.live_bytes < bytes.bytes); /* no copy */
        expect_same_content(s.db, db);
        sample_check(db);
        vs_collection *c = sample_collection(db, "alias");
        VT_CHECK(sample_has(c, NULL, 100));
        float v[DIM] = {0};
        vs_hit hit;
        size_t n = 0;
        VT_OK(vs_search(c, NULL, v, 0, 1, NULL, &hit, &n), c);
        VT_EQ(sample_try_put(c, NULL, 1, v, NULL, VS_UPSERT), VS_ERR_READONLY);
        vs_collection_close(c);
        VT_EQ(vs_checkpoint(db), VS_ERR_READONLY);
        expect_round_trip(db);
        VT_OK(vs_close(db), db);
        VT_CHECK(!memcmp(place, bytes.data, bytes.bytes));
        VT_EQ(counter.live_blocks, 0);
        free(room);
    }
    vs_free(bytes.data);
    sample_end(&s);
}

VT_TEST(a_block_outlives_its_database_and_goes_back_to_its_allocator) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.allocator = &allocator;
    VT_OK(vs_open(":memory:", &options, &db), db);
    uint64_t used = sample_stats(db).memory_bytes;
    block bytes = serialize(db);
    VT_EQ(sample_stats(db).memory_bytes, used);
    VT_OK(vs_close(db), db);
    VT_EQ(counter.live_blocks, 1);
    vs_db *copy = deserialize(bytes, 0);
    sample_check(copy);
    VT_OK(vs_close(copy), copy);
    vs_free(bytes.data);
    VT_EQ(counter.live_blocks, 0);
    VT_EQ(counter.live_bytes, 0);
    vs_free(NULL);
}

VT_TEST(wrong_arguments_are_refused) {
    sample s = sample_new();
    void *data = NULL;
    size_t bytes = 0;
    vs_db *db = NULL;
    VT_EQ(vs_serialize(NULL, &data, &bytes), VS_ERR_MISUSE);
    VT_EQ(vs_serialize(s.db, NULL, &bytes), VS_ERR_MISUSE);
    VT_EQ(vs_serialize(s.db, &data, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_serialize_to(NULL, collect, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_serialize_to(s.db, NULL, NULL), VS_ERR_MISUSE);
    vs_txn *txn = sample_begin(s.db, VS_TXN_READ);
    VT_EQ(vs_serialize((vs_db *)(void *)txn, &data, &bytes), VS_ERR_MISUSE);
    vs_rollback(txn);
    VT_CHECK(!data && !bytes);
    block b = serialize(s.db);
    VT_EQ(vs_deserialize(b.data, b.bytes, NULL, NULL), VS_ERR_MISUSE);
    expect_refusal(NULL, b.bytes, NULL, VS_ERR_MISUSE, "data is NULL");
    expect_refusal(NULL, 0, NULL, VS_ERR_MISUSE, "data is NULL");
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.vfs = s.vfs;
    expect_refusal(b.data, b.bytes, &options, VS_ERR_MISUSE, "vs_deserialize: ");
    options.vfs = NULL;
    options.flags = 1u << 30;
    expect_refusal(b.data, b.bytes, &options, VS_ERR_MISUSE, "vs_deserialize: unknown flags");
    options.size = 0;
    expect_refusal(b.data, b.bytes, &options, VS_ERR_MISUSE, "size");
    VT_EQ(vs_deserialize("x", 1, NULL, &db), VS_ERR_NOT_DB);
    VT_EQ(vs_serialize(db, &data, &bytes), VS_ERR_MISUSE); /* the handle of a failed open */
    VT_EQ(vs_close(db), VS_OK);
    vs_free(b.data);
    sample_end(&s);
}
