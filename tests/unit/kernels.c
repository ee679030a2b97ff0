/* kernels.c - every kernel of every table against plain loops.
 *
 * What a float kernel may differ from the plain loop in double, with u = 2^-53, v = 2^-24 and S the
 * sum of the absolute terms:
 *
 *   - The product of two floats is exact in double. The difference of two floats, its square, and
 *     each of the dim additions round once: the loop, and a kernel that works in double, are each
 *     within (dim + 3) u S of the true value.
 *   - In single precision a block of at most 1024 terms is added in as many lanes as a vector has, L, so a
 *     term passes at most ceil(block / L) fused multiply-adds, two more roundings of the difference and
 *     its square, and at most five additions that join lanes: (ceil(block / L) + 7) v S to first
 *     order, and the second order is below a tenth of one v. Blocks are added in double.
 *   - Where a result of single precision is below 2^-126 it is rounded to a multiple of 2^-149
 *     instead: at most half of that for each term. Differences lose nothing there. */
#include "math/dispatch.h"
#include "math/kernels_avx2.h"
#include "math/kernels_avx512.h"
#include "math/kernels_neon.h"
#include "math/kernels_scalar.h"
#include "vt.h"
#include <sys/mman.h>
#include <unistd.h>

enum kernel { L2SQ, DOT, DOT_NORM, KERNELS };

enum { DIM_MAX = 65535, ROWS_MAX = 7, SHIFTS = 32, TABLES_MAX = 4 };

/* All tables that this machine can run. */
static size_t tables(const vsi_kernels *out[TABLES_MAX]) {
    char names[64];
    size_t n = 0;
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " "))
        out[n++] = vsi_kernels_choose(name);
    return n;
}

/* Lanes of single precision in a vector. */
static size_t lanes_of(const vsi_kernels *t) {
    return !strcmp(t->name, "avx512") ? 16 : !strcmp(t->name, "avx2") ? 8 : 4;
}

/* Every dim to 300, and the neighbourhoods of blocks, of 784 and of the largest. */
static size_t dim_at(size_t i) {
    static const uint16_t more[] = {383,  511,  512,  513,  783,  784,  785,   1007,
                                    1023, 1024, 1025, 1032, 1039, 1040, 1056,  2047,
                                    2048, 2049, 3071, 4095, 4096, 4097, 65504, 65520};
    size_t small = 301, all = small + sizeof more / sizeof more[0];
    return i < small ? i : i < all ? more[i - small] : DIM_MAX;
}

enum { DIMS = 301 + 24 + 1, DIMS_SMALL = 301 };

/* ---- calling kernels ------------------------------------------------------------------------ */

/* What kernels other than DOT_NORM leave in norm. */
static const double untouched = 12345.5;

/* A query as kernels take it, in memory of its own without a byte behind it; NULL: as it is. */
static float *widened(int type, const void *query, size_t dim) {
    const uint8_t *half = query;
    if (type != VS_F16 && type != VS_BF16)
        return NULL;
    float *wide = malloc(dim * sizeof *wide + !dim);
    for (size_t j = 0; j < dim; j++) {
        uint16_t bits;
        memcpy(&bits, half + j * sizeof bits, sizeof bits);
        wide[j] = type == VS_F16 ? vsi_float_of_f16(bits) : vsi_float_of_bf16(bits);
    }
    return wide;
}

static void run(const vsi_kernels *t, int type, int metric, const void *query, const void *rows,
                size_t dim, size_t n, double *out, double *norm) {
    float *wide = widened(type, query, dim);
    for (size_t i = 0; i <= n; i++)
        out[i] = norm[i] = untouched;
    vsi_kernels_find(t, type, metric)(wide ? wide : query, rows, dim, n, out, norm);
    VT_CHECK(out[n] == untouched && norm[n] == untouched);
    free(wide);
}

/* With VT_BRIEF, under emulators, every fifth byte, of which the least and the largest are two. */
static int byte_step(void) {
    return getenv("VT_BRIEF") ? 5 : 1;
}

static int metric_of(int kernel) {
    return kernel == L2SQ ? VS_L2 : kernel == DOT ? VS_IP : VS_COSINE;
}

static void run_f32(const vsi_kernels *t, int kernel, const float *query, const float *rows,
                    size_t dim, size_t n, double *out, double *norm) {
    run(t, VS_F32, metric_of(kernel), query, rows, dim, n, out, norm);
}

static void run_u8(const vsi_kernels *t, int kernel, const uint8_t *query, const uint8_t *rows,
                   size_t dim, size_t n, double *out, double *norm) {
    run(t, VS_U8, metric_of(kernel), query, rows, dim, n, out, norm);
}

/* ---- plain loops ---------------------------------------------------------------------------- */

typedef struct sum {
    double value, absolute;
} sum;

static sum plain_f32(int kernel, const float *a, const float *b, size_t dim) {
    sum s = {0, 0};
    for (size_t j = 0; j < dim; j++) {
        double d = (double)a[j] - (double)b[j];
        double term = kernel == L2SQ ? d * d : (double)a[j] * (double)b[j];
        s.value += term;
        s.absolute += fabs(term);
    }
    return s;
}

static uint64_t plain_u8(int kernel, const uint8_t *a, const uint8_t *b, size_t dim) {
    uint64_t value = 0;
    for (size_t j = 0; j < dim; j++) {
        int d = a[j] - b[j];
        value += (uint64_t)(kernel == L2SQ ? d * d : a[j] * b[j]);
    }
    return value;
}

/* The bound at the top of this file. */
static double tolerance(const vsi_kernels *t, size_t dim, sum s) {
    const double u = ldexp(1, -53), v = ldexp(1, -24);
    double in_double = 2 * ((double)dim + 3) * u * s.absolute;
    if (!strcmp(t->name, "scalar"))
        return in_double;
    size_t block = dim < VSI_KERNEL_BLOCK ? dim : VSI_KERNEL_BLOCK;
    size_t lanes = lanes_of(t);
    double roundings = (double)((block + lanes - 1) / lanes) + 7.1;
    return in_double + roundings * v * s.absolute + (double)dim * ldexp(1, -149);
}

static void check_near(const vsi_kernels *t, const char *what, size_t dim, double found, sum s) {
    double allowed = tolerance(t, dim, s), off = fabs(found - s.value);
    if (!(off <= allowed))
        vt_fail(__FILE__, __LINE__, "%s %s of dim %zu is %.17g, expected %.17g: off by %g of %g",
                t->name, what, dim, found, s.value, off, allowed);
}

static const char *const kernel_name[] = {"l2sq", "dot", "dot with norm"};

static void check_f32(const vsi_kernels *t, int kernel, const float *query, const float *rows,
                      size_t dim, size_t n) {
    double out[ROWS_MAX + 1], norm[ROWS_MAX + 1];
    run_f32(t, kernel, query, rows, dim, n, out, norm);
    for (size_t i = 0; i < n; i++) {
        const float *row = rows + i * dim;
        check_near(t, kernel_name[kernel], dim, out[i], plain_f32(kernel, query, row, dim));
        if (kernel == DOT_NORM)
            check_near(t, "norm", dim, norm[i], plain_f32(DOT, row, row, dim));
        else
            VT_CHECK(norm[i] == untouched);
    }
}

static void check_same(const vsi_kernels *t, int kernel, size_t dim, double found,
                       uint64_t expected) {
    if (found != (double)expected)
        vt_fail(__FILE__, __LINE__, "%s %s of dim %zu is %.17g, expected %" PRIu64, t->name,
                kernel_name[kernel], dim, found, expected);
}

static void check_u8(const vsi_kernels *t, int kernel, const uint8_t *query, const uint8_t *rows,
                     size_t dim, size_t n) {
    double out[ROWS_MAX + 1], norm[ROWS_MAX + 1];
    run_u8(t, kernel, query, rows, dim, n, out, norm);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *row = rows + i * dim;
        check_same(t, kernel, dim, out[i], plain_u8(kernel, query, row, dim));
        if (kernel == DOT_NORM)
            check_same(t, kernel, dim, norm[i], plain_u8(DOT, row, row, dim));
        else
            VT_CHECK(norm[i] == untouched);
    }
}

/* ---- vectors -------------------------------------------------------------------------------- */

/* Ways to fill vectors of floats. */
enum shape {
    SHAPE_UNIT,     /* [-1, 1) */
    SHAPE_POSITIVE, /* [0, 1): sums that grow */
    SHAPE_WIDE,     /* magnitudes from 2^-20 to 2^20 */
    SHAPE_DENORMAL, /* smaller than the smallest normal float */
    SHAPES
};

static float random_float(vt_rng *rng, int shape) {
    double unit = vt_uniform(rng), sign = vt_below(rng, 2) ? -1 : 1;
    switch (shape) {
    case SHAPE_UNIT:
        return (float)(sign * unit);
    case SHAPE_POSITIVE:
        return (float)unit;
    case SHAPE_WIDE:
        return (float)(sign * ldexp(unit, (int)vt_below(rng, 41) - 20));
    default:
        return (float)(sign * ldexp(unit, -127));
    }
}

static float *random_floats(vt_rng *rng, int shape, size_t n) {
    float *out = malloc((n ? n : 1) * sizeof *out);
    for (size_t i = 0; i < n; i++)
        out[i] = random_float(rng, shape);
    return out;
}

static uint8_t *random_bytes(vt_rng *rng, size_t n) {
    uint8_t *out = malloc(n ? n : 1);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)vt_random(rng);
    return out;
}

/* ---- against plain loops -------------------------------------------------------------------- */

VT_TEST(float_kernels_agree_with_a_plain_loop_at_every_dim_within_the_stated_error) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    for (int shape = 0; shape < SHAPES; shape++) {
        float *query = random_floats(&rng, shape, DIM_MAX);
        float *rows = random_floats(&rng, shape, (size_t)DIM_MAX * ROWS_MAX);
        for (size_t i = 0; i < DIMS; i++)
            for (size_t table = 0; table < count; table++)
                for (int kernel = 0; kernel < KERNELS; kernel++)
                    check_f32(t[table], kernel, query, rows, dim_at(i),
                              dim_at(i) > 4097 ? 1 : 1 + i % ROWS_MAX);
        free(query);
        free(rows);
    }
}

VT_TEST(integer_kernels_are_exact_at_every_dim) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    uint8_t *query = random_bytes(&rng, DIM_MAX);
    uint8_t *rows = random_bytes(&rng, (size_t)DIM_MAX * ROWS_MAX);
    for (size_t i = 0; i < DIMS; i++)
        for (size_t table = 0; table < count; table++)
            for (int kernel = 0; kernel < KERNELS; kernel++)
                check_u8(t[table], kernel, query, rows, dim_at(i), ROWS_MAX);
    free(query);
    free(rows);
}

VT_TEST(integer_kernels_are_exact_for_every_pair_of_bytes) {
    enum { DIM = 49 }; /* all lanes, and a tail */
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    uint8_t query[DIM], row[DIM];
    for (int a = 0; a < 256; a += byte_step()) {
        memset(query, a, sizeof query);
        for (int b = 0; b < 256; b += byte_step()) {
            memset(row, b, sizeof row);
            for (size_t table = 0; table < count; table++)
                for (int kernel = 0; kernel < KERNELS; kernel++)
                    check_u8(t[table], kernel, query, row, DIM, 1);
        }
    }
}

VT_TEST(the_largest_sums_of_integer_kernels_do_not_overflow) {
    static const uint8_t value[][2] = {{255, 0}, {0, 255}, {255, 255}, {255, 254}, {254, 255}};
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    uint8_t *query = malloc(DIM_MAX), *row = malloc(DIM_MAX);
    for (size_t i = 0; i < sizeof value / sizeof value[0]; i++) {
        memset(query, value[i][0], DIM_MAX);
        memset(row, value[i][1], DIM_MAX);
        for (size_t table = 0; table < count; table++)
            for (size_t dim = DIM_MAX - 40; dim <= DIM_MAX; dim++)
                for (int kernel = 0; kernel < KERNELS; kernel++)
                    check_u8(t[table], kernel, query, row, dim, 1);
    }
    free(query);
    free(row);
}

VT_TEST(vectors_without_elements_are_at_zero_and_no_rows_write_nothing) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    const float f = 3;
    const uint8_t b = 3;
    double out[ROWS_MAX + 1], norm[ROWS_MAX + 1];
    for (size_t table = 0; table < count; table++)
        for (int kernel = 0; kernel < KERNELS; kernel++) {
            run_f32(t[table], kernel, &f, &f, 0, ROWS_MAX, out, norm);
            for (size_t i = 0; i < ROWS_MAX; i++)
                VT_CHECK(out[i] == 0 && norm[i] == (kernel == DOT_NORM ? 0 : untouched));
            run_u8(t[table], kernel, &b, &b, 0, ROWS_MAX, out, norm);
            for (size_t i = 0; i < ROWS_MAX; i++)
                VT_CHECK(out[i] == 0 && norm[i] == (kernel == DOT_NORM ? 0 : untouched));
            run_f32(t[table], kernel, &f, &f, 1, 0, out, norm);
            run_u8(t[table], kernel, &b, &b, 1, 0, out, norm);
        }
}

/* ---- one result for one input --------------------------------------------------------------- */

static bool is_same_result(const double *a, const double *b, size_t n) {
    return !memcmp(a, b, n * sizeof *a); /* bit for bit */
}

/* Kernels take elements at their own alignment, so floats are shifted by whole floats; a row of an
 * odd dim shifts those behind it too. */
VT_TEST(a_float_result_does_not_depend_on_where_the_vectors_lie) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t), shifts = SHIFTS / sizeof(float);
    vt_rng rng = {vt_seed()};
    float *query = random_floats(&rng, SHAPE_UNIT, 785), *row = random_floats(&rng, 0, 785);
    float *q = malloc((785 + SHIFTS) * sizeof *q), *r = malloc((785 + SHIFTS) * sizeof *r);
    for (size_t i = 0; i < DIMS_SMALL + 7; i++)
        for (size_t at = 0; at < shifts * shifts; at++) {
            size_t dim = dim_at(i), bytes = dim * sizeof *q;
            float *to_q = q + at % shifts, *to_r = r + at / shifts;
            memcpy(to_q, query, bytes);
            memcpy(to_r, row, bytes);
            for (size_t k = 0; k < count * KERNELS; k++) {
                double out[2], norm[2], base[2], base_norm[2];
                int kernel = (int)(k % KERNELS);
                run_f32(t[k / KERNELS], kernel, query, row, dim, 1, base, base_norm);
                run_f32(t[k / KERNELS], kernel, to_q, to_r, dim, 1, out, norm);
                VT_CHECK(is_same_result(out, base, 2) && is_same_result(norm, base_norm, 2));
            }
        }
    free(query);
    free(row);
    free(q);
    free(r);
}

VT_TEST(an_integer_result_does_not_depend_on_where_the_vectors_lie) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    uint8_t *query = random_bytes(&rng, 785), *row = random_bytes(&rng, 785);
    uint8_t *q = malloc(785 + SHIFTS), *r = malloc(785 + SHIFTS);
    for (size_t i = 0; i < DIMS_SMALL + 7; i += i < DIMS_SMALL ? 1 : 7)
        for (size_t at = 0; at < SHIFTS * SHIFTS; at++) {
            size_t dim = dim_at(i);
            memcpy(q + at % SHIFTS, query, dim);
            memcpy(r + at / SHIFTS, row, dim);
            for (size_t k = 0; k < count * KERNELS; k++) {
                double out[2], norm[2];
                int kernel = (int)(k % KERNELS);
                run_u8(t[k / KERNELS], kernel, q + at % SHIFTS, r + at / SHIFTS, dim, 1, out, norm);
                check_same(t[k / KERNELS], kernel, dim, out[0], plain_u8(kernel, query, row, dim));
            }
        }
    free(query);
    free(row);
    free(q);
    free(r);
}

VT_TEST(many_rows_give_the_result_of_each_alone) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    float *query = random_floats(&rng, SHAPE_WIDE, 4097);
    float *rows = random_floats(&rng, SHAPE_WIDE, (size_t)4097 * ROWS_MAX);
    for (size_t i = 0; i < DIMS && dim_at(i) <= 4097; i++)
        for (size_t k = 0; k < count * KERNELS; k++) {
            double all[ROWS_MAX + 1], all_norm[ROWS_MAX + 1], one[2], one_norm[2];
            size_t dim = dim_at(i);
            int kernel = (int)(k % KERNELS);
            run_f32(t[k / KERNELS], kernel, query, rows, dim, ROWS_MAX, all, all_norm);
            for (size_t row = 0; row < ROWS_MAX; row++) {
                run_f32(t[k / KERNELS], kernel, query, rows + row * dim, dim, 1, one, one_norm);
                VT_CHECK(is_same_result(one, all + row, 1));
                VT_CHECK(is_same_result(one_norm, all_norm + row, 1));
            }
        }
    free(query);
    free(rows);
}

/* So that a vector is at cosine distance 0 from itself. */
VT_TEST(the_inner_product_of_a_vector_with_itself_is_its_norm_bit_for_bit) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    float *floats = random_floats(&rng, SHAPE_WIDE, 4097);
    uint8_t *bytes = random_bytes(&rng, 4097);
    for (size_t i = 0; i < DIMS && dim_at(i) <= 4097; i++)
        for (size_t table = 0; table < count; table++) {
            double out[2], norm[2];
            run_f32(t[table], DOT_NORM, floats, floats, dim_at(i), 1, out, norm);
            VT_CHECK(is_same_result(out, norm, 1));
            run_f32(t[table], L2SQ, floats, floats, dim_at(i), 1, out, norm);
            VT_CHECK(out[0] == 0);
            run_u8(t[table], DOT_NORM, bytes, bytes, dim_at(i), 1, out, norm);
            VT_CHECK(is_same_result(out, norm, 1));
        }
    free(floats);
    free(bytes);
}

/* ---- no byte too far ------------------------------------------------------------------------ */

/* Pages between two that cannot be read. */
typedef struct fenced {
    uint8_t *map, *begin, *end;
    size_t map_bytes;
} fenced;

static fenced fence(size_t bytes) {
    fenced f;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (bytes + page - 1) / page * page;
    f.map_bytes = inner + 2 * page;
    f.map = mmap(NULL, f.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    VT_CHECK(f.map != MAP_FAILED);
    f.begin = f.map + page;
    f.end = f.begin + inner;
    VT_CHECK(mprotect(f.begin, inner, PROT_READ | PROT_WRITE) == 0);
    for (uint8_t *p = f.begin; p < f.end; p++)
        *p = 1; /* a small float, and a byte */
    return f;
}

static void check_fenced(size_t dim, size_t n, const fenced *query, const fenced *rows) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    double out[ROWS_MAX + 1], norm[ROWS_MAX + 1];
    for (size_t k = 0; k < count * KERNELS * 2; k++) {
        const vsi_kernels *table = t[k / 2 / KERNELS];
        int kernel = (int)(k / 2 % KERNELS);
        bool is_at_end = k % 2;
        size_t bytes = dim * sizeof(float);
        const uint8_t *q = is_at_end ? query->end - bytes : query->begin;
        const uint8_t *r = is_at_end ? rows->end - n * bytes : rows->begin;
        run_f32(table, kernel, (const float *)(const void *)q, (const float *)(const void *)r, dim,
                n, out, norm);
        q = is_at_end ? query->end - dim : query->begin;
        r = is_at_end ? rows->end - n * dim : rows->begin;
        run_u8(table, kernel, q, r, dim, n, out, norm);
    }
}

/* A byte too far ends the program. */
VT_TEST(no_byte_before_or_behind_the_vectors_is_read) {
    fenced query = fence(DIM_MAX * sizeof(float));
    fenced rows = fence((size_t)DIM_MAX * ROWS_MAX * sizeof(float));
    for (size_t i = 0; i < DIMS; i++)
        for (size_t n = 0; n <= ROWS_MAX; n += dim_at(i) > 4097 ? ROWS_MAX : 1)
            check_fenced(dim_at(i), n, &query, &rows);
    munmap(query.map, query.map_bytes);
    munmap(rows.map, rows.map_bytes);
}

/* ---- special values ------------------------------------------------------------------------- */

/* Elements below the normal range times large ones: products of ordinary size. */
VT_TEST(denormal_elements_are_not_taken_for_zero) {
    enum { DIM = 77 };
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    float tiny[DIM], large[DIM];
    double out[2], norm[2];
    vt_rng rng = {vt_seed()};
    for (size_t j = 0; j < DIM; j++) {
        tiny[j] = (float)ldexp(1 + (double)vt_below(&rng, 1000), -149);
        large[j] = (float)ldexp(1 + vt_uniform(&rng), 120);
    }
    for (size_t table = 0; table < count; table++) {
        sum s = plain_f32(DOT, tiny, large, DIM);
        VT_CHECK(s.value > 0x1p-29);
        for (int kernel = DOT; kernel <= DOT_NORM; kernel++) {
            run_f32(t[table], kernel, tiny, large, DIM, 1, out, norm);
            check_near(t[table], kernel_name[kernel], DIM, out[0], s);
            run_f32(t[table], kernel, large, tiny, DIM, 1, out, norm);
            check_near(t[table], kernel_name[kernel], DIM, out[0], s);
        }
    }
}

VT_TEST(the_scalar_table_keeps_squares_of_denormal_elements) {
    enum { DIM = 33 };
    const float least = (float)ldexp(1, -149);
    float a[DIM], zero[DIM] = {0};
    double out[2], norm[2];
    for (size_t j = 0; j < DIM; j++)
        a[j] = least;
    for (int kernel = 0; kernel < KERNELS; kernel++) {
        run_f32(vsi_kernels_scalar(), kernel, a, kernel == L2SQ ? zero : a, DIM, 1, out, norm);
        VT_CHECK(out[0] == DIM * ldexp(1, -298));
        VT_CHECK(kernel != DOT_NORM || norm[0] == out[0]);
    }
}

VT_TEST(zeros_of_either_sign_are_equal_and_weigh_nothing) {
    enum { DIM = 45 };
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    float a[DIM], b[DIM], c[DIM];
    double out[2], norm[2];
    for (size_t j = 0; j < DIM; j++) {
        a[j] = vt_below(&rng, 2) ? 0.0f : -0.0f;
        b[j] = vt_below(&rng, 2) ? 0.0f : -0.0f;
        c[j] = random_float(&rng, SHAPE_WIDE);
    }
    for (size_t k = 0; k < count * KERNELS; k++) {
        int kernel = (int)(k % KERNELS);
        run_f32(t[k / KERNELS], kernel, a, b, DIM, 1, out, norm);
        VT_CHECK(out[0] == 0);
        VT_CHECK(kernel != DOT_NORM || norm[0] == 0);
        run_f32(t[k / KERNELS], kernel, c, b, DIM, 1, out, norm);
        check_near(t[k / KERNELS], kernel_name[kernel], DIM, out[0], plain_f32(kernel, c, b, DIM));
    }
}

/* The caller computes such rows in double, so a finite number must be right and the scalar table
 * must always be. */
VT_TEST(sums_beyond_single_precision_are_not_finite_or_right) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t), overflows = 0;
    vt_rng rng = {vt_seed()};
    for (size_t i = 1; i < DIMS && dim_at(i) <= 4097; i++) {
        size_t dim = dim_at(i);
        float *a = malloc(dim * sizeof *a), *b = malloc(dim * sizeof *b);
        for (size_t j = 0; j < dim; j++) {
            a[j] = vt_below(&rng, 2) ? FLT_MAX : -FLT_MAX;
            b[j] = vt_below(&rng, 4) ? FLT_MAX : -3e19f;
        }
        for (size_t k = 0; k < count * KERNELS; k++) {
            double out[2], norm[2];
            int kernel = (int)(k % KERNELS);
            run_f32(t[k / KERNELS], kernel, a, b, dim, 1, out, norm);
            if (isfinite(out[0]))
                check_near(t[k / KERNELS], kernel_name[kernel], dim, out[0],
                           plain_f32(kernel, a, b, dim));
            else
                overflows++;
            VT_CHECK(isfinite(out[0]) || t[k / KERNELS] != vsi_kernels_scalar());
            if (kernel == DOT_NORM && isfinite(norm[0]))
                check_near(t[k / KERNELS], "norm", dim, norm[0], plain_f32(DOT, b, b, dim));
        }
        free(a);
        free(b);
    }
    VT_CHECK(count == 1 || overflows > 0);
}

/* ---- dispatch ------------------------------------------------------------------------------- */

VT_TEST(every_table_has_kernels_for_all_metrics_that_fit_and_no_others) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    for (size_t i = 0; i < count; i++)
        for (int type = VS_F32; type < VSI_TYPES; type++)
            for (int metric = VS_L2; metric < VSI_METRICS; metric++) {
                VT_EQ(t[i]->rows[type][metric] != NULL, vsi_metric_fits(metric, type));
                VT_EQ(t[i]->gather[type][metric] != NULL, vsi_metric_fits(metric, type));
            }
}

VT_TEST(tables_are_chosen_by_name_and_the_first_name_is_the_default) {
    char names[64];
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    char *name = strtok(names, " ");
    VT_CHECK(name);
    VT_STR(vsi_kernels_choose(NULL)->name, name);
    bool has_scalar = false;
    for (; name; name = strtok(NULL, " ")) {
        const vsi_kernels *table = vsi_kernels_choose(name);
        VT_CHECK(table);
        VT_STR(table->name, name);
        has_scalar = has_scalar || table == vsi_kernels_scalar();
    }
    VT_CHECK(has_scalar);
}

VT_TEST(unknown_names_choose_no_table) {
    static const char *const name[] = {"",      " ",       "AVX2",       "avx",
                                       "avx22", "scala",   "neon ",      "scalar ",
                                       "avx51", "default", "avx2 scalar"};
    for (size_t i = 0; i < sizeof name / sizeof name[0]; i++)
        VT_CHECK(!vsi_kernels_choose(name[i]));
}

#if defined(VSI_X86) && defined(__GNUC__)

/* Not every compiler can be asked for this one by name. */
static bool machine_has_f16c(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static bool machine_has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && machine_has_f16c();
}

static bool machine_has_avx512(void) {
    return machine_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni") &&
           __builtin_cpu_supports("avx512vpopcntdq");
}

static const char *names_of(bool has_avx2, bool has_avx512) {
    return has_avx512 ? "avx512 avx2 scalar" : has_avx2 ? "avx2 scalar" : "scalar";
}

VT_TEST(tables_are_offered_exactly_where_the_machine_has_what_they_need) {
    VT_EQ(vsi_kernels_choose("avx2") == vsi_kernels_avx2(), machine_has_avx2());
    VT_EQ(vsi_kernels_choose("avx512") == vsi_kernels_avx512(), machine_has_avx512());
    VT_STR(vsi_kernels_names(), names_of(machine_has_avx2(), machine_has_avx512()));
}

/* dispatch.c once more, on a processor without one thing or another. */
static struct {
    unsigned leaf1_c, leaf7_b, leaf7_c; /* bits taken away */
    bool lacks_leaf1, lacks_leaf7;
} lacking;

static int lacking_cpuid(unsigned leaf, unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
    if (lacking.lacks_leaf1 || !__get_cpuid(leaf, a, b, c, d))
        return 0;
    *c &= ~lacking.leaf1_c;
    return 1;
}

static int lacking_cpuid_count(unsigned leaf, unsigned sub, unsigned *a, unsigned *b, unsigned *c,
                               unsigned *d) {
    if (lacking.lacks_leaf7 || !__get_cpuid_count(leaf, sub, a, b, c, d))
        return 0;
    *b &= ~lacking.leaf7_b;
    *c &= ~lacking.leaf7_c;
    return 1;
}

#define __get_cpuid             lacking_cpuid
#define __get_cpuid_count       lacking_cpuid_count
#define vsi_kernels_choose      lacking_kernels_choose
#define vsi_kernels_names       lacking_kernels_names
#define vsi_kernels_find        lacking_kernels_find
#define vsi_kernels_find_gather lacking_kernels_find_gather
#include "math/dispatch.c"

static void check_lacking(bool has_avx2, bool has_avx512) {
    VT_EQ(lacking_kernels_choose("avx2") != NULL, has_avx2);
    VT_EQ(lacking_kernels_choose("avx512") != NULL, has_avx512);
    VT_CHECK(lacking_kernels_choose("scalar") == vsi_kernels_scalar());
    VT_STR(lacking_kernels_names(), names_of(has_avx2, has_avx512));
    VT_STR(lacking_kernels_choose(NULL)->name, has_avx512 ? "avx512"
                                               : has_avx2 ? "avx2"
                                                          : "scalar");
    memset(&lacking, 0, sizeof lacking);
}

VT_TEST(without_avx512_or_what_it_needs_the_next_table_serves) {
    static const int leaf7_b[] = {16, 17, 30, 31}, leaf7_c[] = {11, 14};
    memset(&lacking, 0, sizeof lacking);
    check_lacking(machine_has_avx2(), machine_has_avx512());
    for (size_t i = 0; i < sizeof leaf7_b / sizeof leaf7_b[0]; i++) { /* F, DQ, BW, VL */
        lacking.leaf7_b = 1u << leaf7_b[i];
        check_lacking(machine_has_avx2(), false);
    }
    for (size_t i = 0; i < sizeof leaf7_c / sizeof leaf7_c[0]; i++) { /* VNNI, VPOPCNTDQ */
        lacking.leaf7_c = 1u << leaf7_c[i];
        check_lacking(machine_has_avx2(), false);
    }
    lacking.leaf7_b =
        ~(1u << 5 | 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31); /* all needed is there */
    lacking.leaf7_c = ~(1u << 11 | 1u << 14);
    check_lacking(machine_has_avx2(), machine_has_avx512());
}

VT_TEST(without_avx2_or_what_it_needs_the_scalar_table_serves) {
    memset(&lacking, 0, sizeof lacking);
    lacking.leaf7_b = 1u << 5; /* AVX2 */
    check_lacking(false, false);
    lacking.leaf1_c = 1u << 12; /* FMA */
    check_lacking(false, false);
    lacking.leaf1_c = 1u << 29; /* F16C */
    check_lacking(false, false);
    lacking.leaf1_c = 1u << 28; /* AVX */
    check_lacking(false, false);
    lacking.leaf1_c = 1u << 27; /* the system saves no wide registers */
    check_lacking(false, false);
    lacking.lacks_leaf7 = true;
    check_lacking(false, false);
    lacking.lacks_leaf1 = true;
    check_lacking(false, false);
    lacking.leaf1_c = ~(1u << 12 | 1u << 27 | 1u << 28 | 1u << 29); /* all needed is there */
    check_lacking(machine_has_avx2(), machine_has_avx512());
}

#elif defined(VSI_NEON)

VT_TEST(neon_is_offered_and_its_products_of_bytes_where_the_machine_has_them) {
    const vsi_kernels *best = vsi_kernels_choose(NULL);
    VT_CHECK(vsi_kernels_choose("neon") == vsi_kernels_neon());
    VT_CHECK(best == vsi_kernels_neon() || best == vsi_kernels_neon_dotprod() ||
             best == vsi_kernels_neon_i8mm());
    VT_STR(vsi_kernels_names(), best == vsi_kernels_neon() ? "neon scalar"
                                : best == vsi_kernels_neon_dotprod()
                                    ? "neon-dotprod neon scalar"
                                    : "neon-i8mm neon-dotprod neon scalar");
}

#else

VT_TEST(where_no_other_table_can_be_the_scalar_table_serves) {
    VT_STR(vsi_kernels_names(), "scalar");
    VT_CHECK(!vsi_kernels_choose("avx2"));
    VT_CHECK(vsi_kernels_choose(NULL) == vsi_kernels_scalar());
}

#endif

/* ---- other types and metrics ----------------------------------------------------------------- */

/* Elements that a kernel of the type reads, in a block of exactly their size, and the same as doubles. */
static uint8_t *make_vectors(int type, uint32_t dim, size_t n, vt_rng *rng, double *values) {
    size_t bytes = vsi_vector_bytes(type, dim);
    uint8_t *out = malloc(bytes * n + 1);
    float *row = malloc((dim + 1) * sizeof *row);
    for (size_t i = 0; i < n; i++) {
        vsi_err err = {0};
        for (uint32_t j = 0; j < dim; j++) {
            double wide = ((double)vt_below(rng, 2000001) - 1e6) / 1000;
            bool is_extreme = vt_below(rng, 8) == 0;
            row[j] = type == VS_BIT  ? (float)vt_below(rng, 2)
                     : type == VS_U8 ? (float)(is_extreme ? 255 : vt_below(rng, 256))
                     : type == VS_I8 ? (float)(is_extreme ? -128 : (int)vt_below(rng, 256) - 128)
                                     : (float)wide;
        }
        VT_EQ(vsi_vector_convert(&err, row, VS_F32, out + i * bytes, type, dim, NULL), VS_OK);
        VT_EQ(vsi_vector_convert(&err, out + i * bytes, type, (uint8_t *)row, VS_F32, dim, NULL),
              VS_OK);
        for (uint32_t j = 0; j < dim; j++)
            values[i * dim + j] = (double)row[j];
    }
    free(row);
    return out;
}

/* What a kernel must write, and how large its terms are. */
static sum plain_metric(int metric, const double *a, const double *b, size_t dim, double *norm) {
    sum s = {0, 0};
    *norm = 0;
    for (size_t j = 0; j < dim; j++) {
        double d = a[j] - b[j], term = metric == VS_L2   ? d * d
                                       : metric == VS_L1 ? fabs(d)
                                                         : a[j] * b[j];
        if (metric == VS_HAMMING)
            term = a[j] != b[j];
        s.value += term;
        s.absolute += fabs(term);
        *norm += metric == VS_JACCARD ? a[j] + b[j] - a[j] * b[j] : b[j] * b[j];
    }
    return s;
}

/* Rows anywhere, one alone and none: the same results bit for bit. */
static void check_gather(const vsi_kernels *t, int type, int metric, const uint8_t *query,
                         const uint8_t *rows, uint32_t dim, const double *out, const double *norm) {
    const void *row[ROWS_MAX];
    size_t bytes = vsi_vector_bytes(type, dim);
    double found[ROWS_MAX + 1], found_norm[ROWS_MAX + 1];
    float *wide = widened(type, query, dim);
    for (size_t n = 0; n <= ROWS_MAX; n++) {
        for (size_t i = 0; i <= n; i++)
            found[i] = found_norm[i] = untouched;
        for (size_t i = 0; i < n; i++)
            row[i] = rows + (ROWS_MAX - 1 - i) * bytes;
        t->gather[type][metric](wide ? (const void *)wide : query, row, dim, n, found, found_norm);
        VT_CHECK(found[n] == untouched && found_norm[n] == untouched);
        for (size_t i = 0; i < n; i++) {
            VT_CHECK(is_same_result(found + i, out + ROWS_MAX - 1 - i, 1));
            VT_CHECK(is_same_result(found_norm + i, norm + ROWS_MAX - 1 - i, 1));
        }
    }
    free(wide);
}

static void check_type(const vsi_kernels *t, int type, int metric, uint32_t dim, vt_rng *rng) {
    double *values = malloc((ROWS_MAX + 1) * (dim + 1) * sizeof *values), out[ROWS_MAX + 1],
           norm[ROWS_MAX + 1];
    uint8_t *query = make_vectors(type, dim, 1, rng, values);
    uint8_t *rows = make_vectors(type, dim, ROWS_MAX, rng, values + dim);
    bool is_whole = type == VS_U8 || type == VS_I8 || type == VS_BIT;
    run(t, type, metric, query, rows, dim, ROWS_MAX, out, norm);
    check_gather(t, type, metric, query, rows, dim, out, norm);
    for (size_t i = 0; i < ROWS_MAX; i++) {
        double expected = 0;
        sum s = plain_metric(metric, values, values + (i + 1) * dim, dim, &expected);
        if (is_whole)
            VT_CHECK(out[i] == s.value);
        else
            check_near(t, vsi_metric_name(metric), dim, out[i], s);
        if (metric == VS_COSINE || metric == VS_JACCARD)
            VT_CHECK(is_whole ? norm[i] == expected : fabs(norm[i] - expected) <= 1e-5 * expected);
        else
            VT_CHECK(norm[i] == untouched);
    }
    free(values);
    free(query);
    free(rows);
}

/* ---- rows that are beyond ------------------------------------------------------------------- */

enum { BEYOND_ROWS = 100 };

/* As a rule beyond, now and then anything. */
static double make_sum(vt_rng *rng, int metric, double level, bool is_odd) {
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0, DBL_MAX, -DBL_MAX, 0x1p-1074};
    if (is_odd && vt_below(rng, 3))
        return odd[vt_below(rng, sizeof odd / sizeof odd[0])];
    if (is_odd)
        return vt_below(rng, 2) ? level : nextafter(level, vt_below(rng, 2) ? -INFINITY : INFINITY);
    double far = 1 + (double)vt_below(rng, 1000);
    return metric == VS_L2 || metric == VS_L1 || metric == VS_HAMMING ? level + far : level - far;
}

static void check_beyond(const vsi_kernels *t, int metric, vt_rng *rng) {
    static const double levels[] = {0, 1, -1, 0.5, 100, -100, INFINITY, -INFINITY, 1e300};
    fenced sums_fence = fence(BEYOND_ROWS * sizeof(double));
    fenced norm_fence = fence(BEYOND_ROWS * sizeof(double));
    for (int round = 0; round < 2000; round++) {
        const size_t n = vt_below(rng, BEYOND_ROWS + 1), odds = vt_below(rng, 3);
        double *sums = (double *)(void *)(sums_fence.end - n * sizeof(double));
        double *norm = (double *)(void *)(norm_fence.end - n * sizeof(double));
        double level = levels[vt_below(rng, sizeof levels / sizeof levels[0])];
        size_t first = 0;
        for (size_t i = 0; i < n; i++) {
            bool is_odd = vt_below(rng, n) < odds;
            sums[i] = make_sum(rng, metric, level, is_odd);
            norm[i] = is_odd && vt_below(rng, 2) ? make_sum(rng, VS_L2, 0, true) : 1;
        }
        while (first < n && vsi_is_beyond(metric, sums[first], norm[first], level))
            first++;
        size_t found = t->beyond[metric](sums, norm, n, level);
        VT_CHECK(found <= first);
        VT_CHECK(found + 2 * 8 > first); /* two vectors of doubles are looked at together */
    }
    munmap(sums_fence.map, sums_fence.map_bytes);
    munmap(norm_fence.map, norm_fence.map_bytes);
}

/* By hand: what stands for no number is never beyond, and the level itself is not. */
VT_TEST(a_row_is_beyond_a_level_only_when_its_numbers_say_so) {
    VT_CHECK(vsi_is_beyond(VS_L2, 2, NAN, 1) && !vsi_is_beyond(VS_L2, 1, NAN, 1));
    VT_CHECK(!vsi_is_beyond(VS_L2, INFINITY, 0, 1) && !vsi_is_beyond(VS_HAMMING, NAN, 0, 1));
    VT_CHECK(vsi_is_beyond(VS_IP, -2, NAN, -1) && !vsi_is_beyond(VS_IP, -1, NAN, -1));
    VT_CHECK(!vsi_is_beyond(VS_IP, -INFINITY, 0, -1) && !vsi_is_beyond(VS_IP, NAN, 0, -1));
    VT_CHECK(vsi_is_beyond(VS_IP, 1e-25, 0, 1) && !vsi_is_beyond(VS_IP, -1e-26, 0, 1));
    VT_CHECK(vsi_is_beyond(VS_COSINE, 2, 5, 1) && !vsi_is_beyond(VS_COSINE, 2, 4, 1));
    VT_CHECK(vsi_is_beyond(VS_COSINE, -3, 4, -2) && !vsi_is_beyond(VS_COSINE, -2, 4, -2));
    VT_CHECK(!vsi_is_beyond(VS_COSINE, -1, 1e-31, 1) && !vsi_is_beyond(VS_COSINE, -1, INFINITY, 1));
    VT_CHECK(!vsi_is_beyond(VS_COSINE, -INFINITY, 1, 1) && !vsi_is_beyond(VS_COSINE, 0, NAN, 1));
    VT_CHECK(vsi_is_beyond(VS_JACCARD, 1, 4, 0.5) && !vsi_is_beyond(VS_JACCARD, 2, 4, 0.5));
    VT_CHECK(!vsi_is_beyond(VS_JACCARD, 0, 0, 0.5));
}

VT_TEST(kernels_find_the_first_row_that_is_not_beyond_to_within_two_vectors) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    for (size_t i = 0; i < count; i++)
        for (int metric = VS_L2; metric <= VS_JACCARD; metric++)
            check_beyond(t[i], metric, &rng);
}

/* What is no number is not above, nor is the level itself. */
static void check_above(const vsi_kernels *t, const fenced *numbers, vt_rng *rng) {
    static const float odd[] = {1, 0.5f, -INFINITY, NAN};
    for (int round = 0; round < 2000; round++) {
        const size_t n = vt_below(rng, BEYOND_ROWS + 1), odds = vt_below(rng, 3);
        float *x = (float *)(void *)(numbers->end - n * sizeof(float));
        size_t first = 0;
        for (size_t i = 0; i < n; i++)
            x[i] = vt_below(rng, n) < odds ? odd[vt_below(rng, 4)]
                   : vt_below(rng, 2)      ? 1.5f
                                           : INFINITY;
        while (first < n && x[first] > 1)
            first++;
        size_t found = t->above(x, n, 1);
        VT_CHECK(found <= first);
        VT_CHECK(found + 16 > first); /* a vector of floats is looked at together */
    }
}

VT_TEST(kernels_find_the_first_number_that_is_not_above_to_within_a_vector) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    fenced numbers = fence(BEYOND_ROWS * sizeof(float));
    for (size_t i = 0; i < count; i++)
        check_above(t[i], &numbers, &rng);
    munmap(numbers.map, numbers.map_bytes);
}

VT_TEST(every_type_has_a_kernel_for_each_metric_that_fits_and_agrees_with_plain_loops) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t), checked = 0;
    vt_rng rng = {vt_seed()};
    for (size_t i = 0; i < count; i++)
        for (int type = VS_F32; type <= VS_BIT; type++)
            for (int metric = VS_L2; metric <= VS_JACCARD; metric++) {
                VT_EQ(vsi_kernels_find(t[i], type, metric) != NULL, vsi_metric_fits(metric, type));
                for (size_t d = 0; d < DIMS && vsi_metric_fits(metric, type); d += d > 70 ? 8 : 1)
                    check_type(t[i], type, metric, (uint32_t)dim_at(d), &rng);
                checked += vsi_metric_fits(metric, type);
            }
    VT_EQ(checked, count * (5 * 4 + 2));
}

VT_TEST(kernels_of_every_type_read_no_byte_before_or_behind_and_rows_alone_are_the_same) {
    enum { DIM = 300 };
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    fenced query = fence(4 * DIM), rows = fence((size_t)4 * DIM * ROWS_MAX);
    double out[ROWS_MAX + 1], norm[ROWS_MAX + 1], one[2], one_norm[2];
    for (uint32_t dim = 0; dim <= DIM; dim += dim > 70 ? (uint32_t)byte_step() : 1)
        for (size_t k = 0; k < count * VSI_TYPES * VSI_METRICS * 2; k++) {
            const vsi_kernels *table = t[k / 2 / VSI_METRICS / VSI_TYPES];
            int type = (int)(k / 2 / VSI_METRICS % VSI_TYPES), metric = (int)(k / 2 % VSI_METRICS);
            if (!vsi_metric_fits(metric, type))
                continue;
            size_t bytes = vsi_vector_bytes(type, dim);
            const uint8_t *q = k % 2 ? query.end - bytes : query.begin;
            const uint8_t *r = k % 2 ? rows.end - bytes * ROWS_MAX : rows.begin;
            run(table, type, metric, q, r, dim, ROWS_MAX, out, norm);
            check_gather(table, type, metric, q, r, dim, out, norm);
            for (size_t i = 0; i < ROWS_MAX; i++) {
                run(table, type, metric, q, r + i * bytes, dim, 1, one, one_norm);
                VT_CHECK(is_same_result(one, out + i, 1));
                VT_CHECK(is_same_result(one_norm, norm + i, 1));
            }
        }
    munmap(query.map, query.map_bytes);
    munmap(rows.map, rows.map_bytes);
}

VT_TEST(kernels_of_signed_bytes_are_exact_for_every_pair) {
    enum { DIM = 130 }; /* all lanes of two vectors, and a tail */
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    int8_t query[DIM], row[DIM];
    double out[2], norm[2];
    for (int a = -128; a < 128; a += byte_step()) {
        memset(query, a, sizeof query);
        for (int b = -128; b < 128; b += byte_step()) {
            memset(row, b, sizeof row);
            for (size_t i = 0; i < count; i++) {
                run(t[i], VS_I8, VS_L2, query, row, DIM, 1, out, norm);
                VT_CHECK(out[0] == (double)DIM * (a - b) * (a - b));
                run(t[i], VS_I8, VS_L1, query, row, DIM, 1, out, norm);
                VT_CHECK(out[0] == (double)DIM * abs(a - b));
                run(t[i], VS_I8, VS_IP, query, row, DIM, 1, out, norm);
                VT_CHECK(out[0] == (double)DIM * a * b);
                run(t[i], VS_I8, VS_COSINE, query, row, DIM, 1, out, norm);
                VT_CHECK(out[0] == (double)DIM * a * b && norm[0] == (double)DIM * b * b);
            }
        }
    }
}

VT_TEST(sums_of_whole_numbers_stay_exact_at_the_extremes) {
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    static int8_t low[DIM_MAX], high[DIM_MAX];
    static uint8_t ones[(DIM_MAX + 7) / 8];
    memset(low, -128, sizeof low);
    memset(high, 127, sizeof high);
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < count; i++) {
        double out[2], norm[2];
        run(t[i], VS_I8, VS_L2, low, high, DIM_MAX, 1, out, norm);
        VT_CHECK(out[0] == 65535.0 * 255 * 255);
        run(t[i], VS_I8, VS_L1, low, high, DIM_MAX, 1, out, norm);
        VT_CHECK(out[0] == 65535.0 * 255);
        run(t[i], VS_I8, VS_COSINE, low, low, DIM_MAX, 1, out, norm);
        VT_CHECK(out[0] == 65535.0 * 128 * 128 && norm[0] == out[0]);
        run(t[i], VS_I8, VS_IP, low, high, DIM_MAX, 1, out, norm);
        VT_CHECK(out[0] == -65535.0 * 128 * 127);
        run(t[i], VS_BIT, VS_JACCARD, ones, ones, 65528, 1, out, norm);
        VT_CHECK(out[0] == 65528 && norm[0] == 65528);
    }
}

/* ---- tiles of bytes ------------------------------------------------------------------------- */

enum { TILE_ROWS = 19, UNIT_MAX = 8 };

/* Packs queries [VSI_TILE_QUERIES][dim] as a form wants them, with a set's padding. */
static void pack_bytes(const vsi_tile_form *form, const uint8_t *queries, size_t dim,
                       uint8_t *out) {
    memset(out, 0, (dim + form->unit) * VSI_TILE_QUERIES);
    for (size_t q = 0; q < VSI_TILE_QUERIES; q++)
        for (size_t j = 0; j < dim; j++)
            out[(j / form->unit * VSI_TILE_QUERIES + q) * form->unit + j % form->unit] =
                queries[q * dim + j] ^ (form->is_shifted ? 128 : 0);
}

static double product_of(int type, const uint8_t *a, const uint8_t *b, size_t dim) {
    double product = 0;
    for (size_t j = 0; j < dim; j++)
        product += type == VS_U8 ? (double)a[j] * b[j] : (double)(int8_t)a[j] * (int8_t)b[j];
    return product;
}

/* Levels that are a row's inner products, as single precision has them, or the next number above: kept, and not. */
static void check_tile_of_bytes(const vsi_kernels *table, int type, size_t dim, size_t n,
                                const uint8_t *queries, const uint8_t *rows, size_t row) {
    static uint8_t packed[(DIM_MAX + UNIT_MAX) * VSI_TILE_QUERIES];
    const vsi_tile_form *form = &table->tile[type];
    float zeros[VSI_TILE_QUERIES] = {0}, level[VSI_TILE_QUERIES], dots[VSI_TILE_QUERIES];
    uint32_t start[TILE_ROWS] = {0}, keep[TILE_ROWS];
    pack_bytes(form, queries, dim, packed);
    for (size_t i = 0; i < n && form->is_shifted; i++)
        for (size_t j = 0; j < dim; j++)
            start[i] += type == VS_U8 ? 128u * rows[i * dim + j]
                                      : 0u - 128u * (uint32_t)(int8_t)rows[i * dim + j];
    for (size_t q = 0; q < VSI_TILE_QUERIES; q++) {
        dots[q] = (float)product_of(type, queries + q * dim, rows + row * dim, dim);
        level[q] = q % 2 ? nextafterf(dots[q], INFINITY) : dots[q];
    }
    const vsi_tile_rows tile = {packed, zeros, level, rows, start, zeros, zeros, dim, n};
    form->kernel(&tile, keep);
    VT_EQ(keep[row], 0x55555555);
    for (size_t i = 0; i < n; i++)
        for (size_t q = 0; q < VSI_TILE_QUERIES; q++) {
            float dot = (float)product_of(type, queries + q * dim, rows + i * dim, dim);
            VT_EQ(keep[i] >> q & 1, !(dot < level[q]));
        }
}

VT_TEST(tiles_of_bytes_compare_exact_inner_products_and_read_no_byte_too_far) {
    enum { DIM = 67 };
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    fenced queries = fence(DIM * VSI_TILE_QUERIES), rows = fence(DIM * TILE_ROWS);
    for (uint8_t *p = queries.begin; p < queries.end; p++)
        *p = (uint8_t)vt_below(&rng, 256);
    for (uint8_t *p = rows.begin; p < rows.end; p++)
        *p = (uint8_t)vt_below(&rng, 256);
    for (size_t k = 0; k < count * 2; k++)
        for (size_t dim = 1; dim <= DIM && t[k / 2]->tile[k % 2 ? VS_I8 : VS_U8].kernel; dim++) {
            const size_t n = 1 + vt_below(&rng, TILE_ROWS);
            check_tile_of_bytes(t[k / 2], k % 2 ? VS_I8 : VS_U8, dim, n, queries.begin,
                                rows.end - n * dim, vt_below(&rng, n));
        }
    munmap(queries.map, queries.map_bytes);
    munmap(rows.map, rows.map_bytes);
}

VT_TEST(sets_with_products_of_bytes_have_tiles_of_bytes) {
    static const char *const with[] = {"avx512", "neon-dotprod", "neon-i8mm"};
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    for (size_t i = 0; i < count; i++) {
        bool has = false;
        for (size_t k = 0; k < sizeof with / sizeof with[0]; k++)
            has = has || !strcmp(t[i]->name, with[k]);
        VT_EQ(t[i]->tile[VS_U8].kernel != NULL, has);
        VT_EQ(t[i]->tile[VS_I8].kernel != NULL, has);
    }
}

VT_TEST(tiles_of_bytes_stay_exact_at_the_extremes) {
    static uint8_t queries[DIM_MAX * VSI_TILE_QUERIES], rows[DIM_MAX * 2];
    static const uint8_t extreme[] = {0, 127, 128, 255};
    const vsi_kernels *t[TABLES_MAX];
    size_t count = tables(t);
    for (size_t q = 0; q < VSI_TILE_QUERIES; q++)
        memset(queries + q * DIM_MAX, extreme[q / 2 % 4], DIM_MAX);
    for (size_t i = 0; i < 4; i++) {
        memset(rows, extreme[i], DIM_MAX);
        memset(rows + DIM_MAX, extreme[(i + 1) % 4], DIM_MAX);
        for (size_t k = 0; k < count * 2; k++)
            if (t[k / 2]->tile[k % 2 ? VS_I8 : VS_U8].kernel)
                check_tile_of_bytes(t[k / 2], k % 2 ? VS_I8 : VS_U8, DIM_MAX, 2, queries, rows, 0);
    }
}
