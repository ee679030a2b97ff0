/* serialize.c - databases as one block of bytes. */
#include "api/database.h"
#include "os/memory.h"
#include "store/clone.h"

/* What stands in front of a block that the caller frees: as long as malloc's alignment wants it. */
typedef struct serialize_front {
    vs_allocator hook;
    size_t bytes; /* of all, this among it */
} serialize_front;

enum { SERIALIZE_FRONT_BYTES = 32 };
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

/* A file of a file system in memory, as a block. */
static vs_status serialize_file(vsi_err *err, vs_db *db, const vs_vfs *vfs, uint8_t **out_data,
                                size_t *out_bytes) {
    vsi_file file;
    uint64_t bytes = 0;
    uint8_t *data = NULL;
    vs_status st = vsi_file_open(err, &db->mem, vfs, VSI_MEMORY_PATH, VS_VFS_READ, &file);
    if (st != VS_OK)
        return st;
    st = vsi_file_size(err, &file, &bytes);
    if (st == VS_OK)
        st = serialize_block(err, &db->mem.hook, bytes, &data);
    if (st == VS_OK)
        st = vsi_file_read(err, &file, data, (size_t)bytes, 0, out_bytes);
    vsi_file_close(&file);
    if (st == VS_OK)
        *out_data = data;
    else
        vs_free(data);
    return st;
}

vs_status vs_serialize(vs_db *db, void **out_data, size_t *out_bytes) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, out_data && out_bytes, "out_data or out_bytes") !=
        VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_serialize");
    vsi_err err = {0};
    vs_vfs *vfs = NULL;
    uint8_t *data = NULL;
    size_t bytes = 0;
    vs_status st = vsi_memory_vfs_create(&db->mem.hook, &vfs);
    if (st != VS_OK)
        st = vsi_fail(&err, st, "vs_serialize: out of memory");
    if (st == VS_OK)
        st = vsi_clone(&err, db->engine, vfs, VSI_MEMORY_PATH);
    if (st == VS_OK)
        st = serialize_file(&err, db, vfs, &data, &bytes);
    vsi_memory_vfs_destroy(vfs);
    if (st == VS_OK) {
        *out_data = data;
        *out_bytes = bytes;
    }
    return vsi_trace_end(&trace, vsi_handle_end(&db->head, st, &err), 0);
}

vs_status vs_deserialize(const void *data, size_t bytes, const vs_open_options *options,
                         vs_db **out_db) {
    if (!out_db)
        return VS_ERR_MISUSE;
    vsi_source source = {
        .call = "vs_deserialize", .is_memory = true, .holds = true, .data = data, .bytes = bytes};
    return vsi_database_open(&source, options, out_db);
}
