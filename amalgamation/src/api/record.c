/* record.c - writing and reading records. */
#include "api/record.h"
#include "base/patch.h"

/* ---- vectors -------------------------------------------------------------------------------- */

VSI_FN vs_status vsi_record_vector(vsi_err *err, const vsi_field *field, const void *vector,
                                   int type, uint8_t *scratch, const uint8_t **out) {
    bool is_canonical = false;
    type = type ? type : field->type;
    *out = scratch;
    if (!vector)
        return vsi_fail(err, VS_ERR_INVALID, "vector: missing");
    if (!vsi_type_bytes(type))
        return vsi_fail(err, VS_ERR_INVALID, "vector: type is %d, expected VS_F32 ... VS_BIT",
                        type);
    size_t numbers = field->vector_bytes / field->element_bytes;
    if (type == field->type) {
        vs_status st = vsi_vector_check(err, vector, type, field->dim, &is_canonical);
        if (st != VS_OK || is_canonical) {
            *out = vsi_as_le(vector, numbers, field->element_bytes, scratch);
            return st;
        }
    }
    vs_status st = vsi_vector_convert(err, vector, type, scratch, field->type, field->dim, NULL);
    vsi_swap_le(scratch, numbers, field->element_bytes);
    return st;
}

VSI_FN vs_status vsi_record_check_field(vsi_err *err, const vsi_coll *coll, uint32_t field) {
    if (field < coll->desc->field_count)
        return VS_OK;
    return vsi_fail(err, VS_ERR_INVALID, "field is %lu, collection '%s' has %lu",
                    (unsigned long)field, coll->desc->name, (unsigned long)coll->desc->field_count);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* One record to put, as the caller gave it. */
typedef struct record_input {
    vs_key key;
    vs_vector vector[VS_FIELDS_MAX]; /* by field; data NULL: none */
    bool is_named[VS_FIELDS_MAX];    /* those that the caller said something about */
    vsi_bytes metadata;
    uint64_t version; /* that is expected; 0: any */
} record_input;

/* Takes what the caller says of a field's vector; data NULL: that there is none. */
static vs_status input_add(vsi_err *err, const vsi_coll *coll, vs_vector vector, record_input *in) {
    vs_status st = vsi_record_check_field(err, coll, vector.field);
    if (st != VS_OK)
        return st;
    if (in->is_named[vector.field])
        return vsi_fail(err, VS_ERR_INVALID, "two vectors of field '%s'",
                        coll->desc->field[vector.field].name);
    in->vector[vector.field] = vector;
    in->is_named[vector.field] = true;
    return VS_OK;
}

static vs_status metadata_check_size(vsi_err *err, size_t bytes) {
    if (bytes <= VS_METADATA_BYTES_MAX)
        return VS_OK;
    return vsi_fail(err, VS_ERR_LIMIT, "metadata: %zu bytes, the limit is %u", bytes,
                    VS_METADATA_BYTES_MAX);
}

/* The caller's metadata as it is stored: without white space, in the handle's buffer if there was some. */
static vs_status metadata_prepare(vsi_err *err, vs_collection *collection, vsi_bytes *io_metadata) {
    vsi_bytes given = *io_metadata;
    vsi_buf *buf = &collection->json;
    if (!given.data)
        return VS_OK;
    vs_status st = metadata_check_size(err, given.bytes);
    if (st == VS_OK)
        st = vsi_json_check_object(err, (const char *)given.data, given.bytes);
    buf->bytes = 0;
    if (st == VS_OK && !vsi_buf_reserve(buf, given.bytes))
        st = vsi_fail_nomem(err, given.bytes);
    if (st != VS_OK)
        return st;
    vsi_json_out out = {.data = buf->data, .room = given.bytes};
    vsi_json_put_compact(&out, given.data, given.bytes);
    if (out.bytes < given.bytes)
        *io_metadata = (vsi_bytes){buf->data, out.bytes};
    return VS_OK;
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

/* The vectors of a record in the types of their fields; scratch has room for all. */
static vs_status put_convert(vsi_err *err, const vsi_desc *desc, const record_input *in,
                             uint8_t *scratch, vsi_op *op) {
    for (uint32_t i = 0; i < desc->field_count; i++) {
        const vsi_field *field = &desc->field[i];
        const vs_vector *vector = &in->vector[i];
        if (!vector->data && field->is_optional)
            continue;
        vs_status st =
            vsi_record_vector(err, field, vector->data, vector->type, scratch, &op->vector[i].data);
        if (st != VS_OK)
            return desc->field_count > 1 ? vsi_fail_in(err, "field '%s'", field->name) : st;
        op->vector[i].bytes = field->vector_bytes;
        scratch += field->vector_bytes;
    }
    return VS_OK;
}

/* Whether the record in a slot is of the version that the caller expects. */
static vs_status put_check_version(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                   const record_input *in) {
    char text[VSI_KEY_TEXT_BYTES];
    uint64_t version = 0, payload_bytes = 0;
    if (!in->version)
        return VS_OK;
    vs_status st = vsi_coll_version(err, coll, slot, &version, &payload_bytes);
    if (st != VS_OK || version == in->version)
        return st;
    return vsi_fail(err, VS_ERR_CONFLICT, "key %s has version %016llx, expected %016llx",
                    vsi_key_text(text, in->key), (unsigned long long)version,
                    (unsigned long long)in->version);
}

/* Whether mode and version allow a record, found as st says, to be put; *out_is_needed false: it stays as it is. */
static vs_status put_decide(vsi_err *err, const vs_collection *collection, const vsi_coll *coll,
                            const record_input *in, int mode, vs_status st, uint32_t old_slot,
                            bool *out_is_needed) {
    *out_is_needed = st == VS_ERR_NOT_FOUND || mode == VS_UPSERT || mode == VS_REPLACE;
    if (st == VS_OK && mode == VS_INSERT)
        return record_exists(err, collection, in->key);
    if (st == VS_ERR_NOT_FOUND && (mode == VS_REPLACE || in->version))
        return record_missing(err, collection, in->key);
    if (st == VS_OK && *out_is_needed)
        return put_check_version(err, coll, old_slot, in);
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

/* What the record in a slot counts in its collection's bytes, but for its key; and of that, its metadata. */
static vs_status record_measure(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                uint64_t *out_bytes, uint64_t *out_metadata) {
    uint8_t bytes[VSI_SLOT_KEY_BYTES];
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, &coll->metadata, vsi_slot_encode(bytes, slot), &value);
    st = st == VS_ERR_NOT_FOUND ? VS_OK : st;
    *out_bytes = *out_metadata = value.bytes;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        bool has = false;
        st = vsi_coll_has(err, coll, i, slot, &has);
        *out_bytes += has ? coll->desc->field[i].vector_bytes : 0;
    }
    return st;
}

/* Whether what a put or new metadata add stays within the collection's limits. */
static vs_status put_check_limits(vsi_err *err, const vsi_coll *coll, const vsi_op *op) {
    bool is_put = op->kind == VSI_OP_PUT, is_new = is_put && op->old_slot == VSI_SLOT_NONE;
    uint64_t old = 0, old_metadata = 0, new = op->metadata.bytes;
    vs_status st = VS_OK;
    if (!coll->max_records && !coll->max_bytes)
        return VS_OK;
    if (!is_new)
        st = record_measure(err, coll, is_put ? op->old_slot : op->slot, &old, &old_metadata);
    if (st != VS_OK)
        return st;
    for (uint32_t i = 0; i < coll->desc->field_count; i++)
        new += op->vector[i].bytes;
    if (is_new)
        new += op->key.kind == VS_KEY_U64 ? 8 : op->key.bytes;
    if (!is_put)
        old = old_metadata;
    if (is_new && coll->max_records && coll->count >= coll->max_records)
        return vsi_fail(err, VS_ERR_LIMIT, "collection '%s' may have %llu records",
                        coll->desc->name, (unsigned long long)coll->max_records);
    uint64_t bytes = coll->bytes - old + new;
    if (coll->max_bytes && bytes > coll->max_bytes && new > old)
        return vsi_fail(err, VS_ERR_LIMIT, "collection '%s' may have %llu bytes, not %llu",
                        coll->desc->name, (unsigned long long)coll->max_bytes,
                        (unsigned long long)bytes);
    return VS_OK;
}

/* Puts a record into a slot of its own. */
static vs_status put_apply(vsi_err *err, vsi_write *write, const vsi_coll *coll, vsi_op *op) {
    vs_status st = put_check_limits(err, coll, op);
    if (st == VS_OK && op->kind == VSI_OP_PUT)
        st = vsi_write_take_slot(err, write, op->coll, &op->slot);
    return st == VS_OK ? vsi_statement_apply(err, write, op) : st;
}

static vs_status put_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                           const vsi_coll *coll, const record_input *in, int mode) {
    vsi_op op = {.kind = VSI_OP_PUT,
                 .coll = collection->id,
                 .old_slot = VSI_SLOT_NONE,
                 .key = in->key,
                 .metadata = in->metadata};
    bool is_needed = true;
    vs_status st = vsi_key_check(err, in->key);
    if (st == VS_OK)
        st = metadata_prepare(err, collection, &op.metadata);
    if (st == VS_OK)
        st = put_convert(err, coll->desc, in, collection->scratch.data, &op);
    if (st != VS_OK)
        return st;
    st = vsi_coll_find(err, coll, in->key, &op.old_slot);
    st = put_decide(err, collection, coll, in, mode, st, op.old_slot, &is_needed);
    if (st != VS_OK || !is_needed)
        return st;
    return put_apply(err, write, coll, &op);
}

/* The collection as the transaction has it now. */
static vs_status put_coll(vsi_err *err, const vsi_write *write, const vs_collection *collection,
                          vsi_coll *out_coll) {
    return vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, out_coll);
}

/* Room for the converted vectors of one record of the collection. */
static vs_status put_prepare(vsi_err *err, const vsi_desc *desc, vs_collection *collection) {
    size_t bytes = vsi_desc_vector_bytes(desc);
    collection->scratch.bytes = 0;
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

/* The next number as a key. */
static vs_status put_number(vsi_err *err, const vsi_coll *coll, uint64_t *out_number,
                            vs_key *io_key) {
    if (coll->last_number == UINT64_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "collection '%s' has had the largest number as a key",
                        coll->desc->name);
    *out_number = coll->last_number + 1;
    *io_key = (vs_key){.number = *out_number, .space = io_key->space};
    return VS_OK;
}

static vs_status input_of_record(vsi_err *err, const vsi_coll *coll, const vs_record *record,
                                 record_input *out) {
    vs_vector first = {record->vector, record->vector_type, 0};
    vs_status st = VS_OK;
    *out = (record_input){.key = record->key,
                          .metadata = metadata_of(record->metadata, record->metadata_bytes),
                          .version = record->if_version};
    if (record->vector_count && !record->vectors)
        return vsi_fail(err, VS_ERR_MISUSE, "record: vectors missing");
    if (first.data)
        st = input_add(err, coll, first, out);
    for (size_t i = 0; st == VS_OK && i < record->vector_count; i++)
        st = input_add(err, coll, record->vectors[i], out);
    return st;
}

/* out_number NULL: under the record's own key. */
static vs_status record_stage_put(vsi_err *err, vsi_write *write, vs_collection *collection,
                                  const vs_record *record, int mode, uint64_t *out_number) {
    record_input in;
    vsi_coll coll;
    vs_status st = put_coll(err, write, collection, &coll);
    if (st == VS_OK)
        st = put_prepare(err, coll.desc, collection);
    if (st == VS_OK)
        st = input_of_record(err, &coll, record, &in);
    if (st == VS_OK && out_number)
        st = put_number(err, &coll, out_number, &in.key);
    return st == VS_OK ? put_stage(err, write, collection, &coll, &in, mode) : st;
}

static vs_status put_record(vs_collection *collection, vs_txn *txn, const vs_record *record,
                            int mode, uint64_t *out_number) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, record, "record") != VS_OK)
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
        st = record_stage_put(&err, change.write, collection, &all, mode,
                              out_number ? &number : NULL);
        st = vsi_change_end(&err, &change, st);
    }
    if (st == VS_OK && out_number)
        *out_number = number;
    return vsi_handle_end(&collection->head, st, &err);
}

vs_status vs_put(vs_collection *collection, vs_txn *txn, const vs_record *record, int mode) {
    const vsi_trace trace = vsi_trace_begin(collection, "vs_put");
    return vsi_trace_end(&trace, put_record(collection, txn, record, mode, NULL), 1);
}

vs_status vs_append(vs_collection *collection, vs_txn *txn, const vs_record *record,
                    uint64_t *out_number) {
    const vsi_trace trace = vsi_trace_begin(collection, "vs_append");
    uint64_t number;
    vs_status st =
        put_record(collection, txn, record, VS_INSERT, out_number ? out_number : &number);
    return vsi_trace_end(&trace, st, 1);
}

/* ---- batches -------------------------------------------------------------------------------- */

static vs_status batch_validate(vsi_err *err, const vs_batch *batch, bool is_append) {
    if (batch->count && !is_append && !batch->keys == !batch->numbers)
        return vsi_fail(err, VS_ERR_MISUSE, "batch: %s",
                        batch->keys ? "both keys and numbers" : "keys or numbers missing");
    if (is_append && (batch->keys || batch->numbers))
        return vsi_fail(err, VS_ERR_MISUSE, "batch: it has keys, vs_append_batch gives them");
    if (batch->column_count && !batch->columns)
        return vsi_fail(err, VS_ERR_MISUSE, "batch: columns missing");
    return VS_OK;
}

/* Whether a status says that something is wrong with a row, and nothing with the database. */
static bool row_is_refused(vs_status st) {
    return st == VS_ERR_INVALID || st == VS_ERR_EXISTS || st == VS_ERR_NOT_FOUND ||
           st == VS_ERR_LIMIT || st == VS_ERR_CONFLICT;
}

/* A batch whose columns are complete. */
typedef struct batch_plan {
    const vs_batch *batch;
    size_t column_count;
    vs_column column[VS_FIELDS_MAX];
} batch_plan;

static vs_status batch_add_column(vsi_err *err, const vsi_coll *coll, vs_column column,
                                  batch_plan *plan) {
    vs_status st = vsi_record_check_field(err, coll, column.field);
    if (st != VS_OK)
        return st;
    const vsi_field *field = &coll->desc->field[column.field];
    column.type = column.type ? column.type : field->type;
    size_t row_bytes = vsi_vector_bytes(column.type, field->dim);
    column.stride_bytes = column.stride_bytes ? column.stride_bytes : row_bytes;
    if (column.stride_bytes < row_bytes)
        return vsi_fail(err, VS_ERR_INVALID, "batch: stride is %zu bytes, a vector has %zu",
                        column.stride_bytes, row_bytes);
    for (size_t i = 0; i < plan->column_count; i++)
        if (plan->column[i].field == column.field)
            return vsi_fail(err, VS_ERR_INVALID, "batch: two columns of field '%s'", field->name);
    if (!column.data)
        return vsi_fail(err, VS_ERR_MISUSE, "batch: data of a column missing");
    plan->column[plan->column_count++] = column;
    return VS_OK;
}

/* Whether there is a column of each field that all records have. */
static vs_status batch_check_fields(vsi_err *err, const vsi_desc *desc, const batch_plan *plan) {
    for (uint32_t i = 0; i < desc->field_count; i++) {
        bool is_there = desc->field[i].is_optional;
        for (size_t k = 0; k < plan->column_count; k++)
            is_there = is_there || plan->column[k].field == i;
        if (!is_there)
            return vsi_fail(err, VS_ERR_MISUSE, "batch: vectors missing, of field '%s'",
                            desc->field[i].name);
    }
    return VS_OK;
}

static vs_status batch_make_plan(vsi_err *err, const vsi_coll *coll, const vs_batch *batch,
                                 batch_plan *out) {
    vs_status st = VS_OK;
    *out = (batch_plan){.batch = batch};
    vs_column first = {batch->vectors, batch->stride_bytes, NULL, batch->vector_type, 0};
    if (batch->vectors)
        st = batch_add_column(err, coll, first, out);
    for (size_t i = 0; st == VS_OK && i < batch->column_count; i++)
        st = batch_add_column(err, coll, batch->columns[i], out);
    return st == VS_OK && batch->count ? batch_check_fields(err, coll->desc, out) : st;
}

/* Row i of a batch; the key is the caller's to fill in when there are none. */
static record_input batch_row(const batch_plan *plan, size_t i) {
    const vs_batch *batch = plan->batch;
    record_input in = {.key = {.space = batch->space},
                       .metadata =
                           metadata_of(batch->metadata ? batch->metadata[i] : NULL,
                                       batch->metadata_bytes ? batch->metadata_bytes[i] : 0)};
    if (batch->keys)
        in.key = batch->keys[i];
    else if (batch->numbers)
        in.key.number = batch->numbers[i];
    for (size_t k = 0; k < plan->column_count; k++) {
        const vs_column *column = &plan->column[k];
        if (!column->present || column->present[i])
            in.vector[column->field] =
                (vs_vector){(const uint8_t *)column->data + i * column->stride_bytes, column->type,
                            column->field};
    }
    return in;
}

static vs_status batch_stage_row(vsi_err *err, vsi_write *write, vs_collection *collection,
                                 const batch_plan *plan, size_t i, int mode, uint64_t *out_number) {
    const vs_batch *batch = plan->batch;
    record_input in = batch_row(plan, i);
    vsi_coll coll;
    vs_status st = put_coll(err, write, collection, &coll);
    if (st == VS_OK && !batch->keys && !batch->numbers)
        st = put_number(err, &coll, out_number, &in.key);
    if (st == VS_OK)
        st = put_stage(err, write, collection, &coll, &in, mode);
    return st == VS_OK ? VS_OK : vsi_fail_in(err, "row %zu of %zu", i, batch->count);
}

static vs_status batch_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                             const vs_batch *batch, int mode, uint64_t *out_numbers,
                             vsi_watch *watch) {
    uint64_t number = 0;
    batch_plan plan;
    vsi_coll coll;
    vs_status st = put_coll(err, write, collection, &coll);
    if (st == VS_OK)
        st = put_prepare(err, coll.desc, collection);
    if (st == VS_OK)
        st = batch_make_plan(err, &coll, batch, &plan);
    for (size_t i = 0; st == VS_OK && i < batch->count; i++) {
        st = batch_stage_row(err, write, collection, &plan, i, mode, &number);
        if (out_numbers)
            out_numbers[i] = st == VS_OK ? number : 0;
        if (batch->statuses)
            batch->statuses[i] = st;
        if (batch->statuses && row_is_refused(st))
            st = VS_OK;
        if (st == VS_OK)
            st = vsi_watch_step(err, watch, 1);
    }
    return st;
}

static vs_status put_batch(vs_collection *collection, vs_txn *txn, const vs_batch *batch, int mode,
                           bool is_append, uint64_t *out_numbers) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, batch, "batch") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace =
        vsi_trace_begin(collection, is_append ? "vs_append_batch" : "vs_put_batch");
    vsi_err err = {0};
    vs_batch all = VS_BATCH_INIT;
    vsi_change change;
    vsi_watch watch = vsi_watch_begin(&collection->head.db->watcher);
    vs_status st = put_check_call(&err, collection, txn, mode);
    if (st == VS_OK)
        st = vsi_struct_read(&err, "vs_batch", batch, &all, sizeof all);
    if (st == VS_OK)
        st = batch_validate(&err, &all, is_append);
    if (st == VS_OK)
        st = vsi_change_begin(&err, collection->head.db, txn, &change);
    if (st == VS_OK) {
        vsi_watch_limit(&watch, 0);
        vsi_watch_count(&watch, "records put", all.count);
        st = batch_stage(&err, change.write, collection, &all, mode, out_numbers, &watch);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_trace_end(&trace, vsi_handle_end(&collection->head, st, &err), all.count);
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
    vsi_watch watch;
} delete_list;

static vs_status delete_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                              void *ctx) {
    delete_list *list = ctx;
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    vsi_watch_limit(&list->watch, 0);
    vsi_watch_count(&list->watch, "records deleted", list->count);
    for (size_t i = 0; st == VS_OK && i < list->count; i++) {
        st = delete_find(err, write, collection, list->keys[i]);
        list->deleted += st == VS_OK;
        if (st == VS_ERR_NOT_FOUND)
            st = list->must_exist ? record_missing(err, collection, list->keys[i]) : VS_OK;
        if (st == VS_OK && list->count > 1)
            st = vsi_watch_step(err, &list->watch, 1);
    }
    return st;
}

vs_status vs_delete(vs_collection *collection, vs_txn *txn, vs_key key) {
    const vsi_trace trace = vsi_trace_begin(collection, "vs_delete");
    delete_list list = {.keys = &key, .count = 1, .must_exist = true};
    return vsi_trace_end(&trace, vsi_collection_change(collection, txn, delete_stage, &list), 1);
}

vs_status vs_delete_batch(vs_collection *collection, vs_txn *txn, const vs_key *keys, size_t count,
                          uint64_t *out_deleted) {
    delete_list list = {.keys = keys, .count = count};
    bool has_all = keys || !count;
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, has_all, "keys") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_delete_batch");
    list.watch = vsi_watch_begin(&collection->head.db->watcher);
    vs_status st = vsi_collection_change(collection, txn, delete_stage, &list);
    if (st == VS_OK && out_deleted)
        *out_deleted = list.deleted;
    return vsi_trace_end(&trace, st, list.deleted);
}

/* ---- updates -------------------------------------------------------------------------------- */

typedef struct update_call {
    const vs_record *record;
    uint32_t what;
} update_call;

/* What a patch makes of the metadata in a slot; in the handle's buffer, behind what is there now. */
static vs_status update_patch(vsi_err *err, vs_collection *collection, const vsi_coll *coll,
                              uint32_t slot, vsi_bytes *io_metadata) {
    vsi_buf *buf = &collection->json;
    vsi_bytes patch = *io_metadata;
    if (!patch.data)
        return vsi_fail(err, VS_ERR_MISUSE, "update: the patch is missing");
    vs_status st = metadata_check_size(err, patch.bytes);
    if (st == VS_OK)
        st = vsi_json_check_object(err, (const char *)patch.data, patch.bytes);
    buf->bytes = 0;
    if (st == VS_OK)
        st = vsi_coll_read_metadata(err, coll, slot, buf);
    size_t now = buf->bytes, room = now + patch.bytes + 2;
    if (st == VS_OK && !vsi_buf_reserve(buf, room))
        st = vsi_fail_nomem(err, room);
    if (st != VS_OK)
        return st;
    vsi_bytes target = now ? (vsi_bytes){buf->data, now} : (vsi_bytes){(const uint8_t *)"{}", 2};
    vsi_json_out out = {.data = buf->data + now, .room = room};
    st = vsi_patch_merge(err, buf->mem, target, patch, &out);
    if (st == VS_OK)
        st = metadata_check_size(err, out.bytes);
    *io_metadata = (vsi_bytes){buf->data + now, out.bytes};
    return st;
}

/* The metadata that the record will have. */
static vs_status update_metadata(vsi_err *err, vs_collection *collection, const vsi_coll *coll,
                                 uint32_t slot, const update_call *call, vsi_bytes *io_metadata) {
    if (call->what & VS_UPDATE_PATCH)
        return update_patch(err, collection, coll, slot, io_metadata);
    if (call->what & VS_UPDATE_METADATA)
        return metadata_prepare(err, collection, io_metadata);
    collection->json.bytes = 0;
    vs_status st = vsi_coll_read_metadata(err, coll, slot, &collection->json);
    *io_metadata = (vsi_bytes){collection->json.data, collection->json.bytes};
    return st;
}

/* The vectors that stay as they are. They lie in their slots as long as the statement does. */
static vs_status update_keep_vectors(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                     record_input *in) {
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++) {
        const uint8_t *row = NULL;
        bool has = false;
        if (in->is_named[i])
            continue;
        st = vsi_coll_has(err, coll, i, slot, &has);
        if (st == VS_OK && has)
            st = vsi_coll_row(err, coll, i, slot, &row);
        in->vector[i] = (vs_vector){row, coll->desc->field[i].type, i};
    }
    return st;
}

static vs_status update_stage_vectors(vsi_err *err, vsi_write *write, vs_collection *collection,
                                      const vsi_coll *coll, record_input *in, vsi_op *op) {
    op->kind = VSI_OP_PUT;
    op->old_slot = op->slot;
    vs_status st = update_keep_vectors(err, coll, op->old_slot, in);
    if (st == VS_OK)
        st = put_prepare(err, coll->desc, collection);
    if (st == VS_OK)
        st = put_convert(err, coll->desc, in, collection->scratch.data, op);
    return st == VS_OK ? put_apply(err, write, coll, op) : st;
}

static vs_status update_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                              void *ctx) {
    const update_call *call = ctx;
    record_input in;
    vsi_coll coll;
    vs_status st = put_coll(err, write, collection, &coll);
    if (st == VS_OK)
        st = input_of_record(err, &coll, call->record, &in);
    vsi_op op = {.kind = VSI_OP_METADATA, .coll = collection->id};
    if (st == VS_OK)
        st = vsi_record_find(err, collection, &coll, in.key, &op.slot);
    if (st == VS_OK)
        st = put_check_version(err, &coll, op.slot, &in);
    if (st != VS_OK)
        return st;
    op.key = in.key;
    op.metadata = in.metadata;
    st = update_metadata(err, collection, &coll, op.slot, call, &op.metadata);
    if (st == VS_OK && call->what & VS_UPDATE_VECTORS)
        return update_stage_vectors(err, write, collection, &coll, &in, &op);
    return st == VS_OK ? put_apply(err, write, &coll, &op) : st;
}

static vs_status update_check(vsi_err *err, uint32_t what) {
    const uint32_t known = VS_UPDATE_VECTORS | VS_UPDATE_METADATA | VS_UPDATE_PATCH;
    const uint32_t both = VS_UPDATE_METADATA | VS_UPDATE_PATCH;
    if (what && !(what & ~known) && (what & both) != both)
        return VS_OK;
    return vsi_fail(err, VS_ERR_MISUSE,
                    "what is 0x%lx, expected VS_UPDATE_VECTORS, VS_UPDATE_METADATA, "
                    "VS_UPDATE_PATCH, or the first and one of the others",
                    (unsigned long)what);
}

static vs_status record_update(vs_collection *collection, vs_txn *txn, const vs_record *record,
                               uint32_t what) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, record, "record") != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_record all = VS_RECORD_INIT;
    vs_status st = update_check(&err, what);
    if (st == VS_OK)
        st = vsi_struct_read(&err, "vs_record", record, &all, sizeof all);
    if (st != VS_OK)
        return vsi_handle_end(&collection->head, st, &err);
    return vsi_collection_change(collection, txn, update_stage, &(update_call){&all, what});
}

vs_status vs_update(vs_collection *collection, vs_txn *txn, const vs_record *record,
                    uint32_t what) {
    const vsi_trace trace = vsi_trace_begin(collection, "vs_update");
    return vsi_trace_end(&trace, record_update(collection, txn, record, what), 1);
}

vs_status vs_set_metadata(vs_collection *collection, vs_txn *txn, vs_key key, const char *metadata,
                          size_t metadata_bytes) {
    vs_record record = VS_RECORD_INIT;
    record.key = key;
    record.metadata = metadata;
    record.metadata_bytes = metadata_bytes;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_set_metadata");
    vs_status st = record_update(collection, txn, &record, VS_UPDATE_METADATA);
    return vsi_trace_end(&trace, st, 1);
}

/* ---- reading -------------------------------------------------------------------------------- */

enum { RECORD_ALIGN = 16 }; /* of each vector of a record that is read */

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

static vs_status record_read_vector(vsi_err *err, const vsi_coll *coll, uint32_t at, uint32_t slot,
                                    vsi_record_bufs *bufs) {
    const vsi_field *field = &coll->desc->field[at];
    const uint8_t *row = NULL;
    bool has = false;
    vs_status st = vsi_coll_has(err, coll, at, slot, &has);
    if (st != VS_OK || !has)
        return st;
    st = vsi_coll_row(err, coll, at, slot, &row);
    if (st != VS_OK)
        return st;
    uint8_t *to = bufs->vector.data + bufs->vector.bytes;
    memcpy(to, row, field->vector_bytes);
    bufs->vector.bytes += (field->vector_bytes + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
    bufs->list[bufs->list_count++] = (vs_vector){to, field->type, at};
    return VS_OK;
}

/* All vectors that it has. */
static vs_status record_read_vectors(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                     vsi_record_bufs *bufs) {
    size_t bytes = 0;
    vs_status st = VS_OK;
    for (uint32_t i = 0; i < coll->desc->field_count; i++)
        bytes += coll->desc->field[i].vector_bytes + RECORD_ALIGN;
    bufs->list_count = 0;
    bufs->vector.bytes = 0;
    if (!vsi_buf_reserve(&bufs->vector, bytes))
        return vsi_fail_nomem(err, bytes);
    for (uint32_t i = 0; st == VS_OK && i < coll->desc->field_count; i++)
        st = record_read_vector(err, coll, i, slot, bufs);
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
    uint64_t version = 0, payload_bytes = 0;
    vs_status st = vsi_struct_check(err, "vs_record", out_record);
    if (st == VS_OK)
        st = record_read_key(err, coll, slot, &bufs->key, &key);
    if (st == VS_OK)
        st = record_read_vectors(err, coll, slot, bufs);
    if (st == VS_OK)
        st = record_read_metadata(err, coll, slot, &bufs->metadata);
    if (st == VS_OK)
        st = vsi_coll_version(err, coll, slot, &version, &payload_bytes);
    if (st != VS_OK)
        return st;
    size_t metadata_bytes = bufs->metadata.bytes - 1;
    size_t firsts = bufs->list_count && bufs->list[0].field == 0; /* 1 or 0 */
    vs_record record = {.size = out_record->size,
                        .vector_type = coll->desc->field[0].type,
                        .key = key,
                        .vector = firsts ? bufs->list[0].data : NULL,
                        .metadata = metadata_bytes ? (const char *)bufs->metadata.data : NULL,
                        .metadata_bytes = metadata_bytes,
                        .vectors = bufs->list + firsts,
                        .vector_count = bufs->list_count - firsts,
                        .version = version,
                        .payload_bytes = payload_bytes};
    vsi_struct_write(&record, sizeof record, out_record);
    return VS_OK;
}

vs_status vs_get(vs_collection *collection, vs_txn *txn, vs_key key, vs_record *out_record) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_get");
    vsi_err err = {0};
    vsi_reading r;
    uint32_t slot = 0;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_record_find(&err, collection, &r.coll, key, &slot);
    if (st == VS_OK && out_record)
        st = vsi_record_read(&err, &r.coll, slot, &collection->record, out_record);
    return vsi_trace_end(&trace, vsi_reading_close(&r, st, &err), 1);
}

/* A call of vs_get_vectors. */
typedef struct vectors_call {
    vsi_reading r;
    uint32_t field;
    const vs_key *keys;
    size_t count, stride;
    vsi_slab_aside aside;
    vsi_watch watch;
} vectors_call;

/* VS_ERR_NOT_FOUND without a message when there is none. */
static vs_status vector_copy(vsi_err *err, vectors_call *call, vs_key key, uint8_t *out) {
    const vsi_coll *coll = &call->r.coll;
    uint32_t slot = 0;
    const uint8_t *row = NULL;
    bool has = false;
    vs_status st = vsi_key_check(err, key);
    if (st == VS_OK)
        st = vsi_coll_find(err, coll, key, &slot);
    if (st == VS_OK)
        st = vsi_coll_has(err, coll, call->field, slot, &has);
    if (st == VS_OK && !has)
        return VS_ERR_NOT_FOUND;
    vsi_field *field = &coll->desc->field[call->field];
    if (st == VS_OK)
        st = vsi_slab_row_aside(err, &field->rows, slot, &call->aside, &row);
    if (st == VS_OK)
        memcpy(out, row, field->vector_bytes);
    return st;
}

VSI_FN vs_status vsi_record_no_vector(vsi_err *err, const vsi_coll *coll, uint32_t field,
                                      vs_key key) {
    char text[VSI_KEY_TEXT_BYTES];
    return vsi_fail(err, VS_ERR_NOT_FOUND, "there is no vector of field '%s' under key %s",
                    coll->desc->field[field].name, vsi_key_text(text, key));
}

static vs_status vectors_missing(vsi_err *err, const vectors_call *call, vs_key key) {
    uint32_t slot = 0;
    vs_status st = vsi_coll_find(err, &call->r.coll, key, &slot);
    return st == VS_OK ? vsi_record_no_vector(err, &call->r.coll, call->field, key)
                       : record_missing(err, call->r.collection, key);
}

/* Holds no more memory for many keys than for one. */
static vs_status vectors_read(vsi_err *err, vectors_call *call, uint8_t *out, vs_status *statuses) {
    vs_status st = VS_OK;
    for (size_t i = 0; st == VS_OK && i < call->count; i++) {
        st = vector_copy(err, call, call->keys[i], out + i * call->stride);
        if (statuses && (st == VS_OK || st == VS_ERR_NOT_FOUND)) {
            statuses[i] = st;
            st = VS_OK;
        } else if (st == VS_ERR_NOT_FOUND) {
            st = vectors_missing(err, call, call->keys[i]);
        }
        if (st == VS_OK)
            st = vsi_watch_step(err, &call->watch, 1);
        vsi_engine *engine = call->r.db->engine;
        if (vsi_budget_breathe(&engine->pager, &engine->descs, &call->r.view.stay))
            vsi_slab_aside_renew(&call->aside);
    }
    return st;
}

static vs_status vectors_prepare(vsi_err *err, vectors_call *call, uint32_t field, size_t stride) {
    vs_status st = vsi_record_check_field(err, &call->r.coll, field);
    if (st != VS_OK)
        return st;
    size_t bytes = call->r.coll.desc->field[field].vector_bytes;
    call->field = field;
    call->stride = stride ? stride : bytes;
    if (call->stride < bytes)
        return vsi_fail(err, VS_ERR_INVALID, "stride is %zu bytes, a vector has %zu", stride,
                        bytes);
    return VS_OK;
}

vs_status vs_get_vectors(vs_collection *collection, vs_txn *txn, uint32_t field, const vs_key *keys,
                         size_t count, void *vectors, size_t stride_bytes, vs_status *statuses) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, !count || (keys && vectors),
                              "keys or vectors") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_get_vectors");
    vsi_err err = {0};
    vectors_call call = {.keys = keys,
                         .count = count,
                         .aside = {.buf = {.mem = &collection->head.db->mem}},
                         .watch = vsi_watch_begin(&collection->head.db->watcher)};
    vsi_watch_limit(&call.watch, 0);
    vsi_watch_count(&call.watch, "vectors read", count);
    vs_status st = vsi_reading_open(&err, collection, txn, &call.r);
    if (st == VS_OK)
        st = vectors_prepare(&err, &call, field, stride_bytes);
    if (st == VS_OK)
        st = vectors_read(&err, &call, vectors, statuses);
    vsi_buf_free(&call.aside.buf);
    return vsi_trace_end(&trace, vsi_reading_close(&call.r, st, &err), count);
}

vs_status vs_count(vs_collection *collection, vs_txn *txn, uint64_t *out_count) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, out_count, "out_count") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_count");
    vsi_err err = {0};
    vsi_reading r;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        *out_count = r.coll.count;
    return vsi_trace_end(&trace, vsi_reading_close(&r, st, &err), 0);
}
