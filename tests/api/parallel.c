/* parallel.c - batches of queries on the host's threads (vs_open_options.parallel_for): against the same on one. */
#include "sample.h"
#include <math.h>
#include <pthread.h>

enum { DIM = 6, RECORDS = 900, QUERIES = 600, K_MAX = 40, THREADS = 4 };

/* ---- a host's parallel_for ------------------------------------------------------------------ */

/* What the threads of one call share. A host would keep its threads; starting some for each call will do. */
typedef struct job {
    pthread_mutex_t lock;
    size_t next, count;
    void (*body)(void *body_ctx, size_t i);
    void *body_ctx;
} job;

static void *job_work(void *ctx) {
    job *j = ctx;
    for (;;) {
        pthread_mutex_lock(&j->lock);
        size_t i = j->next < j->count ? j->next++ : j->count;
        pthread_mutex_unlock(&j->lock);
        if (i == j->count)
            return NULL;
        j->body(j->body_ctx, i);
    }
}

static uint64_t calls; /* of whichever of these is in use, by one thread at a time */

static void on_threads(void *ctx, size_t count, void (*body)(void *body_ctx, size_t i),
                       void *body_ctx) {
    const size_t *threads = ctx;
    pthread_t thread[THREADS];
    job j = {PTHREAD_MUTEX_INITIALIZER, 0, count, body, body_ctx};
    size_t started = 0;
    calls++;
    while (started + 1 < *threads && !pthread_create(&thread[started], NULL, job_work, &j))
        started++;
    job_work(&j); /* the caller's thread works too, and alone when there is no other */
    while (started)
        pthread_join(thread[--started], NULL);
    pthread_mutex_destroy(&j.lock);
}

/* On the calling thread, the last one first. */
static void backwards(void *ctx, size_t count, void (*body)(void *body_ctx, size_t i),
                      void *body_ctx) {
    (void)ctx;
    calls++;
    while (count)
        body(body_ctx, --count);
}

/* Leaves one out, and makes one of those there are not in its place. */
static void sloppy(void *ctx, size_t count, void (*body)(void *body_ctx, size_t i),
                   void *body_ctx) {
    const size_t *left_out = ctx;
    for (size_t i = 0; i < count; i++)
        body(body_ctx, i == *left_out ? count + i : i);
}

/* ---- what is searched ----------------------------------------------------------------------- */

typedef struct fixture {
    vs_vfs *vfs;
    vs_db *db;
    vs_collection *c;
    float queries[QUERIES][DIM];
    size_t threads;
} fixture;

static void fill(float *out, vt_rng *rng) {
    for (int i = 0; i < DIM; i++)
        out[i] = (float)((int)vt_below(rng, 4) - 1);
}

static void open_with(fixture *f, vs_parallel_fn parallel_for, void *ctx, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    if (f->db) {
        vs_collection_close(f->c);
        VT_OK(vs_close(f->db), f->db);
    }
    options.vfs = f->vfs;
    options.flags = flags;
    options.memory_limit = flags & VS_OPEN_READONLY ? 1 : 0; /* nothing that was read stays */
    options.parallel_for = parallel_for;
    options.parallel_ctx = ctx;
    VT_OK(vs_open("t.vs", &options, &f->db), f->db);
    if (!(flags & VS_OPEN_CREATE))
        f->c = sample_collection(f->db, "c");
}

static void begin(fixture *f, int metric) {
    vt_rng rng = {vt_seed()};
    float v[DIM];
    memset(f, 0, sizeof *f);
    f->threads = THREADS;
    VT_EQ(vs_vfs_memory_create(NULL, &f->vfs), VS_OK);
    open_with(f, NULL, NULL, VS_OPEN_CREATE);
    f->c = sample_create(f->db, NULL, "c", DIM, VS_F32, metric);
    vs_txn *txn = sample_begin(f->db, VS_TXN_WRITE);
    for (int i = 0; i < RECORDS; i++) {
        char text[40];
        vs_record r = VS_RECORD_INIT;
        snprintf(text, sizeof text, "some key that is long %d", i * 7919 % RECORDS);
        fill(v, &rng);
        r.key = i % 2 ? vs_key_text(text) : vs_key_u64((uint64_t)(i * 7919 % RECORDS));
        r.vector = v;
        VT_OK(vs_put(f->c, txn, &r, VS_INSERT), f->c);
    }
    VT_OK(vs_commit(txn, VS_SYNC_OFF), f->db);
    for (int i = 0; i < QUERIES; i++)
        fill(f->queries[i], &rng);
}

static void end(fixture *f) {
    vs_collection_close(f->c);
    VT_OK(vs_close(f->db), f->db);
    vs_vfs_memory_destroy(f->vfs);
}

/* Of a batch: distances and versions of keys that can be kept. */
typedef struct found {
    size_t counts[QUERIES];
    double distance[QUERIES][K_MAX];
    uint64_t key[QUERIES][K_MAX];
} found;

static uint64_t key_hash(vs_key key) {
    uint64_t hash = vt_mix(key.number + key.kind);
    for (size_t i = 0; i < key.bytes; i++)
        hash = vt_mix(hash ^ ((const uint8_t *)key.data)[i]);
    return hash;
}

static void search(const fixture *f, vs_txn *txn, size_t count, size_t k, found *out) {
    static vs_hit hits[QUERIES * K_MAX];
    memset(out, 0, sizeof *out);
    VT_OK(vs_search_batch(f->c, txn, f->queries, 0, 0, count, k, NULL, hits, out->counts), f->c);
    for (size_t i = 0; i < count; i++)
        for (size_t n = 0; n < out->counts[i]; n++) {
            out->distance[i][n] = hits[i * k + n].distance;
            out->key[i][n] = key_hash(hits[i * k + n].key);
        }
}

static found expected, got;

static const size_t some_counts[] = {0, 1, 2, 3, 17, 255, 256, 257, 511, 513, QUERIES};
enum { SOME_COUNTS = sizeof some_counts / sizeof some_counts[0] };

VT_TEST(a_batch_on_threads_finds_what_it_finds_on_one) {
    for (int metric = VS_L2; metric <= VS_L1; metric++) {
        fixture f;
        begin(&f, metric);
        for (int i = 0; i < SOME_COUNTS; i++) {
            size_t count = some_counts[i], k = i % 2 ? K_MAX : 3;
            int hows =
                i + 2 == SOME_COUNTS ? 5 : 3; /* and in the mapped file, and with little memory */
            for (int how = 0; how < hows; how++) {
                uint32_t flags = how == 3 ? VS_OPEN_MMAP : how == 4 ? VS_OPEN_READONLY : 0;
                open_with(&f,
                          how == 0   ? NULL
                          : how == 1 ? backwards
                                     : on_threads,
                          &f.threads, flags);
                calls = 0;
                search(&f, NULL, count, k, how ? &got : &expected);
                VT_EQ(calls, how && count > 1);
                VT_CHECK(!how || !memcmp(&got, &expected, sizeof got));
            }
        }
        end(&f);
    }
}

VT_TEST(any_number_of_threads_will_do) {
    fixture f;
    begin(&f, VS_L2);
    search(&f, NULL, QUERIES, 5, &expected);
    open_with(&f, on_threads, &f.threads, 0);
    for (f.threads = 1; f.threads <= THREADS; f.threads++) {
        search(&f, NULL, QUERIES, 5, &got);
        VT_CHECK(!memcmp(&got, &expected, sizeof got));
    }
    end(&f);
}

VT_TEST(a_batch_on_threads_sees_the_transaction_that_it_is_given) {
    fixture f;
    begin(&f, VS_L2);
    for (int how = 0; how < 2; how++) {
        open_with(&f, how ? on_threads : NULL, &f.threads, 0);
        vs_txn *txn = sample_begin(f.db, VS_TXN_WRITE);
        for (uint64_t key = 0; key < 300; key++)
            sample_put(f.c, txn, RECORDS + key, f.queries[key], NULL);
        VT_EQ(vs_delete(f.c, txn, vs_key_u64(0)), VS_OK);
        search(&f, txn, QUERIES, 5, how ? &got : &expected);
        vs_rollback(txn);
    }
    VT_CHECK(!memcmp(&got, &expected, sizeof got));
    search(&f, NULL, QUERIES, 5, &got);
    VT_CHECK(memcmp(&got, &expected, sizeof got));
    end(&f);
}

/* Commits until it is told to stop. */
typedef struct writer {
    vs_db *db;
    pthread_mutex_t lock;
    bool stops;
} writer;

static void *write_on(void *ctx) {
    writer *w = ctx;
    vs_collection *c = sample_collection(w->db, "c");
    const float v[DIM] = {1, 1};
    bool stops = false;
    for (uint64_t key = 0; !stops; key++) {
        sample_put(c, NULL, key % RECORDS, v, NULL);
        pthread_mutex_lock(&w->lock);
        stops = w->stops;
        pthread_mutex_unlock(&w->lock);
    }
    vs_collection_close(c);
    return NULL;
}

VT_TEST(a_batch_on_threads_is_of_one_state_while_others_commit) {
    fixture f;
    pthread_t thread;
    begin(&f, VS_L2);
    open_with(&f, on_threads, &f.threads, 0);
    writer w = {f.db, PTHREAD_MUTEX_INITIALIZER, false};
    vs_txn *txn = sample_begin(f.db, VS_TXN_READ);
    search(&f, txn, QUERIES, 5, &expected);
    VT_EQ(pthread_create(&thread, NULL, write_on, &w), 0);
    for (int i = 0; i < 5; i++) {
        search(&f, txn, QUERIES, 5, &got);
        VT_CHECK(!memcmp(&got, &expected, sizeof got));
    }
    pthread_mutex_lock(&w.lock);
    w.stops = true;
    pthread_mutex_unlock(&w.lock);
    pthread_join(thread, NULL);
    vs_rollback(txn);
    end(&f);
}

/* ---- failures ------------------------------------------------------------------------------- */

VT_TEST(of_several_queries_that_cannot_be_the_first_one_is_named) {
    static const size_t wrong[] = {599, 400, 3, 298};
    static vs_hit hits[QUERIES];
    size_t counts[QUERIES];
    char text[40];
    fixture f;
    begin(&f, VS_L2);
    for (size_t n = 0; n < 4; n++) {
        size_t first = QUERIES;
        f.queries[wrong[n]][2] = NAN;
        for (size_t i = 0; i <= n; i++)
            first = wrong[i] < first ? wrong[i] : first;
        snprintf(text, sizeof text, "row %zu of %d", first, QUERIES);
        for (int how = 0; how < 3; how++) {
            open_with(&f, how == 0 ? NULL : how == 1 ? backwards : on_threads, &f.threads, 0);
            VT_EQ(vs_search_batch(f.c, NULL, f.queries, 0, 0, QUERIES, 1, NULL, hits, counts),
                  VS_ERR_INVALID);
            VT_CONTAINS(vs_errmsg(f.c), text);
            VT_CONTAINS(vs_errmsg(f.c), "element 2");
        }
    }
    end(&f);
}

VT_TEST(queries_that_the_host_leaves_out_are_noticed) {
    static const size_t left_out[] = {0, 7, 18};
    static vs_hit hits[QUERIES];
    size_t counts[QUERIES];
    fixture f;
    begin(&f, VS_L2);
    for (int i = 0; i < 3; i++) {
        size_t at = left_out[i];
        char text[40];
        open_with(&f, sloppy, &at, 0);
        VT_EQ(vs_search_batch(f.c, NULL, f.queries, 0, 0, QUERIES, 1, NULL, hits, counts),
              VS_ERR_MISUSE);
        snprintf(text, sizeof text, "row %zu of", at * 32); /* so many to a piece */
        VT_CONTAINS(vs_errmsg(f.c), text);
        VT_CONTAINS(vs_errmsg(f.c), "left it out");
    }
    end(&f);
}

/* Is asked by several threads at once. */
typedef struct listener {
    pthread_mutex_t lock;
    vs_db *db;
    uint64_t asked, stop_at;
    uint64_t most, total;
    bool interrupts;
} listener;

static int listen(void *ctx, const vs_progress *progress) {
    listener *l = ctx;
    pthread_mutex_lock(&l->lock);
    bool stops = ++l->asked == l->stop_at;
    l->most = progress->done > l->most ? progress->done : l->most;
    l->total = progress->total;
    pthread_mutex_unlock(&l->lock);
    if (stops && l->interrupts)
        return vs_interrupt(l->db) != VS_OK;
    return stops;
}

static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t clock_us;

/* Each look is later than the last. */
static int64_t clock_look(void *ctx) {
    (void)ctx;
    pthread_mutex_lock(&clock_lock);
    int64_t now_us = clock_us += 3000;
    pthread_mutex_unlock(&clock_lock);
    return now_us;
}

VT_TEST(a_batch_on_threads_tells_how_far_all_are_and_ends_as_a_whole) {
    static vs_hit hits[QUERIES];
    size_t counts[QUERIES];
    fixture f;
    listener l = {.lock = PTHREAD_MUTEX_INITIALIZER};
    begin(&f, VS_L2);
    vs_vfs vfs = *f.vfs;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_collection_close(f.c);
    VT_OK(vs_close(f.db), f.db);
    vfs.ticks_us = clock_look;
    options.vfs = &vfs;
    options.parallel_for = on_threads;
    options.parallel_ctx = &f.threads;
    options.progress = listen;
    options.progress_ctx = &l;
    VT_OK(vs_open("t.vs", &options, &f.db), f.db);
    f.c = sample_collection(f.db, "c");
    l.db = f.db;
    l.asked = 0;
    VT_OK(vs_search_batch(f.c, NULL, f.queries, 0, 0, QUERIES, 1, NULL, hits, counts), f.c);
    VT_CHECK(l.asked > 50);
    VT_EQ(l.total, QUERIES * RECORDS);
    VT_CHECK(l.most > l.total / 2 && l.most <= l.total);
    for (uint64_t at = 1; at < 60; at += 7) {
        l.asked = 0;
        l.stop_at = at;
        l.interrupts = at % 2;
        VT_EQ(vs_search_batch(f.c, NULL, f.queries, 0, 0, QUERIES, 1, NULL, hits, counts),
              VS_ERR_INTERRUPTED);
        VT_CHECK(l.asked < at + 300); /* the others were not asked for ever */
        l.stop_at = 0;
        VT_EQ(vs_set_timeout(f.db, 200), VS_OK);
        VT_EQ(vs_search_batch(f.c, NULL, f.queries, 0, 0, QUERIES, 1, NULL, hits, counts),
              VS_ERR_TIMEOUT);
        VT_CONTAINS(vs_errmsg(f.c), "longer than it may");
        VT_EQ(vs_set_timeout(f.db, 0), VS_OK);
    }
    end(&f);
}

VT_TEST(without_memory_for_a_thread_it_fails_and_the_next_one_does_not) {
    static vs_hit hits[QUERIES];
    size_t counts[QUERIES], failures = 0;
    fixture f;
    vt_allocator memory = {0};
    vs_allocator allocator = {&memory, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    begin(&f, VS_L2);
    vs_collection_close(f.c);
    VT_OK(vs_close(f.db), f.db);
    options.vfs = f.vfs;
    options.allocator = &allocator;
    options.parallel_for = backwards;
    VT_OK(vs_open("t.vs", &options, &f.db), f.db);
    f.c = sample_collection(f.db, "c");
    VT_OK(vs_search_batch(f.c, NULL, f.queries, 0, 0, 300, 1, NULL, hits, counts), f.c);
    for (uint64_t at = 1; at < 20; at++) {
        memory.fail_at = memory.calls + at;
        vs_status st = vs_search_batch(f.c, NULL, f.queries, 0, 0, 300, 1, NULL, hits, counts);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        failures += st == VS_ERR_NOMEM;
        VT_CHECK(st == VS_OK || strstr(vs_errmsg(f.c), "memory"));
        memory.fail_at = 0;
        VT_OK(vs_search_batch(f.c, NULL, f.queries, 0, 0, 300, 1, NULL, hits, counts), f.c);
    }
    VT_CHECK(failures >= 10); /* as many pieces, with memory of their own */
    vs_collection_close(f.c);
    VT_OK(vs_close(f.db), f.db);
    VT_EQ(memory.live_blocks, 0);
    vs_vfs_memory_destroy(f.vfs);
}
