/* record.h - records between the caller's structs and the store. */
#ifndef VSI_RECORD_H
#define VSI_RECORD_H

#include "api/handle.h"

/* A caller's vector in the collection's type, elements little-endian: the caller's own bytes when
 * they are that already, else scratch [dim x element_bytes]. VS_ERR_INVALID for values that do not
 * fit. */
VSI_FN vs_status vsi_record_vector(vsi_err *err, const vsi_desc *desc, const void *vector, int type,
                                   uint8_t *scratch, const uint8_t **out);

/* Fills out_record from a slot; vector and metadata live in the buffers. */
VSI_FN vs_status vsi_record_read(vsi_err *err, const vsi_coll *coll, uint32_t slot, vsi_buf *vector,
                                 vsi_buf *metadata, vs_record *out_record);

/* The slot of a key that must be there; VS_ERR_NOT_FOUND with a message. */
VS_NODISCARD VSI_FN vs_status vsi_record_find(vsi_err *err, const vs_collection *collection,
                                              const vsi_coll *coll, uint64_t key,
                                              uint32_t *out_slot);

#endif
