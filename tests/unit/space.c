/* space.c - free pages against an array with one mark per page. */
#include "store/space.h"
#include "vt.h"

enum { PAGES = 8192, EXTENTS = 2000 };

typedef enum mark {
    FREE,
    TAKEN,  /* since the last seal */
    SEALED, /* used, durable */
    DEAD
} mark;

typedef struct extent {
    vsi_run run;
    mark what;
    uint64_t checkpoint, version; /* of a dead one */
} extent;

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_space space;
    vsi_err err;
    vt_rng rng;
    mark page[PAGES];
    extent extent[EXTENTS]; /* all but free ones */
    size_t extents;
} fixture;

/* ---- fixture -------------------------------------------------------------------------------- */

static void begin(fixture *f, uint64_t block_pages) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_space_init(&f->space, &f->mem);
    f->space.block_pages = block_pages;
    f->space.is_known = true;
    f->rng.state = vt_seed() + block_pages;
}

static void end(fixture *f) {
    vsi_space_free(&f->space);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

static const vsi_run *runs_of(const vsi_space *space, size_t *out_n) {
    *out_n = space->runs.bytes / sizeof(vsi_run);
    return (const vsi_run *)(const void *)space->runs.data;
}

/* Runs ascend between the first page and the end, and touch neither each other nor the end. */
static void check_runs(const vsi_space *space) {
    size_t n;
    const vsi_run *run = runs_of(space, &n);
    uint64_t behind = VSI_SPACE_FIRST_PAGE, pages = 0;
    for (size_t i = 0; i < n; i++) {
        VT_CHECK(run[i].pages > 0 && (i ? run[i].page > behind : run[i].page >= behind));
        behind = run[i].page + run[i].pages;
        pages += run[i].pages;
    }
    VT_CHECK(n == 0 || behind < space->end);
    VT_EQ(space->free_pages, pages);
}

/* The space has exactly what the marks say. */
static void check_space(const fixture *f) {
    static bool is_free[PAGES];
    size_t n;
    const vsi_run *run = runs_of(&f->space, &n);
    uint64_t dead = 0;
    check_runs(&f->space);
    VT_CHECK(f->space.end <= PAGES);
    memset(is_free, 0, sizeof is_free);
    for (size_t i = 0; i < n; i++)
        memset(is_free + run[i].page, true, run[i].pages);
    memset(is_free + f->space.end, true, PAGES - f->space.end);
    for (uint64_t page = VSI_SPACE_FIRST_PAGE; page < PAGES; page++) {
        if (is_free[page] != (f->page[page] == FREE))
            vt_fail(__FILE__, __LINE__, "page %u is %d", (unsigned)page, f->page[page]);
        dead += f->page[page] == DEAD;
    }
    VT_EQ(f->space.dead_pages, dead);
}

/* ---- operations on both --------------------------------------------------------------------- */

static void set_marks(fixture *f, vsi_run run, mark what) {
    for (uint64_t i = 0; i < run.pages; i++)
        f->page[run.page + i] = what;
}

/* Pages handed out were free, and so was, but for what was taken since the last seal, every block that
 * they lie in. */
static void check_taken(const fixture *f, vsi_run run) {
    uint64_t unit = f->space.block_pages;
    uint64_t first = run.page / unit * unit;
    uint64_t last = (run.page + run.pages + unit - 1) / unit * unit;
    VT_CHECK(run.page >= VSI_SPACE_FIRST_PAGE && run.page + run.pages <= f->space.end);
    VT_CHECK(last <= PAGES);
    for (uint64_t page = run.page; page < run.page + run.pages; page++)
        VT_EQ(f->page[page], FREE);
    for (uint64_t page = first; page < last; page++)
        VT_CHECK(f->page[page] == FREE || f->page[page] == TAKEN);
}

static vs_status take(fixture *f, uint64_t pages) {
    vsi_run run = {.pages = pages};
    vs_status st = vsi_space_take(&f->err, &f->space, pages, &run.page);
    if (st != VS_OK)
        return st;
    check_taken(f, run);
    set_marks(f, run, TAKEN);
    VT_CHECK(f->extents < EXTENTS);
    f->extent[f->extents++] = (extent){.run = run, .what = TAKEN};
    return st;
}

static void seal(fixture *f) {
    vsi_space_seal(&f->space);
    for (size_t i = 0; i < f->extents; i++)
        if (f->extent[i].what == TAKEN) {
            f->extent[i].what = SEALED;
            set_marks(f, f->extent[i].run, SEALED);
        }
}

static void forget(fixture *f, size_t at) {
    set_marks(f, f->extent[at].run, FREE);
    f->extent[at] = f->extent[--f->extents];
}

/* Gives back what was taken since the last seal, all or some. */
static void give(fixture *f, bool all) {
    uint64_t calls = f->allocator.calls;
    for (size_t i = f->extents; i-- > 0;) {
        if (f->extent[i].what != TAKEN || (!all && vt_below(&f->rng, 3)))
            continue;
        vsi_space_give(&f->space, f->extent[i].run);
        forget(f, i);
    }
    VT_EQ(f->allocator.calls, calls); /* needs no memory */
}

static size_t count_extents(const fixture *f, mark what) {
    size_t n = 0;
    for (size_t i = 0; i < f->extents; i++)
        n += f->extent[i].what == what;
    return n;
}

/* Some of the sealed extents die, with numbers below 8. */
static vs_status bury(fixture *f, uint64_t one_of) {
    vs_status st = vsi_space_expect(&f->err, &f->space, count_extents(f, SEALED));
    if (st != VS_OK)
        return st;
    uint64_t calls = f->allocator.calls;
    for (size_t i = 0; i < f->extents; i++) {
        extent *e = &f->extent[i];
        if (e->what != SEALED || vt_below(&f->rng, one_of))
            continue;
        *e = (extent){e->run, DEAD, vt_below(&f->rng, 8), vt_below(&f->rng, 8)};
        vsi_space_bury(&f->space, (vsi_dead_extent){e->run, e->checkpoint, e->version, 0, 0});
        set_marks(f, e->run, DEAD);
    }
    VT_EQ(f->allocator.calls, calls);
    return st;
}

/* A run that is freed: told of before, and one of the dead that nobody reaches. */
typedef struct reaper {
    fixture *f;
    uint64_t first_checkpoint, first_version;
    size_t count;
} reaper;

static bool is_reached(const extent *e, const reaper *r) {
    return e->checkpoint >= r->first_checkpoint || e->version > r->first_version;
}

static void reap_one(void *ctx, vsi_run run) {
    reaper *r = ctx;
    size_t i = 0;
    while (i < r->f->extents && r->f->extent[i].run.page != run.page)
        i++;
    VT_CHECK(i < r->f->extents && r->f->extent[i].what == DEAD);
    VT_EQ(r->f->extent[i].run.pages, run.pages);
    VT_CHECK(!is_reached(&r->f->extent[i], r));
    forget(r->f, i);
    r->count++;
}

static void reap(fixture *f, uint64_t first_checkpoint, uint64_t first_version) {
    reaper r = {f, first_checkpoint, first_version, 0};
    size_t expected = 0;
    uint64_t calls = f->allocator.calls;
    for (size_t i = 0; i < f->extents; i++)
        expected += f->extent[i].what == DEAD && !is_reached(&f->extent[i], &r);
    vsi_space_reap(&f->space, first_checkpoint, &(vsi_space_reader){first_version, UINT64_MAX}, 1,
                   reap_one, &r);
    VT_EQ(r.count, expected);
    VT_EQ(f->allocator.calls, calls);
}

static uint64_t some_pages(fixture *f) {
    return 1 + vt_below(&f->rng, vt_below(&f->rng, 6) ? 6 : 70);
}

static vs_status random_step(fixture *f) {
    uint64_t what = vt_below(&f->rng, 32);
    uint64_t used = f->space.end;
    if (what < 20)
        return used + 200 < PAGES && f->extents + 8 < EXTENTS ? take(f, some_pages(f)) : VS_OK;
    if (what < 24)
        seal(f);
    else if (what < 27)
        give(f, what == 24);
    else if (what < 29)
        return bury(f, used > PAGES / 2 ? 2 : 8);
    else
        reap(f, vt_below(&f->rng, 10), vt_below(&f->rng, 10));
    return VS_OK;
}

/* ---- taking and giving ---------------------------------------------------------------------- */

VT_TEST(pages_are_handed_out_once_in_blocks_without_durable_pages_and_none_is_lost) {
    static const uint64_t block_pages[] = {1, 4, 16};
    static fixture f;
    for (size_t i = 0; i < 3; i++) {
        begin(&f, block_pages[i]);
        for (size_t step = 0; step < 2500; step++) {
            VT_EQ(random_step(&f), VS_OK);
            check_space(&f);
        }
        end(&f);
    }
}

VT_TEST(when_all_is_given_back_the_file_is_empty_again) {
    static const uint64_t block_pages[] = {1, 4, 16};
    static fixture f;
    for (size_t i = 0; i < 3; i++) {
        begin(&f, block_pages[i]);
        for (size_t step = 0; step < 300; step++)
            VT_EQ(random_step(&f), VS_OK);
        give(&f, true);
        VT_EQ(bury(&f, 1), VS_OK);
        reap(&f, UINT64_MAX, UINT64_MAX);
        check_space(&f);
        VT_EQ(f.extents, 0);
        VT_EQ(f.space.end, VSI_SPACE_FIRST_PAGE);
        VT_EQ(f.space.free_pages, 0);
        VT_EQ(f.space.runs.bytes, 0);
        end(&f);
    }
}

VT_TEST(pages_taken_one_after_the_other_follow_each_other_until_a_seal) {
    static fixture f;
    uint64_t page = 0;
    begin(&f, 16);
    for (uint64_t i = 0; i < 10; i++) {
        VT_EQ(vsi_space_take(&f.err, &f.space, 3, &page), VS_OK);
        VT_EQ(page, VSI_SPACE_FIRST_PAGE + 3 * i);
    }
    VT_EQ(f.space.end, VSI_SPACE_FIRST_PAGE + 30);
    vsi_space_seal(&f.space);
    VT_EQ(vsi_space_take(&f.err, &f.space, 3, &page), VS_OK);
    VT_EQ(page, VSI_SPACE_FIRST_PAGE + 32);
    VT_EQ(f.space.free_pages, 2); /* the rest of the block */
    end(&f);
}

VT_TEST(the_lowest_pages_that_fit_are_taken_before_the_file_grows) {
    static fixture f;
    begin(&f, 1);
    for (size_t i = 0; i < 5; i++)
        VT_EQ(take(&f, 10), VS_OK);
    uint64_t page = 0;
    vsi_space_give(&f.space, (vsi_run){VSI_SPACE_FIRST_PAGE + 10, 10});
    vsi_space_give(&f.space, (vsi_run){VSI_SPACE_FIRST_PAGE + 30, 10});
    VT_EQ(vsi_space_take(&f.err, &f.space, 11, &page), VS_OK);
    VT_EQ(page, VSI_SPACE_FIRST_PAGE + 50);
    VT_EQ(vsi_space_take(&f.err, &f.space, 4, &page), VS_OK);
    VT_EQ(page, VSI_SPACE_FIRST_PAGE + 10);
    VT_EQ(vsi_space_take(&f.err, &f.space, 10, &page), VS_OK);
    VT_EQ(page, VSI_SPACE_FIRST_PAGE + 30);
    VT_EQ(f.space.free_pages, 6);
    end(&f);
}

VT_TEST(a_file_that_would_become_too_large_is_refused_and_nothing_changes) {
    static fixture f;
    uint8_t list[16] = {0};
    begin(&f, 1);
    f.space.is_known = false;
    uint64_t end_page = VSI_PAGE_NO_MAX - 10, page = 7;
    VT_EQ(vsi_space_read(&f.err, &f.space, (vsi_bytes){list, sizeof list}, end_page, 1), VS_OK);
    VT_EQ(vsi_space_take(&f.err, &f.space, 11, &page), VS_ERR_LIMIT);
    VT_CONTAINS(f.err.text, "too large");
    VT_CHECK(page == 7 && f.space.end == end_page && f.space.runs.bytes == 0);
    VT_EQ(vsi_space_take(&f.err, &f.space, 10, &page), VS_OK);
    VT_EQ(page, end_page);
    VT_EQ(vsi_space_take(&f.err, &f.space, 1, &page), VS_ERR_LIMIT);
    end(&f);
}

VT_TEST(a_space_that_is_all_zero_can_be_freed) {
    vsi_space space;
    memset(&space, 0, sizeof space);
    vsi_space_free(&space);
}

VT_TEST(the_dead_are_kept_until_no_checkpoint_and_no_version_reaches_them) {
    static fixture f;
    begin(&f, 1);
    for (uint64_t i = 0; i < 4; i++)
        VT_EQ(take(&f, 2), VS_OK);
    seal(&f);
    VT_EQ(vsi_space_expect(&f.err, &f.space, 3), VS_OK);
    for (uint64_t i = 0; i < 3; i++) { /* versions 5, 6, 7 replaced what checkpoint 2, 3, 4 reach */
        extent *e = &f.extent[i];
        *e = (extent){e->run, DEAD, 2 + i, 5 + i};
        vsi_space_bury(&f.space, (vsi_dead_extent){e->run, e->checkpoint, e->version, 0, 0});
        set_marks(&f, e->run, DEAD);
    }
    reap(&f, 2, 100);
    reap(&f, 100, 4);
    VT_EQ(f.space.dead_pages, 6);
    reap(&f, 3, 5); /* only the first */
    VT_EQ(f.space.dead_pages, 4);
    f.space.is_known = false; /* as before the list was read: nothing is freed */
    vsi_space_reap(&f.space, 100, &(vsi_space_reader){100, UINT64_MAX}, 1, reap_one, NULL);
    VT_EQ(f.space.dead_pages, 4);
    f.space.is_known = true;
    reap(&f, 100, 100);
    VT_EQ(f.space.dead_pages, 0);
    check_space(&f);
    end(&f);
}

VT_TEST(without_memory_nothing_is_taken_or_buried_and_the_space_goes_on) {
    static const uint64_t block_pages[] = {1, 16};
    static fixture f;
    uint64_t refusals = 0;
    for (size_t i = 0; i < 40; i++) {
        begin(&f, block_pages[i % 2]);
        f.rng.state += i;
        for (size_t step = 0; step < 150; step++) {
            uint64_t failures = f.allocator.failures;
            f.allocator.fail_at = vt_below(&f.rng, 2) ? f.allocator.calls + 1 : 0;
            f.allocator.fails_for_ever = true;
            vs_status st = random_step(&f);
            f.allocator.fail_at = 0;
            VT_EQ(st, f.allocator.failures == failures ? VS_OK : VS_ERR_NOMEM);
            check_space(&f);
        }
        refusals += f.allocator.failures;
        end(&f);
    }
    VT_CHECK(refusals > 40);
}

/* ---- the list ------------------------------------------------------------------------------- */

static vsi_run run_at(vsi_bytes list, uint64_t at) {
    const uint8_t *p = list.data + 16 + 16 * at;
    return (vsi_run){vsi_get_u64(p), vsi_get_u64(p + 8)};
}

/* The next extents.. of a list: those of the dead, in any order of this array but each once. */
static void expect_dead(const fixture *f, vsi_bytes list, uint64_t from, uint64_t n,
                        uint64_t first_kept, bool is_free) {
    uint64_t found = 0;
    for (size_t i = 0; i < f->extents; i++) {
        const extent *e = &f->extent[i];
        if (e->what != DEAD || (e->checkpoint < first_kept) != is_free)
            continue;
        uint64_t times = 0;
        for (uint64_t k = 0; k < n; k++)
            times += run_at(list, from + k).page == e->run.page &&
                     run_at(list, from + k).pages == e->run.pages;
        VT_EQ(times, 1);
        found++;
    }
    VT_EQ(found, n);
}

/* A random state, some of it dead. */
static void make_state(fixture *f, uint64_t block_pages, size_t steps) {
    begin(f, block_pages);
    for (size_t step = 0; step < steps; step++)
        VT_EQ(random_step(f), VS_OK);
    seal(f);
    VT_EQ(bury(f, 3), VS_OK);
}

/* The extents that a checkpoint itself gives up: sealed ones, now marked dead. */
static vsi_buf make_dying(fixture *f) {
    vsi_buf dying = {.mem = &f->mem};
    for (size_t i = 0; i < f->extents; i++)
        if (f->extent[i].what == SEALED && vt_below(&f->rng, 4) == 0)
            VT_CHECK(vsi_buf_append(&dying, &f->extent[i].run, sizeof(vsi_run)));
    return dying;
}

/* The list has the free runs, the dead that only checkpoints before first_kept reach, and as dying the
 * other dead and those given. */
static void check_list(const fixture *f, vsi_bytes list, uint64_t first_kept,
                       const vsi_buf *dying) {
    size_t runs;
    const vsi_run *run = runs_of(&f->space, &runs);
    uint64_t free_runs = vsi_get_u64(list.data), dying_runs = vsi_get_u64(list.data + 8);
    uint64_t given = dying->bytes / sizeof *run;
    VT_EQ(list.bytes, 16 + 16 * (free_runs + dying_runs));
    VT_CHECK(free_runs >= runs && dying_runs >= given);
    for (uint64_t i = 0; i < runs; i++)
        VT_CHECK(run_at(list, i).page == run[i].page && run_at(list, i).pages == run[i].pages);
    expect_dead(f, list, runs, free_runs - runs, first_kept, true);
    expect_dead(f, list, free_runs, dying_runs - given, first_kept, false);
    run = (const vsi_run *)(const void *)dying->data;
    for (uint64_t i = 0; i < given; i++) {
        vsi_run found = run_at(list, free_runs + dying_runs - given + i);
        VT_CHECK(found.page == run[i].page && found.pages == run[i].pages);
    }
}

static void expect_free(void *ctx, vsi_run run) {
    fixture *f = ctx;
    for (uint64_t i = 0; i < run.pages; i++)
        VT_EQ(f->page[run.page + i], DEAD);
    set_marks(f, run, FREE);
}

/* What is read back: the free runs, and the dying ones as dead that the checkpoint before reaches. */
static void check_read(const fixture *f, vsi_bytes list, uint64_t end_page, uint64_t checkpoint) {
    static fixture g;
    uint64_t free_runs = vsi_get_u64(list.data), all = free_runs + vsi_get_u64(list.data + 8);
    begin(&g, f->space.block_pages);
    g.space.is_known = false;
    VT_EQ(vsi_space_read(&g.err, &g.space, list, end_page, checkpoint), VS_OK);
    VT_CHECK(g.space.is_known);
    for (uint64_t page = VSI_SPACE_FIRST_PAGE; page < end_page; page++)
        g.page[page] = SEALED;
    for (uint64_t i = 0; i < all; i++)
        set_marks(&g, run_at(list, i), i < free_runs ? FREE : DEAD);
    check_space(&g);
    vsi_space_reap(&g.space, checkpoint - 1, NULL, 0, expect_free, &g);
    check_space(&g);
    vsi_space_reap(&g.space, checkpoint, &(vsi_space_reader){0, UINT64_MAX}, 1, expect_free, &g);
    VT_EQ(g.space.dead_pages, 0);
    check_space(&g);
    end(&g);
}

static void check_listed(fixture *f, vsi_bytes list) {
    vsi_buf runs = {.mem = &f->mem};
    VT_CHECK(vsi_buf_append(&runs, "before", 6)); /* is appended to */
    VT_EQ(vsi_space_list(&f->err, list, &runs), VS_OK);
    VT_EQ(runs.bytes, 6 + list.bytes - 16);
    for (uint64_t i = 0; i < (list.bytes - 16) / 16; i++) {
        vsi_run run;
        memcpy(&run, runs.data + 6 + i * sizeof run, sizeof run);
        VT_CHECK(run.page == run_at(list, i).page && run.pages == run_at(list, i).pages);
    }
    vsi_buf_free(&runs);
}

VT_TEST(a_list_has_exactly_the_free_and_the_dying_and_comes_back_as_written) {
    static const uint64_t block_pages[] = {1, 4, 16};
    static fixture f;
    for (size_t i = 0; i < 60; i++) {
        make_state(&f, block_pages[i % 3], i < 3 ? 0 : 20 + 10 * i);
        uint64_t first_kept = vt_below(&f.rng, 10);
        vsi_buf dying = make_dying(&f), out = {.mem = &f.mem};
        VT_CHECK(vsi_buf_append(&out, "front", 5));
        VT_EQ(vsi_space_write(&f.err, &f.space, first_kept, &dying, &out), VS_OK);
        VT_CHECK(!memcmp(out.data, "front", 5));
        vsi_bytes list = {out.data + 5, out.bytes - 5};
        check_list(&f, list, first_kept, &dying);
        check_space(&f); /* writing changes nothing */
        check_read(&f, list, f.space.end, 9);
        check_listed(&f, list);
        vsi_buf_free(&out);
        vsi_buf_free(&dying);
        end(&f);
    }
}

VT_TEST(zeros_behind_a_list_are_no_runs) {
    static fixture f;
    make_state(&f, 1, 300);
    vsi_buf none = {.mem = &f.mem}, out = {.mem = &f.mem};
    VT_EQ(vsi_space_write(&f.err, &f.space, 4, &none, &out), VS_OK);
    size_t bytes = out.bytes;
    VT_CHECK(vsi_buf_reserve(&out, 4096));
    memset(out.data + bytes, 0, 4096);
    check_read(&f, (vsi_bytes){out.data, bytes + 4096}, f.space.end, 3);
    vsi_buf runs = {.mem = &f.mem};
    VT_EQ(vsi_space_list(&f.err, (vsi_bytes){out.data, bytes + 4096}, &runs), VS_OK);
    VT_EQ(runs.bytes, bytes - 16);
    vsi_buf_free(&runs);
    vsi_buf_free(&out);
    end(&f);
}

/* ---- lists that are malformed --------------------------------------------------------------- */

/* Reads a list from memory of exactly its size into a space that has something dead already, as recovery
 * leaves it. */
static vs_status read_into(fixture *g, const uint8_t *bytes, size_t n, uint64_t end_page) {
    uint8_t *exact = malloc(n ? n : 1);
    if (n)
        memcpy(exact, bytes, n);
    begin(g, 1);
    g->space.is_known = false;
    VT_EQ(vsi_space_expect(&g->err, &g->space, 1), VS_OK);
    vsi_space_bury(&g->space, (vsi_dead_extent){.run = {40, 2}, .checkpoint = 9});
    vs_status st = vsi_space_read(&g->err, &g->space, (vsi_bytes){exact, n}, end_page, 5);
    vsi_buf runs = {.mem = &g->mem};
    vs_status listed = vsi_space_list(&g->err, (vsi_bytes){exact, n}, &runs);
    VT_CHECK(listed == VS_OK || (listed == VS_ERR_CORRUPT && st == VS_ERR_CORRUPT));
    vsi_buf_free(&runs);
    free(exact);
    if (st == VS_OK)
        return st;
    VT_CHECK(!g->space.is_known && g->space.runs.bytes == 0 && g->space.free_pages == 0);
    VT_EQ(g->space.dead.bytes, sizeof(vsi_dead_extent)); /* as before */
    VT_EQ(g->space.dead_pages, 2);
    return st;
}

VT_TEST(every_list_cut_short_is_refused) {
    static fixture f, g;
    make_state(&f, 1, 400);
    vsi_buf none = {.mem = &f.mem}, out = {.mem = &f.mem};
    VT_EQ(vsi_space_write(&f.err, &f.space, 4, &none, &out), VS_OK);
    VT_CHECK(out.bytes > 200);
    for (size_t n = 0; n < out.bytes; n++) {
        VT_EQ(read_into(&g, out.data, n, f.space.end), VS_ERR_CORRUPT);
        VT_CONTAINS(g.err.text, "list of free pages");
        end(&g);
    }
    VT_EQ(read_into(&g, out.data, out.bytes, f.space.end), VS_OK);
    end(&g);
    VT_EQ(read_into(&g, out.data, out.bytes, f.space.end / 2), VS_ERR_CORRUPT);
    end(&g);
    vsi_buf_free(&out);
    end(&f);
}

VT_TEST(a_list_damaged_anywhere_is_refused_or_harmless) {
    static fixture f, g;
    make_state(&f, 1, 400);
    vsi_buf none = {.mem = &f.mem}, out = {.mem = &f.mem};
    VT_EQ(vsi_space_write(&f.err, &f.space, 4, &none, &out), VS_OK);
    uint8_t *bytes = malloc(out.bytes);
    size_t refused = 0;
    for (size_t i = 0; i < 4000; i++) {
        memcpy(bytes, out.data, out.bytes);
        for (uint64_t k = 0; k <= vt_below(&f.rng, 3); k++)
            bytes[vt_below(&f.rng, i % 2 ? 40 : out.bytes)] ^= (uint8_t)vt_random(&f.rng);
        vs_status st = read_into(&g, bytes, out.bytes, f.space.end);
        VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
        refused += st != VS_OK;
        check_runs(&g.space);
        end(&g);
    }
    VT_CHECK(refused > 500);
    free(bytes);
    vsi_buf_free(&out);
    end(&f);
}

/* A list of runs given as {page, pages}, the first n_free of them free. */
static vs_status read_runs(const vsi_run *run, size_t n_free, size_t n) {
    static fixture g;
    uint8_t bytes[16 + 16 * 4];
    vsi_put_u64(bytes, n_free);
    vsi_put_u64(bytes + 8, n - n_free);
    for (size_t i = 0; i < n; i++) {
        vsi_put_u64(bytes + 16 + 16 * i, run[i].page);
        vsi_put_u64(bytes + 24 + 16 * i, run[i].pages);
    }
    vs_status st = read_into(&g, bytes, 16 + 16 * n, 100);
    end(&g);
    return st;
}

VT_TEST(a_run_outside_the_file_is_refused) {
    static const vsi_run bad[] = {{31, 1},         {0, 50},  {100, 1},         {99, 2},
                                  {50, 0},         {50, 51}, {50, UINT64_MAX}, {UINT64_MAX, 1},
                                  {UINT64_MAX, 2}, {101, 0}, {32, 69}};
    static const vsi_run good[] = {{32, 1}, {99, 1}, {32, 68}, {50, 50}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        VT_EQ(read_runs(&bad[i], 1, 1), VS_ERR_CORRUPT);
        VT_EQ(read_runs(&bad[i], 0, 1), VS_ERR_CORRUPT);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        VT_EQ(read_runs(&good[i], 1, 1), VS_OK);
        VT_EQ(read_runs(&good[i], 0, 1), VS_OK);
    }
}

static const vsi_run twice[][2] = {{{50, 5}, {50, 5}},
                                   {{50, 5}, {54, 1}},
                                   {{50, 5}, {46, 5}},
                                   {{50, 5}, {52, 1}},
                                   {{50, 5}, {40, 30}}};

VT_TEST(a_list_that_names_a_free_page_twice_is_refused) {
    for (size_t i = 0; i < sizeof twice / sizeof twice[0]; i++) {
        VT_EQ(read_runs(twice[i], 2, 2), VS_ERR_CORRUPT);
        VT_EQ(read_runs(twice[i], 1, 2), VS_ERR_CORRUPT);
    }
}

VT_TEST(a_list_that_names_a_dying_page_twice_is_refused) {
    for (size_t i = 0; i < sizeof twice / sizeof twice[0]; i++)
        VT_EQ(read_runs(twice[i], 0, 2), VS_ERR_CORRUPT);
}

VT_TEST(without_memory_a_list_is_neither_written_nor_read) {
    static fixture f, g;
    make_state(&f, 1, 500);
    vsi_buf none = {.mem = &f.mem}, out = {.mem = &f.mem};
    uint64_t failures = 0;
    for (vs_status st = VS_ERR_NOMEM; st != VS_OK; failures++) {
        vsi_buf_free(&out);
        f.allocator.fail_at = f.allocator.calls + failures + 1;
        st = vsi_space_write(&f.err, &f.space, 4, &none, &out);
        f.allocator.fail_at = 0;
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
    }
    VT_CHECK(failures > 2);
    begin(&g, 1);
    g.space.is_known = false;
    vs_status st = VS_ERR_NOMEM;
    for (failures = 0; st != VS_OK; failures++) {
        g.allocator.fail_at = g.allocator.calls + failures + 1;
        st = vsi_space_read(&g.err, &g.space, (vsi_bytes){out.data, out.bytes}, f.space.end, 5);
        g.allocator.fail_at = 0;
        VT_EQ(g.space.is_known, st == VS_OK);
        VT_CHECK(st == VS_OK || (st == VS_ERR_NOMEM && g.space.runs.bytes == 0 &&
                                 g.space.dead.bytes == 0 && g.space.dead_pages == 0));
    }
    check_runs(&g.space);
    end(&g);
    vsi_buf_free(&out);
    end(&f);
}
