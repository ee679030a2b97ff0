/* op.c - operations as bytes; docs/FORMAT.md section 7 is the reference. */
#include "store/op.h"

enum {
    OP_HEADER_BYTES = 8, /* kind u8, flags u8, zero u16, body bytes u32 */
    OP_MUST_UNDERSTAND = 1
};

VSI_FN bool vsi_op_is_mark(int kind) {
    return kind >= VSI_OP_SAVEPOINT && kind <= VSI_OP_ROLLBACK_TO;
}

VSI_FN bool vsi_op_is_of_record(int kind) {
    return kind == VSI_OP_PUT || kind == VSI_OP_DELETE || kind == VSI_OP_METADATA ||
           kind == VSI_OP_PAYLOAD;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void op_put_u32(vsi_buf *buf, uint32_t value) {
    vsi_put_u32(buf->data + buf->bytes, value);
    buf->bytes += 4;
}

static void op_put_u64(vsi_buf *buf, uint64_t value) {
    vsi_put_u64(buf->data + buf->bytes, value);
    buf->bytes += 8;
}

/* Length, then the bytes. */
static void op_put_bytes(vsi_buf *buf, vsi_bytes bytes) {
    op_put_u32(buf, (uint32_t)bytes.bytes);
    if (bytes.bytes)
        memcpy(buf->data + buf->bytes, bytes.data, bytes.bytes);
    buf->bytes += bytes.bytes;
}

static void op_put_key(vsi_buf *buf, vs_key key) {
    bool is_number = key.kind == VS_KEY_U64;
    uint32_t bytes = is_number ? 8 : key.bytes;
    op_put_u32(buf, key.space);
    op_put_u32(buf, (key.kind + 1u) | bytes << 16); /* type u8, zero u8, bytes u16 */
    if (is_number) {
        op_put_u64(buf, key.number);
        return;
    }
    memcpy(buf->data + buf->bytes, key.data, bytes);
    buf->bytes += bytes;
}

static void op_put_create(vsi_buf *buf, const vsi_op *op) {
    op_put_u32(buf, op->coll);
    op_put_u64(buf, (uint64_t)op->time_us);
    op_put_bytes(buf, op->name);
    op_put_u32(buf, op->field_count);
    for (uint32_t i = 0; i < op->field_count; i++) {
        const vsi_op_field *field = &op->field[i];
        op_put_u32(buf, field->dim); /* then type u8, metric u8, flags u16 */
        op_put_u32(buf, field->type | field->metric << 8 | (uint32_t)field->is_optional << 16);
        op_put_bytes(buf, field->name);
        op_put_bytes(buf, field->index);
    }
}

/* How many there are, then the number and the bytes of each. */
static void op_put_vectors(vsi_buf *buf, const vsi_op *op) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++)
        count += op->vector[i].bytes != 0;
    op_put_u32(buf, count);
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++)
        if (op->vector[i].bytes) {
            op_put_u32(buf, i);
            op_put_bytes(buf, op->vector[i]);
        }
}

static void op_put_record(vsi_buf *buf, const vsi_op *op) {
    op_put_u32(buf, op->coll);
    op_put_u32(buf, op->slot);
    if (op->kind == VSI_OP_PUT)
        op_put_u32(buf, op->old_slot);
    op_put_key(buf, op->key);
    if (op->kind == VSI_OP_PUT)
        op_put_vectors(buf, op);
    if (op->kind == VSI_OP_PUT || op->kind == VSI_OP_METADATA)
        op_put_bytes(buf, op->metadata);
    if (op->kind == VSI_OP_PAYLOAD) {
        op_put_u32(buf, op->piece);
        op_put_bytes(buf, op->payload);
    }
}

static void op_put_body(vsi_buf *buf, const vsi_op *op) {
    switch (op->kind) {
    case VSI_OP_CREATE:
        op_put_create(buf, op);
        break;
    case VSI_OP_PUT:
    case VSI_OP_DELETE:
    case VSI_OP_METADATA:
    case VSI_OP_PAYLOAD:
        op_put_record(buf, op);
        break;
    case VSI_OP_RENAME:
    case VSI_OP_ALIAS:
        op_put_u32(buf, op->coll);
        op_put_bytes(buf, op->name);
        break;
    case VSI_OP_LIMITS:
        op_put_u32(buf, op->coll);
        op_put_u64(buf, op->max_records);
        op_put_u64(buf, op->max_bytes);
        break;
    case VSI_OP_TOUCH:
        op_put_u32(buf, op->coll);
        op_put_u64(buf, (uint64_t)op->time_us);
        break;
    case VSI_OP_DROP:
        op_put_u32(buf, op->coll);
        break;
    case VSI_OP_NOTE:
        op_put_u32(buf, op->coll);
        op_put_u32(buf, op->note_has_value);
        op_put_bytes(buf, op->note_key);
        op_put_bytes(buf, op->note_value);
        break;
    case VSI_OP_SAVEPOINT:
    case VSI_OP_RELEASE:
    case VSI_OP_ROLLBACK_TO:
        op_put_u32(buf, op->savepoint);
        break;
    default:
        op_put_u64(buf, op->digest.lo);
        op_put_u64(buf, op->digest.hi);
        break;
    }
}

VSI_FN bool vsi_op_write(vsi_buf *buf, const vsi_op *op) {
    /* all but the runs of bytes, header included; of fields 16 each */
    enum { FIXED_BYTES_MAX = 128 + 16 * VS_FIELDS_MAX };
    size_t runs = op->name.bytes + op->key.bytes + op->metadata.bytes + op->payload.bytes +
                  op->note_key.bytes + op->note_value.bytes;
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++)
        runs += op->vector[i].bytes + op->field[i].name.bytes + op->field[i].index.bytes;
    if (!vsi_buf_reserve(buf, FIXED_BYTES_MAX + runs))
        return false;
    size_t at = buf->bytes;
    buf->bytes += OP_HEADER_BYTES;
    op_put_body(buf, op);
    vsi_assert(buf->bytes - at <= FIXED_BYTES_MAX + runs);
    vsi_put_u32(buf->data + at, (uint32_t)op->kind | OP_MUST_UNDERSTAND << 8);
    vsi_put_u32(buf->data + at + 4, (uint32_t)(buf->bytes - at - OP_HEADER_BYTES));
    return true;
}

VSI_FN size_t vsi_op_bytes(const uint8_t *p) {
    return OP_HEADER_BYTES + (size_t)vsi_get_u32(p + 4);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A body being read; once something does not fit, is_ok is false and zeros come out. */
typedef struct op_reader {
    const uint8_t *at, *end;
    bool is_ok;
} op_reader;

static const uint8_t *op_take(op_reader *r, size_t bytes) {
    if (!r->is_ok || bytes > (size_t)(r->end - r->at)) {
        r->is_ok = false;
        return NULL;
    }
    r->at += bytes;
    return r->at - bytes;
}

static uint32_t op_take_u32(op_reader *r) {
    const uint8_t *p = op_take(r, 4);
    return p ? vsi_get_u32(p) : 0;
}

static uint64_t op_take_u64(op_reader *r) {
    const uint8_t *p = op_take(r, 8);
    return p ? vsi_get_u64(p) : 0;
}

static vsi_bytes op_take_bytes(op_reader *r) {
    size_t n = op_take_u32(r);
    const uint8_t *p = op_take(r, n);
    return p ? (vsi_bytes){p, n} : (vsi_bytes){NULL, 0};
}

static vs_key op_take_key(op_reader *r) {
    vs_key key = {.space = op_take_u32(r)};
    uint32_t packed = op_take_u32(r), bytes = packed >> 16;
    key.kind = (uint16_t)((packed & 0xff) - 1);
    bool fits = key.kind == VS_KEY_U64     ? bytes == 8
                : key.kind == VS_KEY_BYTES ? bytes >= 1 && bytes <= VS_KEY_BYTES_MAX
                                           : key.kind == VS_KEY_UUID && bytes == VSI_KEY_UUID_BYTES;
    r->is_ok = r->is_ok && fits && !(packed >> 8 & 0xff);
    if (key.kind == VS_KEY_U64) {
        key.number = op_take_u64(r);
        return key;
    }
    key.data = op_take(r, bytes);
    key.bytes = (uint16_t)(key.data ? bytes : 0);
    return key;
}

static void op_take_create(op_reader *r, vsi_op *op) {
    op->coll = op_take_u32(r);
    op->time_us = (int64_t)op_take_u64(r);
    op->name = op_take_bytes(r);
    op->field_count = op_take_u32(r);
    r->is_ok = r->is_ok && op->field_count >= 1 && op->field_count <= VS_FIELDS_MAX;
    for (uint32_t i = 0; r->is_ok && i < op->field_count; i++) {
        vsi_op_field *field = &op->field[i];
        field->dim = op_take_u32(r);
        uint32_t packed = op_take_u32(r);
        field->type = packed & 0xff;
        field->metric = packed >> 8 & 0xff;
        field->is_optional = packed >> 16 == 1;
        field->name = op_take_bytes(r);
        field->index = op_take_bytes(r);
        r->is_ok = r->is_ok && packed >> 17 == 0;
    }
}

/* Their numbers ascend, and none is empty. */
static void op_take_vectors(op_reader *r, vsi_op *op) {
    uint32_t count = op_take_u32(r), least = 0;
    for (uint32_t i = 0; r->is_ok && i < count; i++) {
        uint32_t at = op_take_u32(r);
        vsi_bytes vector = op_take_bytes(r);
        r->is_ok = r->is_ok && at >= least && at < VS_FIELDS_MAX && vector.bytes;
        if (r->is_ok)
            op->vector[at] = vector;
        least = at + 1;
    }
}

static void op_take_record(op_reader *r, vsi_op *op) {
    op->coll = op_take_u32(r);
    op->slot = op_take_u32(r);
    if (op->kind == VSI_OP_PUT)
        op->old_slot = op_take_u32(r);
    op->key = op_take_key(r);
    if (op->kind == VSI_OP_PUT)
        op_take_vectors(r, op);
    if (op->kind == VSI_OP_PUT || op->kind == VSI_OP_METADATA)
        op->metadata = op_take_bytes(r);
    if (op->kind == VSI_OP_PAYLOAD) {
        op->piece = op_take_u32(r);
        op->payload = op_take_bytes(r);
    }
}

static void op_take_body(op_reader *r, vsi_op *op) {
    uint32_t packed = 0;
    switch (op->kind) {
    case VSI_OP_CREATE:
        op_take_create(r, op);
        break;
    case VSI_OP_PUT:
    case VSI_OP_DELETE:
    case VSI_OP_METADATA:
    case VSI_OP_PAYLOAD:
        op_take_record(r, op);
        break;
    case VSI_OP_RENAME:
    case VSI_OP_ALIAS:
        op->coll = op_take_u32(r);
        op->name = op_take_bytes(r);
        break;
    case VSI_OP_LIMITS:
        op->coll = op_take_u32(r);
        op->max_records = op_take_u64(r);
        op->max_bytes = op_take_u64(r);
        break;
    case VSI_OP_TOUCH:
        op->coll = op_take_u32(r);
        op->time_us = (int64_t)op_take_u64(r);
        break;
    case VSI_OP_DROP:
        op->coll = op_take_u32(r);
        break;
    case VSI_OP_NOTE:
        op->coll = op_take_u32(r);
        packed = op_take_u32(r);
        op->note_has_value = packed == 1;
        op->note_key = op_take_bytes(r);
        op->note_value = op_take_bytes(r);
        r->is_ok = r->is_ok && packed <= 1;
        break;
    case VSI_OP_SAVEPOINT:
    case VSI_OP_RELEASE:
    case VSI_OP_ROLLBACK_TO:
        op->savepoint = op_take_u32(r);
        break;
    default:
        op->digest.lo = op_take_u64(r);
        op->digest.hi = op_take_u64(r);
        break;
    }
}

VSI_FN vs_status vsi_op_read(vsi_err *err, vsi_bytes payload, size_t *pos, vsi_op *out_op,
                             bool *out_known) {
    size_t left = payload.bytes - *pos;
    const uint8_t *p = payload.data + *pos;
    if (left < OP_HEADER_BYTES)
        return vsi_fail(err, VS_ERR_CORRUPT, "operation at byte %zu: %zu bytes left, header is %d",
                        *pos, left, OP_HEADER_BYTES);
    size_t body_bytes = vsi_get_u32(p + 4);
    if (body_bytes > left - OP_HEADER_BYTES)
        return vsi_fail(err, VS_ERR_CORRUPT, "operation at byte %zu: %zu bytes, room for %zu", *pos,
                        body_bytes, left - OP_HEADER_BYTES);
    memset(out_op, 0, sizeof *out_op);
    out_op->kind = p[0];
    *out_known = p[0] >= VSI_OP_CREATE && p[0] <= VSI_OP_LAST;
    if (!*out_known && (p[1] & OP_MUST_UNDERSTAND || vsi_get_u16(p + 2)))
        return vsi_fail(err, VS_ERR_TOO_NEW, "operation at byte %zu is of unknown kind %d", *pos,
                        p[0]);
    if (*out_known) {
        op_reader r = {p + OP_HEADER_BYTES, p + OP_HEADER_BYTES + body_bytes, true};
        op_take_body(&r, out_op);
        if (!r.is_ok || r.at != r.end || vsi_get_u16(p + 2) || p[1] != OP_MUST_UNDERSTAND)
            return vsi_fail(err, VS_ERR_CORRUPT, "operation at byte %zu of kind %d is malformed",
                            *pos, p[0]);
    }
    *pos += OP_HEADER_BYTES + body_bytes;
    return VS_OK;
}
