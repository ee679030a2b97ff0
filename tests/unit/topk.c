/* topk.c - the k nearest of a stream, against sorting all of it. */
#include "query/topk.h"
#include "vt.h"

enum { CANDIDATES_MAX = 600 };

static int compare(const void *a, const void *b) {
    const vs_hit *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->key.number > y->key.number) - (x->key.number < y->key.number);
}

/* Distances by kind: spread, with ties, all equal, ascending, descending, with infinities. */
enum { SPREAD, TIES, EQUAL, ASCENDING, DESCENDING, EXTREME, KINDS };

static double make_distance(vt_rng *rng, int kind, size_t i) {
    switch (kind) {
    case SPREAD:
        return vt_uniform(rng) * 2 - 1;
    case TIES:
        return (double)(int)vt_below(rng, 7) - 3;
    case EQUAL:
        return 1.5;
    case ASCENDING:
        return (double)i;
    case DESCENDING:
        return -(double)i;
    default:
        return vt_below(rng, 3) == 0 ? INFINITY : vt_below(rng, 2) ? DBL_MAX : -DBL_MAX;
    }
}

/* n candidates with different keys in random order. */
static void make_candidates(vt_rng *rng, int kind, size_t n, vs_hit *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = (vs_hit){VT_KEY(i * 2654435761u % 1000003), make_distance(rng, kind, i)};
    for (size_t i = n; i > 1; i--) {
        size_t k = vt_below(rng, i);
        uint64_t key = out[i - 1].key.number;
        out[i - 1].key = out[k].key;
        out[k].key.number = key;
    }
}

static void check_hits(const vsi_topk *topk, const vs_hit *candidates, size_t n) {
    static vs_hit sorted[CANDIDATES_MAX];
    memcpy(sorted, candidates, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare);
    VT_EQ(topk->count, n < topk->k ? n : topk->k);
    for (size_t i = 0; i < topk->count; i++) {
        VT_EQ(topk->hits[i].key.number, sorted[i].key.number);
        VT_CHECK(topk->hits[i].distance == sorted[i].distance);
    }
}

static const size_t some_k[] = {1, 2, 3, 7, 10, 31, 32, 33, 100, 599, 600, 700};
enum { SOME_K = sizeof some_k / sizeof some_k[0] };

/* Offers all candidates, or those only that may enter; behind hits[k] nothing is written. */
static void run(vt_rng *rng, int kind, size_t n, size_t k, bool asks_first) {
    vs_hit candidates[CANDIDATES_MAX], hits[CANDIDATES_MAX + 101];
    memset(hits, 0x5a, sizeof hits);
    vs_hit guard = hits[k];
    vsi_topk topk = {.hits = hits, .k = k};
    make_candidates(rng, kind, n, candidates);
    for (size_t i = 0; i < n; i++)
        if (!asks_first || vsi_topk_may_enter(&topk, candidates[i].distance))
            vsi_topk_offer(&topk, candidates[i].key, candidates[i].distance);
    vsi_topk_sort(&topk);
    check_hits(&topk, candidates, n);
    VT_CHECK(!memcmp(&hits[k], &guard, sizeof guard));
}

VT_TEST(the_k_nearest_are_those_that_sorting_everything_gives) {
    vt_rng rng = {vt_seed()};
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < SOME_K; i++)
            for (size_t n = 0; n <= CANDIDATES_MAX; n = n < 12 ? n + 1 : n * 7 / 4)
                run(&rng, kind, n, some_k[i], false);
}

VT_TEST(leaving_out_what_may_not_enter_changes_nothing) {
    vt_rng rng = {vt_seed() + 1};
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < SOME_K; i++)
            for (size_t n = 0; n <= CANDIDATES_MAX; n = n < 12 ? n + 1 : n * 7 / 4)
                run(&rng, kind, n, some_k[i], true);
}

VT_TEST(with_room_left_everything_may_enter) {
    vs_hit hits[3];
    vsi_topk topk = {.hits = hits, .k = 3};
    VT_CHECK(vsi_topk_may_enter(&topk, DBL_MAX));
    vsi_topk_offer(&topk, VT_KEY(1), -5);
    vsi_topk_offer(&topk, VT_KEY(2), -6);
    VT_CHECK(vsi_topk_may_enter(&topk, DBL_MAX));
    VT_CHECK(vsi_topk_may_enter(&topk, INFINITY));
    VT_EQ(topk.count, 2);
}

VT_TEST(once_full_only_what_is_not_farther_than_the_farthest_may_enter) {
    vs_hit hits[3];
    vsi_topk topk = {.hits = hits, .k = 3};
    vsi_topk_offer(&topk, VT_KEY(1), 10);
    vsi_topk_offer(&topk, VT_KEY(2), 30);
    vsi_topk_offer(&topk, VT_KEY(3), 20);
    VT_CHECK(vsi_topk_may_enter(&topk, 29.999));
    VT_CHECK(vsi_topk_may_enter(&topk, -INFINITY));
    VT_CHECK(vsi_topk_may_enter(&topk, 30)); /* its key may be smaller */
    VT_CHECK(!vsi_topk_may_enter(&topk, 30.001));
    VT_CHECK(!vsi_topk_may_enter(&topk, INFINITY));
    vsi_topk_offer(&topk, VT_KEY(4), 5); /* 30 leaves */
    VT_CHECK(!vsi_topk_may_enter(&topk, 20.001));
    VT_CHECK(vsi_topk_may_enter(&topk, 19.999));
}

VT_TEST(of_equal_distances_the_smaller_keys_stay_whatever_the_order) {
    for (uint64_t first = 0; first < 10; first++) {
        vs_hit hits[4];
        vsi_topk topk = {.hits = hits, .k = 4};
        for (uint64_t i = 0; i < 10; i++)
            vsi_topk_offer(&topk, VT_KEY((first + i * 3) % 10), 7);
        vsi_topk_sort(&topk);
        for (uint64_t i = 0; i < 4; i++)
            VT_EQ(hits[i].key.number, i);
    }
}

VT_TEST(keys_are_compared_as_unsigned_numbers) {
    vs_hit hits[2];
    vsi_topk topk = {.hits = hits, .k = 2};
    vsi_topk_offer(&topk, VT_KEY(UINT64_MAX), 1);
    vsi_topk_offer(&topk, VT_KEY((uint64_t)1 << 63), 1);
    vsi_topk_offer(&topk, VT_KEY(5), 1);
    vsi_topk_sort(&topk);
    VT_CHECK(hits[0].key.number == 5);
    VT_CHECK(hits[1].key.number == (uint64_t)1 << 63);
}

VT_TEST(offers_that_do_not_enter_change_nothing) {
    vs_hit hits[5], before[5];
    vsi_topk topk = {.hits = hits, .k = 5};
    for (uint64_t i = 0; i < 5; i++)
        vsi_topk_offer(&topk, VT_KEY(i), (double)i);
    memcpy(before, hits, sizeof hits);
    vsi_topk_offer(&topk, VT_KEY(9), 4); /* equal to the farthest, larger key */
    vsi_topk_offer(&topk, VT_KEY(1), 5);
    VT_CHECK(!memcmp(before, hits, sizeof hits));
    VT_EQ(topk.count, 5);
}

VT_TEST(a_radius_keeps_out_what_is_farther_and_counts_what_is_not) {
    vs_hit hits[3];
    vsi_topk topk = {.hits = hits, .k = 3, .has_radius = true, .radius = 10};
    static const double distances[] = {11, 10, 3, 10.5, 4, 5, 10, INFINITY, -1};
    for (uint64_t i = 0; i < sizeof distances / sizeof distances[0]; i++)
        if (vsi_topk_may_enter(&topk, distances[i]))
            vsi_topk_offer(&topk, VT_KEY(i), distances[i]);
    vsi_topk_sort(&topk);
    VT_EQ(topk.within, 6);
    VT_EQ(topk.count, 3);
    VT_CHECK(hits[0].key.number == 8 && hits[1].key.number == 2 && hits[2].key.number == 4);
    vsi_topk none = {.has_radius = true, .radius = 1};
    VT_CHECK(!vsi_topk_may_enter(&none, 1) && !vsi_topk_may_enter(&none, 2));
    VT_EQ(none.within, 1);
}

/* Slots in the order of the letters that they have. */
static int by_letter(void *ctx, uint32_t slot, uint32_t other) {
    const char *letters = ctx;
    return letters[slot] - letters[other];
}

VT_TEST(keys_at_one_distance_are_in_the_order_of_space_kind_and_what_they_are) {
    static char letters[] = "qzbma";
    vs_hit hits[9];
    vsi_topk topk = {.hits = hits, .k = 9, .order = by_letter, .ctx = letters};
    for (uint32_t slot = 0; slot < 5; slot++)
        vsi_topk_offer(&topk, (vs_key){.number = slot, .kind = VS_KEY_BYTES}, 1);
    vsi_topk_offer(&topk, (vs_key){.number = 3, .space = 1}, 1);
    vsi_topk_offer(&topk, (vs_key){.number = 1, .kind = VS_KEY_UUID}, 1);
    vsi_topk_offer(&topk, (vs_key){.number = UINT64_MAX}, 1);
    vsi_topk_offer(&topk, (vs_key){.number = 7}, 1);
    vsi_topk_sort(&topk);
    VT_CHECK(hits[0].key.number == 7 && hits[1].key.number == UINT64_MAX);
    for (int i = 2; i < 7; i++)
        VT_EQ(letters[hits[i].key.number], "abmqz"[i - 2]);
    VT_CHECK(hits[7].key.kind == VS_KEY_UUID && hits[8].key.space == 1);
}
