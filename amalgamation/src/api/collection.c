/* collection.c - creating, opening and describing collections. */
#include "api/record.h"

static vs_status name_validate(vsi_err *err, const char *name) {
    if (!name || !*name)
        return vsi_fail(err, VS_ERR_INVALID, "a collection needs a name");
    size_t n = strlen(name);
    if (n > VS_NAME_BYTES_MAX)
        return vsi_fail(err, VS_ERR_INVALID, "collection name: %zu bytes, the limit is %u", n,
                        VS_NAME_BYTES_MAX);
    if (!vsi_utf8_is_valid((const uint8_t *)name, n))
        return vsi_fail(err, VS_ERR_INVALID, "collection name: not well-formed UTF-8");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return vsi_fail(err, VS_ERR_INVALID, "collection name: control character at byte %zu",
                            i);
    return VS_OK;
}

static vs_status options_read(vsi_err *err, const vs_collection_options *given,
                              vs_collection_options *out) {
    const vs_collection_options defaults = VS_COLLECTION_OPTIONS_INIT;
    *out = defaults;
    if (!given)
        return vsi_fail(err, VS_ERR_MISUSE, "a collection needs options: there is no default dim");
    vs_status st = vsi_struct_read(err, "vs_collection_options", given, out, sizeof *out);
    if (st != VS_OK)
        return st;
    out->type = out->type ? out->type : VS_F32;
    if (!out->metric)
        out->metric = out->type == VS_BIT ? VS_HAMMING : VS_L2;
    out->index = out->index ? out->index : "auto";
    if (out->dim < 1 || out->dim > VS_DIM_MAX)
        return vsi_fail(err, VS_ERR_INVALID, "dim is %lu, expected 1 to %u",
                        (unsigned long)out->dim, VS_DIM_MAX);
    if (!vsi_type_bytes(out->type))
        return vsi_fail(err, VS_ERR_INVALID, "type is %d, expected VS_F32 ... VS_BIT", out->type);
    if (out->metric < VS_L2 || out->metric > VS_JACCARD)
        return vsi_fail(err, VS_ERR_INVALID, "metric is %d, expected VS_L2 ... VS_JACCARD",
                        out->metric);
    if (!vsi_metric_fits(out->metric, out->type))
        return vsi_fail(err, VS_ERR_INVALID, "metric is %s, which is not one for vectors of %s: %s",
                        vsi_metric_name(out->metric), vsi_type_name(out->type),
                        out->type == VS_BIT ? "hamming or jaccard" : "l2, ip, cosine or l1");
    if (strcmp(out->index, "auto") && strcmp(out->index, "flat"))
        return vsi_fail(err, VS_ERR_INVALID, "index is '%.*s', expected 'auto' or 'flat'", 64,
                        out->index);
    return VS_OK;
}

static vs_collection *collection_new(vs_db *db, uint32_t id, const char *name) {
    vs_collection *collection = vsi_alloc_zeroed(&db->mem, sizeof *collection);
    if (!collection)
        return NULL;
    collection->id = id;
    snprintf(collection->name, sizeof collection->name, "%s", name);
    vsi_record_bufs_init(&collection->record, &db->mem);
    collection->keys.mem = &db->mem;
    collection->scratch.mem = &db->mem;
    vsi_handle_open(&collection->head, VSI_TAG_COLLECTION, db, &db->collections);
    return collection;
}

static vs_status create_stage(vsi_err *err, vsi_write *write, const char *name,
                              const vs_collection_options *options, uint32_t *out_id) {
    const vs_vfs *vfs = write->engine->config.vfs;
    vsi_bytes name_bytes = {(const uint8_t *)name, strlen(name)};
    vsi_coll other;
    vs_status st = vsi_state_coll_named(err, &write->state, name_bytes, &other);
    if (st == VS_OK)
        return vsi_fail(err, VS_ERR_EXISTS, "collection '%s' exists", name);
    if (st == VS_ERR_NOT_FOUND)
        st = vsi_write_take_coll(err, write, out_id);
    if (st != VS_OK)
        return st;
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .coll = *out_id,
                 .dim = options->dim,
                 .type = (uint32_t)options->type,
                 .metric = (uint32_t)options->metric,
                 .time_us = vfs->wall_us(vfs->ctx),
                 .name = name_bytes,
                 .index = {(const uint8_t *)options->index, strlen(options->index)}};
    return vsi_statement_apply(err, write, &op);
}

vs_status vs_collection_create(vs_db *db, vs_txn *txn, const char *name,
                               const vs_collection_options *options,
                               vs_collection **out_collection) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_collection_options all;
    vsi_change change;
    uint32_t id = 0;
    vs_status st = vsi_handle_check_txn(&err, db, txn, true);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    st = name_validate(&err, name);
    if (st == VS_OK)
        st = options_read(&err, options, &all);
    vs_collection *collection = NULL;
    if (st == VS_OK && out_collection) {
        collection = collection_new(db, 0, name);
        st = collection ? VS_OK : vsi_fail_nomem(&err, sizeof *collection);
    }
    if (st == VS_OK)
        st = vsi_change_begin(&err, db, txn, &change);
    if (st == VS_OK) {
        st = create_stage(&err, change.write, name, &all, &id);
        st = vsi_change_end(&err, &change, st);
    }
    if (st != VS_OK) {
        vs_collection_close(collection);
        return vsi_handle_end(vsi_handle_of(db, txn), st, &err);
    }
    if (collection) {
        collection->id = id;
        *out_collection = collection;
    }
    return VS_OK;
}

vs_status vs_collection_open(vs_db *db, vs_txn *txn, const char *name,
                             vs_collection **out_collection) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK || !name || !out_collection)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st != VS_OK)
        return vsi_handle_end(&db->head, st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_coll coll;
    vsi_bytes name_bytes = {(const uint8_t *)name, strlen(name)};
    st = vsi_state_coll_named(&err, view.state, name_bytes, &coll);
    vsi_view_close(db, view);
    vs_collection *collection = st == VS_OK ? collection_new(db, coll.desc->id, name) : NULL;
    if (st == VS_ERR_NOT_FOUND)
        st = vsi_fail(&err, st, "there is no collection '%.*s'", (int)VS_NAME_BYTES_MAX, name);
    else if (st == VS_OK && !collection)
        st = vsi_fail_nomem(&err, sizeof *collection);
    else if (st == VS_OK)
        *out_collection = collection;
    return vsi_handle_end(vsi_handle_of(db, txn), st, &err);
}

void vs_collection_close(vs_collection *collection) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK)
        return; /* in a forked child another thread's lock may be held for ever */
    vs_db *db = collection->head.db;
    vsi_record_bufs_free(&collection->record);
    vsi_buf_free(&collection->keys);
    vsi_buf_free(&collection->scratch);
    vsi_handle_close(&collection->head, &db->collections);
    vsi_free(&db->mem, collection, sizeof *collection);
}

static void info_fill(const vsi_coll *coll, vs_collection_info *out_info) {
    const vsi_desc *desc = coll->desc;
    vs_collection_info info = {.size = out_info->size,
                               .id = desc->id,
                               .dim = desc->dim,
                               .type = desc->type,
                               .metric = desc->metric,
                               .count = coll->count,
                               .created_us = desc->created_us};
    memcpy(info.name, desc->name, sizeof info.name);
    memcpy(info.index, desc->index, sizeof info.index);
    vsi_struct_write(&info, sizeof info, out_info);
}

vs_status vs_collection_info_get(vs_collection *collection, vs_txn *txn,
                                 vs_collection_info *out_info) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !out_info)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vsi_reading r;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_collection_info", out_info);
    if (st == VS_OK)
        info_fill(&r.coll, out_info);
    return vsi_reading_close(&r, st, &err);
}

vs_status vs_collection_at(vs_db *db, vs_txn *txn, size_t at, vs_collection_info *out_info) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK || !out_info)
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
        st = vsi_state_coll_from(&err, view.state, coll.desc->id + 1, &coll);
    if (st == VS_OK)
        info_fill(&coll, out_info);
    vsi_view_close(db, view);
    return st == VS_ERR_NOT_FOUND ? VS_DONE : vsi_handle_end(&db->head, st, &err);
}
