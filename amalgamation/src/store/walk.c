/* walk.c - visits every extent that a checkpoint reaches: depth first, with a stack of its own. */
#include "store/walk.h"
#include "store/node.h"

/* Levels of the catalog and of a collection's tree, and the blob or slab behind it. */
enum { WALK_DEPTH_MAX = 2 * (VSI_NODE_LEVEL_MAX + 1) };

typedef struct walk_step {
    uint32_t at, ref_at;
    uint8_t page[VSI_PAGE_BYTES];
} walk_step;

typedef struct walker {
    vsi_pager *pager;
    const vsi_walk *walk;
    uint64_t visits,
        visits_max; /* one for each page of the file: without, shared nodes take for ever */
    vsi_buf stack;  /* walk_step */
    vsi_buf scratch;
} walker;

static walk_step *walker_top(const walker *w) {
    return (walk_step *)(void *)(w->stack.data + w->stack.bytes) - 1;
}

static vs_status walker_enter(vsi_err *err, walker *w, vsi_ref ref) {
    if (w->stack.bytes == WALK_DEPTH_MAX * sizeof(walk_step))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: trees are nested too deeply",
                        w->pager->file->path, (unsigned long long)vsi_ref_page(ref));
    if (!vsi_buf_reserve(&w->stack, sizeof(walk_step)))
        return vsi_fail_nomem(err, sizeof(walk_step));
    w->stack.bytes += sizeof(walk_step);
    walk_step *top = walker_top(w);
    top->at = top->ref_at = 0;
    vs_status st = vsi_pager_node_again(err, w->pager, ref, top->page);
    if (st != VS_OK)
        w->stack.bytes -= sizeof *top;
    return st;
}

static vs_status walker_look(vsi_err *err, walker *w, vsi_ref ref) {
    bool is_known = ref.kind >= VSI_REF_NODE && ref.kind <= VSI_REF_BLOB;
    if (w->visits++ == w->visits_max)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu and others are used more than once",
                        w->pager->file->path, (unsigned long long)vsi_ref_page(ref));
    vs_status st = vsi_pager_check_ref(err, w->pager, ref, is_known ? ref.kind : VSI_REF_BLOB);
    if (st == VS_OK)
        st = w->walk->visit(w->walk->ctx, err, ref);
    if (st != VS_OK)
        return st;
    w->scratch.bytes = 0;
    if (ref.kind == VSI_REF_NODE)
        return walker_enter(err, w, ref);
    return w->walk->reads_all ? vsi_pager_read(err, w->pager, ref, ref.kind, &w->scratch) : VS_OK;
}

static vs_status walker_visit(vsi_err *err, walker *w, vsi_ref ref) {
    vs_status st = ref.kind == VSI_REF_NONE ? VS_OK : walker_look(err, w, ref);
    if (st != VS_ERR_CORRUPT || !w->walk->damaged)
        return st;
    w->walk->damaged(w->walk->ctx, err);
    return VS_OK;
}

/* The next reference of the node on top; false: it has no further one. */
static bool walker_next(walker *w, vsi_ref *out_ref) {
    walk_step *top = walker_top(w);
    for (; top->at < vsi_node_count(top->page); top->at++, top->ref_at = 0) {
        vsi_node_item item = vsi_node_item_at(top->page, top->at);
        if (top->ref_at < item.ref_count) {
            *out_ref = vsi_ref_decode(item.refs + (size_t)top->ref_at++ * VSI_REF_BYTES);
            return true;
        }
    }
    return false;
}

VSI_FN vs_status vsi_walk_run(vsi_err *err, vsi_pager *pager, vsi_ref root, const vsi_walk *walk) {
    walker w = {
        .pager = pager, .walk = walk, .stack = {.mem = pager->mem}, .scratch = {.mem = pager->mem}};
    uint64_t file_bytes = 0;
    vs_status st = vsi_file_size(err, pager->file, &file_bytes);
    w.visits_max = file_bytes / VSI_PAGE_BYTES;
    if (st == VS_OK)
        st = walker_visit(err, &w, root);
    while (st == VS_OK && w.stack.bytes && w.visits <= w.visits_max) {
        vsi_ref ref;
        if (walker_next(&w, &ref))
            st = walker_visit(err, &w, ref);
        else
            w.stack.bytes -= sizeof(walk_step);
    }
    vsi_buf_free(&w.stack);
    vsi_buf_free(&w.scratch);
    return st;
}
