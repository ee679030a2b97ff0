/* memory.c - what a host gives and gets: its allocator, the file system in memory, figures about a
 * database and the check of its files. */
#include "sample.h"

/* ---- an allocator that watches -------------------------------------------------------------- */

/* Each block has its size in front, to compare with what the library says it is. */
enum { FRONT = 64 };

typedef struct watcher {
    uint64_t live_bytes, live_blocks, calls, wrong;
} watcher;

static void *watcher_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    watcher *w = ctx;
    uint8_t *block = ptr ? (uint8_t *)ptr - FRONT : NULL, *fresh = NULL;
    size_t known = 0;
    if (block)
        memcpy(&known, block, sizeof known);
    w->wrong += known != old_bytes || (ptr && !old_bytes);
    w->wrong += !ptr && !new_bytes;
    w->calls++;
    if (new_bytes) {
        fresh = malloc(FRONT + new_bytes);
        if (!fresh)
            abort();
        memcpy(fresh, &new_bytes, sizeof new_bytes);
        memset(fresh + FRONT, 0xdd, new_bytes); /* nobody may count on zeros */
        if (ptr)
            memcpy(fresh + FRONT, ptr, known < new_bytes ? known : new_bytes);
    }
    free(block);
    w->live_bytes += (uint64_t)new_bytes - known;
    w->live_blocks += (uint64_t)(new_bytes != 0) - (ptr != NULL);
    return fresh ? fresh + FRONT : NULL;
}

static vs_open_options with_allocator(const vs_vfs *vfs, const vs_allocator *allocator) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.vfs = vfs;
    options.flags = VS_OPEN_CREATE;
    options.allocator = allocator;
    return options;
}

/* Some of everything. */
static void use_database(vs_db *db) {
    float v[20] = {0};
    vs_collection *c = NULL;
    vs_hit hits[5];
    size_t n = 0;
    vs_collection_options options = sample_options(20, VS_F32, VS_L2);
    if (vs_collection_open(db, NULL, "c", &c) != VS_OK)
        VT_OK(vs_collection_create(db, NULL, "c", &options, &c), db);
    for (int round = 0; round < 3; round++) {
        vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
        for (uint64_t key = 0; key < 300; key++) {
            v[key % 20] = (float)key;
            sample_put(c, txn, key, v, key % 4 ? NULL : "{\"text\":\"some metadata\"}");
        }
        VT_OK(vs_kv_put(db, txn, c, "note", 4, v, sizeof v), txn);
        if (round == 1)
            vs_rollback(txn);
        else
            VT_OK(vs_commit(txn, round ? VS_SYNC_OFF : VS_SYNC_FULL), db);
    }
    for (uint64_t key = 0; key < 300; key += 3)
        VT_OK(vs_delete(c, NULL, vs_key_u64(key)), c);
    vs_cursor *cursor = NULL;
    VT_OK(vs_scan(c, NULL, NULL, &cursor), c);
    VT_EQ(vs_step(cursor), VS_ROW);
    vs_record r = VS_RECORD_INIT;
    VT_OK(vs_cursor_record(cursor, &r), cursor);
    VT_OK(vs_search(c, NULL, v, 0, 5, NULL, hits, &n), c);
    VT_EQ(n, 5);
    VT_EQ(vs_get(c, NULL, vs_key_u64(12345), &r), VS_ERR_NOT_FOUND);
    VT_OK(vs_get(c, NULL, vs_key_u64(4), &r), c);
    sample_check(db);
    vs_cursor_close(cursor);
    vs_collection_close(c);
}

VT_TEST(all_memory_comes_from_the_allocator_and_goes_back_with_its_right_size) {
    watcher files = {0}, memory = {0};
    vs_allocator for_files = {&files, watcher_realloc}, for_memory = {&memory, watcher_realloc};
    vs_vfs *vfs = NULL;
    VT_EQ(vs_vfs_memory_create(&for_files, &vfs), VS_OK);
    VT_CHECK(files.live_blocks > 0);
    vs_open_options options = with_allocator(vfs, &for_memory);
    for (int round = 0; round < 3; round++) {
        vs_db *db = NULL;
        VT_OK(vs_open("t.vs", &options, &db), db);
        use_database(db);
        VT_CHECK(memory.live_bytes > 300 * 20 * sizeof(float));
        VT_OK(vs_close(db), db);
        VT_EQ(memory.live_blocks, 0);
        VT_EQ(memory.live_bytes, 0);
        VT_CHECK(files.live_bytes > 300 * 20 * sizeof(float)); /* the files stay */
    }
    vs_vfs_memory_destroy(vfs);
    VT_EQ(files.live_blocks, 0);
    VT_EQ(files.live_bytes, 0);
    VT_EQ(files.wrong, 0);
    VT_EQ(memory.wrong, 0);
}

VT_TEST(the_allocator_struct_is_copied) {
    watcher w = {0};
    vs_allocator *allocator = malloc(sizeof *allocator);
    vs_vfs *vfs = NULL;
    vs_db *db = NULL;
    VT_CHECK(allocator != NULL);
    *allocator = (vs_allocator){&w, watcher_realloc};
    VT_EQ(vs_vfs_memory_create(allocator, &vfs), VS_OK);
    vs_open_options options = with_allocator(vfs, allocator);
    VT_OK(vs_open("t.vs", &options, &db), db);
    free(allocator);
    use_database(db);
    VT_OK(vs_close(db), db);
    vs_vfs_memory_destroy(vfs);
    VT_EQ(w.live_blocks, 0);
}

VT_TEST(a_failed_open_gives_all_memory_back_with_its_handle) {
    watcher w = {0};
    vs_allocator allocator = {&w, watcher_realloc};
    vs_vfs *vfs = NULL;
    vs_db *db = NULL, *first = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    vs_open_options options = with_allocator(vfs, &allocator);
    options.flags = 0;
    VT_EQ(vs_open("t.vs", &options, &db), VS_ERR_NOT_FOUND);
    VT_EQ(vs_close(db), VS_OK);
    VT_EQ(w.live_blocks, 0);
    first = sample_open(vfs, "t.vs", VS_OPEN_CREATE);
    VT_EQ(vs_open("t.vs", &options, &db), VS_ERR_BUSY);
    VT_EQ(vs_close(db), VS_OK);
    VT_EQ(w.live_blocks, 0);
    VT_OK(vs_close(first), first);
    vs_vfs_memory_destroy(vfs);
}

VT_TEST(memory_bytes_goes_up_and_down_with_what_is_allocated) {
    watcher w = {0};
    vs_allocator allocator = {&w, watcher_realloc};
    vs_vfs *vfs = NULL;
    vs_db *db = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    vs_open_options options = with_allocator(vfs, &allocator);
    VT_OK(vs_open("t.vs", &options, &db), db);
    uint64_t apart = w.live_bytes - sample_stats(db).memory_bytes; /* the handle itself */
    VT_CHECK(apart < 4096);
    use_database(db);
    VT_EQ(w.live_bytes - sample_stats(db).memory_bytes, apart);
    use_database(db);
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    VT_EQ(w.live_bytes - sample_stats(db).memory_bytes, apart);
    vs_rollback(txn);
    VT_EQ(w.live_bytes - sample_stats(db).memory_bytes, apart);
    VT_OK(vs_close(db), db);
    vs_vfs_memory_destroy(vfs);
}

/* ---- no memory ------------------------------------------------------------------------------ */

/* What a call may answer when memory runs short. */
static bool is_ok(vs_status st) {
    VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
    return st == VS_OK;
}

/* One of each call that may need memory; true when none failed. */
static bool try_everything(vs_db *db, uint64_t key) {
    float v[20] = {(float)key};
    vs_txn *txn = NULL;
    vs_collection *c = NULL;
    vs_cursor *cursor = NULL;
    vs_record r = VS_RECORD_INIT;
    vs_hit hits[3];
    size_t n;
    uint64_t problems = 0;
    bool all = is_ok(vs_collection_open(db, NULL, "c", &c));
    if (!c)
        return false;
    all = is_ok(sample_try_put(c, NULL, key, v, "{\"a\":1}", VS_UPSERT)) && all;
    if (is_ok(vs_begin(db, VS_TXN_WRITE, &txn))) {
        all = is_ok(sample_try_put(c, txn, key + 1, v, NULL, VS_UPSERT)) && all;
        all = is_ok(vs_kv_put(db, txn, c, "k", 1, v, sizeof v)) && all;
        all = is_ok(vs_commit(txn, VS_SYNC_FULL)) && all;
    } else {
        all = false;
    }
    all = is_ok(vs_get(c, NULL, vs_key_u64(0), &r)) && all;
    all = is_ok(vs_search(c, NULL, v, 0, 3, NULL, hits, &n)) && all;
    if (is_ok(vs_scan(c, NULL, NULL, &cursor))) {
        VT_EQ(vs_step(cursor), VS_ROW);
        all = is_ok(vs_cursor_record(cursor, &r)) && all;
        vs_cursor_close(cursor);
    } else {
        all = false;
    }
    all = is_ok(vs_check(db, 3, NULL, NULL, &problems)) && all;
    VT_EQ(problems, 0);
    vs_collection_close(c);
    return all;
}

VT_TEST(a_database_goes_on_after_any_allocation_failed) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    vs_vfs *vfs = NULL;
    vs_db *db = NULL;
    bool is_through = false;
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    vs_open_options options = with_allocator(vfs, &allocator);
    VT_OK(vs_open("t.vs", &options, &db), db);
    vs_collection *c = sample_create(db, NULL, "c", 20, VS_F32, VS_L2);
    float v[20] = {0};
    sample_put(c, NULL, 0, v, NULL);
    vs_collection_close(c);
    for (uint64_t at = 1; !is_through; at++) {
        VT_CHECK(at < 1000);
        counter.fail_at = counter.calls + at;
        is_through = try_everything(db, 10 * at);
        VT_EQ(counter.failures, at - (is_through ? 1 : 0));
        counter.fail_at = 0;
        VT_CHECK(try_everything(db, 10 * at + 5));
    }
    VT_EQ(sample_stats(db).readers, 0);
    VT_OK(vs_close(db), db);
    VT_EQ(counter.live_blocks, 0);
    vs_vfs_memory_destroy(vfs);
}

VT_TEST(an_open_that_finds_no_memory_says_so_and_can_be_tried_again) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    sample s = sample_new();
    use_database(s.db);
    sample killed = sample_after_kill(&s); /* with a log to recover */
    VT_OK(vs_close(killed.db), killed.db);
    vs_open_options options = with_allocator(killed.vfs, &allocator);
    vs_status st = VS_ERR_NOMEM;
    for (uint64_t at = 1; st != VS_OK; at++) {
        vs_db *db = NULL;
        counter.fail_at = counter.calls + at;
        st = vs_open("t.vs", &options, &db);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        VT_CHECK(st == VS_OK || !db || strstr(vs_errmsg(db), "memory"));
        VT_CHECK(db || at == 1); /* only when there was none for the handle itself */
        counter.fail_at = 0;
        VT_EQ(vs_close(db), VS_OK);
        VT_EQ(counter.live_blocks, 0);
    }
    killed.db = sample_open(killed.vfs, "t.vs", 0);
    vs_stats a = sample_stats(s.db), b = sample_stats(killed.db);
    VT_CHECK(a.digest[0] == b.digest[0] && a.digest[1] == b.digest[1]);
    sample_end(&killed);
    sample_end(&s);
}

/* ---- the file system in memory -------------------------------------------------------------- */

VT_TEST(a_memory_file_system_needs_a_place_for_its_pointer_and_memory) {
    vt_allocator none = {.fail_at = 1, .fails_for_ever = true};
    vs_allocator allocator = {&none, vt_realloc};
    vs_vfs *vfs = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_vfs_memory_create(&allocator, &vfs), VS_ERR_NOMEM);
    VT_CHECK(!vfs);
    vs_vfs_memory_destroy(NULL);
}

VT_TEST(databases_in_memory_last_as_long_as_their_file_system) {
    vs_vfs *one = NULL, *two = NULL;
    vs_db *db = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &one), VS_OK);
    VT_EQ(vs_vfs_memory_create(NULL, &two), VS_OK);
    const char *paths[] = {"a.vs", "b.vs", "folder/that/is/just/a/name", "c d"};
    for (int i = 0; i < 4; i++) {
        db = sample_open(one, paths[i], VS_OPEN_CREATE);
        VT_OK(vs_kv_put(db, NULL, NULL, "path", 4, paths[i], strlen(paths[i])), db);
        VT_OK(vs_close(db), db);
    }
    for (int i = 0; i < 4; i++) {
        char found[64] = {0};
        size_t n = 0;
        db = sample_open(one, paths[i], i % 2 ? VS_OPEN_READONLY : 0);
        VT_OK(vs_kv_get(db, NULL, NULL, "path", 4, found, sizeof found, &n), db);
        VT_STR(found, paths[i]);
        VT_OK(vs_close(db), db);
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        options.vfs = two; /* another world */
        VT_EQ(vs_open(paths[i], &options, &db), VS_ERR_NOT_FOUND);
        VT_EQ(vs_close(db), VS_OK);
    }
    vs_vfs_memory_destroy(one);
    vs_vfs_memory_destroy(two);
}

VT_TEST(a_database_in_memory_is_locked_like_one_in_a_file) {
    sample s = sample_new();
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *second = NULL, *third = NULL;
    options.vfs = s.vfs;
    VT_EQ(vs_open("t.vs", &options, &second), VS_ERR_BUSY);
    VT_EQ(vs_close(second), VS_OK);
    VT_OK(vs_close(s.db), s.db);
    options.flags = VS_OPEN_READONLY;
    VT_OK(vs_open("t.vs", &options, &second), second);
    VT_OK(vs_open("t.vs", &options, &third), third);
    options.flags = 0;
    VT_EQ(vs_open("t.vs", &options, &s.db), VS_ERR_BUSY);
    VT_EQ(vs_close(s.db), VS_OK);
    VT_OK(vs_close(second), second);
    VT_OK(vs_close(third), third);
    s.db = sample_open(s.vfs, "t.vs", 0);
    sample_end(&s);
}

/* ---- figures -------------------------------------------------------------------------------- */

static void put_numbers(vs_db *db, uint64_t from, uint64_t to, int sync) {
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    for (uint64_t i = from; i < to; i++)
        VT_OK(vs_kv_put(db, txn, NULL, &i, sizeof i, &i, sizeof i), txn);
    VT_OK(vs_commit(txn, sync), db);
}

VT_TEST(the_figures_of_a_new_database_are_zero) {
    sample s = sample_new();
    vs_stats x = sample_stats(s.db);
    VT_EQ(x.size, sizeof x);
    VT_CHECK(!x.readers && !x.lsn && !x.durable_lsn && !x.log_generation && !x.log_bytes);
    VT_CHECK(!x.commits && !x.syncs && !x.log_takeovers && !x.recovered_txns);
    VT_CHECK(!x.dropped_lsn && !x.dropped_bytes && !x.digest[0] && !x.digest[1]);
    VT_CHECK(!x.checkpoint && !x.checkpoint_lsn && !x.checkpoints && !x.free_bytes);
    VT_CHECK(x.memory_bytes > 0);
    VT_STR(x.readonly_reason, "");
    sample_end(&s);
}

VT_TEST(the_figures_follow_what_happens) {
    sample s = sample_new();
    for (uint64_t i = 1; i <= 4; i++) {
        put_numbers(s.db, i, i + 1, VS_SYNC_FULL);
        vs_stats x = sample_stats(s.db);
        VT_EQ(x.commits, i);
        VT_EQ(x.lsn, i); /* one frame each */
        VT_EQ(x.durable_lsn, i);
        VT_EQ(x.log_generation, 1);
        VT_EQ(x.log_takeovers, 1);
        VT_CHECK(x.syncs >= i - 1 && x.syncs <= i);
        VT_CHECK(x.log_bytes > 4096);
    }
    vs_txn *read = sample_begin(s.db, VS_TXN_READ);
    VT_EQ(sample_stats(s.db).readers, 1);
    vs_rollback(read);
    VT_EQ(sample_stats(s.db).readers, 0);
    vs_stats before = sample_stats(s.db);
    sample killed = sample_after_kill(&s);
    vs_stats x = sample_stats(killed.db);
    VT_EQ(x.recovered_txns, 4);
    VT_EQ(x.lsn, 4);
    VT_EQ(x.durable_lsn, 4);
    VT_EQ(x.commits, 0); /* of this handle */
    VT_EQ(x.syncs, 0);
    VT_EQ(x.log_takeovers, 0);
    VT_EQ(x.log_generation, 1);
    VT_EQ(x.log_bytes, before.log_bytes);
    VT_EQ(x.dropped_lsn, 0);
    VT_EQ(x.dropped_bytes, 0);
    VT_CHECK(!x.checkpoint && !x.checkpoint_lsn && !x.checkpoints);
    VT_CHECK(x.digest[0] == before.digest[0] && x.digest[1] == before.digest[1]);
    put_numbers(killed.db, 9, 10, VS_SYNC_FULL);
    x = sample_stats(killed.db);
    VT_EQ(x.log_generation, 2); /* each session that writes begins a file of its own */
    VT_EQ(x.log_takeovers, 1);
    VT_EQ(x.lsn, 5);
    VT_CHECK(x.log_bytes > before.log_bytes);
    sample_end(&killed);
    sample_end(&s);
}

VT_TEST(the_figures_follow_checkpoints_and_a_close) {
    sample s = sample_new();
    for (uint64_t i = 1; i <= 3; i++) {
        put_numbers(s.db, i, i + 1, VS_SYNC_OFF);
        vs_stats before = sample_stats(s.db);
        VT_CHECK(before.log_bytes > 4096);
        VT_EQ(before.checkpoint, i - 1);
        VT_EQ(before.checkpoint_lsn, i - 1);
        VT_OK(vs_checkpoint(s.db), s.db);
        vs_stats x = sample_stats(s.db);
        VT_EQ(x.checkpoint, i);
        VT_EQ(x.checkpoints, i);
        VT_EQ(x.checkpoint_lsn, i);
        VT_EQ(x.lsn, i);
        VT_EQ(x.durable_lsn, i); /* whatever the commit asked for */
        VT_EQ(x.log_generation, i);
        VT_EQ(x.log_bytes, 0); /* recovery would read none */
        VT_EQ(x.commits, i);
        VT_CHECK(x.file_bytes > 131072 && x.file_bytes % 4096 == 0);
        VT_CHECK(x.free_bytes < x.file_bytes && x.free_bytes % 4096 == 0);
        VT_CHECK(x.digest[0] == before.digest[0] && x.digest[1] == before.digest[1]);
    }
    put_numbers(s.db, 7, 8, VS_SYNC_OFF);
    vs_stats before = sample_stats(s.db);
    sample_reopen(&s);
    vs_stats x = sample_stats(s.db);
    VT_EQ(x.recovered_txns, 0); /* nothing is left to recover */
    VT_EQ(x.lsn, 4);
    VT_EQ(x.durable_lsn, 4);
    VT_EQ(x.checkpoint, 4);
    VT_EQ(x.checkpoint_lsn, 4);
    VT_CHECK(!x.checkpoints && !x.commits && !x.syncs && !x.log_takeovers); /* of this handle */
    VT_EQ(x.log_bytes, 0);
    VT_EQ(x.free_bytes, 0); /* not known yet */
    VT_CHECK(x.file_bytes > 131072);
    VT_CHECK(x.digest[0] == before.digest[0] && x.digest[1] == before.digest[1]);
    put_numbers(s.db, 9, 10, VS_SYNC_FULL);
    x = sample_stats(s.db);
    VT_EQ(x.log_generation, 5); /* a number is not used twice */
    VT_EQ(x.log_takeovers, 1);
    VT_EQ(x.lsn, 5);
    sample_end(&s);
}

VT_TEST(figures_into_a_smaller_struct_end_where_it_ends) {
    sample s = sample_new();
    vs_stats x;
    memset(&x, 0x77, sizeof x);
    x.size = offsetof(vs_stats, log_bytes);
    put_numbers(s.db, 1, 2, VS_SYNC_FULL);
    VT_OK(vs_stats_get(s.db, &x), s.db);
    VT_EQ(x.log_generation, 1);
    VT_EQ(x.log_bytes, 0x7777777777777777);
    VT_EQ(x.readonly_reason[0], 0x77);
    x.size = 0;
    VT_EQ(vs_stats_get(s.db, &x), VS_ERR_MISUSE);
    VT_CONTAINS(vs_errmsg(s.db), "vs_stats");
    sample_end(&s);
}

/* ---- files changed by another hand ---------------------------------------------------------- */

static void cut_file(vs_vfs *vfs, const char *path, uint64_t bytes) {
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    VT_EQ(vfs->open(vfs->ctx, path, VS_VFS_WRITE, &file, why), VS_OK);
    VT_EQ(vfs->truncate(vfs->ctx, file, bytes, why), VS_OK);
    vfs->close(vfs->ctx, file);
}

static void flip_byte(vs_vfs *vfs, const char *path, uint64_t at) {
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    uint8_t byte = 0;
    size_t n = 0;
    VT_EQ(vfs->open(vfs->ctx, path, VS_VFS_WRITE, &file, why), VS_OK);
    VT_EQ(vfs->read(vfs->ctx, file, &byte, 1, at, &n, why), VS_OK);
    VT_EQ(n, 1);
    byte ^= 0x20;
    VT_EQ(vfs->write(vfs->ctx, file, &byte, 1, at, &n, why), VS_OK);
    vfs->close(vfs->ctx, file);
}

typedef struct log_lines {
    int count, last_level;
    char last[600];
} log_lines;

static void log_line(void *ctx, int level, const char *message) {
    log_lines *lines = ctx;
    lines->count++;
    lines->last_level = level;
    snprintf(lines->last, sizeof lines->last, "%s", message);
}

VT_TEST(a_torn_tail_is_dropped_counted_told_and_no_problem) {
    sample s = sample_new();
    put_numbers(s.db, 0, 1, VS_SYNC_FULL);
    put_numbers(s.db, 1, 2, VS_SYNC_OFF);
    vs_stats before = sample_stats(s.db);
    put_numbers(s.db, 2, 50, VS_SYNC_OFF);
    vs_stats after = sample_stats(s.db);
    sample killed = sample_after_kill(&s);
    VT_EQ(sample_stats(killed.db).dropped_lsn, 0);
    sample_end(&killed);
    VT_EQ(vs_vfs_memory_create(NULL, &killed.vfs), VS_OK);
    VT_CHECK(sample_copy_file(s.vfs, killed.vfs, "t.vs"));
    VT_CHECK(sample_copy_file(s.vfs, killed.vfs, "t.vs-wal-1"));
    /* space is reserved behind the last frame */
    cut_file(killed.vfs, "t.vs-wal-1", (size_t)after.log_bytes - 100);
    for (int readonly = 1; readonly >= 0; readonly--) {
        log_lines lines = {0};
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        options.vfs = killed.vfs;
        options.flags = readonly ? VS_OPEN_READONLY : 0;
        options.log = log_line;
        options.log_ctx = &lines;
        VT_OK(vs_open("t.vs", &options, &killed.db), killed.db);
        vs_stats x = sample_stats(killed.db);
        VT_CHECK(x.digest[0] == before.digest[0] && x.digest[1] == before.digest[1]);
        VT_EQ(x.lsn, before.lsn);
        VT_EQ(x.recovered_txns, 2);
        VT_EQ(x.dropped_lsn, after.lsn);
        VT_CHECK(x.dropped_bytes > 0);
        VT_EQ(lines.count, 1);
        VT_EQ(lines.last_level, VS_LOG_INFO);
        VT_CONTAINS(lines.last, "t.vs");
        sample_check(killed.db);
        if (!readonly)
            put_numbers(killed.db, 2, 50, VS_SYNC_FULL);
        VT_OK(vs_close(killed.db), killed.db);
    }
    killed.db = sample_open(killed.vfs, "t.vs", 0);
    vs_stats x = sample_stats(killed.db);
    VT_CHECK(x.digest[0] == after.digest[0] && x.digest[1] == after.digest[1]);
    VT_EQ(x.dropped_lsn, 0);
    sample_end(&killed);
    sample_end(&s);
}

typedef struct problems {
    int count;
    bool has_empty;
} problems;

static void count_problem(void *ctx, const char *problem) {
    problems *p = ctx;
    p->count++;
    p->has_empty |= !problem || !problem[0];
}

/* Whether a check of this level finds something, counted and reported alike. */
static bool finds(vs_db *db, int level) {
    problems p = {0};
    uint64_t n = 999, again = 999;
    VT_OK(vs_check(db, level, count_problem, &p, &n), db);
    VT_OK(vs_check(db, level, NULL, NULL, &again), db);
    VT_EQ(p.count, n);
    VT_EQ(n, again);
    VT_CHECK(!p.has_empty);
    return n > 0;
}

VT_TEST(each_level_of_checking_finds_the_damage_it_looks_for) {
    static const struct {
        const char *path;
        uint64_t at;
        int level; /* the lowest that must find it */
    } damage[] = {
        {"t.vs", 64, 0},                 /* sequence number of meta page A */
        {"t.vs", 65536 + 4090, 0},       /* checksum of meta page B */
        {"t.vs-wal-1", 56, 1},           /* header of the log */
        {"t.vs-wal-1", 4096 + 16, 1},    /* header of the first frame */
        {"t.vs-wal-1", 4096 + 64 + 9, 2} /* payload of the first frame */
    };
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        sample s = sample_new();
        put_numbers(s.db, 0, 20, VS_SYNC_FULL);
        put_numbers(s.db, 5, 30, VS_SYNC_FULL);
        for (int level = 0; level <= 3; level++)
            VT_CHECK(!finds(s.db, level));
        flip_byte(s.vfs, damage[i].path, damage[i].at);
        for (int level = damage[i].level; level <= 3; level++)
            VT_CHECK(finds(s.db, level));
        for (int level = 0; level < damage[i].level; level++)
            VT_CHECK(!finds(s.db, level));
        size_t n;
        uint64_t key = 7;
        VT_OK(vs_kv_get(s.db, NULL, NULL, &key, sizeof key, NULL, 0, &n), s.db); /* reads go on */
        flip_byte(s.vfs, damage[i].path, damage[i].at);
        sample_check(s.db);
        sample_end(&s);
    }
}

VT_TEST(a_level_of_checking_that_does_not_exist_is_refused) {
    sample s = sample_new();
    uint64_t n = 55;
    VT_EQ(vs_check(s.db, 4, NULL, NULL, &n), VS_ERR_INVALID);
    VT_CONTAINS(vs_errmsg(s.db), "4");
    VT_EQ(vs_check(s.db, -1, NULL, NULL, &n), VS_ERR_INVALID);
    VT_EQ(n, 55);
    sample_check(s.db); /* of an empty database */
    sample_end(&s);
}

typedef struct asked {
    vs_db *db;
    int times;
} asked;

static void ask_back(void *ctx, const char *problem) {
    asked *a = ctx;
    vs_stats stats = VS_STATS_INIT;
    VT_CHECK(problem[0]);
    VT_OK(vs_stats_get(a->db, &stats), a->db);
    VT_OK(vs_kv_put(a->db, NULL, NULL, "seen", 4, "", 0), a->db);
    a->times++;
}

VT_TEST(what_a_check_reports_to_may_use_the_database) {
    sample s = sample_new();
    char why[VS_VFS_WHY_BYTES];
    uint8_t bad = 0x55;
    void *file = NULL;
    size_t n = 0;
    uint64_t count = 0;
    VT_OK(vs_kv_put(s.db, NULL, NULL, "k", 1, "v", 1), s.db);
    VT_EQ(s.vfs->open(s.vfs->ctx, "t.vs", VS_VFS_WRITE, &file, why), VS_OK);
    VT_EQ(s.vfs->write(s.vfs->ctx, file, &bad, 1, 100, &n, why), VS_OK); /* page A */
    s.vfs->close(s.vfs->ctx, file);
    asked a = {s.db, 0};
    VT_OK(vs_check(s.db, 3, ask_back, &a, &count), s.db);
    VT_EQ(a.times, 1);
    VT_EQ(count, 1);
    sample_end(&s);
}
