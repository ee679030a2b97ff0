/* ahead.c - batches of a source, the next one read while the one before is written.
 *
 *   A1  Two batches go round: the thread fills one, the caller has the other. What belongs to a batch, also the
 *       words of a failure, is in its load, and the thread does not touch a load that the caller has.
 *   A2  Only regular files are read by a thread: it never waits for somebody who writes to a pipe, and so it can
 *       always be ended. What is not, or gets no thread, is read when the caller asks. */
#define _POSIX_C_SOURCE 200809L
#include "ahead.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LOADS = 2, AHEAD_BATCH_BYTES = 32 << 20 };

struct ahead {
    reader *source;
    bool is_strict, has_thread;
    pthread_t thread;
    ahead_load load[LOADS];
    uint64_t taken; /* by the caller; that one is load[(taken - 1) % LOADS] */
    /* what both threads look at, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t filled, released;
    bool is_stopping;
};

/* ---- one batch ------------------------------------------------------------------------------ */

/* Long metadata end a batch before it has all its rows. */
static bool has_room(const batch *b) {
    return b->count < b->room && b->text.bytes < AHEAD_BATCH_BYTES;
}

static void fail(ahead_load *load, const char *why) {
    load->has_failed = true;
    snprintf(load->why, sizeof load->why, "%s", why);
}

static void refuse(ahead *a, ahead_load *load) {
    if (a->is_strict) {
        fail(load, a->source->why);
        return;
    }
    load->refused++;
    buffer_add_string(&load->refusals, a->source->why);
    buffer_add_string(&load->refusals, "\n");
}

static void fill(ahead *a, ahead_load *load) {
    reader *source = a->source;
    int found = READ_ROW;
    batch_clear(&load->batch);
    load->refused = load->refusals.bytes = 0;
    while (!load->has_failed && found != READ_END && has_room(&load->batch)) {
        found = reader_next(source, &load->batch);
        if (found == READ_REFUSED)
            refuse(a, load);
        if (found == READ_BROKEN)
            fail(load, source->why);
    }
    load->is_end = !load->has_failed && reader_at_end(source);
    if (load->is_end && !companions_at_end(&source->companions, source->rows, source->path))
        fail(load, source->companions.why);
    load->rows = source->rows;
    load->part = reader_part(source);
}

/* ---- the thread ----------------------------------------------------------------------------- */

/* Waits for a load that nobody has; false: there will be none. */
static bool wait_for_room(ahead *a) {
    pthread_mutex_lock(&a->lock);
    while (a->filled - a->released == LOADS && !a->is_stopping)
        pthread_cond_wait(&a->changed, &a->lock);
    bool is_stopping = a->is_stopping;
    pthread_mutex_unlock(&a->lock);
    return !is_stopping;
}

static void count_up(ahead *a, uint64_t *count) {
    pthread_mutex_lock(&a->lock);
    ++*count;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static void *read_on(void *ctx) {
    ahead *a = ctx;
    bool is_on = true;
    for (uint64_t i = 0; is_on && wait_for_room(a); i++) {
        ahead_load *load = &a->load[i % LOADS];
        fill(a, load);
        is_on = !load->is_end && !load->has_failed; /* the load is the caller's from here on */
        count_up(a, &a->filled);
    }
    return NULL;
}

/* ---- the caller ----------------------------------------------------------------------------- */

static bool is_file(const char *path) {
    struct stat info;
    return !path || (strcmp(path, "-") && !stat(path, &info) && S_ISREG(info.st_mode));
}

static bool can_wait(const reader *source) {
    const companions *c = &source->companions;
    return !is_file(source->path) || !is_file(c->labels_path) || !is_file(c->keys_path) ||
           !is_file(c->metadata_path);
}

ahead *ahead_start(reader *source, batch *first, bool is_strict) {
    ahead *a = shell_alloc(sizeof *a);
    memset(a, 0, sizeof *a);
    a->source = source;
    a->is_strict = is_strict;
    a->load[0].batch = *first;
    batch_init(first, first->has_keys);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    if (can_wait(source))
        return a;
    batch_init_like(&a->load[1].batch, &a->load[0].batch);
    a->has_thread = !pthread_create(&a->thread, NULL, read_on, a);
    return a;
}

ahead_load *ahead_next(ahead *a) {
    if (!a->has_thread) {
        fill(a, &a->load[0]);
        return &a->load[0];
    }
    if (a->taken)
        count_up(a, &a->released);
    pthread_mutex_lock(&a->lock);
    while (a->filled == a->taken)
        pthread_cond_wait(&a->changed, &a->lock);
    pthread_mutex_unlock(&a->lock);
    return &a->load[a->taken++ % LOADS];
}

void ahead_stop(ahead *a) {
    if (!a)
        return;
    if (a->has_thread) {
        pthread_mutex_lock(&a->lock);
        a->is_stopping = true;
        pthread_cond_broadcast(&a->changed);
        pthread_mutex_unlock(&a->lock);
        pthread_join(a->thread, NULL);
    }
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    for (int i = 0; i < LOADS; i++) {
        batch_free(&a->load[i].batch);
        buffer_free(&a->load[i].refusals);
    }
    free(a);
}
