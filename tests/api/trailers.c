/* trailers.c - databases whose extents end with bytes kept free for a codec: all is as without, and stays so. */
#include "sample.h"

enum { TRAILER = 40, PAGE = 4096, FIRST_PAGE = 32, KEYS = 120, DIM_MAX = 65535 };

/* ---- two databases, one with trailers, that get the same calls ------------------------------- */

typedef struct pair {
    sample s[2]; /* with trailers: the second */
    vs_open_options options;
    vt_rng rng;
} pair;

static const uint32_t dims[] = {1, 10, 1024, 4086, 65535};
enum { COLLS = sizeof dims / sizeof dims[0] };

static const char *name_of(int coll) {
    static char name[16];
    snprintf(name, sizeof name, "c%d", coll);
    return name;
}

/* Options say what the next one created gets: what is there keeps what it has. */
static void open_both(pair *p, uint32_t flags) {
    for (int i = 0; i < 2; i++) {
        vs_stats stats = VS_STATS_INIT;
        vs_open_options options = p->options;
        options.vfs = p->s[i].vfs;
        options.flags |= flags;
        options.trailer_bytes = (flags & VS_OPEN_CREATE) && i ? TRAILER : 0;
        VT_OK(vs_open("t.vs", &options, &p->s[i].db), p->s[i].db);
        VT_OK(vs_stats_get(p->s[i].db, &stats), p->s[i].db);
        VT_EQ(stats.trailer_bytes, i ? TRAILER : 0);
    }
}

static void begin(pair *p, uint64_t memory_limit, uint32_t flags) {
    memset(p, 0, sizeof *p);
    p->options = (vs_open_options)VS_OPEN_OPTIONS_INIT;
    p->options.memory_limit = memory_limit;
    p->options.flags = flags;
    p->rng.state = vt_seed();
    for (int i = 0; i < 2; i++)
        VT_EQ(vs_vfs_memory_create(NULL, &p->s[i].vfs), VS_OK);
    open_both(p, VS_OPEN_CREATE);
    for (int i = 0; i < 2; i++)
        for (int c = 0; c < COLLS; c++)
            vs_collection_close(sample_create(p->s[i].db, NULL, name_of(c), dims[c], VS_U8, VS_L2));
}

static void close_both(pair *p) {
    for (int i = 0; i < 2; i++)
        VT_OK(vs_close(p->s[i].db), p->s[i].db);
}

static void end(pair *p) {
    for (int i = 0; i < 2; i++)
        sample_end(&p->s[i]);
}

/* Around whole pages, where the trailer makes the difference. */
static size_t text_bytes(vt_rng *rng) {
    return vt_below(rng, 2) ? vt_below(rng, 2000) + 8
                            : PAGE * (1 + vt_below(rng, 3)) - 60 + vt_below(rng, 60);
}

static void change(pair *p) {
    static uint8_t vector[DIM_MAX];
    static char text[4 * PAGE];
    int c = (int)vt_below(&p->rng, COLLS);
    uint64_t key = vt_below(&p->rng, KEYS), kind = vt_below(&p->rng, 8);
    size_t bytes = text_bytes(&p->rng);
    for (size_t k = 0; k < dims[c]; k++)
        vector[k] = (uint8_t)vt_random(&p->rng);
    for (size_t k = 0; k < bytes; k++)
        text[k] = (char)('a' + vt_below(&p->rng, kind % 2 ? 26 : 2));
    memcpy(text, "{\"t\":\"", 6);
    memcpy(text + bytes - 2, "\"}", 2);
    vs_status found[2];
    for (int i = 0; i < 2; i++) {
        vs_collection *coll = sample_collection(p->s[i].db, name_of(c));
        vs_record r = {.size = sizeof r,
                       .vector_type = VS_U8,
                       .key = VT_KEY(key),
                       .vector = vector,
                       .metadata = text,
                       .metadata_bytes = bytes};
        if (kind == 0)
            found[i] = vs_delete(coll, NULL, vs_key_u64(key));
        else if (kind < 3)
            found[i] = vs_kv_put(p->s[i].db, NULL, coll, &key, sizeof key, text, bytes);
        else
            found[i] = vs_put(coll, NULL, &r, VS_UPSERT);
        vs_collection_close(coll);
    }
    VT_EQ(found[0], found[1]);
    VT_CHECK(found[0] == VS_OK || found[0] == VS_ERR_NOT_FOUND);
}

static uint64_t sum_of(const void *data, size_t bytes) {
    uint64_t sum = bytes;
    for (size_t i = 0; i < bytes; i++)
        sum = vt_mix(sum + ((const uint8_t *)data)[i]);
    return sum;
}

/* A number of what a collection holds: hits in their order, vectors, metadata, notes. */
static uint64_t content_of(vs_db *db, int c) {
    static uint8_t query[DIM_MAX], note[4 * PAGE];
    static vs_hit hits[KEYS];
    vs_collection *coll = sample_collection(db, name_of(c));
    size_t n = 0, bytes = 0;
    uint64_t sum = 0;
    VT_OK(vs_search(coll, NULL, query, VS_U8, KEYS, NULL, hits, &n), coll);
    for (size_t i = 0; i < n; i++) {
        vs_record r = VS_RECORD_INIT;
        VT_OK(vs_get(coll, NULL, vs_key_u64(hits[i].key.number), &r), coll);
        sum = vt_mix(sum + hits[i].key.number + sum_of(r.vector, dims[c]) +
                     sum_of(r.metadata, r.metadata_bytes));
    }
    for (uint64_t key = 0; key < KEYS; key++)
        if (vs_kv_get(db, NULL, coll, &key, sizeof key, note, sizeof note, &bytes) == VS_OK)
            sum = vt_mix(sum + key + sum_of(note, bytes));
    vs_collection_close(coll);
    return sum + n;
}

static void compare(pair *p) {
    for (int c = 0; c < COLLS; c++)
        VT_CHECK(content_of(p->s[0].db, c) == content_of(p->s[1].db, c));
    for (int i = 0; i < 2; i++)
        sample_check(p->s[i].db);
}

static void run(uint64_t memory_limit, uint32_t flags, int rounds) {
    pair p;
    begin(&p, memory_limit, flags);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < 120; i++)
            change(&p);
        if (round % 3 == 1)
            for (int i = 0; i < 2; i++)
                VT_OK(vs_checkpoint(p.s[i].db), p.s[i].db);
        compare(&p);
        if (round % 3 == 2) {
            close_both(&p);
            open_both(&p, 0);
            compare(&p);
        }
    }
    end(&p);
}

VT_TEST(a_database_with_trailers_holds_what_one_without_holds) {
    run(0, 0, 6);
}

VT_TEST(so_it_does_with_little_memory) {
    run(1, 0, 6);
}

VT_TEST(so_it_does_in_the_mapped_file) {
    run(0, VS_OPEN_MMAP, 6);
}

/* ---- what is refused, what is found ---------------------------------------------------------- */

VT_TEST(trailers_of_another_size_are_refused_before_a_file_is_made) {
    static const uint32_t sizes[] = {1, 16, 39, 41, 80, PAGE, UINT32_MAX};
    sample s = {NULL, NULL};
    VT_EQ(vs_vfs_memory_create(NULL, &s.vfs), VS_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        vs_open_options options = VS_OPEN_OPTIONS_INIT;
        char expected[64];
        options.vfs = s.vfs;
        options.flags = VS_OPEN_CREATE;
        options.trailer_bytes = sizes[i];
        VT_EQ(vs_open("t.vs", &options, &s.db), VS_ERR_MISUSE);
        snprintf(expected, sizeof expected, "trailer_bytes is %lu, expected 0 or 40",
                 (unsigned long)sizes[i]);
        VT_CONTAINS(vs_errmsg(s.db), expected);
        VT_EQ(vs_close(s.db), VS_OK);
        options.flags = 0;
        options.trailer_bytes = 0;
        VT_EQ(vs_open("t.vs", &options, &s.db), VS_ERR_NOT_FOUND);
        VT_EQ(vs_close(s.db), VS_OK);
    }
    vs_vfs_memory_destroy(s.vfs);
}

/* Flips the last bit of a page; 0: neither opening nor checking finds it. */
static bool is_found(const sample *s, uint64_t page) {
    char why[VS_VFS_WHY_BYTES];
    sample copy = {NULL, NULL};
    void *file = NULL;
    uint8_t byte = 0;
    size_t n = 0;
    uint64_t problems = 0;
    VT_EQ(vs_vfs_memory_create(NULL, &copy.vfs), VS_OK);
    VT_CHECK(sample_copy_file(s->vfs, copy.vfs, "t.vs"));
    const vs_vfs *vfs = copy.vfs;
    VT_EQ(vfs->open(vfs->ctx, "t.vs", VS_VFS_WRITE, &file, why), VS_OK);
    VT_EQ(vfs->read(vfs->ctx, file, &byte, 1, page * PAGE + PAGE - 1, &n, why), VS_OK);
    byte ^= 128;
    VT_EQ(vfs->write(vfs->ctx, file, &byte, 1, page * PAGE + PAGE - 1, &n, why), VS_OK);
    vfs->close(vfs->ctx, file);
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.vfs = vfs;
    vs_status st = vs_open("t.vs", &options, &copy.db);
    if (st == VS_OK)
        st = vs_check(copy.db, 2, NULL, NULL, &problems);
    VT_CHECK(st == VS_OK || st == VS_ERR_CORRUPT);
    (void)vs_close(copy.db);
    vs_vfs_memory_destroy(copy.vfs);
    return st == VS_ERR_CORRUPT || problems;
}

VT_TEST(damage_of_a_trailer_is_found) {
    pair p;
    vs_stats stats = VS_STATS_INIT;
    begin(&p, 0, 0);
    for (int i = 0; i < 150; i++)
        change(&p);
    VT_OK(vs_checkpoint(p.s[1].db), p.s[1].db);
    VT_OK(vs_checkpoint(p.s[1].db), p.s[1].db);
    VT_OK(vs_stats_get(p.s[1].db, &stats), p.s[1].db);
    close_both(&p);
    uint64_t pages = stats.file_bytes / PAGE, found = 0;
    for (uint64_t page = FIRST_PAGE; page < pages; page += 1 + page % 7)
        found += is_found(&p.s[1], page);
    open_both(&p, 0);
    compare(&p);
    end(&p);
    VT_CHECK(found > 20);
}
