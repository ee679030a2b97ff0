/* hook.h - calls the functions of the host that vs_set_hooks was given. */
#ifndef VSI_HOOK_H
#define VSI_HOOK_H

#include "base/status.h"
#include "store/touched.h"

/* A thread that is in a hook; lives on its stack. */
typedef struct vsi_hooked {
    struct vsi_hooked *next;
    uint64_t thread;
} vsi_hooked;

/* The hooks of a database. While a thread is in one, its own calls on the database are refused. */
typedef struct vsi_hooks {
    vs_hooks set;
    vsi_mutex lock; /* guards inside */
    vsi_hooked *inside;
    vsi_atomic_u64 inside_count;
} vsi_hooks;

VSI_FN bool vsi_hooks_init(vsi_hooks *hooks); /* in a zeroed struct; false: no memory */
VSI_FN void vsi_hooks_destroy(vsi_hooks *hooks);

/* Whether the calling thread is in a hook. */
VSI_FN bool vsi_hooks_is_inside(vsi_hooks *hooks);

/* Asks whether a transaction may commit: VS_ERR_REFUSED. The writer role is held. */
VS_NODISCARD VSI_FN vs_status vsi_hooks_commit(vsi_err *err, vsi_hooks *hooks);
/* Tells of a commit and what it changed, or of a rollback. Nothing is held. */
VSI_FN void vsi_hooks_committed(vsi_hooks *hooks, const vsi_touched *touched, uint64_t lsn);
VSI_FN void vsi_hooks_rolled_back(vsi_hooks *hooks);
/* Tells of a call that has ended. */
VSI_FN void vsi_hooks_trace(vsi_hooks *hooks, const vs_trace *trace);

#endif
