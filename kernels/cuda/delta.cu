// The delta rule, S = (I - beta k k^T) S + beta k v^T, o = S^T q, chunk by chunk: kernels/src/attention/delta, without gates.
//
// With L = stril(beta K K^T) and P = tril(Q K^T), what a chunk writes is the solution X of (I + L) X = beta (V - K S), found row by row;
// O = Q S + P X, S' = S + K^T X. Backward solves with the transpose. Queries and keys come normalised and scaled.
#include "heads.cuh"

// L without beta above the diagonal being zero, and P.
__device__ inline void delta_squares(Part p, Cut cut, const KeyRows& q, const KeyRows& k, const float* beta, Square& lower, Square& pairs) {
    for (u32 at = threadIdx.x; at < cut.length * cut.length; at += blockDim.x) {
        u32 i = at / cut.length, j = at % cut.length;
        float of_k = 0.0f, of_q = 0.0f;
        for (u32 d = 0; d < p.heads.key; d++) {
            of_k = fmaf(k[i][d], k[j][d], of_k);
            of_q = fmaf(q[i][d], k[j][d], of_q);
        }
        lower[i][j] = j < i ? beta[i] * of_k : 0.0f;
        pairs[i][j] = j <= i ? of_q : 0.0f;
    }
}

// What the chunk writes, from a state before it. All threads come here; a barrier must follow.
__device__ inline void delta_written(Part p, Cut cut, const KeyRows& k, const ValueRows& v, const float* beta, const Square& lower,
                                     const State& s, ValueRows& x) {
    for (u32 at = threadIdx.x; at < cut.length * p.columns; at += blockDim.x) {
        u32 i = at / p.columns, c = at % p.columns;
        float read = 0.0f;
        for (u32 d = 0; d < p.heads.key; d++) read = fmaf(k[i][d], s[d][c], read);
        x[i][c] = beta[i] * (v[i][c] - read);
    }
    __syncthreads();
    for (u32 c = threadIdx.x; c < p.columns; c += blockDim.x) {
        for (u32 i = 1; i < cut.length; i++) {
            float sum = x[i][c];
            for (u32 j = 0; j < i; j++) sum = fmaf(-lower[i][j], x[j][c], sum);
            x[i][c] = sum;
        }
    }
}

__device__ inline void load_betas(Part p, const void* data, Cut cut, float* beta) {
    for (u32 i = threadIdx.x; i < cut.length; i += blockDim.x) {
        beta[i] = decode_one(data, p.heads.kind, (u64)(cut.start + i) * p.heads.heads + p.head);
    }
}

// As gated_forward.
KERNEL delta_forward(const void* q, const void* k, const void* v, const void* betas, Heads heads, const Cut* cuts, u32 count,
                     float* state, float* saved, void* out, u32 out_kind) {
    SHARED(KeyRows, qs);
    SHARED(KeyRows, ks);
    SHARED(ValueRows, vs);
    SHARED(ValueRows, xs);
    SHARED(Square, lower);
    SHARED(Square, pairs);
    SHARED(State, s);
    SHARED(float[CHUNK], beta);
    Part p = part_of(heads);
    load_state(p, state, 0, s);
    for (u32 n = 0; n < count; n++) {
        Cut cut = cuts[n];
        __syncthreads();
        if (cut.fresh) clear_state(p, s);
        load_keys(p, q, cut, qs);
        load_keys(p, k, cut, ks);
        load_values(p, v, heads.kind, cut, vs);
        load_betas(p, betas, cut, beta);
        __syncthreads();
        if (saved) store_state(p, s, n, saved);
        delta_squares(p, cut, qs, ks, beta, lower, pairs);
        __syncthreads();
        delta_written(p, cut, ks, vs, beta, lower, s, xs);
        __syncthreads();
        for (u32 at = threadIdx.x; at < cut.length * p.columns; at += blockDim.x) {
            u32 i = at / p.columns, c = at % p.columns;
            float sum = 0.0f;
            for (u32 d = 0; d < heads.key; d++) sum = fmaf(qs[i][d], s[d][c], sum);
            for (u32 j = 0; j <= i; j++) sum = fmaf(pairs[i][j], xs[j][c], sum);
            encode_one(out, out_kind, ((u64)(cut.start + i) * heads.heads + p.head) * heads.value + p.column + c, sum);
        }
        __syncthreads();
        for (u32 at = threadIdx.x; at < heads.key * p.columns; at += blockDim.x) {
            u32 d = at / p.columns, c = at % p.columns;
            float sum = s[d][c];
            for (u32 i = 0; i < cut.length; i++) sum = fmaf(ks[i][d], xs[i][c], sum);
            s[d][c] = sum;
        }
    }
    __syncthreads();
    store_state(p, s, 0, state);
}

// As gated_backward; the gradients of betas are in parts too: tiles * tokens * heads.
KERNEL delta_backward(const void* q, const void* k, const void* v, const void* betas, Heads heads, const Cut* cuts, u32 count,
                      u64 tokens, const float* saved, const float* d_out, float* d_state, float* d_q, float* d_k, float* d_v,
                      float* d_beta) {
    SHARED(KeyRows, qs);
    SHARED(KeyRows, ks);
    SHARED(ValueRows, vs);
    SHARED(ValueRows, ds_out);
    SHARED(ValueRows, xs);
    SHARED(ValueRows, dr);
    SHARED(Square, lower);
    SHARED(Square, pairs);
    SHARED(Square, d_lower);
    SHARED(Square, d_pairs);
    SHARED(State, s);
    SHARED(State, ds);
    SHARED(float[CHUNK], beta);
    Part p = part_of(heads);
    load_state(p, d_state, 0, ds);
    for (u32 n = count; n-- > 0;) {
        Cut cut = cuts[n];
        __syncthreads();
        load_keys(p, q, cut, qs);
        load_keys(p, k, cut, ks);
        load_values(p, v, heads.kind, cut, vs);
        load_values(p, d_out, F32, cut, ds_out);
        load_betas(p, betas, cut, beta);
        load_state(p, saved, n, s);
        __syncthreads();
        delta_squares(p, cut, qs, ks, beta, lower, pairs);
        __syncthreads();
        delta_written(p, cut, ks, vs, beta, lower, s, xs);
        // the gradient of what is written, and from it that of the right-hand side
        for (u32 at = threadIdx.x; at < cut.length * p.columns; at += blockDim.x) {
            u32 j = at / p.columns, c = at % p.columns;
            float sum = 0.0f;
            for (u32 i = j; i < cut.length; i++) sum = fmaf(pairs[i][j], ds_out[i][c], sum);
            for (u32 d = 0; d < heads.key; d++) sum = fmaf(ks[j][d], ds[d][c], sum);
            dr[j][c] = sum;
        }
        __syncthreads();
        for (u32 c = threadIdx.x; c < p.columns; c += blockDim.x) {
            for (u32 i = cut.length - 1; i-- > 0;) {
                float sum = dr[i][c];
                for (u32 j = i + 1; j < cut.length; j++) sum = fmaf(-lower[j][i], dr[j][c], sum);
                dr[i][c] = sum;
            }
        }
        __syncthreads();
        for (u32 at = threadIdx.x; at < cut.length * cut.length; at += blockDim.x) {
            u32 i = at / cut.length, j = at % cut.length;
            float of_pairs = 0.0f, of_lower = 0.0f;
            for (u32 c = 0; c < p.columns; c++) {
                of_pairs = fmaf(ds_out[i][c], xs[j][c], of_pairs);
                of_lower = fmaf(-dr[i][c], xs[j][c], of_lower);
            }
            d_pairs[i][j] = j <= i ? of_pairs : 0.0f;
            d_lower[i][j] = j < i ? of_lower : 0.0f;
        }
        for (u32 at = threadIdx.x; at < cut.length * p.columns; at += blockDim.x) {
            u32 i = at / p.columns, c = at % p.columns;
            d_v[((u64)(cut.start + i) * heads.heads + p.head) * heads.value + p.column + c] = beta[i] * dr[i][c];
        }
        __syncthreads();
        for (u32 at = threadIdx.x; at < cut.length * heads.key; at += blockDim.x) {
            u32 t = at / heads.key, d = at % heads.key;
            float of_q = 0.0f, of_k = 0.0f, erased = 0.0f;
            for (u32 j = 0; j <= t; j++) of_q = fmaf(d_pairs[t][j], ks[j][d], of_q);
            for (u32 i = t; i < cut.length; i++) of_k = fmaf(d_pairs[i][t], qs[i][d], of_k);
            for (u32 c = 0; c < p.columns; c++) {
                of_q = fmaf(ds_out[t][c], s[d][c], of_q);
                of_k = fmaf(xs[t][c], ds[d][c], of_k);
                erased = fmaf(-dr[t][c], s[d][c], erased);
            }
            // L and what is erased hold the key with its beta
            for (u32 j = 0; j < t; j++) erased = fmaf(d_lower[t][j], ks[j][d], erased);
            for (u32 i = t + 1; i < cut.length; i++) of_k = fmaf(d_lower[i][t] * beta[i], ks[i][d], of_k);
            u64 place = part_place(p, tokens, cut.start + t, heads.key, d);
            d_q[place] = of_q;
            d_k[place] = fmaf(beta[t], erased, of_k);
        }
        for (u32 t = threadIdx.x; t < cut.length; t += blockDim.x) {
            float sum = 0.0f;
            for (u32 c = 0; c < p.columns; c++) {
                float read = 0.0f;
                for (u32 d = 0; d < heads.key; d++) read = fmaf(ks[t][d], s[d][c], read);
                sum = fmaf(dr[t][c], vs[t][c] - read, sum);
            }
            for (u32 j = 0; j < t; j++) {
                float product = 0.0f;
                for (u32 d = 0; d < heads.key; d++) product = fmaf(ks[t][d], ks[j][d], product);
                sum = fmaf(d_lower[t][j], product, sum);
            }
            d_beta[part_place(p, tokens, cut.start + t, 1, 0)] = sum;
        }
        __syncthreads();
        for (u32 at = threadIdx.x; at < heads.key * p.columns; at += blockDim.x) {
            u32 d = at / p.columns, c = at % p.columns;
            float sum = ds[d][c];
            for (u32 i = 0; i < cut.length; i++) {
                sum = fmaf(qs[i][d], ds_out[i][c], sum);
                sum = fmaf(-beta[i] * ks[i][d], dr[i][c], sum);
            }
            ds[d][c] = cut.fresh ? 0.0f : sum;
        }
    }
    __syncthreads();
    store_state(p, ds, 0, d_state);
}
