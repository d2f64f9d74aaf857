// Generalised task arithmetic with sign election and disjoint mean, all experts in one pass: kernels/src/merge/task_vectors.rs.
//
// The majority of an element is known only after the last expert. Instead of reading the experts twice, a thread keeps the sum of
// those above zero and the sum of those not above zero, each in the order of the experts, and takes one of them at the end: adding
// the zeros that the CPU form adds for the others changes no bit.
#include "keep.cuh"

struct Combine {
    u32 elect_sign;
    u32 normalize;
    float lambda;
    // The sum of all weights, or 1 where that is nearly nothing.
    float weights;
};

KERNEL task_vectors(const void* base, u32 base_kind, const Term* terms, u32 count, Combine combine, void* out, u32 out_kind,
                    u64 length, u64* bad) {
    SHARED(u32[GROUPS * GROUP], words);
    for (u64 start = (u64)blockIdx.x * STRETCH; start < length; start += (u64)gridDim.x * STRETCH) {
        u64 first = start + threadIdx.x * RUN;
        u32 n = first < length ? (u32)smaller(RUN, length - first) : 0;
        float theta0[RUN], total[RUN], above[RUN], above_weight[RUN], below[RUN], below_weight[RUN];
        for (u32 i = 0; i < RUN; i++) {
            theta0[i] = total[i] = above[i] = above_weight[i] = below[i] = below_weight[i] = 0.0f;
        }
        if (n > 0) decode(base, base_kind, first, n, theta0);
        for (u32 t = 0; t < count; t++) {
            float part[RUN];
            kept(terms[t], theta0, start, first, n, words, part);
            if (n == 0) continue;
            float scale = terms[t].scale, weight = terms[t].weight;
            for (u32 i = 0; i < RUN; i++) {
                part[i] = part[i] * scale * weight;
                total[i] += part[i];
                if (part[i] > 0.0f) {
                    above[i] += part[i];
                    above_weight[i] += weight;
                } else if (!(part[i] >= 0.0f)) {
                    // a NaN too, which then makes the total one and is found on this side
                    below[i] += part[i];
                    below_weight[i] += weight;
                }
            }
        }
        if (n == 0) continue;
        for (u32 i = 0; i < RUN; i++) {
            float combined = total[i];
            if (combine.elect_sign) {
                bool positive = total[i] >= 0.0f;
                combined = positive ? above[i] : below[i];
                float agreed = positive ? above_weight[i] : below_weight[i];
                if (combine.normalize) combined /= agreed == 0.0f ? 1.0f : agreed;
            } else if (combine.normalize) {
                combined /= combine.weights;
            }
            total[i] = theta0[i] + combine.lambda * combined;
        }
        finish(out, out_kind, first, n, total, bad);
    }
}
