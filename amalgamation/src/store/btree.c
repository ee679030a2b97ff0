/* btree.c - a B+tree of byte strings, copied on write.
 *
 * A node is a page of slotted entries: offsets of the entries in key order grow from the front, the
 * entries themselves from the back.
 *
 *     [ off 0 | off 1 | ... | off count-1 |   free   | entry | entry | ... | entry ]
 *                                                    ^ heap_at                     ^ PAGE_BYTES
 *     entry: key_bytes u16, value_bytes u16, key, value
 *
 *   B1  Keys of a node ascend strictly. All leaves are on level 0.
 *   B2  Child i of an inner node holds the keys from key i up to, not including, key i + 1. Key
 *       0 is never compared: child 0 has no lower bound of its own.
 *   B3  An inner node has at least one child, a leaf at least one entry unless it is the root.
 *   B4  Every change happens in nodes that vsi_cow_touch returned, from the root down. */
#include "store/btree.h"

enum {
    BTREE_OFFSET_BYTES = 2,
    BTREE_LENGTHS_BYTES = 4,
    BTREE_CHILDREN_MAX = 255,
    BTREE_UNDERFULL_BYTES = VSI_BTREE_PAGE_BYTES / 4
};

_Static_assert(BTREE_OFFSET_BYTES + BTREE_LENGTHS_BYTES == VSI_BTREE_ENTRY_OVERHEAD, "overhead");
_Static_assert(3 * VSI_BTREE_ENTRY_MAX <= VSI_BTREE_PAGE_BYTES, "a split must leave room");

typedef struct btree_node {
    vsi_block block;
    uint16_t level;      /* 0: leaf */
    uint16_t count;      /* entries; of an inner node also its children */
    uint16_t heap_at;    /* offset of the lowest entry */
    uint16_t used_bytes; /* entries and offsets, without holes */
    uint8_t page[VSI_BTREE_PAGE_BYTES];
} btree_node;

typedef struct btree_inner {
    btree_node node;
    void *child[BTREE_CHILDREN_MAX];
} btree_inner;

/* What goes into a node. */
typedef struct btree_item {
    vsi_bytes key, value;
    void *child; /* of an inner node */
} btree_item;

typedef struct btree_path {
    btree_node *node[VSI_BTREE_HEIGHT_MAX]; /* by level */
    uint32_t at[VSI_BTREE_HEIGHT_MAX];      /* the entry that was followed */
    uint32_t height;
} btree_path;

/* ---- one node ------------------------------------------------------------------------------- */

/* Offsets and lengths are in the machine's byte order: nodes stay in memory. */
static uint16_t page_get(const btree_node *node, size_t off) {
    uint16_t value;
    memcpy(&value, node->page + off, sizeof value);
    return value;
}

static void page_put(btree_node *node, size_t off, size_t value) {
    vsi_assert(value <= UINT16_MAX);
    uint16_t narrow = (uint16_t)value;
    memcpy(node->page + off, &narrow, sizeof narrow);
}

static size_t node_entry_off(const btree_node *node, uint32_t at) {
    vsi_assert(at < node->count);
    return page_get(node, at * BTREE_OFFSET_BYTES);
}

static vsi_bytes node_key(const btree_node *node, uint32_t at) {
    size_t off = node_entry_off(node, at);
    return (vsi_bytes){node->page + off + BTREE_LENGTHS_BYTES, page_get(node, off)};
}

static vsi_bytes node_value(const btree_node *node, uint32_t at) {
    size_t off = node_entry_off(node, at);
    size_t key_bytes = page_get(node, off);
    return (vsi_bytes){node->page + off + BTREE_LENGTHS_BYTES + key_bytes, page_get(node, off + 2)};
}

static void *node_child(const btree_node *node, uint32_t at) {
    vsi_assert(node->level > 0);
    return ((const btree_inner *)node)->child[at];
}

static btree_item node_item(const btree_node *node, uint32_t at) {
    return (btree_item){.key = node_key(node, at),
                        .value = node_value(node, at),
                        .child = node->level ? node_child(node, at) : NULL};
}

static size_t item_bytes(vsi_bytes key, vsi_bytes value) {
    return VSI_BTREE_ENTRY_OVERHEAD + key.bytes + value.bytes;
}

static btree_node *node_new(vsi_cow *cow, uint32_t level) {
    btree_node *node = vsi_cow_new(cow, level ? sizeof(btree_inner) : sizeof(btree_node));
    if (!node)
        return NULL;
    node->level = (uint16_t)level;
    node->heap_at = VSI_BTREE_PAGE_BYTES;
    return node;
}

static void node_clear(btree_node *node) {
    node->count = 0;
    node->used_bytes = 0;
    node->heap_at = VSI_BTREE_PAGE_BYTES;
}

/* Whether an item of so many bytes finds room once holes are closed. */
static bool node_has_room(const btree_node *node, size_t bytes) {
    return bytes <= (size_t)(VSI_BTREE_PAGE_BYTES - node->used_bytes) &&
           (node->level == 0 || node->count < BTREE_CHILDREN_MAX);
}

static void node_insert_packed(btree_node *node, uint32_t at, btree_item item) {
    size_t entry_bytes = BTREE_LENGTHS_BYTES + item.key.bytes + item.value.bytes;
    size_t off = node->heap_at - entry_bytes;
    page_put(node, off, item.key.bytes);
    page_put(node, off + 2, item.value.bytes);
    memcpy(node->page + off + BTREE_LENGTHS_BYTES, item.key.data, item.key.bytes);
    if (item.value.bytes)
        memcpy(node->page + off + BTREE_LENGTHS_BYTES + item.key.bytes, item.value.data,
               item.value.bytes);
    uint8_t *offsets = node->page + at * BTREE_OFFSET_BYTES;
    memmove(offsets + BTREE_OFFSET_BYTES, offsets, (node->count - at) * BTREE_OFFSET_BYTES);
    if (node->level) {
        void **child = ((btree_inner *)node)->child + at;
        memmove(child + 1, child, (node->count - at) * sizeof *child);
        *child = item.child;
    }
    node->count++;
    node->heap_at = (uint16_t)off;
    node->used_bytes = (uint16_t)(node->used_bytes + entry_bytes + BTREE_OFFSET_BYTES);
    page_put(node, at * BTREE_OFFSET_BYTES, off);
}

static void node_append(btree_node *node, btree_item item) {
    node_insert_packed(node, node->count, item);
}

/* Closes the holes that removed entries left. */
static void node_pack(btree_node *node) {
    btree_inner copy; /* large enough for a leaf as well */
    memcpy(&copy, node, node->level ? sizeof(btree_inner) : sizeof(btree_node));
    node_clear(node);
    for (uint32_t i = 0; i < copy.node.count; i++)
        node_append(node, node_item(&copy.node, i));
}

/* There must be room. */
static void node_insert(btree_node *node, uint32_t at, btree_item item) {
    size_t bytes = item_bytes(item.key, item.value);
    vsi_assert(node_has_room(node, bytes));
    if (bytes > node->heap_at - (size_t)node->count * BTREE_OFFSET_BYTES)
        node_pack(node);
    node_insert_packed(node, at, item);
}

static void node_remove(btree_node *node, uint32_t at) {
    size_t bytes = item_bytes(node_key(node, at), node_value(node, at));
    uint8_t *offsets = node->page + at * BTREE_OFFSET_BYTES;
    memmove(offsets, offsets + BTREE_OFFSET_BYTES, (node->count - at - 1u) * BTREE_OFFSET_BYTES);
    if (node->level) {
        void **child = ((btree_inner *)node)->child + at;
        memmove(child, child + 1, (node->count - at - 1u) * sizeof *child);
    }
    node->count--;
    node->used_bytes = (uint16_t)(node->used_bytes - bytes);
}

static int bytes_compare(vsi_bytes a, vsi_bytes b) {
    size_t n = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = n ? memcmp(a.data, b.data, n) : 0;
    return order ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

/* The first entry of a leaf whose key is not below key. */
static uint32_t leaf_find(const btree_node *leaf, vsi_bytes key, bool *out_found) {
    uint32_t low = 0, high = leaf->count;
    *out_found = false;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        int order = bytes_compare(node_key(leaf, mid), key);
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
            *out_found = *out_found || order == 0;
        }
    }
    return low;
}

/* The child of an inner node that covers key. */
static uint32_t inner_find(const btree_node *inner, vsi_bytes key) {
    uint32_t low = 1, high = inner->count; /* B2: key 0 is not compared */
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (bytes_compare(node_key(inner, mid), key) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low - 1;
}

/* ---- reading -------------------------------------------------------------------------------- */

VSI_FN bool vsi_btree_get(const vsi_btree *tree, vsi_bytes key, vsi_bytes *out_value) {
    const btree_node *node = tree->root;
    if (!node)
        return false;
    while (node->level)
        node = node_child(node, inner_find(node, key));
    bool found = false;
    uint32_t at = leaf_find(node, key, &found);
    if (found)
        *out_value = node_value(node, at);
    return found;
}

/* From a position behind the last entry of a leaf to the next leaf's first, or to the end. */
static void cursor_settle(vsi_btree_cursor *cursor) {
    uint32_t level = 0;
    while (cursor->at[level] >= ((const btree_node *)cursor->node[level])->count) {
        if (++level == cursor->height) {
            cursor->height = 0;
            return;
        }
        cursor->at[level]++;
    }
    for (; level > 0; level--) {
        cursor->node[level - 1] = node_child(cursor->node[level], cursor->at[level]);
        cursor->at[level - 1] = 0;
    }
}

VSI_FN void vsi_btree_seek(const vsi_btree *tree, vsi_bytes key, vsi_btree_cursor *out_cursor) {
    memset(out_cursor, 0, sizeof *out_cursor);
    btree_node *node = tree->root;
    if (!node)
        return;
    out_cursor->height = node->level + 1u;
    for (; node->level; node = node_child(node, out_cursor->at[node->level])) {
        out_cursor->node[node->level] = node;
        out_cursor->at[node->level] = inner_find(node, key);
    }
    bool found = false;
    out_cursor->node[0] = node;
    out_cursor->at[0] = leaf_find(node, key, &found);
    cursor_settle(out_cursor);
}

VSI_FN bool vsi_btree_at_end(const vsi_btree_cursor *cursor) {
    return cursor->height == 0;
}

VSI_FN void vsi_btree_entry(const vsi_btree_cursor *cursor, vsi_bytes *out_key,
                            vsi_bytes *out_value) {
    vsi_assert(cursor->height > 0);
    *out_key = node_key(cursor->node[0], cursor->at[0]);
    *out_value = node_value(cursor->node[0], cursor->at[0]);
}

VSI_FN void vsi_btree_next(vsi_btree_cursor *cursor) {
    vsi_assert(cursor->height > 0);
    cursor->at[0]++;
    cursor_settle(cursor);
}

/* ---- changing ------------------------------------------------------------------------------- */

/* Walks down to the leaf of key and makes the path writable. */
static bool btree_descend(vsi_cow *cow, vsi_btree *tree, vsi_bytes key, btree_path *out_path) {
    btree_node *node = vsi_cow_touch(cow, tree->root); /* keeps B4, here and below */
    if (!node)
        return false;
    tree->root = node;
    out_path->height = node->level + 1u;
    while (node->level) {
        uint32_t at = inner_find(node, key);
        btree_node *child = vsi_cow_touch(cow, node_child(node, at));
        if (!child)
            return false;
        ((btree_inner *)node)->child[at] = child;
        out_path->node[node->level] = node;
        out_path->at[node->level] = at;
        node = child;
    }
    out_path->node[0] = node;
    return true;
}

/* How many of the count + 1 items, the new one at place `at` counted in, stay in the left node. At
 * the right end the left node stays full, so that ascending keys fill their pages. */
static uint32_t split_point(const btree_node *node, uint32_t at, size_t new_bytes) {
    if (at == node->count)
        return at;
    size_t half = (node->used_bytes + new_bytes) / 2, sum = 0;
    uint32_t kept = 0;
    while (sum < half && kept < node->count) {
        uint32_t old = kept <= at ? kept : kept - 1u;
        sum += kept == at ? new_bytes : item_bytes(node_key(node, old), node_value(node, old));
        kept++;
    }
    return kept;
}

/* Moves the upper items of a full node, with item inserted at place at, into a new right sibling.
 */
static btree_node *node_split(vsi_cow *cow, btree_node *node, uint32_t at, btree_item item) {
    btree_node *right = node_new(cow, node->level);
    if (!right)
        return NULL;
    btree_inner copy;
    memcpy(&copy, node, node->level ? sizeof(btree_inner) : sizeof(btree_node));
    uint32_t kept = split_point(node, at, item_bytes(item.key, item.value));
    node_clear(node);
    for (uint32_t i = 0; i <= copy.node.count; i++) {
        uint32_t old = i < at ? i : i - 1u;
        node_append(i < kept ? node : right, i == at ? item : node_item(&copy.node, old));
    }
    return right;
}

/* What an inner node needs to know of a leaf's first key: as much as tells it from the key before. */
static vsi_bytes leaf_separator(const btree_node *left, const btree_node *right) {
    vsi_bytes before = node_key(left, left->count - 1u), first = node_key(right, 0);
    size_t same = 0;
    while (same < before.bytes && before.data[same] == first.data[same])
        same++;
    return (vsi_bytes){first.data, same + 1}; /* B1: first is the greater one */
}

static bool btree_insert(vsi_cow *cow, vsi_btree *tree, btree_path *path, uint32_t at,
                         btree_item item) {
    for (uint32_t level = 0;; level++) {
        btree_node *node = path->node[level];
        if (node_has_room(node, item_bytes(item.key, item.value))) {
            node_insert(node, at, item);
            return true;
        }
        btree_node *right = node_split(cow, node, at, item);
        if (!right)
            return false;
        item = (btree_item){.key = level ? node_key(right, 0) : leaf_separator(node, right),
                            .child = right};
        if (level + 1 == path->height) {
            btree_node *root = node_new(cow, level + 1);
            if (!root || path->height == VSI_BTREE_HEIGHT_MAX)
                return false;
            node_append(root, (btree_item){.key = {item.key.data, 0}, .child = node});
            tree->root = root;
            path->node[path->height] = root;
            path->at[path->height++] = 0;
        }
        at = path->at[level + 1] + 1;
    }
}

VSI_FN bool vsi_btree_put(vsi_cow *cow, vsi_btree *tree, vsi_bytes key, vsi_bytes value) {
    vsi_assert(item_bytes(key, value) <= VSI_BTREE_ENTRY_MAX);
    if (!tree->root)
        tree->root = node_new(cow, 0);
    btree_path path;
    if (!tree->root || !btree_descend(cow, tree, key, &path))
        return false;
    bool found = false;
    uint32_t at = leaf_find(path.node[0], key, &found);
    if (found)
        node_remove(path.node[0], at);
    if (!btree_insert(cow, tree, &path, at, (btree_item){.key = key, .value = value}))
        return false;
    tree->count += !found;
    return true;
}

/* Joins two neighbouring children of parent, `at` and the one right of it, when they fit in one. */
static bool btree_try_merge(vsi_cow *cow, btree_node *parent, uint32_t at, bool *out_merged) {
    btree_inner *inner = (btree_inner *)parent;
    const btree_node *left = inner->child[at], *right = inner->child[at + 1];
    vsi_bytes separator = node_key(parent, at + 1);
    /* The right node's key 0 takes the separator's place in an inner node (B2). */
    size_t extra = right->level ? separator.bytes : 0;
    *out_merged = left->used_bytes + right->used_bytes + extra <= VSI_BTREE_PAGE_BYTES &&
                  (left->level == 0 || left->count + right->count <= BTREE_CHILDREN_MAX);
    if (!*out_merged)
        return true;
    btree_node *target = vsi_cow_touch(cow, inner->child[at]);
    if (!target)
        return false;
    inner->child[at] = target;
    node_pack(target);
    for (uint32_t i = 0; i < right->count; i++) {
        btree_item item = node_item(right, i);
        if (i == 0 && right->level)
            item.key = separator;
        node_append(target, item);
    }
    vsi_cow_drop(cow, inner->child[at + 1]);
    node_remove(parent, at + 1);
    return true;
}

/* After a removal: empty nodes leave, small ones join a neighbour, a root with one child goes. */
static bool btree_shrink(vsi_cow *cow, vsi_btree *tree, btree_path *path) {
    for (uint32_t level = 0; level + 1 < path->height; level++) {
        btree_node *node = path->node[level], *parent = path->node[level + 1];
        uint32_t at = path->at[level + 1];
        if (node->count == 0) { /* keeps B3 */
            vsi_cow_drop(cow, node);
            node_remove(parent, at);
            continue;
        }
        if (node->used_bytes >= BTREE_UNDERFULL_BYTES)
            return true;
        bool merged = false;
        if (at + 1 < parent->count && !btree_try_merge(cow, parent, at, &merged))
            return false;
        if (!merged && at > 0 && !btree_try_merge(cow, parent, at - 1, &merged))
            return false;
        if (!merged)
            return true;
    }
    btree_node *root = tree->root;
    while (root->count <= 1 && root->level) {
        tree->root = root->count ? node_child(root, 0) : NULL;
        vsi_cow_drop(cow, root);
        root = tree->root;
        if (!root)
            return true;
    }
    if (root->count == 0) {
        vsi_cow_drop(cow, root);
        tree->root = NULL;
    }
    return true;
}

VSI_FN vs_status vsi_btree_delete(vsi_cow *cow, vsi_btree *tree, vsi_bytes key) {
    vsi_bytes value;
    if (!vsi_btree_get(tree, key, &value))
        return VS_ERR_NOT_FOUND;
    btree_path path;
    if (!btree_descend(cow, tree, key, &path))
        return VS_ERR_NOMEM;
    bool found = false;
    node_remove(path.node[0], leaf_find(path.node[0], key, &found));
    tree->count--;
    return btree_shrink(cow, tree, &path) ? VS_OK : VS_ERR_NOMEM;
}

/* ---- checking ------------------------------------------------------------------------------- */

static const char *node_check(const btree_node *node, uint32_t level) {
    if (node->level != level)
        return "a node is on the wrong level";
    if (node->count == 0)
        return "a node is empty";
    size_t used = 0;
    for (uint32_t i = 0; i < node->count; i++) {
        size_t off = node_entry_off(node, i);
        if (off < node->heap_at || off + BTREE_LENGTHS_BYTES > VSI_BTREE_PAGE_BYTES)
            return "an entry lies outside its node";
        size_t bytes = item_bytes(node_key(node, i), node_value(node, i));
        if (off + bytes - BTREE_OFFSET_BYTES > VSI_BTREE_PAGE_BYTES)
            return "an entry reaches beyond its node";
        used += bytes;
        bool has_order = i > (node->level ? 1u : 0u);
        if (has_order && bytes_compare(node_key(node, i - 1), node_key(node, i)) >= 0)
            return "keys of a node do not ascend"; /* B1 */
    }
    if (used != node->used_bytes)
        return "a node's count of used bytes is wrong";
    return NULL;
}

/* Whether a leaf reached at cursor lies within the separators above it (B2). */
static bool leaf_is_in_bounds(const vsi_btree_cursor *cursor) {
    const btree_node *leaf = cursor->node[0];
    vsi_bytes first = node_key(leaf, 0), last = node_key(leaf, leaf->count - 1u);
    for (uint32_t level = 1; level < cursor->height; level++) {
        const btree_node *node = cursor->node[level];
        uint32_t at = cursor->at[level];
        if (at > 0 && bytes_compare(first, node_key(node, at)) < 0)
            return false;
        if (at + 1 < node->count && bytes_compare(last, node_key(node, at + 1)) >= 0)
            return false;
    }
    return true;
}

VSI_FN const char *vsi_btree_check(const vsi_btree *tree) {
    const btree_node *root = tree->root;
    if (!root)
        return tree->count ? "an empty tree counts entries" : NULL;
    if (root->level >= VSI_BTREE_HEIGHT_MAX)
        return "the tree is too high";
    vsi_btree_cursor at = {.height = root->level + 1u};
    at.node[root->level] = tree->root;
    uint64_t count = 0;
    uint32_t level = root->level;
    const char *problem = node_check(root, level);
    while (!problem) {
        if (at.at[level] == ((const btree_node *)at.node[level])->count) { /* done: up */
            if (++level == at.height)
                return count == tree->count ? NULL : "the tree's count is wrong";
            at.at[level]++;
        } else if (level == 0) { /* a leaf: count it as a whole */
            const btree_node *leaf = at.node[0];
            if (!leaf_is_in_bounds(&at))
                return "keys of a leaf lie outside its separators";
            count += leaf->count;
            at.at[0] = leaf->count;
        } else { /* down */
            at.node[level - 1] = node_child(at.node[level], at.at[level]);
            at.at[--level] = 0;
            problem = node_check(at.node[level], level);
        }
    }
    return problem;
}
