/* rows.h - rows of named columns, printed in one of several modes. */
#ifndef SHELL_ROWS_H
#define SHELL_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    ROWS_BOX = 1,  /* a frame of lines */
    ROWS_TABLE,    /* aligned columns */
    ROWS_JSON,     /* one value, mostly an array of objects */
    ROWS_JSONL,    /* an object a line */
    ROWS_CSV,      /* RFC 4180, lines end with LF */
    ROWS_TSV,      /* tab, line feed and backslash as \t, \n and \\ */
    ROWS_MARKDOWN, /* a table */
    ROWS_LINE,     /* a line per value */
    ROWS_PLAIN     /* what scripts get unless they ask: columns of fixed widths */
};

/* The modes' names in this order, ends with NULL. */
extern const char *const rows_mode_names[];

enum { ROWS_TEXT, ROWS_NUMBER, ROWS_VALUE }; /* ROWS_VALUE: JSON, as it is */

/* Kinds of modes, where a column may be shown. */
enum {
    ROWS_IN_TABLES = 1,  /* box, table, markdown, line, plain */
    ROWS_IN_OBJECTS = 2, /* json */
    ROWS_IN_FLAT = 4     /* jsonl, csv, tsv: one list, whatever it consists of */
};

typedef struct rows_column {
    const char *name;
    int type;              /* ROWS_TEXT, ... */
    int width;             /* plain and table: at least so many characters */
    int gap;               /* plain and table: blanks in front besides one */
    unsigned shown_in;     /* ROWS_IN_..., 0: in all */
    const char *json_name; /* NULL: as name */
} rows_column;

typedef struct rows_spec {
    const rows_column *columns;
    size_t count;
    const char *json_open, *json_between, *json_close; /* NULL: an array, an object a line */
    const char *null_text;                             /* csv and tsv; NULL: nothing */
    bool is_bare;                                      /* plain: no header */
    bool plain_is_csv;                                 /* plain is csv */
} rows_spec;

typedef struct rows_cell {
    size_t at, bytes; /* in rows.text */
    bool is_null;
} rows_cell;

enum { ROWS_COLUMNS_MAX = 16 };

typedef struct row_writer {
    FILE *out;
    int mode;
    bool has_header;
    const rows_spec *spec; /* borrowed until rows_end */
    uint64_t printed;      /* rows */
    /* rows that wait until the widths are known; of most modes one */
    char *text;
    size_t text_bytes, text_room;
    rows_cell *cells;
    size_t cell_count, cell_room;
    size_t width[ROWS_COLUMNS_MAX];   /* 0: not known yet */
    char *names;                      /* of the columns, as the mode prints them */
    rows_cell name[ROWS_COLUMNS_MAX]; /* in names */
} row_writer;

void rows_begin(row_writer *out_rows, FILE *out, int mode, bool has_header, const rows_spec *spec);

/* The cells of a row, one call per column in the order of the specification, then rows_next. */
void rows_text(row_writer *r, const char *text, size_t bytes);
void rows_string(row_writer *r, const char *text); /* NULL: no value */
void rows_word(row_writer *r, const char *text);   /* a text, whatever its column is of */
void rows_u64(row_writer *r, uint64_t value);
void rows_double(row_writer *r, double value); /* finite */
void rows_null(row_writer *r);
/* A vector of element type VS_...: all elements, or the first ones and how many there are. */
void rows_vector(row_writer *r, int type, uint32_t dim, const void *vector, bool is_whole);
void rows_next(row_writer *r);

/* What is missing behind the last row; frees memory. */
void rows_end(row_writer *r);

/* Which kind of mode it is: ROWS_IN_... */
unsigned rows_kind(int mode);

#endif
