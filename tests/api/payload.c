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
