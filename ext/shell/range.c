/* range.c - which records a command wants, by their keys. */
#include "range.h"
#include "record.h"
#include <string.h>

enum { FROM, TO, PREFIX };

/* A key may have dots: the first two that have keys, or nothing, at both sides are meant. */
static int parse_both(const shell_call *call, const char *text, scan_range *out) {
    for (const char *dots = strstr(text, ".."); dots; dots = strstr(dots + 1, "..")) {
        size_t bytes = (size_t)(dots - text);
        bool has_to = dots[2];
        if (bytes >= sizeof out->from)
            break;
        memcpy(out->from, text, bytes);
        out->from[bytes] = 0;
        if ((bytes && !key_read(out->from, &out->bound[FROM])) ||
            (has_to && !key_read(dots + 2, &out->bound[TO])))
            continue;
        out->range.from = bytes ? &out->key[FROM] : NULL;
        out->range.to = has_to ? &out->key[TO] : NULL;
        return SHELL_OK;
    }
    return shell_usage(call, "--range is '%s', expected FROM..TO, each a key or nothing", text);
}

static int parse_one(const shell_call *call, const char *option, scan_range *out, int which,
                     const vs_key **place) {
    const char *text = shell_value(call, option);
    if (!text)
        return SHELL_OK;
    *place = &out->key[which];
    return key_parse(call, text, &out->bound[which]);
}

int range_parse(const shell_call *call, scan_range *out) {
    const char *both = shell_value(call, "--range");
    vs_range *range = &out->range;
    *range = (vs_range)VS_RANGE_INIT;
    if (both && (shell_value(call, "--from") || shell_value(call, "--to")))
        return shell_usage(call,
                           "--range says both ends, so --from and --to have no place beside it");
    if ((both && parse_both(call, both, out) != SHELL_OK) ||
        parse_one(call, "--from", out, FROM, &range->from) != SHELL_OK ||
        parse_one(call, "--to", out, TO, &range->to) != SHELL_OK ||
        parse_one(call, "--prefix", out, PREFIX, &range->prefix) != SHELL_OK)
        return SHELL_USAGE;
    const vs_key *given[] = {range->from, range->to, range->prefix}; /* FROM, ... */
    for (int i = FROM; i <= PREFIX; i++)
        if (given[i])
            out->key[i] = key_of(&out->bound[i]);
    out->space = (uint32_t)shell_number(call, "--namespace", 0);
    if (shell_value(call, "--namespace"))
        range->space = &out->space;
    return SHELL_OK;
}

bool range_is_given(const shell_call *call) {
    static const char *const names[] = {"--from", "--to", "--range", "--prefix", "--namespace"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (shell_value(call, names[i]))
            return true;
    return false;
}
