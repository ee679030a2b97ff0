/* inmemory.c - databases that vs_open makes in memory: what they are, and that they touch no file. */
#include "sample.h"
#include <dirent.h>
#include <sys/wait.h>
#include <unistd.h>

static vs_db *open_memory(const vs_open_options *options) {
    vs_db *db = NULL;
    VT_OK(vs_open(":memory:", options, &db), db);
    return db;
}

static void expect_refusal(const char *path, const vs_open_options *options, vs_status status,
                           const char *message) {
    vs_db *db = NULL;
    VT_EQ(vs_open(path, options, &db), status);
    VT_CONTAINS(vs_errmsg(db), message);
    VT_EQ(vs_close(db), VS_OK);
}

/* Files in a folder whose name has "memory" in it. */
static int count_files(const char *folder) {
    DIR *dir = opendir(folder);
    int count = 0;
    VT_CHECK(dir);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += strstr(entry->d_name, "memory") != NULL;
    closedir(dir);
    return count;
}

VT_TEST(a_database_in_memory_needs_no_options_and_begins_empty) {
    vs_db *db = open_memory(NULL);
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    VT_EQ(vs_collection_at(db, NULL, 0, &info), VS_DONE);
    float v[2] = {1, 2};
    vs_collection *c = sample_create(db, NULL, "c", 2, VS_F32, VS_L2);
    sample_put(c, NULL, 7, v, "{\"a\":1}");
    VT_CHECK(sample_has(c, NULL, 7));
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
    db = open_memory(NULL); /* nothing of the one before */
    VT_EQ(vs_collection_at(db, NULL, 0, &info), VS_DONE);
    VT_OK(vs_close(db), db);
}

VT_TEST(two_opens_are_two_databases) {
    vs_db *a = open_memory(NULL), *b = open_memory(NULL);
    float v[2] = {1, 2};
    vs_collection *in_a = sample_create(a, NULL, "c", 2, VS_F32, VS_L2), *in_b = NULL;
    sample_put(in_a, NULL, 1, v, NULL);
    VT_EQ(vs_collection_open(b, NULL, "c", &in_b), VS_ERR_NOT_FOUND);
    in_b = sample_create(b, NULL, "c", 2, VS_F32, VS_L2);
    VT_EQ(sample_count(in_b, NULL), 0);
    VT_EQ(sample_count(in_a, NULL), 1);
    vs_collection_close(in_a);
    VT_OK(vs_close(a), a);
    sample_put(in_b, NULL, 2, v, NULL);
    sample_check(b);
    vs_collection_close(in_b);
    VT_OK(vs_close(b), b);
}

VT_TEST(transactions_savepoints_checkpoints_and_checks_work_in_memory) {
    vs_db *db = open_memory(NULL);
    vs_collection *c = sample_create(db, NULL, "c", 2, VS_F32, VS_L2);
    float v[2] = {1, 2};
    uint32_t point = 0;
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    sample_put(c, txn, 1, v, NULL);
    VT_OK(vs_savepoint(txn, &point), txn);
    sample_put(c, txn, 2, v, NULL);
    VT_OK(vs_rollback_to(txn, point), txn);
    sample_put(c, txn, 3, v, NULL);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), db);
    vs_txn *before = sample_begin(db, VS_TXN_READ);
    for (int i = 0; i < 3; i++) {
        sample_put(c, NULL, 10 + (uint64_t)i, v, NULL);
        VT_OK(vs_checkpoint(db), db);
        sample_check(db);
    }
    VT_EQ(sample_count(c, before), 2);
    VT_EQ(sample_count(c, NULL), 5);
    VT_EQ(sample_stats(db).checkpoints, 3);
    VT_CHECK(sample_stats(db).file_bytes > 0);
    VT_OK(vs_sync(db), db);
    VT_OK(vs_maintain(db, 0, NULL), db);
    vs_rollback(before);
    VT_EQ(vs_close(db), VS_ERR_BUSY); /* the collection is open */
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
}

VT_TEST(trailers_and_maps_work_in_memory) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.trailer_bytes = 40;
    options.flags = VS_OPEN_MMAP | VS_OPEN_CREATE;
    vs_db *db = open_memory(&options);
    vs_collection *c = sample_create(db, NULL, "c", 64, VS_F32, VS_L2);
    float v[64] = {0};
    vs_hit hits[3];
    size_t n = 0;
    for (uint64_t key = 0; key < 500; key++) {
        v[0] = (float)key;
        sample_put(c, NULL, key, v, NULL);
        if (key % 100 == 99)
            VT_OK(vs_checkpoint(db), db);
    }
    VT_OK(vs_search(c, NULL, v, 0, 3, NULL, hits, &n), c);
    VT_EQ(hits[2].key.number, 497);
    VT_EQ(sample_stats(db).trailer_bytes, 40);
    sample_check(db);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
}

VT_TEST(a_small_memory_limit_bounds_what_is_kept_beside_the_file) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.memory_limit = 1 << 20;
    vs_db *db = open_memory(&options);
    vs_collection *c = sample_create(db, NULL, "c", 256, VS_F32, VS_L2);
    float v[256] = {0};
    for (uint64_t key = 0; key < 4000; key++) {
        v[0] = (float)key;
        sample_put(c, NULL, key, v, NULL);
    }
    VT_OK(vs_checkpoint(db), db);
    vs_hit hit;
    size_t n = 0;
    VT_OK(vs_search(c, NULL, v, 0, 1, NULL, &hit, &n), c);
    VT_EQ(hit.key.number, 3999);
    vs_stats stats = sample_stats(db);
    VT_CHECK(stats.file_bytes > 4000 * sizeof v);
    VT_CHECK(stats.memory_bytes < 3 << 20); /* a quarter of what the records take */
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
}

VT_TEST(a_file_system_or_reading_only_is_refused_in_memory) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_vfs *vfs = NULL;
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    options.vfs = vfs;
    expect_refusal(":memory:", &options, VS_ERR_MISUSE, "vfs must be NULL");
    options.flags = VS_OPEN_CREATE;
    expect_refusal(":memory:", &options, VS_ERR_MISUSE, "vfs must be NULL");
    options.vfs = vs_vfs_posix();
    expect_refusal(":memory:", &options, VS_ERR_MISUSE, "vfs must be NULL");
    options.vfs = NULL;
    options.flags = VS_OPEN_READONLY;
    expect_refusal(":memory:", &options, VS_ERR_MISUSE, "begins empty");
    options.flags = 0;
    options.cpu = "abacus";
    expect_refusal(":memory:", &options, VS_ERR_UNSUPPORTED, "abacus");
    options.cpu = NULL;
    VT_OK(vs_close(open_memory(&options)), NULL);
    vs_vfs_memory_destroy(vfs);
}

VT_TEST(no_file_is_ever_called_memory) {
    static const char *const paths[] = {"./:memory:", "sub/:memory:", "/:memory:", "//:memory:"};
    char whole[1200];
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    snprintf(whole, sizeof whole, "%s", vt_scratch(":memory:"));
    char *folder = strdup(whole), *before = getcwd(NULL, 0);
    *strrchr(folder, '/') = 0;
    VT_EQ(chdir(folder), 0);
    for (uint32_t flags = 0; flags < 8; flags++) {
        options.flags = flags;
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
            expect_refusal(paths[i], &options, VS_ERR_INVALID, "without a folder");
        expect_refusal(whole, &options, VS_ERR_INVALID, "without a folder");
        vs_db *db = NULL;
        if (vs_open(":memory:", &options, &db) == VS_OK) {
            vs_collection_close(sample_create(db, NULL, "c", 2, VS_F32, VS_L2));
            VT_OK(vs_checkpoint(db), db);
        }
        VT_EQ(vs_close(db), VS_OK);
        VT_EQ(count_files("."), 0);
    }
    options.flags = VS_OPEN_CREATE;
    expect_refusal(":memory:/", &options, VS_ERR_NOT_FOUND, ":memory:");
    VT_EQ(count_files("."), 0);
    VT_EQ(chdir(before), 0);
    free(before);
    free(folder);
}

/* Names that only look like it are files. */
VT_TEST(other_names_with_memory_in_them_are_files) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    static const char *const names[] = {":memory", "memory:", ":memory:x", ":MEMORY:"};
    options.flags = VS_OPEN_CREATE;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vs_db *db = NULL;
        const char *path = vt_scratch(names[i]);
        VT_OK(vs_open(path, &options, &db), db);
        VT_OK(vs_close(db), db);
        VT_EQ(access(path, F_OK), 0);
        VT_EQ(unlink(path), 0);
    }
}

VT_TEST(a_child_after_fork_can_only_close_a_database_in_memory) {
    vs_db *db = open_memory(NULL);
    vs_collection *c = sample_create(db, NULL, "c", 2, VS_F32, VS_L2);
    float v[2] = {1, 2};
    sample_put(c, NULL, 1, v, NULL);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bool is_refused = vs_checkpoint(db) == VS_ERR_MISUSE &&
                          sample_try_put(c, NULL, 2, v, NULL, VS_UPSERT) == VS_ERR_MISUSE;
        _exit(is_refused && vs_close(db) == VS_OK ? 0 : 1);
    }
    int state = -1;
    VT_CHECK(pid > 0 && waitpid(pid, &state, 0) == pid);
    VT_EQ(state, 0);
    sample_put(c, NULL, 2, v, NULL);
    sample_check(db);
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
}

/* Each call may fail for want of memory, and changes nothing then. */
static bool try_use(vs_db *db, vs_collection *c, uint64_t key, uint64_t *io_count) {
    float v[20] = {0};
    vs_status st = sample_try_put(c, NULL, key, v, "{\"a\":1}", VS_UPSERT);
    VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
    *io_count += st == VS_OK;
    vs_status cst = vs_checkpoint(db);
    VT_CHECK(cst == VS_OK || cst == VS_ERR_NOMEM);
    return st == VS_OK && cst == VS_OK;
}

VT_TEST(a_database_in_memory_goes_on_after_any_allocation_failed) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.allocator = &allocator;
    bool is_through = false;
    for (uint64_t at = 1; !is_through; at++) {
        uint64_t count = 0;
        counter.fail_at = 0;
        vs_db *db = open_memory(&options);
        vs_collection *c = sample_create(db, NULL, "c", 20, VS_F32, VS_L2);
        counter.failures = 0;
        counter.fail_at = counter.calls + at;
        for (uint64_t key = 0; key < 3; key++)
            try_use(db, c, key, &count);
        is_through = counter.failures == 0;
        counter.fail_at = 0;
        VT_CHECK(try_use(db, c, 100, &count));
        VT_EQ(sample_count(c, NULL), count);
        sample_check(db);
        vs_collection_close(c);
        VT_OK(vs_close(db), db);
        VT_EQ(counter.live_blocks, 0);
    }
}

VT_TEST(opening_in_memory_without_memory_says_so_and_leaks_nothing) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.allocator = &allocator;
    vs_status st = VS_ERR_NOMEM;
    for (uint64_t at = 1; st != VS_OK; at++) {
        vs_db *db = NULL;
        counter.fail_at = counter.calls + at;
        st = vs_open(":memory:", &options, &db);
        VT_CHECK(st == VS_OK || st == VS_ERR_NOMEM);
        VT_CHECK(db || at == 1);
        counter.fail_at = 0;
        VT_EQ(vs_close(db), VS_OK);
        VT_EQ(counter.live_blocks, 0);
    }
}
