// Bits for the elements that a threshold keeps, with the first few of those that equal it: `TileTrim` of kernels/src/keep.rs.
//
// Three steps: how many elements of each stretch equal the threshold, how many there are before each stretch, and then the bits.
#include "element.cuh"

__device__ inline u32 equal_to(const float* delta, u32 count, u32 threshold) {
    u32 equal = 0;
    for (u32 i = 0; i < RUN; i++) equal += i < count && magnitude(delta[i]) == threshold;
    return equal;
}

__device__ inline u32 differences(const void* base, u32 base_kind, const void* theta, u32 theta_kind, u64 first, u64 length,
                                  float* delta) {
    if (first >= length) return 0;
    u32 n = (u32)smaller(RUN, length - first);
    float theta0[RUN];
    decode(base, base_kind, first, n, theta0);
    decode(theta, theta_kind, first, n, delta);
    for (u32 i = 0; i < RUN; i++) delta[i] -= theta0[i];
    return n;
}

// The sum of `value` over the threads before this one. All threads of the block come here.
__device__ inline u32 sum_before(u32 value, u32* room) {
    u32 sum = value;
    room[threadIdx.x] = sum;
    for (u32 step = 1; step < THREADS; step *= 2) {
        __syncthreads();
        u32 other = threadIdx.x >= step ? room[threadIdx.x - step] : 0;
        __syncthreads();
        sum += other;
        room[threadIdx.x] = sum;
    }
    __syncthreads();
    return sum - value;
}

// counts[block] of the elements that equal the threshold. One block for each stretch.
KERNEL count_ties(const void* base, u32 base_kind, const void* theta, u32 theta_kind, u64 length, u32 threshold, u64* counts) {
    SHARED(u32[THREADS], room);
    float delta[RUN] = {};
    u32 n = differences(base, base_kind, theta, theta_kind, (u64)blockIdx.x * STRETCH + threadIdx.x * RUN, length, delta);
    u32 own = equal_to(delta, n, threshold);
    u32 before = sum_before(own, room);
    if (threadIdx.x == THREADS - 1) counts[blockIdx.x] = before + own;
}

// counts[i] becomes the sum of those before it. One block.
KERNEL sum_ties(u64* counts, u32 length) {
    SHARED(u64[THREADS], sums);
    u32 each = (length + THREADS - 1) / THREADS;
    u32 first = threadIdx.x * each, end = (u32)smaller(first + each, length);
    u64 sum = 0;
    for (u32 i = first; i < end; i++) sum += counts[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    u64 before = 0;
    for (u32 thread = 0; thread < threadIdx.x; thread++) before += sums[thread];
    for (u32 i = first; i < end; i++) {
        u64 own = counts[i];
        counts[i] = before;
        before += own;
    }
}

// Sets the bits of what is above the threshold and of the first `ties` that equal it; with `drop`, clears these bits instead, of which
// those of a NaN stay. One block for each stretch.
KERNEL trim(const void* base, u32 base_kind, const void* theta, u32 theta_kind, u64 length, u32 threshold, u64 ties,
            const u64* before, u32 drop, u8* bits) {
    SHARED(u32[THREADS], room);
    u64 first = (u64)blockIdx.x * STRETCH + threadIdx.x * RUN;
    float delta[RUN] = {};
    u32 n = differences(base, base_kind, theta, theta_kind, first, length, delta);
    u64 rank = before[blockIdx.x] + sum_before(equal_to(delta, n, threshold), room);
    u32 stays = 0;
    for (u32 i = 0; i < RUN; i++) {
        u32 own = magnitude(delta[i]);
        bool tied = own == threshold && rank < ties;
        rank += own == threshold;
        bool spared = drop && not_a_number(delta[i]);
        stays |= (u32)(i < n && (own > threshold || tied) && !spared) << i;
    }
    if (n > 0) bits[first / RUN] = drop ? (u8)(bits[first / RUN] & ~stays) : (u8)stays;
}
