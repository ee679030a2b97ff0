/* op.c - operations as bytes: FORMAT.md section 7. */
#include "store/op.h"
#include "vecstore.h"
#include "vt.h"

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vsi_buf buf;
    vsi_err err;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    f->buf.mem = &f->mem;
}

static void end(fixture *f) {
    vsi_buf_free(&f->buf);
    VT_EQ(f->allocator.live_blocks, 0);
}

/* ---- operations and their bytes by the document --------------------------------------------- */

static const vsi_op create = {.kind = VSI_OP_CREATE,
                              .field_count = 1,
                              .field[0].name = {(const uint8_t *)"vector", 6},
                              .coll = 0x01020304,
                              .field[0].dim = 768,
                              .field[0].type = VS_U8,
                              .field[0].metric = VS_COSINE,
                              .time_us = -0x1122334455667788,
                              .name = {(const uint8_t *)"a name", 6},
                              .field[0].index = {(const uint8_t *)"hnsw(m=16)", 10}};
static const vsi_op put = {.kind = VSI_OP_PUT,
                           .coll = 7,
                           .slot = 0xa1b2c3d4,
                           .old_slot = 0x11223344,
                           .key.number = 0xfedcba9876543210,
                           .vector[0] = {(const uint8_t *)"vector bytes", 12},
                           .metadata = {(const uint8_t *)"{\"a\":1}", 7}};
static const vsi_op put_new = {.kind = VSI_OP_PUT,
                               .coll = UINT32_MAX,
                               .slot = 0,
                               .old_slot = VSI_SLOT_NONE,
                               .key.number = 0,
                               .vector[0] = {(const uint8_t *)"v", 1}};
static const vsi_op put_text = {.kind = VSI_OP_PUT,
                                .coll = 7,
                                .slot = 1,
                                .old_slot = VSI_SLOT_NONE,
                                .key = {0, "a text", 6, VS_KEY_BYTES, 0x0a0b0c0d},
                                .vector[0] = {(const uint8_t *)"v", 1}};
static const vsi_op delete_uuid = {.kind = VSI_OP_DELETE,
                                   .coll = 9,
                                   .slot = 77,
                                   .key = {0, "0123456789abcdef", 16, VS_KEY_UUID, 0}};
static const vsi_op delete = {
    .kind = VSI_OP_DELETE, .coll = 9, .slot = 77, .key.number = UINT64_MAX};
static const vsi_op note = {.kind = VSI_OP_NOTE,
                            .coll = 3,
                            .note_key = {(const uint8_t *)"key\0\xff", 5},
                            .note_value = {(const uint8_t *)"value", 5},
                            .note_has_value = true};
static const vsi_op note_empty = {
    .kind = VSI_OP_NOTE, .note_key = {(const uint8_t *)"k", 1}, .note_has_value = true};
static const vsi_op note_gone = {
    .kind = VSI_OP_NOTE, .coll = 5, .note_key = {(const uint8_t *)"gone", 4}};
static const vsi_op digest = {.kind = VSI_OP_DIGEST,
                              .digest = {0x0123456789abcdef, 0xfedcba9876543210}};

static const vsi_op savepoint = {.kind = VSI_OP_SAVEPOINT, .savepoint = 0x51627384};
static const vsi_op release = {.kind = VSI_OP_RELEASE, .savepoint = 1};
static const vsi_op rollback_to = {.kind = VSI_OP_ROLLBACK_TO, .savepoint = 1000};

static const vsi_op metadata = {.kind = VSI_OP_METADATA,
                                .coll = 11,
                                .slot = 0x0a0b0c0d,
                                .key.number = 0x1020304050607080,
                                .metadata = {(const uint8_t *)"{\"b\":[2]}", 9}};
static const vsi_op metadata_gone = {
    .kind = VSI_OP_METADATA, .coll = 1, .slot = 1, .key.number = 1};

static const vsi_op rename_op = {
    .kind = VSI_OP_RENAME, .coll = 12, .name = {(const uint8_t *)"another", 7}};
static const vsi_op alias = {
    .kind = VSI_OP_ALIAS, .coll = 0, .name = {(const uint8_t *)"an alias", 8}};
static const vsi_op limits = {
    .kind = VSI_OP_LIMITS, .coll = 3, .max_records = 0x1122334455667788, .max_bytes = UINT64_MAX};

static const vsi_op touch = {.kind = VSI_OP_TOUCH, .coll = 8, .time_us = -0x1020304050607080};

static const vsi_op payload_op = {.kind = VSI_OP_PAYLOAD,
                                  .coll = 0x13121110,
                                  .slot = 0x0d0c0b0a,
                                  .key.number = 0x8070605040302010,
                                  .piece = 0xf1e2d3c4,
                                  .payload = {(const uint8_t *)"pay\0load", 8}};
static const vsi_op payload_text = {.kind = VSI_OP_PAYLOAD,
                                    .coll = 4,
                                    .slot = 5,
                                    .key = {0, "a text", 6, VS_KEY_BYTES, 0x0a0b0c0d},
                                    .payload = {(const uint8_t *)"x", 1}};
static const vsi_op payload_gone = {.kind = VSI_OP_PAYLOAD,
                                    .coll = UINT32_MAX,
                                    .slot = 77,
                                    .key = {0, "0123456789abcdef", 16, VS_KEY_UUID, 1},
                                    .piece = 1};
static const vsi_op drop = {.kind = VSI_OP_DROP, .coll = 0xfeedbe01};

static const vsi_op *const all[] = {
    &rename_op,  &alias,         &limits,      &put_text,     &delete_uuid, &metadata,
    &touch,      &metadata_gone, &create,      &put,          &put_new,     &delete,
    &note,       &note_empty,    &note_gone,   &digest,       &savepoint,   &release,
    &payload_op, &payload_text,  &rollback_to, &payload_gone, &drop};
enum { ALL = sizeof all / sizeof all[0], BYTES_MAX = 256 };

/* Bytes in the making. */
typedef struct maker {
    uint8_t data[BYTES_MAX];
    size_t bytes;
} maker;

static void add(maker *m, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        m->data[m->bytes++] = (uint8_t)(value >> 8 * i);
}

static void add_run(maker *m, vsi_bytes run) {
    add(m, run.bytes, 4);
    if (run.bytes)
        memcpy(m->data + m->bytes, run.data, run.bytes);
    m->bytes += run.bytes;
}

static void add_key(maker *m, vs_key key) {
    add(m, key.space, 4);
    add(m, key.kind + 1u, 1);
    add(m, 0, 1);
    add(m, key.data ? key.bytes : 8, 2);
    if (!key.data)
        add(m, key.number, 8);
    else
        memcpy(m->data + m->bytes, key.data, key.bytes);
    m->bytes += key.bytes;
}

static void add_create(maker *m, const vsi_op *op) {
    add(m, op->coll, 4);
    add(m, (uint64_t)op->time_us, 8);
    add_run(m, op->name);
    add(m, op->field_count, 4);
    for (uint32_t i = 0; i < op->field_count; i++) {
        add(m, op->field[i].dim, 4);
        add(m, op->field[i].type, 1);
        add(m, op->field[i].metric, 1);
        add(m, op->field[i].is_optional, 2);
        add_run(m, op->field[i].name);
        add_run(m, op->field[i].index);
    }
}

static void add_vectors(maker *m, const vsi_op *op) {
    uint64_t count = 0;
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++)
        count += op->vector[i].bytes > 0;
    add(m, count, 4);
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++)
        if (op->vector[i].bytes) {
            add(m, i, 4);
            add_run(m, op->vector[i]);
        }
}

static void add_put(maker *m, const vsi_op *op) {
    add(m, op->coll, 4);
    add(m, op->slot, 4);
    add(m, op->old_slot, 4);
    add_key(m, op->key);
    add_vectors(m, op);
    add_run(m, op->metadata);
}

static void add_body(maker *m, const vsi_op *op) {
    switch (op->kind) {
    case VSI_OP_CREATE:
        add_create(m, op);
        break;
    case VSI_OP_PUT:
        add_put(m, op);
        break;
    case VSI_OP_DELETE:
        add(m, op->coll, 4);
        add(m, op->slot, 4);
        add_key(m, op->key);
        break;
    case VSI_OP_METADATA:
        add(m, op->coll, 4);
        add(m, op->slot, 4);
        add_key(m, op->key);
        add_run(m, op->metadata);
        break;
    case VSI_OP_PAYLOAD:
        add(m, op->coll, 4);
        add(m, op->slot, 4);
        add_key(m, op->key);
        add(m, op->piece, 4);
        add_run(m, op->payload);
        break;
    case VSI_OP_TOUCH:
        add(m, op->coll, 4);
        add(m, (uint64_t)op->time_us, 8);
        break;
    case VSI_OP_RENAME:
    case VSI_OP_ALIAS:
        add(m, op->coll, 4);
        add_run(m, op->name);
        break;
    case VSI_OP_LIMITS:
        add(m, op->coll, 4);
        add(m, op->max_records, 8);
        add(m, op->max_bytes, 8);
        break;
    case VSI_OP_DROP:
        add(m, op->coll, 4);
        break;
    case VSI_OP_NOTE:
        add(m, op->coll, 4);
        add(m, op->note_has_value, 4);
        add_run(m, op->note_key);
        add_run(m, op->note_value);
        break;
    case VSI_OP_SAVEPOINT:
    case VSI_OP_RELEASE:
    case VSI_OP_ROLLBACK_TO:
        add(m, op->savepoint, 4);
        break;
    default:
        add(m, op->digest.lo, 8);
        add(m, op->digest.hi, 8);
    }
}

static void set_body_bytes(maker *m, uint64_t bytes) {
    maker size = {.bytes = 0};
    add(&size, bytes, 4);
    memcpy(m->data + 4, size.data, 4);
}

static maker make(const vsi_op *op) {
    maker m = {.bytes = 0};
    add(&m, (uint64_t)op->kind, 1);
    add(&m, 1, 1);
    add(&m, 0, 2);
    add(&m, 0, 4);
    add_body(&m, op);
    set_body_bytes(&m, m.bytes - 8);
    return m;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void check_run(vsi_bytes found, vsi_bytes expected) {
    VT_EQ(found.bytes, expected.bytes);
    VT_CHECK(found.bytes == 0 || !memcmp(found.data, expected.data, found.bytes));
}

/* All members, also those of other kinds, which are zero. */
static void check_op(const vsi_op *found, const vsi_op *expected) {
    VT_EQ(found->kind, expected->kind);
    VT_EQ(found->coll, expected->coll);
    VT_EQ(found->field[0].dim, expected->field[0].dim);
    VT_EQ(found->field[0].type, expected->field[0].type);
    VT_EQ(found->field[0].metric, expected->field[0].metric);
    VT_EQ(found->time_us, expected->time_us);
    check_run(found->name, expected->name);
    check_run(found->field[0].index, expected->field[0].index);
    VT_EQ(found->slot, expected->slot);
    VT_EQ(found->old_slot, expected->old_slot);
    VT_EQ(vsi_key_compare(found->key, expected->key), 0);
    VT_CHECK(found->key.number == expected->key.number);
    for (int i = 0; i < (int)VS_FIELDS_MAX; i++)
        check_run(found->vector[i], expected->vector[i]);
    check_run(found->metadata, expected->metadata);
    VT_EQ(found->piece, expected->piece);
    check_run(found->payload, expected->payload);
    check_run(found->note_key, expected->note_key);
    check_run(found->note_value, expected->note_value);
    VT_EQ(found->note_has_value, expected->note_has_value);
    VT_CHECK(found->digest.lo == expected->digest.lo);
    VT_CHECK(found->digest.hi == expected->digest.hi);
    VT_EQ(found->savepoint, expected->savepoint);
    VT_CHECK(found->max_records == expected->max_records);
    VT_CHECK(found->max_bytes == expected->max_bytes);
}

/* Reads from a block of exactly that size, so that a sanitizer sees a read too far. */
static vs_status read_first(const uint8_t *data, size_t bytes, size_t *pos, bool *known) {
    vsi_err err = {0};
    vsi_op op;
    uint8_t *copy = malloc(bytes ? bytes : 1);
    memcpy(copy, data, bytes);
    *pos = 0;
    vs_status st = vsi_op_read(&err, (vsi_bytes){copy, bytes}, pos, &op, known);
    VT_EQ(err.code, st);
    VT_EQ(err.text[0] != 0, st != VS_OK);
    free(copy);
    return st;
}

static void expect(const maker *m, vs_status expected) {
    size_t pos;
    bool known = false;
    VT_EQ(read_first(m->data, m->bytes, &pos, &known), expected);
    VT_CHECK(expected != VS_OK || pos == m->bytes);
}

/* ---- tests ---------------------------------------------------------------------------------- */

VT_TEST(operations_are_written_as_the_format_says) {
    for (int i = 0; i < ALL; i++) {
        fixture f;
        maker expected = make(all[i]);
        begin(&f);
        VT_CHECK(vsi_op_write(&f.buf, all[i]));
        VT_EQ(f.buf.bytes, expected.bytes);
        for (size_t k = 0; k < expected.bytes; k++)
            if (f.buf.data[k] != expected.data[k])
                vt_fail(__FILE__, __LINE__, "operation %d, byte %zu: %02x, not %02x", i, k,
                        f.buf.data[k], expected.data[k]);
        VT_EQ(vsi_op_bytes(f.buf.data), expected.bytes);
        end(&f);
    }
}

VT_TEST(operations_come_back_one_after_the_other) {
    fixture f;
    size_t pos = 0;
    begin(&f);
    VT_CHECK(vsi_buf_append(&f.buf, "front", 5));
    for (int i = 0; i < 3 * ALL; i++)
        VT_CHECK(vsi_op_write(&f.buf, all[i * 5 % ALL]));
    vsi_bytes payload = {f.buf.data + 5, f.buf.bytes - 5};
    for (int i = 0; i < 3 * ALL; i++) {
        vsi_op op;
        bool known = false;
        size_t before = pos;
        memset(&op, 0x5a, sizeof op);
        VT_EQ(vsi_op_bytes(payload.data + pos), make(all[i * 5 % ALL]).bytes);
        VT_EQ(vsi_op_read(&f.err, payload, &pos, &op, &known), VS_OK);
        VT_CHECK(known);
        VT_EQ(pos - before, make(all[i * 5 % ALL]).bytes);
        check_op(&op, all[i * 5 % ALL]);
    }
    VT_EQ(pos, payload.bytes);
    end(&f);
}

VT_TEST(bytes_of_an_operation_that_was_read_lie_in_the_payload) {
    maker m = make(&create);
    vsi_err err = {0};
    vsi_op op;
    size_t pos = 0;
    bool known;
    VT_EQ(vsi_op_read(&err, (vsi_bytes){m.data, m.bytes}, &pos, &op, &known), VS_OK);
    VT_CHECK(op.name.data > m.data && op.name.data < m.data + m.bytes);
    VT_CHECK(op.field[0].index.data > op.name.data && op.field[0].index.data < m.data + m.bytes);
}

VT_TEST(every_truncation_is_refused_and_the_position_stays) {
    for (int i = 0; i < ALL; i++) {
        maker m = make(all[i]);
        for (size_t cut = 0; cut < m.bytes; cut++) {
            size_t pos;
            bool known;
            VT_EQ(read_first(m.data, cut, &pos, &known), VS_ERR_CORRUPT);
            VT_EQ(pos, 0);
        }
    }
}

VT_TEST(a_body_that_ends_too_early_or_too_late_is_refused) {
    for (int i = 0; i < ALL; i++) {
        maker m = make(all[i]);
        size_t body = m.bytes - 8;
        m.bytes += 40; /* zeros that do not belong to it */
        for (size_t bytes = 0; bytes <= body + 40; bytes++) {
            size_t pos;
            bool known;
            set_body_bytes(&m, bytes);
            VT_EQ(read_first(m.data, m.bytes, &pos, &known),
                  bytes == body ? VS_OK : VS_ERR_CORRUPT);
        }
    }
}

VT_TEST(a_body_or_run_longer_than_the_payload_is_refused) {
    static const uint32_t huge[] = {1000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
    for (int i = 0; i < ALL; i++)
        for (size_t k = 0; k < sizeof huge / sizeof huge[0]; k++) {
            maker m = make(all[i]);
            set_body_bytes(&m, huge[k]);
            expect(&m, VS_ERR_CORRUPT);
        }
    for (size_t k = 0; k < sizeof huge / sizeof huge[0]; k++) {
        maker m = make(&create), size = {.bytes = 0};
        add(&size, huge[k], 4);
        memcpy(m.data + 8 + 20, size.data, 4); /* of the name */
        expect(&m, VS_ERR_CORRUPT);
        m = make(&payload_op);
        memcpy(m.data + 8 + 28, size.data, 4);
        expect(&m, VS_ERR_CORRUPT);
    }
}

VT_TEST(an_unknown_operation_is_refused_when_it_must_be_understood) {
    for (int kind = 0; kind < 256; kind++) {
        maker m = {.bytes = 0};
        if (kind >= VSI_OP_CREATE && kind <= VSI_OP_LAST)
            continue;
        add(&m, (uint64_t)kind, 1);
        add(&m, 1, 1);
        add(&m, 0, 2);
        add(&m, 5, 4);
        add(&m, 0x1122334455, 5);
        expect(&m, VS_ERR_TOO_NEW);
    }
}

VT_TEST(an_unknown_operation_that_may_be_passed_over_is_passed_over) {
    for (int kind = 0; kind < 256; kind++) {
        fixture f;
        maker m = {.bytes = 0}, next = make(&put);
        size_t pos = 0;
        bool known = true;
        vsi_op op;
        if (kind >= VSI_OP_CREATE && kind <= VSI_OP_LAST)
            continue;
        begin(&f);
        add(&m, (uint64_t)kind, 1);
        add(&m, 0, 1);
        add(&m, 0, 2);
        add(&m, 5, 4);
        add(&m, 0x1122334455, 5);
        VT_CHECK(vsi_buf_append(&f.buf, m.data, m.bytes));
        VT_CHECK(vsi_buf_append(&f.buf, next.data, next.bytes));
        vsi_bytes payload = {f.buf.data, f.buf.bytes};
        VT_EQ(vsi_op_read(&f.err, payload, &pos, &op, &known), VS_OK);
        VT_CHECK(!known);
        VT_EQ(pos, m.bytes);
        VT_EQ(vsi_op_read(&f.err, payload, &pos, &op, &known), VS_OK);
        VT_CHECK(known);
        check_op(&op, &put);
        for (size_t cut = 0; cut < m.bytes; cut++)
            VT_EQ(read_first(m.data, cut, &pos, &known), VS_ERR_CORRUPT);
        end(&f);
    }
}

/* Values that the format leaves to later versions: an operation cannot hold them. */
VT_TEST(records_of_a_kind_that_this_version_does_not_know_are_refused) {
    static const struct {
        const vsi_op *op;
        size_t off; /* behind the header */
        uint8_t value;
    } later[] = {
        {&put, 16, 0},        {&put, 16, 4},                       /* type of the key */
        {&put, 18, 7},        {&put, 18, 9},        {&put, 19, 1}, /* bytes of the key */
        {&put, 28, 0},        {&put, 28, 2},                       /* vectors */
        {&put, 32, 8},        {&put, 33, 1},        {&put, 36, 0}, /* field, bytes */
        {&delete, 12, 4},     {&delete, 14, 16},    {&note, 4, 2},
        {&note, 7, 1}, /* neither put nor delete */
        {&payload_op, 12, 0}, {&payload_op, 12, 4}, {&payload_op, 13, 1}, /* key, as of put */
        {&payload_op, 14, 7}, {&payload_op, 28, 7}, {&payload_op, 28, 9},
    };
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        maker m = make(later[i].op);
        size_t pos;
        bool known = true;
        m.data[8 + later[i].off] = later[i].value;
        vs_status st = read_first(m.data, m.bytes, &pos, &known);
        if (st != VS_ERR_CORRUPT && st != VS_ERR_TOO_NEW)
            vt_fail(__FILE__, __LINE__, "case %zu: status %d", i, st);
    }
}

VT_TEST(a_failed_write_leaves_the_buffer_as_it_was) {
    for (int i = 0; i < ALL; i++) {
        static const uint8_t filling[4096];
        fixture f;
        begin(&f);
        VT_CHECK(vsi_op_write(&f.buf, &digest));
        VT_CHECK(vsi_buf_append(&f.buf, filling, f.buf.cap - f.buf.bytes - 3));
        const vsi_buf before = f.buf;
        f.allocator.fail_at = f.allocator.calls + 1;
        VT_CHECK(!vsi_op_write(&f.buf, all[i]));
        VT_EQ(f.allocator.failures, 1);
        VT_EQ(f.buf.bytes, before.bytes);
        VT_CHECK(f.buf.data == before.data);
        VT_CHECK(!memcmp(f.buf.data, make(&digest).data, 24));
        VT_CHECK(vsi_op_write(&f.buf, all[i]));
        VT_CHECK(!memcmp(f.buf.data + before.bytes, make(all[i]).data, make(all[i]).bytes));
        end(&f);
    }
}

static bool is_inside(vsi_bytes run, const uint8_t *data, size_t bytes) {
    return run.bytes == 0 || (run.data >= data && run.bytes <= bytes &&
                              (size_t)(run.data - data) <= bytes - run.bytes);
}

VT_TEST(whatever_the_bytes_are_reading_stays_inside_and_moves_on) {
    vt_rng rng = {vt_seed()};
    int accepted = 0;
    for (int round = 0; round < 60000; round++) {
        maker m = make(all[vt_below(&rng, ALL)]);
        vsi_err err = {0};
        vsi_op op;
        size_t pos = 0;
        bool known = false;
        for (uint64_t changes = 1 + vt_below(&rng, 3); changes > 0; changes--)
            m.data[vt_below(&rng, m.bytes)] =
                (uint8_t)(vt_below(&rng, 2) ? vt_below(&rng, 16) : vt_random(&rng));
        vsi_bytes payload = {m.data, m.bytes};
        vs_status st = vsi_op_read(&err, payload, &pos, &op, &known);
        VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT || st == VS_ERR_TOO_NEW);
        VT_CHECK(st == VS_OK ? pos >= 8 && pos <= m.bytes : pos == 0);
        if (st != VS_OK || !known)
            continue;
        accepted++;
        VT_CHECK(op.kind >= VSI_OP_CREATE && op.kind <= VSI_OP_LAST);
        VT_CHECK(is_inside(op.name, m.data, m.bytes) &&
                 is_inside(op.field[0].index, m.data, m.bytes));
        VT_CHECK(is_inside(op.vector[0], m.data, m.bytes) &&
                 is_inside(op.metadata, m.data, m.bytes));
        VT_CHECK(is_inside(op.note_key, m.data, m.bytes));
        VT_CHECK(is_inside(op.note_value, m.data, m.bytes));
        VT_CHECK(is_inside(op.payload, m.data, m.bytes));
    }
    VT_CHECK(accepted > 1000);
}

VT_TEST(a_known_operation_with_other_flags_is_refused) {
    for (int i = 0; i < ALL; i++)
        for (int at = 1; at < 4; at++)
            for (int bit = 0; bit < 8; bit++) {
                maker m = make(all[i]);
                m.data[at] ^= (uint8_t)(1 << bit);
                expect(&m, VS_ERR_CORRUPT);
            }
}

VT_TEST(long_runs_come_back_whole) {
    fixture f;
    size_t pos = 0;
    bool known;
    vsi_op op = put, back;
    uint8_t *large = malloc(1 << 20);
    vt_rng rng = {vt_seed()};
    for (size_t i = 0; i < 1 << 20; i++)
        large[i] = (uint8_t)vt_random(&rng);
    op.vector[0] = (vsi_bytes){large, 4 * VS_DIM_MAX};
    op.metadata = (vsi_bytes){large, VS_METADATA_BYTES_MAX};
    begin(&f);
    VT_CHECK(vsi_op_write(&f.buf, &op));
    VT_EQ(vsi_op_read(&f.err, (vsi_bytes){f.buf.data, f.buf.bytes}, &pos, &back, &known), VS_OK);
    check_op(&back, &op);
    op = payload_op;
    op.payload = (vsi_bytes){large, 65536};
    f.buf.bytes = pos = 0;
    VT_CHECK(vsi_op_write(&f.buf, &op));
    VT_EQ(vsi_op_read(&f.err, (vsi_bytes){f.buf.data, f.buf.bytes}, &pos, &back, &known), VS_OK);
    check_op(&back, &op);
    end(&f);
    free(large);
}

VT_TEST(keys_of_unknown_types_and_wrong_sizes_are_refused) {
    static const struct {
        size_t off;
        uint8_t to; /* in the key of put_text, which begins at byte 20 */
    } bad[] = {{24, 0}, {24, 4}, {24, 255}, {24, 1}, {24, 3}, {25, 1}, {26, 0}, {27, 5}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        maker m = make(&put_text);
        VT_CHECK(m.data[bad[i].off] != bad[i].to);
        m.data[bad[i].off] = bad[i].to;
        expect(&m, VS_ERR_CORRUPT);
    }
}

VT_TEST(a_drop_changes_no_record_and_is_no_mark) {
    VT_CHECK(!vsi_op_is_mark(VSI_OP_DROP));
    VT_CHECK(!vsi_op_is_of_record(VSI_OP_DROP));
    maker m = make(&drop);
    VT_EQ(m.bytes, 8 + 4);
    add(&m, 0, 4); /* a body that is longer by what a later version may have to say */
    set_body_bytes(&m, m.bytes - 8);
    expect(&m, VS_ERR_CORRUPT);
}
