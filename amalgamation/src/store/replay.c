/* replay.c - the write-ahead log, its reading side; docs/FORMAT.md section 6 is the reference.
 *
 *   Y1  A frame counts only if its header verifies with the file's salt, has the expected
 *       number, continues the chain, and its payload has the hash that the header says.
 *   Y2  The log files from the first to the one the meta page names form a chain: each names the
 *       one before and the chain value it ended with. In all but the last, frames up to the next
 *       file's start are required; what follows them was abandoned.
 *   Y3  In the last file the first frame that does not count is the end, unless it is known to
 *       have been durable: by the meta page, or by a later header of this file that says so. */
#include "store/replay.h"
#include "base/bytes.h"
#include "base/hash.h"

enum { REPLAY_WINDOW_BYTES = 1 << 20 };

static vsi_replay_file *replay_file_at(const vsi_replay *r, size_t at) {
    return (vsi_replay_file *)(void *)r->files.data + at;
}

static size_t replay_file_count(const vsi_replay *r) {
    return r->files.bytes / sizeof(vsi_replay_file);
}

VSI_FN void vsi_replay_free(vsi_replay *r) {
    if (!r->mem)
        return;
    vsi_file_close(&r->file);
    vsi_buf_free(&r->files);
    vsi_buf_free(&r->window);
    vsi_buf_free(&r->spots);
}

/* Bytes [off, off + bytes) of the file; NULL in out when it is shorter. */
static vs_status replay_fetch(vsi_err *err, vsi_replay *r, uint64_t off, size_t bytes,
                              const uint8_t **out) {
    *out = NULL;
    if (off > r->file_bytes || bytes > r->file_bytes - off)
        return VS_OK;
    bool is_inside = off >= r->window_off && off - r->window_off <= r->window.bytes &&
                     bytes <= r->window.bytes - (off - r->window_off);
    if (!is_inside) {
        size_t want = bytes > REPLAY_WINDOW_BYTES ? bytes : REPLAY_WINDOW_BYTES, got = 0;
        r->window.bytes = 0;
        r->window_off = off;
        if (!vsi_buf_reserve(&r->window, want))
            return vsi_fail_nomem(err, want);
        vs_status st = vsi_file_read(err, &r->file, r->window.data, want, off, &got);
        if (st != VS_OK)
            return st;
        r->window.bytes = got;
        if (got < bytes) /* shrank meanwhile */
            return VS_OK;
    }
    *out = r->window.data + (off - r->window_off);
    return VS_OK;
}

/* ---- the chain of files --------------------------------------------------------------------- */

static vs_status replay_open_file(vsi_err *err, vsi_replay *r, uint64_t generation,
                                  vsi_replay_file *out_file) {
    char path[VSI_PATH_BYTES_MAX];
    uint8_t header[VSI_LOG_HEADER_BYTES];
    size_t got = 0;
    vsi_file_close(&r->file);
    r->window.bytes = 0;
    vs_status st = vsi_log_path(err, r->path, generation, path);
    if (st == VS_OK)
        st = vsi_file_open(err, r->mem, r->vfs, path, VS_VFS_READ, &r->file);
    if (st == VS_ERR_NOT_FOUND)
        return vsi_fail(err, VS_ERR_LOG_MISSING, "%s is missing; %s needs it", path, r->path);
    if (st == VS_OK)
        st = vsi_file_read(err, &r->file, header, sizeof header, 0, &got);
    if (st != VS_OK)
        return st;
    if (got < sizeof header)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: %zu bytes long, its header has %zu", path, got,
                        sizeof header);
    st = vsi_log_header_decode(err, path, header, r->meta->uuid, generation, &out_file->header,
                               &out_file->first_chain);
    return st == VS_OK ? vsi_file_size(err, &r->file, &r->file_bytes) : st;
}

/* Collects the headers backwards from the newest file, then turns them round. */
static vs_status replay_collect_files(vsi_err *err, vsi_replay *r) {
    uint64_t below = 0;
    for (uint64_t g = r->meta->generation; g && g >= r->from->log_from;) {
        vsi_replay_file file;
        vs_status st = replay_open_file(err, r, g, &file);
        if (st != VS_OK)
            return st;
        if (below && file.header.start_lsn > below)
            return vsi_fail(err, VS_ERR_CORRUPT, "%s begins at frame %llu, after its successor",
                            r->file.path, (unsigned long long)file.header.start_lsn);
        below = file.header.start_lsn;
        r->found_bytes += r->file_bytes;
        g = file.header.previous_generation; /* smaller than before, so this ends */
        if (!vsi_buf_append(&r->files, &file, sizeof file))
            return vsi_fail_nomem(err, sizeof file);
    }
    size_t n = replay_file_count(r);
    for (size_t i = 0; i < n / 2; i++) {
        vsi_replay_file *a = replay_file_at(r, i), *b = replay_file_at(r, n - 1 - i), c = *a;
        *a = *b;
        *b = c;
    }
    const vsi_log_header *first = n ? &replay_file_at(r, 0)->header : NULL;
    if (first && (first->start_lsn != r->from->lsn + 1 || first->previous_chain != r->from->chain))
        return vsi_fail(err, VS_ERR_CORRUPT,
                        "%s-wal-%llu begins at frame %llu, expected is what follows frame %llu",
                        r->path, (unsigned long long)first->generation,
                        (unsigned long long)first->start_lsn, (unsigned long long)r->from->lsn);
    return VS_OK;
}

/* Whether the open file has frames that say that it once counted: a MARK, or one written after a sync
 * of this file. A take-over that never ended leaves only copies of older frames. */
static vs_status replay_search_life(vsi_err *err, vsi_replay *r, const vsi_log_header *header,
                                    bool *out_is_alive) {
    *out_is_alive = false;
    for (uint64_t off = VSI_LOG_HEADER_BYTES; off + VSI_FRAME_BYTES <= r->file_bytes;
         off += VSI_FRAME_BYTES) {
        const uint8_t *bytes = NULL;
        vsi_frame frame;
        vs_status st = replay_fetch(err, r, off, VSI_FRAME_BYTES, &bytes);
        if (st != VS_OK || !bytes)
            return st;
        if (vsi_frame_decode(bytes, header->salt, &frame) &&
            (frame.kind == VSI_FRAME_MARK || frame.durable_lsn >= header->start_lsn))
            *out_is_alive = true;
    }
    return VS_OK;
}

/* A file behind the newest one that the meta pages name may be what an interrupted take-over left;
 * it has no header yet, or nothing but copies. Anything else belongs to a newer state of the
 * database, or to another one: the data file is not the one that was here. */
static vs_status replay_check_successor(vsi_err *err, vsi_replay *r, uint64_t generation) {
    char path[VSI_PATH_BYTES_MAX];
    uint8_t header[VSI_LOG_HEADER_BYTES];
    size_t got = 0;
    bool is_alive = false;
    vsi_replay_file file;
    vs_status st = vsi_log_path(err, r->path, generation, path);
    vsi_file_close(&r->file);
    r->window.bytes = 0;
    if (st == VS_OK)
        st = vsi_file_open(err, r->mem, r->vfs, path, VS_VFS_READ, &r->file);
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    if (st == VS_OK)
        st = vsi_file_read(err, &r->file, header, sizeof header, 0, &got);
    if (st != VS_OK || got < sizeof header || !vsi_log_header_is_valid(header))
        return st;
    st = vsi_log_header_decode(err, path, header, r->meta->uuid, generation, &file.header,
                               &file.first_chain);
    if (st == VS_OK)
        st = vsi_file_size(err, &r->file, &r->file_bytes);
    if (st == VS_OK)
        st = replay_search_life(err, r, &file.header, &is_alive);
    if (st == VS_OK && is_alive)
        st = vsi_fail(err, VS_ERR_CORRUPT, "%s: has commits that %s does not know: is it older?",
                      path, r->path);
    return st;
}

/* Stands at the first frame of file number at. */
static vs_status replay_enter(vsi_err *err, vsi_replay *r, size_t at) {
    vsi_replay_file *file = replay_file_at(r, at);
    r->at = at;
    r->pos = VSI_LOG_HEADER_BYTES;
    r->chain = file->first_chain;
    r->next_lsn = file->header.start_lsn;
    vsi_replay_file again;
    return replay_open_file(err, r, file->header.generation, &again);
}

/* Logs begin where a checkpoint ends; when it needs none, nothing was durable behind it. Without this a
 * wrong page would hide commits that come later. */
static vs_status replay_check_metas(vsi_err *err, const vsi_replay *r) {
    bool needs_none = r->from->log_from > r->meta->generation;
    if (r->from->log_from <= r->meta->generation + 1 &&
        !(needs_none && r->meta->durable_lsn > r->from->lsn))
        return VS_OK;
    return vsi_fail(
        err, VS_ERR_CORRUPT,
        "%s: the checkpoint ends at frame %llu and log %llu, the meta page says %llu and "
        "%llu",
        r->path, (unsigned long long)r->from->lsn, (unsigned long long)r->from->log_from,
        (unsigned long long)r->meta->durable_lsn, (unsigned long long)r->meta->generation);
}

VSI_FN vs_status vsi_replay_open(vsi_err *err, vsi_mem *mem, const vs_vfs *vfs, const char *path,
                                 const vsi_meta *meta, const vsi_checkpoint_info *from,
                                 vsi_replay *out_replay) {
    vsi_replay *r = out_replay;
    *r = (vsi_replay){.mem = mem,
                      .vfs = vfs,
                      .path = path,
                      .meta = meta,
                      .from = from,
                      .next_lsn = from->lsn + 1,
                      .durable_lsn = from->lsn,
                      .durable_chain = from->chain};
    r->files.mem = r->window.mem = r->spots.mem = mem;
    vs_status st = replay_check_metas(err, r);
    if (st == VS_OK)
        st = replay_collect_files(err, r);
    for (uint64_t i = 1; st == VS_OK && i <= VSI_LOG_STRAYS_MAX; i++)
        st = replay_check_successor(err, r, r->meta->generation + i);
    if (st != VS_OK)
        return st;
    if (replay_file_count(r) == 0) {
        r->is_done = true;
        return VS_OK;
    }
    r->durable_chain = replay_file_at(r, 0)->first_chain;
    return replay_enter(err, r, 0);
}

/* ---- reading one file ----------------------------------------------------------------------- */

/* Whether the frame at off is the next one (Y1, all but the payload). */
static vs_status replay_probe(vsi_err *err, vsi_replay *r, uint64_t off, vsi_frame *out_frame,
                              bool *out_is_next) {
    const uint8_t *bytes = NULL;
    vs_status st = replay_fetch(err, r, off, VSI_FRAME_BYTES, &bytes);
    *out_is_next = false;
    if (st != VS_OK || !bytes ||
        !vsi_frame_decode(bytes, replay_file_at(r, r->at)->header.salt, out_frame) ||
        !vsi_frame_continues(bytes, r->chain))
        return st;
    bool is_mark = out_frame->kind == VSI_FRAME_MARK;
    *out_is_next = out_frame->lsn + is_mark == r->next_lsn &&
                   out_frame->durable_lsn < r->next_lsn &&
                   (!is_mark || out_frame->payload_bytes == 0);
    return st;
}

/* The next frame stands where the last one ended or, after a sync, at the next padded block. */
static vs_status replay_find(vsi_err *err, vsi_replay *r, vsi_frame *out_frame, bool *out_found) {
    uint64_t padded = vsi_round_up(r->pos, replay_file_at(r, r->at)->header.pad_bytes);
    vs_status st = replay_probe(err, r, r->pos, out_frame, out_found);
    if (st != VS_OK || *out_found || padded == r->pos)
        return st;
    st = replay_probe(err, r, padded, out_frame, out_found);
    if (*out_found)
        r->pos = padded;
    return st;
}

static vs_status replay_payload(vsi_err *err, vsi_replay *r, const vsi_frame *frame, uint64_t off,
                                const uint8_t **out) {
    off += VSI_FRAME_BYTES;
    if (r->skips_payloads) {
        bool is_inside = off <= r->file_bytes && frame->payload_bytes <= r->file_bytes - off;
        *out = is_inside ? r->window.data : NULL;
        return VS_OK;
    }
    vs_status st = replay_fetch(err, r, off, frame->payload_bytes, out);
    if (st != VS_OK || !*out)
        return st;
    if (vsi_frame_payload_hash(*out, frame->payload_bytes, frame->lsn) != frame->payload_hash)
        *out = NULL;
    return VS_OK;
}

/* ---- how far the log was durable ------------------------------------------------------------ */

static vs_status replay_note_spot(vsi_err *err, vsi_replay *r, const vsi_frame *frame) {
    vsi_replay_spot spot = {.lsn = frame->lsn, .chain = frame->chain, .off = r->pos};
    if (r->spot_at > 1024 && r->spot_at * 2 > r->spots.bytes / sizeof spot) {
        size_t used = r->spot_at * sizeof spot;
        memmove(r->spots.data, r->spots.data + used, r->spots.bytes - used);
        r->spots.bytes -= used;
        r->spot_at = 0;
    }
    return vsi_buf_append(&r->spots, &spot, sizeof spot) ? VS_OK : vsi_fail_nomem(err, sizeof spot);
}

static vsi_replay_spot *replay_first_spot(const vsi_replay *r) {
    vsi_replay_spot *spots = (vsi_replay_spot *)(void *)r->spots.data;
    return r->spot_at < r->spots.bytes / sizeof *spots ? spots + r->spot_at : NULL;
}

/* Frames up to lsn, all of them seen, were durable. */
static void replay_advance_durable(vsi_replay *r, uint64_t lsn) {
    for (vsi_replay_spot *spot = replay_first_spot(r); spot && spot->lsn <= lsn;
         spot = replay_first_spot(r)) {
        r->durable_lsn = spot->lsn;
        r->durable_chain = spot->chain;
        r->spot_at++;
    }
}

/* Whether a header at or behind pos says that frame next_lsn was durable (Y3). Also finds where the
 * last byte that is not zero lies. */
static vs_status replay_search_evidence(vsi_err *err, vsi_replay *r, bool *out_was_durable) {
    uint64_t salt = replay_file_at(r, r->at)->header.salt, end = r->pos;
    static const uint8_t zero[VSI_FRAME_BYTES];
    *out_was_durable = r->meta->durable_lsn >= r->next_lsn;
    for (uint64_t off = r->pos; off < r->file_bytes; off += VSI_FRAME_BYTES) {
        size_t left =
            (size_t)(r->file_bytes - off < VSI_FRAME_BYTES ? r->file_bytes - off : VSI_FRAME_BYTES);
        const uint8_t *bytes = NULL;
        vs_status st = replay_fetch(err, r, off, left, &bytes);
        if (st != VS_OK || !bytes)
            return st;
        if (!memcmp(bytes, zero, left))
            continue;
        end = off + left;
        vsi_frame frame;
        if (left == VSI_FRAME_BYTES && vsi_frame_decode(bytes, salt, &frame) &&
            frame.durable_lsn <= frame.lsn && frame.durable_lsn >= r->next_lsn)
            *out_was_durable = true;
    }
    r->dropped_bytes = end - r->pos;
    r->dropped_lsn = r->dropped_bytes ? r->next_lsn : 0;
    return VS_OK;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static bool replay_is_last_file(const vsi_replay *r) {
    return r->at + 1 == replay_file_count(r);
}

static vs_status replay_fail_damaged(vsi_err *err, const vsi_replay *r) {
    return vsi_fail(err, VS_ERR_CORRUPT,
                    "%s: frame %llu at byte %llu is damaged or missing, and it was durable",
                    r->file.path, (unsigned long long)r->next_lsn, (unsigned long long)r->pos);
}

/* No further frame counts. In the last file that is the end or damage, elsewhere damage (Y2). */
static vs_status replay_stop(vsi_err *err, vsi_replay *r) {
    bool was_durable = true;
    vs_status st = VS_OK;
    if (replay_is_last_file(r))
        st = replay_search_evidence(err, r, &was_durable);
    if (st != VS_OK)
        return st;
    if (was_durable)
        return replay_fail_damaged(err, r);
    replay_advance_durable(r, r->meta->durable_lsn);
    r->total_bytes += r->pos;
    r->is_done = true;
    return VS_OK;
}

/* The frames that the next file builds on have been read: check the seam and go there. */
static vs_status replay_switch(vsi_err *err, vsi_replay *r) {
    const vsi_replay_file *next = replay_file_at(r, r->at + 1);
    replay_advance_durable(r, UINT64_MAX);
    r->total_bytes += r->pos;
    if (next->header.previous_chain != r->durable_chain)
        return vsi_fail(err, VS_ERR_CORRUPT,
                        "%s-wal-%llu does not continue log %llu: chain %016llx, expected %016llx",
                        r->path, (unsigned long long)next->header.generation,
                        (unsigned long long)next->header.previous_generation,
                        (unsigned long long)next->header.previous_chain,
                        (unsigned long long)r->durable_chain);
    vs_status st = replay_enter(err, r, r->at + 1);
    r->durable_chain = r->chain;
    return st;
}

VSI_FN vs_status vsi_replay_next(vsi_err *err, vsi_replay *r, vsi_frame *out_frame,
                                 vsi_bytes *out_payload) {
    while (!r->is_done) {
        if (!replay_is_last_file(r) &&
            r->next_lsn == replay_file_at(r, r->at + 1)->header.start_lsn) {
            vs_status st = replay_switch(err, r);
            if (st != VS_OK)
                return st;
            continue;
        }
        vsi_frame frame;
        bool found = false;
        const uint8_t *payload = NULL;
        vs_status st = replay_find(err, r, &frame, &found);
        if (st == VS_OK && found && frame.kind != VSI_FRAME_MARK)
            st = replay_payload(err, r, &frame, r->pos, &payload);
        if (st != VS_OK)
            return st;
        if (!found || (frame.kind != VSI_FRAME_MARK && !payload))
            return replay_stop(err, r);
        r->chain = frame.chain;
        if (frame.kind != VSI_FRAME_MARK) {
            st = replay_note_spot(err, r, &frame);
            if (st != VS_OK)
                return st;
        }
        replay_advance_durable(r, frame.durable_lsn);
        r->pos += vsi_frame_stride(frame.payload_bytes);
        if (frame.kind == VSI_FRAME_MARK)
            continue;
        r->next_lsn++;
        *out_frame = frame;
        *out_payload = (vsi_bytes){payload, frame.payload_bytes};
        return VS_OK;
    }
    return VS_OK;
}

VSI_FN void vsi_replay_watch(vsi_replay *r, const char *what, vsi_watch *watch) {
    vsi_watch_count(watch, what, r->found_bytes);
}

VSI_FN vs_status vsi_replay_step(vsi_err *err, vsi_replay *r, vsi_watch *watch) {
    uint64_t read = r->total_bytes + (r->is_done ? 0 : r->pos), told = r->told_bytes;
    r->told_bytes = read;
    return vsi_watch_step(err, watch, read - told);
}

VSI_FN vs_status vsi_replay_reread(vsi_err *err, vsi_replay *r, uint64_t lsn, vsi_frame *out_frame,
                                   vsi_bytes *out_payload) {
    const vsi_replay_spot *spot = replay_first_spot(r) + (lsn - r->durable_lsn - 1);
    const uint8_t *bytes = NULL, *payload = NULL;
    vsi_assert(spot->lsn == lsn);
    vs_status st = replay_fetch(err, r, spot->off, VSI_FRAME_BYTES, &bytes);
    if (st != VS_OK)
        return st;
    bool is_same = bytes &&
                   vsi_frame_decode(bytes, replay_file_at(r, r->at)->header.salt, out_frame) &&
                   out_frame->chain == spot->chain;
    if (is_same)
        st = replay_payload(err, r, out_frame, spot->off, &payload);
    if (st != VS_OK)
        return st;
    if (!payload)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: frame %llu changed while it was read",
                        r->file.path, (unsigned long long)lsn);
    *out_payload = (vsi_bytes){payload, out_frame->payload_bytes};
    return VS_OK;
}
