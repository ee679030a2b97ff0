/* peer_vecstore.c - vecstore itself, in the program that its peers are measured by (peer.h). TYPE in the environment:
 * the collection's element type, f32 unless it says u8; INDEX: how it is searched. */
#define _POSIX_C_SOURCE 200809L
#include "../bench.h"
#include "peer.h"

enum { BATCH_ROWS = 1000 };

typedef struct opened {
    vs_collection *collection;
    uint32_t dim;
    vs_hit *hits;
    size_t *counts, room;
} opened;

static vs_db *open_db(const char *store, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = flags;
    need(vs_open(store, &options, &db), db);
    return db;
}

static void put_rows(vs_db *db, vs_collection *c, const peer_rows *base, size_t first) {
    uint64_t numbers[BATCH_ROWS];
    vs_txn *txn = NULL;
    vs_batch batch = VS_BATCH_INIT;
    batch.count = base->count - first < BATCH_ROWS ? base->count - first : BATCH_ROWS;
    for (size_t i = 0; i < batch.count; i++)
        numbers[i] = first + i;
    batch.numbers = numbers;
    batch.vectors = base->data + first * base->dim;
    batch.vector_type = VS_F32;
    need(vs_begin(db, VS_TXN_WRITE, &txn), db);
    need(vs_put_batch(c, txn, &batch, VS_INSERT), c);
    need(vs_commit(txn, VS_SYNC_OFF), db);
}

static void build(const peer_rows *base, const char *store, const char *metric) {
    const char *type = getenv("TYPE");
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    vs_db *db = open_db(store, VS_OPEN_CREATE);
    shape.dim = base->dim;
    shape.type = type && !strcmp(type, "u8") ? VS_U8 : VS_F32;
    shape.index = getenv("INDEX");
    shape.metric = !strcmp(metric, "cosine") ? VS_COSINE : VS_L2;
    need(vs_collection_create(db, NULL, "c", &shape, &c), db);
    for (size_t first = 0; first < base->count; first += BATCH_ROWS)
        put_rows(db, c, base, first);
    vs_collection_close(c);
    need(vs_close(db), db);
}

static void *open_store(const peer_rows *base, const char *store, const char *metric) {
    opened *o = calloc(1, sizeof *o);
    vs_db *db = open_db(store, VS_OPEN_READONLY);
    (void)metric;
    o->dim = base->dim;
    need(vs_collection_open(db, NULL, "c", &o->collection), db);
    return o;
}

static void search(void *state, const float *queries, size_t count, size_t k, int64_t *ids) {
    opened *o = state;
    if (o->room < count) {
        o->hits = realloc(o->hits, count * k * sizeof *o->hits);
        o->counts = realloc(o->counts, count * sizeof *o->counts);
        o->room = count;
    }
    if (count == 1)
        need(vs_search(o->collection, NULL, queries, VS_F32, k, NULL, o->hits, o->counts),
             o->collection);
    else
        need(vs_search_batch(o->collection, NULL, queries, VS_F32, 0, count, k, NULL, o->hits,
                             o->counts),
             o->collection);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < k; j++)
            ids[i * k + j] = j < o->counts[i] ? (int64_t)o->hits[i * k + j].key.number : -1;
}

int main(int argc, char **argv) {
    static const peer vecstore = {build, open_store, search, 1, 0, 0};
    return peer_main(&vecstore, argc, argv);
}
