/* reside.c - what was retired stays as long as somebody who could see it, and goes then. */
#include "store/reside.h"
#include "vt.h"
#include <sched.h>

enum { THINGS_MAX = 4000 };

/* Something that can be retired; its memory is spoiled when it is freed. */
typedef struct thing {
    vsi_retired retired;
    uint64_t number, check; /* check: hash of the number */
} thing;

typedef struct fixture {
    vsi_mem mem;
    vsi_reside reside;
    bool is_freed[THINGS_MAX];
    uint64_t made;
    vt_rng rng;
} fixture;

static void *spoiling_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    fixture *f = ctx;
    if (new_bytes)
        return realloc(ptr, new_bytes);
    if (old_bytes == sizeof(thing)) {
        const thing *t = ptr;
        VT_CHECK(t->check == vt_mix(t->number) && !f->is_freed[t->number]);
        f->is_freed[t->number] = true;
    }
    memset(ptr, 0xdd, old_bytes);
    free(ptr);
    return NULL;
}

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){f, spoiling_realloc});
    VT_CHECK(vsi_reside_init(&f->reside, &f->mem));
    f->rng.state = vt_seed();
}

static void end(fixture *f) {
    vsi_reside_free(&f->reside);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
    for (uint64_t i = 0; i < f->made; i++)
        VT_CHECK(f->is_freed[i]);
}

static thing *make(fixture *f) {
    thing *t = vsi_alloc_zeroed(&f->mem, sizeof *t);
    VT_CHECK(t && f->made < THINGS_MAX);
    t->number = f->made++;
    t->check = vt_mix(t->number);
    return t;
}

static uint64_t retire(fixture *f) {
    thing *t = make(f);
    uint64_t number = t->number;
    vsi_retire(&f->reside, &t->retired, sizeof *t);
    return number;
}

static bool is_freed_now(fixture *f, uint64_t number) {
    vsi_reside_collect(&f->reside);
    return f->is_freed[number];
}

/* ---- one thread ----------------------------------------------------------------------------- */

VT_TEST(what_nobody_can_see_goes_when_it_is_collected) {
    static fixture f;
    begin(&f);
    for (int i = 0; i < 50; i++) {
        uint64_t number = retire(&f);
        VT_CHECK(!f.is_freed[number]);
        VT_EQ(vsi_atomic_load(&f.reside.waiting_bytes), sizeof(thing));
        VT_CHECK(is_freed_now(&f, number));
        VT_EQ(vsi_atomic_load(&f.reside.waiting_bytes), 0);
    }
    vsi_reside_collect(&f.reside); /* of nothing */
    end(&f);
}

VT_TEST(who_stays_keeps_what_is_retired_meanwhile_until_he_leaves) {
    static fixture f;
    begin(&f);
    for (int i = 0; i < 20; i++) {
        vsi_stay stay = vsi_stay_enter(&f.reside);
        uint64_t number = retire(&f);
        for (int k = 0; k < 5; k++)
            VT_CHECK(!is_freed_now(&f, number));
        vsi_stay_leave(&f.reside, stay);
        VT_CHECK(!f.is_freed[number]); /* leaving itself frees nothing */
        VT_CHECK(is_freed_now(&f, number));
    }
    end(&f);
}

/* Whatever epoch a stay began in, and however far the epoch has moved since. */
VT_TEST(a_stay_keeps_what_is_retired_at_any_later_time) {
    static fixture f;
    begin(&f);
    for (int before = 0; before < 6; before++) {
        for (int i = 0; i < before; i++)
            VT_CHECK(is_freed_now(&f, retire(&f))); /* moves the epoch */
        vsi_stay stay = vsi_stay_enter(&f.reside);
        uint64_t first = f.made;
        for (int i = 0; i < 6; i++) {
            retire(&f);
            for (uint64_t number = first; number < f.made; number++)
                VT_CHECK(!is_freed_now(&f, number));
        }
        vsi_stay_leave(&f.reside, stay);
        vsi_reside_collect(&f.reside);
        for (uint64_t number = first; number < f.made; number++)
            VT_CHECK(f.is_freed[number]);
    }
    end(&f);
}

VT_TEST(stays_nest_and_the_outer_one_counts) {
    static fixture f;
    begin(&f);
    vsi_stay outer = vsi_stay_enter(&f.reside);
    uint64_t number = retire(&f);
    VT_CHECK(!is_freed_now(&f, number));
    for (int i = 0; i < 4; i++) { /* the inner ones may begin in other epochs */
        vsi_stay inner = vsi_stay_enter(&f.reside), innermost = vsi_stay_enter(&f.reside);
        VT_CHECK(!is_freed_now(&f, number));
        vsi_stay_leave(&f.reside, innermost);
        vsi_stay_leave(&f.reside, inner);
        VT_CHECK(!is_freed_now(&f, number));
    }
    vsi_stay_leave(&f.reside, outer);
    VT_CHECK(is_freed_now(&f, number));
    end(&f);
}

/* So that readers who follow each other without a gap keep nothing for ever. */
VT_TEST(stays_that_overlap_without_end_let_everything_go_after_a_few) {
    enum { FEW = 4 };
    static fixture f;
    begin(&f);
    vsi_stay stay = vsi_stay_enter(&f.reside);
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t number = retire(&f);
        VT_CHECK(!is_freed_now(&f, number));
        vsi_stay next = vsi_stay_enter(&f.reside);
        VT_CHECK(!is_freed_now(&f, number));
        vsi_stay_leave(&f.reside, stay);
        vsi_reside_collect(&f.reside);
        VT_CHECK(i < FEW || f.is_freed[number - FEW]);
        stay = next;
    }
    vsi_stay_leave(&f.reside, stay);
    end(&f);
}

VT_TEST(renewing_lets_go_of_what_waits_and_keeps_what_comes) {
    static fixture f;
    begin(&f);
    vsi_stay stay = vsi_stay_enter(&f.reside);
    vsi_stay_renew(&f.reside, &stay); /* nothing waits */
    uint64_t number = retire(&f);
    VT_CHECK(!is_freed_now(&f, number));
    vsi_stay_renew(&f.reside, &stay);
    VT_CHECK(f.is_freed[number]);
    vsi_stay other = vsi_stay_enter(&f.reside); /* renewing is for oneself only */
    number = retire(&f);
    VT_CHECK(!is_freed_now(&f, number));
    vsi_stay_renew(&f.reside, &stay);
    VT_CHECK(!is_freed_now(&f, number));
    vsi_stay_leave(&f.reside, stay);
    vsi_stay_leave(&f.reside, other);
    VT_CHECK(is_freed_now(&f, number));
    end(&f);
}

VT_TEST(what_still_waits_is_freed_with_all_the_rest) {
    static fixture f;
    begin(&f);
    vsi_stay stay = vsi_stay_enter(&f.reside);
    for (int i = 0; i < 30; i++) {
        retire(&f);
        vsi_reside_collect(&f.reside);
    }
    vsi_stay_leave(&f.reside, stay);
    end(&f);
}

/* Any order of stays and retirements against a list of who stayed when. */
VT_TEST(at_random_nothing_goes_too_early_and_everything_in_the_end) {
    enum { STAYS = 6, STEPS = 12000 };
    static fixture f;
    static uint64_t holders[THINGS_MAX]; /* who stayed when it was retired: a bit for each number */
    vsi_stay stay[STAYS];
    bool is_in[STAYS] = {false};
    begin(&f);
    memset(holders, 0, sizeof holders);
    for (int step = 0; step < STEPS; step++) {
        uint64_t who = vt_below(&f.rng, STAYS), what = vt_below(&f.rng, 8);
        if (what < 3 && is_in[who]) {
            vsi_stay_leave(&f.reside, stay[who]);
            is_in[who] = false;
            for (uint64_t i = 0; i < f.made; i++)
                holders[i] &= ~(1ull << who);
        } else if (what < 3) {
            stay[who] = vsi_stay_enter(&f.reside);
            is_in[who] = true;
        } else if (what < 4 && is_in[who]) {
            bool waits = vsi_atomic_load(&f.reside.waiting_bytes);
            for (uint64_t i = 0; waits && i < f.made; i++)
                holders[i] &= ~(1ull << who);
            vsi_stay_renew(&f.reside, &stay[who]);
        } else if (what < 6 && f.made < THINGS_MAX) {
            uint64_t number = retire(&f);
            for (uint64_t i = 0; i < STAYS; i++)
                holders[number] |= (uint64_t)is_in[i] << i;
        } else {
            vsi_reside_collect(&f.reside);
        }
        for (uint64_t i = 0; i < f.made; i++)
            VT_CHECK(!(holders[i] && f.is_freed[i]));
    }
    uint64_t freed = 0;
    for (uint64_t i = 0; i < f.made; i++)
        freed += f.is_freed[i];
    VT_CHECK(freed > f.made / 2); /* although somebody stayed nearly always */
    for (int i = 0; i < STAYS; i++)
        if (is_in[i])
            vsi_stay_leave(&f.reside, stay[i]);
    vsi_reside_collect(&f.reside);
    for (uint64_t i = 0; i < f.made; i++)
        VT_CHECK(f.is_freed[i]);
    VT_EQ(vsi_atomic_load(&f.reside.waiting_bytes), 0);
    end(&f);
}

VT_TEST(the_excess_is_what_is_in_use_without_what_waits) {
    static fixture f;
    begin(&f);
    thing *t = make(&f);
    uint64_t used = vsi_atomic_load(&f.mem.used_bytes);
    VT_EQ(vsi_reside_excess(&f.reside, 0), 0); /* no limit */
    VT_EQ(vsi_reside_excess(&f.reside, UINT64_MAX / 2), 0);
    f.reside.limit_bytes = used;
    VT_EQ(vsi_reside_excess(&f.reside, 0), 0);
    VT_EQ(vsi_reside_excess(&f.reside, 1), 1);
    VT_EQ(vsi_reside_excess(&f.reside, 1000), 1000);
    f.reside.limit_bytes = 1;
    VT_EQ(vsi_reside_excess(&f.reside, 0), used - 1);
    vsi_retire(&f.reside, &t->retired, sizeof *t);
    VT_EQ(vsi_reside_excess(&f.reside, 0), 0);
    VT_EQ(vsi_reside_excess(&f.reside, 5), 4);
    end(&f);
}

/* ---- many threads --------------------------------------------------------------------------- */

#if VS_THREADSAFE

enum { READERS = 3, WRITERS = 2, PLACES = 8, ROUNDS = 1500 };

typedef struct shared {
    fixture f;
    vsi_atomic_ptr place[PLACES]; /* thing */
    vsi_mutex lock;               /* of the places, for writers; of the fixture */
    vsi_atomic_u64 done, wrong, seen, begun;
} shared;

typedef struct worker {
    pthread_t thread;
    shared *s;
    uint64_t seed;
} worker;

/* The allocator of the fixture is not for threads. */
static void *quick_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    (void)ctx;
    if (new_bytes)
        return realloc(ptr, new_bytes);
    memset(ptr, 0xdd, old_bytes);
    free(ptr);
    return NULL;
}

static bool is_whole(const thing *t) {
    return t->check == vt_mix(t->number);
}

static void *read_places(void *ctx) {
    worker *w = ctx;
    shared *s = w->s;
    vt_rng rng = {w->seed};
    bool has_begun = false;
    while (vsi_ordered_load(&s->done) < WRITERS) {
        vsi_stay stay = vsi_stay_enter(&s->f.reside);
        const thing *t[4];
        for (int i = 0; i < 4; i++)
            t[i] = vsi_atomic_ptr_load(&s->place[vt_below(&rng, PLACES)]);
        if (vt_below(&rng, 4) == 0) { /* a stay within it, and what it retires */
            vsi_stay inner = vsi_stay_enter(&s->f.reside);
            vsi_reside_collect(&s->f.reside);
            vsi_stay_leave(&s->f.reside, inner);
        }
        for (int look = 0; look < 3; look++)
            for (int i = 0; i < 4; i++)
                if (!is_whole(t[i]))
                    vsi_atomic_add(&s->wrong, 1);
        if (vt_below(&rng, 3) == 0) {
            vsi_stay_renew(&s->f.reside, &stay);
            t[0] = vsi_atomic_ptr_load(&s->place[0]);
            if (!is_whole(t[0]))
                vsi_atomic_add(&s->wrong, 1);
        }
        vsi_atomic_add(&s->seen, 4);
        vsi_stay_leave(&s->f.reside, stay);
        if (!has_begun)
            vsi_ordered_add(&s->begun, 1);
        has_begun = true;
    }
    return NULL;
}

static void *replace_places(void *ctx) {
    worker *w = ctx;
    shared *s = w->s;
    vt_rng rng = {w->seed};
    while (vsi_ordered_load(&s->begun) <
           READERS) /* or a busy machine may run one after the other */
        sched_yield();
    for (uint64_t round = 0; round < ROUNDS; round++) {
        thing *t = vsi_alloc_zeroed(&s->f.mem, sizeof *t);
        if (!t)
            abort();
        t->number = round;
        t->check = vt_mix(round);
        vsi_atomic_ptr *place = &s->place[vt_below(&rng, PLACES)];
        vsi_mutex_lock(&s->lock);
        thing *old = vsi_atomic_ptr_load(place);
        vsi_atomic_ptr_store(place, t);
        vsi_retire(&s->f.reside, &old->retired, sizeof *old);
        vsi_mutex_unlock(&s->lock);
        if (round % 3 == 0)
            vsi_reside_collect(&s->f.reside);
    }
    vsi_ordered_add(&s->done, 1);
    return NULL;
}

VT_TEST(threads_that_stay_never_see_what_was_freed) {
    static shared s;
    static worker w[READERS + WRITERS];
    memset(&s, 0, sizeof s);
    vsi_mem_init(&s.f.mem, &(vs_allocator){NULL, quick_realloc});
    VT_CHECK(vsi_reside_init(&s.f.reside, &s.f.mem) && vsi_mutex_init(&s.lock));
    for (int i = 0; i < PLACES; i++) {
        thing *t = vsi_alloc_zeroed(&s.f.mem, sizeof *t);
        t->check = vt_mix(0);
        vsi_atomic_ptr_store(&s.place[i], t);
    }
    for (int i = 0; i < READERS + WRITERS; i++) {
        w[i] = (worker){.s = &s, .seed = vt_seed() + (uint64_t)i};
        VT_EQ(pthread_create(&w[i].thread, NULL, i < READERS ? read_places : replace_places, &w[i]),
              0);
    }
    for (int i = 0; i < READERS + WRITERS; i++)
        VT_EQ(pthread_join(w[i].thread, NULL), 0);
    VT_EQ(vsi_atomic_load(&s.wrong), 0);
    VT_CHECK(vsi_atomic_load(&s.seen) > 0);
    vsi_reside_collect(&s.f.reside);
    VT_EQ(vsi_atomic_load(&s.f.reside.waiting_bytes), 0);
    VT_EQ(vsi_atomic_load(&s.f.mem.used_bytes), PLACES * sizeof(thing));
    for (int i = 0; i < PLACES; i++)
        vsi_free(&s.f.mem, vsi_atomic_ptr_load(&s.place[i]), sizeof(thing));
    vsi_reside_free(&s.f.reside);
    vsi_mutex_destroy(&s.lock);
    VT_EQ(vsi_atomic_load(&s.f.mem.used_bytes), 0);
}

#endif
