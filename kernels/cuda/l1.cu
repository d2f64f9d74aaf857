// The L1 norm of a task vector before and after sparsification, granule by granule: kernels/src/statistics/l1.rs.
//
// A block has one granule. It makes a stretch of differences together, and then thirty-two of its threads add them: sixteen lanes of
// all magnitudes, and sixteen of those that stay.
#include "keep.cuh"

// norms[2 * granule] of all, norms[2 * granule + 1] of what stays.
KERNEL l1(const void* base, u32 base_kind, const Term* terms, u64 length, double* norms) {
    SHARED(u32[GROUPS * GROUP], words);
    SHARED(float[2][STRETCH], staged);
    SHARED(double[2 * LANES], sums);
    Term all = terms[0];
    all.rule = KEEP_ALL;
    u64 granule = (u64)blockIdx.x * GRANULE;
    u64 end = smaller(granule + GRANULE, length);
    double sum = 0.0;
    for (u64 start = granule; start < end; start += STRETCH) {
        u64 first = start + threadIdx.x * RUN;
        u32 n = first < end ? (u32)smaller(RUN, end - first) : 0;
        float theta0[RUN], delta[RUN];
        for (u32 i = 0; i < RUN; i++) theta0[i] = 0.0f;
        if (n > 0) decode(base, base_kind, first, n, theta0);
        kept(all, theta0, start, first, n, words, delta);
        for (u32 i = 0; i < RUN; i++) staged[0][threadIdx.x * RUN + i] = i < n ? delta[i] : 0.0f;
        kept(terms[0], theta0, start, first, n, words, delta);
        for (u32 i = 0; i < RUN; i++) staged[1][threadIdx.x * RUN + i] = i < n ? delta[i] : 0.0f;
        __syncthreads();
        if (threadIdx.x < 2 * LANES) {
            const float* values = staged[threadIdx.x / LANES];
            u32 stretch = (u32)smaller(STRETCH, end - start);
            for (u32 i = threadIdx.x % LANES; i < stretch; i += LANES) sum += (double)fabsf(values[i]);
        }
        __syncthreads();
    }
    if (threadIdx.x < 2 * LANES) sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x < 2) {
        double total = 0.0;
        for (u32 lane = 0; lane < LANES; lane++) total += sums[threadIdx.x * LANES + lane];
        norms[2 * blockIdx.x + threadIdx.x] = total;
    }
}
