/* apply.c - operations on a state against a plain model of it: contents, digest, versions, refusals
 * and failures. */
#include "store/apply.h"
#include "store/audit.h"
#include "store/payload.h"
#include "vt.h"

enum {
    COLLS = 4, /* collections, besides the database itself as owner of notes */
    KEYS = 20, /* of each collection */
    NOTES = 6, /* of each owner */
    CONTENT_MAX = 5000,
    PIECE = 65536,     /* bytes of a payload's pieces but the last one */
    PIECES = 3,        /* of each payload at most */
    WITH_PAYLOADS = 5, /* records of a collection that may have one: the first ones */
    ALIASES = 3
};

/* ---- the model ------------------------------------------------------------------------------ */

/* Bytes that follow from a number. */
typedef struct content {
    bool is_there;
    uint64_t seed;
    uint32_t bytes;
} content;

/* The bytes of a piece follow from its seed and its size. */
typedef struct payload {
    uint32_t bytes; /* 0: none */
    uint64_t seed[PIECES];
} payload;

typedef struct record {
    content vector, metadata; /* metadata of 0 bytes: none */
    payload payload;
    uint32_t slot;
} record;

typedef struct model_coll {
    uint32_t id, dim; /* id 0: not created */
    int type, metric;
    int64_t time_us;
    char name[32], index[32];
    uint32_t slot_end;
    uint64_t max_records, max_bytes;
    record record[KEYS];
} model_coll;

/* Copying the struct copies the version. */
typedef struct model {
    model_coll coll[COLLS];
    content note[COLLS + 1][NOTES]; /* of collection i at i, of the database at COLLS */
    uint32_t alias[ALIASES];        /* id that it leads to; 0: there is none */
    uint32_t last_id;               /* ever used by random operations */
    int drops;
} model;

static uint8_t *bytes_of(content c, uint8_t out[CONTENT_MAX]) {
    vt_rng rng = {c.seed};
    for (size_t i = 0; i < c.bytes; i++)
        out[i] = (uint8_t)vt_random(&rng);
    return out;
}

static uint32_t piece_count(const payload *p) {
    return (p->bytes + PIECE - 1) / PIECE;
}

static uint32_t piece_bytes(const payload *p, uint32_t i) {
    return i + 1 < piece_count(p) ? PIECE : p->bytes - i * PIECE;
}

static uint8_t *bytes_of_piece(uint64_t seed, uint32_t bytes, uint8_t out[PIECE]) {
    memset(out, (int)(seed & 0xff), bytes);
    for (uint32_t i = 0; i < bytes && i < 8; i++)
        out[i] = (uint8_t)(seed >> 8 * i);
    return out;
}

static uint64_t key_of(int i) {
    static const uint64_t special[] = {0, UINT64_MAX, 1, UINT64_MAX - 1, (uint64_t)1 << 32, 255};
    return i < 6 ? special[i] : vt_mix((uint64_t)i);
}

/* Keys of one to a thousand bytes, some of them prefixes of others. */
static vsi_bytes note_key_of(int i) {
    static uint8_t key[VS_KV_KEY_BYTES_MAX];
    static const size_t bytes[NOTES] = {1, 2, 3, 60, 1000, VS_KV_KEY_BYTES_MAX};
    memset(key, 'k', sizeof key);
    key[1] = 0;
    return (vsi_bytes){key, bytes[i]};
}

/* ---- the model's digest, by docs/FORMAT.md section 7 ---------------------------------------- */

typedef struct term {
    uint8_t data[32 + 64 + VS_KV_KEY_BYTES_MAX];
    size_t bytes;
} term;

static void term_number(term *t, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        t->data[t->bytes++] = (uint8_t)(value >> 8 * i);
}

static void term_bytes(term *t, const void *data, size_t bytes) {
    memcpy(t->data + t->bytes, data, bytes);
    t->bytes += bytes;
}

static void term_hash(term *t, content c) {
    uint8_t buf[CONTENT_MAX];
    vsi_hash128 hash = vsi_hash128_of(bytes_of(c, buf), c.bytes, 0);
    term_number(t, hash.lo, 8);
    term_number(t, hash.hi, 8);
}

/* sum += the term, modulo 2^128. */
static void add_term(vsi_hash128 *sum, const term *t) {
    vsi_hash128 hash = vsi_hash128_of(t->data, t->bytes, 0);
    sum->lo += hash.lo;
    sum->hi += hash.hi + (sum->lo < hash.lo);
}

static void add_record_hash(vsi_hash128 *sum, uint32_t kind, uint32_t coll, uint64_t key,
                            vsi_hash128 hash) {
    term t = {.bytes = 0};
    term_number(&t, kind, 4);
    term_number(&t, coll, 4);
    term_number(&t, hash.lo, 8);
    term_number(&t, hash.hi, 8);
    term_number(&t, 0x100, 2); /* default namespace, a number */
    for (int i = 56; i >= 0; i -= 8)
        term_number(&t, key >> i & 0xff, 1);
    add_term(sum, &t);
}

static void add_record_part(vsi_hash128 *sum, uint32_t kind, uint32_t coll, uint64_t key,
                            content c) {
    uint8_t buf[CONTENT_MAX];
    add_record_hash(sum, kind, coll, key, vsi_hash128_of(bytes_of(c, buf), c.bytes, 0));
}

/* The value with number 0 of a payload. */
static term head_of(const payload *p) {
    static uint8_t buf[PIECE];
    term head = {.bytes = 0};
    vsi_hash128 sum = {0, 0};
    for (uint32_t i = 0; i < piece_count(p); i++) {
        uint32_t bytes = piece_bytes(p, i);
        vsi_hash128 hash = vsi_hash128_of(bytes_of_piece(p->seed[i], bytes, buf), bytes, 0);
        term t = {.bytes = 0};
        term_number(&t, i, 8);
        term_number(&t, hash.lo, 8);
        term_number(&t, hash.hi, 8);
        add_term(&sum, &t);
    }
    term_number(&head, p->bytes, 8);
    term_number(&head, sum.lo, 8);
    term_number(&head, sum.hi, 8);
    return head;
}

static const char *alias_of(int i) {
    static const char *const names[ALIASES] = {"a", "collection-", "collection-00"};
    return names[i];
}

static void add_name(vsi_hash128 *sum, uint32_t coll, bool is_alias, const char *name) {
    term t = {.bytes = 0};
    term_number(&t, 6, 4);
    term_number(&t, coll, 4);
    term_number(&t, is_alias, 4);
    term_bytes(&t, name, strlen(name));
    add_term(sum, &t);
}

static void add_limits(vsi_hash128 *sum, const model_coll *c) {
    term t = {.bytes = 0};
    term_number(&t, 7, 4);
    term_number(&t, c->id, 4);
    term_number(&t, c->max_records, 8);
    term_number(&t, c->max_bytes, 8);
    if (c->max_records || c->max_bytes)
        add_term(sum, &t);
}

static void add_coll(vsi_hash128 *sum, const model_coll *c) {
    term t = {.bytes = 0}, field = {.bytes = 0};
    term_number(&t, 1, 4);
    term_number(&t, c->id, 4);
    term_number(&t, (uint64_t)c->time_us, 8);
    add_term(sum, &t);
    add_name(sum, c->id, false, c->name);
    add_limits(sum, c);
    term_number(&field, 5, 4);
    term_number(&field, c->id, 4);
    term_number(&field, 0, 4);
    term_number(&field, c->dim, 4);
    term_number(&field, (uint64_t)c->type, 4);
    term_number(&field, (uint64_t)c->metric, 4);
    term_number(&field, 0, 4);
    term_number(&field, 6, 4);
    term_bytes(&field, "vector", 6);
    term_bytes(&field, c->index, strlen(c->index));
    add_term(sum, &field);
    for (int i = 0; i < KEYS; i++) {
        const record *r = &c->record[i];
        if (r->vector.is_there)
            add_record_part(sum, 2, c->id, key_of(i), r->vector);
        if (r->vector.is_there && r->metadata.bytes)
            add_record_part(sum, 3, c->id, key_of(i), r->metadata);
        if (r->payload.bytes) {
            term head = head_of(&r->payload);
            add_record_hash(sum, 8, c->id, key_of(i), vsi_hash128_of(head.data, head.bytes, 0));
        }
    }
}

static vsi_hash128 model_digest(const model *m) {
    vsi_hash128 sum = {0, 0};
    for (int c = 0; c <= COLLS; c++) {
        uint32_t id = c < COLLS ? m->coll[c].id : 0;
        if (id)
            add_coll(&sum, &m->coll[c]);
        for (int i = 0; i < NOTES; i++) {
            term t = {.bytes = 0};
            if (!m->note[c][i].is_there)
                continue;
            term_number(&t, 4, 4);
            term_number(&t, id, 4);
            term_hash(&t, m->note[c][i]);
            term_bytes(&t, note_key_of(i).data, note_key_of(i).bytes);
            add_term(&sum, &t);
        }
    }
    for (int i = 0; i < ALIASES; i++)
        if (m->alias[i])
            add_name(&sum, m->alias[i], true, alias_of(i));
    return sum;
}

/* ---- fixture -------------------------------------------------------------------------------- */

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_cow cow;
    vsi_descs descs;
    vsi_state state;
    vsi_err err;
    model m;
    vt_rng rng;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    vsi_cow_init(&f->cow, &f->mem);
    VT_CHECK(vsi_descs_init(&f->descs, &f->mem, NULL));
    f->state = vsi_state_empty(&f->cow, &f->descs);
    f->rng.state = vt_seed();
}

static void end(fixture *f) {
    vsi_cow_free_all(&f->cow);
    vsi_descs_free(&f->descs);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(vsi_atomic_load(&f->mem.used_bytes), 0);
}

/* Blocks of all versions; arrays of rows are not among them, and stay when a scope is undone. */
static size_t count_blocks(const fixture *f) {
    size_t n = 0;
    for (const vsi_block *block = f->cow.newest; block; block = block->older)
        n++;
    return n;
}

/* Ends a transaction without older versions, as the writer does. */
static void commit(fixture *f, vsi_cow_mark mark) {
    VT_EQ(vsi_state_settle(&f->err, &f->state), VS_OK);
    vsi_cow_keep(&f->cow, mark);
    vsi_cow_free_dead(&f->cow, vsi_cow_take_dead(&f->cow));
}

static void apply(fixture *f, const vsi_op *op) {
    if (vsi_apply(&f->err, &f->state, op, NULL) != VS_OK)
        vt_fail(__FILE__, __LINE__, "kind %d: %s", op->kind, f->err.text);
}

/* ---- operations, on the model and as vsi_op ------------------------------------------------- */

/* An operation with the memory it points to. */
typedef struct operation {
    vsi_op op;
    uint8_t vector[CONTENT_MAX], metadata[CONTENT_MAX], value[CONTENT_MAX], piece[PIECE];
} operation;

static vsi_op create_op(const model_coll *c) {
    return (vsi_op){.kind = VSI_OP_CREATE,
                    .field_count = 1,
                    .field[0].name = {(const uint8_t *)"vector", 6},
                    .coll = c->id,
                    .field[0].dim = c->dim,
                    .field[0].type = (uint32_t)c->type,
                    .field[0].metric = (uint32_t)c->metric,
                    .time_us = c->time_us,
                    .name = {(const uint8_t *)c->name, strlen(c->name)},
                    .field[0].index = {(const uint8_t *)c->index, strlen(c->index)}};
}

/* Puts record number i of a collection as new says. */
static void put_op(model_coll *c, int i, record new, operation *out) {
    record *r = &c->record[i];
    new.vector.bytes = c->dim *vsi_type_bytes(c->type);
    new.payload = r->payload;
    out->op = (vsi_op){.kind = VSI_OP_PUT,
                       .coll = c->id,
                       .slot = new.slot,
                       .old_slot = r->vector.is_there ? r->slot : VSI_SLOT_NONE,
                       .key.number = key_of(i),
                       .vector[0] = {bytes_of(new.vector, out->vector), new.vector.bytes},
                       .metadata = {bytes_of(new.metadata, out->metadata), new.metadata.bytes}};
    *r = new;
}

static void delete_op(model_coll *c, int i, operation *out) {
    out->op = (vsi_op){
        .kind = VSI_OP_DELETE, .coll = c->id, .slot = c->record[i].slot, .key.number = key_of(i)};
    memset(&c->record[i], 0, sizeof c->record[i]);
}

/* Gives a record metadata anew, or none. */
static void metadata_op(model_coll *c, int i, content new, operation *out) {
    record *r = &c->record[i];
    out->op = (vsi_op){.kind = VSI_OP_METADATA,
                       .coll = c->id,
                       .slot = r->slot,
                       .key.number = key_of(i),
                       .metadata = {bytes_of(new, out->metadata), new.bytes}};
    r->metadata = new;
}

/* Gives a record's payload a piece, or with no bytes ends it in front of that. */
static void payload_op(model_coll *c, int i, uint32_t piece, uint64_t seed, uint32_t bytes,
                       operation *out) {
    payload *p = &c->record[i].payload;
    uint32_t end = piece * PIECE + bytes;
    out->op = (vsi_op){.kind = VSI_OP_PAYLOAD,
                       .coll = c->id,
                       .slot = c->record[i].slot,
                       .key.number = key_of(i),
                       .piece = piece,
                       .payload = {bytes_of_piece(seed, bytes, out->piece), bytes}};
    if (bytes < PIECE || end > p->bytes)
        p->bytes = end;
    if (bytes)
        p->seed[piece] = seed;
}

static void note_op(model *m, int owner, int i, content new, operation *out) {
    out->op = (vsi_op){.kind = VSI_OP_NOTE,
                       .coll = owner < COLLS ? m->coll[owner].id : 0,
                       .note_key = note_key_of(i),
                       .note_value = {bytes_of(new, out->value), new.is_there ? new.bytes : 0},
                       .note_has_value = new.is_there};
    m->note[owner][i] = new;
}

static void limits_op(model_coll *c, uint64_t max_records, uint64_t max_bytes, operation *out) {
    out->op = (vsi_op){
        .kind = VSI_OP_LIMITS, .coll = c->id, .max_records = max_records, .max_bytes = max_bytes};
    c->max_records = max_records;
    c->max_bytes = max_bytes;
}

/* Leads to a collection, or with id 0 nowhere. */
static void alias_op(model *m, int i, uint32_t id, operation *out) {
    out->op = (vsi_op){.kind = VSI_OP_ALIAS,
                       .coll = id,
                       .name = {(const uint8_t *)alias_of(i), strlen(alias_of(i))}};
    m->alias[i] = id;
}

/* A collection goes, its records, notes and aliases with it. */
static void drop_op(model *m, int c, operation *out) {
    const uint32_t id = m->coll[c].id;
    out->op = (vsi_op){.kind = VSI_OP_DROP, .coll = id};
    for (int i = 0; i < ALIASES; i++)
        m->alias[i] = m->alias[i] == id ? 0 : m->alias[i];
    memset(&m->coll[c], 0, sizeof m->coll[c]);
    memset(m->note[c], 0, sizeof m->note[c]);
    m->drops++;
}

static model_coll make_coll(int i) {
    static const int type[] = {VS_F32, VS_U8}, metric[] = {VS_L2, VS_IP, VS_COSINE};
    model_coll c = {.id = 1 + 2 * (uint32_t)i, /* ids may leave gaps */
                    .dim = 1 + 5 * (uint32_t)i,
                    .type = type[i % 2],
                    .metric = metric[i % 3],
                    .time_us = -7 + ((int64_t)i << 40)};
    snprintf(c.name, sizeof c.name, "collection-%d", i);
    snprintf(c.index, sizeof c.index, "%s", i % 2 ? "flat" : "");
    return c;
}

/* The collection with this id, which is there. */
static vsi_coll coll_of(const vsi_state *state, uint32_t id) {
    vsi_err err = {0};
    vsi_coll coll;
    memset(&coll, 0, sizeof coll);
    VT_EQ(vsi_state_coll(&err, state, id, &coll), VS_OK);
    return coll;
}

static void create(fixture *f, int i) {
    f->m.coll[i] = make_coll(i);
    vsi_op op = create_op(&f->m.coll[i]);
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    apply(f, &op);
    commit(f, mark);
}

static record make_record(fixture *f, model_coll *c) {
    record r = {.vector = {true, vt_random(&f->rng), 0},
                .metadata = {true, vt_random(&f->rng), 0},
                .slot = c->slot_end++};
    if (vt_below(&f->rng, 3))
        r.metadata.bytes = (uint32_t)vt_below(&f->rng, vt_below(&f->rng, 8) ? 60 : CONTENT_MAX);
    return r;
}

static content make_note(fixture *f) {
    bool is_large = vt_below(&f->rng, 6) == 0;
    return (content){true, vt_random(&f->rng),
                     (uint32_t)vt_below(&f->rng, is_large ? CONTENT_MAX : 30)};
}

/* One of the pieces that are there or, if all are whole, the one behind them. */
static void random_payload_op(fixture *f, model_coll *c, int i, operation *out) {
    static const uint32_t sizes[] = {PIECE, PIECE, PIECE, PIECE - 1, 1, 1000, 5000};
    const payload *p = &c->record[i].payload;
    uint32_t whole = p->bytes / PIECE, most = whole < PIECES - 1 ? whole : PIECES - 1;
    uint32_t piece = (uint32_t)vt_below(&f->rng, most + 1);
    bool goes = piece < piece_count(p) && vt_below(&f->rng, 4) == 0;
    uint32_t bytes = goes ? 0 : sizes[vt_below(&f->rng, sizeof sizes / sizeof sizes[0])];
    payload_op(c, i, piece, vt_random(&f->rng), bytes, out);
}

/* Another alias or none, limits, or the end of a collection. */
static void random_coll_op(fixture *f, int c, operation *out) {
    int i = (int)vt_below(&f->rng, ALIASES);
    uint64_t what = vt_below(&f->rng, 5);
    model_coll *coll = &f->m.coll[c];
    if (what == 0)
        drop_op(&f->m, c, out);
    else if (what == 1)
        limits_op(coll, vt_below(&f->rng, 2) * 9000, vt_below(&f->rng, 3) << 40, out);
    else
        alias_op(&f->m, i, f->m.alias[i] && what == 2 ? 0 : coll->id, out);
}

/* Some operation that fits, in the model already. */
static void random_op(fixture *f, operation *out) {
    int c = (int)vt_below(&f->rng, COLLS), i = (int)vt_below(&f->rng, KEYS);
    uint64_t what = vt_below(&f->rng, 12);
    model_coll *coll = &f->m.coll[c];
    if (!coll->id && vt_below(&f->rng, 20) == 0) {
        *coll = make_coll(c);
        coll->id = f->m.last_id += 1 + (uint32_t)vt_below(&f->rng, 2);
        out->op = create_op(coll);
    } else if (coll->id && vt_below(&f->rng, 12) == 0) {
        random_coll_op(f, c, out);
    } else if (coll->id && what < 5) {
        put_op(coll, i, make_record(f, coll), out);
    } else if (coll->id && what < 7 && coll->record[i].vector.is_there) {
        delete_op(coll, i, out);
    } else if (coll->id && what < 8 && coll->record[i].vector.is_there) {
        metadata_op(coll, i, make_record(f, coll).metadata, out);
        coll->slot_end--; /* made for the record that nobody puts */
    } else if (coll->id && what < 10 && coll->record[i % WITH_PAYLOADS].vector.is_there) {
        random_payload_op(f, coll, i % WITH_PAYLOADS, out);
    } else {
        content gone = {false, 0, 0};
        note_op(&f->m, coll->id ? c : COLLS, i % NOTES, what % 2 ? make_note(f) : gone, out);
    }
}

static void random_step(fixture *f) {
    static operation o;
    random_op(f, &o);
    apply(f, &o.op);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static bool is_same_hash(vsi_hash128 a, vsi_hash128 b) {
    return a.lo == b.lo && a.hi == b.hi;
}

static void fail_on_problem(void *ctx, const char *problem) {
    (void)ctx;
    vt_fail(__FILE__, __LINE__, "vsi_audit: %s", problem);
}

static void audit(fixture *f, const vsi_state *state) {
    VT_EQ(vsi_audit(&f->err, state, &f->mem, NULL, fail_on_problem, NULL), VS_OK);
}

static bool is_live(const vsi_coll *coll, uint32_t slot) {
    vsi_err err = {0};
    bool found = false;
    VT_EQ(vsi_live_get(&err, &coll->live, VSI_LIVE_RECORDS, slot, &found), VS_OK);
    return found;
}

static vsi_cell cell_of(const vsi_coll *coll, uint32_t slot) {
    vsi_err err = {0};
    vsi_cell cell = {0};
    VT_EQ(vsi_coll_cell(&err, coll, slot, &cell), VS_OK);
    return cell;
}

static const uint8_t *row_of(const vsi_coll *coll, uint32_t slot) {
    vsi_err err = {0};
    const uint8_t *row = NULL;
    VT_EQ(vsi_coll_row(&err, coll, 0, slot, &row), VS_OK);
    return row;
}

static void check_row(const vsi_coll *coll, const record *r) {
    uint8_t expected[CONTENT_MAX], row[CONTENT_MAX];
    vsi_cell cell = cell_of(coll, r->slot);
    bytes_of(r->vector, expected);
    vsi_copy_le(row, row_of(coll, r->slot), coll->desc->field[0].dim,
                coll->desc->field[0].element_bytes);
    VT_EQ(coll->desc->field[0].rows.row_bytes, r->vector.bytes);
    VT_CHECK(!memcmp(row, expected, r->vector.bytes));
    VT_CHECK(is_same_hash(cell.vector_hash, vsi_hash128_of(expected, r->vector.bytes, 0)));
}

/* What the record's payload is, piece by piece; how many entries it has. */
static uint64_t check_payload(fixture *f, const vsi_coll *coll, int i, const payload *p) {
    static uint8_t expected[PIECE];
    const vs_key key = VT_KEY(key_of(i));
    vsi_payload found;
    vsi_buf buf = {.mem = &f->mem};
    VT_EQ(vsi_payload_find(&f->err, &coll->payloads, key, &found), VS_OK);
    VT_EQ(found.bytes, p->bytes);
    VT_EQ(vsi_payload_pieces(&found), piece_count(p));
    for (uint32_t k = 0; k < piece_count(p); k++) {
        vsi_value value;
        uint32_t bytes = piece_bytes(p, k);
        buf.bytes = 0;
        VT_EQ(vsi_payload_find_piece(&f->err, &coll->payloads, key, &found, k, &value), VS_OK);
        VT_EQ(vsi_value_read(&f->err, &coll->payloads, &value, &buf), VS_OK);
        VT_EQ(buf.bytes, bytes);
        VT_CHECK(!memcmp(buf.data, bytes_of_piece(p->seed[k], bytes, expected), bytes));
    }
    vsi_buf_free(&buf);
    return p->bytes ? 1 + piece_count(p) : 0;
}

static void check_record(fixture *f, const vsi_coll *coll, int i, const record *r) {
    uint32_t slot = 0;
    uint8_t expected[CONTENT_MAX];
    VT_EQ(vsi_coll_find(&f->err, coll, VT_KEY(key_of(i)), &slot),
          r->vector.is_there ? VS_OK : VS_ERR_NOT_FOUND);
    if (!r->vector.is_there)
        return;
    VT_EQ(slot, r->slot);
    VT_CHECK(cell_of(coll, slot).number == key_of(i));
    VT_CHECK(is_live(coll, slot));
    check_row(coll, r);
    vsi_buf buf = {.mem = &f->mem};
    VT_CHECK(vsi_buf_append(&buf, "before", 6));
    VT_EQ(vsi_coll_read_metadata(&f->err, coll, slot, &buf), VS_OK);
    VT_EQ(buf.bytes, 6 + r->metadata.bytes);
    VT_CHECK(!memcmp(buf.data + 6, bytes_of(r->metadata, expected), r->metadata.bytes));
    vsi_buf_free(&buf);
}

/* All records in ascending key order. */
static void check_order(fixture *f, const vsi_coll *coll, uint64_t count) {
    vsi_btree_cursor cursor;
    uint64_t last = 0, found = 0;
    vs_key entry = {0};
    uint32_t slot = 0;
    VT_EQ(vsi_btree_seek(&f->err, &coll->keys, (vsi_bytes){(const uint8_t *)"", 0}, &cursor),
          VS_OK);
    while (!vsi_btree_at_end(&cursor)) {
        VT_EQ(vsi_coll_entry(&f->err, &cursor, &entry, &slot), VS_OK);
        uint64_t key = entry.number;
        VT_CHECK(found == 0 || key > last);
        VT_CHECK(cell_of(coll, slot).number == key);
        last = key;
        found++;
        VT_EQ(vsi_btree_next(&f->err, &cursor), VS_OK);
    }
    VT_EQ(found, count);
}

static void check_coll(fixture *f, const vsi_state *state, const model_coll *c) {
    const vsi_coll coll = coll_of(state, c->id);
    vsi_coll named;
    uint64_t count = 0, bytes = 0, entries = 0;
    VT_EQ(vsi_state_coll_named(&f->err, state,
                               (vsi_bytes){(const uint8_t *)c->name, strlen(c->name)}, &named),
          VS_OK);
    VT_CHECK(named.desc == coll.desc && named.keys.root.at == coll.keys.root.at);
    VT_CHECK(coll.desc->id == c->id && coll.desc->field[0].dim == c->dim &&
             coll.desc->field[0].type == c->type);
    VT_CHECK(coll.desc->field[0].metric == c->metric && coll.desc->created_us == c->time_us);
    VT_STR(coll.desc->name, c->name);
    VT_STR(coll.desc->field[0].index, c->index);
    for (int i = 0; i < KEYS; i++) {
        const record *r = &c->record[i];
        check_record(f, &coll, i, r);
        entries += check_payload(f, &coll, i, &r->payload);
        count += r->vector.is_there;
        if (r->vector.is_there)
            bytes += 8 + r->vector.bytes + r->metadata.bytes + r->payload.bytes;
    }
    VT_EQ(coll.count, count);
    VT_EQ(coll.bytes, bytes);
    VT_EQ(coll.payloads.count, entries);
    check_order(f, &coll, count);
}

static void check_alias(fixture *f, const vsi_state *state, int i, uint32_t id) {
    uint32_t found = 0;
    bool is_alias = false;
    vsi_bytes name = {(const uint8_t *)alias_of(i), strlen(alias_of(i))};
    VT_EQ(vsi_state_name(&f->err, state, name, &found, &is_alias), id ? VS_OK : VS_ERR_NOT_FOUND);
    VT_CHECK(!id || (is_alias && found == id));
}

/* A name that no collection has any more leads nowhere. */
static void check_no_name(fixture *f, const vsi_state *state, int c) {
    uint32_t found = 0;
    bool is_alias = false;
    char name[32];
    snprintf(name, sizeof name, "collection-%d", c);
    VT_EQ(vsi_state_name(&f->err, state, (vsi_bytes){(const uint8_t *)name, strlen(name)}, &found,
                         &is_alias),
          VS_ERR_NOT_FOUND);
}

static void check_note(fixture *f, const vsi_state *state, uint32_t coll, int i, content note) {
    vsi_value value;
    uint8_t expected[CONTENT_MAX];
    VT_EQ(vsi_note_find(&f->err, state, coll, note_key_of(i), &value),
          note.is_there ? VS_OK : VS_ERR_NOT_FOUND);
    if (!note.is_there)
        return;
    vsi_buf buf = {.mem = &f->mem};
    VT_EQ(value.bytes, note.bytes);
    VT_EQ(vsi_value_read(&f->err, &state->notes, &value, &buf), VS_OK);
    VT_EQ(buf.bytes, note.bytes);
    VT_CHECK(note.bytes == 0 || !memcmp(buf.data, bytes_of(note, expected), note.bytes));
    vsi_buf_free(&buf);
}

static size_t count_colls(fixture *f, const vsi_state *state) {
    size_t n = 0;
    vsi_coll coll;
    vs_status st = vsi_state_coll_from(&f->err, state, 0, &coll);
    for (; st == VS_OK; n++)
        st = vsi_state_coll_from(&f->err, state, coll.desc->id + 1, &coll);
    VT_EQ(st, VS_ERR_NOT_FOUND);
    return n;
}

static void check_equal(fixture *f, const vsi_state *state, const model *m) {
    size_t count = 0, notes = 0;
    for (int c = 0; c <= COLLS; c++) {
        bool is_there = c == COLLS || m->coll[c].id;
        if (c < COLLS && is_there) {
            check_coll(f, state, &m->coll[c]);
            count++;
        } else if (c < COLLS) {
            check_no_name(f, state, c);
        }
        for (int i = 0; is_there && i < NOTES; i++) {
            check_note(f, state, c == COLLS ? 0 : m->coll[c].id, i, m->note[c][i]);
            notes += m->note[c][i].is_there;
        }
    }
    VT_EQ(count_colls(f, state), count);
    VT_EQ(state->notes.count, notes); /* of collections that went there are none */
    for (int i = 0; i < ALIASES; i++)
        check_alias(f, state, i, m->alias[i]);
    VT_CHECK(is_same_hash(state->digest, model_digest(m)));
    audit(f, state);
}

/* What the catalog says of the notes and of ids. */
static void check_base(fixture *f, const model *m) {
    static const uint8_t key[1] = {3};
    vsi_node_item item;
    vs_status st = vsi_btree_get(&f->err, &f->state.catalog, (vsi_bytes){key, 1}, &item);
    if (st == VS_ERR_NOT_FOUND) { /* nothing was ever changed */
        VT_CHECK(f->state.catalog.count == 0 && f->state.notes.count == 0);
        return;
    }
    VT_EQ(st, VS_OK);
    VT_EQ(vsi_get_u64(item.value.data), f->state.notes.count);
    VT_EQ(vsi_get_u32(item.value.data + 8), f->state.last_coll);
    VT_EQ(vsi_ref_decode(item.refs).at, f->state.notes.root.at);
    uint64_t entries = 1;
    for (int i = 0; i < ALIASES; i++)
        entries += m->alias[i] != 0;
    for (int c = 0; c < COLLS; c++) /* itself, its field, its own name, the name */
        entries += m->coll[c].id ? 4 : 0;
    VT_EQ(f->state.catalog.count, entries);
}

/* Readers of a settled state find all collections without what the writer keeps beside it. */
static void check_as_reader(fixture *f, const model *m) {
    VT_CHECK(f->state.is_settled);
    check_base(f, m);
    vsi_state reader = f->state;
    memset(&reader.work, 0, sizeof reader.work);
    check_equal(f, &reader, m);
}

/* ---- every operation ------------------------------------------------------------------------ */

VT_TEST(an_empty_state_has_nothing_and_digest_zero) {
    fixture f;
    begin(&f);
    check_equal(&f, &f.state, &f.m);
    VT_CHECK(f.state.digest.lo == 0 && f.state.digest.hi == 0);
    end(&f);
}

VT_TEST(random_operations_agree_with_a_model_and_the_format_s_digest) {
    fixture f;
    begin(&f);
    for (int i = 0; i < 1200; i++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (uint64_t n = 1 + vt_below(&f.rng, 4); n > 0; n--)
            random_step(&f);
        commit(&f, mark);
        VT_CHECK(is_same_hash(f.state.digest, model_digest(&f.m)));
        if (i < 60 || i % 40 == 0)
            check_as_reader(&f, &f.m);
    }
    VT_CHECK(f.m.drops > 5);
    check_equal(&f, &f.state, &f.m);
    end(&f);
}

VT_TEST(vectors_are_kept_in_the_machine_s_order) {
    fixture f;
    begin(&f);
    create(&f, 0); /* f32, one element */
    static const uint8_t one_and_a_half[] = {0x00, 0x00, 0xc0, 0x3f};
    vsi_op op = {.kind = VSI_OP_PUT,
                 .coll = f.m.coll[0].id,
                 .old_slot = VSI_SLOT_NONE,
                 .key.number = 5,
                 .vector[0] = {one_and_a_half, 4}};
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    apply(&f, &op);
    commit(&f, mark);
    float found;
    const vsi_coll coll = coll_of(&f.state, op.coll);
    memcpy(&found, row_of(&coll, 0), sizeof found);
    VT_CHECK(found == 1.5f);
    end(&f);
}

VT_TEST(slots_that_are_given_up_are_told_and_only_those) {
    fixture f;
    operation o;
    begin(&f);
    create(&f, 1);
    model_coll *c = &f.m.coll[1];
    vsi_buf freed = {.mem = &f.mem};
    record r = {.vector = {true, 1, 0}, .slot = 0};
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    put_op(c, 3, r, &o);
    VT_EQ(vsi_apply(&f.err, &f.state, &o.op, &freed), VS_OK);
    VT_EQ(freed.bytes, 0);
    r.slot = 1;
    put_op(c, 3, r, &o);
    VT_EQ(vsi_apply(&f.err, &f.state, &o.op, &freed), VS_OK);
    delete_op(c, 3, &o);
    VT_EQ(vsi_apply(&f.err, &f.state, &o.op, &freed), VS_OK);
    vsi_freed_slot slot[2];
    VT_EQ(freed.bytes, sizeof slot);
    memcpy(slot, freed.data, sizeof slot);
    VT_CHECK(slot[0].coll == c->id && slot[0].slot == 0);
    VT_CHECK(slot[1].coll == c->id && slot[1].slot == 1);
    commit(&f, mark);
    vsi_buf_free(&freed);
    check_equal(&f, &f.state, &f.m);
    end(&f);
}

VT_TEST(a_slot_that_is_free_takes_a_new_record) {
    fixture f;
    operation o;
    begin(&f);
    create(&f, 1);
    model_coll *c = &f.m.coll[1];
    for (uint32_t i = 0; i < 200; i++) { /* from slot 0 to 1 and back */
        record r = {.vector = {true, i, 0}, .slot = i % 2};
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        put_op(c, 2, r, &o);
        apply(&f, &o.op);
        commit(&f, mark);
    }
    VT_EQ(coll_of(&f.state, c->id).slot_end, 2);
    check_equal(&f, &f.state, &f.m);
    end(&f);
}

VT_TEST(each_operation_counts_as_a_change) {
    fixture f;
    begin(&f);
    for (int i = 0; i < 50; i++) {
        uint64_t before = f.state.changes;
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        random_step(&f);
        commit(&f, mark);
        VT_CHECK(f.state.changes == before + 1);
    }
    end(&f);
}

VT_TEST(a_digest_operation_accepts_the_state_s_digest_and_no_other) {
    fixture f;
    begin(&f);
    create(&f, 0);
    vsi_op op = {.kind = VSI_OP_DIGEST, .digest = f.state.digest};
    VT_EQ(vsi_apply(&f.err, &f.state, &op, NULL), VS_OK);
    for (int bit = 0; bit < 128; bit++) {
        vsi_op wrong = op;
        *(bit < 64 ? &wrong.digest.lo : &wrong.digest.hi) ^= (uint64_t)1 << bit % 64;
        VT_EQ(vsi_apply(&f.err, &f.state, &wrong, NULL), VS_ERR_CORRUPT);
        VT_CONTAINS(f.err.text, "digest");
    }
    end(&f);
}

/* ---- operations that do not fit ------------------------------------------------------------- */

/* Applied in a scope of its own and undone. */
static void check_misfit(fixture *f, const vsi_op *op, const char *reason) {
    const vsi_state before = f->state;
    size_t blocks = count_blocks(f);
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    memset(&f->err, 0, sizeof f->err);
    VT_EQ(vsi_apply(&f->err, &f->state, op, NULL), VS_ERR_CORRUPT);
    VT_EQ(f->err.code, VS_ERR_CORRUPT);
    VT_CONTAINS(f->err.text, reason);
    vsi_cow_undo(&f->cow, mark);
    f->state = before;
    VT_EQ(count_blocks(f), blocks);
}

VT_TEST(collections_that_do_not_fit_are_refused) {
    fixture f;
    begin(&f);
    create(&f, 1);
    vsi_op good = create_op(&(model_coll){
        .id = 9, .dim = 2, .type = VS_U8, .metric = VS_IP, .name = "new", .index = "flat"});
    uint8_t long_name[VS_NAME_BYTES_MAX + 1], long_index[VS_INDEX_BYTES_MAX + 1];
    memset(long_name, 'n', sizeof long_name);
    memset(long_index, 'i', sizeof long_index);
    vsi_op op = good;
    for (op.coll = 0; op.coll <= f.m.coll[1].id; op.coll++)
        check_misfit(&f, &op, "ascend");
    op.coll = VSI_COLL_ID_MAX + 1;
    check_misfit(&f, &op, "no collection's");
    static const uint32_t dim[] = {0, VS_DIM_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        op = good;
        op.field[0].dim = dim[i];
        check_misfit(&f, &op, "dimension");
    }
    static const uint32_t code[] = {0, VS_BIT + 1, 255, UINT32_MAX, VS_JACCARD};
    for (size_t i = 0; i < 5; i++) {
        op = good;
        op.field[0].type = code[i]; /* the last one: no type for its metric */
        check_misfit(&f, &op, "type");
        op = good;
        op.field[0].metric = code[i];
        check_misfit(&f, &op, "metric");
    }
    op = good;
    op.name.bytes = 0;
    check_misfit(&f, &op, "name");
    op.name = (vsi_bytes){long_name, sizeof long_name};
    check_misfit(&f, &op, "name");
    op.name = (vsi_bytes){(const uint8_t *)"a\0b", 3};
    check_misfit(&f, &op, "name");
    op.name = (vsi_bytes){(const uint8_t *)f.m.coll[1].name, strlen(f.m.coll[1].name)};
    check_misfit(&f, &op, "exists");
    for (size_t n = 1; n < op.name.bytes; n++) { /* a prefix of a name that exists is free */
        vsi_op shorter = op;
        shorter.name.bytes = n;
        const vsi_state before = f.state;
        vsi_cow_mark scope = vsi_cow_open(&f.cow);
        apply(&f, &shorter);
        vsi_cow_undo(&f.cow, scope);
        f.state = before;
    }
    op = good;
    op.field[0].index = (vsi_bytes){long_index, sizeof long_index};
    check_misfit(&f, &op, "index");
    op.field[0].index = (vsi_bytes){(const uint8_t *)"\0", 1};
    check_misfit(&f, &op, "index");
    check_equal(&f, &f.state, &f.m);
    good.name = (vsi_bytes){long_name, VS_NAME_BYTES_MAX}; /* the largest that fits does */
    good.field[0].index = (vsi_bytes){long_index, VS_INDEX_BYTES_MAX};
    good.field[0].dim = VS_DIM_MAX;
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    apply(&f, &good);
    commit(&f, mark);
    VT_EQ(strlen(coll_of(&f.state, good.coll).desc->name), VS_NAME_BYTES_MAX);
    audit(&f, &f.state);
    end(&f);
}

VT_TEST(records_that_do_not_fit_are_refused) {
    fixture f;
    operation there, new, gone;
    begin(&f);
    create(&f, 1);
    model_coll *c = &f.m.coll[1], other;
    record r = {.vector = {true, 7, 0}, .slot = 0};
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    put_op(c, 0, r, &there);
    apply(&f, &there.op);
    commit(&f, mark);
    other = *c;
    r.slot = 1;
    put_op(&other, 1, r, &new);
    other = *c;
    delete_op(&other, 0, &gone);

    vsi_op op = new.op;
    op.coll = 2;
    check_misfit(&f, &op, "no such collection");
    op = new.op;
    op.vector[0].bytes--;
    check_misfit(&f, &op, "size");
    op.vector[0].bytes += 2;
    check_misfit(&f, &op, "size");
    op = new.op;
    uint8_t *large = calloc(1, VS_METADATA_BYTES_MAX + 1);
    op.metadata = (vsi_bytes){large, VS_METADATA_BYTES_MAX + 1};
    check_misfit(&f, &op, "metadata");
    free(large);
    op = new.op;
    op.slot = 0; /* the other record's */
    check_misfit(&f, &op, "slot");
    op.slot = 2; /* leaves a gap */
    check_misfit(&f, &op, "slot");
    op.slot = VSI_SLOT_NONE;
    check_misfit(&f, &op, "slot");
    op = new.op;
    op.old_slot = 0; /* a new key comes from nowhere */
    check_misfit(&f, &op, "not where");
    op = new.op;
    op.key = there.op.key; /* and this key is in slot 0 */
    check_misfit(&f, &op, "not where");
    op.old_slot = 5;
    check_misfit(&f, &op, "not where");
    op = gone.op;
    op.coll = 2;
    check_misfit(&f, &op, "no such collection");
    op = gone.op;
    op.key.number = 77;
    check_misfit(&f, &op, "not where");
    op = gone.op;
    op.slot = 1;
    check_misfit(&f, &op, "not where");
    op.slot = VSI_SLOT_NONE;
    check_misfit(&f, &op, "names no slot");
    op.key.number = 77; /* not there, so found in no slot: still nothing to delete */
    check_misfit(&f, &op, "names no slot");
    static uint8_t much[VS_METADATA_BYTES_MAX + 1];
    op = (vsi_op){.kind = VSI_OP_METADATA, .coll = gone.op.coll, .slot = 0, .key = gone.op.key};
    op.metadata = (vsi_bytes){much, sizeof much};
    check_misfit(&f, &op, "too large");
    op.metadata.bytes = 2;
    op.slot = 1;
    check_misfit(&f, &op, "not where");
    op.slot = VSI_SLOT_NONE;
    check_misfit(&f, &op, "names no slot");
    op.key.number = 77;
    check_misfit(&f, &op, "names no slot");
    op.coll = 2;
    check_misfit(&f, &op, "no such collection");
    op = (vsi_op){.kind = VSI_OP_SAVEPOINT, .savepoint = 1}; /* for who keeps savepoints */
    check_misfit(&f, &op, "changes no content");
    check_equal(&f, &f.state, &f.m);
    end(&f);
}

/* A collection with one record, whose payload has so many bytes. */
static operation begin_with_payload(fixture *f, uint32_t bytes) {
    static operation o;
    begin(f);
    create(f, 1);
    model_coll *c = &f->m.coll[1];
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    put_op(c, 0, (record){.vector = {true, 7, 0}, .slot = 0}, &o);
    apply(f, &o.op);
    for (uint32_t at = 0; at < bytes; at += PIECE) {
        payload_op(c, 0, at / PIECE, at + 1, bytes - at < PIECE ? bytes - at : PIECE, &o);
        apply(f, &o.op);
    }
    commit(f, mark);
    o.op = (vsi_op){.kind = VSI_OP_PAYLOAD, .coll = c->id, .key.number = key_of(0)};
    return o;
}

VT_TEST(payloads_of_no_record_are_refused) {
    static const uint8_t run[1] = {'x'};
    fixture f;
    vsi_op op = begin_with_payload(&f, 0).op;
    op.payload = (vsi_bytes){run, 1};
    const vsi_op good = op;
    op.coll = 2;
    check_misfit(&f, &op, "no such collection");
    op = good;
    op.slot = 1;
    check_misfit(&f, &op, "not where");
    op.slot = VSI_SLOT_NONE;
    check_misfit(&f, &op, "names no slot");
    op.key.number = 77; /* not there, so found in no slot: still nothing to have a payload */
    check_misfit(&f, &op, "names no slot");
    op.slot = 0;
    check_misfit(&f, &op, "not where");
    check_equal(&f, &f.state, &f.m);
    end(&f);
}

VT_TEST(pieces_that_do_not_fit_are_refused) {
    static const uint8_t run[PIECE + 1];
    static const struct {
        uint32_t has, piece, bytes;
        const char *reason;
    } bad[] = {
        {0, 0, 0, "no bytes, or too many"},
        {0, 0, PIECE + 1, "no bytes, or too many"},
        {0, 1, 1, "not whole"},
        {0, 1, PIECE, "not whole"},
        {0, UINT32_MAX, 0, "no bytes, or too many"},
        {0, UINT32_MAX, 1, "not whole"},
        {1, 1, 0, "no bytes, or too many"},
        {1, 1, 1, "not whole"},
        {PIECE - 1, 1, 1, "not whole"},
        {PIECE, 1, 0, "no bytes, or too many"},
        {PIECE, 1, PIECE + 1, "no bytes, or too many"},
        {PIECE, 2, 1, "not whole"},
        {PIECE, 65536, 1, "not whole"}, /* 2^32 bytes before it */
        {PIECE + 1, 2, PIECE, "not whole"},
        {PIECE + 1, 2, 0, "no bytes, or too many"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fixture f;
        vsi_op op = begin_with_payload(&f, bad[i].has).op;
        op.piece = bad[i].piece;
        op.payload = (vsi_bytes){run, bad[i].bytes};
        check_misfit(&f, &op, bad[i].reason);
        check_equal(&f, &f.state, &f.m);
        end(&f);
    }
}

/* A head that says so, planted, with pieces or without. */
static void plant_head(fixture *f, uint64_t bytes, vsi_hash128 sum) {
    uint8_t key[VSI_PAYLOAD_KEY_BYTES_MAX], head[24];
    vsi_bytes at = vsi_key_encode(key, VT_KEY(key_of(0)));
    vsi_put_u32_be(key + at.bytes, 0);
    at.bytes += 4;
    vsi_put_u64(head, bytes);
    vsi_put_u64(head + 8, sum.lo);
    vsi_put_u64(head + 16, sum.hi);
    VT_EQ(vsi_value_put(&f->err, &f->state.work.payloads, at, (vsi_bytes){head, 24},
                        vsi_hash128_of(head, 24, 0)),
          VS_OK);
}

/* Not the operation is wrong but the tree of payloads. */
VT_TEST(a_payload_whose_pieces_are_missing_is_damage_and_ends_no_loop) {
    static const uint8_t run[PIECE];
    fixture f;
    vsi_op op = begin_with_payload(&f, PIECE + 5).op;
    const vsi_state before = f.state;
    vsi_op delete_op = {.kind = VSI_OP_DELETE, .coll = op.coll, .key = op.key};
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    plant_head(&f, VS_PAYLOAD_BYTES_MAX, (vsi_hash128){0, 0});
    check_misfit(&f, &delete_op, "piece 1 of a payload has 5 bytes, expected 65536");
    check_misfit(&f, &op, "piece 1 of a payload has 5 bytes, expected 65536"); /* all go */
    op.piece = 2;
    check_misfit(&f, &op, "piece 2 of a payload is missing");
    op.piece = (uint32_t)(VS_PAYLOAD_BYTES_MAX / PIECE);
    op.payload = (vsi_bytes){run, 1};
    check_misfit(&f, &op, "too large");
    op.payload.bytes = PIECE;
    check_misfit(&f, &op, "too large");
    op.piece--; /* the last one that any payload has */
    check_misfit(&f, &op, "piece 16777215 of a payload is missing");
    vsi_cow_undo(&f.cow, mark);
    f.state = before;
    static const uint64_t malformed[] = {0, VS_PAYLOAD_BYTES_MAX + 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        mark = vsi_cow_open(&f.cow);
        plant_head(&f, malformed[i], (vsi_hash128){0, 0});
        op.piece = 0;
        check_misfit(&f, &op, "head of a payload is malformed");
        check_misfit(&f, &delete_op, "head of a payload is malformed");
        vsi_cow_undo(&f.cow, mark);
        f.state = before;
    }
    check_equal(&f, &f.state, &f.m);
    end(&f);
}

VT_TEST(the_largest_payload_has_its_last_piece) {
    static const uint8_t run[PIECE];
    const uint32_t last = (uint32_t)(VS_PAYLOAD_BYTES_MAX / PIECE) - 1;
    fixture f;
    vsi_payload found;
    vsi_op op = begin_with_payload(&f, 0).op;
    const vsi_state before = f.state;
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    plant_head(&f, (uint64_t)last * PIECE, (vsi_hash128){1, 2}); /* of no pieces, to save time */
    op.piece = last;
    op.payload = (vsi_bytes){run, PIECE};
    apply(&f, &op);
    VT_EQ(vsi_payload_find(&f.err, &f.state.work.payloads, op.key, &found), VS_OK);
    VT_CHECK(found.bytes == VS_PAYLOAD_BYTES_MAX);
    op.payload.bytes = 0;
    apply(&f, &op);
    VT_EQ(vsi_payload_find(&f.err, &f.state.work.payloads, op.key, &found), VS_OK);
    VT_CHECK(found.bytes == (uint64_t)last * PIECE && found.sum.lo == 1 && found.sum.hi == 2);
    vsi_cow_undo(&f.cow, mark);
    f.state = before;
    end(&f);
}

VT_TEST(a_touch_sets_the_time_of_the_last_change_and_no_more) {
    static const int64_t times[] = {0, -5, INT64_MIN, INT64_MAX};
    fixture f;
    begin(&f);
    create(&f, 1);
    create(&f, 2);
    const vsi_hash128 digest = f.state.digest;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        vsi_op op = {.kind = VSI_OP_TOUCH, .coll = f.m.coll[1].id, .time_us = times[i]};
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        apply(&f, &op);
        commit(&f, mark);
        VT_CHECK(coll_of(&f.state, op.coll).changed_us == times[i]);
        op.coll = 2; /* there is 1, 3 and 5 */
        check_misfit(&f, &op, "no such collection");
    }
    VT_CHECK(coll_of(&f.state, f.m.coll[2].id).changed_us == f.m.coll[2].time_us);
    VT_CHECK(is_same_hash(f.state.digest, digest));
    check_equal(&f, &f.state, &f.m);
    end(&f);
}

VT_TEST(notes_that_do_not_fit_are_refused) {
    fixture f;
    operation o;
    begin(&f);
    create(&f, 1);
    model before = f.m;
    note_op(&f.m, 1, 0, (content){true, 1, 5}, &o);
    f.m = before;
    uint8_t *large = calloc(1, VS_KV_VALUE_BYTES_MAX + 1);
    vsi_op op = o.op;
    op.coll = 2;
    check_misfit(&f, &op, "no such collection");
    op.coll = VSI_COLL_ID_MAX + 1;
    check_misfit(&f, &op, "no such collection");
    op.coll = VSI_NOTES_OF_TOKEN_RING - 1;
    check_misfit(&f, &op, "no such collection");
    op = o.op;
    op.note_key.bytes = 0;
    check_misfit(&f, &op, "key");
    op.note_key = (vsi_bytes){large, VS_KV_KEY_BYTES_MAX + 1};
    check_misfit(&f, &op, "key");
    op = o.op;
    op.note_value = (vsi_bytes){large, VS_KV_VALUE_BYTES_MAX + 1};
    check_misfit(&f, &op, "value");
    check_equal(&f, &f.state, &f.m);
    op.note_value.bytes--; /* the largest that fits does */
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    apply(&f, &op);
    commit(&f, mark);
    audit(&f, &f.state);
    free(large);
    end(&f);
}

/* ---- drop ----------------------------------------------------------------------------------- */

VT_TEST(a_dropped_collection_takes_everything_of_its_own_and_nothing_else_with_it) {
    static model before;
    fixture f;
    operation o;
    begin(&f);
    create(&f, 0);
    before = f.m;
    const vsi_hash128 digest = f.state.digest;
    create(&f, 1);
    uint32_t id = f.m.coll[1].id;
    vsi_buf freed = {.mem = &f.mem};
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (int i = 0; i < KEYS; i++) {
        put_op(&f.m.coll[1], i, make_record(&f, &f.m.coll[1]), &o);
        apply(&f, &o.op);
    }
    payload_op(&f.m.coll[1], 2, 0, 5, PIECE, &o);
    apply(&f, &o.op);
    for (int i = 0; i < NOTES; i++) {
        note_op(&f.m, 1, i, make_note(&f), &o);
        apply(&f, &o.op);
    }
    for (int i = 0; i < ALIASES; i++) {
        alias_op(&f.m, i, id, &o);
        apply(&f, &o.op);
    }
    limits_op(&f.m.coll[1], 1000, 1, &o);
    apply(&f, &o.op);
    check_equal(&f, &f.state, &f.m);
    commit(&f, mark);
    size_t blocks = count_blocks(&f);
    mark = vsi_cow_open(&f.cow);
    drop_op(&f.m, 1, &o);
    VT_EQ(vsi_apply(&f.err, &f.state, &o.op, &freed), VS_OK);
    VT_EQ(freed.bytes, sizeof(vsi_freed_slot)); /* all at once */
    vsi_freed_slot all;
    memcpy(&all, freed.data, sizeof all);
    VT_CHECK(all.coll == id && all.slot == VSI_SLOT_NONE);
    vsi_buf_free(&freed);
    VT_EQ(f.state.last_coll, id);
    commit(&f, mark);
    before.last_id = f.m.last_id;
    check_as_reader(&f, &before);
    VT_CHECK(is_same_hash(f.state.digest, digest));
    VT_CHECK(count_blocks(&f) < blocks);
    VT_EQ(f.state.last_coll, id); /* the id is used up */
    end(&f);
}

VT_TEST(a_dropped_collection_is_no_collection_for_any_operation) {
    static const uint8_t some[] = "x";
    fixture f;
    operation put, o;
    begin(&f);
    create(&f, 0);
    create(&f, 1);
    create(&f, 2);
    model_coll other = f.m.coll[1];
    uint32_t id = other.id;
    put_op(&other, 1, (record){.vector = {true, 7, 0}, .slot = 0}, &put);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    apply(&f, &put.op);
    drop_op(&f.m, 1, &o);
    apply(&f, &o.op);
    const vsi_bytes run = {some, 1};
    const vsi_op ops[] = {o.op,
                          put.op,
                          {.kind = VSI_OP_DELETE, .coll = id, .key = put.op.key},
                          {.kind = VSI_OP_METADATA, .coll = id, .key = put.op.key, .metadata = run},
                          {.kind = VSI_OP_PAYLOAD, .coll = id, .key = put.op.key, .payload = run},
                          {.kind = VSI_OP_RENAME, .coll = id, .name = run},
                          {.kind = VSI_OP_ALIAS, .coll = id, .name = run},
                          {.kind = VSI_OP_LIMITS, .coll = id, .max_bytes = 5},
                          {.kind = VSI_OP_TOUCH, .coll = id, .time_us = 5},
                          {.kind = VSI_OP_NOTE,
                           .coll = id,
                           .note_key = run,
                           .note_value = run,
                           .note_has_value = true}};
    for (int settled = 0; settled < 2; settled++) {
        for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
            check_misfit(&f, &ops[i], "no such collection");
        vsi_op again = create_op(&other); /* an id is never used again */
        check_misfit(&f, &again, "ascend");
        check_equal(&f, &f.state, &f.m);
        if (!settled)
            commit(&f, mark);
    }
    static const uint32_t never[] = {0, 2, 99, VSI_COLL_ID_MAX, VSI_COLL_ID_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        vsi_op op = {.kind = VSI_OP_DROP, .coll = never[i]};
        check_misfit(&f, &op, "no such collection");
    }
    check_as_reader(&f, &f.m);
    end(&f);
}

VT_TEST(a_drop_that_is_undone_leaves_no_trace) {
    fixture f;
    operation o;
    begin(&f);
    for (int round = 0; round < 40; round++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < 30; i++)
            random_step(&f);
        for (int c = 0; c < COLLS; c++) {
            if (!f.m.coll[c].id)
                continue;
            const vsi_state before = f.state;
            const model m = f.m;
            size_t blocks = count_blocks(&f);
            vsi_cow_mark inner = vsi_cow_open(&f.cow);
            drop_op(&f.m, c, &o);
            apply(&f, &o.op);
            check_equal(&f, &f.state, &f.m);
            vsi_cow_undo(&f.cow, inner);
            f.state = before;
            f.m = m;
            VT_EQ(count_blocks(&f), blocks);
            check_equal(&f, &f.state, &f.m);
        }
        commit(&f, mark);
    }
    end(&f);
}

/* Not the operation is wrong but the catalog. */
VT_TEST(a_catalog_that_is_malformed_is_no_misfit) {
    static const uint8_t zero[3] = {0};
    fixture f;
    begin(&f);
    create(&f, 1);
    create(&f, 2); /* so that the first one is not the one being changed */
    uint8_t key[5] = {1, 0, 0, 0, 0}, name[64] = {2};
    vsi_put_u32_be(key + 1, f.m.coll[1].id);
    const vsi_state before = f.state;
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    VT_EQ(vsi_btree_put(&f.err, &f.state.catalog, (vsi_bytes){key, 5}, (vsi_bytes){zero, 3}),
          VS_OK);
    vsi_op op = {.kind = VSI_OP_NOTE, .coll = f.m.coll[1].id, .note_key = {key, 5}};
    check_misfit(&f, &op, "catalog: the entry of collection");
    size_t bytes = strlen(f.m.coll[1].name);
    memcpy(name + 1, f.m.coll[1].name, bytes);
    VT_EQ(
        vsi_btree_put(&f.err, &f.state.catalog, (vsi_bytes){name, 1 + bytes}, (vsi_bytes){zero, 3}),
        VS_OK);
    op = create_op(&(model_coll){.id = 99, .dim = 2, .type = VS_U8, .metric = VS_IP});
    op.name = (vsi_bytes){name + 1, bytes};
    check_misfit(&f, &op, "catalog: a name's entry is malformed");
    vsi_cow_undo(&f.cow, mark);
    f.state = before;
    end(&f);
}

VT_TEST(deleting_a_note_that_is_not_there_changes_nothing) {
    fixture f;
    operation o;
    begin(&f);
    create(&f, 1);
    vsi_hash128 digest = f.state.digest;
    for (int owner = 1; owner <= COLLS; owner += COLLS - 1)
        for (int i = 0; i < NOTES; i++) {
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            note_op(&f.m, owner, i, (content){false, 0, 0}, &o);
            apply(&f, &o.op);
            commit(&f, mark);
        }
    VT_CHECK(is_same_hash(f.state.digest, digest));
    check_equal(&f, &f.state, &f.m);
    end(&f);
}

/* ---- digest --------------------------------------------------------------------------------- */

/* A state made of the operations given, and its digest. */
static vsi_hash128 digest_of(fixture *f, const vsi_op *op, size_t n) {
    vsi_cow_mark mark = vsi_cow_open(&f->cow);
    const vsi_state empty = vsi_state_empty(&f->cow, &f->descs);
    f->state = empty;
    for (size_t i = 0; i < n; i++)
        apply(f, &op[i]);
    vsi_hash128 digest = f->state.digest;
    audit(f, &f->state);
    vsi_cow_undo(&f->cow, mark);
    f->state = empty;
    return digest;
}

enum { SMALL_OPS = 6 };

/* A small content that has one of everything. */
static void small_content(fixture *f, operation o[SMALL_OPS]) {
    content note = {true, 5, 9};
    f->m.coll[1] = make_coll(1);
    record r = {.vector = {true, 7, 0}, .metadata = {true, 8, 13}, .slot = 0};
    o[0].op = create_op(&f->m.coll[1]);
    put_op(&f->m.coll[1], 3, r, &o[1]);
    r = (record){.vector = {true, 9, 0}, .slot = 1};
    put_op(&f->m.coll[1], 4, r, &o[2]);
    note_op(&f->m, 1, 1, note, &o[3]);
    note_op(&f->m, COLLS, 3, note, &o[4]);
    payload_op(&f->m.coll[1], 4, 0, 0x1122334455667788, 11, &o[5]);
}

VT_TEST(the_digest_does_not_depend_on_order_slots_or_detours) {
    fixture f;
    static operation o[SMALL_OPS];
    begin(&f);
    small_content(&f, o);
    vsi_op op[SMALL_OPS + 8];
    for (int i = 0; i < SMALL_OPS; i++)
        op[i] = o[i].op;
    vsi_hash128 digest = digest_of(&f, op, SMALL_OPS);
    VT_CHECK(is_same_hash(digest, model_digest(&f.m)));
    vsi_op other[SMALL_OPS] = {op[4], op[0], op[2], op[5], op[3], op[1]};
    other[2].slot = other[3].slot = 0;
    other[5].slot = 1;
    VT_CHECK(is_same_hash(digest_of(&f, other, SMALL_OPS), digest));
    vsi_op *more = op + SMALL_OPS;
    more[0] = op[1]; /* moves the record, with another vector and no metadata */
    more[0].slot = 2;
    more[0].old_slot = 0;
    more[0].vector[0] = op[2].vector[0];
    more[0].metadata.bytes = 0;
    more[1] = (vsi_op){.kind = VSI_OP_DELETE, .coll = op[1].coll, .slot = 2, .key = op[1].key};
    more[2] = op[1];
    more[2].slot = 2;
    more[3] = op[3]; /* deletes and writes a note */
    more[3].note_has_value = false;
    more[3].note_value.bytes = 0;
    more[4] = op[3];
    more[4].note_value = op[4].note_value;
    more[4].note_value.bytes--;
    more[5] = op[3];
    VT_CHECK(!is_same_hash(digest_of(&f, op, SMALL_OPS + 1), digest));
    VT_CHECK(!is_same_hash(digest_of(&f, op, SMALL_OPS + 2), digest));
    VT_CHECK(is_same_hash(digest_of(&f, op, SMALL_OPS + 3), digest));
    VT_CHECK(!is_same_hash(digest_of(&f, op, SMALL_OPS + 4), digest));
    VT_CHECK(!is_same_hash(digest_of(&f, op, SMALL_OPS + 5), digest));
    VT_CHECK(is_same_hash(digest_of(&f, op, SMALL_OPS + 6), digest));
    end(&f);
}

/* Flips each bit of what an operation points to; the digest must become another each time. */
static void flip_each_bit(fixture *f, vsi_op *op, vsi_bytes *part, vsi_hash128 digest) {
    uint8_t *copy = malloc(part->bytes);
    const vsi_bytes was = *part;
    memcpy(copy, was.data, was.bytes);
    part->data = copy;
    for (size_t bit = 0; bit < 8 * was.bytes; bit++) {
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        VT_CHECK(!is_same_hash(digest_of(f, op, SMALL_OPS), digest));
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    if (part != &op[1].vector[0] && part != &op[2].vector[0]) { /* and one byte less */
        part->bytes--;
        VT_CHECK(!is_same_hash(digest_of(f, op, SMALL_OPS), digest));
    }
    *part = was;
    free(copy);
}

VT_TEST(every_bit_of_the_content_counts_in_the_digest) {
    fixture f;
    static operation o[SMALL_OPS];
    vsi_op op[SMALL_OPS];
    begin(&f);
    small_content(&f, o);
    for (int i = 0; i < SMALL_OPS; i++)
        op[i] = o[i].op;
    vsi_hash128 digest = digest_of(&f, op, SMALL_OPS);
    vsi_bytes *const part[] = {&op[0].name,       &op[0].field[0].index, &op[1].vector[0],
                               &op[1].metadata,   &op[2].vector[0],      &op[3].note_key,
                               &op[3].note_value, &op[4].note_key,       &op[4].note_value,
                               &op[5].payload};
    for (size_t i = 0; i < sizeof part / sizeof part[0]; i++)
        flip_each_bit(&f, op, part[i], digest);
    for (int bit = 0; bit < 64; bit++) {
        op[1].key.number ^= (uint64_t)1 << bit;
        VT_CHECK(!is_same_hash(digest_of(&f, op, SMALL_OPS), digest));
        op[1].key.number ^= (uint64_t)1 << bit;
        op[0].time_us ^= (int64_t)((uint64_t)1 << bit);
        VT_CHECK(!is_same_hash(digest_of(&f, op, SMALL_OPS), digest));
        op[0].time_us ^= (int64_t)((uint64_t)1 << bit);
    }
    op[0].field[0].metric = VS_COSINE;
    VT_CHECK(!is_same_hash(digest_of(&f, op, SMALL_OPS), digest));
    op[0].field[0].metric = (uint32_t)f.m.coll[1].metric;
    op[4].coll = op[3].coll; /* a note of the collection instead of the database */
    VT_CHECK(!is_same_hash(digest_of(&f, op, SMALL_OPS), digest));
    op[4].coll = 0;
    for (int i = 0; i < 4; i++) /* the collection under another id */
        op[i].coll += 1;
    op[5].coll += 1;
    VT_CHECK(!is_same_hash(digest_of(&f, op, SMALL_OPS), digest));
    end(&f);
}

/* A row of four bytes as one float or as four u8: the type alone makes the difference. */
VT_TEST(type_dim_and_the_border_of_name_and_index_count_in_the_digest) {
    fixture f;
    begin(&f);
    vsi_op op = create_op(&(model_coll){
        .id = 1, .dim = 4, .type = VS_U8, .metric = VS_L2, .name = "ab", .index = "c"});
    vsi_hash128 digest = digest_of(&f, &op, 1);
    op.field[0].type = VS_F32;
    VT_CHECK(!is_same_hash(digest_of(&f, &op, 1), digest));
    op.field[0].type = VS_U8;
    op.field[0].dim = 5;
    VT_CHECK(!is_same_hash(digest_of(&f, &op, 1), digest));
    op.field[0].dim = 4;
    op.name = (vsi_bytes){(const uint8_t *)"a", 1};
    op.field[0].index = (vsi_bytes){(const uint8_t *)"bc", 2};
    VT_CHECK(!is_same_hash(digest_of(&f, &op, 1), digest));
    end(&f);
}

/* ---- versions ------------------------------------------------------------------------------- */

VT_TEST(older_versions_stay_as_they_were) {
    enum { VERSIONS = 8 };
    static model m[VERSIONS];
    fixture f;
    vsi_state state[VERSIONS];
    vsi_block *dead[VERSIONS];
    begin(&f);
    for (int v = 0; v < VERSIONS; v++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < 120; i++)
            random_step(&f);
        VT_EQ(vsi_state_settle(&f.err, &f.state), VS_OK);
        vsi_cow_keep(&f.cow, mark);
        dead[v] = vsi_cow_take_dead(&f.cow);
        state[v] = f.state;
        m[v] = f.m;
        for (int old = 0; old <= v; old++)
            check_equal(&f, &state[old], &m[old]);
    }
    for (int v = 1; v < VERSIONS; v++) { /* the oldest goes */
        vsi_cow_free_dead(&f.cow, dead[v]);
        for (int old = v; old < VERSIONS; old++)
            check_equal(&f, &state[old], &m[old]);
    }
    end(&f);
}

VT_TEST(undo_brings_back_the_state_of_nested_scopes) {
    static model m[2];
    fixture f;
    begin(&f);
    for (int round = 0; round < 60; round++) {
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int i = 0; i < 10; i++)
            random_step(&f);
        commit(&f, mark);
        const vsi_state before = f.state;
        size_t blocks = count_blocks(&f);
        m[0] = f.m;
        vsi_cow_mark outer = vsi_cow_open(&f.cow);
        for (int i = 0; i < 5; i++)
            random_step(&f);
        const vsi_state middle = f.state;
        m[1] = f.m;
        vsi_cow_mark inner = vsi_cow_open(&f.cow);
        for (int i = 0; i < 20; i++)
            random_step(&f);
        check_equal(&f, &f.state, &f.m);
        vsi_cow_undo(&f.cow, inner);
        f.state = middle;
        f.m = m[1];
        check_equal(&f, &f.state, &f.m);
        vsi_cow_undo(&f.cow, outer);
        f.state = before;
        f.m = m[0];
        check_equal(&f, &f.state, &f.m);
        VT_EQ(count_blocks(&f), blocks);
    }
    end(&f);
}

/* ---- without memory ------------------------------------------------------------------------- */

/* Three operations and what a commit needs, in a scope of their own. */
static vs_status try_transaction(fixture *f, const operation o[3], vsi_buf *freed) {
    vs_status st = VS_OK;
    for (int i = 0; st == VS_OK && i < 3; i++)
        st = vsi_apply(&f->err, &f->state, &o[i].op, freed);
    return st == VS_OK ? vsi_state_settle(&f->err, &f->state) : st;
}

VT_TEST(every_allocation_that_fails_is_undone_without_a_trace) {
    static operation o[3];
    static model before;
    fixture f;
    uint64_t most = 0;
    begin(&f);
    for (int i = 0; i < 250; i++) {
        before = f.m;
        for (int k = 0; k < 3; k++)
            random_op(&f, &o[k]);
        for (uint64_t at = 1;; at++) {
            const vsi_state old = f.state;
            vsi_buf freed = {.mem = &f.mem};
            size_t blocks = count_blocks(&f);
            uint64_t failures = f.allocator.failures;
            f.allocator.fail_at = f.allocator.calls + at;
            vsi_cow_mark mark = vsi_cow_open(&f.cow);
            vs_status st = try_transaction(&f, o, &freed);
            f.allocator.fail_at = 0;
            most = at > most ? at : most;
            vsi_buf_free(&freed);
            if (f.allocator.failures == failures) {
                VT_EQ(st, VS_OK);
                commit(&f, mark);
                break;
            }
            VT_EQ(st, VS_ERR_NOMEM);
            VT_CHECK(f.err.text[0]);
            vsi_cow_undo(&f.cow, mark);
            f.state = old;
            VT_EQ(count_blocks(&f), blocks);
            if (at == 1 || i % 16 == 0)
                check_equal(&f, &f.state, &before);
        }
        VT_CHECK(is_same_hash(f.state.digest, model_digest(&f.m)));
    }
    VT_CHECK(most >= 8);
    check_equal(&f, &f.state, &f.m);
    end(&f);
}

/* All of a first collection's first operations in states of their own, so that no array of rows made by
 * an earlier try hides a place that can fail. */
VT_TEST(every_allocation_of_the_first_operations_can_fail) {
    static operation o[SMALL_OPS + 2];
    uint64_t failed = 0;
    for (uint64_t at = 1;; at++) {
        fixture f;
        vsi_buf freed = {0};
        vs_status st = VS_OK;
        begin(&f);
        small_content(&f, o);
        put_op(&f.m.coll[1], 3, (record){.vector = {true, 1, 0}, .slot = 2}, &o[SMALL_OPS]);
        delete_op(&f.m.coll[1], 4, &o[SMALL_OPS + 1]);
        freed.mem = &f.mem;
        f.allocator.fail_at = at + f.allocator.calls;
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        for (int i = 0; st == VS_OK && i < SMALL_OPS + 2; i++)
            st = vsi_apply(&f.err, &f.state, &o[i].op, &freed);
        f.allocator.fail_at = 0;
        VT_EQ(st, f.allocator.failures ? VS_ERR_NOMEM : VS_OK);
        if (st == VS_OK) {
            commit(&f, mark);
            VT_EQ(freed.bytes, 2 * sizeof(vsi_freed_slot));
        } else {
            vsi_cow_undo(&f.cow, mark);
            f.state = vsi_state_empty(&f.cow, &f.descs);
            VT_EQ(count_blocks(&f), 0);
            audit(&f, &f.state);
            mark = vsi_cow_open(&f.cow); /* the same again, on what the failure left behind */
            for (int i = 0; i < SMALL_OPS + 2; i++)
                apply(&f, &o[i].op);
            commit(&f, mark);
        }
        check_as_reader(&f, &f.m);
        vsi_buf_free(&freed);
        end(&f);
        if (st == VS_OK)
            break;
        failed++;
    }
    VT_CHECK(failed >= 12); /* of a desc, four arrays, five trees, the freed slots */
}

/* ---- many collections ----------------------------------------------------------------------- */

VT_TEST(operations_on_hundreds_of_collections_in_one_scope_keep_apart) {
    enum { MANY = 300 };
    fixture f;
    begin(&f);
    vsi_cow_mark mark = vsi_cow_open(&f.cow);
    for (uint32_t id = 1; id <= MANY; id++) {
        char name[16];
        snprintf(name, sizeof name, "%u", (unsigned)id);
        vsi_op op = create_op(&(model_coll){.id = id, .dim = 4, .type = VS_U8, .metric = VS_L2});
        op.name = (vsi_bytes){(const uint8_t *)name, strlen(name)};
        apply(&f, &op);
    }
    for (uint32_t round = 0; round < 4; round++)
        for (uint32_t k = 0, id = 1; k < MANY; k++, id = (id + 6) % MANY + 1) { /* each one once */
            uint8_t vector[4] = {(uint8_t)id, (uint8_t)(id >> 8), (uint8_t)round, 9};
            apply(&f, &(vsi_op){.kind = VSI_OP_PUT,
                                .coll = id,
                                .slot = round,
                                .old_slot = VSI_SLOT_NONE,
                                .key.number = id * 10 + round,
                                .vector[0] = {vector, 4},
                                .metadata = {vector, round}});
        }
    commit(&f, mark);
    for (uint32_t id = 1; id <= MANY; id++) {
        const vsi_coll coll = coll_of(&f.state, id);
        VT_EQ(coll.count, 4);
        VT_EQ(coll.metadata.count, 3);
        for (uint32_t round = 0; round < 4; round++) {
            uint32_t slot = 99;
            VT_EQ(vsi_coll_find(&f.err, &coll, VT_KEY(id * 10 + round), &slot), VS_OK);
            VT_EQ(slot, round);
            VT_EQ(vsi_get_u16(row_of(&coll, slot)), id);
        }
    }
    VT_EQ(count_colls(&f, &f.state), MANY);
    audit(&f, &f.state);
    end(&f);
}

VT_TEST(a_rolled_back_creation_leaves_its_id_and_name_to_the_next) {
    fixture f;
    operation o;
    begin(&f);
    create(&f, 0);
    for (int round = 0; round < 10; round++) { /* another shape and other records each time */
        const vsi_state before = f.state;
        const model m = f.m;
        size_t blocks = count_blocks(&f);
        vsi_cow_mark mark = vsi_cow_open(&f.cow);
        f.m.coll[1] = make_coll(1);
        f.m.coll[1].dim = 1 + (uint32_t)round * 90;
        f.m.coll[1].time_us = round;
        vsi_op op = create_op(&f.m.coll[1]);
        apply(&f, &op);
        for (uint32_t i = 0; i < 8; i++) {
            record r = {.vector = {true, i + (uint64_t)round, 0}, .slot = i};
            put_op(&f.m.coll[1], (int)i, r, &o);
            apply(&f, &o.op);
        }
        if (round == 9) {
            commit(&f, mark);
            break;
        }
        check_equal(&f, &f.state, &f.m);
        vsi_cow_undo(&f.cow, mark);
        f.state = before;
        f.m = m;
        VT_EQ(count_blocks(&f), blocks);
        check_equal(&f, &f.state, &f.m);
    }
    check_as_reader(&f, &f.m);
    end(&f);
}
