/* state.h - what a database contains, in one version: the catalog and what it leads to. */
#ifndef VSI_STATE_H
#define VSI_STATE_H

#include "store/desc.h"
#include "store/key.h"
#include "store/live.h"
#include "store/value.h"

/* One version of a collection; copying the struct copies the version. */
typedef struct vsi_coll {
    vsi_desc *desc;
    uint64_t count;
    uint32_t slot_end;    /* slots below it have been used */
    uint64_t last_number; /* the largest number that was ever put as a key; 0 also: none */
    uint64_t bytes;       /* of keys, vectors, metadata and payloads of all records */
    uint64_t max_records, max_bytes; /* what callers may make of count and bytes; 0: no limit */
    vsi_btree keys;                  /* key, by store/key -> slot */
    vsi_btree long_keys;             /* slot -> key, of those that a cell has no room for */
    vsi_btree metadata;              /* slot -> JSON, by store/value */
    vsi_btree live;     /* which slots hold a record, and which vectors, by store/live */
    vsi_btree slabs;    /* array, slab number -> where the slab is in the file */
    vsi_btree payloads; /* key, piece -> bytes, by store/payload */
    vsi_hash128 digest; /* the sum of the terms of its records */
    int64_t changed_us; /* time of the last change of its records */
    uint32_t coded;     /* bit f: each vector of field f has a code (store/encode) */
} vsi_coll;

/* One version of a database. Copying the struct copies the version. */
typedef struct vsi_state {
    vsi_descs *descs;  /* borrowed */
    vsi_btree catalog; /* all below but work is in it once the state is settled */
    vsi_btree notes;
    uint32_t last_coll; /* the largest collection id ever used */
    vsi_coll work;      /* the collection changed last, newer than its entry; desc NULL: none */
    bool is_settled;
    vsi_hash128 digest;
    uint64_t changes; /* operations applied since the version it came from; cursors watch it */
} vsi_state;

/* What is kept for each slot beside its vector. */
typedef struct vsi_cell {
    uint64_t number; /* of a key that is one */
    vsi_hash128 vector_hash;
    uint32_t space;
    uint16_t kind; /* of the key */
} vsi_cell;

VSI_FN vsi_state vsi_state_empty(vsi_cow *cow, vsi_descs *descs);

/* Takes over what its catalog says, which came from a file or has just been written to one. */
VS_NODISCARD VSI_FN vs_status vsi_state_load(vsi_err *err, vsi_state *state);

/* ---- collections ---------------------------------------------------------------------------- */

/* The collection with this id, or name; VS_ERR_NOT_FOUND without a message. */
VS_NODISCARD VSI_FN vs_status vsi_state_coll(vsi_err *err, const vsi_state *state, uint32_t id,
                                             vsi_coll *out_coll);
VS_NODISCARD VSI_FN vs_status vsi_state_coll_named(vsi_err *err, const vsi_state *state,
                                                   vsi_bytes name, vsi_coll *out_coll);

/* What a name leads to; VS_ERR_NOT_FOUND without a message. */
VS_NODISCARD VSI_FN vs_status vsi_state_name(vsi_err *err, const vsi_state *state, vsi_bytes name,
                                             uint32_t *out_id, bool *out_is_alias);
/* The name of a collection that is there. */
VS_NODISCARD VSI_FN vs_status vsi_state_coll_name(vsi_err *err, const vsi_state *state, uint32_t id,
                                                  char out[VS_NAME_BYTES_MAX + 1]);
/* The first name, of a collection or an alias, behind this one in the order of bytes, of which there may be none;
 * VS_ERR_NOT_FOUND. It is borrowed as entries of trees are. */
VS_NODISCARD VSI_FN vs_status vsi_state_name_after(vsi_err *err, const vsi_state *state,
                                                   vsi_bytes name, vsi_bytes *out_name,
                                                   uint32_t *out_id, bool *out_is_alias);

/* Collections by ascending id: the first whose id is at least id; VS_ERR_NOT_FOUND: none. */
VS_NODISCARD VSI_FN vs_status vsi_state_coll_from(vsi_err *err, const vsi_state *state, uint32_t id,
                                                  vsi_coll *out_coll);

/* The collection that is there under this id, to be changed: until the next call for another one,
 * changes to *out_coll are changes of the state. */
VS_NODISCARD VSI_FN vs_status vsi_state_work_on(vsi_err *err, vsi_state *state, uint32_t id,
                                                vsi_coll **out_coll);
/* Makes a name lead to a collection, or, with id 0, nowhere. */
VS_NODISCARD VSI_FN vs_status vsi_state_put_name(vsi_err *err, vsi_state *state, vsi_bytes name,
                                                 uint32_t id, bool is_alias);
/* Notes which name is the collection's own. */
VS_NODISCARD VSI_FN vs_status vsi_state_put_own_name(vsi_err *err, vsi_state *state, uint32_t id,
                                                     vsi_bytes name);
/* Adds an empty collection, and its name. */
VS_NODISCARD VSI_FN vs_status vsi_state_add_coll(vsi_err *err, vsi_state *state, vsi_desc *desc);
/* Notes the parameters of a field's codes, in place of others that there may be. */
VS_NODISCARD VSI_FN vs_status vsi_state_put_codes(vsi_err *err, vsi_state *state, uint32_t id,
                                                  uint32_t field, const vsi_rq *rq);
/* Takes a collection that is there out of the catalog, its own name with it. Everything that its trees are made
 * of is given up; slabs written since the last checkpoint stay with its desc. */
VS_NODISCARD VSI_FN vs_status vsi_state_remove_coll(vsi_err *err, vsi_state *state, uint32_t id);

/* Brings the catalog up to date with everything else: before a version is shown. */
VS_NODISCARD VSI_FN vs_status vsi_state_settle(vsi_err *err, vsi_state *state);

/* ---- records -------------------------------------------------------------------------------- */

enum { VSI_SLOT_KEY_BYTES = 4, VSI_CELL_BYTES = 32 };

VSI_FN vsi_bytes vsi_slot_encode(uint8_t out[VSI_SLOT_KEY_BYTES], uint32_t slot);

/* VS_ERR_NOT_FOUND without a message when there is no such key. */
VS_NODISCARD VSI_FN vs_status vsi_coll_find(vsi_err *err, const vsi_coll *coll, vs_key key,
                                            uint32_t *out_slot);
VS_NODISCARD VSI_FN vs_status vsi_coll_cell(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                            vsi_cell *out_cell);
VS_NODISCARD VSI_FN vs_status vsi_coll_cell_aside(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                                  vsi_slab_aside *aside, vsi_cell *out_cell);
VSI_FN void vsi_cell_encode(uint8_t out[VSI_CELL_BYTES], vs_key key, vsi_hash128 vector_hash);
/* The key of a slot whose cell is given; what it points to is borrowed as entries of trees are. */
VS_NODISCARD VSI_FN vs_status vsi_coll_key(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                           const vsi_cell *cell, vs_key *out_key);
/* Whether the record in a live slot has a field's vector, and that. */
VS_NODISCARD VSI_FN vs_status vsi_coll_has(vsi_err *err, const vsi_coll *coll, uint32_t field,
                                           uint32_t slot, bool *out_has);
VS_NODISCARD VSI_FN vs_status vsi_coll_row(vsi_err *err, const vsi_coll *coll, uint32_t field,
                                           uint32_t slot, const uint8_t **out_row);
/* A vector's share of the hash that a cell keeps; elements little-endian. */
VSI_FN vsi_hash128 vsi_vector_hash(uint32_t field, vsi_bytes vector);
/* A hash of what the record in a live slot holds, never 0, and how large its payload is. */
VS_NODISCARD VSI_FN vs_status vsi_coll_version(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                               uint64_t *out_version, uint64_t *out_payload_bytes);
/* Appends the metadata of a slot to buf, nothing when it has none. */
VS_NODISCARD VSI_FN vs_status vsi_coll_read_metadata(vsi_err *err, const vsi_coll *coll,
                                                     uint32_t slot, vsi_buf *buf);

/* The record at a cursor in coll->keys; the key is borrowed as entries of trees are. */
VS_NODISCARD VSI_FN vs_status vsi_coll_entry(vsi_err *err, const vsi_btree_cursor *cursor,
                                             vs_key *out_key, uint32_t *out_slot);

/* ---- notes ---------------------------------------------------------------------------------- */

/* Ids above are no collection's. Notes of two of them are the tokens of transactions. */
#define VSI_COLL_ID_MAX         0xffffffefu
#define VSI_NOTES_OF_TOKEN_RING 0xfffffffeu
#define VSI_NOTES_OF_TOKENS     0xffffffffu

enum { VSI_NOTE_KEY_BYTES_MAX = 6 + VS_KV_KEY_BYTES_MAX };

VSI_FN vsi_bytes vsi_note_encode(uint8_t out[VSI_NOTE_KEY_BYTES_MAX], uint32_t coll, vsi_bytes key);

/* VS_ERR_NOT_FOUND without a message when there is no such note. */
VS_NODISCARD VSI_FN vs_status vsi_note_find(vsi_err *err, const vsi_state *state, uint32_t coll,
                                            vsi_bytes key, vsi_value *out_value);
/* The key of the note behind one that vsi_note_encode made, of the same collection, in its place;
 * VS_ERR_NOT_FOUND without a message: there is none. */
VS_NODISCARD VSI_FN vs_status vsi_note_next(vsi_err *err, const vsi_state *state,
                                            uint8_t io_key[VSI_NOTE_KEY_BYTES_MAX],
                                            size_t *io_bytes);

#endif
