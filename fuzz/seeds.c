/* seeds.c TARGET FOLDER - writes the seeds of a fuzz target.
 *
 *   api      programs of random calls
 *   codes    parameters of codes with vectors
 *   file     databases that were closed or killed, with trees of several levels
 *   grammar  lines of words, cells, queries as JSON, numbers
 *   import   files of vectors, with labels, plain and compressed; numbers as text
 *   formats  files of records and of vectors, a good one of each kind with a row that is refused
 *   json     texts, streams, merge patches, and numbers at the borders
 *   log      log files of the campaigns' programs, in every mode of the target
 *
 * make fuzz-seeds compiles it without a small VSI_CHECKPOINT_LOG_BYTES: log wants all that was committed
 * in the first log file. */
#include "workload.h"
#include <zstd.h>

static const char *folder;

static void write_seed(const char *name, const uint8_t *head, size_t head_bytes,
                       const uint8_t *data, size_t bytes) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(head, 1, head_bytes, f) != head_bytes || fwrite(data, 1, bytes, f) != bytes ||
        fclose(f)) {
        fprintf(stderr, "seeds: %s cannot be written\n", path);
        exit(1);
    }
}

/* ---- log ------------------------------------------------------------------------------------ */

static void write_log(const char *name, int mode, const sim_file *log) {
    char full[64];
    uint8_t head = (uint8_t)mode;
    snprintf(full, sizeof full, "%s-%d", name, mode);
    write_seed(full, &head, 1, log->data, log->bytes);
}

static int seeds_log(void) {
    static const char *names[] = {
        "create", "puts", "churn", "streamed", "notes", "updates", "savepoints-streamed"};
    static const uint64_t seeds[] = {3, 3, 3, 3, 3, 3, 2};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        sim *s = sim_new(seeds[i], NULL);
        wl_run run;
        workload w = *wl_find(names[i]);
        w.steps = w.save ? 40 : w.steps < 14 ? w.steps : 14;
        w.reopen = w.kill = w.checkpoint = 0; /* one log file */
        wl_init(&run, &w, s, seeds[i], NULL);
        if (!wl_open(&run) || !wl_steps(&run, 0))
            return 1;
        sim_image image = sim_image_now(s);
        const sim_file *log = sim_image_find(&image, "t.vs-wal-1");
        if (!log || image.count != 2)
            return 1;
        write_log(names[i], i % 2 ? 0 : 4, log);
        write_log(names[i], 3, log);
        sim_image_free(&image);
        wl_free(&run);
        sim_free(s);
    }
    return 0;
}

/* ---- api ------------------------------------------------------------------------------------ */

/* The same in one transaction, with half of the steps those of savepoints. */
static void write_savepoint_seed(vt_rng *rng) {
    uint8_t head[] = {8, 0, 8, 1, 9}, program[600];
    size_t n = 0;
    while (n < sizeof program - 8) {
        bool is_step = vt_below(rng, 2);
        program[n++] = is_step ? (uint8_t)vt_below(rng, 7) : (uint8_t)(240 + vt_below(rng, 16));
        for (int i = 0; is_step && i < 4; i++)
            program[n++] = (uint8_t)vt_random(rng);
    }
    write_seed("savepoints-600", head, sizeof head, program, n);
}

/* The same, with half of the steps those that change what exists. */
static void write_update_seed(vt_rng *rng) {
    uint8_t head[] = {8, 0, 8, 1}, program[500];
    for (size_t n = 0; n < sizeof program;) {
        bool is_put = vt_below(rng, 2);
        program[n++] = is_put ? (uint8_t)vt_below(rng, 4) : (uint8_t)(224 + vt_below(rng, 16));
        for (int i = 0; i < 4 && n < sizeof program; i++)
            program[n++] = (uint8_t)vt_random(rng);
    }
    write_seed("updates-500", head, sizeof head, program, sizeof program);
}

/* The same, with two thirds of the steps those of payloads, in transactions or not. */
static void write_payload_seed(vt_rng *rng) {
    uint8_t head[] = {8, 0, 8, 1}, program[600];
    for (size_t n = 0; n < sizeof program;) {
        bool is_payload = vt_below(rng, 3);
        program[n++] = is_payload ? (uint8_t)(212 + vt_below(rng, 12)) : (uint8_t)vt_below(rng, 26);
        for (int i = 0; i < 6 && n < sizeof program; i++)
            program[n++] = (uint8_t)vt_random(rng);
    }
    write_seed("payloads-600", head, sizeof head, program, sizeof program);
}

/* Programs of random steps behind two that create the collections. */
static int seeds_api(void) {
    static const size_t lengths[] = {60, 120, 250, 400, 600};
    vt_rng rng = {11};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        static const uint8_t head[] = {8, 0, 8, 1};
        uint8_t program[600];
        char name[32];
        for (size_t k = 0; k < lengths[i]; k++)
            program[k] = (uint8_t)vt_random(&rng);
        snprintf(name, sizeof name, "random-%zu", lengths[i]);
        write_seed(name, head, sizeof head, program, lengths[i]);
    }
    write_savepoint_seed(&rng);
    write_update_seed(&rng);
    write_payload_seed(&rng);
    return 0;
}

/* ---- file ----------------------------------------------------------------------------------- */

enum { PAGE = 4096, HEAD_BYTES = 66 };

static size_t put_u16(uint8_t *out, size_t value) {
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
    return 2;
}

/* A page without its longest run of zeros. */
static size_t pack_page(const uint8_t *page, size_t no, uint8_t *out) {
    size_t start = 0, best = 0, best_start = PAGE, n = 0;
    for (size_t i = 0; i < PAGE; i++) {
        start = page[i] ? i + 1 : start;
        if (i + 1 - start > best) {
            best = i + 1 - start;
            best_start = start;
        }
    }
    size_t back = PAGE - best_start - best;
    n += put_u16(out + n, no);
    n += put_u16(out + n, best_start);
    n += put_u16(out + n, back);
    memcpy(out + n, page, best_start);
    memcpy(out + n + best_start, page + PAGE - back, back);
    return n + best_start + back;
}

static bool page_is_zero(const uint8_t *page) {
    return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* A file as the target takes it, whole pages. */
static size_t pack_file(const sim_file *file, int number, uint8_t *out) {
    size_t n = 3, count = 0, pages = (file->bytes + PAGE - 1) / PAGE;
    out[0] = (uint8_t)number;
    for (size_t no = 0; no < pages; no++) {
        uint8_t page[PAGE] = {0};
        size_t left = file->bytes - no * PAGE;
        memcpy(page, file->data + no * PAGE, left < PAGE ? left : PAGE);
        if (page_is_zero(page) && no + 1 < pages)
            continue;
        n += pack_page(page, no, out + n);
        count++;
    }
    put_u16(out + 1, count);
    return n;
}

static void write_disk(const char *name, sim *s) {
    static uint8_t out[1 << 20];
    uint8_t head[HEAD_BYTES] = {3};
    sim_image image = sim_image_now(s);
    size_t n = pack_file(sim_image_find(&image, "t.vs"), 0, out);
    for (int i = 0; i < image.count; i++) {
        int number = 0;
        if (sscanf(image.file[i].path, "t.vs-wal-%d", &number) == 1)
            n += pack_file(&image.file[i], number, out + n);
    }
    write_seed(name, head, sizeof head, out, n);
    sim_image_free(&image);
}

static void must(vs_status st, const void *handle) {
    if (st == VS_OK)
        return;
    fprintf(stderr, "seeds: %s\n", vs_errmsg(handle));
    exit(1);
}

static uint32_t trailer_bytes;

static vs_db *open_db(sim *s) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.trailer_bytes = trailer_bytes;
    vs_db *db = NULL;
    options.flags = VS_OPEN_CREATE;
    options.vfs = sim_vfs(s);
    must(vs_open("t.vs", &options, &db), db);
    return db;
}

static const char *fill_index; /* of collections that fill creates */

/* Records [from, to) with short metadata, some of it large enough for a blob. */
static void fill(vs_db *db, const char *name, int type, int from, int to) {
    vs_collection *coll = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.dim = 3;
    options.type = type;
    options.index = fill_index;
    if (vs_collection_open(db, NULL, name, &coll) != VS_OK)
        must(vs_collection_create(db, NULL, name, &options, &coll), db);
    for (int i = from; i < to; i++) {
        static char text[5000];
        uint8_t vector[3] = {(uint8_t)i, (uint8_t)(i / 2), 7};
        vs_record record = {.size = sizeof record,
                            .vector_type = VS_U8,
                            .key = {.number = (uint64_t)i},
                            .vector = vector,
                            .metadata = text};
        int n = i % 50 == 49 ? 4500 : i % 4;
        snprintf(text, sizeof text, "{\"t\":\"%0*d\"}", n, 0);
        must(vs_put(coll, NULL, &record, VS_UPSERT), coll);
    }
    vs_collection_close(coll);
}

/* Notes under keys so long that few of them fill a node. */
static void fill_notes(vs_db *db, int count) {
    for (int i = 0; i < count; i++) {
        char key[1000], value[3000] = "v";
        memset(key, 'n', sizeof key);
        key[0] = (char)('0' + i % 8);
        key[1] = i < 8 ? 'n' : (char)('0' + i / 8);
        must(vs_kv_put(db, NULL, NULL, key, i % 2 ? sizeof key : 4, value, i == 3 ? 3000u : 5u),
             db);
    }
}

static void seed_file(const char *name, int records, int notes, bool is_killed) {
    sim *s = sim_new(5, NULL);
    vs_db *db = open_db(s);
    fill_notes(db, notes);
    for (int c = 0; c < 2 && records; c++)
        fill(db, c ? "floats" : "bytes", c ? VS_F32 : VS_U8, 0, c ? records / 8 + 1 : records);
    if (is_killed) {
        must(vs_checkpoint(db), db);
        fill(db, "bytes", VS_U8, records / 2, records / 2 + 5);
        must(vs_checkpoint(db), db);
        fill(db, "bytes", VS_U8, records, records + 3);
        fill_notes(db, 2);
        write_disk(name, s);
    }
    must(vs_close(db), db);
    if (!is_killed)
        write_disk(name, s);
    sim_free(s);
}

/* Notes that are compressed: zeros, letters that repeat, and those behind noise. */
static void seed_packed(const char *name) {
    static uint8_t value[12000];
    sim *s = sim_new(5, NULL);
    vs_db *db = open_db(s);
    vt_rng rng = {5};
    must(vs_kv_put(db, NULL, NULL, "zeros", 5, value, sizeof value), db);
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (uint8_t)('a' + i / 11 % 7 + i % 11);
    must(vs_kv_put(db, NULL, NULL, "letters", 7, value, sizeof value), db);
    for (size_t i = 0; i < 4200; i++)
        value[i] = (uint8_t)vt_random(&rng);
    must(vs_kv_put(db, NULL, NULL, "noise", 5, value, sizeof value), db);
    must(vs_close(db), db);
    write_disk(name, s);
    sim_free(s);
}

/* Payloads in the checkpoint and in the log, of zeros, which take little room in a seed. */
static void seed_payloads(const char *name) {
    enum { PIECE = 65536 };
    static uint8_t data[2 * PIECE + 100];
    sim *s = sim_new(5, NULL);
    vs_db *db = open_db(s);
    vs_collection *coll = NULL;
    fill(db, "bytes", VS_U8, 0, 8);
    must(vs_collection_open(db, NULL, "bytes", &coll), db);
    for (uint64_t key = 1; key < 6;
         key++) { /* 1: within its entry; the last one has three pieces */
        data[0] = (uint8_t)key;
        must(vs_payload_write(coll, NULL, vs_key_u64(key), 0, data,
                              key == 1 ? 40 : 33000 * (key - 1)),
             coll);
    }
    must(vs_checkpoint(db), db);
    must(vs_payload_write(coll, NULL, vs_key_u64(6), 0, data, PIECE + 9), coll);
    must(vs_payload_write(coll, NULL, vs_key_u64(2), 5, "run", 3), coll);
    must(vs_payload_truncate(coll, NULL, vs_key_u64(4), 10), coll);
    must(vs_delete(coll, NULL, vs_key_u64(3)), coll);
    vs_collection_close(coll);
    write_disk(name, s);
    must(vs_close(db), db);
    sim_free(s);
}

static int seeds_file(void) {
    seed_file("empty", 0, 0, false);
    seed_file("notes", 0, 20, false);
    seed_file("small", 4, 2, false);
    seed_file("killed", 12, 3, true);
    seed_file("tall", 210, 3, false);
    trailer_bytes = 40;
    seed_file("trailers", 12, 3, true);
    trailer_bytes = 0;
    seed_packed("packed");
    fill_index = "flat(codes=rq4)";
    seed_file("codes", 60, 2, true);
    fill_index = NULL;
    seed_payloads("payloads");
    return 0;
}

/* ---- import --------------------------------------------------------------------------------- */

enum { ROWS = 9, DIM = 3, NO_LABELS = 255 };

/* A file of vectors of whole numbers; returns its bytes. */
static size_t make_vecs(bool is_u8, uint8_t *out) {
    size_t n = 0;
    for (int row = 0; row < ROWS; row++) {
        out[n] = DIM;
        memset(out + n + 1, 0, 3);
        n += 4;
        for (int i = 0; i < DIM; i++) {
            float value = (float)(row * DIM + i);
            uint32_t bits;
            memcpy(&bits, &value, sizeof bits);
            for (int k = 0; k < (is_u8 ? 1 : 4); k++)
                out[n++] = is_u8 ? (uint8_t)value : (uint8_t)(bits >> 8 * k);
        }
    }
    return n;
}

static int seeds_import(void) {
    static const char *names[] = {"fvecs", "bvecs", "ivecs", "fvecs-zst", "bvecs-zst", "ivecs-zst"};
    static const char json[] = "[1, -2.5, 0.1e-3, 16777217, 3.4e38]";
    uint8_t vecs[512], packed[1024];
    for (int source = 0; source < 6; source++) {
        size_t bytes = make_vecs(source % 3 == 1, vecs);
        uint8_t head[4 + ROWS] = {(uint8_t)source, 0, 2, NO_LABELS};
        head[1] = (uint8_t)(source % 2 << 7); /* f32 goes into a collection of u8 as well */
        head[3] = (uint8_t)(source ? ROWS : NO_LABELS);
        size_t head_bytes = source ? sizeof head : 4;
        if (source >= 3) {
            bytes = ZSTD_compress(packed, sizeof packed, vecs, bytes, 1);
            if (ZSTD_isError(bytes))
                return 1;
        }
        write_seed(names[source], head, head_bytes, source < 3 ? vecs : packed, bytes);
    }
    write_seed("json", (const uint8_t[]){6, 0, 0, 255}, 4, (const uint8_t *)json, strlen(json));
    return 0;
}

/* ---- formats -------------------------------------------------------------------------------- */

static int seeds_formats(void) {
    static const struct {
        const char *name;
        uint8_t head[3];
        const char *text;
        size_t bytes;
    } seeds[] = {
#define FILE_OF(text) text, sizeof text - 1
        {"jsonl",
         {0, 0, 1},
         FILE_OF("{\"key\":1,\"vector\":[0.1,-0],\"metadata\":{\"a\":[1]}}\n\n"
                 "{\"vector\":[1e-45,3],\"key\":\"7/text:a\\u0301\"}\r\n"
                 "{\"key\":\"bytes:00ff\",\"vector\":[1]}\n{\"key\":2}\n")},
        {"jsonl-rest",
         {0, 5, 1},
         FILE_OF("{\"key\":\"a\\\"b\",\"vector\":[1,2],\"c\":null,\"d\":{}}\n[")},
        {"jsonl-two",
         {0, 16, 0},
         FILE_OF("{\"key\":1,\"b\":[5],\"vector\":null}\n{\"key\":2,\"vector\":[6]}")},
        {"csv",
         {1, 0, 1},
         FILE_OF("key,vector,metadata\r\n1,\"[1, 2]\",\"{\"\"a\"\":\n1}\"\ntext:x,,\n"
                 "2,\"[1\"x,\n3,\"[1]\",{},\n")},
        {"csv-range",
         {1, 12, 1},
         FILE_OF("\xef\xbb\xbfkey,v0,v1,c\n1,2,3,\"a,\"\"b\"\n2,x,4,5\n3,4,5,1.50\n")},
        {"tsv", {2, 1, 2}, FILE_OF("key\tvector\tb\na\t[1,2,3]\t\"c\td\"\n\t[]\t\n")},
        {"npy",
         {3, 0, 0},
         FILE_OF("\x93NUMPY\1\0\x3a\0{'descr': '<f2', 'fortran_order': False, 'shape': (2, 2), }"
                 "\0\x3c\0\x40\0\x42\0\xc4")},
        {"npy-swapped",
         {3, 0, 0},
         FILE_OF(
             "\x93NUMPY\2\0\x3a\0\0\0{'descr': '>i4', 'fortran_order': False, 'shape': (1, 2), }"
             "\0\0\0\7\xff\xff\xff\xfe")},
        {"safetensors",
         {4, 0, 0},
         FILE_OF("\x5d\0\0\0\0\0\0\0{\"__metadata__\":{\"a\":\"b\"},"
                 "\"t\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[2,6]}}"
                 "xx\x80\x3f\0\x40")},
        {"fbin", {5, 0, 0}, FILE_OF("\1\0\0\0\2\0\0\0\0\0\x80\x3f\0\0\0\x40")},
        {"i8vecs", {6, 0, 0}, FILE_OF("\2\0\0\0\1\xff\2\0\0\0\3\4")},
        {"u8bin", {7, 0, 0}, FILE_OF("\2\0\0\0\2\0\0\0\1\2\3\xff")},
        {"fvecs", {8, 0, 0}, FILE_OF("\1\0\0\0\0\0\x80\x3f\1\0\0\0\0\0\x80\x7f\1\0\0\0\0\0\0\x80")},
#undef FILE_OF
    };
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        write_seed(seeds[i].name, seeds[i].head, 3, (const uint8_t *)seeds[i].text, seeds[i].bytes);
    return 0;
}

/* ---- json ----------------------------------------------------------------------------------- */

static int seeds_json(void) {
    static const struct {
        const char *name, *text, *patch;
        uint8_t mode;
    } seeds[] = {
        {"object", "{\"a\": [1, -2.5e-7, \"b\\n\\ud83d\\ude00\"], \"c\": {\"\": null}} ", "", 0},
        {"words",
         "[true,false,null,\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\",\"\xc3\xa9\xe2\x82\xac\"]", "", 0},
        {"vector", "[0.12345678,-0.0625,1e-3,16777217,3.4028235e38,1.17549435E-38]", "", 0},
        {"lines", "{\"a\":1}\n{\"b\":[2,3]}\n[]\"x\" 17 null\n", "", 1},
        {"patch", "{\"a\":{\"b\":1,\"c\":[2]},\"d\":3,\"\\u0064\":4}",
         "{\"a\":{\"b\":null,\"e\":{\"f\":null}},\"d\":null,\"g\":[{}]}", 2},
        {"middle", "9007199254740993.0000000000000000000001", "", 3},
        {"denormal", "2.4703282292062327208e-324", "", 3},
        {"largest", "179769313486231580793e288", "", 3},
        {"integer", "18446744073709551615.000", "", 3},
        {"no-integer", "[18446744073709551616,-9223372036854775809,1e19,0.5]", "", 0},
        {"no-pair", "\"\\udc00\\udc00\"", "", 0},
        {"control",
         "\"abc\x1f"
         "defghijk\"",
         "", 0},
        {"bits", "\x01\x02\x03\x04\x05\x06\xf0\x3f", "", 3},
    };
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++) {
        uint8_t text[512], head[2] = {seeds[i].mode, (uint8_t)strlen(seeds[i].text)};
        size_t n = (size_t)sprintf((char *)text, "%s%s", seeds[i].text, seeds[i].patch);
        write_seed(seeds[i].name, head, seeds[i].mode == 2 ? 2 : 1, text, n);
    }
    return 0;
}

/* ---- grammar -------------------------------------------------------------------------------- */

static int seeds_grammar(void) {
    static const struct {
        uint8_t what;
        const char *name, *text;
    } seeds[] = {
        {0, "words",
         "search c --near '[1, 2]' -k=5 # the nearest\n put c 1 \"a \\\"b\\\" \\n\" x\\ y\n"},
        {0, "joined", "put c \\\n  1 \\\r\n '[1,\n2]' \"a\\\nb\" ''\n"},
        {0, "open-quote", "put c 1 'abc\n# no comment"},
        {0, "open-line", "scan c \\"},
        {1, "cells",
         "plain\xff with \"quotes\", commas\xff\xff tab\t line\n back\\slash "
         "|\xff\x1b[2J\xffgr\xc3\xbcn \xc2\x9b\xff\xc3"},
        {2, "query", "{\"near\": [1, 2.5e-3], \"k\": 10, \"mode\": \"json\", \"vectors\": true}"},
        {2, "query-open", "{\"near\": [[{\"a\\\"]\": 1}"},
        {3, "number", "-1.25e-3"},
        {3, "name", "serach"},
    };
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        write_seed(seeds[i].name, &seeds[i].what, 1, (const uint8_t *)seeds[i].text,
                   strlen(seeds[i].text));
    return 0;
}

/* ---- codes ---------------------------------------------------------------------------------- */

static void put_u32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

/* Whole numbers as floats, and now and then one at the end of the range or none at all. */
static void write_codes(const char *name, uint8_t kind, uint8_t metric, uint32_t dim) {
    static const uint32_t odd[] = {0x7f800000, 0x7fc00000, 0x7f7fffff,
                                   0x00000001, 0x80000000, 0x5d800000};
    uint8_t data[2 + 24 + 12 * 100] = {0}, *mean = data + 26, *vectors = mean + (size_t)4 * dim;
    bool is_wild = dim % 2;
    put_u32(data, 24 + 4 * dim);
    put_u32(data + 2, 1);
    data[6] = kind;
    data[7] = metric;
    put_u32(data + 10, dim);
    put_u32(data + 18, 12345);
    for (uint32_t i = 0; i < 2 * dim; i++)
        put_u32(vectors + (size_t)4 * i,
                is_wild && i % 9 == 8 ? odd[i % 6] : 0x3f000000 + (i * 7919 << 12));
    write_seed(name, data, 26 + (size_t)4 * dim, vectors, (size_t)8 * dim);
}

static int seeds_codes(void) {
    static const uint8_t bits[] = {1, 2, 4, 8};
    char name[32];
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "bits%d-%d", bits[i % 4], i / 4);
        write_codes(name, bits[i % 4], (uint8_t)(VS_L2 + i / 4), (uint32_t)(1 + 8 * i));
    }
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "%s-%d", i % 2 ? "bf16" : "f16", i / 2);
        write_codes(name, (uint8_t)(16 + i % 2), (uint8_t)(VS_L2 + i / 2), (uint32_t)(5 + 13 * i));
    }
    write_codes("wild", 4, VS_COSINE, 99);
    write_codes("even", 4, VS_IP, 64);
    return 0;
}

int main(int argc, char **argv) {
    static const struct {
        const char *target;
        int (*write)(void);
    } targets[] = {{"api", seeds_api},         {"file", seeds_file},  {"import", seeds_import},
                   {"json", seeds_json},       {"log", seeds_log},    {"grammar", seeds_grammar},
                   {"formats", seeds_formats}, {"codes", seeds_codes}};
    if (argc != 3)
        return 2;
    folder = argv[2];
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
        if (!strcmp(targets[i].target, argv[1]))
            return targets[i].write();
    return 2;
}
