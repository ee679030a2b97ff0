/* tile.c - which rows may be near which of many queries.
 *
 * With v = 2^-24, q and r the norms, and d the dimension: the kernel's inner product is within d v q r of the true one
 * (to first order; d <= 65535, so the rest is below d v / 100), and a distance or norm of query/score, which
 * adds at most 256 terms to each lane and joins them, within c = 300 v of the sum of its absolute terms: (q + r)^2 <= 2 (q^2 +
 * r^2) for l2, q r otherwise. A row at distance T or nearer therefore has an inner product of at least
 *
 *   l2       (q^2 + r^2 - T) / 2 - 3 c (q^2 + r^2) - d v q r
 *   ip       -T - c q r - d v q r
 *   cosine   (1 - T) q r - 8 c q r - d v q r
 *
 * where q and r are those that were computed, each within c. The sums of the comparison round in single precision: four v
 * of each part are given away for it. Where a squared norm is beyond 1e30 or below 1e-30, single precision may overflow or lose
 * small products: such a query, and such a row, keeps all. */
#include "query/tile.h"

enum { TILE_BYTES = 256 << 10, TILE_ROWS_MIN = 8 };

static const double tile_v = 0x1p-24, tile_c = 300 * 0x1p-24;

/* How rows of a field are taken: as they are, or widened. */
static const vsi_tile_form *tile_form(const vsi_kernels *kernels, const vsi_field *field) {
    const vsi_tile_form *own = &kernels->tile[field->type];
    return own->kernel ? own : &kernels->tile[VS_F32];
}

static bool tile_widens(const vsi_kernels *kernels, const vsi_field *field) {
    return !kernels->tile[field->type].kernel;
}

/* A group costs the same however many of its lanes have a query, and so does widening rows for it. From how many
 * queries on it is faster than one after the other (bench/RESULTS.md); 0: there is none for the type. */
static size_t tile_queries_min(const vsi_kernels *kernels, const vsi_field *field) {
    const bool widens = tile_widens(kernels, field);
    switch (field->type) {
    case VS_F32:
        return 12;
    case VS_F16:
    case VS_BF16:
        return 16;
    case VS_U8:
    case VS_I8:
        return widens ? 32 : 12;
    default:
        return 0;
    }
}

VSI_FN bool vsi_tile_fits(const vsi_kernels *kernels, const vsi_field *field, size_t count) {
    const size_t least = tile_queries_min(kernels, field);
    return least && count >= least && field->metric != VS_L1;
}

static size_t tile_groups(size_t count) {
    return (count + VSI_TILE_QUERIES - 1) / VSI_TILE_QUERIES;
}

static size_t tile_element_bytes(const vsi_kernels *kernels, const vsi_field *field) {
    return tile_widens(kernels, field) ? sizeof(float) : field->element_bytes;
}

static size_t tile_rows(const vsi_kernels *kernels, const vsi_field *field) {
    size_t n = TILE_BYTES / (tile_element_bytes(kernels, field) * field->dim);
    return n < TILE_ROWS_MIN ? TILE_ROWS_MIN : n < VSI_TILE_ROWS_MAX ? n : VSI_TILE_ROWS_MAX;
}

/* The queries of a group, to the end of the last unit. */
static size_t tile_queries_bytes(const vsi_kernels *kernels, const vsi_field *field) {
    const size_t unit = tile_form(kernels, field)->unit;
    return (field->dim + unit - 1) / unit * unit * VSI_TILE_QUERIES *
           tile_element_bytes(kernels, field);
}

VSI_FN size_t vsi_tile_bytes(const vsi_kernels *kernels, const vsi_field *field, size_t count) {
    size_t rest = 0;
    if (tile_widens(kernels, field))
        rest = (tile_rows(kernels, field) * field->dim + VSI_WIDEN_PAD) * sizeof(float);
    else if (field->type != VS_F32)
        rest = field->dim;
    return tile_groups(count) * (sizeof(vsi_tile_group) + tile_queries_bytes(kernels, field)) +
           rest;
}

VSI_FN void vsi_tile_begin(vsi_tile *tile, const vsi_kernels *kernels, const vsi_field *field,
                           size_t count, void *memory) {
    const size_t groups = tile_groups(count);
    memset(memory, 0, vsi_tile_bytes(kernels, field, count));
    *tile = (vsi_tile){.kernels = kernels,
                       .field = field,
                       .form = tile_form(kernels, field),
                       .rows_max = tile_rows(kernels, field),
                       .group = memory};
    uint8_t *rest = (uint8_t *)(tile->group + groups);
    for (size_t i = 0; i < groups; i++, rest += tile_queries_bytes(kernels, field))
        tile->group[i].queries = rest;
    if (tile_widens(kernels, field))
        tile->wide = (float *)(void *)rest;
    else if (field->type != VS_F32)
        tile->ones = memset(rest, 1, field->dim);
    tile->rows.dim = field->dim;
    tile->rows.start = tile->start;
    tile->rows.norm = tile->norm;
    tile->rows.term = tile->term;
}

/* ---- norms ---------------------------------------------------------------------------------- */

/* Sums and squared norms of n vectors of bytes, at most VSI_TILE_ROWS_MAX; both are exact. */
static void tile_sums(vsi_tile *tile, const uint8_t *vectors, size_t n) {
    vsi_kernels_find(tile->kernels, tile->field->type,
                     VS_COSINE)(tile->ones, vectors, tile->field->dim, n, tile->sum, tile->square);
}

/* Squared norms of n vectors in single precision. */
static void tile_squares(vsi_tile *tile, const float *vectors, size_t n) {
    const size_t dim = tile->field->dim;
    for (size_t i = 0; i < n; i++)
        vsi_kernels_find(tile->kernels, VS_F32, VS_IP)(vectors + i * dim, vectors + i * dim, dim, 1,
                                                       &tile->square[i], &tile->sum[i]);
}

static bool tile_is_tame(double norm) {
    return norm > 1e-30 && norm < 1e30;
}

/* ---- queries -------------------------------------------------------------------------------- */

/* Where the element of a query in some lane of a group is among all. */
static size_t tile_place(const vsi_tile *tile, size_t lane, size_t element) {
    const size_t unit = tile->form->unit;
    return (element / unit * VSI_TILE_QUERIES + lane) * unit + element % unit;
}

static void tile_add_floats(vsi_tile *tile, float *queries, size_t lane, const void *vector) {
    const float *wide = vector;
    if (tile->wide) {
        tile->kernels->widen[tile->field->type](tile->wide, vector, tile->field->dim);
        wide = tile->wide;
    }
    for (size_t j = 0; j < tile->field->dim; j++)
        queries[tile_place(tile, lane, j)] = wide[j];
    tile_squares(tile, wide, 1);
}

static void tile_add_bytes(vsi_tile *tile, uint8_t *queries, size_t lane, const uint8_t *vector) {
    const uint8_t shift = tile->form->is_shifted ? 128 : 0;
    for (size_t j = 0; j < tile->field->dim; j++)
        queries[tile_place(tile, lane, j)] = vector[j] ^ shift;
    tile_sums(tile, vector, 1);
}

VSI_FN void vsi_tile_add(vsi_tile *tile, size_t query, const void *vector) {
    vsi_tile_group *group = &tile->group[query / VSI_TILE_QUERIES];
    const size_t lane = query % VSI_TILE_QUERIES;
    if (tile->ones)
        tile_add_bytes(tile, group->queries, lane, vector);
    else
        tile_add_floats(tile, group->queries, lane, vector);
    group->norm[lane] = tile->square[0];
    group->size[lane] = sqrt(group->norm[lane]) * (1 + tile_c);
    vsi_tile_limit(tile, query, INFINITY);
}

/* What is not above a number in single precision either. */
static float tile_below(double number) {
    return (float)(number - 4 * tile_v * fabs(number));
}

VSI_FN void vsi_tile_limit(vsi_tile *tile, size_t query, double distance) {
    vsi_tile_group *group = &tile->group[query / VSI_TILE_QUERIES];
    const size_t lane = query % VSI_TILE_QUERIES;
    const double norm = group->norm[lane], size = group->size[lane];
    double slack = 1.01 * (double)tile->field->dim * tile_v + 8 * tile_v, level = 0;
    if (tile->field->metric == VS_L2) {
        level = (norm - distance) / 2 - 3 * tile_c * norm;
    } else if (tile->field->metric == VS_IP) {
        level = -distance;
        slack += tile_c;
    } else {
        slack += 8 * tile_c - (1 - distance);
    }
    if (!tile_is_tame(norm) || distance == INFINITY) {
        level = -INFINITY;
        slack = 0;
    }
    group->level[lane] = tile_below(level);
    group->slope[lane] = (float)(slack * size);
}

/* What inner products with rows of bytes begin with. */
static void tile_starts(vsi_tile *tile, size_t n) {
    const double factor = !tile->form->is_shifted ? 0 : tile->field->type == VS_U8 ? 128 : -128;
    for (size_t i = 0; i < n; i++)
        tile->start[i] = (uint32_t)(int64_t)(factor * tile->sum[i]);
}

VSI_FN void vsi_tile_take(vsi_tile *tile, const void *rows, size_t n) {
    tile->rows.n = n;
    tile->rows.rows = rows;
    if (tile->wide) {
        tile->kernels->widen[tile->field->type](tile->wide, rows, n * tile->field->dim);
        tile->rows.rows = tile->wide;
    }
    if (tile->ones) {
        tile_sums(tile, rows, n);
        tile_starts(tile, n);
    } else {
        tile_squares(tile, tile->rows.rows, n);
    }
    for (size_t i = 0; i < n; i++) {
        const double norm = tile->square[i];
        const bool is_tame = tile_is_tame(norm);
        double term = tile->field->metric == VS_L2 ? norm / 2 - 3 * tile_c * norm : 0;
        tile->norm[i] = is_tame ? (float)(sqrt(norm) * (1 + tile_c)) : 0;
        tile->term[i] = is_tame ? tile_below(term) : -INFINITY;
    }
}

VSI_FN void vsi_tile_keep(const vsi_tile *tile, size_t group, uint32_t *out_keep) {
    vsi_tile_rows rows = tile->rows;
    rows.queries = tile->group[group].queries;
    rows.slope = tile->group[group].slope;
    rows.level = tile->group[group].level;
    tile->form->kernel(&rows, out_keep);
}
