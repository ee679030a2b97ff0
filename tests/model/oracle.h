/* oracle.h - what a database must contain, as plain arrays in key order that are copied as a whole.
 *
 * A record is two numbers, a note is one; their bytes follow from these. Nothing here knows the library
 * but the digest, which docs/FORMAT.md section 9 defines. */
#ifndef ORACLE_H
#define ORACLE_H

#include "vecstore.h"
#define XXH_INLINE_ALL
#include <math.h>
#include <xxhash.h>
#include "vt.h"

enum {
    COLLS = 7,
    RECORDS = 30000 + 5000 + 2500 + 2000 + 400 + 1500 + 1500, /* places of all collections */
    DB_NOTES = 400,
    COLL_NOTES = 50,
    NOTES = DB_NOTES + COLLS * COLL_NOTES,
    DIM_MAX = 300,
    TEXT_MAX = 200000,
    BODY_MAX = DIM_MAX * 4
};

/* Elements are whole numbers or quarters, so that sums are exact. palette: how many vectors there are to
 * choose from; the fewer, the more distances are equal. */
static const struct shape {
    const char *name;
    uint32_t dim;
    int type, metric;
    uint32_t first, records; /* places [first, first + records) */
    uint32_t palette;
    bool is_dense; /* keys 0, 1, 2, ...; else spread over all of 64 bits */
} shapes[COLLS] = {
    {"floats", 5, VS_F32, VS_L2, 0, 30000, 1000000, false},
    {"dense \xf0\x9f\x90\x98", 1, VS_U8, VS_L2, 30000, 5000, 200, true},
    {"b\xc3\xa4ume", 40, VS_U8, VS_IP, 35000, 2500, 50, false},
    {"angles", 17, VS_F32, VS_COSINE, 37500, 2000, 300, false},
    {"wide", DIM_MAX, VS_F32, VS_IP, 39500, 400, 100000, true},
    {"bytes", 12, VS_U8, VS_COSINE, 39900, 1500, 60, false},
    {"late", 64, VS_F32, VS_L2, 41400, 1500, 1000000, false},
};

/* 0: there is none. */
typedef struct model_record {
    uint32_t vector, metadata;
} model_record;

typedef struct model_coll {
    bool is_there;
    uint32_t id;
    int64_t created_us;
    uint64_t count;
} model_coll;

/* Copying the struct copies the version. */
typedef struct model {
    uint64_t digest[2];
    model_coll coll[COLLS];
    model_record record[RECORDS];
    uint32_t note[NOTES]; /* of the database, then of each collection */
} model;

/* ---- content that follows from a number ----------------------------------------------------- */

/* Rises with i; the last key of a collection that is not dense is the largest there is. */
static inline uint64_t key_of(int c, uint32_t i) {
    uint32_t n = shapes[c].records;
    uint64_t step = UINT64_MAX / n;
    if (shapes[c].is_dense || i == 0)
        return i;
    return i == n - 1 ? UINT64_MAX : i * step + vt_mix(i) % step;
}

static inline int element(int c, uint32_t seed, uint32_t j) {
    int value = (int)(vt_mix(((uint64_t)seed << 8) + j / 8) >> j % 8 * 8 & 63);
    return shapes[c].type == VS_U8 ? value * 4 : value - 32;
}

static inline double element_value(int c, uint32_t seed, uint32_t j) {
    return shapes[c].type == VS_U8 ? element(c, seed, j) : element(c, seed, j) / 4.0;
}

static inline const void *make_vector(int c, uint32_t seed, void *out) {
    for (uint32_t j = 0; j < shapes[c].dim; j++) {
        if (shapes[c].type == VS_U8)
            ((uint8_t *)out)[j] = (uint8_t)element(c, seed, j);
        else
            ((float *)out)[j] = (float)element_value(c, seed, j);
    }
    return out;
}

static inline size_t vector_bytes(int c) {
    return shapes[c].dim * (shapes[c].type == VS_U8 ? 1 : sizeof(float));
}

/* Mostly short; some near the size from which values have pages of their own; few large. */
static inline size_t content_bytes(uint32_t seed) {
    uint64_t mixed = vt_mix(seed), what = mixed % 1000, size = mixed >> 10;
    return what < 850   ? size % 60
           : what < 970 ? 1200 + size % 140
           : what < 999 ? size % 9000
                        : size % (TEXT_MAX - 8);
}

static inline void fill(uint32_t seed, uint8_t *out, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t mixed = vt_mix(((uint64_t)seed << 20) + i);
        for (size_t j = i; j < bytes && j < i + 8; j++, mixed >>= 8)
            out[j] = (uint8_t)('a' + mixed % 16);
    }
}

/* A JSON object, with a NUL; EMPTY_METADATA is the smallest one. */
#define EMPTY_METADATA UINT32_MAX
static inline size_t make_metadata(uint32_t seed, char out[TEXT_MAX + 1]) {
    size_t bytes = 8 + content_bytes(seed);
    if (seed == EMPTY_METADATA) {
        memcpy(out, "{}", 3);
        return 2;
    }
    memcpy(out, "{\"t\":\"", 6);
    fill(seed, (uint8_t *)out + 6, bytes - 8);
    memcpy(out + bytes - 2, "\"}", 3);
    return bytes;
}

static inline size_t make_note(uint32_t seed, uint8_t out[TEXT_MAX]) {
    size_t bytes = content_bytes(seed);
    fill(seed, out, bytes);
    return bytes;
}

/* Most keys are so long that three fill a node, and alike but for their end. */
static inline size_t make_note_key(uint32_t at, uint8_t out[VS_KV_KEY_BYTES_MAX]) {
    static const size_t lengths[8] = {1024, 1000, 4, 1024, 900, 60, 1023, 700};
    size_t bytes = lengths[at % 8];
    memset(out, 0, bytes);
    out[bytes - 1] = (uint8_t)at;
    out[bytes - 2] = (uint8_t)(at >> 8);
    return bytes;
}

/* The collection that a note belongs to, or COLLS. */
static inline int note_owner(uint32_t at) {
    return at < DB_NOTES ? COLLS : (int)((at - DB_NOTES) / COLL_NOTES);
}

/* ---- digest --------------------------------------------------------------------------------- */

typedef struct term {
    uint8_t data[2048];
    size_t bytes;
} term;

static inline void put_number(term *t, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        t->data[t->bytes++] = (uint8_t)(value >> 8 * i);
}

static inline void put_run(term *t, const void *data, size_t bytes) {
    memcpy(t->data + t->bytes, data, bytes);
    t->bytes += bytes;
}

static inline void put_hash(term *t, const void *data, size_t bytes) {
    XXH128_hash_t hash = XXH3_128bits(data, bytes);
    put_number(t, hash.low64, 8);
    put_number(t, hash.high64, 8);
}

static inline void add_term(model *m, const term *t, bool is_added) {
    XXH128_hash_t hash = XXH3_128bits(t->data, t->bytes);
    uint64_t low = m->digest[0];
    if (is_added) {
        m->digest[0] += hash.low64;
        m->digest[1] += hash.high64 + (m->digest[0] < low);
    } else {
        m->digest[0] -= hash.low64;
        m->digest[1] -= hash.high64 + (m->digest[0] > low);
    }
}

static inline void add_coll(model *m, int c) {
    term t = {.bytes = 0}, field = {.bytes = 0}, own = {.bytes = 0};
    put_number(&t, 1, 4);
    put_number(&t, m->coll[c].id, 4);
    put_number(&t, (uint64_t)m->coll[c].created_us, 8);
    add_term(m, &t, true);
    put_number(&own, 6, 4);
    put_number(&own, m->coll[c].id, 4);
    put_number(&own, 0, 4); /* no alias */
    put_run(&own, shapes[c].name, strlen(shapes[c].name));
    add_term(m, &own, true);
    put_number(&field, 5, 4);
    put_number(&field, m->coll[c].id, 4);
    put_number(&field, 0, 4);
    put_number(&field, shapes[c].dim, 4);
    put_number(&field, (uint64_t)shapes[c].type, 4);
    put_number(&field, (uint64_t)shapes[c].metric, 4);
    put_number(&field, 0, 4); /* not optional */
    put_number(&field, 6, 4);
    put_run(&field, "vectorauto", 10); /* its name and its index */
    add_term(m, &field, true);
}

static inline void add_part(model *m, uint32_t kind, int c, uint64_t key, const void *data,
                            size_t bytes, bool is_added) {
    term t = {.bytes = 0};
    put_number(&t, kind, 4);
    put_number(&t, m->coll[c].id, 4);
    put_hash(&t, data, bytes);
    put_number(&t, 0x100, 2); /* default namespace, a number */
    for (int i = 56; i >= 0; i -= 8)
        put_number(&t, key >> i & 0xff, 1);
    add_term(m, &t, is_added);
}

/* A vector as the digest has it: elements little-endian. */
static inline size_t stored_vector(int c, uint32_t seed, uint8_t out[BODY_MAX]) {
    float values[DIM_MAX];
    make_vector(c, seed, values);
    if (shapes[c].type == VS_U8)
        memcpy(out, values, shapes[c].dim);
    for (uint32_t j = 0; shapes[c].type == VS_F32 && j < shapes[c].dim; j++) {
        uint32_t bits;
        memcpy(&bits, &values[j], sizeof bits);
        for (int i = 0; i < 4; i++)
            out[4 * j + (uint32_t)i] = (uint8_t)(bits >> 8 * i);
    }
    return vector_bytes(c);
}

static inline void add_record(model *m, int c, uint32_t i, bool is_added) {
    static char text[TEXT_MAX + 1];
    uint8_t vector[BODY_MAX];
    model_record r = m->record[shapes[c].first + i];
    if (r.vector)
        add_part(m, 2, c, key_of(c, i), vector, stored_vector(c, r.vector, vector), is_added);
    if (r.metadata)
        add_part(m, 3, c, key_of(c, i), text, make_metadata(r.metadata, text), is_added);
}

static inline void add_note(model *m, uint32_t at, bool is_added) {
    static uint8_t value[TEXT_MAX];
    uint8_t key[VS_KV_KEY_BYTES_MAX];
    int owner = note_owner(at);
    term t = {.bytes = 0};
    if (!m->note[at])
        return;
    put_number(&t, 4, 4);
    put_number(&t, owner < COLLS ? m->coll[owner].id : 0, 4);
    put_hash(&t, value, make_note(m->note[at], value));
    put_run(&t, key, make_note_key(at, key));
    add_term(m, &t, is_added);
}

/* ---- changes -------------------------------------------------------------------------------- */

static inline model_record *record_at(model *m, int c, uint32_t i) {
    return &m->record[shapes[c].first + i];
}

static inline void set_record(model *m, int c, uint32_t i, model_record to) {
    model_record *r = record_at(m, c, i);
    add_record(m, c, i, false);
    m->coll[c].count += (to.vector != 0) - (uint64_t)(r->vector != 0);
    *r = to;
    add_record(m, c, i, true);
}

static inline void set_note(model *m, uint32_t at, uint32_t seed) {
    add_note(m, at, false);
    m->note[at] = seed;
    add_note(m, at, true);
}

static inline void set_coll(model *m, int c, uint32_t id, int64_t created_us) {
    m->coll[c] = (model_coll){true, id, created_us, 0};
    add_coll(m, c);
}

/* The first record at or behind place i; shapes[c].records: none. */
static inline uint32_t next_record(const model *m, int c, uint32_t i) {
    while (i < shapes[c].records && !m->record[shapes[c].first + i].vector)
        i++;
    return i;
}

/* ---- distances ------------------------------------------------------------------------------ */

typedef struct model_hit {
    uint32_t i;
    double distance;
} model_hit;

static inline double distance(int c, const double *query, uint32_t seed) {
    double dot = 0, l2 = 0, norm_a = 0, norm_b = 0;
    for (uint32_t j = 0; j < shapes[c].dim; j++) {
        double x = query[j], y = element_value(c, seed, j);
        dot += x * y;
        l2 += (x - y) * (x - y);
        norm_a += x * x;
        norm_b += y * y;
    }
    if (shapes[c].metric == VS_L2)
        return l2;
    return shapes[c].metric == VS_IP ? -dot : 1 - dot / sqrt(norm_a * norm_b);
}

/* The k nearest, equal distances by ascending key; returns how many there are. */
static inline size_t model_search(const model *m, int c, const double *query, size_t k,
                                  model_hit *out) {
    size_t n = 0;
    for (uint32_t i = 0; i < shapes[c].records; i++) {
        uint32_t seed = m->record[shapes[c].first + i].vector;
        double d = seed ? distance(c, query, seed) : 0;
        if (!seed || (n == k && d >= out[n - 1].distance))
            continue;
        size_t at = n < k ? n++ : n - 1;
        for (; at > 0 && out[at - 1].distance > d; at--)
            out[at] = out[at - 1];
        out[at] = (model_hit){i, d};
    }
    return n;
}

#endif
