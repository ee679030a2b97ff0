/* measure.c - what a collection is made of. */
#include "api/handle.h"
#include "store/visit.h"

/* Bytes that a tree takes in the file, or will. */
typedef struct measure_sum {
    uint64_t nodes, slabs, values;
} measure_sum;

static vs_status measure_ref(void *ctx, vsi_err *err, vsi_ref ref) {
    measure_sum *sum = ctx;
    (void)err;
    uint64_t pages =
        ref.is_block ? ((const vsi_block *)vsi_ref_block(ref))->pages : vsi_ref_pages(ref);
    uint64_t *bytes = ref.kind == VSI_REF_NODE   ? &sum->nodes
                      : ref.kind == VSI_REF_SLAB ? &sum->slabs
                                                 : &sum->values;
    *bytes += pages * VSI_PAGE_BYTES;
    return VS_OK;
}

static vs_status measure_tree(vsi_err *err, const vsi_btree *tree, uint64_t *out_bytes) {
    measure_sum sum = {.nodes = 0};
    vs_status st = vsi_visit(err, tree, measure_ref, &sum);
    *out_bytes += sum.nodes + sum.values;
    return st;
}

static vs_status measure_slabs(vsi_err *err, const vsi_coll *coll, vs_collection_stats *stats) {
    measure_sum sum = {.nodes = 0};
    vs_status st = vsi_visit(err, &coll->slabs, measure_ref, &sum);
    stats->bitmap_bytes += sum.nodes;
    stats->vector_bytes = sum.slabs;
    return st;
}

static vs_status measure_coll(vsi_err *err, const vsi_coll *coll, vs_collection_stats *stats) {
    stats->records = coll->count;
    stats->dead_slots = coll->slot_end - coll->count;
    vs_status st = measure_tree(err, &coll->keys, &stats->key_bytes);
    if (st == VS_OK)
        st = measure_tree(err, &coll->long_keys, &stats->key_bytes);
    if (st == VS_OK)
        st = measure_tree(err, &coll->metadata, &stats->metadata_bytes);
    if (st == VS_OK)
        st = measure_tree(err, &coll->payloads, &stats->payload_bytes);
    if (st == VS_OK)
        st = measure_tree(err, &coll->live, &stats->bitmap_bytes);
    if (st == VS_OK)
        st = measure_slabs(err, coll, stats);
    stats->total_bytes = stats->key_bytes + stats->metadata_bytes + stats->payload_bytes +
                         stats->vector_bytes + stats->bitmap_bytes;
    return st;
}

vs_status vs_collection_stats_get(vs_collection *collection, vs_txn *txn,
                                  vs_collection_stats *out_stats) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, out_stats, "out_stats") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_collection_stats_get");
    vsi_err err = {0};
    vsi_reading r;
    vs_collection_stats stats = VS_COLLECTION_STATS_INIT;
    vs_status st = vsi_reading_open(&err, collection, txn, &r);
    if (st == VS_OK)
        st = vsi_struct_check(&err, "vs_collection_stats", out_stats);
    if (st == VS_OK)
        st = measure_coll(&err, &r.coll, &stats);
    if (st == VS_OK) {
        stats.size = out_stats->size;
        vsi_struct_write(&stats, sizeof stats, out_stats);
    }
    return vsi_trace_end(&trace, vsi_reading_close(&r, st, &err), 0);
}
