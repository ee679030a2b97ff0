/* awkward.h - vectors that filters of rows have trouble with, and limits of distances. */
#ifndef AWKWARD_H
#define AWKWARD_H

#include "store/desc.h"
#include "vt.h"

/* Ways to fill vectors: some that single precision has trouble with. */
enum { SPREAD, TIES, ZEROS, TINY, HUGE_ONES, FAR_AWAY, EXTREMES, KINDS };

static inline float make_element(vt_rng *rng, int kind, int type) {
    double unit = 2 * vt_uniform(rng) - 1;
    if (type == VS_U8 || type == VS_I8)
        return kind == EXTREMES ? (vt_below(rng, 2) ? (type == VS_U8 ? 255 : -128) : 0)
                                : (float)vt_below(rng, 100);
    switch (kind) {
    case TIES:
        return (float)vt_below(rng, 2);
    case ZEROS:
        return vt_below(rng, 10) ? 0 : (float)unit;
    case TINY:
        return (float)(unit * (type == VS_F16 ? 1e-4 : ldexp(1, -(int)vt_below(rng, 140))));
    case HUGE_ONES:
        return (float)(unit * (type == VS_F16 ? 6e4 : ldexp(1, (int)vt_below(rng, 120))));
    case FAR_AWAY: /* distances that are small beside the norms */
        return (float)(1000 + unit / 8);
    default:
        return (float)unit;
    }
}

/* n vectors of a type, next to each other. */
static inline uint8_t *make_vectors(vt_rng *rng, int kind, const vsi_field *field, size_t n) {
    uint8_t *out = malloc(n * field->vector_bytes + 1);
    float *row = malloc(field->dim * sizeof *row);
    for (size_t i = 0; i < n; i++) {
        vsi_err err = {0};
        bool is_zero = kind == ZEROS && vt_below(rng, 5) == 0;
        for (uint32_t j = 0; j < field->dim; j++)
            row[j] = is_zero ? 0 : make_element(rng, kind, field->type);
        VT_EQ(vsi_vector_convert(&err, row, VS_F32, out + i * field->vector_bytes, field->type,
                                 field->dim, NULL),
              VS_OK);
    }
    free(row);
    return out;
}

/* A distance that a row has, just below one, or none. */
static inline double make_limit(vt_rng *rng, int round, const double *out, size_t n) {
    double limit = out[vt_below(rng, n)];
    return round == 3 ? INFINITY : round == 2 ? nextafter(limit, -INFINITY) : limit;
}

static inline void make_field(vsi_field *field, int type, int metric, uint32_t dim) {
    field->type = type;
    field->metric = metric;
    field->dim = dim;
    field->element_bytes = vsi_type_bytes(type);
    field->vector_bytes = vsi_vector_bytes(type, dim);
}

#endif
