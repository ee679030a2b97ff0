/* cursor.c - iterating in key order: over a snapshot, and over a transaction that goes on changing
 * what is iterated. */
#include "sample.h"

static vs_collection *create(sample *s) {
    return sample_create(s->db, NULL, "c", 2, VS_F32, VS_L2);
}

static void put_key(vs_collection *c, vs_txn *txn, uint64_t key) {
    float v[2] = {(float)(key % 1000), 1};
    sample_put(c, txn, key, v, key % 2 ? "{\"odd\":1}" : NULL);
}

static vs_cursor *scan(vs_collection *c, vs_txn *txn, uint64_t from) {
    vs_cursor *cursor = NULL;
    VT_OK(vs_scan(c, txn, VT_FROM(from), &cursor), c);
    return cursor;
}

/* Moves on to a record, which must be whole, and tells its key. */
static uint64_t next_key(vs_cursor *cursor) {
    vs_record r = VS_RECORD_INIT;
    float v[2];
    VT_EQ(vs_step(cursor), VS_ROW);
    VT_OK(vs_cursor_record(cursor, &r), cursor);
    memcpy(v, r.vector, sizeof v);
    VT_CHECK(v[0] == (float)(r.key.number % 1000));
    VT_EQ(r.vector_type, VS_F32);
    VT_EQ(r.metadata_bytes, r.key.number % 2 ? 9 : 0);
    VT_CHECK(r.key.number % 2 ? !strcmp(r.metadata, "{\"odd\":1}") : !r.metadata);
    return r.key.number;
}

static void check_keys(vs_cursor *cursor, const uint64_t *keys, size_t n) {
    for (size_t i = 0; i < n; i++)
        VT_CHECK(next_key(cursor) == keys[i]);
    VT_EQ(vs_step(cursor), VS_DONE);
}

/* ---- order ---------------------------------------------------------------------------------- */

VT_TEST(a_cursor_shows_all_records_in_ascending_key_order) {
    const uint64_t keys[] = {0,
                             1,
                             2,
                             255,
                             256,
                             65535,
                             65536,
                             UINT32_MAX,
                             (uint64_t)1 << 32,
                             ((uint64_t)1 << 63) - 1,
                             (uint64_t)1 << 63,
                             UINT64_MAX - 1,
                             UINT64_MAX};
    enum { N = sizeof keys / sizeof keys[0] };
    sample s = sample_new();
    vs_collection *c = create(&s);
    for (size_t i = 0; i < N; i++)
        put_key(c, NULL, keys[i * 5 % N]);
    for (int round = 0; round < 2; round++) {
        vs_cursor *cursor = scan(c, NULL, 0);
        check_keys(cursor, keys, N);
        vs_cursor_close(cursor);
        for (size_t from = 0; from < N; from++) { /* from a key that exists, and from just behind */
            cursor = scan(c, NULL, keys[from]);
            check_keys(cursor, keys + from, N - from);
            vs_cursor_close(cursor);
            if (from + 1 == N || keys[from] + 1 == keys[from + 1])
                continue;
            cursor = scan(c, NULL, keys[from] + 1);
            check_keys(cursor, keys + from + 1, N - from - 1);
            vs_cursor_close(cursor);
        }
        vs_collection_close(c);
        sample_reopen(&s);
        c = sample_collection(s.db, "c");
    }
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_cursor_over_thousands_of_records_misses_none) {
    enum { N = 6000 };
    sample s = sample_new();
    vs_collection *c = create(&s);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    for (uint64_t i = 0; i < N; i++)
        put_key(c, txn, (i * 2741) % N * 3); /* 2741 is prime */
    vs_cursor *own = scan(c, txn, 0);
    for (uint64_t i = 0; i < N; i++)
        VT_CHECK(next_key(own) == 3 * i);
    VT_EQ(vs_step(own), VS_DONE);
    vs_cursor_close(own);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    for (uint64_t from = 0; from < 3 * N; from += 997) {
        vs_cursor *cursor = scan(c, NULL, from);
        for (uint64_t key = (from + 2) / 3 * 3; key < 3 * N; key += 3)
            VT_CHECK(next_key(cursor) == key);
        VT_EQ(vs_step(cursor), VS_DONE);
        vs_cursor_close(cursor);
    }
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(behind_the_last_record_a_cursor_stays_done) {
    sample s = sample_new();
    vs_collection *c = create(&s);
    vs_cursor *cursor = scan(c, NULL, 0);
    VT_EQ(vs_step(cursor), VS_DONE);
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    put_key(c, NULL, 5);
    cursor = scan(c, NULL, 6);
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    cursor = scan(c, NULL, 5);
    VT_EQ(next_key(cursor), 5);
    for (int i = 0; i < 3; i++)
        VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- the record under a cursor -------------------------------------------------------------- */

static void check_no_record(vs_cursor *cursor) {
    vs_record r;
    memset(&r, 0x66, sizeof r);
    r.size = sizeof r;
    vs_record before = r;
    VT_EQ(vs_cursor_record(cursor, &r), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(cursor), "no record");
    VT_CHECK(!memcmp(&r, &before, sizeof r));
}

VT_TEST(before_the_first_and_behind_the_last_step_there_is_no_record) {
    sample s = sample_new();
    vs_collection *c = create(&s);
    put_key(c, NULL, 1);
    vs_cursor *cursor = scan(c, NULL, 0);
    check_no_record(cursor);
    VT_EQ(next_key(cursor), 1);
    VT_EQ(vs_step(cursor), VS_DONE);
    check_no_record(cursor);
    vs_cursor_close(cursor);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_record_under_a_cursor_is_read_again_and_stays_while_other_handles_work) {
    sample s = sample_new();
    vs_collection *c = create(&s);
    put_key(c, NULL, 7);
    put_key(c, NULL, 8);
    vs_cursor *cursor = scan(c, NULL, 0), *other = scan(c, NULL, 0);
    vs_record r = VS_RECORD_INIT, again = VS_RECORD_INIT;
    float v[2];
    VT_EQ(vs_step(cursor), VS_ROW);
    VT_OK(vs_cursor_record(cursor, &r), cursor);
    VT_EQ(next_key(other), 7);
    VT_EQ(next_key(other), 8);
    VT_OK(vs_get(c, NULL, vs_key_u64(8), &again), c);
    VT_OK(vs_delete(c, NULL, vs_key_u64(7)), c);
    put_key(c, NULL, 9);
    memcpy(v, r.vector, sizeof v);
    VT_CHECK(v[0] == 7 && v[1] == 1);
    VT_STR(r.metadata, "{\"odd\":1}");
    VT_OK(vs_cursor_record(cursor, &again), cursor);
    VT_EQ(again.key.number, 7);
    again.size = offsetof(vs_record, vector);
    again.metadata_bytes = 1234;
    VT_OK(vs_cursor_record(cursor, &again), cursor); /* of a smaller struct */
    VT_EQ(again.metadata_bytes, 1234);
    again.size = 0;
    VT_EQ(vs_cursor_record(cursor, &again), VS_ERR_MISUSE);
    VT_EQ(next_key(cursor), 8);
    vs_cursor_close(other);
    vs_cursor_close(cursor);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- snapshots ------------------------------------------------------------------------------ */

VT_TEST(a_cursor_without_a_transaction_keeps_its_own_snapshot) {
    enum { N = 300 };
    sample s = sample_new();
    vs_collection *c = create(&s);
    for (uint64_t key = 0; key < N; key++)
        put_key(c, NULL, key);
    vs_cursor *cursor = scan(c, NULL, 0);
    VT_EQ(sample_stats(s.db).readers, 1);
    for (uint64_t key = 0; key < N; key++) {
        VT_CHECK(next_key(cursor) == key);
        if (key % 3 == 0 && key + 1 < N)
            VT_OK(vs_delete(c, NULL, vs_key_u64(key + 1)), c);
        put_key(c, NULL, N + key);
        float v[2] = {-1, -1};
        sample_put(c, NULL, key, v, NULL);
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    VT_EQ(sample_stats(s.db).readers, 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_cursor_lives_on_when_its_collection_handle_is_closed) {
    sample s = sample_new();
    vs_collection *c = create(&s);
    put_key(c, NULL, 1);
    put_key(c, NULL, 2);
    vs_cursor *cursor = scan(c, NULL, 0);
    vs_collection_close(c);
    VT_EQ(next_key(cursor), 1);
    VT_EQ(next_key(cursor), 2);
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    c = sample_collection(s.db, "c");
    cursor = scan(c, txn, 0);
    vs_collection_close(c);
    VT_EQ(next_key(cursor), 1);
    VT_EQ(next_key(cursor), 2);
    vs_cursor_close(cursor);
    vs_rollback(txn);
    sample_end(&s);
}

VT_TEST(a_cursor_of_a_read_transaction_shows_its_snapshot) {
    sample s = sample_new();
    vs_collection *c = create(&s);
    const uint64_t keys[] = {3, 5, 9};
    for (int i = 0; i < 3; i++)
        put_key(c, NULL, keys[i]);
    vs_txn *read = sample_begin(s.db, VS_TXN_READ);
    put_key(c, NULL, 4);
    VT_OK(vs_delete(c, NULL, vs_key_u64(9)), c);
    vs_cursor *cursor = scan(c, read, 0);
    check_keys(cursor, keys, 3);
    vs_cursor_close(cursor);
    vs_rollback(read);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- in a write transaction ----------------------------------------------------------------- */

VT_TEST(a_cursor_sees_what_its_transaction_changes_ahead_of_it) {
    sample s = sample_new();
    vs_collection *c = create(&s);
    for (uint64_t key = 10; key <= 50; key += 10)
        put_key(c, NULL, key);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_cursor *cursor = scan(c, txn, 0);
    put_key(c, txn, 5); /* before the first step everything is ahead */
    VT_EQ(next_key(cursor), 5);
    VT_EQ(next_key(cursor), 10);
    VT_OK(vs_delete(c, txn, vs_key_u64(20)), c); /* the next one */
    put_key(c, txn, 25);
    put_key(c, txn, 7); /* passed already */
    VT_EQ(next_key(cursor), 25);
    VT_OK(vs_delete(c, txn, vs_key_u64(25)), c); /* the one under the cursor */
    VT_EQ(next_key(cursor), 30);
    float v[2] = {77, 1};
    sample_put(c, txn, 40, v, "{\"new\":1}"); /* replaced */
    VT_EQ(vs_step(cursor), VS_ROW);
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_cursor_record(cursor, &r), cursor);
    VT_EQ(r.key.number, 40);
    VT_STR(r.metadata, "{\"new\":1}");
    VT_EQ(next_key(cursor), 50);
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    vs_rollback(txn);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(the_record_under_a_cursor_can_still_be_read_when_another_one_was_changed) {
    sample s = sample_new();
    vs_collection *c = create(&s);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put_key(c, txn, 1);
    put_key(c, txn, 2);
    vs_cursor *cursor = scan(c, txn, 0);
    vs_record r = VS_RECORD_INIT;
    VT_EQ(vs_step(cursor), VS_ROW);
    put_key(c, txn, 3);
    VT_OK(vs_cursor_record(cursor, &r), cursor);
    VT_EQ(r.key.number, 1);
    vs_cursor_close(cursor);
    vs_rollback(txn);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(all_records_are_deleted_or_replaced_by_the_cursor_that_walks_over_them) {
    enum { N = 1500 };
    sample s = sample_new();
    vs_collection *c = create(&s);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    for (uint64_t key = 0; key < N; key++)
        put_key(c, txn, key);
    vs_cursor *cursor = scan(c, txn, 0);
    for (uint64_t key = 0; key < N; key++) {
        VT_CHECK(next_key(cursor) == key);
        if (key % 3)
            VT_OK(vs_delete(c, txn, vs_key_u64(key)), c);
        else
            put_key(c, txn, key);
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    VT_EQ(sample_count(c, NULL), N / 3);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_cursor_on_the_largest_key_does_not_start_over_after_a_change) {
    sample s = sample_new();
    vs_collection *c = create(&s);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put_key(c, txn, 1);
    put_key(c, txn, UINT64_MAX);
    vs_cursor *cursor = scan(c, txn, UINT64_MAX);
    VT_CHECK(next_key(cursor) == UINT64_MAX);
    put_key(c, txn, 0);
    VT_EQ(vs_step(cursor), VS_DONE);
    put_key(c, txn, 2);
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    vs_rollback(txn);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_failed_call_leaves_a_cursor_where_it_was) {
    sample s = sample_new();
    vs_collection *c = create(&s);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    float v[6] = {0};
    uint64_t keys[3] = {15, 16, 30};
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 3;
    batch.numbers = keys;
    batch.vectors = v;
    for (uint64_t key = 10; key <= 40; key += 10)
        put_key(c, txn, key);
    vs_cursor *cursor = scan(c, txn, 0);
    VT_EQ(next_key(cursor), 10);
    VT_EQ(vs_put_batch(c, txn, &batch, VS_INSERT), VS_ERR_EXISTS);
    VT_EQ(next_key(cursor), 20); /* 15 and 16 are gone again */
    VT_EQ(vs_delete(c, txn, vs_key_u64(25)), VS_ERR_NOT_FOUND);
    VT_EQ(next_key(cursor), 30);
    VT_EQ(next_key(cursor), 40);
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    vs_rollback(txn);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_cursor_of_a_write_transaction_ends_with_it) {
    for (int commits = 0; commits < 2; commits++) {
        sample s = sample_new();
        vs_collection *c = create(&s);
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        put_key(c, txn, 1);
        put_key(c, txn, 2);
        vs_cursor *cursor = scan(c, txn, 0), *fresh = scan(c, txn, 0);
        VT_EQ(next_key(cursor), 1);
        if (commits)
            VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        else
            vs_rollback(txn);
        VT_EQ(vs_step(cursor), VS_ERR_MISUSE);
        VT_CONTAINS(vs_errmsg(cursor), "transaction");
        check_no_record(cursor);
        VT_EQ(vs_step(fresh), VS_ERR_MISUSE);
        vs_txn *next = sample_begin(s.db, VS_TXN_WRITE);
        VT_EQ(vs_step(cursor), VS_ERR_MISUSE); /* another transaction is not its own */
        vs_rollback(next);
        vs_cursor_close(cursor);
        vs_cursor_close(fresh);
        vs_collection_close(c);
        sample_end(&s);
    }
}

VT_TEST(cursors_of_one_transaction_are_closed_in_any_order_before_or_after_it) {
    enum { CURSORS = 7 };
    sample s = sample_new();
    vs_collection *c = create(&s);
    for (int step = 1; step < CURSORS; step++)
        for (int kept = 0; kept <= CURSORS; kept++) {
            vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
            vs_cursor *cursor[CURSORS];
            put_key(c, txn, 1);
            for (int i = 0; i < CURSORS; i++)
                cursor[i] = scan(c, txn, 0);
            for (int i = 0; i < CURSORS; i++) {
                if (i == kept)
                    vs_rollback(txn);
                vs_cursor *now = cursor[i * step % CURSORS];
                VT_EQ(vs_step(now), i < kept ? VS_ROW : VS_ERR_MISUSE);
                vs_cursor_close(now);
            }
            if (kept == CURSORS)
                vs_rollback(txn);
        }
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- at random ------------------------------------------------------------------------------ */

VT_TEST(a_cursor_goes_to_the_next_key_whatever_is_changed_between_its_steps) {
    enum { KEYS = 200 };
    vt_rng rng = {vt_seed()};
    sample s = sample_new();
    vs_collection *c = create(&s);
    bool is_there[KEYS] = {false};
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    for (int walk = 0; walk < 150; walk++) {
        uint64_t next = vt_below(&rng, KEYS);
        vs_cursor *cursor = scan(c, txn, next);
        for (;;) {
            for (uint64_t n = vt_below(&rng, 4); n > 0; n--) {
                uint64_t key = vt_below(&rng, KEYS);
                VT_EQ(vs_delete(c, txn, vs_key_u64(key)), is_there[key] ? VS_OK : VS_ERR_NOT_FOUND);
                is_there[key] = !is_there[key];
                if (is_there[key])
                    put_key(c, txn, key);
            }
            while (next < KEYS && !is_there[next])
                next++;
            if (next == KEYS)
                break;
            VT_CHECK(next_key(cursor) == next);
            next++;
        }
        VT_EQ(vs_step(cursor), VS_DONE);
        vs_cursor_close(cursor);
    }
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}
