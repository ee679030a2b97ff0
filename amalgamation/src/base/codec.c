/* codec.c - compression. The one place that includes zstd; -DVS_OMIT_ZSTD leaves it out.
 *
 *   Z1  All memory that zstd uses comes from the database's allocator.
 *   Z2  Only a frame that begins with zstd's own magic, names the wanted size and ends with the bytes given
 *       is decompressed: old formats, which a system's zstd may know, have decoders that ask malloc. */
#include "base/codec.h"

#ifndef VS_OMIT_ZSTD

#define ZSTD_STATIC_LINKING_ONLY /* for allocators of one's own */
#include <zstd.h>                /* Debian: libzstd-dev; -DVS_OMIT_ZSTD does without */

/* Measured on JSON in values of 4 to 64 KiB, bench/RESULTS.md. */
enum { CODEC_LEVEL = 1 };

/* In front of what zstd asks for: how much it was. Its size keeps the alignment. */
typedef union codec_block {
    size_t bytes;
    max_align_t align;
} codec_block;

static void *codec_alloc(void *ctx, size_t bytes) {
    if (bytes > SIZE_MAX - sizeof(codec_block))
        return NULL;
    codec_block *block = vsi_alloc(ctx, sizeof *block + bytes);
    if (!block)
        return NULL;
    block->bytes = sizeof *block + bytes;
    return block + 1;
}

static void codec_free(void *ctx, void *ptr) {
    codec_block *block = ptr ? (codec_block *)ptr - 1 : NULL;
    if (block)
        vsi_free(ctx, block, block->bytes);
}

static ZSTD_customMem codec_memory(vsi_mem *mem) {
    return (ZSTD_customMem){codec_alloc, codec_free, mem}; /* keeps Z1 */
}

VSI_FN bool vsi_codec_has_zstd(void) {
    return true;
}

VSI_FN size_t vsi_pack(vsi_packer *packer, vsi_bytes value, uint8_t *out, size_t out_bytes) {
    if (!packer->ctx) {
        packer->ctx = ZSTD_createCCtx_advanced(codec_memory(packer->mem));
        if (!packer->ctx)
            return 0;
        (void)ZSTD_CCtx_setParameter(packer->ctx, ZSTD_c_compressionLevel, CODEC_LEVEL);
    }
    size_t got = ZSTD_compress2(packer->ctx, out, out_bytes, value.data, value.bytes);
    return ZSTD_isError(got) ? 0 : got;
}

VSI_FN void vsi_packer_free(vsi_packer *packer) {
    ZSTD_freeCCtx(packer->ctx); /* accepts NULL */
    packer->ctx = NULL;
}

/* keeps Z2 */
static const char *codec_problem(vsi_bytes packed, size_t out_bytes) {
    if (packed.bytes < 4 || vsi_get_u32(packed.data) != ZSTD_MAGICNUMBER)
        return "no zstd frame";
    if (ZSTD_getFrameContentSize(packed.data, packed.bytes) != out_bytes)
        return "a zstd frame of another size";
    if (ZSTD_findFrameCompressedSize(packed.data, packed.bytes) != packed.bytes)
        return "a zstd frame that ends elsewhere";
    return NULL;
}

VSI_FN vs_status vsi_unpack(vsi_err *err, vsi_mem *mem, vsi_bytes packed, uint8_t *out,
                            size_t out_bytes) {
    const char *problem = codec_problem(packed, out_bytes);
    if (problem)
        return vsi_fail(err, VS_ERR_CORRUPT, "%s", problem);
    ZSTD_DCtx *ctx = ZSTD_createDCtx_advanced(codec_memory(mem));
    if (!ctx)
        return vsi_fail(err, VS_ERR_NOMEM, "out of memory: no decompressor");
    size_t got = ZSTD_decompressDCtx(ctx, out, out_bytes, packed.data, packed.bytes);
    ZSTD_freeDCtx(ctx);
    if (got == out_bytes)
        return VS_OK;
    return vsi_fail(err, VS_ERR_CORRUPT, "a zstd frame that cannot be decompressed: %s",
                    ZSTD_isError(got) ? ZSTD_getErrorName(got) : "too short");
}

#else

VSI_FN bool vsi_codec_has_zstd(void) {
    return false;
}

VSI_FN size_t vsi_pack(vsi_packer *packer, vsi_bytes value, uint8_t *out, size_t out_bytes) {
    (void)packer;
    (void)value;
    (void)out;
    (void)out_bytes;
    return 0;
}

VSI_FN void vsi_packer_free(vsi_packer *packer) {
    (void)packer;
}

VSI_FN vs_status vsi_unpack(vsi_err *err, vsi_mem *mem, vsi_bytes packed, uint8_t *out,
                            size_t out_bytes) {
    (void)mem;
    (void)packed;
    (void)out;
    (void)out_bytes;
    return vsi_fail(err, VS_ERR_UNSUPPORTED, "compressed with zstd, which this build leaves out");
}

#endif
