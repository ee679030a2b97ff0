/* node.c - one node of a B+tree; docs/FORMAT.md has its bytes.
 *
 *     [ header | off 0 | off 1 | ... | off count-1 |   free   | entry | entry | ... | entry | trailer ]
 *                                                             ^ heap_at
 *     entry: key_bytes u16, value_bytes u16 with the number of references in the upper four bits, key,
 *     value, references
 *
 *   D1  Keys ascend strictly. In an inner node key 0 is never compared: child 0 has no lower bound
 *       of its own. */
#include "store/node.h"

enum {
    NODE_LEVEL_OFF = 0,
    NODE_COUNT_OFF = 2,
    NODE_HEAP_OFF = 4, /* offset of the lowest entry */
    NODE_USED_OFF = 6, /* bytes of entries and their offsets */
    NODE_TRAILER_OFF = 8,
    NODE_OFFSET_BYTES = 2,
    NODE_LENGTHS_BYTES = 4,
    NODE_REFS_SHIFT = 12
};

_Static_assert(NODE_OFFSET_BYTES + NODE_LENGTHS_BYTES == VSI_NODE_ENTRY_OVERHEAD, "overhead");
_Static_assert(3 * VSI_NODE_ENTRY_MAX <= VSI_NODE_ROOM - VSI_TRAILER_BYTES,
               "a split must leave room");

VSI_FN void vsi_node_init(uint8_t page[VSI_PAGE_BYTES], uint32_t level, uint32_t trailer_bytes) {
    memset(page, 0, VSI_PAGE_BYTES);
    vsi_put_u16(page + NODE_LEVEL_OFF, (uint16_t)level);
    vsi_put_u16(page + NODE_HEAP_OFF, (uint16_t)(VSI_PAGE_BYTES - trailer_bytes));
    vsi_put_u16(page + NODE_TRAILER_OFF, (uint16_t)trailer_bytes);
}

VSI_FN uint32_t vsi_node_trailer(const uint8_t *page) {
    return vsi_get_u16(page + NODE_TRAILER_OFF);
}

VSI_FN size_t vsi_node_room(const uint8_t *page) {
    return VSI_NODE_ROOM - vsi_node_trailer(page);
}

VSI_FN uint32_t vsi_node_level(const uint8_t *page) {
    return vsi_get_u16(page + NODE_LEVEL_OFF);
}

VSI_FN uint32_t vsi_node_count(const uint8_t *page) {
    return vsi_get_u16(page + NODE_COUNT_OFF);
}

VSI_FN size_t vsi_node_used(const uint8_t *page) {
    return vsi_get_u16(page + NODE_USED_OFF);
}

/* ---- entries -------------------------------------------------------------------------------- */

static uint8_t *node_offset_place(uint8_t *page, uint32_t at) {
    return page + VSI_NODE_HEADER_BYTES + (size_t)at * NODE_OFFSET_BYTES;
}

static size_t node_entry_off(const uint8_t *page, uint32_t at) {
    vsi_assert(at < vsi_node_count(page));
    return vsi_get_u16(page + VSI_NODE_HEADER_BYTES + (size_t)at * NODE_OFFSET_BYTES);
}

VSI_FN vsi_node_item vsi_node_item_at(const uint8_t *page, uint32_t at) {
    const uint8_t *entry = page + node_entry_off(page, at);
    uint32_t lengths = vsi_get_u16(entry + 2);
    uint32_t ref_count = lengths >> NODE_REFS_SHIFT;
    size_t key_bytes = vsi_get_u16(entry), value_bytes = lengths & ((1u << NODE_REFS_SHIFT) - 1);
    const uint8_t *key = entry + NODE_LENGTHS_BYTES;
    return (vsi_node_item){.key = {key, key_bytes},
                           .value = {key + key_bytes, value_bytes},
                           .refs = key + key_bytes + value_bytes,
                           .ref_count = ref_count};
}

VSI_FN size_t vsi_node_item_bytes(const vsi_node_item *item) {
    return VSI_NODE_ENTRY_OVERHEAD + item->key.bytes + item->value.bytes +
           (size_t)item->ref_count * VSI_REF_BYTES;
}

VSI_FN vsi_bytes vsi_node_key(const uint8_t *page, uint32_t at) {
    const uint8_t *entry = page + node_entry_off(page, at);
    return (vsi_bytes){entry + NODE_LENGTHS_BYTES, vsi_get_u16(entry)};
}

VSI_FN vsi_ref vsi_node_ref(const uint8_t *page, uint32_t at, uint32_t ref_at) {
    vsi_node_item item = vsi_node_item_at(page, at);
    vsi_assert(ref_at < item.ref_count);
    return vsi_ref_decode(item.refs + (size_t)ref_at * VSI_REF_BYTES);
}

VSI_FN void vsi_node_set_ref(uint8_t *page, uint32_t at, uint32_t ref_at, vsi_ref ref) {
    vsi_node_item item = vsi_node_item_at(page, at);
    vsi_assert(ref_at < item.ref_count);
    vsi_ref_encode(ref, page + (item.refs - page) + (size_t)ref_at * VSI_REF_BYTES);
}

VSI_FN uint8_t *vsi_node_value(uint8_t *page, uint32_t at) {
    return page + (vsi_node_item_at(page, at).value.data - page);
}

/* ---- changing ------------------------------------------------------------------------------- */

VSI_FN bool vsi_node_has_room(const uint8_t *page, size_t item_bytes) {
    return item_bytes <= vsi_node_room(page) - vsi_node_used(page);
}

static void node_copy(uint8_t *to, const uint8_t *from, size_t bytes) {
    if (bytes)
        memcpy(to, from, bytes);
}

static void node_insert_packed(uint8_t *page, uint32_t at, const vsi_node_item *item) {
    uint32_t count = vsi_node_count(page);
    size_t bytes = vsi_node_item_bytes(item);
    size_t off = vsi_get_u16(page + NODE_HEAP_OFF) - (bytes - NODE_OFFSET_BYTES);
    uint8_t *entry = page + off, *key = entry + NODE_LENGTHS_BYTES;
    vsi_put_u16(entry, (uint16_t)item->key.bytes);
    vsi_put_u16(entry + 2, (uint16_t)(item->value.bytes | item->ref_count << NODE_REFS_SHIFT));
    node_copy(key, item->key.data, item->key.bytes);
    node_copy(key + item->key.bytes, item->value.data, item->value.bytes);
    node_copy(key + item->key.bytes + item->value.bytes, item->refs,
              (size_t)item->ref_count * VSI_REF_BYTES);
    uint8_t *place = node_offset_place(page, at);
    memmove(place + NODE_OFFSET_BYTES, place, (size_t)(count - at) * NODE_OFFSET_BYTES);
    vsi_put_u16(place, (uint16_t)off);
    vsi_put_u16(page + NODE_COUNT_OFF, (uint16_t)(count + 1));
    vsi_put_u16(page + NODE_HEAP_OFF, (uint16_t)off);
    vsi_put_u16(page + NODE_USED_OFF, (uint16_t)(vsi_node_used(page) + bytes));
}

VSI_FN void vsi_node_pack(uint8_t *page) {
    uint8_t copy[VSI_PAGE_BYTES];
    memcpy(copy, page, sizeof copy);
    vsi_node_init(page, vsi_node_level(copy), vsi_node_trailer(copy));
    for (uint32_t i = 0; i < vsi_node_count(copy); i++) {
        vsi_node_item item = vsi_node_item_at(copy, i);
        node_insert_packed(page, i, &item);
    }
}

VSI_FN void vsi_node_insert(uint8_t *page, uint32_t at, const vsi_node_item *item) {
    size_t bytes = vsi_node_item_bytes(item);
    size_t front = VSI_NODE_HEADER_BYTES + (size_t)vsi_node_count(page) * NODE_OFFSET_BYTES;
    vsi_assert(vsi_node_has_room(page, bytes));
    vsi_assert(item->value.bytes < 1u << NODE_REFS_SHIFT);
    if (bytes > vsi_get_u16(page + NODE_HEAP_OFF) - front)
        vsi_node_pack(page);
    node_insert_packed(page, at, item);
}

VSI_FN void vsi_node_remove(uint8_t *page, uint32_t at) {
    vsi_node_item item = vsi_node_item_at(page, at);
    uint32_t count = vsi_node_count(page);
    size_t bytes = vsi_node_item_bytes(&item);
    uint8_t *place = node_offset_place(page, at);
    memmove(place, place + NODE_OFFSET_BYTES, (size_t)(count - at - 1) * NODE_OFFSET_BYTES);
    vsi_put_u16(page + NODE_COUNT_OFF, (uint16_t)(count - 1));
    vsi_put_u16(page + NODE_USED_OFF, (uint16_t)(vsi_node_used(page) - bytes));
}

/* ---- finding -------------------------------------------------------------------------------- */

VSI_FN uint32_t vsi_node_find(const uint8_t *leaf, vsi_bytes key, bool *out_found) {
    uint32_t low = 0, high = vsi_node_count(leaf);
    *out_found = false;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        int order = vsi_bytes_compare(vsi_node_key(leaf, mid), key);
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
            *out_found = order == 0; /* D1: what comes now is below it */
        }
    }
    return low;
}

VSI_FN uint32_t vsi_node_find_child(const uint8_t *inner, vsi_bytes key) {
    uint32_t low = 1, high = vsi_node_count(inner); /* D1: key 0 is not compared */
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (vsi_bytes_compare(vsi_node_key(inner, mid), key) <= 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low - 1;
}

/* ---- checking ------------------------------------------------------------------------------- */

/* Whether entry number at lies inside the page, before the trailer; then its item may be taken. */
static bool node_entry_fits(const uint8_t *page, uint32_t at) {
    size_t heap_at = vsi_get_u16(page + NODE_HEAP_OFF), off = node_entry_off(page, at);
    size_t end = VSI_PAGE_BYTES - vsi_node_trailer(page);
    if (off < heap_at || off > end - NODE_LENGTHS_BYTES)
        return false;
    vsi_node_item item = vsi_node_item_at(page, at);
    size_t bytes = vsi_node_item_bytes(&item) - NODE_OFFSET_BYTES;
    return bytes <= end - off;
}

VSI_FN const char *vsi_node_check(const uint8_t *page, uint32_t trailer_bytes) {
    uint32_t count = vsi_node_count(page), level = vsi_node_level(page);
    size_t heap_at = vsi_get_u16(page + NODE_HEAP_OFF), used = 0;
    if (level > VSI_NODE_LEVEL_MAX)
        return "a node's level is out of range";
    if (count == 0)
        return "a node is empty";
    if (vsi_node_trailer(page) != trailer_bytes)
        return "a node's trailer has another size than the database's";
    if (heap_at > VSI_PAGE_BYTES - trailer_bytes ||
        VSI_NODE_HEADER_BYTES + (size_t)count * NODE_OFFSET_BYTES > heap_at)
        return "a node's entries lie outside it";
    for (uint32_t i = 0; i < count; i++) {
        if (!node_entry_fits(page, i))
            return "an entry reaches beyond its node";
        vsi_node_item item = vsi_node_item_at(page, i);
        used += vsi_node_item_bytes(&item);
        if (vsi_node_item_bytes(&item) > VSI_NODE_ENTRY_MAX + (level ? VSI_REF_BYTES : 0u))
            return "an entry is larger than any may be";
        if (level && (item.ref_count != 1 || item.value.bytes))
            return "an inner node's entry has no child";
        bool has_order = i > (level ? 1u : 0u);
        if (has_order && vsi_bytes_compare(vsi_node_key(page, i - 1), item.key) >= 0)
            return "keys of a node do not ascend"; /* D1 */
    }
    bool is_counted = used == vsi_node_used(page) && used <= vsi_node_room(page);
    return is_counted ? NULL : "a node's count of used bytes is wrong";
}
