/* walk.c - trees of extents made at random: each is visited once, and damage of each is found. */
#include "store/walk.h"
#include "os/memory.h"
#include "store/node.h"
#include "vt.h"

enum { EXTENTS = 600, DEPTH_MAX = 2 * (VSI_NODE_LEVEL_MAX + 1) };

/* An extent that was written, and the node that refers to it. */
typedef struct fact {
    vsi_ref ref;
    size_t parent; /* EXTENTS: none */
    size_t visits;
} fact;

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory; /* as it is */
    vs_vfs vfs;     /* counted, with failures */
    vsi_file file;
    vsi_pager pager;
    vsi_err err;
    vt_rng rng;
    fact fact[EXTENTS];
    size_t facts, nodes;
    size_t damages;
    char found[VSI_ERR_TEXT_BYTES]; /* the last damage */
    size_t visits, stop_at;         /* the visit that ends the walk, from 1; 0: none */
} fixture;

static struct {
    const vs_vfs *below;
    uint64_t reads, fail_at; /* 0: none */
} fault;

static vs_status fault_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    if (++fault.reads == fault.fail_at)
        return VS_ERR_IO;
    return fault.below->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

/* ---- fixture -------------------------------------------------------------------------------- */

static void check_ok(fixture *f, vs_status st, int line) {
    if (st != VS_OK)
        vt_fail(__FILE__, line, "status %d: %s", st, f->err.text);
}

#define OK(call) check_ok(f, call, __LINE__)

static void begin(fixture *f, uint64_t seed) {
    memset(f, 0, sizeof *f);
    memset(&fault, 0, sizeof fault);
    f->rng.state = vt_seed() + seed;
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    fault.below = f->memory;
    f->vfs = *f->memory;
    f->vfs.read = fault_read;
    OK(vsi_file_open(&f->err, &f->mem, &f->vfs, "base.vs", VS_VFS_WRITE | VS_VFS_CREATE, &f->file));
    VT_CHECK(vsi_pager_init(&f->pager, &f->mem, &f->file));
    f->pager.space.is_known = true;
}

static void end(fixture *f) {
    vsi_pager_free(&f->pager);
    vsi_file_close(&f->file);
    VT_EQ(f->allocator.live_blocks, 0);
    vsi_memory_vfs_destroy(f->memory);
}

/* ---- making trees --------------------------------------------------------------------------- */

static size_t add_extent(fixture *f, int kind, uint32_t level, vsi_bytes bytes) {
    fact *new = &f->fact[f->facts];
    VT_CHECK(f->facts < EXTENTS);
    OK(vsi_pager_write(&f->err, &f->pager, kind, level, bytes, &new->ref));
    new->parent = EXTENTS;
    f->nodes += kind == VSI_REF_NODE;
    return f->facts++;
}

static size_t add_large(fixture *f, int kind) {
    static uint8_t data[4 * VSI_PAGE_BYTES];
    for (size_t i = 0; i < sizeof data; i += 8)
        vsi_put_u64(data + i, vt_random(&f->rng));
    size_t pages = 1 + vt_below(&f->rng, 4);
    return add_extent(f, kind, 0, (vsi_bytes){data, pages * VSI_PAGE_BYTES});
}

/* A node that refers to extents given by their numbers, EXTENTS: to nothing; refs of one entry each. */
static size_t add_node(fixture *f, uint32_t level, const size_t *children, size_t n, size_t refs) {
    uint8_t page[VSI_PAGE_BYTES], key[4], encoded[VSI_NODE_REFS_MAX * VSI_REF_BYTES];
    vsi_node_init(page, level, 0);
    for (size_t i = 0; i < n || i == 0; i += refs) {
        size_t here = n - i < refs ? n - i : refs;
        for (size_t k = 0; k < here; k++) {
            vsi_ref none = {.kind = VSI_REF_NONE};
            size_t child = children[i + k];
            vsi_ref_encode(child < EXTENTS ? f->fact[child].ref : none,
                           encoded + k * VSI_REF_BYTES);
        }
        vsi_put_u32_be(key, (uint32_t)i);
        vsi_node_item item = {.key = {key, 4}, .refs = encoded, .ref_count = (uint32_t)here};
        vsi_node_insert(page, vsi_node_count(page), &item);
    }
    size_t at = add_extent(f, VSI_REF_NODE, level, (vsi_bytes){page, VSI_PAGE_BYTES});
    for (size_t i = 0; i < n; i++)
        if (children[i] < EXTENTS)
            f->fact[children[i]].parent = at;
    return at;
}

/* A leaf with large values, slabs and roots of other trees; nesting says how deep those go. */
static size_t add_tree(fixture *f, uint32_t level, int nesting);

static size_t add_leaf(fixture *f, int nesting) {
    size_t child[12], n = vt_below(&f->rng, 12);
    for (size_t i = 0; i < n; i++) {
        uint64_t what = vt_below(&f->rng, 6);
        if (what == 0)
            child[i] = EXTENTS;
        else if (what < 4 || !nesting)
            child[i] = add_large(f, what % 2 ? VSI_REF_SLAB : VSI_REF_BLOB);
        else
            child[i] = add_tree(f, (uint32_t)vt_below(&f->rng, 3), nesting - 1);
    }
    return add_node(f, 0, child, n, 1 + vt_below(&f->rng, 5));
}

static size_t add_tree(fixture *f, uint32_t level, int nesting) {
    size_t child[3], n = 1 + vt_below(&f->rng, 3);
    if (!level)
        return add_leaf(f, nesting);
    for (size_t i = 0; i < n; i++)
        child[i] = add_tree(f, level - 1, f->facts < EXTENTS / 3 ? nesting : 0);
    return add_node(f, level, child, n, 1);
}

static vsi_ref make_tree(fixture *f) {
    size_t root = add_tree(f, 2, 1);
    OK(vsi_pager_flush(&f->err, &f->pager));
    return f->fact[root].ref;
}

/* ---- walking -------------------------------------------------------------------------------- */

static vs_status visit(void *ctx, vsi_err *err, vsi_ref ref) {
    fixture *f = ctx;
    size_t i = 0;
    while (i < f->facts && f->fact[i].ref.at != ref.at)
        i++;
    VT_CHECK(i < f->facts);
    fact *found = &f->fact[i];
    VT_CHECK(found->ref.kind == ref.kind && found->ref.hash == ref.hash);
    VT_CHECK(found->parent == EXTENTS || f->fact[found->parent].visits == 1); /* downwards */
    found->visits++;
    f->visits++;
    return f->visits == f->stop_at ? vsi_fail(err, VS_ERR_BUSY, "stop here") : VS_OK;
}

static void damaged(void *ctx, const vsi_err *err) {
    fixture *f = ctx;
    VT_EQ(err->code, VS_ERR_CORRUPT);
    snprintf(f->found, sizeof f->found, "%s", err->text);
    f->damages++;
}

static vs_status walk(fixture *f, vsi_ref root, bool reads_all, bool reports) {
    vsi_walk how = {
        .visit = visit, .damaged = reports ? damaged : NULL, .ctx = f, .reads_all = reads_all};
    for (size_t i = 0; i < f->facts; i++)
        f->fact[i].visits = 0;
    f->visits = f->damages = 0;
    uint64_t blocks = f->allocator.live_blocks;
    vs_status st = vsi_walk_run(&f->err, &f->pager, root, &how);
    VT_EQ(f->allocator.live_blocks, blocks);
    return st;
}

static void check_visited_once(const fixture *f) {
    for (size_t i = 0; i < f->facts; i++)
        VT_EQ(f->fact[i].visits, 1);
    VT_EQ(f->damages, 0);
}

static void flip(fixture *f, uint64_t off) {
    uint8_t byte = 0;
    size_t got = 0;
    OK(vsi_file_read(&f->err, &f->file, &byte, 1, off, &got));
    byte ^= 4;
    OK(vsi_file_write(&f->err, &f->file, &byte, 1, off));
}

/* A random byte of an extent; the same the next time when seed is. */
static void damage(fixture *f, size_t at, uint64_t seed) {
    vsi_ref ref = f->fact[at].ref;
    flip(f,
         vsi_ref_page(ref) * VSI_PAGE_BYTES + vt_mix(seed) % (vsi_ref_pages(ref) * VSI_PAGE_BYTES));
}

static bool is_below(const fixture *f, size_t at, size_t top) {
    while (at < EXTENTS && at != top)
        at = f->fact[at].parent;
    return at == top;
}

VT_TEST(a_walk_visits_every_extent_once_from_the_root_down) {
    static fixture f;
    size_t extents = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        begin(&f, seed);
        vsi_ref root = make_tree(&f);
        extents += f.facts;
        fault.reads = 0;
        VT_EQ(walk(&f, root, false, true), VS_OK);
        check_visited_once(&f);
        VT_EQ(fault.reads, f.nodes); /* of the others only the places are told */
        VT_EQ(walk(&f, root, true, false), VS_OK);
        check_visited_once(&f);
        VT_EQ(fault.reads, f.nodes + f.facts);
        VT_EQ(f.pager.page_count, 0); /* the cache is left alone */
        end(&f);
    }
    VT_CHECK(extents > 1000);
}

VT_TEST(a_walk_from_nowhere_visits_nothing) {
    static fixture f;
    begin(&f, 0);
    VT_EQ(walk(&f, (vsi_ref){.kind = VSI_REF_NONE}, true, false), VS_OK);
    VT_EQ(f.visits, 0);
    end(&f);
}

VT_TEST(a_walk_reads_the_file_and_not_the_cache) {
    static fixture f;
    const uint8_t *page = NULL;
    begin(&f, 3);
    vsi_ref root = make_tree(&f);
    VT_EQ(vsi_pager_node(&f.err, &f.pager, root, &page), VS_OK);
    damage(&f, f.facts - 1, 7);
    VT_EQ(vsi_pager_node(&f.err, &f.pager, root, &page), VS_OK);
    VT_EQ(walk(&f, root, false, false), VS_ERR_CORRUPT);
    end(&f);
}

/* ---- damage --------------------------------------------------------------------------------- */

/* What lies behind the damage is not visited, all else is. */
static void check_found(fixture *f, size_t at) {
    char expected[64];
    VT_EQ(f->damages, 1);
    snprintf(expected, sizeof expected, "page %u ", (unsigned)vsi_ref_page(f->fact[at].ref));
    VT_CONTAINS(f->found, expected);
    for (size_t i = 0; i < f->facts; i++)
        VT_EQ(f->fact[i].visits, i == at || !is_below(f, i, at));
}

VT_TEST(damage_of_every_extent_is_found_and_the_walk_goes_on_beside_it) {
    static fixture f;
    begin(&f, 1);
    vsi_ref root = make_tree(&f);
    VT_CHECK(f.facts > 30 && f.facts > f.nodes + 10);
    for (size_t at = 0; at < f.facts; at++) {
        bool is_node = f.fact[at].ref.kind == VSI_REF_NODE;
        damage(&f, at, at);
        VT_EQ(walk(&f, root, true, true), VS_OK);
        check_found(&f, at);
        VT_EQ(walk(&f, root, true, false), VS_ERR_CORRUPT);
        VT_EQ(walk(&f, root, false, true), VS_OK);
        VT_EQ(f.damages, is_node);
        VT_EQ(walk(&f, root, false, false), is_node ? VS_ERR_CORRUPT : VS_OK);
        damage(&f, at, at); /* undoes it */
    }
    VT_EQ(walk(&f, root, true, false), VS_OK);
    end(&f);
}

VT_TEST(several_damages_are_all_found) {
    static fixture f;
    for (uint64_t seed = 0; seed < 20; seed++) {
        begin(&f, seed);
        vsi_ref root = make_tree(&f);
        bool is_bad[EXTENTS] = {false};
        size_t expected = 0;
        for (size_t i = 0; i < 5; i++) {
            size_t at = vt_below(&f.rng, f.facts);
            if (!is_bad[at])
                damage(&f, at, at);
            is_bad[at] = true;
        }
        for (size_t i = 0; i < f.facts; i++) {
            size_t at = f.fact[i].parent;
            while (at < EXTENTS && !is_bad[at])
                at = f.fact[at].parent;
            expected += is_bad[i] && at == EXTENTS;
        }
        VT_EQ(walk(&f, root, true, true), VS_OK);
        VT_EQ(f.damages, expected);
        end(&f);
    }
}

VT_TEST(a_truncated_file_is_damage) {
    static fixture f;
    begin(&f, 2);
    vsi_ref root = make_tree(&f);
    VT_EQ(vsi_file_truncate(&f.err, &f.file, (uint64_t)40 * VSI_PAGE_BYTES), VS_OK);
    VT_EQ(walk(&f, root, true, true), VS_OK); /* the root is written last */
    VT_EQ(f.damages, 1);
    VT_CONTAINS(f.found, "is missing");
    VT_EQ(f.visits, 1);
    VT_EQ(walk(&f, root, true, false), VS_ERR_CORRUPT);
    end(&f);
}

/* ---- depth ---------------------------------------------------------------------------------- */

/* Leaves that refer to leaves, so many of them, and perhaps a large value behind the last. */
static vsi_ref make_chain(fixture *f, size_t nodes, bool has_blob) {
    size_t child = has_blob ? add_large(f, VSI_REF_BLOB) : EXTENTS;
    for (size_t i = 0; i < nodes; i++)
        child = add_node(f, 0, &child, 1, 1);
    OK(vsi_pager_flush(&f->err, &f->pager));
    return f->fact[child].ref;
}

VT_TEST(trees_nested_as_deep_as_allowed_are_walked_and_deeper_ones_are_damage) {
    static fixture f;
    for (size_t i = 0; i < 2; i++) {
        begin(&f, 0);
        vsi_ref root = make_chain(&f, DEPTH_MAX, i);
        VT_EQ(walk(&f, root, true, false), VS_OK);
        check_visited_once(&f);
        end(&f);
        begin(&f, 0);
        root = make_chain(&f, DEPTH_MAX + 1, i);
        VT_EQ(walk(&f, root, true, false), VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, "too deep");
        VT_EQ(walk(&f, root, true, true), VS_OK);
        VT_EQ(f.damages, 1);
        VT_CONTAINS(f.found, "too deep");
        end(&f);
    }
}

VT_TEST(nodes_that_share_their_children_end_the_walk_as_damage) {
    static fixture f;
    size_t child[100];
    begin(&f, 0);
    size_t at = add_large(&f, VSI_REF_BLOB);
    for (uint32_t level = 0; level < 9; level++) { /* 100 to the power of nine ways down */
        for (size_t i = 0; i < 100; i++)
            child[i] = at;
        at = add_node(&f, level, child, 100, 1);
    }
    VT_EQ(vsi_pager_flush(&f.err, &f.pager), VS_OK);
    VT_EQ(walk(&f, f.fact[at].ref, false, false), VS_ERR_CORRUPT);
    VT_CONTAINS(f.err.text, "more than once");
    VT_EQ(walk(&f, f.fact[at].ref, false, true), VS_OK);
    VT_EQ(f.damages, 1);
    end(&f);
}

/* ---- failures ------------------------------------------------------------------------------- */

VT_TEST(a_reference_of_a_kind_that_no_tree_has_is_damage) {
    static const uint8_t kinds[] = {VSI_REF_FREE, 9, 255};
    for (size_t i = 0; i < sizeof kinds; i++) {
        static fixture one;
        fixture *f = &one;
        begin(f, 0);
        size_t blob = add_large(f, VSI_REF_BLOB);
        f->fact[blob].ref.kind = kinds[i];
        size_t root = add_node(f, 0, &blob, 1, 1);
        OK(vsi_pager_flush(&f->err, &f->pager));
        OK(walk(f, f->fact[root].ref, true, true));
        VT_EQ(f->damages, 1);
        VT_CONTAINS(f->found, "expected 3");
        VT_EQ(f->fact[blob].visits, 0);
        VT_EQ(walk(f, f->fact[root].ref, true, false), VS_ERR_CORRUPT);
        end(f);
    }
}

VT_TEST(a_visitor_that_fails_ends_the_walk) {
    static fixture f;
    begin(&f, 1);
    vsi_ref root = make_tree(&f);
    for (f.stop_at = 1; f.stop_at <= f.facts; f.stop_at++) {
        VT_EQ(walk(&f, root, true, true), VS_ERR_BUSY);
        VT_STR(f.err.text, "stop here");
        VT_EQ(f.visits, f.stop_at);
        VT_EQ(f.damages, 0);
    }
    VT_EQ(walk(&f, root, true, true), VS_OK);
    end(&f);
}

VT_TEST(a_device_that_fails_to_read_ends_the_walk_and_is_no_damage) {
    static fixture f;
    begin(&f, 1);
    vsi_ref root = make_tree(&f);
    for (uint64_t k = 1; k <= f.facts; k++) {
        fault.fail_at = fault.reads + k;
        VT_EQ(walk(&f, root, true, true), VS_ERR_IO);
        VT_EQ(f.damages, 0);
        VT_EQ(f.visits, k);
    }
    fault.fail_at = 0;
    VT_EQ(walk(&f, root, true, true), VS_OK);
    check_visited_once(&f);
    end(&f);
}

VT_TEST(without_memory_the_walk_ends_and_is_no_damage) {
    static fixture f;
    begin(&f, 1);
    vsi_ref root = make_tree(&f);
    vs_status st = VS_ERR_NOMEM;
    uint64_t k = 0;
    while (st != VS_OK) {
        f.allocator.fail_at = f.allocator.calls + ++k;
        st = walk(&f, root, true, true);
        f.allocator.fail_at = 0;
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        VT_EQ(f.damages, 0);
    }
    VT_CHECK(k > 3);
    check_visited_once(&f);
    end(&f);
}
