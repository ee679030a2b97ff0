/* vector.c - element types, for hosts and bindings. */
#include "api/handle.h"
#include "math/element.h"

const char *vs_type_name(int type) {
    return vsi_type_name(type);
}

const char *vs_metric_name(int metric) {
    return vsi_metric_name(metric);
}

size_t vs_vector_bytes(int type, uint32_t dim) {
    return dim <= VS_DIM_MAX ? vsi_vector_bytes(type, dim) : 0;
}

vs_status vs_vector_convert(const void *in, int in_type, void *out, int out_type, uint32_t dim,
                            uint32_t *out_at) {
    vsi_err ignored = {0};
    size_t at = 0;
    if (!in || !out || !vs_vector_bytes(in_type, dim) || !vs_vector_bytes(out_type, dim))
        return VS_ERR_MISUSE;
    vs_status st = vsi_vector_convert(&ignored, in, in_type, out, out_type, dim, &at);
    if (st != VS_OK && out_at)
        *out_at = (uint32_t)at;
    return st;
}
