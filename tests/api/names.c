/* names.c - names of collections, aliases, limits. */
#include "sample.h"

static vs_status open_status(vs_db *db, vs_txn *txn, const char *name, uint32_t *out_id) {
    vs_collection *c = NULL;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_status st = vs_collection_open(db, txn, name, &c);
    if (st == VS_OK) {
        VT_OK(vs_collection_info_get(c, txn, &info), c);
        *out_id = info.id;
    }
    vs_collection_close(c);
    return st;
}

static bool leads_to(vs_db *db, vs_txn *txn, const char *name, uint32_t id) {
    uint32_t found = 0;
    return open_status(db, txn, name, &found) == VS_OK && found == id;
}

static bool is_nowhere(vs_db *db, vs_txn *txn, const char *name) {
    uint32_t found = 0;
    return open_status(db, txn, name, &found) == VS_ERR_NOT_FOUND;
}

static void check_name(vs_collection *c, vs_txn *txn, const char *name) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_OK(vs_collection_info_get(c, txn, &info), c);
    VT_STR(info.name, name);
}

VT_TEST(a_renamed_collection_has_its_records_and_another_name) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "old", 2, VS_F32, VS_L2);
    vs_collection *other = sample_create(s.db, NULL, "other", 2, VS_F32, VS_L2);
    const float vector[2] = {1, 2};
    sample_put(c, NULL, 1, vector, NULL);
    vs_txn *snapshot = sample_begin(s.db, VS_TXN_READ);
    VT_OK(vs_collection_rename(c, NULL, "new"), c);
    check_name(c, NULL, "new");
    check_name(c, snapshot, "old");
    VT_CHECK(leads_to(s.db, NULL, "new", 1) && is_nowhere(s.db, NULL, "old"));
    VT_CHECK(leads_to(s.db, snapshot, "old", 1) && is_nowhere(s.db, snapshot, "new"));
    vs_rollback(snapshot);
    VT_CHECK(sample_has(c, NULL, 1));
    VT_EQ(vs_collection_rename(c, NULL, "other"), VS_ERR_EXISTS);
    VT_CONTAINS(vs_errmsg(c), "collection 'other' exists");
    VT_EQ(vs_collection_rename(c, NULL, "new"), VS_ERR_EXISTS);
    VT_EQ(vs_collection_rename(c, NULL, ""), VS_ERR_INVALID);
    VT_EQ(vs_collection_rename(c, NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_collection_rename(NULL, NULL, "x"), VS_ERR_MISUSE);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_collection_rename(c, txn, "third"), c);
    VT_OK(vs_collection_rename(other, txn, "new"), other); /* names may pass on */
    check_name(other, txn, "new");
    vs_rollback(txn);
    VT_CHECK(leads_to(s.db, NULL, "new", 1) && leads_to(s.db, NULL, "other", 2));
    sample killed = sample_after_kill(&s);
    VT_CHECK(leads_to(killed.db, NULL, "new", 1) && is_nowhere(killed.db, NULL, "old"));
    sample_check(killed.db);
    sample_end(&killed);
    vs_collection_close(c);
    vs_collection_close(other);
    sample_reopen(&s);
    VT_CHECK(leads_to(s.db, NULL, "new", 1) && is_nowhere(s.db, NULL, "old"));
    c = sample_create(s.db, NULL, "old", 3, VS_U8, VS_L2); /* the name is free */
    VT_CHECK(leads_to(s.db, NULL, "old", 3));
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

static void check_alias(vs_db *db, vs_txn *txn, size_t at, const char *name, const char *of) {
    vs_alias_info info = VS_ALIAS_INFO_INIT;
    VT_OK(vs_alias_at(db, txn, at, &info), db);
    VT_STR(info.name, name);
    VT_STR(info.collection, of);
}

VT_TEST(an_alias_leads_where_it_was_set_last) {
    sample s = sample_new();
    vs_alias_info info = VS_ALIAS_INFO_INIT;
    vs_collection *a = sample_create(s.db, NULL, "a", 2, VS_F32, VS_L2);
    vs_collection *b = sample_create(s.db, NULL, "b", 2, VS_F32, VS_L2);
    VT_EQ(vs_alias_at(s.db, NULL, 0, &info), VS_DONE);
    VT_OK(vs_alias_set(s.db, NULL, "live", a), s.db);
    VT_OK(vs_alias_set(s.db, NULL, "earlier", a), s.db);
    VT_CHECK(leads_to(s.db, NULL, "live", 1));
    vs_txn *snapshot = sample_begin(s.db, VS_TXN_READ);
    VT_OK(vs_alias_set(s.db, NULL, "live", b), s.db);
    VT_CHECK(leads_to(s.db, NULL, "live", 2) && leads_to(s.db, snapshot, "live", 1));
    check_alias(s.db, NULL, 0, "earlier", "a");
    check_alias(s.db, NULL, 1, "live", "b");
    check_alias(s.db, snapshot, 1, "live", "a");
    VT_EQ(vs_alias_at(s.db, NULL, 2, &info), VS_DONE);
    vs_rollback(snapshot);
    VT_OK(vs_collection_rename(b, NULL, "new b"), b);
    check_alias(s.db, NULL, 1, "live", "new b");
    sample killed = sample_after_kill(&s);
    check_alias(killed.db, NULL, 1, "live", "new b");
    sample_check(killed.db);
    sample_end(&killed);
    VT_OK(vs_alias_set(s.db, NULL, "earlier", NULL), s.db);
    VT_CHECK(is_nowhere(s.db, NULL, "earlier"));
    vs_collection_close(a);
    vs_collection_close(b);
    sample_reopen(&s);
    check_alias(s.db, NULL, 0, "live", "new b");
    VT_CHECK(leads_to(s.db, NULL, "live", 2));
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(aliases_and_names_exclude_each_other) {
    static char longest[VS_NAME_BYTES_MAX + 2];
    sample s = sample_new(), t = sample_new();
    vs_collection_options options = sample_options(2, VS_F32, VS_L2);
    vs_collection *a = sample_create(s.db, NULL, "a", 2, VS_F32, VS_L2);
    vs_collection *foreign = sample_create(t.db, NULL, "a", 2, VS_F32, VS_L2);
    vs_alias_info info = VS_ALIAS_INFO_INIT;
    memset(longest, 'x', sizeof longest - 1);
    VT_OK(vs_alias_set(s.db, NULL, "alias", a), s.db);
    vs_stats before = sample_stats(s.db);
    VT_EQ(vs_collection_create(s.db, NULL, "alias", &options, NULL), VS_ERR_EXISTS);
    VT_CONTAINS(vs_errmsg(s.db), "alias 'alias' exists");
    VT_EQ(vs_collection_rename(a, NULL, "alias"), VS_ERR_EXISTS);
    VT_EQ(vs_alias_set(s.db, NULL, "a", a), VS_ERR_EXISTS);
    VT_EQ(vs_alias_set(s.db, NULL, "a", NULL), VS_ERR_EXISTS);
    VT_EQ(vs_alias_set(s.db, NULL, "b", NULL), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(s.db), "no alias 'b'");
    VT_EQ(vs_alias_set(s.db, NULL, longest, a), VS_ERR_INVALID);
    VT_EQ(vs_alias_set(s.db, NULL, NULL, a), VS_ERR_MISUSE);
    VT_EQ(vs_alias_set(s.db, NULL, "b", foreign), VS_ERR_MISUSE);
    VT_EQ(vs_alias_set(NULL, NULL, "b", a), VS_ERR_MISUSE);
    VT_EQ(vs_alias_at(NULL, NULL, 0, &info), VS_ERR_MISUSE);
    VT_EQ(vs_alias_at(s.db, NULL, 0, NULL), VS_ERR_MISUSE);
    info.size = 1;
    VT_EQ(vs_alias_at(s.db, NULL, 0, &info), VS_ERR_MISUSE);
    vs_stats after = sample_stats(s.db);
    VT_CHECK(!memcmp(before.digest, after.digest, sizeof before.digest));
    longest[VS_NAME_BYTES_MAX] = 0;
    VT_OK(vs_alias_set(s.db, NULL, longest, a), s.db);
    longest[VS_NAME_BYTES_MAX - 1] = 'y';
    VT_OK(vs_alias_set(s.db, NULL, longest, a), s.db);
    check_alias(s.db, NULL, 2, longest, "a");
    sample_check(s.db);
    vs_collection_close(a);
    vs_collection_close(foreign);
    sample_end(&s);
    sample_end(&t);
}

/* ---- limits --------------------------------------------------------------------------------- */

static vs_collection_info info_of(vs_collection *c, vs_txn *txn) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_OK(vs_collection_info_get(c, txn, &info), c);
    return info;
}

VT_TEST(a_collection_becomes_no_larger_than_its_limits) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    const float vector[2] = {1, 2};
    VT_OK(vs_collection_set_limits(c, NULL, 3, 0), c);
    for (uint64_t key = 0; key < 3; key++)
        sample_put(c, NULL, key, vector, "{\"a\":1}");
    VT_EQ(sample_try_put(c, NULL, 3, vector, NULL, VS_UPSERT), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(c), "may have 3 records");
    sample_put(c, NULL, 2, vector, "{\"a\":22222}"); /* no further one */
    VT_EQ(info_of(c, NULL).bytes, 3 * 16 + 7 + 7 + 11);
    VT_OK(vs_collection_set_limits(c, NULL, 0, 80), c);
    sample_put(c, NULL, 2, vector, "{\"a\":222222222}");
    VT_EQ(sample_try_put(c, NULL, 3, vector, NULL, VS_UPSERT), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(c), "may have 80 bytes, not 93");
    VT_EQ(vs_set_metadata(c, NULL, vs_key_u64(0), "{\"a\":1,\"b\":\"\"}", 0), VS_ERR_LIMIT);
    VT_OK(vs_collection_set_limits(c, NULL, 1, 10), c); /* beyond them already */
    VT_OK(vs_set_metadata(c, NULL, vs_key_u64(0), "{}", 0), c);
    VT_OK(vs_delete(c, NULL, vs_key_u64(1)), c);
    VT_EQ(vs_append(c, NULL, &(vs_record){.size = sizeof(vs_record), .vector = vector}, NULL),
          VS_ERR_LIMIT);
    vs_collection_info info = info_of(c, NULL);
    VT_CHECK(info.max_records == 1 && info.max_bytes == 10 && info.count == 2);
    sample_check(s.db);
    vs_collection_close(c);
    sample_reopen(&s);
    c = sample_collection(s.db, "c");
    info = info_of(c, NULL);
    VT_CHECK(info.max_records == 1 && info.max_bytes == 10 && info.bytes == 2 * 16 + 2 + 15);
    VT_EQ(sample_try_put(c, NULL, 3, vector, NULL, VS_UPSERT), VS_ERR_LIMIT);
    VT_OK(vs_collection_set_limits(c, NULL, 0, 0), c);
    sample_put(c, NULL, 3, vector, NULL);
    sample_check(s.db);
    VT_EQ(vs_collection_set_limits(NULL, NULL, 0, 0), VS_ERR_MISUSE);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(limits_may_be_given_when_a_collection_is_created) {
    sample s = sample_new();
    vs_collection_options options = sample_options(1, VS_F32, VS_L2);
    vs_collection *c = NULL;
    const float vectors[3] = {1, 2, 3};
    const uint64_t numbers[3] = {1, 2, 3};
    vs_status statuses[3];
    vs_batch batch = VS_BATCH_INIT;
    options.max_records = 2;
    VT_OK(vs_collection_create(s.db, NULL, "c", &options, &c), s.db);
    batch.count = 3;
    batch.numbers = numbers;
    batch.vectors = vectors;
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_INSERT), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(c), "row 2 of 3");
    VT_EQ(sample_count(c, NULL), 0);
    batch.statuses = statuses; /* then only the row that is too much is refused */
    VT_OK(vs_put_batch(c, NULL, &batch, VS_INSERT), c);
    VT_CHECK(statuses[0] == VS_OK && statuses[1] == VS_OK && statuses[2] == VS_ERR_LIMIT);
    VT_EQ(sample_count(c, NULL), 2);
    vs_collection_close(c);
    sample_reopen(&s);
    sample_check(s.db);
    sample_end(&s);
}
