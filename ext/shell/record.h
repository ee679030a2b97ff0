/* record.h - keys, vectors and records, between text and the library. */
#ifndef SHELL_RECORD_H
#define SHELL_RECORD_H

#include "key.h"
#include "rows.h"
#include "shell.h"

/* ---- keys ----------------------------------------------------------------------------------- */

/* SHELL_OK, or SHELL_USAGE with a message. */
int key_parse(const shell_call *call, const char *text, record_key *out_key);
void rows_key(row_writer *r, vs_key key);

/* A column of keys; width as rows_column. */
#define RECORD_KEY_COLUMN(width)                                                                   \
    { "key", ROWS_NUMBER, width, 0, 0, NULL }
/* Vectors are shortened in tables and left out elsewhere, unless asked for. */
#define RECORD_VECTOR_COLUMN(shown_in)                                                             \
    { "vector", ROWS_VALUE, 24, 0, shown_in, NULL }
#define RECORD_METADATA_COLUMN(gap)                                                                \
    { "metadata", ROWS_VALUE, 0, gap, 0, NULL }

/* ---- records as rows ------------------------------------------------------------------------ */

/* Columns key, vector and metadata. */
const rows_spec *record_spec(bool has_vectors);
void record_add(row_writer *r, const vs_collection_info *info, const vs_record *record,
                bool is_whole);
void rows_metadata(row_writer *r, const vs_record *record);

/* ---- vectors as arguments ------------------------------------------------------------------- */

typedef struct record_vectors {
    void *rows; /* [count] vectors; malloc'd */
    uint64_t count;
} record_vectors;

/* Vectors of a collection from '[number, ...]', or from FILE; what: how messages call them. SHELL_OK, or
 * SHELL_FAILED with a message. Freed by the caller. */
int vectors_load(const shell_call *call, const char *text, const char *what,
                 const vs_collection_info *info, record_vectors *out_vectors);
const void *vectors_at(const record_vectors *v, const vs_collection_info *info, uint64_t at);

#endif
