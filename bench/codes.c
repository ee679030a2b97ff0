/* codes.c - two-phase search against a scan of the vectors themselves, in one process.
 *
 *   codes BASE.fvecs|bvecs QUERIES.fvecs|bvecs METRIC TYPE ROUNDS [BITS...]
 *
 * The same vectors in collections with index flat and flat(codes=rqBITS), 4 unless told otherwise, 0 for none, in memory. Each round asks
 * all of them the same queries in turn, one at a time and in batches; hits must be equal. Prints for each a row: queries a second (median
 * of the rounds), the ratio to flat, rows scored per query, at what speed the vectors went by, and that as a part of what a plain loop reads, in each
 * round, from as many bytes in pages of 2 MiB. */
#define _DEFAULT_SOURCE
#include "bench.h"
#include <sys/mman.h>

enum { K = 10, KINDS_MAX = 5, ROUNDS_MAX = 64, ASKED = 200, LOADED = 1000 };
static const size_t batch_of[] = {1, 8, 32, ASKED};
enum { BATCHES = sizeof batch_of / sizeof batch_of[0] };

typedef struct vectors {
    uint32_t dim;
    size_t count;
    float *data;
} vectors;

static void stop(const char *what, const char *why) {
    fprintf(stderr, "codes: %s: %s\n", what, why);
    exit(1);
}

/* Rows of int32 dim and elements: floats, or bytes where the name says so. */
static vectors read_vectors(const char *path) {
    vectors v = {0, 0, NULL};
    const char *dot = strrchr(path, '.');
    const int is_bytes = dot && !strcmp(dot, ".bvecs");
    FILE *file = fopen(path, "rb");
    if (!file || fread(&v.dim, 4, 1, file) != 1 || fseek(file, 0, SEEK_END))
        stop(path, "cannot be read");
    size_t bytes = v.dim * (size_t)(is_bytes ? 1 : 4);
    v.count = (size_t)ftell(file) / (4 + bytes);
    v.data = malloc(v.count * v.dim * sizeof *v.data);
    uint8_t *row = malloc(bytes);
    if (!v.data || !row || fseek(file, 0, SEEK_SET))
        stop(path, "no memory");
    for (size_t i = 0; i < v.count; i++) {
        uint32_t dim = 0;
        float *out = v.data + i * v.dim;
        if (fread(&dim, 4, 1, file) != 1 || dim != v.dim || fread(row, 1, bytes, file) != bytes)
            stop(path, "rows differ in size");
        if (!is_bytes)
            memcpy(out, row, bytes);
        for (size_t j = 0; is_bytes && j < v.dim; j++)
            out[j] = row[j];
    }
    free(row);
    fclose(file);
    return v;
}

typedef struct searched {
    char index[32];
    vs_collection *collection;
    double seconds[BATCHES][ROUNDS_MAX];
    uint64_t scored[BATCHES];
} searched;

static int number_of(const char *name, const char *const *names, int n, int first) {
    for (int i = 0; i < n; i++)
        if (!strcmp(name, names[i]))
            return first + i;
    stop(name, "no such type or metric");
    return 0;
}

static void load(vs_db *db, searched *kind, const vectors *base, int type, int metric) {
    uint64_t numbers[LOADED];
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    shape.dim = base->dim;
    shape.type = type;
    shape.metric = metric;
    shape.index = kind->index;
    double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    need(vs_collection_create(db, NULL, kind->index, &shape, &kind->collection), db);
    for (size_t at = 0; at < base->count; at += LOADED) {
        vs_batch batch = VS_BATCH_INIT;
        batch.count = base->count - at < LOADED ? base->count - at : LOADED;
        for (size_t i = 0; i < batch.count; i++)
            numbers[i] = at + i;
        batch.numbers = numbers;
        batch.vectors = base->data + at * base->dim;
        batch.vector_type = VS_F32;
        need(vs_put_batch(kind->collection, NULL, &batch, VS_INSERT), kind->collection);
    }
    printf("%-16s loaded in %.2f s of processor time\n", kind->index,
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start);
}

/* Asks all queries in batches of one size; returns seconds. */
static double ask(searched *kind, const vectors *queries, size_t at, vs_hit *hits) {
    static size_t counts[ASKED];
    const size_t n = queries->count < ASKED ? queries->count : ASKED;
    vs_search_info info = VS_SEARCH_INFO_INIT;
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    options.info = &info;
    kind->scored[at] = 0;
    double start = seconds_of(CLOCK_MONOTONIC);
    for (size_t i = 0; i < n; i += batch_of[at]) {
        const float *query = queries->data + i * queries->dim;
        size_t count = n - i < batch_of[at] ? n - i : batch_of[at];
        if (count == 1)
            need(
                vs_search(kind->collection, NULL, query, VS_F32, K, &options, hits + i * K, counts),
                kind->collection);
        else
            need(vs_search_batch(kind->collection, NULL, query, VS_F32, 0, count, K, &options,
                                 hits + i * K, counts),
                 kind->collection);
        kind->scored[at] += info.scored;
    }
    return seconds_of(CLOCK_MONOTONIC) - start;
}

static void verify(const vs_hit *hits, const vs_hit *expected, size_t n, const char *who) {
    for (size_t i = 0; i < n; i++)
        if (hits[i].key.number != expected[i].key.number ||
            hits[i].distance != expected[i].distance)
            stop(who, "found other neighbours than flat");
}

/* Memory for a plain loop, in pages of 2 MiB if the system has them. */
static uint64_t *read_begin(size_t bytes) {
    const size_t page = 2 << 20, room = (bytes + page - 1) / page * page;
    uint64_t *data = aligned_alloc(page, room);
    if (!data)
        stop("memory for a plain loop", "there is none");
    madvise(data, room, MADV_HUGEPAGE);
    memset(data, 1, room);
    return data;
}

/* How long a loop takes to add them up, and nothing else; the fastest of three. */
static double read_once(const uint64_t *data, size_t bytes) {
    static volatile uint64_t kept;
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        uint64_t sum[32] = {0};
        double start = seconds_of(CLOCK_MONOTONIC);
        for (size_t at = 0; at + 32 <= bytes / 8; at += 32)
            for (size_t j = 0; j < 32; j++)
                sum[j] += data[at + j];
        double took = seconds_of(CLOCK_MONOTONIC) - start;
        for (size_t j = 0; j < 32; j++)
            kept += sum[j];
        best = took < best ? took : best;
    }
    (void)kept;
    return best;
}

int main(int argc, char **argv) {
    static const char *const types[] = {"f32", "u8", "f16", "bf16", "i8", "bit"};
    static const char *const metrics[] = {"l2", "ip", "cosine", "l1", "hamming", "jaccard"};
    static double reads[ROUNDS_MAX];
    static searched kinds[KINDS_MAX];
    int count = 1, rounds = argc > 5 ? atoi(argv[5]) : 0;
    if (rounds < 1 || rounds > ROUNDS_MAX || argc > 5 + KINDS_MAX) {
        fprintf(stderr, "usage: codes BASE QUERIES METRIC TYPE ROUNDS [BITS...]\n");
        return 2;
    }
    vectors base = read_vectors(argv[1]), queries = read_vectors(argv[2]);
    int metric = number_of(argv[3], metrics, 6, VS_L2), type = number_of(argv[4], types, 6, VS_F32);
    size_t asked = queries.count < ASKED ? queries.count : ASKED, bytes = 0;
    if (base.dim != queries.dim)
        stop(argv[2], "its vectors have another dimension");
    snprintf(kinds[0].index, sizeof kinds[0].index, "flat");
    for (int i = 6; i < argc || i == 6; i++)
        if (i == argc || strcmp(argv[i], "0") != 0)
            snprintf(kinds[count++].index, sizeof kinds[0].index, "flat(codes=rq%s)",
                     i < argc ? argv[i] : "4");
    vs_db *db = NULL;
    need(vs_open(":memory:", NULL, &db), db);
    for (int i = 0; i < count; i++)
        load(db, &kinds[i], &base, type, metric);
    bytes = vs_vector_bytes(type, base.dim) * base.count;
    vs_hit *hits = malloc(asked * K * sizeof *hits), *flat = malloc(asked * K * sizeof *flat);
    uint64_t *plain = read_begin(bytes);
    for (int round = 0; round < rounds; round++) {
        reads[round] = read_once(plain, bytes);
        for (size_t at = 0; at < BATCHES; at++)
            for (int i = 0; i < count; i++) {
                kinds[i].seconds[at][round] = ask(&kinds[i], &queries, at, i ? hits : flat);
                if (i)
                    verify(hits, flat, asked * K, kinds[i].index);
            }
    }
    const double read = median(reads, (size_t)rounds);
    printf("%zu vectors of %u, %.0f MiB; a loop reads as many bytes at %.1f GB/s\n\n", base.count,
           base.dim, (double)bytes / 1048576, (double)bytes / read / 1e9);
    printf("| index | batch | queries/s | to flat | rows scored a query | GB/s of vectors | of the "
           "loop |\n");
    printf("|---|---|---|---|---|---|---|\n");
    for (size_t at = 0; at < BATCHES; at++) {
        double first = median(kinds[0].seconds[at], (size_t)rounds);
        for (int i = 0; i < count; i++) {
            double took = median(kinds[i].seconds[at], (size_t)rounds);
            printf("| %s | %zu | %.1f | %.2f | %.0f | %.1f | %.2f |\n", kinds[i].index,
                   batch_of[at], (double)asked / took, first / took,
                   (double)kinds[i].scored[at] / (double)asked,
                   (double)asked * (double)bytes / took / 1e9, (double)asked * read / took);
        }
    }
    for (int i = 0; i < count; i++)
        vs_collection_close(kinds[i].collection);
    need(vs_close(db), db);
    return 0;
}
