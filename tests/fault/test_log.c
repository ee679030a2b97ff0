/* test_log.c - damage of the log, the meta pages and the extents behind them: an explicit error, a report,
 * or full recovery, never wrong data. VT_LONG=1 flips every bit; otherwise one bit of each fourth byte, chosen
 * at random. */
#include "logfile.h"
#include "sim.h"
#include "vt.h"

#define DB "t.vs"

enum { COMMITS = 13, ROWS = 3, DIM = 8 };

/* A database with COMMITS durable commits, and its digest after each. */
typedef struct history {
    sim_image disk;
    uint64_t digest[COMMITS + 1][2]; /* [n]: after n commits */
    uint64_t lsn[COMMITS + 1];
    uint64_t checkpoint_lsn; /* of the last checkpoint before the program ended; 0: none */
} history;

static vs_db *open_on(sim *s, uint32_t flags, vs_status *out_status) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.flags = flags;
    options.vfs = sim_vfs(s);
    *out_status = vs_open(DB, &options, &db);
    return db;
}

static vs_stats stats_of(vs_db *db) {
    vs_stats stats = VS_STATS_INIT;
    VT_OK(vs_stats_get(db, &stats), db);
    return stats;
}

/* Frees a handle as if its process were killed. */
static void kill_db(sim *s, vs_db *db) {
    sim_set_process(s, 77);
    VT_EQ(vs_close(db), VS_OK);
    sim_set_process(s, 1000);
    sim_drop_locks(s);
}

static void put_rows(vs_collection *coll, int commit) {
    float vectors[ROWS][DIM];
    uint64_t keys[ROWS];
    for (int i = 0; i < ROWS; i++) {
        keys[i] = (uint64_t)(commit * 2 + i); /* some replace those of the commit before */
        for (int j = 0; j < DIM; j++)
            vectors[i][j] = (float)(commit * 100 + i * 10 + j);
    }
    vs_batch batch = VS_BATCH_INIT;
    batch.count = ROWS;
    batch.numbers = keys;
    batch.vectors = vectors;
    VT_OK(vs_put_batch(coll, NULL, &batch, VS_UPSERT), coll);
}

/* How the program that made a history ended. */
enum {
    KILLED,       /* everything is in one log */
    KEPT,         /* the same, closed on a disk that was full: the close kept the log */
    CHECKPOINTED, /* killed behind several checkpoints */
    CLOSED        /* one file */
};

static void make_commits(vs_db *db, history *h) {
    vs_collection *coll = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = DIM;
    for (int i = 1; i <= COMMITS; i++) {
        if (i == 1)
            VT_OK(vs_collection_create(db, NULL, "c", &options, &coll), db);
        else
            put_rows(coll, i);
        vs_stats stats = stats_of(db);
        memcpy(h->digest[i], stats.digest, sizeof stats.digest);
        h->lsn[i] = stats.lsn;
    }
    vs_collection_close(coll);
}

/* With blocks of 512 bytes the log stays below the size that asks for a checkpoint, with 4096 it does
 * not. */
static history make_history(int end) {
    history h;
    memset(&h, 0, sizeof h);
    sim *s = sim_new(9, NULL);
    vs_status st = VS_OK;
    sim_set_block(s, end == KILLED || end == KEPT ? 512 : 4096);
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st);
    make_commits(db, &h);
    h.checkpoint_lsn = stats_of(db).checkpoint_lsn;
    VT_EQ(stats_of(db).checkpoints > 1, end == CHECKPOINTED || end == CLOSED);
    VT_EQ(h.checkpoint_lsn > 0, end == CHECKPOINTED || end == CLOSED);
    if (end == KEPT)
        sim_set_fault(s, SIM_FAULT_FULL, 1, false);
    if (end == KEPT || end == CLOSED)
        VT_EQ(vs_close(db), VS_OK);
    else
        kill_db(s, db);
    h.disk = sim_image_now(s);
    VT_EQ(h.disk.count, end == CLOSED ? 1 : end == CHECKPOINTED ? 3 : 2);
    sim_free(s);
    return h;
}

enum { IS_ERROR = -1 };

typedef struct outcome {
    int commits;       /* how many the database shows, or IS_ERROR */
    uint64_t problems; /* that vs_check reports */
    vs_status status;
    char message[600];
    vs_stats stats;
} outcome;

/* Opens a copy of the disk. A state that is none of the history fails the test. */
static outcome look_closely(const history *h, const sim_image *disk) {
    sim_image copy = sim_image_copy(disk);
    sim *s = sim_new(10, &copy);
    outcome out = {.commits = IS_ERROR};
    vs_db *db = open_on(s, 0, &out.status);
    snprintf(out.message, sizeof out.message, "%s", vs_errmsg(db));
    if (out.status == VS_OK) {
        out.stats = stats_of(db);
        out.commits = COMMITS;
        while (out.commits >= 0 && memcmp(h->digest[out.commits], out.stats.digest, 16))
            out.commits--;
        VT_CHECK(out.commits >= 0);
        VT_OK(vs_check(db, 3, NULL, NULL, &out.problems), db);
    } else {
        VT_CHECK(out.message[0]);
    }
    vs_close(db);
    sim_free(s);
    return out;
}

/* The same where a database that opens must be sound. */
static outcome look_at(const history *h, const sim_image *disk) {
    outcome out = look_closely(h, disk);
    VT_EQ(out.problems, 0);
    return out;
}

static void check_is_damage(const outcome *out) {
    VT_EQ(out->commits, IS_ERROR);
    VT_CHECK(out->status == VS_ERR_CORRUPT || out->status == VS_ERR_LOG_MISSING ||
             out->status == VS_ERR_TOO_NEW || out->status == VS_ERR_TOO_OLD);
}

static void history_free(history *h) {
    sim_image_free(&h->disk);
}

/* ---- flipped bits --------------------------------------------------------------------------- */

/* One byte of so many, the first one chosen by VT_SEED; VT_BRIEF is for emulators, where the order of bytes is
 * the question, and for further builds, of which the first one tried more. */
static size_t flip_stride(void) {
    if (getenv("VT_LONG"))
        return 1;
    return getenv("VT_BRIEF") ? 16 : 4;
}

/* Flips bits of [from, to) of a file one by one; each outcome must be an error or the full content. */
static void flip_each(const history *h, const char *path, size_t from, size_t to, int *errors,
                      int *same) {
    vt_rng rng = {vt_seed()};
    bool all = getenv("VT_LONG");
    sim_image disk = sim_image_copy(&h->disk);
    sim_file *file = sim_image_find(&disk, path);
    VT_CHECK(file && to <= file->bytes);
    for (size_t at = from + rng.state % flip_stride(); at < to; at += flip_stride())
        for (int bit = 0; bit < 8; bit++) {
            if (!all && bit != (int)(vt_mix(at ^ rng.state) % 8))
                continue;
            file->data[at] ^= (uint8_t)(1 << bit);
            outcome out = look_closely(h, &disk);
            if (out.commits == IS_ERROR)
                check_is_damage(&out);
            else
                VT_EQ(out.commits, COMMITS);
            /* Damage of what only the checkpoint before needs is reported, not met. */
            VT_CHECK(out.problems == 0 || h->checkpoint_lsn);
            *errors += out.commits == IS_ERROR;
            *same += out.commits != IS_ERROR;
            file->data[at] ^= (uint8_t)(1 << bit);
        }
    sim_image_free(&disk);
}

static size_t bytes_of(history *h, const char *path) {
    sim_file *file = sim_image_find(&h->disk, path);
    VT_CHECK(file);
    return file->bytes;
}

VT_TEST(a_flipped_bit_of_a_log_that_a_close_kept_is_an_error_or_harmless) {
    history h = make_history(KEPT);
    int errors = 0, same = 0;
    flip_each(&h, DB "-wal-1", 0, bytes_of(&h, DB "-wal-1"), &errors, &same);
    VT_CHECK(errors > COMMITS * 64 / (int)flip_stride() &&
             same > 0); /* frames are found out, padding is harmless */
    history_free(&h);
}

VT_TEST(a_flipped_bit_of_a_killed_programs_log_is_an_error_or_harmless) {
    history h = make_history(KILLED);
    int errors = 0, same = 0;
    flip_each(&h, DB "-wal-1", 0, bytes_of(&h, DB "-wal-1"), &errors, &same);
    VT_CHECK(errors > COMMITS * 64 / (int)flip_stride() && same > 0);
    history_free(&h);
}

/* The log behind the checkpoint is read, the one before it is there in case of need. */
VT_TEST(a_flipped_bit_of_a_log_beside_checkpoints_is_an_error_or_harmless) {
    history h = make_history(CHECKPOINTED);
    for (int i = 0; i < h.disk.count; i++) {
        const sim_file *file = &h.disk.file[i];
        int errors = 0, same = 0, generation = 0;
        if (sscanf(file->path, DB "-wal-%d", &generation) != 1)
            continue;
        flip_each(&h, file->path, 0, file->bytes, &errors, &same);
        VT_EQ(errors > 64 / (int)flip_stride(),
              generation == (int)look_at(&h, &h.disk).stats.log_generation);
        VT_CHECK(same > 0);
    }
    history_free(&h);
}

VT_TEST(a_flipped_bit_of_either_meta_page_is_harmless) {
    for (int end = KILLED; end <= CLOSED; end++) {
        history h = make_history(end);
        int errors = 0, same = 0;
        flip_each(&h, DB, 0, LF_META_BYTES, &errors, &same);
        flip_each(&h, DB, LF_META_B_OFF, LF_DATA_BYTES, &errors, &same);
        VT_EQ(errors, 0);
        history_free(&h);
    }
}

/* Flips a bit of each 37th byte behind the meta pages: refused, reported, or of no effect. */
static void flip_extents(int end, int *errors, int *reports, int *same) {
    history h = make_history(end);
    sim_image disk = sim_image_copy(&h.disk);
    sim_file *file = sim_image_find(&disk, DB);
    size_t step = getenv("VT_LONG") ? 1 : (getenv("VT_BRIEF") ? 37 * 16 : 37);
    vt_rng rng = {vt_seed()};
    VT_CHECK(file->bytes > 131072);
    for (size_t at = 131072 + vt_below(&rng, step); at < file->bytes; at += step) {
        uint8_t bit = (uint8_t)(1 << vt_below(&rng, 8));
        file->data[at] ^= bit;
        outcome out = look_closely(&h, &disk);
        if (out.commits == IS_ERROR)
            check_is_damage(&out);
        else
            VT_EQ(out.commits, COMMITS);
        *errors += out.commits == IS_ERROR;
        *reports += out.problems > 0;
        *same += out.commits != IS_ERROR && out.problems == 0;
        file->data[at] ^= bit;
    }
    sim_image_free(&disk);
    history_free(&h);
}

VT_TEST(a_flipped_bit_of_a_closed_databases_extents_is_an_error_or_reported_or_harmless) {
    int errors = 0, reports = 0, same = 0;
    flip_extents(CLOSED, &errors, &reports, &same);
    VT_CHECK(errors > 0 && reports > 0); /* the catalog's root, and what lies behind it */
}

/* The checkpoint before and its log stand in for a damaged catalog. */
VT_TEST(a_flipped_bit_of_a_killed_databases_extents_never_keeps_it_from_opening) {
    int errors = 0, reports = 0, same = 0;
    flip_extents(CHECKPOINTED, &errors, &reports, &same);
    VT_EQ(errors, 0);
    VT_CHECK(reports > 0 && same > 0);
}

VT_TEST(two_damaged_meta_pages_are_an_error) {
    history h = make_history(CLOSED);
    sim_file *data = sim_image_find(&h.disk, DB);
    data->data[100] ^= 1;
    data->data[LF_META_B_OFF + 4000] ^= 4;
    outcome out = look_at(&h, &h.disk);
    VT_EQ(out.status, VS_ERR_CORRUPT);
    VT_CONTAINS(out.message, "both meta pages");
    history_free(&h);
}

/* The stated limit: the last batch without its MARK. */
VT_TEST(damage_of_the_last_batch_without_its_mark_is_an_error_or_reported) {
    history h = make_history(KILLED);
    sim_file *log = sim_image_find(&h.disk, DB "-wal-1");
    lf_frame frame, last = {0}, mark = {0};
    for (bool more = lf_next_frame(log->data, log->bytes, NULL, &frame); more;
         more = lf_next_frame(log->data, log->bytes, &frame, &frame)) {
        if (frame.kind == 3)
            mark = frame;
        else
            last = frame;
    }
    VT_CHECK(mark.off > last.off && mark.durable_lsn == last.lsn);
    log->bytes = mark.off; /* the power cut took the MARK */
    outcome whole = look_at(&h, &h.disk);
    VT_EQ(whole.commits, COMMITS);
    for (size_t at = last.off; at < last.off + LF_FRAME_BYTES + last.payload_bytes; at++) {
        log->data[at] ^= 0x10;
        outcome out = look_at(&h, &h.disk);
        if (out.commits != IS_ERROR) {
            VT_EQ(out.commits, COMMITS - 1);
            VT_EQ(out.stats.dropped_lsn, last.lsn);
            VT_CHECK(out.stats.dropped_bytes > 0);
        }
        log->data[at] ^= 0x10;
    }
    history_free(&h);
}

/* Frames that verify one by one, but are not the ones that the others were written with. */
VT_TEST(a_frame_that_does_not_continue_the_chain_is_refused) {
    history h = make_history(KILLED);
    sim_file *log = sim_image_find(&h.disk, DB "-wal-1");
    lf_frame frame;
    VT_CHECK(lf_next_frame(log->data, log->bytes, NULL, &frame));
    while (frame.kind == 3 || frame.lsn != h.lsn[COMMITS / 2])
        VT_CHECK(lf_next_frame(log->data, log->bytes, &frame, &frame));
    uint8_t *p = log->data + frame.off;
    lf_put_u64(p + 32, lf_get_u64(p + 32) + 1); /* another time in the header */
    lf_fix_frame(p, lf_get_u64(log->data + 72));
    outcome out = look_at(&h, &h.disk);
    check_is_damage(&out);
    history_free(&h);
}

/* ---- missing and shortened files ------------------------------------------------------------ */

VT_TEST(a_deleted_log_is_an_error_that_names_it) {
    for (int end = KILLED; end <= CHECKPOINTED; end++) {
        history h = make_history(end);
        char path[32];
        snprintf(path, sizeof path, DB "-wal-%d", (int)look_at(&h, &h.disk).stats.log_generation);
        sim_file *log = sim_image_find(&h.disk, path);
        snprintf(log->path, sizeof log->path, "elsewhere");
        outcome out = look_at(&h, &h.disk);
        VT_EQ(out.status, VS_ERR_LOG_MISSING);
        VT_CONTAINS(out.message, path);
        history_free(&h);
    }
}

VT_TEST(a_shortened_log_that_a_close_kept_is_an_error_or_harmless) {
    history h = make_history(KEPT);
    sim_file *log = sim_image_find(&h.disk, DB "-wal-1");
    int errors = 0;
    for (size_t bytes = log->bytes; bytes >= 64; bytes -= 64) {
        log->bytes = bytes - 64;
        outcome out = look_at(&h, &h.disk);
        if (out.commits == IS_ERROR)
            check_is_damage(&out);
        else
            VT_EQ(out.commits, COMMITS); /* only padding or the last MARK went */
        errors += out.commits == IS_ERROR;
    }
    VT_CHECK(errors > COMMITS);
    history_free(&h);
}

/* Without a clean close a log cut at a frame's end looks like an earlier crash: the state is an earlier
 * one, never another. */
VT_TEST(a_shortened_log_of_a_killed_program_shows_an_earlier_state_or_an_error) {
    history h = make_history(KILLED);
    sim_file *log = sim_image_find(&h.disk, DB "-wal-1");
    int last = COMMITS;
    for (size_t bytes = log->bytes; bytes >= 64; bytes -= 64) {
        log->bytes = bytes - 64;
        outcome out = look_at(&h, &h.disk); /* fails on a state that never was */
        if (out.commits == IS_ERROR)
            check_is_damage(&out);
        else
            VT_CHECK(out.commits <= last);
        last = out.commits == IS_ERROR ? last : out.commits;
    }
    VT_EQ(last, 0);
    history_free(&h);
}

/* What is in a checkpoint does not depend on the log. */
VT_TEST(a_shortened_log_behind_a_checkpoint_shows_the_checkpoint_or_later_or_an_error) {
    history h = make_history(CHECKPOINTED);
    char path[32];
    snprintf(path, sizeof path, DB "-wal-%d", (int)look_at(&h, &h.disk).stats.log_generation);
    sim_file *log = sim_image_find(&h.disk, path);
    int last = COMMITS;
    for (size_t bytes = log->bytes; bytes >= 64; bytes -= 64) {
        log->bytes = bytes - 64;
        outcome out = look_at(&h, &h.disk);
        if (out.commits == IS_ERROR)
            check_is_damage(&out);
        else
            VT_CHECK(out.commits <= last && h.lsn[out.commits] >= h.checkpoint_lsn);
        last = out.commits == IS_ERROR ? last : out.commits;
    }
    VT_EQ(h.lsn[last], h.checkpoint_lsn);
    history_free(&h);
}

VT_TEST(a_shortened_data_file_is_an_error) {
    history h = make_history(KILLED);
    sim_file *data = sim_image_find(&h.disk, DB);
    const size_t sizes[] = {0, 1, 100, 4095, 4096, 4128, 65535, 65536, 65600, 69631};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        data->bytes = sizes[i];
        sim_image copy = sim_image_copy(&h.disk);
        sim *s = sim_new(1, &copy);
        vs_status st = VS_OK;
        vs_db *db = open_on(s, VS_OPEN_CREATE, &st); /* not even creating hides the loss */
        VT_EQ(st, sizes[i] == 1 ? VS_ERR_NOT_DB : VS_ERR_CORRUPT); /* one byte is no magic */
        VT_CHECK(vs_errmsg(db)[0]);
        vs_close(db);
        sim_free(s);
    }
    data->bytes = 69632;
    outcome out = look_at(&h, &h.disk);
    VT_EQ(out.commits, COMMITS);
    history_free(&h);
}

VT_TEST(a_shortened_data_file_of_a_closed_database_is_an_error) {
    history h = make_history(CLOSED);
    sim_file *data = sim_image_find(&h.disk, DB);
    uint64_t end = look_at(&h, &h.disk).stats.file_bytes;
    VT_CHECK(end > 131072 && end <= data->bytes);
    for (size_t bytes = end - 1; bytes >= LF_DATA_BYTES; bytes -= bytes > 131072 ? 509 : 7001) {
        data->bytes = bytes;
        outcome out = look_at(&h, &h.disk);
        VT_EQ(out.status, VS_ERR_CORRUPT);
        VT_CONTAINS(out.message, "truncated");
    }
    data->bytes = end;
    VT_EQ(look_at(&h, &h.disk).commits, COMMITS);
    history_free(&h);
}

VT_TEST(a_log_of_another_database_is_refused) {
    history a = make_history(KILLED), b = make_history(KILLED);
    sim_file *log = sim_image_find(&a.disk, DB "-wal-1");
    sim_file *data = sim_image_find(&b.disk, DB);
    for (int slot = 0; slot < 2; slot++) { /* the same history, but for the UUID */
        uint8_t *page = data->data + (slot ? LF_META_B_OFF : 0);
        page[48] ^= 0xff;
        lf_fix_meta(page);
    }
    memcpy(sim_image_find(&b.disk, DB "-wal-1")->data, log->data, log->bytes);
    outcome out = look_at(&b, &b.disk);
    VT_EQ(out.status, VS_ERR_CORRUPT);
    VT_CONTAINS(out.message, "another database");
    history_free(&a);
    history_free(&b);
}

/* ---- versions ------------------------------------------------------------------------------- */

static outcome with_patched_metas(size_t off, uint8_t value) {
    history h = make_history(CLOSED);
    sim_file *data = sim_image_find(&h.disk, DB);
    for (int slot = 0; slot < 2; slot++) {
        uint8_t *page = data->data + (slot ? LF_META_B_OFF : 0);
        page[off] = value;
        lf_fix_meta(page);
    }
    outcome out = look_at(&h, &h.disk);
    history_free(&h);
    return out;
}

VT_TEST(newer_formats_and_needed_features_are_refused_clearly) {
    outcome major = with_patched_metas(16, 1), minor = with_patched_metas(18, 5);
    outcome older = with_patched_metas(18, 3), needed = with_patched_metas(47, 0x80);
    VT_EQ(major.status, VS_ERR_TOO_NEW);
    VT_CONTAINS(major.message, "format 1.4");
    VT_EQ(minor.status, VS_ERR_TOO_NEW);
    VT_CONTAINS(minor.message, "format 0.5");
    VT_EQ(older.status, VS_ERR_TOO_OLD);
    VT_CONTAINS(older.message, "format 0.3");
    VT_CONTAINS(older.message, "0.4");
    VT_EQ(needed.status, VS_ERR_TOO_NEW);
    VT_CONTAINS(needed.message, "0x8000000000000000");
    outcome readonly = with_patched_metas(32, 1), compatible = with_patched_metas(24, 1);
    VT_EQ(readonly.status, VS_ERR_TOO_NEW); /* look_at opens for writing */
    VT_EQ(compatible.commits, COMMITS);
}

/* ---- failing devices ------------------------------------------------------------------------ */

VT_TEST(a_lost_sync_is_survived_by_writing_to_a_new_log) {
    sim *s = sim_new(3, NULL);
    vs_status st = VS_OK;
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st);
    VT_OK(vs_kv_put(db, NULL, NULL, "a", 1, "1", 1), db);
    sim_set_fault(s, SIM_FAULT_SYNC_LOSES, 1, false);
    VT_OK(vs_kv_put(db, NULL, NULL, "b", 1, "2", 1), db);
    VT_EQ(sim_fault_hits(s), 1);
    vs_stats stats = stats_of(db);
    VT_EQ(stats.log_takeovers, 2);
    VT_EQ(stats.log_generation, 2);
    sim_player *player = sim_player_new(s);
    sim_player_seek(player, sim_op_count(s));
    sim_image disk = sim_player_crash(player, SIM_DROP_ALL, 1);
    sim_player_free(player);
    kill_db(s, db);
    sim_free(s);
    s = sim_new(4, &disk);
    char value[4];
    size_t bytes = 0;
    db = open_on(s, 0, &st);
    VT_EQ(st, VS_OK);
    VT_OK(vs_kv_get(db, NULL, NULL, "b", 1, value, sizeof value, &bytes), db);
    VT_EQ(value[0], '2');
    vs_close(db);
    sim_free(s);
}

VT_TEST(a_device_that_syncs_no_more_leaves_the_commit_in_doubt_and_readers_unharmed) {
    sim *s = sim_new(3, NULL);
    vs_status st = VS_OK;
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st);
    VT_OK(vs_kv_put(db, NULL, NULL, "a", 1, "1", 1), db);
    sim_set_fault(s, SIM_FAULT_SYNC_LOSES, 1, true);
    VT_EQ(vs_kv_put(db, NULL, NULL, "b", 1, "2", 1), VS_ERR_INDOUBT);
    sim_set_fault(s, SIM_FAULT_NONE, 0, false);
    size_t bytes = 0;
    VT_EQ(vs_kv_get(db, NULL, NULL, "b", 1, NULL, 0, &bytes), VS_ERR_NOT_FOUND);
    VT_OK(vs_kv_get(db, NULL, NULL, "a", 1, NULL, 0, &bytes), db);
    VT_EQ(vs_kv_put(db, NULL, NULL, "c", 1, "3", 1), VS_ERR_READONLY);
    VT_CHECK(stats_of(db).readonly_reason[0]);
    VT_EQ(vs_close(db), VS_ERR_INDOUBT);
    db = open_on(s, 0, &st); /* and then it works again */
    VT_EQ(st, VS_OK);
    VT_OK(vs_kv_put(db, NULL, NULL, "c", 1, "3", 1), db);
    VT_EQ(vs_close(db), VS_OK);
    sim_free(s);
}

/* A session's first commit syncs the new log, both meta pages and more; one of these syncs fails, and the
 * log that is left half begun must not serve behind a checkpoint. */
VT_TEST(a_commit_behind_a_checkpoint_behind_a_log_that_could_not_begin_is_not_lost) {
    for (uint64_t at = 1; at <= 8; at++) {
        vs_status st = VS_OK;
        sim *s = sim_new(at, NULL);
        vs_db *db = open_on(s, VS_OPEN_CREATE, &st);
        VT_EQ(st, VS_OK);
        sim_set_fault(s, SIM_FAULT_SYNC_LOSES, at, false);
        st = vs_kv_put(db, NULL, NULL, "first", 5, "1", 1);
        sim_set_fault(s, SIM_FAULT_NONE, 0, false);
        VT_CHECK(st == VS_OK || st == VS_ERR_IO);
        VT_OK(vs_checkpoint(db), db);
        VT_OK(vs_kv_put(db, NULL, NULL, "second", 6, "2", 1), db);
        kill_db(s, db);
        db = open_on(s, 0, &st);
        VT_EQ(st, VS_OK);
        char value[8];
        size_t bytes = 0;
        VT_OK(vs_kv_get(db, NULL, NULL, "second", 6, value, sizeof value, &bytes), db);
        VT_EQ(vs_close(db), VS_OK);
        sim_free(s);
    }
}

VT_TEST(a_full_disk_refuses_the_commit_and_later_ones_work) {
    sim *s = sim_new(3, NULL);
    vs_status st = VS_OK;
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st);
    VT_OK(vs_kv_put(db, NULL, NULL, "a", 1, "1", 1), db);
    sim_set_fault(s, SIM_FAULT_FULL, 1, true);
    VT_EQ(vs_kv_put(db, NULL, NULL, "b", 1, "2", 1), VS_ERR_FULL);
    VT_CONTAINS(vs_errmsg(db), DB "-wal-1");
    sim_set_fault(s, SIM_FAULT_NONE, 0, false);
    VT_OK(vs_kv_put(db, NULL, NULL, "c", 1, "3", 1), db);
    kill_db(s, db);
    db = open_on(s, 0, &st);
    size_t bytes = 0;
    VT_EQ(vs_kv_get(db, NULL, NULL, "b", 1, NULL, 0, &bytes), VS_ERR_NOT_FOUND);
    VT_OK(vs_kv_get(db, NULL, NULL, "c", 1, NULL, 0, &bytes), db);
    VT_EQ(vs_close(db), VS_OK);
    sim_free(s);
}

/* Operations go to the log before the commit when they are many. */
VT_TEST(a_full_disk_refuses_one_call_of_a_large_transaction_and_keeps_the_others) {
    enum { NOTES = 20 };
    static char value[1000];
    sim *s = sim_new(3, NULL);
    vs_status st = VS_OK;
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st);
    vs_txn *txn = NULL;
    int refused = 0;
    VT_OK(vs_kv_put(db, NULL, NULL, "a", 1, "1", 1), db);
    VT_OK(vs_begin(db, VS_TXN_WRITE, &txn), db);
    sim_set_fault(s, SIM_FAULT_FULL, 2, false);
    for (uint8_t i = 0; i < NOTES; i++) {
        vs_status put = vs_kv_put(db, txn, NULL, &i, 1, value, sizeof value);
        if (put != VS_OK) {
            VT_EQ(put, VS_ERR_FULL);
            VT_EQ(vs_kv_get(db, txn, NULL, &i, 1, NULL, 0, &(size_t){0}), VS_ERR_NOT_FOUND);
            refused++;
            i--;
        }
    }
    VT_EQ(refused, 1);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), db);
    kill_db(s, db);
    db = open_on(s, 0, &st);
    VT_EQ(st, VS_OK);
    for (uint8_t i = 0; i < NOTES; i++)
        VT_OK(vs_kv_get(db, NULL, NULL, &i, 1, NULL, 0, &(size_t){0}), db);
    VT_EQ(vs_close(db), VS_OK);
    sim_free(s);
}

/* With writing stopped nothing shows any more that may be lost. */
VT_TEST(a_commit_that_need_not_be_durable_is_in_doubt_when_its_own_sync_stops_writing) {
    sim *s = sim_new(3, NULL);
    vs_status st = VS_OK;
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st);
    VT_OK(vs_kv_put(db, NULL, NULL, "a", 1, "1", 1), db);
    sim_set_fault(s, SIM_FAULT_SYNC_LOSES, 1, true);
    for (int i = 0; i < 2; i++) {
        vs_txn *txn = NULL;
        VT_OK(vs_begin(db, VS_TXN_WRITE, &txn), db);
        VT_OK(vs_kv_put(db, txn, NULL, i ? "later" : "early", 5, "2", 1), txn);
        sim_advance_clocks(s, i * 2000000); /* the last sync is too long ago */
        VT_EQ(vs_commit(txn, VS_SYNC_NORMAL), i ? VS_ERR_INDOUBT : VS_OK);
    }
    size_t bytes = 0;
    VT_CHECK(stats_of(db).readonly_reason[0]);
    VT_OK(vs_kv_get(db, NULL, NULL, "early", 5, NULL, 0, &bytes), db);
    VT_EQ(vs_kv_get(db, NULL, NULL, "later", 5, NULL, 0, &bytes), VS_ERR_NOT_FOUND);
    VT_EQ(vs_close(db), VS_ERR_INDOUBT);
    sim_free(s);
}

VT_TEST(an_empty_commit_at_full_makes_what_it_saw_durable) {
    sim *s = sim_new(3, NULL);
    vs_status st = VS_OK;
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st);
    vs_txn *txn = NULL;
    VT_OK(vs_begin(db, VS_TXN_WRITE, &txn), db);
    VT_OK(vs_kv_put(db, txn, NULL, "a", 1, "1", 1), txn);
    VT_EQ(vs_commit(txn, VS_SYNC_OFF), VS_OK);
    VT_CHECK(stats_of(db).durable_lsn < stats_of(db).lsn);
    VT_OK(vs_begin(db, VS_TXN_WRITE, &txn), db);
    VT_EQ(vs_commit(txn, VS_SYNC_FULL), VS_OK);
    VT_EQ(stats_of(db).durable_lsn, stats_of(db).lsn);
    VT_EQ(vs_close(db), VS_OK);
    sim_free(s);
}

/* ---- killed, then power cut ----------------------------------------------------------------- */

/* Opens, sets note a to value at VS_SYNC_FULL, closes; all calls from number kill_at on fail, as if
 * the process were gone. Returns whether the commit was acknowledged; *out_hit whether any failed. */
static bool session_killed_at(sim *s, const char *value, uint64_t kill_at, bool *out_hit) {
    vs_status st = VS_OK;
    sim_set_fault(s, kill_at ? SIM_FAULT_IO : SIM_FAULT_NONE, kill_at, true);
    vs_db *db = open_on(s, VS_OPEN_CREATE, &st);
    bool is_acked = st == VS_OK && vs_kv_put(db, NULL, NULL, "a", 1, value, 1) == VS_OK;
    vs_status ignored = vs_close(db);
    (void)ignored;
    *out_hit = sim_fault_hits(s) > 0;
    sim_set_fault(s, SIM_FAULT_NONE, 0, false);
    sim_drop_locks(s);
    return is_acked;
}

/* Every disk that a power cut behind operation number at can leave must open, and show of note a
 * at least floor. */
static void check_cut(const sim *s, size_t at, char floor) {
    static const int damages[] = {SIM_DROP_ALL, SIM_SUBSET, SIM_TORN_4096, SIM_GARBAGE_512};
    sim_player *player = sim_player_new(s);
    sim_player_seek(player, at);
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        sim_image disk = sim_player_crash(player, damages[i], at * 4 + i);
        sim *later = sim_new(6, &disk);
        vs_status st = VS_OK;
        vs_db *db = open_on(later, 0, &st);
        char value[2] = "";
        size_t bytes = 0;
        VT_OK(st, db);
        VT_OK(vs_kv_get(db, NULL, NULL, "a", 1, value, 1, &bytes), db);
        VT_CHECK(value[0] >= floor);
        VT_EQ(vs_close(db), VS_OK);
        sim_free(later);
    }
    sim_player_free(player);
}

/* What the killed session wrote may be in the cache only, and its successor sees it there. */
static void kill_and_cut(uint32_t block_bytes) {
    bool is_killed = true;
    for (uint64_t kill_at = 1; is_killed; kill_at++) {
        sim *s = sim_new(kill_at, NULL);
        sim_set_block(s, block_bytes);
        bool is_hit = false;
        VT_CHECK(session_killed_at(s, "1", 0, &is_hit));
        char floor = session_killed_at(s, "2", kill_at, &is_killed) ? '2' : '1';
        size_t begin = sim_op_count(s);
        VT_CHECK(session_killed_at(s, "3", 0, &is_hit) && !is_hit);
        for (size_t at = begin; at < sim_op_count(s); at++)
            check_cut(s, at, floor);
        check_cut(s, sim_op_count(s), '3');
        sim_free(s);
    }
}

VT_TEST(a_power_cut_while_the_successor_of_a_killed_session_begins_loses_nothing_durable) {
    kill_and_cut(4096);
    if (getenv("VT_BRIEF"))
        return;
    kill_and_cut(16384);
    kill_and_cut(32768);
}

/* Creation, the owner note, the first log and the first change of the pages follow each other. */
VT_TEST(a_power_cut_in_the_first_session_leaves_a_database_on_devices_of_any_block) {
    static const uint32_t blocks[] = {4096, 8192, 16384, 32768, 65536};
    for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
        sim *s = sim_new(7, NULL);
        bool is_hit = false;
        sim_set_block(s, blocks[b]);
        VT_CHECK(session_killed_at(s, "1", 0, &is_hit));
        for (size_t at = 0; at <= sim_op_count(s); at++)
            for (uint64_t seed = 0; seed < 12; seed++) {
                sim_player *player = sim_player_new(s);
                sim_player_seek(player, at);
                sim_image disk = sim_player_crash(player, SIM_GARBAGE_4096, seed);
                sim *later = sim_new(6, &disk);
                vs_status st = VS_OK;
                vs_db *db = open_on(later, VS_OPEN_CREATE, &st);
                VT_OK(st, db);
                VT_EQ(vs_close(db), VS_OK);
                sim_free(later);
                sim_player_free(player);
            }
        sim_free(s);
    }
}
