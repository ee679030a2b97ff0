/* replay.c - runs a fuzz target on files, and on all files of folders, under any compiler. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int runs;

static void run_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) {
        fprintf(stderr, "replay: %s: cannot be read\n", path);
        exit(1);
    }
    size_t bytes = (size_t)ftell(f);
    uint8_t *data = malloc(bytes ? bytes : 1);
    rewind(f);
    if (!data || fread(data, 1, bytes, f) != bytes)
        exit(1);
    fclose(f);
    LLVMFuzzerTestOneInput(data, bytes);
    free(data);
    runs++;
}

static void run_path(const char *path) {
    struct stat info;
    if (stat(path, &info) || !S_ISDIR(info.st_mode)) {
        run_file(path);
        return;
    }
    DIR *dir = opendir(path);
    if (!dir)
        exit(1);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char file[4096];
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        run_file(file);
    }
    closedir(dir);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    printf("fuzz: %d passed, 0 failed, 0 skipped\n", runs);
    return 0;
}
