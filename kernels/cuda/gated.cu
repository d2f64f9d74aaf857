// Gated sums, S = e^g * S + k v^T, o = S^T q, chunk by chunk: kernels/src/attention/gated. The formulas are in its mod.rs, forward and
// backward, with B the running sum of log gates. Gates are one for each key channel (GLA), or a slope of each head (constant decay).
//
// Queries come scaled. Differences of B are never positive where they are raised to a power, so nothing overflows.
#include "heads.cuh"

// Sums of log gates from the start of the chunk, each token's own included.
__device__ inline void load_gates(Part p, const void* gates, const float* slopes, Cut cut, KeyRows& sums) {
    for (u32 d = threadIdx.x; d < p.heads.key; d += blockDim.x) {
        float sum = 0.0f;
        for (u32 i = 0; i < cut.length; i++) {
            u64 place = ((u64)(cut.start + i) * p.heads.heads + p.head) * p.heads.key + d;
            sum += gates ? decode_one(gates, p.heads.kind, place) : -slopes[p.head];
            sums[i][d] = sum;
        }
    }
}

// Scores of the pairs of a chunk whose second is not later.
__device__ inline void scores(Part p, Cut cut, const KeyRows& q, const KeyRows& k, const KeyRows& b, Square& out) {
    for (u32 at = threadIdx.x; at < cut.length * cut.length; at += blockDim.x) {
        u32 i = at / cut.length, j = at % cut.length;
        float sum = 0.0f;
        if (j <= i) {
            for (u32 d = 0; d < p.heads.key; d++) sum = fmaf(q[i][d] * k[j][d], expf(b[i][d] - b[j][d]), sum);
        }
        out[i][j] = sum;
    }
}

// `state` is the one before the tokens and then the one after; `saved`, if any, gets that before each chunk. Grid: heads, tiles of
// columns.
KERNEL gated_forward(const void* q, const void* k, const void* v, const void* gates, const float* slopes, Heads heads,
                     const Cut* cuts, u32 count, float* state, float* saved, void* out, u32 out_kind) {
    SHARED(KeyRows, qs);
    SHARED(KeyRows, ks);
    SHARED(KeyRows, bs);
    SHARED(ValueRows, vs);
    SHARED(Square, pairs);
    SHARED(State, s);
    Part p = part_of(heads);
    load_state(p, state, 0, s);
    for (u32 n = 0; n < count; n++) {
        Cut cut = cuts[n];
        u32 last = cut.length - 1;
        __syncthreads();
        if (cut.fresh) clear_state(p, s);
        load_keys(p, q, cut, qs);
        load_keys(p, k, cut, ks);
        load_gates(p, gates, slopes, cut, bs);
        load_values(p, v, heads.kind, cut, vs);
        __syncthreads();
        if (saved) store_state(p, s, n, saved);
        scores(p, cut, qs, ks, bs, pairs);
        __syncthreads();
        for (u32 at = threadIdx.x; at < cut.length * p.columns; at += blockDim.x) {
            u32 i = at / p.columns, c = at % p.columns;
            float sum = 0.0f;
            for (u32 j = 0; j <= i; j++) sum = fmaf(pairs[i][j], vs[j][c], sum);
            for (u32 d = 0; d < heads.key; d++) sum = fmaf(qs[i][d] * expf(bs[i][d]), s[d][c], sum);
            encode_one(out, out_kind, ((u64)(cut.start + i) * heads.heads + p.head) * heads.value + p.column + c, sum);
        }
        __syncthreads();
        for (u32 at = threadIdx.x; at < heads.key * p.columns; at += blockDim.x) {
            u32 d = at / p.columns, c = at % p.columns;
            float sum = expf(bs[last][d]) * s[d][c];
            for (u32 j = 0; j < cut.length; j++) sum = fmaf(ks[j][d] * expf(bs[last][d] - bs[j][d]), vs[j][c], sum);
            s[d][c] = sum;
        }
    }
    __syncthreads();
    store_state(p, s, 0, state);
}

// `d_state` is the gradient of the state after the tokens and then of the one before. Gradients of queries and keys come in a part for
// each tile of columns: tiles * tokens * heads * key.
KERNEL gated_backward(const void* q, const void* k, const void* v, const void* gates, const float* slopes, Heads heads,
                      const Cut* cuts, u32 count, u64 tokens, const float* saved, const float* d_out, float* d_state, float* d_q,
                      float* d_k, float* d_v) {
    SHARED(KeyRows, qs);
    SHARED(KeyRows, ks);
    SHARED(KeyRows, bs);
    SHARED(ValueRows, vs);
    SHARED(ValueRows, ds_out);
    SHARED(Square, pairs);
    SHARED(Square, d_pairs);
    SHARED(State, s);
    SHARED(State, ds);
    Part p = part_of(heads);
    load_state(p, d_state, 0, ds);
    for (u32 n = count; n-- > 0;) {
        Cut cut = cuts[n];
        u32 last = cut.length - 1;
        __syncthreads();
        load_keys(p, q, cut, qs);
        load_keys(p, k, cut, ks);
        load_gates(p, gates, slopes, cut, bs);
        load_values(p, v, heads.kind, cut, vs);
        load_values(p, d_out, F32, cut, ds_out);
        load_state(p, saved, n, s);
        __syncthreads();
        scores(p, cut, qs, ks, bs, pairs);
        for (u32 at = threadIdx.x; at < cut.length * cut.length; at += blockDim.x) {
            u32 i = at / cut.length, j = at % cut.length;
            float sum = 0.0f;
            for (u32 c = 0; c < p.columns; c++) sum = fmaf(ds_out[i][c], vs[j][c], sum);
            d_pairs[i][j] = sum;
        }
        __syncthreads();
        for (u32 at = threadIdx.x; at < cut.length * p.columns; at += blockDim.x) {
            u32 j = at / p.columns, c = at % p.columns;
            float sum = 0.0f;
            for (u32 i = j; i < cut.length; i++) sum = fmaf(pairs[i][j], ds_out[i][c], sum);
            for (u32 d = 0; d < heads.key; d++) sum = fmaf(ks[j][d] * expf(bs[last][d] - bs[j][d]), ds[d][c], sum);
            d_v[((u64)(cut.start + j) * heads.heads + p.head) * heads.value + p.column + c] = sum;
        }
        for (u32 at = threadIdx.x; at < cut.length * heads.key; at += blockDim.x) {
            u32 t = at / heads.key, d = at % heads.key;
            float of_q = 0.0f, of_k = 0.0f, through_s = 0.0f, through_ds = 0.0f;
            for (u32 j = 0; j <= t; j++) of_q = fmaf(d_pairs[t][j] * ks[j][d], expf(bs[t][d] - bs[j][d]), of_q);
            for (u32 i = t; i < cut.length; i++) of_k = fmaf(d_pairs[i][t] * qs[i][d], expf(bs[i][d] - bs[t][d]), of_k);
            for (u32 c = 0; c < p.columns; c++) {
                through_s = fmaf(ds_out[t][c], s[d][c], through_s);
                through_ds = fmaf(vs[t][c], ds[d][c], through_ds);
            }
            u64 place = part_place(p, tokens, cut.start + t, heads.key, d);
            d_q[place] = fmaf(expf(bs[t][d]), through_s, of_q);
            d_k[place] = fmaf(expf(bs[last][d] - bs[t][d]), through_ds, of_k);
        }
        __syncthreads();
        for (u32 at = threadIdx.x; at < heads.key * p.columns; at += blockDim.x) {
            u32 d = at / p.columns, c = at % p.columns;
            float sum = expf(bs[last][d]) * ds[d][c];
            for (u32 i = 0; i < cut.length; i++) sum = fmaf(qs[i][d] * expf(bs[i][d]), ds_out[i][c], sum);
            // what was before a document does not reach it
            ds[d][c] = cut.fresh ? 0.0f : sum;
        }
    }
    __syncthreads();
    store_state(p, ds, 0, d_state);
}

// Gradients of log gates, from those of queries and keys: d_g of a token is the sum of q d_q - k d_k from it on, and `ends`, the sum
// over columns of S * d_S after the last token. A thread for each channel; sums in f64, for they gather all tokens.
KERNEL gate_gradients(const void* q, const void* k, const float* d_q, const float* d_k, Heads heads, const Cut* cuts, u32 count,
                      const float* ends, float* d_g) {
    u32 width = heads.heads * heads.key;
    for (u32 channel = blockIdx.x * blockDim.x + threadIdx.x; channel < width; channel += gridDim.x * blockDim.x) {
        double sum = ends[channel];
        for (u32 n = count; n-- > 0;) {
            for (u32 i = cuts[n].length; i-- > 0;) {
                u64 place = (u64)(cuts[n].start + i) * width + channel;
                sum += (double)decode_one(q, heads.kind, place) * d_q[place] - (double)decode_one(k, heads.kind, place) * d_k[place];
                d_g[place] = (float)sum;
            }
            if (cuts[n].fresh) sum = 0.0;
        }
    }
}

// The sum of some parts, in their order.
KERNEL sum_parts(const float* parts, u32 count, u64 length, float* out) {
    for (u64 at = (u64)blockIdx.x * blockDim.x + threadIdx.x; at < length; at += (u64)gridDim.x * blockDim.x) {
        float sum = 0.0f;
        for (u32 part = 0; part < count; part++) sum += parts[part * length + at];
        out[at] = sum;
    }
}
