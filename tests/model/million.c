/* million.c - a million random calls of every kind on one database, compared with plain arrays.
 *
 * Trees of three levels and more, transactions and failed calls in them, snapshots and cursors that stay
 * while all goes on, hundreds of closings and kills, little memory. After each call the digest, after each
 * opening digest, counts and samples, and now and then everything is compared.
 *
 * VT_SEED chooses the sequence, VT_OPS how long it is (VT_LONG=1: a million): the call in which a test
 * failed is repeated, and nothing else, whatever VT_OPS is. VT_VERBOSE=1 prints the figures also of a short run. */
#include "oracle.h"

enum { FAST_STEPS = 10000, ALL_STEPS = 1000000 };
enum { SNAPSHOTS = 6, BATCH_MAX = 500, HITS_MAX = 400, PATH_MAX_BYTES = 1200 };

/* A read transaction or a cursor's own snapshot, and what it must show. */
typedef struct snapshot {
    vs_txn *txn;       /* NULL: none, or ended before its cursor */
    vs_cursor *cursor; /* NULL: none; is_open tells whether there is anything */
    bool is_open;
    uint64_t until; /* the step that ends it */
    model m;
    int coll;
    uint32_t next; /* of cursor: no record before this place comes */
} snapshot;

enum {
    TREE_KEYS,
    TREE_METADATA,
    TREE_LIVE,
    TREE_SLABS,
    TREE_LONG_KEYS,
    TREE_NOTES,
    TREE_CATALOG,
    TREES
};

enum { SAVEPOINTS = 4 };

typedef struct figures {
    uint64_t by_kind[64];
    uint64_t refused, reopened, killed, readonly, everything, recovered, checkpoints;
    uint64_t longest_snapshot, records_max;
    int deepest[TREES];
} figures;

typedef struct fixture {
    const vs_vfs *vfs;
    char folder[1024]; /* "": none, in memory */
    int file;          /* a kill goes on with a copy of the files, which have another name */
    vs_db *db;
    vs_collection *coll[COLLS]; /* handles that last as long as the session; NULL: none */
    vs_txn *txn;                /* the write transaction; NULL: none */
    uint64_t txn_until;
    model now, staged;       /* the last commit; that with the transaction's changes */
    model saved[SAVEPOINTS]; /* as staged was at each open savepoint */
    uint32_t depth;
    vs_cursor *cursor; /* in the write transaction; NULL: none */
    int cursor_coll;
    uint32_t cursor_next;
    bool cursor_has_ended;
    snapshot snapshot[SNAPSHOTS];
    uint64_t step, session_until;
    uint32_t last; /* near this place the next changes come */
    vt_rng rng;
    figures figures;
} fixture;

static uint64_t below(fixture *f, uint64_t n) {
    return vt_below(&f->rng, n);
}

static bool one_in(fixture *f, uint64_t n) {
    return below(f, n) == 0;
}

/* 1 .. 2^bits, every size equally likely. */
static uint64_t any_size(fixture *f, uint64_t bits) {
    return 1 + below(f, (uint64_t)1 << below(f, bits + 1));
}

/* What changes go to, and reads with f->txn see. */
static model *current(fixture *f) {
    return f->txn ? &f->staged : &f->now;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* The database file, or a log of it. */
static const char *file_path(const fixture *f, int file, uint64_t log, char out[PATH_MAX_BYTES]) {
    int n = snprintf(out, PATH_MAX_BYTES, "%s%sm%d.vs", f->folder, f->folder[0] ? "/" : "", file);
    if (log)
        snprintf(out + n, PATH_MAX_BYTES - (size_t)n, "-wal-%llu", (unsigned long long)log);
    return out;
}

static bool copy_file(const vs_vfs *vfs, const char *from, const char *to) {
    static uint8_t piece[1 << 16];
    char why[VS_VFS_WHY_BYTES];
    void *in = NULL, *out = NULL;
    size_t n = 1, written = 0;
    if (vfs->open(vfs->ctx, from, VS_VFS_READ, &in, why) != VS_OK)
        return false;
    VT_EQ(vfs->open(vfs->ctx, to, VS_VFS_WRITE | VS_VFS_CREATE, &out, why), VS_OK);
    for (uint64_t at = 0; n > 0; at += n) {
        VT_EQ(vfs->read(vfs->ctx, in, piece, sizeof piece, at, &n, why), VS_OK);
        if (n)
            VT_EQ(vfs->write(vfs->ctx, out, piece, n, at, &written, why), VS_OK);
        VT_CHECK(!n || written == n);
    }
    vfs->close(vfs->ctx, in);
    vfs->close(vfs->ctx, out);
    return true;
}

/* How deep the trees are is read from the closed file, by docs/FORMAT.md. */
enum { PAGE = 4096, REF = 24 };

static uint64_t number_at(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes; i-- > 0;)
        value = value << 8 | at[i];
    return value;
}

static void read_page(const fixture *f, uint64_t page, uint8_t out[PAGE]) {
    char why[VS_VFS_WHY_BYTES], path[PATH_MAX_BYTES];
    void *file = NULL;
    size_t n = 0;
    VT_EQ(f->vfs->open(f->vfs->ctx, file_path(f, f->file, 0, path), VS_VFS_READ, &file, why),
          VS_OK);
    VT_EQ(f->vfs->read(f->vfs->ctx, file, out, PAGE, page * PAGE, &n, why), VS_OK);
    f->vfs->close(f->vfs->ctx, file);
    VT_EQ(n, PAGE);
}

/* Entry number at of a node; returns its references. */
static const uint8_t *entry_at(const uint8_t *node, uint32_t at, const uint8_t **out_key) {
    const uint8_t *entry = node + number_at(node + 16 + 2 * at, 2);
    *out_key = entry + 4;
    return entry + 4 + number_at(entry, 2) + (number_at(entry + 2, 2) & 0xfff);
}

static uint64_t page_of(const uint8_t *ref) {
    return number_at(ref, 8) & 0xffffffffff;
}

/* Goes down the first child of each node. */
static int depth_of(const fixture *f, const uint8_t *ref) {
    uint8_t node[PAGE], next[REF];
    const uint8_t *key = NULL;
    if (ref[12] != 1)
        return 0;
    memcpy(next, ref, REF);
    for (int depth = 1;; depth++) {
        read_page(f, page_of(next), node);
        if (number_at(node, 2) == 0)
            return depth;
        memcpy(next, entry_at(node, 0, &key), REF);
    }
}

static void saw_depth(fixture *f, int tree, const uint8_t *ref) {
    int depth = depth_of(f, ref);
    f->figures.deepest[tree] = depth > f->figures.deepest[tree] ? depth : f->figures.deepest[tree];
}

/* Seven collections and one more entry: the catalog is a leaf here, and no tree of more. */
static void look_at_depths(fixture *f) {
    uint8_t page[2][PAGE], node[PAGE];
    read_page(f, 0, page[0]);
    read_page(f, 16, page[1]);
    const uint8_t *meta = page[number_at(page[1] + 64, 8) > number_at(page[0] + 64, 8)];
    const uint8_t *catalog = meta + 128 + 64;
    saw_depth(f, TREE_CATALOG, catalog);
    if (catalog[12] != 1)
        return;
    read_page(f, page_of(catalog), node);
    VT_EQ(number_at(node, 2), 0);
    for (uint32_t at = 0; at < number_at(node + 2, 2); at++) {
        const uint8_t *key = NULL, *refs = entry_at(node, at, &key);
        bool is_coll =
            key[0] == 1 && number_at(key - 4, 2) == 5; /* no field of one, nor its name */
        for (int tree = 0; is_coll && tree <= TREE_LONG_KEYS; tree++)
            saw_depth(f, tree, refs + tree * REF);
        if (key[0] == 3)
            saw_depth(f, TREE_NOTES, refs);
    }
}

/* ---- handles -------------------------------------------------------------------------------- */

/* A handle of a collection that this view has: one that lasts, or another. */
static vs_collection *get_coll(fixture *f, vs_txn *txn, int c) {
    vs_collection *coll = NULL;
    bool lasts = f->now.coll[c].is_there && !one_in(f, 3);
    if (lasts && f->coll[c])
        return f->coll[c];
    VT_OK(vs_collection_open(f->db, lasts ? NULL : txn, shapes[c].name, &coll),
          !lasts && txn ? (const void *)txn : f->db);
    if (lasts)
        f->coll[c] = coll;
    return coll;
}

static void put_coll(fixture *f, int c, vs_collection *coll) {
    if (coll != f->coll[c])
        vs_collection_close(coll);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void check_record(const vs_record *r, int c, uint32_t i, const model *m) {
    static char text[TEXT_MAX + 1];
    uint8_t vector[BODY_MAX];
    model_record expected = m->record[shapes[c].first + i];
    VT_CHECK(r->key.number == key_of(c, i));
    VT_EQ(r->vector_type, shapes[c].type);
    VT_CHECK(!memcmp(r->vector, make_vector(c, expected.vector, vector), vector_bytes(c)));
    VT_EQ(r->metadata != NULL, expected.metadata != 0);
    if (!r->metadata)
        return;
    VT_EQ(r->metadata_bytes, make_metadata(expected.metadata, text));
    VT_CHECK(!memcmp(r->metadata, text, r->metadata_bytes + 1));
}

static void check_get(fixture *f, vs_txn *txn, const model *m, int c, uint32_t i) {
    vs_record r = VS_RECORD_INIT;
    vs_collection *coll = get_coll(f, txn, c);
    bool is_there = m->record[shapes[c].first + i].vector;
    vs_status st = vs_get(coll, txn, vs_key_u64(key_of(c, i)), &r);
    VT_EQ(st, is_there ? VS_OK : VS_ERR_NOT_FOUND);
    if (is_there)
        check_record(&r, c, i, m);
    put_coll(f, c, coll);
}

/* Up to rows records from place i on, or to the end. */
static void check_scan(fixture *f, vs_txn *txn, const model *m, int c, uint32_t i, uint64_t rows) {
    vs_cursor *cursor = NULL;
    vs_collection *coll = get_coll(f, txn, c);
    VT_OK(vs_scan(coll, txn, VT_FROM(i ? key_of(c, i) : 0), &cursor), coll);
    put_coll(f, c, coll);
    for (i = next_record(m, c, i); rows > 0 && i < shapes[c].records; rows--) {
        vs_record r = VS_RECORD_INIT;
        VT_EQ(vs_step(cursor), VS_ROW);
        VT_OK(vs_cursor_record(cursor, &r), cursor);
        check_record(&r, c, i, m);
        i = next_record(m, c, i + 1);
    }
    if (rows)
        VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
}

/* Sums are exact; the cosine's division and root are not, so its order may differ in the last digits. */
static void check_hits(int c, const double *query, const model *m, const vs_hit *hit,
                       const model_hit *expected, size_t n) {
    const double slack = 1e-12;
    for (size_t at = 0; at < n; at++) {
        if (shapes[c].metric != VS_COSINE) {
            VT_CHECK(hit[at].key.number == key_of(c, expected[at].i));
            VT_CHECK(hit[at].distance == expected[at].distance);
            continue;
        }
        uint32_t i = 0, end = shapes[c].records;
        for (uint32_t half = 0; i < end;) { /* the place of this key */
            half = (i + end) / 2;
            if (key_of(c, half) < hit[at].key.number)
                i = half + 1;
            else
                end = half;
        }
        VT_CHECK(i < shapes[c].records && key_of(c, i) == hit[at].key.number);
        uint32_t seed = m->record[shapes[c].first + i].vector;
        VT_CHECK(seed && fabs(distance(c, query, seed) - hit[at].distance) <= slack);
        VT_CHECK(fabs(expected[at].distance - hit[at].distance) <= slack);
        VT_CHECK(at == 0 || hit[at - 1].distance < hit[at].distance ||
                 (hit[at - 1].distance == hit[at].distance &&
                  hit[at - 1].key.number < hit[at].key.number));
    }
}

static void check_search(fixture *f, vs_txn *txn, const model *m, int c) {
    static vs_hit hit[HITS_MAX];
    static model_hit expected[HITS_MAX];
    uint32_t seed = 1 + (uint32_t)below(f, shapes[c].palette);
    size_t k = one_in(f, 10) ? 1 + below(f, HITS_MAX) : 1 + below(f, 20), found = 0;
    double query[DIM_MAX];
    float floats[DIM_MAX];
    uint8_t bytes[BODY_MAX];
    for (uint32_t j = 0; j < shapes[c].dim; j++) {
        query[j] = element_value(c, seed, j);
        floats[j] = (float)query[j];
    }
    bool as_floats = shapes[c].type == VS_F32 || one_in(f, 2);
    vs_collection *coll = get_coll(f, txn, c);
    VT_OK(vs_search(coll, txn, as_floats ? (const void *)floats : make_vector(c, seed, bytes),
                    as_floats ? VS_F32 : VS_U8, k, NULL, hit, &found),
          coll);
    put_coll(f, c, coll);
    VT_EQ(found, model_search(m, c, query, k, expected));
    check_hits(c, query, m, hit, expected, found);
}

static void check_count(fixture *f, vs_txn *txn, const model *m, int c) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_collection *coll = get_coll(f, txn, c);
    uint64_t count = 0;
    VT_OK(vs_count(coll, txn, &count), coll);
    VT_EQ(count, m->coll[c].count);
    VT_OK(vs_collection_info_get(coll, txn, &info), coll);
    VT_CHECK(info.id == m->coll[c].id && info.count == count && info.dim == shapes[c].dim);
    VT_CHECK(info.created_us == m->coll[c].created_us && info.type == shapes[c].type);
    VT_STR(info.name, shapes[c].name);
    put_coll(f, c, coll);
}

static void check_note(fixture *f, vs_txn *txn, const model *m, uint32_t at) {
    static uint8_t value[TEXT_MAX], expected[TEXT_MAX];
    uint8_t key[VS_KV_KEY_BYTES_MAX];
    int owner = note_owner(at);
    size_t key_bytes = make_note_key(at, key), bytes = 0;
    if (owner < COLLS && !m->coll[owner].is_there)
        return;
    size_t room = one_in(f, 4) ? below(f, 50) : sizeof value;
    vs_collection *coll = owner < COLLS ? get_coll(f, txn, owner) : NULL;
    vs_status st = vs_kv_get(f->db, txn, coll, key, key_bytes, value, room, &bytes);
    VT_EQ(st, m->note[at] ? VS_OK : VS_ERR_NOT_FOUND);
    if (owner < COLLS)
        put_coll(f, owner, coll);
    if (!m->note[at])
        return;
    VT_EQ(bytes, make_note(m->note[at], expected));
    VT_CHECK(!memcmp(value, expected, bytes < room ? bytes : room));
}

static void check_list(fixture *f, vs_txn *txn, const model *m) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    uint32_t last_id = 0;
    size_t at = 0, count = 0;
    for (; vs_collection_at(f->db, txn, at, &info) == VS_OK; at++) {
        VT_CHECK(info.id > last_id);
        last_id = info.id;
    }
    for (int c = 0; c < COLLS; c++)
        count += m->coll[c].is_there;
    VT_EQ(at, count);
}

/* Counts, and something of everything. */
static void check_sample(fixture *f, vs_txn *txn, const model *m) {
    check_list(f, txn, m);
    for (int c = 0; c < COLLS; c++) {
        vs_collection *coll = NULL;
        if (!m->coll[c].is_there) {
            VT_EQ(vs_collection_open(f->db, txn, shapes[c].name, &coll), VS_ERR_NOT_FOUND);
            continue;
        }
        check_count(f, txn, m, c);
        for (int n = 0; n < 20; n++)
            check_get(f, txn, m, c, (uint32_t)below(f, shapes[c].records));
        check_scan(f, txn, m, c, (uint32_t)below(f, shapes[c].records), any_size(f, 8));
        if (one_in(f, 4))
            check_search(f, txn, m, c);
    }
    for (int n = 0; n < 20; n++)
        check_note(f, txn, m, (uint32_t)below(f, NOTES));
}

static void check_everything(fixture *f, vs_txn *txn, const model *m) {
    check_list(f, txn, m);
    for (int c = 0; c < COLLS; c++) {
        if (!m->coll[c].is_there)
            continue;
        check_count(f, txn, m, c);
        check_scan(f, txn, m, c, 0, UINT64_MAX);
        check_search(f, txn, m, c);
    }
    for (uint32_t at = 0; at < NOTES; at++)
        check_note(f, txn, m, at);
    f->figures.everything++;
}

/* The sum that the model keeps is that of its content. */
static void check_model(const model *m) {
    static model sum;
    memset(&sum, 0, sizeof sum);
    for (int c = 0; c < COLLS; c++) {
        if (!m->coll[c].is_there)
            continue;
        set_coll(&sum, c, m->coll[c].id, m->coll[c].created_us);
        for (uint32_t i = 0; i < shapes[c].records; i++)
            set_record(&sum, c, i, m->record[shapes[c].first + i]);
    }
    for (uint32_t at = 0; at < NOTES; at++)
        set_note(&sum, at, m->note[at]);
    VT_CHECK(!memcmp(sum.digest, m->digest, sizeof sum.digest));
    for (int c = 0; c < COLLS; c++)
        VT_EQ(sum.coll[c].count, m->coll[c].count);
}

static void check_digest(fixture *f) {
    vs_stats stats = VS_STATS_INIT;
    VT_OK(vs_stats_get(f->db, &stats), f->db);
    if (memcmp(stats.digest, f->now.digest, sizeof stats.digest))
        vt_fail(__FILE__, __LINE__, "the digest is not that of the model");
    VT_STR(stats.readonly_reason, "");
}

static void print_problem(void *ctx, const char *problem) {
    (void)ctx;
    fprintf(stderr, "%s\n", problem);
}

static void check_files(fixture *f, int level) {
    uint64_t problems = 0;
    VT_OK(vs_check(f->db, level, print_problem, NULL, &problems), f->db);
    VT_EQ(problems, 0);
}

/* ---- picking -------------------------------------------------------------------------------- */

/* A collection that this view has, the large one most often; COLLS: none. */
static int some_coll(fixture *f, const model *m) {
    int c = one_in(f, 2) ? 0 : (int)below(f, COLLS);
    return m->coll[c].is_there ? c : COLLS;
}

/* A place anywhere, or near the last one. */
static uint32_t some_place(fixture *f, int c) {
    uint32_t n = shapes[c].records;
    f->last = (uint32_t)(one_in(f, 3) ? f->last + below(f, 20) : below(f, n));
    return f->last % n;
}

/* The places are filled for a while, then emptied, and so on. */
static bool is_growing(const fixture *f) {
    return f->step / 30000 % 3 != 2;
}

static uint32_t some_seed(fixture *f) {
    return 1 + (uint32_t)below(f, UINT32_MAX - 1);
}

static uint32_t some_vector(fixture *f, int c) {
    return 1 + (uint32_t)below(f, shapes[c].palette);
}

/* Something to read from: the transaction, the last commit, or a snapshot. */
static const model *some_view(fixture *f, vs_txn **out_txn) {
    snapshot *s = &f->snapshot[below(f, SNAPSHOTS)];
    *out_txn = NULL;
    if (s->txn && one_in(f, 2)) {
        *out_txn = s->txn;
        return &s->m;
    }
    if (f->txn && !one_in(f, 3)) {
        *out_txn = f->txn;
        return &f->staged;
    }
    return &f->now;
}

/* ---- steps: records ------------------------------------------------------------------------- */

static void step_put(fixture *f) {
    static char text[TEXT_MAX + 1];
    model *m = current(f);
    int c = some_coll(f, m);
    float floats[DIM_MAX];
    uint8_t vector[BODY_MAX];
    if (c == COLLS)
        return;
    uint32_t i = some_place(f, c);
    model_record old = *record_at(m, c, i), new = {some_vector(f, c), 0};
    if (old.vector && one_in(f, 2))
        new.vector = old.vector; /* only the metadata change */
    new.metadata = one_in(f, 3) ? 0 : some_seed(f);
    int mode = one_in(f, 3) ? VS_INSERT : VS_UPSERT;
    vs_record r = VS_RECORD_INIT;
    r.key.number = key_of(c, i);
    r.vector = make_vector(c, new.vector, vector);
    if (shapes[c].type == VS_U8 && one_in(f, 2)) { /* converted */
        for (uint32_t j = 0; j < shapes[c].dim; j++)
            floats[j] = (float)element(c, new.vector, j);
        r.vector = floats;
        r.vector_type = VS_F32;
    }
    if (new.metadata) {
        size_t bytes = make_metadata(new.metadata, text);
        r.metadata = text;
        r.metadata_bytes = one_in(f, 2) ? bytes : 0;
    }
    vs_collection *coll = get_coll(f, f->txn, c);
    bool is_refused = mode == VS_INSERT && old.vector;
    VT_EQ(vs_put(coll, f->txn, &r, mode), is_refused ? VS_ERR_EXISTS : VS_OK);
    put_coll(f, c, coll);
    f->figures.refused += is_refused;
    if (!is_refused)
        set_record(m, c, i, new);
}

/* New metadata, or none, for a record that may not be there. */
static void step_metadata(fixture *f) {
    static char text[TEXT_MAX + 1];
    model *m = current(f);
    int c = some_coll(f, m);
    if (c == COLLS)
        return;
    uint32_t i = some_place(f, c);
    model_record r = *record_at(m, c, i);
    bool is_there = r.vector;
    r.metadata = one_in(f, 3) ? 0 : some_seed(f);
    size_t bytes = r.metadata ? make_metadata(r.metadata, text) : 0;
    vs_collection *coll = get_coll(f, f->txn, c);
    VT_EQ(vs_set_metadata(coll, f->txn, vs_key_u64(key_of(c, i)), r.metadata ? text : NULL,
                          one_in(f, 2) ? bytes : 0),
          is_there ? VS_OK : VS_ERR_NOT_FOUND);
    put_coll(f, c, coll);
    f->figures.refused += !is_there;
    if (is_there)
        set_record(m, c, i, r);
}

static void delete_one(fixture *f, model *m, int c, uint32_t i) {
    bool is_there = record_at(m, c, i)->vector;
    vs_collection *coll = get_coll(f, f->txn, c);
    VT_EQ(vs_delete(coll, f->txn, vs_key_u64(key_of(c, i))), is_there ? VS_OK : VS_ERR_NOT_FOUND);
    put_coll(f, c, coll);
    f->figures.refused += !is_there;
    set_record(m, c, i, (model_record){0, 0});
}

static void step_delete(fixture *f) {
    int c = some_coll(f, current(f));
    if (c < COLLS)
        delete_one(f, current(f), c, some_place(f, c));
}

/* Neighbors one after the other, so that whole nodes go. Its deletes count as one. */
static void step_sweep(fixture *f) {
    int c = some_coll(f, current(f));
    if (c == COLLS || !f->txn)
        return;
    uint32_t i = some_place(f, c);
    for (uint64_t n = any_size(f, is_growing(f) ? 4 : 8); n > 0 && i < shapes[c].records; n--, i++)
        if (f->staged.record[shapes[c].first + i].vector)
            delete_one(f, &f->staged, c, i);
}

/* What is wrong with a batch. */
enum { WRONG_NOTHING, WRONG_VECTOR, WRONG_JSON, WRONG_STRIDE, WRONGS };

/* Row number row of a batch; writes its columns. */
static model_record batch_row(fixture *f, int c, size_t row, uint8_t *vectors,
                              const char **metadata) {
    static char text[16][TEXT_MAX + 1];
    model_record r = {some_vector(f, c), row % 32 == 0 && row / 32 < 16 ? some_seed(f) : 0};
    make_vector(c, r.vector, vectors + row * BODY_MAX);
    metadata[row] = NULL;
    if (r.metadata) {
        make_metadata(r.metadata, text[row / 32]);
        metadata[row] = text[row / 32];
    } else if (one_in(f, 4)) {
        metadata[row] = "{}";
        r.metadata = EMPTY_METADATA;
    }
    return r;
}

static void step_batch(fixture *f) {
    static uint8_t vectors[BATCH_MAX][BODY_MAX];
    static uint64_t keys[BATCH_MAX];
    static const char *metadata[BATCH_MAX];
    static model after;
    int c = some_coll(f, current(f));
    if (c == COLLS)
        return;
    size_t n = one_in(f, 12) ? below(f, BATCH_MAX) : below(f, 24);
    size_t bad = n ? below(f, n) : 0;
    int wrong = one_in(f, 5) ? (int)below(f, WRONGS) : WRONG_NOTHING;
    int mode = one_in(f, 4) ? VS_INSERT : VS_UPSERT;
    if (wrong == WRONG_VECTOR && shapes[c].type == VS_U8)
        wrong = WRONG_JSON; /* every u8 is a number */
    if (wrong == WRONG_STRIDE && vector_bytes(c) == 1)
        wrong = WRONG_JSON; /* 0 means without gaps */
    vs_status expected = wrong == WRONG_STRIDE && n > 0 ? VS_ERR_INVALID : VS_OK;
    bool is_run = one_in(f, 2);
    uint32_t first = some_place(f, c);
    after = *current(f);
    for (size_t row = 0; row < n; row++) {
        uint32_t i = is_run ? (first + (uint32_t)row) % shapes[c].records : some_place(f, c);
        model_record r = batch_row(f, c, row, vectors[0], metadata);
        keys[row] = key_of(c, i);
        if (wrong == WRONG_VECTOR && row == bad)
            memcpy(vectors[row], &(float){row % 2 ? NAN : INFINITY}, sizeof(float));
        if (wrong == WRONG_JSON && row == bad)
            metadata[row] = "[1]";
        if (expected != VS_OK)
            continue;
        if (wrong != WRONG_NOTHING && row == bad)
            expected = VS_ERR_INVALID;
        else if (mode == VS_INSERT && record_at(&after, c, i)->vector)
            expected = VS_ERR_EXISTS;
        else
            set_record(&after, c, i, r);
    }
    vs_batch batch = VS_BATCH_INIT;
    batch.count = n;
    batch.numbers = keys;
    batch.vectors = vectors;
    batch.stride_bytes = wrong == WRONG_STRIDE ? vector_bytes(c) - 1 : BODY_MAX;
    batch.metadata = metadata;
    vs_collection *coll = get_coll(f, f->txn, c);
    vs_status st = vs_put_batch(coll, f->txn, &batch, mode);
    if (wrong == WRONG_STRIDE && n == 0)
        expected = st; /* nothing is asked */
    VT_EQ(st, expected);
    put_coll(f, c, coll);
    f->figures.refused += st != VS_OK;
    if (st == VS_OK)
        *current(f) = after;
}

static void step_get(fixture *f) {
    vs_txn *txn = NULL;
    const model *m = some_view(f, &txn);
    int c = some_coll(f, m);
    if (c < COLLS)
        check_get(f, txn, m, c, some_place(f, c));
}

static void step_count(fixture *f) {
    vs_txn *txn = NULL;
    const model *m = some_view(f, &txn);
    int c = some_coll(f, m);
    if (c < COLLS)
        check_count(f, txn, m, c);
}

static void step_scan(fixture *f) {
    vs_txn *txn = NULL;
    const model *m = some_view(f, &txn);
    int c = some_coll(f, m);
    if (c < COLLS)
        check_scan(f, txn, m, c, some_place(f, c), any_size(f, 9));
}

static void step_search(fixture *f) {
    vs_txn *txn = NULL;
    const model *m = some_view(f, &txn);
    int c = some_coll(f, m);
    if (c < COLLS)
        check_search(f, txn, m, c);
}

/* ---- steps: collections and notes ----------------------------------------------------------- */

/* They come one by one, the last ones late. */
static void step_create(fixture *f) {
    model *m = current(f);
    int c = (int)below(f, 1 + (f->step / 1500 < COLLS ? f->step / 1500 : COLLS - 1));
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_collection *coll = NULL;
    options.dim = shapes[c].dim;
    options.type = shapes[c].type;
    options.metric = shapes[c].metric;
    vs_status st = vs_collection_create(f->db, f->txn, shapes[c].name, &options, &coll);
    VT_EQ(st, m->coll[c].is_there ? VS_ERR_EXISTS : VS_OK);
    f->figures.refused += st != VS_OK;
    if (st != VS_OK)
        return;
    VT_OK(vs_collection_info_get(coll, f->txn, &info), coll);
    vs_collection_close(coll);
    for (int other = 0; other < COLLS; other++)
        VT_CHECK(!m->coll[other].is_there || m->coll[other].id < info.id);
    set_coll(m, c, info.id, info.created_us);
}

static void step_note(fixture *f) {
    static uint8_t value[TEXT_MAX];
    model *m = current(f);
    uint8_t key[VS_KV_KEY_BYTES_MAX];
    uint32_t at = (uint32_t)below(f, NOTES);
    uint32_t new = one_in(f, is_growing(f) ? 6 : 2) ? 0 : some_seed(f);
    int owner = note_owner(at);
    size_t key_bytes = make_note_key(at, key), bytes = new ? make_note(new, value) : 0;
    if (owner < COLLS && !m->coll[owner].is_there)
        return;
    vs_collection *coll = owner < COLLS ? get_coll(f, f->txn, owner) : NULL;
    VT_OK(vs_kv_put(f->db, f->txn, coll, key, key_bytes, new ? value : NULL, bytes),
          f->txn ? (const void *)f->txn : f->db);
    if (owner < COLLS)
        put_coll(f, owner, coll);
    set_note(m, at, new);
}

static void step_note_get(fixture *f) {
    vs_txn *txn = NULL;
    const model *m = some_view(f, &txn);
    check_note(f, txn, m, (uint32_t)below(f, NOTES));
}

/* ---- steps: calls that must fail ------------------------------------------------------------ */

static vs_status refused_put(fixture *f, int c, uint64_t how) {
    static char text[VS_METADATA_BYTES_MAX + 16];
    float vector[DIM_MAX] = {0};
    vs_record r = VS_RECORD_INIT;
    vs_collection *coll = get_coll(f, f->txn, c);
    vs_status wanted = VS_ERR_INVALID;
    r.key.number = key_of(c, some_place(f, c));
    r.vector = vector;
    r.vector_type = VS_F32;
    if (how == 0) {
        vector[0] = shapes[c].type == VS_U8 ? 0.5f : NAN;
    } else if (how == 1) {
        r.metadata = "{\"a\":1,}";
    } else {
        memset(text, ' ', sizeof text);
        memcpy(text, "{}", 2);
        text[sizeof text - 1] = 0;
        r.metadata = text;
        wanted = VS_ERR_LIMIT;
    }
    vs_status st = vs_put(coll, f->txn, &r, VS_UPSERT);
    put_coll(f, c, coll);
    VT_EQ(st, wanted);
    return st;
}

/* With a transaction open: what this thread must not do beside it. */
static vs_status refused_beside(fixture *f, int c, uint64_t how) {
    vs_txn *txn = NULL;
    vs_status st = VS_OK;
    uint64_t left = 0;
    if (how == 0) {
        st = vs_begin(f->db, VS_TXN_WRITE, &txn);
    } else if (how == 1) {
        st = vs_checkpoint(f->db);
    } else if (how == 2) {
        st = vs_maintain(f->db, 1, &left);
        if (st == VS_OK && left == 0)
            return st; /* it was not time */
    } else if (f->now.coll[c].is_there) {
        vs_collection *coll = get_coll(f, NULL, c);
        st = vs_delete(coll, NULL, vs_key_u64(key_of(c, some_place(f, c))));
        put_coll(f, c, coll);
    } else {
        return VS_OK;
    }
    VT_EQ(st, VS_ERR_MISUSE);
    return st;
}

static vs_status refused_note(fixture *f) {
    static const uint8_t key[VS_KV_KEY_BYTES_MAX + 1];
    vs_status st = vs_kv_put(f->db, f->txn, NULL, key, sizeof key, "", 0);
    VT_EQ(st, VS_ERR_LIMIT);
    return st;
}

static vs_status refused_in_snapshot(fixture *f, int c) {
    snapshot *s = &f->snapshot[below(f, SNAPSHOTS)];
    if (!s->txn || !s->m.coll[c].is_there)
        return VS_OK;
    vs_collection *coll = get_coll(f, s->txn, c);
    vs_status st = vs_delete(coll, s->txn, vs_key_u64(key_of(c, some_place(f, c))));
    put_coll(f, c, coll);
    VT_EQ(st, VS_ERR_MISUSE);
    return st;
}

static void step_refused(fixture *f) {
    int c = some_coll(f, current(f));
    uint64_t how = below(f, 10);
    vs_status st = VS_OK;
    if (how == 0)
        st = refused_note(f);
    else if (how < 4 && f->txn && c < COLLS)
        st = refused_beside(f, c, below(f, 4));
    else if (how < 6 && c < COLLS)
        st = refused_in_snapshot(f, c);
    else if (c < COLLS)
        st = refused_put(f, c, one_in(f, 20) ? 2 : below(f, 2));
    f->figures.refused += st != VS_OK;
}

/* ---- steps: transactions -------------------------------------------------------------------- */

static void step_begin(fixture *f) {
    if (f->txn)
        return;
    VT_OK(vs_begin(f->db, VS_TXN_WRITE, &f->txn), f->db);
    f->staged = f->now;
    f->depth = 0;
    f->txn_until = f->step + any_size(f, 9);
}

static void end_write_cursor(fixture *f) {
    vs_record r = VS_RECORD_INIT;
    if (f->cursor && f->cursor_has_ended) {
        VT_EQ(vs_step(f->cursor), VS_ERR_MISUSE);
        VT_EQ(vs_cursor_record(f->cursor, &r), VS_ERR_MISUSE);
    }
    vs_cursor_close(f->cursor);
    f->cursor = NULL;
    f->cursor_has_ended = false;
}

/* The transaction's cursor goes on behind what it has shown, unless its collection is gone. */
static void back_to_savepoint(fixture *f, uint32_t number) {
    VT_OK(vs_rollback_to(f->txn, number), f->txn);
    f->staged = f->saved[number - 1];
    f->depth = number;
    if (f->cursor && !f->cursor_has_ended && !f->staged.coll[f->cursor_coll].is_there) {
        VT_EQ(vs_step(f->cursor), VS_ERR_MISUSE);
        end_write_cursor(f);
    }
}

static void step_savepoint(fixture *f) {
    uint64_t what = below(f, 5);
    uint32_t number = 0;
    if (!f->txn)
        return;
    if (!f->depth || (what < 2 && f->depth < SAVEPOINTS)) {
        VT_OK(vs_savepoint(f->txn, &number), f->txn);
        f->saved[f->depth++] = f->staged;
        VT_EQ(number, f->depth);
    } else if (what < 4) {
        back_to_savepoint(f, 1 + (uint32_t)below(f, f->depth));
    } else {
        number = 1 + (uint32_t)below(f, f->depth);
        VT_OK(vs_release(f->txn, number), f->txn);
        f->depth = number - 1;
    }
    VT_EQ(vs_rollback_to(f->txn, f->depth + 1), VS_ERR_MISUSE);
}

static void step_end_transaction(fixture *f) {
    if (!f->txn)
        return;
    if (one_in(f, 4)) {
        vs_rollback(f->txn);
    } else {
        VT_OK(vs_commit(f->txn, (int)below(f, 4)), f->db);
        f->now = f->staged;
    }
    f->txn = NULL;
    f->cursor_has_ended = f->cursor != NULL;
}

/* A cursor in the transaction sees what is in front of it as it is now. */
static void step_write_cursor(fixture *f) {
    if (f->cursor && (f->cursor_has_ended || one_in(f, 20))) {
        end_write_cursor(f);
        return;
    }
    if (!f->txn)
        return;
    if (!f->cursor) {
        int c = some_coll(f, &f->staged);
        if (c == COLLS)
            return;
        uint32_t i = some_place(f, c);
        vs_collection *coll = get_coll(f, f->txn, c);
        VT_OK(vs_scan(coll, f->txn, VT_FROM(key_of(c, i)), &f->cursor), coll);
        put_coll(f, c, coll);
        f->cursor_coll = c;
        f->cursor_next = i;
    }
    for (uint64_t n = 1 + below(f, 8); n > 0; n--) {
        int c = f->cursor_coll;
        vs_record r = VS_RECORD_INIT;
        uint32_t i = next_record(&f->staged, c, f->cursor_next);
        bool is_row = i < shapes[c].records;
        VT_EQ(vs_step(f->cursor), is_row ? VS_ROW : VS_DONE);
        if (!is_row) {
            end_write_cursor(f);
            return;
        }
        f->cursor_next = i + 1;
        bool is_deleted = one_in(f, 8);
        if (is_deleted)
            delete_one(f, &f->staged, c, i);
        vs_status st = vs_cursor_record(f->cursor, &r);
        VT_EQ(st, is_deleted ? VS_ERR_NOT_FOUND : VS_OK);
        if (!is_deleted)
            check_record(&r, c, i, &f->staged);
    }
}

/* ---- steps: snapshots ----------------------------------------------------------------------- */

static void close_snapshot(snapshot *s) {
    vs_cursor_close(s->cursor);
    vs_rollback(s->txn);
    s->cursor = NULL;
    s->txn = NULL;
    s->is_open = false;
}

static void begin_snapshot(fixture *f, snapshot *s) {
    int c = some_coll(f, &f->now);
    uint64_t length = any_size(f, 14);
    s->until = f->step + length;
    if (one_in(f, 3) && c < COLLS) { /* a cursor's own */
        vs_collection *coll = get_coll(f, NULL, c);
        s->next = some_place(f, c);
        s->coll = c;
        VT_OK(vs_scan(coll, NULL, VT_FROM(s->next ? key_of(c, s->next) : 0), &s->cursor), coll);
        put_coll(f, c, coll);
    } else {
        VT_OK(vs_begin(f->db, VS_TXN_READ, &s->txn), f->db);
    }
    s->is_open = true;
    s->m = f->now;
}

static void move_snapshot_cursor(fixture *f, snapshot *s) {
    if (!s->cursor && s->txn) {
        int c = some_coll(f, &s->m);
        if (c == COLLS)
            return;
        vs_collection *coll = get_coll(f, s->txn, c);
        s->coll = c;
        s->next = some_place(f, c);
        VT_OK(vs_scan(coll, s->txn, VT_FROM(s->next ? key_of(c, s->next) : 0), &s->cursor), coll);
        put_coll(f, c, coll);
        if (one_in(f, 4)) { /* it may outlive its transaction */
            vs_rollback(s->txn);
            s->txn = NULL;
        }
    }
    for (uint64_t n = 1 + below(f, 20); n > 0; n--) {
        vs_record r = VS_RECORD_INIT;
        uint32_t i = next_record(&s->m, s->coll, s->next);
        bool is_row = i < shapes[s->coll].records;
        VT_EQ(vs_step(s->cursor), is_row ? VS_ROW : VS_DONE);
        if (!is_row) {
            vs_cursor_close(s->cursor);
            s->cursor = NULL;
            s->is_open = s->txn != NULL;
            return;
        }
        s->next = i + 1;
        VT_OK(vs_cursor_record(s->cursor, &r), s->cursor);
        check_record(&r, s->coll, i, &s->m);
    }
}

/* The last look at a snapshot, from which much has happened since. */
static void end_snapshot(fixture *f, snapshot *s) {
    int c = some_coll(f, &s->m);
    if (s->txn && one_in(f, 16))
        check_everything(f, s->txn, &s->m);
    else if (s->txn)
        check_sample(f, s->txn, &s->m);
    if (s->txn && c < COLLS)
        check_scan(f, s->txn, &s->m, c, some_place(f, c), one_in(f, 4) ? UINT64_MAX : 1000);
    while (s->cursor && !one_in(f, 30)) /* often to its end */
        move_snapshot_cursor(f, s);
    close_snapshot(s);
}

static void step_snapshot(fixture *f) {
    snapshot *s = &f->snapshot[below(f, SNAPSHOTS)];
    if (!s->is_open)
        begin_snapshot(f, s);
    else if (s->cursor || one_in(f, 2))
        move_snapshot_cursor(f, s);
    else if (s->m.coll[0].is_there)
        check_scan(f, s->txn, &s->m, 0, some_place(f, 0), any_size(f, 5));
}

/* ---- steps: looking after it ---------------------------------------------------------------- */

static void step_sync(fixture *f) {
    VT_OK(vs_sync(f->db), f->db);
}

static void step_checkpoint(fixture *f) {
    if (!f->txn)
        VT_OK(vs_checkpoint(f->db), f->db);
}

static void step_maintain(fixture *f) {
    uint64_t left = 0;
    if (!f->txn)
        VT_OK(vs_maintain(f->db, any_size(f, 20), &left), f->db);
}

static void step_check(fixture *f) {
    check_files(f, one_in(f, 4) ? 2 + (int)below(f, 2) : (int)below(f, 2));
}

/* ---- sessions ------------------------------------------------------------------------------- */

static void open_db(fixture *f, uint32_t flags) {
    static const uint64_t limits[] = {1, 200000, 3000000, VS_NO_LIMIT, 0};
    char path[PATH_MAX_BYTES];
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_stats stats = VS_STATS_INIT;
    options.vfs = f->vfs;
    options.flags = flags;
    options.sync = (int)below(f, 4);
    options.memory_limit = limits[below(f, 5)];
    options.trailer_bytes = vt_mix(vt_seed()) % 2 ? 40 : 0;
    VT_OK(vs_open(file_path(f, f->file, 0, path), &options, &f->db), f->db);
    VT_OK(vs_stats_get(f->db, &stats), f->db);
    VT_EQ(stats.dropped_bytes, 0);
    f->figures.recovered += stats.recovered_txns;
    f->session_until = f->step + 16 + any_size(f, 13);
}

/* With something open a database cannot be closed. */
static void end_handles(fixture *f) {
    bool has_handles = f->txn || f->cursor;
    for (int i = 0; i < SNAPSHOTS; i++)
        has_handles = has_handles || f->snapshot[i].is_open;
    for (int c = 0; c < COLLS; c++)
        has_handles = has_handles || f->coll[c];
    if (has_handles)
        VT_EQ(vs_close(f->db), VS_ERR_BUSY);
    for (int i = 0; i < SNAPSHOTS; i++)
        close_snapshot(&f->snapshot[i]);
    vs_rollback(f->txn);
    f->cursor_has_ended = f->txn != NULL;
    f->txn = NULL;
    end_write_cursor(f);
    for (int c = 0; c < COLLS; c++) {
        vs_collection_close(f->coll[c]);
        f->coll[c] = NULL;
    }
}

static void close_db(fixture *f) {
    vs_stats stats = VS_STATS_INIT;
    end_handles(f);
    VT_OK(vs_stats_get(f->db, &stats), f->db);
    VT_EQ(stats.readers, 0);
    f->figures.checkpoints += stats.checkpoints;
    VT_OK(vs_close(f->db), f->db);
}

static void remove_files(const fixture *f, int file, uint64_t logs) {
    char why[VS_VFS_WHY_BYTES], path[PATH_MAX_BYTES];
    for (uint64_t log = 0; log <= logs; log++) {
        vs_status st = f->vfs->remove(f->vfs->ctx, file_path(f, file, log, path), why);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOT_FOUND);
    }
}

/* The files as they are now, in the middle of whatever was open, are what a killed process leaves. */
static void kill_process(fixture *f) {
    char from[PATH_MAX_BYTES], to[PATH_MAX_BYTES];
    vs_stats stats = VS_STATS_INIT;
    VT_OK(vs_stats_get(f->db, &stats), f->db);
    for (uint64_t log = 0; log <= stats.log_generation; log++)
        copy_file(f->vfs, file_path(f, f->file, log, from), file_path(f, f->file + 1, log, to));
    close_db(f);
    remove_files(f, f->file, stats.log_generation);
    f->file++;
    f->figures.killed++;
}

/* Reading only, nothing can be changed, and everything is there. */
static void look_readonly(fixture *f) {
    open_db(f, VS_OPEN_READONLY);
    vs_txn *txn = NULL;
    int c = some_coll(f, &f->now);
    check_digest(f);
    check_sample(f, NULL, &f->now);
    VT_EQ(vs_begin(f->db, VS_TXN_WRITE, &txn), VS_ERR_READONLY);
    if (c < COLLS) {
        vs_collection *coll = get_coll(f, NULL, c);
        VT_EQ(vs_delete(coll, NULL, vs_key_u64(key_of(c, some_place(f, c)))), VS_ERR_READONLY);
        put_coll(f, c, coll);
    }
    check_files(f, 3);
    close_db(f);
    f->figures.readonly++;
}

static void reopen(fixture *f) {
    if (one_in(f, 4)) {
        kill_process(f);
    } else {
        close_db(f);
        look_at_depths(f);
        f->figures.reopened++;
    }
    if (one_in(f, 4))
        look_readonly(f);
    open_db(f, 0);
    check_digest(f);
    if (one_in(f, 10)) {
        check_model(&f->now);
        check_everything(f, NULL, &f->now);
        check_files(f, 3);
    } else {
        check_sample(f, NULL, &f->now);
    }
}

/* ---- running -------------------------------------------------------------------------------- */

/* weight: of the steps, while places are filled and while they are emptied. */
static const struct kind {
    const char *name;
    void (*step)(fixture *f);
    uint64_t weight[2];
} kinds[] = {
    {"put", step_put, {260, 160}},
    {"delete", step_delete, {60, 200}},
    {"metadata", step_metadata, {60, 60}},
    {"sweep", step_sweep, {4, 30}},
    {"batch", step_batch, {40, 8}},
    {"get", step_get, {160, 160}},
    {"count", step_count, {30, 30}},
    {"scan", step_scan, {30, 30}},
    {"search", step_search, {12, 12}},
    {"create", step_create, {6, 6}},
    {"note put", step_note, {80, 80}},
    {"note get", step_note_get, {80, 80}},
    {"refused", step_refused, {20, 20}},
    {"begin", step_begin, {20, 20}},
    {"cursor", step_write_cursor, {25, 25}},
    {"snapshot", step_snapshot, {40, 40}},
    {"sync", step_sync, {4, 4}},
    {"savepoint", step_savepoint, {20, 20}},
    {"checkpoint", step_checkpoint, {1, 1}},
    {"maintain", step_maintain, {4, 4}},
    {"check", step_check, {1, 1}},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void some_step(fixture *f) {
    int phase = is_growing(f) ? 0 : 1;
    uint64_t sum = 0;
    size_t kind = 0;
    for (size_t i = 0; i < KINDS; i++)
        sum += kinds[i].weight[phase];
    uint64_t what = below(f, sum);
    for (; what >= kinds[kind].weight[phase]; kind++)
        what -= kinds[kind].weight[phase];
    f->figures.by_kind[kind]++;
    kinds[kind].step(f);
}

/* What is due comes before what is drawn. */
static void step(fixture *f) {
    for (int i = 0; i < SNAPSHOTS; i++)
        if (f->snapshot[i].is_open && f->snapshot[i].until <= f->step)
            end_snapshot(f, &f->snapshot[i]);
    if (f->txn && f->txn_until <= f->step)
        step_end_transaction(f);
    if (f->session_until <= f->step)
        reopen(f);
    some_step(f);
    check_digest(f);
}

static void print_figures(const fixture *f) {
    static const char *const trees[TREES] = {"keys",  "metadata", "live",   "rows",
                                             "cells", "notes",    "catalog"};
    const figures *g = &f->figures;
    printf("seed %llu: %llu operations:", (unsigned long long)vt_seed(),
           (unsigned long long)f->step);
    for (size_t i = 0; i < KINDS; i++)
        printf(" %s %llu", kinds[i].name, (unsigned long long)g->by_kind[i]);
    printf(
        "\n  closed and opened %llu times, killed %llu, read-only besides %llu; %llu calls "
        "refused, "
        "%llu transactions recovered,\n  %llu checkpoints, everything compared %llu times; at most "
        "%llu records; levels of trees:",
        (unsigned long long)g->reopened, (unsigned long long)g->killed,
        (unsigned long long)g->readonly, (unsigned long long)g->refused,
        (unsigned long long)g->recovered, (unsigned long long)g->checkpoints,
        (unsigned long long)g->everything, (unsigned long long)g->records_max);
    for (int i = 0; i < TREES; i++)
        printf(" %s %d", trees[i], g->deepest[i]);
    printf("\n");
}

static void look_at_size(fixture *f) {
    uint64_t records = 0;
    for (int c = 0; c < COLLS; c++)
        records += f->now.coll[c].count;
    f->figures.records_max = records > f->figures.records_max ? records : f->figures.records_max;
}

static uint64_t wanted_steps(uint64_t fast) {
    const char *text = getenv("VT_OPS");
    return text ? strtoull(text, NULL, 0) : getenv("VT_LONG") ? ALL_STEPS : fast;
}

static void run(const vs_vfs *vfs, const char *folder, uint64_t steps) {
    static fixture f;
    memset(&f, 0, sizeof f);
    snprintf(f.folder, sizeof f.folder, "%s", folder);
    f.vfs = vfs;
    f.rng.state = vt_seed();
    open_db(&f, VS_OPEN_CREATE);
    for (; f.step < steps; f.step++) {
        vt_at("step", f.step);
        look_at_size(&f);
        step(&f);
        if (f.step % 50000 == 49999 && getenv("VT_VERBOSE"))
            fprintf(stderr, "step %llu\n", (unsigned long long)f.step + 1);
    }
    check_everything(&f, NULL, &f.now);
    check_files(&f, 3);
    close_db(&f);
    look_at_depths(&f);
    open_db(&f, 0);
    check_digest(&f);
    check_everything(&f, NULL, &f.now);
    close_db(&f);
    if (getenv("VT_LONG") || getenv("VT_VERBOSE"))
        print_figures(&f);
    if (steps >= FAST_STEPS)
        VT_CHECK(f.figures.deepest[TREE_NOTES] >= 3);
    if (steps < ALL_STEPS)
        return;
    VT_CHECK(f.figures.reopened >= 200 && f.figures.killed > 20 && f.figures.readonly > 20);
    VT_CHECK(f.figures.deepest[TREE_KEYS] >= 3 && f.figures.deepest[TREE_METADATA] >= 3);
    for (size_t i = 0; i < KINDS; i++)
        VT_CHECK(f.figures.by_kind[i] > 200);
}

VT_TEST(a_million_calls_in_memory_agree_with_plain_arrays) {
    vs_vfs *memory = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &memory), VS_OK);
    run(memory, "", wanted_steps(FAST_STEPS));
    vs_vfs_memory_destroy(memory);
}

VT_TEST(a_million_calls_on_a_real_file_agree_with_plain_arrays) {
    char folder[1024];
    snprintf(folder, sizeof folder, "%s", vt_scratch("x"));
    *strrchr(folder, '/') = 0;
    run(vs_vfs_posix(), folder, wanted_steps(FAST_STEPS / 5));
}
