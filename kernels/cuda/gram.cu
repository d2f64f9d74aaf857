// Inner products of tensors, or of their differences to a base, granule by granule: kernels/src/statistics/gram.rs and dots.rs.
//
// A block has one granule and sixteen of the pairs; a thread has one of the sixteen lanes of one pair and adds in the order of the
// elements. So every sum has the order that it has on a CPU, whatever the grid.
#include "element.cuh"

struct GramInput {
    const void* data;
    u32 kind;
    u32 unused;
};

constexpr u32 PAIRS = THREADS / LANES;
// Values that are staged at a time, of all inputs together.
constexpr u32 STAGED = 4096;

// products[granule * pairs + pair], the pairs as rows of the upper triangle. The grid has a granule for each x, and sixteen pairs
// for each y. `base` may be null.
KERNEL gram(const void* base, u32 base_kind, const GramInput* inputs, u32 count, u64 length, double* products) {
    SHARED(float[STAGED], staged);
    SHARED(double[THREADS], sums);
    u32 pairs = count * (count + 1) / 2;
    u32 pair = blockIdx.y * PAIRS + threadIdx.x / LANES, lane = threadIdx.x % LANES;
    // the vectors of this thread's pair
    u32 a = 0, b = pair < pairs ? pair : 0;
    while (b >= count - a) {
        b -= count - a;
        a++;
    }
    b += a;
    u64 granule = (u64)blockIdx.x * GRANULE;
    u64 end = smaller(granule + GRANULE, length);
    u32 chunk = STAGED / count / LANES * LANES;
    double sum = 0.0;
    for (u64 first = granule; first < end; first += chunk) {
        u32 n = (u32)smaller(chunk, end - first);
        for (u32 place = threadIdx.x; place < count * n; place += blockDim.x) {
            u32 input = place / n, element = place % n;
            float value = decode_one(inputs[input].data, inputs[input].kind, first + element);
            if (base) value -= decode_one(base, base_kind, first + element);
            staged[input * chunk + element] = value;
        }
        __syncthreads();
        for (u32 element = lane; element < n; element += LANES) {
            sum += (double)staged[a * chunk + element] * (double)staged[b * chunk + element];
        }
        __syncthreads();
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (lane == 0 && pair < pairs) {
        double total = 0.0;
        for (u32 l = 0; l < LANES; l++) total += sums[threadIdx.x + l];
        products[(u64)blockIdx.x * pairs + pair] = total;
    }
}
