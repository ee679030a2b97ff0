/* logfile.h - meta pages and log files from docs/FORMAT.md alone, without the library's code: walking
 * through the frames of a log, and repairing checksums of damaged or invented ones. */
#ifndef LOGFILE_H
#define LOGFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LF_META_BYTES = 4096,
    LF_META_B_OFF = 65536,
    LF_DATA_BYTES = LF_META_B_OFF + LF_META_BYTES,
    LF_HEADER_BYTES = 4096,
    LF_FRAME_BYTES = 64
};

uint32_t lf_get_u32(const uint8_t *p);
uint64_t lf_get_u64(const uint8_t *p);
void lf_put_u32(uint8_t *p, uint32_t value);
void lf_put_u64(uint8_t *p, uint64_t value);

/* Writes the checksum of a meta page, so that its other bytes count. */
void lf_fix_meta(uint8_t page[LF_META_BYTES]);

/* A whole data file [LF_DATA_BYTES] whose pages both name this generation. */
void lf_make_data(uint8_t *out, const uint8_t uuid[16], uint64_t generation, uint64_t durable_lsn);

/* Writes the checksum of a log file's header. */
void lf_fix_header(uint8_t header[LF_HEADER_BYTES]);

/* A frame of a log file in memory. */
typedef struct lf_frame {
    size_t off; /* of its header */
    uint32_t payload_bytes;
    uint32_t kind; /* 1 CONT, 2 COMMIT, 3 MARK */
    uint64_t lsn, durable_lsn;
    uint64_t chain;
} lf_frame;

/* The frame that follows `from` (NULL: the first one) and verifies in every respect; false: none. */
bool lf_next_frame(const uint8_t *log, size_t bytes, const lf_frame *from, lf_frame *out_frame);

/* Writes the last hash of a frame's header, the one over all its other bytes. */
void lf_fix_frame(uint8_t frame[LF_FRAME_BYTES], uint64_t salt);

/* Goes through a log as its lengths say, whatever else is in it, and gives every frame the hashes that
 * make it count: payload hash, chain, header hash, and the LSNs too if asked. Lengths beyond the end of
 * the file are cut. */
void lf_fix_log(uint8_t *log, size_t bytes, bool fixes_lsns);

#endif
