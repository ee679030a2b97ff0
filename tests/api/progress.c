/* progress.c - long calls: what their host is told, and how they are ended before they are done. */
#include "sample.h"

enum { DIM = 128, RECORDS = 3000, LOOK_US = 12000, REPORT_US = 10000 };

/* A clock that goes on with each look at it, so that a call is asked about as often in every run. */
static struct { int64_t us, step_us; } fake;

static int64_t fake_ticks(void *ctx) {
    (void)ctx;
    return fake.us += fake.step_us;
}

/* What a host hears, and when it ends a call. */
typedef struct host {
    vs_vfs *memory;
    vs_vfs vfs;
    vs_db *db;
    uint64_t asked;   /* how often, in the last call */
    uint64_t stop_at; /* the question that is answered with no; 0: none */
    bool interrupts;  /* by vs_interrupt in place of an answer */
    const char *what; /* of the last question */
    uint64_t done, total;
    uint64_t falls;   /* how often less was done than before; of one call never */
    char heard[1000]; /* each what that came, in order */
} host;

static int host_told(void *ctx, const vs_progress *progress) {
    host *h = ctx;
    bool goes_on = h->what && !strcmp(h->what, progress->what);
    if (!goes_on) {
        size_t n = strlen(h->heard);
        snprintf(h->heard + n, sizeof h->heard - n, "%s;", progress->what);
    }
    h->falls += goes_on && progress->done < h->done;
    VT_CHECK(!progress->total || progress->done <= progress->total);
    h->what = progress->what;
    h->done = progress->done;
    h->total = progress->total;
    if (++h->asked != h->stop_at)
        return 0;
    if (!h->interrupts)
        return 1;
    VT_EQ(vs_interrupt(h->db), VS_OK);
    return 0;
}

/* For the next call. */
static void host_expect(host *h, uint64_t stop_at) {
    h->asked = 0;
    h->stop_at = stop_at;
    h->what = NULL;
    h->done = h->total = h->falls = 0;
    h->heard[0] = 0;
}

static vs_open_options host_options(host *h, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    h->vfs = *h->memory;
    h->vfs.ticks_us = fake_ticks;
    options.vfs = &h->vfs;
    options.flags = flags;
    options.progress = host_told;
    options.progress_ctx = h;
    return options;
}

static void host_open(host *h, uint32_t flags) {
    vs_open_options options = host_options(h, flags);
    host_expect(h, 0);
    VT_OK(vs_open("t.vs", &options, &h->db), h->db);
}

static void host_begin(host *h) {
    memset(h, 0, sizeof *h);
    fake.step_us = LOOK_US;
    VT_EQ(vs_vfs_memory_create(NULL, &h->memory), VS_OK);
    host_open(h, VS_OPEN_CREATE);
}

static void host_end(host *h) {
    host_expect(h, 0);
    VT_OK(vs_close(h->db), h->db);
    vs_vfs_memory_destroy(h->memory);
}

/* A batch of n records from a number on. */
typedef struct rows {
    uint64_t numbers[RECORDS];
    float vectors[RECORDS][DIM];
    vs_batch batch;
} rows;

static const vs_batch *make_rows(rows *r, uint64_t from, size_t n) {
    const vs_batch empty = VS_BATCH_INIT;
    for (size_t i = 0; i < n; i++) {
        r->numbers[i] = from + i;
        for (int k = 0; k < DIM; k++)
            r->vectors[i][k] = (float)((from + i) * 7 % 13 + (uint64_t)k);
    }
    r->batch = empty;
    r->batch.count = n;
    r->batch.numbers = r->numbers;
    r->batch.vectors = r->vectors;
    return &r->batch;
}

static rows some_rows;

static vs_collection *host_fill(host *h) {
    vs_collection *c = sample_create(h->db, NULL, "c", DIM, VS_F32, VS_L2);
    VT_OK(vs_put_batch(c, NULL, make_rows(&some_rows, 0, RECORDS), VS_INSERT), c);
    return c;
}

/* ---- searches ------------------------------------------------------------------------------- */

enum { K = 10, QUERIES = 3 };

static const float queries[QUERIES][DIM] = {{1}, {2}, {3}};

static vs_status search_somehow(vs_collection *c, int kind, vs_hit *hits, size_t *counts) {
    uint64_t total = 0;
    vs_cursor *cursor = NULL;
    switch (kind) {
    case 0:
        return vs_search(c, NULL, queries[0], 0, K, NULL, hits, counts);
    case 1:
        return vs_search_batch(c, NULL, queries, 0, 0, QUERIES, K, NULL, hits, counts);
    case 2:
        return vs_search_radius(c, NULL, queries[0], 0, 100, NULL, K, hits, counts, &total);
    case 3:
        return vs_search_key(c, NULL, vs_key_u64(7), K, NULL, hits, counts);
    default:
        VT_OK(vs_search_open(c, NULL, queries[0], 0, NULL, &cursor), c);
        vs_status st = vs_step(cursor);
        if (st != VS_ROW)
            VT_CHECK(*vs_errmsg(cursor));
        *counts = st == VS_ROW;
        vs_cursor_close(cursor);
        return st == VS_ROW ? VS_OK : st;
    }
}

VT_TEST(searches_tell_how_many_rows_they_have_seen_and_end_when_they_are_told_to) {
    host h;
    host_begin(&h);
    vs_collection *c = host_fill(&h);
    for (int kind = 0; kind < 5; kind++) {
        vs_hit hits[QUERIES * K], first[QUERIES * K];
        size_t counts[QUERIES] = {0};
        host_expect(&h, 0);
        VT_OK(search_somehow(c, kind, first, counts), c);
        uint64_t asked = h.asked;
        VT_CHECK(asked > 5);
        VT_STR(h.heard, "rows searched;");
        VT_EQ(h.total, kind == 1 ? QUERIES * RECORDS : RECORDS);
        VT_CHECK(h.done > h.total / 2);
        VT_EQ(h.falls, 0);
        for (uint64_t at = 1; at <= asked; at++)
            for (int how = 0; how < 2; how++) {
                size_t n = counts[0] = 77;
                host_expect(&h, at);
                h.interrupts = how;
                vs_status st = search_somehow(c, kind, hits, counts);
                bool may_miss = how && at == asked; /* nobody looks any more */
                VT_CHECK(st == VS_ERR_INTERRUPTED || (may_miss && st == VS_OK));
                VT_CHECK(kind == 1 || kind == 4 || st == VS_OK || counts[0] == n);
                VT_EQ(h.asked, at);
            }
        h.interrupts = false;
        host_expect(&h, 0);
        VT_OK(search_somehow(c, kind, hits, counts), c);
        VT_EQ(h.asked, asked);
        VT_CHECK(kind == 4 || !memcmp(hits, first, counts[0] * sizeof *hits));
    }
    vs_collection_close(c);
    host_end(&h);
}

/* Its tiles are read for one query after the other, and each may take as long as all of them in a search of one. */
VT_TEST(a_batch_asks_for_each_query_as_often_as_a_search_of_one) {
    host h;
    vs_hit hits[QUERIES * K];
    size_t counts[QUERIES];
    host_begin(&h);
    vs_collection *c = host_fill(&h);
    host_expect(&h, 0);
    VT_OK(search_somehow(c, 0, hits, counts), c);
    uint64_t asked = h.asked;
    host_expect(&h, 0);
    VT_OK(search_somehow(c, 1, hits, counts), c);
    VT_CHECK(h.asked >= QUERIES * (asked - 1));
    vs_collection_close(c);
    host_end(&h);
}

/* ---- changes and reads ---------------------------------------------------------------------- */

VT_TEST(a_batch_that_is_ended_leaves_nothing) {
    host h;
    host_begin(&h);
    vs_collection *c = host_fill(&h);
    uint64_t numbers[RECORDS], asked = 0;
    for (int how = 0; how < 2; how++)
        for (uint64_t at = 1; at < 900; at += at < 5 ? 1 : 301) {
            h.interrupts = how;
            host_expect(&h, at);
            VT_EQ(vs_put_batch(c, NULL, make_rows(&some_rows, RECORDS, 2500), VS_UPSERT),
                  VS_ERR_INTERRUPTED);
            VT_STR(h.heard, "records put;");
            VT_EQ(h.total, 2500);
            VT_EQ(sample_count(c, NULL), RECORDS);
            some_rows.batch.numbers = NULL;
            host_expect(&h, at);
            VT_EQ(vs_append_batch(c, NULL, &some_rows.batch, numbers), VS_ERR_INTERRUPTED);
            vs_txn *txn = sample_begin(h.db, VS_TXN_WRITE);
            sample_put(c, txn, 1000000, queries[0], NULL);
            some_rows.batch.numbers = some_rows.numbers;
            host_expect(&h, at);
            VT_EQ(vs_put_batch(c, txn, &some_rows.batch, VS_UPSERT), VS_ERR_INTERRUPTED);
            VT_EQ(sample_count(c, txn), RECORDS + 1); /* what came before it stays */
            vs_rollback(txn);
        }
    h.interrupts = false;
    host_expect(&h, 0);
    VT_OK(vs_put_batch(c, NULL, &some_rows.batch, VS_INSERT), c);
    asked = h.asked;
    VT_CHECK(asked > 600 && h.falls == 0);
    VT_EQ(sample_count(c, NULL), RECORDS + 2500);
    sample_check(h.db);
    vs_collection_close(c);
    host_end(&h);
}

VT_TEST(deletes_and_reads_of_many_keys_are_ended_too) {
    host h;
    static vs_key keys[RECORDS];
    static float vectors[RECORDS][DIM];
    uint64_t deleted = 77;
    host_begin(&h);
    vs_collection *c = host_fill(&h);
    for (uint64_t i = 0; i < RECORDS; i++)
        keys[i] = vs_key_u64(i);
    for (uint64_t at = 1; at < 800; at += 133) {
        host_expect(&h, at);
        VT_EQ(vs_delete_batch(c, NULL, keys, RECORDS, &deleted), VS_ERR_INTERRUPTED);
        VT_STR(h.heard, "records deleted;");
        VT_EQ(sample_count(c, NULL), RECORDS);
        VT_EQ(deleted, 77);
        host_expect(&h, at);
        VT_EQ(vs_get_vectors(c, NULL, 0, keys, RECORDS, vectors, 0, NULL), VS_ERR_INTERRUPTED);
        VT_STR(h.heard, "vectors read;");
        VT_EQ(h.total, RECORDS);
    }
    host_expect(&h, 0);
    VT_OK(vs_get_vectors(c, NULL, 0, keys, RECORDS, vectors, 0, NULL), c);
    VT_OK(vs_delete_batch(c, NULL, keys, RECORDS, &deleted), c);
    VT_EQ(deleted, RECORDS);
    vs_collection_close(c);
    host_end(&h);
}

/* ---- checks --------------------------------------------------------------------------------- */

VT_TEST(a_check_goes_through_the_log_the_pages_and_the_records_and_can_be_ended) {
    host h;
    host_begin(&h);
    vs_collection *c = host_fill(&h);
    VT_OK(vs_checkpoint(h.db), h.db);
    for (uint64_t key = 0; key < 20; key++)
        sample_put(c, NULL, key, queries[1], NULL);
    for (int level = 0; level <= 3; level++) {
        uint64_t problems = 77;
        host_expect(&h, 0);
        VT_OK(vs_check(h.db, level, NULL, NULL, &problems), h.db);
        VT_EQ(problems, 0);
        uint64_t asked = h.asked;
        VT_STR(h.heard, level == 0   ? ""
                        : level == 1 ? "bytes of log checked;"
                        : level == 2 ? "bytes of log checked;pages checked;"
                                     : "bytes of log checked;pages checked;records checked;");
        for (uint64_t at = 1; at <= asked; at++) {
            problems = 77;
            host_expect(&h, at);
            h.interrupts = at % 2;
            vs_status st = vs_check(h.db, level, NULL, NULL, &problems);
            bool may_miss = h.interrupts && at == asked;
            VT_CHECK(st == VS_ERR_INTERRUPTED || (may_miss && st == VS_OK));
            VT_CHECK(st == VS_OK || problems == 77);
            h.interrupts = false;
        }
    }
    vs_collection_close(c);
    host_end(&h);
}

/* ---- checkpoints ---------------------------------------------------------------------------- */

static void check_killed(const host *h, vs_stats before) {
    sample s = {h->memory, NULL};
    sample copy = sample_after_kill(&s);
    vs_stats stats = sample_stats(copy.db);
    VT_CHECK(!memcmp(stats.digest, before.digest, sizeof stats.digest));
    sample_check(copy.db);
    sample_end(&copy);
}

VT_TEST(a_checkpoint_that_is_ended_leaves_everything_as_it_was) {
    host h;
    uint64_t at = 1;
    host_begin(&h);
    vs_collection *c = host_fill(&h);
    VT_OK(vs_checkpoint(h.db), h.db);
    for (int round = 0; round < 2; round++) { /* of one that has another before it, too */
        VT_OK(vs_put_batch(c, NULL, make_rows(&some_rows, 100, 1500), VS_UPSERT), c);
        vs_stats before = sample_stats(h.db);
        for (at = 1; at < 10000; at++) {
            host_expect(&h, at);
            h.interrupts = at % 2;
            vs_status st = vs_checkpoint(h.db);
            h.interrupts = false;
            VT_EQ(h.falls, 0);
            host_expect(&h, 0);
            if (st == VS_OK)
                break;
            VT_EQ(st, VS_ERR_INTERRUPTED);
            vs_stats stats = sample_stats(h.db);
            VT_EQ(stats.checkpoint, before.checkpoint);
            VT_CHECK(!memcmp(stats.digest, before.digest, sizeof stats.digest));
            VT_EQ(*stats.readonly_reason, 0);
            sample_check(h.db);
            check_killed(&h, stats);
            if (at % 3 == 0) { /* and writing goes on */
                sample_put(c, NULL, 50 + at, queries[2], NULL);
                before = sample_stats(h.db);
            }
        }
        VT_CHECK(at > 4);
        VT_EQ(sample_stats(h.db).checkpoint, before.checkpoint + 1);
        check_killed(&h, sample_stats(h.db));
        sample_check(h.db);
    }
    vs_collection_close(c);
    host_end(&h);
}

VT_TEST(closing_goes_on_without_the_checkpoint_that_is_ended) {
    for (uint64_t at = 1; at < 8; at++) {
        host h;
        host_begin(&h);
        vs_collection *c = host_fill(&h);
        uint64_t digest = sample_stats(h.db).digest[0];
        vs_collection_close(c);
        host_expect(&h, at);
        VT_OK(vs_close(h.db), h.db);
        VT_STR(h.heard, "bytes written;");
        VT_EQ(h.asked, at); /* it was not asked again */
        host_open(&h, 0);
        VT_EQ(sample_stats(h.db).digest[0], digest);
        VT_CHECK(sample_stats(h.db).recovered_txns > 0);
        sample_check(h.db);
        host_end(&h);
    }
}

VT_TEST(a_commit_stays_when_the_checkpoint_behind_it_is_ended) {
    enum { LARGE = 16384, PIECES = 320, HALF_BYTES = 9 << 20 }; /* of log, that asks for one */
    static uint8_t vector[LARGE * 4];
    host h;
    uint64_t n = 0, left = 0;
    host_begin(&h);
    vs_collection *c = sample_create(h.db, NULL, "c", LARGE, VS_F32, VS_L2);
    fake.step_us = REPORT_US; /* asked whenever something is written */
    while (sample_stats(h.db).log_bytes < HALF_BYTES)
        sample_put(c, NULL, n++, vector, NULL);
    host_expect(&h, 1);
    VT_EQ(vs_maintain(h.db, 0, &left), VS_ERR_INTERRUPTED);
    VT_STR(h.heard, "bytes written;");
    host_expect(&h, 0);
    VT_OK(vs_maintain(h.db, 0, &left), h.db);
    bool was_ended = false;
    for (; n < 3 * PIECES && !was_ended; n++) {
        host_expect(&h, 1);
        sample_put(c, NULL, n, vector, NULL);
        was_ended = h.asked > 0;
        VT_CHECK(h.asked <= 1);
    }
    VT_CHECK(was_ended);
    VT_EQ(sample_count(c, NULL), n);
    vs_collection_close(c);
    sample_check(h.db);
    host_end(&h);
}

/* ---- opening -------------------------------------------------------------------------------- */

VT_TEST(an_open_that_is_ended_changes_nothing_and_the_next_one_recovers_all) {
    host h;
    host_begin(&h);
    vs_collection *c = host_fill(&h);
    for (uint64_t key = 0; key < 100; key++)
        sample_put(c, NULL, key, queries[0], NULL);
    uint64_t digest = sample_stats(h.db).digest[0], asked = 0;
    sample s = {h.memory, h.db};
    for (uint64_t at = 1; at == 1 || at < asked; at += 7) {
        host other = {.memory = NULL};
        sample copy = sample_after_kill(&s);
        sample_check(copy.db); /* it writes nothing, but the close does: another copy */
        sample_end(&copy);
        VT_EQ(vs_vfs_memory_create(NULL, &other.memory), VS_OK);
        VT_CHECK(sample_copy_file(h.memory, other.memory, "t.vs"));
        VT_CHECK(sample_copy_file(h.memory, other.memory, "t.vs-wal-1"));
        vs_open_options options = host_options(&other, 0);
        host_expect(&other, at);
        VT_EQ(vs_open("t.vs", &options, &other.db), VS_ERR_INTERRUPTED);
        VT_CONTAINS(vs_errmsg(other.db), "ended");
        VT_EQ(vs_extended_errcode(other.db), VS_ERR_INTERRUPTED);
        VT_OK(vs_close(other.db), other.db);
        host_open(&other, 0);
        VT_STR(other.heard, "bytes of log recovered;");
        VT_CHECK(other.total > sizeof some_rows.vectors && other.done > other.total / 2);
        asked = other.asked;
        VT_EQ(sample_stats(other.db).digest[0], digest);
        sample_check(other.db);
        host_end(&other);
    }
    vs_collection_close(c);
    host_end(&h);
}

/* ---- timeouts ------------------------------------------------------------------------------- */

VT_TEST(a_timeout_of_the_database_holds_for_calls_that_have_none_of_their_own) {
    static float vectors[RECORDS][DIM];
    static vs_key keys[RECORDS];
    host h;
    vs_hit hits[QUERIES * K];
    size_t counts[QUERIES];
    uint64_t problems = 77, deleted = 77;
    host_begin(&h);
    vs_collection *c = host_fill(&h);
    for (uint64_t i = 0; i < RECORDS; i++)
        keys[i] = vs_key_u64(i);
    VT_EQ(vs_set_timeout(NULL, 1), VS_ERR_MISUSE);
    VT_OK(vs_set_timeout(h.db, 5 * LOOK_US / 1000), h.db);
    for (int kind = 0; kind < 5; kind++)
        VT_EQ(search_somehow(c, kind, hits, counts), VS_ERR_TIMEOUT);
    VT_EQ(vs_put_batch(c, NULL, make_rows(&some_rows, 0, RECORDS), VS_UPSERT), VS_ERR_TIMEOUT);
    VT_CONTAINS(vs_errmsg(c), "longer than it may");
    VT_EQ(vs_delete_batch(c, NULL, keys, RECORDS, &deleted), VS_ERR_TIMEOUT);
    VT_EQ(vs_get_vectors(c, NULL, 0, keys, RECORDS, vectors, 0, NULL), VS_ERR_TIMEOUT);
    VT_EQ(vs_check(h.db, 3, NULL, NULL, &problems), VS_ERR_TIMEOUT);
    VT_CHECK(problems == 77 && deleted == 77);
    VT_OK(vs_checkpoint(h.db), h.db); /* not concerned */
    VT_OK(vs_put_batch(c, NULL, make_rows(&some_rows, 0, 2), VS_UPSERT), c);
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    options.timeout_ms = VS_NO_TIMEOUT;
    VT_OK(vs_search(c, NULL, queries[0], 0, K, &options, hits, counts), c);
    options.timeout_ms = 100000;
    VT_OK(vs_search(c, NULL, queries[0], 0, K, &options, hits, counts), c);
    options.timeout_ms = 0;
    VT_EQ(vs_search(c, NULL, queries[0], 0, K, &options, hits, counts), VS_ERR_TIMEOUT);
    VT_OK(vs_set_timeout(h.db, 0), h.db);
    VT_OK(vs_search(c, NULL, queries[0], 0, K, &options, hits, counts), c);
    VT_OK(vs_check(h.db, 3, NULL, NULL, &problems), h.db);
    VT_EQ(problems, 0);
    VT_EQ(sample_count(c, NULL), RECORDS);
    vs_collection_close(c);
    host_end(&h);
}

VT_TEST(who_sets_nothing_is_told_nothing_and_never_ended) {
    sample s = sample_new();
    vs_hit hits[QUERIES * K];
    size_t counts[QUERIES];
    host h = {.memory = s.vfs, .db = s.db};
    vs_collection *c = host_fill(&h);
    for (int kind = 0; kind < 5; kind++)
        VT_OK(search_somehow(c, kind, hits, counts), c);
    VT_EQ(vs_interrupt(s.db), VS_OK); /* before all these */
    VT_OK(vs_put_batch(c, NULL, make_rows(&some_rows, 0, RECORDS), VS_UPSERT), c);
    VT_OK(vs_checkpoint(s.db), s.db);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}
