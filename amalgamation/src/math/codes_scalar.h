/* codes_scalar.h - the reference kernels for codes, for every machine. */
#ifndef VSI_CODES_SCALAR_H
#define VSI_CODES_SCALAR_H

#include "math/codes.h"

VSI_FN const vsi_codes *vsi_codes_scalar(void);

/* Those of it that other tables have too. */
VSI_FN void vsi_code_estimates_scalar(const vsi_code_frame *frame, const vsi_code_rows *rows,
                                      const int32_t *dots, float *out, float *out_wide);
VSI_FN double vsi_code_product_scalar(const float *a, const float *b, size_t n);
VSI_FN double vsi_code_residual_scalar(const float *in, const float *mean, size_t n, double factor,
                                       float *out);
VSI_FN float vsi_code_bytes_scalar(const float *x, size_t n, int8_t *out, int32_t *out_sum,
                                   float *out_error_square);
VSI_FN void vsi_code_grid_scalar(const float *x, size_t n, const vsi_code_grid *grid, float inverse,
                                 float out[2]);

#endif
