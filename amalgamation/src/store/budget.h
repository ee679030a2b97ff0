/* budget.h - keeps what is read from the file within the memory limit. */
#ifndef VSI_BUDGET_H
#define VSI_BUDGET_H

#include "store/desc.h"

/* Lets nodes and slabs that the file has too leave memory until it is somewhat below the limit, those first
 * that nobody has asked for of late. Any thread that does not stay. */
VSI_FN void vsi_budget_keep(vsi_pager *pager, vsi_descs *descs);

#endif
