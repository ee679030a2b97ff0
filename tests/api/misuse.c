/* misuse.c - every public function with wrong arguments: the documented status, and nothing changes.
 *
 * A call is described once, with arguments that are right but for its handle and its transaction. One test shows
 * that all of these calls succeed; the others put wrong handles and transactions into them. What else can be wrong
 * of a call has tests of its own. Each refused call is compared: the states of both databases and of an open
 * transaction, and all that the call might have written, are the same before and after it. */
#include "sample.h"

#include <math.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIM = 4, ROOM = 8, FILL = 0xa5 };

/* ---- memory that stays ---------------------------------------------------------------------- */

/* Freed memory stays as it is until the end of a test, so that the use of a closed handle has an outcome. */
typedef struct grave {
    struct grave *next;
    void *block;
} grave;

static void *graves_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    grave **graves = ctx;
    void *fresh = new_bytes ? malloc(new_bytes) : NULL;
    if (new_bytes && !fresh)
        return NULL;
    if (ptr && fresh)
        memcpy(fresh, ptr, old_bytes < new_bytes ? old_bytes : new_bytes);
    if (ptr) {
        grave *g = malloc(sizeof *g);
        VT_CHECK(g != NULL);
        *g = (grave){*graves, ptr};
        *graves = g;
    }
    return fresh;
}

static void graves_empty(grave **graves) {
    while (*graves) {
        grave *g = *graves;
        *graves = g->next;
        free(g->block);
        free(g);
    }
}

/* ---- two databases with open handles -------------------------------------------------------- */

/* What calls write to. */
typedef struct outs {
    vs_db *db;
    vs_txn *txn;
    vs_collection *collection;
    vs_cursor *cursor;
    vs_vfs *vfs;
    vs_collection_info info;
    vs_field_info field;
    vs_alias_info alias;
    vs_collection_stats sizes;
    vs_param_info param;
    vs_limit_info limit;
    vs_stats stats;
    vs_record record, records[2];
    vs_hit hit;
    void *block;
    vs_status statuses[ROOM];
    uint64_t number, numbers[ROOM];
    size_t count, counts[ROOM];
    double distance;
    int answer;
    float vectors[ROOM * DIM];
    uint32_t savepoint;
    char text[64];
} outs;

typedef struct world {
    grave *graves;
    vs_vfs *vfs;
    vs_db *db, *other;
    vs_collection *c, *other_c;
    vs_txn *read, *other_read, *other_write;
    vs_txn *write;            /* NULL, or one of db */
    vs_cursor *cursor, *near; /* of vs_scan, of vs_search_open */
    outs out, before;
    vs_hit hits[ROOM * ROOM]; /* may be written to by calls that fail */
    vs_stats stats[2];
    vs_collection_info staged;
} world;

static const float vector[DIM] = {1, 2, 3, 4};

static vs_collection *fill(vs_db *db) {
    vs_field fields[2] = {VS_FIELD_INIT, VS_FIELD_INIT};
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    fields[0].dim = DIM;
    fields[1].dim = 2;
    fields[1].type = VS_U8;
    fields[1].name = "small";
    fields[1].flags = VS_FIELD_OPTIONAL;
    options.fields = fields;
    options.field_count = 2;
    VT_OK(vs_collection_create(db, NULL, "c", &options, &c), db);
    for (uint64_t key = 1; key <= 5; key++)
        sample_put(c, NULL, key, (float[DIM]){(float)key, 1, 2, 3}, "{\"a\":1}");
    VT_OK(vs_alias_set(db, NULL, "alias", c), db);
    VT_OK(vs_kv_put(db, NULL, NULL, "note", 4, "value", 5), db);
    return c;
}

static vs_db *world_database(world *w, const char *path) {
    vs_allocator allocator = {&w->graves, graves_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = VS_OPEN_CREATE;
    options.vfs = w->vfs;
    options.allocator = &allocator;
    VT_OK(vs_open(path, &options, &db), db);
    return db;
}

static void outs_reset(outs *out) {
    const vs_collection_info info = VS_COLLECTION_INFO_INIT;
    const vs_field_info field = VS_FIELD_INFO_INIT;
    const vs_alias_info alias = VS_ALIAS_INFO_INIT;
    const vs_collection_stats sizes = VS_COLLECTION_STATS_INIT;
    const vs_param_info param = VS_PARAM_INFO_INIT;
    const vs_limit_info limit = VS_LIMIT_INFO_INIT;
    const vs_stats stats = VS_STATS_INIT;
    const vs_record record = VS_RECORD_INIT;
    memset(out, FILL, sizeof *out);
    out->db = NULL;
    out->txn = NULL;
    out->collection = NULL;
    out->cursor = NULL;
    out->vfs = NULL;
    out->block = NULL;
    out->sizes = sizes;
    out->param = param;
    out->limit = limit;
    out->info = info;
    out->field = field;
    out->alias = alias;
    out->stats = stats;
    out->record = out->records[0] = out->records[1] = record;
}

static void world_make(world *w) {
    memset(w, 0, sizeof *w);
    VT_EQ(vs_vfs_memory_create(NULL, &w->vfs), VS_OK);
    w->db = world_database(w, "t.vs");
    w->other = world_database(w, "other.vs");
    w->c = fill(w->db);
    w->other_c = fill(w->other);
    w->read = sample_begin(w->db, VS_TXN_READ);
    w->other_read = sample_begin(w->other, VS_TXN_READ);
    w->other_write = sample_begin(w->other, VS_TXN_WRITE);
    VT_OK(vs_scan(w->c, NULL, NULL, &w->cursor), w->c);
    VT_EQ(vs_step(w->cursor), VS_ROW);
    VT_OK(vs_search_open(w->c, NULL, vector, VS_F32, NULL, &w->near), w->c);
    VT_EQ(vs_step(w->near), VS_ROW);
    outs_reset(&w->out);
}

/* A write transaction with something in it. */
static void world_begin(world *w) {
    uint32_t savepoint = 0;
    w->write = sample_begin(w->db, VS_TXN_WRITE);
    sample_put(w->c, w->write, 6, vector, NULL);
    VT_OK(vs_savepoint(w->write, &savepoint), w->write);
    VT_EQ(savepoint, 1);
}

/* Ends what a call that succeeded has opened. */
static void world_tidy(world *w) {
    vs_cursor_close(w->out.cursor);
    vs_collection_close(w->out.collection);
    vs_rollback(w->out.txn);
    vs_free(w->out.block);
    outs_reset(&w->out);
}

static void world_end(world *w) {
    world_tidy(w);
    vs_cursor_close(w->cursor);
    vs_cursor_close(w->near);
    vs_rollback(w->write);
    vs_rollback(w->read);
    vs_rollback(w->other_read);
    vs_rollback(w->other_write);
    vs_collection_close(w->c);
    vs_collection_close(w->other_c);
    sample_check(w->db);
    VT_OK(vs_close(w->db), w->db);
    VT_OK(vs_close(w->other), w->other);
    vs_vfs_memory_destroy(w->vfs);
    graves_empty(&w->graves);
}

/* ---- nothing changes ------------------------------------------------------------------------ */

static void world_note(world *w) {
    const vs_collection_info info = VS_COLLECTION_INFO_INIT;
    w->stats[0] = sample_stats(w->db);
    w->stats[1] = sample_stats(w->other);
    w->staged = info;
    if (w->write)
        VT_OK(vs_collection_info_get(w->c, w->write, &w->staged), w->c);
    w->before = w->out;
}

static void check_stats(const vs_stats *now, const vs_stats *then) {
    VT_EQ(now->digest[0], then->digest[0]);
    VT_EQ(now->digest[1], then->digest[1]);
    VT_EQ(now->lsn, then->lsn);
    VT_EQ(now->commits, then->commits);
    VT_EQ(now->log_bytes, then->log_bytes);
    VT_EQ(now->file_bytes, then->file_bytes);
    VT_EQ(now->checkpoints, then->checkpoints);
    VT_EQ(now->readers, then->readers);
    VT_STR(now->readonly_reason, "");
}

static void world_compare(world *w) {
    vs_stats db = sample_stats(w->db), other = sample_stats(w->other);
    check_stats(&db, &w->stats[0]);
    check_stats(&other, &w->stats[1]);
    VT_CHECK(!memcmp(&w->before, &w->out, sizeof w->out));
    if (w->write) {
        vs_collection_info info = VS_COLLECTION_INFO_INIT;
        VT_OK(vs_collection_info_get(w->c, w->write, &info), w->c);
        VT_EQ(info.count, w->staged.count);
        VT_EQ(info.bytes, w->staged.bytes);
        VT_EQ(info.max_records, w->staged.max_records);
        VT_STR(info.name, w->staged.name);
    }
}

/* A call that must be refused with a status, and change nothing. */
#define REFUSED(w, call, status)                                                                   \
    do {                                                                                           \
        world_note(w);                                                                             \
        VT_EQ((call), (status));                                                                   \
        world_compare(w);                                                                          \
    } while (0)

/* And with a message on a handle that has this part. */
#define REFUSED_WITH(w, call, status, handle, part)                                                \
    do {                                                                                           \
        REFUSED(w, call, status);                                                                  \
        VT_CONTAINS(vs_errmsg(handle), part);                                                      \
        VT_EQ(vs_extended_errcode(handle) & 0xff, (status));                                       \
    } while (0)

/* ---- calls that are right ------------------------------------------------------------------- */

static vs_status do_create(world *w, void *handle, vs_txn *txn) {
    vs_collection_options options = sample_options(2, VS_F32, VS_L2);
    return vs_collection_create(handle, txn, "new", &options, &w->out.collection);
}

static vs_status do_open_collection(world *w, void *handle, vs_txn *txn) {
    return vs_collection_open(handle, txn, "c", &w->out.collection);
}

static vs_status do_collection_at(world *w, void *handle, vs_txn *txn) {
    return vs_collection_at(handle, txn, 0, &w->out.info);
}

static vs_status do_alias_set(world *w, void *handle, vs_txn *txn) {
    return vs_alias_set(handle, txn, "second", w->c);
}

static vs_status do_alias_at(world *w, void *handle, vs_txn *txn) {
    return vs_alias_at(handle, txn, 0, &w->out.alias);
}

static vs_status do_kv_put(world *w, void *handle, vs_txn *txn) {
    return vs_kv_put(handle, txn, w->c, "k", 1, "v", 1);
}

static vs_status do_kv_get(world *w, void *handle, vs_txn *txn) {
    return vs_kv_get(handle, txn, NULL, "note", 4, w->out.text, sizeof w->out.text, &w->out.count);
}

static vs_status do_begin(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_begin(handle, VS_TXN_WRITE, &w->out.txn);
}

static vs_status do_sync(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_sync(handle);
}

static vs_status do_checkpoint(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_checkpoint(handle);
}

static vs_status do_maintain(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_maintain(handle, 0, &w->out.number);
}

static vs_status do_interrupt(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_interrupt(handle);
}

static vs_status do_stats(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_stats_get(handle, &w->out.stats);
}

static vs_status do_check(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_check(handle, 1, NULL, NULL, &w->out.number);
}

static vs_status do_info(world *w, void *handle, vs_txn *txn) {
    return vs_collection_info_get(handle, txn, &w->out.info);
}

static vs_status do_rename(world *w, void *handle, vs_txn *txn) {
    (void)w;
    return vs_collection_rename(handle, txn, "renamed");
}

static vs_status do_set_limits(world *w, void *handle, vs_txn *txn) {
    (void)w;
    return vs_collection_set_limits(handle, txn, 1000, 0);
}

static vs_status do_field_at(world *w, void *handle, vs_txn *txn) {
    return vs_field_at(handle, txn, 1, &w->out.field);
}

static vs_status do_put(world *w, void *handle, vs_txn *txn) {
    (void)w;
    vs_record record = sample_record(9, vector, NULL);
    return vs_put(handle, txn, &record, VS_INSERT);
}

static vs_batch two_rows(world *w) {
    static const float rows[2][DIM] = {{1}, {2}};
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 2;
    batch.vectors = rows;
    batch.statuses = w->out.statuses;
    return batch;
}

static vs_status do_put_batch(world *w, void *handle, vs_txn *txn) {
    vs_batch batch = two_rows(w);
    batch.numbers = (const uint64_t[]){20, 21};
    return vs_put_batch(handle, txn, &batch, VS_INSERT);
}

static vs_status do_append(world *w, void *handle, vs_txn *txn) {
    vs_record record = sample_record(0, vector, NULL);
    return vs_append(handle, txn, &record, &w->out.number);
}

static vs_status do_append_batch(world *w, void *handle, vs_txn *txn) {
    vs_batch batch = two_rows(w);
    return vs_append_batch(handle, txn, &batch, w->out.numbers);
}

static vs_status do_get(world *w, void *handle, vs_txn *txn) {
    return vs_get(handle, txn, vs_key_u64(1), &w->out.record);
}

static vs_status do_delete(world *w, void *handle, vs_txn *txn) {
    (void)w;
    return vs_delete(handle, txn, vs_key_u64(2));
}

static vs_status do_delete_batch(world *w, void *handle, vs_txn *txn) {
    vs_key keys[2] = {vs_key_u64(3), vs_key_u64(99)};
    return vs_delete_batch(handle, txn, keys, 2, &w->out.number);
}

static vs_status do_set_metadata(world *w, void *handle, vs_txn *txn) {
    (void)w;
    return vs_set_metadata(handle, txn, vs_key_u64(1), "{}", 0);
}

static vs_status do_update(world *w, void *handle, vs_txn *txn) {
    (void)w;
    vs_record record = sample_record(1, NULL, "{\"b\":2}");
    return vs_update(handle, txn, &record, VS_UPDATE_PATCH);
}

static vs_status do_get_vectors(world *w, void *handle, vs_txn *txn) {
    vs_key keys[2] = {vs_key_u64(1), vs_key_u64(99)};
    return vs_get_vectors(handle, txn, 0, keys, 2, w->out.vectors, 0, w->out.statuses);
}

static vs_status do_count(world *w, void *handle, vs_txn *txn) {
    return vs_count(handle, txn, &w->out.number);
}

static vs_status do_search(world *w, void *handle, vs_txn *txn) {
    return vs_search(handle, txn, vector, VS_F32, 2, NULL, w->hits, &w->out.count);
}

static vs_status do_search_batch(world *w, void *handle, vs_txn *txn) {
    return vs_search_batch(handle, txn, vector, VS_F32, 0, 1, 2, NULL, w->hits, w->out.counts);
}

static vs_status do_search_radius(world *w, void *handle, vs_txn *txn) {
    return vs_search_radius(handle, txn, vector, VS_F32, 1e9, NULL, 2, w->hits, &w->out.count,
                            &w->out.number);
}

static vs_status do_search_key(world *w, void *handle, vs_txn *txn) {
    return vs_search_key(handle, txn, vs_key_u64(1), 2, NULL, w->hits, &w->out.count);
}

static vs_status do_distance(world *w, void *handle, vs_txn *txn) {
    return vs_distance(handle, txn, vs_key_u64(1), vs_key_u64(4), NULL, &w->out.distance);
}

static vs_status do_scan(world *w, void *handle, vs_txn *txn) {
    return vs_scan(handle, txn, NULL, &w->out.cursor);
}

static vs_status do_get_batch(world *w, void *handle, vs_txn *txn) {
    const vs_key keys[1] = {vs_key_u64(1)};
    return vs_get_batch(handle, txn, keys, 1, &w->out.record, w->out.statuses);
}

static vs_status do_exists(world *w, void *handle, vs_txn *txn) {
    return vs_exists(handle, txn, vs_key_u64(1), &w->out.answer);
}

static vs_status do_set_hooks(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_set_hooks(handle, NULL);
}

static vs_status do_token(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_txn_token(handle, "token", 5, &w->out.number);
}

static vs_status do_savepoint(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_savepoint(handle, &w->out.savepoint);
}

static vs_status do_rollback_to(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_rollback_to(handle, 1);
}

static vs_status do_release(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_release(handle, 1);
}

static vs_status do_commit(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    vs_status st = vs_commit(handle, VS_SYNC_DEFAULT);
    if (st == VS_OK && handle == w->write)
        w->write = NULL;
    return st;
}

static vs_status do_copy(world *w, void *handle, vs_txn *txn) {
    return vs_collection_copy(handle, txn, "copy", &w->out.collection);
}

static vs_status do_drop(world *w, void *handle, vs_txn *txn) {
    (void)w;
    return vs_collection_drop(handle, txn);
}

static vs_status do_sizes(world *w, void *handle, vs_txn *txn) {
    return vs_collection_stats_get(handle, txn, &w->out.sizes);
}

static vs_status do_payload_write(world *w, void *handle, vs_txn *txn) {
    (void)w;
    return vs_payload_write(handle, txn, vs_key_u64(1), 0, "payload", 7);
}

static vs_status do_payload_truncate(world *w, void *handle, vs_txn *txn) {
    (void)w;
    return vs_payload_truncate(handle, txn, vs_key_u64(1), 0);
}

static vs_status do_payload_read(world *w, void *handle, vs_txn *txn) {
    return vs_payload_read(handle, txn, vs_key_u64(1), 0, w->out.text, sizeof w->out.text,
                           &w->out.count);
}

static vs_status do_search_open(world *w, void *handle, vs_txn *txn) {
    return vs_search_open(handle, txn, vector, VS_F32, NULL, &w->out.cursor);
}

static vs_status do_cursor_hit(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    bool is_right = handle && handle == w->cursor;
    return vs_cursor_hit(is_right ? w->near : handle, &w->out.hit);
}

static vs_status do_set_timeout(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_set_timeout(handle, 0);
}

static vs_status do_vacuum(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_vacuum(handle, 0, &w->out.number);
}

static vs_status do_serialize(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_serialize(handle, &w->out.block, &w->out.count);
}

static vs_status take_piece(void *ctx, const void *data, size_t bytes, uint64_t offset) {
    (void)ctx, (void)offset;
    return data && bytes ? VS_OK : VS_ERR_IO;
}

static vs_status do_serialize_to(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_serialize_to(handle, take_piece, NULL);
}

static vs_status do_param_at(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_param_at(handle, 0, &w->out.param);
}

static vs_status do_param_get(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_param_get(handle, "memory_limit", &w->out.param);
}

static vs_status do_param_set(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_param_set(handle, "busy_timeout_ms", 100);
}

static vs_status do_step(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_step(handle);
}

static vs_status do_cursor_record(world *w, void *handle, vs_txn *txn) {
    (void)txn;
    return vs_cursor_record(handle, &w->out.record);
}

static vs_status do_close(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    return vs_close(handle);
}

static vs_status do_collection_close(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    vs_collection_close(handle);
    return VS_ERR_MISUSE; /* as the calls that can say it */
}

static vs_status do_cursor_close(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    vs_cursor_close(handle);
    return VS_ERR_MISUSE;
}

static vs_status do_rollback(world *w, void *handle, vs_txn *txn) {
    (void)w, (void)txn;
    vs_rollback(handle);
    return VS_ERR_MISUSE;
}

/* Kinds of handles, and what a call's txn is for. */
enum { DB, TXN, COLLECTION, CURSOR, KINDS };
enum { NO_TXN, READS, CHANGES };

static const char *const kind_names[KINDS] = {"vs_db", "vs_txn", "vs_collection", "vs_cursor"};

typedef struct call {
    const char *name;
    vs_status (*run)(world *w, void *handle, vs_txn *txn);
    int kind, txn;
    bool takes_null; /* NULL is no mistake */
    bool ends;       /* ends its handle */
} call;

static const call calls[] = {
    {"vs_collection_create", do_create, DB, CHANGES, 0, 0},
    {"vs_collection_open", do_open_collection, DB, READS, 0, 0},
    {"vs_collection_at", do_collection_at, DB, READS, 0, 0},
    {"vs_alias_set", do_alias_set, DB, CHANGES, 0, 0},
    {"vs_alias_at", do_alias_at, DB, READS, 0, 0},
    {"vs_kv_put", do_kv_put, DB, CHANGES, 0, 0},
    {"vs_kv_get", do_kv_get, DB, READS, 0, 0},
    {"vs_begin", do_begin, DB, NO_TXN, 0, 0},
    {"vs_sync", do_sync, DB, NO_TXN, 0, 0},
    {"vs_checkpoint", do_checkpoint, DB, NO_TXN, 0, 0},
    {"vs_maintain", do_maintain, DB, NO_TXN, 0, 0},
    {"vs_interrupt", do_interrupt, DB, NO_TXN, 0, 0},
    {"vs_stats_get", do_stats, DB, NO_TXN, 0, 0},
    {"vs_check", do_check, DB, NO_TXN, 0, 0},
    {"vs_set_hooks", do_set_hooks, DB, NO_TXN, 0, 0},
    {"vs_set_timeout", do_set_timeout, DB, NO_TXN, 0, 0},
    {"vs_vacuum", do_vacuum, DB, NO_TXN, 0, 0},
    {"vs_serialize", do_serialize, DB, NO_TXN, 0, 0},
    {"vs_serialize_to", do_serialize_to, DB, NO_TXN, 0, 0},
    {"vs_param_at", do_param_at, DB, NO_TXN, 1, 0},
    {"vs_param_get", do_param_get, DB, NO_TXN, 1, 0},
    {"vs_param_set", do_param_set, DB, NO_TXN, 0, 0},
    {"vs_close", do_close, DB, NO_TXN, 1, 1},
    {"vs_collection_info_get", do_info, COLLECTION, READS, 0, 0},
    {"vs_collection_set_limits", do_set_limits, COLLECTION, CHANGES, 0, 0},
    {"vs_field_at", do_field_at, COLLECTION, READS, 0, 0},
    {"vs_put", do_put, COLLECTION, CHANGES, 0, 0},
    {"vs_put_batch", do_put_batch, COLLECTION, CHANGES, 0, 0},
    {"vs_append", do_append, COLLECTION, CHANGES, 0, 0},
    {"vs_append_batch", do_append_batch, COLLECTION, CHANGES, 0, 0},
    {"vs_get", do_get, COLLECTION, READS, 0, 0},
    {"vs_get_batch", do_get_batch, COLLECTION, READS, 0, 0},
    {"vs_exists", do_exists, COLLECTION, READS, 0, 0},
    {"vs_delete", do_delete, COLLECTION, CHANGES, 0, 0},
    {"vs_delete_batch", do_delete_batch, COLLECTION, CHANGES, 0, 0},
    {"vs_set_metadata", do_set_metadata, COLLECTION, CHANGES, 0, 0},
    {"vs_update", do_update, COLLECTION, CHANGES, 0, 0},
    {"vs_get_vectors", do_get_vectors, COLLECTION, READS, 0, 0},
    {"vs_count", do_count, COLLECTION, READS, 0, 0},
    {"vs_search", do_search, COLLECTION, READS, 0, 0},
    {"vs_search_batch", do_search_batch, COLLECTION, READS, 0, 0},
    {"vs_search_radius", do_search_radius, COLLECTION, READS, 0, 0},
    {"vs_search_key", do_search_key, COLLECTION, READS, 0, 0},
    {"vs_distance", do_distance, COLLECTION, READS, 0, 0},
    {"vs_scan", do_scan, COLLECTION, READS, 0, 0},
    {"vs_collection_stats_get", do_sizes, COLLECTION, READS, 0, 0},
    {"vs_payload_write", do_payload_write, COLLECTION, CHANGES, 0, 0},
    {"vs_payload_truncate", do_payload_truncate, COLLECTION, CHANGES, 0, 0},
    {"vs_payload_read", do_payload_read, COLLECTION, READS, 0, 0},
    {"vs_search_open", do_search_open, COLLECTION, READS, 0, 0},
    {"vs_collection_copy", do_copy, COLLECTION, CHANGES, 0, 0},
    {"vs_collection_drop", do_drop, COLLECTION, CHANGES, 0, 0},
    {"vs_collection_rename", do_rename, COLLECTION, CHANGES, 0, 0},
    {"vs_collection_close", do_collection_close, COLLECTION, NO_TXN, 1, 1},
    {"vs_savepoint", do_savepoint, TXN, NO_TXN, 0, 0},
    {"vs_rollback_to", do_rollback_to, TXN, NO_TXN, 0, 0},
    {"vs_release", do_release, TXN, NO_TXN, 0, 0},
    {"vs_txn_token", do_token, TXN, NO_TXN, 0, 0},
    {"vs_commit", do_commit, TXN, NO_TXN, 0, 1},
    {"vs_rollback", do_rollback, TXN, NO_TXN, 1, 1},
    {"vs_step", do_step, CURSOR, NO_TXN, 0, 0},
    {"vs_cursor_record", do_cursor_record, CURSOR, NO_TXN, 0, 0},
    {"vs_cursor_hit", do_cursor_hit, CURSOR, NO_TXN, 0, 0},
    {"vs_cursor_close", do_cursor_close, CURSOR, NO_TXN, 1, 1},
};

enum { CALLS = sizeof calls / sizeof calls[0] };

/* What needs the place of the writer though it takes no transaction. */
static bool takes_role(const call *one) {
    return one->txn == CHANGES || one->run == do_begin || one->run == do_checkpoint ||
           one->run == do_vacuum;
}

static void *handle_of(const world *w, int kind) {
    return kind == DB           ? (void *)w->db
           : kind == COLLECTION ? (void *)w->c
           : kind == CURSOR     ? (void *)w->cursor
           : w->write           ? (void *)w->write
                                : (void *)w->read;
}

/* ---- handles -------------------------------------------------------------------------------- */

VT_TEST(each_call_of_these_tests_succeeds_with_the_right_handles) {
    static world w;
    for (size_t i = 0; i < CALLS; i++) {
        const call *one = &calls[i];
        for (int has_txn = 0; has_txn <= (one->txn != NO_TXN); has_txn++) {
            bool writes = one->kind == TXN || (has_txn && one->txn == CHANGES);
            if (one->ends && one->kind != TXN)
                continue; /* the end of each world shows it */
            vt_at(one->name, (uint64_t)has_txn);
            world_make(&w);
            if (writes)
                world_begin(&w);
            if (one->run == do_begin && w.write)
                vs_rollback(w.write), w.write = NULL;
            vs_txn *txn = !has_txn ? NULL : writes ? w.write : w.read;
            vs_status st = one->run(&w, handle_of(&w, one->kind), txn);
            if (one->run == do_rollback)
                w.write = NULL;
            VT_EQ(st, one->run == do_step       ? VS_ROW
                      : one->run == do_rollback ? VS_ERR_MISUSE
                                                : VS_OK);
            if (one->kind == TXN && one->txn == NO_TXN && w.write)
                VT_STR(vs_errmsg(w.write), "");
            world_end(&w);
        }
    }
}

VT_TEST(null_handles_are_misuse_and_the_ends_of_handles_take_them) {
    static world w;
    world_make(&w);
    for (size_t i = 0; i < CALLS; i++) {
        vt_at(calls[i].name, 0);
        vs_status st = calls[i].run == do_close ? VS_OK : VS_ERR_MISUSE;
        if (calls[i].takes_null && !calls[i].ends)
            continue; /* of no database: the defaults */
        REFUSED(&w, calls[i].run(&w, NULL, NULL), st);
    }
    world_end(&w);
}

VT_TEST(a_handle_of_another_kind_is_misuse_of_every_call_and_is_told_so) {
    static world w;
    char expected[64];
    world_make(&w);
    world_begin(&w);
    for (size_t i = 0; i < CALLS; i++)
        for (int kind = 0; kind < KINDS; kind++) {
            if (kind == calls[i].kind)
                continue;
            void *wrong = handle_of(&w, kind);
            vt_at(calls[i].name, (uint64_t)kind);
            REFUSED(&w, calls[i].run(&w, wrong, NULL), VS_ERR_MISUSE);
            snprintf(expected, sizeof expected, "this is a %s, the call is one of a %s",
                     kind_names[kind], kind_names[calls[i].kind]);
            VT_STR(vs_errmsg(wrong), expected);
            VT_EQ(vs_extended_errcode(wrong), VS_ERR_MISUSE);
        }
    world_end(&w);
}

VT_TEST(a_handle_that_is_closed_is_misuse_of_every_call) {
    static world w;
    void *closed[KINDS];
    world_make(&w);
    vs_db *db = world_database(&w, "closed.vs");
    closed[DB] = db;
    closed[TXN] = sample_begin(w.db, VS_TXN_WRITE);
    VT_OK(vs_collection_open(w.db, NULL, "c", &w.out.collection), w.db);
    VT_OK(vs_scan(w.c, NULL, NULL, &w.out.cursor), w.c);
    closed[COLLECTION] = w.out.collection;
    closed[CURSOR] = w.out.cursor;
    vs_rollback(closed[TXN]);
    VT_OK(vs_close(db), db);
    world_tidy(&w);
    for (size_t i = 0; i < CALLS; i++)
        for (int kind = 0; kind < KINDS; kind++) {
            vt_at(calls[i].name, (uint64_t)kind);
            REFUSED(&w, calls[i].run(&w, closed[kind], NULL), VS_ERR_MISUSE);
            VT_STR(vs_errmsg(closed[kind]), "");
            VT_EQ(vs_extended_errcode(closed[kind]), VS_ERR_MISUSE);
        }
    for (size_t i = 0; i < CALLS; i++) /* its end is told by the handle of the call */
        if (calls[i].txn != NO_TXN)
            REFUSED(&w, calls[i].run(&w, handle_of(&w, calls[i].kind), closed[TXN]), VS_ERR_MISUSE);
    world_end(&w);
}

VT_TEST(the_handle_of_a_failed_open_is_misuse_of_every_call_and_keeps_its_message) {
    static world w;
    vs_db *failed = NULL;
    world_make(&w);
    VT_EQ(vs_open("/nowhere/at/all.vs", NULL, &failed), VS_ERR_NOT_FOUND);
    for (size_t i = 0; i < CALLS; i++)
        if (calls[i].run != do_close) {
            vt_at(calls[i].name, 0);
            REFUSED(&w, calls[i].run(&w, failed, NULL), VS_ERR_MISUSE);
            VT_CONTAINS(vs_errmsg(failed), "/nowhere/at/all.vs");
        }
    VT_EQ(vs_close(failed), VS_OK);
    world_end(&w);
}

/* ---- transactions --------------------------------------------------------------------------- */

VT_TEST(a_transaction_of_another_database_is_misuse_of_every_call) {
    static world w;
    world_make(&w);
    for (size_t i = 0; i < CALLS; i++) {
        void *handle = handle_of(&w, calls[i].kind);
        if (calls[i].txn == NO_TXN)
            continue;
        vt_at(calls[i].name, 0);
        REFUSED_WITH(&w, calls[i].run(&w, handle, w.other_read), VS_ERR_MISUSE, handle,
                     "belongs to another database");
        REFUSED_WITH(&w, calls[i].run(&w, handle, w.other_write), VS_ERR_MISUSE, handle,
                     "belongs to another database");
    }
    world_end(&w);
}

VT_TEST(another_kind_of_handle_in_place_of_a_transaction_is_misuse_of_every_call) {
    static world w;
    world_make(&w);
    for (size_t i = 0; i < CALLS; i++)
        for (int kind = 0; kind < KINDS; kind++) {
            void *handle = handle_of(&w, calls[i].kind);
            if (calls[i].txn == NO_TXN || kind == TXN)
                continue;
            vt_at(calls[i].name, (uint64_t)kind);
            REFUSED_WITH(&w, calls[i].run(&w, handle, handle_of(&w, kind)), VS_ERR_MISUSE, handle,
                         "no open transaction");
        }
    world_end(&w);
}

VT_TEST(a_read_transaction_is_misuse_of_every_call_that_changes_something) {
    static world w;
    world_make(&w);
    for (size_t i = 0; i < CALLS; i++) {
        void *handle = handle_of(&w, calls[i].kind);
        vt_at(calls[i].name, 0);
        if (calls[i].txn == CHANGES)
            REFUSED_WITH(&w, calls[i].run(&w, handle, w.read), VS_ERR_MISUSE, handle,
                         "a read transaction cannot change");
    }
    REFUSED_WITH(&w, vs_savepoint(w.read, &w.out.savepoint), VS_ERR_MISUSE, w.read,
                 "a read transaction has no savepoints");
    REFUSED_WITH(&w, vs_rollback_to(w.read, 1), VS_ERR_MISUSE, w.read, "has no savepoints");
    REFUSED_WITH(&w, vs_release(w.read, 1), VS_ERR_MISUSE, w.read, "has no savepoints");
    world_end(&w);
}

VT_TEST(a_second_write_transaction_of_the_same_thread_is_misuse_at_once) {
    static world w;
    world_make(&w);
    world_begin(&w);
    for (size_t i = 0; i < CALLS; i++) {
        void *handle = handle_of(&w, calls[i].kind);
        vt_at(calls[i].name, 0);
        if (takes_role(&calls[i]))
            REFUSED_WITH(&w, calls[i].run(&w, handle, NULL), VS_ERR_MISUSE, handle,
                         "already has a write transaction");
    }
    world_end(&w);
}

VT_TEST(a_cursor_of_a_transaction_that_has_ended_is_misuse) {
    static world w;
    world_make(&w);
    world_begin(&w);
    VT_OK(vs_scan(w.c, w.write, NULL, &w.out.cursor), w.c);
    VT_EQ(vs_step(w.out.cursor), VS_ROW);
    VT_OK(vs_commit(w.write, VS_SYNC_DEFAULT), w.db);
    w.write = NULL;
    REFUSED_WITH(&w, vs_step(w.out.cursor), VS_ERR_MISUSE, w.out.cursor, "has ended");
    REFUSED_WITH(&w, vs_cursor_record(w.out.cursor, &w.out.record), VS_ERR_MISUSE, w.out.cursor,
                 "stands on no record");
    world_end(&w);
}

VT_TEST(a_collection_whose_creation_was_rolled_back_is_not_found_by_every_call) {
    static world w;
    vs_collection_options options = sample_options(DIM, VS_F32, VS_L2);
    vs_collection *gone = NULL;
    world_make(&w);
    world_begin(&w);
    VT_OK(vs_collection_create(w.db, w.write, "gone", &options, &gone), w.write);
    vs_rollback(w.write);
    w.write = NULL;
    for (size_t i = 0; i < CALLS; i++) {
        vt_at(calls[i].name, 0);
        if (calls[i].kind == COLLECTION && !calls[i].ends)
            REFUSED_WITH(&w, calls[i].run(&w, gone, NULL), VS_ERR_NOT_FOUND, gone, "'gone'");
    }
    REFUSED_WITH(&w, vs_alias_set(w.db, NULL, "x", gone), VS_ERR_NOT_FOUND, w.db, "'gone'");
    REFUSED_WITH(&w, vs_kv_put(w.db, NULL, gone, "k", 1, "v", 1), VS_ERR_NOT_FOUND, w.db, "'gone'");
    REFUSED(&w, vs_kv_get(w.db, NULL, gone, "note", 4, NULL, 0, &w.out.count), VS_ERR_NOT_FOUND);
    vs_collection_close(gone);
    world_end(&w);
}

VT_TEST(a_database_opened_for_reading_refuses_every_change) {
    static world w;
    memset(&w, 0, sizeof w);
    VT_EQ(vs_vfs_memory_create(NULL, &w.vfs), VS_OK);
    vs_db *db = sample_open(w.vfs, "t.vs", VS_OPEN_CREATE);
    vs_collection_close(fill(db));
    VT_OK(vs_close(db), db);
    w.db = sample_open(w.vfs, "t.vs", VS_OPEN_READONLY);
    w.other = sample_open(w.vfs, "t.vs", VS_OPEN_READONLY);
    w.c = sample_collection(w.db, "c");
    outs_reset(&w.out);
    for (size_t i = 0; i < CALLS; i++) {
        void *handle = handle_of(&w, calls[i].kind);
        vt_at(calls[i].name, 0);
        if (takes_role(&calls[i]))
            REFUSED_WITH(&w, calls[i].run(&w, handle, NULL), VS_ERR_READONLY, handle, "read-only");
    }
    vs_collection_close(w.c);
    VT_OK(vs_close(w.db), w.db);
    VT_OK(vs_close(w.other), w.other);
    vs_vfs_memory_destroy(w.vfs);
}

/* ---- a child, and the library's own questions ----------------------------------------------- */

/* The number of the first call that is not refused as it should be, from 1; 0: none. */
static int refused_in_child(world *w) {
    for (size_t i = 0; i < CALLS; i++)
        for (int kind = 0; kind < KINDS; kind++)
            if (!calls[i].ends) {
                void *handle = handle_of(w, kind);
                if (calls[i].run(w, handle, NULL) != VS_ERR_MISUSE ||
                    !strstr(vs_errmsg(handle), "after a fork"))
                    return (int)i + 1;
            }
    return 0;
}

VT_TEST(in_a_child_after_fork_every_call_is_misuse_whatever_its_handle) {
    static world w;
    world_make(&w);
    world_begin(&w);
    world_note(&w);
    pid_t child = fork();
    VT_CHECK(child >= 0);
    if (child == 0)
        _exit(refused_in_child(&w));
    int status = 0;
    VT_EQ(waitpid(child, &status, 0), child);
    VT_CHECK(WIFEXITED(status));
    VT_EQ(WEXITSTATUS(status), 0);
    world_compare(&w);
    world_end(&w);
}

typedef struct question {
    world *w;
    vs_db *db;
    int wrong, asked, told, refuses;
} question;

/* What would wait as well is refused; reading goes on. Gives up at the second question. */
static int answer(void *ctx, uint32_t waited_ms, uint32_t tries) {
    question *q = ctx;
    vs_txn *txn = NULL;
    vs_collection *c = NULL;
    vs_stats stats = VS_STATS_INIT;
    vs_collection_options options = sample_options(1, VS_F32, VS_L2);
    uint64_t count = 0;
    (void)waited_ms;
    q->asked++;
    q->wrong += vs_begin(q->db, VS_TXN_WRITE, &txn) != VS_ERR_MISUSE || txn;
    q->wrong += vs_collection_create(q->db, NULL, "new", &options, NULL) != VS_ERR_MISUSE;
    q->wrong += vs_kv_put(q->db, NULL, NULL, "k", 1, "v", 1) != VS_ERR_MISUSE;
    q->wrong += vs_checkpoint(q->db) != VS_ERR_MISUSE;
    q->wrong += vs_vacuum(q->db, 0, NULL) != VS_ERR_MISUSE;
    q->wrong += vs_close(q->db) != VS_ERR_BUSY;
    q->wrong += vs_stats_get(q->db, &stats) != VS_OK;
    q->wrong += vs_collection_open(q->db, NULL, "c", &c) != VS_OK;
    q->wrong += vs_delete(c, NULL, vs_key_u64(1)) != VS_ERR_MISUSE;
    q->wrong += vs_count(c, NULL, &count) != VS_OK || count != 5;
    vs_collection_close(c);
    return tries < 1;
}

static void *hold(void *ctx) {
    question *q = ctx;
    q->wrong += vs_begin(q->db, VS_TXN_WRITE, &q->w->write) != VS_OK;
    return NULL;
}

VT_TEST(a_busy_handler_that_calls_back_is_refused_what_waits_and_harms_nothing) {
    static world w;
    question q = {.w = &w};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    pthread_t thread;
    world_make(&w);
    options.flags = VS_OPEN_CREATE;
    options.vfs = w.vfs;
    options.busy = answer;
    options.busy_ctx = &q;
    VT_OK(vs_open("busy.vs", &options, &q.db), q.db);
    vs_collection_close(fill(q.db));
    vs_stats before = sample_stats(q.db);
    VT_EQ(pthread_create(&thread, NULL, hold, &q), 0);
    VT_EQ(pthread_join(thread, NULL), 0);
    VT_EQ(vs_begin(q.db, VS_TXN_WRITE, &w.out.txn), VS_ERR_BUSY);
    VT_CONTAINS(vs_errmsg(q.db), "another thread's write transaction");
    VT_EQ(q.asked, 2);
    VT_EQ(q.wrong, 0);
    vs_stats after = sample_stats(q.db);
    check_stats(&after, &before);
    vs_rollback(w.write);
    w.write = NULL;
    VT_OK(vs_close(q.db), q.db);
    world_end(&w);
}

/* ---- hooks ---------------------------------------------------------------------------------- */

/* Makes every call with the handles of a world, from within a hook of its database. */
static void call_all(question *q) {
    world *w = q->w;
    q->asked++;
    for (size_t i = 0; i < CALLS; i++)
        for (int has_txn = 0; has_txn <= (calls[i].txn != NO_TXN); has_txn++) {
            void *handle = handle_of(w, calls[i].kind);
            vs_txn *txn = !has_txn ? NULL : w->write ? w->write : w->read;
            bool is_refused = calls[i].run(w, handle, txn) == VS_ERR_MISUSE;
            q->wrong += !is_refused || !strstr(vs_errmsg(handle), "a hook calls the database");
        }
}

static int call_in_commit(void *ctx) {
    question *q = ctx;
    call_all(q);
    return q->refuses;
}

static void call_in_change(void *ctx, const vs_change *change) {
    (void)change;
    call_all(ctx);
}

static void call_in_committed(void *ctx, uint64_t lsn) {
    (void)lsn;
    call_all(ctx);
}

static void call_in_rollback(void *ctx) {
    call_all(ctx);
}

static void call_in_trace(void *ctx, const vs_trace *trace) {
    question *q = ctx;
    q->told++;
    if (strcmp(trace->call, "vs_commit") && strcmp(trace->call, "vs_rollback"))
        call_all(q); /* the handle of the transaction is gone behind these two */
}

VT_TEST(in_a_hook_every_call_is_misuse_and_changes_nothing) {
    static world w;
    question q = {.w = &w};
    vs_hooks hooks = VS_HOOKS_INIT;
    hooks.ctx = &q;
    hooks.commit = call_in_commit;
    hooks.change = call_in_change;
    hooks.committed = call_in_committed;
    hooks.rollback = call_in_rollback;
    hooks.trace = call_in_trace;
    for (int way = 0; way < 3; way++) { /* committed, refused, rolled back */
        world_make(&w);
        q.asked = q.told = 0;
        q.refuses = way == 1;
        VT_OK(vs_set_hooks(w.db, &hooks), w.db);
        w.write = sample_begin(w.db, VS_TXN_WRITE);
        sample_put(w.c, w.write, 6, vector, NULL);
        VT_EQ(q.asked, 2); /* the trace of each */
        vs_txn *txn = w.write;
        if (way == 2)
            vs_rollback(txn);
        else
            VT_EQ(vs_commit(txn, VS_SYNC_FULL), way ? VS_ERR_REFUSED : VS_OK);
        w.write = NULL;
        VT_EQ(q.asked, way == 0 ? 5 : way == 1 ? 4 : 3);
        VT_EQ(q.told, 3); /* of the calls of hooks there are none */
        VT_EQ(q.wrong, 0);
        VT_OK(vs_set_hooks(w.db, NULL), w.db);
        VT_EQ(sample_has(w.c, NULL, 6), way == 0);
        VT_EQ(sample_count(w.c, NULL), way == 0 ? 6 : 5);
        world_end(&w);
    }
}

/* Calls without a handle, and the messages of one, are all that it may make. */
static void log_and_call(void *ctx, int level, const char *message) {
    question *q = ctx;
    q->asked++;
    q->wrong += level < VS_LOG_INFO || level > VS_LOG_ERROR || !message[0];
    q->wrong += strcmp(vs_status_name(VS_ERR_BUSY), "VS_ERR_BUSY") != 0;
    q->wrong += strcmp(vs_version(), VS_VERSION) != 0 || !vs_cpu_features()[0];
}

VT_TEST(a_log_function_may_call_what_takes_no_handle) {
    static world w;
    question q = {0};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    void *file = NULL;
    size_t written = 0;
    char why[VS_VFS_WHY_BYTES];
    world_make(&w);
    VT_OK(vs_close(world_database(&w, "log.vs")), NULL);
    VT_EQ(w.vfs->open(w.vfs->ctx, "log.vs", VS_VFS_WRITE, &file, why), VS_OK);
    VT_EQ(w.vfs->write(w.vfs->ctx, file, "damage", 6, 65536 + 16, &written, why), VS_OK);
    w.vfs->close(w.vfs->ctx, file);
    options.vfs = w.vfs;
    options.log = log_and_call;
    options.log_ctx = &q;
    VT_OK(vs_open("log.vs", &options, &db), db);
    VT_OK(vs_close(db), db);
    VT_CHECK(q.asked > 0);
    VT_EQ(q.wrong, 0);
    world_end(&w);
}

/* ---- opening -------------------------------------------------------------------------------- */

static void refuse_open(world *w, const char *path, const vs_open_options *options, vs_status st,
                        const char *part) {
    vs_db *db = NULL;
    world_note(w);
    VT_EQ(vs_open(path, options, &db), st);
    VT_CONTAINS(vs_errmsg(db), part);
    VT_EQ(vs_extended_errcode(db) & 0xff, st);
    VT_EQ(vs_close(db), VS_OK);
    world_compare(w);
}

VT_TEST(opening_refuses_each_wrong_argument_and_creates_nothing) {
    static world w;
    const vs_allocator no_realloc = {NULL, NULL};
    world_make(&w);
    vs_vfs short_vfs = *w.vfs;
    vs_open_options right = VS_OPEN_OPTIONS_INIT, wrong;
    right.vfs = w.vfs;
    right.flags = VS_OPEN_CREATE;
    VT_EQ(vs_open("new.vs", &right, NULL), VS_ERR_MISUSE);
    refuse_open(&w, NULL, &right, VS_ERR_MISUSE, "path is NULL");
    refuse_open(&w, "", &right, VS_ERR_INVALID, "path is empty");
    for (int i = 0; i < 9; i++) {
        wrong = right;
        vt_at("option", (uint64_t)i);
        if (i == 0)
            wrong.size = 0;
        else if (i == 1)
            wrong.size = UINT32_MAX;
        else if (i == 2)
            wrong.flags |= 1u << 31;
        else if (i == 3)
            wrong.sync = VS_SYNC_OFF + 1;
        else if (i == 4)
            wrong.sync = -1;
        else if (i == 5)
            wrong.compression = VS_COMPRESSION_ZSTD + 1;
        else if (i == 6)
            wrong.trailer_bytes = 39;
        else if (i == 7)
            wrong.allocator = &no_realloc;
        else
            wrong.compression = -1;
        refuse_open(&w, "new.vs", &wrong, VS_ERR_MISUSE, i < 2 ? "size" : "vs_open");
    }
    wrong = right;
    wrong.cpu = "abacus";
    refuse_open(&w, "new.vs", &wrong, VS_ERR_UNSUPPORTED, "abacus");
    short_vfs.size = sizeof(vs_vfs) - 1;
    wrong = right;
    wrong.vfs = &short_vfs;
    refuse_open(&w, "new.vs", &wrong, VS_ERR_UNSUPPORTED, "file system");
    right.flags = 0;
    refuse_open(&w, "new.vs", &right, VS_ERR_NOT_FOUND, "new.vs");
    refuse_open(&w, "t.vs", &right, VS_ERR_BUSY, "t.vs");
    world_end(&w);
}

static void refuse_bytes(const void *data, size_t bytes, const vs_open_options *options,
                         vs_status st) {
    vs_db *db = NULL;
    VT_EQ(vs_deserialize(data, bytes, options, &db), st);
    VT_CHECK(vs_errmsg(db)[0]);
    VT_EQ(vs_close(db), VS_OK);
}

VT_TEST(databases_in_memory_refuse_wrong_arguments) {
    static world w;
    static const char garbage[200000] = "no database";
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    world_make(&w);
    VT_EQ(vs_deserialize(garbage, sizeof garbage, NULL, NULL), VS_ERR_MISUSE);
    refuse_bytes(NULL, 1, NULL, VS_ERR_MISUSE);
    refuse_bytes(NULL, 0, NULL, VS_ERR_MISUSE);
    refuse_bytes(garbage, 0, NULL, VS_ERR_NOT_DB);
    refuse_bytes(garbage, 11, NULL, VS_ERR_NOT_DB);
    refuse_bytes(garbage, sizeof garbage, NULL, VS_ERR_NOT_DB);
    options.vfs = w.vfs;
    refuse_bytes(garbage, sizeof garbage, &options, VS_ERR_MISUSE);
    refuse_open(&w, ":memory:", &options, VS_ERR_MISUSE, "memory");
    options.vfs = NULL;
    options.flags = VS_OPEN_READONLY;
    refuse_open(&w, ":memory:", &options, VS_ERR_MISUSE, "memory");
    options.size = 0;
    refuse_bytes(garbage, sizeof garbage, &options, VS_ERR_MISUSE);
    world_end(&w);
}

VT_TEST(closing_a_database_in_use_is_busy_and_leaves_it_as_it_is) {
    static world w;
    world_make(&w);
    REFUSED_WITH(&w, vs_close(w.db), VS_ERR_BUSY, w.db, "still open: 1 transactions");
    world_begin(&w);
    REFUSED_WITH(&w, vs_close(w.db), VS_ERR_BUSY, w.db, "2 transactions, 1 collections, 2 cursors");
    world_end(&w);
}

VT_TEST(a_memory_file_system_refuses_wrong_arguments) {
    const vs_allocator no_realloc = {NULL, NULL};
    vs_vfs *vfs = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_vfs_memory_create(&no_realloc, &vfs), VS_ERR_MISUSE);
    VT_CHECK(vfs == NULL);
    vs_vfs_memory_destroy(NULL);
    VT_CHECK(vs_vfs_posix() == vs_vfs_posix());
}

VT_TEST(messages_of_null_and_statuses_that_do_not_exist_are_harmless) {
    VT_STR(vs_errmsg(NULL), "");
    VT_EQ(vs_extended_errcode(NULL), VS_OK);
    const int none[] = {-1, 60, 99, 102, 255, 256, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        VT_STR(vs_status_name(none[i]), "VS_ERR_?");
    VT_STR(vs_status_name(VS_ERR_IO_SYNC), "VS_ERR_IO");
    VT_EQ(vs_version_number(), VS_VERSION_NUMBER);
}

/* ---- collections ---------------------------------------------------------------------------- */

typedef struct wrong_name {
    const char *name;
    vs_status status;
    const char *part;
} wrong_name;

static char long_name[VS_NAME_BYTES_MAX + 2];

static const wrong_name wrong_names[] = {
    {NULL, VS_ERR_MISUSE, "NULL"},
    {"", VS_ERR_INVALID, "name"},
    {long_name, VS_ERR_INVALID, "the limit is 255"},
    {"tab\there", VS_ERR_INVALID, "control character"},
    {"del\x7f", VS_ERR_INVALID, "control character"},
    {"\xff", VS_ERR_INVALID, "UTF-8"},
    {"\xed\xa0\x80", VS_ERR_INVALID, "UTF-8"},
    {"c", VS_ERR_EXISTS, "'c'"},
};

VT_TEST(wrong_names_are_refused_wherever_a_name_is_given) {
    static world w;
    vs_collection_options options = sample_options(2, VS_F32, VS_L2);
    memset(long_name, 'n', sizeof long_name - 1);
    world_make(&w);
    for (int is_staged = 0; is_staged < 2; is_staged++) {
        for (size_t i = 0; i < sizeof wrong_names / sizeof wrong_names[0]; i++) {
            const wrong_name *n = &wrong_names[i];
            void *teller = w.write ? (void *)w.write : (void *)w.db;
            vt_at("name", i);
            REFUSED(&w, vs_collection_create(w.db, w.write, n->name, &options, &w.out.collection),
                    n->status);
            VT_CONTAINS(vs_errmsg(teller), n->part);
            REFUSED_WITH(&w, vs_collection_rename(w.c, w.write, n->name), n->status, w.c, n->part);
            REFUSED(&w, vs_alias_set(w.db, w.write, n->name, w.c), n->status);
            VT_CONTAINS(vs_errmsg(teller), n->part);
            REFUSED_WITH(&w, vs_collection_copy(w.c, w.write, n->name, &w.out.collection),
                         n->status, w.c, n->part);
            if (n->status != VS_ERR_EXISTS)
                REFUSED(&w, vs_collection_open(w.db, w.write, n->name, &w.out.collection),
                        n->name ? VS_ERR_NOT_FOUND : VS_ERR_MISUSE);
        }
        if (!is_staged)
            world_begin(&w);
    }
    world_end(&w);
}

static void refuse_options(world *w, vs_collection_options options, vs_status st,
                           const char *part) {
    REFUSED_WITH(w, vs_collection_create(w->db, NULL, "new", &options, &w->out.collection), st,
                 w->db, part);
}

VT_TEST(a_collection_is_not_created_with_wrong_options) {
    static world w;
    vs_collection_options right = sample_options(2, VS_F32, VS_L2), wrong;
    vs_field fields[VS_FIELDS_MAX + 1];
    world_make(&w);
    REFUSED_WITH(&w, vs_collection_create(w.db, NULL, "new", NULL, &w.out.collection),
                 VS_ERR_MISUSE, w.db, "needs options");
#define WITH(member, value) (wrong = right, wrong.member = (value), wrong)
    refuse_options(&w, WITH(size, 0), VS_ERR_MISUSE, "size is 0");
    refuse_options(&w, WITH(size, UINT32_MAX), VS_ERR_MISUSE, "size is");
    refuse_options(&w, WITH(dim, 0), VS_ERR_INVALID, "dim is 0");
    refuse_options(&w, WITH(dim, VS_DIM_MAX + 1), VS_ERR_INVALID, "dim is 65536");
    refuse_options(&w, WITH(dim, UINT32_MAX), VS_ERR_INVALID, "dim is");
    refuse_options(&w, WITH(type, VS_BIT + 1), VS_ERR_INVALID, "type is 7");
    refuse_options(&w, WITH(type, -1), VS_ERR_INVALID, "type is -1");
    refuse_options(&w, WITH(metric, VS_JACCARD + 1), VS_ERR_INVALID, "metric is 7");
    refuse_options(&w, WITH(metric, VS_HAMMING), VS_ERR_INVALID, "hamming");
    refuse_options(&w, WITH(index, "tree"), VS_ERR_INVALID, "'tree'");
    refuse_options(&w, WITH(field_count, 1), VS_ERR_MISUSE, "either");
    refuse_options(&w, WITH(fields, fields), VS_ERR_MISUSE, "either");
    right.dim = 0, right.type = 0, right.metric = 0;
    right.fields = fields;
    right.field_count = 2;
    for (uint32_t i = 0; i <= VS_FIELDS_MAX; i++) {
        fields[i] = (vs_field)VS_FIELD_INIT;
        fields[i].dim = 2;
    }
    refuse_options(&w, WITH(field_count, 0), VS_ERR_LIMIT, "0 vector fields");
    refuse_options(&w, WITH(field_count, VS_FIELDS_MAX + 1), VS_ERR_LIMIT, "9 vector fields");
    refuse_options(&w, WITH(field_count, SIZE_MAX), VS_ERR_LIMIT, "vector fields");
#undef WITH
    refuse_options(&w, right, VS_ERR_INVALID, "field 0 has the name 'vector' as well");
    fields[1].name = "";
    refuse_options(&w, right, VS_ERR_INVALID, "field 1: name");
    fields[1].name = "second";
    fields[1].flags = 0x80;
    refuse_options(&w, right, VS_ERR_UNSUPPORTED, "field 1: flags");
    fields[1].flags = 0;
    fields[1].size = 1;
    refuse_options(&w, right, VS_ERR_MISUSE, "field 1: vs_field: size is 1");
    world_end(&w);
}

VT_TEST(what_describes_collections_refuses_null_and_sizes_and_ends_where_nothing_is) {
    static world w;
    world_make(&w);
    for (size_t size = 0; size < 4; size++) {
        w.out.info.size = w.out.field.size = w.out.alias.size = w.out.stats.size = (uint32_t)size;
        w.out.sizes.size = (uint32_t)size;
        REFUSED_WITH(&w, vs_collection_stats_get(w.c, NULL, &w.out.sizes), VS_ERR_MISUSE, w.c,
                     "size");
        REFUSED_WITH(&w, vs_collection_at(w.db, NULL, 0, &w.out.info), VS_ERR_MISUSE, w.db, "size");
        REFUSED_WITH(&w, vs_collection_info_get(w.c, NULL, &w.out.info), VS_ERR_MISUSE, w.c,
                     "size");
        REFUSED_WITH(&w, vs_field_at(w.c, NULL, 0, &w.out.field), VS_ERR_MISUSE, w.c, "size");
        REFUSED_WITH(&w, vs_alias_at(w.db, NULL, 0, &w.out.alias), VS_ERR_MISUSE, w.db, "size");
        REFUSED_WITH(&w, vs_stats_get(w.db, &w.out.stats), VS_ERR_MISUSE, w.db, "size");
    }
    outs_reset(&w.out);
    REFUSED_WITH(&w, vs_collection_at(w.db, NULL, 0, NULL), VS_ERR_MISUSE, w.db, "out_info");
    REFUSED_WITH(&w, vs_collection_stats_get(w.c, NULL, NULL), VS_ERR_MISUSE, w.c, "out_stats");
    REFUSED_WITH(&w, vs_collection_info_get(w.c, NULL, NULL), VS_ERR_MISUSE, w.c, "out_info");
    REFUSED_WITH(&w, vs_field_at(w.c, NULL, 0, NULL), VS_ERR_MISUSE, w.c, "out_info");
    REFUSED_WITH(&w, vs_alias_at(w.db, NULL, 0, NULL), VS_ERR_MISUSE, w.db, "out_info");
    REFUSED_WITH(&w, vs_collection_open(w.db, NULL, "c", NULL), VS_ERR_MISUSE, w.db,
                 "out_collection");
    for (int i = 0; i < 2; i++) {
        size_t past = i ? SIZE_MAX : 1;
        REFUSED(&w, vs_collection_at(w.db, NULL, past, &w.out.info), VS_DONE);
        REFUSED(&w, vs_field_at(w.c, NULL, past + !i, &w.out.field), VS_DONE);
        REFUSED(&w, vs_alias_at(w.db, NULL, past, &w.out.alias), VS_DONE);
    }
    REFUSED_WITH(&w, vs_alias_set(w.db, NULL, "none", NULL), VS_ERR_NOT_FOUND, w.db, "'none'");
    REFUSED_WITH(&w, vs_alias_set(w.db, NULL, "x", w.other_c), VS_ERR_MISUSE, w.db,
                 "no open one of this database");
    REFUSED_WITH(&w, vs_alias_set(w.db, NULL, "x", (vs_collection *)(void *)w.read), VS_ERR_MISUSE,
                 w.db, "no open one of this database");
    world_end(&w);
}

/* ---- keys ----------------------------------------------------------------------------------- */

typedef struct wrong_key {
    vs_key key;
    vs_status status;
} wrong_key;

static const uint8_t key_bytes[VS_KEY_BYTES_MAX + 1];

static const wrong_key wrong_keys[] = {
    {{.data = key_bytes, .bytes = 0, .kind = VS_KEY_BYTES}, VS_ERR_LIMIT},
    {{.data = NULL, .bytes = 4, .kind = VS_KEY_BYTES}, VS_ERR_INVALID},
    {{.data = key_bytes, .bytes = VS_KEY_BYTES_MAX + 1, .kind = VS_KEY_BYTES}, VS_ERR_LIMIT},
    {{.data = NULL, .bytes = 16, .kind = VS_KEY_UUID}, VS_ERR_INVALID},
    {{.data = key_bytes, .bytes = 15, .kind = VS_KEY_UUID}, VS_ERR_INVALID},
    {{.data = key_bytes, .bytes = 17, .kind = VS_KEY_UUID}, VS_ERR_INVALID},
    {{.number = 1, .kind = 3}, VS_ERR_INVALID},
    {{.number = 1, .kind = UINT16_MAX}, VS_ERR_INVALID},
};

VT_TEST(wrong_keys_are_refused_by_every_call_that_takes_a_key) {
    static world w;
    world_make(&w);
    world_begin(&w);
    for (size_t i = 0; i < sizeof wrong_keys / sizeof wrong_keys[0]; i++) {
        vs_key key = wrong_keys[i].key, right = vs_key_u64(1);
        vs_status st = wrong_keys[i].status;
        vs_record record = sample_record(0, vector, NULL);
        vs_batch batch = VS_BATCH_INIT;
        vs_range from = VS_RANGE_INIT, to = VS_RANGE_INIT, prefix = VS_RANGE_INIT;
        vt_at("key", i);
        record.key = key;
        batch.keys = &key;
        batch.count = 1;
        batch.vectors = vector;
        from.from = to.to = prefix.prefix = &key;
        REFUSED_WITH(&w, vs_put(w.c, w.write, &record, VS_UPSERT), st, w.c, "key");
        REFUSED_WITH(&w, vs_update(w.c, w.write, &record, VS_UPDATE_VECTORS), st, w.c, "key");
        REFUSED_WITH(&w, vs_put_batch(w.c, w.write, &batch, VS_UPSERT), st, w.c, "key");
        REFUSED_WITH(&w, vs_get(w.c, w.write, key, &w.out.record), st, w.c, "key");
        REFUSED_WITH(&w, vs_exists(w.c, w.write, key, &w.out.answer), st, w.c, "key");
        REFUSED_WITH(&w, vs_get_batch(w.c, w.write, &key, 1, NULL, NULL), st, w.c, "key");
        REFUSED_WITH(&w, vs_payload_write(w.c, w.write, key, 0, "p", 1), st, w.c, "key");
        REFUSED_WITH(&w, vs_payload_truncate(w.c, w.write, key, 0), st, w.c, "key");
        REFUSED_WITH(&w, vs_payload_read(w.c, w.write, key, 0, NULL, 0, &w.out.count), st, w.c,
                     "key");
        REFUSED_WITH(&w, vs_delete(w.c, w.write, key), st, w.c, "key");
        REFUSED_WITH(&w, vs_delete_batch(w.c, w.write, &key, 1, &w.out.number), st, w.c, "key");
        REFUSED_WITH(&w, vs_set_metadata(w.c, w.write, key, NULL, 0), st, w.c, "key");
        VT_EQ(vs_get_vectors(w.c, w.write, 0, &key, 1, w.out.vectors, 0, NULL), st);
        REFUSED_WITH(&w, vs_search_key(w.c, w.write, key, 1, NULL, w.hits, &w.out.count), st, w.c,
                     "key");
        REFUSED_WITH(&w, vs_distance(w.c, w.write, key, right, NULL, &w.out.distance), st, w.c,
                     "key");
        REFUSED_WITH(&w, vs_distance(w.c, w.write, right, key, NULL, &w.out.distance), st, w.c,
                     "key");
        REFUSED(&w, vs_scan(w.c, w.write, &from, &w.out.cursor), st);
        REFUSED(&w, vs_scan(w.c, w.write, &to, &w.out.cursor), st);
        if (key.kind == VS_KEY_BYTES)
            REFUSED(&w, vs_scan(w.c, w.write, &prefix, &w.out.cursor), st);
        else
            REFUSED(&w, vs_scan(w.c, w.write, &prefix, &w.out.cursor), VS_ERR_INVALID);
    }
    world_end(&w);
}

VT_TEST(keys_made_of_nothing_or_too_much_are_refused_when_they_are_used) {
    static world w;
    world_make(&w);
    REFUSED(&w, vs_get(w.c, NULL, vs_key_text(NULL), NULL), VS_ERR_INVALID);
    REFUSED(&w, vs_get(w.c, NULL, vs_key_text(""), NULL), VS_ERR_LIMIT);
    REFUSED(&w, vs_get(w.c, NULL, vs_key_bytes(NULL, 0), NULL), VS_ERR_INVALID);
    REFUSED(&w, vs_get(w.c, NULL, vs_key_bytes(NULL, 5), NULL), VS_ERR_INVALID);
    REFUSED(&w, vs_get(w.c, NULL, vs_key_bytes(key_bytes, 65536 + 4), NULL), VS_ERR_LIMIT);
    REFUSED(&w, vs_get(w.c, NULL, vs_key_bytes(key_bytes, SIZE_MAX), NULL), VS_ERR_LIMIT);
    REFUSED(&w, vs_get(w.c, NULL, vs_key_uuid(NULL), NULL), VS_ERR_INVALID);
    REFUSED(&w, vs_get(w.c, NULL, vs_key_in(7, vs_key_u64(1)), NULL), VS_ERR_NOT_FOUND);
    REFUSED(&w, vs_get(w.c, NULL, vs_key_u64(UINT64_MAX), NULL), VS_ERR_NOT_FOUND);
    VT_CHECK(vs_key_compare(vs_key_u64(0), vs_key_u64(UINT64_MAX)) < 0);
    VT_CHECK(vs_key_compare(vs_key_bytes(key_bytes, VS_KEY_BYTES_MAX), vs_key_uuid(key_bytes)) < 0);
    VT_CHECK(vs_key_compare(vs_key_in(UINT32_MAX, vs_key_u64(0)), vs_key_uuid(key_bytes)) > 0);
    world_end(&w);
}

/* ---- records -------------------------------------------------------------------------------- */

static void refuse_record(world *w, vs_record record, vs_status st, const char *part) {
    REFUSED_WITH(w, vs_put(w->c, w->write, &record, VS_UPSERT), st, w->c, part);
    REFUSED_WITH(w, vs_append(w->c, w->write, &record, &w->out.number), st, w->c, part);
    if (record.vector && st != VS_ERR_MISUSE)
        REFUSED_WITH(w, vs_update(w->c, w->write, &record, VS_UPDATE_VECTORS | VS_UPDATE_METADATA),
                     st, w->c, part);
}

VT_TEST(wrong_records_are_refused_with_and_without_a_transaction) {
    static world w;
    static char deep[131];
    const float not_finite[3][DIM] = {{NAN}, {1, INFINITY}, {1, 2, 3, -INFINITY}};
    const char *const not_objects[] = {"",        "[]",    "1",          "null",         "{",
                                       "{\"a\"}", "{} {}", "{\"a\":1,}", "{\"\xff\":1}", "{a:1}"};
    memset(deep, '{', sizeof deep - 1);
    world_make(&w);
    for (int is_staged = 0; is_staged < 2; is_staged++) {
        vs_record right = sample_record(1, vector, NULL), wrong;
        vs_vector more[2] = {{vector, VS_F32, 0}, {(const uint8_t[2]){1, 2}, VS_U8, 2}};
#define WITH(member, value) (wrong = right, wrong.member = (value), wrong)
        REFUSED_WITH(&w, vs_put(w.c, w.write, NULL, VS_UPSERT), VS_ERR_MISUSE, w.c, "record");
        REFUSED_WITH(&w, vs_append(w.c, w.write, NULL, &w.out.number), VS_ERR_MISUSE, w.c,
                     "record");
        REFUSED_WITH(&w, vs_update(w.c, w.write, NULL, VS_UPDATE_PATCH), VS_ERR_MISUSE, w.c,
                     "record");
        REFUSED_WITH(&w, vs_put(w.c, w.write, &right, -1), VS_ERR_MISUSE, w.c, "mode is -1");
        REFUSED_WITH(&w, vs_put(w.c, w.write, &right, 4), VS_ERR_MISUSE, w.c, "mode is 4");
        refuse_record(&w, WITH(size, 3), VS_ERR_MISUSE, "size is 3");
        refuse_record(&w, WITH(vector, NULL), VS_ERR_INVALID, "missing");
        refuse_record(&w, WITH(vector_type, 7), VS_ERR_INVALID, "type is 7");
        refuse_record(&w, WITH(vector_type, -1), VS_ERR_INVALID, "type is -1");
        for (size_t i = 0; i < 3; i++)
            refuse_record(&w, WITH(vector, not_finite[i]), VS_ERR_INVALID, "vector");
        for (size_t i = 0; i < sizeof not_objects / sizeof not_objects[0]; i++)
            refuse_record(&w, WITH(metadata, not_objects[i]), VS_ERR_INVALID, "metadata");
        wrong = WITH(metadata, "{}");
        wrong.metadata_bytes = (size_t)VS_METADATA_BYTES_MAX + 1;
        refuse_record(&w, wrong, VS_ERR_LIMIT, "the limit is 1048576");
        wrong.metadata_bytes = SIZE_MAX;
        refuse_record(&w, wrong, VS_ERR_LIMIT, "the limit is 1048576");
        wrong.metadata_bytes = 1;
        refuse_record(&w, wrong, VS_ERR_INVALID, "metadata");
        refuse_record(&w, WITH(vector_count, 1), VS_ERR_MISUSE, "vectors missing");
        refuse_record(&w, WITH(vector_count, SIZE_MAX), VS_ERR_MISUSE, "vectors missing");
        wrong = WITH(vectors, more);
        wrong.vector_count = 1;
        refuse_record(&w, wrong, VS_ERR_INVALID, "two vectors of field 'vector'");
        more[0].field = UINT32_MAX;
        refuse_record(&w, wrong, VS_ERR_INVALID, "field is 4294967295");
        wrong = WITH(if_version, 1);
        REFUSED_WITH(&w, vs_put(w.c, w.write, &wrong, VS_UPSERT), VS_ERR_CONFLICT, w.c, "version");
        wrong.key = vs_key_u64(99);
        REFUSED_WITH(&w, vs_put(w.c, w.write, &wrong, VS_UPSERT), VS_ERR_NOT_FOUND, w.c, "99");
        REFUSED_WITH(&w, vs_put(w.c, w.write, &right, VS_INSERT), VS_ERR_EXISTS, w.c, "key 1");
        wrong = WITH(key, vs_key_u64(99));
        REFUSED_WITH(&w, vs_put(w.c, w.write, &wrong, VS_REPLACE), VS_ERR_NOT_FOUND, w.c, "99");
        REFUSED_WITH(&w, vs_update(w.c, w.write, &right, 0), VS_ERR_MISUSE, w.c, "what is 0x0");
        REFUSED_WITH(&w, vs_update(w.c, w.write, &right, 6), VS_ERR_MISUSE, w.c, "what is 0x6");
        REFUSED_WITH(&w, vs_update(w.c, w.write, &right, 8), VS_ERR_MISUSE, w.c, "what is 0x8");
        REFUSED_WITH(&w, vs_update(w.c, w.write, &right, VS_UPDATE_PATCH), VS_ERR_MISUSE, w.c,
                     "the patch is missing");
        REFUSED(&w, vs_set_metadata(w.c, w.write, vs_key_u64(1), "[]", 0), VS_ERR_INVALID);
        REFUSED(&w, vs_set_metadata(w.c, w.write, vs_key_u64(1), deep, 0), VS_ERR_INVALID);
        REFUSED(&w, vs_delete(w.c, w.write, vs_key_u64(99)), VS_ERR_NOT_FOUND);
#undef WITH
        if (!is_staged)
            world_begin(&w);
    }
    world_end(&w);
}

static void refuse_batch(world *w, vs_batch batch, vs_status st, const char *part) {
    REFUSED_WITH(w, vs_put_batch(w->c, w->write, &batch, VS_INSERT), st, w->c, part);
}

VT_TEST(wrong_batches_are_refused_as_a_whole) {
    static world w;
    world_make(&w);
    for (int is_staged = 0; is_staged < 2; is_staged++) {
        const uint64_t numbers[2] = {30, 31}, twice[2] = {30, 30};
        const vs_key keys[2] = {{.number = 30}, {.number = 31}};
        const float rows[2][DIM] = {{1}, {NAN}};
        const char *const metadata[2] = {"{}", "{"};
        vs_column column = {rows, 0, NULL, 0, 0};
        vs_batch right = two_rows(&w), wrong;
        right.numbers = numbers;
        right.statuses = NULL;
#define WITH(member, value) (wrong = right, wrong.member = (value), wrong)
        REFUSED_WITH(&w, vs_put_batch(w.c, w.write, NULL, VS_INSERT), VS_ERR_MISUSE, w.c, "batch");
        REFUSED_WITH(&w, vs_append_batch(w.c, w.write, NULL, w.out.numbers), VS_ERR_MISUSE, w.c,
                     "batch");
        REFUSED_WITH(&w, vs_put_batch(w.c, w.write, &right, 4), VS_ERR_MISUSE, w.c, "mode is 4");
        REFUSED_WITH(&w, vs_append_batch(w.c, w.write, &right, w.out.numbers), VS_ERR_MISUSE, w.c,
                     "it has keys");
        refuse_batch(&w, WITH(size, 0), VS_ERR_MISUSE, "size is 0");
        refuse_batch(&w, WITH(keys, keys), VS_ERR_MISUSE, "both keys and numbers");
        refuse_batch(&w, WITH(numbers, NULL), VS_ERR_MISUSE, "keys or numbers missing");
        refuse_batch(&w, WITH(vectors, NULL), VS_ERR_MISUSE, "vectors missing, of field 'vector'");
        refuse_batch(&w, WITH(vectors, rows), VS_ERR_INVALID, "row 1 of 2");
        refuse_batch(&w, WITH(metadata, metadata), VS_ERR_INVALID, "row 1 of 2");
        refuse_batch(&w, WITH(numbers, twice), VS_ERR_EXISTS, "row 1 of 2");
        refuse_batch(&w, WITH(stride_bytes, 15), VS_ERR_INVALID, "stride is 15 bytes");
        refuse_batch(&w, WITH(vector_type, 7), VS_ERR_INVALID, "type is 7");
        refuse_batch(&w, WITH(column_count, 1), VS_ERR_MISUSE, "columns missing");
        wrong = WITH(columns, &column);
        wrong.column_count = 1;
        refuse_batch(&w, wrong, VS_ERR_INVALID, "two columns of field 'vector'");
        column.field = 2;
        refuse_batch(&w, wrong, VS_ERR_INVALID, "field is 2");
        column.field = 1;
        column.data = NULL;
        refuse_batch(&w, wrong, VS_ERR_MISUSE, "data of a column missing");
#undef WITH
        REFUSED_WITH(&w, vs_delete_batch(w.c, w.write, NULL, 1, &w.out.number), VS_ERR_MISUSE, w.c,
                     "keys");
        REFUSED_WITH(&w, vs_delete_batch(w.c, w.write, NULL, SIZE_MAX, NULL), VS_ERR_MISUSE, w.c,
                     "keys");
        if (!is_staged)
            world_begin(&w);
    }
    world_end(&w);
}

VT_TEST(batches_of_nothing_do_nothing) {
    static world w;
    vs_batch none = VS_BATCH_INIT;
    uint64_t deleted = 7;
    world_make(&w);
    REFUSED(&w, vs_put_batch(w.c, NULL, &none, VS_UPSERT), VS_OK);
    REFUSED(&w, vs_append_batch(w.c, NULL, &none, w.out.numbers), VS_OK);
    REFUSED(&w, vs_delete_batch(w.c, NULL, NULL, 0, &deleted), VS_OK);
    VT_EQ(deleted, 0);
    REFUSED(&w, vs_get_vectors(w.c, NULL, 0, NULL, 0, NULL, 0, NULL), VS_OK);
    REFUSED(&w, vs_search_batch(w.c, NULL, NULL, 0, 0, 0, 1, NULL, NULL, NULL), VS_OK);
    world_end(&w);
}

VT_TEST(what_reads_records_refuses_wrong_arguments) {
    static world w;
    vs_key keys[2] = {vs_key_u64(1), vs_key_u64(99)};
    world_make(&w);
    w.out.record.size = 2;
    REFUSED_WITH(&w, vs_get(w.c, NULL, keys[0], &w.out.record), VS_ERR_MISUSE, w.c, "size is 2");
    REFUSED_WITH(&w, vs_cursor_record(w.cursor, &w.out.record), VS_ERR_MISUSE, w.cursor, "size");
    outs_reset(&w.out);
    REFUSED_WITH(&w, vs_get(w.c, NULL, keys[1], &w.out.record), VS_ERR_NOT_FOUND, w.c, "99");
    REFUSED_WITH(&w, vs_cursor_record(w.cursor, NULL), VS_ERR_MISUSE, w.cursor, "out_record");
    REFUSED_WITH(&w, vs_exists(w.c, NULL, keys[0], NULL), VS_ERR_MISUSE, w.c, "out_exists");
    REFUSED_WITH(&w, vs_get_batch(w.c, NULL, NULL, 1, w.out.records, NULL), VS_ERR_MISUSE, w.c,
                 "keys");
    REFUSED_WITH(&w, vs_get_batch(w.c, NULL, keys, SIZE_MAX, w.out.records, NULL), VS_ERR_LIMIT,
                 w.c, "too many");
    VT_EQ(vs_get_batch(w.c, NULL, keys, 2, w.out.records, NULL), VS_ERR_NOT_FOUND);
    VT_CONTAINS(vs_errmsg(w.c), "99");
    w.out.records[0].size = 2;
    REFUSED_WITH(&w, vs_get_batch(w.c, NULL, keys, 1, w.out.records, NULL), VS_ERR_MISUSE, w.c,
                 "size is 2");
    REFUSED_WITH(&w, vs_count(w.c, NULL, NULL), VS_ERR_MISUSE, w.c, "out_count");
    REFUSED_WITH(&w, vs_get_vectors(w.c, NULL, 0, NULL, 1, w.out.vectors, 0, NULL), VS_ERR_MISUSE,
                 w.c, "keys or vectors");
    REFUSED_WITH(&w, vs_get_vectors(w.c, NULL, 0, keys, 1, NULL, 0, NULL), VS_ERR_MISUSE, w.c,
                 "keys or vectors");
    REFUSED_WITH(&w, vs_get_vectors(w.c, NULL, 2, keys, 1, w.out.vectors, 0, NULL), VS_ERR_INVALID,
                 w.c, "field is 2");
    REFUSED_WITH(&w, vs_get_vectors(w.c, NULL, UINT32_MAX, keys, 1, w.out.vectors, 0, NULL),
                 VS_ERR_INVALID, w.c, "field is");
    REFUSED_WITH(&w, vs_get_vectors(w.c, NULL, 0, keys, 1, w.out.vectors, 15, NULL), VS_ERR_INVALID,
                 w.c, "stride is 15");
    REFUSED_WITH(&w, vs_get_vectors(w.c, NULL, 1, keys, 1, w.out.vectors, 0, NULL),
                 VS_ERR_NOT_FOUND, w.c, "no vector of field 'small'");
    world_end(&w);
}

VT_TEST(wrong_runs_of_payloads_are_refused) {
    static world w;
    vs_key key = vs_key_u64(1), none = vs_key_u64(99);
    size_t *n = &w.out.count;
    world_make(&w);
    for (int is_staged = 0; is_staged < 2; is_staged++) {
        REFUSED_WITH(&w, vs_payload_write(w.c, w.write, key, 0, NULL, 1), VS_ERR_MISUSE, w.c,
                     "data");
        REFUSED(&w, vs_payload_write(w.c, w.write, none, 0, "p", 1), VS_ERR_NOT_FOUND);
        REFUSED(&w, vs_payload_write(w.c, w.write, key, 1, "p", 1), VS_ERR_INVALID);
        REFUSED(&w, vs_payload_write(w.c, w.write, key, UINT64_MAX, "p", 1), VS_ERR_INVALID);
        REFUSED(&w, vs_payload_write(w.c, w.write, key, 0, "p", SIZE_MAX), VS_ERR_LIMIT);
        REFUSED(&w, vs_payload_write(w.c, w.write, key, 0, NULL, 0), VS_OK);
        REFUSED(&w, vs_payload_truncate(w.c, w.write, none, 0), VS_ERR_NOT_FOUND);
        REFUSED(&w, vs_payload_truncate(w.c, w.write, key, 1), VS_ERR_INVALID);
        REFUSED(&w, vs_payload_truncate(w.c, w.write, key, UINT64_MAX), VS_ERR_INVALID);
        REFUSED(&w, vs_payload_truncate(w.c, w.write, key, 0), VS_OK);
        REFUSED_WITH(&w, vs_payload_read(w.c, w.write, key, 0, NULL, 1, n), VS_ERR_MISUSE, w.c,
                     "out");
        REFUSED_WITH(&w, vs_payload_read(w.c, w.write, key, 0, w.out.text, 1, NULL), VS_ERR_MISUSE,
                     w.c, "out");
        REFUSED(&w, vs_payload_read(w.c, w.write, none, 0, NULL, 0, n), VS_ERR_NOT_FOUND);
        VT_OK(vs_payload_read(w.c, w.write, key, UINT64_MAX, w.out.text, 9, n), w.c);
        VT_EQ(*n, 0);
        if (!is_staged)
            world_begin(&w);
    }
    world_end(&w);
}

VT_TEST(vectors_are_taken_and_given_at_any_alignment) {
    static world w;
    uint8_t bytes[sizeof vector + 1], out[sizeof vector + 1], uuid[17];
    world_make(&w);
    memcpy(bytes + 1, vector, sizeof vector);
    memset(uuid, 3, sizeof uuid);
    vs_record record = sample_record(0, bytes + 1, NULL);
    record.key = vs_key_uuid(uuid + 1);
    VT_OK(vs_put(w.c, NULL, &record, VS_INSERT), w.c);
    VT_OK(vs_get_vectors(w.c, NULL, 0, &record.key, 1, out + 1, 0, NULL), w.c);
    VT_CHECK(!memcmp(out + 1, vector, sizeof vector));
    VT_OK(vs_search(w.c, NULL, bytes + 1, VS_F32, 1, NULL, w.hits, &w.out.count), w.c);
    VT_EQ(w.hits[0].key.kind, VS_KEY_UUID);
    VT_CHECK(w.hits[0].distance == 0);
    VT_OK(vs_search_batch(w.c, NULL, bytes + 1, VS_F32, sizeof vector + 3, 1, 1, NULL, w.hits,
                          w.out.counts),
          w.c);
    VT_CHECK(w.hits[0].distance == 0);
    VT_EQ(vs_vector_convert(bytes + 1, VS_F32, out + 1, VS_BF16, DIM, NULL), VS_OK);
    VT_EQ(vs_vector_convert(out + 1, VS_BF16, bytes + 1, VS_F32, DIM, NULL), VS_OK);
    VT_CHECK(!memcmp(bytes + 1, vector, sizeof vector));
    world_end(&w);
}

VT_TEST(element_types_that_do_not_exist_are_refused) {
    float out[DIM];
    uint32_t at = 77;
    const int types[] = {0, -1, VS_BIT + 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        VT_STR(vs_type_name(types[i]), "?");
        VT_EQ(vs_vector_bytes(types[i], 4), 0);
        VT_EQ(vs_vector_convert(vector, types[i], out, VS_F32, DIM, &at), VS_ERR_MISUSE);
        VT_EQ(vs_vector_convert(vector, VS_F32, out, types[i], DIM, &at), VS_ERR_MISUSE);
    }
    VT_STR(vs_metric_name(0), "?");
    VT_STR(vs_metric_name(VS_JACCARD + 1), "?");
    VT_STR(vs_metric_name(-1), "?");
    VT_EQ(vs_vector_bytes(VS_F32, VS_DIM_MAX), 4u * VS_DIM_MAX);
    VT_EQ(vs_vector_bytes(VS_F32, VS_DIM_MAX + 1), 0);
    VT_EQ(vs_vector_bytes(VS_F32, UINT32_MAX), 0);
    VT_EQ(vs_vector_convert(NULL, VS_F32, out, VS_F32, DIM, &at), VS_ERR_MISUSE);
    VT_EQ(vs_vector_convert(vector, VS_F32, NULL, VS_F32, DIM, &at), VS_ERR_MISUSE);
    VT_EQ(vs_vector_convert(vector, VS_F32, out, VS_F32, 0, &at), VS_ERR_MISUSE);
    VT_EQ(vs_vector_convert(vector, VS_F32, out, VS_F32, VS_DIM_MAX + 1, &at), VS_ERR_MISUSE);
    VT_EQ(at, 77);
    VT_EQ(vs_vector_convert((float[]){1, NAN}, VS_F32, out, VS_F32, 2, &at), VS_ERR_INVALID);
    VT_EQ(at, 1);
}

/* ---- transactions, searches, notes ---------------------------------------------------------- */

VT_TEST(transactions_refuse_kinds_syncs_and_savepoints_that_do_not_exist) {
    static world w;
    world_make(&w);
    REFUSED_WITH(&w, vs_begin(w.db, 2, &w.out.txn), VS_ERR_MISUSE, w.db, "kind is 2");
    REFUSED_WITH(&w, vs_begin(w.db, -1, &w.out.txn), VS_ERR_MISUSE, w.db, "kind is -1");
    REFUSED_WITH(&w, vs_begin(w.db, VS_TXN_READ, NULL), VS_ERR_MISUSE, w.db, "out_txn");
    world_begin(&w);
    REFUSED_WITH(&w, vs_savepoint(w.write, NULL), VS_ERR_MISUSE, w.write, "out_savepoint");
    REFUSED_WITH(&w, vs_txn_token(w.write, NULL, 1, NULL), VS_ERR_MISUSE, w.write, "token");
    REFUSED_WITH(&w, vs_txn_token(w.write, "t", 0, NULL), VS_ERR_LIMIT, w.write, "token");
    REFUSED_WITH(&w, vs_txn_token(w.write, key_bytes, 256, NULL), VS_ERR_LIMIT, w.write, "token");
    REFUSED_WITH(&w, vs_txn_token(w.read, "t", 1, &w.out.number), VS_ERR_MISUSE, w.read, "read");
    VT_OK(vs_txn_token(w.write, "t", 1, NULL), w.write);
    REFUSED_WITH(&w, vs_txn_token(w.write, "u", 1, NULL), VS_ERR_MISUSE, w.write, "token");
    const uint32_t none[] = {0, 2, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        REFUSED_WITH(&w, vs_rollback_to(w.write, none[i]), VS_ERR_MISUSE, w.write, "is not open");
        REFUSED_WITH(&w, vs_release(w.write, none[i]), VS_ERR_MISUSE, w.write, "is not open");
    }
    VT_EQ(sample_count(w.c, w.write), 6);
    for (int i = 0; i < 2; i++) { /* a commit that is wrong ends its transaction, and drops it */
        world_note(&w);
        VT_EQ(vs_commit(w.write, i ? -1 : VS_SYNC_OFF + 1), VS_ERR_MISUSE);
        VT_CONTAINS(vs_errmsg(w.db), "vs_commit: sync is");
        w.write = NULL;
        world_compare(&w);
        world_begin(&w);
    }
    world_end(&w);
}

static void refuse_search(world *w, const void *query, int type, size_t k,
                          const vs_search_options *options, vs_status st, const char *part) {
    REFUSED_WITH(w, vs_search(w->c, NULL, query, type, k, options, w->hits, &w->out.count), st,
                 w->c, part);
    VT_EQ(vs_search_batch(w->c, NULL, query, type, 0, 1, k, options, w->hits, w->out.counts), st);
    VT_CONTAINS(vs_errmsg(w->c), part);
    if (k)
        REFUSED_WITH(w, vs_search_open(w->c, NULL, query, type, options, &w->out.cursor), st, w->c,
                     part);
    if (k)
        REFUSED_WITH(w,
                     vs_search_radius(w->c, NULL, query, type, 1, options, k, w->hits,
                                      &w->out.count, &w->out.number),
                     st, w->c, part);
}

VT_TEST(wrong_searches_are_refused) {
    static world w;
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    vs_key one = vs_key_u64(1), none = vs_key_u64(99);
    const uint8_t half_a_float[DIM * 4] = {0, 0, 0xc0, 0x7f};
    world_make(&w);
    refuse_search(&w, NULL, VS_F32, 1, NULL, VS_ERR_MISUSE, "is NULL");
    refuse_search(&w, vector, VS_F32, 0, NULL, VS_ERR_INVALID, "k is 0");
    refuse_search(&w, vector, 7, 1, NULL, VS_ERR_INVALID, "type is 7");
    refuse_search(&w, vector, -1, 1, NULL, VS_ERR_INVALID, "type is -1");
    refuse_search(&w, half_a_float, VS_F32, 1, NULL, VS_ERR_INVALID, "query");
    options.field = 2;
    refuse_search(&w, vector, VS_F32, 1, &options, VS_ERR_INVALID, "field is 2");
    REFUSED(&w, vs_search_key(w.c, NULL, one, 1, &options, w.hits, &w.out.count), VS_ERR_INVALID);
    REFUSED(&w, vs_distance(w.c, NULL, one, one, &options, &w.out.distance), VS_ERR_INVALID);
    options.size = 0;
    refuse_search(&w, vector, VS_F32, 1, &options, VS_ERR_MISUSE, "size is 0");
    REFUSED(&w, vs_search_key(w.c, NULL, one, 1, &options, w.hits, &w.out.count), VS_ERR_MISUSE);
    REFUSED(&w, vs_distance(w.c, NULL, one, one, &options, &w.out.distance), VS_ERR_MISUSE);
    REFUSED(&w, vs_search(w.c, NULL, vector, 0, 1, NULL, NULL, &w.out.count), VS_ERR_MISUSE);
    REFUSED(&w, vs_search(w.c, NULL, vector, 0, 1, NULL, w.hits, NULL), VS_ERR_MISUSE);
    REFUSED(&w, vs_search_batch(w.c, NULL, vector, 0, 0, 1, 1, NULL, NULL, w.out.counts),
            VS_ERR_MISUSE);
    REFUSED(&w, vs_search_batch(w.c, NULL, vector, 0, 0, 1, 1, NULL, w.hits, NULL), VS_ERR_MISUSE);
    REFUSED(&w, vs_search_batch(w.c, NULL, vector, 0, 15, 1, 1, NULL, w.hits, w.out.counts),
            VS_ERR_INVALID);
    REFUSED_WITH(&w,
                 vs_search_batch(w.c, NULL, vector, 0, 0, 2, SIZE_MAX, NULL, w.hits, w.out.counts),
                 VS_ERR_LIMIT, w.c, "more than memory has");
    REFUSED(&w, vs_search_batch(w.c, NULL, vector, 0, 0, SIZE_MAX, 2, NULL, w.hits, w.out.counts),
            VS_ERR_LIMIT);
    REFUSED_WITH(
        &w,
        vs_search_radius(w.c, NULL, vector, 0, (double)NAN, NULL, 1, w.hits, &w.out.count, NULL),
        VS_ERR_INVALID, w.c, "radius");
    REFUSED(&w, vs_search_radius(w.c, NULL, vector, 0, 1, NULL, 1, NULL, &w.out.count, NULL),
            VS_ERR_MISUSE);
    REFUSED(&w, vs_search_radius(w.c, NULL, vector, 0, 1, NULL, 1, w.hits, NULL, NULL),
            VS_ERR_MISUSE);
    REFUSED(&w, vs_search_key(w.c, NULL, one, 0, NULL, w.hits, &w.out.count), VS_ERR_INVALID);
    REFUSED(&w, vs_search_key(w.c, NULL, one, 1, NULL, NULL, &w.out.count), VS_ERR_MISUSE);
    REFUSED(&w, vs_search_key(w.c, NULL, one, 1, NULL, w.hits, NULL), VS_ERR_MISUSE);
    REFUSED(&w, vs_search_key(w.c, NULL, none, 1, NULL, w.hits, &w.out.count), VS_ERR_NOT_FOUND);
    REFUSED(&w, vs_distance(w.c, NULL, none, one, NULL, &w.out.distance), VS_ERR_NOT_FOUND);
    REFUSED(&w, vs_distance(w.c, NULL, one, one, NULL, NULL), VS_ERR_MISUSE);
    options = (vs_search_options)VS_SEARCH_OPTIONS_INIT;
    options.field = 1; /* that no record has */
    REFUSED(&w, vs_search_key(w.c, NULL, one, 1, &options, w.hits, &w.out.count), VS_ERR_NOT_FOUND);
    REFUSED(&w, vs_distance(w.c, NULL, one, one, &options, &w.out.distance), VS_ERR_NOT_FOUND);
    world_end(&w);
}

VT_TEST(wrong_scans_are_refused) {
    static world w;
    vs_range range = VS_RANGE_INIT;
    world_make(&w);
    REFUSED_WITH(&w, vs_scan(w.c, NULL, NULL, NULL), VS_ERR_MISUSE, w.c, "out_cursor");
    REFUSED_WITH(&w, vs_search_open(w.c, NULL, vector, 0, NULL, NULL), VS_ERR_MISUSE, w.c,
                 "out_cursor");
    REFUSED_WITH(&w, vs_cursor_hit(w.near, NULL), VS_ERR_MISUSE, w.near, "out_hit");
    REFUSED(&w, vs_cursor_hit(w.cursor, &w.out.hit), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(w.cursor), "vs_s");
    range.size = 1;
    REFUSED_WITH(&w, vs_scan(w.c, NULL, &range, &w.out.cursor), VS_ERR_MISUSE, w.c, "size is 1");
    VT_OK(vs_scan(w.c, NULL, NULL, &w.out.cursor), w.c);
    REFUSED_WITH(&w, vs_cursor_record(w.out.cursor, &w.out.record), VS_ERR_MISUSE, w.out.cursor,
                 "stands on no record");
    for (int i = 0; i < 5; i++)
        VT_EQ(vs_step(w.out.cursor), VS_ROW);
    for (int i = 0; i < 3; i++)
        REFUSED(&w, vs_step(w.out.cursor), VS_DONE);
    REFUSED(&w, vs_cursor_record(w.out.cursor, &w.out.record), VS_ERR_MISUSE);
    world_end(&w);
}

VT_TEST(wrong_notes_are_refused) {
    static world w;
    world_make(&w);
    for (int is_staged = 0; is_staged < 2; is_staged++) {
        vs_collection *txn_as_collection = (vs_collection *)(void *)w.read;
        size_t *bytes = &w.out.count;
        REFUSED_WITH(&w, vs_kv_put(w.db, w.write, NULL, NULL, 1, "v", 1), VS_ERR_MISUSE, w.db,
                     "key is NULL");
        REFUSED(&w, vs_kv_put(w.db, w.write, NULL, "k", 0, "v", 1), VS_ERR_LIMIT);
        REFUSED(&w, vs_kv_put(w.db, w.write, NULL, key_bytes, 1025, "v", 1), VS_ERR_LIMIT);
        REFUSED(&w, vs_kv_put(w.db, w.write, NULL, "k", SIZE_MAX, "v", 1), VS_ERR_LIMIT);
        REFUSED(&w, vs_kv_put(w.db, w.write, NULL, "k", 1, "v", 1048577), VS_ERR_LIMIT);
        REFUSED(&w, vs_kv_put(w.db, w.write, NULL, "k", 1, "v", SIZE_MAX), VS_ERR_LIMIT);
        REFUSED_WITH(&w, vs_kv_put(w.db, w.write, w.other_c, "k", 1, "v", 1), VS_ERR_MISUSE, w.db,
                     "no open one of this database");
        REFUSED(&w, vs_kv_put(w.db, w.write, txn_as_collection, "k", 1, "v", 1), VS_ERR_MISUSE);
        REFUSED(&w, vs_kv_put(w.db, w.write, NULL, "none", 4, NULL, 0), VS_OK);
        REFUSED(&w, vs_kv_get(w.db, w.write, NULL, NULL, 1, NULL, 0, bytes), VS_ERR_MISUSE);
        REFUSED(&w, vs_kv_get(w.db, w.write, NULL, "k", 0, NULL, 0, bytes), VS_ERR_LIMIT);
        REFUSED(&w, vs_kv_get(w.db, w.write, NULL, key_bytes, 1025, NULL, 0, bytes), VS_ERR_LIMIT);
        REFUSED(&w, vs_kv_get(w.db, w.write, NULL, "none", 4, w.out.text, 4, bytes),
                VS_ERR_NOT_FOUND);
        REFUSED(&w, vs_kv_get(w.db, w.write, w.c, "note", 4, w.out.text, 4, bytes),
                VS_ERR_NOT_FOUND);
        REFUSED_WITH(&w, vs_kv_get(w.db, w.write, NULL, "note", 4, NULL, 1, bytes), VS_ERR_MISUSE,
                     w.db, "value or out_bytes");
        REFUSED(&w, vs_kv_get(w.db, w.write, NULL, "note", 4, w.out.text, 4, NULL), VS_ERR_MISUSE);
        REFUSED(&w, vs_kv_get(w.db, w.write, w.other_c, "note", 4, NULL, 0, bytes), VS_ERR_MISUSE);
        if (!is_staged)
            world_begin(&w);
    }
    world_end(&w);
}

static void use_database(void *ctx, const char *problem) {
    world *w = ctx;
    VT_CHECK(problem[0]);
    VT_EQ(sample_count(w->c, NULL), 5);
}

VT_TEST(what_looks_after_a_database_refuses_wrong_arguments) {
    static world w;
    world_make(&w);
    vs_hooks hooks = VS_HOOKS_INIT;
    hooks.size = 0;
    REFUSED_WITH(&w, vs_set_hooks(w.db, &hooks), VS_ERR_MISUSE, w.db, "size is 0");
    REFUSED_WITH(&w, vs_param_at(w.db, 0, NULL), VS_ERR_MISUSE, w.db, "out_info");
    REFUSED_WITH(&w, vs_param_get(w.db, NULL, &w.out.param), VS_ERR_MISUSE, w.db, "name");
    REFUSED_WITH(&w, vs_param_get(w.db, "sync", NULL), VS_ERR_MISUSE, w.db, "out_info");
    REFUSED_WITH(&w, vs_param_get(w.db, "none", &w.out.param), VS_ERR_NOT_FOUND, w.db, "'none'");
    REFUSED(&w, vs_param_get(NULL, NULL, &w.out.param), VS_ERR_MISUSE);
    REFUSED(&w, vs_param_at(NULL, 0, NULL), VS_ERR_MISUSE);
    REFUSED(&w, vs_param_at(w.db, SIZE_MAX, &w.out.param), VS_DONE);
    REFUSED_WITH(&w, vs_param_set(w.db, NULL, 1), VS_ERR_MISUSE, w.db, "name");
    REFUSED_WITH(&w, vs_param_set(w.db, "none", 1), VS_ERR_NOT_FOUND, w.db, "'none'");
    REFUSED_WITH(&w, vs_param_set(w.db, "sync", 4), VS_ERR_INVALID, w.db, "expected 1 to 3");
    REFUSED_WITH(&w, vs_param_set(w.db, "cpu", 0), VS_ERR_MISUSE, w.db, "is fixed");
    REFUSED(&w, vs_limit_at(0, NULL), VS_ERR_MISUSE);
    REFUSED(&w, vs_limit_at(SIZE_MAX, &w.out.limit), VS_DONE);
    w.out.limit.size = w.out.param.size = 3;
    REFUSED(&w, vs_limit_at(0, &w.out.limit), VS_ERR_MISUSE);
    REFUSED_WITH(&w, vs_param_at(w.db, 0, &w.out.param), VS_ERR_MISUSE, w.db, "size is 3");
    outs_reset(&w.out);
    REFUSED_WITH(&w, vs_serialize_to(w.db, NULL, NULL), VS_ERR_MISUSE, w.db, "write");
    REFUSED_WITH(&w, vs_serialize(w.db, NULL, &w.out.count), VS_ERR_MISUSE, w.db, "out_");
    REFUSED_WITH(&w, vs_serialize(w.db, &w.out.block, NULL), VS_ERR_MISUSE, w.db, "out_");
    vs_free(NULL);
    REFUSED_WITH(&w, vs_stats_get(w.db, NULL), VS_ERR_MISUSE, w.db, "out_stats");
    REFUSED_WITH(&w, vs_check(w.db, 0, NULL, NULL, NULL), VS_ERR_MISUSE, w.db, "out_problems");
    REFUSED_WITH(&w, vs_check(w.db, -1, NULL, NULL, &w.out.number), VS_ERR_INVALID, w.db,
                 "level is -1");
    REFUSED_WITH(&w, vs_check(w.db, 4, NULL, NULL, &w.out.number), VS_ERR_INVALID, w.db,
                 "level is 4");
    VT_OK(vs_check(w.db, 3, use_database, &w, &w.out.number), w.db);
    VT_EQ(w.out.number, 0);
    outs_reset(&w.out);
    REFUSED(&w, vs_maintain(w.db, 0, NULL), VS_OK);
    REFUSED(&w, vs_maintain(w.db, UINT64_MAX, NULL), VS_OK);
    REFUSED(&w, vs_interrupt(w.db), VS_OK);
    VT_OK(vs_sync(w.db), w.db);
    REFUSED(&w, vs_sync(w.db), VS_OK);
    VT_OK(vs_checkpoint(w.db), w.db);
    VT_OK(vs_checkpoint(w.db), w.db);
    world_end(&w);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

VT_TEST(a_json_reader_refuses_null_and_tokens_of_another_kind) {
    static outs out, before;
    vs_json reader;
    const char *expected = NULL;
    size_t offset = 0, bytes = 0;
    int64_t i64 = 5;
    double number = 5;
    outs_reset(&out);
    before = out;
    VT_EQ(vs_json_begin(NULL, "1", 1, 0), VS_ERR_MISUSE);
    VT_EQ(vs_json_begin(&reader, NULL, 1, 0), VS_ERR_MISUSE);
    VT_EQ(vs_json_begin(&reader, "1", 1, 2), VS_ERR_MISUSE);
    VT_EQ(vs_json_begin(&reader, "1", 1, UINT32_MAX), VS_ERR_MISUSE);
    VT_EQ(vs_json_next(NULL), VS_JSON_ERROR);
    VT_EQ(vs_json_skip(NULL), VS_JSON_ERROR);
    VT_EQ(vs_json_error(NULL, &offset, &expected), VS_ERR_MISUSE);
    VT_EQ(vs_json_begin(&reader, "[true, 1e400, 1.5]", 18, 0), VS_OK);
    for (int token = 1; token > 0 && token != VS_JSON_ARRAY_END; token = vs_json_next(&reader)) {
        bool is_number = token == VS_JSON_NUMBER;
        VT_EQ(vs_json_token(NULL, &offset, &bytes), VS_ERR_MISUSE);
        VT_EQ(vs_json_token(&reader, NULL, &bytes), VS_ERR_MISUSE);
        VT_EQ(vs_json_token(&reader, &offset, NULL), VS_ERR_MISUSE);
        VT_EQ(vs_json_error(&reader, NULL, NULL), VS_OK);
        VT_EQ(vs_json_string(&reader, out.text, sizeof out.text, &out.count), VS_ERR_MISUSE);
        VT_EQ(vs_json_double(&reader, NULL), VS_ERR_MISUSE);
        VT_EQ(vs_json_float(&reader, NULL), VS_ERR_MISUSE);
        VT_EQ(vs_json_i64(&reader, NULL), VS_ERR_MISUSE);
        VT_EQ(vs_json_u64(&reader, NULL), VS_ERR_MISUSE);
        VT_EQ(vs_json_i64(&reader, &i64) == VS_ERR_MISUSE, !is_number);
        VT_EQ(vs_json_u64(&reader, &out.number) == VS_ERR_MISUSE, !is_number);
        if (token != VS_JSON_ARRAY_BEGIN)
            VT_EQ(vs_json_floats(&reader, out.vectors, ROOM, &out.count), VS_ERR_MISUSE);
        if (!is_number) {
            VT_EQ(vs_json_double(&reader, &out.distance), VS_ERR_MISUSE);
            VT_EQ(vs_json_float(&reader, out.vectors), VS_ERR_MISUSE);
        }
    }
    VT_EQ(vs_json_double(NULL, &number), VS_ERR_MISUSE);
    VT_EQ(vs_json_float(NULL, out.vectors), VS_ERR_MISUSE);
    VT_EQ(vs_json_i64(NULL, &i64), VS_ERR_MISUSE);
    VT_EQ(vs_json_u64(NULL, &out.number), VS_ERR_MISUSE);
    VT_EQ(vs_json_string(NULL, NULL, 0, &bytes), VS_ERR_MISUSE);
    VT_EQ(vs_json_floats(NULL, NULL, 0, &bytes), VS_ERR_MISUSE);
    VT_EQ(i64, 5);
    VT_CHECK(number == 5 && offset == 0 && bytes == 0 && expected == NULL);
    VT_CHECK(!memcmp(&out, &before, sizeof out));
}

VT_TEST(json_strings_and_arrays_refuse_room_that_is_not_there) {
    vs_json reader;
    size_t n = 9;
    VT_EQ(vs_json_begin(&reader, "\"abc\"", 5, 0), VS_OK);
    VT_EQ(vs_json_next(&reader), VS_JSON_STRING);
    VT_EQ(vs_json_string(&reader, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_string(&reader, NULL, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(n, 9);
    VT_EQ(vs_json_string(&reader, NULL, 0, &n), VS_OK);
    VT_EQ(n, 3);
    VT_EQ(vs_json_begin(&reader, "[1,2]", 5, 0), VS_OK);
    VT_EQ(vs_json_next(&reader), VS_JSON_ARRAY_BEGIN);
    VT_EQ(vs_json_floats(&reader, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_floats(&reader, NULL, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(n, 3);
    VT_EQ(vs_json_floats(&reader, NULL, 0, &n), VS_OK);
    VT_EQ(n, 2);
    VT_EQ(vs_json_begin(&reader, NULL, 0, 0), VS_OK);
    VT_EQ(vs_json_next(&reader), VS_JSON_ERROR); /* no text is no value */
}

VT_TEST(json_writers_refuse_null_and_what_json_does_not_have) {
    const vs_allocator no_realloc = {NULL, NULL};
    char out[8] = "before";
    size_t n = 9;
    VT_EQ(vs_json_write_double(1, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_double(1, out, 8, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_double((double)NAN, out, 8, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_double((double)INFINITY, out, 8, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_float(1, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_float(1, out, 8, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_float(NAN, out, 8, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_float(-INFINITY, out, 8, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_write_string(NULL, 1, out, 8, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_string("a", 1, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_string("a", 1, out, 8, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_json_write_string("\xff", 1, out, 8, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_compact(NULL, 0, out, 8, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_compact("1", 1, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_compact("1", 1, out, 8, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_json_compact("", 0, out, 8, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_merge_patch(NULL, 0, "{}", 2, NULL, out, 8, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_merge_patch("{}", 2, NULL, 0, NULL, out, 8, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_merge_patch("{}", 2, "{}", 2, &no_realloc, out, 8, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_merge_patch("{}", 2, "{}", 2, NULL, NULL, 8, &n), VS_ERR_MISUSE);
    VT_EQ(vs_json_merge_patch("{}", 2, "{}", 2, NULL, out, 8, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_json_merge_patch("{", 1, "{}", 2, NULL, out, 8, &n), VS_ERR_INVALID);
    VT_EQ(vs_json_merge_patch("{}", 2, "}", 1, NULL, out, 8, &n), VS_ERR_INVALID);
    VT_STR(out, "before");
    VT_EQ(n, 9);
}
