/* notes.c - key/value notes: bytes under keys of bytes, of a database and of its collections. */
#include "sample.h"

static vs_status put_note(vs_db *db, vs_txn *txn, vs_collection *c, const char *key,
                          const char *value) {
    return vs_kv_put(db, txn, c, key, strlen(key), value, value ? strlen(value) : 0);
}

/* The note must be there with exactly this value. */
static void check_note(vs_db *db, vs_txn *txn, vs_collection *c, const void *key, size_t key_bytes,
                       const void *value, size_t value_bytes) {
    size_t bytes = SIZE_MAX;
    uint8_t *found = malloc(value_bytes + 1);
    VT_CHECK(found != NULL);
    found[value_bytes] = 0xab;
    VT_OK(vs_kv_get(db, txn, c, key, key_bytes, found, value_bytes + 1, &bytes),
          txn ? (void *)txn : (void *)db);
    VT_EQ(bytes, value_bytes);
    VT_CHECK(value_bytes == 0 || !memcmp(found, value, value_bytes));
    VT_EQ(found[value_bytes], 0xab); /* not more is written than there is */
    free(found);
}

static void check_text(vs_db *db, vs_txn *txn, vs_collection *c, const char *key,
                       const char *value) {
    check_note(db, txn, c, key, strlen(key), value, strlen(value));
}

static void check_no_note(vs_db *db, vs_txn *txn, vs_collection *c, const void *key,
                          size_t key_bytes) {
    size_t bytes = 777;
    char value[4] = "abc";
    VT_EQ(vs_kv_get(db, txn, c, key, key_bytes, value, sizeof value, &bytes), VS_ERR_NOT_FOUND);
    VT_CHECK(vs_errmsg(txn ? (void *)txn : (void *)db)[0]);
    VT_EQ(bytes, 777);
    VT_STR(value, "abc");
}

VT_TEST(a_note_is_written_read_replaced_and_deleted) {
    sample s = sample_new();
    check_no_note(s.db, NULL, NULL, "k", 1);
    VT_OK(put_note(s.db, NULL, NULL, "k", "first"), s.db);
    check_text(s.db, NULL, NULL, "k", "first");
    VT_OK(put_note(s.db, NULL, NULL, "k", "a longer second value"), s.db);
    check_text(s.db, NULL, NULL, "k", "a longer second value");
    VT_OK(put_note(s.db, NULL, NULL, "k", "3"), s.db);
    check_text(s.db, NULL, NULL, "k", "3");
    VT_OK(put_note(s.db, NULL, NULL, "k", NULL), s.db);
    check_no_note(s.db, NULL, NULL, "k", 1);
    VT_OK(put_note(s.db, NULL, NULL, "k", NULL), s.db); /* no error when there is none */
    VT_OK(put_note(s.db, NULL, NULL, "k", "again"), s.db);
    VT_OK(vs_kv_put(s.db, NULL, NULL, "k", 1, NULL, 40), s.db); /* no value, whatever its size */
    check_no_note(s.db, NULL, NULL, "k", 1);
    sample_end(&s);
}

VT_TEST(an_empty_value_is_a_note) {
    sample s = sample_new();
    VT_OK(vs_kv_put(s.db, NULL, NULL, "empty", 5, "", 0), s.db);
    check_note(s.db, NULL, NULL, "empty", 5, NULL, 0);
    sample_reopen(&s);
    check_note(s.db, NULL, NULL, "empty", 5, NULL, 0);
    sample_end(&s);
}

VT_TEST(as_much_of_a_value_is_written_as_there_is_room_for) {
    sample s = sample_new();
    char value[8];
    size_t bytes = 0;
    VT_OK(put_note(s.db, NULL, NULL, "k", "0123456789"), s.db);
    for (size_t room = 0; room < sizeof value; room++) {
        memset(value, '-', sizeof value);
        VT_OK(vs_kv_get(s.db, NULL, NULL, "k", 1, value, room, &bytes), s.db);
        VT_EQ(bytes, 10);
        VT_CHECK(!memcmp(value, "0123456789", room));
        for (size_t i = room; i < sizeof value; i++)
            VT_EQ(value[i], '-');
    }
    bytes = 0;
    VT_OK(vs_kv_get(s.db, NULL, NULL, "k", 1, NULL, 0, &bytes), s.db);
    VT_EQ(bytes, 10);
    sample_end(&s);
}

VT_TEST(keys_are_bytes_and_differ_by_any_of_them) {
    static const char keys[][4] = {"a",    "aa",   "a\0", "\0a",   "\0",
                                   "\0\0", "\xff", "A",   "a\xff", "b"};
    static const size_t bytes[] = {1, 2, 2, 2, 1, 2, 1, 1, 2, 1};
    enum { N = sizeof bytes / sizeof bytes[0] };
    sample s = sample_new();
    for (size_t i = 0; i < N; i++)
        VT_OK(vs_kv_put(s.db, NULL, NULL, keys[i], bytes[i], &i, sizeof i), s.db);
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < N; i++)
            check_note(s.db, NULL, NULL, keys[i], bytes[i], &i, sizeof i);
        sample_reopen(&s);
    }
    for (size_t i = 0; i < N; i += 2)
        VT_OK(vs_kv_put(s.db, NULL, NULL, keys[i], bytes[i], NULL, 0), s.db);
    for (size_t i = 0; i < N; i++)
        if (i % 2)
            check_note(s.db, NULL, NULL, keys[i], bytes[i], &i, sizeof i);
        else
            check_no_note(s.db, NULL, NULL, keys[i], bytes[i]);
    sample_end(&s);
}

VT_TEST(keys_have_1_to_1024_bytes_and_values_up_to_1_mib) {
    sample s = sample_new();
    uint8_t *value = malloc(VS_KV_VALUE_BYTES_MAX + 1);
    uint8_t key[VS_KV_KEY_BYTES_MAX + 1];
    VT_CHECK(value != NULL);
    memset(key, 'k', sizeof key);
    for (size_t i = 0; i <= VS_KV_VALUE_BYTES_MAX; i++)
        value[i] = (uint8_t)(i * 31 >> 3);
    VT_OK(vs_kv_put(s.db, NULL, NULL, key, VS_KV_KEY_BYTES_MAX, value, VS_KV_VALUE_BYTES_MAX),
          s.db);
    VT_OK(vs_kv_put(s.db, NULL, NULL, key, VS_KV_KEY_BYTES_MAX - 1, "less", 4), s.db);
    uint64_t commits = sample_stats(s.db).commits;
    VT_EQ(vs_kv_put(s.db, NULL, NULL, key, VS_KV_KEY_BYTES_MAX + 1, "v", 1), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(s.db), "1025");
    VT_CONTAINS(vs_errmsg(s.db), "1024");
    VT_EQ(vs_kv_put(s.db, NULL, NULL, key, 0, "v", 1), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(s.db), "key");
    VT_EQ(vs_kv_put(s.db, NULL, NULL, "v", 1, value, VS_KV_VALUE_BYTES_MAX + 1), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(s.db), "1048577");
    VT_CONTAINS(vs_errmsg(s.db), "1048576");
    VT_EQ(sample_stats(s.db).commits, commits);
    check_no_note(s.db, NULL, NULL, "v", 1);
    for (int round = 0; round < 2; round++) {
        check_note(s.db, NULL, NULL, key, VS_KV_KEY_BYTES_MAX, value, VS_KV_VALUE_BYTES_MAX);
        check_note(s.db, NULL, NULL, key, VS_KV_KEY_BYTES_MAX - 1, "less", 4);
        sample_check(s.db);
        sample_reopen(&s);
    }
    free(value);
    sample_end(&s);
}

VT_TEST(a_key_beyond_the_limits_is_refused_when_read) {
    sample s = sample_new();
    char key[VS_KV_KEY_BYTES_MAX + 1] = {0};
    const size_t sizes[] = {0, VS_KV_KEY_BYTES_MAX + 1};
    for (int i = 0; i < 2; i++) {
        size_t bytes = 777;
        VT_EQ(vs_kv_get(s.db, NULL, NULL, key, sizes[i], NULL, 0, &bytes), VS_ERR_LIMIT);
        VT_EQ(bytes, 777);
    }
    sample_end(&s);
}

VT_TEST(a_database_and_each_of_its_collections_have_their_own_notes) {
    sample s = sample_new();
    vs_collection *a = sample_create(s.db, NULL, "a", 1, VS_F32, VS_L2);
    vs_collection *b = sample_create(s.db, NULL, "b", 1, VS_F32, VS_L2);
    VT_OK(put_note(s.db, NULL, NULL, "k", "of the database"), s.db);
    VT_OK(put_note(s.db, NULL, a, "k", "of a"), s.db);
    check_no_note(s.db, NULL, b, "k", 1);
    VT_OK(put_note(s.db, NULL, b, "k", "of b"), s.db);
    for (int round = 0; round < 2; round++) {
        check_text(s.db, NULL, NULL, "k", "of the database");
        check_text(s.db, NULL, a, "k", "of a");
        check_text(s.db, NULL, b, "k", "of b");
        VT_EQ(sample_count(a, NULL), 0); /* notes are no records */
        vs_collection_close(a);
        vs_collection_close(b);
        sample_reopen(&s);
        a = sample_collection(s.db, "a");
        b = sample_collection(s.db, "b");
    }
    VT_OK(put_note(s.db, NULL, a, "k", NULL), s.db);
    check_no_note(s.db, NULL, a, "k", 1);
    check_text(s.db, NULL, NULL, "k", "of the database");
    check_text(s.db, NULL, b, "k", "of b");
    vs_collection_close(a);
    vs_collection_close(b);
    sample_end(&s);
}

VT_TEST(notes_are_part_of_transactions) {
    sample s = sample_new();
    VT_OK(put_note(s.db, NULL, NULL, "old", "1"), s.db);
    VT_OK(put_note(s.db, NULL, NULL, "gone", "1"), s.db);
    vs_txn *read = sample_begin(s.db, VS_TXN_READ);
    for (int keep = 0; keep < 2; keep++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        VT_OK(put_note(s.db, txn, NULL, "old", "2"), txn);
        VT_OK(put_note(s.db, txn, NULL, "new", "2"), txn);
        VT_OK(put_note(s.db, txn, NULL, "gone", NULL), txn);
        check_text(s.db, txn, NULL, "old", "2");
        check_text(s.db, txn, NULL, "new", "2");
        check_no_note(s.db, txn, NULL, "gone", 4);
        check_text(s.db, NULL, NULL, "old", "1");
        check_no_note(s.db, NULL, NULL, "new", 3);
        VT_EQ(vs_kv_put(s.db, txn, NULL, "x", 1, "", VS_KV_VALUE_BYTES_MAX + 1), VS_ERR_LIMIT);
        VT_CONTAINS(vs_errmsg(txn), "value");
        if (keep)
            VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        else
            vs_rollback(txn);
        check_text(s.db, NULL, NULL, "old", keep ? "2" : "1");
        check_text(s.db, read, NULL, "old", "1");
        check_text(s.db, read, NULL, "gone", "1");
        check_no_note(s.db, read, NULL, "new", 3);
    }
    vs_rollback(read);
    sample_reopen(&s);
    check_text(s.db, NULL, NULL, "old", "2");
    check_text(s.db, NULL, NULL, "new", "2");
    check_no_note(s.db, NULL, NULL, "gone", 4);
    sample_end(&s);
}

/* The digest is of the content, not of the way to it. */
VT_TEST(the_digest_depends_on_the_notes_and_not_on_their_history) {
    sample a = sample_new(), b = sample_new();
    vs_stats empty = sample_stats(a.db);
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        VT_OK(put_note(a.db, NULL, NULL, key, "wrong"), a.db);
        VT_OK(put_note(a.db, NULL, NULL, key, key), a.db);
        snprintf(key, sizeof key, "%d", 19 - i);
        VT_OK(put_note(b.db, NULL, NULL, key, key), b.db);
    }
    vs_stats x = sample_stats(a.db), y = sample_stats(b.db);
    VT_CHECK(x.digest[0] == y.digest[0] && x.digest[1] == y.digest[1]);
    VT_OK(put_note(b.db, NULL, NULL, "7", "8"), b.db);
    y = sample_stats(b.db);
    VT_CHECK(x.digest[0] != y.digest[0]);
    VT_OK(put_note(b.db, NULL, NULL, "7", "7"), b.db);
    y = sample_stats(b.db);
    VT_CHECK(x.digest[0] == y.digest[0] && x.digest[1] == y.digest[1]);
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        VT_OK(put_note(a.db, NULL, NULL, key, NULL), a.db);
    }
    x = sample_stats(a.db);
    VT_CHECK(x.digest[0] == empty.digest[0] && x.digest[1] == empty.digest[1]);
    sample_end(&a);
    sample_end(&b);
}

/* ---- many ----------------------------------------------------------------------------------- */

enum { NOTES = 300 };

/* The key and value of note number i in version v; 0: there is none. */
static size_t make_key(size_t i, uint8_t key[VS_KV_KEY_BYTES_MAX]) {
    size_t bytes = 4 + (size_t)(vt_mix(i) % (VS_KV_KEY_BYTES_MAX - 4));
    memset(key, (int)(i % 3), bytes);
    key[bytes - 2] = (uint8_t)(i >> 8);
    key[bytes - 1] = (uint8_t)i;
    return bytes;
}

static size_t make_value(size_t i, uint64_t version, uint8_t value[9000]) {
    size_t bytes = (size_t)(vt_mix(i ^ version << 20) % (version % 4 ? 90 : 9000));
    for (size_t j = 0; j < bytes; j++)
        value[j] = (uint8_t)vt_mix(version + j / 64 + i);
    return bytes;
}

static void check_notes(vs_db *db, vs_txn *txn, const uint64_t *version) {
    static uint8_t key[VS_KV_KEY_BYTES_MAX], value[9000];
    for (size_t i = 0; i < NOTES; i++) {
        size_t key_bytes = make_key(i, key);
        if (version[i])
            check_note(db, txn, NULL, key, key_bytes, value, make_value(i, version[i], value));
        else
            check_no_note(db, txn, NULL, key, key_bytes);
    }
}

VT_TEST(hundreds_of_notes_changed_at_random_are_what_an_array_says) {
    static uint64_t version[NOTES], before[NOTES];
    static uint8_t key[VS_KV_KEY_BYTES_MAX], value[9000];
    vt_rng rng = {vt_seed()};
    sample s = sample_new();
    memset(version, 0, sizeof version);
    for (int round = 0; round < 8; round++) {
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        memcpy(before, version, sizeof version);
        for (int n = 0; n < 200; n++) {
            size_t i = vt_below(&rng, NOTES), key_bytes = make_key(i, key);
            version[i] = vt_below(&rng, 4) ? vt_below(&rng, 1000) : 0;
            size_t value_bytes = make_value(i, version[i], value);
            VT_OK(
                vs_kv_put(s.db, txn, NULL, key, key_bytes, version[i] ? value : NULL, value_bytes),
                txn);
        }
        check_notes(s.db, txn, version);
        check_notes(s.db, NULL, before);
        if (round % 3 == 2) {
            vs_rollback(txn);
            memcpy(version, before, sizeof version);
        } else {
            VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
        }
        if (round % 2)
            sample_reopen(&s);
        check_notes(s.db, NULL, version);
        sample_check(s.db);
    }
    sample_end(&s);
}
