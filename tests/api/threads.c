/* threads.c - several threads on one database: readers beside a writer, commits that share a sync,
 * write transactions that wait for each other. Runs under ThreadSanitizer as well.
 *
 * A claim in a thread that does not hold ends that thread; the test fails once all are joined. */
#include "sample.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>

enum { WORKERS_MAX = 8, FAILURE_BYTES = 600 };

/* ---- threads -------------------------------------------------------------------------------- */

typedef struct worker worker;
typedef void job(worker *w);

struct worker {
    pthread_t thread;
    job *run;
    void *shared; /* of the test */
    int number;
    vt_rng rng;
    char failure[FAILURE_BYTES];
};

typedef struct team {
    worker workers[WORKERS_MAX];
    int count;
} team;

static atomic_int failures; /* of the threads of this test; whoever waits looks at it */

_Noreturn static void worker_fail(worker *w, int line, const char *format, ...) {
    va_list args;
    int n =
        snprintf(w->failure, sizeof w->failure, "%s:%d: thread %d: ", __FILE__, line, w->number);
    va_start(args, format);
    vsnprintf(w->failure + n, sizeof w->failure - (size_t)n, format, args);
    va_end(args);
    atomic_fetch_add(&failures, 1);
    pthread_exit(NULL);
}

#define JOB_CHECK(w, claim) ((claim) ? (void)0 : worker_fail(w, __LINE__, "not so: %s", #claim))

#define JOB_EQ(w, found, expected)                                                                 \
    do {                                                                                           \
        long long job_found = (long long)(found), job_expected = (long long)(expected);            \
        if (job_found != job_expected)                                                             \
            worker_fail(w, __LINE__, "%s is %lld, expected %lld", #found, job_found,               \
                        job_expected);                                                             \
    } while (0)

static void *worker_main(void *ctx) {
    worker *w = ctx;
    w->run(w);
    return NULL;
}

static void team_add(team *t, job *run, void *shared) {
    VT_CHECK(t->count < WORKERS_MAX);
    worker *w = &t->workers[t->count];
    memset(w, 0, sizeof *w);
    w->run = run;
    w->shared = shared;
    w->number = t->count++;
    w->rng.state = vt_mix(vt_seed() + (uint64_t)w->number);
}

/* Starts all, waits for all, and reports the first claim that did not hold. */
static void team_run(team *t) {
    atomic_store(&failures, 0);
    for (int i = 0; i < t->count; i++)
        if (pthread_create(&t->workers[i].thread, NULL, worker_main, &t->workers[i]))
            abort();
    for (int i = 0; i < t->count; i++)
        pthread_join(t->workers[i].thread, NULL);
    for (int i = 0; i < t->count; i++)
        if (t->workers[i].failure[0])
            vt_fail(__FILE__, __LINE__, "%s", t->workers[i].failure);
    t->count = 0;
}

/* A number that threads count up and wait for. */
typedef struct gate {
    atomic_int count;
} gate;

static void gate_pass(gate *g) {
    atomic_fetch_add(&g->count, 1);
}

static bool gate_is_open(gate *g, int count) {
    return atomic_load(&g->count) >= count;
}

static void nap(void) {
    nanosleep(&(struct timespec){0, 200000}, NULL);
}

/* Returns early when another thread failed: it may never come. */
static void gate_wait(gate *g, int count) {
    while (!gate_is_open(g, count) && !atomic_load(&failures))
        nap();
}

/* ---- a file system whose syncs can be held up ----------------------------------------------- */

/* The memory file system with another sync. Its functions keep their own ctx, so what they share
 * stands in one place; one test uses it at a time. */
static struct held {
    vs_vfs *memory;
    vs_vfs vfs; /* what the database uses */
    atomic_int is_held;
    atomic_int waiting; /* syncs that are held up now */
    atomic_int syncs;
} held;

static vs_status held_sync(void *ctx, void *file, char *why) {
    atomic_fetch_add(&held.syncs, 1);
    atomic_fetch_add(&held.waiting, 1);
    while (atomic_load(&held.is_held) && !atomic_load(&failures))
        nap();
    atomic_fetch_sub(&held.waiting, 1);
    return held.memory->sync(ctx, file, why);
}

static void held_init(void) {
    memset(&held, 0, sizeof held);
    VT_EQ(vs_vfs_memory_create(NULL, &held.memory), VS_OK);
    held.vfs = *held.memory;
    held.vfs.sync = held_sync;
}

/* ---- pairs of records ----------------------------------------------------------------------- */

/* Records 2p and 2p + 1 are written and deleted together: the vector of one is minus that of the
 * other, element j is (j + 1) times the first, and the metadata says the first element. So a mix of
 * two commits shows, and so does a vector that changes while it is read. */
enum { PAIRS = 40, PAIR_DIM = 24, PAIR_NOISE = 1000000 };

static void pair_vector(int x, float v[PAIR_DIM]) {
    for (int j = 0; j < PAIR_DIM; j++)
        v[j] = (float)(x * (j + 1));
}

static vs_status put_half(vs_collection *c, vs_txn *txn, uint64_t key, int x) {
    float v[PAIR_DIM];
    char metadata[40];
    pair_vector(x, v);
    snprintf(metadata, sizeof metadata, "{\"x\":%d}", x);
    return sample_try_put(c, txn, key, v, metadata, VS_UPSERT);
}

static vs_status put_pair(vs_collection *c, vs_txn *txn, uint64_t pair, int x) {
    vs_status st = put_half(c, txn, 2 * pair, x);
    return st == VS_OK ? put_half(c, txn, 2 * pair + 1, -x) : st;
}

static void check_record(worker *w, const vs_record *r, int *out_x) {
    float v[PAIR_DIM];
    char metadata[40];
    memcpy(v, r->vector, sizeof v);
    int x = (int)v[0];
    for (int j = 0; j < PAIR_DIM; j++)
        JOB_CHECK(w, v[j] == (float)(x * (j + 1)));
    snprintf(metadata, sizeof metadata, "{\"x\":%d}", x);
    JOB_CHECK(w, r->metadata && !strcmp(r->metadata, metadata));
    JOB_CHECK(w, r->metadata_bytes == strlen(metadata));
    JOB_CHECK(w, x < PAIR_NOISE && x > -PAIR_NOISE); /* of a transaction rolled back */
    *out_x = x;
}

static bool get_half(worker *w, vs_collection *c, vs_txn *txn, uint64_t key, int *out_x) {
    vs_record r = VS_RECORD_INIT;
    vs_status st = vs_get(c, txn, vs_key_u64(key), &r);
    JOB_CHECK(w, st == VS_OK || st == VS_ERR_NOT_FOUND);
    if (st == VS_OK) {
        JOB_CHECK(w, r.key.number == key);
        check_record(w, &r, out_x);
    }
    return st == VS_OK;
}

static void check_pair(worker *w, vs_collection *c, vs_txn *txn, uint64_t pair) {
    int a = 0, b = 0;
    bool has_a = get_half(w, c, txn, 2 * pair, &a), has_b = get_half(w, c, txn, 2 * pair + 1, &b);
    JOB_EQ(w, has_a, has_b);
    JOB_EQ(w, a, -b);
}

/* Counts the records that a cursor shows, and checks that they are whole pairs in order. */
static uint64_t check_cursor(worker *w, vs_cursor *cursor) {
    uint64_t n = 0, next = 0;
    int first = 0;
    vs_status st;
    while ((st = vs_step(cursor)) == VS_ROW) {
        vs_record r = VS_RECORD_INIT;
        int x = 0;
        JOB_EQ(w, vs_cursor_record(cursor, &r), VS_OK);
        check_record(w, &r, &x);
        JOB_CHECK(w, r.key.number >= next);
        JOB_EQ(w, r.key.number % 2, n % 2);
        JOB_CHECK(w, n % 2 == 0 || (r.key.number == next && x == -first));
        first = x;
        next = r.key.number + 1;
        n++;
    }
    JOB_EQ(w, st, VS_DONE);
    JOB_EQ(w, n % 2, 0);
    return n;
}

/* From the origin both halves of a pair are equally far. */
static uint64_t check_search(worker *w, vs_collection *c, vs_txn *txn) {
    float origin[PAIR_DIM] = {0};
    vs_hit hits[2 * PAIRS + 2];
    bool is_seen[2 * PAIRS] = {false};
    double distance[2 * PAIRS] = {0};
    size_t n = 0;
    JOB_EQ(w, vs_search(c, txn, origin, 0, 2 * PAIRS + 2, NULL, hits, &n), VS_OK);
    for (size_t i = 0; i < n; i++) {
        JOB_CHECK(w, hits[i].key.number < 2 * PAIRS && !is_seen[hits[i].key.number]);
        is_seen[hits[i].key.number] = true;
        distance[hits[i].key.number] = hits[i].distance;
        JOB_CHECK(w, i == 0 || hits[i - 1].distance <= hits[i].distance);
    }
    for (size_t p = 0; p < PAIRS; p++) {
        JOB_EQ(w, is_seen[2 * p], is_seen[2 * p + 1]);
        JOB_CHECK(w, distance[2 * p] == distance[2 * p + 1]);
    }
    return n;
}

typedef struct pairs_test {
    vs_db *db;
    int commits; /* of each writer */
    atomic_int writers;
    gate done; /* passed by each writer at its end */
} pairs_test;

static bool is_over(pairs_test *t) {
    return gate_is_open(&t->done, atomic_load(&t->writers)) || atomic_load(&failures);
}

static vs_collection *open_own(worker *w, vs_db *db) {
    vs_collection *c = NULL;
    JOB_EQ(w, vs_collection_open(db, NULL, "pairs", &c), VS_OK);
    return c;
}

/* Some changes of a transaction that is to be rolled back: they break every rule. */
static void make_noise(worker *w, vs_db *db, vs_collection *c) {
    vs_txn *txn = NULL;
    JOB_EQ(w, vs_begin(db, VS_TXN_WRITE, &txn), VS_OK);
    for (int i = 0; i < 5; i++)
        JOB_EQ(w, put_half(c, txn, vt_below(&w->rng, 2 * PAIRS), PAIR_NOISE + i), VS_OK);
    vs_rollback(txn);
}

static void change_pairs(worker *w, vs_db *db, vs_collection *c, int sync) {
    vs_txn *txn = NULL;
    JOB_EQ(w, vs_begin(db, VS_TXN_WRITE, &txn), VS_OK);
    for (uint64_t n = 1 + vt_below(&w->rng, 4); n > 0; n--) {
        uint64_t pair = vt_below(&w->rng, PAIRS);
        if (vt_below(&w->rng, 3) || vs_get(c, txn, vs_key_u64(2 * pair), NULL) != VS_OK) {
            JOB_EQ(w, put_pair(c, txn, pair, (int)vt_below(&w->rng, 1000) - 500), VS_OK);
        } else {
            JOB_EQ(w, vs_delete(c, txn, vs_key_u64(2 * pair)), VS_OK);
            JOB_EQ(w, vs_delete(c, txn, vs_key_u64(2 * pair + 1)), VS_OK);
        }
    }
    JOB_EQ(w, vs_commit(txn, sync), VS_OK);
}

static void write_pairs(worker *w) {
    pairs_test *t = w->shared;
    vs_collection *c = open_own(w, t->db);
    for (int i = 0; i < t->commits; i++) {
        if (vt_below(&w->rng, 4) == 0)
            make_noise(w, t->db, c);
        change_pairs(w, t->db, c, (int)vt_below(&w->rng, 4));
    }
    vs_collection_close(c);
    gate_pass(&t->done);
}

/* Everything a snapshot shows agrees, and goes on to do so. */
static void read_snapshot(worker *w, pairs_test *t, vs_collection *c) {
    vs_txn *txn = NULL;
    vs_cursor *cursor = NULL;
    uint64_t before = 0, after = 0;
    JOB_EQ(w, vs_begin(t->db, VS_TXN_READ, &txn), VS_OK);
    JOB_EQ(w, vs_count(c, txn, &before), VS_OK);
    for (int i = 0; i < 8; i++)
        check_pair(w, c, txn, vt_below(&w->rng, PAIRS));
    JOB_EQ(w, check_search(w, c, txn), before);
    JOB_EQ(w, vs_scan(c, txn, NULL, &cursor), VS_OK);
    JOB_EQ(w, check_cursor(w, cursor), before);
    vs_cursor_close(cursor);
    JOB_EQ(w, vs_count(c, txn, &after), VS_OK);
    JOB_EQ(w, before, after);
    JOB_EQ(w, before % 2, 0);
    vs_rollback(txn);
}

/* Each call is a snapshot of its own, and so is a cursor. */
static void read_singly(worker *w, vs_collection *c) {
    vs_cursor *cursor = NULL;
    uint64_t count = 0;
    int x;
    JOB_EQ(w, vs_count(c, NULL, &count), VS_OK);
    JOB_EQ(w, count % 2, 0);
    check_search(w, c, NULL);
    get_half(w, c, NULL, vt_below(&w->rng, 2 * PAIRS), &x);
    JOB_EQ(w, vs_scan(c, NULL, NULL, &cursor), VS_OK);
    check_cursor(w, cursor);
    vs_cursor_close(cursor);
}

static void read_pairs(worker *w) {
    pairs_test *t = w->shared;
    vs_collection *c = open_own(w, t->db);
    do {
        read_snapshot(w, t, c);
        read_singly(w, c);
    } while (!is_over(t));
    vs_collection_close(c);
}

static void make_pairs(vs_db *db, int pairs) {
    vs_collection *c = sample_create(db, NULL, "pairs", PAIR_DIM, VS_F32, VS_L2);
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    for (int p = 0; p < pairs; p++)
        VT_OK(put_pair(c, txn, (uint64_t)p, p), c);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), db);
    vs_collection_close(c);
}

static void run_pairs(int writers, int readers, int commits) {
    static team t;
    static pairs_test test;
    sample s = sample_new();
    make_pairs(s.db, PAIRS);
    test = (pairs_test){.db = s.db, .commits = commits};
    atomic_init(&test.writers, writers);
    for (int i = 0; i < writers; i++)
        team_add(&t, write_pairs, &test);
    for (int i = 0; i < readers; i++)
        team_add(&t, read_pairs, &test);
    team_run(&t);
    sample_check(s.db);
    VT_EQ(sample_stats(s.db).readers, 0);
    sample_end(&s);
}

VT_TEST(readers_beside_a_writer_see_whole_commits_only) {
    run_pairs(1, 4, 400);
}

VT_TEST(readers_beside_several_writers_see_whole_commits_only) {
    run_pairs(3, 3, 120);
}

/* ---- a snapshot that lasts ------------------------------------------------------------------ */

typedef struct lasting {
    pairs_test pairs;
    gate begun;
} lasting;

static void hold_snapshot(worker *w) {
    lasting *t = w->shared;
    vs_collection *c = open_own(w, t->pairs.db);
    vs_txn *txn = NULL;
    vs_cursor *cursor = NULL;
    JOB_EQ(w, vs_begin(t->pairs.db, VS_TXN_READ, &txn), VS_OK);
    JOB_EQ(w, vs_scan(c, NULL, NULL, &cursor), VS_OK);
    JOB_EQ(w, vs_step(cursor), VS_ROW);
    gate_pass(&t->begun);
    do {
        for (int p = 0; p < PAIRS; p++) {
            int x = -1;
            JOB_CHECK(w, get_half(w, c, txn, 2 * (uint64_t)p, &x));
            JOB_EQ(w, x, p);
        }
    } while (!is_over(&t->pairs));
    for (int i = 1; i < 2 * PAIRS; i++) {
        vs_record r = VS_RECORD_INIT;
        int x = -1;
        JOB_EQ(w, vs_step(cursor), VS_ROW);
        JOB_EQ(w, vs_cursor_record(cursor, &r), VS_OK);
        check_record(w, &r, &x);
        JOB_EQ(w, r.key.number, i);
        JOB_EQ(w, x, i % 2 ? -(i / 2) : i / 2);
    }
    JOB_EQ(w, vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    vs_rollback(txn);
    vs_collection_close(c);
}

/* Replaces all records again and again, so that their places are used again as soon as may be. */
static void replace_all(worker *w) {
    lasting *t = w->shared;
    vs_collection *c = open_own(w, t->pairs.db);
    gate_wait(&t->begun, 2);
    for (int i = 0; i < t->pairs.commits; i++) {
        vs_txn *txn = NULL;
        JOB_EQ(w, vs_begin(t->pairs.db, VS_TXN_WRITE, &txn), VS_OK);
        for (uint64_t p = 0; p < PAIRS; p++)
            JOB_EQ(w, put_pair(c, txn, p, 1000 + i), VS_OK);
        JOB_EQ(w, vs_commit(txn, VS_SYNC_OFF), VS_OK);
    }
    vs_collection_close(c);
    gate_pass(&t->pairs.done);
}

VT_TEST(a_snapshot_and_a_cursor_stay_as_they_were_while_everything_is_replaced) {
    static team t;
    static lasting test;
    sample s = sample_new();
    make_pairs(s.db, PAIRS);
    memset(&test, 0, sizeof test);
    test.pairs.db = s.db;
    test.pairs.commits = 150;
    atomic_init(&test.pairs.writers, 1);
    team_add(&t, hold_snapshot, &test);
    team_add(&t, hold_snapshot, &test);
    team_add(&t, replace_all, &test);
    team_run(&t);
    sample_end(&s);
}

/* ---- commits in order ----------------------------------------------------------------------- */

/* Each writer counts its own commits in record w, and all together in record TOTAL. */
enum { ORDER_WRITERS = 4, ORDER_COMMITS = 60, TOTAL = 100 };

typedef struct order_test {
    vs_db *db;
    gate done;
    int sync; /* of all commits; -1: any */
} order_test;

static int read_number(worker *w, vs_collection *c, vs_txn *txn, uint64_t key) {
    vs_record r = VS_RECORD_INIT;
    float value;
    JOB_EQ(w, vs_get(c, txn, vs_key_u64(key), &r), VS_OK);
    memcpy(&value, r.vector, sizeof value);
    return (int)value;
}

static void write_number(worker *w, vs_collection *c, vs_txn *txn, uint64_t key, int value) {
    float v = (float)value;
    JOB_EQ(w, sample_try_put(c, txn, key, &v, NULL, VS_UPSERT), VS_OK);
}

static vs_collection *open_numbers(worker *w, vs_db *db) {
    vs_collection *c = NULL;
    JOB_EQ(w, vs_collection_open(db, NULL, "numbers", &c), VS_OK);
    return c;
}

static void count_commits(worker *w) {
    order_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    for (int i = 1; i <= ORDER_COMMITS; i++) {
        vs_txn *txn = NULL;
        JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
        write_number(w, c, txn, TOTAL, read_number(w, c, txn, TOTAL) + 1);
        write_number(w, c, txn, (uint64_t)w->number, i);
        int sync = t->sync < 0 ? (int)vt_below(&w->rng, 4) : t->sync;
        JOB_EQ(w, vs_commit(txn, sync), VS_OK);
        JOB_EQ(w, read_number(w, c, NULL, (uint64_t)w->number), i); /* its own commit at least */
    }
    vs_collection_close(c);
    gate_pass(&t->done);
}

static void watch_order(worker *w) {
    order_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    int last = 0;
    bool is_last_look = false;
    do {
        vs_txn *txn = NULL;
        int sum = 0;
        is_last_look = gate_is_open(&t->done, ORDER_WRITERS) || atomic_load(&failures);
        JOB_EQ(w, vs_begin(t->db, VS_TXN_READ, &txn), VS_OK);
        for (uint64_t key = 0; key < ORDER_WRITERS; key++)
            sum += read_number(w, c, txn, key);
        int total = read_number(w, c, txn, TOTAL);
        JOB_EQ(w, sum, total);
        JOB_CHECK(w, total >= last);
        last = total;
        vs_rollback(txn);
    } while (!is_last_look);
    vs_collection_close(c);
}

static void make_numbers(vs_db *db) {
    vs_collection *c = sample_create(db, NULL, "numbers", 1, VS_F32, VS_L2);
    float zero = 0;
    for (uint64_t key = 0; key < ORDER_WRITERS; key++)
        sample_put(c, NULL, key, &zero, NULL);
    sample_put(c, NULL, TOTAL, &zero, NULL);
    vs_collection_close(c);
}

static void check_total(vs_db *db, int expected) {
    vs_collection *c = sample_collection(db, "numbers");
    vs_record r = VS_RECORD_INIT;
    float total;
    VT_OK(vs_get(c, NULL, vs_key_u64(TOTAL), &r), c);
    memcpy(&total, r.vector, sizeof total);
    VT_EQ((int)total, expected);
    vs_collection_close(c);
}

static void run_order(int sync) {
    static team t;
    static order_test test;
    sample s = sample_new();
    make_numbers(s.db);
    test = (order_test){.db = s.db, .sync = sync};
    uint64_t before = sample_stats(s.db).commits;
    for (int i = 0; i < ORDER_WRITERS; i++)
        team_add(&t, count_commits, &test);
    team_add(&t, watch_order, &test);
    team_add(&t, watch_order, &test);
    team_run(&t);
    VT_EQ(sample_stats(s.db).commits - before, ORDER_WRITERS * ORDER_COMMITS);
    check_total(s.db, ORDER_WRITERS * ORDER_COMMITS);
    sample_reopen(&s);
    check_total(s.db, ORDER_WRITERS * ORDER_COMMITS);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(no_commit_of_several_threads_is_lost_or_seen_out_of_order) {
    run_order(VS_SYNC_FULL);
}

VT_TEST(commits_of_different_durability_are_seen_in_their_order) {
    run_order(-1);
}

/* ---- one sync for several commits ----------------------------------------------------------- */

enum { SHARING = 5 };

typedef struct sharing_test {
    vs_db *db;
    int sync;
    uint64_t commits_before;
    gate committed;
} sharing_test;

static vs_stats job_stats(worker *w, vs_db *db) {
    vs_stats stats = VS_STATS_INIT;
    JOB_EQ(w, vs_stats_get(db, &stats), VS_OK);
    return stats;
}

static void commit_one(worker *w) {
    sharing_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    write_number(w, c, NULL, 200 + (uint64_t)w->number, w->number);
    gate_pass(&t->committed);
    vs_collection_close(c);
}

/* Lets the syncs go on once all commits stand in the log. */
static void let_go_when_all_wait(worker *w) {
    sharing_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    while (job_stats(w, t->db).commits < t->commits_before + SHARING && !atomic_load(&failures))
        nap();
    /* None has returned, none is seen, none counts as durable: the device has taken nothing. */
    vs_stats stats = job_stats(w, t->db);
    JOB_EQ(w, atomic_load(&t->committed.count), 0);
    for (uint64_t i = 0; i < SHARING; i++)
        JOB_EQ(w, vs_get(c, NULL, vs_key_u64(200 + i), NULL), VS_ERR_NOT_FOUND);
    JOB_CHECK(w, stats.durable_lsn <= stats.lsn);
    JOB_CHECK(w, atomic_load(&held.waiting) <= 1);
    atomic_store(&held.is_held, 0);
    gate_wait(&t->committed, SHARING);
    for (uint64_t i = 0; i < SHARING; i++)
        JOB_EQ(w, vs_get(c, NULL, vs_key_u64(200 + i), NULL), VS_OK);
    vs_collection_close(c);
}

static void sharing_begin(sharing_test *t) {
    memset(t, 0, sizeof *t);
    held_init();
    t->db = sample_open(&held.vfs, "t.vs", VS_OPEN_CREATE);
    make_numbers(t->db); /* also begins the log of the session, which needs syncs of its own */
}

static void sharing_end(sharing_test *t) {
    VT_OK(vs_close(t->db), t->db);
    vs_vfs_memory_destroy(held.memory);
}

VT_TEST(commits_that_wait_at_the_same_time_share_syncs_and_none_returns_before) {
    static team t;
    static sharing_test test;
    sharing_begin(&test);
    vs_stats before = sample_stats(test.db);
    int syncs_before = atomic_load(&held.syncs);
    test.commits_before = before.commits;
    atomic_store(&held.is_held, 1);
    for (int i = 0; i < SHARING; i++)
        team_add(&t, commit_one, &test);
    team_add(&t, let_go_when_all_wait, &test);
    team_run(&t);
    vs_stats after = sample_stats(test.db);
    VT_EQ(after.commits - before.commits, SHARING);
    /* One for the first commit, one for all that came while it waited. */
    VT_CHECK(after.syncs - before.syncs <= 2);
    VT_EQ(atomic_load(&held.syncs) - syncs_before, after.syncs - before.syncs);
    VT_EQ(after.durable_lsn, after.lsn);
    sharing_end(&test);
}

static void commit_full_in_sharing(worker *w) {
    sharing_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    write_number(w, c, NULL, 200, 1);
    gate_pass(&t->committed);
    vs_collection_close(c);
}

/* Writes on while the commit of another thread waits for the device. */
static void write_beside_waiting_commit(worker *w) {
    sharing_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    vs_txn *txn = NULL;
    while (job_stats(w, t->db).commits < t->commits_before + 1 && !atomic_load(&failures))
        nap();
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
    JOB_EQ(w, vs_get(c, NULL, vs_key_u64(200), NULL), VS_ERR_NOT_FOUND);
    JOB_EQ(w, read_number(w, c, txn, 200), 1); /* it builds on that commit */
    write_number(w, c, txn, 201, 2);
    JOB_EQ(w, atomic_load(&t->committed.count), 0);
    atomic_store(&held.is_held, 0);
    JOB_EQ(w, vs_commit(txn, t->sync), VS_OK);
    JOB_EQ(w, vs_get(c, NULL, vs_key_u64(200), NULL),
           VS_OK); /* never the later one without the earlier */
    JOB_EQ(w, vs_get(c, NULL, vs_key_u64(201), NULL), VS_OK);
    vs_collection_close(c);
}

VT_TEST(the_next_writer_goes_on_while_a_commit_waits_for_the_device) {
    static team t;
    static sharing_test test;
    for (int sync = VS_SYNC_FULL; sync <= VS_SYNC_OFF; sync++) {
        sharing_begin(&test);
        test.sync = sync;
        test.commits_before = sample_stats(test.db).commits;
        atomic_store(&held.is_held, 1);
        team_add(&t, commit_full_in_sharing, &test);
        team_add(&t, write_beside_waiting_commit, &test);
        team_run(&t);
        sharing_end(&test);
    }
}

/* ---- power cuts ----------------------------------------------------------------------------- */

/* A file system that remembers what each file was at its last sync: all that a power cut leaves. */
enum { DURABLE_FILES = 8, CUT_WRITERS = 3, CUT_COMMITS = 40, CUTS = 12 };

typedef struct durable_file {
    char path[64];
    uint8_t *data;
    size_t bytes;
} durable_file;

typedef struct open_file {
    void *file;
    char path[64];
} open_file;

static struct cut {
    vs_vfs *memory;
    vs_vfs vfs;
    pthread_mutex_t lock;
    open_file open[32];
    durable_file durable[DURABLE_FILES];
} cut;

enum { CUT_OPEN = sizeof cut.open / sizeof cut.open[0] };

/* The place of an open file; NULL: a free one. */
static open_file *cut_place(const void *file) {
    for (size_t i = 0; i < CUT_OPEN; i++)
        if (cut.open[i].file == file)
            return &cut.open[i];
    abort();
}

static vs_status cut_open(void *ctx, const char *path, uint32_t mode, void **out, char *why) {
    vs_status st = cut.memory->open(ctx, path, mode, out, why);
    if (st != VS_OK)
        return st;
    pthread_mutex_lock(&cut.lock);
    open_file *place = cut_place(NULL);
    place->file = *out;
    snprintf(place->path, sizeof place->path, "%s", path);
    pthread_mutex_unlock(&cut.lock);
    return VS_OK;
}

static void cut_close(void *ctx, void *file) {
    pthread_mutex_lock(&cut.lock);
    cut_place(file)->file = NULL;
    pthread_mutex_unlock(&cut.lock);
    cut.memory->close(ctx, file);
}

static durable_file *cut_durable(const char *path) {
    for (size_t i = 0; i < DURABLE_FILES; i++) {
        durable_file *d = &cut.durable[i];
        if (!d->path[0])
            snprintf(d->path, sizeof d->path, "%s", path);
        if (!strcmp(d->path, path))
            return d;
    }
    abort();
}

static vs_status cut_sync(void *ctx, void *file, char *why) {
    uint64_t size = 0;
    pthread_mutex_lock(&cut.lock);
    durable_file *d = cut_durable(cut_place(file)->path);
    cut.memory->file_size(ctx, file, &size, why);
    free(d->data);
    d->data = malloc((size_t)size + 1);
    if (!d->data)
        abort();
    cut.memory->read(ctx, file, d->data, (size_t)size, 0, &d->bytes, why);
    pthread_mutex_unlock(&cut.lock);
    return VS_OK;
}

static void cut_init(void) {
    memset(&cut, 0, sizeof cut);
    VT_EQ(vs_vfs_memory_create(NULL, &cut.memory), VS_OK);
    pthread_mutex_init(&cut.lock, NULL);
    cut.vfs = *cut.memory;
    cut.vfs.open = cut_open;
    cut.vfs.close = cut_close;
    cut.vfs.sync = cut_sync;
}

static void cut_end(void) {
    vs_vfs_memory_destroy(cut.memory);
    for (int i = 0; i < DURABLE_FILES; i++)
        free(cut.durable[i].data);
    pthread_mutex_destroy(&cut.lock);
}

typedef struct cut_test {
    vs_db *db;
    atomic_int acknowledged[CUT_WRITERS]; /* commits that returned */
    gate done;
} cut_test;

static void commit_and_tell(worker *w) {
    cut_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    for (int i = 1; i <= CUT_COMMITS; i++) {
        write_number(w, c, NULL, (uint64_t)w->number, i);
        atomic_store(&t->acknowledged[w->number], i);
    }
    vs_collection_close(c);
    gate_pass(&t->done);
}

/* The device after a power cut, as a file system of its own. */
static vs_vfs *cut_now(worker *w, cut_test *t, int acknowledged[CUT_WRITERS]) {
    vs_vfs *vfs = NULL;
    char why[VS_VFS_WHY_BYTES];
    for (int i = 0; i < CUT_WRITERS; i++)
        acknowledged[i] = atomic_load(&t->acknowledged[i]);
    JOB_EQ(w, vs_vfs_memory_create(NULL, &vfs), VS_OK);
    pthread_mutex_lock(&cut.lock);
    for (int i = 0; i < DURABLE_FILES && cut.durable[i].path[0]; i++) {
        const durable_file *d = &cut.durable[i];
        void *file = NULL;
        size_t n = 0;
        if (vfs->open(vfs->ctx, d->path, VS_VFS_WRITE | VS_VFS_CREATE, &file, why) != VS_OK)
            abort();
        if (vfs->write(vfs->ctx, file, d->data, d->bytes, 0, &n, why) != VS_OK || n != d->bytes)
            abort();
        vfs->close(vfs->ctx, file);
    }
    pthread_mutex_unlock(&cut.lock);
    return vfs;
}

static void cut_power(worker *w) {
    cut_test *t = w->shared;
    for (int n = 0; n < CUTS; n++) {
        int acknowledged[CUT_WRITERS];
        /* Spread over the run: each cut waits for some more commits. */
        while (atomic_load(&t->acknowledged[0]) < n * CUT_COMMITS / CUTS && !atomic_load(&failures))
            nap();
        vs_vfs *vfs = cut_now(w, t, acknowledged);
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        vs_db *db = NULL;
        options.vfs = vfs;
        options.flags = n % 2 ? VS_OPEN_READONLY : 0;
        if (vs_open("t.vs", &options, &db) != VS_OK)
            worker_fail(w, __LINE__, "after a power cut: %s", vs_errmsg(db));
        vs_collection *c = open_numbers(w, db);
        for (int i = 0; i < CUT_WRITERS; i++)
            JOB_CHECK(w, read_number(w, c, NULL, (uint64_t)i) >= acknowledged[i]);
        vs_collection_close(c);
        JOB_EQ(w, vs_close(db), VS_OK);
        vs_vfs_memory_destroy(vfs);
    }
}

VT_TEST(what_any_thread_was_told_is_durable_survives_a_power_cut_at_any_time) {
    static team t;
    static cut_test test;
    memset(&test, 0, sizeof test);
    cut_init();
    test.db = sample_open(&cut.vfs, "t.vs", VS_OPEN_CREATE);
    make_numbers(test.db);
    for (int i = 0; i < CUT_WRITERS; i++)
        team_add(&t, commit_and_tell, &test);
    team_add(&t, cut_power, &test);
    team_run(&t);
    VT_OK(vs_close(test.db), test.db);
    cut_end();
}

/* ---- waiting for the writer ----------------------------------------------------------------- */

typedef struct wait_test {
    vs_vfs *vfs;
    vs_db *db;
    vs_txn *txn; /* handed from thread to thread */
    gate begun, ended;
    atomic_int inside; /* write transactions open now */
} wait_test;

static void wait_begin(wait_test *t, uint32_t timeout_ms) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    memset(t, 0, sizeof *t);
    VT_EQ(vs_vfs_memory_create(NULL, &t->vfs), VS_OK);
    options.vfs = t->vfs;
    options.flags = VS_OPEN_CREATE;
    options.busy_timeout_ms = timeout_ms;
    VT_OK(vs_open("t.vs", &options, &t->db), t->db);
    make_numbers(t->db);
}

static void wait_end(wait_test *t) {
    VT_OK(vs_close(t->db), t->db);
    vs_vfs_memory_destroy(t->vfs);
}

static void write_alone(worker *w) {
    wait_test *t = w->shared;
    for (int i = 0; i < 60; i++) {
        vs_txn *txn = NULL;
        JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
        JOB_EQ(w, atomic_fetch_add(&t->inside, 1), 0);
        if (i % 8 == 0)
            nap();
        JOB_EQ(w, atomic_fetch_sub(&t->inside, 1), 1);
        if (i % 2)
            vs_rollback(txn);
        else
            JOB_EQ(w, vs_commit(txn, VS_SYNC_FULL), VS_OK);
    }
}

VT_TEST(write_transactions_wait_for_each_other_and_never_overlap) {
    static team t;
    static wait_test test;
    wait_begin(&test, 600000);
    for (int i = 0; i < 6; i++)
        team_add(&t, write_alone, &test);
    team_run(&t);
    wait_end(&test);
}

static void hold_until_ended(worker *w) {
    wait_test *t = w->shared;
    vs_txn *txn = NULL;
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
    gate_pass(&t->begun);
    gate_wait(&t->ended, 1);
    vs_rollback(txn);
}

/* Every call that needs to write, while another thread does. */
static void meet_busy(worker *w) {
    wait_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    vs_collection_options options = sample_options(3, VS_F32, VS_L2);
    vs_txn *txn = NULL;
    float v = 5;
    uint64_t key = 0;
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 1;
    batch.numbers = &key;
    batch.vectors = &v;
    gate_wait(&t->begun, 1);
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_ERR_BUSY);
    JOB_CHECK(w, !txn);
    JOB_CHECK(w, strstr(vs_errmsg(t->db), "t.vs") && strstr(vs_errmsg(t->db), "thread"));
    JOB_EQ(w, sample_try_put(c, NULL, 0, &v, NULL, VS_UPSERT), VS_ERR_BUSY);
    JOB_CHECK(w, vs_errmsg(c)[0]);
    JOB_EQ(w, vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_ERR_BUSY);
    JOB_EQ(w, vs_delete(c, NULL, vs_key_u64(0)), VS_ERR_BUSY);
    JOB_EQ(w, vs_collection_create(t->db, NULL, "x", &options, NULL), VS_ERR_BUSY);
    JOB_EQ(w, vs_kv_put(t->db, NULL, NULL, "k", 1, "v", 1), VS_ERR_BUSY);
    JOB_EQ(w, read_number(w, c, NULL, 0), 0); /* readers need not wait */
    JOB_EQ(w, vs_begin(t->db, VS_TXN_READ, &txn), VS_OK);
    vs_rollback(txn);
    vs_collection_close(c);
    gate_pass(&t->ended);
}

VT_TEST(a_write_transaction_that_lasts_too_long_is_busy_for_others) {
    static team t;
    static wait_test test;
    wait_begin(&test, 15);
    team_add(&t, hold_until_ended, &test);
    team_add(&t, meet_busy, &test);
    team_run(&t);
    wait_end(&test);
}

/* Not less is waited than was asked for; how much more depends on the machine. */
static void wait_in_vain(worker *w) {
    wait_test *t = w->shared;
    vs_txn *txn = NULL;
    gate_wait(&t->begun, 1);
    int64_t start_us = t->vfs->ticks_us(t->vfs->ctx);
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_ERR_BUSY);
    JOB_CHECK(w, t->vfs->ticks_us(t->vfs->ctx) - start_us >= 40000);
    gate_pass(&t->ended);
}

VT_TEST(the_busy_timeout_is_waited_for) {
    static team t;
    static wait_test test;
    wait_begin(&test, 40);
    team_add(&t, hold_until_ended, &test);
    team_add(&t, wait_in_vain, &test);
    team_run(&t);
    wait_end(&test);
}

/* A clock that stands still, until it was asked so often that somebody must be waiting. */
static atomic_int frozen_asked;

static int64_t frozen_ticks_us(void *ctx) {
    (void)ctx;
    return atomic_fetch_add(&frozen_asked, 1) < 200 ? 1 : 1 + (int64_t)3600 * 1000000;
}

VT_TEST(no_wait_is_busy_without_any_time_passing) {
    static team t;
    static wait_test test;
    wait_begin(&test, VS_NO_WAIT);
    test.vfs->ticks_us = frozen_ticks_us;
    atomic_store(&frozen_asked, 0);
    team_add(&t, hold_until_ended, &test);
    team_add(&t, meet_busy, &test);
    team_run(&t);
    VT_CHECK(atomic_load(&frozen_asked) < 200);
    wait_end(&test);
}

/* ---- a handler that is asked whether to wait ------------------------------------------------- */

/* What a busy handler has seen, and what it does. */
typedef struct asked {
    wait_test *test;
    uint32_t give_up_at, end_at; /* at this question: no longer; tell the holder to end */
    uint32_t tries, waited_ms;   /* of the last question */
    bool tries_writing, ends_it; /* calls back; rolls back the transaction it waits for */
    int wrong;
} asked;

/* What writes is refused; what reads works. */
static int call_back(wait_test *t) {
    vs_txn *txn = NULL;
    vs_collection *c = NULL;
    vs_collection_options options = sample_options(3, VS_F32, VS_L2);
    uint64_t problems = 1, left = 0, count = 0;
    float v = 1;
    int wrong = vs_begin(t->db, VS_TXN_WRITE, &txn) != VS_ERR_MISUSE;
    wrong += !strstr(vs_errmsg(t->db), "is asked");
    wrong += vs_kv_put(t->db, NULL, NULL, "k", 1, "v", 1) != VS_ERR_MISUSE;
    wrong += vs_collection_create(t->db, NULL, "x", &options, NULL) != VS_ERR_MISUSE;
    wrong += vs_checkpoint(t->db) != VS_ERR_MISUSE;
    wrong += vs_maintain(t->db, 1000, &left) != VS_OK; /* nothing to do */
    wrong += vs_begin(t->db, VS_TXN_READ, &txn) != VS_OK;
    wrong += vs_collection_open(t->db, txn, "numbers", &c) != VS_OK;
    wrong +=
        vs_put(c, NULL, &(vs_record){.size = sizeof(vs_record), .key = VT_KEY(1), .vector = &v},
               VS_UPSERT) != VS_ERR_MISUSE;
    wrong += vs_count(c, txn, &count) != VS_OK;
    wrong += vs_check(t->db, 3, NULL, NULL, &problems) != VS_OK || problems;
    wrong += vs_sync(t->db) != VS_OK;
    vs_collection_close(c);
    vs_rollback(txn);
    wrong += vs_close(t->db) != VS_ERR_BUSY;
    return wrong;
}

static int ask(void *ctx, uint32_t waited_ms, uint32_t tries) {
    asked *a = ctx;
    a->wrong += tries && (tries != a->tries + 1 || waited_ms < a->waited_ms);
    a->tries = tries;
    a->waited_ms = waited_ms;
    if (a->tries_writing)
        a->wrong += call_back(a->test);
    if (a->ends_it)
        vs_rollback(a->test->txn);
    if (a->end_at && tries == a->end_at)
        gate_pass(&a->test->ended);
    return !(a->give_up_at && tries == a->give_up_at);
}

static void wait_begin_asked(wait_test *t, asked *a, uint32_t timeout_ms) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    memset(t, 0, sizeof *t);
    memset(a, 0, sizeof *a);
    a->test = t;
    VT_EQ(vs_vfs_memory_create(NULL, &t->vfs), VS_OK);
    options.vfs = t->vfs;
    options.flags = VS_OPEN_CREATE;
    options.busy_timeout_ms = timeout_ms;
    options.busy = ask;
    options.busy_ctx = a;
    VT_OK(vs_open("t.vs", &options, &t->db), t->db);
    make_numbers(t->db); /* nothing to wait for: it is not asked */
}

static void begin_in_vain(worker *w) {
    wait_test *t = w->shared;
    vs_txn *txn = NULL;
    gate_wait(&t->begun, 1);
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_ERR_BUSY);
    JOB_CHECK(w, !txn && strstr(vs_errmsg(t->db), "another thread"));
    gate_pass(&t->ended);
}

VT_TEST(a_busy_handler_gives_up_when_it_wants_and_no_timeout_counts) {
    static const uint32_t timeouts_ms[] = {0, 1, 600000, VS_NO_WAIT};
    for (size_t i = 0; i < 4; i++) {
        static team t;
        static wait_test test;
        static asked a;
        uint32_t questions = 1 + 2 * (uint32_t)i;
        wait_begin_asked(&test, &a, timeouts_ms[i]);
        a.tries = UINT32_MAX;
        a.give_up_at = questions;
        team_add(&t, hold_until_ended, &test);
        team_add(&t, begin_in_vain, &test);
        team_run(&t);
        VT_EQ(a.tries, questions);
        VT_CHECK(a.waited_ms >= (1u << questions) - 1); /* 1 ms, 2, 4, ... */
        VT_EQ(a.wrong, 0);
        wait_end(&test);
    }
}

static void begin_when_free(worker *w) {
    wait_test *t = w->shared;
    vs_txn *txn = NULL;
    gate_wait(&t->begun, 1);
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
    JOB_EQ(w, vs_commit(txn, VS_SYNC_FULL), VS_OK);
}

VT_TEST(a_busy_handler_waits_until_the_transaction_has_ended) {
    static team t;
    static wait_test test;
    static asked a;
    wait_begin_asked(&test, &a, VS_NO_WAIT);
    a.end_at = 5;
    team_add(&t, hold_until_ended, &test);
    team_add(&t, begin_when_free, &test);
    team_run(&t);
    VT_CHECK(a.tries >= 5 && a.wrong == 0);
    wait_end(&test);
}

VT_TEST(a_busy_handler_may_read_and_is_refused_what_writes) {
    static team t;
    static wait_test test;
    static asked a;
    wait_begin_asked(&test, &a, 0);
    a.end_at = 3;
    a.tries_writing = true;
    team_add(&t, hold_until_ended, &test);
    team_add(&t, begin_when_free, &test);
    team_run(&t);
    VT_EQ(a.wrong, 0);
    wait_end(&test);
}

/* The holder has left its transaction to the handler. */
static void begin_for_handler(worker *w) {
    wait_test *t = w->shared;
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &t->txn), VS_OK);
    gate_pass(&t->begun);
    gate_wait(&t->ended, 1);
}

static void begin_then_pass(worker *w) {
    begin_when_free(w);
    gate_pass(&((wait_test *)w->shared)->ended);
}

VT_TEST(a_busy_handler_may_end_the_transaction_that_is_waited_for) {
    static team t;
    static wait_test test;
    static asked a;
    wait_begin_asked(&test, &a, 0);
    a.tries = UINT32_MAX;
    a.ends_it = true;
    team_add(&t, begin_for_handler, &test);
    team_add(&t, begin_then_pass, &test);
    team_run(&t);
    VT_EQ(a.tries, 0); /* once is enough: the role is looked at before a pause */
    wait_end(&test);
}

static atomic_int questions;

static int ask_of_many(void *ctx, uint32_t waited_ms, uint32_t tries) {
    vs_txn *txn = NULL;
    vs_db **db = ctx;
    (void)waited_ms;
    (void)tries;
    if (vs_begin(*db, VS_TXN_WRITE, &txn) != VS_ERR_MISUSE ||
        vs_begin(*db, VS_TXN_READ, &txn) != VS_OK)
        abort();
    vs_rollback(txn);
    return atomic_fetch_add(&questions, 1) >= 0;
}

VT_TEST(many_threads_are_asked_at_once_and_all_get_their_turn) {
    static team t;
    static wait_test test;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    memset(&test, 0, sizeof test);
    VT_EQ(vs_vfs_memory_create(NULL, &test.vfs), VS_OK);
    options.vfs = test.vfs;
    options.flags = VS_OPEN_CREATE;
    options.busy = ask_of_many;
    options.busy_ctx = &test.db;
    VT_OK(vs_open("t.vs", &options, &test.db), test.db);
    make_numbers(test.db);
    for (int i = 0; i < 6; i++)
        team_add(&t, write_alone, &test);
    team_run(&t);
    VT_CHECK(atomic_load(&questions) > 0);
    wait_end(&test);
}

VT_TEST(options_of_a_version_without_a_handler_have_none) {
    static team t;
    static wait_test test;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    memset(&test, 0, sizeof test);
    VT_EQ(vs_vfs_memory_create(NULL, &test.vfs), VS_OK);
    options.size = offsetof(vs_open_options, busy);
    options.vfs = test.vfs;
    options.flags = VS_OPEN_CREATE;
    options.busy_timeout_ms = 15;
    options.busy = ask; /* not seen: it would read NULL */
    VT_OK(vs_open("t.vs", &options, &test.db), test.db);
    make_numbers(test.db);
    team_add(&t, hold_until_ended, &test);
    team_add(&t, meet_busy, &test);
    team_run(&t);
    wait_end(&test);
}

/* ---- one transaction per thread ------------------------------------------------------------- */

static void ask_for_two(worker *w) {
    wait_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    vs_collection_options options = sample_options(3, VS_F32, VS_L2);
    vs_txn *txn = NULL, *second = NULL;
    float v = 5;
    uint64_t problems = 0;
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &second), VS_ERR_MISUSE);
    JOB_CHECK(w, !second && strstr(vs_errmsg(t->db), "thread"));
    JOB_EQ(w, sample_try_put(c, NULL, 0, &v, NULL, VS_UPSERT), VS_ERR_MISUSE);
    JOB_CHECK(w, strstr(vs_errmsg(c), "thread"));
    JOB_EQ(w, vs_delete(c, NULL, vs_key_u64(0)), VS_ERR_MISUSE);
    JOB_EQ(w, vs_collection_create(t->db, NULL, "x", &options, NULL), VS_ERR_MISUSE);
    JOB_EQ(w, vs_kv_put(t->db, NULL, NULL, "k", 1, "v", 1), VS_ERR_MISUSE);
    /* What needs no writer goes on. */
    JOB_EQ(w, vs_begin(t->db, VS_TXN_READ, &second), VS_OK);
    vs_rollback(second);
    JOB_EQ(w, vs_sync(t->db), VS_OK);
    JOB_EQ(w, vs_check(t->db, 3, NULL, NULL, &problems), VS_OK);
    JOB_EQ(w, problems, 0);
    JOB_EQ(w, read_number(w, c, NULL, 0), 0);
    write_number(w, c, txn, 0, 7);
    JOB_EQ(w, vs_commit(txn, VS_SYNC_FULL), VS_OK);
    JOB_EQ(w, read_number(w, c, NULL, 0), 7);
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
    vs_rollback(txn);
    vs_collection_close(c);
}

VT_TEST(a_thread_that_holds_a_write_transaction_is_told_at_once_that_it_misuses_another) {
    static team t;
    static wait_test test;
    wait_begin(&test, 3000); /* a wait would end, and be busy */
    team_add(&t, ask_for_two, &test);
    team_run(&t);
    wait_end(&test);
}

static void begin_and_hand_over(worker *w) {
    wait_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &t->txn), VS_OK);
    write_number(w, c, t->txn, 0, 11);
    gate_pass(&t->begun);
    gate_wait(&t->ended, 1);
    JOB_EQ(w, read_number(w, c, NULL, 0), 11);
    JOB_EQ(w, read_number(w, c, NULL, 1), 12);
    /* The role is free again, for this thread too. */
    vs_txn *txn = NULL;
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
    JOB_EQ(w, vs_commit(txn, VS_SYNC_OFF), VS_OK);
    vs_collection_close(c);
}

static void take_over_and_commit(worker *w) {
    wait_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    gate_wait(&t->begun, 1);
    JOB_EQ(w, read_number(w, c, t->txn, 0), 11);
    write_number(w, c, t->txn, 1, 12);
    JOB_EQ(w, vs_commit(t->txn, VS_SYNC_FULL), VS_OK);
    vs_collection_close(c);
    gate_pass(&t->ended);
}

VT_TEST(a_transaction_begun_by_one_thread_is_committed_by_another) {
    static team t;
    static wait_test test;
    wait_begin(&test, 0);
    team_add(&t, begin_and_hand_over, &test);
    team_add(&t, take_over_and_commit, &test);
    team_run(&t);
    wait_end(&test);
}

static void begin_and_leave(worker *w) {
    wait_test *t = w->shared;
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &t->txn), VS_OK);
}

static void find_it_busy(worker *w) {
    wait_test *t = w->shared;
    vs_txn *txn = NULL;
    JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_ERR_BUSY);
}

/* A system may give a new thread the number of one that has ended. */
VT_TEST(a_new_thread_is_not_taken_for_an_ended_one_that_held_a_transaction) {
    static team t;
    static wait_test test;
    wait_begin(&test, VS_NO_WAIT);
    for (int i = 0; i < 8; i++) {
        team_add(&t, begin_and_leave, &test);
        team_run(&t);
        team_add(&t, find_it_busy, &test);
        team_run(&t);
        vs_rollback(test.txn);
    }
    wait_end(&test);
}

/* ---- handles -------------------------------------------------------------------------------- */

static void use_until_ended(worker *w) {
    wait_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    vs_txn *txn = NULL;
    JOB_EQ(w, vs_begin(t->db, VS_TXN_READ, &txn), VS_OK);
    gate_pass(&t->begun);
    do
        JOB_EQ(w, read_number(w, c, txn, 0), 0);
    while (!gate_is_open(&t->ended, 1) && !atomic_load(&failures));
    vs_rollback(txn);
    vs_collection_close(c);
}

static void close_too_early(worker *w) {
    wait_test *t = w->shared;
    gate_wait(&t->begun, 3);
    JOB_EQ(w, vs_close(t->db), VS_ERR_BUSY);
    JOB_CHECK(w, strstr(vs_errmsg(t->db), "3 transactions"));
    JOB_CHECK(w, strstr(vs_errmsg(t->db), "3 collections"));
    JOB_CHECK(w, job_stats(w, t->db).readers >= 3);
    gate_pass(&t->ended);
}

VT_TEST(closing_while_threads_have_handles_is_busy_and_harms_none) {
    static team t;
    static wait_test test;
    wait_begin(&test, 0);
    for (int i = 0; i < 3; i++)
        team_add(&t, use_until_ended, &test);
    team_add(&t, close_too_early, &test);
    team_run(&t);
    VT_EQ(sample_stats(test.db).readers, 0);
    wait_end(&test);
}

static void open_and_close_handles(worker *w) {
    wait_test *t = w->shared;
    for (int i = 0; i < 200; i++) {
        vs_txn *txn = NULL;
        vs_cursor *cursor = NULL;
        vs_collection *c = open_numbers(w, t->db);
        JOB_EQ(w, vs_begin(t->db, VS_TXN_READ, &txn), VS_OK);
        JOB_EQ(w, vs_scan(c, NULL, NULL, &cursor), VS_OK);
        JOB_EQ(w, vs_step(cursor), VS_ROW);
        vs_rollback(txn);
        vs_collection_close(c);
        JOB_EQ(w, vs_step(cursor), VS_ROW);
        vs_cursor_close(cursor);
    }
}

VT_TEST(handles_are_opened_and_closed_by_many_threads_at_once) {
    static team t;
    static wait_test test;
    wait_begin(&test, 0);
    for (int i = 0; i < 6; i++)
        team_add(&t, open_and_close_handles, &test);
    team_run(&t);
    VT_EQ(sample_stats(test.db).readers, 0);
    wait_end(&test);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void fail_alone(worker *w) {
    wait_test *t = w->shared;
    vs_collection *c = open_numbers(w, t->db);
    char expected[40];
    snprintf(expected, sizeof expected, "key %d000", w->number + 1);
    for (int i = 0; i < 300; i++) {
        vs_record r = VS_RECORD_INIT;
        JOB_EQ(w, vs_get(c, NULL, vs_key_u64((uint64_t)(w->number + 1) * 1000), &r),
               VS_ERR_NOT_FOUND);
        JOB_CHECK(w, strstr(vs_errmsg(c), expected));
        JOB_EQ(w, vs_extended_errcode(c), VS_ERR_NOT_FOUND);
    }
    vs_collection_close(c);
}

VT_TEST(a_handle_of_ones_own_keeps_ones_own_message) {
    static team t;
    static wait_test test;
    wait_begin(&test, 0);
    for (int i = 0; i < 4; i++)
        team_add(&t, fail_alone, &test);
    team_run(&t);
    wait_end(&test);
}

static void fail_together(worker *w) {
    wait_test *t = w->shared;
    char name[120];
    memset(name, 'a' + w->number, sizeof name - 1);
    name[sizeof name - 1] = 0;
    for (int i = 0; i < 200; i++) {
        vs_collection *c = NULL;
        JOB_EQ(w, vs_collection_open(t->db, NULL, name, &c), VS_ERR_NOT_FOUND);
    }
}

VT_TEST(threads_that_fail_on_one_handle_leave_one_whole_message) {
    static team t;
    static wait_test test;
    char run[120];
    wait_begin(&test, 0);
    for (int i = 0; i < 4; i++)
        team_add(&t, fail_together, &test);
    team_run(&t);
    const char *quoted = strchr(vs_errmsg(test.db), '\'');
    VT_CHECK(quoted && quoted[1] >= 'a' && quoted[1] < 'a' + 4);
    memset(run, quoted[1], sizeof run - 1);
    run[sizeof run - 1] = 0;
    VT_CHECK(!strncmp(quoted + 1, run, sizeof run - 1) && quoted[sizeof run] == '\'');
    wait_end(&test);
}

/* ---- looking after the database meanwhile --------------------------------------------------- */

static void check_again_and_again(worker *w) {
    pairs_test *t = w->shared;
    int level = 0;
    do {
        uint64_t problems = UINT64_MAX;
        JOB_EQ(w, vs_check(t->db, level, NULL, NULL, &problems), VS_OK);
        JOB_EQ(w, problems, 0);
        level = (level + 1) % 4;
    } while (!is_over(t));
}

static void sync_again_and_again(worker *w) {
    pairs_test *t = w->shared;
    do {
        uint64_t seen = job_stats(w, t->db).lsn;
        JOB_EQ(w, vs_sync(t->db), VS_OK);
        JOB_CHECK(w, job_stats(w, t->db).durable_lsn >= seen);
    } while (!is_over(t));
}

/* Figures that count never go back. */
static void watch_figures(worker *w) {
    pairs_test *t = w->shared;
    vs_stats last = job_stats(w, t->db);
    do {
        vs_stats now = job_stats(w, t->db);
        JOB_CHECK(w, now.lsn >= last.lsn);
        JOB_CHECK(w, now.durable_lsn >= last.durable_lsn);
        JOB_CHECK(w, now.commits >= last.commits);
        JOB_CHECK(w, now.syncs >= last.syncs);
        JOB_CHECK(w, now.log_bytes >= last.log_bytes);
        JOB_EQ(w, now.log_generation, last.log_generation);
        JOB_EQ(w, now.log_takeovers, last.log_takeovers);
        JOB_CHECK(w, !now.readonly_reason[0]);
        last = now;
    } while (!is_over(t));
}

VT_TEST(checking_syncing_and_watching_go_on_beside_writers) {
    static team t;
    static pairs_test test;
    sample s = sample_new();
    make_pairs(s.db, PAIRS);
    test = (pairs_test){.db = s.db, .commits = 60};
    atomic_init(&test.writers, 2);
    team_add(&t, write_pairs, &test);
    team_add(&t, write_pairs, &test);
    team_add(&t, check_again_and_again, &test);
    team_add(&t, sync_again_and_again, &test);
    team_add(&t, watch_figures, &test);
    team_add(&t, read_pairs, &test);
    team_run(&t);
    sample_check(s.db);
    sample_end(&s);
}

/* ---- collections ---------------------------------------------------------------------------- */

enum { CREATED = 15 };

static void create_collections(worker *w) {
    wait_test *t = w->shared;
    vs_collection_options options = sample_options(2, VS_U8, VS_IP);
    for (int i = 0; i < CREATED; i++) {
        char name[40];
        snprintf(name, sizeof name, "c-%d-%d", w->number, i);
        vs_collection *c = NULL;
        JOB_EQ(w, vs_collection_create(t->db, NULL, name, &options, &c), VS_OK);
        uint8_t v[2] = {1, 2};
        JOB_EQ(w, sample_try_put(c, NULL, 1, v, NULL, VS_INSERT), VS_OK);
        vs_collection_close(c);
    }
    gate_pass(&t->ended);
}

/* In a transaction the list holds still and ascends. */
static void list_collections(worker *w) {
    wait_test *t = w->shared;
    size_t last = 0;
    do {
        vs_txn *txn = NULL;
        size_t n[2] = {0, 0};
        JOB_EQ(w, vs_begin(t->db, VS_TXN_READ, &txn), VS_OK);
        for (int round = 0; round < 2; round++) {
            uint32_t id = 0;
            vs_collection_info info = VS_COLLECTION_INFO_INIT;
            while (vs_collection_at(t->db, txn, n[round], &info) == VS_OK) {
                JOB_CHECK(w, info.id > id);
                id = info.id;
                n[round]++;
            }
        }
        JOB_EQ(w, n[0], n[1]);
        JOB_CHECK(w, n[0] >= last);
        last = n[0];
        vs_rollback(txn);
    } while (!gate_is_open(&t->ended, 3) && !atomic_load(&failures));
}

VT_TEST(threads_create_collections_side_by_side_and_each_is_there) {
    static team t;
    static wait_test test;
    wait_begin(&test, 600000);
    for (int i = 0; i < 3; i++)
        team_add(&t, create_collections, &test);
    team_add(&t, list_collections, &test);
    team_run(&t);
    size_t n = 0;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    while (vs_collection_at(test.db, NULL, n, &info) == VS_OK) {
        VT_EQ(info.count, n == 0 ? ORDER_WRITERS + 1 : 1);
        n++;
    }
    VT_EQ(n, 1 + 3 * CREATED);
    wait_end(&test);
}

/* ---- large transactions --------------------------------------------------------------------- */

enum { LARGE_ROWS = 700, LARGE_DIM = 512 }; /* more than 1 MiB: it goes to the log in pieces */

static void write_large(worker *w) {
    pairs_test *t = w->shared;
    vs_collection *c = open_own(w, t->db), *large = NULL;
    float *rows = calloc((size_t)LARGE_ROWS * LARGE_DIM, sizeof *rows);
    JOB_CHECK(w, rows);
    JOB_EQ(w, vs_collection_open(t->db, NULL, "large", &large), VS_OK);
    for (int i = 0; i < t->commits; i++) {
        vs_txn *txn = NULL;
        JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
        JOB_EQ(w, put_half(c, txn, 0, i), VS_OK);
        for (uint64_t key = 0; key < LARGE_ROWS; key++)
            JOB_EQ(w, sample_try_put(large, txn, key, rows + key * LARGE_DIM, NULL, VS_UPSERT),
                   VS_OK);
        JOB_EQ(w, put_half(c, txn, 1, -i), VS_OK);
        if (i % 2)
            vs_rollback(txn);
        else
            JOB_EQ(w, vs_commit(txn, VS_SYNC_FULL), VS_OK);
    }
    free(rows);
    vs_collection_close(large);
    vs_collection_close(c);
    gate_pass(&t->done);
}

VT_TEST(a_transaction_that_is_streamed_to_the_log_stays_unseen_beside_others) {
    static team t;
    static pairs_test test;
    sample s = sample_new();
    make_pairs(s.db, PAIRS);
    vs_collection_close(sample_create(s.db, NULL, "large", LARGE_DIM, VS_F32, VS_L2));
    test = (pairs_test){.db = s.db, .commits = 5};
    atomic_init(&test.writers, 1);
    team_add(&t, write_large, &test);
    team_add(&t, read_pairs, &test);
    team_add(&t, sync_again_and_again, &test);
    team_run(&t);
    sample_check(s.db);
    sample_end(&s);
}

/* ---- file systems shared by databases ------------------------------------------------------- */

static void use_own_database(worker *w) {
    vs_vfs *vfs = w->shared;
    char path[40];
    snprintf(path, sizeof path, "own-%d.vs", w->number);
    for (int round = 0; round < 8; round++) {
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        vs_db *db = NULL;
        vs_collection *c = NULL;
        vs_collection_options shape = sample_options(1, VS_F32, VS_L2);
        options.vfs = vfs;
        options.flags = VS_OPEN_CREATE;
        JOB_EQ(w, vs_open(path, &options, &db), VS_OK);
        if (round == 0)
            JOB_EQ(w, vs_collection_create(db, NULL, "numbers", &shape, &c), VS_OK);
        else
            JOB_EQ(w, vs_collection_open(db, NULL, "numbers", &c), VS_OK);
        for (int i = 0; i < 10; i++)
            write_number(w, c, NULL, (uint64_t)(round * 10 + i), w->number);
        for (int i = 0; i < (round + 1) * 10; i++)
            JOB_EQ(w, read_number(w, c, NULL, (uint64_t)i), w->number);
        vs_collection_close(c);
        JOB_EQ(w, vs_close(db), VS_OK);
    }
}

VT_TEST(databases_of_several_threads_share_one_memory_file_system) {
    static team t;
    vs_vfs *vfs = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    for (int i = 0; i < 6; i++)
        team_add(&t, use_own_database, vfs);
    team_run(&t);
    vs_vfs_memory_destroy(vfs);
}

typedef struct race_test {
    vs_vfs *vfs;
    gate ready, tried, opened;
} race_test;

static void race_to_open(worker *w) {
    race_test *t = w->shared;
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.vfs = t->vfs;
    options.flags = VS_OPEN_CREATE;
    gate_pass(&t->ready);
    gate_wait(&t->ready, 4);
    vs_status st = vs_open("race.vs", &options, &db);
    JOB_CHECK(w, st == VS_OK || st == VS_ERR_BUSY);
    if (st == VS_OK)
        gate_pass(&t->opened);
    gate_pass(&t->tried);
    gate_wait(&t->tried, 4);
    JOB_EQ(w, vs_close(db), VS_OK);
}

VT_TEST(of_threads_that_open_one_file_at_once_exactly_one_gets_it) {
    static team t;
    static race_test test;
    for (int i = 0; i < 20; i++) {
        memset(&test, 0, sizeof test);
        VT_EQ(vs_vfs_memory_create(NULL, &test.vfs), VS_OK);
        for (int j = 0; j < 4; j++)
            team_add(&t, race_to_open, &test);
        team_run(&t);
        VT_EQ(atomic_load(&test.opened.count), 1);
        vs_vfs_memory_destroy(test.vfs);
    }
}

/* ---- checkpoints beside everything else ----------------------------------------------------- */

enum { CK_RECORDS = 60, CK_DIM = 700, CK_ROUNDS = 60, CK_TEXT = 3000 };

typedef struct ck_shared {
    vs_db *db;
    atomic_int is_over;
} ck_shared;

/* Each round writes all records anew: vector and metadata say the round, the metadata is too large for a
 * node of a tree. */
static void ck_write(worker *w) {
    ck_shared *shared = w->shared;
    vs_collection *c = NULL;
    static float vectors[CK_RECORDS * CK_DIM];
    static char text[CK_RECORDS][CK_TEXT];
    const char *texts[CK_RECORDS];
    uint64_t keys[CK_RECORDS];
    JOB_EQ(w, vs_collection_open(shared->db, NULL, "c", &c), VS_OK);
    for (int round = 1; round <= CK_ROUNDS && !atomic_load(&failures); round++) {
        for (int i = 0; i < CK_RECORDS; i++) {
            keys[i] = (uint64_t)i;
            for (int d = 0; d < CK_DIM; d++)
                vectors[i * CK_DIM + d] = (float)(round + i);
            int n = snprintf(text[i], CK_TEXT, "{\"round\":%d,\"pad\":\"", round);
            memset(text[i] + n, 'x', (size_t)(CK_TEXT - n - 3));
            memcpy(text[i] + CK_TEXT - 3, "\"}", 3);
            texts[i] = text[i];
        }
        vs_batch batch = VS_BATCH_INIT;
        batch.count = CK_RECORDS;
        batch.numbers = keys;
        batch.vectors = vectors;
        batch.metadata = texts;
        JOB_EQ(w, vs_put_batch(c, NULL, &batch, VS_UPSERT), VS_OK);
    }
    vs_collection_close(c);
    atomic_store(&shared->is_over, 1);
}

static int ck_round_of(worker *w, const vs_record *record) {
    int round = 0;
    JOB_EQ(w, record->metadata_bytes, CK_TEXT - 1);
    JOB_EQ(w, sscanf(record->metadata, "{\"round\":%d,", &round), 1);
    for (int d = 0; d < CK_DIM; d++)
        JOB_CHECK(w,
                  ((const float *)record->vector)[d] == (float)(round + (int)record->key.number));
    return round;
}

/* In one snapshot all records are of one round, however many checkpoints are made meanwhile. */
static void ck_read(worker *w) {
    ck_shared *shared = w->shared;
    vs_collection *c = NULL;
    JOB_EQ(w, vs_collection_open(shared->db, NULL, "c", &c), VS_OK);
    while (!atomic_load(&shared->is_over) && !atomic_load(&failures)) {
        vs_txn *txn = NULL;
        vs_cursor *cursor = NULL;
        int round = -1, count = 0;
        vs_status st = VS_OK;
        JOB_EQ(w, vs_begin(shared->db, VS_TXN_READ, &txn), VS_OK);
        JOB_EQ(w, vs_scan(c, txn, NULL, &cursor), VS_OK);
        for (st = vs_step(cursor); st == VS_ROW; st = vs_step(cursor), count++) {
            vs_record record = VS_RECORD_INIT;
            JOB_EQ(w, vs_cursor_record(cursor, &record), VS_OK);
            int found = ck_round_of(w, &record);
            JOB_CHECK(w, round < 0 || found == round);
            round = found;
        }
        JOB_EQ(w, st, VS_DONE);
        JOB_CHECK(w, count == 0 || count == CK_RECORDS);
        vs_cursor_close(cursor);
        vs_rollback(txn);
    }
    vs_collection_close(c);
}

static void ck_checkpoint(worker *w) {
    ck_shared *shared = w->shared;
    do {
        JOB_EQ(w, vs_checkpoint(shared->db), VS_OK);
        nap();
    } while (!atomic_load(&shared->is_over) && !atomic_load(&failures));
}

static void ck_check(worker *w) {
    ck_shared *shared = w->shared;
    while (!atomic_load(&shared->is_over) && !atomic_load(&failures)) {
        uint64_t problems = 0;
        JOB_EQ(w, vs_check(shared->db, 3, NULL, NULL, &problems), VS_OK);
        JOB_EQ(w, problems, 0);
        nap();
    }
}

/* Opened anew, so that readers bring in what they need from the file while it changes. */
VT_TEST(readers_writer_checks_and_checkpoints_run_at_once) {
    for (int session = 0; session < 3; session++) {
        static sample s;
        ck_shared shared = {.db = NULL};
        team t = {.count = 0};
        if (session == 0) {
            vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
            s = sample_new();
            options.dim = CK_DIM;
            VT_OK(vs_collection_create(s.db, NULL, "c", &options, NULL), s.db);
        } else {
            sample_reopen(&s);
        }
        shared.db = s.db;
        team_add(&t, ck_write, &shared);
        team_add(&t, ck_read, &shared);
        team_add(&t, ck_read, &shared);
        team_add(&t, ck_checkpoint, &shared);
        team_add(&t, ck_check, &shared);
        team_run(&t);
        vs_stats stats = VS_STATS_INIT;
        VT_OK(vs_stats_get(s.db, &stats), s.db);
        VT_CHECK(session == 0 || stats.checkpoint > (uint64_t)session);
        if (session == 2)
            sample_end(&s);
    }
}

/* ---- little memory -------------------------------------------------------------------------- */

/* Commit r rewrites the records whose key leaves the same remainder as r, and two notes; so what a
 * snapshot must show follows from the number of its commit. The database is several times larger than
 * its limit: nodes and slabs leave memory, come back, and are written early, all the time. */
enum { TIGHT_RECORDS = 1200, TIGHT_DIM = 150, TIGHT_GROUPS = 8, TIGHT_LIMIT = 256 << 10 };
enum { TIGHT_NOTE_MAX = 70000, TIGHT_COMMITS = 40, TIGHT_K = 4 };

typedef struct tight_test {
    vs_db *db;
    int commits;
    atomic_int committed; /* the number of the last commit that returned */
    gate done;            /* passed by the writer */
} tight_test;

static bool tight_is_over(tight_test *t) {
    return gate_is_open(&t->done, 1) || atomic_load(&failures);
}

/* The commit that wrote a record last, as of commit r. */
static int tight_round(uint64_t key, int r) {
    int group = (int)(key % TIGHT_GROUPS),
        ago = ((r - group) % TIGHT_GROUPS + TIGHT_GROUPS) % TIGHT_GROUPS;
    return r - ago > 0 ? r - ago : 0;
}

static void tight_vector(uint64_t key, int round, float v[TIGHT_DIM]) {
    uint64_t mixed = 0;
    for (int d = 0; d < TIGHT_DIM; d++) {
        mixed = d % 8 ? mixed >> 8 : vt_mix(key * 7919 + (uint64_t)round * 104729 + (uint64_t)d);
        v[d] = (float)(mixed & 255);
    }
}

static size_t tight_text(uint64_t key, int round, char text[2000]) {
    size_t bytes = key % 5 ? 20 : key % 50 ? 300 : 1800;
    memset(text, 'a' + (int)(key + (uint64_t)round) % 26, bytes);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + bytes - 2, "\"}", 3);
    return bytes;
}

static size_t tight_note(int round, uint8_t value[TIGHT_NOTE_MAX]) {
    size_t bytes = 1000 + (size_t)(vt_mix((uint64_t)round) % (TIGHT_NOTE_MAX - 1000));
    memset(value, round, bytes);
    return bytes;
}

static vs_status tight_put(vs_collection *c, vs_txn *txn, uint64_t key, int round) {
    float v[TIGHT_DIM];
    char text[2000];
    tight_vector(key, round, v);
    tight_text(key, round, text);
    return sample_try_put(c, txn, key, v, text, VS_UPSERT);
}

static bool tight_is_record(const vs_record *r, uint64_t key, int round) {
    float v[TIGHT_DIM];
    char text[2000];
    tight_vector(key, round, v);
    size_t bytes = tight_text(key, round, text);
    return r->key.number == key && !memcmp(r->vector, v, sizeof v) && r->metadata_bytes == bytes &&
           !memcmp(r->metadata, text, bytes);
}

static vs_status tight_put_notes(vs_db *db, vs_txn *txn, int round) {
    uint8_t value[TIGHT_NOTE_MAX];
    size_t bytes = tight_note(round, value);
    vs_status st = vs_kv_put(db, txn, NULL, "large", 5, value, bytes);
    return st == VS_OK ? vs_kv_put(db, txn, NULL, "round", 5, &round, sizeof round) : st;
}

static int tight_get_round(worker *w, vs_db *db, vs_txn *txn) {
    int round = -1;
    size_t bytes = 0;
    JOB_EQ(w, vs_kv_get(db, txn, NULL, "round", 5, &round, sizeof round, &bytes), VS_OK);
    JOB_EQ(w, bytes, sizeof round);
    return round;
}

static vs_collection *tight_open(worker *w, vs_db *db) {
    vs_collection *c = NULL;
    JOB_EQ(w, vs_collection_open(db, NULL, "tight", &c), VS_OK);
    return c;
}

/* A transaction that leaves nothing: more changes than memory has room for, and a collection. */
static void tight_noise(worker *w, vs_db *db, vs_collection *c) {
    vs_txn *txn = NULL;
    vs_collection *other = NULL;
    vs_collection_options options = sample_options(TIGHT_DIM, VS_F32, VS_IP);
    JOB_EQ(w, vs_begin(db, VS_TXN_WRITE, &txn), VS_OK);
    JOB_EQ(w, vs_collection_create(db, txn, "noise", &options, &other), VS_OK);
    for (uint64_t i = 0; i < TIGHT_RECORDS / 2; i++)
        JOB_EQ(w, tight_put(i % 2 ? c : other, txn, vt_below(&w->rng, 2 * TIGHT_RECORDS), -7),
               VS_OK);
    JOB_EQ(w, tight_put_notes(db, txn, 99), VS_OK);
    vs_rollback(txn);
    vs_collection_close(other);
}

static void tight_write(worker *w) {
    tight_test *t = w->shared;
    vs_collection *c = tight_open(w, t->db);
    for (int round = 1; round <= t->commits; round++) {
        vs_txn *txn = NULL;
        if (round % 6 == 0)
            tight_noise(w, t->db, c);
        JOB_EQ(w, vs_begin(t->db, VS_TXN_WRITE, &txn), VS_OK);
        for (uint64_t key = 0; key < TIGHT_RECORDS; key++)
            if (key % TIGHT_GROUPS == (uint64_t)round % TIGHT_GROUPS)
                JOB_EQ(w, tight_put(c, txn, key, round), VS_OK);
        JOB_EQ(w, tight_put_notes(t->db, txn, round), VS_OK);
        JOB_EQ(w, vs_commit(txn, round % 3 ? VS_SYNC_OFF : VS_SYNC_FULL), VS_OK);
        atomic_store(&t->committed, round);
    }
    vs_collection_close(c);
    gate_pass(&t->done);
}

static void tight_check_gets(worker *w, vs_collection *c, vs_txn *txn, int round) {
    for (int i = 0; i < 40; i++) {
        vs_record r = VS_RECORD_INIT;
        uint64_t key = vt_below(&w->rng, TIGHT_RECORDS);
        JOB_EQ(w, vs_get(c, txn, vs_key_u64(key), &r), VS_OK);
        JOB_CHECK(w, tight_is_record(&r, key, tight_round(key, round)));
    }
}

/* The vector of one of its records is found at no distance; all hits are at theirs. */
static void tight_check_search(worker *w, vs_collection *c, vs_txn *txn, int round) {
    float query[TIGHT_DIM], v[TIGHT_DIM];
    vs_hit hits[TIGHT_K];
    size_t n = 0;
    uint64_t key = vt_below(&w->rng, TIGHT_RECORDS);
    tight_vector(key, tight_round(key, round), query);
    JOB_EQ(w, vs_search(c, txn, query, 0, TIGHT_K, NULL, hits, &n), VS_OK);
    JOB_EQ(w, n, TIGHT_K);
    JOB_EQ(w, hits[0].key.number, key);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        tight_vector(hits[i].key.number, tight_round(hits[i].key.number, round), v);
        for (int d = 0; d < TIGHT_DIM; d++)
            sum += ((double)v[d] - (double)query[d]) * ((double)v[d] - (double)query[d]);
        JOB_CHECK(w, hits[i].distance == sum); /* whole numbers below 2^24 */
        JOB_CHECK(w, i == 0 || hits[i - 1].distance <= hits[i].distance);
    }
}

static void tight_check_notes(worker *w, vs_db *db, vs_txn *txn, int round) {
    uint8_t value[TIGHT_NOTE_MAX], expected[TIGHT_NOTE_MAX];
    size_t bytes = 0;
    JOB_EQ(w, tight_get_round(w, db, txn), round);
    JOB_EQ(w, vs_kv_get(db, txn, NULL, "large", 5, value, sizeof value, &bytes), VS_OK);
    JOB_EQ(w, bytes, tight_note(round, expected));
    JOB_CHECK(w, !memcmp(value, expected, bytes));
}

/* Moves a cursor of a snapshot over some records, or to its end: count 0. */
static void tight_check_cursor(worker *w, vs_cursor *cursor, uint64_t *at, uint64_t count,
                               int round) {
    uint64_t end = count && *at + count < TIGHT_RECORDS ? *at + count : TIGHT_RECORDS;
    for (; *at < end; ++*at) {
        vs_record r = VS_RECORD_INIT;
        JOB_EQ(w, vs_step(cursor), VS_ROW);
        JOB_EQ(w, vs_cursor_record(cursor, &r), VS_OK);
        JOB_CHECK(w, tight_is_record(&r, *at, tight_round(*at, round)));
    }
    if (end == TIGHT_RECORDS)
        JOB_EQ(w, vs_step(cursor), VS_DONE);
}

/* Keeps a snapshot and two cursors for a while; one of them goes on when the snapshot has ended. */
static void tight_read(worker *w) {
    tight_test *t = w->shared;
    vs_collection *c = tight_open(w, t->db);
    do {
        vs_txn *txn = NULL;
        vs_cursor *first = NULL, *second = NULL;
        uint64_t first_at = 0, second_at = TIGHT_RECORDS / 2, looks = 1 + vt_below(&w->rng, 6);
        int least = atomic_load(&t->committed);
        JOB_EQ(w, vs_begin(t->db, VS_TXN_READ, &txn), VS_OK);
        int round = tight_get_round(w, t->db, txn);
        JOB_CHECK(w, round >= least);
        JOB_EQ(w, vs_scan(c, txn, VT_FROM(first_at), &first), VS_OK);
        JOB_EQ(w, vs_scan(c, txn, VT_FROM(second_at), &second), VS_OK);
        for (uint64_t i = 0; i < looks; i++) {
            tight_check_cursor(w, first, &first_at, 30, round);
            tight_check_gets(w, c, txn, round);
            tight_check_search(w, c, txn, round);
            tight_check_notes(w, t->db, txn, round);
            tight_check_cursor(w, second, &second_at, 7, round);
        }
        vs_cursor_close(second);
        vs_rollback(txn);
        tight_check_cursor(w, first, &first_at, 0, round);
        vs_cursor_close(first);
    } while (!tight_is_over(t));
    vs_collection_close(c);
}

/* Each call by itself: any commit may come in between. */
static void tight_read_singly(worker *w) {
    tight_test *t = w->shared;
    vs_collection *c = tight_open(w, t->db);
    do {
        vs_record r = VS_RECORD_INIT;
        uint64_t key = vt_below(&w->rng, TIGHT_RECORDS);
        int least = tight_round(key, atomic_load(&t->committed)), found = -1;
        JOB_EQ(w, vs_get(c, NULL, vs_key_u64(key), &r), VS_OK);
        for (int round = least; round <= t->commits && found < 0; round += TIGHT_GROUPS)
            found = tight_is_record(&r, key, tight_round(key, round)) ? round : -1;
        JOB_CHECK(w, found >= 0);
        JOB_CHECK(w, tight_get_round(w, t->db, NULL) >= least);
    } while (!tight_is_over(t));
    vs_collection_close(c);
}

static void tight_look_after(worker *w) {
    tight_test *t = w->shared;
    do {
        uint64_t problems = 1;
        vs_status st = vs_checkpoint(t->db);
        JOB_CHECK(w, st == VS_OK || st == VS_ERR_BUSY);
        JOB_EQ(w, vs_check(t->db, 3, NULL, NULL, &problems), VS_OK);
        JOB_EQ(w, problems, 0);
        vs_stats stats = job_stats(w, t->db);
        JOB_CHECK(w, stats.memory_limit == TIGHT_LIMIT);
        nap();
    } while (!tight_is_over(t));
}

static vs_db *tight_open_db(const vs_vfs *vfs, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.vfs = vfs;
    options.flags = flags;
    options.memory_limit = TIGHT_LIMIT;
    options.busy_timeout_ms = 60000;
    VT_OK(vs_open("t.vs", &options, &db), db);
    return db;
}

/* With codes, so that these come and go as well. */
static void tight_make(vs_db *db) {
    vs_collection_options shape = sample_options(TIGHT_DIM, VS_F32, VS_L2);
    vs_collection *c = NULL;
    shape.index = "flat(codes=rq4)";
    VT_OK(vs_collection_create(db, NULL, "tight", &shape, &c), db);
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    for (uint64_t key = 0; key < TIGHT_RECORDS; key++)
        VT_OK(tight_put(c, txn, key, 0), c);
    VT_OK(tight_put_notes(db, txn, 0), txn);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
    vs_collection_close(c);
}

static void run_tight(int readers, int single_readers, bool is_looked_after) {
    static team t;
    static tight_test test;
    sample s = {NULL, NULL};
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    s.db = tight_open_db(s.vfs, VS_OPEN_CREATE);
    tight_make(s.db);
    memset(&test, 0, sizeof test);
    test.db = s.db;
    test.commits = TIGHT_COMMITS;
    team_add(&t, tight_write, &test);
    for (int i = 0; i < readers; i++)
        team_add(&t, tight_read, &test);
    for (int i = 0; i < single_readers; i++)
        team_add(&t, tight_read_singly, &test);
    if (is_looked_after)
        team_add(&t, tight_look_after, &test);
    team_run(&t);
    VT_EQ(sample_stats(s.db).readers, 0);
    sample_check(s.db);
    VT_OK(vs_close(s.db), s.db);
    s.db = tight_open_db(s.vfs, 0); /* and all of it once more */
    test.db = s.db;
    team_add(&t, tight_read, &test);
    team_run(&t);
    VT_EQ(atomic_load(&test.committed), TIGHT_COMMITS);
    sample_end(&s);
}

VT_TEST(with_little_memory_readers_beside_a_writer_see_what_their_snapshots_must_show) {
    run_tight(3, 2, false);
}

VT_TEST(with_little_memory_checkpoints_and_checks_beside_all_of_them_disturb_nobody) {
    run_tight(2, 1, true);
}
