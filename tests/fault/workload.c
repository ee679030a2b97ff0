/* workload.c - random programs against a database and a plain model. */
#include "workload.h"
#include <stdarg.h>

#define WL_PATH "t.vs"

typedef struct wl_shape {
    const char *name;
    uint32_t dim;
    int type, metric;
    const char *index; /* of those that are created */
} wl_shape;

static const wl_shape shapes[WL_COLLS] = {
    {"floats", 4, VS_F32, VS_L2, NULL},
    {"bytes", 21, VS_U8, VS_COSINE, "flat(codes=rq4)"},
    {"dots", 7, VS_F32, VS_IP, "flat(codes=rq1)"},
    {"more floats", 4, VS_F32, VS_L2, NULL},
    {"more bytes", 21, VS_U8, VS_COSINE, NULL},
    {"more dots", 7, VS_F32, VS_IP, NULL},
};

enum { WL_VECTOR_BYTES_MAX = 64, WL_TEXT_BYTES_MAX = 12000 };

/* Seeds above are of texts that take several pages and can be compressed. */
enum { WL_LARGE_SEED = 3 << 28 };

// clang-format off
const workload wl_all[] = {
    {"create", .steps = 6, .note = 1, .create = 4, .reopen = 2, .read = 1,
     .commit_sync = VS_SYNC_FULL},
    {"puts", .steps = 24, .put = 10, .create = 1, .read = 1, .commit_sync = VS_SYNC_FULL,
     .big = 20},
    {"batches", .steps = 16, .batch = 8, .delete = 1, .create = 1, .read = 1,
     .commit_sync = VS_SYNC_FULL, .big = 5},
    {"churn", .steps = 40, .put = 8, .batch = 2, .delete = 8, .create = 1, .read = 1,
     .commit_sync = VS_SYNC_FULL, .big = 30},
    {"transactions", .steps = 40, .put = 8, .batch = 2, .delete = 4, .note = 2, .create = 1,
     .begin = 6, .commit = 4, .rollback = 2, .read = 1, .commit_sync = VS_SYNC_FULL, .big = 10},
    {"streamed", .steps = 40, .put = 10, .batch = 4, .delete = 2, .note = 1, .create = 1,
     .begin = 3, .commit = 1, .rollback = 1, .commit_sync = VS_SYNC_FULL, .big = 70},
    {"normal", .steps = 40, .put = 8, .batch = 2, .delete = 4, .note = 2, .create = 1, .begin = 3,
     .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .kill = 1, .read = 1,
     .commit_sync = VS_SYNC_NORMAL, .big = 10},
    {"off", .steps = 40, .put = 8, .batch = 2, .delete = 4, .note = 2, .create = 1, .begin = 3,
     .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .kill = 1, .read = 1,
     .commit_sync = VS_SYNC_OFF, .big = 10},
    {"mixed-sync", .steps = 40, .put = 8, .batch = 2, .delete = 4, .note = 2, .create = 1,
     .begin = 6, .commit = 5, .rollback = 1, .sync = 1, .reopen = 1, .kill = 1, .read = 1,
     .commit_sync = -1, .big = 10},
    {"sessions", .steps = 30, .put = 6, .batch = 1, .delete = 2, .note = 1, .create = 1, .begin = 2,
     .commit = 2, .rollback = 1, .reopen = 6, .read = 1, .commit_sync = VS_SYNC_FULL, .big = 5},
    {"kills", .steps = 30, .put = 6, .batch = 1, .delete = 2, .note = 1, .create = 1, .begin = 3,
     .commit = 2, .rollback = 1, .sync = 1, .kill = 6, .read = 1, .commit_sync = -1, .big = 20},
    {"notes", .steps = 24, .put = 1, .note = 10, .create = 2, .begin = 2, .commit = 2,
     .rollback = 1, .reopen = 1, .read = 1, .commit_sync = VS_SYNC_FULL, .big = 50},
    {"lost-syncs", .steps = 30, .put = 8, .batch = 2, .delete = 4, .note = 1, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .commit_sync = -1, .big = 10,
     .fault = SIM_FAULT_SYNC_LOSES, .fault_every = 4},
    {"full-disk", .steps = 30, .put = 8, .batch = 2, .delete = 4, .note = 1, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .commit_sync = -1, .big = 10,
     .fault = SIM_FAULT_FULL, .fault_every = 12},
    {"bad-writes", .steps = 30, .put = 8, .batch = 2, .delete = 4, .note = 1, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .sync = 1, .kill = 1, .commit_sync = -1, .big = 10,
     .fault = SIM_FAULT_IO_AFTER, .fault_every = 12},
    {"checkpoints", .steps = 40, .put = 8, .batch = 2, .delete = 4, .note = 1, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .kill = 1, .read = 1,
     .commit_sync = -1, .big = 10, .checkpoint = 8},
    {"maintained", .steps = 50, .put = 8, .batch = 3, .delete = 4, .note = 1, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .sync = 1, .kill = 1, .read = 1,
     .commit_sync = VS_SYNC_OFF, .big = 20, .maintain = 10},
    {"snapshots", .steps = 50, .put = 8, .batch = 2, .delete = 6, .note = 1, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .reopen = 1, .kill = 1, .read = 1,
     .commit_sync = VS_SYNC_FULL, .big = 20, .checkpoint = 3, .maintain = 2, .hold = 8},
    {"replaced", .steps = 30, .put = 1, .batch = 12, .delete = 3, .create = 2, .begin = 4,
     .commit = 4, .reopen = 2, .kill = 1, .read = 1, .commit_sync = VS_SYNC_FULL, .big = 5,
     .checkpoint = 3},
    {"texts", .steps = 24, .put = 10, .batch = 1, .delete = 3, .note = 4, .create = 1, .begin = 3,
     .commit = 2, .rollback = 1, .reopen = 2, .kill = 1, .read = 1, .commit_sync = VS_SYNC_FULL,
     .big = 100, .checkpoint = 2, .hold = 1},
    {"large", .steps = 24, .put = 10, .batch = 1, .delete = 3, .note = 4, .create = 1, .begin = 3,
     .commit = 2, .rollback = 1, .reopen = 3, .kill = 2, .read = 1, .commit_sync = VS_SYNC_FULL,
     .big = -70, .checkpoint = 3, .hold = 1},
    {"tight", .steps = 40, .put = 8, .batch = 2, .delete = 4, .note = 2, .create = 1, .begin = 3,
     .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .kill = 1, .read = 2, .commit_sync = -1,
     .big = 20, .checkpoint = 1, .maintain = 1, .hold = 2, .memory = 1},
    {"tight-long", .steps = 50, .put = 10, .batch = 4, .delete = 4, .note = 2, .create = 1,
     .begin = 3, .commit = 1, .rollback = 1, .reopen = 1, .read = 2, .commit_sync = VS_SYNC_FULL,
     .big = 70, .hold = 1, .memory = 1},
    {"tight-sessions", .steps = 30, .put = 8, .batch = 2, .delete = 2, .note = 1, .create = 1,
     .begin = 2, .commit = 2, .rollback = 1, .reopen = 4, .kill = 4, .read = 2, .commit_sync = -1,
     .big = 30, .checkpoint = 1, .memory = 1},
    {"tight-large", .steps = 24, .put = 10, .batch = 2, .delete = 3, .note = 4, .create = 1,
     .begin = 3, .commit = 1, .rollback = 1, .reopen = 2, .kill = 2, .read = 1, .commit_sync = -1,
     .big = -70, .checkpoint = 2, .maintain = 1, .hold = 1, .memory = 1},
    {"tight-full-disk", .steps = 30, .put = 8, .batch = 2, .delete = 4, .note = 1, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .commit_sync = -1, .big = 30,
     .fault = SIM_FAULT_FULL, .fault_every = 12, .checkpoint = 1, .maintain = 1, .hold = 1,
     .memory = 1},
    {"tight-bad-writes", .steps = 30, .put = 8, .batch = 2, .delete = 4, .note = 1, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .sync = 1, .kill = 1, .commit_sync = -1, .big = 30,
     .fault = SIM_FAULT_IO_AFTER, .fault_every = 12, .checkpoint = 1, .maintain = 1, .hold = 1,
     .memory = 1},
    {"tight-lost-syncs", .steps = 30, .put = 8, .batch = 2, .delete = 4, .note = 1, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .commit_sync = -1, .big = 30,
     .fault = SIM_FAULT_SYNC_LOSES, .fault_every = 4, .checkpoint = 1, .maintain = 1, .hold = 1,
     .memory = 1},
    {"savepoints", .steps = 60, .put = 10, .batch = 2, .delete = 4, .note = 2, .create = 2,
     .begin = 6, .commit = 2, .rollback = 1, .reopen = 1, .kill = 1, .read = 1,
     .commit_sync = VS_SYNC_FULL, .big = 10, .checkpoint = 1, .save = 5, .back = 5, .release = 3},
    {"savepoints-streamed", .steps = 80, .put = 12, .batch = 6, .delete = 2, .note = 1, .create = 1,
     .begin = 6, .commit = 1, .kill = 1, .commit_sync = VS_SYNC_FULL, .big = 80, .save = 6,
     .back = 3, .release = 1},
    {"tight-savepoints", .steps = 60, .put = 12, .batch = 4, .delete = 3, .note = 1, .create = 1,
     .begin = 5, .commit = 1, .rollback = 1, .reopen = 1, .kill = 1, .read = 1, .commit_sync = -1,
     .big = 70, .checkpoint = 1, .hold = 1, .memory = 1, .save = 4, .back = 4, .release = 2},
    {"savepoints-full-disk", .steps = 50, .put = 12, .batch = 3, .delete = 3, .note = 1,
     .create = 1, .begin = 5, .commit = 1, .rollback = 1, .sync = 1, .reopen = 1, .commit_sync = -1,
     .big = 60, .fault = SIM_FAULT_FULL, .fault_every = 12, .checkpoint = 1, .memory = 1, .save = 4,
     .back = 4, .release = 2},
    {"savepoints-bad-writes", .steps = 50, .put = 12, .batch = 3, .delete = 3, .note = 1,
     .create = 1, .begin = 5, .commit = 1, .rollback = 1, .sync = 1, .kill = 1, .commit_sync = -1,
     .big = 60, .fault = SIM_FAULT_IO_AFTER, .fault_every = 12, .checkpoint = 1, .save = 4,
     .back = 4, .release = 2},
    {"updates", .steps = 40, .put = 6, .batch = 2, .delete = 2, .create = 1, .begin = 4, .commit = 3,
     .rollback = 1, .reopen = 1, .kill = 1, .read = 1, .commit_sync = VS_SYNC_FULL, .big = 40,
     .checkpoint = 2, .hold = 2, .save = 2, .back = 2, .release = 1, .update = 10},
    {"tight-updates", .steps = 40, .put = 8, .batch = 3, .delete = 2, .create = 1, .begin = 4,
     .commit = 2, .rollback = 1, .reopen = 1, .kill = 1, .read = 1, .commit_sync = -1, .big = -60,
     .checkpoint = 1, .maintain = 1, .hold = 2, .memory = 1, .save = 2, .back = 2, .release = 1,
     .update = 10},
    {"no-room", .steps = 60, .put = 10, .batch = 4, .delete = 6, .note = 2, .create = 1, .begin = 2,
     .commit = 2, .rollback = 1, .reopen = 2, .read = 2, .commit_sync = VS_SYNC_FULL, .big = 60,
     .checkpoint = 2, .maintain = 1, .room = 600000},
    {"no-room-kills", .steps = 50, .put = 10, .batch = 4, .delete = 6, .note = 2, .create = 1,
     .begin = 2, .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .kill = 3, .read = 1,
     .commit_sync = -1, .big = 60, .checkpoint = 1, .hold = 1, .room = 600000},
    {"no-room-tight", .steps = 50, .put = 10, .batch = 4, .delete = 6, .note = 2, .create = 1,
     .begin = 3, .commit = 2, .rollback = 1, .reopen = 1, .kill = 1, .read = 1,
     .commit_sync = VS_SYNC_FULL, .big = 60, .checkpoint = 1, .maintain = 1, .hold = 1, .memory = 1,
     .room = 600000},
    {"payloads", .steps = 60, .put = 4, .batch = 1, .delete = 3, .create = 1, .begin = 4, .commit = 3,
     .rollback = 1, .reopen = 1, .kill = 1, .read = 2, .commit_sync = VS_SYNC_FULL, .big = 10,
     .checkpoint = 2, .hold = 2, .update = 2, .payload = 14},
    {"payloads-streamed", .steps = 70, .put = 4, .batch = 1, .delete = 3, .create = 1, .begin = 5,
     .commit = 1, .kill = 1, .read = 1, .commit_sync = VS_SYNC_FULL, .big = 40, .save = 4, .back = 3,
     .release = 1, .payload = 16},
    {"payloads-kills", .steps = 60, .put = 4, .batch = 1, .delete = 3, .create = 1, .begin = 2,
     .commit = 2, .rollback = 1, .sync = 1, .reopen = 2, .kill = 5, .read = 1, .commit_sync = -1,
     .big = -40, .checkpoint = 1, .maintain = 1, .hold = 1, .payload = 12},
    {"payloads-tight", .steps = 60, .put = 4, .batch = 1, .delete = 3, .create = 1, .begin = 4,
     .commit = 2, .rollback = 1, .reopen = 1, .kill = 1, .read = 2, .commit_sync = -1, .big = -40,
     .checkpoint = 1, .maintain = 1, .hold = 2, .memory = 1, .save = 3, .back = 3, .release = 1,
     .payload = 14},
    {"payloads-full-disk", .steps = 60, .put = 4, .batch = 1, .delete = 3, .create = 1, .begin = 4,
     .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .read = 1, .commit_sync = -1, .big = 10,
     .fault = SIM_FAULT_FULL, .fault_every = 12, .checkpoint = 1, .maintain = 1, .memory = 1,
     .save = 2, .back = 2, .payload = 14},
    {"payloads-bad-writes", .steps = 60, .put = 4, .batch = 1, .delete = 3, .create = 1, .begin = 4,
     .commit = 2, .rollback = 1, .sync = 1, .kill = 1, .read = 1, .commit_sync = -1, .big = 10,
     .fault = SIM_FAULT_IO_AFTER, .fault_every = 12, .checkpoint = 1, .hold = 1, .save = 2,
     .back = 2, .payload = 14},
    {"payloads-no-room", .steps = 60, .put = 4, .batch = 1, .delete = 4, .create = 1, .begin = 3,
     .commit = 2, .rollback = 1, .reopen = 2, .kill = 1, .read = 2, .commit_sync = VS_SYNC_FULL,
     .big = 10, .checkpoint = 2, .maintain = 1, .hold = 1, .save = 1, .back = 1, .payload = 16,
     .room = 1200000},
    {"tokens", .steps = 60, .put = 6, .batch = 1, .delete = 2, .note = 2, .create = 1, .begin = 8,
     .commit = 6, .rollback = 1, .sync = 1, .reopen = 1, .kill = 2, .read = 1, .commit_sync = -1,
     .big = 20, .checkpoint = 1, .save = 1, .back = 1, .token = 80},
    {"tokens-streamed", .steps = 60, .put = 12, .batch = 6, .delete = 2, .create = 1, .begin = 6,
     .commit = 2, .rollback = 1, .kill = 1, .commit_sync = VS_SYNC_FULL, .big = 60, .save = 3,
     .back = 3, .release = 1, .token = 90},
    {"tokens-lost-syncs", .steps = 50, .put = 6, .batch = 1, .delete = 2, .create = 1, .begin = 8,
     .commit = 6, .sync = 1, .reopen = 1, .kill = 1, .commit_sync = -1, .big = 20,
     .fault = SIM_FAULT_SYNC_LOSES, .fault_every = 8, .checkpoint = 1, .token = 80},
    {"tokens-full-disk", .steps = 50, .put = 8, .batch = 2, .delete = 2, .create = 1, .begin = 8,
     .commit = 6, .sync = 1, .reopen = 1, .kill = 1, .commit_sync = -1, .big = 20,
     .fault = SIM_FAULT_FULL, .fault_every = 8, .checkpoint = 1, .memory = 1, .token = 80},
    {"drops", .steps = 70, .put = 6, .batch = 6, .delete = 1, .note = 3, .create = 4, .begin = 4,
     .commit = 3, .rollback = 1, .reopen = 1, .kill = 1, .read = 1, .commit_sync = VS_SYNC_FULL,
     .big = 20, .checkpoint = 3, .hold = 3, .update = 3, .payload = 4, .drop = 5, .copy = 3,
     .vacuum = 1},
    {"drops-kills", .steps = 60, .put = 6, .batch = 6, .note = 3, .create = 4, .begin = 3, .commit = 3,
     .rollback = 1, .sync = 1, .reopen = 2, .kill = 5, .commit_sync = -1, .big = -20,
     .checkpoint = 2, .maintain = 2, .hold = 1, .update = 2, .payload = 2, .drop = 4, .copy = 2,
     .vacuum = 1},
    {"drops-streamed", .steps = 80, .put = 6, .batch = 8, .note = 2, .create = 6, .begin = 6,
     .commit = 1, .kill = 1, .commit_sync = VS_SYNC_FULL, .big = 70, .save = 5, .back = 4,
     .release = 1, .update = 2, .payload = 4, .drop = 5, .copy = 3},
    {"drops-tight", .steps = 70, .put = 6, .batch = 6, .note = 3, .create = 5, .begin = 4, .commit = 3,
     .rollback = 1, .reopen = 1, .kill = 1, .read = 2, .commit_sync = -1, .big = -40,
     .checkpoint = 2, .maintain = 2, .hold = 4, .memory = 1, .save = 3, .back = 3, .release = 1,
     .update = 2, .payload = 4, .drop = 5, .copy = 3, .vacuum = 1},
    {"drops-held", .steps = 80, .put = 4, .batch = 8, .delete = 2, .note = 1, .create = 6, .begin = 2,
     .commit = 2, .rollback = 1, .read = 1, .commit_sync = VS_SYNC_FULL, .big = 10,
     .checkpoint = 6, .maintain = 3, .hold = 3, .payload = 2, .drop = 6, .copy = 2, .vacuum = 2},
    {"drops-full-disk", .steps = 60, .put = 6, .batch = 6, .note = 1, .create = 5, .begin = 4,
     .commit = 3, .rollback = 1, .sync = 1, .reopen = 1, .commit_sync = -1, .big = 20,
     .fault = SIM_FAULT_FULL, .fault_every = 12, .checkpoint = 2, .maintain = 1, .hold = 1,
     .memory = 1, .save = 2, .back = 2, .payload = 3, .drop = 5, .copy = 3, .vacuum = 2},
    {"drops-bad-writes", .steps = 60, .put = 6, .batch = 6, .note = 1, .create = 5, .begin = 4,
     .commit = 3, .rollback = 1, .sync = 1, .kill = 1, .commit_sync = -1, .big = 20,
     .fault = SIM_FAULT_IO_AFTER, .fault_every = 12, .checkpoint = 2, .hold = 1, .save = 2,
     .back = 2, .payload = 3, .drop = 5, .copy = 3, .vacuum = 2},
    {"drops-lost-syncs", .steps = 60, .put = 6, .batch = 6, .note = 1, .create = 5, .begin = 4,
     .commit = 3, .rollback = 1, .sync = 1, .reopen = 1, .commit_sync = -1, .big = 20,
     .fault = SIM_FAULT_SYNC_LOSES, .fault_every = 6, .checkpoint = 3, .maintain = 1, .hold = 1,
     .payload = 2, .drop = 5, .copy = 2, .vacuum = 2},
    {"drops-no-room", .steps = 70, .put = 8, .batch = 6, .delete = 2, .note = 1, .create = 5, .begin = 3,
     .commit = 3, .rollback = 1, .reopen = 2, .kill = 1, .read = 1, .commit_sync = VS_SYNC_FULL,
     .big = 40, .checkpoint = 2, .maintain = 1, .hold = 1, .payload = 6, .drop = 4, .copy = 4,
     .vacuum = 1, .room = 900000},
    {"vacuums", .steps = 60, .put = 6, .batch = 8, .delete = 8, .note = 1, .create = 3, .begin = 2,
     .commit = 2, .rollback = 1, .sync = 1, .reopen = 1, .kill = 2, .read = 2, .commit_sync = -1,
     .big = -50, .checkpoint = 2, .maintain = 1, .hold = 1, .payload = 6, .drop = 2, .copy = 2,
     .vacuum = 8},
    {"vacuums-tight", .steps = 60, .put = 6, .batch = 8, .delete = 8, .note = 1, .create = 3, .begin = 2,
     .commit = 2, .rollback = 1, .reopen = 1, .kill = 2, .read = 2, .commit_sync = -1, .big = -50,
     .checkpoint = 2, .maintain = 1, .hold = 2, .memory = 1, .payload = 6, .drop = 2, .copy = 2,
     .vacuum = 8},
    {"vacuums-bad-writes", .steps = 50, .put = 6, .batch = 8, .delete = 8, .note = 1, .create = 3,
     .begin = 2, .commit = 2, .rollback = 1, .kill = 1, .read = 1, .commit_sync = -1, .big = -50,
     .fault = SIM_FAULT_IO_AFTER, .fault_every = 8, .checkpoint = 1, .maintain = 1, .hold = 1,
     .payload = 4, .drop = 2, .copy = 2, .vacuum = 8},
};
// clang-format on

const int wl_count = (int)(sizeof wl_all / sizeof wl_all[0]);

const workload *wl_find(const char *name) {
    for (int i = 0; i < wl_count; i++)
        if (!strcmp(wl_all[i].name, name))
            return &wl_all[i];
    return NULL;
}

/* ---- contents ------------------------------------------------------------------------------- */

static size_t make_vector(int coll, uint32_t seed, void *out) {
    const wl_shape *shape = &shapes[coll];
    vt_rng rng = {seed};
    for (uint32_t i = 0; i < shape->dim; i++) {
        uint64_t r = vt_random(&rng);
        if (shape->type == VS_U8)
            ((uint8_t *)out)[i] = (uint8_t)r;
        else
            ((float *)out)[i] = (float)((double)(int)(r % 2001) - 1000) / 8;
    }
    return shape->dim * (shape->type == VS_U8 ? 1u : sizeof(float));
}

/* Collections with an odd number have a field that is optional, field 1; half of their records have it. */
enum { MORE_DIM = 5 };

static bool has_more(int coll, uint32_t seed) {
    return coll % WL_SHAPES % 2 && seed % 2;
}

static void make_more(uint32_t seed, uint8_t out[MORE_DIM]) {
    for (int i = 0; i < MORE_DIM; i++)
        out[i] = (uint8_t)vt_mix(seed + 77u * (uint32_t)i);
}

/* JSON; long when the seed is divisible by 3, so that both sizes occur. */
static size_t make_text(uint32_t seed, char *out) {
    vt_rng rng = {seed};
    bool is_large = seed % 3 == 0 && seed > WL_LARGE_SEED;
    size_t n = (size_t)sprintf(out, "{\"n\":%" PRIu32 ",\"t\":\"", seed);
    size_t letters = seed % 3 == 0 ? 1200 + vt_below(&rng, 2800) : vt_below(&rng, 20);
    for (size_t i = 0; i < letters; i++)
        out[n++] = (char)('a' + vt_below(&rng, 26));
    size_t more = is_large ? vt_below(&rng, 7500) : 0;
    for (size_t i = 0; i < more; i++)
        out[n++] = (char)('a' + vt_mix(seed + i / 9) % 26);
    n += (size_t)sprintf(out + n, "\"}");
    return n;
}

static uint64_t hash_of(const void *data, size_t bytes, uint64_t seed) {
    uint64_t h = vt_mix(seed ^ bytes);
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    return vt_mix(h);
}

/* The name of a collection, renamed or not. */
static const char *make_name(int c, bool is_renamed) {
    static char names[WL_COLLS][2][16];
    snprintf(names[c][is_renamed], sizeof names[c][0], "%s%s", shapes[c].name,
             is_renamed ? "!" : "");
    return names[c][is_renamed];
}

static uint64_t hash_coll(const char *name, uint32_t dim, uint64_t max_records) {
    return hash_of(name, strlen(name), 77 + dim + 1000 * max_records);
}

static uint64_t hash_alias(const char *leads_to) {
    return hash_of(leads_to, strlen(leads_to), 99);
}

enum { WL_LIMIT = 5000 };

static uint64_t model_coll_hash(const wl_model *model, int c) {
    uint64_t limit = model->limit[c] ? WL_LIMIT + model->limit[c] : 0;
    return model->exists[c] ? hash_coll(make_name(c, model->is_renamed[c]), shapes[c].dim, limit)
                            : 0;
}

static uint64_t model_alias_hash(const wl_model *model) {
    int c = model->alias - 1;
    return c < 0 ? 0 : hash_alias(make_name(c, model->is_renamed[c]));
}

/* Key k: numbers, texts short and long, UUIDs, numbers of other namespaces. */
static vs_key make_key(uint64_t k) {
    enum { TEXT_BYTES_MAX = 300 };
    static char texts[WL_KEYS][TEXT_BYTES_MAX];
    size_t bytes = k % 4 == 2 ? 16 : k % 3 ? 6 : TEXT_BYTES_MAX;
    if (k % 4 == 0 || k % 4 == 3)
        return vs_key_in(k % 4 ? 1 + (uint32_t)k % 3 : 0, vs_key_u64(k));
    for (size_t i = 0; i < bytes; i++)
        texts[k][i] = (char)('a' + (i + 3 < bytes ? 0 : k >> 3 * (bytes - 1 - i) & 7));
    return k % 4 == 2 ? vs_key_uuid(texts[k]) : vs_key_bytes(texts[k], bytes);
}

static uint64_t hash_key(vs_key key) {
    return vt_mix(key.number) ^ hash_of(key.data, key.bytes, 3 * key.space + key.kind);
}

/* ---- payloads ------------------------------------------------------------------------------- */

enum { WL_PAYLOAD_BYTES_MAX = WL_PARTS * WL_PART_BYTES, WL_WITH_PAYLOADS = 5 };

/* The bytes of a part; every second one can be compressed. */
static void make_part(uint32_t seed, uint8_t out[WL_PART_BYTES]) {
    for (uint32_t i = 0; i < WL_PART_BYTES; i += 8) {
        uint64_t word = vt_mix(seed + (uint64_t)(seed % 2 ? i / 8 : i / 640) * 0x9e3779b97f4a7c15u);
        for (int k = 0; k < 8; k++) /* the same on every platform */
            out[i + (uint32_t)k] = (uint8_t)(word >> 8 * k);
    }
}

static const uint8_t *make_payload(const wl_payload *payload) {
    static uint8_t bytes[WL_PAYLOAD_BYTES_MAX];
    for (uint32_t i = 0; i * WL_PART_BYTES < payload->bytes; i++)
        make_part(payload->part[i], bytes + i * WL_PART_BYTES);
    return bytes;
}

/* By words: there are many bytes. */
static uint64_t hash_payload(const uint8_t *data, uint64_t bytes) {
    uint64_t h = bytes, at = 0, word = 0;
    for (; at + 8 <= bytes; at += 8) {
        memcpy(&word, data + at, 8);
        h = ((h << 7 | h >> 57) ^ word) * 0x9e3779b97f4a7c15u;
    }
    return bytes ? hash_of(data + at, (size_t)(bytes - at), h) : 0;
}

/* The payload of a record as it is read, in runs of a size that follows from its own. */
static vs_status read_payload(vs_collection *coll, vs_txn *txn, vs_key key, uint64_t bytes,
                              const uint8_t **out) {
    static uint8_t data[WL_PAYLOAD_BYTES_MAX + 1];
    size_t run = 1000 + (size_t)bytes % 99991, n = 1;
    uint64_t at = 0;
    vs_status st = VS_OK;
    for (; st == VS_OK && n && at <= bytes && at < WL_PAYLOAD_BYTES_MAX; at += n) {
        size_t room = sizeof data - (size_t)at;
        st = vs_payload_read(coll, txn, key, at, data + at, run < room ? run : room, &n);
    }
    *out = data;
    return st == VS_OK && at != bytes ? VS_ERR_CORRUPT : st;
}

/* Whether the payload that is read is the one that it should be. */
static vs_status compare_payload(vs_collection *coll, vs_txn *txn, vs_key key,
                                 const wl_payload *expected, bool *out_is_same) {
    const uint8_t *found = NULL;
    vs_status st = read_payload(coll, txn, key, expected->bytes, &found);
    *out_is_same = st == VS_OK && !memcmp(found, make_payload(expected), expected->bytes);
    return st;
}

static uint64_t hash_record(const char *coll, size_t vector_bytes, const vs_record *record) {
    uint64_t h = hash_of(coll, strlen(coll), 1) ^ hash_key(record->key);
    h = hash_of(record->vector, vector_bytes, h);
    for (size_t i = 0; i < record->vector_count; i++)
        h = hash_of(record->vectors[i].data, MORE_DIM, h + record->vectors[i].field);
    return hash_of(record->metadata ? record->metadata : "", record->metadata_bytes, h);
}

/* A record with everything that follows from its seeds, in these buffers. */
typedef struct full_record {
    float vector[WL_VECTOR_BYTES_MAX / sizeof(float)];
    uint8_t more[MORE_DIM];
    char text[WL_TEXT_BYTES_MAX];
    size_t vector_bytes;
    vs_vector further;
    vs_record record; /* payload_bytes are what they should be */
} full_record;

static void make_full(int c, uint64_t key, wl_record from, full_record *out) {
    out->record = (vs_record)VS_RECORD_INIT;
    out->record.key = make_key(key);
    out->record.vector = out->vector;
    out->vector_bytes = make_vector(c, from.vector, out->vector);
    if (has_more(c, from.vector)) {
        make_more(from.vector, out->more);
        out->further = (vs_vector){out->more, VS_U8, 1};
        out->record.vectors = &out->further;
        out->record.vector_count = 1;
    }
    if (from.metadata) {
        out->record.metadata = out->text;
        out->record.metadata_bytes = make_text(from.metadata, out->text);
    }
    out->record.payload_bytes = from.payload.bytes;
}

/* Whether a record that was read is the one that it should be. */
static bool is_full_same(const vs_record *found, const full_record *expected) {
    const vs_record *r = &expected->record;
    if (memcmp(found->vector, r->vector, expected->vector_bytes) ||
        found->vector_count != r->vector_count || found->metadata_bytes != r->metadata_bytes ||
        found->payload_bytes != r->payload_bytes)
        return false;
    if (r->vector_count && memcmp(found->vectors[0].data, expected->more, MORE_DIM))
        return false;
    return !r->metadata_bytes || !memcmp(found->metadata, r->metadata, r->metadata_bytes);
}

static uint64_t hash_note(int note, const void *value, size_t bytes) {
    return hash_of(value, bytes, 1000 + (uint64_t)note);
}

static uint64_t hash_own_note(const char *coll, int note, const void *value, size_t bytes) {
    return hash_of(value, bytes, hash_of(coll, strlen(coll), 2000 + (uint64_t)note));
}

static uint64_t model_record_hash(int c, int k, wl_record record) {
    full_record full;
    if (!record.vector)
        return 0;
    make_full(c, (uint64_t)k, record, &full);
    return hash_record(shapes[c].name, full.vector_bytes, &full.record) +
           hash_payload(make_payload(&record.payload), record.payload.bytes) *
               hash_key(make_key((uint64_t)k));
}

static uint64_t model_note_hash(int note, uint32_t seed) {
    char text[WL_TEXT_BYTES_MAX];
    return seed ? hash_note(note, text, make_text(seed, text)) : 0;
}

static uint64_t model_own_note_hash(int c, int note, uint32_t seed) {
    char text[WL_TEXT_BYTES_MAX];
    return seed ? hash_own_note(shapes[c].name, note, text, make_text(seed, text)) : 0;
}

/* A sum over all content, so that one of a slightly different model follows from the differences. */
static uint64_t model_fingerprint(const wl_model *model, const wl_model *other, uint64_t of_other) {
    uint64_t sum = of_other + model_alias_hash(model) - model_alias_hash(other);
    for (int c = 0; c < WL_COLLS; c++) {
        sum += model_coll_hash(model, c) - model_coll_hash(other, c);
        for (int k = 0; k < WL_KEYS; k++) {
            wl_record now = model->record[c][k], then = other->record[c][k];
            if (memcmp(&now, &then, sizeof now))
                sum += model_record_hash(c, k, now) - model_record_hash(c, k, then);
        }
        for (int i = 0; i < WL_OWN_NOTES; i++)
            sum += model_own_note_hash(c, i, model->own_note[c][i]) -
                   model_own_note_hash(c, i, other->own_note[c][i]);
    }
    for (int i = 0; i < WL_NOTES; i++)
        if (model->note[i] != other->note[i])
            sum += model_note_hash(i, model->note[i]) - model_note_hash(i, other->note[i]);
    return sum;
}

static vs_status read_own_notes(vs_db *db, vs_collection *coll, const char *base, uint64_t *sum) {
    vs_status st = VS_OK;
    for (int i = 0; st == VS_OK && i < WL_OWN_NOTES; i++) {
        char key = (char)('0' + i), value[WL_TEXT_BYTES_MAX];
        size_t bytes = 0;
        st = vs_kv_get(db, NULL, coll, &key, 1, value, sizeof value, &bytes);
        if (st == VS_OK)
            *sum += hash_own_note(base, i, value, bytes);
        st = st == VS_ERR_NOT_FOUND ? VS_OK : st;
    }
    return st;
}

static bool read_coll(vs_db *db, const vs_collection_info *info, uint64_t *sum) {
    vs_collection *coll = NULL;
    vs_cursor *cursor = NULL;
    vs_status st = vs_collection_open(db, NULL, info->name, &coll);
    if (st == VS_OK)
        st = vs_scan(coll, NULL, NULL, &cursor);
    uint64_t count = 0;
    char base[VS_NAME_BYTES_MAX + 1]; /* records count by the first name */
    snprintf(base, sizeof base, "%.*s", (int)strcspn(info->name, "!"), info->name);
    size_t element = info->type == VS_U8 ? 1 : sizeof(float);
    for (st = st == VS_OK ? vs_step(cursor) : st; st == VS_ROW; st = vs_step(cursor)) {
        vs_record record = VS_RECORD_INIT;
        st = vs_cursor_record(cursor, &record);
        if (st != VS_OK)
            break;
        *sum += hash_record(base, info->dim * element, &record);
        count++;
        const uint8_t *payload = NULL;
        st = read_payload(coll, NULL, record.key, record.payload_bytes, &payload);
        if (st != VS_OK)
            break;
        *sum += hash_payload(payload, record.payload_bytes) * hash_key(record.key);
    }
    vs_cursor_close(cursor);
    if (st == VS_DONE && read_own_notes(db, coll, base, sum) != VS_OK)
        st = VS_ERR_CORRUPT;
    vs_collection_close(coll);
    return st == VS_DONE && count == info->count;
}

bool wl_read_fingerprint(vs_db *db, uint64_t *out_fingerprint) {
    uint64_t sum = 0;
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_status at = vs_collection_at(db, NULL, 0, &info);
    for (size_t i = 1; at == VS_OK; i++) {
        sum += hash_coll(info.name, info.dim, info.max_records);
        if (!read_coll(db, &info, &sum))
            return false;
        at = vs_collection_at(db, NULL, i, &info);
    }
    vs_alias_info alias = VS_ALIAS_INFO_INIT;
    vs_status found = vs_alias_at(db, NULL, 0, &alias);
    if (at != VS_DONE || (found != VS_OK && found != VS_DONE))
        return false;
    if (found == VS_OK)
        sum += hash_alias(alias.collection);
    for (int i = 0; i < WL_NOTES; i++) {
        char key[32], value[WL_TEXT_BYTES_MAX];
        size_t bytes = 0;
        int n = sprintf(key, "note %d", i);
        vs_status st = vs_kv_get(db, NULL, NULL, key, (size_t)n, value, sizeof value, &bytes);
        if (st == VS_OK)
            sum += hash_note(i, value, bytes);
        else if (st != VS_ERR_NOT_FOUND)
            return false;
    }
    *out_fingerprint = sum;
    return true;
}

vs_status wl_compare_tokens(vs_db *db, const wl_model *model, bool *out_is_same) {
    vs_status st = VS_OK;
    *out_is_same = true;
    for (uint8_t token = 0; st == VS_OK && token < WL_TOKENS; token++) {
        vs_txn *txn = NULL;
        st = vs_begin(db, VS_TXN_WRITE, &txn);
        if (st == VS_OK)
            st = vs_txn_token(txn, &token, sizeof token, NULL);
        vs_rollback(txn);
        bool is_known = st == VS_ERR_EXISTS;
        st = is_known ? VS_OK : st;
        if (st == VS_OK && is_known != (bool)(model->tokens >> token & 1))
            *out_is_same = false;
    }
    return st;
}

/* ---- states --------------------------------------------------------------------------------- */

static bool fail(wl_run *run, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!run->problem[0])
        vsnprintf(run->problem, sizeof run->problem, format, args);
    va_end(args);
    return false;
}

static int add_state(wl_run *run, const wl_model *model) {
    if (run->state_count == run->state_cap) {
        run->state_cap = run->state_cap ? 2 * run->state_cap : 64;
        run->state = realloc(run->state, (size_t)run->state_cap * sizeof *run->state);
        if (!run->state)
            abort();
    }
    static const wl_model empty;
    const wl_state *last = run->state_count ? &run->state[run->state_count - 1] : NULL;
    uint64_t fingerprint = last ? model_fingerprint(model, &last->model, last->fingerprint)
                                : model_fingerprint(model, &empty, 0);
    run->state[run->state_count] = (wl_state){.fingerprint = fingerprint, .model = *model};
    return run->state_count++;
}

int wl_match(const wl_run *run, uint64_t fingerprint, int floor, int last) {
    for (int i = last; i >= floor; i--)
        if (!run->state[i].is_refused && run->state[i].fingerprint == fingerprint)
            return i;
    return -1;
}

/* A commit to the staged content begins. */
static int start_commit(wl_run *run) {
    int at = add_state(run, &run->staged);
    sim_note(run->s, WL_STARTED, (uint64_t)at);
    return at;
}

static void become_durable(wl_run *run) {
    run->floor = run->acked;
    sim_note(run->s, WL_DURABLE, (uint64_t)run->acked);
}

/* Whether a run may meet this status without a planted cause. */
static bool is_expected_failure(const wl_run *run, vs_status st) {
    if (run->w->room && st == VS_ERR_FULL)
        return true;
    if (run->options.progress && st == VS_ERR_INTERRUPTED)
        return true;
    return run->expects_failures && (st == VS_ERR_NOMEM || st == VS_ERR_IO || st == VS_ERR_FULL ||
                                     st == VS_ERR_INDOUBT || st == VS_ERR_READONLY);
}

/* A commit to state `at` has returned. */
static bool end_commit(wl_run *run, int at, vs_status st, int sync) {
    if (st == VS_OK) {
        run->acked = at;
        run->commits++;
        if (sync == VS_SYNC_FULL)
            become_durable(run);
        return true;
    }
    run->failures++;
    run->staged = run->state[run->acked].model;
    if (st == VS_ERR_INDOUBT) {
        run->is_in_doubt = true;
    } else {
        run->state[at].is_refused = true;
        sim_note(run->s, WL_REFUSED, (uint64_t)at);
    }
    if (!is_expected_failure(run, st))
        return fail(run, "commit returned %s: %s", vs_status_name(st), vs_errmsg(run->db));
    return true;
}

/* ---- ending calls that are long -------------------------------------------------------------- */

static int64_t fast_ticks(void *ctx) {
    const vs_vfs *vfs = sim_vfs(ctx);
    return vfs->ticks_us(vfs->ctx) * 10;
}

static int goes_on(void *ctx, const vs_progress *progress) {
    wl_run *run = ctx;
    (void)progress;
    return run->stop_in && --run->stop_in == 0;
}

/* From numbers of its own, so that the program is the same as without. */
static void maybe_stop(wl_run *run) {
    bool stops = run->options.progress && vt_below(&run->stops, 3) == 0;
    run->stop_in = stops ? 1 + vt_below(&run->stops, 8) : 0;
}

/* ---- opening and closing -------------------------------------------------------------------- */

void wl_init(wl_run *run, const workload *w, sim *s, uint64_t seed, const wl_model *initial) {
    memset(run, 0, sizeof *run);
    run->w = w;
    run->s = s;
    run->rng.state = seed;
    run->options = (vs_open_options)VS_OPEN_OPTIONS_INIT;
    run->options.flags = VS_OPEN_CREATE | (vt_mix(seed) % 2 ? VS_OPEN_MMAP : 0);
    run->options.vfs = sim_vfs(s);
    run->options.memory_limit = w->memory;
    /* Of a database that is created; it then needs more room than a small disk has. */
    run->options.trailer_bytes = vt_mix(seed) / 2 % 2 && !w->room ? 40 : 0;
    run->options.sync = w->commit_sync > 0 ? w->commit_sync : VS_SYNC_FULL;
    if (vt_mix(seed) / 4 % 3 == 0) {
        run->vfs = *sim_vfs(s);
        run->vfs.ticks_us = fast_ticks;
        run->options.vfs = &run->vfs;
        run->options.progress = goes_on;
        run->options.progress_ctx = run;
        run->stops.state = vt_mix(seed + 1);
    }
    wl_model empty = {0};
    run->staged = initial ? *initial : empty;
    add_state(run, &run->staged);
    sim_note(s, WL_DURABLE, 0);
    if (w->fault)
        run->expects_failures = true;
    sim_set_room(s, w->room);
}

static void close_colls(wl_run *run) {
    for (int c = 0; c < WL_COLLS; c++) {
        vs_collection_close(run->coll[c]);
        run->coll[c] = NULL;
    }
}

static void drop_txn(wl_run *run) {
    vs_rollback(run->txn);
    run->txn = NULL;
    run->staged = run->state[run->acked].model;
}

static void drop_held(wl_run *run) {
    vs_rollback(run->held);
    run->held = NULL;
}

bool wl_close(wl_run *run) {
    if (!run->db)
        return true;
    if (run->txn)
        drop_txn(run);
    drop_held(run);
    close_colls(run);
    vs_status st = vs_close(run->db);
    run->db = NULL;
    if (st == VS_OK && !run->is_in_doubt)
        become_durable(run);
    return st == VS_OK || is_expected_failure(run, st) ||
           fail(run, "close: %s", vs_status_name(st));
}

void wl_kill(wl_run *run) {
    if (!run->db)
        return;
    if (run->txn)
        drop_txn(run);
    drop_held(run);
    close_colls(run);
    sim_set_process(run->s,
                    1 + vt_below(&run->rng, 1u << 30)); /* vs_close then frees memory only */
    vs_status st = vs_close(run->db);
    if (st != VS_OK)
        fail(run, "freeing the killed handle: %s", vs_status_name(st));
    run->db = NULL;
    sim_drop_locks(run->s);
}

static bool open_colls(wl_run *run) {
    for (int c = 0; c < WL_COLLS; c++) {
        if (!run->staged.exists[c])
            continue;
        vs_status st = vs_collection_open(run->db, run->txn,
                                          make_name(c, run->staged.is_renamed[c]), &run->coll[c]);
        if (st != VS_OK)
            return is_expected_failure(run, st) ||
                   fail(run, "open of %s: %s", shapes[c].name, vs_errmsg(run->db));
    }
    return true;
}

static bool chance(wl_run *run, int percent) {
    return vt_below(&run->rng, 100) < (uint64_t)percent;
}

bool wl_open(wl_run *run) {
    uint64_t fingerprint = 0;
    run->stop_in = 0;
    if (run->w->big < 0) /* handles take turns */
        run->options.compression = chance(run, 30) ? VS_COMPRESSION_NONE : VS_COMPRESSION_DEFAULT;
    vs_status st = vs_open(WL_PATH, &run->options, &run->db);
    if (st != VS_OK) {
        bool is_fine = is_expected_failure(run, st);
        if (!is_fine)
            fail(run, "open returned %s: %s", vs_status_name(st),
                 run->db ? vs_errmsg(run->db) : "no handle");
        vs_close(run->db);
        run->db = NULL;
        run->failures++;
        return is_fine;
    }
    if (!wl_read_fingerprint(run->db, &fingerprint)) {
        run->failures++;
        bool is_fine = run->expects_failures;
        wl_kill(run);
        return is_fine || fail(run, "the content cannot be read");
    }
    int at = wl_match(run, fingerprint, run->floor, run->state_count - 1);
    if (at < 0)
        return fail(run,
                    "the open shows a state that never was, or is older than the last durable "
                    "one (%d of %d)",
                    run->floor, run->state_count - 1);
    run->acked = at;
    run->is_in_doubt = false;
    run->staged = run->state[at].model;
    bool has_tokens = true;
    st = run->w->token ? wl_compare_tokens(run->db, &run->staged, &has_tokens) : VS_OK;
    if (!has_tokens || (st != VS_OK && !is_expected_failure(run, st)))
        return fail(run, "the open shows other tokens than were committed: %s", vs_status_name(st));
    return open_colls(run);
}

void wl_free(wl_run *run) {
    if (run->db)
        wl_kill(run);
    free(run->state);
}

/* ---- steps ---------------------------------------------------------------------------------- */

/* Seeds are divisible by 3 for long texts only. */
static uint32_t new_seed(wl_run *run, bool is_big) {
    uint32_t seed = (uint32_t)(1 + vt_below(&run->rng, 1u << 28)) * 3;
    return is_big ? seed : seed + 1;
}

static uint32_t new_text(wl_run *run) {
    int big = run->w->big;
    bool is_big = chance(run, abs(big));
    uint32_t seed = new_seed(run, is_big);
    return is_big && big < 0 && chance(run, 60) ? seed + WL_LARGE_SEED : seed;
}

static bool pick_coll(wl_run *run, int *out_coll) {
    int colls = run->w->copy ? WL_COLLS : WL_SHAPES;
    int start = (int)vt_below(&run->rng, (uint64_t)colls);
    for (int i = 0; i < colls; i++) {
        *out_coll = (start + i) % colls;
        if (run->staged.exists[*out_coll] && run->coll[*out_coll])
            return true;
    }
    return false;
}

/* A call that changes something has returned. before: the content to go back to. */
static bool end_change(wl_run *run, vs_status st, int state, const wl_model *before,
                       const void *handle) {
    if (!run->txn)
        return end_commit(run, state, st, run->options.sync);
    if (st == VS_OK)
        return true;
    run->staged = *before;
    run->failures++;
    if (!is_expected_failure(run, st) && st != VS_ERR_MISUSE) /* MISUSE: failed while streaming */
        return fail(run, "change returned %s: %s", vs_status_name(st), vs_errmsg(handle));
    /* A failed change leaves what the transaction did before; half of them go on. Only one that
     * failed while it was streamed to the log cannot. */
    if (st == VS_ERR_MISUSE || st != VS_ERR_NOMEM || chance(run, 50))
        drop_txn(run);
    return true;
}

static wl_record new_record(wl_run *run) {
    wl_record record = {.vector = new_seed(run, false)};
    if (!chance(run, 30))
        record.metadata = new_text(run);
    return record;
}

/* Where there are payloads, most steps are of the records that may have one. */
static uint64_t pick_key(wl_run *run) {
    bool is_few = run->w->payload && chance(run, 70);
    return vt_below(&run->rng, is_few ? WL_WITH_PAYLOADS : WL_KEYS);
}

static bool put_record(wl_run *run, int c, uint64_t key) {
    wl_model before = run->staged;
    wl_record record = new_record(run);
    bool exists = run->staged.record[c][key].vector;
    int mode = chance(run, 30) ? VS_INSERT : VS_UPSERT;
    full_record full;
    make_full(c, key, record, &full);
    if (exists && mode == VS_INSERT) {
        vs_status st = vs_put(run->coll[c], run->txn, &full.record, mode);
        if (st != VS_ERR_EXISTS && !is_expected_failure(run, st) && st != VS_ERR_MISUSE)
            return fail(run, "insert of an existing key: %s", vs_status_name(st));
        return true;
    }
    record.payload = run->staged.record[c][key].payload;
    run->staged.record[c][key] = record;
    int state = run->txn ? -1 : start_commit(run);
    vs_status st = vs_put(run->coll[c], run->txn, &full.record, mode);
    return end_change(run, st, state, &before, run->coll[c]);
}

static bool step_put(wl_run *run) {
    int c = 0;
    return !pick_coll(run, &c) || put_record(run, c, pick_key(run));
}

/* With VS_INSERT a batch that holds an existing key, or a key twice, is refused as a whole, after some
 * of its rows were staged. */
static bool step_batch(wl_run *run) {
    enum { ROWS_MAX = 12 };
    int c = 0;
    if (!pick_coll(run, &c))
        return true;
    wl_model before = run->staged;
    static char text[ROWS_MAX][WL_TEXT_BYTES_MAX];
    float vectors[ROWS_MAX][WL_VECTOR_BYTES_MAX / sizeof(float)];
    uint8_t more[ROWS_MAX][MORE_DIM], has[ROWS_MAX];
    vs_key keys[ROWS_MAX];
    const char *metadata[ROWS_MAX];
    int mode = chance(run, 30) ? VS_INSERT : VS_UPSERT;
    bool is_refused = false;
    vs_batch batch = VS_BATCH_INIT;
    batch.count = 1 + vt_below(&run->rng, ROWS_MAX);
    for (size_t i = 0; i < batch.count; i++) {
        wl_record record = new_record(run);
        uint64_t key = pick_key(run);
        keys[i] = make_key(key);
        is_refused = is_refused || (mode == VS_INSERT && run->staged.record[c][key].vector);
        make_vector(c, record.vector, vectors[i]);
        make_more(record.vector, more[i]);
        has[i] = has_more(c, record.vector);
        metadata[i] = NULL;
        if (record.metadata) {
            text[i][make_text(record.metadata, text[i])] = 0;
            metadata[i] = text[i];
        }
        record.payload = run->staged.record[c][key].payload;
        run->staged.record[c][key] = record;
    }
    batch.keys = keys;
    batch.vectors = vectors;
    batch.stride_bytes = sizeof vectors[0];
    batch.metadata = metadata;
    vs_column further = {more, 0, has, VS_U8, 1};
    batch.columns = &further;
    batch.column_count = (size_t)c % WL_SHAPES % 2;
    if (is_refused) {
        run->staged = before;
        vs_status st = vs_put_batch(run->coll[c], run->txn, &batch, mode);
        return st == VS_ERR_EXISTS || is_expected_failure(run, st) || st == VS_ERR_MISUSE ||
               fail(run, "insert of a batch with an existing key: %s", vs_status_name(st));
    }
    int state = run->txn ? -1 : start_commit(run);
    vs_status st = vs_put_batch(run->coll[c], run->txn, &batch, mode);
    return end_change(run, st, state, &before, run->coll[c]);
}

static bool step_delete(wl_run *run) {
    int c = 0;
    if (!pick_coll(run, &c))
        return true;
    wl_model before = run->staged;
    uint64_t key = pick_key(run);
    if (!run->staged.record[c][key].vector) {
        vs_status st = vs_delete(run->coll[c], run->txn, make_key(key));
        if (st != VS_ERR_NOT_FOUND && !is_expected_failure(run, st) && st != VS_ERR_MISUSE)
            return fail(run, "delete of a missing key: %s", vs_status_name(st));
        return true;
    }
    run->staged.record[c][key] = (wl_record){0};
    int state = run->txn ? -1 : start_commit(run);
    vs_status st = vs_delete(run->coll[c], run->txn, make_key(key));
    return end_change(run, st, state, &before, run->coll[c]);
}

/* Another name, another limit, or an alias that leads elsewhere. */
static bool step_describe(wl_run *run, int c) {
    wl_model before = run->staged;
    wl_model *m = &run->staged;
    int what = (int)vt_below(&run->rng, 3);
    vs_status st = VS_OK;
    const void *handle = run->coll[c];
    if (what == 0)
        m->is_renamed[c] = !m->is_renamed[c];
    else if (what == 1)
        m->limit[c] = (uint8_t)(m->limit[c] + 1);
    else
        m->alias = m->alias == c + 1 ? 0 : (uint8_t)(c + 1);
    int state = run->txn ? -1 : start_commit(run);
    if (what == 0) {
        st = vs_collection_rename(run->coll[c], run->txn, make_name(c, m->is_renamed[c]));
    } else if (what == 1) {
        uint64_t limit = m->limit[c] ? WL_LIMIT + m->limit[c] : 0;
        st = vs_collection_set_limits(run->coll[c], run->txn, limit, 0);
    } else {
        st = vs_alias_set(run->db, run->txn, "alias", m->alias ? run->coll[c] : NULL);
        handle = run->txn ? (const void *)run->txn : run->db;
    }
    return end_change(run, st, state, &before, handle);
}

/* Other vectors for a record, and its metadata as they are; or other metadata, and its vectors as they are. */
static bool step_update(wl_run *run) {
    int c = 0;
    if (!pick_coll(run, &c))
        return true;
    if (chance(run, 25))
        return step_describe(run, c);
    wl_model before = run->staged;
    uint64_t key = pick_key(run);
    wl_record *record = &run->staged.record[c][key], next = *record;
    bool is_there = record->vector, of_vectors = chance(run, 50);
    full_record full;
    if (of_vectors)
        next.vector = new_record(run).vector;
    else
        next.metadata = chance(run, 25) ? 0 : new_text(run);
    make_full(c, key, next, &full);
    if (of_vectors && c % WL_SHAPES % 2 &&
        !full.record.vector_count) { /* the one that is optional goes */
        full.further = (vs_vector){NULL, 0, 1};
        full.record.vectors = &full.further;
        full.record.vector_count = 1;
    }
    if (is_there)
        *record = next;
    int state = run->txn || !is_there ? -1 : start_commit(run);
    vs_status st = vs_update(run->coll[c], run->txn, &full.record,
                             of_vectors ? VS_UPDATE_VECTORS : VS_UPDATE_METADATA);
    if (is_there)
        return end_change(run, st, state, &before, run->coll[c]);
    return st == VS_ERR_NOT_FOUND || is_expected_failure(run, st) || st == VS_ERR_MISUSE ||
           fail(run, "update of a missing key: %s", vs_status_name(st));
}

/* A run of a payload, from a part's begin or the payload's end on; it ends at a part's end, or is the
 * payload's end. Short ones come often. */
static void change_payload(wl_run *run, wl_payload *payload, uint32_t *out_from,
                           uint32_t *out_end) {
    uint32_t whole = payload->bytes / WL_PART_BYTES;
    uint32_t at = (uint32_t)vt_below(&run->rng, (whole < WL_PARTS ? whole : WL_PARTS - 1) + 1);
    uint32_t from = at * WL_PART_BYTES;
    if (payload->bytes % WL_PART_BYTES && chance(run, 30)) { /* the last part goes on */
        from = payload->bytes;
        at = whole + 1;
    }
    uint32_t room = WL_PAYLOAD_BYTES_MAX - from,
             most = room < 6000 || chance(run, 50) ? room : 6000;
    uint32_t end = from + 1 + (uint32_t)vt_below(&run->rng, most);
    if (end < payload->bytes) {
        end = (end + WL_PART_BYTES - 1) / WL_PART_BYTES * WL_PART_BYTES;
        end = end < payload->bytes ? end : payload->bytes;
    }
    for (; at * WL_PART_BYTES < end; at++)
        payload->part[at] = 1 + (uint32_t)vt_below(&run->rng, 1u << 28);
    if (end > payload->bytes)
        payload->bytes = end;
    *out_from = from;
    *out_end = end;
}

static bool step_payload(wl_run *run) {
    int c = 0;
    if (!pick_coll(run, &c))
        return true;
    wl_model before = run->staged;
    uint64_t key = vt_below(&run->rng, WL_WITH_PAYLOADS);
    wl_record *record = &run->staged.record[c][key];
    if (!record->vector && chance(run, 85))
        return put_record(run, c, key);
    if (!record->vector) {
        vs_status st = vs_payload_write(run->coll[c], run->txn, make_key(key), 0, "x", 1);
        return st == VS_ERR_NOT_FOUND || is_expected_failure(run, st) || st == VS_ERR_MISUSE ||
               fail(run, "payload of a missing key: %s", vs_status_name(st));
    }
    bool truncates = chance(run, 25);
    uint32_t from = 0, end = 0;
    uint32_t left = chance(run, 30) ? 0 : (uint32_t)vt_below(&run->rng, record->payload.bytes + 1);
    if (truncates)
        record->payload.bytes = left;
    else
        change_payload(run, &record->payload, &from, &end);
    int state = run->txn ? -1 : start_commit(run);
    const uint8_t *data = make_payload(&record->payload);
    vs_status st = truncates ? vs_payload_truncate(run->coll[c], run->txn, make_key(key), left)
                             : vs_payload_write(run->coll[c], run->txn, make_key(key), from,
                                                data + from, end - from);
    return end_change(run, st, state, &before, run->coll[c]);
}

static bool step_note(wl_run *run) {
    wl_model before = run->staged;
    int note = (int)vt_below(&run->rng, WL_TOKEN_NOTE);
    char key[32], text[WL_TEXT_BYTES_MAX];
    size_t key_bytes = (size_t)sprintf(key, "note %d", note), bytes = 0;
    bool deletes = chance(run, 25);
    if (deletes && !run->staged.note[note])
        return true;
    run->staged.note[note] = deletes ? 0 : new_text(run);
    if (!deletes)
        bytes = make_text(run->staged.note[note], text);
    int state = run->txn ? -1 : start_commit(run);
    vs_status st = vs_kv_put(run->db, run->txn, NULL, key, key_bytes, deletes ? NULL : text, bytes);
    return end_change(run, st, state, &before, run->txn ? (void *)run->txn : run->db);
}

static bool step_own_note(wl_run *run) {
    int c = 0, note = (int)vt_below(&run->rng, WL_OWN_NOTES);
    wl_model before = run->staged;
    char key = (char)('0' + note), text[WL_TEXT_BYTES_MAX];
    if (!pick_coll(run, &c))
        return true;
    bool deletes = run->staged.own_note[c][note] && chance(run, 25);
    size_t bytes = 0;
    run->staged.own_note[c][note] = deletes ? 0 : new_text(run);
    if (!deletes)
        bytes = make_text(run->staged.own_note[c][note], text);
    int state = run->txn ? -1 : start_commit(run);
    vs_status st =
        vs_kv_put(run->db, run->txn, run->coll[c], &key, 1, deletes ? NULL : text, bytes);
    return end_change(run, st, state, &before, run->txn ? (void *)run->txn : run->db);
}

static void model_drop(wl_model *m, int c) {
    m->exists[c] = m->is_renamed[c] = false;
    m->limit[c] = 0;
    m->alias = m->alias == c + 1 ? 0 : m->alias;
    memset(m->record[c], 0, sizeof m->record[c]);
    memset(m->own_note[c], 0, sizeof m->own_note[c]);
}

/* The first one, too: it is created again by another step. */
static bool step_drop(wl_run *run) {
    int c = 0;
    if (!pick_coll(run, &c))
        return true;
    wl_model before = run->staged;
    model_drop(&run->staged, c);
    int state = run->txn ? -1 : start_commit(run);
    vs_status st = vs_collection_drop(run->coll[c], run->txn);
    return end_change(run, st, state, &before, run->coll[c]);
}

static bool step_copy(wl_run *run) {
    int c = (int)vt_below(&run->rng, WL_SHAPES), to = c + WL_SHAPES;
    wl_model before = run->staged;
    wl_model *m = &run->staged;
    if (!m->exists[c] || !run->coll[c])
        return true;
    const char *name = make_name(to, m->is_renamed[to]);
    if (m->exists[to]) {
        vs_status st = vs_collection_copy(run->coll[c], run->txn, name, NULL);
        return st == VS_ERR_EXISTS || is_expected_failure(run, st) || st == VS_ERR_MISUSE ||
               fail(run, "copy to a name that exists: %s", vs_status_name(st));
    }
    m->exists[to] = true;
    m->limit[to] = m->limit[c];
    memcpy(m->record[to], m->record[c], sizeof m->record[to]);
    memcpy(m->own_note[to], m->own_note[c], sizeof m->own_note[to]);
    int state = run->txn ? -1 : start_commit(run);
    vs_status st = vs_collection_copy(run->coll[c], run->txn, name, NULL);
    return end_change(run, st, state, &before, run->coll[c]);
}

static bool step_create(wl_run *run) {
    wl_model before = run->staged;
    int c = 0;
    while (c < WL_SHAPES && (run->staged.exists[c] || run->coll[c]))
        c++;
    if (c == WL_SHAPES)
        return true;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    vs_field fields[2] = {VS_FIELD_INIT, VS_FIELD_INIT};
    fields[0].dim = shapes[c].dim;
    fields[0].type = shapes[c].type;
    fields[0].metric = shapes[c].metric;
    fields[0].index = run->w->has_no_codes ? NULL : shapes[c].index;
    fields[1].name = "more";
    fields[1].dim = MORE_DIM;
    fields[1].type = VS_U8;
    fields[1].flags = VS_FIELD_OPTIONAL;
    fields[1].index = run->w->has_no_codes ? NULL : "flat(codes=rq8)";
    options.fields = fields;
    options.field_count = c % 2 ? 2 : 1;
    run->staged.exists[c] = true;
    int state = run->txn ? -1 : start_commit(run);
    const void *handle = run->txn ? (void *)run->txn : run->db;
    vs_status st = vs_collection_create(run->db, run->txn, shapes[c].name, &options, &run->coll[c]);
    return end_change(run, st, state, &before, handle);
}

static bool step_save(wl_run *run) {
    uint32_t number = 0;
    if (!run->txn || run->saved_count == WL_SAVEPOINTS)
        return true;
    vs_status st = vs_savepoint(run->txn, &number);
    if (st != VS_OK)
        return is_expected_failure(run, st) || fail(run, "savepoint: %s", vs_errmsg(run->txn));
    run->saved[run->saved_count++] = run->staged;
    return number == (uint32_t)run->saved_count ||
           fail(run, "savepoint %d has number %u", run->saved_count, (unsigned)number);
}

/* Goes back to a savepoint, which cannot fail; or releases one. */
static bool step_end_savepoint(wl_run *run, bool goes_back) {
    if (!run->txn || !run->saved_count)
        return true;
    int number = 1 + (int)vt_below(&run->rng, (uint64_t)run->saved_count);
    vs_status st = goes_back ? vs_rollback_to(run->txn, (uint32_t)number)
                             : vs_release(run->txn, (uint32_t)number);
    run->saved_count = goes_back ? number : number - 1;
    if (goes_back)
        run->staged = run->saved[number - 1];
    return st == VS_OK || fail(run, "savepoint %d: %s", number, vs_errmsg(run->txn));
}

/* Handles to collections whose creation was rolled back. Where collections are dropped, a handle may be to one
 * that had the name before, or there may be none because the drop was rolled back: all are opened anew. */
static bool close_stale_colls(wl_run *run) {
    if (run->w->drop) {
        run->stop_in = 0;
        close_colls(run);
        return !run->db || open_colls(run);
    }
    for (int c = 0; c < WL_COLLS; c++)
        if (run->coll[c] && !run->staged.exists[c]) {
            vs_collection_close(run->coll[c]);
            run->coll[c] = NULL;
        }
    return true;
}

static bool step_begin(wl_run *run) {
    if (run->txn)
        return true;
    vs_status st = vs_begin(run->db, VS_TXN_WRITE, &run->txn);
    run->saved_count = 0;
    if (st == VS_OK || is_expected_failure(run, st))
        return true;
    return fail(run, "begin: %s", vs_errmsg(run->db));
}

/* A transaction may have a token before it commits, one that was committed or one that was not. */
static bool stage_token(wl_run *run) {
    static const char key[] = "note 6";
    char text[WL_TEXT_BYTES_MAX];
    uint8_t token = (uint8_t)vt_below(&run->rng, WL_TOKENS);
    bool is_known = run->staged.tokens >> token & 1;
    uint32_t seed = new_seed(run, false);
    size_t bytes = make_text(seed, text);
    vs_status st = vs_kv_put(run->db, run->txn, NULL, key, strlen(key), text, bytes);
    if (st == VS_OK) {
        run->staged.note[WL_TOKEN_NOTE] = seed;
        st = vs_txn_token(run->txn, &token, sizeof token, NULL);
    }
    if (st == VS_OK)
        run->staged.tokens |= 1u << token;
    bool is_right = st == (is_known ? VS_ERR_EXISTS : VS_OK);
    return is_right || is_expected_failure(run, st) ||
           fail(run, "token %d is known: %d, and vs_txn_token returned %s", token, is_known,
                vs_status_name(st));
}

static bool step_commit(wl_run *run) {
    if (!run->txn)
        return true;
    if (run->w->token && chance(run, run->w->token) && !stage_token(run))
        return false;
    int sync = run->w->commit_sync < 0 ? 1 + (int)vt_below(&run->rng, 3) : run->w->commit_sync;
    int state = start_commit(run);
    vs_status st = vs_commit(run->txn, sync);
    run->txn = NULL;
    return end_commit(run, state, st, sync);
}

static bool step_sync(wl_run *run) {
    vs_status st = vs_sync(run->db);
    if (st == VS_OK && !run->is_in_doubt)
        become_durable(run);
    return st == VS_OK || is_expected_failure(run, st) || fail(run, "sync: %s", vs_errmsg(run->db));
}

/* The write transaction that may be open is this thread's own: then there is no checkpoint. */
static bool step_checkpoint(wl_run *run) {
    if (run->txn)
        return true;
    vs_status st = vs_checkpoint(run->db);
    if (st == VS_OK && !run->is_in_doubt)
        become_durable(run);
    if (st == VS_ERR_FULL && !run->expects_failures)
        return fail(run, "a full disk refused a checkpoint: %s", vs_errmsg(run->db));
    return st == VS_OK || is_expected_failure(run, st) ||
           fail(run, "checkpoint: %s", vs_errmsg(run->db));
}

static bool step_maintain(wl_run *run) {
    uint64_t left = 1;
    vs_status st = VS_OK;
    for (int i = 0; !run->txn && st == VS_OK && left && i < 3; i++)
        st = vs_maintain(run->db, 1 + vt_below(&run->rng, 100000), &left);
    return st == VS_OK || is_expected_failure(run, st) ||
           fail(run, "maintain: %s", vs_errmsg(run->db));
}

static bool step_vacuum(wl_run *run) {
    uint64_t left = 1;
    vs_status st = VS_OK;
    for (int i = 0; !run->txn && st == VS_OK && left && i < 3; i++)
        st = vs_vacuum(run->db, vt_below(&run->rng, 2) * vt_below(&run->rng, 60000), &left);
    if (st == VS_OK && !run->txn && !run->is_in_doubt)
        become_durable(run);
    return st == VS_OK || is_expected_failure(run, st) ||
           fail(run, "vacuum: %s", vs_errmsg(run->db));
}

static bool check_held_record(wl_run *run, vs_collection *coll, int c, uint64_t key) {
    const wl_record *record = &run->held_model.record[c][key];
    full_record full;
    vs_record found = VS_RECORD_INIT;
    vs_status st = vs_get(coll, run->held, make_key(key), &found);
    if (st != VS_OK && is_expected_failure(run, st))
        return true;
    bool is_there = run->held_model.exists[c] && record->vector;
    if (st != (is_there ? VS_OK : VS_ERR_NOT_FOUND))
        return fail(run, "get of key %d from a snapshot: %s", (int)key, vs_status_name(st));
    if (!is_there)
        return true;
    make_full(c, key, *record, &full);
    bool is_same = is_full_same(&found, &full), is_payload_same = false;
    if (!is_same)
        return fail(run, "a snapshot shows another record of key %d", (int)key);
    st = compare_payload(coll, run->held, make_key(key), &record->payload, &is_payload_same);
    return is_payload_same || (st != VS_OK && is_expected_failure(run, st)) ||
           fail(run, "a snapshot shows another payload of key %d: %s", (int)key,
                vs_status_name(st));
}

/* As the snapshot has it: it may be dropped, another one of this name created, or renamed. */
static bool check_held_coll(wl_run *run, int c) {
    vs_collection *own = NULL, *coll = run->coll[c];
    if (run->w->drop) {
        vs_status st = vs_collection_open(run->db, run->held,
                                          make_name(c, run->held_model.is_renamed[c]), &own);
        if (st != VS_OK && is_expected_failure(run, st))
            return true;
        if (st != (run->held_model.exists[c] ? VS_OK : VS_ERR_NOT_FOUND))
            return fail(run, "open of %s in a snapshot: %s", shapes[c].name, vs_status_name(st));
        coll = own;
    }
    bool ok = true;
    for (uint64_t key = 0; ok && coll && key < WL_KEYS; key++)
        ok = check_held_record(run, coll, c, key);
    vs_collection_close(own);
    return ok;
}

/* Takes a snapshot; or looks at all of the one taken before, and lets it go. */
static bool step_hold(wl_run *run) {
    if (!run->held) {
        vs_status st = run->is_in_doubt ? VS_OK : vs_begin(run->db, VS_TXN_READ, &run->held);
        run->held_model = run->state[run->acked].model;
        return st == VS_OK || is_expected_failure(run, st) || fail(run, "snapshot: begin failed");
    }
    for (int c = 0; c < WL_COLLS; c++)
        if (!check_held_coll(run, c))
            return false;
    drop_held(run);
    return true;
}

/* A killed program loses nothing that it was told is committed. */
static bool step_kill(wl_run *run) {
    wl_kill(run);
    int acked = run->acked;
    if (!wl_open(run))
        return false;
    if (run->db && run->acked < acked &&
        run->state[run->acked].fingerprint != run->state[acked].fingerprint)
        return fail(run, "a killed program lost an acknowledged commit");
    return true;
}

/* A record read back through vs_get, and the nearest of a vector through vs_search. */
static bool step_read(wl_run *run) {
    int c = 0;
    if (!pick_coll(run, &c))
        return true;
    uint64_t key = pick_key(run);
    const wl_record *record = &run->staged.record[c][key];
    vs_record found = VS_RECORD_INIT;
    vs_status st = vs_get(run->coll[c], run->txn, make_key(key), &found);
    if (st != VS_OK && is_expected_failure(run, st))
        return true;
    if (st != (record->vector ? VS_OK : VS_ERR_NOT_FOUND))
        return fail(run, "get of key %d: %s", (int)key, vs_status_name(st));
    if (!record->vector)
        return true;
    full_record full;
    make_full(c, key, *record, &full);
    if (!is_full_same(&found, &full))
        return fail(run, "get of key %d returned another record", (int)key);
    bool is_same = false;
    st = compare_payload(run->coll[c], run->txn, make_key(key), &record->payload, &is_same);
    if (!is_same && (st == VS_OK || !is_expected_failure(run, st)))
        return fail(run, "key %d has another payload: %s", (int)key, vs_status_name(st));
    vs_hit hit;
    size_t hits = 0;
    st = vs_search(run->coll[c], run->txn, full.vector, 0, 1, NULL, &hit, &hits);
    if (st == VS_OK && (hits != 1 || (shapes[c].metric != VS_IP && hit.distance != 0)))
        return fail(run, "the nearest of a stored vector is not at distance 0");
    return st == VS_OK || is_expected_failure(run, st) || fail(run, "search failed");
}

static bool step_once(wl_run *run) {
    const workload *w = run->w;
    const int weight[] = {w->put,        w->batch,    w->delete, w->note,   w->create, w->begin,
                          w->commit,     w->rollback, w->sync,   w->reopen, w->kill,   w->read,
                          w->checkpoint, w->maintain, w->hold,   w->save,   w->back,   w->release,
                          w->update,     w->payload,  w->drop,   w->copy,   w->vacuum};
    int sum = 0, step = 0;
    for (size_t i = 0; i < sizeof weight / sizeof weight[0]; i++)
        sum += weight[i];
    int at = (int)vt_below(&run->rng, (uint64_t)sum);
    for (; at >= weight[step]; step++)
        at -= weight[step];
    switch (step) {
    case 0:
        return step_put(run);
    case 1:
        return step_batch(run);
    case 2:
        return step_delete(run);
    case 3:
        return run->w->drop && chance(run, 60) ? step_own_note(run) : step_note(run);
    case 4:
        return step_create(run);
    case 5:
        return step_begin(run);
    case 6:
        return step_commit(run);
    case 7:
        if (run->txn)
            drop_txn(run);
        return true;
    case 8:
        return step_sync(run);
    case 9:
        return wl_close(run) && wl_open(run);
    case 10:
        return step_kill(run);
    case 11:
        return step_read(run);
    case 12:
        return step_checkpoint(run);
    case 13:
        return step_maintain(run);
    case 14:
        return step_hold(run);
    case 15:
        return step_save(run);
    case 16:
        return step_end_savepoint(run, true);
    case 17:
        return step_end_savepoint(run, false);
    case 18:
        return step_update(run);
    case 19:
        return step_payload(run);
    case 20:
        return step_drop(run);
    case 21:
        return step_copy(run);
    default:
        return step_vacuum(run);
    }
}

bool wl_steps(wl_run *run, int steps) {
    if (steps <= 0)
        steps = run->w->steps;
    if (run->db && !run->staged.exists[0] && !step_create(run))
        return false;
    for (int i = 0; i < steps && run->db; i++) {
        if (!close_stale_colls(run))
            return false;
        if (run->w->fault)
            sim_set_fault(run->s, run->w->fault,
                          chance(run, 100 / run->w->fault_every) ? 1 + vt_below(&run->rng, 4) : 0,
                          false);
        maybe_stop(run);
        if (!step_once(run))
            return false;
    }
    run->stop_in = 0;
    if (run->w->fault)
        sim_set_fault(run->s, SIM_FAULT_NONE, 0, false);
    if (run->db && run->txn && !step_commit(run))
        return false;
    return close_stale_colls(run);
}
