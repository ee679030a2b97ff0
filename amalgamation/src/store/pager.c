/* pager.c - extents of the database file.
 *
 *   P1  Nothing read from the file is used before its hash was found right.
 *   P2  An extent is written once; its pages are not written again before it is dead to everybody
 *       (G2).
 *   P3  Pages that were taken belong to the file: writing them does not run out of space. */
#include "store/pager.h"
#include "base/hash.h"
#include "store/node.h"

enum { PAGER_BUCKETS_FIRST = 64, PAGER_OUT_BYTES = 1 << 20 };

/* Space is reserved in steps of this share of the file, within these bounds. */
enum { PAGER_STEP_SHARE = 16, PAGER_STEP_MAX = 4096 };
#ifndef VSI_STEP_PAGES
#define VSI_STEP_PAGES 16
#endif

/* A node in the cache. */
typedef struct pager_node {
    vsi_retired retired;
    vsi_atomic_ptr next; /* pager_node: in its bucket */
    uint64_t page_no;
    vsi_atomic_u64 is_wanted; /* since the last sweep */
    uint8_t bytes[VSI_PAGE_BYTES];
} pager_node;

typedef struct pager_table {
    vsi_retired retired;
    size_t count;
    vsi_atomic_ptr buckets[]; /* pager_node */
} pager_table;

VSI_FN bool vsi_pager_init(vsi_pager *pager, vsi_mem *mem, const vsi_file *file) {
    memset(pager, 0, sizeof *pager);
    if (!vsi_mutex_init(&pager->lock))
        return false;
    if (!vsi_mutex_init(&pager->slab_lock))
        goto fail_lock;
    if (!vsi_reside_init(&pager->reside, mem))
        goto fail_slab_lock;
    if (!vsi_windows_init(&pager->windows, mem, file, &pager->reside))
        goto fail_reside;
    pager->mem = mem;
    pager->file = file;
    pager->out.mem = mem;
    pager->taken.mem = mem;
    pager->dropped.mem = mem;
    vsi_atomic_set(&pager->end, VSI_SPACE_FIRST_PAGE);
    vsi_space_init(&pager->space, mem);
    return true;

fail_reside:
    vsi_reside_free(&pager->reside);
fail_slab_lock:
    vsi_mutex_destroy(&pager->slab_lock);
fail_lock:
    vsi_mutex_destroy(&pager->lock);
    return false;
}

VSI_FN void vsi_pager_allow_maps(vsi_pager *pager) {
    pager->windows.is_on = true;
    pager->space.reside = &pager->reside;
}

static size_t pager_table_bytes(size_t count) {
    return sizeof(pager_table) + count * sizeof(vsi_atomic_ptr);
}

VSI_FN void vsi_pager_free(vsi_pager *pager) {
    if (!pager->mem)
        return;
    pager_table *table = vsi_atomic_ptr_load(&pager->table);
    for (size_t i = 0; table && i < table->count; i++) {
        pager_node *node = vsi_atomic_ptr_load(&table->buckets[i]);
        while (node) {
            pager_node *next = vsi_atomic_ptr_load(&node->next);
            vsi_free(pager->mem, node, sizeof *node);
            node = next;
        }
    }
    if (table)
        vsi_free(pager->mem, table, pager_table_bytes(table->count));
    vsi_windows_free(&pager->windows);
    vsi_reside_free(&pager->reside);
    vsi_buf_free(&pager->out);
    vsi_buf_free(&pager->taken);
    vsi_buf_free(&pager->dropped);
    vsi_space_free(&pager->space);
    vsi_mutex_destroy(&pager->slab_lock);
    vsi_mutex_destroy(&pager->lock);
}

/* ---- reading -------------------------------------------------------------------------------- */

VSI_FN vs_status vsi_pager_check_ref(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind) {
    uint64_t page = vsi_ref_page(ref), pages = vsi_ref_pages(ref);
    uint64_t end = vsi_ordered_load(&pager->end);
    int codec_max = kind == VSI_REF_BLOB ? VSI_CODEC_ZSTD : VSI_CODEC_NONE;
    if (ref.codec > codec_max)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: of codec %d, expected at most %d",
                        pager->file->path, (unsigned long long)page, ref.codec, codec_max);
    if (ref.kind != kind)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: of kind %d, expected %d",
                        pager->file->path, (unsigned long long)page, ref.kind, kind);
    if (page < VSI_SPACE_FIRST_PAGE || page >= end || pages < 1 || pages > end - page)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu and %llu more lie outside the file",
                        pager->file->path, (unsigned long long)page, (unsigned long long)pages - 1);
    return VS_OK;
}

/* Verifies the bytes of an extent. */
static vs_status pager_verify(vsi_err *err, const vsi_pager *pager, vsi_ref ref,
                              const uint8_t *data, size_t bytes) {
    uint64_t page = vsi_ref_page(ref), hash = vsi_hash64(data, bytes, page);
    if (hash == ref.hash)
        return VS_OK; /* keeps P1 */
    return vsi_fail(err, VS_ERR_CORRUPT,
                    "%s: page %llu (%zu bytes) is damaged: hash %016llx, expected %016llx",
                    pager->file->path, (unsigned long long)page, bytes, (unsigned long long)hash,
                    (unsigned long long)ref.hash);
}

/* Reads an extent and verifies it. */
static vs_status pager_fetch(vsi_err *err, const vsi_pager *pager, vsi_ref ref, uint8_t *out) {
    uint64_t page = vsi_ref_page(ref);
    size_t bytes = (size_t)vsi_ref_pages(ref) * VSI_PAGE_BYTES, got = 0;
    vs_status st = vsi_file_read(err, pager->file, out, bytes, page * VSI_PAGE_BYTES, &got);
    if (st != VS_OK)
        return st;
    if (got < bytes)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s is truncated: page %llu is missing",
                        pager->file->path, (unsigned long long)page + got / VSI_PAGE_BYTES);
    return pager_verify(err, pager, ref, out, bytes);
}

VSI_FN vs_status vsi_pager_read(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                vsi_buf *buf) {
    vs_status st = vsi_pager_check_ref(err, pager, ref, kind);
    if (st != VS_OK)
        return st;
    size_t bytes = (size_t)vsi_ref_pages(ref) * VSI_PAGE_BYTES;
    if (!vsi_buf_reserve(buf, bytes))
        return vsi_fail_nomem(err, bytes);
    st = pager_fetch(err, pager, ref, buf->data + buf->bytes);
    buf->bytes += st == VS_OK ? bytes : 0;
    return st;
}

/* Whether a reference may lead to an extent of this kind and size. */
static vs_status pager_check_size(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                  size_t bytes) {
    vs_status st = vsi_pager_check_ref(err, pager, ref, kind);
    if (st == VS_OK && vsi_ref_pages(ref) * VSI_PAGE_BYTES != bytes)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: %llu bytes, expected %zu",
                      pager->file->path, (unsigned long long)vsi_ref_page(ref),
                      (unsigned long long)vsi_ref_pages(ref) * VSI_PAGE_BYTES, bytes);
    return st;
}

VSI_FN vs_status vsi_pager_read_to(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind,
                                   uint8_t *out, size_t bytes) {
    vs_status st = pager_check_size(err, pager, ref, kind, bytes);
    return st == VS_OK ? pager_fetch(err, pager, ref, out) : st;
}

VSI_FN vs_status vsi_pager_see(vsi_err *err, vsi_pager *pager, vsi_ref ref, int kind, size_t bytes,
                               vsi_sight *out_sight, const uint8_t **out_bytes) {
    vs_status st = pager_check_size(err, pager, ref, kind, bytes);
    if (st != VS_OK)
        return st;
    const uint8_t *data =
        vsi_windows_see(&pager->windows, vsi_ref_page(ref) * VSI_PAGE_BYTES, bytes, out_sight);
    st = data ? pager_verify(err, pager, ref, data, bytes) : VS_OK;
    if (st == VS_OK)
        *out_bytes = data;
    return st;
}

/* ---- the cache of nodes --------------------------------------------------------------------- */

static vsi_atomic_ptr *pager_bucket(pager_table *table, uint64_t page_no) {
    size_t at = (size_t)((page_no * 0x9e3779b97f4a7c15u) >> 32) & (table->count - 1);
    return &table->buckets[at];
}

/* Without the lock one that is there may be missed while the table grows. */
static pager_node *pager_find(vsi_pager *pager, uint64_t page_no) {
    pager_table *table = vsi_atomic_ptr_load(&pager->table);
    pager_node *node = table ? vsi_atomic_ptr_load(pager_bucket(table, page_no)) : NULL;
    while (node && node->page_no != page_no)
        node = vsi_atomic_ptr_load(&node->next);
    if (node && !vsi_atomic_load(&node->is_wanted))
        vsi_atomic_set(&node->is_wanted, 1);
    return node;
}

static pager_node *pager_find_locked(vsi_pager *pager, uint64_t page_no) {
    vsi_mutex_lock(&pager->lock);
    pager_node *node = pager_find(pager, page_no);
    vsi_mutex_unlock(&pager->lock);
    return node;
}

static void pager_link(pager_table *table, pager_node *node) {
    vsi_atomic_ptr *bucket = pager_bucket(table, node->page_no);
    vsi_atomic_ptr_store(&node->next, vsi_atomic_ptr_load(bucket));
    vsi_atomic_ptr_store(bucket, node);
}

/* Twice as many buckets when there are as many nodes; the lock is held. Who looks something up meanwhile
 * may follow a node that moves into its new bucket, and miss what was behind it. */
static bool pager_grow(vsi_pager *pager) {
    pager_table *old = vsi_atomic_ptr_load(&pager->table);
    size_t old_count = old ? old->count : 0;
    if (pager->page_count < old_count)
        return true;
    size_t count = old ? old_count * 2 : PAGER_BUCKETS_FIRST;
    pager_table *table = vsi_alloc_zeroed(pager->mem, pager_table_bytes(count));
    if (!table)
        return old;
    table->count = count;
    for (size_t i = 0; i < old_count; i++) {
        pager_node *node = vsi_atomic_ptr_load(&old->buckets[i]);
        while (node) {
            pager_node *next = vsi_atomic_ptr_load(&node->next);
            pager_link(table, node);
            node = next;
        }
    }
    vsi_atomic_ptr_store(&pager->table, table);
    if (old)
        vsi_retire(&pager->reside, &old->retired, pager_table_bytes(old_count));
    return true;
}

/* Puts a node into the cache, unless another thread was faster; out_bytes is the one that is there. */
static vs_status pager_install(vsi_err *err, vsi_pager *pager, pager_node *node,
                               const uint8_t **out_bytes) {
    vsi_mutex_lock(&pager->lock);
    pager_node *other = pager_find(pager, node->page_no);
    bool has_room = other || pager_grow(pager);
    if (!other && has_room) {
        pager_link(vsi_atomic_ptr_load(&pager->table), node);
        pager->page_count++;
    }
    vsi_mutex_unlock(&pager->lock);
    *out_bytes = other ? other->bytes : node->bytes;
    if (other || !has_room)
        vsi_free(pager->mem, node, sizeof *node);
    return has_room ? VS_OK : vsi_fail(err, VS_ERR_NOMEM, "out of memory");
}

/* Takes the node that a link leads to out of the cache; the lock is held. */
static void pager_unlink(vsi_pager *pager, vsi_atomic_ptr *link) {
    pager_node *node = vsi_atomic_ptr_load(link);
    vsi_ordered_add(&pager->reside.evictions, 1);
    vsi_atomic_ptr_store(link, vsi_atomic_ptr_load(&node->next));
    pager->page_count--;
    vsi_retire(&pager->reside, &node->retired, sizeof *node);
}

static void pager_evict_bucket(vsi_pager *pager, vsi_atomic_ptr *link) {
    pager_node *node = vsi_atomic_ptr_load(link);
    for (; node; node = vsi_atomic_ptr_load(link)) {
        if (vsi_atomic_load(&node->is_wanted)) {
            vsi_atomic_set(&node->is_wanted, 0);
            link = &node->next;
        } else {
            pager_unlink(pager, link);
        }
    }
}

VSI_FN size_t vsi_pager_evict(vsi_pager *pager, size_t buckets) {
    vsi_mutex_lock(&pager->lock);
    pager_table *table = vsi_atomic_ptr_load(&pager->table);
    size_t count = table ? table->count : 0;
    for (size_t i = 0; i < buckets && i < count; i++)
        pager_evict_bucket(pager, &table->buckets[pager->hand++ & (count - 1)]);
    vsi_mutex_unlock(&pager->lock);
    return count;
}

/* What references in a file may be: never a block, and in an inner node a child one level below. */
static bool pager_refs_fit(const uint8_t *bytes) {
    uint32_t level = vsi_node_level(bytes);
    for (uint32_t i = 0; i < vsi_node_count(bytes); i++) {
        vsi_node_item item = vsi_node_item_at(bytes, i);
        for (uint32_t k = 0; k < item.ref_count; k++) {
            vsi_ref ref = vsi_ref_decode(item.refs + k * VSI_REF_BYTES);
            if (ref.is_block || (level && (ref.kind != VSI_REF_NODE || ref.level + 1u != level)))
                return false;
        }
    }
    return true;
}

static vs_status pager_check_node(vsi_err *err, const vsi_pager *pager, vsi_ref ref,
                                  const uint8_t *bytes) {
    const char *problem = vsi_node_check(bytes, pager->trailer_bytes);
    if (!problem && vsi_node_level(bytes) != ref.level)
        problem = "a node is on the wrong level";
    if (!problem && !pager_refs_fit(bytes))
        problem = "a node refers to what it must not";
    if (!problem)
        return VS_OK;
    return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: %s", pager->file->path,
                    (unsigned long long)vsi_ref_page(ref), problem);
}

static vs_status pager_check_node_ref(vsi_err *err, vsi_pager *pager, vsi_ref ref) {
    vs_status st = vsi_pager_check_ref(err, pager, ref, VSI_REF_NODE);
    if (st != VS_OK || vsi_ref_pages(ref) == 1)
        return st;
    return vsi_fail(err, VS_ERR_CORRUPT, "%s: page %llu: a node of %llu pages", pager->file->path,
                    (unsigned long long)vsi_ref_page(ref), (unsigned long long)vsi_ref_pages(ref));
}

VSI_FN vs_status vsi_pager_node_again(vsi_err *err, vsi_pager *pager, vsi_ref ref, uint8_t *out) {
    vs_status st = pager_check_node_ref(err, pager, ref);
    if (st == VS_OK)
        st = pager_fetch(err, pager, ref, out);
    return st == VS_OK ? pager_check_node(err, pager, ref, out) : st;
}

VSI_FN vs_status vsi_pager_node(vsi_err *err, vsi_pager *pager, vsi_ref ref,
                                const uint8_t **out_page) {
    vs_status st = pager_check_node_ref(err, pager, ref);
    if (st != VS_OK)
        return st;
    pager_node *node = pager_find(pager, vsi_ref_page(ref));
    if (!node)
        node = pager_find_locked(pager, vsi_ref_page(ref));
    if (node) {
        *out_page = node->bytes;
        return VS_OK;
    }
    node = vsi_alloc(pager->mem, sizeof *node);
    if (!node)
        return vsi_fail_nomem(err, sizeof *node);
    node->page_no = vsi_ref_page(ref);
    vsi_atomic_set(&node->is_wanted, 1);
    st = vsi_pager_node_again(err, pager, ref, node->bytes);
    if (st != VS_OK) {
        vsi_free(pager->mem, node, sizeof *node);
        return st;
    }
    return pager_install(err, pager, node, out_page);
}

VSI_FN void vsi_pager_forget(vsi_pager *pager, vsi_run run) {
    vsi_mutex_lock(&pager->lock);
    pager_table *table = vsi_atomic_ptr_load(&pager->table);
    for (uint64_t no = run.page; table && no < run.page + run.pages; no++) {
        vsi_atomic_ptr *link = pager_bucket(table, no);
        pager_node *node = vsi_atomic_ptr_load(link);
        while (node && node->page_no != no) {
            link = &node->next;
            node = vsi_atomic_ptr_load(link);
        }
        if (node)
            pager_unlink(pager, link);
    }
    vsi_mutex_unlock(&pager->lock);
}

/* ---- writing -------------------------------------------------------------------------------- */

VSI_FN void vsi_pager_open_to(vsi_pager *pager, uint64_t end) {
    if (end > vsi_ordered_load(&pager->end)) /* only the holder of the writer role gets here */
        vsi_ordered_store(&pager->end, end);
}

VSI_FN vs_status vsi_pager_flush(vsi_err *err, vsi_pager *pager) {
    if (!pager->out.bytes)
        return VS_OK;
    vs_status st = vsi_file_write(err, pager->file, pager->out.data, pager->out.bytes,
                                  pager->out_page * VSI_PAGE_BYTES);
    if (st != VS_OK)
        return st;
    pager->written_bytes += pager->out.bytes;
    uint64_t end = pager->out_page + pager->out.bytes / VSI_PAGE_BYTES;
    pager->out.bytes = 0;
    vsi_pager_open_to(pager, end);
    return VS_OK;
}

static vs_status pager_put(vsi_err *err, vsi_pager *pager, uint64_t page, vsi_bytes bytes) {
    bool continues = page == pager->out_page + pager->out.bytes / VSI_PAGE_BYTES &&
                     pager->out.bytes + bytes.bytes <= PAGER_OUT_BYTES;
    vs_status st = vsi_watch_step(err, pager->watch, bytes.bytes);
    if (st == VS_OK && !continues)
        st = vsi_pager_flush(err, pager);
    if (st != VS_OK)
        return st;
    if (!pager->out.bytes)
        pager->out_page = page;
    return vsi_buf_append(&pager->out, bytes.data, bytes.bytes) ? VS_OK
                                                                : vsi_fail_nomem(err, bytes.bytes);
}

static uint64_t pager_step(const vsi_space *space) {
    uint64_t step = space->end / PAGER_STEP_SHARE;
    step = step < VSI_STEP_PAGES ? VSI_STEP_PAGES : step;
    return step < PAGER_STEP_MAX ? step : PAGER_STEP_MAX;
}

VSI_FN vs_status vsi_pager_own(vsi_err *err, vsi_pager *pager, uint64_t pages) {
    vsi_space *space = &pager->space;
    if (pages <= space->owned)
        return VS_OK;
    uint64_t bytes = space->owned * VSI_PAGE_BYTES;
    vs_status st = vsi_file_reserve(err, pager->file, pages * VSI_PAGE_BYTES,
                                    pager_step(space) * VSI_PAGE_BYTES, &bytes);
    if (st == VS_OK)
        space->owned = bytes == UINT64_MAX ? bytes : bytes / VSI_PAGE_BYTES;
    return st;
}

VSI_FN vs_status vsi_pager_take(vsi_err *err, vsi_pager *pager, uint64_t pages,
                                uint64_t *out_page) {
    vsi_run run = {.pages = pages};
    if (!vsi_buf_reserve(&pager->taken, sizeof run))
        return vsi_fail_nomem(err, sizeof run);
    vs_status st = vsi_space_take(err, &pager->space, pages, &run.page);
    if (st != VS_OK)
        return st;
    st = vsi_pager_own(err, pager, pager->space.end); /* keeps P3 */
    if (st != VS_OK) {
        vsi_space_give(&pager->space, run);
        return st;
    }
    vsi_buf_append(&pager->taken, &run, sizeof run);
    *out_page = run.page;
    return VS_OK;
}

VSI_FN vs_status vsi_pager_write_at(vsi_err *err, vsi_pager *pager, int kind, uint32_t level,
                                    vsi_bytes bytes, uint64_t page, vsi_ref *out_ref) {
    uint64_t pages = bytes.bytes / VSI_PAGE_BYTES;
    vsi_assert(pages > 0 && pages <= VSI_EXTENT_PAGES_MAX);
    vsi_assert(bytes.bytes % VSI_PAGE_BYTES == 0);
    vsi_assert(!memcmp(bytes.data + bytes.bytes - pager->trailer_bytes,
                       (const uint8_t[VSI_TRAILER_BYTES]){0}, pager->trailer_bytes));
    vs_status st = pager_put(err, pager, page, bytes);
    if (st != VS_OK)
        return st;
    *out_ref = (vsi_ref){.at = vsi_ref_extent(page, pages),
                         .birth = pager->birth,
                         .kind = (uint8_t)kind,
                         .level = (uint8_t)level,
                         .hash = vsi_hash64(bytes.data, bytes.bytes, page)};
    return VS_OK;
}

VSI_FN vs_status vsi_pager_write(vsi_err *err, vsi_pager *pager, int kind, uint32_t level,
                                 vsi_bytes bytes, vsi_ref *out_ref) {
    uint64_t page = 0;
    vs_status st = vsi_pager_take(err, pager, bytes.bytes / VSI_PAGE_BYTES, &page);
    return st == VS_OK ? vsi_pager_write_at(err, pager, kind, level, bytes, page, out_ref) : st;
}

VSI_FN void vsi_pager_keep(vsi_pager *pager) {
    vsi_space_seal(&pager->space);
    vsi_buf_free(&pager->taken);
    vsi_buf_free(&pager->out);
}

VSI_FN void vsi_pager_undo_to(vsi_pager *pager, size_t taken_bytes) {
    pager->out.bytes = 0;
    while (pager->taken.bytes > taken_bytes) {
        vsi_run run;
        pager->taken.bytes -= sizeof run;
        memcpy(&run, pager->taken.data + pager->taken.bytes, sizeof run);
        vsi_pager_forget(pager, run);
        vsi_space_give(&pager->space, run);
    }
}

VSI_FN void vsi_pager_undo(vsi_pager *pager) {
    vsi_pager_undo_to(pager, 0);
    vsi_pager_keep(pager);
}
