/* logfile.c - meta pages and log files from docs/FORMAT.md alone. */
#include "logfile.h"
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static const uint8_t meta_magic[16] = {'v',  'e',  'c',  's',  't',  'o', 'r', 'e',
                                       0x89, 0x0d, 0x0a, 0x1a, 0x0a, 0,   0,   0};

uint32_t lf_get_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint64_t lf_get_u64(const uint8_t *p) {
    return lf_get_u32(p) | (uint64_t)lf_get_u32(p + 4) << 32;
}

void lf_put_u32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

void lf_put_u64(uint8_t *p, uint64_t value) {
    lf_put_u32(p, (uint32_t)value);
    lf_put_u32(p + 4, (uint32_t)(value >> 32));
}

/* ---- meta pages ----------------------------------------------------------------------------- */

void lf_fix_meta(uint8_t page[LF_META_BYTES]) {
    XXH128_hash_t sum = XXH3_128bits(page, 4080);
    lf_put_u64(page + 4080, sum.low64);
    lf_put_u64(page + 4088, sum.high64);
}

void lf_make_data(uint8_t *out, const uint8_t uuid[16], uint64_t generation, uint64_t durable_lsn) {
    memset(out, 0, LF_DATA_BYTES);
    for (int slot = 0; slot < 2; slot++) {
        uint8_t *page = out + (slot ? LF_META_B_OFF : 0);
        memcpy(page, meta_magic, sizeof meta_magic);
        page[18] = 4; /* format 0.4 */
        lf_put_u32(page + 20, LF_META_BYTES);
        memcpy(page + 48, uuid, 16);
        lf_put_u64(page + 64, 5u + (unsigned)slot);
        lf_put_u64(page + 72, generation);
        lf_put_u64(page + 80, durable_lsn);
        lf_put_u64(page + 128 + 24, 1); /* no checkpoint: all log files from the first one on */
        lf_fix_meta(page);
    }
}

/* ---- log files ------------------------------------------------------------------------------ */

void lf_fix_header(uint8_t header[LF_HEADER_BYTES]) {
    lf_put_u64(header + 4088, XXH3_64bits(header, 4088));
}

static size_t round_up(size_t value, size_t unit) {
    return (value + unit - 1) / unit * unit;
}

/* After a sync frames begin at multiples of this; 0 would be malformed. */
static size_t pad_of(const uint8_t *log) {
    size_t pad = lf_get_u32(log + 88);
    return pad ? pad : LF_FRAME_BYTES;
}

static bool frame_at(const uint8_t *log, size_t bytes, size_t off, uint64_t lsn, uint64_t chain,
                     lf_frame *out) {
    if (off > bytes || bytes - off < LF_FRAME_BYTES)
        return false;
    const uint8_t *p = log + off;
    *out = (lf_frame){.off = off,
                      .payload_bytes = lf_get_u32(p),
                      .kind = lf_get_u32(p + 4),
                      .lsn = lf_get_u64(p + 8),
                      .durable_lsn = lf_get_u64(p + 24),
                      .chain = lf_get_u64(p + 48)};
    bool is_mark = out->kind == 3;
    if (lf_get_u64(p + 56) != XXH3_64bits_withSeed(p, 56, lf_get_u64(log + 72)) ||
        out->chain != XXH3_64bits_withSeed(p, 48, chain))
        return false;
    if (out->kind < 1 || out->kind > 3 || out->lsn + is_mark != lsn || out->durable_lsn >= lsn)
        return false;
    if (out->payload_bytes > bytes - off - LF_FRAME_BYTES || (is_mark && out->payload_bytes))
        return false;
    return is_mark || lf_get_u64(p + 40) ==
                          XXH3_64bits_withSeed(p + LF_FRAME_BYTES, out->payload_bytes, out->lsn);
}

bool lf_next_frame(const uint8_t *log, size_t bytes, const lf_frame *from, lf_frame *out_frame) {
    size_t off = LF_HEADER_BYTES;
    uint64_t lsn = lf_get_u64(log + 48), chain = lf_get_u64(log + 4088);
    if (from) {
        off = from->off + LF_FRAME_BYTES + round_up(from->payload_bytes, LF_FRAME_BYTES);
        lsn = from->lsn + 1;
        chain = from->chain;
    }
    return frame_at(log, bytes, off, lsn, chain, out_frame) ||
           frame_at(log, bytes, round_up(off, pad_of(log)), lsn, chain, out_frame);
}

void lf_fix_frame(uint8_t frame[LF_FRAME_BYTES], uint64_t salt) {
    lf_put_u64(frame + 56, XXH3_64bits_withSeed(frame, 56, salt));
}

static bool is_zero(const uint8_t *p, size_t n) {
    while (n && !*p)
        p++, n--;
    return n == 0;
}

void lf_fix_log(uint8_t *log, size_t bytes, bool fixes_lsns) {
    if (bytes < LF_HEADER_BYTES)
        return;
    lf_fix_header(log);
    uint64_t chain = lf_get_u64(log + 4088), salt = lf_get_u64(log + 72);
    uint64_t lsn = lf_get_u64(log + 48);
    size_t pad = pad_of(log), at = LF_HEADER_BYTES;
    while (at <= bytes && bytes - at >= LF_FRAME_BYTES) {
        uint8_t *p = log + at;
        if (is_zero(p, LF_FRAME_BYTES)) { /* a gap before the next padded block */
            at = at % pad ? round_up(at, pad) : at + LF_FRAME_BYTES;
            continue;
        }
        size_t room = bytes - at - LF_FRAME_BYTES, payload = lf_get_u32(p);
        if (payload > room)
            payload = room;
        lf_put_u32(p, (uint32_t)payload);
        bool is_mark = lf_get_u32(p + 4) == 3;
        if (fixes_lsns) {
            lf_put_u64(p + 8, is_mark ? lsn - 1 : lsn);
            lsn += !is_mark;
            if (lf_get_u64(p + 24) >= lsn)
                lf_put_u64(p + 24, lsn - 1);
        }
        if (!is_mark)
            lf_put_u64(p + 40,
                       XXH3_64bits_withSeed(p + LF_FRAME_BYTES, payload, lf_get_u64(p + 8)));
        chain = XXH3_64bits_withSeed(p, 48, chain);
        lf_put_u64(p + 48, chain);
        lf_fix_frame(p, salt);
        at += LF_FRAME_BYTES + round_up(payload, LF_FRAME_BYTES);
    }
}
