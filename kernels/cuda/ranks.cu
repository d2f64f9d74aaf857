// Bits for the elements that stay when the chance of each grows with the rank of its magnitude in its row, della's pruning:
// kernels/src/ranks.rs. A block has one row: it counts steps of magnitude, makes the chance of each step, and draws.
#include "element.cuh"
#include "philox.cuh"

constexpr u32 IGNORED = 17;
// The first step of what is infinite or no number.
constexpr u32 INFINITE = 0x7f800000u >> IGNORED;
// Steps told apart in a row: those from its largest finite one down.
constexpr u32 SPAN = 1024;

__device__ inline float difference(const void* base, u32 base_kind, const void* theta, u32 theta_kind, u64 element) {
    return decode_one(theta, theta_kind, element) - decode_one(base, base_kind, element);
}

// The place of a step in the table of a row; what is above or below it is at its ends.
__device__ inline u32 place_of(u32 step, u32 floor, u32 last) {
    u32 place = step > floor ? step - floor : 0;
    return place < last ? place : last;
}

// `bits` must be zero before: rows that do not end with a word share it. `first` is the place in the tensor of the first element,
// which is the first of a row.
KERNEL draw_ranked(const void* base, u32 base_kind, const void* theta, u32 theta_kind, u64 length, u64 row, double low, double high,
                   u32 key0, u32 key1, u64 first, u32* bits) {
    SHARED(u32[SPAN], counts);
    SHARED(u32[SPAN], chances);
    SHARED(u32[GROUPS * GROUP], words);
    SHARED(u32[1], top);
    u64 start = blockIdx.x * row;
    u64 end = smaller(start + row, length);
    for (u32 place = threadIdx.x; place < SPAN; place += blockDim.x) counts[place] = 0;
    if (threadIdx.x == 0) top[0] = 0;
    __syncthreads();
    u32 largest = 0;
    for (u64 e = start + threadIdx.x; e < end; e += blockDim.x) {
        u32 step = magnitude(difference(base, base_kind, theta, theta_kind, e)) >> IGNORED;
        if (step < INFINITE && step > largest) largest = step;
    }
    atomicMax(&top[0], largest);
    __syncthreads();
    u32 floor = top[0] + 1 > SPAN ? top[0] + 1 - SPAN : 0, last = top[0] - floor;
    for (u64 e = start + threadIdx.x; e < end; e += blockDim.x) {
        u32 step = magnitude(difference(base, base_kind, theta, theta_kind, e)) >> IGNORED;
        atomicAdd(&counts[place_of(step, floor, last)], 1u);
    }
    __syncthreads();
    // One thread makes the table: a thousand steps are little beside a row.
    if (threadIdx.x == 0) {
        u64 others = end - start - 1, below = 0;
        // an element alone has the middle of the chances
        double lowest = others == 0 ? (low + high) / 2.0 : low;
        double scale = others == 0 ? 0.0 : (high - low) / (double)others;
        for (u32 place = 0; place <= last; place++) {
            u64 count = counts[place];
            double middle = (double)(2 * below + (count > 0 ? count - 1 : 0)) / 2.0;
            below += count;
            chances[place] = (u32)((lowest + scale * middle) * 4294967296.0);
        }
    }
    __syncthreads();
    for (u64 stretch = start; stretch < end; stretch += STRETCH) {
        draw(key0, key1, first + stretch, words);
        __syncthreads();
        u32 n = (u32)smaller(STRETCH, end - stretch), skipped = (u32)((first + stretch) % GROUP);
        for (u32 i = threadIdx.x; i < n; i += blockDim.x) {
            u64 e = stretch + i;
            float delta = difference(base, base_kind, theta, theta_kind, e);
            u32 chance = chances[place_of(magnitude(delta) >> IGNORED, floor, last)];
            if (words[skipped + i] < chance || not_a_number(delta)) atomicOr(&bits[e / 32], 1u << (e % 32));
        }
        __syncthreads();
    }
}
