/* open.c - opening and closing: what is opened, what is refused, what is left alone, and who may
 * have a database open at the same time. */
#include "vecstore.h"
#include "vt.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { META_BYTES = 4096, META_A = 0, META_B = 65536, DATA_BYTES = META_B + META_BYTES };
enum { PATH_ROOM = 2048, MESSAGE_ROOM = 1024 };

/* ---- processes ------------------------------------------------------------------------------ */

typedef int child_body(void *ctx);

static pid_t start_child(child_body *body, void *ctx) {
    fflush(NULL);
    pid_t pid = fork();
    VT_CHECK(pid >= 0);
    if (pid == 0)
        _exit(body(ctx));
    return pid;
}

static int exit_of(pid_t pid) {
    int state = 0;
    VT_CHECK(waitpid(pid, &state, 0) == pid);
    return WIFEXITED(state) ? WEXITSTATUS(state) : 1000 + state;
}

static int run_child(child_body *body, void *ctx) {
    return exit_of(start_child(body, ctx));
}

/* In a child a failed check ends the child; its exit status is then not 0. */
#define CHILD_CHECK(claim)                                                                         \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            fprintf(stderr, "%s:%d: in a child: not so: %s\n", __FILE__, __LINE__, #claim);        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* ---- opening -------------------------------------------------------------------------------- */

typedef struct attempt {
    vs_status status;
    char message[MESSAGE_ROOM];
} attempt;

static vs_open_options with_flags(uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.flags = flags;
    return options;
}

/* Opens and closes; tells what came of it. */
static attempt attempt_with(const char *path, const vs_open_options *options) {
    attempt a = {0};
    vs_db *db = NULL;
    a.status = vs_open(path, options, &db);
    VT_CHECK(db != NULL);
    snprintf(a.message, sizeof a.message, "%s", vs_errmsg(db));
    if (a.status != VS_OK) {
        VT_CHECK(a.message[0] != 0);
        VT_EQ(vs_extended_errcode(db) & 255, a.status);
    }
    VT_EQ(vs_close(db), VS_OK);
    return a;
}

static attempt attempt_open(const char *path, uint32_t flags) {
    vs_open_options options = with_flags(flags);
    return attempt_with(path, &options);
}

static vs_db *open_ok(const char *path, uint32_t flags) {
    vs_open_options options = with_flags(flags);
    vs_db *db = NULL;
    VT_OK(vs_open(path, &options, &db), db);
    return db;
}

static void close_ok(vs_db *db) {
    VT_OK(vs_close(db), NULL);
}

/* ---- a sample database: collection "c", dim 2, keys 1 .. n ---------------------------------- */

static void put_key(vs_collection *c, uint64_t key) {
    float v[2] = {(float)key, 0.5f};
    vs_record r = VS_RECORD_INIT;
    r.key.number = key;
    r.vector = v;
    VT_OK(vs_put(c, NULL, &r, VS_INSERT), c);
}

static vs_collection *create_collection(vs_db *db) {
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection *c = NULL;
    options.dim = 2;
    VT_OK(vs_collection_create(db, NULL, "c", &options, &c), db);
    return c;
}

static vs_collection *open_collection(vs_db *db) {
    vs_collection *c = NULL;
    VT_OK(vs_collection_open(db, NULL, "c", &c), db);
    return c;
}

static void make_sample(const char *path, uint64_t n) {
    vs_db *db = open_ok(path, VS_OPEN_CREATE);
    vs_collection *c = create_collection(db);
    for (uint64_t key = 1; key <= n; key++)
        put_key(c, key);
    vs_collection_close(c);
    close_ok(db);
}

/* What a process does that ends without closing. */
typedef struct session {
    const char *path;
    uint64_t from, to; /* keys; the first creates the collection */
} session;

static int commit_and_vanish(void *ctx) {
    const session *keys = ctx;
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    vs_db *db = NULL;
    vs_collection *c = NULL;
    shape.dim = 2;
    CHILD_CHECK(vs_open(keys->path, &options, &db) == VS_OK);
    if (keys->from == 1)
        CHILD_CHECK(vs_collection_create(db, NULL, "c", &shape, &c) == VS_OK);
    else
        CHILD_CHECK(vs_collection_open(db, NULL, "c", &c) == VS_OK);
    for (uint64_t key = keys->from; key <= keys->to; key++) {
        float v[2] = {(float)key, 0.5f};
        vs_record r = VS_RECORD_INIT;
        r.key.number = key;
        r.vector = v;
        CHILD_CHECK(vs_put(c, NULL, &r, VS_INSERT) == VS_OK);
    }
    return 0; /* and the process is gone */
}

/* The same sample as a killed process leaves it: with its log. */
static void make_killed_sample(const char *path, uint64_t n) {
    session keys = {path, 1, n};
    VT_EQ(run_child(commit_and_vanish, &keys), 0);
}

/* One more commit, in a killed process of its own. */
static void add_key_killed(const char *path, uint64_t key) {
    session keys = {path, key, key};
    VT_EQ(run_child(commit_and_vanish, &keys), 0);
}

static void check_content(vs_db *db, uint64_t n) {
    vs_collection *c = open_collection(db);
    uint64_t count = 0;
    VT_OK(vs_count(c, NULL, &count), c);
    VT_EQ(count, n);
    for (uint64_t key = 1; key <= n; key++) {
        vs_record r = VS_RECORD_INIT;
        float v[2];
        VT_OK(vs_get(c, NULL, vs_key_u64(key), &r), c);
        memcpy(v, r.vector, sizeof v);
        VT_CHECK(v[0] == (float)key);
    }
    vs_collection_close(c);
}

/* One more commit, in a session of its own. */
static void add_key(const char *path, uint64_t key) {
    vs_db *db = open_ok(path, 0);
    vs_collection *c = open_collection(db);
    put_key(c, key);
    vs_collection_close(c);
    close_ok(db);
}

static void check_sample(const char *path, uint32_t flags, uint64_t n) {
    vs_db *db = open_ok(path, flags);
    check_content(db, n);
    close_ok(db);
}

/* ---- files ---------------------------------------------------------------------------------- */

static bool is_there(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

static void path_of_log(const char *path, int generation, char out[PATH_ROOM]) {
    VT_CHECK(snprintf(out, PATH_ROOM, "%s-wal-%d", path, generation) < PATH_ROOM);
}

static int newest_log(const char *path) {
    char log[PATH_ROOM];
    int generation = 0;
    for (int i = 1; i < 50; i++) {
        path_of_log(path, i, log);
        if (is_there(log))
            generation = i;
    }
    return generation;
}

static void copy_file(const char *from, const char *to) {
    size_t bytes;
    uint8_t *data = vt_read_file(from, &bytes);
    vt_write_file(to, data, bytes);
    free(data);
}

static bool holds(const char *path, const void *data, size_t bytes) {
    size_t found_bytes;
    uint8_t *found = vt_read_file(path, &found_bytes);
    bool is_same = found_bytes == bytes && !memcmp(found, data, bytes);
    free(found);
    return is_same;
}

/* A number for the names and contents of all files in a folder. */
static uint64_t hash_folder(const char *folder) {
    DIR *d = opendir(folder);
    VT_CHECK(d != NULL);
    uint64_t sum = 0;
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        char path[PATH_ROOM];
        size_t bytes;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        uint8_t *data = vt_read_file(path, &bytes);
        sum += XXH3_64bits_withSeed(data, bytes, XXH3_64bits(e->d_name, strlen(e->d_name)));
        free(data);
    }
    closedir(d);
    return sum;
}

static const char *make_folder(const char *name) {
    const char *folder = vt_scratch(name);
    VT_EQ(mkdir(folder, 0777), 0);
    return folder;
}

/* ---- meta pages ----------------------------------------------------------------------------- */

static void put_le(uint8_t *p, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static void seal_meta(uint8_t *meta) {
    XXH128_hash_t hash = XXH3_128bits(meta, 4080);
    put_le(meta + 4080, hash.low64, 8);
    put_le(meta + 4088, hash.high64, 8);
}

/* Writes a number into both meta pages, and their checksums anew. */
static void patch_metas(const char *path, size_t off, uint64_t value, int bytes) {
    size_t file_bytes;
    uint8_t *data = vt_read_file(path, &file_bytes);
    VT_CHECK(file_bytes >= DATA_BYTES);
    put_le(data + META_A + off, value, bytes);
    put_le(data + META_B + off, value, bytes);
    seal_meta(data + META_A);
    seal_meta(data + META_B);
    vt_write_file(path, data, file_bytes);
    free(data);
}

static void flip_byte(const char *path, size_t off) {
    size_t bytes;
    uint8_t *data = vt_read_file(path, &bytes);
    VT_CHECK(off < bytes);
    data[off] ^= 0x10;
    vt_write_file(path, data, bytes);
    free(data);
}

/* ---- creating and opening again ------------------------------------------------------------- */

VT_TEST(what_was_put_is_there_after_closing_and_opening_again) {
    const char *path = vt_scratch("reopen.vs");
    make_sample(path, 5);
    check_sample(path, 0, 5);
    check_sample(path, VS_OPEN_CREATE, 5);
    check_sample(path, VS_OPEN_READONLY, 5);
    check_sample(path, 0, 5);
}

VT_TEST(no_options_means_an_existing_file_for_reading_and_writing) {
    const char *path = vt_scratch("defaults.vs");
    vs_db *db = NULL;
    make_sample(path, 1);
    VT_OK(vs_open(path, NULL, &db), db);
    vs_collection *c = open_collection(db);
    put_key(c, 2);
    vs_collection_close(c);
    close_ok(db);
    check_sample(path, 0, 2);
}

VT_TEST(a_database_created_and_closed_at_once_opens_empty) {
    const char *path = vt_scratch("nothing.vs");
    close_ok(open_ok(path, VS_OPEN_CREATE));
    vs_db *db = open_ok(path, 0);
    vs_collection *c = NULL;
    VT_EQ(vs_collection_open(db, NULL, "c", &c), VS_ERR_NOT_FOUND);
    VT_CHECK(c == NULL);
    close_ok(db);
}

VT_TEST(the_digest_is_the_same_after_opening_again) {
    const char *path = vt_scratch("digest.vs");
    vs_stats before = VS_STATS_INIT, after = VS_STATS_INIT;
    vs_db *db = open_ok(path, VS_OPEN_CREATE);
    vs_collection *c = create_collection(db);
    put_key(c, 7);
    VT_OK(vs_stats_get(db, &before), db);
    vs_collection_close(c);
    close_ok(db);
    db = open_ok(path, VS_OPEN_READONLY);
    VT_OK(vs_stats_get(db, &after), db);
    VT_CHECK(before.digest[0] == after.digest[0] && before.digest[1] == after.digest[1]);
    VT_CHECK(before.digest[0] != 0 || before.digest[1] != 0);
    VT_CHECK(before.lsn == after.lsn);
    close_ok(db);
}

VT_TEST(many_sessions_of_one_commit_each_lose_nothing) {
    const char *path = vt_scratch("sessions.vs");
    make_sample(path, 0);
    for (uint64_t key = 1; key <= 20; key++) {
        vs_db *db = open_ok(path, 0);
        vs_collection *c = open_collection(db);
        put_key(c, key);
        vs_collection_close(c);
        close_ok(db);
        VT_EQ(newest_log(path), 0);
    }
    check_sample(path, 0, 20);
}

VT_TEST(sessions_that_end_properly_and_killed_ones_take_turns_and_lose_nothing) {
    for (unsigned turns = 0; turns < 8; turns++) {
        char name[32];
        snprintf(name, sizeof name, "turns-%u.vs", turns);
        const char *path = vt_scratch(name);
        make_killed_sample(path, 1);
        for (uint64_t key = 2; key <= 13; key++) {
            if (turns >> key % 3 & 1)
                add_key_killed(path, key);
            else
                add_key(path, key);
            if (key % 4 == 0)
                check_sample(path, VS_OPEN_READONLY, key);
        }
        check_sample(path, 0, 13);
        VT_EQ(newest_log(path), 0);
    }
}

/* ---- nothing there -------------------------------------------------------------------------- */

VT_TEST(a_missing_file_is_not_found_and_not_created_without_create) {
    const char *path = vt_scratch("missing.vs");
    attempt a = attempt_with(path, NULL);
    VT_EQ(a.status, VS_ERR_NOT_FOUND);
    VT_CONTAINS(a.message, "missing.vs");
    VT_EQ(attempt_open(path, 0).status, VS_ERR_NOT_FOUND);
    VT_EQ(attempt_open(path, VS_OPEN_READONLY).status, VS_ERR_NOT_FOUND);
    VT_CHECK(!is_there(path));
}

VT_TEST(read_only_and_create_together_create_nothing) {
    const char *folder = make_folder("readonly-create");
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/x.vs", folder);
    VT_CHECK(attempt_open(path, VS_OPEN_READONLY | VS_OPEN_CREATE).status != VS_OK);
    VT_CHECK(!is_there(path));
}

VT_TEST(a_missing_folder_is_not_found) {
    attempt a = attempt_open(vt_scratch("no/such/folder.vs"), VS_OPEN_CREATE);
    VT_EQ(a.status, VS_ERR_NOT_FOUND);
    VT_CONTAINS(a.message, "no/such");
}

VT_TEST(an_empty_file_becomes_a_database_only_with_create) {
    const char *path = vt_scratch("empty.vs");
    vt_write_file(path, "", 0);
    VT_CHECK(attempt_open(path, 0).status != VS_OK);
    VT_CHECK(attempt_open(path, VS_OPEN_READONLY).status != VS_OK);
    VT_CHECK(holds(path, "", 0));
    make_sample(path, 2);
    check_sample(path, 0, 2);
}

VT_TEST(a_creation_that_was_interrupted_is_taken_up_by_create) {
    const char *path = vt_scratch("half.vs");
    uint8_t zeros[512] = {0};
    vt_write_file(path, zeros, sizeof zeros);
    VT_CHECK(attempt_open(path, 0).status != VS_OK);
    VT_CHECK(holds(path, zeros, sizeof zeros));
    make_sample(path, 2);
    check_sample(path, 0, 2);
}

/* ---- not a regular file, bad paths ---------------------------------------------------------- */

VT_TEST(a_folder_is_refused) {
    const char *path = make_folder("folder.vs");
    VT_EQ(attempt_open(path, 0).status, VS_ERR_INVALID);
    VT_EQ(attempt_open(path, VS_OPEN_CREATE).status, VS_ERR_INVALID);
    VT_EQ(attempt_open(path, VS_OPEN_READONLY).status, VS_ERR_INVALID);
}

VT_TEST(a_fifo_is_refused_without_waiting_for_its_other_end) {
    const char *path = vt_scratch("fifo.vs");
    VT_EQ(mkfifo(path, 0666), 0);
    VT_EQ(attempt_open(path, 0).status, VS_ERR_INVALID);
    VT_EQ(attempt_open(path, VS_OPEN_CREATE).status, VS_ERR_INVALID);
    VT_EQ(attempt_open(path, VS_OPEN_READONLY).status, VS_ERR_INVALID);
}

VT_TEST(a_device_is_refused) {
    VT_EQ(attempt_open("/dev/null", VS_OPEN_CREATE).status, VS_ERR_INVALID);
    VT_EQ(attempt_open("/dev/zero", VS_OPEN_READONLY).status, VS_ERR_INVALID);
}

VT_TEST(a_path_through_a_file_is_an_error) {
    const char *file = vt_scratch("plain-file");
    vt_write_file(file, "x", 1);
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/x.vs", file);
    attempt a = attempt_open(path, VS_OPEN_CREATE);
    VT_CHECK(a.status == VS_ERR_NOT_FOUND || a.status == VS_ERR_INVALID);
    snprintf(path, sizeof path, "%s/", file);
    VT_CHECK(attempt_open(path, VS_OPEN_CREATE).status != VS_OK);
    VT_CHECK(holds(file, "x", 1));
}

VT_TEST(an_empty_path_is_refused) {
    VT_EQ(attempt_open("", VS_OPEN_CREATE).status, VS_ERR_INVALID);
}

VT_TEST(a_path_longer_than_any_file_system_takes_is_refused) {
    static char path[100000];
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    vs_status st = attempt_open(path, VS_OPEN_CREATE).status;
    VT_CHECK(st == VS_ERR_INVALID || st == VS_ERR_LIMIT);
    path[300] = 0; /* a name of 300 bytes */
    st = attempt_open(path, VS_OPEN_CREATE).status;
    VT_CHECK(st == VS_ERR_INVALID || st == VS_ERR_LIMIT);
}

VT_TEST(a_name_too_long_for_its_log_files_is_refused_before_anything_is_created) {
    char name[256], path[PATH_ROOM];
    memset(name, 'n', 252); /* the file itself would fit, NAME-wal-1 would not */
    name[252] = 0;
    snprintf(path, sizeof path, "%s/%s", make_folder("longname"), name);
    vs_db *db = NULL;
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    vs_status st = vs_open(path, &options, &db);
    vs_close(db);
    VT_CHECK(st == VS_ERR_INVALID || st == VS_ERR_LIMIT);
    VT_CHECK(!is_there(path));
}

VT_TEST(a_null_path_or_out_pointer_is_misuse) {
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    vs_db *db = NULL;
    VT_EQ(vs_open(NULL, &options, &db), VS_ERR_MISUSE);
    VT_EQ(vs_close(db), VS_OK);
    VT_EQ(vs_open(vt_scratch("no-out.vs"), &options, NULL), VS_ERR_MISUSE);
    VT_CHECK(!is_there(vt_scratch("no-out.vs")));
}

VT_TEST(a_relative_path_goes_on_after_the_program_changed_its_folder) {
    char before[PATH_ROOM];
    VT_CHECK(getcwd(before, sizeof before) != NULL);
    const char *folder = make_folder("relative");
    VT_EQ(chdir(folder), 0);
    vs_db *db = NULL;
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    vs_status st = vs_open("here.vs", &options, &db);
    VT_EQ(chdir(before), 0);
    VT_OK(st, db);
    vs_collection *c = create_collection(db);
    put_key(c, 1);
    vs_collection_close(c);
    close_ok(db);
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s/here.vs", folder);
    VT_CHECK(!is_there("here.vs-wal-1"));
    check_sample(path, 0, 1);
}

/* ---- other files ---------------------------------------------------------------------------- */

/* A file that is no database is refused in every mode, and left as it is. */
static void check_foreign(const char *name, const void *data, size_t bytes) {
    const char *path = vt_scratch(name);
    vt_write_file(path, data, bytes);
    VT_EQ(attempt_open(path, 0).status, VS_ERR_NOT_DB);
    VT_EQ(attempt_open(path, VS_OPEN_READONLY).status, VS_ERR_NOT_DB);
    attempt a = attempt_open(path, VS_OPEN_CREATE);
    VT_EQ(a.status, VS_ERR_NOT_DB);
    VT_CONTAINS(a.message, name);
    VT_CHECK(holds(path, data, bytes));
    VT_CHECK(newest_log(path) == 0);
}

VT_TEST(a_text_file_of_any_length_is_no_database_and_survives_create) {
    static char text[200000];
    static const size_t lengths[] = {1,     3,     15,    16,         17,         31,
                                     511,   512,   4095,  4096,       4097,       65535,
                                     65536, 65537, 69631, DATA_BYTES, sizeof text};
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "some text that was here first\n"[i % 30];
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        check_foreign("text.txt", text, lengths[i]);
}

VT_TEST(a_file_with_the_header_of_sqlite_is_no_database) {
    static uint8_t page[8192];
    memcpy(page, "SQLite format 3", 16);
    check_foreign("other.sqlite", page, sizeof page);
    check_foreign("short.sqlite", page, 100);
}

VT_TEST(a_file_that_begins_with_zeros_but_holds_data_is_not_overwritten) {
    static uint8_t data[2 * DATA_BYTES];
    const char *path = vt_scratch("zeros-first.bin");
    memset(data + META_BYTES, 'd', sizeof data - META_BYTES);
    vt_write_file(path, data, sizeof data);
    VT_CHECK(attempt_open(path, 0).status != VS_OK);
    VT_CHECK(attempt_open(path, VS_OPEN_CREATE).status != VS_OK);
    VT_CHECK(holds(path, data, sizeof data));
}

VT_TEST(a_log_file_is_no_database) {
    const char *path = vt_scratch("islog.vs");
    char log[PATH_ROOM];
    make_killed_sample(path, 3);
    path_of_log(path, 1, log);
    VT_EQ(attempt_open(log, 0).status, VS_ERR_NOT_DB);
    VT_EQ(attempt_open(log, VS_OPEN_CREATE).status, VS_ERR_NOT_DB);
    check_sample(path, 0, 3);
}

/* ---- other versions ------------------------------------------------------------------------- */

static void check_refused(const char *path, uint32_t flags, vs_status expected) {
    size_t bytes;
    uint8_t *before = vt_read_file(path, &bytes);
    VT_EQ(attempt_open(path, flags).status, expected);
    VT_CHECK(holds(path, before, bytes));
    free(before);
}

/* Refused in every mode, with both versions named. */
static void check_format(uint64_t major, uint64_t minor, vs_status expected) {
    const char *path = vt_scratch("format.vs");
    char found[32];
    remove(path);
    make_sample(path, 1);
    patch_metas(path, 16, major | minor << 16, 4);
    check_refused(path, 0, expected);
    check_refused(path, VS_OPEN_READONLY, expected);
    check_refused(path, VS_OPEN_CREATE, expected);
    attempt a = attempt_open(path, VS_OPEN_READONLY);
    snprintf(found, sizeof found, "format %d.%d,", (int)major, (int)minor);
    VT_CONTAINS(a.message, found);
    VT_CONTAINS(a.message, "reads 0.4");
}

VT_TEST(a_newer_format_is_refused_and_left_alone) {
    check_format(1, 0, VS_ERR_TOO_NEW);
    check_format(0, 5, VS_ERR_TOO_NEW);
    check_format(65535, 65535, VS_ERR_TOO_NEW);
}

VT_TEST(an_older_format_is_refused_and_left_alone) {
    check_format(0, 0, VS_ERR_TOO_OLD);
    check_format(0, 3, VS_ERR_TOO_OLD);
}

VT_TEST(the_patched_meta_pages_of_these_tests_are_accepted_when_nothing_is_new) {
    const char *path = vt_scratch("unpatched.vs");
    make_sample(path, 4);
    patch_metas(path, 16, 0 | 4 << 16, 4);
    check_sample(path, 0, 4);
}

VT_TEST(an_unknown_compatible_feature_is_ignored) {
    const char *path = vt_scratch("compatible.vs");
    make_sample(path, 4);
    patch_metas(path, 24, (uint64_t)1 << 63, 8);
    check_sample(path, VS_OPEN_READONLY, 4);
    check_sample(path, 0, 4);
}

VT_TEST(an_unknown_feature_that_only_allows_reading_allows_reading_only) {
    const char *path = vt_scratch("reading.vs");
    make_sample(path, 4);
    for (int bit = 0; bit < 64; bit += 21) {
        patch_metas(path, 32, (uint64_t)1 << bit, 8);
        check_sample(path, VS_OPEN_READONLY, 4);
        check_refused(path, 0, VS_ERR_TOO_NEW);
        check_refused(path, VS_OPEN_CREATE, VS_ERR_TOO_NEW);
    }
}

VT_TEST(an_unknown_needed_feature_is_refused) {
    const char *path = vt_scratch("needed.vs");
    make_sample(path, 4);
    static const int bits[] = {2, 32, 63}; /* those below are known */
    for (int i = 0; i < 3; i++) {
        patch_metas(path, 40, (uint64_t)1 << bits[i], 8);
        check_refused(path, 0, VS_ERR_TOO_NEW);
        check_refused(path, VS_OPEN_READONLY, VS_ERR_TOO_NEW);
        check_refused(path, VS_OPEN_CREATE, VS_ERR_TOO_NEW);
    }
}

/* ---- damage --------------------------------------------------------------------------------- */

/* Cut to this length it is refused in every mode, and left as it is. */
static void check_cut_file(const char *path, const uint8_t *data, size_t bytes) {
    static const uint32_t flags[] = {VS_OPEN_READONLY, VS_OPEN_CREATE, 0};
    for (int f = 0; f < 3; f++) {
        vt_write_file(path, data, bytes);
        attempt a = attempt_open(path, flags[f]);
        VT_CHECK(a.status == VS_ERR_CORRUPT || a.status == VS_ERR_NOT_DB);
        if (bytes >= META_BYTES)
            VT_CONTAINS(a.message, "truncated");
        VT_CHECK(holds(path, data, bytes));
    }
}

VT_TEST(a_truncated_data_file_is_refused_and_left_alone) {
    static const size_t lengths[] = {0,    1,    8,    15,    16,    17,    512,   4079, 4095,
                                     4096, 4097, 4128, 16384, 65535, 65536, 65552, 69631};
    const char *path = vt_scratch("truncated.vs");
    size_t bytes;
    make_killed_sample(path, 9);
    uint8_t *data = vt_read_file(path, &bytes);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        check_cut_file(path, data, lengths[i]);
    vt_write_file(path, data, bytes);
    free(data);
    check_sample(path, 0, 9);
}

/* Without a log beside it a file cut to nothing looks like one whose creation did not get far: only
 * VS_OPEN_CREATE takes it. */
VT_TEST(a_truncated_data_file_of_a_closed_database_is_refused_and_left_alone) {
    static const size_t lengths[] = {1,     8,     16,    17,    4095,  4096,   4097,
                                     65535, 65536, 69631, 69632, 70000, 131071, 131072};
    const char *path = vt_scratch("truncated-closed.vs");
    size_t bytes;
    make_sample(path, 9);
    uint8_t *data = vt_read_file(path, &bytes);
    vs_db *db = open_ok(path, VS_OPEN_READONLY);
    vs_stats stats = VS_STATS_INIT;
    VT_OK(vs_stats_get(db, &stats), db);
    close_ok(db);
    VT_CHECK(stats.file_bytes > 131072 && stats.file_bytes <= bytes);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        check_cut_file(path, data, lengths[i]);
    for (size_t length = 131072; length < stats.file_bytes; length += 2048)
        check_cut_file(path, data, length);
    check_cut_file(path, data, (size_t)stats.file_bytes - 1);
    vt_write_file(path, data, 0);
    VT_CHECK(attempt_open(path, 0).status != VS_OK);
    VT_CHECK(attempt_open(path, VS_OPEN_READONLY).status != VS_OK);
    VT_CHECK(holds(path, data, 0));
    vt_write_file(path, data, bytes);
    free(data);
    check_sample(path, 0, 9);
}

VT_TEST(a_database_whose_meta_pages_are_both_damaged_is_corrupt) {
    const char *path = vt_scratch("metas.vs");
    make_sample(path, 2);
    flip_byte(path, META_A + 100);
    flip_byte(path, META_B + 100);
    check_refused(path, 0, VS_ERR_CORRUPT);
    check_refused(path, VS_OPEN_READONLY, VS_ERR_CORRUPT);
    check_refused(path, VS_OPEN_CREATE, VS_ERR_CORRUPT);
}

static void count_message(void *ctx, int level, const char *message) {
    VT_CHECK(level >= VS_LOG_INFO && level <= VS_LOG_ERROR);
    VT_CHECK(message && message[0]);
    ++*(int *)ctx;
}

/* One page damaged: opens with all content, says so in a log message; a writer mends it. */
static void check_one_meta(const char *name, size_t off) {
    const char *path = vt_scratch(name);
    int messages = 0;
    vs_open_options options = with_flags(VS_OPEN_READONLY);
    options.log = count_message;
    options.log_ctx = &messages;
    make_sample(path, 2);
    flip_byte(path, off);
    check_refused(path, VS_OPEN_READONLY, VS_OK);
    VT_EQ(attempt_with(path, &options).status, VS_OK);
    VT_CHECK(messages > 0);
    check_sample(path, 0, 2);
    messages = 0;
    VT_EQ(attempt_with(path, &options).status, VS_OK);
    VT_EQ(messages, 0);
}

VT_TEST(one_damaged_meta_page_loses_nothing_and_is_written_again) {
    check_one_meta("meta-a.vs", META_A + 80);
    check_one_meta("meta-b.vs", META_B + 80);
    check_one_meta("meta-a-sum.vs", META_A + 4095);
    check_one_meta("meta-b-magic.vs", META_B);
}

VT_TEST(a_deleted_log_file_is_reported_by_name) {
    const char *path = vt_scratch("nolog.vs");
    char log[PATH_ROOM];
    make_killed_sample(path, 2);
    path_of_log(path, newest_log(path), log);
    VT_EQ(remove(log), 0);
    attempt a = attempt_open(path, 0);
    VT_EQ(a.status, VS_ERR_LOG_MISSING);
    VT_CONTAINS(a.message, "nolog.vs-wal-1");
    check_refused(path, VS_OPEN_READONLY, VS_ERR_LOG_MISSING);
    check_refused(path, VS_OPEN_CREATE, VS_ERR_LOG_MISSING);
    VT_CHECK(!is_there(log));
}

VT_TEST(a_deleted_log_file_of_an_earlier_session_is_reported_by_name) {
    const char *path = vt_scratch("nofirst.vs");
    char log[PATH_ROOM];
    make_killed_sample(path, 1);
    add_key_killed(path, 2);
    VT_EQ(newest_log(path), 2);
    path_of_log(path, 1, log);
    VT_EQ(remove(log), 0);
    attempt a = attempt_open(path, 0);
    VT_EQ(a.status, VS_ERR_LOG_MISSING);
    VT_CONTAINS(a.message, "nofirst.vs-wal-1");
}

VT_TEST(the_log_of_another_database_is_refused) {
    const char *path = vt_scratch("mine.vs"), *other = vt_scratch("other.vs");
    char log[PATH_ROOM], other_log[PATH_ROOM];
    make_killed_sample(path, 2);
    make_killed_sample(other, 2);
    path_of_log(path, 1, log);
    path_of_log(other, 1, other_log);
    copy_file(other_log, log);
    check_refused(path, 0, VS_ERR_CORRUPT);
    check_refused(path, VS_OPEN_READONLY, VS_ERR_CORRUPT);
}

VT_TEST(a_lost_data_file_beside_its_log_is_not_created_anew) {
    const char *path = vt_scratch("lost.vs");
    make_killed_sample(path, 2);
    VT_EQ(remove(path), 0);
    attempt a = attempt_open(path, VS_OPEN_CREATE);
    VT_EQ(a.status, VS_ERR_CORRUPT);
    VT_CONTAINS(a.message, "lost.vs");
    vt_write_file(path, "", 0);
    VT_EQ(attempt_open(path, VS_OPEN_CREATE).status, VS_ERR_CORRUPT);
}

/* Also when the log is not the first one. */
VT_TEST(a_lost_data_file_beside_the_log_of_a_later_session_is_not_created_anew) {
    const char *path = vt_scratch("lost-later.vs");
    char log[PATH_ROOM];
    make_sample(path, 2);
    add_key_killed(path, 3);
    path_of_log(path, 2, log);
    VT_CHECK(newest_log(path) == 2);
    VT_EQ(remove(path), 0);
    attempt a = attempt_open(path, VS_OPEN_CREATE);
    VT_CHECK(is_there(log));
    VT_EQ(a.status, VS_ERR_CORRUPT);
}

/* A device that is full behind the meta pages, and behind the short logs of these tests. */
static bool full_is_on;

static vs_status full_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    if (!full_is_on || offset < 131072)
        return vs_vfs_posix()->write(ctx, file, buf, bytes, offset, out_bytes, why);
    snprintf(why, VS_VFS_WHY_BYTES, "no space");
    return VS_ERR_FULL;
}

static vs_status full_resize(void *ctx, void *file, uint64_t bytes, char *why) {
    if (!full_is_on || bytes <= 131072)
        return vs_vfs_posix()->truncate(ctx, file, bytes, why);
    snprintf(why, VS_VFS_WHY_BYTES, "no space");
    return VS_ERR_FULL;
}

/* A sample that was closed while no checkpoint could be made: the close keeps the log, and says so. */
static void make_sample_with_log(const char *path, uint64_t n) {
    vs_vfs vfs = *vs_vfs_posix();
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    vs_db *db = NULL;
    int messages = 0;
    vfs.write = full_write;
    vfs.truncate = full_resize;
    vfs.allocate = full_resize;
    options.vfs = &vfs;
    options.log = count_message;
    options.log_ctx = &messages;
    VT_OK(vs_open(path, &options, &db), db);
    vs_collection *c = create_collection(db);
    for (uint64_t key = 1; key <= n; key++)
        put_key(c, key);
    vs_collection_close(c);
    VT_EQ(messages, 0);
    full_is_on = true;
    close_ok(db);
    full_is_on = false;
    VT_EQ(messages, 1);
}

VT_TEST(a_close_on_a_full_disk_keeps_the_log_and_loses_nothing) {
    const char *path = vt_scratch("full-close.vs");
    make_sample_with_log(path, 6);
    VT_EQ(newest_log(path), 1);
    check_sample(path, VS_OPEN_READONLY, 6);
    VT_EQ(newest_log(path), 1);
    check_sample(path, 0, 6); /* and this one makes the checkpoint */
    VT_EQ(newest_log(path), 0);
    check_sample(path, 0, 6);
}

VT_TEST(a_log_shortened_after_a_close_that_kept_it_is_corrupt) {
    const char *path = vt_scratch("shortlog.vs");
    char log[PATH_ROOM];
    size_t bytes;
    make_sample_with_log(path, 6);
    path_of_log(path, 1, log);
    uint8_t *data = vt_read_file(log, &bytes);
    static const size_t kept[] = {0, 1, 100, 4095, 4096, 4160, 6000};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        VT_CHECK(kept[i] < bytes);
        vt_write_file(log, data, kept[i]);
        check_refused(path, 0, VS_ERR_CORRUPT);
        check_refused(path, VS_OPEN_READONLY, VS_ERR_CORRUPT);
    }
    vt_write_file(log, data, bytes);
    free(data);
    check_sample(path, 0, 6);
}

VT_TEST(a_log_above_the_current_one_that_has_no_header_yet_is_ignored) {
    const char *path = vt_scratch("leftover.vs");
    char log[PATH_ROOM], leftover[PATH_ROOM];
    size_t bytes;
    make_killed_sample(path, 3);
    path_of_log(path, 1, log);
    path_of_log(path, 2, leftover);
    uint8_t *data = vt_read_file(log, &bytes);
    for (int i = 0; i < 2;
         i++) { /* beside the log of a killed session, then beside a closed file */
        memset(data, 0, i ? 512 : 0);
        vt_write_file(leftover, data, i ? bytes : 3000);
        check_sample(path, VS_OPEN_READONLY, 3 + (uint64_t)i);
        add_key_killed(path, 4 + (uint64_t)i);
        check_sample(path, VS_OPEN_READONLY, 4 + (uint64_t)i);
        VT_EQ(newest_log(path), i + 2);
        check_sample(path, 0, 4 + (uint64_t)i);
        VT_EQ(newest_log(path), 0);
        path_of_log(path, 3, leftover);
    }
    free(data);
}

/* A take-over that was interrupted before the meta pages named its file. */
VT_TEST(a_close_leaves_one_file_also_where_an_interrupted_session_had_begun_a_log) {
    const char *path = vt_scratch("draft.vs");
    char draft[PATH_ROOM];
    static const uint8_t zero[3000];
    make_sample(path, 3);
    path_of_log(path, 2, draft);
    vt_write_file(draft, zero, sizeof zero);
    add_key(path, 4);
    VT_EQ(newest_log(path), 0);
    path_of_log(path, 3, draft);
    vt_write_file(draft, zero, sizeof zero);
    check_sample(path, 0, 4); /* a session without a commit */
    VT_EQ(newest_log(path), 0);
}

/* Refused in every mode, and nothing is deleted. */
static void check_foreign_data(const char *path, const char *text) {
    char log[PATH_ROOM];
    static const uint32_t flags[] = {VS_OPEN_READONLY, VS_OPEN_CREATE, 0};
    for (int f = 0; f < 3; f++) {
        attempt a = attempt_open(path, flags[f]);
        VT_EQ(a.status, VS_ERR_CORRUPT);
        VT_CONTAINS(a.message, text);
    }
    path_of_log(path, 2, log);
    VT_CHECK(is_there(log));
}

/* Only the small file was restored from a backup. Its logs are those of today. */
VT_TEST(a_data_file_older_than_its_logs_is_refused) {
    const char *path = vt_scratch("restored.vs");
    char old[PATH_ROOM];
    make_killed_sample(path, 3);
    snprintf(old, sizeof old, "%s", vt_scratch("restored.backup"));
    copy_file(path, old);
    add_key_killed(path, 4);
    add_key_killed(path, 5);
    size_t bytes;
    uint8_t *newest = vt_read_file(path, &bytes);
    copy_file(old, path);
    check_foreign_data(path, "restored.vs-wal-2");
    vt_write_file(path, newest, bytes);
    check_sample(path, 0, 5);
    free(newest);
}

VT_TEST(a_closed_data_file_older_than_the_log_beside_it_is_refused) {
    const char *path = vt_scratch("restored-closed.vs");
    char old[PATH_ROOM];
    make_sample(path, 3);
    snprintf(old, sizeof old, "%s", vt_scratch("restored-closed.backup"));
    copy_file(path, old);
    add_key_killed(path, 4);
    size_t bytes;
    uint8_t *newest = vt_read_file(path, &bytes);
    copy_file(old, path);
    check_foreign_data(path, "restored-closed.vs-wal-2");
    vt_write_file(path, newest, bytes);
    check_sample(path, 0, 4);
    free(newest);
}

/* The log files between the two are gone with the checkpoints of later sessions. */
VT_TEST(a_data_file_several_sessions_older_than_the_log_beside_it_is_refused) {
    for (int sessions = 1; sessions <= 5; sessions++) {
        char old[PATH_ROOM], log[PATH_ROOM];
        const char *path = vt_scratch("restored-late.vs");
        size_t bytes, log_bytes;
        remove(path);
        make_sample(path, 3);
        snprintf(old, sizeof old, "%s", vt_scratch("restored-late.backup"));
        copy_file(path, old);
        for (int i = 0; i < sessions; i++)
            add_key(path, 4 + (uint64_t)i);
        add_key_killed(path, 4 + (uint64_t)sessions);
        path_of_log(path, 2 + sessions, log);
        uint8_t *newest = vt_read_file(path, &bytes), *kept = vt_read_file(log, &log_bytes);
        copy_file(old, path);
        VT_EQ(attempt_open(path, VS_OPEN_READONLY).status, VS_ERR_CORRUPT);
        VT_EQ(attempt_open(path, 0).status, VS_ERR_CORRUPT);
        VT_CHECK(holds(log, kept, log_bytes));
        vt_write_file(path, newest, bytes);
        check_sample(path, 0, 4 + (uint64_t)sessions);
        free(newest);
        free(kept);
    }
}

VT_TEST(the_data_file_of_another_database_is_refused) {
    const char *path = vt_scratch("swapped.vs"), *other = vt_scratch("blank.vs");
    make_killed_sample(path, 3);
    add_key_killed(path, 4);
    close_ok(open_ok(other, VS_OPEN_CREATE));
    copy_file(other, path);
    check_foreign_data(path, "another database");
}

VT_TEST(a_log_file_has_the_rights_of_its_database) {
    const char *path = vt_scratch("private.vs");
    char log[PATH_ROOM];
    static const mode_t modes[] = {0600, 0640, 0666};
    for (int i = 0; i < 3; i++) {
        struct stat info;
        if (i == 0)
            close_ok(open_ok(path, VS_OPEN_CREATE));
        VT_EQ(chmod(path, modes[i]), 0);
        vs_db *db = open_ok(path, 0);
        VT_OK(vs_kv_put(db, NULL, NULL, "k", 1, "v", 1), db);
        path_of_log(path, i + 1, log);
        VT_EQ(stat(log, &info), 0);
        VT_EQ(info.st_mode & 0777, modes[i]);
        close_ok(db);
        VT_EQ(stat(path, &info), 0);
        VT_EQ(info.st_mode & 0777, modes[i]);
    }
}

VT_TEST(a_database_moved_with_its_log_opens_under_its_new_name) {
    const char *path = vt_scratch("old-name.vs"), *now = vt_scratch("new-name.vs");
    char log[PATH_ROOM], new_log[PATH_ROOM];
    make_killed_sample(path, 3);
    path_of_log(path, 1, log);
    path_of_log(now, 1, new_log);
    VT_EQ(rename(path, now), 0);
    VT_EQ(rename(log, new_log), 0);
    check_sample(now, 0, 3);
    VT_EQ(rename(now, path), 0); /* closed it is one file */
    check_sample(path, 0, 3);
}

/* ---- reading only --------------------------------------------------------------------------- */

static void check_writes_refused(vs_db *db) {
    vs_collection *c = open_collection(db);
    vs_txn *txn = NULL;
    float v[2] = {1, 2};
    vs_record r = VS_RECORD_INIT;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    r.vector = v;
    options.dim = 2;
    VT_EQ(vs_put(c, NULL, &r, VS_UPSERT), VS_ERR_READONLY);
    VT_CHECK(vs_errmsg(c)[0] != 0);
    VT_EQ(vs_delete(c, NULL, vs_key_u64(1)), VS_ERR_READONLY);
    VT_EQ(vs_begin(db, VS_TXN_WRITE, &txn), VS_ERR_READONLY);
    VT_CHECK(txn == NULL);
    VT_EQ(vs_kv_put(db, NULL, NULL, "k", 1, "v", 1), VS_ERR_READONLY);
    VT_EQ(vs_collection_create(db, NULL, "d", &options, NULL), VS_ERR_READONLY);
    vs_collection_close(c);
}

VT_TEST(a_read_only_open_refuses_every_change) {
    const char *path = vt_scratch("ro.vs");
    make_sample(path, 3);
    vs_db *db = open_ok(path, VS_OPEN_READONLY);
    check_writes_refused(db);
    check_content(db, 3);
    close_ok(db);
    check_sample(path, 0, 3);
}

static void read_everything(const char *path) {
    vs_db *db = open_ok(path, VS_OPEN_READONLY);
    vs_txn *txn = NULL;
    vs_hit hits[3];
    size_t found = 0;
    uint64_t problems = 1;
    float q[2] = {0, 0};
    check_content(db, 3);
    vs_collection *c = open_collection(db);
    VT_OK(vs_begin(db, VS_TXN_READ, &txn), db);
    VT_OK(vs_search(c, txn, q, 0, 3, NULL, hits, &found), c);
    VT_EQ(found, 3);
    vs_collection_close(c);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), db);
    VT_OK(vs_check(db, 3, NULL, NULL, &problems), db);
    VT_EQ(problems, 0);
    close_ok(db);
}

VT_TEST(a_read_only_open_creates_and_changes_no_file) {
    const char *folder = make_folder("untouched");
    char path[PATH_ROOM], log[PATH_ROOM];
    snprintf(path, sizeof path, "%s/x.vs", folder);
    make_sample(path, 3);
    uint64_t before = hash_folder(folder);
    read_everything(path);
    VT_CHECK(hash_folder(folder) == before);

    VT_EQ(remove(path), 0);
    make_killed_sample(path, 3); /* and with a log */
    before = hash_folder(folder);
    read_everything(path);
    VT_CHECK(hash_folder(folder) == before);

    path_of_log(path, 1, log); /* and with a torn tail that recovery drops */
    VT_CHECK(is_there(log));
    FILE *f = fopen(log, "ab");
    VT_CHECK(f && fwrite("torn tail of a write", 1, 20, f) == 20 && !fclose(f));
    before = hash_folder(folder);
    read_everything(path);
    VT_CHECK(hash_folder(folder) == before);
}

/* A file system on media that cannot be written to. */
static int media_changes;

static vs_status media_open(void *ctx, const char *path, uint32_t mode, void **out_file,
                            char *why) {
    if (!(mode & (VS_VFS_WRITE | VS_VFS_CREATE)))
        return vs_vfs_posix()->open(ctx, path, mode, out_file, why);
    snprintf(why, VS_VFS_WHY_BYTES, "media is write-protected");
    return VS_ERR_READONLY;
}

static vs_status media_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                             size_t *out_bytes, char *why) {
    (void)ctx, (void)file, (void)buf, (void)bytes, (void)offset, (void)out_bytes, (void)why;
    media_changes++;
    return VS_ERR_READONLY;
}

static vs_status media_resize(void *ctx, void *file, uint64_t bytes, char *why) {
    (void)ctx, (void)file, (void)bytes, (void)why;
    media_changes++;
    return VS_ERR_READONLY;
}

static vs_status media_remove(void *ctx, const char *path, char *why) {
    (void)ctx, (void)path, (void)why;
    media_changes++;
    return VS_ERR_READONLY;
}

static vs_vfs write_protected(void) {
    vs_vfs vfs = *vs_vfs_posix();
    vfs.open = media_open;
    vfs.write = media_write;
    vfs.truncate = media_resize;
    vfs.allocate = media_resize;
    vfs.remove = media_remove;
    media_changes = 0;
    return vfs;
}

VT_TEST(write_protected_media_open_for_reading_only) {
    const char *path = vt_scratch("media.vs");
    vs_vfs vfs = write_protected();
    vs_open_options options = with_flags(0);
    vs_db *db = NULL;
    make_sample(path, 3);
    options.vfs = &vfs;
    attempt a = attempt_with(path, &options);
    VT_EQ(a.status, VS_ERR_READONLY);
    VT_CONTAINS(a.message, "media.vs");
    VT_CONTAINS(a.message, "media is write-protected");
    options.flags = VS_OPEN_READONLY;
    VT_OK(vs_open(path, &options, &db), db);
    check_content(db, 3);
    check_writes_refused(db);
    close_ok(db);
    VT_EQ(media_changes, 0);
}

VT_TEST(a_vfs_that_is_not_complete_is_refused) {
    vs_vfs vfs = *vs_vfs_posix();
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    const char *path = vt_scratch("novfs.vs");
    vfs.size = 8;
    options.vfs = &vfs;
    VT_CHECK(attempt_with(path, &options).status != VS_OK);
    VT_CHECK(!is_there(path));
}

/* ---- who may open at the same time ---------------------------------------------------------- */

static void check_names_process(const attempt *a, long pid) {
    char digits[32];
    snprintf(digits, sizeof digits, "%ld", pid);
    VT_EQ(a->status, VS_ERR_BUSY);
    VT_CONTAINS(a->message, digits);
}

VT_TEST(a_second_writer_is_busy_and_told_the_process) {
    const char *path = vt_scratch("two-writers.vs");
    make_sample(path, 1);
    vs_db *db = open_ok(path, 0);
    attempt a = attempt_open(path, 0);
    check_names_process(&a, (long)getpid());
    a = attempt_open(path, VS_OPEN_CREATE);
    check_names_process(&a, (long)getpid());
    close_ok(db);
    check_sample(path, 0, 1);
}

VT_TEST(a_reader_beside_a_writer_is_busy_and_told_the_process) {
    const char *path = vt_scratch("writer-reader.vs");
    make_sample(path, 1);
    vs_db *db = open_ok(path, 0);
    attempt a = attempt_open(path, VS_OPEN_READONLY);
    check_names_process(&a, (long)getpid());
    close_ok(db);
    check_sample(path, VS_OPEN_READONLY, 1);
}

VT_TEST(a_writer_beside_a_reader_is_busy) {
    const char *path = vt_scratch("reader-writer.vs");
    make_sample(path, 1);
    vs_db *db = open_ok(path, VS_OPEN_READONLY);
    VT_EQ(attempt_open(path, 0).status, VS_ERR_BUSY);
    check_content(db, 1);
    close_ok(db);
    check_sample(path, 0, 1);
}

VT_TEST(several_readers_may_read_at_once) {
    const char *path = vt_scratch("readers.vs");
    vs_db *db[4];
    make_sample(path, 2);
    for (int i = 0; i < 4; i++)
        db[i] = open_ok(path, VS_OPEN_READONLY);
    for (int i = 0; i < 4; i++) {
        check_content(db[i], 2);
        VT_EQ(attempt_open(path, 0).status, VS_ERR_BUSY);
        close_ok(db[i]);
    }
    check_sample(path, 0, 2);
}

VT_TEST(a_second_creator_is_busy) {
    const char *path = vt_scratch("creators.vs");
    vs_db *db = open_ok(path, VS_OPEN_CREATE);
    VT_EQ(attempt_open(path, VS_OPEN_CREATE).status, VS_ERR_BUSY);
    close_ok(db);
}

VT_TEST(a_failed_open_holds_no_lock) {
    const char *path = vt_scratch("lockfree.vs");
    char log[PATH_ROOM], aside[PATH_ROOM];
    vs_db *failed = NULL;
    make_killed_sample(path, 1);
    path_of_log(path, 1, log);
    snprintf(aside, sizeof aside, "%s-aside", path);
    VT_EQ(rename(log, aside), 0);
    VT_EQ(vs_open(path, NULL, &failed), VS_ERR_LOG_MISSING);
    VT_EQ(rename(aside, log), 0);
    check_sample(path, 0, 1);
    close_ok(failed);
}

/* ---- two processes --------------------------------------------------------------------------- */

/* Two pipes between a test and its child: each waits for a byte of the other. */
typedef struct meeting {
    int to_child[2], to_parent[2];
    const char *path;
    uint32_t flags;
} meeting;

static meeting new_meeting(const char *path, uint32_t flags) {
    meeting m = {{0, 0}, {0, 0}, path, flags};
    VT_EQ(pipe(m.to_child), 0);
    VT_EQ(pipe(m.to_parent), 0);
    return m;
}

static void end_meeting(const meeting *m) {
    for (int i = 0; i < 2; i++) {
        close(m->to_child[i]);
        close(m->to_parent[i]);
    }
}

static bool tell(const int pipe_ends[2]) {
    return write(pipe_ends[1], "x", 1) == 1;
}

static bool await(const int pipe_ends[2]) {
    char byte;
    return read(pipe_ends[0], &byte, 1) == 1;
}

/* Holds the database open with m->flags from one word of the parent to the next. */
static int hold_open(void *ctx) {
    meeting *m = ctx;
    vs_open_options options = with_flags(m->flags);
    vs_db *db = NULL;
    CHILD_CHECK(vs_open(m->path, &options, &db) == VS_OK);
    CHILD_CHECK(tell(m->to_parent));
    CHILD_CHECK(await(m->to_child));
    CHILD_CHECK(vs_close(db) == VS_OK);
    return 0;
}

/* What an open with flags finds while another process holds the database with held_flags. */
static attempt attempt_beside(const char *path, uint32_t held_flags, uint32_t flags, long *pid) {
    meeting m = new_meeting(path, held_flags);
    pid_t child = start_child(hold_open, &m);
    VT_CHECK(await(m.to_parent));
    attempt a = attempt_open(path, flags);
    VT_CHECK(tell(m.to_child));
    VT_EQ(exit_of(child), 0);
    end_meeting(&m);
    *pid = (long)child;
    return a;
}

VT_TEST(another_process_that_writes_is_named) {
    const char *path = vt_scratch("process.vs");
    long pid;
    make_sample(path, 1);
    attempt a = attempt_beside(path, 0, 0, &pid);
    check_names_process(&a, pid);
    a = attempt_beside(path, 0, VS_OPEN_READONLY, &pid);
    check_names_process(&a, pid);
    a = attempt_beside(path, 0, VS_OPEN_CREATE, &pid);
    check_names_process(&a, pid);
    check_sample(path, 0, 1);
}

VT_TEST(another_process_that_reads_keeps_writers_out_and_lets_readers_in) {
    const char *path = vt_scratch("process-reads.vs");
    long pid;
    make_sample(path, 1);
    VT_EQ(attempt_beside(path, VS_OPEN_READONLY, 0, &pid).status, VS_ERR_BUSY);
    VT_EQ(attempt_beside(path, VS_OPEN_READONLY, VS_OPEN_READONLY, &pid).status, VS_OK);
}

static int create_and_leave(void *ctx) {
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    vs_db *db = NULL;
    CHILD_CHECK(vs_open(ctx, &options, &db) == VS_OK);
    CHILD_CHECK(vs_close(db) == VS_OK);
    return 0;
}

VT_TEST(a_process_that_has_gone_is_not_named_as_the_one_in_the_way) {
    char path[PATH_ROOM], digits[32];
    snprintf(path, sizeof path, "%s", vt_scratch("gone.vs"));
    pid_t child = start_child(create_and_leave, path);
    VT_EQ(exit_of(child), 0);
    vs_db *db = open_ok(path, VS_OPEN_READONLY);
    attempt a = attempt_open(path, 0);
    VT_EQ(a.status, VS_ERR_BUSY);
    snprintf(digits, sizeof digits, "process %ld", (long)child);
    VT_CHECK(strstr(a.message, digits) == NULL);
    close_ok(db);
}

static int put_and_die(void *ctx) {
    vs_open_options options = with_flags(0);
    vs_db *db = NULL;
    vs_collection *c = NULL;
    float v[2] = {2, 0.5f};
    vs_record r = VS_RECORD_INIT;
    r.key.number = 2;
    r.vector = v;
    CHILD_CHECK(vs_open(ctx, &options, &db) == VS_OK);
    CHILD_CHECK(vs_collection_open(db, NULL, "c", &c) == VS_OK);
    CHILD_CHECK(vs_put(c, NULL, &r, VS_INSERT) == VS_OK);
    kill(getpid(), SIGKILL);
    return 0;
}

VT_TEST(a_killed_process_leaves_no_lock_and_all_it_committed) {
    char path[PATH_ROOM];
    snprintf(path, sizeof path, "%s", vt_scratch("killed.vs"));
    make_sample(path, 1);
    VT_CHECK(run_child(put_and_die, path) != 0);
    check_sample(path, VS_OPEN_READONLY, 2);
    check_sample(path, 0, 2);
}

/* ---- fork ----------------------------------------------------------------------------------- */

/* All handles of a database at work. */
typedef struct handles {
    const char *path;
    vs_db *db;
    vs_collection *c;
    vs_txn *read, *write;
    vs_cursor *cursor;
    meeting m;
} handles;

static void open_handles(handles *h, const char *path) {
    h->path = path;
    make_sample(path, 2);
    h->db = open_ok(path, 0);
    h->c = open_collection(h->db);
    VT_OK(vs_begin(h->db, VS_TXN_READ, &h->read), h->db);
    VT_OK(vs_begin(h->db, VS_TXN_WRITE, &h->write), h->db);
    VT_OK(vs_scan(h->c, h->read, NULL, &h->cursor), h->c);
}

/* Goes on in the parent, closes all, and sees that nothing is lost. */
static void finish_handles(handles *h) {
    float v[2] = {3, 0.5f};
    vs_record r = VS_RECORD_INIT;
    r.key.number = 3;
    r.vector = v;
    VT_EQ(vs_step(h->cursor), VS_ROW);
    vs_cursor_close(h->cursor);
    VT_OK(vs_put(h->c, h->write, &r, VS_INSERT), h->c);
    VT_OK(vs_commit(h->write, VS_SYNC_DEFAULT), h->db);
    vs_rollback(h->read);
    put_key(h->c, 4);
    vs_collection_close(h->c);
    close_ok(h->db);
    check_sample(h->path, 0, 4);
}

static int use_records_in_child(void *ctx) {
    handles *h = ctx;
    float v[2] = {9, 9};
    vs_record r = VS_RECORD_INIT;
    vs_batch b = VS_BATCH_INIT;
    vs_hit hits[1];
    size_t found;
    uint64_t count, key = 9;
    r.key.number = key;
    r.vector = v;
    b.count = 1;
    b.numbers = &key;
    b.vectors = v;
    CHILD_CHECK(vs_put(h->c, NULL, &r, VS_UPSERT) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_put(h->c, h->write, &r, VS_UPSERT) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_put_batch(h->c, NULL, &b, VS_UPSERT) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_get(h->c, NULL, vs_key_u64(1), &r) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_get(h->c, h->read, vs_key_u64(1), &r) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_delete(h->c, NULL, vs_key_u64(1)) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_count(h->c, NULL, &count) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_search(h->c, NULL, v, 0, 1, NULL, hits, &found) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_step(h->cursor) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_cursor_record(h->cursor, &r) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_scan(h->c, NULL, NULL, &h->cursor) == VS_ERR_MISUSE);
    return 0;
}

static int use_database_in_child(void *ctx) {
    handles *h = ctx;
    vs_collection *c = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_stats stats = VS_STATS_INIT;
    vs_txn *txn = NULL;
    uint64_t problems;
    size_t bytes;
    options.dim = 2;
    CHILD_CHECK(vs_collection_create(h->db, NULL, "n", &options, &c) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_collection_open(h->db, NULL, "c", &c) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_collection_info_get(h->c, NULL, &info) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_collection_at(h->db, NULL, 0, &info) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_begin(h->db, VS_TXN_READ, &txn) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_begin(h->db, VS_TXN_WRITE, &txn) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_kv_put(h->db, NULL, NULL, "k", 1, "v", 1) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_kv_get(h->db, NULL, NULL, "k", 1, NULL, 0, &bytes) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_sync(h->db) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_checkpoint(h->db) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_stats_get(h->db, &stats) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_check(h->db, 0, NULL, NULL, &problems) == VS_ERR_MISUSE);
    CHILD_CHECK(vs_errmsg(h->db)[0] != 0);
    return 0;
}

static int end_in_child(void *ctx) {
    handles *h = ctx;
    CHILD_CHECK(vs_commit(h->write, VS_SYNC_FULL) == VS_ERR_MISUSE);
    vs_rollback(h->read);
    vs_cursor_close(h->cursor);
    vs_collection_close(h->c);
    CHILD_CHECK(vs_close(h->db) == VS_OK);
    return 0;
}

static int roll_back_in_child(void *ctx) {
    handles *h = ctx;
    vs_cursor_close(h->cursor);
    vs_rollback(h->write);
    CHILD_CHECK(vs_commit(h->read, VS_SYNC_FULL) == VS_ERR_MISUSE);
    vs_collection_close(h->c);
    CHILD_CHECK(vs_close(h->db) == VS_OK);
    return 0;
}

static int only_close_in_child(void *ctx) {
    handles *h = ctx;
    CHILD_CHECK(vs_close(h->db) == VS_OK);
    return 0;
}

static void check_fork(const char *name, child_body *body) {
    handles h = {0};
    open_handles(&h, vt_scratch(name));
    int code = run_child(body, &h);
    VT_EQ(attempt_open(h.path, 0).status, VS_ERR_BUSY); /* the child did not drop our lock */
    VT_EQ(attempt_open(h.path, VS_OPEN_READONLY).status, VS_ERR_BUSY);
    finish_handles(&h);
    VT_EQ(code, 0);
}

VT_TEST(in_a_child_every_call_on_records_is_misuse) {
    check_fork("fork-records.vs", use_records_in_child);
}

VT_TEST(in_a_child_every_call_on_the_database_is_misuse) {
    check_fork("fork-database.vs", use_database_in_child);
}

VT_TEST(a_child_may_close_all_handles_and_the_parent_goes_on) {
    check_fork("fork-end.vs", end_in_child);
    check_fork("fork-rollback.vs", roll_back_in_child);
}

VT_TEST(a_child_may_close_a_database_with_open_handles) {
    check_fork("fork-close.vs", only_close_in_child);
}

VT_TEST(a_child_that_just_ends_harms_nothing) {
    handles h = {0};
    open_handles(&h, vt_scratch("fork-exit.vs"));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    VT_EQ(exit_of(pid), 0);
    VT_EQ(attempt_open(h.path, 0).status, VS_ERR_BUSY);
    finish_handles(&h);
}

static int live_until_told(void *ctx) {
    meeting *m = ctx;
    CHILD_CHECK(tell(m->to_parent));
    CHILD_CHECK(await(m->to_child));
    return 0;
}

VT_TEST(a_closed_database_opens_again_while_a_child_of_before_still_lives) {
    const char *path = vt_scratch("fork-lives.vs");
    make_sample(path, 2);
    vs_db *db = open_ok(path, 0);
    meeting m = new_meeting(path, 0);
    pid_t child = start_child(live_until_told, &m);
    VT_CHECK(await(m.to_parent));
    close_ok(db);
    vs_status st = attempt_open(path, 0).status;
    VT_CHECK(tell(m.to_child));
    VT_EQ(exit_of(child), 0);
    end_meeting(&m);
    VT_EQ(st, VS_OK);
}

static int open_own(void *ctx) {
    handles *h = ctx;
    vs_db *db = NULL;
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    CHILD_CHECK(vs_close(h->db) == VS_OK);
    CHILD_CHECK(vs_open(h->path, &options, &db) == VS_OK);
    CHILD_CHECK(vs_kv_put(db, NULL, NULL, "child", 5, "1", 1) == VS_OK);
    CHILD_CHECK(vs_close(db) == VS_OK);
    return 0;
}

VT_TEST(a_child_may_open_a_database_of_its_own) {
    handles h = {0};
    vs_db *db = open_ok(vt_scratch("fork-parent.vs"), VS_OPEN_CREATE);
    h.db = db;
    h.path = vt_scratch("fork-own.vs");
    VT_EQ(run_child(open_own, &h), 0);
    close_ok(db);
}

/* ---- options -------------------------------------------------------------------------------- */

static void check_options_refused(const vs_open_options *options, vs_status expected) {
    const char *path = vt_scratch("badoptions.vs");
    VT_EQ(attempt_with(path, options).status, expected);
    VT_CHECK(!is_there(path));
}

VT_TEST(an_unknown_flag_is_refused) {
    vs_open_options options = with_flags(VS_OPEN_CREATE | 8);
    check_options_refused(&options, VS_ERR_MISUSE);
    options.flags = VS_OPEN_CREATE | 0x80000000u;
    check_options_refused(&options, VS_ERR_MISUSE);
}

VT_TEST(an_unknown_sync_is_refused) {
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    options.sync = 4;
    check_options_refused(&options, VS_ERR_MISUSE);
    options.sync = -1;
    check_options_refused(&options, VS_ERR_MISUSE);
}

VT_TEST(an_unknown_cpu_is_unsupported_and_named) {
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    options.cpu = "abacus";
    check_options_refused(&options, VS_ERR_UNSUPPORTED);
    VT_CONTAINS(attempt_with(vt_scratch("badoptions.vs"), &options).message, "abacus");
    options.cpu = "";
    check_options_refused(&options, VS_ERR_UNSUPPORTED);
    options.cpu = "scal"; /* part of a name is no name */
    check_options_refused(&options, VS_ERR_UNSUPPORTED);
    options.cpu = vs_cpu_features();
    if (strchr(options.cpu, ' '))
        check_options_refused(&options, VS_ERR_UNSUPPORTED);
}

VT_TEST(every_cpu_feature_may_be_chosen) {
    char names[256];
    snprintf(names, sizeof names, "%s", vs_cpu_features());
    int count = 0;
    bool has_scalar = false;
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
        vs_open_options options = with_flags(VS_OPEN_CREATE);
        options.cpu = name;
        VT_EQ(attempt_with(vt_scratch("cpu.vs"), &options).status, VS_OK);
        has_scalar = !strcmp(name, "scalar");
        count++;
    }
    VT_CHECK(count > 0);
    VT_CHECK(has_scalar); /* the last one */
}

VT_TEST(options_of_a_smaller_size_have_defaults_for_the_rest) {
    const char *path = vt_scratch("small.vs");
    vs_open_options options;
    vs_db *db = NULL;
    memset(&options, 0xee, sizeof options);
    options.size = (uint32_t)offsetof(vs_open_options, vfs);
    options.flags = VS_OPEN_CREATE;
    VT_OK(vs_open(path, &options, &db), db);
    vs_collection_close(create_collection(db));
    close_ok(db);
}

VT_TEST(options_without_a_size_are_misuse) {
    vs_open_options options = with_flags(VS_OPEN_CREATE);
    options.size = 0;
    check_options_refused(&options, VS_ERR_MISUSE);
    options.size = 3;
    check_options_refused(&options, VS_ERR_MISUSE);
}

VT_TEST(options_of_a_later_version_are_accepted_when_what_is_new_is_zero) {
    struct {
        vs_open_options options;
        uint64_t later[4];
    } big = {VS_OPEN_OPTIONS_INIT, {0, 0, 0, 0}};
    big.options.size = sizeof big;
    big.options.flags = VS_OPEN_CREATE;
    VT_EQ(attempt_with(vt_scratch("later.vs"), &big.options).status, VS_OK);
    big.later[3] = 1;
    VT_CHECK(attempt_with(vt_scratch("later.vs"), &big.options).status != VS_OK);
}

/* ---- symbolic links ------------------------------------------------------------------------- */

VT_TEST(a_symbolic_link_uses_the_log_of_the_real_file) {
    char real[PATH_ROOM], alias[PATH_ROOM], log[PATH_ROOM];
    snprintf(real, sizeof real, "%s/real.vs", make_folder("links-real"));
    snprintf(alias, sizeof alias, "%s/alias.vs", make_folder("links-alias"));
    make_sample(real, 1);
    VT_EQ(symlink(real, alias), 0);
    check_sample(alias, VS_OPEN_READONLY, 1);
    vs_db *db = open_ok(alias, VS_OPEN_CREATE);
    vs_collection *c = open_collection(db);
    put_key(c, 2);
    vs_collection_close(c);
    VT_EQ(attempt_open(real, 0).status, VS_ERR_BUSY);
    VT_EQ(newest_log(alias), 0);
    path_of_log(real, 2, log);
    VT_CHECK(is_there(log));
    close_ok(db);
    VT_EQ(newest_log(alias), 0);
    VT_EQ(newest_log(real), 0);
    check_sample(real, 0, 2);
}

VT_TEST(a_link_of_a_folder_leads_to_the_same_database) {
    char real[PATH_ROOM], alias[PATH_ROOM];
    const char *folder = make_folder("linked-folder");
    VT_EQ(symlink(folder, vt_scratch("folder-link")), 0);
    snprintf(real, sizeof real, "%s/x.vs", folder);
    snprintf(alias, sizeof alias, "%s/x.vs", vt_scratch("folder-link"));
    make_sample(alias, 3);
    VT_CHECK(is_there(real));
    vs_db *db = open_ok(real, 0);
    VT_EQ(attempt_open(alias, 0).status, VS_ERR_BUSY);
    close_ok(db);
}

VT_TEST(a_link_to_nothing_creates_at_most_its_target) {
    char real[PATH_ROOM], alias[PATH_ROOM];
    const char *folder = make_folder("dangling");
    snprintf(real, sizeof real, "%s/real.vs", folder);
    snprintf(alias, sizeof alias, "%s/alias.vs", folder);
    VT_EQ(symlink(real, alias), 0);
    VT_EQ(attempt_open(alias, 0).status, VS_ERR_NOT_FOUND);
    make_killed_sample(alias, 2);
    VT_EQ(newest_log(alias), 0);
    VT_EQ(newest_log(real), 1);
    check_sample(real, 0, 2);
    check_sample(alias, 0, 2);
}

/* ---- closing -------------------------------------------------------------------------------- */

VT_TEST(closing_null_is_fine) {
    VT_EQ(vs_close(NULL), VS_OK);
    vs_collection_close(NULL);
    vs_cursor_close(NULL);
    vs_rollback(NULL);
}

VT_TEST(closing_with_an_open_handle_is_busy_and_the_database_stays_open) {
    handles h = {0};
    open_handles(&h, vt_scratch("busy-close.vs"));
    VT_EQ(vs_close(h.db), VS_ERR_BUSY);
    VT_CHECK(vs_errmsg(h.db)[0] != 0);
    finish_handles(&h);
}

VT_TEST(each_kind_of_open_handle_alone_keeps_a_database_open) {
    const char *path = vt_scratch("one-handle.vs");
    vs_txn *txn = NULL;
    vs_cursor *cursor = NULL;
    make_sample(path, 1);
    vs_db *db = open_ok(path, 0);
    vs_collection *c = open_collection(db);
    VT_EQ(vs_close(db), VS_ERR_BUSY);
    VT_OK(vs_scan(c, NULL, NULL, &cursor), c);
    vs_collection_close(c);
    VT_EQ(vs_close(db), VS_ERR_BUSY);
    VT_EQ(vs_step(cursor), VS_ROW);
    vs_cursor_close(cursor);
    VT_OK(vs_begin(db, VS_TXN_READ, &txn), db);
    VT_EQ(vs_close(db), VS_ERR_BUSY);
    vs_rollback(txn);
    VT_OK(vs_begin(db, VS_TXN_WRITE, &txn), db);
    VT_EQ(vs_close(db), VS_ERR_BUSY);
    VT_OK(vs_commit(txn, VS_SYNC_DEFAULT), db);
    close_ok(db);
}

/* ---- wrong handles -------------------------------------------------------------------------- */

/* Memory that is freed stays as it is until the end of the test, so that the use of a closed handle
 * has a defined outcome. */
typedef struct graveyard {
    void *block[4096];
    size_t count;
} graveyard;

static void *graveyard_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    graveyard *g = ctx;
    void *fresh = NULL;
    if (new_bytes) {
        fresh = malloc(new_bytes);
        if (!fresh)
            return NULL;
        if (ptr)
            memcpy(fresh, ptr, old_bytes < new_bytes ? old_bytes : new_bytes);
    }
    if (ptr && g->count < sizeof g->block / sizeof g->block[0])
        g->block[g->count++] = ptr;
    return fresh;
}

static void graveyard_empty(graveyard *g) {
    while (g->count)
        free(g->block[--g->count]);
}

VT_TEST(a_closed_handle_is_misuse) {
    static graveyard g;
    vs_allocator allocator = {&g, graveyard_realloc};
    vs_open_options options = with_flags(0);
    vs_db *db = NULL;
    vs_txn *txn = NULL;
    vs_cursor *cursor = NULL;
    vs_record r = VS_RECORD_INIT;
    uint64_t count;
    const char *path = vt_scratch("closed.vs");
    make_sample(path, 1);
    options.allocator = &allocator;
    VT_OK(vs_open(path, &options, &db), db);
    vs_collection *c = open_collection(db);
    VT_OK(vs_begin(db, VS_TXN_READ, &txn), db);
    VT_OK(vs_scan(c, NULL, NULL, &cursor), c);
    vs_cursor_close(cursor);
    VT_EQ(vs_step(cursor), VS_ERR_MISUSE);
    VT_EQ(vs_cursor_record(cursor, &r), VS_ERR_MISUSE);
    vs_rollback(txn);
    VT_EQ(vs_count(c, txn, &count), VS_ERR_MISUSE);
    VT_EQ(vs_commit(txn, VS_SYNC_DEFAULT), VS_ERR_MISUSE);
    vs_collection_close(c);
    VT_EQ(vs_count(c, NULL, &count), VS_ERR_MISUSE);
    VT_EQ(vs_get(c, NULL, vs_key_u64(1), &r), VS_ERR_MISUSE);
    close_ok(db);
    VT_EQ(vs_close(db), VS_ERR_MISUSE);
    VT_EQ(vs_begin(db, VS_TXN_READ, &txn), VS_ERR_MISUSE);
    VT_EQ(vs_sync(db), VS_ERR_MISUSE);
    VT_EQ(vs_checkpoint(db), VS_ERR_MISUSE);
    graveyard_empty(&g);
    check_sample(path, 0, 1);
}

VT_TEST(a_null_database_is_misuse) {
    vs_collection *c = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_stats stats = VS_STATS_INIT;
    vs_txn *txn = NULL;
    uint64_t problems;
    size_t bytes;
    options.dim = 1;
    VT_EQ(vs_collection_create(NULL, NULL, "c", &options, &c), VS_ERR_MISUSE);
    VT_EQ(vs_collection_open(NULL, NULL, "c", &c), VS_ERR_MISUSE);
    VT_EQ(vs_collection_at(NULL, NULL, 0, &info), VS_ERR_MISUSE);
    VT_EQ(vs_begin(NULL, VS_TXN_READ, &txn), VS_ERR_MISUSE);
    VT_EQ(vs_commit(NULL, VS_SYNC_FULL), VS_ERR_MISUSE);
    VT_EQ(vs_kv_put(NULL, NULL, NULL, "k", 1, "v", 1), VS_ERR_MISUSE);
    VT_EQ(vs_kv_get(NULL, NULL, NULL, "k", 1, NULL, 0, &bytes), VS_ERR_MISUSE);
    VT_EQ(vs_sync(NULL), VS_ERR_MISUSE);
    VT_EQ(vs_checkpoint(NULL), VS_ERR_MISUSE);
    VT_EQ(vs_stats_get(NULL, &stats), VS_ERR_MISUSE);
    VT_EQ(vs_check(NULL, 0, NULL, NULL, &problems), VS_ERR_MISUSE);
}

VT_TEST(a_null_collection_or_cursor_is_misuse) {
    vs_record r = VS_RECORD_INIT;
    vs_batch b = VS_BATCH_INIT;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_cursor *cursor = NULL;
    vs_hit hit;
    uint64_t count;
    size_t found;
    float v[2] = {0, 0};
    r.vector = v;
    VT_EQ(vs_put(NULL, NULL, &r, VS_UPSERT), VS_ERR_MISUSE);
    VT_EQ(vs_put_batch(NULL, NULL, &b, VS_UPSERT), VS_ERR_MISUSE);
    VT_EQ(vs_get(NULL, NULL, vs_key_u64(1), &r), VS_ERR_MISUSE);
    VT_EQ(vs_delete(NULL, NULL, vs_key_u64(1)), VS_ERR_MISUSE);
    VT_EQ(vs_count(NULL, NULL, &count), VS_ERR_MISUSE);
    VT_EQ(vs_collection_info_get(NULL, NULL, &info), VS_ERR_MISUSE);
    VT_EQ(vs_search(NULL, NULL, v, 0, 1, NULL, &hit, &found), VS_ERR_MISUSE);
    VT_EQ(vs_scan(NULL, NULL, NULL, &cursor), VS_ERR_MISUSE);
    VT_EQ(vs_step(NULL), VS_ERR_MISUSE);
    VT_EQ(vs_cursor_record(NULL, &r), VS_ERR_MISUSE);
}

VT_TEST(null_arguments_of_open_handles_are_misuse) {
    handles h = {0};
    vs_hit hit;
    size_t found;
    float v[2] = {0, 0};
    open_handles(&h, vt_scratch("null-arguments.vs"));
    vs_rollback(h.write);
    VT_EQ(vs_put(h.c, NULL, NULL, VS_UPSERT), VS_ERR_MISUSE);
    VT_EQ(vs_put_batch(h.c, NULL, NULL, VS_UPSERT), VS_ERR_MISUSE);
    VT_EQ(vs_count(h.c, NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_collection_info_get(h.c, NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_collection_at(h.db, NULL, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_search(h.c, NULL, NULL, 0, 1, NULL, &hit, &found), VS_ERR_MISUSE);
    VT_EQ(vs_search(h.c, NULL, v, 0, 1, NULL, NULL, &found), VS_ERR_MISUSE);
    VT_EQ(vs_search(h.c, NULL, v, 0, 1, NULL, &hit, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_scan(h.c, NULL, NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_cursor_record(h.cursor, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_begin(h.db, VS_TXN_READ, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_kv_put(h.db, NULL, NULL, NULL, 1, "v", 1), VS_ERR_MISUSE);
    VT_EQ(vs_kv_get(h.db, NULL, NULL, NULL, 1, NULL, 0, &found), VS_ERR_MISUSE);
    VT_EQ(vs_kv_get(h.db, NULL, NULL, "k", 1, NULL, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_kv_get(h.db, NULL, NULL, "k", 1, NULL, 5, &found), VS_ERR_MISUSE);
    VT_EQ(vs_stats_get(h.db, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_check(h.db, 0, NULL, NULL, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_collection_open(h.db, NULL, NULL, &h.c), VS_ERR_MISUSE);
    VT_EQ(vs_collection_open(h.db, NULL, "c", NULL), VS_ERR_MISUSE);
    VT_EQ(vs_collection_create(h.db, NULL, "n", NULL, NULL), VS_ERR_MISUSE);
    vs_rollback(h.read);
    vs_cursor_close(h.cursor);
    vs_collection_close(h.c);
    close_ok(h.db);
}

VT_TEST(a_handle_of_another_kind_is_misuse) {
    handles h = {0};
    uint64_t count;
    vs_txn *txn = NULL;
    vs_record r = VS_RECORD_INIT;
    open_handles(&h, vt_scratch("wrong-kind.vs"));
    VT_EQ(vs_count((vs_collection *)(void *)h.db, NULL, &count), VS_ERR_MISUSE);
    VT_EQ(vs_count((vs_collection *)(void *)h.read, NULL, &count), VS_ERR_MISUSE);
    VT_EQ(vs_count(h.c, (vs_txn *)(void *)h.c, &count), VS_ERR_MISUSE);
    VT_EQ(vs_count(h.c, (vs_txn *)(void *)h.cursor, &count), VS_ERR_MISUSE);
    VT_EQ(vs_begin((vs_db *)(void *)h.c, VS_TXN_READ, &txn), VS_ERR_MISUSE);
    VT_EQ(vs_step((vs_cursor *)(void *)h.read), VS_ERR_MISUSE);
    VT_EQ(vs_cursor_record((vs_cursor *)(void *)h.db, &r), VS_ERR_MISUSE);
    VT_EQ(vs_close((vs_db *)(void *)h.read), VS_ERR_MISUSE);
    VT_EQ(vs_commit((vs_txn *)(void *)h.db, VS_SYNC_FULL), VS_ERR_MISUSE);
    vs_cursor_close((vs_cursor *)(void *)h.c);
    vs_collection_close((vs_collection *)(void *)h.cursor);
    vs_rollback((vs_txn *)(void *)h.c);
    finish_handles(&h);
}

VT_TEST(handles_of_two_databases_do_not_mix) {
    handles a = {0}, b = {0};
    uint64_t count;
    float v[2] = {1, 1};
    vs_record r = VS_RECORD_INIT;
    size_t bytes;
    r.key.number = 50;
    r.vector = v;
    open_handles(&a, vt_scratch("mix-a.vs"));
    open_handles(&b, vt_scratch("mix-b.vs"));
    VT_EQ(vs_count(a.c, b.read, &count), VS_ERR_MISUSE);
    VT_EQ(vs_put(a.c, b.write, &r, VS_UPSERT), VS_ERR_MISUSE);
    VT_EQ(vs_kv_put(a.db, b.write, NULL, "k", 1, "v", 1), VS_ERR_MISUSE);
    VT_EQ(vs_kv_put(a.db, a.write, b.c, "k", 1, "v", 1), VS_ERR_MISUSE);
    VT_EQ(vs_kv_get(a.db, b.read, NULL, "k", 1, NULL, 0, &bytes), VS_ERR_MISUSE);
    finish_handles(&a);
    finish_handles(&b);
}

VT_TEST(the_handle_of_a_failed_open_refuses_every_call) {
    vs_db *db = NULL;
    vs_collection *c = NULL;
    vs_txn *txn = NULL;
    vs_stats stats = VS_STATS_INIT;
    VT_EQ(vs_open(vt_scratch("never.vs"), NULL, &db), VS_ERR_NOT_FOUND);
    VT_CHECK(db != NULL);
    VT_CONTAINS(vs_errmsg(db), "never.vs");
    VT_EQ(vs_begin(db, VS_TXN_READ, &txn), VS_ERR_MISUSE);
    VT_EQ(vs_collection_open(db, NULL, "c", &c), VS_ERR_MISUSE);
    VT_EQ(vs_stats_get(db, &stats), VS_ERR_MISUSE);
    VT_EQ(vs_sync(db), VS_ERR_MISUSE);
    VT_EQ(vs_checkpoint(db), VS_ERR_MISUSE);
    VT_EQ(vs_close(db), VS_OK);
}

/* ---- messages, versions --------------------------------------------------------------------- */

VT_TEST(messages_are_empty_before_the_first_failure) {
    handles h = {0};
    open_handles(&h, vt_scratch("quiet.vs"));
    VT_STR(vs_errmsg(h.db), "");
    VT_STR(vs_errmsg(h.c), "");
    VT_STR(vs_errmsg(h.read), "");
    VT_STR(vs_errmsg(h.cursor), "");
    VT_EQ(vs_extended_errcode(h.db), VS_OK);
    VT_EQ(vs_extended_errcode(h.c), VS_OK);
    VT_EQ(vs_extended_errcode(h.cursor), VS_OK);
    VT_EQ(vs_extended_errcode(NULL), VS_OK);
    VT_CHECK(vs_errmsg(NULL) != NULL);
    finish_handles(&h);
}

VT_TEST(every_status_has_its_name) {
    VT_STR(vs_status_name(VS_OK), "VS_OK");
    VT_STR(vs_status_name(VS_ERR_MISUSE), "VS_ERR_MISUSE");
    VT_STR(vs_status_name(VS_ERR_INVALID), "VS_ERR_INVALID");
    VT_STR(vs_status_name(VS_ERR_NOMEM), "VS_ERR_NOMEM");
    VT_STR(vs_status_name(VS_ERR_IO), "VS_ERR_IO");
    VT_STR(vs_status_name(VS_ERR_FULL), "VS_ERR_FULL");
    VT_STR(vs_status_name(VS_ERR_READONLY), "VS_ERR_READONLY");
    VT_STR(vs_status_name(VS_ERR_DENIED), "VS_ERR_DENIED");
    VT_STR(vs_status_name(VS_ERR_BUSY), "VS_ERR_BUSY");
    VT_STR(vs_status_name(VS_ERR_NOT_FOUND), "VS_ERR_NOT_FOUND");
    VT_STR(vs_status_name(VS_ERR_EXISTS), "VS_ERR_EXISTS");
    VT_STR(vs_status_name(VS_ERR_LIMIT), "VS_ERR_LIMIT");
    VT_STR(vs_status_name(VS_ERR_CORRUPT), "VS_ERR_CORRUPT");
    VT_STR(vs_status_name(VS_ERR_LOG_MISSING), "VS_ERR_LOG_MISSING");
    VT_STR(vs_status_name(VS_ERR_NOT_DB), "VS_ERR_NOT_DB");
    VT_STR(vs_status_name(VS_ERR_TOO_NEW), "VS_ERR_TOO_NEW");
    VT_STR(vs_status_name(VS_ERR_TOO_OLD), "VS_ERR_TOO_OLD");
    VT_STR(vs_status_name(VS_ERR_INDOUBT), "VS_ERR_INDOUBT");
    VT_STR(vs_status_name(VS_ERR_INTERRUPTED), "VS_ERR_INTERRUPTED");
    VT_STR(vs_status_name(VS_ERR_UNSUPPORTED), "VS_ERR_UNSUPPORTED");
    VT_STR(vs_status_name(VS_ROW), "VS_ROW");
    VT_STR(vs_status_name(VS_DONE), "VS_DONE");
    VT_STR(vs_status_name(VS_ERR_IO_SYNC_DIR), "VS_ERR_IO");
    VT_STR(vs_status_name(VS_ERR_TIMEOUT), "VS_ERR_TIMEOUT");
    VT_STR(vs_status_name(VS_ERR_CONFLICT), "VS_ERR_CONFLICT");
    VT_STR(vs_status_name(VS_ERR_REFUSED), "VS_ERR_REFUSED");
    VT_STR(vs_status_name(60), "VS_ERR_?");
    VT_STR(vs_status_name(-1), "VS_ERR_?");
    VT_STR(vs_status_name(99), "VS_ERR_?");
    VT_STR(vs_status_name(102), "VS_ERR_?");
}

VT_TEST(the_library_is_the_version_of_its_header) {
    int major = 0, minor = 0, patch = 0;
    VT_STR(vs_version(), VS_VERSION);
    VT_EQ(vs_version_number(), VS_VERSION_NUMBER);
    VT_EQ(sscanf(VS_VERSION, "%d.%d.%d", &major, &minor, &patch), 3);
    VT_EQ(major * 1000000 + minor * 1000 + patch, VS_VERSION_NUMBER);
}
