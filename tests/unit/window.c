/* window.c - parts of a file mapped for reading, on a file system that only counts. */
#include "store/window.h"
#include "vt.h"

/* A MiB where addresses have 64 bits; less where windows are smaller. */
#define UNIT (VSI_WINDOW_BYTES / 64)
enum { EXTENT = 16384, MOST = (int)(VSI_WINDOWS_BYTES_MAX / VSI_WINDOW_BYTES) };

/* Maps are addresses that nobody looks at; a file of any size. */
static struct {
    uint64_t file_bytes, maps, mapped_bytes, fails;
    vs_status map_status, size_status;
} fake;

static vs_status fake_size(void *ctx, void *file, uint64_t *out_bytes, char *why) {
    (void)ctx;
    (void)file;
    (void)why;
    *out_bytes = fake.file_bytes;
    return fake.size_status;
}

static uint8_t *fake_address(uint64_t offset) {
    return (uint8_t *)((uintptr_t)1 << (sizeof(void *) > 4 ? 44 : 30)) + offset;
}

static vs_status fake_map(void *ctx, void *file, uint64_t offset, size_t bytes, const void **out,
                          char *why) {
    (void)ctx;
    (void)file;
    (void)why;
    VT_CHECK(bytes > 0 && offset % 65536 == 0 && offset + bytes <= fake.file_bytes);
    if (fake.map_status != VS_OK) {
        fake.fails++;
        return fake.map_status;
    }
    fake.maps++;
    fake.mapped_bytes += bytes;
    *out = fake_address(offset);
    return VS_OK;
}

static void fake_unmap(void *ctx, void *file, const void *address, size_t bytes) {
    (void)ctx;
    (void)file;
    VT_CHECK((const uint8_t *)address >= fake_address(0));
    fake.maps--;
    fake.mapped_bytes -= bytes;
}

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs vfs;
    vsi_file file;
    vsi_reside reside;
    vsi_windows windows;
} fixture;

static void begin(fixture *f, uint64_t file_bytes) {
    memset(f, 0, sizeof *f);
    memset(&fake, 0, sizeof fake);
    fake.file_bytes = file_bytes;
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    f->vfs = (vs_vfs){
        .size = sizeof f->vfs, .file_size = fake_size, .map = fake_map, .unmap = fake_unmap};
    f->file = (vsi_file){.vfs = &f->vfs, .mem = &f->mem};
    VT_CHECK(vsi_reside_init(&f->reside, &f->mem));
    VT_CHECK(vsi_windows_init(&f->windows, &f->mem, &f->file, &f->reside));
    f->windows.is_on = true;
}

static void end(fixture *f) {
    vsi_windows_free(&f->windows);
    vsi_reside_free(&f->reside);
    VT_EQ(fake.maps, 0);
    VT_EQ(fake.mapped_bytes, 0);
    VT_EQ(f->allocator.live_blocks, 0);
}

/* Looks at an extent for the time of a call. */
static bool glance(fixture *f, uint64_t offset) {
    vsi_sight sight = {.user = NULL};
    vsi_stay stay = vsi_stay_enter(&f->reside);
    const uint8_t *seen = vsi_windows_see(&f->windows, offset, EXTENT, &sight);
    VT_CHECK(!seen || seen == fake_address(offset));
    vsi_stay_leave(&f->reside, stay);
    return seen;
}

static bool use(fixture *f, uint64_t offset, vsi_sight *sight) {
    vsi_stay stay = vsi_stay_enter(&f->reside);
    sight->user = sight;
    bool is_seen = vsi_windows_see(&f->windows, offset, EXTENT, sight);
    if (is_seen)
        vsi_windows_use(&f->windows, sight);
    vsi_stay_leave(&f->reside, stay);
    return is_seen;
}

/* How many windows there are of a part of the file. */
static int windows_of(const fixture *f, size_t pane) {
    int count = 0;
    for (vsi_window *w = ((vsi_window **)(void *)f->windows.panes.data)[pane]; w; w = w->older)
        count++;
    return count;
}

VT_TEST(extents_of_one_window_share_a_map_and_those_on_a_border_have_none) {
    fixture f;
    begin(&f, 200 * UNIT);
    for (uint64_t offset = 0; offset + EXTENT <= 64 * UNIT; offset += 4096)
        VT_CHECK(glance(&f, offset));
    VT_EQ(fake.maps, 1);
    VT_CHECK(!glance(&f, 64 * UNIT - EXTENT + 4096));
    VT_CHECK(!glance(&f, 64 * UNIT - 4096));
    VT_CHECK(glance(&f, 64 * UNIT));
    VT_EQ(fake.maps, 2);
    VT_CHECK(glance(&f, 200 * UNIT - EXTENT));
    VT_EQ(fake.mapped_bytes, 136 * UNIT); /* the last one as far as the file goes */
    end(&f);
}

VT_TEST(nothing_is_mapped_behind_the_end_and_nothing_at_all_unless_it_is_on) {
    fixture f;
    begin(&f, 5 * EXTENT);
    VT_CHECK(!glance(&f, 4 * EXTENT + 1));
    VT_CHECK(!glance(&f, 5 * EXTENT));
    VT_CHECK(!glance(&f, 1000 * UNIT));
    VT_EQ(fake.maps, 0);
    VT_CHECK(glance(&f, 4 * EXTENT));
    fake.file_bytes = 4 * EXTENT; /* somebody cut it: what is left is seen, the rest must be read */
    VT_CHECK(glance(&f, 3 * EXTENT) && !glance(&f, 4 * EXTENT));
    f.windows.is_on = false;
    VT_CHECK(!glance(&f, 0));
    end(&f);
}

VT_TEST(a_file_that_grows_is_mapped_again_and_the_old_window_goes_when_nobody_uses_it) {
    fixture f;
    vsi_sight first, second;
    begin(&f, UNIT);
    VT_CHECK(use(&f, 0, &first));
    fake.file_bytes = 2 * UNIT;
    VT_CHECK(use(&f, UNIT, &second));
    VT_EQ(fake.maps, 2);
    VT_CHECK(first.window != second.window && glance(&f, 4096));
    VT_EQ(fake.maps, 2);
    fake.file_bytes = 3 * UNIT;
    VT_CHECK(glance(&f, 2 * UNIT));
    VT_EQ(fake.maps, 3); /* both of the older ones are in use */
    vsi_windows_leave(&f.windows, &first);
    vsi_windows_leave(&f.windows, &second);
    fake.file_bytes = 4 * UNIT;
    VT_CHECK(glance(&f, 3 * UNIT));
    VT_CHECK(glance(&f, 3 * UNIT));
    fake.file_bytes = 5 * UNIT;
    VT_CHECK(glance(&f, 4 * UNIT)); /* by now nobody can be looking */
    VT_EQ(fake.maps, 2);            /* the last one, and the one before it of a moment ago */
    end(&f);
}

VT_TEST(who_stays_keeps_a_window_that_was_replaced) {
    fixture f;
    vsi_sight sight;
    begin(&f, UNIT);
    vsi_stay stay = vsi_stay_enter(&f.reside);
    VT_CHECK(vsi_windows_see(&f.windows, 0, EXTENT, &sight));
    for (uint64_t i = 2; i < 10; i++) {
        fake.file_bytes = i * UNIT;
        VT_CHECK(glance(&f, (i - 1) * UNIT));
        VT_EQ(fake.maps, i); /* he may look at any of them */
    }
    vsi_stay_leave(&f.reside, stay);
    for (uint64_t i = 10; i < 14; i++) {
        fake.file_bytes = i * UNIT;
        VT_CHECK(glance(&f, (i - 1) * UNIT));
    }
    VT_CHECK(fake.maps <= 3);
    end(&f);
}

VT_TEST(a_window_that_reaches_behind_a_cut_serves_nobody_new) {
    fixture f;
    vsi_sight kept, sight;
    begin(&f, 100 * UNIT);
    VT_CHECK(use(&f, 0, &kept) && glance(&f, 64 * UNIT));
    VT_EQ(fake.maps, 2);
    vsi_windows_cut(&f.windows, 80 * UNIT);
    fake.file_bytes = 80 * UNIT;
    VT_CHECK(use(&f, 70 * UNIT, &sight));
    VT_CHECK(sight.window->bytes == 16 * UNIT && kept.window->bytes == 64 * UNIT);
    fake.file_bytes = 120 * UNIT;
    VT_CHECK(glance(&f, 100 * UNIT) && glance(&f, UNIT));
    VT_CHECK(windows_of(&f, 0) == 1);
    end(&f);
}

VT_TEST(users_are_found_by_where_their_extent_begins) {
    enum { COUNT = 1000 };
    static vsi_sight sight[COUNT];
    fixture f;
    begin(&f, COUNT * EXTENT);
    VT_CHECK(!vsi_windows_user(&f.windows, 0));
    for (uint64_t i = 0; i < COUNT; i++)
        VT_CHECK(use(&f, i * EXTENT, &sight[i]));
    for (uint64_t i = 0; i < COUNT; i += 3)
        vsi_windows_leave(&f.windows, &sight[i]);
    for (uint64_t i = 0; i < COUNT; i++) {
        void *user = vsi_windows_user(&f.windows, i * EXTENT);
        VT_CHECK(i % 3 ? user == &sight[i] : !user);
        VT_CHECK(!vsi_windows_user(&f.windows, i * EXTENT + 4096));
    }
    for (uint64_t i = 0; i < COUNT; i++)
        if (i % 3)
            vsi_windows_leave(&f.windows, &sight[i]);
    VT_EQ(f.windows.sight_count, 0);
    end(&f);
}

VT_TEST(address_space_ends_and_windows_that_nobody_uses_make_room) {
    static vsi_sight sight[MOST];
    fixture f;
    begin(&f, (uint64_t)MOST * 80 * UNIT);
    for (uint64_t i = 0; i < MOST; i++)
        VT_CHECK(use(&f, i * 64 * UNIT, &sight[i]));
    VT_EQ(fake.maps, MOST);
    VT_CHECK(!glance(&f, (uint64_t)MOST * 64 * UNIT)); /* all in use: it is read */
    VT_CHECK(glance(&f, 4096));
    vsi_windows_leave(&f.windows, &sight[7]);
    bool is_seen = false;
    for (int i = 0; i < 3 && !is_seen; i++)
        is_seen = glance(&f, (uint64_t)MOST * 64 * UNIT);
    VT_CHECK(is_seen);
    VT_EQ(fake.maps, MOST);
    VT_EQ(fake.mapped_bytes, (uint64_t)MOST * 64 * UNIT);
    for (uint64_t i = 0; i < MOST; i++)
        if (i != 7)
            vsi_windows_leave(&f.windows, &sight[i]);
    end(&f);
}

/* After a fork the lock may never be free: a database frees the windows first, and then what looked there. */
VT_TEST(leaving_after_everything_is_unmapped_takes_no_lock) {
    static fixture f;
    vsi_sight sight = {.user = NULL};
    begin(&f, 4 * VSI_WINDOW_BYTES);
    VT_CHECK(use(&f, 0, &sight));
    vsi_windows_free(&f.windows);
    vsi_mutex_lock(&f.windows.lock); /* all zero, and taken */
    vsi_windows_leave(&f.windows, &sight);
    vsi_mutex_unlock(&f.windows.lock);
    end(&f);
}

VT_TEST(without_maps_or_memory_everything_is_read) {
    fixture f;
    begin(&f, UNIT);
    fake.map_status = VS_ERR_UNSUPPORTED;
    VT_CHECK(!glance(&f, 0));
    VT_EQ(fake.fails, 1);
    end(&f);
    for (uint64_t fail = 1; fail < 5; fail++) {
        begin(&f, UNIT);
        f.allocator.fail_at = fail;
        bool is_seen = glance(&f, 0);
        VT_EQ(is_seen, fail > 3); /* the list of windows, the buckets, the window */
        VT_EQ(fake.maps, is_seen);
        f.allocator.fail_at = 0;
        VT_CHECK(glance(&f, 0));
        end(&f);
    }
}

VT_TEST(a_file_whose_size_cannot_be_asked_is_read_and_one_that_is_not_mapped_has_no_users) {
    fixture f;
    begin(&f, UNIT);
    fake.size_status = VS_ERR_IO;
    VT_CHECK(!glance(&f, 0));
    fake.size_status = VS_OK;
    VT_CHECK(glance(&f, 0));
    f.windows.is_on = false;
    VT_CHECK(!vsi_windows_user(&f.windows, 0));
    end(&f);
}

VT_TEST(without_memory_for_more_buckets_users_are_found_in_those_there_are) {
    enum { COUNT = 400 };
    static vsi_sight sight[COUNT];
    fixture f;
    begin(&f, (uint64_t)COUNT * EXTENT);
    VT_CHECK(use(&f, 0, &sight[0]));
    for (uint64_t i = 1; i < COUNT; i++) {
        f.allocator.fail_at = f.allocator.calls + 1; /* whatever it asks for, it does without */
        bool is_used = use(&f, i * EXTENT, &sight[i]);
        f.allocator.fail_at = 0;
        VT_CHECK(is_used || use(&f, i * EXTENT, &sight[i])); /* a window more is needed by some */
        VT_CHECK(vsi_windows_user(&f.windows, i * EXTENT) == &sight[i]);
    }
    for (uint64_t i = 0; i < COUNT; i++)
        vsi_windows_leave(&f.windows, &sight[i]);
    end(&f);
}
