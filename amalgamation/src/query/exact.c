/* exact.c - exact search: runs of live slots, in tiles, through the kernels. */
#include "query/exact.h"
#include "store/budget.h"
#include "math/dispatch.h"
#include "math/kernels_scalar.h"

enum { EXACT_TILE_ROWS = 128, EXACT_BREATH_ORDERS = 128 };

/* Underflow in single precision takes at most 2^-126 per element from a sum. In sums below this many
 * times the dimension that could be more than the last bit. */
static const double exact_sum_trusted = 0x1p-102;

/* Below this a squared norm may have lost its value to underflow. */
static const double exact_norm_trusted = 1e-30;

typedef struct exact_scan {
    vsi_kernel *kernel; /* for the field's type and metric */
    const vsi_coll *coll;
    vsi_field *field;
    uint32_t set; /* of slots that have its vector */
    const void *query;
    size_t dim;
    double query_norm; /* squared; for cosine */
    uint32_t excluded; /* slot */
    const vs_hit *after;
    vsi_err *err; /* of a failure to order two keys, and that */
    vs_status order_st;
    uint64_t orders; /* how often two were */
    const vsi_exact_ask *ask;
    vsi_stay *stay;
    vsi_slab_aside rows, cells; /* of slabs that memory has no room for */
    double out[EXACT_TILE_ROWS], norm[EXACT_TILE_ROWS];
} exact_scan;

static double exact_cosine(double dot, double query_norm, double row_norm) {
    if (query_norm == 0 || row_norm == 0)
        return 1;
    double distance = 1 - dot / sqrt(query_norm * row_norm);
    return distance < 0 ? 0 : distance > 2 ? 2 : distance; /* rounding goes no further than that */
}

/* What a kernel's sums are as a distance. */
static double exact_distance(int metric, double sum, double norm, double query_norm) {
    switch (metric) {
    case VS_IP:
        return 0 - sum;
    case VS_COSINE:
        return exact_cosine(sum, query_norm, norm);
    case VS_JACCARD:
        return norm > 0 ? 1 - sum / norm : 0;
    default:
        return sum;
    }
}

/* A row of floats whose sums left the range of single precision, above or below, in double. */
static double exact_in_double(const exact_scan *scan, const uint8_t *row) {
    int metric = scan->field->metric;
    vsi_kernel *kernel = vsi_kernels_find(vsi_kernels_scalar(), scan->field->type, metric);
    double sum = 0, norm = 0, query_sum = 0, query_norm = 0;
    kernel(scan->query, row, scan->dim, 1, &sum, &norm);
    if (metric == VS_COSINE)
        kernel(scan->query, scan->query, scan->dim, 1, &query_sum, &query_norm);
    return exact_distance(metric, sum, norm, query_norm);
}

static bool exact_norm_is_trusted(double norm) {
    return norm >= exact_norm_trusted && norm <= DBL_MAX;
}

/* Whether sums of floats in single precision stayed in its range. */
static bool exact_is_trusted(const exact_scan *scan, size_t at) {
    if (!isfinite(scan->out[at]))
        return false;
    if (scan->field->metric == VS_COSINE)
        return exact_norm_is_trusted(scan->norm[at]) && exact_norm_is_trusted(scan->query_norm);
    return fabs(scan->out[at]) >= exact_sum_trusted * (double)scan->dim;
}

/* The distances of n rows. */
static void exact_rows(exact_scan *scan, const uint8_t *rows, size_t n) {
    const vsi_field *field = scan->field;
    bool is_wide = field->type == VS_F32 || field->type == VS_BF16; /* others cannot leave it */
    scan->kernel(scan->query, rows, scan->dim, n, scan->out, scan->norm);
    for (size_t i = 0; i < n; i++)
        scan->out[i] =
            !is_wide || exact_is_trusted(scan, i)
                ? exact_distance(field->metric, scan->out[i], scan->norm[i], scan->query_norm)
                : exact_in_double(scan, rows + i * field->vector_bytes);
}

/* The query's norm, by the kernel that computes the rows', so that equal vectors are at distance 0. */
static void exact_prepare(exact_scan *scan) {
    double sum = 0;
    if (scan->field->metric == VS_COSINE)
        scan->kernel(scan->query, scan->query, scan->dim, 1, &sum, &scan->query_norm);
}

/* After some rows: whether to go on, and what was read may leave memory if there is too much of it. */
static vs_status exact_breathe(vsi_err *err, exact_scan *scan, uint64_t rows) {
    vs_status st = vsi_watch_step(err, scan->ask->watch, rows);
    if (vsi_budget_breathe(scan->coll->live.cow->pager, scan->ask->descs, scan->stay)) {
        vsi_slab_aside_renew(&scan->rows);
        vsi_slab_aside_renew(&scan->cells);
    }
    return st;
}

/* Before keys are read to be compared, which a scan may do for many rows. */
static vs_status exact_order_begin(vsi_err *err, exact_scan *scan) {
    return ++scan->orders % EXACT_BREATH_ORDERS ? VS_OK : exact_breathe(err, scan, 0);
}

/* Of two slots whose keys are of one namespace and kind, and no numbers. */
static int exact_order(void *ctx, uint32_t slot, uint32_t other) {
    exact_scan *scan = ctx;
    vs_key a = {0}, b = {0};
    vsi_cell cell = {.kind = VS_KEY_BYTES}; /* bytes are compared, of whatever kind */
    if (scan->order_st != VS_OK)
        return 0;
    vs_status st = exact_order_begin(scan->err, scan);
    if (st == VS_OK)
        st = vsi_coll_key(scan->err, scan->coll, slot, &cell, &a);
    if (st == VS_OK)
        st = vsi_coll_key(scan->err, scan->coll, other, &cell, &b);
    if (st == VS_OK)
        return vsi_key_compare(a, b);
    scan->order_st = st;
    return 0;
}

/* Whether the key of a slot comes behind another one. */
static vs_status exact_is_behind(vsi_err *err, exact_scan *scan, uint32_t slot,
                                 const vsi_cell *cell, vs_key other, bool *out_is_behind) {
    vs_key key = {.number = cell->number, .kind = cell->kind, .space = cell->space};
    bool needs_bytes = key.kind != VS_KEY_U64 && key.kind == other.kind && key.space == other.space;
    vs_status st = needs_bytes ? exact_order_begin(err, scan) : VS_OK;
    if (st == VS_OK && needs_bytes)
        st = vsi_coll_key(err, scan->coll, slot, cell, &key);
    if (st == VS_OK)
        *out_is_behind = vsi_key_compare(key, other) > 0;
    return st;
}

/* Takes what may enter the top k of a tile into it. */
static vs_status exact_offer(vsi_err *err, exact_scan *scan, uint32_t slot, size_t n,
                             vsi_topk *topk) {
    const vs_hit *after = scan->after;
    for (size_t i = 0; i < n; i++) {
        vsi_cell cell;
        bool is_wanted = true;
        if (slot + (uint32_t)i == scan->excluded || !vsi_topk_may_enter(topk, scan->out[i]))
            continue;
        if (after && scan->out[i] < after->distance)
            continue;
        vs_status st =
            vsi_coll_cell_aside(err, scan->coll, slot + (uint32_t)i, &scan->cells, &cell);
        if (st == VS_OK && after && scan->out[i] == after->distance)
            st = exact_is_behind(err, scan, slot + (uint32_t)i, &cell, after->key, &is_wanted);
        if (st != VS_OK)
            return st;
        if (!is_wanted)
            continue;
        bool is_number = cell.kind == VS_KEY_U64;
        vs_key key = {.number = is_number ? cell.number : slot + (uint32_t)i,
                      .kind = cell.kind,
                      .space = cell.space};
        vsi_topk_offer(topk, key, scan->out[i]);
    }
    return scan->order_st;
}

/* n rows of consecutive live slots in one slab. */
static vs_status exact_tile(vsi_err *err, exact_scan *scan, uint32_t slot, size_t n,
                            vsi_topk *topk) {
    const uint8_t *rows = NULL;
    vs_status st = vsi_slab_row_aside(err, &scan->field->rows, slot, &scan->rows, &rows);
    if (st != VS_OK)
        return st;
    exact_rows(scan, rows, n);
    return exact_offer(err, scan, slot, n, topk);
}

/* The largest tile from slot on: in one slab, and not behind end. */
static uint32_t exact_tile_end(const exact_scan *scan, uint32_t slot, uint32_t end) {
    uint32_t n = end - slot, run = vsi_slab_run(&scan->field->rows, slot);
    n = n < run ? n : run;
    return slot + (n < EXACT_TILE_ROWS ? n : EXACT_TILE_ROWS);
}

static vs_status exact_run(vsi_err *err, exact_scan *scan, vsi_topk *topk) {
    const vsi_coll *coll = scan->coll;
    vsi_live_scan live = {.live = &coll->live, .set = scan->set};
    uint32_t slot = 0, end = coll->slot_end;
    for (;;) {
        uint32_t dead = 0;
        vs_status st = vsi_live_next(err, &live, slot, end, &slot);
        if (st == VS_OK && slot < end)
            st = vsi_live_next_dead(err, &live, slot, exact_tile_end(scan, slot, end), &dead);
        if (st == VS_OK && slot < end)
            st = exact_tile(err, scan, slot, dead - slot, topk);
        if (st == VS_OK)
            st = exact_breathe(err, scan, slot < end ? dead - slot : 0);
        if (st != VS_OK || slot == end)
            return st;
        slot = dead;
    }
}

static void exact_begin(exact_scan *scan, const vsi_kernels *kernels, const vsi_coll *coll,
                        uint32_t field, const void *query) {
    scan->field = &coll->desc->field[field];
    scan->kernel = vsi_kernels_find(kernels, scan->field->type, scan->field->metric);
    scan->coll = coll;
    scan->set = vsi_desc_set(coll->desc, field);
    scan->query = query;
    scan->dim = scan->field->dim;
    scan->query_norm = 0;
    scan->excluded = VSI_SLOT_NONE;
    scan->after = NULL;
    scan->err = NULL;
    scan->order_st = VS_OK;
    scan->rows = scan->cells = (vsi_slab_aside){.buf = {.mem = coll->desc->cells.mem}};
    exact_prepare(scan);
}

VSI_FN double vsi_exact_distance(const vsi_kernels *kernels, const vsi_coll *coll, uint32_t field,
                                 const void *query, const void *row) {
    exact_scan scan;
    exact_begin(&scan, kernels, coll, field, query);
    exact_rows(&scan, row, 1);
    return scan.out[0];
}

VSI_FN vs_status vsi_exact_scan(vsi_err *err, const vsi_kernels *kernels, const vsi_coll *coll,
                                const vsi_exact_ask *ask, vsi_stay *stay, vsi_topk *topk) {
    exact_scan scan;
    exact_begin(&scan, kernels, coll, ask->field, ask->query);
    scan.excluded = ask->excluded;
    scan.after = ask->after;
    scan.err = err;
    scan.orders = 0;
    scan.ask = ask;
    scan.stay = stay;
    topk->order = exact_order;
    topk->ctx = &scan;
    vs_status st = exact_run(err, &scan, topk);
    if (st == VS_OK) {
        vsi_topk_sort(topk);
        st = scan.order_st;
    }
    vsi_buf_free(&scan.rows.buf);
    vsi_buf_free(&scan.cells.buf);
    return st;
}
