/* kernels_scalar.c - the reference: plain loops, sums in double or in whole numbers. */
#include "math/kernels_scalar.h"

static void l2sq_f32_rows_scalar(const float *query, const float *rows, size_t dim, size_t n,
                                 double *out) {
    for (size_t i = 0; i < n; i++, rows += dim) {
        double sum = 0;
        for (size_t j = 0; j < dim; j++) {
            double d = (double)query[j] - (double)rows[j];
            sum += d * d;
        }
        out[i] = sum;
    }
}

static void dot_f32_rows_scalar(const float *query, const float *rows, size_t dim, size_t n,
                                double *out) {
    for (size_t i = 0; i < n; i++, rows += dim) {
        double sum = 0;
        for (size_t j = 0; j < dim; j++)
            sum += (double)query[j] * (double)rows[j];
        out[i] = sum;
    }
}

static void dot_norm_f32_rows_scalar(const float *query, const float *rows, size_t dim, size_t n,
                                     double *out_dot, double *out_norm) {
    dot_f32_rows_scalar(query, rows, dim, n, out_dot);
    for (size_t i = 0; i < n; i++, rows += dim)
        dot_f32_rows_scalar(rows, rows, dim, 1, out_norm + i);
}

static void l2sq_u8_rows_scalar(const uint8_t *query, const uint8_t *rows, size_t dim, size_t n,
                                double *out) {
    for (size_t i = 0; i < n; i++, rows += dim) {
        uint64_t sum = 0;
        for (size_t j = 0; j < dim; j++) {
            int d = query[j] - rows[j];
            sum += (uint64_t)(d * d);
        }
        out[i] = (double)sum;
    }
}

static void dot_u8_rows_scalar(const uint8_t *query, const uint8_t *rows, size_t dim, size_t n,
                               double *out) {
    for (size_t i = 0; i < n; i++, rows += dim) {
        uint64_t sum = 0;
        for (size_t j = 0; j < dim; j++)
            sum += (uint64_t)query[j] * rows[j];
        out[i] = (double)sum;
    }
}

static void dot_norm_u8_rows_scalar(const uint8_t *query, const uint8_t *rows, size_t dim, size_t n,
                                    double *out_dot, double *out_norm) {
    dot_u8_rows_scalar(query, rows, dim, n, out_dot);
    for (size_t i = 0; i < n; i++, rows += dim)
        dot_u8_rows_scalar(rows, rows, dim, 1, out_norm + i);
}

VSI_FN const vsi_kernels *vsi_kernels_scalar(void) {
    static const vsi_kernels table = {
        .name = "scalar",
        .l2sq_f32_rows = l2sq_f32_rows_scalar,
        .dot_f32_rows = dot_f32_rows_scalar,
        .dot_norm_f32_rows = dot_norm_f32_rows_scalar,
        .l2sq_u8_rows = l2sq_u8_rows_scalar,
        .dot_u8_rows = dot_u8_rows_scalar,
        .dot_norm_u8_rows = dot_norm_u8_rows_scalar,
    };
    return &table;
}
