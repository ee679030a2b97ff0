/* fetch.c - reading many records in one call, and asking whether one exists. */
#include "sample.h"

enum { KEYS = 50, DIM = 3, BITS = 11 };

/* Keys of all kinds in several namespaces, all different. */
typedef struct keys {
    vs_key key[KEYS];
    char text[KEYS][40];
} keys;

static void keys_make(keys *k) {
    memset(k, 0, sizeof *k);
    for (uint64_t i = 0; i < KEYS; i++) {
        size_t bytes =
            (size_t)snprintf(k->text[i], sizeof k->text[i], "key %llu of some length that differs",
                             (unsigned long long)i);
        vs_key key = vs_key_u64(i * i * 1000003);
        if (i % 3 == 1)
            key = vs_key_bytes(k->text[i], 6 + i % (bytes - 6));
        if (i % 3 == 2)
            key = vs_key_uuid(k->text[i]);
        k->key[i] = vs_key_in(i % 5 ? 0 : (uint32_t)i, key);
    }
}

/* "first": all have it; "bits": those with an even number. */
static vs_collection *create(vs_db *db, vs_txn *txn) {
    vs_field fields[2] = {VS_FIELD_INIT, VS_FIELD_INIT};
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    fields[0].name = "first";
    fields[0].dim = DIM;
    fields[1].name = "bits";
    fields[1].dim = BITS;
    fields[1].type = VS_BIT;
    fields[1].flags = VS_FIELD_OPTIONAL;
    options.fields = fields;
    options.field_count = 2;
    VT_OK(vs_collection_create(db, txn, "c", &options, &c), db);
    return c;
}

static void put(vs_collection *c, vs_txn *txn, const keys *k, size_t i, int round) {
    const float first[DIM] = {(float)i, (float)round, -1};
    const uint8_t bits[2] = {(uint8_t)i, 1};
    const vs_vector further = {bits, 0, 1};
    char text[64];
    vs_record r = VS_RECORD_INIT;
    r.key = k->key[i];
    r.vector = first;
    r.vectors = &further;
    r.vector_count = i % 2 == 0;
    snprintf(text, sizeof text, "{\"number\":%zu,\"round\":%d}", i, round);
    r.metadata = i % 4 == 3 ? NULL : text;
    VT_OK(vs_put(c, txn, &r, VS_UPSERT), c);
}

static void check_record(const vs_record *r, const keys *k, size_t i, int round) {
    char text[64];
    const float *first = r->vector;
    snprintf(text, sizeof text, "{\"number\":%zu,\"round\":%d}", i, round);
    VT_EQ(vs_key_compare(r->key, k->key[i]), 0);
    VT_EQ(r->vector_type, VS_F32);
    VT_CHECK(first[0] == (float)i && first[1] == (float)round && first[2] == -1);
    VT_EQ(r->vector_count, i % 2 == 0);
    VT_CHECK(r->version != 0);
    if (r->vector_count) {
        VT_CHECK(r->vectors[0].field == 1 && r->vectors[0].type == VS_BIT);
        VT_EQ(((const uint8_t *)r->vectors[0].data)[0], (uint8_t)i);
    }
    VT_EQ(r->metadata == NULL, i % 4 == 3);
    VT_EQ(r->metadata_bytes, r->metadata ? strlen(text) : 0);
    if (r->metadata)
        VT_STR(r->metadata, text);
}

static void init(vs_record *records, size_t count) {
    const vs_record empty = VS_RECORD_INIT;
    for (size_t i = 0; i < count; i++)
        records[i] = empty;
}

static bool exists(vs_collection *c, vs_txn *txn, vs_key key) {
    int is_there = -1;
    VT_OK(vs_exists(c, txn, key, &is_there), c);
    VT_CHECK(is_there == 0 || is_there == 1);
    VT_EQ(vs_get(c, txn, key, NULL), is_there ? VS_OK : VS_ERR_NOT_FOUND);
    return is_there;
}

/* Records with an index below present are there, as of a round. */
static void check_batch(vs_collection *c, vs_txn *txn, const keys *k, size_t present, int round) {
    vs_record records[KEYS];
    vs_status statuses[KEYS];
    init(records, KEYS);
    VT_OK(vs_get_batch(c, txn, k->key, KEYS, records, statuses), c);
    for (size_t i = 0; i < KEYS; i++) {
        const vs_record untouched = VS_RECORD_INIT;
        VT_EQ(statuses[i], i < present ? VS_OK : VS_ERR_NOT_FOUND);
        if (i < present)
            check_record(&records[i], k, i, round);
        else
            VT_CHECK(!memcmp(&records[i], &untouched, sizeof untouched));
    }
    for (size_t i = 0; i < KEYS; i++)
        VT_EQ(exists(c, txn, k->key[i]), i < present);
}

VT_TEST(a_batch_has_each_record_as_it_is_read_alone_under_keys_of_all_kinds) {
    keys k;
    sample s = sample_new();
    keys_make(&k);
    vs_collection *c = create(s.db, NULL);
    for (size_t i = 0; i < KEYS - 7; i++)
        put(c, NULL, &k, i, 0);
    check_batch(c, NULL, &k, KEYS - 7, 0);
    vs_collection_close(c);
    sample_reopen(&s);
    c = sample_collection(s.db, "c");
    check_batch(c, NULL, &k, KEYS - 7, 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_batch_is_of_the_transaction_s_state) {
    keys k;
    sample s = sample_new();
    keys_make(&k);
    vs_collection *c = create(s.db, NULL);
    for (size_t i = 0; i < KEYS; i++)
        put(c, NULL, &k, i, 0);
    vs_txn *reader = sample_begin(s.db, VS_TXN_READ);
    vs_txn *writer = sample_begin(s.db, VS_TXN_WRITE);
    for (size_t i = 0; i < KEYS; i++)
        put(c, writer, &k, i, 1);
    VT_OK(vs_delete(c, writer, k.key[KEYS - 1]), c);
    check_batch(c, writer, &k, KEYS - 1, 1);
    check_batch(c, NULL, &k, KEYS, 0);
    VT_OK(vs_commit(writer, VS_SYNC_FULL), s.db);
    check_batch(c, NULL, &k, KEYS - 1, 1);
    check_batch(c, reader, &k, KEYS, 0);
    vs_rollback(reader);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(keys_that_a_batch_gave_out_may_be_asked_for_in_the_next_one) {
    keys k;
    sample s = sample_new();
    vs_record records[KEYS], again[KEYS];
    vs_key given[KEYS];
    keys_make(&k);
    vs_collection *c = create(s.db, NULL);
    for (size_t i = 0; i < KEYS; i++)
        put(c, NULL, &k, i, 0);
    for (size_t count = KEYS; count > 0;
         count /= 2) { /* fewer each time, and the last ones first */
        init(records, KEYS);
        init(again, KEYS);
        VT_OK(vs_get_batch(c, NULL, k.key, KEYS, records, NULL), c);
        for (size_t i = 0; i < count; i++)
            given[i] = records[KEYS - 1 - i].key;
        VT_OK(vs_get_batch(c, NULL, given, count, again, NULL), c);
        for (size_t i = 0; i < count; i++)
            check_record(&again[i], &k, KEYS - 1 - i, 0);
    }
    for (size_t i = 0; i < KEYS; i++) /* one key as often as one likes */
        given[i] = k.key[4];
    init(records, KEYS);
    VT_OK(vs_get_batch(c, NULL, given, KEYS, records, NULL), c);
    for (size_t i = 0; i < KEYS; i++)
        check_record(&records[i], &k, 4, 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(without_statuses_a_missing_key_is_an_error_that_names_it) {
    sample s = sample_new();
    vs_record records[3];
    vs_status statuses[3] = {-1, -1, -1};
    const vs_key list[3] = {VT_KEY(0), VT_KEY(7), VT_KEY(0)};
    const float v[DIM] = {1};
    init(records, 3);
    vs_collection *c = create(s.db, NULL);
    sample_put(c, NULL, 0, v, NULL);
    VT_EQ(vs_get_batch(c, NULL, list, 3, records, NULL), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(c), "key 1 of 3");
    VT_CONTAINS(vs_errmsg(c), "no key 7");
    VT_EQ(vs_get_batch(c, NULL, list, 3, NULL, NULL), VS_ERR_NOT_FOUND);
    VT_OK(vs_get_batch(c, NULL, list, 1, NULL, NULL), c);
    VT_OK(vs_get_batch(c, NULL, list, 3, NULL, statuses), c);
    VT_CHECK(statuses[0] == VS_OK && statuses[1] == VS_ERR_NOT_FOUND && statuses[2] == VS_OK);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(what_a_batch_cannot_be_is_refused) {
    sample s = sample_new();
    vs_db *other = sample_open(s.vfs, "other.vs", VS_OPEN_CREATE);
    vs_record records[2];
    vs_status statuses[2];
    const vs_key list[2] = {VT_KEY(0), {.kind = 9}}, empty = vs_key_text("");
    int is_there = 7;
    init(records, 2);
    vs_collection *c = create(s.db, NULL);
    VT_EQ(vs_get_batch(NULL, NULL, list, 1, records, statuses), VS_ERR_MISUSE);
    VT_EQ(vs_get_batch((vs_collection *)(void *)s.db, NULL, list, 1, records, statuses),
          VS_ERR_MISUSE);
    VT_EQ(vs_get_batch(c, NULL, NULL, 1, records, statuses), VS_ERR_MISUSE);
    VT_OK(vs_get_batch(c, NULL, NULL, 0, NULL, NULL), c);
    VT_EQ(vs_get_batch(c, NULL, list, 2, records, statuses), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "key 1 of 2");
    VT_EQ(vs_get_batch(c, NULL, &empty, 1, records, statuses), VS_ERR_LIMIT);
    VT_EQ(vs_get_batch(c, NULL, list, SIZE_MAX / 64, records, statuses), VS_ERR_LIMIT);
    records[1].size = 8;
    VT_EQ(vs_get_batch(c, NULL, list, 2, records, statuses), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(c), "record 1 has size 8");
    records[0].size = 0;
    VT_EQ(vs_get_batch(c, NULL, list, 1, records, statuses), VS_ERR_MISUSE);
    records[0].size = 21;
    VT_EQ(vs_get_batch(c, NULL, list, 1, records, statuses), VS_ERR_MISUSE);
    vs_txn *txn = sample_begin(other, VS_TXN_READ);
    VT_EQ(vs_get_batch(c, txn, list, 1, NULL, statuses), VS_ERR_MISUSE);
    VT_EQ(vs_exists(c, txn, list[0], &is_there), VS_ERR_MISUSE);
    vs_rollback(txn);
    VT_EQ(vs_exists(NULL, NULL, list[0], &is_there), VS_ERR_MISUSE);
    VT_EQ(vs_exists(c, NULL, list[0], NULL), VS_ERR_MISUSE);
    VT_EQ(vs_exists(c, NULL, list[1], &is_there), VS_ERR_INVALID);
    VT_EQ(vs_exists(c, NULL, empty, &is_there), VS_ERR_LIMIT);
    VT_EQ(is_there, 7);
    vs_collection_close(c);
    VT_OK(vs_close(other), other);
    sample_end(&s);
}

VT_TEST(a_collection_that_is_gone_has_no_records_to_read) {
    sample s = sample_new();
    const vs_key key = VT_KEY(1);
    vs_status status = -1;
    int is_there = 7;
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection *c = create(s.db, txn);
    vs_rollback(txn);
    VT_EQ(vs_get_batch(c, NULL, &key, 1, NULL, &status), VS_ERR_NOT_FOUND);
    VT_EQ(vs_exists(c, NULL, key, &is_there), VS_ERR_NOT_FOUND);
    VT_CHECK(status == -1 && is_there == 7);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(records_of_an_older_form_are_filled_as_far_as_they_go) {
    /* As a program had them that was compiled before there were vectors and versions. */
    typedef struct old_record {
        uint32_t size;
        int vector_type;
        vs_key key;
        const void *vector;
        const char *metadata;
        size_t metadata_bytes;
    } old_record;
    keys k;
    sample s = sample_new();
    old_record records[KEYS + 1];
    keys_make(&k);
    vs_collection *c = create(s.db, NULL);
    memset(records, 0x5a, sizeof records);
    for (size_t i = 0; i < KEYS; i++) {
        put(c, NULL, &k, i, 3);
        records[i].size = sizeof records[i];
    }
    old_record last = records[KEYS];
    VT_OK(vs_get_batch(c, NULL, k.key, KEYS, (vs_record *)(void *)records, NULL), c);
    for (size_t i = 0; i < KEYS; i++) {
        VT_EQ(vs_key_compare(records[i].key, k.key[i]), 0);
        VT_CHECK(*(const float *)records[i].vector == (float)i);
    }
    VT_CHECK(!memcmp(&last, &records[KEYS], sizeof last));
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_batch_of_no_keys_gives_the_memory_of_the_last_one_back) {
    keys k;
    sample s = sample_new();
    vs_record records[KEYS];
    keys_make(&k);
    vs_collection *c = create(s.db, NULL);
    for (size_t i = 0; i < KEYS; i++)
        put(c, NULL, &k, i, 0);
    VT_OK(vs_get_batch(c, NULL, k.key, KEYS, NULL, NULL), c);
    uint64_t before = sample_stats(s.db).memory_bytes;
    init(records, KEYS);
    VT_OK(vs_get_batch(c, NULL, k.key, KEYS, records, NULL), c);
    uint64_t after = sample_stats(s.db).memory_bytes;
    VT_CHECK(after > before && after - before < 2048 * KEYS);
    VT_OK(vs_get_batch(c, NULL, k.key, KEYS, records, NULL), c);
    VT_EQ(sample_stats(s.db).memory_bytes, after);
    VT_OK(vs_get_batch(c, NULL, NULL, 0, NULL, NULL), c);
    VT_EQ(sample_stats(s.db).memory_bytes, before);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(any_allocation_of_a_batch_may_fail) {
    vt_allocator counter = {0};
    const vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_vfs *vfs = NULL;
    vs_db *db = NULL;
    vs_record records[KEYS];
    vs_status st = VS_ERR_NOMEM;
    keys k;
    keys_make(&k);
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    options.vfs = vfs;
    options.flags = VS_OPEN_CREATE;
    options.allocator = &allocator;
    VT_OK(vs_open("t.vs", &options, &db), db);
    vs_collection *c = create(db, NULL);
    for (size_t i = 0; i < KEYS; i++)
        put(c, NULL, &k, i, 0);
    for (uint64_t at = 1; st != VS_OK; at++) {
        VT_CHECK(at < 1000);
        vs_collection_close(c);
        c = sample_collection(db, "c");
        init(records, KEYS);
        counter.fail_at = counter.calls + at;
        st = vs_get_batch(c, NULL, k.key, KEYS, records, NULL);
        counter.fail_at = 0;
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        check_batch(c, NULL, &k, KEYS, 0);
    }
    VT_CHECK(counter.failures > KEYS);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    VT_EQ(counter.live_blocks, 0);
    vs_vfs_memory_destroy(vfs);
}
