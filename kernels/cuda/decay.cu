// Gated sums with a slope of each head on tensor cores, S = e^-s S + k v^T, o = S^T q: what gated.cu computes, forward alone, of
// bfloat16 with sums in f32.
//
// A block has a head and 64 value columns, a warp sixteen of them, and goes over chunks of 32 tokens. The state stays in registers,
// transposed, as the sums of the product that changes it; rounded they are an operand of the product that reads it.
//
//   q k v of the next chunk ──▶ shared memory, beside all that follows
//   O^T = S^T Q^T, each token's column times e^-s(i+1)           P = Q K^T, times e^-s(i-j), one tile of it a warp
//   O^T += V^T P^T        S^T = e^-s(length) S^T + (V^T times e^-s(length-1-j)) K
//
// Rounded on the way are S, P and V times its power, to bfloat16; all else is f32. Rows in shared memory are cut into sixteen bytes each,
// and these are mixed with the number of the row, so that the eight rows of a small matrix lie in different banks.
#include "tensor.cuh"
#include "heads.cuh"

// Tokens of a chunk, value columns of a block, and its threads.
constexpr u32 DECAY_CHUNK = 32;
constexpr u32 DECAY_COLUMNS = 64;
constexpr u32 DECAY_THREADS = 128;

// Rows of WIDTH elements in shared memory.
template <u32 WIDTH> struct Rows {
    static constexpr u32 CELLS = WIDTH / 8;
    // Rows that share 128 bytes.
    static constexpr u32 BESIDE = CELLS < 8 ? 8 / CELLS : 1;
    alignas(128) u16 elements[DECAY_CHUNK * WIDTH];

    __device__ u16* cell(u32 row, u32 cell) {
        return elements + row * WIDTH + (cell ^ (row / BESIDE) % (CELLS < 8 ? CELLS : 8)) * 8;
    }
    // Where this lane points for sixteen rows and columns: the matrix that a lane points into is beside the first, or else below it,
    // where its lowest bit is set.
    __device__ u16* beside_first(u32 row, u32 column) {
        u32 lane = threadIdx.x % WARP, matrix = lane / 8;
        return cell(row + (matrix >> 1) * 8 + lane % 8, column / 8 + (matrix & 1));
    }
    __device__ u16* below_first(u32 row, u32 column) {
        u32 lane = threadIdx.x % WARP, matrix = lane / 8;
        return cell(row + (matrix & 1) * 8 + lane % 8, column / 8 + (matrix >> 1));
    }
};

// Begins to copy rows of a chunk; what is no token, or no channel, becomes zero.
template <u32 WIDTH>
__device__ inline void begin_rows(Rows<WIDTH>& rows, const u16* data, Cut cut, u32 head, u32 heads, u32 width, u32 first) {
    for (u32 at = threadIdx.x; at < DECAY_CHUNK * Rows<WIDTH>::CELLS; at += DECAY_THREADS) {
        u32 row = at / Rows<WIDTH>::CELLS, cell = at % Rows<WIDTH>::CELLS, column = first + cell * 8;
        bool there = row < cut.length && column < width;
        u64 place = there ? ((u64)(cut.start + row) * heads + head) * width + column : 0;
        begin_copy(rows.cell(row, cell), data + place, there);
    }
}

template <u32 WIDTH> struct Chunk {
    Rows<WIDTH> q, k;
    Rows<DECAY_COLUMNS> v;
};

template <u32 WIDTH>
__device__ inline void begin_chunk(Chunk<WIDTH>& chunk, Part p, const void* q, const void* k, const void* v, Cut cut) {
    begin_rows(chunk.q, (const u16*)q, cut, p.head, p.heads.heads, p.heads.key, 0);
    begin_rows(chunk.k, (const u16*)k, cut, p.head, p.heads.heads, p.heads.key, 0);
    begin_rows(chunk.v, (const u16*)v, cut, p.head, p.heads.heads, p.heads.value, p.column);
    close_group();
}

// A word of two elements, each times a factor.
__device__ inline u32 scaled_pair(u32 word, float low, float high) {
    return pair_of(f32_from_bf16(word & 0xffffu) * low, __uint_as_float(word & 0xffff0000u) * high);
}

// Rows of outputs from shared memory to where they belong.
__device__ inline void write_rows(Part p, Rows<DECAY_COLUMNS>& rows, Cut cut, void* out) {
    for (u32 at = threadIdx.x; at < DECAY_CHUNK * 8; at += DECAY_THREADS) {
        u32 row = at / 8, column = p.column + at % 8 * 8;
        if (row >= cut.length || column >= p.heads.value) continue;
        u64 place = ((u64)(cut.start + row) * p.heads.heads + p.head) * p.heads.value + column;
        *(uint4*)((u16*)out + place) = *(const uint4*)rows.cell(row, at % 8);
    }
}

// Whether the head has key channel d and value column g of the lower or the upper half of a warp's.
__device__ inline bool is_there(Part p, u32 warp, u32 g, u32 d, u32 half) {
    return d < p.heads.key && warp * 16 + g + half * 8 < p.columns;
}

// WIDTH is that of keys, rounded up.
template <u32 WIDTH>
__device__ inline void decay(const void* q, const void* k, const void* v, const float* slopes, Heads heads, const Cut* cuts, u32 count,
                             float* state, void* out, u32 out_kind, Chunk<WIDTH>* chunks, Rows<DECAY_CHUNK>& pairs,
                             Rows<DECAY_COLUMNS>& outputs) {
    constexpr u32 TILES = WIDTH / 8;
    u32 column = blockIdx.y * DECAY_COLUMNS;
    Part p = Part{heads, blockIdx.x, column, (u32)smaller(DECAY_COLUMNS, heads.value - column)};
    u32 warp = threadIdx.x / WARP, g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    // e^-sn = 2^-rate n
    float rate = slopes[p.head] * 1.44269504088896341f;
    // this lane's first element of the state, and how far apart those of its tiles are
    float* own = state + state_place(p, 0, 2 * t, warp * 16 + g);
    u64 step = 8 * (u64)heads.value;
    float s[TILES][4];
    float* from = own;
    UNROLL for (u32 tile = 0; tile < TILES; tile++, from += step) {
        UNROLL for (u32 i = 0; i < 4; i++) {
            bool there = is_there(p, warp, g, tile * 8 + 2 * t + i % 2, i / 2);
            s[tile][i] = there ? from[i % 2 * heads.value + i / 2 * 8] : 0.0f;
        }
    }
    if (count > 0) begin_chunk(chunks[0], p, q, k, v, cuts[0]);
    for (u32 n = 0; n < count; n++) {
        Cut cut = cuts[n];
        Chunk<WIDTH>& chunk = chunks[n % 2];
        wait_for_groups();
        __syncthreads();
        if (n + 1 < count) begin_chunk(chunks[(n + 1) % 2], p, q, k, v, cuts[n + 1]);
        if (cut.fresh) {
            UNROLL for (u32 tile = 0; tile < TILES; tile++) {
                UNROLL for (u32 i = 0; i < 4; i++) s[tile][i] = 0.0f;
            }
        }
        float o[DECAY_CHUNK / 8][4] = {};
        UNROLL for (u32 d = 0; d < TILES; d += 2) {
            u32 a[4] = {pair_of(s[d][0], s[d][1]), pair_of(s[d][2], s[d][3]), pair_of(s[d + 1][0], s[d + 1][1]),
                        pair_of(s[d + 1][2], s[d + 1][3])};
            UNROLL for (u32 i = 0; i < DECAY_CHUNK; i += 16) {
                u32 b[4];
                load_matrices(b, chunk.q.beside_first(i, d * 8));
                multiply(o[i / 8], a, b), multiply(o[i / 8 + 1], a, b + 2);
            }
        }
        UNROLL for (u32 tile = 0; tile < DECAY_CHUNK / 8; tile++) {
            UNROLL for (u32 i = 0; i < 4; i++) o[tile][i] *= exp2f(-rate * (float)(tile * 8 + 2 * t + i % 2 + 1));
        }

        // a tile of pairs for each warp; of that in which no first is later than a second nothing is left
        u32 first = warp % 2 * 16, second = warp / 2 * 16;
        float pair[2][4] = {};
        if (second <= first) {
            UNROLL for (u32 d = 0; d < WIDTH; d += 16) {
                u32 a[4], b[4];
                load_matrices(a, chunk.q.below_first(first, d));
                load_matrices(b, chunk.k.beside_first(second, d));
                multiply(pair[0], a, b), multiply(pair[1], a, b + 2);
            }
        }
        UNROLL for (u32 tile = 0; tile < 2; tile++) {
            UNROLL for (u32 i = 0; i < 4; i += 2) {
                u32 row = first + g + i / 2 * 8, after = second + tile * 8 + 2 * t;
                float low = row >= after ? pair[tile][i] * exp2f(-rate * (float)(row - after)) : 0.0f;
                float high = row > after ? pair[tile][i + 1] * exp2f(-rate * (float)(row - after - 1)) : 0.0f;
                *(u32*)(pairs.cell(row, after / 8) + after % 8) = pair_of(low, high);
            }
        }
        __syncthreads();

        // V^T of sixteen tokens each: as it is, and with the power that is left of it after the chunk
        float kept = exp2f(-rate * (float)cut.length);
        UNROLL for (u32 tile = 0; tile < TILES; tile++) {
            UNROLL for (u32 i = 0; i < 4; i++) s[tile][i] *= kept;
        }
        UNROLL for (u32 j = 0; j < DECAY_CHUNK; j += 16) {
            u32 a[4], b[4];
            load_transposed(a, chunk.v.beside_first(j, warp * 16));
            UNROLL for (u32 i = j; i < DECAY_CHUNK; i += 16) {
                load_matrices(b, pairs.beside_first(i, j));
                multiply(o[i / 8], a, b), multiply(o[i / 8 + 1], a, b + 2);
            }
            float left[4];
            UNROLL for (u32 i = 0; i < 4; i++) {
                u32 token = j + 2 * t + i % 2 + i / 2 * 8;
                // rows that are no tokens are zero, and so they stay
                left[i] = token < cut.length ? exp2f(-rate * (float)(cut.length - 1 - token)) : 0.0f;
            }
            a[0] = scaled_pair(a[0], left[0], left[1]), a[1] = scaled_pair(a[1], left[0], left[1]);
            a[2] = scaled_pair(a[2], left[2], left[3]), a[3] = scaled_pair(a[3], left[2], left[3]);
            UNROLL for (u32 d = 0; d < TILES; d += 2) {
                load_transposed(b, chunk.k.below_first(j, d * 8));
                multiply(s[d], a, b), multiply(s[d + 1], a, b + 2);
            }
        }

        UNROLL for (u32 tile = 0; tile < DECAY_CHUNK / 8; tile++) {
            UNROLL for (u32 i = 0; i < 4; i += 2) {
                u32 row = tile * 8 + 2 * t, c = warp * 16 + g + i / 2 * 8;
                if (out_kind == BF16) {
                    u32 two = pair_of(o[tile][i], o[tile][i + 1]);
                    outputs.cell(row, c / 8)[c % 8] = (u16)two;
                    outputs.cell(row + 1, c / 8)[c % 8] = (u16)(two >> 16);
                } else if (c < p.columns) {
                    u64 place = ((u64)(cut.start + row) * heads.heads + p.head) * heads.value + column + c;
                    if (row < cut.length) encode_one(out, out_kind, place, o[tile][i]);
                    if (row + 1 < cut.length) encode_one(out, out_kind, place + (u64)heads.heads * heads.value, o[tile][i + 1]);
                }
            }
        }
        if (out_kind == BF16) {
            __syncthreads();
            write_rows(p, outputs, cut, out);
        }
    }
    UNROLL for (u32 tile = 0; tile < TILES; tile++, own += step) {
        UNROLL for (u32 i = 0; i < 4; i++) {
            bool there = is_there(p, warp, g, tile * 8 + 2 * t + i % 2, i / 2);
            if (there) own[i % 2 * heads.value + i / 2 * 8] = s[tile][i];
        }
    }
}

// `state` is the one before the tokens and then the one after. Tokens are of bfloat16, channels of keys and values multiples of eight, and
// their rows begin at multiples of sixteen bytes. Grid: heads, tiles of columns. For keys of at most 64 channels, and of at most 128.
KERNEL decay_forward_64(const void* q, const void* k, const void* v, const float* slopes, Heads heads, const Cut* cuts, u32 count,
                        float* state, void* out, u32 out_kind) {
    SHARED(Chunk<64>[2], chunks);
    SHARED(Rows<DECAY_CHUNK>, pairs);
    SHARED(Rows<DECAY_COLUMNS>, outputs);
    decay<64>(q, k, v, slopes, heads, cuts, count, state, out, out_kind, chunks, pairs, outputs);
}

KERNEL decay_forward_128(const void* q, const void* k, const void* v, const float* slopes, Heads heads, const Cut* cuts, u32 count,
                         float* state, void* out, u32 out_kind) {
    SHARED(Chunk<128>[2], chunks);
    SHARED(Rows<DECAY_CHUNK>, pairs);
    SHARED(Rows<DECAY_COLUMNS>, outputs);
    decay<128>(q, k, v, slopes, heads, cuts, count, state, out, out_kind, chunks, pairs, outputs);
}
