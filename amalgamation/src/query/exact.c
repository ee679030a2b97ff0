/* exact.c - exact search: tiles of rows in consecutive live slots, each against all queries. What cannot be near enough is
 * found out by codes, if there are any (query/sieve), or by inner products of many queries at once (query/tile). */
#include "query/exact.h"
#include "query/sieve.h"
#include "query/tile.h"
#include "store/budget.h"

enum {
    /* A tile: so many bytes are in the second-level cache for the next query, and so many rows behind each other; by codes, vectors
     * may have more. */
    EXACT_TILE_BYTES = 256 << 10,
    EXACT_TILE_VECTOR_BYTES = 2 << 20,
    EXACT_TILE_ROWS = 1024,
    EXACT_RUN_ROWS = VSI_TILE_ROWS_MAX, /* of one slab, whose sums stay in the first-level cache */
    EXACT_KEPT_ROWS = 2 * EXACT_RUN_ROWS,
    EXACT_BREATH_ORDERS = 128,
    EXACT_TILE_QUERIES = VSI_TILE_QUERIES /* a whole group */
};

typedef struct exact_scan {
    const vsi_coll *coll;
    vsi_field *field;
    uint32_t set; /* of slots that have its vector */
    const vsi_exact_ask *ask;
    vsi_exact_query *queries;
    size_t count, tile_rows;
    vsi_tile *tile;   /* NULL: too few queries, or codes */
    vsi_sieve *sieve; /* NULL: no codes */
    vsi_err *err;     /* of a failure to order two keys, and that */
    vs_status order_st;
    uint64_t orders; /* how often two were */
    vsi_stay *stay;
    uint64_t breaths;                  /* after each what was borrowed may be gone */
    vsi_slab_aside rows, cells, codes; /* of slabs that memory has no room for */
    bool is_short;                     /* there may be some: a tile of many queries is within one */

    /* Rows of a tile that a query looks at: their places in it, and distances. */
    uint16_t place[EXACT_KEPT_ROWS];
    double out[EXACT_KEPT_ROWS], norm[EXACT_KEPT_ROWS];
    const void *row[EXACT_KEPT_ROWS];
    float lower[EXACT_RUN_ROWS]; /* what codes say of a run */
    uint32_t keep[EXACT_RUN_ROWS];
} exact_scan;

/* After some rows: whether to go on, and what was read may leave memory if there is too much of it. */
static vs_status exact_breathe(vsi_err *err, exact_scan *scan, uint64_t rows) {
    vs_status st = vsi_watch_step(err, scan->ask->watch, rows);
    scan->is_short = scan->is_short || scan->rows.slabs || scan->codes.slabs;
    if (vsi_budget_breathe(scan->coll->live.cow->pager, scan->ask->descs, scan->stay)) {
        vsi_slab_aside_renew(&scan->rows);
        vsi_slab_aside_renew(&scan->cells);
        vsi_slab_aside_renew(&scan->codes);
        scan->breaths++;
    }
    return st;
}

/* ---- keys ----------------------------------------------------------------------------------- */

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

/* ---- a tile --------------------------------------------------------------------------------- */

/* Takes a slot at a distance that may enter the top k into it. */
static vs_status exact_take(vsi_err *err, exact_scan *scan, vsi_topk *topk, uint32_t slot,
                            double distance) {
    const vs_hit *after = scan->ask->after;
    bool is_wanted = true;
    vsi_cell cell;
    vs_status st = vsi_coll_cell_aside(err, scan->coll, slot, &scan->cells, &cell);
    if (st == VS_OK && after && distance == after->distance)
        st = exact_is_behind(err, scan, slot, &cell, after->key, &is_wanted);
    if (st != VS_OK || !is_wanted)
        return st;
    vs_key key = {.number = cell.kind == VS_KEY_U64 ? cell.number : slot,
                  .kind = cell.kind,
                  .space = cell.space};
    vsi_topk_offer(topk, key, distance);
    return scan->order_st;
}

/* Offers the n rows of the tile that place has, whose distances are known. */
static vs_status exact_offer(vsi_err *err, exact_scan *scan, vsi_topk *topk, uint32_t slot,
                             size_t n) {
    const vsi_exact_ask *ask = scan->ask;
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < n; i++) {
        double distance = scan->out[i];
        uint32_t at = slot + scan->place[i];
        if (at == ask->excluded || !(distance <= vsi_topk_limit(topk)) ||
            !vsi_topk_may_enter(topk, distance))
            continue;
        if (!ask->after || distance >= ask->after->distance)
            st = exact_take(err, scan, topk, at, distance);
    }
    return st;
}

static vs_status exact_row(vsi_err *err, exact_scan *scan, uint32_t slot, const uint8_t **out_row) {
    return vsi_slab_row_aside(err, &scan->field->rows, slot, &scan->rows, out_row);
}

/* How many of the n rows from slot on are a run: of one slab. */
static size_t exact_run_of(const vsi_slabs *slabs, uint32_t slot, size_t n) {
    size_t run = vsi_slab_run(slabs, slot);
    run = run < EXACT_RUN_ROWS ? run : EXACT_RUN_ROWS;
    return n < run ? n : run;
}

/* From sums of the n rows that place has to hits. */
static vs_status exact_finish(vsi_err *err, exact_scan *scan, vsi_exact_query *query, uint32_t slot,
                              size_t n) {
    size_t doubts = vsi_score_finish(&query->score, n, scan->out, scan->norm);
    for (size_t i = 0; doubts && i < n; i++) {
        const uint8_t *row = NULL;
        if (!isnan(scan->out[i]))
            continue;
        vs_status st = exact_row(err, scan, slot + scan->place[i], &row);
        if (st != VS_OK)
            return st;
        scan->out[i] = vsi_score_row(&query->score, row);
    }
    return exact_offer(err, scan, &query->topk, slot, n);
}

/* A run of n rows, all of them against one query. As a rule none is near enough, and a processor that guesses so asks memory for
 * the next run meanwhile. */
static vs_status exact_run_all(vsi_err *err, exact_scan *scan, vsi_exact_query *query,
                               uint32_t slot, size_t n) {
    const uint8_t *rows = NULL;
    vs_status st = exact_row(err, scan, slot, &rows);
    if (st != VS_OK)
        return st;
    vsi_score_sums(&query->score, rows, n, scan->out, scan->norm);
    size_t near = vsi_score_near(&query->score, n, vsi_topk_limit(&query->topk), scan->out,
                                 scan->norm, scan->place);
    return near ? exact_finish(err, scan, query, slot, near) : VS_OK;
}

/* n rows of consecutive live slots, all of them against one query. */
static vs_status exact_all(vsi_err *err, exact_scan *scan, vsi_exact_query *query, uint32_t slot,
                           size_t n) {
    vs_status st = VS_OK;
    query->scored += n;
    for (size_t i = 0, run; st == VS_OK && i < n; i += run) {
        run = exact_run_of(&scan->field->rows, slot + (uint32_t)i, n - i);
        st = exact_run_all(err, scan, query, slot + (uint32_t)i, run);
    }
    return st;
}

static vs_status exact_each(vsi_err *err, exact_scan *scan, uint32_t slot, size_t n) {
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < scan->count; i++) {
        st = exact_all(err, scan, &scan->queries[i], slot, n);
        if (st == VS_OK)
            st = exact_breathe(err, scan, n);
    }
    return st;
}

/* One query: the n rows of the tile that place has, slab by slab. */
static vs_status exact_some(vsi_err *err, exact_scan *scan, vsi_exact_query *query, uint32_t slot,
                            size_t n) {
    const vsi_slabs *slabs = &scan->field->rows;
    for (size_t i = 0, run; i < n; i += run) {
        const uint8_t *row = NULL;
        const uint32_t first = slot + scan->place[i];
        const size_t end = scan->place[i] + vsi_slab_run(slabs, first);
        vs_status st = exact_row(err, scan, first, &row);
        if (st != VS_OK)
            return st;
        for (run = 0; i + run < n && scan->place[i + run] < end; run++)
            scan->row[run] =
                row + (size_t)(scan->place[i + run] - scan->place[i]) * slabs->row_bytes;
        vsi_score_sums_of(&query->score, scan->row, run, scan->out + i, scan->norm + i);
    }
    query->scored += n;
    return exact_finish(err, scan, query, slot, n);
}

/* ---- by codes ------------------------------------------------------------------------------- */

/* Codes of rows, NULL: they cannot be used, and all rows count. */
static vs_status exact_codes(vsi_err *err, exact_scan *scan, uint32_t slot,
                             const uint8_t **out_codes) {
    vs_status st = vsi_slab_row_aside(err, &scan->field->codes, slot, &scan->codes, out_codes);
    if (st != VS_ERR_CORRUPT)
        return st;
    vsi_encode_report(scan->field, slot);
    *out_codes = NULL;
    return VS_OK;
}

/* Asks memory for the rows that place has from kept on, which are looked at later. */
static void exact_ask_for(const exact_scan *scan, uint32_t slot, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        const uint8_t *row = vsi_slab_peek(&scan->field->rows, slot + scan->place[i]);
        if (row)
            vsi_prefetch_row(row, scan->field->vector_bytes);
    }
}

/* The run of n rows at a place of the tile at slot: those that may be near enough are added to the kept ones. */
static vs_status exact_run_sift(vsi_err *err, exact_scan *scan, size_t query, uint32_t slot,
                                size_t at, size_t n, size_t *io_kept) {
    const double limit = vsi_topk_limit(&scan->queries[query].topk);
    const uint8_t *codes = NULL;
    vs_status st = exact_codes(err, scan, slot + (uint32_t)at, &codes);
    if (st != VS_OK)
        return st;
    vsi_sieve_bounds(scan->sieve, query, codes, n, scan->lower);
    size_t kept =
        vsi_sieve_keep(scan->sieve, scan->lower, n, limit, (uint16_t)at, scan->place + *io_kept);
    exact_ask_for(scan, slot, *io_kept, *io_kept + kept);
    *io_kept += kept;
    return VS_OK;
}

/* n rows of consecutive live slots, for one query. Those that are to be scored are so in groups, so that memory is asked for all of
 * a group at once. */
static vs_status exact_sift(vsi_err *err, exact_scan *scan, size_t at, uint32_t slot, size_t n) {
    vsi_exact_query *query = &scan->queries[at];
    size_t kept = 0;
    vs_status st = VS_OK;
    for (size_t i = 0, run; st == VS_OK && i < n; i += run) {
        run = exact_run_of(&scan->field->codes, slot + (uint32_t)i, n - i);
        if (vsi_topk_limit(&query->topk) == INFINITY) { /* and was: none is kept yet */
            vsi_assert(!kept);
            st = exact_all(err, scan, query, slot + (uint32_t)i, run);
        } else
            st = exact_run_sift(err, scan, at, slot, i, run, &kept);
        if (st == VS_OK && (kept > EXACT_KEPT_ROWS - EXACT_RUN_ROWS || i + run == n)) {
            st = exact_some(err, scan, query, slot, kept);
            kept = 0;
        }
    }
    return st;
}

static vs_status exact_sift_each(vsi_err *err, exact_scan *scan, uint32_t slot, size_t n) {
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < scan->count; i++) {
        st = exact_sift(err, scan, i, slot, n);
        if (st == VS_OK)
            st = exact_breathe(err, scan, n);
    }
    return st;
}

/* ---- many queries at once ------------------------------------------------------------------- */

/* One query: the rows that have its bit in keep. */
static vs_status exact_kept(vsi_err *err, exact_scan *scan, size_t at, uint32_t slot, size_t n) {
    vsi_exact_query *query = &scan->queries[at];
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        scan->place[kept] = (uint16_t)i;
        kept += scan->keep[i] >> at % VSI_TILE_QUERIES & 1;
    }
    vs_status st = exact_some(err, scan, query, slot, kept);
    vsi_tile_limit(scan->tile, at, vsi_topk_limit(&query->topk));
    return st;
}

/* The rows of the tile that may be near enough to each query of a group. */
static vs_status exact_keep(vsi_err *err, exact_scan *scan, size_t group, uint32_t slot, size_t n,
                            uint64_t *io_breaths) {
    const uint8_t *rows = NULL;
    if (group == 0 || *io_breaths != scan->breaths) {
        vs_status st = exact_row(err, scan, slot, &rows);
        if (st != VS_OK)
            return st;
        vsi_tile_take(scan->tile, rows, n);
        *io_breaths = scan->breaths;
    }
    vsi_tile_keep(scan->tile, group, scan->keep);
    return VS_OK;
}

/* The same rows by way of the tile. */
static vs_status exact_filter(vsi_err *err, exact_scan *scan, uint32_t slot, size_t n) {
    uint64_t breaths = 0;
    vs_status st = VS_OK;
    for (size_t at = 0; st == VS_OK && at < scan->count; at += VSI_TILE_QUERIES) {
        uint32_t any = 0;
        st = exact_keep(err, scan, at / VSI_TILE_QUERIES, slot, n, &breaths);
        for (size_t i = 0; st == VS_OK && i < n; i++)
            any |= scan->keep[i];
        for (size_t q = at; st == VS_OK && q < scan->count && any; q++, any >>= 1)
            if (any & 1)
                st = exact_kept(err, scan, q, slot, n);
    }
    return st == VS_OK ? exact_breathe(err, scan, (uint64_t)n * scan->count) : st;
}

/* ---- all ------------------------------------------------------------------------------------ */

/* The end of the tile that begins at slot, at most end. Where all queries look at the same memory, its rows are in one slab, and their
 * codes. */
static uint32_t exact_tile_end(const exact_scan *scan, uint32_t slot, uint32_t end) {
    size_t n = end - slot < scan->tile_rows ? end - slot : scan->tile_rows;
    if (scan->tile || (scan->is_short && scan->count > 1))
        n = exact_run_of(&scan->field->rows, slot, n);
    if (scan->sieve && scan->is_short && scan->count > 1)
        n = exact_run_of(&scan->field->codes, slot, n);
    return slot + (uint32_t)n;
}

static vs_status exact_tile(vsi_err *err, exact_scan *scan, uint32_t slot, size_t n) {
    if (scan->sieve)
        return exact_sift_each(err, scan, slot, n);
    return scan->tile ? exact_filter(err, scan, slot, n) : exact_each(err, scan, slot, n);
}

static vs_status exact_run(vsi_err *err, exact_scan *scan) {
    const vsi_coll *coll = scan->coll;
    vsi_live_scan live = {.live = &coll->live, .set = scan->set};
    uint32_t slot = 0, end = coll->slot_end;
    for (;;) {
        uint32_t dead = 0;
        vs_status st = vsi_live_next(err, &live, slot, end, &slot);
        if (st == VS_OK && slot < end)
            st = vsi_live_next_dead(err, &live, slot, exact_tile_end(scan, slot, end), &dead);
        if (st == VS_OK && slot < end)
            st = exact_tile(err, scan, slot, dead - slot);
        if (st == VS_OK && slot == end)
            return exact_breathe(err, scan, 0);
        if (st != VS_OK)
            return st;
        slot = dead;
    }
}

static vs_status exact_sort(exact_scan *scan) {
    for (size_t i = 0; i < scan->count; i++)
        vsi_topk_sort(&scan->queries[i].topk);
    return scan->order_st;
}

static size_t exact_tile_rows(size_t most_bytes, size_t row_bytes) {
    size_t n = most_bytes / row_bytes;
    return n < 1 ? 1 : n < EXACT_TILE_ROWS ? n : EXACT_TILE_ROWS;
}

/* Whether codes are what suits so many queries: they are read once for each, a tile costs the same up to
 * VSI_TILE_QUERIES. Where the two meet (bench/RESULTS.md) was measured for f32. */
static bool exact_sifts(const vsi_coll *coll, uint32_t field, size_t count) {
    return count < EXACT_TILE_QUERIES && vsi_sieve_fits(coll, field);
}

/* Memory for scores, in front of what else there is. */
static size_t exact_score_bytes(const vsi_field *field, size_t count) {
    return count * vsi_whole_lines(vsi_score_bytes(field));
}

VSI_FN size_t vsi_exact_bytes(const vsi_coll *coll, const vsi_exact_ask *ask, size_t count) {
    const vsi_field *field = &coll->desc->field[ask->field];
    const size_t bytes = exact_score_bytes(field, count);
    if (exact_sifts(coll, ask->field, count))
        return bytes + vsi_sieve_bytes(field, count);
    if (vsi_tile_fits(ask->kernels, field, count))
        return bytes + vsi_tile_bytes(ask->kernels, field, count);
    return bytes;
}

/* Chooses what says which rows need not be scored. */
static void exact_choose(exact_scan *scan, vsi_sieve *sieve, vsi_tile *tile) {
    const vsi_exact_ask *ask = scan->ask;
    const vsi_field *field = scan->field;
    const size_t count = scan->count, front = exact_score_bytes(field, count);
    vsi_assert(ask->memory_bytes >= front);
    const size_t bytes = ask->memory_bytes - front;
    void *memory = (uint8_t *)ask->memory + front;
    if (exact_sifts(scan->coll, ask->field, count) && bytes >= vsi_sieve_bytes(field, count)) {
        scan->sieve = sieve;
        scan->tile_rows = exact_tile_rows(EXACT_TILE_VECTOR_BYTES, field->vector_bytes);
        vsi_sieve_begin(sieve, ask->kernels, scan->coll, ask->field, count, memory);
    } else if (vsi_tile_fits(ask->kernels, field, count) &&
               bytes >= vsi_tile_bytes(ask->kernels, field, count)) {
        scan->tile = tile;
        vsi_tile_begin(tile, ask->kernels, field, count, memory);
        scan->tile_rows = tile->rows_max;
    }
}

static void exact_begin(exact_scan *scan, vsi_sieve *sieve, vsi_tile *tile) {
    const vsi_exact_ask *ask = scan->ask;
    const vsi_field *field = scan->field;
    const size_t score_bytes = exact_score_bytes(field, 1);
    exact_choose(scan, sieve, tile);
    for (size_t i = 0; i < scan->count; i++) {
        vsi_exact_query *query = &scan->queries[i];
        query->score = vsi_score_begin(ask->kernels, field, query->vector,
                                       (uint8_t *)ask->memory + i * score_bytes);
        query->topk.order = exact_order;
        query->topk.ctx = scan;
        if (scan->tile)
            vsi_tile_add(tile, i, query->vector);
        if (scan->sieve)
            vsi_sieve_add(sieve, i, query->vector);
    }
}

VSI_FN vs_status vsi_exact_scan(vsi_err *err, const vsi_coll *coll, const vsi_exact_ask *ask,
                                vsi_exact_query *queries, size_t count, vsi_stay *stay) {
    vsi_tile tile;
    vsi_sieve sieve;
    exact_scan scan;
    scan.coll = coll;
    scan.field = &coll->desc->field[ask->field];
    scan.set = vsi_desc_set(coll->desc, ask->field);
    scan.ask = ask;
    scan.queries = queries;
    scan.count = count;
    scan.tile_rows = exact_tile_rows(EXACT_TILE_BYTES, scan.field->vector_bytes);
    scan.is_short = vsi_reside_excess(&coll->live.cow->pager->reside, EXACT_TILE_BYTES) != 0;
    scan.tile = NULL;
    scan.sieve = NULL;
    scan.err = err;
    scan.order_st = VS_OK;
    scan.orders = scan.breaths = 0;
    scan.stay = stay;
    scan.rows = scan.cells = scan.codes = (vsi_slab_aside){.buf = {.mem = coll->desc->cells.mem}};
    exact_begin(&scan, &sieve, &tile);
    vs_status st = exact_run(err, &scan);
    if (st == VS_OK)
        st = exact_sort(&scan);
    vsi_buf_free(&scan.rows.buf);
    vsi_buf_free(&scan.cells.buf);
    vsi_buf_free(&scan.codes.buf);
    return st;
}

VSI_FN double vsi_exact_distance(const vsi_exact_ask *ask, const vsi_field *field,
                                 const void *query, const void *row) {
    double distance = 0, norm = 0;
    vsi_score score = vsi_score_begin(ask->kernels, field, query, ask->memory);
    vsi_score_rows(&score, row, 1, &distance, &norm);
    return distance;
}
