/* relocate.c - extents from the end of the file into holes before it.
 *
 *   O1  A node is written after everything it leads to, as in store/flush. */
#include "store/relocate.h"

/* Levels of the catalog and of a collection's tree. */
enum { RELOCATE_DEPTH_MAX = 2 * (VSI_NODE_LEVEL_MAX + 1) };

/* A node on the way down. */
typedef struct relocate_step {
    vsi_ref ref;
    bool is_changed; /* something that it leads to has moved */
    uint32_t at, ref_at;
    uint8_t page[VSI_PAGE_BYTES];
} relocate_step;

typedef struct relocator {
    vsi_cow *cow;
    vsi_pager *pager;
    uint64_t first_page;
    vsi_buf stack; /* relocate_step */
    vsi_buf extent;
} relocator;

static relocate_step *relocator_top(const relocator *r) {
    return (relocate_step *)(void *)(r->stack.data + r->stack.bytes) - 1;
}

/* Writes an extent again, and *ref leads there; if there is a better place for it, or it must. */
static vs_status relocator_write(vsi_err *err, relocator *r, vsi_bytes bytes, bool must,
                                 vsi_ref *ref) {
    uint64_t page = 0, from = vsi_ref_page(*ref);
    size_t taken = r->pager->taken.bytes;
    vsi_ref old = *ref;
    vs_status st = vsi_pager_flush(err, r->pager);
    if (st == VS_OK)
        st = vsi_pager_take(err, r->pager, vsi_ref_pages(old), &page);
    if (st == VS_OK && page > from && !must) {
        vsi_pager_undo_to(r->pager, taken);
        return VS_OK;
    }
    if (st == VS_OK)
        st = vsi_pager_write_at(err, r->pager, old.kind, old.level, bytes, page, ref);
    if (st == VS_OK)
        ref->codec = old.codec;
    return st == VS_OK ? vsi_cow_drop_ref(err, r->cow, old) : st;
}

static vs_status relocator_enter(vsi_err *err, relocator *r, vsi_ref ref) {
    if (r->stack.bytes == RELOCATE_DEPTH_MAX * sizeof(relocate_step))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: trees are nested too deeply",
                        r->pager->file->path, (unsigned long long)vsi_ref_page(ref));
    if (!vsi_buf_reserve(&r->stack, sizeof(relocate_step)))
        return vsi_fail_nomem(err, sizeof(relocate_step));
    r->stack.bytes += sizeof(relocate_step);
    relocate_step *top = relocator_top(r);
    top->ref = ref;
    top->at = top->ref_at = 0;
    top->is_changed = false;
    return vsi_pager_node_again(err, r->pager, ref, top->page);
}

/* A slab or a large value. */
static vs_status relocator_copy(vsi_err *err, relocator *r, vsi_ref *ref) {
    if (vsi_ref_page(*ref) < r->first_page)
        return VS_OK;
    r->extent.bytes = 0;
    vs_status st = vsi_pager_read(err, r->pager, *ref, ref->kind, &r->extent);
    vsi_bytes bytes = {r->extent.data, r->extent.bytes};
    return st == VS_OK ? relocator_write(err, r, bytes, false, ref) : st;
}

/* The next reference of the node on top; false: there is none. */
static bool relocator_next(relocator *r, vsi_ref *out_ref) {
    relocate_step *top = relocator_top(r);
    for (; top->at < vsi_node_count(top->page); top->at++, top->ref_at = 0) {
        uint32_t refs = vsi_node_item_at(top->page, top->at).ref_count;
        for (; top->ref_at < refs; top->ref_at++) {
            *out_ref = vsi_node_ref(top->page, top->at, top->ref_at);
            if (out_ref->kind != VSI_REF_NONE)
                return true;
        }
    }
    return false;
}

/* What the reference on turn leads to is done. */
static void relocator_note(relocator *r, vsi_ref ref) {
    relocate_step *top = relocator_top(r);
    vsi_ref old = vsi_node_ref(top->page, top->at, top->ref_at);
    if (old.at != ref.at) {
        vsi_node_set_ref(top->page, top->at, top->ref_at, ref);
        top->is_changed = true;
    }
    top->ref_at++;
}

static vs_status relocator_leave(vsi_err *err, relocator *r, vsi_ref *root) {
    relocate_step *top = relocator_top(r);
    vsi_ref ref = top->ref;
    vs_status st = VS_OK;
    if (top->is_changed || vsi_ref_page(ref) >= r->first_page)
        st = relocator_write(err, r, (vsi_bytes){top->page, VSI_PAGE_BYTES}, top->is_changed,
                             &ref); /* keeps O1 */
    if (st != VS_OK)
        return st;
    r->stack.bytes -= sizeof *top;
    if (r->stack.bytes)
        relocator_note(r, ref);
    else
        *root = ref;
    return VS_OK;
}

static vs_status relocator_run(vsi_err *err, relocator *r, vsi_ref *root) {
    vs_status st = root->kind == VSI_REF_NODE ? relocator_enter(err, r, *root) : VS_OK;
    while (st == VS_OK && r->stack.bytes) {
        vsi_ref ref;
        if (!relocator_next(r, &ref)) {
            st = relocator_leave(err, r, root);
        } else if (ref.kind == VSI_REF_NODE) {
            st = relocator_enter(err, r, ref);
        } else {
            st = relocator_copy(err, r, &ref);
            if (st == VS_OK)
                relocator_note(r, ref);
        }
    }
    return st;
}

VSI_FN vs_status vsi_relocate(vsi_err *err, vsi_state *state, uint64_t first_page) {
    vsi_cow *cow = state->catalog.cow;
    relocator r = {.cow = cow, .pager = cow->pager, .first_page = first_page};
    r.stack.mem = r.extent.mem = cow->mem;
    vs_status st = relocator_run(err, &r, &state->catalog.root);
    if (st == VS_OK)
        st = vsi_pager_flush(err, r.pager);
    vsi_buf_free(&r.stack);
    vsi_buf_free(&r.extent);
    return st == VS_OK ? vsi_state_load(err, state) : st;
}
