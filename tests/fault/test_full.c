/* test_full.c - a disk that is full: what was acknowledged can be checkpointed, reading goes on, deleting
 * makes room, and writing returns by itself. The simulated disk has room for some MiB, and nobody else
 * takes any of it. */
#include "workload.h"

#define DB "t.vs"

enum { DIM = 64, KEYS = 4000, TEXT_MAX = 3000, ROOM = 2 << 20 };

typedef struct fixture {
    sim *s;
    vs_open_options options;
    vs_db *db;
    vs_collection *coll;
    vt_rng rng;
    uint32_t seed[KEYS]; /* of what is stored; 0: nothing */
    uint32_t next_seed;
} fixture;

static void open_db(fixture *f) {
    VT_OK(vs_open(DB, &f->options, &f->db), f->db);
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = DIM;
    vs_status st = vs_collection_open(f->db, NULL, "c", &f->coll);
    if (st == VS_ERR_NOT_FOUND)
        st = vs_collection_create(f->db, NULL, "c", &options, &f->coll);
    VT_OK(st, f->db);
}

static void begin(fixture *f, uint64_t room, uint64_t memory) {
    memset(f, 0, sizeof *f);
    f->s = sim_new(vt_seed(), NULL);
    f->rng.state = vt_seed() + room + memory;
    f->options = (vs_open_options)VS_OPEN_OPTIONS_INIT;
    f->options.flags = VS_OPEN_CREATE;
    f->options.vfs = sim_vfs(f->s);
    f->options.memory_limit = memory;
    f->next_seed = 1;
    sim_set_room(f->s, room);
    open_db(f);
}

static void close_db(fixture *f) {
    vs_collection_close(f->coll);
    VT_EQ(vs_close(f->db), VS_OK);
}

static void kill_db(fixture *f) {
    vs_collection_close(f->coll);
    sim_set_process(f->s, 77);
    VT_EQ(vs_close(f->db), VS_OK);
    sim_set_process(f->s, 1000);
    sim_drop_locks(f->s);
}

static void end(fixture *f) {
    close_db(f);
    sim_free(f->s);
}

static void make_vector(uint32_t seed, float *out) {
    vt_rng rng = {seed};
    for (int i = 0; i < DIM; i++)
        out[i] = (float)(vt_random(&rng) % 1000);
}

/* A third of the records have text, of all sizes; a letter repeated would be too easy to store. */
static size_t make_text(uint32_t seed, char *out) {
    vt_rng rng = {seed};
    size_t n = 0, letters = seed % 3 ? 0 : vt_random(&rng) % (TEXT_MAX - 10);
    if (!letters)
        return 0;
    n += (size_t)sprintf(out, "{\"t\":\"");
    for (size_t i = 0; i < letters; i++)
        out[n++] = (char)('0' + vt_random(&rng) % 64 % 43);
    for (size_t i = 6; i < n; i++)
        if (out[i] == '\\')
            out[i] = '_';
    return n + (size_t)sprintf(out + n, "\"}");
}

static vs_status try_put(fixture *f, vs_txn *txn, uint64_t key, uint32_t seed) {
    float vector[DIM];
    char text[TEXT_MAX];
    vs_record record = VS_RECORD_INIT;
    make_vector(seed, vector);
    record.key.number = key;
    record.vector = vector;
    record.metadata_bytes = make_text(seed, text);
    record.metadata = record.metadata_bytes ? text : NULL;
    return vs_put(f->coll, txn, &record, VS_UPSERT);
}

static bool put(fixture *f, uint64_t key) {
    uint32_t seed = f->next_seed++;
    vs_status st = try_put(f, NULL, key, seed);
    if (st != VS_OK)
        VT_EQ(st, VS_ERR_FULL);
    if (st == VS_OK)
        f->seed[key] = seed;
    return st == VS_OK;
}

static void check_all(fixture *f) {
    float vector[DIM];
    char text[TEXT_MAX];
    uint64_t problems = 0, count = 0, found = 0;
    for (uint64_t key = 0; key < KEYS; key++) {
        vs_record record = VS_RECORD_INIT;
        vs_status st = vs_get(f->coll, NULL, vs_key_u64(key), &record);
        VT_EQ(st, f->seed[key] ? VS_OK : VS_ERR_NOT_FOUND);
        if (st != VS_OK)
            continue;
        make_vector(f->seed[key], vector);
        size_t bytes = make_text(f->seed[key], text);
        VT_CHECK(!memcmp(record.vector, vector, sizeof vector));
        VT_EQ(record.metadata_bytes, bytes);
        VT_CHECK(!bytes || !memcmp(record.metadata, text, bytes));
        count++;
    }
    VT_OK(vs_count(f->coll, NULL, &found), f->coll);
    VT_EQ(found, count);
    VT_OK(vs_check(f->db, 3, NULL, NULL, &problems), f->db);
    VT_EQ(problems, 0);
    VT_CHECK(sim_used_bytes(f->s) <= ROOM);
}

/* Puts until the disk has been full for some time; returns how many records there are. */
static int fill(fixture *f) {
    int count = 0;
    for (int refused = 0, key = 0; key < KEYS && refused < 20; key++)
        if (!f->seed[key])
            refused += !put(f, (uint64_t)key);
    for (int key = 0; key < KEYS; key++)
        count += f->seed[key] != 0;
    VT_CHECK(count > 100 && count < KEYS);
    return count;
}

VT_TEST(deletes_work_on_a_full_disk_and_make_room) {
    enum { CYCLES = 6 };
    static fixture f;
    for (int memory = 0; memory < 2; memory++) {
        begin(&f, ROOM, (uint64_t)memory);
        int first = fill(&f);
        VT_CONTAINS(vs_errmsg(f.coll), "full");
        check_all(&f);
        int well_filled = 0;
        for (int cycle = 0; cycle < CYCLES; cycle++) {
            for (uint64_t key = 0; key < KEYS; key++)
                if (f.seed[key] && (cycle % 3 == 0 || vt_mix(key + (uint64_t)cycle) % 3)) {
                    VT_OK(vs_delete(f.coll, NULL, vs_key_u64(key)), f.coll);
                    f.seed[key] = 0;
                }
            check_all(&f);
            int now = fill(&f);
            VT_CHECK(now > first / 4); /* the room came back, if not in pieces that are too small */
            well_filled += now > first * 3 / 4;
            check_all(&f);
        }
        VT_CHECK(well_filled > CYCLES / 2);
        end(&f);
    }
}

VT_TEST(what_a_full_disk_acknowledged_can_be_checkpointed_at_any_time) {
    static fixture f;
    for (int round = 0; round < 6; round++) {
        begin(&f, ROOM, (uint64_t)(round % 2));
        vs_txn *held = NULL;
        int commits = 0, refused = 0;
        for (int step = 0; step < 4000; step++) {
            uint64_t key = vt_random(&f.rng) % KEYS, dice = vt_random(&f.rng) % 100;
            if (dice < 80) {
                bool ok = put(&f, key);
                commits += ok;
                refused += !ok;
            } else if (dice < 90 && f.seed[key]) {
                vs_status st = vs_delete(f.coll, NULL, vs_key_u64(key));
                VT_CHECK(st == VS_OK ||
                         (st == VS_ERR_FULL && held)); /* the reserve is not endless */
                f.seed[key] = st == VS_OK ? 0 : f.seed[key];
            } else if (dice < 92 && round >= 4) {
                vs_rollback(held);
                held = NULL;
                if (dice == 90)
                    VT_OK(vs_begin(f.db, VS_TXN_READ, &held), f.db);
            } else if (dice == 99) {
                VT_OK(vs_checkpoint(f.db), f.db);
            }
        }
        vs_rollback(held);
        VT_CHECK(commits > 100 && refused > 20);
        VT_OK(vs_checkpoint(f.db), f.db);
        check_all(&f);
        end(&f);
    }
}

VT_TEST(a_transaction_too_large_for_the_disk_leaves_nothing_behind) {
    static fixture f;
    for (int round = 0; round < 6; round++) {
        begin(&f, ROOM, round < 3 ? 0 : 1);
        for (uint64_t key = 0; key < 200; key++)
            VT_CHECK(put(&f, key));
        for (int again = 0; again < 4; again++) {
            vs_txn *txn = NULL;
            VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
            vs_status st = VS_OK;
            for (uint64_t key = 0; st == VS_OK && key < KEYS; key++)
                st = try_put(&f, txn, key, 7 + (uint32_t)key);
            if (st == VS_OK) {
                st = vs_commit(txn, VS_SYNC_DEFAULT);
            } else if (round % 3 == 0) {
                vs_rollback(txn);
            } else {
                /* what there was before the refused call is still there; it need not fit */
                VT_CHECK(vs_commit(txn, VS_SYNC_DEFAULT) == VS_ERR_FULL);
            }
            VT_EQ(st, VS_ERR_FULL);
            VT_OK(vs_checkpoint(f.db), f.db);
            check_all(&f);
            for (uint64_t key = 0; key < 5; key++)
                VT_CHECK(put(&f, key));
        }
        end(&f);
    }
}

VT_TEST(a_full_disk_survives_a_close_and_a_kill) {
    static fixture f;
    begin(&f, ROOM, 0);
    fill(&f);
    for (int round = 0; round < 8; round++) {
        if (round % 2)
            close_db(&f);
        else
            kill_db(&f);
        open_db(&f);
        check_all(&f);
        int deleted = 0;
        for (uint64_t key = 0; key < KEYS; key++)
            if (f.seed[key] && key % 7 == (uint64_t)round % 7) {
                vs_status st = vs_delete(f.coll, NULL, vs_key_u64(key));
                if (st == VS_ERR_FULL) /* the new log file had no room beside the old ones */
                    st = vs_delete(f.coll, NULL, vs_key_u64(key));
                VT_OK(st, f.coll);
                f.seed[key] = 0;
                deleted++;
            }
        VT_CHECK(deleted > 10);
        check_all(&f);
        fill(&f);
    }
    end(&f);
}

VT_TEST(closing_on_a_full_disk_leaves_one_file) {
    static fixture f;
    begin(&f, ROOM, 0);
    fill(&f);
    close_db(&f);
    sim_image image = sim_image_now(f.s);
    VT_EQ(image.count, 1);
    sim_image_free(&image);
    open_db(&f);
    check_all(&f);
    end(&f);
}

/* A file system that cannot reserve: what does not fit is met later, but nothing is lost. */
static vs_status refuse_to_allocate(void *ctx, void *file, uint64_t bytes, char *why) {
    (void)ctx;
    (void)file;
    (void)bytes;
    (void)why;
    return VS_ERR_UNSUPPORTED;
}

VT_TEST(without_reservations_a_full_disk_loses_nothing) {
    static fixture f;
    begin(&f, ROOM, 0);
    close_db(&f);
    vs_vfs vfs = *sim_vfs(f.s);
    vfs.allocate = refuse_to_allocate;
    f.options.vfs = &vfs;
    open_db(&f);
    fill(&f);
    check_all(&f);
    kill_db(&f);
    sim_set_room(f.s, 0);
    open_db(&f);
    check_all(&f);
    VT_OK(vs_checkpoint(f.db), f.db);
    end(&f);
}

/* What deletes free lies at the end of the file, the checkpoints that are kept name that end: when the reserve
 * is given back for a new log the file must not be cut below it, or a killed program leaves none. */
VT_TEST(room_given_back_for_a_log_leaves_what_the_meta_pages_name) {
    static fixture f;
    begin(&f, 0, 0);
    vs_txn *txn = NULL;
    enum { MANY = 20000, FEW = 100 };
    VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
    for (uint64_t key = 0; key < MANY; key++)
        VT_OK(try_put(&f, txn, key, 1 + 3 * (uint32_t)key), f.coll);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), f.db);
    VT_OK(vs_checkpoint(f.db), f.db);
    VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
    for (uint64_t key = FEW; key < MANY; key++)
        VT_OK(vs_delete(f.coll, txn, vs_key_u64(key)), f.coll);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), f.db);
    for (int i = 0; i < 4; i++) {
        if (i == 3)
            VT_OK(try_put(&f, NULL, 3, 1), f.coll);
        VT_OK(vs_checkpoint(f.db), f.db);
        for (uint64_t key = 0; i < 2 && key < FEW; key++)
            VT_OK(try_put(&f, NULL, key, 1), f.coll);
    }
    sim_set_room(f.s, sim_used_bytes(f.s));
    size_t from = sim_op_count(f.s);
    VT_OK(vs_delete(f.coll, NULL, vs_key_u64(7)), f.coll);
    for (size_t at = from; at <= sim_op_count(f.s); at++)
        for (int damage = SIM_DROP_ALL; damage <= SIM_KEEP_ALL; damage++) {
            sim_player *player = sim_player_new(f.s);
            sim_player_seek(player, at);
            sim_image disk = sim_player_crash(player, damage, 1);
            sim *later = sim_new(2, &disk);
            vs_open_options options = VS_OPEN_OPTIONS_INIT;
            vs_db *db = NULL;
            options.vfs = sim_vfs(later);
            VT_OK(vs_open(DB, &options, &db), db);
            VT_EQ(vs_close(db), VS_OK);
            sim_free(later);
            sim_player_free(player);
        }
    end(&f);
}

/* Slabs of which no row is needed any more go with a checkpoint, which takes pages that no commit has asked for. */
VT_TEST(slabs_that_are_not_needed_wait_when_dropping_them_takes_room) {
    enum { RECORDS = 3000, LONG_DIM = 4096 };
    static float vector[LONG_DIM];
    static vs_txn *held[RECORDS];
    static fixture f;
    begin(&f, 0, 0);
    vs_collection *c = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_record record = VS_RECORD_INIT;
    vs_txn *txn = NULL;
    int count = 0, deleted = 0;
    uint64_t key = 0;
    options.dim = LONG_DIM; /* a slab each */
    VT_OK(vs_collection_create(f.db, NULL, "long", &options, &c), f.db);
    record.vector = vector;
    VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
    for (; record.key.number < RECORDS; record.key.number++)
        VT_OK(vs_put(c, txn, &record, VS_UPSERT), c);
    VT_OK(vs_commit(txn, VS_SYNC_FULL), f.db);
    record.key.number = 1;
    for (int i = 0; i < 3; i++) {
        VT_OK(vs_checkpoint(f.db), f.db);
        VT_OK(vs_put(c, NULL, &record, VS_UPSERT), c);
    }
    VT_OK(vs_checkpoint(f.db), f.db);
    sim_set_room(f.s, sim_used_bytes(f.s));
    for (int refused = 0; refused < 5; key = (key + 37) % RECORDS + (key + 37 >= RECORDS)) {
        VT_CHECK(count < RECORDS);
        VT_OK(vs_begin(f.db, VS_TXN_READ, &held[count++]), f.db);
        while (refused < 5 && vs_delete(c, NULL, vs_key_u64(key)) == VS_ERR_FULL)
            refused++;
        refused = refused < 5 ? 0 : refused;
        deleted += refused == 0;
    }
    VT_CHECK(deleted > 50);
    while (count)
        vs_rollback(held[--count]);
    vs_status st = VS_ERR_FULL; /* one that is refused makes room for the next */
    for (int i = 0; i < 3 && st == VS_ERR_FULL; i++)
        st = vs_delete(c, NULL, vs_key_u64(RECORDS - 1));
    VT_OK(st, c);
    VT_OK(vs_checkpoint(f.db), f.db);
    vs_collection_close(c);
    end(&f);
}

VT_TEST(a_put_that_was_taken_back_leaves_a_transaction_that_only_deletes) {
    static fixture f;
    begin(&f, ROOM, 0);
    fill(&f);
    for (uint64_t key = 0; key < 10; key++) {
        vs_txn *txn = NULL;
        uint32_t savepoint = 0;
        VT_OK(vs_begin(f.db, VS_TXN_WRITE, &txn), f.db);
        VT_OK(vs_savepoint(txn, &savepoint), txn);
        VT_OK(try_put(&f, txn, KEYS + 1, 1), f.coll);
        VT_OK(vs_rollback_to(txn, savepoint), txn);
        VT_OK(vs_delete(f.coll, txn, vs_key_u64(key)), f.coll);
        VT_OK(vs_commit(txn, VS_SYNC_DEFAULT), f.db);
        f.seed[key] = 0;
    }
    check_all(&f);
    end(&f);
}

enum { PAYLOADS = 30, PAYLOAD_MAX = 150000 };

static uint32_t payload_bytes[PAYLOADS];

static const uint8_t *payload_of(uint64_t key) {
    static uint8_t data[PAYLOAD_MAX];
    vt_rng rng = {key};
    for (size_t i = 0; i < PAYLOAD_MAX; i++)
        data[i] = (uint8_t)vt_random(&rng);
    return data;
}

static void check_payloads(fixture *f) {
    static uint8_t found[PAYLOAD_MAX + 1];
    for (uint64_t key = 0; key < PAYLOADS; key++) {
        size_t n = 0;
        if (!f->seed[key])
            continue;
        VT_OK(vs_payload_read(f->coll, NULL, vs_key_u64(key), 0, found, sizeof found, &n), f->coll);
        VT_EQ(n, payload_bytes[key]);
        VT_CHECK(!memcmp(found, payload_of(key), n));
    }
    check_all(f);
}

/* Runs at the ends of payloads until the disk has been full for some time; returns their bytes. */
static uint64_t fill_payloads(fixture *f) {
    uint64_t sum = 0;
    for (int refused = 0, step = 0; refused < 20 && step < 2000; step++) {
        uint64_t key = vt_below(&f->rng, PAYLOADS);
        uint32_t at = payload_bytes[key], n = 1 + (uint32_t)vt_below(&f->rng, 70000);
        if (!f->seed[key] || n > PAYLOAD_MAX - at)
            continue;
        vs_status st =
            vs_payload_write(f->coll, NULL, vs_key_u64(key), at, payload_of(key) + at, n);
        VT_CHECK(st == VS_OK || st == VS_ERR_FULL);
        payload_bytes[key] += st == VS_OK ? n : 0;
        refused += st != VS_OK;
    }
    for (int key = 0; key < PAYLOADS; key++)
        sum += payload_bytes[key];
    return sum;
}

/* Cut to whole pieces, to none, or with their records; what is cut inside a piece needs room for the rest of
 * that. */
VT_TEST(payloads_go_from_a_full_disk_and_make_room) {
    enum { CYCLES = 5, PIECE = 65536 };
    static fixture f;
    for (int memory = 0; memory < 2; memory++) {
        uint64_t first = 0;
        begin(&f, ROOM, (uint64_t)memory);
        memset(payload_bytes, 0, sizeof payload_bytes);
        for (int cycle = 0; cycle < CYCLES; cycle++) {
            for (uint64_t key = 0; key < PAYLOADS; key++)
                VT_CHECK(f.seed[key] || put(&f, key));
            uint64_t bytes = fill_payloads(&f);
            first = first ? first : bytes;
            VT_CHECK(bytes > 300000 && bytes >= first / 2);
            check_payloads(&f);
            for (uint64_t key = 0; key < PAYLOADS; key++) {
                const vs_key name = vs_key_u64(key);
                uint32_t left = vt_below(&f.rng, 2) ? 0 : payload_bytes[key] / PIECE * PIECE;
                vs_status st = vs_payload_truncate(f.coll, NULL, name, payload_bytes[key] / 3);
                VT_CHECK(st == VS_OK || st == VS_ERR_FULL);
                payload_bytes[key] = st == VS_OK ? payload_bytes[key] / 3 : payload_bytes[key];
                left = left < payload_bytes[key] ? left : 0;
                if (key % 3 == 0) {
                    VT_OK(vs_delete(f.coll, NULL, name), f.coll);
                    f.seed[key] = payload_bytes[key] = 0;
                } else {
                    VT_OK(vs_payload_truncate(f.coll, NULL, name, left), f.coll);
                    payload_bytes[key] = left;
                }
            }
            check_payloads(&f);
        }
        end(&f);
    }
}

static void count_message(void *ctx, int level, const char *text) {
    (void)level;
    *(int *)ctx += strstr(text, "making it anew") != NULL;
}

/* The list of free pages and a node are damaged: commits go on by the log, and do not walk the trees each time. */
VT_TEST(a_list_that_cannot_be_made_anew_is_looked_at_once) {
    static fixture f;
    begin(&f, 0, 0);
    for (uint64_t key = 0; key < 1000; key++)
        VT_CHECK(put(&f, key));
    close_db(&f);
    sim_image disk = sim_image_now(f.s);
    sim_free(f.s);
    sim_file *file = sim_image_find(&disk, DB);
    int messages = 0, tries = 0;
    for (size_t page = 40; messages == 0 && page < 60; page++) {
        sim_image copy = sim_image_copy(&disk);
        sim_file *damaged = sim_image_find(&copy, DB);
        damaged->data[file->bytes - 4096 + 8] ^= 1; /* the list is written last */
        damaged->data[page * 4096 + 2000] ^= 1;
        f.s = sim_new(2, &copy);
        f.options.vfs = sim_vfs(f.s);
        f.options.log = count_message;
        f.options.log_ctx = &messages;
        if (vs_open(DB, &f.options, &f.db) == VS_OK &&
            vs_collection_open(f.db, NULL, "c", &f.coll) == VS_OK) {
            messages = 0;
            for (uint64_t key = 1000; key < 1050; key++)
                tries += try_put(&f, NULL, key, (uint32_t)key) == VS_OK;
            vs_collection_close(f.coll);
        }
        VT_CHECK(messages <= 1);
        (void)vs_close(f.db);
        sim_free(f.s);
    }
    VT_CHECK(messages == 1 && tries >= 50);
    sim_image_free(&disk);
}

/* Otherwise the campaigns with them would show nothing. */
VT_TEST(the_workloads_without_room_meet_a_full_disk_and_go_on) {
    static const char *const names[] = {"no-room", "no-room-kills", "no-room-tight"};
    for (int n = 0; n < 6; n++) {
        uint64_t refused = 0, commits = 0;
        for (uint64_t seed = 1; seed <= 20; seed++) {
            sim *s = sim_new(seed, NULL);
            static wl_run run;
            wl_init(&run, wl_find(names[n % 3]), s, seed, NULL);
            if (n >= 3) {
                run.options.trailer_bytes = 40;
                sim_set_room(s, 1000000);
            }
            VT_CHECK(wl_open(&run) && wl_steps(&run, 0) && wl_close(&run));
            VT_STR(run.problem, "");
            refused += run.failures;
            commits += run.commits;
            wl_free(&run);
            sim_free(s);
        }
        VT_CHECK(refused > 50 && commits > 150);
    }
}
