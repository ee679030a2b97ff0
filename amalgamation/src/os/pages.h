/* pages.h - memory straight from the system, for base/region. */
#ifndef VSI_OS_PAGES_H
#define VSI_OS_PAGES_H

#include "base/region.h"

VSI_FN const vsi_pages *
vsi_system_pages(void); /* NULL where there are no large ones for the asking */

#endif
