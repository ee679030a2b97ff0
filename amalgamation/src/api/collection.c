/* collection.c - creating, opening and describing collections. */
#include "api/collection.h"
#include "api/record.h"

static vs_status text_validate(vsi_err *err, const char *what, const char *text, size_t most) {
    size_t n = strlen(text);
    if (!n)
        return vsi_fail(err, VS_ERR_INVALID, "%s: empty", what);
    if (n > most)
        return vsi_fail(err, VS_ERR_INVALID, "%s: %zu bytes, the limit is %zu", what, n, most);
    if (!vsi_utf8_is_valid((const uint8_t *)text, n))
        return vsi_fail(err, VS_ERR_INVALID, "%s: not well-formed UTF-8", what);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return vsi_fail(err, VS_ERR_INVALID, "%s: control character at byte %zu", what, i);
    return VS_OK;
}

static vs_status name_validate(vsi_err *err, const char *name) {
    if (!name)
        return vsi_fail(err, VS_ERR_MISUSE, "the collection's name is NULL");
    if (!*name)
        return vsi_fail(err, VS_ERR_INVALID, "a collection needs a name");
    return text_validate(err, "collection name", name, VS_NAME_BYTES_MAX);
}

/* ---- vector fields -------------------------------------------------------------------------- */

/* The fields of a collection to be created, with all defaults. */
typedef struct field_list {
    uint64_t max_records, max_bytes;
    uint32_t count;
    vs_field field[VS_FIELDS_MAX];
} field_list;

static vs_status field_validate_metric(vsi_err *err, const vs_field *field) {
    if (!vsi_type_bytes(field->type))
        return vsi_fail(err, VS_ERR_INVALID, "type is %d, expected VS_F32 ... VS_BIT", field->type);
    if (field->metric < VS_L2 || field->metric > VS_JACCARD)
        return vsi_fail(err, VS_ERR_INVALID, "metric is %d, expected VS_L2 ... VS_JACCARD",
                        field->metric);
    if (!vsi_metric_fits(field->metric, field->type))
        return vsi_fail(err, VS_ERR_INVALID, "metric is %s, which is not one for vectors of %s: %s",
                        vsi_metric_name(field->metric), vsi_type_name(field->type),
                        field->type == VS_BIT ? "hamming or jaccard" : "l2, ip, cosine or l1");
    return VS_OK;
}

static vs_status field_validate(vsi_err *err, const vs_field *field) {
    if (field->dim < 1 || field->dim > VS_DIM_MAX)
        return vsi_fail(err, VS_ERR_INVALID, "dim is %lu, expected 1 to %u",
                        (unsigned long)field->dim, VS_DIM_MAX);
    if (field->flags & ~(uint32_t)VS_FIELD_OPTIONAL)
        return vsi_fail(err, VS_ERR_UNSUPPORTED, "flags are 0x%lx, of which this version knows 0x1",
                        (unsigned long)field->flags);
    vsi_spec spec;
    vs_status st = text_validate(err, "name", field->name, VS_FIELD_BYTES_MAX);
    if (st == VS_OK)
        st = field_validate_metric(err, field);
    return st == VS_OK ? vsi_spec_read(err, field->index, field->type, field->metric, &spec) : st;
}

/* Fills in what the caller left open. */
static vs_status field_resolve(vsi_err *err, vs_field *field) {
    field->type = field->type ? field->type : VS_F32;
    if (!field->metric)
        field->metric = field->type == VS_BIT ? VS_HAMMING : VS_L2;
    field->name = field->name ? field->name : "vector";
    field->index = field->index ? field->index : "auto";
    return field_validate(err, field);
}

/* Field number i of the caller's; they are of the size that the first one says. */
static vs_status fields_take(vsi_err *err, const vs_collection_options *options, uint32_t i,
                             field_list *out) {
    const vs_field defaults = VS_FIELD_INIT;
    const uint8_t *given = (const uint8_t *)options->fields + (size_t)i * options->fields->size;
    out->field[i] = defaults;
    vs_status st = vsi_struct_read(err, "vs_field", given, &out->field[i], sizeof defaults);
    if (st == VS_OK)
        st = field_resolve(err, &out->field[i]);
    for (uint32_t k = 0; st == VS_OK && k < i; k++)
        if (!strcmp(out->field[k].name, out->field[i].name))
            st = vsi_fail(err, VS_ERR_INVALID, "field %lu has the name '%s' as well",
                          (unsigned long)k, out->field[i].name);
    return st == VS_OK ? VS_OK : vsi_fail_in(err, "field %lu", (unsigned long)i);
}

static vs_status options_read(vsi_err *err, const vs_collection_options *given, field_list *out) {
    vs_collection_options all = VS_COLLECTION_OPTIONS_INIT;
    if (!given)
        return vsi_fail(err, VS_ERR_MISUSE, "a collection needs options: there is no default dim");
    vs_status st = vsi_struct_read(err, "vs_collection_options", given, &all, sizeof all);
    if (st != VS_OK)
        return st;
    out->max_records = all.max_records;
    out->max_bytes = all.max_bytes;
    if (!all.fields && !all.field_count) {
        out->count = 1;
        out->field[0] = (vs_field){.size = sizeof(vs_field),
                                   .dim = all.dim,
                                   .type = all.type,
                                   .metric = all.metric,
                                   .index = all.index};
        return field_resolve(err, &out->field[0]);
    }
    if (!all.fields || all.dim || all.type || all.metric || all.index)
        return vsi_fail(err, VS_ERR_MISUSE,
                        "a collection has either dim, type, metric and index, "
                        "or fields with their number");
    if (all.field_count < 1 || all.field_count > VS_FIELDS_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "%zu vector fields, expected 1 to %u", all.field_count,
                        VS_FIELDS_MAX);
    out->count = (uint32_t)all.field_count;
    for (uint32_t i = 0; st == VS_OK && i < out->count; i++)
        st = fields_take(err, &all, i, out);
    return st;
}

/* ---- collections ---------------------------------------------------------------------------- */

VSI_FN vs_collection *vsi_collection_new(vs_db *db, uint32_t id, const char *name) {
    vs_collection *collection = vsi_alloc_zeroed(&db->mem, sizeof *collection);
    if (!collection)
        return NULL;
    collection->id = id;
    snprintf(collection->name, sizeof collection->name, "%s", name);
    vsi_record_bufs_init(&collection->record, &db->mem);
    collection->slots.mem = &db->mem;
    collection->many.mem = &db->mem;
    collection->keys.mem = &db->mem;
    collection->scratch.mem = &db->mem;
    collection->json.mem = &db->mem;
    vsi_handle_open(&collection->head, VSI_TAG_COLLECTION, db, &db->collections);
    return collection;
}

/* VS_ERR_EXISTS when a name is in use. */
static vs_status name_check_new(vsi_err *err, const vsi_write *write, const char *name) {
    uint32_t id = 0;
    bool is_alias = false;
    vsi_bytes bytes = {(const uint8_t *)name, strlen(name)};
    vs_status st = vsi_state_name(err, &write->state, bytes, &id, &is_alias);
    if (st == VS_OK)
        return vsi_fail(err, VS_ERR_EXISTS, "%s '%s' exists", is_alias ? "alias" : "collection",
                        name);
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

VSI_FN vs_status vsi_collection_check_new(vsi_err *err, const vsi_write *write, const char *name) {
    vs_status st = name_validate(err, name);
    return st == VS_OK ? name_check_new(err, write, name) : st;
}

static vs_status limits_stage(vsi_err *err, vsi_write *write, uint32_t id, uint64_t max_records,
                              uint64_t max_bytes) {
    vsi_coll coll;
    vsi_op op = {
        .kind = VSI_OP_LIMITS, .coll = id, .max_records = max_records, .max_bytes = max_bytes};
    vs_status st = vsi_state_coll(err, &write->state, id, &coll);
    if (st == VS_OK && coll.max_records == max_records && coll.max_bytes == max_bytes)
        return VS_OK;
    return st == VS_OK ? vsi_statement_apply(err, write, &op) : st;
}

static vs_status create_stage(vsi_err *err, vsi_write *write, const char *name,
                              const field_list *fields, uint32_t *out_id) {
    vsi_bytes name_bytes = {(const uint8_t *)name, strlen(name)};
    vs_status st = name_check_new(err, write, name);
    if (st == VS_OK)
        st = vsi_write_take_coll(err, write, out_id);
    if (st != VS_OK)
        return st;
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .coll = *out_id,
                 .time_us = write->time_us,
                 .name = name_bytes,
                 .field_count = fields->count};
    for (uint32_t i = 0; i < fields->count; i++) {
        const vs_field *field = &fields->field[i];
        op.field[i] =
            (vsi_op_field){.dim = field->dim,
                           .type = (uint32_t)field->type,
                           .metric = (uint32_t)field->metric,
                           .is_optional = field->flags & VS_FIELD_OPTIONAL,
                           .name = {(const uint8_t *)field->name, strlen(field->name)},
                           .index = {(const uint8_t *)field->index, strlen(field->index)}};
    }
    st = vsi_statement_apply(err, write, &op);
    return st == VS_OK ? limits_stage(err, write, *out_id, fields->max_records, fields->max_bytes)
                       : st;
}

vs_status vs_collection_create(vs_db *db, vs_txn *txn, const char *name,
                               const vs_collection_options *options,
                               vs_collection **out_collection) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_collection_create");
    vsi_err err = {0};
    field_list fields;
    vsi_change change;
    uint32_t id = 0;
    vs_status st = vsi_handle_check_txn(&err, db, txn, true);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    st = name_validate(&err, name);
    if (st == VS_OK)
        st = options_read(&err, options, &fields);
    vs_collection *collection = NULL;
    if (st == VS_OK && out_collection) {
        collection = vsi_collection_new(db, 0, name);
        st = collection ? VS_OK : vsi_fail_nomem(&err, sizeof *collection);
    }
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        st = create_stage(&err, change.write, name, &fields, &id);
        st = vsi_change_end(&err, &change, st);
    }
    if (st != VS_OK) {
        vs_collection_close(collection);
    } else if (collection) {
        collection->id = id;
        *out_collection = collection;
    }
    return vsi_trace_end(&trace, vsi_handle_end(vsi_handle_of(db, txn), st, &err), 0);
}

vs_status vs_collection_open(vs_db *db, vs_txn *txn, const char *name,
                             vs_collection **out_collection) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, name && out_collection, "name or out_collection") !=
        VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_collection_open");
    vsi_err err = {0};
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_coll coll;
    vsi_bytes name_bytes = {(const uint8_t *)name, strlen(name)};
    st = vsi_state_coll_named(&err, view.state, name_bytes, &coll);
    vsi_view_close(db, view);
    vs_collection *collection = st == VS_OK ? vsi_collection_new(db, coll.desc->id, name) : NULL;
    if (st == VS_ERR_NOT_FOUND)
        st = vsi_fail(&err, st, "there is no collection '%.*s'", (int)VS_NAME_BYTES_MAX, name);
    else if (st == VS_OK && !collection)
        st = vsi_fail_nomem(&err, sizeof *collection);
    else if (st == VS_OK)
        *out_collection = collection;
    return vsi_trace_end(&trace, vsi_handle_end(vsi_handle_of(db, txn), st, &err), 0);
}

void vs_collection_close(vs_collection *collection) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return; /* in a forked child another thread's lock may be held for ever */
    vs_db *db = collection->head.db;
    vsi_record_bufs_free(&collection->record);
    vsi_record_batch_trim(collection, 0);
    vsi_buf_free(&collection->many);
    vsi_buf_free(&collection->slots);
    vsi_buf_free(&collection->keys);
    vsi_buf_free(&collection->scratch);
    vsi_buf_free(&collection->json);
    vsi_handle_close(&collection->head, &db->collections);
    vsi_free(&db->mem, collection, sizeof *collection);
}

static vs_status info_fill(vsi_err *err, const vsi_state *state, const vsi_coll *coll,
                           vs_collection_info *out_info) {
    const vsi_desc *desc = coll->desc;
    const vsi_field *first = &desc->field[0];
    vs_collection_info info = {.size = out_info->size,
                               .id = desc->id,
                               .dim = first->dim,
                               .type = first->type,
                               .metric = first->metric,
                               .count = coll->count,
                               .created_us = desc->created_us,
                               .fields = desc->field_count,
                               .bytes = coll->bytes,
                               .max_records = coll->max_records,
                               .max_bytes = coll->max_bytes,
                               .changed_us = coll->changed_us};
    vs_status st = vsi_state_coll_name(err, state, desc->id, info.name);
    if (st != VS_OK)
        return st;
    memcpy(info.index, first->index, sizeof info.index);
    vsi_struct_write(&info, sizeof info, out_info);
    return VS_OK;
}

static void field_info_fill(const vsi_field *field, vs_field_info *out_info) {
    vs_field_info info = {.size = out_info->size,
                          .dim = field->dim,
                          .type = field->type,
                          .metric = field->metric,
                          .flags = field->is_optional ? VS_FIELD_OPTIONAL : 0};
    memcpy(info.name, field->name, sizeof info.name);
    memcpy(info.index, field->index, sizeof info.index);
    vsi_struct_write(&info, sizeof info, out_info);
}

vs_status vs_field_at(vs_collection *collection, vs_txn *txn, size_t at, vs_field_info *out_info) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, out_info, "out_info") != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_field_info", out_info);
    if (st == VS_OK && at >= r.coll.desc->field_count)
        st = VS_DONE;
    if (st == VS_OK)
        field_info_fill(&r.coll.desc->field[at], out_info);
    return vsi_reading_close(&r, st, &err);
}

vs_status vs_collection_info_get(vs_collection *collection, vs_txn *txn,
                                 vs_collection_info *out_info) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, out_info, "out_info") != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_collection_info", out_info);
    if (st == VS_OK)
        st = info_fill(&err, r.view.state, &r.coll, out_info);
    return vsi_reading_close(&r, st, &err);
}

vs_status vs_collection_at(vs_db *db, vs_txn *txn, size_t at, vs_collection_info *out_info) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, out_info, "out_info") != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_collection_info", out_info);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_coll coll;
    st = vsi_state_coll_from(&err, view.state, 0, &coll);
    for (size_t i = 0; st == VS_OK && i < at; i++)
        st = coll.desc->id == UINT32_MAX
                 ? VS_ERR_NOT_FOUND
                 : vsi_state_coll_from(&err, view.state, coll.desc->id + 1, &coll);
    if (st == VS_OK)
        st = info_fill(&err, view.state, &coll, out_info);
    vsi_view_close(db, view);
    return st == VS_ERR_NOT_FOUND ? VS_DONE : vsi_handle_end(&db->head, st, &err);
}

/* ---- names and limits ----------------------------------------------------------------------- */

static vs_status rename_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                              void *ctx) {
    const char *name = ctx;
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    vsi_op op = {.kind = VSI_OP_RENAME, .coll = collection->id};
    if (st == VS_OK)
        st = vsi_collection_check_new(err, write, name);
    if (st != VS_OK)
        return st;
    op.name = (vsi_bytes){(const uint8_t *)name, strlen(name)};
    return vsi_statement_apply(err, write, &op);
}

vs_status vs_collection_rename(vs_collection *collection, vs_txn *txn, const char *name) {
    const vsi_trace trace = vsi_trace_begin(collection, "vs_collection_rename");
    vs_status st = vsi_collection_change(collection, txn, rename_stage, (void *)(uintptr_t)name);
    return vsi_trace_end(&trace, st, 0);
}

static vs_status drop_stage(vsi_err *err, vsi_write *write, vs_collection *collection, void *ctx) {
    vsi_coll coll;
    (void)ctx;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    vsi_op op = {.kind = VSI_OP_DROP, .coll = collection->id};
    return st == VS_OK ? vsi_statement_apply(err, write, &op) : st;
}

vs_status vs_collection_drop(vs_collection *collection, vs_txn *txn) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_collection_drop");
    return vsi_trace_end(&trace, vsi_collection_change(collection, txn, drop_stage, NULL), 0);
}

static vs_status set_limits_stage(vsi_err *err, vsi_write *write, vs_collection *collection,
                                  void *ctx) {
    const uint64_t *limits = ctx;
    vsi_coll coll;
    vs_status st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    return st == VS_OK ? limits_stage(err, write, collection->id, limits[0], limits[1]) : st;
}

vs_status vs_collection_set_limits(vs_collection *collection, vs_txn *txn, uint64_t max_records,
                                   uint64_t max_bytes) {
    uint64_t limits[2] = {max_records, max_bytes};
    const vsi_trace trace = vsi_trace_begin(collection, "vs_collection_set_limits");
    vs_status st = vsi_collection_change(collection, txn, set_limits_stage, limits);
    return vsi_trace_end(&trace, st, 0);
}

/* Whether an alias may be put, or can go: the name is no collection's own. */
static vs_status alias_stage(vsi_err *err, vsi_write *write, const char *name,
                             const vs_collection *collection) {
    vsi_bytes bytes = {(const uint8_t *)name, strlen(name)};
    vsi_coll coll;
    uint32_t old = 0;
    bool is_alias = true;
    vs_status st = VS_OK;
    if (collection)
        st = vsi_view_coll(err, (vsi_view){.state = &write->state}, collection, &coll);
    if (st != VS_OK)
        return st;
    st = vsi_state_name(err, &write->state, bytes, &old, &is_alias);
    if (st == VS_OK && !is_alias)
        return vsi_fail(err, VS_ERR_EXISTS, "'%s' is the name of a collection", name);
    if (st == VS_ERR_NOT_FOUND && !collection)
        return vsi_fail(err, st, "there is no alias '%s'", name);
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    vsi_op op = {.kind = VSI_OP_ALIAS, .coll = collection ? collection->id : 0, .name = bytes};
    return vsi_statement_apply(err, write, &op);
}

vs_status vs_alias_set(vs_db *db, vs_txn *txn, const char *name, vs_collection *collection) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_alias_set");
    vsi_err err = {0};
    vsi_change change;
    vs_status st = vsi_handle_check_txn(&err, db, txn, true);
    if (st == VS_OK && collection &&
        (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || collection->head.db != db))
        st = vsi_fail(&err, VS_ERR_MISUSE, "the collection is no open one of this database");
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err); /* txn may be no transaction */
    st = name_validate(&err, name);
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        st = alias_stage(&err, change.write, name, collection);
        st = vsi_change_end(&err, &change, st);
    }
    return vsi_trace_end(&trace, vsi_handle_end(vsi_handle_of(db, txn), st, &err), 0);
}

/* The alias number at, and the collection that it leads to; VS_ERR_NOT_FOUND without a message. */
static vs_status alias_find(vsi_err *err, const vsi_state *state, size_t at, vsi_bytes *out_name,
                            uint32_t *out_id) {
    uint8_t bytes[VS_NAME_BYTES_MAX];
    vsi_bytes from = {bytes, 0};
    for (;;) {
        bool is_alias = false;
        vs_status st = vsi_state_name_after(err, state, from, out_name, out_id, &is_alias);
        if (st != VS_OK)
            return st;
        if (out_name->bytes > VS_NAME_BYTES_MAX)
            return vsi_fail(err, VS_ERR_CORRUPT, "catalog: a name is too long");
        if (is_alias && at-- == 0)
            return VS_OK;
        memcpy(bytes, out_name->data, out_name->bytes);
        from.bytes = out_name->bytes;
    }
}

vs_status vs_alias_at(vs_db *db, vs_txn *txn, size_t at, vs_alias_info *out_info) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, out_info, "out_info") != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_alias_info info = VS_ALIAS_INFO_INIT;
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_alias_info", out_info);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_bytes name = {NULL, 0};
    uint32_t id = 0;
    st = alias_find(&err, view.state, at, &name, &id);
    if (st == VS_OK)
        st = vsi_state_coll_name(&err, view.state, id, info.collection);
    if (st == VS_OK)
        memcpy(info.name, name.data, name.bytes);
    vsi_view_close(db, view);
    if (st == VS_ERR_NOT_FOUND)
        return VS_DONE;
    info.size = out_info->size;
    if (st == VS_OK)
        vsi_struct_write(&info, sizeof info, out_info);
    return vsi_handle_end(&db->head, st, &err);
}
