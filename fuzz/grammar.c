/* grammar.c - fuzz target: what is typed at the shell, and what it prints.
 *
 *   byte 0   0: lines split into words; 1: cells printed in every mode; 2: a query as JSON; 3: numbers and names
 *
 * Words: another splitter, written from words.h, finds the same ones; quoted as text_quote does they split
 * into themselves. Rows: csv, tsv and jsonl read back as the cells that were given, and no mode for reading
 * prints a control character. JSON: no byte is written outside of the text's copy. */
#define _POSIX_C_SOURCE 200809L
#include "command.h"
#include "query.h"
#include "target.h"
#include "text.h"
#include "words.h"
#include <stdlib.h>
#include <string.h>

enum { CELLS_MAX = 64, COLUMNS = 2 };

/* ---- the shell, without a command line and without messages ----------------------------------- */

void *shell_realloc(void *ptr, size_t bytes) {
    void *grown = realloc(ptr, bytes ? bytes : 1);
    require(grown, "memory", "a size that no such input needs");
    return grown;
}

void *shell_alloc(size_t bytes) {
    return shell_realloc(NULL, bytes);
}

int shell_usage(const shell_call *call, const char *format, ...) {
    require(call && *format, "usage", "without words");
    return SHELL_USAGE;
}

int command_add_option(shell_call *call, const char *name, const char *value) {
    require(*name == '-' && strlen(name) < 40, "option", name);
    require(call->option_count >= 0, "option", "taken back before it came");
    call->option_count++;
    return value && strlen(value) > 100000 ? SHELL_USAGE : SHELL_OK; /* reads all of it */
}

/* ---- words ------------------------------------------------------------------------------------ */

/* The reference: looks at the whole text, with a place in it. */
typedef struct reference {
    const char *p, *end;
    char *out;
    bool is_open; /* it ends in a quote, or in a line that is joined to nothing */
} reference;

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The bytes of a backslash with the end of its line. */
static size_t joint(const reference *r) {
    const char *p = r->p + 1;
    p += p < r->end && *p == '\r' && (p + 1 == r->end || p[1] == '\n');
    if (*r->p != '\\' || (p < r->end && *p != '\n'))
        return 0;
    return (size_t)(p - r->p) + (p < r->end);
}

static bool reference_skip(reference *r) {
    while (r->p < r->end) {
        size_t n = joint(r);
        if (n) {
            r->p += n;
            r->is_open = r->p == r->end && r->p[-1] != '\n';
        } else if (*r->p == '#') {
            while (r->p < r->end && *r->p != '\n')
                r->p++;
        } else if (is_space(*r->p)) {
            r->p++;
        } else {
            return true;
        }
    }
    return false;
}

static void reference_quoted(reference *r) {
    char quote = *r->p++;
    while (r->p < r->end && *r->p != quote) {
        size_t n = quote == '"' ? joint(r) : 0;
        bool is_escape = quote == '"' && *r->p == '\\' && r->p + 1 < r->end &&
                         (r->p[1] == '"' || r->p[1] == '\\');
        r->p += n ? n : is_escape;
        if (!n)
            *r->out++ = *r->p++;
    }
    r->is_open = r->p == r->end;
    r->p += r->p < r->end;
}

static void reference_word(reference *r) {
    while (!r->is_open && r->p < r->end && !is_space(*r->p)) {
        size_t n = joint(r);
        if (n) {
            r->p += n;
            r->is_open = r->p == r->end && r->p[-1] != '\n';
        } else if (*r->p == '\'' || *r->p == '"') {
            reference_quoted(r);
        } else {
            r->p += *r->p == '\\';
            *r->out++ = *r->p++;
        }
    }
    *r->out++ = 0;
}

/* All words, a NUL behind each. */
static char *reference_split(const char *text, size_t bytes, size_t *out_count, bool *out_open) {
    char *all = shell_alloc(2 * bytes + 2);
    reference r = {text, text + bytes, all, false};
    *out_count = 0;
    while (reference_skip(&r)) {
        reference_word(&r);
        ++*out_count;
    }
    *out_open = r.is_open;
    return all;
}

/* The same words in quotes, in one line or several. */
static void split_again(const words *w) {
    size_t bytes = 0;
    for (size_t i = 0; i < w->count; i++)
        bytes += 4 * strlen(words_at(w, i)) + 8;
    char *line = shell_alloc(bytes + 1);
    size_t n = 0;
    for (size_t i = 0; i < w->count; i++) {
        text_quote(words_at(w, i), line + n, 4 * strlen(words_at(w, i)) + 8);
        n += strlen(line + n);
        line[n++] = ' ';
    }
    words again;
    require(words_split(line, n, &again) == WORDS_OK, "quoted words", "do not split");
    require(again.count == w->count, "quoted words", "are another number");
    for (size_t i = 0; i < w->count; i++)
        require(!strcmp(words_at(w, i), words_at(&again, i)), "quoted words", "differ");
    words_free(&again);
    free(line);
}

static void run_words(const char *text, size_t bytes) {
    words w;
    size_t count = 0;
    bool is_open = false;
    int how = words_split(text, bytes, &w);
    if (how == WORDS_NUL) {
        require(memchr(text, 0, bytes), "words", "a NUL that is not there");
        words_free(&w);
        return;
    }
    char *all = reference_split(text, bytes, &count, &is_open), *p = all;
    require(is_open == (how != WORDS_OK), "words", "whether they go on");
    require(is_open || count == w.count, "words", "another number");
    for (size_t i = 0; !is_open && i < count; i++, p += strlen(p) + 1)
        require(!strcmp(p, words_at(&w, i)), "words", p);
    if (!is_open)
        split_again(&w);
    free(all);
    words_free(&w);
}

/* ---- rows ------------------------------------------------------------------------------------- */

typedef struct cells {
    const char *text[CELLS_MAX];
    size_t bytes[CELLS_MAX];
    size_t count; /* a multiple of COLUMNS */
} cells;

static const rows_column columns[COLUMNS] = {{"a", ROWS_TEXT, 0, 0, 0, NULL},
                                             {"b", ROWS_TEXT, 4, 1, 0, NULL}};
static const rows_spec spec = {.columns = columns, .count = COLUMNS};

static char *print_cells(const cells *c, int mode, size_t *out_bytes) {
    char *text = NULL;
    FILE *out = open_memstream(&text, out_bytes);
    row_writer r;
    require(out, "memory", "no stream");
    rows_begin(&r, out, mode, false, &spec);
    for (size_t i = 0; i < c->count; i++) {
        rows_text(&r, c->text[i], c->bytes[i]);
        if (i % COLUMNS == COLUMNS - 1)
            rows_next(&r);
    }
    rows_end(&r);
    require(!fclose(out), "memory", "no stream");
    return text;
}

/* One cell of csv at p into out; returns what follows it. */
static const char *read_csv(const char *p, const char *end, char *out, size_t *out_bytes) {
    bool is_quoted = p < end && *p == '"';
    size_t n = 0;
    p += is_quoted;
    while (p < end &&
           (is_quoted ? *p != '"' || (p + 1 < end && p[1] == '"') : *p != ',' && *p != '\n')) {
        p += is_quoted && *p == '"';
        out[n++] = *p++;
    }
    *out_bytes = n;
    return p + is_quoted;
}

static const char *read_tsv(const char *p, const char *end, char *out, size_t *out_bytes) {
    size_t n = 0;
    while (p < end && *p != '\t' && *p != '\n') {
        bool is_escape = *p == '\\';
        p += is_escape;
        out[n++] = !is_escape ? *p : *p == 't' ? '\t' : *p == 'n' ? '\n' : *p == 'r' ? '\r' : *p;
        p++;
    }
    *out_bytes = n;
    return p;
}

static void check_read_back(const cells *c, int mode) {
    size_t bytes = 0;
    char *text = print_cells(c, mode, &bytes), *cell = shell_alloc(bytes + 1);
    const char *p = text, *end = text + bytes;
    for (size_t i = 0; i < c->count; i++) {
        size_t n = 0;
        p = mode == ROWS_CSV ? read_csv(p, end, cell, &n) : read_tsv(p, end, cell, &n);
        require(n == c->bytes[i] && !memcmp(cell, c->text[i], n), rows_mode_names[mode - 1],
                "cell");
        char behind = i % COLUMNS == COLUMNS - 1 ? '\n' : mode == ROWS_CSV ? ',' : '\t';
        require(p < end && *p == behind, rows_mode_names[mode - 1], "what is behind a cell");
        p++;
    }
    require(p == end, rows_mode_names[mode - 1], "more than the cells");
    free(cell);
    free(text);
}

/* Objects a line, of two strings: no raw control character, valid UTF-8, an even number of quotes. */
static void check_objects(const cells *c) {
    size_t bytes = 0, lines = 0, quotes = 0;
    char *text = print_cells(c, ROWS_JSONL, &bytes);
    for (size_t i = 0; i < bytes;) {
        size_t n = text_utf8_bytes(text + i, bytes - i);
        require(n, "jsonl", "not UTF-8");
        require((uint8_t)text[i] >= 0x20 || text[i] == '\n', "jsonl", "a control character");
        lines += text[i] == '\n';
        quotes += text[i] == '"';
        i += text[i] == '\\' ? 2 : n;
    }
    require(lines == c->count / COLUMNS && quotes == 8 * lines, "jsonl", "lines or quotes");
    free(text);
}

static void check_visible(const cells *c, int mode) {
    size_t bytes = 0;
    char *text = print_cells(c, mode, &bytes);
    for (size_t i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)text[i];
        require((byte >= 0x20 && byte != 0x7f) || byte == '\n', rows_mode_names[mode - 1],
                "a control character");
    }
    free(text);
}

static void run_rows(const char *text, size_t bytes) {
    cells c = {.count = 0};
    for (const char *p = text, *end = text + bytes; c.count < CELLS_MAX; c.count++) {
        const char *stop = p < end ? memchr(p, 0xff, (size_t)(end - p)) : NULL;
        c.text[c.count] = p;
        c.bytes[c.count] = (size_t)((stop ? stop : end) - p);
        p = stop ? stop + 1 : end;
    }
    check_read_back(&c, ROWS_CSV);
    check_read_back(&c, ROWS_TSV);
    check_objects(&c);
    check_visible(&c, ROWS_BOX);
    check_visible(&c, ROWS_TABLE);
    check_visible(&c, ROWS_MARKDOWN);
    check_visible(&c, ROWS_LINE);
    size_t plain = 0;
    free(print_cells(&c, ROWS_PLAIN, &plain));
    free(print_cells(&c, ROWS_JSON, &plain));
}

/* ---- the rest --------------------------------------------------------------------------------- */

static void run_json(const char *text) {
    shell_call call = {.arg_count = 0};
    char *kept = NULL;
    int result = query_from_json(&call, text, &kept);
    require(result == SHELL_OK || result == SHELL_USAGE, "json", "another outcome");
    free(kept);
}

static const char *name_at(const void *ctx, size_t at) {
    static const char *const names[] = {"search", "-k", "", "rollback-to"};
    (void)ctx;
    return at < sizeof names / sizeof names[0] ? names[at] : NULL;
}

static void run_text(const char *text) {
    char again[TEXT_DOUBLE_BYTES];
    double value = 0;
    const char *nearest = text_nearest(text, name_at, NULL);
    require(!nearest || strlen(nearest) < 12, "nearest", text);
    if (text_to_double(text, &value) && value - value == 0) {
        text_double(value, again);
        require(strtod(again, NULL) == value, "number", text);
        float single = (float)value;
        if (single - single == 0)
            text_float(single, again);
        require(single - single != 0 || strtof(again, NULL) == single, "float", text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    uint32_t what = input_u8(&in) % 4;
    char *text = shell_alloc(in.bytes + 1);
    if (in.bytes)
        memcpy(text, in.data, in.bytes);
    text[in.bytes] = 0;
    if (what == 0)
        run_words(text, in.bytes);
    else if (what == 1)
        run_rows(text, in.bytes);
    else if (what == 2)
        run_json(text);
    else
        run_text(text);
    free(text);
    return 0;
}
