/* range.c - which records a command wants, by their keys. */
#include "range.h"
#include "record.h"

int range_parse(const shell_call *call, scan_range *out) {
    static const char *const names[] = {"--from", "--to", "--prefix"};
    const vs_key **places[] = {&out->range.from, &out->range.to, &out->range.prefix};
    out->range = (vs_range)VS_RANGE_INIT;
    for (int i = 0; i < 3; i++) {
        const char *text = shell_value(call, names[i]);
        int result = text ? key_parse(call, text, &out->bound[i]) : SHELL_OK;
        if (result != SHELL_OK)
            return result;
        if (!text)
            continue;
        out->key[i] = key_of(&out->bound[i]);
        *places[i] = &out->key[i];
    }
    out->space = (uint32_t)shell_number(call, "--namespace", 0);
    if (shell_value(call, "--namespace"))
        out->range.space = &out->space;
    return SHELL_OK;
}
