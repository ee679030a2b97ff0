/* encode.c - codes of a collection's vectors.
 *
 *   E1  When a version's bit of a field in coded is set, every slot that has the field's vector in that version has a
 *       code made with the field's parameters, or its slab of codes is damaged. The parameters are read or made
 *       once and do not change before the database is closed, so versions cannot differ in them. Where they could not be
 *       read, no version has the bit.
 *   E2  A code is written only while its slot is not live in any version whose bit is set (S3), or into a slab that
 *       nobody could read. */
#include "store/encode.h"

VSI_FN const vsi_rq *vsi_encode_rq(const vsi_coll *coll, uint32_t field) {
    return coll->coded >> field & 1 ? vsi_atomic_ptr_load(&coll->desc->field[field].rq) : NULL;
}

VSI_FN void vsi_encode_report(vsi_field *field, uint32_t slot) {
    vsi_atomic_set(&field->damaged, 1 + (uint64_t)(slot >> field->codes.shift));
}

/* ---- one row -------------------------------------------------------------------------------- */

/* Scratch: a vector in single precision, and what quant/rq wants. */
static size_t encode_work_bytes(const vsi_field *field) {
    return field->dim * sizeof(float) + vsi_rq_work_bytes(field->dim);
}

static vs_status encode_reserve(vsi_err *err, const vsi_field *field, vsi_buf *work) {
    work->bytes = 0;
    return vsi_buf_reserve(work, encode_work_bytes(field))
               ? VS_OK
               : vsi_fail_nomem(err, encode_work_bytes(field));
}

/* A vector in single precision at the front of work. False for what is none: rows that are not live hold anything. */
static bool encode_widen(const vsi_field *field, const uint8_t *row, vsi_buf *work) {
    vsi_err ignored = {0};
    return vsi_vector_convert(&ignored, row, field->type, work->data, VS_F32, field->dim, NULL) ==
           VS_OK;
}

/* The code of a row; of NULL and what is no vector, that it has none. */
static void encode_code(const vsi_field *field, const uint8_t *row, vsi_buf *work, uint8_t *code) {
    float *wide = (float *)(void *)work->data;
    bool is_vector = row && encode_widen(field, row, work);
    for (uint32_t i = 0; !is_vector && i < field->dim; i++)
        wide[i] = NAN;
    vsi_rq_encode(field->own_rq, wide, wide + field->dim, code);
}

/* The row of a slot; NULL: there is none, or it is damaged. */
static vs_status encode_row_of(vsi_err *err, vsi_field *field, uint32_t slot,
                               const uint8_t **out_row) {
    *out_row = NULL;
    vs_status st = vsi_slab_row(err, &field->rows, slot, out_row);
    return st == VS_ERR_CORRUPT ? VS_OK : st;
}

/* vsi_slab_fill. */
static vs_status encode_fill(vsi_err *err, void *ctx, uint32_t at, uint8_t *codes) {
    vsi_field *field = ctx;
    const uint32_t rows = 1u << field->codes.shift;
    vs_status st = encode_reserve(err, field, &field->work);
    for (uint32_t i = 0; st == VS_OK && i < rows; i++) {
        const uint32_t slot = (at << field->codes.shift) + i;
        const uint8_t *row = NULL;
        if (slot < field->codes_end)
            st = encode_row_of(err, field, slot, &row);
        encode_code(field, row, &field->work, codes + (size_t)i * field->codes.row_bytes);
    }
    return st;
}

/* The code of a slot, in place. */
static vs_status encode_slot(vsi_err *err, vsi_field *field, uint32_t slot) {
    const uint8_t *row = NULL;
    uint8_t *code = NULL;
    vs_status st = encode_row_of(err, field, slot, &row);
    if (st == VS_OK)
        st = vsi_slab_make_row(err, &field->codes, slot, &code);
    if (st == VS_OK)
        st = encode_reserve(err, field, &field->work);
    if (st == VS_OK)
        encode_code(field, row, &field->work, code);
    return st;
}

/* Makes the slab anew that a reader could not use. */
static vs_status encode_repair(vsi_err *err, vsi_field *field) {
    uint64_t damaged = vsi_atomic_load(&field->damaged);
    uint8_t *code = NULL;
    if (!damaged)
        return VS_OK;
    vsi_atomic_set(&field->damaged, 0);
    return vsi_slab_make_row(err, &field->codes, (uint32_t)(damaged - 1) << field->codes.shift,
                             &code);
}

/* From now on slabs of codes that are missing or damaged are made from the vectors of slots below end. */
static void encode_until(vsi_field *field, uint32_t end) {
    field->codes.fill = encode_fill;
    field->codes.fill_ctx = field;
    field->codes_end = end;
}

VSI_FN vs_status vsi_encode_row(vsi_err *err, vsi_coll *coll, uint32_t at, uint32_t slot) {
    vsi_field *field = &coll->desc->field[at];
    if (!field->code_kind)
        return VS_OK;
    if (!vsi_encode_rq(coll, at)) {
        field->without_code++;
        return VS_OK;
    }
    encode_until(field, coll->slot_end);
    vs_status st = encode_repair(err, field);
    if (st == VS_OK)
        st = encode_slot(err, field, slot);
    encode_until(field, VSI_SLOT_NONE);
    return st;
}

/* ---- the first codes ------------------------------------------------------------------------ */

static vsi_live_scan encode_scan(const vsi_coll *coll, uint32_t at) {
    return (vsi_live_scan){.live = &coll->live, .set = vsi_desc_set(coll->desc, at)};
}

/* Adds a vector to sum [dim]; for cosine, codes are of vectors of length 1. */
static void encode_add(const vsi_field *field, const float *wide, double *sum) {
    double square = 0, factor = 1;
    for (uint32_t i = 0; i < field->dim; i++)
        square += (double)wide[i] * (double)wide[i];
    if (square <= 0 || !isfinite(square))
        return;
    if (field->metric == VS_COSINE)
        factor = 1 / sqrt(square);
    for (uint32_t i = 0; i < field->dim; i++)
        sum[i] += factor * (double)wide[i];
}

/* The mean of the field's vectors, in single precision at the front of its work; how many there are. */
static vs_status encode_mean(vsi_err *err, vsi_coll *coll, uint32_t at, double *sum,
                             uint64_t *out_count) {
    vsi_field *field = &coll->desc->field[at];
    vsi_live_scan live = encode_scan(coll, at);
    uint64_t count = 0;
    vs_status st = encode_reserve(err, field, &field->work);
    float *wide = (float *)(void *)field->work.data;
    for (uint32_t slot = 0; st == VS_OK; slot++) {
        st = vsi_live_next(err, &live, slot, coll->slot_end, &slot);
        if (st != VS_OK || slot >= coll->slot_end)
            break;
        const uint8_t *row = NULL;
        st = encode_row_of(err, field, slot, &row);
        if (!row || !encode_widen(field, row, &field->work))
            continue;
        encode_add(field, wide, sum);
        count++;
    }
    for (uint32_t i = 0; st == VS_OK && count && i < field->dim; i++)
        wide[i] = (float)(sum[i] / (double)count);
    *out_count = count;
    return st;
}

/* Parameters that suit the vectors there are, unless they are too few. */
static vs_status encode_train(vsi_err *err, vsi_state *state, uint32_t at) {
    vsi_coll *coll = &state->work;
    vsi_field *field = &coll->desc->field[at];
    vsi_mem *mem = state->descs->mem;
    const size_t bytes = field->dim * sizeof(double);
    uint64_t count = 0;
    double *sum = vsi_alloc_zeroed(mem, bytes);
    if (!sum)
        return vsi_fail_nomem(err, bytes);
    vs_status st = encode_mean(err, coll, at, sum, &count);
    vsi_free(mem, sum, bytes);
    if (st == VS_OK && count < VSI_ENCODE_ROWS)
        field->without_code = count - count / 8; /* not with each put that follows */
    if (st != VS_OK || count < VSI_ENCODE_ROWS)
        return st;
    vsi_rq_spec spec = {.dim = field->dim,
                        .kind = field->code_kind,
                        .metric = field->metric,
                        .seed = ((uint64_t)coll->desc->id << 8) + at,
                        .mean = (const float *)(const void *)field->work.data};
    st = vsi_rq_create(err, mem, &spec, state->descs->kernels, &field->own_rq);
    spec.mean = NULL;
    if (st == VS_ERR_INVALID) /* vectors so long that their mean is, too */
        st = vsi_rq_create(err, mem, &spec, state->descs->kernels, &field->own_rq);
    return st;
}

/* Codes for all that have the field's vector in this version. */
static vs_status encode_live(vsi_err *err, vsi_coll *coll, uint32_t at) {
    vsi_live_scan live = encode_scan(coll, at);
    vs_status st = VS_OK;
    for (uint32_t slot = 0; st == VS_OK; slot++) {
        st = vsi_live_next(err, &live, slot, coll->slot_end, &slot);
        if (st != VS_OK || slot >= coll->slot_end)
            break;
        st = encode_slot(err, &coll->desc->field[at], slot);
    }
    return st;
}

/* Parameters, and even codes, may be there already: of a transaction that was rolled back. Then the codes are made again. */
static vs_status encode_begin_field(vsi_err *err, vsi_state *state, uint32_t at) {
    vsi_coll *coll = &state->work;
    vsi_field *field = &coll->desc->field[at];
    vs_status st = VS_OK;
    if (!field->own_rq)
        st = encode_train(err, state, at);
    if (st != VS_OK || !field->own_rq)
        return st;
    encode_until(field, 0); /* what counts is encoded here */
    st = encode_live(err, coll, at);
    encode_until(field, VSI_SLOT_NONE);
    if (st == VS_OK)
        st = vsi_state_put_codes(err, state, coll->desc->id, at, field->own_rq);
    if (st != VS_OK)
        return st;
    vsi_atomic_ptr_store(&field->rq, field->own_rq);
    coll->coded |= 1u << at; /* keeps E1 */
    return VS_OK;
}

VSI_FN vs_status vsi_encode_begin(vsi_err *err, vsi_state *state) {
    vs_status st = VS_OK;
    const vsi_desc *desc = state->work.desc;
    if (state->work.count < VSI_ENCODE_ROWS)
        return VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < desc->field_count; i++) {
        const vsi_field *field = &desc->field[i];
        bool is_time = field->code_kind && field->without_code >= VSI_ENCODE_ROWS;
        if (is_time && !(desc->lost >> i & 1) && !vsi_encode_rq(&state->work, i))
            st = encode_begin_field(err, state, i);
    }
    return st;
}

/* ---- checking ------------------------------------------------------------------------------- */

VSI_FN vs_status vsi_encode_check(vsi_err *err, const vsi_coll *coll, uint32_t at, uint32_t slot,
                                  vsi_buf *work) {
    vsi_field *field = &coll->desc->field[at];
    const vsi_rq *rq = vsi_encode_rq(coll, at);
    const uint8_t *row = NULL, *code = NULL;
    vsi_assert(rq); /* E1 */
    vs_status st = encode_reserve(err, field, work);
    if (st == VS_OK)
        st = vsi_slab_row(err, &field->rows, slot, &row);
    if (st == VS_OK && !encode_widen(field, row, work))
        return vsi_fail(err, VS_ERR_CORRUPT, "a vector holds what is no number");
    if (st == VS_OK)
        st = vsi_slab_row(err, &field->codes, slot, &code);
    if (st == VS_ERR_CORRUPT)
        vsi_encode_report(field, slot);
    if (st != VS_OK)
        return st;
    const float *wide = (const float *)(const void *)work->data;
    return vsi_rq_check(rq, wide, (float *)(void *)work->data + field->dim, code)
               ? VS_OK
               : vsi_fail(err, VS_ERR_CORRUPT, "field '%s' of slot %lu has a wrong code",
                          field->name, (unsigned long)slot);
}
