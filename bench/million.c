/* million.c - importing a million vectors, each commit durable, beside what the device does by itself.
 *
 *   million FILE import [ROWS [LIMIT_MIB [AS_MIB [mmap]]]]
 *       rows of 128 floats in commits of 1,000 at VS_SYNC_FULL; between them, in turn, as many bytes written
 *       and synced to a plain file. LIMIT_MIB is the memory limit, AS_MIB the address space that the
 *       process may have (0: any). Then closes, and opens again.
 *   million FILE log [ROWS]
 *       the same rows in a single log: checkpoints fail; ends as a killed process does
 *   million FILE open [LIMIT_MIB]
 *       opens, which replays that log, and says how long it took
 *
 * Prints CSV: what, value, unit. Bytes are counted where the library writes them. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"
#include <fcntl.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

enum { DIM = 128, BATCH = 1000, TURN = 10, RAW_BYTES = BATCH * (DIM * 4 + 40) };

static struct {
    vs_vfs vfs;
    uint64_t written, read, reads;
    void *data;       /* the database file */
    int refuses_data; /* writes to it behind its meta pages */
} counted;

static vs_status count_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    const vs_vfs *posix = vs_vfs_posix();
    (void)ctx;
    if (counted.refuses_data && file == counted.data && offset >= 131072)
        return VS_ERR_IO;
    vs_status st = posix->write(posix->ctx, file, buf, bytes, offset, out_bytes, why);
    counted.written += st == VS_OK ? *out_bytes : 0;
    return st;
}

static vs_status count_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    const vs_vfs *posix = vs_vfs_posix();
    (void)ctx;
    vs_status st = posix->read(posix->ctx, file, buf, bytes, offset, out_bytes, why);
    counted.read += st == VS_OK ? *out_bytes : 0;
    counted.reads++;
    return st;
}

static vs_status note_open(void *ctx, const char *path, uint32_t mode, void **out_file, char *why) {
    const vs_vfs *posix = vs_vfs_posix();
    (void)ctx;
    vs_status st = posix->open(posix->ctx, path, mode, out_file, why);
    if (st == VS_OK && !strstr(path, "-wal-"))
        counted.data = *out_file;
    return st;
}

static vs_db *open_db(const char *path, uint64_t limit_mib, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    counted.vfs = *vs_vfs_posix();
    counted.vfs.write = count_write;
    counted.vfs.read = count_read;
    counted.vfs.open = note_open;
    options.flags = flags;
    options.vfs = &counted.vfs;
    options.memory_limit = limit_mib << 20;
    need(vs_open(path, &options, &db), db);
    return db;
}

static vs_collection *open_coll(vs_db *db) {
    vs_collection *c = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = DIM;
    if (vs_collection_open(db, NULL, "t", &c) != VS_OK)
        need(vs_collection_create(db, NULL, "t", &options, &c), db);
    return c;
}

static void put_batch(vs_collection *c, uint64_t first) {
    static float vectors[BATCH][DIM];
    static uint64_t keys[BATCH];
    uint64_t x = first * 2654435761u + 1;
    for (int i = 0; i < BATCH; i++) {
        keys[i] = first + (uint64_t)i;
        for (int d = 0; d < DIM; d++) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            vectors[i][d] = (float)(x >> 40) / 16777216.0f;
        }
    }
    vs_batch batch = VS_BATCH_INIT;
    batch.count = BATCH;
    batch.numbers = keys;
    batch.vectors = vectors;
    need(vs_put_batch(c, NULL, &batch, VS_UPSERT), c);
}

/* What the device does by itself: so many pieces as large as a commit's, each synced. */
static double write_raw(int fd, int count) {
    static char bytes[RAW_BYTES];
    double start = seconds_of(CLOCK_MONOTONIC);
    memset(bytes, count, sizeof bytes);
    for (int i = 0; i < count; i++)
        if (write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes || fdatasync(fd))
            exit(1);
    return seconds_of(CLOCK_MONOTONIC) - start;
}

static void import(const char *path, uint64_t rows, uint64_t limit_mib, uint32_t flags) {
    char raw_path[4096];
    double own = 0, raw = 0;
    uint64_t anon = 0;
    snprintf(raw_path, sizeof raw_path, "%s-raw", path);
    int fd = open(raw_path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    vs_db *db = open_db(path, limit_mib, flags | VS_OPEN_CREATE);
    vs_collection *c = open_coll(db);
    for (uint64_t row = 0; row < rows; row += TURN * BATCH) {
        double start = seconds_of(CLOCK_MONOTONIC);
        for (int i = 0; i < TURN; i++)
            put_batch(c, row + (uint64_t)i * BATCH);
        own += seconds_of(CLOCK_MONOTONIC) - start;
        raw += write_raw(fd, TURN);
        uint64_t now = status_kib("RssAnon");
        anon = now > anon ? now : anon;
    }
    vs_stats stats = VS_STATS_INIT;
    need(vs_stats_get(db, &stats), db);
    vs_collection_close(c);
    double start = seconds_of(CLOCK_MONOTONIC);
    need(vs_close(db), NULL);
    double commits = (double)rows / BATCH;
    printf("import,%.0f,rows/s\nraw,%.0f,synced writes/s\nimport,%.0f,commits/s\n",
           (double)rows / own, commits / raw, commits / own);
    printf("raw / import,%.2f,times\n", own / raw);
    printf("close,%.2f,s\ncheckpoints,%" PRIu64 ",\n", seconds_of(CLOCK_MONOTONIC) - start,
           stats.checkpoints);
    printf("written,%.3f,bytes per user byte\n",
           (double)counted.written / ((double)rows * DIM * sizeof(float)));
    printf("peak RSS,%" PRIu64 ",KiB\npeak RssAnon,%" PRIu64 ",KiB\n", status_kib("VmHWM"), anon);
    unlink(raw_path);
    close(fd);
    counted.read = counted.reads = 0;
    start = seconds_of(CLOCK_MONOTONIC);
    db = open_db(path, limit_mib, flags);
    printf("open,%.2f,ms\n", (seconds_of(CLOCK_MONOTONIC) - start) * 1e3);
    printf("open,%" PRIu64 ",bytes read\nopen,%" PRIu64 ",reads\n", counted.read, counted.reads);
    need(vs_close(db), NULL);
}

static void make_log(const char *path, uint64_t rows) {
    vs_db *db = open_db(path, 8192, VS_OPEN_CREATE);
    vs_collection *c = open_coll(db);
    counted.refuses_data = 1;
    for (uint64_t row = 0; row < rows; row += BATCH)
        put_batch(c, row);
    vs_stats stats = VS_STATS_INIT;
    need(vs_stats_get(db, &stats), db);
    printf("log,%" PRIu64 ",bytes\ncheckpoints,%" PRIu64 ",\n", stats.log_bytes, stats.checkpoints);
    fflush(stdout);
    _exit(0); /* killed */
}

static void replay(const char *path, uint64_t limit_mib) {
    double start = seconds_of(CLOCK_MONOTONIC);
    vs_db *db = open_db(path, limit_mib, 0);
    double s = seconds_of(CLOCK_MONOTONIC) - start;
    vs_stats stats = VS_STATS_INIT;
    need(vs_stats_get(db, &stats), db);
    printf("recovery,%.3f,s\nrecovery,%.0f,MiB of log\nrecovery,%.3f,s per 256 MiB\n", s,
           (double)stats.log_bytes / 1048576, s * 268435456 / (double)stats.log_bytes);
    printf("recovered,%" PRIu64 ",transactions\npeak RSS,%" PRIu64 ",KiB\n", stats.recovered_txns,
           status_kib("VmHWM"));
    fflush(stdout);
    _exit(0);
}

static uint64_t number(int argc, char **argv, int at, uint64_t otherwise) {
    return argc > at ? strtoull(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[2] : "";
    uint64_t rows = number(argc, argv, 3, 1000000), as_mib = number(argc, argv, 5, 0);
    struct rlimit limit = {as_mib << 20, as_mib << 20};
    if (!strcmp(what, "import")) {
        if (as_mib && setrlimit(RLIMIT_AS, &limit))
            return 1;
        import(argv[1], rows, number(argc, argv, 4, 1024), 0);
    } else if (!strcmp(what, "log")) {
        make_log(argv[1], rows);
    } else if (!strcmp(what, "open")) {
        replay(argv[1], number(argc, argv, 3, 1024));
    } else {
        fprintf(stderr, "usage: million FILE import|log|open ...\n");
        return 2;
    }
    return 0;
}
