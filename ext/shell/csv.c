/* csv.c - records from tables with a header, RFC 4180: cells with separators, quotes or line ends are in quotes, a
 * quote in them is doubled. With tabs between the cells it is a TSV.
 *
 * A column is the key, the metadata, a vector as a JSON array, one element of a vector, or none of these. */
#include "reader.h"
#include "format.h"
#include <stdlib.h>
#include <string.h>

enum { COLUMN_OTHER, COLUMN_KEY, COLUMN_METADATA, COLUMN_VECTOR, COLUMN_ELEMENT };

typedef struct csv_column {
    char *name;
    int role;       /* COLUMN_... */
    size_t field;   /* of COLUMN_VECTOR and COLUMN_ELEMENT, in the mapping */
    uint32_t place; /* of COLUMN_ELEMENT, in the vector */
} csv_column;

typedef struct cell {
    size_t at, bytes; /* in text */
} cell;

struct csv {
    csv_column *columns;
    size_t count;
    cell *cells; /* [cell_count] of the last row */
    size_t cell_count, cell_room;
    buffer text;
    size_t
        numeric; /* of fields in the mapping: the one whose columns the first row tells, or CSV_NONE */
};

#define CSV_NONE SIZE_MAX

char csv_separator(int format) {
    return format == FORMAT_CSV ? ',' : format == FORMAT_TSV ? '\t' : 0;
}

void csv_close(csv *table) {
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->columns[i].name);
    free(table->columns);
    free(table->cells);
    buffer_free(&table->text);
    free(table);
}

/* ---- cells ---------------------------------------------------------------------------------- */

static cell *add_cell(csv *t) {
    if (t->cell_count == t->cell_room) {
        t->cell_room = 2 * t->cell_room + 16;
        t->cells = shell_realloc(t->cells, t->cell_room * sizeof *t->cells);
    }
    t->cells[t->cell_count] = (cell){t->text.bytes, 0};
    return &t->cells[t->cell_count++];
}

/* The cell at p, without its quotes; returns what is behind it, NULL: something follows the closing quote. */
static const char *read_cell(csv *t, const char *p, const char *end, char separator) {
    cell *c = add_cell(t);
    bool is_quoted = p < end && *p == '"';
    if (!is_quoted) {
        const char *next = memchr(p, separator, (size_t)(end - p));
        next = next ? next : end;
        buffer_add(&t->text, p, (size_t)(next - p));
        c->bytes = (size_t)(next - p);
        return next;
    }
    for (p++;; p++) {
        const char *quote = memchr(p, '"', (size_t)(end - p));
        if (!quote)
            return NULL;
        buffer_add(&t->text, p, (size_t)(quote - p));
        p = quote + 1;
        if (p == end || *p != '"')
            break;
        buffer_add(&t->text, "\"", 1);
    }
    c->bytes = t->text.bytes - c->at;
    return p == end || *p == separator ? p : NULL;
}

static int read_row(reader *r) {
    csv *t = r->csv;
    const char *p = NULL, *end;
    size_t bytes = 0;
    char separator = csv_separator(r->format);
    int found = reader_line(r, separator, &p, &bytes);
    if (found != READ_ROW)
        return found;
    t->cell_count = t->text.bytes = 0;
    for (end = p + bytes;; p++) {
        p = read_cell(t, p, end, separator);
        if (!p) { /* a quote that was not closed may have taken the rest of the file */
            reader_refuse(r, "cell %zu: a quote that does not end the cell", t->cell_count);
            return stream_at_end(r->stream) ? READ_BROKEN : READ_REFUSED;
        }
        if (p == end)
            return READ_ROW;
    }
}

static const char *cell_text(const csv *t, size_t i) {
    return t->text.text + t->cells[i].at;
}

/* ---- the header ----------------------------------------------------------------------------- */

static csv_column *find_column(csv *t, const char *name, size_t bytes) {
    for (size_t i = 0; i < t->count; i++)
        if (strlen(t->columns[i].name) == bytes && !memcmp(t->columns[i].name, name, bytes))
            return &t->columns[i];
    return NULL;
}

static bool set_role(reader *r, csv_column *column, int role) {
    if (column->role != COLUMN_OTHER)
        reader_refuse(r, "the column '%.60s' is asked for twice", column->name);
    bool ok = column->role == COLUMN_OTHER;
    column->role = role;
    return ok;
}

static bool map_name(reader *r, const char *name, int role, bool is_needed) {
    csv_column *column = name ? find_column(r->csv, name, strlen(name)) : NULL;
    if (column)
        return set_role(r, column, role);
    if (is_needed)
        reader_refuse(r, "there is no column '%.60s'", name);
    return !is_needed;
}

/* Columns first to last as the elements of a vector. */
static bool map_range(reader *r, size_t field, const csv_column *first, const csv_column *last) {
    uint32_t place = 0, dim = r->map->fields[field].dim;
    for (csv_column *c = r->csv->columns + (first - r->csv->columns); c <= last; c++) {
        if (!set_role(r, c, COLUMN_ELEMENT))
            return false;
        c->field = field;
        c->place = place++;
    }
    if (place != dim)
        reader_refuse(r, "'%.60s' are %lu columns, expected %lu", r->map->fields[field].name,
                      (unsigned long)place, (unsigned long)dim);
    return place == dim;
}

/* NAME, or FIRST..LAST: the columns from one to the other, or numeric: see map_numeric. */
static bool map_field(reader *r, size_t field) {
    const char *name = r->map->fields[field].name, *dots = strstr(name, "..");
    csv_column *first = find_column(r->csv, name, strlen(name)), *last = NULL;
    if (first) {
        first->field = field;
        return set_role(r, first, COLUMN_VECTOR);
    }
    if (!strcmp(name, "numeric")) {
        r->csv->numeric = field;
        return true;
    }
    if (dots) {
        first = find_column(r->csv, name, (size_t)(dots - name));
        last = find_column(r->csv, dots + 2, strlen(dots + 2));
    }
    if (first && last && first <= last)
        return map_range(r, field, first, last);
    if (dots || r->map->fields[field].is_needed)
        reader_refuse(r, "there is no column '%.60s'; --vector says which, or FIRST..LAST", name);
    return !dots && !r->map->fields[field].is_needed;
}

static bool map_columns(reader *r) {
    if (!map_name(r, r->map->key, COLUMN_KEY, true) ||
        !map_name(r, r->map->metadata, COLUMN_METADATA, false))
        return false;
    for (size_t i = 0; i < r->map->field_count; i++)
        if (!map_field(r, i))
            return false;
    return true;
}

bool csv_open(reader *r) {
    r->csv = shell_alloc(sizeof *r->csv);
    *r->csv = (csv){.numeric = CSV_NONE};
    int found = read_row(r);
    if (found == READ_END)
        snprintf(r->why, sizeof r->why, "%.900s: the file is empty, expected a header", r->path);
    if (found != READ_ROW)
        return false;
    csv *t = r->csv;
    t->columns = shell_alloc(t->cell_count * sizeof *t->columns);
    for (size_t i = 0; i < t->cell_count; i++) {
        size_t bytes = t->cells[i].bytes;
        char *name = shell_alloc(bytes + 1);
        memcpy(name, cell_text(t, i), bytes);
        name[bytes] = 0;
        t->columns[t->count++] = (csv_column){name, COLUMN_OTHER, 0, 0};
    }
    return map_columns(r);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static int read_element(reader *r, batch *b, const csv_column *c, const char *text, size_t bytes) {
    vs_json json;
    float value = 0;
    vs_json_begin(&json, text, bytes, 0);
    if (vs_json_next(&json) != VS_JSON_NUMBER || vs_json_float(&json, &value) != VS_OK ||
        vs_json_next(&json) != VS_JSON_END)
        return reader_refuse(r, "column '%.60s' is '%.*s', expected a number", c->name,
                             (int)(bytes < 40 ? bytes : 40), text);
    uint8_t *vector = batch_vector(b, c->field);
    memcpy(vector + c->place * sizeof value, &value, sizeof value);
    return READ_ROW;
}

static int read_vector(reader *r, batch *b, const csv_column *c, const char *text, size_t bytes) {
    vs_json json;
    if (!bytes)
        return READ_ROW; /* the record has none */
    vs_json_begin(&json, text, bytes, 0);
    if (vs_json_next(&json) != VS_JSON_ARRAY_BEGIN)
        return reader_refuse(r, "column '%.60s' is no array of numbers", c->name);
    int found = reader_vector(r, b, c->field, &json);
    if (found == READ_ROW && vs_json_next(&json) != VS_JSON_END)
        return reader_refuse(r, "column '%.60s': something follows the array", c->name);
    return found;
}

static bool is_number(const char *text, size_t bytes) {
    vs_json json;
    vs_json_begin(&json, text, bytes, 0);
    return vs_json_next(&json) == VS_JSON_NUMBER && vs_json_next(&json) == VS_JSON_END;
}

/* All columns that nothing else is made of, and that have a number in the first row. READ_... */
static int map_numeric(reader *r) {
    csv *t = r->csv;
    uint32_t place = 0, dim = r->map->fields[t->numeric].dim;
    for (size_t i = 0; i < t->count; i++) {
        csv_column *c = &t->columns[i];
        if (c->role != COLUMN_OTHER || !is_number(cell_text(t, i), t->cells[i].bytes))
            continue;
        *c = (csv_column){c->name, COLUMN_ELEMENT, t->numeric, place++};
    }
    t->numeric = CSV_NONE;
    if (place == dim)
        return READ_ROW;
    reader_refuse(r, "%lu columns are numeric, expected %lu", (unsigned long)place,
                  (unsigned long)dim);
    return READ_BROKEN;
}

/* A text as a JSON string; one that is a number as JSON has it stays that. */
static int add_rest(reader *r, const csv_column *c, const char *text, size_t bytes) {
    buffer *rest = &r->scratch;
    size_t n = 0, name_bytes = strlen(c->name);
    buffer_add_string(rest, rest->bytes ? "," : "{");
    char *out = buffer_reserve(rest, 6 * (name_bytes + bytes) + 8);
    if (vs_json_write_string(c->name, name_bytes, out, 6 * name_bytes + 2, &n) != VS_OK)
        return reader_refuse(r, "a column's name is not in UTF-8");
    rest->bytes += n;
    buffer_add_string(rest, ":");
    out = buffer_reserve(rest, 6 * bytes + 2);
    if (is_number(text, bytes))
        buffer_add(rest, text, bytes);
    else if (vs_json_write_string(text, bytes, out, 6 * bytes + 2, &n) == VS_OK)
        rest->bytes += n;
    else
        return reader_refuse(r, "column '%.60s' is not in UTF-8", c->name);
    return READ_ROW;
}

static int read_column(reader *r, batch *b, const csv_column *c, const char *text, size_t bytes) {
    switch (c->role) {
    case COLUMN_KEY:
        return reader_key(r, b, text, bytes);
    case COLUMN_METADATA:
        if (bytes)
            batch_metadata(b, text, bytes);
        return READ_ROW;
    case COLUMN_VECTOR:
        return read_vector(r, b, c, text, bytes);
    case COLUMN_ELEMENT:
        return read_element(r, b, c, text, bytes);
    default:
        if (r->map->has_rest)
            return add_rest(r, c, text, bytes);
        reader_leave_out(r, c->name, strlen(c->name));
        return READ_ROW;
    }
}

int csv_next(reader *r, batch *b) {
    csv *t = r->csv;
    int found = read_row(r);
    if (found != READ_ROW)
        return found;
    if (t->cell_count != t->count)
        return reader_refuse(r, "%zu cells, expected %zu as in the header", t->cell_count,
                             t->count);
    if (t->numeric != CSV_NONE)
        found = map_numeric(r);
    r->scratch.bytes = 0;
    for (size_t i = 0; found == READ_ROW && i < t->count; i++)
        found = read_column(r, b, &t->columns[i], cell_text(t, i), t->cells[i].bytes);
    if (found != READ_ROW)
        return found;
    if (r->scratch.bytes) {
        buffer_add_string(&r->scratch, "}");
        batch_metadata(b, r->scratch.text, r->scratch.bytes);
    }
    return r->map->key ? READ_ROW : reader_number(r, b);
}
