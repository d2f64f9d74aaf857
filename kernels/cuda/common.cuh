// What all kernels share: names of integers, and the one macro for memory that a block shares.
//
// The files here are CUDA C++ for nvcc, and plain C++ for g++ with shim/cuda.h, which runs them on a processor. So they keep to
// what both have: no headers of CUDA, no inline assembly outside of tensor.cuh, and block-wide barriers only where every thread of a
// block comes by.
//
// They are compiled without contraction of products and sums (-fmad=false, -ffp-contract=off): `fmaf` is written where one
// rounding is meant. That, f32 arithmetic in the order of the inputs, and f64 sums over sixteen lanes make the bytes those of
// the CPU form beside which each kernel stands.
#pragma once

template <class T> using Plain = T;

// UNROLL for (…): a loop whose numbers pick registers.
#ifdef BRAID_SHIM
#include "shim/cuda.h"
#define UNROLL
#else
#define UNROLL _Pragma("unroll")
// Memory that the threads of a block share: SHARED(float[32], name). What it holds at the start is not defined.
#define SHARED(type, name) __shared__ Plain<type> name
#define KERNEL extern "C" __global__ void
#endif

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned int;
using u64 = unsigned long long;

// Elements that one thread works on together: sixteen bytes of bfloat16.
constexpr u32 RUN = 8;
// Threads of a block, of every kernel that does not say otherwise.
constexpr u32 THREADS = 256;
// Elements that a block works on together.
constexpr u32 STRETCH = RUN * THREADS;
// Elements of a granule, and the sums kept apart in each: kernels/src/statistics.
constexpr u32 GRANULE = 1 << 16;
constexpr u32 LANES = 16;

__device__ inline u64 smaller(u64 a, u64 b) { return a < b ? a : b; }

// The magnitude of a value as an integer that orders alike: its bits without the sign. A NaN is above infinity.
__device__ inline u32 magnitude(float value) { return __float_as_uint(value) & 0x7fffffffu; }

__device__ inline bool not_a_number(float value) { return magnitude(value) > 0x7f800000u; }
