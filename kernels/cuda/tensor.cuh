// What a warp does as one: products of small matrices on tensor cores, reading their operands from shared memory, and copies that go on
// beside the computing. The one file with inline assembly; shim/warp.h has the same for a processor.
//
// Matrices are bfloat16, sums f32. `g` is the lane over four, `t` the lane modulo four. A matrix of 16 x 16 is four words of a lane, of
// which each has two elements side by side in k:
//
//   A, rows x k        words (g, 2t) (g+8, 2t) (g, 2t+8) (g+8, 2t+8)
//   B, k x columns     words (2t, g) (2t+8, g) of columns 0-7, then the same of 8-15
//   C, rows x columns  sums (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1) of columns 0-7
//
// So the sums of a product are, rounded and in pairs, the A of the next: no lane hands anything to another.
#pragma once
#include "element.cuh"

constexpr u32 WARP = 32;

#ifdef BRAID_SHIM
#include "shim/warp.h"
#else
// c += a b, of 16 x 16 by 16 x 8.
__device__ inline void multiply(float* c, const u32* a, const u32* b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four matrices of 8 x 8; lane l points at row l % 8 of matrix l / 8, sixteen bytes in shared memory. A lane gets of each matrix row g,
// columns 2t and 2t+1.
__device__ inline void load_matrices(u32* words, const u16* row) {
    u32 place = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(place)
                 : "memory");
}

// The same of the matrices transposed: rows 2t and 2t+1 of column g.
__device__ inline void load_transposed(u32* words, const u16* row) {
    u32 place = (u32)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(place)
                 : "memory");
}

// Begins to copy sixteen bytes to shared memory; zeros instead, if there is nothing to copy.
__device__ inline void begin_copy(void* shared, const void* from, bool there) {
    u32 place = (u32)__cvta_generic_to_shared(shared), bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(place), "l"(from), "r"(bytes) : "memory");
}

// Two elements in a word, the first in its lower half; rounded to nearest, ties to even. Infinities stay, a NaN stays one.
__device__ inline u32 pair_of(float low, float high) {
    u32 word;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

// All copies that this thread has begun since the last call are a group.
__device__ inline void close_group() { asm volatile("cp.async.commit_group;" : : : "memory"); }

// Waits until no group of this thread is on its way. Others know of it after the next barrier.
__device__ inline void wait_for_groups() { asm volatile("cp.async.wait_group 0;" : : : "memory"); }
#endif
