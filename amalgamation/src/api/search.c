/* search.c - search of the public interface. */
#include "api/record.h"
#include "query/exact.h"

/* The query in the collection's type and the machine's byte order, in the handle's buffer. */
static vs_status search_prepare(vsi_err *err, vs_collection *collection, const vsi_desc *desc,
                                const void *query, int query_type) {
    size_t bytes = desc->vector_bytes;
    collection->scratch.bytes = 0;
    if (!vsi_buf_reserve(&collection->scratch, 2 * bytes))
        return vsi_fail_nomem(err, 2 * bytes);
    const uint8_t *converted = NULL;
    uint8_t *scratch = collection->scratch.data + bytes;
    vs_status st = vsi_record_vector(err, desc, query, query_type, scratch, &converted);
    if (st != VS_OK)
        return vsi_fail_in(err, "query");
    vsi_copy_le(collection->scratch.data, converted, bytes / desc->element_bytes,
                desc->element_bytes);
    return VS_OK;
}

vs_status vs_search(vs_collection *collection, vs_txn *txn, const void *query, int query_type,
                    size_t k, vs_hit *hits, size_t *out_count) {
    if (vsi_handle_check(collection, VSI_TAG_COLLECTION) != VS_OK || !query || !hits || !out_count)
        return VS_ERR_MISUSE;
    vs_db *db = collection->head.db;
    vsi_err err = {0};
    vs_status st = vsi_handle_check_txn(&err, db, txn, false);
    if (st == VS_OK && k < 1)
        st = vsi_fail(&err, VS_ERR_INVALID, "k is 0, expected 1 or more");
    if (st != VS_OK)
        return vsi_handle_end(&collection->head, st, &err);
    vsi_view view = vsi_view_open(db, txn);
    vsi_coll coll;
    st = vsi_view_coll(&err, view, collection, &coll);
    if (st == VS_OK)
        st = search_prepare(&err, collection, coll.desc, query, query_type);
    if (st == VS_OK) {
        vsi_topk topk = {.hits = hits, .k = k};
        st = vsi_exact_scan(&err, db->kernels, &coll, collection->scratch.data, &view.stay, &topk);
        if (st == VS_OK) {
            vsi_topk_sort(&topk);
            *out_count = topk.count;
        }
    }
    vsi_view_close(db, view);
    return vsi_handle_end(&collection->head, st, &err);
}
