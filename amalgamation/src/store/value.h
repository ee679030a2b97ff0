/* value.h - values of any size under keys of a B+tree, each kept with its hash. */
#ifndef VSI_VALUE_H
#define VSI_VALUE_H

#include "base/hash.h"
#include "store/btree.h"

enum { VSI_VALUE_KEY_BYTES_MAX = 1040 };

typedef struct vsi_value_info {
    uint32_t bytes;
    vsi_hash128 hash; /* of the value, as given when it was put */
} vsi_value_info;

/* Whether there is a value under key. */
VSI_FN bool vsi_value_find(const vsi_btree *tree, vsi_bytes key, vsi_value_info *out_info);

/* Appends the value that vsi_value_find found to buf; false when there is no memory. */
VSI_FN bool vsi_value_read(const vsi_btree *tree, vsi_bytes key, vsi_value_info info, vsi_buf *buf);

/* Puts a value under a key that has none. False when there is no memory: undo the scope. */
VSI_FN bool vsi_value_put(vsi_cow *cow, vsi_btree *tree, vsi_bytes key, vsi_bytes value,
                          vsi_hash128 hash);

/* Deletes the value that vsi_value_find found. False when there is no memory: undo the scope. */
VSI_FN bool vsi_value_delete(vsi_cow *cow, vsi_btree *tree, vsi_bytes key, vsi_value_info info);

/* Walking a tree of values: whether an entry begins one, and under which key. */
VSI_FN bool vsi_value_is_first(vsi_bytes entry_key, vsi_bytes *out_key);

#endif
