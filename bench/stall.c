/* stall.c - what checkpoints cost those who commit and those who read, and what recovery costs.
 *
 *   stall FILE write ROWS [maintain]   commits of 1,000 rows of 128 floats at VS_SYNC_FULL, beside one reader;
 *                                      ends as a killed process does, with a long log
 *   stall FILE open                    times the open that follows
 *
 * Prints CSV. With maintain, vs_maintain is called between commits, outside of what is timed. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"
#include <pthread.h>
#include <unistd.h>

enum { DIM = 128, BATCH = 1000, TIMES_MAX = 1 << 20 };

typedef struct times {
    double us[TIMES_MAX];
    int count;
} times;

typedef struct reader {
    vs_db *db;
    volatile int ends;
    times t;
} reader;

static times commits, with_checkpoint;
static reader beside;

static double now_us(void) {
    return seconds_of(CLOCK_MONOTONIC) * 1e6;
}

static void note(times *t, double us) {
    if (t->count < TIMES_MAX)
        t->us[t->count++] = us;
}

static int compare(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static void print(const char *what, times *t) {
    qsort(t->us, (size_t)t->count, sizeof t->us[0], compare);
    if (t->count)
        printf("%s,%d,%.0f,%.0f,%.0f\n", what, t->count, t->us[t->count / 2],
               t->us[(int)((double)t->count * 0.99)], t->us[t->count - 1]);
}

static vs_stats stats_of(vs_db *db) {
    vs_stats stats = VS_STATS_INIT;
    need(vs_stats_get(db, &stats), db);
    return stats;
}

static vs_collection *open_coll(vs_db *db) {
    vs_collection *c = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = DIM;
    if (vs_collection_open(db, NULL, "t", &c) != VS_OK)
        need(vs_collection_create(db, NULL, "t", &options, &c), db);
    return c;
}

static void *read_beside(void *ctx) {
    reader *r = ctx;
    vs_collection *c = open_coll(r->db);
    unsigned seed = 1;
    while (!r->ends) {
        uint64_t count = 0;
        vs_record record = VS_RECORD_INIT;
        need(vs_count(c, NULL, &count), c);
        double start = now_us();
        if (count)
            need(vs_get(c, NULL, vs_key_u64((uint64_t)rand_r(&seed) % count), &record), c);
        note(&r->t, now_us() - start);
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    vs_collection_close(c);
    return NULL;
}

static void commit_batch(vs_db *db, vs_collection *c, uint64_t first) {
    static float vectors[BATCH][DIM];
    static uint64_t keys[BATCH];
    for (int i = 0; i < BATCH; i++) {
        keys[i] = first + (uint64_t)i;
        for (int d = 0; d < DIM; d++)
            vectors[i][d] = (float)((keys[i] * 31 + (uint64_t)d * 7) % 1000);
    }
    vs_batch batch = VS_BATCH_INIT;
    batch.count = BATCH;
    batch.numbers = keys;
    batch.vectors = vectors;
    uint64_t before = stats_of(db).checkpoints;
    double start = now_us();
    need(vs_put_batch(c, NULL, &batch, VS_UPSERT), c);
    double us = now_us() - start;
    note(stats_of(db).checkpoints > before ? &with_checkpoint : &commits, us);
}

static void write_rows(vs_db *db, uint64_t rows, int maintains) {
    pthread_t thread;
    vs_collection *c = open_coll(db);
    beside.db = db;
    pthread_create(&thread, NULL, read_beside, &beside);
    uint64_t row = 0;
    for (; row < rows || stats_of(db).log_bytes < 48u << 20; row += BATCH) {
        uint64_t left = 1;
        commit_batch(db, c, row);
        while (maintains && left)
            need(vs_maintain(db, 1 << 20, &left), db);
        if (row > 4 * rows)
            break;
    }
    beside.ends = 1;
    pthread_join(thread, NULL);
    printf("what,count,p50_us,p99_us,max_us\n");
    print("commit of 1000 rows", &commits);
    print("commit that made a checkpoint", &with_checkpoint);
    print("get beside", &beside.t);
    printf("rows %llu, log %llu bytes\n", (unsigned long long)row,
           (unsigned long long)stats_of(db).log_bytes);
    fflush(stdout);
    _exit(0); /* killed */
}

int main(int argc, char **argv) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: stall FILE write ROWS [maintain] | open\n");
        return 2;
    }
    options.flags = VS_OPEN_CREATE;
    double start = now_us();
    need(vs_open(argv[1], &options, &db), db);
    double us = now_us() - start;
    if (!strcmp(argv[2], "write"))
        write_rows(db, strtoull(argc > 3 ? argv[3] : "1000000", NULL, 10), argc > 4);
    vs_stats stats = stats_of(db);
    printf("open,%.0f us,%llu transactions,%llu bytes of log\n", us,
           (unsigned long long)stats.recovered_txns, (unsigned long long)stats.log_bytes);
    need(vs_close(db), db);
    return 0;
}
