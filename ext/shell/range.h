/* range.h - which records a command wants, by their keys. */
#ifndef SHELL_RANGE_H
#define SHELL_RANGE_H

#include "key.h"

/* What the options say; it points into itself. */
typedef struct scan_range {
    record_key bound[3];
    char from[KEY_TEXT_BYTES]; /* that of --range */
    vs_key key[3];
    uint32_t space;
    vs_range range;
} scan_range;

#define OPTIONS_RANGE                                                                              \
    {"--from", OPTION_TEXT, "KEY", "the first key wanted", NULL, 0, 0, NULL},                      \
        {"--to", OPTION_TEXT, "KEY", "the first key not wanted any more", NULL, 0, 0, NULL},       \
        {"--range", OPTION_TEXT, "FROM..TO", "the same in a word; either may be missing",          \
         NULL,      0,           0,          NULL},                                                \
        {"--prefix", OPTION_TEXT, "KEY", "only texts or bytes that begin so", NULL, 0, 0, NULL}, { \
        "--namespace", OPTION_NUMBER, "N", "only keys of this namespace", NULL, 0, UINT32_MAX,     \
            NULL                                                                                   \
    }

/* SHELL_OK, or SHELL_USAGE with a message. */
int range_parse(const shell_call *call, scan_range *out);
/* Whether one of the options was given. */
bool range_is_given(const shell_call *call);

#endif
