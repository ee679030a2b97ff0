/* copy.c - collections copied within a database. */
#include <stdlib.h>
#include <string.h>

#include "sample.h"

enum { DIM = 48 };

static vs_collection *create_pair(vs_db *db, vs_txn *txn, const char *name) {
    vs_field fields[2] = {VS_FIELD_INIT, VS_FIELD_INIT};
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    fields[0].name = "text";
    fields[0].dim = DIM;
    fields[1].name = "bits";
    fields[1].dim = 77;
    fields[1].type = VS_BIT;
    fields[1].metric = VS_JACCARD;
    fields[1].flags = VS_FIELD_OPTIONAL;
    options.fields = fields;
    options.field_count = 2;
    options.max_records = 100000;
    VT_OK(vs_collection_create(db, txn, name, &options, &c), db);
    return c;
}

static vs_key key_of(uint64_t i, char text[32]) {
    snprintf(text, 32, "key %llu", (unsigned long long)i);
    return i % 3 ? vs_key_u64(i) : vs_key_in((uint32_t)(i % 5), vs_key_text(text));
}

static void put(vs_collection *c, vs_txn *txn, uint64_t i) {
    static uint8_t payload[150000], bits[10];
    static char large[9000];
    float v[DIM];
    char text[32];
    vs_record r = VS_RECORD_INIT;
    vs_vector second = {bits, VS_BIT, 1};
    for (int k = 0; k < DIM; k++)
        v[k] = (float)(vt_mix(i * DIM + (uint64_t)k) % 1000);
    memset(bits, (int)(i * 7), 9);
    snprintf(large, sizeof large, "{\"n\":%llu,\"s\":\"%0*d\"}", (unsigned long long)i,
             i % 40 ? 5 : 8000, 1);
    r.key = key_of(i, text);
    r.vector = v;
    r.metadata = i % 7 ? large : NULL;
    r.vectors = &second;
    r.vector_count = i % 2;
    VT_OK(vs_put(c, txn, &r, VS_UPSERT), c);
    for (size_t k = 0; k < sizeof payload; k++)
        payload[k] = (uint8_t)vt_mix(i + k);
    if (i % 60 == 1)
        VT_OK(vs_payload_write(c, txn, r.key, 0, payload, i % 120 == 1 ? 100 : sizeof payload), c);
}

static void check_same_payload(vs_collection *a, vs_collection *b, vs_txn *txn, vs_key key) {
    static uint8_t x[200000], y[200000];
    size_t n = 0, m = 0;
    VT_OK(vs_payload_read(a, txn, key, 0, x, sizeof x, &n), a);
    VT_OK(vs_payload_read(b, txn, key, 0, y, sizeof y, &m), b);
    VT_EQ(n, m);
    VT_CHECK(!n || !memcmp(x, y, n));
}

static void check_same_record(vs_collection *b, vs_txn *txn, const vs_record *x) {
    vs_record y = VS_RECORD_INIT;
    VT_OK(vs_get(b, txn, x->key, &y), b);
    VT_CHECK(x->version == y.version); /* a hash of all that it has */
    VT_EQ(x->vector_count, y.vector_count);
    VT_CHECK(!memcmp(x->vector, y.vector, DIM * sizeof(float)));
    VT_EQ(x->metadata_bytes, y.metadata_bytes);
    VT_CHECK(!x->metadata == !y.metadata);
    VT_EQ(x->payload_bytes, y.payload_bytes);
}

static void check_same(vs_collection *a, vs_collection *b, vs_txn *txn) {
    vs_cursor *cursor = NULL;
    vs_record x = VS_RECORD_INIT;
    vs_status st = VS_OK;
    uint64_t count = 0;
    VT_OK(vs_scan(a, txn, NULL, &cursor), a);
    while ((st = vs_step(cursor)) == VS_ROW) {
        VT_OK(vs_cursor_record(cursor, &x), cursor);
        check_same_record(b, txn, &x);
        check_same_payload(a, b, txn, x.key);
        count++;
    }
    VT_EQ(st, VS_DONE);
    vs_cursor_close(cursor);
    VT_EQ(sample_count(b, txn), count);
}

static vs_collection_info info_of(vs_collection *c, vs_txn *txn) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_OK(vs_collection_info_get(c, txn, &info), c);
    return info;
}

static void check_copy(vs_collection *a, vs_collection *b, vs_txn *txn) {
    vs_collection_info x = info_of(a, txn), y = info_of(b, txn);
    vs_field_info fx = VS_FIELD_INFO_INIT, fy = VS_FIELD_INFO_INIT;
    check_same(a, b, txn);
    VT_EQ(x.bytes, y.bytes);
    VT_EQ(x.max_records, y.max_records);
    VT_EQ(x.fields, y.fields);
    VT_CHECK(x.id != y.id);
    for (size_t i = 0; i < 2; i++) {
        VT_OK(vs_field_at(a, txn, i, &fx), a);
        VT_OK(vs_field_at(b, txn, i, &fy), b);
        VT_CHECK(!strcmp(fx.name, fy.name) && fx.dim == fy.dim && fx.type == fy.type);
        VT_CHECK(fx.metric == fy.metric && fx.flags == fy.flags);
    }
}

VT_TEST(a_copy_has_everything_and_goes_its_own_way) {
    sample s = sample_new();
    vs_collection *a = create_pair(s.db, NULL, "a"), *b = NULL;
    char out[16];
    size_t n = 0;
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    for (uint64_t i = 1; i <= 900; i++)
        put(a, txn, i);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), s.db);
    VT_OK(vs_kv_put(s.db, NULL, a, "k", 1, "value", 5), s.db);
    VT_OK(vs_kv_put(s.db, NULL, a, "kk", 2, "", 0), s.db);
    VT_OK(vs_kv_put(s.db, NULL, NULL, "k", 1, "not its own", 11), s.db);
    VT_OK(vs_collection_copy(a, NULL, "b", &b), a);
    check_copy(a, b, NULL);
    VT_OK(vs_kv_get(s.db, NULL, b, "k", 1, out, sizeof out, &n), s.db);
    VT_CHECK(n == 5 && !memcmp(out, "value", 5));
    VT_OK(vs_kv_get(s.db, NULL, b, "kk", 2, out, sizeof out, &n), s.db);
    VT_EQ(n, 0);
    sample_check(s.db);
    VT_OK(vs_delete(b, NULL, vs_key_u64(1)), b);
    put(b, NULL, 5000);
    VT_EQ(vs_get(a, NULL, vs_key_u64(1), NULL), VS_OK);
    VT_EQ(vs_get(a, NULL, vs_key_u64(5000), NULL), VS_ERR_NOT_FOUND);
    VT_OK(vs_collection_drop(a, NULL), a);
    VT_OK(vs_checkpoint(s.db), s.db);
    VT_OK(vs_checkpoint(s.db), s.db);
    VT_EQ(sample_count(b, NULL), 900);
    sample_check(s.db);
    vs_collection_close(a);
    vs_collection_close(b);
    sample_end(&s);
}

VT_TEST(a_copy_within_a_transaction_sees_what_was_staged) {
    sample s = sample_new();
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection *a = create_pair(s.db, txn, "a"), *b = NULL;
    for (uint64_t i = 1; i <= 300; i++)
        put(a, txn, i);
    VT_OK(vs_collection_copy(a, txn, "b", &b), a);
    check_copy(a, b, txn);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    check_copy(a, b, NULL);
    sample killed = sample_after_kill(&s);
    sample_check(killed.db);
    sample_end(&killed);
    vs_collection_close(a);
    vs_collection_close(b);
    sample_end(&s);
}

VT_TEST(a_copy_that_fails_changes_nothing) {
    sample s = sample_new();
    vs_collection *a = create_pair(s.db, NULL, "a"), *b = NULL;
    for (uint64_t i = 1; i <= 30; i++)
        put(a, NULL, i);
    vs_stats before = sample_stats(s.db);
    VT_EQ(vs_collection_copy(a, NULL, "a", &b), VS_ERR_EXISTS);
    VT_EQ(vs_collection_copy(a, NULL, "", &b), VS_ERR_INVALID);
    VT_EQ(vs_collection_copy(a, NULL, NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_collection_copy(NULL, NULL, "b", NULL), VS_ERR_MISUSE);
    VT_CHECK(!b);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    put(a, txn, 31);
    VT_EQ(vs_collection_copy(a, txn, "a", &b), VS_ERR_EXISTS);
    VT_EQ(sample_count(a, txn), 31);
    vs_rollback(txn);
    txn = sample_begin(s.db, VS_TXN_READ);
    VT_EQ(vs_collection_copy(a, txn, "b", &b), VS_ERR_MISUSE);
    vs_rollback(txn);
    vs_stats after = sample_stats(s.db);
    VT_CHECK(!memcmp(&before.digest, &after.digest, sizeof before.digest));
    sample_check(s.db);
    vs_collection_close(a);
    sample_end(&s);
}
