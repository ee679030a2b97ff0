/* codes.c - fuzz target: parameters of codes, rows and vectors of any bytes.
 *
 *   bytes 0-1   bytes of the parameters, which follow
 *   rest        floats, taken round and round: two vectors, then a row
 *
 * What is read must be written back as it was. With it vectors that have codes must have bounds that contain their
 * distance in double, those that have none must be excluded by no bound, and a row of any bytes may be anything but an access
 * outside of it. Linked with the modules: the interface has no call for this yet. */
#include "math/codes_dispatch.h"
#include "quant/rq.h"
#include "target.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct coder {
    vsi_rq *rq;
    uint8_t *row;
    float *work, *query_work;
    float *a, *b, *out; /* [dim] */
} coder;

static void coder_init(coder *c, vsi_rq *rq) {
    c->rq = rq;
    c->row = malloc(vsi_rq_row_bytes(rq->dim, rq->kind));
    c->work = malloc(vsi_rq_work_bytes(rq->dim));
    c->query_work = malloc(vsi_rq_work_bytes(rq->dim));
    c->a = malloc(rq->dim * sizeof(float));
    c->b = malloc(rq->dim * sizeof(float));
    c->out = malloc(rq->dim * sizeof(float));
    require(c->row && c->work && c->query_work && c->a && c->b && c->out, "memory", "none");
}

static void coder_free(coder *c) {
    free(c->row);
    free(c->work);
    free(c->query_work);
    free(c->a);
    free(c->b);
    free(c->out);
}

/* Bytes from the input, from its beginning again at its end; zeros of an empty one. */
static void take(const fuzz_input *in, size_t *at, void *out, size_t bytes) {
    uint8_t *p = out;
    for (size_t i = 0; i < bytes; i++)
        p[i] = in->bytes ? in->data[(*at)++ % in->bytes] : 0;
}

static double distance(int metric, const float *a, const float *b, size_t n) {
    double dot = 0, aa = 0, bb = 0, square = 0;
    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];
        dot += x * y;
        aa += x * x;
        bb += y * y;
        square += (x - y) * (x - y);
    }
    if (metric == VS_COSINE)
        return aa > 0 && bb > 0 ? 1 - dot / sqrt(aa) / sqrt(bb) : 1;
    return metric == VS_L2 ? square : -dot;
}

static bool is_finite(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static void run_vectors(coder *c) {
    size_t stride = vsi_rq_row_bytes(c->rq->dim, c->rq->kind);
    float lower, upper;
    vsi_rq_query query;
    bool has_code = vsi_rq_encode(c->rq, c->a, c->work, c->row);
    require(!has_code || is_finite(c->a, c->rq->dim), "encode",
            "a vector that is not finite has a code");
    require(vsi_rq_decode(c->rq, c->row, c->work, c->out) == has_code, "decode",
            "of a row without code");
    if (!vsi_rq_prepare(c->rq, c->b, 0, c->query_work, &query))
        return;
    require(is_finite(c->b, c->rq->dim), "prepare", "a query that is not finite");
    vsi_rq_bounds(&query, c->row, stride, 1, &lower, &upper);
    double d = distance(c->rq->metric, c->a, c->b, c->rq->dim);
    require(!has_code || ((double)lower <= d && d <= (double)upper), "bounds",
            "do not contain the distance");
    require(has_code || (lower == -INFINITY && upper == INFINITY), "bounds",
            "of a row without code");
    vsi_rq_deviations(&query, 3);
    vsi_rq_likely(&query, c->row, stride, 1, &lower, &upper);
}

/* Anything may come out, but no access outside. */
static void run_row(coder *c) {
    float lower, upper;
    vsi_rq_query query;
    size_t stride = vsi_rq_row_bytes(c->rq->dim, c->rq->kind);
    vsi_rq_decode(c->rq, c->row, c->work, c->out);
    if (vsi_rq_prepare(c->rq, c->b, 0, c->query_work, &query))
        vsi_rq_bounds(&query, c->row, stride, 1, &lower, &upper);
    if (vsi_rq_prepare_row(c->rq, c->row, 1e-6, c->query_work, &query))
        vsi_rq_bounds(&query, c->row, stride, 1, &lower, &upper);
}

static void run_block(vsi_rq *rq, vsi_bytes packed, fuzz_input *in) {
    uint8_t *again = malloc(vsi_rq_packed_bytes(rq));
    coder c;
    size_t at = 0;
    require(again && vsi_rq_packed_bytes(rq) == packed.bytes, "write", "another size");
    vsi_rq_write(rq, again);
    require(!memcmp(again, packed.data, packed.bytes), "write", "other bytes");
    free(again);
    coder_init(&c, rq);
    take(in, &at, c.a, rq->dim * sizeof(float));
    take(in, &at, c.b, rq->dim * sizeof(float));
    run_vectors(&c);
    take(in, &at, c.row, vsi_rq_row_bytes(rq->dim, rq->kind));
    run_row(&c);
    coder_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    vsi_mem mem;
    vsi_err err = {0};
    vsi_rq *rq = NULL;
    size_t bytes, wanted = input_u16(&in);
    const uint8_t *run = input_run(&in, wanted, &bytes);
    uint8_t *packed = malloc(bytes + 1); /* so that a sanitizer sees its end */
    require(packed, "memory", "none");
    memcpy(packed, run, bytes);
    vsi_mem_init(&mem, bounded_allocator());
    vs_status st = vsi_rq_read(&err, &mem, (vsi_bytes){packed, bytes}, vsi_codes_choose(NULL), &rq);
    require((st == VS_OK) == (rq != NULL) && st == err.code, "read", "status and result differ");
    require((st == VS_OK) == (err.text[0] == 0), "read", "a refusal without words");
    if (rq)
        run_block(rq, (vsi_bytes){packed, bytes}, &in);
    vsi_rq_free(rq);
    free(packed);
    require(vsi_atomic_load(&mem.used_bytes) == 0, "memory", "stays in use");
    return 0;
}
