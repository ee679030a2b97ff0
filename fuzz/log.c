/* log.c - fuzz target: a log file of any content.
 *
 * The first input byte says what is repaired, so that mutations reach behind the checksums:
 *   bit 0  hashes of header and frames    bit 1  with bit 0: LSNs too
 *   bit 2  the database promises that the log is complete up to LSN 3
 * The rest is the log file. Whatever it holds, opening must end in an error of a known kind, or in a
 * database that vs_check finds sound, that takes a commit, and that opens again with the same content. */
#include "logfile.h"
#include "sim.h"
#include "target.h"
#include "vt.h"

static sim *make_disk(const uint8_t *data, size_t size) {
    uint8_t mode = data[0];
    sim_image image = {.count = 2};
    sim_file *base = &image.file[0], *log = &image.file[1];
    log->bytes = size - 1;
    log->data = malloc(log->bytes + 1);
    base->bytes = LF_DATA_BYTES;
    base->data = malloc(base->bytes);
    require(log->data && base->data, "malloc", "");
    memcpy(log->data, data + 1, log->bytes);
    if (mode & 1)
        lf_fix_log(log->data, log->bytes, mode & 2);
    uint8_t uuid[16] = {0};
    uint64_t generation = 1;
    if (log->bytes >= LF_HEADER_BYTES) {
        memcpy(uuid, log->data + 24, sizeof uuid);
        generation = lf_get_u64(log->data + 40) % 8 + 1;
        if (mode & 1) { /* the only log file: nothing before it, first frame 1 */
            lf_put_u64(log->data + 40, generation);
            lf_put_u64(log->data + 56, 0);
            lf_fix_log(log->data, log->bytes, mode & 2);
        }
    }
    lf_make_data(base->data, uuid, generation, mode & 4 ? 3 : 0);
    snprintf(base->path, sizeof base->path, "f.vs");
    snprintf(log->path, sizeof log->path, "f.vs-wal-%d", (int)generation);
    return sim_new(1, &image);
}

static vs_db *open_db(sim *s, vs_status *out_status) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    options.vfs = sim_vfs(s);
    *out_status = vs_open("f.vs", &options, &db);
    return db;
}

/* Reads everything, so that a sanitizer sees it. */
static void read_all(vs_db *db) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    uint64_t sum = 0;
    for (size_t i = 0; vs_collection_at(db, NULL, i, &info) == VS_OK && i < 16; i++) {
        vs_collection *coll = NULL;
        vs_cursor *cursor = NULL;
        vs_hit hits[3];
        size_t n = 0;
        require(vs_collection_open(db, NULL, info.name, &coll) == VS_OK, "open", vs_errmsg(db));
        require(vs_scan(coll, NULL, NULL, &cursor) == VS_OK, "scan", vs_errmsg(coll));
        uint64_t count = 0;
        while (vs_step(cursor) == VS_ROW) {
            vs_record record = VS_RECORD_INIT;
            require(vs_cursor_record(cursor, &record) == VS_OK, "record", vs_errmsg(cursor));
            size_t bytes = vs_vector_bytes(info.type, info.dim);
            for (size_t j = 0; j < bytes; j++)
                sum += ((const uint8_t *)record.vector)[j];
            sum += record.metadata_bytes ? (uint8_t)record.metadata[record.metadata_bytes - 1] : 0;
            if (count++ == 0)
                (void)!vs_search(coll, NULL, record.vector, 0, 3, NULL, hits, &n);
        }
        require(count == info.count, "count", info.name);
        vs_cursor_close(cursor);
        vs_collection_close(coll);
    }
    if (sum == 1)
        fputc('.', stderr); /* so that the reads are not optimised away */
}

static void print_problem(void *ctx, const char *problem) {
    (void)ctx;
    fprintf(stderr, "problem: %s\n", problem);
}

static void check_sound(vs_db *db, uint64_t digest[2]) {
    uint64_t problems = 0;
    vs_stats stats = VS_STATS_INIT;
    require(vs_check(db, 3, print_problem, NULL, &problems) == VS_OK, "check", vs_errmsg(db));
    require(problems == 0, "check", "problems in a database that opened");
    require(vs_stats_get(db, &stats) == VS_OK, "stats", "");
    memcpy(digest, stats.digest, sizeof stats.digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1)
        return 0;
    sim *s = make_disk(data, size);
    vs_status st = VS_OK;
    vs_db *db = open_db(s, &st);
    if (st != VS_OK) {
        require(st == VS_ERR_CORRUPT || st == VS_ERR_TOO_NEW || st == VS_ERR_LOG_MISSING,
                "open failed otherwise", vs_errmsg(db));
        require(vs_errmsg(db)[0], "open failed without a message", "");
        vs_close(db);
        sim_free(s);
        return 0;
    }
    uint64_t before[2], after[2];
    check_sound(db, before);
    read_all(db);
    require(vs_kv_put(db, NULL, NULL, "fuzz", 4, "x", 1) == VS_OK, "commit", vs_errmsg(db));
    check_sound(db, before);
    require(vs_close(db) == VS_OK, "close", "");
    db = open_db(s, &st);
    require(st == VS_OK, "second open", vs_errmsg(db));
    check_sound(db, after);
    require(!memcmp(before, after, sizeof before), "second open", "another content");
    vs_close(db);
    sim_free(s);
    return 0;
}
