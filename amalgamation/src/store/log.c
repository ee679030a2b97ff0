/* log.c - the write-ahead log, its writing side.
 *
 *   W1  A log file is only appended to, by the session that created it. What an earlier session
 *       left is never written to again.
 *   W2  After a sync the next frame begins in a block (pad_bytes) that holds no durable frame.
 *   W3  Every frame above durable_lsn is kept in memory until a sync covers it. So a failed
 *       sync, after which the system may have dropped the pages, loses nothing: the frames go to
 *       a new file.
 *   W4  A new file counts only once it and its folder are synced and then the meta pages naming
 *       it.
 *   W5  Bytes of a frame whose append failed are cut off durably, or the file is left behind: a
 *       failed commit never comes back. */
#include "store/log.h"
#include "base/bytes.h"

enum {
    /* A file system keeps a note of each block that is written for the first time, and a sync waits for it. Small
     * commits therefore find zeros in their blocks, written ahead in one go: 1.7 to 1.8 times the synced appends of
     * 640 bytes per second on ext4, most with 256 KiB (bench/RESULTS.md). */
    LOG_AHEAD_BYTES_MAX = 256 << 10,
    LOG_SMALL_BYTES = 32 << 10, /* more between two syncs would write the zeros for nothing */
    LOG_ZEROS_BYTES = 16 << 10
};

VSI_FN bool vsi_log_is_open(const vsi_log *log) {
    return vsi_file_is_open(&log->file);
}

static void log_free_kept(vsi_log *log, vsi_kept_frame *kept) {
    vsi_buf_free(&kept->buf);
    vsi_free(log->mem, kept, sizeof *kept);
}

VSI_FN void vsi_log_free(vsi_log *log) {
    while (log->kept) {
        vsi_kept_frame *next = log->kept->next;
        log_free_kept(log, log->kept);
        log->kept = next;
    }
    vsi_file_close(&log->file);
    vsi_file_close(&log->draft.file);
}

static void log_keep(vsi_log *log, vsi_kept_frame *kept) {
    if (log->kept_last)
        log->kept_last->next = kept;
    else
        log->kept = kept;
    log->kept_last = kept;
    log->kept_bytes += kept->buf.bytes;
}

/* Drops the kept frames up to lsn, which are durable now. */
static void log_release(vsi_log *log, uint64_t lsn) {
    while (log->kept && log->kept->frame.lsn <= lsn) {
        vsi_kept_frame *kept = log->kept;
        log->durable_lsn = kept->frame.lsn;
        log->durable_chain = kept->frame.chain;
        log->kept_bytes -= kept->buf.bytes;
        log->kept = kept->next;
        log_free_kept(log, kept);
    }
    if (!log->kept)
        log->kept_last = NULL;
}

VSI_FN uint64_t vsi_log_bytes(const vsi_log *log) {
    return log->older_bytes + log->pos;
}

VSI_FN void vsi_log_end(vsi_log *log) {
    vsi_assert(!log->kept);
    vsi_file_close(&log->file);
    vsi_assert(log->generation == log->metas->newest.generation);
    log->pos = 0;
    log->older_bytes = 0;
    log->tail_is_dirty = false;
}

/* ---- a new file ----------------------------------------------------------------------------- */

static vs_status draft_create(vsi_err *err, vsi_log *log, const char *path, vsi_log_draft *draft) {
    vs_status st = vsi_os_remove(err, log->vfs, path); /* left by a crash before it counted */
    if (st != VS_OK && st != VS_ERR_NOT_FOUND)
        return st;
    st = vsi_file_open(err, log->mem, log->vfs, path,
                       VS_VFS_WRITE | VS_VFS_CREATE | VS_VFS_EXCLUSIVE, &draft->file);
    if (st != VS_OK)
        return st;
    vs_device_info device = {0};
    st = vsi_file_device_info(err, &draft->file, &device);
    draft->pad_bytes = device.blast_bytes;
    uint8_t salt[8] = {0};
    if (st == VS_OK)
        st = vsi_os_random(err, log->vfs, salt, sizeof salt);
    draft->salt = vsi_get_u64(salt);
    return st;
}

static vs_status draft_write_header(vsi_err *err, const vsi_log *log, vsi_log_draft *draft) {
    uint8_t header[VSI_LOG_HEADER_BYTES];
    vsi_log_header fields = {.generation = draft->generation,
                             .start_lsn = log->durable_lsn + 1,
                             .previous_generation = log->generation,
                             .previous_chain = log->durable_chain,
                             .salt = draft->salt,
                             .pad_bytes = draft->pad_bytes,
                             .created_us = log->vfs->wall_us(log->vfs->ctx)};
    memcpy(fields.uuid, log->metas->newest.uuid, sizeof fields.uuid);
    draft->chain = vsi_log_header_encode(&fields, header);
    draft->pos = sizeof header;
    return vsi_file_write(err, &draft->file, header, sizeof header, 0);
}

/* Writes a kept frame again under the draft's salt and chain. Number, transaction and payload stay.
 * The frame keeps its old header until the draft counts. */
static vs_status draft_write_frame(vsi_err *err, vsi_log_draft *draft, const vsi_kept_frame *kept) {
    uint8_t header[VSI_FRAME_BYTES];
    vsi_frame frame = kept->frame;
    vsi_frame_encode(&frame, draft->salt, draft->chain, header);
    vs_status st = vsi_file_write(err, &draft->file, header, sizeof header, draft->pos);
    if (st == VS_OK && kept->buf.bytes > sizeof header)
        st = vsi_file_write(err, &draft->file, kept->buf.data + sizeof header,
                            kept->buf.bytes - sizeof header, draft->pos + sizeof header);
    draft->chain = frame.chain;
    draft->pos += kept->buf.bytes;
    return st;
}

/* Everything of the draft, durable, in log->draft; or nothing of it. */
static vs_status draft_make(vsi_err *err, vsi_log *log) {
    vsi_log_draft *draft = &log->draft;
    char path[VSI_PATH_BYTES_MAX];
    draft->generation = log->generation + 1;
    vs_status st = vsi_log_path(err, log->path, draft->generation, path);
    if (st == VS_OK)
        st = draft_create(err, log, path, draft);
    if (st == VS_OK)
        st = draft_write_header(err, log, draft);
    for (const vsi_kept_frame *kept = log->kept; st == VS_OK && kept; kept = kept->next)
        st = draft_write_frame(err, draft, kept);
    if (st == VS_OK)
        st = vsi_file_sync(err, &draft->file);
    if (st == VS_OK)
        st = vsi_os_sync_dir(err, log->vfs, path);
    if (st != VS_OK && vsi_file_is_open(&draft->file)) {
        vsi_err ignored = {0};
        vsi_file_close(&draft->file);
        vsi_os_remove(&ignored, log->vfs, path); /* else the next attempt does */
    }
    return st;
}

/* The draft is durable and named by the meta pages: it is the log now. */
static void draft_install(vsi_log *log) {
    vsi_log_draft draft = log->draft;
    memset(&log->draft, 0, sizeof log->draft);
    log->older_bytes += vsi_log_is_open(log) ? log->pos : 0;
    vsi_file_close(&log->file);
    log->file = draft.file;
    log->generation = draft.generation;
    log->salt = draft.salt;
    log->chain = draft.chain;
    log->pad_bytes = draft.pad_bytes;
    log->pos = vsi_round_up(draft.pos, draft.pad_bytes); /* keeps W2 */
    log->owned = log->blank_end = 0;
    log->tail_is_dirty = false;
    log_release(log, UINT64_MAX);
    log->durable_lsn = log->next_lsn - 1;
    log->durable_chain = draft.chain;
    log->takeovers++;
}

VSI_FN void vsi_log_remove_strays(const vsi_log *log) {
    for (uint64_t i = 1; i <= VSI_LOG_STRAYS_MAX; i++) {
        char path[VSI_PATH_BYTES_MAX];
        vsi_err ignored = {0};
        if (vsi_log_path(&ignored, log->path, log->generation + i, path) == VS_OK)
            vsi_os_remove(&ignored, log->vfs, path);
    }
}

VSI_FN vs_status vsi_log_take_over(vsi_err *err, vsi_log *log) {
    /* A draft left by an earlier attempt still has all frames: none can have come meanwhile, for
     * only a log that is not open tries again. */
    vs_status st = vsi_file_is_open(&log->draft.file) ? VS_OK : draft_make(err, log);
    if (st != VS_OK)
        return st;
    vsi_meta meta = log->metas->newest;
    meta.generation = log->draft.generation;
    meta.durable_lsn = log->next_lsn - 1;
    st = vsi_metas_write(err, log->data, log->metas, &meta); /* keeps W4 */
    if (st != VS_OK)
        return st;
    draft_install(log);
    vsi_log_remove_strays(log);
    return VS_OK;
}

VSI_FN void vsi_log_complete(vsi_log *log) {
    bool is_named = vsi_file_is_open(&log->draft.file) && log->metas->is_pair &&
                    log->metas->newest.generation == log->draft.generation;
    if (!is_named)
        return;
    draft_install(log);
    vsi_log_remove_strays(log);
}

/* ---- appending ------------------------------------------------------------------------------ */

/* Encodes the header in front of the payload and pads the buffer to the stride. */
static bool log_seal(vsi_log *log, vsi_frame *frame, vsi_buf *buf) {
    size_t stride = (size_t)vsi_frame_stride(frame->payload_bytes);
    size_t pad = stride - buf->bytes;
    if (!vsi_buf_reserve(buf, pad))
        return false;
    memset(buf->data + buf->bytes, 0, pad);
    frame->payload_hash =
        vsi_frame_payload_hash(buf->data + VSI_LOG_BUF_FRONT, frame->payload_bytes, frame->lsn);
    vsi_frame_encode(frame, log->salt, log->chain, buf->data);
    return true;
}

/* How much is prepared for frames to come: as much as the file has already. */
static uint64_t log_ahead(const vsi_log *log) {
    return log->pos < LOG_AHEAD_BYTES_MAX ? log->pos : LOG_AHEAD_BYTES_MAX;
}

VSI_FN vs_status vsi_log_own(vsi_err *err, vsi_log *log, size_t bytes, uint64_t reserve) {
    uint64_t end =
        vsi_round_up(log->pos, log->pad_bytes) + vsi_frame_stride((uint32_t)bytes) + reserve;
    uint64_t spare = reserve > log_ahead(log) ? reserve : log_ahead(log); /* not at each frame */
    if (end <= log->owned)
        return VS_OK;
    vs_status st = vsi_file_reserve(err, &log->file, end, spare, &log->owned);
    log->is_tight = st == VS_ERR_FULL || log->owned == end;
    return st;
}

VSI_FN vs_status vsi_log_append(vsi_err *err, vsi_log *log, int kind, uint64_t txn, int64_t time_us,
                                vsi_buf *ops) {
    vsi_assert(vsi_log_is_open(log) && !log->tail_is_dirty);
    vsi_assert(ops->bytes >= VSI_LOG_BUF_FRONT);
    size_t payload_bytes = ops->bytes - VSI_LOG_BUF_FRONT;
    if (payload_bytes > VSI_FRAME_PAYLOAD_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "a log frame of %zu bytes, the limit is %d",
                        payload_bytes, VSI_FRAME_PAYLOAD_MAX);
    vsi_kept_frame *kept = vsi_alloc_zeroed(log->mem, sizeof *kept);
    if (!kept)
        return vsi_fail_nomem(err, sizeof *kept);
    kept->frame = (vsi_frame){.payload_bytes = (uint32_t)payload_bytes,
                              .kind = kind,
                              .lsn = log->next_lsn,
                              .txn = txn,
                              .durable_lsn = log->durable_lsn,
                              .time_us = time_us};
    if (!log_seal(log, &kept->frame, ops)) {
        vsi_free(log->mem, kept, sizeof *kept);
        return vsi_fail_nomem(err, VSI_FRAME_BYTES);
    }
    size_t stride = (size_t)vsi_frame_stride(kept->frame.payload_bytes);
    vs_status st = vsi_file_write(err, &log->file, ops->data, stride, log->pos);
    if (st != VS_OK) {
        log->tail_is_dirty = true;
        vsi_free(log->mem, kept, sizeof *kept);
        return st;
    }
    kept->buf = *ops;
    kept->buf.bytes = stride;
    *ops = (vsi_buf){.mem = ops->mem};
    log->pos += stride;
    log->chain = kept->frame.chain;
    log->next_lsn++;
    log_keep(log, kept);
    return VS_OK;
}

VSI_FN vs_status vsi_log_cut_off(vsi_err *err, vsi_log *log) {
    if (!log->tail_is_dirty)
        return VS_OK;
    uint64_t bytes = 0;
    vs_status st = vsi_file_size(err, &log->file, &bytes);
    if (st == VS_OK && bytes > log->pos) /* making it longer may fail where there is no space */
        st = vsi_file_truncate(err, &log->file, log->pos);
    if (st == VS_OK)
        st = vsi_file_sync(err, &log->file);
    if (st != VS_OK)
        return st;
    log->tail_is_dirty = false; /* keeps W5 */
    log->owned = log->blank_end = 0;
    log_release(log, UINT64_MAX);
    log->pos = vsi_round_up(log->pos, log->pad_bytes);
    return VS_OK;
}

VSI_FN vs_status vsi_log_keep(vsi_err *err, vsi_log *log, const vsi_frame *frame,
                              const uint8_t *payload) {
    size_t stride = (size_t)vsi_frame_stride(frame->payload_bytes);
    vsi_kept_frame *kept = vsi_alloc_zeroed(log->mem, sizeof *kept);
    if (!kept)
        return vsi_fail_nomem(err, sizeof *kept);
    kept->frame = *frame;
    kept->buf.mem = log->mem;
    if (!vsi_buf_reserve(&kept->buf, stride)) {
        vsi_free(log->mem, kept, sizeof *kept);
        return vsi_fail_nomem(err, stride);
    }
    memset(kept->buf.data, 0, stride);
    if (frame->payload_bytes)
        memcpy(kept->buf.data + VSI_FRAME_BYTES, payload, frame->payload_bytes);
    kept->buf.bytes = stride;
    log_keep(log, kept);
    return VS_OK;
}

/* ---- syncing -------------------------------------------------------------------------------- */

/* Writes zeros where the next frames will be; only into what the device has given, so nothing else lacks space
 * for it. A failure costs time in later syncs and nothing else. */
static void log_write_ahead(vsi_log *log) {
    static const uint8_t zeros[LOG_ZEROS_BYTES];
    uint64_t end = log->pos + log_ahead(log);
    if (log->kept_bytes > LOG_SMALL_BYTES || log->pos + log->kept_bytes <= log->blank_end ||
        log->is_tight || log->tail_is_dirty || log->owned == UINT64_MAX)
        return;
    end = end < log->owned ? end : log->owned;
    vsi_err ignored = {0};
    uint64_t at = log->blank_end > log->pos ? log->blank_end : log->pos;
    for (uint64_t bytes = 0; at < end; at += bytes) {
        bytes = end - at < sizeof zeros ? end - at : sizeof zeros;
        if (vsi_file_write(&ignored, &log->file, zeros, (size_t)bytes, at) != VS_OK)
            return;
        log->blank_end = at + bytes;
    }
}

VSI_FN bool vsi_log_sync_begin(vsi_log *log, vsi_log_ticket *out_ticket) {
    if (!log->kept)
        return false;
    out_ticket->lsn = log->next_lsn - 1;
    log->pos = vsi_round_up(log->pos, log->pad_bytes); /* keeps W2 */
    log_write_ahead(log);
    return true;
}

/* Tells later readers how far the log was durable. Not synced and not needed: a mark that is lost
 * only makes damage of the last frames look like a torn write. */
static void log_write_mark(vsi_log *log) {
    uint8_t header[VSI_FRAME_BYTES];
    vsi_err ignored = {0};
    vsi_frame mark = {.kind = VSI_FRAME_MARK,
                      .lsn = log->next_lsn - 1,
                      .durable_lsn = log->durable_lsn,
                      .time_us = log->vfs->wall_us(log->vfs->ctx)};
    vsi_frame_encode(&mark, log->salt, log->chain, header);
    if (log->tail_is_dirty ||
        vsi_file_write(&ignored, &log->file, header, sizeof header, log->pos) != VS_OK)
        return;
    log->pos += sizeof header;
    log->chain = mark.chain;
}

VSI_FN void vsi_log_sync_end(vsi_log *log, vsi_log_ticket ticket) {
    log_release(log, ticket.lsn);
    log->syncs++;
    log_write_mark(log);
}
