/* truth.c - exact nearest neighbours of .bvecs queries among .bvecs rows, by squared Euclidean
 * distance in whole numbers; ties by lower row. It links nothing of vecstore, so that vecstore can
 * be measured against it.
 *
 *   cc -O2 truth.c -o truth
 *   zstd -dc base.bvecs.zst > base.bvecs; zstd -dc query.bvecs.zst > query.bvecs
 *   ./truth base.bvecs query.bvecs 20 gt.ivecs */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct rows {
    uint8_t *bytes; /* the file: per row int32 dim, then dim bytes */
    size_t count, dim;
} rows;

typedef struct neighbor {
    uint64_t distance;
    int32_t row;
} neighbor;

static void fail(const char *what) {
    fprintf(stderr, "truth: %s\n", what);
    exit(1);
}

static rows load(const char *path) {
    rows r = {0};
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        fail(path);
    size_t bytes = (size_t)ftell(f);
    r.bytes = malloc(bytes);
    rewind(f);
    if (!r.bytes || bytes < 4 || fread(r.bytes, 1, bytes, f) != bytes)
        fail(path);
    fclose(f);
    r.dim = r.bytes[0] | (size_t)r.bytes[1] << 8;
    if (bytes % (r.dim + 4))
        fail("rows of different dimension");
    r.count = bytes / (r.dim + 4);
    return r;
}

static const uint8_t *row_at(const rows *r, size_t at) {
    return r->bytes + at * (r->dim + 4) + 4;
}

static int compare(const void *a, const void *b) {
    const neighbor *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

int main(int argc, char **argv) {
    if (argc != 5)
        fail("usage: truth BASE.bvecs QUERY.bvecs K OUT.ivecs");
    rows base = load(argv[1]), query = load(argv[2]);
    size_t k = strtoul(argv[3], NULL, 10);
    neighbor *all = malloc(base.count * sizeof *all);
    FILE *out = fopen(argv[4], "wb");
    if (!all || !out || base.dim != query.dim || k > base.count)
        fail("memory, output, dimension or k");
    for (size_t q = 0; q < query.count; q++) {
        for (size_t i = 0; i < base.count; i++) {
            const uint8_t *a = row_at(&query, q), *b = row_at(&base, i);
            uint64_t sum = 0;
            for (size_t j = 0; j < base.dim; j++)
                sum += (uint64_t)((a[j] - b[j]) * (a[j] - b[j]));
            all[i] = (neighbor){sum, (int32_t)i};
        }
        qsort(all, base.count, sizeof *all, compare);
        uint8_t word[4] = {(uint8_t)k, (uint8_t)(k >> 8), 0, 0};
        fwrite(word, 1, 4, out);
        for (size_t i = 0; i < k; i++) {
            uint32_t id = (uint32_t)all[i].row;
            for (int b = 0; b < 4; b++)
                word[b] = (uint8_t)(id >> 8 * b);
            fwrite(word, 1, 4, out);
        }
    }
    return fclose(out) ? 1 : 0;
}
