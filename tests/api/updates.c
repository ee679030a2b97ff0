/* updates.c - ways to write: four modes, batches of which each row has its own status, metadata alone,
 * deletes and reads of many keys. */
#include "sample.h"

enum { KEYS = 40 };

static void put_f32(vs_collection *c, uint64_t key, float x, const char *metadata, int mode,
                    vs_status expected) {
    const float v[2] = {x, (float)key};
    VT_EQ(sample_try_put(c, NULL, key, v, metadata, mode), expected);
}

static float x_of(vs_collection *c, vs_txn *txn, uint64_t key) {
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_get(c, txn, vs_key_u64(key), &r), c);
    return ((const float *)r.vector)[0];
}

static void check_metadata(vs_collection *c, vs_txn *txn, uint64_t key, const char *expected) {
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_get(c, txn, vs_key_u64(key), &r), c);
    VT_EQ(r.metadata != NULL, expected != NULL);
    if (expected)
        VT_STR(r.metadata, expected);
}

static bool is_same_digest(vs_db *db, const vs_stats *before) {
    vs_stats now = sample_stats(db);
    return !memcmp(now.digest, before->digest, sizeof now.digest) && now.lsn == before->lsn;
}

/* ---- modes ----------------------------------------------------------------------------------- */

VT_TEST(each_mode_does_what_it_says_about_keys_that_exist_and_that_do_not) {
    static const struct {
        int mode;
        vs_status exists, is_missing;
        float then; /* what an existing record has afterwards */
    } cases[] = {{VS_UPSERT, VS_OK, VS_OK, 5},
                 {VS_INSERT, VS_ERR_EXISTS, VS_OK, 1},
                 {VS_REPLACE, VS_OK, VS_ERR_NOT_FOUND, 5},
                 {VS_IGNORE, VS_OK, VS_OK, 1}};
    for (size_t i = 0; i < 4; i++) {
        sample s = sample_new();
        vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
        put_f32(c, 1, 1, "{\"a\":1}", VS_INSERT, VS_OK);
        vs_stats before = sample_stats(s.db);
        put_f32(c, 1, 5, NULL, cases[i].mode, cases[i].exists);
        VT_CHECK(x_of(c, NULL, 1) == cases[i].then);
        check_metadata(c, NULL, 1, cases[i].then == 1 ? "{\"a\":1}" : NULL);
        VT_EQ(is_same_digest(s.db, &before), cases[i].then == 1);
        before = sample_stats(s.db);
        put_f32(c, 2, 7, NULL, cases[i].mode, cases[i].is_missing);
        VT_EQ(sample_has(c, NULL, 2), cases[i].is_missing == VS_OK);
        if (cases[i].is_missing != VS_OK) {
            VT_CONTAINS(vs_errmsg(c), "no key 2 in collection 'c'");
            VT_CHECK(is_same_digest(s.db, &before));
        }
        vs_collection_close(c);
        sample_reopen(&s);
        c = sample_collection(s.db, "c");
        VT_CHECK(x_of(c, NULL, 1) == cases[i].then);
        vs_collection_close(c);
        sample_end(&s);
    }
}

VT_TEST(an_ignored_record_is_still_checked) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    put_f32(c, 1, 1, NULL, VS_IGNORE, VS_OK);
    put_f32(c, 1, 2, "{", VS_IGNORE, VS_ERR_INVALID);
    put_f32(c, 1, 2, NULL, 4, VS_ERR_MISUSE);
    put_f32(c, 1, 2, NULL, -1, VS_ERR_MISUSE);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- rows with a status of their own --------------------------------------------------------- */

/* Row i has key i % 6; row 3 metadata that is none, row 7 too much of it. */
static vs_batch make_batch(vs_status *statuses) {
    static uint64_t keys[12];
    static float vectors[12][2];
    static const char *metadata[12];
    static char much[VS_METADATA_BYTES_MAX + 8];
    for (size_t i = 0; i < 12; i++) {
        keys[i] = i % 6;
        vectors[i][0] = (float)i;
        metadata[i] = NULL;
    }
    memset(much, ' ', sizeof much - 1);
    much[0] = '{';
    much[sizeof much - 2] = '}';
    metadata[3] = "[1]";
    metadata[7] = much;
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 12;
    batch.numbers = keys;
    batch.vectors = vectors;
    batch.metadata = metadata;
    batch.statuses = statuses;
    return batch;
}

VT_TEST(rows_that_are_refused_leave_the_others) {
    static const int modes[] = {VS_UPSERT, VS_INSERT, VS_REPLACE, VS_IGNORE};
    for (int in_txn = 0; in_txn < 2; in_txn++)
        for (size_t m = 0; m < 4; m++) {
            sample s = sample_new();
            vs_status statuses[12];
            bool is_there[6] = {true, false, false, false, false, false};
            float x[6] = {100};
            vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
            put_f32(c, 0, 100, NULL, VS_INSERT, VS_OK);
            vs_txn *txn = in_txn ? sample_begin(s.db, VS_TXN_WRITE) : NULL;
            vs_batch batch = make_batch(statuses);
            VT_OK(vs_put_batch(c, txn, &batch, modes[m]), c);
            for (size_t i = 0; i < 12; i++) {
                size_t k = i % 6;
                vs_status expected = i == 3                                   ? VS_ERR_INVALID
                                     : i == 7                                 ? VS_ERR_LIMIT
                                     : modes[m] == VS_INSERT && is_there[k]   ? VS_ERR_EXISTS
                                     : modes[m] == VS_REPLACE && !is_there[k] ? VS_ERR_NOT_FOUND
                                                                              : VS_OK;
                VT_EQ(statuses[i], expected);
                if (expected == VS_OK && !(modes[m] == VS_IGNORE && is_there[k])) {
                    is_there[k] = true;
                    x[k] = (float)i;
                }
            }
            if (txn)
                VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
            for (uint64_t k = 0; k < 6; k++) {
                VT_EQ(sample_has(c, NULL, k), is_there[k]);
                if (is_there[k])
                    VT_CHECK(x_of(c, NULL, k) == x[k]);
            }
            vs_collection_close(c);
            sample_check(s.db);
            sample_end(&s);
        }
}

VT_TEST(without_statuses_one_refused_row_refuses_the_batch) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_stats before = sample_stats(s.db);
    vs_batch batch = make_batch(NULL);
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "row 3 of 12");
    VT_EQ(sample_count(c, NULL), 0);
    VT_CHECK(is_same_digest(s.db, &before));
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- metadata alone -------------------------------------------------------------------------- */

VT_TEST(metadata_change_and_vectors_and_snapshots_stay) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    put_f32(c, 1, 1, "{\"a\":1}", VS_INSERT, VS_OK);
    put_f32(c, 2, 2, NULL, VS_INSERT, VS_OK);
    vs_txn *old = sample_begin(s.db, VS_TXN_READ);
    VT_OK(vs_set_metadata(c, NULL, vs_key_u64(1), "{\"b\":2}", 0), c);
    VT_OK(vs_set_metadata(c, NULL, vs_key_u64(2), "{\"c\":3} and more", 7), c);
    for (int session = 0; session < 2; session++) {
        check_metadata(c, NULL, 1, "{\"b\":2}");
        check_metadata(c, NULL, 2, "{\"c\":3}");
        VT_CHECK(x_of(c, NULL, 1) == 1 && x_of(c, NULL, 2) == 2);
        VT_EQ(sample_count(c, NULL), 2);
        if (session)
            break;
        check_metadata(c, old, 1, "{\"a\":1}");
        check_metadata(c, old, 2, NULL);
        vs_rollback(old);
        vs_collection_close(c);
        sample killed = sample_after_kill(&s);
        c = sample_collection(killed.db, "c");
        check_metadata(c, NULL, 1, "{\"b\":2}"); /* from the log */
        vs_collection_close(c);
        sample_end(&killed);
        sample_reopen(&s);
        c = sample_collection(s.db, "c");
    }
    VT_OK(vs_set_metadata(c, NULL, vs_key_u64(1), NULL, 0), c);
    check_metadata(c, NULL, 1, NULL);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(metadata_set_in_a_transaction_go_with_it) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    uint32_t savepoint = 0;
    put_f32(c, 1, 1, "{\"a\":1}", VS_INSERT, VS_OK);
    vs_stats before = sample_stats(s.db);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_set_metadata(c, txn, vs_key_u64(1), "{\"a\":2}", 0), c);
    VT_OK(vs_savepoint(txn, &savepoint), txn);
    VT_OK(vs_set_metadata(c, txn, vs_key_u64(1), NULL, 0), c);
    check_metadata(c, txn, 1, NULL);
    VT_OK(vs_rollback_to(txn, savepoint), txn);
    check_metadata(c, txn, 1, "{\"a\":2}");
    check_metadata(c, NULL, 1, "{\"a\":1}");
    vs_rollback(txn);
    check_metadata(c, NULL, 1, "{\"a\":1}");
    VT_CHECK(is_same_digest(s.db, &before));
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(metadata_that_are_none_or_of_a_missing_record_change_nothing) {
    static char much[VS_METADATA_BYTES_MAX + 2];
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    put_f32(c, 1, 1, "{\"a\":1}", VS_INSERT, VS_OK);
    vs_stats before = sample_stats(s.db);
    VT_EQ(vs_set_metadata(c, NULL, vs_key_u64(2), "{}", 0), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(c), "no key 2");
    VT_EQ(vs_set_metadata(c, NULL, vs_key_u64(1), "[]", 0), VS_ERR_INVALID);
    memset(much, ' ', sizeof much - 1);
    VT_EQ(vs_set_metadata(c, NULL, vs_key_u64(1), much, 0), VS_ERR_LIMIT);
    VT_EQ(vs_set_metadata(NULL, NULL, vs_key_u64(1), "{}", 0), VS_ERR_MISUSE);
    vs_txn *reading = sample_begin(s.db, VS_TXN_READ);
    VT_EQ(vs_set_metadata(c, reading, vs_key_u64(1), "{}", 0), VS_ERR_MISUSE);
    vs_rollback(reading);
    VT_CHECK(is_same_digest(s.db, &before));
    check_metadata(c, NULL, 1, "{\"a\":1}");
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- many keys -------------------------------------------------------------------------------- */

VT_TEST(many_keys_are_deleted_at_once_and_missing_ones_passed_over) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_key keys[KEYS];
    uint64_t deleted = 99;
    for (uint64_t k = 0; k < KEYS; k++)
        put_f32(c, 2 * k, 1, "{}", VS_INSERT, VS_OK);
    for (uint64_t k = 0; k < KEYS; k++)
        keys[k] = VT_KEY(k);    /* half of them exist */
    keys[KEYS - 1] = VT_KEY(0); /* once more */
    vs_stats before = sample_stats(s.db);
    VT_OK(vs_delete_batch(c, NULL, keys, KEYS, &deleted), c);
    VT_EQ(deleted, KEYS / 2);
    VT_EQ(sample_count(c, NULL), KEYS / 2);
    VT_EQ(sample_stats(s.db).commits, before.commits + 1);
    for (uint64_t k = 0; k < KEYS; k++)
        VT_EQ(sample_has(c, NULL, 2 * k), 2 * k >= KEYS - 1);
    VT_OK(vs_delete_batch(c, NULL, keys, KEYS, &deleted), c);
    VT_EQ(deleted, 0);
    VT_OK(vs_delete_batch(c, NULL, NULL, 0, NULL), c);
    VT_EQ(vs_delete_batch(c, NULL, NULL, 1, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_delete_batch(NULL, NULL, keys, 1, NULL), VS_ERR_MISUSE);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(vectors_of_many_keys_are_read_into_the_caller_s_rows) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    float out[5][3];
    const vs_key keys[5] = {VT_KEY(4), VT_KEY(1), VT_KEY(9), VT_KEY(1), VT_KEY(0)};
    vs_status statuses[5];
    for (uint64_t k = 0; k < 5; k++)
        put_f32(c, k, (float)(10 * k), NULL, VS_INSERT, VS_OK);
    for (size_t i = 0; i < 15; i++)
        out[i / 3][i % 3] = -1;
    VT_OK(vs_get_vectors(c, NULL, 0, keys, 5, out, sizeof out[0], statuses), c);
    for (size_t i = 0; i < 5; i++) {
        bool is_there = keys[i].number < 5;
        VT_EQ(statuses[i], is_there ? VS_OK : VS_ERR_NOT_FOUND);
        VT_CHECK(out[i][0] == (is_there ? (float)(10 * keys[i].number) : -1));
        VT_CHECK(out[i][1] == (is_there ? (float)keys[i].number : -1) && out[i][2] == -1);
    }
    VT_OK(vs_get_vectors(c, NULL, 0, keys, 2, out, 0, NULL), c); /* without gaps */
    VT_CHECK(out[0][0] == 40 && out[0][2] == 10);
    VT_EQ(vs_get_vectors(c, NULL, 0, keys, 5, out, 0, NULL), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(c), "no key 9");
    VT_EQ(vs_get_vectors(c, NULL, 0, keys, 5, out, 7, NULL), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "7 bytes");
    VT_OK(vs_get_vectors(c, NULL, 0, NULL, 0, NULL, 0, NULL), c);
    VT_EQ(vs_get_vectors(c, NULL, 0, NULL, 1, out, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_get_vectors(c, NULL, 0, keys, 1, NULL, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_get_vectors(NULL, NULL, 0, keys, 1, out, 0, NULL), VS_ERR_MISUSE);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_OK(vs_delete(c, txn, vs_key_u64(4)), c);
    VT_EQ(vs_get_vectors(c, txn, 0, keys, 1, out, 0, NULL), VS_ERR_NOT_FOUND);
    VT_OK(vs_get_vectors(c, NULL, 0, keys, 1, out, 0, NULL), c);
    vs_rollback(txn);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- vs_update ------------------------------------------------------------------------------ */

enum { PARTS = 3, PART_DIM = 3 };

/* A record as plain values: a number that stands for each vector, 0: none; and text. */
typedef struct plain {
    bool is_there;
    int part[PARTS];
    char metadata[64]; /* empty: none */
} plain;

static vs_collection *create_parts(vs_db *db) {
    vs_field fields[PARTS] = {VS_FIELD_INIT, VS_FIELD_INIT, VS_FIELD_INIT};
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    for (int i = 0; i < PARTS; i++) {
        fields[i].name = (const char *const[]){"a", "b", "c"}[i];
        fields[i].dim = PART_DIM;
        fields[i].type = i == 2 ? VS_I8 : VS_F32;
        fields[i].flags = i ? VS_FIELD_OPTIONAL : 0;
    }
    options.fields = fields;
    options.field_count = PARTS;
    VT_OK(vs_collection_create(db, NULL, "parts", &options, &c), db);
    return c;
}

static void check_part(const vs_record *r, const plain *p, uint32_t field) {
    const void *data = field ? NULL : r->vector;
    for (size_t i = 0; i < r->vector_count; i++)
        if (r->vectors[i].field == field)
            data = r->vectors[i].data;
    VT_EQ(data != NULL, p->part[field] != 0);
    if (data && field == 2)
        VT_EQ(((const int8_t *)data)[1], p->part[field]);
    else if (data)
        VT_CHECK(((const float *)data)[1] == (float)p->part[field]);
}

static void check_plain(vs_collection *c, vs_txn *txn, vs_key key, const plain *p) {
    vs_record r = VS_RECORD_INIT;
    vs_status st = vs_get(c, txn, key, &r);
    VT_EQ(st, p->is_there ? VS_OK : VS_ERR_NOT_FOUND);
    if (st != VS_OK)
        return;
    for (uint32_t i = 0; i < PARTS; i++)
        check_part(&r, p, i);
    VT_STR(r.metadata ? r.metadata : "", p->metadata);
    VT_CHECK(r.version);
}

/* An update of random parts; what becomes of the record is in io_plain. */
static void random_update(vt_rng *rng, vs_collection *c, vs_txn *txn, vs_key key, plain *io_plain) {
    float vectors[PARTS][PART_DIM] = {{0}};
    vs_vector list[PARTS];
    vs_record r = VS_RECORD_INIT;
    uint32_t what = 1 + (uint32_t)vt_below(rng, 5); /* never both kinds of metadata */
    plain next = *io_plain;
    char text[64];
    int n = (int)vt_below(rng, 100);
    for (uint32_t i = 0; what & VS_UPDATE_VECTORS && i < PARTS; i++) {
        if (vt_below(rng, 2))
            continue;
        next.part[i] = i && vt_below(rng, 3) == 0 ? 0 : 1 + (int)vt_below(rng, 100);
        vectors[i][1] = (float)next.part[i];
        list[r.vector_count++] = (vs_vector){next.part[i] ? vectors[i] : NULL, VS_F32, i};
    }
    if (what & VS_UPDATE_METADATA) {
        snprintf(text, sizeof text, "{ \"n\" : %d , \"o\":{} }", n);
        next.metadata[0] = 0;
        if (n % 5)
            snprintf(next.metadata, sizeof next.metadata, "{\"n\":%d,\"o\":{}}", n);
        r.metadata = n % 5 ? text : NULL;
    }
    if (what & VS_UPDATE_PATCH) { /* the outcome does not depend on what was there */
        snprintf(text, sizeof text, "{\"n\":null,\"o\":null,\"p\":%d}", n);
        snprintf(next.metadata, sizeof next.metadata, "{\"p\":%d}", n);
        r.metadata = text;
    }
    r.key = key;
    r.vectors = list;
    VT_EQ(vs_update(c, txn, &r, what), io_plain->is_there ? VS_OK : VS_ERR_NOT_FOUND);
    if (io_plain->is_there)
        *io_plain = next;
}

static vs_key part_key(int i) {
    static const char *const texts[] = {"one", "two", "three", "four", "five"};
    return i % 2 ? vs_key_text(texts[i / 2]) : vs_key_u64((uint64_t)i);
}

VT_TEST(an_update_changes_what_it_names_and_nothing_else) {
    enum { RECORDS = 10, ROUNDS = 60 };
    vt_rng rng = {vt_seed()};
    plain all[RECORDS] = {{0}};
    sample s = sample_new();
    vs_collection *c = create_parts(s.db);
    for (int i = 0; i < RECORDS - 1; i++) {
        const float first[PART_DIM] = {0, 7, 0};
        vs_record r = {.size = sizeof r, .key = part_key(i), .vector = first};
        VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
        all[i] = (plain){.is_there = true, .part = {7}};
    }
    for (int round = 0; round < ROUNDS; round++) {
        plain before[RECORDS];
        vs_txn *snapshot = sample_begin(s.db, VS_TXN_READ);
        vs_txn *txn = round % 3 ? sample_begin(s.db, VS_TXN_WRITE) : NULL;
        memcpy(before, all, sizeof all);
        for (int n = 0; n < 6; n++) {
            int i = (int)vt_below(&rng, RECORDS);
            random_update(&rng, c, txn, part_key(i), &all[i]);
            check_plain(c, txn, part_key(i), &all[i]);
        }
        for (int i = 0; i < RECORDS; i++)
            check_plain(c, snapshot, part_key(i), &before[i]);
        vs_rollback(snapshot);
        if (txn && round % 3 == 1) {
            vs_rollback(txn);
            memcpy(all, before, sizeof all);
        } else if (txn) {
            VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        }
        sample killed = sample_after_kill(&s);
        vs_collection *other = sample_collection(killed.db, "parts");
        for (int i = 0; i < RECORDS; i++)
            check_plain(other, NULL, part_key(i), &all[i]);
        vs_collection_close(other);
        sample_check(killed.db);
        sample_end(&killed);
    }
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

static void refuse_update(vs_collection *c, vs_record r, uint32_t what, vs_status expected,
                          const char *message) {
    VT_EQ(vs_update(c, NULL, &r, what), expected);
    VT_CONTAINS(vs_errmsg(c), message);
}

VT_TEST(an_update_that_cannot_be_changes_nothing) {
    sample s = sample_new();
    vs_collection *c = create_parts(s.db);
    static char large[VS_METADATA_BYTES_MAX];
    const float first[PART_DIM] = {1};
    const vs_vector none = {NULL, 0, 0}, beyond = {first, VS_F32, PARTS};
    vs_record r = {
        .size = sizeof r, .key = vs_key_u64(1), .vector = first, .metadata = "{\"a\":1}"};
    VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    vs_stats before = sample_stats(s.db);
    VT_EQ(vs_update(NULL, NULL, &r, 1), VS_ERR_MISUSE);
    VT_EQ(vs_update(c, NULL, NULL, 1), VS_ERR_MISUSE);
    refuse_update(c, r, 0, VS_ERR_MISUSE, "what is 0x0");
    refuse_update(c, r, 6, VS_ERR_MISUSE, "what is 0x6");
    refuse_update(c, r, 8, VS_ERR_MISUSE, "what is 0x8");
    r.vector = NULL;
    r.vectors = &none;
    r.vector_count = 1;
    refuse_update(c, r, VS_UPDATE_VECTORS, VS_ERR_INVALID, "field 'a'");
    r.vectors = &beyond;
    refuse_update(c, r, VS_UPDATE_VECTORS, VS_ERR_INVALID, "field is 3");
    r.vector_count = 0;
    r.metadata = "[1]";
    refuse_update(c, r, VS_UPDATE_PATCH, VS_ERR_INVALID, "metadata");
    refuse_update(c, r, VS_UPDATE_METADATA, VS_ERR_INVALID, "metadata");
    r.metadata = NULL;
    refuse_update(c, r, VS_UPDATE_PATCH, VS_ERR_MISUSE, "patch");
    size_t n = (size_t)sprintf(large, "{\"b\":\"");
    memset(large + n, 'x', sizeof large - n - 2);
    memcpy(large + sizeof large - 2, "\"}", 2);
    r.metadata = large;
    r.metadata_bytes = sizeof large;
    refuse_update(c, r, VS_UPDATE_PATCH, VS_ERR_LIMIT, "the limit is");
    r.key = vs_key_u64(2);
    refuse_update(c, r, VS_UPDATE_METADATA, VS_ERR_NOT_FOUND, "no key 2");
    r.key = vs_key_text("");
    refuse_update(c, r, VS_UPDATE_METADATA, VS_ERR_LIMIT, "key");
    vs_stats after = sample_stats(s.db);
    VT_CHECK(!memcmp(before.digest, after.digest, sizeof before.digest));
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_patch_is_merged_into_the_metadata_that_are_there) {
    static const char *const steps[][2] = {
        {"{\"a\":{\"b\":1,\"c\":2}}", "{\"a\":{\"b\":1,\"c\":2}}"}, /* into none */
        {"{ \"a\": { \"b\": null , \"d\" : [ 1 , null ] } }", "{\"a\":{\"c\":2,\"d\":[1,null]}}"},
        {"{\"a\":\"text\",\"e\":{\"f\":null}}", "{\"a\":\"text\",\"e\":{}}"},
        {"{\"\\u0061\":null,\"e\":1.50}", "{\"e\":1.50}"},
        {"{}", "{\"e\":1.50}"},
        {"{\"e\":null}", "{}"}};
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    const float vector[1] = {1};
    sample_put(c, NULL, 1, vector, NULL);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        vs_record r = {.size = sizeof r, .key = vs_key_u64(1), .metadata = steps[i][0]};
        vs_record found = VS_RECORD_INIT;
        VT_OK(vs_update(c, NULL, &r, VS_UPDATE_PATCH), c);
        VT_OK(vs_get(c, NULL, r.key, &found), c);
        VT_STR(found.metadata, steps[i][1]);
    }
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- versions ------------------------------------------------------------------------------- */

static uint64_t version_of(vs_collection *c, uint64_t key) {
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_get(c, NULL, vs_key_u64(key), &r), c);
    return r.version;
}

VT_TEST(a_version_is_of_the_content) {
    sample s = sample_new(), t = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_collection *d = sample_create(t.db, NULL, "d", 2, VS_F32, VS_COSINE);
    const float one[2] = {1, 2}, two[2] = {1, 3};
    sample_put(c, NULL, 1, one, "{\"a\":1}");
    sample_put(d, NULL, 9, one, "{ \"a\": 1 }");
    uint64_t first = version_of(c, 1);
    VT_CHECK(first && version_of(d, 9) == first);
    sample_put(c, NULL, 1, two, "{\"a\":1}");
    uint64_t second = version_of(c, 1);
    sample_put(c, NULL, 1, two, "{\"a\":2}");
    uint64_t third = version_of(c, 1);
    sample_put(c, NULL, 1, two, NULL);
    uint64_t fourth = version_of(c, 1);
    VT_CHECK(first != second && second != third && first != third && third != fourth);
    sample_put(c, NULL, 1, one, "{\"a\":1}");
    VT_CHECK(version_of(c, 1) == first);
    vs_collection_close(c);
    vs_collection_close(d);
    sample_end(&s);
    sample_end(&t);
}

VT_TEST(a_change_of_another_version_is_a_conflict_and_changes_nothing) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    const float vector[1] = {1}, other[1] = {2};
    sample_put(c, NULL, 1, vector, "{}");
    uint64_t stale = version_of(c, 1);
    sample_put(c, NULL, 1, other, "{}");
    vs_stats before = sample_stats(s.db);
    vs_record r = {.size = sizeof r, .key = vs_key_u64(1), .vector = vector, .if_version = stale};
    VT_EQ(vs_put(c, NULL, &r, VS_UPSERT), VS_ERR_CONFLICT);
    VT_CONTAINS(vs_errmsg(c), "key 1 has version");
    VT_EQ(vs_put(c, NULL, &r, VS_REPLACE), VS_ERR_CONFLICT);
    VT_EQ(vs_update(c, NULL, &r, VS_UPDATE_VECTORS), VS_ERR_CONFLICT);
    VT_EQ(vs_update(c, NULL, &r, VS_UPDATE_METADATA), VS_ERR_CONFLICT);
    r.key = vs_key_u64(2);
    VT_EQ(vs_put(c, NULL, &r, VS_UPSERT), VS_ERR_NOT_FOUND); /* it has no version */
    vs_stats after = sample_stats(s.db);
    VT_CHECK(!memcmp(before.digest, after.digest, sizeof before.digest));
    r.key = vs_key_u64(1);
    r.if_version = version_of(c, 1);
    VT_OK(vs_put(c, NULL, &r, VS_UPSERT), c);
    VT_EQ(vs_put(c, NULL, &r, VS_UPSERT), VS_ERR_CONFLICT);
    r.if_version = version_of(c, 1);
    r.metadata = "{\"a\":1}";
    VT_OK(vs_update(c, NULL, &r, VS_UPDATE_PATCH), c);
    r.if_version = 0;
    r.version = 12345; /* not looked at */
    VT_OK(vs_put(c, NULL, &r, VS_UPSERT), c);
    vs_collection_close(c);
    sample_end(&s);
}
