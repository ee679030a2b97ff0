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

/* Of one row, from what a kernel wrote. */
static double score_of(const vsi_score *score, const void *row, double sum, double norm) {
    int type = score->field->type;
    bool is_wide = type == VS_F32 || type == VS_BF16; /* others cannot leave the range */
    return !is_wide || score_is_trusted(score, sum, norm)
               ? score_distance(score->field->metric, sum, norm, score->query_norm)
               : score_in_double(score, row);
}

/* The query's norm is computed by the kernel that computes the rows', so that equal vectors are at distance 0. */
VSI_FN vsi_score vsi_score_begin(const vsi_kernels *kernels, const vsi_field *field,
                                 const void *query) {
    vsi_score score = {.kernels = kernels, .field = field, .query = query};
    double sum = 0;
    if (field->metric == VS_COSINE)
        vsi_kernels_find(kernels, field->type, VS_COSINE)(query, query, field->dim, 1, &sum,
                                                          &score.query_norm);
    return score;
}

VSI_FN void vsi_score_rows(const vsi_score *score, const uint8_t *rows, size_t n, double *out,
                           double *scratch) {
    const vsi_field *field = score->field;
    vsi_kernels_find(score->kernels, field->type, field->metric)(score->query, rows, field->dim, n,
                                                                 out, scratch);
    for (size_t i = 0; i < n; i++)
        out[i] = score_of(score, rows + i * field->vector_bytes, out[i], scratch[i]);
}

VSI_FN void vsi_score_some(const vsi_score *score, const void *const *rows, size_t n, double *out,
                           double *scratch) {
    const vsi_field *field = score->field;
    vsi_kernels_find_gather(score->kernels, field->type,
                            field->metric)(score->query, rows, field->dim, n, out, scratch);
    for (size_t i = 0; i < n; i++)
        out[i] = score_of(score, rows[i], out[i], scratch[i]);
}
