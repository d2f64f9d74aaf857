// BLAKE3 of what a device has read from a file by itself: the chaining value of every 64 chunks of 1024 bytes, which the host joins to the
// digest of a tensor. The tree is that of the BLAKE3 paper (2020), section 2.1; its root is never computed here.
//
// A thread compresses a chunk, a block the subtree over its chunks. Where the last block has fewer, an odd value of a level moves up as it
// is, which is the tree whose left sides are the largest powers of two.
#include "common.cuh"

namespace blake3 {

constexpr u32 LEAVES = 64;
// Of a chunk.
constexpr u32 BYTES = 1024;
constexpr u32 CHUNK_START = 1, CHUNK_END = 2, PARENT = 4;

// A chaining value.
struct Value {
    u32 of[8];
};

__device__ inline u32 rotated(u32 word, u32 right) { return word >> right | word << (32 - right); }

__device__ inline Value start() {
    return Value{{0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u}};
}

__device__ inline void mix(u32* v, u32 a, u32 b, u32 c, u32 d, u32 x, u32 y) {
    v[a] = v[a] + v[b] + x;
    v[d] = rotated(v[d] ^ v[a], 16);
    v[c] = v[c] + v[d];
    v[b] = rotated(v[b] ^ v[c], 12);
    v[a] = v[a] + v[b] + y;
    v[d] = rotated(v[d] ^ v[a], 8);
    v[c] = v[c] + v[d];
    v[b] = rotated(v[b] ^ v[c], 7);
}

// The compression function; `words` are permuted on the way.
__device__ inline Value compress(Value value, u32* words, u64 counter, u32 length, u32 flags) {
    constexpr u32 PERMUTED[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};
    Value initial = start();
    u32 v[16];
    UNROLL for (u32 i = 0; i < 8; i++) v[i] = value.of[i];
    UNROLL for (u32 i = 0; i < 4; i++) v[8 + i] = initial.of[i];
    v[12] = (u32)counter, v[13] = (u32)(counter >> 32), v[14] = length, v[15] = flags;
    UNROLL for (u32 round = 0; round < 7; round++) {
        mix(v, 0, 4, 8, 12, words[0], words[1]);
        mix(v, 1, 5, 9, 13, words[2], words[3]);
        mix(v, 2, 6, 10, 14, words[4], words[5]);
        mix(v, 3, 7, 11, 15, words[6], words[7]);
        mix(v, 0, 5, 10, 15, words[8], words[9]);
        mix(v, 1, 6, 11, 12, words[10], words[11]);
        mix(v, 2, 7, 8, 13, words[12], words[13]);
        mix(v, 3, 4, 9, 14, words[14], words[15]);
        u32 next[16];
        UNROLL for (u32 i = 0; i < 16; i++) next[i] = words[PERMUTED[i]];
        UNROLL for (u32 i = 0; i < 16; i++) words[i] = next[i];
    }
    UNROLL for (u32 i = 0; i < 8; i++) value.of[i] = v[i] ^ v[8 + i];
    return value;
}

// Fills `words` with the 64 bytes at `data`, of which only `length` are there.
__device__ inline void load(const u8* data, u32 length, u32* words) {
    if (length == 64) {
        const uint4* source = (const uint4*)data;
        UNROLL for (u32 i = 0; i < 4; i++) {
            uint4 four = source[i];
            words[4 * i] = four.x, words[4 * i + 1] = four.y, words[4 * i + 2] = four.z, words[4 * i + 3] = four.w;
        }
    } else {
        UNROLL for (u32 i = 0; i < 16; i++) {
            u32 word = 0;
            UNROLL for (u32 byte = 0; byte < 4; byte++) {
                if (4 * i + byte < length) word |= (u32)data[4 * i + byte] << (8 * byte);
            }
            words[i] = word;
        }
    }
}

// The value of the chunk that `data` begins with, and which is the `counter`-th of its tensor.
__device__ inline Value of_chunk(const u8* data, u32 length, u64 counter) {
    Value value = start();
    for (u32 at = 0; at < length; at += 64) {
        u32 words[16], here = length - at < 64 ? length - at : 64;
        load(data + at, here, words);
        u32 flags = (at == 0 ? CHUNK_START : 0) | (at + here == length ? CHUNK_END : 0);
        value = compress(value, words, counter, here, flags);
    }
    return value;
}

} // namespace blake3

// values[8 * block ..]: that of the block's chunks of `data`, which begins at a multiple of sixteen bytes and with chunk `first` of its
// tensor. There is at least one byte, and a block for every LEAVES chunks.
KERNEL chunk_values(const u8* data, u64 length, u64 first, u32* values) {
    using namespace blake3;
    SHARED(u32[8][LEAVES], shared);
    u64 chunk = (u64)blockIdx.x * LEAVES + threadIdx.x;
    u64 chunks = (length + BYTES - 1) / BYTES;
    u32 count = (u32)smaller(LEAVES, chunks - (u64)blockIdx.x * LEAVES);
    if (threadIdx.x < count) {
        u64 begin = chunk * BYTES;
        Value value = of_chunk(data + begin, (u32)smaller(BYTES, length - begin), first + chunk);
        UNROLL for (u32 i = 0; i < 8; i++) shared[i][threadIdx.x] = value.of[i];
    }
    __syncthreads();
    while (count > 1) {
        u32 pair = 2 * threadIdx.x;
        Value value = start();
        if (pair + 1 < count) {
            u32 words[16];
            UNROLL for (u32 i = 0; i < 8; i++) words[i] = shared[i][pair], words[8 + i] = shared[i][pair + 1];
            value = compress(value, words, 0, 64, PARENT);
        } else if (pair < count) {
            UNROLL for (u32 i = 0; i < 8; i++) value.of[i] = shared[i][pair];
        }
        __syncthreads();
        if (pair < count) {
            UNROLL for (u32 i = 0; i < 8; i++) shared[i][threadIdx.x] = value.of[i];
        }
        count = (count + 1) / 2;
        __syncthreads();
    }
    if (threadIdx.x < 8) values[8 * (u64)blockIdx.x + threadIdx.x] = shared[threadIdx.x][0];
}
