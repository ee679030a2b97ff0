/* search.c - search and distance. */
#include "command.h"
#include "commands.h"
#include "interrupt.h"
#include "query.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

/* ---- hits as rows --------------------------------------------------------------------------- */

static const rows_column hit_columns[] = {
    {"query", ROWS_NUMBER, 0, 0, ROWS_IN_FLAT, NULL},
    {"rank", ROWS_NUMBER, 5, 0, ROWS_IN_TABLES | ROWS_IN_FLAT, NULL},
    RECORD_KEY_COLUMN(20),
    {"distance", ROWS_NUMBER, 20, 0, 0, NULL},
    RECORD_METADATA_COLUMN(1)}; /* and with --vectors one for each field */
enum { HIT_COLUMNS = sizeof hit_columns / sizeof hit_columns[0] };

/* What a call searches, and how it prints what is found. */
typedef struct searcher {
    const shell_call *call;
    query_set set;
    size_t k;
    bool has_radius, has_vectors;
    double radius;
    vs_hit *hits;
    size_t room; /* of hits */
    row_writer rows;
    rows_spec spec;
    rows_column columns[HIT_COLUMNS + VS_FIELDS_MAX];
    record_rows how; /* the vectors of records that are found; with has_vectors */
    char json_open[48];
} searcher;

/* One list over all queries, or one for each. */
static bool is_one_list(const searcher *s) {
    return rows_kind(command_mode(s->call)) == ROWS_IN_FLAT;
}

static void begin_rows(searcher *s, uint64_t query) {
    snprintf(s->json_open, sizeof s->json_open, "{\"query\":%llu,\"hits\":[",
             (unsigned long long)query);
    s->spec = (rows_spec){.columns = s->columns,
                          .count = HIT_COLUMNS + s->how.shown_count,
                          .json_open = s->json_open,
                          .json_between = ",",
                          .json_close = "]}\n"};
    if (query && rows_kind(command_mode(s->call)) == ROWS_IN_TABLES)
        fputc('\n', shell_out(s->call->shell));
    command_rows(s->call, &s->spec, &s->rows);
}

static int add_hit(searcher *s, uint64_t query, size_t rank) {
    const vs_hit *hit = &s->hits[rank];
    vs_record record = VS_RECORD_INIT;
    if (vs_get(s->set.use.collection, s->set.use.txn, hit->key, &record) != VS_OK)
        return use_fail(&s->set.use);
    rows_u64(&s->rows, query);
    rows_u64(&s->rows, rank + 1);
    rows_key(&s->rows, hit->key);
    rows_double(&s->rows, hit->distance);
    rows_metadata(&s->rows, &record);
    if (s->has_vectors)
        rows_vectors(&s->rows, &s->how, &record);
    rows_next(&s->rows);
    return SHELL_OK;
}

static int print_hits(searcher *s, uint64_t query, size_t count) {
    int result = SHELL_OK;
    if (!is_one_list(s) || !query)
        begin_rows(s, query);
    for (size_t i = 0; result == SHELL_OK && i < count; i++)
        result = add_hit(s, query, i);
    if (!is_one_list(s))
        rows_end(&s->rows);
    return result;
}

/* ---- searching ------------------------------------------------------------------------------ */

static void make_room(searcher *s, size_t room) {
    if (room <= s->room)
        return;
    s->hits = shell_realloc(s->hits, room * sizeof *s->hits);
    s->room = room;
}

/* All within the radius, the nearest k when so many were asked for. */
static vs_status search_radius(searcher *s, const void *query, size_t *out_count) {
    uint64_t total = s->k;
    vs_status st = VS_OK;
    if (!s->k)
        st = vs_search_radius(s->set.use.collection, s->set.use.txn, query, 0, s->radius,
                              &s->set.options, 0, NULL, out_count, &total);
    if (st != VS_OK)
        return st;
    make_room(s, total ? (size_t)total : 1);
    return vs_search_radius(s->set.use.collection, s->set.use.txn, query, 0, s->radius,
                            &s->set.options, (size_t)total, s->hits, out_count, NULL);
}

static int search_one(searcher *s, const void *query, uint64_t at) {
    size_t count = 0;
    vs_status st = VS_OK;
    if (s->has_radius)
        st = search_radius(s, query, &count);
    else
        st = vs_search(s->set.use.collection, s->set.use.txn, query, 0, s->k, &s->set.options,
                       s->hits, &count);
    return st == VS_OK ? print_hits(s, at, count) : use_fail(&s->set.use);
}

/* Room for hits, and the columns of what is found. */
static int prepare(searcher *s) {
    uint64_t count = s->set.use.info.count;
    if (s->k > count)
        s->k = count ? (size_t)count : 1;
    make_room(s, s->k ? s->k : 1);
    memcpy(s->columns, hit_columns, sizeof hit_columns);
    return s->has_vectors ? record_vectors_of(&s->set.use, &s->how, s->columns + HIT_COLUMNS)
                          : SHELL_OK;
}

static int search_near(searcher *s, const char *near) {
    int result = query_open(&s->set, s->call, near[0] == '@' ? near + 1 : near);
    if (result == SHELL_OK)
        result = prepare(s);
    for (uint64_t i = 0; result == SHELL_OK && i < s->set.vectors.count; i++)
        result = interrupt_came(s->call->shell->interrupts)
                     ? shell_fail(s->call, "interrupted")
                     : search_one(s, query_row(&s->set, i), i);
    return result;
}

static int search_key(searcher *s, const record_key *key) {
    size_t count = 0;
    int result = query_open_field(&s->set, s->call);
    if (result == SHELL_OK)
        result = prepare(s);
    if (result == SHELL_OK && vs_search_key(s->set.use.collection, s->set.use.txn, key_of(key),
                                            s->k, &s->set.options, s->hits, &count) != VS_OK)
        result = use_fail(&s->set.use);
    return result == SHELL_OK ? print_hits(s, 0, count) : result;
}

/* ---- the command ---------------------------------------------------------------------------- */

static int check_search(const shell_call *call, record_key *out_key) {
    const char *near = shell_value(call, "--near"), *key = shell_value(call, "--key");
    if (near && key)
        return shell_usage(call, "--near and --key exclude each other");
    if (key && shell_value(call, "--radius"))
        return shell_usage(call, "--radius goes with --near, not with --key");
    if (key)
        return key_parse(call, key, out_key);
    if (near && near[0] != '@' && near[0] != '[')
        return shell_usage(call, "--near is '%.60s', expected @FILE or '[number, ...]'", near);
    if (!near)
        return shell_usage(call, "--near is needed: @FILE or '[number, ...]'; or --key KEY");
    return SHELL_OK;
}

static int search(const shell_call *call) {
    record_key key;
    uint64_t limit = call->shell->set.limit;
    bool has_radius = shell_value(call, "--radius");
    searcher s = {.call = call, .has_radius = has_radius};
    int result = check_search(call, &key);
    if (result != SHELL_OK)
        return result;
    s.has_vectors = command_wants_vectors(call);
    s.radius = shell_real(call, "--radius", 0);
    s.k = (size_t)shell_number(call, "-k", limit ? limit : has_radius ? 0 : 10);
    if (shell_value(call, "--key"))
        result = search_key(&s, &key);
    else
        result = search_near(&s, shell_value(call, "--near"));
    if (s.rows.out && is_one_list(&s))
        rows_end(&s.rows);
    free(s.hits);
    return query_close(&s.set, result);
}

static int run_search(const shell_call *call) {
    const char *json = shell_value(call, "--json");
    shell_call with_members = *call;
    char *text = NULL;
    int result = json ? query_from_json(&with_members, json, &text) : SHELL_OK;
    if (result == SHELL_OK)
        result = search(&with_members);
    free(text);
    return result;
}

static const option_spec search_options[] = {
    {"--near", OPTION_TEXT, "@FILE|'[...]'", "the vector, or each vector of a file", NULL, 0, 0,
     NULL},
    {"--key", OPTION_TEXT, "KEY", "the vector of this record, which is not among the hits", NULL, 0,
     0, NULL},
    {"--radius", OPTION_REAL, "DISTANCE", "all that are not farther; with -k the nearest of these",
     NULL, 0, 0, NULL},
    {"-k", OPTION_NUMBER, "N", "how many (10)", NULL, 1, VS_RECORDS_MAX, NULL},
    {"--json", OPTION_TEXT, "OBJECT", "these options as members of a JSON object", NULL, 0, 0,
     NULL},
    OPTION_SEARCH_FIELD,
    OPTION_MODE,
    OPTION_VECTORS,
    OPTIONS_END};

const shell_command command_search = {
    .name = "search",
    .run = run_search,
    .args = "COLLECTION",
    .args_min = 1,
    .args_max = 1,
    .flags = COMMAND_COLLECTION,
    .brief = "find the nearest records",
    .help = "Find the nearest records of one vector, of each vector in a file, or of a record. The "
            "distance of\nl2 is squared, that of ip minus the inner product.",
    .options = search_options,
};

/* ---- distance ------------------------------------------------------------------------------- */

static int print_distance(const query_set *set, vs_key key, vs_key other) {
    static const rows_column columns[] = {{"distance", ROWS_NUMBER, 0, 0, 0, NULL}};
    static const rows_spec spec = {.columns = columns, .count = 1, .is_bare = true};
    const store_use *use = &set->use;
    double distance = 0;
    row_writer r;
    if (vs_distance(use->collection, use->txn, key, other, &set->options, &distance) != VS_OK)
        return use_fail(use);
    command_rows(use->call, &spec, &r);
    rows_double(&r, distance);
    rows_next(&r);
    rows_end(&r);
    return SHELL_OK;
}

static int run_distance(const shell_call *call) {
    record_key key, other;
    query_set set;
    int result = key_parse(call, call->arg[1], &key);
    if (result == SHELL_OK)
        result = key_parse(call, call->arg[2], &other);
    if (result != SHELL_OK)
        return result;
    result = query_open_field(&set, call);
    if (result == SHELL_OK)
        result = print_distance(&set, key_of(&key), key_of(&other));
    return query_close(&set, result);
}

static const option_spec distance_options[] = {{"--field", OPTION_TEXT, "NAME",
                                                "the vector field whose distance it is (the first)",
                                                NULL, 0, 0, NULL},
                                               OPTION_MODE,
                                               OPTIONS_END};

const shell_command command_distance = {
    .name = "distance",
    .run = run_distance,
    .args = "COLLECTION KEY KEY",
    .args_min = 3,
    .args_max = 3,
    .flags = COMMAND_COLLECTION,
    .brief = "the distance of two records",
    .help = "Print the distance of two records in the metric of their collection, or of a field.",
    .options = distance_options,
};
