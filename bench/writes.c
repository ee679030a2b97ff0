/* writes.c - how fast records are written durably: in batches, and one by one.
 *
 *   writes vecstore FILE.fvecs DB BATCH SINGLES [full|normal|off]
 *   writes sqlite   FILE.fvecs DB BATCH SINGLES [full|normal|off]          (compiled with -DWITH_SQLITE -lsqlite3)
 *   writes EXT.so   FILE.fvecs DB BATCH SINGLES [full|normal|off]          (likewise: the vec0 table of sqlite-vec)
 *
 * All rows but the last SINGLES are written in transactions of BATCH rows, then those one in a transaction each.
 * SQLite keeps a log too (journal_mode WAL) and syncs it at each commit as told (synchronous). Prints
 * "ROWS/S in batches, ROWS/S singly, bytes per vector after closing". */
#define _POSIX_C_SOURCE 200809L
#include <sys/stat.h>

#include "bench.h"

typedef struct input {
    uint32_t dim;
    size_t rows;
    float *data;
} input;

static void fail(const char *what, const char *why) {
    fprintf(stderr, "writes: %s: %s\n", what, why);
    exit(1);
}

static input input_read(const char *path) {
    input in = {0, 0, NULL};
    FILE *file = fopen(path, "rb");
    if (!file || fread(&in.dim, 4, 1, file) != 1 || fseek(file, 0, SEEK_END))
        fail(path, "cannot be read");
    in.rows = (size_t)ftell(file) / (4 + 4 * (size_t)in.dim);
    in.data = malloc(in.rows * in.dim * 4);
    if (!in.data || fseek(file, 0, SEEK_SET))
        fail(path, "no memory");
    for (size_t i = 0; i < in.rows; i++) {
        uint32_t dim = 0;
        if (fread(&dim, 4, 1, file) != 1 || dim != in.dim ||
            fread(in.data + i * dim, 4, dim, file) != dim)
            fail(path, "rows differ in size");
    }
    fclose(file);
    return in;
}

/* A database being written: one transaction, rows first .. first + count. */
typedef struct writer {
    void *db, *table;
    void (*put)(struct writer *w, const input *in, size_t first, size_t count);
    void (*close)(struct writer *w);
    int sync;
} writer;

/* ---- vecstore ------------------------------------------------------------------------------- */

static void vecstore_put(writer *w, const input *in, size_t first, size_t count) {
    vs_txn *txn = NULL;
    vs_batch batch = VS_BATCH_INIT;
    uint64_t *numbers = malloc(count * sizeof *numbers);
    for (size_t i = 0; i < count; i++)
        numbers[i] = first + i;
    batch.count = count;
    batch.numbers = numbers;
    batch.vectors = in->data + first * in->dim;
    need(vs_begin(w->db, VS_TXN_WRITE, &txn), w->db);
    need(vs_put_batch(w->table, txn, &batch, VS_INSERT), w->table);
    need(vs_commit(txn, w->sync), w->db);
    free(numbers);
}

static void vecstore_close(writer *w) {
    vs_collection_close(w->table);
    need(vs_close(w->db), w->db);
}

static writer vecstore_open(const char *path, const input *in, const char *sync) {
    writer w = {.put = vecstore_put, .close = vecstore_close};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    vs_db *db = NULL;
    vs_collection *c = NULL;
    options.flags = VS_OPEN_CREATE;
    shape.dim = in->dim;
    need(vs_open(path, &options, &db), db);
    need(vs_collection_create(db, NULL, "c", &shape, &c), db);
    w.db = db;
    w.table = c;
    w.sync = *sync == 'f' ? VS_SYNC_FULL : *sync == 'n' ? VS_SYNC_NORMAL : VS_SYNC_OFF;
    return w;
}

/* ---- SQLite, and vectors in it -------------------------------------------------------------- */

#ifdef WITH_SQLITE
#include <sqlite3.h>

static void sql_need(sqlite3 *db, int rc, const char *what) {
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
        fail(what, sqlite3_errmsg(db));
}

static void sql_run(sqlite3 *db, const char *sql) {
    sql_need(db, sqlite3_exec(db, sql, NULL, NULL, NULL), sql);
}

static void sqlite_put(writer *w, const input *in, size_t first, size_t count) {
    sqlite3_stmt *insert = w->table;
    sql_run(w->db, "begin immediate");
    for (size_t i = first; i < first + count; i++) {
        sqlite3_bind_int64(insert, 1, (sqlite3_int64)i);
        sqlite3_bind_blob(insert, 2, in->data + i * in->dim, (int)in->dim * 4, SQLITE_STATIC);
        sql_need(w->db, sqlite3_step(insert), "insert");
        sqlite3_reset(insert);
    }
    sql_run(w->db, "commit");
}

static void sqlite_close(writer *w) {
    sqlite3_finalize(w->table);
    sql_run(w->db, "pragma wal_checkpoint(truncate)");
    sqlite3_close(w->db);
}

static writer sqlite_open(const char *path, const input *in, const char *sync,
                          const char *extension) {
    writer w = {.put = sqlite_put, .close = sqlite_close};
    sqlite3 *db = NULL;
    sqlite3_stmt *insert = NULL;
    char sql[128];
    if (sqlite3_open(path, &db) != SQLITE_OK)
        fail(path, sqlite3_errmsg(db));
    sql_run(db, "pragma journal_mode=wal");
    snprintf(sql, sizeof sql, "pragma synchronous=%s", sync);
    sql_run(db, sql);
    if (extension) {
        sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
        sql_need(db, sqlite3_load_extension(db, extension, NULL, NULL), extension);
        snprintf(sql, sizeof sql,
                 "create virtual table t using vec0(id integer primary key, v float[%u])", in->dim);
    } else {
        snprintf(sql, sizeof sql, "create table t(id integer primary key, v blob not null)");
    }
    sql_run(db, sql);
    sql_need(db, sqlite3_prepare_v2(db, "insert into t(id, v) values(?, ?)", -1, &insert, NULL),
             "insert");
    w.db = db;
    w.table = insert;
    return w;
}
#endif

/* ---- all ------------------------------------------------------------------------------------ */

static writer writer_open(const char *who, const char *path, const input *in, const char *sync) {
    if (!strcmp(who, "vecstore"))
        return vecstore_open(path, in, sync);
#ifdef WITH_SQLITE
    return sqlite_open(path, in, sync, strcmp(who, "sqlite") ? who : NULL);
#else
    fail(who, "was not compiled in");
    exit(1);
#endif
}

int main(int argc, char **argv) {
    if (argc < 6)
        fail("arguments", "vecstore|sqlite|EXT.so FILE.fvecs DB BATCH SINGLES [full|normal|off]");
    const char *path = argv[3], *sync = argc > 6 ? argv[6] : "full";
    const size_t batch = strtoul(argv[4], NULL, 10), singles = strtoul(argv[5], NULL, 10);
    input in = input_read(argv[2]);
    struct stat file;
    if (singles >= in.rows || !batch)
        fail(argv[2], "it has too few rows");
    writer w = writer_open(argv[1], path, &in, sync);
    size_t rows = in.rows - singles;
    double start = seconds_of(CLOCK_MONOTONIC);
    for (size_t i = 0; i < rows; i += batch)
        w.put(&w, &in, i, i + batch < rows ? batch : rows - i);
    double middle = seconds_of(CLOCK_MONOTONIC);
    for (size_t i = rows; i < in.rows; i++)
        w.put(&w, &in, i, 1);
    double end = seconds_of(CLOCK_MONOTONIC);
    w.close(&w);
    if (stat(path, &file))
        fail(path, "is not there");
    printf("%.0f %.0f %.1f\n", (double)rows / (middle - start), (double)singles / (end - middle),
           (double)file.st_size / (double)in.rows);
    free(in.data);
    return 0;
}
