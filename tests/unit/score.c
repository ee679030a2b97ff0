/* score.c - distances of rows against plain formulas in double, and what a limit may leave out. */
#include "query/score.h"
#include "vt.h"

enum { DIM = 24, ROWS = 60 };

static const int types[] = {VS_F32, VS_F16, VS_BF16, VS_U8, VS_I8, VS_BIT};

static float make_element(vt_rng *rng, int type, double scale) {
    if (type == VS_BIT)
        return (float)vt_below(rng, 2);
    if (type == VS_U8 || type == VS_I8)
        return (float)vt_below(rng, 5);
    return (float)(scale * ((double)vt_below(rng, 9) - 4));
}

static double plain_distance(int metric, const float *a, const float *b) {
    double sum = 0, dot = 0, aa = 0, bb = 0, either = 0;
    for (int j = 0; j < DIM; j++) {
        double x = (double)a[j], y = (double)b[j];
        sum += metric == VS_L2 ? (x - y) * (x - y) : fabs(x - y);
        dot += x * y;
        aa += x * x;
        bb += y * y;
        either += x + y > 0;
    }
    if (metric == VS_IP)
        return -dot;
    if (metric == VS_COSINE)
        return aa > 0 && bb > 0 ? 1 - dot / sqrt(aa * bb) : 1;
    if (metric == VS_JACCARD)
        return either > 0 ? 1 - dot / either : 0;
    return sum;
}

/* Rows of a type, with zeros and equal ones among them, as they are stored and as floats. */
static void make_rows(vt_rng *rng, const vsi_field *field, double scale, uint8_t *out,
                      float value[][DIM], size_t n) {
    for (size_t i = 0; i < n; i++) {
        vsi_err err = {0};
        bool is_zero = vt_below(rng, 12) == 0;
        for (int j = 0; j < DIM; j++)
            value[i][j] = is_zero ? 0 : make_element(rng, field->type, scale);
        if (i && vt_below(rng, 6) == 0)
            memcpy(value[i], value[i - 1], sizeof value[i]);
        VT_EQ(vsi_vector_convert(&err, value[i], VS_F32, out + i * field->vector_bytes, field->type,
                                 DIM, NULL),
              VS_OK);
        VT_EQ(vsi_vector_convert(&err, out + i * field->vector_bytes, field->type,
                                 (uint8_t *)value[i], VS_F32, DIM, NULL),
              VS_OK);
    }
}

/* What is kept at a limit: everything that is near enough, and sums that finish as they would have; the others are farther.
 * Adds how many are left out and how many could have been. */
static void check_limit(const vsi_score *score, const uint8_t *rows, const double *all,
                        double limit, int shape, uint64_t io_left_out[2]) {
    const void *row[ROWS];
    double out[ROWS], norm[ROWS] = {0};
    uint16_t place[ROWS];
    bool is_kept[ROWS] = {false};
    for (size_t i = 0; i < ROWS; i++)
        row[i] = rows + i * score->field->vector_bytes;
    if (shape)
        vsi_score_sums_of(score, row, ROWS, out, norm);
    else
        vsi_score_sums(score, rows, ROWS, out, norm);
    size_t kept = vsi_score_near(score, ROWS, limit, out, norm, place);
    size_t doubts = vsi_score_finish(score, kept, out, norm);
    for (size_t i = 0; i < kept; i++) {
        VT_CHECK(place[i] < ROWS && (!i || place[i] > place[i - 1]));
        is_kept[place[i]] = true;
        doubts -= (size_t)(isnan(out[i]) != 0);
        double distance = isnan(out[i]) ? vsi_score_row(score, row[place[i]]) : out[i];
        VT_CHECK(distance == all[place[i]]);
    }
    VT_EQ(doubts, 0);
    for (size_t i = 0; i < ROWS; i++) {
        if (!is_kept[i] && !(all[i] > limit))
            vt_fail(__FILE__, __LINE__, "%s, %s %s: a row at %.17g is left out at %.17g",
                    score->kernels->name, vsi_type_name(score->field->type),
                    vsi_metric_name(score->field->metric), all[i], limit);
        io_left_out[0] += !is_kept[i];
        io_left_out[1] += all[i] > limit;
    }
}

static void check_limits(const vsi_score *score, const uint8_t *rows, const double *all,
                         uint64_t io_left_out[2]) {
    for (size_t l = 0; l < 3 * ROWS; l++) { /* each distance, and a little below and above it */
        double limit = all[l / 3];
        limit = l % 3 == 0 ? limit : nextafter(limit, l % 3 == 1 ? -INFINITY : INFINITY);
        check_limit(score, rows, all, limit, (int)l % 2, io_left_out);
    }
    check_limit(score, rows, all, INFINITY, 0, io_left_out);
}

static void check_scores(vt_rng *rng, const vsi_kernels *kernels, int type, int metric,
                         double scale, uint64_t io_left_out[2]) {
    static vsi_field field;
    static uint8_t query[4 * DIM], rows[ROWS * 4 * DIM];
    static float memory[DIM + VSI_WIDEN_PAD];
    static float query_value[1][DIM], value[ROWS][DIM];
    double out[ROWS], scratch[ROWS];
    field.type = type;
    field.metric = metric;
    field.dim = DIM;
    field.element_bytes = vsi_type_bytes(type);
    field.vector_bytes = vsi_vector_bytes(type, DIM);
    make_rows(rng, &field, scale, query, query_value, 1);
    make_rows(rng, &field, scale, rows, value, ROWS);
    vsi_score score = vsi_score_begin(kernels, &field, query, memory);
    vsi_score_rows(&score, rows, ROWS, out, scratch);
    for (size_t i = 0; i < ROWS; i++) {
        double expected = plain_distance(metric, query_value[0], value[i]);
        double size = metric == VS_COSINE ? 1 : fabs(expected) + scale * scale * DIM;
        if (!(fabs(out[i] - expected) <= 1e-5 * size))
            vt_fail(__FILE__, __LINE__, "%s, %s %s of scale %g: %.17g, expected %.17g",
                    kernels->name, vsi_type_name(type), vsi_metric_name(metric), scale, out[i],
                    expected);
    }
    check_limits(&score, rows, out, io_left_out);
}

/* Scales at which squares leave the range of single precision, on either side. */
VT_TEST(distances_are_right_and_a_limit_leaves_out_only_what_is_beyond) {
    static const double scales[] = {1, 1e-3, 1e-22, 1e20, 1e30};
    char names[64];
    vt_rng rng = {vt_seed()};
    uint64_t left_out[VSI_METRICS][2] = {{0, 0}}, ignored[2] = {0, 0};
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " "))
        for (size_t t = 0; t < sizeof types / sizeof types[0]; t++)
            for (int metric = VS_L2; metric <= VS_JACCARD; metric++)
                for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
                    bool fits = types[t] == VS_F32 || types[t] == VS_BF16 || s < 2;
                    for (int round = 0; fits && round < 4; round++)
                        if (vsi_metric_fits(metric, types[t]))
                            check_scores(&rng, vsi_kernels_choose(name), types[t], metric,
                                         scales[s], s ? ignored : left_out[metric]);
                }
    for (int metric = VS_L2; metric <= VS_JACCARD; metric++)
        VT_CHECK(left_out[metric][0] > left_out[metric][1] / 2); /* zeros are no cosines */
}
