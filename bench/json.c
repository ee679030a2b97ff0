/* json.c - how fast JSON with vectors is read and written, in one run with what others would do.
 *
 *   build/bench/json [DIM [ROUNDS]]
 *
 * Texts of 8 MiB: records of one vector each, the elements printed with 7, 9 and 17 significant digits and as
 * vs_json_write_float has them. Each round measures everything once, in turn; medians of the rounds, in MB of text
 * per second. memcpy is what the machine can do at all, strtod what a reader on the C library would take for the
 * numbers alone. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

enum { TEXT_BYTES = 8 << 20, ROUNDS_MAX = 99, KINDS = 4, WAYS = 8 };

static char text[TEXT_BYTES + 1], copy[TEXT_BYTES + 1];
static float values[1 << 16];
static volatile double sink; /* so that nothing is left out */

static double uniform(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / (double)((uint64_t)1 << 53);
}

static size_t print_element(int kind, double value, char *out) {
    static const int digits[KINDS] = {7, 9, 17, 0};
    size_t n = 0;
    if (digits[kind])
        return (size_t)sprintf(out, "%.*g", digits[kind], value);
    need(vs_json_write_float((float)value, out, 32, &n), NULL);
    return n;
}

static size_t make_text(int kind, int dim) {
    size_t n = 0;
    for (int record = 0; n + 64 + 28 * (size_t)dim < TEXT_BYTES; record++) {
        n += (size_t)sprintf(text + n, "{\"key\":%d,\"title\":\"record %d\",\"vector\":[", record,
                             record);
        for (int i = 0; i < dim; i++) {
            n += print_element(kind, (uniform() - 0.5) / 4, text + n);
            text[n++] = i + 1 < dim ? ',' : ']';
        }
        n += (size_t)sprintf(text + n, "}\n");
    }
    text[n] = 0;
    return n;
}

static void way_memcpy(size_t bytes) {
    memcpy(copy, text, bytes);
    sink += copy[bytes / 2];
}

/* From number to number, as if all else cost nothing. */
static void way_strtod(size_t bytes) {
    double sum = 0;
    for (const char *p = text; (p = memchr(p, '[', (size_t)(text + bytes - p)));) {
        char *end = NULL;
        do {
            sum += strtod(p + 1, &end);
            p = end;
        } while (*p == ',');
    }
    sink += sum;
}

static void way_strtof(size_t bytes) {
    float sum = 0;
    for (const char *p = text; (p = memchr(p, '[', (size_t)(text + bytes - p)));) {
        char *end = NULL;
        do {
            sum += strtof(p + 1, &end);
            p = end;
        } while (*p == ',');
    }
    sink += (double)sum;
}

/* Token by token; of arrays of numbers the values as said. */
static void walk(size_t bytes, int how) {
    vs_json reader;
    int token = 0;
    double value = 0, sum = 0;
    need(vs_json_begin(&reader, text, bytes, VS_JSON_STREAM), NULL);
    while ((token = vs_json_next(&reader)) > 0) {
        size_t count = 0;
        if (token == VS_JSON_ARRAY_BEGIN && how == 2) {
            need(vs_json_floats(&reader, values, sizeof values / sizeof values[0], &count), NULL);
            sum += (double)values[count / 2];
        }
        if (token == VS_JSON_NUMBER && how == 1) {
            need(vs_json_double(&reader, &value), NULL);
            sum += value;
        }
    }
    if (token != VS_JSON_END)
        exit(1);
    sink += sum;
}

static void way_floats(size_t bytes) {
    walk(bytes, 2);
}

static void way_doubles(size_t bytes) {
    walk(bytes, 1);
}

static void way_tokens(size_t bytes) {
    walk(bytes, 0);
}

/* The same number of bytes written, with vs_json_write_float and with printf. */
static void way_write(size_t bytes) {
    size_t n = 0, m = 0;
    for (size_t i = 0; n + 32 < bytes; i++, n += m)
        need(vs_json_write_float(values[i % 64], copy + n, 32, &m), NULL);
    sink += copy[n / 2];
}

static void way_printf(size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; n + 32 < bytes; i++)
        n += (size_t)sprintf(copy + n, "%.9g", (double)values[i % 64]);
    sink += copy[n / 2];
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(int kind, int dim, int rounds) {
    static const char *const kinds[KINDS] = {"%.7g", "%.9g", "%.17g", "shortest float"};
    static void (*const ways[WAYS])(size_t) = {way_memcpy, way_strtod,  way_strtof, way_floats,
                                               way_tokens, way_doubles, way_write,  way_printf};
    static double speed[WAYS][ROUNDS_MAX];
    size_t bytes = make_text(kind, dim);
    for (int i = 0; i < 64; i++)
        values[i] = (float)((uniform() - 0.5) / 4);
    for (int round = -1; round < rounds; round++)
        for (int way = 0; way < WAYS; way++) {
            double start = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
            ways[way](bytes);
            if (round >= 0)
                speed[way][round] =
                    (double)bytes / 1e6 / (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start);
        }
    printf("| %s |", kinds[kind]);
    for (int way = 0; way < WAYS; way++) {
        qsort(speed[way], (size_t)rounds, sizeof(double), by_value);
        printf(" %.0f |", speed[way][rounds / 2]);
    }
    printf(" %.1f |\n", speed[3][rounds / 2] / speed[1][rounds / 2]);
}

int main(int argc, char **argv) {
    int dim = argc > 1 ? atoi(argv[1]) : 384, rounds = argc > 2 ? atoi(argv[2]) : 9;
    if (dim < 1 || dim > 1 << 16 || rounds < 1 || rounds > ROUNDS_MAX)
        return 2;
    printf("| elements | memcpy | strtod | strtof | vs_json_floats | tokens | tokens and doubles | "
           "write_float "
           "| printf %%.9g | floats / strtod |\n|---|---|---|---|---|---|---|---|---|---|\n");
    for (int kind = 0; kind < KINDS; kind++)
        measure(kind, dim, rounds);
    return 0;
}
