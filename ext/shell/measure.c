/* measure.c - recall and bench.
 *
 * Truth is the distance of the k-th true neighbour, in double precision, from a loop of its own:
 * what is measured has no part in it. A returned record counts when it is not farther than that,
 * plus what rounding may add; so ties cost nothing. Where truth comes from a file, a record that
 * is nearer than the k-th neighbour must be one of those that the file names: truth of other
 * records does not pass for perfect recall by being far away. */
#define _POSIX_C_SOURCE 200809L
#include "command.h"
#include "commands.h"
#include "interrupt.h"
#include "query.h"
#include "text.h"
#include "format.h"
#include "vecs.h"
#include "writer.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MEASURE_BLOCK_QUERIES = 64,
    MEASURE_WARMUP_QUERIES = 100,
    MEASURE_K_MAX = 1 << 20,
    MEASURE_SWEEP_MAX = 64
};

/* ---- distances in double precision ---------------------------------------------------------- */

/* Two vectors of the collection, as floats, which every element type's numbers are exactly. */
static double distance_of(int metric, const float *query, const float *row, size_t dim) {
    double l2 = 0, l1 = 0, dot = 0, query_norm = 0, row_norm = 0;
    for (size_t i = 0; i < dim; i++) {
        double q = (double)query[i], x = (double)row[i];
        l2 += (q - x) * (q - x);
        l1 += fabs(q - x);
        dot += q * x;
        query_norm += q * q;
        row_norm += x * x;
    }
    switch (metric) {
    case VS_L2:
        return l2;
    case VS_IP:
        return -dot;
    case VS_COSINE:
        return query_norm == 0 || row_norm == 0 ? 1 : 1 - dot / sqrt(query_norm * row_norm);
    case VS_JACCARD: /* of zeros and ones */
        return query_norm + row_norm == 0 ? 0 : 1 - dot / (query_norm + row_norm - dot);
    default:
        return l1; /* VS_HAMMING likewise */
    }
}

/* A vector of the collection as floats. */
static void to_floats(const query_set *set, const void *vector, float *out) {
    if (vs_vector_convert(vector, set->field.type, out, VS_F32, set->field.dim, NULL) != VS_OK)
        memset(out, 0, set->field.dim * sizeof *out); /* none that is stored fails */
}

/* What rounding may add to a distance that is as good as limit. */
static double tolerance(const query_set *set, double limit) {
    int type = set->field.type;
    if (set->field.metric == VS_COSINE || set->field.metric == VS_JACCARD)
        return 2e-6;
    if (type == VS_U8 || type == VS_I8 || type == VS_BIT)
        return 0;
    return 1e-5 * (fabs(limit) > 1 ? fabs(limit) : 1);
}

/* ---- truth ---------------------------------------------------------------------------------- */

/* For every query the distance of its k-th true neighbour and how many there are, at most k; from a
 * file also which ones: rows of columns ids. */
typedef struct truth {
    double *limit;
    size_t *count;
    int32_t *ids;
    uint32_t columns;
} truth;

static void truth_free(truth *t) {
    free(t->ids);
    free(t->limit);
    free(t->count);
}

static int fetch_distance(query_set *set, const void *query, vs_key key, double *out_distance) {
    vs_record record = VS_RECORD_INIT;
    size_t dim = set->field.dim;
    if (vs_get(set->use.collection, set->use.txn, key, &record) != VS_OK)
        return use_fail(&set->use);
    const void *vector = writer_vector(&record, set->options.field);
    if (!vector) {
        char text[KEY_TEXT_BYTES];
        key_write(key, text);
        return shell_fail(set->use.call, "record %.100s, which the truth names, has no vector '%s'",
                          text, set->field.name);
    }
    float *floats = shell_alloc(2 * dim * sizeof *floats);
    to_floats(set, query, floats);
    to_floats(set, vector, floats + dim);
    *out_distance = distance_of(set->field.metric, floats, floats + dim, dim);
    free(floats);
    return SHELL_OK;
}

/* From a file: row i has the true neighbours of query i, best first; -1: no further one. */
static int truth_from_file(query_set *set, const char *path, size_t k, truth *t) {
    char why[VECS_WHY_BYTES];
    void *rows = NULL;
    uint64_t count = 0;
    int kind = 0, result = SHELL_OK;
    if (!vecs_load(path, FORMAT_IVECS, &rows, &count, &t->columns, &kind, why))
        return shell_fail(set->use.call, "%s: %s", path, why);
    t->ids = rows;
    if (count < set->vectors.count || t->columns < k)
        result = shell_fail(set->use.call, "%s: %llu rows of %lu ids, needed are %llu rows of %zu",
                            path, (unsigned long long)count, (unsigned long)t->columns,
                            (unsigned long long)set->vectors.count, k);
    for (uint64_t q = 0; result == SHELL_OK && q < set->vectors.count; q++) {
        const int32_t *ids = t->ids + q * t->columns;
        size_t n = 0;
        while (n < k && ids[n] >= 0)
            n++;
        t->count[q] = n;
        if (n)
            result = fetch_distance(set, query_row(set, q), vs_key_u64((uint64_t)ids[n - 1]),
                                    &t->limit[q]);
    }
    return result;
}

/* The n smallest numbers seen, the largest first: a heap. */
static void keep_smallest(double *heap, size_t *n, size_t k, double value) {
    size_t at = 0;
    if (*n < k) {
        at = (*n)++;
        for (; at > 0 && heap[(at - 1) / 2] < value; at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
    } else if (value < heap[0]) {
        for (size_t child = 1; child < k; child = 2 * at + 1) {
            if (child + 1 < k && heap[child + 1] > heap[child])
                child++;
            if (heap[child] <= value)
                break;
            heap[at] = heap[child];
            at = child;
        }
    } else {
        return;
    }
    heap[at] = value;
}

/* One pass over all records for a block of queries. */
static int truth_of_block(query_set *set, size_t k, uint64_t from, size_t queries, double *heaps,
                          truth *t) {
    vs_cursor *cursor = NULL;
    size_t dim = set->field.dim;
    if (vs_scan(set->use.collection, set->use.txn, NULL, &cursor) != VS_OK)
        return use_fail(&set->use);
    float *floats = shell_alloc((queries + 1) * dim * sizeof *floats),
          *row = floats + queries * dim;
    for (size_t i = 0; i < queries; i++)
        to_floats(set, query_row(set, from + i), floats + i * dim);
    vs_status st = vs_step(cursor);
    int result = SHELL_OK;
    for (; result == SHELL_OK && st == VS_ROW; st = vs_step(cursor)) {
        vs_record record = VS_RECORD_INIT;
        st = vs_cursor_record(cursor, &record);
        if (st != VS_OK)
            break;
        if (interrupt_came(set->use.call->shell->interrupts))
            result = shell_fail(set->use.call, "interrupted");
        const void *vector = writer_vector(&record, set->options.field);
        if (!vector)
            continue;
        to_floats(set, vector, row);
        for (size_t i = 0; i < queries; i++)
            keep_smallest(heaps + i * k, &t->count[from + i], k,
                          distance_of(set->field.metric, floats + i * dim, row, dim));
    }
    if (result == SHELL_OK && st != VS_DONE)
        result = shell_fail(set->use.call, "%s", vs_errmsg(cursor));
    vs_cursor_close(cursor);
    free(floats);
    for (size_t i = 0; i < queries; i++)
        t->limit[from + i] = t->count[from + i] ? heaps[i * k] : 0;
    return result;
}

static int truth_by_loop(query_set *set, size_t k, truth *t) {
    double *heaps = shell_alloc(MEASURE_BLOCK_QUERIES * k * sizeof *heaps);
    int result = SHELL_OK;
    for (uint64_t q = 0; result == SHELL_OK && q < set->vectors.count; q += MEASURE_BLOCK_QUERIES) {
        uint64_t left = set->vectors.count - q;
        result = truth_of_block(set, k, q,
                                left < MEASURE_BLOCK_QUERIES ? (size_t)left : MEASURE_BLOCK_QUERIES,
                                heaps, t);
    }
    free(heaps);
    return result;
}

static int truth_make(query_set *set, const char *path, size_t k, truth *t) {
    t->limit = shell_alloc(set->vectors.count * sizeof *t->limit);
    t->count = shell_alloc(set->vectors.count * sizeof *t->count);
    memset(t->count, 0, set->vectors.count * sizeof *t->count);
    return path ? truth_from_file(set, path, k, t) : truth_by_loop(set, k, t);
}

/* ---- counting ------------------------------------------------------------------------------- */

static int compare_keys(const void *a, const void *b) {
    return vs_key_compare(((const vs_hit *)a)->key, ((const vs_hit *)b)->key);
}

static bool is_named(const truth *t, uint64_t q, vs_key key) {
    const int32_t *ids = t->ids + q * t->columns;
    for (size_t i = 0; i < t->count[q]; i++)
        if (!vs_key_compare(vs_key_u64((uint64_t)ids[i]), key))
            return true;
    return false;
}

static bool is_correct(const query_set *set, uint64_t q, const truth *t, vs_key key,
                       double distance) {
    double limit = t->limit[q], slack = tolerance(set, limit);
    if (!t->count[q] || distance > limit + slack)
        return false;
    return !t->ids || distance >= limit - slack || is_named(t, q, key);
}

/* How many of the hits are true neighbours; none counts twice. Reorders hits. */
static int count_correct(query_set *set, uint64_t q, const truth *t, vs_hit *hits, size_t n,
                         size_t *out_correct) {
    int result = SHELL_OK;
    size_t correct = 0;
    qsort(hits, n, sizeof *hits, compare_keys);
    for (size_t i = 0; result == SHELL_OK && i < n; i++) {
        double distance = 0;
        if (i > 0 && !vs_key_compare(hits[i].key, hits[i - 1].key))
            continue;
        result = fetch_distance(set, query_row(set, q), hits[i].key, &distance);
        correct += is_correct(set, q, t, hits[i].key, distance);
    }
    *out_correct = correct < t->count[q] ? correct : t->count[q];
    return result;
}

typedef struct measurement {
    double recall; /* four digits, rounded down: 1.0000 is all of it; -1: not measured */
    double qps, p50_us, p99_us;
} measurement;

static double now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec * 1e-3;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Searches every query once, timing each; t NULL: no recall. */
static int measure(query_set *set, size_t k, const truth *t, measurement *out) {
    vs_hit *hits = shell_alloc(k * sizeof *hits);
    double *times = shell_alloc(set->vectors.count * sizeof *times), total_us = 0;
    uint64_t wanted = 0, correct = 0;
    int result = SHELL_OK;
    for (uint64_t q = 0; result == SHELL_OK && q < set->vectors.count; q++) {
        size_t n = 0, right = 0;
        double start = now_us();
        vs_status st = vs_search(set->use.collection, set->use.txn, query_row(set, q), 0, k,
                                 &set->options, hits, &n);
        times[q] = now_us() - start;
        total_us += times[q];
        if (st != VS_OK)
            result = use_fail(&set->use);
        else if (interrupt_came(set->use.call->shell->interrupts))
            result = shell_fail(set->use.call, "interrupted");
        else if (t)
            result = count_correct(set, q, t, hits, n, &right);
        correct += right;
        wanted += t ? t->count[q] : 0;
    }
    qsort(times, (size_t)set->vectors.count, sizeof *times, compare_doubles);
    out->recall = !t ? -1 : wanted ? (double)(correct * 10000 / wanted) / 10000 : 1;
    out->qps = (double)set->vectors.count / (total_us * 1e-6);
    out->p50_us = times[set->vectors.count / 2];
    out->p99_us = times[set->vectors.count - 1 - set->vectors.count / 100];
    free(times);
    free(hits);
    return result;
}

/* ---- recall --------------------------------------------------------------------------------- */

static void print_recall(const shell_call *call, size_t k, double recall, uint64_t queries) {
    static const rows_column columns[] = {{"k", ROWS_NUMBER, 0, 0, 0, NULL},
                                          {"recall", ROWS_NUMBER, 0, 0, 0, NULL},
                                          {"queries", ROWS_NUMBER, 0, 0, 0, NULL}};
    static const rows_spec spec = {.columns = columns, .count = 3};
    char text[32];
    row_writer r;
    snprintf(text, sizeof text, "%.4f", recall);
    if (command_mode(call) == ROWS_PLAIN) {
        fprintf(shell_out(call->shell), "recall@%zu %s queries=%llu k=%zu\n", k, text,
                (unsigned long long)queries, k);
        return;
    }
    command_rows(call, &spec, &r);
    rows_u64(&r, k);
    rows_string(&r, text);
    rows_u64(&r, queries);
    rows_next(&r);
    rows_end(&r);
}

static int run_recall(const shell_call *call) {
    size_t k = (size_t)shell_number(call, "-k", 10);
    query_set set;
    truth t = {0};
    measurement m;
    int result = query_open(&set, call, shell_value(call, "--queries"));
    if (result == SHELL_OK)
        result = truth_make(&set, shell_value(call, "--truth"), k, &t);
    if (result == SHELL_OK)
        result = measure(&set, k, &t, &m);
    if (result == SHELL_OK)
        print_recall(call, k, m.recall, set.vectors.count);
    truth_free(&t);
    return query_close(&set, result);
}

#define OPTION_QUERIES                                                                             \
    {                                                                                              \
        "--queries", OPTION_TEXT, "FILE", "the vectors that are asked", NULL, 0, 0,                \
            "a file of query vectors"                                                              \
    }
#define OPTION_TRUTH                                                                               \
    { "--truth", OPTION_TEXT, "FILE.ivecs", "the keys of the true nearest", NULL, 0, 0, NULL }
#define OPTION_K                                                                                   \
    { "-k", OPTION_NUMBER, "N", "how many neighbours (10)", NULL, 1, MEASURE_K_MAX, NULL }

static const option_spec recall_options[] = {OPTION_QUERIES,      OPTION_TRUTH, OPTION_K,
                                             OPTION_SEARCH_FIELD, OPTION_MODE,  OPTIONS_END};

const shell_command command_recall = {
    .name = "recall",
    .run = run_recall,
    .args = "COLLECTION",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "measure what search finds of the true nearest",
    .help = "Measure how many of the true nearest neighbours search returns. Without --truth they "
            "are\ncomputed here, by a plain loop in double precision.",
    .options = recall_options,
};

/* ---- bench ---------------------------------------------------------------------------------- */

static const rows_column bench_columns[] = {{"params", ROWS_TEXT, 0, 0, 0, NULL},
                                            {"recall", ROWS_NUMBER, 0, 0, 0, NULL},
                                            {"qps", ROWS_NUMBER, 0, 0, 0, NULL},
                                            {"p50_us", ROWS_NUMBER, 0, 0, 0, NULL},
                                            {"p99_us", ROWS_NUMBER, 0, 0, 0, NULL}};
static const rows_spec bench_spec = {
    .columns = bench_columns, .count = 5, .null_text = "-", .plain_is_csv = true};

/* A figure with so many decimals, none below 0. */
static void add_figure(row_writer *r, double value, int decimals) {
    char text[64];
    snprintf(text, sizeof text, "%.*f", decimals, value);
    rows_string(r, value < 0 ? NULL : text);
}

static int bench_row(query_set *set, const char *truth_path, size_t k, const char *params,
                     row_writer *r) {
    truth t = {0};
    measurement m;
    int result = truth_path ? truth_make(set, truth_path, k, &t) : SHELL_OK;
    if (result == SHELL_OK)
        result = measure(set, k, truth_path ? &t : NULL, &m);
    if (result == SHELL_OK) {
        rows_string(r, params);
        add_figure(r, m.recall, 4);
        add_figure(r, m.qps, 1);
        add_figure(r, m.p50_us, 1);
        add_figure(r, m.p99_us, 1);
        rows_next(r);
    }
    truth_free(&t);
    return result;
}

static int bench_warm_up(query_set *set, size_t k) {
    uint64_t count = set->vectors.count;
    measurement m;
    set->vectors.count = count < MEASURE_WARMUP_QUERIES ? count : MEASURE_WARMUP_QUERIES;
    int result = measure(set, k, NULL, &m);
    set->vectors.count = count;
    return result;
}

/* --sweep name=v1,v2,...: one setting per value. */
typedef struct sweep_list {
    char name[24];
    uint64_t value[MEASURE_SWEEP_MAX];
    size_t count;
} sweep_list;

/* One value at *p, which moves behind it. */
static int parse_sweep_value(const shell_call *call, const char **p, sweep_list *sweep) {
    char number[24];
    uint64_t value = 0;
    size_t n = strcspn(*p, ",");
    snprintf(number, sizeof number, "%.*s", (int)(n < 23 ? n : 23), *p);
    if (!text_to_u64(number, &value) || value < 1 || value > MEASURE_K_MAX)
        return shell_usage(call, "--sweep: %s is '%s', expected a whole number from 1 to %d",
                           sweep->name, number, MEASURE_K_MAX);
    if (sweep->count == MEASURE_SWEEP_MAX)
        return shell_usage(call, "--sweep: more than %d values", MEASURE_SWEEP_MAX);
    sweep->value[sweep->count++] = value;
    *p += n;
    return SHELL_OK;
}

static int parse_sweep(const shell_call *call, sweep_list *sweep) {
    const char *text = shell_value(call, "--sweep");
    sweep->count = 0;
    if (!text)
        return SHELL_OK;
    size_t n = strcspn(text, "=");
    if (!n || !text[n] || n >= sizeof sweep->name)
        return shell_usage(call, "--sweep is '%s', expected name=v1,v2,...", text);
    memcpy(sweep->name, text, n);
    sweep->name[n] = 0;
    int result = SHELL_OK;
    for (const char *p = text + n; result == SHELL_OK && *p;) {
        p++; /* behind '=' or ',' */
        result = parse_sweep_value(call, &p, sweep);
    }
    return result;
}

static int bench_sweep(query_set *set, const char *truth_path, const sweep_list *sweep,
                       row_writer *r) {
    int result = SHELL_OK;
    for (size_t i = 0; result == SHELL_OK && i < sweep->count; i++) {
        char params[48];
        snprintf(params, sizeof params, "%s=%llu", sweep->name,
                 (unsigned long long)sweep->value[i]);
        result = bench_row(set, truth_path, (size_t)sweep->value[i], params, r);
    }
    return result;
}

/* k is the one parameter that an exact search has. */
static int check_sweep(const query_set *set, const sweep_list *sweep) {
    if (!sweep->count || !strcmp(sweep->name, "k"))
        return SHELL_OK;
    return shell_fail(set->use.call, "--sweep: index '%s' of '%s' has no parameter '%s', only k",
                      set->field.index, set->use.info.name, sweep->name);
}

static int bench_rows(query_set *set, const sweep_list *sweep, size_t k) {
    const char *truth_path = shell_value(set->use.call, "--truth");
    row_writer r;
    command_rows(set->use.call, &bench_spec, &r);
    int result = sweep->count ? bench_sweep(set, truth_path, sweep, &r)
                              : bench_row(set, truth_path, k, "-", &r);
    rows_end(&r);
    return result;
}

static int run_bench(const shell_call *call) {
    size_t k = (size_t)shell_number(call, "-k", 10);
    sweep_list sweep;
    query_set set;
    if (parse_sweep(call, &sweep) != SHELL_OK)
        return SHELL_USAGE;
    int result = query_open(&set, call, shell_value(call, "--queries"));
    if (result == SHELL_OK)
        result = check_sweep(&set, &sweep);
    if (result == SHELL_OK)
        result = bench_warm_up(&set, k);
    if (result == SHELL_OK)
        result = bench_rows(&set, &sweep, k);
    return query_close(&set, result);
}

static const option_spec bench_options[] = {OPTION_QUERIES,
                                            OPTION_TRUTH,
                                            OPTION_K,
                                            OPTION_SEARCH_FIELD,
                                            {"--sweep", OPTION_TEXT, "name=v1,v2,...",
                                             "a row for each value of a parameter", NULL, 0, 0,
                                             NULL},
                                            OPTION_MODE,
                                            OPTIONS_END};

const shell_command command_bench = {
    .name = "bench",
    .run = run_bench,
    .args = "COLLECTION",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "measure how fast search is",
    .help = "Measure search, one query at a time: rows of params, recall, qps, p50_us, p99_us.",
    .options = bench_options,
};
