/* budget.h - keeps what is read from the file within the memory limit. */
#ifndef VSI_BUDGET_H
#define VSI_BUDGET_H

#include "store/desc.h"

/* Lets nodes and slabs that the file has too leave memory until it is somewhat below the limit, those first
 * that nobody has asked for of late. Any thread that does not stay. */
VSI_FN void vsi_budget_keep(vsi_pager *pager, vsi_descs *descs);

/* For who reads for long: when memory is above the limit, what the stay kept may leave, and true is returned: what
 * was borrowed by it is not valid any more. */
VSI_FN bool vsi_budget_breathe(vsi_pager *pager, vsi_descs *descs, vsi_stay *stay);

#endif
