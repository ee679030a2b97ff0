/* sample.h - what the tests of the interface share: opening, collections, records. */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "vecstore.h"
#include "vt.h"

/* A file system in memory and one database on it. */
typedef struct sample {
    vs_vfs *vfs;
    vs_db *db;
} sample;

static inline vs_db *sample_open(const vs_vfs *vfs, const char *path, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.vfs = vfs;
    options.flags = flags;
    VT_OK(vs_open(path, &options, &db), db);
    return db;
}

static inline sample sample_new(void) {
    sample s = {NULL, NULL};
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    s.db = sample_open(s.vfs, "t.vs", VS_OPEN_CREATE);
    return s;
}

static inline void sample_reopen(sample *s) {
    VT_OK(vs_close(s->db), s->db);
    s->db = sample_open(s->vfs, "t.vs", 0);
}

static inline void sample_end(sample *s) {
    VT_OK(vs_close(s->db), s->db);
    vs_vfs_memory_destroy(s->vfs);
}

/* A file of one file system, copied to another; false when there is none. */
static inline bool sample_copy_file(vs_vfs *from, vs_vfs *to, const char *path) {
    char why[VS_VFS_WHY_BYTES];
    uint8_t piece[4096];
    void *in = NULL, *out = NULL;
    uint64_t at = 0;
    if (from->open(from->ctx, path, VS_VFS_READ, &in, why) != VS_OK)
        return false;
    VT_EQ(to->open(to->ctx, path, VS_VFS_WRITE | VS_VFS_CREATE, &out, why), VS_OK);
    for (;;) {
        size_t n = 0, written = 0;
        VT_EQ(from->read(from->ctx, in, piece, sizeof piece, at, &n, why), VS_OK);
        if (n == 0)
            break;
        VT_EQ(to->write(to->ctx, out, piece, n, at, &written, why), VS_OK);
        VT_EQ(written, n);
        at += n;
    }
    from->close(from->ctx, in);
    to->close(to->ctx, out);
    return true;
}

static inline uint64_t sample_file_bytes(const vs_vfs *vfs) {
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    uint64_t bytes = 0;
    VT_EQ(vfs->open(vfs->ctx, "t.vs", VS_VFS_READ, &file, why), VS_OK);
    VT_EQ(vfs->file_size(vfs->ctx, file, &bytes, why), VS_OK);
    vfs->close(vfs->ctx, file);
    return bytes;
}

/* What a process that is killed now leaves: its files as they are, opened again. */
static inline sample sample_after_kill(const sample *s) {
    sample copy = {NULL, NULL};
    VT_EQ(vs_vfs_memory_create(NULL, &copy.vfs), VS_OK);
    VT_CHECK(sample_copy_file(s->vfs, copy.vfs, "t.vs"));
    for (int i = 1; i < 30; i++) {
        char path[32];
        snprintf(path, sizeof path, "t.vs-wal-%d", i);
        sample_copy_file(s->vfs, copy.vfs, path);
    }
    copy.db = sample_open(copy.vfs, "t.vs", 0);
    return copy;
}

static inline vs_collection_options sample_options(uint32_t dim, int type, int metric) {
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = dim;
    options.type = type;
    options.metric = metric;
    return options;
}

static inline vs_collection *sample_create(vs_db *db, vs_txn *txn, const char *name, uint32_t dim,
                                           int type, int metric) {
    vs_collection_options options = sample_options(dim, type, metric);
    vs_collection *c = NULL;
    VT_OK(vs_collection_create(db, txn, name, &options, &c), txn ? (void *)txn : (void *)db);
    return c;
}

static inline vs_collection *sample_collection(vs_db *db, const char *name) {
    vs_collection *c = NULL;
    VT_OK(vs_collection_open(db, NULL, name, &c), db);
    return c;
}

static inline vs_txn *sample_begin(vs_db *db, int kind) {
    vs_txn *txn = NULL;
    VT_OK(vs_begin(db, kind, &txn), db);
    return txn;
}

/* A record of the collection's own type. */
static inline vs_record sample_record(uint64_t key, const void *vector, const char *metadata) {
    vs_record r = VS_RECORD_INIT;
    r.key.number = key;
    r.vector = vector;
    r.metadata = metadata;
    return r;
}

static inline vs_status sample_try_put(vs_collection *c, vs_txn *txn, uint64_t key,
                                       const void *vector, const char *metadata, int mode) {
    vs_record r = sample_record(key, vector, metadata);
    return vs_put(c, txn, &r, mode);
}

static inline void sample_put(vs_collection *c, vs_txn *txn, uint64_t key, const void *vector,
                              const char *metadata) {
    VT_OK(sample_try_put(c, txn, key, vector, metadata, VS_UPSERT), c);
}

static inline uint64_t sample_count(vs_collection *c, vs_txn *txn) {
    uint64_t count = UINT64_MAX;
    VT_OK(vs_count(c, txn, &count), c);
    return count;
}

static inline bool sample_has(vs_collection *c, vs_txn *txn, uint64_t key) {
    vs_status st = vs_get(c, txn, vs_key_u64(key), NULL);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    return st == VS_OK;
}

static inline vs_stats sample_stats(vs_db *db) {
    vs_stats stats = VS_STATS_INIT;
    VT_OK(vs_stats_get(db, &stats), db);
    return stats;
}

static inline void sample_check(vs_db *db) {
    for (int level = 0; level <= 3; level++) {
        uint64_t problems = UINT64_MAX;
        VT_OK(vs_check(db, level, NULL, NULL, &problems), db);
        VT_EQ(problems, 0);
    }
}

#endif
