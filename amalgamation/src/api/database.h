/* database.h - opening a database: what vs_open and vs_deserialize share. */
#ifndef VSI_DATABASE_H
#define VSI_DATABASE_H

#include "api/handle.h"

#define VSI_MEMORY_PATH ":memory:"

/* What the options stand for that do not say anything else. */
enum { VSI_BUSY_MS = 5000 };
#define VSI_MEMORY_BYTES ((uint64_t)1 << 30)

/* Where a database comes from. */
typedef struct vsi_source {
    const char *call; /* the public function, for messages */
    const char *path; /* of its file; of one in memory not looked at */
    bool is_memory;   /* in memory, */
    bool
        holds; /* where data are its file, borrowed when it is opened read-only; else it is created */
    const void *data; /* [bytes] */
    size_t bytes;
} vsi_source;

/* *out_db is a handle also after a failure, unless there is no memory for one. */
VSI_FN vs_status vsi_database_open(const vsi_source *source, const vs_open_options *options,
                                   vs_db **out_db);

#endif
