/* batch_import.c - thousands of vectors into a database, in batches, so that an interrupted run goes on where it
 * stopped.
 *
 *   cc -O2 -I. examples/batch_import.c vecstore.c -lzstd -lm -lpthread -o batch_import
 *   ./batch_import examples/data
 *
 * Each batch is one transaction, and the number of rows done so far is a note in the same transaction: the two
 * never disagree. Batches are committed at VS_SYNC_NORMAL, which does not wait for the device each time; vs_sync
 * waits once, in the end. */
#include "vecstore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { DIM = 784, ROW_BYTES = 4 + DIM, BATCH = 500 };

static void ok(vs_status st, const void *handle) {
    if (st == VS_OK)
        return;
    fprintf(stderr, "%s: %s\n", vs_status_name(st), vs_errmsg(handle));
    exit(1);
}

static void fail(const char *what) {
    fprintf(stderr, "batch_import: %s\n", what);
    exit(1);
}

/* A file of rows (.bvecs: int32 dimension, then its bytes), decompressed; free it. */
static uint8_t *load(const char *folder, const char *name, size_t *out_rows) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        fail(path);
    size_t packed_bytes = (size_t)ftell(f);
    void *packed = malloc(packed_bytes);
    rewind(f);
    if (!packed || fread(packed, 1, packed_bytes, f) != packed_bytes)
        fail(path);
    fclose(f);
    unsigned long long bytes = ZSTD_getFrameContentSize(packed, packed_bytes);
    uint8_t *rows = bytes < 1 << 30 ? malloc((size_t)bytes) : NULL;
    if (!rows || ZSTD_decompress(rows, (size_t)bytes, packed, packed_bytes) != bytes)
        fail(path);
    free(packed);
    *out_rows = (size_t)bytes / ROW_BYTES;
    return rows;
}

static vs_collection *open_clothes(vs_db *db) {
    vs_collection *clothes = NULL;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    shape.dim = DIM;
    shape.type = VS_U8;
    vs_status st = vs_collection_open(db, NULL, "clothes", &clothes);
    if (st == VS_ERR_NOT_FOUND)
        st = vs_collection_create(db, NULL, "clothes", &shape, &clothes);
    ok(st, db);
    return clothes;
}

/* How many rows are there already. */
static uint64_t read_position(vs_db *db, vs_collection *clothes) {
    uint64_t done = 0;
    size_t bytes = 0;
    vs_status st = vs_kv_get(db, NULL, clothes, "done", 4, &done, sizeof done, &bytes);
    if (st != VS_ERR_NOT_FOUND)
        ok(st, db);
    return done;
}

/* Rows at ... at + count, and that they are there. */
static void import_batch(vs_db *db, vs_collection *clothes, const uint8_t *rows, uint64_t at,
                         size_t count) {
    static uint64_t numbers[BATCH];
    vs_txn *txn = NULL;
    vs_batch batch = VS_BATCH_INIT;
    uint64_t done = at + count;
    for (size_t i = 0; i < count; i++)
        numbers[i] = at + i;
    batch.count = count;
    batch.numbers = numbers;
    batch.vectors = rows + at * ROW_BYTES + 4;
    batch.stride_bytes = ROW_BYTES;
    ok(vs_begin(db, VS_TXN_WRITE, &txn), db);
    ok(vs_put_batch(clothes, txn, &batch, VS_UPSERT), clothes);
    ok(vs_kv_put(db, txn, clothes, "done", 4, &done, sizeof done), txn);
    ok(vs_commit(txn, VS_SYNC_NORMAL), db);
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : "examples/data";
    size_t row_count = 0, query_count = 0, found = 0;
    uint8_t *rows = load(folder, "base.bvecs.zst", &row_count);
    uint8_t *queries = load(folder, "query.bvecs.zst", &query_count);
    vs_db *db = NULL;
    vs_open_options how = VS_OPEN_OPTIONS_INIT;
    how.flags = VS_OPEN_CREATE;
    ok(vs_open("clothes.vs", &how, &db), db);
    vs_collection *clothes = open_clothes(db);
    uint64_t at = read_position(db, clothes), begun_at = at;
    while (at < row_count) {
        size_t count = row_count - at < BATCH ? row_count - at : BATCH;
        import_batch(db, clothes, rows, at, count);
        at += count;
    }
    ok(vs_sync(db), db);
    uint64_t count = 0;
    ok(vs_count(clothes, NULL, &count), clothes);
    printf("%llu rows, %llu of them new\n", (unsigned long long)count,
           (unsigned long long)(at - begun_at));
    vs_hit hits[3];
    ok(vs_search(clothes, NULL, queries + 4, VS_U8, 3, NULL, hits, &found), clothes);
    for (size_t i = 0; i < found; i++)
        printf("row %llu at distance %.0f\n", (unsigned long long)hits[i].key.number,
               hits[i].distance);
    vs_collection_close(clothes);
    free(rows);
    free(queries);
    return vs_close(db) != VS_OK;
}
