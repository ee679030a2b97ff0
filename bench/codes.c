/* codes.c - two-phase search against a scan of the vectors themselves, in one process.
 *
 *   codes BASE.fvecs|bvecs QUERIES.fvecs|bvecs METRIC TYPE ROUNDS[xTIMES] [CODES...]
 *
 * The same vectors, TIMES times (1), in collections with index flat and flat(codes=CODES), rq4 unless told otherwise, 0 for none,
 * a number for rq of as many bits, in memory; bits are whether an element is above the mean of all. Each round asks all of them the same queries in turn, one at a
 * time, in batches, and for all within a radius, that of the last hit; hits must be equal. Prints for each a row: queries a second
 * (median of the rounds), the ratio to flat, rows scored per query, at what speed the vectors went by, and that as a part of what a
 * plain loop of wide loads reads from as many bytes in pages of 2 MiB. The loop runs after every tenth query, so that both meet the
 * same machine; below 128 MiB, where they would push each other out of the cache, once in each round. */
#define _DEFAULT_SOURCE
#include "bench.h"
#include <sys/mman.h>

enum { K = 10, KINDS_MAX = 7, ROUNDS_MAX = 64, ASKED = 200, LOADED = 1000 };
static const size_t batch_of[] = {1, 8, 32, ASKED, 0}; /* 0: one query and a radius */
enum { BATCHES = sizeof batch_of / sizeof batch_of[0], READ_EVERY = 10, READ_BYTES = 128 << 20 };

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

static void to_bits(vectors *v, double mean) {
    for (size_t i = 0; i < v->count * v->dim; i++)
        v->data[i] = (double)v->data[i] > mean;
}

static double mean_of(const vectors *v) {
    double sum = 0;
    for (size_t i = 0; i < v->count * v->dim; i++)
        sum += (double)v->data[i];
    return sum / (double)(v->count * v->dim);
}

typedef struct searched {
    char index[32];
    vs_collection *collection;
    double seconds[BATCHES][ROUNDS_MAX];
    double read_seconds[BATCHES][ROUNDS_MAX]; /* of the loop for as many queries */
    uint64_t scored[BATCHES];
    double radius[ASKED];
} searched;

static int number_of(const char *name, const char *const *names, int n, int first) {
    for (int i = 0; i < n; i++)
        if (!strcmp(name, names[i]))
            return first + i;
    stop(name, "no such type or metric");
    return 0;
}

static void load(vs_db *db, searched *kind, const vectors *base, size_t times, int type,
                 int metric) {
    uint64_t numbers[LOADED];
    vs_collection_options shape = VS_COLLECTION_OPTIONS_INIT;
    shape.dim = base->dim;
    shape.type = type;
    shape.metric = metric;
    shape.index = kind->index;
    double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    need(vs_collection_create(db, NULL, kind->index, &shape, &kind->collection), db);
    for (size_t at = 0; at < times * base->count;) {
        vs_batch batch = VS_BATCH_INIT;
        const size_t row = at % base->count;
        batch.count = base->count - row < LOADED ? base->count - row : LOADED;
        for (size_t i = 0; i < batch.count; i++)
            numbers[i] = at + i;
        batch.numbers = numbers;
        batch.vectors = base->data + row * base->dim;
        batch.vector_type = VS_F32;
        need(vs_put_batch(kind->collection, NULL, &batch, VS_INSERT), kind->collection);
        at += batch.count;
    }
    printf("%-16s loaded in %.2f s of processor time\n", kind->index,
           seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start);
}

/* ---- a plain loop --------------------------------------------------------------------------- */

typedef struct plain {
    uint64_t *data;
    size_t bytes;
} plain;

/* Memory for the loop, in pages of 2 MiB if the system has them. */
static plain read_begin(size_t bytes) {
    const size_t page = 2 << 20, room = (bytes + page - 1) / page * page;
    uint64_t *data = aligned_alloc(page, room);
    if (!data)
        stop("memory for a plain loop", "there is none");
    madvise(data, room, MADV_HUGEPAGE);
    memset(data, 1, room);
    return (plain){data, bytes};
}

/* Vectors of the compiler, as wide as the machine at hand has them or as two halves. */
typedef uint64_t wide __attribute__((vector_size(64)));

static volatile uint64_t read_sum;

/* How long a loop takes to read them, and nothing else. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
__attribute__((target_clones("default", "avx2", "avx512f")))
#endif
static double
read_once(const plain *p) {
    const wide *data = (const wide *)(const void *)p->data,
               *end = data + p->bytes / sizeof *data / 4 * 4;
    wide a = {0}, b = {0}, c = {0}, d = {0};
    double start = seconds_of(CLOCK_MONOTONIC);
    for (; data < end; data += 4) {
        a ^= data[0], b ^= data[1];
        c ^= data[2], d ^= data[3];
    }
    double took = seconds_of(CLOCK_MONOTONIC) - start;
    a ^= b ^ c ^ d;
    read_sum += a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];
    return took;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* One call for count queries from the one numbered i on. */
static void ask_once(const searched *kind, const vectors *queries, size_t i, size_t batch,
                     size_t count, const vs_search_options *options, vs_hit *hits) {
    static size_t counts[ASKED];
    static uint64_t within;
    const float *query = queries->data + i * queries->dim;
    vs_hit *out = hits + i * K;
    if (batch == 0)
        need(vs_search_radius(kind->collection, NULL, query, VS_F32, kind->radius[i], options, K,
                              out, counts, &within),
             kind->collection);
    else if (count == 1)
        need(vs_search(kind->collection, NULL, query, VS_F32, K, options, out, counts),
             kind->collection);
    else
        need(vs_search_batch(kind->collection, NULL, query, VS_F32, 0, count, K, options, out,
                             counts),
             kind->collection);
}

/* Asks all queries in batches of one size, and reads between them. */
static void ask(searched *kind, const vectors *queries, size_t at, int round, const plain *p,
                vs_hit *hits) {
    const size_t n = queries->count < ASKED ? queries->count : ASKED;
    const size_t step = batch_of[at] ? batch_of[at] : 1;
    const int is_large = p->bytes >= READ_BYTES;
    vs_search_info info = VS_SEARCH_INFO_INIT;
    vs_search_options options = VS_SEARCH_OPTIONS_INIT;
    double took = 0, read = is_large ? 0 : read_once(p);
    size_t reads = !is_large;
    options.info = &info;
    kind->scored[at] = 0;
    for (size_t i = 0; i < n; i += step) {
        double start = seconds_of(CLOCK_MONOTONIC);
        ask_once(kind, queries, i, batch_of[at], n - i < step ? n - i : step, &options, hits);
        took += seconds_of(CLOCK_MONOTONIC) - start;
        kind->scored[at] += info.scored;
        if (is_large && i / READ_EVERY != (i + step) / READ_EVERY) {
            read += read_once(p);
            reads++;
        }
    }
    kind->seconds[at][round] = took;
    kind->read_seconds[at][round] = read / (double)reads * (double)n;
}

static void verify(const vs_hit *hits, const vs_hit *expected, size_t n, const char *who) {
    for (size_t i = 0; i < n; i++)
        if (hits[i].key.number != expected[i].key.number ||
            hits[i].distance != expected[i].distance)
            stop(who, "found other neighbours than flat");
}

/* The median of the rounds' ratios of a's times to b's. */
static double ratio(const double *a, const double *b, int rounds) {
    double ratios[ROUNDS_MAX];
    for (int i = 0; i < rounds; i++)
        ratios[i] = a[i] / b[i];
    return median(ratios, (size_t)rounds);
}

static void print_row(const searched *kind, const searched *flat, size_t at, size_t asked,
                      int rounds, double bytes) {
    double to_flat = ratio(flat->seconds[at], kind->seconds[at], rounds);
    double to_loop = ratio(kind->read_seconds[at], kind->seconds[at], rounds);
    double sorted[ROUNDS_MAX];
    char batch[32] = "radius";
    memcpy(sorted, kind->seconds[at], sizeof sorted);
    double took = median(sorted, (size_t)rounds);
    if (batch_of[at])
        snprintf(batch, sizeof batch, "%zu", batch_of[at]);
    printf("| %s | %s | %.1f | %.2f | %.0f | %.1f | %.2f |\n", kind->index, batch,
           (double)asked / took, to_flat, (double)kind->scored[at] / (double)asked,
           (double)asked * bytes / took / 1e9, to_loop);
}

int main(int argc, char **argv) {
    static const char *const types[] = {"f32", "u8", "f16", "bf16", "i8", "bit"};
    static const char *const metrics[] = {"l2", "ip", "cosine", "l1", "hamming", "jaccard"};
    static searched kinds[KINDS_MAX];
    int count = 1, rounds = 0, times = 1;
    if (argc > 5)
        sscanf(argv[5], "%dx%d", &rounds, &times);
    if (rounds < 1 || rounds > ROUNDS_MAX || times < 1 || argc > 5 + KINDS_MAX) {
        fprintf(stderr, "usage: codes BASE QUERIES METRIC TYPE ROUNDS[xTIMES] [CODES...]\n");
        return 2;
    }
    vectors base = read_vectors(argv[1]), queries = read_vectors(argv[2]);
    int metric = number_of(argv[3], metrics, 6, VS_L2), type = number_of(argv[4], types, 6, VS_F32);
    size_t asked = queries.count < ASKED ? queries.count : ASKED, bytes = 0;
    if (base.dim != queries.dim)
        stop(argv[2], "its vectors have another dimension");
    if (type == VS_BIT) {
        to_bits(&queries, mean_of(&base));
        to_bits(&base, mean_of(&base));
    }
    snprintf(kinds[0].index, sizeof kinds[0].index, "flat");
    for (int i = 6; i < argc || i == 6; i++) {
        const char *codes = i < argc ? argv[i] : "4";
        const int is_number = codes[0] >= '0' && codes[0] <= '9';
        if (strcmp(codes, "0") != 0)
            snprintf(kinds[count++].index, sizeof kinds[0].index, "flat(codes=%s%s)",
                     is_number ? "rq" : "", codes);
    }
    vs_db *db = NULL;
    need(vs_open(":memory:", NULL, &db), db);
    for (int i = 0; i < count; i++)
        load(db, &kinds[i], &base, (size_t)times, type, metric);
    bytes = vs_vector_bytes(type, base.dim) * base.count * (size_t)times;
    vs_hit *hits = malloc(asked * K * sizeof *hits), *flat = malloc(asked * K * sizeof *flat);
    const plain loop = read_begin(bytes);
    for (int round = 0; round < rounds; round++)
        for (size_t at = 0; at < BATCHES; at++)
            for (int i = 0; i < count; i++) {
                for (size_t q = 0; !batch_of[at] && q < asked; q++)
                    kinds[i].radius[q] = flat[q * K + K - 1].distance;
                ask(&kinds[i], &queries, at, round, &loop, i ? hits : flat);
                if (i)
                    verify(hits, flat, asked * K, kinds[i].index);
            }
    printf("%zu vectors of %u, %.0f MiB\n\n", base.count * (size_t)times, base.dim,
           (double)bytes / 1048576);
    printf("| index | batch | queries/s | to flat | rows scored a query | GB/s of vectors | of the "
           "loop |\n");
    printf("|---|---|---|---|---|---|---|\n");
    for (size_t at = 0; at < BATCHES; at++)
        for (int i = 0; i < count; i++)
            print_row(&kinds[i], &kinds[0], at, asked, rounds, (double)bytes);
    for (int i = 0; i < count; i++)
        vs_collection_close(kinds[i].collection);
    need(vs_close(db), db);
    return 0;
}
