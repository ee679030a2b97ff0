/* term.h - the terms whose sum is the digest of a database; docs/FORMAT.md has their bytes. */
#ifndef VSI_TERM_H
#define VSI_TERM_H

#include "store/desc.h"
#include "store/key.h"

/* What never changes of a collection: id, time of creation, fields. */
VSI_FN vsi_hash128 vsi_term_of_coll(const vsi_desc *desc);
/* A name that leads to a collection, its own or an alias. */
VSI_FN vsi_hash128 vsi_term_of_name(uint32_t coll, vsi_bytes name, bool is_alias);
/* Limits; nothing when there are none. */
VSI_FN vsi_hash128 vsi_term_of_limits(uint32_t coll, uint64_t max_records, uint64_t max_bytes);
VSI_FN vsi_hash128 vsi_term_of_vector(uint32_t coll, vs_key key, vsi_hash128 vector_hash);
VSI_FN vsi_hash128 vsi_term_of_metadata(uint32_t coll, vs_key key, vsi_hash128 metadata_hash);
VSI_FN vsi_hash128 vsi_term_of_payload(uint32_t coll, vs_key key, vsi_hash128 payload_hash);
VSI_FN vsi_hash128 vsi_term_of_note(uint32_t coll, vsi_bytes key, vsi_hash128 value_hash);

#endif
