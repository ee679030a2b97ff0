/* meta.c - the meta pages; docs/FORMAT.md section 2 is the reference.
 *
 *   E1  A page counts only if its checksum is right, and of two the one with the larger number.
 *   E2  A change writes both pages, one after the other, each synced: first the older (or the
 *       damaged) one. The page that stays meanwhile must be on the device; one that was read may
 *       be in a cache only, for its writer may have been killed before the sync. So the file is
 *       synced before the first change of a session.
 *   E3  Nothing relies on a change before both pages are synced; until they name the same log it
 *       is unknown which one will be found after a crash. So either page may be lost at any
 *       time, by a torn write or later by rot, and the other one says the same.
 *   E4  Creation makes page B durable before it touches page A. So a crash during creation
 *       leaves zeros in A, or a valid B; anything else in A was never ours to overwrite. */
#include "store/meta.h"
#include "base/bytes.h"
#include "base/codec.h"
#include "base/hash.h"

static const uint8_t meta_magic[16] = {'v',  'e',  'c',  's',  't',  'o',  'r', 'e',
                                       0x89, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0,   0};

enum {
    META_MAJOR_OFF = 16,
    META_MINOR_OFF = 18,
    META_PAGE_BYTES_OFF = 20,
    META_FEATURES_ANY_OFF = 24,
    META_FEATURES_RO_OFF = 32,
    META_FEATURES_NEEDED_OFF = 40,
    META_UUID_OFF = 48,
    META_SEQ_OFF = 64,
    META_GENERATION_OFF = 72,
    META_DURABLE_LSN_OFF = 80,
    META_CREATED_OFF = 88,
    META_TRAILER_OFF = 96,
    META_CHECKPOINT_OFF = 128,
    META_PREVIOUS_OFF = 256,
    META_SUM_OFF = 4080
};

enum { SESSION_BYTES = 32 };
static const uint8_t session_magic[8] = {'v', 's', '-', 'o', 'w', 'n', 'e', 'r'};

/* Features this version knows. */
static const uint64_t meta_known_ro = 0,
                      meta_known_needed = VSI_META_NEEDS_ZSTD | VSI_META_NEEDS_TRAILERS;

static uint64_t meta_slot_off(int slot) {
    return slot ? VSI_META_B_OFF : 0;
}

static void checkpoint_encode(const vsi_checkpoint_info *info, uint8_t *out) {
    vsi_put_u64(out, info->number);
    vsi_put_u64(out + 8, info->lsn);
    vsi_put_u64(out + 16, info->chain);
    vsi_put_u64(out + 24, info->log_from);
    vsi_put_u64(out + 32, info->end);
    vsi_put_u64(out + 40, info->catalog_count);
    vsi_put_u64(out + 48, info->digest.lo);
    vsi_put_u64(out + 56, info->digest.hi);
    vsi_ref_encode(info->catalog, out + 64);
    vsi_ref_encode(info->free_list, out + 88);
}

static vsi_checkpoint_info checkpoint_decode(const uint8_t *in) {
    vsi_checkpoint_info info = {.number = vsi_get_u64(in),
                                .lsn = vsi_get_u64(in + 8),
                                .chain = vsi_get_u64(in + 16),
                                .log_from = vsi_get_u64(in + 24),
                                .end = vsi_get_u64(in + 32),
                                .catalog_count = vsi_get_u64(in + 40),
                                .digest = {vsi_get_u64(in + 48), vsi_get_u64(in + 56)},
                                .catalog = vsi_ref_decode(in + 64),
                                .free_list = vsi_ref_decode(in + 88)};
    info.catalog.is_block = info.free_list.is_block = false; /* whatever the page says */
    return info;
}

static void meta_encode(const vsi_meta *meta, uint8_t page[VSI_META_BYTES]) {
    memset(page, 0, VSI_META_BYTES);
    memcpy(page, meta_magic, sizeof meta_magic);
    vsi_put_u16(page + META_MAJOR_OFF, VSI_FORMAT_MAJOR);
    vsi_put_u16(page + META_MINOR_OFF, VSI_FORMAT_MINOR);
    vsi_put_u32(page + META_PAGE_BYTES_OFF, VSI_META_BYTES);
    vsi_put_u64(page + META_FEATURES_ANY_OFF, meta->features_any);
    vsi_put_u64(page + META_FEATURES_RO_OFF, meta->features_ro);
    vsi_put_u64(page + META_FEATURES_NEEDED_OFF, meta->features_needed);
    memcpy(page + META_UUID_OFF, meta->uuid, VSI_UUID_BYTES);
    vsi_put_u64(page + META_SEQ_OFF, meta->seq);
    vsi_put_u64(page + META_GENERATION_OFF, meta->generation);
    vsi_put_u64(page + META_DURABLE_LSN_OFF, meta->durable_lsn);
    vsi_put_u64(page + META_CREATED_OFF, (uint64_t)meta->created_us);
    vsi_put_u16(page + META_TRAILER_OFF, (uint16_t)meta->trailer_bytes);
    checkpoint_encode(&meta->checkpoint, page + META_CHECKPOINT_OFF);
    checkpoint_encode(&meta->previous, page + META_PREVIOUS_OFF);
    vsi_hash128 sum = vsi_hash128_of(page, META_SUM_OFF, 0);
    vsi_put_u64(page + META_SUM_OFF, sum.lo);
    vsi_put_u64(page + META_SUM_OFF + 8, sum.hi);
}

static bool meta_sum_is_right(const uint8_t page[VSI_META_BYTES]) {
    vsi_hash128 sum = vsi_hash128_of(page, META_SUM_OFF, 0);
    return vsi_get_u64(page + META_SUM_OFF) == sum.lo &&
           vsi_get_u64(page + META_SUM_OFF + 8) == sum.hi;
}

static bool meta_has_magic(const uint8_t page[VSI_META_BYTES]) {
    return !memcmp(page, meta_magic, sizeof meta_magic);
}

static bool meta_is_valid(const uint8_t page[VSI_META_BYTES]) {
    return meta_has_magic(page) && meta_sum_is_right(page);
}

static bool meta_is_zero(const uint8_t page[VSI_META_BYTES]) {
    for (size_t i = 0; i < VSI_META_BYTES; i++)
        if (page[i])
            return false;
    return true;
}

/* Format and features of a page that has the magic. */
static vs_status meta_check_version(vsi_err *err, const vsi_file *file, const uint8_t *page) {
    uint32_t major = vsi_get_u16(page + META_MAJOR_OFF), minor = vsi_get_u16(page + META_MINOR_OFF);
    if (major == VSI_FORMAT_MAJOR && minor == VSI_FORMAT_MINOR)
        return VS_OK;
    bool is_newer = major > VSI_FORMAT_MAJOR || minor > VSI_FORMAT_MINOR;
    return vsi_fail(err, is_newer ? VS_ERR_TOO_NEW : VS_ERR_TOO_OLD,
                    "%s has format %u.%u, this version %s reads %d.%d", file->path, major, minor,
                    VS_VERSION, VSI_FORMAT_MAJOR, VSI_FORMAT_MINOR);
}

static vs_status meta_check_features(vsi_err *err, const vsi_file *file, uint64_t needed) {
    if (needed & ~meta_known_needed)
        return vsi_fail(err, VS_ERR_TOO_NEW, "%s needs features %#llx that version %s lacks",
                        file->path, (unsigned long long)(needed & ~meta_known_needed), VS_VERSION);
    if ((needed & VSI_META_NEEDS_ZSTD) && !vsi_codec_has_zstd())
        return vsi_fail(err, VS_ERR_UNSUPPORTED,
                        "%s has values compressed with zstd, which this build leaves out "
                        "(VS_OMIT_ZSTD)",
                        file->path);
    return VS_OK;
}

static vs_status meta_check_trailer(vsi_err *err, const vsi_file *file, const vsi_meta *meta) {
    bool has_trailers = meta->features_needed & VSI_META_NEEDS_TRAILERS;
    uint32_t expected = has_trailers ? VSI_TRAILER_BYTES : 0;
    if (meta->trailer_bytes == expected)
        return VS_OK;
    return vsi_fail(err, VS_ERR_CORRUPT, "%s: a meta page has trailers of %lu bytes, expected %lu",
                    file->path, (unsigned long)meta->trailer_bytes, (unsigned long)expected);
}

/* Number 0 is the empty database: nobody looks for what it reaches, which then counts as free. */
static bool checkpoint_is_sound(const vsi_checkpoint_info *info) {
    return info->number || info->catalog.kind == VSI_REF_NONE;
}

static vs_status meta_decode(vsi_err *err, const vsi_file *file, const uint8_t *page,
                             vsi_meta *out_meta) {
    vs_status st = meta_check_version(err, file, page);
    if (st != VS_OK)
        return st;
    memcpy(out_meta->uuid, page + META_UUID_OFF, VSI_UUID_BYTES);
    out_meta->seq = vsi_get_u64(page + META_SEQ_OFF);
    out_meta->generation = vsi_get_u64(page + META_GENERATION_OFF);
    out_meta->durable_lsn = vsi_get_u64(page + META_DURABLE_LSN_OFF);
    out_meta->created_us = (int64_t)vsi_get_u64(page + META_CREATED_OFF);
    out_meta->checkpoint = checkpoint_decode(page + META_CHECKPOINT_OFF);
    out_meta->previous = checkpoint_decode(page + META_PREVIOUS_OFF);
    out_meta->features_any = vsi_get_u64(page + META_FEATURES_ANY_OFF);
    out_meta->features_ro = vsi_get_u64(page + META_FEATURES_RO_OFF);
    out_meta->features_needed = vsi_get_u64(page + META_FEATURES_NEEDED_OFF);
    out_meta->trailer_bytes = vsi_get_u16(page + META_TRAILER_OFF);
    st = meta_check_features(err, file, out_meta->features_needed);
    if (st == VS_OK)
        st = meta_check_trailer(err, file, out_meta);
    if (st != VS_OK)
        return st;
    if (!checkpoint_is_sound(&out_meta->checkpoint) || !checkpoint_is_sound(&out_meta->previous))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: a meta page has a checkpoint without a number",
                        file->path);
    return VS_OK;
}

VSI_FN bool vsi_meta_may_write(const vsi_meta *meta) {
    return !(meta->features_ro & ~meta_known_ro);
}

/* Page B is written before page A, so no crash leaves A alone. */
static vs_status metas_refuse_short(vsi_err *err, const vsi_file *file) {
    return vsi_fail(err, VS_ERR_CORRUPT,
                    "%s is truncated: a database has %d bytes or more, with two meta pages",
                    file->path, VSI_META_B_OFF + VSI_META_BYTES);
}

/* Nothing of value is in the file: A is zero, B is no valid page, and only B's place has bytes that
 * are not zero. */
static vs_status metas_are_unfinished(vsi_err *err, const vsi_file *file, bool *out_unfinished) {
    uint8_t page[VSI_META_BYTES];
    size_t got = 0;
    *out_unfinished = false;
    for (uint64_t off = 0; off < VSI_META_B_OFF; off += VSI_META_BYTES) {
        memset(page, 0, sizeof page);
        vs_status st = vsi_file_read(err, file, page, sizeof page, off, &got);
        if (st != VS_OK || !meta_is_zero(page))
            return st;
    }
    vs_status st = vsi_file_read(err, file, page, 1, VSI_META_B_OFF + VSI_META_BYTES, &got);
    *out_unfinished = !got;
    return st;
}

/* Neither page is valid, and the file is no unfinished one: say what it is. */
static vs_status metas_refuse(vsi_err *err, const vsi_file *file, const uint8_t *a,
                              const uint8_t *b, bool is_whole) {
    if (!meta_has_magic(a) && !meta_has_magic(b))
        return vsi_fail(err, VS_ERR_NOT_DB, "%s is not a vecstore database", file->path);
    vs_status st = is_whole ? meta_check_version(err, file, meta_has_magic(a) ? a : b)
                            : metas_refuse_short(err, file);
    return st != VS_OK
               ? st
               : vsi_fail(err, VS_ERR_CORRUPT, "%s: both meta pages are damaged", file->path);
}

VSI_FN vs_status vsi_metas_read(vsi_err *err, const vsi_file *file, vsi_metas *out_metas,
                                bool *out_is_new) {
    uint8_t page[2][VSI_META_BYTES];
    size_t got = 0;
    memset(page, 0, sizeof page);
    memset(out_metas, 0, sizeof *out_metas);
    for (int slot = 0; slot < 2; slot++) {
        vs_status st =
            vsi_file_read(err, file, page[slot], VSI_META_BYTES, meta_slot_off(slot), &got);
        if (st != VS_OK)
            return st;
    }
    bool is_valid[2] = {meta_is_valid(page[0]), meta_is_valid(page[1])};
    *out_is_new = false;
    if (!is_valid[0] && !is_valid[1]) {
        vs_status st = metas_are_unfinished(err, file, out_is_new); /* E4 */
        bool is_whole = got == VSI_META_BYTES;
        return st != VS_OK || *out_is_new ? st
                                          : metas_refuse(err, file, page[0], page[1], is_whole);
    }
    if (got < VSI_META_BYTES)
        return metas_refuse_short(err, file);
    vsi_meta meta[2];
    memset(meta, 0, sizeof meta);
    for (int slot = 0; slot < 2; slot++) {
        vs_status st = is_valid[slot] ? meta_decode(err, file, page[slot], &meta[slot]) : VS_OK;
        if (st != VS_OK)
            return st;
    }
    int newest = !is_valid[0] || (is_valid[1] && meta[1].seq > meta[0].seq);
    out_metas->newest = meta[newest];
    out_metas->last_seq = meta[newest].seq;
    out_metas->is_damaged = !is_valid[0] || !is_valid[1];
    out_metas->is_pair = !out_metas->is_damaged && meta[0].generation == meta[1].generation &&
                         meta[0].checkpoint.number == meta[1].checkpoint.number;
    out_metas->next_slot = !newest;
    return VS_OK;
}

static vs_status metas_write_slot(vsi_err *err, const vsi_file *file, int slot,
                                  const vsi_meta *meta) {
    uint8_t page[VSI_META_BYTES];
    meta_encode(meta, page);
    vs_status st = vsi_file_write(err, file, page, sizeof page, meta_slot_off(slot));
    return st == VS_OK ? vsi_file_sync(err, file) : st;
}

/* Writes the slot whose turn it is; after a failure it stays the one whose turn it is. */
static vs_status metas_write_next(vsi_err *err, const vsi_file *file, vsi_metas *metas,
                                  const vsi_meta *content) {
    vsi_meta meta = *content;
    vs_status st = metas->is_settled ? VS_OK : vsi_file_sync(err, file);
    if (st != VS_OK)
        return st;
    metas->is_settled = true; /* keeps E2 */
    meta.seq = ++metas->last_seq;
    st = metas_write_slot(err, file, metas->next_slot, &meta);
    metas->is_pair = st == VS_OK && meta.generation == metas->newest.generation &&
                     meta.checkpoint.number == metas->newest.checkpoint.number;
    metas->is_damaged = st != VS_OK;
    if (st != VS_OK)
        return st;
    metas->newest = meta;
    metas->next_slot = !metas->next_slot;
    return VS_OK;
}

VSI_FN vs_status vsi_metas_write(vsi_err *err, const vsi_file *file, vsi_metas *metas,
                                 const vsi_meta *content) {
    vs_status st = metas_write_next(err, file, metas, content);
    return st == VS_OK ? metas_write_next(err, file, metas, content) : st; /* keeps E3 */
}

VSI_FN vs_status vsi_metas_repair(vsi_err *err, const vsi_file *file, vsi_metas *metas) {
    vsi_meta copy = metas->newest;
    return metas_write_next(err, file, metas, &copy);
}

VSI_FN vs_status vsi_metas_create(vsi_err *err, const vsi_file *file, int64_t now_us,
                                  uint32_t trailer_bytes, vsi_metas *out_metas) {
    vsi_meta meta = {.seq = 1,
                     .created_us = now_us,
                     .trailer_bytes = trailer_bytes,
                     .features_needed = trailer_bytes ? VSI_META_NEEDS_TRAILERS : 0,
                     .checkpoint = {.log_from = 1}};
    memset(out_metas, 0, sizeof *out_metas);
    vs_status st = vsi_os_random(err, file->vfs, meta.uuid, sizeof meta.uuid);
    if (st == VS_OK)
        st = metas_write_slot(err, file, 1, &meta); /* keeps E4 */
    if (st == VS_OK)
        st = vsi_os_sync_dir(err, file->vfs, file->path);
    meta.seq = 2;
    if (st == VS_OK)
        st = metas_write_slot(err, file, 0, &meta);
    if (st != VS_OK)
        return st;
    *out_metas = (vsi_metas){
        .newest = meta, .next_slot = 1, .last_seq = 2, .is_pair = true, .is_settled = true};
    return VS_OK;
}

/* ---- session note --------------------------------------------------------------------------- */

/* Its write is never waited for, so it must not take a page along when it is torn. */
VSI_FN void vsi_session_write(const vsi_file *file, uint64_t process_id) {
    uint8_t note[SESSION_BYTES] = {0};
    vsi_err ignored = {0};
    vs_device_info device = {0};
    memcpy(note, session_magic, sizeof session_magic);
    vsi_put_u64(note + 8, process_id);
    vs_status st = vsi_file_device_info(&ignored, file, &device);
    if (st == VS_OK && device.blast_bytes <= VSI_META_SESSION_OFF)
        st = vsi_file_write(&ignored, file, note, sizeof note, VSI_META_SESSION_OFF);
    (void)st; /* only a better message of the next opener depends on it */
}

VSI_FN uint64_t vsi_session_read(const vsi_file *file) {
    uint8_t note[SESSION_BYTES];
    vsi_err ignored = {0};
    size_t got = 0;
    vs_status st = vsi_file_read(&ignored, file, note, sizeof note, VSI_META_SESSION_OFF, &got);
    if (st != VS_OK || got < sizeof note || memcmp(note, session_magic, sizeof session_magic))
        return 0;
    return vsi_get_u64(note + 8);
}
