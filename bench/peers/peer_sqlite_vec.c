/* peer_sqlite_vec.c - the vec0 table of sqlite-vec, an extension that Debian's SQLite loads. VEC0 in the environment: its file. */
#define _POSIX_C_SOURCE 200809L
#include "peer.h"
#include <sqlite3.h>

typedef struct opened {
    sqlite3 *db;
    sqlite3_stmt *select;
    uint32_t dim;
} opened;

static void must(sqlite3 *db, int rc, const char *what) {
    if (rc != SQLITE_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
        peer_fail(what, sqlite3_errmsg(db));
}

static void run(sqlite3 *db, const char *sql) {
    must(db, sqlite3_exec(db, sql, NULL, NULL, NULL), sql);
}

static sqlite3 *open_db(const char *store) {
    sqlite3 *db = NULL;
    const char *extension = getenv("VEC0");
    must(db, sqlite3_open(store, &db), store);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
    must(db, sqlite3_load_extension(db, extension ? extension : "vec0", NULL, NULL), "VEC0");
    return db;
}

static void build(const peer_rows *base, const char *store, const char *metric) {
    char sql[160];
    sqlite3 *db = open_db(store);
    sqlite3_stmt *insert = NULL;
    snprintf(sql, sizeof sql, "create virtual table t using vec0(v float[%u] distance_metric=%s)",
             (unsigned)base->dim, metric);
    run(db, sql);
    must(db, sqlite3_prepare_v2(db, "insert into t(rowid, v) values(?, ?)", -1, &insert, NULL),
         "insert");
    run(db, "begin");
    for (size_t i = 0; i < base->count; i++) {
        sqlite3_bind_int64(insert, 1, (sqlite3_int64)i);
        sqlite3_bind_blob(insert, 2, base->data + i * base->dim, (int)base->dim * 4, SQLITE_STATIC);
        must(db, sqlite3_step(insert), "insert");
        sqlite3_reset(insert);
    }
    run(db, "commit");
    sqlite3_finalize(insert);
    sqlite3_close(db);
}

static void *open_store(const peer_rows *base, const char *store, const char *metric) {
    opened *o = calloc(1, sizeof *o);
    (void)metric;
    o->db = open_db(store);
    o->dim = base->dim;
    must(o->db,
         sqlite3_prepare_v2(o->db,
                            "select rowid from t where v match ? and k = ? order by distance", -1,
                            &o->select, NULL),
         "select");
    return o;
}

static void search(void *state, const float *queries, size_t count, size_t k, int64_t *ids) {
    opened *o = state;
    size_t n = 0;
    int rc = SQLITE_ROW;
    (void)count; /* always one */
    sqlite3_bind_blob(o->select, 1, queries, (int)o->dim * 4, SQLITE_STATIC);
    sqlite3_bind_int64(o->select, 2, (sqlite3_int64)k);
    for (; (rc = sqlite3_step(o->select)) == SQLITE_ROW; n++)
        ids[n] = sqlite3_column_int64(o->select, 0);
    must(o->db, rc, "select");
    sqlite3_reset(o->select);
    for (; n < k; n++)
        ids[n] = -1;
}

int main(int argc, char **argv) {
    static const peer sqlite_vec = {build, open_store, search, 0, 0, 0};
    return peer_main(&sqlite_vec, argc, argv);
}
