/* known.h - two databases whose every byte is known: their files, every content they may show, and what
 * each byte is for, by a map made from docs/FORMAT.md alone. All follows from VT_SEED. */
#ifndef KNOWN_H
#define KNOWN_H

#include "vecstore.h"
#include <stdbool.h>

#define KNOWN_PATH "t.vs"

enum {
    KNOWN_COLLS = 3, /* the last one stays empty */
    KNOWN_KEYS = 160,
    KNOWN_NOTES = 6, /* of each collection, and of the database */
    KNOWN_HITS = 5,
    KNOWN_STATES_MAX = 400,
    KNOWN_FILES_MAX = 4
};

typedef struct known_shape {
    const char *name;
    uint32_t dim;
    int type;
    uint32_t keys;
} known_shape;

extern const known_shape known_shapes[KNOWN_COLLS];

/* The answers that a commit's content has. */
typedef struct known_state {
    uint64_t record[KNOWN_COLLS][KNOWN_KEYS]; /* hashes, by number of the key; 0: no such record */
    uint64_t note[KNOWN_COLLS + 1][KNOWN_NOTES];
    uint64_t count[KNOWN_COLLS];
    vs_hit hits[KNOWN_COLLS][KNOWN_HITS]; /* of known_query */
    size_t hit_count[KNOWN_COLLS];
    uint64_t digest[2], lsn;
} known_state;

typedef struct known_file {
    char path[32];
    uint8_t *data;
    uint8_t *map;      /* [bytes], IS_... of each byte */
    uint32_t large[2]; /* values of several pages as they are, and compressed ones */
    size_t bytes;
} known_file;

/* The files that a program left, the data file first, the newest log last; and every content they may show,
 * oldest first. */
typedef struct known_image {
    known_file file[KNOWN_FILES_MAX];
    int count, newest_log; /* 0: no log */
    int states;
    known_state *state;
    uint64_t durable_lsn; /* of the last MARK that is left */
    uint64_t last_lsn;    /* first frame of the last transaction */
} known_image;

/* What a byte is for. */
enum {
    IS_META, /* one page may be lost */
    IS_NODE, /* of the last checkpoint */
    IS_SLAB,
    IS_BLOB,
    IS_LIST,    /* of free pages */
    IS_DYING,   /* only the checkpoint before reaches it */
    IS_OLD_LOG, /* only the checkpoint before needs it */
    IS_LOG,     /* header and frames behind the last checkpoint */
    IS_LAST,   /* the last batch, whose MARK is lost, and all behind the MARK before it, and that */
    IS_UNUSED, /* between the meta pages, free pages, padding */
    IS_REGIONS,
    IS_SHARED = 16 /* added to what the checkpoint before reaches as well */
};

extern const char *const known_region_names[IS_REGIONS];

/* One file, closed, with every kind of extent, deleted records and free pages. */
known_image known_make_closed(void);
/* Killed: two checkpoints, the log between them, and 230 KiB of log behind, without the last MARK. */
known_image known_make_killed(void);
void known_free(known_image *m);

/* Bytes of a file that are for this. */
size_t known_bytes_in(const known_image *m, int file_at, uint8_t region);

/* The key number at of a collection: numbers, then texts, then UUIDs. They ascend. */
vs_key known_key(uint32_t at);
/* The vector that round wrote for a key; valid until the next call. */
const void *known_vector(int coll, uint32_t at, uint32_t round);
const void *known_query(int coll);
uint64_t known_hash_record(int coll, const void *vector, const char *metadata, size_t bytes);
uint64_t known_hash_note(const void *value, size_t bytes);

/* vs_vfs.device_info of a device with small blocks, so that little of a log is padding. */
vs_status known_device(void *ctx, void *file, vs_device_info *out, char *why);

#endif
