/* version.c - which versions readers see, how long they stay, and when slots are used again. */
#include "store/audit.h"
#include "store/version.h"
#include "vt.h"
#include <sched.h>

enum { KEYS = 24, DIM = 16, COLL = 3 };

/* What a version holds: the number that each key's vector was made from, 0: no record. */
typedef struct model {
    uint64_t seed[KEYS];
} model;

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
    vsi_descs descs;
    vsi_versions versions;
    vsi_err err;
    vt_rng rng;
    uint64_t lsn; /* of the last commit */

    /* the transaction that is open */
    vsi_state state;
    vsi_cow_mark mark;
    vsi_buf freed, taken;
    model m;
} fixture;

static void vector_of(uint64_t seed, uint8_t out[DIM]) {
    for (size_t i = 0; i < DIM; i++)
        out[i] = (uint8_t)(vt_mix(seed) >> i % 8 * 8);
}

/* ---- transactions, as store/write makes them ------------------------------------------------ */

static void open_txn(fixture *f) {
    f->state = f->versions.applied->state;
    f->freed = (vsi_buf){.mem = &f->mem};
    f->taken = (vsi_buf){.mem = &f->mem};
    f->mark = vsi_cow_open(&f->cow);
}

/* The pools get back what the transaction took, the last one first. */
static void undo_txn(fixture *f) {
    const vsi_freed_slot *taken = (const vsi_freed_slot *)(const void *)f->taken.data;
    for (size_t i = f->taken.bytes / sizeof *taken; i-- > 0;)
        vsi_desc_give_slot(vsi_descs_find(&f->descs, taken[i].coll), taken[i].slot);
    vsi_cow_undo(&f->cow, f->mark);
    vsi_buf_free(&f->freed);
    vsi_buf_free(&f->taken);
}

static vsi_version *commit_txn(fixture *f, bool needs_sync) {
    VT_EQ(vsi_state_settle(&f->err, &f->state), VS_OK);
    vsi_version *version = vsi_version_new(&f->versions, &f->state);
    VT_CHECK(version);
    vsi_cow_keep(&f->cow, f->mark);
    version->dead = vsi_cow_take_dead(&f->cow);
    version->freed = f->freed;
    version->lsn = ++f->lsn;
    version->needs_sync = needs_sync;
    vsi_buf_free(&f->taken);
    vsi_versions_add(&f->versions, version, 0);
    return version;
}

static const vsi_version *published(fixture *f) {
    return vsi_ordered_ptr_load(&f->versions.published);
}

static void apply(fixture *f, const vsi_op *op) {
    if (vsi_apply(&f->err, &f->state, op, &f->freed) != VS_OK)
        vt_fail(__FILE__, __LINE__, "kind %d: %s", op->kind, f->err.text);
}

static bool get_coll(const vsi_state *state, uint32_t id, vsi_coll *out_coll) {
    vsi_err err = {0};
    vs_status st = vsi_state_coll(&err, state, id, out_coll);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    return st == VS_OK;
}

static vsi_coll coll_of(const vsi_state *state, uint32_t id) {
    vsi_coll coll;
    VT_CHECK(get_coll(state, id, &coll));
    return coll;
}

static bool is_empty(const vsi_state *state) {
    vsi_err err = {0};
    vsi_coll coll;
    return vsi_state_coll_from(&err, state, 0, &coll) == VS_ERR_NOT_FOUND;
}

static bool find_slot(const vsi_state *state, uint32_t id, uint64_t key, uint32_t *out_slot) {
    vsi_err err = {0};
    const vsi_coll coll = coll_of(state, id);
    vs_status st = vsi_coll_find(&err, &coll, VT_KEY(key), out_slot);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    return st == VS_OK;
}

static bool is_live(const vsi_coll *coll, uint32_t slot) {
    vsi_err err = {0};
    bool found = false;
    VT_EQ(vsi_live_get(&err, &coll->live, VSI_LIVE_RECORDS, slot, &found), VS_OK);
    return found;
}

static void create_coll(fixture *f, uint32_t id) {
    char name[16];
    snprintf(name, sizeof name, "c%u", (unsigned)id);
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .field_count = 1,
                 .field[0].name = {(const uint8_t *)"vector", 6},
                 .coll = id,
                 .field[0].dim = DIM,
                 .field[0].type = VS_U8,
                 .field[0].metric = VS_L2,
                 .name = {(const uint8_t *)name, strlen(name)}};
    apply(f, &op);
}

/* No version that could be read may have the slot live. */
static void check_slot_is_free(const fixture *f, uint32_t id, uint32_t slot) {
    for (const vsi_version *v = f->versions.oldest; v; v = v->newer) {
        vsi_coll coll;
        VT_CHECK(!get_coll(&v->state, id, &coll) || !is_live(&coll, slot));
    }
}

static uint32_t take_slot(fixture *f, uint32_t id) {
    const vsi_coll coll = coll_of(&f->state, id);
    vsi_freed_slot taken = {.coll = id, .slot = vsi_desc_take_slot(coll.desc)};
    if (taken.slot == VSI_SLOT_NONE)
        taken.slot = coll.slot_end;
    else
        VT_CHECK(vsi_buf_append(&f->taken, &taken, sizeof taken));
    VT_CHECK(taken.slot <= coll.slot_end && !is_live(&coll, taken.slot));
    check_slot_is_free(f, id, taken.slot);
    return taken.slot;
}

static void put(fixture *f, uint32_t coll, uint64_t key, uint64_t seed) {
    uint8_t vector[DIM];
    vector_of(seed, vector);
    vsi_op op = {.kind = VSI_OP_PUT,
                 .coll = coll,
                 .old_slot = VSI_SLOT_NONE,
                 .key.number = key,
                 .vector[0] = {vector, DIM}};
    find_slot(&f->state, coll, key, &op.old_slot);
    op.slot = take_slot(f, coll);
    apply(f, &op);
    if (coll == COLL)
        f->m.seed[key] = seed;
}

static bool delete (fixture *f, uint32_t coll, uint64_t key) {
    vsi_op op = {.kind = VSI_OP_DELETE, .coll = coll, .key.number = key};
    if (!find_slot(&f->state, coll, key, &op.slot))
        return false;
    apply(f, &op);
    if (coll == COLL)
        f->m.seed[key] = 0;
    return true;
}

/* ---- fixture -------------------------------------------------------------------------------- */

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
    VT_CHECK(vsi_descs_init(&f->descs, &f->mem, NULL));
    VT_CHECK(vsi_versions_init(&f->versions, &f->mem, &f->cow, &f->descs));
    f->rng.state = vt_seed();
}

/* With a collection, published. */
static void begin_with_coll(fixture *f) {
    begin(f);
    open_txn(f);
    create_coll(f, COLL);
    commit_txn(f, false);
    vsi_versions_publish(&f->versions, 0, false);
    vsi_versions_reclaim(&f->versions);
}

static void end(fixture *f) {
    vsi_versions_free(&f->versions);
    vsi_cow_free_all(&f->cow);
    vsi_descs_free(&f->descs);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

static vsi_version *commit_empty(fixture *f, bool needs_sync) {
    open_txn(f);
    return commit_txn(f, needs_sync);
}

static uint64_t seen_lsn(fixture *f) {
    uint64_t lsn = UINT64_MAX;
    vsi_hash128 digest;
    vsi_versions_peek(&f->versions, &lsn, &digest);
    return lsn;
}

/* Versions in the list, oldest to newest; they must be linked in the order of their commits. */
static size_t list_length(const fixture *f) {
    size_t n = 1;
    const vsi_version *v = f->versions.oldest;
    for (; v->newer; v = v->newer, n++)
        VT_CHECK(v->newer->lsn > v->lsn);
    VT_CHECK(v == f->versions.applied);
    return n;
}

static void fail_on_problem(void *ctx, const char *problem) {
    (void)ctx;
    vt_fail(__FILE__, __LINE__, "vsi_audit: %s", problem);
}

/* As a reader sees a version: what the writer keeps beside the catalog is not looked at. */
static void check_state(fixture *f, const vsi_state *version, const model *m) {
    vsi_state state = *version;
    memset(&state.work, 0, sizeof state.work);
    VT_CHECK(state.is_settled);
    const vsi_coll coll = coll_of(&state, COLL);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint32_t slot = 0;
        uint8_t vector[DIM];
        const uint8_t *row = NULL;
        VT_EQ(find_slot(&state, COLL, key, &slot), m->seed[key] != 0);
        if (m->seed[key] == 0)
            continue;
        vector_of(m->seed[key], vector);
        VT_EQ(vsi_coll_row(&f->err, &coll, 0, slot, &row), VS_OK);
        VT_CHECK(!memcmp(row, vector, DIM));
    }
    VT_EQ(vsi_audit(&f->err, &state, &f->mem, NULL, fail_on_problem, NULL), VS_OK);
}

/* ---- publishing ----------------------------------------------------------------------------- */

VT_TEST(a_new_database_shows_its_empty_version) {
    fixture f;
    uint64_t oldest_lsn = 0;
    begin(&f);
    VT_EQ(list_length(&f), 1);
    VT_EQ(seen_lsn(&f), 0);
    VT_EQ(vsi_versions_pin_count(&f.versions, &oldest_lsn), 0);
    VT_CHECK(vsi_versions_is_published(&f.versions, 0));
    VT_CHECK(!vsi_versions_is_published(&f.versions, 1));
    vsi_versions_publish(&f.versions, UINT64_MAX, false);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 1);
    VT_CHECK(is_empty(&published(&f)->state));
    end(&f);
}

VT_TEST(an_added_version_is_the_writer_s_at_once_and_the_readers_only_when_published) {
    fixture f;
    begin(&f);
    open_txn(&f);
    create_coll(&f, COLL);
    vsi_version *version = commit_txn(&f, false);
    VT_CHECK(f.versions.applied == version);
    VT_EQ(seen_lsn(&f), 0);
    vsi_version *pinned = vsi_versions_pin(&f.versions);
    VT_CHECK(pinned != version && is_empty(&pinned->state));
    vsi_versions_publish(&f.versions, 0, false);
    VT_EQ(seen_lsn(&f), 1);
    VT_CHECK(is_empty(&pinned->state)); /* the reader's stays as it was */
    vsi_versions_unpin(&f.versions, pinned);
    pinned = vsi_versions_pin(&f.versions);
    VT_CHECK(pinned == version);
    vsi_versions_unpin(&f.versions, pinned);
    end(&f);
}

VT_TEST(a_version_that_needs_a_sync_waits_for_it_and_so_do_all_behind_it) {
    fixture f;
    begin(&f);
    static const bool needs_sync[] = {false, true, false, true, true, false};
    for (int i = 0; i < 6; i++)
        commit_empty(&f, needs_sync[i]);
    static const struct {
        uint64_t durable, seen;
    } step[] = {{0, 1}, {1, 1}, {2, 3}, {3, 3}, {2, 3}, {4, 4}, {5, 6}, {0, 6}, {100, 6}};
    for (size_t i = 0; i < sizeof step / sizeof step[0]; i++) {
        vsi_versions_publish(&f.versions, step[i].durable, false);
        VT_EQ(seen_lsn(&f), step[i].seen);
        for (uint64_t lsn = 0; lsn < 8; lsn++)
            VT_EQ(vsi_versions_is_published(&f.versions, lsn), lsn <= step[i].seen);
    }
    end(&f);
}

VT_TEST(what_is_published_never_goes_back_and_never_skips_a_wait) {
    fixture f;
    begin(&f);
    static bool needs_sync[400];
    uint64_t durable = 0, seen = 0;
    for (int i = 1; i < 400; i++) {
        needs_sync[i] = vt_below(&f.rng, 2);
        commit_empty(&f, needs_sync[i]);
        durable += vt_below(&f.rng, (uint64_t)i - durable + 1);
        vsi_versions_publish(&f.versions, durable, false);
        while (seen < (uint64_t)i && (!needs_sync[seen + 1] || seen + 1 <= durable))
            seen++;
        VT_EQ(seen_lsn(&f), seen);
        if (vt_below(&f.rng, 3) == 0)
            vsi_versions_reclaim(&f.versions);
        VT_CHECK(f.versions.oldest->lsn <= seen);
    }
    end(&f);
}

VT_TEST(peeking_tells_the_digest_of_what_is_published) {
    fixture f;
    begin(&f);
    open_txn(&f);
    create_coll(&f, COLL);
    vsi_version *version = commit_txn(&f, true);
    uint64_t lsn = 9;
    vsi_hash128 digest = {9, 9};
    vsi_versions_peek(&f.versions, &lsn, &digest);
    VT_CHECK(lsn == 0 && digest.lo == 0 && digest.hi == 0);
    vsi_versions_publish(&f.versions, 1, false);
    vsi_versions_peek(&f.versions, &lsn, &digest);
    VT_CHECK(lsn == 1 && digest.lo == version->state.digest.lo);
    VT_CHECK(digest.hi == version->state.digest.hi && (digest.lo || digest.hi));
    end(&f);
}

/* ---- pins and freeing ----------------------------------------------------------------------- */

VT_TEST(pins_are_counted_per_version_and_in_all) {
    fixture f;
    uint64_t oldest_lsn = 0;
    begin(&f);
    vsi_version *a = vsi_versions_pin(&f.versions);
    VT_CHECK(vsi_versions_pin_again(&f.versions, a) == a);
    commit_empty(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    vsi_version *b = vsi_versions_pin(&f.versions);
    VT_CHECK(a != b);
    VT_EQ(a->pins, 2);
    VT_EQ(b->pins, 1);
    VT_EQ(vsi_versions_pin_count(&f.versions, &oldest_lsn), 3);
    vsi_versions_unpin(&f.versions, a);
    VT_EQ(a->pins, 1);
    VT_EQ(vsi_versions_pin_count(&f.versions, &oldest_lsn), 2);
    vsi_versions_unpin(&f.versions, b);
    vsi_versions_unpin(&f.versions, a);
    VT_EQ(vsi_versions_pin_count(&f.versions, &oldest_lsn), 0);
    end(&f);
}

VT_TEST(versions_go_when_they_are_not_pinned_whatever_is_older) {
    fixture f;
    begin(&f);
    vsi_version *pinned[6];
    for (int i = 0; i < 6; i++) {
        pinned[i] = vsi_versions_pin(&f.versions);
        commit_empty(&f, false);
        vsi_versions_publish(&f.versions, 0, false);
    }
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 7);
    vsi_versions_unpin(&f.versions, pinned[2]); /* in the middle */
    VT_EQ(list_length(&f), 7); /* unpinning frees nothing: it may be any thread's */
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 6);
    vsi_versions_unpin(&f.versions, pinned[0]);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 5);
    vsi_versions_unpin(&f.versions, pinned[1]);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 4);
    for (int i = 3; i < 6; i++)
        vsi_versions_unpin(&f.versions, pinned[i]);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 1);
    VT_EQ(seen_lsn(&f), 6);
    end(&f);
}

VT_TEST(versions_not_published_yet_stay) {
    fixture f;
    begin(&f);
    for (int i = 0; i < 5; i++)
        commit_empty(&f, true);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 6);
    vsi_versions_publish(&f.versions, 3, false);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 3); /* 3, which readers see, 4 and 5 */
    end(&f);
}

VT_TEST(freeing_the_list_frees_pinned_versions_too) {
    fixture f;
    begin_with_coll(&f);
    vsi_versions_pin(&f.versions);
    for (uint64_t i = 1; i < 30; i++) {
        open_txn(&f);
        put(&f, COLL, i % KEYS, i);
        commit_txn(&f, true);
    }
    end(&f);
}

VT_TEST(a_list_that_is_all_zero_can_be_freed) {
    vsi_versions versions;
    memset(&versions, 0, sizeof versions);
    vsi_versions_free(&versions);
}

VT_TEST(without_memory_there_is_no_list_and_no_version) {
    fixture f;
    begin(&f);
    vsi_versions other;
    f.allocator.fail_at = f.allocator.calls + 1;
    VT_CHECK(!vsi_versions_init(&other, &f.mem, &f.cow, &f.descs));
    vsi_versions_free(&other);
    f.allocator.fail_at = f.allocator.calls + 1;
    VT_CHECK(!vsi_version_new(&f.versions, &f.versions.applied->state));
    f.allocator.fail_at = 0;
    VT_EQ(list_length(&f), 1);
    end(&f);
}

VT_TEST(a_version_that_is_discarded_leaves_nothing) {
    fixture f;
    begin(&f);
    uint64_t blocks = f.allocator.live_blocks;
    vsi_version *version = vsi_version_new(&f.versions, &f.versions.applied->state);
    VT_CHECK(version);
    vsi_freed_slot slot = {COLL, 1};
    VT_CHECK(vsi_buf_append(&version->freed, &slot, sizeof slot));
    vsi_version_discard(&f.versions, version);
    VT_EQ(f.allocator.live_blocks, blocks);
    VT_EQ(list_length(&f), 1);
    end(&f);
}

/* ---- slots ---------------------------------------------------------------------------------- */

VT_TEST(a_slot_given_up_is_used_again_only_when_no_older_version_is_left) {
    fixture f;
    begin_with_coll(&f);
    open_txn(&f);
    put(&f, COLL, 1, 100); /* slot 0 */
    commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    vsi_version *reader = vsi_versions_pin(&f.versions);
    open_txn(&f);
    delete (&f, COLL, 1);
    commit_txn(&f, false);
    for (uint32_t expected = 1; expected <= 3; expected++) { /* the reader has slot 0 */
        vsi_versions_publish(&f.versions, 0, false);
        vsi_versions_reclaim(&f.versions);
        open_txn(&f);
        VT_EQ(take_slot(&f, COLL), expected);
        put(&f, COLL, expected + 1, expected);
        commit_txn(&f, false);
    }
    vsi_versions_unpin(&f.versions, reader);
    vsi_versions_publish(&f.versions, 0, false);
    open_txn(&f);
    VT_EQ(take_slot(&f, COLL), 4); /* nobody looked yet */
    undo_txn(&f);
    vsi_versions_reclaim(&f.versions);
    open_txn(&f);
    VT_EQ(take_slot(&f, COLL), 0);
    undo_txn(&f);
    end(&f);
}

VT_TEST(a_slot_given_up_by_a_version_that_readers_do_not_see_yet_is_not_used) {
    fixture f;
    begin_with_coll(&f);
    open_txn(&f);
    put(&f, COLL, 1, 100);
    commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    open_txn(&f);
    put(&f, COLL, 1, 101); /* moves to slot 1 */
    commit_txn(&f, true);
    vsi_versions_publish(&f.versions, 0, false);
    vsi_versions_reclaim(&f.versions);
    open_txn(&f);
    VT_EQ(take_slot(&f, COLL), 2); /* what readers see has slot 0 */
    undo_txn(&f);
    vsi_versions_publish(&f.versions, UINT64_MAX, false);
    vsi_versions_reclaim(&f.versions);
    open_txn(&f);
    VT_EQ(take_slot(&f, COLL), 0);
    undo_txn(&f);
    end(&f);
}

VT_TEST(a_rollback_gives_slots_back_and_a_commit_does_not) {
    fixture f;
    begin_with_coll(&f);
    open_txn(&f);
    for (uint64_t i = 0; i < 8; i++)
        put(&f, COLL, i, i + 1);
    for (uint64_t i = 0; i < 8; i++)
        delete (&f, COLL, i);
    commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    vsi_versions_reclaim(&f.versions);
    uint32_t first[3], again[3];
    for (int round = 0; round < 2; round++) {
        uint32_t *slot = round ? again : first;
        open_txn(&f);
        for (uint64_t i = 0; i < 3; i++) {
            put(&f, COLL, i, i + 50);
            VT_CHECK(find_slot(&f.state, COLL, i, &slot[i]));
        }
        if (round == 0)
            undo_txn(&f);
        else
            commit_txn(&f, false);
    }
    VT_CHECK(!memcmp(first, again, sizeof first));
    VT_CHECK(first[0] < 8 && first[1] < 8 && first[2] < 8);
    open_txn(&f);
    bool is_taken[9] = {false};
    for (int i = 0; i < 3; i++)
        is_taken[first[i]] = true;
    for (uint64_t i = 10; i < 16; i++) { /* five are left, then a new one */
        uint32_t slot = 0;
        put(&f, COLL, i, i);
        VT_CHECK(find_slot(&f.state, COLL, i, &slot));
        VT_CHECK(slot <= 8 && !is_taken[slot] && (i < 15) == (slot < 8));
        is_taken[slot] = true;
    }
    undo_txn(&f);
    end(&f);
}

VT_TEST(slots_given_up_go_to_the_pools_of_their_own_collections) {
    static const uint32_t coll[] = {5, 1, 9, 3, 7}; /* pools are used in any order */
    enum { COLLS = 5, SLOTS = 6 };
    fixture f;
    begin(&f);
    open_txn(&f);
    for (uint32_t id = 1; id <= 9; id += 2)
        create_coll(&f, id);
    for (uint64_t key = 0; key < SLOTS; key++)
        for (uint32_t id = 1; id <= 9; id += 2)
            put(&f, id, key, key + 1);
    commit_txn(&f, false);
    open_txn(&f);
    for (uint64_t key = 0; key < SLOTS;
         key++) /* so many of each are free: as many as its id says */
        for (uint32_t id = 1; id <= 9; id += 2)
            if (key < id)
                delete (&f, id, key);
    commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    vsi_versions_reclaim(&f.versions);
    open_txn(&f);
    for (int i = 0; i < COLLS; i++) {
        bool is_taken[SLOTS] = {false};
        for (uint32_t n = 0; n < SLOTS && n < coll[i]; n++) {
            uint32_t slot = take_slot(&f, coll[i]);
            VT_CHECK(slot < SLOTS && slot < coll[i] && !is_taken[slot]);
            is_taken[slot] = true;
        }
        VT_EQ(take_slot(&f, coll[i]), SLOTS); /* all used up: a new one */
    }
    undo_txn(&f);
    end(&f);
}

VT_TEST(a_slot_that_cannot_be_remembered_is_lost_and_nothing_else) {
    fixture f;
    begin_with_coll(&f);
    open_txn(&f);
    for (uint64_t i = 0; i < 3; i++)
        put(&f, COLL, i, i + 1);
    commit_txn(&f, false);
    open_txn(&f);
    delete (&f, COLL, 0);
    commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    f.allocator.fail_at = f.allocator.calls + 1;
    vsi_versions_reclaim(&f.versions); /* the pool has no room yet */
    VT_EQ(f.allocator.failures, 1);
    f.allocator.fail_at = 0;
    VT_EQ(list_length(&f), 1);
    open_txn(&f);
    VT_EQ(take_slot(&f, COLL), 3);
    undo_txn(&f);
    open_txn(&f);
    delete (&f, COLL, 1);
    commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    vsi_versions_reclaim(&f.versions);
    open_txn(&f);
    VT_EQ(take_slot(&f, COLL), 1); /* slots given up later are not affected */
    VT_EQ(take_slot(&f, COLL), 3);
    undo_txn(&f);
    check_state(&f, &published(&f)->state, &f.m);
    end(&f);
}

VT_TEST(blocks_that_only_older_versions_need_are_freed_with_them) {
    fixture f;
    begin_with_coll(&f);
    open_txn(&f);
    put(&f, COLL, 1, 100);
    commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    vsi_versions_reclaim(&f.versions);
    const model before = f.m;
    vsi_version *reader = vsi_versions_pin(&f.versions);
    uint64_t blocks = f.allocator.live_blocks;
    for (uint64_t i = 0; i < 20; i++) {
        open_txn(&f);
        put(&f, COLL, 1, 101 + i);
        commit_txn(&f, false);
        vsi_versions_publish(&f.versions, 0, false);
        vsi_versions_reclaim(&f.versions);
        check_state(&f, &reader->state, &before);
    }
    VT_CHECK(f.allocator.live_blocks > blocks);
    vsi_versions_unpin(&f.versions, reader);
    vsi_versions_reclaim(&f.versions);
    VT_CHECK(f.allocator.live_blocks <= blocks + 3); /* the pool's room and two counts, made once */
    check_state(&f, &published(&f)->state, &f.m);
    end(&f);
}

VT_TEST(many_collections_change_in_one_version_and_readers_of_the_older_one_see_none_of_it) {
    enum { COLLS = 150, FIRST = 10 };
    fixture f;
    begin(&f);
    open_txn(&f);
    for (uint32_t id = FIRST; id < FIRST + COLLS; id++) {
        create_coll(&f, id);
        put(&f, id, 1, 500 + id);
    }
    commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    vsi_version *reader = vsi_versions_pin(&f.versions);
    open_txn(&f);
    for (uint32_t k = 0; k < 3 * COLLS; k++) /* back and forth */
        put(&f, FIRST + k * 7 % COLLS, 2 + k / COLLS, k);
    for (uint32_t id = FIRST; id < FIRST + COLLS; id++)
        delete (&f, id, 1);
    vsi_version *newer = commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    for (uint32_t id = FIRST; id < FIRST + COLLS; id++) {
        const vsi_coll old = coll_of(&reader->state, id), now = coll_of(&newer->state, id);
        VT_EQ(old.count, 1);
        VT_EQ(now.count, 3);
        VT_CHECK(is_live(&old, 0) && !is_live(&now, 0) && is_live(&now, 3));
    }
    VT_EQ(vsi_audit(&f.err, &reader->state, &f.mem, NULL, fail_on_problem, NULL), VS_OK);
    VT_EQ(vsi_audit(&f.err, &newer->state, &f.mem, NULL, fail_on_problem, NULL), VS_OK);
    vsi_versions_unpin(&f.versions, reader);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(vsi_audit(&f.err, &newer->state, &f.mem, NULL, fail_on_problem, NULL), VS_OK);
    end(&f);
}

/* ---- all together --------------------------------------------------------------------------- */

enum { READERS = 12, STEPS = 2500 };

typedef struct reader {
    vsi_version *version; /* NULL: none */
    uint64_t lsn;
} reader;

static void random_txn(fixture *f) {
    const model before = f->m;
    vsi_versions_reclaim(&f->versions);
    open_txn(f);
    for (uint64_t n = 1 + vt_below(&f->rng, 5); n > 0; n--) {
        uint64_t key = vt_below(&f->rng, KEYS);
        if (vt_below(&f->rng, 3))
            put(f, COLL, key, vt_random(&f->rng) | 1);
        else
            delete (f, COLL, key);
    }
    if (vt_below(&f->rng, 4) == 0) {
        undo_txn(f);
        f->m = before;
    } else {
        commit_txn(f, vt_below(&f->rng, 2));
    }
}

VT_TEST(random_writers_and_readers_see_their_versions_and_slots_are_reused) {
    static model at_lsn[STEPS + 2];
    fixture f;
    reader r[READERS];
    uint64_t durable = 0;
    memset(r, 0, sizeof r);
    begin_with_coll(&f);
    for (int step = 0; step < STEPS; step++) {
        random_txn(&f);
        at_lsn[f.lsn] = f.m;
        if (vt_below(&f.rng, 2)) {
            durable += vt_below(&f.rng, f.lsn - durable + 1);
            vsi_versions_publish(&f.versions, durable, false);
        }
        reader *one = &r[vt_below(&f.rng, READERS)];
        if (one->version) {
            check_state(&f, &one->version->state, &at_lsn[one->lsn]);
            vsi_versions_unpin(&f.versions, one->version);
            one->version = NULL;
        } else {
            one->version = vsi_versions_pin(&f.versions);
            one->lsn = one->version->lsn;
            VT_EQ(one->lsn, seen_lsn(&f));
        }
        if (step % 50 == 0)
            for (int i = 0; i < READERS; i++)
                if (r[i].version)
                    check_state(&f, &r[i].version->state, &at_lsn[r[i].lsn]);
        check_state(&f, &f.versions.applied->state, &f.m);
    }
    VT_CHECK(f.lsn > STEPS / 2);
    end(&f);
}

VT_TEST(without_readers_slots_and_memory_do_not_grow) {
    fixture f;
    uint64_t bytes = 0;
    begin_with_coll(&f);
    for (int step = 0; step < 2000; step++) {
        random_txn(&f);
        vsi_versions_publish(&f.versions, f.lsn, false);
        vsi_versions_reclaim(&f.versions);
        VT_EQ(list_length(&f), 1);
        if (step == 1000)
            bytes = f.allocator.live_bytes;
        /* All records, and those that one transaction replaced. */
        VT_CHECK(coll_of(&f.versions.applied->state, COLL).slot_end <= KEYS + 5);
    }
    VT_CHECK(f.allocator.live_bytes <= bytes + 4096);
    end(&f);
}

/* ---- versions that leave the middle of the list --------------------------------------------- */

enum { BLOCKS_MAX = 20000 };

/* Blocks that versions reach, each once. */
typedef struct reach {
    const vsi_block *block[BLOCKS_MAX];
    size_t count, bytes;
} reach;

static bool reach_add(reach *r, const vsi_block *block) {
    for (size_t i = 0; i < r->count; i++)
        if (r->block[i] == block)
            return false;
    VT_CHECK(r->count < BLOCKS_MAX);
    r->block[r->count++] = block;
    r->bytes += block->bytes;
    return true;
}

/* A block that was reached before has nothing below it that was not. */
static void reach_walk(reach *r, vsi_ref root) {
    vsi_ref stack[512];
    size_t n = 0;
    if (root.is_block && reach_add(r, vsi_ref_block(root)))
        stack[n++] = root;
    while (n) {
        vsi_ref ref = stack[--n];
        const uint8_t *page = (const uint8_t *)((const vsi_block *)vsi_ref_block(ref) + 1);
        for (uint32_t at = 0; ref.kind == VSI_REF_NODE && at < vsi_node_count(page); at++)
            for (uint32_t k = 0; k < vsi_node_item_at(page, at).ref_count; k++) {
                vsi_ref below = vsi_node_ref(page, at, k);
                if (below.is_block && reach_add(r, vsi_ref_block(below))) {
                    VT_CHECK(n < 512);
                    stack[n++] = below;
                }
            }
    }
}

/* Every block in memory is one that some version in the list reaches, and the other way round. */
static void check_blocks(const fixture *f) {
    static reach r;
    r.count = r.bytes = 0;
    for (const vsi_version *v = f->versions.oldest; v; v = v->newer)
        reach_walk(&r, v->state.catalog.root);
    VT_EQ(r.bytes, f->cow.bytes);
    reach_walk(&r, f->versions.applied->state.catalog.root);
    size_t all = r.bytes;
    r.count = r.bytes = 0;
    reach_walk(&r, f->versions.applied->state.catalog.root);
    VT_EQ(all - r.bytes, f->cow.dead_bytes);
}

VT_TEST(after_any_pins_and_unpins_there_are_just_the_blocks_that_some_version_reaches) {
    enum { PINS = 5, COMMITS = 400 };
    fixture f;
    vsi_version *pinned[PINS] = {NULL};
    static model seen[PINS];
    begin_with_coll(&f);
    for (int step = 0; step < COMMITS; step++) {
        open_txn(&f);
        for (uint64_t n = vt_below(&f.rng, 4); n > 0; n--)
            if (vt_below(&f.rng, 3))
                put(&f, COLL, vt_below(&f.rng, KEYS), 1 + vt_random(&f.rng) / 2);
            else
                delete (&f, COLL, vt_below(&f.rng, KEYS));
        commit_txn(&f, false);
        vsi_versions_publish(&f.versions, 0, false);
        uint64_t who = vt_below(&f.rng, 2 * PINS);
        if (who < PINS && pinned[who]) {
            vsi_versions_unpin(&f.versions, pinned[who]);
            pinned[who] = NULL;
        } else if (who < PINS) {
            pinned[who] = vsi_versions_pin(&f.versions);
            seen[who] = f.m;
        }
        if (vt_below(&f.rng, 4))
            vsi_versions_reclaim(&f.versions);
        check_blocks(&f);
        if (step % 20 == 0)
            for (int i = 0; i < PINS; i++)
                if (pinned[i])
                    check_state(&f, &pinned[i]->state, &seen[i]);
    }
    for (int i = 0; i < PINS; i++)
        if (pinned[i])
            vsi_versions_unpin(&f.versions, pinned[i]);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 1);
    VT_EQ(f.cow.dead_bytes, 0);
    check_blocks(&f);
    end(&f);
}

VT_TEST(ten_thousand_commits_beside_one_pin_keep_two_versions_and_their_blocks) {
    fixture f;
    begin_with_coll(&f);
    open_txn(&f);
    for (uint64_t key = 0; key < KEYS; key++)
        put(&f, COLL, key, 1000 + key);
    commit_txn(&f, false);
    vsi_versions_publish(&f.versions, 0, false);
    vsi_version *pinned = vsi_versions_pin(&f.versions);
    const model before = f.m;
    size_t bytes = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        open_txn(&f);
        put(&f, COLL, i % KEYS, 1 + i);
        commit_txn(&f, false);
        vsi_versions_publish(&f.versions, 0, false);
        vsi_versions_reclaim(&f.versions);
        VT_EQ(list_length(&f), 2);
        bytes = i == 100 ? f.cow.bytes : bytes;
        /* The bitmap of slots, which only this pin keeps from being used again, grows a little. */
        VT_CHECK(i < 100 || f.cow.bytes <= bytes + 4 * (VSI_PAGE_BYTES + sizeof(vsi_block)));
    }
    check_blocks(&f);
    check_state(&f, &pinned->state, &before);
    check_state(&f, &f.versions.applied->state, &f.m);
    vsi_versions_unpin(&f.versions, pinned);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(f.cow.dead_bytes, 0);
    open_txn(&f); /* and the slots are there */
    uint32_t end_slot = coll_of(&f.state, COLL).slot_end;
    for (uint64_t key = 0; key < KEYS; key++)
        put(&f, COLL, key, 5);
    VT_EQ(coll_of(&f.state, COLL).slot_end, end_slot);
    commit_txn(&f, false);
    end(&f);
}

VT_TEST(without_memory_a_version_stays_in_the_list_until_there_is_some) {
    fixture f;
    begin_with_coll(&f);
    vsi_version *pinned[3];
    for (int i = 0; i < 3; i++) {
        pinned[i] = vsi_versions_pin(&f.versions);
        for (uint64_t n = 0; n < 40; n++) { /* so that their lists of slots have to grow */
            open_txn(&f);
            put(&f, COLL, n % KEYS, n + 1);
            commit_txn(&f, false);
        }
        vsi_versions_publish(&f.versions, 0, false);
    }
    f.allocator.fail_at = f.allocator.calls + 1;
    f.allocator.fails_for_ever = true;
    vsi_versions_reclaim(&f.versions);
    f.allocator.fail_at = 0;
    f.allocator.fails_for_ever = false;
    VT_CHECK(list_length(&f) >= 4);
    check_blocks(&f);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 4);
    check_blocks(&f);
    for (int i = 0; i < 3; i++)
        vsi_versions_unpin(&f.versions, pinned[i]);
    vsi_versions_reclaim(&f.versions);
    VT_EQ(list_length(&f), 1);
    end(&f);
}

/* ---- many threads --------------------------------------------------------------------------- */

#if VS_THREADSAFE

enum { PINNERS = 7, QUICK_COMMITS = 700000 };

typedef struct pinning {
    vsi_mem mem;
    vsi_pager pager;
    vsi_cow cow;
    vsi_descs descs;
    vsi_versions versions;
    vsi_atomic_u64 is_over, lost, pins;
} pinning;

static bool is_in_list(vsi_versions *versions, const vsi_version *version) {
    vsi_mutex_lock(&versions->lock);
    const vsi_version *v = versions->oldest;
    while (v && v != version)
        v = v->newer;
    vsi_mutex_unlock(&versions->lock);
    return v;
}

static void *pin_and_look(void *ctx) {
    pinning *p = ctx;
    while (!vsi_ordered_load(&p->is_over)) {
        vsi_version *version = vsi_versions_pin(&p->versions);
        if (!is_in_list(&p->versions, version))
            vsi_ordered_add(&p->lost, 1);
        vsi_ordered_add(&p->pins, 1);
        vsi_versions_unpin(&p->versions, version);
    }
    return NULL;
}

/* More threads than cores, so that many are interrupted between two steps of a pin. */
VT_TEST(a_version_that_a_thread_has_pinned_is_in_the_list) {
    static pinning p;
    pthread_t thread[PINNERS];
    memset(&p, 0, sizeof p);
    vsi_mem_init(&p.mem, NULL);
    VT_CHECK(vsi_pager_init(&p.pager, &p.mem, NULL));
    vsi_cow_init(&p.cow, &p.mem);
    p.cow.pager = &p.pager;
    VT_CHECK(vsi_descs_init(&p.descs, &p.mem, NULL));
    VT_CHECK(vsi_versions_init(&p.versions, &p.mem, &p.cow, &p.descs));
    for (int i = 0; i < PINNERS; i++)
        VT_EQ(pthread_create(&thread[i], NULL, pin_and_look, &p), 0);
    while (vsi_ordered_load(&p.pins) <
           PINNERS) /* or a busy machine may run them behind the writer */
        sched_yield();
    for (uint64_t lsn = 1; lsn <= QUICK_COMMITS; lsn++) {
        vsi_version *version = vsi_version_new(&p.versions, &p.versions.applied->state);
        if (!version)
            abort();
        version->lsn = lsn;
        vsi_versions_add(&p.versions, version, 0);
        vsi_versions_publish(&p.versions, lsn, false);
        vsi_versions_reclaim(&p.versions);
        if (lsn % 8 == 0)
            vsi_reside_collect(&p.pager.reside);
    }
    vsi_ordered_add(&p.is_over, 1);
    for (int i = 0; i < PINNERS; i++)
        VT_EQ(pthread_join(thread[i], NULL), 0);
    VT_EQ(vsi_atomic_load(&p.lost), 0);
    VT_CHECK(vsi_atomic_load(&p.pins) >= PINNERS);
    vsi_versions_reclaim(&p.versions);
    VT_CHECK(p.versions.oldest == p.versions.applied);
    vsi_versions_free(&p.versions);
    vsi_cow_free_all(&p.cow);
    vsi_descs_free(&p.descs);
    vsi_pager_free(&p.pager);
    VT_EQ(vsi_atomic_load(&p.mem.used_bytes), 0);
}

#endif

/* ---- a pin that a writer gets in between of -------------------------------------------------- */

/* version.c once more, with a writer that publishes a version just before a pin counts. */
static struct {
    vsi_versions *versions;
    int left; /* how often */
} writer;

static void publish_between(vsi_atomic_u64 *counter, uint64_t n) {
    if (writer.left && n == 1) {
        vsi_versions *versions = writer.versions;
        vsi_version *version = vsi_version_new(versions, &versions->applied->state);
        VT_CHECK(version);
        version->lsn = versions->applied->lsn + 1;
        vsi_versions_add(versions, version, 0);
        vsi_versions_publish(versions, version->lsn, false);
        writer.left--;
    }
    vsi_ordered_add(counter, n);
}

#define vsi_versions_init         between_versions_init
#define vsi_versions_free         between_versions_free
#define versions_reside           between_versions_reside
#define versions_published        between_versions_published
#define vsi_versions_pin          between_versions_pin
#define vsi_versions_pin_again    between_versions_pin_again
#define vsi_versions_unpin        between_versions_unpin
#define vsi_versions_pin_count    between_versions_pin_count
#define vsi_version_new           between_version_new
#define vsi_version_discard       between_version_discard
#define vsi_versions_add          between_versions_add
#define vsi_versions_publish      between_versions_publish
#define vsi_versions_is_published between_versions_is_published
#define vsi_versions_peek         between_versions_peek
#define vsi_versions_list         between_versions_list
#define versions_give_slots       between_versions_give_slots
#define version_bequeath          between_version_bequeath
#define version_retire            between_version_retire
#define vsi_versions_reclaim      between_versions_reclaim
#define vsi_ordered_add           publish_between
#define reader                    between_reader
VSI_FN vsi_version *vsi_version_new(vsi_versions *versions, const vsi_state *state);
VSI_FN void vsi_version_discard(vsi_versions *versions, vsi_version *version);
#include "store/version.c"
#undef reader
#undef vsi_versions_init
#undef vsi_versions_free
#undef versions_reside
#undef versions_published
#undef vsi_versions_pin
#undef vsi_versions_pin_again
#undef vsi_versions_unpin
#undef vsi_versions_pin_count
#undef vsi_version_new
#undef vsi_version_discard
#undef vsi_versions_add
#undef vsi_versions_publish
#undef vsi_versions_is_published
#undef vsi_versions_peek
#undef vsi_versions_list
#undef versions_give_slots
#undef version_bequeath
#undef version_retire
#undef vsi_versions_reclaim
#undef vsi_ordered_add

VT_TEST(a_version_that_leaves_between_a_look_and_the_count_is_not_pinned) {
    for (int times = 0; times < 4; times++) {
        fixture f;
        begin_with_coll(&f);
        writer.versions = &f.versions;
        writer.left = times;
        vsi_version *pinned = between_versions_pin(&f.versions);
        VT_EQ(writer.left, 0);
        VT_CHECK(pinned == f.versions.applied); /* the last one published */
        VT_EQ(pinned->pins, 1);
        vsi_versions_reclaim(&f.versions);
        VT_CHECK(f.versions.oldest == pinned &&
                 !pinned->newer); /* those between have no pin left */
        vsi_versions_unpin(&f.versions, pinned);
        end(&f);
    }
}
