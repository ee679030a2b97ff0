/* desc.c - the registry of collections, and the pools of slots that may be used again. */
#include "store/desc.h"
#include "vt.h"

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_descs descs;
    vsi_err err;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_CHECK(vsi_descs_init(&f->descs, &f->mem, NULL));
}

static void end(fixture *f) {
    vsi_descs_free(&f->descs);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

/* What is given about a collection; dim, type and name follow from id and variant. */
static vsi_desc make_given(uint32_t id, uint32_t variant) {
    vsi_desc given;
    memset(&given, 0, sizeof given);
    given.id = id;
    given.field[0].dim = 1 + (id + variant) % 900;
    given.field_count = 1;
    given.field[0].type = (id + variant) % 2 ? VS_F32 : VS_U8;
    given.field[0].metric = VS_IP;
    given.field[0].element_bytes = vsi_type_bytes(given.field[0].type);
    given.created_us = (int64_t)id * 1000 - 7;
    given.term = (vsi_hash128){id, variant};
    snprintf(given.name, sizeof given.name, "name-%u-%u", (unsigned)id, (unsigned)variant);
    snprintf(given.field[0].index, sizeof given.field[0].index, "%s", id % 3 ? "flat" : "");
    return given;
}

static vsi_desc *add(fixture *f, uint32_t id, uint32_t variant) {
    const vsi_desc given = make_given(id, variant);
    vsi_desc *desc = NULL;
    VT_EQ(vsi_descs_add(&f->err, &f->descs, &given, &desc), VS_OK);
    return desc;
}

static void check_same(const vsi_desc *desc, const vsi_desc *given) {
    VT_CHECK(desc->id == given->id && desc->field[0].dim == given->field[0].dim &&
             desc->field[0].type == given->field[0].type);
    VT_CHECK(desc->field[0].metric == given->field[0].metric &&
             desc->created_us == given->created_us);
    VT_EQ(desc->field[0].element_bytes, given->field[0].element_bytes);
    VT_CHECK(desc->term.lo == given->term.lo && desc->term.hi == given->term.hi);
    VT_STR(desc->name, given->name);
    VT_STR(desc->field[0].index, given->field[0].index);
}

static bool has_row(vsi_slabs *slabs, uint32_t slot) {
    vsi_err err = {0};
    const uint8_t *row = NULL;
    return vsi_slab_row(&err, slabs, slot, &row) == VS_OK;
}

static void check_desc(vsi_desc *desc, uint32_t id, uint32_t variant) {
    const vsi_desc given = make_given(id, variant);
    uint32_t row_bytes = given.field[0].dim * given.field[0].element_bytes;
    check_same(desc, &given);
    VT_EQ(desc->field[0].rows.row_bytes, row_bytes);
    VT_EQ(desc->field[0].rows.shift, vsi_slab_shift(row_bytes, 0));
    VT_EQ(desc->cells.row_bytes, 32);
    VT_EQ(desc->cells.shift, vsi_slab_shift(32, 0));
}

static void make_row(fixture *f, vsi_slabs *slabs, uint32_t slot) {
    uint8_t *row = NULL;
    VT_EQ(vsi_slab_make_row(&f->err, slabs, slot, &row), VS_OK);
    memset(row, 0xa5, slabs->row_bytes);
}

/* ---- the registry --------------------------------------------------------------------------- */

VT_TEST(an_empty_registry_finds_nothing) {
    fixture f;
    vsi_descs zero;
    memset(&zero, 0, sizeof zero);
    vsi_descs_free(&zero);
    begin(&f);
    static const uint32_t id[] = {0, 1, 2, UINT32_MAX};
    for (size_t i = 0; i < sizeof id / sizeof id[0]; i++)
        VT_CHECK(!vsi_descs_find(&f.descs, id[i]));
    end(&f);
}

VT_TEST(a_desc_is_a_copy_of_what_was_given_with_empty_arrays) {
    fixture f;
    begin(&f);
    for (uint32_t id = 1; id <= 40; id++) {
        vsi_desc given = make_given(id, 0);
        given.pool.bytes = 44; /* not copied */
        given.pool_is_filled = true;
        given.field[0].rows.row_bytes = 7;
        vsi_desc *desc = NULL;
        VT_EQ(vsi_descs_add(&f.err, &f.descs, &given, &desc), VS_OK);
        memset(&given, 0xee, sizeof given);
        check_desc(desc, id, 0);
        VT_CHECK(!desc->pool_is_filled && vsi_desc_take_slot(desc) == VSI_SLOT_NONE);
        VT_CHECK(!has_row(&desc->field[0].rows, 0) && !has_row(&desc->cells, 0));
    }
    end(&f);
}

VT_TEST(the_longest_names_and_the_largest_rows_are_kept) {
    fixture f;
    begin(&f);
    vsi_desc given = make_given(9, 0), *desc = NULL;
    given.field[0].dim = VS_DIM_MAX;
    given.field[0].element_bytes = 4;
    memset(given.name, 'n', VS_NAME_BYTES_MAX);
    memset(given.field[0].index, 'i', VS_INDEX_BYTES_MAX);
    VT_EQ(vsi_descs_add(&f.err, &f.descs, &given, &desc), VS_OK);
    check_same(desc, &given);
    VT_EQ(strlen(desc->name), VS_NAME_BYTES_MAX);
    VT_EQ(strlen(desc->field[0].index), VS_INDEX_BYTES_MAX);
    VT_EQ(desc->field[0].rows.row_bytes, 4 * VS_DIM_MAX);
    make_row(&f, &desc->field[0].rows, 3);
    end(&f);
}

VT_TEST(descs_added_in_any_order_are_found_where_they_stay) {
    enum { DESCS = 3001 };
    fixture f;
    static vsi_desc *desc[DESCS];
    begin(&f);
    for (uint32_t i = 0, at = 0; i < DESCS; i++, at = (at + 1234) % DESCS) /* DESCS is a prime */
        desc[at] = add(&f, at * 3 + 2, 0);
    for (uint32_t at = 0; at < DESCS; at++) {
        VT_CHECK(vsi_descs_find(&f.descs, at * 3 + 2) == desc[at]);
        VT_CHECK(!vsi_descs_find(&f.descs, at * 3 + 1) && !vsi_descs_find(&f.descs, at * 3 + 3));
        check_desc(desc[at], at * 3 + 2, 0);
    }
    vsi_desc *const *list = (vsi_desc *const *)(const void *)f.descs.list.data;
    for (uint32_t at = 1; at < DESCS; at++)
        VT_CHECK(list[at - 1]->id < list[at]->id);
    end(&f);
}

VT_TEST(the_smallest_and_largest_ids_are_found) {
    fixture f;
    begin(&f);
    vsi_desc *last = add(&f, UINT32_MAX, 0), *first = add(&f, 1, 0);
    VT_CHECK(vsi_descs_find(&f.descs, UINT32_MAX) == last);
    VT_CHECK(vsi_descs_find(&f.descs, 1) == first);
    VT_CHECK(!vsi_descs_find(&f.descs, 0) && !vsi_descs_find(&f.descs, UINT32_MAX - 1));
    end(&f);
}

/* A transaction that made a collection was rolled back; the next one uses the id again. */
VT_TEST(a_desc_of_an_id_that_is_there_is_replaced_with_all_that_it_held) {
    fixture f;
    begin(&f);
    add(&f, 4, 0);
    add(&f, 6, 0);
    uint64_t blocks = 0;
    for (uint32_t variant = 0; variant < 30; variant++) {
        vsi_desc *desc = add(&f, 5, variant);
        VT_CHECK(vsi_descs_find(&f.descs, 5) == desc);
        check_desc(desc, 5, variant);
        VT_CHECK(!has_row(&desc->field[0].rows, 0) && !has_row(&desc->cells, 0));
        VT_CHECK(!desc->pool_is_filled && vsi_desc_take_slot(desc) == VSI_SLOT_NONE);
        make_row(&f, &desc->field[0].rows, 40000);
        make_row(&f, &desc->cells, 1);
        vsi_desc_give_slot(desc, 3);
        desc->pool_is_filled = true;
        if (variant == 0)
            blocks = f.allocator.live_blocks;
        VT_EQ(f.allocator.live_blocks, blocks);
        VT_EQ(f.descs.list.bytes, 3 * sizeof(vsi_desc *));
    }
    check_desc(vsi_descs_find(&f.descs, 4), 4, 0);
    check_desc(vsi_descs_find(&f.descs, 6), 6, 0);
    end(&f);
}

/* The list doubles its room now and then, a desc is always new. */
VT_TEST(every_allocation_that_fails_leaves_the_registry_as_it_was) {
    fixture f;
    uint64_t failed = 0;
    begin(&f);
    for (uint32_t id = 1; id <= 300; id++)
        for (uint64_t at = 1;; at++) {
            const vsi_desc given = make_given(id, 0);
            vsi_desc *desc = NULL;
            uint64_t blocks = f.allocator.live_blocks, failures = f.allocator.failures;
            f.allocator.fail_at = f.allocator.calls + at;
            vs_status st = vsi_descs_add(&f.err, &f.descs, &given, &desc);
            f.allocator.fail_at = 0;
            VT_EQ(st == VS_OK, f.allocator.failures == failures);
            VT_CHECK(vsi_descs_find(&f.descs, id) == desc);
            VT_CHECK(id == 1 || vsi_descs_find(&f.descs, id - 1));
            if (st == VS_OK)
                break;
            VT_EQ(st, VS_ERR_NOMEM);
            VT_CHECK(f.err.text[0] && !desc);
            VT_CHECK(f.allocator.live_blocks <= blocks + 1); /* room in the list may stay */
            failed++;
        }
    VT_CHECK(failed > 300);
    for (uint32_t id = 1; id <= 300; id++)
        check_desc(vsi_descs_find(&f.descs, id), id, 0);
    end(&f);
}

/* Its slabs were written early; their pages must be noted before they are forgotten. */
VT_TEST(a_desc_whose_pages_cannot_be_noted_is_not_replaced) {
    fixture f;
    vsi_pager pager;
    vsi_cow cow;
    begin(&f);
    VT_CHECK(vsi_pager_init(&pager, &f.mem, NULL));
    vsi_cow_init(&cow, &f.mem);
    cow.pager = &pager;
    for (int of_cells = 0; of_cells < 2; of_cells++) {
        vsi_desc given = make_given(5, 0), *desc = NULL, *again = NULL;
        given.new_dir.cow = &cow;
        VT_EQ(vsi_descs_add(&f.err, &f.descs, &given, &desc), VS_OK);
        vsi_slab_place place = {.at = 3,
                                .ref = {.at = vsi_ref_extent(40, 4), .kind = VSI_REF_SLAB}};
        VT_CHECK(vsi_buf_append(of_cells ? &desc->cells.moved : &desc->field[0].rows.moved, &place,
                                sizeof place));
        desc->pool_is_filled = true;
        f.allocator.fail_at = f.allocator.calls + 1;
        VT_EQ(vsi_descs_add(&f.err, &f.descs, &given, &again), VS_ERR_NOMEM);
        f.allocator.fail_at = 0;
        VT_CHECK(!again && desc->pool_is_filled);
        VT_EQ(pager.dropped.bytes, 0);
        VT_EQ(vsi_descs_add(&f.err, &f.descs, &given, &again), VS_OK);
        VT_CHECK(again == desc && !desc->pool_is_filled);
        VT_EQ(pager.dropped.bytes, sizeof(vsi_run));
        vsi_buf_free(&pager.dropped);
    }
    vsi_cow_free_all(&cow);
    vsi_pager_free(&pager);
    end(&f);
}

/* Two threads meet a collection of the catalog for the first time: one desc is made. */
VT_TEST(a_desc_that_is_there_is_not_made_again_from_the_catalog) {
    fixture f;
    begin(&f);
    const vsi_desc given = make_given(5, 0), other = make_given(5, 1);
    vsi_desc *first = NULL, *second = NULL;
    VT_EQ(vsi_descs_intern(&f.err, &f.descs, &given, &first), VS_OK);
    make_row(&f, &first->field[0].rows, 7);
    VT_EQ(vsi_descs_intern(&f.err, &f.descs, &other, &second), VS_OK);
    VT_CHECK(first == second && has_row(&first->field[0].rows, 7));
    check_desc(first, 5, 0);
    end(&f);
}

VT_TEST(walking_ends_behind_the_largest_id) {
    fixture f;
    begin(&f);
    vsi_desc *last = add(&f, UINT32_MAX, 0), *first = add(&f, 9, 0);
    VT_CHECK(vsi_descs_from(&f.descs, 0) == first && vsi_descs_from(&f.descs, 9) == first);
    VT_CHECK(vsi_descs_from(&f.descs, 10) == last && vsi_descs_from(&f.descs, UINT32_MAX) == last);
    VT_CHECK(!vsi_descs_from(&f.descs, (uint64_t)UINT32_MAX + 1));
    end(&f);
}

/* ---- readers beside the writer -------------------------------------------------------------- */

#if VS_THREADSAFE

enum { READERS = 2, SHARED_DESCS = 4000 };

typedef struct reader {
    pthread_t thread;
    vsi_descs *descs;
    uint64_t finds, wrong;
} reader;

/* Each one that was found once must be found from then on; descs are added by ascending id. A
 * failure is counted: only the main thread may end a test. */
static void *reader_main(void *arg) {
    reader *r = arg;
    for (uint32_t next = 1; next <= SHARED_DESCS;) {
        const vsi_desc *desc = vsi_descs_find(r->descs, next);
        const vsi_desc *old = vsi_descs_find(r->descs, next / 2);
        r->wrong += (desc && desc->id != next) || (next > 1 && (!old || old->id != next / 2));
        r->finds += desc != NULL;
        next += desc != NULL;
    }
    return NULL;
}

VT_TEST(readers_find_descs_while_others_are_added) {
    fixture f;
    reader r[READERS];
    begin(&f);
    memset(r, 0, sizeof r);
    for (int i = 0; i < READERS; i++) {
        r[i].descs = &f.descs;
        VT_EQ(pthread_create(&r[i].thread, NULL, reader_main, &r[i]), 0);
    }
    for (uint32_t id = 1; id <= SHARED_DESCS; id++) {
        const vsi_desc given = make_given(id, 0);
        vsi_desc *desc = NULL;
        if (vsi_descs_add(&f.err, &f.descs, &given, &desc) != VS_OK)
            abort(); /* the readers would wait for ever */
    }
    for (int i = 0; i < READERS; i++)
        VT_EQ(pthread_join(r[i].thread, NULL), 0);
    for (int i = 0; i < READERS; i++) {
        VT_EQ(r[i].wrong, 0);
        VT_EQ(r[i].finds, SHARED_DESCS);
    }
    end(&f);
}

#endif

/* ---- pools ---------------------------------------------------------------------------------- */

VT_TEST(the_slot_given_last_is_taken_first_and_each_one_once) {
    fixture f;
    begin(&f);
    vsi_desc *desc = add(&f, 1, 0);
    VT_EQ(vsi_desc_take_slot(desc), VSI_SLOT_NONE);
    for (uint32_t slot = 1000; slot-- > 0;)
        vsi_desc_give_slot(desc, slot);
    for (uint32_t slot = 0; slot < 1000; slot++)
        VT_EQ(vsi_desc_take_slot(desc), slot);
    VT_EQ(vsi_desc_take_slot(desc), VSI_SLOT_NONE);
    VT_EQ(vsi_desc_take_slot(desc), VSI_SLOT_NONE);
    vsi_desc_give_slot(desc, VSI_SLOT_NONE - 1);
    VT_EQ(vsi_desc_take_slot(desc), VSI_SLOT_NONE - 1);
    end(&f);
}

VT_TEST(each_collection_has_a_pool_of_its_own) {
    fixture f;
    begin(&f);
    for (uint32_t id = 1; id <= 50; id++)
        add(&f, id, 0);
    for (uint32_t round = 4; round-- > 0;)
        for (uint32_t id = 1; id <= 50; id++)
            vsi_desc_give_slot(vsi_descs_find(&f.descs, id), id * 10 + round);
    for (uint32_t id = 50; id > 0; id--) {
        vsi_desc *desc = vsi_descs_find(&f.descs, id);
        for (uint32_t round = 0; round < 4; round++)
            VT_EQ(vsi_desc_take_slot(desc), id * 10 + round);
        VT_EQ(vsi_desc_take_slot(desc), VSI_SLOT_NONE);
    }
    end(&f);
}

VT_TEST(slots_taken_and_given_back_leave_the_pool_as_it_was) {
    fixture f;
    vt_rng rng = {vt_seed()};
    begin(&f);
    vsi_desc *desc = add(&f, 1, 0);
    for (uint32_t slot = 200; slot-- > 0;)
        vsi_desc_give_slot(desc, slot * 7);
    for (int round = 0; round < 100; round++) {
        uint32_t taken[200], n = (uint32_t)vt_below(&rng, 201);
        for (uint32_t i = 0; i < n; i++) {
            taken[i] = vsi_desc_take_slot(desc);
            VT_EQ(taken[i], i * 7);
        }
        uint64_t calls = f.allocator.calls;
        while (n > 0)
            vsi_desc_give_slot(desc, taken[--n]);
        VT_EQ(f.allocator.calls, calls); /* there is room: a rollback cannot lose a slot */
    }
    end(&f);
}

VT_TEST(a_slot_that_cannot_be_remembered_is_lost_and_nothing_else) {
    fixture f;
    begin(&f);
    vsi_desc *desc = add(&f, 1, 0);
    uint32_t given = 0;
    for (uint32_t slot = 0; slot < 1000; slot++) { /* every growth of the pool fails once */
        uint64_t failures = f.allocator.failures;
        f.allocator.fail_at = f.allocator.calls + 1;
        vsi_desc_give_slot(desc, slot);
        f.allocator.fail_at = 0;
        given += f.allocator.failures == failures;
        if (f.allocator.failures != failures)
            vsi_desc_give_slot(desc, 100000 + slot);
    }
    VT_CHECK(f.allocator.failures >= 4 && given == 1000 - f.allocator.failures);
    for (uint32_t slot = 1000; slot-- > 0;) {
        uint32_t taken = vsi_desc_take_slot(desc);
        VT_CHECK(taken == slot || taken == 100000 + slot);
    }
    VT_EQ(vsi_desc_take_slot(desc), VSI_SLOT_NONE);
    end(&f);
}
