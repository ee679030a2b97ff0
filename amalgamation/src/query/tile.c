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

/* A group costs the same however many of its lanes have a query, and rows of other types are widened for it. From how many
 * queries on it is faster than one after the other (bench/RESULTS.md); 0: there is none for the type. */
static size_t tile_queries_min(int type) {
    switch (type) {
    case VS_F32:
        return 12;
    case VS_F16:
    case VS_BF16:
        return 16;
    case VS_U8:
    case VS_I8:
        return 32;
    default:
        return 0;
    }
}

VSI_FN bool vsi_tile_fits(const vsi_field *field, size_t count) {
    const size_t least = tile_queries_min(field->type);
    return least && count >= least && field->metric != VS_L1;
}

static size_t tile_groups(size_t count) {
    return (count + VSI_TILE_QUERIES - 1) / VSI_TILE_QUERIES;
}

static size_t tile_rows(const vsi_field *field) {
    size_t n = TILE_BYTES / (4 * (size_t)field->dim);
    return n < TILE_ROWS_MIN ? TILE_ROWS_MIN : n < VSI_TILE_ROWS_MAX ? n : VSI_TILE_ROWS_MAX;
}

VSI_FN size_t vsi_tile_bytes(const vsi_field *field, size_t count) {
    size_t dim = field->dim;
    return tile_groups(count) * (sizeof(vsi_tile_group) + dim * VSI_TILE_QUERIES * sizeof(float)) +
           (tile_rows(field) * dim + VSI_WIDEN_PAD) * sizeof(float);
}

VSI_FN void vsi_tile_begin(vsi_tile *tile, const vsi_kernels *kernels, const vsi_field *field,
                           size_t count, void *memory) {
    const size_t groups = tile_groups(count), lanes = (size_t)field->dim * VSI_TILE_QUERIES;
    memset(memory, 0, vsi_tile_bytes(field, count));
    *tile = (vsi_tile){
        .kernels = kernels, .field = field, .rows_max = tile_rows(field), .group = memory};
    float *floats = (float *)(void *)(tile->group + groups);
    for (size_t i = 0; i < groups; i++, floats += lanes)
        tile->group[i].queries = floats;
    tile->wide = floats;
    tile->rows.dim = field->dim;
    tile->rows.norm = tile->norm;
    tile->rows.term = tile->term;
}

/* The squared norm of a vector in single precision. */
static double tile_norm(const vsi_tile *tile, const float *vector) {
    double norm = 0, unused = 0;
    vsi_kernels_find(tile->kernels, VS_F32, VS_IP)(vector, vector, tile->field->dim, 1, &norm,
                                                   &unused);
    return norm;
}

static bool tile_is_tame(double norm) {
    return norm > 1e-30 && norm < 1e30;
}

VSI_FN void vsi_tile_add(vsi_tile *tile, size_t query, const void *vector) {
    vsi_tile_group *group = &tile->group[query / VSI_TILE_QUERIES];
    const size_t lane = query % VSI_TILE_QUERIES;
    const float *wide = vector;
    if (tile->field->type != VS_F32) {
        tile->kernels->widen[tile->field->type](tile->wide, vector, tile->field->dim);
        wide = tile->wide;
    }
    for (size_t j = 0; j < tile->field->dim; j++)
        group->queries[j * VSI_TILE_QUERIES + lane] = wide[j];
    group->norm[lane] = tile_norm(tile, wide);
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

VSI_FN void vsi_tile_take(vsi_tile *tile, const void *rows, size_t n) {
    const size_t dim = tile->field->dim;
    tile->rows.n = n;
    tile->rows.rows = rows;
    if (tile->field->type != VS_F32) {
        tile->kernels->widen[tile->field->type](tile->wide, rows, n * dim);
        tile->rows.rows = tile->wide;
    }
    for (size_t i = 0; i < n; i++) {
        double norm = tile_norm(tile, tile->rows.rows + i * dim);
        bool is_tame = tile_is_tame(norm);
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
    tile->kernels->tile(&rows, out_keep);
}
