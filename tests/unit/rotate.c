/* rotate.c - rotations keep lengths and angles within what they promise, spread what they are given, can be
 * undone, and give the same bits with every table and on every machine. */
#include "quant/rotate.h"
#include "base/hash.h"
#include "math/codes_dispatch.h"
#include "math/dispatch.h"
#include "vt.h"
#include <math.h>

enum { TABLES_MAX = 4, PADDED_MAX = 65536 };

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_err err;
    vsi_rotation rotation;
} fixture;

static void begin(fixture *f, uint32_t dim, uint64_t seed) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_rotation_init(&f->err, &f->mem, dim, seed, &f->rotation), VS_OK);
}

static void end(fixture *f) {
    vsi_rotation_free(&f->mem, &f->rotation);
    VT_EQ(f->allocator.live_blocks, 0);
}

static size_t tables(const vsi_codes *out[TABLES_MAX]) {
    char names[64];
    size_t n = 0;
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " "))
        out[n++] = vsi_codes_choose(name);
    return n;
}

static double dot(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* dim numbers and zeros behind them. */
static void fill(vt_rng *rng, float *x, uint32_t dim, uint32_t padded) {
    for (uint32_t i = 0; i < padded; i++)
        x[i] = i < dim ? (float)(vt_uniform(rng) - 0.5) : 0;
}

/* Every dim to 300 and some larger ones. */
static uint32_t dim_at(size_t i) {
    static const uint32_t more[] = {384, 511, 512, 513, 768, 784, 1023, 1024, 1536, 4097, 65535};
    return i < 300 ? (uint32_t)i + 1 : more[i - 300];
}

enum { DIMS = 300 + 11 };

VT_TEST(lengths_and_angles_stay_within_the_error_that_is_promised_and_it_can_be_undone) {
    static float a[PADDED_MAX], b[PADDED_MAX], c[PADDED_MAX];
    vt_rng rng = {vt_seed()};
    for (size_t i = 0; i < DIMS; i++) {
        fixture f;
        begin(&f, dim_at(i), vt_random(&rng));
        uint32_t n = f.rotation.padded;
        VT_CHECK(n % 64 == 0 && n >= dim_at(i) && n < dim_at(i) + 64);
        VT_CHECK(f.rotation.relative < 5e-6);
        fill(&rng, a, dim_at(i), n);
        fill(&rng, b, dim_at(i), n);
        memcpy(c, a, n * sizeof *a);
        double aa = dot(a, a, n), bb = dot(b, b, n), ab = dot(a, b, n), error = 0;
        vsi_rotate(&f.rotation, vsi_codes_choose(NULL), a);
        vsi_rotate(&f.rotation, vsi_codes_choose(NULL), b);
        double slack = 2.01 * f.rotation.relative;
        VT_CHECK(fabs(dot(a, a, n) - aa) <= slack * aa);
        VT_CHECK(fabs(dot(b, b, n) - bb) <= slack * bb);
        VT_CHECK(fabs(dot(a, b, n) - ab) <= slack * sqrt(aa * bb));
        vsi_rotate_back(&f.rotation, vsi_codes_choose(NULL), a);
        for (uint32_t j = 0; j < n; j++)
            error += ((double)a[j] - (double)c[j]) * ((double)a[j] - (double)c[j]);
        VT_CHECK(sqrt(error) <= slack * sqrt(aa));
        end(&f);
    }
}

VT_TEST(the_images_of_the_axes_are_orthonormal) {
    static const uint32_t dims[] = {1, 64, 100, 128, 190, 320};
    static float axis[320][320];
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
        fixture f;
        begin(&f, dims[d], d);
        uint32_t n = f.rotation.padded;
        for (uint32_t i = 0; i < n; i++) {
            memset(axis[i], 0, sizeof axis[i]);
            axis[i][i] = 1;
            vsi_rotate(&f.rotation, vsi_codes_choose(NULL), axis[i]);
            for (uint32_t j = 0; j <= i; j++)
                VT_CHECK(fabs(dot(axis[i], axis[j], n) - (i == j)) <= 2.01 * f.rotation.relative);
        }
        end(&f);
    }
}

VT_TEST(every_table_gives_the_same_bits_for_every_dim) {
    static float x[PADDED_MAX], a[PADDED_MAX], b[PADDED_MAX];
    const vsi_codes *t[TABLES_MAX];
    size_t count = tables(t);
    vt_rng rng = {vt_seed()};
    for (size_t i = 0; i < DIMS; i++) {
        fixture f;
        begin(&f, dim_at(i), i);
        size_t bytes = f.rotation.padded * sizeof *x;
        fill(&rng, x, dim_at(i), f.rotation.padded);
        memcpy(a, x, bytes);
        vsi_rotate(&f.rotation, t[count - 1], a);
        for (size_t k = 0; k + 1 < count; k++) {
            memcpy(b, x, bytes);
            vsi_rotate(&f.rotation, t[k], b);
            VT_CHECK(!memcmp(a, b, bytes));
            vsi_rotate_back(&f.rotation, t[k], b);
            memcpy(x, a, bytes);
            vsi_rotate_back(&f.rotation, t[count - 1], x);
            VT_CHECK(!memcmp(x, b, bytes));
            fill(&rng, x, dim_at(i), f.rotation.padded);
            memcpy(a, x, bytes);
            vsi_rotate(&f.rotation, t[count - 1], a);
        }
        end(&f);
    }
}

/* A rotation is part of the format: rows in files were made with it. */
VT_TEST(rotations_are_the_same_on_every_machine_and_for_ever) {
    static const struct {
        uint32_t dim;
        uint64_t hash;
    } known[] = {{1, 0xa834d9b4ebd8f1db},   {64, 0x2f95f11d717060f2},   {100, 0x26418e9c56c8c863},
                 {768, 0x6dbaf318760f8bbc}, {1023, 0x9d0ad87871531628}, {4096, 0x96e26e0ec8b17e27}};
    static float x[PADDED_MAX];
    static uint8_t bytes[4 * PADDED_MAX];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        fixture f;
        vt_rng rng = {known[i].dim};
        begin(&f, known[i].dim, 42);
        fill(&rng, x, known[i].dim, f.rotation.padded);
        vsi_rotate(&f.rotation, vsi_codes_choose(NULL), x);
        for (size_t j = 0; j < f.rotation.padded; j++) {
            uint32_t bits;
            memcpy(&bits, x + j, sizeof bits);
            for (int k = 0; k < 4; k++)
                bytes[4 * j + (size_t)k] = (uint8_t)(bits >> 8 * k);
        }
        VT_EQ(vsi_hash64(bytes, (size_t)4 * f.rotation.padded, 0), (int64_t)known[i].hash);
        end(&f);
    }
}

/* Of a normal distribution of deviation 1 / sqrt(padded) one in 5 * 10^8 is beyond six deviations; here
 * are some 5 * 10^6 coordinates, of seeds that do not change. */
VT_TEST(one_axis_and_all_equal_vectors_are_spread_over_all_coordinates) {
    static const uint32_t dims[] = {64, 100, 192, 768, 784, 1000};
    static float x[1024];
    for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++)
        for (uint64_t seed = 0; seed < 300; seed++) {
            fixture f;
            begin(&f, dims[d], seed);
            uint32_t n = f.rotation.padded;
            double most = 0;
            for (uint32_t at = 0; at <= dims[d]; at += dims[d] / 4) {
                memset(x, 0, sizeof x);
                for (uint32_t j = 0; j < dims[d]; j++)
                    x[j] = at == dims[d] ? (float)(1 / sqrt(dims[d])) : j == at;
                vsi_rotate(&f.rotation, vsi_codes_choose(NULL), x);
                for (uint32_t j = 0; j < n; j++)
                    most = fabs((double)x[j]) > most ? fabs((double)x[j]) : most;
            }
            VT_CHECK(most * sqrt(n) < 6);
            end(&f);
        }
}

VT_TEST(without_memory_there_is_no_rotation_and_nothing_to_free) {
    fixture f = {0};
    f.allocator.fail_at = 1;
    vsi_mem_init(&f.mem, &(vs_allocator){&f.allocator, vt_realloc});
    VT_EQ(vsi_rotation_init(&f.err, &f.mem, 100, 1, &f.rotation), VS_ERR_NOMEM);
    end(&f);
}
