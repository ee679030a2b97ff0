/* keys.c - records under keys of all kinds: numbers, bytes, UUIDs, in namespaces. */
#include "sample.h"
#include <math.h>

enum { POOL = 400 };

/* Keys in no order, some of them nearly equal, all different. */
typedef struct pool {
    vs_key key[POOL];
    uint8_t text[POOL][VS_KEY_BYTES_MAX];
    bool is_there[POOL];
    float value[POOL]; /* the first element of its vector */
} pool;

static bool pool_has(const pool *p, int n, vs_key key) {
    for (int i = 0; i < n; i++)
        if (!vs_key_compare(p->key[i], key))
            return true;
    return false;
}

static vs_key pool_make(vt_rng *rng, uint8_t *text) {
    uint32_t space = vt_below(rng, 2) ? 0 : 1 + (uint32_t)vt_below(rng, 2) * 0xfffffffe;
    uint64_t kind = vt_below(rng, 3);
    size_t bytes = 1 + (vt_below(rng, 30) ? vt_below(rng, 6) : VS_KEY_BYTES_MAX - 1);
    if (kind == 0)
        return vs_key_in(space, vs_key_u64(vt_random(rng) >> vt_below(rng, 64)));
    bytes = kind == 2 ? 16 : bytes;
    for (size_t k = 0; k < bytes; k++)
        text[k] = (uint8_t)(vt_below(rng, 3) * 127);
    return vs_key_in(space, kind == 2 ? vs_key_uuid(text) : vs_key_bytes(text, bytes));
}

static pool *pool_new(void) {
    vt_rng rng = {vt_seed()};
    pool *p = calloc(1, sizeof *p);
    VT_CHECK(p);
    for (int i = 0; i < POOL; i++)
        do
            p->key[i] = pool_make(&rng, p->text[i]);
        while (pool_has(p, i, p->key[i]));
    return p;
}

static void put_key(vs_collection *c, vs_txn *txn, vs_key key, float value) {
    float vector[2] = {value, 1};
    vs_record r = VS_RECORD_INIT;
    r.key = key;
    r.vector = vector;
    r.metadata = value < 0 ? NULL : "{\"a\":1}";
    VT_OK(vs_put(c, txn, &r, VS_UPSERT), c);
}

static void pool_put(pool *p, vs_collection *c, vs_txn *txn, int i, float value) {
    put_key(c, txn, p->key[i], value);
    p->is_there[i] = true;
    p->value[i] = value;
}

static void check_record(const pool *p, int i, const vs_record *r) {
    VT_EQ(vs_key_compare(r->key, p->key[i]), 0);
    VT_CHECK(*(const float *)r->vector == p->value[i]);
    VT_CHECK(!r->metadata == (p->value[i] < 0));
}

/* Each record by its key, and all by a scan in order. */
static void check_pool(const pool *p, vs_collection *c, vs_txn *txn) {
    uint64_t count = 0;
    for (int i = 0; i < POOL; i++) {
        vs_record r = VS_RECORD_INIT;
        vs_status st = vs_get(c, txn, p->key[i], &r);
        VT_EQ(st, p->is_there[i] ? VS_OK : VS_ERR_NOT_FOUND);
        if (st == VS_OK)
            check_record(p, i, &r);
        count += p->is_there[i];
    }
    VT_EQ(sample_count(c, txn), count);
}

/* Whether a range admits a key, as the header says. */
static bool admits(const vs_range *range, vs_key key) {
    if (range->space && key.space != *range->space)
        return false;
    if (range->from && vs_key_compare(key, *range->from) < 0)
        return false;
    if (range->to && vs_key_compare(key, *range->to) >= 0)
        return false;
    const vs_key *prefix = range->prefix;
    return !prefix ||
           (key.kind == VS_KEY_BYTES && key.space == prefix->space && key.bytes >= prefix->bytes &&
            !memcmp(key.data, prefix->data, prefix->bytes));
}

static int find_key(const pool *p, vs_key key) {
    for (int i = 0; i < POOL; i++)
        if (!vs_key_compare(p->key[i], key))
            return i;
    return -1;
}

static void check_scan(const pool *p, vs_collection *c, vs_txn *txn, const vs_range *range) {
    vs_cursor *cursor = NULL;
    int expected = 0, last = -1;
    for (int i = 0; i < POOL; i++)
        expected += p->is_there[i] && admits(range, p->key[i]);
    VT_OK(vs_scan(c, txn, range, &cursor), c);
    while (vs_step(cursor) == VS_ROW) {
        vs_record r = VS_RECORD_INIT;
        VT_OK(vs_cursor_record(cursor, &r), cursor);
        int i = find_key(p, r.key);
        VT_CHECK(i >= 0 && p->is_there[i] && admits(range, r.key));
        check_record(p, i, &r);
        VT_CHECK(last < 0 || vs_key_compare(p->key[last], r.key) < 0);
        last = i;
        expected--;
    }
    VT_EQ(expected, 0);
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
}

static void check_all(const pool *p, vs_db *db, vs_txn *txn) {
    vs_collection *c = NULL;
    vs_range everything = VS_RANGE_INIT;
    VT_OK(vs_collection_open(db, txn, "c", &c), db);
    check_pool(p, c, txn);
    check_scan(p, c, txn, &everything);
    vs_collection_close(c);
}

VT_TEST(records_under_keys_of_all_kinds_live_beside_each_other) {
    pool *p = pool_new(), *old = malloc(sizeof *old);
    vt_rng rng = {vt_seed() + 1};
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    for (int round = 0; round < 12; round++) {
        vs_txn *txn = round % 3 ? sample_begin(s.db, VS_TXN_WRITE) : NULL;
        *old = *p;
        for (int n = 0; n < 100; n++) {
            int i = (int)vt_below(&rng, POOL);
            if (vt_below(&rng, 3)) {
                pool_put(p, c, txn, i, (float)vt_below(&rng, 100) - 10);
            } else {
                VT_EQ(vs_delete(c, txn, p->key[i]), p->is_there[i] ? VS_OK : VS_ERR_NOT_FOUND);
                p->is_there[i] = false;
            }
        }
        check_all(p, s.db, txn);
        if (round % 3 == 2) { /* as if nothing had been */
            vs_rollback(txn);
            memcpy(p->is_there, old->is_there, sizeof p->is_there);
            memcpy(p->value, old->value, sizeof p->value);
        } else if (txn) {
            VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        }
        sample killed = sample_after_kill(&s);
        check_all(p, killed.db, NULL);
        sample_check(killed.db);
        sample_end(&killed);
        if (round % 4 == 3) {
            vs_collection_close(c);
            sample_reopen(&s);
            c = sample_collection(s.db, "c");
            sample_check(s.db);
        }
        check_all(p, s.db, NULL);
    }
    vs_collection_close(c);
    sample_end(&s);
    free(old);
    free(p);
}

VT_TEST(a_scan_gives_the_keys_that_all_of_its_range_admits) {
    pool *p = pool_new();
    vt_rng rng = {vt_seed() + 2};
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    for (int i = 0; i < POOL; i += 1 + (i % 7 == 0))
        pool_put(p, c, txn, i, (float)i);
    for (int n = 0; n < 600; n++) {
        vs_range range = VS_RANGE_INIT;
        uint32_t space = n % 5 ? p->key[n % POOL].space : 77;
        vs_key from = p->key[vt_below(&rng, POOL)], to = p->key[vt_below(&rng, POOL)];
        uint8_t begin[VS_KEY_BYTES_MAX];
        size_t bytes = vt_below(&rng, 40) ? 1 + vt_below(&rng, 3) : VS_KEY_BYTES_MAX;
        for (size_t k = 0; k < bytes; k++)
            begin[k] = (uint8_t)(vt_below(&rng, 3) * 127 + (n % 50 == 0));
        vs_key prefix = vs_key_in(n % 3 ? 0 : 0xffffffff, vs_key_bytes(begin, bytes));
        range.space = vt_below(&rng, 3) ? NULL : &space;
        range.from = vt_below(&rng, 2) ? NULL : &from;
        range.to = vt_below(&rng, 2) ? NULL : &to;
        range.prefix = vt_below(&rng, 3) ? NULL : &prefix;
        check_scan(p, c, txn, &range);
    }
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    vs_collection_close(c);
    sample_end(&s);
    free(p);
}

VT_TEST(a_cursor_in_a_transaction_goes_on_behind_keys_that_are_gone) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vs_cursor *cursor = NULL;
    vs_record r = VS_RECORD_INIT;
    const vs_key prefix = vs_key_text("b");
    vs_range range = VS_RANGE_INIT;
    range.prefix = &prefix;
    for (const char *const *text = (const char *const[]){"a", "b", "b1", "b3", "c", NULL}; *text;
         text++)
        put_key(c, txn, vs_key_text(*text), 1);
    VT_OK(vs_scan(c, txn, &range, &cursor), c);
    VT_EQ(vs_step(cursor), VS_ROW);
    VT_OK(vs_delete(c, txn, vs_key_text("b")), c);
    VT_EQ(vs_cursor_record(cursor, &r), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(cursor), "'b'");
    VT_OK(vs_delete(c, txn, vs_key_text("b1")), c);
    put_key(c, txn, vs_key_text("b2"), 1);
    put_key(c, txn, vs_key_text("a9"), 1);
    VT_EQ(vs_step(cursor), VS_ROW);
    VT_OK(vs_cursor_record(cursor, &r), cursor);
    VT_EQ(vs_key_compare(r.key, vs_key_text("b2")), 0);
    VT_EQ(vs_step(cursor), VS_ROW);
    VT_EQ(vs_step(cursor), VS_DONE);
    put_key(c, txn, vs_key_text("b4"), 1);
    VT_EQ(vs_step(cursor), VS_ROW); /* it came behind the last one shown */
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- search --------------------------------------------------------------------------------- */

/* All records of the pool that are there, nearest to 0 first, then by key. */
static int pool_rank(const pool *p, int *out) {
    int n = 0;
    for (int i = 0; i < POOL; i++) {
        if (!p->is_there[i])
            continue;
        int at = n++;
        for (; at > 0; at--) {
            int before = out[at - 1];
            float mine = fabsf(p->value[i]), other = fabsf(p->value[before]);
            if (other < mine || (other == mine && vs_key_compare(p->key[before], p->key[i]) < 0))
                break;
            out[at] = before;
        }
        out[at] = i;
    }
    return n;
}

static void check_hits(const pool *p, const int *rank, size_t n, const vs_hit *hits) {
    for (size_t i = 0; i < n; i++) {
        VT_EQ(vs_key_compare(hits[i].key, p->key[rank[i]]), 0);
        VT_EQ(hits[i].key.number, p->key[rank[i]].number);
        VT_CHECK(hits[i].distance == (double)p->value[rank[i]] * (double)p->value[rank[i]]);
    }
}

VT_TEST(hits_at_one_distance_are_in_the_order_of_their_keys) {
    pool *p = pool_new();
    int rank[POOL];
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    for (int i = 0; i < POOL; i++)
        pool_put(p, c, txn, i, (float)(i % 7) - 3);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    size_t all = (size_t)pool_rank(p, rank);
    const float queries[2][2] = {{0, 1}, {0, 1}};
    for (size_t k = 1; k <= all + 1; k = k < 8 ? k + 1 : 2 * k + 1) {
        vs_hit hits[POOL + 1], twice[2 * POOL + 2];
        size_t n = 0, counts[2] = {0};
        VT_OK(vs_search(c, NULL, queries[0], VS_F32, k, NULL, hits, &n), c);
        VT_EQ(n, k < all ? k : all);
        check_hits(p, rank, n, hits);
        VT_OK(vs_search_batch(c, NULL, queries, VS_F32, 0, 2, k, NULL, twice, counts), c);
        check_hits(p, rank, counts[0], twice);
        check_hits(p, rank, counts[1], twice + k);
        VT_EQ(counts[1], n);
    }
    uint64_t total = 0;
    size_t n = 0;
    vs_hit hits[POOL];
    VT_OK(vs_search_radius(c, NULL, queries[0], VS_F32, 1, NULL, POOL, hits, &n, &total), c);
    VT_EQ(n, total);
    check_hits(p, rank, n, hits);
    vs_collection_close(c);
    sample_end(&s);
    free(p);
}

VT_TEST(a_key_from_a_hit_or_a_record_of_the_handle_may_be_given_back_to_it) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    const float query[2] = {0, 1};
    vs_hit hits[3];
    size_t n = 0;
    double distance = 0;
    vs_record r = VS_RECORD_INIT;
    for (int i = 0; i < 3; i++)
        put_key(c, NULL, vs_key_text((const char *const[]){"x", "yy", "zzz"}[i]), (float)i);
    VT_OK(vs_search(c, NULL, query, VS_F32, 3, NULL, hits, &n), c);
    VT_OK(vs_get(c, NULL, hits[1].key, &r), c);
    VT_EQ(vs_key_compare(r.key, vs_key_text("yy")), 0);
    VT_OK(vs_get(c, NULL, r.key, &r), c);
    VT_EQ(vs_key_compare(r.key, vs_key_text("yy")), 0);
    VT_OK(vs_search_key(c, NULL, r.key, 3, NULL, hits, &n), c);
    VT_EQ(n, 2);
    VT_EQ(vs_key_compare(hits[0].key, vs_key_text("x")), 0);
    VT_OK(vs_distance(c, NULL, hits[0].key, hits[1].key, NULL, &distance), c);
    VT_CHECK(distance == 4);
    VT_OK(vs_put(c, NULL, &r, VS_REPLACE), c);
    VT_OK(vs_delete(c, NULL, r.key), c);
    VT_EQ(sample_count(c, NULL), 2);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- what is refused ------------------------------------------------------------------------ */

VT_TEST(keys_that_are_none_are_refused_everywhere_and_change_nothing) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    static char text[VS_KEY_BYTES_MAX + 2];
    memset(text, 'k', sizeof text - 1);
    const struct {
        vs_key key;
        vs_status status;
    } bad[] = {
        {vs_key_text(NULL), VS_ERR_INVALID},  {vs_key_text(""), VS_ERR_LIMIT},
        {vs_key_text(text), VS_ERR_LIMIT},    {vs_key_bytes(text, 1000000), VS_ERR_LIMIT},
        {vs_key_uuid(NULL), VS_ERR_INVALID},  {{0, text, 15, VS_KEY_UUID, 0}, VS_ERR_INVALID},
        {{0, text, 16, 3, 0}, VS_ERR_INVALID}};
    put_key(c, NULL, vs_key_u64(0), 1);
    vs_stats before = sample_stats(s.db);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const float vector[2] = {1, 2};
        float out[2];
        vs_record r = {
            .size = sizeof r, .vector_type = VS_F32, .key = bad[i].key, .vector = vector};
        vs_batch batch = VS_BATCH_INIT;
        vs_cursor *cursor = NULL;
        vs_range range = VS_RANGE_INIT;
        vs_hit hit;
        vs_status st = bad[i].status, status = VS_OK;
        size_t n = 0;
        double distance = 0;
        batch.count = 1;
        batch.keys = &bad[i].key;
        batch.vectors = vector;
        range.from = &bad[i].key;
        VT_EQ(vs_put(c, NULL, &r, VS_UPSERT), st);
        VT_CONTAINS(vs_errmsg(c), "key: ");
        VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), st);
        batch.statuses = &status;
        VT_OK(vs_put_batch(c, NULL, &batch, VS_UPSERT), c);
        VT_EQ(status, st);
        VT_EQ(vs_get(c, NULL, bad[i].key, NULL), st);
        VT_EQ(vs_delete(c, NULL, bad[i].key), st);
        VT_EQ(vs_delete_batch(c, NULL, &bad[i].key, 1, NULL), st);
        VT_EQ(vs_set_metadata(c, NULL, bad[i].key, "{}", 0), st);
        VT_EQ(vs_get_vectors(c, NULL, 0, &bad[i].key, 1, out, 0, NULL), st);
        VT_EQ(vs_search_key(c, NULL, bad[i].key, 1, NULL, &hit, &n), st);
        VT_EQ(vs_distance(c, NULL, bad[i].key, vs_key_u64(0), NULL, &distance), st);
        VT_EQ(vs_distance(c, NULL, vs_key_u64(0), bad[i].key, NULL, &distance), st);
        VT_EQ(vs_scan(c, NULL, &range, &cursor), st);
        range.from = NULL;
        range.to = &bad[i].key;
        VT_EQ(vs_scan(c, NULL, &range, &cursor), st);
        range.to = NULL;
        range.prefix = &bad[i].key;
        VT_CHECK(vs_scan(c, NULL, &range, &cursor) != VS_OK && !cursor);
    }
    const vs_key number = vs_key_u64(1);
    vs_range range = VS_RANGE_INIT;
    vs_cursor *cursor = NULL;
    range.prefix = &number;
    VT_EQ(vs_scan(c, NULL, &range, &cursor), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "prefix");
    union {
        vs_range range;
        uint8_t bytes[1000];
    } later = {.bytes = {0}};
    later.range.size = sizeof later;
    later.bytes[900] = 1; /* set by a program that knows more */
    VT_EQ(vs_scan(c, NULL, &later.range, &cursor), VS_ERR_UNSUPPORTED);
    vs_stats after = sample_stats(s.db);
    VT_CHECK(!memcmp(before.digest, after.digest, sizeof before.digest));
    text[VS_KEY_BYTES_MAX] = 0;
    put_key(c, NULL, vs_key_text(text), 1); /* the longest one */
    VT_OK(vs_get(c, NULL, vs_key_text(text), NULL), c);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(the_same_number_in_two_namespaces_is_two_keys) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_batch batch = VS_BATCH_INIT;
    const uint64_t numbers[3] = {1, 2, 3};
    const float vectors[3][2] = {{1, 0}, {2, 0}, {3, 0}};
    batch.count = 3;
    batch.numbers = numbers;
    batch.vectors = vectors;
    VT_OK(vs_put_batch(c, NULL, &batch, VS_INSERT), c);
    batch.space = 9;
    VT_OK(vs_put_batch(c, NULL, &batch, VS_INSERT), c);
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_INSERT), VS_ERR_EXISTS);
    VT_CONTAINS(vs_errmsg(c), "key 1 of namespace 9");
    VT_EQ(sample_count(c, NULL), 6);
    VT_OK(vs_delete(c, NULL, vs_key_in(9, vs_key_u64(2))), c);
    VT_OK(vs_get(c, NULL, vs_key_u64(2), NULL), c);
    VT_EQ(vs_get(c, NULL, vs_key_in(9, vs_key_u64(2)), NULL), VS_ERR_NOT_FOUND);
    batch.keys = &(vs_key){.number = 1};
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(c), "both");
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- numbers that the database chooses ------------------------------------------------------ */

static vs_status append(vs_collection *c, vs_txn *txn, uint32_t space, uint64_t *out_number) {
    const float vector[2] = {1, 2};
    vs_record r = {
        .size = sizeof r, .vector_type = VS_F32, .key = {.space = space}, .vector = vector};
    return vs_append(c, txn, &r, out_number);
}

static uint64_t appended(vs_collection *c, vs_txn *txn) {
    uint64_t number = 0;
    VT_OK(append(c, txn, 0, &number), c);
    VT_OK(vs_get(c, txn, vs_key_u64(number), NULL), c);
    return number;
}

VT_TEST(appended_records_get_numbers_above_all_that_were_keys) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    uint64_t number = 0;
    VT_EQ(appended(c, NULL), 1);
    VT_EQ(appended(c, NULL), 2);
    put_key(c, NULL, vs_key_u64(10), 1);
    VT_OK(vs_delete(c, NULL, vs_key_u64(10)), c);
    VT_EQ(appended(c, NULL), 11);
    put_key(c, NULL, vs_key_u64(5), 1);
    put_key(c, NULL, vs_key_text("20"), 1);
    VT_OK(append(c, NULL, 3, &number), c);
    VT_EQ(number, 12);
    VT_OK(vs_get(c, NULL, vs_key_in(3, vs_key_u64(12)), NULL), c);
    VT_EQ(vs_get(c, NULL, vs_key_u64(12), NULL), VS_ERR_NOT_FOUND);
    VT_OK(vs_delete(c, NULL, vs_key_in(3, vs_key_u64(12))), c);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    VT_EQ(appended(c, txn), 13);
    vs_rollback(txn);
    VT_OK(append(c, NULL, 0, NULL), c);
    sample killed = sample_after_kill(&s);
    vs_collection *other = sample_collection(killed.db, "c");
    VT_EQ(appended(other, NULL), 14);
    sample_check(killed.db);
    vs_collection_close(other);
    sample_end(&killed);
    vs_collection_close(c);
    sample_reopen(&s);
    c = sample_collection(s.db, "c");
    VT_EQ(appended(c, NULL), 14);
    put_key(c, NULL, vs_key_u64(UINT64_MAX), 1);
    vs_stats before = sample_stats(s.db);
    VT_EQ(append(c, NULL, 0, &number), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(c), "largest number");
    vs_stats after = sample_stats(s.db);
    VT_CHECK(!memcmp(before.digest, after.digest, sizeof before.digest));
    VT_EQ(vs_append(NULL, NULL, NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_append(c, NULL, NULL, NULL), VS_ERR_MISUSE);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(rows_that_are_refused_take_no_number) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    const float vectors[5] = {1, NAN, 3, NAN, 5};
    uint64_t numbers[5];
    vs_status statuses[5];
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 5;
    batch.vectors = vectors;
    VT_EQ(vs_append_batch(c, NULL, &batch, numbers), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "row 1 of 5");
    VT_EQ(sample_count(c, NULL), 0);
    batch.statuses = statuses;
    VT_OK(vs_append_batch(c, NULL, &batch, numbers), c);
    for (size_t i = 0; i < 5; i++) {
        VT_EQ(statuses[i], i % 2 ? VS_ERR_INVALID : VS_OK);
        VT_EQ(numbers[i], i % 2 ? 0 : 1 + i / 2);
    }
    batch.count = 1;
    VT_OK(vs_append_batch(c, NULL, &batch, NULL), c);
    VT_EQ(sample_count(c, NULL), 4);
    VT_EQ(vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_MISUSE); /* it has no keys */
    batch.numbers = numbers;
    VT_EQ(vs_append_batch(c, NULL, &batch, NULL), VS_ERR_MISUSE); /* it has some */
    VT_CONTAINS(vs_errmsg(c), "keys");
    VT_EQ(vs_append_batch(NULL, NULL, &batch, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_append_batch(c, NULL, NULL, NULL), VS_ERR_MISUSE);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- many long keys -------------------------------------------------------------------------- */

enum { MANY = 6000, LONG = 1000, LIMIT_BYTES = 1 << 20 };

/* malloc that notes the most there was. */
typedef struct peak_memory {
    uint64_t live, peak;
} peak_memory;

static void *peak_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    peak_memory *m = ctx;
    void *made = new_bytes ? realloc(ptr, new_bytes) : NULL;
    if (!new_bytes)
        free(ptr);
    m->live += new_bytes - old_bytes;
    m->peak = m->live > m->peak ? m->live : m->peak;
    return made;
}

static vs_db *open_limited(const vs_vfs *vfs, peak_memory *m, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_allocator allocator = {m, peak_realloc};
    vs_db *db = NULL;
    options.vfs = vfs;
    options.flags = flags;
    options.allocator = &allocator;
    options.memory_limit = LIMIT_BYTES;
    VT_OK(vs_open("t.vs", &options, &db), db);
    return db;
}

/* Equal vectors under keys of a thousand bytes, nothing of them in memory. */
static vs_db *many_long_keys(const vs_vfs *vfs, peak_memory *m, uint8_t (*keys)[LONG]) {
    const float vector[2] = {1, 2};
    vs_db *db = open_limited(vfs, m, VS_OPEN_CREATE);
    vs_collection *c = sample_create(db, NULL, "c", 2, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    for (size_t i = 0; i < MANY; i++) {
        memset(keys[i], 'k', LONG);
        snprintf((char *)keys[i] + LONG - 9, 9, "%08zu", i);
        vs_record r = {.size = sizeof r, .key = vs_key_bytes(keys[i], LONG), .vector = vector};
        VT_OK(vs_put(c, txn, &r, VS_INSERT), c);
    }
    VT_OK(vs_commit(txn, VS_SYNC_FULL), db);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    return open_limited(vfs, m, 0);
}

VT_TEST(searches_and_reads_of_many_long_keys_keep_the_memory_limit) {
    static uint8_t keys[MANY][LONG];
    static float vectors[MANY][2];
    static vs_key list[MANY];
    peak_memory m = {0};
    vs_vfs *vfs = NULL;
    vs_hit hits[10];
    size_t n = 0;
    const float query[2] = {1, 2};
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    vs_db *db = many_long_keys(vfs, &m, keys);
    vs_collection *c = sample_collection(db, "c");
    m.peak = m.live;
    VT_OK(vs_search(c, NULL, query, VS_F32, 10, NULL, hits, &n), c);
    for (size_t i = 0; i < n; i++)
        VT_EQ(vs_key_compare(hits[i].key, vs_key_bytes(keys[i], LONG)), 0);
    VT_CHECK(n == 10 && m.peak < 2 * LIMIT_BYTES);
    for (size_t i = 0; i < MANY; i++)
        list[i] = vs_key_bytes(keys[i], LONG);
    m.peak = m.live;
    VT_OK(vs_get_vectors(c, NULL, 0, list, MANY, vectors, 0, NULL), c);
    VT_CHECK(m.peak < 2 * LIMIT_BYTES);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    vs_vfs_memory_destroy(vfs);
}

/* The clock of a VFS of the test's: each look at it is a step. */
static int64_t fake_ticks_us;

static int64_t fake_ticks(void *ctx) {
    (void)ctx;
    return fake_ticks_us += 10;
}

VT_TEST(a_timeout_ends_a_search_that_only_orders_its_hits_any_more) {
    enum { EQUAL = 3000, SCAN_STEPS = EQUAL / 128 + 20 };
    vs_vfs *memory = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &memory), VS_OK);
    vs_vfs vfs = *memory;
    vfs.ticks_us = fake_ticks;
    vs_db *db = sample_open(&vfs, "t.vs", VS_OPEN_CREATE);
    vs_collection *c = sample_create(db, NULL, "c", 2, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    static vs_hit hits[EQUAL];
    const float query[2] = {0, 1};
    size_t n = 0;
    for (int i = 0; i < EQUAL; i++) {
        char text[20];
        snprintf(text, sizeof text, "key %d", (i * 7919) % EQUAL);
        put_key(c, txn, vs_key_text(text), 1);
    }
    VT_OK(vs_commit(txn, VS_SYNC_FULL), db);
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    options.timeout_ms = 1; /* a hundred steps: more than the scan of so few rows needs */
    VT_CHECK(SCAN_STEPS < 100);
    VT_EQ(vs_search(c, NULL, query, VS_F32, EQUAL, &options, hits, &n), VS_ERR_TIMEOUT);
    options.timeout_ms = 1000;
    VT_OK(vs_search(c, NULL, query, VS_F32, EQUAL, &options, hits, &n), c);
    VT_EQ(n, EQUAL);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    vs_vfs_memory_destroy(memory);
}
