/* frame.c - headers of log files and frames; docs/FORMAT.md sections 3 and 4 are the reference.
 *
 *   R1  A frame header verifies only with the salt of its file, so frames of other files and of
 *       earlier uses of the same disk blocks never do.
 *   R2  chain = hash of the header seeded with the chain before. The header holds the payload's
 *       hash, so the last frame's chain vouches for everything since the file's header. */
#include "store/frame.h"
#include "base/bytes.h"
#include "base/hash.h"

static const uint8_t log_magic[16] = {'v',  'e',  'c',  's',  't',  'o',  'r', 'e',
                                      0x89, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 'l', 'g'};

enum {
    LOG_MAJOR_OFF = 16,
    LOG_MINOR_OFF = 18,
    LOG_HEADER_BYTES_OFF = 20,
    LOG_UUID_OFF = 24,
    LOG_GENERATION_OFF = 40,
    LOG_START_LSN_OFF = 48,
    LOG_PREVIOUS_OFF = 56,
    LOG_PREVIOUS_CHAIN_OFF = 64,
    LOG_SALT_OFF = 72,
    LOG_CREATED_OFF = 80,
    LOG_PAD_OFF = 88,
    LOG_SUM_OFF = 4088
};

enum {
    FRAME_PAYLOAD_BYTES_OFF = 0,
    FRAME_KIND_OFF = 4,
    FRAME_LSN_OFF = 8,
    FRAME_TXN_OFF = 16,
    FRAME_DURABLE_OFF = 24,
    FRAME_TIME_OFF = 32,
    FRAME_PAYLOAD_HASH_OFF = 40,
    FRAME_CHAIN_OFF = 48,
    FRAME_SUM_OFF = 56
};

VSI_FN uint64_t vsi_log_header_encode(const vsi_log_header *header,
                                      uint8_t out[VSI_LOG_HEADER_BYTES]) {
    memset(out, 0, VSI_LOG_HEADER_BYTES);
    memcpy(out, log_magic, sizeof log_magic);
    vsi_put_u16(out + LOG_MAJOR_OFF, VSI_FORMAT_MAJOR);
    vsi_put_u16(out + LOG_MINOR_OFF, VSI_FORMAT_MINOR);
    vsi_put_u32(out + LOG_HEADER_BYTES_OFF, VSI_LOG_HEADER_BYTES);
    memcpy(out + LOG_UUID_OFF, header->uuid, VSI_UUID_BYTES);
    vsi_put_u64(out + LOG_GENERATION_OFF, header->generation);
    vsi_put_u64(out + LOG_START_LSN_OFF, header->start_lsn);
    vsi_put_u64(out + LOG_PREVIOUS_OFF, header->previous_generation);
    vsi_put_u64(out + LOG_PREVIOUS_CHAIN_OFF, header->previous_chain);
    vsi_put_u64(out + LOG_SALT_OFF, header->salt);
    vsi_put_u64(out + LOG_CREATED_OFF, (uint64_t)header->created_us);
    vsi_put_u32(out + LOG_PAD_OFF, header->pad_bytes);
    uint64_t sum = vsi_hash64(out, LOG_SUM_OFF, 0);
    vsi_put_u64(out + LOG_SUM_OFF, sum);
    return sum;
}

VSI_FN bool vsi_log_header_is_valid(const uint8_t in[VSI_LOG_HEADER_BYTES]) {
    return !memcmp(in, log_magic, sizeof log_magic) &&
           vsi_get_u64(in + LOG_SUM_OFF) == vsi_hash64(in, LOG_SUM_OFF, 0);
}

VSI_FN vs_status vsi_log_header_decode(vsi_err *err, const char *path,
                                       const uint8_t in[VSI_LOG_HEADER_BYTES],
                                       const uint8_t uuid[VSI_UUID_BYTES], uint64_t generation,
                                       vsi_log_header *out_header, uint64_t *out_chain) {
    uint64_t sum = vsi_hash64(in, LOG_SUM_OFF, 0);
    if (!vsi_log_header_is_valid(in))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the header of this log file is damaged", path);
    if (vsi_get_u16(in + LOG_MAJOR_OFF) != VSI_FORMAT_MAJOR ||
        vsi_get_u16(in + LOG_MINOR_OFF) != VSI_FORMAT_MINOR)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: format %u.%u, its database has %d.%d", path,
                        vsi_get_u16(in + LOG_MAJOR_OFF), vsi_get_u16(in + LOG_MINOR_OFF),
                        VSI_FORMAT_MAJOR, VSI_FORMAT_MINOR);
    if (memcmp(in + LOG_UUID_OFF, uuid, VSI_UUID_BYTES))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: belongs to another database", path);
    memcpy(out_header->uuid, uuid, VSI_UUID_BYTES);
    out_header->generation = vsi_get_u64(in + LOG_GENERATION_OFF);
    out_header->start_lsn = vsi_get_u64(in + LOG_START_LSN_OFF);
    out_header->previous_generation = vsi_get_u64(in + LOG_PREVIOUS_OFF);
    out_header->previous_chain = vsi_get_u64(in + LOG_PREVIOUS_CHAIN_OFF);
    out_header->salt = vsi_get_u64(in + LOG_SALT_OFF);
    out_header->created_us = (int64_t)vsi_get_u64(in + LOG_CREATED_OFF);
    out_header->pad_bytes = vsi_get_u32(in + LOG_PAD_OFF);
    if (out_header->generation != generation)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: is log %llu, expected %llu", path,
                        (unsigned long long)out_header->generation, (unsigned long long)generation);
    uint32_t pad = out_header->pad_bytes;
    if (out_header->start_lsn == 0 || out_header->previous_generation >= generation ||
        pad < VSI_FRAME_BYTES || pad > 65536 || (pad & (pad - 1)))
        return vsi_fail(err, VS_ERR_CORRUPT, "%s: the header of this log file makes no sense",
                        path);
    *out_chain = sum;
    return VS_OK;
}

VSI_FN void vsi_frame_encode(vsi_frame *frame, uint64_t salt, uint64_t previous_chain,
                             uint8_t out[VSI_FRAME_BYTES]) {
    vsi_put_u32(out + FRAME_PAYLOAD_BYTES_OFF, frame->payload_bytes);
    vsi_put_u32(out + FRAME_KIND_OFF, (uint32_t)frame->kind);
    vsi_put_u64(out + FRAME_LSN_OFF, frame->lsn);
    vsi_put_u64(out + FRAME_TXN_OFF, frame->txn);
    vsi_put_u64(out + FRAME_DURABLE_OFF, frame->durable_lsn);
    vsi_put_u64(out + FRAME_TIME_OFF, (uint64_t)frame->time_us);
    vsi_put_u64(out + FRAME_PAYLOAD_HASH_OFF, frame->payload_hash);
    frame->chain = vsi_hash64(out, FRAME_CHAIN_OFF, previous_chain); /* keeps R2 */
    vsi_put_u64(out + FRAME_CHAIN_OFF, frame->chain);
    vsi_put_u64(out + FRAME_SUM_OFF, vsi_hash64(out, FRAME_SUM_OFF, salt)); /* keeps R1 */
}

VSI_FN bool vsi_frame_decode(const uint8_t in[VSI_FRAME_BYTES], uint64_t salt,
                             vsi_frame *out_frame) {
    if (vsi_get_u64(in + FRAME_SUM_OFF) != vsi_hash64(in, FRAME_SUM_OFF, salt))
        return false;
    uint32_t kind = vsi_get_u32(in + FRAME_KIND_OFF);
    *out_frame = (vsi_frame){.payload_bytes = vsi_get_u32(in + FRAME_PAYLOAD_BYTES_OFF),
                             .kind = (int)kind,
                             .lsn = vsi_get_u64(in + FRAME_LSN_OFF),
                             .txn = vsi_get_u64(in + FRAME_TXN_OFF),
                             .durable_lsn = vsi_get_u64(in + FRAME_DURABLE_OFF),
                             .time_us = (int64_t)vsi_get_u64(in + FRAME_TIME_OFF),
                             .payload_hash = vsi_get_u64(in + FRAME_PAYLOAD_HASH_OFF),
                             .chain = vsi_get_u64(in + FRAME_CHAIN_OFF)};
    return kind >= VSI_FRAME_CONT && kind <= VSI_FRAME_MARK &&
           out_frame->payload_bytes <= VSI_FRAME_PAYLOAD_MAX;
}

VSI_FN bool vsi_frame_continues(const uint8_t in[VSI_FRAME_BYTES], uint64_t previous_chain) {
    return vsi_get_u64(in + FRAME_CHAIN_OFF) == vsi_hash64(in, FRAME_CHAIN_OFF, previous_chain);
}

VSI_FN uint64_t vsi_frame_payload_hash(const uint8_t *payload, size_t bytes, uint64_t lsn) {
    return vsi_hash64(payload, bytes, lsn);
}

VSI_FN uint64_t vsi_round_up(uint64_t value, uint64_t unit) {
    return (value + unit - 1) & ~(unit - 1);
}

VSI_FN uint64_t vsi_frame_stride(uint32_t payload_bytes) {
    return VSI_FRAME_BYTES + vsi_round_up(payload_bytes, VSI_FRAME_BYTES);
}

VSI_FN vs_status vsi_log_path(vsi_err *err, const char *path, uint64_t generation,
                              char out[VSI_PATH_BYTES_MAX]) {
    int n = snprintf(out, VSI_PATH_BYTES_MAX, "%s-wal-%llu", path, (unsigned long long)generation);
    if (n < 0 || n >= VSI_PATH_BYTES_MAX)
        return vsi_fail(err, VS_ERR_INVALID, "%s: the path is too long", path);
    return VS_OK;
}
