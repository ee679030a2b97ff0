/* flush.c - from memory into the file.
 *
 *   U1  A node is written after everything it leads to: its bytes hold their places and hashes.
 *   U2  Blocks are only read; a reader may stand in any of them. */
#include "store/flush.h"

/* Levels of the catalog and of a collection's tree. */
enum { FLUSH_DEPTH_MAX = 2 * (VSI_NODE_LEVEL_MAX + 1) };

/* A node on the way down: its page as it will be in the file. */
typedef struct flush_step {
    uint32_t at, ref_at;
    uint8_t page[VSI_PAGE_BYTES];
} flush_step;

typedef struct flusher {
    vsi_cow *cow;
    vsi_pager *pager;
    vsi_buf stack; /* flush_step */
    vsi_buf blob;
    vsi_packer packer;
} flusher;

static flush_step *flusher_top(const flusher *f) {
    return (flush_step *)(void *)(f->stack.data + f->stack.bytes) - 1;
}

static vs_status flusher_push(vsi_err *err, flusher *f, vsi_ref ref) {
    const vsi_block *block = vsi_ref_block(ref);
    vsi_assert(block->bytes == sizeof *block + VSI_PAGE_BYTES);
    vsi_assert(f->stack.bytes < FLUSH_DEPTH_MAX * sizeof(flush_step));
    if (!vsi_buf_reserve(&f->stack, sizeof(flush_step)))
        return vsi_fail_nomem(err, sizeof(flush_step));
    f->stack.bytes += sizeof(flush_step);
    flush_step *step = flusher_top(f);
    step->at = step->ref_at = 0;
    memcpy(step->page, block + 1, VSI_PAGE_BYTES); /* U2 */
    return vsi_cow_drop_ref(err, f->cow, ref); /* only versions before this one have the block */
}

/* Compresses a value to out, which has room for it as it is; 0: that would not save a page. */
static size_t flusher_pack(flusher *f, vsi_bytes value, uint8_t *out) {
    uint32_t trailer = f->pager->trailer_bytes;
    size_t pages = vsi_blob_pages(value.bytes, trailer);
    vsi_assert(value.bytes <= VSI_VALUE_BYTES_MAX);
    if (!vsi_atomic_load(&f->pager->packs) || pages == 1)
        return 0;
    size_t room = pages * VSI_PAGE_BYTES - VSI_BLOB_HEADER_BYTES - trailer;
    size_t packed = vsi_pack(&f->packer, value, out, room);
    return vsi_blob_pages(packed, trailer) < pages ? packed : 0;
}

/* A large value: its size, the bytes stored, those, zeros up to whole pages. */
static vs_status flusher_write_blob(vsi_err *err, flusher *f, vsi_ref *ref) {
    const vsi_block *block = vsi_ref_block(*ref);
    vsi_bytes value = {(const uint8_t *)(block + 1), block->bytes - sizeof *block};
    size_t bytes = vsi_blob_pages(value.bytes, f->pager->trailer_bytes) * VSI_PAGE_BYTES;
    f->blob.bytes = 0;
    if (!vsi_buf_reserve(&f->blob, bytes))
        return vsi_fail_nomem(err, bytes);
    uint8_t *out = f->blob.data, *stored = out + VSI_BLOB_HEADER_BYTES;
    size_t packed = flusher_pack(f, value, stored), stored_bytes = packed ? packed : value.bytes;
    if (!packed)
        memcpy(stored, value.data, value.bytes);
    bytes = vsi_blob_pages(stored_bytes, f->pager->trailer_bytes) * VSI_PAGE_BYTES;
    memset(stored + stored_bytes, 0, bytes - VSI_BLOB_HEADER_BYTES - stored_bytes);
    vsi_put_u32(out, (uint32_t)value.bytes);
    vsi_put_u32(out + 4, (uint32_t)stored_bytes);
    vs_status st = vsi_cow_drop_ref(err, f->cow, *ref);
    if (st == VS_OK)
        st = vsi_pager_write(err, f->pager, VSI_REF_BLOB, 0, (vsi_bytes){out, bytes}, ref);
    if (st == VS_OK && packed) {
        ref->codec = VSI_CODEC_ZSTD;
        f->pager->has_packed = true;
    }
    return st;
}

/* The next reference of the node on top that leads to a block; false: there is none. */
static bool flusher_next(flusher *f, vsi_ref *out_ref) {
    flush_step *top = flusher_top(f);
    for (; top->at < vsi_node_count(top->page); top->at++, top->ref_at = 0) {
        uint32_t refs = vsi_node_item_at(top->page, top->at).ref_count;
        for (; top->ref_at < refs; top->ref_at++) {
            *out_ref = vsi_node_ref(top->page, top->at, top->ref_at);
            if (out_ref->is_block)
                return true;
        }
    }
    return false;
}

/* Everything below the node on top is written: write it, and tell the node above where it is. */
static vs_status flusher_pop(vsi_err *err, flusher *f, vsi_ref *root) {
    flush_step *top = flusher_top(f);
    vsi_ref ref;
    vsi_node_pack(top->page); /* addresses of memory stay out of the file */
    vs_status st = vsi_pager_write(err, f->pager, VSI_REF_NODE, vsi_node_level(top->page),
                                   (vsi_bytes){top->page, VSI_PAGE_BYTES}, &ref); /* keeps U1 */
    if (st != VS_OK)
        return st;
    f->stack.bytes -= sizeof *top;
    if (f->stack.bytes)
        vsi_node_set_ref(top[-1].page, top[-1].at, top[-1].ref_at, ref);
    else
        *root = ref;
    return VS_OK;
}

static vs_status flusher_run(vsi_err *err, flusher *f, vsi_ref *root) {
    vs_status st = root->is_block ? flusher_push(err, f, *root) : VS_OK;
    while (st == VS_OK && f->stack.bytes) {
        vsi_ref ref;
        if (!flusher_next(f, &ref)) {
            st = flusher_pop(err, f, root);
        } else if (ref.kind == VSI_REF_NODE) {
            st = flusher_push(err, f, ref);
        } else {
            st = flusher_write_blob(err, f, &ref);
            flush_step *top = flusher_top(f);
            if (st == VS_OK)
                vsi_node_set_ref(top->page, top->at, top->ref_at, ref);
        }
    }
    return st;
}

/* ---- slabs ---------------------------------------------------------------------------------- */

static vsi_desc *flush_first(const vsi_state *state) {
    return vsi_descs_from(state->descs, 0);
}

static vsi_desc *flush_next(const vsi_state *state, const vsi_desc *desc) {
    return vsi_descs_from(state->descs, (uint64_t)desc->id + 1);
}

static bool flush_has_slabs(const vsi_slabs *slabs) {
    return slabs->dirty.bytes || slabs->moved.bytes || vsi_slabs_have_unused(slabs);
}

/* Dropping slabs rewrites nodes of dir, which no commit has reserved pages for: on a full disk it waits for
 * a later checkpoint. */
static bool flush_has_room_to_drop(const vsi_btree *dir) {
    return vsi_space_fits(&dir->cow->pager->space, vsi_cow_pages(dir->cow), dir->count / 20 + 32);
}

static vs_status flush_array(vsi_err *err, vsi_slabs *slabs, vsi_btree *dir, uint32_t slot_end) {
    vs_status st = vsi_slabs_write_back(err, slabs, dir->cow->pager, UINT64_MAX);
    if (st == VS_OK)
        st = vsi_slabs_drop_unused(err, slabs, dir, flush_has_room_to_drop(dir) ? slot_end : 0);
    return st == VS_OK ? vsi_slabs_link(err, slabs, dir) : st;
}

static bool flush_desc_has_slabs(vsi_desc *desc) {
    for (uint32_t i = 0; i < desc->array_count; i++)
        if (flush_has_slabs(desc->array[i]))
            return true;
    return false;
}

static vs_status flush_bury(vsi_err *err, vsi_desc *desc, vsi_pager *pager) {
    vs_status st = VS_OK;
    for (uint32_t i = 0; st == VS_OK && i < desc->array_count; i++)
        st = vsi_slabs_bury(err, desc->array[i], pager);
    return st;
}

static vs_status flush_coll_slabs(vsi_err *err, vsi_state *state, vsi_desc *desc) {
    vsi_coll *coll = NULL;
    vsi_pager *pager = state->catalog.cow->pager;
    if (desc->rest == VSI_REST_READ)
        return flush_bury(err, desc, pager);
    if (!flush_desc_has_slabs(desc) && desc->rest == VSI_REST_NONE)
        return VS_OK;
    vs_status st = vsi_state_work_on(err, state, desc->id, &coll);
    bool is_gone = st == VS_ERR_NOT_FOUND; /* dropped, or its creation was rolled back */
    st = is_gone ? VS_OK : st;
    desc->rest = VSI_REST_NONE;
    for (uint32_t i = 0; st == VS_OK && i < desc->array_count; i++) {
        vsi_slabs *slabs = desc->array[i];
        st = is_gone ? vsi_slabs_forget(err, slabs, pager)
                     : flush_array(err, slabs, &coll->slabs, coll->slot_end);
    }
    if (is_gone)
        vsi_buf_free(&desc->pool);
    return st;
}

static vs_status flush_slabs(vsi_err *err, vsi_state *state) {
    vs_status st = VS_OK;
    for (vsi_desc *desc = flush_first(state); st == VS_OK && desc; desc = flush_next(state, desc))
        st = flush_coll_slabs(err, state, desc);
    return st;
}

/* Looks up in the catalog where a collection's slabs are now. */
static vs_status flush_locate(vsi_err *err, const vsi_state *state, vsi_desc *desc) {
    vsi_coll coll;
    vs_status st = vsi_state_coll(err, state, desc->id, &coll);
    desc->is_flushed = st == VS_OK;
    if (st != VS_OK)
        return st == VS_ERR_NOT_FOUND ? VS_OK : st;
    desc->new_dir = coll.slabs;
    return VS_OK;
}

static void flush_settle_slabs(vsi_desc *desc) {
    for (uint32_t i = 0; i < desc->array_count; i++)
        vsi_slabs_settle(desc->array[i], &desc->new_dir);
}

VSI_FN void vsi_flush_settle(const vsi_state *state) {
    for (vsi_desc *desc = flush_first(state); desc; desc = flush_next(state, desc))
        if (desc->is_flushed)
            flush_settle_slabs(desc);
}

VSI_FN vs_status vsi_flush_catch_up(vsi_err *err, const vsi_state *state) {
    vs_status st = VS_OK;
    for (vsi_desc *desc = flush_first(state); st == VS_OK && desc; desc = flush_next(state, desc)) {
        if (desc->is_flushed)
            continue;
        st = flush_locate(err, state, desc);
        if (st == VS_OK && desc->is_flushed)
            flush_settle_slabs(desc);
    }
    return st;
}

VSI_FN vs_status vsi_flush_locate(vsi_err *err, const vsi_state *state) {
    vs_status st = VS_OK;
    for (vsi_desc *desc = flush_first(state); st == VS_OK && desc; desc = flush_next(state, desc))
        st = flush_locate(err, state, desc);
    return st;
}

VSI_FN vs_status vsi_flush_trees(vsi_err *err, vsi_state *state) {
    flusher f = {.cow = state->catalog.cow, .pager = state->catalog.cow->pager};
    f.stack.mem = f.blob.mem = f.packer.mem = f.pager->mem;
    vs_status st = vsi_state_settle(err, state);
    if (st == VS_OK)
        st = flusher_run(err, &f, &state->catalog.root);
    if (st == VS_OK)
        st = vsi_pager_flush(err, f.pager);
    vsi_buf_free(&f.stack);
    vsi_buf_free(&f.blob);
    vsi_packer_free(&f.packer);
    return st == VS_OK ? vsi_state_load(err, state) : st;
}

VSI_FN vs_status vsi_flush(vsi_err *err, vsi_state *state) {
    vs_status st = flush_slabs(err, state);
    if (st == VS_OK)
        st = vsi_flush_trees(err, state);
    return st == VS_OK ? vsi_flush_locate(err, state) : st;
}

VSI_FN vs_status vsi_flush_slabs_early(vsi_err *err, const vsi_state *state, uint64_t max_bytes) {
    vsi_pager *pager = state->catalog.cow->pager;
    vs_status st = VS_OK;
    uint64_t end = pager->written_bytes + max_bytes;
    end = end < max_bytes ? UINT64_MAX : end;
    for (vsi_desc *desc = flush_first(state); desc; desc = flush_next(state, desc))
        for (uint32_t i = desc->array_count; st == VS_OK && i-- > 0;) { /* rows are the most */
            vsi_slabs *slabs = desc->array[i];
            if (slabs->dirty.bytes && pager->written_bytes < end)
                st = vsi_slabs_write_back(err, slabs, pager, end - pager->written_bytes);
        }
    return st;
}

VSI_FN uint64_t vsi_flush_slabs_left(const vsi_state *state) {
    uint64_t bytes = 0;
    for (vsi_desc *desc = flush_first(state); desc; desc = flush_next(state, desc))
        for (uint32_t i = 0; i < desc->array_count; i++)
            bytes += vsi_slabs_dirty_bytes(desc->array[i]);
    return bytes;
}

VSI_FN vs_status vsi_flush_distrust(vsi_err *err, const vsi_state *state) {
    vsi_pager *pager = state->catalog.cow->pager;
    vs_status st = VS_OK;
    for (vsi_desc *desc = flush_first(state); desc; desc = flush_next(state, desc))
        for (uint32_t i = 0; st == VS_OK && i < desc->array_count; i++)
            st = vsi_slabs_distrust(err, desc->array[i], pager);
    return st;
}
