/* sim.c - a simulated file system that records, fails and crashes. */
#include "sim.h"
#include "vt.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    SIM_OP_WRITE = 1,
    SIM_OP_TRUNCATE,
    SIM_OP_SYNC,
    SIM_OP_SYNC_LOST, /* a sync that failed: pending operations of the inode are forgotten */
    SIM_OP_CREATE,
    SIM_OP_REMOVE,
    SIM_OP_SYNC_DIR,
    SIM_OP_NOTE
};

typedef struct sim_bytes {
    uint8_t *data;
    size_t bytes, cap;
} sim_bytes;

typedef struct sim_op {
    int kind, inode;
    uint64_t offset; /* of a write; size of a truncation; kind of a note */
    uint64_t value;  /* of a note */
    uint8_t *data;
    size_t bytes;
    char path[SIM_PATH_BYTES];
} sim_op;

typedef struct sim_entry {
    char path[SIM_PATH_BYTES];
    int inode;
} sim_entry;

/* A folder: there is only one. */
typedef struct sim_folder {
    sim_entry entry[SIM_FILES_MAX];
    int count;
} sim_folder;

typedef struct sim_inode {
    sim_bytes live; /* what reads see */
    int shared_locks;
    bool is_locked;
} sim_inode;

/* A buffer that shows a part of a file, and follows its writes. */
typedef struct sim_view {
    struct sim_view *next;
    int inode;
    size_t offset, bytes;
    uint8_t *data;
} sim_view;

typedef struct sim_handle {
    int inode, lock;
    bool may_write;
} sim_handle;

struct sim {
    vs_vfs vfs;
    vt_rng rng;
    int64_t clock_us;
    uint64_t process_id;
    uint32_t block_bytes;
    sim_inode *inode;
    int inode_count, inode_cap;
    sim_folder folder, base_folder;
    sim_bytes *base; /* [base_count] contents at the start, by inode */
    int base_count;
    sim_view *views;
    sim_op *op;
    size_t op_count, op_cap;
    uint64_t writes, room;
    int fault;
    uint64_t fault_at, fault_calls, fault_hits;
    bool fault_for_ever;
};

/* ---- bytes and folders ---------------------------------------------------------------------- */

static void *sim_alloc(size_t bytes) {
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        abort();
    return p;
}

static void bytes_resize(sim_bytes *b, size_t bytes) {
    if (bytes > b->cap) {
        size_t cap = b->cap ? b->cap : 4096;
        while (cap < bytes)
            cap *= 2;
        b->data = realloc(b->data, cap);
        if (!b->data)
            abort();
        b->cap = cap;
    }
    if (bytes > b->bytes)
        memset(b->data + b->bytes, 0, bytes - b->bytes);
    b->bytes = bytes;
}

static void bytes_put(sim_bytes *b, uint64_t offset, const uint8_t *data, size_t bytes) {
    if (offset + bytes > b->bytes)
        bytes_resize(b, (size_t)offset + bytes);
    memcpy(b->data + offset, data, bytes);
}

static uint8_t *copy_of(const uint8_t *data, size_t bytes) {
    uint8_t *copy = malloc(bytes ? bytes : 1);
    if (!copy)
        abort();
    if (bytes)
        memcpy(copy, data, bytes);
    return copy;
}

static sim_bytes bytes_copy(const sim_bytes *b) {
    return (sim_bytes){copy_of(b->data, b->bytes), b->bytes, b->bytes};
}

static sim_entry *folder_find(sim_folder *folder, const char *path) {
    for (int i = 0; i < folder->count; i++)
        if (!strcmp(folder->entry[i].path, path))
            return &folder->entry[i];
    return NULL;
}

static void folder_put(sim_folder *folder, const char *path, int inode) {
    sim_entry *entry = folder_find(folder, path);
    if (!entry) {
        if (folder->count == SIM_FILES_MAX)
            abort();
        entry = &folder->entry[folder->count++];
        snprintf(entry->path, sizeof entry->path, "%s", path);
    }
    entry->inode = inode;
}

static void folder_drop(sim_folder *folder, const char *path) {
    sim_entry *entry = folder_find(folder, path);
    if (entry)
        *entry = folder->entry[--folder->count];
}

/* ---- images --------------------------------------------------------------------------------- */

void sim_image_free(sim_image *image) {
    for (int i = 0; i < image->count; i++)
        free(image->file[i].data);
    image->count = 0;
}

sim_image sim_image_copy(const sim_image *image) {
    sim_image copy = *image;
    for (int i = 0; i < image->count; i++)
        copy.file[i].data = copy_of(image->file[i].data, image->file[i].bytes);
    return copy;
}

sim_file *sim_image_find(sim_image *image, const char *path) {
    for (int i = 0; i < image->count; i++)
        if (!strcmp(image->file[i].path, path))
            return &image->file[i];
    return NULL;
}

/* xxHash, for most of what the campaigns do is to hash images. */
static uint64_t hash_bytes(const uint8_t *data, size_t bytes, uint64_t seed) {
    return XXH3_64bits_withSeed(data, bytes, seed);
}

uint64_t sim_image_hash(const sim_image *image) {
    uint64_t sum = 0;
    for (int i = 0; i < image->count; i++) {
        const sim_file *f = &image->file[i];
        uint64_t name = hash_bytes((const uint8_t *)f->path, strlen(f->path), 1);
        sum += hash_bytes(f->data, f->bytes, name);
    }
    return sum;
}

sim_image sim_image_now(const sim *s) {
    sim_image image = {.count = s->folder.count};
    for (int i = 0; i < image.count; i++) {
        sim_file *f = &image.file[i];
        sim_bytes copy = bytes_copy(&s->inode[s->folder.entry[i].inode].live);
        memcpy(f->path, s->folder.entry[i].path, sizeof f->path);
        f->data = copy.data;
        f->bytes = copy.bytes;
    }
    return image;
}

/* ---- recording ------------------------------------------------------------------------------ */

static sim_op *sim_record(sim *s, int kind, int inode) {
    if (s->op_count == s->op_cap) {
        s->op_cap = s->op_cap ? 2 * s->op_cap : 256;
        s->op = realloc(s->op, s->op_cap * sizeof *s->op);
        if (!s->op)
            abort();
    }
    sim_op *op = &s->op[s->op_count++];
    memset(op, 0, sizeof *op);
    op->kind = kind;
    op->inode = inode;
    return op;
}

void sim_note(sim *s, int kind, uint64_t value) {
    sim_op *op = sim_record(s, SIM_OP_NOTE, -1);
    op->offset = (uint64_t)kind;
    op->value = value;
}

size_t sim_op_count(const sim *s) {
    return s->op_count;
}

bool sim_op_note(const sim *s, size_t at, int *out_kind, uint64_t *out_value) {
    const sim_op *op = &s->op[at];
    if (op->kind != SIM_OP_NOTE)
        return false;
    *out_kind = (int)op->offset;
    *out_value = op->value;
    return true;
}

/* ---- faults --------------------------------------------------------------------------------- */

const char *sim_fault_name(int kind) {
    static const char *names[] = {"none", "io",    "io-half",   "io-after",
                                  "full", "short", "interrupt", "sync-loses"};
    return kind >= 0 && kind < SIM_FAULT_COUNT ? names[kind] : "?";
}

void sim_set_fault(sim *s, int kind, uint64_t at, bool for_ever) {
    s->fault = kind;
    s->fault_at = at;
    s->fault_for_ever = for_ever;
    s->fault_calls = 0;
    s->fault_hits = 0;
}

uint64_t sim_fault_calls(const sim *s) {
    return s->fault_calls;
}

uint64_t sim_fault_hits(const sim *s) {
    return s->fault_hits;
}

enum { CALL_OTHER, CALL_READ, CALL_WRITE, CALL_SYNC };

/* The fault that hits this call, if one does. */
static int sim_fault_here(sim *s, int call) {
    bool can_fail = s->fault != SIM_FAULT_NONE;
    if (s->fault == SIM_FAULT_IO_HALF)
        can_fail = call == CALL_WRITE;
    if (s->fault == SIM_FAULT_SHORT)
        can_fail = call == CALL_WRITE || call == CALL_READ;
    if (s->fault == SIM_FAULT_SYNC_LOSES)
        can_fail = call == CALL_SYNC;
    if (s->fault == SIM_FAULT_FULL)
        can_fail = call != CALL_READ;
    if (!can_fail)
        return SIM_FAULT_NONE;
    s->fault_calls++;
    bool hits = s->fault_calls == s->fault_at ||
                (s->fault_for_ever && s->fault_at && s->fault_calls > s->fault_at);
    s->fault_hits += hits;
    return hits ? s->fault : SIM_FAULT_NONE;
}

static vs_status sim_fail(int fault, char *why) {
    snprintf(why, VS_VFS_WHY_BYTES, "simulated fault %s", sim_fault_name(fault));
    if (fault == SIM_FAULT_INTERRUPT)
        return VS_ERR_INTERRUPTED;
    return fault == SIM_FAULT_FULL ? VS_ERR_FULL : VS_ERR_IO;
}

/* Faults that forbid the call altogether, as opposed to those that let some of it happen. */
static bool sim_fault_is_before(int fault) {
    return fault == SIM_FAULT_IO || fault == SIM_FAULT_FULL || fault == SIM_FAULT_INTERRUPT;
}

/* ---- the file system ------------------------------------------------------------------------ */

static int sim_new_inode(sim *s) {
    if (s->inode_count == s->inode_cap) {
        s->inode_cap = s->inode_cap ? 2 * s->inode_cap : 16;
        s->inode = realloc(s->inode, (size_t)s->inode_cap * sizeof *s->inode);
        if (!s->inode)
            abort();
    }
    memset(&s->inode[s->inode_count], 0, sizeof *s->inode);
    return s->inode_count++;
}

static vs_status sim_full_path(void *ctx, const char *path, char *out, size_t out_bytes,
                               char *why) {
    sim *s = ctx;
    int fault = sim_fault_here(s, CALL_OTHER);
    if (fault)
        return sim_fail(fault, why);
    snprintf(out, out_bytes, "%s", path);
    return VS_OK;
}

static vs_status sim_open(void *ctx, const char *path, uint32_t mode, void **out_file, char *why) {
    sim *s = ctx;
    int fault = sim_fault_here(s, CALL_OTHER);
    if (sim_fault_is_before(fault))
        return sim_fail(fault, why);
    sim_entry *entry = folder_find(&s->folder, path);
    if (entry && mode & VS_VFS_EXCLUSIVE)
        return VS_ERR_EXISTS;
    if (!entry && !(mode & VS_VFS_CREATE))
        return VS_ERR_NOT_FOUND;
    int inode = entry ? entry->inode : sim_new_inode(s);
    if (!entry) {
        folder_put(&s->folder, path, inode);
        sim_op *op = sim_record(s, SIM_OP_CREATE, inode);
        snprintf(op->path, sizeof op->path, "%s", path);
    }
    if (fault)
        return sim_fail(fault, why);
    sim_handle *handle = sim_alloc(sizeof *handle);
    handle->inode = inode;
    handle->may_write = mode & VS_VFS_WRITE;
    *out_file = handle;
    return VS_OK;
}

static void sim_unlock(sim *s, sim_handle *handle) {
    sim_inode *inode = &s->inode[handle->inode];
    if (handle->lock == VS_VFS_SHARED && inode->shared_locks)
        inode->shared_locks--;
    if (handle->lock == VS_VFS_EXCLUSIVE_LOCK)
        inode->is_locked = false;
    handle->lock = VS_VFS_UNLOCK;
}

static void sim_close(void *ctx, void *file) {
    sim_unlock(ctx, file);
    free(file);
}

static vs_status sim_read(void *ctx, void *file, void *buf, size_t bytes, uint64_t offset,
                          size_t *out_bytes, char *why) {
    sim *s = ctx;
    const sim_bytes *live = &s->inode[((sim_handle *)file)->inode].live;
    int fault = sim_fault_here(s, CALL_READ);
    if (fault && fault != SIM_FAULT_SHORT)
        return sim_fail(fault, why);
    size_t n = offset < live->bytes ? live->bytes - (size_t)offset : 0;
    n = n < bytes ? n : bytes;
    if (fault == SIM_FAULT_SHORT && n > 1)
        n /= 2;
    if (n)
        memcpy(buf, live->data + offset, n);
    *out_bytes = n;
    return VS_OK;
}

/* Maps show what a file has from an offset on; what it does not have, nobody may look at. */
static void sim_views_follow(sim *s, int inode, size_t offset, size_t bytes) {
    const sim_bytes *live = &s->inode[inode].live;
    for (sim_view *v = s->views; v; v = v->next) {
        size_t from = offset > v->offset ? offset : v->offset;
        size_t end = offset + bytes < v->offset + v->bytes ? offset + bytes : v->offset + v->bytes;
        for (size_t i = from; v->inode == inode && i < end; i++)
            v->data[i - v->offset] = i < live->bytes ? live->data[i] : 0xee;
    }
}

static void sim_write_now(sim *s, int inode, const void *buf, size_t bytes, uint64_t offset) {
    sim_op *op = sim_record(s, SIM_OP_WRITE, inode);
    op->offset = offset;
    op->bytes = bytes;
    op->data = sim_alloc(bytes);
    memcpy(op->data, buf, bytes);
    bytes_put(&s->inode[inode].live, offset, buf, bytes);
    sim_views_follow(s, inode, (size_t)offset, bytes);
    s->writes++;
}

uint64_t sim_used_bytes(const sim *s) {
    uint64_t bytes = 0;
    for (int i = 0; i < s->folder.count; i++)
        bytes += s->inode[s->folder.entry[i].inode].live.bytes;
    return bytes;
}

/* How far a file may reach that is to reach to end; files never take less than they have. */
static uint64_t sim_room_for(const sim *s, int inode, uint64_t end) {
    uint64_t now = s->inode[inode].live.bytes, used = s->room ? sim_used_bytes(s) : 0;
    uint64_t most = s->room && end > now ? now + (s->room > used ? s->room - used : 0) : end;
    return most < end ? most : end;
}

static vs_status sim_write(void *ctx, void *file, const void *buf, size_t bytes, uint64_t offset,
                           size_t *out_bytes, char *why) {
    sim *s = ctx;
    const sim_handle *handle = file;
    if (!handle->may_write)
        return VS_ERR_DENIED;
    int fault = sim_fault_here(s, CALL_WRITE);
    size_t n = bytes;
    if (fault == SIM_FAULT_IO || fault == SIM_FAULT_INTERRUPT)
        n = 0;
    else if (fault && fault != SIM_FAULT_IO_AFTER)
        n = bytes > 1 ? bytes / 2 : bytes;
    uint64_t end = sim_room_for(s, handle->inode, offset + n);
    bool is_full = end < offset + n;
    if (is_full)
        n = end > offset ? (size_t)(end - offset) : 0;
    if (n)
        sim_write_now(s, handle->inode, buf, n, offset);
    *out_bytes = n;
    if (is_full && !fault)
        return sim_fail(SIM_FAULT_FULL, why);
    return fault && fault != SIM_FAULT_SHORT ? sim_fail(fault, why) : VS_OK;
}

static vs_status sim_file_size(void *ctx, void *file, uint64_t *out_bytes, char *why) {
    sim *s = ctx;
    int fault = sim_fault_here(s, CALL_OTHER);
    if (fault)
        return sim_fail(fault, why);
    *out_bytes = s->inode[((sim_handle *)file)->inode].live.bytes;
    return VS_OK;
}

static vs_status sim_truncate(void *ctx, void *file, uint64_t bytes, char *why) {
    sim *s = ctx;
    int inode = ((sim_handle *)file)->inode;
    int fault = sim_fault_here(s, CALL_OTHER);
    if (sim_fault_is_before(fault))
        return sim_fail(fault, why);
    if (sim_room_for(s, inode, bytes) < bytes)
        return sim_fail(SIM_FAULT_FULL, why);
    sim_record(s, SIM_OP_TRUNCATE, inode)->offset = bytes;
    size_t old = s->inode[inode].live.bytes, first = old < bytes ? old : (size_t)bytes;
    bytes_resize(&s->inode[inode].live, (size_t)bytes);
    sim_views_follow(s, inode, first, old + (size_t)bytes - 2 * first);
    s->writes++;
    return fault ? sim_fail(fault, why) : VS_OK;
}

static vs_status sim_allocate(void *ctx, void *file, uint64_t bytes, char *why) {
    sim *s = ctx;
    const sim_bytes *live = &s->inode[((sim_handle *)file)->inode].live;
    return bytes > live->bytes ? sim_truncate(ctx, file, bytes, why) : VS_OK;
}

static vs_status sim_sync(void *ctx, void *file, char *why) {
    sim *s = ctx;
    int inode = ((sim_handle *)file)->inode;
    int fault = sim_fault_here(s, CALL_SYNC);
    if (sim_fault_is_before(fault))
        return sim_fail(fault, why);
    sim_record(s, fault == SIM_FAULT_SYNC_LOSES ? SIM_OP_SYNC_LOST : SIM_OP_SYNC, inode);
    return fault ? sim_fail(fault, why) : VS_OK;
}

static vs_status sim_sync_dir(void *ctx, const char *path, char *why) {
    sim *s = ctx;
    (void)path;
    int fault = sim_fault_here(s, CALL_SYNC);
    if (sim_fault_is_before(fault) || fault == SIM_FAULT_SYNC_LOSES)
        return sim_fail(fault, why);
    sim_record(s, SIM_OP_SYNC_DIR, -1);
    return fault ? sim_fail(fault, why) : VS_OK;
}

static vs_status sim_map(void *ctx, void *file, uint64_t offset, size_t bytes, const void **out,
                         char *why) {
    sim *s = ctx;
    int inode = ((sim_handle *)file)->inode;
    int fault = sim_fault_here(s, CALL_OTHER);
    if (fault)
        return sim_fail(fault, why);
    if (bytes == 0 || offset % 65536 || offset + bytes > s->inode[inode].live.bytes)
        abort(); /* the library must look first */
    sim_view *v = sim_alloc(sizeof *v);
    *v = (sim_view){s->views, inode, (size_t)offset, bytes, sim_alloc(bytes)};
    s->views = v;
    sim_views_follow(s, inode, v->offset, bytes);
    *out = v->data;
    return VS_OK;
}

static void sim_drop_view(sim_view **link) {
    sim_view *v = *link;
    *link = v->next;
    memset(v->data, 0xee, v->bytes); /* whoever still looks is wrong */
    free(v->data);
    free(v);
}

static void sim_unmap(void *ctx, void *file, const void *address, size_t bytes) {
    sim_view **link = &((sim *)ctx)->views;
    while (*link && (*link)->data != address)
        link = &(*link)->next;
    if (!*link || (*link)->bytes != bytes || (*link)->inode != ((sim_handle *)file)->inode)
        abort(); /* nothing is mapped there */
    sim_drop_view(link);
}

static vs_status sim_lock(void *ctx, void *file, int kind, char *why) {
    sim *s = ctx;
    sim_handle *handle = file;
    sim_inode *inode = &s->inode[handle->inode];
    int fault = sim_fault_here(s, CALL_OTHER);
    if (fault)
        return sim_fail(fault, why);
    int others = inode->shared_locks - (handle->lock == VS_VFS_SHARED);
    bool is_held = inode->is_locked && handle->lock != VS_VFS_EXCLUSIVE_LOCK;
    if (kind != VS_VFS_UNLOCK && (is_held || (kind == VS_VFS_EXCLUSIVE_LOCK && others)))
        return VS_ERR_BUSY;
    sim_unlock(s, handle);
    handle->lock = kind;
    inode->shared_locks += kind == VS_VFS_SHARED;
    inode->is_locked = inode->is_locked || kind == VS_VFS_EXCLUSIVE_LOCK;
    return VS_OK;
}

static vs_status sim_remove(void *ctx, const char *path, char *why) {
    sim *s = ctx;
    int fault = sim_fault_here(s, CALL_OTHER);
    if (sim_fault_is_before(fault))
        return sim_fail(fault, why);
    if (!folder_find(&s->folder, path))
        return VS_ERR_NOT_FOUND;
    sim_op *op = sim_record(s, SIM_OP_REMOVE, -1);
    snprintf(op->path, sizeof op->path, "%s", path);
    folder_drop(&s->folder, path);
    return fault ? sim_fail(fault, why) : VS_OK;
}

static vs_status sim_device_info(void *ctx, void *file, vs_device_info *out, char *why) {
    (void)file;
    int fault = sim_fault_here(ctx, CALL_OTHER);
    if (fault)
        return sim_fail(fault, why);
    *out = (vs_device_info){.sector_bytes = 512, .blast_bytes = ((const sim *)ctx)->block_bytes};
    return VS_OK;
}

static int64_t sim_clock_us(void *ctx) {
    sim *s = ctx;
    return s->clock_us += 1000;
}

static vs_status sim_random(void *ctx, void *buf, size_t bytes, char *why) {
    sim *s = ctx;
    int fault = sim_fault_here(s, CALL_OTHER);
    if (fault)
        return sim_fail(fault, why);
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)buf)[i] = (uint8_t)vt_random(&s->rng);
    return VS_OK;
}

static uint64_t sim_process_id(void *ctx) {
    return ((sim *)ctx)->process_id;
}

sim *sim_new(uint64_t seed, sim_image *image) {
    sim *s = sim_alloc(sizeof *s);
    s->rng.state = seed;
    s->clock_us = 1700000000000000;
    s->process_id = 1000;
    s->block_bytes = 4096;
    s->base = sim_alloc(SIM_FILES_MAX * sizeof *s->base);
    for (int i = 0; image && i < image->count; i++) {
        int inode = sim_new_inode(s);
        sim_file *f = &image->file[i];
        s->base[inode] = (sim_bytes){f->data, f->bytes, f->bytes};
        s->inode[inode].live = bytes_copy(&s->base[inode]);
        folder_put(&s->folder, f->path, inode);
        f->data = NULL;
    }
    s->base_count = s->inode_count;
    s->base_folder = s->folder;
    if (image)
        image->count = 0;
    s->vfs = (vs_vfs){
        .size = sizeof(vs_vfs),
        .ctx = s,
        .full_path = sim_full_path,
        .open = sim_open,
        .close = sim_close,
        .read = sim_read,
        .write = sim_write,
        .file_size = sim_file_size,
        .truncate = sim_truncate,
        .allocate = sim_allocate,
        .sync = sim_sync,
        .sync_dir = sim_sync_dir,
        .map = sim_map,
        .unmap = sim_unmap,
        .lock = sim_lock,
        .remove = sim_remove,
        .device_info = sim_device_info,
        .wall_us = sim_clock_us,
        .ticks_us = sim_clock_us,
        .random = sim_random,
        .process_id = sim_process_id,
    };
    return s;
}

void sim_free(sim *s) {
    for (int i = 0; i < s->inode_count; i++)
        free(s->inode[i].live.data);
    for (int i = 0; i < s->base_count; i++)
        free(s->base[i].data);
    for (size_t i = 0; i < s->op_count; i++)
        free(s->op[i].data);
    while (s->views)
        sim_drop_view(&s->views);
    free(s->inode);
    free(s->base);
    free(s->op);
    free(s);
}

const vs_vfs *sim_vfs(sim *s) {
    return &s->vfs;
}

void sim_set_block(sim *s, uint32_t bytes) {
    s->block_bytes = bytes;
}

void sim_set_room(sim *s, uint64_t bytes) {
    s->room = bytes;
}

void sim_advance_clocks(sim *s, int64_t us) {
    s->clock_us += us;
}

void sim_set_process(sim *s, uint64_t process_id) {
    s->process_id = process_id;
}

void sim_drop_locks(sim *s) {
    for (int i = 0; i < s->inode_count; i++) {
        s->inode[i].shared_locks = 0;
        s->inode[i].is_locked = false;
    }
}

uint64_t sim_write_count(const sim *s) {
    return s->writes;
}

/* ---- crashes -------------------------------------------------------------------------------- */

const char *sim_damage_name(int damage) {
    static const char *names[] = {"drop-all",  "keep-all",  "subset",       "reorder",
                                  "torn-512",  "torn-4096", "garbage-512",  "garbage-4096",
                                  "size-only", "zero-tail", "lost-entries", "prefix"};
    return damage >= 0 && damage < SIM_DAMAGE_COUNT ? names[damage] : "?";
}

struct sim_player {
    const sim *s;
    size_t at;
    sim_bytes *durable; /* by inode */
    sim_folder folder;  /* durable entries */
    size_t *pending;    /* operations not durable yet, in order */
    size_t pending_count, pending_cap;
};

sim_player *sim_player_new(const sim *s) {
    sim_player *p = sim_alloc(sizeof *p);
    p->s = s;
    p->durable = sim_alloc((size_t)s->inode_count * sizeof *p->durable);
    for (int i = 0; i < s->base_count; i++)
        p->durable[i] = bytes_copy(&s->base[i]);
    p->folder = s->base_folder;
    return p;
}

void sim_player_free(sim_player *p) {
    for (int i = 0; i < p->s->inode_count; i++)
        free(p->durable[i].data);
    free(p->durable);
    free(p->pending);
    free(p);
}

size_t sim_player_pending(const sim_player *p) {
    return p->pending_count;
}

static void op_apply(const sim_op *op, sim_bytes *content) {
    if (op->kind == SIM_OP_WRITE)
        bytes_put(content, op->offset, op->data, op->bytes);
    else if (op->kind == SIM_OP_TRUNCATE)
        bytes_resize(content, (size_t)op->offset);
}

static void op_apply_entry(const sim_op *op, sim_folder *folder) {
    if (op->kind == SIM_OP_CREATE)
        folder_put(folder, op->path, op->inode);
    else if (op->kind == SIM_OP_REMOVE)
        folder_drop(folder, op->path);
}

static bool op_is_entry(const sim_op *op) {
    return op->kind == SIM_OP_CREATE || op->kind == SIM_OP_REMOVE;
}

/* Makes pending operations of an inode, or of the folder (-1), durable or forgotten. */
static void player_settle(sim_player *p, int inode, bool is_kept) {
    size_t left = 0;
    for (size_t i = 0; i < p->pending_count; i++) {
        const sim_op *op = &p->s->op[p->pending[i]];
        bool is_mine = inode < 0 ? op_is_entry(op) : !op_is_entry(op) && op->inode == inode;
        if (!is_mine) {
            p->pending[left++] = p->pending[i];
        } else if (is_kept && inode < 0) {
            op_apply_entry(op, &p->folder);
        } else if (is_kept) {
            op_apply(op, &p->durable[inode]);
        }
    }
    p->pending_count = left;
}

void sim_player_seek(sim_player *p, size_t at) {
    for (; p->at < at && p->at < p->s->op_count; p->at++) {
        const sim_op *op = &p->s->op[p->at];
        switch (op->kind) {
        case SIM_OP_SYNC:
            player_settle(p, op->inode, true);
            break;
        case SIM_OP_SYNC_LOST:
            player_settle(p, op->inode, false);
            break;
        case SIM_OP_SYNC_DIR:
            player_settle(p, -1, true);
            break;
        case SIM_OP_NOTE:
            break;
        default:
            if (p->pending_count == p->pending_cap) {
                p->pending_cap = p->pending_cap ? 2 * p->pending_cap : 64;
                p->pending = realloc(p->pending, p->pending_cap * sizeof *p->pending);
                if (!p->pending)
                    abort();
            }
            p->pending[p->pending_count++] = p->at;
        }
    }
}

/* A write of which each unit of the disk is old, new, or (may_rot) garbage. */
static void tear_write(const sim_op *op, sim_bytes *content, size_t unit, bool may_rot,
                       vt_rng *rng) {
    uint64_t end = op->offset + op->bytes;
    for (uint64_t at = op->offset / unit * unit; at < end; at += unit) {
        uint64_t from = at < op->offset ? op->offset : at;
        uint64_t to = at + unit < end ? at + unit : end;
        uint64_t outcome = vt_below(rng, may_rot ? 3 : 2);
        if (outcome == 1) {
            bytes_put(content, from, op->data + (from - op->offset), (size_t)(to - from));
        } else if (outcome == 2) {
            uint64_t size = to > content->bytes ? to : content->bytes;
            bytes_resize(content, (size_t)size);
            for (uint64_t i = at; i < at + unit && i < content->bytes; i++)
                content->data[i] = (uint8_t)vt_random(rng);
        }
    }
}

static void crash_op(const sim_op *op, sim_bytes *content, int damage, uint32_t block_bytes,
                     bool is_early, vt_rng *rng) {
    bool is_write = op->kind == SIM_OP_WRITE;
    switch (damage) {
    case SIM_KEEP_ALL:
    case SIM_LOST_ENTRIES:
        op_apply(op, content);
        break;
    case SIM_SUBSET:
    case SIM_REORDER:
        if (vt_below(rng, 2))
            op_apply(op, content);
        break;
    case SIM_TORN_512:
    case SIM_TORN_4096:
    case SIM_GARBAGE_512:
    case SIM_GARBAGE_4096:
        if (is_write)
            tear_write(op, content,
                       damage == SIM_TORN_512 || damage == SIM_GARBAGE_512 ? 512 : block_bytes,
                       damage == SIM_GARBAGE_512 || damage == SIM_GARBAGE_4096, rng);
        else if (vt_below(rng, 2))
            op_apply(op, content);
        break;
    case SIM_PREFIX:
        if (is_early)
            op_apply(op, content);
        break;
    case SIM_SIZE_ONLY:
    case SIM_ZERO_TAIL:
        if (is_early && damage == SIM_ZERO_TAIL)
            op_apply(op, content);
        else if (is_write && op->offset + op->bytes > content->bytes)
            bytes_resize(content, (size_t)op->offset + op->bytes);
        break;
    default:
        break;
    }
}

static void crash_contents(const sim_player *p, sim_bytes *content, int damage, vt_rng *rng) {
    size_t n = p->pending_count;
    size_t *order = sim_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; damage == SIM_REORDER && i > 1; i--) {
        size_t j = (size_t)vt_below(rng, i), k = order[i - 1];
        order[i - 1] = order[j];
        order[j] = k;
    }
    size_t early = n ? (size_t)vt_below(rng, n + 1) : 0;
    for (size_t i = 0; i < n; i++) {
        const sim_op *op = &p->s->op[p->pending[order[i]]];
        if (!op_is_entry(op))
            crash_op(op, &content[op->inode], damage, p->s->block_bytes, order[i] < early, rng);
    }
    free(order);
}

static void crash_entries(const sim_player *p, sim_folder *folder, int damage, vt_rng *rng) {
    bool keeps_all = damage == SIM_KEEP_ALL || damage == SIM_SIZE_ONLY || damage == SIM_ZERO_TAIL;
    bool keeps_none = damage == SIM_DROP_ALL || damage == SIM_LOST_ENTRIES;
    for (size_t i = 0; i < p->pending_count; i++) {
        const sim_op *op = &p->s->op[p->pending[i]];
        if (op_is_entry(op) && !keeps_none && (keeps_all || vt_below(rng, 2)))
            op_apply_entry(op, folder);
    }
}

sim_image sim_player_crash(const sim_player *p, int damage, uint64_t seed) {
    vt_rng rng = {seed};
    sim_bytes *content = sim_alloc((size_t)p->s->inode_count * sizeof *content);
    bool *is_needed = sim_alloc((size_t)p->s->inode_count * sizeof *is_needed);
    sim_folder folder = p->folder;
    crash_entries(p, &folder, damage, &rng);
    for (int i = 0; i < folder.count; i++) {
        int inode = folder.entry[i].inode;
        is_needed[inode] = true;
        content[inode] = bytes_copy(&p->durable[inode]);
    }
    crash_contents(p, content, damage, &rng);
    sim_image image = {.count = folder.count};
    for (int i = 0; i < folder.count; i++) {
        sim_bytes *b = &content[folder.entry[i].inode];
        memcpy(image.file[i].path, folder.entry[i].path, SIM_PATH_BYTES);
        image.file[i].data = b->data ? b->data : sim_alloc(1);
        image.file[i].bytes = b->bytes;
    }
    for (int i = 0; i < p->s->inode_count; i++)
        if (!is_needed[i])
            free(content[i].data);
    free(content);
    free(is_needed);
    return image;
}
