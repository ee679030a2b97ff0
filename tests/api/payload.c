/* payload.c - payloads of records: runs of bytes, written and read at any place. */
#include <stdlib.h>
#include <string.h>

#include "sample.h"

enum { PIECE = 65536, KEYS = 4, ROOM = 5 * PIECE };

static const float zero[2];

/* The payload of a key as a whole, read in runs of so many bytes. */
static size_t read_all(vs_collection *c, vs_txn *txn, vs_key key, size_t run, uint8_t *out) {
    size_t bytes = 0, n = 1;
    while (n) {
        VT_OK(vs_payload_read(c, txn, key, bytes, out + bytes, run, &n), c);
        bytes += n;
        VT_CHECK(n <= run && bytes <= ROOM);
    }
    return bytes;
}

static uint64_t bytes_of(vs_collection *c, vs_txn *txn, vs_key key) {
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_get(c, txn, key, &r), c);
    return r.payload_bytes;
}

static uint64_t version_of(vs_collection *c, vs_key key) {
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_get(c, NULL, key, &r), c);
    return r.version;
}

static void check_is(vs_collection *c, vs_txn *txn, vs_key key, const void *expected,
                     size_t bytes) {
    static uint8_t found[ROOM + 1];
    VT_EQ(bytes_of(c, txn, key), bytes);
    VT_EQ(read_all(c, txn, key, 100000, found), bytes);
    VT_CHECK(!bytes || !memcmp(found, expected, bytes));
}

static void fill(uint8_t *out, size_t bytes, uint64_t seed, bool is_text) {
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = is_text ? (uint8_t)("abcd"[seed >> 62]) : (uint8_t)(seed >> 56);
    }
}

VT_TEST(a_payload_is_written_read_and_cut) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    vs_key key = vs_key_text("doc");
    vs_record r = VS_RECORD_INIT;
    uint8_t out[32] = {0};
    size_t n = 99;
    r.key = key;
    r.vector = zero;
    VT_EQ(vs_payload_write(c, NULL, key, 0, "x", 1), VS_ERR_NOT_FOUND);
    VT_EQ(vs_payload_read(c, NULL, key, 0, out, 1, &n), VS_ERR_NOT_FOUND);
    VT_EQ(n, 99);
    VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    VT_OK(vs_payload_read(c, NULL, key, 0, out, sizeof out, &n), c);
    VT_EQ(n, 0);
    uint64_t bare = version_of(c, key);
    VT_OK(vs_payload_write(c, NULL, key, 0, "hello", 5), c);
    VT_OK(vs_payload_write(c, NULL, key, 5, ", world", 7), c);
    VT_OK(vs_payload_write(c, NULL, key, 0, "H", 1), c);
    VT_OK(vs_payload_write(c, NULL, key, 12, NULL, 0), c);
    check_is(c, NULL, key, "Hello, world", 12);
    VT_OK(vs_payload_read(c, NULL, key, 7, out, 3, &n), c);
    VT_CHECK(n == 3 && !memcmp(out, "wor", 3));
    VT_OK(vs_payload_read(c, NULL, key, 7, NULL, 0, &n), c);
    VT_EQ(n, 0);
    VT_OK(vs_payload_read(c, NULL, key, UINT64_MAX, out, 3, &n), c);
    VT_EQ(n, 0);
    VT_EQ(vs_payload_write(c, NULL, key, 13, "x", 1), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(c), "offset is 13, it has 12");
    VT_EQ(vs_payload_truncate(c, NULL, key, 13), VS_ERR_INVALID);
    if (SIZE_MAX > VS_PAYLOAD_BYTES_MAX) /* else nothing is that long */
        VT_EQ(vs_payload_write(c, NULL, key, 12, zero, (size_t)VS_PAYLOAD_BYTES_MAX), VS_ERR_LIMIT);
    VT_EQ(vs_payload_write(c, NULL, key, 0, NULL, 1), VS_ERR_MISUSE);
    VT_EQ(vs_payload_read(c, NULL, key, 0, NULL, 1, &n), VS_ERR_MISUSE);
    VT_EQ(vs_payload_read(c, NULL, key, 0, out, 1, NULL), VS_ERR_MISUSE);
    VT_OK(vs_payload_truncate(c, NULL, key, 12), c);
    VT_OK(vs_payload_truncate(c, NULL, key, 5), c);
    check_is(c, NULL, key, "Hello", 5);
    VT_CHECK(version_of(c, key) != bare);
    VT_OK(vs_payload_truncate(c, NULL, key, 0), c);
    check_is(c, NULL, key, "", 0);
    VT_EQ(version_of(c, key), bare);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_payload_stays_when_its_record_changes_and_goes_with_it) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    const float other[2] = {3, 4};
    const vs_key key = vs_key_u64(7);
    sample_put(c, NULL, 7, zero, NULL);
    VT_OK(vs_payload_write(c, NULL, key, 0, "payload", 7), c);
    vs_txn *before = sample_begin(s.db, VS_TXN_READ);
    sample_put(c, NULL, 7, other, "{\"a\":1}");
    VT_OK(vs_set_metadata(c, NULL, key, NULL, 0), c);
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_get(c, NULL, key, &r), c);
    VT_OK(vs_put(c, NULL, &r, VS_REPLACE), c); /* as it was read */
    check_is(c, NULL, key, "payload", 7);
    VT_OK(vs_delete(c, NULL, key), c);
    sample_put(c, NULL, 7, other, NULL);
    check_is(c, NULL, key, "", 0);
    check_is(c, before, key, "payload", 7); /* the snapshot has its own */
    vs_rollback(before);
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_OK(vs_collection_info_get(c, NULL, &info), c);
    VT_EQ(info.bytes, 8 + sizeof zero);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_payload_counts_in_the_bytes_of_its_collection) {
    sample s = sample_new();
    vs_collection_options options = sample_options(2, VS_F32, VS_L2);
    vs_collection *c = NULL;
    static uint8_t data[PIECE];
    options.max_bytes = 16 + PIECE;
    VT_OK(vs_collection_create(s.db, NULL, "c", &options, &c), s.db);
    sample_put(c, NULL, 1, zero, NULL);
    VT_OK(vs_payload_write(c, NULL, vs_key_u64(1), 0, data, PIECE), c);
    VT_EQ(vs_payload_write(c, NULL, vs_key_u64(1), PIECE, data, 1), VS_ERR_LIMIT);
    VT_CONTAINS(vs_errmsg(c), "may have 65552 bytes, not 65553");
    VT_OK(vs_payload_write(c, NULL, vs_key_u64(1), 0, data, PIECE), c); /* no more than before */
    check_is(c, NULL, vs_key_u64(1), data, PIECE);
    vs_collection_close(c);
    sample_end(&s);
}

/* What the payloads must be. */
typedef struct expectation {
    uint8_t data[KEYS][ROOM];
    size_t bytes[KEYS];
} expectation;

static expectation expected, saved;

static vs_key key_of(int i) {
    static const char *const names[KEYS] = {"a", "a\1\2\3\4", "b",
                                            "bb"}; /* one begins with another */
    return vs_key_text(names[i]);
}

static size_t some_bytes(vt_rng *rng, size_t most) {
    const size_t edges[] = {0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE - 5};
    size_t n = vt_below(rng, 2) ? edges[vt_below(rng, 7)] : vt_below(rng, most + 1);
    return n < most ? n : most;
}

static void one_write(vs_collection *c, vs_txn *txn, vt_rng *rng, int i) {
    static uint8_t run[ROOM];
    size_t *now = &expected.bytes[i];
    size_t offset = vt_below(rng, 3) ? some_bytes(rng, *now) : *now;
    size_t n = some_bytes(rng, ROOM - offset);
    fill(run, n, vt_random(rng), vt_below(rng, 2));
    VT_OK(vs_payload_write(c, txn, key_of(i), offset, run, n), c);
    memcpy(expected.data[i] + offset, run, n);
    if (offset + n > *now)
        *now = offset + n;
}

static void one_step(vs_collection *c, vs_txn *txn, vt_rng *rng) {
    int i = (int)vt_below(rng, KEYS);
    vs_record r = VS_RECORD_INIT;
    r.key = key_of(i);
    r.vector = zero;
    switch (vt_below(rng, 8)) {
    case 0:
        VT_OK(vs_delete(c, txn, r.key), c);
        expected.bytes[i] = 0; /* fall through */
    case 1:
        VT_OK(vs_put(c, txn, &r, VS_UPSERT), c);
        break;
    case 2:
        expected.bytes[i] = some_bytes(rng, expected.bytes[i]);
        VT_OK(vs_payload_truncate(c, txn, r.key, expected.bytes[i]), c);
        break;
    default:
        one_write(c, txn, rng, i);
    }
}

static void check_all(vs_collection *c, vs_txn *txn) {
    for (int i = 0; i < KEYS; i++)
        check_is(c, txn, key_of(i), expected.data[i], expected.bytes[i]);
}

/* Kept, taken back to a savepoint, or rolled back. */
static void one_transaction(vs_db *db, vs_collection *c, vt_rng *rng) {
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    uint32_t point = 0;
    saved = expected;
    uint64_t how = vt_below(rng, 4);
    VT_OK(vs_savepoint(txn, &point), txn);
    for (uint64_t n = 1 + vt_below(rng, 6); n > 0; n--)
        one_step(c, txn, rng);
    check_all(c, txn);
    if (how == 0)
        VT_OK(vs_rollback_to(txn, point), txn);
    if (how <= 1)
        expected = saved;
    if (how == 1)
        vs_rollback(txn);
    else
        VT_OK(vs_commit(txn, VS_SYNC_FULL), db);
}

VT_TEST(payloads_agree_with_plain_memory_over_random_changes_kills_and_checkpoints) {
    vt_rng rng = {vt_seed()};
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    for (int i = 0; i < KEYS; i++) {
        vs_record r = VS_RECORD_INIT;
        r.key = key_of(i);
        r.vector = zero;
        VT_OK(vs_put(c, NULL, &r, VS_UPSERT), c);
    }
    for (int round = 0; round < 120; round++) {
        one_transaction(s.db, c, &rng);
        if (vt_below(&rng, 6) == 0)
            VT_OK(vs_checkpoint(s.db), s.db);
        if (vt_below(&rng, 6) == 0) {
            vs_collection_close(c);
            sample after = sample_after_kill(&s);
            sample_end(&s);
            s = after;
            c = sample_collection(s.db, "c");
        }
        check_all(c, NULL);
    }
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- wrong calls ---------------------------------------------------------------------------- */

static size_t try_read(vs_collection *c, vs_txn *txn, vs_key key, vs_status wanted) {
    uint8_t out[16];
    size_t n = 99;
    VT_EQ(vs_payload_read(c, txn, key, 0, out, sizeof out, &n), wanted);
    VT_CHECK(wanted == VS_OK || n == 99);
    return n;
}

static void try_change(vs_collection *c, vs_txn *txn, vs_key key, vs_status wanted) {
    VT_EQ(vs_payload_write(c, txn, key, 0, "x", 1), wanted);
    VT_EQ(vs_payload_truncate(c, txn, key, 0), wanted);
}

VT_TEST(handles_transactions_and_keys_that_are_wrong_are_refused) {
    sample s = sample_new(), other = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    const vs_key key = vs_key_u64(1);
    const vs_key bad[] = {vs_key_bytes("", 0),
                          vs_key_bytes("x", VS_KEY_BYTES_MAX + 1),
                          vs_key_bytes(NULL, 3),
                          vs_key_uuid(NULL),
                          {.kind = 77}};
    sample_put(c, NULL, 1, zero, NULL);
    try_change(NULL, NULL, key, VS_ERR_MISUSE);
    try_read(NULL, NULL, key, VS_ERR_MISUSE);
    try_change((vs_collection *)(void *)s.db, NULL, key, VS_ERR_MISUSE);
    try_read((vs_collection *)(void *)s.db, NULL, key, VS_ERR_MISUSE);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        vs_status st = vs_get(c, NULL, bad[i], NULL);
        VT_CHECK(st != VS_OK && st != VS_ERR_NOT_FOUND);
        try_change(c, NULL, bad[i], st);
        try_read(c, NULL, bad[i], st);
    }
    vs_txn *reader = sample_begin(s.db, VS_TXN_READ),
           *foreign = sample_begin(other.db, VS_TXN_WRITE);
    try_change(c, reader, key, VS_ERR_MISUSE);
    VT_EQ(try_read(c, reader, key, VS_OK), 0);
    try_change(c, foreign, key, VS_ERR_MISUSE);
    try_read(c, foreign, key, VS_ERR_MISUSE);
    vs_rollback(foreign);
    vs_rollback(reader);
    vs_txn *writer = sample_begin(s.db, VS_TXN_WRITE);
    try_change(c, NULL, key, VS_ERR_MISUSE); /* this thread's own is open */
    VT_EQ(vs_payload_write(c, writer, vs_key_u64(2), 0, "x", 1), VS_ERR_NOT_FOUND);
    VT_EQ(vs_payload_truncate(c, writer, vs_key_u64(2), 0), VS_ERR_NOT_FOUND);
    vs_rollback(writer);
    check_is(c, NULL, key, "", 0);
    vs_collection_close(c);
    sample_end(&s);
    sample_end(&other);
}

VT_TEST(a_read_only_database_reads_payloads_and_refuses_to_change_them) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    static uint8_t data[PIECE + 5];
    fill(data, sizeof data, 3, false);
    sample_put(c, NULL, 1, zero, NULL);
    VT_OK(vs_payload_write(c, NULL, vs_key_u64(1), 0, data, sizeof data), c);
    for (int round = 0; round < 2; round++) { /* from the log, and from a checkpoint */
        vs_collection_close(c);
        sample copy = sample_after_kill(&s);
        VT_OK(vs_close(copy.db), copy.db);
        copy.db = sample_open(copy.vfs, "t.vs", VS_OPEN_READONLY);
        c = sample_collection(copy.db, "c");
        check_is(c, NULL, vs_key_u64(1), data, sizeof data);
        try_change(c, NULL, vs_key_u64(1), VS_ERR_READONLY);
        VT_EQ(vs_payload_write(c, NULL, vs_key_u64(1), 0, NULL, 0), VS_ERR_READONLY);
        vs_collection_close(c);
        sample_end(&copy);
        VT_OK(vs_checkpoint(s.db), s.db);
        c = sample_collection(s.db, "c");
    }
    vs_collection_close(c);
    sample_end(&s);
}

/* What a record that was read points to may be written, under its own key. */
VT_TEST(what_was_read_through_a_handle_may_be_written_through_it) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    static char text[3 * PIECE];
    vs_record r = VS_RECORD_INIT;
    memset(text, 'x', sizeof text);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + sizeof text - 3, "\"}", 3);
    r.key = vs_key_text("a key that is no number");
    r.vector = zero;
    r.metadata = text;
    VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    r = (vs_record)VS_RECORD_INIT;
    VT_OK(vs_get(c, NULL, vs_key_text("a key that is no number"), &r), c);
    VT_OK(vs_payload_write(c, NULL, r.key, 0, r.metadata, r.metadata_bytes), c);
    check_is(c, NULL, vs_key_text("a key that is no number"), text, sizeof text - 1);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- versions ------------------------------------------------------------------------------- */

VT_TEST(a_version_follows_from_the_bytes_and_guards_them) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    static uint8_t data[2 * PIECE + 77];
    fill(data, sizeof data, 5, false);
    sample_put(c, NULL, 1, zero, NULL);
    sample_put(c, NULL, 2, zero, NULL);
    const uint64_t bare = version_of(c, vs_key_u64(1));
    VT_OK(vs_payload_write(c, NULL, vs_key_u64(1), 0, data, sizeof data), c);
    VT_OK(vs_payload_write(c, NULL, vs_key_u64(2), 0, data + 1, sizeof data - 1), c);
    VT_CHECK(version_of(c, vs_key_u64(1)) != version_of(c, vs_key_u64(2)));
    for (size_t at = 0; at < sizeof data; at += 10007)
        VT_OK(vs_payload_write(c, NULL, vs_key_u64(2), at, data + at,
                               sizeof data - at < 10007 ? sizeof data - at : 10007),
              c);
    const uint64_t version = version_of(c, vs_key_u64(1));
    VT_CHECK(version != bare && version == version_of(c, vs_key_u64(2)));
    vs_record r = sample_record(1, zero, NULL);
    r.if_version = bare;
    VT_EQ(vs_put(c, NULL, &r, VS_REPLACE), VS_ERR_CONFLICT);
    r.if_version = version;
    VT_OK(vs_put(c, NULL, &r, VS_REPLACE), c);
    data[PIECE] ^= 1;
    VT_OK(vs_payload_write(c, NULL, vs_key_u64(1), PIECE, data + PIECE, 1), c);
    VT_CHECK(version_of(c, vs_key_u64(1)) != version);
    VT_EQ(vs_put(c, NULL, &r, VS_REPLACE), VS_ERR_CONFLICT);
    data[PIECE] ^= 1;
    VT_OK(vs_payload_write(c, NULL, vs_key_u64(1), PIECE, data + PIECE, 1), c);
    VT_EQ(version_of(c, vs_key_u64(1)), version);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- without memory ------------------------------------------------------------------------- */

typedef struct lean {
    vt_allocator allocator;
    vs_vfs *vfs;
    vs_db *db;
    vs_collection *c;
} lean;

static void lean_open(lean *l, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_allocator allocator = {&l->allocator, vt_realloc};
    options.vfs = l->vfs;
    options.flags = flags;
    options.allocator = &allocator;
    options.sync = VS_SYNC_OFF;
    VT_OK(vs_open("t.vs", &options, &l->db), l->db);
}

static lean *lean_new(void) {
    static lean l;
    memset(&l, 0, sizeof l);
    VT_EQ(vs_vfs_memory_create(NULL, &l.vfs), VS_OK);
    lean_open(&l, VS_OPEN_CREATE);
    l.c = sample_create(l.db, NULL, "c", 2, VS_F32, VS_L2);
    sample_put(l.c, NULL, 1, zero, NULL);
    return &l;
}

static void lean_end(lean *l) {
    vs_collection_close(l->c);
    VT_OK(vs_close(l->db), l->db);
    VT_EQ(l->allocator.live_blocks, 0);
    vs_vfs_memory_destroy(l->vfs);
}

static uint8_t before[ROOM], after[ROOM], out_bytes[ROOM];

static vs_status lean_call(lean *l, vs_txn *txn, int what, size_t *out_n) {
    const vs_key key = vs_key_u64(1);
    switch (what) {
    case 0:
        return vs_payload_write(l->c, txn, key, 100, after + 100, 2 * PIECE + 50);
    case 1:
        return vs_payload_truncate(l->c, txn, key, PIECE + 9);
    case 2:
        return vs_payload_read(l->c, txn, key, 5, out_bytes, 2 * PIECE, out_n);
    default:
        return vs_delete(l->c, txn, key);
    }
}

/* Each allocation of each call fails once, in a transaction that goes on and without one; the payload is
 * in a checkpoint, so that its pieces are read. */
VT_TEST(any_allocation_of_a_call_may_fail_and_the_payload_is_as_before) {
    enum { BYTES = 3 * PIECE };
    fill(before, BYTES, 1, true);
    fill(after, BYTES, 2, false);
    uint64_t refused = 0;
    for (int what = 0; what < 4; what++)
        for (int in_txn = 0; in_txn < 2; in_txn++) {
            lean *l = lean_new();
            VT_OK(vs_payload_write(l->c, NULL, vs_key_u64(1), 0, before, BYTES), l->c);
            for (uint64_t at = 1;; at++) {
                vs_collection_close(l->c);
                VT_OK(vs_close(l->db), l->db);
                lean_open(l, 0);
                l->c = sample_collection(l->db, "c");
                vs_txn *txn = in_txn ? sample_begin(l->db, VS_TXN_WRITE) : NULL;
                size_t n = 99;
                uint64_t failures = l->allocator.failures;
                l->allocator.fail_at = l->allocator.calls + at;
                vs_status st = lean_call(l, txn, what, &n);
                l->allocator.fail_at = 0;
                bool has_failed = l->allocator.failures > failures;
                if (!has_failed || st == VS_OK) { /* one that is not needed may fail */
                    VT_EQ(st, VS_OK);
                    VT_CHECK(what != 2 || (n == 2 * PIECE && !memcmp(out_bytes, before + 5, n)));
                } else {
                    VT_EQ(st, VS_ERR_NOMEM);
                    VT_EQ(n, 99);
                    check_is(l->c, txn, vs_key_u64(1), before, BYTES);
                    refused++;
                }
                vs_rollback(txn);
                if (!has_failed)
                    break;
                if (st == VS_OK && !txn && what != 2)
                    break; /* it is done */
                check_is(l->c, NULL, vs_key_u64(1), before, BYTES);
            }
            sample_check(l->db);
            lean_end(l);
        }
    VT_CHECK(refused > 20);
}

/* ---- larger than memory --------------------------------------------------------------------- */

static uint64_t most_bytes;

static void look(vs_db *db) {
    uint64_t bytes = sample_stats(db).memory_bytes;
    most_bytes = bytes > most_bytes ? bytes : most_bytes;
}

/* Writes a payload of many runs in one transaction; whole: the seed of its bytes. */
static void write_large(vs_db *db, vs_collection *c, vs_txn *txn, size_t bytes, uint64_t seed) {
    enum { RUN = 300000 };
    static uint8_t run[RUN];
    for (size_t at = 0; at < bytes; at += RUN) {
        size_t n = bytes - at < RUN ? bytes - at : RUN;
        fill(run, n, seed + at, at % 2);
        VT_OK(vs_payload_write(c, txn, vs_key_u64(1), at, run, n), c);
        look(db);
    }
}

static void check_large(vs_db *db, vs_collection *c, vs_txn *txn, size_t bytes, uint64_t seed) {
    enum { RUN = 300000 };
    static uint8_t run[RUN], found[RUN + 1];
    VT_EQ(bytes_of(c, txn, vs_key_u64(1)), bytes);
    for (size_t at = 0; at < bytes; at += RUN) {
        size_t n = bytes - at < RUN ? bytes - at : RUN, found_bytes = 0;
        fill(run, n, seed + at, at % 2);
        VT_OK(vs_payload_read(c, txn, vs_key_u64(1), at, found, RUN, &found_bytes), c);
        VT_CHECK(found_bytes == n && !memcmp(found, run, n));
        look(db);
    }
}

/* With trailers, without, mapped, compressed or not. */
VT_TEST(a_payload_of_many_times_the_memory_limit_needs_no_more_of_it) {
    enum { BYTES = 24 << 20, LIMIT = 1 << 20, FIXED = 4 << 20 };
    for (int how = 0; how < 4; how++) {
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        sample s = {NULL, NULL};
        uint32_t point = 0;
        VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
        options.vfs = s.vfs;
        options.flags = VS_OPEN_CREATE | (how & 1 ? VS_OPEN_MMAP : 0);
        options.memory_limit = LIMIT;
        options.trailer_bytes = how & 1 ? 40 : 0;
        options.compression = how & 2 ? VS_COMPRESSION_NONE : VS_COMPRESSION_DEFAULT;
        VT_OK(vs_open("t.vs", &options, &s.db), s.db);
        vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
        sample_put(c, NULL, 1, zero, NULL);
        most_bytes = 0;
        vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
        write_large(s.db, c, txn, BYTES, 1);
        check_large(s.db, c, txn, BYTES, 1);
        VT_OK(vs_savepoint(txn, &point), txn);
        write_large(s.db, c, txn, BYTES / 3, 5);
        VT_OK(vs_payload_truncate(c, txn, vs_key_u64(1), BYTES / 4), c);
        VT_OK(vs_rollback_to(txn, point), txn);
        VT_OK(vs_commit(txn, VS_SYNC_FULL), s.db);
        check_large(s.db, c, NULL, BYTES, 1);
        vs_txn *snapshot = sample_begin(s.db, VS_TXN_READ);
        VT_OK(vs_delete(c, NULL, vs_key_u64(1)), c);
        sample_put(c, NULL, 1, zero, NULL);
        check_is(c, NULL, vs_key_u64(1), "", 0);
        check_large(s.db, c, snapshot, BYTES, 1);
        sample_check(s.db);
        look(s.db);
        vs_rollback(snapshot);
        vs_collection_close(c);
        if (most_bytes > LIMIT + FIXED)
            vt_fail(__FILE__, __LINE__, "%llu bytes of memory (way %d)",
                    (unsigned long long)most_bytes, how);
        sample_end(&s);
    }
}

/* ---- what one read holds -------------------------------------------------------------------- */

/* An allocator that knows how much there was at most. */
typedef struct peak {
    size_t now, most;
} peak;

static void *peak_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    peak *p = ctx;
    void *out = NULL;
    if (new_bytes)
        out = realloc(ptr, new_bytes);
    else
        free(ptr);
    if (!new_bytes || out)
        p->now += new_bytes - old_bytes;
    p->most = p->now > p->most ? p->now : p->most;
    return out;
}

/* Keys are so long that three pieces fill a node: what leads to all of them is larger than the limit. */
VT_TEST(one_read_of_many_pieces_holds_no_more_memory_than_of_few) {
    enum { BYTES = 64 << 20, RUN = 4 << 20, LIMIT = 1 << 18 };
    static char name[1000];
    peak memory = {0, 0};
    vs_allocator allocator = {&memory, peak_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    sample s = {NULL, NULL};
    uint8_t *data = calloc(1, BYTES);
    size_t n = 0;
    VT_CHECK(data != NULL);
    memset(name, 'k', sizeof name);
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    options.vfs = s.vfs;
    options.flags = VS_OPEN_CREATE;
    options.memory_limit = LIMIT;
    options.allocator = &allocator;
    options.sync = VS_SYNC_OFF;
    VT_OK(vs_open("t.vs", &options, &s.db), s.db);
    vs_collection *c = sample_create(s.db, NULL, "c", 2, VS_F32, VS_L2);
    const vs_key key = vs_key_bytes(name, sizeof name);
    vs_record r = VS_RECORD_INIT;
    r.key = key;
    r.vector = zero;
    VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
    for (size_t at = 0; at < BYTES; at += RUN) /* zeros: they take little room in the file */
        VT_OK(vs_payload_write(c, NULL, key, at, data, RUN), c);
    VT_OK(vs_checkpoint(s.db), s.db);
    for (int in_txn = 0; in_txn < 2; in_txn++) {
        vs_txn *txn = in_txn ? sample_begin(s.db, VS_TXN_WRITE) : NULL;
        memset(data, 1, BYTES);
        memory.most = memory.now;
        VT_OK(vs_payload_read(c, txn, key, 0, data, BYTES, &n), c);
        VT_CHECK(n == BYTES && !data[0] && !memcmp(data, data + 1, BYTES - 1));
        if (memory.most > 1500000)
            vt_fail(__FILE__, __LINE__, "%zu bytes of memory", memory.most);
        vs_rollback(txn);
    }
    vs_collection_close(c);
    sample_end(&s);
    free(data);
}
