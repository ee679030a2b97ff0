/* makevecs.c - what the shell's tests need beyond coreutils; libc only, nothing of vecstore.
 *
 *   makevecs rows fvecs|bvecs|ivecs       every line of numbers on stdin becomes a row on stdout;
 *                                         "dim=N" before the numbers writes another dimension;
 *                                         raw: floats and nothing else
 *   makevecs random fvecs|bvecs ROWS DIM  rows of pseudo-random elements, the same in every run
 *   makevecs text fvecs|bvecs|ivecs       the reverse of rows
 *   makevecs nearest METRIC K BASE QUERY  the K nearest rows of BASE for each row of QUERY as ivecs:
 *                                         a loop over everything, equal distances by lower row
 *   makevecs drained                      ends when the pipe that is its stdin is empty
 *   makevecs zst                          stdin as a zstd frame of blocks that are not compressed
 *   makevecs json                         ends with 1 unless every line of stdin is one JSON value
 *   makevecs peak FILE COMMAND...         runs a command and writes its peak memory in KiB to FILE
 *
 * Files of vectors are little-endian on every machine: int32 dimension, then the elements. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_BYTES = 1 << 20,
    ROW_ELEMENTS_MAX = 1 << 16,
    ZST_BLOCK_BYTES = 100000, /* no divisor of anything */
    JSON_DEPTH_MAX = 64
};

static int fail(const char *what, const char *detail) {
    fprintf(stderr, "makevecs: %s: %s\n", what, detail);
    return 1;
}

static void put_u32(uint32_t word) {
    for (int shift = 0; shift < 32; shift += 8)
        putchar((int)(word >> shift & 255));
}

static void put_element(char kind, double value) {
    if (kind == 'b') {
        putchar((int)value);
    } else if (kind == 'i') {
        put_u32((uint32_t)(int32_t)value);
    } else {
        float single = (float)value;
        uint32_t word;
        memcpy(&word, &single, sizeof word);
        put_u32(word);
    }
}

/* ---- files of vectors ----------------------------------------------------------------------- */

static int make_rows(const char *kind) {
    char *line = malloc(LINE_BYTES);
    double *values = malloc(ROW_ELEMENTS_MAX * sizeof *values);
    if (!line || !values)
        return fail("rows", "out of memory");
    while (fgets(line, LINE_BYTES, stdin)) {
        char *p = line, *end = NULL;
        bool has_dim = !strncmp(p, "dim=", 4);
        uint32_t dim = has_dim ? (uint32_t)strtoll(p + 4, &p, 10) : 0, n = 0;
        for (; n < ROW_ELEMENTS_MAX; n++, p = end) {
            values[n] = strtod(p, &end);
            if (end == p)
                break;
        }
        if (p[strspn(p, " \n")])
            return fail("rows: not a number", p);
        if (strcmp(kind, "raw") != 0)
            put_u32(has_dim ? dim : n);
        for (uint32_t i = 0; i < n; i++)
            put_element(kind[0], values[i]);
    }
    free(line);
    free(values);
    return 0;
}

static int make_random(const char *kind, long rows, long dim) {
    /* xorshift64: Marsaglia, 2003, doi:10.18637/jss.v008.i14 */
    uint64_t state = 88172645463325252u;
    for (long i = 0; i < rows; i++) {
        put_u32((uint32_t)dim);
        for (long j = 0; j < dim; j++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            put_element(kind[0], (double)(state >> 40) / (kind[0] == 'b' ? 65536 : 16777216));
        }
    }
    return 0;
}

/* Rows of doubles read from a file of vectors; dim is that of row 0. */
typedef struct table {
    double *values;
    size_t rows, dim;
} table;

static uint32_t get_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static double get_element(char kind, const unsigned char *p) {
    uint32_t word = kind == 'b' ? *p : get_u32(p);
    float single;
    if (kind == 'b')
        return (double)word;
    if (kind == 'i')
        return (double)(int32_t)word;
    memcpy(&single, &word, sizeof single);
    return (double)single;
}

static int read_table(FILE *in, char kind, table *out) {
    static unsigned char bytes[4 * ROW_ELEMENTS_MAX];
    unsigned char head[4];
    size_t cap = 0, width = kind == 'b' ? 1 : 4;
    memset(out, 0, sizeof *out);
    while (fread(head, 1, 4, in) == 4) {
        uint32_t dim = get_u32(head);
        out->dim = out->rows ? out->dim : dim;
        if (dim != out->dim || dim > ROW_ELEMENTS_MAX || fread(bytes, width, dim, in) != dim)
            return fail("table", "malformed row");
        if (out->rows == cap) {
            cap = cap ? 2 * cap : 64;
            double *grown = realloc(out->values, cap * dim * sizeof *grown);
            if (!grown)
                return fail("table", "out of memory");
            out->values = grown;
        }
        for (size_t i = 0; i < dim; i++)
            out->values[out->rows * dim + i] = get_element(kind, bytes + i * width);
        out->rows++;
    }
    return 0;
}

static int print_text(const char *kind) {
    table t;
    int result = read_table(stdin, kind[0], &t);
    for (size_t row = 0; !result && row < t.rows; row++)
        for (size_t i = 0; i < t.dim; i++)
            printf("%.17g%c", t.values[row * t.dim + i], i + 1 == t.dim ? '\n' : ' ');
    free(t.values);
    return result;
}

static int load_table(const char *path, table *out) {
    const char *dot = strrchr(path, '.');
    FILE *in = fopen(path, "rb");
    if (!in || !dot)
        return fail(path, "cannot be read");
    int result = read_table(in, dot[1], out);
    fclose(in);
    return result;
}

/* As vecstore.h defines it. Whole numbers below 256 make sums that double holds exactly. */
/* Hamming and Jaccard of vectors of zeros and ones. */
static double distance(const char *metric, const double *a, const double *b, size_t dim) {
    double l2 = 0, l1 = 0, dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < dim; i++) {
        l1 += fabs(a[i] - b[i]);
        l2 += (a[i] - b[i]) * (a[i] - b[i]);
        dot += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    if (!strcmp(metric, "l2"))
        return l2;
    if (!strcmp(metric, "l1") || !strcmp(metric, "hamming"))
        return l1;
    if (!strcmp(metric, "ip"))
        return -dot;
    if (!strcmp(metric, "jaccard"))
        return aa + bb == 0 ? 0 : 1 - dot / (aa + bb - dot);
    return aa == 0 || bb == 0 ? 1 : 1 - dot / sqrt(aa * bb);
}

static int make_nearest(const char *metric, size_t k, const char *base, const char *query) {
    table b, q;
    if (load_table(base, &b) || load_table(query, &q) || b.dim != q.dim || k < 1)
        return fail("nearest", "no tables of one dimension");
    double *best = malloc((k + 1) * sizeof *best);
    size_t *row_of = malloc((k + 1) * sizeof *row_of);
    if (!best || !row_of)
        return fail("nearest", "out of memory");
    for (size_t i = 0; i < q.rows; i++) {
        size_t n = 0;
        for (size_t row = 0; row < b.rows; row++) {
            double d = distance(metric, q.values + i * q.dim, b.values + row * b.dim, b.dim);
            size_t at = n;
            for (; at > 0 && best[at - 1] > d; at--) {
                best[at] = best[at - 1];
                row_of[at] = row_of[at - 1];
            }
            best[at] = d;
            row_of[at] = row;
            n += n < k;
        }
        put_u32((uint32_t)k);
        for (size_t at = 0; at < k; at++)
            put_element('i', at < n ? (double)row_of[at] : -1);
    }
    free(best);
    free(row_of);
    free(b.values);
    free(q.values);
    return 0;
}

/* A pipe that is empty has been read: what stands behind it in the reader was asked for. */
static int wait_drained(void) {
    const struct timespec pause = {.tv_nsec = 500000};
    int bytes = 1;
    while (!ioctl(STDIN_FILENO, FIONREAD, &bytes) && bytes > 0)
        nanosleep(&pause, NULL);
    return bytes > 0 ? fail("drained", strerror(errno)) : 0;
}

/* RFC 8878: magic, a header without size or checksum and with a window of 128 KiB, raw blocks. */
static int make_zst(void) {
    static const unsigned char head[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38};
    static unsigned char bytes[ZST_BLOCK_BYTES];
    fwrite(head, 1, sizeof head, stdout);
    bool is_last = false;
    while (!is_last) {
        size_t n = fread(bytes, 1, sizeof bytes, stdin);
        int next = n == sizeof bytes ? getchar() : EOF;
        is_last = next == EOF;
        if (!is_last)
            ungetc(next, stdin);
        uint32_t block = (uint32_t)is_last | (uint32_t)n << 3;
        for (int shift = 0; shift < 24; shift += 8)
            putchar((int)(block >> shift & 255));
        fwrite(bytes, 1, n, stdout);
    }
    return 0;
}

/* ---- JSON ----------------------------------------------------------------------------------- */

/* Each moves *p behind what it accepts. */
static bool json_literal(const char **p, const char *word) {
    size_t n = strlen(word);
    bool ok = !strncmp(*p, word, n);
    *p += ok ? n : 0;
    return ok;
}

static bool json_digits(const char **p) {
    size_t n = strspn(*p, "0123456789");
    *p += n;
    return n > 0;
}

static bool json_number(const char **p) {
    json_literal(p, "-");
    if (!json_literal(p, "0") && !json_digits(p))
        return false;
    if (json_literal(p, ".") && !json_digits(p))
        return false;
    if (!json_literal(p, "e") && !json_literal(p, "E"))
        return true;
    if (!json_literal(p, "+"))
        json_literal(p, "-");
    return json_digits(p);
}

/* One well-formed character of UTF-8, the shortest form, no surrogate. */
static bool utf8_character(const char **p) {
    const unsigned char *s = (const unsigned char *)*p;
    int more = s[0] < 0x80 ? 0 : s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : 1;
    uint32_t code = more ? s[0] & (0x3fu >> more) : s[0];
    for (int i = 1; i <= more; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return false;
        code = code << 6 | (s[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    *p += more + 1;
    return code >= least[more] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) &&
           (s[0] < 0x80 || s[0] >= 0xc0);
}

static bool json_string(const char **p) {
    if (!json_literal(p, "\""))
        return false;
    while (**p != '"') {
        if ((unsigned char)**p < 0x20)
            return false;
        if (!json_literal(p, "\\")) {
            if (!utf8_character(p))
                return false;
        } else if (json_literal(p, "u")) {
            if (strspn(*p, "0123456789abcdefABCDEF") < 4)
                return false;
            *p += 4;
        } else if (**p && strchr("\"\\/bfnrt", **p)) {
            (*p)++;
        } else {
            return false;
        }
    }
    (*p)++;
    return true;
}

static bool json_scalar(const char **p) {
    if (**p == '"')
        return json_string(p);
    return json_literal(p, "true") || json_literal(p, "false") || json_literal(p, "null") ||
           json_number(p);
}

/* The name in front of a member's value. */
static bool json_name(const char **p) {
    return json_string(p) && json_literal(p, ":");
}

/* A value without white space between its parts, as the command writes it. closers is the stack of
 * brackets that are still open. */
static bool json_value(const char **p) {
    char closers[JSON_DEPTH_MAX];
    int depth = 0;
    for (;;) {
        bool is_object = **p == '{', is_open = is_object || **p == '[', is_empty = false;
        if (is_open) {
            if (depth == JSON_DEPTH_MAX)
                return false;
            closers[depth++] = is_object ? '}' : ']';
            (*p)++;
            is_empty = **p == closers[depth - 1];
            if (!is_empty && is_object && !json_name(p))
                return false;
            if (!is_empty)
                continue;
        } else if (!json_scalar(p)) {
            return false;
        }
        while (depth > 0 && **p == closers[depth - 1]) {
            depth--;
            (*p)++;
        }
        if (depth == 0)
            return true;
        if (!json_literal(p, ",") || (closers[depth - 1] == '}' && !json_name(p)))
            return false;
    }
}

static int check_json(void) {
    char *line = malloc(LINE_BYTES);
    long number = 1;
    if (!line)
        return fail("json", "out of memory");
    for (; fgets(line, LINE_BYTES, stdin); number++) {
        const char *p = line;
        if (!json_value(&p) || strcmp(p, "\n")) {
            fprintf(stderr, "makevecs: json: line %ld, byte %td: %.60s\n", number, p - line, p);
            return 1;
        }
    }
    free(line);
    return number > 1 ? 0 : fail("json", "no line");
}

/* ---- memory --------------------------------------------------------------------------------- */

static int run_peak(const char *path, char **command) {
    int status = 0;
    struct rusage usage;
    pid_t pid = fork();
    if (pid == 0) {
        execvp(command[0], command);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
        return fail("peak", strerror(errno));
    FILE *f = fopen(path, "w");
    if (!f || fprintf(f, "%ld\n", usage.ru_maxrss) < 0 || fclose(f))
        return fail(path, strerror(errno));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int result = -1;
    if (!strcmp(what, "rows") && argc == 3)
        result = make_rows(argv[2]);
    else if (!strcmp(what, "random") && argc == 5)
        result = make_random(argv[2], atol(argv[3]), atol(argv[4]));
    else if (!strcmp(what, "text") && argc == 3)
        result = print_text(argv[2]);
    else if (!strcmp(what, "nearest") && argc == 6)
        result = make_nearest(argv[2], strtoul(argv[3], NULL, 10), argv[4], argv[5]);
    else if (!strcmp(what, "drained") && argc == 2)
        result = wait_drained();
    else if (!strcmp(what, "zst") && argc == 2)
        result = make_zst();
    else if (!strcmp(what, "json") && argc == 2)
        result = check_json();
    else if (!strcmp(what, "peak") && argc > 3)
        result = run_peak(argv[2], argv + 3);
    if (result < 0)
        return fail("wrong usage", "its source begins with a list");
    if (fflush(stdout) || ferror(stdout))
        return fail("stdout", "cannot be written");
    return result;
}
