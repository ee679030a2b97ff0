/* codec.h - values made smaller for the file, and back: Zstandard (Collet, RFC 8878). */
#ifndef VSI_CODEC_H
#define VSI_CODEC_H

#include "base/bytes.h"
#include "base/mem.h"

/* How the bytes of an extent are stored; in references (docs/FORMAT.md). */
enum {
    VSI_CODEC_NONE = 0, /* as they are */
    VSI_CODEC_ZSTD = 1  /* one frame that names the size of its content */
};

VSI_FN bool vsi_codec_has_zstd(void); /* whether this build has it */

/* Compresses one value after the other; all zero but mem: without any memory yet. */
typedef struct vsi_packer {
    vsi_mem *mem; /* borrowed */
    void *ctx;    /* owned; made for the first value */
} vsi_packer;

/* Compresses into out, and returns the bytes used; 0: zstd has not enough room in out_bytes (it may want
 * some more than it uses) or no memory, or is not in this build. Then a value is stored as it is. */
VSI_FN size_t vsi_pack(vsi_packer *packer, vsi_bytes value, uint8_t *out, size_t out_bytes);
VSI_FN void vsi_packer_free(vsi_packer *packer);

/* The reverse, of untrusted bytes: out [out_bytes] is filled exactly, or the call fails. VS_ERR_CORRUPT,
 * VS_ERR_UNSUPPORTED (no zstd in this build), both with a message; VS_ERR_NOMEM. */
VS_NODISCARD VSI_FN vs_status vsi_unpack(vsi_err *err, vsi_mem *mem, vsi_bytes packed, uint8_t *out,
                                         size_t out_bytes);

#endif
