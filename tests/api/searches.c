/* searches.c - batches of queries, everything within a radius, the nearest of a stored record, distances between
 * records: all against vs_search and plain loops. */
#include "sample.h"
#include <math.h>

enum { RECORDS = 400, DIM = 5, K = 12, QUERIES = 9 };

/* Small whole numbers: many equal distances, and every sum is exact. */
static void fill(float *out, vt_rng *rng) {
    for (int i = 0; i < DIM; i++)
        out[i] = (float)((int)vt_below(rng, 5) - 2);
}

typedef struct fixture {
    sample s;
    vs_collection *c;
    float row[RECORDS][DIM];
    vt_rng rng;
} fixture;

static void begin(fixture *f, int metric) {
    memset(f, 0, sizeof *f);
    f->rng.state = vt_seed() + (uint64_t)metric;
    f->s = sample_new();
    f->c = sample_create(f->s.db, NULL, "c", DIM, VS_F32, metric);
    for (uint64_t key = 0; key < RECORDS; key++) {
        fill(f->row[key], &f->rng);
        sample_put(f->c, NULL, key, f->row[key], NULL);
    }
}

static void end(fixture *f) {
    vs_collection_close(f->c);
    sample_end(&f->s);
}

static bool is_same(const vs_hit *a, const vs_hit *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (a[i].key.number != b[i].key.number || a[i].distance != b[i].distance)
            return false;
    return true;
}

static const int metrics[] = {VS_L2, VS_IP, VS_COSINE, VS_L1};

VT_TEST(a_batch_finds_for_each_query_what_it_finds_alone) {
    for (size_t m = 0; m < 4; m++) {
        fixture f;
        float queries[QUERIES][DIM + 2];
        static vs_hit hits[QUERIES * (RECORDS + 3)], alone[RECORDS + 3];
        size_t counts[QUERIES], n = 0;
        begin(&f, metrics[m]);
        for (int i = 0; i < QUERIES; i++)
            fill(queries[i], &f.rng);
        for (size_t k = 1; k <= RECORDS + 3; k += 67) {
            VT_OK(vs_search_batch(f.c, NULL, queries, VS_F32, sizeof queries[0], QUERIES, k, NULL,
                                  hits, counts),
                  f.c);
            for (size_t i = 0; i < QUERIES; i++) {
                VT_OK(vs_search(f.c, NULL, queries[i], VS_F32, k, NULL, alone, &n), f.c);
                VT_EQ(counts[i], n);
                VT_CHECK(is_same(hits + i * k, alone, n));
            }
        }
        end(&f);
    }
}

/* Records of a type, some of them equal, zero, or gone. */
static void fill_of_type(vs_collection *coll, uint32_t dim, vt_rng *rng) {
    enum { SOME = 500 };
    float vector[64];
    for (uint64_t key = 1; key <= SOME; key++) {
        vs_record r = VS_RECORD_INIT;
        bool is_zero = vt_below(rng, 50) == 0;
        for (uint32_t j = 0; j < dim && vt_below(rng, 10); j++) /* else the one before, in part */
            vector[j] = is_zero ? 0 : (float)vt_below(rng, 6);
        r.key.number = key;
        r.vector = vector;
        r.vector_type = VS_F32;
        VT_OK(vs_put(coll, NULL, &r, VS_INSERT), coll);
    }
    for (uint64_t key = 1; key <= SOME; key += 1 + vt_below(rng, 12))
        VT_OK(vs_delete(coll, NULL, vs_key_u64(key)), coll);
}

/* Whether a pass is shared or not, and however many share it. */
VT_TEST(batches_of_every_size_type_and_metric_find_what_each_query_finds_alone) {
    enum { BATCH = 300, NEAREST = 9, WIDTH = 33 };
    static const size_t counts[] = {1, 7, 8, 31, 32, 33, 65, BATCH};
    static float query[BATCH][WIDTH];
    static vs_hit hits[BATCH * NEAREST], alone[NEAREST];
    static size_t found[BATCH];
    vt_rng rng = {vt_seed()};
    vs_db *db = NULL;
    VT_EQ(vs_open(":memory:", NULL, &db), VS_OK);
    for (size_t i = 0; i < sizeof query / sizeof query[0][0]; i++)
        query[i / WIDTH][i % WIDTH] = (float)vt_below(&rng, 6);
    for (int type = VS_F32; type <= VS_I8; type++)
        for (int metric = VS_L2; metric <= VS_L1; metric++) {
            vs_collection *coll = NULL;
            vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
            shape.dim = WIDTH;
            shape.type = type;
            shape.metric = metric;
            char name[32];
            snprintf(name, sizeof name, "t%d-%d", type, metric);
            VT_OK(vs_collection_create(db, NULL, name, &shape, &coll), db);
            fill_of_type(coll, WIDTH, &rng);
            for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
                VT_OK(vs_search_batch(coll, NULL, query, VS_F32, 0, counts[c], NEAREST, NULL, hits,
                                      found),
                      coll);
                for (size_t q = 0; q < counts[c]; q += 1 + q / 8) {
                    size_t n = 0;
                    VT_OK(vs_search(coll, NULL, query[q], VS_F32, NEAREST, NULL, alone, &n), coll);
                    VT_EQ(found[q], n);
                    for (size_t i = 0; i < n; i++) {
                        VT_EQ(hits[q * NEAREST + i].key.number, alone[i].key.number);
                        VT_CHECK(hits[q * NEAREST + i].distance == alone[i].distance);
                    }
                }
            }
            vs_collection_close(coll);
        }
    VT_EQ(vs_close(db), VS_OK);
}

VT_TEST(a_batch_without_gaps_in_another_type_or_of_nothing) {
    fixture f;
    uint8_t bytes[3][DIM] = {{1, 2, 0, 0, 1}, {0, 0, 0, 0, 0}, {2, 2, 2, 2, 2}};
    float floats[3][DIM];
    vs_hit hits[2][3 * K];
    size_t counts[2][3];
    begin(&f, VS_L2);
    for (int i = 0; i < 3 * DIM; i++)
        floats[i / DIM][i % DIM] = bytes[i / DIM][i % DIM];
    VT_OK(vs_search_batch(f.c, NULL, bytes, VS_U8, 0, 3, K, NULL, hits[0], counts[0]), f.c);
    VT_OK(vs_search_batch(f.c, NULL, floats, 0, 0, 3, K, NULL, hits[1], counts[1]), f.c);
    VT_CHECK(is_same(hits[0], hits[1], 3 * K));
    VT_OK(vs_search_batch(f.c, NULL, NULL, 0, 0, 0, K, NULL, NULL, NULL), f.c);
    end(&f);
}

VT_TEST(a_batch_that_cannot_be_is_refused_naming_the_row) {
    fixture f;
    float queries[3][DIM] = {{0}};
    vs_hit hits[3 * K];
    size_t counts[3];
    begin(&f, VS_L2);
    queries[2][1] = NAN;
    VT_EQ(vs_search_batch(f.c, NULL, queries, 0, 0, 3, K, NULL, hits, counts), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(f.c), "row 2 of 3");
    VT_CONTAINS(vs_errmsg(f.c), "element 1");
    VT_EQ(vs_search_batch(f.c, NULL, queries, 0, 19, 3, K, NULL, hits, counts), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(f.c), "19 bytes");
    VT_EQ(vs_search_batch(f.c, NULL, queries, 0, 0, 3, 0, NULL, hits, counts), VS_ERR_INVALID);
    VT_EQ(vs_search_batch(f.c, NULL, queries, 0, 0, 3, SIZE_MAX / 3, NULL, hits, counts),
          VS_ERR_LIMIT);
    VT_EQ(vs_search_batch(f.c, NULL, NULL, 0, 0, 3, K, NULL, hits, counts), VS_ERR_MISUSE);
    VT_EQ(vs_search_batch(f.c, NULL, queries, 0, 0, 3, K, NULL, NULL, counts), VS_ERR_MISUSE);
    VT_EQ(vs_search_batch(f.c, NULL, queries, 0, 0, 3, K, NULL, hits, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_search_batch(NULL, NULL, queries, 0, 0, 3, K, NULL, hits, counts), VS_ERR_MISUSE);
    end(&f);
}

VT_TEST(a_radius_has_all_that_are_not_farther_and_their_number) {
    for (size_t m = 0; m < 4; m++) {
        fixture f;
        static vs_hit all[RECORDS], hits[RECORDS + 1];
        float query[DIM];
        size_t n = 0, count = 0;
        uint64_t total = 0;
        begin(&f, metrics[m]);
        for (int round = 0; round < 20; round++) {
            fill(query, &f.rng);
            VT_OK(vs_search(f.c, NULL, query, 0, RECORDS, NULL, all, &n), f.c);
            VT_EQ(n, RECORDS);
            size_t at = vt_below(&f.rng, RECORDS), room = vt_below(&f.rng, RECORDS + 2), within = 0;
            double radius = round == 0   ? -INFINITY
                            : round == 1 ? INFINITY
                            : round % 2  ? all[at].distance /* a border belongs to it */
                                         : nextafter(all[at].distance, -INFINITY);
            while (within < RECORDS && all[within].distance <= radius)
                within++;
            VT_OK(vs_search_radius(f.c, NULL, query, 0, radius, NULL, room, hits, &count, &total),
                  f.c);
            VT_EQ(total, within);
            VT_EQ(count, within < room ? within : room);
            VT_CHECK(is_same(hits, all, count));
            VT_OK(vs_search_radius(f.c, NULL, query, 0, radius, NULL, 0, NULL, &count, &total),
                  f.c);
            VT_CHECK(count == 0 && total == within);
            VT_OK(vs_search_radius(f.c, NULL, query, 0, radius, NULL, room, hits, &count, NULL),
                  f.c);
        }
        end(&f);
    }
}

VT_TEST(a_radius_that_is_no_number_is_refused) {
    fixture f;
    float query[DIM] = {0};
    vs_hit hit;
    size_t n = 7;
    uint64_t total = 7;
    begin(&f, VS_L2);
    VT_EQ(vs_search_radius(f.c, NULL, query, 0, NAN, NULL, 1, &hit, &n, &total), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(f.c), "radius");
    VT_CHECK(n == 7 && total == 7);
    VT_EQ(vs_search_radius(f.c, NULL, NULL, 0, 1, NULL, 1, &hit, &n, &total), VS_ERR_MISUSE);
    VT_EQ(vs_search_radius(f.c, NULL, query, 0, 1, NULL, 1, NULL, &n, &total), VS_ERR_MISUSE);
    VT_EQ(vs_search_radius(f.c, NULL, query, 0, 1, NULL, 1, &hit, NULL, &total), VS_ERR_MISUSE);
    VT_EQ(vs_search_radius(NULL, NULL, query, 0, 1, NULL, 1, &hit, &n, &total), VS_ERR_MISUSE);
    end(&f);
}

VT_TEST(a_stored_record_finds_its_nearest_and_not_itself) {
    for (size_t m = 0; m < 4; m++) {
        fixture f;
        static vs_hit all[RECORDS], hits[RECORDS];
        size_t n = 0, count = 0;
        begin(&f, metrics[m]);
        for (uint64_t key = 0; key < RECORDS; key += 23) {
            VT_OK(vs_search(f.c, NULL, f.row[key], 0, RECORDS, NULL, all, &n), f.c);
            size_t self = 0;
            while (all[self].key.number != key)
                self++;
            memmove(all + self, all + self + 1, (n - self - 1) * sizeof *all);
            for (size_t k = 1; k <= RECORDS; k += 57) {
                VT_OK(vs_search_key(f.c, NULL, vs_key_u64(key), k, NULL, hits, &count), f.c);
                VT_EQ(count, k < RECORDS ? k : RECORDS - 1);
                VT_CHECK(is_same(hits, all, count));
            }
            for (size_t i = 0; i < 20; i++) { /* and each is as far as a search says */
                double distance = -1;
                VT_OK(vs_distance(f.c, NULL, vs_key_u64(key), vs_key_u64(all[i].key.number), NULL,
                                  &distance),
                      f.c);
                VT_CHECK(distance == all[i].distance);
            }
        }
        end(&f);
    }
}

VT_TEST(keys_that_do_not_exist_are_named_and_states_are_those_asked) {
    fixture f;
    vs_hit hits[K];
    size_t n = 0;
    double distance = 5;
    begin(&f, VS_L2);
    VT_EQ(vs_search_key(f.c, NULL, vs_key_u64(RECORDS), K, NULL, hits, &n), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(f.c), "no key 400");
    VT_EQ(vs_search_key(f.c, NULL, vs_key_u64(1), 0, NULL, hits, &n), VS_ERR_INVALID);
    VT_EQ(vs_distance(f.c, NULL, vs_key_u64(1), vs_key_u64(999), NULL, &distance),
          VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(f.c), "no key 999");
    VT_EQ(vs_distance(f.c, NULL, vs_key_u64(998), vs_key_u64(1), NULL, &distance),
          VS_ERR_NOT_FOUND);
    VT_CHECK(distance == 5);
    VT_OK(vs_distance(f.c, NULL, vs_key_u64(3), vs_key_u64(3), NULL, &distance), f.c);
    VT_CHECK(distance == 0);
    VT_EQ(vs_search_key(NULL, NULL, vs_key_u64(1), 1, NULL, hits, &n), VS_ERR_MISUSE);
    VT_EQ(vs_search_key(f.c, NULL, vs_key_u64(1), 1, NULL, NULL, &n), VS_ERR_MISUSE);
    VT_EQ(vs_search_key(f.c, NULL, vs_key_u64(1), 1, NULL, hits, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_distance(f.c, NULL, vs_key_u64(1), vs_key_u64(1), NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_distance(NULL, NULL, vs_key_u64(1), vs_key_u64(1), NULL, &distance), VS_ERR_MISUSE);
    vs_txn *old = sample_begin(f.s.db, VS_TXN_READ);
    VT_OK(vs_delete(f.c, NULL, vs_key_u64(3)), f.c);
    VT_EQ(vs_search_key(f.c, NULL, vs_key_u64(3), K, NULL, hits, &n), VS_ERR_NOT_FOUND);
    VT_OK(vs_search_key(f.c, old, vs_key_u64(3), K, NULL, hits, &n), f.c);
    VT_OK(vs_distance(f.c, old, vs_key_u64(3), vs_key_u64(4), NULL, &distance), f.c);
    uint64_t total = 0;
    VT_OK(vs_search_radius(f.c, old, f.row[3], 0, INFINITY, NULL, 0, NULL, &n, &total), f.c);
    VT_EQ(total, RECORDS);
    VT_OK(vs_search_radius(f.c, NULL, f.row[3], 0, INFINITY, NULL, 0, NULL, &n, &total), f.c);
    VT_EQ(total, RECORDS - 1);
    vs_rollback(old);
    end(&f);
}

VT_TEST(all_of_them_work_with_little_memory_and_in_the_mapped_file) {
    for (int maps = 0; maps < 2; maps++) {
        fixture f;
        vs_hit hits[K], again[K];
        size_t n = 0, m = 0, counts[1];
        double distance = 0;
        uint64_t total = 0;
        begin(&f, VS_L2);
        vs_collection_close(f.c);
        VT_OK(vs_close(f.s.db), f.s.db);
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        options.vfs = f.s.vfs;
        options.flags = maps ? VS_OPEN_MMAP : 0;
        options.memory_limit = maps ? 0 : 1;
        VT_OK(vs_open("t.vs", &options, &f.s.db), f.s.db);
        f.c = sample_collection(f.s.db, "c");
        for (uint64_t key = 0; key < RECORDS; key += 41) {
            VT_OK(vs_search_key(f.c, NULL, vs_key_u64(key), K, NULL, hits, &n), f.c);
            VT_OK(vs_distance(f.c, NULL, vs_key_u64(key), vs_key_u64(hits[K - 1].key.number), NULL,
                              &distance),
                  f.c);
            VT_CHECK(distance == hits[K - 1].distance);
            VT_OK(vs_search_radius(f.c, NULL, f.row[key], 0, distance, NULL, K, again, &m, &total),
                  f.c);
            VT_CHECK(m == K && total > K);
            VT_OK(vs_search_batch(f.c, NULL, f.row[key], 0, 0, 1, K, NULL, hits, counts), f.c);
            VT_CHECK(counts[0] == K && is_same(hits, again, K));
        }
        end(&f);
    }
}

/* ---- interrupting ----------------------------------------------------------------------------- */

/* A file system that interrupts the database in the middle of a read, after so many. */
static struct {
    const vs_vfs *below;
    vs_db *db;
    int left; /* 0: never */
} meddler;

static vs_status meddling_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                               size_t *out_bytes, char *why) {
    if (meddler.left && --meddler.left == 0)
        VT_EQ(vs_interrupt(meddler.db), VS_OK);
    return meddler.below->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

VT_TEST(a_search_that_is_interrupted_ends_and_the_next_one_does_not) {
    enum { MANY = 20000 };
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", DIM, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    vt_rng rng = {vt_seed()};
    float v[DIM];
    for (uint64_t key = 0; key < MANY; key++) {
        fill(v, &rng);
        sample_put(c, txn, key, v, NULL);
    }
    VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
    vs_collection_close(c);
    VT_OK(vs_close(s.db), s.db);
    vs_vfs vfs = *s.vfs;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vfs.read = meddling_read;
    meddler.below = s.vfs;
    options.vfs = &vfs;
    options.memory_limit = 1; /* all is read for each search */
    VT_OK(vs_open("t.vs", &options, &s.db), s.db);
    meddler.db = s.db;
    c = sample_collection(s.db, "c");
    for (int after = 1; after < 12; after++) {
        vs_hit hits[2 * K];
        size_t n = 77, counts[2];
        uint64_t total = 77;
        const float queries[2][DIM] = {{0}, {1}};
        meddler.left = after;
        VT_EQ(vs_search(c, NULL, queries[0], 0, K, NULL, hits, &n), VS_ERR_INTERRUPTED);
        VT_CONTAINS(vs_errmsg(c), "interrupted");
        meddler.left = after;
        VT_EQ(vs_search_radius(c, NULL, queries[0], 0, 3, NULL, K, hits, &n, &total),
              VS_ERR_INTERRUPTED);
        meddler.left = after;
        VT_EQ(vs_search_batch(c, NULL, queries, 0, 0, 2, K, NULL, hits, counts),
              VS_ERR_INTERRUPTED);
        VT_CHECK(n == 77 && total == 77);
        VT_EQ(meddler.left, 0);
        VT_EQ(vs_interrupt(s.db), VS_OK); /* before the next one: that does not concern it */
        VT_OK(vs_search(c, NULL, queries[0], 0, K, NULL, hits, &n), c);
        VT_EQ(n, K);
    }
    VT_EQ(vs_interrupt(NULL), VS_ERR_MISUSE);
    vs_collection_close(c);
    VT_OK(vs_close(s.db), s.db);
    vs_vfs_memory_destroy(s.vfs);
}
