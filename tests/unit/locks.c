/* locks.c - a system that has no more locks: whatever cannot be made is reported, and what was made before
 * is given back. This program has its own way to make locks; the library calls nothing else. */
#include "os/memory.h"
#include "store/checkpoint.h"
#include "store/open.h"
#include "store/write.h"
#include "vt.h"

#if VS_THREADSAFE && defined(__linux__)

static struct {
    uint64_t calls, fail_at; /* the call that fails, from 1; 0: none */
    int64_t live;            /* made and not destroyed */
} locks;

static bool fails(void) {
    bool now = ++locks.calls == locks.fail_at;
    locks.live += !now;
    return now;
}

int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr) {
    static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
    VT_CHECK(!attr);
    if (fails())
        return ENOMEM;
    *mutex = fresh;
    return 0;
}

int pthread_mutex_destroy(pthread_mutex_t *mutex) {
    memset(mutex, 0xee, sizeof *mutex);
    locks.live--;
    return 0;
}

int pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr) {
    static const pthread_cond_t fresh = PTHREAD_COND_INITIALIZER;
    (void)attr; /* which clock: nobody waits here */
    if (fails())
        return ENOMEM;
    *cond = fresh;
    return 0;
}

int pthread_cond_destroy(pthread_cond_t *cond) {
    memset(cond, 0xee, sizeof *cond);
    locks.live--;
    return 0;
}

typedef struct fixture {
    vt_allocator allocator;
    vsi_mem mem;
    vs_vfs *memory;
    vsi_engine_config config;
    vsi_engine *engine;
    vsi_err err;
} fixture;

static void begin(fixture *f) {
    memset(f, 0, sizeof *f);
    vsi_mem_init(&f->mem, &(vs_allocator){&f->allocator, vt_realloc});
    VT_EQ(vsi_memory_vfs_create(NULL, &f->memory), VS_OK);
    memset(&locks, 0, sizeof locks);
    f->config = (vsi_engine_config){.mem = &f->mem,
                                    .vfs = f->memory,
                                    .path = "t.vs",
                                    .may_create = true,
                                    .sync = VS_SYNC_FULL,
                                    .busy_timeout_ms = 1000};
}

static void end(fixture *f) {
    VT_EQ(locks.live, 0);
    VT_EQ(f->allocator.live_blocks, 0);
    memset(&locks, 0, sizeof locks);
    vsi_memory_vfs_destroy(f->memory);
}

/* Opens with each lock in turn missing. */
VT_TEST(a_lock_that_cannot_be_made_is_reported_and_the_others_go) {
    fixture f;
    uint64_t failed = 0;
    begin(&f);
    for (uint64_t at = 1;; at++) {
        locks.calls = 0;
        locks.fail_at = at;
        int64_t live = locks.live;
        vs_status st = vsi_engine_open(&f.err, &f.config, &f.engine);
        locks.fail_at = 0;
        VT_EQ(st, locks.calls >= at ? VS_ERR_NOMEM : VS_OK);
        if (st == VS_OK)
            break;
        VT_CHECK(!f.engine && f.err.text[0]);
        VT_EQ(locks.live, live);
        VT_EQ(f.allocator.live_blocks, 0);
        failed++;
    }
    VT_CHECK(failed >= 8);
    VT_EQ(vsi_engine_close(&f.err, f.engine, false), VS_OK);
    end(&f);
}

static void commit_collection(fixture *f, const char *name) {
    vsi_write write;
    vsi_statement statement;
    vsi_op op = {.kind = VSI_OP_CREATE,
                 .field_count = 1,
                 .field[0].name = {(const uint8_t *)"vector", 6},
                 .field[0].dim = 4,
                 .field[0].type = VS_U8,
                 .field[0].metric = VS_L2,
                 .name = {(const uint8_t *)name, strlen(name)}};
    VT_EQ(vsi_write_begin(&f->err, f->engine, &write), VS_OK);
    VT_EQ(vsi_statement_begin(&f->err, &write, &statement), VS_OK);
    VT_EQ(vsi_write_take_coll(&f->err, &write, &op.coll), VS_OK);
    VT_EQ(vsi_statement_apply(&f->err, &write, &op), VS_OK);
    vsi_statement_keep(&write, &statement);
    VT_EQ(vsi_write_commit(&f->err, &write, VS_SYNC_FULL), VS_OK);
}

/* Opening that goes back to the checkpoint before makes a lock anew. */
VT_TEST(going_back_without_a_lock_is_reported) {
    fixture f;
    static const uint8_t noise[8] = {1};
    uint64_t failed = 0;
    begin(&f);
    VT_EQ(vsi_engine_open(&f.err, &f.config, &f.engine), VS_OK);
    commit_collection(&f, "one");
    VT_EQ(vsi_checkpoint(&f.err, f.engine, false), VS_OK);
    commit_collection(&f, "two");
    VT_EQ(vsi_checkpoint(&f.err, f.engine, false), VS_OK);
    uint64_t page = vsi_ref_page(f.engine->metas.newest.checkpoint.catalog);
    VT_EQ(vsi_file_write(&f.err, &f.engine->data, noise, sizeof noise, page * VSI_PAGE_BYTES + 40),
          VS_OK);
    VT_EQ(vsi_engine_close(&f.err, f.engine, true), VS_OK);
    for (uint64_t at = 1;; at++, failed++) {
        locks.calls = 0;
        locks.fail_at = at;
        vs_status st = vsi_engine_open(&f.err, &f.config, &f.engine);
        locks.fail_at = 0;
        VT_EQ(st, locks.calls >= at ? VS_ERR_NOMEM : VS_OK);
        if (st == VS_OK)
            break;
        VT_EQ(locks.live, 0);
        VT_EQ(f.allocator.live_blocks, 0);
    }
    VT_CHECK(failed >= 9 && f.engine->has_gone_back);
    VT_EQ(vsi_engine_close(&f.err, f.engine, false), VS_OK);
    end(&f);
}

#endif
