// Which elements of a task vector stay: kernels/src/keep.rs. What depends on the elements before (the ties of a threshold, ranks in
// a row) has been turned into bits by trim.cu and ranks.cu.
#pragma once
#include "element.cuh"
#include "philox.cuh"

// The order of kernels/gpu/src/merge/rule.rs.
enum Rule : u32 { KEEP_ALL = 0, KEEP_FLOOR = 1, KEEP_RANDOM = 2, KEEP_BITS = 3 };

// One expert of a merge of task vectors.
struct Term {
    const void* theta;
    // KEEP_BITS: a bit for each element of the tile, the lowest of a byte first.
    const u8* bits;
    // KEEP_RANDOM: the place in the tensor of the tile's first element.
    u64 first;
    u32 kind;
    u32 rule;
    // KEEP_FLOOR: magnitudes from here on stay. KEEP_RANDOM: words below this do.
    u32 border;
    u32 key0;
    u32 key1;
    float scale;
    float weight;
    u32 unused;
};

// The elements that stay of theta - base, zeros for the rest; of those past the end, anything. All threads of a block come here with
// the same term: `start` is the first element of their stretch and `words` is memory that they share.
__device__ inline void kept(const Term& term, const float* base, u64 start, u64 first, u32 count, u32* words, float* delta) {
    if (term.rule == KEEP_RANDOM) {
        __syncthreads(); // the words of the last expert have been read
        draw(term.key0, term.key1, term.first + start, words);
        __syncthreads();
    }
    if (count == 0) return;
    decode(term.theta, term.kind, first, count, delta);
    u32 skipped = (u32)((term.first + start) % GROUP) + (u32)(first - start);
    u32 bits = term.rule == KEEP_BITS ? term.bits[first / RUN] : 0;
    for (u32 i = 0; i < RUN; i++) {
        delta[i] -= base[i];
        bool stays = true;
        // a NaN stays, so that it is noticed
        if (term.rule == KEEP_FLOOR) stays = magnitude(delta[i]) >= term.border;
        if (term.rule == KEEP_RANDOM) stays = words[skipped + i] < term.border || not_a_number(delta[i]);
        if (term.rule == KEEP_BITS) stays = (bits >> i & 1) != 0;
        if (!stays) delta[i] = 0.0f;
    }
}
