/* element.h - element types of vectors: sizes, which metrics fit, checks and conversions. */
#ifndef VSI_ELEMENT_H
#define VSI_ELEMENT_H

#include "base/status.h"

enum { VSI_TYPES = VS_BIT + 1, VSI_METRICS = VS_JACCARD + 1 };

/* "f32" ...; "?" for an unknown type. */
VSI_FN const char *vsi_type_name(int type);
/* "l2" ...; "?" for an unknown metric. */
VSI_FN const char *vsi_metric_name(int metric);

/* Bytes of the numbers that a vector is made of: what is swapped between byte orders. Of VS_BIT those of
 * eight elements. 0 for an unknown type. */
VSI_FN uint32_t vsi_type_bytes(int type);
/* Bytes of a vector; 0 for an unknown type. At most 4 * VS_DIM_MAX. */
VSI_FN uint32_t vsi_vector_bytes(int type, uint32_t dim);
/* Hamming and Jaccard are for bits, all others for numbers. */
VSI_FN bool vsi_metric_fits(int metric, int type);

/* A vector of in_type as one of out_type, both of this machine's byte order; out [vsi_vector_bytes].
 *
 * To a type of floating point a number is rounded to the nearest, ties to even; to a whole one, or a bit,
 * it must be equal to one that the type has. VS_ERR_INVALID, naming the element, which out_at receives unless
 * it is NULL: NaN and infinity, and what does not fit. Unused bits of the last byte are zero afterwards. in may have any alignment, and be out when the
 * types are the same. */
VS_NODISCARD VSI_FN vs_status vsi_vector_convert(vsi_err *err, const void *in, int in_type,
                                                 uint8_t *out, int out_type, uint32_t dim,
                                                 size_t *out_at);

/* Whether a vector may be stored as it is: only numbers, unused bits zero. */
VS_NODISCARD VSI_FN vs_status vsi_vector_check(vsi_err *err, const void *in, int type, uint32_t dim,
                                               bool *out_is_canonical);

/* The value of half precision; NaN and infinity stay what they are. */
VSI_FN float vsi_float_of_f16(uint16_t bits);
VSI_FN float vsi_float_of_bf16(uint16_t bits);
/* To the nearest, ties to even; beyond the range infinity. Of a finite number. */
VSI_FN uint16_t vsi_f16_of_float(float value);
VSI_FN uint16_t vsi_bf16_of_float(float value);

#endif
