/* region.c - blocks cut from regions: they keep what is written, and what of them is in memory is bounded. */
#include "base/region.h"
#include "vt.h"

enum {
    PAGE = 4096,
    REGION_PAGES = VSI_REGION_BYTES / PAGE,
    REGIONS_MAX = 200,
    BLOCKS_MAX = 6000,
    SIZES = 5,
    MIB = 1 << 20
};

static const size_t sizes[SIZES] = {16384, 16496, 53360, 100000, 266352};

/* A system whose large pages are in memory from the moment they are asked for, which is the most that a
 * real one does. */
typedef struct mapped {
    uint8_t *first; /* NULL: free */
    bool is_large;
    bool is_resident[REGION_PAGES];
} mapped;

typedef struct fixture {
    vsi_mem mem;
    vsi_regions regions;
    vsi_pages pages;
    vt_allocator allocator;
    mapped mapped[REGIONS_MAX];
    size_t maps, larges; /* mapped now; asked for so far */
    bool refuses;
    vt_rng rng;

    struct {
        uint8_t *first;
        size_t bytes;
        uint64_t number;
    } block[BLOCKS_MAX];
    size_t blocks;
    uint64_t made;
} fixture;

static mapped *find(fixture *f, const void *first) {
    for (int i = 0; i < REGIONS_MAX; i++)
        if (f->mapped[i].first == first)
            return &f->mapped[i];
    return NULL;
}

static void *fake_map(void *ctx, size_t bytes) {
    fixture *f = ctx;
    mapped *m = f->refuses ? NULL : find(f, NULL);
    VT_EQ(bytes, VSI_REGION_BYTES);
    if (!m)
        return NULL;
    memset(m, 0, sizeof *m);
    m->first = aligned_alloc(bytes, bytes);
    VT_CHECK(m->first);
    memset(m->first, 0, bytes);
    f->maps++;
    return m->first;
}

static void fake_unmap(void *ctx, void *first, size_t bytes) {
    fixture *f = ctx;
    mapped *m = find(f, first);
    VT_CHECK(m && bytes == VSI_REGION_BYTES);
    memset(m, 0, sizeof *m);
    f->maps--;
    free(first);
}

static void fake_prefer(void *ctx, void *first, size_t bytes, bool is_large) {
    fixture *f = ctx;
    mapped *m = find(f, first);
    VT_CHECK(m && bytes == VSI_REGION_BYTES);
    m->is_large = is_large;
    f->larges += is_large;
    if (is_large)
        memset(m->is_resident, true, sizeof m->is_resident);
}

/* What leaves memory is lost. Large pages would come back as a whole. */
static void fake_give_back(void *ctx, void *first, size_t bytes) {
    fixture *f = ctx;
    mapped *m = find(f, (uint8_t *)first - (uintptr_t)first % VSI_REGION_BYTES);
    VT_CHECK(m && !m->is_large);
    size_t from = (size_t)((uint8_t *)first - m->first), to = from + bytes;
    VT_CHECK(to <= VSI_REGION_BYTES);
    VSI_UNPOISON(first, bytes);
    memset(first, 0xdd, bytes);
    VSI_POISON(first, bytes);
    for (size_t page = (from + PAGE - 1) / PAGE; page < to / PAGE; page++)
        m->is_resident[page] = false;
}

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    f->rng.state = vt_seed();
    f->pages = (vsi_pages){f, fake_map, fake_unmap, fake_prefer, fake_give_back};
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_CHECK(vsi_regions_init(&f->regions, &f->mem, &f->pages));
}

static uint64_t used(fixture *f) {
    return vsi_atomic_load(&f->mem.used_bytes);
}

static void end(fixture *f) {
    vsi_regions_free(&f->regions);
    VT_EQ(f->maps, 0);
    VT_EQ(f->allocator.live_blocks, 0);
    VT_EQ(used(f), 0);
    VT_CHECK(!f->mem.regions);
}

/* Who looks at a block has touched its pages. */
static void touch(fixture *f, uint8_t *block, size_t bytes) {
    mapped *m = find(f, block - (uintptr_t)block % VSI_REGION_BYTES);
    size_t from = (size_t)(block - m->first);
    VT_CHECK(m && from + bytes <= VSI_REGION_BYTES);
    m->is_resident[0] = true;
    for (size_t page = from / PAGE; page * PAGE < from + bytes; page++)
        m->is_resident[page] = true;
}

static void fill(uint8_t *first, size_t bytes, uint64_t number) {
    for (size_t at = 0; at < bytes; at += 512)
        first[at] = (uint8_t)vt_mix(number + at);
    first[bytes - 1] = (uint8_t)number;
}

static bool is_filled(const uint8_t *first, size_t bytes, uint64_t number) {
    for (size_t at = 0; at < bytes - 1; at += 512)
        if (first[at] != (uint8_t)vt_mix(number + at))
            return false;
    return first[bytes - 1] == (uint8_t)number;
}

static uint8_t *take_kind(fixture *f, size_t bytes, uint32_t kind) {
    uint8_t *first = vsi_block_alloc(&f->mem, bytes, kind);
    VT_CHECK(first && f->blocks < BLOCKS_MAX);
    VT_EQ((uintptr_t)first % 64, 0);
    touch(f, first, bytes);
    fill(first, bytes, f->made);
    f->block[f->blocks].first = first;
    f->block[f->blocks].bytes = bytes;
    f->block[f->blocks++].number = f->made++;
    return first;
}

static uint8_t *take(fixture *f, size_t bytes) {
    return take_kind(f, bytes, 0);
}

static void give(fixture *f, size_t at) {
    VT_CHECK(is_filled(f->block[at].first, f->block[at].bytes, f->block[at].number));
    vsi_block_free(&f->mem, f->block[at].first, f->block[at].bytes);
    f->block[at] = f->block[--f->blocks];
}

static uint64_t resident_bytes(const fixture *f) {
    uint64_t pages = 0;
    for (int i = 0; i < REGIONS_MAX; i++)
        for (int page = 0; f->mapped[i].first && page < REGION_PAGES; page++)
            pages += f->mapped[i].is_resident[page];
    return pages * PAGE;
}

/* What region.c promises: an eighth of what is used is warm, and a region of each size; and each block shares
 * a page at either end with others. Behind the last block of a region an eighth of it may be left. */
static void check_resident(fixture *f) {
    uint64_t counted = used(f);
    VT_CHECK(resident_bytes(f) <= counted + counted / 8 + SIZES * VSI_REGION_BYTES +
                                      f->blocks * 2 * PAGE + f->maps * (VSI_REGION_BYTES / 8));
}

/* ---- against a model ------------------------------------------------------------------------ */

/* Walks up and down between no blocks and many. */
static void walk(fixture *f, int steps, size_t bytes_max) {
    bool grows = true;
    for (int i = 0; i < steps; i++) {
        vt_at("step", (uint64_t)i);
        if (vt_below(&f->rng, 200) == 0 || used(f) > bytes_max)
            grows = used(f) < bytes_max / 8 || (used(f) < bytes_max && vt_below(&f->rng, 2));
        if (f->blocks && vt_below(&f->rng, 100) < (grows ? 25 : 75))
            give(f, vt_below(&f->rng, f->blocks));
        else
            take(f, sizes[vt_below(&f->rng, SIZES)]);
        if (i % 16 == 0)
            check_resident(f);
    }
}

VT_TEST(blocks_keep_what_is_written_and_what_is_in_memory_stays_near_what_counts) {
    static fixture f;
    begin(&f);
    walk(&f, 12000, 100 * MIB);
    while (f.blocks)
        give(&f, vt_below(&f.rng, f.blocks));
    VT_EQ(f.maps, 0); /* regions without blocks went before the end */
    end(&f);
}

VT_TEST(one_size_alone_keeps_less_than_a_region_and_an_eighth_too_much) {
    static fixture f;
    begin(&f);
    for (size_t size = 0; size < SIZES; size++) {
        while (used(&f) < 60 * MIB && f.blocks < BLOCKS_MAX)
            take(&f, sizes[size]);
        while (f.blocks) {
            give(&f, vt_below(&f.rng, f.blocks));
            uint64_t counted = used(&f);
            if (f.blocks % 8 == 0)
                VT_CHECK(resident_bytes(&f) <= counted + counted / 8 + VSI_REGION_BYTES +
                                                   f.blocks * 2 * PAGE +
                                                   f.maps * (VSI_REGION_BYTES / 8));
        }
        VT_EQ(f.maps, 0);
    }
    end(&f);
}

/* ---- small and large ------------------------------------------------------------------------ */

VT_TEST(the_first_blocks_of_a_size_take_no_more_than_their_own_pages) {
    static fixture f;
    begin(&f);
    for (size_t size = 0; size < SIZES; size++) {
        uint64_t before = resident_bytes(&f);
        take(&f, sizes[size]);
        VT_CHECK(resident_bytes(&f) - before <= sizes[size] + 2 * PAGE);
    }
    VT_EQ(f.larges, 0);
    while (f.blocks)
        give(&f, 0);
    VT_EQ(f.maps, 0);
    end(&f);
}

VT_TEST(from_four_mib_on_a_size_gets_large_pages_at_once) {
    static fixture f;
    begin(&f);
    uint32_t count = (VSI_REGION_BYTES - 128) / 16512;
    for (uint32_t i = 0; i < count; i++)
        take(&f, 16496);
    VT_EQ(f.larges, 1); /* a region that is full */
    for (uint32_t i = 0; i < count; i++)
        take(&f, 16496);
    VT_EQ(f.larges, 2);
    take(&f, 16496);
    VT_CHECK(f.maps == 3 && f.larges == 2); /* 254 blocks are not yet 4 MiB */
    for (uint32_t i = 0; i < count; i++)
        take(&f, 16496);
    VT_CHECK(f.maps == 4 && f.larges == 4);
    VT_CHECK(resident_bytes(&f) >= 4ull * VSI_REGION_BYTES);
    while (f.blocks)
        give(&f, f.blocks - 1);
    end(&f);
}

VT_TEST(a_block_that_is_free_is_used_again_before_the_system_is_asked) {
    static fixture f;
    begin(&f);
    for (int i = 0; i < 3000; i++)
        take(&f, 16384);
    size_t maps = f.maps;
    for (int round = 0; round < 3000; round++) {
        give(&f, vt_below(&f.rng, f.blocks));
        take(&f, 16384);
        VT_EQ(f.maps, maps);
    }
    while (f.blocks)
        give(&f, 0);
    end(&f);
}

/* Rows that a scan reads from end to end, say, and what stands beside each of them. */
VT_TEST(blocks_of_one_kind_lie_next_to_each_other_whatever_is_made_between_them) {
    static fixture f;
    begin(&f);
    uint8_t *last[3] = {NULL, NULL, NULL};
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t kind = i % 4 == 3 ? i / 4 % 2 + 1 : 0;
        uint8_t *block = take_kind(&f, 16512, kind);
        bool is_first = !last[kind] || (uintptr_t)block % VSI_REGION_BYTES < 16512;
        VT_CHECK(is_first || block == last[kind] + 16512);
        last[kind] = block;
    }
    VT_EQ(f.maps, 4); /* 126 to a region: two of the first kind, one of each other */
    while (f.blocks)
        give(&f, 0);
    end(&f);
}

/* ---- failures and other ways ---------------------------------------------------------------- */

VT_TEST(when_the_system_refuses_there_is_no_block_and_later_there_is) {
    static fixture f;
    begin(&f);
    f.refuses = true;
    VT_CHECK(!vsi_block_alloc(&f.mem, 16496, 0));
    f.refuses = false;
    take(&f, 16496);
    uint64_t counted = used(&f);
    f.refuses = true;
    for (int i = 0; i < 200; i++) {
        uint8_t *block = vsi_block_alloc(&f.mem, 16496, 0);
        VT_CHECK((block != NULL) == (i < 126)); /* the region has room for 127 */
        VT_EQ(used(&f), counted + (block ? 16496 : 0));
        counted = used(&f);
    }
    f.refuses = false;
    take(&f, 16496);
    VT_EQ(f.maps, 2);
    while (f.blocks)
        give(&f, 0);
    vsi_regions_close(&f.regions);
    vsi_atomic_add(&f.mem.used_bytes, 0 - (uint64_t)126 * 16496); /* those that nobody kept */
    end(&f);
}

VT_TEST(without_memory_for_a_new_size_there_is_no_block) {
    static fixture f;
    begin(&f);
    f.allocator.fail_at = 1;
    VT_CHECK(!vsi_block_alloc(&f.mem, 20000, 0));
    VT_EQ(used(&f), 0);
    VT_EQ(f.maps, 0);
    take(&f, 20000);
    give(&f, 0);
    end(&f);
}

VT_TEST(where_there_are_no_pages_blocks_come_from_the_allocator) {
    static fixture f;
    begin(&f);
    vsi_regions_free(&f.regions);
    VT_CHECK(vsi_regions_init(&f.regions, &f.mem, NULL));
    void *block = vsi_block_alloc(&f.mem, 16496, 0);
    VT_CHECK(block && f.allocator.live_blocks == 1 && f.allocator.live_bytes == 16496);
    vsi_block_free(&f.mem, block, 16496);
    VT_EQ(f.maps, 0);
    end(&f);
}

VT_TEST(what_is_no_size_for_a_region_comes_from_the_allocator) {
    static fixture f;
    static const size_t others[] = {1, VSI_BLOCK_BYTES_MIN - 1, VSI_BLOCK_BYTES_MAX + 1, 3 * MIB};
    begin(&f);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        void *block = vsi_block_alloc(&f.mem, others[i], 0);
        VT_CHECK(block && f.allocator.live_bytes == others[i]);
        vsi_block_free(&f.mem, block, others[i]);
    }
    vsi_block_free(&f.mem, NULL, 16496);
    VT_EQ(f.maps, 0);
    end(&f);
}

/* A child may have been forked while another thread held the lock. */
VT_TEST(once_closing_blocks_go_without_the_lock) {
    static fixture f;
    begin(&f);
    for (int i = 0; i < 600; i++)
        take(&f, 16384);
    vsi_mutex_lock(&f.regions.lock);
    vsi_regions_close(&f.regions);
    while (f.blocks)
        give(&f, 0);
    vsi_mutex_unlock(&f.regions.lock);
    VT_CHECK(f.maps > 0);
    end(&f);
}

#if defined(VSI_ASAN)

VT_TEST(what_is_free_may_not_be_looked_at) {
    static fixture f;
    begin(&f);
    uint8_t *first = take(&f, 16390), *other = take(&f, 16390);
    VT_CHECK(!__asan_region_is_poisoned(first, 16390) && __asan_address_is_poisoned(first + 16400));
    give(&f, 0);
    VT_CHECK(__asan_address_is_poisoned(first) && __asan_address_is_poisoned(first + 16389));
    VT_CHECK(!__asan_region_is_poisoned(other, 16390));
    VT_CHECK(__asan_address_is_poisoned(other + 16448)); /* never used */
    give(&f, 0);
    end(&f);
}

#endif

/* ---- threads -------------------------------------------------------------------------------- */

#if VS_THREADSAFE

enum { THREADS = 4, HELD = 40, ROUNDS = 3000 };

static void *quick_map(void *ctx, size_t bytes) {
    (void)ctx;
    void *first = aligned_alloc(bytes, bytes);
    if (!first)
        abort();
    return memset(first, 0, bytes);
}

static void quick_unmap(void *ctx, void *first, size_t bytes) {
    (void)ctx;
    (void)bytes;
    free(first);
}

static void quick_prefer(void *ctx, void *first, size_t bytes, bool is_large) {
    (void)ctx;
    (void)first;
    (void)bytes;
    (void)is_large;
}

static void quick_give_back(void *ctx, void *first, size_t bytes) {
    (void)ctx;
    VSI_UNPOISON(first, bytes);
    memset(first, 0xdd, bytes);
    VSI_POISON(first, bytes);
}

typedef struct worker {
    vsi_mem *mem;
    uint64_t seed, wrong;
    pthread_t thread;
} worker;

static void *take_and_give(void *ctx) {
    worker *w = ctx;
    vt_rng rng = {w->seed};
    struct {
        uint8_t *first;
        uint64_t number;
    } held[HELD] = {{NULL, 0}};
    for (uint64_t round = 0; round < ROUNDS + HELD; round++) {
        size_t at = round < ROUNDS ? vt_below(&rng, HELD) : round - ROUNDS;
        size_t bytes = sizes[at % SIZES];
        if (held[at].first) {
            w->wrong += !is_filled(held[at].first, bytes, held[at].number);
            vsi_block_free(w->mem, held[at].first, bytes);
        }
        held[at].first = round < ROUNDS ? vsi_block_alloc(w->mem, bytes, (uint32_t)at % 3) : NULL;
        held[at].number = w->seed + round;
        if (held[at].first)
            fill(held[at].first, bytes, held[at].number);
    }
    return NULL;
}

VT_TEST(threads_take_and_give_blocks_side_by_side) {
    static worker w[THREADS];
    vsi_pages pages = {NULL, quick_map, quick_unmap, quick_prefer, quick_give_back};
    vsi_mem mem;
    vsi_regions regions;
    vsi_mem_init(&mem, NULL);
    VT_CHECK(vsi_regions_init(&regions, &mem, &pages));
    for (int i = 0; i < THREADS; i++) {
        w[i] = (worker){.mem = &mem, .seed = vt_seed() + (uint64_t)i * 1000003};
        VT_EQ(pthread_create(&w[i].thread, NULL, take_and_give, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        VT_EQ(pthread_join(w[i].thread, NULL), 0);
        VT_EQ(w[i].wrong, 0);
    }
    vsi_regions_free(&regions);
    VT_EQ(vsi_atomic_load(&mem.used_bytes), 0);
}

#endif
