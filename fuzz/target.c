/* target.c - what the fuzz targets share. */
#include "target.h"
#include <stdlib.h>
#include <string.h>

enum { BOUNDED_BYTES = 16 << 20 };

void require(bool claim, const char *what, const char *detail) {
    if (claim)
        return;
    fprintf(stderr, "fuzz: %s: %s\n", what, detail);
    abort();
}

/* ---- input ---------------------------------------------------------------------------------- */

uint32_t input_u8(fuzz_input *in) {
    if (!in->bytes)
        return 0;
    in->bytes--;
    return *in->data++;
}

uint32_t input_u16(fuzz_input *in) {
    uint32_t low = input_u8(in);
    return low | input_u8(in) << 8;
}

const uint8_t *input_run(fuzz_input *in, size_t bytes, size_t *out_bytes) {
    const uint8_t *run = in->data;
    bytes = bytes < in->bytes ? bytes : in->bytes;
    in->data += bytes;
    in->bytes -= bytes;
    *out_bytes = bytes;
    return run;
}

/* ---- files ---------------------------------------------------------------------------------- */

static int64_t standing_clock(void *ctx) {
    (void)ctx;
    return 1234567890123456;
}

static vs_status repeated_random(void *ctx, void *buf, size_t bytes, char *why) {
    (void)ctx;
    (void)why;
    memset(buf, 0x5a, bytes);
    return VS_OK;
}

static uint64_t one_process(void *ctx) {
    (void)ctx;
    return 1;
}

void disk_init(fuzz_disk *disk) {
    require(vs_vfs_memory_create(NULL, &disk->memory) == VS_OK, "disk", "out of memory");
    disk->vfs = *disk->memory;
    disk->vfs.wall_us = standing_clock;
    disk->vfs.ticks_us = standing_clock;
    disk->vfs.random = repeated_random;
    disk->vfs.process_id = one_process;
}

void disk_free(fuzz_disk *disk) {
    vs_vfs_memory_destroy(disk->memory);
}

void disk_write(fuzz_disk *disk, const char *path, const uint8_t *data, size_t bytes) {
    char full[256], why[VS_VFS_WHY_BYTES] = "";
    void *file = NULL;
    size_t done = 0;
    vs_vfs *vfs = &disk->vfs;
    vs_status st = vfs->full_path(vfs->ctx, path, full, sizeof full, why);
    if (st == VS_OK)
        st = vfs->open(vfs->ctx, full, VS_VFS_WRITE | VS_VFS_CREATE, &file, why);
    require(st == VS_OK, "disk: open", why);
    st = vfs->write(vfs->ctx, file, data, bytes, 0, &done, why);
    require(st == VS_OK && done == bytes, "disk: write", why);
    vfs->close(vfs->ctx, file);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void *bounded_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    (void)ctx;
    (void)old_bytes;
    if (new_bytes > BOUNDED_BYTES)
        return NULL;
    if (new_bytes)
        return realloc(ptr, new_bytes);
    free(ptr);
    return NULL;
}

const vs_allocator *bounded_allocator(void) {
    static const vs_allocator allocator = {NULL, bounded_realloc};
    return &allocator;
}
