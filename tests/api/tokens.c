/* tokens.c - transactions that are tried again, and committed once. */
#include "sample.h"
#include <pthread.h>

static vs_status ask(vs_db *db, const void *token, size_t bytes, uint64_t *out_lsn) {
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    vs_status st = vs_txn_token(txn, token, bytes, out_lsn);
    if (st != VS_OK && st != VS_ERR_EXISTS)
        vt_fail(__FILE__, __LINE__, "vs_txn_token: %s", vs_errmsg(txn));
    vs_rollback(txn);
    return st;
}

/* 0: the token is not known. */
static uint64_t lsn_of(vs_db *db, const char *token) {
    uint64_t lsn = 0;
    vs_status st = ask(db, token, strlen(token), &lsn);
    VT_EQ(st, lsn ? VS_ERR_EXISTS : VS_OK);
    return lsn;
}

/* A transaction with a token that adds 1 to the number of a note; returns what the commit or the token returned. */
static vs_status add_one(vs_db *db, const char *token) {
    uint64_t number = 0;
    size_t n = 0;
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    vs_status st = vs_txn_token(txn, token, strlen(token), NULL);
    if (st != VS_OK) {
        vs_rollback(txn);
        return st;
    }
    st = vs_kv_get(db, txn, NULL, "number", 6, &number, sizeof number, &n);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    number++;
    VT_OK(vs_kv_put(db, txn, NULL, "number", 6, &number, sizeof number), txn);
    return vs_commit(txn, VS_SYNC_FULL);
}

static uint64_t number_of(vs_db *db) {
    uint64_t number = 0;
    size_t n = 0;
    vs_status st = vs_kv_get(db, NULL, NULL, "number", 6, &number, sizeof number, &n);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    return number;
}

VT_TEST(a_transaction_tried_again_finds_that_it_was_committed) {
    sample s = sample_new();
    uint64_t lsn[3] = {0};
    char token[] = "a 0";
    for (int i = 0; i < 3; i++) {
        token[2] = (char)('0' + i);
        VT_EQ(lsn_of(s.db, token), 0);
        VT_OK(add_one(s.db, token), s.db);
        lsn[i] = sample_stats(s.db).lsn;
    }
    VT_EQ(number_of(s.db), 3);
    vs_stats before = sample_stats(s.db);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            token[2] = (char)('0' + i);
            VT_EQ(add_one(s.db, token), VS_ERR_EXISTS);
            VT_EQ(lsn_of(s.db, token), lsn[i]);
        }
        VT_EQ(lsn_of(s.db, "a"), 0);
        VT_EQ(number_of(s.db), 3);
        vs_stats now = sample_stats(s.db);
        VT_CHECK(!memcmp(now.digest, before.digest, sizeof now.digest));
        if (round == 0) {
            sample killed = sample_after_kill(&s);
            for (int i = 0; i < 3; i++) {
                token[2] = (char)('0' + i);
                VT_EQ(lsn_of(killed.db, token), lsn[i]);
            }
            VT_EQ(add_one(killed.db, "a 3"), VS_OK);
            VT_EQ(add_one(killed.db, "a 3"), VS_ERR_EXISTS);
            VT_EQ(number_of(killed.db), 4);
            sample_check(killed.db);
            sample_end(&killed);
        }
        sample_reopen(&s);
    }
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(the_refusal_names_the_commit_and_leaves_the_transaction_usable) {
    sample s = sample_new();
    uint64_t lsn = 0;
    char text[40];
    VT_OK(add_one(s.db, "t"), s.db);
    uint64_t expected = sample_stats(s.db).lsn;
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_EQ(vs_txn_token(txn, "t", 1, &lsn), VS_ERR_EXISTS);
    VT_EQ(lsn, expected);
    snprintf(text, sizeof text, "LSN %llu", (unsigned long long)expected);
    VT_CONTAINS(vs_errmsg(txn), text);
    VT_EQ(vs_txn_token(txn, "t", 1, NULL), VS_ERR_EXISTS);
    lsn = 7;
    VT_OK(vs_txn_token(txn, "u", 1, &lsn), txn); /* another one is possible */
    VT_EQ(lsn, 7);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    VT_EQ(lsn_of(s.db, "u"), sample_stats(s.db).lsn);
    VT_EQ(lsn_of(s.db, "t"), expected);
    sample_end(&s);
}

VT_TEST(a_transaction_that_does_nothing_but_have_a_token_is_known) {
    sample s = sample_new();
    vs_stats before = sample_stats(s.db);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_txn_token(txn, "t", 1, NULL), txn);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
    VT_CHECK(sample_stats(s.db).lsn > before.lsn);
    VT_EQ(lsn_of(s.db, "t"), sample_stats(s.db).lsn);
    sample_end(&s);
}

static int refuse(void *ctx) {
    (void)ctx;
    return 1;
}

VT_TEST(a_token_goes_with_the_transaction_that_is_not_committed) {
    sample s = sample_new();
    vs_hooks hooks = VS_HOOKS_INIT;
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_txn_token(txn, "t", 1, NULL), txn);
    vs_rollback(txn);
    VT_EQ(lsn_of(s.db, "t"), 0);
    txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_txn_token(txn, "t", 1, NULL), txn);
    VT_EQ(vs_commit(txn, 99), VS_ERR_MISUSE);
    VT_EQ(lsn_of(s.db, "t"), 0);
    hooks.commit = refuse;
    VT_OK(vs_set_hooks(s.db, &hooks), s.db);
    VT_EQ(add_one(s.db, "t"), VS_ERR_REFUSED);
    VT_OK(vs_set_hooks(s.db, NULL), s.db);
    VT_EQ(lsn_of(s.db, "t"), 0);
    VT_OK(add_one(s.db, "t"), s.db);
    VT_EQ(number_of(s.db), 1);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(savepoints_do_not_take_a_token_back) {
    sample s = sample_new();
    uint32_t point = 0;
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_savepoint(txn, &point), txn);
    VT_OK(vs_kv_put(s.db, txn, NULL, "gone", 4, "1", 1), txn);
    VT_OK(vs_txn_token(txn, "t", 1, NULL), txn);
    VT_OK(vs_rollback_to(txn, point), txn);
    VT_OK(vs_kv_put(s.db, txn, NULL, "kept", 4, "1", 1), txn);
    VT_OK(vs_savepoint(txn, &point), txn); /* open when it commits */
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    VT_EQ(lsn_of(s.db, "t"), sample_stats(s.db).lsn);
    sample killed = sample_after_kill(&s);
    VT_EQ(lsn_of(killed.db, "t"), sample_stats(s.db).lsn);
    sample_end(&killed);
    sample_check(s.db);
    sample_end(&s);
}

/* Operations go to the log before the commit when they are many, which moves its LSN. */
VT_TEST(the_lsn_of_a_large_transaction_is_that_of_its_commit) {
    enum { LARGE = 1000, ROWS = 900 };
    static float v[LARGE];
    static float rows[ROWS][LARGE];
    sample s = sample_new();
    uint32_t point = 0;
    uint64_t numbers[ROWS], before = 0, first[2];
    vs_collection *c = sample_create(s.db, NULL, "c", LARGE, VS_F32, VS_L2);
    for (int way = 0; way < 3;
         way++) { /* record by record; as one statement; all of it taken back */
        const char token[2] = {(char)('a' + way), 0};
        before = sample_stats(s.db).lsn;
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        VT_OK(vs_txn_token(txn, token, 1, NULL), txn);
        VT_OK(vs_savepoint(txn, &point), txn);
        vs_batch batch = VS_BATCH_INIT;
        batch.count = ROWS;
        batch.numbers = numbers;
        batch.vectors = rows;
        for (uint64_t i = 0; i < ROWS; i++) {
            numbers[i] = i;
            if (way != 1)
                sample_put(c, txn, i, v, NULL);
        }
        if (way == 1)
            VT_OK(vs_put_batch(c, txn, &batch, VS_UPSERT), c);
        if (way == 2)
            VT_OK(vs_rollback_to(txn, point), txn);
        VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        VT_CHECK(sample_stats(s.db).lsn > before + 1);
        VT_EQ(lsn_of(s.db, token), sample_stats(s.db).lsn);
        if (way < 2)
            first[way] = sample_stats(s.db).lsn;
    }
    sample killed = sample_after_kill(&s);
    VT_EQ(lsn_of(killed.db, "a"), first[0]);
    VT_EQ(lsn_of(killed.db, "b"), first[1]);
    VT_EQ(lsn_of(killed.db, "c"), sample_stats(s.db).lsn);
    sample_check(killed.db);
    sample_end(&killed);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(tokens_are_any_bytes_and_nobody_else_s_notes) {
    sample s = sample_new();
    uint8_t token[VS_TOKEN_BYTES_MAX + 1] = {0};
    size_t n = 0;
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    for (size_t bytes = 1; bytes < VS_TOKEN_BYTES_MAX; bytes += bytes < 5 ? 1 : 50) {
        VT_EQ(ask(s.db, token, bytes, NULL), VS_OK);
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        VT_OK(vs_txn_token(txn, token, bytes, NULL), txn);
        VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        VT_EQ(ask(s.db, token, bytes, NULL), VS_ERR_EXISTS);
        VT_EQ(ask(s.db, token, bytes + 1, NULL), VS_OK);
        VT_EQ(vs_kv_get(s.db, NULL, NULL, token, bytes, NULL, 0, &n), VS_ERR_NOT_FOUND);
        VT_EQ(vs_kv_get(s.db, NULL, c, token, bytes, NULL, 0, &n), VS_ERR_NOT_FOUND);
        VT_OK(vs_kv_put(s.db, NULL, NULL, token, bytes, NULL, 0), s.db);
        VT_EQ(ask(s.db, token, bytes, NULL), VS_ERR_EXISTS);
    }
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_txn_token(txn, token, VS_TOKEN_BYTES_MAX, NULL), txn);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    VT_EQ(ask(s.db, token, VS_TOKEN_BYTES_MAX, NULL), VS_ERR_EXISTS);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(what_a_token_cannot_be_is_refused) {
    sample s = sample_new();
    static const uint8_t token[VS_TOKEN_BYTES_MAX + 1];
    uint64_t lsn = 7;
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_EQ(vs_txn_token(NULL, "t", 1, &lsn), VS_ERR_MISUSE);
    VT_EQ(vs_txn_token((vs_txn *)(void *)s.db, "t", 1, &lsn), VS_ERR_MISUSE);
    VT_EQ(vs_txn_token(txn, NULL, 1, &lsn), VS_ERR_MISUSE);
    VT_EQ(vs_txn_token(txn, "", 0, &lsn), VS_ERR_LIMIT);
    VT_EQ(vs_txn_token(txn, token, sizeof token, &lsn), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(txn), "1 to 255 bytes, this one 256");
    VT_OK(vs_txn_token(txn, "t", 1, &lsn), txn);
    VT_EQ(vs_txn_token(txn, "t", 1, &lsn), VS_ERR_MISUSE);
    VT_EQ(vs_txn_token(txn, "u", 1, &lsn), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(txn), "has a token already");
    vs_rollback(txn);
    txn = sample_begin(s.db, VS_TXN_READ);
    VT_EQ(vs_txn_token(txn, "t", 1, &lsn), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(txn), "read transaction");
    vs_rollback(txn);
    VT_EQ(lsn, 7);
    sample_end(&s);
}

static void commit_token(vs_db *db, uint64_t number) {
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    VT_OK(vs_txn_token(txn, &number, sizeof number, NULL), txn);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
}

VT_TEST(the_newest_tokens_are_kept_and_older_ones_are_forgotten) {
    enum { MORE = 5 };
    sample s = sample_new();
    uint64_t lsn = 0;
    for (uint64_t i = 0; i < VS_TOKENS_MAX; i++)
        commit_token(s.db, i);
    for (uint64_t i = 0; i < MORE; i++)
        VT_EQ(ask(s.db, &i, sizeof i, NULL), VS_ERR_EXISTS);
    for (uint64_t i = 0; i < MORE; i++)
        commit_token(s.db, VS_TOKENS_MAX + i);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < VS_TOKENS_MAX + MORE; i += i < 2 * MORE ? 1 : 4099)
            VT_EQ(ask(s.db, &i, sizeof i, NULL), i < MORE ? VS_OK : VS_ERR_EXISTS);
        sample_reopen(&s);
    }
    commit_token(s.db, 0); /* may come again, and takes the next one's place */
    VT_EQ(ask(s.db, &(uint64_t){0}, 8, &lsn), VS_ERR_EXISTS);
    VT_EQ(lsn, sample_stats(s.db).lsn);
    VT_EQ(ask(s.db, &(uint64_t){MORE}, 8, NULL), VS_OK);
    VT_EQ(ask(s.db, &(uint64_t){MORE + 1}, 8, NULL), VS_ERR_EXISTS);
    sample_check(s.db);
    sample_end(&s);
}

enum { THREADS = 4, ROUNDS = 30 };

static void *try_all(void *arg) {
    vs_db *db = arg;
    uint64_t won = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char token[24];
        snprintf(token, sizeof token, "token %d", i);
        vs_status st = add_one(db, token);
        VT_CHECK(st == VS_OK || st == VS_ERR_EXISTS);
        won += st == VS_OK;
    }
    return (void *)(uintptr_t)won;
}

VT_TEST(of_threads_that_try_the_same_one_commits) {
    sample s = sample_new();
    pthread_t threads[THREADS];
    uint64_t won = 0;
    for (int i = 0; i < THREADS; i++)
        VT_EQ(pthread_create(&threads[i], NULL, try_all, s.db), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;
        VT_EQ(pthread_join(threads[i], &result), 0);
        won += (uintptr_t)result;
    }
    VT_EQ(won, ROUNDS);
    VT_EQ(number_of(s.db), ROUNDS);
    sample_end(&s);
}

VT_TEST(any_allocation_may_fail_and_the_attempt_can_be_repeated) {
    vt_allocator counter = {0};
    const vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_vfs *vfs = NULL;
    vs_db *db = NULL;
    vs_status st = VS_ERR_NOMEM;
    uint64_t commits = 0;
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    options.vfs = vfs;
    options.flags = VS_OPEN_CREATE;
    options.allocator = &allocator;
    VT_OK(vs_open("t.vs", &options, &db), db);
    VT_OK(add_one(db, "first"), db);
    for (uint64_t at = 1; st != VS_OK; at++) {
        vs_txn *txn = NULL;
        VT_CHECK(at < 1000);
        counter.fail_at = counter.calls + at;
        st = vs_begin(db, VS_TXN_WRITE, &txn);
        if (st == VS_OK) {
            st = vs_txn_token(txn, "second", 6, NULL);
            if (st == VS_OK)
                st = vs_commit(txn, VS_SYNC_FULL);
            else
                vs_rollback(txn);
        }
        counter.fail_at = 0;
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        VT_EQ(lsn_of(db, "second") > 0, st == VS_OK);
        commits++;
    }
    VT_CHECK(commits > 4);
    VT_CHECK(lsn_of(db, "first") > 0);
    sample_check(db);
    VT_OK(vs_close(db), db);
    VT_EQ(counter.live_blocks, 0);
    vs_vfs_memory_destroy(vfs);
}
