// What a pass over a tile finds on the way to the magnitude of the k-th largest element of a task vector: kernels/src/select.
//
// A scan counts what is above a bracket and hands out what is inside; the few values in it that very many elements have are counted and not
// handed out. A histogram counts how many elements are in each of some intervals of equal width. Which of them is asked for, and what
// follows from it, is decided on the host, from the parts of all tiles, wherever these were looked at.
#include "element.cuh"

// Values that are counted apart, at most: MAX_ATOMS of bracket.rs.
constexpr u32 ATOMS = 8;
// Intervals that a block counts by itself before it adds them to those of all.
constexpr u32 OWN = 1 << 11;

struct Bracket {
    // Both ends are inside.
    u32 low;
    u32 high;
    // Those that are not used are no magnitude.
    u32 atoms[ATOMS];
};

// Where a scan counts: zeros, those above, those that it hands out, those of each atom.
enum Counted : u32 { ZEROS = 0, ABOVE = 1, LOOSE = 2, OF_ATOMS = 3, COUNTED = 3 + ATOMS };

__device__ inline u32 keys(const void* base, u32 base_kind, const void* theta, u32 theta_kind, u64 first, u64 length, u32* key) {
    if (first >= length) return 0;
    u32 n = (u32)smaller(RUN, length - first);
    float theta0[RUN], delta[RUN];
    decode(base, base_kind, first, n, theta0);
    decode(theta, theta_kind, first, n, delta);
    for (u32 i = 0; i < RUN; i++) key[i] = magnitude(delta[i] - theta0[i]);
    return n;
}

// `loose` has room for every element; in which order they come is nobody's business. `counts` must be zero before.
KERNEL scan(const void* base, u32 base_kind, const void* theta, u32 theta_kind, u64 length, Bracket bracket, u64* counts, u32* loose) {
    SHARED(u32[COUNTED], own);
    SHARED(u32[1], taken);
    SHARED(u64[1], place);
    if (threadIdx.x < COUNTED) own[threadIdx.x] = 0;
    u32 zeros = 0, above = 0, atoms[ATOMS];
    for (u32 a = 0; a < ATOMS; a++) atoms[a] = 0;
    for (u64 start = (u64)blockIdx.x * STRETCH; start < length; start += (u64)gridDim.x * STRETCH) {
        __syncthreads(); // the place of the last stretch has been read
        if (threadIdx.x == 0) taken[0] = 0;
        __syncthreads();
        u32 key[RUN], wanted = 0, count = 0;
        u32 n = keys(base, base_kind, theta, theta_kind, start + threadIdx.x * RUN, length, key);
        for (u32 i = 0; i < RUN; i++) {
            if (i >= n) continue;
            zeros += key[i] == 0;
            above += key[i] > bracket.high;
            bool inside = key[i] >= bracket.low && key[i] <= bracket.high;
            for (u32 a = 0; a < ATOMS; a++) {
                bool counted = inside && key[i] == bracket.atoms[a];
                atoms[a] += counted;
                inside = inside && !counted;
            }
            wanted |= (u32)inside << i;
            count += inside;
        }
        u32 before = count > 0 ? atomicAdd(&taken[0], count) : 0;
        __syncthreads();
        if (threadIdx.x == 0 && taken[0] > 0) place[0] = atomicAdd(&counts[LOOSE], (u64)taken[0]);
        __syncthreads();
        if (count == 0) continue;
        u64 next = place[0] + before;
        for (u32 i = 0; i < RUN; i++) {
            if (wanted >> i & 1) loose[next++] = key[i];
        }
    }
    __syncthreads();
    if (zeros > 0) atomicAdd(&own[ZEROS], zeros);
    if (above > 0) atomicAdd(&own[ABOVE], above);
    for (u32 a = 0; a < ATOMS; a++) {
        if (atoms[a] > 0) atomicAdd(&own[OF_ATOMS + a], atoms[a]);
    }
    __syncthreads();
    if (threadIdx.x < COUNTED && own[threadIdx.x] > 0) atomicAdd(&counts[threadIdx.x], (u64)own[threadIdx.x]);
}

// Intervals of 2^shift magnitudes each, from `low` on: counts[0] is of what is below them, then there is one for each, and the last is of
// what is above `high`, which lies in the last of them. `zeros` is of magnitudes that are zero. All must be zero before.
KERNEL histogram(const void* base, u32 base_kind, const void* theta, u32 theta_kind, u64 length, u32 low, u32 high, u32 shift,
                 u32 intervals, u64* zeros, u64* counts) {
    SHARED(u32[OWN + 2], own);
    SHARED(u32[1], own_zeros);
    bool apart = intervals <= OWN;
    for (u32 place = threadIdx.x; place < OWN + 2; place += blockDim.x) own[place] = 0;
    if (threadIdx.x == 0) own_zeros[0] = 0;
    __syncthreads();
    u32 found = 0;
    for (u64 first = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * RUN; first < length; first += (u64)gridDim.x * STRETCH) {
        u32 key[RUN];
        u32 n = keys(base, base_kind, theta, theta_kind, first, length, key);
        for (u32 i = 0; i < RUN; i++) {
            if (i >= n) continue;
            found += key[i] == 0;
            u32 place = key[i] < low ? 0 : key[i] > high ? intervals + 1 : 1 + ((key[i] - low) >> shift);
            if (apart) {
                atomicAdd(&own[place], 1u);
            } else {
                atomicAdd(&counts[place], (u64)1);
            }
        }
    }
    if (found > 0) atomicAdd(&own_zeros[0], found);
    __syncthreads();
    if (threadIdx.x == 0 && own_zeros[0] > 0) atomicAdd(zeros, (u64)own_zeros[0]);
    for (u32 place = threadIdx.x; apart && place < intervals + 2; place += blockDim.x) {
        if (own[place] > 0) atomicAdd(&counts[place], (u64)own[place]);
    }
}
