/* scan.c - cursors over trees of several levels return each key once, in order.
 *
 * gcc 11 and 12 at -O2 believe that a function does not change a struct when it walks two arrays of
 * it downwards with strides of 4 and 8 bytes. The B+tree's cursor was such a struct: a scan showed
 * the first leaf again and again. Assertions hid it, so this program is linked with the library as
 * it ships, too (base/port.h turns the analysis off). What it breaks depends on inlining: with gcc
 * 12.2 the scans that the library makes itself, the last two tests here. */
#include "vecstore.h"
#include "vt.h"

/* More than 200 * 200 / 2: three levels, however full the nodes are. Coprime to 17017. */
enum { KEYS = 40009 };

typedef struct fixture {
    vs_vfs *vfs;
    vs_db *db;
    vs_collection *coll;
} fixture;

/* Number i of the keys in ascending order; odd, so that there are keys beside it. */
static uint64_t key_at(uint64_t i) {
    return (i << 32 | i * 7) * 2 + 1;
}

static uint8_t element_of(uint64_t i) {
    return (uint8_t)vt_mix(i);
}

static void begin(fixture *f) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    VT_EQ(vs_vfs_memory_create(NULL, &f->vfs), VS_OK);
    options.vfs = f->vfs;
    options.flags = VS_OPEN_CREATE;
    VT_OK(vs_open("scan.vs", &options, &f->db), f->db);
    shape.dim = 1;
    shape.type = VS_U8;
    VT_OK(vs_collection_create(f->db, NULL, "c", &shape, &f->coll), f->db);
}

static void end(fixture *f) {
    vs_collection_close(f->coll);
    VT_OK(vs_close(f->db), f->db);
    vs_vfs_memory_destroy(f->vfs);
}

/* Number i of n in one of three orders: ascending, descending, all over. */
static uint64_t in_order(int order, uint64_t i, uint64_t n) {
    return order == 0 ? i : order == 1 ? n - 1 - i : i * 17017 % n;
}

static void fill(fixture *f, vs_txn *txn, uint64_t n, int order) {
    uint64_t *keys = malloc(n * sizeof *keys);
    uint8_t *vectors = malloc(n);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = in_order(order, i, n);
        keys[i] = key_at(at);
        vectors[i] = element_of(at);
    }
    vs_batch batch = VS_BATCH_INIT;
    batch.count = n;
    batch.numbers = keys;
    batch.vectors = vectors;
    VT_OK(vs_put_batch(f->coll, txn, &batch, VS_INSERT), f->coll);
    free(keys);
    free(vectors);
}

/* Steps from key number at on, every stride-th, to the end. */
static void check_scan(fixture *f, vs_txn *txn, uint64_t from_key, uint64_t at, uint64_t n,
                       uint64_t stride) {
    vs_cursor *cursor = NULL;
    VT_OK(vs_scan(f->coll, txn, VT_FROM(from_key), &cursor), f->coll);
    for (; at < n; at += stride) {
        vs_record record = VS_RECORD_INIT;
        vs_status st = vs_step(cursor);
        if (st != VS_ROW)
            vt_fail(__FILE__, __LINE__, "step at key %" PRIu64 " of %" PRIu64 " returned %d", at, n,
                    st);
        VT_OK(vs_cursor_record(cursor, &record), cursor);
        if (record.key.number != key_at(at))
            vt_fail(__FILE__, __LINE__, "key %" PRIu64 " is %" PRIu64 ", expected %" PRIu64, at,
                    record.key.number, key_at(at));
        VT_EQ(*(const uint8_t *)record.vector, element_of(at));
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
}

VT_TEST(a_full_scan_returns_each_key_once_in_order_however_the_tree_was_filled) {
    for (int order = 0; order < 3; order++) {
        fixture f;
        begin(&f);
        fill(&f, NULL, KEYS, order);
        check_scan(&f, NULL, 0, 0, KEYS, 1);
        end(&f);
    }
}

VT_TEST(trees_of_one_two_and_three_levels_are_scanned_alike) {
    static const uint64_t sizes[] = {1, 2, 3, 50, 150, 199, 211, 400, 401, 2003, 20011};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fixture f;
        begin(&f);
        fill(&f, NULL, sizes[i], 2);
        check_scan(&f, NULL, 0, 0, sizes[i], 1);
        end(&f);
    }
}

VT_TEST(a_scan_begins_at_any_key_or_beside_it) {
    fixture f;
    begin(&f);
    fill(&f, NULL, KEYS, 2);
    for (uint64_t at = 0; at < KEYS; at += at < KEYS - 300 ? 1201 : 7) {
        check_scan(&f, NULL, key_at(at), at, KEYS, 1);
        check_scan(&f, NULL, key_at(at) - 1, at, KEYS, 1);
        check_scan(&f, NULL, key_at(at) + 1, at + 1, KEYS, 1);
    }
    check_scan(&f, NULL, UINT64_MAX, KEYS, KEYS, 1);
    end(&f);
}

VT_TEST(a_scan_of_a_write_transaction_sees_its_own_records) {
    fixture f;
    vs_txn *txn = NULL;
    begin(&f);
    VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
    fill(&f, txn, KEYS, 2);
    check_scan(&f, txn, 0, 0, KEYS, 1);
    check_scan(&f, NULL, 0, 0, 0, 1); /* nobody else does */
    VT_EQ(vs_commit(txn, VS_SYNC_DEFAULT), VS_OK);
    check_scan(&f, NULL, 0, 0, KEYS, 1);
    end(&f);
}

VT_TEST(a_scan_passes_over_deleted_records_and_emptied_leaves) {
    fixture f;
    vs_txn *txn = NULL;
    begin(&f);
    fill(&f, NULL, KEYS, 0);
    static const uint64_t stride[] = {2, 4, 1000, 20000}; /* each a multiple of the one before */
    for (size_t i = 0; i < sizeof stride / sizeof stride[0]; i++) {
        uint64_t had = i ? stride[i - 1] : 1;
        VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
        for (uint64_t at = 0; at < KEYS; at += had)
            if (at % stride[i])
                VT_OK(vs_delete(f.coll, txn, vs_key_u64(key_at(at))), f.coll);
        check_scan(&f, txn, 0, 0, KEYS, stride[i]);
        VT_EQ(vs_commit(txn, VS_SYNC_DEFAULT), VS_OK);
        check_scan(&f, NULL, 0, 0, KEYS, stride[i]);
    }
    end(&f);
}

/* Deletes what it stands on and puts records behind itself. */
VT_TEST(a_cursor_of_a_write_transaction_goes_on_behind_its_own_changes) {
    fixture f;
    vs_txn *txn = NULL;
    vs_cursor *cursor = NULL;
    begin(&f);
    fill(&f, NULL, 2003, 2);
    VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
    VT_OK(vs_scan(f.coll, txn, NULL, &cursor), f.coll);
    for (uint64_t at = 0; at < 2003; at++) {
        vs_record record = VS_RECORD_INIT;
        VT_EQ(vs_step(cursor), VS_ROW);
        VT_OK(vs_cursor_record(cursor, &record), cursor);
        VT_CHECK(record.key.number == key_at(at));
        if (at % 3 == 0)
            VT_OK(vs_delete(f.coll, txn, vs_key_u64(key_at(at))), f.coll);
        if (at % 5 == 0) { /* not seen: in front of the cursor's place */
            uint8_t element = 1;
            record = (vs_record)VS_RECORD_INIT;
            record.key.number = key_at(at) - 1;
            record.vector = &element;
            VT_OK(vs_put(f.coll, txn, &record, VS_INSERT), f.coll);
        }
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    vs_rollback(txn);
    check_scan(&f, NULL, 0, 0, 2003, 1);
    end(&f);
}

VT_TEST(a_snapshot_s_scan_stays_while_the_tree_is_rebuilt) {
    fixture f;
    vs_cursor *cursor = NULL;
    vs_txn *txn = NULL;
    begin(&f);
    fill(&f, NULL, 20011, 2);
    VT_OK(vs_scan(f.coll, NULL, NULL, &cursor), f.coll);
    for (uint64_t at = 0; at < 20011; at++) {
        vs_record record = VS_RECORD_INIT;
        if (at == 100) {
            VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
            for (uint64_t i = 0; i < 20011; i++)
                VT_OK(vs_delete(f.coll, txn, vs_key_u64(key_at(i))), f.coll);
            VT_EQ(vs_commit(txn, VS_SYNC_DEFAULT), VS_OK);
            fill(&f, NULL, 500, 0);
        }
        VT_EQ(vs_step(cursor), VS_ROW);
        VT_OK(vs_cursor_record(cursor, &record), cursor);
        VT_CHECK(record.key.number == key_at(at));
        VT_EQ(*(const uint8_t *)record.vector, element_of(at));
    }
    VT_EQ(vs_step(cursor), VS_DONE);
    vs_cursor_close(cursor);
    check_scan(&f, NULL, 0, 0, 500, 1);
    end(&f);
}

/* The library's own scans: of values in many pieces, whose pieces fill many leaves, and of all
 * trees. */
VT_TEST(values_in_many_pieces_are_read_whole) {
    enum { BYTES = 1000000 };
    fixture f;
    char *text = malloc(BYTES + 1), *found = malloc(BYTES);
    size_t bytes = 0;
    begin(&f);
    memset(text, 'a', BYTES);
    memcpy(text, "{\"text\":\"", 9);
    for (size_t i = 9; i < BYTES - 2; i++)
        text[i] = (char)('a' + vt_mix(i) % 26);
    memcpy(text + BYTES - 2, "\"}", 3);
    for (uint64_t key = 0; key < 3; key++) {
        uint8_t element = 1;
        vs_record record = VS_RECORD_INIT;
        record.key.number = key;
        record.vector = &element;
        record.metadata = text;
        record.metadata_bytes = BYTES;
        VT_OK(vs_put(f.coll, NULL, &record, VS_INSERT), f.coll);
        VT_OK(vs_kv_put(f.db, NULL, NULL, &key, sizeof key, text, BYTES), f.db);
    }
    for (uint64_t key = 0; key < 3; key++) {
        vs_record record = VS_RECORD_INIT;
        VT_OK(vs_get(f.coll, NULL, vs_key_u64(key), &record), f.coll);
        VT_EQ(record.metadata_bytes, BYTES);
        VT_CHECK(!memcmp(record.metadata, text, BYTES));
        VT_OK(vs_kv_get(f.db, NULL, NULL, &key, sizeof key, found, BYTES, &bytes), f.db);
        VT_CHECK(bytes == BYTES && !memcmp(found, text, BYTES));
    }
    free(text);
    free(found);
    end(&f);
}

static void print_problem(void *ctx, const char *problem) {
    (void)ctx;
    fprintf(stderr, "%s\n", problem);
}

VT_TEST(the_checker_walks_all_records_and_notes) {
    fixture f;
    vs_txn *txn = NULL;
    uint64_t problems = 0;
    begin(&f);
    fill(&f, NULL, KEYS, 2);
    VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
    for (uint64_t i = 0; i < 20011; i++) {
        uint64_t key = key_at(in_order(2, i, 20011));
        VT_OK(vs_kv_put(f.db, txn, i % 2 ? f.coll : NULL, &key, sizeof key, &i, sizeof i), txn);
    }
    VT_EQ(vs_commit(txn, VS_SYNC_DEFAULT), VS_OK);
    VT_OK(vs_check(f.db, 3, print_problem, NULL, &problems), f.db);
    VT_EQ(problems, 0);
    end(&f);
}
