/* types.c - element types and metrics through the interface: what is put comes back, and search agrees with
 * sums in double precision. */
#include "sample.h"
#include <math.h>

enum { RECORDS = 300, DIM_MAX = 1100, K = 20 };

static const int types[] = {VS_F32, VS_U8, VS_F16, VS_BF16, VS_I8, VS_BIT};
enum { TYPES = sizeof types / sizeof types[0] };

static bool is_whole(int type) {
    return type == VS_U8 || type == VS_I8 || type == VS_BIT;
}

static bool fits(int metric, int type) {
    return (metric == VS_HAMMING || metric == VS_JACCARD) == (type == VS_BIT);
}

/* ---- a plain program ------------------------------------------------------------------------- */

/* A collection, and its vectors as floats, which every element is exactly. */
typedef struct plain {
    int type, metric;
    uint32_t dim;
    float row[RECORDS][DIM_MAX];
    bool is_there[RECORDS];
} plain;

static double distance(const plain *p, const float *a, const float *b) {
    double l1 = 0, l2 = 0, dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < p->dim; i++) {
        double x = (double)a[i], y = (double)b[i];
        l1 += fabs(x - y);
        l2 += (x - y) * (x - y);
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    switch (p->metric) {
    case VS_L2:
        return l2;
    case VS_IP:
        return 0 - dot;
    case VS_COSINE:
        return aa == 0 || bb == 0 ? 1 : 1 - dot / sqrt(aa * bb);
    case VS_JACCARD:
        return aa + bb == 0 ? 0 : 1 - dot / (aa + bb - dot);
    default:
        return l1; /* of bits: Hamming */
    }
}

/* Numbers that a type has, in floats: of halves rounded to them. */
static void fill(float *out, int type, uint32_t dim, vt_rng *rng) {
    static uint8_t stored[DIM_MAX * 4];
    for (uint32_t i = 0; i < dim; i++)
        out[i] = type == VS_BIT  ? (float)vt_below(rng, 2)
                 : type == VS_U8 ? (float)vt_below(rng, 256)
                 : type == VS_I8 ? (float)((int)vt_below(rng, 256) - 128)
                                 : (float)((double)vt_below(rng, 2000001) / 1e6 - 1);
    VT_EQ(vs_vector_convert(out, VS_F32, stored, type, dim, NULL), VS_OK);
    VT_EQ(vs_vector_convert(stored, type, out, VS_F32, dim, NULL), VS_OK);
}

/* Each vector is given in another type that has its numbers. */
static void put(vs_collection *c, plain *p, uint32_t key, vt_rng *rng) {
    static uint8_t given[DIM_MAX * 4 + 1];
    vs_record record = VS_RECORD_INIT;
    fill(p->row[key], p->type, p->dim, rng);
    p->is_there[key] = true;
    record.key.number = key;
    do
        record.vector_type = types[vt_below(rng, TYPES)];
    while (vs_vector_convert(p->row[key], VS_F32, given + 1, record.vector_type, p->dim, NULL) !=
               VS_OK ||
           (!is_whole(p->type) && record.vector_type != p->type && record.vector_type != VS_F32));
    record.vector = given + 1; /* any alignment */
    VT_OK(vs_put(c, NULL, &record, VS_UPSERT), c);
}

static void check_record(vs_collection *c, const plain *p, uint32_t key) {
    float found[DIM_MAX];
    vs_record record = VS_RECORD_INIT;
    vs_status st = vs_get(c, NULL, vs_key_u64(key), &record);
    VT_EQ(st, p->is_there[key] ? VS_OK : VS_ERR_NOT_FOUND);
    if (st != VS_OK)
        return;
    VT_EQ(record.vector_type, p->type);
    VT_EQ(vs_vector_convert(record.vector, p->type, found, VS_F32, p->dim, NULL), VS_OK);
    VT_CHECK(!memcmp(found, p->row[key], p->dim * sizeof *found));
}

/* Hits are the nearest, in order, equal ones by key; a float kernel may differ in the last digits. */
static void check_search(vs_collection *c, const plain *p, vt_rng *rng) {
    float query[DIM_MAX];
    vs_hit hits[K];
    size_t n = 0, nearer = 0;
    double slack = is_whole(p->type) && p->metric != VS_COSINE && p->metric != VS_JACCARD
                       ? 0
                       : 1e-5 * (1 + (double)p->dim);
    fill(query, p->type, p->dim, rng);
    if (vt_below(rng, 4) == 0)
        memset(query, 0, sizeof query);
    VT_OK(vs_search(c, NULL, query, VS_F32, K, NULL, hits, &n), c);
    VT_EQ(n, K);
    for (size_t i = 0; i < n; i++) {
        VT_CHECK(p->is_there[hits[i].key.number]);
        VT_CHECK(fabs(hits[i].distance - distance(p, query, p->row[hits[i].key.number])) <= slack);
        if (i)
            VT_CHECK(hits[i - 1].distance < hits[i].distance ||
                     (hits[i - 1].distance == hits[i].distance &&
                      hits[i - 1].key.number < hits[i].key.number));
    }
    for (uint32_t key = 0; key < RECORDS; key++)
        nearer +=
            p->is_there[key] && distance(p, query, p->row[key]) < hits[K - 1].distance - slack;
    VT_CHECK(nearer < K);
}

static void run(int type, int metric, uint32_t dim, uint64_t memory_limit, uint32_t flags) {
    static plain p;
    sample s = {NULL, NULL};
    vt_rng rng = {vt_seed() + dim};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    memset(&p, 0, sizeof p);
    p.type = type;
    p.metric = metric;
    p.dim = dim;
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    options.vfs = s.vfs;
    options.flags = VS_OPEN_CREATE | flags;
    options.memory_limit = memory_limit;
    options.trailer_bytes = dim % 2 ? 40 : 0;
    for (int session = 0; session < 3; session++) {
        VT_OK(vs_open("t.vs", &options, &s.db), s.db);
        if (!session)
            vs_collection_close(sample_create(s.db, NULL, "c", dim, type, metric));
        vs_collection *c = sample_collection(s.db, "c");
        for (uint32_t key = 0; key < RECORDS && session < 2; key++)
            if (!session || vt_below(&rng, 3) == 0)
                put(c, &p, key, &rng);
        for (uint32_t key = 0; key < RECORDS && session == 1; key += 7) {
            VT_OK(vs_delete(c, NULL, vs_key_u64(key)), c);
            p.is_there[key] = false;
        }
        for (uint32_t key = 0; key < RECORDS; key++)
            check_record(c, &p, key);
        for (int i = 0; i < 6; i++)
            check_search(c, &p, &rng);
        sample_check(s.db);
        vs_collection_close(c);
        VT_OK(vs_close(s.db), s.db);
    }
    vs_vfs_memory_destroy(s.vfs);
}

VT_TEST(every_type_and_metric_agrees_with_a_plain_program_over_sessions) {
    static const uint32_t dims[] = {1, 7, 8, 9, 100, 1023};
    for (int t = 0; t < TYPES; t++)
        for (int metric = VS_L2; metric <= VS_JACCARD; metric++)
            for (size_t d = 0; d < 6; d++)
                if (fits(metric, types[t]))
                    run(types[t], metric, dims[d], 0, 0);
}

VT_TEST(so_it_does_with_little_memory_and_in_the_mapped_file) {
    for (int t = 0; t < TYPES; t++) {
        run(types[t], types[t] == VS_BIT ? VS_JACCARD : VS_L1, 65, 1, 0);
        run(types[t], types[t] == VS_BIT ? VS_HAMMING : VS_COSINE, 64, 0, VS_OPEN_MMAP);
    }
}

/* ---- defaults and refusals ------------------------------------------------------------------- */

VT_TEST(bits_are_compared_by_hamming_unless_told_otherwise_and_all_others_by_l2) {
    sample s = sample_new();
    for (int t = 0; t < TYPES; t++) {
        vs_collection_info info = VS_COLLECTION_INFO_INIT;
        vs_collection *c = sample_create(s.db, NULL, vs_type_name(types[t]), 3, types[t], 0);
        VT_OK(vs_collection_info_get(c, NULL, &info), c);
        VT_EQ(info.type, types[t]);
        VT_EQ(info.metric, types[t] == VS_BIT ? VS_HAMMING : VS_L2);
        vs_collection_close(c);
    }
    sample_end(&s);
}

VT_TEST(a_metric_that_does_not_fit_a_type_is_refused_naming_both) {
    sample s = sample_new();
    for (int t = 0; t < TYPES; t++)
        for (int metric = VS_L2; metric <= VS_JACCARD; metric++) {
            vs_collection_options options = sample_options(3, types[t], metric);
            if (fits(metric, types[t]))
                continue;
            VT_EQ(vs_collection_create(s.db, NULL, "c", &options, NULL), VS_ERR_INVALID);
            VT_CONTAINS(vs_errmsg(s.db), vs_type_name(types[t]));
            VT_CONTAINS(vs_errmsg(s.db), vs_metric_name(metric));
        }
    vs_collection_options unknown = sample_options(3, 7, 0);
    VT_EQ(vs_collection_create(s.db, NULL, "c", &unknown, NULL), VS_ERR_INVALID);
    unknown = sample_options(3, 0, 7);
    VT_EQ(vs_collection_create(s.db, NULL, "c", &unknown, NULL), VS_ERR_INVALID);
    unknown = sample_options(3, -1, 0);
    VT_EQ(vs_collection_create(s.db, NULL, "c", &unknown, NULL), VS_ERR_INVALID);
    sample_end(&s);
}

VT_TEST(a_number_that_the_collection_does_not_have_is_refused_and_nothing_changes) {
    static const struct {
        int type;
        float value;
        const char *part;
    } cases[] = {{VS_F16, 70000, "beyond the range of f16"},
                 {VS_BF16, 3.4e38f, "beyond the range of bf16"},
                 {VS_I8, 128, "from -128 to 127"},
                 {VS_U8, -1, "from 0 to 255"},
                 {VS_BIT, 2, "0 or 1"},
                 {VS_F32, INFINITY, "finite"}};
    sample s = sample_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vs_collection *c = sample_create(s.db, NULL, cases[i].part, 5, cases[i].type, 0);
        vs_stats before = sample_stats(s.db);
        float vector[5] = {0, 1, 0, cases[i].value, 0};
        vs_record record = {
            .size = sizeof record, .vector_type = VS_F32, .key = VT_KEY(1), .vector = vector};
        vs_hit hit;
        size_t n = 0;
        VT_EQ(vs_put(c, NULL, &record, VS_UPSERT), VS_ERR_INVALID);
        VT_CONTAINS(vs_errmsg(c), cases[i].part);
        VT_CONTAINS(vs_errmsg(c), "element 3");
        VT_EQ(vs_search(c, NULL, vector, VS_F32, 1, NULL, &hit, &n), VS_ERR_INVALID);
        VT_CONTAINS(vs_errmsg(c), "query");
        VT_EQ(sample_count(c, NULL), 0);
        vs_stats after = sample_stats(s.db);
        VT_CHECK(!memcmp(before.digest, after.digest, sizeof before.digest));
        vs_collection_close(c);
    }
    sample_end(&s);
}

VT_TEST(bits_behind_the_last_element_do_not_count) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 11, VS_BIT, VS_HAMMING);
    const uint8_t vector[2] = {0xff, 0xff}, query[2] = {0xfe, 0xf8};
    vs_record record = {
        .size = sizeof record, .vector_type = VS_BIT, .key = VT_KEY(1), .vector = vector};
    vs_hit hit;
    size_t n = 0;
    VT_OK(vs_put(c, NULL, &record, VS_UPSERT), c);
    VT_OK(vs_get(c, NULL, vs_key_u64(1), &record), c);
    VT_EQ(((const uint8_t *)record.vector)[1], 7);
    VT_OK(vs_search(c, NULL, query, VS_BIT, 1, NULL, &hit, &n), c);
    VT_CHECK(n == 1 && hit.distance == 4);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(vectors_are_converted_for_hosts_by_the_same_rules) {
    float floats[3] = {1, 0, 3.5f};
    uint8_t bytes[12];
    uint32_t at = 99;
    VT_EQ(vs_vector_convert(floats, VS_F32, bytes, VS_I8, 3, &at), VS_ERR_INVALID);
    VT_EQ(at, 2);
    VT_EQ(vs_vector_convert(floats, VS_F32, bytes, VS_I8, 2, &at), VS_OK);
    VT_EQ(vs_vector_convert(floats, VS_F32, bytes, VS_I8, 3, NULL), VS_ERR_INVALID);
    VT_EQ(vs_vector_convert(NULL, VS_F32, bytes, VS_I8, 2, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_vector_convert(floats, VS_F32, NULL, VS_I8, 2, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_vector_convert(floats, 0, bytes, VS_I8, 2, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_vector_convert(floats, VS_F32, bytes, 7, 2, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_vector_convert(floats, VS_F32, bytes, VS_I8, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_vector_convert(floats, VS_F32, bytes, VS_I8, VS_DIM_MAX + 1, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_vector_bytes(VS_BIT, 9), 2);
    VT_EQ(vs_vector_bytes(VS_BF16, VS_DIM_MAX), 131070);
    VT_EQ(vs_vector_bytes(VS_F32, UINT32_MAX), 0);
    VT_EQ(vs_vector_bytes(0, 4), 0);
    VT_STR(vs_type_name(VS_BF16), "bf16");
    VT_STR(vs_metric_name(VS_JACCARD), "jaccard");
    VT_STR(vs_metric_name(99), "?");
}
