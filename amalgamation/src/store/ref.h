/* ref.h - references to parts of a database: extents of the file, or blocks in memory not written yet.
 *
 * In a file a reference carries the hash of what it leads to, so whoever has the root can verify
 * everything: a lost, stale or misdirected write is noticed where it is read. */
#ifndef VSI_REF_H
#define VSI_REF_H

#include "base/codec.h"

enum {
    VSI_REF_BYTES = 24,
    VSI_PAGE_BYTES = 4096,
    VSI_EXTENT_PAGES_MAX = (1 << 24) - 1,
    VSI_TRAILER_BYTES = 40 /* at the end of every extent, of a database that has trailers */
};

#define VSI_PAGE_NO_MAX (((uint64_t)1 << 40) - 1)

/* What a reference leads to. */
enum {
    VSI_REF_NONE = 0,
    VSI_REF_NODE = 1, /* a node of a B+tree */
    VSI_REF_SLAB = 2, /* rows of a slab array */
    VSI_REF_BLOB = 3, /* a large value */
    VSI_REF_FREE = 4  /* the list of free pages */
};

typedef struct vsi_ref {
    uint64_t at; /* extent: first page in the low 40 bits, above it the number of pages; block: its
                       address */
    uint32_t birth;             /* extent: the checkpoint that wrote it */
    uint8_t kind, codec, level; /* codec: VSI_CODEC_..., of a large value; else 0 */
    bool is_block;              /* in memory; never so in a file */
    uint64_t hash;              /* extent: XXH3-64 of its bytes, seed: its first page */
} vsi_ref;

VSI_FN vsi_ref vsi_ref_of_block(int kind, const void *block);
VSI_FN void *vsi_ref_block(vsi_ref ref); /* of one that is_block */

VSI_FN uint64_t vsi_ref_extent(uint64_t page, uint64_t pages); /* the at of an extent */
VSI_FN uint64_t vsi_ref_page(vsi_ref ref);                     /* of one that is no block */
VSI_FN uint64_t vsi_ref_pages(vsi_ref ref);

/* The pages of an extent for so many bytes and a trailer. */
VSI_FN uint64_t vsi_pages_for(uint64_t bytes, uint32_t trailer_bytes);

VSI_FN void vsi_ref_encode(vsi_ref ref, uint8_t out[VSI_REF_BYTES]);
VSI_FN vsi_ref vsi_ref_decode(const uint8_t in[VSI_REF_BYTES]);

#endif
