/* payload.h - opaque bytes of records, of any size: in pieces under the record's key, so that they stay where
 * they are when its vectors change; docs/FORMAT.md has the tree. */
#ifndef VSI_PAYLOAD_H
#define VSI_PAYLOAD_H

#include "store/key.h"
#include "store/value.h"

enum {
    VSI_PAYLOAD_PIECE_BYTES = 65536, /* of each piece but the last one */
    VSI_PAYLOAD_KEY_BYTES_MAX = VSI_KEY_BYTES_MAX + 4
};

/* What is known of a payload without reading it. All zero: there is none. */
typedef struct vsi_payload {
    uint64_t bytes;
    vsi_hash128 sum;  /* of its pieces' numbers and hashes */
    vsi_hash128 hash; /* of the two */
} vsi_payload;

/* How many pieces there are. */
VSI_FN uint32_t vsi_payload_pieces(const vsi_payload *payload);

VS_NODISCARD VSI_FN vs_status vsi_payload_find(vsi_err *err, const vsi_btree *tree, vs_key key,
                                               vsi_payload *out);

/* A piece that the payload has; VS_ERR_CORRUPT when it is not there, or of another size than it must be. */
VS_NODISCARD VSI_FN vs_status vsi_payload_find_piece(vsi_err *err, const vsi_btree *tree,
                                                     vs_key key, const vsi_payload *payload,
                                                     uint32_t piece, vsi_value *out_value);

/* Gives a piece these bytes. Fewer than a whole piece: it is the last one now. None: the one before is. All
 * pieces before it are whole. */
VS_NODISCARD VSI_FN vs_status vsi_payload_set(vsi_err *err, vsi_btree *tree, vs_key key,
                                              uint32_t piece, vsi_bytes bytes,
                                              vsi_payload *io_payload);

/* Takes the key of an entry apart; false: it is none of a payload. at: 0 of the head, 1 + its number of a piece. */
VS_NODISCARD VSI_FN bool vsi_payload_key_of(vsi_bytes bytes, vs_key *out_key, uint32_t *out_at);
/* What a head says. VS_ERR_CORRUPT. */
VS_NODISCARD VSI_FN vs_status vsi_payload_of_head(vsi_err *err, vsi_bytes head, vsi_payload *out);
/* What a piece adds to the sum. */
VSI_FN vsi_hash128 vsi_payload_term(uint32_t piece, vsi_hash128 hash);

#endif
