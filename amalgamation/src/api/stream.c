/* stream.c - reading and writing the opaque bytes of a record. */
#include "api/record.h"
#include "store/budget.h"
#include "store/payload.h"

/* What a call is about: a record's payload, and a run of it. */
typedef struct stream_call {
    vs_key key;
    uint64_t offset;
    vsi_bytes bytes; /* truncate: none */
    bool truncates;  /* to offset */
} stream_call;

/* ---- writing -------------------------------------------------------------------------------- */

/* A payload being changed. */
typedef struct stream_change {
    vsi_write *write;
    vs_collection *collection;
    vsi_coll coll;
    vsi_op op;
    vsi_payload now;
} stream_change;

static vs_status stream_change_begin(vsi_err *err, stream_change *change, vs_key key) {
    vsi_view view = {.state = &change->write->state};
    vs_status st = vsi_view_coll(err, view, change->collection, &change->coll);
    change->op = (vsi_op){.kind = VSI_OP_PAYLOAD, .coll = change->collection->id, .key = key};
    if (st == VS_OK)
        st = vsi_record_find(err, change->collection, &change->coll, key, &change->op.slot);
    return st == VS_OK ? vsi_payload_find(err, &change->coll.payloads, key, &change->now) : st;
}

/* Stages one piece, and looks at what has become of the payload. */
static vs_status stream_stage(vsi_err *err, stream_change *change, uint32_t piece,
                              vsi_bytes bytes) {
    vsi_view view = {.state = &change->write->state};
    change->op.piece = piece;
    change->op.payload = bytes;
    vs_status st = vsi_statement_apply(err, change->write, &change->op);
    if (st == VS_OK)
        st = vsi_view_coll(err, view, change->collection, &change->coll);
    if (st == VS_OK)
        st = vsi_payload_find(err, &change->coll.payloads, change->op.key, &change->now);
    return st;
}

/* The piece as it is, or nothing behind the last one, into the handle's buffer with room for a whole one. */
static vs_status stream_load(vsi_err *err, stream_change *change, uint32_t piece) {
    vsi_buf *buf = &change->collection->scratch;
    vsi_value value;
    buf->bytes = 0;
    if (!vsi_buf_reserve(buf, VSI_PAYLOAD_PIECE_BYTES))
        return vsi_fail_nomem(err, VSI_PAYLOAD_PIECE_BYTES);
    if (piece >= vsi_payload_pieces(&change->now))
        return VS_OK;
    vs_status st = vsi_payload_find_piece(err, &change->coll.payloads, change->op.key, &change->now,
                                          piece, &value);
    return st == VS_OK ? vsi_value_read(err, &change->coll.payloads, &value, buf) : st;
}

/* Writes a run that lies within one piece. */
static vs_status stream_write_piece(vsi_err *err, stream_change *change, uint64_t offset,
                                    vsi_bytes run) {
    vsi_buf *buf = &change->collection->scratch;
    uint32_t piece = (uint32_t)(offset / VSI_PAYLOAD_PIECE_BYTES);
    size_t at = (size_t)(offset % VSI_PAYLOAD_PIECE_BYTES);
    if (run.bytes == VSI_PAYLOAD_PIECE_BYTES)
        return stream_stage(err, change, piece, run);
    vs_status st = stream_load(err, change, piece);
    if (st != VS_OK)
        return st;
    vsi_assert(at <= buf->bytes);
    memcpy(buf->data + at, run.data, run.bytes);
    if (at + run.bytes > buf->bytes)
        buf->bytes = at + run.bytes;
    return stream_stage(err, change, piece, (vsi_bytes){buf->data, buf->bytes});
}

static vs_status stream_check_limit(vsi_err *err, const stream_change *change, uint64_t end) {
    const vsi_coll *coll = &change->coll;
    uint64_t more = end > change->now.bytes ? end - change->now.bytes : 0;
    if (!coll->max_bytes || !more || coll->bytes + more <= coll->max_bytes)
        return VS_OK;
    return vsi_fail(err, VS_ERR_LIMIT, "collection '%s' may have %llu bytes, not %llu",
                    coll->desc->name, (unsigned long long)coll->max_bytes,
                    (unsigned long long)(coll->bytes + more));
}

static vs_status stream_check_write(vsi_err *err, const stream_change *change,
                                    const stream_call *call) {
    if (call->offset > change->now.bytes)
        return vsi_fail(err, VS_ERR_INVALID, "payload: offset is %llu, it has %llu bytes",
                        (unsigned long long)call->offset, (unsigned long long)change->now.bytes);
    if (call->bytes.bytes > VS_PAYLOAD_BYTES_MAX - call->offset)
        return vsi_fail(err, VS_ERR_LIMIT, "payload: %zu bytes at %llu, the limit is %llu",
                        call->bytes.bytes, (unsigned long long)call->offset,
                        (unsigned long long)VS_PAYLOAD_BYTES_MAX);
    return stream_check_limit(err, change, call->offset + call->bytes.bytes);
}

static vs_status stream_write(vsi_err *err, stream_change *change, const stream_call *call) {
    uint64_t offset = call->offset;
    vsi_bytes left = call->bytes;
    vs_status st = stream_check_write(err, change, call);
    while (st == VS_OK && left.bytes) {
        size_t room = VSI_PAYLOAD_PIECE_BYTES - (size_t)(offset % VSI_PAYLOAD_PIECE_BYTES);
        size_t n = left.bytes < room ? left.bytes : room;
        st = stream_write_piece(err, change, offset, (vsi_bytes){left.data, n});
        left = (vsi_bytes){left.data + n, left.bytes - n};
        offset += n;
    }
    return st;
}

static vs_status stream_truncate(vsi_err *err, stream_change *change, uint64_t bytes) {
    uint32_t piece = (uint32_t)(bytes / VSI_PAYLOAD_PIECE_BYTES);
    vsi_buf *buf = &change->collection->scratch;
    if (bytes > change->now.bytes)
        return vsi_fail(err, VS_ERR_INVALID, "payload: it has %llu bytes, not %llu to be kept",
                        (unsigned long long)change->now.bytes, (unsigned long long)bytes);
    if (bytes == change->now.bytes)
        return VS_OK;
    size_t rest = (size_t)(bytes % VSI_PAYLOAD_PIECE_BYTES);
    if (!rest)
        return stream_stage(err, change, piece, (vsi_bytes){(const uint8_t *)"", 0});
    vs_status st = stream_load(err, change, piece);
    return st == VS_OK ? stream_stage(err, change, piece, (vsi_bytes){buf->data, rest}) : st;
}

static vs_status stream_run(vsi_err *err, vsi_write *write, vs_collection *collection, void *ctx) {
    const stream_call *call = ctx;
    stream_change change = {.write = write, .collection = collection};
    vs_status st = stream_change_begin(err, &change, call->key);
    if (st != VS_OK)
        return st;
    return call->truncates ? stream_truncate(err, &change, call->offset)
                           : stream_write(err, &change, call);
}

vs_status vs_payload_write(vs_collection *collection, vs_txn *txn, vs_key key, uint64_t offset,
                           const void *data, size_t bytes) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, data || !bytes, "data") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_payload_write");
    stream_call call = {.key = key, .offset = offset, .bytes = {data, bytes}};
    return vsi_trace_end(&trace, vsi_collection_change(collection, txn, stream_run, &call), 1);
}

vs_status vs_payload_truncate(vs_collection *collection, vs_txn *txn, vs_key key, uint64_t bytes) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_payload_truncate");
    stream_call call = {.key = key, .offset = bytes, .truncates = true};
    return vsi_trace_end(&trace, vsi_collection_change(collection, txn, stream_run, &call), 1);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A run of a payload, which has it. */
typedef struct stream_read {
    vs_key key;
    vsi_payload payload;
    uint64_t offset;
    uint8_t *out;
    size_t bytes;
} stream_read;

/* Holds no more memory for many pieces than for one. */
static vs_status stream_copy(vsi_err *err, vsi_reading *r, stream_read read) {
    vsi_engine *engine = r->db->engine;
    vsi_buf *buf = &r->collection->scratch;
    while (read.bytes) {
        uint32_t piece = (uint32_t)(read.offset / VSI_PAYLOAD_PIECE_BYTES);
        size_t at = (size_t)(read.offset % VSI_PAYLOAD_PIECE_BYTES);
        vsi_value value;
        buf->bytes = 0;
        vs_status st =
            vsi_payload_find_piece(err, &r->coll.payloads, read.key, &read.payload, piece, &value);
        if (st == VS_OK)
            st = vsi_value_read(err, &r->coll.payloads, &value, buf);
        if (st != VS_OK)
            return st;
        size_t n = buf->bytes - at < read.bytes ? buf->bytes - at : read.bytes;
        memcpy(read.out, buf->data + at, n);
        read.out += n;
        read.offset += n;
        read.bytes -= n;
        vsi_budget_breathe(&engine->pager, &engine->descs, &r->view.stay);
    }
    return VS_OK;
}

vs_status vs_payload_read(vs_collection *collection, vs_txn *txn, vs_key key, uint64_t offset,
                          void *out, size_t room, size_t *out_bytes) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, (out || !room) && out_bytes,
                              "out or out_bytes") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_payload_read");
    vsi_err err = {0};
    vsi_reading r;
    uint32_t slot = 0;
    size_t bytes = 0;
    vsi_payload payload = {.bytes = 0};
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_record_find(&err, collection, &r.coll, key, &slot);
    if (st == VS_OK)
        st = vsi_payload_find(&err, &r.coll.payloads, key, &payload);
    if (st == VS_OK && offset < payload.bytes)
        bytes = payload.bytes - offset < room ? (size_t)(payload.bytes - offset) : room;
    if (st == VS_OK)
        st = stream_copy(&err, &r, (stream_read){key, payload, offset, out, bytes});
    if (st == VS_OK)
        *out_bytes = bytes;
    return vsi_trace_end(&trace, vsi_reading_close(&r, st, &err), 1);
}
