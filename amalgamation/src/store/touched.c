/* touched.c - the records that a transaction has changed.
 *
 *   H1  In front of each change stands, somewhere, the name of its collection; between them no name of
 *       another one. */
#include "store/touched.h"

/* In front of the bytes of a key, or of a collection's name with its NUL. */
typedef struct touched_entry {
    uint64_t number;
    uint32_t coll, space;
    uint16_t change; /* VS_CHANGE_...; 0: a name */
    uint16_t kind, bytes;
} touched_entry;

static bool touched_append(vsi_touched *touched, const touched_entry *entry, const void *data) {
    if (!vsi_buf_reserve(&touched->list, sizeof *entry + entry->bytes))
        return false;
    vsi_buf_append(&touched->list, entry, sizeof *entry);
    if (entry->bytes)
        vsi_buf_append(&touched->list, data, entry->bytes);
    touched->last_bytes = entry->change ? sizeof *entry + entry->bytes : 0;
    return true;
}

VSI_FN bool vsi_touched_name(vsi_touched *touched, uint32_t coll, const char *name) {
    touched_entry entry;
    memset(&entry, 0, sizeof entry);
    entry.coll = coll;
    entry.bytes = (uint16_t)(strlen(name) + 1);
    if (!touched_append(touched, &entry, name))
        return false;
    touched->coll = coll;
    return true;
}

/* Whether the last change is of the same record. */
static bool touched_is_last(const vsi_touched *touched, const touched_entry *entry,
                            const void *data) {
    touched_entry last;
    if (touched->last_bytes != sizeof last + entry->bytes)
        return false;
    const uint8_t *at = touched->list.data + touched->list.bytes - touched->last_bytes;
    memcpy(&last, at, sizeof last);
    return last.coll == entry->coll && last.number == entry->number && last.space == entry->space &&
           last.kind == entry->kind && last.bytes == entry->bytes &&
           (!entry->bytes || !memcmp(at + sizeof last, data, entry->bytes));
}

static int touched_change_of(const vsi_op *op) {
    if (op->kind == VSI_OP_DELETE)
        return VS_CHANGE_DELETE;
    bool is_new = op->kind == VSI_OP_PUT && op->old_slot == VSI_SLOT_NONE;
    return is_new ? VS_CHANGE_INSERT : VS_CHANGE_UPDATE;
}

VSI_FN bool vsi_touched_add(vsi_touched *touched, const vsi_op *op) {
    touched_entry entry;
    vsi_assert(touched->coll == op->coll); /* keeps H1 */
    memset(&entry, 0, sizeof entry);
    entry.number = op->key.number;
    entry.coll = op->coll;
    entry.space = op->key.space;
    entry.change = (uint16_t)touched_change_of(op);
    entry.kind = op->key.kind;
    entry.bytes = op->key.bytes;
    if (op->kind == VSI_OP_PAYLOAD && touched_is_last(touched, &entry, op->key.data))
        return true;
    return touched_append(touched, &entry, op->key.data);
}

VSI_FN void vsi_touched_cut(vsi_touched *touched, size_t bytes) {
    if (touched->list.bytes <= bytes)
        return;
    touched->list.bytes = bytes;
    touched->last_bytes = 0;
    touched->coll = 0; /* its name may be gone */
}

VSI_FN bool vsi_touched_next(const vsi_touched *touched, size_t *pos, vs_change *io_change) {
    touched_entry entry;
    while (*pos < touched->list.bytes) {
        memcpy(&entry, touched->list.data + *pos, sizeof entry);
        const uint8_t *data = touched->list.data + *pos + sizeof entry;
        *pos += sizeof entry + entry.bytes;
        if (!entry.change) {
            io_change->collection = (const char *)data;
            continue;
        }
        io_change->kind = entry.change;
        io_change->collection_id = entry.coll;
        io_change->key =
            (vs_key){entry.number, entry.bytes ? data : NULL, entry.bytes, entry.kind, entry.space};
        return true;
    }
    return false;
}
