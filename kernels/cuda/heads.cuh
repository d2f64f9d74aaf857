// What kernels of linear-time attention share: the layout of kernels/src/attention, cut into chunks.
//
// Rows are tokens, heads side by side in a row. A block has one head and a few columns of its values, and goes over the chunks one
// after the other with its part of the state in shared memory. Value columns do not see each other but in the gradients of queries, keys,
// gates and betas: these are written for each tile of columns by itself, and added in order by `sum_parts`. So no result depends on
// the grid. Sums are in f32 and contracted; what they are held against is the f64 oracle.
#pragma once
#include "element.cuh"

// Tokens of a chunk, the most key channels, and the value columns of a block.
constexpr u32 CHUNK = 16;
constexpr u32 KEYS = 128;
constexpr u32 COLUMNS = 16;

// Tokens of one document: `start` is their first row.
struct Cut {
    u32 start;
    u32 length;
    // Whether a document begins with it: no state reaches it.
    u32 fresh;
    u32 unused;
};

struct Heads {
    u32 heads;
    u32 key;
    u32 value;
    // Kind of q, k, v and what else tokens bring.
    u32 kind;
};

// Rows are one longer than they must be, so that a column is in different banks.
using KeyRows = float[CHUNK][KEYS + 1];
using ValueRows = float[CHUNK][COLUMNS + 1];
using Square = float[CHUNK][CHUNK + 1];
using State = float[KEYS][COLUMNS + 1];

// What a block works on.
struct Part {
    Heads heads;
    u32 head;
    u32 column;
    u32 columns;
};

__device__ inline Part part_of(Heads heads) {
    u32 column = blockIdx.y * COLUMNS;
    return Part{heads, blockIdx.x, column, (u32)smaller(COLUMNS, heads.value - column)};
}

__device__ inline void load_keys(Part p, const void* data, Cut cut, KeyRows& rows) {
    u32 key = p.heads.key;
    for (u32 at = threadIdx.x; at < cut.length * key; at += blockDim.x) {
        u32 i = at / key, d = at % key;
        rows[i][d] = decode_one(data, p.heads.kind, ((u64)(cut.start + i) * p.heads.heads + p.head) * key + d);
    }
}

__device__ inline void load_values(Part p, const void* data, u32 kind, Cut cut, ValueRows& rows) {
    for (u32 at = threadIdx.x; at < cut.length * p.columns; at += blockDim.x) {
        u32 i = at / p.columns, c = at % p.columns;
        rows[i][c] = decode_one(data, kind, ((u64)(cut.start + i) * p.heads.heads + p.head) * p.heads.value + p.column + c);
    }
}

// A state in memory is heads * key * value; `which` says of which chunk.
__device__ inline u64 state_place(Part p, u32 which, u32 d, u32 c) {
    return (((u64)which * p.heads.heads + p.head) * p.heads.key + d) * p.heads.value + p.column + c;
}

__device__ inline void load_state(Part p, const float* data, u32 which, State& state) {
    for (u32 at = threadIdx.x; at < p.heads.key * p.columns; at += blockDim.x) {
        u32 d = at / p.columns, c = at % p.columns;
        state[d][c] = data[state_place(p, which, d, c)];
    }
}

__device__ inline void store_state(Part p, const State& state, u32 which, float* data) {
    for (u32 at = threadIdx.x; at < p.heads.key * p.columns; at += blockDim.x) {
        u32 d = at / p.columns, c = at % p.columns;
        data[state_place(p, which, d, c)] = state[d][c];
    }
}

__device__ inline void clear_state(Part p, State& state) {
    for (u32 at = threadIdx.x; at < p.heads.key * p.columns; at += blockDim.x) state[at / p.columns][at % p.columns] = 0.0f;
}

// Where the part of this tile of columns lies of a gradient of queries or keys; with a width of one, of betas.
__device__ inline u64 part_place(Part p, u64 tokens, u32 row, u32 width, u32 d) {
    return ((blockIdx.y * tokens + row) * p.heads.heads + p.head) * width + d;
}
