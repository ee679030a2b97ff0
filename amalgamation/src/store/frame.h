/* frame.h - the parts of a log file as bytes: its header and the headers of frames. */
#ifndef VSI_FRAME_H
#define VSI_FRAME_H

#include "store/meta.h"

enum {
    VSI_LOG_HEADER_BYTES = 4096,
    VSI_FRAME_BYTES = 64, /* header of a frame, and the alignment of frames */
    VSI_FRAME_PAYLOAD_MAX = 64 << 20,
    VSI_LOG_STRAYS_MAX = 8 /* log files behind the newest that are looked at, and cleared away */
};

/* Kinds of frames. */
enum {
    VSI_FRAME_CONT = 1,   /* operations of a transaction that goes on */
    VSI_FRAME_COMMIT = 2, /* its last operations */
    VSI_FRAME_MARK = 3    /* no operations: how far the log was durable */
};

typedef struct vsi_log_header {
    uint8_t uuid[VSI_UUID_BYTES];
    uint64_t generation;
    uint64_t start_lsn;           /* number of the first frame in this file */
    uint64_t previous_generation; /* the file before; 0: none */
    uint64_t previous_chain;      /* chain behind frame start_lsn - 1 in it */
    uint64_t salt;                /* seeds this file's frame headers */
    uint32_t pad_bytes;           /* after a sync the next frame begins at a multiple of it */
    int64_t created_us;
} vsi_log_header;

/* Writes the header; returns the chain that the first frame continues. */
VSI_FN uint64_t vsi_log_header_encode(const vsi_log_header *header,
                                      uint8_t out[VSI_LOG_HEADER_BYTES]);
/* VS_ERR_CORRUPT unless it verifies and belongs to this database and generation. */
VSI_FN vs_status vsi_log_header_decode(vsi_err *err, const char *path,
                                       const uint8_t in[VSI_LOG_HEADER_BYTES],
                                       const uint8_t uuid[VSI_UUID_BYTES], uint64_t generation,
                                       vsi_log_header *out_header, uint64_t *out_chain);

typedef struct vsi_frame {
    uint32_t payload_bytes;
    int kind;
    uint64_t lsn;         /* consecutive over all files; a MARK repeats the one before it */
    uint64_t txn;         /* transaction number, the same in all its frames */
    uint64_t durable_lsn; /* frames up to here were synced when this one was written */
    int64_t time_us;
    uint64_t payload_hash;
    uint64_t chain; /* hash of this header and, through it, of all before */
} vsi_frame;

/* Computes chain and writes the header. */
/* Whether it is the header of a log file, of whatever database. */
VSI_FN bool vsi_log_header_is_valid(const uint8_t in[VSI_LOG_HEADER_BYTES]);

VSI_FN void vsi_frame_encode(vsi_frame *frame, uint64_t salt, uint64_t previous_chain,
                             uint8_t out[VSI_FRAME_BYTES]);
/* Whether these bytes are the header of a frame of the file with this salt. */
VSI_FN bool vsi_frame_decode(const uint8_t in[VSI_FRAME_BYTES], uint64_t salt,
                             vsi_frame *out_frame);
VSI_FN bool vsi_frame_continues(const uint8_t in[VSI_FRAME_BYTES], uint64_t previous_chain);

VSI_FN uint64_t vsi_frame_payload_hash(const uint8_t *payload, size_t bytes, uint64_t lsn);
/* Header and payload, rounded up to where the next frame may begin. */
VSI_FN uint64_t vsi_frame_stride(uint32_t payload_bytes);

/* PATH-wal-N into out. */
VSI_FN vs_status vsi_log_path(vsi_err *err, const char *path, uint64_t generation,
                              char out[VSI_PATH_BYTES_MAX]);

VSI_FN uint64_t vsi_round_up(uint64_t value, uint64_t unit); /* unit is a power of two */

#endif
