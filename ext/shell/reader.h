/* reader.h - records from a file of any format, one by one. */
#ifndef SHELL_READER_H
#define SHELL_READER_H

#include "batch.h"
#include "companion.h"
#include "vecs.h"

enum { READER_WHY_BYTES = 1500 };

/* What of a file goes where. Strings are borrowed. */
typedef struct mapping {
    const char *key; /* member or column of the key; NULL: rows are numbered from start_key on */
    uint64_t start_key;
    bool has_text_keys;   /* strings are keys as they are */
    const char *metadata; /* member or column; NULL: none */
    bool has_rest;        /* all that is not mapped makes the metadata */
    size_t field_count;
    struct {
        const char *name; /* member, column, or columns as csv.c reads them */
        uint32_t field, dim;
        bool is_needed;      /* the column must be there */
        bool is_required;    /* and each row must have the vector */
    } fields[VS_FIELDS_MAX]; /* those of the batch's columns */
} mapping;

enum {
    READ_ROW = VECS_ROW,
    READ_END = VECS_END,
    READ_REFUSED = VECS_REFUSED, /* the row is not what it should be; the next one can be read */
    READ_BROKEN = VECS_BROKEN    /* nothing can be read any more */
};

typedef struct csv csv; /* a table's columns */

typedef struct reader {
    const char *path;           /* borrowed */
    int format;                 /* FORMAT_... */
    const mapping *map;         /* borrowed */
    uint64_t rows;              /* read so far, also those that were refused */
    char why[READER_WHY_BYTES]; /* the last failure, with file and place */
    char left_out[64];          /* the first member or column that went nowhere */
    vecs vecs;                  /* of formats without names */
    companions companions;      /* of these */
    stream *stream;             /* of formats with names */
    uint64_t line, lines;       /* where the record begins, from 1 on, and how many were read */
    csv *csv;
    buffer scratch;
} reader;

/* Opens a file; its vectors are those of the batch that reader_next is given. False: see why. reader_close
 * also after a failure. */
bool reader_open(reader *out, const char *path, int format, const char *tensor);
/* Before the first row; the mapping is borrowed. False: see why. */
bool reader_map(reader *r, const mapping *map);
void reader_close(reader *r);

/* The next record into the batch. READ_... */
int reader_next(reader *r, batch *b);
/* Passes one over. */
int reader_skip(reader *r);
bool reader_at_end(reader *r);
/* How much of the file was read, 0 to 1; below 0: not known. */
double reader_part(const reader *r);
/* What the places of its rows are called: row or line. */
const char *reader_unit(const reader *r);
/* Where the last row stood. */
uint64_t reader_place(const reader *r);

/* ---- for the formats ------------------------------------------------------------------------ */

/* Sets why, with the place of the record that is read; returns READ_REFUSED. */
int reader_refuse(reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The next line that is not blank; a record of a table as stream_line has it. READ_... */
int reader_line(reader *r, char separator, const char **out_line, size_t *out_bytes);
/* The record's key from a text. READ_... */
int reader_key(reader *r, batch *b, const char *text, size_t bytes);
/* The number of the row as its key. READ_... */
int reader_number(reader *r, batch *b);
/* Notes a member or column that the mapping leaves out. */
void reader_leave_out(reader *r, const char *name, size_t bytes);
/* A JSON array of numbers as the vector of a column; json stands at its first token. READ_... */
int reader_vector(reader *r, batch *b, size_t column, vs_json *json);

int jsonl_next(reader *r, batch *b);
bool csv_open(reader *r);
void csv_close(csv *table); /* NULL is allowed */
int csv_next(reader *r, batch *b);
char csv_separator(int format);

#endif
