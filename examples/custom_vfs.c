/* custom_vfs.c - a file system of one's own: it passes everything on to the system's files and counts what the
 * library asks of them.
 *
 *   cc -O2 -I. examples/custom_vfs.c vecstore.c -lzstd -lm -lpthread -o custom_vfs && ./custom_vfs
 *
 * A vs_vfs is a struct of functions. One that wraps another copies it and replaces those that it wants to see; the
 * others must still get the context that they know, so here it is the same: this file system keeps its counters in
 * variables of its own. They are atomic, because the functions are called by several threads. */
#include "vecstore.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_ulong reads, writes, written_bytes, syncs;
static const vs_vfs *below;

static vs_status count_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    reads++;
    return below->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

static vs_status count_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    vs_status st = below->write(ctx, file, buf, bytes, offset, out_bytes, why);
    writes++;
    written_bytes += st == VS_OK ? *out_bytes : 0;
    return st;
}

static vs_status count_sync(void *ctx, void *file, char *why) {
    syncs++;
    return below->sync(ctx, file, why);
}

static vs_vfs counting_vfs(void) {
    vs_vfs vfs = *below;
    vfs.read = count_read;
    vfs.write = count_write;
    vfs.sync = count_sync;
    return vfs;
}

static void ok(vs_status st, const void *handle) {
    if (st == VS_OK)
        return;
    fprintf(stderr, "%s: %s\n", vs_status_name(st), vs_errmsg(handle));
    exit(1);
}

/* How many syncs 100 commits of one record take. */
static unsigned long commit_100(vs_collection *c, vs_db *db, int sync) {
    unsigned long before = syncs;
    for (uint64_t key = 0; key < 100; key++) {
        const float vector[2] = {(float)key, (float)sync};
        vs_txn *txn = NULL;
        vs_record record = VS_RECORD_INIT;
        record.key = vs_key_u64(key);
        record.vector = vector;
        ok(vs_begin(db, VS_TXN_WRITE, &txn), db);
        ok(vs_put(c, txn, &record, VS_UPSERT), c);
        ok(vs_commit(txn, sync), db);
    }
    return syncs - before;
}

int main(void) {
    vs_db *db = NULL;
    vs_collection *c = NULL;
    vs_open_options how = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    below = vs_vfs_posix();
    vs_vfs vfs = counting_vfs(); /* outlives the database */
    remove("counted.vs");        /* begins anew each time */
    how.flags = VS_OPEN_CREATE;
    how.vfs = &vfs;
    shape.dim = 2;
    ok(vs_open("counted.vs", &how, &db), db);
    ok(vs_collection_create(db, NULL, "c", &shape, &c), db);
    unsigned long full = commit_100(c, db, VS_SYNC_FULL);
    unsigned long off = commit_100(c, db, VS_SYNC_OFF);
    printf("100 commits: %lu syncs at VS_SYNC_FULL, %lu at VS_SYNC_OFF\n", full, off);
    vs_collection_close(c);
    ok(vs_close(db), NULL);
    printf("%lu reads, %lu writes of %lu bytes, %lu syncs in all\n", (unsigned long)reads,
           (unsigned long)writes, (unsigned long)written_bytes, (unsigned long)syncs);
    return full < 100 || off != 0;
}
