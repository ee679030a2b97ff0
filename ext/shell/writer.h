/* writer.h - records into a file of any format. */
#ifndef SHELL_WRITER_H
#define SHELL_WRITER_H

#include "buffer.h"
#include "shell.h"
#include "sink.h"

enum { WRITER_WHY_BYTES = 256 };

typedef struct writer {
    int format;                 /* FORMAT_... */
    sink *out;                  /* the file; owned by the caller, as the next two */
    sink *keys, *metadata;      /* files beside one of vectors, a line a record; NULL: none */
    const vs_field_info *field; /* [field_count] borrowed */
    uint32_t field_count;
    uint32_t target;           /* the field that a file of vectors has */
    uint64_t rows;             /* that will be written, for headers */
    uint64_t written, without; /* records written, and those without the target's vector */
    bool has_lost_keys, has_lost_metadata, has_lost_fields; /* what the file could not hold */
    char why[WRITER_WHY_BYTES];
    buffer line;
    void *vector; /* room for one, converted */
} writer;

/* Begins a file. False: see why. writer_end also after a failure. */
bool writer_begin(writer *w);
bool writer_add(writer *w, const vs_record *record);
void writer_end(writer *w);

/* The vector of a field; NULL: the record has none. */
const void *writer_vector(const vs_record *record, uint32_t field);
/* Whether the format needs the number of rows in front of them. */
bool writer_needs_rows(int format);

/* ---- for the formats ------------------------------------------------------------------------ */

bool table_begin(writer *w);
bool table_add(writer *w, const vs_record *record);
bool vectors_begin(writer *w);
bool vectors_add(writer *w, const vs_record *record);
/* Metadata on one line: a line feed in it is white space. */
void writer_metadata(buffer *out, const vs_record *record);

#endif
