/* token.c - transactions that commit at most once.
 *
 * A token is a note that has the LSN of the commit. Beside it a ring of notes has the last VS_TOKENS_MAX tokens in their
 * order, so that the oldest one can go when the next comes; both belong to collection ids that no collection has.
 *
 *   O1  The LSN in the note is that of the COMMIT frame which brings it: between staging and committing nothing
 *       else is written to the log. */
#include "api/token.h"

enum { TOKEN_NUMBER_BYTES = 8, TOKEN_PLACE_BYTES = 4 };

/* The value of a note of ours, of at most room bytes, which a transaction or snapshot has; *out_bytes 0: there is no
 * such note. */
static vs_status token_read(vsi_err *err, const vsi_state *state, uint32_t coll, vsi_bytes key,
                            uint8_t *out, size_t room, size_t *out_bytes) {
    vsi_value found = {.bytes = 0};
    vsi_buf buf = {.mem = state->notes.cow->mem};
    vs_status st = vsi_note_find(err, state, coll, key, &found);
    *out_bytes = 0;
    if (st == VS_ERR_NOT_FOUND)
        return VS_OK;
    if (st == VS_OK && (found.bytes < 1 || found.bytes > room))
        st = vsi_fail(err, VS_ERR_CORRUPT, "notes of tokens: one has %lu bytes, 1 to %zu are due",
                      (unsigned long)found.bytes, room);
    if (st == VS_OK)
        st = vsi_value_read(err, &state->notes, &found, &buf);
    if (st == VS_OK) {
        memcpy(out, buf.data, buf.bytes);
        *out_bytes = buf.bytes;
    }
    vsi_buf_free(&buf);
    return st;
}

/* The same for a number; 0 when there is none. */
static vs_status token_read_number(vsi_err *err, const vsi_state *state, uint32_t coll,
                                   vsi_bytes key, uint64_t *out) {
    uint8_t bytes[TOKEN_NUMBER_BYTES];
    size_t n = 0;
    vs_status st = token_read(err, state, coll, key, bytes, sizeof bytes, &n);
    if (st == VS_OK && n && n != sizeof bytes)
        st = vsi_fail(err, VS_ERR_CORRUPT, "notes of tokens: a number has %zu bytes, expected %zu",
                      n, sizeof bytes);
    if (st == VS_OK)
        *out = n ? vsi_get_u64(bytes) : 0;
    return st;
}

/* ---- staging -------------------------------------------------------------------------------- */

/* value.data NULL: the note goes. */
static vs_status token_put(vsi_err *err, vsi_write *write, uint32_t coll, vsi_bytes key,
                           vsi_bytes value) {
    return vsi_statement_apply(err, write,
                               &(vsi_op){.kind = VSI_OP_NOTE,
                                         .coll = coll,
                                         .note_key = key,
                                         .note_value = value,
                                         .note_has_value = value.data});
}

/* Takes the token at a place of the ring away, if there is one. */
static vs_status token_drop_old(vsi_err *err, vsi_write *write, vsi_bytes place) {
    uint8_t old[VS_TOKEN_BYTES_MAX];
    size_t n = 0;
    vs_status st =
        token_read(err, &write->state, VSI_NOTES_OF_TOKEN_RING, place, old, sizeof old, &n);
    if (st == VS_OK && n)
        st = token_put(err, write, VSI_NOTES_OF_TOKENS, (vsi_bytes){old, n}, (vsi_bytes){NULL, 0});
    return st;
}

static vs_status token_stage_notes(vsi_err *err, vsi_write *write, vsi_bytes token, uint64_t lsn) {
    static const uint8_t total[] = {0};
    uint8_t place[TOKEN_PLACE_BYTES], lsn_bytes[TOKEN_NUMBER_BYTES],
        count_bytes[TOKEN_NUMBER_BYTES];
    uint64_t count = 0;
    const vsi_bytes total_key = {total, sizeof total}, place_key = {place, sizeof place};
    vs_status st =
        token_read_number(err, &write->state, VSI_NOTES_OF_TOKEN_RING, total_key, &count);
    if (st != VS_OK)
        return st;
    vsi_put_u32(place, (uint32_t)(count % VS_TOKENS_MAX));
    vsi_put_u64(lsn_bytes, lsn);
    vsi_put_u64(count_bytes, count + 1);
    st = token_drop_old(err, write, place_key);
    if (st == VS_OK)
        st = token_put(err, write, VSI_NOTES_OF_TOKENS, token,
                       (vsi_bytes){lsn_bytes, sizeof lsn_bytes});
    if (st == VS_OK)
        st = token_put(err, write, VSI_NOTES_OF_TOKEN_RING, place_key, token);
    if (st == VS_OK)
        st = token_put(err, write, VSI_NOTES_OF_TOKEN_RING, total_key,
                       (vsi_bytes){count_bytes, sizeof count_bytes});
    return st;
}

VSI_FN vs_status vsi_token_stage(vsi_err *err, vs_txn *txn) {
    vsi_write *write = &txn->write;
    vsi_statement statement;
    if (!txn->token_bytes)
        return VS_OK;
    vs_status st = vsi_statement_begin(err, write, &statement); /* what is large leaves here */
    if (st != VS_OK)
        return st;
    st = token_stage_notes(err, write, (vsi_bytes){txn->token, txn->token_bytes},
                           vsi_write_next_lsn(write)); /* keeps O1 */
    if (st == VS_OK)
        vsi_statement_keep(write, &statement);
    else
        vsi_statement_undo(write, &statement);
    return st;
}

/* ---- asking --------------------------------------------------------------------------------- */

static vs_status token_check_call(vsi_err *err, const vs_txn *txn, const void *token,
                                  size_t bytes) {
    if (!txn->is_write)
        return vsi_fail(err, VS_ERR_MISUSE, "a read transaction has no token");
    if (txn->token_bytes)
        return vsi_fail(err, VS_ERR_MISUSE, "the transaction has a token already");
    if (!token)
        return vsi_fail(err, VS_ERR_MISUSE, "the token is NULL");
    if (bytes < 1 || bytes > VS_TOKEN_BYTES_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "a token has 1 to %u bytes, this one %zu",
                        VS_TOKEN_BYTES_MAX, bytes);
    return VS_OK;
}

static vs_status token_find(vsi_err *err, vs_txn *txn, vsi_bytes token, uint64_t *out_lsn) {
    vsi_view view = vsi_view_open(txn->head.db, txn);
    uint64_t lsn = 0;
    vs_status st = token_read_number(err, view.state, VSI_NOTES_OF_TOKENS, token, &lsn);
    vsi_view_close(txn->head.db, view);
    if (st != VS_OK || !lsn)
        return st;
    if (out_lsn)
        *out_lsn = lsn;
    return vsi_fail(err, VS_ERR_EXISTS, "a transaction with this token was committed, LSN %llu",
                    (unsigned long long)lsn);
}

vs_status vs_txn_token(vs_txn *txn, const void *token, size_t bytes, uint64_t *out_lsn) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(txn, "vs_txn_token");
    vsi_err err = {0};
    vs_status st = token_check_call(&err, txn, token, bytes);
    if (st == VS_OK)
        st = token_find(&err, txn, (vsi_bytes){token, bytes}, out_lsn);
    if (st == VS_OK) {
        memcpy(txn->token, token, bytes);
        txn->token_bytes = bytes;
    }
    return vsi_trace_end(&trace, vsi_handle_end(&txn->head, st, &err), 0);
}
