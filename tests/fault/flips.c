/* flips.c - every single-bit flip, every cut and any extension of a database's files: the right answers or
 * an explicit error, never wrong data.
 *
 * Two databases are made, one closed and one killed with two checkpoints and their logs. Their files stay
 * as they are in memory; a file system that only reads shows them with one damage. With each damage the
 * database is opened, everything is read and compared with the model that wrote it, and vs_check looks at
 * level 3. A map made from docs/FORMAT.md alone says what every byte is for, and thereby which outcomes
 * are allowed: damage of what is used never passes unnoticed, damage of what is not is harmless.
 *
 * VT_LONG=1 flips every bit, otherwise each 1499th, the first one chosen by VT_SEED. VT_PART=2/8 takes the
 * second of eight equal parts of each file. */
#include "known.h"
#include "logfile.h"
#include "vt.h"

enum { FLIP_STEP = 1499, CUT_STEP = 64 };

/* ---- a file system that shows one damage ---------------------------------------------------- */

/* What follows a file's end when it is longer; the last: a piece of its middle. */
enum { FILL_ZERO, FILL_GARBAGE, FILL_AGAIN };

typedef struct damage {
    int file_at;     /* of the image */
    bool is_missing; /* the file is */
    size_t bytes;    /* that it seems to have */
    int fill;        /* FILL_..., from the real end on */
    size_t from;     /* bytes [from, from + span) are changed: */
    size_t span;
    uint8_t mask;           /* these bits are flipped */
    const uint8_t *instead; /* or, unless NULL, this stands in their place */
} damage;

/* What the library sees; one database at a time is open. */
static struct {
    const known_image *image;
    damage damage;
    bool went_back;  /* the library said so */
    bool is_looking; /* a check that fails now ends the test */
    int maps;        /* there are now */
} view;

/* A check that failed says where in this program; this says with which damage. */
static void view_say_unfinished(void) {
    const damage *d = &view.damage;
    if (view.is_looking)
        fprintf(stderr, "file %d of %zu bytes, %zu bytes from %zu changed by %#x\n", d->file_at,
                d->bytes, d->span, d->from, d->mask);
    view.is_looking = false;
}

static void view_show(const known_image *m, const damage *d) {
    static bool is_known;
    if (!is_known)
        atexit(view_say_unfinished);
    is_known = true;
    view_say_unfinished();
    view.image = m;
    view.damage = *d;
    view.went_back = false;
    view.is_looking = true;
}

static const known_file *view_find(const char *path) {
    for (int i = 0; i < view.image->count; i++)
        if (!strcmp(view.image->file[i].path, path))
            return &view.image->file[i];
    return NULL;
}

static bool view_is_damaged(const known_file *f) {
    return f - view.image->file == view.damage.file_at;
}

static size_t view_bytes(const known_file *f) {
    return view_is_damaged(f) ? view.damage.bytes : f->bytes;
}

static vs_status view_full_path(void *ctx, const char *path, char *out, size_t out_bytes,
                                char *why) {
    (void)ctx;
    (void)why;
    snprintf(out, out_bytes, "%s", path);
    return VS_OK;
}

static vs_status view_open(void *ctx, const char *path, uint32_t mode, void **out_file, char *why) {
    const known_file *f = view_find(path);
    (void)ctx;
    (void)why;
    if (!f || (view_is_damaged(f) && view.damage.is_missing))
        return VS_ERR_NOT_FOUND;
    if (mode != VS_VFS_READ)
        return VS_ERR_READONLY;
    *out_file = (void *)(uintptr_t)f;
    return VS_OK;
}

static void view_close(void *ctx, void *handle) {
    (void)ctx;
    (void)handle;
}

static uint8_t view_fill(const known_file *f, size_t at) {
    if (view.damage.fill == FILL_AGAIN)
        return f->data[f->bytes / 2 / LF_FRAME_BYTES * LF_FRAME_BYTES + (at - f->bytes) % 4096];
    return view.damage.fill == FILL_ZERO ? 0 : (uint8_t)vt_mix(at);
}

/* What file f shows at off. */
static void view_copy(const known_file *f, uint8_t *out, size_t bytes, size_t off) {
    const damage *d = &view.damage;
    size_t real = off >= f->bytes ? 0 : f->bytes - off < bytes ? f->bytes - off : bytes;
    memcpy(out, f->data + (real ? off : 0), real);
    for (size_t i = real; i < bytes; i++)
        out[i] = view_fill(f, off + i);
    if (!view_is_damaged(f))
        return;
    for (size_t i = 0; i < d->span; i++)
        if (d->from + i >= off && d->from + i - off < bytes) {
            uint8_t *byte = &out[d->from + i - off];
            *byte = d->instead ? d->instead[i] : *byte ^ d->mask;
        }
}

static vs_status view_read(void *ctx, void *handle, void *buf, size_t bytes, uint64_t offset,
                           size_t *out_bytes, char *why) {
    const known_file *f = handle;
    size_t size = view_bytes(f), n = offset >= size ? 0 : size - (size_t)offset;
    (void)ctx;
    (void)why;
    n = n < bytes ? n : bytes;
    view_copy(f, buf, n, (size_t)offset);
    *out_bytes = n;
    return VS_OK;
}

static vs_status view_file_size(void *ctx, void *handle, uint64_t *out_bytes, char *why) {
    (void)ctx;
    (void)why;
    *out_bytes = view_bytes(handle);
    return VS_OK;
}

static vs_status view_lock(void *ctx, void *handle, int kind, char *why) {
    (void)ctx;
    (void)handle;
    (void)kind;
    (void)why;
    return VS_OK;
}

static int64_t view_clock(void *ctx) {
    (void)ctx;
    return 1;
}

static uint64_t view_process(void *ctx) {
    (void)ctx;
    return 1;
}

static vs_status view_write(void *ctx, void *handle, const void *buf, size_t bytes, uint64_t offset,
                            size_t *out_bytes, char *why) {
    (void)ctx;
    (void)handle;
    (void)buf;
    (void)bytes;
    (void)offset;
    (void)out_bytes;
    (void)why;
    return VS_ERR_READONLY;
}

static vs_status view_map(void *ctx, void *handle, uint64_t offset, size_t bytes, const void **out,
                          char *why) {
    const known_file *f = handle;
    (void)ctx;
    (void)why;
    VT_CHECK(bytes > 0 && offset + bytes <= view_bytes(f));
    uint8_t *copy = malloc(bytes);
    VT_CHECK(copy != NULL);
    view_copy(f, copy, bytes, (size_t)offset);
    *out = copy;
    view.maps++;
    return VS_OK;
}

static void view_unmap(void *ctx, void *handle, const void *address, size_t bytes) {
    (void)ctx;
    (void)handle;
    (void)bytes;
    free((void *)(uintptr_t)address);
    view.maps--;
}

/* What is not set here comes from the real one and is not called by who only reads. */
static vs_vfs view_vfs(void) {
    vs_vfs vfs = *vs_vfs_posix();
    vfs.full_path = view_full_path;
    vfs.open = view_open;
    vfs.close = view_close;
    vfs.read = view_read;
    vfs.write = view_write;
    vfs.file_size = view_file_size;
    vfs.map = view_map;
    vfs.unmap = view_unmap;
    vfs.lock = view_lock;
    vfs.device_info = known_device;
    vfs.wall_us = vfs.ticks_us = view_clock;
    vfs.process_id = view_process;
    return vfs;
}

static void view_message(void *ctx, int level, const char *message) {
    (void)ctx;
    (void)level;
    if (strstr(message, "going back to checkpoint"))
        view.went_back = true;
}

/* ---- reading everything --------------------------------------------------------------------- */

/* A reader of one database that should show one state. */
typedef struct reader {
    vs_db *db;
    const known_state *expected;
    int refusals;
} reader;

static bool is_damage(vs_status st) {
    return st == VS_ERR_CORRUPT || st == VS_ERR_LOG_MISSING || st == VS_ERR_NOT_DB ||
           st == VS_ERR_TOO_NEW || st == VS_ERR_TOO_OLD;
}

/* True: there is an answer to be compared. */
static bool is_answer(reader *r, vs_status st, const void *handle) {
    if (st == VS_OK || st == VS_ERR_NOT_FOUND || st == VS_ROW || st == VS_DONE)
        return true;
    VT_EQ(st, VS_ERR_CORRUPT);
    VT_CHECK(vs_errmsg(handle)[0]);
    r->refusals++;
    return false;
}

static void check_record(int coll, const vs_record *record, const reader *r) {
    uint32_t at = 0;
    while (at < known_shapes[coll].keys && vs_key_compare(record->key, known_key(at)))
        at++;
    VT_CHECK(at < known_shapes[coll].keys);
    uint64_t hash =
        known_hash_record(coll, record->vector, record->metadata, record->metadata_bytes);
    VT_CHECK(hash == r->expected->record[coll][at]);
}

static void read_one(reader *r, vs_collection *c, int coll, uint32_t at) {
    vs_record record = VS_RECORD_INIT;
    vs_status st = vs_get(c, NULL, known_key(at), &record);
    if (!is_answer(r, st, c))
        return;
    VT_EQ(st == VS_OK, r->expected->record[coll][at] != 0);
    if (st == VS_OK)
        check_record(coll, &record, r);
}

/* A key that outlives the step of the cursor that showed it. */
typedef struct kept_key {
    vs_key key;
    uint8_t data[16];
} kept_key;

static void keep_key(kept_key *out, vs_key key) {
    VT_CHECK(key.bytes <= sizeof out->data);
    if (key.data)
        key.data = memcpy(out->data, key.data, key.bytes);
    out->key = key;
}

static void read_all(reader *r, vs_collection *c, int coll) {
    vs_cursor *cursor = NULL;
    uint64_t count = 0;
    kept_key before;
    bool has_before = false;
    vs_status st = vs_scan(c, NULL, NULL, &cursor);
    if (!is_answer(r, st, c))
        return;
    for (st = vs_step(cursor); st == VS_ROW; st = vs_step(cursor), count++) {
        vs_record record = VS_RECORD_INIT;
        st = vs_cursor_record(cursor, &record);
        if (!is_answer(r, st, cursor))
            continue;
        VT_EQ(st, VS_OK);
        VT_CHECK(!has_before || vs_key_compare(record.key, before.key) > 0);
        keep_key(&before, record.key);
        has_before = true;
        check_record(coll, &record, r);
    }
    if (is_answer(r, st, cursor)) {
        VT_EQ(st, VS_DONE);
        VT_EQ(count, r->expected->count[coll]);
    }
    vs_cursor_close(cursor);
}

static void read_search(reader *r, vs_collection *c, int coll) {
    vs_hit hits[KNOWN_HITS];
    size_t n = 0;
    vs_status st = vs_search(c, NULL, known_query(coll), 0, KNOWN_HITS, NULL, hits, &n);
    if (!is_answer(r, st, c))
        return;
    VT_EQ(st, VS_OK);
    VT_EQ(n, r->expected->hit_count[coll]);
    for (size_t i = 0; i < n; i++) {
        VT_EQ(vs_key_compare(hits[i].key, r->expected->hits[coll][i].key), 0);
        VT_CHECK(!(hits[i].distance < r->expected->hits[coll][i].distance) &&
                 !(hits[i].distance > r->expected->hits[coll][i].distance));
    }
}

static void read_notes(reader *r, vs_collection *c, int coll) {
    static uint8_t value[8192];
    for (uint8_t at = 0; at < KNOWN_NOTES; at++) {
        size_t bytes = 0;
        vs_status st = vs_kv_get(r->db, NULL, c, &at, 1, value, sizeof value, &bytes);
        if (!is_answer(r, st, r->db))
            continue;
        uint64_t expected = r->expected->note[coll][at];
        VT_EQ(st == VS_OK, expected != 0);
        VT_CHECK(st != VS_OK || known_hash_note(value, bytes) == expected);
    }
}

static void read_collection(reader *r, int coll) {
    vs_collection *c = NULL;
    uint64_t count = 0;
    vs_status st = vs_collection_open(r->db, NULL, known_shapes[coll].name, &c);
    if (!is_answer(r, st, r->db))
        return;
    VT_EQ(st, VS_OK);
    st = vs_count(c, NULL, &count);
    VT_CHECK(!is_answer(r, st, c) || (st == VS_OK && count == r->expected->count[coll]));
    for (uint32_t at = 0; at < known_shapes[coll].keys; at += 5)
        read_one(r, c, coll, at);
    read_all(r, c, coll);
    read_search(r, c, coll);
    read_notes(r, c, coll);
    vs_collection_close(c);
}

/* Each answer is the right one, or the refusal to give one. Returns how many were refused. */
static int read_database(vs_db *db, const known_state *expected) {
    reader r = {.db = db, .expected = expected};
    for (int coll = 0; coll < KNOWN_COLLS; coll++)
        read_collection(&r, coll);
    read_notes(&r, NULL, KNOWN_COLLS);
    return r.refusals;
}

/* ---- judging -------------------------------------------------------------------------------- */

/* What became of a damage. */
enum {
    HARMLESS,   /* identical answers, nothing to report */
    REPORTED,   /* identical answers, and vs_check reports */
    WENT_BACK,  /* identical answers from the checkpoint before and its log; reported as well */
    DROPPED,    /* an earlier state, and vs_stats says what was dropped */
    EARLIER,    /* an earlier state of a log that ends there as after a crash */
    REFUSED,    /* an error at open */
    READ_ERROR, /* and an error when it was read, which vs_check reports as well */
    OUTCOMES
};
static const char *const outcome_names[] = {"harmless", "reported", "went back", "dropped",
                                            "earlier",  "refused",  "read error"};

typedef struct outcome {
    int kind;
    vs_status status;
    char message[400];
    int state; /* of the image, when it opened */
    uint64_t dropped_lsn;
} outcome;

static void check_problem(void *ctx, const char *problem) {
    (void)ctx;
    VT_CHECK(problem[0]);
}

/* The newest state with the digest and the number that the database shows. */
static int find_state(const known_image *m, const vs_stats *stats) {
    int at = m->states - 1;
    while (at >= 0 && memcmp(m->state[at].digest, stats->digest, sizeof stats->digest))
        at--;
    VT_CHECK(at >= 0 && m->state[at].lsn == stats->lsn);
    return at;
}

static void look_inside(vs_db *db, const known_image *m, bool checks_first, outcome *out) {
    vs_stats stats = VS_STATS_INIT;
    uint64_t problems = 0;
    VT_OK(vs_stats_get(db, &stats), db);
    out->state = find_state(m, &stats);
    out->dropped_lsn = stats.dropped_lsn;
    if (checks_first)
        VT_OK(vs_check(db, 3, check_problem, NULL, &problems), db);
    int refusals = read_database(db, &m->state[out->state]);
    if (!checks_first)
        VT_OK(vs_check(db, 3, check_problem, NULL, &problems), db);
    VT_CHECK(problems > 0 || (refusals == 0 && !view.went_back));
    if (refusals)
        out->kind = READ_ERROR;
    else if (out->state < m->states - 1)
        out->kind = stats.dropped_lsn ? DROPPED : EARLIER;
    else
        out->kind = view.went_back ? WENT_BACK : problems ? REPORTED : HARMLESS;
}

/* Opens the database as the damage shows it and asks for everything. */
static outcome look(const known_image *m, const damage *d) {
    static unsigned looks;
    vt_allocator allocator = {.calls = 0};
    vs_allocator hook = {&allocator, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    const vs_vfs vfs = view_vfs();
    vs_db *db = NULL;
    outcome out = {.kind = REFUSED};
    view_show(m, d);
    options.vfs = &vfs;
    options.flags = VS_OPEN_READONLY | (looks / 2 % 2 ? VS_OPEN_MMAP : 0);
    options.allocator = &hook;
    options.log = view_message;
    out.status = vs_open(KNOWN_PATH, &options, &db);
    if (out.status == VS_OK) {
        look_inside(db, m, looks++ % 2, &out);
    } else {
        VT_CHECK(is_damage(out.status));
        VT_CONTAINS(vs_errmsg(db), KNOWN_PATH);
        snprintf(out.message, sizeof out.message, "%s", vs_errmsg(db));
    }
    VT_EQ(vs_close(db), VS_OK);
    VT_EQ(allocator.live_bytes, 0);
    VT_EQ(allocator.live_blocks, 0);
    VT_EQ(view.maps, 0);
    view.is_looking = false;
    return out;
}

static damage no_damage(const known_image *m, int file_at) {
    return (damage){.file_at = file_at, .bytes = m->file[file_at].bytes};
}

static damage flip_of(const known_image *m, int file_at, uint64_t bit) {
    damage d = no_damage(m, file_at);
    d.from = (size_t)(bit / 8);
    d.span = 1;
    d.mask = (uint8_t)(1u << bit % 8);
    return d;
}

/* ---- going on with a damage ----------------------------------------------------------------- */

/* The files with the damage in them, to be written to. */
static vs_vfs *make_files(const known_image *m, const damage *d) {
    vs_vfs *vfs = NULL;
    char why[VS_VFS_WHY_BYTES];
    view_show(m, d);
    VT_EQ(vs_vfs_memory_create(NULL, &vfs), VS_OK);
    for (int i = 0; i < m->count; i++) {
        const known_file *f = &m->file[i];
        size_t bytes = view_bytes(f), n = 0;
        void *handle = NULL;
        uint8_t *data = malloc(bytes + 1);
        VT_CHECK(data != NULL);
        view_copy(f, data, bytes, 0);
        VT_EQ(vfs->open(vfs->ctx, f->path, VS_VFS_WRITE | VS_VFS_CREATE, &handle, why), VS_OK);
        VT_EQ(vfs->write(vfs->ctx, handle, data, bytes, 0, &n, why), VS_OK);
        VT_EQ(n, bytes);
        vfs->close(vfs->ctx, handle);
        free(data);
    }
    return vfs;
}

/* A session that reads, writes, makes a checkpoint and reads again. False: it was refused something. */
static bool go_on_session(vs_db *db, const known_state *expected) {
    uint64_t problems = 0;
    int refusals = read_database(db, expected);
    VT_OK(vs_check(db, 3, check_problem, NULL, &problems), db);
    vs_status put = vs_kv_put(db, NULL, NULL, "other", 5, "1", 1), made = vs_checkpoint(db);
    VT_CHECK(put == VS_OK || put == VS_ERR_CORRUPT);
    VT_CHECK(made == VS_OK || made == VS_ERR_CORRUPT);
    refusals += read_database(db, expected);
    return refusals == 0 && problems == 0 && put == VS_OK && made == VS_OK;
}

/* Writers that go on with a damage make no wrong answer of it, and none comes back later. True: the second
 * session found nothing any more. */
static bool go_on(const known_image *m, const damage *d) {
    vs_vfs *vfs = make_files(m, d);
    vt_allocator allocator = {.calls = 0};
    vs_allocator hook = {&allocator, vt_realloc};
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    static unsigned goes;
    int found = -1;
    bool is_sound = false;
    options.vfs = vfs;
    options.allocator = &hook;
    options.flags = goes++ % 2 ? VS_OPEN_MMAP : 0;
    for (int session = 0; session < 2; session++) {
        vs_db *db = NULL;
        vs_stats stats = VS_STATS_INIT;
        vs_status st = vs_open(KNOWN_PATH, &options, &db);
        VT_CHECK(st == VS_OK || (is_damage(st) && found < 0));
        if (st == VS_OK && session == 0) {
            VT_OK(vs_stats_get(db, &stats), db);
            found = find_state(m, &stats);
        }
        is_sound = st == VS_OK && go_on_session(db, &m->state[found]);
        VT_EQ(vs_close(db), VS_OK);
    }
    VT_EQ(allocator.live_bytes, 0);
    view.is_looking = false;
    vs_vfs_memory_destroy(vfs);
    return is_sound;
}

/* A damage that no answer needs is gone with what the next checkpoint replaces, unless it is in a row or a
 * node that stays. */
static void check_going_on(const known_image *m, const damage *d, int region, int kind) {
    bool stays = region == IS_NODE || region == IS_SLAB || region == IS_BLOB;
    bool is_sound = go_on(m, d);
    if (!is_sound && kind != REFUSED && kind != READ_ERROR && !(kind == REPORTED && stays))
        vt_fail(__FILE__, __LINE__, "file %d byte %zu, %s, %s: found again by the second session",
                d->file_at, d->from, known_region_names[region], outcome_names[kind]);
}

/* ---- flips ---------------------------------------------------------------------------------- */

typedef struct tally {
    uint64_t count[IS_REGIONS][OUTCOMES];
} tally;

static void tally_print(const tally *t, const char *what) {
    for (int region = 0; region < IS_REGIONS; region++)
        for (int kind = 0; kind < OUTCOMES; kind++)
            if (t->count[region][kind])
                printf("%s: %-7s %9" PRIu64 " %s\n", what, known_region_names[region],
                       t->count[region][kind], outcome_names[kind]);
}

/* What a flip may lead to, by what the byte is for. With a log and a checkpoint before, what is needed to
 * open leads back to that one, unless it is damaged as well, and what the log replaced is not read, but
 * reported. */
static bool is_allowed(int use, int kind, bool has_log) {
    int region = use % IS_SHARED;
    if (has_log && (region == IS_NODE || region == IS_SLAB || region == IS_BLOB))
        return kind == REPORTED || kind == READ_ERROR ||
               kind == (use >= IS_SHARED ? REFUSED : WENT_BACK);
    switch (region) {
    case IS_META:
    case IS_LIST:
    case IS_DYING:
    case IS_OLD_LOG:
        return kind == REPORTED;
    case IS_NODE:
        return kind == REFUSED || kind == READ_ERROR;
    case IS_SLAB:
    case IS_BLOB:
        return kind == READ_ERROR;
    case IS_LOG:
        return kind == REFUSED;
    case IS_LAST:
        return kind == REFUSED || kind == DROPPED;
    default:
        return kind == HARMLESS;
    }
}

/* The bits that this run takes: [from, to) in steps. */
typedef struct span {
    uint64_t from, to, step;
    bool is_whole;
} span;

static span span_of(uint64_t bits, uint64_t step) {
    const char *part = getenv("VT_PART");
    unsigned at = 1, parts = 1;
    if (part && (sscanf(part, "%u/%u", &at, &parts) != 2 || at < 1 || at > parts))
        vt_fail(__FILE__, __LINE__, "VT_PART is %s, expected one like 2/8", part);
    step *= getenv("VT_BRIEF") ? 6 : 1; /* emulators, sanitizers */
    uint64_t first = getenv("VT_LONG") ? 0 : vt_seed() % step;
    return (span){.from = bits * (at - 1) / parts + first,
                  .to = bits * at / parts,
                  .step = getenv("VT_LONG") ? 1 : step,
                  .is_whole = parts == 1};
}

static void check_flip(const known_image *m, int file_at, uint64_t bit, bool goes_on, tally *t) {
    damage d = flip_of(m, file_at, bit);
    int use = m->file[file_at].map[bit / 8], region = use % IS_SHARED;
    outcome out = look(m, &d);
    bool is_recent = out.kind == REFUSED || out.state >= m->states - 2;
    if (!is_allowed(use, out.kind, m->newest_log) || !is_recent)
        vt_fail(__FILE__, __LINE__, "%s bit %" PRIu64 ", %s: %s, state %d of %d: %s",
                m->file[file_at].path, bit, known_region_names[region], outcome_names[out.kind],
                out.state, m->states, out.message);
    if (out.kind == DROPPED) {
        VT_EQ(out.state, m->states - 2);
        VT_CHECK(out.dropped_lsn > m->durable_lsn && out.dropped_lsn <= m->last_lsn);
    }
    if (goes_on)
        check_going_on(m, &d, region, out.kind);
    t->count[region][out.kind]++;
}

/* every: in a long run only one bit of so many is flipped, another one each time. */
static bool flip_file(const known_image *m, int file_at, unsigned every, tally *t) {
    span s = span_of(8 * (uint64_t)m->file[file_at].bytes / every, FLIP_STEP);
    uint64_t rare = s.step > 1 ? 64 : 499, done = 0;
    for (uint64_t i = s.from; i < s.to; i += s.step, done++)
        check_flip(m, file_at, i * every + vt_mix(i) % every, done % rare == 0, t);
    return s.is_whole;
}

/* No kind of byte is left out, unless only a part of the file was asked for. */
static void check_flips(const known_image *m, int file_at, unsigned every, tally *t,
                        bool *out_whole) {
    *out_whole = flip_file(m, file_at, every, t);
    for (int region = 0; *out_whole && region < IS_REGIONS; region++) {
        uint64_t sum = 0;
        for (int kind = 0; kind < OUTCOMES; kind++)
            sum += t->count[region][kind];
        VT_CHECK(sum > 0 || !known_bytes_in(m, file_at, (uint8_t)region));
    }
}

VT_TEST(every_flipped_bit_of_a_closed_database_is_an_error_or_reported_or_in_nothing_that_is_used) {
    known_image m = known_make_closed();
    tally t = {{{0}}};
    bool is_whole = false;
    check_flips(&m, 0, 1, &t, &is_whole);
    printf("closed file: %zu bytes\n", m.file[0].bytes);
    tally_print(&t, "closed file");
    if (is_whole)
        VT_CHECK(t.count[IS_NODE][REFUSED] && t.count[IS_NODE][READ_ERROR] &&
                 t.count[IS_UNUSED][HARMLESS] && t.count[IS_SLAB][READ_ERROR] &&
                 t.count[IS_META][REPORTED] && t.count[IS_LIST][REPORTED]);
    known_free(&m);
}

VT_TEST(every_flipped_bit_of_a_killed_databases_logs_is_an_error_or_drops_what_was_not_durable) {
    known_image m = known_make_killed();
    for (int i = 1; i <= m.newest_log; i++) {
        tally t = {{{0}}};
        bool is_whole = false;
        check_flips(&m, i, 1, &t, &is_whole);
        printf("%s: %zu bytes\n", m.file[i].path, m.file[i].bytes);
        tally_print(&t, i < m.newest_log ? "log before" : "log");
        if (is_whole && i < m.newest_log)
            VT_CHECK(t.count[IS_OLD_LOG][REPORTED]);
        if (is_whole && i == m.newest_log)
            VT_CHECK(t.count[IS_LOG][REFUSED] && t.count[IS_LAST][DROPPED] &&
                     t.count[IS_UNUSED][HARMLESS]);
    }
    known_free(&m);
}

/* One bit of each byte; what differs from the closed file is the way back to the checkpoint before. */
VT_TEST(
    a_flipped_bit_of_a_killed_databases_file_is_an_error_or_reported_or_another_way_to_the_same) {
    known_image m = known_make_killed();
    tally t = {{{0}}};
    bool is_whole = false;
    check_flips(&m, 0, 8, &t, &is_whole);
    printf("killed file: %zu bytes\n", m.file[0].bytes);
    tally_print(&t, "killed file");
    if (is_whole)
        VT_CHECK(t.count[IS_NODE][WENT_BACK] && t.count[IS_DYING][REPORTED] &&
                 t.count[IS_UNUSED][HARMLESS]);
    known_free(&m);
}

/* ---- writes that went astray ---------------------------------------------------------------- */

static const uint8_t astray_zero[4096];

/* What the bytes that a damage changes are for: the use that allows least; IS_UNUSED: nothing. */
static int use_of_changed(const known_file *f, const damage *d) {
    int use = IS_UNUSED;
    for (size_t i = d->from; i < d->from + d->span; i++)
        if (f->data[i] != d->instead[i - d->from] && f->map[i] % IS_SHARED < use % IS_SHARED)
            use = f->map[i];
    return use;
}

/* A unit of the file that is zero or what another unit is, as lost and misdirected writes leave it. */
static void check_astray(const known_image *m, int file_at, size_t from, size_t unit,
                         const uint8_t *instead, tally *t) {
    const known_file *f = &m->file[file_at];
    damage d = no_damage(m, file_at);
    d.from = from;
    d.span = f->bytes - from < unit ? f->bytes - from : unit;
    d.instead = instead;
    int use = use_of_changed(f, &d), region = use % IS_SHARED;
    outcome out = look(m, &d);
    bool is_copy = region == IS_META && out.kind == HARMLESS; /* of the other meta page */
    bool is_gone = region == IS_LAST && out.kind == EARLIER && !instead[0]; /* as if cut off */
    if (!is_copy && !is_gone && !is_allowed(use, out.kind, m->newest_log))
        vt_fail(__FILE__, __LINE__, "%s byte %zu, %s, shows another piece: %s, state %d of %d: %s",
                f->path, from, known_region_names[region], outcome_names[out.kind], out.state,
                m->states, out.message);
    if (instead == astray_zero)
        check_going_on(m, &d, region, out.kind);
    t->count[region][out.kind]++;
}

/* Each unit is zero, its neighbours, and, in a long run, every other one of the file. */
static void check_astray_units(const known_image *m, int file_at, size_t unit, const char *what) {
    const known_file *f = &m->file[file_at];
    size_t units = f->bytes / unit, step = getenv("VT_LONG") ? 1 : getenv("VT_BRIEF") ? 40 : 5;
    size_t reach = getenv("VT_LONG") ? units : 2;
    tally t = {{{0}}};
    for (size_t at = vt_seed() % step; at < units; at += step) {
        check_astray(m, file_at, at * unit, unit, astray_zero, &t);
        for (size_t other = at < reach ? 0 : at - reach + 1; other < units && other < at + reach;
             other++)
            if (memcmp(f->data + at * unit, f->data + other * unit, unit))
                check_astray(m, file_at, at * unit, unit, f->data + other * unit, &t);
    }
    tally_print(&t, what);
}

VT_TEST(a_page_that_is_zero_or_another_page_is_an_error_or_reported_or_nothing_that_is_used) {
    known_image closed = known_make_closed(), killed = known_make_killed();
    check_astray_units(&closed, 0, 4096, "page of the closed file");
    check_astray_units(&killed, 0, 4096, "page of the killed file");
    known_free(&closed);
    known_free(&killed);
}

VT_TEST(a_sector_of_a_log_that_is_zero_or_another_is_an_error_or_drops_what_was_not_durable) {
    known_image m = known_make_killed();
    for (int i = 1; i <= m.newest_log; i++)
        check_astray_units(&m, i, getenv("VT_LONG") ? 4096 : 512, m.file[i].path);
    known_free(&m);
}

/* ---- files of another length ---------------------------------------------------------------- */

typedef struct length_tally {
    uint64_t cut[OUTCOMES], extended[OUTCOMES];
    int earliest; /* state shown so far, as the file gets shorter */
} length_tally;

/* What is cut off is missed: where it is needed, or, of the newest log, as an earlier state. What is added is
 * not looked at. */
static bool is_length_allowed(const known_image *m, int file_at, size_t bytes, int kind) {
    const known_file *f = &m->file[file_at];
    size_t used = f->bytes;
    while (used > 0 && f->map[used - 1] == IS_UNUSED) /* what is kept in reserve behind the end */
        used--;
    if (bytes >= f->bytes || kind == HARMLESS)
        return kind == HARMLESS && (file_at > 0 || bytes >= used);
    if (file_at == 0)
        return kind == REFUSED || (m->newest_log && kind == WENT_BACK);
    if (file_at < m->newest_log)
        return kind == REPORTED;
    return kind == REFUSED || kind == DROPPED || kind == EARLIER;
}

static void check_length(const known_image *m, int file_at, size_t bytes, int fill, bool goes_on,
                         length_tally *t) {
    damage d = no_damage(m, file_at);
    const known_file *f = &m->file[file_at];
    bool is_cut = bytes < f->bytes;
    d.bytes = bytes;
    d.fill = fill;
    outcome out = look(m, &d);
    bool is_open = out.kind != REFUSED;
    if (!is_length_allowed(m, file_at, bytes, out.kind) || (is_open && out.state > t->earliest))
        vt_fail(__FILE__, __LINE__, "%s of %zu bytes shows %zu: %s, state %d of %d: %s", f->path,
                f->bytes, bytes, outcome_names[out.kind], out.state, m->states, out.message);
    t->earliest = is_open ? out.state : t->earliest;
    if (goes_on)
        check_going_on(m, &d, IS_UNUSED, out.kind);
    *(is_cut ? &t->cut[out.kind] : &t->extended[out.kind]) += 1;
}

/* Cut at each 64th byte, from the end, or some of them; then longer by up to 64 KiB. */
static length_tally check_lengths(const known_image *m, int file_at) {
    const known_file *f = &m->file[file_at];
    bool is_long = getenv("VT_LONG") != NULL;
    size_t step = is_long ? CUT_STEP : 41 * CUT_STEP, n = 0;
    length_tally t = {.earliest = m->states - 1};
    for (size_t cut = CUT_STEP; cut <= f->bytes; cut += step)
        check_length(m, file_at, f->bytes - cut, FILL_ZERO, n++ % 64 == 0, &t);
    check_length(m, file_at, 0, FILL_ZERO, true, &t);
    for (int fill = FILL_ZERO; fill <= FILL_AGAIN; fill++) {
        t.earliest = m->states - 1;
        for (size_t more = 1; more <= 65536; more += more < 64 ? 9 : is_long ? 64 : 8191)
            check_length(m, file_at, f->bytes + more, fill, n++ % 64 == 0, &t);
    }
    for (int kind = 0; kind < OUTCOMES; kind++)
        if (t.cut[kind] || t.extended[kind])
            printf("%s: cut %6" PRIu64 ", extended %6" PRIu64 " %s\n", f->path, t.cut[kind],
                   t.extended[kind], outcome_names[kind]);
    return t;
}

VT_TEST(a_cut_closed_database_is_refused_and_what_follows_it_is_harmless) {
    known_image m = known_make_closed();
    length_tally t = check_lengths(&m, 0);
    VT_CHECK(t.cut[REFUSED] && t.extended[HARMLESS]);
    known_free(&m);
}

/* A log that ends behind a frame looks as after an earlier crash; one that ends inside says so. */
VT_TEST(a_cut_killed_database_is_refused_or_an_earlier_commit_and_what_follows_it_is_harmless) {
    known_image m = known_make_killed();
    for (int i = 0; i < m.count; i++) {
        length_tally t = check_lengths(&m, i);
        VT_CHECK(t.extended[HARMLESS]);
        if (i == 0)
            VT_CHECK(t.cut[REFUSED] && t.cut[WENT_BACK]);
        else if (i < m.newest_log)
            VT_CHECK(t.cut[REPORTED]);
        else
            VT_CHECK(t.cut[REFUSED] && t.cut[DROPPED] && t.cut[EARLIER]);
    }
    known_free(&m);
}

/* ---- four experiments ----------------------------------------------------------------------- */

/* What other stores answer with silence or a crash: SQLite returned 50 of 100 acknowledged rows, none, and a
 * changed vector; LMDB was ended by SIGBUS. */
VT_TEST(experiment_1_a_bit_flipped_in_the_middle_of_the_log_is_an_explicit_error) {
    known_image m = known_make_killed();
    const known_file *f = &m.file[m.newest_log];
    size_t middle = f->bytes / 2;
    while (f->map[middle] != IS_LOG)
        middle++;
    damage d = flip_of(&m, m.newest_log, 8 * middle + 3);
    outcome out = look(&m, &d);
    VT_EQ(out.status, VS_ERR_CORRUPT);
    VT_CONTAINS(out.message, f->path);
    VT_CONTAINS(out.message, "is damaged or missing, and it was durable");
    known_free(&m);
}

VT_TEST(experiment_2_a_deleted_log_is_an_explicit_error) {
    known_image m = known_make_killed();
    const known_file *f = &m.file[m.newest_log];
    damage d = no_damage(&m, m.newest_log);
    d.is_missing = true;
    outcome out = look(&m, &d);
    VT_EQ(out.status, VS_ERR_LOG_MISSING);
    VT_CONTAINS(out.message, f->path);
    known_free(&m);
}

VT_TEST(experiment_3_a_bit_flipped_in_a_stored_vector_is_an_explicit_error) {
    known_image m = known_make_closed();
    const known_file *f = &m.file[0];
    size_t at = 0;
    for (uint32_t key = 0; at == 0 && key < known_shapes[1].keys; key++)
        for (size_t i = 131072; at == 0 && i < f->bytes; i += 512)
            if (f->map[i] == IS_SLAB && !memcmp(f->data + i, known_vector(1, key, 1), 512))
                at = i;
    VT_CHECK(at > 0);
    damage d = flip_of(&m, 0, 8 * (at + 100) + 5);
    outcome out = look(&m, &d);
    VT_EQ(out.kind, READ_ERROR);
    known_free(&m);
}

VT_TEST(experiment_4_a_file_cut_in_half_is_an_explicit_error) {
    known_image m = known_make_closed();
    damage d = no_damage(&m, 0);
    d.bytes /= 2;
    outcome out = look(&m, &d);
    VT_EQ(out.status, VS_ERR_CORRUPT);
    VT_CONTAINS(out.message, "is truncated");
    known_free(&m);
}
