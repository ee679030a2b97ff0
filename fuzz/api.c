/* api.c - fuzz target: any sequence of calls.
 *
 * The input is a program of one byte per step and its operands: collections, records, batches and notes
 * come and go, in transactions or not; snapshots and cursors stay meanwhile; the database is closed,
 * killed, or loses its power. Each call must return what a plain model says, and after a power cut the
 * content must be one of a commit that was not older than the last durable one. */
#include "sim.h"
#include "target.h"
#include "vt.h"
#include <math.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    COLLS = 2,
    KEYS = 12,
    NOTES = 4,
    DIM = 3,
    STEPS_MAX = 300,
    CUTS_MAX = 3, /* a power cut copies the disk */
    TEXT_MAX = 4000,
    HITS_MAX = 20,
    SNAPSHOTS = 2,
    SAVEPOINTS = 6,
    PART = 30000, /* bytes of a payload's parts, of a seed each */
    PARTS = 3,
    PAYLOAD_MAX = PART * PARTS,
    WITH_PAYLOADS = 3,   /* of the first keys */
    STEP_WHOLE = 208,    /* steps from here on are of whole collections, or of the file */
    STEP_PAYLOAD = 212,  /* steps from here on are of payloads */
    STEP_UPDATE = 224,   /* steps from here on change what exists, or ask in other ways */
    STEP_SAVEPOINT = 240 /* and from here on are those of savepoints */
};

static const uint64_t keys[KEYS] = {0,
                                    1,
                                    2,
                                    3,
                                    255,
                                    256,
                                    65536,
                                    (uint64_t)1 << 32,
                                    ((uint64_t)1 << 32) + 1,
                                    (uint64_t)1 << 63,
                                    UINT64_MAX - 1,
                                    UINT64_MAX};
static const struct {
    const char *name;
    int type, metric;
} shapes[COLLS] = {{"floats", VS_F32, VS_L2}, {"b\xc3\xa4ume", VS_U8, VS_IP}};

/* ---- the model -------------------------------------------------------------------------------- */

typedef struct payload {
    uint32_t bytes; /* 0: none */
    uint8_t part[PARTS];
} payload;

/* What a database contains: seeds of content, 0: none. Copying it copies the version. */
typedef struct model {
    payload payload[COLLS][WITH_PAYLOADS];
    uint8_t exists[COLLS];
    uint8_t vector[COLLS][KEYS], metadata[COLLS][KEYS];
    uint8_t note[COLLS + 1][NOTES]; /* of collection i at i, of the database at COLLS */
} model;

static int element(uint32_t seed, uint32_t i) {
    return (int)((seed * 7 + i * 13 + seed / 16 * i) % 32);
}

static void make_vector(int c, uint32_t seed, void *out) {
    for (uint32_t i = 0; i < DIM; i++) {
        float value = (float)element(seed, i);
        if (shapes[c].type == VS_U8)
            ((uint8_t *)out)[i] = (uint8_t)value;
        else
            memcpy((uint8_t *)out + 4 * (size_t)i, &value, sizeof value);
    }
}

static size_t vector_bytes(int c) {
    return DIM * (shapes[c].type == VS_U8 ? 1 : sizeof(float));
}

/* A JSON object: short, near the size that no longer fits into an entry, or long. */
static size_t make_text(uint32_t seed, char out[TEXT_MAX]) {
    static const int lengths[8] = {1, 2, 30, 100, 1250, 1290, 1300, 3900};
    return (size_t)sprintf(out, "{\"m\":\"%0*u\"}", lengths[seed % 8], (unsigned)seed);
}

/* Every second part can be compressed. */
static void make_part(uint8_t seed, uint8_t out[PART]) {
    for (uint32_t i = 0; i < PART; i += 8) {
        uint64_t word = vt_mix(seed + (uint64_t)(seed % 2 ? i : i % 64) * 256);
        memcpy(out + i, &word, 8);
    }
}

static const uint8_t *make_payload(const payload *p) {
    static uint8_t data[PAYLOAD_MAX];
    for (uint32_t i = 0; i * PART < p->bytes; i++)
        make_part(p->part[i], data + (size_t)i * PART);
    return data;
}

static size_t note_key(int i, uint8_t out[VS_KV_KEY_BYTES_MAX]) {
    static const size_t bytes[NOTES] = {1, 2, 700, VS_KV_KEY_BYTES_MAX};
    memset(out, 0, bytes[i]);
    return bytes[i];
}

static uint64_t hash_item(uint64_t kind, uint64_t key, const void *data, size_t bytes) {
    return XXH3_64bits_withSeed(data, bytes, kind << 32 ^ key * 0x9e3779b97f4a7c15u);
}

/* A number that tells contents apart. */
static uint64_t model_sum(const model *m) {
    uint64_t sum = 0;
    char text[TEXT_MAX];
    for (int c = 0; c <= COLLS; c++) {
        bool is_coll = c < COLLS && m->exists[c];
        sum += is_coll ? hash_item(1, (uint64_t)c, "", 0) : 0;
        for (int i = 0; is_coll && i < KEYS; i++) {
            uint8_t vector[DIM * 4];
            if (!m->vector[c][i])
                continue;
            make_vector(c, m->vector[c][i], vector);
            sum += hash_item(2 + 8u * (unsigned)c, keys[i], vector, vector_bytes(c));
            if (m->metadata[c][i])
                sum += hash_item(3 + 8u * (unsigned)c, keys[i], text,
                                 make_text(m->metadata[c][i], text));
            if (i < WITH_PAYLOADS && m->payload[c][i].bytes)
                sum += hash_item(5 + 8u * (unsigned)c, keys[i], make_payload(&m->payload[c][i]),
                                 m->payload[c][i].bytes);
        }
        for (int i = 0; i < NOTES; i++)
            if (m->note[c][i])
                sum += hash_item(4 + 8u * (unsigned)c, (uint64_t)i, text,
                                 make_text(m->note[c][i], text));
    }
    return sum;
}

/* ---- a run ------------------------------------------------------------------------------------ */

/* A position among records. */
typedef struct walk {
    vs_cursor *cursor; /* NULL: none */
    model m;           /* what it shows, unless it is in the write transaction */
    bool is_in_write, has_ended;
    int coll, next; /* the first key that may come */
} walk;

typedef struct snapshot {
    vs_txn *txn; /* NULL: none */
    model m;
} snapshot;

typedef struct run {
    fuzz_input in;
    sim *s;
    vs_db *db;
    vs_txn *txn; /* NULL: none */
    bool has_trailers;
    model now, staged;       /* the last commit; that with the transaction's changes */
    model saved[SAVEPOINTS]; /* at each open savepoint */
    uint32_t saved_count;
    model history[STEPS_MAX + 1]; /* [0, at]: commits that a power cut may leave; at is now */
    int at;
    size_t durable_ops; /* operations of the disk when history[0] was durable */
    int cuts;
    snapshot snapshots[SNAPSHOTS];
    walk walk;
} run;

static void must(vs_status st, vs_status wanted, const char *what, const void *handle) {
    if (st == wanted)
        return;
    fprintf(stderr, "%s returned %s, expected %s\n", what, vs_status_name(st),
            vs_status_name(wanted));
    require(false, what, vs_errmsg(handle));
}

static model *current(run *r) {
    return r->txn ? &r->staged : &r->now;
}

static const void *teller(const run *r) {
    return r->txn ? (const void *)r->txn : (const void *)r->db;
}

/* Everything acknowledged so far is durable. */
static void become_durable(run *r) {
    r->history[0] = r->now;
    r->at = 0;
    r->durable_ops = sim_op_count(r->s);
}

static void committed(run *r, const model *m, bool is_durable) {
    r->now = *m;
    r->history[++r->at] = *m;
    if (is_durable)
        become_durable(r);
}

/* A change has succeeded: it is staged, or a commit of its own, which is durable. */
static void changed(run *r, const model *m) {
    if (r->txn)
        r->staged = *m;
    else
        committed(r, m, true);
}

/* A handle of a collection, or NULL when the model has none; the call must say the same. */
static vs_collection *open_coll(const run *r, vs_txn *txn, int c, const model *m) {
    vs_collection *coll = NULL;
    const void *handle = txn ? (const void *)txn : (const void *)r->db;
    must(vs_collection_open(r->db, txn, shapes[c].name, &coll),
         m->exists[c] ? VS_OK : VS_ERR_NOT_FOUND, "collection_open", handle);
    return coll;
}

/* ---- comparing -------------------------------------------------------------------------------- */

/* A payload in runs of some size, and its hash. */
static uint64_t read_payload(vs_txn *txn, int c, vs_collection *coll, const vs_record *record) {
    static uint8_t data[PAYLOAD_MAX + 1];
    size_t bytes = 0, n = 1, step = 999 + (size_t)record->payload_bytes % 77777;
    for (; n; bytes += n) {
        size_t room = sizeof data - bytes;
        must(vs_payload_read(coll, txn, record->key, bytes, data + bytes, step < room ? step : room,
                             &n),
             VS_OK, "payload_read", coll);
    }
    require(bytes == record->payload_bytes, "payload_read", "another size than the record says");
    return bytes ? hash_item(5 + 8u * (unsigned)c, record->key.number, data, bytes) : 0;
}

static uint64_t read_coll(vs_txn *txn, int c, vs_collection *coll) {
    vs_cursor *cursor = NULL;
    uint64_t sum = hash_item(1, (uint64_t)c, "", 0), rows = 0, count = 0;
    must(vs_scan(coll, txn, NULL, &cursor), VS_OK, "scan", coll);
    for (; vs_step(cursor) == VS_ROW; rows++) {
        vs_record record = VS_RECORD_INIT;
        must(vs_cursor_record(cursor, &record), VS_OK, "cursor_record", cursor);
        sum += hash_item(2 + 8u * (unsigned)c, record.key.number, record.vector, vector_bytes(c));
        if (record.metadata_bytes)
            sum += hash_item(3 + 8u * (unsigned)c, record.key.number, record.metadata,
                             record.metadata_bytes);
        sum += read_payload(txn, c, coll, &record);
    }
    must(vs_step(cursor), VS_DONE, "step", cursor);
    vs_cursor_close(cursor);
    must(vs_count(coll, txn, &count), VS_OK, "count", coll);
    require(count == rows, "count", "differs from the records seen");
    return sum;
}

static uint64_t read_notes(run *r, vs_txn *txn, int c, vs_collection *coll) {
    uint64_t sum = 0;
    for (int i = 0; i < NOTES; i++) {
        uint8_t key[VS_KV_KEY_BYTES_MAX];
        char value[TEXT_MAX];
        size_t key_bytes = note_key(i, key), bytes = 0;
        vs_status st = vs_kv_get(r->db, txn, coll, key, key_bytes, value, sizeof value, &bytes);
        if (st == VS_OK)
            sum += hash_item(4 + 8u * (unsigned)c, (uint64_t)i, value, bytes);
        else
            must(st, VS_ERR_NOT_FOUND, "kv_get", txn ? (const void *)txn : (const void *)r->db);
    }
    return sum;
}

/* The content that a transaction sees, or the last commit, as model_sum has it. */
static uint64_t read_sum(run *r, vs_txn *txn) {
    uint64_t sum = read_notes(r, txn, COLLS, NULL);
    for (int c = 0; c < COLLS; c++) {
        vs_collection *coll = NULL;
        if (vs_collection_open(r->db, txn, shapes[c].name, &coll) != VS_OK)
            continue;
        sum += read_coll(txn, c, coll) + read_notes(r, txn, c, coll);
        vs_collection_close(coll);
    }
    return sum;
}

static void compare(run *r) {
    require(read_sum(r, NULL) == model_sum(&r->now), "content", "of the last commit");
    if (r->txn)
        require(read_sum(r, r->txn) == model_sum(&r->staged), "content", "of the transaction");
    for (int i = 0; i < SNAPSHOTS; i++)
        if (r->snapshots[i].txn)
            require(read_sum(r, r->snapshots[i].txn) == model_sum(&r->snapshots[i].m), "content",
                    "of a snapshot");
}

static void report_problem(void *ctx, const char *problem) {
    (void)ctx;
    fprintf(stderr, "problem: %s\n", problem);
}

static void step_check(run *r) {
    uint64_t problems = 0;
    must(vs_check(r->db, (int)(input_u8(&r->in) % 4), report_problem, NULL, &problems), VS_OK,
         "check", r->db);
    require(problems == 0, "check", "problems");
}

/* ---- opening and ending ----------------------------------------------------------------------- */

static void open_db(run *r) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.flags = VS_OPEN_CREATE;
    options.vfs = sim_vfs(r->s);
    options.trailer_bytes = r->has_trailers ? 40 : 0;
    must(vs_open("f.vs", &options, &r->db), VS_OK, "open", r->db);
}

static void end_handles(run *r) {
    vs_cursor_close(r->walk.cursor);
    r->walk.cursor = NULL;
    vs_rollback(r->txn);
    r->txn = NULL;
    for (int i = 0; i < SNAPSHOTS; i++) {
        vs_rollback(r->snapshots[i].txn);
        r->snapshots[i].txn = NULL;
    }
}

/* With something open a database stays open; without, it comes back with the same content. */
static void step_reopen(run *r) {
    vs_stats before = VS_STATS_INIT, after = VS_STATS_INIT;
    if (r->txn || r->walk.cursor || r->snapshots[0].txn || r->snapshots[1].txn)
        must(vs_close(r->db), VS_ERR_BUSY, "close", r->db);
    end_handles(r);
    must(vs_stats_get(r->db, &before), VS_OK, "stats", r->db);
    must(vs_close(r->db), VS_OK, "close", NULL);
    become_durable(r);
    open_db(r);
    must(vs_stats_get(r->db, &after), VS_OK, "stats", r->db);
    require(!memcmp(before.digest, after.digest, sizeof before.digest), "open", "another digest");
    compare(r);
}

/* The process ends: its memory is gone, and what it wrote is in the files. */
static void end_process(run *r) {
    static uint64_t process_id = 2;
    end_handles(r);
    sim_set_process(r->s, ++process_id);
    must(vs_close(r->db), VS_OK, "freeing", NULL);
    sim_drop_locks(r->s);
}

static void step_kill(run *r) {
    end_process(r);
    open_db(r);
    compare(r);
}

/* The content is one that was committed since the last durable one, which it may be too. */
static void find_in_history(run *r) {
    uint64_t sum = read_sum(r, NULL);
    int at = r->at;
    while (at >= 0 && model_sum(&r->history[at]) != sum)
        at--;
    require(at >= 0, "power cut", "the content is of no commit, or older than a durable one");
    r->now = r->history[at];
}

/* The power fails, now or at any operation of the disk since the last durable commit. */
static void step_power_cut(run *r) {
    uint32_t damage = input_u8(&r->in) % SIM_DAMAGE_COUNT, seed = input_u16(&r->in);
    size_t ops = sim_op_count(r->s);
    if (r->cuts++ == CUTS_MAX)
        return;
    size_t point = ops - vt_mix(seed) % (ops - r->durable_ops + 1);
    sim_player *player = sim_player_new(r->s);
    sim_player_seek(player, point);
    sim_image image = sim_player_crash(player, (int)damage, seed);
    sim_player_free(player);
    end_process(r);
    sim_free(r->s);
    r->s = sim_new(seed, &image);
    open_db(r);
    find_in_history(r);
    become_durable(r);
    r->durable_ops = sim_op_count(r->s);
    compare(r);
}

/* ---- changes ---------------------------------------------------------------------------------- */

static void step_create(run *r) {
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    int c = (int)(input_u8(&r->in) % COLLS);
    model m = *current(r);
    options.dim = DIM;
    options.type = shapes[c].type;
    options.metric = shapes[c].metric;
    options.index = c == 1 ? "flat(codes=rq2)" : NULL;
    must(vs_collection_create(r->db, r->txn, shapes[c].name, &options, NULL),
         m.exists[c] ? VS_ERR_EXISTS : VS_OK, "create", teller(r));
    if (m.exists[c])
        return;
    m.exists[c] = 1;
    changed(r, &m);
}

static uint8_t seed_of(uint32_t byte) {
    return (uint8_t)(byte ? byte : 1);
}

static void step_put(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS), i = (int)(input_u8(&r->in) % KEYS);
    uint32_t seed = seed_of(input_u8(&r->in)), text_seed = input_u8(&r->in);
    int mode = text_seed & 0x80 ? VS_INSERT : VS_UPSERT;
    uint8_t vector[DIM * 4];
    char text[TEXT_MAX];
    model m = *current(r);
    vs_collection *coll = open_coll(r, r->txn, c, &m);
    vs_record record = VS_RECORD_INIT;
    if (!coll)
        return;
    text_seed &= 0x7f;
    make_vector(c, seed, vector);
    record.key.number = keys[i];
    record.vector = vector;
    if (text_seed) {
        record.metadata = text;
        record.metadata_bytes = make_text(text_seed, text);
    }
    bool is_refused = mode == VS_INSERT && m.vector[c][i];
    must(vs_put(coll, r->txn, &record, mode), is_refused ? VS_ERR_EXISTS : VS_OK, "put", coll);
    m.vector[c][i] = (uint8_t)seed;
    m.metadata[c][i] = (uint8_t)text_seed;
    if (!is_refused)
        changed(r, &m);
    vs_collection_close(coll);
}

/* Rows under keys in any order, some of them twice. */
static void step_batch(run *r) {
    enum { ROWS_MAX = 16 };
    int c = (int)(input_u8(&r->in) % COLLS);
    uint32_t how = input_u8(&r->in), first = input_u8(&r->in);
    uint8_t vectors[ROWS_MAX][DIM * 4];
    uint64_t batch_keys[ROWS_MAX];
    model m = *current(r);
    vs_collection *coll = open_coll(r, r->txn, c, &m);
    vs_batch batch = VS_BATCH_INIT;
    if (!coll)
        return;
    int mode = how & 0x80 ? VS_INSERT : VS_UPSERT;
    bool is_refused = false;
    batch.count = how % (ROWS_MAX + 1);
    for (size_t row = 0; row < batch.count; row++) {
        uint32_t i = (first + (uint32_t)row * (1 + (how >> 5 & 3) * 5)) % KEYS;
        uint32_t seed = seed_of((first * 31 + (uint32_t)row) & 0xff);
        is_refused = is_refused || (mode == VS_INSERT && m.vector[c][i]);
        batch_keys[row] = keys[i];
        make_vector(c, seed, vectors[row]);
        m.vector[c][i] = (uint8_t)seed;
        m.metadata[c][i] = 0;
    }
    batch.numbers = batch_keys;
    batch.vectors = vectors;
    batch.stride_bytes = sizeof vectors[0];
    must(vs_put_batch(coll, r->txn, &batch, mode), is_refused ? VS_ERR_EXISTS : VS_OK, "put_batch",
         coll);
    if (!is_refused)
        changed(r, &m);
    vs_collection_close(coll);
}

static void forget(model *m, int c, uint32_t i) {
    m->vector[c][i] = m->metadata[c][i] = 0;
    if (i < WITH_PAYLOADS)
        m->payload[c][i] = (payload){.bytes = 0};
}

static void step_delete(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS), i = (int)(input_u8(&r->in) % KEYS);
    model m = *current(r);
    vs_collection *coll = open_coll(r, r->txn, c, &m);
    if (!coll)
        return;
    must(vs_delete(coll, r->txn, vs_key_u64(keys[i])), m.vector[c][i] ? VS_OK : VS_ERR_NOT_FOUND,
         "delete", coll);
    bool was_there = m.vector[c][i];
    forget(&m, c, (uint32_t)i);
    if (was_there)
        changed(r, &m);
    vs_collection_close(coll);
}

/* New metadata, or none, for a record that may not be there. */
static void step_metadata(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS), i = (int)(input_u8(&r->in) % KEYS);
    uint32_t seed = input_u8(&r->in) & 0x7f;
    char text[TEXT_MAX];
    model m = *current(r);
    vs_collection *coll = open_coll(r, r->txn, c, &m);
    if (!coll)
        return;
    bool is_there = m.vector[c][i];
    size_t bytes = seed ? make_text(seed, text) : 0;
    must(vs_set_metadata(coll, r->txn, vs_key_u64(keys[i]), seed ? text : NULL, bytes),
         is_there ? VS_OK : VS_ERR_NOT_FOUND, "set_metadata", coll);
    m.metadata[c][i] = (uint8_t)seed;
    if (is_there)
        changed(r, &m);
    vs_collection_close(coll);
}

/* Cuts off the end of a payload; what is not there cannot be kept. */
static void step_truncate(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS), i = (int)(input_u8(&r->in) % WITH_PAYLOADS);
    uint32_t left = input_u16(&r->in) * 3 / 2;
    model m = *current(r);
    payload *p = &m.payload[c][i];
    vs_collection *coll = open_coll(r, r->txn, c, &m);
    if (!coll)
        return;
    vs_status wanted = !m.vector[c][i]   ? VS_ERR_NOT_FOUND
                       : left > p->bytes ? VS_ERR_INVALID
                                         : VS_OK;
    must(vs_payload_truncate(coll, r->txn, vs_key_u64(keys[i]), left), wanted, "payload_truncate",
         coll);
    p->bytes = left;
    if (wanted == VS_OK)
        changed(r, &m);
    vs_collection_close(coll);
}

/* Writes a run of a payload from a part's begin or the payload's end on; it ends at a part's end, or is
 * the payload's end. One that leaves a hole is refused. */
static void step_payload(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS), i = (int)(input_u8(&r->in) % WITH_PAYLOADS);
    uint32_t how = input_u8(&r->in), bytes = 1 + input_u16(&r->in) * 3 / 2, at = how % PARTS;
    uint8_t seed = seed_of(input_u8(&r->in));
    model m = *current(r);
    payload *p = &m.payload[c][i];
    vs_collection *coll = open_coll(r, r->txn, c, &m);
    if (!coll)
        return;
    bool appends = how & 0x80 && p->bytes % PART;
    uint32_t from = appends ? p->bytes : at * PART;
    uint32_t end = bytes < PAYLOAD_MAX - from ? from + bytes : PAYLOAD_MAX;
    if (end < p->bytes) {
        end = (end + PART - 1) / PART * PART;
        end = end < p->bytes ? end : p->bytes;
    }
    vs_status wanted = !m.vector[c][i]   ? VS_ERR_NOT_FOUND
                       : from > p->bytes ? VS_ERR_INVALID
                                         : VS_OK;
    for (uint32_t k = (from + PART - 1) / PART; k * PART < end; k++)
        p->part[k] = seed++;
    p->bytes = end > p->bytes ? end : p->bytes;
    must(vs_payload_write(coll, r->txn, vs_key_u64(keys[i]), from, make_payload(p) + from,
                          end - from),
         wanted, "payload_write", coll);
    if (wanted == VS_OK)
        changed(r, &m);
    vs_collection_close(coll);
}

/* Neighboring keys, those that do not exist among them. */
static void step_delete_batch(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS);
    uint32_t first = input_u8(&r->in) % KEYS, count = input_u8(&r->in) % KEYS;
    vs_key list[KEYS];
    uint64_t deleted = 0, wanted = 0;
    model m = *current(r);
    vs_collection *coll = open_coll(r, r->txn, c, &m);
    if (!coll)
        return;
    for (uint32_t at = 0; at < count; at++) {
        uint32_t i = (first + at) % KEYS;
        list[at] = VT_KEY(keys[i]);
        wanted += m.vector[c][i] != 0;
        forget(&m, c, i);
    }
    must(vs_delete_batch(coll, r->txn, list, count, &deleted), VS_OK, "delete_batch", coll);
    require(deleted == wanted, "delete_batch", "another number");
    if (wanted)
        changed(r, &m);
    vs_collection_close(coll);
}

/* One record in the modes that step_put has not. */
static void step_put_mode(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS), i = (int)(input_u8(&r->in) % KEYS);
    uint32_t seed = seed_of(input_u8(&r->in));
    int mode = input_u8(&r->in) & 1 ? VS_REPLACE : VS_IGNORE;
    uint8_t vector[DIM * 4];
    vs_record record = VS_RECORD_INIT;
    vs_status row = VS_OK;
    vs_batch batch = VS_BATCH_INIT;
    model m = *current(r);
    vs_collection *coll = open_coll(r, r->txn, c, &m);
    if (!coll)
        return;
    bool is_there = m.vector[c][i], is_put = is_there == (mode == VS_REPLACE);
    vs_status wanted = is_there || mode == VS_IGNORE ? VS_OK : VS_ERR_NOT_FOUND;
    make_vector(c, seed, vector);
    record.key.number = keys[i];
    record.vector = vector;
    batch.count = 1;
    batch.numbers = &record.key.number;
    batch.vectors = vector;
    batch.statuses = &row;
    if (seed % 2) {
        must(vs_put(coll, r->txn, &record, mode), wanted, "put", coll);
    } else {
        must(vs_put_batch(coll, r->txn, &batch, mode), VS_OK, "put_batch", coll);
        require(row == wanted, "put_batch", "another status of the row");
    }
    m.vector[c][i] = (uint8_t)seed;
    m.metadata[c][i] = 0;
    if (is_put)
        changed(r, &m);
    vs_collection_close(coll);
}

static void step_note(run *r) {
    int c = (int)(input_u8(&r->in) % (COLLS + 1)), i = (int)(input_u8(&r->in) % NOTES);
    uint32_t seed = input_u8(&r->in);
    uint8_t key[VS_KV_KEY_BYTES_MAX];
    char text[TEXT_MAX];
    model m = *current(r);
    vs_collection *coll = c < COLLS ? open_coll(r, r->txn, c, &m) : NULL;
    if (c < COLLS && !coll)
        return;
    size_t key_bytes = note_key(i, key), bytes = seed ? make_text(seed, text) : 0;
    must(vs_kv_put(r->db, r->txn, coll, key, key_bytes, seed ? text : NULL, bytes), VS_OK, "kv_put",
         teller(r));
    m.note[c][i] = (uint8_t)seed;
    changed(r, &m);
    vs_collection_close(coll);
}

/* ---- transactions ----------------------------------------------------------------------------- */

static void end_write_walk(run *r) {
    r->walk.has_ended = r->walk.has_ended || r->walk.is_in_write;
}

static void step_begin(run *r) {
    vs_txn *txn = NULL;
    must(vs_begin(r->db, VS_TXN_WRITE, &txn), r->txn ? VS_ERR_MISUSE : VS_OK, "begin", r->db);
    if (r->txn)
        return;
    r->txn = txn;
    r->staged = r->now;
    r->saved_count = 0;
}

static void step_commit(run *r) {
    int sync = (int)(input_u8(&r->in) % 4);
    if (!r->txn)
        return;
    must(vs_commit(r->txn, sync), VS_OK, "commit", r->db);
    r->txn = NULL;
    end_write_walk(r);
    committed(r, &r->staged, sync <= VS_SYNC_FULL);
}

static void step_rollback(run *r) {
    vs_rollback(r->txn);
    r->txn = NULL;
    end_write_walk(r);
}

static void step_savepoint(run *r) {
    uint32_t number = 0;
    if (!r->txn || r->saved_count == SAVEPOINTS)
        return;
    must(vs_savepoint(r->txn, &number), VS_OK, "savepoint", r->txn);
    r->saved[r->saved_count++] = r->staged;
    require(number == r->saved_count, "savepoint", "another number");
}

/* Of any number, also of one that is not open. */
static void step_rollback_to(run *r) {
    uint32_t number = input_u8(&r->in) % (SAVEPOINTS + 2);
    bool is_open = number >= 1 && number <= r->saved_count;
    if (!r->txn)
        return;
    must(vs_rollback_to(r->txn, number), is_open ? VS_OK : VS_ERR_MISUSE, "rollback_to", r->txn);
    if (!is_open)
        return;
    r->saved_count = number;
    r->staged = r->saved[number - 1];
    if (r->walk.is_in_write && !r->staged.exists[r->walk.coll])
        r->walk.has_ended = true; /* its collection is gone */
}

static void step_release(run *r) {
    uint32_t number = input_u8(&r->in) % (SAVEPOINTS + 2);
    bool is_open = number >= 1 && number <= r->saved_count;
    if (!r->txn)
        return;
    must(vs_release(r->txn, number), is_open ? VS_OK : VS_ERR_MISUSE, "release", r->txn);
    if (is_open)
        r->saved_count = number - 1;
}

static void step_snapshot(run *r) {
    snapshot *snap = &r->snapshots[input_u8(&r->in) % SNAPSHOTS];
    if (!snap->txn) {
        must(vs_begin(r->db, VS_TXN_READ, &snap->txn), VS_OK, "begin", r->db);
        snap->m = r->now;
        return;
    }
    require(read_sum(r, snap->txn) == model_sum(&snap->m), "content", "of a snapshot");
    must(vs_commit(snap->txn, VS_SYNC_DEFAULT), VS_OK, "commit", r->db);
    snap->txn = NULL;
}

static void step_sync(run *r) {
    must(vs_sync(r->db), VS_OK, "sync", r->db);
    become_durable(r);
}

static void step_checkpoint(run *r) {
    must(vs_checkpoint(r->db), r->txn ? VS_ERR_MISUSE : VS_OK, "checkpoint", r->db);
    if (!r->txn)
        become_durable(r);
}

/* A cursor among the transaction's own records of it would have nowhere to stand. */
static void step_drop(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS);
    model m = *current(r);
    vs_collection *coll = open_coll(r, r->txn, c, &m);
    if (!coll)
        return;
    if (r->walk.is_in_write && r->walk.coll == c) {
        vs_cursor_close(r->walk.cursor);
        r->walk.cursor = NULL;
    }
    must(vs_collection_drop(coll, r->txn), VS_OK, "drop", coll);
    must(vs_collection_drop(coll, r->txn), VS_ERR_NOT_FOUND, "second drop", coll);
    vs_collection_close(coll);
    m.exists[c] = 0;
    memset(m.vector[c], 0, sizeof m.vector[c]);
    memset(m.metadata[c], 0, sizeof m.metadata[c]);
    memset(m.payload[c], 0, sizeof m.payload[c]);
    memset(m.note[c], 0, sizeof m.note[c]);
    changed(r, &m);
}

/* A copy has the same content, and goes again. A power cut may leave it. */
static void step_copy(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS);
    model m = *current(r);
    vs_collection *coll = open_coll(r, r->txn, c, &m), *copy = NULL;
    if (!coll)
        return;
    if (vs_collection_open(r->db, r->txn, "copy", &copy) == VS_OK)
        must(vs_collection_drop(copy, r->txn), VS_OK, "drop of a copy", copy);
    vs_collection_close(copy);
    must(vs_collection_copy(coll, r->txn, "copy", &copy), VS_OK, "copy", coll);
    require(read_coll(r->txn, c, copy) == read_coll(r->txn, c, coll), "copy", "of records");
    require(read_notes(r, r->txn, c, copy) == read_notes(r, r->txn, c, coll), "copy", "of notes");
    must(vs_collection_drop(copy, r->txn), VS_OK, "drop of a copy", copy);
    vs_collection_close(copy);
    vs_collection_close(coll);
    changed(r, &m);
}

static void step_vacuum(run *r) {
    uint64_t left = 0, bytes = (uint64_t)input_u8(&r->in) * 1000;
    must(vs_vacuum(r->db, bytes, &left), r->txn ? VS_ERR_MISUSE : VS_OK, "vacuum", r->db);
    if (!r->txn)
        become_durable(r);
}

/* ---- reading ---------------------------------------------------------------------------------- */

static void step_get(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS), i = (int)(input_u8(&r->in) % KEYS);
    const model *m = current(r);
    vs_collection *coll = open_coll(r, r->txn, c, m);
    vs_record record = VS_RECORD_INIT;
    uint8_t vector[DIM * 4];
    char text[TEXT_MAX];
    if (!coll)
        return;
    must(vs_get(coll, r->txn, vs_key_u64(keys[i]), &record),
         m->vector[c][i] ? VS_OK : VS_ERR_NOT_FOUND, "get", coll);
    if (m->vector[c][i]) {
        size_t bytes = m->metadata[c][i] ? make_text(m->metadata[c][i], text) : 0;
        make_vector(c, m->vector[c][i], vector);
        require(record.key.number == keys[i] && !memcmp(record.vector, vector, vector_bytes(c)),
                "get", "another vector");
        require(record.payload_bytes == (i < WITH_PAYLOADS ? m->payload[c][i].bytes : 0), "get",
                "another size of the payload");
        require(record.metadata_bytes == bytes &&
                    (!bytes || !memcmp(record.metadata, text, bytes + 1)),
                "get", "another metadata");
    }
    vs_collection_close(coll);
}

static double distance(int c, uint32_t a, uint32_t b) {
    double sum = 0;
    for (uint32_t i = 0; i < DIM; i++) {
        double x = element(a, i), y = element(b, i);
        sum += shapes[c].metric == VS_L2 ? (x - y) * (x - y) : -x * y;
    }
    return sum;
}

/* The nearest record behind (after, after_key) in the order of hits; false: there is none. */
static bool next_hit(const model *m, int c, uint32_t query, const vs_hit *after, vs_hit *out) {
    bool is_found = false;
    for (int i = 0; i < KEYS; i++) {
        if (!m->vector[c][i])
            continue;
        vs_hit hit = {VT_KEY(keys[i]), distance(c, m->vector[c][i], query)};
        bool is_behind = !after || hit.distance > after->distance ||
                         (hit.distance == after->distance && hit.key.number > after->key.number);
        if (is_behind && (!is_found || hit.distance < out->distance)) {
            *out = hit; /* keys ascend: of equal distances the first one stays */
            is_found = true;
        }
    }
    return is_found;
}

static void step_search(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS);
    uint32_t seed = seed_of(input_u8(&r->in));
    size_t k = 1 + input_u8(&r->in) % HITS_MAX, n = 0, wanted = 0;
    const model *m = current(r);
    vs_collection *coll = open_coll(r, r->txn, c, m);
    vs_hit hits[HITS_MAX], hit, last;
    uint8_t query[DIM * 4];
    if (!coll)
        return;
    make_vector(c, seed, query);
    must(vs_search(coll, r->txn, query, 0, k, NULL, hits, &n), VS_OK, "search", coll);
    for (; wanted < k && next_hit(m, c, seed, wanted ? &last : NULL, &hit); wanted++, last = hit)
        require(wanted < n && hits[wanted].key.number == hit.key.number &&
                    hits[wanted].distance == hit.distance,
                "search", "another hit");
    require(n == wanted, "search", "another number of hits");
    vs_collection_close(coll);
}

/* The records around a stored one, in three ways. */
static void step_around(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS), i = (int)(input_u8(&r->in) % KEYS);
    const model *m = current(r);
    vs_collection *coll = open_coll(r, r->txn, c, m);
    vs_hit hits[HITS_MAX], hit, last;
    size_t n = 0, wanted = 0, inside = 0;
    uint64_t total = 0;
    uint8_t vector[DIM * 4];
    uint32_t seed = coll ? m->vector[c][i] : 0;
    if (coll)
        must(vs_search_key(coll, r->txn, vs_key_u64(keys[i]), HITS_MAX, NULL, hits, &n),
             seed ? VS_OK : VS_ERR_NOT_FOUND, "search_key", coll);
    if (!seed) {
        vs_collection_close(coll);
        return;
    }
    for (size_t at = 0; wanted < HITS_MAX && next_hit(m, c, seed, at ? &last : NULL, &hit);
         at++, last = hit) {
        if (hit.key.number == keys[i])
            continue;
        require(wanted < n && hits[wanted].key.number == hit.key.number, "search_key",
                "another hit");
        require(hits[wanted++].distance == hit.distance, "search_key", "another distance");
    }
    require(n == wanted, "search_key", "another number of hits");
    double radius = n ? hits[n - 1].distance : 0, found = 0;
    for (int k = 0; k < KEYS; k++)
        inside += m->vector[c][k] && distance(c, m->vector[c][k], seed) <= radius;
    make_vector(c, seed, vector);
    must(vs_search_radius(coll, r->txn, vector, 0, radius, NULL, 0, NULL, &n, &total), VS_OK,
         "search_radius", coll);
    require(total == inside, "search_radius", "another number");
    if (wanted) {
        must(vs_distance(coll, r->txn, vs_key_u64(keys[i]), vs_key_u64(hits[0].key.number), NULL,
                         &found),
             VS_OK, "distance", coll);
        require(found == hits[0].distance, "distance", "another one");
    }
    vs_collection_close(coll);
}

/* Opens a cursor in the write transaction, in a snapshot, or on its own; or closes it. */
static void step_walk(run *r) {
    uint32_t how = input_u8(&r->in);
    walk *w = &r->walk;
    snapshot *snap = &r->snapshots[how & 1];
    vs_txn *txn = how & 2 ? r->txn : snap->txn;
    vs_cursor_close(w->cursor);
    *w = (walk){.coll = (int)(how >> 2 & 1), .next = (int)(how >> 4) % KEYS};
    w->is_in_write = (how & 2) && r->txn;
    w->m = w->is_in_write ? r->staged : txn ? snap->m : r->now;
    vs_collection *coll = open_coll(r, txn, w->coll, &w->m);
    if (coll)
        must(vs_scan(coll, txn, VT_FROM(keys[w->next]), &w->cursor), VS_OK, "scan", coll);
    vs_collection_close(coll);
}

static void step_step(run *r) {
    walk *w = &r->walk;
    const model *m = w->is_in_write ? &r->staged : &w->m;
    vs_record record = VS_RECORD_INIT;
    if (!w->cursor)
        return;
    if (w->has_ended) {
        must(vs_step(w->cursor), VS_ERR_MISUSE, "step", w->cursor);
        return;
    }
    int i = w->next;
    while (i < KEYS && !m->vector[w->coll][i])
        i++;
    must(vs_step(w->cursor), i < KEYS ? VS_ROW : VS_DONE, "step", w->cursor);
    if (i == KEYS)
        return; /* what a write transaction puts behind the last one is seen all the same */
    w->next = i + 1;
    must(vs_cursor_record(w->cursor, &record), VS_OK, "cursor_record", w->cursor);
    require(record.key.number == keys[i], "step", "another key");
}

/* ---- calls that must be refused --------------------------------------------------------------- */

static void refuse_records(run *r, vs_collection *coll) {
    const float bad[DIM] = {0, NAN, 1}, good[DIM] = {1, 2, 3};
    vs_record record = {
        .size = sizeof record, .vector_type = VS_F32, .key = VT_KEY(1), .vector = bad};
    must(vs_put(coll, r->txn, &record, VS_UPSERT), VS_ERR_INVALID, "put of NaN", coll);
    record.vector = good;
    record.metadata = "[1]";
    must(vs_put(coll, r->txn, &record, VS_UPSERT), VS_ERR_INVALID, "put of no object", coll);
    record.metadata = "{\"a\":01}";
    must(vs_put(coll, r->txn, &record, VS_UPSERT), VS_ERR_INVALID, "put of no JSON", coll);
    record.vector = NULL;
    record.metadata = NULL;
    must(vs_put(coll, r->txn, &record, VS_UPSERT), VS_ERR_INVALID, "put of nothing", coll);
}

static void step_refused(run *r) {
    int c = (int)(input_u8(&r->in) % COLLS);
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    uint64_t problems = 0;
    vs_collection *coll = open_coll(r, r->txn, c, current(r));
    options.dim = 0;
    must(vs_collection_create(r->db, r->txn, "none", &options, NULL), VS_ERR_INVALID, "dim 0",
         teller(r));
    options.dim = DIM;
    must(vs_collection_create(r->db, r->txn, "", &options, NULL), VS_ERR_INVALID, "no name",
         teller(r));
    must(vs_kv_put(r->db, r->txn, NULL, "", 0, "v", 1), VS_ERR_LIMIT, "no key", teller(r));
    must(vs_check(r->db, 4, NULL, NULL, &problems), VS_ERR_INVALID, "level 4", r->db);
    if (coll)
        refuse_records(r, coll);
    if (coll && r->txn) /* this thread's own transaction is open */
        must(vs_delete(coll, NULL, vs_key_u64(0)), VS_ERR_MISUSE, "delete beside a transaction",
             coll);
    vs_collection_close(coll);
}

/* ---- programs --------------------------------------------------------------------------------- */

static void step(run *r) {
    static void (*const steps[])(run *) = {
        step_put,      step_put,      step_put,        step_batch, step_delete, step_delete,
        step_note,     step_note,     step_create,     step_begin, step_commit, step_rollback,
        step_snapshot, step_sync,     step_checkpoint, step_get,   step_search, step_walk,
        step_step,     step_step,     step_refused,    step_check, compare,     step_reopen,
        step_kill,     step_power_cut};
    static void (*const savepoint_steps[])(run *) = {step_savepoint, step_rollback_to,
                                                     step_release};
    static void (*const update_steps[])(run *) = {step_metadata, step_put_mode, step_delete_batch,
                                                  step_around};
    static void (*const whole_steps[])(run *) = {step_drop, step_copy, step_vacuum, step_drop};
    uint32_t which = input_u8(&r->in);
    if (which >= STEP_SAVEPOINT)
        savepoint_steps[which % 3](r);
    else if (which >= STEP_UPDATE)
        update_steps[which % 4](r);
    else if (which >= STEP_PAYLOAD)
        (which % 4 ? step_payload : step_truncate)(r);
    else if (which >= STEP_WHOLE)
        whole_steps[which % 4](r);
    else
        steps[which % (sizeof steps / sizeof steps[0])](r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    run *r = calloc(1, sizeof *r);
    require(r, "malloc", "");
    r->in = (fuzz_input){data, size};
    r->has_trailers = size % 2;
    r->s = sim_new(1, NULL);
    open_db(r);
    become_durable(r);
    for (int i = 0; i < STEPS_MAX && r->in.bytes; i++)
        step(r);
    compare(r);
    step_reopen(r);
    step_check(r);
    end_process(r);
    sim_free(r->s);
    free(r);
    return 0;
}
