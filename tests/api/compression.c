/* compression.c - large metadata and notes, compressed or not: they come back, whatever handle wrote them, and
 * the file says when a reader needs zstd. */
#include "sample.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

#ifdef VS_OMIT_ZSTD
enum { HAS_ZSTD = 0 };
#else
enum { HAS_ZSTD = 1 };
#endif

enum { NEEDED_OFF = 40, META_B_OFF = 65536, META_SUM_OFF = 4080, PAGE = 4096 };

/* ---- values --------------------------------------------------------------------------------- */

/* What a value is made of. */
enum { LETTERS, NOISE, HALF, KINDS };

enum { VALUE_MAX = VS_KV_VALUE_BYTES_MAX };

/* JSON of so many bytes, 8 or more: letters that repeat, or noise as far as text can be; or half of each. */
static const char *text_of(uint64_t seed, int kind, size_t bytes) {
    static char text[VALUE_MAX + 1];
    vt_rng rng = {seed};
    memcpy(text, "{\"t\":\"", 6);
    for (size_t i = 6; i < bytes; i++) {
        bool is_noise = kind == NOISE || (kind == HALF && i < bytes / 2);
        text[i] = (char)(is_noise ? '#' + vt_below(&rng, 57) : 'a' + (vt_mix(seed + i / 9) & 15));
    }
    memcpy(text + bytes - 2, "\"}", 3);
    return text;
}

/* The same for a note, of any bytes. */
static const uint8_t *bytes_of(uint64_t seed, int kind, size_t bytes) {
    static uint8_t data[VALUE_MAX];
    vt_rng rng = {seed};
    for (size_t i = 0; i < bytes; i++) {
        bool is_noise = kind == NOISE || (kind == HALF && i < bytes / 2);
        data[i] = (uint8_t)(is_noise ? vt_random(&rng) : 'a' + (vt_mix(seed + i / 9) & 15));
    }
    return data;
}

/* A database and what it must contain: of each key a record and a note with values of one size. */
enum { KEYS = 150 };

typedef struct model {
    sample s;
    uint64_t seed[KEYS]; /* 0: none */
    int kind[KEYS];
    size_t bytes[KEYS];
} model;

static vs_open_options options_for(const model *m, int compression, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.vfs = m->s.vfs;
    options.flags = flags;
    options.compression = compression;
    return options;
}

static void open_as(model *m, int compression, uint32_t flags) {
    vs_open_options options = options_for(m, compression, flags);
    VT_OK(vs_open("t.vs", &options, &m->s.db), m->s.db);
}

static void begin(model *m, int compression) {
    memset(m, 0, sizeof *m);
    VT_EQ(vs_vfs_memory_create(NULL, &m->s.vfs), VS_OK);
    open_as(m, compression, VS_OPEN_CREATE);
    vs_collection_close(sample_create(m->s.db, NULL, "c", 2, VS_F32, VS_L2));
}

static void reopen_as(model *m, int compression, uint32_t flags) {
    VT_OK(vs_close(m->s.db), m->s.db);
    open_as(m, compression, flags);
}

static void put(model *m, uint64_t key, uint64_t seed, int kind, size_t bytes) {
    vs_collection *c = sample_collection(m->s.db, "c");
    const float v[2] = {(float)key, (float)seed};
    sample_put(c, NULL, key, v, text_of(seed, kind, bytes));
    VT_OK(vs_kv_put(m->s.db, NULL, c, &key, sizeof key, bytes_of(seed, kind, bytes), bytes),
          m->s.db);
    vs_collection_close(c);
    m->seed[key] = seed;
    m->kind[key] = kind;
    m->bytes[key] = bytes;
}

static void drop(model *m, uint64_t key) {
    vs_collection *c = sample_collection(m->s.db, "c");
    VT_OK(vs_delete(c, NULL, vs_key_u64(key)), c);
    VT_OK(vs_kv_put(m->s.db, NULL, c, &key, sizeof key, NULL, 0), m->s.db);
    vs_collection_close(c);
    m->seed[key] = 0;
}

static void check_key(const model *m, vs_collection *c, uint64_t key) {
    static uint8_t value[VALUE_MAX];
    vs_record r = VS_RECORD_INIT;
    size_t bytes = 0, expected = m->bytes[key];
    vs_status st = vs_get(c, NULL, vs_key_u64(key), &r);
    vs_status note = vs_kv_get(m->s.db, NULL, c, &key, sizeof key, value, sizeof value, &bytes);
    if (!m->seed[key]) {
        VT_CHECK(st == VS_ERR_NOT_FOUND && note == VS_ERR_NOT_FOUND);
        return;
    }
    VT_OK(st, c);
    VT_OK(note, m->s.db);
    VT_EQ(r.metadata_bytes, expected);
    VT_CHECK(!memcmp(r.metadata, text_of(m->seed[key], m->kind[key], expected), expected));
    VT_EQ(bytes, expected);
    VT_CHECK(!memcmp(value, bytes_of(m->seed[key], m->kind[key], expected), expected));
}

static void check(const model *m) {
    vs_collection *c = sample_collection(m->s.db, "c");
    for (uint64_t key = 0; key < KEYS; key++)
        check_key(m, c, key);
    vs_collection_close(c);
    sample_check(m->s.db);
}

static void end(model *m) {
    sample_end(&m->s);
}

/* ---- the file ------------------------------------------------------------------------------- */

static void *file_open(const model *m, uint32_t mode) {
    char why[VS_VFS_WHY_BYTES];
    void *file = NULL;
    VT_EQ(m->s.vfs->open(m->s.vfs->ctx, "t.vs", mode, &file, why), VS_OK);
    return file;
}

static uint64_t file_bytes(const model *m) {
    char why[VS_VFS_WHY_BYTES];
    uint64_t bytes = 0;
    void *file = file_open(m, VS_VFS_READ);
    VT_EQ(m->s.vfs->file_size(m->s.vfs->ctx, file, &bytes, why), VS_OK);
    m->s.vfs->close(m->s.vfs->ctx, file);
    return bytes;
}

/* The needed features that both meta pages name. */
static uint64_t needed_features(const model *m) {
    char why[VS_VFS_WHY_BYTES];
    uint8_t bytes[2][8];
    void *file = file_open(m, VS_VFS_READ);
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        uint64_t off = NEEDED_OFF + (i ? META_B_OFF : 0);
        VT_EQ(m->s.vfs->read(m->s.vfs->ctx, file, bytes[i], 8, off, &n, why), VS_OK);
        VT_EQ(n, 8);
    }
    m->s.vfs->close(m->s.vfs->ctx, file);
    VT_CHECK(!memcmp(bytes[0], bytes[1], 8));
    uint64_t needed = 0;
    for (int i = 0; i < 8; i++)
        needed |= (uint64_t)bytes[0][i] << 8 * i;
    return needed;
}

/* Writes them into both pages, which stay valid. */
static void set_needed_features(const model *m, uint8_t needed) {
    char why[VS_VFS_WHY_BYTES];
    void *file = file_open(m, VS_VFS_WRITE);
    for (int i = 0; i < 2; i++) {
        uint8_t page[PAGE];
        size_t n = 0;
        uint64_t off = i ? META_B_OFF : 0;
        VT_EQ(m->s.vfs->read(m->s.vfs->ctx, file, page, PAGE, off, &n, why), VS_OK);
        page[NEEDED_OFF] = needed;
        XXH128_hash_t sum = XXH3_128bits(page, META_SUM_OFF);
        for (int k = 0; k < 8; k++) {
            page[META_SUM_OFF + k] = (uint8_t)(sum.low64 >> 8 * k);
            page[META_SUM_OFF + 8 + k] = (uint8_t)(sum.high64 >> 8 * k);
        }
        VT_EQ(m->s.vfs->write(m->s.vfs->ctx, file, page, PAGE, off, &n, why), VS_OK);
        VT_EQ(n, PAGE);
    }
    m->s.vfs->close(m->s.vfs->ctx, file);
}

/* ---- options -------------------------------------------------------------------------------- */

VT_TEST(compression_is_one_of_three_words) {
    model m;
    begin(&m, VS_COMPRESSION_DEFAULT);
    VT_OK(vs_close(m.s.db), m.s.db);
    for (int word = -2; word < 6; word++) {
        vs_open_options options = options_for(&m, word, 0);
        vs_status st = vs_open("t.vs", &options, &m.s.db);
        bool is_known = word >= VS_COMPRESSION_DEFAULT && word <= VS_COMPRESSION_ZSTD;
        VT_EQ(st, !is_known                                  ? VS_ERR_MISUSE
                  : word == VS_COMPRESSION_ZSTD && !HAS_ZSTD ? VS_ERR_UNSUPPORTED
                                                             : VS_OK);
        if (st == VS_ERR_UNSUPPORTED)
            VT_CONTAINS(vs_errmsg(m.s.db), "zstd");
        VT_EQ(vs_close(m.s.db), VS_OK);
    }
    open_as(&m, VS_COMPRESSION_DEFAULT, 0);
    end(&m);
}

/* ---- contents ------------------------------------------------------------------------------- */

/* Sizes on both sides of where a value takes another page, and of where it leaves its node. */
static size_t size_of(uint64_t key) {
    static const size_t others[] = {8, 1200, 1320, 2000, 30000, 65536, 100000};
    uint64_t page = 1 + key / 12 % 6;
    return key >= 80 ? others[key % 7] : (size_t)(page * PAGE - 14 + key % 12);
}

static void fill(model *m, uint64_t seed) {
    for (uint64_t key = 0; key < KEYS - 1; key++)
        put(m, key, seed + key, (int)(key % KINDS), size_of(key));
    put(m, KEYS - 1, seed, (int)(seed % KINDS), VS_METADATA_BYTES_MAX);
}

static uint64_t check_everywhere(int compression) {
    model m;
    begin(&m, compression);
    for (uint64_t round = 1; round < 4; round++) {
        fill(&m, round * 1000);
        check(&m);
        VT_OK(vs_checkpoint(m.s.db), m.s.db);
        check(&m);
        put(&m, round, 7, LETTERS, 50000); /* in the log */
        model killed = m;
        killed.s = sample_after_kill(&m.s);
        check(&killed);
        end(&killed);
        reopen_as(&m, VS_COMPRESSION_DEFAULT, VS_OPEN_READONLY);
        check(&m);
        reopen_as(&m, compression, 0);
        check(&m);
    }
    uint64_t bytes = file_bytes(&m);
    bool packs = HAS_ZSTD && compression != VS_COMPRESSION_NONE;
    VT_EQ(needed_features(&m), packs ? 1 : 0);
    end(&m);
    return bytes;
}

VT_TEST(values_around_every_page_come_back_compressed_or_not) {
    uint64_t plain = check_everywhere(VS_COMPRESSION_NONE);
    uint64_t packed = check_everywhere(VS_COMPRESSION_DEFAULT);
    printf("the same content: %llu bytes as it is, %llu compressed\n", (unsigned long long)plain,
           (unsigned long long)packed);
    if (!HAS_ZSTD)
        VT_EQ(packed, plain);
    else
        VT_CHECK(packed < plain * 3 / 4);
}

VT_TEST(handles_with_and_without_compression_take_turns) {
    model m;
    vt_rng rng = {vt_seed()};
    begin(&m, VS_COMPRESSION_NONE);
    for (int round = 0; round < 14; round++) {
        for (int i = 0; i < 40; i++) {
            uint64_t key = vt_below(&rng, KEYS);
            if (m.seed[key] && vt_below(&rng, 5) == 0)
                drop(&m, key);
            else
                put(&m, key, 1 + vt_random(&rng) % 100000, (int)vt_below(&rng, KINDS),
                    8 + (size_t)(vt_below(&rng, 60000) >> vt_below(&rng, 8)));
        }
        if (round % 3 == 1)
            VT_OK(vs_checkpoint(m.s.db), m.s.db);
        check(&m);
        reopen_as(&m, round % 2 ? VS_COMPRESSION_NONE : VS_COMPRESSION_DEFAULT, 0);
        check(&m);
    }
    end(&m);
}

/* ---- what the file says --------------------------------------------------------------------- */

VT_TEST(the_feature_is_named_from_the_first_compressed_value_on_for_ever) {
    model m;
    begin(&m, VS_COMPRESSION_DEFAULT);
    put(&m, 1, 1, LETTERS, 4000); /* one page in any case */
    put(&m, 2, 1, NOISE, 4096);   /* the note stays as it is; the metadata are text */
    drop(&m, 2);
    VT_OK(vs_checkpoint(m.s.db), m.s.db);
    VT_EQ(needed_features(&m), 0);
    put(&m, 2, 1, LETTERS, 40000);
    VT_EQ(needed_features(&m), 0); /* in the log only */
    VT_OK(vs_checkpoint(m.s.db), m.s.db);
    VT_EQ(needed_features(&m), HAS_ZSTD);
    drop(&m, 2);
    for (int i = 0; i < 4; i++) {
        put(&m, 3, 1, LETTERS, 10);
        VT_OK(vs_checkpoint(m.s.db), m.s.db);
        VT_EQ(needed_features(&m), HAS_ZSTD);
    }
    reopen_as(&m, VS_COMPRESSION_NONE, 0);
    put(&m, 3, 2, LETTERS, 40000);
    check(&m);
    reopen_as(&m, VS_COMPRESSION_NONE, 0);
    VT_EQ(needed_features(&m), HAS_ZSTD);
    check(&m);
    end(&m);
}

#ifndef VS_OMIT_ZSTD

static void take_report(void *ctx, const char *problem) {
    if (strstr(problem, "do not say so"))
        ++*(int *)ctx;
}

VT_TEST(a_check_notices_compressed_values_that_the_file_does_not_speak_of) {
    model m;
    uint64_t problems = 0;
    int reports = 0;
    begin(&m, VS_COMPRESSION_ZSTD);
    put(&m, 1, 1, LETTERS, 40000);
    VT_OK(vs_close(m.s.db), m.s.db);
    set_needed_features(&m, 0);
    open_as(&m, VS_COMPRESSION_DEFAULT, VS_OPEN_READONLY);
    VT_OK(vs_check(m.s.db, 2, take_report, &reports, &problems), m.s.db);
    VT_EQ(problems, 1);
    VT_EQ(reports, 1);
    VT_OK(vs_close(m.s.db), m.s.db);
    set_needed_features(&m, 1);
    open_as(&m, VS_COMPRESSION_DEFAULT, 0);
    check(&m);
    end(&m);
}

#else

VT_TEST(a_file_that_needs_zstd_is_refused_by_a_build_without_it) {
    model m;
    vs_db *db = NULL;
    begin(&m, VS_COMPRESSION_DEFAULT);
    VT_OK(vs_close(m.s.db), m.s.db);
    set_needed_features(&m, 1);
    for (uint32_t flags = 0; flags < 2; flags++) {
        vs_open_options options = options_for(&m, VS_COMPRESSION_DEFAULT, flags);
        VT_EQ(vs_open("t.vs", &options, &db), VS_ERR_UNSUPPORTED);
        VT_CONTAINS(vs_errmsg(db), "zstd");
        vs_close(db);
    }
    set_needed_features(&m, 0);
    open_as(&m, VS_COMPRESSION_DEFAULT, 0);
    end(&m);
}

#endif

/* ---- memory, and places that change ----------------------------------------------------------- */

VT_TEST(with_a_memory_limit_of_one_byte_all_values_come_back) {
    model m;
    begin(&m, VS_COMPRESSION_DEFAULT);
    VT_OK(vs_close(m.s.db), m.s.db);
    vs_open_options options = options_for(&m, VS_COMPRESSION_DEFAULT, 0);
    options.memory_limit = 1;
    VT_OK(vs_open("t.vs", &options, &m.s.db), m.s.db);
    vs_txn *txn = sample_begin(m.s.db, VS_TXN_WRITE);
    vs_collection *c = sample_collection(m.s.db, "c");
    for (uint64_t key = 0; key < KEYS; key++) { /* its trees leave memory before the commit */
        const float v[2] = {0, 0};
        m.seed[key] = 5 + key;
        m.kind[key] = (int)(key % KINDS);
        m.bytes[key] = size_of(key);
        sample_put(c, txn, key, v, text_of(5 + key, m.kind[key], m.bytes[key]));
        VT_OK(vs_kv_put(m.s.db, txn, c, &key, sizeof key,
                        bytes_of(5 + key, m.kind[key], m.bytes[key]), m.bytes[key]),
              m.s.db);
    }
    VT_OK(vs_commit(txn, VS_SYNC_FULL), txn);
    vs_collection_close(c);
    check(&m);
    VT_EQ(needed_features(&m), 0); /* they left memory, and no checkpoint leads to them */
    model killed = m;
    killed.s = sample_after_kill(&m.s);
    check(&killed);
    end(&killed);
    VT_OK(vs_checkpoint(m.s.db), m.s.db);
    check(&m);
    VT_EQ(needed_features(&m), HAS_ZSTD);
    end(&m);
}

VT_TEST(compressed_values_survive_a_close_that_moves_them) {
    model m;
    begin(&m, VS_COMPRESSION_DEFAULT);
    for (int round = 0; round < 3; round++) {
        for (uint64_t key = 0; key < KEYS; key++)
            put(&m, key, 9 + key, HALF, 40000);
        VT_OK(vs_checkpoint(m.s.db), m.s.db);
        uint64_t full = file_bytes(&m);
        for (uint64_t key = 0; key < KEYS;
             key++) /* the first ones, so that the others move there */
            if (key < 100)
                drop(&m, key);
        reopen_as(&m, VS_COMPRESSION_DEFAULT, 0);
        VT_CHECK(file_bytes(&m) < full / 2);
        check(&m);
    }
    end(&m);
}

VT_TEST(a_value_read_without_memory_says_so_and_is_read_the_next_time) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    static uint8_t value[40000];
    model m;
    uint64_t key = 1, failures = 0;
    begin(&m, VS_COMPRESSION_DEFAULT);
    put(&m, 1, 1, LETTERS, sizeof value);
    VT_OK(vs_close(m.s.db), m.s.db);
    vs_open_options options = options_for(&m, VS_COMPRESSION_DEFAULT, 0);
    options.allocator = &allocator;
    VT_OK(vs_open("t.vs", &options, &m.s.db), m.s.db);
    vs_collection *c = sample_collection(m.s.db, "c");
    for (uint64_t at = 1;; at++) {
        size_t bytes = 0;
        uint64_t before = counter.failures, live = counter.live_blocks;
        counter.fail_at = counter.calls + at;
        vs_status st = vs_kv_get(m.s.db, NULL, c, &key, sizeof key, value, sizeof value, &bytes);
        counter.fail_at = 0;
        bool is_hit = counter.failures > before;
        VT_EQ(st, is_hit ? VS_ERR_NOMEM : VS_OK);
        VT_CHECK(counter.live_blocks >= live); /* nodes stay in the cache */
        check_key(&m, c, key);
        failures += is_hit;
        if (!is_hit)
            break;
    }
    VT_CHECK(failures >= (HAS_ZSTD ? 3 : 1));
    vs_collection_close(c);
    VT_OK(vs_close(m.s.db), m.s.db);
    VT_EQ(counter.live_blocks, 0);
    vs_vfs_memory_destroy(m.s.vfs);
}

VT_TEST(a_checkpoint_without_memory_to_compress_stores_values_as_they_are) {
    vt_allocator counter = {0};
    vs_allocator allocator = {&counter, vt_realloc};
    model m;
    begin(&m, VS_COMPRESSION_DEFAULT);
    VT_OK(vs_close(m.s.db), m.s.db);
    vs_open_options options = options_for(&m, VS_COMPRESSION_DEFAULT, 0);
    options.allocator = &allocator;
    VT_OK(vs_open("t.vs", &options, &m.s.db), m.s.db);
    int absorbed = 0;
    for (uint64_t at = 1;; at++) {
        put(&m, 1, at, LETTERS, 40000);
        uint64_t before = counter.failures;
        counter.fail_at = counter.calls + at;
        vs_status st = vs_checkpoint(m.s.db);
        counter.fail_at = 0;
        bool is_hit = counter.failures > before;
        VT_CHECK(st == VS_OK || (is_hit && st == VS_ERR_NOMEM));
        absorbed += is_hit && st == VS_OK;
        check(&m);
        if (!is_hit)
            break;
    }
    VT_CHECK(absorbed >= (HAS_ZSTD ? 2 : 0));
    VT_OK(vs_close(m.s.db), m.s.db);
    VT_EQ(counter.live_blocks, 0);
    vs_vfs_memory_destroy(m.s.vfs);
}
