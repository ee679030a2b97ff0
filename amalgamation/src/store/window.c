/* window.c - parts of the database file that are mapped for reading.
 *
 *   D1  A window never reaches behind the end that the file had when it was mapped, and nobody is shown
 *       what lies behind the end that it has now.
 *   D2  A window stays where it is until it is unmapped: when no extent in it is in use, and whoever came
 *       or left last has stopped staying (E1).
 *   D3  When the file is cut, nothing behind the new end is in use or looked at any more: its pages
 *       were free, and pages become free only when all have left who could look at them (store/space). */
#include "store/window.h"

enum { WINDOW_BUCKETS_FIRST = 64 };

_Static_assert(VSI_WINDOW_BYTES % 65536 == 0, "windows begin where a VFS can map");

VSI_FN bool vsi_windows_init(vsi_windows *windows, vsi_mem *mem, const vsi_file *file,
                             vsi_reside *reside) {
    memset(windows, 0, sizeof *windows);
    if (!vsi_mutex_init(&windows->lock))
        return false;
    windows->mem = mem;
    windows->file = file;
    windows->reside = reside;
    windows->panes.mem = mem;
    return true;
}

static vsi_window **windows_panes(const vsi_windows *windows) {
    return (vsi_window **)(void *)windows->panes.data;
}

static size_t windows_pane_count(const vsi_windows *windows) {
    return windows->panes.bytes / sizeof(vsi_window *);
}

/* Unmaps the window that a link leads to. */
static void windows_unmap(vsi_windows *windows, vsi_window **link) {
    vsi_window *window = *link;
    *link = window->older;
    windows->bytes -= window->bytes;
    vsi_file_unmap(windows->file, window->first, window->bytes);
    vsi_free(windows->mem, window, sizeof *window);
}

VSI_FN void vsi_windows_free(vsi_windows *windows) {
    if (!windows->mem)
        return;
    for (size_t i = 0; i < windows_pane_count(windows); i++)
        while (windows_panes(windows)[i])
            windows_unmap(windows, &windows_panes(windows)[i]);
    vsi_buf_free(&windows->panes);
    vsi_free(windows->mem, windows->buckets, windows->bucket_count * sizeof *windows->buckets);
    vsi_mutex_destroy(&windows->lock);
    memset(windows, 0, sizeof *windows);
}

/* ---- mapping -------------------------------------------------------------------------------- */

/* Unmaps what nobody uses: those that were replaced or cut, or all. */
static void windows_unmap_idle(vsi_windows *windows, bool all) {
    uint64_t epoch = vsi_reside_advance(windows->reside);
    for (size_t i = 0; i < windows_pane_count(windows); i++) {
        vsi_window **first = &windows_panes(windows)[i], **link = first;
        while (*link) {
            bool is_spare = all || link != first || (*link)->is_cut;
            if (is_spare && !(*link)->users && (*link)->seen + 2 <= epoch)
                windows_unmap(windows, link); /* keeps D2 */
            else
                link = &(*link)->older;
        }
    }
}

/* Room for a window of so many bytes. */
static bool windows_make_room(vsi_windows *windows, size_t pane, size_t bytes) {
    windows_unmap_idle(windows, false);
    if (windows->bytes + bytes > VSI_WINDOWS_BYTES_MAX)
        windows_unmap_idle(windows, true);
    if (windows->bytes + bytes > VSI_WINDOWS_BYTES_MAX)
        return false;
    size_t known = windows_pane_count(windows), more = pane < known ? 0 : pane + 1 - known;
    if (!vsi_buf_reserve(&windows->panes, more * sizeof(vsi_window *)))
        return false;
    for (size_t i = 0; i < more; i++)
        windows_panes(windows)[known + i] = NULL;
    windows->panes.bytes += more * sizeof(vsi_window *);
    if (!windows->bucket_count)
        windows->buckets =
            vsi_alloc_zeroed(windows->mem, WINDOW_BUCKETS_FIRST * sizeof(vsi_sight *));
    windows->bucket_count =
        windows->buckets && !windows->bucket_count ? WINDOW_BUCKETS_FIRST : windows->bucket_count;
    return windows->buckets;
}

/* Maps a part of a file of so many bytes; NULL: it cannot be. */
static vsi_window *windows_map(vsi_windows *windows, size_t pane, uint64_t file_bytes) {
    uint64_t offset = pane * VSI_WINDOW_BYTES, rest = file_bytes - offset;
    size_t bytes = (size_t)(rest < VSI_WINDOW_BYTES ? rest : VSI_WINDOW_BYTES); /* keeps D1 */
    if (!windows_make_room(windows, pane, bytes))
        return NULL;
    const void *first = NULL;
    vsi_window *window = vsi_alloc_zeroed(windows->mem, sizeof *window);
    if (!window || vsi_file_map(windows->file, offset, bytes, &first) != VS_OK) {
        vsi_free(windows->mem, window, sizeof *window);
        return NULL;
    }
    window->first = first;
    window->offset = offset;
    window->bytes = bytes;
    window->older = windows_panes(windows)[pane];
    windows_panes(windows)[pane] = window;
    windows->bytes += bytes;
    return window;
}

/* The window that has everything up to end. */
static vsi_window *windows_find(vsi_windows *windows, size_t pane, uint64_t end) {
    vsi_window *window = pane < windows_pane_count(windows) ? windows_panes(windows)[pane] : NULL;
    return window && !window->is_cut && window->offset + window->bytes >= end ? window : NULL;
}

VSI_FN const uint8_t *vsi_windows_see(vsi_windows *windows, uint64_t offset, size_t bytes,
                                      vsi_sight *out_sight) {
    vsi_err ignored = {0};
    uint64_t file_bytes = 0, end = offset + bytes;
    if (!windows->is_on || offset / VSI_WINDOW_BYTES != (end - 1) / VSI_WINDOW_BYTES)
        return NULL;
    if (vsi_file_size(&ignored, windows->file, &file_bytes) != VS_OK || end > file_bytes)
        return NULL; /* keeps D1 */
    vsi_mutex_lock(&windows->lock);
    size_t pane = (size_t)(offset / VSI_WINDOW_BYTES);
    vsi_window *window = windows_find(windows, pane, end);
    window = window ? window : windows_map(windows, pane, file_bytes);
    if (window)
        window->seen = vsi_ordered_load(&windows->reside->epoch); /* keeps D2 */
    vsi_mutex_unlock(&windows->lock);
    out_sight->window = window;
    out_sight->offset = offset;
    return window ? window->first + (offset - window->offset) : NULL;
}

VSI_FN void vsi_windows_cut(vsi_windows *windows, uint64_t end) {
    if (!windows->is_on)
        return;
    vsi_mutex_lock(&windows->lock);
    for (size_t i = 0; i < windows_pane_count(windows); i++)
        for (vsi_window *w = windows_panes(windows)[i]; w; w = w->older)
            w->is_cut = w->is_cut || w->offset + w->bytes > end;
    vsi_mutex_unlock(&windows->lock);
}

/* ---- what is in use ------------------------------------------------------------------------- */

static vsi_sight **windows_bucket(const vsi_windows *windows, uint64_t offset) {
    uint64_t hash = (offset >> 12) * 0x9e3779b97f4a7c15u;
    return &windows->buckets[(size_t)(hash >> 32) & (windows->bucket_count - 1)];
}

/* Twice as many buckets when there are as many extents; without memory they only hold more. */
static void windows_grow(vsi_windows *windows) {
    size_t old_count = windows->bucket_count, count = old_count * 2;
    vsi_sight **old = windows->buckets;
    vsi_sight **buckets = vsi_alloc_zeroed(windows->mem, count * sizeof(vsi_sight *));
    if (!buckets)
        return;
    windows->buckets = buckets;
    windows->bucket_count = count;
    for (size_t i = 0; i < old_count; i++)
        while (old[i]) {
            vsi_sight *sight = old[i], **to = windows_bucket(windows, sight->offset);
            old[i] = sight->next;
            sight->next = *to;
            *to = sight;
        }
    vsi_free(windows->mem, old, old_count * sizeof(vsi_sight *));
}

VSI_FN void vsi_windows_use(vsi_windows *windows, vsi_sight *sight) {
    vsi_mutex_lock(&windows->lock);
    if (windows->sight_count >= windows->bucket_count)
        windows_grow(windows);
    vsi_sight **bucket = windows_bucket(windows, sight->offset);
    sight->next = *bucket;
    *bucket = sight;
    sight->window->users++;
    windows->sight_count++;
    vsi_mutex_unlock(&windows->lock);
}

/* After a fork another thread of the parent may hold the lock for ever; closing unmaps everything before. */
VSI_FN void vsi_windows_leave(vsi_windows *windows, vsi_sight *sight) {
    if (!windows->mem)
        return;
    vsi_mutex_lock(&windows->lock);
    vsi_sight **link = windows_bucket(windows, sight->offset);
    while (*link != sight)
        link = &(*link)->next;
    *link = sight->next;
    sight->window->users--;
    sight->window->seen = vsi_ordered_load(&windows->reside->epoch); /* keeps D2 */
    windows->sight_count--;
    vsi_mutex_unlock(&windows->lock);
}

VSI_FN void *vsi_windows_user(vsi_windows *windows, uint64_t offset) {
    void *user = NULL;
    if (!windows->is_on)
        return NULL;
    vsi_mutex_lock(&windows->lock);
    vsi_sight *sight = windows->bucket_count ? *windows_bucket(windows, offset) : NULL;
    for (; sight && !user; sight = sight->next)
        user = sight->offset == offset ? sight->user : NULL;
    vsi_mutex_unlock(&windows->lock);
    return user;
}

#ifdef VSI_DEBUG
VSI_FN bool vsi_windows_are_clear(vsi_windows *windows, uint64_t offset, uint64_t end) {
    bool is_clear = true;
    vsi_mutex_lock(&windows->lock);
    for (size_t i = 0; i < windows->bucket_count; i++)
        for (const vsi_sight *s = windows->buckets[i]; s; s = s->next)
            is_clear = is_clear && (s->offset < offset || s->offset >= end);
    vsi_mutex_unlock(&windows->lock);
    return is_clear;
}
#endif
