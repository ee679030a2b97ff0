/* mem.c - the host's allocator, the count of bytes in use, growing buffers. */
#include "base/mem.h"
#include <pthread.h>
#include "vt.h"

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
} fixture;

/* As vt_realloc, with fresh memory full of rubbish. */
static void *dirty_realloc(void *ctx, void *ptr, size_t old_bytes, size_t new_bytes) {
    uint8_t *fresh = vt_realloc(ctx, ptr, old_bytes, new_bytes);
    if (fresh && new_bytes > old_bytes)
        memset(fresh + old_bytes, 0xa5, new_bytes - old_bytes);
    return fresh;
}

static void begin(fixture *f) {
    memset(&f->allocator, 0, sizeof f->allocator);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, dirty_realloc});
}

static uint64_t used(fixture *f) {
    return vsi_atomic_load(&f->mem.used_bytes);
}

/* The module's own count is the allocator's. */
static void check_used(fixture *f, uint64_t bytes) {
    VT_EQ(used(f), bytes);
    VT_EQ(f->allocator.live_bytes, bytes);
}

static void end(fixture *f) {
    check_used(f, 0);
    VT_EQ(f->allocator.live_blocks, 0);
}

static void fail_next(fixture *f) {
    f->allocator.fail_at = f->allocator.calls + 1;
}

/* ---- blocks --------------------------------------------------------------------------------- */

VT_TEST(every_byte_in_use_is_counted_and_the_count_returns_to_zero) {
    fixture f;
    begin(&f);
    check_used(&f, 0);
    void *a = vsi_alloc(&f.mem, 100), *b = vsi_alloc_zeroed(&f.mem, 23);
    VT_CHECK(a && b && a != b);
    check_used(&f, 123);
    a = vsi_realloc(&f.mem, a, 100, 1000);
    check_used(&f, 1023);
    a = vsi_realloc(&f.mem, a, 1000, 1);
    check_used(&f, 24);
    vsi_free(&f.mem, b, 23);
    check_used(&f, 1);
    vsi_free(&f.mem, a, 1);
    end(&f);
}

VT_TEST(zeroed_memory_is_zero_even_when_the_allocator_reuses_old) {
    fixture f;
    begin(&f);
    for (size_t bytes = 1; bytes < 300; bytes++) {
        uint8_t *p = vsi_alloc_zeroed(&f.mem, bytes);
        for (size_t i = 0; i < bytes; i++)
            VT_EQ(p[i], 0);
        vsi_free(&f.mem, p, bytes);
    }
    end(&f);
}

VT_TEST(nothing_is_allocated_for_zero_bytes) {
    fixture f;
    begin(&f);
    VT_CHECK(!vsi_alloc(&f.mem, 0));
    VT_CHECK(!vsi_alloc_zeroed(&f.mem, 0));
    VT_EQ(f.allocator.calls, 0);
    end(&f);
}

VT_TEST(a_block_that_moves_keeps_what_it_held) {
    fixture f;
    begin(&f);
    uint8_t *p = vsi_alloc(&f.mem, 64);
    for (uint8_t i = 0; i < 64; i++)
        p[i] = i;
    p = vsi_realloc(&f.mem, p, 64, 640);
    for (uint8_t i = 0; i < 64; i++)
        VT_EQ(p[i], i);
    p = vsi_realloc(&f.mem, p, 640, 5);
    for (uint8_t i = 0; i < 5; i++)
        VT_EQ(p[i], i);
    vsi_free(&f.mem, p, 5);
    end(&f);
}

VT_TEST(resizing_no_block_allocates_one) {
    fixture f;
    begin(&f);
    void *p = vsi_realloc(&f.mem, NULL, 0, 77);
    VT_CHECK(p);
    check_used(&f, 77);
    vsi_free(&f.mem, p, 77);
    end(&f);
}

VT_TEST(a_refused_allocation_gives_null_and_counts_nothing) {
    fixture f;
    begin(&f);
    fail_next(&f);
    VT_CHECK(!vsi_alloc(&f.mem, 10));
    fail_next(&f);
    VT_CHECK(!vsi_alloc_zeroed(&f.mem, 10));
    fail_next(&f);
    VT_CHECK(!vsi_realloc(&f.mem, NULL, 0, 10));
    VT_EQ(f.allocator.failures, 3);
    end(&f);
}

VT_TEST(a_block_that_cannot_grow_stays_as_it_was) {
    fixture f;
    begin(&f);
    uint8_t *p = vsi_alloc(&f.mem, 10);
    memcpy(p, "0123456789", 10);
    fail_next(&f);
    VT_CHECK(!vsi_realloc(&f.mem, p, 10, 1000));
    VT_CHECK(!memcmp(p, "0123456789", 10));
    check_used(&f, 10);
    vsi_free(&f.mem, p, 10);
    end(&f);
}

VT_TEST(freeing_null_does_nothing) {
    fixture f;
    begin(&f);
    vsi_free(&f.mem, NULL, 0);
    end(&f);
}

VT_TEST(without_an_allocator_memory_comes_from_malloc) {
    vsi_mem mem;
    vsi_mem_init(&mem, NULL);
    uint8_t *p = vsi_alloc_zeroed(&mem, 1000);
    VT_CHECK(p && p[0] == 0 && p[999] == 0);
    VT_EQ(vsi_atomic_load(&mem.used_bytes), 1000);
    p = vsi_realloc(&mem, p, 1000, 100000);
    VT_CHECK(p && p[999] == 0);
    p[99999] = 1;
    VT_EQ(vsi_atomic_load(&mem.used_bytes), 100000);
    vsi_free(&mem, p, 100000);
    VT_EQ(vsi_atomic_load(&mem.used_bytes), 0);
}

VT_TEST(the_allocator_is_copied) {
    vt_allocator allocator = {0};
    vs_allocator hook = {&allocator, dirty_realloc};
    vsi_mem mem;
    vsi_mem_init(&mem, &hook);
    memset(&hook, 0, sizeof hook);
    void *p = vsi_alloc(&mem, 8);
    VT_EQ(allocator.live_bytes, 8);
    vsi_free(&mem, p, 8);
}

enum { THREAD_ROUNDS = 20000 };

static void *allocate_and_free(void *ctx) {
    vsi_mem *mem = ctx;
    for (size_t i = 1; i <= THREAD_ROUNDS; i++) {
        void *p = vsi_alloc(mem, 1 + i % 100);
        p = vsi_realloc(mem, p, 1 + i % 100, 1 + i % 37);
        vsi_free(mem, p, 1 + i % 37);
    }
    return NULL;
}

VT_TEST(threads_that_allocate_at_once_lose_no_count) {
    vsi_mem mem;
    pthread_t thread[4];
    vsi_mem_init(&mem, NULL);
    for (int i = 0; i < 4; i++)
        VT_EQ(pthread_create(&thread[i], NULL, allocate_and_free, &mem), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    VT_EQ(vsi_atomic_load(&mem.used_bytes), 0);
}

/* ---- buffers -------------------------------------------------------------------------------- */

VT_TEST(a_buffer_holds_what_was_appended_in_order) {
    fixture f;
    begin(&f);
    vsi_buf buf = {.mem = &f.mem};
    uint8_t expected[20000];
    size_t n = 0;
    for (size_t piece = 0; n + piece <= sizeof expected; piece++) {
        for (size_t i = 0; i < piece; i++)
            expected[n + i] = (uint8_t)(n * 7 + i);
        VT_CHECK(vsi_buf_append(&buf, expected + n, piece));
        n += piece;
        VT_EQ(buf.bytes, n);
        VT_CHECK(buf.cap >= buf.bytes);
        VT_EQ(used(&f), buf.cap);
    }
    VT_CHECK(!memcmp(buf.data, expected, n));
    vsi_buf_free(&buf);
    end(&f);
}

VT_TEST(appending_nothing_to_an_empty_buffer_needs_no_bytes) {
    fixture f;
    begin(&f);
    vsi_buf buf = {.mem = &f.mem};
    VT_CHECK(vsi_buf_append(&buf, NULL, 0));
    VT_EQ(buf.bytes, 0);
    vsi_buf_free(&buf);
    end(&f);
}

VT_TEST(reserved_room_takes_bytes_without_asking_again) {
    fixture f;
    begin(&f);
    vsi_buf buf = {.mem = &f.mem};
    VT_CHECK(vsi_buf_append(&buf, "abc", 3));
    VT_CHECK(vsi_buf_reserve(&buf, 5000));
    VT_EQ(buf.bytes, 3);
    VT_CHECK(buf.cap - buf.bytes >= 5000);
    uint64_t calls = f.allocator.calls;
    const uint8_t *data = buf.data;
    for (int i = 0; i < 5000; i++)
        VT_CHECK(vsi_buf_append(&buf, "x", 1));
    VT_EQ(f.allocator.calls, calls);
    VT_CHECK(buf.data == data);
    VT_CHECK(!memcmp(buf.data, "abcxxx", 6));
    vsi_buf_free(&buf);
    end(&f);
}

VT_TEST(a_buffer_that_grows_byte_by_byte_asks_for_memory_seldom) {
    fixture f;
    begin(&f);
    vsi_buf buf = {.mem = &f.mem};
    for (uint32_t i = 0; i < 200000; i++)
        VT_CHECK(vsi_buf_append(&buf, &(uint8_t){(uint8_t)i}, 1));
    for (uint32_t i = 0; i < 200000; i++)
        VT_EQ(buf.data[i], (uint8_t)i);
    VT_CHECK(f.allocator.calls < 60);
    vsi_buf_free(&buf);
    end(&f);
}

VT_TEST(a_buffer_that_cannot_grow_stays_as_it_was) {
    fixture f;
    begin(&f);
    vsi_buf buf = {.mem = &f.mem};
    VT_CHECK(vsi_buf_append(&buf, "hello", 5));
    vsi_buf before = buf;
    uint8_t large[4096] = {0};
    fail_next(&f);
    VT_CHECK(!vsi_buf_append(&buf, large, sizeof large));
    fail_next(&f);
    VT_CHECK(!vsi_buf_reserve(&buf, sizeof large));
    VT_EQ(f.allocator.failures, 2);
    VT_CHECK(buf.data == before.data);
    VT_EQ(buf.bytes, before.bytes);
    VT_EQ(buf.cap, before.cap);
    VT_CHECK(!memcmp(buf.data, "hello", 5));
    VT_CHECK(vsi_buf_append(&buf, large, sizeof large));
    vsi_buf_free(&buf);
    end(&f);
}

VT_TEST(room_for_more_bytes_than_there_are_addresses_is_refused) {
    fixture f;
    begin(&f);
    vsi_buf buf = {.mem = &f.mem};
    VT_CHECK(vsi_buf_append(&buf, "hello", 5));
    size_t cap = buf.cap;
    VT_CHECK(!vsi_buf_reserve(&buf, SIZE_MAX));
    VT_CHECK(!vsi_buf_reserve(&buf, SIZE_MAX - 4));
    VT_EQ(buf.bytes, 5);
    VT_EQ(buf.cap, cap);
    vsi_buf_free(&buf);
    end(&f);
}

VT_TEST(a_buffer_that_was_freed_is_empty_and_usable) {
    fixture f;
    begin(&f);
    vsi_buf buf = {.mem = &f.mem};
    vsi_buf_free(&buf);
    VT_CHECK(vsi_buf_append(&buf, "first", 5));
    vsi_buf_free(&buf);
    VT_CHECK(!buf.data);
    VT_EQ(buf.bytes, 0);
    VT_EQ(buf.cap, 0);
    vsi_buf_free(&buf);
    VT_CHECK(vsi_buf_append(&buf, "again", 5));
    VT_CHECK(!memcmp(buf.data, "again", 5));
    vsi_buf_free(&buf);
    end(&f);
}
