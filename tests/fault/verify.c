/* verify.c - the recovery invariants. */
#include "verify.h"

#define VERIFY_PATH "t.vs"

typedef struct verifier {
    const wl_run *run;
    int floor, last;
    uint64_t seed;
    char *problem;
    size_t problem_bytes;
    uint64_t digest[2];
    uint64_t fingerprint;
    int state;
    uint64_t problems; /* that vs_check reported and that count */
    bool is_spare_torn_allowed;
} verifier;

static bool refuse(verifier *v, const char *where, const char *what) {
    snprintf(v->problem, v->problem_bytes, "%s: %s", where, what);
    return false;
}

static void keep_problem(void *ctx, const char *problem) {
    verifier *v = ctx;
    if (v->is_spare_torn_allowed && strstr(problem, "meta pages is damaged"))
        return;
    v->problems++;
    snprintf(v->problem, v->problem_bytes, "check: %s", problem);
}

static vs_db *open_on(sim *s, uint32_t flags, vs_status *out_status, verifier *v,
                      const char *where) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = flags | (v->seed % 2 ? VS_OPEN_MMAP : 0);
    options.vfs = sim_vfs(s);
    *out_status = vs_open(VERIFY_PATH, &options, &db);
    if (*out_status == VS_OK)
        return db;
    char text[600];
    snprintf(text, sizeof text, "open returned %s: %s", vs_status_name(*out_status), vs_errmsg(db));
    refuse(v, where, text);
    vs_close(db);
    return NULL;
}

/* State and digest of an open database, and what vs_check says. */
static bool look(verifier *v, vs_db *db, const char *where, uint64_t *fingerprint,
                 uint64_t digest[2]) {
    vs_stats stats = VS_STATS_INIT;
    uint64_t problems = 0;
    if (!wl_read_fingerprint(db, fingerprint))
        return refuse(v, where, "the content cannot be read");
    if (vs_stats_get(db, &stats) != VS_OK)
        return refuse(v, where, "no statistics");
    digest[0] = stats.digest[0];
    digest[1] = stats.digest[1];
    if (vs_check(db, 3, keep_problem, v, &problems) != VS_OK)
        return refuse(v, where, vs_errmsg(db));
    return v->problems == 0; /* keep_problem has said which */
}

/* v: a read-only open shows the state and writes nothing. */
static bool verify_readonly(verifier *v, const sim_image *image) {
    sim_image copy = sim_image_copy(image);
    sim_file *data = sim_image_find(&copy, VERIFY_PATH);
    bool has_database = false; /* creation may not have got far: that is the empty initial state */
    for (size_t i = 0; data && i < data->bytes && i < 8; i++)
        has_database = has_database || data->data[i];
    for (size_t i = 65536; data && i < data->bytes; i++)
        has_database = has_database || data->data[i];
    sim *s = sim_new(v->seed, &copy);
    vs_status st = VS_OK;
    uint64_t fingerprint = 0, digest[2];
    v->is_spare_torn_allowed = true; /* only an open for writing repairs it */
    vs_db *db = open_on(s, VS_OPEN_READONLY, &st, v, "read-only");
    bool is_new = v->floor == 0 && (st == VS_ERR_NOT_FOUND || st == VS_ERR_NOT_DB);
    bool ok = db ? look(v, db, "read-only", &fingerprint, digest) : is_new;
    if (ok && db && (fingerprint != v->fingerprint || memcmp(digest, v->digest, sizeof digest)))
        ok = refuse(v, "read-only", "shows another state than a writing open");
    if (ok && sim_write_count(s) > 0)
        ok = refuse(v, "read-only", "something was written");
    if (db && vs_close(db) != VS_OK)
        ok = refuse(v, "read-only", "close failed");
    if (is_new && ok)
        v->problem[0] = 0;
    v->is_spare_torn_allowed = false;
    sim_free(s);
    return ok;
}

/* i - iv */
static bool verify_state(verifier *v, sim *s, const char *where) {
    vs_status st = VS_OK;
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st, v, where);
    if (!db)
        return false;
    uint64_t fingerprint = 0, digest[2] = {0};
    bool ok = look(v, db, where, &fingerprint, digest);
    if (vs_close(db) != VS_OK)
        ok = refuse(v, where, "close failed");
    if (!ok)
        return false;
    if (v->state < 0) {
        v->fingerprint = fingerprint;
        memcpy(v->digest, digest, sizeof digest);
        v->state = wl_match(v->run, fingerprint, v->floor, v->last);
        return v->state >= 0 || refuse(v, where,
                                       "shows a state that never was, that was refused, "
                                       "or that is older than the last durable one");
    }
    if (fingerprint != v->fingerprint || memcmp(digest, v->digest, sizeof digest))
        return refuse(v, where, "shows another state than the first recovery");
    return true;
}

/* vi: one more commit, and a power cut that loses everything not synced. */
static bool verify_goes_on(verifier *v, sim *s) {
    vs_status st = VS_OK;
    size_t before = sim_op_count(s);
    bool has_tokens = true;
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st, v, "going on");
    if (!db)
        return false;
    st = wl_compare_tokens(db, &v->run->state[v->state].model, &has_tokens);
    if (st != VS_OK || !has_tokens) {
        vs_close(db);
        return refuse(v, "going on", "other tokens are known than were committed");
    }
    char value[24] = "one more";
    st = vs_kv_put(db, NULL, NULL, "extra", 5, value, sizeof value);
    if (st != VS_OK)
        refuse(v, "going on", vs_errmsg(db));
    (void)before;
    sim_player *player = sim_player_new(s);
    sim_player_seek(player, sim_op_count(s));
    sim_image image = sim_player_crash(player, SIM_DROP_ALL, v->seed);
    sim_player_free(player);
    if (vs_close(db) != VS_OK)
        st = VS_ERR_IO;
    if (st != VS_OK) {
        sim_image_free(&image);
        return refuse(v, "going on", "a commit or close after recovery failed");
    }
    sim *after = sim_new(v->seed + 1, &image);
    uint64_t fingerprint = 0, digest[2];
    size_t bytes = 0;
    db = open_on(after, 0, &st, v, "after going on");
    bool ok = db && look(v, db, "after going on", &fingerprint, digest);
    if (ok && (vs_kv_get(db, NULL, NULL, "extra", 5, value, sizeof value, &bytes) != VS_OK ||
               fingerprint != v->fingerprint))
        ok = refuse(v, "after going on", "the commit made after recovery is lost");
    vs_close(db);
    sim_free(after);
    return ok;
}

/* vii: only the database and log files up to the current one. */
static bool verify_files(verifier *v, const sim *s, uint64_t generation) {
    sim_image image = sim_image_now(s);
    bool ok = true;
    for (int i = 0; i < image.count; i++) {
        unsigned long long n = 0;
        const char *path = image.file[i].path;
        bool is_data = !strcmp(path, VERIFY_PATH);
        bool is_log = sscanf(path, VERIFY_PATH "-wal-%llu", &n) == 1 && n >= 1 && n <= generation;
        if (!is_data && !is_log)
            ok = refuse(v, "files left over", path);
    }
    sim_image_free(&image);
    return ok;
}

static uint64_t generation_of(sim *s) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    vs_stats stats = VS_STATS_INIT;
    options.vfs = sim_vfs(s);
    if (vs_open(VERIFY_PATH, &options, &db) == VS_OK && vs_stats_get(db, &stats) != VS_OK)
        stats.log_generation = 0;
    vs_close(db);
    return stats.log_generation;
}

bool verify_image(const sim_image *image, const wl_run *run, int floor, int last, uint64_t seed,
                  char *problem, size_t problem_bytes, int *out_state) {
    verifier v = {.run = run,
                  .floor = floor,
                  .last = last,
                  .seed = seed,
                  .problem = problem,
                  .problem_bytes = problem_bytes,
                  .state = -1};
    sim_image copy = sim_image_copy(image);
    sim *s = sim_new(seed, &copy);
    problem[0] = 0;
    bool ok = verify_state(&v, s, "first recovery") && verify_state(&v, s, "second recovery");
    ok = ok && verify_readonly(&v, image);
    ok = ok && verify_goes_on(&v, s);
    ok = ok && verify_files(&v, s, generation_of(s));
    sim_free(s);
    if (out_state)
        *out_state = v.state;
    if (!ok && !problem[0])
        snprintf(problem, problem_bytes, "failed without a reason");
    return ok;
}
