/* visit.c - goes through a tree depth first, with a stack of its own.
 *
 *   X1  A node leads to nodes one level below it, a leaf to none: it ends whatever the file holds. */
#include "store/visit.h"

enum { VISIT_ANY_LEVEL = VSI_NODE_LEVEL_MAX + 1 };

/* A node on the way down, copied. */
typedef struct visit_step {
    uint32_t at, ref_at;
    uint8_t page[VSI_PAGE_BYTES];
} visit_step;

typedef struct visitor {
    vsi_pager *pager; /* NULL: everything is in memory */
    vsi_visit_fn visit;
    void *ctx;
    uint64_t left; /* so many nodes may the file have yet: without, shared ones take for ever */
    vsi_buf stack; /* visit_step */
} visitor;

static visit_step *visitor_top(const visitor *v) {
    return (visit_step *)(void *)(v->stack.data + v->stack.bytes) - 1;
}

static vs_status visitor_read(vsi_err *err, visitor *v, vsi_ref ref, uint8_t *page) {
    if (ref.is_block) {
        const vsi_block *block = vsi_ref_block(ref);
        memcpy(page, block + 1, VSI_PAGE_BYTES);
        return VS_OK;
    }
    if (v->left-- == 0)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu and others are used more than once",
                        v->pager->file->path, (unsigned long long)vsi_ref_page(ref));
    return vsi_pager_node_again(err, v->pager, ref, page);
}

static vs_status visitor_misfit(vsi_err *err) {
    return vsi_fail(err, VS_ERR_CORRUPT, "a node of a tree leads to what is none below it");
}

/* A node of this level goes on top. */
static vs_status visitor_enter(vsi_err *err, visitor *v, vsi_ref ref, uint32_t level) {
    if (!vsi_buf_reserve(&v->stack, sizeof(visit_step)))
        return vsi_fail_nomem(err, sizeof(visit_step));
    visit_step *step = visitor_top(v) + 1;
    step->at = step->ref_at = 0;
    vs_status st = visitor_read(err, v, ref, step->page);
    if (st != VS_OK)
        return st;
    if (level != VISIT_ANY_LEVEL && vsi_node_level(step->page) != level)
        return visitor_misfit(err); /* X1 */
    v->stack.bytes += sizeof *step;
    return VS_OK;
}

/* The next reference of the node on top; false: it has no further one. */
static bool visitor_next(visitor *v, vsi_ref *out_ref) {
    visit_step *top = visitor_top(v);
    for (; top->at < vsi_node_count(top->page); top->at++, top->ref_at = 0) {
        vsi_node_item item = vsi_node_item_at(top->page, top->at);
        if (top->ref_at < item.ref_count) {
            *out_ref = vsi_ref_decode(item.refs + (size_t)top->ref_at++ * VSI_REF_BYTES);
            return true;
        }
    }
    return false;
}

/* What the node on top leads to. */
static vs_status visitor_look(vsi_err *err, visitor *v, vsi_ref ref) {
    uint32_t level = vsi_node_level(visitor_top(v)->page);
    vs_status st = VS_OK;
    if (level ? ref.kind != VSI_REF_NODE : ref.kind != VSI_REF_SLAB && ref.kind != VSI_REF_BLOB)
        return visitor_misfit(err);
    if (level)
        st = visitor_enter(err, v, ref, level - 1);
    return st == VS_OK ? v->visit(v->ctx, err, ref) : st;
}

static vs_status visitor_run(vsi_err *err, visitor *v, vsi_ref root) {
    vs_status st = VS_OK;
    if (root.kind == VSI_REF_NONE)
        return VS_OK;
    if (root.kind != VSI_REF_NODE)
        return visitor_misfit(err);
    st = visitor_enter(err, v, root, VISIT_ANY_LEVEL);
    if (st == VS_OK)
        st = v->visit(v->ctx, err, root);
    while (st == VS_OK && v->stack.bytes) {
        vsi_ref ref;
        if (!visitor_next(v, &ref)) {
            v->stack.bytes -= sizeof(visit_step);
            continue;
        }
        st = visitor_look(err, v, ref);
    }
    return st;
}

VSI_FN vs_status vsi_visit(vsi_err *err, const vsi_btree *tree, vsi_visit_fn visit, void *ctx) {
    vsi_cow *cow = tree->cow;
    visitor v = {.pager = cow->pager, .visit = visit, .ctx = ctx, .stack = {.mem = cow->mem}};
    uint64_t file_bytes = 0;
    vs_status st = cow->pager ? vsi_file_size(err, cow->pager->file, &file_bytes) : VS_OK;
    v.left = file_bytes / VSI_PAGE_BYTES;
    if (st == VS_OK)
        st = visitor_run(err, &v, tree->root);
    vsi_buf_free(&v.stack);
    return st;
}
