/* cow.c - blocks that are copied on write: scopes, undo, and the lists of replaced blocks. */
#include "store/cow.h"
#include "vt.h"

/* ---- a structure made of blocks ------------------------------------------------------------- */

enum { CELLS = 12 };

typedef struct cell {
    vsi_block block;
    int value;
    uint8_t padding[40];
} cell;

typedef struct table {
    vsi_block block;
    cell *cell[CELLS];
} table;

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
} fixture;

static void *dirty_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    uint8_t *fresh = vt_realloc(ctx, ptr, old_bytes, new_bytes);
    if (fresh && new_bytes > old_bytes)
        memset(fresh + old_bytes, 0xa5, new_bytes - old_bytes);
    return fresh;
}

static void begin(fixture *f) {
    memset(&f->allocator, 0, sizeof f->allocator);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, dirty_realloc});
    vsi_cow_init(&f->cow, &f->mem);
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

static bool put(fixture *f, table **root, int at, int value) {
    table *t = *root ? vsi_cow_touch(&f->cow, *root) : vsi_cow_new(&f->cow, sizeof *t);
    if (!t)
        return false;
    *root = t;
    cell *c = t->cell[at] ? vsi_cow_touch(&f->cow, t->cell[at]) : vsi_cow_new(&f->cow, sizeof *c);
    if (!c)
        return false;
    t->cell[at] = c;
    c->value = value;
    return true;
}

static bool clear(fixture *f, table **root, int at) {
    table *t = vsi_cow_touch(&f->cow, *root);
    if (!t)
        return false;
    *root = t;
    vsi_cow_drop(&f->cow, t->cell[at]);
    t->cell[at] = NULL;
    return true;
}

/* Commits one value in a transaction of its own; the blocks that older versions need. */
static vsi_block *commit_put(fixture *f, table **root, int at, int value) {
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    VT_CHECK(put(f, root, at, value));
    vsi_cow_keep(&f->cow, mark);
    return vsi_cow_take_dead(&f->cow);
}

/* ---- blocks --------------------------------------------------------------------------------- */

VT_TEST(a_new_block_is_zero_behind_its_header) {
    fixture f;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (size_t bytes = sizeof(vsi_block); bytes < 300; bytes++) {
        uint8_t *block = vsi_cow_new(&f.cow, bytes);
        for (size_t i = sizeof(vsi_block); i < bytes; i++)
            VT_EQ(block[i], 0);
        VT_EQ(((vsi_block *)(void *)block)->bytes, bytes);
    }
    vsi_cow_keep(&f.cow, mark);
    end(&f);
}

VT_TEST(a_heap_that_is_all_zero_can_be_freed_and_nothing_can_be_dropped) {
    vsi_err err = {0};
    vsi_cow cow;
    memset(&cow, 0, sizeof cow);
    VT_EQ(vsi_cow_drop_ref(&err, &cow, (vsi_ref){.kind = VSI_REF_NONE}), VS_OK);
    VT_EQ(cow.dead_extents.bytes, 0);
    vsi_cow_free_all(&cow);
}

VT_TEST(a_block_of_the_open_scope_is_changed_in_place) {
    fixture f;
    table *root = NULL;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &root, 0, 1));
    cell *c = root->cell[0];
    VT_CHECK(vsi_cow_touch(&f.cow, root) == root);
    VT_CHECK(vsi_cow_touch(&f.cow, c) == c);
    VT_EQ(f.allocator.live_blocks, 2);
    vsi_cow_keep(&f.cow, mark);
    VT_CHECK(!vsi_cow_take_dead(&f.cow));
    end(&f);
}

VT_TEST(a_block_of_an_earlier_transaction_is_copied_and_stays_as_it_was) {
    fixture f;
    table *root = NULL;
    begin(&f);
    VT_CHECK(!commit_put(&f, &root, 3, 33));
    table *old = root;
    cell *old_cell = root->cell[3];
    vsi_block *dead = commit_put(&f, &root, 3, 44);
    VT_CHECK(root != old && root->cell[3] != old_cell);
    VT_EQ(root->cell[3]->value, 44);
    VT_CHECK(old->cell[3] == old_cell);
    VT_EQ(old_cell->value, 33);
    VT_CHECK(dead);
    VT_EQ(f.allocator.live_blocks, 4);
    vsi_cow_free_dead(&f.cow, dead);
    VT_EQ(f.allocator.live_blocks, 2);
    VT_EQ(root->cell[3]->value, 44);
    end(&f);
}

VT_TEST(a_copy_holds_all_that_the_block_held) {
    fixture f;
    begin(&f);
    for (size_t bytes = sizeof(vsi_block) + 1; bytes < 4200; bytes += 613) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        uint8_t *block = vsi_cow_new(&f.cow, bytes);
        for (size_t i = sizeof(vsi_block); i < bytes; i++)
            block[i] = (uint8_t)(i * 7);
        vsi_cow_keep(&f.cow, mark);
        mark = vsi_cow_open(&f.cow);
        uint8_t *copy = vsi_cow_touch(&f.cow, block);
        VT_CHECK(copy != block);
        VT_CHECK(!memcmp(copy + sizeof(vsi_block), block + sizeof(vsi_block),
                         bytes - sizeof(vsi_block)));
        VT_CHECK(vsi_cow_touch(&f.cow, copy) == copy);
        vsi_cow_keep(&f.cow, mark);
        vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
    }
    end(&f);
}

VT_TEST(blocks_that_were_not_touched_are_shared) {
    fixture f;
    table *root = NULL;
    begin(&f);
    commit_put(&f, &root, 0, 10);
    vsi_cow_free_dead(&f.cow, commit_put(&f, &root, 1, 11));
    cell *shared = root->cell[0];
    vsi_cow_free_dead(&f.cow, commit_put(&f, &root, 1, 12));
    VT_CHECK(root->cell[0] == shared);
    VT_EQ(shared->value, 10);
    VT_EQ(f.allocator.live_blocks, 3);
    end(&f);
}

/* ---- scopes --------------------------------------------------------------------------------- */

VT_TEST(undo_frees_what_the_scope_made_and_keeps_what_it_replaced) {
    fixture f;
    table *root = NULL;
    begin(&f);
    commit_put(&f, &root, 0, 1);
    table *before = root;
    uint64_t blocks = f.allocator.live_blocks;
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int i = 0; i < CELLS; i++)
        VT_CHECK(put(&f, &root, i, 100 + i));
    VT_CHECK(clear(&f, &root, 0));
    vsi_cow_undo(&f.cow, mark);
    root = before;
    VT_EQ(f.allocator.live_blocks, blocks);
    VT_EQ(root->cell[0]->value, 1);
    VT_CHECK(!root->cell[1]);
    VT_CHECK(!vsi_cow_take_dead(&f.cow));
    vsi_block *dead = commit_put(&f, &root, 0, 2);
    VT_EQ(root->cell[0]->value, 2);
    vsi_cow_free_dead(&f.cow, dead);
    VT_EQ(f.allocator.live_blocks, 2);
    end(&f);
}

VT_TEST(undoing_an_inner_scope_leaves_the_outer_ones_changes) {
    fixture f;
    table *root = NULL;
    begin(&f);
    commit_put(&f, &root, 0, 1);
    vsi_cow_mark outer = vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &root, 0, 2));
    table *before = root;
    vsi_cow_mark inner = vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &root, 0, 3));
    VT_CHECK(root != before); /* the outer scope's block was copied, to be undone */
    VT_CHECK(clear(&f, &root, 0));
    vsi_cow_undo(&f.cow, inner);
    root = before;
    VT_EQ(root->cell[0]->value, 2);
    VT_CHECK(vsi_cow_touch(&f.cow, root) == root); /* of the open scope again */
    vsi_cow_keep(&f.cow, outer);
    vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
    VT_EQ(root->cell[0]->value, 2);
    VT_EQ(f.allocator.live_blocks, 2);
    end(&f);
}

VT_TEST(undoing_the_outer_scope_undoes_inner_ones_that_were_kept) {
    fixture f;
    table *root = NULL;
    begin(&f);
    commit_put(&f, &root, 0, 1);
    table *before = root;
    vsi_cow_mark outer = vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &root, 1, 2));
    vsi_cow_mark inner = vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &root, 1, 3));
    VT_CHECK(clear(&f, &root, 0));
    vsi_cow_keep(&f.cow, inner);
    VT_CHECK(put(&f, &root, 2, 4));
    vsi_cow_undo(&f.cow, outer);
    root = before;
    VT_EQ(f.allocator.live_blocks, 2);
    VT_EQ(root->cell[0]->value, 1);
    VT_CHECK(!root->cell[1]);
    end(&f);
}

VT_TEST(blocks_of_a_kept_inner_scope_belong_to_the_outer_one) {
    fixture f;
    table *root = NULL;
    begin(&f);
    vsi_cow_mark outer = vsi_cow_open(&f.cow);
    vsi_cow_mark inner = vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &root, 0, 1));
    vsi_cow_keep(&f.cow, inner);
    VT_CHECK(vsi_cow_touch(&f.cow, root) == root);
    vsi_cow_keep(&f.cow, outer);
    vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
    VT_EQ(f.allocator.live_blocks, 2);
    end(&f);
}

VT_TEST(a_later_scope_never_owns_blocks_of_an_undone_one) {
    fixture f;
    table *root = NULL;
    begin(&f);
    vsi_cow_mark outer = vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &root, 0, 1));
    for (int i = 0; i < 5; i++) {
        table *before = root;
        vsi_cow_mark inner = vsi_cow_open(&f.cow);
        VT_CHECK(vsi_cow_touch(&f.cow, root) != before);
        vsi_cow_undo(&f.cow, inner);
        inner = vsi_cow_open(&f.cow);
        VT_CHECK(put(&f, &root, i + 1, i)); /* and kept */
        VT_CHECK(root != before);
        vsi_cow_keep(&f.cow, inner);
    }
    vsi_cow_keep(&f.cow, outer);
    vsi_cow_free_dead(&f.cow, vsi_cow_take_dead(&f.cow));
    VT_EQ(f.allocator.live_blocks, 7);
    end(&f);
}

VT_TEST(a_scope_without_changes_leaves_no_trace) {
    fixture f;
    table *root = NULL;
    begin(&f);
    commit_put(&f, &root, 0, 1);
    for (int i = 0; i < 10; i++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        if (i % 2)
            vsi_cow_keep(&f.cow, mark);
        else
            vsi_cow_undo(&f.cow, mark);
        VT_CHECK(!vsi_cow_take_dead(&f.cow));
    }
    VT_EQ(f.allocator.live_blocks, 2);
    end(&f);
}

VT_TEST(a_dropped_block_stays_for_older_versions_until_their_list_is_freed) {
    fixture f;
    table *root = NULL;
    begin(&f);
    commit_put(&f, &root, 0, 5);
    table *old = root;
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_CHECK(clear(&f, &root, 0));
    vsi_cow_keep(&f.cow, mark);
    vsi_block *dead = vsi_cow_take_dead(&f.cow);
    VT_EQ(old->cell[0]->value, 5);
    VT_CHECK(!root->cell[0]);
    vsi_cow_free_dead(&f.cow, dead);
    VT_EQ(f.allocator.live_blocks, 1);
    end(&f);
}

VT_TEST(dead_lists_are_handed_out_once) {
    fixture f;
    table *root = NULL;
    begin(&f);
    commit_put(&f, &root, 0, 5);
    vsi_block *dead = commit_put(&f, &root, 0, 6);
    VT_CHECK(dead);
    VT_CHECK(!vsi_cow_take_dead(&f.cow));
    vsi_cow_free_dead(&f.cow, dead);
    vsi_cow_free_dead(&f.cow, NULL);
    end(&f);
}

VT_TEST(freeing_all_frees_also_dead_blocks_and_an_open_scope) {
    fixture f;
    table *root = NULL;
    begin(&f);
    commit_put(&f, &root, 0, 5);
    VT_CHECK(commit_put(&f, &root, 0, 6)); /* the list is forgotten */
    vsi_cow_open(&f.cow);
    VT_CHECK(put(&f, &root, 1, 7));
    VT_EQ(f.allocator.live_blocks, 6); /* 2 dead, 1 replaced in the open scope, 3 in use */
    end(&f);
}

/* ---- without memory ------------------------------------------------------------------------- */

VT_TEST(without_memory_the_scope_is_undone_and_nothing_has_changed) {
    fixture f;
    table *root = NULL;
    begin(&f);
    for (int i = 0; i < CELLS; i++)
        vsi_cow_free_dead(&f.cow, commit_put(&f, &root, i, i));
    uint64_t failed = 0;
    for (uint64_t at = 1;; at++) {
        table *before = root;
        uint64_t blocks = f.allocator.live_blocks;
        f.allocator.fail_at = f.allocator.calls + at;
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        bool done = true;
        for (int i = 0; i < CELLS && done; i++)
            done = put(&f, &root, i, 100 + i);
        f.allocator.fail_at = 0;
        if (done) {
            vsi_cow_keep(&f.cow, mark);
            break;
        }
        failed++;
        vsi_cow_undo(&f.cow, mark);
        root = before;
        VT_EQ(f.allocator.live_blocks, blocks);
        for (int i = 0; i < CELLS; i++)
            VT_EQ(root->cell[i]->value, i);
    }
    VT_EQ(failed, CELLS + 1);
    end(&f);
}

/* ---- many versions -------------------------------------------------------------------------- */

enum { VERSIONS_MAX = 40, DEPTH_MAX = 4 };

/* A committed version: what it must contain, and what only older ones need. */
typedef struct version {
    table *root;
    int value[CELLS]; /* 0: none */
    vsi_block *dead;
} version;

static void check_version(const version *v) {
    for (int i = 0; i < CELLS; i++) {
        const cell *c = v->root ? v->root->cell[i] : NULL;
        VT_EQ(c ? c->value : 0, v->value[i]);
    }
}

/* Random changes in nested scopes to v, which stands for the writer's working copy. */
static void change(fixture *f, vt_rng *rng, version *v, int depth) {
    for (uint64_t steps = 1 + vt_below(rng, 8); steps > 0; steps--) {
        int at = (int)vt_below(rng, CELLS);
        uint64_t what = vt_below(rng, 6);
        if (what == 0 && depth < DEPTH_MAX) {
            version before = *v;
            vsi_cow_mark mark = vsi_cow_open(&f->cow);
            change(f, rng, v, depth + 1);
            if (vt_below(rng, 2)) {
                vsi_cow_keep(&f->cow, mark);
            } else {
                vsi_cow_undo(&f->cow, mark);
                *v = before;
            }
        } else if (what == 1 && v->value[at]) {
            VT_CHECK(clear(f, &v->root, at));
            v->value[at] = 0;
        } else if (what != 0 && what != 1) {
            v->value[at] = 1 + (int)vt_below(rng, 1000000);
            VT_CHECK(put(f, &v->root, at, v->value[at]));
        }
        check_version(v);
    }
}

/* Forgets the oldest version: what only it needed is in the list of the next one. */
static int forget_oldest(fixture *f, version *all, int count) {
    vsi_cow_free_dead(&f->cow, all[1].dead);
    memmove(all, all + 1, (size_t)(count - 1) * sizeof *all);
    all[0].dead = NULL;
    return count - 1;
}

static uint64_t count_blocks(const version *v) {
    uint64_t blocks = v->root != NULL;
    for (int i = 0; i < CELLS; i++)
        blocks += v->value[i] != 0;
    return blocks;
}

VT_TEST(random_transactions_never_change_a_version_that_was_committed) {
    fixture f;
    vt_rng rng = {vt_seed()};
    version all[VERSIONS_MAX] = {0};
    int count = 1;
    begin(&f);
    for (int round = 0; round < 3000; round++) {
        version next = all[count - 1];
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        change(&f, &rng, &next, 0);
        if (vt_below(&rng, 3)) {
            vsi_cow_keep(&f.cow, mark);
            next.dead = vsi_cow_take_dead(&f.cow);
            all[count++] = next;
        } else {
            vsi_cow_undo(&f.cow, mark);
            VT_CHECK(!vsi_cow_take_dead(&f.cow));
        }
        while (count == VERSIONS_MAX || (count > 1 && vt_below(&rng, 3) == 0))
            count = forget_oldest(&f, all, count);
        for (int i = 0; i < count; i++)
            check_version(&all[i]);
        if (count == 1)
            VT_EQ(f.allocator.live_blocks, count_blocks(&all[0]));
    }
    while (count > 1)
        count = forget_oldest(&f, all, count);
    VT_EQ(f.allocator.live_blocks, count_blocks(&all[0]));
    check_version(&all[0]);
    end(&f);
}
