/* makeserialized.c - makeserialized FILE COPY: what vs_serialize gives of the database FILE, opened read-only, as the
 * file COPY. */
#include "vecstore.h"
#include <stdio.h>

static int fail(vs_db *db, const char *what) {
    fprintf(stderr, "makeserialized: %s: %s\n", what, vs_errmsg(db));
    return 1;
}

int main(int argc, char **argv) {
    vs_open_options options = VS_OPEN_OPTIONS_INIT;
    vs_db *db = NULL;
    void *data = NULL;
    size_t bytes = 0;
    if (argc != 3)
        return 2;
    options.flags = VS_OPEN_READONLY;
    if (vs_open(argv[1], &options, &db) != VS_OK)
        return fail(db, "vs_open");
    if (vs_serialize(db, &data, &bytes) != VS_OK)
        return fail(db, "vs_serialize");
    FILE *out = fopen(argv[2], "wb");
    int is_written = out && fwrite(data, 1, bytes, out) == bytes;
    if (!out || fclose(out) || !is_written)
        return fail(db, "fopen");
    vs_free(data);
    return vs_close(db) == VS_OK ? 0 : 1;
}
