/* pages.c - anonymous memory. */
#include "os/pages.h"

#if defined(VSI_POSIX) && defined(MADV_HUGEPAGE)

static void *pages_mmap(size_t bytes) {
    void *first = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return first == MAP_FAILED ? NULL : first;
}

/* What is mapped is seldom aligned by itself: of twice as much the part is kept that is. */
static void *pages_map(void *ctx, size_t bytes) {
    (void)ctx;
    uint8_t *first = pages_mmap(bytes);
    if (!first || (uintptr_t)first % bytes == 0)
        return first;
    munmap(first, bytes);
    first = pages_mmap(2 * bytes);
    if (!first)
        return NULL;
    size_t before = (size_t)(0 - (uintptr_t)first) % bytes;
    if (before)
        munmap(first, before);
    munmap(first + before + bytes, bytes - before);
    return first + before;
}

static void pages_unmap(void *ctx, void *first, size_t bytes) {
    (void)ctx;
    munmap(first, bytes);
}

/* A system without large pages refuses, and all goes on without. */
static void pages_prefer(void *ctx, void *first, size_t bytes, bool is_large) {
    (void)ctx;
    madvise(first, bytes, is_large ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

static void pages_give_back(void *ctx, void *first, size_t bytes) {
    (void)ctx;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    size_t before = (size_t)(0 - (uintptr_t)first) % page_bytes;
    if (bytes < before + page_bytes)
        return;
    madvise((uint8_t *)first + before, (bytes - before) / page_bytes * page_bytes, MADV_DONTNEED);
}

VSI_FN const vsi_pages *vsi_system_pages(void) {
    static const vsi_pages pages = {.map = pages_map,
                                    .unmap = pages_unmap,
                                    .prefer = pages_prefer,
                                    .give_back = pages_give_back};
    return &pages;
}

#else

VSI_FN const vsi_pages *vsi_system_pages(void) {
    return NULL;
}

#endif
