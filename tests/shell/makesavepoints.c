/* makesavepoints.c - makesavepoints FILE [LIMIT]: a database whose log has savepoints, left by a process that
 * ends without closing it. LIMIT: bytes of memory.
 *
 * One transaction of some 12 MB of notes streams to the log, goes back to savepoints that are in it, releases
 * them and uses their numbers again. What stays: collection "c" with keys 0 to 10, vector (key, 2), and the
 * notes a to k. */
#define _POSIX_C_SOURCE 200809L
#include "vecstore.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 20, NOTE_BYTES = 200000 };

static void must(vs_status st, const char *what) {
    if (st == VS_OK)
        return;
    fprintf(stderr, "makesavepoints: %s returned %s\n", what, vs_status_name(st));
    exit(1);
}

static void put(vs_db *db, vs_txn *txn, vs_collection *c, int key, int round) {
    static char note[NOTE_BYTES];
    char note_key = (char)('a' + key);
    float vector[2] = {(float)key, (float)round};
    vs_record record = VS_RECORD_INIT;
    record.key.number = (uint64_t)key;
    record.vector = vector;
    must(vs_put(c, txn, &record, VS_UPSERT), "vs_put");
    memset(note, 'a' + round, sizeof note);
    must(vs_kv_put(db, txn, NULL, &note_key, 1, note, sizeof note - (size_t)(key + round)),
         "vs_kv_put");
}

/* Rows of a round, half of them behind a second savepoint. */
static void put_round(vs_db *db, vs_txn *txn, vs_collection *const c[2], int round, uint32_t *two) {
    for (int key = 0; key < ROWS; key++) {
        put(db, txn, c[round == 0 && key % 2], key, round);
        if (key == ROWS / 2)
            must(vs_savepoint(txn, two), "vs_savepoint");
    }
}

int main(int argc, char **argv) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c[2] = {NULL, NULL};
    vs_txn *txn = NULL;
    vs_db *db = NULL;
    uint32_t one = 0, two = 0;
    if (argc < 2)
        return 2;
    options.flags = VS_OPEN_CREATE;
    options.memory_limit = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    shape.dim = 2;
    must(vs_open(argv[1], &options, &db), "vs_open");
    must(vs_begin(db, VS_TXN_WRITE, &txn), "vs_begin");
    must(vs_collection_create(db, txn, "c", &shape, &c[0]), "vs_collection_create");
    must(vs_savepoint(txn, &one), "vs_savepoint");
    must(vs_collection_create(db, txn, "gone", &shape, &c[1]), "vs_collection_create");
    put_round(db, txn, c, 0, &two);
    must(vs_rollback_to(txn, one), "vs_rollback_to");
    put_round(db, txn, c, 1, &two);
    must(vs_release(txn, two), "vs_release");
    must(vs_rollback_to(txn, one), "vs_rollback_to");
    put_round(db, txn, c, 2, &two);
    must(vs_rollback_to(txn, two), "vs_rollback_to");
    must(vs_commit(txn, VS_SYNC_FULL), "vs_commit");
    _exit(0);
}
