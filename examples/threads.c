/* threads.c - readers that search while a writer adds: nobody waits for anybody.
 *
 *   cc -O2 -I. examples/threads.c vecstore.c -lzstd -lm -lpthread -o threads && ./threads
 *
 * The vs_db is shared; each thread has a collection handle of its own. The writer commits batches of 100, so a reader
 * may see any number of whole batches, and never part of one. */
#include "vecstore.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { DIM = 16, BATCH = 100, BATCHES = 50, READERS = 3, K = 5 };

static void ok(vs_status st, const void *handle) {
    if (st == VS_OK)
        return;
    fprintf(stderr, "%s: %s\n", vs_status_name(st), vs_errmsg(handle));
    exit(1);
}

/* Numbers that look random, the same each time. */
static float noise(uint64_t at) {
    at = (at ^ at >> 31) * 0x9e3779b97f4a7c15u;
    at = (at ^ at >> 27) * 0x94d049bb133111ebu;
    return (float)(at >> 40) / (1 << 24);
}

static void *write_all(void *shared) {
    vs_db *db = shared;
    vs_collection *points = NULL;
    static float vectors[BATCH][DIM];
    ok(vs_collection_open(db, NULL, "points", &points), db);
    for (uint64_t b = 0; b < BATCHES; b++) {
        vs_batch batch = VS_BATCH_INIT;
        for (uint64_t i = 0; i < BATCH * DIM; i++)
            vectors[i / DIM][i % DIM] = noise(b * BATCH * DIM + i);
        batch.count = BATCH;
        batch.vectors = vectors;
        ok(vs_append_batch(points, NULL, &batch, NULL), points);
    }
    vs_collection_close(points);
    return NULL;
}

typedef struct reader {
    pthread_t thread;
    vs_db *db;
    uint64_t number, searches;
} reader;

/* In one snapshot: how many records there are, and the nearest of some point. */
static uint64_t look(reader *r, vs_collection *points) {
    vs_txn *snapshot = NULL;
    vs_hit hits[K];
    float query[DIM];
    uint64_t count = 0;
    size_t found = 0;
    for (uint64_t i = 0; i < DIM; i++)
        query[i] = noise(1000000 * (r->number + 1) + r->searches * DIM + i);
    ok(vs_begin(r->db, VS_TXN_READ, &snapshot), r->db);
    ok(vs_count(points, snapshot, &count), points);
    ok(vs_search(points, snapshot, query, VS_F32, K, NULL, hits, &found), points);
    vs_rollback(snapshot);
    if (count % BATCH || found != (count < K ? count : K)) {
        fprintf(stderr, "threads: a part of a batch\n");
        exit(1);
    }
    r->searches++;
    return count;
}

static void *read_until_all_are_there(void *arg) {
    reader *r = arg;
    vs_collection *points = NULL;
    ok(vs_collection_open(r->db, NULL, "points", &points), r->db);
    while (look(r, points) < BATCH * BATCHES)
        ;
    vs_collection_close(points);
    return NULL;
}

int main(void) {
    vs_db *db = NULL;
    vs_open_options how = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    reader readers[READERS];
    pthread_t writer;
    uint64_t searches = 0;
    remove("threads.vs"); /* begins anew each time */
    how.flags = VS_OPEN_CREATE;
    how.sync = VS_SYNC_NORMAL;
    shape.dim = DIM;
    ok(vs_open("threads.vs", &how, &db), db);
    ok(vs_collection_create(db, NULL, "points", &shape, NULL), db);
    for (uint64_t i = 0; i < READERS; i++) {
        readers[i] = (reader){.db = db, .number = i};
        if (pthread_create(&readers[i].thread, NULL, read_until_all_are_there, &readers[i]))
            return 1;
    }
    if (pthread_create(&writer, NULL, write_all, db))
        return 1;
    pthread_join(writer, NULL);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        searches += readers[i].searches;
    }
    printf("%d records, %llu searches by %d threads meanwhile\n", BATCH * BATCHES,
           (unsigned long long)searches, READERS);
    return vs_close(db) != VS_OK;
}
