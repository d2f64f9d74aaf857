// Weighted sums of tensors: kernels/src/merge/linear.rs. With the coefficients of an arc, slerp.
#include "element.cuh"

struct LinearTerm {
    const void* data;
    u32 kind;
    float weight;
};

// out = (sum of weight * data) / divisor; each product is added without being rounded first.
KERNEL linear(const LinearTerm* terms, u32 count, float divisor, void* out, u32 out_kind, u64 length, u64* bad) {
    for (u64 first = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * RUN; first < length; first += (u64)gridDim.x * STRETCH) {
        u32 n = (u32)smaller(RUN, length - first);
        float sum[RUN];
        for (u32 i = 0; i < RUN; i++) sum[i] = 0.0f;
        for (u32 t = 0; t < count; t++) {
            float values[RUN];
            decode(terms[t].data, terms[t].kind, first, n, values);
            for (u32 i = 0; i < RUN; i++) sum[i] = fmaf(values[i], terms[t].weight, sum[i]);
        }
        if (divisor != 1.0f) {
            for (u32 i = 0; i < RUN; i++) sum[i] /= divisor;
        }
        finish(out, out_kind, first, n, sum, bad);
    }
}
