/* amalgamate.c - makes vecstore.c from the modules that the manifest lists.
 *
 *   amalgamate DIR OUT     DIR holds manifest and src/; OUT is written
 *
 * Invariants of the output (STYLE: the generator is deterministic and local):
 *   A1  Same input, same bytes: manifest order, LF, no date, version, hash, counter or #line.
 *   A2  One input line gives one output line, except an include of a template, which is expanded.
 *       An include of another module becomes a comment, for its text stands above already.
 * Refused, with file and line: a file in src/ that the manifest does not list, a listed module that
 * does not exist, an include of a later or unlisted file, of a layer not named after "uses", of a
 * system header outside the module that may have it, and two files of one name. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LAYERS_MAX = 32,
    FILES_MAX = 256,
    NAME_MAX_BYTES = 64,
    PATH_MAX_BYTES = 512,
    LINE_MAX_BYTES = 1024
};

typedef struct layer {
    char name[NAME_MAX_BYTES];
    bool may_use[LAYERS_MAX];
} layer;

typedef struct source {
    char name[NAME_MAX_BYTES]; /* file name without folder, such as "wal.c" */
    char system[NAME_MAX_BYTES];
    int layer;
    bool is_template;
} source;

static layer layers[LAYERS_MAX];
static int layer_count;
static source sources[FILES_MAX];
static int source_count;
static const char *root;

static void fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: error: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* snprintf that ends the run when the text does not fit. */
static void print_to(char *out, size_t out_bytes, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, out_bytes, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= out_bytes)
        fail(root, 1, "a name or path beginning '%.40s' is too long", out);
}

static void source_path(const source *src, char *out, size_t out_bytes) {
    print_to(out, out_bytes, "%s/src/%s/%s", root, layers[src->layer].name, src->name);
}

static bool file_exists(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f)
        fclose(f);
    return f != NULL;
}

static int find_layer(const char *name) {
    for (int i = 0; i < layer_count; i++)
        if (!strcmp(layers[i].name, name))
            return i;
    return -1;
}

static int find_source(const char *name) {
    for (int i = 0; i < source_count; i++)
        if (!strcmp(sources[i].name, name))
            return i;
    return -1;
}

/* ---- manifest ------------------------------------------------------------------------------- */

static void add_layer(const char *file, int line, char *words[], int n) {
    if (n < 2 || find_layer(words[1]) >= 0 || layer_count == LAYERS_MAX)
        fail(file, line, "a layer needs a new name");
    layer *l = &layers[layer_count];
    print_to(l->name, sizeof l->name, "%s", words[1]);
    for (int i = 2; i < n; i++) {
        int used = i > 2 ? find_layer(words[i]) : strcmp(words[2], "uses") ? -1 : layer_count;
        if (used < 0)
            fail(file, line, "layer %s: '%s' is no earlier layer", words[1], words[i]);
        l->may_use[used] = true;
    }
    l->may_use[layer_count++] = true;
}

static bool add_source(const char *file, int line, const char *name, const char *system,
                       bool is_template) {
    source src = {.layer = layer_count - 1, .is_template = is_template};
    print_to(src.name, sizeof src.name, "%s", name);
    print_to(src.system, sizeof src.system, "%s", system);
    char path[PATH_MAX_BYTES];
    source_path(&src, path, sizeof path);
    if (!file_exists(path))
        return false;
    if (find_source(name) >= 0)
        fail(file, line, "a file named %s is listed already; names are unique over all layers",
             name);
    if (source_count == FILES_MAX)
        fail(file, line, "more than %d files", FILES_MAX);
    sources[source_count++] = src;
    return true;
}

static void read_manifest_line(const char *file, int line, char *text) {
    char *words[LAYERS_MAX + 2];
    int n = 0;
    text[strcspn(text, "#\r\n")] = 0;
    for (char *w = strtok(text, " \t"); w && n < LAYERS_MAX + 2; w = strtok(NULL, " \t"))
        words[n++] = w;
    if (n == 0)
        return;
    if (!strcmp(words[0], "layer")) {
        add_layer(file, line, words, n);
        return;
    }
    bool is_template = !strcmp(words[0], "template");
    if ((!is_template && strcmp(words[0], "module")) || n < 2 ||
        strlen(words[1]) > NAME_MAX_BYTES - 3)
        fail(file, line, "expected 'layer NAME', 'module NAME' or 'template FILE', found '%s'",
             words[0]);
    if (layer_count == 0)
        fail(file, line, "%s stands before the first layer", words[1]);
    const char *system = n == 4 && !strcmp(words[2], "system") ? words[3] : "";
    bool found = false;
    if (is_template) {
        found = add_source(file, line, words[1], system, true);
    } else {
        char name[NAME_MAX_BYTES];
        print_to(name, sizeof name, "%s.h", words[1]);
        found = add_source(file, line, name, system, false);
        print_to(name, sizeof name, "%s.c", words[1]);
        found = add_source(file, line, name, system, false) || found;
    }
    if (!found)
        fail(file, line, "%s does not exist in src/%s", words[1], layers[layer_count - 1].name);
}

static void read_manifest(void) {
    char path[PATH_MAX_BYTES], text[LINE_MAX_BYTES];
    print_to(path, sizeof path, "%s/manifest", root);
    FILE *f = fopen(path, "rb");
    if (!f)
        fail(path, 1, "cannot be read");
    for (int line = 1; fgets(text, sizeof text, f); line++)
        read_manifest_line(path, line, text);
    fclose(f);
}

/* Every file in a layer's folder must be listed, and in that layer. */
static void refuse_unlisted(void) {
    for (int i = 0; i < layer_count; i++) {
        char path[PATH_MAX_BYTES], file[2 * PATH_MAX_BYTES];
        print_to(path, sizeof path, "%s/src/%s", root, layers[i].name);
        DIR *dir = opendir(path);
        if (!dir)
            fail(path, 1, "layer %s has no such folder", layers[i].name);
        for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
            if (e->d_name[0] == '.')
                continue;
            int at = find_source(e->d_name);
            print_to(file, sizeof file, "%s/%s", path, e->d_name);
            if (at < 0 || sources[at].layer != i)
                fail(file, 1, "the manifest does not list this file under layer %s",
                     layers[i].name);
        }
        closedir(dir);
    }
}

/* ---- output --------------------------------------------------------------------------------- */

/* Splits `#include "x"` or `#include <x>`; false for any other line. */
static bool parse_include(const char *text, char *target, size_t target_bytes, bool *is_system) {
    const char *p = text + strspn(text, " \t");
    if (*p++ != '#')
        return false;
    p += strspn(p, " \t");
    if (strncmp(p, "include", 7))
        return false;
    p += 7 + strspn(p + 7, " \t");
    if (*p != '"' && *p != '<')
        return false;
    *is_system = *p == '<';
    size_t n = strcspn(p + 1, *is_system ? ">" : "\"");
    if (n >= target_bytes)
        return false;
    memcpy(target, p + 1, n);
    target[n] = 0;
    return true;
}

/* The source that an include names, checked against the rules of layers and order. */
static const source *check_include(const source *from, const char *path, int line,
                                   const char *target) {
    const char *slash = strchr(target, '/');
    int at = find_source(slash ? slash + 1 : target);
    if (at < 0 || !slash)
        fail(path, line, "\"%s\" is no listed module (write \"layer/file\")", target);
    const source *to = &sources[at];
    size_t layer_bytes = (size_t)(slash - target);
    if (strlen(layers[to->layer].name) != layer_bytes ||
        strncmp(layers[to->layer].name, target, layer_bytes))
        fail(path, line, "%s is in layer %s", to->name, layers[to->layer].name);
    if (!layers[from->layer].may_use[to->layer])
        fail(path, line, "layer %s may not use layer %s", layers[from->layer].name,
             layers[to->layer].name);
    if (to >= from && !to->is_template)
        fail(path, line, "%s comes later in the manifest than %s", to->name, from->name);
    return to;
}

static void emit(FILE *out, const source *src, int depth) {
    char path[PATH_MAX_BYTES], text[LINE_MAX_BYTES], target[NAME_MAX_BYTES * 2];
    source_path(src, path, sizeof path);
    FILE *in = fopen(path, "rb");
    if (!in)
        fail(path, 1, "cannot be read");
    fprintf(
        out,
        "/* ---- %s/%s "
        "---------------------------------------------------------------------------------- */\n",
        layers[src->layer].name, src->name);
    for (int line = 1; fgets(text, sizeof text, in); line++) {
        bool is_system = false;
        if (!strchr(text, '\n') || strchr(text, '\r'))
            fail(path, line, "lines end with LF and have at most %d bytes", LINE_MAX_BYTES - 2);
        if (!parse_include(text, target, sizeof target, &is_system)) {
            fputs(text, out);
        } else if (is_system) {
            if (strcmp(src->system, "*") && strcmp(src->system, target))
                fail(path, line, "<%s> may not be included here; base/port.h is the place", target);
            fputs(text, out);
        } else if (!strcmp(target, "vecstore.h")) {
            fputs(text, out);
        } else {
            const source *to = check_include(src, path, line, target);
            if (to->is_template && depth < 4)
                emit(out, to, depth + 1);
            else
                fprintf(out, "/* uses %s */\n", target);
        }
    }
    fclose(in);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: amalgamate DIR OUT\n");
        return 2;
    }
    root = argv[1];
    read_manifest();
    refuse_unlisted();
    FILE *out = fopen(argv[2], "wb");
    if (!out)
        fail(argv[2], 1, "cannot be written");
    fprintf(out, "/* vecstore.c - vecstore, an embedded vector database, in one file.\n"
                 " *\n"
                 " * GENERATED from amalgamation/src by `make amalgamation`; do not edit. The "
                 "interface and its\n"
                 " * manual are in vecstore.h.\n"
                 " *\n"
                 " *   cc -O2 -c vecstore.c      (link the program with -lzstd -lm -lpthread)\n"
                 " *\n"
                 " * SPDX-License-Identifier: MIT */\n"
                 "#define VSI_AMALGAMATION 1\n");
    for (int i = 0; i < source_count; i++)
        if (!sources[i].is_template)
            emit(out, &sources[i], 0);
    if (fclose(out))
        fail(argv[2], 1, "could not be written");
    return 0;
}
