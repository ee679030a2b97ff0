/* search.c - search of the public interface. */
#include "api/cursor.h"

enum { SEARCH_BREATH_HITS = 128 };

/* One call, and what it asks. */
typedef struct search {
    vsi_reading r;
    vsi_watch watch;
    vsi_exact_ask ask;
    const vsi_field *field; /* that is searched */
    uint32_t timeout_ms;
    vs_search_info *info; /* the caller's, or NULL */
    vsi_atomic_u64 scored;
} search;

/* Field and deadline as the caller wants them. */
static vs_status search_options(vsi_err *err, const vs_search_options *options, search *s) {
    vs_search_options all = VS_SEARCH_OPTIONS_INIT;
    vs_status st = VS_OK;
    if (options)
        st = vsi_struct_read(err, "vs_search_options", options, &all, sizeof all);
    if (st == VS_OK && all.info)
        st = vsi_struct_check(err, "vs_search_info", all.info);
    if (st == VS_OK)
        st = vsi_record_check_field(err, &s->r.coll, all.field);
    if (st != VS_OK)
        return st;
    s->info = all.info;
    s->ask.field = all.field;
    s->field = &s->r.coll.desc->field[all.field];
    s->timeout_ms = all.timeout_ms;
    vsi_watch_limit(&s->watch, all.timeout_ms);
    vsi_watch_count(&s->watch, VSI_EXACT_STEPS, s->r.coll.count);
    return VS_OK;
}

/* Whatever is returned, vsi_reading_close follows. */
static vs_status search_open(vsi_err *err, vs_collection *collection, vs_txn *txn,
                             const vs_search_options *options, search *out) {
    out->watch = vsi_watch_begin(&collection->head.db->watcher);
    out->ask = (vsi_exact_ask){.kernels = collection->head.db->kernels,
                               .descs = &collection->head.db->engine->descs,
                               .excluded = VSI_SLOT_NONE,
                               .watch = &out->watch};
    out->info = NULL;
    vsi_atomic_set(&out->scored, 0);
    collection->keys.bytes = 0;
    vs_status st = vsi_reading_open(err, collection, txn, &out->r);
    return st == VS_OK ? search_options(err, options, out) : st;
}

/* The query in the field's type and the machine's byte order, in out; scratch has room for another one. */
static vs_status query_convert(vsi_err *err, const vsi_field *field, const void *query,
                               int query_type, uint8_t *scratch, uint8_t *out) {
    const uint8_t *converted = NULL;
    vs_status st = vsi_record_vector(err, field, query, query_type, scratch, &converted);
    if (st != VS_OK)
        return vsi_fail_in(err, "query");
    vsi_copy_le(out, converted, field->vector_bytes / field->element_bytes, field->element_bytes);
    return VS_OK;
}

/* Room for a query in the handle's buffer, for one before its bytes are in order, and for what a scan wants. */
static vs_status search_reserve(vsi_err *err, search *s) {
    vsi_buf *scratch = &s->r.collection->scratch;
    size_t front = vsi_whole_lines(2 * (size_t)s->field->vector_bytes);
    s->ask.memory_bytes = vsi_exact_bytes(&s->r.coll, &s->ask, 1);
    scratch->bytes = 0;
    if (!vsi_buf_reserve(scratch, front + s->ask.memory_bytes))
        return vsi_fail_nomem(err, front + s->ask.memory_bytes);
    s->ask.memory = scratch->data + front;
    return VS_OK;
}

/* The query, there. */
static vs_status search_prepare(vsi_err *err, search *s, const void *query, int query_type) {
    vs_status st = search_reserve(err, s);
    uint8_t *out = s->r.collection->scratch.data;
    return st == VS_OK
               ? query_convert(err, s->field, query, query_type, out + s->field->vector_bytes, out)
               : st;
}

/* The keys of hits that are no numbers: their bytes go into the handle's buffer, where hits_point finds
 * them when all are there. */
static vs_status hits_settle(vsi_err *err, search *s, vs_hit *hits, size_t count) {
    vsi_buf *buf = &s->r.collection->keys;
    for (size_t i = 0; i < count; i++) {
        vs_key *key = &hits[i].key, found = {0};
        if (key->kind == VS_KEY_U64)
            continue;
        if (i % SEARCH_BREATH_HITS == 0) {
            vs_status halted = vsi_watch_step(err, &s->watch, 0);
            vsi_budget_breathe(&s->r.db->engine->pager, s->ask.descs, &s->r.view.stay);
            if (halted != VS_OK)
                return halted;
        }
        vsi_cell cell = {.kind = key->kind, .space = key->space};
        vs_status st = vsi_coll_key(err, &s->r.coll, (uint32_t)key->number, &cell, &found);
        if (st != VS_OK)
            return st;
        key->number = buf->bytes;
        key->bytes = found.bytes;
        if (!vsi_buf_append(buf, found.data, found.bytes))
            return vsi_fail_nomem(err, found.bytes);
    }
    return VS_OK;
}

static void hits_point(const vs_collection *collection, vs_hit *hits, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (hits[i].key.kind != VS_KEY_U64) {
            hits[i].key.data = collection->keys.data + hits[i].key.number;
            hits[i].key.number = 0;
        }
}

/* Asks what is in the handle's buffer; hits come out sorted, their keys as hits_settle leaves them. */
static vs_status search_run(vsi_err *err, search *s, vsi_topk *topk) {
    vsi_exact_query query = {.vector = s->r.collection->scratch.data, .topk = *topk};
    vs_status st = vsi_exact_scan(err, &s->r.coll, &s->ask, &query, 1, &s->r.view.stay);
    *topk = query.topk;
    vsi_atomic_add(&s->scored, query.scored);
    return st == VS_OK ? hits_settle(err, s, topk->hits, topk->count) : st;
}

/* Ends a search. */
static vs_status search_end(vsi_err *err, search *s, vs_status st) {
    if (st == VS_OK && s->info) {
        vs_search_info info = {.size = s->info->size,
                               .rows = s->watch.progress.done,
                               .scored = vsi_atomic_load(&s->scored)};
        vsi_struct_write(&info, sizeof info, s->info);
    }
    return vsi_reading_close(&s->r, st, err);
}

/* One that found what topk has. */
static vs_status search_close(vsi_err *err, search *s, vs_status st, const vsi_topk *topk,
                              size_t *out_count) {
    if (st == VS_OK) {
        hits_point(s->r.collection, topk->hits, topk->count);
        *out_count = topk->count;
    }
    return search_end(err, s, st);
}

static vs_status search_check_k(vsi_err *err, size_t k) {
    return k ? VS_OK : vsi_fail(err, VS_ERR_INVALID, "k is 0, expected 1 or more");
}

/* The row of a key that must be there, as long as the call stays where it is. */
static vs_status search_row(vsi_err *err, search *s, vs_key key, uint32_t *out_slot,
                            const uint8_t **out_row) {
    bool has = false;
    vs_status st = vsi_record_find(err, s->r.collection, &s->r.coll, key, out_slot);
    if (st == VS_OK)
        st = vsi_coll_has(err, &s->r.coll, s->ask.field, *out_slot, &has);
    if (st == VS_OK && !has)
        return vsi_record_no_vector(err, &s->r.coll, s->ask.field, key);
    return st == VS_OK ? vsi_coll_row(err, &s->r.coll, s->ask.field, *out_slot, out_row) : st;
}

/* A stored vector as the query; its record is no hit. */
static vs_status search_prepare_key(vsi_err *err, search *s, vs_key key) {
    const uint8_t *row = NULL;
    vs_status st = search_reserve(err, s);
    if (st == VS_OK)
        st = search_row(err, s, key, &s->ask.excluded, &row);
    if (st == VS_OK)
        memcpy(s->r.collection->scratch.data, row, s->field->vector_bytes);
    return st;
}

vs_status vs_search(vs_collection *collection, vs_txn *txn, const void *query, int query_type,
                    size_t k, const vs_search_options *options, vs_hit *hits, size_t *out_count) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, query && hits && out_count,
                              "query, hits or out_count") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_search");
    vsi_err err = {0};
    search s;
    vsi_topk topk = {.hits = hits, .k = k};
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK)
        st = search_check_k(&err, k);
    if (st == VS_OK)
        st = search_prepare(&err, &s, query, query_type);
    if (st == VS_OK)
        st = search_run(&err, &s, &topk);
    return vsi_trace_end(&trace, search_close(&err, &s, st, &topk, out_count), topk.count);
}

/* ---- many queries --------------------------------------------------------------------------- */

enum {
    /* Threads take so many pieces of a batch at most: enough for any number of them, and each has memory of its
     * own. A large batch is cut into pieces that are worth sharing a pass. */
    BATCH_PIECES_MAX = 256,
    BATCH_PIECE = VSI_TILE_QUERIES,
    BATCH_LARGE = 2 * VSI_TILE_QUERIES,
    /* Queries of one pass over the rows, and what they may take of memory. */
    BATCH_PASS = 8 * VSI_TILE_QUERIES,
    BATCH_PASS_BYTES = 8 << 20
};

/* In place of a number of hits. */
#define BATCH_NOT_RUN SIZE_MAX

/* Many queries, in pieces. */
typedef struct search_batch {
    search *s;
    const uint8_t *queries;
    int query_type;
    size_t stride, count, k;
    vs_hit *hits;       /* [count x k] */
    size_t *out_counts; /* [count] */

    /* for the host's threads */
    size_t piece; /* queries of each but the last */
    vsi_watch_team team;
    vsi_atomic_u64 failed_at; /* from this query on none counts any more. Changed under db->lock */
    vs_status st;             /* its failure, or what ends all of them */
    vsi_err err;
} search_batch;

static vs_status batch_check(vsi_err *err, search_batch *b) {
    const vsi_field *field = b->s->field;
    size_t bytes = vsi_vector_bytes(b->query_type ? b->query_type : field->type, field->dim);
    b->stride = b->stride ? b->stride : bytes;
    if (b->stride < bytes)
        return vsi_fail(err, VS_ERR_INVALID, "stride is %zu bytes, a query has %zu", b->stride,
                        bytes);
    if (b->k && b->count > SIZE_MAX / sizeof(vs_hit) / b->k)
        return vsi_fail(err, VS_ERR_LIMIT, "%zu queries of %zu hits are more than memory has",
                        b->count, b->k);
    vsi_watch_count(&b->s->watch, VSI_EXACT_STEPS, b->s->r.coll.count * b->count);
    return search_check_k(err, b->k);
}

/* Some of the queries, and memory for them: structs, vectors, one more vector, what the scan wants. */
typedef struct batch_pass {
    size_t first, count;
    vsi_exact_query *queries;
    uint8_t *vectors, *scratch;
    void *memory;
    size_t memory_bytes;
} batch_pass;

/* How many queries a pass takes. */
static size_t batch_pass_most(const vsi_field *field) {
    size_t most =
        BATCH_PASS_BYTES / (4 * (size_t)field->dim + field->vector_bytes + vsi_score_bytes(field));
    return most < 1 ? 1 : most < BATCH_PASS ? most : BATCH_PASS;
}

static vs_status batch_pass_reserve(vsi_err *err, const search *s, vsi_buf *buf, batch_pass *pass) {
    const vsi_field *field = s->field;
    size_t structs = vsi_whole_lines(pass->count * sizeof *pass->queries);
    size_t vectors = vsi_whole_lines(field->vector_bytes) * pass->count;
    pass->memory_bytes = vsi_exact_bytes(&s->r.coll, &s->ask, pass->count);
    size_t bytes = structs + vectors + vsi_whole_lines(field->vector_bytes) + pass->memory_bytes;
    buf->bytes = 0;
    if (!vsi_buf_reserve(buf, bytes))
        return vsi_fail_nomem(err, bytes);
    pass->queries = (vsi_exact_query *)(void *)buf->data;
    pass->vectors = buf->data + structs;
    pass->scratch = pass->vectors + vectors;
    pass->memory = pass->scratch + vsi_whole_lines(field->vector_bytes);
    return VS_OK;
}

/* The hits of some queries, whose keys are those of slots where they are no numbers. out_failed: which query is at
 * fault, or the first. */
static vs_status batch_scan(vsi_err *err, const search_batch *b, batch_pass *pass, vsi_watch *watch,
                            vsi_buf *buf, vsi_stay *stay, size_t *out_failed) {
    search *s = b->s;
    vsi_exact_ask ask = s->ask;
    ask.watch = watch;
    *out_failed = pass->first;
    vs_status st = batch_pass_reserve(err, s, buf, pass);
    for (size_t i = 0; st == VS_OK && i < pass->count; i++) {
        const size_t at = pass->first + i;
        uint8_t *vector = pass->vectors + i * vsi_whole_lines(s->field->vector_bytes);
        pass->queries[i] =
            (vsi_exact_query){.vector = vector, .topk = {.hits = b->hits + at * b->k, .k = b->k}};
        *out_failed = at;
        st = query_convert(err, s->field, b->queries + at * b->stride, b->query_type, pass->scratch,
                           vector);
        if (st != VS_OK)
            return vsi_fail_in(err, "row %zu of %zu", at, b->count);
    }
    *out_failed = pass->first;
    ask.memory = pass->memory;
    ask.memory_bytes = pass->memory_bytes;
    if (st == VS_OK)
        st = vsi_exact_scan(err, &s->r.coll, &ask, pass->queries, pass->count, stay);
    for (size_t i = 0; st == VS_OK && i < pass->count; i++) {
        b->out_counts[pass->first + i] = pass->queries[i].topk.count;
        vsi_atomic_add(&s->scored, pass->queries[i].scored);
    }
    return st;
}

/* The next queries of those before end. */
static batch_pass batch_next(const search_batch *b, size_t first, size_t end) {
    size_t most = batch_pass_most(b->s->field);
    return (batch_pass){.first = first, .count = end - first < most ? end - first : most};
}

static vs_status batch_run_serial(vsi_err *err, search_batch *b) {
    search *s = b->s;
    vs_status st = VS_OK;
    size_t failed = 0;
    for (size_t i = 0; st == VS_OK && i < b->count;) {
        batch_pass pass = batch_next(b, i, b->count);
        st = batch_scan(err, b, &pass, &s->watch, &s->r.collection->scratch, &s->r.view.stay,
                        &failed);
        i += pass.count;
    }
    return st;
}

/* Of failures that a query has by itself the first one counts, as if there were one thread; the others end all. */
static void batch_fail(search_batch *b, size_t i, vs_status st, const vsi_err *err) {
    vs_db *db = b->s->r.db;
    bool ends_all = st == VS_ERR_INTERRUPTED || st == VS_ERR_TIMEOUT;
    vsi_mutex_lock(&db->lock);
    bool has_ended = vsi_atomic_load(&b->team.has_ended);
    if (!has_ended && (ends_all || i < vsi_atomic_load(&b->failed_at))) {
        vsi_atomic_set(&b->team.has_ended, ends_all);
        vsi_atomic_set(&b->failed_at, ends_all ? 0 : i);
        b->st = st;
        b->err = *err;
    }
    vsi_mutex_unlock(&db->lock);
}

/* Called by the host's threads: a piece of the queries, as far as none in front of them has failed. */
static void batch_body(void *ctx, size_t at) {
    search_batch *b = ctx;
    vsi_reside *reside = &b->s->r.db->engine->pager.reside;
    vsi_buf scratch = {.mem = &b->s->r.db->mem};
    vsi_watch watch = b->s->watch;
    size_t i = at * b->piece, end = i + b->piece < b->count ? i + b->piece : b->count;
    if (at > (b->count - 1) / b->piece)
        return; /* there is no such piece */
    watch.team = &b->team;
    vsi_stay stay = vsi_stay_enter(reside);
    while (i < end && i < vsi_atomic_load(&b->failed_at)) {
        vsi_err err = {0};
        size_t failed = 0;
        batch_pass pass = batch_next(b, i, end);
        vs_status st = batch_scan(&err, b, &pass, &watch, &scratch, &stay, &failed);
        if (st != VS_OK)
            batch_fail(b, failed, st, &err);
        i += pass.count;
    }
    vsi_stay_leave(reside, stay);
    vsi_buf_free(&scratch);
}

/* The threads stay for themselves; this one does not, so that what they let go can leave memory. */
static vs_status batch_run_parallel(vsi_err *err, search_batch *b) {
    vs_db *db = b->s->r.db;
    vsi_reside *reside = &db->engine->pager.reside;
    b->piece = (b->count - 1) / BATCH_PIECES_MAX + 1;
    if (b->count >= BATCH_LARGE && b->piece < BATCH_PIECE)
        b->piece = BATCH_PIECE;
    size_t pieces = (b->count - 1) / b->piece + 1;
    vsi_atomic_set(&b->failed_at, b->count);
    for (size_t i = 0; i < b->count; i++)
        b->out_counts[i] = BATCH_NOT_RUN;
    vsi_stay_leave(reside, b->s->r.view.stay);
    db->parallel_for(db->parallel_ctx, pieces, batch_body, b);
    b->s->r.view.stay = vsi_stay_enter(reside);
    b->s->watch.progress.done = vsi_atomic_load(&b->team.done);
    if (b->st != VS_OK)
        *err = b->err;
    for (size_t i = 0; b->st == VS_OK && i < b->count; i++)
        if (b->out_counts[i] == BATCH_NOT_RUN)
            return vsi_fail(err, VS_ERR_MISUSE, "row %zu of %zu: parallel_for left it out", i,
                            b->count);
    return b->st;
}

static vs_status batch_run(vsi_err *err, search_batch *b) {
    vs_status st = b->s->r.db->parallel_for && b->count > 1 ? batch_run_parallel(err, b)
                                                            : batch_run_serial(err, b);
    for (size_t i = 0; st == VS_OK && i < b->count; i++) {
        st = hits_settle(err, b->s, b->hits + i * b->k, b->out_counts[i]);
        if (st != VS_OK)
            vsi_fail_in(err, "row %zu of %zu", i, b->count);
    }
    for (size_t i = 0; st == VS_OK && i < b->count; i++)
        hits_point(b->s->r.collection, b->hits + i * b->k, b->out_counts[i]);
    return st;
}

vs_status vs_search_batch(vs_collection *collection, vs_txn *txn, const void *queries,
                          int query_type, size_t stride_bytes, size_t count, size_t k,
                          const vs_search_options *options, vs_hit *hits, size_t *out_counts) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION,
                              !count || (queries && hits && out_counts),
                              "queries, hits or out_counts") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_search_batch");
    uint64_t total = 0;
    vsi_err err = {0};
    search s;
    search_batch batch = {.s = &s,
                          .queries = queries,
                          .query_type = query_type,
                          .stride = stride_bytes,
                          .count = count,
                          .k = k,
                          .hits = hits,
                          .out_counts = out_counts};
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK)
        st = batch_check(&err, &batch);
    if (st == VS_OK)
        st = batch_run(&err, &batch);
    for (size_t i = 0; st == VS_OK && i < count; i++)
        total += out_counts[i];
    return vsi_trace_end(&trace, search_end(&err, &s, st), total);
}

/* ---- a radius, a record, a distance --------------------------------------------------------- */

vs_status vs_search_radius(vs_collection *collection, vs_txn *txn, const void *query,
                           int query_type, double radius, const vs_search_options *options,
                           size_t room, vs_hit *hits, size_t *out_count, uint64_t *out_total) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, query && (hits || !room) && out_count,
                              "query, hits or out_count") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_search_radius");
    vsi_err err = {0};
    search s;
    vsi_topk topk = {.hits = hits, .k = room, .has_radius = true, .radius = radius};
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK && isnan(radius))
        st = vsi_fail(&err, VS_ERR_INVALID, "radius is no number");
    if (st == VS_OK)
        st = search_prepare(&err, &s, query, query_type);
    if (st == VS_OK)
        st = search_run(&err, &s, &topk);
    if (st == VS_OK && out_total)
        *out_total = topk.within;
    return vsi_trace_end(&trace, search_close(&err, &s, st, &topk, out_count), topk.count);
}

vs_status vs_search_key(vs_collection *collection, vs_txn *txn, vs_key key, size_t k,
                        const vs_search_options *options, vs_hit *hits, size_t *out_count) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, hits && out_count,
                              "hits or out_count") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_search_key");
    vsi_err err = {0};
    search s;
    vsi_topk topk = {.hits = hits, .k = k};
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK)
        st = search_check_k(&err, k);
    if (st == VS_OK)
        st = search_prepare_key(&err, &s, key);
    if (st == VS_OK)
        st = search_run(&err, &s, &topk);
    return vsi_trace_end(&trace, search_close(&err, &s, st, &topk, out_count), topk.count);
}

vs_status vs_distance(vs_collection *collection, vs_txn *txn, vs_key key, vs_key other,
                      const vs_search_options *options, double *out_distance) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, out_distance, "out_distance") !=
        VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_distance");
    vsi_err err = {0};
    search s;
    const uint8_t *row = NULL;
    uint32_t slot = 0;
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK)
        st = search_prepare_key(&err, &s, key);
    if (st == VS_OK)
        st = search_row(&err, &s, other, &slot, &row);
    if (st == VS_OK)
        *out_distance = vsi_exact_distance(&s.ask, s.field, collection->scratch.data, row);
    return vsi_trace_end(&trace, vsi_reading_close(&s.r, st, &err), 2);
}

/* ---- going on ------------------------------------------------------------------------------- */

vs_status vs_search_open(vs_collection *collection, vs_txn *txn, const void *query, int query_type,
                         const vs_search_options *options, vs_cursor **out_cursor) {
    if (vsi_handle_check_call(collection, VSI_TAG_COLLECTION, query && out_cursor,
                              "query or out_cursor") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(collection, "vs_search_open");
    vsi_err err = {0};
    search s;
    vs_status st = search_open(&err, collection, txn, options, &s);
    if (st == VS_OK)
        st = search_prepare(&err, &s, query, query_type);
    if (st == VS_OK)
        st = vsi_cursor_search(&err, collection, txn, s.ask.field, s.timeout_ms, out_cursor);
    return vsi_trace_end(&trace, vsi_reading_close(&s.r, st, &err), 0);
}
