/* btree.h - a B+tree of byte strings in memcmp order, copied on write. */
#ifndef VSI_BTREE_H
#define VSI_BTREE_H

#include "store/cow.h"
#include "store/node.h"

enum { VSI_BTREE_HEIGHT_MAX = VSI_NODE_LEVEL_MAX + 1 };

/* One version of a tree. Empty when the root's kind is VSI_REF_NONE. Copying the struct copies the
 * version. Every function below may fail with VS_ERR_NOMEM; after a failure of one that changes the
 * tree, undo the scope. */
typedef struct vsi_btree {
    vsi_cow *cow; /* borrowed */
    vsi_ref root;
    uint64_t count;
} vsi_btree;

/* The entry of key; VS_ERR_NOT_FOUND, without a message, when there is none. out_item is borrowed from
 * the tree, as long as this version lives and, for the writer, until its next change. */
VS_NODISCARD VSI_FN vs_status vsi_btree_get(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                            vsi_node_item *out_item);

/* Inserts or replaces. An item takes at most VSI_NODE_ENTRY_MAX bytes (vsi_node_item_bytes). What
 * references of a replaced entry led to is the caller's to drop. */
VS_NODISCARD VSI_FN vs_status vsi_btree_put_item(vsi_err *err, vsi_btree *tree,
                                                 const vsi_node_item *item);
VS_NODISCARD VSI_FN vs_status vsi_btree_put(vsi_err *err, vsi_btree *tree, vsi_bytes key,
                                            vsi_bytes value);

/* The value of key, to be changed in place before the next call; VS_ERR_NOT_FOUND: nothing changed. */
VS_NODISCARD VSI_FN vs_status vsi_btree_edit(vsi_err *err, vsi_btree *tree, vsi_bytes key,
                                             uint8_t **out_value);

/* VS_ERR_NOT_FOUND, without a message: nothing changed. */
VS_NODISCARD VSI_FN vs_status vsi_btree_delete(vsi_err *err, vsi_btree *tree, vsi_bytes key);

/* A position in one version of a tree; changing the tree makes it invalid. */
typedef struct vsi_btree_cursor {
    const vsi_btree *tree;
    const uint8_t *page[VSI_BTREE_HEIGHT_MAX]; /* by level */
    uint32_t at[VSI_BTREE_HEIGHT_MAX];
    uint32_t height; /* 0: behind the last entry */
} vsi_btree_cursor;

/* Stands on the first entry whose key is key or greater. tree must outlive the cursor. */
VS_NODISCARD VSI_FN vs_status vsi_btree_seek(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                             vsi_btree_cursor *out_cursor);
/* The same on the first entry whose key is greater. */
VS_NODISCARD VSI_FN vs_status vsi_btree_seek_behind(vsi_err *err, const vsi_btree *tree,
                                                    vsi_bytes key, vsi_btree_cursor *out_cursor);
VSI_FN bool vsi_btree_at_end(const vsi_btree_cursor *cursor);
VSI_FN vsi_node_item vsi_btree_entry(const vsi_btree_cursor *cursor);
VS_NODISCARD VSI_FN vs_status vsi_btree_next(vsi_err *err, vsi_btree_cursor *cursor);

/* Walks the whole tree: geometry of nodes, order, levels, count. *out_problem is NULL, or what is
 * wrong. */
VS_NODISCARD VSI_FN vs_status vsi_btree_check(vsi_err *err, const vsi_btree *tree,
                                              const char **out_problem);

#endif
