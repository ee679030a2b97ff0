/* rows.c - rows in one of several modes.
 *
 *   R1  A cell is kept as the text that its mode prints, without what depends on its neighbours.
 *   R2  Modes with columns as wide as their contents keep the first rows, ROWS_KEPT or ROWS_KEPT_BYTES of them,
 *       and measure these; later rows may be wider. All other modes print a row when it is complete.
 *   R3  What is made for reading shows control characters as escapes: names and values cannot steer a terminal. */
#include "rows.h"
#include "shell.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

enum {
    ROWS_KEPT = 1000,
    ROWS_KEPT_BYTES = 1 << 20,
    ROWS_ROOM = 256,
    VECTOR_SHOWN = 2,
    VECTOR_SHORT = 4
};

const char *const rows_mode_names[] = {"box", "table",    "json", "jsonl", "csv",
                                       "tsv", "markdown", "line", "plain", NULL};

unsigned rows_kind(int mode) {
    switch (mode) {
    case ROWS_JSON:
        return ROWS_IN_OBJECTS;
    case ROWS_JSONL:
    case ROWS_CSV:
    case ROWS_TSV:
        return ROWS_IN_FLAT;
    default:
        return ROWS_IN_TABLES;
    }
}

static bool is_measured(int mode) {
    return mode == ROWS_BOX || mode == ROWS_TABLE || mode == ROWS_MARKDOWN;
}

static bool is_shown(const row_writer *r, size_t column) {
    unsigned where = r->spec->columns[column].shown_in;
    return !where || (where & rows_kind(r->mode));
}

/* ---- text ----------------------------------------------------------------------------------- */

static void append(row_writer *r, const char *text, size_t bytes) {
    if (bytes > r->text_room - r->text_bytes) {
        r->text_room = 2 * (r->text_bytes + bytes);
        r->text = shell_realloc(r->text, r->text_room);
    }
    memcpy(r->text + r->text_bytes, text, bytes);
    r->text_bytes += bytes;
}

static void append_string(row_writer *r, const char *text) {
    append(r, text, strlen(text));
}

/* The letter behind a backslash that stands for a character, 0: it has none. */
static char escape_letter(char c) {
    return c == '\n' ? 'n' : c == '\t' ? 't' : c == '\r' ? 'r' : c == '\\' ? '\\' : 0;
}

/* For reading: no control characters, also none of two bytes (U+0080 to U+009F); R3. */
static void append_visible(row_writer *r, const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        uint8_t c = (uint8_t)text[i], next = i + 1 < bytes ? (uint8_t)text[i + 1] : 0;
        char escape[8] = "";
        if (c < 0x20 && escape_letter((char)c))
            snprintf(escape, sizeof escape, "\\%c", escape_letter((char)c));
        else if (c < 0x20 || c == 0x7f)
            snprintf(escape, sizeof escape, "\\x%02x", c);
        else if (c == 0xc2 && next >= 0x80 && next < 0xa0)
            snprintf(escape, sizeof escape, "\\u%04x", text[++i] & 0xff);
        else if (c == '|' && r->mode == ROWS_MARKDOWN)
            snprintf(escape, sizeof escape, "\\|");
        if (*escape)
            append_string(r, escape);
        else
            append(r, (const char *)&c, 1);
    }
}

static void append_json(row_writer *r, const char *text, size_t bytes) {
    append(r, "\"", 1);
    for (size_t i = 0; i < bytes;) {
        uint8_t c = (uint8_t)text[i];
        char escape[8] = "";
        size_t n = text_utf8_bytes(text + i, bytes - i);
        if (c == '"' || escape_letter((char)c))
            snprintf(escape, sizeof escape, "\\%c", c == '"' ? '"' : escape_letter((char)c));
        else if (c < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        else if (!n)
            snprintf(escape, sizeof escape, "\\ufffd");
        if (*escape)
            append_string(r, escape);
        else
            append(r, text + i, n);
        i += n ? n : 1;
    }
    append(r, "\"", 1);
}

static void append_csv(row_writer *r, const char *text, size_t bytes) {
    bool is_quoted = false;
    for (size_t i = 0; i < bytes; i++)
        is_quoted |= strchr(",\"\r\n", text[i]) && text[i];
    if (!is_quoted) {
        append(r, text, bytes);
        return;
    }
    append(r, "\"", 1);
    for (size_t i = 0; i < bytes; i++)
        append(r, text[i] == '"' ? "\"\"" : text + i, text[i] == '"' ? 2 : 1);
    append(r, "\"", 1);
}

static void append_tsv(row_writer *r, const char *text, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        const char escape[2] = {'\\', escape_letter(text[i])};
        append(r, escape[1] ? escape : text + i, escape[1] ? 2 : 1);
    }
}

/* A JSON value on one line: a line feed in it is white space. */
static void append_value(row_writer *r, const char *text, size_t bytes) {
    size_t at = r->text_bytes;
    append(r, text, bytes);
    for (; r->mode == ROWS_JSONL && at < r->text_bytes; at++)
        if (r->text[at] == '\n' || r->text[at] == '\r')
            r->text[at] = ' ';
}

/* ---- cells ---------------------------------------------------------------------------------- */

static size_t column_now(const row_writer *r) {
    return r->cell_count % r->spec->count;
}

static rows_cell *begin_cell(row_writer *r) {
    if (r->cell_count == r->cell_room) {
        r->cell_room = 2 * r->cell_room + 64;
        r->cells = shell_realloc(r->cells, r->cell_room * sizeof *r->cells);
    }
    rows_cell *cell = &r->cells[r->cell_count];
    *cell = (rows_cell){r->text_bytes, 0, false};
    return cell;
}

static void end_cell(row_writer *r) {
    r->cells[r->cell_count].bytes = r->text_bytes - r->cells[r->cell_count].at;
    r->cell_count++;
}

static void add_cell(row_writer *r, const char *text, size_t bytes, bool is_text) {
    begin_cell(r);
    if (r->mode == ROWS_PLAIN)
        append(r, text, bytes);
    else if (r->mode == ROWS_CSV)
        append_csv(r, text, bytes);
    else if (r->mode == ROWS_TSV)
        append_tsv(r, text, bytes);
    else if (rows_kind(r->mode) == ROWS_IN_TABLES)
        append_visible(r, text, bytes);
    else if (is_text)
        append_json(r, text, bytes);
    else
        append_value(r, text, bytes);
    end_cell(r);
}

void rows_text(row_writer *r, const char *text, size_t bytes) {
    add_cell(r, text, bytes, r->spec->columns[column_now(r)].type == ROWS_TEXT);
}

void rows_word(row_writer *r, const char *text) {
    add_cell(r, text, strlen(text), true);
}

void rows_string(row_writer *r, const char *text) {
    if (text)
        rows_text(r, text, strlen(text));
    else
        rows_null(r);
}

void rows_null(row_writer *r) {
    begin_cell(r)->is_null = true;
    if (rows_kind(r->mode) == ROWS_IN_OBJECTS || r->mode == ROWS_JSONL)
        append_string(r, "null");
    else if (rows_kind(r->mode) == ROWS_IN_FLAT && r->spec->null_text)
        append_string(r, r->spec->null_text);
    end_cell(r);
}

void rows_u64(row_writer *r, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    rows_string(r, text);
}

void rows_double(row_writer *r, double value) {
    char text[TEXT_DOUBLE_BYTES];
    text_double(value, text);
    rows_string(r, text);
}

/* Elements as JSON, or two of them and the dimension. */
void rows_vector(row_writer *r, int type, uint32_t dim, const void *vector, bool is_whole) {
    float *values = shell_alloc(dim * sizeof *values);
    char *text = shell_alloc((size_t)dim * TEXT_DOUBLE_BYTES + 32), *p = text;
    if (vs_vector_convert(vector, type, values, VS_F32, dim, NULL) != VS_OK)
        dim = 0; /* none that is stored fails */
    bool is_short = !is_whole && dim > VECTOR_SHORT;
    uint32_t shown = is_short ? VECTOR_SHOWN : dim;
    *p++ = '[';
    for (uint32_t i = 0; i < shown; i++) {
        char number[TEXT_DOUBLE_BYTES];
        if (is_whole)
            text_float(values[i], number);
        else
            snprintf(number, sizeof number, "%.3g", (double)values[i]);
        p += sprintf(p, "%s%s", i ? is_whole ? "," : " " : "", number);
    }
    p += is_short ? sprintf(p, " ... %lu]", (unsigned long)dim) : sprintf(p, "]");
    rows_text(r, text, (size_t)(p - text));
    free(text);
    free(values);
}

/* ---- rows of one line each ------------------------------------------------------------------ */

static size_t code_points(const char *text, size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += (text[i] & 0xc0) != 0x80;
    return n;
}

static void fill(FILE *out, const char *what, size_t times) {
    while (times--)
        fputs(what, out);
}

static size_t name_width(const row_writer *r, size_t column) {
    return code_points(r->names + r->name[column].at, r->name[column].bytes);
}

static void print_name(const row_writer *r, size_t column) {
    fwrite(r->names + r->name[column].at, 1, r->name[column].bytes, r->out);
}

static void print_object(row_writer *r, const rows_cell *cells) {
    bool is_first = true;
    fputc('{', r->out);
    for (size_t i = 0; i < r->spec->count; i++) {
        if (!is_shown(r, i))
            continue;
        fputs(is_first ? "" : ",", r->out);
        print_name(r, i);
        fputc(':', r->out);
        fwrite(r->text + cells[i].at, 1, cells[i].bytes, r->out);
        is_first = false;
    }
    fputc('}', r->out);
}

static void print_separated(row_writer *r, const rows_cell *cells, const char *separator) {
    bool is_first = true;
    for (size_t i = 0; i < r->spec->count; i++) {
        if (!is_shown(r, i))
            continue;
        fputs(is_first ? "" : separator, r->out);
        fwrite(r->text + cells[i].at, 1, cells[i].bytes, r->out);
        is_first = false;
    }
    fputc('\n', r->out);
}

static void print_lines(row_writer *r, const rows_cell *cells) {
    size_t width = 0;
    for (size_t i = 0; i < r->spec->count; i++)
        if (is_shown(r, i) && name_width(r, i) > width)
            width = name_width(r, i);
    fputs(r->printed ? "\n" : "", r->out);
    for (size_t i = 0; i < r->spec->count; i++) {
        if (!is_shown(r, i))
            continue;
        fill(r->out, " ", width - name_width(r, i));
        print_name(r, i);
        fprintf(r->out, " = %.*s\n", (int)cells[i].bytes, r->text + cells[i].at);
    }
}

/* ---- rows in columns ------------------------------------------------------------------------ */

typedef struct frame {
    const char *left, *between, *right, *line;
} frame;

static const frame box_top = {"┌", "┬", "┐\n", "─"}, box_middle = {"├", "┼", "┤\n", "─"},
                   box_bottom = {"└", "┴", "┘\n", "─"}, box_row = {"│ ", " │ ", " │\n", NULL},
                   markdown_row = {"| ", " | ", " |\n", NULL}, table_row = {"", " ", "\n", NULL};

static size_t last_shown(const row_writer *r) {
    size_t last = 0;
    for (size_t i = 0; i < r->spec->count; i++)
        last = is_shown(r, i) ? i : last;
    return last;
}

static size_t width_of(const row_writer *r, size_t i) {
    if (is_measured(r->mode))
        return r->width[i];
    return (size_t)r->spec->columns[i].width;
}

/* One cell, padded; what ends a line without a frame is not. */
static void print_cell(const row_writer *r, size_t i, const char *text, size_t bytes,
                       bool is_last) {
    size_t width = width_of(r, i), n = code_points(text, bytes), pad = n < width ? width - n : 0;
    bool is_right = r->spec->columns[i].type == ROWS_NUMBER;
    bool is_open = is_last && (r->mode == ROWS_PLAIN || r->mode == ROWS_TABLE);
    fill(r->out, " ", is_right ? pad : 0);
    fwrite(text, 1, bytes, r->out);
    fill(r->out, " ", is_right || is_open ? 0 : pad);
}

/* A line of cells in text. */
static void print_columns(const row_writer *r, const frame *f, const char *text,
                          const rows_cell *cells) {
    size_t last = last_shown(r);
    bool is_first = true, has_gaps = r->mode == ROWS_PLAIN || r->mode == ROWS_TABLE;
    for (size_t i = 0; i < r->spec->count; i++) {
        if (!is_shown(r, i))
            continue;
        fputs(is_first ? f->left : f->between, r->out);
        fill(r->out, " ", has_gaps && !is_first ? (size_t)r->spec->columns[i].gap : 0);
        print_cell(r, i, text + cells[i].at, cells[i].bytes, i == last);
        is_first = false;
    }
    fputs(f->right, r->out);
}

static void print_rule(const row_writer *r, const frame *f) {
    bool is_first = true;
    for (size_t i = 0; i < r->spec->count; i++) {
        if (!is_shown(r, i))
            continue;
        fputs(is_first ? f->left : f->between, r->out);
        fill(r->out, f->line, r->width[i] + 2);
        is_first = false;
    }
    fputs(f->right, r->out);
}

static void print_markdown_rule(const row_writer *r) {
    fputc('|', r->out);
    for (size_t i = 0; i < r->spec->count; i++) {
        if (!is_shown(r, i))
            continue;
        bool is_right = r->spec->columns[i].type == ROWS_NUMBER;
        fill(r->out, "-", r->width[i] + (is_right ? 1 : 2));
        fputs(is_right ? ":|" : "|", r->out);
    }
    fputc('\n', r->out);
}

static void measure(row_writer *r) {
    for (size_t i = 0; i < r->spec->count; i++) {
        size_t most = r->has_header || r->mode == ROWS_MARKDOWN ? name_width(r, i) : 1;
        if (r->mode == ROWS_TABLE && most < (size_t)r->spec->columns[i].width)
            most = (size_t)r->spec->columns[i].width;
        for (size_t at = i; at < r->cell_count; at += r->spec->count) {
            size_t n = code_points(r->text + r->cells[at].at, r->cells[at].bytes);
            most = n > most ? n : most;
        }
        r->width[i] = most;
    }
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void print_header(const row_writer *r) {
    switch (r->mode) {
    case ROWS_BOX:
        print_rule(r, &box_top);
        if (r->has_header) {
            print_columns(r, &box_row, r->names, r->name);
            print_rule(r, &box_middle);
        }
        break;
    case ROWS_MARKDOWN:
        print_columns(r, &markdown_row, r->names, r->name);
        print_markdown_rule(r);
        break;
    case ROWS_JSON:
        fputs(r->spec->json_open ? r->spec->json_open : "[", r->out);
        break;
    case ROWS_TABLE:
        if (r->has_header)
            print_columns(r, &table_row, r->names, r->name);
        break;
    case ROWS_PLAIN:
        if (r->has_header && !r->spec->is_bare)
            print_columns(r, &table_row, r->names, r->name);
        break;
    default:
        break;
    }
}

static void print_names(const row_writer *r, const char *separator) {
    bool is_first = true;
    for (size_t i = 0; r->has_header && i < r->spec->count; i++) {
        if (!is_shown(r, i))
            continue;
        fputs(is_first ? "" : separator, r->out);
        print_name(r, i);
        is_first = false;
    }
    fputs(is_first ? "" : "\n", r->out);
}

static void print_row(row_writer *r, const rows_cell *cells) {
    const char *between = r->spec->json_between ? r->spec->json_between : ",\n ";
    switch (r->mode) {
    case ROWS_BOX:
        print_columns(r, &box_row, r->text, cells);
        break;
    case ROWS_MARKDOWN:
        print_columns(r, &markdown_row, r->text, cells);
        break;
    case ROWS_JSON:
        fputs(r->printed ? between : "", r->out);
        print_object(r, cells);
        break;
    case ROWS_JSONL:
        print_object(r, cells);
        fputc('\n', r->out);
        break;
    case ROWS_CSV:
        print_separated(r, cells, ",");
        break;
    case ROWS_TSV:
        print_separated(r, cells, "\t");
        break;
    case ROWS_LINE:
        print_lines(r, cells);
        break;
    default:
        print_columns(r, &table_row, r->text, cells);
    }
    r->printed++;
}

/* Prints what is kept; the first time also what stands above it. */
static void flush_rows(row_writer *r) {
    if (is_measured(r->mode) && !r->width[0]) {
        measure(r);
        print_header(r);
    }
    for (size_t at = 0; at < r->cell_count; at += r->spec->count)
        print_row(r, r->cells + at);
    r->cell_count = r->text_bytes = 0;
}

/* The names of the columns, made like cells of a row. */
static void keep_names(row_writer *r) {
    bool has_json_names = rows_kind(r->mode) == ROWS_IN_OBJECTS || r->mode == ROWS_JSONL;
    for (size_t i = 0; i < r->spec->count; i++) {
        const rows_column *column = &r->spec->columns[i];
        const char *name = has_json_names && column->json_name ? column->json_name : column->name;
        add_cell(r, name, strlen(name), true);
        r->name[i] = r->cells[i];
    }
    r->names = r->text;
    r->text = NULL;
    r->text_bytes = r->cell_count = 0;
}

void rows_begin(row_writer *out_rows, FILE *out, int mode, bool has_header, const rows_spec *spec) {
    row_writer *r = out_rows;
    memset(r, 0, sizeof *r);
    r->out = out;
    r->mode = mode = mode == ROWS_PLAIN && spec->plain_is_csv ? ROWS_CSV : mode;
    r->has_header = has_header;
    r->spec = spec;
    keep_names(r);
    r->text_room = ROWS_ROOM;
    r->text = shell_alloc(r->text_room); /* there is some also when all cells are empty */
    if (mode == ROWS_CSV || mode == ROWS_TSV)
        print_names(r, mode == ROWS_CSV ? "," : "\t");
    else if (!is_measured(mode))
        print_header(r);
}

void rows_next(row_writer *r) {
    bool is_kept = is_measured(r->mode) && !r->width[0] && r->text_bytes < ROWS_KEPT_BYTES &&
                   r->cell_count / r->spec->count < ROWS_KEPT;
    if (!is_kept)
        flush_rows(r);
}

void rows_end(row_writer *r) {
    flush_rows(r);
    if (r->mode == ROWS_BOX)
        print_rule(r, &box_bottom);
    if (r->mode == ROWS_JSON)
        fputs(r->spec->json_close ? r->spec->json_close : "]\n", r->out);
    free(r->names);
    free(r->text);
    free(r->cells);
    r->names = r->text = NULL;
    r->cells = NULL;
}
