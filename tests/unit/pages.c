/* pages.c - memory straight from the system. */
#include "os/pages.h"
#include "vt.h"

enum { REGIONS = 9, BYTES = VSI_REGION_BYTES };

static const vsi_pages *system_pages(void) {
    const vsi_pages *pages = vsi_system_pages();
    if (!pages)
        vt_skip("this system has no large pages for the asking");
    return pages;
}

VT_TEST(what_is_mapped_is_aligned_zero_and_apart) {
    const vsi_pages *pages = system_pages();
    uint8_t *first[REGIONS];
    for (int i = 0; i < REGIONS; i++) {
        first[i] = pages->map(pages->ctx, BYTES);
        VT_CHECK(first[i] && (uintptr_t)first[i] % BYTES == 0);
        pages->prefer(pages->ctx, first[i], BYTES, i % 2);
        VT_CHECK(!first[i][0] && !memcmp(first[i], first[i] + 1, BYTES - 1));
        memset(first[i], i + 1, BYTES);
        if (i % 3 == 0) { /* so that the next one finds a hole that is not aligned */
            pages->unmap(pages->ctx, first[i], BYTES);
            VT_CHECK(mmap(first[i], 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
                     MAP_FAILED);
            first[i] = NULL;
        }
    }
    for (int i = 0; i < REGIONS; i++)
        if (first[i]) {
            VT_CHECK(first[i][0] == i + 1 && !memcmp(first[i], first[i] + 1, BYTES - 1));
            pages->unmap(pages->ctx, first[i], BYTES);
        }
}

VT_TEST(only_whole_pages_are_given_back) {
    const vsi_pages *pages = system_pages();
    uint8_t *first = pages->map(pages->ctx, BYTES);
    VT_CHECK(first);
    for (int is_large = 0; is_large < 2; is_large++) {
        pages->prefer(pages->ctx, first, BYTES, is_large);
        memset(first, 7, BYTES);
        pages->give_back(pages->ctx, first + 100, 200000);
        pages->give_back(pages->ctx, first + 300000, 50); /* no page */
        for (size_t at = 0; at < BYTES; at++)
            VT_CHECK(first[at] == 7 || (at >= 100 && at < 200100 && !first[at]));
    }
    pages->unmap(pages->ctx, first, BYTES);
}

VT_TEST(what_cannot_be_mapped_is_null) {
    const vsi_pages *pages = system_pages();
    const size_t half = (size_t)1 << (sizeof(size_t) * 8 - 1);
    void *one = pages->map(pages->ctx, half); /* addresses of 32 bits may have that */
    VT_CHECK(!pages->map(pages->ctx, half));
    if (one)
        pages->unmap(pages->ctx, one, half);
}
