/* codes.c - two-phase search: a collection with codes answers as one without, bit for bit, whatever has become of both. */
#include "sample.h"
#include <math.h>

enum { DIM = 37, NEAREST = 10, BATCH = 40, FIRST = 1024 /* vectors before there are codes */ };

/* The same records twice. */
typedef struct fixture {
    sample s;
    vs_collection *plain, *coded;
    int type, metric;
    vt_rng rng;
} fixture;

static vs_collection *create(vs_db *db, const char *name, int type, int metric, const char *index) {
    vs_collection *coll = NULL;
    vs_collection_options shape = sample_options(DIM, type, metric);
    shape.index = index;
    VT_OK(vs_collection_create(db, NULL, name, &shape, &coll), db);
    return coll;
}

static void begin(fixture *f, int type, int metric, const char *index) {
    memset(f, 0, sizeof *f);
    f->rng.state = vt_seed() + (uint64_t)metric;
    f->s = sample_new();
    f->type = type;
    f->metric = metric;
    f->plain = create(f->s.db, "plain", type, metric, "flat");
    f->coded = create(f->s.db, "coded", type, metric, index);
}

static void close_both(fixture *f) {
    vs_collection_close(f->plain);
    vs_collection_close(f->coded);
}

static void open_both(fixture *f) {
    VT_OK(vs_collection_open(f->s.db, NULL, "plain", &f->plain), f->s.db);
    VT_OK(vs_collection_open(f->s.db, NULL, "coded", &f->coded), f->s.db);
}

static void end(fixture *f) {
    close_both(f);
    sample_end(&f->s);
}

/* Whole numbers, so that all types have them: near one of a few places, some equal, a few zero; of floats also long and short ones. */
static void fill(fixture *f, float *out) {
    uint64_t kind = vt_below(&f->rng, 60), place = vt_below(&f->rng, 5);
    float scale = 1;
    if (f->type == VS_F32 && kind == 1)
        scale = 1e15f;
    if (f->type == VS_F32 && kind == 2)
        scale = 1e-15f;
    for (uint64_t j = 0; j < DIM; j++) {
        float value = (float)((place + j * place * 7) % 50 + vt_below(&f->rng, kind < 4 ? 2 : 12));
        out[j] = kind == 0 ? 0 : scale * value;
    }
}

static void fill_apart(fixture *f, float out[DIM]) {
    for (int j = 0; j < DIM; j++)
        out[j] = (float)vt_uniform(&f->rng);
}

static void put_vector(fixture *f, vs_txn *txn, uint64_t key, const float vector[DIM]) {
    vs_record r = VS_RECORD_INIT;
    r.key = vs_key_u64(key);
    r.vector = vector;
    r.vector_type = VS_F32;
    VT_OK(vs_put(f->plain, txn, &r, VS_UPSERT), txn ? (void *)txn : (void *)f->plain);
    VT_OK(vs_put(f->coded, txn, &r, VS_UPSERT), txn ? (void *)txn : (void *)f->coded);
}

static void put(fixture *f, vs_txn *txn, uint64_t key) {
    float vector[DIM];
    fill(f, vector);
    put_vector(f, txn, key, vector);
}

static void erase(fixture *f, vs_txn *txn, uint64_t key) {
    VT_OK(vs_delete(f->plain, txn, vs_key_u64(key)), f->plain);
    VT_OK(vs_delete(f->coded, txn, vs_key_u64(key)), f->coded);
}

static void put_some(fixture *f, uint64_t first, uint64_t n) {
    vs_txn *txn = NULL;
    VT_OK(vs_begin(f->s.db, VS_TXN_WRITE, &txn), f->s.db);
    for (uint64_t i = 0; i < n; i++)
        put(f, txn, first + i);
    VT_OK(vs_commit(txn, 0), f->s.db);
}

static void same_hits(const vs_hit *a, size_t n, const vs_hit *b, size_t m) {
    VT_EQ(n, m);
    for (size_t i = 0; i < n && i < m; i++) {
        VT_EQ(a[i].key.number, b[i].key.number);
        VT_CHECK(a[i].distance == b[i].distance);
    }
}

/* One query by each way of asking. Returns how many distances the coded one has computed. */
static uint64_t compare_one(const fixture *f, vs_txn *txn, const float *query, size_t k) {
    static vs_hit a[4000], b[4000];
    size_t n = 0, m = 0;
    uint64_t total = 0, coded_total = 0;
    vs_search_info info = VS_SEARCH_INFO_INIT;
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    options.info = &info;
    VT_OK(vs_search(f->plain, txn, query, VS_F32, k, NULL, a, &n), f->plain);
    VT_OK(vs_search(f->coded, txn, query, VS_F32, k, &options, b, &m), f->coded);
    same_hits(a, n, b, m);
    VT_CHECK(info.scored <= info.rows && info.scored >= m);
    double radius = n ? a[n / 2].distance : 1;
    VT_OK(vs_search_radius(f->plain, txn, query, VS_F32, radius, NULL, 50, a, &n, &total),
          f->plain);
    VT_OK(vs_search_radius(f->coded, txn, query, VS_F32, radius, NULL, 50, b, &m, &coded_total),
          f->coded);
    same_hits(a, n, b, m);
    VT_EQ(total, coded_total);
    return info.scored;
}

static void compare_batch(fixture *f, vs_txn *txn, size_t count) {
    static float query[BATCH][DIM];
    static vs_hit a[BATCH * NEAREST], b[BATCH * NEAREST];
    size_t n[BATCH], m[BATCH];
    for (size_t i = 0; i < count; i++)
        fill(f, query[i]);
    VT_OK(vs_search_batch(f->plain, txn, query, VS_F32, 0, count, NEAREST, NULL, a, n), f->plain);
    VT_OK(vs_search_batch(f->coded, txn, query, VS_F32, 0, count, NEAREST, NULL, b, m), f->coded);
    for (size_t i = 0; i < count; i++)
        same_hits(a + i * NEAREST, n[i], b + i * NEAREST, m[i]);
}

static void compare(fixture *f, vs_txn *txn) {
    float query[DIM];
    for (int i = 0; i < 12; i++) {
        fill(f, query);
        compare_one(f, txn, query, i % 3 ? NEAREST : 1 + vt_below(&f->rng, 3000));
    }
    compare_batch(f, txn, 3);
    compare_batch(f, txn, BATCH);
}

static void no_problem(void *ctx, const char *problem) {
    (void)ctx;
    vt_fail(__FILE__, __LINE__, "vs_check: %s", problem);
}

static void check(const fixture *f) {
    uint64_t problems = 0;
    VT_OK(vs_check(f->s.db, 3, no_problem, NULL, &problems), f->s.db);
    VT_EQ(problems, 0);
}

/* Whether codes spare distances; of vectors as long as each other. */
static bool spares(fixture *f) {
    float query[DIM];
    uint64_t scored = 0, count = 0;
    VT_OK(vs_count(f->coded, NULL, &count), f->coded);
    for (int i = 0; i < 20; i++) {
        fill(f, query);
        scored += compare_one(f, NULL, query, 5);
    }
    return scored < 20 * count * 3 / 4;
}

/* ---- all kinds ------------------------------------------------------------------------------ */

static void try_kind(int type, int metric, const char *index) {
    fixture f;
    begin(&f, type, metric, index);
    put_some(&f, 1, FIRST - 3);
    compare(&f, NULL);
    put_some(&f, FIRST - 2, 400); /* now there are codes */
    compare(&f, NULL);
    for (int i = 0; i < 300; i++) { /* slots are used again */
        uint64_t key = 1 + vt_below(&f.rng, FIRST + 300);
        int exists = 0;
        VT_OK(vs_exists(f.plain, NULL, vs_key_u64(key), &exists), f.plain);
        if (exists && vt_below(&f.rng, 2))
            erase(&f, NULL, key);
        else
            put(&f, NULL, key);
    }
    compare(&f, NULL);
    check(&f);
    close_both(&f);
    sample_reopen(&f.s);
    open_both(&f);
    compare(&f, NULL);
    put_some(&f, 5000, 200);
    compare(&f, NULL);
    check(&f);
    end(&f);
}

VT_TEST(every_type_and_metric_with_codes_finds_what_it_finds_without) {
    static const char *const index[] = {"flat(codes=rq4)", "flat(codes=rq8)", "flat(codes=rq2)",
                                        "flat(codes=rq1)"};
    int at = 0;
    for (int type = VS_F32; type <= VS_I8; type++)
        for (int metric = VS_L2; metric <= VS_COSINE; metric++, at++)
            try_kind(type, metric, index[at % 4]);
}

VT_TEST(codes_of_halves_with_every_metric_find_what_is_found_without) {
    for (int metric = VS_L2; metric <= VS_COSINE; metric++) {
        try_kind(VS_F32, metric, "flat(codes=f16)");
        try_kind(VS_F32, metric, "flat(codes=bf16)");
    }
    try_kind(VS_F16, VS_L2, "flat(codes=bf16)");
    try_kind(VS_BF16, VS_IP, "flat(codes=f16)");
    try_kind(VS_U8, VS_COSINE, "flat(codes=f16)");
}

/* ---- versions ------------------------------------------------------------------------------- */

static vs_txn *begin_txn(const fixture *f, int kind) {
    vs_txn *txn = NULL;
    VT_OK(vs_begin(f->s.db, kind, &txn), f->s.db);
    return txn;
}

/* Codes that a transaction has begun and taken back, as a whole or in part, are begun again. */
VT_TEST(codes_of_a_transaction_that_is_rolled_back_leave_nothing_behind) {
    for (int way = 0; way < 2; way++) {
        fixture f;
        uint32_t savepoint = 0;
        begin(&f, VS_F32, VS_L2, "flat(codes=rq4)");
        put_some(&f, 1, FIRST - 10);
        vs_txn *txn = begin_txn(&f, VS_TXN_WRITE);
        VT_OK(vs_savepoint(txn, &savepoint), txn);
        for (uint64_t key = 1; key < 200; key++)
            put(&f, txn, way ? key : 3000 + key);
        compare(&f, txn);
        if (way == 0) {
            vs_rollback(txn);
        } else {
            VT_OK(vs_rollback_to(txn, savepoint), txn);
            compare(&f, txn);
            VT_OK(vs_commit(txn, 0), f.s.db);
        }
        compare(&f, NULL);
        check(&f);
        put_some(&f, 300, 900); /* other vectors in the same slots */
        compare(&f, NULL);
        check(&f);
        VT_OK(vs_checkpoint(f.s.db), f.s.db);
        close_both(&f);
        sample_reopen(&f.s);
        open_both(&f);
        compare(&f, NULL);
        check(&f);
        end(&f);
    }
}

VT_TEST(snapshots_from_before_and_after_there_were_codes_stay_as_they_are) {
    fixture f;
    enum { SNAPSHOTS = 6 };
    vs_txn *snapshot[SNAPSHOTS];
    begin(&f, VS_F32, VS_COSINE, "flat(codes=rq4)");
    for (int i = 0; i < SNAPSHOTS; i++) {
        put_some(&f, 1 + (uint64_t)i * 350, 400);
        snapshot[i] = begin_txn(&f, VS_TXN_READ);
        for (int at = 0; at <= i; at++)
            compare(&f, snapshot[at]);
        if (i % 2)
            VT_OK(vs_checkpoint(f.s.db), f.s.db);
    }
    for (int i = 0; i < SNAPSHOTS; i++)
        vs_rollback(snapshot[i]);
    end(&f);
}

VT_TEST(a_search_that_goes_on_meets_all_records_in_order) {
    fixture f;
    float query[DIM];
    uint64_t steps = 0;
    vs_cursor *a = NULL, *b = NULL;
    begin(&f, VS_F32, VS_L2, "flat(codes=rq4)");
    put_some(&f, 1, 1500);
    fill(&f, query);
    VT_OK(vs_search_open(f.plain, NULL, query, VS_F32, NULL, &a), f.plain);
    VT_OK(vs_search_open(f.coded, NULL, query, VS_F32, NULL, &b), f.coded);
    for (;;) {
        vs_hit one, other;
        vs_status st = vs_step(a);
        VT_EQ(vs_step(b), st);
        if (st != VS_ROW)
            break;
        VT_OK(vs_cursor_hit(a, &one), a);
        VT_OK(vs_cursor_hit(b, &other), b);
        same_hits(&one, 1, &other, 1);
        steps++;
    }
    VT_EQ(steps, 1500);
    vs_cursor_close(a);
    vs_cursor_close(b);
    end(&f);
}

VT_TEST(most_distances_are_never_computed_and_the_caller_is_told) {
    fixture f;
    begin(&f, VS_F16, VS_L2, "flat(codes=rq8)");
    put_some(&f, 1, FIRST - 1);
    VT_CHECK(!spares(&f));
    put_some(&f, FIRST, 2000);
    VT_CHECK(spares(&f));
    end(&f);
}

/* How many distances are computed to find all within a radius and are not within it, a query. */
static double looked_at_in_vain(fixture *f, int queries) {
    uint64_t scored = 0, within = 0;
    for (int q = 0; q < queries; q++) {
        static vs_hit hits[NEAREST];
        float query[DIM];
        size_t n = 0;
        uint64_t total = 0;
        vs_search_info info = VS_SEARCH_INFO_INIT;
        vs_search_options options = VS_SEARCH_OPTIONS_INIT;
        options.info = &info;
        fill_apart(f, query);
        VT_OK(vs_search(f->coded, NULL, query, VS_F32, NEAREST, NULL, hits, &n), f->coded);
        VT_OK(vs_search_radius(f->coded, NULL, query, VS_F32, hits[NEAREST - 1].distance, &options,
                               NEAREST, hits, &n, &total),
              f->coded);
        scored += info.scored;
        within += total;
    }
    return (double)(scored - within) / queries;
}

/* With vectors that are apart. The same ones by rq8 show that it is no small thing. */
VT_TEST(codes_of_halves_leave_hardly_more_rows_than_there_are_hits) {
    static const char *const index[] = {"flat(codes=rq8)", "flat(codes=f16)", "flat(codes=bf16)"};
    double in_vain[3];
    for (int i = 0; i < 3; i++) {
        fixture f;
        begin(&f, VS_F32, VS_L2, index[i]);
        for (uint64_t key = 1; key <= 3000; key++) {
            float vector[DIM];
            fill_apart(&f, vector);
            put_vector(&f, NULL, key, vector);
        }
        in_vain[i] = looked_at_in_vain(&f, 50);
        end(&f);
    }
    VT_CHECK(in_vain[0] > 1);
    VT_CHECK(in_vain[1] <= 0.3 && in_vain[2] <= 1);
}

/* ---- recovery and damage -------------------------------------------------------------------- */

VT_TEST(codes_are_there_again_after_a_crash_wherever_the_checkpoint_was) {
    for (int at = 0; at < 4; at++) { /* checkpoints before codes, with them, and later */
        fixture f;
        begin(&f, VS_F16, VS_L2, "flat(codes=rq8)");
        for (int i = 0; i < 4; i++) {
            put_some(&f, 1 + (uint64_t)i * 450, 500);
            if (i == at)
                VT_OK(vs_checkpoint(f.s.db), f.s.db);
        }
        sample copy = sample_after_kill(&f.s);
        close_both(&f);
        sample_end(&f.s);
        f.s = copy;
        open_both(&f);
        VT_CHECK(spares(&f));
        compare(&f, NULL);
        check(&f);
        put_some(&f, 100, 100);
        compare(&f, NULL);
        check(&f);
        end(&f);
    }
}

/* Changes a byte of the file; again, and it is as before. */
static void flip(vs_vfs *vfs, uint64_t at) {
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    uint8_t byte = 0;
    size_t n = 0;
    VT_EQ(vfs->open(vfs->ctx, "t.vs", VS_VFS_READ | VS_VFS_WRITE, &file, why), VS_OK);
    VT_EQ(vfs->read(vfs->ctx, file, &byte, 1, at, &n, why), VS_OK);
    byte ^= 0x10;
    VT_EQ(vfs->write(vfs->ctx, file, &byte, 1, at, &n, why), VS_OK);
    vfs->close(vfs->ctx, file);
}

/* 512 rows of 48 bytes; nothing else in the file is as large. */
#define SLAB_OF_CODES "(24576 bytes)"

static void look_for_codes(void *ctx, const char *problem) {
    if (strstr(problem, SLAB_OF_CODES))
        *(bool *)ctx = true;
}

static bool has_damaged_codes(const fixture *f) {
    uint64_t problems = 0;
    bool has = false;
    VT_OK(vs_check(f->s.db, 3, look_for_codes, &has, &problems), f->s.db);
    VT_CHECK(problems > 0 || !has);
    return has;
}

/* Opens the damaged file. True: it is codes that are damaged. All is found as before; a change and two checkpoints mend
 * it. */
static bool mends(fixture *f, const float *query) {
    vs_hit a[NEAREST], b[NEAREST];
    size_t n = 0, m = 0;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.vfs = f->s.vfs;
    if (vs_open("t.vs", &options, &f->s.db) != VS_OK || !has_damaged_codes(f))
        return false;
    open_both(f);
    VT_OK(vs_search(f->plain, NULL, query, VS_F32, NEAREST, NULL, a, &n), f->plain);
    VT_OK(vs_search(f->coded, NULL, query, VS_F32, NEAREST, NULL, b, &m), f->coded);
    same_hits(a, n, b, m);
    for (uint64_t i = 0; i < 2; i++) {
        put(f, NULL, 7 + i);
        VT_OK(vs_checkpoint(f->s.db), f->s.db);
    }
    compare(f, NULL);
    check(f);
    return true;
}

VT_TEST(damaged_codes_are_made_anew_and_change_no_answer) {
    fixture f;
    float query[DIM];
    int mended = 0;
    begin(&f, VS_F32, VS_L2, "flat(codes=rq4)");
    put_some(&f, 1, 1400);
    fill(&f, query);
    close_both(&f);
    VT_OK(vs_close(f.s.db), f.s.db);
    uint64_t bytes = sample_file_bytes(f.s.vfs);
    for (uint64_t at = 131072 + vt_below(&f.rng, 4096); at < bytes; at += 4096) {
        fixture copy = f;
        VT_EQ(vs_vfs_memory_create(NULL, &copy.s.vfs), VS_OK);
        VT_CHECK(sample_copy_file(f.s.vfs, copy.s.vfs, "t.vs"));
        copy.plain = copy.coded = NULL;
        copy.s.db = NULL;
        flip(copy.s.vfs, at);
        mended += mends(&copy, query);
        close_both(&copy);
        vs_close(copy.s.db);
        vs_vfs_memory_destroy(copy.s.vfs);
    }
    VT_EQ(mended, 3 * 6); /* slabs, and pages of each */
    vs_vfs_memory_destroy(f.s.vfs);
}

/* ---- lost parameters ------------------------------------------------------------------------ */

enum { WIDE = 400 }; /* so many dims that parameters are an extent of their own */

static uint64_t find_parameters(vs_vfs *vfs) {
    static const uint8_t first[16] = {1, 0, 0, 0, 4, VS_L2, 0, 0, WIDE & 255, WIDE >> 8};
    char why[VS_VFS_WHY_BYTES];
    uint8_t page[4096];
    void *file = NULL;
    size_t n = 4096;
    VT_EQ(vfs->open(vfs->ctx, "t.vs", VS_VFS_READ, &file, why), VS_OK);
    for (uint64_t at = 131072; n == 4096; at += 4096) {
        VT_EQ(vfs->read(vfs->ctx, file, page, 4096, at, &n, why), VS_OK);
        for (size_t i = 0; i + sizeof first <= n; i++)
            if (!memcmp(page + i, first, sizeof first)) {
                vfs->close(vfs->ctx, file);
                return at + i + 40;
            }
    }
    vt_fail(__FILE__, __LINE__, "the file has no parameters");
    return 0;
}

static void put_wide(vs_collection *coll, uint64_t key, vt_rng *rng) {
    float vector[WIDE];
    vs_record r = VS_RECORD_INIT;
    for (int j = 0; j < WIDE; j++)
        vector[j] = (float)(3 + vt_uniform(rng));
    r.key = vs_key_u64(key);
    r.vector = vector;
    VT_OK(vs_put(coll, NULL, &r, VS_UPSERT), coll);
}

/* The nearest to the origin; returns how many distances were computed. */
static uint64_t look_wide(vs_collection *coll, vs_hit *hits) {
    float query[WIDE];
    size_t n = 0;
    vs_search_info info = VS_SEARCH_INFO_INIT;
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    options.info = &info;
    for (int j = 0; j < WIDE; j++)
        query[j] = (float)(3.2 + 0.001 * j);
    VT_OK(vs_search(coll, NULL, query, VS_F32, NEAREST, &options, hits, &n), coll);
    VT_EQ(n, NEAREST);
    return info.scored;
}

VT_TEST(without_their_parameters_codes_are_made_anew_after_the_next_opening) {
    sample s = sample_new();
    vt_rng rng = {vt_seed()};
    vs_collection *coll = NULL;
    vs_collection_options shape = sample_options(WIDE, VS_F32, VS_L2);
    vs_hit hits[NEAREST], expected[NEAREST];
    uint64_t problems = 0;
    shape.index = "flat(codes=rq4)";
    VT_OK(vs_collection_create(s.db, NULL, "wide", &shape, &coll), s.db);
    for (uint64_t key = 1; key <= 1100; key++)
        put_wide(coll, key, &rng);
    VT_CHECK(look_wide(coll, expected) < 1100);
    vs_collection_close(coll);
    VT_OK(vs_close(s.db), s.db);
    flip(s.vfs, find_parameters(s.vfs));
    for (int session = 0; session < 2; session++) { /* nothing is written in the first */
        s.db = sample_open(s.vfs, "t.vs", 0);
        VT_OK(vs_collection_open(s.db, NULL, "wide", &coll), s.db);
        VT_EQ(look_wide(coll, hits), 1100);
        same_hits(hits, NEAREST, expected, NEAREST);
        VT_OK(vs_check(s.db, 3, NULL, NULL, &problems), s.db);
        VT_CHECK(problems > 0);
        if (session == 1) {
            VT_OK(vs_delete(coll, NULL, expected[0].key), coll);
            put_wide(coll, 2000, &rng);
            VT_EQ(look_wide(coll, expected), 1100);
        }
        vs_collection_close(coll);
        VT_OK(vs_close(s.db), s.db);
    }
    s.db = sample_open(s.vfs, "t.vs", 0);
    VT_OK(vs_collection_open(s.db, NULL, "wide", &coll), s.db);
    VT_EQ(look_wide(coll, hits), 1100);
    same_hits(hits, NEAREST, expected, NEAREST);
    vs_txn *txn = NULL; /* whatever becomes of the first try */
    VT_OK(vs_begin(s.db, VS_TXN_WRITE, &txn), s.db);
    VT_OK(vs_delete(coll, txn, vs_key_u64(2000)), txn);
    vs_rollback(txn);
    for (uint64_t key = 3000; key < 3010; key++)
        put_wide(coll, key, &rng);
    for (uint64_t key = 3000; key < 3010; key++)
        VT_OK(vs_delete(coll, NULL, vs_key_u64(key)), coll);
    VT_CHECK(look_wide(coll, hits) < 1100);
    same_hits(hits, NEAREST, expected, NEAREST);
    for (uint64_t key = 3000; key < 3002;
         key++) { /* the checkpoint before is one without damage, too */
        put_wide(coll, key, &rng);
        VT_OK(vs_checkpoint(s.db), s.db);
    }
    VT_OK(vs_check(s.db, 3, no_problem, NULL, &problems), s.db);
    VT_EQ(problems, 0);
    vs_collection_close(coll);
    sample_end(&s);
}

VT_TEST(figures_of_a_search_are_written_as_far_as_the_caller_knows_them) {
    fixture f;
    float query[DIM] = {0};
    vs_hit hits[NEAREST];
    size_t n = 0;
    vs_search_info info = VS_SEARCH_INFO_INIT;
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    begin(&f, VS_F32, VS_L2, "flat(codes=rq4)");
    put_some(&f, 1, 20);
    options.info = &info;
    VT_OK(vs_search(f.coded, NULL, query, VS_F32, NEAREST, &options, hits, &n), f.coded);
    VT_EQ(info.rows, 20);
    VT_EQ(info.scored, 20); /* there are no codes of so few */
    info.size = 0;
    info.rows = 7;
    VT_EQ(vs_search(f.coded, NULL, query, VS_F32, NEAREST, &options, hits, &n), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(f.coded), "vs_search_info");
    VT_EQ(info.rows, 7);
    end(&f);
}

/* ---- around --------------------------------------------------------------------------------- */

VT_TEST(an_index_that_there_is_not_is_refused_naming_what_there_is) {
    static const struct {
        int type, metric;
        const char *index, *part;
    } wrong[] = {{VS_F32, VS_L2, "flat(codes=rq3)", "expected 'auto', 'flat'"},
                 {VS_F32, VS_L2, "flat(codes=rq4", "flat(codes=rq4'"},
                 {VS_F32, VS_L2, "hnsw", "'hnsw'"},
                 {VS_F32, VS_L2, "flat(codes=f32)", "f16, bf16 there"},
                 {VS_F32, VS_L1, "flat(codes=rq4)", "l1"},
                 {VS_BF16, VS_L1, "flat(codes=bf16)", "l1"},
                 {VS_BIT, VS_HAMMING, "flat(codes=rq4)", "bit"}};
    sample s = sample_new();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        vs_collection_options shape = sample_options(DIM, wrong[i].type, wrong[i].metric);
        shape.index = wrong[i].index;
        VT_EQ(vs_collection_create(s.db, NULL, "c", &shape, NULL), VS_ERR_INVALID);
        VT_CONTAINS(vs_errmsg(s.db), wrong[i].part);
    }
    sample_end(&s);
}

VT_TEST(a_copy_has_codes_of_its_own_and_a_drop_takes_them_along) {
    fixture f;
    begin(&f, VS_F16, VS_L2, "flat(codes=rq8)");
    put_some(&f, 1, 1500);
    vs_collection *copy = NULL;
    VT_OK(vs_collection_copy(f.coded, NULL, "again", &copy), f.coded);
    VT_OK(vs_collection_drop(f.coded, NULL), f.coded);
    vs_collection_close(f.coded);
    f.coded = copy;
    VT_CHECK(spares(&f));
    compare(&f, NULL);
    VT_OK(vs_checkpoint(f.s.db), f.s.db);
    VT_OK(vs_checkpoint(f.s.db), f.s.db);
    check(&f);
    compare(&f, NULL);
    end(&f);
}
