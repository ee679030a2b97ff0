// peer_hnswlib.cpp - hnswlib's search without a graph. Cosine is the inner product of unit vectors.
#include "peer.h"
#include <hnswlib/hnswlib.h>

static void *open_index(const peer_rows *base, const char *store, const char *metric) {
    hnswlib::SpaceInterface<float> *space = nullptr;
    (void)store;
    if (strcmp(metric, "cosine"))
        space = new hnswlib::L2Space(base->dim);
    else
        space = new hnswlib::InnerProductSpace(base->dim);
    auto *index = new hnswlib::BruteforceSearch<float>(space, base->count);
    for (size_t i = 0; i < base->count; i++)
        index->addPoint(base->data + i * base->dim, i);
    return index;
}

static void search(void *state, const float *queries, size_t count, size_t k, int64_t *ids) {
    (void)count; // always one
    auto found = static_cast<hnswlib::BruteforceSearch<float> *>(state)->searchKnn(queries, k);
    for (size_t j = 0; j < k; j++)
        ids[j] = -1;
    for (size_t j = found.size(); j-- > 0; found.pop())
        ids[j] = (int64_t)found.top().second;
}

int main(int argc, char **argv) {
    static const peer hnswlib_flat = {nullptr, open_index, search, 0, 1, 1};
    return peer_main(&hnswlib_flat, argc, argv);
}
