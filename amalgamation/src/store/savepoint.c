/* savepoint.c - nested scopes of a transaction.
 *
 *   R1  The scopes of the savepoints are the innermost open ones, in their order. A statement's scope
 *       ends before one is opened or ended.
 *   R2  Going back and ending need no memory, so they cannot fail. */
#include "store/savepoint.h"

VSI_FN vsi_savepoint *vsi_savepoints_at(const vsi_savepoints *points, uint32_t number) {
    vsi_assert(number >= 1);
    vsi_assert(number <= points->count);
    return (vsi_savepoint *)(void *)points->list.data + (number - 1);
}

VSI_FN vs_status vsi_savepoints_open(vsi_err *err, vsi_savepoints *points, const vsi_state *state) {
    vsi_savepoint point;
    if (points->count >= VS_SAVEPOINTS_MAX)
        return vsi_fail(err, VS_ERR_LIMIT, "%lu savepoints are open, the limit is %u",
                        (unsigned long)points->count, VS_SAVEPOINTS_MAX);
    if (!vsi_buf_reserve(&points->list, sizeof point))
        return vsi_fail_nomem(err, sizeof point);
    memset(&point, 0, sizeof point);
    point.state = *state;
    point.mark = vsi_cow_open(&points->engine->cow);
    point.pages_bytes = points->engine->pager.taken.bytes;
    vsi_buf_append(&points->list, &point, sizeof point);
    points->count++;
    return VS_OK;
}

static void savepoints_drop(vsi_savepoints *points) {
    points->count--;
    points->list.bytes -= sizeof(vsi_savepoint);
}

VSI_FN void vsi_savepoints_rollback_to(vsi_savepoints *points, uint32_t number, vsi_state *state) {
    vsi_engine *engine = points->engine;
    for (; points->count > number; savepoints_drop(points)) /* R1 */
        vsi_cow_undo(&engine->cow, vsi_savepoints_at(points, points->count)->mark);
    vsi_savepoint *point = vsi_savepoints_at(points, number);
    vsi_cow_undo(&engine->cow, point->mark);
    vsi_pager_undo_to(&engine->pager, point->pages_bytes);
    uint64_t changes = state->changes;
    *state = point->state;
    state->changes = changes + 1; /* cursors must look again */
    point->mark = vsi_cow_open(&engine->cow);
}

VSI_FN void vsi_savepoints_release(vsi_savepoints *points, uint32_t number) {
    for (; points->count >= number; savepoints_drop(points))
        vsi_cow_keep(&points->engine->cow, vsi_savepoints_at(points, points->count)->mark);
    if (!points->count)
        vsi_buf_free(&points->list);
}
