/* file.c - fuzz target: a database file of any content behind its checksums.
 *
 *   byte 0   bit 0: hashes in references are repaired; bit 1: sums of meta pages are; bit 2: the file is
 *            opened once for reading first
 *   byte 1   zero
 *   2 to 65  eight edits of eight bytes, see edit_apply
 *   66 on    the files: u8 number of the log or 0 for the data file, u16 pages, and of each page u16 its
 *            number, u16 bytes at its front, u16 bytes at its back, and those; between them are zeros
 *
 * The edits are applied, and what stands in references and meta pages is computed again from the leaves
 * up, so that the library has to believe its own hashes. Whatever comes of it, no call may do more than
 * fail. A database in which vs_check finds nothing but the digest must give answers that agree with each
 * other, take changes, and show them after it was closed and opened again. */
#include "logfile.h"
#include "target.h"
#include "vt.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    PAGE = 4096,
    META_B = 16, /* page numbers */
    FIRST_EXTENT = 32,
    PAGES_MAX = 256,
    LOG_PAGES_MAX = 16,
    HEAD_BYTES = 66,
    EDITS = 8,
    REF_BYTES = 24,
    NODE = 1,
    HASHED_MAX = 16 << 20,
    HITS_MAX = 600,
    COLLECTIONS_MAX = 6
};

enum { FIXES_REFS = 1, FIXES_METAS = 2, READS_FIRST = 4 };

/* The data file, and what the fix-up knows of it. */
typedef struct database {
    uint8_t *bytes;
    size_t pages;
    uint16_t known[PAGES_MAX]; /* the extent pages that the input names, for edits to choose from */
    size_t known_count;
    uint8_t seen[PAGES_MAX]; /* the nodes whose references were repaired */
    size_t hashed;
} database;

/* ---- nodes, as docs/FORMAT.md has them -------------------------------------------------------- */

static uint32_t get_u16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

typedef struct entry {
    uint8_t *at; /* its lengths */
    uint8_t *key, *value, *refs;
    uint32_t key_bytes, value_bytes, ref_count;
} entry;

/* Entry number i of a page; false when it does not lie inside. */
static bool entry_at(uint8_t *page, uint32_t i, entry *out) {
    uint32_t count = get_u16(page + 2);
    if (i >= count || 16 + 2 * (i + 1) > PAGE)
        return false;
    uint32_t off = get_u16(page + 16 + 2 * i);
    if (off > PAGE - 4)
        return false;
    uint8_t *p = page + off;
    *out = (entry){.at = p, .key_bytes = get_u16(p), .ref_count = get_u16(p + 2) >> 12};
    out->value_bytes = get_u16(p + 2) & 0xfff;
    out->key = p + 4;
    if (out->key_bytes + out->value_bytes + out->ref_count * REF_BYTES > PAGE - 4 - off)
        return false;
    out->value = out->key + out->key_bytes;
    out->refs = out->value + out->value_bytes;
    return true;
}

/* ---- edits ------------------------------------------------------------------------------------ */

/* Bytes of the file to change. */
typedef struct place {
    uint8_t *at;
    size_t bytes; /* 0: there is no such place */
} place;

static uint8_t *known_page(database *d, uint32_t at) {
    return d->known_count ? d->bytes + (size_t)PAGE * d->known[at % d->known_count] : NULL;
}

static place part_of(uint8_t *data, size_t bytes, uint32_t at, uint32_t width) {
    if (!bytes)
        return (place){NULL, 0};
    at %= (uint32_t)bytes;
    size_t wanted = (size_t)1 << (width & 3);
    return (place){data + at, wanted < bytes - at ? wanted : bytes - at};
}

enum {
    EDIT_NONE,
    EDIT_META,
    EDIT_HEADER,
    EDIT_OFFSET,
    EDIT_LENGTHS,
    EDIT_KEY,
    EDIT_VALUE,
    EDIT_REF,
    EDIT_ANY,
    EDIT_PLACES, /* the others are no places */
    EDIT_COPY_REF = EDIT_PLACES,
    EDIT_COPY_PAGE,
    EDIT_COPY_ENTRY,
    EDIT_CUT,
    EDIT_BLOB,
    EDIT_KINDS
};

static place entry_place(const uint8_t *e, uint8_t *page) {
    entry found;
    uint32_t count = get_u16(page + 2);
    if (!count || !entry_at(page, e[2] % count, &found))
        return (place){NULL, 0};
    switch (e[0] % EDIT_KINDS) {
    case EDIT_LENGTHS:
        return (place){found.at + (e[3] & 1) * 2, 2};
    case EDIT_KEY:
        return part_of(found.key, found.key_bytes, e[3], e[4]);
    case EDIT_VALUE:
        return part_of(found.value, found.value_bytes, e[3], e[4]);
    default:
        return part_of(found.refs, found.ref_count * REF_BYTES, e[3], e[4]);
    }
}

static place edit_place(database *d, const uint8_t *e) {
    static const place none = {NULL, 0};
    uint8_t *page = known_page(d, e[1]);
    uint32_t count = page ? get_u16(page + 2) : 0;
    switch (e[0] % EDIT_KINDS) {
    case EDIT_META: /* up to the end of the second checkpoint */
        return part_of(d->bytes + (size_t)(e[1] & 1) * META_B * PAGE, 368, e[2] * 8u + (e[3] & 7),
                       e[4]);
    case EDIT_HEADER:
        return page ? (place){page + (e[2] & 3) * 2, 2} : none;
    case EDIT_OFFSET:
        return page && count ? part_of(page, PAGE, 16 + 2 * (e[2] % count), 1) : none;
    case EDIT_ANY:
        return page ? part_of(page, PAGE, e[2] * 16u + e[3], e[4]) : none;
    default:
        return page ? entry_place(e, page) : none;
    }
}

static void change(place p, uint32_t how, uint32_t operand) {
    uint64_t value = 0;
    for (size_t i = 0; i < p.bytes; i++)
        value |= (uint64_t)p.at[i] << 8 * i;
    switch (how % 6) {
    case 0:
        value = operand;
        break;
    case 1:
        value += (uint64_t)(int64_t)(int16_t)operand;
        break;
    case 2:
        value = UINT64_MAX - operand;
        break;
    case 3:
        value = (uint64_t)1 << (operand & 63);
        break;
    case 4:
        value ^= operand;
        break;
    default:
        value = (uint64_t)operand << 16;
    }
    for (size_t i = 0; i < p.bytes; i++)
        p.at[i] = (uint8_t)(value >> 8 * i);
}

/* One entry's reference takes another's place, or a whole entry that fits. */
static void copy_entry(database *d, const uint8_t *e) {
    uint8_t *to_page = known_page(d, e[1]), *from_page = known_page(d, e[4]);
    entry to, from;
    if (!to_page || !entry_at(to_page, e[2], &to) || !entry_at(from_page, e[5], &from))
        return;
    if (e[0] % EDIT_KINDS == EDIT_COPY_REF) {
        if (to.ref_count && from.ref_count)
            memmove(to.refs + e[3] % to.ref_count * REF_BYTES,
                    from.refs + e[6] % from.ref_count * REF_BYTES, REF_BYTES);
        return;
    }
    size_t room = 4 + to.key_bytes + to.value_bytes + to.ref_count * REF_BYTES;
    size_t needed = 4 + from.key_bytes + from.value_bytes + from.ref_count * REF_BYTES;
    if (needed <= room)
        memmove(to.at, from.at, needed);
}

/* The size of a large value: in its entry, and in its blob, which must agree; of one that is not compressed
 * the bytes stored are as many. */
static void resize_blob(database *d, const uint8_t *e) {
    uint8_t *page = known_page(d, e[1]);
    entry found;
    if (!page || !entry_at(page, e[2], &found) || found.value_bytes < 4 || !found.ref_count)
        return;
    uint64_t blob = lf_get_u64(found.refs) & (((uint64_t)1 << 40) - 1);
    uint32_t size = get_u16(e + 6) << (e[5] & 15);
    if (blob < FIRST_EXTENT || blob >= d->pages)
        return;
    lf_put_u32(found.value, size);
    lf_put_u32(d->bytes + (size_t)blob * PAGE, size);
    if (!found.refs[13])
        lf_put_u32(d->bytes + (size_t)blob * PAGE + 4, size);
}

/* Bytes: kind, page, entry, place in it, width, how to change it, u16 operand; kinds that copy have the
 * other page and entry behind. */
static void edit_apply(database *d, const uint8_t *e) {
    uint32_t kind = e[0] % EDIT_KINDS;
    if (kind > EDIT_NONE && kind < EDIT_PLACES) {
        change(edit_place(d, e), e[5], get_u16(e + 6));
    } else if (kind == EDIT_COPY_REF || kind == EDIT_COPY_ENTRY) {
        copy_entry(d, e);
    } else if (kind == EDIT_COPY_PAGE && d->known_count) {
        memmove(known_page(d, e[1]), known_page(d, e[2]), PAGE);
    } else if (kind == EDIT_CUT && d->pages > FIRST_EXTENT) {
        d->pages -= get_u16(e + 6) % (d->pages - META_B);
    } else if (kind == EDIT_BLOB) {
        resize_blob(d, e);
    }
}

/* ---- checksums, from the leaves up ------------------------------------------------------------ */

static void fix_hash(database *d, uint8_t *ref) {
    uint64_t at = lf_get_u64(ref), page = at & (((uint64_t)1 << 40) - 1), pages = at >> 40;
    if (page >= d->pages || pages < 1 || pages > d->pages - page ||
        d->hashed + pages * PAGE > HASHED_MAX)
        return;
    d->hashed += (size_t)pages * PAGE;
    lf_put_u64(ref + 16,
               XXH3_64bits_withSeed(d->bytes + (size_t)page * PAGE, (size_t)pages * PAGE, page));
}

/* Repairs a reference after all that stand in the node it leads to. A node is entered once, so that
 * circles end; they keep a hash that is wrong, as they must. */
static void fix_ref(database *d, uint8_t *ref) {
    uint64_t page_no = lf_get_u64(ref) & (((uint64_t)1 << 40) - 1);
    if (ref[12] == NODE && page_no >= FIRST_EXTENT && page_no < d->pages && !d->seen[page_no]) {
        uint8_t *page = d->bytes + (size_t)page_no * PAGE;
        entry e;
        d->seen[page_no] = 1;
        for (uint32_t i = 0; i < get_u16(page + 2) && i < PAGE / 2; i++)
            for (uint32_t k = 0; entry_at(page, i, &e) && k < e.ref_count; k++)
                fix_ref(d, e.refs + (size_t)k * REF_BYTES);
    }
    fix_hash(d, ref);
}

static void fix_metas(database *d, bool fixes_refs, bool fixes_sums) {
    static const size_t ref_offs[] = {128 + 64, 128 + 88, 256 + 64, 256 + 88};
    for (size_t slot = 0; slot < 2; slot++) {
        uint8_t *page = d->bytes + slot * META_B * PAGE;
        for (size_t i = 0; fixes_refs && i < 4; i++)
            fix_ref(d, page + ref_offs[i]);
        if (fixes_sums)
            lf_fix_meta(page);
    }
}

/* ---- input ------------------------------------------------------------------------------------ */

/* Reads the pages of one file; known, unless NULL, receives those of extents. */
static size_t read_pages(fuzz_input *in, uint8_t *bytes, size_t pages_max, database *known) {
    size_t pages = 0;
    for (uint32_t left = input_u16(in); left > 0 && in->bytes; left--) {
        size_t no = input_u16(in) % pages_max, front = input_u16(in) % (PAGE + 1), got = 0;
        size_t back = input_u16(in) % (PAGE + 1 - front);
        const uint8_t *run = input_run(in, front, &got);
        memcpy(bytes + no * PAGE, run, got);
        run = input_run(in, back, &got);
        memcpy(bytes + no * PAGE + PAGE - back, run, got);
        pages = no + 1 > pages ? no + 1 : pages;
        if (known && no >= FIRST_EXTENT && known->known_count < PAGES_MAX)
            known->known[known->known_count++] = (uint16_t)no;
    }
    return pages;
}

static void *zeroed(size_t bytes) {
    void *data = calloc(bytes, 1);
    require(data, "malloc", "");
    return data;
}

static void make_disk(fuzz_input *in, const uint8_t *head, fuzz_disk *disk) {
    database *d = zeroed(sizeof *d);
    uint8_t *log = zeroed(LOG_PAGES_MAX * PAGE);
    d->bytes = zeroed(PAGES_MAX * PAGE);
    while (in->bytes) {
        uint32_t number = input_u8(in);
        if (!number) {
            size_t pages = read_pages(in, d->bytes, PAGES_MAX, d);
            d->pages = pages > d->pages ? pages : d->pages;
            continue;
        }
        char path[32];
        memset(log, 0, LOG_PAGES_MAX * PAGE);
        size_t pages = read_pages(in, log, LOG_PAGES_MAX, NULL);
        snprintf(path, sizeof path, "f.vs-wal-%d", (int)number);
        disk_write(disk, path, log, pages * PAGE);
    }
    for (size_t i = 0; i < EDITS; i++)
        edit_apply(d, head + 2 + 8 * i);
    fix_metas(d, head[0] & FIXES_REFS, head[0] & FIXES_METAS);
    disk_write(disk, "f.vs", d->bytes, d->pages * PAGE);
    free(d->bytes);
    free(d);
    free(log);
}

/* ---- looking at a database -------------------------------------------------------------------- */

/* What was found so far. is_sound: every answer must be right, else any status will do. */
typedef struct look {
    vs_db *db;
    bool is_sound;
    uint64_t sum; /* of all content that was read, whatever its order */
} look;

/* A call's status: in a sound database it must be the wanted one. */
static bool expect(const look *l, vs_status st, vs_status wanted, const char *what,
                   const void *handle) {
    require(!l->is_sound || st == wanted, what, vs_errmsg(handle));
    require(st == VS_OK || st >= VS_ROW || *vs_errmsg(handle), what, "failed without a message");
    return st == wanted;
}

static bool is_number(const vs_record *record, uint32_t dim) {
    static float floats[VS_DIM_MAX];
    return vs_vector_convert(record->vector, record->vector_type, floats, VS_F32, dim, NULL) ==
           VS_OK;
}

static uint64_t hash_record(const vs_record *record, uint64_t seed, uint32_t dim) {
    size_t bytes = vs_vector_bytes(record->vector_type, dim);
    uint64_t hash = XXH3_64bits_withSeed(record->vector, bytes, seed ^ record->key.number);
    if (record->metadata_bytes)
        hash += XXH3_64bits_withSeed(record->metadata, record->metadata_bytes, hash);
    return hash;
}

/* All records as hits, each once and in order. A vector that is no number has no order. */
static void look_search(const look *l, vs_collection *coll, const vs_record *query, uint64_t count,
                        bool is_number_only) {
    static vs_hit hits[HITS_MAX];
    size_t n = 0;
    vs_status st =
        vs_search(coll, NULL, query->vector, query->vector_type, HITS_MAX, NULL, hits, &n);
    if (!expect(l, st, VS_OK, "search", coll) || !l->is_sound || !is_number_only)
        return;
    require(n == (count < HITS_MAX ? count : HITS_MAX), "search", "another number of hits");
    for (size_t i = 1; i < n; i++) {
        bool is_after = hits[i - 1].distance < hits[i].distance ||
                        (hits[i - 1].distance == hits[i].distance &&
                         hits[i - 1].key.number < hits[i].key.number);
        require(is_after || hits[i].distance - hits[i].distance != 0, "search", "out of order");
    }
}

/* A record read by its key is the one that the cursor shows. */
static void look_get(const look *l, vs_collection *coll, const vs_record *wanted, uint32_t dim) {
    vs_record record = VS_RECORD_INIT;
    vs_status st = vs_get(coll, NULL, vs_key_u64(wanted->key.number), &record);
    if (expect(l, st, VS_OK, "get", coll) && l->is_sound)
        require(hash_record(&record, 0, dim) == hash_record(wanted, 0, dim), "get",
                "another record");
}

/* Runs of a record's payload: from its begin, around its middle, at its end and behind that. */
static void look_payload(look *l, vs_collection *coll, const vs_record *record) {
    static uint8_t data[70000];
    const uint64_t bytes = record->payload_bytes;
    const uint64_t from[] = {0, bytes / 2, bytes ? bytes - 1 : 0, bytes, UINT64_MAX};
    for (size_t i = 0; i < sizeof from / sizeof from[0]; i++) {
        size_t n = 0;
        uint64_t left = from[i] < bytes ? bytes - from[i] : 0;
        vs_status st = vs_payload_read(coll, NULL, record->key, from[i], data, sizeof data, &n);
        if (!expect(l, st, VS_OK, "payload_read", coll))
            continue;
        require(n == (left < sizeof data ? left : sizeof data), "payload_read", "another size");
        l->sum += n ? XXH3_64bits_withSeed(data, n, record->key.number + from[i]) : 0;
    }
}

static void look_records(look *l, vs_collection *coll, const vs_collection_info *info) {
    vs_cursor *cursor = NULL;
    uint64_t rows = 0, count = 0, last = 0, seed = XXH3_64bits(info->name, strlen(info->name));
    bool is_number_only = true;
    vs_status st = vs_scan(coll, NULL, NULL, &cursor);
    if (!expect(l, st, VS_OK, "scan", coll))
        return;
    for (st = vs_step(cursor); st == VS_ROW; st = vs_step(cursor), rows++) {
        vs_record record = VS_RECORD_INIT;
        if (!expect(l, vs_cursor_record(cursor, &record), VS_OK, "record", cursor))
            continue;
        require(!l->is_sound || !rows || record.key.number > last, "scan", "keys out of order");
        last = record.key.number;
        is_number_only = is_number_only && is_number(&record, info->dim);
        l->sum += hash_record(&record, seed, info->dim);
        look_get(l, coll, &record, info->dim);
        look_payload(l, coll, &record);
        if (rows == 0)
            look_search(l, coll, &record, info->count, is_number_only);
    }
    expect(l, st, VS_DONE, "step", cursor);
    vs_cursor_close(cursor);
    if (expect(l, vs_count(coll, NULL, &count), VS_OK, "count", coll) && l->is_sound)
        require(count == rows && info->count == rows, "count", info->name);
}

static void look_notes(look *l, vs_collection *coll) {
    static char value[8192];
    for (int i = 0; i < 8; i++) {
        char key[1000];
        size_t bytes = 0;
        memset(key, 'n', sizeof key);
        key[0] = (char)('0' + i);
        vs_status st =
            vs_kv_get(l->db, NULL, coll, key, i % 2 ? sizeof key : 4, value, sizeof value, &bytes);
        if (st != VS_ERR_NOT_FOUND && expect(l, st, VS_OK, "note", l->db))
            l->sum += XXH3_64bits_withSeed(value, bytes < sizeof value ? bytes : sizeof value,
                                           (uint64_t)i);
    }
}

static void look_at_all(look *l) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    vs_status st = VS_OK;
    l->sum = 0;
    look_notes(l, NULL);
    for (size_t i = 0; i < COLLECTIONS_MAX; i++) {
        vs_collection *coll = NULL;
        st = vs_collection_at(l->db, NULL, i, &info);
        if (st == VS_DONE || !expect(l, st, VS_OK, "collection_at", l->db))
            break;
        if (expect(l, vs_collection_open(l->db, NULL, info.name, &coll), VS_OK, "open", l->db)) {
            look_records(l, coll, &info);
            look_notes(l, coll);
        }
        vs_collection_close(coll);
    }
}

typedef struct findings {
    int count;
    char first[300];
} findings;

static void count_problem(void *ctx, const char *problem) {
    findings *f = ctx;
    require(*problem, "check", "a problem without words");
    if (strstr(problem, "the digest does not match"))
        return;
    if (!f->count++)
        snprintf(f->first, sizeof f->first, "%s", problem);
}

/* Level 3 does what the others do. */
static void check_levels(look *l, int lowest, int highest, bool must_be_sound) {
    l->is_sound = true;
    for (int level = lowest; level <= highest; level++) {
        uint64_t count = 0;
        findings found = {.count = 0};
        vs_status st = vs_check(l->db, level, count_problem, &found, &count);
        require(!must_be_sound || st == VS_OK, "check", vs_errmsg(l->db));
        require(!must_be_sound || !found.count, "check of what was sound", found.first);
        l->is_sound = l->is_sound && st == VS_OK && !found.count;
    }
}

/* ---- changing a database ---------------------------------------------------------------------- */

/* Of records that are there, whatever payloads they have: written over, cut and gone. */
static void change_payloads(look *l, vs_collection *coll) {
    static const uint8_t run[70000] = {1};
    vs_record record = VS_RECORD_INIT;
    for (uint64_t key = 1; key < 9; key += 3) {
        if (vs_get(coll, NULL, vs_key_u64(key), &record) == VS_OK && record.payload_bytes)
            expect(l, vs_payload_truncate(coll, NULL, vs_key_u64(key), record.payload_bytes / 2),
                   VS_OK, "payload_truncate", coll);
        expect(l, vs_payload_write(coll, NULL, vs_key_u64(key), 0, run, key == 4 ? 9 : sizeof run),
               VS_OK, "payload_write", coll);
        if (key == 7)
            expect(l, vs_payload_truncate(coll, NULL, vs_key_u64(key), 0), VS_OK,
                   "payload_truncate", coll);
    }
}

static void change_records(look *l, vs_collection *coll, const vs_collection_info *info) {
    vs_cursor *cursor = NULL;
    vs_record record = VS_RECORD_INIT;
    static const char text[] = "{\"changed\":true}";
    uint8_t *vector = zeroed((size_t)info->dim * 4);
    if (vs_scan(coll, NULL, NULL, &cursor) == VS_OK && vs_step(cursor) == VS_ROW &&
        vs_cursor_record(cursor, &record) == VS_OK)
        expect(l, vs_delete(coll, NULL, vs_key_u64(record.key.number)), VS_OK, "delete", coll);
    vs_cursor_close(cursor);
    for (uint64_t key = 1; key < 9; key += 3) {
        record = (vs_record)VS_RECORD_INIT;
        record.key.number = key;
        record.vector = vector;
        record.metadata = key == 4 ? NULL : text;
        expect(l, vs_put(coll, NULL, &record, VS_UPSERT), VS_OK, "put", coll);
    }
    change_payloads(l, coll);
    expect(l, vs_kv_put(l->db, NULL, coll, "1nnn", 4, text, 4), VS_OK, "note", l->db);
    free(vector);
}

/* A transaction that is dropped leaves nothing. */
static void change_and_drop(look *l) {
    vs_txn *txn = NULL;
    vs_collection *coll = NULL;
    vs_collection_options options = VS_COLLECTION_OPTIONS_INIT;
    static const float vector[2] = {1, 2};
    vs_record record = {
        .size = sizeof record, .vector_type = VS_F32, .key = VT_KEY(5), .vector = vector};
    options.dim = 2;
    if (!expect(l, vs_begin(l->db, VS_TXN_WRITE, &txn), VS_OK, "begin", l->db))
        return;
    vs_status st = vs_collection_create(l->db, txn, "dropped", &options, &coll);
    if (st == VS_OK)
        expect(l, vs_put(coll, txn, &record, VS_INSERT), VS_OK, "put", coll);
    vs_collection_close(coll);
    vs_rollback(txn);
}

static void change_all(look *l) {
    vs_collection_info info = VS_COLLECTION_INFO_INIT;
    static const char text[] = "a note";
    for (size_t i = 0; i < COLLECTIONS_MAX && vs_collection_at(l->db, NULL, i, &info) == VS_OK;
         i++) {
        vs_collection *coll = NULL;
        if (vs_collection_open(l->db, NULL, info.name, &coll) == VS_OK)
            change_records(l, coll, &info);
        vs_collection_close(coll);
    }
    expect(l, vs_kv_put(l->db, NULL, NULL, "2nnn", 4, text, 6), VS_OK, "note", l->db);
    expect(l, vs_kv_put(l->db, NULL, NULL, "0nnn", 4, NULL, 0), VS_OK, "note", l->db);
    change_and_drop(l);
}

/* ---- sessions --------------------------------------------------------------------------------- */

static bool open_db(look *l, fuzz_disk *disk, uint32_t flags) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    options.vfs = &disk->vfs;
    options.allocator = bounded_allocator();
    options.flags = flags;
    vs_status st = vs_open("f.vs", &options, &l->db);
    require(l->db, "open", "no handle");
    require(st != VS_ERR_MISUSE && (st == VS_OK || *vs_errmsg(l->db)), "open", vs_errmsg(l->db));
    if (st == VS_OK)
        return true;
    require(!l->is_sound, "open of what was sound", vs_errmsg(l->db));
    require(vs_close(l->db) == VS_OK, "close", "of what was not open");
    return false;
}

static void read_session(fuzz_disk *disk) {
    look l = {.is_sound = false};
    if (!open_db(&l, disk, VS_OPEN_READONLY))
        return;
    check_levels(&l, 3, 3, false);
    look_at_all(&l);
    require(vs_close(l.db) == VS_OK, "close", "of a database open for reading");
}

/* A database may be sound and yet refuse every change: numbers may be used up. */
static bool takes_changes(look *l) {
    look any = {.db = l->db};
    return expect(&any, vs_kv_put(l->db, NULL, NULL, "3", 1, "x", 1), VS_OK, "note", l->db);
}

static void write_session(fuzz_disk *disk) {
    look l = {.is_sound = false};
    if (!open_db(&l, disk, 0))
        return;
    check_levels(&l, 0, 3, false);
    look_at_all(&l);
    bool was_sound = l.is_sound && takes_changes(&l);
    l.is_sound = was_sound;
    change_all(&l);
    check_levels(&l, 1, 1, was_sound); /* a kill now would leave the log to recovery */
    l.is_sound = was_sound;
    expect(&l, vs_checkpoint(l.db), VS_OK, "checkpoint", l.db);
    change_all(&l);
    look_at_all(&l);
    check_levels(&l, 3, 3, was_sound);
    vs_status st = vs_close(l.db);
    require(!was_sound || st == VS_OK, "close", vs_status_name(st));
    look again = {.is_sound = was_sound};
    if (!open_db(&again, disk, 0))
        return;
    look_at_all(&again);
    require(!was_sound || again.sum == l.sum, "second open", "another content");
    check_levels(&again, 3, 3, was_sound);
    (void)!vs_close(again.db);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    uint8_t head[HEAD_BYTES] = {0};
    size_t got = 0;
    const uint8_t *given = input_run(&in, sizeof head, &got);
    fuzz_disk disk;
    memcpy(head, given, got);
    disk_init(&disk);
    make_disk(&in, head, &disk);
    if (head[0] & READS_FIRST)
        read_session(&disk);
    write_session(&disk);
    disk_free(&disk);
    return 0;
}

#ifdef FUZZ_EXPLORE

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

/* Mostly the edits are changed: the files are a thousand times as long, and not as telling. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed) {
    if (size <= HEAD_BYTES || seed % 8 == 0)
        return LLVMFuzzerMutate(data, size, size_max);
    size_t n = LLVMFuzzerMutate(data, HEAD_BYTES, HEAD_BYTES);
    memset(data + n, 0, HEAD_BYTES - n);
    return size;
}

#endif
