/* batch.h - records that were read and wait to be written, as columns. */
#ifndef SHELL_BATCH_H
#define SHELL_BATCH_H

#include "buffer.h"
#include "shell.h"

/* The vectors of one field. */
typedef struct batch_column {
    uint32_t field, dim;
    int type;         /* VS_..., in which they are given */
    size_t row_bytes; /* of a vector */
    uint8_t *data;    /* [room x row_bytes] */
    uint8_t *present; /* [room] */
} batch_column;

typedef struct batch {
    size_t count, room;
    size_t column_count;
    batch_column column[VS_FIELDS_MAX];
    bool has_keys;    /* else the database numbers the records */
    vs_key *keys;     /* [room]; data is set by batch_view */
    uint64_t *places; /* [room] where each stands in its source, as its messages call it */
    size_t *key_at, *metadata_at, *metadata_bytes; /* [room] in text; bytes 0: no metadata */
    const char **metadata;                         /* [room] set by batch_view */
    vs_status *statuses;                           /* [room] */
    buffer text;
} batch;

/* An empty batch without columns. */
void batch_init(batch *out, bool has_keys);
void batch_add_column(batch *b, uint32_t field, uint32_t dim, int type);
/* Bytes that a record's vectors need. */
size_t batch_record_bytes(const batch *b);
/* Another one with the same columns and room. */
void batch_init_like(batch *out, const batch *like);
/* Memory for so many records. */
void batch_set_room(batch *b, size_t room);
void batch_free(batch *b);

void batch_clear(batch *b);
/* The record that is being added: begun with nothing; counts from batch_end on. */
void batch_begin(batch *b);
void *batch_vector(batch *b, size_t column); /* where its vector goes */
void batch_drop_vector(batch *b, size_t column);
void batch_key(batch *b, vs_key key); /* copied, as metadata */
void batch_metadata(batch *b, const char *text, size_t bytes);
void batch_end(batch *b, uint64_t place);

/* What vs_put_batch takes; columns [VS_FIELDS_MAX]. Borrowed until the batch changes. */
vs_batch batch_view(batch *b, vs_column *columns);
/* One record of the batch, which was viewed; vectors [VS_FIELDS_MAX]. */
vs_record batch_record(const batch *b, size_t at, vs_vector *vectors);

#endif
