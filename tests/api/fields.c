/* fields.c - records with several vectors. */
#include "sample.h"

enum {
    TITLE = 0,
    BODY = 1,
    BITS = 2,
    FIELDS = 3,
    KEYS = 60,
    TITLE_DIM = 4,
    BODY_DIM = 300,
    BITS_DIM = 11
};

/* title: all records have it; body and bits: some. */
static vs_collection *create_fields(vs_db *db, vs_txn *txn, const char *name) {
    vs_field fields[FIELDS] = {VS_FIELD_INIT, VS_FIELD_INIT, VS_FIELD_INIT};
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    fields[TITLE].name = "title";
    fields[TITLE].dim = TITLE_DIM;
    fields[BODY].name = "body";
    fields[BODY].dim = BODY_DIM;
    fields[BODY].type = VS_U8;
    fields[BODY].metric = VS_L1;
    fields[BODY].flags = VS_FIELD_OPTIONAL;
    fields[BITS].name = "bits";
    fields[BITS].dim = BITS_DIM;
    fields[BITS].type = VS_BIT;
    fields[BITS].flags = VS_FIELD_OPTIONAL;
    options.fields = fields;
    options.field_count = FIELDS;
    VT_OK(vs_collection_create(db, txn, name, &options, &c), db);
    return c;
}

/* 0: there is none; else everything follows from it. */
typedef struct model {
    uint32_t seed[KEYS];
} model;

static bool has(uint32_t seed, int field) {
    return seed && (field == TITLE || (seed >> field & 1));
}

/* Whole numbers, so that distances are exact. */
static int element(uint32_t seed, int field, size_t i) {
    int number = (int)(vt_mix(seed * 8 + (uint32_t)field + i * 1000003) % 200);
    return field == BITS ? number & 1 : number;
}

static size_t dim_of(int field) {
    return field == TITLE ? TITLE_DIM : field == BODY ? BODY_DIM : BITS_DIM;
}

/* As it is stored; returns its bytes. */
static size_t make_vector(uint32_t seed, int field, uint8_t *out) {
    size_t dim = dim_of(field);
    float title[TITLE_DIM];
    memset(out, 0, 2);
    for (size_t i = 0; i < dim; i++) {
        int value = element(seed, field, i);
        if (field == TITLE)
            title[i] = (float)value;
        else if (field == BODY)
            out[i] = (uint8_t)value;
        else
            out[i / 8] = (uint8_t)(out[i / 8] | value << i % 8);
    }
    if (field == TITLE)
        memcpy(out, title, sizeof title);
    return field == TITLE ? sizeof title : field == BODY ? BODY_DIM : (BITS_DIM + 7) / 8;
}

static void put_seed(vs_collection *c, vs_txn *txn, model *m, uint64_t key, uint32_t seed) {
    uint8_t bytes[FIELDS][BODY_DIM];
    float body[BODY_DIM];
    vs_vector further[FIELDS];
    vs_record r = VS_RECORD_INIT;
    r.key = VT_KEY(key);
    for (int field = FIELDS; field-- > 0;) { /* in another order than the fields' */
        if (!has(seed, field))
            continue;
        make_vector(seed, field, bytes[field]);
        vs_vector vector = {bytes[field], 0, (uint32_t)field};
        if (field == BODY && seed % 3 == 0) { /* converted on the way */
            for (size_t i = 0; i < BODY_DIM; i++)
                body[i] = bytes[BODY][i];
            vector = (vs_vector){body, VS_F32, BODY};
        }
        if (field == TITLE && seed % 5)
            r.vector = bytes[TITLE];
        else
            further[r.vector_count++] = vector;
    }
    r.vectors = further;
    VT_OK(vs_put(c, txn, &r, VS_UPSERT), c);
    m->seed[key] = seed;
}

static void check_vector(const vs_record *r, uint32_t seed, int field) {
    uint8_t expected[BODY_DIM];
    size_t bytes = make_vector(seed, field, expected);
    const void *data = field == TITLE ? r->vector : NULL;
    for (size_t i = 0; i < r->vector_count; i++) {
        VT_CHECK(r->vectors[i].field != TITLE);
        VT_CHECK(i == 0 || r->vectors[i - 1].field < r->vectors[i].field);
        if (r->vectors[i].field == (uint32_t)field) {
            data = r->vectors[i].data;
            VT_EQ(r->vectors[i].type, field == BODY ? VS_U8 : VS_BIT);
        }
    }
    VT_EQ(data != NULL, has(seed, field));
    VT_CHECK(!data || !memcmp(data, expected, bytes));
    VT_CHECK(!data || (uintptr_t)data % 16 == (uintptr_t)r->vector % 16);
}

static void check_records(const model *m, vs_collection *c, vs_txn *txn) {
    for (uint64_t key = 0; key < KEYS; key++) {
        vs_record r = VS_RECORD_INIT;
        vs_status st = vs_get(c, txn, VT_KEY(key), &r);
        VT_EQ(st, m->seed[key] ? VS_OK : VS_ERR_NOT_FOUND);
        for (int field = 0; st == VS_OK && field < FIELDS; field++)
            check_vector(&r, m->seed[key], field);
    }
}

static double distance_of(uint32_t seed, uint32_t other, int field) {
    double sum = 0;
    for (size_t i = 0; i < dim_of(field); i++) {
        int difference = abs(element(seed, field, i) - element(other, field, i));
        sum += field == TITLE ? difference * difference : difference;
    }
    return sum;
}

/* All records that have the field, nearest first, then by key. */
static size_t rank(const model *m, uint32_t seed, int field, vs_hit *out) {
    size_t n = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        if (!has(m->seed[key], field))
            continue;
        vs_hit hit = {VT_KEY(key), distance_of(seed, m->seed[key], field)};
        size_t at = n++;
        for (; at > 0 && out[at - 1].distance > hit.distance; at--)
            out[at] = out[at - 1];
        out[at] = hit;
    }
    return n;
}

static void check_search(const model *m, vs_collection *c, vs_txn *txn, uint32_t seed, int field) {
    vs_hit wanted[KEYS], hits[KEYS + 1];
    uint8_t query[BODY_DIM];
    size_t n = 0, all = rank(m, seed, field, wanted);
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    options.field = (uint32_t)field;
    make_vector(seed, field, query);
    for (size_t k = 1; k <= KEYS + 1; k += KEYS / 2) {
        VT_OK(vs_search(c, txn, query, 0, k, &options, hits, &n), c);
        VT_EQ(n, k < all ? k : all);
        for (size_t i = 0; i < n; i++) {
            VT_EQ(hits[i].key.number, wanted[i].key.number);
            VT_CHECK(hits[i].distance == wanted[i].distance);
        }
    }
}

static void check_all(const model *m, vs_db *db, vs_txn *txn) {
    vs_collection *c = NULL;
    VT_OK(vs_collection_open(db, txn, "c", &c), db);
    check_records(m, c, txn);
    for (int field = 0; field < FIELDS; field++)
        check_search(m, c, txn, 9999, field);
    vs_collection_close(c);
}

VT_TEST(records_have_the_vectors_that_they_were_given_and_no_others) {
    vt_rng rng = {vt_seed()};
    model m = {{0}};
    sample s = sample_new();
    vs_collection *c = create_fields(s.db, NULL, "c");
    for (int round = 0; round < 10; round++) {
        model before = m;
        vs_txn *txn = round % 3 ? sample_begin(s.db, VS_TXN_WRITE) : NULL;
        for (int n = 0; n < 40; n++) {
            uint64_t key = vt_below(&rng, KEYS);
            if (vt_below(&rng, 4)) {
                put_seed(c, txn, &m, key, 1 + (uint32_t)vt_below(&rng, 1 << 20));
            } else {
                VT_EQ(vs_delete(c, txn, VT_KEY(key)), m.seed[key] ? VS_OK : VS_ERR_NOT_FOUND);
                m.seed[key] = 0;
            }
        }
        check_all(&m, s.db, txn);
        if (round % 3 == 2) {
            vs_rollback(txn);
            m = before;
        } else if (txn) {
            VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        }
        sample killed = sample_after_kill(&s);
        check_all(&m, killed.db, NULL);
        sample_check(killed.db);
        sample_end(&killed);
        if (round % 4 == 3) {
            vs_collection_close(c);
            sample_reopen(&s);
            c = sample_collection(s.db, "c");
            sample_check(s.db);
        }
        check_all(&m, s.db, NULL);
    }
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_snapshot_keeps_the_vectors_that_records_had) {
    sample s = sample_new();
    model old = {{0}}, m;
    vs_collection *c = create_fields(s.db, NULL, "c");
    for (uint64_t key = 0; key < KEYS; key++)
        put_seed(c, NULL, &old, key, (uint32_t)key * 7 + 1);
    vs_txn *snapshot = sample_begin(s.db, VS_TXN_READ);
    m = old;
    for (uint64_t key = 0; key < KEYS; key += 2)
        put_seed(c, NULL, &m, key, (uint32_t)key * 11 + 4);
    VT_OK(vs_checkpoint(s.db), s.db);
    check_all(&old, s.db, snapshot);
    check_all(&m, s.db, NULL);
    vs_rollback(snapshot);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(columns_of_a_batch_are_of_their_fields) {
    enum { ROWS = 7 };
    sample s = sample_new();
    vs_collection *c = create_fields(s.db, NULL, "c");
    model m = {{0}};
    uint64_t numbers[ROWS];
    float titles[ROWS][TITLE_DIM];
    uint8_t bodies[ROWS][BODY_DIM + 5], has_body[ROWS], bits[ROWS][2], has_bits[ROWS];
    for (uint32_t i = 0; i < ROWS; i++) {
        numbers[i] = 3 * i;
        m.seed[3 * i] = i + 1;
        make_vector(i + 1, TITLE, (uint8_t *)titles[i]);
        make_vector(i + 1, BODY, bodies[i]);
        make_vector(i + 1, BITS, bits[i]);
        has_body[i] = has(i + 1, BODY);
        has_bits[i] = has(i + 1, BITS);
    }
    const vs_column columns[2] = {{bits, 0, has_bits, VS_BIT, BITS},
                                  {bodies, sizeof bodies[0], has_body, 0, BODY}};
    vs_batch batch = VS_BATCH_INIT;
    batch.count = ROWS;
    batch.numbers = numbers;
    batch.vectors = titles;
    batch.columns = columns;
    batch.column_count = 2;
    VT_OK(vs_put_batch(c, NULL, &batch, VS_INSERT), c);
    check_all(&m, s.db, NULL);
    const vs_column twice[2] = {columns[0], columns[0]}, title = {titles, 0, NULL, 0, TITLE},
                    none = {NULL, 0, NULL, 0, BODY}, beyond = {bodies, 0, NULL, 0, FIELDS},
                    narrow = {bodies, BODY_DIM - 1, NULL, 0, BODY};
    batch.columns = twice;
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "two columns of field 'bits'");
    batch.column_count = 1;
    batch.columns = &title;
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_INVALID);
    batch.columns = &none;
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_MISUSE);
    batch.columns = &beyond;
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "field is 3, collection 'c' has 3");
    batch.columns = &narrow;
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "stride");
    batch.columns = NULL;
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_MISUSE);
    batch.columns = columns;
    batch.vectors = NULL; /* then titles are missing */
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(c), "field 'title'");
    check_all(&m, s.db, NULL);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(vectors_that_do_not_fit_their_fields_change_nothing) {
    sample s = sample_new();
    vs_collection *c = create_fields(s.db, NULL, "c");
    const float title[TITLE_DIM] = {1}, body[BODY_DIM] = {300};
    const vs_vector cases[][2] = {{{body, VS_F32, BODY}},   /* 300 is no u8 */
                                  {{title, 0, 3}},          /* no such field */
                                  {{title, VS_F32, TITLE}}, /* a second one */
                                  {{title, 77, BODY}},      /* no type */
                                  {{body + 1, VS_F32, BODY}, {body + 1, VS_F32, BODY}}};
    const char *const messages[] = {"field 'body'", "field is 3", "two vectors of field 'title'",
                                    "type is 77", "two vectors of field 'body'"};
    vs_stats before = sample_stats(s.db);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vs_record r = VS_RECORD_INIT;
        r.vector = title;
        r.vectors = cases[i];
        r.vector_count = i == 4 ? 2 : 1;
        VT_EQ(vs_put(c, NULL, &r, VS_UPSERT), VS_ERR_INVALID);
        VT_CONTAINS(vs_errmsg(c), messages[i]);
        r.vectors = NULL;
        VT_EQ(vs_put(c, NULL, &r, VS_UPSERT), VS_ERR_MISUSE);
    }
    vs_record r = VS_RECORD_INIT;
    VT_EQ(vs_put(c, NULL, &r, VS_UPSERT), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "field 'title'");
    vs_stats after = sample_stats(s.db);
    VT_CHECK(!memcmp(before.digest, after.digest, sizeof before.digest));
    VT_EQ(sample_count(c, NULL), 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_record_without_a_field_is_not_found_by_it) {
    sample s = sample_new();
    vs_collection *c = create_fields(s.db, NULL, "c");
    model m = {{0}};
    uint8_t out[2][BODY_DIM];
    const vs_key keys[2] = {VT_KEY(1), VT_KEY(2)};
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    vs_status statuses[2];
    vs_hit hits[3];
    size_t n = 9;
    double distance = 0;
    put_seed(c, NULL, &m, 1, 1); /* a title */
    put_seed(c, NULL, &m, 2, 2); /* and a body */
    options.field = BODY;
    VT_EQ(vs_search_key(c, NULL, VT_KEY(1), 1, &options, hits, &n), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(c), "no vector of field 'body' under key 1");
    VT_OK(vs_search_key(c, NULL, VT_KEY(2), 1, &options, hits, &n), c);
    VT_EQ(n, 0);
    VT_EQ(vs_distance(c, NULL, VT_KEY(2), VT_KEY(1), &options, &distance), VS_ERR_NOT_FOUND);
    VT_OK(vs_distance(c, NULL, VT_KEY(2), VT_KEY(1), NULL, &distance), c);
    VT_CHECK(distance == distance_of(1, 2, TITLE));
    VT_OK(vs_get_vectors(c, NULL, BODY, keys, 2, out, sizeof out[0], statuses), c);
    VT_CHECK(statuses[0] == VS_ERR_NOT_FOUND && statuses[1] == VS_OK);
    VT_EQ(vs_get_vectors(c, NULL, BODY, keys, 2, out, 0, NULL), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(c), "no vector of field 'body' under key 1");
    VT_EQ(vs_get_vectors(c, NULL, FIELDS, keys, 2, out, 0, NULL), VS_ERR_INVALID);
    options.field = FIELDS;
    VT_EQ(vs_search(c, NULL, out, 0, 1, &options, hits, &n), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "field is 3");
    union {
        vs_search_options options;
        uint8_t bytes[1000];
    } later = {.bytes = {0}};
    later.options.size = sizeof later;
    later.bytes[900] = 1; /* set by a program that knows more */
    VT_EQ(vs_search(c, NULL, out, 0, 1, &later.options, hits, &n), VS_ERR_UNSUPPORTED);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- creating ------------------------------------------------------------------------------- */

static void refuse(vs_db *db, vs_collection_options options, vs_status expected,
                   const char *message) {
    VT_EQ(vs_collection_create(db, NULL, "c", &options, NULL), expected);
    VT_CONTAINS(vs_errmsg(db), message);
}

VT_TEST(fields_that_cannot_be_are_refused) {
    static char long_name[VS_FIELD_BYTES_MAX + 2];
    sample s = sample_new();
    vs_field fields[VS_FIELDS_MAX + 1];
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    memset(long_name, 'x', sizeof long_name - 1);
    for (size_t i = 0; i <= VS_FIELDS_MAX; i++) {
        static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i"};
        fields[i] = (vs_field)VS_FIELD_INIT;
        fields[i].dim = 2;
        fields[i].name = names[i];
    }
    options.fields = fields;
    refuse(s.db, options, VS_ERR_LIMIT, "0 vector fields");
    options.field_count = VS_FIELDS_MAX + 1;
    refuse(s.db, options, VS_ERR_LIMIT, "9 vector fields");
    options.field_count = 2;
    options.dim = 3;
    refuse(s.db, options, VS_ERR_MISUSE, "either");
    options.dim = 0;
    options.fields = NULL;
    refuse(s.db, options, VS_ERR_MISUSE, "either");
    options.fields = fields;
    fields[1].name = "a";
    refuse(s.db, options, VS_ERR_INVALID, "field 1: field 0 has the name 'a' as well");
    fields[1].name = "";
    refuse(s.db, options, VS_ERR_INVALID, "field 1: name: empty");
    fields[1].name = "a\n";
    refuse(s.db, options, VS_ERR_INVALID, "control character");
    fields[1].name = "\xff";
    refuse(s.db, options, VS_ERR_INVALID, "UTF-8");
    fields[1].name = long_name;
    refuse(s.db, options, VS_ERR_INVALID, "64 bytes, the limit is 63");
    long_name[VS_FIELD_BYTES_MAX] = 0;
    fields[1].flags = 2;
    refuse(s.db, options, VS_ERR_UNSUPPORTED, "0x2");
    fields[1].flags = 0;
    fields[1].dim = 0;
    refuse(s.db, options, VS_ERR_INVALID, "field 1: dim is 0");
    fields[1].dim = 1;
    fields[1].metric = VS_HAMMING;
    refuse(s.db, options, VS_ERR_INVALID, "hamming");
    fields[1].metric = 0;
    options.field_count = VS_FIELDS_MAX;
    VT_OK(vs_collection_create(s.db, NULL, "c", &options, NULL), s.db);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(fields_are_described_as_they_were_created) {
    sample s = sample_new();
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection *c = create_fields(s.db, txn, "c");
    vs_field_info info = VS_FIELD_INFO_INIT;
    VT_EQ(vs_field_at(c, NULL, BODY, &info), VS_ERR_NOT_FOUND);
    VT_OK(vs_field_at(c, txn, BODY, &info), c); /* before it is committed */
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    vs_collection_close(c);
    sample_reopen(&s);
    c = sample_collection(s.db, "c");
    VT_OK(vs_field_at(c, NULL, BODY, &info), c);
    VT_CHECK(info.dim == BODY_DIM && info.type == VS_U8 && info.metric == VS_L1);
    VT_EQ(info.flags, VS_FIELD_OPTIONAL);
    VT_STR(info.name, "body");
    VT_STR(info.index, "auto");
    VT_OK(vs_field_at(c, NULL, TITLE, &info), c);
    VT_EQ(info.flags, 0);
    VT_EQ(vs_field_at(c, NULL, FIELDS, &info), VS_DONE);
    VT_EQ(vs_field_at(c, NULL, SIZE_MAX, &info), VS_DONE);
    VT_EQ(vs_field_at(c, NULL, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_field_at(NULL, NULL, 0, &info), VS_ERR_MISUSE);
    info.size = 0;
    VT_EQ(vs_field_at(c, NULL, 0, &info), VS_ERR_MISUSE);
    vs_collection_info of = VS_COLLECTION_INFO_INIT;
    VT_OK(vs_collection_info_get(c, NULL, &of), c);
    VT_CHECK(of.fields == FIELDS && of.dim == TITLE_DIM);
    vs_collection_close(c);
    c = sample_create(s.db, NULL, "plain", 3, VS_F32, VS_L2);
    info = (vs_field_info)VS_FIELD_INFO_INIT;
    VT_OK(vs_field_at(c, NULL, 0, &info), c);
    VT_STR(info.name, "vector");
    vs_collection_close(c);
    sample_end(&s);
}

/* All fields optional: a record may have no vector at all. */
VT_TEST(a_record_may_be_without_any_vector) {
    sample s = sample_new();
    vs_field field = VS_FIELD_INIT;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    vs_record r = VS_RECORD_INIT;
    field.dim = 2;
    field.flags = VS_FIELD_OPTIONAL;
    options.fields = &field;
    options.field_count = 1;
    VT_OK(vs_collection_create(s.db, NULL, "c", &options, &c), s.db);
    for (uint64_t key = 0; key < 100; key++) {
        r.key = VT_KEY(key);
        r.metadata = "{\"text\":1}";
        VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    }
    const float vector[2] = {1, 2};
    r.vector = vector;
    VT_OK(vs_put(c, NULL, &r, VS_UPSERT), c);
    vs_collection_close(c);
    sample_reopen(&s);
    sample_check(s.db);
    c = sample_collection(s.db, "c");
    vs_record found = VS_RECORD_INIT;
    VT_OK(vs_get(c, NULL, VT_KEY(5), &found), c);
    VT_CHECK(!found.vector && !found.vector_count && found.metadata);
    vs_hit hits[3];
    size_t n = 0;
    VT_OK(vs_search(c, NULL, vector, VS_F32, 3, NULL, hits, &n), c);
    VT_CHECK(n == 1 && hits[0].key.number == 99 && hits[0].distance == 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_search_ends_when_its_time_is_over) {
    enum { ROWS = 20000 };
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    static float vectors[ROWS][2];
    static vs_hit hits[ROWS];
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    vs_batch batch = VS_BATCH_INIT;
    size_t n = 0, counts[200] = {0};
    batch.count = ROWS;
    batch.vectors = vectors;
    VT_OK(vs_append_batch(c, NULL, &batch, NULL), c);
    options.timeout_ms = 60000;
    VT_OK(vs_search(c, NULL, vectors[0], VS_F32, 3, &options, hits, &n), c);
    options.timeout_ms = 1; /* for 200 queries */
    VT_EQ(vs_search_batch(c, NULL, vectors, VS_F32, 0, 200, 100, &options, hits, counts),
          VS_ERR_TIMEOUT);
    VT_CONTAINS(vs_errmsg(c), "took longer");
    VT_OK(vs_search(c, NULL, vectors[0], VS_F32, 3, NULL, hits, &n), c);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_row_without_what_all_records_have_is_refused_by_its_own_status) {
    sample s = sample_new();
    vs_collection *c = create_fields(s.db, NULL, "c");
    const float titles[3][TITLE_DIM] = {{1}, {2}, {3}};
    const uint8_t present[3] = {1, 0, 1};
    const vs_key keys[3] = {VT_KEY(1), VT_KEY(2), vs_key_text(NULL)};
    const vs_column column = {titles, 0, present, VS_F32, TITLE};
    vs_status statuses[3];
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 3;
    batch.keys = keys;
    batch.columns = &column;
    batch.column_count = 1;
    batch.statuses = statuses;
    VT_OK(vs_put_batch(c, NULL, &batch, VS_INSERT), c);
    VT_CHECK(statuses[0] == VS_OK && statuses[1] == VS_ERR_INVALID);
    VT_EQ(statuses[2], VS_ERR_INVALID);
    VT_EQ(sample_count(c, NULL), 1);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_batch_may_have_no_vectors_where_all_fields_are_optional) {
    sample s = sample_new();
    vs_field field = VS_FIELD_INIT;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    const uint64_t numbers[2] = {2, 3};
    vs_batch batch = VS_BATCH_INIT;
    field.dim = 2;
    field.flags = VS_FIELD_OPTIONAL;
    options.fields = &field;
    options.field_count = 1;
    VT_OK(vs_collection_create(s.db, NULL, "c", &options, &c), s.db);
    batch.count = 2;
    batch.numbers = numbers;
    VT_OK(vs_put_batch(c, NULL, &batch, VS_INSERT), c);
    VT_EQ(sample_count(c, NULL), 2);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

/* A vs_field_at of a collection whose creation was taken back finds none. */
VT_TEST(fields_of_a_collection_that_was_rolled_back_are_not_found) {
    sample s = sample_new();
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_collection *c = create_fields(s.db, txn, "c");
    vs_field_info info = VS_FIELD_INFO_INIT;
    vs_rollback(txn);
    VT_EQ(vs_field_at(c, NULL, 0, &info), VS_ERR_NOT_FOUND);
    vs_collection_close(c);
    sample_end(&s);
}
