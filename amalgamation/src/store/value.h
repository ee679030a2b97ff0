/* value.h - values of any size under keys of a B+tree, each kept with its hash. */
#ifndef VSI_VALUE_H
#define VSI_VALUE_H

#include "base/hash.h"
#include "base/mem.h"
#include "store/btree.h"

enum {
    VSI_VALUE_KEY_BYTES_MAX = 1040,
    VSI_VALUE_BYTES_MAX = 1048576, /* of one that is compressed in the file */
    VSI_BLOB_HEADER_BYTES = 8      /* of a large value in the file */
};

/* The pages of a large value of which so many bytes are stored. */
VSI_FN size_t vsi_blob_pages(size_t stored, uint32_t trailer_bytes);

/* A value that vsi_value_find found; borrowed from the tree as its entries are. */
typedef struct vsi_value {
    uint32_t bytes;
    vsi_hash128 hash; /* of the value, as given when it was put */
    vsi_node_item item;
} vsi_value;

/* VS_ERR_NOT_FOUND, without a message, when there is no value under key. */
VS_NODISCARD VSI_FN vs_status vsi_value_find(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                             vsi_value *out_value);
/* The value in an entry of a tree of values; VS_ERR_CORRUPT for an entry that holds none. */
VS_NODISCARD VSI_FN vs_status vsi_value_of_item(vsi_err *err, vsi_node_item item,
                                                vsi_value *out_value);

/* Appends the value to buf. */
VS_NODISCARD VSI_FN vs_status vsi_value_read(vsi_err *err, const vsi_btree *tree,
                                             const vsi_value *value, vsi_buf *buf);

/* Puts a value under a key that has none. */
VS_NODISCARD VSI_FN vs_status vsi_value_put(vsi_err *err, vsi_btree *tree, vsi_bytes key,
                                            vsi_bytes value, vsi_hash128 hash);

/* Deletes the value under a key that has one. */
VS_NODISCARD VSI_FN vs_status vsi_value_delete(vsi_err *err, vsi_btree *tree, vsi_bytes key);

#endif
