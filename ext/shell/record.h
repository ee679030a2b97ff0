/* record.h - keys, vectors and records, between text and the library: the one place that knows what a key
 * looks like. */
#ifndef SHELL_RECORD_H
#define SHELL_RECORD_H

#include "rows.h"
#include "shell.h"

/* ---- keys ----------------------------------------------------------------------------------- */

/* A key as text is 42, text:abc, uuid:00112233-4455-6677-8899-aabbccddeeff or bytes:00ff; in another
 * namespace its number and a slash stand in front: 7/42. */
typedef struct record_key {
    vs_key key;                     /* but for data, see key_of */
    const char *text;               /* borrowed from the argument; NULL: data has the bytes */
    uint8_t data[VS_KEY_BYTES_MAX]; /* of uuid: and bytes: */
} record_key;

/* SHELL_OK, or SHELL_USAGE with a message. */
int key_parse(const shell_call *call, const char *text, record_key *out_key);
/* The key, which points into what is given. */
vs_key key_of(const record_key *key);
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
