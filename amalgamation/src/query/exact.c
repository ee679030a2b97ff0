/* exact.c - exact search: runs of live slots, in tiles, through the kernels. */
#include "query/exact.h"
#include "math/kernels_scalar.h"

enum { EXACT_TILE_ROWS = 128 };

/* Underflow in single precision takes at most 2^-126 per element from a sum. In sums below this many
 * times the dimension that could be more than the last bit. */
static const double exact_sum_trusted = 0x1p-102;

/* Below this a squared norm may have lost its value to underflow. */
static const double exact_norm_trusted = 1e-30;

typedef struct exact_scan {
    const vsi_kernels *kernels;
    const vsi_coll *coll;
    const void *query;
    size_t dim;
    double query_norm; /* squared; for cosine */
    double out[EXACT_TILE_ROWS], norm[EXACT_TILE_ROWS];
} exact_scan;

static double exact_cosine(double dot, double query_norm, double row_norm) {
    if (query_norm == 0 || row_norm == 0)
        return 1;
    double distance = 1 - dot / sqrt(query_norm * row_norm);
    return distance < 0 ? 0 : distance > 2 ? 2 : distance; /* rounding goes no further than that */
}

/* A row of floats whose sums left the range of single precision, above or below, in double. */
static double exact_in_double(const exact_scan *scan, const float *row) {
    const vsi_kernels *reference = vsi_kernels_scalar();
    const float *query = scan->query;
    double dot = 0, norm = 0, query_norm = 0;
    if (scan->coll->desc->metric == VS_L2) {
        reference->l2sq_f32_rows(query, row, scan->dim, 1, &dot);
        return dot;
    }
    reference->dot_norm_f32_rows(query, row, scan->dim, 1, &dot, &norm);
    if (scan->coll->desc->metric == VS_IP)
        return 0 - dot;
    reference->dot_f32_rows(query, query, scan->dim, 1, &query_norm);
    return exact_cosine(dot, query_norm, norm);
}

static bool exact_norm_is_trusted(double norm) {
    return norm >= exact_norm_trusted && norm <= DBL_MAX;
}

static void exact_tile_f32(exact_scan *scan, const float *rows, size_t n) {
    int metric = scan->coll->desc->metric;
    if (metric == VS_L2)
        scan->kernels->l2sq_f32_rows(scan->query, rows, scan->dim, n, scan->out);
    else if (metric == VS_IP)
        scan->kernels->dot_f32_rows(scan->query, rows, scan->dim, n, scan->out);
    else
        scan->kernels->dot_norm_f32_rows(scan->query, rows, scan->dim, n, scan->out, scan->norm);
    double least = exact_sum_trusted * (double)scan->dim;
    for (size_t i = 0; i < n; i++) {
        bool is_trusted = isfinite(scan->out[i]);
        if (metric == VS_COSINE)
            is_trusted = is_trusted && exact_norm_is_trusted(scan->norm[i]) &&
                         exact_norm_is_trusted(scan->query_norm);
        else
            is_trusted = is_trusted && fabs(scan->out[i]) >= least;
        if (!is_trusted)
            scan->out[i] = exact_in_double(scan, rows + i * scan->dim);
        else if (metric == VS_IP)
            scan->out[i] = 0 - scan->out[i];
        else if (metric == VS_COSINE)
            scan->out[i] = exact_cosine(scan->out[i], scan->query_norm, scan->norm[i]);
    }
}

static void exact_tile_u8(exact_scan *scan, const uint8_t *rows, size_t n) {
    int metric = scan->coll->desc->metric;
    if (metric == VS_L2)
        scan->kernels->l2sq_u8_rows(scan->query, rows, scan->dim, n, scan->out);
    else if (metric == VS_IP)
        scan->kernels->dot_u8_rows(scan->query, rows, scan->dim, n, scan->out);
    else
        scan->kernels->dot_norm_u8_rows(scan->query, rows, scan->dim, n, scan->out, scan->norm);
    for (size_t i = 0; i < n && metric != VS_L2; i++)
        scan->out[i] = metric == VS_IP
                           ? 0 - scan->out[i]
                           : exact_cosine(scan->out[i], scan->query_norm, scan->norm[i]);
}

/* The query's norm, by the kernel that computes the rows', so that equal vectors are at distance 0.
 */
static void exact_prepare(exact_scan *scan) {
    double dot = 0;
    if (scan->coll->desc->metric != VS_COSINE)
        return;
    if (scan->coll->desc->type == VS_F32)
        scan->kernels->dot_norm_f32_rows(scan->query, scan->query, scan->dim, 1, &dot,
                                         &scan->query_norm);
    else
        scan->kernels->dot_norm_u8_rows(scan->query, scan->query, scan->dim, 1, &dot,
                                        &scan->query_norm);
}

/* n rows of consecutive live slots in one slab. */
static void exact_tile(exact_scan *scan, uint32_t slot, size_t n, vsi_topk *topk) {
    const void *rows = vsi_slab_row(&scan->coll->rows, slot);
    if (scan->coll->desc->type == VS_F32)
        exact_tile_f32(scan, rows, n);
    else
        exact_tile_u8(scan, rows, n);
    for (size_t i = 0; i < n; i++)
        if (vsi_topk_may_enter(topk, scan->out[i]))
            vsi_topk_offer(topk, vsi_coll_key(scan->coll, slot + (uint32_t)i), scan->out[i]);
}

VSI_FN void vsi_exact_scan(const vsi_kernels *kernels, const vsi_coll *coll, const void *query,
                           vsi_topk *topk) {
    exact_scan scan;
    scan.kernels = kernels;
    scan.coll = coll;
    scan.query = query;
    scan.dim = coll->desc->dim;
    scan.query_norm = 0;
    exact_prepare(&scan);
    uint32_t end = coll->slot_end;
    for (uint32_t slot = vsi_live_next(&coll->live, 0, end); slot < end;
         slot = vsi_live_next(&coll->live, slot, end)) {
        uint32_t n = vsi_live_next_dead(&coll->live, slot, end) - slot;
        uint32_t run = vsi_slab_run(&coll->rows, slot);
        n = n < run ? n : run;
        n = n < EXACT_TILE_ROWS ? n : EXACT_TILE_ROWS;
        exact_tile(&scan, slot, n, topk);
        slot += n;
    }
}
