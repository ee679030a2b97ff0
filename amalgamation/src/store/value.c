/* value.c - values of any size in a B+tree; docs/FORMAT.md has their bytes.
 *
 * An entry's value begins with size and hash. A small value follows; a large one is a blob of its own
 * that the entry refers to. */
#include "store/value.h"

enum { VALUE_HEADER_BYTES = 20 };
_Static_assert(VS_METADATA_BYTES_MAX <= VSI_VALUE_BYTES_MAX, "metadata may be compressed");
_Static_assert(VS_KV_VALUE_BYTES_MAX <= VSI_VALUE_BYTES_MAX, "notes may be compressed");

VSI_FN size_t vsi_blob_pages(size_t stored, uint32_t trailer_bytes) {
    return (size_t)vsi_pages_for(VSI_BLOB_HEADER_BYTES + stored, trailer_bytes);
}

/* A large value in memory. */
typedef struct value_blob {
    vsi_block block;
    uint8_t bytes[];
} value_blob;

/* Whether a value finds room in an entry of this key. */
static bool value_is_small(vsi_bytes key, size_t value_bytes) {
    size_t taken = VSI_NODE_ENTRY_OVERHEAD + key.bytes + VALUE_HEADER_BYTES;
    vsi_assert(taken + VSI_REF_BYTES <= VSI_NODE_ENTRY_MAX);
    return value_bytes <= VSI_NODE_ENTRY_MAX - taken;
}

VSI_FN vs_status vsi_value_of_item(vsi_err *err, vsi_node_item item, vsi_value *out_value) {
    size_t bytes = item.value.bytes;
    vsi_value value = {.item = item};
    if (bytes >= VALUE_HEADER_BYTES) {
        value.bytes = vsi_get_u32(item.value.data);
        value.hash.lo = vsi_get_u64(item.value.data + 4);
        value.hash.hi = vsi_get_u64(item.value.data + 12);
    }
    size_t inlined = item.ref_count ? 0 : value.bytes;
    if (bytes < VALUE_HEADER_BYTES || bytes - VALUE_HEADER_BYTES != inlined || item.ref_count > 1)
        return vsi_fail(err, VS_ERR_CORRUPT, "an entry of a tree of values is malformed");
    *out_value = value;
    return VS_OK;
}

VSI_FN vs_status vsi_value_find(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                vsi_value *out_value) {
    vsi_node_item item;
    vs_status st = vsi_btree_get(err, tree, key, &item);
    return st == VS_OK ? vsi_value_of_item(err, item, out_value) : st;
}

/* What stands behind the header of a large value's extent, which is of a value of so many bytes. */
static vs_status value_stored(vsi_err *err, const vsi_pager *pager, vsi_ref ref, vsi_bytes extent,
                              uint32_t bytes, vsi_bytes *out_stored) {
    uint32_t stored = vsi_get_u32(extent.data + 4);
    bool is_right = vsi_get_u32(extent.data) == bytes &&
                    stored <= extent.bytes - VSI_BLOB_HEADER_BYTES - pager->trailer_bytes &&
                    (stored == bytes || ref.codec != VSI_CODEC_NONE);
    if (!is_right)
        return vsi_fail(err, VS_ERR_CORRUPT, "a value of %lu bytes has another size in the file",
                        (unsigned long)bytes);
    *out_stored = (vsi_bytes){extent.data + VSI_BLOB_HEADER_BYTES, stored};
    return VS_OK;
}

static vs_status value_fail_at(vsi_err *err, const vsi_pager *pager, vsi_ref ref) {
    return vsi_fail_in(err, "%s: page %llu", pager->file->path,
                       (unsigned long long)vsi_ref_page(ref));
}

/* A compressed value; never more memory for its extent than for the value, whatever the reference says. */
static vs_status value_read_packed(vsi_err *err, vsi_pager *pager, vsi_ref ref, uint32_t bytes,
                                   vsi_buf *buf) {
    if (bytes > VSI_VALUE_BYTES_MAX || vsi_ref_pages(ref) > bytes / VSI_PAGE_BYTES + 1)
        return vsi_fail(err, VS_ERR_CORRUPT,
                        "%s: page %llu: a compressed value of %lu bytes in %llu pages",
                        pager->file->path, (unsigned long long)vsi_ref_page(ref),
                        (unsigned long)bytes, (unsigned long long)vsi_ref_pages(ref));
    vsi_buf extent = {.mem = buf->mem};
    vsi_bytes stored = {0};
    vs_status st = vsi_pager_read(err, pager, ref, VSI_REF_BLOB, &extent);
    if (st != VS_OK)
        goto done;
    st = value_stored(err, pager, ref, (vsi_bytes){extent.data, extent.bytes}, bytes, &stored);
    if (st == VS_OK && !vsi_buf_reserve(buf, bytes))
        st = vsi_fail_nomem(err, bytes);
    if (st == VS_OK)
        st = vsi_unpack(err, buf->mem, stored, buf->data + buf->bytes, bytes);
    if (st == VS_OK)
        buf->bytes += bytes;
    if (st == VS_ERR_CORRUPT)
        st = value_fail_at(err, pager, ref);
done:
    vsi_buf_free(&extent);
    return st;
}

/* A value that is not: the extent goes where the value will stand. */
static vs_status value_read_plain(vsi_err *err, vsi_pager *pager, vsi_ref ref, uint32_t bytes,
                                  vsi_buf *buf) {
    size_t start = buf->bytes;
    vsi_bytes stored = {0};
    vs_status st = vsi_pager_read(err, pager, ref, VSI_REF_BLOB, buf);
    if (st != VS_OK)
        return st;
    vsi_bytes extent = {buf->data + start, buf->bytes - start};
    st = value_stored(err, pager, ref, extent, bytes, &stored);
    if (st == VS_OK)
        memmove(buf->data + start, stored.data, bytes);
    buf->bytes = start + (st == VS_OK ? bytes : 0);
    return st == VS_OK ? VS_OK : value_fail_at(err, pager, ref);
}

VSI_FN vs_status vsi_value_read(vsi_err *err, const vsi_btree *tree, const vsi_value *value,
                                vsi_buf *buf) {
    const uint8_t *data = value->item.value.data + VALUE_HEADER_BYTES;
    if (value->item.ref_count) {
        vsi_ref ref = vsi_ref_decode(value->item.refs);
        vsi_pager *pager = tree->cow->pager;
        if (!ref.is_block && ref.codec == VSI_CODEC_ZSTD)
            return value_read_packed(err, pager, ref, value->bytes, buf);
        if (!ref.is_block)
            return value_read_plain(err, pager, ref, value->bytes, buf);
        data = ((const value_blob *)vsi_ref_block(ref))->bytes;
    }
    return vsi_buf_append(buf, data, value->bytes) ? VS_OK : vsi_fail_nomem(err, value->bytes);
}

VSI_FN vs_status vsi_value_put(vsi_err *err, vsi_btree *tree, vsi_bytes key, vsi_bytes value,
                               vsi_hash128 hash) {
    uint8_t bytes[VSI_NODE_ENTRY_MAX], ref[VSI_REF_BYTES];
    vsi_put_u32(bytes, (uint32_t)value.bytes);
    vsi_put_u64(bytes + 4, hash.lo);
    vsi_put_u64(bytes + 12, hash.hi);
    vsi_node_item item = {.key = key, .value = {bytes, VALUE_HEADER_BYTES}};
    if (value_is_small(key, value.bytes)) {
        if (value.bytes)
            memcpy(bytes + VALUE_HEADER_BYTES, value.data, value.bytes);
        item.value.bytes += value.bytes;
    } else {
        value_blob *blob =
            vsi_cow_new_extent(tree->cow, sizeof *blob + value.bytes,
                               vsi_blob_pages(value.bytes, vsi_cow_trailer(tree->cow)));
        if (!blob)
            return vsi_fail_nomem(err, value.bytes);
        memcpy(blob->bytes, value.data, value.bytes);
        vsi_ref_encode(vsi_ref_of_block(VSI_REF_BLOB, blob), ref);
        item.refs = ref;
        item.ref_count = 1;
    }
    return vsi_btree_put_item(err, tree, &item);
}

VSI_FN vs_status vsi_value_delete(vsi_err *err, vsi_btree *tree, vsi_bytes key) {
    vsi_value value = {.bytes = 0};
    vs_status st = vsi_value_find(err, tree, key, &value);
    vsi_assert(st != VS_ERR_NOT_FOUND);
    if (st != VS_OK)
        return st;
    if (value.item.ref_count)
        st = vsi_cow_drop_ref(err, tree->cow, vsi_ref_decode(value.item.refs));
    return st == VS_OK ? vsi_btree_delete(err, tree, key) : st;
}
