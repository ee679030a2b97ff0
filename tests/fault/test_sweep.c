/* test_sweep.c - one session on a database that is larger than the programs of the campaigns: trees of
 * several levels, many slabs, large values, two checkpoints and logs behind them. Every call of the file
 * system and every allocation of it fails, once and for ever. Whatever fails, an answer is right or an
 * error, and what the next session finds is the content before or after the step that failed.
 *
 * Some hundred points of each session are tried, with VT_LONG=1 ten times as many. */
#include "logfile.h"
#include "sim.h"
#include "vt.h"

#define SWEEP_PATH "t.vs"

enum {
    KEYS = 700,
    DIM = 48,
    NOTES = 8,
    STEPS = 10,
    PAGE_BYTES = 4096,
    POINTS_MAX = 100, /* of each way to fail */
    POINTS_SMALL_MEMORY = 25,
    TEXT_BYTES = 3000
};

/* How the session before ended, and what happened to its files since. */
enum { CLOSED, KILLED, LOST_CATALOG, LOST_FREE_LIST, LOST_BOTH, ENDS };

typedef struct session {
    sim *s;
    vt_allocator allocator;
    vs_db *db;
    vs_collection *coll;
    uint64_t digest[STEPS + 1][2]; /* after so many steps, without a fault */
    int done;                      /* steps that succeeded */
} session;

/* ---- content -------------------------------------------------------------------------------- */

static void fill_vector(float out[DIM], uint64_t key, uint32_t round) {
    for (int i = 0; i < DIM; i++)
        out[i] = (float)(vt_mix(key * DIM + (uint64_t)i + round * 1000003u) % 2001) - 1000.0f;
}

/* A JSON object of so many bytes, or a little more. */
static size_t fill_text(char out[TEXT_BYTES + 32], uint64_t key, size_t bytes) {
    int n = snprintf(out, 24, "{\"k\":\"%u", (unsigned)key);
    memset(out + n, 'a' + (int)(key % 26), bytes);
    memcpy(out + (size_t)n + bytes, "\"}", 3);
    return (size_t)n + bytes + 2;
}

static size_t text_bytes_of(uint64_t key) {
    return key % 97 == 0 ? TEXT_BYTES : 30 + key % 90;
}

static vs_status put_one(vs_collection *coll, vs_txn *txn, uint64_t key, uint32_t round) {
    float vector[DIM];
    char text[TEXT_BYTES + 32];
    fill_vector(vector, key, round);
    size_t bytes = fill_text(text, key + round, text_bytes_of(key));
    vs_record record = VS_RECORD_INIT;
    record.key.number = key;
    record.vector = vector;
    record.metadata = text;
    record.metadata_bytes = bytes;
    return vs_put(coll, txn, &record, VS_UPSERT);
}

static vs_status put_range(session *s, uint64_t from, uint64_t to, uint64_t step, uint32_t round) {
    vs_txn *txn = NULL;
    vs_status st = vs_begin(s->db, VS_TXN_WRITE, &txn);
    for (uint64_t key = from; st == VS_OK && key < to; key += step)
        st = put_one(s->coll, txn, key, round);
    if (st == VS_OK)
        return vs_commit(txn, VS_SYNC_FULL);
    vs_rollback(txn);
    return st;
}

static vs_status delete_range(session *s, uint64_t from, uint64_t to) {
    vs_txn *txn = NULL;
    vs_status st = vs_begin(s->db, VS_TXN_WRITE, &txn);
    for (uint64_t key = from; st == VS_OK && key < to; key++) {
        st = vs_delete(s->coll, txn, vs_key_u64(key));
        st = st == VS_ERR_NOT_FOUND ? VS_OK : st;
    }
    if (st == VS_OK)
        return vs_commit(txn, VS_SYNC_FULL);
    vs_rollback(txn);
    return st;
}

static vs_status put_notes(session *s, uint64_t seed) {
    char text[TEXT_BYTES + 32];
    vs_status st = VS_OK;
    for (uint64_t i = 0; st == VS_OK && i < NOTES; i++) {
        size_t bytes = fill_text(text, seed + i, i % 2 ? TEXT_BYTES : 20);
        st = vs_kv_put(s->db, NULL, i < 4 ? s->coll : NULL, &i, sizeof i, text,
                       i == seed % NOTES ? 0 : bytes);
    }
    return st;
}

/* ---- opening and looking -------------------------------------------------------------------- */

static vs_status open_session(session *s, uint64_t memory_limit) {
    vs_allocator hook = {&s->allocator, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.flags = VS_OPEN_CREATE;
    options.vfs = sim_vfs(s->s);
    options.allocator = &hook;
    options.memory_limit = memory_limit;
    vs_status st = vs_open(SWEEP_PATH, &options, &s->db);
    return st == VS_OK ? vs_collection_open(s->db, NULL, "c", &s->coll) : st;
}

static vs_status close_session(session *s) {
    vs_collection_close(s->coll);
    vs_status st = vs_close(s->db);
    s->coll = NULL;
    s->db = NULL;
    return st;
}

static void read_digest(vs_db *db, uint64_t out[2]) {
    vs_stats stats = VS_STATS_INIT;
    VT_OK(vs_stats_get(db, &stats), db);
    memcpy(out, stats.digest, sizeof stats.digest);
}

/* Vectors and metadata of some records, by key: whole numbers, and text of their own key. */
static vs_status read_some(session *s) {
    vs_status st = VS_OK;
    for (uint64_t key = 0; key < KEYS && (st == VS_OK || st == VS_ERR_NOT_FOUND); key += 41) {
        vs_record record = VS_RECORD_INIT;
        st = vs_get(s->coll, NULL, vs_key_u64(key), &record);
        if (st != VS_OK)
            continue;
        VT_EQ(record.key.number, key);
        VT_CHECK(record.metadata_bytes >= text_bytes_of(key) && record.metadata[0] == '{');
        const float *vector = record.vector;
        for (int i = 0; i < DIM; i++)
            VT_CHECK(vector[i] >= -1000.0f && vector[i] <= 1000.0f);
    }
    return st == VS_ERR_NOT_FOUND ? VS_OK : st;
}

/* Every record is met once, in order, and as often as the count says. */
static vs_status scan_all(session *s) {
    vs_cursor *cursor = NULL;
    uint64_t count = 0, seen = 0, last = 0;
    vs_status st = vs_count(s->coll, NULL, &count);
    if (st == VS_OK)
        st = vs_scan(s->coll, NULL, NULL, &cursor);
    while (st == VS_OK && (st = vs_step(cursor)) == VS_ROW) {
        vs_record record = VS_RECORD_INIT;
        st = vs_cursor_record(cursor, &record);
        VT_CHECK(st != VS_OK || !seen || record.key.number > last);
        last = record.key.number;
        seen += st == VS_OK;
    }
    vs_cursor_close(cursor);
    VT_CHECK(st != VS_DONE || seen == count);
    return st == VS_DONE ? VS_OK : st;
}

static vs_status search_some(session *s) {
    float query[DIM];
    vs_hit hits[5];
    size_t n = 0;
    fill_vector(query, 3, 9);
    vs_status st = vs_search(s->coll, NULL, query, VS_F32, 5, NULL, hits, &n);
    for (size_t i = 1; st == VS_OK && i < n; i++)
        VT_CHECK(hits[i - 1].distance <= hits[i].distance);
    return st;
}

/* ---- the session ---------------------------------------------------------------------------- */

static void ignore_problem(void *ctx, const char *problem) {
    (void)ctx;
    (void)problem;
}

static vs_status check_all(session *s, bool is_damaged) {
    uint64_t problems = 0;
    vs_status st = vs_check(s->db, 3, ignore_problem, NULL, &problems);
    VT_CHECK(st != VS_OK || is_damaged || !problems);
    return st;
}

/* A collection that is rolled back after much was put into it. */
static vs_status roll_back(session *s) {
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *coll = NULL;
    vs_txn *txn = NULL;
    options.dim = DIM;
    vs_status st = vs_begin(s->db, VS_TXN_WRITE, &txn);
    if (st == VS_OK)
        st = vs_collection_create(s->db, txn, "gone", &options, &coll);
    for (uint64_t key = 0; st == VS_OK && key < 150; key++)
        st = put_one(coll, txn, key, 4);
    for (uint64_t key = 0; st == VS_OK && key < 100; key++)
        st = put_one(s->coll, txn, key, 4);
    vs_collection_close(coll);
    vs_rollback(txn);
    return st;
}

/* Step number at of the session, on what the one before left. */
static vs_status take_step(session *s, int at, uint64_t memory_limit, bool is_damaged) {
    switch (at) {
    case 0:
        return open_session(s, memory_limit);
    case 1:
        return read_some(s);
    case 2:
        return put_range(s, 5, KEYS, 17, 6);
    case 3:
        return delete_range(s, 100, 320);
    case 4:
        return vs_checkpoint(s->db);
    case 5:
        return roll_back(s);
    case 6:
        return scan_all(s);
    case 7:
        return put_range(s, 60, 200, 3, 7);
    case 8:
        return search_some(s);
    default:
        return check_all(s, is_damaged);
    }
}

static void run_session(session *s, uint64_t memory_limit, bool is_damaged, bool notes_digests) {
    vs_status st = VS_OK;
    for (s->done = 0; st == VS_OK && s->done < STEPS; s->done += st == VS_OK) {
        st = take_step(s, s->done, memory_limit, is_damaged);
        if (st == VS_OK && notes_digests)
            read_digest(s->db, s->digest[s->done]);
    }
}

/* ---- the databases -------------------------------------------------------------------------- */

/* A page that the newer meta page names: byte off of its last checkpoint has the reference. */
static void damage_page(sim_image *image, size_t ref_off) {
    sim_file *file = sim_image_find(image, SWEEP_PATH);
    const uint8_t *a = file->data, *b = file->data + LF_META_B_OFF;
    const uint8_t *meta = lf_get_u64(b + 64) > lf_get_u64(a + 64) ? b : a;
    uint64_t page = lf_get_u64(meta + 128 + ref_off) & (((uint64_t)1 << 40) - 1);
    VT_CHECK(page >= 32 && (page + 1) * PAGE_BYTES <= file->bytes);
    file->data[page * PAGE_BYTES + 100] ^= 4;
}

static sim_image make_image(int how) {
    session s = {.s = sim_new(7, NULL)};
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = DIM;
    VT_EQ(open_session(&s, 0), VS_ERR_NOT_FOUND);
    VT_OK(vs_collection_create(s.db, NULL, "c", &options, &s.coll), s.db);
    VT_OK(put_range(&s, 0, KEYS, 1, 1), s.db);
    VT_OK(put_notes(&s, 1), s.db);
    VT_OK(vs_checkpoint(s.db), s.db);
    VT_OK(put_range(&s, 0, KEYS, 5, 2), s.db);
    VT_OK(delete_range(&s, 330, 420), s.db);
    VT_OK(vs_checkpoint(s.db), s.db);
    VT_OK(put_notes(&s, 2), s.db);
    VT_OK(put_range(&s, 2, 500, 11, 3), s.db);
    if (how == CLOSED)
        VT_OK(close_session(&s), s.db);
    sim_image image = sim_image_now(s.s);
    if (how != CLOSED)
        (void)close_session(&s); /* not of the image */
    sim_free(s.s);
    if (how == LOST_CATALOG || how == LOST_BOTH)
        damage_page(&image, 64);
    if (how == LOST_FREE_LIST || how == LOST_BOTH)
        damage_page(&image, 88);
    return image;
}

/* ---- the sweep ------------------------------------------------------------------------------ */

typedef struct sweep {
    sim_image image;
    uint64_t memory_limit;
    bool is_damaged;
    uint64_t digest[STEPS + 1][2];
    uint64_t calls, allocations; /* of the session, its end not counted */
} sweep;

/* What the next session finds: the content after as many steps as succeeded, or the one that failed too. */
static void verify(const sweep *w, const session *before, const char *where) {
    sim_image now = sim_image_now(before->s);
    session s = {.s = sim_new(9, &now)};
    uint64_t digest[2], problems = 0;
    int last = before->done < STEPS ? before->done : STEPS - 1;
    if (open_session(&s, 0) != VS_OK)
        vt_fail(__FILE__, __LINE__, "%s: %s", where, vs_errmsg(s.db));
    read_digest(s.db, digest);
    bool is_known = false;
    for (int i = last > 0 ? last - 1 : 0; i <= last; i++)
        is_known = is_known || !memcmp(digest, w->digest[i], sizeof digest);
    if (!is_known)
        vt_fail(__FILE__, __LINE__, "%s: after %d steps the content is another", where,
                before->done);
    VT_OK(vs_check(s.db, 3, ignore_problem, NULL, &problems), s.db);
    if (problems && !w->is_damaged)
        vt_fail(__FILE__, __LINE__, "%s: %d problems", where, (int)problems);
    VT_OK(put_range(&s, 0, 50, 1, 8), s.db);
    VT_OK(close_session(&s), s.db);
    VT_EQ(open_session(&s, 0), VS_OK); /* what was damaged is not needed any more */
    VT_OK(vs_check(s.db, 3, ignore_problem, NULL, &problems), s.db);
    VT_EQ(problems, 0);
    VT_OK(close_session(&s), s.db);
    VT_EQ(s.allocator.live_blocks, 0);
    sim_free(s.s);
}

/* One session in which call number `call`, or allocation number `allocation`, fails. */
static void run_one(const sweep *w, uint64_t call, uint64_t allocation, bool for_ever) {
    char where[120];
    sim_image image = sim_image_copy(&w->image);
    session s = {.s = sim_new(8, &image)};
    snprintf(where, sizeof where, "call %u, allocation %u%s", (unsigned)call, (unsigned)allocation,
             for_ever ? ", for ever" : "");
    s.allocator.fail_at = allocation;
    s.allocator.fails_for_ever = for_ever;
    if (call)
        sim_set_fault(s.s, SIM_FAULT_IO, call, for_ever);
    run_session(&s, w->memory_limit, w->is_damaged, false);
    (void)close_session(&s); /* it may fail as well */
    if (s.allocator.live_blocks)
        vt_fail(__FILE__, __LINE__, "%s: memory was leaked", where);
    sim_set_fault(s.s, SIM_FAULT_NONE, 0, false);
    sim_drop_locks(s.s);
    verify(w, &s, where);
    sim_free(s.s);
}

/* The session without a fault: how much there is to fail, and what it leaves. */
static void rehearse(sweep *w) {
    sim_image image = sim_image_copy(&w->image);
    session s = {.s = sim_new(8, &image)};
    sim_set_fault(s.s, SIM_FAULT_IO, UINT64_MAX, false);
    run_session(&s, w->memory_limit, w->is_damaged, true);
    VT_EQ(s.done, STEPS);
    VT_OK(close_session(&s), s.db);
    w->calls = sim_fault_calls(s.s);
    w->allocations = s.allocator.calls;
    memcpy(w->digest, s.digest, sizeof w->digest);
    sim_free(s.s);
}

static void sweep_all(int how, uint64_t memory_limit) {
    sweep w = {
        .image = make_image(how), .memory_limit = memory_limit, .is_damaged = how >= LOST_CATALOG};
    rehearse(&w);
    uint64_t most =
        memory_limit ? POINTS_SMALL_MEMORY : POINTS_MAX; /* where all is read again and again */
    most *= getenv("VT_LONG") ? 10 : 1;
    most /= getenv("VT_BRIEF") ? 10 : 1; /* emulators, sanitizers */
    for (int way = 0; way < 4; way++) {
        uint64_t points = way < 2 ? w.calls : w.allocations;
        uint64_t step = points / most + 1;
        for (uint64_t at = 1 + (uint64_t)way % step; at <= points; at += step)
            run_one(&w, way < 2 ? at : 0, way < 2 ? 0 : at, way % 2);
    }
    if (getenv("VT_VERBOSE"))
        fprintf(stderr, "  %u calls, %u allocations\n", (unsigned)w.calls, (unsigned)w.allocations);
    sim_image_free(&w.image);
}

VT_TEST(a_session_on_a_closed_database_survives_every_failure) {
    sweep_all(CLOSED, 0);
}

VT_TEST(a_session_that_recovers_a_log_survives_every_failure) {
    sweep_all(KILLED, 0);
}

VT_TEST(a_session_beyond_the_memory_limit_survives_every_failure) {
    sweep_all(KILLED, 1);
}

VT_TEST(a_session_that_goes_back_to_the_checkpoint_before_survives_every_failure) {
    sweep_all(LOST_CATALOG, 0);
}

VT_TEST(a_session_that_goes_back_beyond_the_memory_limit_survives_every_failure) {
    sweep_all(LOST_BOTH, 1);
}

VT_TEST(a_session_that_makes_the_list_of_free_pages_anew_survives_every_failure) {
    sweep_all(LOST_FREE_LIST, 0);
}
