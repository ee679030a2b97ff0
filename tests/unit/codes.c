/* codes.c - every kernel for codes of every table: whole numbers and the steps of a rotation exactly as the scalar
 * table has them, and that one as plain loops over unpacked levels say; the rest within what floats lose. */
#include "math/codes_dispatch.h"
#include "math/dispatch.h"
#include "math/codes_scalar.h"
#include "vt.h"
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TABLES_MAX = 4, ROWS = 11, DIMS_MAX = 1280, EXTRA = VSI_CODE_HEAD_BYTES };

static const uint32_t widths[] = {1, 2, 4, 8};

static size_t tables(const vsi_codes *out[TABLES_MAX]) {
    char names[64];
    size_t n = 0;
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " "))
        out[n++] = vsi_codes_choose(name);
    return n;
}

/* Bytes that end where a page does that cannot be read; never freed. */
static uint8_t *at_page_end(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    uint8_t *p =
        mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    VT_CHECK(p != MAP_FAILED);
    VT_EQ(mprotect(p + whole, page, PROT_NONE), 0);
    return p + whole - bytes;
}

VT_TEST(tables_are_chosen_by_name_and_the_first_name_is_the_default) {
    const vsi_codes *t[TABLES_MAX];
    size_t n = tables(t);
    VT_CHECK(n >= 1);
    VT_CHECK(t[0] == vsi_codes_choose(NULL));
    VT_CHECK(t[n - 1] == vsi_codes_scalar());
    VT_CHECK(!vsi_codes_choose("") && !vsi_codes_choose("avx") && !vsi_codes_choose("scalar "));
#if defined(VSI_X86) && defined(__GNUC__)
    bool has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512vnni");
    VT_EQ(vsi_codes_choose("avx512") != NULL, has);
    VT_EQ(vsi_codes_choose("avx2") != NULL,
          __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
#endif
}

/* ---- packing -------------------------------------------------------------------------------- */

VT_TEST(levels_come_back_from_their_codes_and_every_bit_of_a_code_belongs_to_one_level) {
    static uint8_t levels[DIMS_MAX], back[DIMS_MAX], code[DIMS_MAX], again[DIMS_MAX];
    vt_rng rng = {vt_seed()};
    for (size_t w = 0; w < 4; w++)
        for (size_t dims = 64; dims <= DIMS_MAX; dims += 64) {
            size_t bytes = dims * widths[w] / 8;
            for (size_t j = 0; j < dims; j++)
                levels[j] = (uint8_t)vt_below(&rng, 1u << widths[w]);
            vsi_codes_pack(levels, dims, widths[w], code);
            vsi_codes_unpack(code, dims, widths[w], back);
            VT_CHECK(!memcmp(levels, back, dims));
            for (size_t j = 0; j < bytes; j++)
                code[j] = (uint8_t)vt_random(&rng);
            vsi_codes_unpack(code, dims, widths[w], levels);
            vsi_codes_pack(levels, dims, widths[w], again);
            VT_CHECK(!memcmp(code, again, bytes));
        }
}

VT_TEST(the_layout_is_the_one_that_files_have) {
    static uint8_t levels[192 + 128], code[192 + 128];
    for (size_t j = 0; j < sizeof levels; j++)
        levels[j] = 0;
    levels[0] = 3, levels[64] = 5, levels[128] = 7, levels[160] = 9;
    vsi_codes_pack(levels, 192, 4, code);
    VT_EQ(code[0], 3 | 5 << 4);
    VT_EQ(code[64], 7 | 9 << 4);
    memset(levels, 0, sizeof levels);
    levels[1] = 1, levels[65] = 2, levels[129] = 3, levels[193] = 1, levels[256] = 2,
    levels[256 + 16] = 3;
    vsi_codes_pack(levels, 320, 2, code);
    VT_EQ(code[1], 1 | 2 << 2 | 3 << 4 | 1 << 6);
    VT_EQ(code[64], 2 | 3 << 2);
    memset(levels, 0, sizeof levels);
    levels[9] = 1;
    vsi_codes_pack(levels, 64, 1, code);
    VT_EQ(code[1], 2);
    levels[9] = 200;
    vsi_codes_pack(levels, 64, 8, code);
    VT_EQ(code[9], 200);
}

/* ---- inner products ------------------------------------------------------------------------- */

static int64_t plain_dot(const int8_t *query, const uint8_t *code, size_t dims, uint32_t bits) {
    static uint8_t levels[VSI_CODE_DIMS_MAX];
    int64_t sum = 0;
    vsi_codes_unpack(code, dims, bits, levels);
    for (size_t j = 0; j < dims; j++)
        sum += query[j] * levels[j];
    return sum;
}

static void check_dots(const vsi_codes *t, const int8_t *query, size_t dims, uint32_t bits,
                       const vsi_code_rows *rows) {
    int32_t out[ROWS + 1];
    memset(out, 0x5a, sizeof out);
    t->dot[vsi_code_kernel(bits)](query, dims, rows, out);
    for (size_t i = 0; i < rows->n; i++)
        VT_EQ(out[i], plain_dot(query, rows->first + i * rows->stride, dims, bits));
    VT_EQ(out[rows->n], 0x5a5a5a5a);
}

VT_TEST(products_are_exact_for_every_number_of_dims_and_rows_and_read_nothing_behind_the_last_row) {
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    int8_t *query_end = (int8_t *)at_page_end(DIMS_MAX) + DIMS_MAX;
    uint8_t *rows_end = at_page_end(ROWS * (DIMS_MAX + EXTRA)) + ROWS * (DIMS_MAX + EXTRA);
    for (size_t dims = 64; dims <= DIMS_MAX; dims += 64)
        for (size_t w = 0; w < 4; w++)
            for (size_t n = 0; n <= ROWS; n++) {
                size_t bytes = dims * widths[w] / 8, stride = bytes + (n % 3 ? 0 : EXTRA + n);
                size_t all = n ? (n - 1) * stride + bytes : 0;
                int8_t *query = query_end - dims;
                vsi_code_rows rows = {rows_end - all, stride, bytes, n};
                for (size_t j = 0; j < dims; j++)
                    query[j] = (int8_t)(vt_below(&rng, 8) ? (int)vt_below(&rng, 256) - 128
                                                          : (int)(n % 2) * 255 - 128);
                for (size_t j = 0; j < all; j++)
                    rows_end[-(ptrdiff_t)all + (ptrdiff_t)j] =
                        (uint8_t)(vt_below(&rng, 8) ? vt_random(&rng) : 255);
                for (size_t i = 0; i < count; i++)
                    check_dots(t[i], query, dims, widths[w], &rows);
            }
}

VT_TEST(products_stay_exact_at_the_extremes_and_at_the_largest_dim) {
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    static int8_t query[VSI_CODE_DIMS_MAX];
    static uint8_t code[5 * VSI_CODE_DIMS_MAX];
    static const int8_t values[] = {-128, -127, 127, 0};
    for (size_t v = 0; v < sizeof values; v++)
        for (size_t w = 0; w < 4; w++)
            for (int fill = 0; fill <= 255; fill += 255) {
                memset(query, values[v], sizeof query);
                memset(code, fill, sizeof code);
                vsi_code_rows rows = {code, VSI_CODE_DIMS_MAX * widths[w] / 8, 0, 5};
                for (size_t i = 0; i < count; i++)
                    check_dots(t[i], query, VSI_CODE_DIMS_MAX, widths[w], &rows);
            }
}

/* ---- halves --------------------------------------------------------------------------------- */

static const uint32_t half_kinds[] = {VSI_CODE_F16, VSI_CODE_BF16};

VT_TEST(halves_come_back_from_their_codes_and_lie_there_as_files_have_them) {
    static float x[DIMS_MAX], back[DIMS_MAX];
    static uint8_t code[2 * DIMS_MAX], again[2 * DIMS_MAX];
    vt_rng rng = {vt_seed()};
    for (size_t h = 0; h < 2; h++) {
        const double part = half_kinds[h] == VSI_CODE_F16 ? 0x1p-11 : 0x1p-8;
        for (size_t j = 0; j < DIMS_MAX; j++)
            x[j] = (float)(vt_uniform(&rng) - 0.5);
        vsi_codes_narrow(x, DIMS_MAX, 1024, half_kinds[h], code);
        vsi_codes_widen(code, DIMS_MAX, half_kinds[h], back);
        for (size_t j = 0; j < DIMS_MAX; j++)
            VT_CHECK(fabs((double)back[j] - 1024 * (double)x[j]) <=
                     part * fabs(1024 * (double)x[j]) + 0x1p-25);
        vsi_codes_narrow(back, DIMS_MAX, 1, half_kinds[h], again);
        VT_CHECK(!memcmp(code, again, sizeof code));
    }
    x[1] = -1.5f;
    vsi_codes_narrow(x, 64, 2, VSI_CODE_F16, code);
    VT_EQ(code[2] | code[3] << 8, 0xc200);
    vsi_codes_narrow(x, 64, 2, VSI_CODE_BF16, code);
    VT_EQ(code[2] | code[3] << 8, 0xc040);
}

VT_TEST(kinds_are_known_and_have_kernels_of_their_own) {
    uint32_t seen = 0, count = 0;
    for (uint32_t kind = 0; kind < 300; kind++)
        if (vsi_code_is_kind(kind)) {
            seen |= 1u << vsi_code_kernel(kind);
            count++;
            VT_EQ(vsi_code_bytes(kind, 192), 192 * (kind < 16 ? kind : 16) / 8);
        }
    VT_EQ(count, VSI_CODE_KINDS);
    VT_EQ(seen, (1u << VSI_CODE_KINDS) - 1);
}

/* A row's sum is the same whatever rows stand beside it. */
static void check_half_dots(const vsi_codes *t, const float *query, size_t dims, uint32_t kind,
                            const vsi_code_rows *rows) {
    static float points[VSI_CODE_DIMS_MAX];
    int32_t out[ROWS + 1], one;
    memset(out, 0x5a, sizeof out);
    t->dot[vsi_code_kernel(kind)](query, dims, rows, out);
    for (size_t i = 0; i < rows->n; i++) {
        vsi_code_rows alone = {rows->first + i * rows->stride, rows->stride, rows->head_off, 1};
        double sum = 0, whole = 0;
        vsi_codes_widen(alone.first, dims, kind, points);
        for (size_t j = 0; j < dims; j++) {
            sum += (double)query[j] * (double)points[j];
            whole += fabs((double)query[j] * (double)points[j]);
        }
        VT_CHECK(fabs(out[i] - sum) <= 1 + (double)(dims / 16 + 16) * 0x1p-24 * whole);
        t->dot[vsi_code_kernel(kind)](query, dims, &alone, &one);
        VT_EQ(one, out[i]);
    }
    VT_EQ(out[rows->n], 0x5a5a5a5a);
}

/* Of lengths as quant/rq makes them: 2^13 to 2^14, and 2^15 to 2^16. */
static void fill_halves(vt_rng *rng, uint32_t kind, float *query, size_t dims,
                        const vsi_code_rows *rows, uint8_t *first) {
    static float x[VSI_CODE_DIMS_MAX];
    const float unit = (float)sqrt((double)dims);
    for (size_t j = 0; j < dims; j++)
        query[j] = (float)(vt_uniform(rng) - 0.5) * 0x1.8p16f / unit;
    for (size_t i = 0; i < rows->n; i++) {
        for (size_t j = 0; j < dims; j++)
            x[j] = (float)(vt_uniform(rng) - 0.5) * 0x1.8p14f / unit + query[j] / 16;
        vsi_codes_narrow(x, dims, 1, kind, first + i * rows->stride);
    }
}

VT_TEST(products_of_halves_are_as_exact_as_said_and_read_nothing_behind_the_last_row) {
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    const size_t most = ROWS * (2 * DIMS_MAX + EXTRA + ROWS);
    uint8_t *query_end = at_page_end(4 * DIMS_MAX) + 4 * DIMS_MAX,
            *rows_end = at_page_end(most) + most;
    for (size_t dims = 64; dims <= DIMS_MAX; dims += 64)
        for (size_t h = 0; h < 2; h++)
            for (size_t n = 0; n <= ROWS; n++) {
                size_t bytes = 2 * dims, stride = bytes + (n % 3 ? 0 : EXTRA + n);
                size_t all = n ? (n - 1) * stride + bytes : 0;
                float *query = (float *)(void *)(query_end - 4 * dims);
                vsi_code_rows rows = {rows_end - all, stride, bytes, n};
                fill_halves(&rng, half_kinds[h], query, dims, &rows, rows_end - all);
                for (size_t i = 0; i < count; i++)
                    check_half_dots(t[i], query, dims, half_kinds[h], &rows);
            }
}

/* All products of one sign, and each sum as long as it gets. */
VT_TEST(products_of_halves_are_as_exact_as_said_at_the_largest_dim) {
    enum { N = 5 };
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    static float query[VSI_CODE_DIMS_MAX];
    static uint8_t code[N * 2 * VSI_CODE_DIMS_MAX];
    vt_rng rng = {vt_seed()};
    const vsi_code_rows rows = {code, (size_t)2 * VSI_CODE_DIMS_MAX, 0, N};
    for (size_t h = 0; h < 2; h++)
        for (int round = 0; round < 4; round++) {
            fill_halves(&rng, half_kinds[h], query, VSI_CODE_DIMS_MAX, &rows, code);
            for (size_t j = 0; round % 2 && j < VSI_CODE_DIMS_MAX; j++) {
                query[j] = fabsf(query[j]);
                for (size_t i = 0; i < N; i++)
                    code[i * rows.stride + 2 * j + 1] &= 0x7f;
            }
            for (size_t i = 0; i < count; i++)
                check_half_dots(t[i], query, VSI_CODE_DIMS_MAX, half_kinds[h], &rows);
        }
}

VT_TEST(products_that_have_no_room_or_are_no_numbers_are_the_least_number) {
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    static const float values[] = {0x1p15f, -0x1p15f, INFINITY, NAN};
    float query[64], x[64];
    uint8_t code[128];
    for (size_t i = 0; i < count; i++)
        for (size_t h = 0; h < 2; h++)
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
                int32_t out = 0;
                const vsi_code_rows rows = {code, 128, 0, 1};
                for (size_t j = 0; j < 64; j++) {
                    query[j] = j % 2 ? 0x1p13f : 0;
                    x[j] = j == 1 ? values[v] : 0x1p12f;
                }
                vsi_codes_narrow(x, 64, 1, half_kinds[h], code);
                if (v >= 2) { /* what is infinite, or none at all, narrowing does not make */
                    code[2] = v == 2 ? 0 : 1;
                    code[3] = 0x7c;
                    query[1] = half_kinds[h] == VSI_CODE_BF16 ? INFINITY : 1;
                }
                query[3] = v == 1 ? -0x1p30f : 0x1p30f;
                t[i]->dot[vsi_code_kernel(half_kinds[h])](query, 64, &rows, &out);
                VT_EQ(out, INT32_MIN);
            }
}

/* ---- bounds and estimates ------------------------------------------------------------------- */

enum { HEADS = 37 };

static void put_float(uint8_t *p, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(bits >> 8 * i);
}

static vsi_code_frame make_heads(vt_rng *rng, uint8_t *heads, size_t stride, int32_t *dots) {
    for (size_t i = 0; i < HEADS; i++) {
        uint8_t *head = heads + i * stride;
        float base = (float)(vt_uniform(rng) * 4 - 1);
        put_float(head, i % 7 == 3 ? INFINITY : i % 11 == 5 ? NAN : i % 13 == 6 ? -INFINITY : base);
        put_float(head + 4, i % 5 == 4 ? 0 : (float)vt_uniform(rng));
        put_float(head + 8, (float)vt_uniform(rng));
        put_float(head + 12, i % 5 == 4 ? 0 : (float)(vt_uniform(rng) / 50));
        dots[i] = (int32_t)vt_below(rng, 40001) - 20000;
    }
    return (vsi_code_frame){.step = 2,
                            .offset = 1234,
                            .unit = 0.004f,
                            .error = 0.01f,
                            .square = 1.3f,
                            .length = 1.1f,
                            .base = 0.6f,
                            .base_error = 1e-5f,
                            .base_relative = 1e-6f,
                            .factor = 2,
                            .spread = 0.2f};
}

static void check_close(float found, float expected) {
    if (isinf(expected))
        VT_CHECK(found == expected);
    else
        VT_CHECK(fabsf(found - expected) <= 2e-5f * (1 + fabsf(expected)));
}

VT_TEST(bounds_and_estimates_are_those_of_the_scalar_table_however_many_rows_there_are) {
    const vsi_codes *t[TABLES_MAX], *plain = vsi_codes_scalar();
    size_t count = tables(t);
    static uint8_t memory[HEADS * 40];
    int32_t dots[HEADS];
    float low[HEADS], high[HEADS], one[HEADS], two[HEADS], whole_low[HEADS], whole_high[HEADS];
    vt_rng rng = {vt_seed()};
    vsi_code_frame frame = make_heads(&rng, memory + 3, 39, dots);
    for (size_t i = 0; i < count; i++)
        for (size_t n = 0; n <= HEADS; n++)
            for (int is_estimate = 0; is_estimate < 2; is_estimate++) {
                vsi_code_rows rows = {memory, 39, 3, n}, all = {memory, 39, 3, HEADS};
                (is_estimate ? plain->estimates : plain->bounds)(&frame, &rows, dots, low, high);
                (is_estimate ? t[i]->estimates : t[i]->bounds)(&frame, &all, dots, whole_low,
                                                               whole_high);
                (is_estimate ? t[i]->estimates : t[i]->bounds)(&frame, &rows, dots, one, two);
                VT_CHECK(n == 0 || !memcmp(one, whole_low, n * sizeof *one));
                VT_CHECK(n == 0 || !memcmp(two, whole_high, n * sizeof *two));
                for (size_t r = 0; r < n; r++) {
                    check_close(one[r], low[r]);
                    check_close(two[r], high[r]);
                }
                (is_estimate ? t[i]->estimates : t[i]->bounds)(&frame, &rows, dots, two, NULL);
                VT_CHECK(n == 0 || !memcmp(one, two, n * sizeof *one));
            }
}

/* ---- floats --------------------------------------------------------------------------------- */

static float any_float(vt_rng *rng, bool is_wild) {
    double scale = is_wild ? ldexp(1, (int)vt_below(rng, 250) - 200) : 1;
    float value = (float)((vt_uniform(rng) - 0.5) * scale);
    return vt_below(rng, 20) ? value : vt_below(rng, 2) ? 0.0f : -0.0f;
}

enum { FLOATS = 4096 };

VT_TEST(the_steps_of_a_rotation_give_the_same_bits_in_every_table) {
    const vsi_codes *t[TABLES_MAX], *plain = vsi_codes_scalar();
    size_t count = tables(t);
    static float x[FLOATS], a[FLOATS], b[FLOATS];
    static uint32_t signs[FLOATS / 32];
    vt_rng rng = {vt_seed()};
    for (int round = 0; round < 40; round++)
        for (size_t n = 64; n <= FLOATS; n *= 2) {
            float scale[2] = {any_float(&rng, false), any_float(&rng, false)};
            for (size_t j = 0; j < n; j++)
                x[j] = any_float(&rng, round % 2);
            for (size_t j = 0; j < n / 32; j++)
                signs[j] = (uint32_t)vt_random(&rng);
            for (size_t i = 0; i < count; i++) {
                memcpy(a, x, sizeof x);
                memcpy(b, x, sizeof x);
                plain->hadamard(a, n);
                t[i]->hadamard(b, n);
                VT_CHECK(!memcmp(a, b, n * sizeof *a));
                plain->mix(a, a + n / 2, n / 2, scale, signs, signs + n / 64);
                t[i]->mix(b, b + n / 2, n / 2, scale, signs, signs + n / 64);
                VT_CHECK(!memcmp(a, b, n * sizeof *a));
                plain->scale(a, n, scale[0], round % 3 ? signs : NULL);
                t[i]->scale(b, n, scale[0], round % 3 ? signs : NULL);
                VT_CHECK(!memcmp(a, b, n * sizeof *a));
            }
        }
}

VT_TEST(hadamard_is_the_hadamard_transform) {
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    for (size_t i = 0; i < count; i++)
        for (size_t n = 64; n <= 512; n *= 2)
            for (size_t at = 0; at < n; at += 5) {
                float x[512] = {0};
                x[at] = 1;
                t[i]->hadamard(x, n);
                for (size_t j = 0; j < n; j++)
                    VT_CHECK(x[j] == (__builtin_parityll(at & j) ? -1.0f : 1.0f));
            }
}

VT_TEST(bytes_are_the_nearest_ones_and_the_same_in_every_table) {
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    static float x[1024];
    static int8_t bytes[1024], other[1024];
    vt_rng rng = {vt_seed()};
    for (size_t n = 64; n <= 1024; n += 64)
        for (int kind = 0; kind < 4; kind++) {
            int32_t sum, other_sum;
            float square, other_square;
            double error = 0;
            for (size_t j = 0; j < n;
                 j++) /* whole numbers and halves meet ties; then tiny ones, and zeros */
                x[j] = kind == 0   ? any_float(&rng, false)
                       : kind == 1 ? (float)((double)vt_below(&rng, 509) / 2 - 127)
                       : kind == 2 ? any_float(&rng, false) * 1e-37f
                                   : 0;
            if (kind == 1)
                x[0] = 127;
            float unit = t[count - 1]->bytes(x, n, bytes, &sum, &square);
            for (size_t j = 0; j < n; j++) {
                double rest = (double)x[j] - (double)unit * bytes[j];
                VT_CHECK(kind >= 2 || fabs(rest) <= (double)unit * 0.50001);
                error += rest * rest;
            }
            VT_CHECK(kind >= 2 || fabs(error - (double)square) <= 1e-4 * error);
            VT_EQ(unit > 0, kind < 2);
            for (size_t i = 0; i + 1 < count; i++) {
                VT_CHECK(t[i]->bytes(x, n, other, &other_sum, &other_square) == unit);
                VT_CHECK(!memcmp(bytes, other, n));
                VT_EQ(other_sum, sum);
                VT_CHECK(fabsf(other_square - square) <= 1e-4f * square);
            }
        }
}

VT_TEST(sums_in_double_and_grids_agree_with_plain_loops_for_every_dim) {
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    static float a[400], b[400], out[401];
    vt_rng rng = {vt_seed()};
    for (size_t n = 0; n <= 400; n++)
        for (size_t i = 0; i < count; i++) {
            double product = 0, square = 0, whole = 0, factor = vt_uniform(&rng);
            for (size_t j = 0; j < n; j++) {
                a[j] = any_float(&rng, false);
                b[j] = any_float(&rng, false);
                product += (double)a[j] * (double)b[j];
                whole += fabs((double)a[j] * (double)b[j]);
                double d = (double)a[j] * factor - (double)b[j];
                square += d * d;
            }
            out[n] = 5;
            VT_CHECK(fabs(t[i]->product(a, b, n) - product) <= 1e-13 * whole);
            VT_CHECK(fabs(t[i]->residual(a, b, n, factor, out) - square) <= 1e-13 * square);
            for (size_t j = 0; j < n; j++)
                VT_CHECK(fabs((double)out[j] - ((double)a[j] * factor - (double)b[j])) <= 3e-8);
            VT_CHECK(out[n] == 5);
        }
}

VT_TEST(sums_over_a_grid_are_those_of_the_rounded_levels) {
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    static float x[512];
    vt_rng rng = {vt_seed()};
    const vsi_code_grid grids[] = {{2, 3, 3, 2}, {2, 15, 15, 8}, {1, 128, 255, 128.5f}};
    for (size_t n = 64; n <= 512; n += 64)
        for (size_t g = 0; g < 3; g++) {
            float inverse = (float)(vt_uniform(&rng) * grids[g].top * 1.5), sums[2];
            double product = 0, square = 0;
            for (size_t j = 0; j < n; j++) {
                x[j] = any_float(&rng, false);
                float level = x[j] * inverse + grids[g].half;
                int32_t whole = level < 0                     ? 0
                                : level > (float)grids[g].top ? grids[g].top
                                                              : (int32_t)level;
                double point = grids[g].step * whole - grids[g].offset;
                product += point * (double)x[j];
                square += point * point;
            }
            for (size_t i = 0; i < count; i++) {
                t[i]->grid(x, n, &grids[g], inverse, sums);
                VT_CHECK(fabs((double)sums[0] - product) <= 0.01 * product + 1e-6);
                VT_CHECK(fabs((double)sums[1] - square) <= 0.01 * square + 1e-6);
            }
        }
}
