/* mapped.c - databases opened with VS_OPEN_MMAP, in files of the operating system. */
#include "sample.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DIM = 64, K = 10 };

/* The operating system's files, counting. */
static struct {
    vs_vfs vfs;
    uint64_t maps, made, reads;
    bool has_none;
} files;

static vs_status count_map(void *ctx, void *file, uint64_t offset, size_t bytes, const void **out,
                           char *why) {
    if (files.has_none)
        return VS_ERR_UNSUPPORTED;
    VT_CHECK(offset % 65536 == 0);
    vs_status st = vs_vfs_posix()->map(ctx, file, offset, bytes, out, why);
    uint64_t size = 0;
    VT_EQ(vs_vfs_posix()->file_size(ctx, file, &size, why), VS_OK);
    VT_CHECK(offset + bytes <= size);
    files.maps += st == VS_OK;
    files.made += st == VS_OK;
    return st;
}

static void count_unmap(void *ctx, void *file, const void *address, size_t bytes) {
    files.maps--;
    vs_vfs_posix()->unmap(ctx, file, address, bytes);
}

static vs_status count_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    files.reads += bytes >= 16384; /* a slab; or one of the log's pieces */
    return vs_vfs_posix()->read(ctx, file, buf, bytes, offset, out_bytes, why);
}

static void begin_files(void) {
    memset(&files, 0, sizeof files);
    files.vfs = *vs_vfs_posix();
    files.vfs.map = count_map;
    files.vfs.unmap = count_unmap;
    files.vfs.read = count_read;
}

static vs_db *open_at(const char *path, uint32_t flags, uint64_t limit) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.vfs = &files.vfs;
    options.flags = flags;
    options.sync = VS_SYNC_OFF;
    options.memory_limit = limit;
    VT_OK(vs_open(path, &options, &db), db);
    return db;
}

static const float *vector_of(uint64_t key, uint64_t round) {
    static float vector[DIM];
    for (uint64_t d = 0; d < DIM; d++)
        vector[d] = (float)(vt_mix(key * 1000003 + round * 7919 + d) % 1000);
    return vector;
}

static void put_all(vs_db *db, uint64_t first, uint64_t end, uint64_t step, uint64_t round) {
    vs_collection *c = sample_collection(db, "c");
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    for (uint64_t key = first; key < end; key += step)
        sample_put(c, txn, key, vector_of(key, round), NULL);
    VT_OK(vs_commit(txn, VS_SYNC_OFF), db);
    vs_collection_close(c);
}

static void make_at(const char *path, uint64_t records) {
    vs_db *db = open_at(path, VS_OPEN_CREATE, 0);
    vs_collection_close(sample_create(db, NULL, "c", DIM, VS_F32, VS_L2));
    put_all(db, 1, records + 1, 1, 0);
    VT_OK(vs_close(db), db);
}

static vs_status try_search(vs_db *db, vs_txn *txn, uint64_t seed, vs_hit hits[K]) {
    size_t n = 0;
    vs_collection *c = sample_collection(db, "c");
    vs_status st = vs_search(c, txn, vector_of(seed, 99), 0, K, NULL, hits, &n);
    VT_CHECK(st == VS_OK || vs_errmsg(c)[0]);
    if (st == VS_ERR_CORRUPT)
        VT_CHECK(strstr(vs_errmsg(c), "damaged") || strstr(vs_errmsg(c), "truncated"));
    vs_collection_close(c);
    return st;
}

/* Two databases answer the same. */
static void check_twins(vs_db *a, vs_txn *a_txn, vs_db *b, vs_txn *b_txn) {
    for (uint64_t seed = 0; seed < 3; seed++) {
        vs_hit x[K], y[K];
        memset(x, 0, sizeof x);
        memset(y, 0, sizeof y);
        VT_EQ(try_search(a, a_txn, seed, x), VS_OK);
        VT_EQ(try_search(b, b_txn, seed, y), VS_OK);
        VT_CHECK(!memcmp(x, y, sizeof x));
    }
}

/* Small windows, and little address space. */
#ifdef MAPPED_H
static const bool has_room = false;
#else
static const bool has_room = true;
#endif

/* On big-endian machines vectors of floats are read. */
static bool is_little_endian(void) {
    const uint16_t one = 1;
    return *(const uint8_t *)&one == 1;
}

VT_TEST(with_the_flag_vectors_are_mapped_and_not_read_and_all_maps_go_at_close) {
    const char *path = vt_scratch("flag.vs");
    vs_hit expected[K], hits[K];
    begin_files();
    make_at(path, 20000);
    vs_db *db = open_at(path, 0, 0);
    VT_EQ(try_search(db, NULL, 1, expected), VS_OK);
    uint64_t memory = sample_stats(db).memory_bytes;
#ifndef MAPPED_H
    VT_EQ(files.made, 0);
    VT_CHECK(files.reads > 300 && memory > 20000 * DIM * 4);
#endif
    VT_OK(vs_close(db), db);
    files.made = files.reads = 0;
    for (uint32_t readonly = 0; readonly < 2; readonly++) {
        db = open_at(path, VS_OPEN_MMAP | readonly, 0);
        for (int i = 0; i < 3; i++) {
            VT_EQ(try_search(db, NULL, 1, hits), VS_OK);
            VT_CHECK(!memcmp(hits, expected, sizeof hits));
        }
        VT_CHECK(files.made > 0 && files.maps > 0);
        if (has_room && is_little_endian())
            VT_CHECK(sample_stats(db).memory_bytes < 1000000 && files.reads < 20);
        VT_OK(vs_close(db), db);
        VT_EQ(files.maps, 0);
    }
    (void)memory;
}

VT_TEST(where_there_are_no_maps_everything_is_read) {
    const char *path = vt_scratch("none.vs");
    vs_hit hits[K];
    begin_files();
    files.has_none = true;
    make_at(path, 3000);
    vs_db *db = open_at(path, VS_OPEN_MMAP, 0);
    files.reads = 0;
    VT_EQ(try_search(db, NULL, 1, hits), VS_OK);
    VT_CHECK(files.reads > 40);
    VT_EQ(files.made, 0);
    sample_check(db);
    VT_OK(vs_close(db), db);
}

/* Sessions that replace, delete, make checkpoints and keep snapshots, beside the same without maps. */
static void churn(uint64_t limit) {
    enum { RECORDS = 3000, SESSIONS = 6 };
    char mapped[512], plain[512];
    snprintf(mapped, sizeof mapped, "%s", vt_scratch("mapped.vs"));
    snprintf(plain, sizeof plain, "%s", vt_scratch("plain.vs"));
    unlink(mapped);
    unlink(plain);
    begin_files();
    make_at(mapped, RECORDS);
    make_at(plain, RECORDS);
    vt_rng rng = {vt_seed() + limit};
    for (uint64_t session = 1; session <= SESSIONS; session++) {
        vs_db *db[2] = {open_at(mapped, VS_OPEN_MMAP, limit), open_at(plain, 0, 0)};
        vs_txn *old[2] = {sample_begin(db[0], VS_TXN_READ), sample_begin(db[1], VS_TXN_READ)};
        check_twins(db[0], NULL, db[1], NULL);
        for (uint64_t round = 0; round < 5; round++) {
            uint64_t first = 1 + vt_below(&rng, RECORDS), step = 1 + vt_below(&rng, 3);
            uint64_t end = first + vt_below(&rng, RECORDS), content = session * 100 + round;
            bool is_deleted = vt_below(&rng, 4) == 0, is_made = vt_below(&rng, 2);
            for (int i = 0; i < 2; i++) {
                vs_collection *c = sample_collection(db[i], "c");
                if (!is_deleted)
                    put_all(db[i], first, end < RECORDS ? end : RECORDS, step, content);
                for (uint64_t key = first; is_deleted && key < end; key++)
                    VT_CHECK(vs_delete(c, NULL, vs_key_u64(key)) != VS_ERR_CORRUPT);
                vs_collection_close(c);
                if (is_made)
                    VT_OK(vs_checkpoint(db[i]), db[i]);
            }
            check_twins(db[0], NULL, db[1], NULL);
            check_twins(db[0], old[0], db[1], old[1]);
        }
        sample_check(db[0]);
        for (int i = 0; i < 2; i++) {
            vs_rollback(old[i]);
            VT_OK(vs_checkpoint(db[i]), db[i]);
        }
        check_twins(db[0], NULL, db[1], NULL);
        for (int i = 0; i < 2; i++)
            VT_OK(vs_close(db[i]), db[i]);
        VT_EQ(files.maps, 0);
    }
    VT_CHECK(files.made > 0);
}

VT_TEST(sessions_that_change_everything_answer_as_those_that_read) {
    churn(0);
}

VT_TEST(and_with_little_memory) {
    churn(65536);
}

VT_TEST(a_mapped_file_is_cut_at_close_as_one_that_is_read) {
    enum { RECORDS = 6000 };
    struct stat info[2];
    for (int maps = 0; maps < 2; maps++) {
        const char *path = vt_scratch(maps ? "cut-mapped.vs" : "cut.vs");
        begin_files();
        make_at(path, RECORDS);
        vs_db *db = open_at(path, maps ? VS_OPEN_MMAP : 0, 0);
        vs_hit hits[K];
        for (uint64_t round = 1; round < 4; round++) {
            VT_EQ(try_search(db, NULL, round, hits), VS_OK);
            put_all(db, 1, RECORDS + 1, 1, round);
            VT_OK(vs_checkpoint(db), db);
            VT_EQ(try_search(db, NULL, round, hits), VS_OK);
        }
        VT_OK(vs_close(db), db);
        VT_EQ(stat(path, &info[maps]), 0);
        db = open_at(path, VS_OPEN_MMAP, 0);
        sample_check(db);
        VT_OK(vs_close(db), db);
    }
    VT_CHECK(info[1].st_size <= info[0].st_size + info[0].st_size / 10);
    VT_CHECK(info[1].st_size < RECORDS * DIM * 4 * 3 / 2);
}

VT_TEST(a_file_cut_by_somebody_else_is_an_error_where_it_is_met_and_not_a_signal) {
    const char *path = vt_scratch("truncated.vs");
    vs_hit hits[K];
    struct stat info;
    begin_files();
    make_at(path, 20000);
    VT_EQ(stat(path, &info), 0);
    vs_db *db = open_at(path, VS_OPEN_MMAP | VS_OPEN_READONLY, 0);
    vs_collection *c = sample_collection(db, "c");
    size_t n = 0;
    VT_EQ(truncate(path, info.st_size / 2), 0); /* before anything was looked at */
    VT_EQ(vs_search(c, NULL, vector_of(1, 99), 0, K, NULL, hits, &n), VS_ERR_CORRUPT);
    VT_CONTAINS(vs_errmsg(c), "is truncated");
    vs_collection_close(c);
    VT_OK(vs_close(db), db);
}

static void count_problem(void *ctx, const char *problem) {
    (void)problem;
    ++*(int *)ctx;
}

VT_TEST(damage_before_the_first_look_is_found_and_later_damage_by_a_check) {
    const char *path = vt_scratch("damaged.vs");
    vs_hit hits[K], expected[K];
    begin_files();
    make_at(path, 20000);
    int fd = open(path, O_RDWR), found = 0;
    uint64_t problems = 0;
    uint8_t byte = 0;
    off_t middle = 20000 * DIM * 4 / 2 + 131072;
    vs_db *db = open_at(path, VS_OPEN_MMAP | VS_OPEN_READONLY, 0);
    VT_EQ(try_search(db, NULL, 1, expected), VS_OK);
    VT_EQ(pread(fd, &byte, 1, middle), 1);
    byte ^= 0x40;
    VT_EQ(pwrite(fd, &byte, 1, middle), 1);
    VT_OK(vs_check(db, 3, count_problem, &found, &problems), db);
    VT_CHECK(found > 0 && problems > 0);
    VT_OK(vs_close(db), db);
    db = open_at(path, VS_OPEN_MMAP | VS_OPEN_READONLY, 0);
    VT_EQ(try_search(db, NULL, 1, hits), VS_ERR_CORRUPT);
    byte ^= 0x40;
    VT_EQ(pwrite(fd, &byte, 1, middle), 1);
    VT_EQ(try_search(db, NULL, 1, hits), VS_OK);
    VT_CHECK(!memcmp(hits, expected, sizeof hits));
    VT_OK(vs_close(db), db);
    close(fd);
}

VT_TEST(a_child_process_can_only_close_and_its_parent_goes_on) {
    const char *path = vt_scratch("forked.vs");
    vs_hit hits[K], expected[K];
    begin_files();
    make_at(path, 3000);
    vs_db *db = open_at(path, VS_OPEN_MMAP, 0);
    VT_EQ(try_search(db, NULL, 1, expected), VS_OK);
    pid_t child = fork();
    if (child == 0) {
        vs_stats stats = VS_STATS_INIT;
        bool ok = vs_stats_get(db, &stats) == VS_ERR_MISUSE && vs_close(db) == VS_OK;
        _exit(ok && files.maps == 0 ? 0 : 1);
    }
    int status = 1;
    VT_CHECK(waitpid(child, &status, 0) == child && status == 0);
    VT_EQ(try_search(db, NULL, 1, hits), VS_OK);
    VT_CHECK(!memcmp(hits, expected, sizeof hits));
    put_all(db, 1, 1000, 1, 5);
    VT_OK(vs_checkpoint(db), db);
    VT_EQ(try_search(db, NULL, 1, hits), VS_OK);
    sample_check(db);
    VT_OK(vs_close(db), db);
    VT_EQ(files.maps, 0);
}
