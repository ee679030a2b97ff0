/* encode.h - codes of a collection's vectors, in slabs beside them.
 *
 * They are derived from the vectors, so the log has nothing of them, and what is missing or damaged is made anew. A field whose
 * index description asks for codes gets them when it has about VSI_ENCODE_ROWS vectors: their mean goes into the
 * parameters, which the catalog keeps, and all live rows are encoded; from then on each row as it is written. */
#ifndef VSI_ENCODE_H
#define VSI_ENCODE_H

#include "store/state.h"

#ifndef VSI_ENCODE_ROWS
#define VSI_ENCODE_ROWS 1024
#endif

/* A row of a field has been written, of a slot that is not live. */
VS_NODISCARD VSI_FN vs_status vsi_encode_row(vsi_err *err, vsi_coll *coll, uint32_t field,
                                             uint32_t slot);
/* A record has been added to state->work: fields get codes if it is time. */
VS_NODISCARD VSI_FN vs_status vsi_encode_begin(vsi_err *err, vsi_state *state);

/* The parameters of a field's codes, NULL: this version has none. Any thread. */
VSI_FN const vsi_rq *vsi_encode_rq(const vsi_coll *coll, uint32_t field);
/* A slab of codes could not be used: the next change of the collection makes it anew. Any thread. */
VSI_FN void vsi_encode_report(vsi_field *field, uint32_t slot);

/* Whether a slot that has the vector of a field whose bit in coded is set has its code, by re-making what the code is judged
 * by. Any thread that stays. */
VS_NODISCARD VSI_FN vs_status vsi_encode_check(vsi_err *err, const vsi_coll *coll, uint32_t field,
                                               uint32_t slot, vsi_buf *work);

#endif
