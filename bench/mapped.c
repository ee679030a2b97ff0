/* mapped.c - exact search through a mapping of the file against reading, in turn.
 *
 *   mapped FILE [RECORDS [DIM [ROUNDS]]]
 *
 * Makes FILE unless it is there. Each round runs a process of its own for each of: a memory limit that holds
 * everything, a sixteenth of it, or so little that not even the entries of mapped slabs have room;
 * VS_OPEN_MMAP or not; the file in the system's cache, or dropped from it.
 * Prints CSV: round, limit in MiB, mmap, cold, ms of the first search, ms of the median of the next ones, the
 * same in ms of the processor, RssAnon and RssFile of the process in MB (from /proc/self/status). */
#define _GNU_SOURCE
#include "bench.h"
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEARCHES = 7, K = 10, LIMITS = 3 };

static float next_number(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(*state >> 40) / (float)(1 << 24);
}

static void fill_vector(float *vector, uint32_t dim, uint64_t seed) {
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (uint32_t d = 0; d < dim; d++)
        vector[d] = next_number(&state);
}

static vs_db *open_file(const char *path, uint32_t flags, uint64_t limit) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = flags;
    options.memory_limit = limit;
    need(vs_open(path, &options, &db), db);
    return db;
}

static void make_file(const char *path, uint64_t records, uint32_t dim) {
    float *vector = malloc(dim * sizeof *vector);
    vs_db *db = open_file(path, VS_OPEN_CREATE, 256u << 20);
    vs_collection *c = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = dim;
    need(vs_collection_create(db, NULL, "t", &options, &c), db);
    for (uint64_t key = 0; key < records;) {
        vs_txn *txn = NULL;
        need(vs_begin(db, VS_TXN_WRITE, &txn), db);
        for (int i = 0; i < 1000 && key < records; i++, key++) {
            vs_record record = VS_RECORD_INIT;
            fill_vector(vector, dim, key);
            record.key.number = key;
            record.vector = vector;
            need(vs_put(c, txn, &record, VS_UPSERT), c);
        }
        need(vs_commit(txn, VS_SYNC_OFF), db);
    }
    vs_collection_close(c);
    need(vs_close(db), db);
    free(vector);
}

static void drop_from_cache(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
        fprintf(stderr, "mapped: %s stays in the cache\n", path);
    close(fd);
}

typedef struct cost {
    double ms, cpu_ms;
} cost;

static cost search_cost(vs_collection *c, uint32_t dim, uint64_t seed) {
    float *query = malloc(dim * sizeof *query);
    vs_hit hits[K];
    size_t n = 0;
    fill_vector(query, dim, seed);
    double start = seconds_of(CLOCK_MONOTONIC) * 1e3,
           cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) * 1e3;
    need(vs_search(c, NULL, query, 0, K, NULL, hits, &n), c);
    cost took = {seconds_of(CLOCK_MONOTONIC) * 1e3 - start,
                 seconds_of(CLOCK_PROCESS_CPUTIME_ID) * 1e3 - cpu};
    free(query);
    return took;
}

static void measure(const char *path, uint32_t dim, int round, uint64_t limit, int maps, int cold) {
    double ms[SEARCHES], cpu_ms[SEARCHES];
    if (cold)
        drop_from_cache(path);
    vs_db *db = open_file(path, VS_OPEN_READONLY | (maps ? VS_OPEN_MMAP : 0), limit);
    vs_collection *c = NULL;
    need(vs_collection_open(db, NULL, "t", &c), db);
    cost first = search_cost(c, dim, 1u << 30);
    for (int i = 0; i < SEARCHES; i++) {
        cost next = search_cost(c, dim, (1u << 30) + 1 + (uint64_t)i);
        ms[i] = next.ms;
        cpu_ms[i] = next.cpu_ms;
    }
    qsort(ms, SEARCHES, sizeof *ms, by_size);
    qsort(cpu_ms, SEARCHES, sizeof *cpu_ms, by_size);
    printf("%d,%llu,%d,%d,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f\n", round,
           (unsigned long long)(limit >> 20), maps, cold, first.ms, ms[SEARCHES / 2], first.cpu_ms,
           cpu_ms[SEARCHES / 2], (double)status_kib("RssAnon") * 1024 / 1e6,
           (double)status_kib("RssFile") * 1024 / 1e6);
    fflush(stdout);
    vs_collection_close(c);
    need(vs_close(db), db);
}

/* In a process of its own, so that its memory is its own. */
static void measure_apart(const char *path, uint32_t dim, int round, uint64_t limit, int maps,
                          int cold) {
    int status = 1;
    pid_t child = fork();
    if (child == 0) {
        measure(path, dim, round, limit, maps, cold);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status)
        exit(1);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: mapped FILE [RECORDS [DIM [ROUNDS]]]\n");
        return 2;
    }
    uint64_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    uint32_t dim = argc > 3 ? (uint32_t)atoi(argv[3]) : 128;
    int rounds = argc > 4 ? atoi(argv[4]) : 5;
    uint64_t bytes = records * (dim * sizeof(float) + 32);
    uint64_t limit[LIMITS] = {bytes + bytes / 4 + (64u << 20), bytes / 16, bytes / 512};
    if (access(argv[1], F_OK))
        make_file(argv[1], records, dim);
    printf("round,limit_mib,mmap,cold,first_ms,median_ms,first_cpu_ms,median_cpu_ms,rss_anon_mb,"
           "rss_file_mb\n");
    fflush(stdout);
    for (int round = 0; round < rounds; round++)
        for (int cold = 0; cold < 2; cold++)
            for (int i = 0; i < LIMITS; i++)
                for (int maps = 0; maps < 2; maps++)
                    measure_apart(argv[1], dim, round, limit[i], maps, cold);
    return 0;
}
