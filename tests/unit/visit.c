/* visit.c - one tree made at random, in the file and in memory: all it is made of is visited once, and what is
 * no tree ends the visit. */
#include "store/visit.h"
#include "os/memory.h"
#include "store/value.h"
#include "vt.h"

enum { EXTENTS = 900 };

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
    vsi_cow cow;
    vsi_err err;
    vt_rng rng;
    fact fact[EXTENTS];
    size_t facts;
    size_t visits, blocks;
    size_t stop_at; /* the visit that ends it, from 1; 0: none */
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

static fixture *begin(uint64_t seed) {
    static fixture one;
    fixture *f = &one;
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
    vsi_cow_init(&f->cow, &f->mem);
    f->cow.pager = &f->pager;
    return f;
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
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
    return f->facts++;
}

static size_t add_large(fixture *f, int kind) {
    static uint8_t data[3 * VSI_PAGE_BYTES];
    for (size_t i = 0; i < sizeof data; i += 8)
        vsi_put_u64(data + i, vt_random(&f->rng));
    size_t pages = 1 + vt_below(&f->rng, 3);
    return add_extent(f, kind, 0, (vsi_bytes){data, pages * VSI_PAGE_BYTES});
}

/* A node that refers to extents given by their numbers; refs of one entry each. */
static size_t add_node(fixture *f, uint32_t level, const size_t *children, size_t n, size_t refs) {
    uint8_t page[VSI_PAGE_BYTES], key[4], encoded[VSI_NODE_REFS_MAX * VSI_REF_BYTES];
    vsi_node_init(page, level, 0);
    for (size_t i = 0; i < n || i == 0; i += refs) {
        size_t here = n - i < refs ? n - i : refs;
        for (size_t k = 0; k < here; k++)
            vsi_ref_encode(f->fact[children[i + k]].ref, encoded + k * VSI_REF_BYTES);
        vsi_put_u32_be(key, (uint32_t)i);
        vsi_node_item item = {.key = {key, 4}, .refs = encoded, .ref_count = (uint32_t)here};
        vsi_node_insert(page, vsi_node_count(page), &item);
    }
    size_t at = add_extent(f, VSI_REF_NODE, level, (vsi_bytes){page, VSI_PAGE_BYTES});
    for (size_t i = 0; i < n; i++)
        f->fact[children[i]].parent = at;
    return at;
}

static size_t add_leaf(fixture *f) {
    size_t child[12], n = vt_below(&f->rng, 12);
    for (size_t i = 0; i < n; i++)
        child[i] = add_large(f, vt_below(&f->rng, 2) ? VSI_REF_SLAB : VSI_REF_BLOB);
    return add_node(f, 0, child, n, 1 + vt_below(&f->rng, 5));
}

static size_t add_tree(fixture *f, uint32_t level) {
    size_t child[4], n = 1 + vt_below(&f->rng, 4);
    if (!level)
        return add_leaf(f);
    for (size_t i = 0; i < n; i++)
        child[i] = add_tree(f, level - 1);
    return add_node(f, level, child, n, 1);
}

static void flush(fixture *f) {
    OK(vsi_pager_flush(&f->err, &f->pager));
}

static vsi_ref make_tree(fixture *f, uint32_t level) {
    size_t root = add_tree(f, level);
    flush(f);
    return f->fact[root].ref;
}

/* ---- visiting ------------------------------------------------------------------------------- */

static vs_status visit(void *ctx, vsi_err *err, vsi_ref ref) {
    fixture *f = ctx;
    size_t i = 0;
    f->visits++;
    if (ref.is_block) {
        f->blocks++;
    } else {
        while (i < f->facts && f->fact[i].ref.at != ref.at)
            i++;
        VT_CHECK(i < f->facts);
        fact *found = &f->fact[i];
        VT_CHECK(found->ref.kind == ref.kind && found->ref.hash == ref.hash);
        found->visits++;
    }
    return f->visits == f->stop_at ? vsi_fail(err, VS_ERR_BUSY, "stop here") : VS_OK;
}

/* Beside that, a node comes before what it leads to. */
static vs_status visit_downwards(void *ctx, vsi_err *err, vsi_ref ref) {
    fixture *f = ctx;
    for (size_t i = 0; i < f->facts; i++)
        if (f->fact[i].ref.at == ref.at && f->fact[i].parent < EXTENTS)
            VT_EQ(f->fact[f->fact[i].parent].visits, 1);
    return visit(ctx, err, ref);
}

static vs_status go(fixture *f, vsi_ref root, vsi_visit_fn fn) {
    const vsi_btree tree = {.cow = &f->cow, .root = root};
    f->visits = f->blocks = 0;
    for (size_t i = 0; i < f->facts; i++)
        f->fact[i].visits = 0;
    memset(&f->err, 0, sizeof f->err);
    vs_status st = vsi_visit(&f->err, &tree, fn, f);
    VT_EQ(f->err.code & 255, st); /* the kind of an error of files is above */
    VT_EQ(f->err.text[0] != 0, st != VS_OK);
    return st;
}

static void check_visited_once(const fixture *f) {
    for (size_t i = 0; i < f->facts; i++)
        VT_EQ(f->fact[i].visits, 1);
}

static void check_refused(fixture *f, vsi_ref root, const char *reason) {
    VT_EQ(go(f, root, visit), VS_ERR_CORRUPT);
    VT_CONTAINS(f->err.text, reason);
}

VT_TEST(everything_of_a_tree_is_visited_once_from_the_root_down) {
    for (uint64_t seed = 0; seed < 40; seed++) {
        fixture *f = begin(seed);
        vsi_ref root = make_tree(f, (uint32_t)seed % 4);
        OK(go(f, root, visit_downwards));
        check_visited_once(f);
        VT_EQ(f->visits, f->facts);
        end(f);
    }
}

VT_TEST(a_tree_without_a_root_has_nothing_to_visit) {
    fixture *f = begin(0);
    OK(go(f, (vsi_ref){.kind = VSI_REF_NONE}, visit));
    VT_EQ(f->visits, 0);
    f->cow.pager = NULL; /* all is in memory */
    OK(go(f, (vsi_ref){.kind = VSI_REF_NONE}, visit));
    end(f);
}

VT_TEST(what_lies_aside_of_the_tree_is_not_visited) {
    fixture *f = begin(3);
    size_t other = add_tree(f, 1), others = f->facts;
    vsi_ref root = make_tree(f, 2);
    OK(go(f, root, visit));
    VT_EQ(f->visits, f->facts - others);
    VT_EQ(f->fact[other].visits, 0);
    end(f);
}

/* ---- in memory ------------------------------------------------------------------------------ */

static void put(fixture *f, vsi_btree *tree, uint32_t number, size_t bytes) {
    static uint8_t data[9000];
    uint8_t key[4];
    vsi_put_u32_be(key, number);
    VT_CHECK(bytes <= sizeof data);
    OK(vsi_value_put(&f->err, tree, (vsi_bytes){key, 4}, (vsi_bytes){data, bytes},
                     vsi_hash128_of(data, bytes, 0)));
}

static size_t count_blocks(const fixture *f) {
    size_t n = 0;
    for (const vsi_block *block = f->cow.newest; block; block = block->older)
        n++;
    return n;
}

VT_TEST(blocks_in_memory_are_visited_like_extents) {
    for (int has_pager = 0; has_pager < 2; has_pager++) {
        fixture *f = begin(1);
        vsi_btree tree = {.cow = &f->cow};
        f->cow.pager = has_pager ? &f->pager : NULL;
        vsi_cow_mark mark = vsi_cow_open(&f->cow);
        for (uint32_t i = 0; i < 900; i++)
            put(f, &tree, (uint32_t)vt_mix(i), i % 90 == 7 ? 9000 : i % 200);
        OK(go(f, tree.root, visit));
        VT_EQ(f->visits, count_blocks(f)); /* nodes of two levels, and large values */
        VT_EQ(f->blocks, f->visits);
        VT_CHECK(f->blocks > 30);
        vsi_cow_undo(&f->cow, mark);
        end(f);
    }
}

/* A node in memory leads to some that are in the file. */
VT_TEST(a_tree_that_is_partly_in_memory_is_visited_whole) {
    for (uint64_t seed = 0; seed < 20; seed++) {
        fixture *f = begin(seed);
        vsi_btree tree = {.cow = &f->cow, .root = make_tree(f, 2)};
        vsi_cow_mark mark = vsi_cow_open(&f->cow);
        put(f, &tree, 1u << 31, 9000);
        put(f, &tree, 1u << 30, 3);
        OK(go(f, tree.root, visit));
        VT_EQ(f->blocks, 4); /* the way down, and the large value */
        VT_EQ(f->visits, f->facts - 3 + f->blocks);
        vsi_cow_undo(&f->cow, mark);
        end(f);
    }
}

/* ---- what is no tree ------------------------------------------------------------------------ */

VT_TEST(a_node_of_a_wrong_level_is_refused) {
    for (uint32_t parent = 1; parent <= VSI_NODE_LEVEL_MAX; parent += 3)
        for (uint32_t below = 0; below <= VSI_NODE_LEVEL_MAX; below++) {
            fixture *f = begin(0);
            size_t child[3];
            child[0] = add_large(f, VSI_REF_BLOB);
            child[0] = add_node(f, 0, child, 1, 1);
            for (uint32_t level = 1; level <= below; level++)
                child[0] = add_node(f, level, child, 1, 1);
            size_t root = add_node(f, parent, child, 1, 1);
            flush(f);
            if (below + 1 == parent)
                OK(go(f, f->fact[root].ref, visit));
            else
                VT_EQ(go(f, f->fact[root].ref, visit), VS_ERR_CORRUPT);
            end(f);
        }
}

VT_TEST(references_that_no_node_of_a_tree_has_are_refused) {
    static const struct {
        uint32_t level;
        int kind;
    } bad[] = {{0, VSI_REF_NODE}, {0, VSI_REF_FREE}, {0, VSI_REF_NONE}, {0, 9},  {0, 255},
               {1, VSI_REF_BLOB}, {1, VSI_REF_SLAB}, {1, VSI_REF_FREE}, {1, 255}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fixture *f = begin(i);
        size_t child = bad[i].kind == VSI_REF_NODE ? add_leaf(f) : add_large(f, VSI_REF_BLOB);
        f->fact[child].ref.kind = (uint8_t)bad[i].kind;
        size_t root = add_node(f, bad[i].level, &child, 1, 1);
        flush(f);
        VT_EQ(go(f, f->fact[root].ref, visit), VS_ERR_CORRUPT);
        VT_EQ(f->fact[child].visits, 0);
        end(f);
    }
}

VT_TEST(a_root_that_is_no_node_is_refused) {
    static const int kinds[] = {VSI_REF_BLOB, VSI_REF_SLAB, VSI_REF_FREE, 77};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        fixture *f = begin(i);
        size_t at = add_large(f, VSI_REF_BLOB);
        flush(f);
        f->fact[at].ref.kind = (uint8_t)kinds[i];
        check_refused(f, f->fact[at].ref, "leads to what is none below it");
        VT_EQ(f->visits, 0);
        end(f);
    }
}

VT_TEST(nodes_that_share_their_children_end_it) {
    size_t child[100];
    fixture *f = begin(0);
    size_t at = add_large(f, VSI_REF_BLOB);
    for (uint32_t level = 0; level < 9; level++) { /* 100 to the power of nine ways down */
        for (size_t i = 0; i < 100; i++)
            child[i] = at;
        at = add_node(f, level, child, 100, 1);
    }
    flush(f);
    check_refused(f, f->fact[at].ref, "more than once");
    uint64_t bytes = 0;
    OK(vsi_file_size(&f->err, &f->file, &bytes));
    VT_CHECK(f->visits <= 101 * (bytes / VSI_PAGE_BYTES));
    end(f);
}

static void flip(fixture *f, uint64_t off) {
    uint8_t byte = 0;
    size_t got = 0;
    OK(vsi_file_read(&f->err, &f->file, &byte, 1, off, &got));
    byte ^= 4;
    OK(vsi_file_write(&f->err, &f->file, &byte, 1, off));
}

/* Large values and slabs are not read: they go whatever they hold. */
VT_TEST(a_damaged_node_ends_it_and_a_damaged_value_does_not) {
    fixture *f = begin(5);
    vsi_ref root = make_tree(f, 2);
    for (size_t i = 0; i < f->facts; i++) {
        uint64_t off = vsi_ref_page(f->fact[i].ref) * VSI_PAGE_BYTES + vt_below(&f->rng, 4096);
        flip(f, off);
        VT_EQ(go(f, root, visit), f->fact[i].ref.kind == VSI_REF_NODE ? VS_ERR_CORRUPT : VS_OK);
        VT_EQ(f->fact[i].visits, f->fact[i].ref.kind != VSI_REF_NODE);
        flip(f, off);
    }
    OK(go(f, root, visit));
    check_visited_once(f);
    end(f);
}

/* ---- failures ------------------------------------------------------------------------------- */

VT_TEST(a_visitor_that_fails_ends_it) {
    fixture *f = begin(1);
    vsi_ref root = make_tree(f, 2);
    for (f->stop_at = 1; f->stop_at <= f->facts; f->stop_at++) {
        VT_EQ(go(f, root, visit), VS_ERR_BUSY);
        VT_STR(f->err.text, "stop here");
        VT_EQ(f->visits, f->stop_at);
    }
    OK(go(f, root, visit));
    end(f);
}

VT_TEST(a_device_that_fails_to_read_ends_it) {
    fixture *f = begin(2);
    vsi_ref root = make_tree(f, 3);
    uint64_t before = fault.reads;
    OK(go(f, root, visit));
    uint64_t reads = fault.reads - before; /* one of each node */
    VT_CHECK(reads > 3);
    for (uint64_t k = 1; k <= reads; k++) {
        fault.fail_at = fault.reads + k;
        VT_EQ(go(f, root, visit), VS_ERR_IO);
    }
    fault.fail_at = 0;
    OK(go(f, root, visit));
    check_visited_once(f);
    end(f);
}

VT_TEST(without_memory_it_ends_and_leaves_nothing) {
    fixture *f = begin(1);
    vsi_ref root = make_tree(f, 3);
    uint64_t live = f->allocator.live_blocks;
    uint64_t failed = 0;
    for (uint64_t k = 1;; k++) {
        uint64_t failures = f->allocator.failures;
        f->allocator.fail_at = f->allocator.calls + k;
        vs_status st = go(f, root, visit);
        f->allocator.fail_at = 0;
        VT_EQ(f->allocator.live_blocks, live);
        if (f->allocator.failures == failures) {
            VT_EQ(st, VS_OK);
            break;
        }
        VT_EQ(st, VS_ERR_NOMEM);
        failed++;
    }
    VT_CHECK(failed >= 3); /* the stack grows */
    check_visited_once(f);
    end(f);
}
