// Philox4x32-10 and which of its words belongs to which element: kernels/src/philox.rs.
#pragma once
#include "common.cuh"

// Elements whose words are drawn together, from counters of which each gives one word to four of them.
constexpr u32 GROUP = 64;
constexpr u32 COUNTERS = 16;
// Groups that a stretch can reach into, wherever it begins.
constexpr u32 GROUPS = STRETCH / GROUP + 1;

struct Words {
    u32 of[4];
};

__device__ inline Words philox(u64 counter, u32 key0, u32 key1) {
    u32 c[4] = {(u32)counter, (u32)(counter >> 32), 0, 0};
    for (u32 round = 0; round < 10; round++) {
        u64 even = (u64)c[0] * 0xd2511f53u, odd = (u64)c[2] * 0xcd9e8d57u;
        c[0] = (u32)(odd >> 32) ^ c[1] ^ key0;
        c[1] = (u32)odd;
        c[2] = (u32)(even >> 32) ^ c[3] ^ key1;
        c[3] = (u32)even;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    return Words{{c[0], c[1], c[2], c[3]}};
}

// Fills `words` with those of a block's stretch, which begins with element `first` of the tensor: the word of element first + i is
// words[first % GROUP + i]. All threads of the block take part; a barrier must follow before they are read.
__device__ inline void draw(u32 key0, u32 key1, u64 first, u32* words) {
    u64 group = first / GROUP;
    for (u32 place = threadIdx.x; place < GROUPS * COUNTERS; place += blockDim.x) {
        Words drawn = philox((group + place / COUNTERS) * COUNTERS + place % COUNTERS, key0, key1);
        for (u32 w = 0; w < 4; w++) words[place / COUNTERS * GROUP + w * COUNTERS + place % COUNTERS] = drawn.of[w];
    }
}
