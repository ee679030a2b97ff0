/* space.c - free pages.
 *
 *   G1  Runs ascend, do not touch, and lie between the first page and end, which none touches.
 *   G2  A page is never in runs while a kept checkpoint or a version that can be read reaches it.
 *       With space->reside also not while somebody may look at it in the file itself: first it leaves all
 *       tables, then two epochs pass (E2).
 *   G3  There is room in runs for every extent that may come back: the dead ones, and those taken
 *       since the last seal. So freeing never fails. */
#include "store/space.h"

enum { SPACE_HEADER_BYTES = 16, SPACE_RUN_BYTES = 16 };

VSI_FN void vsi_space_init(vsi_space *space, vsi_mem *mem) {
    memset(space, 0, sizeof *space);
    space->mem = mem;
    space->block_pages = 1;
    space->owned = UINT64_MAX;
    space->end = VSI_SPACE_FIRST_PAGE;
    space->runs.mem = mem;
    space->dead.mem = mem;
}

VSI_FN void vsi_space_free(vsi_space *space) {
    if (!space->mem)
        return;
    vsi_buf_free(&space->runs);
    vsi_buf_free(&space->dead);
}

/* ---- counting ------------------------------------------------------------------------------- */

static uint64_t *page_count_of(vsi_page_count *sum, uint64_t pages) {
    if (pages <= 1)
        return &sum->single;
    return pages <= VSI_SPACE_MIDDLE ? &sum->middle : &sum->large;
}

VSI_FN void vsi_page_count_add(vsi_page_count *sum, uint64_t pages, uint64_t count) {
    *page_count_of(sum, pages) += pages * count;
}

VSI_FN void vsi_page_count_subtract(vsi_page_count *sum, uint64_t pages) {
    *page_count_of(sum, pages) -= pages;
}

/* Middle ones lose at most half of a large run to its ends; the largest are only looked for behind
 * everything. Single pages fit anywhere, unless the device wants blocks. */
VSI_FN bool vsi_space_fits(const vsi_space *space, vsi_page_count need, uint64_t singles) {
    uint64_t tail = space->owned - space->end;
    uint64_t small = space->block_pages == 1 ? space->free_pages - space->large_pages : 0;
    if (space->owned == UINT64_MAX)
        return true;
    if (space->owned < space->end || need.large > tail)
        return false;
    singles += need.single;
    singles -= small < singles ? small : singles;
    return singles + need.middle <= tail - need.large + space->large_pages / 2;
}

/* ---- runs ----------------------------------------------------------------------------------- */

static vsi_run *space_runs(const vsi_space *space) {
    return (vsi_run *)(void *)space->runs.data;
}

static size_t space_run_count(const vsi_space *space) {
    return space->runs.bytes / sizeof(vsi_run);
}

/* Room for so many more extents to come back than may already; keeps G3. */
static bool space_make_room(vsi_space *space, size_t extents) {
    size_t runs = space->dead.bytes / sizeof(vsi_dead_extent) + (size_t)space->taken + extents;
    return vsi_buf_reserve(&space->runs, runs * sizeof(vsi_run));
}

static uint64_t space_round_up(const vsi_space *space, uint64_t page) {
    return (page + space->block_pages - 1) / space->block_pages * space->block_pages;
}

/* Where pages could begin in a run that ends at limit (UINT64_MAX: the end of the file); UINT64_MAX when
 * they do not fit. Blocks are used as a whole, or further filled before they are durable. */
static uint64_t space_fit(const vsi_space *space, uint64_t page, uint64_t limit, uint64_t pages) {
    uint64_t first = page == space->open_page ? page : space_round_up(space, page);
    uint64_t last = space_round_up(space, first + pages);
    return first < limit && last <= limit ? first : UINT64_MAX;
}

/* A run gets another length; 0: it is new, or goes. */
static void space_resize(vsi_space *space, uint64_t from, uint64_t to) {
    space->free_pages += to - from;
    space->large_pages += (to >= VSI_SPACE_LARGE ? to : 0) - (from >= VSI_SPACE_LARGE ? from : 0);
}

static void space_remove_run(vsi_space *space, size_t at) {
    vsi_run *runs = space_runs(space);
    space_resize(space, runs[at].pages, 0);
    memmove(runs + at, runs + at + 1, (space_run_count(space) - at - 1) * sizeof *runs);
    space->runs.bytes -= sizeof *runs;
}

static void space_insert_run(vsi_space *space, size_t at, vsi_run run) {
    vsi_assert(space->runs.cap - space->runs.bytes >= sizeof run); /* G3 */
    vsi_run *runs = space_runs(space);
    memmove(runs + at + 1, runs + at, (space_run_count(space) - at) * sizeof *runs);
    runs[at] = run;
    space->runs.bytes += sizeof run;
    space_resize(space, 0, run.pages);
}

static void space_set_run(vsi_space *space, size_t at, vsi_run run) {
    space_resize(space, space_runs(space)[at].pages, run.pages);
    space_runs(space)[at] = run;
}

/* Cuts [page, page + pages) out of run number at. */
static void space_cut(vsi_space *space, size_t at, uint64_t page, uint64_t pages) {
    vsi_run run = space_runs(space)[at], left = {run.page, page - run.page};
    uint64_t end = page + pages;
    vsi_run right = {end, run.page + run.pages - end};
    if (left.pages)
        space_set_run(space, at, left);
    if (left.pages && right.pages)
        space_insert_run(space, at + 1, right);
    else if (right.pages)
        space_set_run(space, at, right);
    else if (!left.pages)
        space_remove_run(space, at);
}

VSI_FN vs_status vsi_space_take(vsi_err *err, vsi_space *space, uint64_t pages,
                                uint64_t *out_page) {
    uint64_t found = UINT64_MAX;
    vsi_assert(space->is_known);
    if (!space_make_room(space, 2)) /* this extent, and the rest of a run that it splits */
        return vsi_fail_nomem(err, 2 * sizeof(vsi_run));
    for (size_t i = 0; found == UINT64_MAX && i < space_run_count(space); i++) {
        vsi_run run = space_runs(space)[i];
        if (run.pages < pages)
            continue;
        found = space_fit(space, run.page, run.page + run.pages, pages);
        if (found != UINT64_MAX)
            space_cut(space, i, found, pages);
    }
    if (found == UINT64_MAX) {
        found = space_fit(space, space->end, UINT64_MAX, pages);
        if (found + pages > VSI_PAGE_NO_MAX)
            return vsi_fail(err, VS_ERR_LIMIT, "the database file is too large");
        vsi_run skipped = {space->end, found - space->end};
        space->end = found + pages;
        vsi_space_give(space, skipped);
    }
    space->open_page = found + pages;
    space->taken++;
    *out_page = found;
    return VS_OK;
}

VSI_FN void vsi_space_seal(vsi_space *space) {
    space->open_page = 0;
    space->taken = 0;
}

/* A free run at the end is no run: the file in use ends before it. */
static void space_trim(vsi_space *space) {
    size_t n = space_run_count(space);
    vsi_assert(n > 0); /* something was just given */
    vsi_run last = space_runs(space)[n - 1];
    if (last.page + last.pages != space->end)
        return;
    space->end = last.page;
    space_remove_run(space, n - 1);
}

VSI_FN void vsi_space_give(vsi_space *space, vsi_run run) {
    size_t low = 0, high = space_run_count(space);
    if (!run.pages)
        return;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (space_runs(space)[mid].page < run.page)
            low = mid + 1;
        else
            high = mid;
    }
    const vsi_run *runs = space_runs(space);
    bool joins_left = low > 0 && runs[low - 1].page + runs[low - 1].pages == run.page;
    bool joins_right = low < space_run_count(space) && run.page + run.pages == runs[low].page;
    if (joins_right)
        run.pages += runs[low].pages;
    if (joins_left)
        run = (vsi_run){runs[low - 1].page, runs[low - 1].pages + run.pages};
    if (joins_left && joins_right)
        space_remove_run(space, low);
    if (joins_left)
        space_set_run(space, low - 1, run);
    else if (joins_right)
        space_set_run(space, low, run);
    else
        space_insert_run(space, low, run);
    space_trim(space);
}

/* ---- the dead ------------------------------------------------------------------------------- */

static vsi_dead_extent *space_dead(const vsi_space *space) {
    return (vsi_dead_extent *)(void *)space->dead.data;
}

static size_t space_dead_count(const vsi_space *space) {
    return space->dead.bytes / sizeof(vsi_dead_extent);
}

VSI_FN vs_status vsi_space_expect(vsi_err *err, vsi_space *space, size_t extents) {
    size_t bytes = extents * sizeof(vsi_dead_extent);
    bool ok = vsi_buf_reserve(&space->dead, bytes) && space_make_room(space, extents);
    return ok ? VS_OK : vsi_fail_nomem(err, bytes);
}

VSI_FN void vsi_space_bury(vsi_space *space, vsi_dead_extent extent) {
    vsi_assert(space->dead.cap - space->dead.bytes >= sizeof extent);
    vsi_buf_append(&space->dead, &extent, sizeof extent);
    space->dead_pages += extent.run.pages;
}

static bool dead_is_read(const vsi_dead_extent *dead, const vsi_space_reader *readers,
                         size_t count) {
    for (size_t i = 0; i < count; i++)
        if (readers[i].version < dead->version && dead->birth <= readers[i].newest_birth)
            return true;
    return false;
}

/* Taken out of all tables by now. */
static void space_note_left(vsi_space *space, vsi_dead_extent *dead) {
    if (dead->left)
        return;
    dead->left = vsi_ordered_load(&space->reside->epoch) + 1;
    space->left++;
}

VSI_FN void vsi_space_reap(vsi_space *space, uint64_t first_checkpoint,
                           const vsi_space_reader *readers, size_t count, vsi_run_fn gone,
                           void *ctx) {
    size_t n = space_dead_count(space), kept = 0;
    vsi_dead_extent *dead = space_dead(space);
    for (size_t i = 0; space->is_known && i < n; i++) {
        if (dead[i].checkpoint >= first_checkpoint || dead_is_read(&dead[i], readers, count)) {
            dead[kept++] = dead[i];
            continue;
        }
        if (!dead[i].left)
            gone(ctx, dead[i].run);
        if (space->reside) {
            space_note_left(space, &dead[i]);
            dead[kept++] = dead[i];
            continue;
        }
        space->dead_pages -= dead[i].run.pages;
        vsi_space_give(space, dead[i].run); /* keeps G2 */
    }
    if (space->is_known)
        space->dead.bytes = kept * sizeof *dead;
}

VSI_FN void vsi_space_give_left(vsi_space *space) {
    size_t n = space_dead_count(space), kept = 0;
    vsi_dead_extent *dead = space_dead(space);
    if (!space->left)
        return;
    uint64_t epoch = vsi_reside_advance(space->reside);
    for (size_t i = 0; i < n; i++) {
        if (!dead[i].left || dead[i].left + 1 > epoch) {
            dead[kept++] = dead[i];
            continue;
        }
        space->left--;
        space->dead_pages -= dead[i].run.pages;
        vsi_space_give(space, dead[i].run); /* keeps G2 */
    }
    space->dead.bytes = kept * sizeof *dead;
}

/* ---- sorting -------------------------------------------------------------------------------- */

/* Moves run down from the root of a heap of n, the largest first. */
static void runs_sift_down(vsi_run *runs, size_t root, size_t n, vsi_run run) {
    for (size_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        if (child + 1 < n && runs[child + 1].page > runs[child].page)
            child++;
        if (runs[child].page <= run.page)
            break;
        runs[root] = runs[child];
        root = child;
    }
    runs[root] = run;
}

/* Heapsort: qsort takes memory of its own. */
static void runs_sort(vsi_run *runs, size_t n) {
    for (size_t root = n / 2; root-- > 0;)
        runs_sift_down(runs, root, n, runs[root]);
    for (; n > 1; n--) {
        vsi_run last = runs[n - 1];
        runs[n - 1] = runs[0];
        runs_sift_down(runs, 0, n - 1, last);
    }
}

VSI_FN void vsi_runs_sort(vsi_buf *buf) {
    runs_sort((vsi_run *)(void *)buf->data, buf->bytes / sizeof(vsi_run));
}

/* ---- in the file ---------------------------------------------------------------------------- */

static bool space_write_run(vsi_buf *out, vsi_run run) {
    uint8_t bytes[SPACE_RUN_BYTES];
    vsi_put_u64(bytes, run.page);
    vsi_put_u64(bytes + 8, run.pages);
    return vsi_buf_append(out, bytes, sizeof bytes);
}

/* Writes the dead that are free for this checkpoint, or those that are not. */
static bool space_write_dead(const vsi_space *space, uint64_t first_kept, bool free_ones,
                             vsi_buf *out) {
    bool ok = true;
    for (size_t i = 0; ok && i < space_dead_count(space); i++)
        if ((space_dead(space)[i].checkpoint < first_kept) == free_ones)
            ok = space_write_run(out, space_dead(space)[i].run);
    return ok;
}

VSI_FN vs_status vsi_space_write(vsi_err *err, const vsi_space *space, uint64_t first_kept,
                                 const vsi_buf *dying, vsi_buf *out) {
    uint8_t header[SPACE_HEADER_BYTES] = {0};
    size_t start = out->bytes + sizeof header;
    bool ok = vsi_buf_append(out, header, sizeof header);
    for (size_t i = 0; ok && i < space_run_count(space); i++)
        ok = space_write_run(out, space_runs(space)[i]);
    ok = ok && space_write_dead(space, first_kept, true, out);
    size_t free_end = out->bytes;
    ok = ok && space_write_dead(space, first_kept, false, out);
    const vsi_run *runs = (const vsi_run *)(const void *)dying->data;
    for (size_t i = 0; ok && i < dying->bytes / sizeof *runs; i++)
        ok = space_write_run(out, runs[i]);
    free_end = first_kept == VSI_NONE_KEPT ? out->bytes : free_end;
    if (!ok)
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory");
    vsi_put_u64(out->data + start - SPACE_HEADER_BYTES, (free_end - start) / SPACE_RUN_BYTES);
    vsi_put_u64(out->data + start - 8, (out->bytes - free_end) / SPACE_RUN_BYTES);
    return VS_OK;
}

VSI_FN uint64_t vsi_space_trim_list(vsi_buf *list, uint64_t end) {
    uint8_t *first = list->data + SPACE_HEADER_BYTES;
    size_t n = (size_t)vsi_get_u64(list->data); /* all of them are in memory */
    vsi_assert(vsi_get_u64(list->data + 8) == 0);
    vsi_run *runs = (vsi_run *)(void *)first; /* as numbers of this machine for the time being */
    for (size_t i = 0; i < n; i++)
        runs[i] = (vsi_run){vsi_get_u64(first + i * SPACE_RUN_BYTES),
                            vsi_get_u64(first + i * SPACE_RUN_BYTES + 8)};
    runs_sort(runs, n);
    for (; n > 0 && runs[n - 1].page + runs[n - 1].pages == end; n--)
        end = runs[n - 1].page;
    for (size_t i = 0; i < n; i++) {
        vsi_run run = runs[i];
        vsi_put_u64(first + i * SPACE_RUN_BYTES, run.page);
        vsi_put_u64(first + i * SPACE_RUN_BYTES + 8, run.pages);
    }
    vsi_put_u64(list->data, n);
    list->bytes = SPACE_HEADER_BYTES + n * SPACE_RUN_BYTES;
    return end;
}

/* How many runs a list has, free ones and all. */
static vs_status list_counts(vsi_err *err, vsi_bytes list, uint64_t *out_free, uint64_t *out_all) {
    uint64_t room = list.bytes / SPACE_RUN_BYTES; /* one for the header, which is as large */
    uint64_t free_runs = list.bytes >= SPACE_HEADER_BYTES ? vsi_get_u64(list.data) : UINT64_MAX;
    uint64_t dying = list.bytes >= SPACE_HEADER_BYTES ? vsi_get_u64(list.data + 8) : UINT64_MAX;
    if (free_runs >= room || dying >= room - free_runs)
        return vsi_fail(err, VS_ERR_CORRUPT, "the list of free pages is malformed");
    *out_free = free_runs;
    *out_all = free_runs + dying;
    return VS_OK;
}

static vsi_run list_run(vsi_bytes list, uint64_t at) {
    const uint8_t *p = list.data + SPACE_HEADER_BYTES + at * SPACE_RUN_BYTES;
    return (vsi_run){vsi_get_u64(p), vsi_get_u64(p + 8)};
}

VSI_FN vs_status vsi_space_list(vsi_err *err, vsi_bytes list, vsi_buf *out) {
    uint64_t free_runs = 0, all = 0;
    vs_status st = list_counts(err, list, &free_runs, &all);
    for (uint64_t i = 0; st == VS_OK && i < all; i++) {
        vsi_run run = list_run(list, i);
        if (!vsi_buf_append(out, &run, sizeof run))
            st = vsi_fail_nomem(err, sizeof run);
    }
    return st;
}

/* Whether all runs of a list lie in the file, and none shares a page with another. */
static vs_status list_check(vsi_err *err, const vsi_space *space, vsi_bytes list, uint64_t end) {
    vsi_buf sorted = {.mem = space->mem};
    vs_status st = vsi_space_list(err, list, &sorted);
    uint64_t free_from = VSI_SPACE_FIRST_PAGE;
    vsi_runs_sort(&sorted);
    const vsi_run *runs = (const vsi_run *)(const void *)sorted.data;
    for (size_t i = 0; st == VS_OK && i < sorted.bytes / sizeof *runs; i++) {
        bool fits = runs[i].page >= free_from && runs[i].page < end && runs[i].pages >= 1 &&
                    runs[i].pages <= end - runs[i].page;
        if (!fits)
            st = vsi_fail(err, VS_ERR_CORRUPT, "the list of free pages names page %llu wrongly",
                          (unsigned long long)runs[i].page);
        free_from = runs[i].page + runs[i].pages;
    }
    vsi_buf_free(&sorted);
    return st;
}

static vs_status space_adopt(vsi_err *err, vsi_space *space, vsi_run run, bool is_free,
                             uint64_t checkpoint) {
    if (is_free && !space_make_room(space, 1))
        return vsi_fail_nomem(err, sizeof run);
    if (is_free) {
        vsi_space_give(space, run);
        return VS_OK;
    }
    vs_status st = vsi_space_expect(err, space, 1);
    if (st == VS_OK)
        vsi_space_bury(space, (vsi_dead_extent){.run = run, .checkpoint = checkpoint - 1});
    return st;
}

VSI_FN vs_status vsi_space_read(vsi_err *err, vsi_space *space, vsi_bytes list, uint64_t end,
                                uint64_t checkpoint) {
    uint64_t free_runs = 0, all = 0;
    size_t dead_bytes = space->dead.bytes;
    uint64_t dead_pages = space->dead_pages;
    vs_status st = list_check(err, space, list, end);
    if (st == VS_OK)
        st = list_counts(err, list, &free_runs, &all);
    if (st != VS_OK)
        return st;
    space->end = end;
    for (uint64_t i = 0; st == VS_OK && i < all; i++)
        st = space_adopt(err, space, list_run(list, i), i < free_runs, checkpoint);
    if (st != VS_OK) {
        space->runs.bytes = 0;
        space->free_pages = space->large_pages = 0;
        space->dead.bytes = dead_bytes;
        space->dead_pages = dead_pages;
        return st;
    }
    space->is_known = true;
    return VS_OK;
}
