/* rq.c - RQ codes: bounds that hold in any case hold against double arithmetic on data of every shape; estimates are
 * unbiased over seeds; intervals with a probability hold at least that often; parameters come back, and what are
 * none are refused. */
#include "quant/rq.h"
#include "math/dispatch.h"
#include "vt.h"
#include <math.h>

enum {
    ROWS = 40,
    DIM_MAX = 1100,
    WORK_BYTES = 5 * (DIM_MAX + 64),
    ROW_BYTES_MAX = 2 * (DIM_MAX + 64) + 16,
    KINDS = VSI_CODE_KINDS
};

static const int metrics[] = {VS_L2, VS_IP, VS_COSINE};
static const uint32_t kinds[KINDS] = {1, 2, 4, 8, VSI_CODE_F16, VSI_CODE_BF16};

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_err err;
    vsi_rq *rq;
    uint32_t dim;
    int metric;
    float vectors[ROWS][DIM_MAX], mean[DIM_MAX];
    uint8_t rows[ROWS * (ROW_BYTES_MAX + 7)];
    float work[WORK_BYTES / 4], query_work[WORK_BYTES / 4];
    size_t stride;
} fixture;

static void begin(fixture *f) {
    memset(&f->allocator, 0, sizeof f->allocator);
    memset(&f->err, 0, sizeof f->err);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    f->rq = NULL;
}

static void make(fixture *f, uint32_t dim, int metric, uint32_t kind, uint64_t seed) {
    vsi_rq_spec spec = {dim, kind, metric, seed, f->mean};
    vsi_rq_free(f->rq);
    f->rq = NULL;
    VT_EQ(vsi_rq_create(&f->err, &f->mem, &spec, vsi_codes_choose(NULL), &f->rq), VS_OK);
    f->dim = dim;
    f->metric = metric;
    f->stride = vsi_rq_row_bytes(f->rq->dim, f->rq->kind) + seed % 7;
    VT_CHECK(vsi_rq_work_bytes(f->rq->dim) <= WORK_BYTES);
}

static void end(fixture *f) {
    vsi_rq_free(f->rq);
    VT_EQ(f->allocator.live_blocks, 0);
    free(f);
}

static uint8_t *row_at(fixture *f, size_t i) {
    return f->rows + i * f->stride;
}

/* ---- data ----------------------------------------------------------------------------------- */

enum shape {
    UNIFORM,
    NORMAL,
    CONSTANT,
    DUPLICATES,
    HEAVY,
    ONE_HOT,
    ZEROS,
    TINY,
    LARGE,
    MIXED,
    BYTES,
    SHAPES
};

static double normal(vt_rng *rng) {
    double u = 1 - vt_uniform(rng), v = vt_uniform(rng);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static double element(vt_rng *rng, int shape, uint32_t at, uint32_t hot) {
    switch (shape) {
    case NORMAL:
        return normal(rng) + (at % 3 == 0);
    case CONSTANT:
        return 0.7;
    case HEAVY:
        return normal(rng) / (fabs(normal(rng)) + 1e-4);
    case ONE_HOT:
        return at == hot ? 100 + normal(rng) : 0;
    case ZEROS:
        return 0;
    case TINY:
        return normal(rng) * 1e-15;
    case LARGE:
        return normal(rng) * 1e15;
    case MIXED:
        return normal(rng) * ldexp(1, (int)(at % 60) - 30);
    case BYTES:
        return (double)vt_below(rng, 256);
    default:
        return vt_uniform(rng) - 0.5;
    }
}

/* The last row is the query. Duplicates: of few different vectors, some one step of a float apart. */
static void fill(fixture *f, vt_rng *rng, int shape, uint32_t dim) {
    uint32_t hot = (uint32_t)vt_below(rng, dim);
    for (size_t i = 0; i < ROWS; i++)
        for (uint32_t j = 0; j < dim; j++) {
            f->vectors[i][j] = (float)element(rng, shape, j, hot);
            if (shape == DUPLICATES && i >= 3)
                f->vectors[i][j] =
                    vt_below(rng, 50) ? f->vectors[i % 3][j] : nextafterf(f->vectors[i % 3][j], 9);
        }
}

/* Of the rows, for cosine normalised; kind 1: zeros, kind 2: one of the rows itself. */
static void fill_mean(fixture *f, uint32_t dim, int metric, uint64_t kind) {
    double factor[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        double square = metric == VS_COSINE ? 0 : 1;
        for (uint32_t j = 0; metric == VS_COSINE && j < dim; j++)
            square += (double)f->vectors[i][j] * (double)f->vectors[i][j];
        factor[i] = square > 0 ? 1 / sqrt(square) : 0;
    }
    for (uint32_t j = 0; j < dim; j++) {
        double sum = 0;
        for (size_t i = 0; i < ROWS; i++)
            sum += (double)f->vectors[i][j] * factor[i];
        sum = kind == 2 ? (double)f->vectors[0][j] * factor[0] : sum / ROWS;
        f->mean[j] = kind == 1 ? 0 : (float)sum;
    }
}

/* ---- distances ------------------------------------------------------------------------------ */

/* In double, which loses less than what a bound has to spare. */
static double distance(int metric, const float *a, const float *b, uint32_t dim) {
    double dot = 0, aa = 0, bb = 0, square = 0;
    for (uint32_t j = 0; j < dim; j++) {
        double x = (double)a[j], y = (double)b[j];
        dot += x * y;
        aa += x * x;
        bb += y * y;
        square += (x - y) * (x - y);
    }
    if (metric == VS_COSINE)
        return aa > 0 && bb > 0 ? 1 - dot / sqrt(aa * bb) : 1;
    return metric == VS_L2 ? square : -dot;
}

static double length(const float *a, uint32_t dim) {
    double square = 0;
    for (uint32_t j = 0; j < dim; j++)
        square += (double)a[j] * (double)a[j];
    return sqrt(square);
}

static void encode_all(fixture *f) {
    for (size_t i = 0; i < ROWS; i++)
        VT_CHECK(vsi_rq_encode(f->rq, f->vectors[i], f->work, row_at(f, i)));
}

static void check_bounds(fixture *f, const vsi_rq_query *query, const double *exact) {
    float lower[ROWS], upper[ROWS], again[ROWS];
    vsi_rq_bounds(query, f->rows, f->stride, ROWS, lower, upper);
    vsi_rq_bounds(query, f->rows, f->stride, ROWS, again, NULL);
    VT_CHECK(!memcmp(lower, again, sizeof lower));
    for (size_t i = 0; i < ROWS; i++)
        if (!((double)lower[i] <= exact[i] && exact[i] <= (double)upper[i]))
            vt_fail(__FILE__, __LINE__,
                    "%s, kind %u, dim %u, row %zu: distance %.17g, bounds %.9g .. %.9g",
                    f->rq->kernels->name, f->rq->kind, f->dim, i, exact[i], (double)lower[i],
                    (double)upper[i]);
}

/* The last vector as a query, and the second as a row that is one. */
static void check_tables(fixture *f, const double *exact, const double *exact_row) {
    char names[64];
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
        vsi_rq_query query;
        f->rq->kernels = vsi_codes_choose(name);
        VT_CHECK(vsi_rq_prepare(f->rq, f->vectors[ROWS - 1], 0, f->query_work, &query));
        check_bounds(f, &query, exact);
        VT_CHECK(vsi_rq_prepare_row(f->rq, row_at(f, 1), 0, f->query_work, &query));
        check_bounds(f, &query, exact_row);
    }
}

static void check_shape(fixture *f, vt_rng *rng, int shape, uint32_t dim) {
    fill(f, rng, shape, dim);
    for (size_t m = 0; m < 3; m++) {
        double exact[ROWS], exact_row[ROWS];
        for (size_t i = 0; i < ROWS; i++) {
            exact[i] = distance(metrics[m], f->vectors[ROWS - 1], f->vectors[i], dim);
            exact_row[i] = distance(metrics[m], f->vectors[1], f->vectors[i], dim);
        }
        for (size_t w = 0; w < KINDS; w++) {
            fill_mean(f, dim, metrics[m], vt_below(rng, 3));
            make(f, dim, metrics[m], kinds[w], vt_random(rng));
            encode_all(f);
            check_tables(f, exact, exact_row);
        }
    }
}

/* The last two dims are two thirds of the numbers; emulators compute slowly, so not with VT_BRIEF. */
VT_TEST(bounds_hold_against_double_arithmetic_on_data_of_every_shape_in_every_table) {
    static const uint32_t dims[] = {1, 2, 7, 63, 64, 65, 100, 128, 300, 784, 1023};
    size_t count = sizeof dims / sizeof dims[0] - (getenv("VT_BRIEF") ? 2 : 0);
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t d = 0; d < count; d++)
        for (int shape = 0; shape < SHAPES; shape++) {
            vt_at("shape", (uint64_t)shape);
            check_shape(f, &rng, shape, dims[d]);
        }
    end(f);
}

VT_TEST(bounds_hold_for_every_small_dim) {
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (uint32_t dim = 1; dim <= 300; dim += dim < 20 ? 1 : 1 + (uint32_t)vt_below(&rng, 40))
        check_shape(f, &rng, (int)vt_below(&rng, SHAPES), dim);
    end(f);
}

/* What the codes are for: bounds that exclude most rows. With a query of which the rows are independent half the
 * width is at most |r| |q| times the share that the grid misses, some more for the query's bytes. One row's share
 * varies, with one bit by 6 %; the mean of 20 has 7 of its deviations to spare. */
VT_TEST(bounds_are_as_tight_as_the_bits_allow) {
    static const double share[] = {0.66, 0.38, 0.13, 0.022, 0.00026, 0.0019};
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t w = 0; w < KINDS; w++) {
        vsi_rq_query query;
        float lower[ROWS], upper[ROWS];
        double sum = 0;
        fill(f, &rng, NORMAL, 768);
        fill_mean(f, 768, VS_L2, 1);
        make(f, 768, VS_L2, kinds[w], vt_random(&rng));
        encode_all(f);
        VT_CHECK(vsi_rq_prepare(f->rq, f->vectors[ROWS - 1], 0, f->query_work, &query));
        vsi_rq_bounds(&query, f->rows, f->stride, ROWS, lower, upper);
        for (size_t i = 0; i + 1 < ROWS; i++) {
            double whole = length(f->vectors[i], 768) * length(f->vectors[ROWS - 1], 768);
            sum += (double)(upper[i] - lower[i]) / 4 / whole;
        }
        VT_CHECK(sum / (ROWS - 1) <= share[w]);
    }
    end(f);
}

VT_TEST(bounds_can_cover_the_error_of_the_kernels_that_decide) {
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t m = 0; m < 3; m++) {
        vsi_rq_query query;
        float lower[ROWS], upper[ROWS];
        fill(f, &rng, NORMAL, 100);
        fill_mean(f, 100, metrics[m], 0);
        make(f, 100, metrics[m], 8, vt_random(&rng));
        encode_all(f);
        VT_CHECK(vsi_rq_prepare(f->rq, f->vectors[ROWS - 1], 0.25, f->query_work, &query));
        vsi_rq_bounds(&query, f->rows, f->stride, ROWS, lower, upper);
        for (size_t i = 0; i < ROWS; i++) {
            double d = distance(metrics[m], f->vectors[ROWS - 1], f->vectors[i], 100),
                   size = fabs(d);
            double own = 0, other = 0;
            for (uint32_t j = 0; j < 100; j++) {
                own += (double)f->vectors[i][j] * (double)f->vectors[i][j];
                other += (double)f->vectors[ROWS - 1][j] * (double)f->vectors[ROWS - 1][j];
            }
            size = metrics[m] == VS_L2 ? size : metrics[m] == VS_IP ? sqrt(own * other) : 1;
            VT_CHECK((double)lower[i] <= d - 0.25 * size && d + 0.25 * size <= (double)upper[i]);
        }
    }
    end(f);
}

/* A row that is the query as well: their product is as large as it gets, and one that had no room for it would be far off.
 * Lengths are powers of two, a step of a float below, and half as long again. */
VT_TEST(products_of_halves_have_room_whatever_the_lengths_are) {
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    memset(f->mean, 0, sizeof f->mean);
    for (size_t w = 4; w < KINDS; w++)
        for (int power = -38; power <= 58; power++) {
            make(f, 640, VS_IP, kinds[w], vt_random(&rng));
            for (size_t i = 0; i < ROWS; i++) {
                vsi_rq_query query;
                float lower, upper, length = (float)ldexp(1, power);
                length = i % 3 == 0 ? nextafterf(length, 0) : i % 3 == 1 ? length : 1.5f * length;
                memset(f->vectors[i], 0, sizeof f->vectors[i]);
                f->vectors[i][vt_below(&rng, 640)] = i % 2 ? length : -length;
                VT_CHECK(vsi_rq_encode(f->rq, f->vectors[i], f->work, f->rows));
                VT_CHECK(vsi_rq_check(f->rq, f->vectors[i], f->work, f->rows));
                double square = (double)length * (double)length;
                VT_CHECK(vsi_rq_prepare(f->rq, f->vectors[i], 0, f->query_work, &query));
                vsi_rq_bounds(&query, f->rows, f->stride, 1, &lower, &upper);
                VT_CHECK((double)lower <= -square && -square <= (double)upper);
                VT_CHECK((double)(upper - lower) <= 0.01 * square);
                VT_CHECK(vsi_rq_prepare_row(f->rq, f->rows, 0, f->query_work, &query));
                vsi_rq_bounds(&query, f->rows, f->stride, 1, &lower, &upper);
                VT_CHECK((double)lower <= -square && -square <= (double)upper);
                VT_CHECK((double)(upper - lower) <= 0.01 * square);
            }
        }
    end(f);
}

/* ---- estimates ------------------------------------------------------------------------------ */

/* Over seeds the mean of n errors is normal about zero with deviation s / sqrt(n), s measured: beyond 5.5 of these it
 * is once in 2 * 10^7. The 12 cases and the seed of the test make that once in a million runs. What seeds do depends on
 * no processor: with VT_BRIEF a tenth of them, of which s is known less well, which makes it once in 280,000. */
VT_TEST(estimates_are_unbiased_over_seeds) {
    enum { DIM = 96 };
    const int seeds = getenv("VT_BRIEF") ? 100 : 1000;
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t w = 0; w < KINDS; w++)
        for (size_t m = 0; m < 3; m++) {
            double sum = 0, squares = 0;
            fill(f, &rng, NORMAL, DIM);
            fill_mean(f, DIM, metrics[m], 0);
            double d = distance(metrics[m], f->vectors[0], f->vectors[1], DIM);
            for (int i = 0; i < seeds; i++) {
                vsi_rq_query query;
                float estimate;
                make(f, DIM, metrics[m], kinds[w], vt_random(&rng));
                VT_CHECK(vsi_rq_encode(f->rq, f->vectors[1], f->work, f->rows));
                VT_CHECK(vsi_rq_prepare(f->rq, f->vectors[0], 0, f->query_work, &query));
                vsi_rq_estimates(&query, f->rows, f->stride, 1, &estimate);
                sum += (double)estimate - d;
                squares += ((double)estimate - d) * ((double)estimate - d);
            }
            double deviation = sqrt(squares / seeds), off = sum / seeds;
            if (fabs(off) > 5.5 * deviation / sqrt(seeds) + 1e-6 * fabs(d))
                vt_fail(__FILE__, __LINE__, "kind %u, %s: off by %g, deviation %g", kinds[w],
                        metrics[m] == VS_L2   ? "l2"
                        : metrics[m] == VS_IP ? "ip"
                                              : "cosine",
                        off, deviation);
            VT_CHECK(deviation > 0);
        }
    end(f);
}

/* At most 2 exp(-x^2 / 2) of the distances may lie outside: 27 % for 2 deviations, 2.2 % for 3. A normal distribution
 * has 4.6 % and 0.27 % there, so the limit is far above what is expected, and a failure no chance. */
VT_TEST(intervals_with_a_probability_hold_at_least_that_often) {
    static const uint32_t dims[] = {7, 100, 768};
    const size_t count = getenv("VT_BRIEF") ? 2 : 3;
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t w = 0; w < KINDS; w++)
        for (size_t m = 0; m < 3; m++)
            for (size_t s = 0; s < count; s++) {
                size_t outside[2] = {0, 0}, all = 0;
                for (int round = 0; round < 12; round++) {
                    vsi_rq_query query;
                    float estimate[ROWS], wide[ROWS];
                    fill(f, &rng, round % 2 ? NORMAL : ONE_HOT, dims[s]);
                    fill_mean(f, dims[s], metrics[m], 0);
                    make(f, dims[s], metrics[m], kinds[w], vt_random(&rng));
                    encode_all(f);
                    VT_CHECK(vsi_rq_prepare(f->rq, f->vectors[ROWS - 1], 0, f->query_work, &query));
                    for (int k = 0; k < 2; k++) {
                        vsi_rq_deviations(&query, 2 + k);
                        vsi_rq_likely(&query, f->rows, f->stride, ROWS, estimate, wide);
                        for (size_t i = 0; i + 1 < ROWS; i++) {
                            double d =
                                distance(metrics[m], f->vectors[ROWS - 1], f->vectors[i], dims[s]);
                            outside[k] += fabs((double)estimate[i] - d) > (double)wide[i];
                        }
                    }
                    all += ROWS - 1;
                }
                VT_CHECK((double)outside[0] <= 2 * exp(-2.0) * (double)all);
                VT_CHECK((double)outside[1] <= 2 * exp(-4.5) * (double)all);
            }
    end(f);
}

/* ---- rows ----------------------------------------------------------------------------------- */

VT_TEST(decoding_gives_about_the_vector) {
    static const double share[] = {0.66, 0.38, 0.13, 0.013, 0.00024, 0.0019};
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t w = 0; w < KINDS; w++)
        for (int shape = 0; shape < SHAPES; shape++) {
            double missed = 0, all = 0;
            float out[DIM_MAX];
            fill(f, &rng, shape, 500);
            fill_mean(f, 500, VS_L2, 1);
            make(f, 500, VS_L2, kinds[w], vt_random(&rng));
            encode_all(f);
            for (size_t i = 0; i < ROWS; i++) {
                VT_CHECK(vsi_rq_decode(f->rq, row_at(f, i), f->work, out));
                double whole = length(f->vectors[i], 500);
                missed += whole > 0 ? sqrt(distance(VS_L2, out, f->vectors[i], 500)) / whole : 0;
                all += whole > 0;
                VT_CHECK(whole > 0 || distance(VS_L2, out, f->vectors[i], 500) == 0);
            }
            /* What is too short has a code of length zero. Equal rows have equal shares, so no mean helps. */
            double most = shape == TINY
                              ? 1 + 1e-9
                              : share[w] * (shape >= CONSTANT && shape <= ONE_HOT ? 1.3 : 1);
            VT_CHECK(missed <= most * all);
        }
    end(f);
}

/* What a head says is missed is what decoding shows, but for what floats lose: a part in 10^5 of the length.
 * 320 dims need no padding, which would take a share that decoding does not show. */
VT_TEST(the_error_of_a_row_is_what_decoding_misses_and_not_less) {
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t w = 0; w < KINDS; w++)
        for (int shape = 0; shape < SHAPES; shape++) {
            float out[DIM_MAX], head[4];
            fill(f, &rng, shape, 320);
            fill_mean(f, 320, VS_L2, 1);
            make(f, 320, VS_L2, kinds[w], vt_random(&rng));
            encode_all(f);
            for (size_t i = 0; i < ROWS; i++) {
                VT_CHECK(vsi_rq_decode(f->rq, row_at(f, i), f->work, out));
                vsi_copy_le(head,
                            row_at(f, i) + vsi_rq_row_bytes(f->rq->dim, f->rq->kind) - sizeof head,
                            4, sizeof(float));
                double missed = sqrt(distance(VS_L2, out, f->vectors[i], 320)),
                       error = (double)head[VSI_HEAD_ERROR];
                double slack = 1e-5 * length(f->vectors[i], 320) + 1e-14;
                VT_CHECK(error >= missed - slack && error <= missed + slack);
            }
        }
    end(f);
}

VT_TEST(vectors_that_are_not_finite_or_too_long_have_no_code_and_are_never_excluded) {
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e30f};
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t m = 0; m < 3; m++)
        for (size_t w = 0; w < KINDS; w++)
            for (size_t b = 0; b < 4; b++) {
                vsi_rq_query query;
                float lower[2], upper[2], out[DIM_MAX];
                bool fits = metrics[m] == VS_COSINE && b == 3;
                memset(f->mean, 0, sizeof f->mean);
                fill(f, &rng, NORMAL, 100);
                make(f, 100, metrics[m], kinds[w], 1);
                f->vectors[0][vt_below(&rng, 100)] = bad[b];
                VT_EQ(vsi_rq_encode(f->rq, f->vectors[0], f->work, f->rows), fits);
                VT_EQ(vsi_rq_prepare(f->rq, f->vectors[0], 0, f->query_work, &query), fits);
                VT_EQ(vsi_rq_prepare_row(f->rq, f->rows, 0, f->query_work, &query), fits);
                VT_EQ(vsi_rq_decode(f->rq, f->rows, f->work, out), fits);
                VT_CHECK(vsi_rq_prepare(f->rq, f->vectors[1], 0, f->query_work, &query));
                vsi_rq_bounds(&query, f->rows, f->stride, 1, lower, upper);
                VT_CHECK(fits || (lower[0] == -INFINITY && upper[0] == INFINITY));
                vsi_rq_estimates(&query, f->rows, f->stride, 1, lower);
                VT_CHECK(fits || lower[0] == -INFINITY);
            }
    end(f);
}

/* A row that one table has made is right by all of them, on data of every shape; one of another vector, or with a
 * head that says something else, is not. */
VT_TEST(rows_are_right_of_their_own_vectors_only_whatever_table_made_them) {
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    char names[64];
    begin(f);
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " "))
        for (int shape = 0; shape < SHAPES; shape++)
            for (size_t m = 0; m < 3; m++) {
                uint32_t dim = 8 + (uint32_t)vt_below(&rng, 300),
                         kind = kinds[vt_below(&rng, KINDS)];
                fill(f, &rng, shape, dim);
                fill_mean(f, dim, metrics[m], 0);
                make(f, dim, metrics[m], kind, vt_random(&rng));
                const vsi_codes *own = f->rq->kernels;
                for (size_t i = 0; i < ROWS; i++) {
                    vsi_rq_encode(f->rq, f->vectors[i], f->work, row_at(f, i));
                    f->rq->kernels = vsi_codes_choose(name);
                    VT_CHECK(vsi_rq_check(f->rq, f->vectors[i], f->work, row_at(f, i)));
                    f->rq->kernels = own;
                }
                if (shape != NORMAL || kind == 1)
                    continue;
                VT_CHECK(!vsi_rq_check(f->rq, f->vectors[1], f->work, row_at(f, 0)));
                for (size_t at = 0; at < 4; at++) {
                    float number;
                    uint8_t *head = row_at(f, 0) + f->rq->code_bytes + 4 * at;
                    vsi_copy_le(&number, head, 1, 4);
                    number *= 1.02f;
                    vsi_copy_le(head, &number, 1, 4);
                    VT_CHECK(!vsi_rq_check(f->rq, f->vectors[0], f->work, row_at(f, 0)));
                    number /= 1.02f;
                    vsi_copy_le(head, &number, 1, 4);
                }
            }
    end(f);
}

/* A vector that is the mean leaves nothing: no length, and no factor that anything may be multiplied with. */
VT_TEST(rows_of_no_length_have_no_inverse_and_one_that_has_is_wrong) {
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t w = 0; w < KINDS; w++) {
        const float one = 1;
        fill(f, &rng, NORMAL, 100);
        memcpy(f->mean, f->vectors[0], 100 * sizeof(float));
        make(f, 100, VS_L2, kinds[w], vt_random(&rng));
        VT_CHECK(vsi_rq_encode(f->rq, f->vectors[0], f->work, f->rows));
        VT_CHECK(vsi_rq_check(f->rq, f->vectors[0], f->work, f->rows));
        vsi_copy_le(f->rows + f->rq->code_bytes + (size_t)4 * VSI_HEAD_INVERSE, &one, 1, 4);
        VT_CHECK(!vsi_rq_check(f->rq, f->vectors[0], f->work, f->rows));
    }
    end(f);
}

VT_TEST(equal_vectors_have_equal_rows_and_nothing_is_written_behind_them) {
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (uint32_t dim = 1; dim < 400; dim += 37)
        for (size_t w = 0; w < KINDS; w++) {
            fill(f, &rng, NORMAL, dim);
            fill_mean(f, dim, VS_L2, 0);
            make(f, dim, VS_L2, kinds[w], dim);
            size_t bytes = vsi_rq_row_bytes(f->rq->dim, f->rq->kind);
            VT_EQ(bytes, (dim + 63) / 64 * 64 * (kinds[w] < 16 ? kinds[w] : 16) / 8 + 16);
            memset(f->rows, 0x5a, sizeof f->rows);
            VT_CHECK(vsi_rq_encode(f->rq, f->vectors[0], f->work, f->rows));
            VT_EQ(f->rows[bytes], 0x5a);
            uint8_t copy[ROW_BYTES_MAX];
            memcpy(copy, f->rows, bytes);
            memset(f->rows, 0, bytes);
            VT_CHECK(vsi_rq_encode(f->rq, f->vectors[0], f->query_work, f->rows));
            VT_CHECK(!memcmp(copy, f->rows, bytes));
        }
    end(f);
}

/* ---- parameters ----------------------------------------------------------------------------- */

VT_TEST(parameters_come_back_and_make_the_same_rows) {
    fixture *f = calloc(1, sizeof *f);
    vt_rng rng = {vt_seed()};
    begin(f);
    for (size_t m = 0; m < 3; m++)
        for (size_t w = 0; w < KINDS; w++) {
            static uint8_t packed[24 + 4 * DIM_MAX], again[24 + 4 * DIM_MAX];
            uint8_t row[ROW_BYTES_MAX];
            vsi_rq *back;
            uint32_t dim = 1 + (uint32_t)vt_below(&rng, 1000);
            fill(f, &rng, NORMAL, dim);
            fill_mean(f, dim, metrics[m], 0);
            make(f, dim, metrics[m], kinds[w], vt_random(&rng));
            VT_EQ(vsi_rq_packed_bytes(f->rq), 24 + 4 * dim);
            vsi_rq_write(f->rq, packed);
            VT_EQ(vsi_rq_read(&f->err, &f->mem, (vsi_bytes){packed, 24 + 4 * dim}, f->rq->kernels,
                              &back),
                  VS_OK);
            vsi_rq_write(back, again);
            VT_CHECK(!memcmp(packed, again, 24 + 4 * dim));
            VT_CHECK(vsi_rq_encode(f->rq, f->vectors[0], f->work, f->rows));
            VT_CHECK(vsi_rq_encode(back, f->vectors[0], f->work, row));
            VT_CHECK(!memcmp(row, f->rows, vsi_rq_row_bytes(back->dim, back->kind)));
            vsi_rq_free(back);
        }
    end(f);
}

/* Reads packed with one byte changed, or cut; restores it. */
static vs_status read_changed(fixture *f, uint8_t *packed, size_t bytes, size_t at, uint8_t value) {
    vsi_rq *back = NULL;
    uint8_t was = packed[at], *exact = malloc(bytes + 1);
    packed[at] = value;
    memcpy(exact, packed, bytes);
    packed[at] = was;
    f->err = (vsi_err){0};
    vs_status st =
        vsi_rq_read(&f->err, &f->mem, (vsi_bytes){exact, bytes}, vsi_codes_choose(NULL), &back);
    free(exact);
    VT_EQ(st != VS_OK, f->err.text[0] != 0);
    VT_EQ(st, f->err.code);
    VT_EQ(st == VS_OK, back != NULL);
    vsi_rq_free(back);
    return st;
}

VT_TEST(bytes_that_are_no_parameters_are_refused) {
    fixture *f = calloc(1, sizeof *f);
    uint8_t packed[24 + 4 * 5 + 4];
    begin(f);
    memset(f->mean, 0, sizeof f->mean);
    make(f, 5, VS_L2, 4, 99);
    size_t bytes = vsi_rq_packed_bytes(f->rq);
    vsi_rq_write(f->rq, packed);
    for (size_t cut = 0; cut < bytes; cut++)
        VT_EQ(read_changed(f, packed, cut, bytes, 0), VS_ERR_CORRUPT);
    VT_EQ(read_changed(f, packed, bytes + 1, bytes, 0), VS_ERR_CORRUPT);
    VT_CONTAINS(f->err.text, "45 bytes for dim 5, expected 44");
    for (int value = 0; value < 256; value++) {
        uint8_t v = (uint8_t)value;
        VT_EQ(read_changed(f, packed, bytes, 0, v), v == 0   ? VS_ERR_CORRUPT
                                                    : v == 1 ? VS_OK
                                                             : VS_ERR_UNSUPPORTED);
        VT_EQ(read_changed(f, packed, bytes, 4, v) == VS_OK,
              v == 1 || v == 2 || v == 4 || v == 8 || v == 16 || v == 17);
        VT_EQ(read_changed(f, packed, bytes, 5, v) == VS_OK,
              v == VS_L2 || v == VS_IP || v == VS_COSINE);
        for (size_t at = 6; at < 16; at++)
            VT_EQ(read_changed(f, packed, bytes, at, v) == VS_OK, v == packed[at]);
        VT_EQ(read_changed(f, packed, bytes, 16, v), VS_OK);
    }
    end(f);
}

VT_TEST(a_mean_that_is_not_finite_or_too_long_is_refused) {
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e18f, 1.1f};
    fixture *f = calloc(1, sizeof *f);
    uint8_t packed[24 + 4 * 5 + 1];
    begin(f);
    for (size_t m = 0; m < 3; m++)
        for (size_t b = 0; b < 5; b++) {
            vsi_rq *rq = NULL;
            bool fits = b == 4 && metrics[m] != VS_COSINE;
            vsi_rq_spec spec = {5, 4, metrics[m], 1, f->mean};
            memset(f->mean, 0, sizeof f->mean);
            make(f, 5, metrics[m], 4, 1);
            vsi_rq_write(f->rq, packed);
            f->mean[3] = bad[b];
            VT_EQ(vsi_rq_create(&f->err, &f->mem, &spec, vsi_codes_choose(NULL), &rq),
                  fits ? VS_OK : VS_ERR_INVALID);
            vsi_rq_free(rq);
            vsi_copy_le(packed + 24, f->mean, 5, sizeof(float));
            VT_EQ(read_changed(f, packed, sizeof packed - 1, sizeof packed - 1, 0),
                  fits ? VS_OK : VS_ERR_CORRUPT);
        }
    end(f);
}

VT_TEST(specs_that_there_are_no_codes_for_are_refused) {
    static const vsi_rq_spec bad[] = {
        {0, 4, VS_L2, 1, NULL}, {65536, 4, VS_L2, 1, NULL}, {5, 0, VS_L2, 1, NULL},
        {5, 3, VS_L2, 1, NULL}, {5, 18, VS_L2, 1, NULL},    {5, 4, VS_HAMMING, 1, NULL},
        {5, 4, VS_L1, 1, NULL}, {5, 4, 0, 1, NULL},         {5, 4, 99, 1, NULL}};
    fixture *f = calloc(1, sizeof *f);
    begin(f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vsi_rq *rq = NULL;
        VT_EQ(vsi_rq_create(&f->err, &f->mem, &bad[i], vsi_codes_choose(NULL), &rq),
              VS_ERR_INVALID);
        VT_CONTAINS(f->err.text, "codes: ");
        VT_CHECK(!rq);
    }
    end(f);
}

VT_TEST(without_memory_nothing_is_made_and_nothing_stays_behind) {
    fixture *f = calloc(1, sizeof *f);
    uint8_t packed[24 + 4 * 70];
    begin(f);
    make(f, 70, VS_L2, 4, 1);
    vsi_rq_write(f->rq, packed);
    for (uint64_t at = 1; at <= 4; at++) {
        vsi_rq *rq = NULL;
        f->allocator.calls = 0;
        f->allocator.fail_at = at;
        VT_EQ(
            vsi_rq_read(&f->err, &f->mem, (vsi_bytes){packed, sizeof packed}, f->rq->kernels, &rq),
            VS_ERR_NOMEM);
        VT_CHECK(!rq);
    }
    f->allocator.fail_at = 0;
    end(f);
}
