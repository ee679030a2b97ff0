/* payload.c - the payloads of records: payload get, put, append, cut. */
#include "command.h"
#include "commands.h"
#include "key.h"
#include "store.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAYLOAD_STEP_BYTES = 1 << 20 };

/* A payload and the file that it goes to or comes from. */
typedef struct payload_use {
    store_use use;
    record_key key;
    const char *path; /* NULL or "-": the standard streams */
    FILE *file;
    uint8_t *step;
} payload_use;

static int fail_file(const payload_use *p, const char *what) {
    return shell_fail(p->use.call, "%s: %s: %s", p->path ? p->path : "-", what, strerror(errno));
}

static bool is_stream(const payload_use *p) {
    return !p->path || !strcmp(p->path, "-");
}

static vs_status payload_size(payload_use *p, uint64_t *out_bytes) {
    vs_record record = VS_RECORD_INIT;
    vs_status st = vs_get(p->use.collection, p->use.txn, key_of(&p->key), &record);
    if (st == VS_OK)
        *out_bytes = record.payload_bytes;
    return st;
}

/* ---- get ------------------------------------------------------------------------------------ */

static int get_bytes(payload_use *p) {
    size_t n = 1;
    for (uint64_t at = 0; n; at += n) {
        if (vs_payload_read(p->use.collection, p->use.txn, key_of(&p->key), at, p->step,
                            PAYLOAD_STEP_BYTES, &n) != VS_OK)
            return use_fail(&p->use);
        if (fwrite(p->step, 1, n, p->file) != n)
            return fail_file(p, "cannot be written");
    }
    return fflush(p->file) ? fail_file(p, "cannot be written") : SHELL_OK;
}

static int payload_get(payload_use *p) {
    uint64_t bytes = 0;
    if (payload_size(p, &bytes) != VS_OK) /* before a file is made */
        return use_fail(&p->use);
    p->file = is_stream(p) ? shell_out(p->use.call->shell) : fopen(p->path, "wb");
    if (!p->file)
        return fail_file(p, "cannot be written");
    int result = get_bytes(p);
    if (!is_stream(p) && fclose(p->file) && result == SHELL_OK)
        result = fail_file(p, "cannot be written");
    return result;
}

/* ---- put and append ------------------------------------------------------------------------- */

/* The file's bytes from this place on, in one transaction. */
static int put_bytes(payload_use *p, vs_txn *txn, uint64_t at) {
    size_t n = 0;
    while ((n = fread(p->step, 1, PAYLOAD_STEP_BYTES, p->file)) > 0) {
        if (vs_payload_write(p->use.collection, txn, key_of(&p->key), at, p->step, n) != VS_OK)
            return use_fail(&p->use);
        at += n;
    }
    return ferror(p->file) ? fail_file(p, "cannot be read") : SHELL_OK;
}

static int put_within(payload_use *p, vs_txn *txn, bool is_append) {
    vs_record record = VS_RECORD_INIT;
    if (vs_get(p->use.collection, txn, key_of(&p->key), &record) != VS_OK)
        return use_fail(&p->use);
    uint64_t at = is_append ? record.payload_bytes : 0;
    if (!is_append && vs_payload_truncate(p->use.collection, txn, key_of(&p->key), 0) != VS_OK)
        return use_fail(&p->use);
    return put_bytes(p, txn, at);
}

/* In the session's transaction what was written before a failure is taken back by a savepoint. */
static int put_in_session(payload_use *p, bool is_append) {
    uint32_t point = 0;
    vs_txn *txn = p->use.txn;
    if (vs_savepoint(txn, &point) != VS_OK)
        return use_fail_db(&p->use);
    int result = put_within(p, txn, is_append);
    if (result != SHELL_OK)
        (void)!vs_rollback_to(txn, point);
    (void)!vs_release(txn, point);
    return result;
}

static int put_alone(payload_use *p, bool is_append) {
    vs_txn *txn = NULL;
    if (vs_begin(p->use.db, VS_TXN_WRITE, &txn) != VS_OK)
        return use_fail_db(&p->use);
    int result = put_within(p, txn, is_append);
    if (result != SHELL_OK)
        vs_rollback(txn);
    else if (vs_commit(txn, VS_SYNC_DEFAULT) != VS_OK)
        result = use_fail_db(&p->use);
    return result;
}

static int put_file(payload_use *p, bool is_append) {
    p->file = is_stream(p) ? stdin : fopen(p->path, "rb");
    if (!p->file)
        return fail_file(p, "cannot be read");
    int result = p->use.txn ? put_in_session(p, is_append) : put_alone(p, is_append);
    if (!is_stream(p))
        fclose(p->file);
    return result;
}

static int payload_put(payload_use *p) {
    return put_file(p, false);
}

static int payload_append(payload_use *p) {
    return put_file(p, true);
}

/* ---- cut ------------------------------------------------------------------------------------ */

static int payload_cut(payload_use *p) {
    char *end = NULL;
    errno = 0;
    uint64_t bytes = p->path ? strtoull(p->path, &end, 10) : 0;
    if (p->path && (errno || !*p->path || *end || *p->path == '-'))
        return shell_usage(p->use.call, "'%s' is no number of bytes", p->path);
    if (vs_payload_truncate(p->use.collection, p->use.txn, key_of(&p->key), bytes) != VS_OK)
        return use_fail(&p->use);
    return SHELL_OK;
}

/* ---- all ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    bool is_change;
    int (*run)(payload_use *p);
} payload_actions[] = {{"get", false, payload_get},
                       {"put", true, payload_put},
                       {"append", true, payload_append},
                       {"cut", true, payload_cut}};

static int run_payload(const shell_call *call) {
    payload_use p = {.path = call->arg_count > 3 ? call->arg[3] : NULL};
    size_t at = 0;
    while (at < 4 && strcmp(call->arg[0], payload_actions[at].name) != 0)
        at++;
    if (at == 4)
        return shell_usage(call, "'%s' is none of get, put, append and cut", call->arg[0]);
    if (!key_read(call->arg[2], &p.key))
        return shell_usage(call, "'%s' is no key: expected " KEY_EXPECTED, call->arg[2]);
    int result = (payload_actions[at].is_change ? use_write : use_read)(&p.use, call, call->arg[1]);
    if (result == SHELL_OK) {
        p.step = shell_alloc(PAYLOAD_STEP_BYTES);
        result = payload_actions[at].run(&p);
        free(p.step);
    }
    return use_end(&p.use, result);
}

const shell_command command_payload = {
    .name = "payload",
    .run = run_payload,
    .args = "get|put|append|cut COLLECTION KEY [FILE|BYTES]",
    .args_min = 3,
    .args_max = 4,
    .brief = "opaque bytes of a record",
    .help =
        "Write the payload of a record to FILE, take it from FILE, append FILE to it, or cut it "
        "to BYTES (0:\nnone any more). Without FILE, or with -, the standard streams are used.",
};
