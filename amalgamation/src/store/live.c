/* live.c - the live bitmap of a collection. */
#include "store/live.h"

enum { LIVE_WORD_SLOTS = 64, LIVE_CHUNK_WORDS = VSI_LIVE_CHUNK_SLOTS / LIVE_WORD_SLOTS };

typedef struct live_chunk {
    vsi_block block;
    uint64_t words[LIVE_CHUNK_WORDS];
} live_chunk;

static uint64_t live_bit(uint32_t slot) {
    return (uint64_t)1 << (slot % LIVE_WORD_SLOTS);
}

static uint32_t live_word_at(uint32_t slot) {
    return slot % VSI_LIVE_CHUNK_SLOTS / LIVE_WORD_SLOTS;
}

VSI_FN bool vsi_live_get(const vsi_live *live, uint32_t slot) {
    const live_chunk *chunk = vsi_radix_get(&live->chunks, slot / VSI_LIVE_CHUNK_SLOTS);
    return chunk && chunk->words[live_word_at(slot)] & live_bit(slot);
}

VSI_FN bool vsi_live_set(vsi_cow *cow, vsi_live *live, uint32_t slot, bool is_live) {
    uint32_t at = slot / VSI_LIVE_CHUNK_SLOTS;
    live_chunk *old = vsi_radix_get(&live->chunks, at);
    live_chunk *chunk = old ? vsi_cow_touch(cow, old) : vsi_cow_new(cow, sizeof *chunk);
    if (!chunk || (chunk != old && !vsi_radix_set(cow, &live->chunks, at, chunk)))
        return false;
    if (is_live)
        chunk->words[live_word_at(slot)] |= live_bit(slot);
    else
        chunk->words[live_word_at(slot)] &= ~live_bit(slot);
    return true;
}

static uint32_t live_lowest_bit(uint64_t word) {
    uint32_t at = 0;
#if defined(__GNUC__)
    at = (uint32_t)__builtin_ctzll(word);
#else
    while (!(word >> at & 1))
        at++;
#endif
    return at;
}

/* The first slot in [slot, end) whose bit, after flipping all with flip, is set. */
static uint32_t live_seek(const vsi_live *live, uint32_t slot, uint32_t end, uint64_t flip) {
    while (slot < end) {
        const live_chunk *chunk = vsi_radix_get(&live->chunks, slot / VSI_LIVE_CHUNK_SLOTS);
        uint64_t word = chunk ? chunk->words[live_word_at(slot)] : 0;
        word = (word ^ flip) >> (slot % LIVE_WORD_SLOTS);
        if (word) {
            uint32_t found = slot + live_lowest_bit(word);
            return found < end ? found : end;
        }
        uint32_t unit = chunk ? LIVE_WORD_SLOTS : VSI_LIVE_CHUNK_SLOTS;
        uint32_t step = unit - slot % unit;
        if (step >= end - slot)
            return end;
        slot += step;
    }
    return end;
}

VSI_FN uint32_t vsi_live_next(const vsi_live *live, uint32_t slot, uint32_t end) {
    return live_seek(live, slot, end, 0);
}

VSI_FN uint32_t vsi_live_next_dead(const vsi_live *live, uint32_t slot, uint32_t end) {
    return live_seek(live, slot, end, UINT64_MAX);
}
