/* query_json.c - queries written as JSON: members are options. What a value is made of is checked by who reads
 * it; here only where it ends. */
#include "command.h"
#include "query.h"
#include <string.h>

static const char *skip_space(const char *p) {
    return p + strspn(p, " \t\r\n");
}

/* Behind the string that begins at p; NULL: it does not end. */
static const char *skip_string(const char *p) {
    for (p++; *p && *p != '"'; p++)
        p += *p == '\\' && p[1];
    return *p ? p + 1 : NULL;
}

/* Behind the value that begins at p, whose parts are checked by who reads them; NULL: it does not end. */
static const char *skip_value(const char *p) {
    size_t depth = 0;
    if (*p == '"')
        return skip_string(p);
    do {
        if (*p == '"') {
            p = skip_string(p);
            if (!p)
                return NULL;
            continue;
        }
        depth += *p == '[' || *p == '{';
        depth -= (*p == ']' || *p == '}') && depth;
        p++;
    } while (*p && (depth || !strchr(",}] \t\r\n", *p)));
    return depth ? NULL : p;
}

/* Whether the string between p and end has an escape that take_text does not know. */
static bool has_other_escape(const char *p, const char *end) {
    if (*p != '"')
        return false;
    for (p++; p + 1 < end; p++) {
        if (*p != '\\')
            continue;
        p++;
        if (!strchr("\"\\/", *p))
            return true;
    }
    return false;
}

/* The text between p and end, of a string without its quotes, to *out, which moves behind it. */
static const char *take_text(const char *p, const char *end, char **out) {
    char *start = *out, *to = start;
    bool is_string = *p == '"';
    for (p += is_string, end -= is_string; p < end; p++) {
        p += is_string && *p == '\\';
        *to++ = *p;
    }
    *to = 0;
    *out = to + 1;
    return start;
}

/* One member as an option. */
static int add_member(shell_call *call, const char *name, const char *value) {
    char option[40];
    snprintf(option, sizeof option, "%s%.32s", name[0] && name[1] ? "--" : "-", name);
    bool is_off = !strcmp(value, "false");
    if (!is_off && strcmp(value, "true"))
        return command_add_option(call, option, value);
    int result = command_add_option(call, option, NULL); /* says so when it is no switch */
    call->option_count -= result == SHELL_OK && is_off;
    return result;
}

/* The member at *at, which moves behind it and the comma. */
static int take_member(shell_call *call, const char **at, char **out) {
    const char *p = *at, *end = *p == '"' ? skip_string(p) : NULL;
    if (!end)
        return shell_usage(call, "--json: expected the name of a member at '%.20s'", p);
    const char *name = take_text(p, end, out);
    p = skip_space(end);
    if (*p != ':')
        return shell_usage(call, "--json: expected ':' behind \"%s\"", name);
    p = skip_space(p + 1);
    end = *p && !strchr(",}]", *p) ? skip_value(p) : NULL;
    if (!end)
        return shell_usage(call, "--json: \"%s\" has no value, or one that does not end", name);
    if (has_other_escape(p, end))
        return shell_usage(call, "--json: \"%s\" has an escape other than \\\", \\\\ and \\/",
                           name);
    const char *value = take_text(p, end, out);
    *at = skip_space(end);
    return add_member(call, name, value);
}

int query_from_json(shell_call *call, const char *json, char **out_text) {
    /* Names and values are parts of the text, each with a NUL in place of what stands behind it. */
    char *out = *out_text = shell_alloc(strlen(json) + 1);
    const char *p = skip_space(json);
    int result = SHELL_OK;
    if (*p != '{')
        return shell_usage(call, "--json: expected an object, {\"near\": [...], \"k\": 10}");
    p = skip_space(p + 1);
    while (result == SHELL_OK && *p != '}') {
        result = take_member(call, &p, &out);
        if (result == SHELL_OK && *p != '}' && *p != ',')
            return shell_usage(call, "--json: expected ',' or '}' at '%.20s'", p);
        if (result == SHELL_OK && *p == ',' && *(p = skip_space(p + 1)) == '}')
            return shell_usage(call, "--json: expected a member behind ','");
    }
    if (result == SHELL_OK && *skip_space(p + 1))
        return shell_usage(call, "--json: expected nothing behind '}'");
    return result;
}
