/* tile.c - what a tile keeps, against the distances of query/score: no row that is near enough may be missing. */
#include "awkward.h"
#include "query/score.h"
#include "query/tile.h"

enum { DIM_MAX = 600, QUERIES_MAX = 40, ROWS = 37, ROUNDS = 4 };

/* What is kept at limits that all queries have at a time; io_left_out: how many rows are not, of those at
 * distances that are limited. */
static void check_limits(vsi_tile *tile, const vsi_kernels *kernels, const vsi_field *field,
                         const uint8_t *queries, size_t count, const uint8_t *rows, size_t n,
                         vt_rng *rng, uint64_t io_left_out[2]) {
    static double out[QUERIES_MAX][ROWS], limit[QUERIES_MAX];
    static float memory[DIM_MAX + VSI_WIDEN_PAD];
    double scratch[ROWS];
    uint32_t keep[ROWS];
    for (size_t q = 0; q < count; q++) {
        vsi_score score =
            vsi_score_begin(kernels, field, queries + q * field->vector_bytes, memory);
        vsi_score_rows(&score, rows, n, out[q], scratch);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t q = 0; q < count; q++) {
            limit[q] = make_limit(rng, round, out[q], n);
            vsi_tile_limit(tile, q, limit[q]);
        }
        for (size_t q = 0; q < count; q++) {
            if (q % VSI_TILE_QUERIES == 0)
                vsi_tile_keep(tile, q / VSI_TILE_QUERIES, keep);
            for (size_t i = 0; i < n; i++) {
                bool is_kept = keep[i] >> q % VSI_TILE_QUERIES & 1;
                io_left_out[0] += !is_kept;
                io_left_out[1] += round < 3;
                if (!is_kept && !(out[q][i] > limit[q]))
                    vt_fail(__FILE__, __LINE__,
                            "%s, %s %s of %lu: row %zu at %.17g is left out at %.17g",
                            kernels->name, vsi_type_name(field->type),
                            vsi_metric_name(field->metric), (unsigned long)field->dim, i, out[q][i],
                            limit[q]);
            }
        }
    }
}

static void check_tile(vt_rng *rng, const vsi_kernels *kernels, int type, int metric, int kind,
                       uint32_t dim, uint64_t io_left_out[2]) {
    static vsi_field field;
    vsi_tile tile;
    size_t count = 12 + vt_below(rng, QUERIES_MAX - 12);
    make_field(&field, type, metric, dim);
    if (!vsi_tile_fits(kernels, &field, count))
        count = 32 + vt_below(rng, QUERIES_MAX - 32);
    VT_CHECK(vsi_tile_fits(kernels, &field, count));
    uint8_t *queries = make_vectors(rng, kind, &field, count);
    uint8_t *rows = make_vectors(rng, kind, &field, ROWS);
    void *memory = malloc(vsi_tile_bytes(kernels, &field, count));
    vsi_tile_begin(&tile, kernels, &field, count, memory);
    for (size_t q = 0; q < count; q++)
        vsi_tile_add(&tile, q, queries + q * field.vector_bytes);
    size_t n = tile.rows_max < ROWS ? tile.rows_max : 1 + vt_below(rng, ROWS);
    vsi_tile_take(&tile, rows, n);
    check_limits(&tile, kernels, &field, queries, count, rows, n, rng, io_left_out);
    free(queries);
    free(rows);
    free(memory);
}

VT_TEST(no_row_that_is_near_enough_is_left_out_and_others_are) {
    static const uint32_t dim[] = {1, 2, 3, 15, 16, 17, 64, 100, 300, DIM_MAX};
    static const int type[] = {VS_F32, VS_F16, VS_BF16, VS_U8, VS_I8};
    char names[64];
    vt_rng rng = {vt_seed()};
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " "))
        for (int metric = VS_L2; metric <= VS_COSINE; metric++)
            for (size_t t = 0; t < sizeof type / sizeof type[0]; t++)
                for (int kind = 0; kind < KINDS; kind++) {
                    uint64_t left_out[2] = {0, 0};
                    for (size_t d = 0; d < sizeof dim / sizeof dim[0]; d++)
                        check_tile(&rng, vsi_kernels_choose(name), type[t], metric, kind, dim[d],
                                   left_out);
                    bool is_tame = kind == SPREAD; /* others have many rows at the limit */
                    if (is_tame && left_out[0] < left_out[1] / 8)
                        vt_fail(__FILE__, __LINE__,
                                "%s, %s %s, kind %d: only %llu of %llu left out", name,
                                vsi_type_name(type[t]), vsi_metric_name(metric), kind,
                                (unsigned long long)left_out[0], (unsigned long long)left_out[1]);
                }
}

VT_TEST(a_tile_is_for_several_queries_of_numbers_under_metrics_of_inner_products) {
    static vsi_field field;
    const vsi_kernels *kernels = vsi_kernels_choose(NULL);
    for (int type = VS_F32; type <= VS_BIT; type++)
        for (int metric = VS_L2; metric <= VS_JACCARD; metric++) {
            field.type = type;
            field.metric = metric;
            field.dim = 8;
            bool fits = type != VS_BIT && metric <= VS_COSINE;
            if (!vsi_metric_fits(metric, type))
                continue;
            VT_EQ(vsi_tile_fits(kernels, &field, 100), fits);
            VT_CHECK(!vsi_tile_fits(kernels, &field, 1));
        }
}
