/* btree.h - a B+tree of byte strings in memcmp order, copied on write. */
#ifndef VSI_BTREE_H
#define VSI_BTREE_H

#include "base/bytes.h"
#include "store/cow.h"

enum {
    VSI_BTREE_PAGE_BYTES = 4080,  /* entries and their offsets in one node */
    VSI_BTREE_ENTRY_MAX = 1360,   /* a third: any split then leaves room for the new entry */
    VSI_BTREE_ENTRY_OVERHEAD = 6, /* offset and two lengths */
    VSI_BTREE_HEIGHT_MAX = 32     /* nodes of the longest keys have two children, at worst */
};

/* All zero: empty. Copying the struct copies the version. */
typedef struct vsi_btree {
    void *root;
    uint64_t count;
} vsi_btree;

/* Whether key is there. out_value is borrowed from the tree, as long as this version lives and, for
 * the writer, until its next change. */
VSI_FN bool vsi_btree_get(const vsi_btree *tree, vsi_bytes key, vsi_bytes *out_value);

/* Inserts or replaces. key and value together take at most VSI_BTREE_ENTRY_MAX -
 * VSI_BTREE_ENTRY_OVERHEAD bytes. False when there is no memory: undo the scope. */
VSI_FN bool vsi_btree_put(vsi_cow *cow, vsi_btree *tree, vsi_bytes key, vsi_bytes value);

/* VS_OK, VS_ERR_NOT_FOUND (nothing changed) or VS_ERR_NOMEM: undo the scope. */
VSI_FN vs_status vsi_btree_delete(vsi_cow *cow, vsi_btree *tree, vsi_bytes key);

/* A position in one version of a tree; changing the tree makes it invalid. */
typedef struct vsi_btree_cursor {
    void *node[VSI_BTREE_HEIGHT_MAX];
    uint32_t at[VSI_BTREE_HEIGHT_MAX];
    uint32_t height; /* 0: behind the last entry */
} vsi_btree_cursor;

/* Stands on the first entry whose key is key or greater. */
VSI_FN void vsi_btree_seek(const vsi_btree *tree, vsi_bytes key, vsi_btree_cursor *out_cursor);
VSI_FN bool vsi_btree_at_end(const vsi_btree_cursor *cursor);
VSI_FN void vsi_btree_entry(const vsi_btree_cursor *cursor, vsi_bytes *out_key,
                            vsi_bytes *out_value);
VSI_FN void vsi_btree_next(vsi_btree_cursor *cursor);

/* Walks the whole tree: geometry of nodes, order, levels, count. NULL, or what is wrong. */
VSI_FN const char *vsi_btree_check(const vsi_btree *tree);

#endif
