/* churn.c - how large a file stays whose records are all replaced again and again.
 *
 *   churn FILE [RECORDS [DIM [CYCLES]]]
 *
 * Each cycle replaces every record, in commits of 1,000 rows or in one; then there is a checkpoint, or the
 * database is closed. Prints CSV: how, cycle, bytes of the file, bytes of one copy of the vectors, ratio. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"
#include <sys/stat.h>

static vs_db *open_file(const char *path) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = VS_OPEN_CREATE;
    need(vs_open(path, &options, &db), db);
    return db;
}

static void replace_all(vs_db *db, uint64_t records, uint32_t dim, uint64_t rows, uint64_t round) {
    float *vector = malloc(dim * sizeof *vector);
    vs_collection *c = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = dim;
    if (vs_collection_open(db, NULL, "t", &c) != VS_OK)
        need(vs_collection_create(db, NULL, "t", &options, &c), db);
    for (uint64_t key = 0; key < records;) {
        vs_txn *txn = NULL;
        need(vs_begin(db, VS_TXN_WRITE, &txn), db);
        for (uint64_t i = 0; i < rows && key < records; i++, key++) {
            vs_record record = VS_RECORD_INIT;
            for (uint32_t d = 0; d < dim; d++)
                vector[d] = (float)(key * 31 + d * 7 + round);
            record.key.number = key;
            record.vector = vector;
            need(vs_put(c, txn, &record, VS_UPSERT), c);
        }
        need(vs_commit(txn, VS_SYNC_OFF), db);
    }
    vs_collection_close(c);
    free(vector);
}

static void run(const char *path, uint64_t records, uint32_t dim, int cycles, uint64_t rows,
                int closes) {
    remove(path);
    vs_db *db = open_file(path);
    for (int cycle = 0; cycle <= cycles; cycle++) {
        struct stat st;
        replace_all(db, records, dim, rows, (uint64_t)cycle);
        if (closes) {
            need(vs_close(db), db);
            db = open_file(path);
        } else {
            need(vs_checkpoint(db), db);
        }
        stat(path, &st);
        double live = (double)records * dim * sizeof(float);
        printf("%s in %s,%d,%.0f,%.0f,%.2f\n", closes ? "close" : "checkpoint",
               rows < records ? "commits of 1000" : "one commit", cycle, (double)st.st_size, live,
               (double)st.st_size / live);
    }
    need(vs_close(db), db);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: churn FILE [RECORDS [DIM [CYCLES]]]\n");
        return 2;
    }
    uint64_t records = argc > 2 ? strtoull(argv[2], NULL, 10) : 50000;
    uint32_t dim = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 128;
    int cycles = argc > 4 ? atoi(argv[4]) : 10;
    printf("how,cycle,file_bytes,vector_bytes,ratio\n");
    for (int closes = 0; closes < 2; closes++) {
        run(argv[1], records, dim, cycles, 1000, closes);
        run(argv[1], records, dim, cycles, records, closes);
    }
    return 0;
}
