/* field.c - vector fields of a collection: NAME:DIM[:TYPE[:METRIC[:INDEX]]][:optional]. It is read from its end, so that
 * a name may have colons. */
#include "field.h"
#include "text.h"
#include <string.h>

const char *const field_types[] = {"f32", "u8", "f16", "bf16", "i8", "bit", NULL};
const char *const field_metrics[] = {"l2", "ip", "cosine", "l1", "hamming", "jaccard", NULL};
const char *const field_indexes[] = {"auto",
                                     "flat",
                                     "flat(codes=rq8)",
                                     "flat(codes=rq4)",
                                     "flat(codes=rq2)",
                                     "flat(codes=rq1)",
                                     "flat(codes=f16)",
                                     "flat(codes=bf16)",
                                     NULL};

/* ---- of a collection ------------------------------------------------------------------------ */

int fields_of(const shell_call *call, vs_collection *collection, vs_txn *txn, field_list *out) {
    vs_status st = VS_OK;
    out->count = 0;
    for (; out->count < VS_FIELDS_MAX; out->count++) {
        out->field[out->count] = (vs_field_info)VS_FIELD_INFO_INIT;
        st = vs_field_at(collection, txn, out->count, &out->field[out->count]);
        if (st != VS_OK)
            break;
    }
    if (st == VS_OK || st == VS_DONE)
        return SHELL_OK;
    return shell_fail(call, "%s", vs_errmsg(collection));
}

int fields_load(const store_use *use, const vs_collection_info *info, field_list *out) {
    vs_collection *collection = NULL;
    if (vs_collection_open(use->db, use->txn, info->name, &collection) != VS_OK)
        return use_fail_db(use);
    int result = fields_of(use->call, collection, use->txn, out);
    vs_collection_close(collection);
    return result;
}

static const char *name_at(const void *ctx, size_t at) {
    const field_list *fields = ctx;
    return at < fields->count ? fields->field[at].name : NULL;
}

int fields_named(const shell_call *call, const field_list *fields, const char *name,
                 uint32_t *out_field) {
    char hint[TEXT_HINT_BYTES];
    for (uint32_t i = 0; i < fields->count; i++) {
        if (strcmp(name, fields->field[i].name) != 0)
            continue;
        *out_field = i;
        return SHELL_OK;
    }
    return shell_fail(call, "collection '%s' has no field '%s'%s", call->arg[0], name,
                      text_hint(name, name_at, fields, "; info shows them", hint));
}

int fields_find(const shell_call *call, const field_list *fields, const char *option,
                uint32_t *out_field) {
    const char *wanted = shell_value(call, option);
    *out_field = 0;
    return wanted ? fields_named(call, fields, wanted, out_field) : SHELL_OK;
}

bool fields_are_plain(const field_list *fields) {
    const vs_field_info *first = &fields->field[0];
    return fields->count == 1 && !first->flags && !strcmp(first->name, "vector");
}

void fields_print(FILE *out, const field_list *fields) {
    for (uint32_t i = 0; i < fields->count; i++) {
        const vs_field_info *f = &fields->field[i];
        char text[VS_FIELD_BYTES_MAX + VS_INDEX_BYTES_MAX + 64], quoted[4 * sizeof text];
        snprintf(text, sizeof text, "%s:%lu:%s:%s:%s%s", f->name, (unsigned long)f->dim,
                 vs_type_name(f->type), vs_metric_name(f->metric), f->index,
                 f->flags & VS_FIELD_OPTIONAL ? ":optional" : "");
        text_quote(text, quoted, sizeof quoted);
        fprintf(out, " --field %s", quoted);
    }
}

/* ---- of create ------------------------------------------------------------------------------ */

/* The place of the last part of text in words, counted from 1, and that part is cut off; 0: it is none of them. */
static int take_word(char *text, const char *const *words) {
    char *last = strrchr(text, ':');
    for (int i = 0; last && words[i]; i++)
        if (!strcmp(words[i], last + 1)) {
            *last = 0;
            return i + 1;
        }
    return 0;
}

static bool parse_field(const char *text, vs_field *out, char name[VS_FIELD_BYTES_MAX + 1]) {
    static const char *const optional[] = {"optional", NULL};
    char copy[VS_FIELD_BYTES_MAX + 80];
    uint64_t dim = 0;
    if (strlen(text) >= sizeof copy)
        return false;
    strcpy(copy, text);
    *out = (vs_field)VS_FIELD_INIT;
    out->flags = take_word(copy, optional) ? VS_FIELD_OPTIONAL : 0;
    int index = take_word(copy, field_indexes);
    out->index = index ? field_indexes[index - 1] : NULL;
    out->metric = take_word(copy, field_metrics);
    out->type = take_word(copy, field_types);
    char *last = strrchr(copy, ':');
    bool is_whole = (!index || out->metric) && (!out->metric || out->type);
    if (!is_whole || !last || !text_to_u64(last + 1, &dim) || dim < 1 || dim > VS_DIM_MAX)
        return false;
    *last = 0;
    if (!*copy || strlen(copy) > VS_FIELD_BYTES_MAX)
        return false;
    out->dim = (uint32_t)dim;
    out->name = strcpy(name, copy);
    return true;
}

int fields_parse(const shell_call *call, vs_field *field, char (*names)[VS_FIELD_BYTES_MAX + 1],
                 vs_collection_options *out_options) {
    const char *text = NULL;
    int count = 0;
    for (; (text = shell_value_at(call, "--field", count)); count++) {
        if (count == (int)VS_FIELDS_MAX)
            return shell_usage(call, "more than %u fields", VS_FIELDS_MAX);
        if (!parse_field(text, &field[count], names[count]))
            return shell_usage(call,
                               "--field is '%s', expected NAME:DIM[:TYPE[:METRIC[:INDEX]]]"
                               "[:optional] with a dim of 1 to %u",
                               text, VS_DIM_MAX);
    }
    out_options->fields = count ? field : NULL;
    out_options->field_count = (size_t)count;
    return SHELL_OK;
}
