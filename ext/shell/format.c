/* format.c - the formats of files, by their names. */
#include "format.h"
#include <string.h>

const char *const format_names[] = {"fvecs", "bvecs", "ivecs", "i8vecs",      "fbin",
                                    "u8bin", "i8bin", "npy",   "safetensors", "jsonl",
                                    "csv",   "tsv",   NULL};

int format_of(const char *path) {
    size_t bytes = strlen(path);
    if (bytes > 4 && !strcmp(path + bytes - 4, ".zst"))
        bytes -= 4;
    for (int i = 0; format_names[i]; i++) {
        size_t n = strlen(format_names[i]);
        if (bytes > n && path[bytes - n - 1] == '.' &&
            !memcmp(path + bytes - n, format_names[i], n))
            return i + 1;
    }
    return 0;
}

bool format_has_names(int format) {
    return format >= FORMAT_JSONL;
}
