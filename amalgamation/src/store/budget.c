/* budget.c - the memory limit: a clock (second chance) over nodes and slabs. */
#include "store/budget.h"

enum { BUDGET_BATCH = 64, BUDGET_SLACK_SHARE = 16 };

static bool budget_is_over(vsi_reside *reside) {
    return vsi_reside_excess(reside, vsi_atomic_load(&reside->limit_bytes) / BUDGET_SLACK_SHARE);
}

static void budget_sweep_nodes(vsi_pager *pager) {
    size_t all = BUDGET_BATCH;
    for (size_t done = 0; done < all && budget_is_over(&pager->reside); done += BUDGET_BATCH)
        all = vsi_pager_evict(pager, BUDGET_BATCH);
}

static void budget_sweep_slabs(vsi_pager *pager, vsi_slabs *slabs) {
    size_t all = BUDGET_BATCH;
    for (size_t done = 0; done < all && budget_is_over(&pager->reside); done += BUDGET_BATCH)
        all = vsi_slabs_evict(slabs, BUDGET_BATCH);
}

static void budget_sweep(vsi_pager *pager, vsi_descs *descs) {
    budget_sweep_nodes(pager);
    for (vsi_desc *desc = vsi_descs_from(descs, 0); desc && budget_is_over(&pager->reside);
         desc = vsi_descs_from(descs, (uint64_t)desc->id + 1))
        for (uint32_t i = 0; i < desc->array_count; i++)
            budget_sweep_slabs(pager, desc->array[i]);
}

VSI_FN void vsi_budget_keep(vsi_pager *pager, vsi_descs *descs) {
    vsi_reside *reside = &pager->reside;
    if (vsi_reside_excess(reside, 0)) {
        budget_sweep(pager, descs); /* takes marks away */
        budget_sweep(pager, descs);
    }
    if (vsi_atomic_load(&reside->waiting_bytes))
        vsi_reside_collect(reside);
}

VSI_FN bool vsi_budget_breathe(vsi_pager *pager, vsi_descs *descs, vsi_stay *stay) {
    vsi_reside *reside = &pager->reside;
    if (!vsi_reside_excess(reside, 0))
        return vsi_stay_renew(reside, stay);
    vsi_stay_leave(reside, *stay);
    vsi_budget_keep(pager, descs);
    *stay = vsi_stay_enter(reside);
    return true;
}
