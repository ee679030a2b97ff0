// peer_faiss.cpp - faiss's flat index, one thread. Cosine is the inner product of unit vectors.
#include "peer.h"
#include <faiss/IndexFlat.h>
#include <omp.h>
#include <vector>

static void *open_index(const peer_rows *base, const char *store, const char *metric) {
    (void)store;
    omp_set_num_threads(1);
    auto *index = new faiss::IndexFlat(
        base->dim, strcmp(metric, "cosine") ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT);
    index->add((int64_t)base->count, base->data);
    return index;
}

static void search(void *state, const float *queries, size_t count, size_t k, int64_t *ids) {
    static std::vector<float> distances;
    distances.resize(count * k);
    static_cast<faiss::IndexFlat *>(state)->search((int64_t)count, queries, (int64_t)k,
                                                   distances.data(), ids);
}

int main(int argc, char **argv) {
    static const peer faiss_flat = {nullptr, open_index, search, 1, 1, 1};
    return peer_main(&faiss_flat, argc, argv);
}
