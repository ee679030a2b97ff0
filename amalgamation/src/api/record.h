/* record.h - records between the caller's structs and the store. */
#ifndef VSI_RECORD_H
#define VSI_RECORD_H

#include "api/handle.h"

/* A caller's vector in the field's type, elements little-endian: the caller's own bytes when
 * they are that already, else scratch [vector_bytes]. VS_ERR_INVALID for values that do not
 * fit. */
VSI_FN vs_status vsi_record_vector(vsi_err *err, const vsi_field *field, const void *vector,
                                   int type, uint8_t *scratch, const uint8_t **out);
/* VS_ERR_INVALID: the collection has no such field. */
VS_NODISCARD VSI_FN vs_status vsi_record_check_field(vsi_err *err, const vsi_coll *coll,
                                                     uint32_t field);

VSI_FN void vsi_record_bufs_init(vsi_record_bufs *bufs, vsi_mem *mem);
VSI_FN void vsi_record_bufs_free(vsi_record_bufs *bufs);
/* Frees what a handle keeps of the last batch, but for the first keep records. */
VSI_FN void vsi_record_batch_trim(vs_collection *collection, size_t keep);

/* Fills out_record from a slot; what it points to lives in the buffers. */
VSI_FN vs_status vsi_record_read(vsi_err *err, const vsi_coll *coll, uint32_t slot,
                                 vsi_record_bufs *bufs, vs_record *out_record);

/* The slot of a key that must be there; VS_ERR_NOT_FOUND with a message. */
VS_NODISCARD VSI_FN vs_status vsi_record_find(vsi_err *err, const vs_collection *collection,
                                              const vsi_coll *coll, vs_key key, uint32_t *out_slot);

/* Says that a record has no vector of a field: VS_ERR_NOT_FOUND. */
VSI_FN vs_status vsi_record_no_vector(vsi_err *err, const vsi_coll *coll, uint32_t field,
                                      vs_key key);

#endif
