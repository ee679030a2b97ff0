/* node.h - one node of a B+tree: a page of entries in key order, the same bytes in memory and in the
 * file. */
#ifndef VSI_NODE_H
#define VSI_NODE_H

#include "store/ref.h"

enum {
    VSI_NODE_HEADER_BYTES = 16,
    VSI_NODE_ROOM = VSI_PAGE_BYTES - VSI_NODE_HEADER_BYTES, /* of one without a trailer */
    VSI_NODE_ENTRY_MAX = 1340,   /* a third of a node: any split leaves room for the new entry */
    VSI_NODE_ENTRY_OVERHEAD = 6, /* offset and two lengths */
    VSI_NODE_REFS_MAX = 15,
    VSI_NODE_LEVEL_MAX = 31 /* nodes of the longest keys have three children, at worst */
};

/* An entry. Of an inner node: the first key of a child, and one reference. Borrowed from the page. */
typedef struct vsi_node_item {
    vsi_bytes key, value;
    const uint8_t *refs; /* [ref_count x VSI_REF_BYTES] */
    uint32_t ref_count;
} vsi_node_item;

/* trailer_bytes at the end of the page stay free of entries. */
VSI_FN void vsi_node_init(uint8_t page[VSI_PAGE_BYTES], uint32_t level, uint32_t trailer_bytes);
VSI_FN uint32_t vsi_node_level(const uint8_t *page); /* 0: leaf */
VSI_FN uint32_t vsi_node_count(const uint8_t *page);
VSI_FN uint32_t vsi_node_trailer(const uint8_t *page); /* in bytes */
VSI_FN size_t vsi_node_room(const uint8_t *page);      /* for items, used or not */
VSI_FN size_t vsi_node_used(const uint8_t *page);      /* bytes of all items, without holes */

VSI_FN vsi_node_item vsi_node_item_at(const uint8_t *page, uint32_t at);
VSI_FN size_t vsi_node_item_bytes(const vsi_node_item *item); /* as it takes up room */
VSI_FN vsi_bytes vsi_node_key(const uint8_t *page, uint32_t at);
VSI_FN vsi_ref vsi_node_ref(const uint8_t *page, uint32_t at, uint32_t ref_at);
VSI_FN void vsi_node_set_ref(uint8_t *page, uint32_t at, uint32_t ref_at, vsi_ref ref);
VSI_FN uint8_t *vsi_node_value(uint8_t *page, uint32_t at); /* to be changed in place */

VSI_FN bool vsi_node_has_room(const uint8_t *page, size_t item_bytes);
/* Puts a copy of item in front of entry number at; there must be room. */
VSI_FN void vsi_node_insert(uint8_t *page, uint32_t at, const vsi_node_item *item);
VSI_FN void vsi_node_remove(uint8_t *page, uint32_t at);
/* Closes the holes that removed entries left, and zeroes what no entry uses. */
VSI_FN void vsi_node_pack(uint8_t *page);

/* The first entry of a leaf whose key is not below key. */
VSI_FN uint32_t vsi_node_find(const uint8_t *leaf, vsi_bytes key, bool *out_found);
/* The entry of an inner node whose child covers key. */
VSI_FN uint32_t vsi_node_find_child(const uint8_t *inner, vsi_bytes key);

/* Whether the trailer has this size, and every entry lies inside the page, before the trailer, and in
 * order; reads nothing outside whatever the page holds. NULL, or what is wrong. */
VSI_FN const char *vsi_node_check(const uint8_t *page, uint32_t trailer_bytes);

#endif
