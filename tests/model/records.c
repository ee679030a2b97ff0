/* records.c - long random programs through the public interface, compared with plain arrays after
 * each step: the last commit, the open transaction, and every snapshot with its cursor. */
#include "vecstore.h"
#define XXH_INLINE_ALL
#include <xxhash.h>
#include <math.h>
#include "vt.h"

enum { COLLS = 3, KEYS = 40, NOTES = 6, SNAPSHOTS = 5, DIM_MAX = 40, CONTENT_MAX = 6000 };
enum { PIECE = 65536, PAYLOAD_MAX = 3 * PIECE + 1000, WITH_PAYLOADS = 6, PAYLOADS_MAX = 2000 };

/* ---- the model ------------------------------------------------------------------------------ */

/* Content that follows from a number. */
typedef struct content {
    bool is_there;
    uint64_t seed;
    uint32_t bytes;
} content;

typedef struct model_coll {
    bool is_there;
    uint32_t id;
    int64_t created_us;
    content vector[KEYS];
    content metadata[KEYS];          /* of records that are there; is_there: it has some */
    uint32_t payload[WITH_PAYLOADS]; /* of the first keys: which of the fixture's; 0: none */
} model_coll;

/* A payload that some version has; those of all versions are kept until the end. */
typedef struct payload {
    uint8_t *data;
    size_t bytes;
    XXH128_hash_t head; /* hash of the value with number 0 */
} payload;

static payload payloads[PAYLOADS_MAX]; /* the first one is none */
static uint32_t payload_count = 1;

/* Copying the struct copies the version. */
typedef struct model {
    model_coll coll[COLLS];
    content note[COLLS + 1][NOTES]; /* of collection i at i, of the database at COLLS */
} model;

static const struct {
    const char *name;
    uint32_t dim;
    int type, metric;
} shape[COLLS] = {{"floats", 9, VS_F32, VS_L2},
                  {"b\xc3\xa4ume", 40, VS_U8, VS_IP},
                  {"angles", 17, VS_F32, VS_COSINE}};

static uint64_t key_of(int i) {
    static const uint64_t special[] = {0, UINT64_MAX, 1, UINT64_MAX - 1, (uint64_t)1 << 32, 256};
    return i < 6 ? special[i] : i < 20 ? (uint64_t)i * 3 : vt_mix((uint64_t)i);
}

/* Element j of a vector: sums of products of such numbers are exact in single precision. */
static int element(int c, uint64_t seed, uint32_t j) {
    int value = (int)(vt_mix(seed + j) % 64);
    return shape[c].type == VS_U8 ? value * 4 : value - 32;
}

static const void *make_vector(int c, uint64_t seed, void *out) {
    for (uint32_t j = 0; j < shape[c].dim; j++) {
        if (shape[c].type == VS_U8)
            ((uint8_t *)out)[j] = (uint8_t)element(c, seed, j);
        else
            ((float *)out)[j] = (float)element(c, seed, j) / 4;
    }
    return out;
}

static size_t vector_bytes(int c) {
    return shape[c].dim * (shape[c].type == VS_U8 ? 1 : sizeof(float));
}

/* A JSON object of c.bytes bytes, 8 or more. */
static char *make_json(content c, char out[CONTENT_MAX + 1]) {
    memset(out, 'x', c.bytes);
    memcpy(out, "{\"t\":\"", 6);
    for (size_t i = 6; i < c.bytes - 2; i++)
        out[i] = (char)('a' + vt_mix(c.seed + i) % 26);
    memcpy(out + c.bytes - 2, "\"}", 3);
    return out;
}

static uint8_t *make_bytes(content c, uint8_t out[CONTENT_MAX]) {
    for (size_t i = 0; i < c.bytes; i++)
        out[i] = (uint8_t)vt_mix(c.seed + i);
    return out;
}

/* Keys of notes: some are prefixes of others, some hold zeros, one is the longest. */
static const uint8_t *note_key(int i, size_t *out_bytes) {
    static uint8_t key[VS_KV_KEY_BYTES_MAX];
    static const size_t bytes[NOTES] = {1, 2, 3, 40, 1000, VS_KV_KEY_BYTES_MAX};
    *out_bytes = bytes[i];
    return key;
}

/* ---- the model's digest, by docs/FORMAT.md section 7 ---------------------------------------- */

typedef struct term {
    uint8_t data[2048];
    size_t bytes;
} term;

static void put_number(term *t, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        t->data[t->bytes++] = (uint8_t)(value >> 8 * i);
}

static void put_run(term *t, const void *data, size_t bytes) {
    memcpy(t->data + t->bytes, data, bytes);
    t->bytes += bytes;
}

static void put_hash(term *t, const void *data, size_t bytes) {
    XXH128_hash_t hash = XXH3_128bits(data, bytes);
    put_number(t, hash.low64, 8);
    put_number(t, hash.high64, 8);
}

static void add_term(uint64_t sum[2], const term *t) {
    XXH128_hash_t hash = XXH3_128bits(t->data, t->bytes);
    sum[0] += hash.low64;
    sum[1] += hash.high64 + (sum[0] < hash.low64);
}

static void add_part_of(uint64_t sum[2], uint32_t kind, uint32_t coll, uint64_t key,
                        XXH128_hash_t hash) {
    term t = {.bytes = 0};
    put_number(&t, kind, 4);
    put_number(&t, coll, 4);
    put_number(&t, hash.low64, 8);
    put_number(&t, hash.high64, 8);
    put_number(&t, 0x100, 2); /* default namespace, a number */
    for (int i = 56; i >= 0; i -= 8)
        put_number(&t, key >> i & 0xff, 1);
    add_term(sum, &t);
}

static void add_part(uint64_t sum[2], uint32_t kind, uint32_t coll, uint64_t key, const void *data,
                     size_t bytes) {
    add_part_of(sum, kind, coll, key, XXH3_128bits(data, bytes));
}

/* Takes data over, which is of malloc. */
static uint32_t keep_payload(uint8_t *data, size_t bytes) {
    uint64_t sum[2] = {0, 0};
    term head = {.bytes = 0};
    VT_CHECK(payload_count < PAYLOADS_MAX);
    for (size_t at = 0; at < bytes; at += PIECE) {
        term t = {.bytes = 0};
        put_number(&t, at / PIECE, 8);
        put_hash(&t, data + at, bytes - at < PIECE ? bytes - at : PIECE);
        add_term(sum, &t);
    }
    put_number(&head, bytes, 8);
    put_number(&head, sum[0], 8);
    put_number(&head, sum[1], 8);
    payloads[payload_count] = (payload){data, bytes, XXH3_128bits(head.data, head.bytes)};
    return payload_count++;
}

static void free_payloads(void) {
    for (; payload_count > 1; payload_count--)
        free(payloads[payload_count - 1].data);
}

/* A vector's elements little-endian. */
static size_t file_vector(int c, uint64_t seed, uint8_t *out) {
    float values[DIM_MAX];
    make_vector(c, seed, values);
    if (shape[c].type == VS_U8) {
        memcpy(out, values, shape[c].dim);
        return shape[c].dim;
    }
    term t = {.bytes = 0};
    for (uint32_t j = 0; j < shape[c].dim; j++) {
        uint32_t bits;
        memcpy(&bits, &values[j], sizeof bits);
        put_number(&t, bits, 4);
    }
    memcpy(out, t.data, t.bytes);
    return t.bytes;
}

static void add_coll(uint64_t sum[2], int c, const model_coll *coll) {
    term t = {.bytes = 0}, field = {.bytes = 0}, own = {.bytes = 0};
    put_number(&t, 1, 4);
    put_number(&t, coll->id, 4);
    put_number(&t, (uint64_t)coll->created_us, 8);
    add_term(sum, &t);
    put_number(&own, 6, 4);
    put_number(&own, coll->id, 4);
    put_number(&own, 0, 4); /* no alias */
    put_run(&own, shape[c].name, strlen(shape[c].name));
    add_term(sum, &own);
    put_number(&field, 5, 4);
    put_number(&field, coll->id, 4);
    put_number(&field, 0, 4);
    put_number(&field, shape[c].dim, 4);
    put_number(&field, (uint64_t)shape[c].type, 4);
    put_number(&field, (uint64_t)shape[c].metric, 4);
    put_number(&field, 0, 4); /* not optional */
    put_number(&field, 6, 4);
    put_run(&field, "vectorauto", 10); /* its name and its index */
    add_term(sum, &field);
    for (int i = 0; i < KEYS; i++) {
        uint8_t vector[DIM_MAX * 4];
        char text[CONTENT_MAX + 1];
        if (!coll->vector[i].is_there)
            continue;
        size_t bytes = file_vector(c, coll->vector[i].seed, vector);
        add_part(sum, 2, coll->id, key_of(i), vector, bytes);
        if (coll->metadata[i].is_there)
            add_part(sum, 3, coll->id, key_of(i), make_json(coll->metadata[i], text),
                     coll->metadata[i].bytes);
        if (i < WITH_PAYLOADS && coll->payload[i])
            add_part_of(sum, 8, coll->id, key_of(i), payloads[coll->payload[i]].head);
    }
}

static void model_digest(const model *m, uint64_t sum[2]) {
    sum[0] = sum[1] = 0;
    for (int c = 0; c <= COLLS; c++) {
        if (c < COLLS && m->coll[c].is_there)
            add_coll(sum, c, &m->coll[c]);
        for (int i = 0; i < NOTES; i++) {
            uint8_t value[CONTENT_MAX];
            size_t bytes = 0;
            const uint8_t *key = note_key(i, &bytes);
            term t = {.bytes = 0};
            if (!m->note[c][i].is_there)
                continue;
            put_number(&t, 4, 4);
            put_number(&t, c < COLLS ? m->coll[c].id : 0, 4);
            put_hash(&t, make_bytes(m->note[c][i], value), m->note[c][i].bytes);
            put_run(&t, key, bytes);
            add_term(sum, &t);
        }
    }
}

/* ---- fixture -------------------------------------------------------------------------------- */

/* A read transaction, what it must show, and a cursor in it. */
typedef struct snapshot {
    vs_txn *txn; /* NULL: none */
    model m;
    vs_cursor *cursor; /* NULL: none */
    int cursor_coll, seen;
    uint64_t seen_key;
} snapshot;

typedef struct fixture {
    vs_vfs *memory;
    vs_vfs vfs; /* with a clock that stands still */
    vs_db *db;
    vs_txn *txn;     /* the write transaction; NULL: none */
    model m, staged; /* the last commit; that with the transaction's changes */
    snapshot snapshot[SNAPSHOTS];
    vt_rng rng;
} fixture;

static int64_t standing_clock(void *ctx) {
    (void)ctx;
    return 1234567890123456;
}

static void open_db(fixture *f) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.vfs = &f->vfs;
    options.flags = VS_OPEN_CREATE;
    options.sync = (int)vt_below(&f->rng, 4);
    VT_OK(vs_open("m.vs", &options, &f->db), f->db);
}

static void begin(fixture *f, uint64_t seed) {
    memset(f, 0, sizeof *f);
    f->rng.state = seed;
    VT_EQ(vs_vfs_memory_create(NULL, &f->memory), VS_OK);
    f->vfs = *f->memory;
    f->vfs.wall_us = standing_clock;
    open_db(f);
}

static void end(fixture *f) {
    free_payloads();
    VT_OK(vs_close(f->db), f->db);
    vs_vfs_memory_destroy(f->memory);
}

/* What changes go to, and reads with txn see. */
static model *current(fixture *f) {
    return f->txn ? &f->staged : &f->m;
}

/* A handle of a collection that the model has in this view. */
static vs_collection *open_coll(fixture *f, vs_txn *txn, int c) {
    vs_collection *coll = NULL;
    vs_status st = vs_collection_open(f->db, txn, shape[c].name, &coll);
    if (st != VS_OK)
        vt_fail(__FILE__, __LINE__, "%s: %s", shape[c].name,
                vs_errmsg(txn ? (void *)txn : (void *)f->db));
    return coll;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void check_record(const vs_record *r, int c, int i, const model_coll *m) {
    float vector[DIM_MAX];
    char text[CONTENT_MAX + 1];
    VT_CHECK(r->key.number == key_of(i));
    VT_EQ(r->vector_type, shape[c].type);
    VT_CHECK(!memcmp(r->vector, make_vector(c, m->vector[i].seed, vector), vector_bytes(c)));
    VT_EQ(r->payload_bytes, i < WITH_PAYLOADS ? payloads[m->payload[i]].bytes : 0);
    VT_EQ(r->metadata != NULL, m->metadata[i].is_there);
    if (!r->metadata)
        return;
    VT_EQ(r->metadata_bytes, m->metadata[i].bytes);
    VT_STR(r->metadata, make_json(m->metadata[i], text));
}

/* A run of a record's payload, which may begin or end behind it; half of the time all of it. */
static void check_payload(fixture *f, vs_collection *coll, vs_txn *txn, int i,
                          const model_coll *m) {
    static uint8_t out[PAYLOAD_MAX + 1];
    const payload *p = &payloads[m->payload[i]];
    size_t from = vt_below(&f->rng, 2) ? 0 : vt_below(&f->rng, p->bytes + 10);
    size_t room = vt_below(&f->rng, 2) ? sizeof out : vt_below(&f->rng, 70000), found = 0;
    size_t left = from < p->bytes ? p->bytes - from : 0, expected = left < room ? left : room;
    VT_OK(vs_payload_read(coll, txn, vs_key_u64(key_of(i)), from, out, room, &found), coll);
    VT_EQ(found, expected);
    VT_CHECK(!found || !memcmp(out, p->data + from, found));
}

/* The place of the least key above last, or of the least of all; KEYS when there is none. */
static int next_key(const model_coll *m, bool has_last, uint64_t last) {
    int best = KEYS;
    for (int i = 0; i < KEYS; i++)
        if (m->vector[i].is_there && (!has_last || key_of(i) > last) &&
            (best == KEYS || key_of(i) < key_of(best)))
            best = i;
    return best;
}

static void check_scan(vs_collection *coll, vs_txn *txn, int c, const model_coll *m,
                       uint64_t from) {
    vs_cursor *cursor = NULL;
    VT_OK(vs_scan(coll, txn, VT_FROM(from), &cursor), coll);
    int i = next_key(m, from > 0, from - 1);
    for (; i < KEYS; i = next_key(m, true, key_of(i))) {
        vs_record r = VS_RECORD_INIT;
        VT_EQ(vs_step(cursor), VS_ROW);
        VT_OK(vs_cursor_record(cursor, &r), cursor);
        check_record(&r, c, i, m);
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
}

static double distance(int c, uint64_t a, uint64_t b) {
    double dot = 0, l2 = 0, norm_a = 0, norm_b = 0;
    for (uint32_t j = 0; j < shape[c].dim; j++) {
        double unit = shape[c].type == VS_U8 ? 1 : 0.25;
        double x = element(c, a, j) * unit, y = element(c, b, j) * unit;
        dot += x * y;
        l2 += (x - y) * (x - y);
        norm_a += x * x;
        norm_b += y * y;
    }
    if (shape[c].metric == VS_L2)
        return l2;
    return shape[c].metric == VS_IP ? -dot : 1 - dot / sqrt(norm_a * norm_b);
}

/* Sums are exact here; the cosine's division and root are not. */
static const double slack = 1e-12;

static void check_search(fixture *f, vs_collection *coll, vs_txn *txn, int c, const model_coll *m,
                         uint64_t count) {
    float query[DIM_MAX];
    vs_hit hit[KEYS + 3];
    uint64_t seed = vt_random(&f->rng);
    size_t k = 1 + vt_below(&f->rng, KEYS + 3), found = 0;
    VT_OK(vs_search(coll, txn, make_vector(c, seed, query), 0, k, NULL, hit, &found), coll);
    VT_EQ(found, k < count ? k : count);
    for (int i = 0; i < KEYS; i++) {
        size_t at = 0;
        while (at < found && hit[at].key.number != key_of(i))
            at++;
        double d = m->vector[i].is_there ? distance(c, seed, m->vector[i].seed) : 0;
        VT_CHECK(m->vector[i].is_there || at == found);
        if (m->vector[i].is_there && at == found)
            VT_CHECK(found == k && d >= hit[k - 1].distance - slack);
        else if (at < found)
            VT_CHECK(fabs(hit[at].distance - d) <= slack);
    }
    for (size_t at = 1; at < found; at++)
        VT_CHECK(hit[at - 1].distance < hit[at].distance ||
                 (hit[at - 1].distance == hit[at].distance &&
                  hit[at - 1].key.number < hit[at].key.number));
}

static void check_coll(fixture *f, vs_txn *txn, int c, const model_coll *m) {
    vs_collection *coll = NULL;
    if (!m->is_there) {
        VT_EQ(vs_collection_open(f->db, txn, shape[c].name, &coll), VS_ERR_NOT_FOUND);
        return;
    }
    coll = open_coll(f, txn, c);
    uint64_t expected = 0, count = 0;
    for (int i = 0; i < KEYS; i++) {
        vs_record r = VS_RECORD_INIT;
        vs_status st = vs_get(coll, txn, vs_key_u64(key_of(i)), &r);
        VT_EQ(st, m->vector[i].is_there ? VS_OK : VS_ERR_NOT_FOUND);
        if (st == VS_OK)
            check_record(&r, c, i, m);
        if (st == VS_OK && i < WITH_PAYLOADS)
            check_payload(f, coll, txn, i, m);
        expected += st == VS_OK;
    }
    VT_OK(vs_count(coll, txn, &count), coll);
    VT_EQ(count, expected);
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_OK(vs_collection_info_get(coll, txn, &info), coll);
    VT_CHECK(info.id == m->id && info.count == expected && info.dim == shape[c].dim);
    VT_STR(info.name, shape[c].name);
    check_scan(coll, txn, c, m, 0);
    check_scan(coll, txn, c, m, key_of((int)vt_below(&f->rng, KEYS)));
    check_search(f, coll, txn, c, m, expected);
    vs_collection_close(coll);
}

static void check_notes(fixture *f, vs_txn *txn, vs_collection *coll, const content *note) {
    for (int i = 0; i < NOTES; i++) {
        uint8_t expected[CONTENT_MAX], value[CONTENT_MAX];
        size_t key_bytes = 0, bytes = 0;
        const uint8_t *key = note_key(i, &key_bytes);
        size_t room = vt_below(&f->rng, 4) ? sizeof value : vt_below(&f->rng, 50);
        vs_status st = vs_kv_get(f->db, txn, coll, key, key_bytes, value, room, &bytes);
        VT_EQ(st, note[i].is_there ? VS_OK : VS_ERR_NOT_FOUND);
        if (st != VS_OK)
            continue;
        VT_EQ(bytes, note[i].bytes);
        VT_CHECK(!memcmp(value, make_bytes(note[i], expected), bytes < room ? bytes : room));
    }
}

static void check_view(fixture *f, vs_txn *txn, const model *m) {
    size_t count = 0;
    uint32_t last_id = 0;
    for (int c = 0; c < COLLS; c++) {
        check_coll(f, txn, c, &m->coll[c]);
        count += m->coll[c].is_there;
        if (!m->coll[c].is_there)
            continue;
        vs_collection *coll = open_coll(f, txn, c);
        check_notes(f, txn, coll, m->note[c]);
        vs_collection_close(coll);
    }
    check_notes(f, txn, NULL, m->note[COLLS]);
    for (size_t at = 0; at <= count; at++) { /* the list, by id */
        vs_collection_info info = VS_COLLECTION_INFO_INIT;
        VT_EQ(vs_collection_at(f->db, txn, at, &info), at < count ? VS_OK : VS_DONE);
        VT_CHECK(at == count || info.id > last_id);
        last_id = info.id;
    }
}

static void check_digest(fixture *f) {
    vs_stats stats = VS_STATS_INIT;
    uint64_t digest[2];
    VT_OK(vs_stats_get(f->db, &stats), f->db);
    model_digest(&f->m, digest);
    VT_CHECK(stats.digest[0] == digest[0] && stats.digest[1] == digest[1]);
    VT_STR(stats.readonly_reason, "");
}

static void print_problem(void *ctx, const char *problem) {
    (void)ctx;
    fprintf(stderr, "%s\n", problem);
}

static void check_database(fixture *f) {
    uint64_t problems = 0;
    check_digest(f);
    check_view(f, NULL, &f->m);
    if (f->txn)
        check_view(f, f->txn, &f->staged);
    VT_OK(vs_check(f->db, 3, print_problem, NULL, &problems), f->db);
    VT_EQ(problems, 0);
}

/* ---- steps: records ------------------------------------------------------------------------- */

static content random_metadata(fixture *f) {
    bool is_large = vt_below(&f->rng, 10) == 0;
    return (content){vt_below(&f->rng, 3) > 0, vt_random(&f->rng),
                     8 + (uint32_t)vt_below(&f->rng, is_large ? CONTENT_MAX - 8 : 60)};
}

/* Some collection that the current view has, or COLLS. */
static int some_coll(fixture *f) {
    int c = (int)vt_below(&f->rng, COLLS);
    return current(f)->coll[c].is_there ? c : COLLS;
}

static void step_put(fixture *f) {
    int c = some_coll(f), i = (int)vt_below(&f->rng, KEYS);
    if (c == COLLS)
        return;
    model_coll *m = &current(f)->coll[c];
    content vector = {true, vt_random(&f->rng), 0}, metadata = random_metadata(f);
    int mode = vt_below(&f->rng, 3) ? VS_UPSERT : VS_INSERT;
    float buf[DIM_MAX], as_floats[DIM_MAX];
    char text[CONTENT_MAX + 1];
    vs_collection *coll = open_coll(f, f->txn, c);
    vs_record r = VS_RECORD_INIT;
    r.key.number = key_of(i);
    r.vector = make_vector(c, vector.seed, buf);
    if (shape[c].type == VS_U8 && vt_below(&f->rng, 2)) { /* converted */
        for (uint32_t j = 0; j < shape[c].dim; j++)
            as_floats[j] = (float)element(c, vector.seed, j);
        r.vector = as_floats;
        r.vector_type = VS_F32;
    }
    if (metadata.is_there) {
        r.metadata = make_json(metadata, text);
        r.metadata_bytes = vt_below(&f->rng, 2) ? metadata.bytes : 0;
    }
    vs_status st = vs_put(coll, f->txn, &r, mode);
    bool exists = mode == VS_INSERT && m->vector[i].is_there;
    VT_EQ(st, exists ? VS_ERR_EXISTS : VS_OK);
    VT_EQ(vs_errmsg(coll)[0] != 0, exists);
    vs_collection_close(coll);
    if (exists)
        return;
    m->vector[i] = vector;
    m->metadata[i] = metadata;
}

static void step_delete(fixture *f) {
    int c = some_coll(f), i = (int)vt_below(&f->rng, KEYS);
    if (c == COLLS)
        return;
    model_coll *m = &current(f)->coll[c];
    vs_collection *coll = open_coll(f, f->txn, c);
    VT_EQ(vs_delete(coll, f->txn, vs_key_u64(key_of(i))),
          m->vector[i].is_there ? VS_OK : VS_ERR_NOT_FOUND);
    vs_collection_close(coll);
    m->vector[i] = m->metadata[i] = (content){false, 0, 0};
    if (i < WITH_PAYLOADS)
        m->payload[i] = 0;
}

static size_t random_bytes(fixture *f, size_t most) {
    const size_t edges[] = {0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE};
    size_t n = vt_below(&f->rng, 3) ? vt_below(&f->rng, most + 1) : edges[vt_below(&f->rng, 7)];
    return n < most ? n : most;
}

/* A run is written somewhere, or the end cut off; some would leave a hole, or cut nothing. */
static void step_payload(fixture *f) {
    int c = some_coll(f), i = (int)vt_below(&f->rng, WITH_PAYLOADS);
    if (c == COLLS)
        return;
    model_coll *m = &current(f)->coll[c];
    const payload *p = &payloads[m->payload[i]];
    const vs_key key = vs_key_u64(key_of(i));
    bool is_there = m->vector[i].is_there, truncates = vt_below(&f->rng, 4) == 0;
    size_t at = vt_below(&f->rng, 3) ? random_bytes(f, p->bytes) : p->bytes;
    size_t n = truncates ? 0 : random_bytes(f, PAYLOAD_MAX - at);
    bool is_refused = vt_below(&f->rng, 10) == 0;
    vs_collection *coll = open_coll(f, f->txn, c);
    uint8_t *data = malloc(PAYLOAD_MAX);
    VT_CHECK(data != NULL);
    memcpy(data, p->data ? p->data : data, p->bytes);
    memset(data + at, (int)vt_below(&f->rng, 256), n);
    for (size_t k = at; k < at + n; k += 64)
        data[k] = (uint8_t)vt_random(&f->rng);
    vs_status expected = !is_there ? VS_ERR_NOT_FOUND : is_refused ? VS_ERR_INVALID : VS_OK;
    at += is_refused ? p->bytes - at + 1 : 0;
    VT_EQ(truncates ? vs_payload_truncate(coll, f->txn, key, at)
                    : vs_payload_write(coll, f->txn, key, at, data + (is_refused ? 0 : at), n),
          expected);
    VT_EQ(vs_errmsg(coll)[0] != 0, expected != VS_OK);
    vs_collection_close(coll);
    size_t bytes = truncates || at + n > p->bytes ? at + n : p->bytes;
    if (expected == VS_OK && bytes)
        m->payload[i] = keep_payload(data, bytes);
    else
        free(data);
    if (expected == VS_OK && !bytes)
        m->payload[i] = 0;
}

/* What is wrong with a batch. */
enum { WRONG_NOTHING, WRONG_VECTOR, WRONG_JSON, WRONG_STRIDE, WRONGS };

static void step_batch(fixture *f) {
    enum { ROWS = 12 };
    static char text[ROWS][CONTENT_MAX + 1];
    float vectors[ROWS][DIM_MAX + 3];
    uint64_t keys[ROWS];
    const char *metadata[ROWS];
    int c = some_coll(f);
    size_t n = vt_below(&f->rng, ROWS + 1), bad = n ? vt_below(&f->rng, n) : 0;
    int wrong = vt_below(&f->rng, 3) ? WRONG_NOTHING : (int)vt_below(&f->rng, WRONGS);
    int mode = vt_below(&f->rng, 3) ? VS_UPSERT : VS_INSERT;
    if (c == COLLS)
        return;
    if (wrong == WRONG_VECTOR && shape[c].type == VS_U8)
        wrong = WRONG_JSON; /* every u8 is a number */
    model_coll after = current(f)->coll[c];
    vs_status expected = VS_OK;
    for (size_t row = 0; row < n; row++) {
        int i = (int)vt_below(&f->rng, KEYS);
        content vector = {true, vt_random(&f->rng), 0}, json = random_metadata(f);
        keys[row] = key_of(i);
        make_vector(c, vector.seed, vectors[row]);
        metadata[row] = json.is_there ? make_json(json, text[row]) : NULL;
        if (expected != VS_OK)
            continue;
        if (wrong == WRONG_VECTOR && row == bad)
            vectors[row][shape[c].dim - 1] = bad % 2 ? NAN : INFINITY;
        if (wrong == WRONG_JSON && row == bad)
            metadata[row] = "[1]";
        if (wrong != WRONG_NOTHING && row == bad)
            expected = VS_ERR_INVALID;
        else if (mode == VS_INSERT && after.vector[i].is_there)
            expected = VS_ERR_EXISTS;
        after.vector[i] = vector;
        after.metadata[i] = json;
    }
    vs_batch batch = VS_BATCH_INIT;
    batch.count = n;
    batch.numbers = keys;
    batch.vectors = vectors;
    batch.stride_bytes = wrong == WRONG_STRIDE ? vector_bytes(c) - 1 : sizeof vectors[0];
    batch.metadata = metadata;
    if (wrong == WRONG_STRIDE)
        expected = VS_ERR_INVALID;
    vs_collection *coll = open_coll(f, f->txn, c);
    VT_EQ(vs_put_batch(coll, f->txn, &batch, mode), expected);
    VT_EQ(vs_errmsg(coll)[0] != 0, expected != VS_OK);
    vs_collection_close(coll);
    if (expected == VS_OK)
        current(f)->coll[c] = after;
}

/* ---- steps: collections and notes ----------------------------------------------------------- */

static void create_coll(fixture *f, int c) {
    model_coll *m = &current(f)->coll[c];
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *coll = NULL;
    options.dim = shape[c].dim;
    options.type = shape[c].type;
    options.metric = shape[c].metric;
    vs_status st = vs_collection_create(f->db, f->txn, shape[c].name, &options, &coll);
    VT_EQ(st, m->is_there ? VS_ERR_EXISTS : VS_OK);
    if (st != VS_OK)
        return;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_OK(vs_collection_info_get(coll, f->txn, &info), coll);
    vs_collection_close(coll);
    for (int other = 0; other < COLLS; other++)
        VT_CHECK(!current(f)->coll[other].is_there || current(f)->coll[other].id < info.id);
    m->is_there = true;
    m->id = info.id;
    m->created_us = info.created_us;
}

static void step_note(fixture *f) {
    int owner = vt_below(&f->rng, 2) ? COLLS : some_coll(f), i = (int)vt_below(&f->rng, NOTES);
    uint8_t value[CONTENT_MAX];
    size_t key_bytes = 0;
    const uint8_t *key = note_key(i, &key_bytes);
    bool is_large = vt_below(&f->rng, 10) == 0;
    content new = {vt_below(&f->rng, 3) > 0, vt_random(&f->rng),
                   (uint32_t)vt_below(&f->rng, is_large ? CONTENT_MAX : 40)};
    vs_collection *coll = owner < COLLS ? open_coll(f, f->txn, owner) : NULL;
    make_bytes(new, value);
    VT_OK(vs_kv_put(f->db, f->txn, coll, key, key_bytes, new.is_there ? value : NULL,
                    new.is_there ? new.bytes : 0),
          f->db);
    vs_collection_close(coll);
    current(f)->note[owner][i] = new;
}

/* ---- steps: transactions and snapshots ------------------------------------------------------ */

static void step_transaction(fixture *f) {
    if (!f->txn) {
        VT_OK(vs_begin(f->db, VS_TXN_WRITE, &f->txn), f->db);
        f->staged = f->m;
        return;
    }
    if (vt_below(&f->rng, 3) == 0) {
        vs_rollback(f->txn);
    } else {
        VT_OK(vs_commit(f->txn, (int)vt_below(&f->rng, 4)), f->db);
        f->m = f->staged;
    }
    f->txn = NULL;
    check_digest(f);
}

static void close_snapshot(snapshot *s) {
    vs_cursor_close(s->cursor);
    vs_rollback(s->txn);
    s->cursor = NULL;
    s->txn = NULL;
}

/* Moves a snapshot's cursor a few records, or begins another. */
static void step_cursor(fixture *f, snapshot *s) {
    if (!s->cursor) {
        s->cursor_coll = (int)vt_below(&f->rng, COLLS);
        if (!s->m.coll[s->cursor_coll].is_there)
            return;
        vs_collection *coll = open_coll(f, s->txn, s->cursor_coll);
        VT_OK(vs_scan(coll, s->txn, NULL, &s->cursor), coll);
        vs_collection_close(coll);
        s->seen = 0;
    }
    for (uint64_t n = 1 + vt_below(&f->rng, 6); n > 0; n--) {
        const model_coll *m = &s->m.coll[s->cursor_coll];
        int i = next_key(m, s->seen > 0, s->seen_key);
        vs_record r = VS_RECORD_INIT;
        VT_EQ(vs_step(s->cursor), i < KEYS ? VS_ROW : VS_DONE);
        if (i == KEYS) {
            vs_cursor_close(s->cursor);
            s->cursor = NULL;
            return;
        }
        VT_OK(vs_cursor_record(s->cursor, &r), s->cursor);
        check_record(&r, s->cursor_coll, i, m);
        s->seen++;
        s->seen_key = key_of(i);
    }
}

static void step_snapshot(fixture *f) {
    snapshot *s = &f->snapshot[vt_below(&f->rng, SNAPSHOTS)];
    if (!s->txn) {
        VT_OK(vs_begin(f->db, VS_TXN_READ, &s->txn), f->db);
        s->m = f->m;
    } else if (vt_below(&f->rng, 4) == 0) {
        check_view(f, s->txn, &s->m);
        close_snapshot(s);
    } else {
        step_cursor(f, s);
    }
}

/* A collection goes with its notes. */
static void step_drop(fixture *f) {
    int c = some_coll(f);
    if (c == COLLS)
        return;
    vs_collection *coll = open_coll(f, f->txn, c);
    VT_OK(vs_collection_drop(coll, f->txn), coll);
    VT_EQ(vs_collection_drop(coll, f->txn), VS_ERR_NOT_FOUND);
    vs_collection_close(coll);
    memset(&current(f)->coll[c], 0, sizeof current(f)->coll[c]);
    memset(current(f)->note[c], 0, sizeof current(f)->note[c]);
}

static void step_vacuum(fixture *f) {
    uint64_t left = 0;
    VT_EQ(vs_vacuum(f->db, vt_below(&f->rng, 2) * 50000, &left), f->txn ? VS_ERR_MISUSE : VS_OK);
}

/* Closes everything, sometimes with handles still open first, and opens again. */
static void step_reopen(fixture *f) {
    vs_stats before = VS_STATS_INIT;
    bool has_handles = f->txn;
    for (int i = 0; i < SNAPSHOTS; i++)
        has_handles = has_handles || f->snapshot[i].txn;
    if (has_handles)
        VT_EQ(vs_close(f->db), VS_ERR_BUSY);
    for (int i = 0; i < SNAPSHOTS; i++)
        close_snapshot(&f->snapshot[i]);
    vs_rollback(f->txn);
    f->txn = NULL;
    VT_OK(vs_stats_get(f->db, &before), f->db);
    VT_EQ(before.readers, 0);
    VT_OK(vs_close(f->db), f->db);
    open_db(f);
    vs_stats after = VS_STATS_INIT;
    VT_OK(vs_stats_get(f->db, &after), f->db);
    VT_CHECK(after.lsn == before.lsn && after.durable_lsn >= before.lsn);
    VT_EQ(after.dropped_bytes, 0);
    check_database(f);
}

static void step(fixture *f) {
    uint64_t what = vt_below(&f->rng, 108);
    if (what >= 100)
        step_payload(f);
    else if (what < 25)
        step_put(f);
    else if (what < 37)
        step_delete(f);
    else if (what < 50)
        step_batch(f);
    else if (what < 60)
        step_note(f);
    else if (what < 63)
        create_coll(f, (int)vt_below(&f->rng, COLLS));
    else if (what < 78)
        step_transaction(f);
    else if (what < 96)
        step_snapshot(f);
    else if (what < 98)
        VT_OK(vs_sync(f->db), f->db);
    else if (vt_below(&f->rng, 3) == 0)
        step_reopen(f);
}

/* The cheap comparisons after each step, all others now and then. */
static void run(fixture *f, int steps) {
    for (int i = 0; i < steps; i++) {
        step(f);
        if (vt_below(&f->rng, 60) == 0)
            step_drop(f);
        if (vt_below(&f->rng, 60) == 0)
            step_vacuum(f);
        check_digest(f);
        int c = (int)vt_below(&f->rng, COLLS);
        check_coll(f, f->txn, c, &current(f)->coll[c]);
        if (i % 16 == 0)
            check_database(f);
        snapshot *s = &f->snapshot[i % SNAPSHOTS];
        if (i % 8 == 0 && s->txn)
            check_view(f, s->txn, &s->m);
    }
    step_reopen(f);
}

VT_TEST(random_programs_agree_with_plain_arrays) {
    int programs = getenv("VT_LONG") ? 400 : 8;
    for (int i = 0; i < programs; i++) {
        static fixture f;
        begin(&f, vt_mix(vt_seed() + (uint64_t)i));
        run(&f, 600);
        end(&f);
    }
}

/* One collection after the other, so that ids agree; then different ways to one content. */
VT_TEST(the_digest_is_that_of_the_content_whatever_way_led_there) {
    for (uint64_t round = 0; round < 4; round++) {
        static fixture a, b;
        begin(&a, vt_seed() + round);
        begin(&b, vt_seed() + 100 + round);
        for (int c = 0; c < COLLS; c++) {
            create_coll(&a, c);
            create_coll(&b, c);
        }
        for (int i = 0; i < 300; i++) {
            step(&a);
            step(&b);
        }
        step_reopen(&a);
        step_reopen(&b);
        VT_CHECK(memcmp(&a.m, &b.m, sizeof a.m));
        for (int c = 0; c < COLLS; c++) { /* b becomes a, from the last key to the first */
            vs_collection *coll = open_coll(&b, NULL, c);
            for (int i = KEYS; i-- > 0;) {
                float vector[DIM_MAX];
                char text[CONTENT_MAX + 1];
                const model_coll *m = &a.m.coll[c];
                vs_record r = VS_RECORD_INIT;
                r.key.number = key_of(i);
                r.vector = make_vector(c, m->vector[i].seed, vector);
                r.metadata = m->metadata[i].is_there ? make_json(m->metadata[i], text) : NULL;
                if (m->vector[i].is_there)
                    VT_OK(vs_put(coll, NULL, &r, VS_UPSERT), coll);
                else if (b.m.coll[c].vector[i].is_there)
                    VT_OK(vs_delete(coll, NULL, vs_key_u64(r.key.number)), coll);
                if (m->vector[i].is_there && i < WITH_PAYLOADS) {
                    const payload *p = &payloads[m->payload[i]];
                    VT_OK(vs_payload_truncate(coll, NULL, r.key, 0), coll);
                    VT_OK(vs_payload_write(coll, NULL, r.key, 0, p->data, p->bytes / 3), coll);
                    VT_OK(vs_payload_write(coll, NULL, r.key, p->bytes / 3,
                                           p->data ? p->data + p->bytes / 3 : NULL,
                                           p->bytes - p->bytes / 3),
                          coll);
                }
            }
            vs_collection_close(coll);
        }
        for (int owner = 0; owner <= COLLS; owner++) {
            vs_collection *coll = owner < COLLS ? open_coll(&b, NULL, owner) : NULL;
            for (int i = 0; i < NOTES; i++) {
                uint8_t value[CONTENT_MAX];
                size_t bytes = 0;
                const uint8_t *key = note_key(i, &bytes);
                content note = a.m.note[owner][i];
                VT_OK(vs_kv_put(b.db, NULL, coll, key, bytes,
                                note.is_there ? make_bytes(note, value) : NULL,
                                note.is_there ? note.bytes : 0),
                      b.db);
            }
            vs_collection_close(coll);
        }
        vs_stats in_a = VS_STATS_INIT, in_b = VS_STATS_INIT;
        VT_OK(vs_stats_get(a.db, &in_a), a.db);
        VT_OK(vs_stats_get(b.db, &in_b), b.db);
        VT_CHECK(in_a.digest[0] == in_b.digest[0] && in_a.digest[1] == in_b.digest[1]);
        end(&a);
        end(&b);
    }
}

/* Slots of deleted records are used again: the memory of a content that only changes stays. Between two checkpoints
 * it takes a copy of each slab that changes, so there are some while memory settles. */
VT_TEST(replacing_all_records_again_and_again_does_not_grow_memory) {
    static fixture f;
    uint64_t settled = 0;
    begin(&f, vt_seed());
    create_coll(&f, 0);
    for (int cycle = 0; cycle < 60; cycle++) {
        vs_collection *coll = open_coll(&f, NULL, 0);
        for (int i = 0; i < KEYS; i++) {
            float vector[DIM_MAX];
            vs_record r = VS_RECORD_INIT;
            r.key.number = key_of(i);
            r.vector = make_vector(0, vt_random(&f.rng), vector);
            VT_OK(vs_put(coll, NULL, &r, VS_UPSERT), coll);
        }
        vs_collection_close(coll);
        VT_OK(cycle % 5 ? vs_sync(f.db) : vs_checkpoint(f.db), f.db);
        vs_stats stats = VS_STATS_INIT;
        VT_OK(vs_stats_get(f.db, &stats), f.db);
        if (cycle <= 20 && stats.memory_bytes > settled)
            settled = stats.memory_bytes;
        VT_CHECK(cycle <= 20 || stats.memory_bytes <= settled + 16384);
    }
    end(&f);
}

/* "Exact": also for elements whose squares are beyond single precision, with every kernel set. */
VT_TEST(search_ranks_vectors_of_tiny_and_of_huge_elements) {
    enum { DIM = 16, ROWS = 6 };
    static const float unit[] = {1e-30f, 1e-24f, 1e-20f, 1, 1e18f, 1e30f};
    static const int types[] = {VS_F32, VS_BF16};
    for (size_t u = 0; u < 2 * sizeof unit / sizeof unit[0]; u++)
        for (int metric = VS_L2; metric <= VS_COSINE; metric++) {
            static fixture f;
            const float scale = unit[u / 2];
            begin(&f, vt_seed());
            vs_collection *coll = NULL;
            vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
            options.dim = DIM;
            options.type = types[u % 2];
            options.metric = metric;
            VT_OK(vs_collection_create(f.db, NULL, "scale", &options, &coll), f.db);
            float vector[DIM];
            for (uint64_t key = 1; key <= ROWS; key++) { /* a larger key is nearer */
                vs_record r = VS_RECORD_INIT;
                for (int j = 0; j < DIM; j++)
                    vector[j] = scale * (j == 0 ? (float)key : metric == VS_L2 ? 9 : 1);
                r.key.number = key;
                r.vector = vector;
                r.vector_type = VS_F32;
                VT_OK(vs_put(coll, NULL, &r, VS_INSERT), coll);
            }
            for (int j = 0; j < DIM; j++)
                vector[j] = j == 0 ? scale * 9 : metric == VS_L2 ? scale * 9 : 0;
            vs_hit hit[ROWS];
            size_t found = 0;
            VT_OK(vs_search(coll, NULL, vector, VS_F32, ROWS, NULL, hit, &found), coll);
            VT_EQ(found, ROWS);
            for (size_t i = 0; i < ROWS; i++)
                if (hit[i].key.number != ROWS - i)
                    vt_fail(__FILE__, __LINE__,
                            "type %d, unit %g, metric %d: hit %zu is key %" PRIu64
                            " at %g, expected key "
                            "%zu",
                            types[u % 2], (double)scale, metric, i, hit[i].key.number,
                            hit[i].distance, ROWS - i);
            vs_collection_close(coll);
            end(&f);
        }
}

VT_TEST(metadata_that_is_null_is_none_whatever_its_size_says) {
    static fixture f;
    begin(&f, vt_seed());
    create_coll(&f, 0);
    vs_collection *coll = open_coll(&f, NULL, 0);
    float vector[DIM_MAX];
    vs_record r = VS_RECORD_INIT;
    r.key.number = 1;
    r.vector = make_vector(0, 1, vector);
    r.metadata_bytes = 10;
    VT_OK(vs_put(coll, NULL, &r, VS_INSERT), coll);
    r = (vs_record)VS_RECORD_INIT;
    VT_OK(vs_get(coll, NULL, vs_key_u64(1), &r), coll);
    VT_CHECK(!r.metadata && r.metadata_bytes == 0);
    const uint64_t key = 2;
    const size_t bytes = 10;
    const char *const none = NULL;
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 1;
    batch.numbers = &key;
    batch.vectors = vector;
    batch.metadata = &none;
    batch.metadata_bytes = &bytes;
    VT_OK(vs_put_batch(coll, NULL, &batch, VS_INSERT), coll);
    r = (vs_record)VS_RECORD_INIT;
    VT_OK(vs_get(coll, NULL, vs_key_u64(2), &r), coll);
    VT_CHECK(!r.metadata && r.metadata_bytes == 0);
    vs_collection_close(coll);
    end(&f);
}
