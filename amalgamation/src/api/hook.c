/* hook.c - calling the host's hooks.
 *
 *   K1  A hook is called with no lock held, and its thread stands in `inside` meanwhile: vsi_handle_check
 *       refuses what it calls, so that it can neither wait for itself nor change what its caller is at. */
#include "api/hook.h"

VSI_FN bool vsi_hooks_init(vsi_hooks *hooks) {
    const vs_hooks none = VS_HOOKS_INIT;
    hooks->set = none;
    return vsi_mutex_init(&hooks->lock);
}

VSI_FN void vsi_hooks_destroy(vsi_hooks *hooks) {
    vsi_mutex_destroy(&hooks->lock);
}

VSI_FN bool vsi_hooks_is_inside(vsi_hooks *hooks) {
    if (!vsi_atomic_load(&hooks->inside_count)) /* this thread's own entry would be seen */
        return false;
    const uint64_t self = vsi_thread_id();
    vsi_mutex_lock(&hooks->lock);
    const vsi_hooked *hooked = hooks->inside;
    while (hooked && hooked->thread != self)
        hooked = hooked->next;
    vsi_mutex_unlock(&hooks->lock);
    return hooked;
}

static void hook_enter(vsi_hooks *hooks, vsi_hooked *self) {
    self->thread = vsi_thread_id();
    vsi_mutex_lock(&hooks->lock);
    self->next = hooks->inside;
    hooks->inside = self;
    vsi_atomic_add(&hooks->inside_count, 1);
    vsi_mutex_unlock(&hooks->lock);
}

static void hook_leave(vsi_hooks *hooks, const vsi_hooked *self) {
    vsi_mutex_lock(&hooks->lock);
    vsi_hooked **link = &hooks->inside;
    while (*link != self)
        link = &(*link)->next;
    *link = self->next;
    vsi_atomic_add(&hooks->inside_count, UINT64_MAX);
    vsi_mutex_unlock(&hooks->lock);
}

VSI_FN vs_status vsi_hooks_commit(vsi_err *err, vsi_hooks *hooks) {
    vsi_hooked self;
    if (!hooks->set.commit)
        return VS_OK;
    hook_enter(hooks, &self);
    int answer = hooks->set.commit(hooks->set.ctx);
    hook_leave(hooks, &self);
    if (!answer)
        return VS_OK;
    return vsi_fail(err, VS_ERR_REFUSED, "the commit hook refused the commit: it returned %d",
                    answer);
}

static void hook_changes(const vs_hooks *set, const vsi_touched *touched, uint64_t lsn) {
    vs_change change = {.size = sizeof change, .lsn = lsn};
    size_t pos = 0;
    while (set->change && vsi_touched_next(touched, &pos, &change))
        set->change(set->ctx, &change);
}

VSI_FN void vsi_hooks_committed(vsi_hooks *hooks, const vsi_touched *touched, uint64_t lsn) {
    vsi_hooked self;
    if (!hooks->set.change && !hooks->set.committed)
        return;
    hook_enter(hooks, &self);
    hook_changes(&hooks->set, touched, lsn);
    if (hooks->set.committed)
        hooks->set.committed(hooks->set.ctx, lsn);
    hook_leave(hooks, &self);
}

VSI_FN void vsi_hooks_rolled_back(vsi_hooks *hooks) {
    vsi_hooked self;
    if (!hooks->set.rollback)
        return;
    hook_enter(hooks, &self);
    hooks->set.rollback(hooks->set.ctx);
    hook_leave(hooks, &self);
}

VSI_FN void vsi_hooks_trace(vsi_hooks *hooks, const vs_trace *trace) {
    vsi_hooked self;
    hook_enter(hooks, &self);
    hooks->set.trace(hooks->set.ctx, trace);
    hook_leave(hooks, &self);
}
