/* record.h - keys, vectors and records, between text and the library. */
#ifndef SHELL_RECORD_H
#define SHELL_RECORD_H

#include "field.h"
#include "key.h"
#include "rows.h"
#include "shell.h"

/* ---- keys ----------------------------------------------------------------------------------- */

/* SHELL_OK, or SHELL_USAGE with a message. */
int key_parse(const shell_call *call, const char *text, record_key *out_key);
/* The keys among the arguments, from the second one on; malloc'd. */
int keys_parse(const shell_call *call, record_key **out_keys, size_t *out_count);
void rows_key(row_writer *r, vs_key key);

/* A column of keys; width as rows_column. */
#define RECORD_KEY_COLUMN(width)                                                                   \
    { "key", ROWS_NUMBER, width, 0, 0, NULL }
#define RECORD_METADATA_COLUMN(gap)                                                                \
    { "metadata", ROWS_VALUE, 0, gap, 0, NULL }

/* ---- records as rows ------------------------------------------------------------------------ */

/* Options of commands that print records. */
#define OPTIONS_RECORDS                                                                            \
    OPTION_MODE, OPTION_VECTORS,                                                                   \
        {"--field", OPTION_LIST, "NAME", "a vector field that is printed (all); once for each",    \
         NULL,      0,           0,      NULL},                                                    \
    {                                                                                              \
        "--versions", OPTION_SWITCH, NULL,                                                         \
            "print the version of each record, which put can ask for", NULL, 0, 0, NULL            \
    }

enum { RECORD_COLUMNS_MAX = VS_FIELDS_MAX + 3, RECORD_NAME_BYTES = VS_FIELD_BYTES_MAX + 8 };

/* How records of a collection are printed: key, vectors, metadata, version. */
typedef struct record_rows {
    field_list fields;
    uint32_t shown[VS_FIELDS_MAX]; /* [shown_count] numbers of the fields that have columns */
    uint32_t shown_count;
    char name[VS_FIELDS_MAX][RECORD_NAME_BYTES]; /* of their columns */
    bool is_whole, has_versions;
    rows_column columns[RECORD_COLUMNS_MAX];
    rows_spec spec; /* of these columns */
} record_rows;

/* What the options say, and the fields of the collection. On failure says why. */
int record_rows_of(const store_use *use, record_rows *out);
void record_add(row_writer *r, const record_rows *how, const vs_record *record);
void rows_metadata(row_writer *r, const vs_record *record);

/* The vectors alone, for rows that are no records: the columns of the fields that are shown, to columns
 * [VS_FIELDS_MAX]. Vectors are shortened in tables and left out elsewhere, unless is_whole. */
int record_vectors_of(const store_use *use, record_rows *out, rows_column *columns);
void rows_vectors(row_writer *r, const record_rows *how, const vs_record *record);

/* ---- vectors as arguments ------------------------------------------------------------------- */

typedef struct record_vectors {
    void *rows; /* [count] vectors; malloc'd */
    uint64_t count;
} record_vectors;

/* Vectors of a field from '[number, ...]', or from FILE; what: how messages call them. SHELL_OK, or
 * SHELL_FAILED with a message. Freed by the caller. */
int vectors_load(const shell_call *call, const char *text, const char *what,
                 const vs_field_info *field, record_vectors *out_vectors);
const void *vectors_at(const record_vectors *v, const vs_field_info *field, uint64_t at);

#endif
