/* kernels.c - how fast the kernels are: each set that this machine has, beside the set below it and beside what the
 * machine can read.
 *
 *   kernels [--type T] [--metric M] [--dim D] [--set S] [--rounds N] [--ms N] [--mib N] [--csv FILE]
 *
 * Rows lie in half of the first-level cache, in half of the second-level one, or in --mib MiB of memory (256), which are
 * scanned in tiles as a search does. In each round every set of a kernel is measured in turn for about --ms ms
 * (2) of the processor, and a loop that only reads, with the widest loads that the machine has, as well: that is the
 * limit. Figures are medians of --rounds rounds (7), a row's bytes count without what the kernel writes.
 *
 * Types are those of vectors and of codes: rq8, rq4, rq2, rq1, code-f16, code-bf16. Of codes dot and bounds are measured, in place of a
 * metric: inner products in tiles as vsi_rq_bounds makes them, and all of vsi_rq_bounds. Their rows are codes of vectors,
 * with their heads, which dot passes by. Type query is the time that a query takes to be prepared for codes (of 4 bits,
 * which make no difference): queries of l2, ip and cosine in half of the first-level cache, in a table of its own;
 * in the CSV they are rows.
 *
 * Prints Markdown; --csv writes a line for each kernel, set and place as well. A kernel that is no faster than the
 * next lower set's anywhere is listed at the end. Includes vecstore.c, so that kernels are compiled as they ship. */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE 1
#include "bench.h"
#include "vecstore.c"
#include <sys/mman.h>

enum {
    SETS_MAX = 8,
    DIMS_MAX = 16,
    SAMPLES_MAX = 64,
    TILE_ROWS = 128, /* of a scan, as in query/exact.c */
    LINE_BYTES = 4096
};

typedef enum place { IN_L1, IN_L2, IN_MEMORY, PLACES } place;

static const char *const place_names[PLACES] = {"L1", "L2", "memory"};

/* ---- types and metrics ---------------------------------------------------------------------- */

/* Codes and queries for them come behind the types of vectors, what is done with codes behind the metrics. */
enum {
    TYPE_RQ8 = VSI_TYPES,
    TYPE_RQ4,
    TYPE_RQ2,
    TYPE_RQ1,
    TYPE_CODE_F16,
    TYPE_CODE_BF16,
    TYPE_QUERY,
    TYPES
};
enum { METRIC_DOT = VSI_METRICS, METRIC_BOUNDS, METRICS };

static const char *type_name(int type) {
    static const char *const names[] = {"rq8",      "rq4",       "rq2",  "rq1",
                                        "code-f16", "code-bf16", "query"};
    return type < VSI_TYPES ? vsi_type_name(type) : names[type - VSI_TYPES];
}

static const char *metric_name(int metric) {
    return metric == METRIC_DOT      ? "dot"
           : metric == METRIC_BOUNDS ? "bounds"
                                     : vsi_metric_name(metric);
}

static bool metric_fits(int metric, int type) {
    if (type == TYPE_QUERY)
        return metric == VS_L2 || metric == VS_IP || metric == VS_COSINE;
    if (type >= VSI_TYPES || metric >= VSI_METRICS)
        return type >= VSI_TYPES && metric >= VSI_METRICS;
    return vsi_metric_fits(metric, type);
}

static uint32_t kind_of(int type) {
    static const uint32_t kinds[] = {8, 4, 2, 1, VSI_CODE_F16, VSI_CODE_BF16, 4};
    return kinds[type - VSI_TYPES];
}

/* ---- what is asked for ---------------------------------------------------------------------- */

typedef struct ask {
    int type, metric; /* 0: all */
    uint32_t dims[DIMS_MAX];
    size_t dim_count;
    const char *set, *csv_path;
    size_t rounds, mib;
    double seconds;
} ask;

static const ask ask_default = {.dims = {64, 100, 128, 192, 384, 768, 784, 1024, 1536},
                                .dim_count = 9,
                                .rounds = 7,
                                .mib = 256,
                                .seconds = 2e-3};

static void usage(const char *word) {
    fprintf(stderr,
            "kernels: '%s'?\nusage: kernels [--type T] [--metric M] [--dim D] [--set S] "
            "[--rounds N] [--ms N] [--mib N] [--csv FILE]\n",
            word);
    exit(2);
}

static int type_of(const char *name) {
    for (int type = VS_F32; type < TYPES; type++)
        if (!strcmp(name, type_name(type)))
            return type;
    usage(name);
    return 0;
}

static int metric_of(const char *name) {
    for (int metric = VS_L2; metric < METRICS; metric++)
        if (!strcmp(name, metric_name(metric)))
            return metric;
    usage(name);
    return 0;
}

static size_t number_of(const char *text, size_t most) {
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (*end || !value || value > most)
        usage(text);
    return (size_t)value;
}

static ask ask_read(int argc, char **argv) {
    ask a = ask_default;
    for (int i = 1; i < argc; i += 2) {
        const char *word = argv[i], *value = argv[i + 1];
        if (i + 1 == argc)
            usage(word);
        if (!strcmp(word, "--type"))
            a.type = type_of(value);
        else if (!strcmp(word, "--metric"))
            a.metric = metric_of(value);
        else if (!strcmp(word, "--dim"))
            a.dims[0] = (uint32_t)number_of(value, VS_DIM_MAX), a.dim_count = 1;
        else if (!strcmp(word, "--set"))
            a.set = value;
        else if (!strcmp(word, "--rounds"))
            a.rounds = number_of(value, SAMPLES_MAX);
        else if (!strcmp(word, "--ms"))
            a.seconds = (double)number_of(value, 10000) * 1e-3;
        else if (!strcmp(word, "--mib"))
            a.mib = number_of(value, 65536);
        else if (!strcmp(word, "--csv"))
            a.csv_path = value;
        else
            usage(word);
    }
    return a;
}

/* ---- a loop that only reads ----------------------------------------------------------------- */

/* Eight wide words at a time, written out, or compilers keep the sums in memory; [bytes] a multiple of all of them. */
#define READ_WIDE(name, width)                                                                     \
    typedef uint64_t name##_word __attribute__((vector_size(width)));                              \
    static uint64_t name(const uint8_t *data, size_t bytes) {                                      \
        const name##_word *word = (const name##_word *)(const void *)data;                         \
        const name##_word *end = (const name##_word *)(const void *)(data + bytes);                \
        name##_word a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a;                      \
        for (; word < end; word += 8) {                                                            \
            a ^= word[0], b ^= word[1], c ^= word[2], d ^= word[3];                                \
            e ^= word[4], f ^= word[5], g ^= word[6], h ^= word[7];                                \
        }                                                                                          \
        a ^= b ^ c ^ d ^ e ^ f ^ g ^ h;                                                            \
        uint64_t all = 0;                                                                          \
        for (size_t lane = 0; lane < (width) / 8; lane++)                                          \
            all ^= a[lane];                                                                        \
        return all;                                                                                \
    }

typedef uint64_t read_loop(const uint8_t *data, size_t bytes);

READ_WIDE(read_16, 16)
#ifdef VSI_X86
VSI_TARGET_BEGIN("avx2")
READ_WIDE(read_32, 32)
VSI_TARGET_END
VSI_TARGET_BEGIN("avx512f")
READ_WIDE(read_64, 64)
VSI_TARGET_END
#endif

/* All that the machine can run, the widest last; which is the fastest is not known before. */
static size_t read_loops(read_loop **out) {
    size_t n = 0;
    out[n++] = read_16;
#ifdef VSI_X86
    if (__builtin_cpu_supports("avx2"))
        out[n++] = read_32;
    if (__builtin_cpu_supports("avx512f"))
        out[n++] = read_64;
#endif
    return n;
}

enum {
    READ_LOOPS_MAX = 3,
    READ_STEP = 512 /* bytes: a multiple of what every loop reads at once */
};

/* ---- samples -------------------------------------------------------------------------------- */

typedef struct samples {
    double value[SAMPLES_MAX]; /* bytes a second; the last ones */
    size_t count, next;
    size_t calls; /* of a sample; 0: not known yet */
} samples;

static double median_of(const samples *s) {
    double sorted[SAMPLES_MAX];
    memcpy(sorted, s->value, s->count * sizeof *sorted);
    qsort(sorted, s->count, sizeof *sorted, by_size);
    size_t half = s->count / 2;
    return !s->count ? 0 : s->count % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

/* Something that is called many times, and how many bytes a call reads. */
typedef struct task {
    read_loop *loop; /* or a kernel: */
    vsi_kernel *kernel;
    const void *query;
    const uint8_t *data;
    size_t dim, row_bytes;
    size_t n; /* rows of a call; bytes of a loop */
    size_t room,
        *at; /* calls go from place to place within so many bytes; at: where the next one begins */
    double *out, *norm;
} task;

static volatile uint64_t sink;

static double task_seconds(const task *t, size_t calls) {
    size_t step = t->loop ? t->n : t->n * t->row_bytes;
    double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < calls; i++) {
        const uint8_t *data = t->data + *t->at;
        if (t->loop)
            sink ^= t->loop(data, t->n);
        else
            t->kernel(t->query, data, t->dim, t->n, t->out, t->norm);
        *t->at = *t->at + 2 * step <= t->room ? *t->at + step : 0;
    }
    return seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start;
}

/* One more sample; the first warms up and finds how many calls take as long as is wanted. */
static void task_sample(const task *t, double wanted, samples *s) {
    double step = (double)(t->loop ? t->n : t->n * t->row_bytes);
    for (size_t calls = 1; !s->calls;) {
        double took = task_seconds(t, calls);
        if (took >= wanted / 2)
            s->calls = (size_t)((double)calls * wanted / took) + 1;
        calls *= took < wanted / 16 ? 8 : 2;
    }
    double took = task_seconds(t, s->calls);
    s->value[s->next++ % SAMPLES_MAX] = step * (double)s->calls / took;
    s->count += s->count < SAMPLES_MAX;
}

/* ---- rows ----------------------------------------------------------------------------------- */

/* A set's codes of the dim that is measured. */
typedef struct coder {
    const vsi_codes *kernels;
    vsi_rq *rq;
    vsi_rq_query query;
    void *work; /* of the query */
} coder;

typedef struct bench {
    ask ask;
    const vsi_kernels *sets[SETS_MAX]; /* the lowest first */
    coder coders[SETS_MAX];            /* one of each set */
    size_t set_count;
    vsi_mem mem;
    uint8_t *data;
    size_t data_bytes, room[PLACES], at[PLACES];
    float *floats; /* [VS_DIM_MAX] */
    uint8_t *query;
    double *out, *norm;
    read_loop *loops[READ_LOOPS_MAX];
    size_t loop_count;
    samples limits[READ_LOOPS_MAX][PLACES];
    double limit[PLACES];
    FILE *csv;
} bench;

static void *map_bytes(size_t bytes) {
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        fprintf(stderr, "kernels: no memory for %zu bytes\n", bytes);
        exit(1);
    }
#ifdef MADV_HUGEPAGE
    madvise(p, bytes, MADV_HUGEPAGE);
#endif
    return p;
}

static size_t cache_bytes(int name, size_t otherwise) {
    long bytes = name < 0 ? 0 : sysconf(name);
    return bytes > 0 ? (size_t)bytes : otherwise;
}

static void rooms_choose(bench *b) {
#ifdef _SC_LEVEL1_DCACHE_SIZE
    size_t l1 = cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    size_t l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10);
#else
    size_t l1 = cache_bytes(-1, 32 << 10), l2 = cache_bytes(-1, 512 << 10);
#endif
    b->data_bytes = b->ask.mib << 20;
    b->room[IN_L1] = l1 / 2 / READ_STEP * READ_STEP;
    b->room[IN_L2] = l2 / 2 / READ_STEP * READ_STEP;
    b->room[IN_MEMORY] = b->data_bytes;
}

/* Numbers in 0 .. 1, whole ones for types of whole numbers; no kernel's speed depends on them but on how many
 * are denormal, and none is. */
static void fill(bench *b, int type) {
    enum { PIECE = 1 << 10 }; /* elements */
    uint64_t state = 88172645463325252u;
    vsi_err err;
    size_t piece = vsi_vector_bytes(type, PIECE), filled = 0;
    bool is_whole = type == VS_U8 || type == VS_I8, is_bit = type == VS_BIT;
    for (; filled < 1 << 20; filled += piece) {
        for (size_t i = 0; i < PIECE; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b->floats[i] = is_bit     ? (float)(state >> 63)
                           : is_whole ? (float)(state >> 57)
                                      : (float)(state >> 40) / (float)(1 << 24);
        }
        if (vsi_vector_convert(&err, b->floats, VS_F32, b->data + filled, type, PIECE, NULL) !=
            VS_OK)
            exit(1);
    }
    for (; filled < b->data_bytes; filled += 1 << 20)
        memcpy(b->data + filled, b->data, 1 << 20);
    const int query_type =
        type == VS_F16 || type == VS_BF16 ? VS_F32 : type; /* as kernels take it */
    if (vsi_vector_convert(&err, b->data + piece, type, b->query, query_type, VS_DIM_MAX, NULL) !=
        VS_OK)
        exit(1);
}

static void coder_begin(bench *b, coder *c, const vsi_rq_spec *spec) {
    vsi_err err;
    vsi_rq_free(c->rq);
    if (vsi_rq_create(&err, &b->mem, spec, c->kernels, &c->rq) != VS_OK ||
        !vsi_rq_prepare(c->rq, (const float *)(const void *)b->query, 0, c->work, &c->query)) {
        fprintf(stderr, "kernels: no codes of %u dims\n", (unsigned)spec->dim);
        exit(1);
    }
}

/* Codes of vectors that begin anywhere in the query, which has floats; the same ones again and again. */
static void fill_codes(bench *b, const coder *c) {
    enum { ENCODED = 1 << 10, APART = 61 };
    const float *from = (const float *)(const void *)b->query;
    size_t row_bytes = vsi_rq_row_bytes(c->rq->dim, c->rq->kind);
    size_t n = b->data_bytes / row_bytes, room = VS_DIM_MAX - c->rq->dim + 1;
    n = n < ENCODED ? n : ENCODED;
    for (size_t i = 0; i < n; i++)
        if (!vsi_rq_encode(c->rq, from + i * APART % room, b->out, b->data + i * row_bytes))
            exit(1);
    size_t piece = n * row_bytes, filled = piece;
    for (; filled + piece <= b->data_bytes; filled += piece)
        memcpy(b->data + filled, b->data, piece);
    memcpy(b->data + filled, b->data, b->data_bytes - filled);
}

static void open_bench(bench *b) {
    rooms_choose(b);
    vsi_mem_init(&b->mem, NULL);
    b->data = map_bytes(b->data_bytes);
    b->floats = map_bytes(VS_DIM_MAX * sizeof *b->floats);
    b->query = map_bytes(VS_DIM_MAX * sizeof(float));
    b->out = map_bytes(b->room[IN_L2] * sizeof *b->out);
    b->norm = map_bytes(b->room[IN_L2] * sizeof *b->norm);
    b->loop_count = read_loops(b->loops);
    char names[256];
    snprintf(names, sizeof names, "%s", vsi_kernels_names());
    for (char *end = names + strlen(names); end; end = strrchr(names, ' ')) { /* best first */
        *end = 0;
        const char *last = strrchr(names, ' ');
        const vsi_kernels *set = vsi_kernels_choose(last ? last + 1 : names);
        if (!set || b->set_count == SETS_MAX)
            continue;
        b->coders[b->set_count].kernels = vsi_codes_choose(set->name);
        b->coders[b->set_count].work = map_bytes(vsi_rq_work_bytes(VS_DIM_MAX));
        b->sets[b->set_count++] = set;
    }
}

/* ---- kernels for codes ---------------------------------------------------------------------- */

/* What a search does with codes in the form of a kernel for vectors; query is a prepared one. Results go where compilers
 * have to leave them. */

static void code_dot(const void *query, const void *rows, size_t dim, size_t n, double *out,
                     double *norm) {
    const vsi_rq_query *prepared = query;
    const uint8_t *first = rows;
    size_t stride = vsi_rq_row_bytes((uint32_t)dim, prepared->rq->kind);
    vsi_code_rows tile;
    (void)norm;
    for (size_t i = 0; i < n; i += tile.n)
        tile = rq_tile(prepared, first + i * stride, stride, n - i, (int32_t *)(void *)out);
}

static void code_bounds(const void *query, const void *rows, size_t dim, size_t n, double *out,
                        double *norm) {
    const vsi_rq_query *prepared = query;
    size_t stride = vsi_rq_row_bytes((uint32_t)dim, prepared->rq->kind);
    (void)norm;
    vsi_rq_bounds(prepared, rows, stride, n, (float *)(void *)out, NULL);
}

/* Rows are queries: each is prepared into norm, with out as its memory. */
static void code_prepare(const void *query, const void *rows, size_t dim, size_t n, double *out,
                         double *norm) {
    const vsi_rq *rq = ((const vsi_rq_query *)query)->rq;
    const float *first = rows;
    for (size_t i = 0; i < n; i++)
        sink ^= vsi_rq_prepare(rq, first + i * dim, 0, out, (vsi_rq_query *)(void *)norm);
}

/* Whether two sets have the same kernels for what is measured of a type. */
static bool codes_agree(const vsi_codes *a, const vsi_codes *b, int type) {
    size_t at = vsi_code_kernel(kind_of(type));
    if (type != TYPE_QUERY)
        return a->dot[at] == b->dot[at] && a->bounds == b->bounds;
    return a->mix == b->mix && a->hadamard == b->hadamard && a->scale == b->scale &&
           a->product == b->product && a->residual == b->residual && a->bytes == b->bytes;
}

/* ---- measuring ------------------------------------------------------------------------------ */

/* The kernel of one set at one place. */
typedef struct figure {
    const char *set, *lower; /* lower: the set whose kernel would serve; NULL: there is none */
    samples samples[PLACES];
    double rate[PLACES], lower_rate[PLACES];
} figure;

/* A kernel: those of all sets that have one of their own. */
typedef struct row {
    int type, metric;
    uint32_t dim;
    place places; /* those before it are measured */
    size_t row_bytes, count;
    figure figures[SETS_MAX];
    vsi_kernel *kernels[SETS_MAX];
    const void *queries[SETS_MAX];
} row;

static void row_add(row *r, const char *set, vsi_kernel *kernel, const void *query) {
    r->figures[r->count].set = set;
    r->figures[r->count].lower = r->count ? r->figures[r->count - 1].set : NULL;
    r->queries[r->count] = query;
    r->kernels[r->count++] = kernel;
}

static row row_of(const bench *b, int type, int metric, uint32_t dim) {
    row r = {.type = type, .metric = metric, .dim = dim, .places = PLACES};
    r.row_bytes = vsi_vector_bytes(type, dim);
    for (size_t i = 0; i < b->set_count; i++) {
        vsi_kernel *kernel = vsi_kernels_find(b->sets[i], type, metric);
        bool is_own = true;
        for (size_t j = 0; j < r.count; j++)
            is_own = is_own && r.kernels[j] != kernel;
        if (is_own)
            row_add(&r, b->sets[i]->name, kernel, b->query);
    }
    return r;
}

/* Makes the codes as well. */
static row code_row_of(bench *b, int type, int metric, uint32_t dim) {
    bool is_query = type == TYPE_QUERY;
    row r = {.type = type, .metric = metric, .dim = dim, .places = is_query ? IN_L2 : PLACES};
    vsi_rq_spec spec = {
        .dim = dim, .kind = kind_of(type), .metric = is_query ? metric : VS_L2, .seed = 1};
    vsi_kernel *kernel = is_query ? code_prepare : metric == METRIC_DOT ? code_dot : code_bounds;
    const coder *last = NULL;
    r.row_bytes = is_query ? vsi_vector_bytes(VS_F32, dim) : vsi_rq_row_bytes(dim, spec.kind);
    for (size_t i = 0; i < b->set_count; i++) {
        coder *c = &b->coders[i];
        if (!c->kernels || (last && codes_agree(last->kernels, c->kernels, type)))
            continue;
        coder_begin(b, c, &spec);
        row_add(&r, c->kernels->name, kernel, &c->query);
        last = c;
    }
    if (!is_query)
        fill_codes(b, last);
    return r;
}

/* Memory is read on from where the sample before ended, so that it is in no cache. */
static void place_begin(bench *b, place p, size_t unit_bytes, size_t call_bytes) {
    size_t at = b->at[p] / unit_bytes * unit_bytes;
    b->at[p] = p == IN_MEMORY && at + call_bytes <= b->room[p] ? at : 0;
}

static void sample_limits(bench *b) {
    for (size_t i = 0; i < b->loop_count; i++)
        for (place p = IN_L1; p < PLACES; p++) {
            samples *s = &b->limits[i][p];
            size_t n = p == IN_MEMORY ? b->room[IN_L1] : b->room[p];
            task t = {
                .loop = b->loops[i], .data = b->data, .n = n, .room = b->room[p], .at = &b->at[p]};
            place_begin(b, p, READ_STEP, n);
            task_sample(&t, b->ask.seconds, s);
        }
}

/* What the kernel writes has room there as well. */
static size_t rows_of_call(const bench *b, const row *r, place p) {
    size_t n = b->room[p] / (r->row_bytes + 2 * sizeof(double));
    if (p == IN_MEMORY && n > TILE_ROWS)
        return TILE_ROWS;
    return n ? n : 1;
}

static void sample_row(bench *b, row *r, place p) {
    size_t n = rows_of_call(b, r, p);
    for (size_t i = 0; i < r->count; i++) {
        task t = {.kernel = r->kernels[i],
                  .query = r->queries[i],
                  .data = b->data,
                  .dim = r->dim,
                  .row_bytes = r->row_bytes,
                  .n = n,
                  .room = p == IN_MEMORY ? b->room[p] : n * r->row_bytes,
                  .at = &b->at[p],
                  .out = b->out,
                  .norm = b->norm};
        place_begin(b, p, r->row_bytes, n * r->row_bytes);
        task_sample(&t, b->ask.seconds, &r->figures[i].samples[p]);
    }
}

static void measure_row(bench *b, row *r) {
    for (size_t round = 0; round < b->ask.rounds; round++)
        for (place p = IN_L1; p < r->places; p++)
            sample_row(b, r, p);
    sample_limits(b);
    for (size_t i = 0; i < r->count; i++)
        for (place p = IN_L1; p < r->places; p++) {
            r->figures[i].rate[p] = median_of(&r->figures[i].samples[p]);
            r->figures[i].lower_rate[p] = i ? r->figures[i - 1].rate[p] : 0;
        }
}

/* ---- printing ------------------------------------------------------------------------------- */

static void limits_take(bench *b) {
    for (place p = IN_L1; p < PLACES; p++)
        for (size_t i = 0; i < b->loop_count; i++) {
            double rate = median_of(&b->limits[i][p]);
            b->limit[p] = rate > b->limit[p] ? rate : b->limit[p];
        }
}

static bool is_wanted(const bench *b, const figure *f) {
    return !b->ask.set || !strcmp(b->ask.set, f->set);
}

static void print_row(const bench *b, const row *r) {
    for (size_t i = 0; i < r->count; i++) {
        const figure *f = &r->figures[i];
        if (!is_wanted(b, f))
            continue;
        printf("| %s | %s | %u | %s |", type_name(r->type), metric_name(r->metric),
               (unsigned)r->dim, f->set);
        for (place p = IN_L1; p < r->places; p++) {
            printf(" %.*f | %.2f |", f->rate[p] < 1e9 ? 2 : 1, f->rate[p] / 1e9,
                   f->rate[p] / b->limit[p]);
            if (f->lower)
                printf(" %.2f |", f->rate[p] / f->lower_rate[p]);
            else
                printf(" |");
        }
        printf(" %.2f |\n", f->rate[IN_MEMORY] / (double)r->row_bytes / 1e6);
    }
}

static void print_query(const bench *b, const row *r) {
    for (size_t i = 0; i < r->count; i++) {
        const figure *f = &r->figures[i];
        if (!is_wanted(b, f))
            continue;
        printf("| %s | %u | %s | %.2f |", metric_name(r->metric), (unsigned)r->dim, f->set,
               (double)r->row_bytes / f->rate[IN_L1] * 1e6);
        if (f->lower)
            printf(" %.2f |\n", f->rate[IN_L1] / f->lower_rate[IN_L1]);
        else
            printf(" |\n");
    }
}

static void write_csv(const bench *b, const row *r) {
    for (size_t i = 0; i < r->count; i++)
        for (place p = IN_L1; p < r->places; p++) {
            const figure *f = &r->figures[i];
            if (!is_wanted(b, f))
                continue;
            fprintf(b->csv, "%s,%s,%u,%s,%s,%.4f,%.0f,%.4f,%.4f,%s,", type_name(r->type),
                    metric_name(r->metric), (unsigned)r->dim, f->set, place_names[p],
                    f->rate[p] / 1e9, f->rate[p] / (double)r->row_bytes, b->limit[p] / 1e9,
                    f->rate[p] / b->limit[p], f->lower ? f->lower : "");
            fprintf(b->csv, f->lower ? "%.4f\n" : "\n", f->rate[p] / f->lower_rate[p]);
        }
}

/* A kernel that does not win at any place is not worth its code. */
static bool wins(const figure *f) {
    bool somewhere = !f->lower;
    for (place p = IN_L1; p < PLACES; p++)
        somewhere = somewhere || f->rate[p] > 1.05 * f->lower_rate[p];
    return somewhere;
}

static void print_losers(const bench *b, const row *rows, size_t count) {
    char line[LINE_BYTES] = "";
    for (size_t at = 0; at < count; at++)
        for (size_t i = 0; i < rows[at].count; i++) {
            const figure *f = &rows[at].figures[i];
            size_t n = strlen(line);
            if (is_wanted(b, f) && !wins(f) && n + 64 < sizeof line)
                snprintf(line + n, sizeof line - n, "%s%s %s %s %u", n ? ", " : "", f->set,
                         type_name(rows[at].type), metric_name(rows[at].metric),
                         (unsigned)rows[at].dim);
        }
    printf("\nNowhere 1.05 times as fast as the next lower set: %s.\n", *line ? line : "none");
}

static void print_rows(const bench *b, const row *rows, size_t count) {
    printf("Of each place: GB/s of rows, that to reading alone, and to the next lower set.\n"
           "\n| type | metric | dim | set | L1 GB/s | limit | lower | L2 GB/s | limit | lower | "
           "memory GB/s | limit | lower | million rows/s |\n"
           "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++)
        print_row(b, &rows[i]);
}

static void print_queries(const bench *b, const row *rows, size_t count) {
    printf("\nTo prepare a query for codes, and the next lower set's time to that.\n"
           "\n| metric | dim | set | us | lower |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < count; i++)
        print_query(b, &rows[i]);
}

static void print_all(const bench *b, const row *rows, size_t count) {
    size_t scanned = 0;
    while (scanned < count && rows[scanned].type != TYPE_QUERY)
        scanned++;
    printf("Reading alone, GB/s: L1 (%zu KiB) %.1f, L2 (%zu KiB) %.1f, memory (%zu MiB) %.1f. "
           "Sets: %s.\n",
           b->room[IN_L1] >> 10, b->limit[IN_L1] / 1e9, b->room[IN_L2] >> 10, b->limit[IN_L2] / 1e9,
           b->ask.mib, b->limit[IN_MEMORY] / 1e9, vsi_kernels_names());
    printf("Medians of %zu rounds.\n", b->ask.rounds);
    if (scanned)
        print_rows(b, rows, scanned);
    if (scanned < count)
        print_queries(b, rows + scanned, count - scanned);
    print_losers(b, rows, count);
}

static void csv_all(bench *b, const row *rows, size_t count) {
    b->csv = fopen(b->ask.csv_path, "w");
    if (!b->csv)
        usage(b->ask.csv_path);
    fprintf(b->csv, "type,metric,dim,set,place,gb_per_s,rows_per_s,limit_gb_per_s,of_limit,lower_"
                    "set,to_lower\n");
    for (size_t i = 0; i < count; i++)
        write_csv(b, &rows[i]);
    fclose(b->csv);
}

/* All kernels of a type; returns how many there are now. */
static size_t measure_type(bench *b, int type, row *rows, size_t count) {
    bool is_vector = type < VSI_TYPES;
    fill(b, is_vector ? type : VS_F32);
    for (int metric = VS_L2; metric < METRICS; metric++) {
        if (!metric_fits(metric, type) || (b->ask.metric && b->ask.metric != metric))
            continue;
        fprintf(stderr, "%s %s\n", type_name(type), metric_name(metric));
        for (size_t i = 0; i < b->ask.dim_count; i++) {
            uint32_t dim = b->ask.dims[i];
            rows[count] =
                is_vector ? row_of(b, type, metric, dim) : code_row_of(b, type, metric, dim);
            measure_row(b, &rows[count++]);
        }
    }
    return count;
}

int main(int argc, char **argv) {
    static bench b;
    static row rows[TYPES * METRICS * DIMS_MAX];
    size_t count = 0;
    b.ask = ask_read(argc, argv);
    open_bench(&b);
    if (b.ask.set && !vsi_kernels_choose(b.ask.set))
        usage(b.ask.set);
    for (int type = VS_F32; type < TYPES; type++)
        if (!b.ask.type || b.ask.type == type)
            count = measure_type(&b, type, rows, count);
    limits_take(&b);
    print_all(&b, rows, count);
    if (b.ask.csv_path)
        csv_all(&b, rows, count);
    return 0;
}
