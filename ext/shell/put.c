/* put.c - writing a record, or changing parts of one: put and set.
 *
 * The words behind the key are the vector, unless --vector says the vectors, and the metadata, unless --patch
 * changes them. */
#include "command.h"
#include "commands.h"
#include "record.h"
#include "store.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

static const char *const put_modes[] = {"upsert", "insert", "replace", "ignore", NULL}; /* VS_... */

typedef struct putter {
    const shell_call *call;
    store_use use;
    field_list fields;
    uint32_t target; /* the field of a vector without a name */
    record_key key;
    const char *vector, *metadata; /* words; NULL: not given */
    int mode;                      /* VS_UPSERT, ... */
    uint32_t what;                 /* VS_UPDATE_..., 0: a whole record is put */
    bool is_appending;
    vs_vector vectors[VS_FIELDS_MAX]; /* [vector_count] data NULL: the vector goes */
    size_t vector_count;
    record_vectors loaded[VS_FIELDS_MAX]; /* what they point into, by field */
    bool is_given[VS_FIELDS_MAX];
} putter;

/* ---- words ---------------------------------------------------------------------------------- */

static int choose_mode(putter *p) {
    static const char *const switches[] = {"--insert", "--replace", "--ignore"}; /* VS_INSERT ... */
    int word = shell_word(p->call, "--mode", put_modes), given = word > 0;
    p->mode = word ? VS_UPSERT + word - 1 : VS_UPSERT;
    for (int i = 0; i < 3; i++) {
        if (!shell_value(p->call, switches[i]))
            continue;
        p->mode = VS_INSERT + i;
        given++;
    }
    if (given > 1)
        return shell_usage(p->call, "--mode, --insert, --replace and --ignore exclude each other");
    if (given && p->is_appending)
        return shell_usage(p->call, "--append writes a new record, so --mode, --insert, --replace "
                                    "and --ignore have no place beside it");
    if (given && p->what)
        return shell_usage(p->call, "--patch changes a record that exists, so --mode, --insert, "
                                    "--replace and --ignore have no place beside it");
    return SHELL_OK;
}

static int check_options(const putter *p) {
    const shell_call *call = p->call;
    if (p->is_appending && p->what)
        return shell_usage(call, "--append and --patch exclude each other");
    if (p->is_appending && shell_value(call, "--if-version"))
        return shell_usage(call, "--append writes a new record, which has no version before");
    if (!p->is_appending && shell_value(call, "--namespace"))
        return shell_usage(call,
                           "--namespace goes with --append; else N/ stands in front of the key");
    if (p->mode == VS_INSERT && shell_value(call, "--if-version"))
        return shell_usage(call, "a record that is inserted has no version before");
    return SHELL_OK;
}

/* A word is a vector by its first character. */
static bool is_vector(const char *word) {
    return word && (*word == '[' || *word == '@' || *word == '{');
}

/* What the words behind the collection are. */
static int sort_words(putter *p) {
    const shell_call *call = p->call;
    int at = p->is_appending ? 1 : 2;
    if (call->arg_count < at)
        return shell_usage(call, "a key is needed, or --append");
    if (!p->is_appending && key_parse(call, call->arg[1], &p->key) != SHELL_OK)
        return SHELL_USAGE;
    const char *next = at < call->arg_count ? call->arg[at] : NULL;
    if (!shell_value(call, "--vector")) {
        if (next && !is_vector(next))
            return shell_usage(call,
                               "the vector is '%s', expected '[number, ...]', @FILE, or an "
                               "object with a vector for each field",
                               next);
        if (!next && !p->what)
            return shell_usage(call, "a vector is needed");
        p->vector = next;
        at += next != NULL;
    }
    if (at < call->arg_count)
        p->metadata = call->arg[at++];
    if (p->metadata && shell_value(call, "--patch"))
        return shell_usage(call, "--patch changes the metadata, so there are no others: '%s'",
                           p->metadata);
    return at == call->arg_count ? SHELL_OK
                                 : shell_usage(call, "unexpected argument '%s'", call->arg[at]);
}

/* ---- vectors -------------------------------------------------------------------------------- */

/* The one vector of what was loaded. */
static int choose_row(putter *p, const char *text, const record_vectors *v, uint64_t *out_row) {
    uint64_t row = shell_number(p->call, "--row", 0);
    if (row >= v->count)
        return shell_fail(p->call, "%s has %llu rows, there is no row %llu", text,
                          (unsigned long long)v->count, (unsigned long long)row);
    if (v->count > 1 && !shell_value(p->call, "--row"))
        return shell_fail(p->call, "%s has %llu rows; say which with --row N, or import them", text,
                          (unsigned long long)v->count);
    *out_row = row;
    return SHELL_OK;
}

/* A vector as a word has it, or null. */
static int add_vector(putter *p, uint32_t field, const char *text) {
    const vs_field_info *info = &p->fields.field[field];
    record_vectors *v = &p->loaded[field];
    uint64_t row = 0;
    if (p->is_given[field])
        return shell_usage(p->call, "there are two vectors '%s'", info->name);
    p->is_given[field] = true;
    if (!strcmp(text, "null")) {
        if (p->what)
            p->vectors[p->vector_count++] = (vs_vector){NULL, 0, field};
        return SHELL_OK;
    }
    if (*text != '[' && *text != '@')
        return shell_usage(p->call,
                           "the vector '%s' is '%s', expected '[number, ...]', @FILE or null",
                           info->name, text);
    if (vectors_load(p->call, text + (*text == '@'), info->name, info, v) != SHELL_OK ||
        choose_row(p, text, v, &row) != SHELL_OK)
        return SHELL_FAILED;
    p->vectors[p->vector_count++] = (vs_vector){vectors_at(v, info, row), info->type, field};
    return SHELL_OK;
}

/* NAME=VECTOR, or a vector alone. A name may have equals signs. */
static int add_named(putter *p, const char *text) {
    char name[VS_FIELD_BYTES_MAX + 2];
    for (uint32_t i = 0; i < p->fields.count; i++) {
        size_t bytes = strlen(p->fields.field[i].name);
        if (!strncmp(text, p->fields.field[i].name, bytes) && text[bytes] == '=')
            return add_vector(p, i, text + bytes + 1);
    }
    size_t bytes = strcspn(text, "=");
    if (is_vector(text) || !text[bytes])
        return add_vector(p, p->target, text);
    snprintf(name, sizeof name, "%.*s", (int)(bytes < sizeof name ? bytes : sizeof name - 1), text);
    return fields_named(p->call, &p->fields, name, &p->target);
}

static int fail_json(const putter *p, const vs_json *json) {
    const char *expected = "";
    size_t at = 0;
    vs_json_error(json, &at, &expected);
    return shell_usage(p->call, "the object of vectors, byte %zu: expected %s", at, expected);
}

/* The member whose name the reader stands at. */
static int add_member(putter *p, vs_json *json, const char *text) {
    char name[VS_FIELD_BYTES_MAX + 2];
    size_t at = 0, bytes = 0;
    uint32_t field = 0;
    if (vs_json_string(json, name, sizeof name - 1, &bytes) != VS_OK)
        bytes = 0;
    name[bytes < sizeof name ? bytes : sizeof name - 1] = 0;
    if (fields_named(p->call, &p->fields, name, &field) != SHELL_OK)
        return SHELL_FAILED;
    if (vs_json_skip(json) < 0 || vs_json_token(json, &at, &bytes) != VS_OK)
        return fail_json(p, json);
    char *value = shell_alloc(bytes + 1);
    memcpy(value, text + at, bytes);
    value[bytes] = 0;
    int result = add_vector(p, field, value);
    free(value);
    return result;
}

/* {"NAME": [...], ...} */
static int add_members(putter *p, const char *text) {
    vs_json json;
    int token, result = SHELL_OK;
    vs_json_begin(&json, text, strlen(text), 0);
    vs_json_next(&json); /* it begins with { */
    while (result == SHELL_OK && (token = vs_json_next(&json)) == VS_JSON_NAME)
        result = add_member(p, &json, text);
    if (result == SHELL_OK && (token < 0 || vs_json_next(&json) < 0))
        result = fail_json(p, &json);
    return result;
}

static int load_vectors(putter *p) {
    const char *text = NULL;
    int result = SHELL_OK;
    for (int i = 0; result == SHELL_OK && (text = shell_value_at(p->call, "--vector", i)); i++)
        result = add_named(p, text);
    if (result == SHELL_OK && p->vector)
        result =
            *p->vector == '{' ? add_members(p, p->vector) : add_vector(p, p->target, p->vector);
    return result;
}

/* ---- the record ----------------------------------------------------------------------------- */

/* What put --append says: the key. */
static void print_number(const shell_call *call, vs_key key) {
    static const rows_column columns[] = {RECORD_KEY_COLUMN(0)};
    static const rows_spec spec = {.columns = columns, .count = 1, .is_bare = true};
    row_writer r;
    command_rows(call, &spec, &r);
    rows_key(&r, key);
    rows_next(&r);
    rows_end(&r);
}

static int append_record(putter *p, vs_record *record) {
    uint32_t space = (uint32_t)shell_number(p->call, "--namespace", 0);
    uint64_t number = 0;
    record->key = vs_key_in(space, vs_key_u64(0));
    if (vs_append(p->use.collection, p->use.txn, record, &number) != VS_OK)
        return use_fail(&p->use);
    print_number(p->call, vs_key_in(space, vs_key_u64(number)));
    return SHELL_OK;
}

static int write_record(putter *p) {
    vs_record record = VS_RECORD_INIT;
    const char *patch = shell_value(p->call, "--patch");
    bool is_none = p->metadata && !strcmp(p->metadata, "null");
    record.vectors = p->vectors;
    record.vector_count = p->vector_count;
    record.metadata = patch ? patch : is_none ? NULL : p->metadata;
    record.if_version = shell_number(p->call, "--if-version", 0);
    if (p->is_appending)
        return append_record(p, &record);
    record.key = key_of(&p->key);
    uint32_t what = p->what | (p->what && p->vector_count ? VS_UPDATE_VECTORS : 0);
    vs_status st = what ? vs_update(p->use.collection, p->use.txn, &record, what)
                        : vs_put(p->use.collection, p->use.txn, &record, p->mode);
    return st == VS_OK ? SHELL_OK : use_fail(&p->use);
}

static int put(putter *p) {
    int result = sort_words(p);
    if (result != SHELL_OK)
        return result;
    result = use_write(&p->use, p->call, p->call->arg[0]);
    if (result == SHELL_OK)
        result = fields_of(p->call, p->use.collection, p->use.txn, &p->fields);
    if (result == SHELL_OK)
        result = fields_find(p->call, &p->fields, "--field", &p->target);
    if (result == SHELL_OK)
        result = load_vectors(p);
    if (result == SHELL_OK)
        result = write_record(p);
    for (uint32_t i = 0; i < VS_FIELDS_MAX; i++)
        free(p->loaded[i].rows);
    return use_end(&p->use, result);
}

/* ---- put ------------------------------------------------------------------------------------ */

static int run_put(const shell_call *call) {
    putter p = {.call = call,
                .is_appending = shell_value(call, "--append"),
                .what = shell_value(call, "--patch") ? VS_UPDATE_PATCH : 0};
    int result = choose_mode(&p);
    if (result == SHELL_OK)
        result = check_options(&p);
    return result == SHELL_OK ? put(&p) : result;
}

static const option_spec put_options[] = {
    {"--mode", OPTION_WORD, NULL, "what is done about a key that exists (upsert)", put_modes, 0, 0,
     NULL},
    {"--insert", OPTION_SWITCH, NULL, "a key that exists is an error", NULL, 0, 0, NULL},
    {"--replace", OPTION_SWITCH, NULL, "a key that does not exist is an error", NULL, 0, 0, NULL},
    {"--ignore", OPTION_SWITCH, NULL, "leave a record that exists as it is", NULL, 0, 0, NULL},
    {"--append", OPTION_SWITCH, NULL, "there is no KEY; the database chooses and prints it", NULL,
     0, 0, NULL},
    {"--namespace", OPTION_NUMBER, "N", "where --append puts it (0)", NULL, 0, UINT32_MAX, NULL},
    {"--vector", OPTION_LIST, "NAME=VECTOR", "the vector of a field; once for each", NULL, 0, 0,
     NULL},
    {"--field", OPTION_TEXT, "NAME", "the field of VECTOR (the first)", NULL, 0, 0, NULL},
    {"--row", OPTION_NUMBER, "N", "which row of @FILE, from 0 on", NULL, 0, UINT64_MAX, NULL},
    {"--patch", OPTION_TEXT, "OBJECT",
     "change metadata by a merge patch, null deletes; what is not given stays", NULL, 0, 0, NULL},
    {"--if-version", OPTION_NUMBER, "N", "only if the record has this version (get --versions)",
     NULL, 1, UINT64_MAX, NULL},
    OPTIONS_END};

const shell_command command_put = {
    .name = "put",
    .run = run_put,
    .args = "COLLECTION [KEY] [VECTOR] [METADATA]",
    .args_min = 1,
    .args_max = 4,
    .flags = COMMAND_COLLECTION,
    .brief = "write a record",
    .help =
        "Write one record; one that exists is replaced, metadata included. VECTOR is '[number, "
        "...]' or\n@FILE of vectors, of several fields an object {\"NAME\": [number, ...], ...}; "
        "with --vector there is\nno VECTOR. METADATA is a JSON object.",
    .options = put_options,
};

/* ---- set ------------------------------------------------------------------------------------ */

static int run_set(const shell_call *call) {
    record_key key;
    store_use use;
    bool is_none = !strcmp(call->arg[2], "null");
    int result = key_parse(call, call->arg[1], &key);
    if (result != SHELL_OK)
        return result;
    vs_record record = VS_RECORD_INIT;
    record.key = key_of(&key);
    record.metadata = is_none ? NULL : call->arg[2];
    record.if_version = shell_number(call, "--if-version", 0);
    result = use_write(&use, call, call->arg[0]);
    if (result == SHELL_OK &&
        vs_update(use.collection, use.txn, &record, VS_UPDATE_METADATA) != VS_OK)
        result = use_fail(&use);
    return use_end(&use, result);
}

static const option_spec set_options[] = {{"--if-version", OPTION_NUMBER, "N",
                                           "only if the record has this version (get --versions)",
                                           NULL, 1, UINT64_MAX, NULL},
                                          OPTIONS_END};

const shell_command command_set = {
    .name = "set",
    .run = run_set,
    .args = "COLLECTION KEY METADATA",
    .args_min = 3,
    .args_max = 3,
    .flags = COMMAND_COLLECTION,
    .brief = "replace the metadata of a record",
    .help =
        "Replace the metadata of a record, and leave its vectors. METADATA is a JSON object, or "
        "null for none.\nput --patch changes some of them.",
    .options = set_options,
};
