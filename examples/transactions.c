/* transactions.c - changes that belong together: two collections and a note in one transaction, a savepoint for what
 * may fail, a snapshot that does not move, and a change only if nobody else was faster.
 *
 *   cc -O2 -I. examples/transactions.c vecstore.c -lzstd -lm -lpthread -o transactions && ./transactions */
#include "vecstore.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 3 };

static void ok(vs_status st, const void *handle) {
    if (st == VS_OK)
        return;
    fprintf(stderr, "%s: %s\n", vs_status_name(st), vs_errmsg(handle));
    exit(1);
}

static void expect(int is_so, const char *what) {
    if (is_so)
        return;
    fprintf(stderr, "transactions: not so: %s\n", what);
    exit(1);
}

static vs_collection *open_or_create(vs_db *db, vs_txn *txn, const char *name) {
    vs_collection *c = NULL;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    shape.dim = DIM;
    vs_status st = vs_collection_open(db, txn, name, &c);
    if (st == VS_ERR_NOT_FOUND)
        st = vs_collection_create(db, txn, name, &shape, &c);
    ok(st, txn);
    return c;
}

static vs_status put(vs_collection *c, vs_txn *txn, const char *key, const float *vector,
                     const char *metadata) {
    vs_record record = VS_RECORD_INIT;
    record.key = vs_key_text(key);
    record.vector = vector;
    record.metadata = metadata;
    return vs_put(c, txn, &record, VS_UPSERT);
}

static uint64_t count(vs_collection *c, vs_txn *txn) {
    uint64_t n = 0;
    ok(vs_count(c, txn, &n), c);
    return n;
}

/* A document and its parts, all or nothing; parts that cannot be stored are left out together. */
static void add_document(vs_db *db, vs_collection *documents, vs_collection *parts) {
    const float whole[DIM] = {1, 2, 3}, first[DIM] = {1, 1, 1}, second[DIM] = {1, NAN, 1};
    vs_txn *txn = NULL;
    uint32_t before_parts = 0;
    ok(vs_begin(db, VS_TXN_WRITE, &txn), db);
    ok(put(documents, txn, "report", whole, "{\"pages\":2}"), documents);
    ok(vs_savepoint(txn, &before_parts), txn);
    vs_status st = put(parts, txn, "report/1", first, NULL);
    if (st == VS_OK)
        st = put(parts, txn, "report/2", second, NULL);
    expect(st == VS_ERR_INVALID, "NaN is refused");
    printf("left out: %s\n", vs_errmsg(parts));
    ok(vs_rollback_to(txn, before_parts), txn); /* part 1 goes, the document stays */
    ok(vs_kv_put(db, txn, NULL, "last", 4, "report", 6), txn);
    ok(vs_commit(txn, VS_SYNC_FULL), db);
}

/* Reads a record, decides, and writes only if it is still the one that was read. */
static void raise_pages(vs_collection *documents) {
    vs_record now = VS_RECORD_INIT, change = VS_RECORD_INIT;
    ok(vs_get(documents, NULL, vs_key_text("report"), &now), documents);
    change.key = vs_key_text("report");
    change.metadata = "{\"pages\":3}";
    change.if_version = now.version;
    ok(vs_update(documents, NULL, &change, VS_UPDATE_PATCH), documents);
    expect(vs_update(documents, NULL, &change, VS_UPDATE_PATCH) == VS_ERR_CONFLICT,
           "the second one comes too late");
}

int main(void) {
    vs_db *db = NULL;
    vs_txn *txn = NULL, *snapshot = NULL;
    vs_open_options how = VS_OPEN_OPTIONS_INIT;
    char last[16] = "";
    size_t bytes = 0;
    remove("transactions.vs"); /* begins anew each time */
    how.flags = VS_OPEN_CREATE;
    ok(vs_open("transactions.vs", &how, &db), db);
    ok(vs_begin(db, VS_TXN_WRITE, &txn), db);
    vs_collection *documents = open_or_create(db, txn, "documents");
    vs_collection *parts = open_or_create(db, txn, "parts");
    ok(vs_commit(txn, VS_SYNC_DEFAULT), db);

    ok(vs_begin(db, VS_TXN_READ, &snapshot), db);
    add_document(db, documents, parts);
    expect(count(documents, snapshot) == 0, "the snapshot does not move");
    expect(count(documents, NULL) == 1 && count(parts, NULL) == 0, "the document is there alone");
    vs_rollback(snapshot);

    raise_pages(documents);
    ok(vs_kv_get(db, NULL, NULL, "last", 4, last, sizeof last, &bytes), db);
    printf("%.*s: %llu document, %llu parts\n", (int)bytes, last,
           (unsigned long long)count(documents, NULL), (unsigned long long)count(parts, NULL));
    vs_collection_close(documents);
    vs_collection_close(parts);
    return vs_close(db) != VS_OK;
}
