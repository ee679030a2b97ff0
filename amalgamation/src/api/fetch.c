/* fetch.c - reading many records in one call, and asking whether one is there.
 *
 *   B1  All keys are looked up before the room of the batch before is touched: they may point to what the
 *       handle gave out then. */
#include "api/record.h"

/* A call of vs_get_batch. */
typedef struct fetch_call {
    vsi_reading r;
    const vs_key *keys;
    size_t count;
    vs_status *statuses; /* [count] or NULL */
} fetch_call;

VSI_FN void vsi_record_batch_trim(vs_collection *collection, size_t keep) {
    vsi_buf *many = &collection->many;
    vsi_record_bufs *bufs = (vsi_record_bufs *)(void *)many->data;
    while (many->bytes > keep * sizeof *bufs) {
        many->bytes -= sizeof *bufs;
        vsi_record_bufs_free(&bufs[many->bytes / sizeof *bufs]);
    }
    if (!keep)
        vsi_buf_free(many);
}

/* Room for the slots of so many keys. */
static vs_status fetch_prepare(vsi_err *err, vs_collection *collection, size_t count) {
    vsi_buf *slots = &collection->slots;
    slots->bytes = 0;
    if (count > SIZE_MAX / 4 / sizeof(vsi_record_bufs))
        return vsi_fail(err, VS_ERR_LIMIT, "%zu keys are too many for one call", count);
    if (!vsi_buf_reserve(slots, count * sizeof(uint32_t)))
        return vsi_fail_nomem(err, count * sizeof(uint32_t));
    return VS_OK;
}

/* Room for so many records, and no more. */
static vs_status fetch_make_room(vsi_err *err, vs_collection *collection, size_t count) {
    vsi_buf *many = &collection->many;
    const vsi_record_bufs none = {.list_count = 0};
    vsi_record_batch_trim(collection, count);
    size_t extra = count * sizeof none - many->bytes;
    if (!vsi_buf_reserve(many, extra))
        return vsi_fail_nomem(err, extra);
    vsi_record_bufs *bufs = (vsi_record_bufs *)(void *)many->data;
    for (size_t i = many->bytes / sizeof none; i < count; i++) {
        bufs[i] = none;
        vsi_record_bufs_init(&bufs[i], many->mem);
    }
    many->bytes = count * sizeof none;
    return VS_OK;
}

/* What stays in memory leaves now and then: many keys take no more of it than one. */
static void fetch_breathe(fetch_call *call) {
    vsi_engine *engine = call->r.db->engine;
    (void)vsi_budget_breathe(&engine->pager, &engine->descs, &call->r.view.stay);
}

/* The slots of all keys, VSI_SLOT_NONE for those that do not exist. */
static vs_status fetch_find(vsi_err *err, fetch_call *call) {
    uint32_t *slots = (uint32_t *)(void *)call->r.collection->slots.data;
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < call->count; i++) {
        slots[i] = VSI_SLOT_NONE;
        st = vsi_record_find(err, call->r.collection, &call->r.coll, call->keys[i], &slots[i]);
        if (call->statuses && (st == VS_OK || st == VS_ERR_NOT_FOUND)) {
            call->statuses[i] = st;
            st = VS_OK;
        }
        if (st != VS_OK)
            return vsi_fail_in(err, "key %zu of %zu", i, call->count);
        fetch_breathe(call);
    }
    return VS_OK;
}

/* The records in the slots; the caller's structs have the size that the first one says. */
static vs_status fetch_read(vsi_err *err, fetch_call *call, vs_record *records) {
    const uint32_t *slots = (const uint32_t *)(const void *)call->r.collection->slots.data;
    vsi_record_bufs *bufs = (vsi_record_bufs *)(void *)call->r.collection->many.data;
    const uint32_t stride = records->size;
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < call->count; i++) {
        vs_record *record = (vs_record *)(void *)((uint8_t *)records + i * stride);
        if (slots[i] != VSI_SLOT_NONE)
            st = vsi_record_read(err, &call->r.coll, slots[i], &bufs[i], record);
        fetch_breathe(call);
    }
    return st;
}

static vs_status fetch_check_records(vsi_err *err, const vs_record *records, size_t count) {
    const uint32_t stride = records->size;
    vs_status st = vsi_struct_check(err, "vs_record", records);
    if (st == VS_OK && stride % _Alignof(vs_record))
        st = vsi_fail(err, VS_ERR_MISUSE, "vs_record: size is %lu; set it to sizeof(vs_record)",
                      (unsigned long)stride);
    for (size_t i = 1; st == VS_OK && i < count; i++) {
        uint32_t size = 0;
        memcpy(&size, (const uint8_t *)records + i * stride, sizeof size);
        if (size != stride)
            return vsi_fail(err, VS_ERR_MISUSE, "record %zu has size %lu, the first one %lu", i,
                            (unsigned long)size, (unsigned long)stride);
    }
    return st;
}

vs_status vs_get_batch(vs_collection *collection, vs_txn *txn, const vs_key *keys, size_t count,
                       vs_record *records, vs_status *statuses) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, keys || !count, "keys") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_get_batch");
    vsi_err err = {0};
    fetch_call call = {.keys = keys, .count = count, .statuses = statuses};
    vs_status st = vsi_reading_open(&err, collection, txn, &call.r);
    if (st == VS_OK)
        st = fetch_prepare(&err, collection, count);
    if (st == VS_OK && records && count)
        st = fetch_check_records(&err, records, count);
    if (st == VS_OK)
        st = fetch_find(&err, &call);
    if (st == VS_OK && (records || !count)) /* keeps B1 */
        st = fetch_make_room(&err, collection, count);
    if (st == VS_OK && records && count)
        st = fetch_read(&err, &call, records);
    return vsi_trace_end(&trace, vsi_reading_close(&call.r, st, &err), count);
}

vs_status vs_exists(vs_collection *collection, vs_txn *txn, vs_key key, int *out_exists) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, out_exists, "out_exists") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_exists");
    vsi_err err = {0};
    vsi_reading r;
    uint32_t slot = 0;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_key_check(&err, key);
    if (st == VS_OK) {
        st = vsi_coll_find(&err, &r.coll, key, &slot);
        int exists = st == VS_OK;
        st = st == VS_ERR_NOT_FOUND ? VS_OK : st;
        if (st == VS_OK)
            *out_exists = exists;
    }
    return vsi_trace_end(&trace, vsi_reading_close(&r, st, &err), 1);
}
