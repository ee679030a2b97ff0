/* sieve.c - which rows may be near a query, by bounds from their codes. */
#include "query/sieve.h"
#include "query/score.h"

VSI_FN bool vsi_sieve_fits(const vsi_coll *coll, uint32_t field) {
    return vsi_encode_rq(coll, field);
}

VSI_FN size_t vsi_sieve_bytes(const vsi_field *field, size_t count) {
    return vsi_whole_lines(count * (sizeof(vsi_rq_query) + sizeof(bool))) +
           count * vsi_whole_lines(vsi_rq_work_bytes(field->dim)) +
           (field->dim + VSI_WIDEN_PAD) * sizeof(float);
}

VSI_FN void vsi_sieve_begin(vsi_sieve *sieve, const vsi_kernels *kernels, const vsi_coll *coll,
                            uint32_t field, size_t count, void *memory) {
    *sieve = (vsi_sieve){.kernels = kernels,
                         .field = &coll->desc->field[field],
                         .rq = vsi_encode_rq(coll, field),
                         .query = memory,
                         .count = count};
    sieve->is_bounded = (bool *)(sieve->query + count);
    sieve->work =
        (uint8_t *)memory + vsi_whole_lines(count * (sizeof *sieve->query + sizeof(bool)));
    sieve->work_bytes = vsi_whole_lines(vsi_rq_work_bytes(sieve->field->dim));
}

VSI_FN void vsi_sieve_add(vsi_sieve *sieve, size_t query, const void *vector) {
    const vsi_field *field = sieve->field;
    const float *wide = vector;
    if (field->type != VS_F32) {
        float *out = (float *)(void *)(sieve->work + sieve->count * sieve->work_bytes);
        sieve->kernels->widen[field->type](out, vector, field->dim);
        wide = out;
    }
    sieve->is_bounded[query] =
        vsi_rq_prepare(sieve->rq, wide, vsi_score_error(field),
                       sieve->work + query * sieve->work_bytes, &sieve->query[query]);
}

VSI_FN void vsi_sieve_bounds(const vsi_sieve *sieve, size_t query, const uint8_t *codes, size_t n,
                             float *out_lower) {
    const bool is_bounded = codes && sieve->is_bounded[query];
    if (is_bounded)
        vsi_rq_bounds(&sieve->query[query], codes, sieve->field->codes.row_bytes, n, out_lower,
                      NULL);
    for (size_t i = 0; !is_bounded && i < n; i++)
        out_lower[i] = -INFINITY;
}

VSI_FN size_t vsi_sieve_keep(const vsi_sieve *sieve, const float *lower, size_t n, double limit,
                             uint16_t first, uint16_t *out_place) {
    enum { STEP = 16 }; /* rows that are looked at one by one where some are near */
    const float level = (float)(limit + fabs(limit) * 0x1p-22) + FLT_MIN; /* not below limit */
    size_t kept = 0;
    vsi_above_kernel *above = sieve->kernels->above;
    for (size_t i = above(lower, n, level); i < n; i += above(lower + i, n - i, level))
        for (size_t end = n - i < STEP ? n : i + STEP; i < end; i++) {
            out_place[kept] = (uint16_t)(first + i);
            kept += !(lower[i] > level);
        }
    return kept;
}
