/* transaction.c - transactions of the public interface. */
#include "api/cursor.h"
#include "api/token.h"

static vs_status txn_begin(vsi_err *err, vs_db *db, int kind, vs_txn **out_txn) {
    vs_status st = VS_OK;
    if (kind != VS_TXN_READ && kind != VS_TXN_WRITE)
        return vsi_fail(err, VS_ERR_MISUSE, "vs_begin: kind is %d, expected VS_TXN_...", kind);
    vs_txn *txn = vsi_alloc_zeroed(&db->mem, sizeof *txn);
    if (!txn)
        return vsi_fail_nomem(err, sizeof *txn);
    txn->is_write = kind == VS_TXN_WRITE;
    if (txn->is_write)
        st = vsi_begin(err, db, &txn->write);
    else
        txn->version = vsi_versions_pin(&db->engine->versions);
    if (st != VS_OK) {
        vsi_free(&db->mem, txn, sizeof *txn);
        return st;
    }
    vsi_handle_open(&txn->head, VSI_TAG_TXN, db, &db->txns);
    *out_txn = txn;
    return VS_OK;
}

vs_status vs_begin(vs_db *db, int kind, vs_txn **out_txn) {
    if (vsi_handle_check_call(db, VSI_TAG_DB, out_txn, "out_txn") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(db, "vs_begin");
    vsi_err err = {0};
    vs_status st = vsi_handle_end(&db->head, txn_begin(&err, db, kind, out_txn), &err);
    return vsi_trace_end(&trace, st, 0);
}

/* Frees the handle; a write transaction itself has ended already. */
static void txn_free(vs_txn *txn) {
    vs_db *db = txn->head.db;
    vsi_cursors_detach(txn);
    if (!txn->is_write)
        vsi_versions_unpin(&db->engine->versions, txn->version);
    vsi_handle_close(&txn->head, &db->txns);
    vsi_free(&db->mem, txn, sizeof *txn);
}

static vs_status txn_commit(vsi_err *err, vs_txn *txn, int sync) {
    vs_status st = vsi_token_stage(err, txn);
    if (st == VS_OK)
        return vsi_commit(err, txn->head.db, &txn->write, sync);
    vsi_rollback(txn->head.db, &txn->write);
    return st;
}

vs_status vs_commit(vs_txn *txn, int sync) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(txn, "vs_commit");
    vs_db *db = txn->head.db;
    vsi_err err = {0};
    vs_status st = VS_OK;
    if (sync < VS_SYNC_DEFAULT || sync > VS_SYNC_OFF) {
        st = vsi_fail(&err, VS_ERR_MISUSE, "vs_commit: sync is %d, expected VS_SYNC_...", sync);
        if (txn->is_write)
            vsi_rollback(db, &txn->write);
    } else if (txn->is_write) {
        st = txn_commit(&err, txn, sync);
    }
    txn_free(txn);
    return vsi_trace_end(&trace, vsi_handle_end(&db->head, st, &err), 0);
}

void vs_rollback(vs_txn *txn) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK)
        return;
    const vsi_trace trace = vsi_trace_begin(txn, "vs_rollback");
    if (txn->is_write)
        vsi_rollback(txn->head.db, &txn->write);
    txn_free(txn);
    (void)vsi_trace_end(&trace, VS_OK, 0);
}

/* ---- hooks ---------------------------------------------------------------------------------- */

vs_status vs_set_hooks(vs_db *db, const vs_hooks *hooks) {
    if (vsi_handle_check(db, VSI_TAG_DB) != VS_OK)
        return VS_ERR_MISUSE;
    vsi_err err = {0};
    vs_hooks all = VS_HOOKS_INIT;
    vs_status st = hooks ? vsi_struct_read(&err, "vs_hooks", hooks, &all, sizeof all) : VS_OK;
    if (st == VS_OK) /* a transaction has the same ones from begin to end */
        st = vsi_role_take(&err, db->engine, false);
    if (st == VS_OK) {
        db->hooks.set = all;
        vsi_role_give(db->engine);
    }
    return vsi_handle_end(&db->head, st, &err);
}

/* ---- savepoints ----------------------------------------------------------------------------- */

static vs_status txn_check_writes(vsi_err *err, const vs_txn *txn) {
    if (txn->is_write)
        return VS_OK;
    return vsi_fail(err, VS_ERR_MISUSE, "a read transaction has no savepoints");
}

vs_status vs_savepoint(vs_txn *txn, uint32_t *out_savepoint) {
    if (vsi_handle_check_call(txn, VSI_TAG_TXN, out_savepoint, "out_savepoint") != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(txn, "vs_savepoint");
    vsi_err err = {0};
    vs_status st = txn_check_writes(&err, txn);
    if (st == VS_OK)
        st = vsi_write_savepoint(&err, &txn->write, out_savepoint);
    return vsi_trace_end(&trace, vsi_handle_end(&txn->head, st, &err), 0);
}

vs_status vs_rollback_to(vs_txn *txn, uint32_t savepoint) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(txn, "vs_rollback_to");
    vsi_err err = {0};
    vs_status st = txn_check_writes(&err, txn);
    if (st == VS_OK)
        st = vsi_write_rollback_to(&err, &txn->write, savepoint);
    return vsi_trace_end(&trace, vsi_handle_end(&txn->head, st, &err), 0);
}

vs_status vs_release(vs_txn *txn, uint32_t savepoint) {
    if (vsi_handle_check(txn, VSI_TAG_TXN) != VS_OK)
        return VS_ERR_MISUSE;
    const vsi_trace trace = vsi_trace_begin(txn, "vs_release");
    vsi_err err = {0};
    vs_status st = txn_check_writes(&err, txn);
    if (st == VS_OK)
        st = vsi_write_release(&err, &txn->write, savepoint);
    return vsi_trace_end(&trace, vsi_handle_end(&txn->head, st, &err), 0);
}
