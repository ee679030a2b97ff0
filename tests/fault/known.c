/* known.c - two databases whose every byte is known: who wrote it, and what it is for. */
#include "known.h"
#include "logfile.h"
#include "vt.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FIRST_EXTENT = 131072 /* byte of page 32 */, PAGE = 4096 };

const known_shape known_shapes[KNOWN_COLLS] = {
    {"small", 12, VS_F32, KNOWN_KEYS}, {"bytes", 512, VS_U8, 24}, {"empty", 3, VS_F32, 0}};

/* ---- what the databases contain ------------------------------------------------------------- */

/* Everything follows from the round in which it was written; 0: there is none. */
typedef struct content {
    uint16_t record[KNOWN_COLLS][KNOWN_KEYS];
    uint16_t note[KNOWN_COLLS + 1][KNOWN_NOTES]; /* of a collection, and of the database */
} content;

vs_key known_key(uint32_t at) {
    enum { NUMBERS = 20, TEXTS = 40 };
    static char names[KNOWN_KEYS][17];
    if (at < NUMBERS)
        return (vs_key){.number = 1 + 3 * (uint64_t)at};
    snprintf(names[at], sizeof names[at], "%016u", (unsigned)at);
    return at < TEXTS ? vs_key_bytes(names[at], 16) : vs_key_uuid(names[at]);
}

static uint64_t seed_of(int coll, uint32_t at, uint32_t round) {
    return vt_mix(((uint64_t)coll << 48) + ((uint64_t)at << 24) + round);
}

/* Whole numbers, so that distances are exact. */
const void *known_vector(int coll, uint32_t at, uint32_t round) {
    static float floats[16];
    static uint8_t bytes[512];
    const known_shape *shape = &known_shapes[coll];
    for (uint32_t d = 0; d < shape->dim; d++) {
        uint64_t random = vt_mix(seed_of(coll, at, round) + d);
        if (shape->type == VS_F32)
            floats[d] = (float)(random % 16);
        else
            bytes[d] = (uint8_t)random;
    }
    return shape->type == VS_F32 ? (const void *)floats : (const void *)bytes;
}

size_t known_vector_bytes(int coll) {
    return known_shapes[coll].dim * (known_shapes[coll].type == VS_F32 ? sizeof(float) : 1);
}

/* Most metadata is short or absent, some of it fills a third of a node, some has extents of its own. */
static size_t metadata_bytes_of(int coll, uint32_t at, uint32_t round) {
    uint64_t random = seed_of(coll, at, round) % 64;
    if (at == 9 || random == 0)
        return at == 9 ? 9000 : 3000;
    return random < 3 ? 1200 : random < 24 ? 20 + random : 0;
}

enum { NOISE_BYTES = 5001 }; /* a note of noise, which is stored as it is in two pages */

static size_t note_bytes_of(int coll, uint32_t at, uint32_t round) {
    static const size_t lengths[] = {0, 5, 5, 30, 40, 40, 200, 700, 700, 1200, 2000, 5000};
    return at == 0 && coll < 2 ? NOISE_BYTES : lengths[seed_of(coll, at, round) % 12];
}

/* A JSON object of so many bytes; also the value of a note. */
static const char *text_of(size_t bytes, uint64_t seed) {
    static char text[10000];
    bool is_noise = bytes == NOISE_BYTES;
    memcpy(text, "{\"t\":\"", 6);
    for (size_t i = 6; i < bytes; i++)
        text[i] = (char)(is_noise ? vt_mix(seed + i) & 127 : 'a' + vt_mix(seed + i / 8) % 26);
    if (bytes >= 8)
        memcpy(text + bytes - 2, "\"}", 3);
    return text;
}

uint64_t known_hash_record(int coll, const void *vector, const char *metadata, size_t bytes) {
    uint64_t hash = XXH3_64bits(vector, known_vector_bytes(coll));
    return XXH3_64bits_withSeed(metadata ? metadata : "", metadata ? bytes : 0, hash) | 1;
}

uint64_t known_hash_note(const void *value, size_t bytes) {
    return XXH3_64bits(value, bytes) | 1;
}

const void *known_query(int coll) {
    return known_vector(coll, 7, 9999);
}

static double distance_of(int coll, uint32_t at, uint32_t round) {
    static uint8_t query[2048];
    double sum = 0;
    memcpy(query, known_query(coll), known_vector_bytes(coll));
    const uint8_t *row = known_vector(coll, at, round);
    for (uint32_t d = 0; d < known_shapes[coll].dim; d++) {
        float a = query[d], b = row[d];
        if (known_shapes[coll].type == VS_F32) {
            memcpy(&a, query + d * sizeof a, sizeof a);
            memcpy(&b, row + d * sizeof b, sizeof b);
        }
        sum += (double)((a - b) * (a - b));
    }
    return sum;
}

/* Puts a record among the nearest ones; they come in ascending key order. */
static void state_add_hit(known_state *s, int coll, vs_key key, double distance) {
    vs_hit *hits = s->hits[coll];
    size_t n = s->hit_count[coll], i = n < KNOWN_HITS ? n : KNOWN_HITS;
    for (; i > 0 && hits[i - 1].distance > distance; i--)
        if (i < KNOWN_HITS)
            hits[i] = hits[i - 1];
    if (i < KNOWN_HITS)
        hits[i] = (vs_hit){key, distance};
    s->hit_count[coll] = n < KNOWN_HITS ? n + 1 : KNOWN_HITS;
}

static void state_of_record(known_state *s, int coll, uint32_t at, uint32_t round) {
    size_t bytes = metadata_bytes_of(coll, at, round);
    const char *text = bytes ? text_of(bytes, seed_of(coll, at, round)) : NULL;
    s->record[coll][at] = known_hash_record(coll, known_vector(coll, at, round), text, bytes);
    s->count[coll]++;
    state_add_hit(s, coll, known_key(at), distance_of(coll, at, round));
}

static void state_of(const content *c, const vs_stats *stats, known_state *s) {
    memset(s, 0, sizeof *s);
    memcpy(s->digest, stats->digest, sizeof s->digest);
    s->lsn = stats->lsn;
    for (int coll = 0; coll < KNOWN_COLLS; coll++)
        for (uint32_t at = 0; at < KNOWN_KEYS; at++)
            if (c->record[coll][at])
                state_of_record(s, coll, at, c->record[coll][at]);
    for (int coll = 0; coll <= KNOWN_COLLS; coll++)
        for (uint32_t at = 0; at < KNOWN_NOTES; at++) {
            uint32_t round = c->note[coll][at];
            size_t bytes = note_bytes_of(coll, at, round);
            if (round)
                s->note[coll][at] =
                    known_hash_note(text_of(bytes, seed_of(coll, at, round)), bytes);
        }
}

/* ---- making them ---------------------------------------------------------------------------- */

/* A program that makes one. */
typedef struct author {
    vs_vfs *memory;
    vs_vfs vfs;
    vs_db *db;
    vs_collection *coll[KNOWN_COLLS];
    content now;
    known_image *image;
    uint16_t round;
    vt_rng rng;
} author;

static uint64_t author_randomness;

static vs_status author_random(void *ctx, void *buf, size_t bytes, char *why) {
    (void)ctx;
    (void)why;
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)buf)[i] = (uint8_t)vt_mix(++author_randomness);
    return VS_OK;
}

static int64_t author_wall_us(void *ctx) {
    (void)ctx;
    return 1000000 + (int64_t)++author_randomness;
}

vs_status known_device(void *ctx, void *f, vs_device_info *out, char *why) {
    (void)ctx;
    (void)f;
    (void)why;
    *out = (vs_device_info){.sector_bytes = 512, .blast_bytes = 512}; /* less padding */
    return VS_OK;
}

static void author_open(author *a) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    options.vfs = &a->vfs;
    options.flags = VS_OPEN_CREATE;
    VT_OK(vs_open(KNOWN_PATH, &options, &a->db), a->db);
    for (int i = 0; i < KNOWN_COLLS; i++) {
        shape.dim = known_shapes[i].dim;
        shape.type = known_shapes[i].type;
        vs_status st = vs_collection_open(a->db, NULL, known_shapes[i].name, &a->coll[i]);
        if (st == VS_ERR_NOT_FOUND)
            st = vs_collection_create(a->db, NULL, known_shapes[i].name, &shape, &a->coll[i]);
        VT_OK(st, a->db);
    }
}

static void author_close(author *a) {
    for (int i = 0; i < KNOWN_COLLS; i++)
        vs_collection_close(a->coll[i]);
    VT_OK(vs_close(a->db), a->db);
}

static void author_put(author *a, vs_txn *txn, content *c, int coll, uint32_t at) {
    vs_record r = VS_RECORD_INIT;
    r.key = known_key(at);
    r.vector = known_vector(coll, at, a->round);
    r.metadata_bytes = metadata_bytes_of(coll, at, a->round);
    if (r.metadata_bytes)
        r.metadata = text_of(r.metadata_bytes, seed_of(coll, at, a->round));
    VT_OK(vs_put(a->coll[coll], txn, &r, VS_UPSERT), a->coll[coll]);
    c->record[coll][at] = a->round;
}

static void author_delete(author *a, vs_txn *txn, content *c, int coll, uint32_t at) {
    if (!c->record[coll][at])
        return;
    VT_OK(vs_delete(a->coll[coll], txn, known_key(at)), a->coll[coll]);
    c->record[coll][at] = 0;
}

static void author_note(author *a, vs_txn *txn, content *c, int coll, uint8_t at) {
    size_t bytes = note_bytes_of(coll, at, a->round);
    const char *value = text_of(bytes, seed_of(coll, at, a->round));
    vs_collection *of = coll < KNOWN_COLLS ? a->coll[coll] : NULL;
    bool deletes = c->note[coll][at] && a->round % 5 == 0;
    VT_OK(vs_kv_put(a->db, txn, of, &at, 1, deletes ? NULL : value, deletes ? 0 : bytes), txn);
    c->note[coll][at] = deletes ? 0 : a->round;
}

/* Changes of one transaction from this collection on, kept or, with frames in the log, rolled back. */
static void author_change(author *a, int first_coll, int changes, bool keeps) {
    vs_txn *txn = NULL;
    vs_stats stats = VS_STATS_INIT;
    content after = a->now;
    a->round++;
    VT_OK(vs_begin(a->db, VS_TXN_WRITE, &txn), a->db);
    for (int i = 0; i < changes; i++) {
        int coll = first_coll ? first_coll : (int)vt_below(&a->rng, 2);
        uint32_t at = (uint32_t)vt_below(&a->rng, known_shapes[coll].keys);
        if (vt_below(&a->rng, 5) == 0)
            author_delete(a, txn, &after, coll, at);
        else
            author_put(a, txn, &after, coll, at);
    }
    author_note(a, txn, &after, (int)vt_below(&a->rng, KNOWN_COLLS + 1),
                (uint8_t)(a->round % KNOWN_NOTES));
    if (!keeps) {
        vs_rollback(txn);
        return;
    }
    VT_OK(vs_commit(txn, VS_SYNC_FULL), a->db);
    a->now = after;
    VT_OK(vs_stats_get(a->db, &stats), a->db);
    VT_CHECK(a->image->states < KNOWN_STATES_MAX);
    state_of(&a->now, &stats, &a->image->state[a->image->states++]);
}

/* A first session that writes everything there is. */
static void author_begin(author *a, known_image *out) {
    vs_txn *txn = NULL;
    *a = (author){.image = out, .round = 1, .rng = {vt_seed()}};
    *out = (known_image){.state = calloc(KNOWN_STATES_MAX, sizeof *out->state)};
    VT_CHECK(out->state != NULL);
    author_randomness = vt_seed();
    VT_EQ(vs_vfs_memory_create(NULL, &a->memory), VS_OK);
    a->vfs = *a->memory;
    a->vfs.random = author_random;
    a->vfs.wall_us = author_wall_us;
    a->vfs.device_info = known_device;
    author_open(a);
    VT_OK(vs_begin(a->db, VS_TXN_WRITE, &txn), a->db);
    for (int coll = 0; coll < KNOWN_COLLS; coll++)
        for (uint32_t at = 0; at < known_shapes[coll].keys; at++)
            author_put(a, txn, &a->now, coll, at);
    for (int coll = 0; coll <= KNOWN_COLLS; coll++)
        for (uint8_t at = 0; at < KNOWN_NOTES; at++)
            author_note(a, txn, &a->now, coll, at);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), a->db);
    author_close(a);
}

static bool author_take_file(author *a, const char *path) {
    char why[VS_VFS_WHY_BYTES];
    void *handle = NULL;
    uint64_t bytes = 0;
    if (a->vfs.open(a->vfs.ctx, path, VS_VFS_READ, &handle, why) != VS_OK)
        return false;
    VT_CHECK(a->image->count < KNOWN_FILES_MAX);
    known_file *f = &a->image->file[a->image->count++];
    VT_EQ(a->vfs.file_size(a->vfs.ctx, handle, &bytes, why), VS_OK);
    *f = (known_file){.data = malloc(bytes), .map = malloc(bytes), .bytes = (size_t)bytes};
    VT_CHECK(f->data && f->map);
    snprintf(f->path, sizeof f->path, "%s", path);
    for (size_t at = 0, n = 0; at < f->bytes; at += n) {
        VT_EQ(a->vfs.read(a->vfs.ctx, handle, f->data + at, f->bytes - at, at, &n, why), VS_OK);
        VT_CHECK(n > 0);
    }
    a->vfs.close(a->vfs.ctx, handle);
    return true;
}

/* Takes all files as they are now; the data file is number 0, the newest log the last one. */
static void author_take(author *a) {
    VT_CHECK(author_take_file(a, KNOWN_PATH));
    for (int i = 1; i < 40; i++) {
        char path[32];
        snprintf(path, sizeof path, KNOWN_PATH "-wal-%d", i);
        if (author_take_file(a, path))
            a->image->newest_log = a->image->count - 1;
    }
}

/* ---- what each byte is for ------------------------------------------------------------------ */

const char *const known_region_names[IS_REGIONS] = {"meta",  "node",    "slab", "blob", "list",
                                                    "dying", "old log", "log",  "last", "unused"};

/* Marks the extent of a reference and what it leads to. */
static void map_reference(known_file *f, const uint8_t *ref, bool is_before) {
    static const uint8_t regions[] = {IS_UNUSED, IS_NODE, IS_SLAB, IS_BLOB, IS_LIST};
    uint64_t where = lf_get_u64(ref);
    size_t off = (size_t)(where & ((1ull << 40) - 1)) * PAGE, bytes = (size_t)(where >> 40) * PAGE;
    const uint8_t *p = f->data + off;
    if (!ref[12])
        return;
    VT_CHECK(ref[12] <= 4 && off >= FIRST_EXTENT && bytes <= f->bytes - off);
    uint8_t known = f->map[off], region = is_before ? IS_DYING : regions[ref[12]];
    if (is_before && known != IS_UNUSED && known != IS_DYING)
        region = known | IS_SHARED;
    memset(f->map + off, region, bytes);
    if (ref[12] == 3 && bytes / PAGE + ref[13] > 1)
        f->large[ref[13] & 1]++;
    for (uint32_t i = 0; ref[12] == 1 && i < (lf_get_u32(p) >> 16); i++) {
        const uint8_t *entry = p + p[16 + 2 * i] + 256 * p[17 + 2 * i];
        uint32_t sizes = lf_get_u32(entry), refs = sizes >> 28;
        const uint8_t *at = entry + 4 + (sizes & 0xffff) + (sizes >> 16 & 0xfff);
        for (uint32_t k = 0; k < refs; k++)
            map_reference(f, at + 24 * (size_t)k, is_before);
    }
}

static void map_data(known_file *f) {
    const uint8_t *meta = f->data;
    if (lf_get_u64(f->data + LF_META_B_OFF + 64) > lf_get_u64(meta + 64))
        meta += LF_META_B_OFF;
    memset(f->map, IS_UNUSED, f->bytes);
    memset(f->map, IS_META, LF_META_BYTES);
    memset(f->map + LF_META_B_OFF, IS_META, LF_META_BYTES);
    map_reference(f, meta + 128 + 64, false);
    map_reference(f, meta + 128 + 88, false);
    if (lf_get_u64(meta + 256 + 24))
        map_reference(f, meta + 256 + 64, true); /* its list of free pages is read by nobody */
}

/* Header and frames below end_lsn; a MARK behind them is not read. Nothing behind the MARK of durable_lsn is
 * known to be durable; when that one is damaged, what follows it cannot be reached. */
static void map_log(known_file *f, uint8_t region, uint64_t end_lsn, uint64_t durable_lsn) {
    lf_frame frame;
    memset(f->map, IS_UNUSED, f->bytes);
    memset(f->map, region, LF_HEADER_BYTES);
    for (bool more = lf_next_frame(f->data, f->bytes, NULL, &frame); more;
         more = lf_next_frame(f->data, f->bytes, &frame, &frame)) {
        uint64_t next_lsn = frame.lsn + (frame.kind == 3);
        size_t bytes = LF_FRAME_BYTES + frame.payload_bytes;
        if (next_lsn < end_lsn)
            memset(f->map + frame.off, next_lsn > durable_lsn ? IS_LAST : region, bytes);
    }
}

/* The log without the MARK that ends it. */
static void image_cut_last_mark(known_image *m) {
    known_file *f = &m->file[m->newest_log];
    lf_frame frame;
    uint64_t mark_lsn = 0;
    size_t end = 0;
    for (bool more = lf_next_frame(f->data, f->bytes, NULL, &frame); more;
         more = lf_next_frame(f->data, f->bytes, &frame, &frame)) {
        end = frame.off;
        if (frame.kind == 3) {
            m->durable_lsn = mark_lsn;
            mark_lsn = frame.lsn;
        } else {
            m->last_lsn = lf_get_u64(f->data + frame.off + 16);
        }
    }
    VT_CHECK(m->durable_lsn && m->last_lsn > m->durable_lsn);
    VT_CHECK(lf_get_u32(f->data + end + 4) == 3);
    f->bytes = end;
}

static uint64_t start_lsn(const known_file *log) {
    return lf_get_u64(log->data + 48);
}

static void image_map(known_image *m) {
    map_data(&m->file[0]);
    if (!m->newest_log)
        return;
    image_cut_last_mark(m);
    for (int i = 1; i < m->newest_log; i++)
        map_log(&m->file[i], IS_OLD_LOG, start_lsn(&m->file[i + 1]), UINT64_MAX);
    map_log(&m->file[m->newest_log], IS_LOG, UINT64_MAX, m->durable_lsn);
}

/* ---- the two databases ---------------------------------------------------------------------- */

size_t known_bytes_in(const known_image *m, int file_at, uint8_t region) {
    size_t n = 0;
    for (size_t i = 0; i < m->file[file_at].bytes; i++)
        n += m->file[file_at].map[i] % IS_SHARED == region;
    return n;
}

void known_free(known_image *m) {
    for (int i = 0; i < m->count; i++) {
        free(m->file[i].data);
        free(m->file[i].map);
    }
    free(m->state);
}

known_image known_make_closed(void) {
    known_image m;
    author a;
    author_begin(&a, &m);
    author_open(&a);
    while (m.states < 3 || m.state[m.states - 1].count[1] == known_shapes[1].keys)
        author_change(&a, 1, 4, true); /* until a record was deleted */
    author_close(&a);
    author_take(&a);
    vs_vfs_memory_destroy(a.memory);
    m.state[0] = m.state[m.states - 1];
    m.states = 1;
    image_map(&m);
    VT_EQ(m.count, 1);
    for (uint8_t region = IS_NODE; region <= IS_LIST; region++)
        VT_CHECK(known_bytes_in(&m, 0, region) >= PAGE);
    VT_CHECK(known_bytes_in(&m, 0, IS_UNUSED) > FIRST_EXTENT);
    VT_CHECK(m.file[0].large[0]);
#ifndef VS_OMIT_ZSTD
    VT_CHECK(m.file[0].large[1]);
#endif
    return m;
}

static uint64_t log_bytes(const author *a) {
    vs_stats stats = VS_STATS_INIT;
    VT_OK(vs_stats_get(a->db, &stats), a->db);
    return stats.log_bytes;
}

known_image known_make_killed(void) {
    known_image m;
    author a;
    author_begin(&a, &m);
    author_open(&a);
    author_change(&a, 0, 8, true);
    VT_OK(vs_checkpoint(a.db), a.db);
    for (int i = 0; i < 4; i++)
        author_change(&a, 0, 6, true);
    VT_OK(vs_checkpoint(a.db), a.db);
    m.state[0] = m.state[m.states - 1];
    m.states = 1;
    while (log_bytes(&a) < 230 << 10) {
        author_change(&a, 0, (int)vt_below(&a.rng, 12), true);
        if (m.states % 16 == 0)
            author_change(&a, 0, 40, false); /* rolled back, with frames in the log */
    }
    author_change(&a, 0, 12, true);
    author_take(&a);
    author_close(&a);
    vs_vfs_memory_destroy(a.memory);
    image_map(&m);
    VT_EQ(m.count, 3);
    VT_CHECK(m.states > 20);
    VT_CHECK(known_bytes_in(&m, 0, IS_DYING) >= PAGE &&
             known_bytes_in(&m, m.newest_log, IS_LAST) > 1000);
    return m;
}
