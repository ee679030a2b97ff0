/* btree.c - a B+tree of byte strings, copied on write.
 *
 *   B1  All leaves are on level 0.
 *   B2  Child i of an inner node holds the keys from key i up to, not including, key i + 1.
 *   B3  An inner node has at least one child, a leaf at least one entry.
 *   B4  Every change happens in pages that btree_touch returned, from the root down. */
#include "store/btree.h"

enum { BTREE_UNDERFULL_BYTES = VSI_PAGE_BYTES / 4 };

/* A node in memory. */
typedef struct btree_block {
    vsi_block block;
    uint8_t page[VSI_PAGE_BYTES];
} btree_block;

typedef struct btree_path {
    uint8_t *page[VSI_BTREE_HEIGHT_MAX]; /* by level */
    uint32_t at[VSI_BTREE_HEIGHT_MAX]; /* the entry that was followed; of the leaf, where key is */
    uint32_t height;
    bool is_found;
} btree_path;

/* ---- pages ---------------------------------------------------------------------------------- */

static bool btree_is_empty(const vsi_btree *tree) {
    return tree->root.kind == VSI_REF_NONE;
}

static vs_status btree_nomem(vsi_err *err) {
    return vsi_fail_nomem(err, sizeof(btree_block));
}

static vs_status btree_read(vsi_err *err, const vsi_btree *tree, vsi_ref ref,
                            const uint8_t **out_page) {
    if (!ref.is_block)
        return vsi_pager_node(err, tree->cow->pager, ref, out_page);
    *out_page = ((btree_block *)vsi_ref_block(ref))->page;
    return VS_OK;
}

/* A block with the contents of an extent, which it replaces. */
static vs_status btree_load(vsi_err *err, const vsi_btree *tree, vsi_ref ref,
                            btree_block **out_block) {
    const uint8_t *page = NULL;
    vs_status st = vsi_pager_node(err, tree->cow->pager, ref, &page);
    if (st == VS_OK)
        st = vsi_cow_drop_ref(err, tree->cow, ref);
    if (st != VS_OK)
        return st;
    *out_block = vsi_cow_new(tree->cow, sizeof **out_block);
    if (!*out_block)
        return btree_nomem(err);
    memcpy((*out_block)->page, page, VSI_PAGE_BYTES);
    return VS_OK;
}

/* The page behind a reference made writable; the reference follows it. */
static vs_status btree_touch(vsi_err *err, const vsi_btree *tree, vsi_ref *ref,
                             uint8_t **out_page) {
    btree_block *block = NULL;
    if (ref->is_block) {
        block = vsi_cow_touch(tree->cow, vsi_ref_block(*ref));
        if (!block)
            return btree_nomem(err);
    } else {
        vs_status st = btree_load(err, tree, *ref, &block);
        if (st != VS_OK)
            return st;
    }
    *ref = vsi_ref_of_block(VSI_REF_NODE, block);
    *out_page = block->page;
    return VS_OK;
}

static vs_status btree_new(vsi_err *err, const vsi_btree *tree, uint32_t level, vsi_ref *out_ref,
                           uint8_t **out_page) {
    btree_block *block = vsi_cow_new(tree->cow, sizeof *block);
    if (!block)
        return btree_nomem(err);
    vsi_node_init(block->page, level, vsi_cow_trailer(tree->cow));
    *out_ref = vsi_ref_of_block(VSI_REF_NODE, block);
    *out_page = block->page;
    return VS_OK;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Walks down to the leaf that covers key. */
static vs_status cursor_descend(vsi_err *err, vsi_btree_cursor *cursor, vsi_bytes key) {
    const uint8_t *page = NULL;
    vs_status st = btree_read(err, cursor->tree, cursor->tree->root, &page);
    if (st != VS_OK)
        return st;
    uint32_t level = vsi_node_level(page);
    cursor->height = level + 1;
    while (level > 0) {
        uint32_t at = vsi_node_find_child(page, key);
        cursor->page[level] = page;
        cursor->at[level--] = at;
        st = btree_read(err, cursor->tree, vsi_node_ref(page, at, 0), &page);
        if (st != VS_OK)
            return st;
    }
    cursor->page[0] = page;
    return VS_OK;
}

VSI_FN vs_status vsi_btree_get(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                               vsi_node_item *out_item) {
    if (btree_is_empty(tree))
        return VS_ERR_NOT_FOUND;
    vsi_btree_cursor cursor;
    cursor.tree = tree;
    vs_status st = cursor_descend(err, &cursor, key);
    if (st != VS_OK)
        return st;
    bool is_found = false;
    uint32_t at = vsi_node_find(cursor.page[0], key, &is_found);
    if (!is_found)
        return VS_ERR_NOT_FOUND;
    *out_item = vsi_node_item_at(cursor.page[0], at);
    return VS_OK;
}

/* From a position behind the last entry of a leaf to the next leaf's first, or to the end. */
static vs_status cursor_settle(vsi_err *err, vsi_btree_cursor *cursor) {
    uint32_t level = 0;
    while (cursor->at[level] >= vsi_node_count(cursor->page[level])) {
        if (++level == cursor->height) {
            cursor->height = 0;
            return VS_OK;
        }
        cursor->at[level]++;
    }
    for (; level > 0; level--) {
        vsi_ref child = vsi_node_ref(cursor->page[level], cursor->at[level], 0);
        vs_status st = btree_read(err, cursor->tree, child, &cursor->page[level - 1]);
        if (st != VS_OK)
            return st;
        cursor->at[level - 1] = 0;
    }
    return VS_OK;
}

VSI_FN vs_status vsi_btree_seek(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                vsi_btree_cursor *out_cursor) {
    memset(out_cursor, 0, sizeof *out_cursor);
    out_cursor->tree = tree;
    if (btree_is_empty(tree))
        return VS_OK;
    vs_status st = cursor_descend(err, out_cursor, key);
    if (st != VS_OK)
        return st;
    bool is_found = false;
    out_cursor->at[0] = vsi_node_find(out_cursor->page[0], key, &is_found);
    return cursor_settle(err, out_cursor);
}

VSI_FN bool vsi_btree_at_end(const vsi_btree_cursor *cursor) {
    return cursor->height == 0;
}

VSI_FN vsi_node_item vsi_btree_entry(const vsi_btree_cursor *cursor) {
    vsi_assert(cursor->height > 0);
    return vsi_node_item_at(cursor->page[0], cursor->at[0]);
}

VSI_FN vs_status vsi_btree_next(vsi_err *err, vsi_btree_cursor *cursor) {
    vsi_assert(cursor->height > 0);
    cursor->at[0]++;
    return cursor_settle(err, cursor);
}

VSI_FN vs_status vsi_btree_seek_behind(vsi_err *err, const vsi_btree *tree, vsi_bytes key,
                                       vsi_btree_cursor *out_cursor) {
    vs_status st = vsi_btree_seek(err, tree, key, out_cursor);
    bool is_there = st == VS_OK && !vsi_btree_at_end(out_cursor) &&
                    !vsi_bytes_compare(vsi_btree_entry(out_cursor).key, key);
    return is_there ? vsi_btree_next(err, out_cursor) : st;
}

/* ---- changing ------------------------------------------------------------------------------- */

/* Walks down to the leaf of key and makes the path writable. */
static vs_status btree_descend(vsi_err *err, vsi_btree *tree, vsi_bytes key, btree_path *out_path) {
    uint8_t *page = NULL;
    vs_status st = btree_touch(err, tree, &tree->root, &page); /* keeps B4, here and below */
    if (st != VS_OK)
        return st;
    uint32_t level = vsi_node_level(page);
    out_path->height = level + 1;
    while (level > 0) {
        uint32_t at = vsi_node_find_child(page, key);
        vsi_ref child = vsi_node_ref(page, at, 0);
        uint8_t *child_page = NULL;
        st = btree_touch(err, tree, &child, &child_page);
        if (st != VS_OK)
            return st;
        vsi_node_set_ref(page, at, 0, child);
        out_path->page[level] = page;
        out_path->at[level--] = at;
        page = child_page;
    }
    out_path->page[0] = page;
    out_path->at[0] = vsi_node_find(page, key, &out_path->is_found);
    return VS_OK;
}

/* How many of the count + 1 items, the new one at place `at` counted in, stay in the left node. At
 * the right end the left node stays full, so that ascending keys fill their pages. */
static uint32_t split_point(const uint8_t *page, uint32_t at, size_t new_bytes) {
    uint32_t count = vsi_node_count(page), kept = 0;
    if (at == count)
        return at;
    size_t half = (vsi_node_used(page) + new_bytes) / 2, sum = 0;
    while (sum < half && kept < count) {
        vsi_node_item item = vsi_node_item_at(page, kept <= at ? kept : kept - 1);
        size_t bytes = kept == at ? new_bytes : vsi_node_item_bytes(&item);
        if (sum + bytes > vsi_node_room(page)) /* separators may be longer than a third of a node */
            break;
        sum += bytes;
        kept++;
    }
    return kept;
}

/* Moves the upper items of a full node, with item inserted at place at, into a new right sibling. */
static void node_split(uint8_t *page, uint8_t *right, uint32_t at, const vsi_node_item *item) {
    uint8_t copy[VSI_PAGE_BYTES];
    memcpy(copy, page, sizeof copy);
    uint32_t kept = split_point(copy, at, vsi_node_item_bytes(item));
    vsi_node_init(page, vsi_node_level(copy), vsi_node_trailer(copy));
    for (uint32_t i = 0; i <= vsi_node_count(copy); i++) {
        uint8_t *target = i < kept ? page : right;
        vsi_node_item moved = *item;
        if (i != at)
            moved = vsi_node_item_at(copy, i < at ? i : i - 1);
        vsi_node_insert(target, vsi_node_count(target), &moved);
    }
}

/* What an inner node needs to know of a leaf's first key: as much as tells it from the key before. */
static vsi_bytes leaf_separator(const uint8_t *left, const uint8_t *right) {
    vsi_bytes before = vsi_node_key(left, vsi_node_count(left) - 1);
    vsi_bytes first = vsi_node_key(right, 0);
    size_t same = 0;
    while (same < before.bytes && before.data[same] == first.data[same])
        same++;
    return (vsi_bytes){first.data, same + 1}; /* D1: first is the greater one */
}

/* A new root above the old one. */
static vs_status btree_grow(vsi_err *err, vsi_btree *tree, btree_path *path) {
    uint8_t *page = NULL, old[VSI_REF_BYTES];
    vsi_ref root;
    if (path->height == VSI_BTREE_HEIGHT_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "a tree has %d levels", VSI_BTREE_HEIGHT_MAX);
    vs_status st = btree_new(err, tree, path->height, &root, &page);
    if (st != VS_OK)
        return st;
    vsi_ref_encode(tree->root, old);
    vsi_node_insert(page, 0, &(vsi_node_item){.refs = old, .ref_count = 1});
    tree->root = root;
    path->page[path->height] = page;
    path->at[path->height++] = 0;
    return VS_OK;
}

/* Inserts at the place that path shows; nodes that are full split. */
static vs_status btree_insert(vsi_err *err, vsi_btree *tree, btree_path *path,
                              const vsi_node_item *new_item) {
    vsi_node_item item = *new_item;
    uint8_t child[VSI_REF_BYTES];
    uint32_t at = path->at[0];
    for (uint32_t level = 0;; level++) {
        uint8_t *page = path->page[level], *right = NULL;
        if (vsi_node_has_room(page, vsi_node_item_bytes(&item))) {
            vsi_node_insert(page, at, &item);
            return VS_OK;
        }
        vsi_ref ref;
        vs_status st = btree_new(err, tree, level, &ref, &right);
        if (st == VS_OK && level + 1 == path->height)
            st = btree_grow(err, tree, path);
        if (st != VS_OK)
            return st;
        node_split(page, right, at, &item);
        vsi_ref_encode(ref, child);
        item = (vsi_node_item){.key = level ? vsi_node_key(right, 0) : leaf_separator(page, right),
                               .refs = child,
                               .ref_count = 1};
        at = path->at[level + 1] + 1;
    }
}

VSI_FN vs_status vsi_btree_put_item(vsi_err *err, vsi_btree *tree, const vsi_node_item *item) {
    vsi_assert(vsi_node_item_bytes(item) <= VSI_NODE_ENTRY_MAX);
    if (btree_is_empty(tree)) {
        uint8_t *page = NULL;
        vs_status st = btree_new(err, tree, 0, &tree->root, &page);
        if (st != VS_OK)
            return st;
    }
    btree_path path;
    vs_status st = btree_descend(err, tree, item->key, &path);
    if (st != VS_OK)
        return st;
    if (path.is_found)
        vsi_node_remove(path.page[0], path.at[0]);
    st = btree_insert(err, tree, &path, item);
    tree->count += st == VS_OK && !path.is_found;
    return st;
}

VSI_FN vs_status vsi_btree_put(vsi_err *err, vsi_btree *tree, vsi_bytes key, vsi_bytes value) {
    vsi_node_item item = {.key = key, .value = value};
    return vsi_btree_put_item(err, tree, &item);
}

VSI_FN vs_status vsi_btree_edit(vsi_err *err, vsi_btree *tree, vsi_bytes key, uint8_t **out_value) {
    vsi_node_item item;
    btree_path path;
    vs_status st = vsi_btree_get(err, tree, key, &item);
    if (st == VS_OK)
        st = btree_descend(err, tree, key, &path);
    if (st == VS_OK)
        *out_value = vsi_node_value(path.page[0], path.at[0]);
    return st;
}

/* Joins two neighbouring children of parent, `at` and the one right of it, when they fit in one. */
static vs_status btree_try_merge(vsi_err *err, vsi_btree *tree, uint8_t *parent, uint32_t at,
                                 bool *out_merged) {
    vsi_ref left_ref = vsi_node_ref(parent, at, 0), right_ref = vsi_node_ref(parent, at + 1, 0);
    const uint8_t *left = NULL, *right = NULL;
    vs_status st = btree_read(err, tree, left_ref, &left);
    if (st == VS_OK)
        st = btree_read(err, tree, right_ref, &right);
    if (st != VS_OK)
        return st;
    vsi_bytes separator = vsi_node_key(parent, at + 1);
    bool is_inner = vsi_node_level(right) > 0;
    /* The right node's key 0 takes the separator's place in an inner node (B2). */
    size_t bytes = vsi_node_used(right) + (is_inner ? separator.bytes : 0);
    *out_merged = vsi_node_has_room(left, bytes);
    if (!*out_merged)
        return VS_OK;
    uint8_t *target = NULL;
    st = btree_touch(err, tree, &left_ref, &target);
    if (st != VS_OK)
        return st;
    vsi_node_set_ref(parent, at, 0, left_ref);
    for (uint32_t i = 0; i < vsi_node_count(right); i++) {
        vsi_node_item item = vsi_node_item_at(right, i);
        if (i == 0 && is_inner)
            item.key = separator;
        vsi_node_insert(target, vsi_node_count(target), &item);
    }
    vsi_node_remove(parent, at + 1);
    return vsi_cow_drop_ref(err, tree->cow, right_ref);
}

/* A root with one child goes, and one with none. */
static vs_status btree_shrink_root(vsi_err *err, vsi_btree *tree) {
    for (;;) {
        const uint8_t *page = NULL;
        vs_status st = btree_read(err, tree, tree->root, &page);
        if (st != VS_OK)
            return st;
        uint32_t count = vsi_node_count(page);
        if (count > 1 || (count == 1 && vsi_node_level(page) == 0))
            return VS_OK;
        vsi_ref old = tree->root;
        tree->root = count ? vsi_node_ref(page, 0, 0) : (vsi_ref){.kind = VSI_REF_NONE};
        st = vsi_cow_drop_ref(err, tree->cow, old);
        if (st != VS_OK || btree_is_empty(tree))
            return st;
    }
}

/* After a removal: empty nodes leave, small ones join a neighbour. */
static vs_status btree_shrink(vsi_err *err, vsi_btree *tree, btree_path *path) {
    for (uint32_t level = 0; level + 1 < path->height; level++) {
        uint8_t *page = path->page[level], *parent = path->page[level + 1];
        uint32_t at = path->at[level + 1];
        bool is_merged = false;
        vs_status st = VS_OK;
        if (vsi_node_count(page) == 0) { /* keeps B3 */
            st = vsi_cow_drop_ref(err, tree->cow, vsi_node_ref(parent, at, 0));
            if (st != VS_OK)
                return st;
            vsi_node_remove(parent, at);
            continue;
        }
        if (vsi_node_used(page) >= BTREE_UNDERFULL_BYTES)
            break;
        if (at + 1 < vsi_node_count(parent))
            st = btree_try_merge(err, tree, parent, at, &is_merged);
        if (st == VS_OK && !is_merged && at > 0)
            st = btree_try_merge(err, tree, parent, at - 1, &is_merged);
        if (st != VS_OK)
            return st;
        if (!is_merged)
            break;
    }
    return btree_shrink_root(err, tree);
}

VSI_FN vs_status vsi_btree_delete(vsi_err *err, vsi_btree *tree, vsi_bytes key) {
    vsi_node_item item;
    btree_path path;
    vs_status st = vsi_btree_get(err, tree, key, &item);
    if (st == VS_OK)
        st = btree_descend(err, tree, key, &path);
    if (st != VS_OK)
        return st;
    vsi_node_remove(path.page[0], path.at[0]);
    tree->count--;
    return btree_shrink(err, tree, &path);
}

/* ---- checking ------------------------------------------------------------------------------- */

/* Whether a leaf reached at cursor lies within the separators above it (B2). */
static bool leaf_is_in_bounds(const vsi_btree_cursor *cursor) {
    const uint8_t *leaf = cursor->page[0];
    vsi_bytes first = vsi_node_key(leaf, 0), last = vsi_node_key(leaf, vsi_node_count(leaf) - 1);
    for (uint32_t level = 1; level < cursor->height; level++) {
        const uint8_t *page = cursor->page[level];
        uint32_t at = cursor->at[level];
        if (at > 0 && vsi_bytes_compare(first, vsi_node_key(page, at)) < 0)
            return false;
        if (at + 1 < vsi_node_count(page) &&
            vsi_bytes_compare(last, vsi_node_key(page, at + 1)) >= 0)
            return false;
    }
    return true;
}

/* One step of the walk: up from a node that is done, past a leaf, or down. */
static vs_status check_step(vsi_err *err, vsi_btree_cursor *at, uint32_t *level, uint64_t *count,
                            const char **out_problem) {
    const uint8_t *page = at->page[*level];
    if (at->at[*level] == vsi_node_count(page)) {
        if (++*level < at->height)
            at->at[*level]++;
        return VS_OK;
    }
    if (*level == 0) {
        if (!leaf_is_in_bounds(at))
            *out_problem = "keys of a leaf lie outside its separators";
        *count += vsi_node_count(page);
        at->at[0] = vsi_node_count(page);
        return VS_OK;
    }
    uint32_t below = --*level;
    vs_status st =
        btree_read(err, at->tree, vsi_node_ref(page, at->at[below + 1], 0), &at->page[below]);
    if (st != VS_OK)
        return st;
    at->at[below] = 0;
    *out_problem = vsi_node_check(at->page[below], vsi_cow_trailer(at->tree->cow));
    if (!*out_problem && vsi_node_level(at->page[below]) != below)
        *out_problem = "a node is on the wrong level"; /* B1 */
    return VS_OK;
}

VSI_FN vs_status vsi_btree_check(vsi_err *err, const vsi_btree *tree, const char **out_problem) {
    *out_problem = NULL;
    if (btree_is_empty(tree)) {
        *out_problem = tree->count ? "an empty tree counts entries" : NULL;
        return VS_OK;
    }
    vsi_btree_cursor at = {.tree = tree};
    const uint8_t *root = NULL;
    vs_status st = btree_read(err, tree, tree->root, &root);
    if (st != VS_OK)
        return st;
    *out_problem = vsi_node_check(root, vsi_cow_trailer(tree->cow));
    uint32_t level = vsi_node_level(root);
    uint64_t count = 0;
    if (*out_problem)
        return VS_OK;
    at.height = level + 1;
    at.page[level] = root;
    while (st == VS_OK && !*out_problem && level < at.height)
        st = check_step(err, &at, &level, &count, out_problem);
    if (st == VS_OK && !*out_problem && count != tree->count)
        *out_problem = "the tree's count is wrong";
    return st;
}
