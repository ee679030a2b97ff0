/* hooks.c - what a host is told of commits, changes, rollbacks and calls, and what it may do meanwhile. */
#include "sample.h"
#include <pthread.h>

enum { EVENTS_BYTES = 4000 };

/* What was told, as text: one word for each event. */
typedef struct recorder {
    char text[EVENTS_BYTES];
    int answer; /* of commit */
    uint64_t lsn, changes;
    vs_trace last;
    char last_collection[VS_NAME_BYTES_MAX + 1];
    void (*probe)(struct recorder *r); /* called in each hook */
    vs_db *db;
    vs_txn *txn;
    vs_collection *c;
    vs_cursor *cursor;
    uint64_t probes;
} recorder;

static void record(recorder *r, const char *word) {
    size_t used = strlen(r->text);
    VT_CHECK(used + strlen(word) + 2 < sizeof r->text);
    snprintf(r->text + used, sizeof r->text - used, "%s%s", used ? " " : "", word);
    if (r->probe)
        r->probe(r);
}

static int on_commit(void *ctx) {
    recorder *r = ctx;
    record(r, "commit");
    return r->answer;
}

static void on_committed(void *ctx, uint64_t lsn) {
    recorder *r = ctx;
    VT_CHECK(lsn > r->lsn);
    r->lsn = lsn;
    record(r, "committed");
}

static void on_rollback(void *ctx) {
    record(ctx, "rollback");
}

/* "+c:7": record 7 of collection c is new; ~ changed; - deleted. */
static void on_change(void *ctx, const vs_change *change) {
    recorder *r = ctx;
    char word[400];
    VT_EQ(change->size, sizeof *change);
    VT_CHECK(change->lsn > r->lsn && change->collection_id >= 1);
    r->changes++;
    if (r->changes > 200)
        return; /* counted only */
    int n = snprintf(word, sizeof word, "%c%s:", "?+~-"[change->kind], change -> collection);
    if (change->key.kind == VS_KEY_U64)
        n += snprintf(word + n, sizeof word - (size_t)n, "%llu",
                      (unsigned long long)change->key.number);
    else
        n += snprintf(word + n, sizeof word - (size_t)n, "%.*s", (int)change->key.bytes,
                      (const char *)change->key.data);
    if (change->key.space)
        snprintf(word + n, sizeof word - (size_t)n, "@%lu", (unsigned long)change->key.space);
    record(r, word);
}

static vs_hooks hooks_of(recorder *r) {
    vs_hooks hooks = VS_HOOKS_INIT;
    hooks.ctx = r;
    hooks.commit = on_commit;
    hooks.change = on_change;
    hooks.committed = on_committed;
    hooks.rollback = on_rollback;
    return hooks;
}

/* Compares what was told since the last time. */
#define EXPECT(r, expected)                                                                        \
    do {                                                                                           \
        VT_STR((r)->text, expected);                                                               \
        (r)->text[0] = 0;                                                                          \
    } while (0)

/* ---- commits and changes --------------------------------------------------------------------- */

static void put(vs_collection *c, vs_txn *txn, uint64_t key) {
    const float v[2] = {(float)key, 1};
    sample_put(c, txn, key, v, NULL);
}

VT_TEST(each_change_is_told_once_it_is_committed_with_its_lsn) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    const vs_hooks hooks = hooks_of(&r);
    const float v[2] = {1, 2};
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    EXPECT(&r, "commit committed");
    put(c, NULL, 7);
    EXPECT(&r, "commit +c:7 committed");
    VT_EQ(sample_stats(s.db).lsn, r.lsn);
    put(c, NULL, 7);
    VT_OK(vs_set_metadata(c, NULL, vs_key_u64(7), "{}", 0), c);
    EXPECT(&r, "commit ~c:7 committed commit ~c:7 committed");
    VT_OK(vs_append(c, NULL, &(vs_record){.size = sizeof(vs_record), .vector = v}, NULL), c);
    VT_OK(vs_delete(c, NULL, vs_key_u64(7)), c);
    EXPECT(&r, "commit +c:8 committed commit -c:7 committed");
    vs_record named = VS_RECORD_INIT;
    named.key = vs_key_in(5, vs_key_text("name"));
    named.vector = v;
    VT_OK(vs_put(c, NULL, &named, VS_INSERT), c);
    named.key = vs_key_uuid("0123456789abcdef");
    VT_OK(vs_put(c, NULL, &named, VS_INSERT), c);
    EXPECT(&r, "commit +c:name@5 committed commit +c:0123456789abcdef committed");
    VT_OK(vs_update(c, NULL, &named, VS_UPDATE_VECTORS), c);
    EXPECT(&r, "commit ~c:0123456789abcdef committed");
    VT_OK(vs_kv_put(s.db, NULL, c, "k", 1, "v", 1), s.db);
    EXPECT(&r, "commit committed");
    VT_EQ(sample_stats(s.db).lsn, r.lsn);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_transaction_tells_its_changes_in_order_when_it_commits) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    const vs_hooks hooks = hooks_of(&r);
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    vs_collection *a = sample_create(s.db, NULL, "a", 2, VS_F32, VS_L2);
    r.text[0] = 0;
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection *b = sample_create(s.db, txn, "b", 2, VS_F32, VS_L2);
    put(a, txn, 1);
    put(b, txn, 1);
    put(b, txn, 2);
    put(a, txn, 2);
    VT_OK(vs_collection_rename(a, txn, "A"), a);
    put(a, txn, 2);
    VT_OK(vs_delete(a, txn, vs_key_u64(1)), a);
    EXPECT(&r, "");
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    EXPECT(&r, "commit +a:1 +b:1 +b:2 +a:2 ~A:2 -A:1 committed");
    vs_collection_close(a);
    vs_collection_close(b);
    sample_end(&s);
}

VT_TEST(of_batches_only_the_rows_that_were_taken_are_told) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    const vs_hooks hooks = hooks_of(&r);
    const uint64_t numbers[4] = {1, 2, 1, 3};
    const float vectors[4][2] = {{1}, {2}, {3}, {4}};
    vs_status statuses[4];
    uint64_t deleted = 0;
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 4;
    batch.numbers = numbers;
    batch.vectors = vectors;
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_INSERT), VS_ERR_EXISTS);
    EXPECT(&r, "");
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_EQ(vs_put_batch(c, txn, &batch, VS_INSERT), VS_ERR_EXISTS); /* at its third row */
    put(c, txn, 20);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    EXPECT(&r, "commit +c:20 committed");
    VT_OK(vs_delete(c, NULL, vs_key_u64(20)), c);
    EXPECT(&r, "commit -c:20 committed");
    batch.statuses = statuses;
    VT_OK(vs_put_batch(c, NULL, &batch, VS_INSERT), c);
    EXPECT(&r, "commit +c:1 +c:2 +c:3 committed");
    VT_OK(vs_put_batch(c, NULL, &batch, VS_IGNORE), c);
    EXPECT(&r, ""); /* nothing changed */
    batch.numbers = NULL;
    VT_OK(vs_append_batch(c, NULL, &batch, NULL), c);
    EXPECT(&r, "commit +c:21 +c:22 +c:23 +c:24 committed");
    const vs_key keys[3] = {VT_KEY(9), VT_KEY(2), VT_KEY(2)};
    VT_OK(vs_delete_batch(c, NULL, keys, 3, &deleted), c);
    EXPECT(&r, "commit -c:2 committed");
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(copies_are_told_record_by_record_payloads_by_record_and_a_drop_not_at_all) {
    static const char text[300000];
    recorder r = {.answer = 0};
    sample s = sample_new();
    const vs_hooks hooks = hooks_of(&r);
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2), *copy = NULL;
    put(c, NULL, 1);
    put(c, NULL, 2);
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    VT_OK(vs_payload_write(c, NULL, vs_key_u64(1), 0, text, sizeof text), c);
    VT_OK(vs_payload_truncate(c, NULL, vs_key_u64(1), 100000), c);
    EXPECT(&r, "commit ~c:1 committed commit ~c:1 committed");
    VT_OK(vs_collection_copy(c, NULL, "d", &copy), c);
    EXPECT(&r, "commit +d:1 +d:2 committed");
    VT_OK(vs_collection_drop(copy, NULL), copy);
    EXPECT(&r, "commit committed");
    VT_EQ(vs_collection_copy(c, NULL, "c", NULL), VS_ERR_EXISTS);
    EXPECT(&r, "");
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put(c, txn, 2);
    VT_EQ(vs_collection_copy(c, txn, "c", NULL), VS_ERR_EXISTS);
    VT_OK(vs_delete(c, txn, vs_key_u64(1)), c);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    EXPECT(&r, "commit ~c:2 -c:1 committed");
    vs_collection_close(copy);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(what_was_taken_back_is_not_told) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    const vs_hooks hooks = hooks_of(&r);
    const float bad[2] = {1.0f / 0.0f, 0};
    uint32_t outer = 0, inner = 0;
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_collection *d = sample_create(s.db, NULL, "d", 2, VS_F32, VS_L2);
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put(c, txn, 1);
    VT_EQ(sample_try_put(c, txn, 2, bad, NULL, VS_UPSERT), VS_ERR_INVALID);
    VT_OK(vs_savepoint(txn, &outer), txn);
    put(d, txn, 3);
    VT_OK(vs_savepoint(txn, &inner), txn);
    put(c, txn, 4);
    VT_OK(vs_rollback_to(txn, inner), txn);
    put(d, txn, 5);
    VT_OK(vs_release(txn, outer), txn);
    VT_OK(vs_savepoint(txn, &outer), txn);
    put(c, txn, 6);
    put(d, txn, 7);
    VT_OK(vs_rollback_to(txn, outer), txn);
    put(d, txn, 8);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    EXPECT(&r, "commit +c:1 +d:3 +d:5 +d:8 committed");
    txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_savepoint(txn, &outer), txn);
    put(c, txn, 9);
    VT_OK(vs_rollback_to(txn, outer), txn);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    EXPECT(&r, "");
    VT_EQ(sample_try_put(c, NULL, 2, bad, NULL, VS_UPSERT), VS_ERR_INVALID);
    VT_EQ(vs_delete(c, NULL, vs_key_u64(99)), VS_ERR_NOT_FOUND);
    EXPECT(&r, "");
    vs_collection_close(c);
    vs_collection_close(d);
    sample_end(&s);
}

VT_TEST(a_rollback_is_told_if_there_was_something_to_roll_back) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    const vs_hooks hooks = hooks_of(&r);
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    vs_rollback(sample_begin(s.db, VS_TXN_WRITE));
    vs_rollback(sample_begin(s.db, VS_TXN_READ));
    VT_OK(vs_commit(sample_begin(s.db, VS_TXN_WRITE), VS_SYNC_FULL), s.db);
    VT_OK(vs_commit(sample_begin(s.db, VS_TXN_READ), VS_SYNC_FULL), s.db);
    VT_EQ(vs_commit(sample_begin(s.db, VS_TXN_WRITE), 99), VS_ERR_MISUSE);
    EXPECT(&r, "");
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put(c, txn, 1);
    vs_rollback(txn);
    EXPECT(&r, "rollback");
    txn = sample_begin(s.db, VS_TXN_WRITE);
    put(c, txn, 1);
    VT_EQ(vs_commit(txn, 99), VS_ERR_MISUSE);
    EXPECT(&r, "rollback");
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_commit_that_is_refused_is_a_rollback_that_says_so) {
    recorder r = {.answer = 7};
    sample s = sample_new();
    const vs_hooks hooks = hooks_of(&r);
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    put(c, NULL, 1);
    vs_stats before = sample_stats(s.db);
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    VT_EQ(vs_delete(c, NULL, vs_key_u64(1)), VS_ERR_REFUSED);
    VT_CONTAINS(vs_errmsg(c), "commit hook refused the commit: it returned 7");
    EXPECT(&r, "commit rollback");
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put(c, txn, 2);
    VT_EQ(vs_commit(txn, VS_SYNC_FULL), VS_ERR_REFUSED);
    VT_CONTAINS(vs_errmsg(s.db), "returned 7");
    EXPECT(&r, "commit rollback");
    vs_stats after = sample_stats(s.db);
    VT_EQ(after.lsn, before.lsn);
    VT_CHECK(!memcmp(after.digest, before.digest, sizeof after.digest));
    VT_CHECK(sample_has(c, NULL, 1) && !sample_has(c, NULL, 2));
    r.answer = 0;
    put(c, NULL, 2);
    EXPECT(&r, "commit +c:2 committed");
    VT_STR(vs_status_name(VS_ERR_REFUSED), "VS_ERR_REFUSED");
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

/* Operations go to the log early when they are many. */
VT_TEST(a_large_transaction_tells_all_changes_and_none_that_was_taken_back) {
    enum { LARGE = 1000, ROWS = 900, KEPT = 350 };
    static float v[LARGE];
    recorder r = {.answer = 0};
    sample s = sample_new();
    const vs_hooks hooks = hooks_of(&r);
    uint32_t point = 0;
    vs_collection *c = sample_create(s.db, NULL, "c", LARGE, VS_F32, VS_L2);
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    for (uint64_t i = 0; i < ROWS; i++) {
        if (i == KEPT)
            VT_OK(vs_savepoint(txn, &point), txn);
        sample_put(c, txn, i, v, NULL);
    }
    VT_OK(vs_rollback_to(txn, point), txn);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    VT_EQ(r.changes, KEPT);
    VT_EQ(r.lsn, sample_stats(s.db).lsn);
    txn = sample_begin(s.db, VS_TXN_WRITE);
    for (uint64_t i = 0; i < ROWS; i++)
        sample_put(c, txn, i, v, NULL);
    r.text[0] = 0;
    vs_rollback(txn);
    EXPECT(&r, "rollback");
    VT_EQ(r.changes, KEPT);
    VT_EQ(sample_count(c, NULL), KEPT);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- setting them ---------------------------------------------------------------------------- */

VT_TEST(hooks_are_copied_replaced_and_taken_away) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_hooks hooks = hooks_of(&r);
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    memset(&hooks, 0, sizeof hooks);
    put(c, NULL, 1);
    EXPECT(&r, "commit +c:1 committed");
    vs_hooks only = VS_HOOKS_INIT;
    only.ctx = &r;
    only.change = on_change;
    VT_OK(vs_set_hooks(s.db, &only), s.db);
    put(c, NULL, 2);
    EXPECT(&r, "+c:2");
    VT_OK(vs_set_hooks(s.db, NULL), s.db);
    put(c, NULL, 3);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put(c, txn, 4);
    vs_rollback(txn);
    EXPECT(&r, "");
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(hooks_that_cannot_be_set_leave_those_that_were) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_hooks hooks = hooks_of(&r);
    struct {
        vs_hooks known;
        void *unknown;
    } larger;
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    VT_EQ(vs_set_hooks(NULL, &hooks), VS_ERR_MISUSE);
    VT_EQ(vs_set_hooks((vs_db *)(void *)c, &hooks), VS_ERR_MISUSE);
    memset(&larger, 0, sizeof larger);
    VT_EQ(vs_set_hooks(s.db, &larger.known), VS_ERR_MISUSE); /* size 0 */
    larger.known.size = sizeof larger;
    larger.unknown = &r;
    VT_EQ(vs_set_hooks(s.db, &larger.known), VS_ERR_UNSUPPORTED);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_EQ(vs_set_hooks(s.db, NULL), VS_ERR_MISUSE); /* while it is open */
    put(c, txn, 1);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    EXPECT(&r, "commit +c:1 committed");
    txn = sample_begin(s.db, VS_TXN_READ);
    VT_OK(vs_set_hooks(s.db, NULL), s.db);
    vs_rollback(txn);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- calls from within ----------------------------------------------------------------------- */

/* Every kind of call with every kind of handle; none may do anything. */
static void try_all(recorder *r) {
    const float v[2] = {1, 2};
    const vs_key key = VT_KEY(1);
    vs_hit hit;
    size_t n = 0;
    int is_there = 0;
    uint64_t number = 0;
    vs_txn *txn = NULL;
    vs_collection *c = NULL;
    vs_cursor *cursor = NULL;
    vs_record record = VS_RECORD_INIT;
    vs_stats stats = VS_STATS_INIT;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    r->probe = NULL; /* the trace hook must not hear of these */
    size_t told = strlen(r->text);
    VT_EQ(vs_begin(r->db, VS_TXN_READ, &txn), VS_ERR_MISUSE);
    VT_EQ(vs_begin(r->db, VS_TXN_WRITE, &txn), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(r->db), "a hook calls the database");
    VT_EQ(vs_close(r->db), VS_ERR_MISUSE);
    VT_EQ(vs_set_hooks(r->db, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_checkpoint(r->db), VS_ERR_MISUSE);
    VT_EQ(vs_sync(r->db), VS_ERR_MISUSE);
    VT_EQ(vs_interrupt(r->db), VS_ERR_MISUSE);
    VT_EQ(vs_maintain(r->db, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_stats_get(r->db, &stats), VS_ERR_MISUSE);
    VT_EQ(vs_check(r->db, 0, NULL, NULL, &number), VS_ERR_MISUSE);
    VT_EQ(vs_collection_open(r->db, NULL, "c", &c), VS_ERR_MISUSE);
    VT_EQ(vs_kv_get(r->db, NULL, NULL, "k", 1, NULL, 0, &n), VS_ERR_MISUSE);
    VT_EQ(vs_put(r->c, NULL, &record, VS_UPSERT), VS_ERR_MISUSE);
    VT_EQ(vs_get(r->c, NULL, key, &record), VS_ERR_MISUSE);
    VT_EQ(vs_exists(r->c, NULL, key, &is_there), VS_ERR_MISUSE);
    VT_EQ(vs_delete(r->c, r->txn, key), VS_ERR_MISUSE);
    VT_EQ(vs_scan(r->c, NULL, NULL, &cursor), VS_ERR_MISUSE);
    VT_EQ(vs_search(r->c, NULL, v, 0, 1, NULL, &hit, &n), VS_ERR_MISUSE);
    VT_EQ(vs_collection_info_get(r->c, NULL, &info), VS_ERR_MISUSE);
    VT_EQ(vs_step(r->cursor), VS_ERR_MISUSE);
    vs_cursor_close(r->cursor);
    vs_collection_close(r->c);
    if (r->txn) {
        uint32_t point = 0;
        VT_EQ(vs_savepoint(r->txn, &point), VS_ERR_MISUSE);
        VT_EQ(vs_commit(r->txn, VS_SYNC_FULL), VS_ERR_MISUSE);
        vs_rollback(r->txn);
    }
    VT_EQ(strlen(r->text), told);
    r->probe = try_all;
    r->probes++;
}

static void on_trace(void *ctx, const vs_trace *trace) {
    recorder *r = ctx;
    VT_EQ(trace->size, sizeof *trace);
    r->last = *trace;
    r->last_collection[0] = 0;
    if (trace->collection)
        snprintf(r->last_collection, sizeof r->last_collection, "%s", trace->collection);
    record(r, trace->call);
}

VT_TEST(no_hook_can_call_the_database_that_calls_it) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    vs_hooks hooks = hooks_of(&r);
    hooks.trace = on_trace;
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    put(c, NULL, 1);
    vs_txn *reader = sample_begin(s.db, VS_TXN_READ);
    r.db = s.db;
    r.c = c;
    VT_OK(vs_scan(c, reader, NULL, &r.cursor), c);
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    r.probe = try_all;
    put(c, NULL, 2);
    EXPECT(&r, "commit +c:2 committed vs_put");
    r.txn = sample_begin(s.db, VS_TXN_WRITE);
    put(c, r.txn, 3);
    EXPECT(&r, "vs_begin vs_put");
    r.answer = 1;
    VT_EQ(vs_delete(c, r.txn, vs_key_u64(99)), VS_ERR_NOT_FOUND);
    vs_txn *txn = r.txn;
    EXPECT(&r, "vs_delete");
    r.probe = NULL; /* below the transaction is gone when the trace hook is called */
    VT_EQ(vs_commit(txn, VS_SYNC_FULL), VS_ERR_REFUSED);
    EXPECT(&r, "commit rollback vs_commit");
    r.probe = try_all;
    r.txn = reader;
    r.answer = 0;
    VT_OK(vs_kv_put(s.db, NULL, NULL, "k", 1, "v", 1), s.db);
    EXPECT(&r, "commit committed vs_kv_put");
    VT_CHECK(r.probes > 8);
    VT_OK(vs_set_hooks(s.db, NULL), s.db);
    VT_EQ(vs_step(r.cursor), VS_ROW); /* all handles are as they were */
    VT_CHECK(sample_has(c, NULL, 2) && !sample_has(c, reader, 2) && !sample_has(c, NULL, 3));
    vs_cursor_close(r.cursor);
    vs_rollback(reader);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

/* In the commit and the rollback hook, with the transaction's own handle. */
static void try_in_transaction_hooks(recorder *r) {
    size_t bytes = strlen(r->text);
    bool is_last = bytes >= 9 && !strcmp(r->text + bytes - 9, "vs_commit");
    bool is_rollback = bytes >= 11 && !strcmp(r->text + bytes - 11, "vs_rollback");
    if (is_last || is_rollback)
        return; /* the handle is gone */
    try_all(r);
    r->probe = try_in_transaction_hooks;
}

VT_TEST(a_hook_cannot_use_the_transaction_that_it_is_told_of) {
    recorder r = {.answer = 0, .probe = try_in_transaction_hooks};
    sample s = sample_new();
    vs_hooks hooks = hooks_of(&r);
    hooks.trace = on_trace;
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    r.db = s.db;
    r.c = c;
    VT_OK(vs_scan(c, NULL, NULL, &r.cursor), c);
    for (int way = 0; way < 3; way++) {
        r.txn = sample_begin(s.db, VS_TXN_WRITE);
        put(c, r.txn, (uint64_t)way);
        vs_txn *txn = r.txn;
        VT_EQ(vs_set_hooks(s.db, &hooks), VS_ERR_MISUSE); /* only between transactions */
        vs_rollback(txn);
        r.txn = NULL;
        VT_OK(vs_set_hooks(s.db, &hooks), s.db);
        r.txn = sample_begin(s.db, VS_TXN_WRITE);
        put(c, r.txn, (uint64_t)way);
        r.text[0] = 0;
        r.answer = way == 1;
        uint64_t before = r.probes;
        if (way == 2)
            vs_rollback(r.txn);
        else
            VT_EQ(vs_commit(r.txn, VS_SYNC_FULL), way ? VS_ERR_REFUSED : VS_OK);
        VT_CHECK(r.probes > before);
        EXPECT(&r, way == 2   ? "rollback vs_rollback"
                   : way == 1 ? "commit rollback vs_commit"
                              : "commit +c:0 committed vs_commit");
        r.txn = NULL;
        VT_OK(vs_set_hooks(s.db, NULL), s.db);
    }
    VT_EQ(sample_count(c, NULL), 1);
    vs_cursor_close(r.cursor);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- another database, other threads --------------------------------------------------------- */

static void put_into_other(void *ctx, const vs_change *change) {
    const float v[2] = {3, 4};
    vs_collection *copy = ctx;
    if (change->kind == VS_CHANGE_DELETE)
        VT_OK(vs_delete(copy, NULL, change->key), copy);
    else
        sample_put(copy, NULL, change->key.number, v, NULL);
}

VT_TEST(a_hook_may_use_another_database) {
    sample s = sample_new(), other = sample_new();
    vs_hooks hooks = VS_HOOKS_INIT;
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_collection *copy = sample_create(other.db, NULL, "copy", 2, VS_F32, VS_L2);
    hooks.ctx = copy;
    hooks.change = put_into_other;
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    put(c, NULL, 1);
    put(c, NULL, 2);
    VT_OK(vs_delete(c, NULL, vs_key_u64(1)), c);
    VT_CHECK(!sample_has(copy, NULL, 1) && sample_has(copy, NULL, 2));
    vs_collection_close(c);
    vs_collection_close(copy);
    sample_end(&s);
    sample_end(&other);
}

enum { THREADS = 4, COMMITS = 60 };

typedef struct counts {
    pthread_mutex_t lock;
    uint64_t commits, committed, changes, lsn_max, traces;
    uint64_t seen[THREADS * COMMITS];
} counts;

typedef struct worker {
    vs_db *db;
    uint64_t number;
} worker;

static int count_commit(void *ctx) {
    counts *n = ctx;
    pthread_mutex_lock(&n->lock);
    n->commits++;
    pthread_mutex_unlock(&n->lock);
    return 0;
}

static void count_change(void *ctx, const vs_change *change) {
    counts *n = ctx;
    pthread_mutex_lock(&n->lock);
    n->changes++;
    n->seen[change->key.number] = change->lsn;
    pthread_mutex_unlock(&n->lock);
}

static void count_committed(void *ctx, uint64_t lsn) {
    counts *n = ctx;
    pthread_mutex_lock(&n->lock);
    n->committed++;
    n->lsn_max = lsn > n->lsn_max ? lsn : n->lsn_max;
    pthread_mutex_unlock(&n->lock);
}

static void count_trace(void *ctx, const vs_trace *trace) {
    counts *n = ctx;
    VT_EQ(trace->status, VS_OK);
    pthread_mutex_lock(&n->lock);
    n->traces++;
    pthread_mutex_unlock(&n->lock);
}

static void *work(void *arg) {
    const worker *w = arg;
    vs_collection *c = sample_collection(w->db, "c");
    for (uint64_t i = 0; i < COMMITS; i++) {
        put(c, NULL, w->number * COMMITS + i);
        VT_CHECK(sample_has(c, NULL, w->number * COMMITS + i));
    }
    vs_collection_close(c);
    return NULL;
}

VT_TEST(threads_are_told_of_their_own_commits) {
    counts n = {.lock = PTHREAD_MUTEX_INITIALIZER};
    sample s = sample_new();
    vs_hooks hooks = VS_HOOKS_INIT;
    pthread_t threads[THREADS];
    worker workers[THREADS];
    hooks.ctx = &n;
    hooks.commit = count_commit;
    hooks.change = count_change;
    hooks.committed = count_committed;
    hooks.trace = count_trace;
    vs_collection_close(sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2));
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    for (uint64_t i = 0; i < THREADS; i++) {
        workers[i] = (worker){s.db, i};
        VT_EQ(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (uint64_t i = 0; i < THREADS; i++)
        VT_EQ(pthread_join(threads[i], NULL), 0);
    VT_OK(vs_set_hooks(s.db, NULL), s.db);
    VT_EQ(n.commits, THREADS * COMMITS);
    VT_EQ(n.committed, THREADS * COMMITS);
    VT_EQ(n.changes, THREADS * COMMITS);
    VT_EQ(n.lsn_max, sample_stats(s.db).lsn);
    VT_EQ(n.traces, THREADS * (1 + 2 * COMMITS));
    for (size_t i = 0; i < THREADS * COMMITS; i++)
        VT_CHECK(n.seen[i] > 0);
    sample_end(&s);
}

/* ---- the trace ------------------------------------------------------------------------------- */

static void expect_trace(recorder *r, const char *call, const char *collection, vs_status status,
                         uint64_t rows) {
    EXPECT(r, call);
    VT_STR(r->last_collection, collection);
    VT_EQ(r->last.status, status);
    VT_EQ(r->last.rows, rows);
}

VT_TEST(calls_are_told_with_their_status_and_rows) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    vs_hooks hooks = VS_HOOKS_INIT;
    const float v[3][2] = {{1}, {2}, {3}};
    const uint64_t numbers[3] = {4, 5, 6};
    const vs_key keys[3] = {VT_KEY(4), VT_KEY(99), VT_KEY(6)};
    vs_status statuses[3];
    vs_hit hits[4];
    size_t n = 0, each[2];
    uint64_t number = 0;
    uint32_t point = 0;
    vs_txn *txn = NULL;
    vs_cursor *cursor = NULL;
    vs_collection *c = NULL;
    hooks.ctx = &r;
    hooks.trace = on_trace;
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    EXPECT(&r, "");
    c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    expect_trace(&r, "vs_collection_create", "", VS_OK, 0);
    VT_EQ(vs_collection_create(s.db, NULL, "c", &(vs_collection_options){.size = 4}, NULL),
          VS_ERR_INVALID);
    expect_trace(&r, "vs_collection_create", "", VS_ERR_INVALID, 0);
    sample_put(c, NULL, 1, v[0], NULL);
    expect_trace(&r, "vs_put", "c", VS_OK, 1);
    VT_EQ(sample_try_put(c, NULL, 1, v[0], NULL, VS_INSERT), VS_ERR_EXISTS);
    expect_trace(&r, "vs_put", "c", VS_ERR_EXISTS, 0);
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 3;
    batch.numbers = numbers;
    batch.vectors = v;
    VT_OK(vs_put_batch(c, NULL, &batch, VS_UPSERT), c);
    expect_trace(&r, "vs_put_batch", "c", VS_OK, 3);
    batch.numbers = NULL;
    VT_OK(vs_append_batch(c, NULL, &batch, NULL), c);
    expect_trace(&r, "vs_append_batch", "c", VS_OK, 3);
    VT_OK(vs_append(c, NULL, &(vs_record){.size = sizeof(vs_record), .vector = v[0]}, NULL), c);
    expect_trace(&r, "vs_append", "c", VS_OK, 1);
    VT_OK(vs_set_metadata(c, NULL, vs_key_u64(1), "{}", 0), c);
    expect_trace(&r, "vs_set_metadata", "c", VS_OK, 1);
    vs_record change = VS_RECORD_INIT;
    change.key = vs_key_u64(1);
    change.metadata = "{\"a\":1}";
    VT_OK(vs_update(c, NULL, &change, VS_UPDATE_PATCH), c);
    expect_trace(&r, "vs_update", "c", VS_OK, 1);
    VT_EQ(vs_get(c, NULL, vs_key_u64(77), NULL), VS_ERR_NOT_FOUND);
    expect_trace(&r, "vs_get", "c", VS_ERR_NOT_FOUND, 0);
    VT_OK(vs_get_batch(c, NULL, keys, 3, NULL, statuses), c);
    expect_trace(&r, "vs_get_batch", "c", VS_OK, 3);
    VT_OK(vs_get_vectors(c, NULL, 0, keys, 1, (void *)hits, 0, NULL), c);
    expect_trace(&r, "vs_get_vectors", "c", VS_OK, 1);
    VT_EQ(sample_count(c, NULL), 8);
    expect_trace(&r, "vs_count", "c", VS_OK, 0);
    VT_OK(vs_search(c, NULL, v[0], 0, 4, NULL, hits, &n), c);
    expect_trace(&r, "vs_search", "c", VS_OK, 4);
    VT_OK(vs_search_batch(c, NULL, v, 0, 0, 2, 2, NULL, hits, each), c);
    expect_trace(&r, "vs_search_batch", "c", VS_OK, 4);
    VT_OK(vs_search_radius(c, NULL, v[0], 0, 0, NULL, 4, hits, &n, NULL), c);
    expect_trace(&r, "vs_search_radius", "c", VS_OK, n);
    VT_OK(vs_search_key(c, NULL, keys[0], 2, NULL, hits, &n), c);
    expect_trace(&r, "vs_search_key", "c", VS_OK, 2);
    VT_OK(vs_scan(c, NULL, NULL, &cursor), c);
    expect_trace(&r, "vs_scan", "c", VS_OK, 0);
    VT_EQ(vs_step(cursor), VS_ROW);
    expect_trace(&r, "vs_step", "", VS_ROW, 1);
    vs_cursor_close(cursor);
    VT_OK(vs_delete_batch(c, NULL, keys, 3, NULL), c);
    expect_trace(&r, "vs_delete_batch", "c", VS_OK, 2);
    VT_EQ(vs_delete(c, NULL, keys[0]), VS_ERR_NOT_FOUND);
    expect_trace(&r, "vs_delete", "c", VS_ERR_NOT_FOUND, 0);
    VT_OK(vs_begin(s.db, VS_TXN_WRITE, &txn), s.db);
    expect_trace(&r, "vs_begin", "", VS_OK, 0);
    VT_EQ(vs_begin(s.db, VS_TXN_WRITE, &(vs_txn *){NULL}), VS_ERR_MISUSE);
    expect_trace(&r, "vs_begin", "", VS_ERR_MISUSE, 0);
    VT_OK(vs_savepoint(txn, &point), txn);
    VT_OK(vs_rollback_to(txn, point), txn);
    VT_OK(vs_release(txn, point), txn);
    EXPECT(&r, "vs_savepoint vs_rollback_to vs_release");
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    expect_trace(&r, "vs_commit", "", VS_OK, 0);
    vs_rollback(sample_begin(s.db, VS_TXN_READ));
    EXPECT(&r, "vs_begin vs_rollback");
    VT_OK(vs_sync(s.db), s.db);
    VT_OK(vs_checkpoint(s.db), s.db);
    VT_OK(vs_maintain(s.db, 0, NULL), s.db);
    VT_OK(vs_check(s.db, 0, NULL, NULL, &number), s.db);
    EXPECT(&r, "vs_sync vs_checkpoint vs_maintain vs_check");
    void *bytes = NULL;
    VT_OK(vs_serialize(s.db, &bytes, &n), s.db);
    VT_OK(vs_vacuum(s.db, 0, NULL), s.db);
    vs_free(bytes);
    EXPECT(&r, "vs_serialize vs_vacuum");
    VT_EQ(vs_kv_get(s.db, NULL, NULL, "k", 1, NULL, 0, &n), VS_ERR_NOT_FOUND);
    expect_trace(&r, "vs_kv_get", "", VS_ERR_NOT_FOUND, 0);
    vs_collection_close(c);
    EXPECT(&r, "");
    sample_end(&s);
}

/* A file system whose clock the test moves. */
static int64_t ticks_now_us;

static int64_t ticks(void *ctx) {
    (void)ctx;
    return ticks_now_us += 3;
}

VT_TEST(the_trace_has_the_time_that_a_call_took_by_the_clock_of_the_vfs) {
    recorder r = {.answer = 0};
    vs_hooks hooks = VS_HOOKS_INIT;
    vs_vfs *vfs = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    vs_vfs slow = *vfs;
    slow.ticks_us = ticks;
    vs_db *db = sample_open(&slow, "t.vs", VS_OPEN_CREATE);
    vs_collection *c = sample_create(db, NULL, "c", 2, VS_F32, VS_L2);
    ticks_now_us = 1000;
    (void)sample_count(c, NULL);
    VT_EQ(ticks_now_us, 1000); /* nobody looks at it without a hook */
    hooks.ctx = &r;
    hooks.trace = on_trace;
    VT_OK(vs_set_hooks(db, &hooks), db);
    (void)sample_count(c, NULL);
    VT_EQ(r.last.duration_ns, 3000);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    vs_vfs_memory_destroy(vfs);
}

VT_TEST(calls_without_a_handle_that_is_one_are_not_told) {
    recorder r = {.answer = 0};
    sample s = sample_new();
    vs_hooks hooks = VS_HOOKS_INIT;
    uint64_t none[16] = {0};
    hooks.ctx = &r;
    hooks.trace = on_trace;
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    VT_EQ(vs_count(NULL, NULL, &none[0]), VS_ERR_MISUSE);
    VT_EQ(vs_delete(NULL, NULL, vs_key_u64(1)), VS_ERR_MISUSE);
    VT_EQ(vs_delete((vs_collection *)(void *)none, NULL, vs_key_u64(1)), VS_ERR_MISUSE);
    EXPECT(&r, "");
    sample_end(&s);
}

/* ---- no memory ------------------------------------------------------------------------------- */

VT_TEST(a_change_that_cannot_be_kept_for_the_hook_fails_its_call) {
    vt_allocator counter = {0};
    const vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    recorder r = {.answer = 0};
    const vs_hooks hooks = hooks_of(&r);
    vs_vfs *vfs = NULL;
    vs_db *db = NULL;
    vs_status st = VS_ERR_NOMEM;
    uint64_t failed = 0;
    const float v[2] = {1, 2};
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    options.vfs = vfs;
    options.flags = VS_OPEN_CREATE;
    options.allocator = &allocator;
    VT_OK(vs_open("t.vs", &options, &db), db);
    vs_collection *c = sample_create(db, NULL, "c", 2, VS_F32, VS_L2);
    VT_OK(vs_set_hooks(db, &hooks), db);
    for (uint64_t at = 1; st != VS_OK; at++) {
        VT_CHECK(at < 1000);
        counter.fail_at = counter.calls + at;
        st = sample_try_put(c, NULL, 7, v, NULL, VS_INSERT);
        counter.fail_at = 0;
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        VT_EQ(sample_has(c, NULL, 7), st == VS_OK);
        VT_CHECK(st == VS_OK || !strstr(r.text, "committed"));
        failed++;
    }
    VT_CONTAINS(r.text, "commit +c:7 committed");
    VT_CHECK(failed > 3);
    vs_collection_close(c);
    sample_check(db);
    VT_OK(vs_close(db), db);
    VT_EQ(counter.live_blocks, 0);
    vs_vfs_memory_destroy(vfs);
}
