/* spec.c - what the index description of a vector field asks for. */
#include "store/spec.h"
#include "math/codes.h"
#include "math/element.h"

/* Whether there are bounds for such codes (quant/rq). */
static bool spec_has_codes(int type, int metric) {
    return type != VS_BIT && (metric == VS_L2 || metric == VS_IP || metric == VS_COSINE);
}

VSI_FN vs_status vsi_spec_read(vsi_err *err, const char *text, int type, int metric,
                               vsi_spec *out) {
    static const struct {
        const char *text;
        uint32_t code_kind;
    } known[] = {{"auto", 0},
                 {"flat", 0},
                 {"flat(codes=rq8)", 8},
                 {"flat(codes=rq4)", 4},
                 {"flat(codes=rq2)", 2},
                 {"flat(codes=rq1)", 1},
                 {"flat(codes=f16)", VSI_CODE_F16},
                 {"flat(codes=bf16)", VSI_CODE_BF16}};
    const size_t n = sizeof known / sizeof known[0];
    size_t at = 0;
    while (at < n && strcmp(text, known[at].text) != 0)
        at++;
    if (at == n)
        return vsi_fail(err, VS_ERR_INVALID,
                        "index is '%.*s', expected 'auto', 'flat', or 'flat(codes=rq4)', or rq8, "
                        "rq2, rq1, f16, bf16 there",
                        64, text);
    if (known[at].code_kind && !spec_has_codes(type, metric))
        return vsi_fail(err, VS_ERR_INVALID,
                        "index is '%s': there are no codes for vectors of %s under %s, but for "
                        "those of numbers under l2, ip and cosine",
                        text, vsi_type_name(type), vsi_metric_name(metric));
    out->code_kind = known[at].code_kind;
    return VS_OK;
}
