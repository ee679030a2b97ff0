/* mapped.h - included in front of a test program: every database it opens is opened with VS_OPEN_MMAP. */
#ifndef MAPPED_H
#define MAPPED_H

#include "vecstore.h"

static inline vs_status mapped_open(const char *path, const vs_open_options *given,
                                    vs_db **out_db) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    if (given && given->size != sizeof options)
        return vs_open(path, given, out_db);
    options = given ? *given : options;
    options.flags |= VS_OPEN_MMAP;
    return vs_open(path, &options, out_db);
}

#define vs_open mapped_open

#endif
