// The magnitude of the k-th largest element of a task vector, exactly, by histograms: the answer of kernels/src/select.
//
// A magnitude has 31 bits. Three passes look at eleven, ten and ten of them, from the top: each counts the elements that have the
// bits found so far, by their next bits, and then the bucket is found in which the k-th largest lies. The counts of several tiles add
// up, so a tensor need not fit the memory of the device. What is left of k after the last pass is how many of the elements that equal
// the threshold stay.
#include "element.cuh"

constexpr u32 BUCKETS = 1 << 11;

struct Search {
    // The bits found so far; after the last pass, the threshold.
    u32 prefix;
    u32 unused;
    // How many of the elements with these bits are asked for.
    u64 wanted;
};

// Adds a tile to `counts`: `bits` bits, `shift` from the right.
KERNEL histogram(const void* base, u32 base_kind, const void* theta, u32 theta_kind, u64 length, const Search* search, u32 shift,
                 u32 bits, u64* counts) {
    SHARED(u32[BUCKETS], own);
    for (u32 bucket = threadIdx.x; bucket < BUCKETS; bucket += blockDim.x) own[bucket] = 0;
    __syncthreads();
    u32 prefix = search->prefix;
    for (u64 first = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * RUN; first < length; first += (u64)gridDim.x * STRETCH) {
        u32 n = (u32)smaller(RUN, length - first);
        float theta0[RUN], delta[RUN];
        decode(base, base_kind, first, n, theta0);
        decode(theta, theta_kind, first, n, delta);
        for (u32 i = 0; i < RUN; i++) {
            u32 key = magnitude(delta[i] - theta0[i]);
            // in two steps: all bits may be above the first pass's
            if (i < n && key >> shift >> bits == prefix) atomicAdd(&own[key >> shift & ((1u << bits) - 1)], 1u);
        }
    }
    __syncthreads();
    for (u32 bucket = threadIdx.x; bucket < BUCKETS; bucket += blockDim.x) {
        if (own[bucket] > 0) atomicAdd(&counts[bucket], (u64)own[bucket]);
    }
}

// Finds the bucket and clears the counts for the next pass. One block.
KERNEL narrow(Search* search, u32 bits, u64* counts) {
    SHARED(u64[THREADS], sums);
    constexpr u32 EACH = BUCKETS / THREADS;
    // thread 0 has the topmost buckets
    u32 top = BUCKETS - threadIdx.x * EACH;
    u64 sum = 0;
    for (u32 i = 1; i <= EACH; i++) sum += counts[top - i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    u64 wanted = search->wanted, before = 0;
    u32 prefix = search->prefix;
    for (u32 thread = 0; thread < threadIdx.x; thread++) before += sums[thread];
    __syncthreads();
    if (before < wanted && wanted <= before + sum) {
        u32 bucket = top - 1;
        while (before + counts[bucket] < wanted) before += counts[bucket--];
        search->prefix = prefix << bits | bucket;
        search->wanted = wanted - before;
    }
    __syncthreads();
    for (u32 i = 1; i <= EACH; i++) counts[top - i] = 0;
}
