/* limits.c - what is bounded, and what can be set: two tables, from which docs/LIMITS.md follows. */
#include "api/database.h"
#include "base/json.h"
#include "math/dispatch.h"
#include "store/admit.h"

/* ---- limits --------------------------------------------------------------------------------- */

typedef struct limits_entry {
    const char *name;
    uint64_t value;
    const char *unit, *of, *description;
} limits_entry;

#define LIMITS_CONSTANT(name, unit, of, description)                                               \
    { #name, name, unit, of, description }

/* The constants of vecstore.h, in its order; then those that its comments name. */
static const limits_entry limits_all[] = {
    LIMITS_CONSTANT(VS_VFS_WHY_BYTES, "bytes", "file system",
                    "room for the reason that a VFS gives, its NUL among them"),
    LIMITS_CONSTANT(VS_DIM_MAX, "elements", "vector", "elements of a vector"),
    LIMITS_CONSTANT(VS_NAME_BYTES_MAX, "bytes", "collection", "name of a collection, or an alias"),
    LIMITS_CONSTANT(VS_FIELDS_MAX, "fields", "collection", "vector fields"),
    LIMITS_CONSTANT(VS_FIELD_BYTES_MAX, "bytes", "field", "name of a field"),
    LIMITS_CONSTANT(VS_INDEX_BYTES_MAX, "bytes", "field", "index description"),
    LIMITS_CONSTANT(VS_KEY_BYTES_MAX, "bytes", "record", "key, of kind VS_KEY_BYTES"),
    LIMITS_CONSTANT(VS_METADATA_BYTES_MAX, "bytes", "record", "metadata"),
    LIMITS_CONSTANT(VS_PAYLOAD_BYTES_MAX, "bytes", "record", "payload"),
    LIMITS_CONSTANT(VS_RECORDS_MAX, "records", "collection", "records"),
    LIMITS_CONSTANT(VS_KV_KEY_BYTES_MAX, "bytes", "note", "key of a note"),
    LIMITS_CONSTANT(VS_KV_VALUE_BYTES_MAX, "bytes", "note", "value of a note"),
    LIMITS_CONSTANT(VS_SAVEPOINTS_MAX, "savepoints", "transaction", "savepoints that are open"),
    LIMITS_CONSTANT(VS_TOKEN_BYTES_MAX, "bytes", "transaction", "token"),
    LIMITS_CONSTANT(VS_TOKENS_MAX, "tokens", "database",
                    "tokens that are known; older ones are not"),
    LIMITS_CONSTANT(VS_JSON_DEPTH_MAX, "levels", "JSON", "arrays and objects in each other"),
    {"merge_patch_bytes", UINT32_MAX - 1, "bytes", "JSON", "each text of vs_json_merge_patch"},
    {"path_bytes", VSI_PATH_BYTES_MAX - 1, "bytes", "database", "absolute path of the file"},
    {"file_name_bytes", VSI_NAME_BYTES_MAX, "bytes", "database",
     "name of the file, without its folder; its logs have longer ones"},
    {"file_bytes", VSI_PAGE_NO_MAX *VSI_PAGE_BYTES, "bytes", "database",
     "the file; what the file system can have may be less"},
    {"collections", VSI_COLL_ID_MAX, "collections", "database",
     "collections, also those that are gone: ids are not used again"},
    {"namespaces", (uint64_t)UINT32_MAX + 1, "namespaces", "collection", "namespaces of keys"},
    {"log_bytes_min", VSI_CHECKPOINT_LOG_BYTES, "bytes", "database",
     "a shorter log asks for no checkpoint, unless checkpoint_log_bytes is set"},
    {"log_bytes_max", VSI_CHECKPOINT_LOG_BYTES_MAX, "bytes", "database",
     "a log of this size asks for a checkpoint, unless checkpoint_log_bytes is set"},
    {"normal_sync_bytes", VSI_NORMAL_BYTES, "bytes", "transaction",
     "commits at VS_SYNC_NORMAL since the last sync that make one sync"},
    {"normal_sync_us", VSI_NORMAL_US, "microseconds", "transaction",
     "time since the last sync that makes a commit at VS_SYNC_NORMAL sync"},
    {"unsynced_bytes", VSI_UNSYNCED_MAX, "bytes", "database",
     "commits that may wait for a sync, or a quarter of the memory limit; more force one"},
    {"file_reserve_bytes_min", (uint64_t)VSI_RESERVE_PAGES *VSI_PAGE_BYTES, "bytes", "database",
     "of the file kept for deleting on a full disk, at least"},
    {"file_reserve_bytes_max", (uint64_t)VSI_RESERVE_PAGES_MAX *VSI_PAGE_BYTES, "bytes", "database",
     "of the file kept for deleting on a full disk, at most"},
    {"log_reserve_bytes_min", VSI_RESERVE_LOG_BYTES, "bytes", "database",
     "of the log kept for deleting on a full disk, at least"},
    {"log_reserve_bytes_max", VSI_RESERVE_LOG_BYTES_MAX, "bytes", "database",
     "of the log kept for deleting on a full disk, at most"},
    {"interrupts", VSI_INTERRUPTS_MAX, "calls", "file system",
     "calls in a row that a VFS may end with VS_ERR_INTERRUPTED"},
    {"message_bytes", VSI_ERR_TEXT_BYTES - 1, "bytes", "message",
     "vs_errmsg; what is longer is cut"},
};

vs_status vs_limit_at(size_t at, vs_limit_info *out_info) {
    vsi_err err = {0};
    if (!out_info || vsi_struct_check(&err, "vs_limit_info", out_info) != VS_OK)
        return VS_ERR_MISUSE;
    if (at >= sizeof limits_all / sizeof *limits_all)
        return VS_DONE;
    const limits_entry *entry = &limits_all[at];
    vs_limit_info info = {.size = out_info->size,
                          .name = entry->name,
                          .value = entry->value,
                          .unit = entry->unit,
                          .of = entry->of,
                          .description = entry->description};
    vsi_struct_write(&info, sizeof info, out_info);
    return VS_OK;
}

/* ---- parameters ----------------------------------------------------------------------------- */

typedef uint64_t limits_get(vs_db *db);
typedef void limits_set(vs_db *db, uint64_t value);

typedef struct limits_param {
    const char *name;
    int kind;
    uint64_t fallback, minimum, maximum;
    const char *choices; /* of VS_PARAM_CHOICE; NULL: those of cpu */
    limits_get *get;
    limits_set *set; /* NULL: it is fixed when the database is opened */
    const char *description;
} limits_param;

static uint64_t param_memory_limit(vs_db *db) {
    return vsi_atomic_load(&db->engine->pager.reside.limit_bytes);
}

static void param_set_memory_limit(vs_db *db, uint64_t value) {
    vsi_atomic_set(&db->engine->pager.reside.limit_bytes, value);
    vsi_budget_keep(&db->engine->pager, &db->engine->descs);
}

static uint64_t param_sync(vs_db *db) {
    return vsi_atomic_load(&db->engine->sync);
}

static void param_set_sync(vs_db *db, uint64_t value) {
    vsi_atomic_set(&db->engine->sync, value);
}

static uint64_t param_timeout(vs_db *db) {
    return vsi_atomic_load(&db->watcher.timeout_ms);
}

static void param_set_timeout(vs_db *db, uint64_t value) {
    vsi_atomic_set(&db->watcher.timeout_ms, value);
}

static uint64_t param_busy_timeout(vs_db *db) {
    return vsi_atomic_load(&db->engine->busy_timeout_ms);
}

static void param_set_busy_timeout(vs_db *db, uint64_t value) {
    vsi_atomic_set(&db->engine->busy_timeout_ms, value);
}

static uint64_t param_log_bytes(vs_db *db) {
    return vsi_atomic_load(&db->engine->checkpoint_log_bytes);
}

static void param_set_log_bytes(vs_db *db, uint64_t value) {
    vsi_atomic_set(&db->engine->checkpoint_log_bytes, value);
}

static uint64_t param_compression(vs_db *db) {
    return vsi_atomic_load(&db->engine->pager.packs) ? VS_COMPRESSION_ZSTD : VS_COMPRESSION_NONE;
}

static void param_set_compression(vs_db *db, uint64_t value) {
    vsi_atomic_set(&db->engine->pager.packs, value == VS_COMPRESSION_ZSTD);
}

static uint64_t param_trailer_bytes(vs_db *db) {
    return db->engine->pager.trailer_bytes;
}

static uint64_t param_readonly(vs_db *db) {
    return db->engine->config.is_readonly;
}

static uint64_t param_mmap(vs_db *db) {
    return db->engine->config.maps_slabs;
}

/* How many words a text has, with single spaces between them. */
static uint64_t param_count_words(const char *words) {
    uint64_t count = 1;
    for (const char *at = words; *at; at++)
        count += *at == ' ';
    return count;
}

/* Which of the words, which has it, a text is. */
static uint64_t param_word(const char *words, const char *text) {
    size_t bytes = strlen(text);
    for (uint64_t at = 0;; at++) {
        const char *space = strchr(words, ' ');
        size_t word = space ? (size_t)(space - words) : strlen(words);
        if (!space || (word == bytes && !memcmp(words, text, bytes)))
            return at;
        words = space + 1;
    }
}

static uint64_t param_cpu(vs_db *db) {
    return param_word(vsi_kernels_names(), db->kernels->name);
}

#ifdef VS_OMIT_ZSTD
#define LIMITS_CODEC  VS_COMPRESSION_NONE
#define LIMITS_CODECS "none"
#else
#define LIMITS_CODEC  VS_COMPRESSION_ZSTD
#define LIMITS_CODECS "none zstd"
#endif
#define LIMITS_LOG_BYTES_MAX ((uint64_t)1 << 40)

static const limits_param limits_params[] = {
    {"memory_limit", VS_PARAM_BYTES, VSI_MEMORY_BYTES, 1, VS_NO_LIMIT, "", param_memory_limit,
     param_set_memory_limit, "memory of the database; VS_NO_LIMIT: no limit"},
    {"sync", VS_PARAM_CHOICE, VS_SYNC_FULL, VS_SYNC_FULL, VS_SYNC_OFF, "full normal off",
     param_sync, param_set_sync, "how durable commits are that do not say it"},
    {"busy_timeout_ms", VS_PARAM_MILLISECONDS, VSI_BUSY_MS, 1, VS_NO_WAIT, "", param_busy_timeout,
     param_set_busy_timeout,
     "how long to wait for another thread's write transaction, if no busy function is asked; "
     "VS_NO_WAIT: do not wait"},
    {"timeout_ms", VS_PARAM_MILLISECONDS, 0, 0, VS_NO_TIMEOUT, "", param_timeout, param_set_timeout,
     "how long calls may take that do not say it; 0 or VS_NO_TIMEOUT: as they do"},
    {"checkpoint_log_bytes", VS_PARAM_BYTES, 0, 0, LIMITS_LOG_BYTES_MAX, "", param_log_bytes,
     param_set_log_bytes,
     "size of the log at which commits make a checkpoint; 0: an eighth of the file, from "
     "log_bytes_min to log_bytes_max"},
    {"compression", VS_PARAM_CHOICE, LIMITS_CODEC, VS_COMPRESSION_NONE, LIMITS_CODEC, LIMITS_CODECS,
     param_compression, param_set_compression,
     "how large metadata and notes are stored from now on"},
    {"trailer_bytes", VS_PARAM_BYTES, 0, 0, VSI_TRAILER_BYTES, "", param_trailer_bytes, NULL,
     "bytes that stay free at the end of each piece of the file: none or the maximum"},
    {"readonly", VS_PARAM_BOOL, 0, 0, 1, "", param_readonly, NULL, "nothing can be changed"},
    {"mmap", VS_PARAM_BOOL, 0, 0, 1, "", param_mmap, NULL,
     "vectors and keys are looked at in the mapped file, where there are maps"},
    {"cpu", VS_PARAM_CHOICE, 0, 0, 0, NULL, param_cpu, NULL,
     "the kernel set; the choices are vs_cpu_features of the machine"},
};

static void param_fill(vs_db *db, const limits_param *param, vs_param_info *out_info) {
    const char *choices = param->choices ? param->choices : vsi_kernels_names();
    vs_param_info info = {.size = out_info->size,
                          .kind = param->kind,
                          .name = param->name,
                          .description = param->description,
                          .choices = choices,
                          .value = db ? param->get(db) : param->fallback,
                          .default_value = param->fallback,
                          .minimum = param->minimum,
                          .maximum = param->maximum,
                          .can_change = param->set != NULL};
    if (!param->choices)
        info.maximum = param_count_words(choices) - 1;
    vsi_struct_write(&info, sizeof info, out_info);
}

/* A call about parameters: of a database, or of none. */
static vs_status param_check(vsi_err *err, vs_db *db, const char *name, const vs_param_info *info) {
    bool has_all = name && info;
    if (db && vsi_handle_check_call(db, VSI_TAG_DB, has_all, "name or out_info") != VS_OK)
        return VS_ERR_MISUSE;
    if (!has_all)
        return VS_ERR_MISUSE;
    vs_status st = vsi_struct_check(err, "vs_param_info", info);
    return db ? vsi_handle_end(&db->head, st, err) : st;
}

vs_status vs_param_at(vs_db *db, size_t at, vs_param_info *out_info) {
    vsi_err err = {0};
    vs_status st = param_check(&err, db, "", out_info);
    if (st != VS_OK)
        return st;
    if (at >= sizeof limits_params / sizeof *limits_params)
        return VS_DONE;
    param_fill(db, &limits_params[at], out_info);
    return VS_OK;
}

static vs_status param_find(vsi_err *err, const char *name, const limits_param **out_param) {
    for (size_t i = 0; i < sizeof limits_params / sizeof *limits_params; i++)
        if (!strcmp(limits_params[i].name, name)) {
            *out_param = &limits_params[i];
            return VS_OK;
        }
    return vsi_fail(err, VS_ERR_NOT_FOUND, "there is no parameter '%s'", name);
}

vs_status vs_param_get(vs_db *db, const char *name, vs_param_info *out_info) {
    vsi_err err = {0};
    const limits_param *param = NULL;
    vs_status st = param_check(&err, db, name, out_info);
    if (st != VS_OK)
        return st;
    st = param_find(&err, name, &param);
    if (st == VS_OK)
        param_fill(db, param, out_info);
    return db ? vsi_handle_end(&db->head, st, &err) : st;
}

static vs_status param_check_value(vsi_err *err, const limits_param *param, uint64_t value) {
    if (!param->set)
        return vsi_fail(err, VS_ERR_MISUSE,
                        "parameter %s is fixed when the database is opened or created",
                        param->name);
    if (value < param->minimum || value > param->maximum)
        return vsi_fail(err, VS_ERR_INVALID, "parameter %s: %llu, expected %llu to %llu",
                        param->name, (unsigned long long)value, (unsigned long long)param->minimum,
                        (unsigned long long)param->maximum);
    return VS_OK;
}

vs_status vs_param_set(vs_db *db, const char *name, uint64_t value) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, name, "name") != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    const limits_param *param = NULL;
    vs_status st = param_find(&err, name, &param);
    if (st == VS_OK)
        st = param_check_value(&err, param, value);
    if (st == VS_OK)
        param->set(db, value);
    return vsi_handle_end(&db->head, st, &err);
}
