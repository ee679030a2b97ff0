/* mem.c - memory of one database. */
#include "base/mem.h"

static void *mem_libc_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    (void)ctx;
    (void)old_bytes;
    if (new_bytes == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_bytes);
}

VSI_FN void vsi_mem_init(vsi_mem *mem, const vs_allocator *allocator) {
    memset(mem, 0, sizeof *mem);
    mem->hook.realloc = mem_libc_realloc;
    if (allocator)
        mem->hook = *allocator;
}

VSI_FN void *vsi_realloc(vsi_mem *mem, void *ptr, size_t old_bytes, size_t new_bytes) {
    vsi_assert((ptr == NULL) == (old_bytes == 0));
    vsi_assert(new_bytes > 0);
    void *grown = mem->hook.realloc(mem->hook.ctx, ptr, old_bytes, new_bytes);
    if (grown)
        vsi_atomic_add(&mem->used_bytes, (uint64_t)new_bytes - (uint64_t)old_bytes);
    return grown;
}

VSI_FN size_t vsi_whole_lines(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

VSI_FN void *vsi_alloc(vsi_mem *mem, size_t bytes) {
    return bytes == 0 ? NULL : vsi_realloc(mem, NULL, 0, bytes);
}

VSI_FN void *vsi_alloc_zeroed(vsi_mem *mem, size_t bytes) {
    void *ptr = vsi_alloc(mem, bytes);
    if (ptr)
        memset(ptr, 0, bytes);
    return ptr;
}

VSI_FN void vsi_free(vsi_mem *mem, void *ptr, size_t bytes) {
    if (!ptr)
        return;
    vsi_assert(bytes > 0);
    vsi_atomic_add(&mem->used_bytes, (uint64_t)0 - (uint64_t)bytes);
    mem->hook.realloc(mem->hook.ctx, ptr, bytes, 0);
}

VSI_FN bool vsi_buf_reserve(vsi_buf *buf, size_t extra) {
    if (extra <= buf->cap - buf->bytes)
        return true;
    if (extra > SIZE_MAX / 2 - buf->bytes)
        return false;
    size_t cap = buf->cap ? buf->cap : 256;
    while (cap < buf->bytes + extra)
        cap *= 2;
    void *data = vsi_realloc(buf->mem, buf->data, buf->cap, cap);
    if (!data)
        return false;
    buf->data = data;
    buf->cap = cap;
    return true;
}

VSI_FN bool vsi_buf_append(vsi_buf *buf, const void *data, size_t bytes) {
    if (!vsi_buf_reserve(buf, bytes))
        return false;
    if (bytes)
        memcpy(buf->data + buf->bytes, data, bytes);
    buf->bytes += bytes;
    return true;
}

VSI_FN void vsi_buf_free(vsi_buf *buf) {
    vsi_free(buf->mem, buf->data, buf->cap);
    buf->data = NULL;
    buf->bytes = 0;
    buf->cap = 0;
}
