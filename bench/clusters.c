/* clusters.c - vectors that lie in clusters, the same in every run and on every machine.
 *
 *   clusters bytes|bits ROWS DIM CLUSTERS PART >FILE.bvecs
 *
 * Elements are whole numbers from 0 to 127, which every element type has, or bits. Rows of another PART are others around
 * the same centres: part 0 for a collection, part 1 for its queries. No floating point is used. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIM_MAX = 65536, VALUE_MAX = 127, SPREAD = 16 };

/* splitmix64: Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195 */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static int below(uint64_t *state, unsigned limit) {
    return (int)((next_random(state) >> 32) % limit);
}

/* The centre of a cluster, plus four numbers that sum up to something like a normal distribution. */
static int byte_near(int centre, uint64_t *state) {
    int value = centre;
    for (int i = 0; i < 4; i++)
        value += below(state, SPREAD + 1) - SPREAD / 2;
    return value < 0 ? 0 : value > VALUE_MAX ? VALUE_MAX : value;
}

static int bit_near(int centre, uint64_t *state) {
    return (centre >= VALUE_MAX / 2) ^ (below(state, 8) == 0);
}

static void put_row(int is_bits, uint32_t dim, uint64_t cluster, uint64_t *state) {
    uint64_t centre = cluster;
    for (int shift = 0; shift < 32; shift += 8)
        putchar((int)(dim >> shift & 255));
    for (uint32_t i = 0; i < dim; i++) {
        int middle = below(&centre, VALUE_MAX + 1);
        putchar(is_bits ? bit_near(middle, state) : byte_near(middle, state));
    }
}

int main(int argc, char **argv) {
    if (argc != 6 || (strcmp(argv[1], "bytes") != 0 && strcmp(argv[1], "bits") != 0)) {
        fprintf(stderr, "usage: clusters bytes|bits ROWS DIM CLUSTERS PART >FILE.bvecs\n");
        return 2;
    }
    unsigned long rows = strtoul(argv[2], NULL, 10), dim = strtoul(argv[3], NULL, 10);
    unsigned long clusters = strtoul(argv[4], NULL, 10), part = strtoul(argv[5], NULL, 10);
    uint64_t state = part + 1;
    if (!rows || !dim || dim > DIM_MAX || !clusters) {
        fprintf(stderr, "clusters: ROWS, DIM and CLUSTERS are 1 or more, DIM at most %d\n",
                DIM_MAX);
        return 2;
    }
    for (unsigned long i = 0; i < rows; i++)
        put_row(!strcmp(argv[1], "bits"), (uint32_t)dim, next_random(&state) % clusters, &state);
    return fflush(stdout) || ferror(stdout);
}
