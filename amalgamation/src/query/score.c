/* score.c - the distances of rows from a query. */
#include "query/score.h"
#include "math/kernels_scalar.h"

/* Underflow in single precision takes at most 2^-126 per element from a sum. In sums below this many
 * times the dimension that could be more than the last bit. */
static const double score_sum_trusted = 0x1p-102;

/* Below this a squared norm may have lost its value to underflow. */
static const double score_norm_trusted = 1e-30;

static double score_cosine(double dot, double query_norm, double row_norm) {
    if (query_norm == 0 || row_norm == 0)
        return 1;
    double distance = 1 - dot / sqrt(query_norm * row_norm);
    return distance < 0 ? 0 : distance > 2 ? 2 : distance; /* rounding goes no further than that */
}

/* What a kernel's sums are as a distance. */
static double score_distance(int metric, double sum, double norm, double query_norm) {
    switch (metric) {
    case VS_IP:
        return 0 - sum;
    case VS_COSINE:
        return score_cosine(sum, query_norm, norm);
    case VS_JACCARD:
        return norm > 0 ? 1 - sum / norm : 0;
    default:
        return sum;
    }
}

/* A row of floats whose sums left the range of single precision, above or below, in double. */
static double score_in_double(const vsi_score *score, const void *row) {
    const vsi_field *field = score->field;
    vsi_kernel *kernel = vsi_kernels_find(vsi_kernels_scalar(), field->type, field->metric);
    double sum = 0, norm = 0, query_sum = 0, query_norm = 0;
    kernel(score->query, row, field->dim, 1, &sum, &norm);
    if (field->metric == VS_COSINE)
        kernel(score->query, score->query, field->dim, 1, &query_sum, &query_norm);
    return score_distance(field->metric, sum, norm, query_norm);
}

static bool score_norm_is_trusted(double norm) {
    return norm >= score_norm_trusted && norm <= DBL_MAX;
}

/* Whether sums of floats in single precision stayed in its range. */
static bool score_is_trusted(const vsi_score *score, double sum, double norm) {
    if (!isfinite(sum))
        return false;
    if (score->field->metric == VS_COSINE)
        return score_norm_is_trusted(norm) && score_norm_is_trusted(score->query_norm);
    return fabs(sum) >= score_sum_trusted * (double)score->field->dim;
}

/* Whether sums of a type may leave the range. */
static bool score_is_wide(int type) {
    return type == VS_F32 || type == VS_BF16;
}

/* Of one row, from what a kernel wrote. */
static double score_of(const vsi_score *score, const void *row, double sum, double norm) {
    return !score_is_wide(score->field->type) || score_is_trusted(score, sum, norm)
               ? score_distance(score->field->metric, sum, norm, score->query_norm)
               : score_in_double(score, row);
}

/* Sums that are distances as they are, or with the other sign. */
static bool score_plain(const vsi_score *score, size_t n, double *out) {
    const bool is_ip = score->field->metric == VS_IP;
    const double least =
        score_is_wide(score->field->type) ? score_sum_trusted * (double)score->field->dim : 0;
    int doubts = 0;
    for (size_t i = 0; i < n; i++)
        doubts += !(fabs(out[i]) >= least && fabs(out[i]) <= DBL_MAX);
    for (size_t i = 0; !doubts && is_ip && i < n; i++)
        out[i] = 0 - out[i];
    return !doubts;
}

/* A row whose inner product is negative, or its square below this times the row's squared norm, is beyond limit:
 * 1 - dot / sqrt(query_norm * norm) > limit, with room for rounding. 0: that tells nothing. */
static double score_cosine_square(const vsi_score *score, double limit) {
    double least = 1 - limit - 1e-15; /* distances round to multiples of 2^-53 */
    if (least <= 0 ||
        (score_is_wide(score->field->type) && !score_norm_is_trusted(score->query_norm)))
        return 0;
    return least * least * score->query_norm * (1 - 1e-12);
}

/* Distances of n rows from what a kernel wrote; row i is rows[i] or, when that is NULL, the i-th one from first on. */
static void score_finish(const vsi_score *score, const uint8_t *first, const void *const *rows,
                         size_t n, double limit, double *out, const double *norm) {
    const vsi_field *field = score->field;
    const bool is_cosine = field->metric == VS_COSINE;
    const double square = is_cosine ? score_cosine_square(score, limit) : 0;
    if (!is_cosine && field->metric != VS_JACCARD && score_plain(score, n, out))
        return;
    for (size_t i = 0; i < n; i++) {
        bool is_beyond = square > 0 && score_norm_is_trusted(norm[i]) && out[i] >= -DBL_MAX &&
                         (out[i] < 0 || out[i] * out[i] < square * norm[i]);
        out[i] = is_beyond ? INFINITY
                           : score_of(score, rows ? rows[i] : first + i * field->vector_bytes,
                                      out[i], norm[i]);
    }
}

/* Below so many elements vector registers gain nothing, and sums in double keep apart what single precision would not:
 * points of a map, say. */
enum { SCORE_SHORT_DIMS = 8 };

/* The query's norm is computed by the kernel that computes the rows', so that equal vectors are at distance 0. */
VSI_FN vsi_score vsi_score_begin(const vsi_kernels *kernels, const vsi_field *field,
                                 const void *query) {
    vsi_score score = {.kernels = kernels, .field = field, .query = query};
    if (field->dim < SCORE_SHORT_DIMS)
        score.kernels = vsi_kernels_scalar();
    double sum = 0;
    if (field->metric == VS_COSINE)
        vsi_kernels_find(score.kernels, field->type, VS_COSINE)(query, query, field->dim, 1, &sum,
                                                                &score.query_norm);
    return score;
}

/* Sums of floats are within 300 * 2^-24 of their terms' magnitudes (query/tile has the same); a cosine has three of them.
 * Whole numbers are summed exactly, and doubles round behind that. */
VSI_FN double vsi_score_error(const vsi_field *field) {
    const bool is_whole = field->type == VS_U8 || field->type == VS_I8;
    double sum = is_whole ? 0x1p-48 : 300 * 0x1p-24;
    return field->metric == VS_COSINE ? 4 * sum : sum;
}

VSI_FN void vsi_score_rows(const vsi_score *score, const uint8_t *rows, size_t n, double limit,
                           double *out, double *scratch) {
    const vsi_field *field = score->field;
    vsi_kernels_find(score->kernels, field->type, field->metric)(score->query, rows, field->dim, n,
                                                                 out, scratch);
    score_finish(score, rows, NULL, n, limit, out, scratch);
}

VSI_FN void vsi_score_some(const vsi_score *score, const void *const *rows, size_t n, double limit,
                           double *out, double *scratch) {
    const vsi_field *field = score->field;
    vsi_kernels_find_gather(score->kernels, field->type,
                            field->metric)(score->query, rows, field->dim, n, out, scratch);
    score_finish(score, NULL, rows, n, limit, out, scratch);
}
