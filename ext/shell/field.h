/* field.h - vector fields of a collection, and what they look like as text. */
#ifndef SHELL_FIELD_H
#define SHELL_FIELD_H

#include "store.h"

extern const char *const field_types[], *const field_metrics[], *const field_indexes[]; /* VS_... */

typedef struct field_list {
    uint32_t count;
    vs_field_info field[VS_FIELDS_MAX];
} field_list;

/* The fields of a collection. On failure says why. */
int fields_of(const shell_call *call, vs_collection *collection, vs_txn *txn, field_list *out);
/* The same of one that is not open. */
int fields_load(const store_use *use, const vs_collection_info *info, field_list *out);
/* The number of the field that is called so. On failure says why. */
int fields_named(const shell_call *call, const field_list *fields, const char *name,
                 uint32_t *out_field);
/* The number of the field that an option names; 0: it was not given. On failure says why. */
int fields_find(const shell_call *call, const field_list *fields, const char *option,
                uint32_t *out_field);
/* Whether it is what a collection has that was made without fields. */
bool fields_are_plain(const field_list *fields);
/* " --field NAME:DIM:TYPE:METRIC" for each. */
void fields_print(FILE *out, const field_list *fields);

/* What the options --field of create say; options point into field and names, [VS_FIELDS_MAX] each. SHELL_OK, or
 * SHELL_USAGE with a message. */
int fields_parse(const shell_call *call, vs_field *field, char (*names)[VS_FIELD_BYTES_MAX + 1],
                 vs_collection_options *out_options);

#endif
