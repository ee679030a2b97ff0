/* crash.c - the crash, fault and memory campaigns.
 *
 *   crash [--images N] [--chains N] [--oom RUNS] [--faults N] [--every N] [--seed S] [--only WORKLOAD]
 *         [--quiet]
 *   crash --replay WORKLOAD SEED POINT DAMAGE      one image of an earlier failure
 *
 * images: programs are recorded, crashed at every operation with every kind of damage, and the
 *   invariants of verify.h are checked on each distinct disk, until N distinct ones were seen.
 *   Programs are not cut short: --every crashes each at one of so many operations only, and lets one of
 *   so many allocations fail.
 * chains: crash, recover, go on, crash again, five deep, with crashes inside recovery as well.
 * oom: every allocation of a program fails, once and for ever.
 * faults: every call of the file system fails in every way, once and for ever, N points in all.
 *
 * Prints figures per workload and a last line `crash: N passed, N failed, N skipped`, one per
 * campaign and workload. */
#include "verify.h"
#include <time.h>

typedef struct campaign {
    uint64_t seed;
    uint64_t every; /* of so many operations or allocations one counts */
    const char *only;
    bool is_quiet;
    uint64_t passed, failed;

    uint64_t *seen; /* hashes of images; open addressing, 0: free */
    size_t seen_cap, seen_count;
    uint64_t damage_count[SIM_DAMAGE_COUNT];
    uint64_t fault_count[SIM_FAULT_COUNT];
} campaign;

/* Failures printed before a workload is given up. */
enum { CRASH_REPORTS_MAX = 5, CRASH_CHAIN_DEPTH = 5 };

/* ---- distinct images ------------------------------------------------------------------------ */

static bool seen_put(uint64_t *slots, size_t cap, uint64_t hash) {
    size_t at = (size_t)vt_mix(hash) & (cap - 1);
    while (slots[at] && slots[at] != hash)
        at = (at + 1) & (cap - 1);
    bool is_new = slots[at] != hash;
    slots[at] = hash;
    return is_new;
}

/* Whether an image was not seen before. */
static bool seen_add(campaign *c, uint64_t hash) {
    hash = hash ? hash : 1;
    if (2 * (c->seen_count + 1) > c->seen_cap) {
        size_t cap = c->seen_cap ? 2 * c->seen_cap : 1 << 16;
        uint64_t *slots = calloc(cap, sizeof *slots);
        if (!slots)
            abort();
        for (size_t i = 0; i < c->seen_cap; i++)
            if (c->seen[i])
                seen_put(slots, cap, c->seen[i]);
        free(c->seen);
        c->seen = slots;
        c->seen_cap = cap;
    }
    bool is_new = seen_put(c->seen, c->seen_cap, hash);
    c->seen_count += is_new;
    return is_new;
}

static bool report(const char *campaign_name, const workload *w, uint64_t seed, const char *where,
                   const char *problem) {
    fprintf(stderr, "FAILED %s %s seed %" PRIu64 " %s: %s\n", campaign_name, w->name, seed, where,
            problem);
    return false;
}

/* ---- images --------------------------------------------------------------------------------- */

/* Most devices damage 4 KiB at a time, some more. */
static uint32_t block_of(uint64_t seed) {
    return seed % 4 == 0 ? 16384 : 4096;
}

/* A recorded program that ended well. */
static bool record_run(wl_run *run, sim **out_sim, const workload *w, uint64_t seed) {
    *out_sim = sim_new(seed, NULL);
    sim_set_block(*out_sim, block_of(seed));
    wl_init(run, w, *out_sim, seed, NULL);
    bool ok = wl_open(run) && wl_steps(run, 0);
    /* Half of the programs end properly, the others are killed: both ends must be recoverable. */
    if (ok && seed % 2)
        ok = wl_close(run);
    else
        wl_kill(run);
    return (ok && !run->problem[0]) || report("run", w, seed, "", run->problem);
}

/* Which states a crash may show, as the record is walked through. */
typedef struct window {
    int floor, last;
} window;

static void window_note(window *win, wl_run *run, int kind, uint64_t value) {
    if (kind == WL_STARTED)
        win->last = (int)value;
    else if (kind == WL_DURABLE)
        win->floor = (int)value;
    else
        run->state[value].is_refused = true;
}

/* Crashes one program everywhere. Returns the number of failures. */
static uint64_t crash_run(campaign *c, const workload *w, uint64_t seed, size_t only_point,
                          int only_damage, uint64_t *images, uint64_t *points) {
    sim *s = NULL;
    wl_run run;
    uint64_t failures = 0;
    if (!record_run(&run, &s, w, seed))
        failures++;
    for (int i = 0; i < run.state_count; i++) /* from when the record says so */
        run.state[i].is_refused = false;
    sim_player *player = sim_player_new(s);
    window win = {0};
    size_t n = sim_op_count(s);
    for (size_t at = 0; failures < CRASH_REPORTS_MAX && at <= n; at++) {
        int kind = 0;
        uint64_t value = 0;
        bool is_note = at > 0 && sim_op_note(s, at - 1, &kind, &value);
        if (is_note)
            window_note(&win, &run, kind, value);
        if (only_damage < 0 && (at + seed) % c->every)
            continue;
        sim_player_seek(player, at);
        /* Behind a mark the disk is what it was, but other states are allowed: look once more. */
        for (int damage = 0; damage < SIM_DAMAGE_COUNT; damage++) {
            if (only_damage >= 0 && (at != only_point || damage != only_damage))
                continue;
            uint64_t image_seed = vt_mix(seed ^ vt_mix(at * SIM_DAMAGE_COUNT + (uint64_t)damage));
            sim_image image = sim_player_crash(player, damage, image_seed);
            bool is_new = seen_add(c, sim_image_hash(&image));
            bool is_wanted = is_new || (is_note && damage == SIM_DROP_ALL);
            char problem[600], where[100];
            *images += is_new;
            c->damage_count[damage] += is_new;
            if (is_wanted && !verify_image(&image, &run, win.floor, win.last, image_seed, problem,
                                           sizeof problem, NULL)) {
                snprintf(where, sizeof where, "point %zu damage %d (%s)", at, damage,
                         sim_damage_name(damage));
                report("image", w, seed, where, problem);
                failures++;
            }
            sim_image_free(&image);
        }
        (*points)++;
    }
    sim_player_free(player);
    wl_free(&run);
    sim_free(s);
    return failures;
}

static void campaign_images(campaign *c, const workload *w, uint64_t wanted) {
    uint64_t images = 0, points = 0, failures = 0, runs = 0;
    for (uint64_t seed = c->seed; images < wanted && !failures && runs < 20000; seed++, runs++)
        failures = crash_run(c, w, seed, 0, -1, &images, &points);
    c->failed += failures > 0;
    c->passed += failures == 0;
    if (!c->is_quiet)
        printf("images  %-13s %8" PRIu64 " programs %9" PRIu64 " crash points %9" PRIu64
               " distinct images %4" PRIu64 " failures\n",
               w->name, runs, points, images, failures);
}

/* ---- chains --------------------------------------------------------------------------------- */

/* One link: a program on a disk, crashed at a random point. The next disk replaces *disk. */
static bool chain_link(const workload *w, vt_rng *rng, uint64_t seed, sim_image *disk,
                       wl_model *model, wl_run *run, window *win) {
    sim *s = sim_new(vt_random(rng), disk);
    sim_set_block(s, block_of(seed));
    wl_init(run, w, s, vt_random(rng), model);
    bool ok = wl_open(run) && wl_steps(run, 3 + (int)vt_below(rng, 12));
    if (ok && run->db && vt_below(rng, 3) == 0)
        ok = wl_close(run);
    wl_kill(run);
    if (!ok || run->problem[0]) {
        report("chain", w, seed, "", run->problem);
        sim_free(s);
        return false;
    }
    for (int i = 0; i < run->state_count; i++)
        run->state[i].is_refused = false;
    size_t at = (size_t)vt_below(rng, sim_op_count(s) + 1);
    *win = (window){0};
    for (size_t i = 0; i < at; i++) {
        int kind = 0;
        uint64_t value = 0;
        if (sim_op_note(s, i, &kind, &value))
            window_note(win, run, kind, value);
    }
    sim_player *player = sim_player_new(s);
    sim_player_seek(player, at);
    uint64_t damage_seed = vt_random(rng);
    *disk = sim_player_crash(player, (int)vt_below(rng, SIM_DAMAGE_COUNT), damage_seed);
    sim_player_free(player);
    sim_free(s);
    return true;
}

static bool chain_run(const workload *w, uint64_t seed) {
    vt_rng rng = {vt_mix(seed)};
    sim_image disk = {.count = 0};
    wl_model model;
    memset(&model, 0, sizeof model);
    bool ok = true;
    for (int depth = 0; ok && depth < CRASH_CHAIN_DEPTH; depth++) {
        wl_run run;
        window win;
        char problem[600], where[40];
        int state = 0;
        ok = chain_link(w, &rng, seed, &disk, &model, &run, &win);
        if (ok && !verify_image(&disk, &run, win.floor, win.last, vt_random(&rng), problem,
                                sizeof problem, &state)) {
            snprintf(where, sizeof where, "depth %d", depth);
            ok = report("chain", w, seed, where, problem);
        }
        if (ok)
            model = run.state[state].model;
        run.db = NULL;
        free(run.state);
    }
    sim_image_free(&disk);
    return ok;
}

static void campaign_chains(campaign *c, const workload *w, uint64_t wanted) {
    uint64_t failures = 0, done = 0;
    for (; done < wanted && failures < CRASH_REPORTS_MAX; done++)
        failures += !chain_run(w, c->seed + 1000000 + done);
    c->failed += failures > 0;
    c->passed += failures == 0;
    if (!c->is_quiet)
        printf("chains  %-13s %8" PRIu64 " chains of %d %4" PRIu64 " failures\n", w->name, done,
               CRASH_CHAIN_DEPTH, failures);
}

/* ---- faults and memory ---------------------------------------------------------------------- */

/* After a run with faults: what a restarted program finds, and what a power cut leaves. */
static bool fault_verify(campaign *c, const wl_run *run, const sim *s, const workload *w,
                         uint64_t seed, const char *where) {
    static const int damages[] = {SIM_DROP_ALL, SIM_KEEP_ALL, SIM_SUBSET, SIM_GARBAGE_4096};
    char problem[600];
    sim_image now = sim_image_now(s);
    int last = run->state_count - 1;
    /* A killed program loses nothing that was acknowledged at any level, unless a sync was lost. */
    bool ok = verify_image(&now, run, run->floor, last, seed, problem, sizeof problem, NULL);
    sim_image_free(&now);
    if (!ok)
        return report("fault", w, seed, where, problem);
    sim_player *player = sim_player_new(s);
    sim_player_seek(player, sim_op_count(s));
    for (size_t i = 0; ok && i < sizeof damages / sizeof damages[0]; i++) {
        sim_image image = sim_player_crash(player, damages[i], seed + i);
        if (seen_add(c, sim_image_hash(&image))) {
            ok = verify_image(&image, run, run->floor, last, seed, problem, sizeof problem, NULL);
            if (!ok)
                report("fault", w, seed, where, problem);
        }
        sim_image_free(&image);
    }
    sim_player_free(player);
    return ok;
}

/* One program with one allocation failing. Sets *out_hit when the allocation happened. */
static bool oom_run(campaign *c, const workload *w, uint64_t seed, uint64_t at, bool for_ever,
                    bool *out_hit) {
    vt_allocator allocator = {.fail_at = at, .fails_for_ever = for_ever};
    vs_allocator hook = {&allocator, vt_realloc};
    sim *s = sim_new(seed, NULL);
    sim_set_block(s, block_of(seed));
    wl_run run;
    char where[100];
    wl_init(&run, w, s, seed, NULL);
    run.options.allocator = &hook;
    run.expects_failures = true;
    bool ok = wl_open(&run) && wl_steps(&run, 0) && wl_close(&run);
    wl_kill(&run);
    *out_hit = allocator.failures > 0;
    snprintf(where, sizeof where, "allocation %" PRIu64 "%s", at, for_ever ? " and all after" : "");
    if (!ok || run.problem[0])
        ok = report("oom", w, seed, where, run.problem);
    if (ok && (allocator.live_bytes || allocator.live_blocks))
        ok = report("oom", w, seed, where, "memory was leaked");
    if (ok && *out_hit)
        ok = fault_verify(c, &run, s, w, seed, where);
    wl_free(&run);
    sim_free(s);
    return ok;
}

static void campaign_oom(campaign *c, const workload *w, uint64_t runs) {
    uint64_t points = 0, failures = 0;
    for (uint64_t seed = c->seed; seed < c->seed + runs; seed++)
        for (int for_ever = 0; for_ever < 2; for_ever++) {
            bool hit = true;
            for (uint64_t at = 1 + c->seed % c->every; hit && failures < CRASH_REPORTS_MAX;
                 at += c->every) {
                failures += !oom_run(c, w, seed, at, for_ever, &hit);
                points += hit;
            }
        }
    c->failed += failures > 0;
    c->passed += failures == 0;
    if (!c->is_quiet)
        printf("oom     %-13s %8" PRIu64 " failed allocations %4" PRIu64 " failures\n", w->name,
               points, failures);
}

static bool fault_run(campaign *c, const workload *w, uint64_t seed, int kind, uint64_t at,
                      bool for_ever, bool *out_hit) {
    sim *s = sim_new(seed, NULL);
    sim_set_block(s, block_of(seed));
    wl_run run;
    char where[100];
    wl_init(&run, w, s, seed, NULL);
    run.expects_failures = true;
    sim_set_fault(s, kind, at, for_ever);
    bool ok = wl_open(&run) && wl_steps(&run, 0) && wl_close(&run);
    *out_hit = sim_fault_hits(s) > 0;
    c->fault_count[kind] += sim_fault_hits(s);
    sim_set_fault(s, SIM_FAULT_NONE, 0, false);
    wl_kill(&run);
    snprintf(where, sizeof where, "%s at call %" PRIu64 "%s", sim_fault_name(kind), at,
             for_ever ? " and all after" : "");
    if (!ok || run.problem[0])
        ok = report("fault", w, seed, where, run.problem);
    if (ok && *out_hit)
        ok = fault_verify(c, &run, s, w, seed, where);
    wl_free(&run);
    sim_free(s);
    return ok;
}

/* Every kind of fault, once and for ever, gets the same share of the points; each takes one program
 * after the other until it has them. */
static void campaign_faults(campaign *c, const workload *w, uint64_t wanted) {
    enum { WAYS = 2 * (SIM_FAULT_COUNT - SIM_FAULT_IO) };
    uint64_t points = 0, failures = 0, share = (wanted + WAYS - 1) / WAYS;
    for (int way = 0; way < WAYS && failures < CRASH_REPORTS_MAX; way++) {
        int kind = SIM_FAULT_IO + way / 2;
        uint64_t left = share;
        for (uint64_t seed = c->seed; left && failures < CRASH_REPORTS_MAX; seed++) {
            bool hit = true;
            for (uint64_t at = 1; hit && left && failures < CRASH_REPORTS_MAX; at++) {
                failures += !fault_run(c, w, seed, kind, at, way % 2, &hit);
                points += hit;
                left -= hit;
            }
        }
    }
    c->failed += failures > 0;
    c->passed += failures == 0;
    if (!c->is_quiet)
        printf("faults  %-13s %8" PRIu64 " fault points %4" PRIu64 " failures\n", w->name, points,
               failures);
}

/* ---- command line --------------------------------------------------------------------------- */

static uint64_t number_after(int argc, char **argv, const char *name, uint64_t otherwise) {
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return strtoull(argv[i + 1], NULL, 0);
    return otherwise;
}

static const char *text_after(int argc, char **argv, const char *name) {
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name))
            return argv[i + 1];
    return NULL;
}

static bool has_flag(int argc, char **argv, const char *name) {
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], name))
            return true;
    return false;
}

static int replay(campaign *c, char **arg) {
    const workload *w = wl_find(arg[0]);
    uint64_t images = 0, points = 0;
    if (!w) {
        fprintf(stderr, "crash: no workload %s\n", arg[0]);
        return 2;
    }
    uint64_t failures = crash_run(c, w, strtoull(arg[1], NULL, 0), strtoull(arg[2], NULL, 0),
                                  atoi(arg[3]), &images, &points);
    printf("%" PRIu64 " images, %" PRIu64 " failures\n", images, failures);
    return failures > 0;
}

static void print_counts(const campaign *c) {
    printf("distinct images by damage:");
    for (int i = 0; i < SIM_DAMAGE_COUNT; i++)
        printf(" %s %" PRIu64, sim_damage_name(i), c->damage_count[i]);
    printf("\nfaults that hit, by kind:");
    for (int i = SIM_FAULT_IO; i < SIM_FAULT_COUNT; i++)
        printf(" %s %" PRIu64, sim_fault_name(i), c->fault_count[i]);
    printf("\n");
}

int main(int argc, char **argv) {
    campaign c = {.seed = number_after(argc, argv, "--seed", vt_seed()),
                  .every = number_after(argc, argv, "--every", 1),
                  .only = text_after(argc, argv, "--only"),
                  .is_quiet = has_flag(argc, argv, "--quiet")};
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i + 4 < argc; i++)
        if (!strcmp(argv[i], "--replay"))
            return replay(&c, argv + i + 1);
    uint64_t images = number_after(argc, argv, "--images", 0);
    uint64_t chains = number_after(argc, argv, "--chains", 0);
    uint64_t oom = number_after(argc, argv, "--oom", 0);
    uint64_t faults = number_after(argc, argv, "--faults", 0);
    uint64_t selected = c.only ? 1 : (uint64_t)wl_count;
    for (int i = 0; i < wl_count; i++) {
        const workload *w = &wl_all[i];
        if (c.only && strcmp(c.only, w->name))
            continue;
        if (images)
            campaign_images(&c, w, (images + selected - 1) / selected);
        if (chains)
            campaign_chains(&c, w, (chains + selected - 1) / selected);
        if (oom && !w->fault)
            campaign_oom(&c, w, oom);
        if (faults && !w->fault)
            campaign_faults(&c, w, (faults + selected - 1) / selected);
    }
    if (!c.is_quiet)
        print_counts(&c);
    printf("crash: %" PRIu64 " passed, %" PRIu64 " failed, 0 skipped\n", c.passed, c.failed);
    free(c.seen);
    return c.failed > 0;
}
