/* record.c - writing and reading records. */
#include "api/record.h"
#include "base/json.h"

/* ---- vectors -------------------------------------------------------------------------------- */

VSI_FN vs_status vsi_record_vector(vsi_err *err, const vsi_desc *desc, const void *vector, int type,
                                   uint8_t *scratch, const uint8_t **out) {
    bool is_canonical = false;
    type = type ? type : desc->type;
    *out = scratch;
    if (!vector)
        return vsi_fail(err, VS_ERR_MISUSE, "vector: missing");
    if (!vsi_type_bytes(type))
        return vsi_fail(err, VS_ERR_INVALID, "vector: type is %d, expected VS_F32 ... VS_BIT",
                        type);
    size_t numbers = desc->vector_bytes / desc->element_bytes;
    if (type == desc->type) {
        vs_status st = vsi_vector_check(err, vector, type, desc->dim, &is_canonical);
        if (st != VS_OK || is_canonical) {
            *out = vsi_as_le(vector, numbers, desc->element_bytes, scratch);
            return st;
        }
    }
    vs_status st = vsi_vector_convert(err, vector, type, scratch, desc->type, desc->dim, NULL);
    vsi_swap_le(scratch, numbers, desc->element_bytes);
    return st;
}

/* ---- writing -------------------------------------------------------------------------------- */

/* One record to put, as the caller gave it. */
typedef struct record_input {
    vs_key key;
    const void *vector;
    int type;
    vsi_bytes metadata;
} record_input;

static vs_status metadata_validate(vsi_err *err, vsi_bytes metadata) {
    if (!metadata.data)
        return VS_OK;
    if (metadata.bytes > VS_METADATA_BYTES_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "metadata: %zu bytes, the limit is %u", metadata.bytes,
                        VS_METADATA_BYTES_MAX);
    return vsi_json_check_object(err, (const char *)metadata.data, metadata.bytes);
}

static vs_status record_missing(vsi_err *err, const vs_collection *collection, vs_key key) {
    char text[VSI_KEY_TEXT_BYTES];
    return vsi_fail(err, VS_ERR_NOT_FOUND, "there is no key %s in collection '%s'",
                    vsi_key_text(text, key), collection->name);
}

static vs_status record_exists(vsi_err *err, const vs_collection *collection, vs_key key) {
    char text[VSI_KEY_TEXT_BYTES];
    return vsi_fail(err, VS_ERR_EXISTS, "key %s exists in collection '%s'", vsi_key_text(text, key),
                    collection->name);
}

static vs_status put_stage(vsi_err *err, vsi_write *write, const vs_collection *collection,
                           const record_input *in, int mode, uint8_t *scratch) {
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    if (st != VS_OK)
        return st;
    vsi_op op = {.kind = VSI_OP_PUT,
                 .coll = collection->id,
                 .old_slot = VSI_SLOT_NONE,
                 .key = in->key,
                 .metadata = in->metadata};
    op.vector.bytes = coll.desc->vector_bytes;
    st = vsi_key_check(err, in->key);
    if (st == VS_OK)
        st = metadata_validate(err, in->metadata);
    if (st == VS_OK)
        st = vsi_record_vector(err, coll.desc, in->vector, in->type, scratch, &op.vector.data);
    if (st == VS_OK)
        st = vsi_coll_find(err, &coll, in->key, &op.old_slot);
    if (st == VS_OK && mode == VS_INSERT)
        return record_exists(err, collection, in->key);
    if (st == VS_OK && mode == VS_IGNORE)
        return VS_OK;
    if (st == VS_ERR_NOT_FOUND && mode == VS_REPLACE)
        return record_missing(err, collection, in->key);
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    st = vsi_write_take_slot(err, write, collection->id, &op.slot);
    return st == VS_OK ? vsi_statement_apply(err, write, &op) : st;
}

/* Room for one converted vector of the collection, which must exist. */
static vs_status put_prepare(vsi_err *err, vsi_write *write, vs_collection *collection) {
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    if (st != VS_OK)
        return st;
    collection->scratch.bytes = 0;
    size_t bytes = coll.desc->vector_bytes;
    return vsi_buf_reserve(&collection->scratch, bytes) ? VS_OK : vsi_fail_nomem(err, bytes);
}

static vs_status put_check_call(vsi_err *err, const vs_collection *collection, const vs_txn *txn,
                                int mode) {
    if (mode < VS_UPSERT || mode > VS_IGNORE)
        return vsi_fail(err, VS_ERR_MISUSE, "mode is %d, expected VS_UPSERT ... VS_IGNORE", mode);
    return vsi_handle_check_txn(err, collection->head.db, txn, true);
}

/* The caller's metadata; NULL: none; bytes 0: up to the NUL. */
static vsi_bytes metadata_of(const char *text, size_t bytes) {
    if (!text)
        return (vsi_bytes){NULL, 0};
    return (vsi_bytes){(const uint8_t *)text, bytes ? bytes : strlen(text)};
}

/* The next number as a key, if the caller wants one. */
static vs_status put_number(vsi_err *err, const vsi_write *write, const vs_collection *collection,
                            uint64_t *out_number, vs_key *io_key) {
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    if (st == VS_OK && coll.last_number == UINT64_MAX)
        st = vsi_fail(err, VS_ERR_LIMIT, "collection '%s' has had the largest number as a key",
                      collection->name);
    if (st != VS_OK)
        return st;
    *out_number = coll.last_number + 1;
    *io_key = (vs_key){.number = *out_number, .space = io_key->space};
    return VS_OK;
}

/* Puts one record; out_number NULL: under its own key. */
static vs_status put_record(vs_collection *collection, vs_txn *txn, const vs_record *record,
                            int mode, uint64_t *out_number) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !record)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_record all = VS_RECORD_INIT;
    vsi_change change;
    uint64_t number = 0;
    vs_status st = put_check_call(&err, collection, txn, mode);
    if (st == VS_OK)
        st = vsi_struct_read(&err, "vs_record", record, &all, sizeof all);
    if (st == VS_OK)
        st = vsi_change_begin(&err, collection->head.db, txn, &change);
    if (st == VS_OK) {
        record_input in = {all.key, all.vector, all.vector_type,
                           metadata_of(all.metadata, all.metadata_bytes)};
        st = put_prepare(&err, change.write, collection);
        if (st == VS_OK && out_number)
            st = put_number(&err, change.write, collection, &number, &in.key);
        if (st == VS_OK)
            st = put_stage(&err, change.write, collection, &in, mode, collection->scratch.data);
        st = vsi_change_end(&err, &change, st);
    }
    if (st == VS_OK && out_number)
        *out_number = number;
    return vsi_handle_end(&collection->head, st, &err);
}

vs_status vs_put(vs_collection *collection, vs_txn *txn, const vs_record *record, int mode) {
    return put_record(collection, txn, record, mode, NULL);
}

vs_status vs_append(vs_collection *collection, vs_txn *txn, const vs_record *record,
                    uint64_t *out_number) {
    uint64_t number;
    return put_record(collection, txn, record, VS_INSERT, out_number ? out_number : &number);
}

/* ---- batches -------------------------------------------------------------------------------- */

static vs_status batch_validate(vsi_err *err, const vs_batch *batch, bool is_append) {
    if (batch->count && !is_append && !batch->keys == !batch->numbers)
        return vsi_fail(err, VS_ERR_MISUSE, "batch: %s",
                        batch->keys ? "both keys and numbers" : "keys or numbers missing");
    if (is_append && (batch->keys || batch->numbers))
        return vsi_fail(err, VS_ERR_MISUSE, "batch: it has keys, vs_append_batch gives them");
    if (batch->count && !batch->vectors)
        return vsi_fail(err, VS_ERR_MISUSE, "batch: vectors missing");
    return VS_OK;
}

/* Whether a status says that something is wrong with a row, and nothing with the database. */
static bool row_is_refused(vs_status st) {
    return st == VS_ERR_INVALID || st == VS_ERR_EXISTS || st == VS_ERR_NOT_FOUND ||
           st == VS_ERR_LIMIT;
}

/* Row i of a batch; the key is the caller's to fill in when there are none. */
static record_input batch_row(const vs_batch *batch, size_t i) {
    vs_key key = {.space = batch->space};
    if (batch->keys)
        key = batch->keys[i];
    else if (batch->numbers)
        key.number = batch->numbers[i];
    return (record_input){key, (const uint8_t *)batch->vectors + i * batch->stride_bytes,
                          batch->vector_type,
                          metadata_of(batch->metadata ? batch->metadata[i] : NULL,
                                      batch->metadata_bytes ? batch->metadata_bytes[i] : 0)};
}

/* Fills in what the batch leaves to the collection. */
static vs_status batch_resolve(vsi_err *err, const vs_collection *collection, vsi_write *write,
                               vs_batch *batch) {
    const vsi_desc *desc = vsi_descs_find(&write->engine->descs, collection->id);
    batch->vector_type = batch->vector_type ? batch->vector_type : desc->type;
    size_t row_bytes = vsi_vector_bytes(batch->vector_type, desc->dim);
    batch->stride_bytes = batch->stride_bytes ? batch->stride_bytes : row_bytes;
    if (batch->stride_bytes < row_bytes)
        return vsi_fail(err, VS_ERR_INVALID, "batch: stride is %zu bytes, a vector has %zu",
                        batch->stride_bytes, row_bytes);
    return VS_OK;
}

static vs_status batch_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                             vs_batch *batch, int mode, uint64_t *out_numbers) {
    uint64_t number = 0;
    vs_status st = put_prepare(err, write, collection);
    if (st == VS_OK)
        st = batch_resolve(err, collection, write, batch);
    for (size_t i = 0; st == VS_OK && i < batch->count; i++) {
        record_input in = batch_row(batch, i);
        if (!batch->keys && !batch->numbers)
            st = put_number(err, write, collection, &number, &in.key);
        if (st == VS_OK)
            st = put_stage(err, write, collection, &in, mode, collection->scratch.data);
        if (st != VS_OK)
            vsi_fail_in(err, "row %zu of %zu", i, batch->count);
        if (out_numbers)
            out_numbers[i] = st == VS_OK ? number : 0;
        if (batch->statuses)
            batch->statuses[i] = st;
        if (batch->statuses && row_is_refused(st))
            st = VS_OK;
    }
    return st;
}

static vs_status put_batch(vs_collection *collection, vs_txn *txn, const vs_batch *batch, int mode,
                           bool is_append, uint64_t *out_numbers) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !batch)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_batch all = VS_BATCH_INIT;
    vsi_change change;
    vs_status st = put_check_call(&err, collection, txn, mode);
    if (st == VS_OK)
        st = vsi_struct_read(&err, "vs_batch", batch, &all, sizeof all);
    if (st == VS_OK)
        st = batch_validate(&err, &all, is_append);
    if (st == VS_OK)
        st = vsi_change_begin(&err, collection->head.db, txn, &change);
    if (st == VS_OK) {
        st = batch_stage(&err, change.write, collection, &all, mode, out_numbers);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_handle_end(&collection->head, st, &err);
}

vs_status vs_put_batch(vs_collection *collection, vs_txn *txn, const vs_batch *batch, int mode) {
    return put_batch(collection, txn, batch, mode, false, NULL);
}

vs_status vs_append_batch(vs_collection *collection, vs_txn *txn, const vs_batch *batch,
                          uint64_t *out_numbers) {
    return put_batch(collection, txn, batch, VS_INSERT, true, out_numbers);
}

/* The slot of a key that must be there. */
VSI_FN vs_status vsi_record_find(vsi_err *err, const vs_collection *collection,
                                 const vsi_coll *coll, vs_key key, uint32_t *out_slot) {
    vs_status st = vsi_key_check(err, key);
    if (st == VS_OK)
        st = vsi_coll_find(err, coll, key, out_slot);
    return st == VS_ERR_NOT_FOUND ? record_missing(err, collection, key) : st;
}

/* ---- changing what exists ------------------------------------------------------------------- */

/* What a call does in a transaction, the caller's or one of its own. */
typedef vs_status record_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                               void *ctx);

static vs_status record_change(vs_collection *collection, vs_txn *txn, record_stage *stage,
                               void *ctx) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return VS_ERR_MISUSE;
    vs_db *db = collection->head.db;
    vsi_err err = {0};
    vsi_change change;
    vs_status st = vsi_handle_check_txn(&err, db, txn, true);
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        st = stage(&err, change.write, collection, ctx);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_handle_end(&collection->head, st, &err);
}

/* VS_ERR_NOT_FOUND without a message. */
static vs_status delete_find(vsi_err *err, vsi_write *write, const vs_collection *collection,
                             vs_key key) {
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    vsi_op op = {.kind = VSI_OP_DELETE, .coll = collection->id, .key = key};
    if (st == VS_OK)
        st = vsi_key_check(err, key);
    if (st == VS_OK)
        st = vsi_coll_find(err, &coll, key, &op.slot);
    return st == VS_OK ? vsi_statement_apply(err, write, &op) : st;
}

typedef struct delete_list {
    const vs_key *keys;
    size_t count;
    bool must_exist;
    uint64_t deleted;
} delete_list;

static vs_status delete_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                              void *ctx) {
    delete_list *list = ctx;
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    for (size_t i = 0; st == VS_OK && i < list->count; i++) {
        st = delete_find(err, write, collection, list->keys[i]);
        list->deleted += st == VS_OK;
        if (st == VS_ERR_NOT_FOUND)
            st = list->must_exist ? record_missing(err, collection, list->keys[i]) : VS_OK;
    }
    return st;
}

vs_status vs_delete(vs_collection *collection, vs_txn *txn, vs_key key) {
    delete_list list = {.keys = &key, .count = 1, .must_exist = true};
    return record_change(collection, txn, delete_stage, &list);
}

vs_status vs_delete_batch(vs_collection *collection, vs_txn *txn, const vs_key *keys, size_t count,
                          uint64_t *out_deleted) {
    delete_list list = {.keys = keys, .count = count};
    if (count && !keys)
        return VS_ERR_MISUSE;
    vs_status st = record_change(collection, txn, delete_stage, &list);
    if (st == VS_OK && out_deleted)
        *out_deleted = list.deleted;
    return st;
}

static vs_status set_metadata_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                                    void *ctx) {
    const record_input *in = ctx;
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    vsi_op op = {
        .kind = VSI_OP_METADATA, .coll = collection->id, .key = in->key, .metadata = in->metadata};
    if (st == VS_OK)
        st = metadata_validate(err, in->metadata);
    if (st == VS_OK)
        st = vsi_record_find(err, collection, &coll, in->key, &op.slot);
    return st == VS_OK ? vsi_statement_apply(err, write, &op) : st;
}

vs_status vs_set_metadata(vs_collection *collection, vs_txn *txn, vs_key key, const char *metadata,
                          size_t metadata_bytes) {
    record_input in = {.key = key, .metadata = metadata_of(metadata, metadata_bytes)};
    return record_change(collection, txn, set_metadata_stage, &in);
}

/* ---- reading -------------------------------------------------------------------------------- */

VSI_FN void vsi_record_bufs_init(vsi_record_bufs *bufs, vsi_mem *mem) {
    bufs->vector.mem = bufs->metadata.mem = bufs->key.mem = mem;
}

VSI_FN void vsi_record_bufs_free(vsi_record_bufs *bufs) {
    vsi_buf_free(&bufs->vector);
    vsi_buf_free(&bufs->metadata);
    vsi_buf_free(&bufs->key);
}

/* The key of a slot, with its bytes in the buffer. */
static vs_status record_read_key(vsi_err *err, const vsi_coll *coll, uint32_t slot, vsi_buf *buf,
                                 vs_key *out_key) {
    vsi_cell cell;
    vs_key key = {0};
    vs_status st = vsi_coll_cell(err, coll, slot, &cell);
    if (st == VS_OK)
        st = vsi_coll_key(err, coll, slot, &cell, &key);
    buf->bytes = 0;
    if (st == VS_OK && key.data && !vsi_buf_append(buf, key.data, key.bytes))
        st = vsi_fail_nomem(err, key.bytes);
    if (st != VS_OK)
        return st;
    key.data = key.data ? buf->data : NULL;
    *out_key = key;
    return VS_OK;
}

static vs_status record_read_vector(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                    vsi_buf *buf) {
    const uint8_t *row = NULL;
    vs_status st = vsi_coll_row(err, coll, slot, &row);
    buf->bytes = 0;
    if (st == VS_OK && !vsi_buf_append(buf, row, coll->desc->vector_bytes))
        st = vsi_fail_nomem(err, coll->desc->vector_bytes);
    return st;
}

/* With a NUL behind it. */
static vs_status record_read_metadata(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                      vsi_buf *buf) {
    buf->bytes = 0;
    vs_status st = vsi_coll_read_metadata(err, coll, slot, buf);
    if (st == VS_OK && !vsi_buf_append(buf, "", 1))
        st = vsi_fail_nomem(err, 1);
    return st;
}

VSI_FN vs_status vsi_record_read(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                 vsi_record_bufs *bufs, vs_record *out_record) {
    vs_key key = {0};
    vs_status st = vsi_struct_check(err, "vs_record", out_record);
    if (st == VS_OK)
        st = record_read_key(err, coll, slot, &bufs->key, &key);
    if (st == VS_OK)
        st = record_read_vector(err, coll, slot, &bufs->vector);
    if (st == VS_OK)
        st = record_read_metadata(err, coll, slot, &bufs->metadata);
    if (st != VS_OK)
        return st;
    size_t metadata_bytes = bufs->metadata.bytes - 1;
    vs_record record = {.size = out_record->size,
                        .vector_type = coll->desc->type,
                        .key = key,
                        .vector = bufs->vector.data,
                        .metadata = metadata_bytes ? (const char *)bufs->metadata.data : NULL,
                        .metadata_bytes = metadata_bytes};
    vsi_struct_write(&record, sizeof record, out_record);
    return VS_OK;
}

vs_status vs_get(vs_collection *collection, vs_txn *txn, vs_key key, vs_record *out_record) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    uint32_t slot = 0;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_record_find(&err, collection, &r.coll, key, &slot);
    if (st == VS_OK && out_record)
        st = vsi_record_read(&err, &r.coll, slot, &collection->record, out_record);
    return vsi_reading_close(&r, st, &err);
}

/* The vector of a key; VS_ERR_NOT_FOUND without a message. */
static vs_status vector_copy(vsi_err *err, const vsi_reading *r, vs_key key, vsi_slab_aside *aside,
                             uint8_t *out) {
    uint32_t slot = 0;
    const uint8_t *row = NULL;
    vs_status st = vsi_key_check(err, key);
    if (st == VS_OK)
        st = vsi_coll_find(err, &r->coll, key, &slot);
    if (st == VS_OK)
        st = vsi_slab_row_aside(err, &r->coll.desc->rows, slot, aside, &row);
    if (st == VS_OK)
        memcpy(out, row, r->coll.desc->vector_bytes);
    return st;
}

/* Holds no more memory for many keys than for one. */
static vs_status vectors_read(vsi_err *err, vsi_reading *r, const vs_key *keys, size_t count,
                              uint8_t *out, size_t stride, vs_status *statuses) {
    vsi_slab_aside aside = {.buf = {.mem = &r->db->mem}};
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < count; i++) {
        st = vector_copy(err, r, keys[i], &aside, out + i * stride);
        if (statuses && (st == VS_OK || st == VS_ERR_NOT_FOUND)) {
            statuses[i] = st;
            st = VS_OK;
        } else if (st == VS_ERR_NOT_FOUND) {
            st = record_missing(err, r->collection, keys[i]);
        }
        if (vsi_stay_renew(&r->db->engine->pager.reside, &r->view.stay))
            vsi_slab_aside_renew(&aside);
    }
    vsi_buf_free(&aside.buf);
    return st;
}

vs_status vs_get_vectors(vs_collection *collection, vs_txn *txn, const vs_key *keys, size_t count,
                         void *vectors, size_t stride_bytes, vs_status *statuses) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || (count && (!keys || !vectors)))
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    size_t bytes = st == VS_OK ? r.coll.desc->vector_bytes : 0;
    size_t stride = stride_bytes ? stride_bytes : bytes;
    if (st == VS_OK && stride < bytes)
        st = vsi_fail(&err, VS_ERR_INVALID, "stride is %zu bytes, a vector has %zu", stride, bytes);
    if (st == VS_OK)
        st = vectors_read(&err, &r, keys, count, vectors, stride, statuses);
    return vsi_reading_close(&r, st, &err);
}

vs_status vs_count(vs_collection *collection, vs_txn *txn, uint64_t *out_count) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !out_count)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        *out_count = r.coll.count;
    return vsi_reading_close(&r, st, &err);
}
