/* rq_real.c - RQ codes on real data sets: bounds hold for every pair, and exclude nearly all rows.
 *
 * VT_VERBOSE=1 prints a line for each set, metric and kind of codes:
 *   error      mean of |r - decoded|^2 / |r|^2 over rows
 *   survivors  of rows, in percent: those whose lower bound is not above the 10th distance: what a two-phase search
 *              has to read at least; and those not above the 10th smallest upper bound: what it reads when it knows
 *              nothing but bounds
 * VT_OPS is the number of queries (8). */
#include "math/element.h"
#include "quant/rq.h"
#include "vt.h"
#include <math.h>
#ifndef VS_OMIT_ZSTD
#include <zstd.h>
#endif

enum { K = 10 };

typedef struct vectors {
    float *data;
    size_t n;
    uint32_t dim;
} vectors;

/* ---- files ---------------------------------------------------------------------------------- */

static bool exists(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file)
        fclose(file);
    return file != NULL;
}

/* The file of that name, or what NAME.zst holds. */
static uint8_t *read_data(const char *path, size_t *out_bytes) {
    char packed[600];
    snprintf(packed, sizeof packed, "%s.zst", path);
    if (exists(path))
        return vt_read_file(path, out_bytes);
#ifdef VS_OMIT_ZSTD
    vt_skip("a build without zstd cannot read %s", packed);
#else
    size_t bytes;
    uint8_t *in = vt_read_file(packed, &bytes);
    *out_bytes = (size_t)ZSTD_getFrameContentSize(in, bytes);
    uint8_t *out = malloc(*out_bytes);
    VT_EQ(ZSTD_decompress(out, *out_bytes, in, bytes), *out_bytes);
    free(in);
    return out;
#endif
}

/* fvecs or bvecs, by the letter. */
static vectors read_vectors(const char *folder, const char *name) {
    char path[560];
    size_t bytes, width = strstr(name, ".fvecs") ? 4 : 1;
    snprintf(path, sizeof path, "%s/%s", vt_data(folder), name);
    uint8_t *in = read_data(path, &bytes);
    vectors v = {NULL, 0, vsi_get_u32(in)};
    size_t row = 4 + v.dim * width;
    v.n = bytes / row;
    v.data = malloc(v.n * v.dim * sizeof *v.data);
    for (size_t i = 0; i < v.n; i++)
        for (size_t j = 0; j < v.dim; j++) {
            const uint8_t *p = in + i * row + 4 + j * width;
            if (width == 4)
                vsi_copy_le(v.data + i * v.dim + j, p, 1, 4);
            else
                v.data[i * v.dim + j] = *p;
        }
    free(in);
    return v;
}

/* ---- exact ---------------------------------------------------------------------------------- */

static double product(const float *a, const float *b, size_t n) {
    double sum[4] = {0};
    for (size_t i = 0; i < n; i++)
        sum[i % 4] += (double)a[i] * (double)b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Differences first: what is near is exact enough to be compared with bounds that have little to spare. */
static double distance(int metric, const float *a, const float *b, size_t n) {
    if (metric == VS_IP)
        return -product(a, b, n);
    if (metric == VS_COSINE) {
        double aa = product(a, a, n), bb = product(b, b, n);
        return aa > 0 && bb > 0 ? 1 - product(a, b, n) / sqrt(aa * bb) : 1;
    }
    double sum[4] = {0};
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - (double)b[i];
        sum[i % 4] += d * d;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double smallest(const double *values, size_t n, size_t k) {
    double *copy = malloc(n * sizeof *copy);
    memcpy(copy, values, n * sizeof *copy);
    qsort(copy, n, sizeof *copy, by_value);
    double found = copy[(k < n ? k : n) - 1];
    free(copy);
    return found;
}

/* ---- one set -------------------------------------------------------------------------------- */

typedef struct fixture {
    vsi_mem mem;
    vsi_err err;
    vsi_rq *rq;
    uint8_t *rows;
    size_t stride;
    float *work, *query_work;
    double missed; /* sum over rows of the share that the code misses */
} fixture;

/* The mean of the rows, for cosine of the normalised ones. */
static float *mean_of(const vectors *base, int metric) {
    double *sum = calloc(base->dim, sizeof *sum);
    float *mean = malloc(base->dim * sizeof *mean);
    for (size_t i = 0; i < base->n; i++) {
        const float *row = base->data + i * base->dim;
        double square = metric == VS_COSINE ? product(row, row, base->dim) : 1;
        for (size_t j = 0; square > 0 && j < base->dim; j++)
            sum[j] += (double)row[j] / sqrt(square);
    }
    for (size_t j = 0; j < base->dim; j++)
        mean[j] = (float)(sum[j] / (double)base->n);
    free(sum);
    return mean;
}

static void encode(fixture *f, const vectors *base, int metric, uint32_t kind) {
    float *mean = mean_of(base, metric);
    vsi_rq_spec spec = {base->dim, kind, metric, vt_seed(), mean};
    vsi_mem_init(&f->mem, NULL);
    VT_EQ(vsi_rq_create(&f->err, &f->mem, &spec, vsi_codes_choose(NULL), &f->rq), VS_OK);
    free(mean);
    f->stride = vsi_rq_row_bytes(f->rq->dim, f->rq->kind);
    f->rows = malloc(base->n * f->stride);
    f->work = malloc(vsi_rq_work_bytes(f->rq->dim));
    f->query_work = malloc(vsi_rq_work_bytes(f->rq->dim));
    f->missed = 0;
    for (size_t i = 0; i < base->n; i++) {
        uint8_t *row = f->rows + i * f->stride;
        float head[4];
        VT_CHECK(vsi_rq_encode(f->rq, base->data + i * base->dim, f->work, row));
        vsi_copy_le(head, row + f->stride - sizeof head, 4, sizeof(float));
        double length = (double)head[VSI_HEAD_LENGTH], error = (double)head[VSI_HEAD_ERROR];
        f->missed += error * error / (length * length + error * error);
    }
}

static void forget(fixture *f) {
    vsi_rq_free(f->rq);
    free(f->rows);
    free(f->work);
    free(f->query_work);
}

/* Rows that are not excluded, by the 10th distance and by the 10th upper bound. */
static void search(fixture *f, const vectors *base, const float *query, const double *exact,
                   double out_survivors[2]) {
    double *high = malloc(base->n * sizeof *high);
    float *lower = malloc(base->n * sizeof *lower), *upper = malloc(base->n * sizeof *upper);
    vsi_rq_query prepared;
    VT_CHECK(vsi_rq_prepare(f->rq, query, 0, f->query_work, &prepared));
    vsi_rq_bounds(&prepared, f->rows, f->stride, base->n, lower, upper);
    for (size_t i = 0; i < base->n; i++) {
        high[i] = (double)upper[i];
        VT_CHECK((double)lower[i] <= exact[i] && exact[i] <= high[i]);
    }
    double limit = smallest(exact, base->n, K), known = smallest(high, base->n, K);
    for (size_t i = 0; i < base->n; i++) {
        out_survivors[0] += (double)lower[i] <= limit;
        out_survivors[1] += (double)lower[i] <= known;
    }
    free(high);
    free(lower);
    free(upper);
}

/* With one kind of codes; at most so many percent may survive. */
static void check_kind(const char *folder, const vectors *base, const vectors *queries, int metric,
                       uint32_t kind, const double *exact, double most) {
    fixture f;
    double survivors[2] = {0, 0}, all = (double)(base->n * queries->n);
    encode(&f, base, metric, kind);
    for (size_t i = 0; i < queries->n; i++)
        search(&f, base, queries->data + i * base->dim, exact + i * base->n, survivors);
    if (getenv("VT_VERBOSE"))
        printf("%-16s %zu x %u %-6s kind %u: error %.3g, survivors %.3f %% %.3f %%\n", folder,
               base->n, base->dim, vsi_metric_name(metric), kind, f.missed / (double)base->n,
               100 * survivors[0] / all, 100 * survivors[1] / all);
    VT_CHECK(100 * survivors[0] / all <= most);
    forget(&f);
}

/* most: the survivors in percent that are allowed with 1, 2, 4 and 8 bits, f16 and bf16, a good half above what was found. */
static void check_set(const char *folder, const char *query_name, int metric,
                      const double most[VSI_CODE_KINDS]) {
    static const uint32_t kinds[] = {1, 2, 4, 8, VSI_CODE_F16, VSI_CODE_BF16};
    const char *ops = getenv("VT_OPS"),
               *type = strstr(query_name, ".bvecs") ? "base.bvecs" : "base.fvecs";
    vectors base = read_vectors(folder, type), queries = read_vectors(folder, query_name);
    size_t count = ops ? (size_t)atol(ops) : 8;
    queries.n = count < queries.n ? count : queries.n;
    double *exact = malloc(queries.n * base.n * sizeof *exact);
    for (size_t q = 0; q < queries.n; q++)
        for (size_t i = 0; i < base.n; i++)
            exact[q * base.n + i] =
                distance(metric, queries.data + q * base.dim, base.data + i * base.dim, base.dim);
    for (uint32_t w = 0; w < VSI_CODE_KINDS; w++)
        check_kind(folder, &base, &queries, metric, kinds[w], exact, most[w]);
    free(exact);
    free(base.data);
    free(queries.data);
}

VT_TEST(bounds_hold_and_exclude_nearly_all_rows_of_fashion_mnist) {
    check_set("fashion-mnist", "query.bvecs", VS_L2, (double[]){30, 6, 0.6, 0.1, 0.03, 0.03});
}

VT_TEST(bounds_hold_and_exclude_nearly_all_rows_of_sift_photo) {
    check_set("sift-photo", "query.bvecs", VS_L2, (double[]){50, 8, 0.5, 0.1, 0.05, 0.05});
}

VT_TEST(bounds_hold_and_exclude_nearly_all_rows_of_words_by_angle) {
    check_set("words-sgns100", "query.fvecs", VS_COSINE, (double[]){50, 10, 0.8, 0.1, 0.03, 0.03});
}

VT_TEST(bounds_hold_and_exclude_nearly_all_rows_of_words_by_product) {
    check_set("words-sgns100", "query.fvecs", VS_IP, (double[]){10, 2, 0.3, 0.1, 0.03, 0.03});
}

VT_TEST(bounds_hold_and_exclude_nearly_all_rows_of_products) {
    check_set("products", "query.fvecs", VS_COSINE, (double[]){100, 8, 0.6, 0.2, 0.07, 0.07});
}

VT_TEST(bounds_hold_and_exclude_nearly_all_rows_of_reuters) {
    check_set("reuters", "query.fvecs", VS_COSINE, (double[]){100, 15, 1, 0.3, 0.1, 0.1});
}

VT_TEST(bounds_hold_for_verses_and_queries_from_elsewhere) {
    check_set("bible-bge-large", "query.fvecs", VS_COSINE, (double[]){100, 100, 6, 1, 0.6, 0.6});
    check_set("bible-bge-large", "query_ood.fvecs", VS_COSINE,
              (double[]){100, 100, 40, 2, 0.6, 0.7});
}

VT_TEST(bounds_hold_for_zeros_and_duplicates) {
    check_set("edge-zero-dup", "query.fvecs", VS_COSINE, (double[]){100, 100, 100, 100, 100, 100});
    check_set("edge-zero-dup", "query.fvecs", VS_L2, (double[]){100, 100, 100, 100, 10, 10});
}
