/* params.c - what the library says about its limits and the parameters of a database: it is true, docs/LIMITS.md
 * and vecstore.h say the same, and what is set takes effect. */
#include "sample.h"
#include <pthread.h>
#include <stdatomic.h>

#define PAGE   "docs/LIMITS.md"
#define HEADER "vecstore.h"

enum { ROOM = 1 << 16 };

/* ---- the page ------------------------------------------------------------------------------- */

static const char *kind_name(int kind) {
    static const char *const names[] = {"?", "bool", "bytes", "milliseconds", "choice"};
    return kind > 0 && kind < 5 ? names[kind] : names[0];
}

/* Word number at of words. */
static const char *word_at(const char *words, uint64_t at) {
    static char word[32];
    for (; at; at--)
        words = strchr(words, ' ') + 1;
    snprintf(word, sizeof word, "%.*s", (int)strcspn(words, " "), words);
    return word;
}

static size_t add_limit(char *out, size_t at, const vs_limit_info *info) {
    int n = snprintf(out + at, ROOM - at, "| %s | %" PRIu64 " | %s | %s | %s |\n", info->name,
                     info->value, info->unit, info->of, info->description);
    VT_CHECK(n > 0 && (size_t)n < ROOM - at);
    return at + (size_t)n;
}

static size_t add_param(char *out, size_t at, const vs_param_info *info) {
    char fallback[64], range[128];
    snprintf(fallback, sizeof fallback, "%" PRIu64, info->default_value);
    snprintf(range, sizeof range, "%" PRIu64 " to %" PRIu64, info->minimum, info->maximum);
    if (!strcmp(info->name, "cpu")) { /* the machine's */
        snprintf(fallback, sizeof fallback, "the best");
        snprintf(range, sizeof range, "vs_cpu_features");
    } else if (info->kind == VS_PARAM_CHOICE) {
        snprintf(fallback, sizeof fallback, "%s",
                 word_at(info->choices, info->default_value - info->minimum));
        snprintf(range, sizeof range, "%s", info->choices);
    }
    int n = snprintf(out + at, ROOM - at, "| %s | %s | %s | %s | %s | %s |\n", info->name,
                     kind_name(info->kind), fallback, range, info->can_change ? "yes" : "no",
                     info->description);
    VT_CHECK(n > 0 && (size_t)n < ROOM - at);
    return at + (size_t)n;
}

/* The rows of both tables, as the page must have them. */
static void expected_rows(char *out) {
    vs_limit_info limit = VS_LIMIT_INFO_INIT;
    vs_param_info param = VS_PARAM_INFO_INIT;
    size_t at = 0;
    for (size_t i = 0; vs_limit_at(i, &limit) == VS_OK; i++)
        at = add_limit(out, at, &limit);
    for (size_t i = 0; vs_param_at(NULL, i, &param) == VS_OK; i++)
        at = add_param(out, at, &param);
    out[at] = 0;
}

/* Lines of the page that are rows: not the names of columns, nor the line under them. */
static void rows_of_page(char *out) {
    size_t bytes = 0, at = 0;
    char *page = (char *)vt_read_file(PAGE, &bytes);
    VT_CHECK(page && bytes < ROOM);
    for (size_t i = 0; i < bytes;) {
        size_t end = i;
        while (end < bytes && page[end] != '\n')
            end++;
        const char *line = page + i;
        bool is_row = line[0] == '|' && strncmp(line, "|--", 3) && strncmp(line, "| name |", 8);
        if (is_row) {
            memcpy(out + at, line, end - i + 1);
            at += end - i + 1;
        }
        i = end + 1;
    }
    out[at] = 0;
    free(page);
}

/* VT_WRITE_LIMITS=1 prints the rows that the page must have. */
VT_TEST(the_page_of_limits_has_every_limit_and_parameter_with_its_true_value) {
    static char expected[ROOM], found[ROOM];
    expected_rows(expected);
    if (getenv("VT_WRITE_LIMITS"))
        fputs(expected, stdout);
    rows_of_page(found);
    char *want = expected, *have = found;
    while (*want || *have) {
        size_t w = strcspn(want, "\n"), h = strcspn(have, "\n");
        if (w != h || memcmp(want, have, w))
            vt_fail(__FILE__, __LINE__, "%s has\n  %.*s\nexpected\n  %.*s", PAGE, (int)h, have,
                    (int)w, want);
        want += w + (want[w] == '\n');
        have += h + (have[h] == '\n');
    }
}

static uint64_t limit_of(const char *name) {
    vs_limit_info info = VS_LIMIT_INFO_INIT;
    for (size_t i = 0; vs_limit_at(i, &info) == VS_OK; i++)
        if (!strcmp(info.name, name))
            return info.value;
    vt_fail(__FILE__, __LINE__, "no limit is named %s", name);
}

VT_TEST(every_limit_of_the_header_is_in_the_table_with_its_value) {
    size_t bytes = 0;
    char *text = (char *)vt_read_file(HEADER, &bytes);
    int found = 0;
    VT_CHECK(text);
    text[bytes - 1] = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char name[64] = "";
        unsigned long long value = 0;
        int n = sscanf(line, "#define %63s %llu", name, &value);
        size_t length = strlen(name);
        if (n == 2 && length > 4 && !strcmp(name + length - 4, "_MAX")) {
            VT_EQ(limit_of(name), value);
            found++;
        }
    }
    VT_EQ(found, 15);
    VT_EQ(limit_of("VS_VFS_WHY_BYTES"), VS_VFS_WHY_BYTES);
    free(text);
}

/* ---- limits --------------------------------------------------------------------------------- */

VT_TEST(limits_are_listed_each_once_and_then_there_are_no_more) {
    vs_limit_info a = VS_LIMIT_INFO_INIT, b = VS_LIMIT_INFO_INIT;
    size_t count = 0;
    while (vs_limit_at(count, &a) == VS_OK) {
        VT_CHECK(a.size == sizeof a && a.value && *a.name && *a.unit && *a.of && *a.description);
        for (size_t i = 0; i < count; i++) {
            VT_EQ(vs_limit_at(i, &b), VS_OK);
            VT_CHECK(strcmp(a.name, b.name) != 0);
        }
        count++;
    }
    VT_CHECK(count > 20);
    b = a;
    VT_EQ(vs_limit_at(count, &a), VS_DONE);
    VT_EQ(vs_limit_at(SIZE_MAX, &a), VS_DONE);
    VT_CHECK(!memcmp(&a, &b, sizeof a));
    VT_EQ(vs_limit_at(0, NULL), VS_ERR_MISUSE);
    a.size = 0;
    VT_EQ(vs_limit_at(0, &a), VS_ERR_MISUSE);
    struct {
        uint32_t size;
        const char *name;
        uint64_t value;
    } shorter = {sizeof shorter, NULL, 0}; /* of another version */
    VT_EQ(vs_limit_at(1, (vs_limit_info *)(void *)&shorter), VS_OK);
    VT_STR(shorter.name, "VS_DIM_MAX");
    VT_EQ(shorter.value, VS_DIM_MAX);
}

static char *repeated(char of, uint64_t count) {
    char *text = malloc((size_t)count + 1);
    VT_CHECK(text);
    memset(text, of, (size_t)count);
    text[count] = 0;
    return text;
}

/* Metadata of so many bytes, and nested so deep. */
static vs_status put_metadata(vs_collection *c, uint64_t bytes) {
    char *text = repeated('x', bytes);
    float v = 0;
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + bytes - 2, "\"}", 2);
    vs_status st = sample_try_put(c, NULL, 1, &v, text, VS_UPSERT);
    free(text);
    return st;
}

static vs_status put_nested(vs_collection *c, uint64_t depth) {
    char text[1000] = "{\"a\":";
    float v = 0;
    memset(text + 5, '[', depth - 1);
    memset(text + 5 + depth - 1, ']', depth - 1);
    memcpy(text + 5 + 2 * (depth - 1), "}", 2);
    return sample_try_put(c, NULL, 1, &v, text, VS_UPSERT);
}

static vs_status create(vs_db *db, uint64_t name_bytes, uint64_t dim, uint64_t field_count) {
    char *name = repeated('n', name_bytes);
    vs_field fields[32];
    char names[32][8];
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    options.fields = fields;
    options.field_count = (size_t)field_count;
    for (uint64_t i = 0; i < field_count; i++) {
        snprintf(names[i], sizeof names[i], "f%d", (int)i);
        fields[i] = (vs_field)VS_FIELD_INIT;
        fields[i].dim = (uint32_t)dim;
        fields[i].name = names[i];
    }
    vs_txn *txn = sample_begin(db, VS_TXN_WRITE);
    vs_status st = vs_collection_create(db, txn, name, &options, NULL);
    vs_rollback(txn);
    free(name);
    return st;
}

static vs_status put_key(vs_collection *c, uint64_t bytes) {
    char *key = repeated('k', bytes);
    float v = 0;
    vs_record r = VS_RECORD_INIT;
    r.key = vs_key_text(key);
    r.vector = &v;
    vs_status st = vs_put(c, NULL, &r, VS_UPSERT);
    free(key);
    return st;
}

static vs_status put_note(vs_db *db, uint64_t key_bytes, uint64_t value_bytes) {
    char *key = repeated('k', key_bytes), *value = repeated('v', value_bytes);
    vs_status st = vs_kv_put(db, NULL, NULL, key, (size_t)key_bytes, value, (size_t)value_bytes);
    free(key);
    free(value);
    return st;
}

static vs_status open_named(const vs_vfs *vfs, uint64_t bytes) {
    char *name = repeated('f', bytes);
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.vfs = vfs;
    options.flags = VS_OPEN_CREATE;
    vs_status st = vs_open(name, &options, &db);
    VT_EQ(vs_close(db), VS_OK);
    free(name);
    return st;
}

VT_TEST(limits_hold_where_they_are_said_to) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    uint64_t n = limit_of("VS_NAME_BYTES_MAX");
    VT_OK(create(s.db, n, 1, 1), s.db);
    VT_EQ(create(s.db, n + 1, 1, 1), VS_ERR_INVALID);
    n = limit_of("VS_DIM_MAX");
    VT_OK(create(s.db, 1, n, 1), s.db);
    VT_EQ(create(s.db, 1, n + 1, 1), VS_ERR_INVALID);
    n = limit_of("VS_FIELDS_MAX");
    VT_OK(create(s.db, 1, 1, n), s.db);
    VT_EQ(create(s.db, 1, 1, n + 1), VS_ERR_LIMIT);
    n = limit_of("VS_KEY_BYTES_MAX");
    VT_OK(put_key(c, n), c);
    VT_EQ(put_key(c, n + 1), VS_ERR_LIMIT);
    n = limit_of("VS_METADATA_BYTES_MAX");
    VT_OK(put_metadata(c, n), c);
    VT_EQ(put_metadata(c, n + 1), VS_ERR_LIMIT);
    n = limit_of("VS_JSON_DEPTH_MAX");
    VT_OK(put_nested(c, n), c);
    VT_EQ(put_nested(c, n + 1), VS_ERR_LIMIT);
    n = limit_of("VS_KV_KEY_BYTES_MAX");
    VT_OK(put_note(s.db, n, 1), s.db);
    VT_EQ(put_note(s.db, n + 1, 1), VS_ERR_LIMIT);
    n = limit_of("VS_KV_VALUE_BYTES_MAX");
    VT_OK(put_note(s.db, 1, n), s.db);
    VT_EQ(put_note(s.db, 1, n + 1), VS_ERR_LIMIT);
    n = limit_of("VS_PAYLOAD_BYTES_MAX");
    if (n < SIZE_MAX)
        VT_EQ(vs_payload_write(c, NULL, vs_key_u64(1), 0, &n, (size_t)(n + 1)), VS_ERR_LIMIT);
    n = limit_of("file_name_bytes");
    VT_EQ(open_named(s.vfs, n), VS_OK);
    VT_EQ(open_named(s.vfs, n + 1), VS_ERR_LIMIT);
    vs_txn *txn = sample_begin(s.db, VS_TXN_WRITE);
    uint32_t point = 0;
    char *token = repeated('t', limit_of("VS_TOKEN_BYTES_MAX") + 1);
    VT_EQ(vs_txn_token(txn, token, strlen(token), NULL), VS_ERR_LIMIT);
    VT_OK(vs_txn_token(txn, token, strlen(token) - 1, NULL), txn);
    free(token);
    for (n = limit_of("VS_SAVEPOINTS_MAX"); n; n--)
        VT_OK(vs_savepoint(txn, &point), txn);
    VT_EQ(vs_savepoint(txn, &point), VS_ERR_LIMIT);
    vs_rollback(txn);
    vs_collection_close(c);
    sample_end(&s);
}

/* ---- parameters ----------------------------------------------------------------------------- */

static vs_param_info param_of(vs_db *db, const char *name) {
    vs_param_info info = VS_PARAM_INFO_INIT;
    VT_OK(vs_param_get(db, name, &info), db);
    VT_STR(info.name, name);
    return info;
}

static uint64_t value_of(vs_db *db, const char *name) {
    return param_of(db, name).value;
}

VT_TEST(parameters_are_listed_and_found_by_name) {
    sample s = sample_new();
    vs_param_info a = VS_PARAM_INFO_INIT, b = VS_PARAM_INFO_INIT;
    size_t count = 0;
    while (vs_param_at(s.db, count, &a) == VS_OK) {
        VT_CHECK(*a.name && *a.description && strcmp(kind_name(a.kind), "?"));
        VT_CHECK(a.minimum <= a.value && a.value <= a.maximum);
        VT_CHECK(a.minimum <= a.default_value && a.default_value <= a.maximum);
        VT_CHECK((a.kind == VS_PARAM_CHOICE) == (*a.choices != 0));
        VT_EQ(a.value, a.default_value); /* nothing was said when it was opened */
        b = param_of(s.db, a.name);
        VT_CHECK(a.name == b.name && a.value == b.value && a.can_change == b.can_change);
        VT_OK(vs_param_at(NULL, count, &b), NULL);
        VT_CHECK(a.name == b.name && a.value == b.value && a.maximum == b.maximum);
        count++;
    }
    VT_EQ(vs_param_at(s.db, count, &a), VS_DONE);
    VT_EQ(vs_param_at(NULL, SIZE_MAX, &a), VS_DONE);
    VT_EQ(count, 10);
    sample_end(&s);
}

VT_TEST(parameters_show_what_a_database_was_opened_with) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.sync = VS_SYNC_OFF;
    options.busy_timeout_ms = VS_NO_WAIT;
    options.memory_limit = VS_NO_LIMIT;
    options.compression = VS_COMPRESSION_NONE;
    options.trailer_bytes = 40;
    options.flags = VS_OPEN_MMAP;
    options.cpu = "scalar";
    VT_OK(vs_open(":memory:", &options, &db), db);
    VT_EQ(value_of(db, "sync"), VS_SYNC_OFF);
    VT_EQ(value_of(db, "busy_timeout_ms"), VS_NO_WAIT);
    VT_EQ(value_of(db, "memory_limit"), VS_NO_LIMIT);
    VT_EQ(value_of(db, "compression"), VS_COMPRESSION_NONE);
    VT_EQ(value_of(db, "trailer_bytes"), 40);
    VT_EQ(value_of(db, "mmap"), 1);
    VT_EQ(value_of(db, "readonly"), 0);
    vs_param_info cpu = param_of(db, "cpu");
    VT_STR(cpu.choices, vs_cpu_features());
    VT_STR(word_at(cpu.choices, cpu.value), "scalar");
    VT_EQ(cpu.value, cpu.maximum);
    VT_OK(vs_close(db), db);
}

static void expect_set(vs_db *db, const char *name, uint64_t value) {
    VT_OK(vs_param_set(db, name, value), db);
    VT_EQ(value_of(db, name), value);
}

static void expect_refusal(vs_db *db, const char *name, uint64_t value, vs_status status,
                           const char *message) {
    vs_param_info info = VS_PARAM_INFO_INIT, after = VS_PARAM_INFO_INIT;
    bool is_known = vs_param_get(db, name, &info) == VS_OK;
    VT_EQ(vs_param_set(db, name, value), status);
    VT_CONTAINS(vs_errmsg(db), message);
    if (is_known) {
        VT_OK(vs_param_get(db, name, &after), db);
        VT_EQ(after.value, info.value);
    }
}

VT_TEST(each_parameter_takes_its_range_and_nothing_else) {
    sample s = sample_new();
    vs_param_info info = VS_PARAM_INFO_INIT;
    int changed = 0;
    for (size_t i = 0; vs_param_at(s.db, i, &info) == VS_OK; i++) {
        if (!info.can_change) {
            expect_refusal(s.db, info.name, info.value, VS_ERR_MISUSE, info.name);
            continue;
        }
        expect_set(s.db, info.name, info.minimum);
        expect_set(s.db, info.name, info.maximum);
        if (info.minimum)
            expect_refusal(s.db, info.name, info.minimum - 1, VS_ERR_INVALID, info.name);
        if (info.maximum < UINT64_MAX)
            expect_refusal(s.db, info.name, info.maximum + 1, VS_ERR_INVALID, info.name);
        expect_set(s.db, info.name, info.default_value);
        changed++;
    }
    VT_EQ(changed, 6);
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    vs_collection_close(c);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(wrong_names_and_arguments_are_refused) {
    sample s = sample_new();
    vs_param_info info = VS_PARAM_INFO_INIT, none = {.size = 0};
    expect_refusal(s.db, "", 1, VS_ERR_NOT_FOUND, "''");
    expect_refusal(s.db, "memory", 1, VS_ERR_NOT_FOUND, "'memory'");
    expect_refusal(s.db, "Memory_limit", 1, VS_ERR_NOT_FOUND, "no parameter");
    VT_EQ(vs_param_get(s.db, "nothing", &info), VS_ERR_NOT_FOUND);
    VT_EQ(vs_param_get(NULL, "nothing", &info), VS_ERR_NOT_FOUND);
    VT_EQ(vs_param_get(NULL, "sync", &info), VS_OK);
    VT_EQ(info.value, VS_SYNC_FULL);
    VT_EQ(vs_param_set(NULL, "sync", 1), VS_ERR_MISUSE);
    VT_EQ(vs_param_set(s.db, NULL, 1), VS_ERR_MISUSE);
    VT_EQ(vs_param_get(s.db, NULL, &info), VS_ERR_MISUSE);
    VT_EQ(vs_param_get(s.db, "sync", NULL), VS_ERR_MISUSE);
    VT_EQ(vs_param_at(s.db, 0, NULL), VS_ERR_MISUSE);
    VT_EQ(vs_param_get(s.db, "sync", &none), VS_ERR_MISUSE);
    VT_EQ(vs_param_at(NULL, 0, &none), VS_ERR_MISUSE);
    vs_txn *txn = sample_begin(s.db, VS_TXN_READ);
    VT_EQ(vs_param_at((vs_db *)(void *)txn, 0, &info), VS_ERR_MISUSE);
    VT_EQ(vs_param_set((vs_db *)(void *)txn, "sync", 1), VS_ERR_MISUSE);
    vs_rollback(txn);
    vs_db *failed = NULL;
    VT_EQ(vs_open("", NULL, &failed), VS_ERR_INVALID);
    VT_EQ(vs_param_get(failed, "sync", &info), VS_ERR_MISUSE);
    VT_EQ(vs_param_set(failed, "sync", 1), VS_ERR_MISUSE);
    VT_EQ(vs_close(failed), VS_OK);
    sample_end(&s);
}

VT_TEST(a_new_default_of_durability_holds_for_the_next_commit) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    float v = 1;
    expect_set(s.db, "sync", VS_SYNC_OFF);
    sample_put(c, NULL, 1, &v, NULL);
    VT_CHECK(sample_stats(s.db).durable_lsn < sample_stats(s.db).lsn);
    expect_set(s.db, "sync", VS_SYNC_FULL);
    sample_put(c, NULL, 2, &v, NULL);
    VT_EQ(sample_stats(s.db).durable_lsn, sample_stats(s.db).lsn);
    vs_collection_close(c);
    sample_reopen(&s);
    VT_EQ(value_of(s.db, "sync"), VS_SYNC_FULL); /* nothing was stored */
    sample_end(&s);
}

VT_TEST(a_lower_memory_limit_takes_what_may_go_at_once) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1024, VS_F32, VS_L2);
    static float v[1024];
    for (uint64_t key = 0; key < 1000; key++) {
        v[0] = (float)key;
        sample_put(c, NULL, key, v, NULL);
    }
    VT_OK(vs_checkpoint(s.db), s.db);
    uint64_t before = sample_stats(s.db).memory_bytes;
    VT_CHECK(before > 4000000);
    expect_set(s.db, "memory_limit", 1 << 20);
    VT_EQ(sample_stats(s.db).memory_limit, 1 << 20);
    VT_CHECK(sample_stats(s.db).memory_bytes < before / 2);
    vs_hit hit;
    size_t n = 0;
    for (int limited = 0; limited < 2; limited++) { /* no answer depends on it */
        VT_OK(vs_search(c, NULL, v, 0, 1, NULL, &hit, &n), c);
        VT_EQ(hit.key.number, 999);
        expect_set(s.db, "memory_limit", VS_NO_LIMIT);
    }
    VT_CHECK(sample_stats(s.db).memory_bytes > 4000000);
    vs_collection_close(c);
    sample_end(&s);
}

VT_TEST(a_new_size_of_the_log_asks_for_checkpoints) {
    sample s = sample_new();
    vs_collection *c = sample_create(s.db, NULL, "c", 1, VS_F32, VS_L2);
    float v = 1;
    sample_put(c, NULL, 0, &v, NULL);
    VT_EQ(sample_stats(s.db).checkpoints, 0);
    expect_set(s.db, "checkpoint_log_bytes", 1);
    for (uint64_t key = 1; key < 6; key++) { /* one for each commit */
        sample_put(c, NULL, key, &v, NULL);
        VT_EQ(sample_stats(s.db).checkpoints, key);
    }
    expect_set(s.db, "checkpoint_log_bytes", 0);
    sample_put(c, NULL, 7, &v, NULL);
    VT_EQ(sample_stats(s.db).checkpoints, 5);
    sample_check(s.db);
    vs_collection_close(c);
    sample_end(&s);
}

/* What compresses well, as the file has it. */
static uint64_t used_bytes(vs_db *db) {
    VT_OK(vs_checkpoint(db), db);
    VT_OK(vs_kv_put(db, NULL, NULL, "k", 1, "v", 1), db);
    VT_OK(vs_checkpoint(db), db);
    vs_stats stats = sample_stats(db);
    return stats.file_bytes - stats.free_bytes;
}

VT_TEST(compression_can_be_chosen_at_any_time) {
    sample s = sample_new();
    char *value = repeated('v', 400000);
    uint64_t before = used_bytes(s.db);
    expect_set(s.db, "compression", VS_COMPRESSION_NONE);
    VT_OK(vs_kv_put(s.db, NULL, NULL, "a", 1, value, 400000), s.db);
    uint64_t plain = used_bytes(s.db);
    VT_CHECK(plain > before + 380000);
    if (param_of(s.db, "compression").maximum == VS_COMPRESSION_ZSTD) {
        expect_set(s.db, "compression", VS_COMPRESSION_ZSTD);
        VT_OK(vs_kv_put(s.db, NULL, NULL, "b", 1, value, 400000), s.db);
        VT_CHECK(used_bytes(s.db) < plain + 100000);
    }
    sample_check(s.db);
    free(value);
    sample_end(&s);
}

static void *begin_elsewhere(void *db) {
    vs_txn *txn = NULL;
    return vs_begin(db, VS_TXN_WRITE, &txn) == VS_OK ? txn : NULL;
}

VT_TEST(a_new_timeout_holds_for_the_next_call_that_waits) {
    sample s = sample_new();
    pthread_t thread;
    void *held = NULL;
    vs_txn *txn = NULL;
    VT_EQ(pthread_create(&thread, NULL, begin_elsewhere, s.db), 0);
    VT_EQ(pthread_join(thread, &held), 0);
    VT_CHECK(held);
    expect_set(s.db, "busy_timeout_ms", VS_NO_WAIT);
    VT_EQ(vs_begin(s.db, VS_TXN_WRITE, &txn), VS_ERR_BUSY);
    expect_set(s.db, "busy_timeout_ms", 1);
    VT_EQ(vs_begin(s.db, VS_TXN_WRITE, &txn), VS_ERR_BUSY);
    vs_rollback(held);
    VT_OK(vs_begin(s.db, VS_TXN_WRITE, &txn), s.db);
    vs_rollback(txn);
    sample_end(&s);
}

typedef struct contest {
    vs_db *db;
    atomic_int is_over, failures;
} contest;

static void *contest_use(void *ctx) {
    contest *x = ctx;
    vs_collection *c = sample_collection(x->db, "c");
    char *value = repeated('v', 20000);
    float v[64] = {0};
    for (uint64_t key = 0; key < 300; key++) {
        vs_hit hit;
        size_t n = 0;
        v[0] = (float)key;
        if (sample_try_put(c, NULL, key, v, NULL, VS_UPSERT) != VS_OK ||
            vs_kv_put(x->db, NULL, c, &key, sizeof key, value, 20000) != VS_OK ||
            vs_search(c, NULL, v, VS_F32, 1, NULL, &hit, &n) != VS_OK || n != 1)
            atomic_fetch_add(&x->failures, 1);
    }
    atomic_store(&x->is_over, 1);
    free(value);
    vs_collection_close(c);
    return NULL;
}

VT_TEST(parameters_may_be_set_while_others_read_and_write) {
    sample s = sample_new();
    contest x = {.db = s.db};
    pthread_t threads[2];
    vt_rng rng = {vt_seed()};
    static const uint64_t limits[] = {100000, 1 << 20, VS_NO_LIMIT};
    vs_collection_close(sample_create(s.db, NULL, "c", 64, VS_F32, VS_L2));
    for (int i = 0; i < 2; i++)
        VT_EQ(pthread_create(&threads[i], NULL, contest_use, &x), 0);
    while (!atomic_load(&x.is_over)) {
        VT_OK(vs_param_set(s.db, "memory_limit", limits[vt_below(&rng, 3)]), s.db);
        VT_OK(vs_param_set(s.db, "sync", 1 + vt_below(&rng, 3)), s.db);
        VT_OK(vs_param_set(s.db, "checkpoint_log_bytes", vt_below(&rng, 2) * 300000), s.db);
        VT_OK(vs_param_set(s.db, "compression",
                           vt_below(&rng, 2) ? VS_COMPRESSION_NONE
                                             : param_of(s.db, "compression").maximum),
              s.db);
        VT_OK(vs_param_set(s.db, "busy_timeout_ms", 60000 + vt_below(&rng, 2)), s.db);
    }
    for (int i = 0; i < 2; i++)
        VT_EQ(pthread_join(threads[i], NULL), 0);
    VT_EQ(x.failures, 0);
    sample_check(s.db);
    vs_stats before = sample_stats(s.db);
    sample_reopen(&s);
    VT_EQ(sample_stats(s.db).digest[0], before.digest[0]);
    sample_check(s.db);
    sample_end(&s);
}

VT_TEST(a_database_opened_read_only_has_parameters_too) {
    sample s = sample_new();
    VT_OK(vs_close(s.db), s.db);
    s.db = sample_open(s.vfs, "t.vs", VS_OPEN_READONLY);
    VT_EQ(value_of(s.db, "readonly"), 1);
    expect_set(s.db, "memory_limit", 1000000);
    expect_refusal(s.db, "readonly", 0, VS_ERR_MISUSE, "fixed");
    sample_end(&s);
}
