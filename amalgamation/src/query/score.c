/* score.c - the distances of rows from a query. */
#include "query/score.h"
#include "math/kernels_scalar.h"

/* Underflow in single precision takes at most 2^-126 per element from a sum. In sums below this many
 * times the dimension that could be more than the last bit. */
static const double score_sum_trusted = 0x1p-102; /* VSI_DOT_TRUSTED for the largest */

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

VSI_FN double vsi_score_row(const vsi_score *score, const void *row) {
    const vsi_field *field = score->field;
    vsi_kernel *kernel = vsi_kernels_find(vsi_kernels_scalar(), field->type, field->metric);
    double sum = 0, norm = 0, query_sum = 0, query_norm = 0;
    kernel(score->query, row, field->dim, 1, &sum, &norm);
    if (field->metric == VS_COSINE)
        kernel(score->query, score->vector, field->dim, 1, &query_sum, &query_norm);
    return score_distance(field->metric, sum, norm, query_norm);
}

static bool score_norm_is_trusted(double norm) {
    return norm >= VSI_NORM_TRUSTED && norm <= DBL_MAX;
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

/* The level beyond which rows are that are farther than limit (vsi_is_beyond); rounding gets room. */
static double score_level(const vsi_score *score, double limit) {
    const bool is_wide = score_is_wide(score->field->type);
    const double least = 1 - limit - 1e-15; /* of cosines; distances round to multiples of 2^-53 */
    double level = least;
    switch (score->field->metric) {
    case VS_IP:
        return -limit;
    case VS_COSINE:
        if (limit >= 2 || (is_wide && !score_norm_is_trusted(score->query_norm)))
            return -INFINITY;
        level = least * fabs(least) * score->query_norm;
        break;
    case VS_JACCARD:
        break;
    default:
        return is_wide && limit < VSI_DOT_TRUSTED ? VSI_DOT_TRUSTED : limit;
    }
    return level - 1e-12 * fabs(level);
}

VSI_FN size_t vsi_score_near(const vsi_score *score, size_t n, double limit, double *sums,
                             double *norm, uint16_t *out_place) {
    enum { STEP = 16 }; /* rows that are looked at one by one where some are not beyond */
    const int metric = score->field->metric;
    const double level = score_level(score, limit);
    vsi_beyond_kernel *beyond = score->kernels->beyond[metric];
    size_t kept = 0;
    for (size_t i = beyond(sums, norm, n, level); i < n;
         i += beyond(sums + i, norm + i, n - i, level))
        for (size_t end = n - i < STEP ? n : i + STEP; i < end; i++) {
            const bool is_near = !vsi_is_beyond(metric, sums[i], norm[i], level);
            sums[kept] = sums[i];
            norm[kept] = norm[i];
            out_place[kept] = (uint16_t)i;
            kept += is_near;
        }
    return kept;
}

VSI_FN size_t vsi_score_finish(const vsi_score *score, size_t n, double *sums, const double *norm) {
    const bool is_wide = score_is_wide(score->field->type);
    size_t doubts = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_known = !is_wide || score_is_trusted(score, sums[i], norm[i]);
        doubts += !is_known;
        sums[i] = is_known
                      ? score_distance(score->field->metric, sums[i], norm[i], score->query_norm)
                      : NAN;
    }
    return doubts;
}

/* Below so many elements vector registers gain nothing, and sums in double keep apart what single precision would not:
 * points of a map, say. */
enum { SCORE_SHORT_DIMS = 8 };

static bool score_is_half(const vsi_field *field) {
    return field->type == VS_F16 || field->type == VS_BF16;
}

VSI_FN size_t vsi_score_bytes(const vsi_field *field) {
    return score_is_half(field) ? (field->dim + VSI_WIDEN_PAD) * sizeof(float) : 0;
}

/* The query's norm is computed by the kernel that computes the rows', so that equal vectors are at distance 0. */
VSI_FN vsi_score vsi_score_begin(const vsi_kernels *kernels, const vsi_field *field,
                                 const void *vector, void *memory) {
    vsi_score score = {.kernels = kernels, .field = field, .vector = vector, .query = vector};
    if (field->dim < SCORE_SHORT_DIMS)
        score.kernels = vsi_kernels_scalar();
    if (score_is_half(field)) {
        kernels->widen[field->type](memory, vector, field->dim);
        score.query = memory;
    }
    double sum = 0;
    if (field->metric == VS_COSINE)
        vsi_kernels_find(score.kernels, field->type, VS_COSINE)(score.query, vector, field->dim, 1,
                                                                &sum, &score.query_norm);
    return score;
}

/* Sums of floats are within 300 * 2^-24 of their terms' magnitudes (query/tile has the same); a cosine has three of them.
 * Whole numbers are summed exactly, and doubles round behind that. */
VSI_FN double vsi_score_error(const vsi_field *field) {
    const bool is_whole = field->type == VS_U8 || field->type == VS_I8;
    double sum = is_whole ? 0x1p-48 : 300 * 0x1p-24;
    return field->metric == VS_COSINE ? 4 * sum : sum;
}

VSI_FN void vsi_score_sums(const vsi_score *score, const uint8_t *rows, size_t n, double *out,
                           double *norm) {
    const vsi_field *field = score->field;
    vsi_kernels_find(score->kernels, field->type, field->metric)(score->query, rows, field->dim, n,
                                                                 out, norm);
}

VSI_FN void vsi_score_sums_of(const vsi_score *score, const void *const *rows, size_t n,
                              double *out, double *norm) {
    const vsi_field *field = score->field;
    vsi_kernels_find_gather(score->kernels, field->type, field->metric)(score->query, rows,
                                                                        field->dim, n, out, norm);
}

VSI_FN void vsi_score_rows(const vsi_score *score, const uint8_t *rows, size_t n, double *out,
                           double *norm) {
    vsi_score_sums(score, rows, n, out, norm);
    size_t doubts = vsi_score_finish(score, n, out, norm);
    for (size_t i = 0; doubts && i < n; i++)
        if (isnan(out[i]))
            out[i] = vsi_score_row(score, rows + i * score->field->vector_bytes);
}
