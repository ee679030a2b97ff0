/* serialize.c - databases as one block of bytes. */
#include "api/database.h"
#include "os/memory.h"
#include "store/clone.h"

/* What stands in front of a block that the caller frees: as long as malloc's alignment wants it. */
typedef struct serialize_front {
    vs_allocator hook;
    size_t bytes; /* of all, this among it */
} serialize_front;

enum { SERIALIZE_FRONT_BYTES = 32, SERIALIZE_STEP_BYTES = 1 << 20 };
_Static_assert(sizeof(serialize_front) <= SERIALIZE_FRONT_BYTES, "the front has no room");

void vs_free(void *data) {
    serialize_front front;
    if (!data)
        return;
    uint8_t *block = (uint8_t *)data - SERIALIZE_FRONT_BYTES;
    memcpy(&front, block, sizeof front);
    vsi_mem mem;
    vsi_mem_init(&mem, &front.hook);
    vsi_free(&mem, block, front.bytes);
}

/* A block that vs_free takes. */
static vs_status serialize_block(vsi_err *err, const vs_allocator *hook, uint64_t bytes,
                                 uint8_t **out_data) {
    vsi_mem mem;
    vsi_mem_init(&mem, hook);
    serialize_front front = {.hook = *hook};
    if (bytes > SIZE_MAX / 2)
        return vsi_fail(err, VS_ERR_LIMIT, "the database has %llu bytes, more than memory can have",
                        (unsigned long long)bytes);
    front.bytes = SERIALIZE_FRONT_BYTES + (size_t)bytes;
    uint8_t *block = vsi_alloc(&mem, front.bytes);
    if (!block)
        return vsi_fail_nomem(err, front.bytes);
    memcpy(block, &front, sizeof front);
    *out_data = block + SERIALIZE_FRONT_BYTES;
    return VS_OK;
}

/* What a call does with the copy of its database. */
typedef vs_status serialize_use(vsi_err *err, vs_db *db, const vsi_file *file, uint64_t bytes,
                                void *ctx);

static vs_status serialize_open(vsi_err *err, vs_db *db, const vs_vfs *vfs, serialize_use *use,
                                void *ctx) {
    vsi_file file;
    uint64_t bytes = 0;
    vs_status st = vsi_file_open(err, &db->mem, vfs, VSI_MEMORY_PATH, VS_VFS_READ, &file);
    if (st != VS_OK)
        return st;
    st = vsi_file_size(err, &file, &bytes);
    if (st == VS_OK)
        st = use(err, db, &file, bytes, ctx);
    vsi_file_close(&file);
    return st;
}

/* A whole call: the copy is made in memory, used, and gone. */
static vs_status serialize_run(vs_db *db, serialize_use *use, void *ctx) {
    vsi_err err = {0};
    vs_vfs *vfs = NULL;
    vs_status st = vsi_memory_vfs_create(&db->mem.hook, &vfs);
    if (st != VS_OK)
        st = vsi_fail(&err, st, "no memory to make the serialized copy in");
    if (st == VS_OK)
        st = vsi_clone(&err, db->engine, vfs, VSI_MEMORY_PATH);
    if (st == VS_OK)
        st = serialize_open(&err, db, vfs, use, ctx);
    vsi_memory_vfs_destroy(vfs);
    return vsi_handle_end(&db->head, st, &err);
}

typedef struct serialized {
    uint8_t *data;
    size_t bytes;
} serialized;

static vs_status serialize_to_block(vsi_err *err, vs_db *db, const vsi_file *file, uint64_t bytes,
                                    void *ctx) {
    serialized *out = ctx;
    uint8_t *data = NULL;
    vs_status st = serialize_block(err, &db->mem.hook, bytes, &data);
    if (st == VS_OK)
        st = vsi_file_read(err, file, data, (size_t)bytes, 0, &out->bytes);
    if (st == VS_OK)
        out->data = data;
    else
        vs_free(data);
    return st;
}

vs_status vs_serialize(vs_db *db, void **out_data, size_t *out_bytes) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, out_data && out_bytes, "out_data or out_bytes") !=
        VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_serialize");
    serialized out = {NULL, 0};
    vs_status st = serialize_run(db, serialize_to_block, &out);
    if (st == VS_OK) {
        *out_data = out.data;
        *out_bytes = out.bytes;
    }
    return vsi_trace_end(&trace, st, 0);
}

typedef struct serialize_writer {
    vs_write_fn write;
    void *ctx;
} serialize_writer;

static vs_status serialize_to_writer(vsi_err *err, vs_db *db, const vsi_file *file, uint64_t bytes,
                                     void *ctx) {
    const serialize_writer *writer = ctx;
    vsi_buf step = {.mem = &db->mem};
    vs_status st = VS_OK;
    if (!vsi_buf_reserve(&step, SERIALIZE_STEP_BYTES))
        return vsi_fail_nomem(err, SERIALIZE_STEP_BYTES);
    for (uint64_t at = 0; st == VS_OK && at < bytes; at += step.bytes) {
        st = vsi_file_read(err, file, step.data, SERIALIZE_STEP_BYTES, at, &step.bytes);
        if (st != VS_OK)
            break;
        st = writer->write(writer->ctx, step.data, step.bytes, at);
        if (st != VS_OK)
            st =
                vsi_fail(err, st, "vs_serialize_to: the caller's function returned %s at byte %llu",
                         vsi_status_name(st), (unsigned long long)at);
    }
    vsi_buf_free(&step);
    return st;
}

vs_status vs_serialize_to(vs_db *db, vs_write_fn write, void *ctx) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, write, "write") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_serialize_to");
    serialize_writer writer = {.write = write, .ctx = ctx};
    return vsi_trace_end(&trace, serialize_run(db, serialize_to_writer, &writer), 0);
}

vs_status vs_deserialize(const void *data, size_t bytes, const vs_open_options *options,
                         vs_db **out_db) {
    if (!out_db)
        return VS_ERR_MISUSE;
    vsi_source source = {
        .call = "vs_deserialize", .is_memory = true, .holds = true, .data = data, .bytes = bytes};
    return vsi_database_open(&source, options, out_db);
}
