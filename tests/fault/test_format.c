/* test_format.c - the golden files: every build and every platform reads them, and writes the same.
 *
 * tests/format/0.4/closed holds a database as a clean close leaves it, tests/format/0.4/killed one as a
 * killed session leaves it: behind checkpoints, with its logs, tests/format/0.4/trailers one of a clean
 * close whose extents have trailers, tests/format/0.4/payloads one of a killed session with payloads in its
 * checkpoint and in its logs; each with its digest. They are written by the programs below.
 * VT_WRITE_GOLDEN=1 writes them anew; until 1.0 that is allowed when the format or a program changes. */
#include "logfile.h"
#include "verify.h"

#define GOLDEN "tests/format/0.4/"

enum { GOLDEN_FILES_MAX = 64 };

/* How the program ends, and the folder of what it leaves. */
enum { CLOSED, KILLED, TRAILERS, PAYLOADS, ENDS };
#ifdef VS_OMIT_ZSTD
enum { ENDS_READ = PAYLOADS }; /* those have compressed values */
#else
enum { ENDS_READ = ENDS };
#endif
static const char *const folders[ENDS] = {"closed", "killed", "trailers", "payloads"};

static bool is_killed(int end) {
    return end == KILLED || end == PAYLOADS;
}

static const char *golden_path(int end, const char *name) {
    static char path[4][256];
    static int next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], GOLDEN "%s/%s", folders[end], name);
    return out;
}

/* Three sessions: one that ends properly, one that is killed, and one that ends as asked, behind two
 * checkpoints at least. */
static sim_image run_program(int end) {
    const uint64_t seed =
        end == PAYLOADS ? 12 : 2026; /* 12: large payloads in checkpoint and log */
    sim *s = sim_new(seed, NULL);
    wl_run run;
    workload w = *wl_find(end == PAYLOADS ? "payloads" : "transactions");
    w.has_no_codes = true;
    w.reopen = w.kill = w.checkpoint = 0; /* sessions and checkpoints are the loop's below */
    wl_init(&run, &w, s, seed, NULL);
    run.options.trailer_bytes = end == TRAILERS ? 40 : 0;
    run.options.vfs = sim_vfs(s);
    run.options.progress = NULL; /* nobody ends its calls */
    for (int session = 0; session < 3; session++) {
        vs_stats stats = VS_STATS_INIT;
        VT_CHECK(wl_open(&run));
        for (int part = 0; part < 3; part++) {
            VT_CHECK(wl_steps(&run, end == PAYLOADS ? 20 : 14));
            if (part < 2)
                VT_OK(vs_checkpoint(run.db), run.db);
        }
        VT_OK(vs_stats_get(run.db, &stats), run.db);
        VT_CHECK(stats.checkpoints >= 2 && stats.log_bytes > LF_HEADER_BYTES);
        if (session == 1 || (session == 2 && is_killed(end)))
            wl_kill(&run);
        else
            VT_CHECK(wl_close(&run));
    }
    VT_STR(run.problem, "");
    sim_image image = sim_image_now(s);
    wl_free(&run);
    sim_free(s);
    return image;
}

static vs_stats look_at(const sim_image *image, uint64_t *fingerprint) {
    sim_image copy = sim_image_copy(image);
    sim *s = sim_new(1, &copy);
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    vs_stats stats = VS_STATS_INIT;
    uint64_t problems = 0;
    options.flags = VS_OPEN_READONLY;
    options.vfs = sim_vfs(s);
    VT_OK(vs_open("t.vs", &options, &db), db);
    VT_OK(vs_stats_get(db, &stats), db);
    VT_OK(vs_check(db, 3, NULL, NULL, &problems), db);
    VT_EQ(problems, 0);
    VT_CHECK(wl_read_fingerprint(db, fingerprint));
    vs_close(db);
    sim_free(s);
    return stats;
}

static void digest_text(const vs_stats *stats, char text[64]) {
    snprintf(text, 64, "%016" PRIx64 "%016" PRIx64 "\n", stats->digest[1], stats->digest[0]);
}

static void write_golden(int end, const sim_image *image) {
    uint64_t fingerprint = 0;
    char text[64];
    vs_stats stats = look_at(image, &fingerprint);
    for (int i = 0; i < image->count; i++)
        vt_write_file(golden_path(end, image->file[i].path), image->file[i].data,
                      image->file[i].bytes);
    digest_text(&stats, text);
    vt_write_file(golden_path(end, "digest"), text, strlen(text));
}

/* What makes these golden files worth keeping. */
static bool has_payload_of_pieces(const sim_image *image) {
    sim_image copy = sim_image_copy(image);
    sim *s = sim_new(1, &copy);
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    vs_collection *c = NULL;
    vs_cursor *cursor = NULL;
    uint64_t most = 0;
    options.flags = VS_OPEN_READONLY;
    options.vfs = sim_vfs(s);
    VT_OK(vs_open("t.vs", &options, &db), db);
    VT_OK(vs_collection_open(db, NULL, "floats", &c), db);
    VT_OK(vs_scan(c, NULL, NULL, &cursor), c);
    while (vs_step(cursor) == VS_ROW) {
        vs_record record = VS_RECORD_INIT;
        VT_OK(vs_cursor_record(cursor, &record), cursor);
        most = record.payload_bytes > most ? record.payload_bytes : most;
    }
    vs_cursor_close(cursor);
    vs_collection_close(c);
    vs_close(db);
    sim_free(s);
    return most > 2 * 65536;
}

/* The golden database as a disk. */
static sim_image read_golden(int end) {
    sim_image image = {.count = 0};
    for (int i = 0; i < GOLDEN_FILES_MAX; i++) {
        sim_file *f = &image.file[image.count];
        snprintf(f->path, sizeof f->path, i ? "t.vs-wal-%d" : "t.vs", i);
        FILE *file = fopen(golden_path(end, f->path), "rb");
        if (!file)
            continue;
        fclose(file);
        f->data = vt_read_file(golden_path(end, f->path), &f->bytes);
        image.count++;
    }
    return image;
}

VT_TEST(the_golden_databases_read_the_same_everywhere) {
    uint64_t fingerprint[ENDS] = {0};
    uint64_t digests[ENDS][2];
    for (int end = 0; end < ENDS_READ; end++) {
        if (getenv("VT_WRITE_GOLDEN")) {
            sim_image fresh = run_program(end);
            write_golden(end, &fresh);
            sim_image_free(&fresh);
        }
        sim_image golden = read_golden(end);
        size_t bytes = 0;
        char found[64];
        uint8_t *digest = vt_read_file(golden_path(end, "digest"), &bytes);
        vs_stats stats = look_at(&golden, &fingerprint[end]);
        digest_text(&stats, found);
        VT_CHECK(bytes == strlen(found) && !memcmp(digest, found, bytes));
        VT_CHECK(stats.checkpoint > 2);
        VT_EQ(stats.recovered_txns > 0, is_killed(end));
        VT_EQ(stats.trailer_bytes, end == TRAILERS ? 40 : 0);
        VT_CHECK(is_killed(end) ? golden.count >= 3 : golden.count == 1);
        VT_EQ(has_payload_of_pieces(&golden), end == PAYLOADS);
        memcpy(digests[end], stats.digest, sizeof stats.digest);
        free(digest);
        sim_image_free(&golden);
    }
    VT_EQ(fingerprint[CLOSED], fingerprint[KILLED]); /* the same commits, two ends */
    VT_CHECK(!memcmp(digests[CLOSED], digests[KILLED], sizeof digests[CLOSED]));
    VT_EQ(fingerprint[CLOSED],
          fingerprint[TRAILERS]); /* created at other times, so not the digest */
}

VT_TEST(the_same_program_writes_the_same_bytes_everywhere) {
    for (int end = 0; end < ENDS_READ; end++) {
        sim_image golden = read_golden(end), fresh = run_program(end);
        VT_EQ(fresh.count, golden.count);
        for (int i = 0; i < golden.count; i++) {
            sim_file *f = sim_image_find(&fresh, golden.file[i].path);
            VT_CHECK(f && f->bytes == golden.file[i].bytes);
            VT_CHECK(!memcmp(f->data, golden.file[i].data, f->bytes));
        }
        sim_image_free(&golden);
        sim_image_free(&fresh);
    }
}

/* As version 0.1 wrote them: the same meta pages without checkpoints, and a log. */
VT_TEST(a_database_of_format_0_1_is_refused_naming_both_versions_and_left_alone) {
    for (int flags = 0; flags <= VS_OPEN_CREATE; flags++)
        for (int is_one_damaged = 0; is_one_damaged < 2; is_one_damaged++) {
            static const uint8_t uuid[16] = {1, 2, 3};
            sim_image old = {.count = 1};
            old.file[0] = (sim_file){"t.vs", calloc(1, LF_DATA_BYTES), LF_DATA_BYTES};
            VT_CHECK(old.file[0].data != NULL);
            lf_make_data(old.file[0].data, uuid, 1, 7);
            for (int slot = 0; slot < 2; slot++) {
                uint8_t *page = old.file[0].data + (slot ? LF_META_B_OFF : 0);
                memset(page + 96, 0, 4080 - 96);
                page[18] = 1;
                lf_fix_meta(page);
                page[4085] ^= slot && is_one_damaged;
            }
            uint64_t before = sim_image_hash(&old);
            sim *s = sim_new(1, &old);
            vs_open_options options = VS_OPEN_OPTIONS_INIT;
            vs_db *db = NULL;
            options.flags = (uint32_t)flags;
            options.vfs = sim_vfs(s);
            VT_EQ(vs_open("t.vs", &options, &db), VS_ERR_TOO_OLD);
            VT_CONTAINS(vs_errmsg(db), "format 0.1");
            VT_CONTAINS(vs_errmsg(db), "0.4");
            vs_close(db);
            sim_image after = sim_image_now(s);
            VT_CHECK(sim_image_hash(&after) == before);
            sim_image_free(&after);
            sim_free(s);
        }
}
