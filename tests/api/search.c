/* search.c - exact search against plain loops in double precision and in whole numbers, for every
 * set of kernels that the machine can run. */
#include "sample.h"
#include <float.h>
#include <math.h>

enum { ROWS_MAX = 3000, DIM_MAX = 4096, CPUS_MAX = 8, CPU_BYTES = 32 };

/* Every set of kernels by name. */
typedef struct cpus {
    char name[CPUS_MAX][CPU_BYTES];
    int count;
} cpus;

static cpus all_cpus(void) {
    cpus all = {{{0}}, 0};
    const char *p = vs_cpu_features();
    while (*p) {
        size_t n = strcspn(p, " ");
        VT_CHECK(n > 0 && n < CPU_BYTES && all.count < CPUS_MAX);
        memcpy(all.name[all.count++], p, n);
        p += n + (p[n] == ' ');
    }
    VT_CHECK(all.count > 0);
    return all;
}

/* ---- a collection and a copy of what is in it ----------------------------------------------- */

typedef struct table {
    vs_collection *c;
    int type, metric;
    bool is_scaled; /* rows of large numbers */
    uint32_t dim;
    size_t count;
    uint64_t keys[ROWS_MAX];
    bool is_there[ROWS_MAX];
    void *rows; /* [ROWS_MAX x dim] of the type */
} table;

static size_t element_bytes(int type) {
    return type == VS_F32 ? sizeof(float) : 1;
}

static void *row_at(const table *t, size_t i) {
    return (uint8_t *)t->rows + i * t->dim * element_bytes(t->type);
}

static void table_open(table *t, vs_db *db, const char *name, uint32_t dim, int type, int metric,
                       size_t rows) {
    memset(t, 0, sizeof *t);
    t->c = sample_create(db, NULL, name, dim, type, metric);
    t->type = type;
    t->metric = metric;
    t->dim = dim;
    t->count = rows;
    VT_CHECK(rows <= ROWS_MAX);
    t->rows = calloc(rows ? rows : 1, dim * element_bytes(type));
    VT_CHECK(t->rows);
}

static void table_close(table *t) {
    vs_collection_close(t->c);
    free(t->rows);
}

static void table_put(table *t, vs_txn *txn, size_t i) {
    sample_put(t->c, txn, t->keys[i], row_at(t, i), NULL);
    t->is_there[i] = true;
}

static void table_put_all(table *t) {
    vs_batch batch = VS_BATCH_INIT;
    batch.count = t->count;
    batch.numbers = t->keys;
    batch.vectors = t->rows;
    VT_OK(vs_put_batch(t->c, NULL, &batch, VS_INSERT), t->c);
    for (size_t i = 0; i < t->count; i++)
        t->is_there[i] = true;
}

static void fill_random(vt_rng *rng, int type, void *vector, size_t n) {
    float *f = vector;
    uint8_t *u = vector;
    for (size_t i = 0; i < n; i++)
        if (type == VS_F32)
            f[i] = (float)(2 * vt_uniform(rng) - 1);
        else
            u[i] = (uint8_t)vt_random(rng);
}

/* Random rows under keys in no order. */
static void table_fill(table *t, vt_rng *rng) {
    fill_random(rng, t->type, t->rows, t->count * t->dim);
    for (size_t i = 0; i < t->count; i++)
        t->keys[i] = (i * 7919) % 100003 + (i % 3 == 0 ? (uint64_t)1 << 40 : 0);
}

/* ---- what is expected ----------------------------------------------------------------------- */

static double element(int type, const void *v, size_t i) {
    return type == VS_F32 ? (double)((const float *)v)[i] : (double)((const uint8_t *)v)[i];
}

/* Whole numbers of u8 vectors are exact in double: 65535 x 255 x 255 is far below 2^53. */
static double expected_distance(int type, int metric, const void *a, const void *b, size_t dim) {
    double l2 = 0, dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < dim; i++) {
        double x = element(type, a, i), y = element(type, b, i);
        l2 += (x - y) * (x - y);
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    if (metric == VS_L2)
        return l2;
    if (metric == VS_IP)
        return 0 - dot;
    return aa == 0 || bb == 0 ? 1 : 1 - dot / (sqrt(aa) * sqrt(bb));
}

/* The sum of the terms' sizes. */
static double terms_of_dot(const float *a, const float *b, size_t dim) {
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += fabs((double)a[i] * (double)b[i]);
    return sum;
}

/* How far the distance of a row may be from the expected one (DESIGN.md section 3): nothing in
 * whole numbers; a sum of squares has no cancellation, so its error goes with its size. Where large
 * numbers cancel, the error of an inner product goes with its terms instead. */
static double tolerance(const table *t, const void *query, size_t row, double expected) {
    if (t->metric == VS_COSINE)
        return t->type == VS_U8 ? 1e-12 : 2e-6;
    if (t->type == VS_U8)
        return 0;
    if (t->metric == VS_L2)
        return 1e-5 * expected;
    if (t->is_scaled)
        return 1e-6 * terms_of_dot(query, row_at(t, row), t->dim);
    return 1e-5 * (fabs(expected) > 1 ? fabs(expected) : 1);
}

static bool is_sorted(const vs_hit *hits, size_t n) {
    for (size_t i = 1; i < n; i++) {
        bool is_later = hits[i - 1].distance < hits[i].distance ||
                        (hits[i - 1].distance == hits[i].distance &&
                         hits[i - 1].key.number < hits[i].key.number);
        if (!is_later)
            return false;
    }
    return true;
}

/* Hits must be the k nearest of the table, in order, at the right distances. */
static void check_hits(const table *t, const void *query, size_t k, const vs_hit *hits, size_t n) {
    size_t live = 0, found = 0;
    for (size_t i = 0; i < t->count; i++)
        live += t->is_there[i];
    VT_EQ(n, live < k ? live : k);
    VT_CHECK(is_sorted(hits, n));
    for (size_t i = 0; i < t->count; i++) {
        if (!t->is_there[i])
            continue;
        double d = expected_distance(t->type, t->metric, query, row_at(t, i), t->dim);
        double slack = tolerance(t, query, i, d);
        size_t at = 0;
        while (at < n && hits[at].key.number != t->keys[i])
            at++;
        if (at < n) {
            found++;
            if (!(fabs(hits[at].distance - d) <= slack))
                vt_fail(__FILE__, __LINE__, "dim %u, type %d, metric %d: %.17g, expected %.17g",
                        t->dim, t->type, t->metric, hits[at].distance, d);
        } else if (n < live) { /* whoever is left out is not nearer, nor as near with a lower key */
            double last = hits[n - 1].distance;
            VT_CHECK(slack == 0 ? d > last || (d == last && t->keys[i] > hits[n - 1].key.number)
                                : d >= last - slack);
        }
    }
    VT_EQ(found, n);
}

static void check_search(table *t, vs_txn *txn, const void *query, size_t k) {
    static vs_hit hits[ROWS_MAX + 10];
    size_t n = 0;
    VT_OK(vs_search(t->c, txn, query, 0, k, NULL, hits, &n), t->c);
    check_hits(t, query, k, hits, n);
}

static vs_db *open_cpu(vs_vfs *vfs, const char *path, const char *cpu) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.vfs = vfs;
    options.flags = VS_OPEN_CREATE;
    options.cpu = cpu;
    options.sync = VS_SYNC_OFF;
    VT_OK(vs_open(path, &options, &db), db);
    return db;
}

typedef void table_test(vs_db *db, int type, int metric);

/* For each set of kernels, element type and metric. */
static void for_all(table_test *test) {
    cpus all = all_cpus();
    for (int i = 0; i < all.count; i++) {
        vs_vfs *vfs = NULL;
        VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
        vs_db *db = open_cpu(vfs, "t.vs", all.name[i]);
        for (int type = VS_F32; type <= VS_U8; type++)
            for (int metric = VS_L2; metric <= VS_COSINE; metric++)
                test(db, type, metric);
        VT_OK(vs_close(db), db);
        vs_vfs_memory_destroy(vfs);
    }
}

static void name_for(char name[64], const char *what, int type, int metric, size_t n) {
    snprintf(name, 64, "%s-%d-%d-%zu", what, type, metric, n);
}

/* ---- dimensions ----------------------------------------------------------------------------- */

static table the_table;

static void search_dim(vs_db *db, int type, int metric, uint32_t dim, size_t rows) {
    static float query[DIM_MAX]; /* room for either type */
    table *t = &the_table;
    char name[64];
    vt_rng rng = {vt_mix(vt_seed() ^ dim)};
    name_for(name, "dim", type, metric, dim);
    table_open(t, db, name, dim, type, metric, rows);
    table_fill(t, &rng);
    table_put_all(t);
    for (size_t k = 1; k <= rows + 1; k += rows / 3) {
        fill_random(&rng, type, query, dim);
        check_search(t, NULL, query, k);
    }
    check_search(t, NULL, row_at(t, rows / 2), 3);
    table_close(t);
}

static void search_dims_to_70(vs_db *db, int type, int metric) {
    for (uint32_t dim = 1; dim <= 70; dim++)
        search_dim(db, type, metric, dim, 30);
}

VT_TEST(the_nearest_are_found_in_every_dimension_from_1_to_70) {
    for_all(search_dims_to_70);
}

static void search_large_dims(vs_db *db, int type, int metric) {
    const uint32_t dims[] = {127, 128, 129, 384, 511, 768, 784, 960, 1023, 1536, 4095, 4096};
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++)
        search_dim(db, type, metric, dims[i], 21);
}

VT_TEST(the_nearest_are_found_in_hundreds_and_thousands_of_dimensions) {
    for_all(search_large_dims);
}

static void search_largest_dim(vs_db *db, int type, int metric) {
    static float far[VS_DIM_MAX], near[VS_DIM_MAX]; /* room for either type */
    uint8_t *u = (uint8_t *)far, *w = (uint8_t *)near;
    char name[64];
    vs_hit hits[2];
    size_t n = 0;
    for (size_t i = 0; i < VS_DIM_MAX; i++)
        if (type == VS_F32) {
            far[i] = 255;
            near[i] = i % 2 ? 0 : 1.0f;
        } else {
            u[i] = 255;
            w[i] = 0;
        }
    name_for(name, "largest", type, metric, VS_DIM_MAX);
    vs_collection *c = sample_create(db, NULL, name, VS_DIM_MAX, type, metric);
    sample_put(c, NULL, 1, far, NULL);
    sample_put(c, NULL, 2, near, NULL);
    VT_OK(vs_search(c, NULL, far, 0, 2, NULL, hits, &n), c);
    VT_EQ(n, 2);
    VT_EQ(hits[0].key.number, 1);
    for (int i = 0; i < 2; i++) {
        double d = expected_distance(type, metric, far, i ? near : far, VS_DIM_MAX);
        VT_CHECK(fabs(hits[i].distance - d) <= 1e-5 * fabs(d) + (metric == VS_COSINE ? 2e-6 : 0));
        VT_CHECK(type == VS_F32 || metric == VS_COSINE || hits[i].distance == d);
    }
    vs_collection_close(c);
}

VT_TEST(the_largest_sums_of_the_largest_dimension_do_not_overflow) {
    for_all(search_largest_dim);
}

/* ---- how many ------------------------------------------------------------------------------- */

static void search_counts(vs_db *db, int type, int metric) {
    const size_t counts[] = {1, 2, 127, 128, 129, 255, 256, 257, 1000, 2111};
    table *t = &the_table;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        size_t n = counts[i];
        char name[64];
        float query[5];
        vt_rng rng = {vt_mix(vt_seed() ^ n)};
        name_for(name, "count", type, metric, n);
        table_open(t, db, name, 5, type, metric, n);
        table_fill(t, &rng);
        table_put_all(t);
        const size_t ks[] = {1, n > 1 ? n - 1 : 1, n, n + 1, n + 9};
        for (size_t j = 0; j < sizeof ks / sizeof ks[0]; j++) {
            fill_random(&rng, type, query, 5);
            check_search(t, NULL, query, ks[j]);
        }
        table_close(t);
    }
}

VT_TEST(any_k_finds_as_many_as_there_are) {
    for_all(search_counts);
}

VT_TEST(an_empty_collection_has_no_hits) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    float v[2] = {1, 2};
    vs_hit hits[3];
    size_t n = 99;
    VT_OK(vs_search(c, NULL, v, 0, 3, NULL, hits, &n), c);
    VT_EQ(n, 0);
    sample_put(c, NULL, 1, v, NULL);
    VT_OK(vs_delete(c, NULL, vs_key_u64(1)), c);
    n = 99;
    VT_OK(vs_search(c, NULL, v, 0, 3, NULL, hits, &n), c);
    VT_EQ(n, 0);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(hits_behind_the_last_are_left_alone) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    float v[1] = {1};
    vs_hit hits[4] = {{VT_KEY(0), 0}, {VT_KEY(7), 7}, {VT_KEY(7), 7}, {VT_KEY(7), 7}};
    size_t n = 0;
    sample_put(c, NULL, 3, v, NULL);
    VT_OK(vs_search(c, NULL, v, 0, 4, NULL, hits, &n), c);
    VT_EQ(n, 1);
    VT_EQ(hits[0].key.number, 3);
    for (int i = 1; i < 4; i++)
        VT_CHECK(hits[i].key.number == 7 && hits[i].distance == 7);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- ties ----------------------------------------------------------------------------------- */

/* Hits that are copies of one vector must be those with the lowest keys of all its copies. */
static void check_lowest_keys(const table *t, const vs_hit *hits, size_t n) {
    const uint8_t *vector = NULL;
    size_t lower = 0, bytes = t->dim * element_bytes(t->type);
    for (size_t i = 0; i < t->count; i++)
        if (t->keys[i] == hits[0].key.number)
            vector = row_at(t, i);
    VT_CHECK(vector != NULL);
    for (size_t i = 0; i < t->count; i++)
        lower += t->keys[i] <= hits[n - 1].key.number && !memcmp(row_at(t, i), vector, bytes);
    VT_EQ(lower, n);
}

/* Many copies of few vectors, so that every k cuts through equal distances; in the order of the
 * copies' keys wherever they stand. */
static void search_ties(vs_db *db, int type, int metric) {
    enum { COPIES = 60, KINDS = 4, N = COPIES * KINDS, DIM = 45 };
    table *t = &the_table;
    static vs_hit hits[N];
    char name[64];
    vt_rng rng = {vt_seed()};
    name_for(name, "ties", type, metric, N);
    table_open(t, db, name, DIM, type, metric, N);
    fill_random(&rng, type, t->rows, (size_t)KINDS * DIM);
    for (size_t i = 0; i < N; i++) {
        t->keys[i] = (i * 101) % N; /* N and 101 have no common factor */
        if (i >= KINDS)
            memcpy(row_at(t, i), row_at(t, i % KINDS), DIM * element_bytes(type));
    }
    table_put_all(t);
    for (size_t k = 1; k <= N; k += 13) {
        size_t n = 0;
        VT_OK(vs_search(t->c, NULL, row_at(t, 0), 0, k, NULL, hits, &n), t->c);
        VT_EQ(n, k);
        VT_CHECK(is_sorted(hits, n));
        /* Copies of one vector are at one distance: groups of COPIES, each with its lowest keys. */
        for (size_t i = 1; i < n; i++)
            VT_EQ(hits[i].distance == hits[i - 1].distance, i % COPIES != 0);
        check_hits(t, row_at(t, 0), k, hits, n);
        check_lowest_keys(t, &hits[(n - 1) / COPIES * COPIES], (n - 1) % COPIES + 1);
    }
    table_close(t);
}

VT_TEST(equal_distances_come_by_ascending_key) {
    for_all(search_ties);
}

/* ---- cosine --------------------------------------------------------------------------------- */

static void search_zeros(vs_db *db, int type, int metric) {
    enum { DIM = 19, N = 8 };
    table *t = &the_table;
    static const float zero[DIM];
    char name[64];
    vs_hit hits[N];
    size_t n = 0;
    vt_rng rng = {vt_seed()};
    if (metric != VS_COSINE)
        return;
    name_for(name, "zeros", type, metric, N);
    table_open(t, db, name, DIM, type, metric, N);
    table_fill(t, &rng);
    for (size_t i = 0; i < N; i += 2)
        memset(row_at(t, i), 0, DIM * element_bytes(type));
    table_put_all(t);
    check_search(t, NULL, row_at(t, 1), N);
    VT_OK(vs_search(t->c, NULL, row_at(t, 1), 0, N, NULL, hits, &n), t->c);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j += 2)
            VT_CHECK(hits[i].key.number != t->keys[j] || hits[i].distance == 1);
    /* From zero, itself included, everything is at distance 1. */
    VT_OK(vs_search(t->c, NULL, zero, 0, N, NULL, hits, &n), t->c);
    VT_EQ(n, N);
    for (size_t i = 0; i < N; i++)
        VT_CHECK(hits[i].distance == 1 && (i == 0 || hits[i].key.number > hits[i - 1].key.number));
    table_close(t);
}

VT_TEST(a_vector_of_zeros_is_at_cosine_distance_1_from_everything) {
    for_all(search_zeros);
}

/* Lengths do not matter, and rounding leads neither below 0 nor above 2. */
static void search_directions(vs_db *db, int type, int metric) {
    enum { DIM = 33, N = 12 };
    static const float length[N] = {1,     1e-3f,  1e3f,  1e-18f, 1e18f,  1e-30f,
                                    1e30f, 1e-38f, 1e37f, 3,      1e-10f, 1e10f};
    table *t = &the_table;
    float base[DIM];
    static vs_hit hits[2 * N];
    size_t n = 0;
    char name[64];
    vt_rng rng = {vt_seed()};
    if (metric != VS_COSINE || type != VS_F32)
        return;
    name_for(name, "directions", type, metric, N);
    table_open(t, db, name, DIM, type, metric, 2 * N);
    for (size_t i = 0; i < DIM; i++)
        base[i] = (float)(0.5 + vt_uniform(&rng));
    for (size_t i = 0; i < 2 * N; i++) {
        t->keys[i] = i;
        for (size_t j = 0; j < DIM; j++)
            ((float *)row_at(t, i))[j] = base[j] * length[i / 2] * (i % 2 ? -1.0f : 1.0f);
    }
    table_put_all(t);
    for (size_t q = 0; q < 2 * N; q++) {
        VT_OK(vs_search(t->c, NULL, row_at(t, q), 0, 2 * N, NULL, hits, &n), t->c);
        check_hits(t, row_at(t, q), 2 * N, hits, n);
        VT_CHECK(hits[0].distance >= 0 && hits[n - 1].distance <= 2);
        for (size_t i = 0; i < n; i++)
            VT_EQ(hits[i].key.number % 2 == q % 2, i < N);
    }
    table_close(t);
}

VT_TEST(cosine_looks_at_directions_only_whatever_the_lengths) {
    for_all(search_directions);
}

/* ---- large and small numbers ---------------------------------------------------------------- */

/* Rows of very different size beside each other, all at finite distances. */
static void search_scaled(vs_db *db, int metric, float scale, const char *what) {
    enum { DIM = 50, N = 40 };
    table *t = &the_table;
    float query[DIM];
    static vs_hit hits[N];
    size_t n = 0;
    char name[64];
    vt_rng rng = {vt_seed()};
    snprintf(name, sizeof name, "%s-%d-%g", what, metric, (double)scale);
    table_open(t, db, name, DIM, VS_F32, metric, N);
    t->is_scaled = true;
    table_fill(t, &rng);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < DIM; j++)
            ((float *)row_at(t, i))[j] *= i % 4 ? scale : 1;
    table_put_all(t);
    fill_random(&rng, VS_F32, query, DIM);
    for (size_t j = 0; j < DIM; j++)
        query[j] *= scale;
    VT_OK(vs_search(t->c, NULL, query, 0, N, NULL, hits, &n), t->c);
    check_hits(t, query, N, hits, n);
    for (size_t i = 0; i < N; i++)
        VT_CHECK(isfinite(hits[i].distance));
    VT_OK(vs_search(t->c, NULL, query, 0, 5, NULL, hits, &n), t->c);
    check_hits(t, query, 5, hits, n);
    table_close(t);
}

static void search_large_numbers(vs_db *db, int type, int metric) {
    const float scales[] = {1e3f, 1e9f, 1e18f, 1e19f, 1e20f, 1e30f, FLT_MAX};
    for (size_t i = 0; type == VS_F32 && i < sizeof scales / sizeof scales[0]; i++)
        search_scaled(db, metric, scales[i], "large");
}

VT_TEST(distances_beyond_the_range_of_single_precision_are_right) {
    for_all(search_large_numbers);
}

/* Whether the order of all rows is the one of the plain loop, where that leaves no doubt. */
static void search_tiny_numbers(vs_db *db, int type, int metric) {
    enum { DIM = 40, N = 30 };
    const float scales[] = {1e-5f, 1e-10f, 1e-18f, 1e-22f, 1e-25f, 1e-35f};
    table *t = &the_table;
    for (size_t s = 0; type == VS_F32 && s < sizeof scales / sizeof scales[0]; s++) {
        static vs_hit hits[N];
        float query[DIM];
        size_t n = 0;
        char name[64];
        vt_rng rng = {vt_seed()};
        name_for(name, "tiny", type, metric, s);
        table_open(t, db, name, DIM, type, metric, N);
        table_fill(t, &rng);
        for (size_t i = 0; i < (size_t)N * DIM; i++)
            ((float *)t->rows)[i] *= scales[s];
        fill_random(&rng, VS_F32, query, DIM);
        for (size_t i = 0; i < DIM; i++)
            query[i] *= scales[s];
        table_put_all(t);
        VT_OK(vs_search(t->c, NULL, query, 0, N, NULL, hits, &n), t->c);
        VT_EQ(n, N);
        double last = -INFINITY, square = -expected_distance(VS_F32, VS_IP, query, query, DIM);
        for (size_t i = 0; i < N; i++) {
            size_t row = 0;
            while (t->keys[row] != hits[i].key.number)
                row++;
            double d = expected_distance(VS_F32, metric, query, row_at(t, row), DIM);
            /* two distances nearer than single precision tells apart may change places */
            double doubt = metric == VS_COSINE ? 4e-6 : 1e-4 * square;
            if (!(d >= last - doubt))
                vt_fail(__FILE__, __LINE__, "scale %g, metric %d: hit %zu is at %g, behind %g",
                        (double)scales[s], metric, i, d, last);
            last = d > last ? d : last;
        }
        table_close(t);
    }
}

VT_TEST(vectors_of_tiny_numbers_are_ranked_by_their_distance) {
    for_all(search_tiny_numbers);
}

/* ---- deleted and replaced records ----------------------------------------------------------- */

static void search_changed(vs_db *db, int type, int metric) {
    enum { DIM = 6, N = 900 };
    table *t = &the_table;
    float query[DIM];
    char name[64];
    vt_rng rng = {vt_seed()};
    name_for(name, "changed", type, metric, N);
    table_open(t, db, name, DIM, type, metric, N);
    table_fill(t, &rng);
    table_put_all(t);
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 250; i++) {
            size_t row = vt_below(&rng, N);
            if (t->is_there[row] && vt_below(&rng, 2)) {
                VT_OK(vs_delete(t->c, NULL, vs_key_u64(t->keys[row])), t->c);
                t->is_there[row] = false;
            } else {
                fill_random(&rng, type, row_at(t, row), DIM);
                table_put(t, NULL, row);
            }
        }
        fill_random(&rng, type, query, DIM);
        check_search(t, NULL, query, 10);
        check_search(t, NULL, query, N + 5);
    }
    table_close(t);
}

VT_TEST(deleted_and_replaced_vectors_are_not_found) {
    for_all(search_changed);
}

VT_TEST(the_nearest_are_the_same_after_opening_again) {
    sample s = sample_new();
    static vs_hit before[50], after[50];
    size_t n = 0, m = 0;
    table *t = &the_table;
    vt_rng rng = {vt_seed()};
    table_open(t, s.db, "c", 33, VS_F32, VS_COSINE, 400);
    table_fill(t, &rng);
    table_put_all(t);
    VT_OK(vs_search(t->c, NULL, row_at(t, 5), 0, 50, NULL, before, &n), t->c);
    vs_collection_close(t->c);
    sample_reopen(&s);
    t->c = sample_collection(s.db, "c");
    VT_OK(vs_search(t->c, NULL, row_at(t, 5), 0, 50, NULL, after, &m), t->c);
    VT_EQ(n, m);
    VT_EQ(n, 50);
    VT_CHECK(!memcmp(before, after, sizeof before));
    table_close(t);
    sample_end(&s);
}

/* ---- in transactions ------------------------------------------------------------------------ */

VT_TEST(a_search_sees_the_state_of_its_transaction) {
    enum { N = 300 };
    static table old, now;
    sample s = sample_new();
    vt_rng rng = {vt_seed()};
    table_open(&now, s.db, "c", 8, VS_F32, VS_L2, N);
    table_fill(&now, &rng);
    table_put_all(&now);
    vs_txn *read = sample_begin(s.db, VS_TXN_READ), *write = sample_begin(s.db, VS_TXN_WRITE);
    old = now;
    old.rows = malloc((size_t)N * 8 * sizeof(float));
    memcpy(old.rows, now.rows, (size_t)N * 8 * sizeof(float));
    for (size_t i = 0; i < N; i++)
        if (i % 5 == 0) {
            VT_OK(vs_delete(now.c, write, vs_key_u64(now.keys[i])), now.c);
            now.is_there[i] = false;
        } else if (i % 3 == 0) {
            fill_random(&rng, VS_F32, row_at(&now, i), 8);
            table_put(&now, write, i);
        }
    for (size_t k = 1; k < N + 2; k += 37) {
        check_search(&now, write, row_at(&now, k % N), k);
        check_search(&old, read, row_at(&now, k % N), k);
        check_search(&old, NULL, row_at(&now, k % N), k);
    }
    VT_OK(vs_commit(write, VS_SYNC_FULL), s.db);
    check_search(&now, NULL, row_at(&now, 0), 20);
    check_search(&old, read, row_at(&now, 0), 20);
    vs_rollback(read);
    free(old.rows);
    table_close(&now);
    sample_end(&s);
}

/* ---- queries -------------------------------------------------------------------------------- */

VT_TEST(a_query_of_the_other_element_type_is_converted) {
    sample s = sample_new();
    uint8_t rows[3][4] = {{0, 1, 2, 255}, {9, 9, 9, 9}, {200, 0, 0, 0}}, bytes[4] = {1, 2, 3, 250};
    float floats[4] = {1, 2, 3, 250};
    vs_hit hits[4][3];
    size_t n;
    vs_collection *u = sample_create(s.db, NULL, "u", 4, VS_U8, VS_L2);
    vs_collection *f = sample_create(s.db, NULL, "f", 4, VS_F32, VS_L2);
    for (uint64_t i = 0; i < 3; i++) {
        vs_record r = sample_record(i, rows[i], NULL);
        r.vector_type = VS_U8;
        VT_OK(vs_put(u, NULL, &r, VS_UPSERT), u);
        VT_OK(vs_put(f, NULL, &r, VS_UPSERT), f);
    }
    VT_OK(vs_search(u, NULL, bytes, VS_U8, 3, NULL, hits[0], &n), u);
    VT_OK(vs_search(u, NULL, floats, VS_F32, 3, NULL, hits[1], &n), u);
    VT_OK(vs_search(f, NULL, bytes, VS_U8, 3, NULL, hits[2], &n), f);
    VT_OK(vs_search(f, NULL, floats, VS_F32, 3, NULL, hits[3], &n), f);
    for (int i = 0; i < 3; i++) {
        double d = expected_distance(VS_U8, VS_L2, bytes, rows[hits[0][i].key.number], 4);
        VT_CHECK(hits[0][i].distance == d);
        for (int j = 1; j < 4; j++)
            VT_CHECK(hits[j][i].key.number == hits[0][i].key.number && hits[j][i].distance == d);
    }
    vs_collection_close(u);
    vs_collection_close(f);
    sample_end(&s);
}

/* A search that must fail writes nothing. */
static void refuse_search(vs_collection *c, const void *query, int type, size_t k,
                          const char *message) {
    vs_hit hits[2] = {{VT_KEY(5), 5}, {VT_KEY(5), 5}};
    size_t n = 123;
    VT_EQ(vs_search(c, NULL, query, type, k, NULL, hits, &n), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), message);
    VT_EQ(n, 123);
    VT_CHECK(hits[0].key.number == 5 && hits[0].distance == 5);
}

VT_TEST(queries_that_are_no_vectors_of_the_collection_are_refused) {
    sample s = sample_new();
    const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001};
    vs_collection *f = sample_create(s.db, NULL, "f", 20, VS_F32, VS_IP);
    vs_collection *u = sample_create(s.db, NULL, "u", 20, VS_U8, VS_IP);
    float v[20] = {1};
    VT_OK(sample_try_put(f, NULL, 1, v, NULL, VS_INSERT), f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        memset(v, 0, sizeof v);
        memcpy(&v[19], &bad[i], sizeof bad[i]);
        refuse_search(f, v, 0, 2, "query");
        VT_CONTAINS(vs_errmsg(f), "element 19");
        refuse_search(u, v, VS_F32, 2, "element 19");
    }
    memset(v, 0, sizeof v);
    v[3] = 1.5f;
    refuse_search(u, v, VS_F32, 2, "element 3");
    v[3] = 256;
    refuse_search(u, v, VS_F32, 2, "element 3");
    v[3] = 0;
    refuse_search(f, v, 7, 2, "type is 7");
    refuse_search(f, v, 0, 0, "k is 0");
    vs_collection_close(f);
    vs_collection_close(u);
    sample_end(&s);
}

/* ---- memory --------------------------------------------------------------------------------- */

VT_TEST(a_handle_that_has_searched_allocates_no_more) {
    vs_vfs *vfs = NULL;
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    vt_rng rng = {vt_seed()};
    static vs_hit hits[200];
    float query[100];
    uint8_t bytes[100];
    size_t n;
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    options.vfs = vfs;
    options.flags = VS_OPEN_CREATE;
    options.allocator = &allocator;
    VT_OK(vs_open("t.vs", &options, &db), db);
    for (int type = VS_F32; type <= VS_U8; type++)
        for (int metric = VS_L2; metric <= VS_COSINE; metric++) {
            char name[64];
            table *t = &the_table;
            name_for(name, "c", type, metric, 0);
            table_open(t, db, name, 100, type, metric, 1000);
            table_fill(t, &rng);
            table_put_all(t);
            vs_txn *write = sample_begin(db, VS_TXN_WRITE), *read = sample_begin(db, VS_TXN_READ);
            VT_OK(vs_delete(t->c, write, vs_key_u64(t->keys[3])), t->c);
            VT_OK(vs_search(t->c, NULL, row_at(t, 0), 0, 200, NULL, hits, &n), t->c);
            uint64_t calls = counter.calls;
            for (size_t k = 200; k > 0; k -= 10) {
                vs_txn *txn = k % 30 == 0 ? write : k % 30 == 10 ? read : NULL;
                fill_random(&rng, VS_U8, bytes, 100);
                for (int i = 0; i < 100; i++)
                    query[i] = bytes[i];
                VT_OK(vs_search(t->c, txn, query, VS_F32, k, NULL, hits, &n), t->c);
                VT_OK(vs_search(t->c, txn, bytes, VS_U8, k, NULL, hits, &n), t->c);
                VT_EQ(n, k);
            }
            VT_EQ(counter.calls, calls);
            vs_rollback(write);
            vs_rollback(read);
            table_close(t);
        }
    VT_OK(vs_close(db), db);
    VT_EQ(counter.live_blocks, 0);
    vs_vfs_memory_destroy(vfs);
}
