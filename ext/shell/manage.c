/* manage.c - create, info and check. */
#include "shell.h"
#include "text.h"
#include <string.h>

int shell_create(const shell_call *call) {
    static const char *const types[] = {"f32", "u8", "f16", "bf16", "i8", "bit", NULL}; /* VS_... */
    static const char *const metrics[] = {"l2", "ip", "cosine", "l1", "hamming", "jaccard", NULL};
    static const char *const indexes[] = {"auto", "flat", NULL};
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    if (!shell_value(call, "--dim"))
        shell_usage(call, "--dim is needed: the number of elements of a vector");
    options.dim = (uint32_t)shell_number(call, "--dim", 0, 1, VS_DIM_MAX);
    options.type = shell_word(call, "--type", types);
    options.metric = shell_word(call, "--metric", metrics);
    shell_word(call, "--index", indexes);
    options.index = shell_value(call, "--index");
    vs_db *db = shell_open(call, VS_OPEN_CREATE);
    if (!db)
        return SHELL_FAILED;
    int result = SHELL_OK;
    if (vs_collection_create(db, NULL, call->arg[0], &options, NULL) != VS_OK)
        result = shell_fail(call, "%s", vs_errmsg(db));
    return shell_close(call, db, result);
}

/* ---- info ----------------------------------------------------------------------------------- */

/* A name as a JSON string. */
static void print_json_string(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar(*text); /* names have no control characters */
    }
    putchar('"');
}

static void print_info_json(const vs_collection_info *info, bool is_first) {
    printf("%s{\"name\":", is_first ? "" : ",");
    print_json_string(info->name);
    printf(",\"count\":%llu,\"dim\":%lu,\"type\":\"%s\",\"metric\":\"%s\",\"index\":",
           (unsigned long long)info->count, (unsigned long)info->dim, vs_type_name(info->type),
           vs_metric_name(info->metric));
    print_json_string(info->index);
    putchar('}');
}

static void print_info_row(const vs_collection_info *info) {
    printf("%-24s %12llu %7lu %-5s %-7s %s\n", info->name, (unsigned long long)info->count,
           (unsigned long)info->dim, vs_type_name(info->type), vs_metric_name(info->metric),
           info->index);
}

int shell_info(const shell_call *call) {
    static const char *const modes[] = {"table", "json", NULL};
    bool is_json = shell_word(call, "--mode", modes) == 2;
    const char *only = call->arg[0];
    vs_db *db = shell_open(call, VS_OPEN_READONLY);
    vs_txn *txn = NULL;
    if (!db)
        return SHELL_FAILED;
    if (vs_begin(db, VS_TXN_READ, &txn) != VS_OK)
        return shell_close(call, db, shell_fail(call, "%s", vs_errmsg(db)));
    if (is_json)
        printf("{\"collections\":[");
    else
        printf("%-24s %12s %7s %-5s %-7s %s\n", "collection", "records", "dim", "type", "metric",
               "index");
    size_t shown = 0;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    for (size_t i = 0; vs_collection_at(db, txn, i, &info) == VS_OK; i++) {
        if (only && strcmp(only, info.name))
            continue;
        if (is_json)
            print_info_json(&info, shown == 0);
        else
            print_info_row(&info);
        shown++;
    }
    if (is_json)
        printf("]}\n");
    int result = SHELL_OK;
    if (only && !shown)
        result = shell_fail(call, "there is no collection '%s'", only);
    vs_rollback(txn);
    return shell_close(call, db, result);
}

/* ---- check ---------------------------------------------------------------------------------- */

static void print_problem(void *ctx, const char *problem) {
    (void)ctx;
    printf("%s\n", problem);
}

int shell_check(const shell_call *call) {
    int level = (int)shell_number(call, "--level", 3, 0, 3);
    uint64_t problems = 0;
    vs_db *db = shell_open(call, VS_OPEN_READONLY);
    if (!db)
        return SHELL_FAILED;
    int result = SHELL_OK;
    if (vs_check(db, level, print_problem, NULL, &problems) != VS_OK)
        result = shell_fail(call, "%s", vs_errmsg(db));
    else if (problems)
        result = shell_fail(call, "%s is damaged: %llu problem(s) at level %d", call->file,
                            (unsigned long long)problems, level);
    else
        fprintf(stderr, "vecstore: check: %s is clean at level %d\n", call->file, level);
    return shell_close(call, db, result);
}
