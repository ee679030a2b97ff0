/* sieve.c - what a sieve keeps, against the distances of query/score: no row that is near enough may be missing. */
#include "awkward.h"
#include "query/score.h"
#include "query/sieve.h"

enum { DIM_MAX = 600, QUERIES = 3, ROWS = 41, ROUNDS = 4 };

/* A collection that has nothing but codes of a field. */
typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_err err;
    vsi_desc desc;
    vsi_coll coll;
    const vsi_kernels *kernels;
    uint8_t *queries, *rows, *codes;
    void *memory;
    vsi_sieve sieve;
} fixture;

/* The mean of the rows, of length 1 for cosine. */
static void fill_mean(const vsi_field *field, const uint8_t *rows, float *mean) {
    float wide[DIM_MAX];
    vsi_err err = {0};
    memset(mean, 0, field->dim * sizeof *mean);
    for (size_t i = 0; i < ROWS; i++) {
        double square = 0;
        VT_EQ(vsi_vector_convert(&err, rows + i * field->vector_bytes, field->type, (uint8_t *)wide,
                                 VS_F32, field->dim, NULL),
              VS_OK);
        for (uint32_t j = 0; j < field->dim; j++)
            square += (double)wide[j] * (double)wide[j];
        double factor = field->metric != VS_COSINE ? 1 : square > 0 ? 1 / sqrt(square) : 0;
        for (uint32_t j = 0; j < field->dim; j++)
            mean[j] += (float)(factor * (double)wide[j] / ROWS);
    }
}

/* A mean may be too long to be one: then there is none. */
static void make_codes(fixture *f, vsi_field *field, const vsi_codes *codes, uint32_t kind) {
    float mean[DIM_MAX], wide[DIM_MAX];
    vsi_rq_spec spec = {field->dim, kind, field->metric, 7, mean};
    fill_mean(field, f->rows, mean);
    if (vsi_rq_create(&f->err, &f->mem, &spec, codes, &field->own_rq) != VS_OK) {
        spec.mean = NULL;
        VT_EQ(vsi_rq_create(&f->err, &f->mem, &spec, codes, &field->own_rq), VS_OK);
    }
    vsi_atomic_ptr_store(&field->rq, field->own_rq);
    field->code_kind = kind;
    field->codes.row_bytes = (uint32_t)vsi_rq_row_bytes(field->dim, kind);
    f->codes = malloc(ROWS * (size_t)field->codes.row_bytes);
    void *work = malloc(vsi_rq_work_bytes(field->dim));
    for (size_t i = 0; i < ROWS; i++) {
        VT_EQ(vsi_vector_convert(&f->err, f->rows + i * field->vector_bytes, field->type,
                                 (uint8_t *)wide, VS_F32, field->dim, NULL),
              VS_OK);
        vsi_rq_encode(field->own_rq, wide, work, f->codes + i * field->codes.row_bytes);
    }
    free(work);
}

static fixture *begin(const char *name, const vsi_field *given, uint32_t codes, vt_rng *rng,
                      int kind) {
    fixture *f = calloc(1, sizeof *f);
    vsi_field *field = &f->desc.field[0];
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    f->kernels = vsi_kernels_choose(name);
    *field = *given;
    f->coll.desc = &f->desc;
    f->queries = make_vectors(rng, kind, field, QUERIES);
    f->rows = make_vectors(rng, kind, field, ROWS);
    VT_CHECK(!vsi_sieve_fits(&f->coll, 0));
    make_codes(f, field, vsi_codes_choose(name), codes);
    VT_CHECK(!vsi_sieve_fits(&f->coll, 0)); /* another version has them */
    f->coll.coded = 1;
    VT_CHECK(vsi_sieve_fits(&f->coll, 0));
    f->memory = malloc(vsi_sieve_bytes(field, QUERIES));
    vsi_sieve_begin(&f->sieve, f->kernels, &f->coll, 0, QUERIES, f->memory);
    for (size_t q = 0; q < QUERIES; q++)
        vsi_sieve_add(&f->sieve, q, f->queries + q * field->vector_bytes);
    return f;
}

static void end(fixture *f) {
    vsi_rq_free(f->desc.field[0].own_rq);
    VT_EQ(f->allocator.live_blocks, 0);
    free(f->queries);
    free(f->rows);
    free(f->codes);
    free(f->memory);
    free(f);
}

/* One query at some limits; adds how many rows were left out, and how many could have been. */
static void check_query(fixture *f, size_t query, vt_rng *rng, uint64_t io_left_out[2]) {
    const vsi_field *field = &f->desc.field[0];
    static float memory[DIM_MAX + VSI_WIDEN_PAD];
    double out[ROWS], scratch[ROWS];
    vsi_score score =
        vsi_score_begin(f->kernels, field, f->queries + query * field->vector_bytes, memory);
    vsi_score_rows(&score, f->rows, ROWS, out, scratch);
    for (int round = 0; round < ROUNDS; round++) {
        uint16_t place[ROWS];
        float lower[ROWS];
        bool is_kept[ROWS] = {false};
        size_t n = 1 + vt_below(rng, ROWS);
        double limit = make_limit(rng, round, out, n);
        vsi_sieve_bounds(&f->sieve, query, NULL, n, lower);
        VT_EQ(vsi_sieve_keep(&f->sieve, lower, n, limit, 0, place), n); /* nothing is known */
        vsi_sieve_bounds(&f->sieve, query, f->codes, n, lower);
        size_t kept = vsi_sieve_keep(&f->sieve, lower, n, limit, 0, place);
        for (size_t i = 0; i < kept; i++) {
            VT_CHECK(place[i] < n && (!i || place[i] > place[i - 1]));
            is_kept[place[i]] = true;
        }
        for (size_t i = 0; i < n; i++) {
            io_left_out[0] += !is_kept[i];
            io_left_out[1] += out[i] > limit;
            if (!is_kept[i] && !(out[i] > limit))
                vt_fail(__FILE__, __LINE__,
                        "%s, %s %s of %lu: row %zu at %.17g is left out at %.17g", f->kernels->name,
                        vsi_type_name(field->type), vsi_metric_name(field->metric),
                        (unsigned long)field->dim, i, out[i], limit);
        }
    }
}

VT_TEST(no_row_that_is_near_enough_is_left_out_and_others_are) {
    static const uint32_t dim[] = {1, 2, 7, 8, 17, 64, 100, 300, DIM_MAX};
    static const int type[] = {VS_F32, VS_F16, VS_BF16, VS_U8, VS_I8};
    static const uint32_t codes[VSI_CODE_KINDS] = {8, 4, 2, 1, VSI_CODE_F16, VSI_CODE_BF16};
    uint64_t left_out[VSI_CODE_KINDS][2] = {{0, 0}};
    char names[64];
    vt_rng rng = {vt_seed()};
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " "))
        for (int metric = VS_L2; metric <= VS_COSINE; metric++)
            for (size_t t = 0; t < sizeof type / sizeof type[0]; t++)
                for (int kind = 0; kind < KINDS; kind++)
                    for (size_t d = 0; d < sizeof dim / sizeof dim[0]; d++) {
                        static vsi_field field;
                        uint64_t ignored[2] = {0, 0}, of = vt_below(&rng, VSI_CODE_KINDS);
                        make_field(&field, type[t], metric, dim[d]);
                        fixture *f = begin(name, &field, codes[of], &rng, kind);
                        for (size_t q = 0; q < QUERIES; q++)
                            check_query(f, q, &rng, kind == SPREAD ? left_out[of] : ignored);
                        end(f);
                    }
    /* Of codes with more bits more are, with 8 nearly all, with halves some more. */
    for (int w = 0; w < VSI_CODE_KINDS; w++)
        VT_CHECK(left_out[w][0] <= left_out[w][1]);
    VT_CHECK(left_out[0][0] > left_out[0][1] * 8 / 10);
    VT_CHECK(left_out[1][0] > left_out[1][1] * 45 / 100);
    VT_CHECK(left_out[4][0] > left_out[4][1] * 91 / 100);
    VT_CHECK(left_out[5][0] > left_out[5][1] * 89 / 100);
}
