// A tensor in another type: `convert` of kernels/src/merge/copy.rs. Nothing is checked: a NaN stays one.
#include "element.cuh"

KERNEL convert(const void* input, u32 input_kind, void* out, u32 out_kind, u64 length) {
    for (u64 first = ((u64)blockIdx.x * blockDim.x + threadIdx.x) * RUN; first < length; first += (u64)gridDim.x * STRETCH) {
        u32 count = (u32)smaller(RUN, length - first);
        float values[RUN];
        decode(input, input_kind, first, count, values);
        encode(out, out_kind, first, count, values);
    }
}
