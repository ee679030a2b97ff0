/* test_format.c - the golden files: every build and every platform reads them, and writes the same.
 *
 * tests/format/0.1 holds a database written by the program below, and its digest. VT_WRITE_GOLDEN=1
 * writes them anew; until 1.0 that is allowed when the format or the program changes. */
#include "verify.h"

#define GOLDEN "tests/format/0.1/"

enum { GOLDEN_FILES_MAX = 16 };

static const char *golden_path(const char *name) {
    static char path[4][256];
    static int next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof path[0], GOLDEN "%s", name);
    return out;
}

/* Three sessions: one that ends properly, one that is killed, one more. */
static sim_image run_program(void) {
    sim *s = sim_new(2026, NULL);
    wl_run run;
    workload w = *wl_find("transactions");
    wl_init(&run, &w, s, 2026, NULL);
    for (int session = 0; session < 3; session++) {
        VT_CHECK(wl_open(&run) && wl_steps(&run, 14));
        if (session == 1)
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

static void write_golden(const sim_image *image) {
    uint64_t fingerprint = 0;
    char text[64];
    vs_stats stats = look_at(image, &fingerprint);
    for (int i = 0; i < image->count; i++)
        vt_write_file(golden_path(image->file[i].path), image->file[i].data, image->file[i].bytes);
    int n = snprintf(text, sizeof text, "%016" PRIx64 "%016" PRIx64 "\n", stats.digest[1],
                     stats.digest[0]);
    vt_write_file(golden_path("digest"), text, (size_t)n);
}

/* The golden database as a disk. */
static sim_image read_golden(void) {
    sim_image image = {.count = 0};
    for (int i = 0; i < GOLDEN_FILES_MAX; i++) {
        sim_file *f = &image.file[image.count];
        snprintf(f->path, sizeof f->path, i ? "t.vs-wal-%d" : "t.vs", i);
        FILE *file = fopen(golden_path(f->path), "rb");
        if (!file)
            continue;
        fclose(file);
        f->data = vt_read_file(golden_path(f->path), &f->bytes);
        image.count++;
    }
    return image;
}

VT_TEST(the_golden_database_reads_the_same_everywhere) {
    if (getenv("VT_WRITE_GOLDEN")) {
        sim_image fresh = run_program();
        write_golden(&fresh);
        sim_image_free(&fresh);
    }
    sim_image golden = read_golden();
    size_t bytes = 0;
    uint64_t fingerprint = 0;
    char found[64];
    uint8_t *digest = vt_read_file(golden_path("digest"), &bytes);
    vs_stats stats = look_at(&golden, &fingerprint);
    snprintf(found, sizeof found, "%016" PRIx64 "%016" PRIx64 "\n", stats.digest[1],
             stats.digest[0]);
    VT_CHECK(golden.count >= 4 && bytes == strlen(found) && !memcmp(digest, found, bytes));
    free(digest);
    sim_image_free(&golden);
}

VT_TEST(the_same_program_writes_the_same_bytes_everywhere) {
    sim_image golden = read_golden(), fresh = run_program();
    VT_EQ(fresh.count, golden.count);
    for (int i = 0; i < golden.count; i++) {
        sim_file *f = sim_image_find(&fresh, golden.file[i].path);
        VT_CHECK(f && f->bytes == golden.file[i].bytes);
        VT_CHECK(!memcmp(f->data, golden.file[i].data, f->bytes));
    }
    sim_image_free(&golden);
    sim_image_free(&fresh);
}
