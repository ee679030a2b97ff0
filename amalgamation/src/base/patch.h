/* patch.h - merge patches of JSON (RFC 7396). */
#ifndef VSI_PATCH_H
#define VSI_PATCH_H

#include "base/bytes.h"
#include "base/json.h"
#include "base/mem.h"

/* Writes what a patch makes of a target, both any JSON value, without insignificant white space: at most as many
 * bytes as both have. Members keep the target's order, and its spelling of their names; new ones follow in the
 * patch's. Of members of one name the last one counts, the others vanish; arrays are taken as they are.
 *
 * Time: O(n log n) comparisons of names for n members, each as long as the shorter name. Memory: at most 100 bytes for each
 * member, from mem, while it works. VS_ERR_INVALID and VS_ERR_LIMIT (nested too deep; 4 GiB) name the text, the
 * offset and what was expected; VS_ERR_NOMEM. */
VSI_FN vs_status vsi_patch_merge(vsi_err *err, vsi_mem *mem, vsi_bytes target, vsi_bytes patch,
                                 vsi_json_out *out);

#endif
